"""The programs of a fan-out run: a server under test on one core, load generators on another.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time
import urllib.request

from harness.children import Child, clean_environment, free_ports

TOKEN = "sesame-7f3a91"
# A loaded machine may be slow; a hung one must not hang us.
READY_SECONDS = 15


class NotMeasured(Exception):
    """A run is worth nothing: why."""


class Server:
    """One process of boardbus or of the floor, pinned to `cores`."""

    def __init__(self, context, kind: str, *, cores: str = None, settings=None, event_bytes: int = 0, deflate_each: bool = False):
        self.kind = kind
        self.port = free_ports(1)[0]
        cores = context.server_core if cores is None else cores
        environment = {}
        if kind == "boardbus":
            command = [context.build / "boardbus", "app"]
            environment = {f"ADVANCED_{name}": value for name, value in {
                "APP_HOST": "127.0.0.1", "APP_PORT": self.port, "EVENT_TRANSPORT": "memory", "THREADS": "1", "REALTIME_TOKEN": TOKEN,
                "RATE_LIMIT_DEFAULT": "", "ACTIVITY_STREAM_RATE_LIMIT": "", "LOG_FORMAT": "json", **(settings or {})}.items()}
        else:
            command = [context.build / "bench_fanout_floor", "--port", self.port, "--event-bytes", event_bytes]
            command += ["--deflate-each"] if deflate_each else []
        log = context.folder / f"{kind}.log"
        self._log = log
        self._child = Child(["taskset", "-c", cores, *command], env=clean_environment(**environment), cwd=context.folder,
                            stdout=log, stderr=log)
        self.pid = self._child.pid
        try:
            self._wait_ready()
        except BaseException:
            self._child.kill()
            raise

    def _wait_ready(self) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if self._child.exit_code() is not None:
                break
            try:
                if self.kind != "boardbus":
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
                if self._get("/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise NotMeasured(f"{self.kind} is not ready after {READY_SECONDS} s: {self._log.read_text(errors='replace')[-800:]}")

    def _get(self, path: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        lines = [line for line in self._get("/metrics")[1].splitlines() if line.startswith((name + " ", name + "{"))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def rss_bytes(self) -> int:
        """Exact, page by page: VmRSS of /proc/PID/status may be off by a hundred pages."""
        for line in pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
        raise NotMeasured("no Rss in smaps_rollup")

    def peak_rss_bytes(self) -> int:
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise NotMeasured("no VmHWM in status")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()  # What it would say at an orderly end is of no interest, and 10,000 close frames take their time.


class Load:
    """One load generator. It has opened all its sockets when the constructor returns."""

    def __init__(self, context, servers, *arguments, open_seconds: float = 130):
        servers = servers if isinstance(servers, list) else [servers]
        command = ["taskset", "-c", context.load_core, context.build / "bench_fanout_load", "--controlled",
                   "--server", f"127.0.0.1:{servers[0].port}", "--token", TOKEN]
        for server in servers:
            command += ["--server-pid", server.pid]
        self._process = subprocess.Popen([str(part) for part in [*command, *arguments]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, bufsize=1, start_new_session=True)
        try:
            self.opened = self._line(open_seconds)
        except BaseException:
            self.kill()
            raise

    def _line(self, seconds: float) -> dict:
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise NotMeasured(f"the load generator is silent for {seconds:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(10)
            raise NotMeasured(self._process.stderr.read().strip()[-500:] or "the load generator ended without a word")
        return json.loads(line)

    def say(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def go(self) -> None:
        self.say("go")

    def finish(self, seconds: float) -> dict:
        """The report. An event that was lost, doubled or out of order makes the run worthless."""
        try:
            report = self._line(seconds)
            self._process.wait(10)
        except BaseException:
            self.kill()
            raise
        for trouble in ("missing", "repeated", "foreign"):
            if report[trouble]:
                raise NotMeasured(f"{report[trouble]:,} events {trouble}: {json.dumps(report)}")
        return {**report, **self.opened}

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def run_load(context, server, *arguments, seconds: float, warmup: float) -> dict:
    """One run from the first socket to the report."""
    with Load(context, server, "--seconds", seconds, "--warmup", warmup, *arguments) as load:
        load.go()
        return load.finish(seconds + warmup + 60)


def kernel_bytes() -> dict:
    """What the kernel holds for sockets of the whole machine: slab memory, and the pages of TCP buffers."""
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    tcp = next(line for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")).split()
    return {"slab": int(fields["Slab"].split()[0]) * 1024, "tcp": int(tcp[tcp.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")}
