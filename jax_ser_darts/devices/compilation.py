"""Compiler options of programs, and the cache of what is compiled.

XLA's options come and go with its versions, and one that it does not know is an error. So a backend is asked, once in
a process, before an option is passed to it.
"""

import functools
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

# Sums over whole activations are most of a backward pass on a CPU, and no sum is vectorised unless its terms may be
# added in another order: a 5x5 weight gradient takes 1.9 ms with that leave and 12.7 without. Not-a-number and
# infinity keep their meaning, so that a search which diverges is seen to.
FAST_MATH = {
    "xla_cpu_enable_fast_math": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_fast_math_honor_infs": True,
}

# What runs forward only gains nothing from LLVM's further levels, nor from emitting fused loops by MLIR. Without the
# two it is compiled in about 0.6 of the time.
QUICK = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}


def options(platform: str, *, fast_math: bool) -> dict:
    """Compiler options for the devices of a platform ("cpu", "gpu", "tpu"); other compilers need none."""
    return known(FAST_MATH) if fast_math and platform == "cpu" else {}


def prediction_options(platform: str) -> dict:
    """As `options`, of a program that only predicts."""
    return known(QUICK) if platform == "cpu" else {}


def known(asked: Mapping[str, Any], backend: str = "cpu") -> dict[str, Any]:
    """Those of the options that the installed compiler of a backend has."""
    return {name: value for name, value in asked.items() if _is_known(name, value, backend)}


@functools.cache
def _is_known(name: str, value: Any, backend: str) -> bool:
    """Compiles a trivial program with the option: XLA has no list of them to look in."""
    device = jax.local_devices(backend=backend)[0]
    sharding = jax.sharding.SingleDeviceSharding(device)
    program = jax.jit(lambda x: x, in_shardings=sharding, out_shardings=sharding)
    try:
        program.lower(jax.ShapeDtypeStruct((), jnp.float32)).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


def cache_compilations(folder: str) -> None:
    """Keeps what is compiled for later processes; "" keeps nothing."""
    if folder:
        jax.config.update("jax_compilation_cache_dir", os.path.expanduser(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        compilation_cache.reset_cache()  # what was compiled before has opened another one
