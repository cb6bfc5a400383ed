# SPDX-License-Identifier: Apache-2.0
"""Traces: one tree from the sender to the worker's verdict; and a collector in whatever state is nobody's trouble but its own."""
import json
import re
import secrets
import time

import pytest

from harness.certificates import make_certificates
from harness.children import free_ports
from harness.clients import request
from harness.collector import Collector
from harness.pipeline import Listener, Pipeline, Queues, check_stream, send_stream
from harness.processes import TOKEN, run_to_end
from harness.timing import scaled, wait_until
from harness.websocket import board_socket

PRODUCER, CONSUMER, ERROR = 4, 5, 2


@pytest.fixture
def collector():
    """Makes collectors that end with the test."""
    made = []

    def make(**more):
        made.append(Collector(**more))
        return made[-1]
    yield make
    for one in made:
        one.close()


@pytest.fixture
def traced(start):
    """Starts apps with the memory transport that send their traces to a URL."""
    def begin(url, settings=None, **more):
        return start("app", {"EVENT_TRANSPORT": "memory", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **(settings or {})}, **more).wait_ready()
    return begin


def new_traceparent(sampled: bool = True) -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{'01' if sampled else '00'}"


def post(port: int, board: str, message: dict, traceparent=None) -> dict:
    headers = [("Authorization", f"Bearer {TOKEN}")] + ([("traceparent", traceparent)] if traceparent else [])
    answer = request(port, "POST", f"/boards/{board}/messages", headers, json.dumps(message).encode())
    assert answer.status == 202, answer
    return answer.json()


def metric(process, name: str) -> float:
    text = process.get("/metrics").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    assert found, f"{name} is not in {text[:500]}"
    return float(found.group(1))


def dropped(process, reason: str) -> float:
    return metric(process, f'advanced_trace_spans_dropped_total{{reason="{reason}"}}')


def check_span(span: dict, kind: int) -> dict:
    assert re.fullmatch(r"[0-9a-f]{32}", span["traceId"]) and re.fullmatch(r"[0-9a-f]{16}", span["spanId"]), span
    assert span["kind"] == kind, span
    begun, ended = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
    assert abs(begun / 1e9 - time.time()) < 120 and begun <= ended < begun + 60e9, span
    return span


def test_a_message_is_one_trace_under_its_sender(traced, collector, board):
    taker = collector()
    app = traced(taker.url + "/base/", {"TELEMETRY_SERVICE_NAME": "boards of \"mine\"", "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=s3cret%20%2Bx"})
    sender = new_traceparent()
    ids = post(app.port, board, {"action": "hush-action", "user": "hush-user", "payload": {"a": "hush-payload"}, "correlation_id": "c \u20ac 1"},
               sender)
    publish, process = (check_span(taker.wait(1, name)[0], kind) for name, kind in (("publish", PRODUCER), ("process", CONSUMER)))

    _, trace_id, span_id, _ = sender.split("-")
    assert (publish["traceId"], publish["parentSpanId"]) == (trace_id, span_id)
    assert (process["traceId"], process["parentSpanId"]) == (trace_id, publish["spanId"])
    assert publish["attributes"] == {
        "messaging.system": "memory", "messaging.operation.type": "send", "messaging.destination.name": "advanced.board.events",
        "messaging.message.id": ids["event_id"], "messaging.message.conversation_id": "c \u20ac 1", "boardbus.outcome": "accepted"}
    assert process["attributes"] == {
        "messaging.system": "memory", "messaging.operation.type": "process", "messaging.destination.name": "advanced.board.events",
        "messaging.message.id": ids["event_id"], "boardbus.attempts": 1, "boardbus.verdict": "ack"}
    assert "status" not in publish and "status" not in process
    assert publish["resource"]["service.name"] == "boards of \"mine\"" and publish["resource"]["boardbus.command"] == "app"

    path, headers, _ = taker.requests[0]
    assert path == "/base/v1/traces" and headers["Content-Type"] == "application/json" and headers["x-api-key"] == "s3cret +x"
    for secret in (board, "hush", TOKEN, "s3cret"):
        assert secret not in taker.text(), secret
    assert "s3cret" not in app.stderr() + app.output()
    wait_until(lambda: metric(app, "advanced_trace_spans_exported_total") == 2, what="both are counted")
    assert app.log(event="traces_exported", level="info")


def test_a_message_of_a_socket_begins_a_trace(traced, collector, board):
    taker = collector()
    app = traced(taker.url)
    with board_socket(app.port, board) as socket:
        socket.send_json({"action": "a"})
        socket.send_json({"action": "b"})
        socket.event(), socket.event()
    publishes, processes = taker.wait(2, "publish"), taker.wait(2, "process")
    assert len({span["traceId"] for span in publishes}) == 2 and all("parentSpanId" not in span for span in publishes)
    assert {(span["traceId"], span["spanId"]) for span in publishes} == {(span["traceId"], span["parentSpanId"]) for span in processes}


def test_who_is_not_sampled_is_not_recorded(traced, collector, board):
    taker = collector()
    app = traced(taker.url)
    post(app.port, board, {"action": "unseen"}, new_traceparent(sampled=False))
    seen = post(app.port, board, {"action": "seen"}, new_traceparent())
    assert app.stop() == 0  # The last flush: whatever there is has been sent.
    assert {span["attributes"]["messaging.message.id"] for span in taker.spans()} == {seen["event_id"]}
    assert sorted(span["name"] for span in taker.spans()) == ["process", "publish"]


def test_without_telemetry_there_are_no_traces(traced, collector, board):
    taker = collector()
    app = traced(taker.url, {"TELEMETRY_ENABLED": "false"})
    post(app.port, board, {"action": "a"}, new_traceparent())
    assert app.stop() == 0
    assert taker.requests == []


def test_a_bad_endpoint_stops_the_start_with_one_line(tmp_path):
    for settings in ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, {"OTEL_EXPORTER_OTLP_HEADERS": "host=s3cret"}):
        code, out, err = run_to_end(["app"], tmp_path, settings)
        assert (code, out, err.count("\n")) == (2, "", 1) and next(iter(settings)) in err and "allowed" in err and "s3cret" not in err, err


def test_the_collectors_certificate_and_name_are_verified(traced, collector, board, tmp_path):
    make_certificates(tmp_path)
    taker = collector(certificate=tmp_path)
    # The system's store, as OpenSSL lets one name it.
    trusting = traced(taker.url, faults={"SSL_CERT_FILE": tmp_path / "ca.pem"})
    post(trusting.port, board, {"action": "a"})
    taker.wait(2)
    taken = len(taker.requests)

    for url, authority in ((taker.url, "stranger.pem"), (taker.url.replace("localhost", "127.0.0.1"), "ca.pem")):
        wary = traced(url, faults={"SSL_CERT_FILE": tmp_path / authority})
        post(wary.port, board, {"action": "a"})
        assert wary.stop() == 0
        line, = wary.log(event="traces_lost")
        assert line["spans"] == 2 and "certificate" in line["reason"], line
    assert len(taker.requests) == taken


# A collector that is away, broken or silent.

def drive(app, board: str, count: int) -> float:
    """Sends `count` messages through a socket, sees each come back in order, and returns how long that took."""
    began = time.monotonic()
    with board_socket(app.port, board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, count)
        check_stream(listener.wait(count), count)
    return time.monotonic() - began


def stop_in_time(app) -> None:
    began = time.monotonic()
    assert app.stop(scaled(10)) == 0
    assert time.monotonic() - began < scaled(9), "later than the grace"
    assert not app.log(event="stopped_late") and app.log(event="stopped")


def test_a_collector_that_is_away_costs_its_spans_only(traced, board):
    app = traced(f"http://127.0.0.1:{free_ports(1)[0]}")
    drive(app, board, 300)
    wait_until(lambda: dropped(app, "unreachable") > 0, 30, "a batch is given up")
    assert app.get("/readyz").status == 200
    line, = app.log(event="traces_lost", level="warn")
    assert "refused" in line["reason"].lower(), line
    drive(app, board + "-2", 300)
    stop_in_time(app)
    assert len(app.log(event="traces_lost")) == 1, "one line for one cause"


def test_spans_flow_again_when_the_collector_is_back(traced, collector, board):
    taker = collector(status=500)
    app = traced(taker.url)
    post(app.port, board, {"action": "lost"})
    wait_until(lambda: dropped(app, "refused") >= 2, 20, "refused spans are counted")
    line, = app.log(event="traces_lost")
    assert "HTTP 500" in line["reason"], line
    taker.status = 200
    ids = post(app.port, board, {"action": "kept"})
    wait_until(lambda: any(span["attributes"]["messaging.message.id"] == ids["event_id"] for span in taker.spans("process")), 20)
    wait_until(lambda: app.log(event="traces_exported"), what="the log says that it is well again")
    ids = [span["spanId"] for span in taker.spans()]
    assert len(ids) == len(set(ids)) == 4, "a 500 must not be tried again"
    stop_in_time(app)


def test_a_silent_collector_fills_a_bounded_buffer(traced, collector, board):
    taker = collector(status=None)
    app = traced(taker.url)
    drive(app, board, 4000)
    # 8,000 spans: at most 512 are in hand, 2,048 wait, and nobody has taken any.
    full = dropped(app, "full")
    assert 8000 - 512 - 2048 <= full < 8000 - 2048
    assert metric(app, "advanced_trace_spans_exported_total") == 0
    assert drive(app, board + "-2", 100) < scaled(10)
    assert dropped(app, "full") == full + 200
    stop_in_time(app)
    line, = app.log(event="traces_lost")
    assert line["spans"] == 8000 - full, line


# Through the brokers.

@pytest.fixture
def own(brokers, start, names):
    """A pipeline with names of its own whose app and worker send their traces to `url`; its queues are taken away afterwards."""
    made = []

    def build(url, **more):
        made.append(Pipeline(start, brokers, names, {"OTEL_EXPORTER_OTLP_ENDPOINT": url}, **more))
        return made[-1]
    yield build
    for one in made:
        one.remove_queues()


@pytest.mark.brokers
def test_app_and_worker_make_one_trace(own, brokers, names, collector, board):
    taker = collector()
    pipeline = own(taker.url, faults={"BOARDBUS_FAULT_FAIL": "processor.message=flaky:1"})
    queues = Queues(brokers, names)
    spy = queues.spy(names.exchange)
    sender = new_traceparent()
    ids = post(pipeline.port, board, {"action": "flaky"}, sender)
    copies = spy.wait(1)
    publish = check_span(taker.wait(1, "publish")[0], PRODUCER)
    first, second = (check_span(span, CONSUMER) for span in taker.wait(2, "process"))
    queues.close()

    _, trace_id, span_id, _ = sender.split("-")
    assert (publish["traceId"], publish["parentSpanId"]) == (trace_id, span_id)
    assert copies[0][1].headers["traceparent"] == f"00-{trace_id}-{publish['spanId']}-01"
    assert [(span["traceId"], span["parentSpanId"]) for span in (first, second)] == [(trace_id, publish["spanId"])] * 2
    assert first["spanId"] != second["spanId"]
    assert publish["attributes"]["messaging.system"] == first["attributes"]["messaging.system"] == "rabbitmq"
    assert publish["attributes"]["messaging.destination.name"] == names.exchange
    assert first["attributes"]["messaging.destination.name"] == names.queue
    assert [(span["attributes"]["boardbus.verdict"], span["attributes"]["boardbus.attempts"]) for span in (first, second)] == \
        [("retry", 1), ("ack", 2)]
    assert first["status"]["code"] == ERROR and "status" not in second
    assert {span["attributes"]["messaging.message.id"] for span in (publish, first, second)} == {ids["event_id"]}
    assert (publish["resource"]["boardbus.command"], first["resource"]["boardbus.command"]) == ("app", "worker")
    assert pipeline.worker.stop() == 0 and pipeline.app.stop() == 0


@pytest.mark.brokers
def test_what_rabbitmq_did_not_take_is_an_error_span(own, whole_brokers, collector, board):
    taker = collector()
    pipeline = own(taker.url, worker=False)
    whole_brokers.rabbitmq.stop_node()
    pipeline.app.wait_not_ready()
    answer = pipeline.post(board, {"action": "a"})
    assert answer.status == 503
    span = check_span(taker.wait(1, "publish")[0], PRODUCER)
    assert span["status"] == {"code": ERROR, "message": "not connected"} and span["attributes"]["boardbus.outcome"] == "rejected"
    whole_brokers.restore()


@pytest.mark.brokers
def test_a_worker_does_not_mind_a_silent_collector(own, collector, board):
    taker = collector(status=None)
    pipeline = own(taker.url)
    drive(pipeline, board, 3000)
    wait_until(lambda: dropped(pipeline.worker, "full") >= 3000 - 512 - 2048, what="drops of the worker are counted")
    for process in (pipeline.worker, pipeline.app):
        began = time.monotonic()
        assert process.stop(scaled(10)) == 0
        assert time.monotonic() - began < scaled(9), "later than the grace"
