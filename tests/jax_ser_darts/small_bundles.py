"""Bundles made on the spot: tiny networks of random weights, whose window is 1 s."""

import dataclasses
import functools
import json

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from data_prep import features
from data_prep.features import FeatureSettings
from jax_ser_darts.data.normalisation import Normalisation
from jax_ser_darts.models.baselines import Baseline
from jax_ser_darts.models.description import describe
from jax_ser_darts.models.initialise import init_variables
from jax_ser_darts.models.network import Network
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import score
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.serving.bundle import Bundle, probabilities, probe_waveform

CLASSES = ("angry", "happy", "sad")
SETTINGS = FeatureSettings(
    kind="logmel",
    sampling_rate=16_000,
    seconds=1.0,
    n_fft=512,
    hop=160,
    coefficients=16,
    pool=8,
    pool_kind="mean",
)
FRAMES = 16  # of 13 that 1 s gives
CELL = ((Edge("dil_conv_3x3", 0), Edge("skip_connect", 1)),)
NETWORK = Network(
    classes=len(CLASSES),
    genotype=Genotype(normal=CELL, reduction=((Edge("max_pool_3x3", 0), Edge("avg_pool_3x3", 1)),)),
    cells=2,
    channels=2,
    reductions=frozenset({1}),
    stem_multiplier=1,
    project=4,
    hidden=4,
    attention=4,
)
BASELINE = Baseline(kind="cnn", classes=len(CLASSES), channels=2, units=0)


def make_provenance() -> dict:
    """What provenance.json would hold of a training on six utterances of two speakers."""
    of = score(
        Predictions("abcdef", [0, 1, 2] * 2, [0, 1, 1, 0, 2, 2], ["ann", "bob"] * 3, CLASSES)
    ).to_json()
    return {
        "corpus": {
            "name": "small",
            "synthetic": True,
            "licence": "",
            "utterances": 6,
            "speakers": 4,
            "counts": dict.fromkeys(CLASSES, 2),
            "emotions": {name: name for name in CLASSES},
            "target": False,
        },
        "training": {
            "method": "none",
            "fold": 0,
            "seed": 0,
            "chosen": "it is the only one",
            "speakers": {"train": ["eve"], "validation": ["dan"], "test": ["ann", "bob"]},
            "epoch": 1,
            "validation_ua": None,
            "parameters": 1_000,
        },
        "scores": {"exported": of, "method": of, "method_folds": [0], "sexes": {}},
        "config": {"features": {}},
        "versions": {"jax_ser_darts": "9.9"},
    }


@functools.cache
def make_bundle(network=NETWORK, settings=SETTINGS, frames=FRAMES) -> Bundle:
    """A bundle of random weights; its normalisation lets the probe through at a sensible size."""
    shapes = (
        jax.ShapeDtypeStruct((1, frames, settings.coefficients), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.int32),
    )
    variables = init_variables(network, 0, *shapes, train=False)
    flat = flax.traverse_util.flatten_dict(variables)
    rng = np.random.default_rng(0)
    for path, leaf in flat.items():  # statistics that are not the initial ones
        if path[-1] == "variance":
            flat[path] = rng.uniform(0.5, 2, leaf.shape).astype(np.float32)
    sound = probe_waveform(settings.max_samples, settings.sampling_rate)
    bundle = Bundle(
        description=describe(network),
        variables=flax.traverse_util.unflatten_dict(flat),
        classes=CLASSES,
        settings=settings,
        frames=frames,
        normalisation=Normalisation.of_features([features.extract(sound, settings=settings)]),
        arrays=features.arrays(settings),
        windowing={"overlap": 0.5, "silence": -60.0},
        probe=(),
        provenance=json.loads(json.dumps(make_provenance())),  # lists, as they are read
    )
    return dataclasses.replace(bundle, probe=tuple(map(float, direct(bundle, [sound])[0])))


def direct(bundle: Bundle, sounds, network=None) -> np.ndarray:
    """Probabilities `[n, K]` of sounds, without a predictor."""
    waveform = np.zeros((len(sounds), bundle.window_samples), np.float32)
    for row, samples in zip(waveform, sounds, strict=True):
        row[: min(len(samples), bundle.window_samples)] = samples[: bundle.window_samples]
    lengths = np.array([min(len(one), bundle.window_samples) for one in sounds], np.int32)
    return np.asarray(
        jax.jit(
            lambda *arguments: probabilities(
                *arguments,
                network=network or bundle.network,
                settings=bundle.settings,
                frames=bundle.frames,
            )
        )(bundle.weights(), waveform, lengths)
    )


def speech(seconds: float, *, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """float32: noise whose loudness goes up and down, never below -30 dB of full scale for long."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    loudness = np.interp(np.arange(count), np.linspace(0, count, 9), rng.uniform(-20, 0, 9))
    return (0.1 * rng.standard_normal(count) * 10 ** (loudness / 20)).astype(np.float32)
