# SPDX-License-Identifier: Apache-2.0
"""Readers that come back over real brokers: on another app, after restarts of everything, after Redis lost its data."""
import json
import threading
import time

import pytest

from harness.clients import Ended, get, request
from harness.eventstream import EventStream
from harness.pipeline import Pipeline
from harness.processes import TOKEN
from harness.timing import Deadline, wait_until
from harness.websocket import Closed, WebSocket, board_socket

pytestmark = pytest.mark.brokers

V1 = [("Sec-WebSocket-Protocol", "boardbus.v1")]
AUTH = [("Authorization", f"Bearer {TOKEN}")]


@pytest.fixture
def own(whole_brokers, start, names):
    made = []

    def build(settings=None, **more):
        made.append(Pipeline(start, whole_brokers, names, {"RATE_LIMIT_DEFAULT": "", "ACTIVITY_STREAM_RATE_LIMIT": "", **(settings or {})}, **more))
        return made[-1]
    build.start = start
    yield build
    whole_brokers.restore()
    for one in made[:1]:
        one.remove_queues()


def since(port, board, cursor, headers=()):
    return WebSocket(port, f"/ws/boards/{board}?token={TOKEN}&since={cursor}", headers)


def fill(port, board, count, first=0):
    with board_socket(port, board) as socket:
        for number in range(first, first + count):
            socket.send_json({"action": f"n{number}"})
        return [event["cursor"] for event in socket.events(count, seconds=30)]


def test_goes_on_at_another_app_and_after_a_restart_of_everything(own, board):
    pipeline = own()
    cursors = fill(pipeline.port, board, 20)
    other = own.start("app", pipeline.settings).wait_ready()
    with since(other.port, board, cursors[4]) as socket:
        assert [event["action"] for event in socket.events(15)] == [f"n{number}" for number in range(5, 20)]
    for process in (other, pipeline.app, pipeline.worker):
        process.stop()
    again = own.start("app", pipeline.settings).wait_ready()
    own.start("worker", pipeline.settings).wait_ready()
    with since(again.port, board, cursors[9]) as socket:
        assert [event["action"] for event in socket.events(10)] == [f"n{number}" for number in range(10, 20)]
        fill(again.port, board, 1, first=20)
        assert socket.event()["action"] == "n20"
    with EventStream(again.port, headers=[("Last-Event-ID", cursors[17])]) as stream:
        assert [stream.next().event for _ in range(3)] == ["n18", "n19", "n20"]
    page = get(again.port, f"/boards/{board}/history?limit=5", AUTH).json()
    assert [event["action"] for event in page["events"]] == [f"n{number}" for number in range(16, 21)]


def test_a_trimmed_history_is_a_gap_at_a_fresh_app(own, board):
    pipeline = own({"HISTORY_BOARD_SIZE": "10"})
    cursors = fill(pipeline.port, board, 300)
    fresh = own.start("app", pipeline.settings).wait_ready()
    kept = get(fresh.port, f"/boards/{board}/history", AUTH).json()["events"][0]["seq"]
    seen = int(cursors[0].split(".")[2])
    assert kept > seen + 100
    with since(fresh.port, board, cursors[0]) as socket:
        assert socket.json() == {"kind": "gap", "board": board, "from_seq": seen + 1, "to_seq": kept - 1}
        assert socket.event()["seq"] == kept


def test_readers_are_told_when_redis_has_lost_its_data(own, board):
    pipeline = own()
    cursor = fill(pipeline.port, board, 3)[2]
    several = f"/sse/activity?board={board}&board={board}-2"
    with board_socket(pipeline.port, board) as plain, since(pipeline.port, board, cursor) as told, \
            EventStream(pipeline.port) as stream, EventStream(pipeline.port, several) as filtered:
        time.sleep(0.3)
        pipeline.brokers.redis.client().flushdb()
        answer = request(pipeline.port, "POST", f"/boards/{board}/messages", AUTH, b'{"action":"anew"}')
        assert answer.status == 202
        resync = told.json(20)
        assert resync["kind"] == "resync" and resync["board"] == board and resync["epoch"] != cursor.split(".")[0], resync
        event = told.event()
        assert event["action"] == "anew" and event["seq"] == resync["seq"] + 1
        assert plain.close_code() == 1012
        assert stream.next().event == "boardbus.resync"
        assert stream.next().event == "anew"
        assert filtered.ended()
    with EventStream(pipeline.port, several, headers=[("Last-Event-ID", cursor)]) as back:
        assert back.next().event == "boardbus.resync"
    with since(pipeline.port, board, cursor) as back:
        assert back.json()["kind"] == "resync"


def test_an_outage_of_redis_leaves_no_hole_and_is_told(own, board):
    pipeline = own()
    with board_socket(pipeline.port, board, headers=V1) as socket, board_socket(pipeline.port, board) as plain:
        kinds = [socket.json()["kind"] for _ in range(2)]
        assert kinds == ["hello", "subscribed"]
        pipeline.brokers.redis.kill()
        assert socket.json(30) == {"kind": "status", "live": False}
        for number in range(5):
            plain.send_json({"action": f"n{number}"})
        pipeline.brokers.redis.start_again()
        frames = []
        while len(frames) < 6:
            frames.append(socket.json(60))
        assert {"kind": "status", "live": True} in frames or socket.json(30)["kind"] == "status"
        assert [frame["action"] for frame in frames if frame["kind"] == "board_event"] == [f"n{number}" for number in range(5)]
        assert [event["action"] for event in plain.events(5)] == [f"n{number}" for number in range(5)]


def test_no_ack_before_the_broker_has_answered(own, board):
    pipeline = own({"PUBLISH_TIMEOUT_MS": "1500"})
    with board_socket(pipeline.port, board, headers=V1) as socket:
        [socket.json() for _ in range(2)]
        pipeline.brokers.rabbitmq.freeze()
        try:
            socket.send_json({"action": "a", "correlation_id": "c1"})
            nack = socket.json(30)
            assert nack["kind"] == "nack" and nack["correlation_id"] == "c1" and nack["outcome"] == "unknown", nack
            assert nack["retry_after_ms"] > 0
        finally:
            pipeline.brokers.rabbitmq.thaw()

        def taken():
            socket.send_json({"action": "a", "correlation_id": "c1"})
            while True:
                frame = socket.json(30)
                if frame["kind"] in ("ack", "nack"):
                    return frame["kind"] == "ack"

        wait_until(taken, seconds=60, what="an ack", interval=0.3)


class Resuming(threading.Thread):
    """A boardbus.v1 client that always comes back with its last cursor, to whichever app answers."""

    def __init__(self, ports, board):
        super().__init__(daemon=True)
        self.ports, self.board, self.cursor = ports, board, ""
        self.seen, self.notices, self.ending, self.connections, self.problem = [], [], False, 0, None
        self.start()

    def run(self):
        while not self.ending:
            for port in list(self.ports):
                try:
                    self.read(port)
                except (OSError, Ended, Closed, ConnectionError):
                    time.sleep(0.05)
                except Exception as error:  # Told by the test, which waits in vain.
                    self.problem = error
                    return

    def read(self, port):
        with since(port, self.board, self.cursor, V1) if self.cursor else board_socket(port, self.board, headers=V1) as socket:
            if socket.refused:
                return
            self.connections += 1
            while not self.ending:
                try:
                    frame = socket.json(1)
                except TimeoutError:
                    continue
                self.cursor = frame.get("cursor") or self.cursor
                if frame["kind"] == "board_event":
                    self.seen.append(frame["action"])
                elif frame["kind"] in ("gap", "resync"):
                    self.notices.append(frame)


def test_a_rolling_restart_loses_nothing(own, board):
    pipeline = own({"SHUTDOWN_GRACE_SECONDS": "3"})
    apps = {"a": pipeline.app, "b": own.start("app", pipeline.settings).wait_ready()}
    ports = [app.port for app in apps.values()]
    readers = [Resuming(ports, board), Resuming(list(reversed(ports)), board)]
    wait_until(lambda: all(reader.connections for reader in readers), what="readers")
    sent = []

    def send(count):
        for _ in range(count):
            deadline = Deadline(30)
            while True:
                deadline.left()
                try:
                    name = f"n{len(sent)}"
                    body = json.dumps({"action": name, "correlation_id": f"{board}-{name}"}).encode()
                    if request(ports[len(sent) % 2], "POST", f"/boards/{board}/messages", AUTH, body).status == 202:
                        break
                except (OSError, Ended, TimeoutError):
                    ports.reverse()
            sent.append(name)

    send(50)
    for name in ("a", "b"):
        sender = threading.Thread(target=send, args=(100,))
        sender.start()
        apps[name].stop()
        apps[name] = own.start("app", pipeline.settings).wait_ready()
        ports[:] = [app.port for app in apps.values()]
        for reader in readers:
            reader.ports = list(ports)
        sender.join()
    send(20)
    for reader in readers:
        wait_until(lambda: len(reader.seen) >= len(sent) or reader.problem, seconds=60, what=lambda: f"{len(reader.seen)} of {len(sent)}")
        reader.ending = True
        reader.join()
        assert reader.problem is None and reader.notices == []
        assert reader.seen == sent
        assert reader.connections > 1
