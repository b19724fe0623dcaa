"""The rules that end a search: when they do, when not, and with which genotype."""

import json

import numpy as np
import pytest

from jax_ser_darts.search.early_stopping import Rules

OPERATIONS = ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "none")


def line(epoch, *, skips=0, alphas=None, eigenvalue=None, warmup=False):
    """A line of metrics.jsonl, as far as the rules read it."""
    edges = [["skip_connect" if i < skips else "sep_conv_3x3", i % 2] for i in range(4)]
    metrics = {
        "epoch": epoch,
        "genotype": {"normal": [edges[:2], edges[2:]], "reduction": [[["skip_connect", 0]] * 2] * 2},
        "alphas": {"normal": np.zeros((2, 5)).tolist() if alphas is None else alphas},
        "eigenvalue": eigenvalue,
    }
    return json.loads(json.dumps(metrics if warmup else {**metrics, "val": {}}))


def first_stop(rules, lines):
    """The stop of a search that would have had these epochs."""
    return next((stop for n in range(1, len(lines) + 1) if (stop := rules(lines[:n]))), None)


class TestSkips:
    def test_as_many_as_allowed_in_the_normal_cell(self):
        lines = [line(epoch, skips=epoch) for epoch in range(4)]
        stop = first_stop(Rules(skips=2), lines)
        assert (stop.rule, stop.epoch, stop.genotype_epoch) == ("skips", 2, 2)
        assert first_stop(Rules(skips=4), lines) is None, "the reduction cell does not count"
        assert first_stop(Rules(), lines) is None


class TestRanking:
    @staticmethod
    def alphas(*order):
        """The three learnable candidates in this order on both edges."""
        row = [9.0, *(float(-order.index(k)) for k in range(3)), 5.0]
        return [row, row]

    def test_as_many_epochs_with_the_same_ranking(self):
        orders = [(0, 1, 2), (0, 2, 1), (0, 2, 1), (0, 2, 1), (0, 2, 1)]
        lines = [line(epoch, alphas=self.alphas(*order)) for epoch, order in enumerate(orders)]
        stop = first_stop(Rules(stable=3, operations=OPERATIONS), lines)
        assert (stop.rule, stop.epoch, stop.genotype_epoch) == ("ranking", 3, 3)
        assert first_stop(Rules(stable=5, operations=OPERATIONS), lines) is None

    def test_skips_and_none_have_no_rank(self):
        lines = [line(epoch, alphas=self.alphas(0, 1, 2)) for epoch in range(2)]
        for row in lines[1]["alphas"]["normal"]:
            row[0], row[4] = row[4], row[0]
        assert first_stop(Rules(stable=2, operations=OPERATIONS), lines)
        lines[1]["alphas"]["normal"][1][1:4] = [0.0, 3.0, 1.0]
        assert first_stop(Rules(stable=2, operations=OPERATIONS), lines) is None, "each edge counts"

    def test_sequence_cells_have_candidates_of_their_own(self):
        lines = [line(epoch) for epoch in range(2)]
        for metrics, row in zip(lines, ([0.0, 1.0, 0.0], [1.0, 0.0, 0.0]), strict=True):
            metrics["alphas"]["sequence"] = [row]
        rules = Rules(
            stable=2, operations=OPERATIONS, sequence_operations=("lstm_1", "rnn_1", "skip_connect")
        )
        assert first_stop(rules, lines) is None
        lines[1]["alphas"]["sequence"] = lines[0]["alphas"]["sequence"]
        assert first_stop(rules, lines)

    def test_the_warm_up_does_not_count(self):
        lines = [line(epoch, warmup=epoch < 3) for epoch in range(5)]
        assert first_stop(Rules(stable=3, operations=OPERATIONS), lines) is None
        assert first_stop(Rules(stable=2, operations=OPERATIONS), lines).epoch == 4


class TestEigenvalue:
    RULES = Rules(ratio=1.3, window=5, delay=4, start=10)

    def test_fast_growth_returns_the_genotype_of_before(self):
        """Means of 5: flat at 1 to epoch 12, then +0.2 an epoch. 1.3 times the mean 4 epochs before."""
        values = [-1.0] * 13 + [-1.0 - 0.2 * i for i in range(1, 8)]
        means = {e: np.mean(np.abs(values[e - 4 : e + 1])) for e in range(4, len(values))}
        expected = next(e for e in range(10, len(values)) if means[e] > 1.3 * means[e - 4])
        stop = first_stop(self.RULES, [line(e, eigenvalue=v) for e, v in enumerate(values)])
        assert 13 < expected < 19
        assert (stop.rule, stop.epoch, stop.genotype_epoch) == ("eigenvalue", expected, expected - 4)

    @pytest.mark.parametrize("growth", [1.0, 1.05])
    def test_slow_growth_stops_nothing(self, growth):
        assert first_stop(self.RULES, [line(e, eigenvalue=growth**e) for e in range(50)]) is None

    def test_growth_before_the_start_stops_nothing(self):
        values = [2.0**e for e in range(10)] + [2.0**9] * 20
        assert first_stop(self.RULES, [line(e, eigenvalue=v) for e, v in enumerate(values[:10])]) is None
        assert first_stop(self.RULES, [line(e, eigenvalue=v) for e, v in enumerate(values)]).epoch == 10

    def test_a_lost_number_stops_nothing(self):
        values = [1.0] * 10 + [None] + [1e3] * 4
        assert first_stop(self.RULES, [line(e, eigenvalue=v) for e, v in enumerate(values)]) is None
