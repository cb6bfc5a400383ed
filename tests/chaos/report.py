# SPDX-License-Identifier: Apache-2.0
"""Puts the outcome of a seed's runs between the markers in docs/guarantees.md: the table of the matrix, and the figures of the mixed run."""
import datetime
from collections import Counter
from pathlib import Path

from checker import INVARIANTS, Verdict
from history import read
from rows import NOT_DONE, matrix

COUNTS = ("sent", "accepted", "rejected", "unknown", "committed", "delivered", "duplicates", "gaps", "resyncs", "charged", "dead letters")


def write_table(results: Path) -> str:
    """The table of all rows that were ever run with this seed, in matrix.md; each run has left its own line in row.md. Then what is not done."""
    known = [path.read_text().rstrip() for plan in matrix() if (path := results / plan.name / "row.md").exists()]
    known += [f"| {name} | {reason} | SKIPPED |  |" for name, reason in NOT_DONE.items()]
    table = "\n".join(["| Fault | Seen | Verdict | Invariants |", "|---|---|---|---|"] + known)
    (results / "matrix.md").write_text(table + "\n")
    return table


def mixed_text(folder: Path) -> str:
    """What the stored mixed run says: its counts, its faults, a line for each invariant."""
    stored = read(folder)
    verdict = Verdict(stored)
    counts = verdict.counts()
    faults = Counter(record["name"] for record in stored.of("fault") if record["type"] == "took")
    load = next(record["t"] for record in stored.of("phase") if record["name"] == "load")
    heal = next(record["t"] for record in stored.of("phase") if record["name"] == "heal")
    begun = datetime.date.fromtimestamp((folder / "meta.json").stat().st_mtime)
    lines = [f"{begun}, `./dev chaos --seed {stored.meta['seed']}`: {sum(faults.values())} faults of {len(faults)} kinds in "
             f"{(heal - load) / 60e9:.1f} minutes. Verdict: **{verdict.verdict}**.", "",
             "| " + " | ".join(COUNTS) + " |", "|---" * len(COUNTS) + "|", "| " + " | ".join(str(counts[name]) for name in COUNTS) + " |", "",
             "| | Invariant | Verdict | Seen |", "|---|---|---|---|"]
    lines += [f"| {name} | {INVARIANTS[name][0]} | {finding.verdict} | {finding.text} |" for name, finding in verdict.findings.items()]
    return "\n".join(lines)


def put(document: Path, name: str, text: str) -> None:
    """Replaces what stands between `<!-- chaos NAME: begin -->` and `<!-- chaos NAME: end -->`. ValueError when these are not there once."""
    begin, end = (f"<!-- chaos {name}: {edge} -->\n" for edge in ("begin", "end"))
    before, found, rest = document.read_text().partition(begin)
    old, also_found, after = rest.partition(end)
    if not found or not also_found or begin in rest or end in after:
        raise ValueError(f"{document}: not exactly one place for {name}")
    document.write_text(before + begin + text + "\n" + end + after)


def report(results: Path, document: Path) -> int:
    """0 when there was something to put there."""
    done = []
    if any((results / plan.name / "row.md").exists() for plan in matrix()):
        put(document, "matrix", write_table(results))
        done.append("matrix")
    if (results / "mixed" / "meta.json").exists():
        put(document, "mixed", mixed_text(results / "mixed"))
        done.append("mixed")
    print(f"{document}: {' and '.join(done) or f'nothing, since {results} has no runs'}")
    return 0 if done else 1
