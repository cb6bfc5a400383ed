# SPDX-License-Identifier: Apache-2.0
"""The fault matrix: one Plan per row. What a row cannot show on this server or machine is skipped by name, never passed."""
import json
import threading
import time
from pathlib import Path

from harness.brokers import pika_channel
from harness.clients import request
from harness.processes import TOKEN

from history import content_hash
from lab import SIDES
from trial import Plan

DOOMED = {"BOARDBUS_FAULT_FAIL": "processor.message=doomed,processor.message=flaky:2"}
MISS = "without a history, readers miss what is published while their app is away from Redis"


def sometimes_failing(n: int) -> tuple:
    """Every 20th message of a board fails always, every 33rd is of the kind of which each process fails the first two."""
    if n % 20 == 0:
        return "dead", "doomed"
    return ("flaky", "flaky") if n % 33 == 0 else ("deliver", "move")


def poison_at_30(n: int) -> tuple:
    return ("poison", "poison") if n == 30 else ("deliver", "move")


def _points() -> list:
    rows = []
    for point, words in (("app.before_publish:60", "before publish"), ("app.after_publish:60", "after publish, before the confirm"),
                         ("app.after_confirm:60", "after the confirm, before the answer")):
        rows.append(Plan(f"kill-{point.split(':')[0]}", what=f"app dies (-9) {words}", app_faults={"BOARDBUS_FAULT_AT": point}, apps=2, lead=3,
                         supervised_deaths={"app0": 1}))
    for point, words in (("worker.after_delivery:40", "after a delivery"), ("worker.before_commit:40", "before the commit"),
                         ("worker.after_commit:40", "after the commit, before the ack"), ("worker.before_ack:40", "before an ack")):
        rows.append(Plan(f"kill-{point.split(':')[0]}", what=f"worker dies (-9) {words}", faults={"BOARDBUS_FAULT_AT": point}, lead=3,
                         supervised_deaths={"worker0": 1}))
    for point, words in (("worker.after_retry_confirm:3", "after a retry copy's confirm"),
                         ("worker.after_dlq_confirm:2", "after a dead letter's confirm")):
        rows.append(Plan(f"kill-{point.split(':')[0]}", what=f"worker dies (-9) {words}", faults={"BOARDBUS_FAULT_AT": point}, lead=5,
                         supervised_deaths={"worker0": 1}, expect_of=sometimes_failing, environment=DOOMED, expects={"retries", "late_retries"}))
    return rows


# What some rows do beyond faults.

def _same_key_from_everywhere(trial) -> None:
    """One message, 100 times, from four threads through two apps."""
    key, payload = f"same-{trial.random.getrandbits(32):08x}", {"n": 0}
    body = json.dumps({"action": "move", "user": "crowd", "payload": payload, "correlation_id": key}).encode()
    told = {"pub": "crowd", "board": "b0", "n": 1, "key": key, "via": "post"}
    turn, number = threading.Lock(), [0]

    def send(port):
        for _ in range(25):
            with turn:
                number[0] += 1
                attempt = number[0]
                trial.writer.write("pub", type="invoke", attempt=attempt, hash=content_hash("move", "crowd", payload), expect="deliver", **told)
            response = request(port, "POST", "/boards/b0/messages", [("Authorization", f"Bearer {TOKEN}")], body)
            trial.writer.write("pub", type="ok" if response.status == 202 else "info", attempt=attempt,
                               result="accepted" if response.status == 202 else "unknown", why=str(response.status), **told)
    threads = [threading.Thread(target=send, args=(port,)) for port in trial.lab.ports("publishers") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


INVALID_BODIES = (b"", b"{", b"[]", b"null", b"\xff\xfe\xfd", b"[" * 5000, b'{"event_id":"x"}', b'{"event_id":7,"board_id":"b","message":{}}',
                  b'{"event_id":"x","board_id":"b","message":{"action":""},"correlation_id":"c"}', b"x" * 1_000_000)


def _poison_bodies(trial) -> None:
    """Bodies that are no envelopes, put into the exchange by another program; with retry counts that are nonsense."""
    import pika
    connection, channel = pika_channel(trial.lab.brokers)
    channel.confirm_delivery()
    for n, body in enumerate(INVALID_BODIES):
        key = f"invalid-{n}-{trial.random.getrandbits(32):08x}"
        told = {"pub": "stranger", "board": None, "n": n, "key": key, "via": "amqp", "attempt": 1}
        trial.writer.write("pub", type="invoke", hash=None, expect="invalid", **told)
        channel.basic_publish(trial.lab.names.exchange, trial.lab.names.routing_key, body,
                              pika.BasicProperties(delivery_mode=2, message_id=key), mandatory=True)
        trial.writer.write("pub", type="ok", result="accepted", why="confirm", **told)
    connection.close()


def _predeclared_classic(lab) -> None:
    connection, channel = pika_channel(lab.brokers)
    channel.exchange_declare(lab.names.exchange, "topic", durable=True)
    channel.queue_declare(lab.names.queue, durable=True)
    channel.queue_bind(lab.names.queue, lab.names.exchange, lab.names.routing_key)
    connection.close()


def _black_hole_as_level(lab) -> None:
    """A queue of the first level's name that somebody else declared, from which nothing ever comes back."""
    connection, channel = pika_channel(lab.brokers)
    channel.queue_declare(lab.names.retry_queue, durable=True)
    connection.close()
    lab.more_queues.append(f"{lab.names.retry_queue}.bb")


FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def _clock_jump(offsets):
    def jump(trial) -> None:
        for offset in offsets:
            time.sleep(2)
            Path(trial.lab.clock_file).write_text(offset)
    return jump


def _clock_before(lab) -> None:
    """All processes of the run read their wall clock through one file; monotonic clocks stay true, as after a real step."""
    lab.clock_file = lab.folder / "clock"
    lab.clock_file.write_text("+0")
    lab.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(lab.clock_file), "FAKETIME_NO_CACHE": "1",
                        "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def _links() -> list:
    rows = []
    for link in ("app-rabbit", "worker-rabbit", "app-redis", "worker-redis"):
        miss = MISS if link == "app-redis" else None
        for kind, seconds, words in (("reset", 2, "RST, refused for 2 s"), ("drop-down", 8, "answers swallowed for 8 s"),
                                     ("drop-up", 8, "requests swallowed for 8 s"), ("stall", 8, "stalled for 8 s"), ("delay", 4, "100 ms each way"),
                                     ("half-close", 1, "half-closed"), ("cut-mid-bytes", 1, "cut at a random byte")):
            # An app that only subscribes sends Redis nothing for minutes: there is nothing to swallow or to cut.
            needs = {"history"} if link == "app-redis" and kind in ("drop-up", "cut-mid-bytes") else ()
            rows.append(Plan(f"{link}-{kind}", needs=needs, what=f"{link}: {words}", links={link}, steps=[(0, f"link.{link}.{kind}", seconds)],
                             readers_may_miss=miss, fresh_seconds=25))
    return rows


def _tls_links() -> list:
    rows = []
    for broker in ("redis", "rabbit"):
        steps = [(0.5, f"link.{role}-{broker}.{kind}", 1) for role in ("worker", "app")
                 for kind in ("cut-record", "cut-answer-record", "cut-mid-bytes")]
        rows.append(Plan(f"tls-{broker}", what=f"TLS to {'Redis' if broker == 'redis' else 'RabbitMQ'} cut in the midst of records, six times",
                         links={f"app-{broker}", f"worker-{broker}"}, steps=steps, tls={broker}, fresh_seconds=25))
    return rows


def _two_minutes() -> list:
    # The readers of this program are slow, and the backlog is 25 MB.
    long = {"rate": 500, "publishers": 10, "readers_may_miss": MISS, "fresh_seconds": 90, "drain_seconds": 180, "accepted_min": 20_000,
            "settings": {"SLOW_CONSUMER_BYTES": "67108864"}}
    return [Plan("redis-outage-2min", what="Redis away for 120 s at 500 messages/s", steps=[(0, "redis.kill", 120)], **long),
            Plan("redis-flapping-2min", what="Redis killed every 2 s for 120 s at 500 messages/s", steps=[(0, "redis.flap", 120)], **long),
            Plan("redis-oom-2min", what="Redis answers PING and refuses writes (maxmemory) for 120 s at 500 messages/s",
                 steps=[(0, "redis.maxmemory", 120)], **long)]


def matrix() -> list:
    """All rows, in the order in which the brokers are needed."""
    two = {"apps": 2, "workers": 2}
    return _points() + [
        Plan("worker-kill-loop", what="workers killed (-9) every 0.2 to 2 s for 10 s, prefetch 100", steps=[(0, "worker.kill-loop", 10)], workers=2,
             settings={"RABBITMQ_PREFETCH_COUNT": "100"}, fresh_seconds=30),
        Plan("redis-kill", what="kill -9 of Redis (append-only file), back after 3 s", steps=[(0, "redis.kill", 3)], readers_may_miss=MISS),
        Plan("redis-kill-empty", what="kill -9 of Redis, back without its data", steps=[(0, "redis.kill-empty", 1)], readers_may_miss=MISS,
             expects={"redis_lost"}, shows={"resync"}),
        Plan("rabbit-kill", what="kill -9 of RabbitMQ, quorum queues", steps=[(0, "rabbit.kill", 1)]),
        Plan("rabbit-kill-classic", what="kill -9 of RabbitMQ, classic queues", steps=[(0, "rabbit.kill", 1)],
             settings={"RABBITMQ_QUEUE_TYPE": "classic"}),
        Plan("cluster-leader-kill", what="kill -9 of the main queue's leader, three nodes, and all readers come back",
             steps=[(0, "cluster.kill-leader+clients.cut", 6)], links=set(SIDES), setup="cluster", lead=3, apps=2),
        Plan("cluster-majority", what="two of three nodes killed, then back, and all readers come back",
             steps=[(0, "cluster.kill-majority+clients.cut", 5)], links=set(SIDES), setup="cluster", fresh_seconds=40, apps=2),
        Plan("cluster-partition", what="the leader cut off from the two others for 10 s", steps=[(0, "cluster.isolate-leader", 10)], setup="cluster",
             fresh_seconds=60),
        Plan("rabbit-freeze", what="RabbitMQ silent (SIGSTOP) for 12 s", steps=[(0, "rabbit.stop", 12)], fresh_seconds=30),
        Plan("redis-freeze", what="Redis silent (SIGSTOP) for 6 s", steps=[(0, "redis.stop", 6)], readers_may_miss=MISS),
        Plan("worker-freeze", what="active or standby worker silent for 16 s: longer than the takeover", steps=[(0, "worker.freeze", 16)], workers=2),
        Plan("app-freeze", what="an app silent for 6 s", steps=[(0, "app.freeze", 6)], apps=2, expects={"silence"}),
        *_links(),
        *_tls_links(),
        Plan("slow-redis-reader", what="Redis ends the subscription of an app that does not read it", links={"app-redis"},
             steps=[(0, "link.app-redis.slow-reader", 1)], rate=300, padding=4000, fresh_seconds=25, settings={"SLOW_CONSUMER_BYTES": "67108864"}),
        Plan("lost-reply", what="worker-redis cut after the commit, before its reply, again and again for 6 s", links={"worker-redis"},
             steps=[(0, "link.worker-redis.cut-after-commit", 6)]),
        Plan("lost-last-of-burst", what="the last message of a burst swallowed on the subscription", links={"app-redis"},
             steps=[(0, "link.app-redis.lose-last", 1)], needs={"history"}),
        Plan("redis-flushall", what="FLUSHALL under load", steps=[(0, "redis.flushall", 1)], expects={"redis_lost"}, shows={"resync"}),
        Plan("redis-script-flush", what="SCRIPT FLUSH and FUNCTION FLUSH under load",
             steps=[(0, "redis.script-flush", 0), (0.5, "redis.script-flush", 0)]),
        Plan("redis-client-kill", what="CLIENT KILL of all connections, ten times a second for 5 s", steps=[(0, "redis.client-kill", 5)],
             readers_may_miss=MISS),
        Plan("redis-oom", what="Redis answers PING and refuses writes (maxmemory) for 5 s", steps=[(0, "redis.maxmemory", 5)]),
        Plan("redis-acl", what="Redis answers PING and refuses writes (ACL) for 5 s", steps=[(0, "redis.acl", 5)]),
        Plan("redis-full-disk", what="the disk of Redis' append-only file is full (MISCONF) for 6 s", steps=[(0, "redis.full-disk", 6)],
             setup="small-disk", needs={"mounts"}),
        Plan("redis-readonly", what="Redis is a replica for 4 s (READONLY)", steps=[(0, "redis.readonly", 4)], readers_may_miss=MISS),
        Plan("redis-no-replicas", what="NOREPLICAS for 4 s", steps=[(0, "redis.no-replicas", 4)]),
        Plan("redis-flapping", what="Redis killed every 2 s for 12 s", steps=[(0, "redis.flap", 12)], readers_may_miss=MISS, fresh_seconds=30),
        *_two_minutes(),
        # Both replicas: the old master goes on with the one that is not promoted, whose acknowledgement alone would be worth nothing.
        Plan("sentinel-failover", what="SENTINEL FAILOVER under load", steps=[(0, "sentinel.failover", 5)], setup="sentinel", needs={"sentinel"},
             expects={"failover"}, settings={"REDIS_WAIT_REPLICAS": "2"}),
        Plan("sentinel-kill", what="kill -9 of the master under load", steps=[(0, "sentinel.kill-master", 8)], setup="sentinel", needs={"sentinel"},
             expects={"failover"}, settings={"REDIS_WAIT_REPLICAS": "1"}),
        Plan("sentinel-old-master", what="the master stopped, replaced, resumed: it takes writes for 10 s", steps=[(0, "sentinel.freeze-master", 8)],
             setup="sentinel", needs={"sentinel"}, expects={"failover"}, settings={"REDIS_WAIT_REPLICAS": "1"}, tail=14),
        Plan("redis-cluster-failover", what="Redis Cluster: CLUSTER FAILOVER of the pipeline's slot", steps=[(0, "redis-cluster.failover", 5)],
             setup="redis-cluster", needs={"redis-cluster"}, settings={"REDIS_WAIT_REPLICAS": "1"}),
        Plan("redis-cluster-kill", what="Redis Cluster: kill -9 of the master of the pipeline's slot", steps=[(0, "redis-cluster.kill-master", 8)],
             setup="redis-cluster", needs={"redis-cluster"}, expects={"failover"}, settings={"REDIS_WAIT_REPLICAS": "1"}),
        Plan("redis-cluster-move-slot", what="Redis Cluster: the pipeline's slot moves to another master", steps=[(0, "redis-cluster.move-slot", 5)],
             setup="redis-cluster", needs={"redis-cluster"}),
        Plan("memory-alarm", what="memory alarm for 8 s", steps=[(0, "rabbit.memory-alarm", 8)]),
        Plan("disk-alarm", what="disk alarm for 8 s", steps=[(0, "rabbit.disk-alarm", 8)]),
        Plan("delete-main", what="main queue deleted while empty", steps=[(0, "rabbit.delete-main", 3)], fresh_seconds=45),
        Plan("delete-retry", what="retry queue deleted while empty", steps=[(0, "rabbit.delete-retry", 3)], expect_of=sometimes_failing,
             environment=DOOMED,
             expects={"retries", "late_retries"}, fresh_seconds=45, lead=3),
        Plan("delete-dlq", what="dead letter queue deleted before the first dead letter", steps=[(0, "rabbit.delete-dlq", 1)],
             expect_of=sometimes_failing,
             environment=DOOMED, expects={"retries", "late_retries"}, lead=0.3, tail=8, fresh_seconds=45),
        Plan("unbind-main", what="main queue's binding removed", steps=[(0, "rabbit.unbind-main", 3)], fresh_seconds=45, tail=3, drain_seconds=90),
        Plan("delete-exchange", what="main exchange deleted", steps=[(0, "rabbit.delete-exchange", 3)], fresh_seconds=45, tail=3, drain_seconds=90),
        Plan("close-connections", what="operator closes all connections, twice",
             steps=[(0, "rabbit.close-connections", 1), (1, "rabbit.close-connections", 1)]),
        Plan("predeclared", what="main queue predeclared as classic, without single active consumer", before=_predeclared_classic,
             steps=[(0, "worker.kill", 1)]),
        Plan("same-key", what="one message sent 100 times through two apps", extra=_same_key_from_everywhere, apps=2),
        Plan("invalid-bodies", what="ten bodies that are no envelopes", extra=_poison_bodies),
        Plan("crash-poison", what="a message that kills the worker, among others", faults={"BOARDBUS_FAULT_AT": "worker.handling=poison"},
             faults_always=True, expect_of=poison_at_30, boards=1, lead=8, supervised_deaths={"worker0": 3}),
        Plan("handler-fails", what="some messages fail always, some a few times", expect_of=sometimes_failing, environment=DOOMED,
             expects={"retries"},
             lead=5),
        Plan("retry-delays-changed", what="base delay of the retries 0.2, then 1.4, then 0.1 s, while messages wait in the levels", lead=4, tail=4,
             expect_of=sometimes_failing, environment=DOOMED, expects={"retries", "late_retries"},
             steps=[(0, "worker.longer-delays", 3), (0, "worker.shorter-delays", 1)]),
        Plan("foreign-level", what="the first retry level's name belongs to a queue that gives nothing back", before=_black_hole_as_level,
             expect_of=sometimes_failing, environment=DOOMED, expects={"retries", "late_retries"}, steps=[(0, "worker.kill", 1)], lead=4),
        Plan("slow-reader", what="a reader of one event in two seconds among others", slow_reader=True, lead=6, rate=200),
        Plan("clock", what="wall clock of app and worker +1 h, then -1 h, then true", before=_clock_before,
             extra=_clock_jump(("+3600", "-3600", "+0")),
             needs={"faketime"}),
        Plan("lanes", what="twenty lanes of two workers: one killed (-9), then an app, then all connections closed", boards=24,
             steps=[(0, "worker.kill", 3), (2, "app.kill", 1), (2, "rabbit.close-connections", 1)], settings={"LANES": "20"}, lead=4,
             expect_of=sometimes_failing, environment=DOOMED, expects={"retries", "late_retries"}, fresh_seconds=40, drain_seconds=90, **two),
        Plan("rolling-restart", what="SIGTERM to each worker and app in turn", steps=[(0, "rolling-restart", 0)], **two),
        Plan("drain-10000", what="SIGTERM to an app with 10,000 readers, under load", steps=[(0, "app.leave", 0)], apps=2, crowd=10_000,
             settings={"RECONNECT_INITIAL_DELAY_SECONDS": "1.5", "RECONNECT_MAX_DELAY_SECONDS": "10", "WEBSOCKET_MAX_CONNECTIONS": "15000"},
             fresh_seconds=30),
        Plan("rolling-restart-load", what="SIGTERM to each worker and app in turn, three times, at 500 messages/s", rate=500, publishers=10,
             steps=[(0, "rolling-restart", 0)] * 3, fresh_seconds=30, **two),
        Plan("clients-cut", what="RST of all clients' connections, three times", links=set(SIDES), steps=[(0.5, "clients.cut", 0)] * 3),
        Plan("clients-stall", what="clients' connections stalled for 4 s", links=set(SIDES), steps=[(0, "clients.stall", 4)], expects={"silence"}),
        Plan("history-trimmed", what="readers away for longer than a history of 50 events per board, and the app is another one when they come back",
             links={"readers"}, steps=[(0, "readers.away-from-a-new-app", 6)], settings={"HISTORY_SIZE": "200", "HISTORY_BOARD_SIZE": "50"},
             needs={"resume"}, expects={"gaps", "pruning"}, shows={"gap"}),
        # Quiet boards have kept older events than the busy one: what is repaired board by board is not in the order of all.
        Plan("history-trimmed-app", what="an app away from Redis for longer than a history of 50 events per board, and its readers stay",
             links={"app-redis"}, steps=[(0, "link.app-redis.reset", 6)], busy=18,
             settings={"HISTORY_SIZE": "200", "HISTORY_BOARD_SIZE": "50"},
             needs={"history"}, expects={"gaps", "pruning"}, shows={"gap"}, fresh_seconds=25),
        Plan("history-forgets-boards", what="an app away from Redis for longer than the history remembers that a quiet board had an event",
             links={"app-redis"}, steps=[(0, "link.app-redis.reset", 6)], boards=12, busy=60, lead=4, tail=6,
             settings={"HISTORY_SIZE": "20", "HISTORY_BOARD_SIZE": "10"},
             needs={"history"}, expects={"gaps", "pruning"}, shows={"gap"}, fresh_seconds=25),
    ]


NOT_DONE = {
    "rabbit-full-disk": "RabbitMQ's own alarm (row disk-alarm) comes before the disk is full; a node that ends is row rabbit-kill",
    "tls-certificates": "tests/system/test_brokers.py does it",
    "power-loss": "SIGKILL keeps the page cache; nothing here cuts the power",
}
CI = ("kill-app.after_confirm", "kill-worker.after_commit", "redis-kill", "redis-flushall", "rabbit-kill", "lost-reply", "lost-last-of-burst",
      "history-trimmed", "redis-oom", "unbind-main", "handler-fails", "crash-poison", "rolling-restart", "app-rabbit-drop-down")
