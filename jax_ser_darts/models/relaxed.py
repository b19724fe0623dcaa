"""The relaxed cell: every edge is the softmax-weighted sum of all candidates (DARTS, equation 2)."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.models import own
from jax_ser_darts.models.initialise import drawn
from jax_ser_darts.models.own import OWN
from jax_ser_darts.ops import sweep
from jax_ser_darts.ops.backend import Backend
from jax_ser_darts.ops.depthwise import Padded
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.ops.pooling import halved_maximum
from jax_ser_darts.ops.primitives import along_both, half_widths, halves, pointwise, pointwise_parts, shuffled
from jax_ser_darts.ops.remat import remat
from jax_ser_darts.search_space.genotype import edge_index, num_edges
from jax_ser_darts.search_space.operations import SKIP, Convolution, Custom, Pooling, of_kind

SCAN, UNROLL = "scan", "unroll"
EDGES = (SCAN, UNROLL)
OP_WEIGHTS, EDGE_WEIGHTS = "op_weights", "edge_weights"
REDUCING = tuple(f"{SKIP}_pointwise_{i}" for i in range(2))  # params of a skip connection of stride 2
ALL, FROM_INPUTS, FROM_NODES = "all", "from_inputs", "from_nodes"  # which edges of a cell have some param


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
            self.param(f"pointwise_{i}", drawn, (x.shape[0], width), self.dtype)
            for i, width in enumerate(widths)
        ]
        return pointwise_parts(parts, ws)


class ReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, normalisation: brings the inputs of a cell to its channels and size."""

    channels: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: ValidPositions, stride: int = 1) -> jax.Array:
        """`[C, T, F, B]` -> `[channels, T', F', B]`; `valid` is of the output."""
        y = ReluConv(self.channels, stride, self.dtype, name="conv")(x, valid.size)
        return self.backend.normalise(y, valid, self.axis_name)


class State(NamedTuple):
    """A state of a cell (one of its inputs, or a node), with all that the edges which leave it share.

    Attributes:
        padded: ReLU of the state, for the convolutions; None if there are none.
        shared: candidates without params of their own, by name: pools (normalised) and identity.
        halves: of the ReLU, for the skip connection of stride 2; empty with stride 1.
        x: the state itself, for the user's own operations; None if there are none.
        bypass: the channels that no candidate sees, at the size of the output; None if there are none.
    """

    padded: Padded | None
    shared: Mapping[str, jax.Array]
    halves: Sequence[jax.Array]
    x: jax.Array | None
    bypass: jax.Array | None


class Place(NamedTuple):
    """How an edge changes the size.

    Attributes:
        stride: 1 or 2.
        before, after: positions of its source and of its node.
    """

    stride: int
    before: ValidPositions
    after: ValidPositions


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The candidate operations of an edge, as pure functions of states and params.

    Attributes:
        operations: their names.
        backend: CUSTOM or REFERENCE.
        axis_name: mapped axis of devices that share the statistics, or None.
        part: K, the candidates see the first 1/K of the channels (PC-DARTS, Xu et al. 2020, equation 2).
    """

    operations: Sequence[str]
    backend: Backend
    axis_name: str | None
    part: int = 1

    @property
    def convolutions(self) -> Mapping[str, Convolution]:
        """Those that convolve, in the order of the operations."""
        return of_kind(Convolution, self.operations)

    @property
    def custom(self) -> Mapping[str, Custom]:
        """The user's own modules and functions."""
        return of_kind(Custom, self.operations)

    def prepare(self, x: jax.Array, place: Place) -> State:
        """What all edges that leave a state `[C, T, F, B]` share."""
        stride, before, after = place
        backend = self.backend
        bypass = None
        if self.part > 1:
            seen = x.shape[0] // self.part
            x, bypass = x[:seen], x[seen:]
            bypass = bypass if stride == 1 else halved_maximum(bypass, before, after)
        relu = nn.relu(x)
        reach = max((spec.pad for spec in self.convolutions.values()), default=0)
        shared = {
            name: backend.normalise(backend.pool(spec, x, stride, before, after), after, self.axis_name)
            for name, spec in of_kind(Pooling, self.operations).items()
        }
        if SKIP in self.operations and stride == 1:
            shared[SKIP] = x
        return State(
            padded=backend.pad(relu, reach, stride) if self.convolutions else None,
            shared=shared,
            halves=halves(relu, after.size) if SKIP in self.operations and stride == 2 else [],
            x=x if self.custom else None,
            bypass=bypass,
        )

    def mix(
        self,
        state: State,
        params: Mapping[str, jax.Array],
        op_weights: jax.Array,
        edge_weight: jax.Array,
        place: Place,
    ) -> jax.Array:
        """The sum of all candidates of one edge, weighted, with what goes past them.

        Args:
            state: where the edge starts.
            params: of the operations on this edge.
            op_weights: softmax weights `[operations]`.
            edge_weight: of the edge in its node, `[]`: it multiplies all.
            place: the edge's.

        Returns:
            `[C, T', F', B]`.
        """
        ys = self._convolve(state.padded, params, place.after)
        if state.halves:
            ys[SKIP] = pointwise_parts(state.halves, [params[name] for name in REDUCING])
        for name in self.custom:
            assert state.x is not None  # see `prepare`
            ys[name] = own.apply(name, own_params(params, name, place.stride), state.x, *place)
        weights = edge_weight * jnp.stack(
            [op_weights[self.operations.index(name)] for name in (*ys, *state.shared)]
        )
        xs = tuple(state.shared.values())
        mixed = self.backend.mixture(tuple(ys.values()), xs, weights, place.after, self.axis_name)
        return mixed if state.bypass is None else shuffled([mixed, edge_weight * state.bypass], self.part)

    def _convolve(self, padded, params, after):
        """The convolutions of one edge, before their last normalisation, by name."""
        if not self.convolutions:
            return {}
        backend, outputs = self.backend, {}
        first = [params[f"{name}_depthwise_0"] for name in self.convolutions]
        dilations = [spec.dilation for spec in self.convolutions.values()]
        zs = backend.depthwise(padded, first, dilations, after.size)
        for (name, spec), z in zip(self.convolutions.items(), zs, strict=True):
            y = pointwise(z, params[f"{name}_pointwise_0"])
            for stage in range(1, spec.stages):
                h = backend.normalised_relu(y, after, spec.pad, self.axis_name)
                (z,) = backend.depthwise(
                    h, [params[f"{name}_depthwise_{stage}"]], [spec.dilation], after.size
                )
                y = pointwise(z, params[f"{name}_pointwise_{stage}"])
            outputs[name] = y
        return outputs


def own_params(params: Mapping[str, jax.Array], name: str, stride: int) -> dict:
    """The tree of a user's operation among the flat params of an edge; see `RelaxedCell._own_params`."""
    start = f"{OWN}/{name}/stride_{stride}/"
    flat = {path.removeprefix(start): w for path, w in params.items() if path.startswith(start)}
    return flax.traverse_util.unflatten_dict(flat, sep="/")


class RelaxedCell(nn.Module):
    """A cell of `nodes` nodes, each the sum of its relaxed incoming edges; their outputs are concatenated.

    The params of an operation are stacked over the edges, in their order (see `edge_index`).

    Attributes:
        operations: candidates of an edge.
        nodes: nodes of the cell.
        channels: of each node.
        reduction: halves T and F.
        backend: CUSTOM or REFERENCE.
        partial_channels: K, 1/K of the channels are for the candidates; 1 is all.
        edges: SCAN (see sweep.py) or UNROLL.
        remat: the backward pass computes the edges again from the inputs of the cell.
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
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        s0: jax.Array,
        s1: jax.Array,
        op_weights: jax.Array,
        s0_stride: int,
        before: ValidPositions,
        after: ValidPositions,
        edge_weights: jax.Array | None = None,
    ) -> jax.Array:
        """One cell.

        Args:
            s0, s1: outputs of the two cells before, `[C0, T0, F0, B]` and `[C1, T, F, B]`.
            op_weights: softmax weights, `[edges, operations]`.
            s0_stride: 2 where s0 has twice the size of s1.
            before: positions of s1.
            after: positions of the output (before, or halved in a reduction cell).
            edge_weights: of each edge in its node, `[edges]`; None is 1 each.

        Returns:
            `[nodes * channels, T', F', B]`.
        """
        common = self.channels, self.backend, self.axis_name, self.dtype
        inputs = [
            ReluConvNorm(*common, name="preprocess_0")(s0, before, s0_stride),
            ReluConvNorm(*common, name="preprocess_1")(s1, before),
        ]
        candidates = Candidates(self.operations, self.backend, self.axis_name, self.partial_channels)
        edge_params = {
            **self._edge_params(candidates, before.size[1]),
            **self._own_params(candidates, before, after),
        }
        connect = self._scan if self.edges == SCAN else self._unroll

        def nodes(arguments, positions):
            return connect(candidates, *arguments, *positions)

        if edge_weights is None:
            edge_weights = jnp.ones(op_weights.shape[0], op_weights.dtype)
        arguments, positions = (inputs, edge_params, op_weights, edge_weights), (before, after)
        if not self.remat:
            return nodes(arguments, positions)
        turns = jnp.minimum(after.count, 1).astype(jnp.int32)  # the count is at least 1
        return remat(nodes, arguments, positions, turns)

    def _unroll(self, candidates, inputs, edge_params, op_weights, edge_weights, before, after):
        from_input, from_node = Place(self._stride, before, after), Place(1, after, after)
        states = [candidates.prepare(x, from_input) for x in inputs]
        rows = {name: unstack(stack) for name, stack in edge_params.items()}
        op_rows = unstack(op_weights)
        nodes = []
        for node in range(self.nodes):
            total = jnp.zeros((), self.dtype)
            for source, state in enumerate(states):
                params = {
                    name: row[self._row(name, source, node)]
                    for name, row in rows.items()
                    if self._has(name, source)
                }
                edge, place = edge_index(node, source), from_input if source < 2 else from_node
                total = total + candidates.mix(state, params, op_rows[edge], edge_weights[edge], place)
            nodes.append(total)
            if node < self.nodes - 1:
                states.append(candidates.prepare(total, from_node))
        return jnp.concatenate(nodes, axis=0)

    def _scan(self, candidates, inputs, edge_params, op_weights, edge_weights, before, after):
        c, *_, b = inputs[0].shape
        stacks = jnp.stack(inputs), sweep.zeros((self.nodes, c, *after.size, b), inputs[0])
        sources = 2 + self.nodes - 1
        per_edge = {**edge_params, OP_WEIGHTS: op_weights, EDGE_WEIGHTS: edge_weights}
        run = functools.partial(self._sweep, candidates, per_edge, (before, after))
        if self.reduction:  # the inputs have another size than the nodes
            from_inputs = run(stacks, 0, 2, stride=2, node_row=0)
            nodes = run((from_inputs,), 2, sources, stride=1, node_row=0)
        else:
            nodes = run((jnp.concatenate(stacks),), 0, sources, stride=1, node_row=2)[2:]
        return nodes.reshape(-1, *nodes.shape[2:])

    def _sweep(self, candidates, per_edge, positions, stacks, first, last, *, stride, node_row):
        """The nodes with what comes from sources first..last - 1, see sweep.py."""

        def place(positions):
            before, after = positions
            return Place(stride, before if stride == 2 else after, after)

        def prepare(x, positions):
            return candidates.prepare(x, place(positions))

        def mix(prepared, edge, positions):
            params = {name: w for name, w in edge.items() if name not in (OP_WEIGHTS, EDGE_WEIGHTS)}
            return candidates.mix(prepared, params, edge[OP_WEIGHTS], edge[EDGE_WEIGHTS], place(positions))

        loop = sweep.Sweep(prepare, mix, first, last, self.nodes, node_row, self._row)
        used = {name: stack for name, stack in per_edge.items() if self._has(name, first)}
        return sweep.run(loop, stacks, used, positions)

    @property
    def _stride(self):
        return 2 if self.reduction else 1

    def _edges_with(self, name):
        """Which edges have a param: only those from the inputs reduce."""
        if name in REDUCING:
            return FROM_INPUTS
        if self.reduction and name.startswith(f"{OWN}/"):
            return FROM_INPUTS if "/stride_2/" in name else FROM_NODES
        return ALL

    def _has(self, name, source):
        """Whether the edges that leave a source have this param."""
        return self._edges_with(name) in (ALL, FROM_INPUTS if source < 2 else FROM_NODES)

    def _row(self, name, source, node):
        """Where the param of an edge stands in its stack."""
        edges = self._edges_with(name)
        if edges == FROM_INPUTS:
            return 2 * node + source
        if edges == FROM_NODES:
            return node * (node - 1) // 2 + source - 2
        return node * (node + 3) // 2 + source

    def _edge_params(self, candidates, coefficients):
        """{name: stack `[edges, ...]`} of the convolutions and of skip connections that reduce."""
        c, stacks = self.channels // self.partial_channels, {}

        def add(name, edges, *shape):
            stacks[name] = self.param(name, drawn, (edges, *shape), self.dtype)

        edges = num_edges(self.nodes)
        for name, spec in candidates.convolutions.items():
            for stage in range(spec.stages):
                add(f"{name}_depthwise_{stage}", edges, c, *along_both(spec.kernel, coefficients))
                add(f"{name}_pointwise_{stage}", edges, c, c)
        if SKIP in self.operations and self.reduction:
            for name, width in zip(REDUCING, half_widths(c), strict=True):
                add(name, 2 * self.nodes, c, width)
        return stacks

    def _own_params(self, candidates, before, after):
        """{path: stack `[edges, ...]`} of the user's operations, as own/OPERATION/stride_S/PATH."""
        from_inputs = 2 * self.nodes
        all_edges = num_edges(self.nodes)
        kinds = [(1, all_edges, after)]
        if self.reduction:
            kinds = [(2, from_inputs, before), (1, all_edges - from_inputs, after)]

        def init(key):
            tree: dict[str, dict[str, Any]] = {}
            for i, name in enumerate(candidates.custom):
                for stride, edges, valid in kinds:
                    init_edge = functools.partial(
                        own.init_params,
                        name,
                        channels=self.channels // self.partial_channels,
                        stride=stride,
                        size=valid.size,
                        dtype=self.dtype,
                    )
                    keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, i), stride), edges)
                    if edges and jax.tree.leaves(jax.eval_shape(init_edge, key)):
                        tree.setdefault(name, {})[f"stride_{stride}"] = jax.vmap(init_edge)(keys)
            return tree

        if not candidates.custom or not jax.eval_shape(init, jax.random.key(0)):
            return {}
        tree = self.param(OWN, init)
        return flax.traverse_util.flatten_dict({OWN: tree}, sep="/")


def unstack(x: jax.Array) -> list[jax.Array]:
    """The rows of x. Split, not indexed: its transpose is one concatenation."""
    return [part[0] for part in lax.split(x, [1] * x.shape[0])]
