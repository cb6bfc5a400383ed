# SPDX-License-Identifier: Apache-2.0
"""One run's world: brokers, relays on the links that the run breaks, apps and workers under a supervisor, and a history of it all.

Brokers are expensive to start and are lent by the caller; everything else lives and dies with the lab. Processes end when the lab ends, in
whatever way: the harness's guardian sees to it.
"""
import datetime
import signal
import threading
import time
from pathlib import Path

from harness.brokers import isolated_names
from harness.clients import get
from harness.processes import Supervisor
from harness.timing import wait_until
from harness.websocket import board_socket

import history
from fault_proxy import FaultProxy
from publisher import PROTOCOL
from recorder import Recorder

SETTINGS = {"RABBITMQ_RETRY_DELAY_MS": "200", "RABBITMQ_MAX_RETRIES": "3", "RABBITMQ_RETRY_MAX_DELAY_MS": "5000",
            "RECONNECT_INITIAL_DELAY_SECONDS": "0.1", "RECONNECT_MAX_DELAY_SECONDS": "0.5", "REDIS_IDEMPOTENCY_TTL_SECONDS": "3600",
            "SHUTDOWN_GRACE_SECONDS": "10", "PUBLISH_TIMEOUT_MS": "5000"}
LINKS = ("app-rabbit", "worker-rabbit", "app-redis", "worker-redis")
SIDES = ("publishers", "readers")
DEATHS_MAX = 500  # Of one supervised process in one run; then it stays dead, and the run fails by I19.
KEPT_LINES = ("retry", "dead_letter", "hold", "hold_ended", "hold_released", "idempotency_conflict", "topology_mismatch", "topology_incomplete",
              "copy_refused", "slow_reader_closed", "stopped_late", "degraded", "ready")


class Lab:
    """`links`: which of LINKS and SIDES go through a relay. `faults` and `app_faults` are the fault points of the first processes. `tls`: which
    of the brokers (`rabbit`, `redis`) are spoken to in TLS."""

    def __init__(self, brokers, folder: Path, *, links=(), settings=None, apps=1, workers=1, faults=None, faults_always=False, app_faults=None,
                 environment=None, tls=()):
        self.brokers, self.folder, self.names = brokers, folder, isolated_names()
        self.rabbit, self.redis = brokers.rabbitmq, brokers.redis
        self.redis.channel = self.names.channel  # Where a Redis Cluster keeps this run's keys.
        folder.mkdir(parents=True, exist_ok=True)
        self.processes_file = history.Writer(folder, "processes")
        self.nemesis_file = history.Writer(folder, "nemesis")
        self._pids, self._lock, self.ended = {}, threading.Lock(), False
        self.proxies, self.workers, self.apps = {}, [], []
        self.load = None  # The run's senders, for faults that need silence or a message of their own.
        self.recorder, self._edges = None, {}
        self.settings = {**SETTINGS, **(settings or {})}
        self._faults, self._app_faults, self._always = faults, app_faults, faults_always
        self.environment = environment or {}
        self._counts, self._links, self._tls = (apps, workers), links, set(tls)
        self.more_queues = []  # That must be empty in the end, beside those that every run has.

    def start(self) -> "Lab":
        self.clear_brokers()
        for link in set(self._links) & set(LINKS):
            self.proxies[link] = FaultProxy(self._broker_address(link.split("-")[1])[1])
        self.recorder = Recorder(self.brokers.redis.client, self.names.channel, history.Writer(self.folder, "recorder"), self.running)
        wait_until(self.recorder.subscribed.is_set, 15, "the recorder has subscribed")
        apps, workers = self._counts
        self.apps = [self._supervise("app", n, self._app_faults if n == 0 else None) for n in range(apps)]
        self.workers = [self._supervise("worker", n, self._faults if n == 0 else None) for n in range(workers)]
        for process in self.apps + self.workers:
            wait_until(lambda: self.is_ready(process), 40, f"{process.current.command} is ready", 0.05)
        for side in SIDES:
            if side in self._links:
                self._edges[side] = [FaultProxy(app.port) for app in self.apps]
        time.sleep(1)  # A quorum queue that is younger than 0.1 s may not survive a kill of its only node.
        return self

    def clear_brokers(self) -> None:
        """Runs share brokers, and the history's keys have fixed names."""
        self.brokers.restore()
        client = self.brokers.redis.client()
        client.flushall()
        client.close()

    def _supervise(self, command: str, n: int, faults) -> Supervisor:
        role = "app" if command == "app" else "worker"
        settings = {"EVENT_TRANSPORT": "rabbitmq", **self.names.environment(), **self.settings}
        for name, option in (("rabbit", "RABBITMQ"), ("redis", "REDIS")):
            url, port = self._broker_address(name)
            relay = self.proxies.get(f"{role}-{name}")
            settings.setdefault(f"{option}_URL", url.replace(f":{port}/", f":{relay.port}/") if relay else url)
            if name in self._tls:
                settings[f"{option}_CA_FILE"] = self.brokers.ca_file
        label = f"{command}{n}"

        def told(event, process, code):
            with self._lock:
                if event == "start":
                    self._pids[label] = process.pid
                else:
                    self._pids.pop(label, None)
            law = {"retry": retry_law(settings)} if event == "start" and command == "worker" else {}
            self.processes_file.write("proc", type=event, proc=label, pid=process.pid, code=code, **law)
        supervisor = Supervisor(command, self.folder / label, settings, faults=faults, deaths_max=DEATHS_MAX,
                                environment=self.environment, faults_always=self._always, told=told)
        supervisor.label, supervisor.settings = label, settings
        return supervisor

    def _broker_address(self, name: str) -> tuple:
        """(URL, port) of `rabbit` or `redis`, as the run speaks to it."""
        broker = self.rabbit if name == "rabbit" else self.redis
        return (broker.tls_url, broker.tls_port) if name in self._tls else (broker.url, broker.port)

    def change(self, **settings) -> None:
        """Other settings for whatever process is started from now on."""
        self.settings.update(settings)
        for process in self.apps + self.workers:
            process.settings.update(settings)

    @staticmethod
    def is_ready(process) -> bool:
        """A process that dies at once because it is told to is not ready, and no failure of the lab."""
        try:
            return get(process.port, "/readyz", seconds=2).status == 200
        except (OSError, TimeoutError, AssertionError):
            return False

    # What tests and faults ask for.

    def running(self) -> list:
        with self._lock:
            return list(self._pids.items())

    def ports(self, side: str) -> list:
        """Where publishers or readers connect, one port per app."""
        return [edge.port for edge in self._edges.get(side, self.apps)]

    def edges(self, *sides) -> list:
        """The relays of these clients; of all without an argument."""
        return [proxy for side in sides or SIDES for proxy in self._edges.get(side, ())]

    def all_proxies(self) -> list:
        return list(self.proxies.values()) + self.edges()

    def signal(self, process, number: int) -> None:
        current = process.current
        self.processes_file.write("proc", type="signal", proc=process.label, pid=current.pid, number=number)
        current.signal(number)

    def all_ready(self) -> bool:
        return all(self.is_ready(process) for process in self.apps + self.workers)

    def phase(self, name: str) -> None:
        self.nemesis_file.write("phase", name=name)

    def has_acks(self) -> bool:
        """Whether the server speaks boardbus.v1."""
        with board_socket(self.apps[0].port, "probe-of-the-protocol", headers=PROTOCOL) as socket:
            return not socket.refused and socket.response.header("Sec-WebSocket-Protocol") == "boardbus.v1"

    # The end.

    def write_lines_and_counters(self, writer) -> None:
        for process in self.apps + self.workers:
            for one in process.all:
                for line in one.log():
                    if line.get("event") in KEPT_LINES:
                        fields = {name: value for name, value in line.items() if name not in ("time", "level", "op", "t", "pid")}
                        writer.write("line", proc=process.label, pid=one.pid, wall=_wall(line["time"]), level=line.get("level"), **fields)
        for process in self.apps + self.workers:
            try:
                if process in self.apps:
                    for status in ("success", "error"):
                        writer.write("counter", proc=process.label, name="published", label=status,
                                     value=process.current.metric("advanced_board_events_published_total", status=status))
                else:
                    for outcome in ("fanned_out", "duplicate", "conflict", "retried", "dead_lettered"):
                        writer.write("counter", proc=process.label, name="outcome", label=outcome,
                                     value=process.current.metric("advanced_worker_outcomes_total", outcome=outcome))
            except (OSError, TimeoutError):
                pass  # It is dead for good; I19 has said so.

    def stop_processes(self) -> list:
        """SIGTERM to all; what was wrong with their ends."""
        problems = []
        for process in self.workers + self.apps:
            process.retire()
            process.current.signal(signal.SIGCONT)
            if process.current.exit_code() is None:
                self.signal(process, signal.SIGTERM)
        for process in self.workers + self.apps:
            current = process.current
            try:
                code = current.wait_exit(20)
            except TimeoutError:
                current.kill()
                code = current.exit_code()
            self.processes_file.write("proc", type="exit", proc=process.label, pid=current.pid, code=code)
            for one in process.all:
                try:
                    one.check_health()
                except AssertionError as error:
                    problems.append(str(error))
        return problems

    def end(self) -> None:
        """Whatever still runs ends here; also after an exception."""
        if self.ended:
            return
        self.ended = True
        if self.recorder is not None:
            self.recorder.stop()
        for process in self.workers + self.apps:
            process.retire()
            process.current.signal(signal.SIGCONT)
            process.current.kill()
        for proxy in self.all_proxies():
            proxy.end()
        self.processes_file.close()
        self.nemesis_file.close()


def retry_law(settings: dict) -> dict:
    """What the checker has to know of a process's settings to judge its retries."""
    return {"retry_delay_ms": int(settings["RABBITMQ_RETRY_DELAY_MS"]), "retry_max_delay_ms": int(settings["RABBITMQ_RETRY_MAX_DELAY_MS"]),
            "max_retries": int(settings["RABBITMQ_MAX_RETRIES"])}


def _wall(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
