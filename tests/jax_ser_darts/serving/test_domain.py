"""A bundle on another corpus: whose classes are whose, and the recall over those that both have."""

import json

import numpy as np
import pytest
import soundfile
from small_bundles import CLASSES, make_bundle, speech
from tiny import tiny_settings

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.scoring.predictions import Predictions
from jax_ser_darts.scoring.scores import score
from jax_ser_darts.serving import domain
from jax_ser_darts.serving.bundle import write_bundle
from jax_ser_darts.serving.domain import map_labels, recall_of
from jax_ser_darts.serving.predictor import Predictor


def test_classes_are_those_of_the_same_name_or_as_given_and_others_are_left_out():
    labels = map_labels(["joy", "sad", "fear"], {"joy": "happy"}, classes=("happy", "sad"))
    assert labels == {"joy": "happy", "sad": "sad"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name counterparts"),
        ({"glee": "happy"}, "no class 'glee'"),
        ({"joy": "elated"}, "'elated' is no class of the bundle"),
    ],
)
def test_labels_that_do_not_fit_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        map_labels(["joy"], given, classes=("happy", "sad"))


def test_recall_over_some_classes_is_unknown_where_one_was_not_tested():
    own = score(
        Predictions(
            ids="abcd",
            labels=[0, 0, 1, 1],
            predictions=[0, 1, 1, 1],
            speakers="aabb",
            classes=["x", "y", "z"],
        )
    )
    assert recall_of(own, ["x", "y"]) == 0.75
    assert recall_of(own, ["x"]) == 0.5
    assert recall_of(own, ["x", "z"]) is None


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """Utterances shorter and longer than the bundle's window of 1 s, one with a pause of it, one too soft; evaluated.

    Gives the folder of the sounds, their labels, and what `check` made: its result, its report, its predictions.
    """
    folder = tmp_path_factory.mktemp("domain")
    pause = np.concatenate([speech(1.5, seed=7), np.zeros(40_000), speech(1.5, seed=8)])
    sounds = {f"s{k}": speech(0.3 + 0.4 * k, seed=k) for k in range(9)} | {
        "pause": pause,
        "soft": 5e-4 * pause[8_000:],
    }
    rows = ["path,speaker,emotion"]
    for k, (name, samples) in enumerate(sounds.items()):
        soundfile.write(folder / f"{name}.wav", samples, 16_000)
        rows.append(f"{name}.wav,{'ann' if k % 2 else 'bob'},{CLASSES[k % 3]}")
    (folder / "m.csv").write_text("\n".join(rows))
    write_bundle(folder / "b", make_bundle(), card="", versions={})
    predictions = []
    original = Predictor.predict

    def noted(self, *arguments):
        predictions.append(original(self, *arguments))
        return predictions[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Predictor, "predict", noted)
        data = {"data.corpus": "manifest", "data.source": str(folder / "m.csv"), "data.emotions": {}}
        text = domain.check(tiny_settings(data), folder / "b", folder / "work")
    return folder, list(sounds), json.loads((folder / "work" / "domain.json").read_text()), text, predictions


def test_a_corpus_is_heard_as_predict_hears_its_files(heard):
    """The same class and probabilities, shorter and longer than a window, with a silent window among them."""
    folder, names, result, _, predictions = heard
    predictor = Predictor(make_bundle())
    expected = {name: predictor.predict_file(folder / f"{name}.wav") for name in names}
    ours = {prediction.whole.end: prediction for prediction in predictions if prediction.emotion}
    for name in set(names) - {"soft"}:
        prediction = ours[expected[name].whole.end]
        assert prediction.emotion == expected[name].emotion
        assert prediction.probabilities == pytest.approx(expected[name].probabilities, abs=1e-6)
    assert sum(map(sum, result["scores"]["confusion"])) == len(names)


def test_what_is_heard_otherwise_than_at_home_is_counted(heard):
    _, _, result, text, _ = heard
    assert result["several_windows"] == 9, "all but s0 and s1"
    assert result["silent"] == 1
    assert "9 utterance(s) are longer than a window" in text
    assert "1 utterance(s) are silence to `predict`" in text
