"""The whole job on a tiny corpus: sound -> records -> both orders -> networks -> predictions -> report."""

import csv
import json
import shutil

import jax
import numpy as np
import pytest
from tiny import tiny_config

from data_prep import functionals, sums
from data_prep.corpora.base import CorpusError
from jax_ser_darts import main
from jax_ser_darts.archive import store
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid.jobs import all_jobs
from jax_ser_darts.grid.worker import Worker
from jax_ser_darts.report import html
from jax_ser_darts.rundir.metrics import read
from jax_ser_darts.search_space import genotype as genotypes

# TensorFlow's protobuf code and TFDS, when first imported.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


class TestSearch:
    def test_each_order_and_fold_leaves_a_valid_genotype(self, finished):
        for order in ("first", "second"):
            for fold in (0, 1):
                folder = finished / "search" / order / "seed_0" / f"fold_{fold}"
                assert len(genotypes.load(folder / "genotype.json").normal) == 1

    def test_every_epoch_is_in_the_metrics_once(self, finished):
        lines = read(finished / "search" / "second" / "seed_0" / "fold_0" / "metrics.jsonl")
        assert [line["epoch"] for line in lines] == [0, 1]
        for line in lines:
            assert np.isfinite([line["train"]["loss"], line["val"]["loss"], line["val"]["correction"]]).all()
            assert line["val"]["correction"] > 0
            assert 0 < abs(line["agreement"]["cosine"]) <= 1 + 1e-6
            assert 0 < line["entropy"]["normal"] <= np.log(4)
            assert 0 <= line["skip_share"]["reduction"] <= 1
            assert np.asarray(line["alphas"]["normal"]).shape == (2, 4)
            genotypes.from_json(line["genotype"])

    def test_the_first_order_has_no_term(self, finished):
        assert all(
            line["val"]["correction"] == 0 and "agreement" not in line
            for line in read(finished / "search/first/seed_0/fold_0/metrics.jsonl")
        )

    def test_tensorboard_has_its_files(self, finished):
        assert list((finished / "search" / "first" / "seed_0" / "fold_0").glob("events.out.tfevents.*"))

    def test_no_test_speaker_is_in_the_search(self, finished):
        for path in finished.glob("search/*/*/*/search.json"):
            fold = json.loads(path.read_text())["fold"]
            assert not {*fold["test"]} & {*fold["train"], *fold["validation"]}


def summary_of(workdir):
    return json.loads((workdir / "report" / "summary.json").read_text())


class TestScores:
    def test_every_test_utterance_counts_once(self, finished):
        summary = summary_of(finished)
        assert set(summary["methods"]) == {"first", "second"}
        assert summary["utterances"] == 4 * 32, "two folds of two speakers with 32 each"
        for method in summary["methods"].values():
            assert np.sum(method["confusion"]) == 4 * 32
        for method in ("first", "second"):
            ids = [
                name
                for path in sorted(finished.glob(f"train/{method}/search_0/*/*/predictions.json"))
                for name in json.loads(path.read_text())["ids"]
            ]
            assert len(ids) == len(set(ids)) == 4 * 32

    def test_the_predictions_are_of_the_test_speakers_alone(self, finished):
        for path in finished.glob("train/*/*/*/*/predictions.json"):
            fold = json.loads((path.parent / "network.json").read_text())["fold"]
            speakers = set(json.loads(path.read_text())["speakers"])
            assert {f"speaker_{name}" for name in speakers} == set(fold["test"])

    def test_every_job_has_a_record(self, finished):
        for job in all_jobs(tiny_config(), [0, 1]):
            record = job.done(finished)
            assert record["run_with"]["versions"]["jax"] == jax.__version__
            assert record["wall"] >= record["seconds"] > 0

    def test_the_table_is_printed_and_written(self, finished):
        text = (finished / "report" / "table.txt").read_text()
        assert "SYNTHETIC" in text
        assert "Confusion of second" in text
        assert "first  " in text.splitlines()[2] + text.splitlines()[3]

    def test_without_random_architectures_the_text_has_how_to_add_some(self, finished):
        assert "--config.baselines.random=3 trains three" in (finished / "report/table.txt").read_text()


def comparing():
    """The tiny config with everything to compare with, on one fold."""
    config = tiny_config()
    config.folds.run = (0,)
    config.baselines.random = 2
    config.baselines.networks = ("cnn", "lstm")
    config.baselines.sizes = ("matched",)
    config.baselines.svm = True
    return config


def true_class(utterances, *, workers):
    """In the place of openSMILE's functionals."""
    emotions = sorted({utterance.emotion for utterance in utterances})
    return np.array([[float(emotions.index(utterance.emotion)), 1.0] for utterance in utterances], np.float32)


@pytest.fixture
def openness(monkeypatch):
    """No openSMILE: functionals that give the class away."""
    monkeypatch.setattr(functionals, "compute", true_class)
    monkeypatch.setattr(functionals, "check_installed", lambda: None)


@pytest.fixture(scope="module")
def compared(finished, tmp_path_factory):
    """The finished workdir, gone on with by `comparing`; the SVM's functionals give the class away."""
    workdir = tmp_path_factory.mktemp("compared") / "run"
    shutil.copytree(finished, workdir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functionals, "compute", true_class)
        patch.setattr(functionals, "check_installed", lambda: None)
        main.run(comparing(), workdir, "all")
    return workdir


@pytest.mark.slow
class TestMethods:
    """What is compared with the found networks, added to a finished workdir."""

    def test_one_table_has_them_all(self, compared):
        methods = summary_of(compared)["methods"]
        assert list(methods) == ["first", "second", "random", "cnn_matched", "lstm_matched", "svm"]
        for name, method in methods.items():
            assert np.sum(method["confusion"]) == 2 * 32 * (2 if name == "random" else 1)
            assert method["train_seconds"] > 0
        assert methods["svm"]["ua"]["value"] == 1, "it was given the class"
        text = (compared / "report" / "table.txt").read_text().splitlines()
        assert len({len(line) for line in text[: 2 + len(methods)]}) == 1, "one aligned table"

    def test_the_random_architectures_have_a_row_each_and_their_mean(self, compared):
        methods = summary_of(compared)["methods"]
        draws = [seed["ua"]["value"] for seed in methods["random"]["seeds"]]
        assert len(draws) == 2
        assert methods["random"]["ua"]["value"] == pytest.approx(np.mean(draws))
        assert methods["random"]["over_seeds"]["ua"] == {
            "mean": pytest.approx(np.mean(draws)),
            "std": pytest.approx(np.std(draws, ddof=1)),
        }
        text = (compared / "report" / "table.txt").read_text()
        assert f"{np.mean(draws):.3f} ({np.std(draws, ddof=1):.3f})" in text
        first = methods["first"]["ua"]["value"]
        assert methods["first"]["ri"]["value"] == pytest.approx(100 * (first / np.mean(draws) - 1))
        assert "baselines.random" not in text

    def test_every_pair_is_tested(self, compared):
        summary = summary_of(compared)
        ua = {name: method["ua"]["value"] for name, method in summary["methods"].items()}
        assert len(summary["tests"]) == 6 * 5 / 2
        for test in summary["tests"]:
            assert test["value"] == pytest.approx(ua[test["a"]] - ua[test["b"]])
            assert summary["test"]["smallest_p"] <= test["p"] <= test["p_holm"] <= 1

    def test_each_network_has_a_row_with_its_cost(self, compared):
        with (compared / "report" / "results.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["method"] for row in rows] == [
            "first", "second", "random", "random", "cnn_matched", "lstm_matched", "svm"
        ]  # fmt: skip
        for row in rows[:-1]:
            assert int(row["parameters"]) > 0
            assert int(row["flops"]) > 0
            assert float(row["train_memory"]) > 1e6
        for row in rows:
            assert (row["search_seconds"] != "") == (row["method"] in ("first", "second"))

    def test_the_orders_gradients_are_compared(self, compared):
        agreement = summary_of(compared)["agreement"]
        lines = read(compared / "search/second/seed_0/fold_0/metrics.jsonl")
        assert set(agreement) == {"second"}, "the first order has no term"
        assert agreement["second"]["cosine"] == [line["agreement"]["cosine"] for line in lines]
        assert agreement["second"]["term_share"] == [
            line["val"]["correction"] / line["val"]["direct"] for line in lines
        ]

    def test_there_is_a_page(self, compared):
        page = (compared / "report" / "report.html").read_text()
        assert "SYNTHETIC" in page
        assert "cosine of the two orders" in (compared / "report/figures/agreement.svg").read_text()
        assert "first_seed_0_fold_0" in page

    def test_what_was_found_before_was_left_alone(self, finished, compared):
        for path in finished.glob("train/*/*/fold_0/seed_0/*"):
            if path.is_file():
                there = compared / path.relative_to(finished)
                assert there.stat().st_mtime_ns == path.stat().st_mtime_ns

    def test_every_network_knows_what_it_is(self, compared):
        def read_json(method):
            return json.loads((compared / f"train/{method}/fold_0/seed_0/network.json").read_text())

        draw = read_json("random_1")
        assert draw["random_seed"] == [0, 1, 0]
        genotypes.from_json(draw["genotype"])
        lstm = read_json("lstm_matched")
        assert lstm["baseline"]["name"] == "lstm"
        assert lstm["matched_parameters"] == round(
            np.mean([read_json(f"{order}/search_0")["parameters"] for order in ("first", "second")])
        )
        assert lstm["fold"] == draw["fold"] == read_json("first/search_0")["fold"]

    @pytest.mark.parametrize("mode", ["evaluate", "all", "compare"])
    def test_the_same_networks_have_the_same_report_whatever_the_mode(
        self, compared, monkeypatch, capsys, mode
    ):
        def never(*_):
            raise AssertionError("a job that is done was done again")

        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(functionals, "compute", None)
        monkeypatch.setattr(Worker, "__call__", never)
        monkeypatch.setattr(html, "write", lambda *_, **__: None)  # the page takes seconds to draw
        before = {name: (compared / "report" / name).read_text() for name in ("table.txt", "results.csv")}
        summary = summary_of(compared)
        main.run(comparing(), compared, mode)
        for name, text in before.items():
            assert (compared / "report" / name).read_text() == text
        assert {**summary_of(compared), "environment": summary["environment"]} == summary
        assert before["table.txt"].strip() in capsys.readouterr().out

    def test_another_baseline_in_the_place_of_one_that_was_trained(self, compared, tmp_path):
        shutil.copytree(compared, tmp_path / "run")
        other = comparing()
        other.baselines.parameters = 5000
        other.baselines.svm = False
        with pytest.raises(ConfigError, match="another matched_parameters"):
            main.run(other, tmp_path / "run", "train")

    @pytest.mark.parametrize("settings", [{"svm": True}, {"random": 1}])
    def test_evaluation_before_training(self, finished, tmp_path, openness, settings):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.search.methods = ()
        config.baselines.update(settings)
        with pytest.raises(ConfigError, match=r"job\.json is missing\): run --mode=train first"):
            main.run(config, tmp_path, "evaluate")

    def test_a_missing_opensmile_is_an_error_before_any_work(self, tmp_path, monkeypatch):
        monkeypatch.setattr(functionals.importlib.util, "find_spec", lambda name: None)
        config = tiny_config()
        config.baselines.svm = True
        with pytest.raises(functionals.MissingError, match="baselines"):
            main.run(config, tmp_path, "all")
        assert not list(tmp_path.iterdir())

    def test_sound_that_the_svm_cannot_use_is_an_error_before_any_search(
        self, finished, tmp_path, monkeypatch
    ):
        def fail(*_, **__):
            raise CorpusError("it cannot be used")

        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(functionals, "compute", fail)
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.baselines.svm = True
        with pytest.raises(CorpusError, match="it cannot be used"):
            main.run(config, tmp_path, "all")
        assert not (tmp_path / "search").exists()


@pytest.mark.slow
class TestArchive:
    def test_all_of_it_is_rebuilt_from_the_archive(self, compared, tmp_path):
        store.collect(compared, tmp_path / "archive")
        shutil.move(tmp_path / "archive", tmp_path / "elsewhere")
        store.rebuild(tmp_path / "elsewhere", tmp_path / "again")
        for name in ("table.txt", "table.tex", "results.csv"):
            assert (tmp_path / "again" / name).read_text() == (compared / "report" / name).read_text()
        summaries = [
            json.loads((folder / "summary.json").read_text())
            for folder in (tmp_path / "again", compared / "report")
        ]
        (jobs,) = {json.dumps(summary.pop("environment")["jobs"]) for summary in summaries}
        assert sum(group["jobs"] for group in json.loads(jobs)) == 9
        assert summaries[0] == summaries[1]
        figures = [
            {path.name for path in (folder / "figures").iterdir()}
            for folder in (tmp_path / "again", compared / "report")
        ]
        assert figures[0] == figures[1]

    def test_it_is_resumed_by_what_is_missing_alone(self, compared, tmp_path, openness, monkeypatch):
        """Half of the grid is archived; its searches have no checkpoints in the new workdir, and need none."""
        folder, workdir = tmp_path / "archive", tmp_path / "new"
        store.collect(compared, folder)
        missing = {"second/search_0", "random_1", "cnn_matched", "svm"}
        for method in missing:
            (folder / "train" / method / "fold_0" / "seed_0.json").unlink()
        sums.write(folder, "")
        store.restore(folder, workdir)
        done, do = [], Worker.__call__
        monkeypatch.setattr(Worker, "__call__", lambda self, job: (done.append(job.network), do(self, job)))
        monkeypatch.setattr(html, "write", lambda *_, **__: None)  # the page takes seconds to draw
        config = comparing()
        config.data.records = str(compared / "records")
        main.run(config, workdir, "compare")
        assert set(done) == missing
        assert len(done) == len(missing)

        def tables(root):
            return (root / "report" / "table.txt").read_text().partition("Cost, a network")[0]

        assert tables(workdir) == tables(compared)


def test_processes_do_what_this_one_does(finished, tmp_path, monkeypatch):
    """A network that is trained is tested by another process; its log is below the workdir."""
    shutil.copytree(finished, tmp_path / "run")
    folder = tmp_path / "run/train/second/search_0/fold_0/seed_0"
    (folder / "predictions.json").unlink()
    record = json.loads((folder / "job.json").read_text())
    config = tiny_config()
    config.grid.workers = 2
    monkeypatch.setattr(html, "write", lambda *_, **__: None)
    monkeypatch.setattr(Worker, "__call__", None)
    main.run(config, tmp_path / "run", "evaluate")
    there = finished / folder.relative_to(tmp_path / "run")
    assert (folder / "predictions.json").read_text() == (there / "predictions.json").read_text()
    again = json.loads((folder / "job.json").read_text())
    assert again["wall"] > record["wall"], "training and predicting took both of their seconds"
    del again["sha256"], record["sha256"]
    assert {**again, "wall": record["wall"]} == record
    assert "seed 0: done" in (tmp_path / "run" / "logs" / "worker_0.log").read_text()
