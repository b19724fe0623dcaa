"""Sequence cells over TIME within each utterance: relaxed in the search, discrete in the network that is found.

A cell is built like a CNN cell (see relaxed.py): it sees the two cells before it, a node is the sum of its edges, the nodes'
outputs are concatenated. An edge is the weighted sum of candidates in the supernet and one operation in the network; one
module does both. All cells have the same shape, so that one loop runs them: its program holds one cell.

The published code (emoDARTS) feeds its cells one vector an utterance and lets them recur across the batch, with attention
over units. Here they recur over the frames, attention is over the frames, and a prediction depends on nothing but its own
utterance's valid frames: what normalises does so within a frame.
"""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ser_darts.models.recurrence import attend, recur
from jax_ser_darts.models.sequence import AttentionPooling
from jax_ser_darts.search_space.genotype import Edge
from jax_ser_darts.search_space.operations import SKIP
from jax_ser_darts.search_space.sequence_operations import FAMILIES, RECURRENCES

NORM_EPSILON = 1e-5
INIT = nn.initializers.lecun_normal(in_axis=-2, out_axis=-1)


class MixedEdge(NamedTuple):
    """An edge of a sequence cell.

    Attributes:
        source: 0 and 1 are the cell's inputs, 2 + i is the output of node i.
        operations: its candidates; one, where it has been decided.
    """

    source: int
    operations: tuple[str, ...]


Nodes = tuple[tuple[MixedEdge, ...], ...]


def relaxed_nodes(nodes: int, operations: Sequence[str]) -> Nodes:
    """All edges with all candidates, in the order of `edge_index`."""
    return tuple(tuple(MixedEdge(s, tuple(operations)) for s in range(2 + i)) for i in range(nodes))


def chosen_nodes(cell: tuple[tuple[Edge, ...], ...]) -> Nodes:
    """The edges of a genotype's sequence cell."""
    return tuple(tuple(MixedEdge(e.source, (e.operation,)) for e in node) for node in cell)


class Member(NamedTuple):
    """A recurrence on an edge: its place among a node's edges, its column there, and its layers."""

    edge: int
    column: int
    layers: int


def members(edges: Sequence[MixedEdge]) -> dict[str, list[Member]]:
    """The recurrences on the edges of a node by family, the deepest first: those that go on are always the first ones."""
    found = collections.defaultdict(list)
    for i, edge in enumerate(edges):
        for column, name in enumerate(edge.operations):
            if name in RECURRENCES:
                spec = RECURRENCES[name]
                found[spec.family].append(Member(i, column, spec.layers))
    return {family: sorted(some, key=lambda m: -m.layers) for family, some in found.items()}


def frame_norm(x: jax.Array) -> jax.Array:
    """Layer normalisation of each frame over its units (last axis), without an affine part."""
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON)


class Layer(nn.Module):
    """One layer's weights of several recurrences of a family, and its gates' share of them that needs no loop."""

    family: str
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[T, N, B, I]` -> gates `[T, N, D, B, G H]`, recurrent weights `[N, D, H, G H]`."""
        spec, n = FAMILIES[self.family], x.shape[1]
        outputs = spec.gates * self.width
        w = self.param("input", INIT, (n, spec.directions, x.shape[-1], outputs), self.dtype)
        u = self.param("recurrent", INIT, (n, spec.directions, self.width, outputs), self.dtype)
        b = self.param("bias", nn.initializers.zeros, (n, spec.directions, outputs), self.dtype)
        return jnp.einsum("tnbi,ndig->tndbg", x, w) + b[None, :, :, None], u


class SelfAttention(nn.Module):
    """Self-attention over time after bidirectional recurrences, from both directions' units to `width`."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array) -> jax.Array:
        """`[T, N, B, 2 H]`, bool `[T, B]` -> `[T, N, B, H]`."""
        shape = x.shape[1], x.shape[-1], self.width
        projections = [
            jnp.einsum("tnbi,nih->nbth", x, self.param(name, INIT, shape, self.dtype))
            for name in ("query", "key", "value")
        ]
        return attend(*projections, valid.T).transpose(2, 0, 1, 3)


class Node(nn.Module):
    """A node: the weighted sum of all candidates on its incoming edges. One loop over time for each depth of layers."""

    edges: tuple[MixedEdge, ...]
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states: Sequence[jax.Array], shares: jax.Array, valid: jax.Array) -> jax.Array:
        """The sum.

        Args:
            states: inputs of the cell and nodes before this one, `[T, B, H]` each.
            shares: of each candidate on each edge, `[edges, operations, B or 1]`.
            valid: bool `[T, B]`.

        Returns:
            `[T, B, H]`, zero on padding.
        """
        total = jnp.zeros_like(states[0])
        for i, edge in enumerate(self.edges):
            if SKIP in edge.operations:
                share = shares[i, edge.operations.index(SKIP)]
                total = total + share[None, :, None] * states[edge.source]
        for family, y in self._recurrences(states, valid).items():
            some = members(self.edges)[family]
            rows, columns = (np.array([getattr(m, name) for m in some]) for name in ("edge", "column"))
            total = total + jnp.sum(shares[rows, columns][None, :, :, None] * y, axis=1)
        return jnp.where(valid[..., None], total, jnp.zeros_like(total))

    def _recurrences(self, states, valid):
        """family -> outputs of its members, `[T, N, B, H]`."""
        going = members(self.edges)
        xs = {
            family: jnp.stack([states[self.edges[m.edge].source] for m in some], axis=1)
            for family, some in going.items()
        }
        done, depth = {family: [] for family in going}, 0
        while going:
            depth += 1
            layers = {
                family: Layer(family, self.width, self.dtype, name=f"{family}_layer_{depth}")(xs[family])
                for family in going
            }
            gates, recurrent = ({family: pair[i] for family, pair in layers.items()} for i in range(2))
            deeper = {}
            for family, h in recur(gates, recurrent, valid).items():
                y = h[:, :, 0] if h.shape[2] == 1 else jnp.concatenate([h[:, :, 0], h[:, :, 1]], axis=-1)
                rest = [m for m in going[family] if m.layers > depth]
                done[family].append(y[:, len(rest) :])
                if rest:
                    deeper[family], xs[family] = rest, y[:, : len(rest)]
            going = deeper
        outputs = {family: jnp.concatenate(parts[::-1], axis=1) for family, parts in done.items()}
        return {
            family: SelfAttention(self.width, self.dtype, name=f"{family}_attention")(y, valid)
            if FAMILIES[family].attention
            else y
            for family, y in outputs.items()
        }


class SequenceCell(nn.Module):
    """A cell: (outputs of the two cells before it) -> (output of the one before, its own output).

    Attributes:
        nodes: the incoming edges of each node.
        width: units of a node (H).
        dropout: on the output.
        train: dropout and drop-path on.
    """

    nodes: Nodes
    width: int
    dropout: float
    train: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        before: tuple[jax.Array, jax.Array],
        weights: jax.Array | None,
        valid: jax.Array,
        drop_path_rate: jax.Array | None,
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        """One step of the loop over the cells.

        Args:
            before: two arrays `[T, B, nodes H]`.
            weights: softmax weights `[edges, operations]`; None where each edge has one operation.
            valid: bool `[T, B]`.
            drop_path_rate: chance that an edge which is no identity is dropped for an utterance; None is never.
        """
        states = []
        for i, x in enumerate(before):
            w = self.param(f"preprocess_{i}", INIT, (x.shape[-1], self.width), self.dtype)
            states.append(jnp.where(valid[..., None], frame_norm(x @ w), jnp.zeros((), self.dtype)))
        edges = [edge for node in self.nodes for edge in node]
        shares = jnp.ones((len(edges), 1, 1), self.dtype) if weights is None else weights[..., None]
        if drop_path_rate is not None:
            shares = shares * self._drop_path(edges, drop_path_rate, valid.shape[1])
        first = 0
        for i, node in enumerate(self.nodes):
            here = shares[first : first + len(node)]
            states.append(Node(node, self.width, self.dtype, name=f"node_{i}")(states, here, valid))
            first += len(node)
        y = nn.Dropout(self.dropout, deterministic=not self.train)(jnp.concatenate(states[2:], axis=-1))
        return (before[1], y), None

    def _drop_path(self, edges, rate, utterances):
        """Factors `[edges, 1, B]`: 0 for a dropped edge, 1 / (1 - rate) for a kept one, 1 for an identity."""
        keep = 1 - jnp.asarray(rate, self.dtype)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, (len(edges), 1, utterances))
        identity = np.array([edge.operations == (SKIP,) for edge in edges])[:, None, None]
        return jnp.where(identity, jnp.ones((), self.dtype), kept.astype(self.dtype) / keep)


class SequenceCells(nn.Module):
    """The sequence part that is searched: projection of each frame, cells, attention pooling, classifier.

    The projection has the width of a cell's output and stands for both cells before the first.

    Attributes:
        classes: number of emotions.
        cells: how many.
        nodes: of each, see `relaxed_nodes` and `chosen_nodes`.
        width: units of a node (H); a recurrence and an attention have as many.
        attention: width of the pooling's hidden layer.
        dropout: on the projected frames and after each cell.
    """

    classes: int
    cells: int
    nodes: Nodes
    width: int
    attention: int
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        num_frames: jax.Array,
        weights: jax.Array | None,
        train: bool,
        drop_path_rate: jax.Array | None = None,
    ) -> jax.Array:
        """CNN activations `[C, T, F, B]`, valid frames `[B]` -> logits `[B, classes]`; the rest as of `SequenceCell`."""
        c, t, f, b = x.shape
        valid = jnp.arange(t, dtype=num_frames.dtype)[:, None] < num_frames[None, :]
        frames = x.transpose(1, 3, 2, 0).reshape(t, b, f * c)
        width = len(self.nodes) * self.width
        h = nn.relu(nn.Dense(width, param_dtype=self.dtype, name="project")(frames))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        cells = nn.scan(
            SequenceCell,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=self.cells,
        )(self.nodes, self.width, self.dropout, train, self.dtype, name="cells")
        (_, h), _ = cells((h, h), weights, valid, drop_path_rate)
        pooled = AttentionPooling(self.attention, self.dtype, name="pool")(h.transpose(1, 0, 2), num_frames)
        return nn.Dense(self.classes, param_dtype=self.dtype, name="classify")(pooled)
