"""The manifest of a workdir: the config and the corpus that it belongs to.

A second run of the same config and corpus resumes; a run of others is an error.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import filelock
import ml_collections

from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.files import write_json

FILE_NAME = "config.json"

# Settings, and sections of them, that a second run may change in the same workdir: they add to its searches and
# networks, or change nothing in them.
RESUMABLE = frozenset(
    (
        "devices",
        "parallel",
        "data.workers",
        "data.source",  # the corpus's fingerprint knows what lies there
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
        "compare.workers",
        "compare.cluster",
        "compare.permutations",
        "bundle",
    )
)

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


def read_object(path: pathlib.Path, *entries: str) -> dict[str, Any]:
    """A file of a workdir that holds a JSON object.

    Raises:
        ConfigError: it holds something else, or an object without one of the entries.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(content, dict):
        raise _damaged(path, "it is no JSON object")
    if missing := [entry for entry in entries if entry not in content]:
        raise _damaged(path, f"it has no {', '.join(map(repr, missing))}")
    return content


def _damaged(path: pathlib.Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is damaged ({why}): remove it, or take it from where it is whole")


def _stored(path: pathlib.Path) -> dict[str, Any]:
    stored = read_object(path, "config", "corpus")
    if not isinstance(stored["config"], dict):
        raise _damaged(path, "its 'config' is no JSON object")
    return stored


def check_manifest(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, corpus: str | None = None
) -> None:
    """Checks that the workdir is new, or holds a run of this config and corpus.

    Args:
        config: of this run.
        workdir: its folder.
        corpus: the corpus's fingerprint, where it is known yet.

    Raises:
        ConfigError: it holds another run; the message lists the differences.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        return
    stored = _stored(path)
    now, there = dict(_flat(_plain(config))), dict(_flat(stored["config"]))
    changed = [
        f"  config.{name}: {there.get(name, 'absent')!r} there, {now.get(name, 'absent')!r} now"
        for name in sorted({*now, *there})
        if now.get(name, "absent") != there.get(name, "absent")
        and RESUMABLE.isdisjoint((name, name.split(".")[0]))
        and not _is_new_variant(name, now, there)
    ]
    if corpus not in (None, stored["corpus"]):
        changed.append("  the corpus has other utterances, labels or speakers than it had")
    if changed:
        raise ConfigError(
            f"{workdir} holds another run:\n"
            + "\n".join(changed)
            + "\nUse another --workdir, or the same config and corpus to go on with that run."
        )


def _is_new_variant(name: str, *configs: Mapping[str, Any]) -> bool:
    """Whether a setting is of a search variant that one of two flat configs lacks altogether."""
    if not name.startswith("search.variants."):
        return False
    order = ".".join(name.split(".")[:3]) + ".order"
    return not all(order in config for config in configs)


def write_manifest(config: ml_collections.ConfigDict, workdir: pathlib.Path, corpus: str) -> None:
    """Makes the workdir this config's and corpus's; arguments and errors as of `check_manifest`.

    Search variants of earlier runs stay in it: their searches are still there.
    """
    check_manifest(config, workdir, corpus)
    path, plain = pathlib.Path(workdir) / FILE_NAME, _plain(config)
    if path.exists():
        earlier = _stored(path)["config"].get("search", {}).get("variants", {})
        plain["search"]["variants"] = {**earlier, **plain["search"]["variants"]}
    write_json(path, {"config": plain, "corpus": corpus})


def read_manifest(workdir: pathlib.Path) -> tuple[ml_collections.ConfigDict, str]:
    """The config of the last run of a workdir, and its corpus's fingerprint.

    Raises:
        ConfigError: nothing has been run in it, or its config.json is damaged.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        raise ConfigError(f"{path} is missing: nothing has been run in this folder, or kept in it")
    stored = _stored(path)
    return ml_collections.ConfigDict(_with_tuples(stored["config"])), stored["corpus"]


@contextlib.contextmanager
def lock_workdir(workdir: pathlib.Path) -> Iterator[None]:
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


def joined(config: ml_collections.ConfigDict, other: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config, its grid as large as to hold the other's too; both as `read_manifest` returns them."""
    both = config.copy_and_resolve_references()
    both.search.variants = {**other.search.variants.to_dict(), **config.search.variants.to_dict()}
    for name in GRID:
        section, key = name.split(".")
        both[section][key] = _union(config[section][key], other[section][key], empty_is_all=key == "run")
    return both


def _union(a: Any, b: Any, *, empty_is_all: bool) -> Any:
    if not isinstance(a, tuple):
        return max(a, b)  # a count, or whether there is one
    if empty_is_all and not (a and b):
        return ()
    if {*a} >= {*b} or {*b} >= {*a}:
        return a if {*a} >= {*b} else b
    union = tuple(dict.fromkeys((*a, *b)))
    return tuple(sorted(union)) if isinstance(union[0], int) else union


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _plain(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """As JSON gives it back."""
    return json.loads(json.dumps(config.to_dict()))


def _with_tuples(value: Any) -> Any:
    """What JSON gave back, with the tuples that its lists were."""
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    return {name: _with_tuples(inner) for name, inner in value.items()} if isinstance(value, dict) else value
