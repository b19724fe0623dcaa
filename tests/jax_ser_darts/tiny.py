"""A run small enough for tests: four synthetic speakers, a supernet of one node, two epochs."""

from jax_ser_darts.settings import default_config, resolve
from jax_ser_darts.settings.convert import replaced


def tiny_config():
    """Both orders on two folds of the demo corpus."""
    c = default_config()
    c.devices = 2
    c.data.corpus = "demo"
    c.data.workers = 1
    c.features.seconds = 1.0
    c.features.coefficients = 16
    c.features.pool = 8
    c.folds.count = 4
    c.folds.run = (0, 1)
    c.folds.validation_groups = 2
    c.space.nodes = 1
    c.space.operations = ("avg_pool_3x3", "skip_connect", "dil_conv_3x3", "none")
    c.model.stem_multiplier = 1
    c.model.project = c.model.hidden = c.model.attention = 4
    for part in (c.search, c.train):
        part.cells = 2
        part.reductions = (1,)
        part.channels = 2
        part.epochs = 2
        part.batch_size = 64
    c.search.alphas_learning_rate = 0.1
    c.search.dropout = 0.1
    c.train.drop_path = 0.2
    c.train.auxiliary = 0.4
    c.train.label_smoothing = 0.1
    c.train.patience = 5
    c.train.checkpoint_epochs = 1
    c.train.augment.time_masks = 1
    c.train.augment.time_width = 2
    c.scores.resamples = 50
    return c


def tiny_settings(changes=()):
    """The settings of the tiny config, some of them changed by name, such as {"search.epochs": 1}."""
    return replaced(resolve(tiny_config()), dict(changes))


get_config = tiny_config  # for --config=tests/jax_ser_darts/tiny.py
