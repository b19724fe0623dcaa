"""The candidates of the sequence cells, by group."""

import pytest

from jax_ser_darts.search_space.sequence_operations import (
    FAMILIES,
    FIXED,
    GROUPS,
    RECURRENCES,
    SEQUENCES,
    sequence_operations,
)


def test_all_are_the_fourteen_of_emodarts():
    names = [f"{kind}_{k}" for kind in ("lstm", "rnn") for k in (1, 2, 3, 4)]
    names += [f"{kind}_att_{k}" for kind in ("lstm", "rnn") for k in (1, 2)]
    assert set(sequence_operations("all")) == {*names, "skip_connect", "none"}
    assert len(sequence_operations("all")) == 14


@pytest.mark.parametrize("family", FAMILIES)
def test_a_group_is_a_family_with_identity_and_none(family):
    chosen = sequence_operations(family)
    assert {RECURRENCES[name].family for name in chosen if name in RECURRENCES} == {family}
    assert [RECURRENCES[name].layers for name in chosen[:-2]] == list(range(1, len(chosen) - 1))
    assert chosen[-2:] == ("skip_connect", "none")


def test_fixed_has_nothing_to_choose_and_other_names_are_refused():
    assert sequence_operations(FIXED) == ()
    assert set(SEQUENCES) == {FIXED, *GROUPS}
    with pytest.raises(ValueError, match="'gru' is not one of fixed, all, lstm"):
        sequence_operations("gru")
