# SPDX-License-Identifier: Apache-2.0
"""Mutants of an app that has to go. Importing registers them."""
from mutants import mutant


def _crowd(records) -> list:
    return [record for record in records if record["op"] == "crowd" and record["closed"] is not None]


@mutant("stampede", "I21")
def stampede(records, model, rng):
    """all readers are sent away at once"""
    crowd = _crowd(records)
    for reader in crowd:
        reader["closed"] = crowd[0]["closed"]
    return records if crowd else None


@mutant("no-hint", "I21")
def no_hint(records, model, rng):
    """a reader is closed without being told when to come back"""
    crowd = _crowd(records)
    if not crowd:
        return None
    rng.choice(crowd).update(told=None, hint_ms=None)
    return records


@mutant("same-hint", "I21")
def same_hint(records, model, rng):
    """all readers are told the same time to come back: they come as one wave"""
    crowd = _crowd(records)
    for reader in crowd:
        reader["hint_ms"] = crowd[0]["hint_ms"]
    return records if crowd else None


@mutant("left-outside", "I21")
def left_outside(records, model, rng):
    """a reader finds no way back"""
    crowd = _crowd(records)
    if not crowd:
        return None
    rng.choice(crowd)["back"] = None
    return records


@mutant("missed-on-the-way", "I21")
def missed_on_the_way(records, model, rng):
    """a reader does not get what happened while it was on its way"""
    crowd = [reader for reader in _crowd(records) if len(reader["events"]) > 2]
    if not crowd:
        return None
    del rng.choice(crowd)["events"][1]
    return records


@mutant("ready-to-the-end", "I21")
def ready_to_the_end(records, model, rng):
    """the app calls itself ready until it is gone"""
    if not _crowd(records):
        return None
    return [record for record in records if record["op"] != "unready"]
