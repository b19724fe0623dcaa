"""A run that was stopped ends as one that was not, and one that cannot resume reports why before any work."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from tiny import tiny_config

from jax_ser_darts import main
from jax_ser_darts.data.folds import FoldError
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid.board import JobError
from jax_ser_darts.report import html
from jax_ser_darts.rundir.checkpoints import Checkpoints
from jax_ser_darts.rundir.manifest import lock_workdir
from jax_ser_darts.rundir.metrics import MetricsWriter, read
from jax_ser_darts.search import search, searcher
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.training.train import read_network

# TensorFlow's protobuf code and TFDS, when first imported.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow_datasets.*")]


class Stopped(BaseException):
    """Stands for a kill: no part of the program catches it."""


def stop_at_a_checkpoint(monkeypatch, config, workdir, mode):
    """Begins a run that ends as if it had been killed when its first checkpoint was there."""
    save = Checkpoints.save

    def stop(*arguments):
        save(*arguments)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", stop)
        with pytest.raises(Stopped):
            main.run(config, workdir, mode)


class TestGoingOn:
    def test_a_second_run_changes_nothing_but_the_report(self, finished, monkeypatch):
        def never(*_):
            raise AssertionError("a finished run was made again")

        before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.is_file()}
        monkeypatch.setattr(MetricsWriter, "__init__", never)
        monkeypatch.setattr(html, "write", lambda *_, **__: None)  # the page takes seconds to draw
        main.run(tiny_config(), finished, "all")
        changed = {
            str(p.relative_to(finished))
            for p in finished.rglob("*")
            if p.is_file() and before.get(p) != p.stat().st_mtime_ns
        }
        assert {name for name in changed if not name.startswith("report/")} <= {"config.json", ".lock"}

    @pytest.mark.parametrize("kind", ["search", pytest.param("train", marks=pytest.mark.slow)])
    def test_a_stopped_run_ends_as_one_that_was_not(self, finished, tmp_path, monkeypatch, kind):
        """Stopped after an epoch, once before and once after its checkpoint; the same numbers bit by bit."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.methods = ("second",)
        if kind == "train":
            config.train.genotype = str(finished / "search/second/seed_0/fold_0/genotype.json")
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
        resumed, uninterrupted = (
            {"search": "search/second/seed_0/fold_0", "train": f"train/{method}/fold_0/seed_0"}[kind]
            for method in ("genotype", "second/search_0")
        )
        mine, whole = (
            read(root / where / "metrics.jsonl")
            for root, where in ((tmp_path, resumed), (finished, uninterrupted))
        )
        for line in (*mine, *whole):
            del line["seconds"]
            line.pop("overhead_s", None)  # seconds too; a search has them
        assert mine == whole
        result = "genotype.json" if kind == "search" else "predictions.json"
        assert (tmp_path / resumed / result).read_text() == (finished / uninterrupted / result).read_text()

    @pytest.mark.slow
    def test_a_search_on_a_full_disk_ends_as_one_that_had_space(self, finished, small_disk, monkeypatch):
        """Full at the second checkpoint, when its epoch is in the metrics; the same numbers bit by bit."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.methods = ("first",)
        save = Checkpoints.save

        def filling(self, step, *arguments):
            if step == 2:
                small_disk.fill()
            save(self, step, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", filling)
            with pytest.raises(
                JobError,
                match=r"CheckpointError: .*step 2 .*first/seed_0/fold_0/checkpoints: .*No space left",
            ):
                main.run(config, small_disk.folder, "search")
        small_disk.make_space()
        main.run(config, small_disk.folder, "search")
        where = "search/first/seed_0/fold_0"
        mine, whole = (read(root / where / "metrics.jsonl") for root in (small_disk.folder, finished))
        for line in (*mine, *whole):
            del line["seconds"], line["overhead_s"]
        assert mine == whole
        genotype = f"{where}/genotype.json"
        assert (small_disk.folder / genotype).read_text() == (finished / genotype).read_text()

    @pytest.mark.slow
    def test_a_stopped_baseline_ends_as_one_that_was_not(self, finished, tmp_path, monkeypatch):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.methods = ()
        config.baselines.networks = ("cnn",)
        config.baselines.parameters = 1000
        config.baselines.sizes = ("matched",)
        main.run(config, tmp_path / "whole", "all")
        stop_at_a_checkpoint(monkeypatch, config, tmp_path / "stopped", "all")
        main.run(config, tmp_path / "stopped", "all")
        where = "train/cnn_matched/fold_0/seed_0"
        mine, whole = (read(tmp_path / run / where / "metrics.jsonl") for run in ("stopped", "whole"))
        for line in (*mine, *whole):
            del line["seconds"]
        assert len(mine) == config.train.epochs
        assert mine == whole
        predictions = [
            (tmp_path / run / where / "predictions.json").read_text() for run in ("stopped", "whole")
        ]
        assert predictions[0] == predictions[1]

    @pytest.mark.slow
    def test_a_search_that_a_rule_ends_stays_ended_and_its_selection_goes_on(
        self, finished, tmp_path, monkeypatch
    ):
        """Killed after the last epoch, and between two decisions of the selection: as a run that was not."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.epochs = 4
        ended = {
            "order": "first",
            "auxiliary_skip": 1.0,
            "edge_normalisation": True,
            "eigenvalue": True,
            "eigenvalue_products": 3,
            "stop_eigenvalue": 1e-9,  # any eigenvalue is more
            "stop_eigenvalue_window": 1,
            "stop_eigenvalue_delay": 1,
            "stop_eigenvalue_start": 0,
        }
        config.search.variants.ended = ended
        config.search.variants.selected = {**ended, "perturbation": True, "perturbation_steps": 1}
        config.search.methods = ("ended", "selected")
        make, made = searcher.make_searcher, []

        def compiled_once(experiment, settings):
            made.append(make(experiment, settings) if not made else made[0])
            return dataclasses.replace(made[0], experiment=experiment, settings=settings)

        monkeypatch.setattr(searcher, "make_searcher", compiled_once)
        main.run(config, tmp_path / "whole", "search")
        save, left, saved = Checkpoints.save, [2, 2, 5], []  # the last epoch of both, a decision

        def stopping(self, step, state, times):
            save(self, step, state, times)
            if left and step == left[0]:
                saved.append(times)
                left.pop(0)
                raise Stopped

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoints, "save", stopping)
            for _ in range(3):
                with pytest.raises(Stopped):
                    main.run(config, tmp_path / "killed", "search")
            main.run(config, tmp_path / "killed", "search")

        def results(run, method):
            folder = tmp_path / run / "search" / method / "seed_0/fold_0"
            lines = read(folder / "metrics.jsonl")
            for line in lines:
                del line["seconds"], line["overhead_s"]
            with Checkpoints(folder / "checkpoints") as checkpoints:
                steps = checkpoints.steps
            about = json.loads((folder / "search.json").read_text())
            return lines, steps, about["stopped"], json.loads((folder / "genotype.json").read_text())

        for method in ("ended", "selected"):
            killed, whole = results("killed", method), results("whole", method)
            assert killed == whole
            lines, steps, stopped, genotype = killed
            assert [line["epoch"] for line in lines] == [0, 1]
            assert all(abs(line["eigenvalue"]) > 0 for line in lines)
            assert (stopped["rule"], stopped["epoch"], stopped["genotype_epoch"]) == ("eigenvalue", 1, 0)
            if method == "ended":
                assert genotype == lines[0]["genotype"]
            else:
                assert steps[-1] == 2 + 6, "two epochs, then two edges and a node of either cell"
        took = json.loads((tmp_path / "killed/search/selected/seed_0/fold_0/search.json").read_text())
        assert all(took[which] > saved[-1][which] for which in ("seconds", "compiling")), "of both processes"

    @pytest.mark.slow
    def test_a_stopped_search_of_partial_channels_ends_as_one_that_was_not(
        self, finished, tmp_path, monkeypatch
    ):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.variants.pc_darts.partial_channels = 2
        config.search.methods = ("pc_darts",)
        main.run(config, tmp_path / "whole", "search")
        stop_at_a_checkpoint(monkeypatch, config, tmp_path / "stopped", "search")
        main.run(config, tmp_path / "stopped", "search")
        where = "search/pc_darts/seed_0/fold_0"
        stopped, whole = (read(tmp_path / run / where / "metrics.jsonl") for run in ("stopped", "whole"))
        for line in (*stopped, *whole):
            del line["seconds"], line["overhead_s"]
            assert {kind: len(betas) for kind, betas in line["betas"].items()} == {
                "normal": 2,
                "reduction": 2,
            }
        assert len(stopped) == config.search.epochs
        assert stopped == whole
        assert stopped[0]["betas"] != stopped[1]["betas"]
        genotypes = [(tmp_path / run / where / "genotype.json").read_text() for run in ("stopped", "whole")]
        assert genotypes[0] == genotypes[1]

    @pytest.mark.slow
    def test_nothing_is_compiled_after_the_first_step(self, finished, tmp_path, caplog):
        """A search of more epochs compiles what a short one does."""
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.run = (0,)
        config.search.epochs = 3
        config.search.methods = ("second",)
        counts = []
        original = search.Progress.update

        def update(self, *arguments, **metrics):
            counts.append(sum("Compiling" in r.getMessage() for r in caplog.records))
            return original(self, *arguments, **metrics)

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
        for mode in ("train", "evaluate"):
            with pytest.raises(ConfigError, match="another genotype"):
                main.run(config, tmp_path / "run", mode)

    def test_two_processes_in_one_workdir(self, finished):
        config = tiny_config()
        config.train.seeds = (0, 1)
        before = (finished / "config.json").read_text()
        with lock_workdir(finished), pytest.raises(ConfigError, match="another process"):
            main.run(config, finished, "evaluate")
        assert (finished / "config.json").read_text() == before, "the run that is at work goes by it"

    def test_a_mistake_does_not_claim_the_workdir(self, finished, tmp_path):
        config = tiny_config()
        config.data.records = str(finished / "records")
        config.folds.count = 99
        with pytest.raises(FoldError):
            main.run(config, tmp_path, "search")
        assert not (tmp_path / "config.json").exists()

    def test_evaluation_before_training(self, finished, tmp_path):
        shutil.copytree(finished / "search", tmp_path / "search")
        shutil.copyfile(finished / "config.json", tmp_path / "config.json")
        config = tiny_config()
        config.data.records = str(finished / "records")
        with pytest.raises(ConfigError, match="run --mode=train first"):
            main.run(config, tmp_path, "evaluate")


@pytest.mark.parametrize("mode", ["evaluate", "export"])
@pytest.mark.parametrize("damage", ["gone", "cut", "of another seed"])
def test_weights_that_are_not_those_that_were_scored_are_refused(finished, tmp_path, mode, damage):
    """The older checkpoint, whose weights predict otherwise, is whole beside it."""
    workdir = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("records", "report"))
    config = tiny_config()
    config.data.records = str(finished / "records")
    config.bundle.method, config.bundle.fold = "first/search_0", 0
    folder = workdir / "train/first/search_0/fold_0/seed_0"
    (folder / "predictions.json").unlink()  # it would be made again
    newest = folder / "checkpoints" / str(read_network(folder)["weights"]["checkpoint"])
    assert len(list(newest.parent.glob("[0-9]"))) == 2
    if damage == "gone":
        shutil.rmtree(newest)
    elif damage == "cut":
        (newest / "about" / "metadata").write_text("{")
    else:
        with Checkpoints(folder / "checkpoints") as checkpoints:
            step, state, extra = checkpoints.restore_latest(stored(newest))
            other = jax.tree.map(lambda leaf: leaf + 1, state)
        shutil.rmtree(newest)
        with Checkpoints(folder / "checkpoints") as checkpoints:
            checkpoints.save(step, other, extra)
    message = "lacks the weights that its network.json speaks of.*Restore the folder, or remove it and run --mode=train"
    with pytest.raises((ConfigError, JobError), match=f"{folder} {message}"):
        main.run(config, workdir, mode)
    assert not (folder / "predictions.json").exists()
    assert not (workdir / "bundle").exists()


def stored(checkpoint):
    """A target of what a checkpoint holds."""
    leaves = json.loads((checkpoint / "about" / "metadata").read_text())["about"]["leaves"]
    return {name: np.zeros(spec["shape"], spec["dtype"]) for name, spec in leaves.items()}


@pytest.mark.parametrize(
    "name",
    [
        "search/first/seed_0/fold_0/genotype.json",
        "search/first/seed_0/fold_0/metrics.jsonl",
        "search/first/seed_0/fold_0/search.json",
        "search/first/seed_0/fold_0/job.json",
        "train/first/search_0/fold_0/seed_0/predictions.json",
        "train/first/search_0/fold_0/seed_0/network.json",
        "train/first/search_0/fold_0/seed_0/metrics.jsonl",
        "train/first/search_0/fold_0/seed_0/job.json",
        "config.json",
    ],
)
def test_an_edited_result_is_refused_and_named(finished, tmp_path, name):
    """One digit of it; all is as JSON as before. A network's own file is no table's, but a bundle's."""
    workdir = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("records", "report"))
    config = tiny_config()
    config.data.records = str(finished / "records")
    path = workdir / name
    text = path.read_text()
    place = max(
        i
        for i, letter in enumerate(text)
        if letter in "01" and not text[i + 1].isalnum() and text[i - 1] != '"'
    )
    path.write_text(text[:place] + str(1 - int(text[place])) + text[place + 1 :])
    config.bundle.method, config.bundle.fold = "first/search_0", 0
    with pytest.raises(ConfigError, match=str(path)):
        main.run(config, workdir, "export" if path.name == "network.json" else "evaluate")


def test_the_fold_of_a_genotype_file_is_trained_without_a_search(finished, tmp_path):
    config = tiny_config()
    config.data.records = str(finished / "records")
    config.folds.run = (1,)
    config.train.genotype = str(finished / "search/first/seed_0/fold_1/genotype.json")
    main.run(config, tmp_path, "all")
    assert set(json.loads((tmp_path / "report" / "summary.json").read_text())["methods"]) == {"genotype"}
    assert not (tmp_path / "search").exists()
    assert pathlib.Path(tmp_path / "train/genotype/fold_1/seed_0/network.json").exists()
