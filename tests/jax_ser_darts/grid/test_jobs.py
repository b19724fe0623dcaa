"""The grid of a comparison: every job once, in a folder of its own, after what it needs."""

import json
import pathlib

import pytest
from tiny import tiny_config

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.grid.jobs import SEARCH, SVM, TRAIN, Job, all_jobs, check_same, needed_by
from jax_ser_darts.search_space.genotype import Edge, Genotype
from jax_ser_darts.training import designs, svm
from jax_ser_darts.training.spaces import RANDOM


@pytest.fixture
def config():
    c = tiny_config()
    c.search.methods = ("first", "second_differences")
    c.search.seeds = (0, 3)
    c.train.seeds = (0, 1, 2)
    c.baselines.random = 2
    c.baselines.networks = ("cnn",)
    c.baselines.sizes = ("paper", "matched")
    c.baselines.svm = True
    return c


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


def test_the_folders_are_those_of_the_other_modes(config):
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
    config.search.variants.joint = {"order": "first", "sequence": "all"}
    config.search.methods = (*config.search.methods, "joint")
    added = [job for job in all_jobs(config, [0, 1]) if job not in before]
    assert {job.method for job in added} == {"joint", "random_all"}
    assert len([job for job in added if job.method == "random_all"]) == 2 * 2 * 3


def test_each_network_needs_its_own_search_and_the_matched_ones_need_all(config):
    jobs = all_jobs(config, [0, 1])
    for job in jobs:
        needed = needed_by(job, jobs, config)
        if job.method == "cnn_matched":
            assert len(needed) == 8
        elif job.kind == SVM:
            assert [other.fold for other in needed] == [0] * job.fold, "the first computes what all hear"
        elif job.kind == TRAIN and job.method in config.search.methods:
            assert needed == [Job(SEARCH, job.method, job.search_seed, job.fold)]
        else:
            assert needed == []
    config.baselines.parameters = 1000
    assert needed_by(Job(TRAIN, "cnn_matched", None, 0, 0), jobs, config) == []


def test_a_genotype_of_a_file_replaces_the_searches(config):
    config.train.genotype = "genotype.json"
    jobs = all_jobs(config, [0])
    assert not any(job.kind == SEARCH for job in jobs)
    assert Job(TRAIN, designs.GIVEN_GENOTYPE, None, 0, 0) in jobs
    assert Job(SVM, svm.METHOD, None, 0, svm.SEED) in jobs


def test_a_job_is_done_when_it_says_so(config, tmp_path):
    job = all_jobs(config, [0])[0]
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "genotype.json").write_text("{}")
    assert job.done(tmp_path) is None
    about = {"kind": SEARCH, "method": job.method, "seconds": 1.0, "wall": 2.0}
    (job.folder(tmp_path) / "job.json").write_text(json.dumps(about))
    assert job.done(tmp_path) == about


@pytest.mark.parametrize("text", ["{", '{"wall": 1.0}'])
def test_a_damaged_job_is_told_with_its_name(config, tmp_path, text):
    job = all_jobs(config, [0])[0]
    job.folder(tmp_path).mkdir(parents=True)
    (job.folder(tmp_path) / "job.json").write_text(text)
    with pytest.raises(ConfigError, match=r"fold_0/job\.json is damaged"):
        job.done(tmp_path)


def test_what_is_done_is_not_taken_for_what_another_setting_asks_for(config, tmp_path):
    cell = ((Edge("skip_connect", 0), Edge("avg_pool_3x3", 1)),)
    genotype = Genotype(normal=cell, reduction=cell)
    config.train.genotype = str(tmp_path / "genotype.json")
    genotype.save(config.train.genotype)
    config.baselines.parameters = 1000
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
    Genotype(normal=cell, reduction=cell * 2).save(config.train.genotype)
    config.baselines.parameters, config.baselines.svm_c, config.seed = 2000, (1.0, 10.0), config.seed + 1
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
            (tmp_path / designs.MATCHED_FILE).write_text(json.dumps({"parameters": known}))
        with pytest.raises(ConfigError, match=f"\\(1000\\) than that of the found networks \\({known};"):
            check_same(job, config, tmp_path)
    (tmp_path / designs.MATCHED_FILE).write_text('{"parameters": 1000}')
    check_same(job, config, tmp_path)
