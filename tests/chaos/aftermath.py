# SPDX-License-Identifier: Apache-2.0
"""The end of a run: wait until nothing moves any more, then read everything that is left, independently of boardbus."""
import json
import time

from harness.brokers import pika_channel

from history import content_hash

DEAD_LETTERS_MAX = 200_000  # Read at the end; a queue with more fails the run instead of filling the memory.


def wait_quiet(lab, accepted_keys, seconds: float) -> bool:
    """True once every accepted key is committed (or the queues are empty) and nothing new came for a second; False at the deadline."""
    end = time.monotonic() + seconds
    before, since = -1, time.monotonic()
    while time.monotonic() < end:
        if lab.recorder.events != before:
            before, since = lab.recorder.events, time.monotonic()
        settled = accepted_keys() <= lab.recorder.keys or time.monotonic() - since > 3
        if settled and time.monotonic() - since > 1 and sum(ready_depths(lab).values()) == 0:
            return True
        time.sleep(0.2)
    return False


def queue_names(lab) -> list:
    lanes = [""] + [f".lane.{n}" for n in range(2, int(lab.settings.get("LANES", 1)) + 1)]
    levels = [""] + [f".{n}" for n in range(2, int(lab.settings["RABBITMQ_MAX_RETRIES"]) + 1)]
    return ([f"{lab.names.queue}{lane}" for lane in lanes] + [f"{lab.names.retry_queue}{lane}{level}" for lane in lanes for level in levels]
            + lab.more_queues)


def ready_depths(lab) -> dict:
    """Ready messages by queue, now. A queue that does not exist counts as empty."""
    import pika
    depths = {}
    connection, channel = pika_channel(lab.brokers)
    for name in queue_names(lab):
        try:
            depths[name] = channel.queue_declare(name, passive=True).method.message_count
        except pika.exceptions.ChannelClosedByBroker:
            channel = connection.channel()
    connection.close()
    return depths


def write_depths(lab, writer, seconds: float) -> None:
    """All messages of a queue, unacked and stuck ones too: only `list_queues messages` counts them, and it lags by up to 5 s."""
    names, end = set(queue_names(lab)), time.monotonic() + seconds
    while True:
        rows = [row for row in lab.rabbit.listed("queues", "name", "messages") if row["name"] in names]
        if not any(int(row["messages"] or 0) for row in rows) or time.monotonic() > end:
            break
        time.sleep(0.5)
    for row in rows:
        writer.write("depth", queue=row["name"], messages=int(row["messages"] or 0))


def write_dead_letters(lab, writer) -> None:
    import pika
    connection, channel = pika_channel(lab.brokers)
    end = time.monotonic() + 120
    try:
        for _ in range(DEAD_LETTERS_MAX):
            method, properties, body = channel.basic_get(lab.names.dlq_queue, auto_ack=True)
            while method is None and time.monotonic() < end and _holds_any(lab, lab.names.dlq_queue):
                time.sleep(0.5)  # The workers' look at the queue has some of them in hand, and gives them back.
                method, properties, body = channel.basic_get(lab.names.dlq_queue, auto_ack=True)
            if method is None:
                return
            writer.write("dlq", **_dead_letter(properties, body))
        raise RuntimeError(f"more than {DEAD_LETTERS_MAX} dead letters")
    except pika.exceptions.ChannelClosedByBroker:
        pass  # No such queue: the run deleted it, and nothing has needed it since.
    finally:
        connection.close()


def _holds_any(lab, queue: str) -> bool:
    return any(int(row["messages"] or 0) for row in lab.rabbit.listed("queues", "name", "messages") if row["name"] == queue)


def _dead_letter(properties, body: bytes) -> dict:
    headers = properties.headers or {}
    count = headers.get("x-retry-count", 0)
    reason = headers.get("failure_reason")
    if reason is None and headers.get("x-death"):
        reason = headers["x-death"][0].get("reason")
    entry = {"reason": reason, "attempts": count + 1 if isinstance(count, int) else 1, "error": str(headers.get("error"))[:200]}
    try:
        envelope = json.loads(body)
        message = envelope["message"]
        return {**entry, "id": envelope["event_id"], "key": envelope["correlation_id"], "board": envelope["board_id"],
                "hash": content_hash(message["action"], message["user"], message["payload"])}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {**entry, "id": properties.message_id, "key": properties.message_id, "board": None, "hash": None}


def write_claims(lab, writer) -> None:
    """The idempotency keys that Redis holds: what was committed, for servers that keep no log. Keys of conflicts have the fingerprint
    behind a colon, which no key of ours contains. In a Redis Cluster the channel stands between as hash tag."""
    prefix, tag = f"{lab.names.prefix}:", f"{{{lab.names.channel}}}:"
    for key in lab.brokers.redis.client().scan_iter(match=f"{prefix}*", count=10000):
        writer.write("claim", key=key.decode().removeprefix(prefix).removeprefix(tag))


def remove_queues(lab) -> None:
    connection, channel = pika_channel(lab.brokers)
    for name in queue_names(lab) + [lab.names.dlq_queue]:
        channel.queue_delete(name)
    for name in (lab.names.exchange, lab.names.retry_exchange, lab.names.dlq_exchange):
        channel.exchange_delete(name)
    connection.close()
