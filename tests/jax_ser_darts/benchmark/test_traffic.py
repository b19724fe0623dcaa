"""Bytes that a compiled program moves."""

import jax
import jax.numpy as jnp
import pytest

from jax_ser_darts.benchmark.traffic import traffic


def compiled(function, *shapes):
    return (
        jax.jit(function).lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)).compile().as_text()
    )


def test_a_sum_reads_its_operands_and_writes_its_result():
    assert traffic(compiled(jnp.add, (100, 10), (100, 10))) == 3 * 4 * 1000


def test_what_is_read_at_many_places_is_read_once():
    shifted = lambda x: sum(x[i : i + 1000] for i in range(25))
    assert traffic(compiled(shifted, (1024,))) == 4 * (1024 + 1000)


def test_a_matrix_product_reads_both_and_writes_one():
    assert traffic(compiled(jnp.matmul, (32, 64), (64, 16))) == 4 * (32 * 64 + 64 * 16 + 32 * 16)


def test_every_call_counts():
    text = """
%double (x: f32[10]) -> f32[10] {
  %x = f32[10]{0} parameter(0)
  ROOT %y = f32[10]{0} add(%x, %x)
}

ENTRY %main (a: f32[10]) -> (f32[10], s8[4]) {
  %a = f32[10]{0} parameter(0)
  %b = f32[10]{0} call(%a), to_apply=%double
  %c = f32[10]{0} call(%b), to_apply=%double
  %d = s8[4]{0} custom-call(%c), custom_call_target="f"
  ROOT %e = (f32[10]{0}, s8[4]{0}) tuple(%c, %d)
}
"""
    assert traffic(text) == 2 * 80 + 44


@pytest.mark.parametrize(("shape", "size"), [((), 4), ((3, 5), 60)])
def test_scalars_and_arrays(shape, size):
    assert traffic(compiled(jnp.exp, shape)) == 2 * size
