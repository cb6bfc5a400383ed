# SPDX-License-Identifier: Apache-2.0
"""RFC 6455 and RFC 7692 over real sockets, a test for each section that a client can see. Memory transport.

The tables of what is read from which bytes are in tests/web/ws_conformance_*_test.cpp. Here is what only a whole server shows: that
the answer is the same whether a stream comes at once, byte by byte or together with its handshake, and how connections end.
"""
import json
import os
import struct
import time
import zlib

import pytest

from harness.clients import Wire, read_response
from harness.messages import check_event
from harness.processes import TOKEN
from harness.timing import Deadline, scaled
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, board_socket, compress, encode_frame

MIB = 1_048_576
DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate")]
WAYS = ["at once", "byte by byte", "with the handshake"]


def code(number: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", number) + reason


def long_frame(first: int, size: int) -> bytes:
    """The header of a masked frame with a length of 8 bytes."""
    return bytes([first, 0xFF]) + struct.pack("!Q", size) + b"mask"


def socket_with(app, board, raw: bytes, way: str, headers=()):
    """A socket of the board to which the bytes were sent in one of the WAYS."""
    if way == "with the handshake":
        return board_socket(app.port, board, headers=headers, early=raw)
    socket = board_socket(app.port, board, headers=headers)
    for piece in [raw] if way == "at once" else [raw[at:at + 1] for at in range(len(raw))]:
        socket.wire.send(piece)
    return socket


# RFC 6455 §4: the opening handshake.

HANDSHAKE = {"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
             "Sec-WebSocket-Version": "13"}


def shake(app, headers, line="GET /ws/boards/b HTTP/1.1", more=b""):
    with Wire(app.port) as wire:
        lines = [line.replace("/b ", f"/b?token={TOKEN} ")] + [f"{name}: {value}" for name, value in headers]
        wire.send("\r\n".join(lines).encode() + b"\r\n\r\n" + more)
        return read_response(wire)


@pytest.mark.parametrize("name, value, status", [
    ("Host", None, 400), ("Upgrade", None, 426), ("Upgrade", "h2c", 426), ("Connection", None, 426), ("Connection", "keep-alive", 426),
    ("Sec-WebSocket-Key", None, 400), ("Sec-WebSocket-Key", "short", 400), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWE=", 400),
    ("Sec-WebSocket-Version", None, 426), ("Sec-WebSocket-Version", "8", 426), ("Sec-WebSocket-Version", "14", 426),
    ("Sec-WebSocket-Extensions", "permessage-deflate;", 400), ("Sec-WebSocket-Extensions", 'a; b="c d"', 400)], ids=str)
def test_section_4_2_1_a_header_that_is_missing_or_wrong_is_refused_with_its_status(app, name, value, status):
    headers = {**HANDSHAKE, name: value}
    answer = shake(app, [pair for pair in headers.items() if pair[1] is not None])
    assert answer.status == status, answer.head
    if status == 426:
        assert answer.header("Sec-WebSocket-Version") == "13" and answer.header("Upgrade") == "websocket"


@pytest.mark.parametrize("name", ["Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_section_4_2_1_a_header_that_may_come_once_comes_once(app, name):
    assert shake(app, [*HANDSHAKE.items(), (name, HANDSHAKE[name])]).status in (400, 426)


@pytest.mark.parametrize("line, status", [("GET /ws/boards/b HTTP/1.0", 400), ("POST /ws/boards/b HTTP/1.1", 405), ("PUT /ws/boards/b HTTP/1.1", 405),
                                          ("GET /ws/boards/b HTTP/2.0", 505)])
def test_section_4_2_1_it_is_a_get_of_http_1_1(app, line, status):
    assert shake(app, HANDSHAKE.items(), line).status == status


def test_section_4_2_2_the_handshake_of_the_rfc_gets_the_answer_of_the_rfc(app):
    answer = shake(app, [("hOST", "x"), ("uPGRADE", "WebSocket"), ("connection", "keep-alive, upgrade"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                         ("sec-websocket-version", "13"), ("Sec-WebSocket-Protocol", "chat")])
    assert (answer.status, answer.header("Sec-WebSocket-Accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert answer.header("Upgrade") == "websocket" and answer.header("Connection") == "Upgrade"
    assert answer.header("Sec-WebSocket-Protocol") is None and answer.header("Sec-WebSocket-Extensions") is None


def test_section_4_1_frames_that_come_with_the_handshake_are_taken_wherever_the_segments_are_cut(app, board):
    text = b'{"action":"early"}'
    raw = (f"GET /ws/boards/{board}?token={TOKEN} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items()) +
           "\r\n").encode() + encode_frame(TEXT, text) + encode_frame(TEXT, text[:5], fin=False) + encode_frame(CONTINUATION, text[5:])
    for cut in [len(raw), *range(len(raw) - 70, len(raw))]:
        with Wire(app.port) as wire:
            wire.send(raw[:cut])
            wire.send(raw[cut:])
            wire.take_until(b"\r\n\r\n", Deadline())
            for _ in range(2):
                wire.take_until(b'"action":"early"', Deadline())


# RFC 6455 §5, §7, §8: frames. What breaks a rule, by section, and the close code that it earns.

BROKEN = {
    "5.1 unmasked text": (encode_frame(TEXT, b'{"action":"a"}', mask=False), 1002),
    "5.1 unmasked ping": (encode_frame(PING, b"", mask=False), 1002),
    "5.1 unmasked close": (encode_frame(CLOSE, code(1000), mask=False), 1002),
    "5.2 RSV1": (encode_frame(TEXT, b"{}", rsv=4), 1002),
    "5.2 RSV2": (encode_frame(TEXT, b"{}", rsv=2), 1002),
    "5.2 RSV3": (encode_frame(TEXT, b"{}", rsv=1), 1002),
    "5.2 RSV1 of a ping": (encode_frame(PING, b"", rsv=4), 1002),
    **{f"5.2 opcode {opcode}": (encode_frame(opcode, b""), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "5.2 125 in 2 bytes": (b"\x81\xfe\x00\x7dmask" + b"x" * 125, 1002),
    "5.2 65535 in 8 bytes": (long_frame(0x81, 65535), 1002),
    "5.2 highest bit": (long_frame(0x81, 1 << 63), 1002),
    "5.2 all bits": (b"\x81\xff" + b"\xff" * 8 + b"mask", 1002),
    "5.4 continuation of nothing": (encode_frame(CONTINUATION, b"{}"), 1002),
    "5.4 text inside a message": (encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, b"}"), 1002),
    "5.4 binary inside a message": (encode_frame(TEXT, b"{", fin=False) + encode_frame(BINARY, b"}"), 1002),
    "5.5 ping in fragments": (encode_frame(PING, b"", fin=False), 1002),
    "5.5 close in fragments": (encode_frame(CLOSE, b"", fin=False), 1002),
    "5.5 ping of 126 bytes": (encode_frame(PING, b"a" * 126), 1002),
    "5.5 pong of 126 bytes": (encode_frame(PONG, b"a" * 126), 1002),
    "5.5 close of 126 bytes": (encode_frame(CLOSE, code(1000, b"a" * 124)), 1002),
    "5.5.1 one byte": (encode_frame(CLOSE, b"\x03"), 1002),
    "5.5.1 reason not UTF-8": (encode_frame(CLOSE, code(1000, b"\xff")), 1007),
    "5.5.1 reason cut": (encode_frame(CLOSE, code(1000, b"\xe2\x82")), 1007),
    "5.6 binary": (encode_frame(BINARY, b'{"action":"a"}'), 1003),
    "5.6 binary in fragments": (encode_frame(BINARY, b"", fin=False), 1003),
    **{f"7.4 code {number}": (encode_frame(CLOSE, code(number)), 1002) for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)},
    "8.1 never a byte": (encode_frame(TEXT, b'{"action":"\xff"}'), 1007),
    "8.1 cut": (encode_frame(TEXT, b'{"action":"\xc3"}'), 1007),
    "8.1 surrogate": (encode_frame(TEXT, b'{"action":"\xed\xa0\x80"}'), 1007),
    "8.1 overlong": (encode_frame(TEXT, b'{"action":"\xc0\xaf"}'), 1007),
    "8.1 beyond": (encode_frame(TEXT, b'{"action":"\xf4\x90\x80\x80"}'), 1007),
    "8.1 at the end": (encode_frame(TEXT, b"\xc3"), 1007),
    "8.1 across fragments": (encode_frame(TEXT, b'{"a":"\xc3', fin=False) + encode_frame(CONTINUATION, b'"}'), 1007),
    "8.1 before the message ends": (encode_frame(TEXT, b'{"a":"\xff', fin=False), 1007),
    "8.1 before the frame ends": (encode_frame(TEXT, b'{"a":"\xff' + b"x" * 100)[:-50], 1007),
    "10.4 limit + 1": (long_frame(0x81, MIB + 1), 1009),
    "10.4 1 TiB": (long_frame(0x81, 1 << 40), 1009),
    "10.4 63 bits": (long_frame(0x81, (1 << 63) - 1), 1009),
    "10.4 63 bits in a fragment": (encode_frame(TEXT, b"{", fin=False) + long_frame(0x80, (1 << 63) - 1), 1009),
}


def check_failure(socket, expected: int):
    """What came before the broken rule is answered, then comes the close frame, nothing between, and the end."""
    pong = socket.frame(Deadline())
    assert (pong.opcode, pong.payload) == (PONG, b"before")
    with pytest.raises(Closed) as closed:
        socket.text()
    assert closed.value.code == expected
    assert socket.wire.wait_ended() == b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("raw, expected", BROKEN.values(), ids=BROKEN.keys())
def test_section_7_1_7_a_broken_rule_closes_with_its_code_however_it_arrives(app, board, raw, expected, way):
    with socket_with(app, board, encode_frame(PING, b"before") + raw, way) as socket:
        check_failure(socket, expected)


@pytest.mark.parametrize("way", WAYS)
def test_section_5_2_all_three_length_forms_are_read_and_written(app, board, way):
    sizes = [1, 125 - 34, 126 - 34, 65535 - 34, 65536 - 34] if way != "byte by byte" else [1, 125 - 34, 126 - 34, 500]
    texts = [b'{"action":"a","payload":{"x":"' + b"y" * size + b'"}}' for size in sizes]
    with socket_with(app, board, b"".join(encode_frame(TEXT, text) for text in texts), way) as socket:
        assert [len(check_event(socket.event(), action="a")["payload"]["x"]) for _ in texts] == sizes


@pytest.mark.parametrize("way", WAYS)
def test_section_5_4_a_message_may_be_fragmented_with_control_frames_between(app, board, way):
    text = '{"action":"é😀"}'.encode()
    raw = b""
    for at, byte in enumerate(text):
        raw += encode_frame(TEXT if at == 0 else CONTINUATION, bytes([byte]), fin=at == len(text) - 1)
        raw += encode_frame(PING, b"mid") + encode_frame(PONG, b"") if at == 3 else b""
    raw += encode_frame(TEXT, b"", fin=False) + encode_frame(CONTINUATION, b'{"action":"b"}', fin=False) + encode_frame(CONTINUATION, b"")
    with socket_with(app, board, raw, way) as socket:
        pong = socket.frame(Deadline())
        assert (pong.opcode, pong.payload) == (PONG, b"mid")
        check_event(socket.event(), action="é😀")
        check_event(socket.event(), action="b")


def test_section_5_4_many_frames_in_one_segment_and_one_frame_in_many(app, board):
    with board_socket(app.port, board) as socket:
        socket.wire.send(b"".join(encode_frame(TEXT, b'{"action":"a%d"}' % n) for n in range(50)))
        assert [event["action"] for event in socket.events(50)] == [f"a{n}" for n in range(50)]
        frames = encode_frame(PING, b"1") + encode_frame(TEXT, b'{"act', fin=False) + encode_frame(PING, b"2") + encode_frame(CONTINUATION, b'ion":"b"}')
        for cut in range(1, len(frames)):
            socket.wire.send(frames[:cut])
            socket.wire.send(frames[cut:])
            assert [socket.frame(Deadline()).payload for _ in range(2)] == [b"1", b"2"]
            check_event(socket.event(), action="b")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 1, 125])
def test_section_5_5_2_a_ping_is_answered_with_its_own_bytes(app, board, size, way):
    payload = os.urandom(size)
    with socket_with(app, board, encode_frame(PONG, b"unasked for") + encode_frame(PING, payload), way) as socket:
        frame = socket.frame(Deadline())
        assert (frame.opcode, frame.payload) == (PONG, payload)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sent", [b"", *(code(number) for number in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
                                                                     4999)), code(1001, b"bye"), code(4999, "é".encode()), code(1000, b"r" * 123)])
def test_section_5_5_1_a_close_is_answered_with_its_code_and_is_the_end(app, board, sent, way):
    raw = encode_frame(TEXT, b'{"ac', fin=False) + encode_frame(CLOSE, sent)
    with socket_with(app, board, raw, way) as socket:
        frame = socket.frame(Deadline())
        assert frame.opcode == CLOSE and frame.payload == sent[:2]
        assert socket.wire.wait_ended() == b""


def test_section_5_5_1_nothing_is_taken_behind_a_close(app, board):
    with board_socket(app.port, board) as reader:
        with socket_with(app, board, encode_frame(CLOSE, b"") + encode_frame(TEXT, b'{"action":"late"}'), "at once") as socket:
            assert socket.frame(Deadline()).opcode == CLOSE
            assert socket.wire.wait_ended() == b""
        reader.send_json({"action": "next"})
        check_event(reader.event(), action="next")


@pytest.mark.parametrize("raw", [encode_frame(CLOSE, code(1000)), encode_frame(BINARY, b"x"), encode_frame(3, b""), encode_frame(TEXT, b"\xff")],
                         ids=["by-client", "binary", "protocol", "utf8"])
def test_section_7_1_1_after_both_closes_the_connection_ends_at_once(app, board, raw):
    with board_socket(app.port, board) as socket:
        socket.wire.send(raw)
        begin = time.monotonic()
        socket.close_code()
        socket.wire.wait_ended()
        assert time.monotonic() - begin < max(2.5, scaled(1))  # One that does not answer a close gets three seconds.


def test_section_10_4_a_message_of_exactly_the_limit_is_carried_and_one_more_byte_is_1009(app, board):
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


# RFC 7692: permessage-deflate.

def deflating(app, board, offer="permessage-deflate"):
    return board_socket(app.port, board, headers=[("Sec-WebSocket-Extensions", offer)])


@pytest.mark.parametrize("offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=8",
                                   "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
                                   'permessage-deflate; client_max_window_bits="1\\5"', "x-unknown, permessage-deflate; client_max_window_bits=15",
                                   "permessage-deflate; new, permessage-deflate"])
def test_section_7_1_1_deflate_is_agreed_without_context_takeover(app, board, offer):
    with deflating(app, board, offer) as socket:
        agreed = socket.response.header("Sec-WebSocket-Extensions")
        assert agreed == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        for text in (b'{"action":"small"}', b'{"action":"large","payload":{"x":"' + b"abc" * 9000 + b'"}}'):
            socket.send_compressed(text)
            check_event(socket.event(), action=json.loads(text)["action"])
            socket.send_text(text)  # Compression is the sender's choice, message by message.
            check_event(socket.event(), action=json.loads(text)["action"])


@pytest.mark.parametrize("bits", range(8, 16))
def test_section_7_1_2_1_a_smaller_server_window_is_promised_and_kept(app, board, bits):
    with deflating(app, board, f"permessage-deflate; server_max_window_bits={bits}") as socket:
        assert socket.response.header("Sec-WebSocket-Extensions").endswith(f"; server_max_window_bits={bits}")
        for _ in range(2):
            socket.send_compressed(b'{"action":"a","payload":{"x":"' + bytes(range(65, 91)) * 100 + b'"}}')
            frame = socket.frame(Deadline())
            inflater = zlib.decompressobj(wbits=-bits)
            text = inflater.decompress(frame.payload + b"\x00\x00\xff\xff") if frame.rsv1 else frame.payload
            check_event(json.loads(text), action="a")
            assert frame.rsv1 == (bits == 15)  # The full window or none.


def test_section_5_offers_in_several_headers_are_one_list(app, board):
    with board_socket(app.port, board, headers=[("Sec-WebSocket-Extensions", "permessage-deflate; x"), ("sec-websocket-extensions", "y"),
                                                ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=12")]) as socket:
        assert socket.response.header("Sec-WebSocket-Extensions").endswith("; server_max_window_bits=12")


@pytest.mark.parametrize("offer", ["permessage-deflate; nonsense", "permessage-deflate; server_max_window_bits=99", "permessage-deflate; server_max_window_bits",
                                   "permessage-deflate; client_max_window_bits=7", "x-webkit-deflate-frame", "permessage-deflate; server_no_context_takeover=1",
                                   "permessage-deflate; server_no_context_takeover; server_no_context_takeover"])
def test_section_7_1_an_offer_that_is_not_understood_is_declined(app, board, offer):
    with deflating(app, board, offer) as socket:
        assert socket.response.header("Sec-WebSocket-Extensions") is None
        socket.send_json({"action": "plain"})
        check_event(socket.event(), action="plain")
        socket.send_compressed(b"{}")
        assert socket.close_code() == 1002


def test_section_6_1_plain_and_compressed_readers_get_the_same_event(app, board):
    with deflating(app, board) as compressed, board_socket(app.port, board) as plain:
        for _ in range(2):  # Each event by itself, without the window of the one before.
            plain.send_json({"action": "a", "payload": {"x": "abc" * 5000}})
            assert compressed.text() == plain.text()
        plain.send_json({"action": "a", "payload": {"x": "abc" * 5000}})
        frame = compressed.frame(Deadline())
        assert frame.rsv1 and len(frame.payload) < 2000


@pytest.mark.parametrize("way", WAYS)
def test_section_6_2_compressed_messages_may_be_fragmented(app, board, way):
    data = compress(b'{"action":"a","payload":{"x":"' + b"xyz" * 500 + b'"}}')
    raw = (encode_frame(TEXT, data[:7], fin=False, rsv=4) + encode_frame(PING, b"p") + encode_frame(CONTINUATION, data[7:9], fin=False) +
           encode_frame(CONTINUATION, data[9:]))
    with socket_with(app, board, raw, way, DEFLATE) as socket:
        assert socket.frame(Deadline()).opcode == PONG
        check_event(socket.event(), action="a")


TEXT_OF_ALL = b'{"action":"block","payload":{"x":"' + b"the quick brown fox, " * 20 + b'"}}'


def in_style(level=6, strategy=zlib.Z_DEFAULT_STRATEGY, flush=zlib.Z_SYNC_FLUSH, pieces=1):
    deflater = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    size = len(TEXT_OF_ALL) // pieces + 1
    data = b"".join(deflater.compress(TEXT_OF_ALL[at:at + size]) + (deflater.flush(flush) if flush != zlib.Z_FINISH else b"")
                    for at in range(0, len(TEXT_OF_ALL), size))
    return data[:-4] if flush != zlib.Z_FINISH else data + deflater.flush() + b"\x00"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("data", [in_style(0), in_style(strategy=zlib.Z_FIXED), in_style(), in_style(9), in_style(strategy=zlib.Z_HUFFMAN_ONLY), in_style(pieces=5),
                                  in_style(pieces=3, flush=zlib.Z_FULL_FLUSH), in_style(flush=zlib.Z_FINISH)],
                         ids=["stored", "fixed", "dynamic", "level-9", "huffman", "blocks", "full-flush", "bfinal"])
def test_section_7_2_2_every_kind_of_block_is_read(app, board, data, way):
    with socket_with(app, board, encode_frame(TEXT, data, rsv=4), way, DEFLATE) as socket:
        check_event(socket.event(), action="block", payload=json.loads(TEXT_OF_ALL)["payload"])


BROKEN_DEFLATE = {
    "6 RSV1 on a later frame": (encode_frame(TEXT, b"{", fin=False) + encode_frame(CONTINUATION, b"}", rsv=4), 1002),
    "6 RSV1 on both": (encode_frame(TEXT, compress(b"{}")[:2], fin=False, rsv=4) + encode_frame(CONTINUATION, b"", rsv=4), 1002),
    "6 RSV1 of a ping": (encode_frame(PING, b"", rsv=4), 1002),
    "6 RSV1 and RSV2": (encode_frame(TEXT, compress(b"{}"), rsv=6), 1002),
    "6 binary": (encode_frame(BINARY, compress(b"{}"), rsv=4), 1003),
    "7.2.2 garbage": (encode_frame(TEXT, b"\xff\xff\xff\xff", rsv=4), 1007),
    "7.2.2 truncated": (encode_frame(TEXT, in_style()[:-9], rsv=4), 1007),
    "7.2.2 with its tail": (encode_frame(TEXT, compress(b"{}") + b"\x00\x00\xff\xff", rsv=4), 1007),
    "7.2.2 nothing at all": (encode_frame(TEXT, b"", rsv=4), 1007),
    "7.2.2 before the message": (encode_frame(TEXT, b"\x42\x10\x00\x00", rsv=4), 1007),
    "8.1 not UTF-8": (encode_frame(TEXT, compress(b'{"action":"\xff"}'), rsv=4), 1007),
    "8 compressed limit": (long_frame(0xC1, MIB + MIB // 8 + 65), 1009),
    "8 63 bits": (long_frame(0xC1, (1 << 63) - 1), 1009),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("raw, expected", BROKEN_DEFLATE.values(), ids=BROKEN_DEFLATE.keys())
def test_section_7_2_2_broken_compression_closes_with_its_code_however_it_arrives(app, board, raw, expected, way):
    with socket_with(app, board, encode_frame(PING, b"before") + raw, way, DEFLATE) as socket:
        check_failure(socket, expected)


def test_section_7_2_3_6_an_empty_message_is_no_json(app, board):
    with deflating(app, board) as socket:
        socket.send_compressed(b"")
        assert socket.error()["reason"] == "invalid_json"
        assert socket.still_open()


@pytest.mark.parametrize("more", [0, 1])
def test_section_8_inflating_stops_at_exactly_the_message_limit(app, board, more):
    text = b'{"action":"a","payload":{"x":"' + b"y" * (MIB - 33 + more) + b'"}}'
    with deflating(app, board) as socket:
        socket.send_compressed(text)
        if more == 0:
            assert len(check_event(socket.event())["payload"]["x"]) == MIB - 33
        else:
            assert socket.close_code() == 1009


def test_section_8_a_bomb_is_1009(app, board):
    with deflating(app, board) as socket:
        bomb = compress(b'{"action":"a","payload":{"x":"' + b"a" * 30 * MIB + b'"}}')
        assert len(bomb) < 100_000
        socket.send_frame(TEXT, bomb[:50], fin=False, rsv=4)
        socket.send_frame(CONTINUATION, bomb[50:])
        assert socket.close_code() == 1009
