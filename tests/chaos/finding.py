# SPDX-License-Identifier: Apache-2.0
"""What one invariant says about one history."""
from dataclasses import dataclass, field

PASS, FAIL, UNKNOWN, NOT_APPLICABLE = "pass", "FAIL", "unknown", "n/a"
EXAMPLES_MAX = 5


@dataclass
class Finding:
    """`unknown`: the run cannot tell, because it did too little. `n/a`: the invariant says nothing about such a run; `text` says why."""
    verdict: str
    text: str
    examples: list = field(default_factory=list)


def judged(problems: list, text: str, looked_at: int) -> Finding:
    """Fails with the first problems; passes when there is none, provided that anything was looked at."""
    if problems:
        return Finding(FAIL, f"{len(problems)} violations ({text})", problems[:EXAMPLES_MAX])
    if not looked_at:
        return Finding(UNKNOWN, f"nothing to look at ({text})")
    return Finding(PASS, text)
