"""The candidate operations: their names, their padding, and what a search space may be."""

import pytest

from jax_ser_darts.search_space.operations import (
    CONVOLUTIONS,
    NONE,
    OPERATIONS,
    Convolution,
    check_operations,
)


def test_the_eight_candidates_are_those_of_the_seed_paper():
    pools, convolutions = {"max_pool_3x3", "avg_pool_3x3"}, {"sep_conv_3x3", "sep_conv_5x5"}
    dilated = {"dil_conv_3x3", "dil_conv_5x5"}
    assert set(OPERATIONS) == {"none", "skip_connect"} | pools | convolutions | dilated
    assert len(OPERATIONS) == 8


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_padding_keeps_the_size(name):
    spec = CONVOLUTIONS[name]
    reach = spec.dilation * (spec.kernel - 1)  # a kernel covers 1 + reach positions
    assert 2 * spec.pad == reach
    assert f"{spec.kernel}x{spec.kernel}" in name
    assert spec.stages == (2 if name.startswith("sep") else 1)
    assert spec.dilation == (2 if name.startswith("dil") else 1)


def test_a_convolution_can_be_the_key_of_a_dict():
    assert hash(Convolution(3, 1, 2)) == hash(Convolution(3, 1, 2))


def test_a_search_space_keeps_its_order():
    names = ["skip_connect", "max_pool_3x3", NONE]
    assert check_operations(names) == tuple(names)
    assert check_operations(OPERATIONS) == OPERATIONS


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["skip_connect", "conv_7x7"], "conv_7x7"),
        (["skip_connect", "none", "skip_connect"], "named twice"),
        (["none"], "besides 'none'"),
        ([], "besides 'none'"),
    ],
)
def test_an_impossible_search_space_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        check_operations(names)
