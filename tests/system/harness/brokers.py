# SPDX-License-Identifier: Apache-2.0
"""One private RabbitMQ and one private Redis on loopback, their data in a temporary folder.

RabbitMQ needs about seven seconds to start, so one pair serves the whole run; tests keep apart by names (see `isolated_names`).
Debian's wrappers change to the user rabbitmq; the script below them runs as whoever calls it.
"""
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .certificates import make_certificates
from .children import Child, clean_environment, free_ports
from .timing import scaled, wait_until

_SBIN = Path("/usr/lib/rabbitmq/bin")
_counter = itertools.count(1)


def missing_programs() -> list:
    """What is not installed of what the broker tests need."""
    missing = [name for name in ("epmd", "redis-server", "openssl") if shutil.which(name) is None]
    if not (_SBIN / "rabbitmq-server").exists():
        missing.append("rabbitmq-server")
    return missing


def answers(port: int, hello: bytes = b"", begins: bytes = b"") -> bool:
    """True when something accepts on the port and its answer to `hello` begins as said."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            if not hello:
                return True
            sock.sendall(hello)
            return sock.recv(64).startswith(begins)
    except OSError:
        return False


class RabbitMq:
    """One node. `neighbour`: a node of the same cluster to be, whose epmd and cookie it shares; `more` is added to rabbitmq.conf."""

    def __init__(self, folder: Path, tls: Path, *, name: str = "trial", neighbour: "RabbitMq" = None, more: str = "",
                 kernel: str = "", schedulers: int = 2):
        self.folder = folder
        self.name, self._neighbour, self._schedulers = f"{name}@localhost", neighbour, schedulers
        self.port, self.tls_port, self._dist, self._epmd_port = free_ports(4)
        if neighbour is not None:
            self._epmd_port = neighbour._epmd_port
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.tls_url = f"amqps://guest:guest@localhost:{self.tls_port}/"
        self._epmd = None
        self._beam = None
        folder.mkdir(parents=True)
        (folder / "env.conf").write_text("")
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            "loopback_users.guest = true\nvm_memory_high_watermark.absolute = 2GB\ndisk_free_limit.absolute = 100MB\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\nssl_options.cacertfile = {tls}/ca.pem\n"
            f"ssl_options.certfile = {tls}/server.pem\nssl_options.keyfile = {tls}/server.key\nssl_options.verify = verify_none\n"
            f"ssl_options.fail_if_no_peer_cert = false\n{more}")
        # As the deployment ships it: a retry level that met a missing binding goes on after 5 s, not 180.
        (folder / "advanced.config").write_text(
            "[{rabbit,[{dead_letter_worker_publisher_confirm_timeout,5000},{dead_letter_worker_consumer_prefetch,512}]}" +
            (f",{{kernel,[{kernel}]}}" if kernel else "") + "].\n")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(12) if neighbour is None else (neighbour.folder / ".erlang.cookie").read_text())
        cookie.chmod(0o400)

    def _environment(self) -> dict:
        f = self.folder
        return clean_environment(
            HOME=f, ERL_EPMD_ADDRESS="127.0.0.1", ERL_EPMD_PORT=self._epmd_port, RABBITMQ_NODENAME=self.name,
            RABBITMQ_CONF_ENV_FILE=f / "env.conf", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1", RABBITMQ_NODE_PORT=self.port,
            RABBITMQ_DIST_PORT=self._dist, RABBITMQ_MNESIA_BASE=f / "mnesia", RABBITMQ_LOG_BASE=f / "log", RABBITMQ_PID_FILE=f / "pid",
            RABBITMQ_ENABLED_PLUGINS_FILE=f / "plugins", RABBITMQ_CONFIG_FILE=f / "rabbitmq.conf",
            RABBITMQ_ADVANCED_CONFIG_FILE=f / "advanced.config", RABBITMQ_GENERATED_CONFIG_DIR=f / "schema",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"-kernel inet_dist_use_interface {{127,0,0,1}} +S {self._schedulers}:{self._schedulers} +sbwt none",
            RABBITMQ_CTL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
            detached="true")  # The start script then becomes the Erlang machine instead of waiting for it: our child is the beam.

    def begin(self) -> None:
        """Starts epmd (its own, so that its process is known) and the node; does not wait."""
        env = self._environment()
        if self._epmd is None and self._neighbour is None:
            self._epmd = Child(["epmd", "-address", "127.0.0.1", "-port", self._epmd_port], env=env, cwd=self.folder,
                               stdout=self.folder / "epmd.out", stderr=self.folder / "epmd.out")
            wait_until(lambda: answers(self._epmd_port), what="epmd listens")
        self._beam = Child([_SBIN / "rabbitmq-server"], env=env, cwd=self.folder,
                           stdout=self.folder / "node.out", stderr=self.folder / "node.out")

    def is_up(self) -> bool:
        if self._beam.exit_code() is not None:
            raise AssertionError(f"RabbitMQ ended: {(self.folder / 'node.out').read_text()[-2000:]}")
        return answers(self.port, b"AMQP\x00\x00\x09\x01", b"\x01\x00\x00")

    def wait_ready(self) -> None:
        wait_until(self.is_up, 60, "RabbitMQ answers", 0.1)
        self.ctl("await_startup", "--timeout", "60")

    def ctl(self, *arguments: str, program: str = "rabbitmqctl") -> str:
        """Runs rabbitmqctl (0.5 s each) and returns its output."""
        done = subprocess.run([_SBIN / program, "-q", "-n", self.name, *map(str, arguments)], env=self._environment(),
                              cwd=self.folder, capture_output=True, text=True, timeout=scaled(60))
        if done.returncode != 0:
            raise AssertionError(f"rabbitmqctl {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def listed(self, what: str, *columns: str, **arguments) -> list:
        """rabbitmqctl list_<what> as a list of dicts."""
        return json.loads(self.ctl("--formatter", "json", f"list_{what}", *columns))

    @property
    def pid(self) -> int:
        return self._beam.pid

    def freeze(self) -> None:
        self._beam.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._beam.signal(signal.SIGCONT)

    def kill(self) -> None:
        self._beam.kill()

    def stop_node(self) -> None:
        """A clean end; epmd stays, so that the node can come back."""
        self._beam.signal(signal.SIGTERM)
        try:
            self._beam.wait(scaled(40))
        except TimeoutError:
            self._beam.kill()

    def start_again(self) -> None:
        self.begin()
        self.wait_ready()

    def end(self) -> None:
        if self._beam is not None:
            self.thaw()
            self.stop_node()
        if self._epmd is not None:
            self._epmd.signal(signal.SIGTERM)
            try:
                self._epmd.wait(5)
            except TimeoutError:
                self._epmd.kill()


class Redis:
    """Append-only with fsync always: what it answered survives kill -9, so that tests may demand exactly once. Further `arguments`
    win over ours."""

    def __init__(self, folder: Path, tls: Path, arguments=()):
        self.folder = folder
        self._arguments = arguments
        self.port, self.tls_port = free_ports(2)
        self.url = f"redis://127.0.0.1:{self.port}/2"
        self.tls_url = f"rediss://localhost:{self.tls_port}/2"
        self._tls = tls
        self._child = None
        folder.mkdir(parents=True)

    def command(self) -> list:
        return ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder, "--save", "", "--appendonly", "yes",
                "--appendfsync", "always", "--daemonize", "no", "--tls-port", self.tls_port, "--tls-cert-file", self._tls / "server.pem",
                "--tls-key-file", self._tls / "server.key", "--tls-ca-cert-file", self._tls / "ca.pem", "--tls-auth-clients", "no", *self._arguments]

    def begin(self) -> None:
        self._child = Child(self.command(), env=clean_environment(HOME=self.folder), cwd=self.folder,
                            stdout=self.folder / "out", stderr=self.folder / "out")

    def wait_ready(self) -> None:
        def up():
            if self._child.exit_code() is not None:
                raise AssertionError(f"Redis ended: {(self.folder / 'out').read_text()[-2000:]}")
            return answers(self.port, b"PING\r\n", b"+PONG")
        wait_until(up, 20, "Redis answers")

    def output(self) -> str:
        """What it has logged."""
        return (self.folder / "out").read_text(errors="replace")

    def client(self, db: int = 2):
        import redis
        return redis.Redis(host="127.0.0.1", port=self.port, db=db, socket_timeout=scaled(5))

    @property
    def pid(self) -> int:
        return self._child.pid

    def freeze(self) -> None:
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.signal(signal.SIGCONT)

    def kill(self) -> None:
        self._child.kill()

    def start_again(self) -> None:
        self.begin()
        self.wait_ready()

    def end(self) -> None:
        if self._child is not None:
            self.thaw()
            self._child.signal(signal.SIGTERM)
            try:
                self._child.wait(5)
            except TimeoutError:
                self._child.kill()


class Brokers:
    """The pair. `restore()` brings both back to normal after a test that hurt them."""

    def __init__(self, folder: Path, redis_arguments=()):
        self.tls = folder / "tls"
        make_certificates(self.tls)
        self.rabbitmq = RabbitMq(folder / "rabbitmq", self.tls)
        self.redis = Redis(folder / "redis", self.tls, redis_arguments)
        self.ca_file = self.tls / "ca.pem"

    def start(self) -> None:
        self.redis.begin()
        self.rabbitmq.begin()
        self.redis.wait_ready()
        self.rabbitmq.wait_ready()

    def restore(self) -> None:
        for broker in (self.redis, self.rabbitmq):
            process = broker._child if broker is self.redis else broker._beam
            broker.thaw()
            if process.exit_code() is not None:
                broker.start_again()

    def end(self) -> None:
        self.rabbitmq.end()
        self.redis.end()


class Names:
    """The exchanges, queues, channel and key prefix of one test."""

    def __init__(self, stem: str):
        self.exchange = self.queue = stem
        self.retry_exchange = self.retry_queue = f"{stem}.retry"
        self.dlq_exchange = self.dlq_queue = f"{stem}.dlq"
        self.routing_key = "boards.activity"
        self.dlq_routing_key = "boards.activity.dlq"
        self.channel = f"{stem}:activity"
        self.prefix = f"{stem}:idempotency"

    def environment(self) -> dict:
        return {
            "ADVANCED_RABBITMQ_EXCHANGE": self.exchange, "ADVANCED_RABBITMQ_QUEUE": self.queue,
            "ADVANCED_RABBITMQ_RETRY_EXCHANGE": self.retry_exchange, "ADVANCED_RABBITMQ_RETRY_QUEUE": self.retry_queue,
            "ADVANCED_RABBITMQ_DLQ_EXCHANGE": self.dlq_exchange, "ADVANCED_RABBITMQ_DLQ_QUEUE": self.dlq_queue,
            "ADVANCED_ACTIVITY_CHANNEL": self.channel, "ADVANCED_REDIS_IDEMPOTENCY_PREFIX": self.prefix}


def isolated_names() -> Names:
    return Names(f"t{os.getpid()}.{next(_counter)}")


def pika_channel(brokers: Brokers):
    """(connection, channel) of an independent AMQP client."""
    import pika
    parameters = pika.ConnectionParameters("127.0.0.1", brokers.rabbitmq.port, heartbeat=60, socket_timeout=scaled(5),
                                           blocked_connection_timeout=scaled(30))
    deadline = time.monotonic() + scaled(20)
    while True:
        try:
            connection = pika.BlockingConnection(parameters)
            return connection, connection.channel()
        except pika.exceptions.AMQPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
