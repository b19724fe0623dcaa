"""RAVDESS speech, four classes, speaker-independent folds.

python -m jax_ser_darts.main --config=ravdess:quick --config.data.source=DIR --workdir=DIR

Measured on actors 1 to 12, three folds, 2 cores: UA 0.579 (first order) and 0.600 (second), as a part of
`compare.py:joint`, whose searches these are (search seeds 0 and 1, training seeds 0 and 1); all of `quick` took 28
minutes (nothing beside it, search and training seed 0: UA 0.547 and 0.578).
`full` has not been run: it is for an accelerator.
"""

from jax_ser_darts.configs import joint
from jax_ser_darts.settings import default_config

VARIANTS, CHOICES = ("quick", "full"), (joint.JOINT,)


def get_config(variant: str = "full"):
    """`quick` for two cores: smaller cells, fewer epochs, three of six folds. `full` for an accelerator.

    `quick,joint` and `full,joint` search sequence cells too, see configs/joint.py.
    """
    variant, is_joint = joint.split_variant(variant)
    c = default_config()
    c.data.corpus = "ravdess"
    c.data.emotions = {"neutral": "neutral", "happy": "happy", "sad": "sad", "angry": "angry"}
    c.features.seconds = 4.0
    c.folds.count = 6
    c.folds.validation_groups = 2
    c.model.stem_stride = 2
    c.train.epochs = 80
    c.train.channels = 16
    c.train.learning_rate = 2e-3
    c.train.dropout = 0.2
    c.train.augment.time_masks = 2
    c.train.augment.time_width = 12
    c.train.augment.frequency_masks = 2
    c.train.augment.frequency_width = 8
    c.train.augment.shift = 6
    if variant == "quick":
        c.folds.run = (0, 1, 2)
        c.space.nodes = 2
        c.search.cells = 3
        c.search.epochs = 15
        c.search.alphas_learning_rate = 1e-2  # few steps: each has to count
        c.train.cells = 3
        c.train.epochs = 60
    elif variant not in VARIANTS:
        raise ValueError(
            f"this config has the variants {', '.join(VARIANTS)}, each also with ,joint, not {variant!r}"
        )
    return joint.search_jointly(c, quick=variant == "quick") if is_joint else c
