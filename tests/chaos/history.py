# SPDX-License-Identifier: Apache-2.0
"""What happened in one run, as files: one JSONL file per observer, and meta.json about the run itself.

Every record has `t` (CLOCK_MONOTONIC, nanoseconds; all observers live on one machine, so one clock orders them all) and `op`:

    pub        type invoke|ok|fail|info; pub, board, n (counter of this publisher and board), key, hash, attempt; the answer has `result`
               accepted|rejected|unknown and `why`. `expect` says what the message must become: deliver, dead, poison, invalid
    sub.open   sub, kind, boards, since (the cursor, or null)      sub.close  sub, why
    sub.live   sub, board, epoch, seq: the server's word where live delivery begins
    recv       sub, board, key, id, hash, and epoch, pos, seq when the server numbers its events
    gap        sub, board, first, last, unit (seq; pos when board is null: of all boards of the reader)
    resync     sub, board, epoch, seq (pos when board is null)          status  sub, live
    log        via channel|stream; board, key, id, hash, epoch, pos, seq: what the recorder saw committed
    recorder   type lost|back: its own connection
    proc       type start|signal|exit; proc, pid, number, code; of a worker's start, `retry`: its settings of retries     rss  proc, bytes
    fault      type begin|took|end|still; name, detail                  phase  name
    dlq        what the dead letter queue held at the end: id, key, board, hash, reason, attempts
    depth      queue, messages at the end                               claim  key: an idempotency key that Redis held at the end
    line       proc, pid, event, and what the log line of app or worker said, `wall` in seconds
    counter    proc, name, labels, value at the end
    crowd      one reader of many: n, told (when it was to come back), hint_ms, closed, code, back (times), events (keys, in order)
    unready    proc: since when it did not call itself ready

Nothing here decides anything; the checker reads these files and nothing else.
"""
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

RECORDS_MAX = 5_000_000  # Per file: 150 bytes each make 750 MB. Beyond it the run is broken off, not cut short in silence.


def content_hash(action, user, payload, message=None) -> str:
    """What must arrive unchanged, whatever carried it."""
    text = json.dumps([action, user, payload, message], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def event_fields(event: dict) -> dict:
    """An ActivityEvent as `recv` and `log` records keep it."""
    fields = {"board": event.get("board"), "key": event.get("correlation_id"), "id": event.get("id"),
              "hash": content_hash(event.get("action"), event.get("user"), event.get("payload"))}
    fields.update({name: event[name] for name in ("epoch", "pos", "seq") if event.get(name) is not None})
    return fields


class Writer:
    """One observer's file. Any thread."""

    def __init__(self, folder: Path, name: str):
        self._lock = threading.Lock()
        self._count = 0
        self._file = open(folder / f"{name}.jsonl", "a", encoding="utf-8", buffering=1)  # A line is written when it is written.

    def write(self, op: str, t: int = None, **fields) -> int:
        """Appends a record and returns its time."""
        now = time.monotonic_ns() if t is None else t
        text = json.dumps({"t": now, "op": op, **fields}, separators=(",", ":"), ensure_ascii=False) + "\n"
        with self._lock:
            self._count += 1
            if self._count > RECORDS_MAX:
                raise RuntimeError(f"{self._file.name}: more than {RECORDS_MAX} records")
            if not self._file.closed:
                self._file.write(text)
        return now

    def close(self) -> None:
        with self._lock:
            self._file.close()


@dataclass
class History:
    """A whole run: its records in the order of time, and what is known about it."""
    meta: dict
    records: list = field(default_factory=list)

    def of(self, *ops) -> list:
        return [record for record in self.records if record["op"] in ops]


def read(folder: Path) -> History:
    """Reads a stored run. A last line that was cut off by a kill is left out; any other damage raises ValueError."""
    folder = Path(folder)
    history = History(json.loads((folder / "meta.json").read_text()))
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                history.records.append(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
    history.records.sort(key=lambda record: record["t"])  # Stable: an observer's own order stays.
    return history


def write_meta(folder: Path, meta: dict) -> None:
    (Path(folder) / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
