"""What a worker trains for each job: one design a network and fold."""

import dataclasses

import numpy as np
import pytest
from changes import changed
from random_corpora import random_corpus
from tiny import tiny_settings

from jax_ser_darts.errors import ConfigError
from jax_ser_darts.experiment import set_up
from jax_ser_darts.grid.jobs import search_jobs
from jax_ser_darts.grid.worker import network_designs
from jax_ser_darts.models.baselines import BASELINES
from jax_ser_darts.rundir import layout
from jax_ser_darts.rundir.checksums import FILES, files_of, write_sealed
from jax_ser_darts.search_space.genotype import from_json, random_genotype

SETTINGS = {
    "folds.count": 0,
    "folds.run": (0, 1),
    "folds.validation_groups": 1,
    "features.coefficients": 5,
}


@pytest.fixture
def experiment(tmp_path):
    """Both orders on two folds, nothing searched yet."""
    seed = next(seed for seed in range(100) if len(random_corpus(seed).groups) >= 5)
    return set_up(tiny_settings(SETTINGS), tmp_path, random_corpus(seed))


def finish_searches(experiment):
    """Leaves each search's genotype, another one each; network -> those of its folds."""
    space, found = experiment.config.space, {}
    folds = [fold.index for fold in experiment.folds]
    for number, job in enumerate(search_jobs(experiment.config, folds)):
        rng = np.random.default_rng(number)
        genotype = random_genotype(rng, nodes=space.nodes, operations=space.operations)
        folder = job.folder(experiment.workdir)
        folder.mkdir(parents=True)
        genotype.save(folder / layout.GENOTYPE_FILE)
        record = {"kind": job.kind, "method": job.method, "seconds": 1.0, "wall": 1.0}
        write_sealed(folder / layout.JOB_FILE, {**record, FILES: files_of(folder)})
        found.setdefault(layout.searched_network(job.method, job.search_seed), []).append(genotype)
    return found


def test_each_network_has_a_name_of_its_own_and_a_design_a_fold(experiment):
    found = finish_searches(experiment)
    experiment = changed(experiment, {"baselines.random": 2, "baselines.networks": BASELINES})
    designs = network_designs(experiment)
    drawn = {"random_0", "random_1"}
    by_hand = {f"{name}_{size}" for name in BASELINES for size in ("paper", "matched")}
    assert set(designs) == {*found, *drawn, *by_hand}
    assert {len(of_folds) for of_folds in designs.values()} == {2}
    for network, genotypes in found.items():
        assert [from_json(design.value) for design in designs[network]] == genotypes


def test_by_default_only_what_is_found_is_trained(experiment):
    found = finish_searches(experiment)
    assert set(network_designs(experiment)) == set(found)


def test_a_given_genotype_is_trained_on_every_fold_and_needs_no_search(experiment, tmp_path):
    genotype = random_genotype(np.random.default_rng(0), nodes=1, operations=("skip_connect", "avg_pool_3x3"))
    genotype.save(tmp_path / "genotype.json")
    designs = network_designs(changed(experiment, {"train.genotype": str(tmp_path / "genotype.json")}))
    assert [from_json(design.value) for design in designs.pop("genotype")] == [genotype] * 2
    assert designs == {}


def test_a_search_that_is_not_done_is_named(experiment):
    with pytest.raises(ConfigError, match=r"first/seed_0/fold_0/job\.json is missing"):
        network_designs(experiment)


def test_a_fold_has_the_same_draws_whatever_other_folds_are_run(experiment):
    experiment = changed(experiment, {"baselines.random": 1, "search.methods": ()})
    (both,) = network_designs(experiment).values()
    assert both[0].key != both[1].key
    for fold, expected in zip(experiment.folds, both, strict=True):
        (alone,) = network_designs(dataclasses.replace(experiment, folds=(fold,))).values()
        assert [design.key for design in alone] == [expected.key]


def test_another_space_adds_its_draws_and_changes_no_other_network(experiment):
    experiment = changed(experiment, {"baselines.random": 2})
    finish_searches(experiment)
    before = network_designs(experiment)
    joint = {"order": "first", "sequence": "rnn", "sequence_nodes": 2}
    more = changed(experiment, {"search.variants.joint": joint, "search.methods": ("joint",)})
    finish_searches(more)
    more = changed(more, {"search.methods": (*experiment.config.search.methods, "joint")})
    after = network_designs(more)
    assert set(after) - set(before) == {"joint/search_0", "random_rnn_nodes_2_0", "random_rnn_nodes_2_1"}
    for network, of_folds in before.items():
        assert [design.key for design in after[network]] == [design.key for design in of_folds]
