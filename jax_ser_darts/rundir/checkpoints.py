"""The state of a run on disk: atomic, checked against its target, read back bit by bit or not at all.

The one file that knows Orbax, which gives the atomic folders and their rotation. The leaves of a state go to
the host and into one vector of bytes: Orbax takes 0.6 ms for each array, and a supernet has thousands. Beside
it lie the leaves' names, shapes and dtypes, and checksums: Orbax alone restores a flipped bit, or another
dtype, without a warning.
"""

import errno
import hashlib
import json
import math
import os
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from data_prep import disk
from jax_ser_darts.devices import hosts
from jax_ser_darts.errors import UserError

PyTree = Any


class _Manager(ocp.CheckpointManager):
    """Orbax's, for processes without JAX's preemption service, which `hosts.initialise` turns off."""

    def reached_preemption(self, step: int) -> bool:
        """No; Orbax 0.11 asks the service, and fails where there is none."""
        return False


class CheckpointError(UserError):
    """A checkpoint cannot be written or used; the message names the folder and says what to do."""


class Checkpoints:
    """The newest `keep` states of one run, in one folder.

    Leaves may be `jax.Array`s (typed PRNG keys too), NumPy arrays and scalars, and Python's int, float and
    bool. Arrays with a leading device axis are stored with it: unreplicate first. Saving waits until all is
    on disk, so that the caller may donate the buffers of the state at once. With several processes, all
    of them call every method.

    Args:
        folder: made if it does not exist; belongs to this run alone.
        keep: how many checkpoints stay on disk; at least 2, one for when the newest is unreadable.
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 2):
        if keep < 2:
            raise ValueError(
                f"keep = {keep}: keep at least 2 checkpoints; the older one is for when a disk fails."
            )
        self._folder = pathlib.Path(folder).absolute()
        # Orbax writes into a temporary folder and renames it; what a kill left of one goes away here.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        self._manager = _Manager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps on disk, oldest first."""
        return tuple(sorted(self._manager.all_steps()))

    def save(self, step: int, state: PyTree, extra: dict[str, Any] | None = None) -> None:
        """Writes one checkpoint, whole or not at all, then removes those beyond `keep`.

        Args:
            step: above every step on disk.
            state: pytree of arrays and numbers.
            extra: whatever JSON can hold, e.g. the epoch, the configuration's name, the best score so far.

        Raises:
            CheckpointError: the folder has this step or a later one, or the disk does not take it (full, or gone).
            TypeError: a leaf is no array or number, or `extra` is no JSON.
        """
        if self.steps and step <= self.steps[-1]:
            raise CheckpointError(
                f"{self._folder} holds step {self.steps[-1]}, so step {step} cannot be saved after it. "
                "Resume from restore_latest(), or give a new run a folder of its own."
            )
        arrays = {name: _to_host(leaf, name) for name, leaf in _named_leaves(state).items()}
        packed = np.frombuffer(b"".join(array.tobytes() for array in arrays.values()), np.uint8)
        about = {
            "leaves": {name: _spec(array) for name, array in arrays.items()},
            "crc32": zlib.crc32(packed.data),
            "extra": json.dumps(extra or {}),
        }
        sealed = {"about": about, "crc32": _json_checksum(about)}
        try:
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave({"bytes": packed}), about=ocp.args.JsonSave(sealed)
                ),
            )
        except Exception as error:
            if not _of_the_disk(error):
                raise
            raise CheckpointError(
                f"The checkpoint of step {step} ({len(packed) / 2**20:.1f} MiB) cannot be written to {self._folder}: "
                f"{error}\nMend that (is the disk full?) and start again: the run resumes from the checkpoint before."
            ) from error

    def restore_latest(self, target: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """Reads the newest checkpoint that is whole.

        An unreadable one is named in a warning, renamed `<step>.unreadable`, and the one before is taken.

        Args:
            target: a state as the caller builds it for a fresh run: gives the structure, and where each array
                lies (device, sharding, NumPy or Python). Its values are not used; they stay valid.

        Returns:
            (step, state, extra), or None where the folder has no checkpoint.

        Raises:
            CheckpointError: the checkpoint has other leaves, shapes or dtypes than the target, or none is
                readable.
        """
        leaves = _named_leaves(target)
        unreadable = []
        for step in reversed(self.steps):
            try:
                arrays, extra = self._read(step, leaves)
            except CheckpointError:
                raise
            except Exception as error:  # whatever Orbax, TensorStore or JSON raise of a damaged file
                logging.warning(
                    "Checkpoint %s is unreadable, trying the one before: %s", self._folder / str(step), error
                )
                unreadable.append(step)
                continue
            self._set_aside(unreadable)
            restored = [_like(arrays[name], leaf) for name, leaf in leaves.items()]
            return step, jax.tree.unflatten(jax.tree.structure(target), restored), extra
        if unreadable:
            raise CheckpointError(
                f"None of the checkpoints {unreadable} in {self._folder} is readable (the log says why). "
                "Mend the disk, or remove the folder to start the run from its beginning."
            )
        return None

    def restore(self, step: int, target: PyTree) -> PyTree:
        """Reads the checkpoint of one step, and no other; target as of `restore_latest`.

        Raises:
            CheckpointError: it is missing or unreadable, or has other leaves, shapes or dtypes than the target.
        """
        leaves = _named_leaves(target)
        why: Any = f"the folder has {', '.join(map(str, self.steps)) or 'none'}"
        if step in self.steps:
            try:
                arrays, _ = self._read(step, leaves)
            except CheckpointError:
                raise
            except Exception as error:  # whatever Orbax, TensorStore or JSON raise of a damaged file
                why = error
            else:
                restored = [_like(arrays[name], leaf) for name, leaf in leaves.items()]
                return jax.tree.unflatten(jax.tree.structure(target), restored)
        raise CheckpointError(f"checkpoint {self._folder / str(step)} is missing or unreadable ({why})")

    def close(self) -> None:
        """Releases what Orbax holds; the checkpoints stay."""
        self._manager.close()

    def _read(self, step: int, leaves: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        sealed = self._manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore())).about
        about = sealed["about"]
        if sealed["crc32"] != _json_checksum(about):
            raise ValueError("the checksum of its description is wrong")
        specs = about["leaves"]
        self._compare(step, specs, {name: _spec(leaf) for name, leaf in leaves.items()})
        sizes = [math.prod(spec["shape"]) * np.dtype(spec["dtype"]).itemsize for spec in specs.values()]
        # A NumPy target: Orbax then leaves all devices alone.
        target = ocp.args.StandardRestore({"bytes": np.empty(sum(sizes), np.uint8)})
        packed = self._manager.restore(step, args=ocp.args.Composite(state=target)).state["bytes"]
        if zlib.crc32(packed) != about["crc32"]:
            raise ValueError("the checksum of its arrays is wrong")
        pieces = np.split(packed, np.cumsum(sizes)[:-1])
        arrays = {
            name: piece.copy().view(spec["dtype"]).reshape(spec["shape"])
            for (name, spec), piece in zip(specs.items(), pieces, strict=True)
        }
        return arrays, json.loads(about["extra"])

    def _compare(self, step: int, stored: dict[str, dict], wanted: dict[str, dict]) -> None:
        def show(spec: dict | None) -> str:
            return f"{spec['dtype']}{spec['shape']}" if spec else "nothing"

        differences = [
            f"  {name}: the folder has {show(stored.get(name))}, this run {show(wanted.get(name))}"
            for name in sorted(stored.keys() | wanted.keys())
            if show(stored.get(name)) != show(wanted.get(name))
        ]
        if differences:
            more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
            raise CheckpointError(
                f"The checkpoint of step {step} in {self._folder} belongs to another configuration:\n"
                + "\n".join(differences[:10])
                + f"{more}\nUse the configuration that wrote it, or give this run a folder of its own."
            )

    def _set_aside(self, steps: list[int]) -> None:
        if not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                free = (f"{step}.unreadable{suffix}" for suffix in ["", *(f".{n}" for n in range(2, 1000))])
                (self._folder / str(step)).rename(
                    next(self._folder / name for name in free if not (self._folder / name).exists())
                )
        multihost_utils.sync_global_devices("checkpoints set aside")
        self._manager.reload()


def checksum(tree: PyTree) -> str:
    """The SHA-256, as hex digits, of the names, shapes, dtypes and bits of a tree's leaves."""
    digest = hashlib.sha256()
    for name, leaf in sorted(_named_leaves(tree).items()):
        array = _to_host(leaf, name)
        digest.update(json.dumps([name, _spec(array)]).encode() + array.tobytes())
    return digest.hexdigest()


def _of_the_disk(error: BaseException) -> bool:
    """Whether an error of the system is in the chain, or the words of Orbax or TensorStore for a full disk."""
    words = (os.strerror(errno.ENOSPC), "quota", "RESOURCE_EXHAUSTED")
    return any(
        isinstance(cause, OSError) or any(word in str(cause) for word in words) for cause in disk.chain(error)
    )


def _named_leaves(tree: PyTree) -> dict[str, Any]:
    flat = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/") or "state": leaf for path, leaf in flat}
    if len(named) != len(flat):
        raise ValueError("Two leaves of the state have the same name; a key of a dict must not contain '/'.")
    return named


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(
        leaf.dtype, jax.dtypes.prng_key
    )


def _spec(leaf: Any) -> dict[str, Any]:
    if _is_key(leaf):
        leaf = jax.eval_shape(jax.random.key_data, leaf)
    elif not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}


def _to_host(leaf: Any, name: str) -> np.ndarray:
    if _is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | int | float):
        raise TypeError(
            f"The state's leaf {name} is a {type(leaf).__name__}; only arrays and numbers can be saved."
        )
    # A copy: on a CPU the host's array would otherwise be the device's buffer, which may be donated next.
    array = np.array(jax.device_get(leaf))
    if array.dtype.kind in "OSU":
        raise TypeError(
            f"The state's leaf {name} has dtype {array.dtype}; only arrays of numbers can be saved."
        )
    return array


def _like(array: np.ndarray, leaf: Any) -> Any:
    """The stored values as the same kind of thing, on the same devices, as the target's leaf."""
    if _is_key(leaf):
        where = leaf.sharding if hosts.count() > 1 else None
        return jax.random.wrap_key_data(jax.device_put(array, where), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, jax.Array):
        # An uncommitted array stays so: it may later join others on any device.
        return jax.device_put(array, leaf.sharding if leaf.committed else None)
    if isinstance(leaf, np.ndarray):
        return array
    return array[()] if isinstance(leaf, np.generic) else type(leaf)(array.item())


def _json_checksum(about: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())
