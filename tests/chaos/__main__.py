# SPDX-License-Identifier: Apache-2.0
"""Proves "nothing lost, nothing twice, one order" under faults, or shows where it is not so.

  ./dev chaos [--seed N] [--minutes M]   one long run with random faults, one to three at a time
  ./dev chaos --matrix [-k WORDS]        each fault once, a line for each; table in build/chaos/SEED/matrix.md
  ./dev chaos --ci                       a fixed short choice of the matrix
  ./dev chaos --check DIR                judges a stored run again
  ./dev chaos --mutate NAME DIR          falsifies a stored run; the checker has to fail it (`all`: every mutant)
  ./dev chaos --report --seed N          puts what the runs of a seed have shown into docs/guarantees.md
  ./dev chaos --list                     rows, faults and mutants
"""
import argparse
import random
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "system")]

import campaign  # noqa: E402
import checker  # noqa: E402
import history  # noqa: E402
import mutants  # noqa: E402
import mutants_bus  # noqa: E402, F401
import mutants_crowd  # noqa: E402, F401
import mutants_readers  # noqa: E402, F401
import nemesis  # noqa: E402
import report  # noqa: E402
import rows  # noqa: E402
from finding import FAIL, PASS  # noqa: E402
from harness.processes import ROOT  # noqa: E402


def check(folder: str) -> int:
    verdict = checker.Verdict(history.read(Path(folder)))
    print(verdict.text())
    return 0 if verdict.verdict == PASS else 1


def mutate(name: str, folder: str) -> int:
    """0 when the checker caught every mutant that this run can show."""
    stored = history.read(Path(folder))
    sound = checker.Verdict(stored)
    if sound.verdict == FAIL:
        print(f"the run itself fails {' '.join(sorted(sound.failed()))}: mutants of it show nothing")
        return 1
    missed = 0
    for mutant in mutants.MUTANTS.values() if name == "all" else [mutants.MUTANTS[name]]:
        text, caught = mutants.judge(mutant, stored, random.Random(1))
        missed += caught is False
        print(f"{mutant.name:<26} {text}")
    return 1 if missed else 0


def listing() -> int:
    for plan in rows.matrix():
        print(f"row     {plan.name:<28} {plan.what}")
    for name, reason in rows.NOT_DONE.items():
        print(f"row     {name:<28} not done: {reason}")
    for name, body in nemesis.FAULTS.items():
        print(f"fault   {name:<36} {body.__doc__.splitlines()[0]}")
    for mutant in mutants.MUTANTS.values():
        print(f"mutant  {mutant.name:<28} {mutant.text}  ({' '.join(sorted(mutant.caught_by))})")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--ci", action="store_true")
    parser.add_argument("-k", metavar="WORDS", help="only rows whose name is or contains one of these words")
    parser.add_argument("--check", metavar="DIR")
    parser.add_argument("--mutate", nargs=2, metavar=("NAME", "DIR"))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.check:
        return check(options.check)
    if options.mutate:
        return mutate(*options.mutate)
    if options.list:
        return listing()
    seed = options.seed if options.seed is not None else 1 if options.ci else int(time.time()) % 1_000_000
    words = options.k.split() if options.k else None
    if options.report:
        return report.report(campaign.RESULTS / str(seed), ROOT / "docs" / "guarantees.md")
    if options.matrix or options.ci:
        return campaign.run_matrix(seed, words, rows.CI if options.ci else None)
    return campaign.run_mixed(seed, options.minutes)


sys.exit(main())
