# SPDX-License-Identifier: Apache-2.0
"""Faults of apps and workers: killed, silent, told to stop."""
import signal
import threading
import time

from harness.timing import wait_until

from faults import fault

def _kill(lab, group, rng):
    victim = rng.choice(group)
    before, pid = len(victim.deaths), victim.current.pid
    lab.signal(victim, signal.SIGKILL)
    wait_until(lambda: len(victim.deaths) > before, 10, "the supervisor sees the death")
    return f"{victim.label} {pid} died"


@fault("app.kill")
def app_kill(lab, rng, seconds):
    """kill -9 of an app; its supervisor starts it again."""
    yield _kill(lab, lab.apps, rng)


@fault("worker.kill")
def worker_kill(lab, rng, seconds):
    """kill -9 of a worker; its supervisor starts it again."""
    yield _kill(lab, lab.workers, rng)


@fault("worker.kill-loop")
def worker_kill_loop(lab, rng, seconds):
    """kill -9 of workers, again and again, 0.2 to 2 s apart, for as long as the fault lasts."""
    stop, deaths = threading.Event(), []

    def loop():
        while not stop.is_set():
            deaths.append(_kill(lab, lab.workers, rng))
            stop.wait(rng.uniform(0.2, 2))
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    wait_until(lambda: deaths, 10, "a first death")
    yield "first of several deaths"
    stop.set()
    thread.join(15)


def _freeze(lab, group, rng):
    victim = rng.choice(group)
    frozen = victim.current
    lab.signal(victim, signal.SIGSTOP)
    yield f"{victim.label} {frozen.pid} stopped"
    frozen.signal(signal.SIGCONT)


@fault("app.freeze")
def app_freeze(lab, rng, seconds):
    """SIGSTOP of an app, SIGCONT later."""
    yield from _freeze(lab, lab.apps, rng)


@fault("worker.freeze")
def worker_freeze(lab, rng, seconds):
    """SIGSTOP of a worker, SIGCONT later."""
    yield from _freeze(lab, lab.workers, rng)


def _other_delays(lab, **settings):
    lab.change(**settings)
    for worker in lab.workers:
        before = len(worker.deaths)
        lab.signal(worker, signal.SIGTERM)
        wait_until(lambda: len(worker.deaths) > before, 30, f"{worker.label} ends")
        wait_until(lambda: lab.is_ready(worker), 30, f"{worker.label} is ready again", 0.05)
    return " ".join(f"{name}={value}" for name, value in settings.items())


@fault("worker.longer-delays")
def worker_longer_delays(lab, rng, seconds):
    """The workers end, and come back with a base delay seven times as long and one level more, while messages wait in the levels."""
    yield _other_delays(lab, RABBITMQ_RETRY_DELAY_MS="1400", RABBITMQ_MAX_RETRIES="4")


@fault("worker.shorter-delays")
def worker_shorter_delays(lab, rng, seconds):
    """The workers end, and come back with a base delay of 100 ms, behind messages that wait longer in the same levels."""
    yield _other_delays(lab, RABBITMQ_RETRY_DELAY_MS="100")


@fault("app.leave")
def app_leave(lab, rng, seconds):
    """SIGTERM to the app that has the crowd, and events for the crowd before, meanwhile and afterwards."""
    app, load = lab.apps[0], lab.load
    before = len(app.deaths)
    load.send_to_crowd()
    wait_until(lambda: "heard" in load.crowd.said, 30, "each of the crowd has a cursor")
    watch = threading.Thread(target=_watch_readiness, args=(lab, app), daemon=True)
    watch.start()
    lab.signal(app, signal.SIGTERM)
    for _ in range(60):
        load.send_to_crowd()
        if len(app.deaths) > before:
            break
        time.sleep(0.5)
    wait_until(lambda: "back" in load.crowd.said, 60, "the whole crowd is back")
    load.send_to_crowd()
    watch.join(5)
    time.sleep(1)
    yield f"{app.label} ended with {app.deaths[before]}"


def _watch_readiness(lab, app) -> None:
    """Writes down when the app says that it is not ready, or does not answer; looks for at most 30 s."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not lab.is_ready(app):
            return lab.nemesis_file.write("unready", proc=app.label)
        time.sleep(0.005)


@fault("rolling-restart")
def rolling_restart(lab, rng, seconds):
    """SIGTERM to each worker and app in turn; the next one only when the last is ready again."""
    ended = []
    for process in lab.workers + lab.apps:
        before = len(process.deaths)
        lab.signal(process, signal.SIGTERM)
        wait_until(lambda: len(process.deaths) > before, 30, f"{process.label} ends")
        ended.append(f"{process.label} {process.deaths[-1]}")
        wait_until(lambda: lab.is_ready(process), 30, f"{process.label} is ready again", 0.05)
    yield ", ".join(ended)
