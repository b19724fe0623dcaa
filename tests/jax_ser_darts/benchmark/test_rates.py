"""What is timed: compilation without the run, twice from nothing."""

import jax
import jax.numpy as jnp

from jax_ser_darts.benchmark import rates


def test_a_step_is_compiled_anew_for_each_figure_and_its_run_is_taken_off(monkeypatch):
    traced = []

    @jax.jit
    def program(x):
        traced.append(x.shape)
        return x + 1

    calls = iter((90.0, 10.0, 25.0, 15.0))  # cold with its run, its run alone; the same from the cache
    clock = [0.0]

    def step():
        clock[0] += next(calls)
        return program(jnp.zeros(3))

    monkeypatch.setattr(rates.time, "perf_counter", lambda: clock[0])
    assert rates.seconds_until_ready(step) == {"cold": 80.0, "cached": 10.0}
    assert len(traced) == 2, "a program that is still in memory has no time to be measured"


def test_noise_makes_no_negative_seconds(monkeypatch):
    calls, clock = iter((1.0, 2.0, 1.0, 2.0)), [0.0]

    def step():
        clock[0] += next(calls)

    monkeypatch.setattr(rates.time, "perf_counter", lambda: clock[0])
    assert rates.seconds_until_ready(step) == {"cold": 0.0, "cached": 0.0}
