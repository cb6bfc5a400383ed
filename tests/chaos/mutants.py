# SPDX-License-Identifier: Apache-2.0
"""Histories that a faulty boardbus, or a faulty network, would have left: a checker that passes one of them is worth nothing (I20).

A mutant takes the records of a sound run and returns those of the same run with one bug in it, or None when this run cannot show the
bug (no retries in it, say). `caught_by` are the invariants of which at least one must fail.
"""
import copy
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Callable

import checker
from finding import FAIL, PASS, UNKNOWN
from history import History
from model import ACCEPTED, REJECTED, SECOND, Model


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


# Choosing.

def _delivered(model, rng) -> str:
    """The key of an accepted message that was delivered to somebody."""
    received = {record["key"] for record in model.by_op["recv"]}
    keys = sorted(m.key for m in model.with_outcome(ACCEPTED) if m.key in received and not m.probe and m.expect == "deliver")
    return rng.choice(keys) if keys else None


def _without(records, key, *ops) -> list:
    return [record for record in records if not (record["op"] in ops and record.get("key") == key)]


def _inner(model, rng):
    """(records of one reader and board, place): an event with neighbours on both sides, all on one connection."""
    places = []
    for reader in model.readers.values():
        for board in sorted(reader.boards):
            steps = reader.steps[board]
            places += [(steps, at) for at in range(1, len(steps) - 2) if all(steps[at + d]["op"] == "recv" for d in (-1, 0, 1, 2))]
    return rng.choice(places) if places else None


def _find(records, wanted) -> int:
    return next(at for at, record in enumerate(records) if record == wanted)


# The bus loses, repeats or invents.

@mutant("lost-event", "I1")
def lost_event(records, model, rng):
    """an accepted message disappears: no log entry, no dead letter, nobody received it"""
    key = _delivered(model, rng)
    return key and _without(records, key, "log", "recv", "dlq", "claim")


@mutant("early-ack", "I1")
def early_ack(records, model, rng):
    """the app says accepted before the bus did, and dies: the message never was"""
    last = model.by_op["pub"][-1]
    told = {"op": "pub", "pub": "early", "board": last["board"], "n": 1, "key": "early-1", "attempt": 1, "t": last["t"]}
    return records + [{**told, "type": "invoke", "hash": "0", "expect": "deliver"},
                      {**told, "type": "ok", "result": ACCEPTED, "why": "202", "t": last["t"] + 1000}]


@mutant("no-mandatory", "I1")
def no_mandatory(records, model, rng):
    """a publish that RabbitMQ could not route is confirmed all the same: everything accepted in half a second is gone"""
    key = _delivered(model, rng)
    if key is None:
        return None
    begin = model.messages[key].accepted_at
    for m in model.with_outcome(ACCEPTED):
        if begin <= m.accepted_at <= begin + SECOND // 2:
            records = _without(records, m.key, "log", "recv", "dlq", "claim")
    return records


@mutant("kept-x-death", "I1", "I13")
def kept_x_death(records, model, rng):
    """a replayed or retried copy keeps its x-death, and RabbitMQ drops it as a cycle: after a retry it is nowhere"""
    retried = [line["event_id"] for line in model.lines if line["event"] == "retry"]
    if not retried:
        return None
    event = rng.choice(retried)
    key = next((r["key"] for r in model.by_op["pub"] + model.dead if r.get("event_id", r.get("id")) == event), None)
    records = [r for r in records if not (r["op"] == "line" and r.get("event_id") == event and r["event"] == "dead_letter")]
    return key and _without(records, key, "log", "recv", "dlq", "claim")


@mutant("stuck-level", "I1")
def stuck_level(records, model, rng):
    """a level holds messages that it cannot route, and the run ends"""
    depths = [record for record in records if record["op"] == "depth"]
    if not depths:
        return None
    depths[-1]["messages"] = 3
    return records


@mutant("three-step-dedupe", "I4", "I7", "I5")
def three_step_dedupe(records, model, rng):
    """look, publish, mark: two workers publish the same message"""
    if model.expects("redis_lost") and not model.numbered:
        return None  # Without positions nobody can tell it from a redelivery after the keys were lost.
    return _committed_again(records, model, rng)


def _committed_again(records, model, rng):
    key = _delivered(model, rng)
    if key is None:
        return None
    entry = next(e for e in model.log if e["key"] == key)
    last_t = max(r["t"] for r in model.by_op["log"])
    again = {**entry, "t": last_t + 1000}
    if model.numbered:
        same = [e for e in model.log if e["epoch"] == entry["epoch"]]
        again["pos"] = max(e["pos"] for e in same) + 1
        again["seq"] = max(e["seq"] for e in same if e["board"] == entry["board"]) + 1
    copies = [{**r, "t": last_t + 2000, **{n: again[n] for n in ("pos", "seq") if n in again}} for r in records if r["op"] == "recv" and r["key"] == key]
    return records + [again] + copies


@mutant("phantom", "I2")
def phantom(records, model, rng):
    """an event appears that nobody sent"""
    return records + [{**model.by_op["recv"][-1], "key": "nobody-1", "id": "nobody"}]


@mutant("corrupted", "I2")
def corrupted(records, model, rng):
    """a payload arrives changed"""
    rng.choice([record for record in records if record["op"] == "recv"])["hash"] = "changed"
    return records


@mutant("wrong-board", "I2")
def wrong_board(records, model, rng):
    """an event is shown on another board"""
    boards = sorted({record["board"] for record in records if record["op"] == "recv"})
    if len(boards) < 2:
        return None
    victim = rng.choice([record for record in records if record["op"] == "recv"])
    victim["board"] = next(board for board in boards if board != victim["board"])
    return records


@mutant("aborted-read", "I3")
def aborted_read(records, model, rng):
    """a message is refused and delivered all the same"""
    key = _delivered(model, rng)
    if key is None:
        return None
    for record in records:
        if record["op"] == "pub" and record["key"] == key and record["type"] != "invoke":
            record.update(type="fail", result=REJECTED, why="503")
    return records


@mutant("two-fates", "I14", "I13")
def two_fates(records, model, rng):
    """a delivered message is dead-lettered as well, though no worker died"""
    if model.kills("worker"):
        return None
    key = _delivered(model, rng)
    entry = next(e for e in model.log if e["key"] == key)
    return records + [{"op": "dlq", "t": records[-1]["t"], "key": key, "id": entry["id"], "board": entry["board"], "hash": entry["hash"],
                       "reason": "retries_exhausted", "attempts": model.meta["settings"]["max_retries"] + 1}]


# The order breaks.

@mutant("swapped", "I7", "I11")
def swapped(records, model, rng):
    """one reader gets two events of a board in the wrong order"""
    place = _inner(model, rng)
    if place is None:
        return None
    steps, at = place
    first, second = records[_find(records, steps[at])], records[_find(records, steps[at + 1])]
    for name in ("key", "id", "hash", "epoch", "pos", "seq"):
        if name in first:
            first[name], second[name] = second[name], first[name]
    return records


@mutant("repeated", "I7")
def repeated(records, model, rng):
    """one reader gets an event twice"""
    place = _inner(model, rng)
    if place is None or model.expects("redis_lost") and not model.numbered:
        return None
    steps, at = place
    return records + [{**steps[at], "t": steps[at + 1]["t"] + 1}]


@mutant("session-reordered", "I10")
def session_reordered(records, model, rng):
    """the worker commits two messages of one sender in the wrong order, for everybody"""
    if not model.meta.get("single_active_consumer", True):
        return None
    retried = {line.get("event_id") for line in model.lines if line["event"] == "retry"}
    sessions = defaultdict(list)
    for entry in model.log:
        m = model.messages.get(entry["key"])
        if m and m.outcome == ACCEPTED and len(m.invoked) == 1 and m.expect == "deliver" and not m.probe and entry["id"] not in retried:
            sessions[m.publisher, m.board].append(entry)
    pairs = [(a, b) for session in sessions.values() for a, b in zip(session, session[1:])
             if a.get("epoch") == b.get("epoch") and model.messages[a["key"]].accepted_at < model.messages[b["key"]].invoked[0]]
    if not pairs:
        return None
    a, b = rng.choice(pairs)
    exchange = {a["key"]: b, b["key"]: a}
    for record in records:
        if record["op"] in ("log", "recv") and record["key"] in exchange:
            other = exchange[record["key"]]
            record.update(key=other["key"], id=other["id"], hash=other["hash"])
    return records


@mutant("position-hole", "I5")
def position_hole(records, model, rng):
    """a counter is taken and the entry that it was for is not written: a hole in pos and seq"""
    if not model.numbered or model.expects("failover"):
        return None
    victim = model.log[len(model.log) // 2]
    return [r for r in records if not ("pos" in r and r["epoch"] == victim["epoch"] and r["pos"] == victim["pos"])]


@mutant("position-reused", "I6", "I5")
def position_reused(records, model, rng):
    """two events have one position"""
    if not model.numbered or model.expects("failover"):
        return None
    for record in (r for r in records if r["op"] == "recv" and "pos" in r):
        if record["pos"] > 1:
            record["pos"] -= 1
            return records
    return None


# Readers are forgotten.

@mutant("dropped-for-one", "I8", "I7")
def dropped_for_one(records, model, rng):
    """one event in the middle does not reach one reader"""
    if model.meta.get("readers_may_miss") and not model.numbered:
        return None
    place = _inner(model, rng)
    if place is None:
        return None
    steps, at = place
    del records[_find(records, steps[at])]
    return records


@mutant("no-tail-check", "I8", "I19")
def no_tail_check(records, model, rng):
    """the last events of a board do not reach one reader, and no later one reveals it"""
    board = rng.choice(sorted(model.log_of))
    readers = [r for r in model.readers.values() if board in r.boards and not r.closed or r.received(board)]
    readers = [r for r in readers if board in r.boards and r.received(board) and r.name not in model.meta.get("slow_readers", ())]
    if not readers:
        return None
    reader = rng.choice(sorted(readers, key=lambda r: r.name))
    lost = {step["id"] for step in reader.received(board)[-2:]}
    return [r for r in records if not (r["op"] == "recv" and r["sub"] == reader.name and r["id"] in lost)]


@mutant("read-before-subscribe", "I8", "I7")
def read_before_subscribe(records, model, rng):
    """catching up before subscribing: what falls between is missing right after a reader came back with its cursor"""
    for reader in model.readers.values():
        for board, steps in reader.steps.items():
            for before, first, second in zip(steps, steps[1:], steps[2:]):
                if before["op"] == "sub.open" and before.get("since") and first["op"] == second["op"] == "recv":
                    del records[_find(records, first)]
                    return records
    return None


@mutant("false-gap", "I9", "I7")
def false_gap(records, model, rng):
    """a gap frame though nothing was trimmed"""
    if not model.numbered or model.expects("gaps") or model.expects("redis_lost"):
        return None
    event = rng.choice([r for r in records if r["op"] == "recv" and "seq" in r])
    return records + [{"op": "gap", "t": event["t"] + 1, "sub": event["sub"], "board": event["board"], "first": event["seq"] + 1, "last": event["seq"] + 1}]


@mutant("silent-epoch", "I7")
def silent_epoch(records, model, rng):
    """the history is replaced and readers are not told"""
    if len(model.epochs) < 2 or not any(r["op"] == "resync" for r in records):
        return None
    return [r for r in records if r["op"] != "resync"]


# Retries and dead letters.

@mutant("fixed-delay", "I12")
def fixed_delay(records, model, rng):
    """all retries wait the same time"""
    later = [r for r in records if r["op"] == "line" and r["event"] == "retry" and r["attempts"] > 1]
    for record in later:
        record["delay_ms"] = model.meta["settings"]["retry_delay_ms"]
    return records if later else None


@mutant("charged-outage", "I12", "I13")
def charged_outage(records, model, rng):
    """Redis is away, and a message pays for it with all its retries and ends as a dead letter"""
    key = _delivered(model, rng)
    if key is None or model.expects("charges"):
        return None
    entry = next(e for e in model.log if e["key"] == key)
    records = _without(records, key, "log", "recv", "claim")
    settings, wall = model.meta["settings"], 1.7e9
    for attempt in range(1, settings["max_retries"] + 2):
        delay = settings["retry_delay_ms"] * 2 ** (attempt - 1)
        dead = attempt > settings["max_retries"]
        records.append({"op": "line", "t": records[-1]["t"], "event": "dead_letter" if dead else "retry", "event_id": entry["id"], "wall": wall,
                        "board_id": entry["board"], "attempts": attempt, "delay_ms": delay, "reason": "retries_exhausted", "last_error": "connection refused"})
        wall += delay / 1000
    return records + [{"op": "dlq", "t": records[-1]["t"], "key": key, "id": entry["id"], "board": entry["board"], "hash": entry["hash"],
                       "reason": "retries_exhausted", "attempts": settings["max_retries"] + 1}]


@mutant("line-per-attempt", "I13")
def line_per_attempt(records, model, rng):
    """an ERROR line for each attempt instead of one per dead letter"""
    retries = [r for r in records if r["op"] == "line" and r["event"] == "retry"]
    if len(retries) <= model.kills("worker"):
        return None
    return records + [{**r, "event": "dead_letter", "reason": "retries_exhausted"} for r in retries]


@mutant("silent-dead-letter", "I13")
def silent_dead_letter(records, model, rng):
    """dead letters without their ERROR lines"""
    if len(model.dead) <= model.kills("worker"):
        return None
    return [r for r in records if not (r["op"] == "line" and r["event"] == "dead_letter")]


# Answers, time, bounds.

@mutant("no-answer", "I17")
def no_answer(records, model, rng):
    """a publish is never answered"""
    answers = [at for at, r in enumerate(records) if r["op"] == "pub" and r["type"] != "invoke"]
    del records[rng.choice(answers)]
    return records


@mutant("hard-exit", "I17")
def hard_exit(records, model, rng):
    """a process does not end cleanly on SIGTERM"""
    told = {(r["proc"], r["pid"]) for r in records if r["op"] == "proc" and r["type"] == "signal" and r["number"] == 15}
    for record in records:
        if record["op"] == "proc" and record["type"] == "exit" and (record["proc"], record["pid"]) in told:
            record["code"] = 1
            return records
    return None


@mutant("slow-answer", "I16")
def slow_answer(records, model, rng):
    """a publish is answered long after its timeout"""
    limit = model.meta["settings"]["publish_timeout_ms"] / 1000 + model.meta["settings"].get("answer_slack_seconds", 3)
    excused = any(name.startswith(("app.", "clients.")) for name in model.faults)
    answers = [r for r in records if r["op"] == "pub" and r["type"] == "ok"]
    if excused or not answers:
        return None
    rng.choice(answers)["t"] += int((limit + 5) * SECOND)
    return records


@mutant("memory-leak", "I16")
def memory_leak(records, model, rng):
    """a process grows without bound"""
    sizes = [r for r in records if r["op"] == "rss"]
    if not sizes:
        return None
    sizes[-1]["bytes"] = model.meta["settings"]["rss_bytes_max"] + 1
    return records


@mutant("stale", "I18")
def stale(records, model, rng):
    """a backlog is delivered only a minute after everything was healed"""
    key = _delivered(model, rng)
    if key is None or "heal" not in model.phases or model.messages[key].accepted_at >= model.phases["heal"]:
        return None
    late = model.phases["heal"] + int((model.meta["settings"]["fresh_seconds"] + 60) * SECOND)
    for record in records:
        if record["op"] == "recv" and record["key"] == key:
            record["t"] = late
    return records


@mutant("dead-after-heal", "I19", "I1")
def dead_after_heal(records, model, rng):
    """after the heal nothing is delivered any more"""
    probes = {m.key for m in model.messages.values() if m.probe}
    return [r for r in records if not (r["op"] == "recv" and r["key"] in probes)] if probes else None


@mutant("auto-ack", "I15")
def auto_ack(records, model, rng):
    """the worker's outcomes do not cover what was published: something was acked and forgotten"""
    if checker.INVARIANTS["I15"][1](model).verdict != PASS:
        return None
    for record in records:
        if record["op"] == "counter" and record["name"] == "outcome":
            record["value"] = 0 if record["label"] == "fanned_out" else record["value"]
    return records


# Runs that show nothing.

@mutant("vacuous", verdict=UNKNOWN)
def vacuous(records, model, rng):
    """the final reads never happened"""
    return [r for r in records if not (r["op"] == "phase" and r["name"] == "final")]


@mutant("toothless", verdict=UNKNOWN)
def toothless(records, model, rng):
    """a fault was ordered and had no effect"""
    if not Counter(r["type"] for r in records if r["op"] == "fault")["took"]:
        return None
    return [r for r in records if not (r["op"] == "fault" and r["type"] == "took")]
