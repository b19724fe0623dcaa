"""From a finished workdir to a bundle, and to another corpus: what is shipped is what was trained and scored."""

import json
import re

import numpy as np
import pytest
import soundfile
from tiny import tiny_settings

from jax_ser_darts import main
from jax_ser_darts.data.records import load_records
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import set_up
from jax_ser_darts.grid.worker import network_designs
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.serving import artifact, export
from jax_ser_darts.serving.bundle import read_bundle
from jax_ser_darts.serving.predictor import Predictor
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.training.train import check_design

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]
CELL = ((Edge("dil_conv_3x3", 0), Edge("skip_connect", 1)),)
EXPORTED = {"bundle.method": "genotype", "bundle.fold": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(settings, workdir): two methods on two folds, trained and scored; no search."""
    workdir = tmp_path_factory.mktemp("export")
    genotype = tmp_path_factory.mktemp("genotype") / "genotype.json"
    Genotype(normal=CELL, reduction=CELL).save(genotype)
    settings = tiny_settings(
        {
            "train.genotype": str(genotype),
            "baselines.networks": ("cnn",),
            "baselines.sizes": ("paper",),
        }
    )
    main.run(settings, workdir, "all")
    return settings, workdir


@pytest.fixture(scope="module")
def bundle(finished):
    settings, workdir = finished
    main.run(replaced(settings, EXPORTED), workdir, "export")
    return read_bundle(workdir / "bundle")


def network_json(workdir, method, fold):
    return json.loads((workdir / f"train/{method}/fold_{fold}/seed_0/network.json").read_text())


class TestExport:
    def test_it_predicts_what_the_network_was_scored_by(self, finished, bundle):
        """From the sound file, by another way than the records': the same emotion for every test utterance."""
        _, workdir = finished
        scored = json.loads((workdir / "train/genotype/fold_1/seed_0/predictions.json").read_text())
        predictor, same = Predictor(bundle), 0
        for name, expected in zip(scored["ids"], scored["predictions"], strict=True):
            waveform, rate = soundfile.read(workdir / "demo_corpus" / "wav" / f"{name}.wav")
            prediction = predictor.predict(waveform[: round(bundle.settings.seconds * rate)], rate)
            same += prediction.emotion == bundle.classes[expected]
        assert same >= len(scored["ids"]) - 1, "a tie may fall either way"

    def test_the_auxiliary_classifier_stays_at_home(self, bundle):
        assert "auxiliary" not in bundle.variables["params"]

    def test_the_artifact_is_in_it(self, bundle):
        assert artifact.load(bundle).platforms == artifact.PLATFORMS

    def test_it_knows_where_it_comes_from(self, finished, bundle):
        _, workdir = finished
        network, known = network_json(workdir, "genotype", 1), bundle.provenance
        assert known["training"]["epoch"] == network["epoch"]
        assert {f"speaker_{name}" for name in known["training"]["speakers"]["test"]} == set(
            network["fold"]["test"]
        )
        assert known["config"]["train"]["channels"] == 2
        assert known["corpus"]["synthetic"] is True
        assert sum(known["corpus"]["counts"].values()) == known["corpus"]["utterances"] == 256
        assert np.sum(known["scores"]["exported"]["confusion"]) == 64
        assert np.sum(known["scores"]["method"]["confusion"]) == 128
        assert sum(np.sum(scores["confusion"]) for scores in known["scores"]["sexes"].values()) == 128
        assert known["versions"]["jax"]

    def test_the_card_warns_and_has_every_score(self, finished, bundle):
        _, workdir = finished
        card = (workdir / "bundle" / "README.md").read_text()
        assert "SYNTHETIC" in card
        assert "not from what a person **feels**" in card
        for name in ("angry", "happy", "neutral", "sad", "female speakers", "male speakers"):
            assert re.search(rf"^\| {name}\S*.*\[\d\.\d+, \d\.\d+\]", card, re.MULTILINE), name
        own = bundle.provenance["scores"]["exported"]["ua"]
        assert f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]" in card
        assert "eSpeak" in card
        assert "What was cut, left out or looks wrong" in card
        assert " tell the class" in card or "can be told without listening" in card
        assert "{{" not in card
        assert "{%" not in card

    def test_the_second_export_gives_the_same_bundle(self, finished, bundle):
        settings, workdir = finished
        main.run(replaced(settings, EXPORTED), workdir, "export", str(workdir / "again"))
        assert read_bundle(workdir / "again").digest == bundle.digest


class TestChoice:
    def choose(self, finished, monkeypatch, validation, **wanted):
        """The choice where (method, fold) had these UAs on validation speakers."""
        settings, workdir = finished
        settings = replaced(settings, {f"bundle.{name}": value for name, value in wanted.items()})
        experiment = set_up(settings, workdir, load_records(next((workdir / "records").glob("*/*/"))))

        def check(folder, design):
            method, fold = folder.parts[-3], int(folder.parts[-2].removeprefix("fold_"))
            return {**check_design(folder, design), "validation_ua": validation.get((method, fold))}

        monkeypatch.setattr(export, "check_design", check)
        chosen = export.choose(experiment, network_designs(experiment))
        return chosen.method, chosen.fold.index

    UA = {  # noqa: RUF012
        ("genotype", 0): 0.9,
        ("genotype", 1): 0.3,
        ("cnn_paper", 0): 0.6,
        ("cnn_paper", 1): 0.7,
    }

    def test_the_method_by_its_mean_and_the_fold_by_its_own(self, finished, monkeypatch):
        assert self.choose(finished, monkeypatch, self.UA) == ("cnn_paper", 1)

    def test_the_flags_choose(self, finished, monkeypatch):
        assert self.choose(finished, monkeypatch, self.UA, method="genotype") == ("genotype", 0)
        assert self.choose(finished, monkeypatch, self.UA, fold=0) == ("genotype", 0)
        assert self.choose(finished, monkeypatch, self.UA, fold=1, method="genotype") == ("genotype", 1)

    def test_without_validation_speakers_it_is_the_first(self, finished, monkeypatch):
        assert self.choose(finished, monkeypatch, {}) == ("genotype", 0)

    @pytest.mark.parametrize("wanted", [{"method": "lstm"}, {"fold": 7}, {"seed": 3}])
    def test_what_is_not_trained_is_an_error_that_lists_what_is(self, finished, monkeypatch, wanted):
        with pytest.raises(ConfigError, match=r"no trained network of .*train/genotype/fold_0/seed_0"):
            self.choose(finished, monkeypatch, self.UA, **wanted)


class TestAnotherCorpus:
    @pytest.fixture
    def other(self, finished, tmp_path):
        """Half of the demo corpus under other names: a corpus that calls happiness joy, and knows boredom."""
        _, workdir = finished
        lines = (workdir / "demo_corpus" / "manifest.csv").read_text().splitlines()
        rows = [
            line.replace("wav/", f"{workdir}/demo_corpus/wav/")
            for line in lines[1:]
            if "_f1_" in line or "_m1_" in line
        ]
        rows = [row.replace(",happy,", ",joy,").replace(",neutral,", ",bored,") for row in rows]
        (tmp_path / "other.csv").write_text("\n".join([lines[0], *rows]))
        return tiny_settings(
            {
                "data.corpus": "manifest",
                "data.source": str(tmp_path / "other.csv"),
                "bundle.labels": (("joy", "happy"),),
            }
        )

    def test_the_drop_is_told_over_the_classes_that_both_have(
        self, finished, bundle, other, tmp_path, capsys
    ):
        _, workdir = finished
        main.run(other, tmp_path / "check", "evaluate", str(workdir / "bundle"))
        result = json.loads((tmp_path / "check" / "domain.json").read_text())
        assert result["labels"] == {"angry": "angry", "joy": "happy", "sad": "sad"}
        assert result["left_out"] == {"bored": 16}
        confusion = np.array(result["scores"]["confusion"])
        assert confusion.sum() == 48
        here = np.mean([confusion[i, i] / confusion[i].sum() for i in (0, 1, 3)])
        home = np.array(bundle.provenance["scores"]["exported"]["confusion"])
        at_home = np.mean([home[i, i] / home[i].sum() for i in (0, 1, 3)])
        assert result["drop"] == pytest.approx(at_home - here)
        assert f"a drop of {at_home - here:.3f}" in capsys.readouterr().out
        assert not (tmp_path / "check" / "config.json").exists(), "the workdir is nobody's yet"


def test_a_bundle_is_not_for_other_modes(tmp_path):
    with pytest.raises(ConfigError, match="--bundle is for"):
        main.run(tiny_settings(), tmp_path, "train", "b")
