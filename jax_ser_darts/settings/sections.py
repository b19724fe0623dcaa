"""Every setting of a run: its default, meaning, unit and range."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from data_prep.corpus_settings import CorpusSettings
from data_prep.features import FeatureSettings
from jax_ser_darts.data.augment import Augmentation
from jax_ser_darts.fields import all_fields, checked, section, setting
from jax_ser_darts.search_space.operations import OPERATIONS

SEED = 2**31 - 1  # the largest
Order = Literal["first", "second", "implicit"]
RecurrentPart = Literal["fixed", "all", "lstm", "rnn", "lstm_att", "rnn_att"]
Size = Literal["paper", "matched"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folds:
    """Speaker-independent test, validation and training parts."""

    count: int = setting(6, "folds that the speaker groups are divided in; 0 leaves one group out", low=0)
    test: tuple[tuple[str, ...], ...] = setting(
        (), "groups that each fold tests, such as (('speaker_01M', 'speaker_02F'), ...), instead of count"
    )
    run: tuple[int, ...] = setting(
        (), "folds to run; empty is all", low=0, unique=True, resumable=True, grid=True
    )
    validation_groups: int = setting(2, "speaker groups that choose a training's epoch", low=0)
    seed: int = setting(0, "of the division", low=0, high=SEED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Space:
    """What a search may choose."""

    nodes: int = setting(4, "of a CNN cell", low=1)
    operations: tuple[str, ...] = setting(OPERATIONS, "candidates of each edge", filled=True, unique=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """What supernet and network share."""

    stem_multiplier: int = setting(3, "channels of the stem, in channels of the first cell", low=1)
    stem: Literal["conv", "project"] = setting(
        "conv",
        "first layer: a 3x3 convolution over frames and coefficients, or a projection of each frame, after which only "
        "time is searched (for encoders)",
    )
    stem_stride: Literal[1, 2] = setting(1, "2 halves frames and coefficients before the first cell")
    project: int = setting(64, "width of a frame before the fixed LSTM", low=1)
    hidden: int = setting(64, "width of the fixed LSTM, a direction", low=1)
    attention: int = setting(64, "width of the pooling over time", low=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """The bilevel search. A method is one of `variants`: an order, and settings of this section that it changes."""

    methods: tuple[str, ...] = setting(
        ("first", "second"), "which of the variants are searched", unique=True, resumable=True, grid=True
    )
    seeds: tuple[int, ...] = setting(
        (0,),
        "one search of each method and fold a seed: of params, alphas and batches",
        low=0,
        unique=True,
        filled=True,
        resumable=True,
        grid=True,
    )
    variants: Mapping[str, Mapping[str, Any]] = setting(
        {
            "first": {"order": "first"},
            "second": {"order": "second"},
            "implicit": {"order": "implicit"},
            "darts_minus": {"order": "first", "auxiliary_skip": 1.0},
            "darts_plus": {"order": "first", "stop_skips": 2, "stop_stable": 10},
            "robust_darts": {"order": "first", "eigenvalue": True, "stop_eigenvalue": 1.3},
            "darts_pt": {"order": "first", "perturbation": True},
            "pc_darts": {"order": "first", "partial_channels": 4, "edge_normalisation": True},
            "second_differences": {"order": "second", "hvp": "finite_differences"},
        },
        "method -> its order (first, second, implicit) and the settings of search that it changes",
    )
    cells: int = setting(4, "CNN cells of the supernet", low=1)
    reductions: tuple[int, ...] = setting((), "cells that halve; empty is at 1/3 and 2/3", low=0)
    channels: int = setting(8, "of the first cell; even", low=2)
    sequence: RecurrentPart = setting(
        "fixed", "the recurrent part: LSTM and attention, or cells that are searched too"
    )
    sequence_nodes: int = setting(4, "of a sequence cell", low=1)
    sequence_cells: int = setting(4, "sequence cells, where they are searched", low=1)
    sequence_width: int = setting(16, "units of a node of a sequence cell", low=1)
    epochs: int = setting(50, "of a search", low=1)
    batch_size: int = setting(16, "utterances of a step, over all devices", low=1)
    params_share: float = setting(
        0.5,
        "share of the speakers, test aside, for the params; the others are for the alphas",
        low=0.05,
        high=0.95,
    )
    learning_rate: float = setting(0.025, "of the params, at the first step", above=0)
    final_learning_rate: float = setting(0.001, "of the params, at the last step (cosine)", low=0)
    momentum: float = setting(0.9, "of the params' SGD", low=0, high=1)
    weight_decay: float = setting(3e-4, "of the params", low=0, high=1)
    clip: float = setting(5.0, "largest norm of the params' gradient", above=0)
    alphas_learning_rate: float = setting(3e-4, "of the alphas' Adam", above=0)
    alphas_betas: tuple[float, float] = setting((0.5, 0.999), "of the alphas' Adam, below 1", low=0)
    alphas_weight_decay: float = setting(1e-3, "L2 decay of the alphas", low=0)
    alphas_scale: float = setting(1e-3, "standard deviation of the first alphas", low=0)
    warmup_epochs: int = setting(0, "epochs at the start that train params only", low=0)
    hvp: Literal["exact", "finite_differences"] = setting(
        "exact", "Hessian-vector product of the second order"
    )
    hvp_epsilon: float = setting(0.01, "norm of the step of finite differences (DARTS, eq. 8)", above=0)
    dropout: float = setting(0.0, "of the supernet", low=0, high=0.95)
    class_weights: bool = setting(True, "weigh the classes by their rarity")
    auxiliary_skip: float = setting(
        0.0,
        "DARTS-: weight of a further skip on each edge, falls to 0; 1 in the paper, 0 is off",
        low=0,
        high=100,
    )
    stop_skips: int = setting(
        0, "DARTS+: stop at so many skip connections in the normal cell; 2 in the paper, 0 is off", low=0
    )
    stop_stable: int = setting(
        0,
        "DARTS+: stop when the ranking of the learnable candidates is unchanged for so many epochs; 10 in the paper, "
        "0 is off",
        low=0,
    )
    eigenvalue: bool = setting(
        False,
        "each epoch: the dominant eigenvalue of the Hessian of the validation loss in the alphas, on one batch",
    )
    eigenvalue_products: int = setting(20, "Hessian-vector products for it, at most", low=1)
    eigenvalue_tolerance: float = setting(1e-2, "relative change that ends them sooner", low=0, high=1)
    stop_eigenvalue: float = setting(
        0.0,
        "RobustDARTS: stop when its mean has grown by this factor; 1.3 in the paper, 0 is off",
        low=0,
        high=100,
    )
    stop_eigenvalue_window: int = setting(5, "epochs of that mean", low=1)
    stop_eigenvalue_delay: int = setting(
        4, "epochs between the means; the genotype is as many epochs old", low=0
    )
    stop_eigenvalue_start: int = setting(10, "first epoch that it may stop", low=0)
    perturbation: bool = setting(
        False, "DARTS-PT: choose what the supernet misses most, instead of the largest alphas"
    )
    perturbation_batches: int = setting(4, "batches of the alphas' data for each loss", low=1)
    perturbation_steps: int = setting(20, "steps of the params after each decision", low=0)
    partial_channels: int = setting(
        1, "PC-DARTS: K; a mixture sees 1/K of the channels; 4 in the paper, 1 is all", low=1
    )
    edge_normalisation: bool = setting(
        False, "PC-DARTS: weigh the edges of a node by a softmax of their betas"
    )
    neumann_terms: int = setting(3, "order implicit: Hessian-vector products of the series", low=0)
    neumann_rate: float = setting(0.01, "of the series; it diverges above 2 / largest eigenvalue", above=0)
    edges: Literal["scan", "unroll"] = setting(
        "scan", "scan compiles one edge of a cell: little memory, soon compiled; unroll: faster steps"
    )
    remat: bool = setting(
        False,
        "compute the edges of each CNN cell again in the backward pass (scan always does): less memory, slower",
    )
    custom_kernels: bool = setting(
        True, "False: plain XLA convolutions and autodiff, which the tests compare with"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Every network, from scratch."""

    genotype: str = setting("", "a genotype file to train, instead of what the search finds", resumable=True)
    cells: int = setting(4, "CNN cells of a found network", low=1)
    reductions: tuple[int, ...] = setting((), "cells that halve; empty is at 1/3 and 2/3", low=0)
    channels: int = setting(8, "of the first cell; even", low=2)
    sequence_cells: int = setting(4, "where the genotype has a sequence cell", low=1)
    sequence_width: int = setting(16, "units of a node of a sequence cell", low=1)
    epochs: int = setting(60, "of a training", low=1)
    batch_size: int = setting(16, "utterances of a step, over all devices", low=1)
    seeds: tuple[int, ...] = setting(
        (0,),
        "one training of each network a seed",
        low=0,
        unique=True,
        filled=True,
        resumable=True,
        grid=True,
    )
    optimiser: Literal["adamw", "sgd"] = setting("adamw", "of the params")
    learning_rate: float = setting(1e-3, "at the first step", above=0)
    final_learning_rate: float = setting(1e-5, "at the last step (cosine)", low=0)
    momentum: float = setting(0.9, "of sgd", low=0, high=1)
    weight_decay: float = setting(1e-3, "of the params", low=0, high=1)
    clip: float = setting(5.0, "largest norm of the gradient", above=0)
    dropout: float = setting(0.3, "before the classifier", low=0, high=0.95)
    drop_path: float = setting(0.0, "chance that an edge is dropped, at the last epoch", low=0, high=0.95)
    auxiliary: float = setting(0.0, "weight of the auxiliary head's loss; 0 is off", low=0)
    label_smoothing: float = setting(0.0, "share of a label that goes to all classes", low=0, high=0.95)
    class_weights: bool = setting(True, "weigh the classes by their rarity")
    patience: int = setting(0, "stop after so many epochs without a better validation UA; 0 is never", low=0)
    bn_momentum: float = setting(0.9, "of the running statistics of batch normalisation", low=0, high=0.9999)
    checkpoint_epochs: int = setting(5, "epochs between two checkpoints", low=1)
    augment: Augmentation = section(Augmentation, "what is done to training utterances")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baselines:
    """What found networks are compared with."""

    random: int = setting(
        0, "architectures drawn from each search space, a fold", low=0, resumable=True, grid=True
    )
    networks: tuple[str, ...] = setting(
        (),
        "hand-designed: cnn, lstm, cnn_lstm, cnn_lstm_attention, linear, mlp",
        unique=True,
        resumable=True,
        grid=True,
    )
    sizes: tuple[Size, ...] = setting(
        ("paper", "matched"),
        "of these networks: as published, or with as many parameters as the found ones",
        unique=True,
        resumable=True,
        grid=True,
    )
    parameters: int = setting(
        0, "of the matched size; 0 is the mean of the found networks", low=0, resumable=True
    )
    svm: bool = setting(
        False,
        "an SVM on openSMILE's eGeMAPS functionals: pip install -e '.[baselines]'",
        resumable=True,
        grid=True,
    )
    svm_c: tuple[float, ...] = setting(
        (1.0,),
        "C of the SVM; several are tried on the validation speakers",
        above=0,
        filled=True,
        unique=True,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid:
    """Who does the jobs."""

    workers: int = setting(
        1,
        "processes that do the jobs; 1 is this one, several share the GPUs or cores; a TPU takes one",
        low=1,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Intervals and tests of the report."""

    level: float = setting(0.95, "of the intervals and tests", low=0.5, high=0.9999, resumable=True)
    resamples: int = setting(2000, "of the bootstrap", low=1, resumable=True)
    cluster: Literal["speaker", "fold"] = setting(
        "speaker", "what the paired tests take as independent", resumable=True
    )
    permutations: int = setting(
        100_000, "of the paired tests, where all would be more", low=1, resumable=True
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bundle:
    """What is exported, and how it predicts."""

    method: str = setting("", "whose network; empty is the best on validation speakers", resumable=True)
    fold: int = setting(-1, "of which fold; -1 is any", low=-1, high=SEED, resumable=True)
    seed: int = setting(-1, "of which training seed; -1 is any", low=-1, high=SEED, resumable=True)
    licence: str = setting(
        "", "of the corpus, for the model card; empty is what its reader knows", resumable=True
    )
    overlap: float = setting(
        0.5, "of the windows of a long recording, as a share of a window", low=0, high=0.9, resumable=True
    )
    silence: float = setting(
        -60.0,
        "level below which 25 ms are silence",
        unit="dB of full scale",
        low=-120,
        high=0,
        resumable=True,
    )
    labels: tuple[tuple[str, str], ...] = setting(
        (),
        "evaluate --bundle: (class of the corpus, class of the bundle) where the names differ",
        resumable=True,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run."""

    seed: int = setting(
        0, "of the random architectures; searches and trainings have their own", low=0, high=SEED
    )
    devices: int = setting(0, "local devices to use; 0 is all", low=0, resumable=True)
    parallel: Literal["pmap", "shard_map"] = setting(
        "pmap", "how a step is mapped over devices; several processes always take shard_map", resumable=True
    )
    fast_math: bool = setting(True, "let a CPU add in another order: sums are vectorised")
    extensions: tuple[str, ...] = setting(
        (),
        "modules of your own to import, which register operations, readers, features, baselines",
        resumable=True,
    )
    data: CorpusSettings = section(CorpusSettings, "which corpus, and which of its emotions")
    features: FeatureSettings = section(FeatureSettings, "sound -> [frames, coefficients]")
    folds: Folds = section(Folds, "speaker-independent test, validation and training parts")
    space: Space = section(Space, "what a search may choose")
    model: Model = section(Model, "what supernet and network share")
    search: Search = section(Search, "the bilevel search")
    train: Train = section(Train, "every network, from scratch")
    baselines: Baselines = section(Baselines, "what found networks are compared with")
    grid: Grid = section(Grid, "who does the jobs")
    scores: Scores = section(Scores, "intervals and tests")
    bundle: Bundle = section(Bundle, "what is exported, and how it predicts")

    def method(self, name: str) -> tuple[str, Search]:
        """The order of a search method, and the section `search` with the settings that it changes.

        Raises:
            ConfigError: it gives one a value of another type, or out of range.
        """
        changes = dict(self.search.variants[name])
        order = changes.pop("order")
        fields = {field.name: field for field in all_fields(Search, "search.")}
        changes = {key: checked(fields[f"search.{key}"], value) for key, value in changes.items()}
        return order, dataclasses.replace(self.search, **changes)
