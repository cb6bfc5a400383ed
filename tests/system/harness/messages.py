# SPDX-License-Identifier: Apache-2.0
"""What a board event must look like, whatever carried it."""
import re

BASE_MEMBERS = {"id", "board", "action", "user", "payload", "timestamp", "correlation_id", "kind", "active_connections"}
LATER_MEMBERS = {"epoch", "pos", "seq", "cursor"}  # Additions that a client may meet.
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")


def check_event(event: dict, **expected) -> dict:
    """Every member present, well-formed and as expected; nothing that the contract does not know."""
    assert BASE_MEMBERS <= set(event) <= BASE_MEMBERS | LATER_MEMBERS, sorted(event)
    assert UUID.match(event["id"]), event["id"]
    assert TIMESTAMP.match(event["timestamp"]), event["timestamp"]
    assert event["kind"] == "board_event"
    assert isinstance(event["payload"], dict) and isinstance(event["active_connections"], int)
    for name, value in expected.items():
        assert event[name] == value, f"{name} is {event[name]!r}, not {value!r}"
    return event


def payload_text(event_text: str) -> str:
    """The payload of an event as the very characters that came (it is the member between user and timestamp or wherever)."""
    start = event_text.index('"payload":') + len('"payload":')
    depth, in_string, escaped = 0, False, False
    for at in range(start, len(event_text)):
        char = event_text[at]
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "{[":
            depth += 1
        elif char in "}]":
            depth -= 1
            if depth == 0:
                return event_text[start:at + 1]
    raise AssertionError(f"no payload in {event_text[:200]}")
