# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster of three masters, each with a replica, on loopback. Looks like one Redis to whom a Pipeline needs."""
import signal
import subprocess
from pathlib import Path

from .brokers import answers
from .children import Child, clean_environment, free_ports
from .timing import scaled, wait_until


class RedisCluster:
    def __init__(self, folder: Path):
        self._folder = folder
        ports = free_ports(12)
        self.ports, self._bus_ports = ports[:6], ports[6:]
        self._children = {}
        # One seed that is not there, for whoever believes in the first.
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in [*free_ports(1), *self.ports[:3]])

    def start(self) -> None:
        for port in self.ports:
            (self._folder / str(port)).mkdir(parents=True)
            self.begin(port)
        self.wait_answers()
        self.cli("--cluster", "create", *[f"127.0.0.1:{port}" for port in self.ports], "--cluster-replicas", "1", "--cluster-yes")
        wait_until(self.is_whole, 30, "the cluster is whole", 0.2)

    def begin(self, port: int) -> None:
        """Starts a node. One that ran before comes back without its data, but remembers the cluster."""
        home, bus = self._folder / str(port), self._bus_ports[self.ports.index(port)]
        self._children[port] = Child(
            ["redis-server", "--port", port, "--cluster-port", bus, "--bind", "127.0.0.1", "--dir", home, "--save", "", "--cluster-enabled", "yes",
             "--cluster-node-timeout", "1500", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
             "--repl-ping-replica-period", "1"],
            env=clean_environment(HOME=home), cwd=home, stdout=home / "out", stderr=home / "out")

    def wait_answers(self) -> None:
        for port in self.ports:
            wait_until(lambda port=port: answers(port, b"PING\r\n", b"+PONG"), 20, "a node answers")

    def cli(self, *words) -> str:
        done = subprocess.run(["redis-cli", *map(str, words)], capture_output=True, text=True, timeout=scaled(60), check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def at(self, port: int, *words) -> str:
        return self.cli("-p", port, *words).strip()

    def living(self) -> list:
        return [port for port, child in self._children.items() if child.exit_code() is None]

    def is_whole(self) -> bool:
        """All living nodes agree that all is well, and every replica follows its master."""
        for port in self.living():
            about = self.at(port, "INFO", "replication")
            if "cluster_state:ok" not in self.at(port, "CLUSTER", "INFO"):
                return False
            if "role:slave" in about and "master_link_status:up" not in about or "role:master" in about and "state=online" not in about:
                return False
        return True

    def master_of(self, key: str) -> int:
        """The port of the node that serves the key."""
        for port in self.living():
            if "role:master" in self.at(port, "INFO", "replication") and not self.at(port, "EXISTS", key).startswith("MOVED"):
                return port
        raise AssertionError(f"nobody serves {key}")

    def other_master(self, port: int) -> int:
        return next(other for other in self.living() if other != port and "role:master" in self.at(other, "INFO", "replication"))

    def replica_of(self, port: int) -> int:
        return next(other for other in self.living() if f"master_port:{port}" in self.at(other, "INFO", "replication"))

    def move_slot_of(self, key: str, to: int) -> None:
        """Moves the one slot while the cluster works, as `redis-cli --cluster reshard` does."""
        source = self.master_of(key)
        slot, from_id, to_id = self.at(to, "CLUSTER", "KEYSLOT", key), self.at(source, "CLUSTER", "MYID"), self.at(to, "CLUSTER", "MYID")
        assert self.at(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", from_id) == "OK"
        assert self.at(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", to_id) == "OK"
        while keys := self.at(source, "CLUSTER", "GETKEYSINSLOT", slot, "50").split("\n"):
            if keys == [""]:
                break
            self.at(source, "MIGRATE", "127.0.0.1", to, "", "0", "5000", "KEYS", *keys)
        for port in (to, source):
            assert self.at(port, "CLUSTER", "SETSLOT", slot, "NODE", to_id) == "OK"

    def kill(self, port: int) -> None:
        self._children[port].kill()

    def client(self):
        """Of any living node: what is published in a cluster reaches all."""
        import redis
        return redis.Redis(host="127.0.0.1", port=self.living()[-1], socket_timeout=scaled(5))

    def end(self) -> None:
        for child in self._children.values():
            child.signal(signal.SIGCONT)
            child.kill()


class WithCluster:
    """The RabbitMQ of the run, and this Redis."""

    def __init__(self, brokers, redis: RedisCluster):
        self.rabbitmq, self.redis = brokers.rabbitmq, redis
