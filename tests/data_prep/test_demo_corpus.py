"""The demo corpus: synthetic and marked so, complete or absent, the same bytes every time, learnable."""

import collections
import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_prep import corpora, demo_corpus

SMALL = {"speakers": 2, "sentences": 2, "progress": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pathlib.Path:
    """The corpus of the default size."""
    return demo_corpus.make(tmp_path_factory.mktemp("demo") / "corpus", progress=False)


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_it_is_read_as_a_manifest_every_speaker_every_emotion(whole):
    reading = corpora.read("manifest", whole)
    assert reading.bad_files == ()
    counts = collections.Counter((utterance.speaker, utterance.emotion) for utterance in reading.utterances)
    assert len(counts) == 8 * 4
    assert set(counts.values()) == {8}
    assert {utterance.emotion for utterance in reading.utterances} == {"angry", "happy", "neutral", "sad"}


def test_it_says_that_it_is_synthetic(whole):
    assert "SYNTHETIC" in (whole / "README.txt").read_text()
    for utterance in corpora.read("manifest", whole).utterances:
        assert utterance.speaker.startswith("synthetic_")
        assert utterance.id.startswith("synthetic_")


def test_a_full_disk_is_told_and_leaves_nothing(small_disk):
    folder = small_disk.folder / "demo"
    small_disk.fill(leaving=65_536)
    with pytest.raises(OSError, match="No space left on device; make space and start again") as caught:
        demo_corpus.make(folder, **SMALL)
    assert caught.value.filename == str(folder)
    assert [path.name for path in small_disk.folder.iterdir()] == ["filler"]
    small_disk.make_space()
    assert demo_corpus.make(folder, **SMALL) == folder


def test_speakers_are_balanced_in_sex_and_differ_in_voice(whole):
    sexes = {utterance.speaker: utterance.sex for utterance in corpora.read("manifest", whole).utterances}
    assert collections.Counter(sexes.values()) == {"female": 4, "male": 4}
    assert len({digest for name, digest in digests(whole).items() if name.endswith(".wav")}) == 256


def test_sound_is_short_mono_and_neither_silent_nor_clipped(whole):
    seconds = []
    for utterance in corpora.read("manifest", whole).utterances:
        samples, rate = soundfile.read(utterance.path, dtype="int16")
        assert (rate, samples.ndim) == (22_050, 1)
        assert np.abs(samples.astype(int)).max() > 1000
        # eSpeak's limiter comes near full scale; long runs there would be clipping.
        assert np.mean(np.abs(samples.astype(int)) >= 32_767) < 1e-3
        seconds.append(len(samples) / rate)
    assert min(seconds) > 0.8
    assert max(seconds) < 4.0
    assert 1.2 < np.mean(seconds) < 2.5


def test_emotions_are_heard_but_overlap(whole):
    """The drawn prosody reaches the sound: sad is slower and softer, though not every single time."""
    seconds, loudness = collections.defaultdict(list), collections.defaultdict(list)
    for utterance in corpora.read("manifest", whole).utterances:
        samples, rate = soundfile.read(utterance.path)
        seconds[utterance.emotion].append(len(samples) / rate)
        loudness[utterance.emotion].append(np.sqrt(np.mean(samples**2)))
    assert np.mean(seconds["angry"]) < np.mean(seconds["neutral"]) < np.mean(seconds["sad"])
    # Without eSpeak's volume the two differ by a factor of less than 1.2, from their pitch and pauses.
    assert np.mean(loudness["angry"]) > 1.5 * np.mean(loudness["neutral"])
    assert np.mean(loudness["neutral"]) > 1.5 * np.mean(loudness["sad"])
    assert max(seconds["neutral"]) > min(seconds["sad"])
    assert max(loudness["neutral"]) > min(loudness["angry"])


def test_two_processes_give_the_same_bytes(whole, tmp_path):
    """A second on, and with another hash seed: eSpeak seeds its noise with the time of day."""
    command = [sys.executable, "-m", "data_prep.demo_corpus", str(tmp_path / "again")]
    root = pathlib.Path(demo_corpus.__file__).parents[1]
    output = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    assert output.strip() == str(tmp_path / "again" / "manifest.csv")
    assert digests(tmp_path / "again") == digests(whole)


def test_every_voice_is_the_same_twice(tmp_path):
    for name in ("a", "b"):
        demo_corpus.make(tmp_path / name, speakers=12, sentences=1, progress=False)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_another_seed_gives_another_prosody():
    plans = [demo_corpus.plan(speakers=1, sentences=1, seed=seed) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    assert [line.id for line in plans[0]] == [line.id for line in plans[2]]


def test_drawn_values_stay_where_the_synthesiser_takes_them():
    lines = demo_corpus.plan(speakers=12, sentences=16, seed=3)
    values = np.array([dataclasses.astuple(line.prosody) for line in lines])
    assert np.all(values >= dataclasses.astuple(demo_corpus.LOWEST))
    assert np.all(values <= dataclasses.astuple(demo_corpus.HIGHEST))


def test_the_table_in_the_docstring_is_the_one_in_use():
    rows = [line.strip("| ").split("|") for line in demo_corpus.__doc__.splitlines() if line.startswith("| ")]
    table = {name.strip(): tuple(float(cell) for cell in cells) for name, *cells in rows[1:]}
    assert table == {
        name: dataclasses.astuple(row)
        for name, row in (demo_corpus.EMOTIONS | {"spread": demo_corpus.SPREAD}).items()
    }


def test_a_complete_corpus_is_left_alone(tmp_path, monkeypatch):
    folder = demo_corpus.make(tmp_path / "demo", **SMALL)
    monkeypatch.setattr(demo_corpus, "_synthesise", lambda *_, **__: pytest.fail("made it again"))
    assert demo_corpus.make(folder, **SMALL) == folder


@pytest.mark.parametrize("lost", ["wav/synthetic_m1_sad_02.wav", "manifest.csv", "demo_corpus.json"])
def test_what_was_lost_is_made_again_if_the_folder_is_still_known(tmp_path, lost):
    folder = demo_corpus.make(tmp_path / "demo", **SMALL)
    before = digests(folder)
    (folder / lost).unlink()
    if lost == "demo_corpus.json":
        with pytest.raises(corpora.CorpusError, match="not a demo corpus"):
            demo_corpus.make(folder, **SMALL)
    else:
        demo_corpus.make(folder, **SMALL)
        assert digests(folder) == before


def test_other_arguments_replace_it(tmp_path):
    demo_corpus.make(tmp_path / "demo", **SMALL)
    demo_corpus.make(tmp_path / "demo", **(SMALL | {"speakers": 1}))
    assert len(corpora.read("manifest", tmp_path / "demo").utterances) == 1 * 4 * 2
    assert os.listdir(tmp_path) == ["demo"]


@pytest.mark.parametrize("there", ["folder", "file"])
def test_what_is_not_a_demo_corpus_is_not_touched(tmp_path, there):
    target = tmp_path / "mine"
    file = target / "thesis.txt" if there == "folder" else target
    file.parent.mkdir(exist_ok=True)
    file.write_text("years of work")
    with pytest.raises(corpora.CorpusError, match="give a new folder"):
        demo_corpus.make(target, **SMALL)
    assert file.read_text() == "years of work"


def test_a_failure_leaves_nothing_behind_and_the_old_corpus_in_place(tmp_path, monkeypatch):
    folder = demo_corpus.make(tmp_path / "demo", **SMALL)
    before = digests(folder)
    broken = dataclasses.replace(demo_corpus.SPEAKERS[1], variant="nobody")
    monkeypatch.setattr(demo_corpus, "SPEAKERS", (demo_corpus.SPEAKERS[0], broken))
    with pytest.raises(corpora.CorpusError, match=r"no voice variant .*nobody"):
        demo_corpus.make(folder, **SMALL)
    assert digests(folder) == before
    assert os.listdir(tmp_path) == ["demo"]


def test_a_crash_of_the_synthesiser_is_an_error_here(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(corpora.CorpusError, match="exit code 1"):
        demo_corpus.make(tmp_path / "demo", **SMALL)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("wrong", [{"speakers": 0}, {"speakers": 13}, {"sentences": 0}, {"sentences": 17}])
def test_sizes_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be from 1 to"):
        demo_corpus.make(tmp_path / "demo", **wrong)


@pytest.mark.parametrize("part", ["get_library_path", "get_data_path"])
def test_a_platform_without_the_library_gets_a_clear_error(monkeypatch, tmp_path, part):
    """In a process of its own, for the library's state: the parts are wanted, not there."""
    code = (
        "import espeakng_loader; from data_prep import demo_corpus\n"
        f"espeakng_loader.{part} = lambda: {str(tmp_path / 'absent')!r}\n"
        "try: demo_corpus._Espeak()\n"
        "except demo_corpus.CorpusError as error: print('clear:', error)\n"
    )
    root = pathlib.Path(demo_corpus.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("clear:"), run.stderr
    assert "absent" in run.stdout
