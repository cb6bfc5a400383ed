# SPDX-License-Identifier: Apache-2.0
"""Histories that a faulty boardbus, or a faulty network, would have left: a checker that passes one of them is worth nothing (I20).

A mutant takes the records of a sound run and returns those of the same run with one bug in it, or None when this run cannot show the
bug (no retries in it, say). `caught_by` are the invariants of which at least one must fail. The mutants themselves are in mutants_bus.py,
mutants_readers.py and mutants_crowd.py.
"""
import copy
import random
from dataclasses import dataclass
from typing import Callable

import checker
from finding import FAIL, UNKNOWN
from history import History
from model import ACCEPTED, Model


@dataclass
class Mutant:
    name: str
    text: str
    caught_by: set
    change: Callable
    verdict: str = FAIL  # What the checker must say; only a vacuous run is `unknown`.


MUTANTS = {}


def mutant(name: str, *caught_by: str, verdict: str = FAIL):
    def register(change):
        MUTANTS[name] = Mutant(name, change.__doc__.split("\n")[0], set(caught_by), change, verdict)
        return change
    return register


def judge(mutant: Mutant, sound: History, rng: random.Random) -> tuple:
    """(what happened, whether the checker caught it; None when the run cannot show it)."""
    records = mutant.change(copy.deepcopy(sound.records), Model(sound), rng)
    if records is None:
        return "this run cannot show it", None
    records.sort(key=lambda record: record["t"])
    verdict = checker.Verdict(History(sound.meta, records))
    if mutant.verdict == UNKNOWN:
        return f"verdict {verdict.verdict}", verdict.verdict == UNKNOWN
    failed = verdict.failed()
    caught = bool(failed & mutant.caught_by)
    return f"{'caught' if caught else 'MISSED'} by {' '.join(sorted(failed)) or 'nobody'}", caught


def missed(sound: History) -> tuple:
    """(how many mutants of this run were caught, the names of those that were not)."""
    judged = {mutant.name: judge(mutant, sound, random.Random(1))[1] for mutant in MUTANTS.values()}
    return sum(caught is True for caught in judged.values()), [name for name, caught in judged.items() if caught is False]


# For the mutants: choosing a victim.

def delivered(model, rng) -> str:
    """The key of an accepted message that was delivered to somebody."""
    received = {record["key"] for record in model.by_op["recv"]}
    keys = sorted(m.key for m in model.with_outcome(ACCEPTED) if m.key in received and not m.probe and m.expect == "deliver")
    return rng.choice(keys) if keys else None


def without(records, key, *ops) -> list:
    return [record for record in records if not (record["op"] in ops and record.get("key") == key)]


def inner(model, rng):
    """(records of one reader and board, place): an event with neighbours on both sides, all on one connection."""
    places = []
    for reader in model.readers.values():
        for board in sorted(reader.boards):
            steps = reader.steps[board]
            places += [(steps, at) for at in range(1, len(steps) - 2) if all(steps[at + d]["op"] == "recv" for d in (-1, 0, 1, 2))]
    return rng.choice(places) if places else None


def find(records, wanted) -> int:
    return next(at for at, record in enumerate(records) if record == wanted)
