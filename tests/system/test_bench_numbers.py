# SPDX-License-Identifier: Apache-2.0
"""The statistics of bench/: a verdict is only as good as they are."""
import random
import statistics
import sys

import pytest

from harness.processes import ROOT

sys.path.insert(0, str(ROOT / "bench"))
from fanout_numbers import Measure, median_interval, outcome  # noqa: E402

HIGHER = Measure("speed", "speed", 0.95, higher_is_better=True)
LOWER = Measure("times.p50", "p50", 1.1)
BYTES = Measure("speed", "RSS", 300, is_ratio=False)


def pairs(ours, other=1.0):
    return [{"ours": {"speed": value, "times": {"p50": value}}, "other": {"speed": other, "times": {"p50": other}}} for value in ours]


def test_the_interval_lies_between_values_and_knows_how_sure_it_is():
    eleven = median_interval(range(11))
    assert (eleven.low, eleven.high) == (1, 9) and eleven.level == pytest.approx(1 - 2 * 12 / 2 ** 11)
    three = median_interval([3, 1, 2])
    assert (three.low, three.high) == (1, 3) and three.level == pytest.approx(0.75)
    one = median_interval([5])
    assert (one.low, one.high, one.level) == (5, 5, 0)


@pytest.mark.parametrize("count", [6, 9, 11, 21])
def test_the_interval_holds_the_median_as_often_as_it_says(count):
    dice = random.Random(count)
    runs = 4000
    held = sum(interval.low <= 0 <= interval.high
               for interval in (median_interval([dice.gauss(0, 1) for _ in range(count)]) for _ in range(runs)))
    assert held / runs > 0.94


def test_quotients_are_of_neighbouring_runs():
    found = outcome(LOWER, [{"ours": {"times": {"p50": 2}}, "other": {"times": {"p50": 1}}},
                            {"ours": {"times": {"p50": 30}}, "other": {"times": {"p50": 10}}}])
    assert found.judged == [2, 3] and found.median == statistics.median([2, 3])


def test_a_measure_that_a_side_does_not_have_is_no_outcome():
    assert outcome(HIGHER, [{"ours": {"speed": 1}, "other": None}]) is None
    assert outcome(HIGHER, [{"ours": {}, "other": {"speed": 1}}]) is None


@pytest.mark.parametrize("measure, ours, verdict", [
    (HIGHER, [1.0] * 11, "met"),
    (HIGHER, [0.5] * 11, "MISSED"),
    (HIGHER, [0.5, 0.6, 0.7, 0.9, 0.94, 0.96, 1, 1, 1, 1, 1], "met by the median; the interval reaches across"),
    (LOWER, [1.0] * 11, "met"),
    (LOWER, [1.2] * 11, "MISSED"),
    (LOWER, [1.0] * 5 + [1.2] * 6, "MISSED by the median; the interval reaches across"),
    (HIGHER, [0.9], "MISSED, too few pairs to be sure"),
    (BYTES, [290] * 5, "met"),
    (BYTES, [310] * 5, "MISSED"),
])
def test_verdicts(measure, ours, verdict):
    assert outcome(measure, pairs(ours)).verdict() == verdict


def test_more_than_the_target_is_more_than_one_whichever_way_is_better():
    assert outcome(HIGHER, pairs([1.9])).times_target(1.9) == pytest.approx(2)
    assert outcome(LOWER, pairs([0.55])).times_target(0.55) == pytest.approx(2)
