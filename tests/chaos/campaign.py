# SPDX-License-Identifier: Apache-2.0
"""Several runs on shared brokers: the matrix, the short choice of it, and the long mixed run."""
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from harness import processes
from harness.brokers import missing_programs
from harness.processes import ROOT, TOKEN, run_to_end
from harness.websocket import WebSocket, board_socket

import history
import mutants
import mutants_bus  # noqa: F401
import mutants_crowd  # noqa: F401
import mutants_readers  # noqa: F401
import report
import rows
from checker import INVARIANTS
from finding import FAIL, PASS
from lab import LINKS, SIDES, Lab
from publisher import PostWay
from setups import SETUPS, can_mount
from trial import Plan, Trial

RESULTS = ROOT / "build" / "chaos"
MUTATED_RECORDS_MAX = 60_000  # Of a run whose history is falsified in every way at once: some 30 ways, a second each.


class Ground:
    """Brokers as they are asked for, one setup at a time, and what the server under test can do."""

    def __init__(self, folder: Path):
        self._folder, self._name, self._brokers, self._number = folder, None, None, 0
        self._can = None

    def of(self, setup: str):
        if self._name != setup:
            self.end()
            self._number += 1
            folder = self._folder / f"{setup}-{self._number}"
            folder.mkdir(parents=True)
            self._brokers = SETUPS[setup](folder)
            self._name = setup
            self._brokers.start()
        return self._brokers

    def end(self) -> None:
        if self._brokers is not None:
            brokers, self._brokers, self._name = self._brokers, None, None
            brokers.end()

    def can(self) -> set:
        """`history`, `acks`, `resume`, `sentinel`, `redis-cluster`, `faketime`, `mounts`: found out by asking, not by version."""
        if self._can is None:
            self._can = {"faketime"} if Path(rows.FAKETIME).exists() else set()
            self._can |= {"mounts"} if can_mount() else set()
            folder = self._folder / "capabilities"
            for name, url in (("sentinel", "redis+sentinel://127.0.0.1:1,127.0.0.1:2/boards/2"), ("redis-cluster", "redis+cluster://127.0.0.1:1")):
                code, _, _ = run_to_end(["config"], folder / name, {"REDIS_URL": url})
                self._can |= {name} if code == 0 else set()
            lab = Lab(self.of("single"), folder)
            try:
                lab.start()
                self._can |= {"acks"} if lab.has_acks() else set()
                self._can |= _ask_for_history(lab)
            finally:
                lab.end()
            lines = (folder / "recorder.jsonl").read_text()
            self._can |= {"history"} if '"pos":' in lines and '"via":"stream"' in lines else set()
        return self._can


def _ask_for_history(lab) -> set:
    """Sends two messages and comes back with the cursor of the first, if there is one."""
    port = lab.apps[0].port
    way = PostWay(lambda: lab.ports("publishers"), 10)
    with board_socket(port, "b") as socket:
        way.send("b", {"action": "ask", "correlation_id": "first"})
        cursor = socket.event().get("cursor")
        way.send("b", {"action": "ask", "correlation_id": "second"})
        socket.event()
    time.sleep(0.5)
    lab.recorder.read_to_the_end()
    if cursor is None:
        return set()
    with WebSocket(port, f"/ws/boards/b?token={TOKEN}&since={quote(cursor)}") as socket:
        try:
            return {"resume"} if not socket.refused and socket.event(2)["correlation_id"] == "second" else set()
        except (TimeoutError, AssertionError):
            return set()


class Campaign:
    """Runs that share a seed, a folder and brokers. Everything ends with it, an interrupt included."""

    def __init__(self, seed: int):
        self.seed, self.folder = seed, RESULTS / str(seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix="boardbus-chaos-"))
        self.ground = Ground(self._temporary)

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        try:
            self.ground.end()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def run(self, plan: Plan) -> "Result":
        can = self.ground.can()
        missing = plan.needs - can
        if missing:
            return Result(plan, "SKIPPED", f"the server or machine has no {', '.join(sorted(missing))}", "", 0)
        begin = time.monotonic()
        trial = Trial(plan, self.ground.of(plan.setup), self.folder / plan.name, self.seed, can)
        verdict = trial.run()
        if verdict.verdict == PASS and not trial.problems and len(verdict.model.records) <= MUTATED_RECORDS_MAX:
            caught, not_caught = mutants.missed(history.read(self.folder / plan.name))
            notes = [f"{caught} mutants caught"] + [f"the checker missed the mutant {name}" for name in not_caught]
            trial.problems += notes[1:]
        else:
            notes = trial.problems
        counts = verdict.counts()
        seen = ", ".join(f"{counts[name]} {name}" for name in ("accepted", "committed", "duplicates", "gaps", "charged", "dead letters"))
        return Result(plan, PASS if verdict.verdict == PASS and not trial.problems else FAIL if verdict.verdict == FAIL else "unknown", seen,
                      "; ".join([verdict.short()] + notes), time.monotonic() - begin, verdict)


class Result:
    def __init__(self, plan, verdict, seen, why, seconds, full=None):
        self.plan, self.verdict, self.seen, self.why, self.seconds, self.full = plan, verdict, seen, why, seconds, full

    def line(self) -> str:
        return f"{self.verdict:<8} {self.plan.name:<26} {self.plan.what}: {self.seen}" + (f" ({self.why}, {self.seconds:.0f} s)" if self.why else "")

    def row(self) -> str:
        text = self.why if self.verdict != "SKIPPED" else ""
        return f"| {self.plan.what} | {self.seen} | {self.verdict} | {text} |"


def _ready_to_run() -> bool:
    missing = missing_programs()
    if missing or not processes.BINARY.exists():
        print(f"missing: {', '.join(missing) or processes.BINARY}", file=sys.stderr)
        return False
    return True


def run_matrix(seed: int, words, chosen) -> int:
    """Every row once, or those that were chosen; exit code 0 when none failed and one passed at least."""
    if not _ready_to_run():
        return 2
    plans = [plan for plan in rows.matrix() if (chosen is None or plan.name in chosen) and _wanted(plan.name, words)]
    plans.sort(key=lambda plan: list(SETUPS).index(plan.setup))  # Stable: each setup is started once.
    results = []
    print(f"seed {seed}, histories in {RESULTS / str(seed)}", flush=True)
    with Campaign(seed) as campaign:
        for plan in plans:
            results.append(campaign.run(plan))
            print(results[-1].line(), flush=True)
            if results[-1].full is not None and results[-1].verdict != PASS:
                print("\n".join("         " + line for line in _bad_lines(results[-1].full)), flush=True)
    if chosen is None:
        for name, reason in rows.NOT_DONE.items():
            if _wanted(name, words):
                results.append(Result(Plan(name, what=name), "SKIPPED", reason, "", 0))
                print(results[-1].line(), flush=True)
    _write_table(seed, results)
    kinds = [result.verdict for result in results]
    failed = sum(kind not in (PASS, "SKIPPED") for kind in kinds)
    print(f"\n{kinds.count(PASS)} passed, {failed} failed, {kinds.count('SKIPPED')} skipped", flush=True)
    return 1 if failed or not kinds.count(PASS) else 0


def _wanted(name: str, words) -> bool:
    """A word that is a row's name means that row alone; any other, all whose names contain it."""
    names = {plan.name for plan in rows.matrix()} | set(rows.NOT_DONE)
    return words is None or any(word == name or word not in names and word in name for word in words)


def _bad_lines(verdict) -> list:
    lines = []
    for name, finding in verdict.findings.items():
        if finding.verdict in (FAIL, "unknown"):
            lines.append(f"{name} {INVARIANTS[name][0]}: {finding.verdict}, {finding.text}")
            lines += [f"  {example}" for example in finding.examples[:3]]
    return lines


def _write_table(seed: int, results: list) -> None:
    """Keeps each row's outcome beside its history, and makes the table of all rows that were ever run with this seed."""
    for result in results:
        folder = RESULTS / str(seed) / result.plan.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "row.md").write_text(result.row() + "\n")
    report.write_table(RESULTS / str(seed))


# The mixed run.

# Not redis.maxmemory: once the history is most of what Redis holds, it gives way to new events, and readers would rightly hear of gaps.
KINDS = {"process": ("app.kill", "worker.kill", "app.freeze", "worker.freeze", "rolling-restart"),
         "redis": ("redis.kill", "redis.stop", "redis.script-flush", "redis.acl", "redis.readonly", "redis.no-replicas"),
         "rabbit": ("rabbit.kill", "rabbit.stop", "rabbit.memory-alarm", "rabbit.disk-alarm", "rabbit.close-connections", "rabbit.unbind-main"),
         "clients": ("clients.cut", "clients.stall"),
         **{link: tuple(f"link.{link}.{kind}" for kind in ("reset", "drop-down", "drop-up", "stall", "half-close")) for link in LINKS}}


def mixed_plan(seed: int, minutes: float) -> Plan:
    """The same seed and minutes give the same faults at the same distances."""
    rng = random.Random(f"{seed}/schedule")
    steps, passed = [], 0.0
    while passed < minutes * 60:
        kinds = rng.sample(sorted(KINDS), rng.choice((1, 1, 2, 3)))
        wait, seconds = rng.uniform(2, 5), rng.uniform(0.5, 6)
        steps.append((wait, "+".join(rng.choice(KINDS[kind]) for kind in kinds), seconds))
        passed += wait + seconds  # And what a fault needs to begin and to end: the run is a little longer than asked for.
    return Plan("mixed", what=f"random faults for {minutes:g} minutes", steps=steps, links={*LINKS, *SIDES}, apps=2, workers=2, rate=150,
                publishers=6, boards=4, expect_of=rows.sometimes_failing, environment=rows.DOOMED, expects={"silence", "retries", "late_retries"},
                readers_may_miss=rows.MISS, fresh_seconds=60, drain_seconds=120, accepted_min=500)


def run_mixed(seed: int, minutes: float) -> int:
    if not _ready_to_run():
        return 2
    plan = mixed_plan(seed, minutes)
    print(f"seed {seed}, {len(plan.steps)} steps of faults, history in {RESULTS / str(seed) / plan.name}", flush=True)
    with Campaign(seed) as campaign:
        result = campaign.run(plan)
    stored = history.read(RESULTS / str(seed) / plan.name)
    begin = min((record["t"] for record in stored.records), default=0)
    for record in stored.of("fault"):
        print(f"{(record['t'] - begin) / 1e9:8.2f} s  {record['type']:<6} {record['name']:<32} {record.get('detail', '')}")
    print(result.full.text())
    for note in result.why.split("; ")[1:]:
        print(note)
    print(f"\n{int(result.verdict == PASS)} passed, {int(result.verdict != PASS)} failed, 0 skipped", flush=True)
    return 0 if result.verdict == PASS else 1
