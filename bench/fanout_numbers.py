"""What pairs of runs say: medians, their confidence intervals, and whether a target is met.

SPDX-License-Identifier: Apache-2.0
"""
import math
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a median, between two of the values themselves, so that no distribution is assumed."""
    low: float
    high: float
    level: float  # How sure it is: at least 0.95 from 6 values on; with fewer the lowest and the highest value, which is less.


def median_interval(values) -> Interval:
    """The narrowest interval of order statistics that holds the median with 95 %.

    Of n values the number below the true median is binomial(n, 1/2): the interval from the k-th lowest to the k-th highest value misses
    it with probability 2 P(fewer than k of n)."""
    ordered = sorted(values)
    n = len(ordered)

    def level(k):
        return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2 ** n

    k = 1
    while k + 1 <= n // 2 and level(k + 1) >= 0.95:
        k += 1
    return Interval(ordered[k - 1], ordered[-k], level(k) if n > 1 else 0.0)


@dataclass(frozen=True)
class Measure:
    """One number that a row reports."""
    key: str             # Its name in a run's report; a dot leads into a nested object.
    label: str
    target: float = None
    higher_is_better: bool = False
    is_ratio: bool = True  # The target is about ours / other; otherwise about ours alone.
    scale: float = 1.0     # From the report's unit to the shown one.
    form: str = ",.2f"

    def of(self, report: dict):
        """None: this side does not have it."""
        for part in self.key.split("."):
            if report is None or part not in report:
                return None
            report = report[part]
        return report * self.scale


@dataclass(frozen=True)
class Outcome:
    """A measure over all pairs of a row."""
    measure: Measure
    ours: list
    other: list   # Empty: there is no other side.
    judged: list  # What the target is about: quotients or our values.

    @property
    def median(self) -> float:
        return statistics.median(self.judged)

    @property
    def interval(self) -> Interval:
        return median_interval(self.judged)

    def verdict(self) -> str:
        """Against the target, by the median; `clearly` when the whole interval is on that side."""
        if self.measure.target is None:
            return "for information"
        target, interval = self.measure.target, self.interval
        if self.measure.higher_is_better:
            met, clearly_met, clearly_missed = self.median >= target, interval.low >= target, interval.high < target
        else:
            met, clearly_met, clearly_missed = self.median <= target, interval.high <= target, interval.low > target
        if len(self.judged) < 6:
            # Bytes and counts hardly vary; quotients do.
            return ("met" if met else "MISSED") + (", too few pairs to be sure" if self.measure.is_ratio else "")
        if met:
            return "met" if clearly_met else "met by the median; the interval reaches across"
        return "MISSED" if clearly_missed else "MISSED by the median; the interval reaches across"

    def times_target(self, value: float):
        """How good a value is: 1 is the target, more is better."""
        if not value or not self.measure.target:
            return None
        return value / self.measure.target if self.measure.higher_is_better else self.measure.target / value


def outcome(measure: Measure, pairs) -> Outcome:
    """None when no run has this measure."""
    ours = [measure.of(pair["ours"]) for pair in pairs]
    other = [measure.of(pair["other"]) for pair in pairs if pair.get("other")]
    other = [value for value in other if value is not None]
    if any(value is None for value in ours) or not ours:
        return None
    if not measure.is_ratio:
        return Outcome(measure, ours, other, ours)
    if len(other) != len(ours):
        return None
    return Outcome(measure, ours, other, [one / two if two else math.inf for one, two in zip(ours, other)])
