# SPDX-License-Identifier: Apache-2.0
"""Deadlines. Every wait of a test has one, and BOARDBUS_TEST_SCALE stretches them all (sanitizer builds are slower)."""
import os
import time

SCALE = float(os.environ.get("BOARDBUS_TEST_SCALE", "1"))
DEFAULT_SECONDS = 10.0


def scaled(seconds: float = DEFAULT_SECONDS) -> float:
    return seconds * SCALE


class Deadline:
    """A point in time that several waits share."""

    def __init__(self, seconds: float = DEFAULT_SECONDS):
        self.seconds = scaled(seconds)
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Seconds left; raises TimeoutError when there are none."""
        rest = self._end - time.monotonic()
        if rest <= 0:
            raise TimeoutError(f"nothing for {self.seconds:.1f} s")
        return rest

    def passed(self) -> bool:
        return time.monotonic() >= self._end


def wait_until(condition, seconds: float = DEFAULT_SECONDS, what="condition", interval: float = 0.02):
    """Polls `condition` until it is true and returns its value; AssertionError after the deadline. `what` may be a function that
    says it at the end."""
    deadline = Deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if deadline.passed():
            raise AssertionError(f"{what() if callable(what) else what}: not within {deadline.seconds:.1f} s (last value {value!r})")
        time.sleep(interval)
