# SPDX-License-Identifier: Apache-2.0
"""Invariants about messages, the log and the dead letter queue: I0 to I6, I10, I12 to I15. Each takes a Model and returns a Finding."""
from collections import Counter, defaultdict

from finding import NOT_APPLICABLE, PASS, UNKNOWN, Finding, judged
from model import ACCEPTED, REJECTED


def i0_not_vacuous(model) -> Finding:
    """Enough was accepted, every fault that was begun took effect, and the run was healed, drained and read to its end."""
    accepted = len(model.with_outcome(ACCEPTED))
    problems = []
    if accepted < model.meta["accepted_min"]:
        problems.append(f"{accepted} messages accepted, {model.meta['accepted_min']} are the least")
    for phase in ("heal", "drain", "probe", "final"):
        if phase not in model.phases:
            problems.append(f"the run never came to its phase {phase!r}")
    for name in model.meta["faults"]:
        if not any(record["type"] == "took" for record in model.faults.get(name, ())):
            problems.append(f"fault {name!r} did not take effect")
    problems += [f"no reader was told {op!r}, which this run was to show" for op in model.meta.get("shows", ()) if not model.by_op[op]]
    for proc, count in model.meta.get("deaths", {}).items():
        died = sum(record["proc"] == proc and record.get("code") == -9 for record in model.by_op["proc"])
        if died < count:
            problems.append(f"{proc} died {died} times at its fault point, {count} times were due")
    for name, records in model.faults.items():
        if sum(r["type"] == "begin" for r in records) > sum(r["type"] in ("took", "still") for r in records):
            problems.append(f"fault {name!r} began without taking effect")
    if problems:
        return Finding(UNKNOWN, "the run shows too little", problems[:5])
    points = f", {sum(model.meta['deaths'].values())} deaths at fault points" if model.meta.get("deaths") else ""
    return Finding(PASS, f"{accepted} accepted, {len(model.faults)} kinds of faults took effect{points}, drained and read")


def i1_no_loss(model) -> Finding:
    """Every accepted message is in the log (or is claimed in Redis, where the server keeps no log) or in the dead letter queue, and at the
    end nothing is left in a queue."""
    accepted = model.with_outcome(ACCEPTED)
    found = model.log_keys | model.dead_keys | (set() if model.numbered else model.claims)
    problems = [f"{m.key} on {m.board}: accepted, but neither delivered nor dead-lettered" for m in accepted if m.key not in found]
    problems += [f"{record['messages']} messages left in {record['queue']}" for record in model.by_op["depth"]
                 if record["messages"] and not record.get("dlq")]
    if not model.by_op["depth"] and not problems:
        return Finding(UNKNOWN, "no queue was looked at in the end")
    return judged(problems, f"{len(accepted)} accepted, {len(model.log_keys)} in the log, {len(model.dead_keys)} dead letters", len(accepted))


def i2_no_phantom(model) -> Finding:
    """Whatever is in the log, in the dead letter queue or was received had been sent: same key, board and content."""
    problems, looked = [], 0
    for record in model.by_op["log"] + model.by_op["recv"] + model.dead:
        looked += 1
        message = model.messages.get(record.get("key"))
        if message is None:
            problems.append(f"{record['op']} of {record.get('key')!r} on {record.get('board')!r}: nobody sent it")
        elif message.expect != "invalid" and (record["board"], record["hash"]) != (message.board, message.hash):
            problems.append(f"{record['op']} of {message.key}: content or board is not what was sent to {message.board}")
    return judged(problems, f"{looked} records compared with what was sent", looked)


def i3_no_aborted_read(model) -> Finding:
    """A message whose every attempt was answered `rejected` is nowhere."""
    seen = model.log_keys | model.dead_keys | {record["key"] for record in model.by_op["recv"]}
    rejected = model.with_outcome(REJECTED)
    problems = [f"{m.key} on {m.board}: rejected, but it is there" for m in rejected if m.key in seen]
    if not rejected:
        return Finding(NOT_APPLICABLE, "nothing was rejected in this run")
    return judged(problems, f"{len(rejected)} rejected messages", len(rejected))


def i4_single_commit(model) -> Finding:
    """No key is committed twice within one epoch (all runs are shorter than the keys' life). Where Redis lost its data, keys included, a
    redelivery may be committed again in the next epoch; such pairs are counted."""
    places = defaultdict(list)
    for entry in model.log:
        places[entry["key"]].append(entry)
    problems, across = [], 0
    for key, entries in places.items():
        per_epoch = Counter(entry.get("epoch") for entry in entries)
        if not model.numbered and model.expects("redis_lost"):
            across += len(entries) - 1
            continue
        across += len(per_epoch) - 1
        problems += [f"{key} committed {count} times (epoch {epoch}): {[e.get('pos') for e in entries]}"
                     for epoch, count in per_epoch.items() if count > 1]
        if len(per_epoch) > 1 and not (model.expects("redis_lost") or model.expects("failover")):
            problems.append(f"{key} is in {len(per_epoch)} epochs, though Redis never lost its data")
    text = f"{len(places)} keys" + (f", {across} committed again after Redis lost its data" if across else "")
    return judged(problems, text, len(places))


def i5_dense_numbering(model) -> Finding:
    """In each epoch `pos` counts 1, 2, 3 … without hole or repetition; the order of `seq` on a board is that of `pos`. A board's `seq` starts
    at the event's `pos`; where its counter was pruned (only in runs that prune) it jumps up to `pos` again; everywhere else it grows by 1."""
    if not model.numbered:
        return Finding(NOT_APPLICABLE, "the server does not number its events")
    problems, jumps = [], 0
    last_pos, last_seq = {}, {}
    for entry in model.log:
        epoch, pos, seq, board = entry["epoch"], entry["pos"], entry["seq"], entry["board"]
        expected = last_pos.get(epoch, 0) + 1
        if pos != expected and not model.expects("failover"):
            problems.append(f"epoch {epoch}: pos {pos} where {expected} was due ({entry['key']})")
        last_pos[epoch] = pos
        before = last_seq.get((epoch, board))
        if before is None:
            if seq != pos:
                problems.append(f"{board}: first seq of epoch {epoch} is {seq} at pos {pos}")
        elif seq != before + 1:
            if seq == pos and seq > before and model.expects("pruning"):
                jumps += 1
            elif not model.expects("failover"):
                problems.append(f"{board}: seq {seq} after {before} at pos {pos} of epoch {epoch}")
        last_seq[epoch, board] = seq
    text = f"{len(model.log)} positions in {len(model.epochs)} epochs" + (f", {jumps} jumps of pruned boards" if jumps else "")
    return judged(problems, text, len(model.log))


def i6_agreement(model) -> Finding:
    """(epoch, pos) and (epoch, board, seq) mean one event, for the log and for every reader. Across a recorded failover they may change;
    then every reader that held the old event was told `resync` for that board before any later event of it (I6b)."""
    if not model.numbered:
        return Finding(NOT_APPLICABLE, "the server does not number its events")
    meaning, problems = {}, []
    for record in model.by_op["log"] + model.by_op["recv"]:
        if "pos" not in record:
            continue
        for place in ((record["epoch"], record["pos"]), (record["epoch"], record["board"], record["seq"])):
            known = meaning.setdefault(place, record["id"])
            if known != record["id"]:
                if not model.expects("failover"):
                    problems.append(f"{place} is {known} and {record['id']}")
                meaning[place] = record["id"]  # The last one stands: L is read to its end after every failover.
    if model.expects("failover"):
        problems += _old_events_without_resync(model, meaning)
    return judged(problems, f"{len(meaning)} places", len(meaning))


def _old_events_without_resync(model, meaning) -> list:
    problems = []
    for reader in model.readers.values():
        for board, steps in reader.steps.items():
            old = None
            for step in steps:
                if step["op"] in ("resync", "sub.open") and (step["op"] == "resync" or not step.get("since")):
                    old = None
                elif step["op"] == "recv" and "pos" in step:
                    rolled_back = meaning[step["epoch"], step["pos"]] != step["id"]
                    if old is not None and not rolled_back:  # Two of one lost line follow each other before it is lost.
                        problems.append(f"{reader.name} on {board}: {step['key']} after the rolled back {old}, without resync")
                        old = None
                    if rolled_back:
                        old = step["key"]
    return problems


def i10_session_order(model) -> Finding:
    """Two messages of one publisher to one board, the second sent after the first was accepted, both with a single attempt and not retried
    by the worker: the log has them in that order."""
    if not model.meta.get("single_active_consumer", True):
        return Finding(NOT_APPLICABLE, "workers compete in this run: only retries and crashes keep no order, but all may")
    retried = {line.get("event_id") for line in model.lines if line["event"] == "retry"}
    sessions, place = defaultdict(list), {}
    for at, entry in enumerate(model.log):
        place.setdefault(entry["key"], (at, entry.get("epoch"), entry["id"]))
    for message in model.messages.values():
        if message.outcome == ACCEPTED and len(message.invoked) == 1 and message.key in place and message.expect == "deliver":
            if place[message.key][2] not in retried:
                sessions[message.publisher, message.board].append(message)
    problems, pairs = [], 0
    for (publisher, board), messages in sessions.items():
        messages.sort(key=lambda message: message.n)
        for first, second in zip(messages, messages[1:]):
            if first.accepted_at < second.invoked[0] and place[first.key][1] == place[second.key][1]:
                pairs += 1
                if place[first.key][0] > place[second.key][0]:
                    problems.append(f"{publisher} on {board}: {second.key} stands before {first.key}")
    return judged(problems, f"{pairs} pairs", pairs)


def _chains(model) -> dict:
    chains = defaultdict(list)
    for line in model.lines:
        if line["event"] in ("retry", "dead_letter") and line.get("event_id"):
            chains[line["event_id"]].append(line)
    for lines in chains.values():
        lines.sort(key=lambda line: line["wall"])
    return chains


def _message_of_event(model) -> dict:
    """event id -> message, as far as it was told: by the answer, the log or the dead letter queue."""
    known = {}
    for record in model.by_op["pub"] + model.log + model.dead:
        event = record.get("event_id") or record.get("id")
        if event and record.get("key") in model.messages:
            known[event] = model.messages[record["key"]]
    return known


def i12_retry_law(model) -> Finding:
    """Only what was made to fail is charged. Attempts count 1, 2, … up to the maximum; attempt i waits base × 2^(i-1) ± 10 %, capped, and comes
    back neither earlier nor, in a healthy run, more than the slack later."""
    slack = model.meta["settings"].get("retry_slack_seconds", 5)
    messages, problems, looked = _message_of_event(model), [], 0
    for event, lines in _chains(model).items():
        retries = [line for line in lines if line["event"] == "retry"]
        if not retries:
            continue
        looked += len(retries)
        message = messages.get(event)
        if message is not None and message.expect == "deliver" and not model.expects("charges"):
            problems.append(f"{message.key}: charged, though nothing was wrong with it ({retries[0].get('last_error')})")
        counts = [line["attempts"] for line in retries]
        if counts != list(range(1, len(counts) + 1)) and not model.redelivers():
            problems.append(f"{event}: attempts {counts}")
        for line in retries:
            law = model.retry_law(line)
            cap = law["retry_max_delay_ms"]
            if line["attempts"] > law["max_retries"]:
                problems.append(f"{event}: attempt {line['attempts']} of {law['max_retries']}")
            planned = min(law["retry_delay_ms"] * 2 ** (line["attempts"] - 1), cap)
            if not 0.9 * planned - 1 <= line["delay_ms"] <= min(1.1 * planned, cap) + 1:
                problems.append(f"{event}: attempt {line['attempts']} waits {line['delay_ms']} ms, {planned} ± 10 % was due")
        problems += _untimely(lines, slack, model.expects("late_retries"))
    if not looked and not model.expects("retries"):
        return Finding(NOT_APPLICABLE, "nothing was retried, and nothing should have been")
    return judged(problems, f"{looked} retries", looked)


def _untimely(lines, slack, late_is_fine) -> list:
    """Attempts that no wait led to. A worker that dies between a copy's confirm and its ack leaves two chains of one message: each attempt
    needs one earlier attempt of either chain whose wait it kept."""
    problems = []
    for at, line in enumerate(lines):
        before = [other for other in lines[:at] if other["event"] == "retry" and other["attempts"] == line["attempts"] - 1]
        if line["attempts"] < 2 or not before:
            continue
        waits = [(line["wall"] - other["wall"], other["delay_ms"] / 1000) for other in before]
        if not any(due - 0.05 <= waited and (late_is_fine or waited <= due + slack) for waited, due in waits):
            waited, due = waits[-1]
            problems.append(f"{line['event_id']}: attempt {line['attempts']} came {waited:.2f} s after a wait of {due:.2f} s began")
    return problems


def i13_dead_letter_law(model) -> Finding:
    """The dead letter queue holds what was invalid, failed too often or killed the worker, and nothing else; all that was accepted and of
    these kinds is there. Each dead letter has one ERROR line with the same event, board and attempts; where a copy's confirm and its ack may
    have been torn apart, either may be repeated."""
    reasons = {"invalid": "invalid_payload", "dead": "retries_exhausted", "poison": "crash_loop"}
    problems = []
    for entry in model.dead:
        message = model.messages.get(entry.get("key"))
        if entry.get("reason") == "delivery_limit" and model.expects("delivery_limit"):
            continue
        if message is not None and message.expect == "flaky" and entry.get("reason") == "retries_exhausted":
            pass  # It may have met several processes that fail it: never more than the maximum, which is looked at below.
        elif message is None or reasons.get(message.expect) != entry.get("reason"):
            expect = message.expect if message else "unknown to us"
            if not (model.expects("charges") and entry.get("reason") == "retries_exhausted"):
                problems.append(f"{entry.get('key')}: dead-lettered as {entry.get('reason')}, it was to become {expect!r}")
        if entry.get("reason") == "retries_exhausted" and entry.get("attempts", 0) - 1 not in model.retries_max():
            problems.append(f"{entry.get('key')}: {entry.get('attempts')} attempts")
    due = [m for m in model.with_outcome(ACCEPTED) if m.expect in reasons]
    problems += [f"{m.key}: should have become a dead letter ({m.expect})" for m in due if m.key not in model.dead_keys]
    problems += _lines_against_entries(model)
    lines = sum(1 for line in model.lines if line["event"] == "dead_letter")
    if not model.dead and not lines and not due:
        return judged(problems, "no dead letter, and none was due", 1)
    return judged(problems, f"{len(model.dead)} dead letters, {lines} ERROR lines", len(model.dead) + lines)


def _lines_against_entries(model) -> list:
    def identity(board, event, attempts):
        return event, board or "", attempts
    lines = Counter(identity(line.get("board_id"), line.get("event_id"), line.get("attempts"))
                    for line in model.lines if line["event"] == "dead_letter")
    entries = Counter(identity(entry.get("board"), entry.get("id"), entry.get("attempts")) for entry in model.dead)
    if model.redelivers():  # Repetitions of either are what was torn apart; a kill may fall between a copy and its line.
        lines, entries = Counter(set(lines)), Counter(set(entries))
        if sum(((lines - entries) + (entries - lines)).values()) <= model.kills("worker"):
            return []
    return [f"dead letter without its line: {identity}" for identity in (entries - lines)] + \
           [f"ERROR line without its dead letter: {identity}" for identity in (lines - entries)]


def i14_one_fate(model) -> Finding:
    """A message is in the log or in the dead letter queue, not in both. A worker that was killed or cut off may leave both; such are
    counted."""
    both = model.log_keys & model.dead_keys
    fates = len(model.log_keys | model.dead_keys)
    if both and model.redelivers():
        return Finding(PASS, f"{fates} messages, {len(both)} with both fates after a worker was killed or cut off")
    return judged([f"{key}: delivered and dead-lettered" for key in sorted(both)], f"{fates} messages", fates)


def i15_conservation(model) -> Finding:
    """The counters of the processes agree with what the clients saw: app.published >= accepted answers; a worker never counts more fan-outs than
    there are log entries, and all outcomes together cover what was published. Counters die with their process: not for runs that kill."""
    if model.kills("app") or model.kills("worker") or any(
            r["type"] == "signal" and r["t"] < model.phases.get("final", r["t"] + 1) for r in model.by_op["proc"]):
        return Finding(NOT_APPLICABLE, "a process was ended in this run, and its counters with it")
    totals = Counter()
    for record in model.by_op["counter"]:
        totals[record["name"], record.get("label")] += record["value"]
    if not totals:
        return Finding(UNKNOWN, "no counters were read")
    published = totals["published", "success"]
    fanned_out = totals["outcome", "fanned_out"] + totals["outcome", "conflict"]
    settled = fanned_out + totals["outcome", "duplicate"] + totals["outcome", "dead_lettered"]
    accepted = sum(1 for message in model.messages.values() for answer in message.answers if answer[2] == ACCEPTED and message.expect != "invalid")
    commits = len(model.log) if model.numbered else None
    problems = []
    if published < accepted:
        problems.append(f"clients have {accepted} accepted answers, the apps published {published:.0f}")
    if settled < published:
        problems.append(f"{published:.0f} published, only {settled:.0f} settled by the workers")
    if commits is not None and fanned_out > commits:
        problems.append(f"workers counted {fanned_out:.0f} fan-outs, the log has {commits} entries")
    return judged(problems, f"{accepted} accepted <= {published:.0f} published <= {settled:.0f} settled", accepted)
