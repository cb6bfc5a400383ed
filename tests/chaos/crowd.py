# SPDX-License-Identifier: Apache-2.0
"""Some thousand readers that do nothing but be there: what an app does with them when it has to go.

They are a program of their own (`crowd.py COUNT FOLDER PORT...`), because select() in the other clients ends at descriptor 1023, and because
the run's threads must not wait for them. One thread, one epoll set. Each reader speaks boardbus.v1 on the board `crowd`, begins at the first
port, and comes back at the next one after every end: after the time that `going_away` told, with the cursor of its last event. The program
prints `open` when all are there for the first time, `heard` when all have an event and so a cursor, and `back` when all have come back
once. At the end of its input it writes one record for each reader to FOLDER/crowd.jsonl, and ends; so it ends with the run, whatever ended
that.
"""
import collections
import heapq
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent / "system"))  # The program is started by itself.
from harness.processes import TOKEN  # noqa: E402

BOARD = "crowd"
HANDSHAKES_MAX = 200   # At once; the others wait for one to be done.
RETRY_SECONDS = 0.2    # After a refused connection or one that was cut without a word.
END_SECONDS = 60


class Crowd:
    """The program, as the run sees it."""

    def __init__(self, count: int, folder: Path, ports):
        self.said = set()
        self._process = subprocess.Popen([sys.executable, __file__, str(count), str(folder), *map(str, ports)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._process.stdout:
            self.said.add(line.strip())

    def end(self) -> None:
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Reader:
    __slots__ = ("n", "sock", "state", "buffer", "tries", "cursor", "opened", "told", "hint", "closed", "code", "back", "events")

    def __init__(self, n: int):
        self.n, self.sock, self.state, self.buffer, self.tries = n, None, "away", bytearray(), 0
        self.cursor = self.opened = self.told = self.hint = self.closed = self.code = self.back = None
        self.events = []

    def record(self) -> dict:
        return {"t": self.opened or time.monotonic_ns(), "op": "crowd", "n": self.n, "told": self.told, "hint_ms": self.hint,
                "closed": self.closed, "code": self.code, "back": self.back, "events": self.events}


class Program:
    def __init__(self, count: int, folder: Path, ports):
        self._ports, self._folder = ports, folder
        self._readers = [Reader(n) for n in range(count)]
        self._waiting = collections.deque(self._readers)
        self._due = []  # (time, n): who comes back when
        self._handshakes = 0
        self._counts = collections.Counter()
        self._selector = selectors.EpollSelector()

    def run(self) -> None:
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            for key, ready in self._selector.select(0.02):
                if key.data is None:
                    if not os.read(sys.stdin.fileno(), 4096):
                        return self._write_down()
                elif ready & selectors.EVENT_WRITE:
                    self._greet(key.data)
                else:
                    self._read(key.data)
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                self._waiting.append(self._readers[heapq.heappop(self._due)[1]])
            while self._waiting and self._handshakes < HANDSHAKES_MAX:
                self._connect(self._waiting.popleft())

    def _write_down(self) -> None:
        with open(self._folder / "crowd.jsonl", "w", encoding="utf-8") as file:
            for reader in self._readers:
                file.write(json.dumps(reader.record(), separators=(",", ":")) + "\n")

    # Coming.

    def _connect(self, reader) -> None:
        reader.sock, reader.state, reader.buffer = socket.socket(), "greeting", bytearray()
        reader.sock.setblocking(False)
        self._handshakes += 1
        try:
            reader.sock.connect(("127.0.0.1", self._ports[reader.tries % len(self._ports)]))
        except BlockingIOError:
            pass
        except OSError:
            return self._gone(reader, None)
        self._selector.register(reader.sock, selectors.EVENT_WRITE, reader)

    def _greet(self, reader) -> None:
        since = f"&since={quote(reader.cursor)}" if reader.cursor else ""
        request = (f"GET /ws/boards/{BOARD}?token={TOKEN}{since} HTTP/1.1\r\nHost: crowd\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: Y3Jvd2QtY3Jvd2QtY3Jvdw==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: boardbus.v1\r\n\r\n")
        try:
            reader.sock.send(request.encode())  # Shorter than any socket's buffer.
        except OSError:
            return self._gone(reader, None)
        self._selector.modify(reader.sock, selectors.EVENT_READ, reader)

    def _is_open(self, reader) -> None:
        reader.state = "open"
        self._handshakes -= 1
        if reader.opened is None:
            reader.opened = time.monotonic_ns()
            self._count("open")
        elif reader.back is None:
            reader.back = time.monotonic_ns()
            self._count("back")

    def _count(self, what: str) -> None:
        self._counts[what] += 1
        if self._counts[what] == len(self._readers):
            print(what, flush=True)

    # Being there.

    def _read(self, reader) -> None:
        try:
            data = reader.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            return self._gone(reader, None)
        reader.buffer += data
        if reader.state == "greeting":
            end = reader.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not reader.buffer.startswith(b"HTTP/1.1 101 "):
                return self._gone(reader, None)
            del reader.buffer[:end + 4]
            self._is_open(reader)
        while reader.state == "open" and (frame := take_frame(reader.buffer)):
            self._take(reader, *frame)

    def _take(self, reader, opcode: int, body: bytes) -> None:
        if opcode == 9:
            return self._answer(reader, 10, body)
        if opcode == 8:
            self._answer(reader, 8, body[:2])
            return self._gone(reader, struct.unpack("!H", body[:2])[0] if body else 1005)
        if opcode == 1 and b'"going_away"' in body:
            reader.hint = json.loads(body)["reconnect_in_ms"] if reader.closed is None else reader.hint
            reader.told = reader.told or time.monotonic_ns()
        elif opcode == 1 and b'"board_event"' in body:
            event = json.loads(body)
            if not reader.events:
                self._count("heard")
            reader.events.append(event["correlation_id"])
            reader.cursor = event["cursor"]
        return None

    @staticmethod
    def _answer(reader, opcode: int, body: bytes) -> None:
        try:
            reader.sock.send(bytes((0x80 | opcode, 0x80 | len(body))) + bytes(4) + body)  # A mask of zeros changes nothing.
        except OSError:
            pass  # The next read says so.

    def _gone(self, reader, code) -> None:
        if reader.state == "greeting":
            self._handshakes -= 1
        elif reader.closed is None:
            reader.closed, reader.code = time.monotonic_ns(), code
        wait = reader.hint / 1000 if code is not None and reader.hint else RETRY_SECONDS
        if reader.sock in self._selector.get_map():
            self._selector.unregister(reader.sock)
        reader.sock.close()
        reader.state = "away"
        reader.tries += 1
        heapq.heappush(self._due, (time.monotonic() + wait, reader.n))


def take_frame(buffer: bytearray):
    """(opcode, body) of the first whole frame, which leaves the buffer; None when there is none. Servers do not mask."""
    if len(buffer) < 2:
        return None
    size, head = buffer[1], {126: 4, 127: 10}.get(buffer[1], 2)
    if head > 2:
        size = int.from_bytes(buffer[2:head], "big")
    if len(buffer) < head or len(buffer) < head + size:
        return None
    opcode, body = buffer[0] & 15, bytes(buffer[head:head + size])
    del buffer[:head + size]
    return opcode, body


if __name__ == "__main__":
    Program(int(sys.argv[1]), Path(sys.argv[2]), [int(port) for port in sys.argv[3:]]).run()
