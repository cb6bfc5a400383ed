# SPDX-License-Identifier: Apache-2.0
"""A client of Server-Sent Events, by the parsing rules of the HTML standard, section 9.2.6."""
import json
from dataclasses import dataclass

from .clients import Ended, Wire, read_head, request_bytes, take_chunk
from .processes import TOKEN
from .timing import DEFAULT_SECONDS, Deadline


@dataclass
class StreamEvent:
    id: str
    event: str
    data: str
    raw: bytes  # The block as it came, blank line included.

    def json(self):
        return json.loads(self.data)


class EventStream:
    def __init__(self, port: int, path: str = "/sse/activity", *, token: str = TOKEN, headers=(), method: str = "GET",
                 receive_buffer: int = 0, seconds: float = DEFAULT_SECONDS):
        self.wire = Wire(port, receive_buffer)
        headers = list(headers) + ([("Authorization", f"Bearer {token}")] if token is not None else [])
        self.wire.send(request_bytes(method, path, headers, host=f"127.0.0.1:{port}"))
        self.response = read_head(self.wire, Deadline(seconds))
        self._chunked = (self.response.header("Transfer-Encoding") or "").lower() == "chunked"
        self._text = bytearray()  # Taking from its front is cheap, however much waits behind.
        self.last_id = ""  # What a browser would send as Last-Event-ID.
        if self.response.status != 200:
            self.response.body = self.wire.take(int(self.response.header("Content-Length") or 0), Deadline(seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    def _more(self, deadline: Deadline) -> None:
        if self._chunked:
            chunk = take_chunk(self.wire, deadline)
            if not chunk:
                raise Ended("last chunk")
            self._text += chunk
        else:
            if not self.wire.buffer:
                self.wire.fill(deadline)
            self._text += self.wire.take(len(self.wire.buffer), deadline)

    def next(self, seconds: float = DEFAULT_SECONDS, heartbeats: bool = False) -> StreamEvent:
        """The next event; heartbeats and comments are skipped unless asked for."""
        deadline = Deadline(seconds)
        while True:
            at = self._text.find(b"\n\n")
            if at < 0:
                self._more(deadline)
                continue
            raw = bytes(self._text[:at + 2])
            del self._text[:at + 2]
            for line in raw.decode("utf-8").split("\n"):
                self.last_id = line[4:] if line.startswith("id: ") else self.last_id
            event = _parse(raw)
            if event is not None and (heartbeats or event.event != "heartbeat"):
                return event

    def poll(self, seconds: float):
        """The next event, heartbeats included; None when none begins to come within the seconds."""
        while b"\n\n" not in self._text:
            if not self.wire.begins(seconds):
                return None
            self._more(Deadline())
        return self.next(heartbeats=True)

    def ended(self, seconds: float = DEFAULT_SECONDS) -> bool:
        """True once the server has ended the stream; events before that are skipped."""
        deadline = Deadline(seconds)
        try:
            while True:
                self._more(deadline)
        except Ended:
            return True


def _parse(raw: bytes):
    fields = {"id": "", "event": "message"}
    data = []
    for line in raw.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            data.append(value)
        elif name in fields:
            fields[name] = value
    return StreamEvent(fields["id"], fields["event"], "\n".join(data), raw) if data else None
