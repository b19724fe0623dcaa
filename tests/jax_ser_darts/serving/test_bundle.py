"""Bundles: read back to the bit, replaced whole, and refused by name where anything is wrong."""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy
from small_bundles import BASELINE, SETTINGS, make_bundle

from jax_ser_darts.serving import bundle as bundles
from jax_ser_darts.serving.bundle import MANIFEST, NETWORK, WEIGHTS, BundleError, read_bundle, write_bundle

VERSIONS = {"jax_ser_darts": "9.9"}


@pytest.fixture(scope="module")
def tiny():
    return make_bundle()


@pytest.fixture
def folder(tmp_path, tiny) -> pathlib.Path:
    write_bundle(tmp_path / "b", tiny, card="# A card", versions=VERSIONS)
    return tmp_path / "b"


def sealed(folder: pathlib.Path) -> pathlib.Path:
    """The folder with hashes that are right again: what somebody could make by hand."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        content = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def changed(folder: pathlib.Path, *path, value) -> pathlib.Path:
    """The folder with one entry of network.json changed, and sealed again."""
    described = json.loads((folder / NETWORK).read_text())
    place = described
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / NETWORK).write_text(json.dumps(described))
    return sealed(folder)


@pytest.mark.parametrize(
    "options",
    [{}, {"network": BASELINE}, {"settings": dataclasses.replace(SETTINGS, kind="mfcc")}],
    ids=["genotype", "baseline", "mfcc"],
)
def test_what_was_written_is_read(tmp_path, options):
    one = dataclasses.replace(make_bundle(**options), artifact=b"any bytes", onnx=b"others")
    write_bundle(tmp_path / "b", one, card="# A card", versions=VERSIONS)
    back = read_bundle(tmp_path / "b")
    jax.tree.map(np.testing.assert_array_equal, back.weights(), one.weights())
    assert jax.tree.structure(back.weights()) == jax.tree.structure(one.weights())
    for name in (
        "description",
        "classes",
        "settings",
        "frames",
        "windowing",
        "probe",
        "provenance",
        "artifact",
        "onnx",
    ):
        assert getattr(back, name) == getattr(one, name), name
    assert (tmp_path / "b" / "README.md").read_text() == "# A card"


def test_the_same_bundle_is_the_same_bytes(tmp_path, folder, tiny):
    write_bundle(tmp_path / "c", tiny, card="# A card", versions=VERSIONS)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "c").iterdir()
    }
    assert read_bundle(folder).digest == read_bundle(tmp_path / "c").digest


def test_a_bundle_is_replaced_by_a_newer_one(folder, tiny):
    write_bundle(folder, tiny, card="newer", versions=VERSIONS)
    assert (folder / "README.md").read_text() == "newer"
    assert [path.name for path in folder.parent.iterdir()] == ["b"], "nothing is left beside it"


def test_a_write_that_fails_leaves_the_older_one(folder, tiny, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(bundles, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        write_bundle(folder, tiny, card="newer", versions=VERSIONS)
    assert read_bundle(folder).classes == tiny.classes
    assert [path.name for path in folder.parent.iterdir()] == ["b"]


def test_a_bundle_that_cannot_be_put_in_its_place_leaves_the_older_one(folder, tiny, monkeypatch):
    replace = os.replace

    def fail(source, target):
        if pathlib.Path(source).name == "new":
            raise OSError(errno.EIO, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(bundles.os, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_bundle(folder, tiny, card="newer", versions=VERSIONS)
    assert read_bundle(folder).classes == tiny.classes
    assert [path.name for path in folder.parent.iterdir()] == ["b"]


def test_a_full_disk_is_told_and_leaves_the_older_one(small_disk, tiny):
    write_bundle(small_disk.folder / "b", tiny, card="older", versions=VERSIONS)
    small_disk.fill()
    with pytest.raises(OSError, match="No space left on device; make space") as caught:
        write_bundle(small_disk.folder / "b", tiny, card="newer", versions=VERSIONS)
    assert caught.value.filename.startswith(str(small_disk.folder))
    assert (small_disk.folder / "b" / "README.md").read_text() == "older"
    assert sorted(path.name for path in small_disk.folder.iterdir()) == ["b", "filler"]


def test_another_folder_is_not_replaced(tmp_path, tiny):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="not a bundle and not empty"):
        write_bundle(tmp_path, tiny, card="", versions=VERSIONS)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("name", bundles.NEEDED)
def test_a_flipped_bit_or_a_missing_file_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{name} is not the file that was exported"):
        read_bundle(folder)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"{name} is missing"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"format": NaN}', "is no JSON"),
        ("[1]", "no JSON object"),
        (
            '{"format": 2, "versions": {"jax_ser_darts": "7.1"}}',
            r"format 2, this version reads 1: .*\(7\.1\)",
        ),
        ('{"format": 1, "files": {}}', "it must list"),
        ('{"format": 1, "files": {"../../etc/passwd": {}}}', "it must list"),
    ],
)
def test_a_manifest_that_is_none(folder, text, message):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_no_bundle_at_all(tmp_path):
    for path in (tmp_path, tmp_path / "absent", pathlib.Path(__file__)):
        with pytest.raises(BundleError, match="a folder that `jax-ser-darts export` wrote"):
            read_bundle(path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network", "model"), "pickle", "not one of genotype, baseline"),
        (("network", "channels"), 10**9, "no size of a network"),
        (("network", "cells"), -1, "no size of a network"),
        (("network", "channels"), 4, "does not hold the weights"),
        (("network", "hidden"), 0, "network"),
        (("network", "spin"), 1, "unknown entries spin"),
        (("network", "backend"), "os.system", "unknown entries backend"),
        (("network", "genotype", "normal", 0, 0, 0), "conv_9x9", "is not one of"),
        (("network", "classes"), 2, "2 classes, and 3 names"),
        (("classes",), ["a", "a", "b"], "all different"),
        (("classes",), ["a", "b\n| c", "d"], "all different"),
        (("frames",), 10**6, "do not go with"),
        (("frames",), True, "not a int"),
        (("features", "hop"), 0, "hop must be"),
        (("features", "seconds"), 1e12, "do not go with"),
        (("features", "import"), "os", "unknown feature settings"),
        (("windowing", "overlap"), 1.0, "overlap = 1.0"),
        (("windowing", "silence"), None, "silence = None"),
        (("probe",), [0.5], "a probability for each"),
    ],
)
def test_entries_that_do_not_fit_are_refused_even_with_the_right_hash(folder, path, value, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(changed(folder, *path, value=value))


def test_weights_that_do_not_fit_are_refused_even_with_the_right_hash(folder):
    arrays = safetensors.numpy.load((folder / WEIGHTS).read_bytes())
    name = "network/params/sequence/classify/bias"
    for value, message in (
        (np.full_like(arrays[name], np.nan), f"not finite: {name}"),
        (arrays[name].astype(np.float64), "does not hold the weights"),
        (arrays[name][:2], "does not hold the weights"),
    ):
        (folder / WEIGHTS).write_bytes(safetensors.numpy.save({**arrays, name: value}))
        with pytest.raises(BundleError, match=message):
            read_bundle(sealed(folder))
    (folder / WEIGHTS).write_bytes(
        safetensors.numpy.save({**arrays, "normalisation/std": 0 * arrays["normalisation/std"]})
    )
    with pytest.raises(BundleError, match="not above 0"):
        read_bundle(sealed(folder))
    (folder / WEIGHTS).write_bytes(b"\x80\x04cos\nsystem\n")  # a pickle
    with pytest.raises(BundleError, match="no safetensors file"):
        read_bundle(sealed(folder))


def test_every_part_can_be_damaged_anywhere_without_another_kind_of_error(folder):
    """Sealed again after the damage, so that the parsers see it."""
    rng = np.random.default_rng(0)
    whole = {name: (folder / name).read_bytes() for name in (NETWORK, WEIGHTS, "provenance.json")}
    refused = 0
    for _ in range(60):
        name = sorted(whole)[rng.integers(len(whole))]
        content = bytearray(whole[name])
        for _ in range(rng.integers(1, 4)):
            content[rng.integers(min(len(content), 2_000))] = rng.integers(256)
        (folder / name).write_bytes(content)
        try:
            read_bundle(sealed(folder))
        except BundleError:
            refused += 1
        (folder / name).write_bytes(whole[name])
    assert refused > 30
