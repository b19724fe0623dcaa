"""EmoDB, seven classes, one speaker out.

python -m jax_ser_darts.main --config=configs/emodb.py:quick --config.data.source=DIR --workdir=DIR
"""

from configs import ravdess


def get_config(variant: str = "full"):
    """As RAVDESS's variants; ten speakers, so ten folds, and `quick` runs three of them."""
    c = ravdess.get_config(variant)
    c.data.corpus = "emodb"
    c.data.emotions = {}  # all as they are
    c.folds.count = 0
    return c
