"""SAVEE, seven classes, one of its four speakers out.

python -m jax_ser_darts.main --config=savee:quick --config.data.source=DIR --workdir=DIR
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """As RAVDESS's variants; one speaker tests, one validates, two train."""
    c = ravdess.get_config(variant)
    c.data.corpus = "savee"
    c.data.emotions = {}  # all as they are
    c.folds.count = 0
    c.folds.validation_groups = 1
    return c
