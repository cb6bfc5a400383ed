# SPDX-License-Identifier: Apache-2.0
"""The whole pipeline on a Redis Cluster: with one lane and several, through failovers, a killed master and a slot that moves."""
import shutil
import threading
import time

import pytest

from harness.eventstream import EventStream
from harness.pipeline import ChannelListener, Listener, Pipeline, Queues, check_stream, send_stream
from harness.processes import run_to_end
from harness.redis_cluster import RedisCluster, WithCluster
from harness.timing import wait_until

pytestmark = pytest.mark.brokers

LANES = 3


@pytest.fixture
def cluster(brokers, tmp_path):
    if shutil.which("redis-cli") is None:
        pytest.skip("not installed: redis-cli")
    redis = RedisCluster(tmp_path / "cluster")
    try:
        redis.start()
        yield WithCluster(brokers, redis)
    finally:
        redis.end()


def key_of(names, last: str) -> str:
    return f"{names.channel}:{{{names.channel}}}:{last}"


def under_load(pipeline, board: str, count: int, trouble) -> Listener:
    """Sends `count` messages over about eight seconds; a third of the way `trouble` begins. All must come, once and in order."""
    listener = Listener(pipeline.socket(board))
    with pipeline.socket(board) as sender:
        thread = threading.Thread(target=lambda: (time.sleep(2.5), trouble()))
        thread.start()
        send_stream(sender, board, 0, count, batch=20, pause=8 * 20 / count)
        thread.join()
        events = listener.wait(count, 60)
    check_stream(events, count)
    assert not pipeline.log(event="dead_letter")
    return listener


def test_messages_go_end_to_end_and_all_keys_are_in_one_slot(cluster, start, names, board):
    pipeline = Pipeline(start, cluster, names, {"RATE_LIMIT_STORAGE_URI": cluster.redis.url})
    channel = ChannelListener(cluster, names)
    with pipeline.socket(board) as socket, EventStream(pipeline.port, "/sse/activity") as stream:
        send_stream(socket, board, 0, 200)
        check_stream(socket.events(200, seconds=30), 200)
        assert stream.next(30).json()["pos"] == 1
    check_stream(channel.wait(200), 200)
    channel.close()

    owner = cluster.redis.master_of(key_of(names, "log"))
    assert cluster.redis.at(owner, "EXISTS", f"{names.prefix}:{{{names.channel}}}:{board}-7", key_of(names, "log"), key_of(names, "state")) == "3"
    assert not pipeline.log(event="rate_limits_unavailable")
    code, out, _ = run_to_end(["config"], start.folder / "config", {"REDIS_URL": cluster.redis.url.replace("//", "//u:secret@", 1)})
    assert code == 0 and "redis+cluster://u:***@127.0.0.1" in out and "secret" not in out


def test_several_lanes_share_one_history(cluster, start, names, brokers):
    pipeline = Pipeline(start, cluster, names, {"LANES": str(LANES)})
    channel = ChannelListener(cluster, names)
    boards = [f"cluster-board-{n}" for n in range(12)]
    sockets = [pipeline.socket(board) for board in boards]
    for board, socket in zip(boards, sockets):
        send_stream(socket, board, 0, 20)
    events = channel.wait(20 * len(boards))
    for board in boards:
        check_stream([event for event in events if event["board"] == board], 20)
    assert sorted(event["pos"] for event in events) == list(range(1, 20 * len(boards) + 1))
    wait_until(lambda: pipeline.worker.log(event="workers"), what="the roster answers")
    channel.close()
    queues = Queues(brokers, names)
    for lane in range(2, LANES + 1):
        for name in (f"{names.queue}.lane.{lane}", f"{names.retry_queue}.lane.{lane}", f"{names.retry_queue}.lane.{lane}.2"):
            queues.channel.queue_delete(name)
    queues.close()


def test_a_manual_failover_loses_nothing(cluster, start, names, board):
    pipeline = Pipeline(start, cluster, names)

    def fail_over():
        replica = cluster.redis.replica_of(cluster.redis.master_of(key_of(names, "log")))
        assert cluster.redis.at(replica, "CLUSTER", "FAILOVER") == "OK"
        wait_until(lambda: "role:master" in cluster.redis.at(replica, "INFO", "replication"), 20, "the replica is the master")

    under_load(pipeline, board, 2000, fail_over)
    assert not pipeline.app.log(event="history_break")


def test_a_killed_master_is_replaced_and_a_loss_is_told(cluster, start, names, board):
    pipeline = Pipeline(start, cluster, names)
    reader = Listener(pipeline.socket(board, headers=[("Sec-WebSocket-Protocol", "boardbus.v1")]))
    with pipeline.socket(board) as sender:
        thread = threading.Thread(target=lambda: (time.sleep(2.5), cluster.redis.kill(cluster.redis.master_of(key_of(names, "log")))))
        thread.start()
        send_stream(sender, board, 0, 2000, batch=20, pause=0.08)
        thread.join()
        wait_until(lambda: "n1999" in reader.actions(), 60, lambda: f"the last message, {len(reader.events)} so far", 0.1)
    resyncs = [frame for frame in reader.errors if frame["kind"] == "resync"]
    numbers = [int(event["action"][1:]) for event in reader.events]
    # Replication is asynchronous: what the dead master alone had is gone from the log, and readers are told so. Whoever was connected saw it.
    assert sorted(set(numbers)) == list(range(2000))
    if not resyncs:
        check_stream(reader.events, 2000)
    assert not pipeline.log(event="dead_letter")
    wait_until(lambda: pipeline.app.get("/readyz").status == 200, 20, "the app is ready")


def test_a_slot_that_moves_under_load_is_followed(cluster, start, names, board):
    pipeline = Pipeline(start, cluster, names)

    def move():
        key = key_of(names, "log")
        cluster.redis.move_slot_of(key, cluster.redis.other_master(cluster.redis.master_of(key)))

    under_load(pipeline, board, 2000, move)
    assert not pipeline.app.log(event="history_break")
