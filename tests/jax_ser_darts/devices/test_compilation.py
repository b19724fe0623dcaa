"""Compiler options: a CPU's alone, and only where the config lets them; not-a-number stays not-a-number."""

import jax
import jax.numpy as jnp

from jax_ser_darts.devices import compilation


def test_options_are_for_cpus_and_can_be_switched_off():
    assert compilation.options("cpu", fast_math=True) == compilation.FAST_MATH
    assert compilation.options("cpu", fast_math=False) == {}
    assert compilation.options("gpu", fast_math=True) == {}


def test_a_sum_that_diverges_is_seen():
    total = jax.jit(jnp.sum, compiler_options=compilation.options("cpu", fast_math=True))
    assert jnp.isnan(total(jnp.array([1.0, jnp.nan])))
    assert jnp.isinf(total(jnp.array([1.0, jnp.inf])))
