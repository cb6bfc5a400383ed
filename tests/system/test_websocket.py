# SPDX-License-Identifier: Apache-2.0
"""The WebSocket edge: who may come in, what is a message, RFC 6455 and 7692 to the frame. Memory transport."""
import json
import os
import signal
import struct
import time

import pytest

from harness.clients import Ended, Wire, read_response
from harness.messages import UUID, check_event, payload_text
from harness.processes import TOKEN
from harness.timing import Deadline, scaled, wait_until
from harness.websocket import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, WebSocket, board_socket, compress, encode_frame)

NOT_JSON = "Messages must be valid JSON objects."
MIB = 1_048_576


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


@pytest.mark.parametrize("remove, add, status", [
    ("Sec-WebSocket-Key", None, 400), ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", 426), ("Sec-WebSocket-Version", None, None),
    ("Upgrade", None, None), ("Sec-WebSocket-Key", "Sec-WebSocket-Key: short", 400)])
def test_a_handshake_that_is_wrong_is_refused(app, remove, add, status):
    lines = ["GET /ws/boards/b?token=" + TOKEN + " HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    lines = [line for line in lines if not line.startswith(remove + ":")] + ([add] if add else [])
    with Wire(app.port) as wire:
        wire.send("\r\n".join(lines).encode() + b"\r\n\r\n")
        answer = read_response(wire)
        assert answer.status == status if status else answer.status in (400, 426), answer.head
        if answer.status == 426 and add:
            assert answer.header("Sec-WebSocket-Version") == "13"


def test_the_handshake_of_the_rfc_gets_the_answer_of_the_rfc(app):
    with Wire(app.port) as wire:
        wire.send(f"GET /ws/boards/b?token={TOKEN} HTTP/1.1\r\nhOST: x\r\nuPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
                  "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n".encode())
        answer = read_response(wire)
        assert (answer.status, answer.header("Sec-WebSocket-Accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        assert answer.header("Sec-WebSocket-Protocol") is None and answer.header("Sec-WebSocket-Extensions") is None


def test_frames_that_come_with_the_handshake_are_not_lost(app, board):
    with Wire(app.port) as wire:
        wire.send(f"GET /ws/boards/{board}?token={TOKEN} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode() +
                  encode_frame(TEXT, b'{"action":"early"}'))
        wire.take_until(b"\r\n\r\n", Deadline())
        assert b'"action":"early"' in wire.take_until(b"early\"", Deadline())


# RFC 6455.

def test_a_message_may_be_fragmented_with_pings_between(app, board):
    text = '{"action":"é😀"}'.encode()
    with board_socket(app.port, board) as socket:
        for at, byte in enumerate(text):
            socket.send_frame(TEXT if at == 0 else CONTINUATION, bytes([byte]), fin=at == len(text) - 1)
            if at == 3:
                socket.send_frame(PING, b"mid")
                pong = socket.frame(Deadline())
                assert (pong.opcode, pong.payload) == (PONG, b"mid")
        check_event(socket.event(), action="é😀")
        socket.send_frame(TEXT, b"", fin=False)
        socket.send_frame(CONTINUATION, b'{"action":"b"}', fin=False)
        socket.send_frame(CONTINUATION, b"")
        check_event(socket.event(), action="b")


def test_many_frames_in_one_segment_and_one_frame_in_many(app, board):
    with board_socket(app.port, board) as socket:
        socket.wire.send(b"".join(encode_frame(TEXT, b'{"action":"a%d"}' % n) for n in range(50)))
        assert [event["action"] for event in socket.events(50)] == [f"a{n}" for n in range(50)]
        for byte in encode_frame(TEXT, b'{"action":"slow"}'):
            socket.wire.send(bytes([byte]))
        check_event(socket.event(), action="slow")


@pytest.mark.parametrize("size", [0, 1, 125])
def test_a_ping_is_answered_with_its_own_bytes(app, board, size):
    payload = os.urandom(size)
    with board_socket(app.port, board) as socket:
        socket.send_frame(PONG, b"unasked for")
        socket.send_frame(PING, payload)
        frame = socket.frame(Deadline())
        assert (frame.opcode, frame.payload) == (PONG, payload)


@pytest.mark.parametrize("sent, answered", [
    (struct.pack("!H", 1000), struct.pack("!H", 1000)), (struct.pack("!H", 1001) + b"bye", struct.pack("!H", 1001)),
    (struct.pack("!H", 3999), struct.pack("!H", 3999)), (struct.pack("!H", 4999) + "é".encode(), struct.pack("!H", 4999)), (b"", b"")])
def test_a_close_is_answered_with_its_code(app, board, sent, answered):
    with board_socket(app.port, board) as socket:
        socket.send_frame(CLOSE, sent)
        frame = socket.frame(Deadline())
        assert frame.opcode == CLOSE and frame.payload[:2] in (answered, struct.pack("!H", 1000))
        assert socket.wire.wait_ended() == b""


@pytest.mark.parametrize("raw, code", [
    (encode_frame(TEXT, b'{"action":"a"}', mask=False), 1002), (encode_frame(TEXT, b"{}", rsv=4), 1002), (encode_frame(TEXT, b"{}", rsv=2), 1002),
    (encode_frame(TEXT, b"{}", rsv=1), 1002), (encode_frame(3, b""), 1002), (encode_frame(7, b""), 1002), (encode_frame(11, b""), 1002),
    (encode_frame(15, b""), 1002), (encode_frame(PING, b"", fin=False), 1002), (encode_frame(PING, b"a" * 126), 1002),
    (encode_frame(CLOSE, b"a" * 126), 1002), (encode_frame(CONTINUATION, b"{}"), 1002),
    (encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, b"}"), 1002), (encode_frame(CLOSE, b"\x03"), 1002),
    (encode_frame(PING, b"", rsv=4), 1002), (encode_frame(CLOSE, struct.pack("!H", 999)), 1002), (encode_frame(CLOSE, struct.pack("!H", 1004)), 1002),
    (encode_frame(CLOSE, struct.pack("!H", 1005)), 1002), (encode_frame(CLOSE, struct.pack("!H", 1006)), 1002),
    (encode_frame(CLOSE, struct.pack("!H", 1015)), 1002), (encode_frame(CLOSE, struct.pack("!H", 2999)), 1002),
    (encode_frame(CLOSE, struct.pack("!H", 5000)), 1002), (encode_frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    (b"\x81\xff" + b"\xff" * 8 + b"mask", 1002),
    (b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"mask", 1009), (b"\x81\xff" + struct.pack("!Q", MIB + 1) + b"mask", 1009),
    (encode_frame(BINARY, b'{"action":"a"}'), 1003), (encode_frame(BINARY, b"", fin=False), 1003),
    (encode_frame(TEXT, b'{"action":"\xff"}'), 1007), (encode_frame(TEXT, b'{"action":"\xc3"}'), 1007),
    (encode_frame(TEXT, b'{"action":"\xed\xa0\x80"}'), 1007), (encode_frame(TEXT, b'{"action":"\xc0\xaf"}'), 1007),
    (encode_frame(TEXT, b'{"action":"\xf4\x90\x80\x80"}'), 1007),
    (encode_frame(TEXT, b'{"a":"\xc3', fin=False) + encode_frame(CONTINUATION, b'"}'), 1007),
    (encode_frame(TEXT, b'\xc3'), 1007)],
    ids=["unmasked", "rsv1", "rsv2", "rsv3", "opcode3", "opcode7", "opcode11", "opcode15", "ping-fragment", "ping-126", "close-126",
         "continuation-first", "text-in-message", "close-one-byte", "ping-rsv1", "close-999", "close-1004", "close-1005", "close-1006",
         "close-1015", "close-2999", "close-5000", "close-reason-utf8", "length-top-bit", "length-1TiB", "length-1MiB+1", "binary", "binary-fragment",
         "utf8-ff", "utf8-cut", "utf8-surrogate", "utf8-overlong", "utf8-beyond", "utf8-fragment", "utf8-end"])
def test_a_broken_rule_closes_with_its_code(app, board, raw, code):
    with board_socket(app.port, board) as socket:
        socket.wire.send(raw)
        assert socket.close_code() == code


@pytest.mark.parametrize("raw", [encode_frame(CLOSE, struct.pack("!H", 1000)), encode_frame(BINARY, b"x"), encode_frame(3, b""),
                                 encode_frame(TEXT, b"\xff")], ids=["by-client", "binary", "protocol", "utf8"])
def test_after_both_closes_the_connection_ends_at_once(app, board, raw):
    with board_socket(app.port, board) as socket:
        socket.wire.send(raw)
        begin = time.monotonic()
        socket.close_code()
        socket.wire.wait_ended()
        assert time.monotonic() - begin < scaled(1)


def test_a_message_of_one_mebibyte_is_carried_and_one_more_byte_is_1009(app, board):
    text = b'{"action":"a","payload":{"x":"' + b"y" * (MIB - 33) + b'"}}'
    assert len(text) == MIB
    with board_socket(app.port, board) as socket:
        socket.send_text(text)
        assert len(check_event(socket.event())["payload"]["x"]) == MIB - 33
        socket.send_frame(TEXT, text[:MIB // 2], fin=False)
        socket.send_frame(CONTINUATION, text[MIB // 2:])
        check_event(socket.event())
        socket.send_frame(TEXT, text, fin=False)
        socket.send_frame(CONTINUATION, b" ")
        assert socket.close_code() == 1009


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


# permessage-deflate, RFC 7692.

def deflating(app, board, offer="permessage-deflate"):
    return board_socket(app.port, board, headers=[("Sec-WebSocket-Extensions", offer)])


@pytest.mark.parametrize("offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits",
                                   "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                                   "x-unknown, permessage-deflate; client_max_window_bits=15"])
def test_deflate_is_agreed_without_context_takeover(app, board, offer):
    with deflating(app, board, offer) as socket:
        agreed = {part.strip().split("=")[0] for part in socket.response.header("Sec-WebSocket-Extensions").split(";")}
        assert {"permessage-deflate", "server_no_context_takeover", "client_no_context_takeover"} <= agreed
        for text in (b'{"action":"small"}', b'{"action":"large","payload":{"x":"' + b"abc" * 9000 + b'"}}'):
            socket.send_compressed(text)
            check_event(socket.event(), action=json.loads(text)["action"])
            socket.send_text(text)  # Compression is the sender's choice, message by message.
            check_event(socket.event(), action=json.loads(text)["action"])


@pytest.mark.parametrize("offer", ["permessage-deflate; nonsense", "permessage-deflate; server_max_window_bits=99", "x-webkit-deflate-frame",
                                   "permessage-deflate; server_no_context_takeover=1",
                                   "permessage-deflate; server_no_context_takeover; server_no_context_takeover"])
def test_an_offer_that_is_not_understood_is_declined(app, board, offer):
    with deflating(app, board, offer) as socket:
        assert socket.response.header("Sec-WebSocket-Extensions") is None
        socket.send_json({"action": "plain"})
        check_event(socket.event(), action="plain")


def test_plain_and_compressed_readers_get_the_same_event(app, board):
    with deflating(app, board) as compressed, board_socket(app.port, board) as plain:
        plain.send_json({"action": "a", "payload": {"x": "abc" * 5000}})
        assert compressed.text() == plain.text()
        plain.send_json({"action": "a", "payload": {"x": "abc" * 5000}})
        frame = compressed.frame(Deadline())
        assert frame.rsv1 and len(frame.payload) < 2000


def test_compressed_messages_may_be_fragmented(app, board):
    data = compress(b'{"action":"a","payload":{"x":"' + b"xyz" * 500 + b'"}}')
    with deflating(app, board) as socket:
        socket.send_frame(TEXT, data[:7], fin=False, rsv=4)
        socket.send_frame(PING, b"p")
        assert socket.frame(Deadline()).opcode == PONG
        socket.send_frame(CONTINUATION, data[7:9], fin=False)
        socket.send_frame(CONTINUATION, data[9:])
        check_event(socket.event(), action="a")


def test_inflating_stops_at_the_message_limit(app, board):
    with deflating(app, board) as socket:
        bomb = compress(b'{"action":"a","payload":{"x":"' + b"a" * 30 * MIB + b'"}}')
        assert len(bomb) < 100_000
        socket.send_frame(TEXT, bomb, rsv=4)
        assert socket.close_code() == 1009


@pytest.mark.parametrize("raw, code", [(encode_frame(TEXT, b"\xff\xff\xff\xff", rsv=4), 1007),
                                       (encode_frame(TEXT, compress(b'{"action":"\xff"}'), rsv=4), 1007),
                                       (encode_frame(TEXT, b"{", fin=False) + encode_frame(CONTINUATION, b"}", rsv=4), 1002),
                                       (encode_frame(BINARY, compress(b"{}"), rsv=4), 1003)], ids=["garbage", "utf8", "rsv1-later", "binary"])
def test_broken_compression_closes_with_its_code(app, board, raw, code):
    with deflating(app, board) as socket:
        socket.wire.send(raw)
        assert socket.close_code() in ({1002, 1007} if code == 1007 else {code})


# Slow readers, floods, the end.

def test_a_slow_reader_is_closed_with_1013_and_nobody_else_notices(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "SLOW_CONSUMER_BYTES": "65536"}).wait_ready()
    blob = "x" * 30_000
    with board_socket(app.port, "b") as sender, board_socket(app.port, "b", receive_buffer=4096) as slow:
        slowest = 0.0
        for n in range(400):  # 12 MB, more than any socket buffer takes.
            begin = time.monotonic()
            sender.send_json({"action": "a", "payload": {"n": n, "x": blob}})
            assert sender.event()["payload"]["n"] == n
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < scaled(1)
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
