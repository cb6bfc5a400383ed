# SPDX-License-Identifier: Apache-2.0
"""Several main queues: boards are spread over them, workers share them, and every board keeps its order whoever comes and goes."""
import json
import time

import pytest

from harness.pipeline import ChannelListener, Pipeline, Queues
from harness.processes import run_to_end
from harness.timing import wait_until
from harness.websocket import TEXT, encode_frame

pytestmark = pytest.mark.brokers

LANES = 4
BOARDS = [f"lane-board-{n}" for n in range(24)]


@pytest.fixture
def lanes(brokers, start, names):
    pipeline = Pipeline(start, brokers, names, {"LANES": str(LANES)})
    yield pipeline
    queues = [names.queue] + [f"{names.queue}.lane.{n}" for n in range(2, LANES + 1)]
    retries = [names.retry_queue] + [f"{names.retry_queue}.lane.{n}" for n in range(2, LANES + 1)]
    found = Queues(brokers, names)
    for name in [*queues, *retries, *[f"{name}.2" for name in retries], names.dlq_queue]:
        found.channel.queue_delete(name)
    found.close()


def send(sockets: dict, first: int, count: int) -> None:
    """The messages first … of every board, in turns."""
    for number in range(first, first + count):
        for board, socket in sockets.items():
            message = {"action": f"n{number}", "correlation_id": f"{board}-{number}"}
            socket.wire.send(encode_frame(TEXT, json.dumps(message).encode()))


def check(events: list, count: int) -> None:
    """Of every board each message once and in order."""
    for board in BOARDS:
        assert [event["action"] for event in events if event["board"] == board] == [f"n{n}" for n in range(count)], board


def handled(pipeline, worker) -> float:
    return pipeline.metric(worker, "advanced_worker_outcomes_total", outcome="fanned_out")


def test_boards_are_spread_and_each_keeps_its_order(lanes, brokers, names):
    listener = ChannelListener(brokers, names)
    sockets = {board: lanes.socket(board) for board in BOARDS}
    send(sockets, 0, 20)
    check(listener.wait(20 * len(BOARDS)), 20)

    queues = Queues(brokers, names)
    for name in [names.queue] + [f"{names.queue}.lane.{n}" for n in range(2, LANES + 1)]:
        assert queues.channel.queue_declare(name, passive=True).method.consumer_count == 1
    queues.close()
    listener.close()


def test_a_retry_stays_in_its_lane(brokers, start, names):
    faults = {"BOARDBUS_FAULT_FAIL": ",".join(f"processor.message=flaky{n}:1" for n in range(len(BOARDS)))}
    pipeline = Pipeline(start, brokers, names, {"LANES": str(LANES)}, faults=faults)
    listener = ChannelListener(brokers, names)
    for n, board in enumerate(BOARDS):
        assert pipeline.post(board, {"action": f"flaky{n}"}).status == 202
    assert sorted(event["board"] for event in listener.wait(len(BOARDS))) == sorted(BOARDS)
    listener.close()


def test_workers_share_the_lanes_and_one_takes_over_from_one_that_dies(lanes, brokers, names):
    listener = ChannelListener(brokers, names)
    sockets = {board: lanes.socket(board) for board in BOARDS}
    send(sockets, 0, 5)
    listener.wait(5 * len(BOARDS))

    second = lanes.second_worker()
    sent = 5
    # A lane changes hands only while something comes: its worker learns by that that it is the active one.
    deadline = time.monotonic() + 40
    while len(lanes.worker.log(event="lane_given_up")) < LANES // 2 - 1 and time.monotonic() < deadline:
        send(sockets, sent, 1)
        sent += 1
        time.sleep(0.25)
    given_up = lanes.worker.log(event="lane_given_up")
    assert len(given_up) in (LANES // 2 - 1, LANES // 2, LANES // 2 + 1)
    send(sockets, sent, 10)
    sent += 10
    wait_until(lambda: handled(lanes, second) > 0, what="the second worker has work")

    second.kill()
    send(sockets, sent, 20)
    sent += 20
    check(listener.wait(sent * len(BOARDS), 60), sent)
    assert not lanes.log(event="dead_letter")
    listener.close()


def test_a_dead_letter_of_a_lane_goes_back_to_its_lane(brokers, start, names):
    board = BOARDS[1]
    faults = {"BOARDBUS_FAULT_FAIL": "processor.message=doomed:3"}
    pipeline = Pipeline(start, brokers, names, {"LANES": str(LANES)}, faults=faults)
    listener = ChannelListener(brokers, names)
    assert pipeline.post(board, {"action": "doomed"}).status == 202
    pipeline.dead_letter_lines(1, 20)
    code, out, err = run_to_end(["dlq", "replay", "--all"], start.folder / "dlq", dict(pipeline.settings))
    assert code == 0, f"{out} {err}"
    assert [event["action"] for event in listener.wait(1)] == ["doomed"]
    listener.close()
