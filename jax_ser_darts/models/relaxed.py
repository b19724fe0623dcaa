"""The relaxed cell: every edge is the softmax-weighted sum of all candidates (DARTS, equation 2)."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.models.backend import Backend
from jax_ser_darts.models.grid import Grid
from jax_ser_darts.models.primitives import alone, pointwise
from jax_ser_darts.search_space.genotype import edge_index
from jax_ser_darts.search_space.operations import AVG_POOL, CONVOLUTIONS, MAX_POOL, SKIP

KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal", in_axis=-2, out_axis=-1)


def depthwise_init(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype) -> jax.Array:
    """He-normal for `[E, C, k, k]`: each output reads one channel, k * k values."""
    return jax.random.normal(key, shape, dtype) * (2.0 / (shape[-1] * shape[-2])) ** 0.5


def normalised(backend: Backend, y: jax.Array, grid: Grid, axis_name: str | None) -> jax.Array:
    """Batch normalisation without an affine part of `[E, C, T, F, B]`, zero on padding."""
    return backend.mixture((y,), jnp.ones((y.shape[0], 1), y.dtype), grid.mask, grid.count, axis_name)


class ReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, normalisation; with stride 2 the two halves see odd and even positions.

    The stride-2 form is DARTS's factorised reduction.
    """

    channels: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, grid: Grid, stride: int = 1) -> jax.Array:
        """`[C, T, F, B]` -> `[channels, T', F', B]`; `grid` is that of the output."""
        y = PointwiseReduction(1, self.channels, stride, self.dtype, name="conv")(nn.relu(x), grid.size)
        return normalised(self.backend, y, grid, self.axis_name)[0]


class PointwiseReduction(nn.Module):
    """1x1 convolution of one input for each of E edges; with stride 2 in two halves, shifted by one position."""

    edges: int
    channels: int
    stride: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int]) -> jax.Array:
        """`[C, T, F, B]` -> `[E, channels, T', F', B]`, size = (T', F')."""
        t, f = size
        c = x.shape[0]
        if self.stride == 1:
            parts, widths = [x], [self.channels]
        else:
            x = jnp.pad(x, ((0, 0), (0, 2 * t - x.shape[1]), (0, 2 * f - x.shape[2]), (0, 0)))
            parts = [x[:, ::2, ::2], x[:, 1::2, 1::2]]
            widths = [self.channels - self.channels // 2, self.channels // 2]
        outputs = []
        for i, (part, width) in enumerate(zip(parts, widths, strict=True)):
            w = self.param(f"pointwise_{i}", KERNEL_INIT, (self.edges, c, width), self.dtype)
            wide = w.transpose(1, 0, 2).reshape(1, c, self.edges * width)  # all edges read the same input
            outputs.append(pointwise(part[None], wide).reshape(self.edges, width, *part.shape[1:]))
        return jnp.concatenate(outputs, axis=1) if len(outputs) > 1 else outputs[0]


class EdgesFrom(nn.Module):
    """All edges that leave one state, each the weighted sum of every candidate.

    What the edges share is computed once: the ReLU, the padding, the pools and their normalisation.
    """

    operations: Sequence[str]
    channels: int
    stride: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, weights: jax.Array, before: Grid, after: Grid) -> list[jax.Array]:
        """Candidates of E edges, mixed.

        Args:
            x: `[C, T, F, B]`, zero on padding.
            weights: `[E, operations]`, softmax weights.
            before: grid of x.
            after: grid of the output.

        Returns:
            E arrays `[C, T', F', B]`.
        """
        edges = weights.shape[0]
        column = {name: weights[:, k] for k, name in enumerate(self.operations)}
        mixed, mixing = [], []
        convolutions = {name: CONVOLUTIONS[name] for name in self.operations if name in CONVOLUTIONS}
        if convolutions:
            pad = max(spec.pad for spec in convolutions.values())
            padded = before.pad(nn.relu(x), pad)
            for name, spec in convolutions.items():
                mixed.append(self._convolution(name, spec, padded, pad, edges, after))
                mixing.append(column[name])
        shared = self._pools(x, before, after)
        if SKIP in column and self.stride == 1:
            shared[SKIP] = x
        elif SKIP in column:
            skip = PointwiseReduction(edges, self.channels, self.stride, self.dtype, name=SKIP)
            mixed.append(skip(nn.relu(x), after.size))
            mixing.append(column[SKIP])
        outputs = [sum(column[name][e] * y for name, y in shared.items()) for e in range(edges)]
        if mixed:
            weights = jnp.stack(mixing, axis=-1)
            total = self.backend.mixture(tuple(mixed), weights, after.mask, after.count, self.axis_name)
            # Split, not indexed: its transpose is one concatenation.
            parts = lax.split(total, [1] * edges)
            outputs = [output + part[0] for output, part in zip(outputs, parts, strict=True)]
        return outputs

    def _convolution(self, name, spec, padded, pad, edges, after):
        c, k = self.channels, spec.kernel
        y = padded
        for stage in range(spec.stages):
            dw = self.param(f"{name}_depthwise_{stage}", depthwise_init, (edges, c, k, k), self.dtype)
            pw = self.param(f"{name}_pointwise_{stage}", KERNEL_INIT, (edges, c, c), self.dtype)
            if stage == 0:
                y = self.backend.depthwise(y, dw, self.stride, spec.dilation, pad, after.size)
            else:  # each edge has its own input: its channels are further channels of one convolution
                y = nn.relu(normalised(self.backend, y, after, self.axis_name))
                y = after.pad(y, spec.pad).reshape(edges * c, *(n + 2 * spec.pad for n in after.size), -1)
                dw = dw.reshape(1, edges * c, k, k)
                y = self.backend.depthwise(y, dw, 1, spec.dilation, spec.pad, after.size)
                y = y.reshape(edges, c, *y.shape[2:])
            y = pointwise(y, pw)
        return y

    def _pools(self, x, before, after):
        pools = {}
        if MAX_POOL in self.operations:
            pools[MAX_POOL] = self.backend.max_pool(before.pad_lowest(x, 1), self.stride, 1, after.size)
        if AVG_POOL in self.operations:
            pools[AVG_POOL] = average_pool(self.backend, x, self.stride, before, after)
        return {
            name: normalised(self.backend, alone(y * after.mask)[None], after, self.axis_name)[0]
            for name, y in pools.items()
        }


def average_pool(backend: Backend, x: jax.Array, stride: int, before: Grid, after: Grid) -> jax.Array:
    """Mean over the valid positions of each 3x3 window: `[C, T, F, B]` -> `[C, T', F', B]`."""
    window = lambda y: backend.depthwise(
        before.pad(y, 1), jnp.ones((1, y.shape[0], 3, 3), y.dtype), stride, 1, 1, after.size
    )[0]
    counts = window(jnp.broadcast_to(before.mask, (1, *before.size, x.shape[-1])))
    return window(x) / jnp.maximum(counts, 1)


class RelaxedCell(nn.Module):
    """A cell of `nodes` nodes, each the sum of its relaxed incoming edges; their outputs are concatenated."""

    operations: Sequence[str]
    nodes: int
    channels: int
    reduction: bool
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, s0: jax.Array, s1: jax.Array, weights: jax.Array, s0_stride: int, before: Grid, after: Grid
    ) -> jax.Array:
        """One cell.

        Args:
            s0, s1: outputs of the two cells before, `[C0, T0, F0, B]` and `[C1, T, F, B]`.
            weights: `[edges, operations]`, softmax weights.
            s0_stride: 2 where s0 has twice the size of s1.
            before: grid of s1.
            after: grid of the output (before, or halved in a reduction cell).

        Returns:
            `[nodes * channels, T', F', B]`.
        """
        common = {"backend": self.backend, "axis_name": self.axis_name, "dtype": self.dtype}
        states = [
            ReluConvNorm(self.channels, name="preprocess_0", **common)(s0, before, s0_stride),
            ReluConvNorm(self.channels, name="preprocess_1", **common)(s1, before),
        ]
        sums = [jnp.zeros((), self.dtype)] * self.nodes
        for source in range(1 + self.nodes):
            is_input = source < 2
            targets = range(0 if is_input else source - 1, self.nodes)
            rows = jnp.stack([weights[edge_index(node, source)] for node in targets])
            edges = EdgesFrom(
                operations=self.operations,
                channels=self.channels,
                stride=2 if self.reduction and is_input else 1,
                name=f"edges_from_{source}",
                **common,
            )(states[source], rows, before if is_input else after, after)
            for edge, node in enumerate(targets):
                sums[node] = sums[node] + edges[edge]
            if not is_input or source == 1:  # every source of the next node has been added
                states.append(sums[len(states) - 2])
        return jnp.concatenate(states[2:], axis=0)
