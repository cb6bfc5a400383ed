# SPDX-License-Identifier: Apache-2.0
"""The sets and orders that the invariants speak of, computed once from a history.

    messages   by key: everything that was attempted, its outcome (A accepted, F rejected, U unknown)
    log        L: what was committed, in order; with positions when the server gives them, else in the order of the channel
    dead       D: what the dead letter queue held
    readers    each subscriber's events and frames, in the order in which it saw them
"""
from collections import defaultdict
from dataclasses import dataclass, field

ACCEPTED, REJECTED, UNKNOWN = "accepted", "rejected", "unknown"
SECOND = 1_000_000_000


@dataclass
class Message:
    key: str
    publisher: str
    board: str
    n: int
    hash: str
    expect: str
    probe: bool
    invoked: list = field(default_factory=list)   # Times, by attempt.
    answers: list = field(default_factory=list)   # (time, attempt, result, why)

    @property
    def outcome(self) -> str:
        """Accepted if any attempt was. Rejected only if all were: an attempt without an answer may have got through."""
        results = [answer[2] for answer in self.answers]
        if ACCEPTED in results:
            return ACCEPTED
        return REJECTED if results and set(results) == {REJECTED} and len(results) == len(self.invoked) else UNKNOWN

    @property
    def accepted_at(self):
        return min((t for t, _, result, _ in self.answers if result == ACCEPTED), default=None)


@dataclass
class Reader:
    name: str
    kind: str
    boards: set
    stream: list = field(default_factory=list)                      # Its records, in order.
    steps: dict = field(default_factory=lambda: defaultdict(list))  # board -> those that speak of it, opens included
    opens: list = field(default_factory=list)
    closed: bool = False
    last_open: int = 0

    def received(self, board: str) -> list:
        return [step for step in self.steps[board] if step["op"] == "recv"]


class Model:
    def __init__(self, history):
        self.meta = history.meta
        self.records = history.records
        self.by_op = defaultdict(list)
        for record in history.records:
            self.by_op[record["op"]].append(record)
        self.phases = {record["name"]: record["t"] for record in self.by_op["phase"]}
        self.messages = self._messages()
        self.dead = self.by_op["dlq"]
        self.dead_keys = {entry["key"] for entry in self.dead if entry.get("key")}
        self.claims = {record["key"] for record in self.by_op["claim"]}
        self.lines = self.by_op["line"]
        self._laws = {(record["proc"], record["pid"]): record["retry"] for record in self.by_op["proc"] if "retry" in record}
        self.numbered = any("pos" in record for record in self.by_op["log"]) or any("pos" in record for record in self.by_op["recv"])
        self.epochs = []  # In the order in which they appeared.
        self.log = self._log()
        self.log_keys = {entry["key"] for entry in self.log}
        self.order = {}   # (board, id) -> place in L; the first, if it is there twice
        for place, entry in enumerate(self.log):
            self.order.setdefault((entry["board"], entry["id"]), place)
        self.log_of = defaultdict(list)
        for entry in self.log:
            self.log_of[entry["board"]].append(entry)
        self.readers = self._readers()
        self.faults = self._faults()

    def _messages(self) -> dict:
        messages = {}
        for record in self.by_op["pub"]:
            key = record["key"]
            if record["type"] == "invoke":
                message = messages.get(key)
                if message is None:
                    message = messages[key] = Message(key, record["pub"], record["board"], record["n"], record["hash"],
                                                      record.get("expect", "deliver"), bool(record.get("probe")))
                message.invoked.append(record["t"])
            elif key in messages:
                messages[key].answers.append((record["t"], record["attempt"], record["result"], record.get("why", "")))
        return messages

    def _log(self) -> list:
        """L without what channel and stream both told. Entries that are not numbered are kept as often as they came."""
        entries, seen = [], set()
        for record in self.by_op["log"]:
            if "pos" in record:
                identity = (record["epoch"], record["pos"], record["id"])
                if identity in seen:
                    continue
                seen.add(identity)
                if record["epoch"] not in self.epochs:
                    self.epochs.append(record["epoch"])
            entries.append(record)
        rank = {epoch: at for at, epoch in enumerate(self.epochs)}
        entries.sort(key=lambda entry: (rank[entry["epoch"]], entry["pos"]) if "pos" in entry else (-1, entry["t"]))
        return entries

    def _readers(self) -> dict:
        readers = {}
        for record in self.records:
            name = record.get("sub")
            if name is None:
                continue
            if record["op"] == "sub.open":
                reader = readers.setdefault(name, Reader(name, record["kind"], set(record["boards"])))
                reader.opens.append(record)
                reader.closed = False
                reader.stream.append(record)
                for board in reader.boards:
                    reader.steps[board].append(record)
                continue
            reader = readers.get(name)
            if reader is None:
                continue
            if record["op"] == "sub.close":
                reader.closed = record["why"] != "stopped"  # By the run itself, after everything was read: then all was due to it.
            elif record["op"] in ("recv", "gap", "resync", "sub.live"):
                reader.stream.append(record)
                for board in reader.boards if record["board"] is None else (record["board"],):
                    reader.steps[board].append(record)
        return readers

    def _faults(self) -> dict:
        """name -> its records, in order."""
        faults = defaultdict(list)
        for record in self.by_op["fault"]:
            faults[record["name"]].append(record)
        return faults

    # What the run allows.

    def expects(self, word: str) -> bool:
        """Whether the run was made to show this (`retries`, `dead_letters`, …) or allows it (`redis_lost`, `failover`, `gaps`)."""
        return word in self.meta.get("expects", ())

    def retry_law(self, line) -> dict:
        """The settings of retries of the process that wrote the line; the run's own, unless that process was given others."""
        return self._laws.get((line.get("proc"), line.get("pid")), self.meta["settings"])

    def retries_max(self) -> set:
        """What a process of this run took for the most retries."""
        return {law["max_retries"] for law in (self.meta["settings"], *self._laws.values())}

    def kills(self, role: str) -> int:
        """How often a process of that role (app, worker) died by a signal that nobody can answer."""
        return sum(1 for record in self.by_op["proc"]
                   if record["type"] == "exit" and record["proc"].startswith(role) and (record["code"] or 0) < 0)

    def redelivers(self) -> bool:
        """Whether a copy's confirm and the ack of its original may have been torn apart: by a worker's death, or by the end of its
        connection. Then a message may have two chains of retries, or two dead letters."""
        return self.kills("worker") > 0 or any(name.startswith(("worker.", "rabbit.", "cluster.", "link.worker-rabbit.", "rolling-restart"))
                                               for name in self.faults)

    def with_outcome(self, outcome: str) -> list:
        return [message for message in self.messages.values() if message.outcome == outcome]

    def windows(self, *names) -> list:
        """(begin, end) of the faults with these names, in nanoseconds; from when they took effect to when their end began."""
        found = []
        for name in names:
            began = None
            for record in self.faults.get(name, ()):
                if record["type"] == "took":
                    began = record["t"]
                elif record["type"] == "end" and began is not None:
                    found.append((began, record["t"]))
                    began = None
        return found
