"""The candidate operations: their names, their padding, and what a search space may be."""

import pytest

from jax_ser_darts.search_space import operations
from jax_ser_darts.search_space.operations import (
    NONE,
    OPERATIONS,
    Convolution,
    Pooling,
    check_operations,
    of_kind,
    register,
)


def test_the_eight_candidates_are_those_of_the_original_paper():
    pools, convolutions = {"max_pool_3x3", "avg_pool_3x3"}, {"sep_conv_3x3", "sep_conv_5x5"}
    dilated = {"dil_conv_3x3", "dil_conv_5x5"}
    assert set(OPERATIONS) == {"none", "skip_connect"} | pools | convolutions | dilated
    assert len(OPERATIONS) == 8


@pytest.mark.parametrize(("name", "spec"), of_kind(Convolution, OPERATIONS).items())
def test_padding_keeps_the_size(name, spec):
    reach = spec.dilation * (spec.kernel - 1)  # a kernel covers 1 + reach positions
    assert 2 * spec.pad == reach
    assert f"{spec.kernel}x{spec.kernel}" in name
    assert spec.stages == (2 if name.startswith("sep") else 1)
    assert spec.dilation == (2 if name.startswith("dil") else 1)


@pytest.mark.parametrize("sizes", [(4,), (3, 0), (3, 1, 0), (13,), (3.0,), (True,)])
def test_a_convolution_that_cannot_be_is_refused(sizes):
    with pytest.raises(operations.OperationError, match="odd kernel"):
        Convolution(*sizes)


@pytest.mark.parametrize(("kind", "window"), [("median", 3), ("max", 4), ("max", 1), ("average", 13)])
def test_a_pool_that_cannot_be_is_refused(kind, window):
    with pytest.raises(operations.OperationError, match="odd window"):
        Pooling(kind, window)


def test_a_registered_operation_comes_after_those_of_dartss(monkeypatch):
    monkeypatch.setattr(operations, "_registered", dict(operations._registered))
    register("sep_conv_7x7", Convolution(kernel=7))
    assert operations.names() == (*OPERATIONS, "sep_conv_7x7")
    assert list(of_kind(Convolution, ("sep_conv_7x7", "none", "sep_conv_3x3"))) == [
        "sep_conv_7x7",
        "sep_conv_3x3",
    ]


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
