# SPDX-License-Identifier: Apache-2.0
"""The event stream: its fields to the byte, its heartbeat, and that no client can forge a field. Memory transport."""
import json
import signal
import time

import pytest

from harness.clients import Wire, read_response, request_bytes
from harness.eventstream import EventStream
from harness.messages import check_event
from harness.processes import TOKEN
from harness.timing import scaled
from harness.websocket import board_socket


def test_the_stream_has_its_headers(app):
    with EventStream(app.port) as stream:
        answer = stream.response
        assert answer.status == 200 and answer.header("Content-Type").split(";")[0] == "text/event-stream"
        assert (answer.header("Cache-Control"), answer.header("X-Accel-Buffering")) == ("no-store", "no")


def test_an_event_is_three_fields_and_its_data_is_one_line(app, board):
    with EventStream(app.port, f"/sse/boards/{board}") as stream, board_socket(app.port, board) as socket:
        socket.send_json({"action": "card_add", "payload": {"text": "one\ntwo\r\nthree"}, "user": "ann"})
        event = stream.next()
        data = check_event(event.json(), board=board, action="card_add", user="ann", payload={"text": "one\ntwo\r\nthree"}, active_connections=1)
        assert event.raw == f"id: {data['cursor']}\nevent: card_add\ndata: {event.data}\n\n".encode()
        assert json.loads(socket.text()) == data


def test_the_activity_stream_has_all_boards(app, board):
    with EventStream(app.port) as stream, board_socket(app.port, board) as one, board_socket(app.port, board + "-2") as two:
        for number, socket in enumerate([one, two, one]):
            socket.send_json({"action": f"a{number}"})
            assert (stream.next().json()["board"], number) == (board + ("-2" if number == 1 else ""), number)


def test_the_stream_can_be_filtered_by_board(app, board):
    with EventStream(app.port, f"/sse/activity?board={board}%C3%A9&board={board}b") as stream, \
            board_socket(app.port, f"{board}%C3%A9") as wanted, board_socket(app.port, f"{board}b") as also, board_socket(app.port, board) as other:
        for socket in (other, wanted, other, also):
            socket.send_json({"action": "a"})
            socket.event()
        assert [stream.next().json()["board"] for _ in range(2)] == [f"{board}é", f"{board}b"]


def test_the_stream_of_one_board_has_no_other(app, board):
    with EventStream(app.port, f"/sse/boards/{board}%2Fx") as stream, board_socket(app.port, f"{board}%2Fx") as mine, \
            board_socket(app.port, board) as other:
        for number, socket in enumerate([other, mine, other, mine]):
            socket.send_json({"action": f"a{number}"})
            socket.event()
        assert [stream.next().event for _ in range(2)] == ["a1", "a3"]


@pytest.mark.parametrize("path", ["/sse/boards/%ff", "/sse/boards/", "/sse/boards/" + "a" * 257, "/sse/boards/a/b"])
def test_a_board_that_cannot_be_is_404(app, path):
    with EventStream(app.port, path) as stream:
        assert stream.response.status == 404


@pytest.mark.parametrize("path, headers", [("", ()), ("?token=wrong", ()), ("?token=", ()), ("", [("Authorization", "Bearer wrong")]),
                                           ("?token=wrong", [("Authorization", f"Bearer {TOKEN}")])])
def test_a_wrong_token_is_401(app, path, headers):
    with EventStream(app.port, f"/sse/activity{path}", token=None, headers=headers) as stream:
        assert stream.response.status == 401 and isinstance(json.loads(stream.response.body)["detail"], str)
        assert stream.response.header("Content-Type").startswith("application/json")


@pytest.mark.parametrize("path, headers", [(f"?token={TOKEN}", ()), ("?token=", [("Authorization", f"Bearer {TOKEN}")]),
                                           (f"?token={TOKEN}", [("Authorization", "Bearer wrong")])])
def test_the_right_token_opens_the_stream(app, path, headers):
    with EventStream(app.port, f"/sse/activity{path}", token=None, headers=headers) as stream:
        assert stream.response.status == 200


def test_a_last_event_id_of_somebody_else_is_answered_by_a_resync(app, board):
    with EventStream(app.port, f"/sse/boards/{board}", headers=[("Last-Event-ID", "whatever")]) as stream, board_socket(app.port, board) as socket:
        resync = stream.next()
        assert resync.event == "boardbus.resync" and resync.json()["board"] == board
        socket.send_json({"action": "a"})
        assert stream.next().event == "a"


@pytest.mark.parametrize("action, line", [
    ("x\r\ndata: forged\r\n\r\nevent: y", "x  data: forged    event: y"), ("a\nid: 7\n\ndata: {}\n\n", "a id: 7  data: {}  "),
    ("nul\x00nul", "nul nul"), ("\r", " "), (": comment", ": comment"), ("  spaced", "  spaced"), ("é😀\u2028\u0085", "é😀\u2028\u0085")],
    ids=["crlf", "lf", "nul", "only-cr", "colon", "spaces", "unicode"])
def test_an_action_cannot_start_a_field(app, board, action, line):
    with EventStream(app.port, f"/sse/boards/{board}") as stream, board_socket(app.port, board) as socket:
        socket.send_json({"action": action, "user": action, "correlation_id": action, "message": action, "payload": {action: action}})
        event = stream.next()
        data = json.loads(event.data)
        assert event.raw == f"id: {data['cursor']}\nevent: {line}\ndata: {event.data}\n\n".encode()
        check_event(data, action=action, correlation_id=action, payload={action: action, "message": action})
        socket.send_json({"action": "after"})
        assert stream.next().event == "after"


def test_a_hostile_board_cannot_start_a_field(app):
    with EventStream(app.port, "/sse/boards/b%0D%0A%0D%0Adata:%20x") as stream, board_socket(app.port, "b%0D%0A%0D%0Adata:%20x") as socket:
        socket.send_json({"action": "a"})
        event = stream.next()
        assert event.raw.count(b"\n") == 4 and b"\r" not in event.raw and event.json()["board"] == "b\r\n\r\ndata: x"


def test_a_heartbeat_comes_when_nothing_else_does(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SSE_HEARTBEAT_SECONDS": "1"}).wait_ready()
    begin = time.monotonic()
    with EventStream(app.port) as stream:
        beats = [stream.next(heartbeats=True) for _ in range(2)]
        assert [beat.raw for beat in beats] == [b"event: heartbeat\ndata: {}\n\n"] * 2
        assert 1.5 < time.monotonic() - begin < scaled(4)


def test_a_large_event_arrives_whole(app, board):
    with EventStream(app.port, f"/sse/boards/{board}") as stream, board_socket(app.port, board) as socket:
        socket.send_json({"action": "a", "payload": {"x": "y" * 900_000}})
        assert len(stream.next().json()["payload"]["x"]) == 900_000


def test_head_does_not_start_a_stream(app):
    with Wire(app.port) as wire:
        wire.send(request_bytes("HEAD", "/sse/activity", [("Authorization", f"Bearer {TOKEN}")]) + request_bytes("GET", "/healthz"))
        assert read_response(wire, head_only=True).status in (200, 405)


def test_a_slow_stream_is_dropped_and_nobody_else_notices(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SLOW_CONSUMER_BYTES": "65536"}).wait_ready()
    blob = "x" * 30_000
    with board_socket(app.port, "b") as sender, EventStream(app.port, receive_buffer=4096) as slow, EventStream(app.port) as fast:
        for n in range(400):
            sender.send_json({"action": "a", "payload": {"n": n, "x": blob}})
            assert sender.event()["payload"]["n"] == n
            assert fast.next().json()["payload"]["n"] == n
        assert slow.ended(20)


def test_a_stream_that_goes_away_is_forgotten(app, board):
    for _ in range(20):
        EventStream(app.port).wire.close()
    with board_socket(app.port, board) as socket:
        socket.send_json({"action": "a"})
        check_event(socket.event())


def test_sigterm_ends_the_stream(start):
    app = start("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()
    with EventStream(app.port) as stream:
        app.signal(signal.SIGTERM)
        assert stream.ended()
    assert app.wait_exit() == 0
