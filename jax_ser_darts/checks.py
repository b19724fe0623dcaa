"""What settings must be together, as far as it can be known before the data is read.

The type and range of each setting by itself are checked when it is resolved, see convert.py.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from data_prep.features import kind_of
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.extensions import load_extensions
from jax_ser_darts.models import baselines as networks
from jax_ser_darts.models.baselines import MATCHED
from jax_ser_darts.models.stem import PROJECT
from jax_ser_darts.search_space.operations import SKIP, check_operations, is_learnable
from jax_ser_darts.search_space.reductions import reduction_cells, smallest_side
from jax_ser_darts.settings import Search, Settings, resolve
from jax_ser_darts.settings.sections import Order, Train
from jax_ser_darts.training.spaces import is_random

# What a variant of the search may not change: protocol and budget are the same for all that are compared.
SHARED = frozenset(("methods", "seeds", "variants", "epochs", "batch_size", "params_share", "class_weights"))


def validated(config: Mapping[str, Any]) -> Settings:
    """The settings of a config, checked by themselves and together; errors as of `check`."""
    return check(resolve(config))


def check(settings: Settings) -> Settings:
    """The settings, if they can work together; their extensions are loaded.

    Raises:
        ExtensionError: an extension cannot be loaded.
        SettingsError: there is no such kind of features.
        ConfigError: the settings cannot work together; the message names a setting and says what would do.
    """
    load_extensions(settings.extensions)
    kind_of(settings.features)
    _check_folds(settings)
    _check_sizes(settings)
    _check_optimisation(settings)
    _check_methods(settings)
    _check_baselines(settings)
    # Last: what is wrong with a setting that variants share is no variant's fault.
    _check_variants(settings)
    for method in settings.search.methods:
        _check_remedies(settings, method)
    return settings


def _check_folds(s: Settings) -> None:
    for test in s.folds.test:
        if not test:
            raise ConfigError(f"config.folds.test: {test!r} is not a fold's groups, such as ('speaker_01',)")
    by_part = s.data.group_by == "part"
    if s.folds.test and by_part:
        raise ConfigError(
            "config.folds.test names tests, but with config.data.group_by='part' the corpus does"
        )
    count = 1 if by_part else len(s.folds.test) or s.folds.count
    for fold in s.folds.run:
        if count and fold >= count:
            raise ConfigError(f"config.folds.run: there is no fold {fold} among {count}")


def _check_sizes(s: Settings) -> None:
    try:
        check_operations(s.space.operations)
    except ValueError as error:
        raise ConfigError(f"config.space.operations: {error}") from None
    if s.model.stem == PROJECT and s.model.stem_stride == 2:
        raise ConfigError(
            "config.model.stem_stride = 2 is for stem=conv: for fewer frames set features.pool=2"
        )
    for name, section in (("search", s.search), ("train", s.train)):
        for cell in section.reductions:
            if cell >= section.cells:
                raise ConfigError(
                    f"config.{name}.reductions: there is no cell {cell} among {section.cells} cells"
                )
        if section.channels % 2:
            raise ConfigError(
                f"config.{name}.channels = {section.channels} must be even: a reduction halves it"
            )
        if _smallest_side(s, section) < 1:
            raise ConfigError(
                f"config.{name}.cells = {section.cells}: the reductions leave nothing of "
                f"{s.features.coefficients} coefficients; use fewer reductions or more coefficients"
            )


def _smallest_side(s: Settings, section: Search | Train) -> int:
    """Coefficients that are left after all reductions; a projection needs none."""
    if s.model.stem == PROJECT:
        return 1
    reductions = reduction_cells(section.cells, section.reductions or None)
    return smallest_side(s.features.coefficients, stem_stride=s.model.stem_stride, reductions=reductions)


def _check_optimisation(s: Settings) -> None:
    for name, section in (("search", s.search), ("train", s.train)):
        if section.final_learning_rate > section.learning_rate:
            raise ConfigError(
                f"config.{name}.final_learning_rate = {section.final_learning_rate} must be at most "
                f"config.{name}.learning_rate = {section.learning_rate}"
            )
    if s.search.warmup_epochs > s.search.epochs:
        raise ConfigError(
            f"config.search.warmup_epochs = {s.search.warmup_epochs} must be at most "
            f"config.search.epochs = {s.search.epochs}"
        )
    if max(s.search.alphas_betas) >= 1:
        raise ConfigError(
            f"config.search.alphas_betas = {s.search.alphas_betas} must be two numbers in [0, 1)"
        )
    if s.search.stop_eigenvalue and not s.search.eigenvalue:
        raise ConfigError("config.search.stop_eigenvalue needs config.search.eigenvalue=True")


def _check_methods(s: Settings) -> None:
    """Whether the search methods that are asked for are variants."""
    _check_known("search.methods", s.search.methods, s.search.variants)
    for method in s.search.methods:
        if is_random(method):
            raise ConfigError(f"config.search.variants.{method}: the random architectures are called so")


def _check_known(name: str, values: Iterable[str], known: Iterable[str]) -> None:
    for value in values:
        if value not in known:
            raise ConfigError(f"config.{name}: {value!r} is not one of {', '.join(known)}")


def _check_baselines(s: Settings) -> None:
    baselines, found = s.baselines, bool(s.search.methods or s.train.genotype)
    _check_known("baselines.networks", baselines.networks, networks.names())
    for name in baselines.networks:
        if is_random(name):
            raise ConfigError(f"config.baselines.networks: {name!r}: the random architectures are called so")
        if MATCHED in baselines.sizes and not networks.can_be_matched(name):
            raise ConfigError(
                f"config.baselines.sizes: {name} has one size alone, since its module has no attribute "
                f"{networks.WIDTH!r}: leave {MATCHED!r} out"
            )
    if not (found or baselines.random or baselines.networks or baselines.svm):
        raise ConfigError(
            "config.search.methods is empty, config.train.genotype names no file, and config.baselines asks for nothing"
        )
    if baselines.networks and not baselines.sizes:
        raise ConfigError("config.baselines.sizes is empty: name at least one of paper, matched")
    if baselines.networks and MATCHED in baselines.sizes and not (found or baselines.parameters):
        raise ConfigError(
            "config.baselines.parameters = 0 is the size of the found networks, and none is asked for: give the number"
        )
    if baselines.svm and len(baselines.svm_c) > 1 and not s.folds.validation_groups:
        raise ConfigError("config.baselines.svm_c: several need config.folds.validation_groups to choose by")


def _check_variants(s: Settings) -> None:
    """Whether each variant would do as the section `search`."""
    names = {field.name for field in dataclasses.fields(Search)}
    for method, changes in s.search.variants.items():
        where = f"config.search.variants.{method}"
        if not method.isidentifier():
            raise ConfigError(f"{where}: a name of letters, digits and underscores is needed, for its folder")
        if changes.get("order") not in get_args(Order):
            raise ConfigError(f"{where}.order must be one of {', '.join(get_args(Order))}")
        for name in set(changes) - {"order"}:
            if name not in names:
                raise ConfigError(f"{where}.{name}: config.search has no such setting")
            if name in SHARED:
                raise ConfigError(f"{where}.{name}: this is the same for all that are compared")
        try:
            _, search = s.method(method)
            _check_sizes(dataclasses.replace(s, search=search))
            _check_optimisation(dataclasses.replace(s, search=search))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None


def _check_remedies(s: Settings, method: str) -> None:
    """What the settings against a collapse need of the space, where they are asked for."""
    _, search = s.method(method)
    operations = s.space.operations
    if search.auxiliary_skip and SKIP not in operations:
        raise ConfigError(f"config.search.auxiliary_skip, of {method}: config.space.operations has no {SKIP}")
    if search.stop_stable and sum(map(is_learnable, operations)) < 2:
        raise ConfigError(
            f"config.search.stop_stable, of {method}: fewer than two of config.space.operations are learnable, "
            "so their ranking never changes"
        )
    if search.channels % search.partial_channels:
        raise ConfigError(
            f"config.search.channels = {search.channels}, of {method}, is not divisible by "
            f"config.search.partial_channels = {search.partial_channels}"
        )
    if search.perturbation and search.partial_channels > 1:
        raise ConfigError(
            f"config.search.perturbation, of {method}, needs config.search.partial_channels=1: channels that pass "
            "the candidates by stay on an edge that is taken away, so what it is worth cannot be measured"
        )
