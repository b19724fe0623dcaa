"""When a search has begun to collapse, or has nothing left to decide: rules that read the metrics of its epochs.

Each is a function of the lines of metrics.jsonl, so a search that is resumed decides as one that was never stopped.

    skips       the normal cell holds as many skip connections            (DARTS+, Liang et al. 2019, criterion 1)
    ranking     the learnable candidates rank the same on each edge       (DARTS+, criterion 2)
    eigenvalue  the dominant eigenvalue of d2 L_val / da2 has grown fast  (RobustDARTS, Zela et al. 2020, section 4.3)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jax_ser_darts.search_space.genotype import SEQUENCE
from jax_ser_darts.search_space.operations import SKIP, is_learnable
from jax_ser_darts.search_space.sequence_operations import RECURRENCES

Line = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Stop:
    """Why a search ended before its time.

    Attributes:
        rule: skips, ranking or eigenvalue.
        epoch: the last one.
        genotype_epoch: whose genotype is the result.
        reason: for people.
    """

    rule: str
    epoch: int
    genotype_epoch: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """Which rules are on; see config.search for their meaning.

    Attributes:
        skips: of the normal cell; 0 is off.
        stable: epochs; 0 is off.
        ratio: of two means of the eigenvalue; 0 is off.
        window: epochs of a mean.
        delay: epochs between the two means.
        start: first epoch that may stop by the eigenvalue.
        operations, sequence_operations: the columns of the alphas.
    """

    skips: int = 0
    stable: int = 0
    ratio: float = 0.0
    window: int = 5
    delay: int = 4
    start: int = 10
    operations: Sequence[str] = ()
    sequence_operations: Sequence[str] = ()

    def __call__(self, lines: Sequence[Line]) -> Stop | None:
        """The stop that the last of the lines is due to, or None.

        Args:
            lines: of all epochs so far: "epoch", "genotype", "alphas", and where that rule is on "eigenvalue". Those
                of the warm-up, without "val", count for nothing: the alphas have not moved yet.
        """
        lines = [line for line in lines if "val" in line]
        for rule in (self._by_skips, self._by_ranking, self._by_eigenvalue):
            if lines and (stop := rule(lines)):
                return stop
        return None

    def _by_skips(self, lines):
        skips = sum(operation == SKIP for node in lines[-1]["genotype"]["normal"] for operation, _ in node)
        if self.skips and skips >= self.skips:
            return _now("skips", lines, f"{skips} skip connections in the normal cell")
        return None

    def _by_ranking(self, lines):
        if not self.stable or len(lines) < self.stable:
            return None
        first, *others = (self._ranking(line["alphas"]) for line in lines[-self.stable :])
        if all(other == first for other in others):
            return _now("ranking", lines, f"the same ranking for {self.stable} epochs")
        return None

    def _by_eigenvalue(self, lines):
        if not self.ratio or lines[-1]["epoch"] < self.start or len(lines) < self.window + self.delay:
            return None
        # null, which was not finite, is NaN
        values = np.abs(np.array([line["eigenvalue"] for line in lines], float))
        now, before = (
            values[len(values) - self.window - ago :][: self.window].mean() for ago in (0, self.delay)
        )
        if now > self.ratio * before:
            reason = f"the dominant eigenvalue, a mean of {self.window} epochs, grew from {before:.4g} to {now:.4g}"
            return Stop(
                "eigenvalue", lines[-1]["epoch"], lines[-1 - self.delay]["epoch"], f"{reason} in {self.delay}"
            )
        return None

    def _ranking(self, alphas):
        """Of each kind and edge: the learnable candidates, the strongest first."""
        ranking = {}
        for kind, rows in alphas.items():
            names = self.sequence_operations if kind == SEQUENCE else self.operations
            columns = [k for k, name in enumerate(names) if is_learnable(name) or name in RECURRENCES]
            ranking[kind] = np.argsort(-np.asarray(rows)[:, columns], axis=1, kind="stable").tolist()
        return ranking


def _now(rule, lines, reason):
    return Stop(rule, lines[-1]["epoch"], lines[-1]["epoch"], reason)
