"""What the machine does at best: the roof that a step's arithmetic and traffic stand under."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

GEMM_SIZE = 2048
STREAM_SIZE = 1 << 27  # numbers: 512 MB, beyond any cache
REPEATS = 5


def seconds_of(step: Callable, repeats: int) -> list[float]:
    """How long each of some calls took, results waited for."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        jax.block_until_ready(step())
        seconds.append(time.perf_counter() - started)
    return seconds


def seconds_until_ready(step: Callable) -> dict[str, float]:
    """How long a step compiles, "cold" at first and "cached" once the persistent cache holds what it keeps.

    A first call compiles and runs; the run is taken off, by a second.
    """
    ready = {}
    for name in ("cold", "cached"):
        jax.clear_caches()
        (first,) = seconds_of(step, 1)
        (again,) = seconds_of(step, 1)
        ready[name] = max(first - again, 0.0)
    return ready


def gemm_rate() -> float:
    """GFLOP/s of a float32 matrix product."""
    x = jnp.ones((GEMM_SIZE, GEMM_SIZE), jnp.float32)
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(x, x))
    return 2 * GEMM_SIZE**3 / min(seconds_of(lambda: product(x, x), REPEATS)) / 1e9


def memory_rate() -> float:
    """GB/s between memory and the processor, of an array that is scaled: read once and written once."""
    x = jnp.ones(STREAM_SIZE, jnp.float32)
    scale = jax.jit(lambda x: x * jnp.float32(0.999), donate_argnums=0)
    x = jax.block_until_ready(scale(x))

    def step():
        nonlocal x
        x = scale(x)
        return x

    return 2 * x.nbytes / min(seconds_of(step, REPEATS)) / 1e9
