"""Recurrences and attention over time: what a loop in NumPy gives, autodiff's gradients, nothing of the padding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_ser_darts.ops.recurrence import LayerParams, attend, lstm, recur, rnn
from jax_ser_darts.search_space.sequence_operations import FAMILIES

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

T, N, B, INPUTS, UNITS = 7, 2, 4, 3, 5
LENGTHS = np.array([7, 3, 1, 0])
VALID = np.arange(T)[:, None] < LENGTHS[None, :]
GATES = {lstm: 4, rnn: 1}


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def params(family):
    spec = FAMILIES[family]
    shape, outputs = (N, spec.directions), spec.gates * UNITS
    return LayerParams(normal(1, *shape, INPUTS + UNITS, outputs), normal(2, *shape, outputs))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(frames, kernel, bias, gates):
    """One recurrence over the frames `[t, I]` of one utterance -> `[t, H]`."""
    h = c = np.zeros(UNITS)
    outputs = []
    for x in frames:
        z = np.concatenate([x, h]) @ kernel + bias
        if gates == 1:
            h = np.tanh(z)
        else:
            i, f, g, o = np.split(z, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs).reshape(-1, UNITS)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_direction_is_a_loop_over_the_valid_frames_of_its_utterance(family):
    spec, x, (kernel, bias) = FAMILIES[family], normal(0, T, N, B, INPUTS), params(family)
    found = np.asarray(recur(family, x, params(family), VALID))
    assert found.shape == (T, N, B, spec.directions * UNITS)
    for n, b, d in np.ndindex(N, B, spec.directions):
        frames = x[: LENGTHS[b], n, b]
        expected = by_hand(frames[::-1] if d else frames, kernel[n, d], bias[n, d], spec.gates)
        units = slice(d * UNITS, (d + 1) * UNITS)
        np.testing.assert_allclose(
            found[: LENGTHS[b], n, b, units], expected[::-1] if d else expected, rtol=1e-10, atol=1e-12
        )


def plain(run, x, kernel, bias, valid):
    """The same recurrence, left to autodiff."""
    h = c = jnp.zeros((N, B, UNITS))
    outputs = []
    for t in range(T):
        z = jnp.einsum("nbi,nig->nbg", jnp.concatenate([x[t], h], axis=-1), kernel) + bias[:, None]
        if run is rnn:
            new, cell = jnp.tanh(z), c
        else:
            i, f, g, o = jnp.split(z, 4, axis=-1)
            cell = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            new = jax.nn.sigmoid(o) * jnp.tanh(cell)
        h, c = jnp.where(valid[t], new, h), jnp.where(valid[t], cell, c)
        outputs.append(h)
    return jnp.stack(outputs)


@pytest.mark.parametrize("run", [lstm, rnn])
def test_gradients_and_their_derivatives_are_autodiffs(run):
    arguments = (
        normal(0, T, N, B, INPUTS),
        normal(1, N, INPUTS + UNITS, GATES[run] * UNITS),
        normal(2, N, GATES[run] * UNITS),
    )
    directions = tuple(np.cos(a) for a in arguments)
    valid = np.broadcast_to(VALID[:, None, :, None], (T, N, B, 1))

    def derivatives(function):
        loss = lambda *a: jnp.sum(jnp.sin(function(*a, valid)) * normal(3, T, N, B, UNITS))
        gradient = jax.grad(loss, argnums=(0, 1, 2))
        return jit(lambda *a: jax.jvp(gradient, a, directions))(*arguments)

    found, expected = derivatives(run), derivatives(functools.partial(plain, run))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
        assert np.abs(b).max() > 1e-3


def test_attention_is_a_mean_of_the_valid_frames_by_similarity():
    query, key, value = (normal(i, N, B, T, UNITS) for i in range(3))
    found = np.asarray(attend(query, key, value, VALID.T))
    for n, b in np.ndindex(N, B):
        length = LENGTHS[b]
        if not length:
            assert np.isfinite(found[n, b]).all()
            continue
        powers = np.exp(query[n, b] @ key[n, b, :length].T / np.sqrt(UNITS))
        shares = powers / powers.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(found[n, b], shares @ value[n, b, :length], rtol=1e-10)
