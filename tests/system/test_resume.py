# SPDX-License-Identifier: Apache-2.0
"""Readers that come back: nothing lost, nothing twice, one order, and what is gone is said. In memory; see test_resume_brokers.py."""
import json
import re
import selectors
import time

import pytest

from harness.clients import get, request
from harness.eventstream import EventStream
from harness.messages import check_event
from harness.processes import TOKEN
from harness.timing import wait_until
from harness.websocket import WebSocket, board_socket

V1 = [("Sec-WebSocket-Protocol", "boardbus.v1")]
AUTH = [("Authorization", f"Bearer {TOKEN}")]


@pytest.fixture(scope="module")
def app(start_shared):
    return start_shared("app", {"EVENT_TRANSPORT": "memory", "RATE_LIMIT_DEFAULT": "", "ACTIVITY_STREAM_RATE_LIMIT": ""}).wait_ready()


def since(port, board, cursor, headers=()):
    return WebSocket(port, f"/ws/boards/{board}?token={TOKEN}&since={cursor}", headers)


def post(port, board, action, **more):
    answer = request(port, "POST", f"/boards/{board}/messages", AUTH, json.dumps({"action": action, **more}).encode())
    assert answer.status == 202, answer
    return answer.json()


def history(port, board, query=""):
    return get(port, f"/boards/{board}/history?{query}", AUTH)


def fill(port, board, count):
    """`count` events; their cursors in order."""
    with board_socket(port, board) as socket:
        for number in range(count):
            socket.send_json({"action": f"n{number}"})
        return [event["cursor"] for event in socket.events(count)]


def greeted(port, board, cursor=""):
    """A socket that speaks boardbus.v1, and what it was told at first."""
    socket = since(port, board, cursor, V1) if cursor else board_socket(port, board, headers=V1)
    assert socket.response.header("Sec-WebSocket-Protocol") == "boardbus.v1"
    hello = socket.json()
    assert hello["kind"] == "hello" and hello["ping_seconds"] == 25, hello
    subscribed = socket.json()
    assert subscribed["kind"] == "subscribed" and subscribed["board"] == board, subscribed
    return socket, subscribed


def test_events_carry_their_place_and_a_stream_its_cursor(app, board):
    with EventStream(app.port, f"/sse/boards/{board}") as stream, board_socket(app.port, board) as socket:
        for number in range(3):
            socket.send_json({"action": f"n{number}"})
        events = [check_event(event) for event in socket.events(3)]
        assert [event["seq"] - events[0]["seq"] for event in events] == [0, 1, 2]
        assert [stream.next().id for _ in range(3)] == [event["cursor"] for event in events]


@pytest.mark.parametrize("path", ["/sse/boards/{}", "/sse/activity?board={}", "/sse/activity?board={}&board=other"])
def test_a_stream_goes_on_where_it_was(app, board, path):
    cursors = fill(app.port, board, 5)
    with EventStream(app.port, path.format(board), headers=[("Last-Event-ID", cursors[1])]) as stream:
        assert [stream.next().event for _ in range(3)] == ["n2", "n3", "n4"]
        post(app.port, board, "live")
        assert stream.next().event == "live"


def test_a_stream_that_has_seen_nothing_can_go_on_too(app, board):
    with EventStream(app.port, f"/sse/boards/{board}") as stream:
        cursor = wait_until(lambda: _peek(stream), what="an id")
    post(app.port, board, "missed")
    with EventStream(app.port, f"/sse/boards/{board}", headers=[("Last-Event-ID", cursor)]) as stream:
        assert stream.next().event == "missed"


def _peek(stream):
    """Reads on without an event: an id alone is none."""
    try:
        stream.next(0.3)
    except TimeoutError:
        pass
    return stream.last_id


def test_a_socket_goes_on_where_it_was_and_speaks_the_plain_protocol(app, board):
    cursors = fill(app.port, board, 5)
    with since(app.port, board, cursors[2]) as socket:
        assert [event["action"] for event in socket.events(2)] == ["n3", "n4"]
        socket.send_json({"action": "own", "op": "subscribe", "board": "other"})
        assert socket.event()["action"] == "own"


def test_thousands_of_events_come_back_in_order_while_others_happen(app, board):
    count = 900  # Below HISTORY_BOARD_SIZE.
    cursors = fill(app.port, board, count)
    with board_socket(app.port, board) as sender, since(app.port, board, cursors[0]) as reader:
        for number in range(count, count + 100):
            sender.send_json({"action": f"n{number}"})
        assert [event["action"] for event in reader.events(count + 99)] == [f"n{number}" for number in range(1, count + 100)]


def test_history_pages_back_to_the_beginning(app, board):
    fill(app.port, board, 7)
    page = history(app.port, board, "limit=3").json()
    seen = page["events"]
    assert set(page) == {"board", "epoch", "events", "first_seq", "last_seq", "next_before_seq"}
    while page["next_before_seq"]:
        page = history(app.port, board, f"limit=3&before_seq={page['next_before_seq']}").json()
        seen = page["events"] + seen
    assert [check_event(event)["action"] for event in seen] == [f"n{number}" for number in range(7)]
    assert page["last_seq"] - page["first_seq"] == 6


def test_history_refuses_what_it_cannot_read(app, board):
    assert get(app.port, f"/boards/{board}/history").status == 401
    for query in ("limit=0", "limit=1001", "limit=x", "before_seq=0", "before_seq=-1"):
        answer = history(app.port, board, query)
        assert answer.status == 422 and answer.json()["detail"][0]["loc"][0] == "query", (query, answer)
    assert request(app.port, "POST", f"/boards/{board}/history", AUTH, b"").header("Allow") == "GET, HEAD"
    head = request(app.port, "HEAD", f"/boards/{board}/history", AUTH)
    assert head.status == 200 and int(head.header("Content-Length")) > 0


def test_what_was_trimmed_is_a_gap(start, board):
    app = start("app", {"EVENT_TRANSPORT": "memory", "HISTORY_BOARD_SIZE": "10"}).wait_ready()
    cursors = fill(app.port, board, 200)
    # The process itself remembers more than the history keeps: push it out of that memory.
    with board_socket(app.port, "other") as other:
        for _ in range(20):
            other.send_json({"action": "large", "payload": {"x": "y" * 1_000_000}})
            other.event()
    kept = history(app.port, board).json()["events"][0]["seq"]
    seen = int(cursors[0].split(".")[2])
    assert kept > seen + 100
    with since(app.port, board, cursors[0]) as socket:
        assert socket.json() == {"kind": "gap", "board": board, "from_seq": seen + 1, "to_seq": kept - 1}
        assert socket.event()["seq"] == kept
    with EventStream(app.port, f"/sse/boards/{board}", headers=[("Last-Event-ID", cursors[0])]) as stream:
        gap = stream.next()
        assert gap.event == "boardbus.gap" and gap.json() == {"kind": "gap", "board": board, "from_seq": seen + 1, "to_seq": kept - 1}
        assert stream.next().json()["seq"] == kept


def test_a_restart_in_memory_is_a_resync(start, board):
    settings = {"EVENT_TRANSPORT": "memory"}
    app = start("app", settings).wait_ready()
    cursor = fill(app.port, board, 3)[2]
    app.stop()
    again = start("app", settings).wait_ready()
    with since(again.port, board, cursor) as socket:
        resync = socket.json()
        assert resync["kind"] == "resync" and resync["board"] == board and resync["epoch"] != cursor.split(".")[0]
    with EventStream(again.port, headers=[("Last-Event-ID", cursor)]) as stream:
        event = stream.next()
        assert event.event == "boardbus.resync" and event.json()["board"] is None


def test_a_conversation(app, board):
    socket, subscribed = greeted(app.port, board)
    with socket, board_socket(app.port, board) as plain:
        assert subscribed["recovered"] is False and subscribed["epoch"]
        socket.send_json({"action": "a", "correlation_id": "c1"})
        answers = {frame["kind"]: frame for frame in (socket.json(), socket.json())}
        assert answers["ack"]["correlation_id"] == "c1" and answers["ack"]["event_id"] == answers["board_event"]["id"]
        assert plain.event()["action"] == "a"
        socket.send_json({"action": ""})
        nack = socket.json()
        assert (nack["kind"], nack["outcome"], nack["reason"], nack["retry_after_ms"]) == ("nack", "rejected", "validation_error", None)
        socket.send_json({"op": "subscribe", "board": board + "x"})
        assert socket.json()["kind"] == "subscribed"
        socket.send_json({"op": "publish", "board": board + "x", "message": {"action": "b"}})
        assert {socket.json()["kind"], socket.json()["kind"]} == {"ack", "board_event"}
        socket.send_json({"op": "unsubscribe", "board": board + "x"})
        assert socket.json() == {"kind": "unsubscribed", "board": board + "x"}
        socket.send_json({"op": "dance", "board": board})
        assert socket.json() == {"kind": "error", "op": "dance", "board": board, "reason": "unknown_op"}
        assert plain.silent()


def test_a_socket_has_sixty_four_boards_at_most(app, board):
    socket, _ = greeted(app.port, board)
    with socket:
        for number in range(63):
            socket.send_json({"op": "subscribe", "board": f"{board}-{number}"})
            assert socket.json()["kind"] == "subscribed"
        socket.send_json({"op": "subscribe", "board": "one more"})
        assert socket.json() == {"kind": "error", "op": "subscribe", "board": "one more", "reason": "too_many_boards"}
        post(app.port, f"{board}-62", "heard")
        assert socket.event()["action"] == "heard"


def test_reserved_actions_are_refused(app, board):
    with board_socket(app.port, board) as socket:
        socket.send_json({"action": "boardbus.gap"})
        assert socket.error()["reason"] == "validation_error"


def test_a_stream_begins_and_ends_with_when_to_come_back(start, board):
    app = start("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()
    with EventStream(app.port, f"/sse/boards/{board}") as stream:
        _peek(stream)
        app.signal(15)
        assert stream.ended()
        assert re.search(rb"retry: \d+\n\n$", stream._text), stream._text
    app.wait_exit()


def test_a_drain_is_spread_and_ends_in_time(start, board):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SHUTDOWN_GRACE_SECONDS": "8"}).wait_ready()
    sockets = [board_socket(app.port, board) for _ in range(640)]  # Five slices at least.
    greeting, _ = greeted(app.port, board)
    ends = {}  # When the first byte of the close came.
    began = time.monotonic()
    app.signal(15)
    with selectors.DefaultSelector() as selector:
        for socket in sockets:
            selector.register(socket.wire.socket, selectors.EVENT_READ)
        while len(ends) < len(sockets):
            assert time.monotonic() - began < 8, f"{len(ends)} of {len(sockets)} have been closed"
            for key, _ in selector.select(1):
                ends[key.fileobj] = time.monotonic() - began
                selector.unregister(key.fileobj)
    assert {socket.close_code() for socket in sockets} == {1001}
    going = greeting.json()
    assert going["kind"] == "going_away" and going["reconnect_in_ms"] > 0
    assert greeting.close_code() == 1001
    assert app.wait_exit() == 0
    times = sorted(ends.values())
    assert times[-1] - times[0] > 0.1, "all at once"
    assert time.monotonic() - began < 8
    for socket in sockets:
        socket.wire.close()
    greeting.wire.close()
