# SPDX-License-Identifier: Apache-2.0
"""Faults of Redis: dead, silent, empty, refusing; and of the sentinels' trio."""
import threading
import time

import redis as redis_client

from harness.timing import wait_until

from faults import fault

def _redis_refuses(lab) -> bool:
    try:
        lab.redis.client().set("chaos:probe", "1", ex=5)
        return False
    except (redis_client.RedisError, OSError):
        return True


@fault("redis.kill")
def redis_kill(lab, rng, seconds):
    """kill -9 of Redis; started again with what its append-only file holds."""
    lab.redis.kill()
    yield "no answer" if _redis_refuses(lab) else None
    lab.redis.start_again()


@fault("redis.kill-empty")
def redis_kill_empty(lab, rng, seconds):
    """kill -9 of Redis, which comes back without its data, as one without persistence does."""
    before = lab.redis.client().dbsize()
    lab.redis.kill()
    lab.redis.forget()
    yield f"{before} keys gone" if before else None
    lab.redis.start_again()


@fault("redis.stop")
def redis_stop(lab, rng, seconds):
    """SIGSTOP of Redis, SIGCONT later: connections live and nobody answers."""
    lab.redis.freeze()
    yield "stopped"
    lab.redis.thaw()


@fault("redis.flap")
def redis_flap(lab, rng, seconds):
    """Redis is killed every two seconds and started a moment later, for as long as the fault lasts."""
    stop, kills = threading.Event(), []

    def loop():
        while not stop.is_set():
            lab.redis.kill()
            kills.append(time.monotonic())
            stop.wait(0.7)
            lab.redis.start_again()
            stop.wait(1.3)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    wait_until(lambda: kills, 10, "a first kill")
    yield "first of several kills"
    stop.set()
    thread.join(30)


@fault("redis.script-flush")
def redis_script_flush(lab, rng, seconds):
    """SCRIPT FLUSH and FUNCTION FLUSH under load."""
    client = lab.redis.client()
    client.execute_command("SCRIPT", "FLUSH")
    client.execute_command("FUNCTION", "FLUSH")
    yield "flushed"


@fault("redis.flushall")
def redis_flushall(lab, rng, seconds):
    """FLUSHALL: the history, its epoch and all idempotency keys are gone."""
    client = lab.redis.client()
    before = client.dbsize()
    client.flushall()
    yield f"{before} keys gone" if before else None


@fault("redis.client-kill")
def redis_client_kill(lab, rng, seconds):
    """CLIENT KILL of every connection, ten times a second, for as long as the fault lasts; the recorder's own as well."""
    stop, killed = threading.Event(), []

    def loop():
        client = lab.redis.client()
        while not stop.is_set():
            for kind in ("normal", "pubsub"):
                killed.append(client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"))
            stop.wait(0.1)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    wait_until(lambda: sum(killed) > 0, 10, "connections killed")
    yield f"{sum(killed)} connections at first"
    stop.set()
    thread.join(10)


def _redis_setting(lab, begin, end):
    client = lab.redis.client()
    client.execute_command(*begin)
    try:
        yield " ".join(begin) if _redis_refuses(lab) else None
    finally:
        client.execute_command(*end)


@fault("redis.maxmemory")
def redis_maxmemory(lab, rng, seconds):
    """Redis answers PING and refuses every write: -OOM."""
    yield from _redis_setting(lab, ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"))


@fault("redis.readonly")
def redis_readonly(lab, rng, seconds):
    """Redis becomes a replica of nobody: -READONLY. Its data stay, because it never finds its master."""
    yield from _redis_setting(lab, ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"))


@fault("redis.no-replicas")
def redis_no_replicas(lab, rng, seconds):
    """-NOREPLICAS: writes are refused while a bare PUBLISH would pass."""
    yield from _redis_setting(lab, ("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"))


@fault("redis.full-disk")
def redis_full_disk(lab, rng, seconds):
    """The file system of Redis' append-only file is full: -MISCONF, and PING is answered."""
    lab.redis.fill_disk()
    try:
        yield wait_until(lambda: _redis_refuses(lab) and "no space left", 20, "Redis refuses", 0.1)
    finally:
        lab.redis.empty_disk()


@fault("redis.acl")
def redis_acl(lab, rng, seconds):
    """The user may PING and read and may not write: -NOPERM."""
    other = lab.redis.client()
    other.execute_command("ACL", "SETUSER", "operator", "on", ">mend", "~*", "&*", "+@all")
    other.execute_command("ACL", "SETUSER", "default", "-@write", "-@scripting", "-publish")
    yield "no right to write" if _redis_refuses(lab) else None
    mender = redis_client.Redis(host="127.0.0.1", port=lab.redis.port, username="operator", password="mend", socket_timeout=5)
    mender.execute_command("ACL", "SETUSER", "default", "+@all")
    mender.execute_command("ACL", "DELUSER", "operator")


# The sentinels.

@fault("sentinel.failover")
def sentinel_failover(lab, rng, seconds):
    """An orderly failover."""
    before = lab.redis.master().port
    lab.redis.failover()
    yield wait_until(lambda: lab.redis.master().port != before and f"{before} is no master any more", 20, "another master", 0.1)


@fault("sentinel.kill-master")
def sentinel_kill_master(lab, rng, seconds):
    """kill -9 of the master; it comes back as a replica."""
    master = lab.redis.master()
    master.kill()
    yield wait_until(lambda: lab.redis.master() is not master and f"{master.port} was replaced", 30, "another master", 0.1)
    master.start_again()


@fault("sentinel.freeze-master")
def sentinel_freeze_master(lab, rng, seconds):
    """The master is stopped, replaced and resumed: for ten seconds it believes that it still is the master."""
    master = lab.redis.master()
    master.freeze()
    yield wait_until(lambda: lab.redis.master() is not master and f"{master.port} was replaced", 30, "another master", 0.1)
    master.thaw()


# The Redis Cluster. What matters is the master of the one slot that holds the run's keys.

@fault("redis-cluster.failover")
def redis_cluster_failover(lab, rng, seconds):
    """An orderly failover: the replica takes the slot over."""
    redis, master = lab.redis, lab.redis.serving()
    replica = redis.replica_of(master)
    redis.at(replica, "CLUSTER", "FAILOVER")
    yield wait_until(lambda: redis.serving() == replica and f"{replica} serves instead of {master}", 30, "another master", 0.1)


@fault("redis-cluster.kill-master")
def redis_cluster_kill_master(lab, rng, seconds):
    """kill -9 of the slot's master; it comes back as a replica."""
    redis, master = lab.redis, lab.redis.serving()
    redis.kill(master)
    yield wait_until(lambda: redis.serving() not in (None, master) and f"{master} was replaced", 30, "another master", 0.1)
    redis.begin(master)


@fault("redis-cluster.move-slot")
def redis_cluster_move_slot(lab, rng, seconds):
    """The slot moves to another master while it is used."""
    redis, master = lab.redis, lab.redis.serving()
    other = redis.other_master(master)
    redis.move_slot_of(redis.key, other)
    yield redis.serving() == other and f"the slot moved from {master} to {other}"
