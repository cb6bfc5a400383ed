# SPDX-License-Identifier: Apache-2.0
"""The WebSocket edge: who may come in, what is a message, what becomes of slow and of silent clients. Memory transport."""
import json
import os
import signal
import time

import pytest

from harness.clients import Ended
from harness.messages import UUID, check_event, payload_text
from harness.processes import TOKEN
from harness.timing import Deadline, scaled, wait_until
from harness.websocket import PING, PONG, TEXT, Closed, WebSocket, board_socket, encode_frame

NOT_JSON = "Messages must be valid JSON objects."


def nested(levels: int) -> str:
    """A message whose deepest value lies in `levels` objects."""
    return '{"action":"a","payload":' + '{"a":' * (levels - 2) + "{}" + "}" * (levels - 2) + "}"


# Events.

def test_every_socket_of_the_board_gets_the_event_the_sender_included(app, board):
    with board_socket(app.port, board) as sender, board_socket(app.port, board) as reader, board_socket(app.port, board + "x") as other:
        sender.send_json({"action": "card_add", "payload": {"title": "T"}, "user": " ann ", "correlation_id": f"{board}-1"})
        for socket in (sender, reader):
            check_event(socket.event(), board=board, action="card_add", user="ann", payload={"title": "T"},
                        correlation_id=f"{board}-1", active_connections=2)
        assert other.silent() and sender.silent(0.05)


def test_defaults_are_filled_in(app, board):
    with board_socket(app.port, board) as socket:
        for sent, user in [({}, "anonymous"), ({"user": "  "}, "anonymous"), ({"user": ""}, "anonymous"), ({"user": "\tbo b\n"}, "bo b")]:
            socket.send_json({"action": "a", **sent})
            event = check_event(socket.event(), user=user, payload={})
            assert UUID.match(event["correlation_id"])
        for empty in (None, ""):
            socket.send_json({"action": "a", "correlation_id": empty, "message": empty})
            assert UUID.match(check_event(socket.event(), payload={})["correlation_id"])


def test_a_message_is_added_to_the_payload_unless_it_has_one(app, board):
    with board_socket(app.port, board) as socket:
        for message, payload, expected in [
                ("hi", {}, {"message": "hi"}), ("hi", {"n": 1}, {"n": 1, "message": "hi"}), ("hi", {"message": None}, {"message": None}),
                ("hi", {"message": "x"}, {"message": "x"}), ("", {}, {}),
                (None, {}, {}), ('"\\\n\u2028é😀', {}, {"message": '"\\\n\u2028é😀'})]:
            socket.send_json({"action": "chat", "payload": payload, "message": message})
            check_event(socket.event(), payload=expected)


def test_unknown_members_are_ignored_and_op_is_one(app, board):
    with board_socket(app.port, board) as socket:
        socket.send_json({"action": "a", "op": "subscribe", "board": "other", "kind": "x", "id": 5, "timestamp": None})
        check_event(socket.event(), action="a", board=board)


def test_the_last_of_duplicate_members_wins(app, board):
    with board_socket(app.port, board) as socket:
        socket.send_text('{"action":1,"user":"x","payload":{"a":1},"action":"b","user":"y","payload":{"c":2}}')
        check_event(socket.event(), action="b", user="y", payload={"c": 2})


@pytest.mark.parametrize("sent, carried", [
    ('{ "n" : 12345678901234567890123 , "m":9007199254740993 }', '{"n":12345678901234567890123,"m":9007199254740993}'),
    ('{"d":1.10000000000000000000000000001,"e":1E400,"f":-0.0,"g":1e-0007}', '{"d":1.10000000000000000000000000001,"e":1E400,"f":-0.0,"g":1e-0007}'),
    ('{"u":"\\u00e9é\\ud83d\\ude00😀\\/","s":"  a  b  "}', '{"u":"\\u00e9é\\ud83d\\ude00😀\\/","s":"  a  b  "}'),
    ('{"z":1,"a":{"y":[ 1 , 2,\n{"x":null}] },"b":[]}', '{"z":1,"a":{"y":[1,2,{"x":null}]},"b":[]}'),
    ('{"":"","\\u0000":"\\u0000","a b":true}', '{"":"","\\u0000":"\\u0000","a b":true}'),
])
def test_the_payload_is_carried_token_for_token(app, board, sent, carried):
    with board_socket(app.port, board) as socket:
        socket.send_text('{"action":"a","payload":' + sent + "}")
        assert payload_text(socket.text()) == carried


@pytest.mark.parametrize("sent", ['{"action":"a","payload":{"s":"\\ud800"}}', '{"action":"a","payload":{"s":"x\\udc00y"}}',
                                  '{"action":"\\ud800"}', '{"action":"a","user":"\\udfff"}', '{"action":"a","message":"\\ud800x"}',
                                  '{"action":"a","correlation_id":"\\ud800"}'])
def test_a_lone_surrogate_never_breaks_anything(app, board, sent):
    with board_socket(app.port, board) as socket:
        socket.send_text(sent)
        answer = socket.json()  # Strictly decoded as UTF-8 there.
        if answer["kind"] == "error":
            assert answer["reason"] in ("invalid_json", "validation_error")
        else:
            check_event(answer)
        socket.send_json({"action": "after"})
        check_event(socket.event(), action="after")


# What is no message.

@pytest.mark.parametrize("text", [
    "", " ", "not json", "[]", "[1]", '"x"', "1", "null", "true", "{", '{"action":"a"', '{"action":"a"}x', '{"action":"a"}{"action":"b"}',
    '{"action":"a",}', "{'action':'a'}", '{action:"a"}', '{"action":NaN}', '{"action":"a","payload":{"x":NaN}}',
    '{"action":"a","payload":{"x":Infinity}}', '{"action":"a","payload":{"x":-Infinity}}', '{"action":"a","payload":{"x":01}}',
    '{"action":"a","payload":{"x":1.}}', '{"action":"a","payload":{"x":+1}}', '{"action":"a\nb"}', '{"action":"\\x"}', '{"action":"\\u12"}',
    '{"action":"a"}\x00', '\ufeff{"action":"a"}', '{"action":"a","payload":{"x":tru}}', "{" * 10_000, "[" * 10_000, nested(10_000), nested(130),
], ids=lambda text: repr(text[:30]))
def test_what_is_not_a_json_object_is_invalid_json(app, board, text):
    with board_socket(app.port, board) as socket:
        socket.send_text(text)
        assert socket.error() == {"kind": "error", "reason": "invalid_json", "detail": NOT_JSON}
        assert socket.still_open()


def test_128_levels_are_carried(app, board):
    with board_socket(app.port, board) as socket:
        socket.send_text(nested(128))
        check_event(socket.event(), action="a")


@pytest.mark.parametrize("message, errors", [
    ({}, [("action", "missing", "Field required")]),
    ({"action": 5}, [("action", "string_type", "Input should be a valid string")]),
    ({"action": None}, [("action", "string_type", "Input should be a valid string")]),
    ({"action": ["a"]}, [("action", "string_type", "Input should be a valid string")]),
    ({"action": ""}, [("action", "string_too_short", "String should have at least 1 character")]),
    ({"action": "a", "payload": []}, [("payload", "dict_type", "Input should be a valid dictionary")]),
    ({"action": "a", "payload": None}, [("payload", "dict_type", "Input should be a valid dictionary")]),
    ({"action": "a", "payload": "x"}, [("payload", "dict_type", "Input should be a valid dictionary")]),
    ({"action": "a", "user": None}, [("user", "string_type", "Input should be a valid string")]),
    ({"action": "a", "user": 1.5}, [("user", "string_type", "Input should be a valid string")]),
    ({"action": "a", "message": {}}, [("message", "string_type", "Input should be a valid string")]),
    ({"action": "a", "correlation_id": 7}, [("correlation_id", "string_type", "Input should be a valid string")]),
    ({"payload": 1, "user": 2, "message": 3, "correlation_id": 4},
     [("action", "missing", None), ("payload", "dict_type", None), ("user", "string_type", None), ("message", "string_type", None),
      ("correlation_id", "string_type", None)]),
    ({"op": "subscribe", "board": "x"}, [("action", "missing", "Field required")]),
], ids=str)
def test_a_message_of_the_wrong_form_gets_a_list_of_what_is_wrong(app, board, message, errors):
    with board_socket(app.port, board) as socket:
        socket.send_json(message)
        error = socket.error()
        assert error["reason"] == "validation_error"
        assert all(set(one) == {"loc", "msg", "type"} for one in error["detail"])
        assert [(one["loc"], one["type"]) for one in error["detail"]] == [([loc], kind) for loc, kind, _ in errors]
        for one, (_, _, text) in zip(error["detail"], errors):
            assert text is None or one["msg"] == text
        assert socket.still_open()


def test_a_correlation_id_has_at_most_256_bytes(app, board):
    with board_socket(app.port, board) as socket:
        for good in ("c" * 256, "é" * 128):
            socket.send_json({"action": "a", "correlation_id": good})
            check_event(socket.event(), correlation_id=good)
        for bad in ("c" * 257, "é" * 129):
            socket.send_text(json.dumps({"action": "a", "correlation_id": bad}, ensure_ascii=False))
            error = socket.error()
            assert error["reason"] == "validation_error" and error["detail"][0]["loc"] == ["correlation_id"]


def test_errors_go_to_the_sender_alone(app, board):
    with board_socket(app.port, board) as sender, board_socket(app.port, board) as reader:
        sender.send_text("nonsense")
        sender.error()
        assert reader.silent(0.1)


# Who may come in.

@pytest.mark.parametrize("path, headers", [
    ("", ()), ("?token=wrong", ()), ("?token=", ()), ("", [("Authorization", "Bearer wrong")]), ("", [("Authorization", "Bearer ")]),
    ("", [("Authorization", f"Basic {TOKEN}")]), ("?token=wrong", [("Authorization", f"Bearer {TOKEN}")]), (f"?token={TOKEN}x", ()),
    (f"?token={TOKEN[:-1]}", ()), (f"?Token={TOKEN}", ()), (f"?x={TOKEN}", ())], ids=str)
def test_a_wrong_token_completes_the_handshake_and_is_closed_with_4401(app, board, path, headers):
    with WebSocket(app.port, f"/ws/boards/{board}{path}", headers) as socket:
        with pytest.raises(Closed) as closed:  # And no other frame before it.
            socket.text()
        assert closed.value.code == 4401


@pytest.mark.parametrize("path, headers", [
    (f"?token={TOKEN}", ()), ("", [("Authorization", f"Bearer {TOKEN}")]), ("", [("authorization", f"bearer {TOKEN}")]),
    ("?token=", [("Authorization", f"Bearer {TOKEN}")]), (f"?token={TOKEN}", [("Authorization", "Bearer wrong")]),
    (f"?x=1&token=%{ord(TOKEN[0]):02x}{TOKEN[1:]}", ())], ids=str)
def test_the_right_token_comes_in(app, board, path, headers):
    with WebSocket(app.port, f"/ws/boards/{board}{path}", headers) as socket:
        socket.send_json({"action": "a"})
        check_event(socket.event())


@pytest.mark.parametrize("origin, allowed", [
    ("http://127.0.0.1:{port}", True), ("http://localhost:3000", True), ("http://localhost:5173", True), (None, True),
    ("http://evil.example", False), ("null", False), ("http://127.0.0.1:1", False), ("http://localhost:3000.evil.example", False),
    ("http://127.0.0.1:{port}.evil.example", False), ("", False)])
def test_a_foreign_origin_is_refused_with_403(app, board, origin, allowed):
    headers = [] if origin is None else [("Origin", origin.format(port=app.port))]
    with board_socket(app.port, board, headers=headers) as socket:
        assert socket.response.status == (101 if allowed else 403)


def test_refusals_come_in_their_order(app):
    evil = [("Origin", "http://evil.example")]
    with WebSocket(app.port, "/ws/boards/%ff?token=wrong", evil) as socket:
        assert socket.response.status == 404
    with WebSocket(app.port, "/ws/boards/b?token=wrong", evil) as socket:
        assert socket.response.status == 403


@pytest.mark.parametrize("path", ["", "%ff", "%C3", "%zz", "%4", "a" * 257, "%41" * 300, "é" * 129, "x/y", "%ED%A0%80"])
def test_a_board_that_cannot_be_is_404(app, path):
    with WebSocket(app.port, f"/ws/boards/{path}?token={TOKEN}") as socket:
        assert socket.response.status == 404


@pytest.mark.parametrize("path, name", [("caf%C3%A9%2Fx%3F", "café/x?"), ("a" * 256, "a" * 256), ("%61" * 256, "a" * 256), ("a+b", "a+b"),
                                        ("%22%5C%0A%00", '"\\\n\x00'), ("..%2F", "../")])
def test_the_board_is_percent_decoded(app, path, name):
    with board_socket(app.port, path) as socket:
        socket.send_json({"action": "a"})
        check_event(socket.event(), board=name)


def test_more_sockets_than_allowed_are_closed_with_1013(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "WEBSOCKET_MAX_CONNECTIONS": "2"}).wait_ready()
    with board_socket(app.port, "a") as first, board_socket(app.port, "b"):
        with board_socket(app.port, "a") as third:
            assert third.close_code() == 1013
        with board_socket(app.port, "a", token="wrong") as fourth:
            assert fourth.close_code() == 4401
        first.close()

        def room():
            with board_socket(app.port, "a") as socket:
                socket.send_json({"action": "a"})
                try:
                    return socket.event()
                except (Closed, Ended):
                    return None
        wait_until(room, what="room for another socket")


# Clients that vanish.

def test_a_client_that_vanishes_halfway_hurts_nobody(app, board):
    with board_socket(app.port, board) as reader:
        for raw in (b"\x81", encode_frame(TEXT, b'{"action":"a"}')[:-3], encode_frame(TEXT, b'{"ac', fin=False)):
            with board_socket(app.port, board) as socket:
                socket.wire.send(raw)
        reader.send_json({"action": "still here"})
        check_event(reader.event(), action="still here")
        wait_until(lambda: reader.send_json({"action": "n"}) or reader.event()["active_connections"] == 1, what="only one connection counted")


def test_idle_sockets_are_pinged_and_dropped_when_they_do_not_answer(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "WEBSOCKET_PING_SECONDS": "1", "WEBSOCKET_PONG_TIMEOUT_SECONDS": "1"}).wait_ready()
    with board_socket(app.port, "b") as lively, board_socket(app.port, "b") as dead:
        begin = time.monotonic()
        while time.monotonic() - begin < 3.5:
            frame = lively.frame(Deadline(4))
            assert frame.opcode == PING
            lively.send_frame(PONG, frame.payload)
        dead.wire.wait_ended(5)  # Ended within another moment, because it never answered.
        lively.send_json({"action": "a"})
        check_event(lively.event(), active_connections=1)


# Slow readers, floods, the end.

def test_a_slow_reader_is_closed_with_1013_and_nobody_else_notices(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SLOW_CONSUMER_BYTES": "65536"}).wait_ready()
    blob = "x" * 30_000
    with board_socket(app.port, "b") as sender, board_socket(app.port, "b", receive_buffer=4096) as slow:
        rounds = []
        for n in range(400):  # 12 MB, more than any socket buffer takes.
            begin = time.monotonic()
            sender.send_json({"action": "a", "payload": {"n": n, "x": blob}})
            assert sender.event()["payload"]["n"] == n
            rounds.append(time.monotonic() - begin)
        rounds.sort()
        assert rounds[-3] < scaled(1) and rounds[-1] < scaled(5)  # A pause of the machine is not the slow reader's doing.
        seen = []
        with pytest.raises(Closed) as closed:
            while True:
                seen.append(slow.event(20)["payload"]["n"])
        assert closed.value.code == 1013
        assert seen == list(range(len(seen))) and len(seen) < 400
        sender.send_json({"action": "after"})
        check_event(sender.event(), active_connections=1)


def test_one_frame_alone_never_makes_a_slow_reader(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SLOW_CONSUMER_BYTES": "4096"}).wait_ready()
    with board_socket(app.port, "b", receive_buffer=4096) as socket:
        socket.send_json({"action": "a", "payload": {"x": "y" * 900_000}})
        time.sleep(0.2)
        assert len(socket.event()["payload"]["x"]) == 900_000


def test_a_flood_is_rate_limited_per_socket(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "WEBSOCKET_MESSAGE_RATE_LIMIT": "5/minute"}).wait_ready()
    with board_socket(app.port, "b") as socket, board_socket(app.port, "c") as other:
        for _ in range(6):
            socket.send_json({"action": "a"})
        got = [socket.json() for _ in range(6)]
        assert sorted(one["kind"] for one in got) == ["board_event"] * 5 + ["error"]
        assert next(one["reason"] for one in got if one["kind"] == "error") == "rate_limited"
        other.send_json({"action": "a"})
        check_event(other.event())


def test_sigterm_closes_sockets_with_1001_and_exits_with_0(start):
    app = start("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()
    with board_socket(app.port, "b") as socket, board_socket(app.port, "c") as sleeper:
        socket.send_json({"action": "a"})
        socket.event()
        begin = time.monotonic()
        app.signal(signal.SIGTERM)
        assert socket.close_code() == 1001
        with pytest.raises(Closed) as closed:  # This one does not answer the close; the server does not wait for ever.
            sleeper.text()
        assert closed.value.code == 1001
        assert app.wait_exit() == 0 and time.monotonic() - begin < scaled(11)


def test_messages_that_were_taken_before_sigterm_arrive(start):
    app = start("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()
    with board_socket(app.port, "b") as socket:
        socket.wire.send(b"".join(encode_frame(TEXT, b'{"action":"a%d"}' % n) for n in range(20)))
        assert socket.event()["action"] == "a0"
        app.signal(signal.SIGTERM)  # Perhaps before it has read them all; what it has read is answered before the close.
        seen = ["a0"]
        with pytest.raises(Closed) as closed:
            while True:
                seen.append(socket.event()["action"])
        assert closed.value.code == 1001 and seen == [f"a{n}" for n in range(len(seen))]
    assert app.wait_exit() == 0
