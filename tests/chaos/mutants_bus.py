# SPDX-License-Identifier: Apache-2.0
"""Mutants of apps, worker and brokers: what is lost, repeated, invented, charged, answered too late. Importing registers them."""
from collections import Counter

import checker
from finding import PASS, UNKNOWN
from model import ACCEPTED, REJECTED, SECOND
from mutants import delivered, mutant, without


# The bus loses, repeats or invents.

@mutant("lost-event", "I1")
def lost_event(records, model, rng):
    """an accepted message disappears: no log entry, no dead letter, nobody received it"""
    key = delivered(model, rng)
    return key and without(records, key, "log", "recv", "dlq", "claim")


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
    key = delivered(model, rng)
    if key is None:
        return None
    begin = model.messages[key].accepted_at
    for m in model.with_outcome(ACCEPTED):
        if begin <= m.accepted_at <= begin + SECOND // 2:
            records = without(records, m.key, "log", "recv", "dlq", "claim")
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
    return key and without(records, key, "log", "recv", "dlq", "claim")


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
    key = delivered(model, rng)
    if key is None:
        return None
    entry = next(e for e in model.log if e["key"] == key)
    last_t = max(r["t"] for r in model.by_op["log"])
    again = {**entry, "t": last_t + 1000}
    if model.numbered:
        same = [e for e in model.log if e["epoch"] == entry["epoch"]]
        again["pos"] = max(e["pos"] for e in same) + 1
        again["seq"] = max(e["seq"] for e in same if e["board"] == entry["board"]) + 1
    place = {name: again[name] for name in ("pos", "seq") if name in again}
    copies = [{**record, "t": last_t + 2000, **place} for record in records if record["op"] == "recv" and record["key"] == key]
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
    key = delivered(model, rng)
    if key is None:
        return None
    for record in records:
        if record["op"] == "pub" and record["key"] == key and record["type"] != "invoke":
            record.update(type="fail", result=REJECTED, why="503")
    return records


@mutant("two-fates", "I14", "I13")
def two_fates(records, model, rng):
    """a delivered message is dead-lettered as well, though no worker died"""
    if model.redelivers():
        return None
    key = delivered(model, rng)
    entry = next(e for e in model.log if e["key"] == key)
    return records + [{"op": "dlq", "t": records[-1]["t"], "key": key, "id": entry["id"], "board": entry["board"], "hash": entry["hash"],
                       "reason": "retries_exhausted", "attempts": model.meta["settings"]["max_retries"] + 1}]


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
    key = delivered(model, rng)
    if key is None or model.expects("charges"):
        return None
    entry = next(e for e in model.log if e["key"] == key)
    records = without(records, key, "log", "recv", "claim")
    settings, wall = model.meta["settings"], 1.7e9
    for attempt in range(1, settings["max_retries"] + 2):
        delay = settings["retry_delay_ms"] * 2 ** (attempt - 1)
        dead = attempt > settings["max_retries"]
        records.append({"op": "line", "t": records[-1]["t"], "event": "dead_letter" if dead else "retry", "event_id": entry["id"], "wall": wall,
                        "board_id": entry["board"], "attempts": attempt, "delay_ms": delay, "reason": "retries_exhausted",
                        "last_error": "connection refused"})
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
    key = delivered(model, rng)
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
