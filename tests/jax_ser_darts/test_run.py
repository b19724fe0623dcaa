"""The whole job on a tiny corpus: sound -> records -> both orders -> networks -> scores; stopped and gone on with."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from tiny import tiny_config

from jax_ser_darts import main, search
from jax_ser_darts.checkpoints import Checkpoints
from jax_ser_darts.config import ConfigError
from jax_ser_darts.folds import FoldError
from jax_ser_darts.metrics import MetricsWriter, read
from jax_ser_darts.search_space import genotype as genotypes
from jax_ser_darts.search_space.genotype import Edge, Genotype

# TensorFlow's protobuf code and TFDS, when first imported.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The workdir of a run of mode `all`."""
    workdir = tmp_path_factory.mktemp("run")
    main.run(tiny_config(), workdir, "all")
    return workdir


def tree_of(workdir):
    return {str(p.relative_to(workdir)) for p in workdir.rglob("*") if p.is_file()}


class TestSearch:
    def test_each_order_and_fold_leaves_a_valid_genotype(self, finished):
        for order in ("first", "second"):
            for fold in (0, 1):
                folder = finished / "search" / order / f"fold_{fold}"
                assert len(genotypes.load(folder / "genotype.json").normal) == 1

    def test_every_epoch_is_in_the_metrics_once(self, finished):
        lines = read(finished / "search" / "second" / "fold_0" / "metrics.jsonl")
        assert [line["epoch"] for line in lines] == [0, 1]
        for line in lines:
            assert np.isfinite([line["train"]["loss"], line["val"]["loss"], line["val"]["term"]]).all()
            assert line["val"]["term"] > 0
            assert 0 < line["entropy"]["normal"] <= np.log(4)
            assert 0 <= line["skip_share"]["reduction"] <= 1
            assert np.asarray(line["alphas"]["normal"]).shape == (2, 4)
            genotypes.from_json(line["genotype"])

    def test_the_first_order_has_no_term(self, finished):
        assert all(line["val"]["term"] == 0 for line in read(finished / "search/first/fold_0/metrics.jsonl"))

    def test_tensorboard_has_its_files(self, finished):
        assert list((finished / "search" / "first" / "fold_0").glob("events.out.tfevents.*"))

    def test_no_test_speaker_is_in_the_search(self, finished):
        for path in finished.glob("search/*/*/search.json"):
            fold = json.loads(path.read_text())["fold"]
            assert not {*fold["test"]} & {*fold["train"], *fold["validation"]}


class TestScores:
    def test_every_test_utterance_counts_once(self, finished):
        scores = json.loads((finished / "scores.json").read_text())["rows"]
        assert set(scores) == {"first", "second"}
        for row in scores.values():
            assert np.sum(row["pooled"]["confusion"]) == 4 * 32, "two folds of two speakers with 32 each"
        for method in ("first", "second"):
            ids = [
                name
                for path in sorted(finished.glob(f"train/{method}/*/*/answers.json"))
                for name in json.loads(path.read_text())["ids"]
            ]
            assert len(ids) == len(set(ids)) == 4 * 32

    def test_the_answers_are_of_the_test_speakers_alone(self, finished):
        for path in finished.glob("train/*/*/*/answers.json"):
            fold = json.loads((path.parent / "network.json").read_text())["fold"]
            speakers = set(json.loads(path.read_text())["speakers"])
            assert {f"speaker_{name}" for name in speakers} == set(fold["test"])

    def test_the_text_says_that_the_speech_is_synthetic(self, finished):
        assert "SYNTHETIC" in (finished / "scores.txt").read_text()


class Stopped(Exception):
    """Stands for a kill."""


class TestGoingOn:
    def test_a_second_run_changes_nothing_but_the_scores(self, finished, monkeypatch):
        def never(*_):
            raise AssertionError("a finished run was made again")

        before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
        monkeypatch.setattr(MetricsWriter, "__init__", never)
        main.run(tiny_config(), finished, "all")
        changed = {
            p.name for p in finished.rglob("*") if p.is_file() and before.get(p) != p.stat().st_mtime_ns
        }
        assert changed <= {"scores.json", "scores.txt", "config.json", "genotype.json", ".lock"}

    @pytest.mark.parametrize("kind", ["search", "train"])
    def test_a_stopped_run_ends_as_one_that_was_not(self, finished, tmp_path, monkeypatch, kind):
        """Stopped after an epoch, once before and once after its checkpoint; the same numbers bit by bit."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.orders = ("second",)
        if kind == "train":
            config.train.genotype = str(finished / "search/second/fold_0/genotype.json")
        mode = "all" if kind == "train" else "search"

        def stopping(original):
            def method(self, *arguments):
                original(self, *arguments)
                raise Stopped

            return method

        for owner, name in ((MetricsWriter, "write"), (Checkpoints, "save")):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, stopping(getattr(owner, name)))
                with pytest.raises(Stopped):
                    main.run(config, tmp_path, mode)
        main.run(config, tmp_path, mode)
        ours, theirs = (
            {"search": "search/second/fold_0", "train": f"train/{method}/fold_0/seed_0"}[kind]
            for method in ("genotype", "second")
        )
        mine, whole = (
            read(root / where / "metrics.jsonl") for root, where in ((tmp_path, ours), (finished, theirs))
        )
        for line in (*mine, *whole):
            del line["seconds"]
            line.pop("outside", None)  # seconds too; a search has them
        assert mine == whole
        result = "genotype.json" if kind == "search" else "answers.json"
        assert (tmp_path / ours / result).read_text() == (finished / theirs / result).read_text()

    def test_nothing_is_compiled_after_the_first_step(self, finished, tmp_path, caplog):
        """A search of more epochs compiles what a short one does."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.epochs = 3
        config.search.orders = ("second",)
        counts = []
        original = search.Progress.update

        def update(self, *arguments, **figures):
            counts.append(sum("Compiling" in r.getMessage() for r in caplog.records))
            return original(self, *arguments, **figures)

        with jax.log_compiles(True), pytest.MonkeyPatch.context() as patch, caplog.at_level("WARNING"):
            patch.setattr(search.Progress, "update", update)
            main.run(config, tmp_path, "search")
        assert counts[0] > 0
        assert counts[-1] == counts[1], "step 2 may still compile for donated memory's layout, none after it"


class TestClearErrors:
    """Each is one message before any compilation."""

    def test_a_workdir_of_another_config(self, finished):
        config = tiny_config()
        config.train.channels = 4
        with pytest.raises(ConfigError, match=r"config\.train\.channels: 2 there, 4 now"):
            main.run(config, finished, "all")

    @pytest.mark.parametrize(
        ("mode", "message"), [("train", "run --mode=search"), ("evaluate", "--mode=search")]
    )
    def test_a_mode_without_the_one_before(self, finished, tmp_path, mode, message):
        config = tiny_config()
        config.data.records = str(finished / "records")
        with pytest.raises(ConfigError, match=message):
            main.run(config, tmp_path, mode)

    def test_another_genotype_in_the_place_of_one_that_was_trained(self, finished, tmp_path):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        for operation in ("skip_connect", "avg_pool_3x3"):
            cell = ((Edge(operation, 0), Edge(operation, 1)),)
            Genotype(normal=cell, reduction=cell).save(tmp_path / f"{operation}.json")
        config.train.genotype = str(tmp_path / "skip_connect.json")
        main.run(config, tmp_path / "run", "train")
        config.train.genotype = str(tmp_path / "avg_pool_3x3.json")
        with pytest.raises(ConfigError, match="another genotype"):
            main.run(config, tmp_path / "run", "train")

    def test_two_processes_in_one_workdir(self, finished):
        config = tiny_config()
        with main.only_run(finished), pytest.raises(ConfigError, match="another process"):
            main.run(config, finished, "evaluate")

    def test_a_mistake_does_not_claim_the_workdir(self, finished, tmp_path):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.count = 99
        with pytest.raises(FoldError):
            main.run(config, tmp_path, "search")
        assert not (tmp_path / "config.json").exists()

    def test_evaluation_before_training(self, finished, tmp_path):
        shutil.copytree(finished / "search", tmp_path / "search")
        config = tiny_config()
        config.data.records = str(finished / "records")
        with pytest.raises(ConfigError, match="run --mode=train first"):
            main.run(config, tmp_path, "evaluate")


def test_the_fold_of_a_genotype_file_is_trained_without_a_search(finished, tmp_path):
    config = tiny_config()
    config.data.records = str(finished / "records")
    config.folds.run = (1,)
    config.train.genotype = str(finished / "search/first/fold_1/genotype.json")
    main.run(config, tmp_path, "all")
    assert set(json.loads((tmp_path / "scores.json").read_text())["rows"]) == {"genotype"}
    assert not (tmp_path / "search").exists()
    assert pathlib.Path(tmp_path / "train/genotype/fold_1/seed_0/network.json").exists()
