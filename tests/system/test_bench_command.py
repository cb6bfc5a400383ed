# SPDX-License-Identifier: Apache-2.0
"""`boardbus bench` against a running app: what it counts is what happened, and it says why it failed."""
import json
import re
import signal
import socket
import threading

import pytest

from harness.children import free_ports
from harness.processes import Boardbus, run_to_end
from harness.timing import scaled, wait_until

SHORT = ["--duration", "1", "--warmup", "0.2"]


def arguments(app, load, *more):
    return ["bench", load, "--url", f"http://127.0.0.1:{app.port}", *more]


def bench_json(app, folder, load, *more, settings=None, code=0):
    """The object of --json; it must be alone on one line."""
    ended, out, err = run_to_end(arguments(app, load, "--json", *more), folder, settings, seconds=40)
    assert ended == code, (ended, out, err)
    assert out.count("\n") == 1, out
    return json.loads(out), err


def assert_nothing_wrong(result):
    assert result["ok"] and result["problems"] == [] and result["refusals"] == {} and not result["interrupted"]
    for name in ("refused", "lost", "doubled", "out_of_order", "strange", "connections_lost"):
        assert result[name] == 0, (name, result)


@pytest.mark.parametrize("transport, flags", [("websocket", []), ("sse", ["--sse"])])
def test_fanout_brings_each_event_to_each_reader(app, tmp_path, board, transport, flags):
    result, err = bench_json(app, tmp_path, "fanout", "--board", board, "--subscribers", "21", "--boards", "2", "--publishers", "2", "--rate", "50",
                             *SHORT, *flags)
    assert_nothing_wrong(result)
    assert result["load"] == "fanout" and result["transport"] == transport and err == ""
    # 1.2 s at 50/s; the boards take turns, and have 11 and 10 readers.
    assert result["published"] == 60 and result["delivered"] == 30 * 11 + 30 * 10
    assert result["setup"]["subscribers"] == 21 and result["setup"]["rate_per_s"] == 50
    latency = result["latency_ms"]
    assert latency["samples"] == 25 * 21
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]


def test_pipeline_saturates_and_loses_nothing(app, tmp_path, board):
    before = app.get("/metrics").body.decode()
    result, _ = bench_json(app, tmp_path, "pipeline", "--board", board, "--window", "16", *SHORT)
    assert_nothing_wrong(result)
    assert result["published"] == result["delivered"] > 100
    assert result["events_per_s"] == pytest.approx(result["deliveries_per_s"]) and result["measured_seconds"] == 1
    name = 'advanced_board_events_published_total{status="success"} '

    def counted(text):
        return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))
    assert counted(app.get("/metrics").body.decode()) - counted(before) == result["published"], "the app counts otherwise"


def test_connect_opens_holds_and_counts(app, tmp_path, board):
    result, _ = bench_json(app, tmp_path, "connect", "--board", board, "--connections", "150", "--hold", "0.3")
    assert result["ok"] and result["opened"] == result["held"] == result["tried"] == 150 and result["refused"] == 0
    assert result["handshake_ms"]["samples"] == 150 and result["sockets_per_s"] > 0


def test_connect_at_a_rate_takes_its_time(app, tmp_path, board):
    result, _ = bench_json(app, tmp_path, "connect", "--board", board, "--connections", "50", "--rate", "100", "--hold", "0", "--sse")
    assert result["ok"] and result["transport"] == "sse" and result["opened"] == 50
    assert result["seconds"] >= 0.49


def test_the_text_has_a_table_and_a_histogram(app, tmp_path, board):
    code, out, err = run_to_end(arguments(app, "fanout", "--board", board, "--subscribers", "3", "--progress", "--duration", "2", "--warmup", "0"), tmp_path)
    assert code == 0, err
    assert re.search(r"^  deliveries per s +\d", out, re.M) and re.search(r"^  latency p99.9 +\d+\.\d+ ms$", out, re.M)
    assert re.search(r"^  below [\d.]+ ms +\d+  #+$", out, re.M)
    assert re.search(r"^ +1 s  published \d+ ", err, re.M), err


@pytest.mark.parametrize("load", ["fanout", "pipeline", "connect"])
def test_a_wrong_token_is_the_reason(app, tmp_path, load):
    few = ["--connections", "5"] if load == "connect" else ["--subscribers", "5"]
    result, err = bench_json(app, tmp_path, load, "--token", "wrong-one", *few, code=1)
    assert not result["ok"] and "4401" in result["problems"][0] and "token" in err and "wrong-one" not in err
    assert sum(result["refusals"].values()) == result["refused" if load == "connect" else "connections_lost"] > 0


def test_a_wrong_token_of_a_stream_is_401(app, tmp_path):
    result, _ = bench_json(app, tmp_path, "connect", "--sse", "--connections", "3", "--hold", "0", "--token", "wrong-one", code=1)
    assert result["refusals"] == {"HTTP 401 (wrong or missing token)": 3} and result["opened"] == 0


def test_what_the_server_refuses_is_counted_by_kind(start, tmp_path):
    app = start("app", {"EVENT_TRANSPORT": "memory", "WEBSOCKET_MAX_CONNECTIONS": "10", "ACTIVITY_STREAM_RATE_LIMIT": "4/hour"}).wait_ready()
    sockets, _ = bench_json(app, tmp_path, "connect", "--connections", "25", "--hold", "0.3", code=1)
    assert sockets["held"] == 10 and sockets["refused"] == 15 and [kind for kind in sockets["refusals"] if "1013" in kind]
    streams, _ = bench_json(app, tmp_path, "connect", "--sse", "--connections", "6", "--hold", "0.3", code=1)
    assert streams["held"] == 4 and [(kind[:8], count) for kind, count in streams["refusals"].items()] == [("HTTP 429", 2)]


def test_error_frames_are_refusals(start, tmp_path):
    app = start("app", {"EVENT_TRANSPORT": "memory", "WEBSOCKET_MESSAGE_RATE_LIMIT": "10/hour"}).wait_ready()
    result, err = bench_json(app, tmp_path, "fanout", "--subscribers", "3", "--rate", "50", *SHORT, code=1)
    assert result["published"] == 60 and result["delivered"] == 30 and result["lost"] == 0
    assert result["refused"] == 50 and result["refusals"] == {"message rate_limited": 50} and "rate_limited" in err


def test_a_server_that_is_killed_ends_the_run_with_a_reason(start, tmp_path):
    app = start("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()
    bench = Boardbus("bench", tmp_path, arguments=arguments(app, "pipeline", "--json", "--progress", "--duration", "60", "--warmup", "0")[1:])
    wait_until(lambda: " published " in bench.stderr(), 20, "the load has begun")
    app.kill()
    assert bench.wait_exit(20) == 1
    result = json.loads(bench.output())
    # Four read and four publish. As soon as nothing is owed to anybody any more, the run is over.
    assert not result["ok"] and 1 <= result["connections_lost"] <= 8 and result["published"] > 0
    assert "connections ended" in bench.stderr() and sum(result["refusals"].values()) == result["connections_lost"]


def test_an_interrupt_ends_the_run_and_prints_what_there_is(app, tmp_path, board):
    bench = Boardbus("bench", tmp_path, arguments=arguments(app, "fanout", "--json", "--progress", "--board", board, "--subscribers", "5", "--duration",
                                                            "60", "--warmup", "0")[1:])
    wait_until(lambda: " published " in bench.stderr(), 20, "the load has begun")
    bench.signal(signal.SIGINT)
    assert bench.wait_exit(20) == 0, bench.stderr()
    result = json.loads(bench.output())
    assert result["interrupted"] and result["ok"] and result["delivered"] == result["published"] * 5 > 0
    assert 0 < result["measured_seconds"] < 60


def test_nobody_there_is_a_line(tmp_path):
    port = free_ports(1)[0]
    code, out, err = run_to_end(["bench", "connect", "--url", f"ws://127.0.0.1:{port}"], tmp_path)
    assert code == 1 and out == "" and err.count("\n") == 1 and str(port) in err


def test_garbage_instead_of_a_server_is_counted(tmp_path):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(scaled(20))

    def serve():
        listener.accept()[0].close()  # The first connection only looks whether somebody is there.
        for _ in range(4):
            peer, _ = listener.accept()
            peer.recv(4096)
            peer.sendall(b"\x00\xff garbage \r\n\r\n")
            peer.close()
    server = threading.Thread(target=serve, daemon=True)
    server.start()
    code, out, err = run_to_end(["bench", "connect", "--json", "--connections", "4", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}"], tmp_path)
    server.join(scaled(5))
    listener.close()
    assert code == 1 and "not HTTP" in err and json.loads(out)["refusals"] == {"no handshake: the answer is not HTTP": 4}


@pytest.mark.parametrize("more", [["fanout", "--rate", "fast"], ["fanout", "--subscribers", "0"], ["pipeline", "--payload", "1"], ["connect", "--hold", "x"],
                                  ["connect", "--nope"], ["flood"], [], ["fanout", "--boards", "5"], ["connect", "--url", "wss://127.0.0.1"],
                                  ["connect", "--url", "nonsense"]])
def test_a_bad_option_is_one_line_and_2(tmp_path, more):
    code, out, err = run_to_end(["bench", *more], tmp_path)
    assert code == 2 and out == "" and err.count("\n") == 1, (code, out, err)


def test_more_connections_than_descriptors_are_refused_before_the_start(app, tmp_path):
    code, out, err = run_to_end(arguments(app, "connect", "--connections", "5000000"), tmp_path)
    assert code == 1 and out == "" and "5000000 connections need" in err and err.count("\n") == 1
