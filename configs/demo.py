"""The demo: both orders on synthetic speech, small enough for two cores and a few minutes.

python -m jax_ser_darts.main --config=demo --workdir=/tmp/demo

Measured on 2 cores from a fresh clone: 182 to 322 s, 511 s with other jobs beside it, installation included; UA 0.48 on
four synthetic voices.
"""

from jax_ser_darts.settings import default_config

VARIANTS = ()


def get_config(variant: str = ""):
    """Eight synthetic voices, four emotions; there are no variants."""
    if variant:
        raise ValueError(f"configs/demo.py has no variants, and {variant!r} is none")
    c = default_config()
    c.data.corpus = "demo"
    c.features.seconds = 2.5
    c.features.coefficients = 32
    c.folds.count = 2
    c.folds.run = (0,)
    c.space.nodes = 2
    c.model.stem_stride = 2
    c.model.project = c.model.hidden = c.model.attention = 32
    c.search.cells = 2
    c.search.reductions = (1,)
    c.search.epochs = 20
    c.search.alphas_learning_rate = 3e-3  # few steps: each has to count
    c.train.cells = 2
    c.train.reductions = (1,)
    c.train.epochs = 100
    c.train.augment.time_masks = 1
    c.train.augment.time_width = 8
    c.train.augment.frequency_masks = 1
    c.train.augment.frequency_width = 6
    return c
