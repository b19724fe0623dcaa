"""Preparing a corpus: whole or not at all, the same every time, and every bad file named."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds
from small_corpus import (
    FEATURES,
    RATE,
    configured,
    contents,
    edit_manifest,
    published,
    read,
    spoil,
)

from data_prep import audio, builder, compute, corpora, feature_cache
from data_prep.corpora.base import BadFilesError, CorpusError
from data_prep.features import FeatureSettings, SettingsError, extract
from data_prep.prepare import prepare
from data_prep.provenance import VERSION

ROOT = pathlib.Path(__file__).parents[2]


def test_what_is_read_back_is_what_the_sound_gives(corpus, tmp_path):
    folder = prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")
    assert folder.parent.parent == tmp_path / "records"
    assert folder.parent.name.startswith("manifest_")
    settings = FEATURES
    classes = tfds.builder_from_directory(folder).info.features["label"].names
    assert classes == ["angry", "sad"]

    splits = read(folder)
    found = {example["id"].decode(): example for split in splits.values() for example in split}
    wanted = {one.id: one for one in corpora.read("manifest", corpus).utterances if one.emotion != "boredom"}
    assert found.keys() == wanted.keys()
    for name, utterance in wanted.items():
        example = found[name]
        waveform = audio.read(utterance, sampling_rate=RATE, seconds=0.5)
        np.testing.assert_array_equal(example["features"], extract(waveform, settings=settings))
        assert example["seconds"] == np.float32(len(waveform) / RATE)
        assert (
            classes[example["label"]]
            == {"anger": "angry", "rage": "angry", "sorrow": "sad"}[utterance.emotion]
        )
        for field in ("speaker", "session", "sex", "emotion"):
            assert example[field].decode() == getattr(utterance, field)


def test_splits_are_speakers_and_the_metadata_tells_what_is_in_them(corpus, tmp_path):
    folder = prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")
    metadata = json.loads((folder / "metadata.json").read_text())
    groups = {"speaker_a_1": ["a 1"], "speaker_a_1_2": ["a-1"], "speaker_b": ["b"]}
    assert metadata["groups"] == groups
    assert metadata["counts"] == {group: {"angry": 4, "sad": 2} for group in groups}
    for split, examples in read(folder).items():
        assert {example["speaker"].decode() for example in examples} == set(groups[split])
        ids = [example["id"] for example in examples]
        assert ids == sorted(ids)
    assert metadata["corpus"] == "manifest"
    assert metadata["source"] == str(corpus)
    assert metadata["synthetic"] is False
    assert metadata["classes"] == ["angry", "sad"]
    assert metadata["emotions"] == {"anger": "angry", "rage": "angry", "sorrow": "sad"}
    assert metadata["bad_files"] == []
    assert FeatureSettings.from_mapping(metadata["features"]) == FEATURES
    assert {"librosa", "numpy", "soundfile", "tensorflow_datasets"} <= metadata["versions"].keys()
    assert metadata["fingerprint"].startswith(folder.parent.name.removeprefix("manifest_"))


def test_no_emotions_named_takes_all_as_they_are(corpus, tmp_path):
    folder = prepare(data=configured(corpus, emotions={}), features=FEATURES, records=tmp_path / "records")
    assert json.loads((folder / "metadata.json").read_text())["classes"] == [
        "anger",
        "boredom",
        "rage",
        "sorrow",
    ]


def test_the_tables_count_classes_speakers_and_sessions(corpus, tmp_path, capsys):
    prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")
    tables, _ = capsys.readouterr().out.split("\n\nWhat was cut")
    table = [line.split() for line in tables.splitlines()]
    assert table == [
        ["speaker", "angry", "sad", "all"],
        ["a", "1", "4", "2", "6"],
        ["a-1", "4", "2", "6"],
        ["b", "4", "2", "6"],
        ["all", "12", "6", "18"],
        [],
        ["session", "angry", "sad", "all"],
        ["one", "8", "4", "12"],
        ["two", "4", "2", "6"],
        ["all", "12", "6", "18"],
    ]


def test_the_number_of_processes_changes_nothing(corpus, tmp_path):
    one, two = (
        prepare(data=configured(corpus, workers=n), features=FEATURES, records=tmp_path / f"records{n}")
        for n in (1, 2)
    )
    assert one.parent.name == two.parent.name
    assert contents(one) == contents(two)


def test_a_second_run_prints_the_counts_again_and_does_nothing(corpus, tmp_path, monkeypatch, capsys):
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    folder = prepare(**arguments)
    printed = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").rglob("*")}
    monkeypatch.delattr(compute, "compute")
    assert prepare(**arguments) == folder
    assert capsys.readouterr().out == printed
    assert "angry" in printed
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "records").rglob("*")} == before


@pytest.mark.parametrize("change", ["sound", "settings"])
def test_a_change_gives_other_records_and_leaves_the_old_ones(corpus, tmp_path, change):
    """See test_provenance.py for all that counts."""
    records, data, features = tmp_path / "records", configured(corpus), FEATURES
    before = prepare(data=data, features=features, records=records)
    if change == "sound":
        noise = 0.1 * np.random.default_rng(7).standard_normal(RATE)
        soundfile.write(corpus / "b_anger_1.wav", noise, RATE)
    else:
        features = dataclasses.replace(FEATURES, coefficients=12)
    after = prepare(data=data, features=features, records=records)
    assert after != before
    assert sorted(published(records)) == sorted([before, after])


@pytest.mark.parametrize("workers", [1, 2])
def test_all_bad_files_are_named_together_and_nothing_is_published(corpus, tmp_path, workers):
    """Those whose headers show it, before anything is computed; then those of which all must be decoded."""
    bad = spoil(corpus)
    edit_manifest(corpus, "b_sorrow_2.wav,b,", "b_sorrow_2.wav,,")  # and a bad row
    arguments = {
        "data": configured(corpus, workers=workers),
        "features": FEATURES,
        "records": tmp_path / "records",
    }
    with pytest.raises(BadFilesError) as error:
        prepare(**arguments)
    for reason in ("text, not sound", "empty file", "shorter", "no speaker"):
        assert sum(reason in one.reason for one in error.value.bad_files) == 1, reason
    assert len(error.value.bad_files) == 4
    edit_manifest(corpus, "b_sorrow_2.wav,,", "b_sorrow_2.wav,b,")
    first = {pathlib.Path(one.path).name for one in error.value.bad_files} & bad
    for name in first:
        soundfile.write(corpus / name, 0.1 * np.random.default_rng(1).standard_normal(RATE), RATE)
    with pytest.raises(BadFilesError) as error:
        prepare(**arguments)
    second = {pathlib.Path(one.path).name for one in error.value.bad_files}
    assert first | second == bad
    assert not first & second
    for reason in ("silent", "NaN", "times full scale"):
        assert sum(reason in one.reason for one in error.value.bad_files) == 1, reason
    assert all(name in str(error.value) for name in second)
    assert not published(tmp_path / "records")


def test_features_of_good_files_are_kept_while_the_bad_are_mended(corpus, tmp_path, monkeypatch):
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    silent = corpus / "b_anger_1.wav"
    sound = silent.read_bytes()
    soundfile.write(silent, np.zeros(RATE), RATE)
    with pytest.raises(BadFilesError, match=r"b_anger_1.wav: silent"):
        prepare(**arguments)
    silent.write_bytes(sound)
    changed = corpus / "b_anger_2.wav"
    soundfile.write(changed, 0.1 * np.random.default_rng(7).standard_normal(RATE), RATE)
    asked = []
    one = compute.compute_one
    monkeypatch.setattr(
        compute, "compute_one", lambda utterance, **how: asked.append(utterance.id) or one(utterance, **how)
    )
    folder = prepare(**arguments)
    assert sorted(asked) == [silent.name, changed.name]
    fresh = prepare(**(arguments | {"records": tmp_path / "fresh"}))
    assert contents(folder) == contents(fresh)
    assert not (tmp_path / "records" / feature_cache.FOLDER).exists()


def test_kept_features_that_are_damaged_are_computed_anew(corpus, tmp_path, monkeypatch, caplog):
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    silent = corpus / "b_anger_1.wav"
    sound = silent.read_bytes()
    soundfile.write(silent, np.zeros(RATE), RATE)
    with pytest.raises(BadFilesError):
        prepare(**arguments)
    silent.write_bytes(sound)
    (kept,) = (tmp_path / "records" / feature_cache.FOLDER).glob("*/*.float32")
    damaged = bytearray(kept.read_bytes())
    damaged[40] ^= 1
    kept.write_bytes(damaged)
    folder = prepare(**arguments)
    assert any("the checksum is another" in record.message for record in caplog.records)
    assert contents(folder) == contents(prepare(**(arguments | {"records": tmp_path / "fresh"})))


def test_bad_files_of_one_kind_are_grouped_and_all_are_in_a_list(corpus, tmp_path):
    records = tmp_path / "records"
    for path in corpus.glob("*_anger_*.wav"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for path in corpus.glob("b_rage_*.wav"):
        path.write_text("<!DOCTYPE html><html>")
    with pytest.raises(BadFilesError) as error:
        prepare(data=configured(corpus), features=FEATURES, records=records)
    message = str(error.value)
    assert "8 file(s) cannot be used:\n6 of one kind:\n" in message
    assert message.count("git lfs pull") == 5
    assert "  and 1 more\n2 of one kind:\n" in message
    assert message.count("a web page") == 2
    listed = records / "manifest_bad_files.txt"
    assert f"All of them: {listed}" in message
    assert len(listed.read_text().splitlines()) == 8
    folder = prepare(data=configured(corpus, on_bad_file="skip"), features=FEATURES, records=records)
    assert len(read(folder)) == 3
    assert not listed.exists()


@pytest.mark.parametrize("on_bad_file", ["error", "skip"])
@pytest.mark.parametrize("what", ["rows", "files"])
def test_where_nothing_is_good_the_reasons_are_told(corpus, tmp_path, what, on_bad_file):
    if what == "rows":
        table = corpus / "manifest.csv"
        table.write_text(table.read_text().replace(".wav,", ".wave,"))
    else:
        for path in corpus.glob("*.wav"):
            path.write_bytes(b"")
    data = configured(corpus, on_bad_file=on_bad_file)
    with pytest.raises(BadFilesError, match=r"cannot be used, and there is no other:\n") as error:
        prepare(data=data, features=FEATURES, records=tmp_path / "records")
    assert ("empty file" if what == "files" else "no file") in str(error.value)
    assert "skip" not in str(error.value)


def test_one_speaker_alone_is_refused(corpus, tmp_path):
    table = corpus / "manifest.csv"
    rows = table.read_text().splitlines(keepends=True)
    table.write_text("".join(row for row in rows if ",b," in row or row == rows[0]))
    with pytest.raises(CorpusError, match="one speaker only \\('b', 6 utterances\\)"):
        prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")


def test_speakers_of_any_script_name_their_splits(corpus, tmp_path):
    table = corpus / "manifest.csv"
    table.write_text(table.read_text().replace(",b,", ",张三,"), encoding="utf-8")
    folder = prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")
    assert len(read(folder)["speaker_张三"]) == 6


def test_bad_files_can_be_left_out(corpus, tmp_path):
    bad = spoil(corpus)
    folder = prepare(
        data=configured(corpus, on_bad_file="skip"), features=FEATURES, records=tmp_path / "records"
    )
    listed = json.loads((folder / builder.BAD_FILES).read_text())
    assert {pathlib.Path(one["path"]).name for one in listed} == bad
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["bad_files"] == listed
    ids = {example["id"].decode() for split in read(folder).values() for example in split}
    assert len(ids) == 18 - len(bad)
    assert not ids & bad
    assert metadata["counts"]["speaker_b"] == {"angry": 1, "sad": 2}


def test_a_speaker_without_one_good_file_is_left_out_too(corpus, tmp_path):
    for path in corpus.glob("b_*.wav"):
        path.write_bytes(b"")
    folder = prepare(
        data=configured(corpus, on_bad_file="skip"), features=FEATURES, records=tmp_path / "records"
    )
    assert list(read(folder)) == ["speaker_a_1", "speaker_a_1_2"]


def test_a_class_without_one_good_file_is_an_error(corpus, tmp_path):
    for path in corpus.glob("*_sorrow_*.wav"):
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"no utterance of sad; (.|\n)*_sorrow_2.wav: empty file"):
        prepare(data=configured(corpus, on_bad_file="skip"), features=FEATURES, records=tmp_path / "records")
    assert not published(tmp_path / "records")


def test_an_id_that_comes_twice_is_a_bad_file(corpus, tmp_path):
    with (corpus / "manifest.csv").open("a") as file:
        file.write("b_anger_1.wav,b,sorrow,one,female\n")
    with pytest.raises(BadFilesError, match=r"of the same sound as .*manifest.csv"):
        prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records")


def test_an_unknown_emotion_code_is_a_bad_file(tmp_path):
    root = tmp_path / "ravdess"
    root.mkdir()
    for code in ("05", "99"):
        noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
        soundfile.write(root / f"03-01-{code}-01-01-01-02.wav", noise, RATE)
    data = configured(root, corpus="ravdess", emotions={})
    with pytest.raises(BadFilesError, match=r"03-01-99-01-01-01-02.wav: .*'99'"):
        prepare(data=data, features=FEATURES, records=tmp_path / "records")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "/no/such/folder"}, "does not exist"),
        ({"group_by": "part"}, r"18 utterance\(s\) have no part"),
    ],
)
def test_a_corpus_that_does_not_fit_its_config_is_refused_before_anything_is_written(
    corpus, tmp_path, change, message
):
    """See test_selection.py and test_splits.py for all that is refused."""
    with pytest.raises(CorpusError, match=message):
        prepare(data=configured(corpus, **change), features=FEATURES, records=tmp_path / "records")
    assert not (tmp_path / "records").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_found_impossible_only_while_computing_are_refused(corpus, tmp_path, workers):
    features = dataclasses.replace(FEATURES, n_fft=128, n_mels=100)
    with pytest.raises(SettingsError, match="mel bands hold no frequency"):
        prepare(data=configured(corpus, workers=workers), features=features, records=tmp_path / "records")
    assert not published(tmp_path / "records")


@pytest.mark.parametrize("where", ["features", "records", "info"])
def test_an_interrupted_run_leaves_nothing_and_the_next_succeeds(corpus, tmp_path, monkeypatch, where):
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    with monkeypatch.context() as patch:
        if where == "features":
            module, name = compute, "compute_one"
        elif where == "records":
            module, name = builder.SpeechFeatures, "_generate_examples"
        else:
            module, name = tfds.core.DatasetInfo, "write_to_directory"

        def interrupted(*_args, **_kwargs):
            raise KeyboardInterrupt

        patch.setattr(module, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(**arguments)
    assert not published(tmp_path / "records")
    folder = prepare(**arguments)
    assert sum(map(len, read(folder).values())) == 18
    assert [path.name for path in folder.parent.iterdir() if path.name != ".lock"] == [VERSION]


STOPS_IN_THE_MIDDLE = """
import json, pathlib, sys, time
import tensorflow_datasets as tfds
from data_prep.corpus_settings import CorpusSettings
from data_prep.features import FeatureSettings
from data_prep.prepare import prepare

def stop(*_args, **_kwargs):
    print("in the middle", file=sys.__stdout__, flush=True)  # sys.stdout is silenced there
    time.sleep(600)

tfds.core.DatasetInfo.write_to_directory = stop
config = json.loads(sys.argv[1])
data, features = CorpusSettings(**config["data"]), FeatureSettings(**config["features"])
prepare(data=data, features=features, records=pathlib.Path(sys.argv[2]))
"""


def test_a_killed_run_leaves_nothing_that_is_taken_for_whole(corpus, tmp_path):
    data, records = configured(corpus, workers=2), tmp_path / "records"
    config = json.dumps({"data": dataclasses.asdict(data), "features": dataclasses.asdict(FEATURES)})
    with subprocess.Popen(
        [sys.executable, "-c", STOPS_IN_THE_MIDDLE, config, str(records)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert "in the middle\n" in iter(process.stdout.readline, "")
        process.kill()
    left = {path.name.split("_")[0].split(".")[0] or ".scratch" for path in records.glob("*/*")}
    assert left == {".scratch"}
    assert not published(records)
    folder = prepare(data=data, features=FEATURES, records=records)
    assert sum(map(len, read(folder).values())) == 18
    assert [path.name for path in folder.parent.iterdir() if path.name != ".lock"] == [VERSION]


@pytest.mark.parametrize("leaving", [0, 16_384, 49_152], ids=["nothing", "features", "records"])
def test_a_full_disk_is_told_with_its_place_and_the_next_run_is_whole(corpus, tmp_path, small_disk, leaving):
    """What is left holds nothing, a part of the features, or these and a part of the records."""
    arguments = {"data": configured(corpus), "features": FEATURES}
    records = small_disk.folder / "records"
    records.mkdir()
    small_disk.fill(leaving)
    with pytest.raises(OSError, match=r"No space left on device; make space .* records") as error:
        prepare(**arguments, records=records)
    assert error.value.filename.startswith(str(records))
    assert not published(records)
    small_disk.make_space()
    folder = prepare(**arguments, records=records)
    assert contents(folder) == contents(prepare(**arguments, records=tmp_path / "records"))
    assert [path.name for path in folder.parent.iterdir() if path.name != ".lock"] == [VERSION]


CONFIG = """
import ml_collections
def get_config():
    return ml_collections.ConfigDict({config!r})
"""


def command(tmp_path: pathlib.Path, config: dict, *flags: str) -> subprocess.CompletedProcess:
    (tmp_path / "config.py").write_text(CONFIG.format(config=config))
    arguments = [f"--config={tmp_path / 'config.py'}", f"--records={tmp_path / 'records'}", *flags]
    return subprocess.run(
        [sys.executable, "-m", "data_prep.prepare", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def test_the_command_prepares_and_prints_the_folder(corpus, tmp_path):
    config = {"data": dataclasses.asdict(configured("", workers=2)), "features": dataclasses.asdict(FEATURES)}
    done = command(tmp_path, config, f"--config.data.source={corpus}")
    assert done.returncode == 0, done.stderr
    folder = pathlib.Path(done.stdout.splitlines()[-1])
    assert published(tmp_path / "records") == [folder]
    assert "Computing features of 18 utterances" in done.stderr
    assert "Wrote the records of 18 utterances in 3 splits" in done.stderr


def test_a_home_folder_of_records_is_expanded(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = prepare(data=configured(corpus), features=FEATURES, records=pathlib.Path("~/r"))
    assert folder.is_relative_to(tmp_path / "r")


def test_the_command_answers_a_value_that_is_no_literal_with_one_message(corpus, tmp_path):
    config = {"data": dataclasses.asdict(configured(corpus)), "features": dataclasses.asdict(FEATURES)}
    done = command(tmp_path, config, "--config.data.emotions={anger:angry}")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: --config.data.emotions: {anger:angry} is no value; put words in quotes"
    )


def test_the_command_answers_a_mistake_with_one_message(corpus, tmp_path):
    config = {"data": dataclasses.asdict(configured(corpus)), "features": dataclasses.asdict(FEATURES)}
    done = command(tmp_path, config, "--config.data.source=/no/such/folder")
    assert done.returncode == 1
    assert done.stderr == (
        "error: the root of corpus 'manifest' does not exist: /no/such/folder (data.source)\n"
    )


def test_without_a_corpus_the_demo_corpus_is_made_and_marked_synthetic(tmp_path):
    data = configured("", corpus="demo", emotions={})
    folder = prepare(data=data, features=FEATURES, records=tmp_path / "records")
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["synthetic"] is True
    assert metadata["classes"] == ["angry", "happy", "neutral", "sad"]
    assert (tmp_path / "demo_corpus").is_dir()
    assert prepare(data=data, features=FEATURES, records=tmp_path / "records") == folder


def content_of(folder: pathlib.Path) -> str:
    return json.loads((folder / "metadata.json").read_text())["content"]


@pytest.fixture
def content(corpus, tmp_path) -> str:
    """What the records of the corpus say that they are of."""
    return content_of(prepare(data=configured(corpus), features=FEATURES, records=tmp_path / "records"))


def test_a_corpus_that_is_moved_and_touched_has_the_content_that_it_had(corpus, content, tmp_path):
    moved = corpus.rename(tmp_path / "elsewhere")
    for path in moved.iterdir():
        path.touch()
    folder = prepare(data=configured(moved, workers=2), features=FEATURES, records=tmp_path / "records")
    assert len(published(tmp_path / "records")) == 2
    assert content_of(folder) == content


@pytest.mark.parametrize("what", ["sound", "label", "speaker", "settings"])
def test_other_content_is_other_content(corpus, content, tmp_path, what):
    features = FEATURES
    if what == "sound":  # one step of one sample of one file
        samples, rate = soundfile.read(corpus / "b_rage_1.wav", dtype="int16")
        samples[99] += 1
        soundfile.write(corpus / "b_rage_1.wav", samples, rate)
    elif what == "label":
        edit_manifest(corpus, "b,rage", "b,sorrow")
    elif what == "speaker":
        edit_manifest(corpus, "b_rage_1.wav,b", "b_rage_1.wav,a-1")
    else:
        features = dataclasses.replace(FEATURES, hop=100)
    assert (
        content_of(prepare(data=configured(corpus), features=features, records=tmp_path / "records"))
        != content
    )


def test_where_nothing_is_to_be_made_the_folder_is_named_alone(corpus, tmp_path):
    arguments = {"data": configured(corpus), "features": FEATURES, "records": tmp_path / "records"}
    folder = prepare(**arguments, make=False)
    assert not folder.exists()
    assert prepare(**arguments) == folder
