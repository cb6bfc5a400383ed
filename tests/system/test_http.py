# SPDX-License-Identifier: Apache-2.0
"""The HTTP edge to the byte: routes, connections, headers, limits, posts. Memory transport."""
import json
import re

import pytest

from harness.clients import Wire, exchange, get, read_response, request, request_bytes
from harness.eventstream import EventStream
from harness.messages import UUID, check_event
from harness.processes import TOKEN
from harness.websocket import board_socket

BEARER = ("Authorization", f"Bearer {TOKEN}")
MESSAGE = b'{"action":"card_add","payload":{"n":1}}'
SECURITY_HEADERS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains; preload", "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}


def post(app, board, body=MESSAGE, headers=(BEARER,)):
    return request(app.port, "POST", f"/boards/{board}/messages", headers, body)


# Routes.

def test_healthz_says_ok(app):
    response = app.get("/healthz")
    assert (response.status, response.json()) == (200, {"status": "ok"})


def test_readyz_says_ready_with_the_memory_transport(app):
    response = app.get("/readyz")
    assert (response.status, response.json()) == (200, {"status": "ready", "event_pipeline_ready": True})


@pytest.mark.parametrize("path", ["/nope", "/healthz/", "/sse", "/boards/x", "//", "/%2e%2e/etc/passwd", "/../etc/passwd", "/healthz%00"])
def test_an_unknown_path_is_404_in_json(app, path):
    response = app.get(path)
    assert response.status == 404 and "detail" in response.json()


@pytest.mark.parametrize("method, path, allowed", [
    ("POST", "/healthz", "GET"), ("DELETE", "/", "GET"), ("PUT", "/sse/activity", "GET"), ("GET", "/boards/x/messages", "POST"),
    ("PATCH", "/metrics", "GET"), ("POST", "/ws/boards/x", "GET"), ("BREW", "/readyz", "GET")])
def test_a_wrong_method_is_405_and_says_what_is_allowed(app, method, path, allowed):
    response = request(app.port, method, path, body=b"" if method != "GET" else None)
    assert response.status == 405
    assert allowed in [name.strip() for name in response.header("Allow").split(",")]
    assert method not in response.header("Allow")


def test_a_query_does_not_change_the_route(app):
    assert app.get("/healthz?x=1&y").status == 200


def test_an_absolute_target_is_understood(app):
    assert exchange(app.port, b"GET http://example.org/healthz HTTP/1.1\r\nHost: example.org\r\n\r\n").status == 200


# The page.

def test_the_page_has_a_policy_and_no_inline_script(app):
    page = app.get("/")
    text = page.body.decode()
    assert page.status == 200 and page.header("Content-Type").startswith("text/html")
    assert "default-src 'self'" in page.header("Content-Security-Policy")
    assert "unsafe-inline" not in page.header("Content-Security-Policy").split("style-src")[0]
    for script in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in script, script
    assert not re.search(r"\son\w+\s*=", text) and "javascript:" not in text
    for source in re.findall(r'(?:src|href)="(/[^"]*)"', text):
        assert app.get(source).status == 200, source


def test_the_title_is_escaped_and_the_token_hint_is_shown_only_while_it_is_the_default(app, start):
    other = start("app", {"EVENT_TRANSPORT": "memory", "PROJECT_NAME": "<script>alert('x')</script>&\"",
                          "REALTIME_TOKEN": "change-me-realtime"}).wait_ready()
    page = other.get("/").body.decode()
    assert "<script>alert" not in page and "&lt;script&gt;" in page
    assert "change-me-realtime" in page
    assert TOKEN not in app.get("/").body.decode()


# Connections.

def test_a_connection_serves_many_requests_in_turn(app):
    with Wire(app.port) as wire:
        for path, status in [("/healthz", 200), ("/nope", 404), ("/readyz", 200)]:
            wire.send(request_bytes("GET", path))
            assert read_response(wire).status == status


def test_pipelined_requests_are_answered_in_order(app):
    with Wire(app.port) as wire:
        wire.send(b"".join(request_bytes("GET", path) for path in ["/healthz", "/nope", "/readyz", "/", "/healthz"]))
        assert [read_response(wire).status for _ in range(5)] == [200, 404, 200, 200, 200]


def test_pipelined_posts_are_each_confirmed(app, board):
    with Wire(app.port) as wire:
        wire.send(b"".join(request_bytes("POST", f"/boards/{board}/messages", [BEARER],
                                         b'{"action":"a","correlation_id":"%s-%d"}' % (board.encode(), n)) for n in range(20)))
        answers = [read_response(wire) for _ in range(20)]
    assert [answer.json()["correlation_id"] for answer in answers] == [f"{board}-{n}" for n in range(20)]


def test_a_request_may_come_byte_by_byte(app):
    with Wire(app.port) as wire:
        for byte in request_bytes("GET", "/healthz"):
            wire.send(bytes([byte]))
        assert read_response(wire).status == 200


def test_head_has_the_headers_of_get_and_no_body(app):
    with Wire(app.port) as wire:
        for path in ("/healthz", "/", "/nope"):
            wire.send(request_bytes("GET", path))
            full = read_response(wire)
            wire.send(request_bytes("HEAD", path))
            short = read_response(wire, head_only=True)
            assert short.status == full.status
            assert short.header("Content-Length") == full.header("Content-Length")
            assert short.header("Content-Type") == full.header("Content-Type")
        wire.send(request_bytes("GET", "/healthz"))
        assert read_response(wire).json() == {"status": "ok"}


@pytest.mark.parametrize("raw", [b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET /healthz HTTP/1.0\r\n\r\n"])
def test_the_connection_ends_when_the_client_wants_that(app, raw):
    with Wire(app.port) as wire:
        wire.send(raw)
        assert read_response(wire).status == 200
        assert wire.wait_ended() == b""


def test_expect_100_continue_is_answered_before_the_body(app, board):
    with Wire(app.port) as wire:
        wire.send(request_bytes("POST", f"/boards/{board}/messages",
                                [BEARER, ("Expect", "100-continue"), ("Content-Length", len(MESSAGE))]))
        assert read_response(wire).status == 100
        wire.send(MESSAGE)
        assert read_response(wire).status == 202


# Headers.

def refused_requests(app):
    yield get(app.port, "/healthz")
    yield get(app.port, "/")
    yield get(app.port, "/nope")
    yield request(app.port, "POST", "/healthz", body=b"")
    yield get(app.port, "/sse/activity")
    yield request(app.port, "POST", "/boards/b/messages", body=b"{}")
    yield post(app, "b", b"not json")
    yield post(app, "b", b"{}")
    yield exchange(app.port, b"GET / HTTP/1.1\r\n\r\n")
    yield exchange(app.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n")
    yield get(app.port, "/metrics")


def test_every_response_has_the_security_headers_and_no_server_header(app):
    statuses = []
    for response in refused_requests(app):
        statuses.append(response.status)
        for name, value in SECURITY_HEADERS.items():
            assert response.header(name) == value, f"{name} on {response.status}: {response.headers}"
        assert "default-src 'self'" in response.header("Content-Security-Policy")
        assert response.header("Server") is None and response.header("Cross-Origin-Embedder-Policy") is None
    assert set(statuses) >= {200, 400, 401, 404, 405, 422}
    with EventStream(app.port) as stream:
        assert stream.response.header("X-Content-Type-Options") == "nosniff"


def test_security_headers_can_be_changed_and_switched_off(start):
    changed = start("app", {"EVENT_TRANSPORT": "memory", "X_FRAME_OPTIONS": "SAMEORIGIN", "CROSS_ORIGIN_EMBEDDER_POLICY": "require-corp"})
    off = start("app", {"EVENT_TRANSPORT": "memory", "SECURITY_HEADERS_ENABLED": "false"})
    answer = changed.wait_alive().get("/healthz")
    assert (answer.header("X-Frame-Options"), answer.header("Cross-Origin-Embedder-Policy")) == ("SAMEORIGIN", "require-corp")
    answer = off.wait_alive().get("/healthz")
    assert answer.header("X-Frame-Options") is None and answer.header("Strict-Transport-Security") is None


def test_cors_names_allowed_origins_and_no_others(app):
    allowed = app.get("/healthz", [("Origin", "http://localhost:3000")])
    assert allowed.header("Access-Control-Allow-Origin") == "http://localhost:3000"
    assert "Origin" in allowed.header("Vary")
    assert {"Retry-After", "X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining"} == \
        {name.strip() for name in allowed.header("Access-Control-Expose-Headers").split(",")}
    assert allowed.header("Access-Control-Allow-Credentials") is None
    for origin in ("http://evil.example", "http://localhost:3000.evil.example", "null", "http://localhost:30000"):
        assert app.get("/healthz", [("Origin", origin)]).header("Access-Control-Allow-Origin") is None
    assert app.get("/healthz").header("Access-Control-Allow-Origin") is None


def test_a_preflight_is_answered(app):
    preflight = [("Origin", "http://localhost:5173"), ("Access-Control-Request-Method", "GET"),
                 ("Access-Control-Request-Headers", "authorization")]
    answer = request(app.port, "OPTIONS", "/sse/activity", preflight)
    assert answer.status in (200, 204)
    assert answer.header("Access-Control-Allow-Origin") == "http://localhost:5173"
    assert {name.strip() for name in answer.header("Access-Control-Allow-Methods").split(",")} == {"GET", "HEAD", "OPTIONS"}
    assert "authorization" in answer.header("Access-Control-Allow-Headers").lower()
    assert answer.header("Access-Control-Max-Age") == "600"
    refused = request(app.port, "OPTIONS", "/sse/activity", [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "GET")])
    assert refused.header("Access-Control-Allow-Origin") is None


# Rate limits.

def limited_app(start, **settings):
    return start("app", {"EVENT_TRANSPORT": "memory", "RATE_LIMIT_DEFAULT": "5/minute", **settings}).wait_ready()


def test_the_sixth_of_five_is_429(start):
    app = limited_app(start)
    answers = [app.get("/nope") for _ in range(6)]
    assert [answer.status for answer in answers] == [404] * 5 + [429]
    assert [answer.header("X-RateLimit-Remaining") for answer in answers] == ["4", "3", "2", "1", "0", "0"]
    assert {answer.header("X-RateLimit-Limit") for answer in answers} == {"5"}
    assert all(int(answer.header("X-RateLimit-Reset")) > 0 for answer in answers)
    assert answers[5].json() == {"detail": "Rate limit exceeded"}
    assert 1 <= int(answers[5].header("Retry-After")) <= 60
    for exempt in ("/healthz", "/readyz", "/metrics"):
        assert app.get(exempt).status == 200
    with board_socket(app.port, "b") as socket:  # A handshake does not count.
        socket.send_json({"action": "a"})
        check_event(socket.event(), action="a")
    assert re.search(r"^advanced_http_rate_limit_rejections_total(\{[^}]*\})? [1-9]", app.get("/metrics").body.decode(), re.M)


def test_failed_authentications_count(start):
    app = limited_app(start)
    for _ in range(5):
        with board_socket(app.port, "b", token="wrong") as socket:
            assert socket.close_code() == 4401
    assert app.get("/nope").status == 429


def test_rate_limit_headers_can_be_switched_off(start):
    app = limited_app(start, RATE_LIMIT_HEADERS_ENABLED="false")
    answers = [app.get("/nope") for _ in range(6)]
    assert answers[5].status == 429
    assert all(answer.header("X-RateLimit-Limit") is None for answer in answers)


def test_streams_have_their_own_limit(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "ACTIVITY_STREAM_RATE_LIMIT": "2/minute"}).wait_ready()
    streams = [EventStream(app.port) for _ in range(3)]
    assert [stream.response.status for stream in streams] == [200, 200, 429]
    for stream in streams:
        stream.wire.close()
    assert app.get("/nope").status == 404


def test_only_a_trusted_proxy_may_name_the_client(start):
    trusting = limited_app(start, TRUSTED_PROXIES="127.0.0.0/8")
    plain = limited_app(start)
    asked = [("10.0.0.1", 5), ("10.0.0.2", 5), ("10.0.0.1", 1)]
    statuses = {}
    for app in (trusting, plain):
        statuses[app.port] = [app.get("/nope", [("X-Forwarded-For", client)]).status for client, times in asked for _ in range(times)]
    assert statuses[trusting.port] == [404] * 10 + [429]
    assert statuses[plain.port] == [404] * 5 + [429] * 6


# Metrics.

def test_metrics_have_the_base_names_and_no_text_of_a_client(app, board):
    assert post(app, board).status == 202
    app.get("/very-secret-path-9321")
    request(app.port, "BREW", "/healthz")
    answer = app.get("/metrics")
    text = answer.body.decode()
    assert answer.status == 200 and answer.header("Content-Type").startswith("text/plain")
    for line in (r'^advanced_http_requests_total\{[^}]*\} \d', r'^advanced_http_request_duration_seconds_bucket\{[^}]*le=',
                 r'^advanced_board_events_published_total\{[^}]*status="[a-z_]+"[^}]*\} [1-9]',
                 r'^advanced_board_event_publish_duration_seconds_count\{[^}]*status='):
        assert re.search(line, text, re.M), f"{line} in:\n{text[:3000]}"
    sample = re.search(r'^advanced_http_requests_total\{([^}]*)\}', text, re.M)[1]
    assert {label.split("=")[0] for label in sample.split(",")} == {"http_route", "http_method", "http_status_code"}
    for secret in ("very-secret-path", board, "BREW", "127.0.0.1", TOKEN):
        assert secret not in text


def test_metrics_can_be_switched_off_and_moved(start):
    off = start("app", {"EVENT_TRANSPORT": "memory", "TELEMETRY_ENABLED": "false"})
    moved = start("app", {"EVENT_TRANSPORT": "memory", "METRICS_PATH": "/internal/metrics"})
    answer = off.wait_alive().get("/metrics")
    assert answer.status == 503 and b"telemetry disabled" in answer.body
    assert moved.wait_alive().get("/internal/metrics").status == 200
    assert moved.get("/metrics").status == 404


# POST /boards/{id}/messages.

def test_a_posted_message_is_confirmed_and_arrives(app, board):
    with board_socket(app.port, board) as socket:
        answer = post(app, board, b'{"action":"a","correlation_id":"c-77","user":"ann"}')
        assert answer.status == 202 and set(answer.json()) == {"event_id", "correlation_id"}
        assert answer.json()["correlation_id"] == "c-77" and UUID.match(answer.json()["event_id"])
        check_event(socket.event(), id=answer.json()["event_id"], correlation_id="c-77", board=board, user="ann", active_connections=1)
        assert UUID.match(post(app, board).json()["correlation_id"])


def test_a_chunked_body_is_taken(app, board):
    with Wire(app.port) as wire:
        wire.send(request_bytes("POST", f"/boards/{board}/messages", [BEARER, ("Transfer-Encoding", "chunked")]) +
                  b"5\r\n{\"act\r\na;ext=1\r\nion\": \"a\"}\r\n0\r\nTrailer: x\r\n\r\n")
        assert read_response(wire).status == 202


@pytest.mark.parametrize("headers", [(), [("Authorization", "Bearer wrong")], [("Authorization", TOKEN)], [("Authorization", f"Basic {TOKEN}")],
                                     [("Authorization", "Bearer")], [("Authorization", f"Bearer {TOKEN}x")]])
def test_a_post_without_the_token_is_401(app, headers):
    answer = post(app, "b", headers=headers)
    assert answer.status == 401 and "detail" in answer.json()


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"x"', b'{"action":"a"', b'{"action":NaN}', b'{"action":"\xff"}', b"{" * 10_000,
                                  b'{"action":"a","payload":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001],
                         ids=["empty", "word", "array", "string", "open", "nan", "not-utf8", "braces", "deep"])
def test_a_posted_body_that_is_no_json_object_is_400(app, body):
    answer = post(app, "b", body)
    assert answer.status == 400 and "detail" in answer.json()


def test_a_posted_message_that_is_invalid_is_422_with_the_list(app):
    answer = post(app, "b", b'{"payload":[]}')
    assert answer.status == 422
    assert [(one["loc"], one["type"]) for one in answer.json()["detail"]] == [(["action"], "missing"), (["payload"], "dict_type")]


@pytest.mark.parametrize("board", ["%ff", "%zz", "%", "a" * 257, "%41" * 300, "x/y", ""])
def test_a_board_that_cannot_be_is_404(app, board):
    assert post(app, board).status == 404


def test_a_board_may_be_percent_encoded_and_256_bytes_long(app):
    for path, board in [("caf%C3%A9%2Fx%20y", "café/x y"), ("%61" * 256, "a" * 256)]:
        with board_socket(app.port, path) as socket:
            assert post(app, path).status == 202
            check_event(socket.event(), board=board)


def test_a_message_of_one_mebibyte_is_taken_and_one_more_byte_is_not(app, board):
    def body(size):
        frame = b'{"action":"a","payload":{"x":""}}'
        return frame.replace(b'""', b'"' + b"y" * (size - len(frame)) + b'"')
    assert post(app, board, body(1_048_576)).status == 202
    assert post(app, board, body(1_048_577)).status == 413


# Logs.

def test_no_token_ever_gets_into_the_log(start):
    app = start("app", {"EVENT_TRANSPORT": "memory", "LOG_LEVEL": "debug"}).wait_ready()
    with board_socket(app.port, "b") as socket:
        socket.send_json({"action": "a"})
        socket.event()
    with board_socket(app.port, "b", token="wr0ng-s3cret") as socket:
        assert socket.close_code() == 4401
    with EventStream(app.port, f"/sse/activity?token={TOKEN}", token=None) as stream:
        assert stream.response.status == 200
    for headers in ([BEARER], [("Authorization", "Bearer wr0ng-s3cret")]):
        post(app, "b", headers=headers)
    exchange(app.port, b"GET /?token=" + TOKEN.encode() + b" HTTP/9.9\r\nHost: x\r\n\r\n")
    assert app.stop() == 0
    text = app.stderr() + app.output()
    assert text.strip() and TOKEN not in text and "wr0ng-s3cret" not in text


def test_log_lines_are_json_objects(app):
    lines = [line for line in app.stderr().splitlines() if line.strip()]
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)
