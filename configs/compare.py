"""The comparison on RAVDESS: both orders, finite differences, random architectures, hand-designed networks; more seeds.

    python -m jax_ser_darts.main --config=configs/compare.py:quick --config.data.source=DIR --workdir=DIR --mode=compare

`--config.methods.svm=True` adds the SVM (pip install '.[baselines]'). `full` has 18 searches and 60 trainings of the
size of `ravdess.py:quick`: about 4 hours on two cores by what these took there, not yet run. `quick` has 12 searches of
4 epochs and 36 trainings of 10: it shows the machinery, and says nothing of the methods.
"""

from configs import ravdess


def get_config(variant: str = "full"):
    """`full` takes hours on two cores; `quick` is the same in small."""
    c = ravdess.get_config("quick")
    c.search.orders = ("first", "second", "second_differences")
    c.methods.baselines = ("cnn_lstm", "cnn_lstm_attention")
    c.methods.sizes = ("matched",)
    c.compare.workers = 2
    if variant == "full":
        c.search.seeds = (0, 1)
        c.train.seeds = (0, 1)
        c.methods.random = 2
    elif variant == "quick":
        c.folds.run = (0, 1)
        c.search.seeds = (0, 1)
        c.train.seeds = (0, 1)
        c.methods.random = 2
        c.methods.baselines = ("cnn_lstm_attention",)
        c.model.project = c.model.hidden = c.model.attention = 32
        c.search.cells = c.train.cells = 2
        c.search.reductions = c.train.reductions = (1,)
        c.search.channels = c.train.channels = 4
        c.search.epochs = 4
        c.train.epochs = 10
    else:
        raise ValueError(f"configs/compare.py has the variants quick and full, not {variant!r}")
    return c
