"""--mode=plan: what XLA says of the config's own programs, and the largest batch that fits."""

import jax
import pytest
from tiny import tiny_settings

from jax_ser_darts import main, plan
from jax_ser_darts.devices import parallel
from jax_ser_darts.errors import ConfigError
from jax_ser_darts.plan import Need, largest_size
from jax_ser_darts.settings.convert import replaced


def need_of(slope, fixed):
    """A step whose need grows in a line."""
    return lambda size: Need(fixed, 0, 0, slope * size, 0, program="any")


@pytest.mark.parametrize("limit", [1_000, 5_000, 77_777])
@pytest.mark.parametrize("sizes", [(2, 4), (500, 1_000)])
def test_the_largest_batch_is_the_last_that_fits(limit, sizes):
    need = need_of(10, 300)
    largest = largest_size(need, {size: need(size) for size in sizes}, limit)
    assert need(largest).total <= limit
    assert need(largest).total >= plan.NEAR * limit


def test_a_need_that_grows_faster_is_not_believed_from_its_beginning():
    """Every size that is named has been compiled and fits."""
    tried = {}

    def need(size):
        return tried.setdefault(size, Need(0, 0, 0, round(size**1.1), 0, program="any"))

    largest = largest_size(need, {16: need(16), 32: need(32)}, 10_000)
    assert tried[largest].total <= 10_000
    assert tried[largest].total > 9_000


def test_none_fits_where_the_state_alone_is_too_large():
    need = need_of(10, 300)
    assert largest_size(need, {2: need(2), 4: need(4)}, 200) is None


def test_the_batch_of_a_step_that_needs_nothing_more_has_an_end():
    need = need_of(1, 0)
    assert largest_size(need, {2: need(2), 4: need(4)}, 1e12) == plan.LARGEST


@pytest.fixture(scope="module")
def tiny():
    """Settings with little to compile."""
    return tiny_settings({"space.operations": ("avg_pool_3x3", "skip_connect"), "train.auxiliary": 0.0})


@pytest.fixture(scope="module")
def steps(tiny):
    """Name -> step, on as many devices as the config says."""
    devices, compiler = parallel.local_devices(tiny.devices), plan.Compiler()
    made = plan.search_steps(plan.stand_in(tiny), devices, compiler)
    return {step.name: step for _, step in made}


class TestNeed:
    def test_state_and_copies_are_what_the_arrays_take(self, steps):
        first, second = (steps[name].need(16) for name in ("first", "second"))
        assert first.copies == 0
        assert second.copies == 4 * 4 * steps["second"].parameters, "four float32 copies of the weights"
        assert first.state == second.state > 2 * 4 * steps["first"].parameters, "weights, momentum, alphas"

    @pytest.mark.slow
    def test_batches_grow_with_the_batch_and_so_does_temporary_memory(self, steps):
        small, large = (steps["first"].need(size) for size in (8, 16))
        assert large.batches == 2 * small.batches
        assert large.temporary > 1.5 * small.temporary > 0
        assert large.state == small.state

    def test_no_activation_of_a_batch_is_larger_than_the_temporary_memory(self, steps, tiny):
        """What a step must hold at the least: the stem's output for each utterance."""
        frames, coefficients = plan.stand_in(tiny).frames, tiny.features.coefficients
        stem = 4 * frames * coefficients * tiny.model.stem_multiplier * tiny.search.channels
        assert steps["first"].need(16).temporary > 16 * stem

    def test_the_second_order_takes_more(self, steps):
        assert steps["second"].need(16).total > steps["first"].need(16).total


@pytest.mark.slow
def test_the_table_names_what_does_not_fit_and_what_does(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, "ROUNDS", 0)  # what is compiled at the config's own batch says enough here
    changes = {"search.methods": ("first",), "search.batch_size": 32, "train.batch_size": 32}
    settings = replaced(tiny, changes)
    main.run(settings, tmp_path, "plan", memory=1e-4)
    text = capsys.readouterr().out
    assert "first does NOT fit: config.search.batch_size = 32" in text
    assert "none seen" in text
    main.run(settings, tmp_path, "plan", memory=4.0)
    text = capsys.readouterr().out
    assert "NOT fit" not in text
    row = next(line.split() for line in text.splitlines() if line.startswith("first"))
    assert row[1] == row[-1] == "32"
    assert not list(tmp_path.iterdir()), "a plan leaves nothing behind"


def test_devices_that_are_not_here_take_their_share_of_the_batch(tiny, monkeypatch):
    seen = []
    monkeypatch.setattr(
        plan,
        "_row",
        lambda step, batch, devices, limit: (
            seen.append(batch // devices)
            or plan.Row(step.name, 1, batch, Need(0, 0, 0, 0, 0, "any"), 0, None)
        ),
    )
    assert f"64 device(s), compiled for {jax.local_device_count()} x" in plan.plan(
        replaced(tiny, {"devices": 64})
    )
    assert set(seen) == {1}


def test_a_batch_that_cannot_be_divided_is_an_error(tiny):
    with pytest.raises(ConfigError, match=r"config\.search\.batch_size = 64 cannot be divided over 7"):
        plan.plan(replaced(tiny, {"devices": 7}))
