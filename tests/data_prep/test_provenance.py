"""Provenance: whatever the records depend on changes their fingerprint, and nothing else does."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile
from small_corpus import FEATURES, RATE, configured, edit_manifest

from data_prep.compute import Computed
from data_prep.corpora.base import BadFile
from data_prep.leaks import Leaks
from data_prep.provenance import fingerprint_of, metadata_of
from data_prep.selection import select
from data_prep.soundness import Note, Soundness

SETTINGS = FEATURES


def fingerprint(data, folder, *, settings=SETTINGS):
    selection = select(data, records=folder / "records")
    return fingerprint_of(
        data=data,
        source=selection.source,
        settings=settings,
        emotions=selection.emotions,
        utterances=selection.utterances,
        bad_files=selection.bad_files,
    )


@pytest.mark.parametrize(
    "change",
    [
        "sound",
        "no sound",
        "label",
        "one less",
        "a bad row",
        "settings",
        "classes",
        "on_bad_file",
        "group_by",
        "place",
    ],
)
def test_a_change_is_noticed(corpus, tmp_path, change):
    data, settings = configured(corpus), SETTINGS
    before = fingerprint(data, tmp_path)
    if change == "sound":
        noise = 0.1 * np.random.default_rng(7).standard_normal(RATE)
        soundfile.write(corpus / "b_anger_1.wav", noise, RATE)
    elif change == "no sound":
        (corpus / "b_anger_1.wav").unlink()
    elif change == "label":
        edit_manifest(corpus, "b,anger", "b,rage")
    elif change == "one less":
        edit_manifest(corpus, "b_anger_1.wav,b,anger,one,female\n", "")
    elif change == "a bad row":
        edit_manifest(corpus, "b_boredom_2.wav,b,", "b_boredom_2.wav,,")
    elif change == "settings":
        settings = dataclasses.replace(SETTINGS, coefficients=12)
    elif change == "place":
        data = dataclasses.replace(data, source=str(corpus.rename(tmp_path / "elsewhere")))
    else:
        of = {
            "classes": {"emotions": {"anger": "angry", "sorrow": "sad"}},
            "on_bad_file": {"on_bad_file": "skip"},
        }
        data = configured(corpus, **of.get(change, {"group_by": "session"}))
    assert fingerprint(data, tmp_path, settings=settings) != before


def test_what_changes_no_record_changes_no_fingerprint(corpus, tmp_path):
    before = fingerprint(configured(corpus), tmp_path)
    edit_manifest(corpus, "b_boredom_2.wav,b,boredom,one,female\n", "")  # of no class
    assert fingerprint(configured(corpus, workers=2), tmp_path) == before


def test_the_metadata_counts_what_is_recorded_of_each_split_and_class(corpus, tmp_path):
    data = configured(corpus)
    selection = select(data, records=tmp_path / "records")
    parts = {"anger": "read", "rage": "", "sorrow": "free"}
    computed = [
        Computed(dataclasses.replace(one, part=parts[one.emotion]), 0.5, 0, 9, "", None)
        for one in selection.utterances
    ]
    splits = {
        "speaker_b": [one for one in computed if one.utterance.speaker == "b"],
        "others": [one for one in computed if "a" in one.utterance.speaker and one.utterance.part != "read"],
    }
    metadata = metadata_of(
        data=data,
        settings=SETTINGS,
        emotions=selection.emotions,
        splits=splits,
        bad_files=[BadFile("x.wav", "empty file")],
        soundness=Soundness((Note("cut", 1, "one is cut"),), Leaks(0.5, 1, ())),
        fingerprint="f00",
    )
    assert json.loads(json.dumps(metadata)).keys() == metadata.keys()
    assert metadata["counts"] == {"speaker_b": {"angry": 4, "sad": 2}, "others": {"angry": 4, "sad": 4}}
    assert metadata["groups"] == {"speaker_b": ["b"], "others": ["a 1", "a-1"]}
    assert metadata["parts"] == {"read": ["speaker_b"], "free": ["speaker_b", "others"]}
    assert metadata["bad_files"] == [{"path": "x.wav", "reason": "empty file"}]
    assert metadata["soundness"]["notes"][0]["text"] == "one is cut"
    assert (metadata["fingerprint"], metadata["synthetic"]) == ("f00", False)
