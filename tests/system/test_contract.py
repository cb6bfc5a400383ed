# SPDX-License-Identifier: Apache-2.0
"""One suite for both transports: what a message meets on its way is the same in one process and through RabbitMQ and Redis."""
import json
import signal
import time

import pytest

from harness.brokers import isolated_names
from harness.eventstream import EventStream
from harness.messages import UUID, check_event, payload_text
from harness.pipeline import Listener, Pipeline, check_stream, send_stream
from harness.timing import scaled, wait_until
from harness.websocket import TEXT, encode_frame

RETRY_MS = 600
BOTH = ["memory", pytest.param("brokers", marks=pytest.mark.brokers)]
# Messages fail by their action: `flaky1` once, `flaky2` twice, `doomed` always.
FAULTS = {"BOARDBUS_FAULT_FAIL": "processor.message=flaky1:1,processor.message=flaky2:2,processor.message=doomed,processor.message=doomed2"}


@pytest.fixture(scope="module", params=BOTH)
def transport(request):
    """The brokers, or None for memory."""
    return request.getfixturevalue("brokers") if request.param == "brokers" else None


@pytest.fixture(scope="module")
def pipeline(transport, start_shared):
    made = Pipeline(start_shared, transport, isolated_names(), {"RABBITMQ_RETRY_DELAY_MS": str(RETRY_MS)}, faults=FAULTS)
    yield made
    if transport is not None:
        made.remove_queues()


def own_pipeline(transport, start, names, settings=None, **more):
    return Pipeline(start, transport, names, settings, **more)


def test_an_event_arrives_at_socket_and_stream_with_exactly_its_fields(pipeline, board):
    with EventStream(pipeline.port, f"/sse/boards/{board}") as stream, pipeline.socket(board) as sender, pipeline.socket(board) as reader:
        sender.send_json({"action": "card_add", "payload": {"title": "T"}, "user": "ann", "message": "hi", "correlation_id": f"{board}-c"})
        texts = [sender.text(), reader.text(), stream.next().data]
    assert texts[0] == texts[1] == texts[2]
    check_event(json.loads(texts[0]), board=board, action="card_add", user="ann", payload={"title": "T", "message": "hi"},
                correlation_id=f"{board}-c", active_connections=2)


def test_the_payload_travels_token_for_token(pipeline, board):
    sent = '{"big":12345678901234567890123,"d":1.10000000000000000001,"e":1E400,"z":-0.0,"u":"\\u00e9é\\ud83d\\ude00😀","o":{"b":1,"a":[]}}'
    with EventStream(pipeline.port, f"/sse/boards/{board}") as stream, pipeline.socket(board) as socket:
        socket.send_text('{"payload": ' + sent.replace(",", " , ").replace("{", "{ ") + ', "action":"a"}')
        assert payload_text(socket.text()) == sent
        assert payload_text(stream.next().data) == sent


def test_hostile_text_arrives_unchanged(pipeline):
    hostile = "\r\n\0\"'\\</script><b>\u2028\u202e😀{}$1%s\x7f"
    with pipeline.socket("h%0D%0A%00%22%7B") as socket:
        socket.send_json({"action": hostile, "user": "x" + hostile + "x", "correlation_id": hostile + str(time.time()), "message": hostile,
                          "payload": {hostile: hostile}})
        check_event(socket.event(), board='h\r\n\0"{', action=hostile, user="x" + hostile + "x", payload={hostile: hostile, "message": hostile})


def test_a_message_of_one_mebibyte_arrives(pipeline, board):
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "a", "payload": {"x": "y" * 1_000_000}})
        assert len(socket.event()["payload"]["x"]) == 1_000_000


def test_a_message_sent_again_arrives_once(pipeline, board):
    message = {"action": "a", "payload": {"n": 1}, "correlation_id": f"{board}-once"}
    with pipeline.socket(board) as socket:
        for _ in range(3):
            socket.send_json(message)
        assert pipeline.post(board, message).status == 202
        socket.send_json({"action": "last"})
        assert [event["action"] for event in socket.events(2)] == ["a", "last"]


def test_the_same_id_with_another_text_is_a_conflict_and_arrives(pipeline, board):
    with pipeline.socket(board) as socket, pipeline.socket(board + "-other") as other:
        for payload in ({"n": 1}, {"n": 2}, {"n": 1}, {"n": 2}):
            socket.send_json({"action": "a", "payload": payload, "correlation_id": f"{board}-1"})
        other.send_json({"action": "a", "payload": {"n": 1}, "correlation_id": f"{board}-1"})
        socket.send_json({"action": "last"})
        events = socket.events(3)
        assert [(event["action"], event["payload"]) for event in events] == [("a", {"n": 1}), ("a", {"n": 2}), ("last", {})]
        assert events[0]["correlation_id"] == events[1]["correlation_id"] == f"{board}-1"
        check_event(other.event(), correlation_id=f"{board}-1", payload={"n": 1})


def test_messages_without_an_id_are_each_their_own(pipeline, board):
    with pipeline.socket(board) as socket:
        for _ in range(3):
            socket.send_json({"action": "same"})
        events = socket.events(3)
        assert len({event["correlation_id"] for event in events}) == len({event["id"] for event in events}) == 3


def test_the_order_of_500_messages_is_kept(pipeline, board):
    with pipeline.socket(board) as socket, pipeline.socket(board) as reader:
        send_stream(socket, board, 0, 500, batch=500)
        for one in (socket, reader):
            check_stream(one.events(500, 20), 500)
        assert socket.silent()


def test_a_failed_message_comes_back_after_its_delay_and_not_before(pipeline, board):
    with pipeline.socket(board) as socket:
        begin = time.monotonic()
        for action in ("flaky1", "flaky2", "good"):
            socket.send_json({"action": action, "payload": {"n": 12345678901234567890}})
        came = {}
        for _ in range(3):
            event = check_event(socket.event(15), payload={"n": 12345678901234567890})
            came[event["action"]] = (time.monotonic() - begin) * 1000
    assert list(came) == ["good", "flaky1", "flaky2"]
    # 600 ms ± 10 %, then 1,200 ms ± 10 %.
    assert 0.9 * RETRY_MS <= came["flaky1"] < 1.1 * RETRY_MS + scaled(3000)
    assert 0.9 * 3 * RETRY_MS <= came["flaky2"] < 1.1 * 3 * RETRY_MS + scaled(3000)


def test_a_message_that_fails_for_ever_is_dead_after_the_last_retry_with_one_line(pipeline, board):
    with pipeline.socket(board) as socket:
        begin = time.monotonic()
        answer = pipeline.post(board, {"action": "doomed"})
        event_id = answer.json()["event_id"]
        lines = wait_until(lambda: pipeline.log(event="dead_letter", event_id=event_id), 15, "a dead_letter line")
        assert time.monotonic() - begin > 0.9 * 3 * RETRY_MS / 1000
        socket.send_json({"action": "after"})
        check_event(socket.event(), action="after")
    assert len(pipeline.log(event="dead_letter", event_id=event_id)) == 1
    line = lines[0]
    assert line["level"].lower() == "error"
    assert (line["board_id"], line["attempts"], line["reason"]) == (board, 3, "retries_exhausted")
    assert line["last_error"]
    assert pipeline.metric(pipeline.worker, "advanced_dead_letters_total", reason="retries_exhausted") >= 1


def test_a_dead_letter_line_cannot_be_forged(pipeline):
    board, forged = "b%0A%22%7D", '\n{"event":"dead_letter","event_id":"forged"}'
    answer = pipeline.post(board, {"action": "doomed2", "user": forged, "correlation_id": forged, "message": forged})
    line = wait_until(lambda: pipeline.log(event="dead_letter", event_id=answer.json()["event_id"]), 15, "a dead_letter line")[0]
    assert line["board_id"] == 'b\n"}' and not pipeline.log(event_id="forged")


def test_refused_messages_are_told_to_their_sender_and_the_rest_arrives(transport, start, names, board):
    """The bus stands still, the window and the queue are tiny: what does not fit is refused at once, nothing is refused in silence."""
    settings = {"PUBLISH_WINDOW": "2", "PUBLISH_QUEUE_BYTES": "8192", "PUBLISH_TIMEOUT_MS": "20000", "RABBITMQ_RETRY_DELAY_MS": "1500"}
    # In memory the bus stands still because every message waits for its one retry.
    faults = {"BOARDBUS_FAULT_FAIL": ",".join(f"processor.message=fill{n}:1" for n in range(40))} if transport is None else None
    pipeline = own_pipeline(transport, start, names, settings, faults=faults)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        if transport is not None:
            transport.rabbitmq.freeze()
        try:
            for n in range(40):
                socket.send_json({"action": f"fill{n}", "payload": {"x": "y" * 1000}})
            wait_until(lambda: len(listener.errors) >= 25, 10, "refusals")
        finally:
            if transport is not None:
                transport.rabbitmq.thaw()
        # More may be refused while those refusals come in: only the sum is known beforehand.
        wait_until(lambda: len(listener.events) + len(listener.errors) >= 40, 15, lambda: f"{len(listener.events)} and {len(listener.errors)}")
        time.sleep(0.3)
        assert len(listener.events) + len(listener.errors) == 40 and len(listener.events) > 0
        for error in listener.errors:
            assert set(error) == {"kind", "reason", "detail"} and error["reason"] == "event_bus_failure"
        socket.send_json({"action": "later"})
        wait_until(lambda: "later" in listener.actions(), what="the bus takes messages again")
    if transport is not None:
        pipeline.remove_queues()


def test_a_refused_post_is_503_with_its_outcome(transport, start, names, board):
    settings = {"PUBLISH_QUEUE_BYTES": "2000", "PUBLISH_WINDOW": "1"}
    pipeline = own_pipeline(transport, start, names, {**settings, "RABBITMQ_RETRY_DELAY_MS": "60000", "PUBLISH_TIMEOUT_MS": "500"},
                            faults={"BOARDBUS_FAULT_FAIL": "processor.message=fill"} if transport is None else None)
    if transport is not None:
        transport.rabbitmq.freeze()
    try:
        with pipeline.socket(board) as socket:
            for _ in range(10):
                socket.send_json({"action": "fill", "payload": {"x": "y" * 1500}})
            assert socket.error()["reason"] == "event_bus_failure"
            answer = pipeline.post(board, {"action": "fill", "payload": {"x": "y" * 1500}})
    finally:
        if transport is not None:
            transport.rabbitmq.thaw()
    assert answer.status == 503 and int(answer.header("Retry-After")) >= 1
    assert answer.json()["outcome"] in (("rejected",) if transport is None else ("rejected", "unknown"))
    if transport is not None:
        pipeline.wait_ready()
        pipeline.remove_queues()


def test_it_stops_soon_with_0(transport, start, names, board):
    pipeline = own_pipeline(transport, start, names)
    with pipeline.socket(board) as socket:
        send_stream(socket, board, 0, 100)
        check_stream(socket.events(100), 100)
        for process in dict.fromkeys([pipeline.app, pipeline.worker]):
            begin = time.monotonic()
            process.signal(signal.SIGTERM)
            if process is pipeline.app:
                assert socket.close_code() == 1001
            assert process.wait_exit() == 0
            assert time.monotonic() - begin < max(2.5, scaled(1))  # A client that does not answer its close gets three seconds.
    if transport is not None:
        pipeline.remove_queues()


def test_it_stops_within_the_grace_while_messages_wait_for_a_retry(transport, start, names, board):
    pipeline = own_pipeline(transport, start, names, {"RABBITMQ_RETRY_DELAY_MS": "60000", "SHUTDOWN_GRACE_SECONDS": "2"},
                            faults={"BOARDBUS_FAULT_FAIL": "processor.message"})
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "a"})
        wait_until(lambda: pipeline.metric(pipeline.worker, "advanced_worker_outcomes_total", outcome="retried") >= 1, what="a retry")
        for process in {pipeline.app, pipeline.worker}:
            assert process.stop(3) == 0
    if transport is not None:
        pipeline.remove_queues()


def test_ids_are_uuids_and_sockets_of_the_board_are_counted(pipeline, board):
    sockets = [pipeline.socket(board) for _ in range(5)]
    sockets[0].wire.send(encode_frame(TEXT, b'{"action":"a"}'))
    for socket in sockets:
        event = check_event(socket.event(), active_connections=5)
        assert UUID.match(event["correlation_id"])
    for socket in sockets:
        socket.wire.close()
