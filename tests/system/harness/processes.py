# SPDX-License-Identifier: Apache-2.0
"""A started boardbus: its environment, its port, its log lines, its end."""
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

from . import clients
from .children import Child, clean_environment, free_ports
from .timing import scaled, wait_until

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("BOARDBUS_BIN", ROOT / "build/release/boardbus-faults"))
TOKEN = "sesame-7f3a91"
_SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer)")
_CRASHES = {-number for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)}


class Boardbus:
    """One process of `boardbus COMMAND`. Settings are given without their ADVANCED_ prefix."""

    def __init__(self, command: str, folder: Path, settings=None, *, arguments=(), faults=None, port=None):
        self.command = command
        self.folder = folder
        self.port = port or free_ports(1)[0]
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{command}-{time.monotonic_ns()}"
        self.stdout_file, self.stderr_file = folder / f"{stem}.out", folder / f"{stem}.err"
        host_key = "WORKER" if command == "worker" else "APP"
        env = {f"ADVANCED_{host_key}_HOST": "127.0.0.1", f"ADVANCED_{host_key}_PORT": self.port, "ADVANCED_LOG_FORMAT": "json",
               "ADVANCED_REALTIME_TOKEN": TOKEN, "ADVANCED_RATE_LIMIT_DEFAULT": "", "ADVANCED_ACTIVITY_STREAM_RATE_LIMIT": "",
               "ADVANCED_THREADS": "2"}
        env.update({name if name.startswith(("ADVANCED_", "BOARDBUS_")) else f"ADVANCED_{name}": value
                    for name, value in (settings or {}).items()})
        env.update(faults or {})
        self._child = Child([BINARY, command, *arguments], env=clean_environment(**env), cwd=folder,
                            stdout=self.stdout_file, stderr=self.stderr_file)
        self.pid = self._child.pid

    # What it says.

    def stderr(self) -> str:
        return self.stderr_file.read_text(errors="replace")

    def output(self) -> str:
        return self.stdout_file.read_text(errors="replace")

    def log(self, **fields) -> list:
        """The parsed log lines whose members equal `fields`."""
        lines = []
        for text in (self.stderr() + "\n" + self.output()).splitlines():
            if not text.startswith("{"):
                continue
            try:
                line = json.loads(text)
            except ValueError:
                continue  # A line that is still being written, or no log line.
            if all(line.get(name) == value for name, value in fields.items()):
                lines.append(line)
        return lines

    # Whether it lives.

    def get(self, path: str, headers=(), seconds: float = 5) -> "clients.Response":
        return clients.get(self.port, path, headers, seconds)

    def _status(self, path: str):
        if self._child.exit_code() is not None:
            raise AssertionError(f"{self.command} ended with {self._child.exit_code()}: {self.stderr()[-2000:]}")
        try:
            return self.get(path).status
        except OSError:
            return None

    def wait_alive(self, seconds: float = 10) -> "Boardbus":
        wait_until(lambda: self._status("/healthz") == 200, seconds, f"{self.command} /healthz is 200")
        return self

    def wait_ready(self, seconds: float = 20) -> "Boardbus":
        try:
            wait_until(lambda: self._status("/readyz") == 200, seconds, f"{self.command} /readyz is 200")
        except AssertionError as error:
            raise AssertionError(f"{error}; log: {self.stderr()[-2000:]}") from None
        return self

    def wait_not_ready(self, seconds: float = 20) -> None:
        wait_until(lambda: self._status("/readyz") == 503, seconds, f"{self.command} /readyz is 503")

    def exit_code(self):
        return self._child.exit_code()

    def metric(self, name: str, **labels) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            match = re.match(rf"{name}(?:\{{([^}}]*)\}})? (\S+)", line)
            if match and all(f'{label}="{value}"' in (match[1] or "") for label, value in labels.items()):
                total += float(match[2])
        return total

    # How it ends.

    def signal(self, number: int) -> None:
        self._child.signal(number)

    def wait_exit(self, seconds: float = 12) -> int:
        return self._child.wait(scaled(seconds))

    def stop(self, seconds: float = 12) -> int:
        """SIGTERM; returns the exit code."""
        self._child.signal(signal.SIGTERM)
        return self.wait_exit(seconds)

    def kill(self) -> None:
        self._child.kill()

    def check_health(self) -> None:
        """Fails when the process crashed by a fault of its own, or a sanitizer had something to say."""
        assert self._child.exit_code() not in _CRASHES, f"{self.command} crashed ({self._child.exit_code()}): {self.stderr()[-3000:]}"
        for text in (self.stderr(), self.output()):
            found = _SANITIZER.search(text)
            assert not found, f"{self.command} left a sanitizer report:\n{text[max(0, found.start() - 300):found.start() + 4000]}"

    def cleanup(self) -> None:
        """Stops it in whatever state it is. It must end on SIGTERM within its grace, with 0."""
        code = 0
        if self._child.exit_code() is None:
            self._child.signal(signal.SIGCONT)
            try:
                code = self.stop(15)
            except TimeoutError:
                self.kill()
                raise AssertionError(f"{self.command} did not end on SIGTERM within 15 s: {self.stderr()[-1500:]}") from None
        self.check_health()
        assert code == 0, f"{self.command} ended with {code} on SIGTERM: {self.stderr()[-1500:]}"


def run_to_end(arguments, folder: Path, settings=None, seconds: float = 20):
    """A command that ends by itself: (exit code, stdout, stderr)."""
    process = Boardbus(arguments[0], folder, settings, arguments=arguments[1:])
    try:
        code = process.wait_exit(seconds)
    except TimeoutError:
        process.kill()
        raise
    process.check_health()
    return code, process.output(), process.stderr()


class Supervisor:
    """Keeps one boardbus process running, as an init system does: starts it again when it dies. Faults apply to the first start,
    or to every start with `faults_always`; `environment` to every start. `told(event, process, code)` hears of every start and exit."""

    def __init__(self, command: str, folder: Path, settings, *, faults=None, faults_always: bool = False, deaths_max: int = 20, environment=None,
                 told=lambda event, process, code: None):
        self._arguments = (command, folder, settings)
        self._faults, self._always = faults, faults_always
        self._deaths_max, self._told, self._environment = deaths_max, told, environment or {}
        self.port = free_ports(1)[0]
        self.deaths = []  # Exit codes, in order.
        self.all = []     # Every process, in order.
        self._ending = threading.Event()
        self._start(first=True)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _start(self, first: bool) -> None:
        faults = (self._faults or {}) if first or self._always else {}
        self.current = Boardbus(*self._arguments, faults={**self._environment, **faults}, port=self.port)
        self.all.append(self.current)
        self._told("start", self.current, None)

    def _watch(self) -> None:
        while not self._ending.wait(0.02):
            code = self.current.exit_code()
            if code is not None:
                self.deaths.append(code)
                self._told("exit", self.current, code)
                if len(self.deaths) > self._deaths_max:
                    return
                self._start(first=False)

    def log(self, **fields) -> list:
        """Log lines of all its lives."""
        return [line for process in self.all for line in process.log(**fields)]

    def kill(self) -> None:
        self.current.kill()

    def retire(self) -> None:
        """From now on a death stays one."""
        self._ending.set()
        self._thread.join(5)

    def cleanup(self) -> None:
        self.retire()
        for process in self.all:
            process.cleanup()
