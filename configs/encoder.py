"""The frames of a frozen encoder in an ONNX file (docs/encoders.md), searched over time alone.

python -m jax_ser_darts.main --config=encoder:quick --config.features.encoder=FILE.onnx --config.features.hop=320 \
    --config.features.coefficients=768 --config.data.source=FILE.csv --workdir=DIR

For another corpus than a manifest: --config.data.corpus=ravdess --config.data.source=DIR.
"""

from jax_ser_darts.configs import joint
from jax_ser_darts.settings import default_config

VARIANTS, CHOICES = ("quick", "full"), (joint.JOINT,)


def get_config(variant: str = "full"):
    """`quick` for two cores: smaller cells, fewer epochs, three folds. `full` for an accelerator.

    `quick,joint` and `full,joint` search sequence cells too, see configs/joint.py.
    """
    variant, is_joint = joint.split_variant(variant)
    c = default_config()
    c.features.kind = "onnx"
    c.features.hop = 320  # of wav2vec 2.0, HuBERT, WavLM at 16 kHz: 50 frames a second
    c.features.coefficients = 768  # of their base sizes
    c.features.pool = 4
    c.features.seconds = 8.0
    c.folds.count = 6
    c.folds.validation_groups = 1
    c.model.stem = "project"
    c.search.alphas_learning_rate = 1e-2  # few steps: each has to count
    c.train.epochs = 60
    c.train.channels = 16
    c.train.dropout = 0.3
    c.train.augment.time_masks = 2
    c.train.augment.time_width = 4
    c.baselines.networks = ("linear", "mlp", "lstm")
    c.baselines.sizes = ("paper",)
    if variant == "quick":
        c.folds.run = (0, 1, 2)
        c.space.nodes = 2
        c.search.cells = 2
        c.search.epochs = 15
        c.train.cells = 2
        c.train.epochs = 40
    elif variant not in VARIANTS:
        raise ValueError(
            f"this config has the variants {', '.join(VARIANTS)}, each also with ,joint, not {variant!r}"
        )
    return joint.search_jointly(c, quick=variant == "quick") if is_joint else c
