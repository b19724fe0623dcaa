"""The discrete network of a genotype, trained from scratch: the architecture that the search proposes.

Built as DARTS's evaluation network: normalisation is affine and keeps running averages, the pools have none
after them (in the supernet they have), drop-path on every edge but the identities, an auxiliary classifier at
two thirds of the depth. Layout, masking and sequence part are the supernet's.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.models.cell_network import CellNetwork
from jax_ser_darts.models.initialise import drawn
from jax_ser_darts.models.own import OWN, OwnOperation
from jax_ser_darts.models.relaxed import ReluConv
from jax_ser_darts.models.sequence_cells import chosen_nodes
from jax_ser_darts.models.stem import first_maps
from jax_ser_darts.ops.backend import Backend
from jax_ser_darts.ops.batch_norm import moments
from jax_ser_darts.ops.masks import ValidPositions
from jax_ser_darts.ops.primitives import BN_EPSILON, a_channel, along_both, pointwise
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.search_space.operations import SKIP, Convolution, Pooling, specification


def count_parameters(variables: dict) -> int:
    """Trained numbers in the variables of a model: the running averages are not counted."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def drop_path(key: jax.Array, x: jax.Array, rate: float | jax.Array) -> jax.Array:
    """Drops an edge `[C, T, F, B]` for a share `rate` of the utterances; the others grow to keep the mean.

    Source: Larsson et al. (2017), FractalNet; as in DARTS's evaluation network.
    """
    keep = 1 - jnp.asarray(rate, x.dtype)
    return x * (jax.random.bernoulli(key, keep, x.shape[-1:]).astype(x.dtype) / keep)[None, None, None]


def never_dropped(train: bool, rate: float | jax.Array) -> bool:
    """Whether no edge is dropped, as far as it is known before the rate's value is."""
    return not train or (isinstance(rate, int | float) and rate == 0)


class Norm(nn.Module):
    """Affine batch normalisation over the valid positions of the global batch.

    Collection "batch_stats" holds running averages, which evaluation uses: it must be mutable in training.
    """

    momentum: float
    backend: Backend
    axis_name: str | None
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, y: jax.Array, valid: ValidPositions, train: bool) -> jax.Array:
        """`[C, T, F, B]` -> the same, zero on padding."""
        shape = y.shape[:1]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.dtype)
        variance = self.variable("batch_stats", "variance", jnp.ones, shape, self.dtype)
        scale = self.param("scale", drawn, shape, self.dtype)
        bias = self.param("bias", drawn, shape, self.dtype)
        if not train:
            slope = scale * lax.rsqrt(variance.value + BN_EPSILON)
            return (a_channel(slope) * y + a_channel(bias - slope * mean.value)) * valid.mask
        if not self.is_initializing():
            # The normalisation below makes the same sums: compiled, they are made once.
            now = moments([lax.stop_gradient(y)], valid.mask, valid.count, self.axis_name)
            for average, (batch,) in zip((mean, variance), now, strict=True):
                average.value = self.momentum * average.value + (1 - self.momentum) * batch
        y = self.backend.normalise(y, valid, self.axis_name)
        return (a_channel(scale) * y + a_channel(bias)) * valid.mask


class ReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, affine normalisation; with stride 2 DARTS's factorised reduction."""

    channels: int
    norm: dict

    @nn.compact
    def __call__(self, x: jax.Array, after: ValidPositions, stride: int, train: bool) -> jax.Array:
        """`[C, T, F, B]` -> `[channels, T', F', B]`; `after` is of the output."""
        conv = ReluConv(self.channels, stride, self.norm["dtype"], name="conv")
        return Norm(**self.norm, name="norm")(conv(x, after.size), after, train)


class SeparableConv(nn.Module):
    """Stages of ReLU, depthwise and 1x1 convolution, affine normalisation; the first stage has the stride."""

    spec: Convolution
    norm: dict

    @nn.compact
    def __call__(self, x: jax.Array, after: ValidPositions, stride: int, train: bool) -> jax.Array:
        """`[C, T, F, B]` -> `[C, T', F', B]`."""
        spec, c = self.spec, x.shape[0]
        backend, dtype = self.norm["backend"], self.norm["dtype"]
        for stage in range(spec.stages):
            dw = self.param(f"depthwise_{stage}", drawn, (c, *along_both(spec.kernel, x.shape[2])), dtype)
            pw = self.param(f"pointwise_{stage}", drawn, (c, c), dtype)
            padded = backend.pad(nn.relu(x), spec.pad, stride)
            (z,) = backend.depthwise(padded, (dw,), (spec.dilation,), after.size)
            x = Norm(**self.norm, name=f"norm_{stage}")(pointwise(z, pw), after, train)
            stride = 1
        return x


class Operation(nn.Module):
    """One operation of the search space on one edge."""

    operation: str
    norm: dict

    @nn.compact
    def __call__(
        self, x: jax.Array, before: ValidPositions, after: ValidPositions, stride: int, train: bool
    ) -> jax.Array:
        """`[C, T, F, B]`, zero on padding -> `[C, T', F', B]`, zero on padding."""
        if self.operation == SKIP:
            if stride == 1:
                return x
            return ReluConvNorm(x.shape[0], self.norm, name="reduce")(x, after, stride, train)
        spec = specification(self.operation)
        if isinstance(spec, Pooling):
            return self.norm["backend"].pool(spec, x, stride, before, after)
        if isinstance(spec, Convolution):
            return SeparableConv(spec, self.norm, name="conv")(x, after, stride, train)
        y = OwnOperation(self.operation, name=OWN)(x, stride, before, after)
        return Norm(**self.norm, name="norm")(y, after, train)


class Cell(nn.Module):
    """A discrete cell: each node is the sum of its chosen edges; the nodes are concatenated.

    Attributes:
        edges: the incoming edges of each node.
        channels: of each node.
        reduction: halves T and F.
        norm: what `Norm` takes.
    """

    edges: tuple[tuple[Edge, ...], ...]
    channels: int
    reduction: bool
    norm: dict

    @nn.compact
    def __call__(
        self,
        s0: jax.Array,
        s1: jax.Array,
        s0_stride: int,
        before: ValidPositions,
        after: ValidPositions,
        train: bool,
        drop_path_rate: float | jax.Array,
    ) -> jax.Array:
        """As `RelaxedCell`, without alphas: `[C0, T0, F0, B]`, `[C1, T, F, B]` -> `[nodes C, T', F', B]`."""
        states = [
            ReluConvNorm(self.channels, self.norm, name="preprocess_0")(s0, before, s0_stride, train),
            ReluConvNorm(self.channels, self.norm, name="preprocess_1")(s1, before, 1, train),
        ]
        keeps_all = never_dropped(train, drop_path_rate)
        for i, node in enumerate(self.edges):
            total = jnp.zeros((), self.norm["dtype"])
            for edge in node:
                is_input = edge.source < 2
                stride = 2 if self.reduction and is_input else 1
                operation = Operation(edge.operation, self.norm, name=f"node_{i}_from_{edge.source}")
                y = operation(states[edge.source], before if is_input else after, after, stride, train)
                is_identity = edge.operation == SKIP and stride == 1
                if not keeps_all and not is_identity:
                    y = drop_path(self.make_rng("dropout"), y, drop_path_rate)
                total = total + y
            states.append(total)
        return jnp.concatenate(states[2:], axis=0)


class Stem(nn.Module):
    """`channels` maps of the features, with affine normalisation."""

    kind: str
    channels: int
    norm: dict

    @nn.compact
    def __call__(
        self, features: jax.Array, before: ValidPositions, after: ValidPositions, train: bool
    ) -> jax.Array:
        """`[1 or D, T, F, B]` -> `[channels, T', F', B]`."""
        how = {"backend": self.norm["backend"], "dtype": self.norm["dtype"]}
        y = first_maps(self, features, before, after, stem=self.kind, channels=self.channels, **how)
        return Norm(**self.norm, name="norm")(y, after, train)


class AuxiliaryHead(nn.Module):
    """Classifier on the mean of the ReLU over the valid positions: a short way for the gradient."""

    classes: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, valid: ValidPositions) -> jax.Array:
        """`[C, T, F, B]`, zero on padding -> `[B, classes]`."""
        count = jnp.maximum(valid.num_frames * valid.size[1], 1).astype(x.dtype)
        mean = jnp.sum(nn.relu(x), axis=(1, 2)) / count[None]
        return nn.Dense(self.classes, param_dtype=self.dtype, name="classify")(mean.T)


class Network(CellNetwork, kw_only=True):
    """The network of a genotype.

    Training changes the collection "batch_stats" and draws from the rng "dropout":

        (logits, auxiliary), state = network.apply(variables, features, num_frames, train=True,
            drop_path_rate=rate, mutable=["batch_stats"], rngs={"dropout": key})

    Attributes:
        genotype: operations and edges of each kind of cell.
        auxiliary: whether there is a second classifier, after the cell at two thirds of the depth.
        momentum: of the running averages: the share that each step keeps.
        others: see `CellNetwork`.
    """

    genotype: Genotype
    auxiliary: bool = False
    momentum: float = 0.9

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        num_frames: jax.Array,
        *,
        train: bool,
        drop_path_rate: float | jax.Array = 0.0,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Logits of every utterance, and in training those of the auxiliary classifier, if there is one.

        Args:
            features: `[B, T, F]`.
            num_frames: valid frames, `[B]`; 0 for an utterance that only fills the batch.
            train: statistics of the batch, dropout, drop-path; otherwise running averages and neither.
            drop_path_rate: chance that an edge is dropped, a number or a scalar array (to change it without
                compiling again).

        Returns:
            `[B, classes]`, and `[B, classes]` or None.
        """
        norm = {
            "momentum": self.momentum,
            "backend": self.backend,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        x, before, valid = self.start(features, num_frames)
        stem = Stem(self.stem, self.stem_multiplier * self.channels, norm, name="stem")
        s0 = s1 = stem(x, before, valid, train)
        auxiliary = None
        for place in self.places():
            after = self.after(valid, place.reduction)
            edges = self.genotype.reduction if place.reduction else self.genotype.normal
            cell = Cell(edges, place.channels, place.reduction, norm, name=f"cell_{place.index}")
            s0, s1 = s1, cell(s0, s1, place.s0_stride, valid, after, train, drop_path_rate)
            valid = after
            # Made at initialisation too, so that a network initialised with train=False has its params.
            if self.auxiliary and place.index == 2 * self.cells // 3 and (train or self.is_initializing()):
                auxiliary = AuxiliaryHead(self.classes, self.dtype, name="auxiliary")(s1, valid)
            s1 = nn.Dropout(self.dropout, deterministic=not train)(s1)
        if self.genotype.sequence is None:
            return self.sequence_part()(s1, valid.num_frames, train), auxiliary
        part = self.sequence_part(chosen=chosen_nodes(self.genotype.sequence))
        rate = None if never_dropped(train, drop_path_rate) else jnp.asarray(drop_path_rate, self.dtype)
        return part(s1, valid.num_frames, train, drop_path_rate=rate), auxiliary
