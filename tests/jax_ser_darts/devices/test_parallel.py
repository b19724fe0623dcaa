"""Devices: batches are divided evenly, state is the same on each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_ser_darts.devices import parallel

both_mappings = pytest.mark.parametrize("mapping", parallel.MAPPINGS)


@both_mappings
def test_a_mapped_mean_is_that_of_the_whole_batch(mapping):
    devices = parallel.local_devices()
    step = parallel.mapped(
        lambda state, batch: state + parallel.mean(jnp.mean(batch)),
        devices=devices,
        layout=(parallel.REPLICATED, parallel.SHARDED),
        donate=(0,),
        mapping=mapping,
    )
    batch = np.arange(2.0 * len(devices), dtype=np.float32)
    state = parallel.replicate(jnp.zeros(()), devices)
    for _ in range(2):
        state = step(state, parallel.shard(batch, devices))
    assert state.shape == ()
    assert float(state) == pytest.approx(2 * batch.mean())


@both_mappings
def test_sharded_results_keep_the_order_of_the_batch(mapping):
    devices = parallel.local_devices(4)
    double = parallel.mapped(
        lambda batch: 2 * batch,
        devices=devices,
        layout=(parallel.SHARDED,),
        out=parallel.SHARDED,
        mapping=mapping,
    )
    batch = np.arange(12.0).reshape(12, 1)
    assert (np.asarray(double(parallel.shard(batch, devices))).reshape(12, 1) == 2 * batch).all()


@both_mappings
def test_devices_see_each_other(mapping):
    devices = parallel.local_devices(2)
    index = parallel.mapped(
        lambda batch: lax.psum(jnp.ones(()), parallel.AXIS),
        devices=devices,
        layout=(parallel.SHARDED,),
        mapping=mapping,
    )
    assert float(index(parallel.shard(np.zeros(2), devices))) == 2


@both_mappings
def test_what_is_lowered_to_be_looked_at_is_what_is_run(mapping):
    devices = parallel.local_devices(1)

    def twice(batch):
        return 2 * batch

    how = {"devices": devices, "layout": (parallel.SHARDED,), "out": parallel.SHARDED, "mapping": mapping}
    batch = parallel.shard(np.arange(2.0), devices)
    assert "@jit_twice" in parallel.mapped(twice, **how).lower(batch).as_text()
    refused = parallel.mapped(twice, **how, compiler_options={"xla_no_such_option": True})
    for compiled in (lambda: refused.lower(batch).compile(), lambda: refused(batch)):
        with pytest.raises(jax.errors.JaxRuntimeError, match="xla_no_such_option"):
            compiled()


def test_several_processes_take_shard_map_whatever_is_asked_for(monkeypatch):
    assert [parallel.mapping_of(asked) for asked in parallel.MAPPINGS] == list(parallel.MAPPINGS)
    monkeypatch.setattr(parallel.hosts, "_count", 2)
    assert {parallel.mapping_of(asked) for asked in parallel.MAPPINGS} == {parallel.SHARD_MAP}


def test_a_batch_that_cannot_be_divided_is_an_error():
    with pytest.raises(ValueError, match="a batch of 3 cannot be divided over 2 devices"):
        parallel.shard({"x": np.zeros(3)}, parallel.local_devices(2))


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=f"{jax.local_device_count()}"):
        parallel.local_devices(jax.local_device_count() + 1)
