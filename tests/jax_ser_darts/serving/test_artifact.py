"""The StableHLO artifact: another program's way from the waveform to the same probabilities."""

import dataclasses
import re

import jax
import numpy as np
import pytest
from small_bundles import BASELINE, SETTINGS, direct, make_bundle, speech

from jax_ser_darts.serving import artifact
from jax_ser_darts.serving.bundle import BundleError


@pytest.fixture(scope="module")
def shipped():
    bundle = make_bundle()
    return dataclasses.replace(bundle, artifact=artifact.make(bundle))


def batch_of(bundle, sounds):
    waveform = np.zeros((len(sounds), bundle.window_samples), np.float32)
    for row, one in zip(waveform, sounds, strict=True):
        row[: len(one)] = one
    return waveform, np.array([len(one) for one in sounds], np.int32)


@pytest.mark.parametrize("count", [1, 3])
def test_it_gives_the_networks_probabilities_for_any_number_of_sounds(shipped, count):
    sounds = [speech(0.3 + 0.3 * seed, seed=seed) for seed in range(count)]
    predicted = artifact.load(shipped).call(*batch_of(shipped, sounds))
    np.testing.assert_allclose(predicted, direct(shipped, sounds), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"network": BASELINE}, {"settings": dataclasses.replace(SETTINGS, kind="mfcc", pool_kind="max")}],
    ids=["baseline", "mfcc"],
)
def test_so_does_that_of_any_kind_of_bundle(options):
    bundle = make_bundle(**options)
    bundle = dataclasses.replace(bundle, artifact=artifact.make(bundle))
    sounds = [speech(1.0), speech(0.5, seed=1)]
    predicted = artifact.load(bundle).call(*batch_of(bundle, sounds))
    np.testing.assert_allclose(predicted, direct(bundle, sounds), atol=1e-5)


def test_one_artifact_is_for_every_kind_of_device(shipped):
    exported = jax.export.deserialize(bytearray(shipped.artifact))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert [str(aval.shape[0]) for aval in exported.in_avals] == ["b", "b"]
    assert not exported.disabled_safety_checks
    calls = set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))
    assert calls == {"shape_assertion"}, "plain StableHLO, and jax's own check that b is one or more"


def test_the_same_bundle_gives_the_same_artifact(shipped):
    assert artifact.make(shipped) == shipped.artifact
    assert b".py" not in shipped.artifact, "it names no file of the machine that made it"


def test_what_is_no_artifact_of_the_bundle_is_refused(shipped):
    with pytest.raises(BundleError, match="has no StableHLO"):
        artifact.load(dataclasses.replace(shipped, artifact=None))
    with pytest.raises(BundleError, match="cannot be read"):
        artifact.load(dataclasses.replace(shipped, artifact=shipped.artifact[:500]))
    other = dataclasses.replace(shipped, classes=("a", "b"))
    with pytest.raises(BundleError, match="export it again"):
        artifact.load(other)
