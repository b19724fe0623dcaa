"""CREMA-D, six classes, 91 speakers in five folds.

python -m jax_ser_darts.main --config=crema_d:quick --config.data.source=DIR --workdir=DIR
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """As RAVDESS's variants, with fewer epochs: the corpus is twenty times as large."""
    c = ravdess.get_config(variant)
    c.data.corpus = "crema_d"
    c.data.emotions = {}  # all as they are
    c.features.seconds = 3.0
    c.folds.count = 5
    c.folds.validation_groups = 8
    c.search.epochs = 15
    c.train.epochs = 30
    c.search.batch_size = c.train.batch_size = 64
    if variant.split(",")[0] == "quick":
        c.folds.run = (0,)
        c.search.epochs = 2
        c.train.epochs = 6
    return c
