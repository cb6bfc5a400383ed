# SPDX-License-Identifier: Apache-2.0
"""What a run stands on: one RabbitMQ and one Redis; the same with a small disk; three RabbitMQ nodes; three Redis with three sentinels; a Redis
Cluster. All on loopback, all ours.

Each setup looks like the harness's Brokers to a run: `rabbitmq`, `redis`, `restore()`, `end()`.
"""
import errno
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis as redis_client

from harness.brokers import Brokers, RabbitMq, Redis
from harness.children import Child, clean_environment, free_ports
from harness.certificates import make_certificates
from harness.redis_cluster import RedisCluster
from harness.timing import scaled, wait_until


class AppendOnlyRedis(Redis):
    """`forget()` makes the next start find nothing."""

    def forget(self) -> None:
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)


class Single(Brokers):
    def __init__(self, folder: Path):
        super().__init__(folder)
        self.redis = AppendOnlyRedis(folder / "redis-data", self.tls)


class SmallDiskRedis(Redis):
    """Its data are on a file system of 64 MiB of its own, in a mount namespace that nobody else sees and that ends with it, its data
    included: not for runs that kill it."""
    MOUNT = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m none "$0" && exec "$@"')

    def __init__(self, folder: Path, tls: Path):
        # With `always` Redis ends itself when it cannot write.
        super().__init__(folder, tls, ("--appendfsync", "everysec", "--dir", folder / "disk"))
        self._disk = folder / "disk"
        self._disk.mkdir()

    def command(self) -> list:
        return [*self.MOUNT, self._disk, *super().command()]

    def _filler(self) -> Path:
        return Path(f"/proc/{self._child.pid}/root{self._disk}/filler")

    def fill_disk(self) -> None:
        with open(self._filler(), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty_disk(self) -> None:
        self._filler().unlink()


class SmallDisk(Brokers):
    def __init__(self, folder: Path):
        super().__init__(folder)
        self.redis = SmallDiskRedis(folder / "redis-data", self.tls)


def can_mount() -> bool:
    """Whether this user may have a mount namespace with a file system of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*SmallDiskRedis.MOUNT, folder, "true"], capture_output=True).returncode == 0


class RabbitCluster:
    """Three nodes; looks like one RabbitMq whose URL has three hosts. One scheduler each: the machine has two cores."""

    def __init__(self, folder: Path, tls: Path):
        more = "cluster_partition_handling = pause_minority\n"
        kernel = "{net_ticktime,15}"
        first = RabbitMq(folder / "r1", tls, name="r1", more=more, kernel=kernel, schedulers=1)
        self.nodes = [first] + [RabbitMq(folder / f"r{n}", tls, name=f"r{n}", neighbour=first, more=more, kernel=kernel, schedulers=1)
                                for n in (2, 3)]
        self.url = ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.wait_ready()
        for node in self.nodes[1:]:
            node.ctl("stop_app")
            node.ctl("join_cluster", self.nodes[0].name)
            node.ctl("start_app")
        wait_until(lambda: all(node.is_up() for node in self.nodes), 30, "three nodes answer")

    def living(self) -> RabbitMq:
        def find():
            return next((node for node in self.nodes if node._beam.exit_code() is None and node.is_up()), None)
        return wait_until(find, 60, "a node that answers")

    @property
    def port(self) -> int:
        return self.living().port

    def ctl(self, *arguments, **more) -> str:
        return self.living().ctl(*arguments, **more)

    def listed(self, *arguments) -> list:
        return self.living().listed(*arguments)

    def leader_of(self, queue: str) -> RabbitMq:
        """The node that leads the queue now."""
        def find():
            rows = {row["name"]: row.get("leader") for row in self.listed("queues", "name", "leader")}
            return next((node for node in self.nodes if node.name == rows.get(queue)), None)
        return wait_until(find, 20, f"{queue} has a leader", 0.5)

    def restore(self) -> None:
        dead = []
        for node in self.nodes:
            node.thaw()
            if node._beam.exit_code() is not None:
                node.begin()
                dead.append(node)
        for node in dead:
            node.wait_ready()
        wait_until(lambda: all(node.is_up() for node in self.nodes), 120, "three nodes answer", 0.2)

    def end(self) -> None:
        for node in reversed(self.nodes):
            node.end()


class Cluster:
    def __init__(self, folder: Path):
        self.tls = folder / "tls"
        make_certificates(self.tls)
        self.rabbitmq = RabbitCluster(folder / "cluster", self.tls)
        self.redis = AppendOnlyRedis(folder / "redis-data", self.tls)

    def start(self) -> None:
        self.redis.begin()
        self.rabbitmq.start()
        self.redis.wait_ready()

    def restore(self) -> None:
        self.redis.thaw()
        if self.redis._child.exit_code() is not None:
            self.redis.start_again()
        self.rabbitmq.restore()

    def end(self) -> None:
        self.rabbitmq.end()
        self.redis.end()


MASTER = "boards"


class RedisTrio:
    """A master, two replicas and three sentinels; looks like one Redis whose client() is of the master."""

    def __init__(self, folder: Path, tls: Path):
        common = ("--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "2", "--tls-port", "0")
        first = Redis(folder / "d1", tls, common)
        self.nodes = [first] + [Redis(folder / f"d{n}", tls, (*common, "--replicaof", f"127.0.0.1 {first.port}")) for n in (2, 3)]
        self.ports, self._sentinels, self._folder = free_ports(3), [], folder
        self.port = first.port

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{MASTER}/2"

    def start(self) -> None:
        for node in self.nodes:
            node.begin()
        for node in self.nodes:
            node.wait_ready()
        for n, port in enumerate(self.ports):
            config = self._folder / f"s{n}.conf"
            config.write_text(f"port {port}\nbind 127.0.0.1\ndir {self._folder}\nsentinel monitor {MASTER} 127.0.0.1 {self.nodes[0].port} 2\n"
                              f"sentinel down-after-milliseconds {MASTER} 1500\nsentinel failover-timeout {MASTER} 5000\n")
            self._sentinels.append(Child(["redis-server", config, "--sentinel"], env=clean_environment(HOME=self._folder), cwd=self._folder,
                                         stdout=self._folder / f"s{n}.out", stderr=self._folder / f"s{n}.out"))
        wait_until(lambda: self._known() == 2, 30, "the sentinels know two replicas", 0.2)

    def _sentinel(self):
        return redis_client.Redis(host="127.0.0.1", port=self.ports[0], socket_timeout=scaled(5))

    def _known(self) -> int:
        try:
            replicas = self._sentinel().execute_command("SENTINEL", "REPLICAS", MASTER)
            return len(replicas)
        except redis_client.RedisError:
            return 0

    def master(self) -> Redis:
        _, port = self._sentinel().execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)
        return next(node for node in self.nodes if node.port == int(port))

    def failover(self) -> None:
        self._sentinel().execute_command("SENTINEL", "FAILOVER", MASTER)

    def client(self, db: int = 2):
        return self.master().client(db)

    def restore(self) -> None:
        for node in self.nodes:
            node.thaw()
            if node._child.exit_code() is not None:
                node.start_again()

        def whole():
            try:
                return self.client().info("replication")["connected_slaves"] == 2
            except (redis_client.RedisError, OSError):
                return False
        wait_until(whole, 40, "a master with two replicas", 0.2)

    def end(self) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
        for node in self.nodes:
            node.end()


class ClusteredRedis(RedisCluster):
    """Three masters, each with a replica; looks like one Redis whose client() is of the master that serves the run's keys."""
    channel = ""  # Of the run: its name is the hash tag of all its keys.

    @property
    def port(self) -> int:
        return self.ports[0]

    @property
    def key(self) -> str:
        return f"{self.channel}:{{{self.channel}}}:log"

    def client(self):
        port = self.serving()
        if port is None:
            raise redis_client.ConnectionError(f"no master for {self.key}")
        return redis_client.Redis(host="127.0.0.1", port=port, socket_timeout=scaled(5))

    def serving(self):
        """The port of the master that serves the run's keys; None while there is none."""
        try:
            return self.master_of(self.key)
        except AssertionError:
            return None

    def restore(self) -> None:
        for port in set(self.ports) - set(self.living()):
            self.begin(port)
        self.wait_answers()
        wait_until(self.is_whole, 40, "the cluster is whole", 0.2)


class RedisNodes:
    """One RabbitMQ, and a Redis of several nodes."""

    def __init__(self, folder: Path, make_redis):
        self.tls = folder / "tls"
        make_certificates(self.tls)
        self.rabbitmq = RabbitMq(folder / "rabbitmq", self.tls)
        (folder / "redis").mkdir(parents=True)
        self.redis = make_redis(folder / "redis", self.tls)

    def start(self) -> None:
        self.rabbitmq.begin()
        self.redis.start()
        self.rabbitmq.wait_ready()
        time.sleep(1)

    def restore(self) -> None:
        self.rabbitmq.thaw()
        if self.rabbitmq._beam.exit_code() is not None:
            self.rabbitmq.start_again()
        self.redis.restore()

    def end(self) -> None:
        self.redis.end()
        self.rabbitmq.end()


SETUPS = {"single": Single, "small-disk": SmallDisk, "cluster": Cluster, "sentinel": lambda folder: RedisNodes(folder, RedisTrio),
          "redis-cluster": lambda folder: RedisNodes(folder, lambda home, tls: ClusteredRedis(home))}
