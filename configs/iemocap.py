"""IEMOCAP, four classes, five sessions, each tested by a network trained on other speakers.

    python -m jax_ser_darts.main --config=iemocap:quick --config.data.source=DIR --workdir=DIR

Not run: the corpus is licensed and was not at hand. The reader is tested on small trees of its layout.
"""

from jax_ser_darts.configs import cnn_search, joint, ravdess

VARIANTS = ("quick", "full", "paper")
CHOICES = ("speakers", "emodarts", "improvised", "scripted", "without_excited", joint.JOINT)
# emoDARTS: two speakers of neighbouring sessions; the partners of both stay in training.
EMODARTS = (("01M", "02F"), ("02M", "03F"), ("03M", "04F"), ("04M", "05F"), ("05M", "01F"))


def get_config(variant: str = "full"):
    """A size and any choices, with commas between them, e.g. `full,improvised`.

    Sizes: `quick` for two cores runs one fold; `full` for an accelerator; `paper` is the published features, cells
    and optimisers (configs/cnn_search.py).

    Choices: `improvised` or `scripted` speech instead of both; `without_excited` leaves excited out instead of
    merging it with happy; `speakers` makes ten folds of one speaker instead of five of one session; `emodarts` is the
    protocol of emoDARTS: improvised, without excited, five folds of two named speakers; `joint` searches sequence cells
    too, see configs/joint.py.
    """
    variant, is_joint = joint.split_variant(variant)
    size, *choices = variant.split(",")
    if size not in VARIANTS:
        raise ValueError(
            f"configs/iemocap.py has the sizes {', '.join(VARIANTS)}, first and with choices after it, not {size!r}"
        )
    if unknown := sorted(set(choices) - set(CHOICES)):
        raise ValueError(f"configs/iemocap.py has the choices {', '.join(CHOICES)}, not {', '.join(unknown)}")
    for one, other in (("improvised", "scripted"), ("emodarts", "scripted"), ("emodarts", "speakers")):
        if one in choices and other in choices:
            raise ValueError(f"configs/iemocap.py: {one} and {other} exclude each other")
    c = cnn_search.get_config() if size == "paper" else ravdess.get_config(size)
    c.data.corpus = "iemocap"
    c.data.emotions = {
        "neutral": "neutral",
        "happy": "happy",
        "sad": "sad",
        "angry": "angry",
        "excited": "happy",
    }
    c.data.group_by = "session"
    c.folds.count = 0
    c.folds.validation_groups = 1
    c.features.seconds = 8.0
    c.search.batch_size = c.train.batch_size = 64
    if size == "quick":
        c.features.seconds = 4.0
        c.folds.run = (0,)
        c.search.epochs = 3
        c.train.epochs = 10
    for part in ("improvised", "scripted"):
        if part in choices:
            c.data.parts = (part,)
    if "without_excited" in choices or "emodarts" in choices:
        del c.data.emotions["excited"]
    if "speakers" in choices or "emodarts" in choices:
        c.data.group_by = "speaker"
        c.folds.validation_groups = 2
    if "emodarts" in choices:
        c.data.parts = ("improvised",)
        c.folds.test = tuple(tuple(f"speaker_{name}" for name in pair) for pair in EMODARTS)
    return joint.search_jointly(c, quick=size == "quick") if is_joint else c
