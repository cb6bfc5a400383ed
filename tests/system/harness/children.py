# SPDX-License-Identifier: Apache-2.0
"""Child processes that cannot outlive the test run, not even one that is killed with -9.

Each child leads its own process group. A small guardian process holds the other end of a pipe; when that closes, because the
run ended in whatever way, it kills the groups that were not reported as gone. Only groups started here are ever touched.
"""
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

from .timing import wait_until

_GUARDIAN = r"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)
alive = []
for line in sys.stdin:
    pid = int(line[1:])
    if line[0] == "+": alive.append(pid)
    elif pid in alive: alive.remove(pid)
for pid in reversed(alive):
    try: os.killpg(pid, signal.SIGCONT); os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError: pass
"""
_guardian = None


def _tell(sign: str, pid: int) -> None:
    global _guardian
    if _guardian is None:
        _guardian = subprocess.Popen([sys.executable, "-c", _GUARDIAN], stdin=subprocess.PIPE, start_new_session=True, text=True)
    _guardian.stdin.write(f"{sign}{pid}\n")
    _guardian.stdin.flush()


class Child:
    """One started program; its standard output and error go to files."""

    def __init__(self, command, *, env, cwd, stdout, stderr):
        with open(stdout, "ab") as out, open(stderr, "ab") as err:
            self._process = subprocess.Popen(
                [str(part) for part in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        self.pid = self._process.pid
        self._told_gone = False
        _tell("+", self.pid)

    def exit_code(self):
        """None while it runs; negative signal number as subprocess has it."""
        code = self._process.poll()
        if code is not None and not self._told_gone:
            self._told_gone = True
            _tell("-", self.pid)
        return code

    def wait(self, seconds: float):
        """Waits for the end and returns the exit code; TimeoutError if it does not come."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {seconds:.1f} s") from None
        return self.exit_code()

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.kill(self.pid, number)
            if number == signal.SIGSTOP:
                wait_until(self._is_stopped, 5, f"process {self.pid} has stopped", 0.001)

    def _is_stopped(self) -> bool:
        """Whether none of its threads runs any more: with many processes on few cores some run on long enough to answer a request."""
        try:
            stats = [Path(f"/proc/{self.pid}/task/{thread}/stat").read_text() for thread in os.listdir(f"/proc/{self.pid}/task")]
        except (FileNotFoundError, ProcessLookupError):
            return self._process.poll() is not None
        return all(stat.rpartition(")")[2].split()[0] in "TZX" for stat in stats)

    def kill(self) -> None:
        """SIGKILL to the whole group, then reaps it."""
        if self._process.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(10)
        self.exit_code()


_given = set()


def free_ports(count: int) -> list:
    """Ports of 127.0.0.1 that were free a moment ago, given to nobody before, and none of those that the kernel gives to connections: such
    a one could be in use before its server has bound it, or while that is restarted."""
    first_of_connections = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    # Of processes that run tests side by side each has its own.
    runner = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    runners = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    choice = range(10_000 + runner, max(first_of_connections, 20_000), runners)
    ports = []
    for port in random.sample(choice, min(5_000, len(choice))):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"fewer than {count} ports are free")


def clean_environment(**more) -> dict:
    """What a child gets of our environment: enough to run, nothing that configures boardbus by accident."""
    kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env.update({name: str(value) for name, value in more.items()})
    return env
