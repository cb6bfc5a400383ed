# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the whole-process tests. Everything that a test starts is stopped here, whatever the test did."""
import itertools
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.dont_write_bytecode = True

from harness import processes  # noqa: E402
from harness.brokers import Brokers, isolated_names, missing_programs  # noqa: E402
from harness.pipeline import Pipeline, Queues  # noqa: E402
from harness.processes import Boardbus, Supervisor  # noqa: E402
from harness.timing import scaled  # noqa: E402

TEST_SECONDS = 120  # No test may hang: at this age it is interrupted.
_names = itertools.count(1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    def too_long(*_):
        raise TimeoutError(f"{item.name} ran for {scaled(TEST_SECONDS):.0f} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(int(scaled(TEST_SECONDS)))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session", autouse=True)
def _program_exists():
    if not processes.BINARY.exists():
        pytest.exit(f"no program at {processes.BINARY}: build it first, or set BOARDBUS_BIN", returncode=2)


@pytest.fixture(scope="session")
def brokers(tmp_path_factory):
    """The private pair for the whole run."""
    missing = missing_programs()
    if missing and os.environ.get("BOARDBUS_REQUIRE_BROKERS") != "1":
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert not missing, f"not installed: {', '.join(missing)}"
    pair = Brokers(tmp_path_factory.mktemp("brokers"))
    try:
        signal.alarm(0)  # Their start is not the first test's time.
        pair.start()
        yield pair
    finally:
        signal.alarm(0)
        pair.end()


@pytest.fixture
def whole_brokers(brokers):
    """The pair for a test that stops, freezes or kills one of them; both run again afterwards."""
    yield brokers
    brokers.restore()


def _starter(tmp_path_factory):
    """(start, stop_all): start(command, settings, ...) -> Boardbus; stop_all ends what was started and looks at how it ended."""
    folder = tmp_path_factory.mktemp("boardbus")
    running = []

    def start(command, settings=None, **more):
        running.append(Boardbus(command, folder / str(next(_names)), settings, **more))
        return running[-1]

    def supervise(command, settings=None, **more):
        running.append(Supervisor(command, folder / str(next(_names)), settings, **more))
        return running[-1]

    def stop_all():
        problems = []
        for process in reversed(running):
            try:
                process.cleanup()
            except AssertionError as error:
                problems.append(str(error))
        assert not problems, problems

    start.supervise = supervise
    start.folder = folder
    return start, stop_all


@pytest.fixture
def start(tmp_path_factory):
    """Starts processes that end with the test."""
    begin, stop_all = _starter(tmp_path_factory)
    yield begin
    stop_all()


@pytest.fixture(scope="module")
def start_shared(tmp_path_factory):
    """Starts processes that end with the module."""
    begin, stop_all = _starter(tmp_path_factory)
    yield begin
    stop_all()


@pytest.fixture(scope="module")
def app(start_shared):
    """One app with the memory transport and plain settings, shared by the module. Tests keep apart by board."""
    return start_shared("app", {"EVENT_TRANSPORT": "memory"}).wait_ready()


@pytest.fixture
def board():
    """A board that no other test uses."""
    return f"board-{next(_names)}"


@pytest.fixture
def names():
    return isolated_names()


@pytest.fixture
def own(brokers, start, names):
    """Builds pipelines with names of their own, and takes their queues away afterwards."""
    made = []

    def build(settings=None, **more):
        made.append(Pipeline(start, brokers, names, settings, **more))
        return made[-1]
    yield build
    for one in made[:1]:
        one.remove_queues()


@pytest.fixture
def own_queues(brokers, names):
    made = Queues(brokers, names)
    yield made
    made.close()
