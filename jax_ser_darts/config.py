"""The run's configuration: every setting with its default, and the checks that come before any work.

`configs/*.py` start from `default()` and change what differs. The sections:

    data       which corpus, where, which emotions
    features   sound -> [frames, coefficients]
    folds      speaker-independent test, validation and training parts
    space      what the search may choose
    model      what supernet and network share
    search     the bilevel search
    train      every network, from scratch
    methods    what found networks are compared with
    compare    --mode=compare
    scores     intervals
    bundle     what is exported, and how it hears recordings
"""

import json
import math
import pathlib

import ml_collections

from jax_ser_darts import bilevel
from jax_ser_darts.augment import Augmentation
from jax_ser_darts.files import write_json
from jax_ser_darts.models.baselines import BASELINES, MATCHED, SIZES
from jax_ser_darts.models.relaxed import EDGES, LOOPED
from jax_ser_darts.search_space.operations import CONVOLUTIONS, OPERATIONS, SKIP, check_operations
from jax_ser_darts.search_space.sequence_operations import FIXED, SEQUENCES

FILE_NAME = "config.json"


class ConfigError(ValueError):
    """A setting that cannot work; the message names it and says what would."""


def default() -> ml_collections.ConfigDict:
    """Every setting, at its default."""
    c = ml_collections.ConfigDict()
    c.seed = 0  # of the random architectures; searches and trainings have seeds of their own
    c.devices = 0  # local devices to use; 0 is all
    c.fast_math = True  # lets a CPU add in another order: sums are vectorised

    c.data = ml_collections.ConfigDict()
    c.data.corpus = "manifest"  # demo, manifest, or a reader of data_prep/corpora, such as iemocap
    c.data.source = ""  # the corpus's folder, or the manifest; "" makes the demo corpus
    c.data.records = ""  # where TFRecords go; "" is WORKDIR/records
    c.data.emotions = ml_collections.ConfigDict()  # {emotion: class}; empty takes every emotion as it is
    c.data.parts = ()  # of the corpus, as its reader names them, e.g. ("improvised",); () takes all
    c.data.target = False  # True takes the emotion asked of the speaker instead of the one heard (msp_improv)
    c.data.group_by = "speaker"  # what folds divide: speaker or session; part is the corpus's own division
    c.data.on_bad_file = "error"  # or skip
    c.data.workers = 0  # processes that compute features; 0 is one a core

    c.features = ml_collections.ConfigDict()
    c.features.kind = "logmel"  # or mfcc
    c.features.sampling_rate = 16_000  # Hz
    c.features.seconds = 4.0  # longer utterances are cut here
    c.features.n_fft = 512  # samples
    c.features.hop = 160  # samples
    c.features.coefficients = 64  # mel bands, or cepstral coefficients
    c.features.n_mels = 128  # mel bands below the cepstral coefficients (mfcc)
    c.features.fmin = 0.0  # Hz
    c.features.fmax = 0.0  # Hz; 0 is half the sampling rate
    c.features.pool = 4  # frames pooled into one
    c.features.pool_kind = "mean"  # or max

    c.folds = ml_collections.ConfigDict()
    c.folds.count = 6  # parts the speaker groups are divided in; 0 leaves one group out
    c.folds.test = ()  # groups that each fold tests, (("speaker_01M", "speaker_02F"), ...), instead of count
    c.folds.run = ()  # which folds to run; () is all
    c.folds.validation_groups = 2  # speaker groups for early stopping
    c.folds.seed = 0

    c.space = ml_collections.ConfigDict()
    c.space.nodes = 4
    c.space.operations = OPERATIONS

    c.model = ml_collections.ConfigDict()
    c.model.stem_multiplier = 3
    c.model.stem_stride = 1  # 2 halves frames and coefficients before the first cell
    c.model.project = 64  # of a frame, before the fixed LSTM
    c.model.hidden = 64  # of the fixed LSTM, a direction
    c.model.attention = 64  # of the pooling over time

    c.search = ml_collections.ConfigDict()
    c.search.orders = bilevel.ORDERS  # which of the variants below
    c.search.seeds = (0,)  # searches of each: of the weights, the alphas and the order of the batches
    c.search.variants = (
        ml_collections.ConfigDict()
    )  # name -> its order, and settings of this section that it changes
    c.search.variants.first = ml_collections.ConfigDict({"order": bilevel.FIRST})
    c.search.variants.second = ml_collections.ConfigDict({"order": bilevel.SECOND})
    c.search.variants.implicit = ml_collections.ConfigDict({"order": bilevel.IMPLICIT})
    c.search.variants.darts_minus = ml_collections.ConfigDict({"order": bilevel.FIRST, "auxiliary_skip": 1.0})
    c.search.variants.darts_plus = ml_collections.ConfigDict(
        {"order": bilevel.FIRST, "stop_skips": 2, "stop_stable": 10}
    )
    c.search.variants.robust_darts = ml_collections.ConfigDict(
        {"order": bilevel.FIRST, "eigenvalue": True, "stop_eigenvalue": 1.3}
    )
    c.search.variants.darts_pt = ml_collections.ConfigDict({"order": bilevel.FIRST, "perturbation": True})
    c.search.variants.second_differences = ml_collections.ConfigDict(
        {"order": bilevel.SECOND, "product": bilevel.FINITE_DIFFERENCES}
    )
    c.search.cells = 4
    c.search.reductions = ()  # cells that halve; () is at 1/3 and 2/3
    c.search.channels = 8
    c.search.sequence = FIXED  # LSTM, attention; or cells searched too: all, lstm, rnn, lstm_att, rnn_att
    c.search.sequence_nodes = 4  # of a sequence cell, where there are any
    c.search.sequence_cells = 4
    c.search.sequence_width = 16  # units of a node of a sequence cell, and of each recurrence in it
    c.search.epochs = 50
    c.search.batch_size = 16
    c.search.weights_share = 0.5  # of the training speakers; the others' data is for the alphas
    c.search.learning_rate = 0.025
    c.search.final_learning_rate = 0.001
    c.search.momentum = 0.9
    c.search.weight_decay = 3e-4
    c.search.clip = 5.0
    c.search.alphas_learning_rate = 3e-4
    c.search.alphas_betas = (0.5, 0.999)
    c.search.alphas_weight_decay = 1e-3
    c.search.alphas_scale = 1e-3
    c.search.warmup_epochs = 0  # epochs that train weights only
    c.search.product = bilevel.EXACT  # or finite_differences
    c.search.difference_size = 0.01
    c.search.dropout = 0.0
    c.search.class_weights = True
    c.search.auxiliary_skip = (
        0.0  # DARTS-: beta of a further skip on each edge, falls to 0; theirs starts at 1
    )
    c.search.stop_skips = 0  # ends with so many skip connections in the normal cell (DARTS+: 2); 0 never
    c.search.stop_stable = (
        0  # ends when the learnable candidates' ranking has been the same for so many epochs (DARTS+: 10)
    )
    c.search.eigenvalue = False  # each epoch: the dominant eigenvalue of d2 L_val / d alphas2, on one batch
    c.search.eigenvalue_products = 20  # at most, each a pass forward over reverse
    c.search.eigenvalue_tolerance = 1e-2  # of the eigenvalue; fewer products do then
    c.search.stop_eigenvalue = 0.0  # ends when its mean has grown by this factor (RobustDARTS: 1.3); 0 never
    c.search.stop_eigenvalue_window = 5  # epochs of a mean
    c.search.stop_eigenvalue_delay = (
        4  # epochs between the means; the genotype is that of so many epochs before
    )
    c.search.stop_eigenvalue_start = 10  # no end before this epoch
    c.search.perturbation = (
        False  # chooses what the supernet misses most (DARTS-PT) instead of the largest alphas
    )
    c.search.perturbation_batches = 4  # of the alphas' data, for each loss
    c.search.perturbation_steps = 20  # that train the weights after each decision
    c.search.neumann_terms = 3  # order implicit: products with the Hessian of L_train
    c.search.neumann_rate = 0.01  # of the series: above 2 / largest eigenvalue it diverges
    c.search.edges = LOOPED  # little memory, compiled soon; or unrolled: faster steps
    c.search.rematerialise = False  # computes each CNN cell again in the backward pass: less memory, slower
    c.search.fast = True  # False: plain XLA convolutions and autodiff

    c.train = ml_collections.ConfigDict()
    c.train.genotype = ""  # a genotype file to train, instead of those the search finds
    c.train.cells = 4
    c.train.reductions = ()
    c.train.channels = 8
    c.train.sequence_cells = 4  # where the genotype has a sequence cell
    c.train.sequence_width = 16
    c.train.epochs = 60
    c.train.batch_size = 16
    c.train.seeds = (0,)
    c.train.optimiser = "adamw"  # or sgd
    c.train.learning_rate = 1e-3
    c.train.final_learning_rate = 1e-5
    c.train.momentum = 0.9  # sgd
    c.train.weight_decay = 1e-3
    c.train.clip = 5.0
    c.train.dropout = 0.3
    c.train.drop_path = 0.0
    c.train.auxiliary = 0.0  # weight of the auxiliary head's loss; 0 is off
    c.train.label_smoothing = 0.0
    c.train.class_weights = True
    c.train.patience = 0  # epochs without a better validation UA before stopping; 0 never stops early
    c.train.bn_momentum = 0.9
    c.train.checkpoint_epochs = 5
    c.train.augment = ml_collections.ConfigDict()
    c.train.augment.time_masks = 0
    c.train.augment.time_width = 20  # frames, after pooling
    c.train.augment.time_share = 1.0  # of an utterance that one mask may cover
    c.train.augment.frequency_masks = 0
    c.train.augment.frequency_width = 8  # coefficients
    c.train.augment.gain = 0.0  # dB, at most
    c.train.augment.noise = 0.0  # standard deviation, in normalised units
    c.train.augment.shift = 0  # frames, at most

    c.methods = ml_collections.ConfigDict()
    c.methods.random = 0  # architectures drawn from the search space and trained as the found ones
    c.methods.baselines = ()  # of cnn, lstm, cnn_lstm, cnn_lstm_attention
    c.methods.sizes = SIZES  # of the baselines: as published, as many parameters as the found networks
    c.methods.parameters = 0  # of the matched size; 0 is the mean of the found networks
    c.methods.svm = False  # an SVM on openSMILE's eGeMAPS functionals: pip install '.[baselines]'
    c.methods.svm_c = (1.0,)  # several are tried on the validation speakers

    c.compare = ml_collections.ConfigDict()
    c.compare.workers = (
        1  # processes of --mode=compare: each has its share of the GPUs or cores; a TPU takes one
    )
    c.compare.cluster = "speaker"  # what the paired tests take as independent: speaker or fold
    c.compare.permutations = 100_000  # where all of them would be more

    c.scores = ml_collections.ConfigDict()
    c.scores.level = 0.95
    c.scores.resamples = 2000

    c.bundle = ml_collections.ConfigDict()
    c.bundle.method = (
        ""  # whose network is exported; "" is the best on validation speakers, see export.choose
    )
    c.bundle.fold = -1  # of which fold; -1 is any
    c.bundle.seed = -1  # of which training seed; -1 is any
    c.bundle.licence = ""  # of the corpus, for the model card; "" is what is known of a corpus with a reader
    c.bundle.overlap = 0.5  # of the windows that a long recording is heard in; a share of a window
    c.bundle.silence = -60.0  # dB of full scale; no 25 ms of a window above it: silence
    c.bundle.labels = ()  # evaluate --bundle: ((class of the corpus, class of the bundle), ...) where names differ
    return c


def _positive(config, *names):
    for name in names:
        value = _get(config, name)
        if value <= 0:
            raise ConfigError(f"config.{name} = {value} must be above 0")


def _within(config, low, high, *names):
    for name in names:
        value = _get(config, name)
        if not low <= value <= high:
            raise ConfigError(f"config.{name} = {value} must be from {low} to {high}")


def _one_of(config, name, allowed):
    value = _get(config, name)
    if value not in allowed:
        raise ConfigError(f"config.{name} = {value!r} is not one of {', '.join(map(str, allowed))}")


def _get(config, name):
    for part in name.split("."):
        config = config[part]
    return config


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks everything that can be known before the data is read.

    Raises:
        ConfigError: naming the setting.
    """
    _positive(
        config, "space.nodes", "model.stem_multiplier", "model.project", "model.hidden", "model.attention"
    )
    _one_of(config, "model.stem_stride", (1, 2))
    _one_of(config, "search.sequence", SEQUENCES)
    _positive(config, "search.sequence_nodes")
    try:
        check_operations(config.space.operations)
    except ValueError as error:
        raise ConfigError(f"config.space.operations: {error}") from None
    for part in ("search", "train"):
        names = ("cells", "channels", "epochs", "batch_size", "learning_rate", "clip")
        names += ("sequence_cells", "sequence_width")
        _positive(config, *(f"{part}.{name}" for name in names))
        _within(config, 0.0, 0.95, f"{part}.dropout")
        for cell in config[part].reductions:
            if not 0 <= cell < config[part].cells:
                raise ConfigError(
                    f"config.{part}.reductions: there is no cell {cell} among {config[part].cells} cells"
                )
        if config[part].channels % 2:
            raise ConfigError(
                f"config.{part}.channels = {config[part].channels} must be even: a reduction halves it"
            )
        if _smallest_side(config, part) < 1:
            raise ConfigError(
                f"config.{part}.cells = {config[part].cells}: the reductions leave nothing of "
                f"{config.features.coefficients} coefficients; use fewer reductions or more coefficients"
            )
    _one_of(config, "search.product", bilevel.PRODUCTS)
    _one_of(config, "search.edges", EDGES)
    _positive(config, "compare.workers", "compare.permutations")
    _one_of(config, "compare.cluster", ("speaker", "fold"))
    _check_collapse(config)
    _check_variants(config)
    _check_remedies(config)
    _check_methods(config)
    _within(config, 0.05, 0.95, "search.weights_share")
    _within(config, 0, config.search.epochs, "search.warmup_epochs")
    _one_of(config, "train.optimiser", ("adamw", "sgd"))
    _within(config, 0.0, 0.95, "train.drop_path", "train.label_smoothing")
    _within(config, 0.0, 0.9999, "train.bn_momentum")
    _within(config, 0, 10**9, "train.patience", "train.auxiliary", "devices", "data.workers")
    _positive(config, "train.checkpoint_epochs")
    for name in ("search.seeds", "train.seeds"):
        if not _get(config, name):
            raise ConfigError(f"config.{name} is empty: name at least one, e.g. (0,)")
    for name in (
        "search.seeds",
        "train.seeds",
        "folds.run",
        "search.orders",
        "methods.baselines",
        "methods.sizes",
        "methods.svm_c",
    ):
        values = tuple(_get(config, name))
        if len(set(values)) < len(values):
            raise ConfigError(f"config.{name} = {values} names one twice")
    _within(config, 0, 2**31 - 1, "seed", "folds.seed")
    for name in ("search.seeds", "train.seeds"):
        for seed in _get(config, name):
            if seed < 0:
                raise ConfigError(f"config.{name}: {seed} is below 0")
    for test in config.folds.test:
        if isinstance(test, str) or not test:
            raise ConfigError(f"config.folds.test: {test!r} is not a fold's groups, such as ('speaker_01',)")
    _one_of(config, "data.group_by", ("speaker", "session", "part"))
    if config.folds.test and config.data.group_by == "part":
        raise ConfigError(
            "config.folds.test names tests, but with config.data.group_by='part' the corpus does"
        )
    count = 1 if config.data.group_by == "part" else len(config.folds.test) or config.folds.count
    for fold in config.folds.run:
        if fold < 0 or (count and fold >= count):
            raise ConfigError(f"config.folds.run: there is no fold {fold} among {count}")
    if len(config.search.alphas_betas) != 2 or not all(0 <= b < 1 for b in config.search.alphas_betas):
        raise ConfigError(
            f"config.search.alphas_betas = {config.search.alphas_betas} must be two numbers in [0, 1)"
        )
    for part in ("search", "train"):
        _within(config, 0.0, 1.0, f"{part}.momentum", f"{part}.weight_decay")
        _within(config, 0.0, config[part].learning_rate, f"{part}.final_learning_rate")
    _positive(config, "search.alphas_learning_rate", "search.difference_size", "scores.resamples")
    _within(config, 0.5, 0.9999, "scores.level")
    _within(config, 0.0, 0.9, "bundle.overlap")
    _within(config, -120.0, 0.0, "bundle.silence")
    _within(config, -1, 2**31 - 1, "bundle.fold", "bundle.seed")
    for pair in config.bundle.labels:
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(
                f"config.bundle.labels: {pair!r} is not a pair of classes, such as ('joy', 'happy')"
            )
    try:
        Augmentation(**config.train.augment.to_dict())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.train.augment: {error}") from None


def search_variant(config: ml_collections.ConfigDict, method: str) -> tuple[str, ml_collections.ConfigDict]:
    """The order of a search method, and the section `search` with the settings that it changes."""
    settings = ml_collections.ConfigDict(config.search.to_dict())
    changes = dict(settings.variants[method])
    order = changes.pop("order")
    settings.update(changes)
    return order, settings


# What a variant of the search may not change: protocol and budget are the same for all that are compared.
SHARED = frozenset(("orders", "seeds", "variants", "epochs", "batch_size", "weights_share", "class_weights"))


def _check_variants(config):
    variants = config.search.variants
    for method in config.search.orders:
        if method not in variants:
            raise ConfigError(f"config.search.orders: {method!r} is not one of {', '.join(variants)}")
    for method, changes in variants.items():
        where = f"config.search.variants.{method}"
        if not method.isidentifier():
            raise ConfigError(f"{where}: a name of letters, digits and underscores is needed, for its folder")
        if changes.get("order") not in bilevel.HYPERGRADIENTS:
            raise ConfigError(f"{where}.order must be one of {', '.join(bilevel.HYPERGRADIENTS)}")
        for name in set(changes) - {"order"}:
            if name not in config.search:
                raise ConfigError(f"{where}.{name}: config.search has no such setting")
            if name in SHARED:
                raise ConfigError(f"{where}.{name}: this is the same for all that are compared")
        if set(changes) > {"order"}:
            changed = ml_collections.ConfigDict(config.to_dict())
            try:
                changed.search = search_variant(config, method)[1]
                changed.search.variants = {}
                changed.search.orders = ()
                changed.methods.svm = True  # something is asked for
                changed.methods.baselines = ()
                validate(changed)
            except (ConfigError, TypeError) as error:
                raise ConfigError(f"{where}: {error}") from None


def _check_collapse(config):
    """The ranges of the settings against a collapse."""
    _within(config, 0.0, 100.0, "search.auxiliary_skip", "search.stop_eigenvalue")
    _within(config, 0, 10**9, "search.stop_skips", "search.stop_stable", "search.neumann_terms")
    _within(config, 0, 10**9, "search.stop_eigenvalue_delay", "search.stop_eigenvalue_start")
    _positive(config, "search.eigenvalue_products", "search.stop_eigenvalue_window", "search.neumann_rate")
    _within(config, 0.0, 1.0, "search.eigenvalue_tolerance")
    _positive(config, "search.perturbation_batches")
    _within(config, 0, 10**9, "search.perturbation_steps")
    if config.search.stop_eigenvalue and not config.search.eigenvalue:
        raise ConfigError("config.search.stop_eigenvalue needs config.search.eigenvalue=True")


def _check_remedies(config):
    """What the settings against a collapse need of the space, where they are asked for."""
    for method in config.search.orders:
        _, settings = search_variant(config, method)
        operations = config.space.operations
        if settings.auxiliary_skip and SKIP not in operations:
            raise ConfigError(
                f"config.search.auxiliary_skip, of {method}: config.space.operations has no {SKIP}"
            )
        if settings.stop_stable and sum(name in CONVOLUTIONS for name in operations) < 2:
            raise ConfigError(
                f"config.search.stop_stable, of {method}: fewer than two of config.space.operations are learnable, "
                "so their ranking never changes"
            )


def _check_methods(config):
    methods, found = config.methods, bool(config.search.orders or config.train.genotype)
    _within(config, 0, 10**9, "methods.random", "methods.parameters")
    for name, known in (("baselines", BASELINES), ("sizes", SIZES)):
        if unknown := [value for value in methods[name] if value not in known]:
            raise ConfigError(f"config.methods.{name}: {unknown[0]!r} is not one of {', '.join(known)}")
    if not (found or methods.random or methods.baselines or methods.svm):
        raise ConfigError(
            "config.search.orders is empty, config.train.genotype names no file, and config.methods asks for nothing"
        )
    if methods.baselines and not methods.sizes:
        raise ConfigError(f"config.methods.sizes is empty: name at least one of {', '.join(SIZES)}")
    if methods.baselines and MATCHED in methods.sizes and not (found or methods.parameters):
        raise ConfigError(
            "config.methods.parameters = 0 is the size of the found networks, and none is asked for: give the number"
        )
    if not methods.svm_c or not all(0 < c < math.inf for c in methods.svm_c):
        raise ConfigError(f"config.methods.svm_c = {methods.svm_c} must be numbers above 0, e.g. (1.0,)")
    if methods.svm and len(methods.svm_c) > 1 and not config.folds.validation_groups:
        raise ConfigError("config.methods.svm_c: several need config.folds.validation_groups to choose by")


def _smallest_side(config, part):
    section = config[part]
    reductions = len(set(section.reductions) or {section.cells // 3, 2 * section.cells // 3})
    if config.model.stem_stride == 2:
        reductions += 1
    return config.features.coefficients // 2**reductions


# A second run may change these in the same workdir: they add to its searches and networks, or change nothing in them.
FREE = frozenset(
    (
        "devices",
        "data.workers",
        "data.records",
        "folds.run",
        "search.orders",
        "search.seeds",
        "train.seeds",
        "train.genotype",
        "methods.random",
        "methods.baselines",
        "methods.sizes",
        "methods.parameters",
        "methods.svm",
        "methods.svm_c",
        "compare.workers",
        "compare.cluster",
        "compare.permutations",
    )
)
FREE_SECTION = "bundle."

# Settings that older runs had not, and what these did.
ADDED = {
    "search.sequence": FIXED,
    "search.sequence_nodes": 4,
    **{
        f"{part}.sequence_{name}": value
        for part in ("search", "train")
        for name, value in (("cells", 4), ("width", 16))
    },
    **{
        f"search.{name}": value
        for name, value in {
            "auxiliary_skip": 0.0,
            "stop_skips": 0,
            "stop_stable": 0,
            "eigenvalue": False,
            "eigenvalue_products": 20,
            "eigenvalue_tolerance": 1e-2,
            "stop_eigenvalue": 0.0,
            "stop_eigenvalue_window": 5,
            "stop_eigenvalue_delay": 4,
            "stop_eigenvalue_start": 10,
            "perturbation": False,
            "perturbation_batches": 4,
            "perturbation_steps": 20,
            "neumann_terms": 3,
            "neumann_rate": 0.01,
            "rematerialise": False,
        }.items()
    },
}


def _flat(config, prefix=""):
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def check_workdir(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, corpus: str | None = None
) -> None:
    """Checks that the workdir is new, or holds a run of this config and corpus.

    Args:
        config: of this run.
        workdir: where it is kept.
        corpus: the corpus's digest, where it is known yet.

    Raises:
        ConfigError: it holds another run; the message lists the differences.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        return
    if any(pathlib.Path(workdir).glob("search/*/fold_*")):
        raise ConfigError(
            f"{workdir} is from before searches had seeds (search/ORDER/fold_K): take another workdir"
        )
    claimed = json.loads(path.read_text())
    a, b = dict(_flat(_plain(config))), {**ADDED, **dict(_flat(claimed["config"]))}
    changed = [
        f"  config.{name}: {b.get(name, 'absent')!r} there, {a.get(name, 'absent')!r} now"
        for name in sorted({*a, *b} - FREE)
        if a.get(name, "absent") != b.get(name, "absent")
        and not name.startswith(FREE_SECTION)
        and not _new_variant(name, a, b)
    ]
    if corpus not in (None, claimed["corpus"]):
        changed.append("  the corpus has other utterances, labels or speakers than it had")
    if changed:
        raise ConfigError(
            f"{workdir} holds another run:\n"
            + "\n".join(changed)
            + "\nUse another --workdir, or the same config and corpus to go on with that run."
        )


def _new_variant(name, *configs):
    """Whether a setting is of a search variant that one of two flat configs does not know at all."""
    if not name.startswith("search.variants."):
        return False
    order = ".".join(name.split(".")[:3]) + ".order"
    return not all(order in config for config in configs)


def claim_workdir(config: ml_collections.ConfigDict, workdir: pathlib.Path, corpus: str) -> None:
    """Makes the workdir this config's and corpus's; arguments and errors as of `check_workdir`.

    Search variants that earlier runs knew stay known: their searches are still there.
    """
    check_workdir(config, workdir, corpus)
    path, claim = pathlib.Path(workdir) / FILE_NAME, _plain(config)
    if path.exists():
        known = json.loads(path.read_text())["config"].get("search", {}).get("variants", {})
        claim["search"]["variants"] = {**known, **claim["search"]["variants"]}
    write_json(path, {"config": claim, "corpus": corpus})


def _plain(config):
    return json.loads(json.dumps(config.to_dict()))
