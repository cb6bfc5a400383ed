# SPDX-License-Identifier: Apache-2.0
"""Clients that read, come back whenever their connection ends, and write down every event and frame.

When the server goes on there, they come back with the cursor of their last event, or of the place where they began (`?since=`); a stream,
with what stood last in `id:`, of a gap or resync too (`Last-Event-ID`). When it does not, they come back without one, which the history
shows as an opening without `since`: what happened meanwhile is then nobody's promise.
"""
import json
import random
import threading
import time
from urllib.parse import quote

from harness.clients import Ended
from harness.eventstream import EventStream
from harness.processes import TOKEN
from harness.websocket import Closed, WebSocket

from history import event_fields
from publisher import PROTOCOL

SILENCE_SECONDS = 45  # The server pings and heartbeats more often; longer silence is a dead path, as every real client decides.


class Subscriber(threading.Thread):
    """`kind`: ws, of one board; sse, of `boards`; all, a stream without a filter, and `boards` says what it will see. `pause` slows the reading
    down (seconds per event)."""

    def __init__(self, name: str, kind: str, boards, ports, writer, *, seed: int, acks: bool, resume: bool, first_port: int = 0, pause: float = 0.0):
        super().__init__(name=f"subscriber-{name}", daemon=True)
        self.label, self.kind, self.boards = name, kind, list(boards)
        self._ports, self._writer, self._acks, self._resume, self._pause = ports, writer, acks, resume, pause
        self._random, self._at = random.Random(seed), first_port
        self._going, self._cursor = True, None
        self.received = set()  # Keys; for the run's own waiting, the checker reads the file.
        self.connected = False

    def stop(self) -> None:
        self._going = False

    def run(self) -> None:
        while self._going:
            source = None
            try:
                source = self._open()
                self.connected = True
                self._writer.write("sub.open", sub=self.label, kind=self.kind, boards=self.boards, since=self._cursor)
                self._read(source)
                why = "stopped"
            except TimeoutError:
                why = "silence"
            except (Ended, Closed, OSError) as error:
                why = f"{type(error).__name__}: {error}"
            if self.connected:
                self.connected = False
                self._writer.write("sub.close", sub=self.label, why=why)
            if source is not None:
                source.wire.close()
            if self._going:
                self._at += 1
                time.sleep(self._random.uniform(0.05, 0.4))

    def _port(self) -> int:
        ports = self._ports()
        return ports[self._at % len(ports)]

    def _open(self):
        if self.kind != "ws":
            query = "?" + "&".join(f"board={quote(board)}" for board in self.boards) if self.kind == "sse" else ""
            source = EventStream(self._port(), "/sse/activity" + query, seconds=5,
                                 headers=[("Last-Event-ID", self._cursor)] if self._cursor else [])
            if source.response.status != 200:
                source.wire.close()
                raise Ended(f"HTTP {source.response.status}")
            return source
        since = f"&since={quote(self._cursor)}" if self._cursor else ""
        source = WebSocket(self._port(), f"/ws/boards/{self.boards[0]}?token={TOKEN}{since}", PROTOCOL if self._acks else (), seconds=5)
        if source.refused:
            source.wire.close()
            raise Ended(f"HTTP {source.response.status}")
        return source

    def _read(self, source) -> None:
        while self._going:
            value = source.poll(0.5)
            if value is None:
                if time.monotonic() - source.wire.heard > SILENCE_SECONDS:
                    raise TimeoutError
                continue
            if self.kind != "ws":
                if value.event == "heartbeat":
                    continue
                name, cursor, value = value.event, value.id, json.loads(value.data)
                if name.startswith("boardbus."):
                    value.setdefault("kind", name.removeprefix("boardbus."))
                self._take(value, cursor)
            else:
                self._take(value, value.get("cursor"))
            if self._pause:
                time.sleep(self._pause)

    def _take(self, value: dict, cursor) -> None:
        kind = value.get("kind")
        if kind in ("board_event", "resync") or kind == "gap" and cursor:
            self._cursor = cursor if self._resume else None  # After a resync the old one belongs to a history that is gone.
        if kind == "board_event":
            self._writer.write("recv", sub=self.label, **event_fields(value))
            self.received.add(value.get("correlation_id"))
        elif kind == "gap":
            unit = "seq" if value["board"] is not None else "pos"  # A stream of several boards speaks of positions, and of all its boards.
            self._writer.write("gap", sub=self.label, board=value["board"], unit=unit, first=value[f"from_{unit}"], last=value[f"to_{unit}"])
        elif kind == "resync":
            self._writer.write("resync", sub=self.label, board=value["board"], epoch=value["epoch"],
                               **{unit: value[unit] for unit in ("seq", "pos") if unit in value})
        elif kind == "subscribed":
            self._writer.write("sub.live", sub=self.label, board=value["board"], epoch=value.get("epoch"), seq=value.get("seq"),
                               recovered=bool(value.get("recovered")))
            if self._resume and self._cursor is None:
                self._cursor = cursor
        elif kind == "status":
            self._writer.write("status", sub=self.label, live=value.get("live"))
        elif kind == "error":
            self._writer.write("frame", sub=self.label, value=value)
