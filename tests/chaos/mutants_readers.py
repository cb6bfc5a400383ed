# SPDX-License-Identifier: Apache-2.0
"""Mutants of order, numbering and delivery to readers. Importing registers them."""
from collections import defaultdict

from model import ACCEPTED
from mutants import find, inner, mutant


# The order breaks.

def _crossing(model, rng):
    """(records of one reader of several boards, place): an event between two others, the next one of another board."""
    places = []
    for reader in model.readers.values():
        steps = reader.stream
        places += [(steps, at) for at in range(1, len(steps) - 1) if all(steps[at + d]["op"] == "recv" for d in (-1, 0, 1))
                   and steps[at]["board"] != steps[at + 1]["board"]]
    return rng.choice(places) if places and model.numbered else None


def _swapped(records, steps, at):
    """The event and the reader's next one, each at the other's time."""
    first, second = find(records, steps[at]), find(records, steps[at + 1])
    records[first], records[second] = {**records[second], "t": records[first]["t"]}, {**records[first], "t": records[second]["t"]}
    return records


def _again(records, steps, at):
    """The event once more, behind the reader's next one."""
    return records + [{**steps[at], "t": steps[at + 1]["t"] + 1}]


@mutant("swapped", "I7", "I11")
def swapped(records, model, rng):
    """one reader gets two events of a board in the wrong order"""
    place = inner(model, rng)
    return _swapped(records, *place) if place else None


@mutant("repeated", "I7")
def repeated(records, model, rng):
    """one reader gets an event twice"""
    place = inner(model, rng)
    if place is None or model.expects("redis_lost") and not model.numbered:
        return None
    return _again(records, *place)


@mutant("boards-swapped", "I7")
def boards_swapped(records, model, rng):
    """a stream of several boards shows two events of different boards in the wrong order"""
    place = _crossing(model, rng)
    return _swapped(records, *place) if place else None


@mutant("lost-below-cursor", "I7")
def lost_below_cursor(records, model, rng):
    """a stream of several boards was repaired board by board and cut meanwhile: its cursor is beyond an event that it never got"""
    place = _crossing(model, rng)
    if place is None or model.expects("failover"):
        return None
    steps, at = place
    del records[find(records, steps[at])]
    return records


@mutant("repeated-below-cursor", "I7")
def repeated_below_cursor(records, model, rng):
    """a stream of several boards shows an event again behind one of another board"""
    place = _crossing(model, rng)
    return _again(records, *place) if place else None


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
    place = inner(model, rng)
    if place is None:
        return None
    steps, at = place
    del records[find(records, steps[at])]
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
                    del records[find(records, first)]
                    return records
    return None


@mutant("false-gap", "I9", "I7")
def false_gap(records, model, rng):
    """a gap frame though nothing was trimmed"""
    if not model.numbered or model.expects("gaps") or model.expects("redis_lost"):
        return None
    event = rng.choice([r for r in records if r["op"] == "recv" and "seq" in r])
    place = event["seq"] + 1
    return records + [{"op": "gap", "t": event["t"] + 1, "sub": event["sub"], "board": event["board"], "first": place, "last": place}]


@mutant("told-by-board", "I9")
def told_by_board(records, model, rng):
    """a stream of several boards is told of one board what is true of all its positions"""
    told = [r for r in records if r["op"] in ("gap", "resync") and r["board"] is None]
    if not told or not model.numbered:
        return None
    frame = rng.choice(told)
    frame["board"] = rng.choice(sorted(model.readers[frame["sub"]].boards))
    return records


@mutant("silent-epoch", "I7")
def silent_epoch(records, model, rng):
    """the history is replaced and readers are not told"""
    if len(model.epochs) < 2 or not any(r["op"] == "resync" for r in records):
        return None
    return [r for r in records if r["op"] != "resync"]
