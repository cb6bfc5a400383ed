# SPDX-License-Identifier: Apache-2.0
"""RabbitMQ and Redis come, go and complain; workers hand over. Nothing is lost, nothing comes twice."""
import json
import time

import pytest

from harness.messages import check_event
from harness.pipeline import Listener, Pipeline, check_stream, send_stream
from harness.proxy import Proxy
from harness.timing import wait_until

pytestmark = pytest.mark.brokers


def behind_proxies(brokers):
    rabbitmq, redis = Proxy(brokers.rabbitmq.port), Proxy(brokers.redis.port)
    return rabbitmq, redis, {"RABBITMQ_URL": f"amqp://guest:guest@127.0.0.1:{rabbitmq.port}/", "REDIS_URL": f"redis://127.0.0.1:{redis.port}/2"}


def test_the_app_starts_without_brokers_and_becomes_ready_by_itself(brokers, own, board):
    rabbitmq, redis, urls = behind_proxies(brokers)
    pipeline = own({**urls, "PUBLISH_TIMEOUT_MS": "500"}, ready=False)
    for process in (pipeline.app, pipeline.worker):
        process.wait_alive()
        answer = process.get("/readyz")
        assert answer.status == 503 and answer.json()["status"] == "starting"
    assert pipeline.app.get("/readyz").json() == {"status": "starting", "event_pipeline_ready": False}
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "early"})
        assert socket.error()["reason"] == "event_bus_failure"
        answer = pipeline.post(board, {"action": "early"})
        assert answer.status == 503 and answer.json()["outcome"] == "rejected"
        rabbitmq.open()
        time.sleep(0.7)
        assert pipeline.app.get("/readyz").status == 503
        redis.open()
        pipeline.wait_ready()
        socket.send_json({"action": "late"})
        check_event(socket.event(), action="late")
        redis.shut()
        pipeline.app.wait_not_ready()
        assert pipeline.app.get("/readyz").json() == {"status": "degraded", "event_pipeline_ready": False}
        redis.open()
        pipeline.wait_ready()
        rabbitmq.shut()
        pipeline.app.wait_not_ready()
        assert pipeline.app.get("/readyz").json()["status"] == "degraded" and pipeline.app.get("/healthz").status == 200
        rabbitmq.open()
        pipeline.wait_ready()
        socket.send_json({"action": "again"})
        check_event(socket.event(), action="again")


def resend_refused(pipeline, board, listener, count, seconds=30):
    """Sends again, by POST, whatever did not arrive: the same ids, so that nothing can come twice."""
    wait_until(lambda: len(listener.events) + len(listener.errors) >= count or listener.ended, seconds, "an answer for each message", 0.1)
    arrived = {event["correlation_id"] for event in listener.events}
    for n in range(count):
        if f"{board}-{n}" not in arrived:
            assert pipeline.post(board, {"action": f"n{n}", "correlation_id": f"{board}-{n}"}).status == 202
    listener.wait(count)
    time.sleep(0.5)
    check_stream(listener.events, count, ordered=False)


def test_closing_all_connections_loses_nothing(brokers, own, board):
    pipeline = own()
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 300, batch=50, pause=0.01)
        brokers.rabbitmq.ctl("close_all_connections", "test")
        send_stream(socket, board, 300, 300, batch=10, pause=0.02)
        pipeline.wait_ready()
        resend_refused(pipeline, board, listener, 600)


def test_cut_connections_lose_nothing(brokers, own, board):
    rabbitmq, redis, urls = behind_proxies(brokers)
    rabbitmq.open()
    redis.open()
    pipeline = own(urls)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        for part in range(6):
            send_stream(socket, board, part * 100, 100, batch=20, pause=0.005)
            rabbitmq.cut()
        pipeline.wait_ready()
        resend_refused(pipeline, board, listener, 600)


def test_a_broker_that_is_killed_and_comes_back_has_lost_nothing(whole_brokers, start, names, board):
    pipeline = Pipeline(start, whole_brokers, names)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        time.sleep(1)  # A quorum queue that was declared just now may not survive this.
        send_stream(socket, board, 0, 200, batch=50, pause=0.01)
        whole_brokers.rabbitmq.kill()
        pipeline.app.wait_not_ready()
        send_stream(socket, board, 200, 20)
        whole_brokers.rabbitmq.start_again()
        pipeline.wait_ready(), pipeline.app.wait_ready(30)
        resend_refused(pipeline, board, listener, 220)
    pipeline.remove_queues()


def test_a_memory_alarm_refuses_publishes_and_leaves_readers_alone(brokers, own, board):
    pipeline = own({"PUBLISH_TIMEOUT_MS": "500"})
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "before"})
        socket.event()
        brokers.rabbitmq.ctl("set_vm_memory_high_watermark", "0")
        try:
            wait_until(lambda: pipeline.post(board, {"action": "in", "correlation_id": f"{board}-in"}).status == 503, 10, "a refusal")
            answer = pipeline.post(board, {"action": "in", "correlation_id": f"{board}-in"})
            assert answer.status == 503 and answer.json()["outcome"] in ("unknown", "rejected")
            event = {"id": "x", "board": board, "action": "live", "user": "u", "payload": {}, "timestamp": "t", "correlation_id": "c",
                     "kind": "board_event", "active_connections": 0}
            brokers.redis.client().publish(pipeline.names.channel, json.dumps(event))
            while (got := socket.event())["action"] != "live":
                assert got["action"] == "in"
        finally:
            brokers.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "2GB")
        wait_until(lambda: pipeline.post(board, {"action": "after", "correlation_id": f"{board}-after"}).status == 202, 20, "publishes again")
        wait_until(lambda: socket.event()["action"] == "after", what="the event after the alarm")


def test_two_workers_hand_over_when_the_active_one_is_killed(own, brokers, board):
    pipeline = own()
    second = pipeline.second_worker()
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 500, batch=50, pause=0.01)
        pipeline.worker.kill()
        send_stream(socket, board, 500, 500, batch=50, pause=0.01)
        check_stream(listener.wait(1000), 1000)
        time.sleep(0.3)
        check_stream(listener.events, 1000)
    assert pipeline.metric(second, "advanced_worker_outcomes_total", outcome="fanned_out") > 0
