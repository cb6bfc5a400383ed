# SPDX-License-Identifier: Apache-2.0
"""One run: load, faults under load, heal, drain, probes, final reads, verdict.

The phases are marks in the history. After `heal` nothing is restarted or repaired by hand; what does not come back by itself then is a
failure. The load goes on for a moment after the heal, so that there is traffic in which things can go wrong.
"""
import random
import shutil
import threading
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

from harness.timing import SCALE, wait_until

import aftermath
import checker
import history
import nemesis
from crowd import BOARD, Crowd
from lab import SETTINGS, Lab, retry_law
from publisher import PostWay, Publisher, SocketWay
from subscriber import Subscriber

PROBES = 3  # Per board.


class Plan:
    """What a run is to be. `steps`: (seconds of load before, fault, seconds of it), one after the other. `expects`: words for
    the checker; `shows`: the frames (gap, resync) without which the run would prove nothing; `busy`: how many times as often as another
    board the first one is sent to."""

    def __init__(self, name: str, *, steps=(), rate=120, publishers=4, boards=3, busy=1, lead=1.5, tail=1.5, links=(), settings=None,
                 apps=1, workers=1, expects=(), needs=(), setup="single", accepted_min=100, faults=None, faults_always=False, app_faults=None,
                 supervised_deaths=None, expect_of=None, environment=None, fresh_seconds=15, drain_seconds=60, count_max=10**9, extra=None,
                 readers_may_miss=None, what="", slow_reader=False, sac=True, before=None, tls=(), padding=0, crowd=0, shows=()):
        self.name, self.steps, self.what = name, list(steps), what
        self.rate, self.publishers, self.boards, self.busy, self.lead, self.tail = rate, publishers, boards, busy, lead, tail
        self.lab = {"links": links, "settings": settings, "apps": apps, "workers": workers, "faults": faults, "faults_always": faults_always,
                    "app_faults": app_faults, "environment": environment, "tls": tls}
        self.expects, self.needs, self.setup, self.accepted_min = set(expects), set(needs), setup, accepted_min
        self.expect_of, self.fresh_seconds, self.drain_seconds, self.count_max = expect_of, fresh_seconds, drain_seconds, count_max
        self.deaths, self.extra, self.readers_may_miss = supervised_deaths or {}, extra, readers_may_miss
        self.slow_reader, self.sac, self.before = slow_reader, sac, before
        self.padding, self.crowd, self.shows = padding, crowd, list(shows)


class Trial:
    def __init__(self, plan: Plan, brokers, folder: Path, seed: int, can: set):
        self.plan, self.folder, self.seed, self.can = plan, folder, seed, can
        self.acks = "acks" in can
        self.random = random.Random(f"{seed}/{plan.name}")
        shutil.rmtree(folder, ignore_errors=True)  # The last run of this seed and name.
        folder.mkdir(parents=True)
        self.lab = Lab(brokers, folder, **plan.lab)
        self.publishers, self.subscribers, self.crowd = [], [], None
        self.writer = history.Writer(folder, "clients")
        self.problems = []
        self._accepted, self._paused = set(), threading.Event()
        self.lab.load = self

    def run(self) -> "checker.Verdict":
        """The whole run. Processes and relays are gone afterwards, whatever happened."""
        try:
            self.lab.brokers.restore()
            if self.plan.before:
                self.plan.before(self.lab)
            self._write_meta()
            self.lab.start()
            self._load()
            self._heal()
            self._drain()
            self._probe()
            self._final()
        except Exception as error:  # The run is over, and what it recorded until here is still judged: by I0, as unknown at best.
            self.problems.append(f"{type(error).__name__}: {error}")
            (self.folder / "trouble.txt").write_text(traceback.format_exc())
        finally:
            self._end_clients()
            self.lab.end()
            self.writer.close()
        verdict = checker.Verdict(history.read(self.folder))
        (self.folder / "verdict.txt").write_text(verdict.text() + "\n" + "\n".join(self.problems) + "\n")
        return verdict

    # The phases.

    def _write_meta(self) -> None:
        plan, settings = self.plan, {**SETTINGS, **(self.plan.lab["settings"] or {})}
        self.boards = [f"b{n}" for n in range(plan.boards)]
        history.write_meta(self.folder, {
            "name": plan.name, "seed": self.seed, "what": plan.what, "accepted_min": plan.accepted_min, "expects": sorted(plan.expects),
            "faults": sorted({name for _, names, _ in plan.steps for name in names.split("+")}), "deaths": plan.deaths, "shows": plan.shows,
            "single_active_consumer": plan.sac, "server_can": sorted(self.can),
            "slow_readers": ["slow"] if plan.slow_reader else [], "readers_may_miss": plan.readers_may_miss,
            "settings": {**retry_law(settings), "publish_timeout_ms": int(settings["PUBLISH_TIMEOUT_MS"]), "retry_slack_seconds": 5 * SCALE,
                         "reconnect_initial_ms": int(1000 * float(settings["RECONNECT_INITIAL_DELAY_SECONDS"])),
                         "answer_slack_seconds": 3 * SCALE, "shutdown_grace_seconds": int(settings["SHUTDOWN_GRACE_SECONDS"]),
                         "rss_bytes_max": 512 << 20, "fresh_seconds": plan.fresh_seconds * SCALE, "probe_seconds": 10 * SCALE}})

    def _way(self, n: int):
        """Half of the publishers post, half speak boardbus.v1, where the server does."""
        seconds = int(self.lab.settings["PUBLISH_TIMEOUT_MS"]) / 1000 + 5
        return (SocketWay if self.acks and n % 2 else PostWay)(lambda: self.lab.ports("publishers"), seconds)

    def _load(self) -> None:
        plan = self.plan
        readers = [("ws", [board], 0.0) for board in self.boards] + [("ws", self.boards[:1], 0.0)]
        # The second sees positions with holes: those of the boards that it did not ask for.
        readers += [("sse", self.boards, 0.0), ("sse", self.boards[:2], 0.0)]
        readers += [("all", self.boards + ([BOARD] if plan.crowd else []), 0.0)]
        readers += [("slow", self.boards[:1], 2.0)] if plan.slow_reader else []
        for n, (kind, boards, pause) in enumerate(readers):
            self.subscribers.append(Subscriber("slow" if kind == "slow" else f"{kind}{n}", "ws" if kind == "slow" else kind, boards,
                                               lambda: self.lab.ports("readers"), self.writer, seed=self.random.getrandbits(32),
                                               acks=self.acks, resume="resume" in self.can, first_port=n, pause=pause))
        for subscriber in self.subscribers:
            subscriber.start()
        wait_until(lambda: all(subscriber.connected for subscriber in self.subscribers), 15, "all readers are connected")
        sent_to = self.boards[:1] * plan.busy + self.boards[1:]
        for n in range(plan.publishers):
            self.publishers.append(_Told(self._accepted, self._paused, f"p{n}", self._way(n), self.writer, sent_to,
                                         rate=plan.rate / plan.publishers, seed=self.random.getrandbits(32), expect_of=plan.expect_of,
                                         count_max=plan.count_max, padding=plan.padding))
        if plan.crowd:
            self.crowd = Crowd(plan.crowd, self.folder, [app.port for app in self.lab.apps])
            wait_until(lambda: "open" in self.crowd.said, 120, "the crowd is there")
        self.lab.phase("load")
        for publisher in self.publishers:
            publisher.start()
        time.sleep(plan.lead)
        if plan.extra:
            plan.extra(self)
        for wait, names, seconds in plan.steps:
            time.sleep(wait)
            self._inject(names.split("+"), seconds)
        for label, count in plan.deaths.items():
            process = next(p for p in self.lab.apps + self.lab.workers if p.label == label)
            wait_until(lambda: len(process.deaths) >= count, 30, f"{label} dies {count} times at its fault point")

    def _inject(self, names: list, seconds: float) -> None:
        """Several at once when the step names several."""
        def one(name, seed):
            try:
                nemesis.inject(self.lab, name, seconds, random.Random(seed))
            except Exception as error:
                self.problems.append(f"{name}: {type(error).__name__}: {error}")
        threads = [threading.Thread(target=one, args=(name, self.random.getrandbits(32)), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 120)
            if thread.is_alive():
                raise TimeoutError(f"a fault of {names} does not end")

    def _heal(self) -> None:
        self.lab.brokers.restore()
        for proxy in self.lab.all_proxies():
            proxy.heal()
        self.lab.phase("heal")
        time.sleep(self.plan.tail)
        for publisher in self.publishers:
            publisher.stop()
        for publisher in self.publishers:
            publisher.join(40)

    def _drain(self) -> None:
        self.lab.phase("drain")
        if not aftermath.wait_quiet(self.lab, self.accepted, self.plan.drain_seconds * SCALE):
            self.problems.append("the queues did not come to rest in time")
        before, since, end = -1, time.monotonic(), time.monotonic() + self.plan.fresh_seconds * SCALE
        while time.monotonic() - since < 1 and time.monotonic() < end:  # Readers, too; whether in time is for the checker to say.
            seen = sum(len(subscriber.received) for subscriber in self.subscribers if subscriber.label != "slow")
            before, since = (before, since) if seen == before else (seen, time.monotonic())
            time.sleep(0.1)

    def _probe(self) -> None:
        self.lab.phase("probe")
        sent = self._send_probes()
        due = [(subscriber, key) for board, key in sent for subscriber in self.subscribers
               if board in subscriber.boards and subscriber.label != "slow"]
        end = time.monotonic() + 12 * SCALE
        while time.monotonic() < end and not all(key in subscriber.received for subscriber, key in due):
            time.sleep(0.05)
        time.sleep(0.5)  # For what must not come any more.

    def _send_probes(self) -> list:
        sent = []
        for n, board in [(n, board) for n in range(PROBES) for board in self.boards]:
            prober = _Told(self._accepted, self._paused, "probe", self._way(0), self.writer, [board], rate=1, seed=self.random.getrandbits(32))
            prober.publish(board, n + 1, probe=True)
            sent.append((board, prober.last_key))
        return sent

    def _final(self) -> None:
        self.lab.phase("final")
        writer = history.Writer(self.folder, "final")
        self.lab.recorder.read_to_the_end()
        aftermath.write_depths(self.lab, writer, 12)
        aftermath.write_dead_letters(self.lab, writer)
        aftermath.write_claims(self.lab, writer)
        self._end_clients()
        self.lab.write_lines_and_counters(writer)
        for problem in self.lab.stop_processes():
            self.problems.append(problem)
        aftermath.remove_queues(self.lab)
        writer.close()

    def _end_clients(self) -> None:
        if self.crowd is not None:
            self.crowd.end()
        for client in self.publishers + self.subscribers:
            client.stop()
        for client in self.publishers + self.subscribers:
            if client.is_alive():
                client.join(15)

    # What faults ask for.

    @contextmanager
    def silence(self):
        """Nobody sends, and what was sent is answered."""
        self._paused.set()
        try:
            wait_until(lambda: not any(publisher.busy for publisher in self.publishers), 30, "all publishers pause")
            yield
        finally:
            self._paused.clear()

    def accepted(self) -> set:
        """Keys that are to be committed."""
        return set(self._accepted)

    def send_one(self, board: str = None) -> str:
        """One message of a sender of its own, also in the midst of silence; its key."""
        board = board or self.boards[0]
        lone = _Told(self._accepted, threading.Event(), "lone", self._way(0), self.writer, [board], rate=1, seed=self.random.getrandbits(32))
        lone.publish(board, self.random.getrandbits(30))
        return lone.last_key

    def send_to_crowd(self) -> str:
        return self.send_one(BOARD)


class _Told(Publisher):
    """A publisher that tells its run what was accepted, and pauses when the run wants silence."""

    def __init__(self, accepted: set, paused, *arguments, **more):
        super().__init__(*arguments, **more)
        self._all, self._wait, self.busy, self.last_key = accepted, paused, False, None

    def publish(self, board, n, expect="deliver", action="move", probe=False):
        while True:
            self.busy = True  # Said before it looks, so that silence() cannot fall between.
            if probe or not self._wait.is_set() or self._stopping.is_set():
                break
            self.busy = False
            time.sleep(0.02)
        result, self.last_key = super().publish(board, n, expect, action, probe)
        if result == "accepted" and expect == "deliver":
            self._all.add(self.last_key)
        self.busy = False
        return result
