# SPDX-License-Identifier: Apache-2.0
"""Carries faults out and writes down what became of them. Importing it registers them all."""
import random
import threading

import faults_links  # noqa: F401
import faults_processes  # noqa: F401
import faults_rabbitmq  # noqa: F401
import faults_redis  # noqa: F401
from faults import FAULTS


def inject(lab, name: str, seconds: float, rng: random.Random, stop=None) -> None:
    """Breaks, waits, mends; each step is in the history. Mends also when the run is interrupted."""
    lab.nemesis_file.write("fault", type="begin", name=name, seconds=seconds)
    body = FAULTS[name](lab, rng, seconds)
    try:
        evidence = next(body)
        if evidence:
            lab.nemesis_file.write("fault", type="took", name=name, detail=str(evidence))
        (stop or threading.Event()).wait(seconds)
    finally:
        lab.nemesis_file.write("fault", type="end", name=name)
        for _ in body:
            raise AssertionError(f"fault {name} yields twice")
