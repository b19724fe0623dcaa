"""Messages of compiled programs: each is counted, as often as it is sent."""

import jax.numpy as jnp
import pytest
from jax import lax

from jax_ser_darts.benchmark.collectives import Collectives, collectives
from jax_ser_darts.devices import parallel


def told(function, devices=4):
    """Of a function of a batch `[4, 10]`, a row a device at most."""
    here = parallel.local_devices(devices)
    mapped = parallel.mapped(function, devices=here, layout=(parallel.SHARDED,))
    batch = parallel.shard({"x": jnp.ones((4, 10), jnp.float32)}, here)["x"]
    return collectives(mapped.lower(batch).compile().as_text())


def test_a_mean_is_a_message_of_its_bytes():
    assert told(lambda x: parallel.mean(x.sum(axis=0))) == Collectives(1, 40)


def test_what_is_local_tells_nothing():
    assert told(lambda x: 2 * x.sum(axis=0)) == Collectives(0, 0)


def test_messages_that_wait_for_each_other_are_several():
    twice = lambda x: parallel.mean(jnp.exp(x.sum(axis=0) * parallel.mean(x.sum(axis=0))))
    assert told(twice) == Collectives(2, 80)


def test_a_loop_sends_its_messages_each_time():
    def loop(x):
        step = lambda state, _: (jnp.tanh(lax.psum(state, parallel.AXIS)), None)
        return parallel.mean(lax.scan(step, x.sum(axis=0), length=7)[0])

    assert told(loop) == Collectives(8, 320)


@pytest.mark.parametrize("operation", ["all-reduce", "all-gather"])
def test_an_accelerators_message_counts_once(operation):
    text = f"""
ENTRY %main (a: f32[10]) -> f32[10] {{
  %a = f32[10]{{0}} parameter(0)
  %b = (f32[10]{{0}}, f32[10]{{0}}) {operation}-start(%a), to_apply=%sum
  ROOT %c = f32[10]{{0}} {operation}-done(%b)
}}
"""
    assert collectives(text) == Collectives(1, 40)


def test_programs_add_up():
    assert Collectives(1, 10) * 3 + Collectives(2, 5) == Collectives(5, 35)
