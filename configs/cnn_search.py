"""The original paper's search on a corpus of your own: the CNN is searched, LSTM and attention after it are fixed.

    python -m jax_ser_darts.main --config=cnn_search --config.data.corpus=NAME --config.data.source=DIR \
        --workdir=DIR

Source: Rajapakshe et al. (2023); figures of the authors' code (see README, "What differs"): MFCC of 128 coefficients at
32,750 Hz, 8 s, time max-pooled by 4; four cells of four nodes, C = 8, dropout 0.3; 50 epochs of batch 64; SGD
0.025 -> 0.001, alphas by Adam 3e-4. `paper` trains three random architectures of each fold, too, and has not been run
to the end. `quick`, on RAVDESS (8 classes, 1 fold, 3 test speakers): UA 0.188 in 262 s, chance 0.125; it shows that all
works, and its few steps move the alphas so little that both orders find the same cells.
"""

from jax_ser_darts.settings import default_config

VARIANTS = ("quick", "paper")


def get_config(variant: str = "paper"):
    """`paper` is the published size, for an accelerator; `quick` has the same features in two small cells."""
    c = default_config()
    c.data.corpus = "ravdess"
    c.features.kind = "mfcc"
    c.features.sampling_rate = 32_750
    c.features.seconds = 8.0
    c.features.n_fft = 2048
    c.features.hop = 512
    c.features.coefficients = 128
    c.features.n_mels = 128
    c.features.pool = 4
    c.features.pool_kind = "max"
    c.folds.count = 5
    c.search.dropout = 0.3
    c.search.batch_size = 64
    c.train.batch_size = 64
    if variant == "quick":
        c.model.stem_stride = 2
        c.space.nodes = 2
        c.folds.run = (0,)
        for part in (c.search, c.train):
            part.cells = 2
            part.epochs = 5
            part.batch_size = 16
    elif variant == "paper":
        c.baselines.random = 3
    else:
        raise ValueError(f"configs/cnn_search.py has the variants {', '.join(VARIANTS)}, not {variant!r}")
    return c
