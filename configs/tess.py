"""TESS, seven classes, two speakers: trained on the one, tested on the other.

    python -m jax_ser_darts.main --config=tess:quick --config.data.source=DIR --workdir=DIR \
        --config.train.genotype=FILE

With two speakers none is left to validate or to give the alphas speech of their own, so a search is not possible:
the genotype is one that was found elsewhere.
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """As RAVDESS's variants, without validation: the last epoch is kept."""
    c = ravdess.get_config(variant)
    c.data.corpus = "tess"
    c.data.emotions = {}  # all as they are
    c.folds.count = 0
    c.folds.validation_groups = 0
    c.folds.run = ()
    return c
