"""The whole job on a tiny corpus: sound -> records -> both orders -> networks -> scores -> a comparison."""

import csv
import json
import shutil

import jax
import numpy as np
import pytest
from tiny import tiny_config

from data_prep import functionals
from data_prep.corpora.base import CorpusError
from jax_ser_darts import main
from jax_ser_darts.archive import store as kept
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid import jobs, workers
from jax_ser_darts.report import html
from jax_ser_darts.rundir.metrics import MetricsWriter, read
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


class TestScores:
    def test_every_test_utterance_counts_once(self, finished):
        scores = json.loads((finished / "scores.json").read_text())["rows"]
        assert set(scores) == {"first", "second"}
        for row in scores.values():
            assert np.sum(row["pooled"]["confusion"]) == 4 * 32, "two folds of two speakers with 32 each"
        for method in ("first", "second"):
            ids = [
                name
                for path in sorted(finished.glob(f"train/{method}/search_0/*/*/predictions.json"))
                for name in json.loads(path.read_text())["ids"]
            ]
            assert len(ids) == len(set(ids)) == 4 * 32

    def test_the_answers_are_of_the_test_speakers_alone(self, finished):
        for path in finished.glob("train/*/*/*/*/predictions.json"):
            fold = json.loads((path.parent / "network.json").read_text())["fold"]
            speakers = set(json.loads(path.read_text())["speakers"])
            assert {f"speaker_{name}" for name in speakers} == set(fold["test"])

    def test_the_text_says_that_the_speech_is_synthetic(self, finished):
        assert "SYNTHETIC" in (finished / "scores.txt").read_text()

    def test_without_random_architectures_the_text_says_how_to_add_some(self, finished):
        assert "--config.baselines.random=3 trains three" in (finished / "scores.txt").read_text()


def comparing():
    """The tiny config with everything to compare with, on one fold."""
    config = tiny_config()
    config.folds.run = (0,)
    config.baselines.random = 2
    config.baselines.networks = ("cnn", "lstm")
    config.baselines.sizes = ("matched",)
    config.baselines.svm = True
    return config


def told_the_class(utterances, *, workers):
    """In the place of openSMILE's functionals."""
    emotions = sorted({one.emotion for one in utterances})
    return np.array([[float(emotions.index(one.emotion)), 1.0] for one in utterances], np.float32)


@pytest.fixture(scope="module")
def compared(finished, tmp_path_factory):
    """The finished workdir, gone on with by `comparing`; openSMILE is replaced by someone who tells the class."""
    workdir = tmp_path_factory.mktemp("compared") / "run"
    shutil.copytree(finished, workdir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functionals, "compute", told_the_class)
        patch.setattr(functionals, "check_installed", lambda: None)
        main.run(comparing(), workdir, "all")
    return workdir


class TestMethods:
    """What is compared with the found networks, added to a finished workdir."""

    def test_one_table_has_them_all(self, compared):
        rows = json.loads((compared / "scores.json").read_text())["rows"]
        assert list(rows) == [
            "first",
            "second",
            "random_0",
            "random_1",
            "cnn_matched",
            "lstm_matched",
            "svm",
        ]
        assert all(np.sum(row["pooled"]["confusion"]) == 2 * 32 for row in rows.values())
        assert all(row["seconds"][0] > 0 for row in rows.values())
        assert rows["svm"]["pooled"]["ua"]["value"] == 1, "it was told the class"
        text = (compared / "scores.txt").read_text().splitlines()
        table = text[2 : 2 + 2 + len(rows) + 1]
        assert len({len(line) for line in table}) == 1, "one aligned table"
        for name, row in rows.items():
            (line,) = (line for line in table if line.split()[0] == name)
            parameters = row["parameters"][0]
            assert ("-" if parameters is None else f"{parameters:,}") in line.split()

    def test_the_mean_random_architecture_has_a_row(self, compared):
        saved = json.loads((compared / "scores.json").read_text())
        draws = [saved["rows"][f"random_{draw}"]["pooled"]["ua"]["value"] for draw in range(2)]
        assert saved["random"]["ua"] == {
            "mean": pytest.approx(np.mean(draws)),
            "std": pytest.approx(np.std(draws, ddof=1)),
        }
        text = (compared / "scores.txt").read_text()
        assert f"{np.mean(draws):.3f} ({np.std(draws, ddof=1):.3f})" in text
        first = saved["rows"]["first"]["pooled"]["ua"]["value"]
        assert f"{100 * (first / np.mean(draws) - 1):+.1f}" in text
        assert "Confusion of first" in text
        assert "Confusion of random" not in text
        (line,) = (line for line in text.splitlines() if line.startswith("  random, mean of 2: UA"))
        of_fold = np.mean([saved["rows"][f"random_{draw}"]["folds"]["0"]["ua"]["value"] for draw in range(2)])
        assert saved["random"]["over_folds"]["ua"]["mean"] == pytest.approx(of_fold)
        assert f"UA {of_fold:.3f}" in line
        assert "baselines.random" not in text

    def test_what_was_found_before_was_left_alone(self, finished, compared):
        for path in finished.glob("train/*/*/fold_0/seed_0/*"):
            if path.is_file() and path.name != "genotype.json":
                there = compared / path.relative_to(finished)
                assert there.stat().st_mtime_ns == path.stat().st_mtime_ns

    def test_every_network_says_what_it_is(self, compared):
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

    def test_evaluation_needs_nothing_but_what_is_there(self, compared, monkeypatch):
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(functionals, "compute", None)
        before = (compared / "scores.json").read_text()
        main.run(comparing(), compared, "evaluate")
        assert (compared / "scores.json").read_text() == before

    def test_another_baseline_in_the_place_of_one_that_was_trained(self, compared):
        other = comparing()
        other.baselines.parameters = 5000
        other.baselines.svm = False
        with pytest.raises(ConfigError, match="another baseline"):
            main.run(other, compared, "train")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"svm": True}, r"svm\.json is missing\): run"),
            ({"random": 1}, r"network\.json is missing\): run"),
        ],
    )
    def test_evaluation_before_training(self, finished, tmp_path, monkeypatch, settings, message):
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.search.methods = ()
        config.baselines.update(settings)
        with pytest.raises(ConfigError, match=message):
            main.run(config, tmp_path, "evaluate")

    def test_a_missing_opensmile_is_told_before_any_work(self, tmp_path, monkeypatch):
        monkeypatch.setattr(functionals.importlib.util, "find_spec", lambda name: None)
        config = tiny_config()
        config.baselines.svm = True
        with pytest.raises(functionals.MissingError, match="baselines"):
            main.run(config, tmp_path, "all")
        assert not list(tmp_path.iterdir())

    def test_what_the_svm_cannot_hear_is_told_before_any_search(self, finished, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise CorpusError("it cannot be heard")

        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(functionals, "compute", fail)
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.baselines.svm = True
        with pytest.raises(CorpusError, match="it cannot be heard"):
            main.run(config, tmp_path, "all")
        assert not (tmp_path / "search").exists()


def in_this_process(jobs, *, needs, done, make, arguments, **_):
    """As `workers.run`, without processes: one after the other, what is needed first."""
    finished, work = set(done), make(*arguments)
    for job in jobs:
        assert set(needs[job]) <= finished, (
            "searches come first, and what is trained in the order of the table"
        )
        if job not in done:
            work(job)
        finished.add(job)


@pytest.fixture(scope="module")
def grid(compared, tmp_path_factory):
    """The workdir of `compared` after mode `compare`, and what that printed."""
    workdir = tmp_path_factory.mktemp("grid") / "run"
    shutil.copytree(compared, workdir)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functionals, "check_installed", lambda: None)
        patch.setattr(functionals, "compute", told_the_class)
        patch.setattr(MetricsWriter, "__init__", None)  # nothing is searched or trained again
        patch.setattr(workers, "run", in_this_process)
        main.run(comparing(), workdir, "compare")
    return workdir


class TestCompare:
    """Mode `compare` goes on with what the other modes left."""

    def test_its_figures_are_those_of_the_scores(self, grid):
        summary = json.loads((grid / "compare" / "summary.json").read_text())
        rows = json.loads((grid / "scores.json").read_text())["rows"]
        assert set(summary["methods"]) == {"first", "second", "random", "cnn_matched", "lstm_matched", "svm"}
        for name, of in summary["methods"].items():
            these = [f"random_{draw}" for draw in range(2)] if name == "random" else [name]
            for figure in ("ua", "wa", "f1"):
                expected = np.mean([rows[row]["pooled"][figure]["value"] for row in these])
                assert of[figure]["value"] == pytest.approx(expected)
                assert of[figure]["low"] <= of[figure]["value"] <= of[figure]["high"]
            assert (
                of["confusion"]
                == np.sum([rows[row]["pooled"]["confusion"] for row in these], axis=0).tolist()
            )
        ua = {name: of["ua"]["value"] for name, of in summary["methods"].items()}
        assert summary["methods"]["first"]["ri"]["value"] == pytest.approx(
            100 * (ua["first"] / ua["random"] - 1)
        )
        assert len(summary["tests"]) == 6 * 5 / 2
        for test in summary["tests"]:
            assert test["value"] == pytest.approx(ua[test["a"]] - ua[test["b"]])
            assert summary["test"]["smallest_p"] <= test["p"] <= test["p_holm"] <= 1

    def test_each_network_has_a_row_with_its_cost(self, grid):
        with (grid / "compare" / "results.csv").open() as file:
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

    def test_the_orders_gradients_are_compared(self, grid):
        agreement = json.loads((grid / "compare" / "summary.json").read_text())["agreement"]
        lines = read(grid / "search/second/seed_0/fold_0/metrics.jsonl")
        assert set(agreement) == {"second"}, "the first order has no term"
        assert agreement["second"]["cosine"] == [line["agreement"]["cosine"] for line in lines]
        assert agreement["second"]["term_share"] == [
            line["val"]["correction"] / line["val"]["direct"] for line in lines
        ]

    def test_the_svm_comes_first_and_the_others_in_the_order_of_the_table(self, grid, monkeypatch):
        order = []
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(workers, "run", lambda jobs, **_: order.extend(jobs))
        main.run(comparing(), grid, "compare")
        first, *others = order
        assert first.kind == jobs.SVM
        assert others == [job for job in jobs.all_jobs(comparing(), [0]) if job.kind != jobs.SVM]

    def test_there_is_a_report(self, grid):
        page = (grid / "compare" / "report.html").read_text()
        assert "SYNTHETIC" in page
        assert "cosine of the two orders" in (grid / "compare/figures/orders.svg").read_text()
        assert "first_seed_0_fold_0" in page

    def test_a_second_run_does_no_job(self, grid, monkeypatch):
        def never(*_):
            raise AssertionError("a job that is done was done again")

        before = (grid / "compare" / "results.csv").read_text()
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(jobs.Worker, "__call__", never)
        monkeypatch.setattr(workers, "run", in_this_process)
        main.run(comparing(), grid, "compare")
        assert (grid / "compare" / "results.csv").read_text() == before

    def test_all_of_it_is_rebuilt_from_what_is_kept(self, grid, tmp_path):
        """Also of a workdir from before it said what has to be known of the corpus: its records do."""
        corpus = grid / "compare" / "corpus.json"
        about = corpus.read_text()
        corpus.unlink()
        try:
            kept.collect(grid, tmp_path / "kept")
        finally:
            corpus.write_text(about)
        assert (tmp_path / "kept" / "corpus.json").read_text() == about
        shutil.move(tmp_path / "kept", tmp_path / "elsewhere")
        kept.rebuild(tmp_path / "elsewhere", tmp_path / "again")
        for name in ("table.txt", "table.tex", "results.csv"):
            assert (tmp_path / "again" / name).read_text() == (grid / "compare" / name).read_text()
        summaries = [
            json.loads((of / "summary.json").read_text()) for of in (tmp_path / "again", grid / "compare")
        ]
        (jobs_of,) = {json.dumps(summary.pop("environment")["jobs"]) for summary in summaries}
        assert sum(of["jobs"] for of in json.loads(jobs_of)) == 9
        assert all(of["run_with"]["versions"]["jax"] == jax.__version__ for of in json.loads(jobs_of))
        assert summaries[0] == summaries[1]
        figures = [
            {path.name for path in (of / "figures").iterdir()}
            for of in (tmp_path / "again", grid / "compare")
        ]
        assert figures[0] == figures[1]

    def test_kept_results_are_gone_on_with_by_what_is_missing_alone(self, grid, tmp_path, monkeypatch):
        """Half of the grid is kept; its searches have no checkpoints in the new workdir, and are not asked for any."""
        folder, workdir = tmp_path / "kept", tmp_path / "new"
        kept.collect(grid, folder)
        missing = {"second/search_0", "random_1", "cnn_matched", "svm"}
        for method in missing:
            (folder / "train" / method / "fold_0" / "seed_0.json").unlink()
        kept.restore(folder, workdir)
        done, do = [], jobs.Worker.__call__
        monkeypatch.setattr(
            jobs.Worker, "__call__", lambda self, job: (done.append(job.folder_name), do(self, job))
        )
        monkeypatch.setattr(functionals, "check_installed", lambda: None)
        monkeypatch.setattr(functionals, "compute", told_the_class)
        monkeypatch.setattr(workers, "run", in_this_process)
        monkeypatch.setattr(html, "write", lambda *_, **__: None)  # the page takes seconds to draw
        config = comparing()
        config.data.records = str(grid / "records")
        main.run(config, workdir, "compare")
        assert set(done) == missing
        assert len(done) == len(missing)

        def table(of):
            return (of / "compare" / "table.txt").read_text().partition("Cost, a network")[0]

        assert table(workdir) == table(grid)
