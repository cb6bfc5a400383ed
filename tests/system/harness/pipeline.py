# SPDX-License-Identifier: Apache-2.0
"""The whole pipeline of one test: an app and, with real brokers, a worker; and what the brokers hold of it."""
import json
import threading
import time

from .brokers import pika_channel
from .clients import request
from .processes import TOKEN
from .timing import Deadline, wait_until
from .websocket import TEXT, board_socket, encode_frame

FAST = {"RABBITMQ_RETRY_DELAY_MS": "200", "RABBITMQ_MAX_RETRIES": "2", "RECONNECT_INITIAL_DELAY_SECONDS": "0.1",
        "RECONNECT_MAX_DELAY_SECONDS": "0.5", "REDIS_IDEMPOTENCY_TTL_SECONDS": "600"}


class Pipeline:
    """`brokers` None means the memory transport. Faults of the worker go where the worker's work is done."""

    def __init__(self, start, brokers, names, settings=None, *, faults=None, app_faults=None, worker=True, app=True, supervised=False,
                 faults_always=False, ready=True):
        self.brokers, self.names = brokers, names
        self.settings = {**FAST, **(settings or {})}
        if brokers is None:
            self.settings["EVENT_TRANSPORT"] = "memory"
            self.app = self.worker = start("app", self.settings, faults={**(faults or {}), **(app_faults or {})})
        else:
            self.settings = {"EVENT_TRANSPORT": "rabbitmq", "RABBITMQ_URL": brokers.rabbitmq.url, "REDIS_URL": brokers.redis.url,
                             **names.environment(), **self.settings}
            self._start = start
            self.app = self.worker = None
            if app:
                self.app = start.supervise("app", self.settings, faults=app_faults) if supervised and app_faults else \
                    start("app", self.settings, faults=app_faults)
            if worker:
                self.worker = start.supervise("worker", self.settings, faults=faults, faults_always=faults_always) if supervised else \
                    start("worker", self.settings, faults=faults)
        if ready:
            self.wait_ready()

    def wait_ready(self) -> "Pipeline":
        for process in {self.app, self.worker} - {None}:
            (process.current if hasattr(process, "current") else process).wait_ready()
        return self

    def second_worker(self, faults=None):
        return self._start("worker", self.settings, faults=faults).wait_ready()

    @property
    def port(self) -> int:
        return self.app.port

    def socket(self, board: str, **more):
        return board_socket(self.port, board, **more)

    def log(self, **fields) -> list:
        return [line for process in {self.app, self.worker} - {None} for line in process.log(**fields)]

    def dead_letter_lines(self, count: int = 1, seconds: float = 10) -> list:
        """The lines of dead letters, once there are at least `count`."""
        return wait_until(lambda: (lines := self.log(event="dead_letter")) and len(lines) >= count and lines, seconds, "dead_letter lines")

    def metric(self, process, name: str, **labels) -> float:
        """The sum of a metric's samples that have these labels."""
        return process.metric(name, **labels)

    def post(self, board: str, message: dict, seconds: float = 10):
        return request(self.port, "POST", f"/boards/{board}/messages", [("Authorization", f"Bearer {TOKEN}")],
                       json.dumps(message).encode(), seconds)

    def remove_queues(self) -> None:
        """Takes this test's queues and exchanges from the broker."""
        connection, channel = pika_channel(self.brokers)
        names = [self.names.queue, self.names.dlq_queue, self.names.retry_queue] + [f"{self.names.retry_queue}.{n}" for n in range(2, 8)]
        for name in names:
            channel.queue_delete(name)
        for name in (self.names.exchange, self.names.retry_exchange, self.names.dlq_exchange):
            channel.exchange_delete(name)
        connection.close()


def send_stream(socket, prefix: str, first: int, count: int, batch: int = 100, pause: float = 0.0, action: str = "n") -> None:
    """Messages prefix-first … as actions n0, n1, …; each with its own correlation id."""
    for begin in range(first, first + count, batch):
        socket.wire.send(b"".join(
            encode_frame(TEXT, json.dumps({"action": f"{action}{n}", "correlation_id": f"{prefix}-{n}"}).encode())
            for n in range(begin, min(begin + batch, first + count))))
        if pause:
            time.sleep(pause)


def _gaps(actions: list) -> str:
    """How many there are and which numbers are missing between them, for a message."""
    numbers = sorted({int(action[1:]) for action in actions if action[1:].isdigit()})
    holes = [f"{before + 1}-{after - 1}" for before, after in zip([-1] + numbers, numbers) if after != before + 1]
    return f"have {len(actions)}, up to {numbers[-1:]}, without {holes[:5]}"


class Listener:
    """Reads one socket in the background for as long as it lives; events and errors are kept apart."""

    def __init__(self, socket):
        self.events, self.errors, self.ended = [], [], None
        self._socket = socket
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                value = self._socket.json(600)
                (self.events if value["kind"] == "board_event" else self.errors).append(value)
        except Exception as error:  # Whatever ended it is what the test looks at.
            self.ended = error

    def actions(self) -> list:
        return [event["action"] for event in self.events]

    def wait(self, count: int, seconds: float = 30) -> list:
        """At least `count` events; then a little longer for those that should not come."""
        wait_until(lambda: len(self.events) >= count or self.ended, seconds, lambda: f"{count} events, {_gaps(self.actions())}", 0.05)
        assert len(self.events) >= count, f"{len(self.events)} of {count} events, then {self.ended!r}"
        return self.events


class ChannelListener:
    """An independent subscriber of the Redis channel."""

    def __init__(self, brokers, names):
        self._pubsub = brokers.redis.client().pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(names.channel)
        self._pubsub.get_message(timeout=5)
        self.events = []
        self._going = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._going:
            message = self._pubsub.get_message(timeout=0.1)
            if message:
                self.events.append(json.loads(message["data"]))

    def wait(self, count: int, seconds: float = 30) -> list:
        wait_until(lambda: len(self.events) >= count, seconds,
                   lambda: f"{count} events on the channel, {_gaps([event['action'] for event in self.events])}", 0.05)
        return self.events

    def close(self) -> None:
        self._going = False
        self._thread.join(5)
        self._pubsub.close()


class Queues:
    """Looks into the queues of a test with an AMQP client of its own."""

    def __init__(self, brokers, names):
        self._brokers, self.names = brokers, names
        self.connection, self.channel = pika_channel(brokers)
        self.channel.confirm_delivery()

    def close(self) -> None:
        try:
            self.connection.close()
        except Exception:  # The broker may have been killed meanwhile.
            pass

    def publish(self, body: bytes, exchange=None, key=None, **properties) -> None:
        import pika
        properties.setdefault("delivery_mode", 2)
        self.channel.basic_publish(exchange or self.names.exchange, key or self.names.routing_key, body, pika.BasicProperties(**properties),
                                   mandatory=True)

    def get(self, queue: str, seconds: float = 10):
        """(properties, body) of the next message, taken from the queue."""
        deadline = Deadline(seconds)
        while True:
            method, properties, body = self.channel.basic_get(queue, auto_ack=True)
            if method is not None:
                return properties, body
            if deadline.passed():
                raise AssertionError(f"no message in {queue} within {deadline.seconds:.0f} s")
            self.connection.sleep(0.02)

    def dead_letter(self, seconds: float = 10):
        return self.get(self.names.dlq_queue, seconds)

    def depth(self, queue: str) -> int:
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def spy(self, exchange: str) -> "Spy":
        return Spy(self, exchange)


class Spy:
    """Gets a copy of everything that goes through an exchange, as it goes: (seconds, properties, body)."""

    def __init__(self, queues: Queues, exchange: str):
        self.copies = []
        self._connection, channel = queues.connection, queues.channel
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, exchange, "#")
        # Consumed, not fetched: copies with an expiration would not wait.
        channel.basic_consume(queue, lambda _, __, properties, body: self.copies.append((time.monotonic(), properties, body)), auto_ack=True)

    def wait(self, count: int, seconds: float = 10) -> list:
        deadline = Deadline(seconds)
        while len(self.copies) < count:
            assert not deadline.passed(), f"{len(self.copies)} of {count} copies within {deadline.seconds:.0f} s"
            self._connection.sleep(0.02)
        return self.copies


def envelope(board: str, action: str, correlation_id: str, **changes) -> bytes:
    """An envelope as the forerunner writes it: Python's separators and member order."""
    message = {"action": action, "payload": {"n": 1}, "user": "ann", "message": None, "correlation_id": correlation_id}
    body = {"event_id": "0f4d5e5a-33f5-4c1b-9d5d-2f6f2f4f0001", "board_id": board, "message": message,
            "published_at": "2026-01-02T03:04:05.678901+00:00", "correlation_id": correlation_id, "idempotency_key": correlation_id}
    body.update(changes)
    return json.dumps(body).encode()


def check_stream(events: list, count: int, ordered: bool = True, action: str = "n") -> None:
    """Each of the `count` messages exactly once (and in order)."""
    numbers = [int(event["action"][len(action):]) for event in events]
    missing = sorted(set(range(count)) - set(numbers))
    assert not missing, f"{len(missing)} missing, first {missing[:10]}"
    twice = sorted({number for number in numbers if numbers.count(number) > 1}) if len(numbers) != count else []
    assert not twice, f"{len(twice)} came twice, first {twice[:10]}"
    if ordered:
        assert numbers == sorted(numbers), "not in order"


