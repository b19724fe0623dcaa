"""Every case of ../shared/cases: what `prepare` says of it, or that it is right. Absent, they are skipped."""

import pathlib
import shutil

import numpy as np
import pytest
import soundfile

from data_prep import audio, headers
from data_prep.corpora.base import CorpusError, Utterance
from data_prep.corpora.files import find_sounds
from data_prep.corpus_settings import CorpusSettings
from data_prep.selection import select
from data_prep.splits import check_several, divide

ROOT = pathlib.Path(__file__).parents[2]
BESIDE = (folder / "shared" / "cases" for folder in ROOT.parents)  # of a worktree, it is one folder farther
CASES = next((folder for folder in BESIDE if folder.is_dir()), ROOT.parent / "shared" / "cases")
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no {CASES}")

# Case -> the corpus's reader, and a part of the error.
REFUSED = {
    "csv/speaker_case": ("manifest", "'Ann' (6), 'ann' (6)"),
    "csv/emo_nfd": ("manifest", r"'wu\u0308tend' (6), 'w\xfctend' (12)"),
    "csv/backslash": ("manifest", "write / between folders, not \\: so it is there"),
    "csv/commadec": ("manifest", "start '0,1' is not a number of seconds from 0: write a point, 0.1"),
    "csv/hms": ("manifest", "write seconds, 0.1"),
    "csv/empty_speaker": ("manifest", "no speaker: write who speaks"),
    "csv/dup_ids": ("manifest", "'ann', 'angry' of the same sound as"),
    "csv/one_speaker": ("manifest", "one speaker only ('x', 72 utterances)"),
    "all_paths_wrong": ("manifest", "(paths are relative to the manifest's folder)"),
    "cremad_lfs": (
        "crema_d",
        "a git-lfs pointer, not the sound: fetch it, in its repository, by: git lfs pull",
    ),
    "ravdess_partial_copy": ("ravdess", "the same utterance '03-01-01-01-01-01-01': remove it"),
}
# Case -> the corpus's reader, a part of the one warning, and how many utterances there are.
TAKEN = {
    "csv/sex_unknown": ("manifest", "taken as unknown: 'unknown' 72 times", 72),
    "csv/sex_other": ("manifest", "taken as unknown: 'other' 12 times", 72),
    "csv/nfdpath": ("manifest", "1 path(s) are spelled in another Unicode form", 73),
    "csv/chinese_speakers": ("manifest", None, 72),
    "base": ("manifest", None, 72),
    "ravdess_kaggle": ("ravdess", "is a copy of all that lies beside it: its 32 files are passed over", 32),
    "cremad_mixed_mp3": ("crema_d", "30 .mp3 below", 30),
}


def settings(case: str, corpus: str, **changes) -> CorpusSettings:
    source = CASES / case
    table = source / "m.csv"
    return CorpusSettings(corpus=corpus, source=str(table if table.exists() else source), **changes)


def taken(data: CorpusSettings, folder: pathlib.Path) -> dict[str, list[Utterance]]:
    """As `prepare` does before it computes; an error lists bad files as its own."""
    selection = select(data, records=folder)
    groups = divide(selection.utterances, group_by="speaker")
    bad = headers.check(selection.utterances)
    if (all_bad := [*selection.bad_files, *bad.values()]) and data.on_bad_file == "error":
        raise CorpusError("\n".join(f"{one.path}: {one.reason}" for one in all_bad))
    check_several(groups, group_by="speaker")
    return {name: [one for one in members if one.id not in bad] for name, members in groups.items()}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_it_is_and_what_to_do(case, tmp_path):
    corpus, message = REFUSED[case]
    with pytest.raises(CorpusError) as error:
        taken(settings(case, corpus), tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_taken_is_whole_and_what_was_changed_is_told_once(case, tmp_path, caplog):
    corpus, message, count = TAKEN[case]
    groups = taken(settings(case, corpus), tmp_path)
    assert sum(map(len, groups.values())) == count
    messages = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(messages) == (message is not None)
    assert message is None or message in messages[0]


def test_chinese_speakers_name_their_groups(tmp_path):
    groups = taken(settings("csv/chinese_speakers", "manifest"), tmp_path)
    assert set(groups) == {f"speaker_{name}" for name in ("张三", "李四", "王五", "赵六", "孙七", "周八")}


def test_of_an_actor_who_is_there_twice_one_copy_stays(tmp_path):
    groups = taken(settings("ravdess_partial_copy", "ravdess", on_bad_file="skip"), tmp_path)
    assert {name: len(members) for name, members in groups.items()} == {
        f"speaker_0{i}": 8 for i in range(1, 5)
    }
    assert not any("backup" in str(one.path) for members in groups.values() for one in members)


def test_a_copy_of_a_corpus_in_itself_that_is_not_the_same_is_no_copy(tmp_path):
    """A denoised version under the same names, say."""
    root = shutil.copytree(CASES / "ravdess_kaggle", tmp_path / "kaggle", copy_function=shutil.copyfile)
    root.chmod(0o755)
    path = next(root.glob("audio*/Actor_02/*.wav"))
    soundfile.write(path, 0.5 * soundfile.read(path)[0], soundfile.info(path).samplerate)
    data = CorpusSettings(corpus="ravdess", source=str(root))
    selection = select(data, records=tmp_path)
    assert len(selection.utterances) == 31
    assert sum("keep one of them" in bad.reason for bad in selection.bad_files) == 2


def test_mp3_files_of_a_folder_to_predict_are_told(caplog):
    paths = list(find_sounds(CASES / "predict2", []))
    others = [path for path in (CASES / "predict2").iterdir() if path.suffix == ".mp3"]
    assert paths
    assert others
    assert f"{len(others)} .mp3 below" in caplog.text


REFUSED_SOUNDS = {
    "empty.wav": "empty file (0 bytes): copy or download it again",
    "header_only.wav": "holds no sound (0 samples): copy or download it again",
    "html.wav": "a web page (HTML) or XML, not sound: the download failed",
    "len_0.wav": "though 64000 bytes follow it; the recording was interrupted",
    "len_riff_ok_data0.wav": "though 64000 bytes follow it; the recording was interrupted",
    "lfs.wav": "git lfs pull",
    "m4a_named.wav": "MP4 or M4A (AAC), which is not read: convert it",
    "nan.wav": "holds samples that are NaN or infinite",
    "one.wav": "only 0.0001 s long, shorter than 0.025 s",
    "raw.raw": "if it is sound without a header, give it one",
    "raw.wav": "if it is sound without a header, give it one",
    "short.wav": "only 0.0238 s long, shorter than 0.025 s",
    "true.m4a": "MP4 or M4A (AAC), which is not read: convert it",
    "true.webm": "WebM or Matroska, which is not read: convert it",
    "true.wma": "Windows Media (WMA), which is not read: convert it",
    "truncated.flac": "the file is damaged: copy or download it again",
    "truncated.ogg": "holds no sound (0 samples): copy or download it again",
}
# Those whose length is not the two seconds of the others; the block of counts names what is cut, or of another rate.
SAMPLES = {
    "ima.wav": 32_544,  # whole blocks
    "msadpcm.wav": 32_384,
    "lead_silence.wav": 112_000,
    "len_half.wav": 16_000,
    "truncated_half.wav": 16_000,
    "truncated.mp3": 14_447,
    "wrong_rate_header.wav": 16_000,
}
OTHER_SOUND = {"gsm.wav": 0.97}  # least correlation with the reference, of a coding that loses much
AUDIO = sorted(path.name for path in (CASES / "audio").iterdir()) if CASES.is_dir() else []
# Decoded, and refused or named for what they hold: see the tests of that.
DOUBTED = {"dc_only.wav", "float_int_scale.wav", "very_quiet.wav", "zeros.wav"}
DOUBTED |= {"stereo_antiphase.wav", "stereo_antiphase_noisy.wav"}


def sound(name: str) -> Utterance:
    return Utterance(id=name, path=CASES / "audio" / name, speaker="s", emotion="angry")


def test_the_table_is_of_all_sounds():
    assert len(AUDIO) == 80
    assert {*REFUSED_SOUNDS, *SAMPLES, *OTHER_SOUND, *DOUBTED} <= set(AUDIO)


@pytest.mark.parametrize("name", sorted({*AUDIO} - DOUBTED))
def test_every_sound_is_right_or_has_a_message_with_a_way_out(name):
    if name in REFUSED_SOUNDS:
        with pytest.raises(audio.AudioError) as error:
            audio.read(sound(name), sampling_rate=16_000)
        assert REFUSED_SOUNDS[name] in str(error.value)
        return
    audio.check(sound(name))
    assert len(audio.read(sound(name), sampling_rate=16_000)) == SAMPLES.get(name, 32_000)


SAME = "aiff_named.wav au_named.wav caf_named.wav chunks_after.wav chunks_before.wav ext24.wav flac_named.wav float.wav"
SAME += " double.wav gsm.wav id3_before.wav len_ffff.wav odd_byte.wav pcm24.wav pcm32.wav rf64.wav sphere.wav"
SAME += " stereo_same.wav streamed.flac streamed.wav true.aiff true.au true.caf true.flac w64_named.wav"


@pytest.mark.parametrize("name", SAME.split())
def test_every_coding_of_one_recording_is_that_recording(name):
    reference = audio.read(sound("ref16.wav"), sampling_rate=16_000)
    waveform = audio.read(sound(name), sampling_rate=16_000)
    if name in OTHER_SOUND:
        assert np.corrcoef(waveform, reference)[0, 1] > OTHER_SOUND[name]
    else:
        np.testing.assert_allclose(waveform, reference, atol=2e-4)
