"""Depthwise convolutions of one activation, as sums of shifted slices.

    z_k[c, t, f] = sum_ij w_k[c, i, j] x[c, s t + d (i - k // 2), s f + d (j - k // 2)]

XLA's own grouped convolution is 5 to 20 times slower on a CPU, above all its weight gradient, and slow on GPUs too
(jax issues 13800, 23713, 26266). A stride of 2 reads the four phases of the input (odd and even positions of T and
F): within a phase the slices are whole again. Where F is 1 nothing is read beside it: only the middle column of a
kernel counts, and it may be a column, `[C, k, 1]`.

`depthwise` can be differentiated once in reverse, and then forward (which is what the exact second-order product
needs). `depthwise_reference` leaves all to XLA's convolution and to autodiff: it is the oracle in the tests.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from jax_ser_darts.ops.kernels import kernel
from jax_ser_darts.ops.primitives import along_both, sums


@flax.struct.dataclass
class Padded:
    """An activation with zeros round T and F, for convolutions to read.

    Attributes:
        x: `[C, T, F, B]`, where gradients go: the zeros need none.
        phases: an array `[C, Tq, Fq, B]` for each start of a stride: every stride-th position of the padded x.
        pad: zeros on each side of (T, F).
        stride: along (T, F), of the convolutions that will read it.
    """

    x: jax.Array
    phases: tuple[jax.Array, ...]
    pad: tuple[int, int] = flax.struct.field(pytree_node=False)
    stride: tuple[int, int] = flax.struct.field(pytree_node=False)


class Tap(NamedTuple):
    """Where one weight of a kernel reads: from (t, f) of a phase."""

    phase: int
    t: int
    f: int


def split_phases(padded: jax.Array, stride: tuple[int, int]) -> tuple[jax.Array, ...]:
    """`[C, T, F, B]` -> its phases, row by row; T and F are filled up with zeros to be multiples of the stride."""
    if stride == (1, 1):
        return (padded,)
    t, f = (-n % s for n, s in zip(padded.shape[1:3], stride, strict=True))
    filled = lax.pad(padded, jnp.zeros((), padded.dtype), ((0, 0, 0), (0, t, 0), (0, f, 0), (0, 0, 0)))
    return tuple(filled[:, i :: stride[0], j :: stride[1]] for i, j in itertools.product(*map(range, stride)))


def join_phases(phases: Sequence[jax.Array], stride: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """The inverse of `split_phases`: arrays `[C, n, m, B]` -> `[C, T, F, B]`."""
    c, n, m, b = phases[0].shape
    grid = jnp.stack(phases).reshape(*stride, c, n, m, b).transpose(2, 3, 0, 4, 1, 5)
    return grid.reshape(c, n * stride[0], m * stride[1], b)[:, : size[0], : size[1]]


def _zeros_round(x, front, back):
    """Zeros before and after T and F of `[C, T, F, B]`; front and back are (T, F) pairs."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, ((0, 0, 0), *((a, b, 0) for a, b in zip(front, back, strict=True)), (0, 0, 0)))


@functools.partial(kernel, static=("pad", "stride"))
def _padded_phases(x, pad, stride):
    return split_phases(_zeros_round(x, pad, pad), stride)


def pad(x: jax.Array, pad: int, stride: int) -> Padded:
    """`[C, T, F, B]`, ready to be convolved with `stride` by kernels that reach at most `pad` positions."""
    pads, strides = _along_both(x, pad, stride)
    return Padded(x=x, phases=_padded_phases(x, pad=pads, stride=strides), pad=pads, stride=strides)


def _along_both(x, pad, stride):
    f = x.shape[2]
    return along_both(pad, f, alone=0), along_both(stride, f)


def find_taps(
    kernel_size: tuple[int, int], dilation: int, pad: tuple[int, int], stride: tuple[int, int]
) -> tuple[Tap, ...]:
    """The taps of a centred kernel, row by row, in an input padded by `pad`."""
    starts = (
        [margin + (i - k // 2) * dilation for i in range(k)]
        for k, margin in zip(kernel_size, pad, strict=True)
    )
    s_t, s_f = stride
    return tuple(
        Tap(phase=t % s_t * s_f + f % s_f, t=t // s_t, f=f // s_f) for t, f in itertools.product(*starts)
    )


def window(x: jax.Array, start: tuple[int, int], size: tuple[int, int]) -> jax.Array:
    """`size` positions of `[C, T, F, B]` from `start`, as `[C, size_t, size_f * B]`.

    F and B are one axis, so that the innermost loop is long whatever the batch.
    """
    c, t, f, b = x.shape
    i, j = start
    return lax.slice(x.reshape(c, t, f * b), (0, i, j * b), (c, i + size[0], (j + size[1]) * b))


def _sum_by_rows(terms, row):
    """Adds terms in groups of `row`: shorter chains of dependent additions."""
    groups = [terms[i : i + row] for i in range(0, len(terms), row)]
    return functools.reduce(jnp.add, [functools.reduce(jnp.add, group) for group in groups])


@functools.partial(kernel, static=("taps", "size"))
def _correlate(phases, w, taps, size):
    c, b = w.shape[0], phases[0].shape[-1]
    scales = w.reshape(c, -1, 1, 1)
    terms = [window(phases[tap.phase], tap[1:], size) * scales[:, k] for k, tap in enumerate(taps)]
    return _sum_by_rows(terms, w.shape[-1]).reshape(c, *size, b)


@functools.partial(kernel, static=("taps",))
def _weight_gradient(phases, g, taps):
    size = g.shape[1:3]
    rows = g.reshape(*g.shape[:2], -1)
    return jnp.stack(sums(*(window(phases[tap.phase], tap[1:], size) * rows for tap in taps)), axis=-1)


def _back_taps(kernel_size, dilation, stride, phase):
    """What position s u + phase of the input gets: (weight, offset) with z[u + offset] = ... w x[s u + phase] ...

    One axis of T and F; only the weights whose reading falls on this phase.
    """
    reach = dilation * (kernel_size // 2)
    shifts = ((i, phase + reach - i * dilation) for i in range(kernel_size))
    return [(i, shift // stride) for i, shift in shifts if shift % stride == 0]


def _back_reach(kernel_size, dilation, stride):
    """Lowest and highest offset of `_back_taps` over all phases."""
    offsets = [o for p in range(stride) for _, o in _back_taps(kernel_size, dilation, stride, p)]
    return min(0, *offsets), max(0, *offsets)


@functools.partial(kernel, static=("front", "back"))
def _margin(g, front, back):
    return _zeros_round(g, front, back)


@functools.partial(kernel, static=("dilations", "fronts", "stride", "size"))
def _correlate_back(gs, ws, dilations, fronts, stride, size):
    """The phases of the input's gradient, `size` positions each, from the widened gradients of all outputs."""
    c, b = gs[0].shape[0], gs[0].shape[-1]
    phases = []
    for start in itertools.product(*map(range, stride)):
        totals = []
        for g, w, dilation, front in zip(gs, ws, dilations, fronts, strict=True):
            _, *sides = w.shape
            scales = w.reshape(c, -1, 1, 1)
            taps_t, taps_f = (
                _back_taps(k, dilation, s, phase) for k, s, phase in zip(sides, stride, start, strict=True)
            )
            terms = [
                window(g, (t + front[0], f + front[1]), size) * scales[:, i * sides[1] + j]
                for (i, t), (j, f) in itertools.product(taps_t, taps_f)
            ]
            if terms:
                totals.append(_sum_by_rows(terms, len(taps_f)))
        total = (
            functools.reduce(jnp.add, totals) if totals else jnp.zeros((c, size[0], size[1] * b), gs[0].dtype)
        )
        phases.append(total.reshape(c, *size, b))
    return tuple(phases)


def _input_gradient(gs, ws, dilations, stride, size):
    part = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    wide, fronts = [], []
    for g, w, dilation in zip(gs, ws, dilations, strict=True):
        reaches = [_back_reach(k, dilation, s) for k, s in zip(w.shape[1:], stride, strict=True)]
        back = tuple(
            max(0, high + n - have) for (_, high), n, have in zip(reaches, part, g.shape[1:3], strict=True)
        )
        fronts.append(tuple(-low for low, _ in reaches))
        wide.append(_margin(g, front=fronts[-1], back=back))
    phases = _correlate_back(
        tuple(wide), tuple(ws), dilations=dilations, fronts=tuple(fronts), stride=stride, size=part
    )
    return phases[0] if stride == (1, 1) else join_phases(phases, stride, size)


def depthwise(
    padded: Padded, ws: Sequence[jax.Array], dilations: Sequence[int], size: tuple[int, int]
) -> tuple[jax.Array, ...]:
    """Several depthwise convolutions of one activation: the gradients that come back to it are summed in one pass.

    Args:
        padded: `[C, T, F, B]`, or one channel that all kernels read, `[1, T, F, B]`.
        ws: kernels `[C, k, k]`, k odd; `[C, k, 1]` where F is 1.
        dilations: one a kernel; its reach, dilation * (k // 2), is at most the padding.
        size: output positions (T', F').

    Returns:
        An array `[C, T', F', B]` a kernel.
    """
    kernels = tuple(_what_counts(w, padded) for w in ws)
    return _depthwise(padded.x, padded.phases, kernels, tuple(dilations), _geometry(padded, size))


def _what_counts(w, padded):
    """The kernel, or its middle column where there is nothing beside it."""
    middle = w.shape[2] // 2
    return w if padded.x.shape[2] > 1 else w[:, :, middle : middle + 1]


def _geometry(padded, size):
    return padded.pad, padded.stride, padded.x.shape[1:3], tuple(size)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _depthwise(x, phases, ws, dilations, geometry):
    return _depthwise_forward(x, phases, ws, dilations, geometry)[0]


def _taps_of(ws, dilations, geometry):
    pad, stride, *_ = geometry
    return [find_taps(w.shape[1:], d, pad, stride) for w, d in zip(ws, dilations, strict=True)]


def _depthwise_forward(x, phases, ws, dilations, geometry):
    taps = _taps_of(ws, dilations, geometry)
    zs = tuple(_correlate(phases, w, taps=t, size=geometry[-1]) for w, t in zip(ws, taps, strict=True))
    return zs, (phases, ws)


def _depthwise_backward(dilations, geometry, saved, gs):
    phases, ws = saved
    _, stride, size, _ = geometry
    taps = _taps_of(ws, dilations, geometry)
    dws = [_weight_gradient(phases, g, taps=t).reshape(w.shape) for g, w, t in zip(gs, ws, taps, strict=True)]
    dx = _input_gradient(gs, ws, dilations, stride, size)
    if phases[0].shape[0] == 1:
        dx = jnp.sum(dx, axis=0, keepdims=True)
    # The zeros and the phases were made of x: x gets the gradient, and they none.
    return dx, jax.tree.map(jnp.zeros_like, phases), tuple(dws)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def pad_reference(x: jax.Array, pad: int, stride: int) -> Padded:
    """As `pad`, left to autodiff: the one phase is the padded x."""
    pads, strides = _along_both(x, pad, stride)
    return Padded(x=x, phases=(_zeros_round(x, pads, pads),), pad=pads, stride=strides)


def depthwise_reference(
    padded: Padded, ws: Sequence[jax.Array], dilations: Sequence[int], size: tuple[int, int]
) -> tuple[jax.Array, ...]:
    """As `depthwise`, by XLA's grouped convolution."""
    outputs = []
    (x,) = padded.phases
    for w, dilation in zip(ws, dilations, strict=True):
        w = _what_counts(w, padded)
        t, f = (have - dilation * (k // 2) for have, k in zip(padded.pad, w.shape[1:], strict=True))
        y = lax.conv_general_dilated(
            x[:, t : x.shape[1] - t, f : x.shape[2] - f],
            w[:, None],
            window_strides=padded.stride,
            padding="VALID",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("CHWN", "OIHW", "CHWN"),
            feature_group_count=x.shape[0],
            precision=lax.Precision.HIGHEST,
        )
        outputs.append(y[:, : size[0], : size[1]])
    return tuple(outputs)
