"""What a config must be, as far as it can be known before the data is read."""

import math

import ml_collections

from jax_ser_darts import bilevel
from jax_ser_darts.config import search_variant
from jax_ser_darts.data.augment import Augmentation
from jax_ser_darts.devices import parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.models.baselines import BASELINES, MATCHED, SIZES
from jax_ser_darts.models.relaxed import EDGES
from jax_ser_darts.search_space.operations import CONVOLUTIONS, SKIP, check_operations
from jax_ser_darts.search_space.sequence_operations import SEQUENCES
from jax_ser_darts.training.spaces import is_random


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


def _whole_numbers(config, *names):
    for name in names:
        for value in _get(config, name):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ConfigError(f"config.{name}: {value!r} is no whole number")


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
    _check_grid(config)
    _check_folds(config)
    _check_networks(config)
    _check_optimisation(config)
    _check_collapse(config)
    _check_orders(config)
    _check_methods(config)
    _one_of(config, "parallel", parallel.MAPPINGS)
    _within(config, 0, 10**9, "devices", "data.workers")
    _positive(config, "grid.workers", "scores.permutations", "scores.resamples")
    _one_of(config, "scores.cluster", ("speaker", "fold"))
    _within(config, 0.5, 0.9999, "scores.level")
    _check_bundle(config)
    # Last: what is wrong with a setting that variants share is no variant's fault.
    _check_variants(config)
    _check_remedies(config)


def _check_grid(config):
    """The seeds, and what must not be named twice."""
    _within(config, 0, 2**31 - 1, "seed", "folds.seed")
    for name in ("search.seeds", "train.seeds"):
        if not _get(config, name):
            raise ConfigError(f"config.{name} is empty: name at least one, e.g. (0,)")
        _whole_numbers(config, name)
        for seed in _get(config, name):
            if seed < 0:
                raise ConfigError(f"config.{name}: {seed} is below 0")
    for name in (
        "search.seeds",
        "train.seeds",
        "folds.run",
        "search.methods",
        "baselines.networks",
        "baselines.sizes",
        "baselines.svm_c",
    ):
        values = tuple(_get(config, name))
        if len(set(values)) < len(values):
            raise ConfigError(f"config.{name} = {values} names one twice")


def _check_folds(config):
    _within(config, 0, 10**9, "folds.count", "folds.validation_groups")
    _whole_numbers(config, "folds.run")
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


def _check_networks(config):
    """The space, and the sizes of supernet and networks."""
    _positive(
        config, "space.nodes", "model.stem_multiplier", "model.project", "model.hidden", "model.attention"
    )
    _one_of(config, "model.stem_stride", (1, 2))
    _one_of(config, "search.sequence", SEQUENCES)
    _positive(config, "search.sequence_nodes")
    _one_of(config, "search.edges", EDGES)
    try:
        check_operations(config.space.operations)
    except ValueError as error:
        raise ConfigError(f"config.space.operations: {error}") from None
    for part in ("search", "train"):
        section = config[part]
        _positive(
            config, *(f"{part}.{name}" for name in ("cells", "channels", "sequence_cells", "sequence_width"))
        )
        _whole_numbers(config, f"{part}.reductions")
        for cell in section.reductions:
            if not 0 <= cell < section.cells:
                raise ConfigError(
                    f"config.{part}.reductions: there is no cell {cell} among {section.cells} cells"
                )
        if section.channels % 2:
            raise ConfigError(
                f"config.{part}.channels = {section.channels} must be even: a reduction halves it"
            )
        if _smallest_side(config, part) < 1:
            raise ConfigError(
                f"config.{part}.cells = {section.cells}: the reductions leave nothing of "
                f"{config.features.coefficients} coefficients; use fewer reductions or more coefficients"
            )


def _check_optimisation(config):
    """How weights and alphas are moved, and for how long."""
    for part in ("search", "train"):
        _positive(config, *(f"{part}.{name}" for name in ("epochs", "batch_size", "learning_rate", "clip")))
        _within(config, 0.0, 0.95, f"{part}.dropout")
        _within(config, 0.0, 1.0, f"{part}.momentum", f"{part}.weight_decay")
        _within(config, 0.0, config[part].learning_rate, f"{part}.final_learning_rate")
    _one_of(config, "search.hvp", bilevel.PRODUCTS)
    _positive(config, "search.alphas_learning_rate", "search.hvp_epsilon")
    _within(config, 0.05, 0.95, "search.params_share")
    _within(config, 0, config.search.epochs, "search.warmup_epochs")
    if len(config.search.alphas_betas) != 2 or not all(0 <= b < 1 for b in config.search.alphas_betas):
        raise ConfigError(
            f"config.search.alphas_betas = {config.search.alphas_betas} must be two numbers in [0, 1)"
        )
    _one_of(config, "train.optimiser", ("adamw", "sgd"))
    _within(config, 0.0, 0.95, "train.drop_path", "train.label_smoothing")
    _within(config, 0.0, 0.9999, "train.bn_momentum")
    _within(config, 0, 10**9, "train.patience", "train.auxiliary")
    _positive(config, "train.checkpoint_epochs")
    try:
        Augmentation(**config.train.augment.to_dict())
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.train.augment: {error}") from None


def _check_bundle(config):
    _within(config, 0.0, 0.9, "bundle.overlap")
    _within(config, -120.0, 0.0, "bundle.silence")
    _within(config, -1, 2**31 - 1, "bundle.fold", "bundle.seed")
    for pair in config.bundle.labels:
        if isinstance(pair, str) or len(pair) != 2:
            raise ConfigError(
                f"config.bundle.labels: {pair!r} is not a pair of classes, such as ('joy', 'happy')"
            )


# What a variant of the search may not change: protocol and budget are the same for all that are compared.
SHARED = frozenset(("methods", "seeds", "variants", "epochs", "batch_size", "params_share", "class_weights"))


def _check_orders(config):
    """Whether the search methods that are asked for are variants."""
    variants = config.search.variants
    for method in config.search.methods:
        if method not in variants:
            raise ConfigError(f"config.search.methods: {method!r} is not one of {', '.join(variants)}")
        if is_random(method):
            raise ConfigError(f"config.search.variants.{method}: the random architectures are called so")


def _check_variants(config):
    """Whether each variant would do as the section `search`."""
    for method, changes in config.search.variants.items():
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
                changed.search.methods = ()
                changed.baselines.random = 1  # something is asked for
                changed.baselines.networks = ()
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
    _positive(config, "search.perturbation_batches", "search.partial_channels")
    _within(config, 0, 10**9, "search.perturbation_steps")
    if config.search.stop_eigenvalue and not config.search.eigenvalue:
        raise ConfigError("config.search.stop_eigenvalue needs config.search.eigenvalue=True")


def _check_remedies(config):
    """What the settings against a collapse need of the space, where they are asked for."""
    for method in config.search.methods:
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
        if settings.channels % settings.partial_channels:
            raise ConfigError(
                f"config.search.channels = {settings.channels}, of {method}, is not divisible by "
                f"config.search.partial_channels = {settings.partial_channels}"
            )
        if settings.perturbation and settings.partial_channels > 1:
            raise ConfigError(
                f"config.search.perturbation, of {method}, needs config.search.partial_channels=1: channels that pass "
                "the candidates by stay on an edge that is taken away, so what it is worth cannot be measured"
            )


def _check_methods(config):
    baselines, found = config.baselines, bool(config.search.methods or config.train.genotype)
    _within(config, 0, 10**9, "baselines.random", "baselines.parameters")
    for name, known in (("networks", BASELINES), ("sizes", SIZES)):
        if unknown := [value for value in baselines[name] if value not in known]:
            raise ConfigError(f"config.baselines.{name}: {unknown[0]!r} is not one of {', '.join(known)}")
    if not (found or baselines.random or baselines.networks or baselines.svm):
        raise ConfigError(
            "config.search.methods is empty, config.train.genotype names no file, and config.baselines asks for nothing"
        )
    if baselines.networks and not baselines.sizes:
        raise ConfigError(f"config.baselines.sizes is empty: name at least one of {', '.join(SIZES)}")
    if baselines.networks and MATCHED in baselines.sizes and not (found or baselines.parameters):
        raise ConfigError(
            "config.baselines.parameters = 0 is the size of the found networks, and none is asked for: give the number"
        )
    if not baselines.svm_c or not all(0 < c < math.inf for c in baselines.svm_c):
        raise ConfigError(f"config.baselines.svm_c = {baselines.svm_c} must be numbers above 0, e.g. (1.0,)")
    if baselines.svm and len(baselines.svm_c) > 1 and not config.folds.validation_groups:
        raise ConfigError("config.baselines.svm_c: several need config.folds.validation_groups to choose by")


def _smallest_side(config, part):
    section = config[part]
    reductions = len(set(section.reductions) or {section.cells // 3, 2 * section.cells // 3})
    if config.model.stem_stride == 2:
        reductions += 1
    return config.features.coefficients // 2**reductions
