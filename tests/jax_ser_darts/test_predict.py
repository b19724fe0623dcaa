"""The command: files, folders, patterns and standard input; three formats; a status that tells."""

import csv
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from small_bundles import CLASSES, make_bundle, speech

from jax_ser_darts import predict
from jax_ser_darts.serving.bundle import write_bundle
from jax_ser_darts.serving.predictor import Predictor

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle `b`, sounds of all sorts below `sounds`, and what is none."""
    folder = tmp_path_factory.mktemp("predict")
    write_bundle(folder / "b", make_bundle(), card="# card", versions={})
    (folder / "sounds" / "deep").mkdir(parents=True)
    soundfile.write(folder / "sounds" / "short.wav", speech(0.6), 16_000)
    soundfile.write(
        folder / "sounds" / "deep" / "long.flac", np.tile(speech(2.1, rate=44_100)[:, None], 2), 44_100
    )
    soundfile.write(folder / "sounds" / "quiet.wav", np.zeros(8_000), 16_000)
    (folder / "sounds" / "broken.wav").write_bytes(b"RIFF")
    (folder / "sounds" / "notes.txt").write_text("no sound")
    return folder


def command(folder, *arguments, stdin=b"", code=None):
    """Runs it as a user does; with `code`, that instead of the command, in the same environment."""
    where = [sys.executable, "-c", code] if code else [sys.executable, "-m", "jax_ser_darts.predict"]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(ROOT / "tests" / ".jax_cache")}
    done = subprocess.run(
        [*where, *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **cache},
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_json_lines_of_a_folder_name_what_cannot_be_used_and_predict_for_the_rest(folder):
    status, out, err = command(folder, "b", "sounds", "absent.wav", "--format=jsonl", "--cache=")
    lines = {line["file"]: line for line in map(json.loads, out.splitlines())}
    assert status == 1
    assert "error: sounds/broken.wav: cannot be decoded" in err
    assert "error: absent.wav: no such file" in err
    assert set(lines) == {
        "absent.wav",
        "sounds/broken.wav",
        "sounds/deep/long.flac",
        "sounds/quiet.wav",
        "sounds/short.wav",
    }
    assert lines["sounds/broken.wav"]["error"].startswith("cannot be decoded")
    assert lines["sounds/quiet.wav"]["silence"] is True
    assert len(lines["sounds/deep/long.flac"]["timeline"]) == 4
    expected = Predictor(make_bundle()).predict_file(folder / "sounds" / "short.wav")
    line = lines["sounds/short.wav"]
    assert line["emotion"] == expected.emotion
    assert line["probabilities"] == pytest.approx(expected.probabilities, abs=1e-4)


def test_csv_of_standard_input_with_a_timeline(folder):
    stdin = (folder / "sounds" / "deep" / "long.flac").read_bytes()
    status, out, err = command(
        folder, "b", "-", "--format=csv", "--timeline", "--overlap=0", "--cache=", stdin=stdin
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (status, err) == (0, "")
    assert [row["file"] for row in rows] == ["-"] * 3
    assert [float(row["start"]) for row in rows] == pytest.approx([0, 1, 1.1], abs=1e-3)
    for row in rows:
        assert sum(float(row[name]) for name in CLASSES) == pytest.approx(1, abs=1e-5)
        assert row["error"] == ""


def test_predictions_need_nothing_of_the_extras(folder):
    """Libraries that `pip install jax_ser_darts` does not bring are blocked; one aligned table comes all the same."""
    code = (
        "import runpy, sys; from jax_ser_darts.extras import EXTRAS\n"
        "sys.modules.update(dict.fromkeys(EXTRAS)); sys.argv[0] = 'predict'\n"
        "runpy.run_module('jax_ser_darts.predict', run_name='__main__', alter_sys=True)"
    )
    status, out, err = command(folder, "b", "sounds/short.wav", "--cache=", code=code)
    assert status == 0, err
    table = out.splitlines()
    assert len({len(line) for line in table}) == 1
    assert table[1].startswith("sounds/short.wav")


def test_a_bundle_loads_in_python_without_the_extras(folder):
    code = (
        "import sys; from jax_ser_darts.extras import EXTRAS; sys.modules.update(dict.fromkeys(EXTRAS))\n"
        "import jax_ser_darts; assert 'jax' not in sys.modules, 'importing the package takes no time'\n"
        "print(jax_ser_darts.load('b').predict_file('sounds/short.wav').emotion)"
    )
    status, out, err = command(folder, code=code)
    assert (status, out.strip() in CLASSES) == (0, True), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no bundle is named"),
        (["b"], "no file is named"),
        (["sounds", "x.wav"], "jax-ser-darts export"),
        (["b", "x.wav", "--formt=csv"], "Did you mean: format"),
        (["b", "x.wav", "--overlap=2"], "overlap"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(folder, arguments, message):
    status, out, err = command(folder, *arguments)
    assert status == 2
    assert not out
    (line,) = err.strip().splitlines()
    assert message in line


def test_help_teaches(folder):
    status, out, _ = command(folder, "--help")
    assert status == 0
    for word in ("BUNDLE", "--[no]timeline", "standard input", "exit status"):
        assert word in out


def test_every_file_comes_once_and_names_of_nothing_are_bad(folder, monkeypatch):
    monkeypatch.chdir(folder)
    bad_files = []
    found = list(predict.sources(["sounds/short.wav", "sounds", "sounds/*.wav", "x*.wav", "b"], bad_files))
    assert found == [
        "sounds/short.wav",
        "sounds/broken.wav",
        "sounds/quiet.wav",
        "sounds/deep/long.flac",
    ]
    assert [(bad.path, bad.reason) for bad in bad_files] == [
        ("x*.wav", "no file of this pattern"),
        ("b", "no .wav or .flac file below this folder"),
    ]


HOSTILE = [
    b"=1+cmd|'x'!A1.wav",
    b"@sum.wav",
    b"-1.wav",
    b"a\x1b[2J\x07b.wav",
    b"line\nend.wav",
    b"caf\xe9.wav",
    b"\xe2\x80\xaeback.wav",
]


@pytest.fixture(scope="module")
def hostile(folder):
    """Files whose names a terminal would obey, a spreadsheet compute, or nobody decode."""
    where = folder / "hostile"
    where.mkdir()
    content = (folder / "sounds" / "short.wav").read_bytes()
    for name in HOSTILE:
        pathlib.Path(os.fsdecode(bytes(where) + b"/" + name)).write_bytes(content)
    return where


@pytest.mark.parametrize("kind", ["table", "csv", "jsonl"])
def test_names_of_files_do_nothing_to_who_reads_the_predictions(folder, hostile, kind):
    names = [os.fsdecode(name) for name in HOSTILE]
    arguments = (str(folder / "b"), f"--format={kind}", "--cache=", "--", *names, "absent\x1b7.wav")
    status, out, err = command(hostile, *arguments)
    assert status == 1
    shown = out.replace("\n", "") + err.replace("\n", "")
    assert shown.isprintable()
    assert "error: absent\\x1b7.wav: no such file" in err
    if kind == "table":
        lines = out.splitlines()
        assert len(lines) == 1 + len(HOSTILE), "one line a file"
        assert len(set(map(len, lines))) == 1
        assert any(line.startswith(r"caf\xe9.wav ") for line in lines)
    elif kind == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["file"] for row in rows[:3]] == ["'=1+cmd|'x'!A1.wav", "'@sum.wav", "'-1.wav"]
        assert not any(
            cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values()
        )
    else:
        lines = list(map(json.loads, out.splitlines()))
        assert {line["file"] for line in lines} == {*names, "absent\x1b7.wav"}, "names as they are"
        assert all(line["probabilities"] for line in lines if "error" not in line)


def test_names_that_are_no_text_are_found_in_a_folder(folder, hostile):
    status, out, err = command(folder, "b", "hostile", "--format=jsonl", "--cache=")
    assert (status, err) == (0, "")
    found = {os.path.basename(os.fsencode(json.loads(line)["file"])) for line in out.splitlines()}
    assert found == set(HOSTILE)


def test_the_first_window_alone_is_how_the_bundle_was_scored(folder):
    status, out, _ = command(folder, "b", "sounds/deep/long.flac", "--first", "--format=jsonl", "--cache=")
    (window,) = json.loads(out)["timeline"]
    assert status == 0
    assert (window["start"], window["end"]) == (0, 1)
    assert json.loads(out)["probabilities"] == window["probabilities"]
