"""A network survives its description; what only training needs does not."""

import json

import pytest

from jax_ser_darts.models.baselines import Baseline
from jax_ser_darts.models.description import DescriptionError, build, describe
from jax_ser_darts.models.network import Network
from jax_ser_darts.search_space.genotype import Edge, Genotype, GenotypeError

CELL = ((Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),)
NETWORK = Network(
    classes=4, genotype=Genotype(CELL, CELL), cells=3, channels=8, reductions=frozenset({2, 1}), hidden=7
)
BASELINE = Baseline(kind="cnn_lstm", classes=5, channels=1, units=9)


@pytest.mark.parametrize(
    "network", [NETWORK, BASELINE, NETWORK.clone(reductions=None), NETWORK.clone(stem="project")]
)
def test_a_network_survives_its_description(network):
    assert build(json.loads(json.dumps(describe(network)))) == network


def test_what_only_training_needs_is_left_out():
    trained = NETWORK.clone(dropout=0.3, auxiliary=True, momentum=0.5, axis_name="devices")
    assert build(describe(trained)) == NETWORK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "transformer"}, "not one of genotype, baseline"),
        ({"model": ["genotype"]}, "not one of genotype, baseline"),
        ({"cells": 10**6}, "no size"),
        ({"cells": True}, "no size"),
        ({"channels": 2.5}, "no size"),
        ({"stem": "pool"}, "stem 'pool' is not one of conv, project"),
        ({"reductions": 1}, "not a list"),
        ({"reductions": [None]}, "no size"),
        ({"dropout": 0.5}, "unknown entries dropout"),
    ],
)
def test_what_describes_no_network_is_refused(change, message):
    with pytest.raises(DescriptionError, match=message):
        build({**describe(NETWORK), **change})


def test_a_missing_entry_and_a_bad_genotype_are_named():
    without = {name: value for name, value in describe(NETWORK).items() if name != "channels"}
    with pytest.raises(DescriptionError, match="lacks the entries channels"):
        build(without)
    with pytest.raises(GenotypeError, match="normal"):
        build({**describe(NETWORK), "genotype": {"normal": 3, "reduction": 3}})
