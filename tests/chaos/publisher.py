# SPDX-License-Identifier: Apache-2.0
"""Clients that send, one after the other, and write down what they were told.

A publisher sends the next message only when the last one was answered or its connection ended, so that its own order is known. Every
message has a key of its own (the correlation_id) and, per board, a counter. An `unknown` message is sent again under the same key, as the
protocol advises; a `rejected` one sometimes is and sometimes is given up, so that there are both.
"""
import json
import random
import threading
import time

from harness.clients import Ended, Wire, read_response, request_bytes
from harness.processes import TOKEN
from harness.websocket import Closed, board_socket

from history import content_hash

ATTEMPTS_MAX = 60      # Of one message; with the pauses below that outlasts every fault of a run.
PAUSE_SECONDS = (0.1, 0.25, 0.5, 1.0)
PROTOCOL = [("Sec-WebSocket-Protocol", "boardbus.v1")]


class Answer:
    def __init__(self, result: str, why: str, event_id=None):
        self.result, self.why, self.event_id = result, why, event_id
        self.type = {"accepted": "ok", "rejected": "fail"}.get(result, "info")


class PostWay:
    """POST on a connection that is kept. Ports are tried in turn."""
    name = "post"

    def __init__(self, ports, seconds: float):
        self._ports, self._seconds, self._wire, self._at = ports, seconds, None, 0

    def send(self, board: str, message: dict) -> Answer:
        body = json.dumps(message).encode()
        try:
            if self._wire is None:
                self._wire = Wire(self._ports()[self._at % len(self._ports())])
            self._wire.send(request_bytes("POST", f"/boards/{board}/messages", [("Authorization", f"Bearer {TOKEN}")], body))
            response = read_response(self._wire, seconds=self._seconds)
        except TimeoutError:
            self.close()
            return Answer("unknown", "no answer")
        except ConnectionRefusedError:
            self.close()
            return Answer("unknown", "refused")
        except (Ended, OSError):
            self.close()
            return Answer("unknown", "cut")
        if response.status == 202:
            return Answer("accepted", "202", response.json()["event_id"])
        told = response.json() if response.status == 503 else {}
        if told.get("outcome") in ("rejected", "unknown"):
            if told["outcome"] == "rejected":
                self._at += 1  # Perhaps another app has its broker.
                self.close_quietly()
            return Answer(told["outcome"], "503")
        return Answer("rejected", str(response.status))

    def close_quietly(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def close(self) -> None:
        self._at += 1
        self.close_quietly()


class SocketWay:
    """A WebSocket that speaks boardbus.v1: each message is answered by ack or nack. One socket per board, as the boards are used."""
    name = "ws"

    def __init__(self, ports, seconds: float):
        self._ports, self._seconds, self._sockets, self._at = ports, seconds, {}, 0

    def _socket(self, board: str):
        if board not in self._sockets:
            socket = board_socket(self._ports()[self._at % len(self._ports())], board, headers=PROTOCOL)
            if socket.refused:
                socket.wire.close()
                raise Ended(f"HTTP {socket.response.status}")
            self._sockets[board] = socket
        return self._sockets[board]

    def send(self, board: str, message: dict) -> Answer:
        try:
            socket = self._socket(board)
            socket.send_json(message)
            end = time.monotonic() + self._seconds
            while (left := end - time.monotonic()) > 0:
                frame = socket.json(left)
                if frame.get("correlation_id") != message["correlation_id"]:
                    continue
                if frame["kind"] == "ack":
                    return Answer("accepted", "ack", frame["event_id"])
                if frame["kind"] == "nack":
                    return Answer(frame["outcome"], f"nack {frame.get('reason')}")
            raise TimeoutError
        except TimeoutError:
            self.close()
            return Answer("unknown", "no answer")
        except ConnectionRefusedError:
            self.close()
            return Answer("unknown", "refused")
        except (Ended, Closed, OSError):
            self.close()
            return Answer("unknown", "cut")

    def close(self) -> None:
        self._at += 1
        for socket in self._sockets.values():
            socket.wire.close()
        self._sockets.clear()


class Publisher(threading.Thread):
    """Sends at most `rate` messages a second until told to stop. `expect_of(n)` may make message n of a board one that must fail; `padding` is
    the number of bytes by which each grows."""

    def __init__(self, name: str, way, writer, boards, *, rate: float, seed: int, count_max: int = 10**9, expect_of=None, patient=True,
                 padding: int = 0):
        super().__init__(name=f"publisher-{name}", daemon=True)
        self.label, self._way, self._writer, self._boards = name, way, writer, list(boards)
        self._period, self._random, self._count_max = 1 / rate, random.Random(seed), count_max
        self._expect_of = expect_of or (lambda n: ("deliver", "move"))
        self._patient, self._padding = patient, padding
        self._stopping = threading.Event()
        self.sent = 0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        due = time.monotonic()
        counters = dict.fromkeys(self._boards, 0)
        while not self._stopping.is_set() and self.sent < self._count_max:
            board = self._random.choice(self._boards)
            counters[board] += 1
            expect, action = self._expect_of(counters[board])
            self.publish(board, counters[board], expect, action)
            due = max(due + self._period, time.monotonic() - 1)
            self._stopping.wait(max(0.0, due - time.monotonic()))
        self._way.close()

    def publish(self, board: str, n: int, expect="deliver", action="move", probe=False) -> tuple:
        """One message to its end: (the result of its last attempt, its key)."""
        key = f"{self.label}-{board}-{n}-{self._random.getrandbits(32):08x}"
        payload = {"n": n, "text": "x" * (self._padding + self._random.randrange(8, 200)), "π": self._random.random()}
        message = {"action": action, "user": self.label, "payload": payload, "correlation_id": key}
        told = {"pub": self.label, "board": board, "n": n, "key": key, "via": self._way.name}
        self.sent += 1
        for attempt in range(1, ATTEMPTS_MAX + 1):
            more = {"hash": content_hash(action, self.label, payload), "expect": expect, **({"probe": True} if probe else {})}
            self._writer.write("pub", type="invoke", attempt=attempt, **told, **more)
            answer = self._way.send(board, message)
            self._writer.write("pub", type=answer.type, attempt=attempt, result=answer.result, why=answer.why,
                               **({"event_id": answer.event_id} if answer.event_id else {}), **told)
            given_up = answer.result == "rejected" and not probe and self._random.random() < 0.5
            if answer.result == "accepted" or given_up or not self._patient:
                break
            if self._stopping.wait(PAUSE_SECONDS[min(attempt, len(PAUSE_SECONDS)) - 1]) and not probe:
                break
        return answer.result, key
