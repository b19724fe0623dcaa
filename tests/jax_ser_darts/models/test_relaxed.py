"""A relaxed cell is what DARTS says it is, candidate by candidate and edge by edge."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import normal, random_params
from jax import lax

from jax_ser_darts.models.relaxed import SCAN, UNROLL, RelaxedCell
from jax_ser_darts.models.supernet import auxiliary_skip
from jax_ser_darts.ops.backend import CUSTOM
from jax_ser_darts.ops.masks import halved, valid_positions
from jax_ser_darts.ops.primitives import BN_EPSILON
from jax_ser_darts.search_space.genotype import edge_index, num_edges
from jax_ser_darts.search_space.operations import OPERATIONS, specification

jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
NODES = 2


@pytest.fixture(scope="module", autouse=True)
def _x64():
    with jax.enable_x64(True):
        yield


SIZE, SMALL_LENGTHS, WIDTH = (7, 5), np.array([7, 4, 1, 0]), 3


class ByHand:
    """A relaxed cell in plain loops: NHWC, each candidate of each edge on its own, statistics by picking."""

    def __init__(self, params, op_weights, lengths, *, reduction, beta=0.0, part=1, shares=None):
        self.params, self.op_weights = params, np.asarray(op_weights)
        self.part, self.shares = part, shares
        self.before = lengths
        self.after = (lengths + 1) // 2 if reduction else lengths
        self.reduction, self.beta = reduction, beta

    def cell(self, s0, s1, s0_stride):
        states = [
            self.preprocess("preprocess_0", s0, s0_stride),
            self.preprocess("preprocess_1", s1, 1),
        ]
        for node in range(NODES):
            edges = [self.edge(source, node, states[source]) for source in range(2 + node)]
            states.append(sum(edges))
        return np.concatenate(states[2:], axis=-1)

    def preprocess(self, name, x, stride):
        conv = self.params[name]["conv"]
        return self.norm(self.reduce([conv[key] for key in sorted(conv)], x, stride), self.before)

    def edge(self, source, node, x):
        stride = 2 if self.reduction and source < 2 else 1
        lengths = self.before if source < 2 else self.after
        op_weights = self.op_weights[edge_index(node, source)]
        share = 1.0 if self.shares is None else self.shares[edge_index(node, source)]
        seen = x.shape[-1] // self.part
        x, others = x[..., :seen], x[..., seen:]
        auxiliary = self.beta * self.candidate("skip_connect", node, source, x, stride, lengths)
        mixed = auxiliary + sum(
            weight * self.candidate(name, node, source, x, stride, lengths)
            for weight, name in zip(op_weights, OPERATIONS, strict=True)
        )
        others = others if stride == 1 else self.pool(np.max, others, 2, lengths, before=0)
        whole = np.concatenate([mixed, others], axis=-1)
        order = [group * seen + i for i in range(seen) for group in range(self.part)]  # the shuffle
        return share * whole[..., order]

    def candidate(self, name, node, source, x, stride, lengths):
        if name == "none":
            return 0.0
        if name == "skip_connect":
            if stride == 1:
                return x
            ws = [self.params[f"skip_connect_pointwise_{i}"][2 * node + source] for i in range(2)]
            return self.norm(self.reduce(ws, x, stride), self.after)
        if name in ("max_pool_3x3", "avg_pool_3x3"):
            pool = np.nanmax if name == "max_pool_3x3" else np.nanmean
            return self.norm(self.pool(pool, x, stride, lengths), self.after)
        spec, row = specification(name), edge_index(node, source)
        for stage in range(2 if name.startswith("sep") else 1):
            depthwise = self.params[f"{name}_depthwise_{stage}"][row].transpose(1, 2, 0)[:, :, None, :]
            pointwise = self.params[f"{name}_pointwise_{stage}"][row][None, None]
            x = self.conv(np.maximum(x, 0), depthwise, stride, spec.dilation, groups=x.shape[-1])
            x = self.norm(self.conv(x, pointwise, 1, 1), self.after)
            stride = 1
        return x

    def reduce(self, ws, x, stride):
        x = np.maximum(x, 0)
        if stride == 1:
            return x @ ws[0]
        x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
        halves = [x[:, i::2, i::2] @ ws[i] for i in range(2)]
        return np.concatenate(halves, axis=-1)

    def pool(self, function, x, stride, lengths, before=1):
        """Pools what is valid in each window, from `before` its middle to 1 after; 0 where nothing is."""
        found = np.zeros((len(x), -(-x.shape[1] // stride), -(-x.shape[2] // stride), x.shape[3]))
        for b, i, j, c in np.ndindex(found.shape):
            t, f = stride * i, stride * j
            window = x[b, max(t - before, 0) : min(t + 2, lengths[b]), max(f - before, 0) : f + 2, c]
            found[b, i, j, c] = function(window) if t < lengths[b] else 0
        return found

    def conv(self, x, w, stride, dilation, groups=1):
        pad = dilation * (w.shape[0] // 2)
        return np.asarray(
            lax.conv_general_dilated(
                jnp.asarray(x),
                jnp.asarray(w),
                (stride, stride),
                [(pad, pad), (pad, pad)],
                rhs_dilation=(dilation, dilation),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=groups,
            )
        )

    def norm(self, x, lengths):
        valid = np.concatenate([x[b, : lengths[b]] for b in range(len(x))])
        mean, variance = valid.mean(axis=(0, 1)), valid.var(axis=(0, 1))
        x = (x - mean) / np.sqrt(variance + BN_EPSILON)
        return np.where(np.arange(x.shape[1])[None, :, None, None] < lengths[:, None, None, None], x, 0)


@pytest.mark.parametrize(("edges", "part"), [(SCAN, 1), (UNROLL, 1), (SCAN, 2)])
@pytest.mark.parametrize(("reduction", "s0_stride"), [(False, 2), (True, 1)], ids=["normal", "reduction"])
def test_a_cell_is_what_plain_loops_make_of_it(reduction, s0_stride, edges, part):
    """Without and with an auxiliary skip connection on each edge (DARTS-), partial channels and normalised edges."""
    channels = part * WIDTH
    cell = RelaxedCell(
        operations=OPERATIONS,
        nodes=NODES,
        channels=channels,
        partial_channels=part,
        reduction=reduction,
        backend=CUSTOM,
        axis_name=None,
        dtype=jnp.float64,
        edges=edges,
    )
    grid = valid_positions(jnp.asarray(SMALL_LENGTHS), SIZE, jnp.float64, None)
    after = halved(grid, None) if reduction else grid
    s0_size = tuple(s0_stride * n - (s0_stride - 1) for n in SIZE)  # odd: the last window of a stride is cut
    s0_lengths = jnp.asarray(np.minimum(s0_stride * SMALL_LENGTHS, s0_size[0]))
    s0 = normal(0, 2, *s0_size, 4) * np.asarray(valid_positions(s0_lengths, s0_size, jnp.float64, None).mask)
    s1 = normal(1, 5, *SIZE, 4) * np.asarray(grid.mask)
    op_weights = np.random.default_rng(2).dirichlet(np.ones(len(OPERATIONS)), num_edges(NODES))
    shares = None if part == 1 else np.random.default_rng(3).uniform(0.2, 0.8, num_edges(NODES))
    rest = s0_stride, grid, after, None if shares is None else jnp.asarray(shares)
    params = random_params(cell, s0, s1, op_weights, *rest)
    apply = jit(lambda params, *inputs: cell.apply({"params": params}, *inputs, *rest))
    for beta in (0.0, 0.7):
        added = auxiliary_skip(jnp.float64(beta), operations=OPERATIONS)["normal"]
        found = np.asarray(apply(params, s0, s1, op_weights + added))
        assert found.shape == (NODES * channels, *after.size, 4)
        by_hand = ByHand(
            params, op_weights, SMALL_LENGTHS, reduction=reduction, beta=beta, part=part, shares=shares
        )
        expected = by_hand.cell(np.moveaxis(s0, (0, 3), (3, 0)), np.moveaxis(s1, (0, 3), (3, 0)), s0_stride)
        np.testing.assert_allclose(np.moveaxis(found, (0, 3), (3, 0)), expected, rtol=1e-9, atol=1e-10)
