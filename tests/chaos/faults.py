# SPDX-License-Identifier: Apache-2.0
"""The register of faults. A fault is a generator: it breaks something, yields its evidence that it is broken, and mends it when resumed.

A fault without evidence (None) did not take effect, and the run that ordered it cannot pass. Names say what is hurt: `app.` and `worker.`
processes, `redis.`, `rabbit.`, `cluster.`, `sentinel.` and `redis-cluster.` brokers, `link.` the path between two of them, `clients.` the path
of the clients. Each gets the lab, a seeded random source and the seconds for which it is to last.
"""

FAULTS = {}


def fault(name: str):
    def register(body):
        FAULTS[name] = body
        return body
    return register
