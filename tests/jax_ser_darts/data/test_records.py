"""Records in memory: what was written, in order, by group; and a plain word on whatever is not whole."""

import dataclasses
import json
import pathlib
import shutil
import time

import numpy as np
import pytest

from data_prep import builder, sums
from data_prep.compute import Computed
from data_prep.corpora.base import Utterance
from jax_ser_darts.data import records
from jax_ser_darts.data.folds import make_folds
from jax_ser_darts.data.records import Corpus, RecordsError, load_records, subset

SPEAKERS = {"speaker_b": ["b"], "session_1": ["å", "c"], "session_02": ["d", "e"], "session_10": ["f"]}
SEX = {"b": "female", "å": "male", "c": "female", "d": "male", "e": "male", "f": ""}
METADATA = {
    "content": "c0",
    "synthetic": True,
    "fingerprint": "0123",
    "features": {"kind": "logmel", "coefficients": 5},
}


def utterances() -> dict[str, list[tuple[Utterance, np.ndarray]]]:
    """Split -> utterances and their features; 3 to 9 a speaker, of 1 to 30 frames, three classes."""
    rng = np.random.default_rng(0)
    return {
        split: [
            (
                Utterance(
                    id=f"{speaker}/{i}",
                    path=pathlib.Path(f"{i}.wav"),
                    speaker=speaker,
                    emotion=("joy", "rage", "sorrow")[i % 3],
                    sex=SEX[speaker],
                ),
                rng.standard_normal((rng.integers(1, 31), 5)).astype(np.float32),
            )
            for speaker in speakers
            for i in rng.permutation(rng.integers(3, 10))
        ]
        for split, speakers in SPEAKERS.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    data_dir = tmp_path_factory.mktemp("records")
    splits, rows, first = {}, [], 0
    for split, members in utterances().items():
        splits[split] = []
        for utterance, features in members:
            splits[split].append(
                Computed(utterance, seconds=0.5, first=first, frames=len(features), sound="", facts=None)
            )
            rows.append(features)
            first += len(features)
    return builder.SpeechFeatures(
        name="corpus_0123abcd",
        version="1.0.0",
        data_dir=data_dir,
        splits=splits,
        rows=np.concatenate(rows),
        emotions={"joy": "happy", "rage": "angry", "sorrow": "sad"},
        metadata=METADATA,
    ).write(download_dir=data_dir)


@pytest.fixture(scope="module")
def corpus(folder) -> Corpus:
    return load_records(folder)


@pytest.fixture
def damaged(folder, tmp_path) -> pathlib.Path:
    """A copy to damage."""
    return shutil.copytree(folder, tmp_path / "corpus_0123abcd" / "1.0.0")


@pytest.mark.parametrize("column", ["id", "label", "speaker"])
def test_a_fingerprint_is_of_who_speaks_what_with_which_emotion(corpus, column):
    values = getattr(corpus, column).copy()
    values[[0, -1]] = values[[-1, 0]]
    assert dataclasses.replace(corpus, **{column: values}).fingerprint != corpus.fingerprint
    rest = {
        "metadata": {"content": "c0"},
        "features": corpus.features[::-1],
        "num_frames": corpus.num_frames[::-1],
    }
    assert dataclasses.replace(corpus, **rest).fingerprint == corpus.fingerprint
    other = dataclasses.replace(corpus, metadata={**METADATA, "content": "c1"}).fingerprint
    assert other.split("-")[0] == corpus.fingerprint.split("-")[0]
    assert other != corpus.fingerprint


def test_what_was_written_is_read_by_group_and_in_order(corpus):
    written = utterances()
    wanted = [(split, *one) for split in sorted(written) for one in written[split]]
    assert len(corpus) == len(wanted)
    assert corpus.classes == ("angry", "happy", "sad")
    emotions = {"joy": "happy", "rage": "angry", "sorrow": "sad"}
    for i, (split, utterance, features) in enumerate(wanted):
        np.testing.assert_array_equal(corpus.features[i], features)
        assert corpus.features[i].dtype == np.float32
        assert corpus.num_frames[i] == len(features)
        assert corpus.classes[corpus.label[i]] == emotions[utterance.emotion]
        assert corpus.id[i] == utterance.id
        assert corpus.speaker[i] == utterance.speaker
        assert corpus.sex[i] == utterance.sex
        assert corpus.group[i] == split
    assert corpus.label.dtype == corpus.num_frames.dtype == np.int32
    assert corpus.coefficients == 5


def test_more_groups_than_tfds_reads_at_once_are_read_alike(folder, corpus, monkeypatch):
    monkeypatch.setattr(records, "_AT_ONCE", 3)
    again = load_records(folder)
    np.testing.assert_array_equal(again.id, corpus.id)
    np.testing.assert_array_equal(again.group, corpus.group)


def test_it_carries_what_was_said_of_it(corpus):
    assert dict(corpus.metadata) == METADATA
    assert corpus.synthetic


def test_the_fixed_length_is_the_longest_utterance_rounded_up(corpus):
    longest = max(map(len, corpus.features))
    assert corpus.frames() == longest
    assert corpus.frames(multiple=8) % 8 == 0
    assert 0 <= corpus.frames(multiple=8) - longest < 8


def test_groups_are_what_folds_are_made_of(corpus):
    assert corpus.groups == {split: tuple(sorted(speakers)) for split, speakers in SPEAKERS.items()}
    assert corpus.group_sexes() == {
        "speaker_b": "female",
        "session_1": "",
        "session_02": "male",
        "session_10": "",
    }
    counts = corpus.group_counts()
    assert {group: sum(of.values()) for group, of in counts.items()} == {
        group: len(members) for group, members in utterances().items()
    }
    assert counts["speaker_b"] == subset(corpus, ["speaker_b"]).counts


def test_the_parts_of_a_fold_share_no_speaker_and_miss_no_utterance(corpus):
    folds = make_folds(
        corpus.groups,
        count=0,
        validation_groups=1,
        seed=0,
        balance=corpus.group_counts(),
        sexes=corpus.group_sexes(),
    )
    for fold in folds:
        parts = [subset(corpus, groups) for groups in (fold.train, fold.validation, fold.test)]
        assert sorted(np.concatenate([part.indices for part in parts])) == list(range(len(corpus)))
        heard = [set(corpus.speaker[part.indices]) for part in parts]
        assert sum(map(len, heard)) == len(set.union(*heard))


def test_a_subset_says_what_is_in_it(corpus):
    part = subset(corpus, ["session_02", "speaker_b"])
    assert set(corpus.group[part.indices]) == {"session_02", "speaker_b"}
    assert len(part) == len(part.indices) == sum(part.counts.values())
    assert (np.diff(part.indices) > 0).all()
    for label, name in enumerate(corpus.classes):
        assert part.counts[name] == (part.labels == label).sum()


def test_groups_that_are_not_there_are_named(corpus):
    with pytest.raises(RecordsError, match="no group nobody; it has session_02"):
        subset(corpus, ["speaker_b", "nobody"])
    with pytest.raises(RecordsError, match="no group is named"):
        subset(corpus, [])


def test_no_folder_is_told(tmp_path):
    with pytest.raises(RecordsError, match=r"there is no folder .*nowhere: .*--mode=prepare"):
        load_records(tmp_path / "nowhere")


def test_a_folder_without_records_is_told(tmp_path):
    with pytest.raises(RecordsError, match=r"no dataset_info.json.*--mode=prepare"):
        load_records(tmp_path)


def test_the_folder_above_leads_to_the_right_one(folder):
    with pytest.raises(RecordsError, match=f"below it is: {folder}"):
        load_records(folder.parent.parent)


def test_half_written_records_are_told(damaged):
    (damaged / "dataset_info.json").unlink()  # TFDS writes it last
    with pytest.raises(RecordsError, match=r"half-written.*--mode=prepare"):
        load_records(damaged)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "metadata.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_garbled_description_is_told(damaged, name, content):
    (damaged / name).write_text(content)
    sums.write(damaged, "")  # not by damage, but by another program
    with pytest.raises(RecordsError, match="--mode=prepare"):
        load_records(damaged)


def test_a_lost_file_is_named(damaged):
    lost = next(damaged.glob("*session_1.tfrecord*"))
    lost.unlink()
    with pytest.raises(RecordsError, match=f"{lost.name}.*--mode=prepare"):
        load_records(damaged)


@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_a_file_cut_short_is_named(damaged, share):
    file = next(damaged.glob("*session_1.tfrecord*"))
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(
        RecordsError, match=rf"damaged.*: {file.name} is not .*remove this folder.*--mode=prepare"
    ):
        load_records(damaged)


@pytest.mark.parametrize("name", ["*session_1.tfrecord*", "metadata.json", "features.json", "SHA256SUMS"])
def test_a_flipped_bit_is_named(damaged, name):
    file = next(damaged.glob(name))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecordsError, match=r"damaged.*remove this folder"):
        load_records(damaged)


def test_an_edited_description_is_refused(damaged):
    """Speech of a machine would be that of people in every table."""
    path = damaged / "metadata.json"
    path.write_text(path.read_text().replace('"synthetic": true', '"synthetic": false'))
    with pytest.raises(RecordsError, match=r"metadata.json is not the file that was written"):
        load_records(damaged)


def test_records_without_checksums_are_refused(damaged):
    (damaged / sums.FILE_NAME).unlink()
    with pytest.raises(RecordsError, match=r"or older: .*SHA256SUMS is missing.*remove this folder"):
        load_records(damaged)


def test_records_that_do_not_know_their_sound_are_refused(damaged):
    path = damaged / "metadata.json"
    path.write_text(path.read_text().replace('"content"', '"contents"'))
    sums.write(damaged, "")
    with pytest.raises(RecordsError, match=r"not what they say of themselves.*remove this folder"):
        load_records(damaged)


def edit_splits(folder: pathlib.Path, edit) -> None:
    file = folder / "dataset_info.json"
    info = json.loads(file.read_text())
    info["splits"] = edit(info["splits"])
    file.write_text(json.dumps(info))
    sums.write(folder, "")


def test_an_empty_split_is_named(damaged):
    edit_splits(damaged, lambda splits: [s | {"shardLengths": ["0"]} for s in splits[:1]] + splits[1:])
    with pytest.raises(RecordsError, match=r"no utterance of speaker_b: .*--mode=prepare"):
        load_records(damaged)


def test_no_split_is_told(damaged):
    edit_splits(damaged, lambda splits: [])
    with pytest.raises(RecordsError, match=r"no split: .*--mode=prepare"):
        load_records(damaged)


def test_records_of_another_kind_are_told(damaged):
    file = damaged / "features.json"
    schema = json.loads(file.read_text())
    del schema["featuresDict"]["features"]["speaker"]
    file.write_text(json.dumps(schema))
    sums.write(damaged, "")
    with pytest.raises(RecordsError, match=r"have no speaker: .*--mode=prepare"):
        load_records(damaged)


def test_groups_are_counted_in_one_pass_over_as_many_utterances_as_msp_podcast_has():
    """264,000 of 3,000 speakers: a pass for each speaker took 7 s, all three together take 0.3 s."""
    rng = np.random.default_rng(0)
    names, who = np.array([f"speaker_{i:04d}" for i in range(3_000)]), rng.integers(3_000, size=264_000)
    corpus = Corpus(
        classes=("a", "b"),
        groups={name: (name,) for name in names.tolist()},
        features=(np.zeros((1, 5), np.float32),) * len(who),
        num_frames=np.ones(len(who), np.int32),
        label=rng.integers(2, size=len(who)).astype(np.int32),
        id=np.array([f"utterance_{i}" for i in range(len(who))], object),
        speaker=names[who].astype(object),
        group=names[who],
        sex=np.array(["female", "male"])[who % 2],
        metadata={},
    )
    began = time.process_time()
    sexes, counts = corpus.group_sexes(), corpus.group_counts()
    half = subset(corpus, names[::2].tolist())
    assert time.process_time() - began < 3
    assert list(sexes.values()) == ["female", "male"] * 1_500
    assert sum(sum(of.values()) for of in counts.values()) == len(who)
    np.testing.assert_array_equal(half.indices, np.flatnonzero(who % 2 == 0))


def test_a_name_takes_what_it_is_long_and_not_what_the_longest_is(corpus):
    assert corpus.id.nbytes == corpus.speaker.nbytes == 8 * len(corpus), "references, in whatever length"
