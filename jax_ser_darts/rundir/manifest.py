"""A workdir belongs to one config and corpus: another run of them resumes in it, and one of others is refused."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import filelock

from data_prep import sums
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.fields import all_fields
from jax_ser_darts.rundir.checksums import damaged, read_sealed, write_sealed
from jax_ser_darts.rundir.layout import JOB_FILE, SEARCH, TRAIN
from jax_ser_darts.settings import Settings, from_json, to_json
from jax_ser_darts.settings.convert import flat, replaced, value_of

FILE_NAME = "config.json"
RESUMABLE = frozenset(field.name for field in all_fields(Settings) if field.spec.resumable)
GRID = tuple(field.name for field in all_fields(Settings) if field.spec.grid)
ABSENT = "absent"
MANIFEST = "manifest"  # entry of corpus.json: the SHA-256 of the config.json that it goes with


def read_manifest(workdir: pathlib.Path) -> tuple[Settings, str]:
    """The settings of the last run of a workdir, and the fingerprint of its corpus.

    Raises:
        ConfigError: nothing has been run in it, or its config.json is damaged.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        raise ConfigError(f"{path} is missing: nothing has been run in this folder, or archived in it")
    saved = read_sealed(path, "config", "corpus")
    if not isinstance(saved["config"], dict):
        raise damaged(path, "its 'config' is no JSON object")
    try:
        return from_json(saved["config"]), saved["corpus"]
    except ConfigError as error:
        raise damaged(path, str(error)) from None


def check_manifest(settings: Settings, workdir: pathlib.Path, corpus: str | None = None) -> None:
    """Checks that the workdir is new, or holds a run of these settings and this corpus.

    Args:
        settings: of this run.
        workdir: of this run.
        corpus: the corpus's fingerprint, where it is known yet.

    Raises:
        ConfigError: it holds another run; the message lists the differences.
    """
    path = pathlib.Path(workdir) / FILE_NAME
    if not path.exists():
        if done := next((f for part in (SEARCH, TRAIN) for f in (path.parent / part).rglob(JOB_FILE)), None):
            raise ConfigError(
                f"{path} is gone, and {done} is there: nobody knows of which config and corpus; restore it, or use "
                "another --workdir"
            )
        return
    saved, saved_corpus = read_manifest(workdir)
    now, then = flat(settings), flat(saved)
    changed = [
        f"  config.{name}: {then.get(name, ABSENT)!r} there, {now.get(name, ABSENT)!r} now"
        for name in sorted({*now, *then} - RESUMABLE)
        if now.get(name, ABSENT) != then.get(name, ABSENT) and not _is_new_variant(name, settings, saved)
    ]
    if corpus not in (None, saved_corpus):
        same_names = str(corpus).split("-")[0] == str(saved_corpus).split("-")[0]
        of = "sound under the same names" if same_names else "utterances, labels or speakers"
        changed.append(f"  the corpus has other {of} than it had")
    if changed:
        raise ConfigError(
            f"{workdir} holds another run:\n"
            + "\n".join(changed)
            + "\nUse another --workdir, or the same config and corpus to resume that run."
        )


def write_manifest(settings: Settings, workdir: pathlib.Path, corpus: str) -> None:
    """Makes the workdir this run's; arguments and errors as of `check_manifest`.

    Search variants that earlier runs knew stay known: their searches are still there.
    """
    check_manifest(settings, workdir, corpus)
    path, saved = pathlib.Path(workdir) / FILE_NAME, to_json(settings)
    if path.exists():
        earlier = to_json(read_manifest(workdir)[0])["search"]["variants"]
        saved["search"]["variants"] = {**earlier, **saved["search"]["variants"]}
    write_sealed(path, {"config": saved, "corpus": corpus})


def write_about(path: pathlib.Path, about: Mapping[str, Any], manifest: pathlib.Path) -> None:
    """Writes what has to be known of the corpus, of the config.json that lies in the folder `manifest`."""
    write_sealed(path, {**about, MANIFEST: sums.of(manifest / FILE_NAME)})


def read_about(path: pathlib.Path, manifest: pathlib.Path, *entries: str) -> dict[str, Any]:
    """What `write_about` wrote.

    Raises:
        ConfigError: it is damaged, or of another config.json.
    """
    about = read_sealed(path, MANIFEST, *entries)
    if about.pop(MANIFEST) != sums.of(manifest / FILE_NAME):
        raise ConfigError(
            f"{path} is of another {FILE_NAME} than {manifest / FILE_NAME}: restore what was changed, or run any mode "
            "again, which writes both"
        )
    return about


def joined(settings: Settings, other: Settings) -> Settings:
    """The settings, their grid as large as to hold the other's too."""
    changes: dict[str, Any] = {
        name: _union(value_of(settings, name), value_of(other, name), empty_is_all=name == "folds.run")
        for name in GRID
    }
    changes["search.variants"] = {**other.search.variants, **settings.search.variants}
    return replaced(settings, changes)


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


def _is_new_variant(name: str, settings: Settings, saved: Settings) -> bool:
    """Whether a setting is of a search variant that one of the two does not know at all."""
    if not name.startswith("search.variants."):
        return False
    variant = name.split(".")[2]
    return not (variant in settings.search.variants and variant in saved.search.variants)


def _union(value: Any, other: Any, *, empty_is_all: bool) -> Any:
    if not isinstance(value, tuple):
        return max(value, other)  # a count, or whether there is one
    if empty_is_all and not (value and other):
        return ()
    if {*value} >= {*other} or {*other} >= {*value}:
        return value if {*value} >= {*other} else other
    union = tuple(dict.fromkeys((*value, *other)))
    return tuple(sorted(union)) if isinstance(union[0], int) else union
