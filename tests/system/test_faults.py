# SPDX-License-Identifier: Apache-2.0
"""Processes that die at the worst moment, and a Redis that does: nothing lost, nothing twice, nobody charged."""
import itertools
import json
import signal
import threading
import time

import pytest

from harness.messages import check_event
from harness.pipeline import ChannelListener, Listener, Pipeline, Queues, check_stream, send_stream
from harness.timing import scaled, wait_until

pytestmark = pytest.mark.brokers

STREAM = 2000


@pytest.fixture
def own(whole_brokers, start, names):
    made = []

    def build(settings=None, **more):
        made.append(Pipeline(start, whole_brokers, names, settings, **more))
        return made[-1]
    yield build
    whole_brokers.restore()
    for one in made[:1]:
        one.remove_queues()


@pytest.fixture
def queues(whole_brokers, names):
    made = Queues(whole_brokers, names)
    yield made
    made.close()


def retried(pipeline) -> float:
    worker = getattr(pipeline.worker, "current", pipeline.worker)
    return pipeline.metric(worker, "advanced_worker_outcomes_total", outcome="retried")


# The worker dies.

@pytest.mark.parametrize("point", ["worker.before_commit:5", "worker.after_commit:5", "worker.before_ack:5", "worker.before_commit:1",
                                   "worker.after_commit:1"])
def test_a_worker_that_dies_in_a_stream_delivers_each_message_once(own, board, point):
    pipeline = own(supervised=True, faults={"BOARDBUS_FAULT_AT": point})
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, STREAM, batch=50, pause=0.005)
        check_stream(listener.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(listener.events, STREAM)
        assert not listener.errors
    assert pipeline.worker.deaths == [-9]
    assert not pipeline.log(event="dead_letter")


def test_a_worker_that_is_killed_again_and_again_delivers_each_message_once(own, board):
    pipeline = own(supervised=True)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        sender = threading.Thread(target=send_stream, args=(socket, board, 0, STREAM, 20, 0.02))
        sender.start()
        for _ in range(2):  # Two: a message that sees three crashes may be taken for their cause.
            seen = len(listener.events)
            wait_until(lambda: len(listener.events) > seen + 100, what="events between the kills")
            deaths = len(pipeline.worker.deaths)
            pipeline.worker.kill()
            wait_until(lambda: len(pipeline.worker.deaths) > deaths, what="the supervisor sees it")
        sender.join()
        check_stream(listener.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(listener.events, STREAM)
    assert pipeline.worker.deaths == [-9, -9] and not pipeline.log(event="dead_letter")


def test_a_worker_that_dies_after_a_retry_copy_delivers_the_message_once(own, board):
    pipeline = own(supervised=True, faults={"BOARDBUS_FAULT_AT": "worker.after_retry_confirm:1", "BOARDBUS_FAULT_FAIL": "processor.message=flaky:1"})
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 100)
        socket.send_json({"action": "flaky", "correlation_id": f"{board}-flaky"})
        send_stream(socket, board, 100, 100)
        listener.wait(201)
        time.sleep(1)  # The original and its copy both come back; one of them is a duplicate.
        assert listener.actions().count("flaky") == 1
        check_stream([event for event in listener.events if event["action"] != "flaky"], 200)
    assert pipeline.worker.deaths == [-9] and not pipeline.log(event="dead_letter")


def test_a_worker_that_dies_after_a_dead_letter_copy_loses_nothing(own, queues, board):
    pipeline = own({"BOARDBUS_FAULT_FAIL": "processor.message=doomed", "RABBITMQ_MAX_RETRIES": "1"}, supervised=True,
                   faults={"BOARDBUS_FAULT_AT": "worker.after_dlq_confirm:1"})
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        socket.send_json({"action": "doomed", "correlation_id": f"{board}-doomed"})
        send_stream(socket, board, 0, 200)
        properties, body = queues.dead_letter()
        assert json.loads(body)["correlation_id"] == f"{board}-doomed" and properties.headers["failure_reason"] == "retries_exhausted"
        wait_until(lambda: pipeline.worker.deaths == [-9], what="the death")
        check_stream(listener.wait(200), 200)
        pipeline.dead_letter_lines()


def test_a_message_that_kills_the_worker_is_put_aside_and_its_neighbours_are_not(own, queues, board):
    pipeline = own(supervised=True, faults={"BOARDBUS_FAULT_AT": "worker.handling=poison"}, faults_always=True)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 100)
        socket.send_json({"action": "poison", "correlation_id": f"{board}-poison"})
        send_stream(socket, board, 100, 100)
        properties, body = queues.dead_letter(40)
        assert json.loads(body)["message"]["action"] == "poison" and properties.headers["failure_reason"] == "crash_loop"
        check_stream(listener.wait(200), 200)
        time.sleep(0.5)
        check_stream(listener.events, 200)
    assert pipeline.worker.deaths == [-9, -9, -9]
    assert queues.depth(pipeline.names.dlq_queue) == 0
    lines = pipeline.dead_letter_lines()
    assert len(lines) == 1 and lines[0]["reason"] == "crash_loop" and lines[0]["level"].lower() == "error"


# The app dies.

@pytest.mark.parametrize("point", ["app.before_publish:60", "app.after_publish:60", "app.after_confirm:60"])
def test_an_app_that_dies_while_publishing_loses_nothing_that_was_confirmed(own, whole_brokers, board, point):
    pipeline = own(supervised=True, app_faults={"BOARDBUS_FAULT_AT": point})
    channel = ChannelListener(whole_brokers, pipeline.names)

    def confirmed(n):
        try:
            return pipeline.post(board, {"action": f"n{n}", "correlation_id": f"{board}-{n}"}).status == 202
        except Exception:  # The app is dead or not back yet: the sender sends again, under the same id.
            return False
    for n in range(200):
        wait_until(lambda: confirmed(n), 30, f"message {n} is confirmed", 0.05)
    check_stream(channel.wait(200), 200)
    time.sleep(0.3)
    check_stream(channel.events, 200)
    channel.close()
    assert pipeline.app.deaths == [-9]


# Redis is away.

def check_nothing_was_charged(pipeline, queues) -> None:
    assert queues.depth(pipeline.names.dlq_queue) == 0
    assert not pipeline.log(event="dead_letter")
    assert retried(pipeline) == 0


def test_a_silent_redis_holds_everything_and_charges_nothing(own, whole_brokers, queues, board):
    """Redis carries out the commands that lay in its buffers as soon as it wakes up; the app has kept its subscription."""
    pipeline = own()
    channel = ChannelListener(whole_brokers, pipeline.names)
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 500, batch=50, pause=0.005)
        whole_brokers.redis.freeze()
        send_stream(socket, board, 500, 1000, batch=50, pause=0.02)
        pipeline.app.wait_not_ready(30)
        before = len(listener.events)
        time.sleep(2)
        assert len(listener.events) == before < 1500 and not listener.errors
        whole_brokers.redis.thaw()
        pipeline.app.wait_ready()
        send_stream(socket, board, 1500, 500, batch=50, pause=0.005)
        check_stream(listener.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(listener.events, STREAM)
        check_stream(channel.wait(STREAM), STREAM)
        assert not listener.errors
    channel.close()
    check_nothing_was_charged(pipeline, queues)


def test_a_killed_redis_holds_everything_and_charges_nothing(own, whole_brokers, queues, board):
    pipeline = own()
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 500, batch=50, pause=0.005)
        listener.wait(500)
        whole_brokers.redis.kill()
        send_stream(socket, board, 500, 1000, batch=50, pause=0.02)
        pipeline.app.wait_not_ready()
        pipeline.worker.wait_not_ready()
        time.sleep(2)
        assert len(listener.events) == 500 and not listener.errors
        whole_brokers.redis.start_again()
        pipeline.app.wait_ready()
        pipeline.worker.wait_ready()
        send_stream(socket, board, 1500, 500, batch=50, pause=0.005)
        check_stream(listener.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(listener.events, STREAM)
        assert not listener.errors
    check_nothing_was_charged(pipeline, queues)


@pytest.mark.parametrize("begin, end", [
    (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"))], ids=["OOM", "READONLY", "NOREPLICAS"])
def test_a_redis_that_takes_no_writes_holds_everything(own, whole_brokers, queues, board, begin, end):
    pipeline = own()
    redis = whole_brokers.redis.client()
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        send_stream(socket, board, 0, 100)
        listener.wait(100)
        redis.execute_command(*begin)
        try:
            send_stream(socket, board, 100, 300, batch=50, pause=0.01)
            time.sleep(2.5)  # Long enough for every retry there would be: 200 ms and 400 ms.
            assert len(listener.events) == 100 and not listener.errors
        finally:
            redis.execute_command(*end)
        check_stream(listener.wait(400), 400)
        time.sleep(0.3)
        check_stream(listener.events, 400)
    check_nothing_was_charged(pipeline, queues)


def test_a_worker_that_starts_while_redis_is_away_does_not_begin(own, whole_brokers, queues, board):
    pipeline = own(worker=False)
    with pipeline.socket(board) as socket:
        send_stream(socket, board, 0, 50)
        wait_until(lambda: queues.depth(pipeline.names.queue) == 50, what="50 messages wait")
        whole_brokers.redis.client().config_set("maxmemory", "1")
        try:
            worker = pipeline._start("worker", pipeline.settings).wait_alive()
            time.sleep(1.5)
            assert worker.get("/readyz").status == 503
            assert queues.depth(pipeline.names.queue) == 50, "nothing was taken from the queue"
        finally:
            whole_brokers.redis.client().config_set("maxmemory", "0")
        worker.wait_ready()
        check_stream(socket.events(50), 50)


def test_a_worker_that_starts_when_the_history_fills_redis_makes_room(own, whole_brokers, board):
    pipeline = own()
    redis = whole_brokers.redis.client()
    with pipeline.socket(board) as socket:
        send_stream(socket, board, 0, STREAM, batch=50, pause=0.005)
        events = socket.events(STREAM, 20)
        pipeline.worker.kill()
        redis.config_set("maxmemory", redis.info("memory")["used_memory"] - 200_000)
        try:
            pipeline.second_worker()
            send_stream(socket, board, STREAM, 50)
            check_stream(events + socket.events(50, 20), STREAM + 50)
        finally:
            redis.config_set("maxmemory", "0")


def test_a_worker_that_is_told_to_stop_in_a_hold_gives_everything_back(own, whole_brokers, queues, board):
    pipeline = own({"SHUTDOWN_GRACE_SECONDS": "3"})
    with pipeline.socket(board) as socket:
        whole_brokers.redis.client().config_set("maxmemory", "1")
        try:
            send_stream(socket, board, 0, 100)
            wait_until(lambda: pipeline.metric(pipeline.worker, "advanced_worker_holding") == 1, what="the hold")
            assert pipeline.worker.stop(4) == 0
            wait_until(lambda: queues.depth(pipeline.names.queue) == 100, what="all 100 back in the queue")
        finally:
            whole_brokers.redis.client().config_set("maxmemory", "0")
        pipeline.second_worker()
        check_stream(socket.events(100, 20), 100)
        assert socket.silent()


def test_without_the_pause_each_message_is_charged_with_growing_gaps_and_buried(own, whole_brokers, queues, board):
    pipeline = own({"WORKER_PAUSE_ON_OUTAGE": "false", "RABBITMQ_RETRY_DELAY_MS": "300", "RABBITMQ_MAX_RETRIES": "3"})
    spy = queues.spy(pipeline.names.retry_exchange)
    with pipeline.socket(board) as socket:
        socket.send_json({"action": "before"})
        check_event(socket.event(), action="before")
        whole_brokers.redis.client().config_set("maxmemory", "1")
        try:
            begin = time.monotonic()
            socket.send_json({"action": "unlucky", "correlation_id": f"{board}-u"})
            came = [(at, properties.headers["x-retry-count"]) for at, properties, _ in spy.wait(3, 20)]
            properties, body = queues.dead_letter(20)
            end = time.monotonic()
        finally:
            whole_brokers.redis.client().config_set("maxmemory", "0")
        assert [count for _, count in came] == [1, 2, 3]
        # The delay before copy n + 1 began when copy n was in the queue, which may have been seen late.
        least = itertools.accumulate(0.85 * base for base in (0, 0.3, 0.6, 1.2))
        most = itertools.accumulate(1.1 * base + scaled(1) for base in (0, 0.3, 0.6, 1.2))
        times = [at - begin for at, _ in came] + [end - begin]
        assert all(low <= at < high for low, at, high in zip(least, times, most)), times
        assert properties.headers["failure_reason"] == "retries_exhausted" and json.loads(body)["message"]["action"] == "unlucky"
        line = pipeline.dead_letter_lines()[0]
        assert (line["attempts"], line["board_id"], line["reason"]) == (4, board, "retries_exhausted")
        socket.send_json({"action": "after"})
        check_event(socket.event(), action="after")
        assert len(pipeline.log(event="dead_letter")) == 1


def test_a_worker_that_loses_its_redis_reply_publishes_nothing_twice(own, whole_brokers, board):
    """The connection is killed by Redis again and again in a stream: a commit whose reply was lost is tried again and found done."""
    pipeline = own()
    redis = whole_brokers.redis.client()
    channel = ChannelListener(whole_brokers, pipeline.names)
    with pipeline.socket(board) as socket:
        sender = threading.Thread(target=send_stream, args=(socket, board, 0, STREAM, 20, 0.01))
        sender.start()
        while sender.is_alive():
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.1)
        sender.join()
        check_stream(channel.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(channel.events, STREAM)
    channel.close()


def test_an_app_that_loses_its_subscription_in_a_stream_shows_no_hole_and_no_repeat(own, whole_brokers, board):
    """Redis throws the app out again and again; what was published meanwhile comes from the history, in its place."""
    pipeline = own()
    redis = whole_brokers.redis.client()
    thrown_out = 0
    with pipeline.socket(board) as socket:
        listener = Listener(socket)
        sender = threading.Thread(target=send_stream, args=(socket, board, 0, STREAM, 20, 0.02))
        sender.start()
        while sender.is_alive():
            thrown_out += redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            time.sleep(0.05)
        sender.join()
        check_stream(listener.wait(STREAM), STREAM)
        time.sleep(0.3)
        check_stream(listener.events, STREAM)
    assert [event["pos"] for event in listener.events] == [event["seq"] for event in listener.events] == list(range(1, STREAM + 1))
    assert thrown_out > 1 and pipeline.metric(pipeline.app, "advanced_history_gap_filled_events_total") > 0
    assert not pipeline.log(event="history_break")


def test_an_emptied_redis_begins_a_new_history_that_is_shown_from_its_first_event(own, whole_brokers, board):
    pipeline = own()
    with pipeline.socket(board) as socket:
        send_stream(socket, board, 0, 100)
        before = socket.events(100)
        whole_brokers.redis.client().flushall()
        send_stream(socket, board, 100, 100)
        wait_until(lambda: pipeline.log(event="history_break"), what="the app notices")
    assert pipeline.log(event="history_break")[0]["epoch"] != before[0]["epoch"]
    assert pipeline.metric(pipeline.app, "advanced_history_breaks_total", kind="replaced") == 1


def test_frozen_worker_does_not_take_the_pipeline_with_it(own, board):
    pipeline = own()
    with pipeline.socket(board) as socket:
        pipeline.worker.signal(signal.SIGSTOP)
        send_stream(socket, board, 0, 200)
        assert pipeline.app.get("/readyz").status == 200 and socket.silent(0.5)
        assert pipeline.post(board, {"action": "n200", "correlation_id": f"{board}-200"}, 5).status == 202
        pipeline.worker.signal(signal.SIGCONT)
        check_stream(socket.events(201), 201)
