# SPDX-License-Identifier: Apache-2.0
"""Publishers, readers and the recorder write down what a server tells them, cursors, gaps and acks included."""
import base64
import hashlib
import json
import socket
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import redis

import history
from crowd import Crowd, take_frame
from harness.clients import Ended, Wire
from harness.timing import Deadline
from harness.websocket import CLOSE, TEXT, encode_frame
from publisher import PostWay, Publisher, SocketWay
from recorder import Recorder
from subscriber import Subscriber

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Script:
    """A server that serves its connections one after the other: `acts[n](peer)` is the nth; a peer sends and gets whole messages."""

    def __init__(self, *acts):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.paths, self._acts = self._listener.getsockname()[1], [], acts
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        for act in self._acts:
            sock, _ = self._listener.accept()
            peer = Peer(sock)
            self.paths.append(peer.path)
            act(peer)
            sock.close()
        self._listener.close()


class Peer:
    def __init__(self, sock):
        self.wire = Wire.__new__(Wire)
        self.wire.socket, self.wire.buffer, self.wire.heard = sock, bytearray(), 0.0
        head = self.wire.take_until(b"\r\n\r\n", Deadline()).decode()
        self.path = head.split(" ")[1]
        self.headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)

    def upgrade(self):
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + GUID).digest()).decode()
        self.wire.send(f"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())

    def send(self, value):
        self.wire.send(encode_frame(TEXT, json.dumps(value).encode(), mask=False))

    def get(self):
        head = self.wire.take(2, Deadline())
        size = head[1] & 127
        size = int.from_bytes(self.wire.take(2, Deadline()), "big") if size == 126 else size
        key, body = self.wire.take(4, Deadline()), self.wire.take(size, Deadline())
        return json.loads(bytes(byte ^ key[at % 4] for at, byte in enumerate(body)))

    def post(self, status, value):
        length = int(self.headers["Content-Length"])
        body = json.loads(self.wire.take(length, Deadline()))
        text = json.dumps(value).encode()
        self.wire.send(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        return body


def event(n, **more):
    return {"id": f"id-{n}", "board": "b", "action": "move", "user": "ann", "payload": {"n": n}, "timestamp": "", "correlation_id": f"k{n}",
            "kind": "board_event", "active_connections": 1, **more}


def placed(n):
    return event(n, epoch="e", pos=n, seq=n, cursor=f"e.{n}.{n}.0badcafe")


def records(folder, meta=None):
    history.write_meta(folder, meta or {})
    return history.read(folder).records


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_reader_comes_back_with_its_cursor_and_writes_down_what_the_server_says(tmp_path):
    def first(peer):
        peer.upgrade()
        peer.send({"kind": "subscribed", "board": "b", "epoch": "e", "seq": 0, "recovered": False})
        peer.send(placed(1))
        peer.send(placed(2))

    def second(peer):
        peer.upgrade()
        peer.send({"kind": "gap", "board": "b", "from_seq": 3, "to_seq": 4})
        peer.send({"kind": "gap", "board": None, "from_pos": 3, "to_pos": 4})
        peer.send(placed(5))
        peer.send({"kind": "resync", "board": "b", "epoch": "f", "seq": 7})
        time.sleep(0.1)

    def third(peer):
        peer.upgrade()
        peer.send(event(9))
        time.sleep(0.5)
    server = Script(first, second, third)
    reader = Subscriber("ws0", "ws", ["b"], lambda: [server.port], history.Writer(tmp_path, "clients"), seed=1, acks=True, resume=True)
    reader.start()
    until(lambda: "k9" in reader.received)
    reader.stop()
    reader.join(10)

    since = [parse_qs(urlsplit(path).query).get("since") for path in server.paths]
    assert since == [None, ["e.2.2.0badcafe"], None], "after a resync the old cursor means nothing"
    told = [(r["op"], r.get("key") or r.get("first") or r.get("seq")) for r in records(tmp_path) if not r["op"].startswith("sub.")]
    assert told == [("recv", "k1"), ("recv", "k2"), ("gap", 3), ("gap", 3), ("recv", "k5"), ("resync", 7), ("recv", "k9")]
    assert [r["op"] for r in records(tmp_path)].count("sub.open") == 3


@pytest.mark.parametrize("kind, target", [("sse", "/sse/activity?board=b&board=c"), ("all", "/sse/activity")])
def test_a_stream_of_several_boards_comes_back_with_what_stood_last_in_its_id(tmp_path, kind, target):
    brought, blocks = [], [
        [("e.4.1.0badcafe", "move", placed(4))],
        [("e.9.1.00000000", "boardbus.gap", {"kind": "gap", "board": None, "from_pos": 5, "to_pos": 9})],
        [("f.2.0.00000000", "boardbus.resync", {"kind": "resync", "board": None, "epoch": "f", "pos": 2})],
        [("f.3.1.0badcafe", "move", event(9))]]

    def act(peer):
        brought.append(peer.headers.get("Last-Event-ID"))
        peer.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 100\n\n")
        for cursor, name, value in blocks[len(brought) - 1]:
            peer.wire.send(f"id: {cursor}\nevent: {name}\ndata: {json.dumps(value)}\n\n".encode())
        time.sleep(0.1)
    server = Script(*[act] * len(blocks))
    writer = history.Writer(tmp_path, "clients")
    reader = Subscriber("stream", kind, ["b", "c"], lambda: [server.port], writer, seed=1, acks=True, resume=True)
    reader.start()
    until(lambda: "k9" in reader.received)
    reader.stop()
    reader.join(10)

    assert brought == [None, "e.4.1.0badcafe", "e.9.1.00000000", "f.2.0.00000000"]
    assert set(server.paths) == {target}
    gap, resync = [r for r in records(tmp_path) if r["op"] in ("gap", "resync")]
    assert gap.items() >= {"board": None, "unit": "pos", "first": 5, "last": 9}.items()
    assert resync.items() >= {"board": None, "epoch": "f", "pos": 2}.items()


def test_a_reader_of_a_server_without_resume_brings_no_cursor(tmp_path):
    def act(peer):
        peer.upgrade()
        peer.send(placed(1 + len(server.paths)))
        time.sleep(0.1)
    server = Script(act, act)
    reader = Subscriber("ws0", "ws", ["b"], lambda: [server.port], history.Writer(tmp_path, "clients"), seed=1, acks=False, resume=False)
    reader.start()
    until(lambda: len(reader.received) == 2)
    reader.stop()
    reader.join(10)
    assert not any("since" in path for path in server.paths)


def answers(folder):
    return [(r["attempt"], r["result"], r["why"]) for r in records(folder) if r["op"] == "pub" and r["type"] != "invoke"]


def test_a_socket_publisher_waits_for_the_ack_of_its_own_message(tmp_path):
    def act(peer):
        peer.upgrade()
        message = peer.get()
        peer.send(event(7))
        peer.send({"kind": "ack", "correlation_id": "somebody's", "event_id": "x"})
        peer.send({"kind": "nack", "correlation_id": message["correlation_id"], "outcome": "unknown", "reason": "timeout", "retry_after_ms": 1})
        assert peer.get()["correlation_id"] == message["correlation_id"]
        peer.send({"kind": "ack", "correlation_id": message["correlation_id"], "event_id": "id-1"})
    server = Script(act)
    publisher = Publisher("p", SocketWay(lambda: [server.port], 5), history.Writer(tmp_path, "clients"), ["b"], rate=100, seed=1, count_max=1)
    assert publisher.publish("b", 1)[0] == "accepted"
    assert answers(tmp_path) == [(1, "unknown", "nack timeout"), (2, "accepted", "ack")]


def test_a_cut_connection_leaves_the_outcome_unknown_and_the_message_is_sent_again(tmp_path):
    seen = []

    def act(peer):
        seen.append(peer.post(202, {"event_id": "id-1", "correlation_id": "k"})["correlation_id"])
    server = Script(lambda peer: None, act)
    publisher = Publisher("p", PostWay(lambda: [server.port], 5), history.Writer(tmp_path, "clients"), ["b"], rate=100, seed=1, count_max=1)
    result, key = publisher.publish("b", 1)
    assert result == "accepted"
    until(lambda: seen == [key])  # The script's thread says so after it has answered.
    assert answers(tmp_path) == [(1, "unknown", "cut"), (2, "accepted", "202")]


def test_a_reader_of_a_crowd_comes_back_when_and_where_it_is_told(tmp_path):
    def leaving(peer):
        peer.upgrade()
        peer.send(placed(1))
        peer.send({"kind": "going_away", "reconnect_in_ms": 150})
        peer.wire.send(encode_frame(CLOSE, (1001).to_bytes(2, "big") + b"bye", mask=False))

    def next_one(peer):
        peer.upgrade()
        peer.send(placed(2))
        with pytest.raises(Ended):  # It stays until its own end.
            peer.wire.take(1, Deadline())
    one, other = Script(leaving), Script(next_one)
    crowd = Crowd(1, tmp_path, [one.port, other.port])
    until(lambda: {"open", "heard", "back"} <= crowd.said)
    time.sleep(0.2)  # Its second event is read and written down.
    crowd.end()
    (reader,) = records(tmp_path)
    assert parse_qs(urlsplit(other.paths[0]).query)["since"] == ["e.1.1.0badcafe"]
    assert (reader["events"], reader["code"], reader["hint_ms"]) == (["k1", "k2"], 1001, 150)
    assert reader["t"] <= reader["told"] <= reader["closed"] <= reader["back"] - 150_000_000


def test_frames_of_any_length_are_taken_whole():
    for size in (0, 125, 126, 65535, 65536):
        frame = encode_frame(TEXT, b"x" * size, mask=False)
        assert all(take_frame(bytearray(frame[:cut])) is None for cut in {0, 1, 2, 3, 5, 9, len(frame) - 1} if cut < len(frame))
        buffer = bytearray(frame + b"rest")
        assert take_frame(buffer) == (TEXT, b"x" * size) and buffer == b"rest"


class FakeLog:
    """As much of a Redis client as the recorder's tail needs; its channel is out of order."""

    def __init__(self, entries):
        self.entries = entries

    def pubsub(self, **_):
        raise redis.ConnectionError

    def scan_iter(self, **_):
        return [b"board:x", b"advanced:activity:log"] if self.entries else []

    def xrange(self, _, begin, end, count):
        after = begin.lstrip("(-") or "0-0"
        return [(f"0-{n}".encode(), {b"d": json.dumps(placed(n)).encode()}) for n in self.entries if n > int(after.split("-")[1])][:count]

    def xrevrange(self, *_):
        return [(f"0-{self.entries[-1]}".encode(), {})] if self.entries else []


def test_the_recorder_follows_the_log_and_notices_that_it_began_anew(tmp_path):
    log = FakeLog([1, 2, 3])
    recorder = Recorder(lambda: log, "channel", history.Writer(tmp_path, "recorder"), lambda: [])
    until(lambda: recorder.events == 3)
    log.entries = [1, 2, 3, 4]
    until(lambda: recorder.events == 4)
    log.entries = [1]
    until(lambda: recorder.events == 5)
    recorder.stop()
    assert [r["pos"] for r in records(tmp_path) if r["op"] == "log"] == [1, 2, 3, 4, 1]
