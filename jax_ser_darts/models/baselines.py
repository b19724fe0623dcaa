"""Hand-designed networks, to compare found ones with: CNN, LSTM, CNN-LSTM, CNN-LSTM with attention.

Layers and sizes are those of the authors' code (`jayaneetha/emoDARTS`, HumanDesignedModels). Right where it is wrong:
the LSTM runs over time within an utterance (theirs takes a whole utterance as one step, and the batch as its time),
padding is masked, and the classes' cross-entropy is trained (theirs is MSE after a softmax over the batch). Two
additions keep them from being weak by omission: normalisation after the convolution, ReLU after it and after the hidden
dense layer. Left out is a border of padding, two wide, that their convolution sees alone.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jax_ser_darts.errors import UserError
from jax_ser_darts.models import pooled
from jax_ser_darts.models.network import Norm, count_parameters
from jax_ser_darts.models.sequence import AttentionPooling, to_sequence
from jax_ser_darts.ops.backend import CUSTOM, Backend
from jax_ser_darts.ops.masks import ValidPositions, halved, valid_positions

CNN, LSTM, CNN_LSTM, CNN_LSTM_ATTENTION = BASELINES = ("cnn", "lstm", "cnn_lstm", "cnn_lstm_attention")
PAPER, MATCHED = SIZES = ("paper", "matched")
DENSE = 32
MATCHED_CHANNELS = 16  # of the CNN-LSTMs: the paper's single map would leave all the size to the LSTM
WIDTH = "width"  # of a registered module
# Beside a user's, the two of pooled.py: they are as they stand.
_registered: dict[str, type[nn.Module]] = {"linear": pooled.Linear, "mlp": pooled.MLP}

Module = TypeVar("Module", bound=type[nn.Module])


class BaselineError(UserError):
    """A module that cannot be a baseline; the message says why."""


def register(name: str) -> Callable[[Module], Module]:
    """Makes a Flax module a baseline that `config.baselines.networks` may name from then on.

        @register("my_network")
        class MyNetwork(nn.Module):
            classes: int
            axis_name: str | None = None
            width: int = 32
            ...

    It is called as `Baseline`. It gets `classes` and `axis_name`, and `dropout` and `momentum` where it has them; its
    other attributes have defaults. Of the size `paper` it is as it stands. If its number of parameters grows with an
    attribute `width`, it can have the size `matched` too.

    Args:
        name: letters, digits and underscores.

    Raises:
        BaselineError: the name is no name, or that of another baseline, or the module lacks an attribute.
    """

    def decorate(module: Module) -> Module:
        if not name.isidentifier():
            raise BaselineError(f"baseline {name!r}: a name of letters, digits and underscores is needed")
        own = (module.__module__, module.__qualname__)
        other = Baseline if name in BASELINES else _registered.get(name, module)
        if own != (other.__module__, other.__qualname__):  # one module may have been loaded twice
            raise BaselineError(f"baseline {name!r} is registered already, as {other.__module__}")
        if missing := {"classes", "axis_name"} - _fields(module):
            raise BaselineError(
                f"baseline {name!r}: the module has no attribute {', '.join(sorted(missing))}"
            )
        _registered[name] = module
        return module

    return decorate


def names() -> tuple[str, ...]:
    """All baselines that there are, those of the package first."""
    return (*BASELINES, *_registered)


def registered() -> Mapping[str, type[nn.Module]]:
    """Name -> module of the user's baselines."""
    return _registered


def can_be_matched(kind: str) -> bool:
    """Whether a baseline can have another size than its own."""
    return kind in BASELINES or WIDTH in _fields(_registered[kind])


def make(
    kind: str, *, classes: int, dropout: float, momentum: float, axis_name: str | None = None, **sizes: int
) -> nn.Module:
    """A baseline of the sizes that `paper_sizes` or `sizes` gives; other arguments as of `Baseline`."""
    given: dict[str, Any] = {
        "classes": classes,
        "dropout": dropout,
        "momentum": momentum,
        "axis_name": axis_name,
        **sizes,
    }
    if kind in BASELINES:
        return Baseline(kind=kind, **given)
    module = _registered[kind]
    return module(**{name: value for name, value in given.items() if name in _fields(module)})


def _fields(module: type[nn.Module]) -> set[str]:
    return {field.name for field in dataclasses.fields(module)}


def paper_sizes(kind: str) -> dict[str, int]:
    """`channels` and `units` of a baseline in the authors' code; {} of a user's, which is as it stands."""
    if kind not in BASELINES:
        return {}
    return {"channels": 0 if kind == LSTM else 1, "units": {CNN: 0, LSTM: 512}.get(kind, 128)}


def sizes(kind: str, width: int) -> dict[str, int]:
    """`channels` and `units` of a baseline of another width: a CNN's channels, an LSTM's units; `width` of a user's."""
    if kind not in BASELINES:
        return {WIDTH: width}
    if kind == CNN:
        return {"channels": width, "units": 0}
    return {"channels": 0 if kind == LSTM else MATCHED_CHANNELS, "units": width}


def parameters(model: nn.Module, *inputs: Any) -> int:
    """Trained numbers of a model, without making them.

    Args:
        model: called as `Network`; its axis_name must be None.
        inputs: features and num_frames, arrays or `jax.ShapeDtypeStruct`s.
    """
    shapes = jax.eval_shape(lambda *a: model.init(jax.random.key(0), *a, train=False), *inputs)
    return count_parameters(shapes)


def matched_width(parameters_of: Callable[[int], int], target: int) -> int:
    """The width whose number of parameters is the closest to `target`; at least 1, the smaller of two equals.

    Args:
        parameters_of: width -> parameters, increasing.
        target: how many there should be.
    """
    high = 1
    while parameters_of(high) < target:
        high *= 2
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters_of(middle) < target else (low, middle)
    return min(low, high, key=lambda width: abs(parameters_of(width) - target))


class ConvBlock(nn.Module):
    """2x2 convolution with stride 2, normalisation, ReLU, 2x2 max pooling."""

    channels: int
    norm: dict

    @nn.compact
    def __call__(
        self, features: jax.Array, valid: ValidPositions, train: bool
    ) -> tuple[jax.Array, ValidPositions]:
        """`[B, T, F]`, zero on padding -> `[channels, T / 4, F / 4, B]`, zero on padding, and its positions."""
        axis_name, dtype = self.norm["axis_name"], self.norm["dtype"]
        conv = nn.Conv(self.channels, (2, 2), strides=2, use_bias=False, param_dtype=dtype, name="conv")
        valid = halved(valid, axis_name)
        y = Norm(**self.norm, name="norm")(conv(features[..., None]).transpose(3, 1, 2, 0), valid, train)
        # After a ReLU the zeros on padding never are a window's only maximum.
        y = nn.max_pool(nn.relu(y).transpose(3, 1, 2, 0), (2, 2), strides=(2, 2), padding="SAME")
        return y.transpose(3, 1, 2, 0), halved(valid, axis_name)


class Baseline(nn.Module):
    """A hand-designed network, called and trained as `Network`; it has no auxiliary classifier and no edges.

    The `cnn` reads all positions by one dense layer, as published, so its batches must have the T of its
    initialisation; the others take any T.

    Attributes:
        kind: one of BASELINES.
        classes: number of emotions.
        channels: maps of the convolution, where there is one.
        units: of the LSTM, where there is one, in each direction; `lstm` has one direction, the others have two.
        dropout: before the classifier.
        momentum: of the running averages: the share that each step keeps.
        backend: CUSTOM or REFERENCE, of the normalisation.
        axis_name: mapped axis of devices that share the statistics, or None.
    """

    kind: str
    classes: int
    channels: int
    units: int
    dropout: float = 0.0
    momentum: float = 0.9
    backend: Backend = CUSTOM
    axis_name: str | None = None
    dtype: jnp.dtype = jnp.dtype(jnp.float32)

    @nn.compact
    def __call__(
        self,
        features: jax.Array,
        num_frames: jax.Array,
        *,
        train: bool,
        drop_path_rate: float | jax.Array = 0.0,
    ) -> tuple[jax.Array, None]:
        """Logits of every utterance.

        Args:
            features: `[B, T, F]`.
            num_frames: valid frames, `[B]`; 0 for an utterance that only fills the batch.
            train: statistics of the batch and dropout; otherwise running averages and none.
            drop_path_rate: without effect: there is no edge to drop.

        Returns:
            `[B, classes]`, and None in the place of an auxiliary classifier's.
        """
        del drop_path_rate
        norm = {
            "momentum": self.momentum,
            "backend": self.backend,
            "axis_name": self.axis_name,
            "dtype": self.dtype,
        }
        dense = lambda width, name: nn.Dense(width, param_dtype=self.dtype, name=name)
        _, t, f = features.shape
        valid = valid_positions(num_frames, (t, f), self.dtype, self.axis_name)
        frames = features * valid.mask[0, :, 0].T[..., None]
        if self.kind != LSTM:
            x, valid = ConvBlock(self.channels, norm, name="block")(frames, valid, train)
            frames = to_sequence(x)
        if self.kind == CNN:
            h = frames.reshape(frames.shape[0], -1)
        elif self.kind == LSTM:
            h = self._recurrent("forward")(frames, seq_lengths=valid.num_frames.astype(int))[0][1]
        else:
            both = nn.Bidirectional(
                self._recurrent("forward"), self._recurrent("backward"), return_carry=True
            )
            carries, states = both(frames, seq_lengths=valid.num_frames.astype(int))
            h = jnp.concatenate([carry[1] for carry in carries], axis=-1)  # each direction's last
            if self.kind == CNN_LSTM_ATTENTION:
                pooled = AttentionPooling(2 * self.units, self.dtype, name="pool")(states, valid.num_frames)
                h = jnp.concatenate([h, pooled], axis=-1)
        width = 2 * self.units if self.kind == CNN_LSTM_ATTENTION else DENSE
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(dense(width, "hidden")(h)))
        return dense(self.classes, "classify")(h), None

    def _recurrent(self, name: str) -> nn.RNN:
        """An LSTM over time that also returns its state (cell, output) after the last valid frame."""
        cell = nn.OptimizedLSTMCell(self.units, param_dtype=self.dtype, name=name)
        return nn.RNN(cell, return_carry=True)
