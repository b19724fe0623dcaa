"""Waveform -> features in JAX: the numbers of data_prep/features.py, as a part of the network that is shipped.

Its arrays (analysis window, mel filters, cosine transform) travel with the weights: a shipped network gets the same
features whatever version of librosa is at hand, and needs none.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import lax

from data_prep.features import AMIN, TOP_DB, FeatureSettings


def window_samples(settings: FeatureSettings, frames: int) -> int:
    """Samples of the longest sound that gives no more than `frames` pooled frames."""
    return min(settings.max_samples, frames * settings.pool * settings.hop - 1)


def features(
    waveform: jax.Array,
    num_samples: jax.Array,
    *,
    arrays: Mapping[str, jax.Array],
    settings: FeatureSettings,
    frames: int,
) -> tuple[jax.Array, jax.Array]:
    """The features of every sound of a batch, and how many frames of them are valid.

    Args:
        waveform: float32 `[B, S]` at settings.sampling_rate, S = `window_samples(settings, frames)`; what lies after
            `num_samples` is ignored.
        num_samples: int32 `[B]`, 1 to S.
        arrays: see `data_prep.features.arrays`.
        settings: what to compute.
        frames: T.

    Returns:
        float32 `[B, T, F]`, 0 after the valid frames, and int32 `[B]`.
    """
    batch, samples = waveform.shape
    is_sound = jnp.arange(samples, dtype=jnp.int32)[None] < num_samples[:, None]
    mel = _mel_power(jnp.where(is_sound, waveform, 0), arrays=arrays, settings=settings)
    # The range hangs on the loudest frame, and that may be one centred beyond the end: see features.extract.
    decibels = 10 * jnp.log10(jnp.maximum(mel, AMIN))
    loudest = jnp.max(decibels, axis=(1, 2), keepdims=True)
    values = jnp.maximum(decibels, loudest - TOP_DB)
    if settings.kind == "mfcc":
        # A float32 sum of a hundred numbers near -80 has lost a thousandth: take the middle of the range away first.
        middle = loudest - TOP_DB / 2
        values = jnp.matmul(values - middle, arrays["cosines"], precision=lax.Precision.HIGHEST)
        constant = (
            jnp.zeros(settings.coefficients, values.dtype).at[0].set(settings.n_mels**0.5)
        )  # of an array of ones
        values = values + middle * constant[None, None]
    rows = frames * settings.pool
    values = values[:, :rows]
    values = jnp.pad(values, ((0, 0), (0, rows - values.shape[1]), (0, 0)))
    values = values.reshape(batch, frames, settings.pool, settings.coefficients)
    valid = 1 + num_samples // settings.hop
    inside = jnp.arange(rows, dtype=jnp.int32)[None] < valid[:, None]
    inside = inside.reshape(batch, frames, settings.pool)
    num_frames = (valid + settings.pool - 1) // settings.pool
    if settings.pool_kind == "max":
        lowest = jnp.finfo(values.dtype).min
        pooled = jnp.max(jnp.where(inside[..., None], values, lowest), axis=2)
    else:
        count = jnp.maximum(jnp.sum(inside, axis=2, dtype=jnp.int32), 1).astype(values.dtype)
        pooled = jnp.sum(jnp.where(inside[..., None], values, 0), axis=2) / count[..., None]
    return jnp.where(inside[:, :, :1], pooled, 0), num_frames


def normalised(values: jax.Array, num_frames: jax.Array, *, mean: jax.Array, std: jax.Array) -> jax.Array:
    """As `Normalisation.apply`: `[B, T, F]` with 0 on padding."""
    valid = jnp.arange(values.shape[1], dtype=jnp.int32)[None] < num_frames[:, None]
    return jnp.where(valid[..., None], (values - mean[None, None]) / std[None, None], 0)


def _mel_power(waveform, *, arrays, settings):
    """`[B, S]` -> `[B, frames, mel bands]`, zeros beyond both ends."""
    batch, samples = waveform.shape
    n_fft, hop = settings.n_fft, settings.hop
    frames = 1 + min(samples + n_fft // 2, settings.max_samples) // hop
    # A frame is several hops in a row, so that framing is a few slices and no gather.
    hops = -(-n_fft // hop)
    length = (frames + hops - 1) * hop
    right = max(length - n_fft // 2 - samples, 0)
    padded = jnp.pad(waveform, ((0, 0), (n_fft // 2, right)))[:, :length]
    rows = padded.reshape(batch, frames + hops - 1, hop)
    framed = jnp.concatenate([rows[:, i : i + frames] for i in range(hops)], axis=-1)[..., :n_fft]
    spectrum = jnp.fft.rfft(framed * arrays["window"][None, None], axis=-1)
    power = jnp.real(spectrum) ** 2 + jnp.imag(spectrum) ** 2
    return jnp.matmul(power, arrays["mel_filters"].T, precision=lax.Precision.HIGHEST)
