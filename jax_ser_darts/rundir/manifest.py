"""A workdir belongs to one config and corpus; a second run of them goes on in it, and of others is refused."""

import contextlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import filelock
import ml_collections

from jax_ser_darts.config import default
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json
from jax_ser_darts.search_space.sequence_operations import FIXED

FILE_NAME = "config.json"

# A second run may change these in the same workdir: they add to its searches and networks, or change nothing in them.
FREE = frozenset(
    (
        "devices",
        "parallel",
        "data.workers",
        "data.source",  # what lies there is told by the corpus's digest
        "data.records",
        "folds.run",
        "search.methods",
        "search.seeds",
        "train.seeds",
        "train.genotype",
        "baselines.random",
        "baselines.networks",
        "baselines.sizes",
        "baselines.parameters",
        "baselines.svm",
        "baselines.svm_c",
        "grid.workers",
        "scores.cluster",
        "scores.permutations",
    )
)
FREE_SECTION = "bundle."

# Of these, what spans the grid of a comparison.
GRID = (
    "folds.run",
    "search.methods",
    "search.seeds",
    "train.seeds",
    "baselines.random",
    "baselines.networks",
    "baselines.sizes",
    "baselines.svm",
)

# Mappings whose entries are the user's: today's defaults add nothing to what a run had.
WHOLE = frozenset(("data.emotions", "search.variants"))

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
            "partial_channels": 1,
            "edge_normalisation": False,
            "neumann_terms": 3,
            "neumann_rate": 0.01,
            "remat": False,
        }.items()
    },
}


def read_object(path: pathlib.Path, *entries: str) -> dict[str, Any]:
    """A file of a workdir that holds a JSON object.

    Raises:
        ConfigError: it holds something else, or an object without one of the entries.
    """
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(found, dict):
        raise _damaged(path, "it is no JSON object")
    if missing := [entry for entry in entries if entry not in found]:
        raise _damaged(path, f"it has no {', '.join(map(repr, missing))}")
    return found


def _damaged(path, why):
    return ConfigError(f"{path} is damaged ({why}): remove it, or take it from where it is whole")


def _claim(path):
    claimed = read_object(path, "config", "corpus")
    if not isinstance(claimed["config"], dict):
        raise _damaged(path, "its 'config' is no JSON object")
    return claimed


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
    claimed = _claim(path)
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
        known = _claim(path)["config"].get("search", {}).get("variants", {})
        claim["search"]["variants"] = {**known, **claim["search"]["variants"]}
    write_json(path, {"config": claim, "corpus": corpus})


@contextlib.contextmanager
def lock_workdir(workdir: pathlib.Path):
    """Holds the workdir for this process, by its file `.lock`; free when the process ends, however it ends.

    On a network file system, processes of other hosts see the lock where the system's `flock` reaches them, as that
    of NFS on Linux does.

    Raises:
        ConfigError: another process is at work in it.
    """
    if not hosts.is_primary():  # process 0 holds it for all of them
        yield
        return
    workdir.mkdir(parents=True, exist_ok=True)
    try:
        held = filelock.FileLock(workdir / ".lock").acquire(timeout=0)
    except filelock.Timeout:
        raise ConfigError(f"another process is at work in {workdir}: wait for it, or stop it") from None
    with held:
        yield


def read_claim(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, str]:
    """The config of the last run of a workdir, and its corpus's digest; settings that it had not are as they were.

    Raises:
        ConfigError: nothing has been run in it, or its config.json is damaged.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        raise ConfigError(f"{path} is missing: nothing has been run in this folder, or kept in it")
    saved, config = _claim(path), default().to_dict()
    for name, value in ADDED.items():
        *parts, last = name.split(".")
        section = config
        for part in parts:
            section = section[part]
        section[last] = value
    return ml_collections.ConfigDict(_merged(config, saved["config"])), saved["corpus"]


def joined(config: ml_collections.ConfigDict, other: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config, its grid as large as to hold the other's too; both as `read_claim` returns them."""
    both = config.copy_and_resolve_references()
    both.search.variants = {**other.search.variants.to_dict(), **config.search.variants.to_dict()}
    for name in GRID:
        section, key = name.split(".")
        both[section][key] = _union(config[section][key], other[section][key], empty_is_all=key == "run")
    return both


def _union(one, other, *, empty_is_all):
    if not isinstance(one, tuple):
        return max(one, other)  # a count, or whether there is one
    if empty_is_all and not (one and other):
        return ()
    if {*one} >= {*other} or {*other} >= {*one}:
        return one if {*one} >= {*other} else other
    union = tuple(dict.fromkeys((*one, *other)))
    return tuple(sorted(union)) if isinstance(union[0], int) else union


def _merged(base: Any, over: Any, name: str = "") -> Any:
    """Mappings merged, `over` first; lists, which were tuples before they were JSON, are tuples again."""
    if isinstance(over, list):
        return tuple(_merged(None, one) for one in over)
    if not isinstance(over, Mapping):
        return over
    base = base if isinstance(base, Mapping) and name not in WHOLE else {}
    return {
        **base,
        **{key: _merged(base.get(key), value, f"{name}.{key}".lstrip(".")) for key, value in over.items()},
    }


def _plain(config):
    return json.loads(json.dumps(config.to_dict()))
