# SPDX-License-Identifier: Apache-2.0
"""Sound histories, written by hand for the checker's own tests: small, whole, and with everything in them that a mutant may want to break."""
from history import History, content_hash
from model import ACCEPTED, REJECTED, SECOND

SETTINGS = {"retry_delay_ms": 200, "retry_max_delay_ms": 5000, "max_retries": 3, "publish_timeout_ms": 5000, "shutdown_grace_seconds": 10,
            "rss_bytes_max": 512 << 20, "fresh_seconds": 15, "probe_seconds": 10, "reconnect_initial_ms": 1500}
BOARDS = ("a", "b")


class Made:
    """Builds a run step by step; every step takes 10 ms."""

    def __init__(self, numbered=True, expects=()):
        self.history = History({"accepted_min": 5, "faults": ["redis.kill"], "expects": list(expects), "server_can": ["resume"],
                                "single_active_consumer": True,
                                "settings": dict(SETTINGS)})
        self.t, self.numbered, self.epoch, self.pos, self.seqs, self.count = SECOND, numbered, "e1", 0, {}, 0
        self.readers = {"ws-a": ["a"], "ws-b": ["b"], "sse": list(BOARDS)}
        for proc, pid in (("app0", 10), ("worker0", 11)):
            self.add("proc", type="start", proc=proc, pid=pid, code=None)
        for name in self.readers:
            self.open(name)
        self.add("phase", name="load")

    def add(self, op: str, **fields) -> dict:
        self.t += SECOND // 100
        record = {"t": self.t, "op": op, **fields}
        self.history.records.append(record)
        return record

    def open(self, name: str, since=None) -> None:
        self.add("sub.open", sub=name, kind="sse" if name == "sse" else "ws", boards=self.readers[name], since=since)

    def attempt(self, key, board, n, result=ACCEPTED, attempt=1, expect="deliver", probe=False, publisher="p0"):
        told = {"pub": publisher, "board": board, "n": n, "key": key, "via": "post", "attempt": attempt}
        self.add("pub", type="invoke", hash=self.hash(n), expect=expect, **told, **({"probe": True} if probe else {}))
        kind = {ACCEPTED: "ok", REJECTED: "fail"}.get(result, "info")
        return self.add("pub", type=kind, result=result, why="", **told, **({"event_id": f"id-{key}"} if result == ACCEPTED else {}))

    @staticmethod
    def hash(n) -> str:
        return content_hash("move", "ann", {"n": n})

    def commit(self, key, board, n, skip=()) -> None:
        """Into the log, and to every reader of the board."""
        entry = {"board": board, "key": key, "id": f"id-{key}", "hash": self.hash(n)}
        if self.numbered:
            self.pos += 1
            self.seqs[board] = self.seqs.get(board, self.pos - 1) + 1
            entry.update(epoch=self.epoch, pos=self.pos, seq=self.seqs[board])
            self.add("log", via="stream", **entry)
        self.add("log", via="channel", **entry)
        for name, boards in self.readers.items():
            if board in boards and name not in skip:
                self.add("recv", sub=name, **entry)

    def message(self, board="a", **more) -> str:
        self.count += 1
        key = f"k{self.count}"
        self.attempt(key, board, self.count, **more)
        self.commit(key, board, self.count)
        return key

    def fault(self, name="redis.kill") -> None:
        for kind in ("begin", "took", "end"):
            self.add("fault", type=kind, name=name, detail="")

    def retried(self, key, board, failures, dead) -> None:
        wall = 1000.0 + self.count
        for attempt in range(1, failures + 1):
            last = dead and attempt == failures
            delay = 200 * 2 ** (attempt - 1)
            self.add("line", event="dead_letter" if last else "retry", event_id=f"id-{key}", board_id=board, attempts=attempt, wall=wall,
                     delay_ms=delay, reason="retries_exhausted", last_error="told to fail")
            wall += delay / 1000 + 0.01

    def finish(self) -> History:
        self.add("phase", name="heal")
        for board in BOARDS:
            self.message(board)
        self.add("phase", name="drain")
        self.add("phase", name="probe")
        for board in BOARDS:
            self.message(board, probe=True, publisher="probe")
        self.add("phase", name="final")
        for queue in ("main", "main.retry"):
            self.add("depth", queue=queue, messages=0)
        self.add("rss", proc="app0", bytes=20 << 20)
        answers = sum(record["op"] == "pub" and record.get("result") == ACCEPTED for record in self.history.records)
        dead = sum(record["op"] == "dlq" for record in self.history.records)
        for name, label, value in (("published", "success", answers), ("outcome", "fanned_out", answers - dead), ("outcome", "duplicate", 0),
                                   ("outcome", "dead_lettered", dead)):
            self.add("counter", proc="p", name=name, label=label, value=value)
        for proc, pid in (("worker0", 11), ("app0", 10)):
            self.add("proc", type="signal", proc=proc, pid=pid, number=15)
            self.add("proc", type="exit", proc=proc, pid=pid, code=0)
        return self.history


def plain(numbered=True) -> History:
    """Ten messages, one reader that comes back with its cursor, one refused message."""
    made = Made(numbered)
    for n in range(10):
        made.message(BOARDS[n % 2])
    made.fault()
    made.attempt("refused", "a", 90, REJECTED)
    if numbered:
        made.add("sub.close", sub="sse", why="Ended")
        made.open("sse", since="e1.10")
    for n in range(6):
        made.message(BOARDS[n % 2])
    return made.finish()


def failing() -> History:
    """One message that fails twice and is delivered, one that fails for good, one body that is no envelope."""
    made = Made(expects=("retries",))
    for n in range(6):
        made.message(BOARDS[n % 2])
    made.fault()
    made.attempt("flaky", "a", 50, expect="flaky")
    made.retried("flaky", "a", 2, dead=False)
    made.commit("flaky", "a", 50)
    made.attempt("doomed", "b", 51, expect="dead")
    made.retried("doomed", "b", 4, dead=True)
    made.add("dlq", id="id-doomed", key="doomed", board="b", hash=made.hash(51), reason="retries_exhausted", attempts=4)
    made.attempt("junk", None, 52, expect="invalid", publisher="stranger")
    made.add("line", event="dead_letter", event_id="junk", board_id="", attempts=1, wall=2000.0, reason="invalid_payload")
    made.add("dlq", id="junk", key="junk", board=None, hash=None, reason="invalid_payload", attempts=1)
    return made.finish()


def replaced() -> History:
    """Redis loses its data in the middle; every reader is told so."""
    made = Made(expects=("redis_lost",))
    for n in range(6):
        made.message(BOARDS[n % 2])
    made.fault()
    made.epoch, made.pos, made.seqs = "e2", 0, {}
    for name, boards in made.readers.items():
        if len(boards) == 1:
            made.add("resync", sub=name, board=boards[0], epoch="e2", seq=0)
        else:  # It ends, and is told by position when it is back.
            made.add("sub.close", sub=name, why="Ended")
            made.open(name, since="e1.6")
            made.add("resync", sub=name, board=None, epoch="e2", pos=0)
    for n in range(6):
        made.message(BOARDS[n % 2])
    return made.finish()


def leaving() -> History:
    """An app with forty readers goes away in the middle; they come back one after the other."""
    made = Made()
    for n in range(6):
        made.message(BOARDS[n % 2])
    made.fault()
    made.message("crowd")
    told = made.add("proc", type="signal", proc="app0", pid=10, number=15)["t"]
    made.add("unready", proc="app0")
    made.message("crowd")
    made.t += 8 * SECOND
    made.add("proc", type="exit", proc="app0", pid=10, code=0)
    made.add("proc", type="start", proc="app0", pid=10, code=None)
    made.message("crowd")
    keys = [record["key"] for record in made.history.records if record["op"] == "log" and record["board"] == "crowd" and record["via"] == "stream"]
    for n in range(40):
        closed = told + SECOND + n * SECOND // 20
        made.history.records.append({"t": SECOND, "op": "crowd", "n": n, "told": closed - 1000, "hint_ms": 800 + 30 * n, "closed": closed, "code": 1001,
                                     "back": closed + 2 * SECOND, "events": list(keys)})
    return made.finish()


SOUND = {"plain": plain, "unnumbered": lambda: plain(numbered=False), "failing": failing, "replaced": replaced, "leaving": leaving}
