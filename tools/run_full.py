#!/usr/bin/env python3
"""Starts boardbus as it runs in production, on this machine alone: RabbitMQ, Redis, one worker, one app; until Ctrl-C.

  run_full.py PROGRAM

The brokers are private: loopback, ports of their own, data in .run/ (removed at the end). The system's own are never touched.
SPDX-License-Identifier: Apache-2.0
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))
sys.dont_write_bytecode = True

from harness.brokers import Brokers  # noqa: E402
from harness.children import Child  # noqa: E402


class Stop(Exception):
    """Somebody wants us to end."""


def on_signal(number, _):
    raise Stop(signal.Signals(number).name)


def start(program, command, folder, environment):
    log = folder / f"{command}.log"
    return Child([program, command], env=environment, cwd=folder, stdout=log, stderr=log)


def ask(program, *arguments):
    done = subprocess.run([program, *arguments])
    if done.returncode != 0:
        raise Stop(f"{' '.join(arguments)}: exit code {done.returncode}")


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    folder = ROOT / ".run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    port = os.environ.get("ADVANCED_APP_PORT", "8004")
    worker_port = os.environ.get("ADVANCED_WORKER_PORT", "8005")
    url = f"http://127.0.0.1:{port}"
    brokers = Brokers(folder)
    started = []
    try:
        print("starting RabbitMQ and Redis (about 8 s)", flush=True)
        brokers.start()
        environment = {"HOME": str(folder), "ADVANCED_LOG_FORMAT": "text", **os.environ,
                       "ADVANCED_RABBITMQ_URL": brokers.rabbitmq.url, "ADVANCED_REDIS_URL": brokers.redis.url,
                       "ADVANCED_EVENT_TRANSPORT": "rabbitmq"}
        started = [start(program, "worker", folder, environment), start(program, "app", folder, environment)]
        ask(program, "health", "--wait", "20", "--url", f"http://127.0.0.1:{worker_port}")
        ask(program, "health", "--wait", "20", "--url", url)
        ask(program, "demo", "--url", url)
        print(f"\nThe board is at {url}/ - logs are in .run/*.log - Ctrl-C stops everything.", flush=True)
        while all(child.exit_code() is None for child in started):
            signal.sigtimedwait([], 1)
        raise Stop("a process ended by itself, see .run/*.log")
    except Stop as reason:
        good = str(reason) in ("SIGINT", "SIGTERM", "SIGHUP")
        print(f"stopping: {reason}", flush=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(started):
            child.signal(signal.SIGTERM)
        codes = [child.wait(20) for child in reversed(started)]
        return 0 if good and not any(codes) else 1
    finally:
        brokers.end()
        if not started or all(child.exit_code() == 0 for child in started):
            shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
