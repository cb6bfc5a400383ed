# SPDX-License-Identifier: Apache-2.0
"""I21: what an app that has to go does with many readers. Takes a Model and returns a Finding."""
from finding import NOT_APPLICABLE, Finding, judged
from model import SECOND

GOING_AWAY = 1001
WINDOW = SECOND // 20      # The length of a slice.
WINDOW_SHARE_MAX = 0.2     # Of all readers, closed within one window; an observer that was held up for a moment sees some slices as one.


def i21_orderly_leave(model) -> Finding:
    """Readiness ends before the readers do. Each is told when to come back, not all the same, before it is closed with 1001; they are closed in
    slices. All come back, and each gets every event of their board once and in order."""
    crowd = model.by_op["crowd"]
    if not crowd:
        return Finding(NOT_APPLICABLE, "no crowd in this run")
    problems = []
    for reader in crowd:
        problems += [f"reader {reader['n']}: {text}" for text in _its_own(reader, model.log_of["crowd"], model.meta["settings"])]
    told = next((record["t"] for record in model.by_op["proc"] if record["type"] == "signal" and record["number"] == 15), None)
    closed = sorted(reader["closed"] for reader in crowd if reader["closed"] is not None)
    if told is None or len(closed) < len(crowd):
        return judged(problems + [f"{len(closed)} of {len(crowd)} readers were closed"], "no app left", 1)
    problems += _together(crowd, closed)
    unready = min((record["t"] for record in model.by_op["unready"]), default=None)
    if unready is None or unready > closed[len(closed) // 10]:
        problems.append("the app still called itself ready when a tenth of its readers was gone")
    return judged(problems, _figures(model, crowd, told, closed, unready), len(crowd))


def _its_own(reader, log, settings) -> list:
    base, problems = settings["reconnect_initial_ms"], []
    if reader["closed"] is None:
        return []
    if reader["code"] != GOING_AWAY:
        problems.append(f"closed with {reader['code']}")
    if reader["told"] is None or reader["told"] > reader["closed"]:
        problems.append("closed without a word of when to come back")
    elif not base * 0.5 <= reader["hint_ms"] <= base * 1.5 + 1:
        problems.append(f"told to come back in {reader['hint_ms']} ms, {base} ± 50 % was due")
    if reader["back"] is None:
        problems.append("never came back")
    elif reader["events"] != [entry["key"] for entry in log]:
        problems.append(f"got {len(reader['events'])} events of {len(log)}: not each of them once and in order")
    return problems


def _together(crowd, closed) -> list:
    problems = []
    hints = {reader["hint_ms"] for reader in crowd}
    if len(hints) < len(crowd) / 20:
        problems.append(f"{len(hints)} different times to come back for {len(crowd)} readers")
    first = 0
    for last, t in enumerate(closed):
        while t - closed[first] > WINDOW:
            first += 1
        if last - first + 1 > max(len(closed) * WINDOW_SHARE_MAX, 5):
            problems.append(f"{last - first + 1} of {len(closed)} readers closed within {WINDOW // 1_000_000} ms")
            break
    return problems


def _figures(model, crowd, told, closed, unready) -> str:
    def after(t):
        return f"{(t - told) / SECOND:.2f} s"
    back = sorted(reader["back"] for reader in crowd if reader["back"] is not None)
    ended = next((record["t"] for record in model.by_op["proc"] if record["type"] == "exit" and record["t"] > told), None)
    cut = sum(told < t < (ended or t) and why == "cut" for message in model.messages.values() for t, _, _, why in message.answers)
    return (f"{len(crowd)} readers; after SIGTERM: not ready {after(unready) if unready else 'never'}, closed {after(closed[0])} to "
            f"{after(closed[-1])} (half {after(closed[len(closed) // 2])}), process ended {after(ended) if ended else 'never'}, "
            + (f"back {after(back[0])} to {after(back[-1])} (half {after(back[len(back) // 2])})" if back else "nobody back")
            + f"; {cut} sends cut off")
