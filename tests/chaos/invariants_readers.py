# SPDX-License-Identifier: Apache-2.0
"""Invariants about readers, answers and time: I7 to I9, I11, I16 to I19. Each takes a Model and returns a Finding."""
from bisect import bisect_right
from collections import Counter, defaultdict
from itertools import combinations

from finding import NOT_APPLICABLE, PASS, Finding, judged
from model import ACCEPTED, SECOND


def i7_monotone(model) -> Finding:
    """A reader sees the events of all its boards in one order, none twice in the life of its chain of connections. With numbers: on each
    board `seq` is the one after the last, and over all its boards `pos` is the next that the log has of them, unless a gap, a resync or the
    reader's own coming without a cursor lies between. Another epoch without a resync is a violation."""
    problems, looked, untold = [], 0, []
    for reader in model.readers.values():
        looked += sum(1 for step in reader.stream if step["op"] == "recv")
        problems += _twice(model, reader)
        if not model.numbered:
            problems += _in_the_channels_order(model, reader)
            continue
        problems += _by_position(model, reader, untold)
        for board, steps in reader.steps.items():
            problems += _steps_by_one(reader, board, steps, model)
    text = f"{looked} events received by {len(model.readers)} readers"
    if "resume" in model.meta.get("server_can", ()):
        problems += untold
    elif untold:
        text += f"; {len(untold)} times another epoch and no word of it: this server has no frames for that"
    return judged(problems, text, looked)


def _twice(model, reader) -> list:
    counts = Counter((step["board"], step["id"]) for step in reader.stream if step["op"] == "recv")
    return [f"{reader.name} on {board}: {event} received {count} times" for (board, event), count in counts.items() if count > 1
            and not model.expects("redis_lost") and not model.expects("failover")]


def _by_position(model, reader, untold) -> list:
    """What one cursor for all boards of a reader stands for: everything of them up to its position was shown, or said to be missing."""
    due = _positions(model, reader.boards)
    problems, epoch, last, since = [], None, None, None

    def goes_on_at(place, what):
        if last is None:
            return
        behind = bisect_right(due[epoch], last)
        if place <= last:
            problems.append(f"{reader.name}: {what} after pos {last}")
        elif behind < len(due[epoch]) and due[epoch][behind] < place and not model.expects("failover"):
            # In a failover the log has the lost line's positions as well.
            problems.append(f"{reader.name}: {what} after pos {last}, and pos {due[epoch][behind]} lies between")

    for step in reader.stream:
        if step["op"] == "sub.open":
            since = step.get("since")
            epoch, last = (epoch, last) if since else (None, None)
        elif step["op"] == "sub.live" and not since:
            epoch, last = step["epoch"] if step["seq"] is not None else None, None
        elif step["op"] == "gap" and step.get("unit") == "pos":
            goes_on_at(step["first"], f"gap from pos {step['first']}")
            last = step["last"]
        elif step["op"] == "gap":
            last = None  # It speaks of `seq`.
        elif step["op"] == "resync":
            epoch, last = step.get("epoch"), step.get("pos")
        elif step["op"] == "recv" and "pos" in step:
            if epoch and step["epoch"] != epoch:  # Before the first event there is no history, and no epoch.
                untold.append(f"{reader.name}: epoch {step['epoch']} after {epoch} without a resync ({step['key']})")
                last = None
            epoch = step["epoch"]
            goes_on_at(step["pos"], f"pos {step['pos']} ({step['key']})")
            last = step["pos"]
    return problems


def _positions(model, boards) -> dict:
    """By epoch, where the log has events of these boards."""
    positions = defaultdict(list)
    for entry in model.log:
        if entry["board"] in boards and "pos" in entry:
            positions[entry["epoch"]].append(entry["pos"])
    return positions


def _steps_by_one(reader, board, steps, model) -> list:
    problems, epoch, last, since = [], None, None, None
    for step in steps:
        if step["op"] == "sub.open":
            since = step.get("since")
            last = last if since else None
        elif step["op"] == "sub.live" and not since:  # Behind a cursor it is a gap or a resync that says where it goes on.
            epoch, last = step["epoch"], step["seq"]
        elif step["op"] == "gap" and step.get("unit") == "pos":
            last = None
        elif step["op"] == "gap":
            if last is not None and step["first"] != last + 1:
                problems.append(f"{reader.name} on {board}: gap from {step['first']} after seq {last}")
            last = step["last"]
        elif step["op"] == "resync":
            epoch, last = step.get("epoch"), step.get("seq")
        elif step["op"] == "recv" and "seq" in step:
            if last is not None and (not epoch or step["epoch"] == epoch) and step["seq"] != last + 1 and not _jump(model, step, last):
                problems.append(f"{reader.name} on {board}: seq {step['seq']} after {last} ({step['key']})")
            epoch, last = step["epoch"], step["seq"]
    return problems


def _jump(model, step, last) -> bool:
    """A pruned board comes back at pos. A reader's board may also begin there: nothing of it was numbered before."""
    return step["seq"] == step["pos"] and step["seq"] > last and (model.expects("pruning") or last == 0)


def _in_the_channels_order(model, reader) -> list:
    problems, last, last_key = [], -1, None
    for step in reader.stream:
        if step["op"] != "recv":
            continue
        place = model.order.get((step["board"], step["id"]))
        if place is None:
            continue  # The recorder was away; whether it was sent at all is I2's.
        if place <= last and not model.expects("redis_lost"):
            problems.append(f"{reader.name}: {step['key']} after {last_key}, the channel has them the other way round")
        last, last_key = place, step["key"]
    return problems


def i8_complete(model) -> Finding:
    """A reader received everything that the log has of its boards from where it began to the end, less what gap and resync frames named and
    less the time in which it was away without a cursor."""
    if model.meta.get("readers_may_miss") and not model.numbered:
        return Finding(NOT_APPLICABLE, model.meta["readers_may_miss"])
    problems, looked = [], 0
    for reader in model.readers.values():
        for board in sorted(reader.boards):
            due = _due(model, reader, board)
            got = {step["id"] for step in reader.received(board)}
            looked += len(due)
            missing = [entry for entry in due if entry["id"] not in got]
            problems += [f"{reader.name} on {board}: {entry['key']} (seq {entry.get('seq')}) never came" for entry in missing]
    return judged(problems, f"{looked} events due to {len(model.readers)} readers", looked)


def _due(model, reader, board) -> list:
    """The log entries of the board that the reader had to get."""
    entries = model.log_of[board]
    steps, skip = reader.steps[board], set()
    place = {entry["id"]: at for at, entry in enumerate(entries)}
    begin = _first_due(entries, reader, board, place)
    last = None  # Place of the last event that was received.
    blind = False
    for step in steps:
        if step["op"] == "sub.open":
            blind = blind if step.get("since") else step is not reader.opens[0]
        elif step["op"] == "gap":
            skip |= {at for at, entry in enumerate(entries) if step["first"] <= entry.get(step.get("unit", "seq"), -1) <= step["last"]}
        elif step["op"] == "resync":
            blind = True
        elif step["op"] == "recv" and step["id"] in place:
            at = place[step["id"]]
            if blind:
                skip |= set(range(0 if last is None else last + 1, at))
                blind = False
            last = at
    # It never heard again, or reads on purpose more slowly than it is sent to: what came after its last word cannot be told of it.
    if blind or reader.closed or reader.name in model.meta.get("slow_readers", ()):
        skip |= set(range(0 if last is None else last + 1, len(entries)))
    return [entry for at, entry in enumerate(entries) if at >= begin and at not in skip]


def _first_due(entries, reader, board, place) -> int:
    """Everything, when the reader was there before the first event was committed; else from the first that it received."""
    if entries and reader.opens[0]["t"] < entries[0]["t"]:
        return 0
    received = [place[step["id"]] for step in reader.received(board) if step["id"] in place]
    return min(received, default=len(entries))


def i9_honest_gaps(model) -> Finding:
    """Gap and resync frames come only in runs in which the history was trimmed, lost or rolled back. To a reader of several boards they
    speak of positions: its cursor cannot stand for what is said of one board alone."""
    if not model.numbered:
        return Finding(NOT_APPLICABLE, "the server has no history to resume from")
    gaps, resyncs = model.by_op["gap"], model.by_op["resync"]
    problems = []
    if not model.expects("gaps") and not model.expects("redis_lost"):
        problems += [f"{g['sub']} on {g['board']}: gap {g['first']} to {g['last']}, though nothing was trimmed" for g in gaps]
    if not (model.expects("redis_lost") or model.expects("failover") or model.expects("gaps")):
        problems += [f"{r['sub']} on {r['board']}: resync, though the history was neither lost nor rolled back" for r in resyncs]
    problems += [f"{frame['sub']}: {frame['op']} on {frame['board']} alone" for frame in gaps + resyncs
                 if frame["board"] is not None and len(model.readers[frame["sub"]].boards) > 1]
    return judged(problems, f"{len(gaps)} gaps, {len(resyncs)} resyncs", 1)


def i11_same_view(model) -> Finding:
    """Any two readers of a board have the events that both received in the same order, and in the order of the log."""
    views = defaultdict(dict)
    for reader in model.readers.values():
        for board in reader.boards:
            sequence = list(dict.fromkeys((step.get("epoch"), step["id"]) for step in reader.received(board)))
            if sequence:
                views[board][reader.name] = sequence
    for board, entries in model.log_of.items():
        views[board]["the log"] = list(dict.fromkeys((entry.get("epoch"), entry["id"]) for entry in entries))
    problems, pairs = [], 0
    for board, by_reader in views.items():
        for (one, first), (two, second) in combinations(by_reader.items(), 2):
            common = set(first) & set(second)
            pairs += bool(common)
            left = [event for event in first if event in common]
            right = [event for event in second if event in common]
            if left != right:
                at = next(i for i, (a, b) in enumerate(zip(left, right)) if a != b)
                problems.append(f"{board}: {one} and {two} differ at event {at}: {left[at][1]} and {right[at][1]}")
    return judged(problems, f"{pairs} pairs of views", pairs)


def i16_bounded(model) -> Finding:
    """Every publish is answered within the publish timeout and a slack, unless the app itself was stopped or cut off; no process grows beyond
    its bound; nothing is accepted that was sent two seconds into an alarm and answered before its end."""
    settings = model.meta["settings"]
    most = (settings["publish_timeout_ms"] / 1000 + settings.get("answer_slack_seconds", 3)) * SECOND
    excused = model.windows(*[name for name in model.faults if name.startswith(("app.", "clients."))])
    alarms = model.windows(*[name for name in model.faults if "alarm" in name])
    problems, slowest = [], 0
    for message in model.messages.values():
        for (t, attempt, result, why) in message.answers:
            begun = message.invoked[attempt - 1]
            if any(begun < end + SECOND and t > begin for begin, end in excused) or why == "cut":
                continue
            slowest = max(slowest, t - begun)
            if t - begun > most:
                problems.append(f"{message.key}: answered {result} after {(t - begun) / SECOND:.1f} s")
            if result == ACCEPTED and any(begin + 2 * SECOND < begun and t < end for begin, end in alarms):
                problems.append(f"{message.key}: accepted in an alarm, when RabbitMQ confirms nothing")
    largest = Counter()
    for record in model.by_op["rss"]:
        largest[record["proc"]] = max(largest[record["proc"]], record["bytes"])
    problems += [f"{proc}: {size >> 20} MiB resident" for proc, size in largest.items() if size > settings["rss_bytes_max"]]
    peak = max(largest.values(), default=0) >> 20
    return judged(problems, f"slowest answer {slowest / SECOND:.2f} s, largest process {peak} MiB", len(model.messages) and len(largest))


def i17_closure(model) -> Finding:
    """Every publish has exactly one end: an answer, or the connection's. A process that got SIGTERM ends with 0 within its grace."""
    problems, attempts = [], 0
    for message in model.messages.values():
        attempts += len(message.invoked)
        ends = Counter(attempt for _, attempt, _, _ in message.answers)
        problems += [f"{message.key}: attempt {n} ended {ends[n]} times" for n in range(1, len(message.invoked) + 1) if ends[n] != 1]
        problems += [f"{message.key}: no answer on a connection that lived" for _, _, _, why in message.answers
                     if why == "no answer" and not model.expects("silence")]
    grace = (model.meta["settings"]["shutdown_grace_seconds"] + 5) * SECOND
    told = {}
    for record in model.by_op["proc"]:
        if record["type"] == "signal" and record["number"] == 15:
            told[record["proc"], record["pid"]] = record["t"]
        elif record["type"] == "exit" and (record["proc"], record["pid"]) in told:
            since = record["t"] - told.pop((record["proc"], record["pid"]))
            if record["code"] != 0:
                problems.append(f"{record['proc']} ended with {record['code']} on SIGTERM")
            if since > grace:
                problems.append(f"{record['proc']} needed {since / SECOND:.1f} s to end")
    problems += [f"{proc} never ended after SIGTERM" for proc, _ in told]
    return judged(problems, f"{attempts} attempts, each with one end", attempts)


def i18_freshness(model) -> Finding:
    """From accepted to received: the figures, and the bound: once all is healed, what was accepted before is with every reader within
    `fresh_seconds`."""
    heal = model.phases.get("heal")
    if heal is None:
        return judged([], "the run was never healed", 0)
    limit = heal + model.meta["settings"]["fresh_seconds"] * SECOND
    waits, problems = [], []
    for reader in model.readers.values():
        for board in () if reader.name in model.meta.get("slow_readers", ()) else reader.boards:
            for step in reader.received(board):
                message = model.messages.get(step["key"])
                accepted = message.accepted_at if message else None
                if accepted is None or message.probe:
                    continue
                waits.append(max(0, step["t"] - accepted))
                if step["t"] > limit and accepted < heal and message.expect == "deliver":
                    problems.append(f"{reader.name}: {message.key} came {(step['t'] - heal) / SECOND:.1f} s after everything was healed")
    waits.sort()
    if not waits:
        return judged([], "no accepted message was received", 0)
    p50, p99 = (waits[int(len(waits) * q)] / 1e6 for q in (0.5, 0.99))
    return judged(problems, f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {waits[-1] / 1e6:.0f} ms", len(waits))


def i19_liveness(model) -> Finding:
    """After the heal, with nothing restarted by hand, new messages are accepted within ten seconds and seen by every reader within ten more."""
    probes = [message for message in model.messages.values() if message.probe]
    seconds = model.meta["settings"].get("probe_seconds", 10)
    problems = []
    received = defaultdict(dict)
    for record in model.by_op["recv"]:
        received[record["key"]].setdefault(record["sub"], record["t"])
    for message in probes:
        if message.outcome != ACCEPTED or message.accepted_at - message.invoked[0] > seconds * SECOND:
            problems.append(f"{message.key}: not accepted within {seconds} s after the heal")
            continue
        for reader in model.readers.values():
            if message.board in reader.boards and reader.name not in model.meta.get("slow_readers", ()):
                t = received[message.key].get(reader.name)
                if t is None or t - message.accepted_at > seconds * SECOND:
                    problems.append(f"{reader.name}: {message.key} not received within {seconds} s")
    if not probes:
        return judged([], "no probe was sent", 0)
    return Finding(PASS, f"{len(probes)} probes") if not problems else judged(problems, f"{len(probes)} probes", 1)
