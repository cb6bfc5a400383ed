# SPDX-License-Identifier: Apache-2.0
"""What RabbitMQ and Redis see of us, and what we do when they hold something strange."""
import json
import re
import time
from decimal import Decimal

import pytest

from harness.brokers import isolated_names
from harness.eventstream import EventStream
from harness.messages import UUID, check_event
from harness.pipeline import ChannelListener, Pipeline, Queues, check_stream, envelope, send_stream
from harness.processes import run_to_end
from harness.timing import scaled, wait_until

pytestmark = pytest.mark.brokers

SIXTEEN_MIB = 16 * 1024 * 1024
FAULTS = {"BOARDBUS_FAULT_FAIL": "processor.message=doomed"}


@pytest.fixture(scope="module")
def pipeline(brokers, start_shared):
    """One pipeline for every test that needs nothing special. Messages with the action `doomed` fail for ever."""
    made = Pipeline(start_shared, brokers, isolated_names(), faults=FAULTS)
    yield made
    made.remove_queues()


@pytest.fixture
def queues(brokers, pipeline):
    made = Queues(brokers, pipeline.names)
    yield made
    made.close()


# The topology.

def arguments_of(row) -> dict:
    """rabbitmqctl writes arguments as a map or as [name, type, value] triples."""
    value = row["arguments"]
    return value if isinstance(value, dict) else {name: what for name, _, what in value}


def declared(brokers, names):
    queues = {row["name"]: row for row in brokers.rabbitmq.listed("queues", "name", "durable", "type", "arguments")
              if row["name"].startswith(names.queue)}
    exchanges = {row["name"]: row for row in brokers.rabbitmq.listed("exchanges", "name", "type", "durable")
                 if row["name"].startswith(names.queue)}
    bindings = {(row["source_name"], row["routing_key"], row["destination_name"])
                for row in brokers.rabbitmq.listed("bindings", "source_name", "routing_key", "destination_name")
                if row["source_name"].startswith(names.queue)}
    return queues, exchanges, bindings


def test_the_topology_is_as_declared(own, brokers, names):
    own({"RABBITMQ_MAX_RETRIES": "3"})
    queues, exchanges, bindings = declared(brokers, names)
    stem = names.queue
    assert set(exchanges) == {stem, f"{stem}.retry", f"{stem}.dlq"}
    assert all(row["type"] == "topic" and row["durable"] for row in exchanges.values())
    levels = [f"{stem}.retry", f"{stem}.retry.2", f"{stem}.retry.3"]
    assert set(queues) == {stem, f"{stem}.dlq", *levels}
    assert all(row["durable"] and "quorum" in row["type"] for row in queues.values())
    assert bindings == {(stem, "boards.activity", stem), (f"{stem}.dlq", "boards.activity.dlq", f"{stem}.dlq"),
                        (f"{stem}.retry", "boards.activity.retry", levels[0]), (f"{stem}.retry", "boards.activity.retry.2", levels[1]),
                        (f"{stem}.retry", "boards.activity.retry.3", levels[2])}
    main = arguments_of(queues[stem])
    assert (main["x-queue-type"], main["x-single-active-consumer"], main["x-delivery-limit"]) == ("quorum", True, 1000)
    assert "x-max-length" not in main and "x-max-length-bytes" not in main
    for level in levels:
        assert arguments_of(queues[level]) == {
            "x-queue-type": "quorum", "x-dead-letter-exchange": stem, "x-dead-letter-routing-key": "boards.activity",
            "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    assert arguments_of(queues[f"{stem}.dlq"]) == {"x-queue-type": "quorum", "x-delivery-limit": 1000000}


def test_the_classic_topology_has_what_classic_can(own, brokers, names, board):
    pipeline = own({"RABBITMQ_QUEUE_TYPE": "classic", "RABBITMQ_SINGLE_ACTIVE_CONSUMER": "false"},
                   faults={"BOARDBUS_FAULT_FAIL": "processor.message=flaky:1"})
    queues, _, _ = declared(brokers, names)
    assert all("classic" in row["type"] and row["durable"] for row in queues.values())
    assert "x-single-active-consumer" not in arguments_of(queues[names.queue])
    level = arguments_of(queues[names.retry_queue])
    assert (level["x-dead-letter-exchange"], level["x-dead-letter-routing-key"]) == (names.exchange, "boards.activity")
    assert not {"x-dead-letter-strategy", "x-delivery-limit"} & set(level)
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "flaky"})
        check_event(socket.event(), action="flaky")


def test_a_foreign_main_queue_is_used_as_it_is(brokers, own, own_queues, names, board):
    own_queues.channel.queue_declare(names.queue, durable=True)
    own_queues.channel.queue_declare(names.dlq_queue, durable=True, arguments={"x-max-length": 100000})
    pipeline = own(faults={"BOARDBUS_FAULT_FAIL": "processor.message=doomed"})
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "a"})
        check_event(socket.event(), action="a")
        socket.send_json({"action": "doomed"})
        properties, _ = own_queues.dead_letter()
        assert properties.headers["failure_reason"] == "retries_exhausted"
    for process in (pipeline.app, pipeline.worker):
        about = [line for line in process.log() if line["level"].lower() == "error" and names.queue in line.values()]
        assert len(about) == 1, process.log()
        assert pipeline.metric(process, "advanced_topology_mismatch") >= 1
    own_queues.channel.queue_declare(names.queue, durable=True)  # Still what it was, or this would fail.


def test_a_foreign_level_queue_is_stepped_around(brokers, own, own_queues, names, board):
    own_queues.channel.queue_declare(names.retry_queue, durable=True)  # Messages in it would stay there for ever.
    pipeline = own(faults={"BOARDBUS_FAULT_FAIL": "processor.message=flaky:1"})
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "flaky"})
        check_event(socket.event(), action="flaky")
    assert own_queues.depth(names.retry_queue) == 0
    own_queues.channel.queue_declare(f"{names.retry_queue}.bb", passive=True)
    assert [line["level"].lower() for line in pipeline.worker.log(name=names.retry_queue)] == ["error"]
    own_queues.channel.queue_delete(f"{names.retry_queue}.bb")


def test_the_app_alone_declares_so_that_nothing_published_is_lost(own, own_queues, names, board):
    pipeline = own(worker=False)
    assert pipeline.post(board, {"action": "a"}).status == 202
    wait_until(lambda: own_queues.depth(names.queue) == 1, what="the message in the queue")


# What a message looks like to others.

def test_the_envelope_and_its_properties(own, own_queues, names, board):
    pipeline = own(worker=False)
    spy = own_queues.spy(names.exchange)
    before = time.time()
    answer = pipeline.post(board, {"action": "card_add", "payload": {"n": 1}, "user": " ann ", "message": "hi", "correlation_id": "c-1"}).json()
    pipeline.post(board, {"action": "b"})
    _, properties, body = spy.wait(2)[0]
    sealed = json.loads(body)
    assert set(sealed) == {"event_id", "board_id", "message", "published_at", "correlation_id", "idempotency_key"}
    assert (sealed["event_id"], sealed["board_id"], sealed["correlation_id"], sealed["idempotency_key"]) == (answer["event_id"], board, "c-1", "c-1")
    assert sealed["message"]["action"] == "card_add" and sealed["message"]["user"] == "ann" and sealed["message"]["correlation_id"] == "c-1"
    assert sealed["message"]["payload"]["n"] == 1
    assert re.match(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)$", sealed["published_at"])
    assert (properties.content_type, properties.delivery_mode, properties.message_id) == ("application/json", 2, answer["event_id"])
    assert abs(properties.timestamp - before) < scaled(10)
    assert properties.headers["correlation_id"] == properties.headers["idempotency_key"] == "c-1"
    assert re.match(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$", properties.headers["traceparent"])
    second = json.loads(spy.copies[1][2])
    assert UUID.match(second["correlation_id"]) and second["idempotency_key"] == second["correlation_id"] == second["message"]["correlation_id"]


def test_what_goes_over_the_channel(brokers, pipeline, board):
    channel = ChannelListener(brokers, pipeline.names)
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "a", "payload": {"n": 1}})
        at_socket = socket.event()
        on_channel = [event for event in channel.wait(1) if event["board"] == board][0]
    channel.close()
    check_event(on_channel, active_connections=0)
    assert {**at_socket, "active_connections": 0} == on_channel
    key = f"{pipeline.names.prefix}:{at_socket['correlation_id']}"
    assert 0 < brokers.redis.client().ttl(key) <= 600


def test_an_event_of_the_forerunner_is_delivered_as_it_comes(brokers, pipeline, board):
    with pipeline.socket(board) as socket, pipeline.socket(board), EventStream(pipeline.port, f"/sse/boards/{board}") as stream:
        event = {"kind": "board_event", "active_connections": 0, "correlation_id": "c", "timestamp": "2026-01-02T03:04:05Z",
                 "payload": {"z": 1.50, "a": "é"}, "user": "bob", "action": "x\ny", "board": board, "id": "old-1"}
        brokers.redis.client().publish(pipeline.names.channel, json.dumps(event))
        assert socket.event() == {**event, "active_connections": 2}
        block = stream.next()
        assert (block.id, block.event, block.json()) == ("old-1", "x y", {**event, "active_connections": 2})


@pytest.mark.parametrize("message", [b"", b"not json", b"[]", b"{}", b'{"board":5}', b"\xff\xfe", b'{"board":"x","action":', b"null", b"{" * 5000,
                                     b'{"board":"x"}', b'{"board":"x","action":7,"id":{}}'])
def test_nonsense_on_the_channel_hurts_nobody(brokers, pipeline, board, message):
    with pipeline.socket(board) as socket, EventStream(pipeline.port) as stream:
        brokers.redis.client().publish(pipeline.names.channel, message)
        socket.send_json({"action": f"after-{board}"})
        check_event(socket.event(), action=f"after-{board}")
        wait_until(lambda: stream.next().event == f"after-{board}", what="the event after it")


def test_a_hostile_id_on_the_channel_cannot_start_a_field(brokers, pipeline, board):
    with EventStream(pipeline.port, f"/sse/boards/{board}") as stream:
        event = {"id": "x\r\nevent: forged\n\n\0", "board": board, "action": "a\r\nid: 7", "user": "u", "payload": {}, "timestamp": "t",
                 "correlation_id": "c", "kind": "board_event", "active_connections": 0}
        brokers.redis.client().publish(pipeline.names.channel, json.dumps(event))
        block = stream.next()
        assert block.raw.count(b"\n") == 4 and b"\r" not in block.raw and b"\0" not in block.raw and block.event != "forged"


def test_an_envelope_of_the_forerunner_is_processed(pipeline, queues, board):
    with pipeline.socket(board) as socket:
        queues.publish(envelope(board, "moved", f"{board}-py"), content_type="application/json", headers={"correlation_id": f"{board}-py"})
        event = check_event(socket.event(), action="moved", user="ann", correlation_id=f"{board}-py", payload={"n": 1},
                            id="0f4d5e5a-33f5-4c1b-9d5d-2f6f2f4f0001")
        assert event["timestamp"].startswith("2026-01-02T03:04:05.678")


# Bodies that nobody can read, and headers that lie.

@pytest.mark.parametrize("body", [
    b"", b"\xff\xfe\xfd", b"not json", b"[]", b"{}", b"null", b'{"event_id":"e","board_id":"b"}', b'{"event_id":5,"board_id":7,"message":[]}',
    envelope("b", "", "c"), envelope("", "a", "c"), envelope("b", "a", "c", message=None), envelope("b", "a", "c")[:-1], b"{" * 100_000,
    b"x" * SIXTEEN_MIB], ids=["empty", "not-utf8", "not-json", "array", "no-members", "null", "no-message", "wrong-types", "empty-action",
                              "empty-board", "null-message", "cut", "deep", "16MiB"])
def test_an_unreadable_body_goes_to_the_dlq_at_once(pipeline, queues, body):
    message_id = f"m-{time.monotonic_ns()}"
    spy = queues.spy(pipeline.names.dlq_exchange)
    queues.publish(body, message_id=message_id, headers={"mine": "kept", "x-retry-count": 1}, content_type="text/odd")
    assert queues.dead_letter()[1] == body
    _, properties, _ = spy.wait(1)[0]
    assert properties.headers["failure_reason"] == "invalid_payload" and properties.headers["error"]
    assert (properties.headers["mine"], properties.message_id, properties.content_type) == ("kept", message_id, "text/odd")
    line = wait_until(lambda: pipeline.log(event="dead_letter", reason="invalid_payload", event_id=message_id) or
                      ([] if b'"event_id"' not in body else pipeline.log(event="dead_letter", reason="invalid_payload")), what="its line")[-1]
    assert line["level"].lower() == "error"


def test_an_unreadable_body_without_any_property_is_buried_too(pipeline, queues):
    queues.channel.basic_publish(pipeline.names.exchange, pipeline.names.routing_key, b"\x00")
    properties, copy = queues.dead_letter()
    assert copy == b"\x00" and properties.headers["failure_reason"] == "invalid_payload"


@pytest.mark.parametrize("count", [-1, -2**63, 2**31, 2**63 - 1, "3", "many", Decimal("1.5"), True, None, {"a": 1}, [1]], ids=str)
def test_a_strange_retry_count_does_not_stop_a_good_message(pipeline, queues, board, count):
    with pipeline.socket(board) as socket:
        queues.publish(envelope(board, "good", f"{board}-{time.monotonic_ns()}"), headers={"x-retry-count": count})
        check_event(socket.event(), action="good")


@pytest.mark.parametrize("count, retries", [(-5, 2), ("1", 2), ("many", 2), (0, 2), (1, 1), (2, 0), (3, 0), (2**62, 0)])
def test_a_strange_retry_count_is_read_as_the_contract_says(pipeline, queues, board, count, retries):
    spy = queues.spy(pipeline.names.retry_exchange)
    queues.publish(envelope(board, "doomed", f"{board}-{time.monotonic_ns()}"), headers={"x-retry-count": count})
    properties, _ = queues.dead_letter()
    assert properties.headers["failure_reason"] == "retries_exhausted" and properties.headers["x-retry-count"] == 2
    assert len(spy.copies) == retries


def test_a_failed_message_carries_its_history(pipeline, queues, board):
    retries, burial = queues.spy(pipeline.names.retry_exchange), queues.spy(pipeline.names.dlq_exchange)
    body = envelope(board, "doomed", f"{board}-x")
    queues.publish(body, message_id="m-77", headers={"mine": "kept", "correlation_id": f"{board}-x"}, content_type="application/json",
                   timestamp=12345)
    copies = [*retries.wait(2), *burial.wait(1)]
    queues.dead_letter()
    first_failed = set()
    for number, (_, properties, copy) in enumerate(copies):
        assert copy == body
        headers = properties.headers
        assert headers["mine"] == "kept" and headers["correlation_id"] == f"{board}-x" and properties.delivery_mode == 2
        assert (properties.message_id, properties.content_type, properties.timestamp) == ("m-77", "application/json", 12345)
        assert headers["last-error"]
        first_failed.add(str(headers["x-first-failed-at"]))
        assert headers["x-retry-count"] == min(number + 1, 2)
        assert not [name for name in headers if name.startswith(("x-death", "x-first-death", "x-last-death", "x-delivery-count"))]
    assert len(first_failed) == 1
    for number, base in [(0, 200), (1, 400)]:
        assert 0.9 * base <= int(copies[number][1].expiration) <= 1.1 * base
    assert copies[2][1].expiration is None
    assert copies[2][1].headers["failure_reason"] == "retries_exhausted" and copies[2][1].headers["error"]


def test_the_delay_doubles_and_is_capped(own, own_queues, names, board):
    own({"RABBITMQ_RETRY_DELAY_MS": "100", "RABBITMQ_RETRY_MAX_DELAY_MS": "250", "RABBITMQ_MAX_RETRIES": "4"}, faults=FAULTS, app=False)
    spy = own_queues.spy(names.retry_exchange)
    own_queues.publish(envelope(board, "doomed", board))
    waits = [int(properties.expiration) for _, properties, _ in spy.wait(4)]
    for wait, base in zip(waits, (100, 200, 250, 250)):
        assert 0.9 * base <= wait <= 1.1 * base, waits


# TLS.

def tls_settings(brokers, **changes) -> dict:
    return {"RABBITMQ_URL": brokers.rabbitmq.tls_url, "REDIS_URL": brokers.redis.tls_url, "RABBITMQ_CA_FILE": str(brokers.ca_file),
            "REDIS_CA_FILE": str(brokers.ca_file), **changes}


def test_amqps_and_rediss_carry_messages(brokers, own, board):
    pipeline = own(tls_settings(brokers))
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "a", "payload": {"x": "y" * 200_000}})
        check_event(socket.event(), action="a")
        send_stream(socket, board, 0, 300)
        check_stream(socket.events(300), 300)


@pytest.mark.parametrize("change", ["no-ca", "stranger", "wrong-name"])
@pytest.mark.parametrize("peer", ["RABBITMQ", "REDIS"])
def test_a_certificate_that_does_not_fit_is_refused(brokers, start, names, peer, change):
    settings = tls_settings(brokers)
    if change == "wrong-name":
        settings[f"{peer}_URL"] = settings[f"{peer}_URL"].replace("localhost", "127.0.0.1")
    elif change == "stranger":
        settings[f"{peer}_CA_FILE"] = str(brokers.tls / "stranger.pem")
    else:
        del settings[f"{peer}_CA_FILE"]
    pipeline = Pipeline(start, brokers, names, settings, worker=False, ready=False)
    pipeline.app.wait_alive()
    said = wait_until(lambda: [line for line in pipeline.app.log() if "certificate" in str(line).lower() or "verif" in str(line).lower()],
                      what="a line about the certificate")
    assert said and pipeline.app.get("/readyz").status == 503
    assert "guest:guest" not in pipeline.app.stderr()


# The dead letters on the command line.

def test_dlq_lists_shows_replays_and_purges(brokers, own, own_queues, names, start, board):
    pipeline = own(faults={"BOARDBUS_FAULT_FAIL": "processor.message=doomed:3"})

    def dlq(*arguments):
        settings = {key: value for key, value in pipeline.settings.items()}
        code, out, err = run_to_end(["dlq", *arguments], start.folder / "dlq", settings)
        assert code == 0, f"{arguments}: {code} {out} {err}"
        return out

    with pipeline.socket(board) as socket:
        event_id = pipeline.post(board, {"action": "doomed", "payload": {"n": 12345678901234567890}}).json()["event_id"]
        pipeline.dead_letter_lines()
        own_queues.publish(b"\xffgarbage", message_id="m-garbage")
        pipeline.dead_letter_lines(2)
        listed = dlq("list")
        assert event_id in listed and "retries_exhausted" in listed and "invalid_payload" in listed
        assert dlq("list") == listed, "looking does not change anything"
        assert "12345678901234567890" in dlq("show", event_id)
        dlq("replay", event_id)
        check_event(socket.event(), id=event_id, action="doomed", payload={"n": 12345678901234567890})
        left = dlq("list")
        assert event_id not in left and "invalid_payload" in left
        wait_until(lambda: own_queues.depth(names.dlq_queue) == 1, what="the other one in the queue")  # What list looked at returns a moment later.
        dlq("purge", "--yes")
        assert own_queues.depth(names.dlq_queue) == 0


def test_apps_share_their_rate_limits_through_redis(start, brokers, names):
    """Each app alone would allow five; together they allow five. Without that Redis everything is allowed."""
    settings = {"EVENT_TRANSPORT": "memory", "RATE_LIMIT_DEFAULT": "5/minute",
                "RATE_LIMIT_STORAGE_URI": f"redis://127.0.0.1:{brokers.redis.port}/9"}
    brokers.redis.client(9).flushdb()
    apps = [start("app", settings).wait_ready() for _ in range(2)]
    for app in apps:
        wait_until(lambda app=app: app.log(event="rate_limits_shared"), what="the shared limits")
    statuses = [apps[n % 2].get("/nope").status for n in range(8)]
    assert statuses == [404] * 5 + [429] * 3

    alone = start("app", {**settings, "RATE_LIMIT_STORAGE_URI": "redis://127.0.0.1:1/"}).wait_ready()
    assert [alone.get("/nope").status for _ in range(8)] == [404] * 8
