"""The relaxed cell: every edge is the softmax-weighted sum of all candidates (DARTS, equation 2)."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops import sweep
from jax_ser_darts.ops.backend import Backend
from jax_ser_darts.ops.depthwise import Padded
from jax_ser_darts.ops.masks import Grid
from jax_ser_darts.ops.pooling import average_pool, on_valid
from jax_ser_darts.ops.primitives import pointwise
from jax_ser_darts.ops.remat import rematerialised
from jax_ser_darts.search_space.genotype import edge_index, num_edges
from jax_ser_darts.search_space.operations import AVG_POOL, CONVOLUTIONS, MAX_POOL, SKIP, Convolution

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal", in_axis=-2, out_axis=-1)
SCAN, UNROLL = "scan", "unroll"
EDGES = (SCAN, UNROLL)
ALPHAS, EDGES_SHARE = "alphas", "edges"


def depthwise_init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """He-normal for `[..., k, k]`: each output reads one channel, k * k values."""
    return jax.random.normal(key, shape, dtype) * (2.0 / (shape[-1] * shape[-2])) ** 0.5


def normalised(backend: Backend, y: jax.Array, grid: Grid, axis_name: str | None) -> jax.Array:
    """Batch normalisation without an affine part of `[C, T, F, B]`, zero on padding."""
    return backend.mixture((y,), (), jnp.ones(1, y.dtype), grid, axis_name)


def halves(x: jax.Array, size: tuple[int, int]) -> list[jax.Array]:
    """The even and the odd positions of `[C, T, F, B]`: two arrays `[C, T', F', B]`, size = (T', F')."""
    t, f = size
    x = jnp.pad(x, ((0, 0), (0, 2 * t - x.shape[1]), (0, 2 * f - x.shape[2]), (0, 0)))
    return [x[:, ::2, ::2], x[:, 1::2, 1::2]]


def reduced(parts: Sequence[jax.Array], ws: Sequence[jax.Array]) -> jax.Array:
    """1x1 convolutions of some arrays, their channels one after the other."""
    outputs = [pointwise(part, w) for part, w in zip(parts, ws, strict=True)]
    return jnp.concatenate(outputs, axis=0) if len(outputs) > 1 else outputs[0]


def half_widths(channels: int) -> tuple[int, int]:
    """Output channels of the two halves of DARTS's factorised reduction."""
    return channels - channels // 2, channels // 2


class ReluConv(nn.Module):
    """ReLU and 1x1 convolution; with stride 2 in two halves, shifted by one position (factorised reduction)."""

    channels: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int]) -> jax.Array:
        """`[C, T, F, B]` -> `[channels, T', F', B]`, size = (T', F')."""
        x = nn.relu(x)
        parts, widths = (
            ([x], [self.channels]) if self.stride == 1 else (halves(x, size), half_widths(self.channels))
        )
        ws = [
            self.param(f"pointwise_{i}", KERNEL_INIT, (x.shape[0], width), self.dtype)
            for i, width in enumerate(widths)
        ]
        return reduced(parts, ws)


class ReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, normalisation: brings the inputs of a cell to its channels and size."""

    channels: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, grid: Grid, stride: int = 1) -> jax.Array:
        """`[C, T, F, B]` -> `[channels, T', F', B]`; `grid` is that of the output."""
        y = ReluConv(self.channels, stride, self.dtype, name="conv")(x, grid.size)
        return normalised(self.backend, y, grid, self.axis_name)


def halved_maximum(x: jax.Array, before: Grid, after: Grid) -> jax.Array:
    """Largest valid number of each 2x2 window: `[C, T, F, B]` -> `[C, T', F', B]`."""
    t, f = after.size
    rows, columns = 2 * t - x.shape[1], 2 * f - x.shape[2]
    inside = jnp.broadcast_to(before.mask > 0, x.shape)
    lowest = jnp.finfo(x.dtype).min
    x = lax.select(inside, x, jnp.full_like(x, lowest))
    x = jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), constant_values=lowest)
    best = x[:, ::2, ::2]
    for other in (x[:, ::2, 1::2], x[:, 1::2, ::2], x[:, 1::2, 1::2]):
        best = lax.select(other > best, other, best)  # on a tie the gradient goes to the first
    return on_valid(best, after.mask)


def shuffled(parts: Sequence[jax.Array], groups: int) -> jax.Array:
    """The channels of some arrays one after the other, in `groups` groups; then all groups' first, second ..."""
    x = jnp.concatenate(parts, axis=0)
    return x.reshape(groups, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)


class State(NamedTuple):
    """A state of a cell (one of its inputs, or a node), with all that the edges which leave it share.

    Attributes:
        padded: ReLU of the state, for the convolutions; None if there are none.
        shared: candidates without weights of their own, by name: pools (normalised) and identity.
        halves: of the ReLU, for the skip connection of stride 2; empty with stride 1.
        bypass: the channels that no candidate sees, at the size of the output; None if there are none.
    """

    padded: Padded | None
    shared: Mapping[str, jax.Array]
    halves: Sequence[jax.Array]
    bypass: jax.Array | None


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The candidate operations of an edge, as pure functions of states and weights.

    Attributes:
        operations: their names.
        backend: FAST or PLAIN.
        axis_name: mapped axis of devices that share the statistics, or None.
        part: K, the candidates see the first 1/K of the channels (PC-DARTS, Xu et al. 2020, equation 2).
    """

    operations: Sequence[str]
    backend: Backend
    axis_name: str | None
    part: int = 1

    @property
    def convolutions(self) -> list[tuple[str, Convolution]]:
        """Those that convolve, in the order of the operations."""
        return [(name, CONVOLUTIONS[name]) for name in self.operations if name in CONVOLUTIONS]

    def prepare(self, x: jax.Array, stride: int, before: Grid, after: Grid) -> State:
        """What all edges that leave a state `[C, T, F, B]` share."""
        backend = self.backend
        bypass = None
        if self.part > 1:
            seen = x.shape[0] // self.part
            x, bypass = x[:seen], x[seen:]
            bypass = bypass if stride == 1 else halved_maximum(bypass, before, after)
        relu = nn.relu(x)
        reach = max((spec.pad for _, spec in self.convolutions), default=0)
        shared = {}
        if MAX_POOL in self.operations:
            shared[MAX_POOL] = on_valid(backend.max_pool(x, before.mask, stride, after.size), after.mask)
        if AVG_POOL in self.operations:
            shared[AVG_POOL] = average_pool(backend.pad, backend.depthwise, x, stride, before, after)
        shared = {name: normalised(backend, y, after, self.axis_name) for name, y in shared.items()}
        if SKIP in self.operations and stride == 1:
            shared[SKIP] = x
        return State(
            padded=backend.pad(relu, reach, stride) if reach else None,
            shared=shared,
            halves=halves(relu, after.size) if SKIP in self.operations and stride == 2 else [],
            bypass=bypass,
        )

    def mix(
        self,
        state: State,
        weights: Mapping[str, jax.Array],
        row: jax.Array,
        share: jax.Array,
        after: Grid,
    ) -> jax.Array:
        """The sum of all candidates of one edge, weighted, with what goes past them.

        Args:
            state: where the edge starts.
            weights: of the operations on this edge.
            row: softmax weights `[operations]`.
            share: of the edge in its node, `[]`: it multiplies all.
            after: grid of the output.

        Returns:
            `[C, T', F', B]`.
        """
        ys = self._convolve(state.padded, weights, after)
        if state.halves:
            ys[SKIP] = reduced(state.halves, [weights[f"{SKIP}_pointwise_{i}"] for i in range(2)])
        shares = share * jnp.stack([row[self.operations.index(name)] for name in (*ys, *state.shared)])
        xs = tuple(state.shared.values())
        mixed = self.backend.mixture(tuple(ys.values()), xs, shares, after, self.axis_name)
        return mixed if state.bypass is None else shuffled([mixed, share * state.bypass], self.part)

    def _convolve(self, padded, weights, after):
        """The convolutions of one edge, before their last normalisation, by name."""
        if not self.convolutions:
            return {}
        backend, outputs = self.backend, {}
        first = [weights[f"{name}_depthwise_0"] for name, _ in self.convolutions]
        dilations = [spec.dilation for _, spec in self.convolutions]
        zs = backend.depthwise(padded, first, dilations, after.size)
        for (name, spec), z in zip(self.convolutions, zs, strict=True):
            y = pointwise(z, weights[f"{name}_pointwise_0"])
            for stage in range(1, spec.stages):
                h = backend.normalised_relu(y, after, spec.pad, self.axis_name)
                (z,) = backend.depthwise(
                    h, [weights[f"{name}_depthwise_{stage}"]], [spec.dilation], after.size
                )
                y = pointwise(z, weights[f"{name}_pointwise_{stage}"])
            outputs[name] = y
        return outputs


class RelaxedCell(nn.Module):
    """A cell of `nodes` nodes, each the sum of its relaxed incoming edges; their outputs are concatenated.

    The weights of an operation are stacked over the edges, in their order (see `edge_index`).

    Attributes:
        operations: candidates of an edge.
        nodes: nodes of the cell.
        channels: of each node.
        reduction: halves T and F.
        backend: FAST or PLAIN.
        partial_channels: K, 1/K of the channels are for the candidates; 1 is all.
        edges: SCAN (see sweep.py) or UNROLL.
        rematerialise: the backward pass computes the edges again from the inputs of the cell.
        axis_name: mapped axis of devices that share the statistics, or None.
    """

    operations: Sequence[str]
    nodes: int
    channels: int
    reduction: bool
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype
    partial_channels: int = 1
    edges: str = SCAN
    rematerialise: bool = False

    @nn.compact
    def __call__(
        self,
        s0: jax.Array,
        s1: jax.Array,
        weights: jax.Array,
        s0_stride: int,
        before: Grid,
        after: Grid,
        shares: jax.Array | None = None,
    ) -> jax.Array:
        """One cell.

        Args:
            s0, s1: outputs of the two cells before, `[C0, T0, F0, B]` and `[C1, T, F, B]`.
            weights: `[edges, operations]`, softmax weights.
            s0_stride: 2 where s0 has twice the size of s1.
            before: grid of s1.
            after: grid of the output (before, or halved in a reduction cell).
            shares: of each edge in its node, `[edges]`; None is 1 each.

        Returns:
            `[nodes * channels, T', F', B]`.
        """
        common = {"backend": self.backend, "axis_name": self.axis_name, "dtype": self.dtype}
        inputs = [
            ReluConvNorm(self.channels, name="preprocess_0", **common)(s0, before, s0_stride),
            ReluConvNorm(self.channels, name="preprocess_1", **common)(s1, before),
        ]
        candidates = Candidates(self.operations, self.backend, self.axis_name, self.partial_channels)
        parameters = self._edge_parameters(candidates.convolutions)
        connect = self._looped if self.edges == SCAN else self._unrolled

        def edges(moving, grids):
            return connect(candidates, *moving, *grids)

        shares = jnp.ones(weights.shape[0], weights.dtype) if shares is None else shares
        moving, grids = (inputs, parameters, weights, shares), (before, after)
        if not self.rematerialise:
            return edges(moving, grids)
        one = jnp.minimum(after.count, 1).astype(jnp.int32)  # it is at least 1
        return rematerialised(edges, moving, grids, one)

    def _unrolled(self, candidates, inputs, parameters, weights, shares, before, after):
        stride = 2 if self.reduction else 1
        states = [candidates.prepare(x, stride, before, after) for x in inputs]
        rows = {name: unstack(stack) for name, stack in parameters.items()}
        alphas = unstack(weights)
        nodes = []
        for node in range(self.nodes):
            total = jnp.zeros((), self.dtype)
            for source, state in enumerate(states):
                edge = {
                    name: row[self._row(name, source, node)]
                    for name, row in rows.items()
                    if self._has(name, source)
                }
                at = edge_index(node, source)
                total = total + candidates.mix(state, edge, alphas[at], shares[at], after)
            nodes.append(total)
            if node < self.nodes - 1:
                states.append(candidates.prepare(total, 1, after, after))
        return jnp.concatenate(nodes, axis=0)

    def _looped(self, candidates, inputs, parameters, weights, shares, before, after):
        grids = before, after
        c, *_, b = inputs[0].shape
        stacks = jnp.stack(inputs), sweep.zeros((self.nodes, c, *after.size, b), inputs[0])
        all_sources = 2 + self.nodes - 1
        weights = {ALPHAS: weights, EDGES_SHARE: shares}
        if self.reduction:  # the inputs have another size than the nodes
            summed = self._sweep(candidates, 0, 2, 2, 0)(stacks, parameters, weights, grids)
            nodes = self._sweep(candidates, 2, all_sources, 1, 0)((summed,), parameters, weights, grids)
        else:
            one = jnp.concatenate(stacks)
            nodes = self._sweep(candidates, 0, all_sources, 1, 2)((one,), parameters, weights, grids)[2:]
        return nodes.reshape(-1, *nodes.shape[2:])

    def _sweep(self, candidates, first, last, stride, node_row):
        def prepare(candidates, x, grids):
            before, after = grids
            return candidates.prepare(x, stride, before if stride == 2 else after, after)

        def mix(candidates, prepared, here, grids):
            weights = {name: w for name, w in here.items() if name not in (ALPHAS, EDGES_SHARE)}
            return candidates.mix(prepared, weights, here[ALPHAS], here[EDGES_SHARE], grids[1])

        values = dataclasses.replace(candidates, backend=self.backend.values)
        both, both_values = (
            tuple(functools.partial(f, which) for f in (prepare, mix)) for which in (candidates, values)
        )
        loop = sweep.Sweep(*both, both_values, first, last, self.nodes, node_row, self._row)

        def run(stacks, parameters, weights, grids):
            used = {name: stack for name, stack in parameters.items() if self._has(name, first)}
            return sweep.run(loop, stacks, {**used, **weights}, grids)

        return run

    @staticmethod
    def _has(name, source):
        """Whether the edges that leave a source have this weight: only those from the inputs reduce."""
        return source < 2 or not name.startswith(SKIP)

    @staticmethod
    def _row(name, source, node):
        """Where the weight of an edge stands in its stack."""
        return 2 * node + source if name.startswith(SKIP) else node * (node + 3) // 2 + source

    def _edge_parameters(self, convolutions):
        """{name: stack `[edges, ...]`} of every operation that has weights."""
        c, found = self.channels // self.partial_channels, {}

        def add(name, init, edges, *shape):
            found[name] = self.param(name, init, (edges, *shape), self.dtype)

        edges = num_edges(self.nodes)
        for name, spec in convolutions:
            for stage in range(spec.stages):
                add(f"{name}_depthwise_{stage}", depthwise_init, edges, c, spec.kernel, spec.kernel)
                add(f"{name}_pointwise_{stage}", KERNEL_INIT, edges, c, c)
        if SKIP in self.operations and self.reduction:
            for i, width in enumerate(half_widths(c)):
                add(f"{SKIP}_pointwise_{i}", KERNEL_INIT, 2 * self.nodes, c, width)
        return found


def unstack(x: jax.Array) -> list[jax.Array]:
    """The rows of x. Split, not indexed: its transpose is one concatenation."""
    return [part[0] for part in lax.split(x, [1] * x.shape[0])]
