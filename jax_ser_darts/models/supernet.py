"""The supernet: stem, relaxed CNN cells, fixed or relaxed sequence part: a function of params, alphas and a batch."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.models.cell_network import CellNetwork
from jax_ser_darts.models.relaxed import EDGES, SCAN, RelaxedCell
from jax_ser_darts.models.stem import first_maps
from jax_ser_darts.ops.backend import Backend
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.search_space.genotype import BETAS, CNN_CELLS, SEQUENCE, incoming, kinds_of, num_edges
from jax_ser_darts.search_space.operations import SKIP


def init_alphas(
    key: jax.Array,
    *,
    nodes: int,
    operations: int,
    scale: float,
    sequence_nodes: int = 0,
    sequence_operations: int = 0,
    edge_normalisation: bool = False,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> dict:
    """Architecture parameters near zero: `scale` * normal, `[edges, operations]` a cell kind.

    Those of "sequence" are there if it has any operations to choose from; with `edge_normalisation` "betas" holds
    `[edges]` of each kind of CNN cell.
    """
    shapes = dict.fromkeys(CNN_CELLS, (num_edges(nodes), operations))
    # The first two keys do not depend on how many there are; fold_in(key, i) would be the i-th of them.
    *of_cells, of_sequence, of_edges = jax.random.split(key, len(CNN_CELLS) + 2)
    keys = {**dict(zip(CNN_CELLS, of_cells, strict=True)), SEQUENCE: of_sequence}
    if sequence_operations:
        shapes[SEQUENCE] = num_edges(sequence_nodes), sequence_operations
    draw = lambda key, shape: scale * jax.random.normal(key, shape, dtype)
    alphas: dict[str, Any] = {name: draw(keys[name], shape) for name, shape in shapes.items()}
    if edge_normalisation:
        edges = jax.random.split(of_edges)
        alphas[BETAS] = {
            name: draw(key, (num_edges(nodes),)) for name, key in zip(CNN_CELLS, edges, strict=True)
        }
    return alphas


def edge_weights(betas: jax.Array) -> jax.Array:
    """The weight of each edge in its node (edge normalisation of PC-DARTS, Xu et al. 2020, equation 3).

    Args:
        betas: `[edges]`.

    Returns:
        `[edges]`: a softmax over all edges that reach the same node.
    """
    return jnp.concatenate([nn.softmax(betas[rows]) for rows in incoming(betas.shape[0])])


def auxiliary_skip(
    beta: jax.Array, *, operations: Sequence[str], sequence_operations: Sequence[str] = ()
) -> dict:
    """A further skip connection on each edge that has one to choose (DARTS-, Chu et al. 2021, equation 6).

    An edge is linear in its op weights, so beta * skip is beta more of the skip's weight. Where a skip
    connection has params (stride 2) the two share them.

    Args:
        beta: `[]`, 0 is none.
        operations, sequence_operations: the columns of the alphas.

    Returns:
        What is to be added to the op weights, `[1, operations]` a cell kind.
    """
    columns = {**dict.fromkeys(CNN_CELLS, operations), SEQUENCE: sequence_operations}
    return {
        kind: beta * jnp.asarray([[name == SKIP for name in operations]], beta.dtype)
        for kind, operations in columns.items()
        if operations
    }


class Stem(nn.Module):
    """`channels` maps of the features, normalised without an affine part."""

    kind: str
    channels: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: jax.Array, before: ValidPositions, after: ValidPositions) -> jax.Array:
        """`[1 or D, T, F, B]` -> `[channels, T', F', B]`."""
        how: dict[str, Any] = {"backend": self.backend, "dtype": self.dtype}
        y = first_maps(self, features, before, after, stem=self.kind, channels=self.channels, **how)
        return self.backend.normalise(y, after, self.axis_name)


class Supernet(CellNetwork, kw_only=True):
    """All candidate networks at once.

    Normalisation uses the statistics of the global batch, has no affine part and no running averages (DARTS,
    appendix A.1), so the supernet has params and no other state.

    Attributes:
        operations: candidates of an edge, the columns of the alphas.
        nodes: nodes of a CNN cell.
        sequence_operations: candidates of an edge of the sequence cells; without any the fixed part follows the CNN.
        sequence_nodes: nodes of a sequence cell.
        partial_channels: K, 1/K of the channels of each CNN edge are for its candidates; 1 is all.
        edges: SCAN (compiles fast, little memory) or UNROLL (compiles long, a faster step, much memory).
        remat: see `RelaxedCell`.
        others: see `CellNetwork`.
    """

    operations: Sequence[str]
    nodes: int
    sequence_operations: Sequence[str] = ()
    sequence_nodes: int = 4
    partial_channels: int = 1
    edges: str = SCAN
    remat: bool = False

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        num_frames: jax.Array,
        alphas: dict,
        train: bool = True,
        added: dict | None = None,
    ) -> jax.Array:
        """Logits of every utterance.

        Args:
            features: `[B, T, F]`.
            num_frames: valid frames, `[B]`.
            alphas: "normal", "reduction" and, with sequence cells, "sequence", `[edges, operations]` each; where
                edges are normalised "betas" has `[edges]` of "normal" and "reduction", see `edge_weights`.
            train: dropout on (needs the "dropout" rng).
            added: to the op weights of each kind, `[edges or 1, operations]`, see `auxiliary_skip`.

        Returns:
            `[B, classes]`.
        """
        if self.edges not in EDGES:
            raise ValueError(f"edges {self.edges!r} are not one of {', '.join(EDGES)}")
        op_weights = {kind: nn.softmax(a, axis=-1) for kind, a in kinds_of(alphas).items()}
        of_edges = {kind: edge_weights(betas) for kind, betas in alphas.get(BETAS, {}).items()}
        if added is not None:
            op_weights = {kind: w + added[kind].astype(w.dtype) for kind, w in op_weights.items()}
        x, before, valid = self.start(features, num_frames)
        stem = Stem(
            self.stem,
            self.stem_multiplier * self.channels,
            self.backend,
            self.axis_name,
            self.dtype,
            name="stem",
        )
        s0 = s1 = stem(x, before, valid)
        for place in self.places():
            after = self.after(valid, place.reduction)
            cell = RelaxedCell(
                operations=self.operations,
                nodes=self.nodes,
                channels=place.channels,
                reduction=place.reduction,
                partial_channels=self.partial_channels,
                edges=self.edges,
                remat=self.remat,
                backend=self.backend,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=f"cell_{place.index}",
            )
            kind = "reduction" if place.reduction else "normal"
            s0, s1 = s1, cell(s0, s1, op_weights[kind], place.s0_stride, valid, after, of_edges.get(kind))
            s1 = nn.Dropout(self.dropout, deterministic=not train)(s1)
            valid = after
        if not self.sequence_operations:
            return self.sequence_part()(s1, valid.num_frames, train)
        part = self.sequence_part(operations=tuple(self.sequence_operations), nodes=self.sequence_nodes)
        return part(s1, valid.num_frames, train, op_weights=op_weights[SEQUENCE])
