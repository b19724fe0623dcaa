"""The one place that knows devices: mapping a step over them, and laying a batch out for them.

A step is written per device with collectives over `AXIS`. State goes in and comes out without a device axis (the
same on every device); only batches carry one, `[devices, B / devices, ...]`.

The same function is mapped by pmap or by shard_map (`config.parallel`). With several processes (see hosts.py) the
devices are those of all of them, and each process lays out its own share of a batch. pmap takes only what a process
itself holds, so there it is shard_map whatever the config says.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import PartitionSpec

from jax_ser_darts.devices import hosts

AXIS = "devices"
REPLICATED, SHARDED = None, 0
PMAP, SHARD_MAP = "pmap", "shard_map"
MAPPINGS = (PMAP, SHARD_MAP)


def local_devices(count: int = 0) -> list[jax.Device]:
    """The first `count` local devices, or all.

    Raises:
        ValueError: there are fewer.
    """
    devices = jax.local_devices()
    if count > len(devices):
        raise ValueError(f"{count} devices asked for, but there are {len(devices)}: {devices}")
    return devices[: count or None]


def devices_of_all(count: int = 0) -> list[jax.Device]:
    """The first `count` devices of each process, or all; those of process 0 come first.

    Raises:
        ValueError: this process has fewer.
    """
    here = local_devices(count)
    if hosts.count() == 1:
        return here
    everywhere = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    each = [[d for d in everywhere if d.process_index == i][: len(here)] for i in range(hosts.count())]
    counts = [len(devices) for devices in each]
    if set(counts) != {len(here)}:
        raise ValueError(f"the processes have {counts} devices: give config.devices")
    return [device for devices in each for device in devices]


def mean(tree: Any) -> Any:
    """Average over the devices of the mapped axis."""
    return lax.pmean(tree, AXIS)


def mapped(
    function: Callable,
    *,
    devices: Sequence[jax.Device],
    layout: Sequence[Any],
    out: Any = REPLICATED,
    donate: Sequence[int] = (),
    mapping: str = PMAP,
    compiler_options: dict | None = None,
) -> jax.stages.Wrapped:
    """`function` compiled for the devices.

    Args:
        function: per device, with collectives over AXIS.
        devices: which ones.
        layout: an argument each, REPLICATED or SHARDED (or a tuple of them for a tuple argument).
        out: the same for the result.
        donate: numbers of arguments whose memory the results may take.
        mapping: PMAP or SHARD_MAP; see `mapping_of`.
        compiler_options: see `compilation.options`; pmap itself takes none, the jit round it does.
    """
    if mapping_of(mapping) == PMAP:
        over_devices = jax.pmap(
            function,
            axis_name=AXIS,
            devices=devices,
            in_axes=tuple(layout),
            out_axes=out,
            donate_argnums=tuple(donate),
        )
    else:
        over_devices = _shard_mapped(function, devices, layout, out)

    @functools.wraps(function)
    def program(*arguments):
        # Between pmap's function and jit, which takes over attributes: pmap's `lower` knows no compiler options.
        return over_devices(*arguments)

    return jax.jit(program, donate_argnums=tuple(donate), compiler_options=compiler_options)


def mapping_of(asked: str) -> str:
    """How this process maps over devices: as asked for, but by shard_map where there are several processes."""
    return asked if hosts.count() == 1 else SHARD_MAP


def _shard_mapped(function, devices, layout, out):
    spec = lambda axis: PartitionSpec() if axis is REPLICATED else PartitionSpec(AXIS)
    is_axis = lambda x: x is REPLICATED or x == SHARDED
    specs = lambda tree: jax.tree.map(spec, tree, is_leaf=is_axis)

    def share(axis, argument):
        """What a device has of an argument: without the device axis, which is of length 1 here."""
        if isinstance(axis, tuple):
            return tuple(map(share, axis, argument))
        return argument if axis is REPLICATED else jax.tree.map(lambda x: x[0], argument)

    def on_device(*arguments):
        result = function(*map(share, layout, arguments))
        return result if out is REPLICATED else jax.tree.map(lambda x: x[None], result)

    return jax.shard_map(
        on_device, mesh=_mesh(devices), in_specs=specs(tuple(layout)), out_specs=specs(out), check_vma=False
    )


def _mesh(devices: Sequence[jax.Device]) -> jax.sharding.Mesh:
    return jax.sharding.Mesh(np.asarray(devices), (AXIS,))


def shard(batch: Any, devices: Sequence[jax.Device]) -> Any:
    """A batch of NumPy arrays `[B, ...]` on the devices, `[devices, B / devices, ...]`.

    With several processes `batch` is this one's share of it, and the result the whole.

    Raises:
        ValueError: B is not a multiple of the number of devices.
    """
    count = sum(device.process_index == hosts.index() for device in devices)

    def split(x):
        if len(x) % count:
            raise ValueError(f"a batch of {len(x)} cannot be divided over {count} devices")
        return x.reshape(count, len(x) // count, *x.shape[1:])

    sharding = jax.sharding.NamedSharding(_mesh(devices), PartitionSpec(AXIS))
    if hosts.count() == 1:
        return jax.device_put(jax.tree.map(split, batch), sharding)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, split(x)), batch)


def gather(x: jax.Array) -> np.ndarray:
    """A sharded array `[devices, B / devices, ...]` as `[B, ...]`, in every process."""
    whole = np.asarray(x) if hosts.count() == 1 else multihost_utils.process_allgather(x, tiled=True)
    return whole.reshape(-1, *whole.shape[2:])


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """The same state on every device, without a device axis."""
    sharding = jax.sharding.NamedSharding(_mesh(devices), PartitionSpec())
    if hosts.count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: replicated(leaf, sharding), tree)


def replicated(leaf: Any, sharding: jax.sharding.Sharding) -> jax.Array:
    """What every process holds, as one array of all of them."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = replicated(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    here = np.asarray(leaf)
    return jax.make_array_from_callback(here.shape, sharding, lambda index: here[index])
