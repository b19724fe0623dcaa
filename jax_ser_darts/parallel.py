"""The one place that knows devices: mapping a step over them, and laying a batch out for them.

A step is written per device with collectives over `AXIS`. State goes in and comes out without a device axis (the
same on every device); only batches carry one, `[devices, B / devices, ...]`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

AXIS = "devices"
REPLICATED, SHARDED = None, 0


def local_devices(count: int = 0) -> list[jax.Device]:
    """The first `count` local devices, or all.

    Raises:
        ValueError: there are fewer.
    """
    devices = jax.local_devices()
    if count > len(devices):
        raise ValueError(f"{count} devices asked for, but there are {len(devices)}: {devices}")
    return devices[: count or None]


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
    compiler_options: dict | None = None,
) -> Callable:
    """`function` compiled for the devices by pmap.

    Args:
        function: per device, with collectives over AXIS.
        devices: which ones.
        layout: an argument each, REPLICATED or SHARDED (or a tuple of them for a tuple argument).
        out: the same for the result.
        donate: numbers of arguments whose memory the results may take.
        compiler_options: see compilation.py; pmap itself takes none, the jit round it does.
    """
    over_devices = jax.pmap(
        function,
        axis_name=AXIS,
        devices=devices,
        in_axes=tuple(layout),
        out_axes=out,
        donate_argnums=tuple(donate),
    )
    return jax.jit(over_devices, donate_argnums=tuple(donate), compiler_options=compiler_options)


def shard(batch: Any, devices: Sequence[jax.Device]) -> Any:
    """A batch of NumPy arrays `[B, ...]` on the devices, `[devices, B / devices, ...]`.

    Raises:
        ValueError: B is not a multiple of the number of devices.
    """
    count = len(devices)

    def split(x):
        if len(x) % count:
            raise ValueError(f"a batch of {len(x)} cannot be divided over {count} devices")
        return x.reshape(count, len(x) // count, *x.shape[1:])

    mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(AXIS))
    return jax.device_put(jax.tree.map(split, batch), sharding)


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
    """The same state on every device, without a device axis."""
    mesh = jax.sharding.Mesh(np.asarray(devices), (AXIS,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
