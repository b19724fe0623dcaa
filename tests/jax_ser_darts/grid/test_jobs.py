"""The grid of a run: every job once, in a folder of its own, after what it needs; what each mode does of it."""

import json
import pathlib

import pytest
from tiny import tiny_settings

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid.jobs import SEARCH, SVM, TRAIN, Job, all_jobs, check_same, mode_jobs, needed_by
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import FILES, files_of, write_sealed
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.training import designs, svm
from jax_ser_darts.training.spaces import RANDOM


@pytest.fixture
def config():
    return tiny_settings(
        {
            "search.methods": ("first", "second_differences"),
            "search.seeds": (0, 3),
            "train.seeds": (0, 1, 2),
            "baselines.random": 2,
            "baselines.networks": ("cnn",),
            "baselines.sizes": ("paper", "matched"),
            "baselines.svm": True,
        }
    )


def test_every_job_is_there_once(config):
    jobs = all_jobs(config, [0, 1])
    assert len(set(jobs)) == len(jobs) == 2 * 2 * 2 + (2 * 2 + 2 + 2) * 2 * 3 + 2
    assert len({job.folder(pathlib.Path()) for job in jobs}) == len(jobs)
    assert len({job.name for job in jobs}) == len(jobs)
    assert {job.method for job in jobs} == {
        "first",
        "second_differences",
        RANDOM,
        "cnn_paper",
        "cnn_matched",
        svm.METHOD,
    }


def test_each_kind_of_network_has_folders_of_its_own():
    root = pathlib.Path("w")
    search = Job(SEARCH, "first", search_seed=3, fold=1)
    assert search.folder(root) == root / "search/first/seed_3/fold_1"
    found = Job(TRAIN, "first", search_seed=3, fold=1, seed=2)
    assert found.folder(root) == root / "train/first/search_3/fold_1/seed_2"
    draw = Job(TRAIN, RANDOM, search_seed=1, fold=0, seed=0)
    assert draw.folder(root) == root / "train/random_1/fold_0/seed_0"
    draw = Job(TRAIN, "random_all", search_seed=1, fold=0, seed=0)
    assert draw.folder(root) == root / "train/random_all_1/fold_0/seed_0"


def test_another_space_brings_random_architectures_of_its_own_and_changes_no_other_job(config):
    before = all_jobs(config, [0, 1])
    variants = {**config.search.variants, "joint": {"order": "first", "sequence": "all"}}
    methods = (*config.search.methods, "joint")
    config = replaced(config, {"search.variants": variants, "search.methods": methods})
    added = [job for job in all_jobs(config, [0, 1]) if job not in before]
    assert {job.method for job in added} == {"joint", "random_all"}
    assert len([job for job in added if job.method == "random_all"]) == 2 * 2 * 3


def test_each_network_needs_its_own_search_and_the_matched_ones_need_all(config):
    jobs = all_jobs(config, [0, 1])
    for job in jobs:
        needed = needed_by(job, jobs, config)
        if job.method == "cnn_matched":
            assert len(needed) == 8
        elif job.kind == TRAIN and job.method in config.search.methods:
            assert needed == [Job(SEARCH, job.method, job.search_seed, job.fold)]
        else:
            assert needed == []
    config = replaced(config, {"baselines.parameters": 1000})
    assert needed_by(Job(TRAIN, "cnn_matched", None, 0, 0), jobs, config) == []


def test_a_genotype_of_a_file_replaces_the_searches(config):
    config = replaced(config, {"train.genotype": "genotype.json"})
    jobs = all_jobs(config, [0])
    assert not any(job.kind == SEARCH for job in jobs)
    assert Job(TRAIN, designs.GIVEN_GENOTYPE, None, 0, 0) in jobs
    assert Job(SVM, svm.METHOD, None, 0, svm.SEED) in jobs


def finish(job, workdir, *files):
    """A job's job.json, and other files of it."""
    record = {"kind": job.kind, "method": job.method, "seconds": 1.0, "wall": 2.0}
    job.folder(workdir).mkdir(parents=True, exist_ok=True)
    for name in files:
        (job.folder(workdir) / name).write_text("{}")
    record[FILES] = files_of(job.folder(workdir))
    write_sealed(job.folder(workdir) / "job.json", record)
    return record


def test_a_search_is_done_when_its_record_is_there(config, tmp_path):
    job = all_jobs(config, [0])[0]
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "genotype.json").write_text("{}")
    assert job.done(tmp_path) is None
    record = finish(job, tmp_path)
    assert job.done(tmp_path) == job.record(tmp_path) == record


@pytest.mark.parametrize("kind", [TRAIN, SVM])
def test_what_is_trained_is_done_when_it_has_predicted(config, tmp_path, kind):
    job = next(job for job in all_jobs(config, [0]) if job.kind == kind)
    record = finish(job, tmp_path)
    assert (job.record(tmp_path), job.done(tmp_path)) == (record, None)
    record = finish(job, tmp_path, "predictions.json")
    assert job.done(tmp_path) == record


def test_each_mode_has_its_jobs_and_needs_those_of_the_modes_before(config, tmp_path):
    folds, jobs = [0, 1], all_jobs(config, [0, 1])
    searches = [job for job in jobs if job.kind == SEARCH]
    trainings = [job for job in jobs if job.kind != SEARCH]
    assert mode_jobs("search", config, folds, tmp_path) == searches
    assert mode_jobs("all", config, folds, tmp_path) == mode_jobs("compare", config, folds, tmp_path) == jobs
    for mode in ("train", "evaluate"):
        with pytest.raises(ConfigError, match=r"fold_0/job\.json is missing: run --mode=search first"):
            mode_jobs(mode, config, folds, tmp_path)
    for job in searches:
        finish(job, tmp_path)
    assert mode_jobs("train", config, folds, tmp_path) == trainings
    with pytest.raises(ConfigError, match=r"job\.json is missing\): run --mode=train first"):
        mode_jobs("evaluate", config, folds, tmp_path)
    for job in trainings:
        finish(job, tmp_path)
    assert mode_jobs("evaluate", config, folds, tmp_path) == trainings


def test_a_genotype_of_a_file_is_trained_without_a_search_and_searches_can_be_done_beside_it(
    config, tmp_path
):
    config = replaced(config, {"train.genotype": "genotype.json"})
    assert {job.kind for job in mode_jobs("train", config, [0], tmp_path)} == {TRAIN, SVM}
    assert {job.kind for job in mode_jobs("search", config, [0], tmp_path)} == {SEARCH}


@pytest.mark.parametrize("text", ["{", '{"wall": 1.0}'])
def test_a_damaged_job_is_named(config, tmp_path, text):
    job = all_jobs(config, [0])[0]
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "job.json").write_text(text)
    with pytest.raises(ConfigError, match=r"fold_0/job\.json is damaged"):
        job.done(tmp_path)


def test_what_is_done_is_not_taken_for_what_another_setting_asks_for(config, tmp_path):
    cell = ((Edge("skip_connect", 0), Edge("avg_pool_3x3", 1)),)
    genotype = Genotype(normal=cell, reduction=cell)
    path = tmp_path / "genotype.json"
    genotype.save(path)
    config = replaced(config, {"train.genotype": str(path), "baselines.parameters": 1000})
    left = {
        Job(TRAIN, designs.GIVEN_GENOTYPE, None, 0, 0): ("network.json", {"genotype": genotype.to_json()}),
        Job(TRAIN, RANDOM, 1, 2, 0): ("network.json", {"random_seed": [config.seed, 1, 2]}),
        Job(TRAIN, "cnn_matched", None, 0, 0): ("network.json", {"matched_parameters": 1000}),
        Job(SVM, svm.METHOD, None, 0, svm.SEED): ("setup.json", {"c": [1.0], "values": 88}),
    }
    for job, (name, value) in left.items():
        job.folder(tmp_path).mkdir(parents=True)
        (job.folder(tmp_path) / name).write_text(json.dumps(value))
        check_same(job, config, tmp_path)
    Genotype(normal=cell, reduction=cell * 2).save(path)
    changes = {"baselines.parameters": 2000, "baselines.svm_c": (1.0, 10.0), "seed": config.seed + 1}
    config = replaced(config, changes)
    for job in left:
        with pytest.raises(ConfigError, match="use another --workdir"):
            check_same(job, config, tmp_path)
    check_same(Job(SEARCH, "first", 0, 0), config, tmp_path)


def test_a_matched_size_that_was_given_is_not_taken_for_that_of_the_found_networks(config, tmp_path):
    job = Job(TRAIN, "cnn_matched", None, 0, 0)
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "network.json").write_text('{"matched_parameters": 1000}')
    for known in ("not known yet", 2000):
        if known == 2000:
            write_sealed(tmp_path / layout.MATCHED_FILE, {"parameters": known})
        with pytest.raises(ConfigError, match=f"\\(1000\\) than that of the found networks \\({known};"):
            check_same(job, config, tmp_path)
    write_sealed(tmp_path / layout.MATCHED_FILE, {"parameters": 1000})
    check_same(job, config, tmp_path)
