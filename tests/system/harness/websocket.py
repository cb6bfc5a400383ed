# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client that can break every rule of RFC 6455, and checks that the server breaks none."""
import base64
import hashlib
import json
import os
import struct
import time
import zlib
from dataclasses import dataclass

from .clients import Ended, Wire, read_head
from .processes import TOKEN
from .timing import DEFAULT_SECONDS, Deadline

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Closed(Exception):
    """The server sent a close frame."""

    def __init__(self, code, reason: str):
        super().__init__(f"closed with {code} {reason!r}")
        self.code, self.reason = code, reason


@dataclass
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False


def encode_frame(opcode: int, payload: bytes, fin: bool = True, mask: bool = True, rsv: int = 0) -> bytes:
    """`rsv` is the three reserved bits, 4 = RSV1 (compressed)."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    long_key = (key * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(long_key, "big")).to_bytes(size, "big")
    return head + key + masked


class WebSocket:
    def __init__(self, port: int, path: str, headers=(), receive_buffer: int = 0, seconds: float = DEFAULT_SECONDS, early: bytes = b""):
        """Completes the handshake; `refused` instead of a socket when the answer is not 101. `early` leaves with the handshake."""
        self.wire = Wire(port, receive_buffer)
        key = base64.b64encode(os.urandom(16))
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + early)
        self.response = read_head(self.wire, Deadline(seconds))
        self.refused = self.response.status != 101
        if self.refused:
            length = int(self.response.header("Content-Length") or 0)
            self.response.body = self.wire.take(length, Deadline(seconds))
            return
        assert self.response.header("Sec-WebSocket-Accept").encode() == base64.b64encode(hashlib.sha1(key + _GUID).digest())
        self.deflate = "permessage-deflate" in (self.response.header("Sec-WebSocket-Extensions") or "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.wire.close()

    # Sending.

    def send_frame(self, opcode: int, payload: bytes = b"", **how) -> None:
        self.wire.send(encode_frame(opcode, payload, **how))

    def send_text(self, text) -> None:
        self.send_frame(TEXT, text if isinstance(text, bytes) else text.encode())

    def send_json(self, value) -> None:
        self.send_text(json.dumps(value))

    def send_compressed(self, text: bytes) -> None:
        self.send_frame(TEXT, compress(text), rsv=4)

    # Receiving.

    def frame(self, deadline: Deadline) -> Frame:
        first, second = self.wire.take(2, deadline)
        assert not second & 0x80, "a server must not mask"
        assert not first & 0x30, "reserved bits"
        size = second & 0x7F
        if size == 126:
            size = struct.unpack("!H", self.wire.take(2, deadline))[0]
            assert size > 125, "length not in its shortest form"
        elif size == 127:
            size = struct.unpack("!Q", self.wire.take(8, deadline))[0]
            assert size > 65535, "length not in its shortest form"
        frame = Frame(first & 15, self.wire.take(size, deadline), bool(first & 0x80), bool(first & 0x40))
        if frame.opcode >= 8:
            assert frame.fin and len(frame.payload) <= 125 and not frame.rsv1, f"control frame {frame}"
        return frame

    def poll(self, seconds: float):
        """The next text message as JSON; None when it is not there within the seconds. A frame that has begun is waited for, so that a
        reader that polls never loses its place. Pings are answered; raises Closed, Ended or TimeoutError (a frame that does not end)."""
        end = time.monotonic() + seconds
        while self.wire.begins(max(0.0, end - time.monotonic())):
            frame = self.frame(Deadline())
            if frame.opcode == TEXT:
                assert frame.fin and not frame.rsv1, "poll() is for whole, plain messages"
                return json.loads(frame.payload)
            if frame.opcode == PING:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                raise Closed(struct.unpack("!H", frame.payload[:2])[0] if frame.payload else None, frame.payload[2:].decode("utf-8"))
        return None

    def text(self, seconds: float = DEFAULT_SECONDS) -> str:
        """The next text message; pings are answered meanwhile. Raises Closed, Ended or TimeoutError."""
        deadline = Deadline(seconds)
        parts, compressed = None, False
        while True:
            frame = self.frame(deadline)
            if frame.opcode == PING:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                code = struct.unpack("!H", frame.payload[:2])[0] if frame.payload else None
                raise Closed(code, frame.payload[2:].decode("utf-8"))
            elif frame.opcode in (TEXT, CONTINUATION):
                assert (frame.opcode == TEXT) == (parts is None), "continuation out of place"
                if parts is None:
                    parts, compressed = b"", frame.rsv1
                    assert not compressed or self.deflate, "RSV1 without the extension"
                parts += frame.payload
                if frame.fin:
                    return (decompress(parts) if compressed else parts).decode("utf-8")
            else:
                assert frame.opcode == PONG, f"unexpected opcode {frame.opcode}"

    def json(self, seconds: float = DEFAULT_SECONDS):
        return json.loads(self.text(seconds))

    def event(self, seconds: float = DEFAULT_SECONDS) -> dict:
        """The next message, which must be a board event."""
        value = self.json(seconds)
        assert value.get("kind") == "board_event", value
        return value

    def events(self, count: int, seconds: float = DEFAULT_SECONDS) -> list:
        """`count` events within the seconds, all together."""
        deadline, got = Deadline(seconds), []
        while len(got) < count:
            try:
                got.append(self.event(deadline.left()))
            except TimeoutError:
                raise AssertionError(f"{len(got)} of {count} events after {deadline.seconds:.0f} s; last {got[-1:]}") from None
        return got

    def error(self, seconds: float = DEFAULT_SECONDS) -> dict:
        """The next message, which must be a base error frame with exactly its three members."""
        value = self.json(seconds)
        assert set(value) == {"kind", "reason", "detail"} and value["kind"] == "error", value
        return value

    def close_code(self, seconds: float = DEFAULT_SECONDS):
        """The code of the server's close frame, which is answered; whatever comes before it is skipped."""
        deadline = Deadline(seconds)
        while True:
            try:
                self.text(deadline.left())
            except Closed as closed:
                try:
                    self.send_frame(CLOSE, struct.pack("!H", closed.code) if closed.code else b"")
                except Ended:
                    pass
                return closed.code

    def silent(self, seconds: float = 0.2) -> bool:
        return self.wire.silent_for(seconds)

    def still_open(self) -> bool:
        """A ping comes back, so everything sent before it was dealt with. Only when no message is on its way."""
        self.send_frame(PING, b"still there?")
        frame = self.frame(Deadline())
        return frame.opcode == PONG and frame.payload == b"still there?"

    def close(self) -> None:
        """An orderly close by the client, answered by the server."""
        self.send_frame(CLOSE, struct.pack("!H", 1000))
        assert self.close_code() == 1000


def compress(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def decompress(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=-15)
    return inflater.decompress(data + b"\x00\x00\xff\xff")


def board_socket(port: int, board: str, *, token: str = TOKEN, headers=(), **more) -> WebSocket:
    """A socket on a board, with the right token unless told otherwise."""
    query = f"?token={token}" if token is not None else ""
    return WebSocket(port, f"/ws/boards/{board}{query}", headers, **more)
