"""EmoDB, seven classes, one speaker out.

python -m jax_ser_darts.main --config=emodb:quick --config.data.source=DIR --workdir=DIR
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """As RAVDESS's variants; ten speakers, so ten folds, and `quick` runs three of them."""
    c = ravdess.get_config(variant)
    c.data.corpus = "emodb"
    c.data.emotions = {}  # all as they are
    c.folds.count = 0
    return c
