"""Comparisons on RAVDESS: hypergradients, searches against a collapse, both papers' searches, what costs no search.

    python -m jax_ser_darts.main --config=compare --config.data.source=DIR --workdir=DIR --mode=compare
    python -m jax_ser_darts.main --config=compare:collapse ...  # searches that do not collapse
    python -m jax_ser_darts.main --config=compare:joint ...     # both papers' searches, baselines, the SVM
    python -m jax_ser_darts.main --config=compare:joint,8 ...   # on eight classes, in half the epochs

All but `quick` have the CNN cells of `ravdess.py:quick`, and its epochs unless they say otherwise, for two cores:

    full       first and second order, by exact products and by finite differences, the implicit gradient; 3 search
               seeds, 2 training seeds, 2 folds: 24 searches, 68 trainings, 4 hours of work: UA 0.604
               (implicit), 0.585 (first), 0.582 (second_differences), 0.553 (second), 0.596 (random), 0.637
               (CNN-LSTM-attention, matched); nothing significant
    collapse   first order beside DARTS-, DARTS+, RobustDARTS, DARTS-PT and PC-DARTS, 50 epochs long, since a collapse
               takes its time; 24 searches, 28 trainings, 3 hours of work: UA 0.586 (first), 0.582 (darts_plus), 0.613
               (darts_minus), 0.609 (robust_darts), 0.605 (darts_pt), 0.516 (pc_darts), 0.621 (random); nothing
               significant, and first order does not collapse
    joint      searches of the CNN alone and of CNN and sequence cells together, both orders, two of each fold, random
               architectures of both spaces, every baseline at both sizes, the SVM; 3 folds, 24 searches, 132
               trainings, 10 hours of work: UA 0.600 and 0.579 (CNN, second and first order), 0.590 and 0.568 (joint,
               first and second), 0.607 and 0.579 (random, of the CNN's and the joint space), 0.630 (CNN-LSTM), 0.557
               (SVM); nothing significant
    joint,8    the same on eight classes, 8 hours of work: UA 0.461 and 0.437 (CNN, first and second order), 0.455 and
               0.434 (joint, first and second), 0.445 and 0.473 (random), 0.473 (CNN-LSTM-attention), 0.466 (SVM);
               nothing significant
    quick      full in small, to see the machinery: searches of 4 epochs and trainings of 10 say nothing of the methods

`full` and `joint` differ in their grids alone: either takes over what the other has done in its workdir. The SVM needs
pip install -e '.[baselines]'; `--config.baselines.svm=True` adds it to the others.
"""

from jax_ser_darts import bilevel
from jax_ser_darts.configs import joint, ravdess
from jax_ser_darts.models.baselines import BASELINES, SIZES
from jax_ser_darts.search_space.sequence_operations import ALL, FIXED

VARIANTS = ("full", "quick", "collapse", "joint", "joint,8")
EIGHT = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")


def get_config(variant: str = "full"):
    """`full`, `collapse`, `joint` and `joint,8` take hours on two cores; `quick` is `full` in small."""
    makers = {
        "full": _hypergradients,
        "quick": lambda: _small(_hypergradients()),
        "collapse": _collapse,
        "joint": _joint,
        "joint,8": lambda: _eight(_joint()),
    }
    if variant not in VARIANTS:
        raise ValueError(f"configs/compare.py has the variants {', '.join(VARIANTS)}, not {variant!r}")
    return makers[variant]()


def _base():
    c = joint.search_jointly(ravdess.get_config("quick"), quick=True)
    c.search.sequence = FIXED  # unless a variant says otherwise
    c.grid.workers = 2
    c.baselines.random = 2
    return c


def _hypergradients():
    """What the alphas' gradient is worth: four of them, random architectures, hand-designed networks."""
    c = _base()
    c.search.methods = ("first", "second", "second_differences", "implicit")
    c.search.seeds = (0, 1, 2)
    c.train.seeds = (0, 1)
    c.folds.run = (0, 1)
    c.baselines.random = 3
    c.baselines.networks = ("cnn_lstm", "cnn_lstm_attention")
    c.baselines.sizes = ("matched",)
    return c


def _small(c):
    c.search.methods = ("first", "second", "second_differences")
    c.search.seeds = (0, 1)
    c.baselines.random = 2
    c.baselines.networks = ("cnn_lstm_attention",)
    c.model.project = c.model.hidden = c.model.attention = 32
    c.search.cells = c.train.cells = 2
    c.search.reductions = c.train.reductions = (1,)
    c.search.channels = c.train.channels = 4
    c.search.epochs = 4
    c.train.epochs = 10
    return c


def _collapse():
    """What keeps a long search from skip connections, and what that is worth."""
    c = _base()
    c.search.methods = ("first", "darts_minus", "darts_plus", "robust_darts", "darts_pt", "pc_darts")
    c.search.epochs = 50
    c.search.seeds = (0, 1)
    c.folds.run = (0, 1)
    return c


def _joint():
    """Both orders of both papers' searches, random architectures, all baselines at both sizes, the SVM."""
    c = _base()
    for order in bilevel.ORDERS:
        c.search.variants[f"joint_{order}"] = {"order": order, "sequence": ALL}
    c.search.methods = (*bilevel.ORDERS, *(f"joint_{order}" for order in bilevel.ORDERS))
    c.search.seeds = (0, 1)
    c.train.seeds = (0, 1)
    c.baselines.random = 3
    c.baselines.networks = BASELINES
    c.baselines.sizes = SIZES
    c.baselines.svm = True
    return c


def _eight(c):
    """Twice the utterances: with half the epochs as many steps as on four classes."""
    c.search.epochs //= 2
    c.train.epochs //= 2
    c.data.emotions = {emotion: emotion for emotion in EIGHT}
    return c
