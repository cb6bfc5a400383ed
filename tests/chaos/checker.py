# SPDX-License-Identifier: Apache-2.0
"""Histories in, verdict out. Pure: reads nothing but the history it is given, so a stored run can be judged again by a later checker."""
from collections import Counter

import invariants_crowd as on_crowd
import invariants_log as on_log
import invariants_readers as on_readers
from finding import FAIL, NOT_APPLICABLE, PASS, UNKNOWN
from model import ACCEPTED, REJECTED, Model

INVARIANTS = {
    "I0": ("not vacuous", on_log.i0_not_vacuous),
    "I1": ("no loss", on_log.i1_no_loss),
    "I2": ("no phantom", on_log.i2_no_phantom),
    "I3": ("no aborted read", on_log.i3_no_aborted_read),
    "I4": ("single commit", on_log.i4_single_commit),
    "I5": ("dense numbering", on_log.i5_dense_numbering),
    "I6": ("agreement", on_log.i6_agreement),
    "I7": ("monotone, no repeats", on_readers.i7_monotone),
    "I8": ("complete", on_readers.i8_complete),
    "I9": ("honest gaps", on_readers.i9_honest_gaps),
    "I10": ("session order", on_log.i10_session_order),
    "I11": ("same view", on_readers.i11_same_view),
    "I12": ("retry law", on_log.i12_retry_law),
    "I13": ("dead letter law", on_log.i13_dead_letter_law),
    "I14": ("one fate", on_log.i14_one_fate),
    "I15": ("conservation", on_log.i15_conservation),
    "I16": ("bounded", on_readers.i16_bounded),
    "I17": ("closure", on_readers.i17_closure),
    "I18": ("freshness", on_readers.i18_freshness),
    "I19": ("liveness", on_readers.i19_liveness),
    "I21": ("orderly leave", on_crowd.i21_orderly_leave),  # I20 is about the checker itself: the mutants.
}


class Verdict:
    """`verdict` is FAIL if any invariant failed, else unknown if any could not tell, else pass."""

    def __init__(self, history):
        self.model = Model(history)
        self.findings = {name: check(self.model) for name, (_, check) in INVARIANTS.items()}
        found = {finding.verdict for finding in self.findings.values()}
        self.verdict = FAIL if FAIL in found else UNKNOWN if UNKNOWN in found else PASS

    def failed(self) -> set:
        return {name for name, finding in self.findings.items() if finding.verdict == FAIL}

    def counts(self) -> dict:
        """Figures for people: what was sent, answered, delivered, and what came twice or not at all."""
        model = self.model
        outcomes = Counter(message.outcome for message in model.messages.values())
        repeats = sum(count - 1 for reader in model.readers.values() for board in reader.boards
                      for count in Counter(step["id"] for step in reader.received(board)).values())
        return {"sent": len(model.messages), "accepted": outcomes[ACCEPTED], "rejected": outcomes[REJECTED], "unknown": outcomes["unknown"],
                "committed": len(model.log), "delivered": len(model.by_op["recv"]), "duplicates": repeats, "gaps": len(model.by_op["gap"]),
                "resyncs": len(model.by_op["resync"]), "dead letters": len(model.dead),
                "charged": sum(line["event"] == "retry" for line in model.lines), "faults": len(model.by_op["fault"]) and
                sum(record["type"] == "begin" for record in model.by_op["fault"])}

    def text(self) -> str:
        """The whole verdict, one line per invariant."""
        lines = ["  ".join(f"{name} {value}" for name, value in self.counts().items())]
        for name, finding in self.findings.items():
            lines.append(f"  {name:<4} {INVARIANTS[name][0]:<22} {finding.verdict:<8} {finding.text}")
            lines += [f"         {example}" for example in finding.examples]
        return "\n".join(lines + [f"verdict: {self.verdict}"])

    def short(self) -> str:
        """Which invariants passed, in a few characters; those that did not by name."""
        groups = {kind: [name for name, finding in self.findings.items() if finding.verdict == kind]
                  for kind in (PASS, NOT_APPLICABLE, UNKNOWN, FAIL)}
        text = f"{len(groups[PASS])} pass"
        for kind in (NOT_APPLICABLE, UNKNOWN, FAIL):
            if groups[kind]:
                text += f", {kind} {' '.join(groups[kind])}"
        return text
