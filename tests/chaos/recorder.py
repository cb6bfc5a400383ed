# SPDX-License-Identifier: Apache-2.0
"""The observer that boardbus does not know: it reads what Redis published and what the history's log holds, past every relay.

Two threads: one subscribes the channel, one tails the log, if the server keeps one (a stream whose key ends with `:log`). Both write `log`
records; the checker takes their union. Whatever was lost to the recorder itself is marked. A third one looks at the processes' memory.
"""
import json
import threading
import time
from pathlib import Path

import redis

from history import event_fields

TAIL_SECONDS = 0.05
RSS_SECONDS = 0.5


class Recorder:
    def __init__(self, connect, channel: str, writer, processes):
        """`connect()` gives a client of the Redis that is master now; `processes()` the (name, pid) of what runs now."""
        self._connect, self._channel, self._writer, self._processes = connect, channel, writer, processes
        self._going = True
        self.keys = set()      # Committed, as far as is known.
        self.events = 0
        self.log_key = None
        self.subscribed = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True, name=name) for name, target in
                         (("recorder-channel", self._channel_loop), ("recorder-log", self._log_loop), ("recorder-rss", self._rss_loop))]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(10)

    def _record(self, via: str, event: dict) -> None:
        if event.get("kind") != "board_event":
            return
        self._writer.write("log", via=via, **event_fields(event))
        self.keys.add(event.get("correlation_id"))
        self.events += 1

    # The channel.

    def _channel_loop(self) -> None:
        while self._going:
            try:
                pubsub = self._connect().pubsub(ignore_subscribe_messages=False)
                pubsub.subscribe(self._channel)
                while self._going:
                    message = pubsub.get_message(timeout=0.2)
                    if message is None:
                        continue
                    if message["type"] == "subscribe":
                        self._writer.write("recorder", type="back", via="channel")
                        self.subscribed.set()
                    elif message["type"] == "message":
                        self._record("channel", _loads(message["data"]))
                pubsub.close()
            except (redis.RedisError, OSError):
                if self.subscribed.is_set():
                    self.subscribed.clear()
                    self._writer.write("recorder", type="lost", via="channel")
                time.sleep(0.05)

    # The log.

    def _log_loop(self) -> None:
        last = "0-0"
        while self._going:
            try:
                client = self._connect()
                while self._going:
                    if self.log_key is None:
                        self.log_key = find_log(client)
                    if self.log_key is None:
                        time.sleep(0.3)
                        continue
                    entries = client.xrange(self.log_key, f"({last}", "+", 2000)
                    for entry_id, fields in entries:
                        last = entry_id.decode()
                        self._record("stream", event_of_entry(fields))
                    if len(entries) < 2000:
                        # A tail that fell back behind us: this is another history, or one that was rolled back.
                        if not entries and _id(newest(client, self.log_key)) < _id(last):
                            last = "0-0"
                        time.sleep(TAIL_SECONDS)
            except (redis.RedisError, OSError):
                time.sleep(0.05)

    def read_to_the_end(self) -> int:
        """Records the whole log once more, as it stands now; how many entries it has."""
        client = self._connect()
        key = self.log_key or find_log(client)
        count = 0
        if key is not None:
            last = "-"
            while entries := client.xrange(key, last, "+", 2000):
                for entry_id, fields in entries:
                    self._record("stream", event_of_entry(fields))
                    last = f"({entry_id.decode()}"
                    count += 1
        return count

    # Memory.

    def _rss_loop(self) -> None:
        while self._going:
            for name, pid in self._processes():
                try:
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                    self._writer.write("rss", proc=name, bytes=pages * 4096)
                except (OSError, IndexError, ValueError):
                    pass  # It has just ended.
            time.sleep(RSS_SECONDS)


def _loads(data) -> dict:
    try:
        value = json.loads(data)
        return value if isinstance(value, dict) else {}
    except ValueError:
        return {}


def _id(text) -> tuple:
    first, _, second = (text or "0-0").partition("-")
    return int(first), int(second or 0)


def newest(client, key) -> str:
    entries = client.xrevrange(key, "+", "-", 1)
    return entries[0][0].decode() if entries else "0-0"


def find_log(client):
    """The key of the stream of all boards; None when the server keeps none."""
    for key in client.scan_iter(count=10000, _type="stream"):
        if key.endswith(b":log"):
            return key
    return None


def event_of_entry(fields: dict) -> dict:
    """The event that a stream's entry holds: the field that is a JSON object with an id."""
    for value in fields.values():
        event = _loads(value)
        if "id" in event:
            return event
    return {}
