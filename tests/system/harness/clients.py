# SPDX-License-Identifier: Apache-2.0
"""HTTP over a raw socket: any byte can be sent, every byte that comes back is seen."""
import json
import select
import socket
import time
from dataclasses import dataclass, field

from .timing import DEFAULT_SECONDS, Deadline


class Ended(Exception):
    """The server closed the connection (or reset it)."""


class Wire:
    """A connected socket with a buffer and deadlines."""

    def __init__(self, port: int, receive_buffer: int = 0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.heard = time.monotonic()  # When bytes came last.

    def send(self, data: bytes, seconds: float = DEFAULT_SECONDS) -> None:
        self.socket.settimeout(Deadline(seconds).left())
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended(str(error)) from None

    def fill(self, deadline: Deadline) -> None:
        """Waits for more bytes. Ended at the end of the stream."""
        self.socket.settimeout(deadline.left())
        try:
            data = self.socket.recv(262144)
        except ConnectionResetError as error:
            raise Ended(str(error)) from None
        except socket.timeout:
            raise TimeoutError(f"nothing for {deadline.seconds:.1f} s; have {bytes(self.buffer[:200])!r}") from None
        if not data:
            raise Ended("end of stream")
        self.buffer += data
        self.heard = time.monotonic()

    def take(self, count: int, deadline: Deadline) -> bytes:
        while len(self.buffer) < count:
            self.fill(deadline)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def take_until(self, mark: bytes, deadline: Deadline) -> bytes:
        start = 0
        while True:
            at = self.buffer.find(mark, start)
            if at >= 0:
                return self.take(at + len(mark), deadline)
            start = max(0, len(self.buffer) - len(mark) + 1)
            self.fill(deadline)

    def wait_ended(self, seconds: float = DEFAULT_SECONDS) -> bytes:
        """Everything that comes until the server closes."""
        deadline = Deadline(seconds)
        try:
            while True:
                self.fill(deadline)
        except Ended:
            return bytes(self.buffer)

    def begins(self, seconds: float) -> bool:
        """True when something can be read within the seconds (not scaled), the end of the stream included. Takes nothing."""
        return bool(self.buffer) or bool(select.select([self.socket], [], [], seconds)[0])

    def silent_for(self, seconds: float) -> bool:
        """True when nothing arrives (and nothing is buffered) for so long; not scaled."""
        if self.buffer:
            return False
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(4096)
        except socket.timeout:
            return True
        self.buffer += data
        return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@dataclass
class Response:
    status: int
    reason: str
    headers: list
    body: bytes = b""
    head: bytes = field(default=b"", repr=False)

    def header(self, name: str, default=None):
        """The value of a header; AssertionError when it comes twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} comes {len(values)} times: {values}"
        return values[0] if values else default

    def json(self):
        assert (self.header("Content-Type") or "").split(";")[0] == "application/json", f"{self.headers} {self.body[:200]!r}"
        return json.loads(self.body)


def read_head(wire: Wire, deadline: Deadline) -> Response:
    head = wire.take_until(b"\r\n\r\n", deadline)
    lines = head[:-4].split(b"\r\n")
    version, status, reason = (lines[0] + b" ").split(b" ", 2)
    assert version == b"HTTP/1.1", lines[0]
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        assert colon and name and name.strip() == name, f"header line {line!r}"
        headers.append((name.decode("ascii"), value.strip().decode("utf-8")))
    return Response(int(status), reason.strip().decode(), headers, head=head)


def take_chunk(wire: Wire, deadline: Deadline) -> bytes:
    """One chunk of a chunked body; empty at its end."""
    size = int(wire.take_until(b"\r\n", deadline)[:-2].split(b";")[0], 16)
    data = wire.take(size, deadline)
    end = wire.take(2, deadline)
    assert end == b"\r\n", end
    return data


def read_response(wire: Wire, head_only: bool = False, seconds: float = DEFAULT_SECONDS) -> Response:
    """One whole response; `head_only` for the answer to HEAD."""
    deadline = Deadline(seconds)
    response = read_head(wire, deadline)
    if head_only or response.status in (204, 304) or response.status < 200:
        return response
    if (response.header("Transfer-Encoding") or "").lower() == "chunked":
        while chunk := take_chunk(wire, deadline):
            response.body += chunk
    elif response.header("Content-Length") is not None:
        response.body = wire.take(int(response.header("Content-Length")), deadline)
    else:
        response.body = wire.wait_ended(seconds)
    return response


def request_bytes(method: str, path: str, headers=(), body: bytes = None, host: str = "127.0.0.1") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"] + [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def request(port: int, method: str, path: str, headers=(), body: bytes = None, seconds: float = DEFAULT_SECONDS) -> Response:
    """One request on its own connection."""
    with Wire(port) as wire:
        wire.send(request_bytes(method, path, headers, body, host=f"127.0.0.1:{port}"))
        return read_response(wire, method == "HEAD", seconds)


def get(port: int, path: str, headers=(), seconds: float = DEFAULT_SECONDS) -> Response:
    try:
        return request(port, "GET", path, headers, seconds=seconds)
    except Ended as error:
        raise ConnectionError(str(error)) from None


def exchange(port: int, raw: bytes, seconds: float = DEFAULT_SECONDS) -> Response:
    """Sends these very bytes on a new connection and reads one response."""
    with Wire(port) as wire:
        wire.send(raw)
        return read_response(wire, seconds=seconds)
