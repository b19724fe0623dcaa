"""An archive: its tables come out of it as out of the run; sound, features and weights do not."""

import dataclasses
import filecmp
import json
import os
import shutil

import grids
import pytest

from data_prep import sums
from jax_ser_darts.archive import job_files, store
from jax_ser_darts.archive.__main__ import main
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid import jobs
from jax_ser_darts.report import html, outputs
from jax_ser_darts.report.results import Results
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import FILES, read_sealed, write_sealed
from jax_ser_darts.rundir.environment import environment
from jax_ser_darts.rundir.manifest import lock_workdir, read_manifest, write_manifest
from jax_ser_darts.settings import resolve

TABLES = ("table.txt", "table.tex", "results.csv")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A finished grid, its tables in report/; without the page, which takes seconds to draw (see test_run.py)."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of hundreds of small files
    monkeypatch.setattr(html, "write", lambda *_, **__: None)
    results = grids.make(tmp_path / "run", grids.grid_config())
    outputs.write(results.workdir / "report", results, environment=environment())
    return results


def summary_of(folder):
    summary = json.loads((folder / "summary.json").read_text())
    jobs = summary.pop("environment")["jobs"]
    return {**summary, "jobs": jobs}


def same_files(folder, other):
    files = [sorted(p.relative_to(root) for p in root.rglob("*") if p.is_file()) for root in (folder, other)]
    return files[0] == files[1] and not filecmp.cmpfiles(folder, other, files[0], shallow=False)[1]


def test_the_tables_are_rebuilt_from_the_archive_alone(run, tmp_path):
    store.collect(run.workdir, tmp_path / "archive")
    run.workdir.rename(tmp_path / "away")
    store.rebuild(tmp_path / "archive", tmp_path / "again")
    for name in TABLES:
        assert (tmp_path / "again" / name).read_text() == (tmp_path / "away/report" / name).read_text()
    assert summary_of(tmp_path / "again") == summary_of(tmp_path / "away/report")


def test_collecting_twice_changes_nothing_and_another_workdir_adds(run, tmp_path):
    store.collect(run.workdir, tmp_path / "whole")
    store.collect(run.workdir, tmp_path / "whole")
    half = tmp_path / "half"
    shutil.copytree(run.workdir, half)
    for job in run.jobs[::2]:
        (job.folder(half) / layout.JOB_FILE).unlink()
    assert f"{len(run.jobs) - len(run.jobs[::2])} jobs" in store.collect(half, tmp_path / "parts")
    assert not same_files(tmp_path / "whole", tmp_path / "parts")
    store.collect(run.workdir, tmp_path / "parts")
    assert same_files(tmp_path / "whole", tmp_path / "parts")


def test_a_part_of_a_grid_is_compared_as_far_as_methods_are_whole(run, tmp_path):
    """Of `first` a search is missing, of the SVM a fold; the others are as in the whole grid."""
    whole = summary_of(run.workdir / "report")
    assert whole["left_out"] == []
    for job in (next(job for job in run.jobs if job.method == "first"), run.jobs[-1]):
        shutil.rmtree(job.folder(run.workdir))
    store.collect(run.workdir, tmp_path / "archive")
    for i, folder in enumerate((tmp_path / "archive", run.workdir)):
        text = store.rebuild(folder, tmp_path / f"part_{i}")
        assert "first: 5 of 6 jobs are done, and not search first seed 0 fold 0" in text
        part = summary_of(tmp_path / f"part_{i}")
        assert [entry["method"] for entry in part["left_out"]] == ["first", "svm"]
        assert set(part["methods"]) == set(whole["methods"]) - {"first", "svm"}
        for name, method in part["methods"].items():
            assert method["confusion"] == whole["methods"][name]["confusion"]
            assert method["ua"]["value"] == whole["methods"][name]["ua"]["value"]


def test_a_grid_without_a_whole_method_reports_how_far_it_is(run, tmp_path):
    for job in run.jobs:
        if job.fold == 1:
            shutil.rmtree(job.folder(run.workdir))
    store.collect(run.workdir, tmp_path / "archive")
    with pytest.raises(ConfigError, match="nothing to report yet:\nfirst: 3 of 6 jobs are done"):
        store.rebuild(tmp_path / "archive", tmp_path / "out")


def test_another_result_of_an_archived_job_is_refused_and_nothing_is_changed(run, tmp_path):
    folder = tmp_path / "archive"
    store.collect(run.workdir, folder)
    shutil.copytree(folder, tmp_path / "before")
    path = run.jobs[-1].folder(run.workdir) / "predictions.json"
    predictions = json.loads(path.read_text())
    predictions["predictions"].reverse()
    path.write_text(json.dumps(predictions))
    grids.enlist(path.parent)
    with pytest.raises(ConfigError, match="another result"):
        store.collect(run.workdir, folder)
    assert same_files(folder, tmp_path / "before")


def test_another_config_or_corpus_is_refused(run, tmp_path):
    store.collect(run.workdir, tmp_path / "archive")
    other = grids.grid_config()
    other.search.epochs = 7
    grids.make(tmp_path / "other", other)
    with pytest.raises(ConfigError, match=r"search\.epochs: 2 there, 7 now"):
        store.collect(tmp_path / "other", tmp_path / "archive")
    path = run.workdir / "config.json"
    write_sealed(path, {**read_sealed(path), "corpus": "another"})
    grids.claim(run, corpus="another")
    with pytest.raises(ConfigError, match="corpus has other utterances"):
        store.collect(run.workdir, tmp_path / "archive")


def test_no_path_of_a_machine_is_archived_and_the_corpus_may_lie_elsewhere(run, tmp_path):
    here, there = (grids.grid_config() for _ in range(2))
    for config, root in ((here, "/of/one"), (there, "/of/another")):
        config.data.source, config.data.records = f"{root}/corpus", f"{root}/records"
    grids.claim(run, resolve(here))
    store.collect(run.workdir, tmp_path / "archive")
    assert "/of/one" not in (tmp_path / "archive/config.json").read_text()
    store.restore(tmp_path / "archive", tmp_path / "new")
    with pytest.raises(ConfigError, match="corpus has other utterances"):
        write_manifest(resolve(there), tmp_path / "new", "another")
    write_manifest(resolve(there), tmp_path / "new", grids.CORPUS)


class TestAGridOfSeveralWorkdirs:
    def test_its_parts_collected_in_any_order_are_compared_as_the_whole(self, run, tmp_path):
        """Each machine has one of the training seeds; one of them has no SVM."""
        for seed in (1, 0):
            config = grids.grid_config()
            config.train.seeds, config.baselines.svm = (seed,), seed == 1
            part = tmp_path / f"part_{seed}"
            shutil.copytree(run.workdir, part)
            grids.claim(dataclasses.replace(run, workdir=part), resolve(config))
            grid = Results.from_json(
                json.loads((part / "report/corpus.json").read_text()), config=resolve(config), workdir=part
            ).jobs
            for job in {*run.jobs} - {*grid}:
                shutil.rmtree(job.folder(part))
            assert "NOT reported" not in store.collect(part, tmp_path / "archive")
        assert "NOT reported" not in store.rebuild(tmp_path / "archive", tmp_path / "again")
        assert summary_of(tmp_path / "again") == summary_of(run.workdir / "report")
        store.restore(tmp_path / "archive", part)
        claimed = read_manifest(part)[0]
        assert (claimed.train.seeds, claimed.baselines.svm) == ((0, 1), True)

    def test_a_job_outside_the_grid_is_named(self, run, tmp_path):
        """A grid of one genotype has no searches."""
        store.collect(run.workdir, tmp_path / "archive")
        config = grids.grid_config()
        config.train.genotype = "mine.json"
        grids.claim(run, resolve(config))
        collected = store.collect(run.workdir, tmp_path / "archive")
        again = store.rebuild(tmp_path / "archive", tmp_path / "again")
        for text in (collected, again):
            assert "NOT reported, being outside the grid of config.json: search/first/seed_0/fold_0, " in text
            assert "train/svm" not in text.split("NOT reported")[1]

    def test_baselines_of_different_sizes_are_not_mixed(self, run, tmp_path):
        matched = [job for job in run.jobs if job.method == "cnn_matched"]
        for job, parameters in zip(matched, (1000, 1000, 2000, 1000), strict=True):
            path = job.folder(run.workdir) / "network.json"
            grids.write(path, {**json.loads(path.read_text()), "matched_parameters": parameters})
            grids.enlist(path.parent)
        with pytest.raises(ConfigError, match=r"another matched_parameters \(2000\)"):
            store.collect(run.workdir, tmp_path / "archive")
        assert not (tmp_path / "archive").exists()


def test_a_job_knows_with_what_it_was_run_or_is_given_it(run, tmp_path):
    grids.enlist(run.jobs[0].folder(run.workdir), run_with=None)
    assert "1 of them do not know" in store.collect(run.workdir, tmp_path / "archive")
    assert "do not know" not in store.collect(run.workdir, tmp_path / "archive", commit="f00")
    store.collect(run.workdir, tmp_path / "archive")
    store.rebuild(tmp_path / "archive", tmp_path / "again")
    commits = {group["run_with"]["commit"]: group["jobs"] for group in summary_of(tmp_path / "again")["jobs"]}
    assert commits == {"f00": 1, "abc": len(run.jobs) - 1}


class TestRestore:
    def test_a_restored_workdir_has_the_same_jobs_done_and_is_archived_as_the_same(self, run, tmp_path):
        store.collect(run.workdir, tmp_path / "archive")
        text = store.restore(tmp_path / "archive", tmp_path / "new")
        assert f"{len(run.jobs)} of {len(run.jobs)}" in text
        for job in run.jobs:
            done, there = (job.done(folder) for folder in (tmp_path / "new", run.workdir))
            assert done.pop(FILES).keys() == there.pop(FILES).keys()
            assert done == there
            jobs.check_same(job, run.config, tmp_path / "new")
        store.collect(tmp_path / "new", tmp_path / "again")
        assert same_files(tmp_path / "archive", tmp_path / "again")

    def test_a_restored_workdir_takes_its_config_and_corpus_alone(self, run, tmp_path):
        store.collect(run.workdir, tmp_path / "archive")
        store.restore(tmp_path / "archive", tmp_path / "new")
        write_manifest(run.config, tmp_path / "new", grids.CORPUS)
        with pytest.raises(ConfigError, match="corpus has other utterances"):
            write_manifest(run.config, tmp_path / "new", "another")
        other = grids.grid_config()
        other.train.epochs = 9
        with pytest.raises(ConfigError, match=r"train\.epochs: 2 there, 9 now"):
            write_manifest(resolve(other), tmp_path / "new", grids.CORPUS)
        write_manifest(resolve(other), tmp_path / "theirs", grids.CORPUS)
        with pytest.raises(ConfigError, match=r"train\.epochs: 9 there, 2 now"):
            store.restore(tmp_path / "archive", tmp_path / "theirs")

    def test_what_the_workdir_has_itself_stays_and_the_rest_is_added(self, run, tmp_path):
        store.collect(run.workdir, tmp_path / "archive")
        own, gone = run.jobs[0].folder(run.workdir), run.jobs[1].folder(run.workdir)
        exact = (own / "metrics.jsonl").read_text()
        (gone / layout.JOB_FILE).unlink()  # as if a kill had ended the restoring
        assert f"1 of {len(run.jobs)}" in store.restore(tmp_path / "archive", run.workdir)
        assert (own / "metrics.jsonl").read_text() == exact
        assert run.jobs[1].done(run.workdir)

    @pytest.mark.parametrize("what", ["another result", "is begun", "another size"])
    def test_what_would_not_go_together_is_refused_before_anything_is_written(self, run, tmp_path, what):
        """E.g. a training of other cells than those that the workdir has found."""
        store.collect(run.workdir, tmp_path / "archive")
        place = run.jobs[0].folder(run.workdir)
        run.jobs[-1].folder(run.workdir).joinpath(layout.JOB_FILE).unlink()
        if what == "another size":
            write_sealed(run.workdir / "train" / "matched.json", {"parameters": 1, "methods": []})
        elif what == "is begun":
            (place / layout.JOB_FILE).unlink()
            (place / "checkpoints").mkdir()
        else:
            grids.write(place / "genotype.json", {})
            grids.enlist(place)
        with pytest.raises(ConfigError, match=what):
            store.restore(tmp_path / "archive", run.workdir)
        assert run.jobs[-1].done(run.workdir) is None

    def test_a_restore_killed_at_any_file_leaves_whole_jobs_alone_and_is_gone_on_with(
        self, run, tmp_path, monkeypatch
    ):
        """A search, a training and an SVM; of the training an older kill has left a part."""
        few = [
            next(job for job in run.jobs if job.kind == kind) for kind in (jobs.SEARCH, jobs.TRAIN, jobs.SVM)
        ]
        for job in {*run.jobs} - {*few}:
            shutil.rmtree(job.folder(run.workdir))
        store.collect(run.workdir, tmp_path / "archive")
        store.restore(tmp_path / "archive", tmp_path / "whole")
        steps = []
        places = [(store, "write_about"), (store, "write_sealed"), (store, "_put")]
        places += [(job_files, "write_text"), (job_files.checksums, "write_sealed")]
        real = {place: getattr(*place) for place in places}

        def killed_after(last):
            steps.clear()

            def of(place):
                def step(*arguments, **more):
                    real[place](*arguments, **more)
                    steps.append(place)
                    if len(steps) == last:
                        raise KeyboardInterrupt

                return step

            for place in places:
                monkeypatch.setattr(*place, of(place))

        last, ended = 0, False
        while not ended:
            last += 1
            workdir = tmp_path / f"killed_{last}"
            grids.write(few[1].folder(workdir) / "network.json", {})
            killed_after(last)
            try:
                store.restore(tmp_path / "archive", workdir)
                ended = True
            except KeyboardInterrupt:
                for job in few:
                    names = {path.name for path in job.folder(workdir).glob("*")}
                    assert layout.JOB_FILE in names or names <= {"network.json"}
            killed_after(0)
            store.restore(tmp_path / "archive", workdir)
            assert same_files(workdir, tmp_path / "whole")
        assert last > 10

    def test_a_workdir_at_work_is_left_alone(self, run, tmp_path):
        store.collect(run.workdir, tmp_path / "archive")
        with lock_workdir(run.workdir), pytest.raises(ConfigError, match="another process"):
            store.restore(tmp_path / "archive", run.workdir)


@pytest.mark.parametrize("what", ["nothing", "no job", "no corpus"])
def test_what_is_not_there_is_one_message(run, tmp_path, capsys, what):
    folder = tmp_path / "archive"
    arguments = {"nothing": ["rebuild", str(tmp_path / "absent"), "out"]}.get(what)
    if what != "nothing":
        left = "*/**/job.json" if what == "no job" else "report/corpus.json"
        for path in run.workdir.glob(left):
            path.unlink()
        arguments = ["collect", str(run.workdir), str(folder)]
    assert main(arguments) == 1
    messages = {
        "nothing": "nothing has been run",
        "no job": "no job is done",
        "no corpus": "no mode that searches, trains or evaluates was run",
    }
    assert messages[what] in capsys.readouterr().err


JOB = "train/svm/fold_0/seed_0"
DONE = '{"kind": "svm", "method": "svm", "seconds": 1, "wall": 1}'
DAMAGED = (
    (f"{JOB}.json", "{", "is damaged"),
    (f"{JOB}.json", "[]", "is damaged"),
    (f"{JOB}.json", f'{{"job.json": {DONE}, "../x": 1}}', "not a job"),
    (f"{JOB}.json", '{"job.json": {"wall": 1}}', "not a job"),
    (f"{JOB}.json", '{"job.json": []}', "not a job"),
    ("config.json", "{", "is of another config.json"),
    ("corpus.json", "{}", "is damaged (it has no 'manifest'"),
)


def test_what_is_damaged_is_one_message_that_names_the_file(run, tmp_path, capsys):
    folder = tmp_path / "archive"
    store.collect(run.workdir, folder)
    for name, text, message in DAMAGED:
        path = folder / name
        was = path.read_text()
        path.write_text(text)
        assert main(["rebuild", str(folder), str(tmp_path / "out")]) == 1
        assert f"{name} is not the file that was written" in capsys.readouterr().err
        sums.write(folder, "")  # not damaged, but made by something else
        assert main(["rebuild", str(folder), str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert path.name in error
        assert message in error
        path.write_text(was)


@pytest.mark.parametrize("command", ["rebuild", "restore", "collect"])
@pytest.mark.parametrize("damage", ["an edited number", "a job gone", "a job more", "no checksums"])
def test_an_archive_that_has_changed_is_refused(run, tmp_path, capsys, command, damage):
    folder = tmp_path / "archive"
    store.collect(run.workdir, folder)
    path = folder / f"{JOB}.json"
    if damage == "an edited number":
        job = json.loads(path.read_text())
        job["predictions.json"]["predictions"].reverse()
        path.write_text(json.dumps(job))
    elif damage == "a job gone":
        path.unlink()
    elif damage == "a job more":
        shutil.copyfile(path, path.with_name("seed_1.json"))
    else:
        (folder / sums.FILE_NAME).unlink()
    arguments = [run.workdir, folder] if command == "collect" else [folder, tmp_path / "out"]
    assert main([command, *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert "is not what was collected" in error
    assert "restore it, or remove it" in error
    assert ("SHA256SUMS" if damage == "no checksums" else "train/svm/fold_0/seed_") in error


def test_a_damaged_workdir_is_not_archived(run, tmp_path, capsys):
    for path in (run.workdir / "config.json", run.workdir / JOB / "job.json"):
        was = path.read_text()
        for text in ("{", "{}", "[]"):
            path.write_text(text)
            assert main(["collect", str(run.workdir), str(tmp_path / "archive")]) == 1
            assert f"{path} is damaged" in capsys.readouterr().err
        path.write_text(was)
