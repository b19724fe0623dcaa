"""The comparison on RAVDESS: both orders, finite differences, random architectures, hand-designed networks; more seeds.

    python -m jax_ser_darts.main --config=configs/compare.py:quick --config.data.source=DIR --workdir=DIR --mode=compare
    python -m jax_ser_darts.main --config=configs/compare.py:joint ...   # CNN and joint search, every baseline, the SVM
    python -m jax_ser_darts.main --config=configs/compare.py:joint,8 ... # the same on eight classes

`--config.methods.svm=True` adds the SVM (pip install '.[baselines]'). `full` has 18 searches and 60 trainings of the
size of `ravdess.py:quick`: about 4 hours on two cores by what these took there, not yet run. `quick` has 12 searches of
4 epochs and 36 trainings of 10: it shows the machinery, and says nothing of the methods. `joint` has 24 searches, of
the CNN alone and of CNN and sequence cells together, two of each fold, and is of the size of `ravdess.py:quick,joint`;
its SVM needs pip install '.[baselines]'.
"""

from configs import joint, ravdess
from jax_ser_darts import bilevel
from jax_ser_darts.models.baselines import BASELINES, SIZES
from jax_ser_darts.search_space.sequence_operations import ALL, FIXED

EIGHT = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def get_config(variant: str = "full"):
    """`full` and `joint` take hours on two cores; `quick` is `full` in small; `joint,8` is `joint` on eight classes."""
    if variant in ("joint", "joint,8"):
        return _joint(eight=variant.endswith("8"))
    c = ravdess.get_config("quick")
    c.search.orders = ("first", "second", "second_differences")
    c.methods.baselines = ("cnn_lstm", "cnn_lstm_attention")
    c.methods.sizes = ("matched",)
    c.compare.workers = 2
    c.search.seeds = (0, 1)
    c.train.seeds = (0, 1)
    c.methods.random = 2
    if variant == "quick":
        c.folds.run = (0, 1)
        c.methods.baselines = ("cnn_lstm_attention",)
        c.model.project = c.model.hidden = c.model.attention = 32
        c.search.cells = c.train.cells = 2
        c.search.reductions = c.train.reductions = (1,)
        c.search.channels = c.train.channels = 4
        c.search.epochs = 4
        c.train.epochs = 10
    elif variant != "full":
        raise ValueError(
            f"configs/compare.py has the variants full, quick, joint and joint,8, not {variant!r}"
        )
    return c


def _joint(*, eight):
    """Both orders of both papers' searches, random architectures, all baselines at both sizes, the SVM."""
    c = joint.search_jointly(ravdess.get_config("quick"), quick=True)
    c.search.sequence = FIXED  # of the seed paper's searches, and of the random architectures
    for order in bilevel.ORDERS:
        c.search.variants[f"joint_{order}"] = {"order": order, "sequence": ALL}
    c.search.orders = (*bilevel.ORDERS, *(f"joint_{order}" for order in bilevel.ORDERS))
    c.search.seeds = (0, 1)
    c.train.seeds = (0, 1)
    c.methods.random = 2
    c.methods.baselines = BASELINES
    c.methods.sizes = SIZES
    c.methods.svm = True
    c.compare.workers = 2
    if eight:
        c.data.emotions = {emotion: emotion for emotion in EIGHT}
    return c
