# SPDX-License-Identifier: Apache-2.0
"""The unit suites that talk to a real broker (Live*), against the private pair of this run."""
import os
import subprocess
from pathlib import Path

import pytest

from harness.timing import scaled

BUILD = Path(os.environ.get("BOARDBUS_UNIT_TESTS", Path(__file__).resolve().parents[2] / "build/release"))


SLOW = ("LiveSentinels.*", "LiveCluster.*", "LiveRabbit*")  # Each part has a test's time; the last one is all the others.


@pytest.mark.brokers
@pytest.mark.parametrize("suites", [*SLOW, f"Live*-{':'.join(SLOW)}"])
def test_live_suites_pass(brokers, suites):
    program = BUILD / "transport_test"
    environment = {**os.environ, "BOARDBUS_TEST_AMQP": brokers.rabbitmq.url, "BOARDBUS_TEST_REDIS": brokers.redis.url}
    done = subprocess.run([program, f"--gtest_filter={suites}"], env=environment, text=True, capture_output=True, timeout=scaled(180))
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "PASSED" in done.stdout and "[ RUN      ]" in done.stdout
