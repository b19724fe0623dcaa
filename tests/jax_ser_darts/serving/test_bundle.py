"""Bundles: read back to the bit, replaced whole, and refused by name where anything is wrong."""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import shutil
import tracemalloc

import jax
import numpy as np
import pytest
import safetensors.numpy
from small_bundles import BASELINE, SETTINGS, make_bundle

from jax_ser_darts.serving import bundle as bundles
from jax_ser_darts.serving.bundle import (
    MANIFEST,
    NETWORK,
    PROVENANCE,
    WEIGHTS,
    BundleError,
    read_bundle,
    write_bundle,
)

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


def changed(folder: pathlib.Path, *path, value, name=NETWORK) -> pathlib.Path:
    """The folder with one entry of a JSON file changed, and sealed again."""
    described = json.loads((folder / name).read_text())
    place = described
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / name).write_text(json.dumps(described))
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


class Killed(BaseException):
    """The process is gone: nothing after this is done, and nothing is cleaned up."""


@pytest.mark.parametrize("survived", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_writer_that_is_killed_leaves_the_older_bundle_or_the_newer(
    folder, tiny, monkeypatch, survived, after
):
    """Killed before or after each step that changes names; what it leaves is read, and the next writer goes on."""
    newer = dataclasses.replace(tiny, windowing={"overlap": 0.25, "silence": -60.0})
    write_bundle(folder.with_name("new"), newer, card="newer", versions=VERSIONS)
    steps = []

    def dies(function):
        def step(*arguments, **options):
            steps.append(function)
            last = len(steps) > survived
            if not last or after:
                function(*arguments, **options)
            if last:
                raise Killed

        return step

    with monkeypatch.context() as patched:
        patched.setattr(bundles.os, "replace", dies(os.replace))
        patched.setattr(bundles.shutil, "rmtree", dies(shutil.rmtree))
        with pytest.raises(Killed):
            bundles._put_in_place(folder.with_name("new"), folder)
    assert len(steps) == survived + 1
    assert read_bundle(folder).windowing["overlap"] == (0.25 if len(steps) + after > 3 else 0.5)
    write_bundle(folder, newer, card="newest", versions=VERSIONS)
    assert (folder / "README.md").read_text() == "newest"
    assert not (folder.parent / ".b.old").exists()


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


# Forty nodes, each of all that came before.
NODES = [[["dil_conv_3x3", source] for source in range(2 + node)] for node in range(40)]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network", "model"), "pickle", "not one of genotype, baseline"),
        (("network", "channels"), 10**9, "no size of a network"),
        (("network", "cells"), -1, "no size of a network"),
        (("network", "cells"), 4096, "16384 edges"),
        (("network", "genotype", "normal"), NODES, "at most 1024"),
        (("network", "stem_multiplier"), 4096, "activations|weights"),
        (("network", "hidden"), 4096, "numbers as weights"),
        (("network", "channels"), 4, "does not hold the weights"),
        (("network", "hidden"), 0, "network"),
        (("network", "spin"), 1, "unknown entries spin"),
        (("network", "backend"), "os.system", "unknown entries backend"),
        (("network", "genotype", "normal", 0, 0, 0), "conv_9x9", "is not one of"),
        (("network", "classes"), 2, "2 classes, and 3 names"),
        (("classes",), ["a", "a", "b"], "all different"),
        (("classes",), ["a", "b\n| c", "d"], "2 to 1024 names"),
        (("classes",), ["a", "b\x1b[2J", "c"], "2 to 1024 names"),
        (("classes",), ["a", "b", "c" * 201], "2 to 1024 names"),
        (("frames",), 10**6, "do not go with"),
        (("frames",), True, "not a int"),
        (("features", "hop"), 0, "hop must be"),
        (("features", "seconds"), 1e12, "beyond all use"),
        (("features", "seconds"), 1e-3, "do not go with|none of speech"),
        (("features", "sampling_rate"), 10**400, "beyond all use"),
        (("features", "sampling_rate"), 1_000_000, "sampling rate is"),
        (("features", "n_fft"), 2**30, "spectrum"),
        (("features", "pool"), 2**30, "do not go with|features of a window"),
        (("features", "import"), "os", "unknown feature settings"),
        (("windowing", "overlap"), 1.0, "overlap = 1.0"),
        (("windowing", "silence"), None, "silence = None"),
        (("probe",), [0.5], "a probability for each"),
    ],
)
def test_entries_that_do_not_fit_are_refused_even_with_the_right_hash(folder, path, value, message):
    with pytest.raises(BundleError, match=message):
        read_bundle(changed(folder, *path, value=value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("corpus", "name"), "\x1b]0;title\x07", "corpus: name = .* must be a printable text"),
        (("corpus", "utterances"), "6", "utterances = '6' must be a whole number"),
        (("training", "speakers", "train"), {"eve": 1}, "train must be a list"),
        (("training", "validation_ua"), "high", "validation_ua = 'high' must be a number"),
        (("scores", "exported", "ua", "value"), None, "value = None must be a number"),
        (("scores", "exported", "classes"), ["a", "b", "c"], "not of the bundle's 3 classes"),
        (("scores", "method", "confusion"), [[1]], "not of the bundle's 3 classes"),
        (("scores", "method", "spin"), 1, "other entries than"),
        (("scores",), [], "scores must be an object"),
    ],
)
def test_provenance_of_another_form_is_refused_even_with_the_right_hash(folder, path, value, message):
    with pytest.raises(BundleError, match=rf"provenance.json.*{message}"):
        read_bundle(changed(folder, *path, value=value, name=PROVENANCE))


def test_provenance_may_hold_more_and_not_less(folder):
    assert (
        read_bundle(changed(folder, "corpus", "spin", value=1, name=PROVENANCE)).provenance["corpus"]["spin"]
        == 1
    )
    saved = json.loads((folder / PROVENANCE).read_text())
    del saved["training"]["method"]
    (folder / PROVENANCE).write_text(json.dumps(saved))
    with pytest.raises(BundleError, match="training lacks 'method'"):
        read_bundle(sealed(folder))


@pytest.mark.parametrize("name", [MANIFEST, *bundles.NEEDED])
def test_only_regular_files_are_read(folder, tmp_path, name):
    """Nor is a pipe waited for, or a device read that never ends; each though it has the right content or size."""
    content = (folder / name).read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    makers = {
        "is a link": lambda path: path.symlink_to(tmp_path / "elsewhere"),
        "is not a regular file|cannot be read": lambda path: os.mkfifo(path),
        "is not a regular file": lambda path: path.mkdir(),
        "is a link, and not": lambda path: path.symlink_to("/dev/zero"),
    }
    for message, make in makers.items():
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(BundleError, match=message):
            read_bundle(folder)
        if (folder / name).is_dir():
            (folder / name).rmdir()
            (folder / name).touch()


@pytest.mark.parametrize("name", [MANIFEST, *bundles.NEEDED])
def test_of_a_file_that_is_too_large_nothing_is_read(folder, name):
    with (folder / name).open("r+b") as file:
        file.truncate(bundles.LARGEST[name] + 1)  # a hole: it takes no space
    tracemalloc.start()
    with pytest.raises(BundleError, match="is larger than"):
        read_bundle(folder)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


@pytest.mark.parametrize("text", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_no_json(folder, text):
    described = (folder / NETWORK).read_text().replace('"overlap": 0.5', f'"overlap": {text}')
    assert text in described
    (folder / NETWORK).write_text(described)
    with pytest.raises(BundleError, match=f"is no JSON: {text}"):
        read_bundle(sealed(folder))


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
