"""Any corpus by a CSV manifest with the columns path,speaker,emotion[,session][,sex][,start,end][,id].

    python -m jax_ser_darts.main --config=manifest:quick --config.data.source=FILE.csv --workdir=DIR

Emotions are taken as they are; choose and merge them by
--config.data.emotions="{'angry':'angry','happy':'happy','excited':'happy'}".
"""

from jax_ser_darts.configs import ravdess

VARIANTS, CHOICES = ravdess.VARIANTS, ravdess.CHOICES


def get_config(variant: str = "full"):
    """As RAVDESS's variants, on every emotion of the manifest."""
    c = ravdess.get_config(variant)
    c.data.corpus = "manifest"
    c.data.emotions = {}
    c.folds.count = 5
    c.folds.validation_groups = 1
    return c
