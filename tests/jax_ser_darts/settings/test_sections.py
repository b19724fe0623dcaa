"""Every setting has a meaning, a default that it may have, and choices that the code knows."""

import typing

import pytest

from jax_ser_darts import bilevel
from jax_ser_darts.devices import parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.fields import all_fields, checked
from jax_ser_darts.models.baselines import SIZES
from jax_ser_darts.models.relaxed import EDGES
from jax_ser_darts.search_space.sequence_operations import SEQUENCES
from jax_ser_darts.settings import Settings
from jax_ser_darts.settings.convert import replaced
from jax_ser_darts.settings.sections import Order, Size

FIELDS = {field.name: field for field in all_fields(Settings)}


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_has_a_meaning_and_its_default_may_be(name):
    field = FIELDS[name]
    assert len(field.spec.meaning) > 5
    assert not field.spec.meaning.endswith(".")
    if not field.spec.filled or field.default:
        assert checked(field, field.default) == field.default


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("search.hvp", bilevel.PRODUCTS),
        ("search.edges", EDGES),
        ("search.sequence", SEQUENCES),
        ("parallel", parallel.MAPPINGS),
    ],
)
def test_choices_are_those_of_the_code(name, known):
    assert FIELDS[name].choices == tuple(known)


def test_orders_and_sizes_are_those_of_the_code():
    assert typing.get_args(Order) == bilevel.HYPERGRADIENTS
    assert typing.get_args(Size) == SIZES


def test_a_setting_of_the_grid_may_change_in_a_workdir():
    assert all(field.spec.resumable for field in FIELDS.values() if field.spec.grid)


def test_a_method_changes_its_settings_and_no_others():
    mine = {"order": "second", "hvp_epsilon": 1}
    settings = replaced(Settings(), {"search.variants.mine": mine})
    order, search = settings.method("mine")
    assert (order, search) == ("second", replaced(settings, {"search.hvp_epsilon": 1.0}).search)
    assert isinstance(search.hvp_epsilon, float), "as declared"
    assert settings.method("first") == ("first", settings.search)


def test_a_method_with_a_value_that_cannot_be_is_an_error():
    settings = replaced(Settings(), {"search.variants.mine": {"order": "second", "hvp": "guess"}})
    with pytest.raises(ConfigError, match=r"config\.search\.hvp = 'guess' must be one of"):
        settings.method("mine")
