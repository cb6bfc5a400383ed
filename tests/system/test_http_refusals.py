# SPDX-License-Identifier: Apache-2.0
"""Requests that are malformed, too large or too slow: what the HTTP edge says, and that the connection ends. Memory transport."""
import time

import pytest

from harness.clients import Ended, Wire, read_response, request, request_bytes
from harness.processes import TOKEN
from harness.timing import scaled

BEARER = ("Authorization", f"Bearer {TOKEN}")
POST_HEAD = b"POST /boards/b/messages HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("raw", [
    POST_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    POST_HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    POST_HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    POST_HEAD + b"Content-Length: abc\r\n\r\n",
    POST_HEAD + b"Content-Length: -1\r\n\r\n",
    POST_HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Nul: a\x00b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
], ids=["length-and-chunked", "chunked-and-length", "two-lengths", "length-word", "length-negative", "length-huge", "space-before-colon",
        "nul-in-header", "no-colon", "no-host", "two-hosts", "space-in-target", "short-line", "binary", "tls", "http2"])
def test_a_malformed_request_is_refused_and_the_connection_ends(app, raw):
    with Wire(app.port) as wire:
        wire.send(raw)
        response = read_response(wire)
        assert response.status in (400, 413, 501, 505), response.head
        try:
            assert wire.wait_ended() == b"", "what followed was taken for a request"
        except Ended:
            pass


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\nx\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"3\r\nabcX\r\n0\r\n\r\n"])
def test_a_malformed_chunk_is_refused(app, body):
    with Wire(app.port) as wire:
        wire.send(b"POST /boards/b/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() +
                  b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert read_response(wire).status in (400, 413)
        wire.wait_ended()


def test_a_header_that_is_too_large_is_431(app):
    for raw in (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 200_000 + b"\r\n\r\n",
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 20_000 + b"\r\n"):
        with Wire(app.port) as wire:
            try:
                wire.send(raw)
            except Ended:
                pass  # It may refuse before it has read all.
            assert read_response(wire).status == 431


def test_a_target_that_is_too_long_is_refused(app):
    with Wire(app.port) as wire:
        try:
            wire.send(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        except Ended:
            pass
        assert read_response(wire).status in (414, 431)


def test_a_body_that_is_too_large_is_413_before_it_is_sent(app):
    with Wire(app.port) as wire:
        wire.send(request_bytes("POST", "/boards/b/messages", [BEARER, ("Content-Length", 50_000_000)]))
        assert read_response(wire).status == 413


def test_a_chunked_body_that_grows_too_large_is_413(app):
    with Wire(app.port) as wire:
        wire.send(request_bytes("POST", "/boards/b/messages", [BEARER, ("Transfer-Encoding", "chunked")]))
        try:
            for _ in range(40):
                wire.send(b"10000\r\n" + b"a" * 65536 + b"\r\n")
        except Ended:
            pass
        assert read_response(wire).status == 413


@pytest.fixture(scope="module")
def hasty_app(start_shared):
    return start_shared("app", {"EVENT_TRANSPORT": "memory", "HTTP_HEADER_TIMEOUT_SECONDS": "1",
                                "HTTP_IDLE_TIMEOUT_SECONDS": "1"}).wait_ready()


@pytest.mark.parametrize("raw", [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half", b"G",
    request_bytes("POST", "/boards/b/messages", [BEARER, ("Content-Length", 100)]) + b'{"action"',
], ids=["half-a-header", "one-byte", "half-a-body"])
def test_a_request_that_stops_halfway_is_408(hasty_app, raw):
    begin = time.monotonic()
    with Wire(hasty_app.port) as wire:
        wire.send(raw)
        assert read_response(wire).status == 408
        wire.wait_ended()
    assert time.monotonic() - begin > 0.8


def test_trickled_headers_do_not_extend_the_deadline(hasty_app):
    with Wire(hasty_app.port) as wire:
        begin = time.monotonic()
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(Ended):
            while time.monotonic() - begin < scaled(5):
                wire.send(b"X-Drip: 1\r\n")
                time.sleep(0.2)
        assert time.monotonic() - begin < scaled(4)


def test_an_idle_connection_is_closed_without_a_word(hasty_app):
    for first in (b"", request_bytes("GET", "/healthz")):
        with Wire(hasty_app.port) as wire:
            if first:
                wire.send(first)
                assert read_response(wire).status == 200
            assert wire.wait_ended() == b""
