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


def test_an_option_that_the_compiler_has_lost_is_left_out():
    asked = {**compilation.FAST_MATH, "xla_cpu_no_such_option": True}
    assert compilation.known(asked) == compilation.FAST_MATH


def test_what_only_predicts_compiles_whatever_options_the_compiler_has():
    double = jax.jit(lambda x: 2 * x, compiler_options=compilation.prediction_options("cpu"))
    assert double(jnp.float32(3)) == 6
