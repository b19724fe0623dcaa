"""Sequence cells over TIME within each utterance: relaxed in the search, discrete in the network that is found.

A cell is built like a CNN cell (see relaxed.py): it sees the two cells before it, a node is the sum of its
edges, the nodes' outputs are concatenated. An edge is the weighted sum of candidates in the supernet and one
operation in the network; one module does both.

All cells have the same shape, and in the supernet all nodes too, so loops run them: the program holds one
node, with one loop over time for each family and depth.

The published code (emoDARTS) feeds its cells one vector an utterance and lets them recur across the batch,
with attention over units. Here they recur over the frames, attention is over the frames, and a prediction
depends on nothing but its own utterance's valid frames: what normalises does so within a frame.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jax_ser_darts.models.initialise import drawn
from jax_ser_darts.models.sequence import AttentionPooling
from jax_ser_darts.ops.recurrence import LayerParams, attend, recur
from jax_ser_darts.search_space.genotype import Edge, edge_index
from jax_ser_darts.search_space.operations import SKIP
from jax_ser_darts.search_space.sequence_operations import FAMILIES, RECURRENCES

NORM_EPSILON = 1e-5


class MixedEdge(NamedTuple):
    """An edge of a sequence cell.

    Attributes:
        source: 0 and 1 are the cell's inputs, 2 + i is the output of node i.
        operations: its candidates; one, where it has been decided.
    """

    source: int
    operations: tuple[str, ...]


class Stack(NamedTuple):
    """A recurrence on an edge: the edge's place among the node's, the operation, its layers."""

    edge: int
    operation: str
    layers: int


def chosen_nodes(cell: tuple[tuple[Edge, ...], ...]) -> tuple[tuple[MixedEdge, ...], ...]:
    """The edges of a genotype's sequence cell, a tuple a node."""
    return tuple(tuple(MixedEdge(e.source, (e.operation,)) for e in node) for node in cell)


def frame_norm(x: jax.Array) -> jax.Array:
    """Layer normalisation of each frame over its units (last axis), without an affine part."""
    x = x - jnp.mean(x, axis=-1, keepdims=True)
    return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + NORM_EPSILON)


class Layer(nn.Module):
    """The params of one layer of several recurrences of a family."""

    family: str
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, recurrences: int, inputs: int) -> LayerParams:
        """As many recurrences, of as many inputs each."""
        spec = FAMILIES[self.family]
        shape = recurrences, spec.directions
        outputs = spec.gates * self.width
        kernel = self.param("recurrent", drawn, (*shape, inputs + self.width, outputs), self.dtype)
        return LayerParams(kernel, self.param("bias", drawn, (*shape, outputs), self.dtype))


class SelfAttention(nn.Module):
    """Self-attention over time after bidirectional recurrences, from both directions' units to `width`."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: jax.Array) -> jax.Array:
        """`[T, N, B, 2 H]`, bool `[T, B]` -> `[T, N, B, H]`."""
        t, n, b, inputs = x.shape
        w = self.param("attend", drawn, (n, inputs, 3 * self.width), self.dtype)
        projected = jnp.einsum("nmi,nih->nmh", x.transpose(1, 2, 0, 3).reshape(n, b * t, inputs), w)
        query, key, value = jnp.split(projected.reshape(n, b, t, -1), 3, axis=-1)
        return attend(query, key, value, valid.T).transpose(2, 0, 1, 3)


class Node(nn.Module):
    """A node: the weighted sum of all candidates on its incoming edges.

    Attributes:
        edges: with their candidates. The params of a family's layer are stacked over its recurrences on all edges, the
            deepest first and otherwise in the order of edges and operations.
        width: units of the node (H); a recurrence and an attention have as many.
    """

    edges: tuple[MixedEdge, ...]
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states: jax.Array, shares: jax.Array, valid: jax.Array) -> jax.Array:
        """The sum.

        Args:
            states: inputs of the cell and nodes before this one, `[T, sources, B, H]`.
            shares: of each candidate on each edge, `[edges, operations, B or 1]`.
            valid: bool `[T, B]`.

        Returns:
            `[T, B, H]`, zero on padding.
        """
        total = jnp.zeros_like(states[:, 0])
        for i, edge in enumerate(self.edges):
            if SKIP in edge.operations:
                share = shares[i, edge.operations.index(SKIP)]
                total = total + share[None, :, None] * states[:, edge.source]
        for family in FAMILIES:
            # The deepest first (and otherwise in order): the stacks that go on are always the first ones.
            stacks = sorted(self._stacks(family), key=lambda stack: -stack.layers)
            if stacks:
                y = self._run(family, stacks, states, valid)
                places = [(s.edge, self.edges[s.edge].operations.index(s.operation)) for s in stacks]
                share = jnp.stack([shares[place] for place in places])
                total = total + jnp.sum(share[None, :, :, None] * y, axis=1)
        return jnp.where(valid[..., None], total, jnp.zeros_like(total))

    def _stacks(self, family):
        return [
            Stack(i, name, RECURRENCES[name].layers)
            for i, edge in enumerate(self.edges)
            for name in edge.operations
            if name in RECURRENCES and RECURRENCES[name].family == family
        ]

    def _run(self, family, stacks, states, valid):
        """The outputs of stacks, deepest first: `[T, N, B, H]`."""
        x = jnp.stack([states[:, self.edges[stack.edge].source] for stack in stacks], axis=1)
        done = []
        for depth in range(1, stacks[0].layers + 1):
            layer = Layer(family, self.width, self.dtype, name=f"{family}_layer_{depth}")
            y = recur(family, x, layer(x.shape[1], x.shape[-1]), valid)
            deeper = sum(stack.layers > depth for stack in stacks)
            x, ends = y[:, :deeper], y[:, deeper:]
            done.append(ends)
        y = jnp.concatenate(done[::-1], axis=1)
        if FAMILIES[family].attention:
            y = SelfAttention(self.width, self.dtype, name=f"{family}_attention")(y, valid)
        return y


class _Inputs(nn.Module):
    """The two inputs of a cell at its width, normalised within each frame."""

    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, before, valid):
        """Two arrays `[T, B, I]` -> `[T, 2, B, H]`, zero on padding."""
        inputs = [
            frame_norm(x @ self.param(f"project_{i}", drawn, (x.shape[-1], self.width), self.dtype))
            for i, x in enumerate(before)
        ]
        states = jnp.stack(inputs, axis=1)
        return jnp.where(valid[:, None, :, None], states, jnp.zeros_like(states))


class _ScannedNode(nn.Module):
    """One step of the loop over the nodes of a relaxed cell; sources that are not there yet are read as zeros."""

    edges: tuple[MixedEdge, ...]
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, states, node, shares, valid):
        y = Node(self.edges, self.width, self.dtype, name="node")(states, shares, valid)
        # The last node is nobody's source: writing it where nobody reads any more does no harm.
        return lax.dynamic_update_index_in_dim(states, y, node + 2, axis=1), y


class RelaxedSequenceCell(nn.Module):
    """A relaxed cell: (outputs of the two cells before it) -> (output of the one before, its own output).

    A loop needs nodes of one shape, so each has params for the sources of the last one. Those of edges that
    do not exist (6 of 20 with 4 nodes) have the share 0: they change nothing and are never trained.

    Attributes:
        operations: candidates of an edge.
        nodes: nodes of the cell.
        width: units of a node (H).
        dropout: on the output; `train` turns it on.
    """

    operations: tuple[str, ...]
    nodes: int
    width: int
    dropout: float
    train: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, before: tuple[jax.Array, jax.Array], op_weights: jax.Array, valid: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        """Two arrays `[T, B, nodes H]`, softmax weights `[edges, operations]`, bool `[T, B]` -> two arrays, None."""
        inputs = _Inputs(self.width, self.dtype, name="inputs")(before, valid)
        sources = self.nodes + 1
        states = jnp.pad(inputs, ((0, 0), (0, sources - 2), (0, 0), (0, 0)))
        shares = jnp.stack(
            [
                jnp.pad(op_weights[edge_index(i, 0) : edge_index(i + 1, 0)], ((0, sources - 2 - i), (0, 0)))
                for i in range(self.nodes)
            ]
        )
        # Computed again on the way back: in the loops that costs less than to keep what it needs for all nodes.
        loop = nn.scan(
            nn.remat(_ScannedNode, prevent_cse=False),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, 0, nn.broadcast),
            length=self.nodes,
        )
        edges = tuple(MixedEdge(s, self.operations) for s in range(sources))
        scanned = loop(edges, self.width, self.dtype, name="nodes")
        _, y = scanned(states, jnp.arange(self.nodes), shares[..., None], valid)
        return _finish(y, before, self)


class SequenceCell(nn.Module):
    """The cell of a genotype, as `RelaxedSequenceCell` with one operation an edge.

    Attributes:
        nodes: the incoming edges of each node, see `chosen_nodes`.
        width, dropout, train: as there; `train` also turns drop-path on.
    """

    nodes: tuple[tuple[MixedEdge, ...], ...]
    width: int
    dropout: float
    train: bool
    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, before: tuple[jax.Array, jax.Array], valid: jax.Array, drop_path_rate: jax.Array | None
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        """Two arrays `[T, B, nodes H]`, bool `[T, B]`, chance that an edge but an identity is dropped (None: never)."""
        states = _Inputs(self.width, self.dtype, name="inputs")(before, valid)
        for i, edges in enumerate(self.nodes):
            shares = jnp.ones((len(edges), 1, 1), self.dtype)
            if drop_path_rate is not None:
                shares = self._drop_path(edges, drop_path_rate, valid.shape[1])
            y = Node(edges, self.width, self.dtype, name=f"node_{i}")(states, shares, valid)
            states = jnp.concatenate([states, y[:, None]], axis=1)
        return _finish(states[:, 2:].transpose(1, 0, 2, 3), before, self)

    def _drop_path(self, edges, rate, utterances):
        """Factors `[edges, 1, B]`: 0 for a dropped edge, 1 / (1 - rate) for one that stays, 1 for an identity."""
        keep = 1 - jnp.asarray(rate, self.dtype)
        stays = jax.random.bernoulli(self.make_rng("dropout"), keep, (len(edges), 1, utterances))
        identity = np.array([edge.operations == (SKIP,) for edge in edges])[:, None, None]
        return jnp.where(identity, jnp.ones((), self.dtype), stays.astype(self.dtype) / keep)


def _finish(y, before, cell):
    """The nodes `[nodes, T, B, H]` one after the other, with dropout."""
    y = y.transpose(1, 2, 0, 3).reshape(*y.shape[1:3], -1)
    return (before[1], nn.Dropout(cell.dropout, deterministic=not cell.train)(y)), None


class SequenceCells(nn.Module):
    """The sequence part that is searched: projection of each frame, cells, attention pooling, classifier.

    The projection has the width of a cell's output and stands for both cells before the first.

    Attributes:
        classes: number of emotions.
        cells: how many.
        operations, nodes: of relaxed cells; or
        chosen: the nodes of a genotype's cell, see `chosen_nodes`.
        width: units of a node (H).
        attention: width of the pooling's hidden layer.
        dropout: on the projected frames and after each cell.
    """

    classes: int
    cells: int
    width: int
    attention: int
    dropout: float
    dtype: jnp.dtype
    operations: tuple[str, ...] = ()
    nodes: int = 0
    chosen: tuple[tuple[MixedEdge, ...], ...] = ()

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        num_frames: jax.Array,
        train: bool,
        *,
        op_weights: jax.Array | None = None,
        drop_path_rate: jax.Array | None = None,
    ) -> jax.Array:
        """Logits of every utterance.

        Args:
            x: CNN activations `[C, T, F, B]`.
            num_frames: valid frames, `[B]`.
            train: dropout on.
            op_weights: softmax weights of relaxed cells, `[edges, operations]`.
            drop_path_rate: of chosen cells; None is never.

        Returns:
            `[B, classes]`.
        """
        c, t, f, b = x.shape
        valid = jnp.arange(t, dtype=num_frames.dtype)[:, None] < num_frames[None, :]
        frames = x.transpose(1, 3, 2, 0).reshape(t, b, f * c)
        width = (len(self.chosen) or self.nodes) * self.width
        h = nn.relu(nn.Dense(width, param_dtype=self.dtype, name="project")(frames))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)

        def loop(cell: Callable[..., nn.Module], **options: Any) -> nn.Module:
            scanned = nn.scan(
                cell,
                variable_axes={"params": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=nn.broadcast,
                length=self.cells,
            )
            sizes = {"width": self.width, "dropout": self.dropout, "dtype": self.dtype}
            return scanned(train=train, name="cells", **options, **sizes)

        if self.chosen:
            (_, h), _ = loop(SequenceCell, nodes=self.chosen)((h, h), valid, drop_path_rate)
        else:
            cells = loop(RelaxedSequenceCell, operations=tuple(self.operations), nodes=self.nodes)
            (_, h), _ = cells((h, h), op_weights, valid)
        pooled = AttentionPooling(self.attention, self.dtype, name="pool")(h.transpose(1, 0, 2), num_frames)
        return nn.Dense(self.classes, param_dtype=self.dtype, name="classify")(pooled)
