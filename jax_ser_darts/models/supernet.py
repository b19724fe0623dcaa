"""The supernet: stem, relaxed CNN cells, fixed or relaxed sequence part: a function of params, alphas and a batch."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.models.relaxed import (
    EDGES,
    SCAN,
    RelaxedCell,
    depthwise_init,
)
from jax_ser_darts.models.sequence import SequencePart
from jax_ser_darts.models.sequence_cells import SequenceCells
from jax_ser_darts.ops.backend import CUSTOM, Backend
from jax_ser_darts.ops.masks import ValidPositions, halved, valid_positions
from jax_ser_darts.search_space.genotype import BETAS, CNN_CELLS, SEQUENCE, incoming, kinds_of, num_edges
from jax_ser_darts.search_space.operations import SKIP


def reduction_cells(cells: int) -> frozenset[int]:
    """The cells that halve T and F: at a third and two thirds of the depth (DARTS, section 3.1.1)."""
    return frozenset({cells // 3, 2 * cells // 3})


def init_alphas(
    key: jax.Array,
    *,
    nodes: int,
    operations: int,
    scale: float,
    sequence_nodes: int = 0,
    sequence_operations: int = 0,
    edge_normalisation: bool = False,
    dtype=jnp.float32,
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
    alphas = {name: draw(keys[name], shape) for name, shape in shapes.items()}
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
    """3x3 convolution of the features to `channels` maps, normalised without an affine part."""

    channels: int
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: jax.Array, before: ValidPositions, after: ValidPositions) -> jax.Array:
        """`[1, T, F, B]` -> `[channels, T', F', B]`."""
        stride = 1 if before.size == after.size else 2
        w = self.param("depthwise", depthwise_init, (self.channels, 3, 3), self.dtype)
        (y,) = self.backend.depthwise(self.backend.pad(features, 1, stride), (w,), (1,), after.size)
        return self.backend.normalise(y, after, self.axis_name)


class Supernet(nn.Module):
    """All candidate networks at once.

    Normalisation uses the statistics of the global batch, has no affine part and no running averages (DARTS,
    appendix A.1), so the supernet has params and no other state.

    Attributes:
        classes: number of emotions.
        operations: candidates of an edge, the columns of the alphas.
        cells: CNN cells; two of them reduce (`reductions`, by default at 1/3 and 2/3).
        nodes: nodes a cell.
        channels: C of the first cell, doubled at each reduction.
        stem_multiplier: stem channels / C.
        stem_stride: 1, or 2 to halve T and F before the first cell.
        dropout: after each cell.
        project, hidden, attention: widths of the fixed sequence part, see `SequencePart`.
        sequence_operations: candidates of an edge of the sequence cells; without any the fixed part follows the CNN.
        sequence_cells, sequence_nodes, sequence_width: see `SequenceCells`.
        partial_channels: K, 1/K of the channels of each CNN edge are for its candidates; 1 is all.
        backend: CUSTOM or REFERENCE.
        edges: SCAN (compiles fast, little memory) or UNROLL (compiles long, a faster step, much memory).
        remat: see `RelaxedCell`.
        axis_name: mapped axis of devices that share the statistics, or None.
    """

    classes: int
    operations: Sequence[str]
    cells: int
    nodes: int
    channels: int
    stem_multiplier: int = 3
    stem_stride: int = 1
    reductions: frozenset[int] | None = None
    dropout: float = 0.0
    project: int = 64
    hidden: int = 64
    attention: int = 64
    sequence_operations: Sequence[str] = ()
    sequence_cells: int = 4
    sequence_nodes: int = 4
    sequence_width: int = 16
    partial_channels: int = 1
    backend: Backend = CUSTOM
    edges: str = SCAN
    remat: bool = False
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.float32

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
        common = {"backend": self.backend, "axis_name": self.axis_name, "dtype": self.dtype}
        if self.edges not in EDGES:
            raise ValueError(f"edges {self.edges!r} are not one of {', '.join(EDGES)}")
        op_weights = {name: nn.softmax(a, axis=-1) for name, a in kinds_of(alphas).items()}
        of_edges = {name: edge_weights(betas) for name, betas in alphas.get(BETAS, {}).items()}
        if added is not None:
            op_weights = {name: w + added[name].astype(w.dtype) for name, w in op_weights.items()}
        reductions = reduction_cells(self.cells) if self.reductions is None else self.reductions
        whole = valid_positions(num_frames, features.shape[1:], self.dtype, self.axis_name)
        valid = whole if self.stem_stride == 1 else halved(whole, self.axis_name)
        x = features.transpose(1, 2, 0)[None] * whole.mask
        s0 = s1 = Stem(self.stem_multiplier * self.channels, name="stem", **common)(x, whole, valid)
        channels, s0_stride = self.channels, 1
        for i in range(self.cells):
            reduction = i in reductions
            channels *= 2 if reduction else 1
            after = halved(valid, self.axis_name) if reduction else valid
            cell = RelaxedCell(
                operations=self.operations,
                nodes=self.nodes,
                channels=channels,
                reduction=reduction,
                partial_channels=self.partial_channels,
                edges=self.edges,
                remat=self.remat,
                name=f"cell_{i}",
                **common,
            )
            kind = "reduction" if reduction else "normal"
            s0, s1 = s1, cell(s0, s1, op_weights[kind], s0_stride, valid, after, of_edges.get(kind))
            s1 = nn.Dropout(self.dropout, deterministic=not train)(s1)
            s0_stride, valid = (2 if reduction else 1), after
        if self.sequence_operations:
            part = SequenceCells(
                classes=self.classes,
                cells=self.sequence_cells,
                width=self.sequence_width,
                attention=self.attention,
                dropout=self.dropout,
                dtype=self.dtype,
                operations=tuple(self.sequence_operations),
                nodes=self.sequence_nodes,
                name="sequence",
            )
            return part(s1, valid.num_frames, train, op_weights=op_weights[SEQUENCE])
        return SequencePart(
            self.classes, self.project, self.hidden, self.attention, self.dropout, self.dtype, name="sequence"
        )(s1, valid.num_frames, train)
