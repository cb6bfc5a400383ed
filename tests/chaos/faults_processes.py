# SPDX-License-Identifier: Apache-2.0
"""Faults of apps and workers: killed, silent, told to stop."""
import signal
import threading

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
