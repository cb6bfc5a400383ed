# SPDX-License-Identifier: Apache-2.0
"""Faults of RabbitMQ: dead, silent, in an alarm, with queues that vanish; and of three nodes."""
import time

from harness.brokers import pika_channel
from harness.timing import wait_until

from aftermath import ready_depths
from faults import fault

def _rabbit_up(lab) -> bool:
    try:
        return lab.rabbit.is_up()
    except AssertionError:
        return False


@fault("rabbit.kill")
def rabbit_kill(lab, rng, seconds):
    """kill -9 of the node; started again on its data."""
    lab.rabbit.kill()
    yield "port closed" if not _rabbit_up(lab) else None
    lab.rabbit.start_again()


@fault("rabbit.stop")
def rabbit_stop(lab, rng, seconds):
    """SIGSTOP of the node, SIGCONT later."""
    lab.rabbit.freeze()
    yield "stopped"
    lab.rabbit.thaw()


def _alarm(lab, begin, end, name):
    lab.rabbit.ctl(*begin)
    try:
        yield wait_until(lambda: name in lab.rabbit.ctl("alarms", program="rabbitmq-diagnostics") and f"{name} alarm", 10, f"{name} alarm")
    finally:
        lab.rabbit.ctl(*end)


@fault("rabbit.memory-alarm")
def rabbit_memory_alarm(lab, rng, seconds):
    """A memory alarm: publishers are blocked."""
    yield from _alarm(lab, ("set_vm_memory_high_watermark", "0"), ("set_vm_memory_high_watermark", "absolute", "2GB"), "Memory")


@fault("rabbit.disk-alarm")
def rabbit_disk_alarm(lab, rng, seconds):
    """A disk alarm: publishers are blocked."""
    yield from _alarm(lab, ("set_disk_free_limit", "10000GB"), ("set_disk_free_limit", "100MB"), "disk")


@fault("rabbit.close-connections")
def rabbit_close_connections(lab, rng, seconds):
    """The operator closes every connection (320 CONNECTION_FORCED)."""
    before = len(lab.rabbit.listed("connections", "pid"))
    lab.rabbit.ctl("close_all_connections", "chaos")
    yield f"{before} connections closed" if before else None


def _delete_queue(lab, name):
    connection, channel = pika_channel(lab.brokers)
    left = channel.queue_delete(name).method.message_count
    connection.close()
    lab.nemesis_file.write("deleted", queue=name, messages=left)
    return f"{name} deleted with {left} messages"


def _empty(lab, name) -> bool:
    """Deleting a queue deletes its messages; that is the operator's loss and not ours, so faults wait until it is empty and idle."""
    return ready_depths(lab).get(name, 0) == 0


@fault("rabbit.delete-main")
def rabbit_delete_main(lab, rng, seconds):
    """The main queue is deleted while nobody sends; app and worker declare it again. Sending goes on at once."""
    with lab.load.silence():
        wait_until(lambda: _empty(lab, lab.names.queue), 20, "the main queue is empty")
        time.sleep(0.5)
        evidence = _delete_queue(lab, lab.names.queue)
    yield evidence


@fault("rabbit.delete-retry")
def rabbit_delete_retry(lab, rng, seconds):
    """The first level is deleted while it is empty."""
    with lab.load.silence():
        wait_until(lambda: _empty(lab, lab.names.retry_queue), 20, "the level is empty")
        time.sleep(0.5)
        evidence = _delete_queue(lab, lab.names.retry_queue)
    yield evidence


@fault("rabbit.delete-dlq")
def rabbit_delete_dlq(lab, rng, seconds):
    """The dead letter queue is deleted before anything is in it."""
    yield _delete_queue(lab, lab.names.dlq_queue)


@fault("rabbit.unbind-main")
def rabbit_unbind_main(lab, rng, seconds):
    """The main queue's binding is removed: RabbitMQ confirms what it cannot route, and only `mandatory` tells."""
    connection, channel = pika_channel(lab.brokers)
    channel.queue_unbind(lab.names.queue, lab.names.exchange, lab.names.routing_key)
    connection.close()
    yield "unbound"


@fault("rabbit.delete-exchange")
def rabbit_delete_exchange(lab, rng, seconds):
    """The main exchange is deleted: publishing closes the channel with 404."""
    connection, channel = pika_channel(lab.brokers)
    channel.exchange_delete(lab.names.exchange)
    connection.close()
    yield "deleted"


# Three nodes.

@fault("cluster.kill-leader")
def cluster_kill_leader(lab, rng, seconds):
    """kill -9 of the node that leads the main queue."""
    leader = lab.rabbit.leader_of(lab.names.queue)
    leader.kill()
    yield f"{leader.name} died"
    leader.begin()
    leader.wait_ready()


@fault("cluster.kill-majority")
def cluster_kill_majority(lab, rng, seconds):
    """kill -9 of two of three nodes: nothing can be confirmed until one is back."""
    victims = rng.sample(lab.rabbit.nodes, 2)
    for node in victims:
        node.kill()
    yield " and ".join(node.name for node in victims) + " died"
    for node in victims:
        node.begin()
    for node in victims:
        node.wait_ready()


@fault("cluster.isolate-leader")
def cluster_isolate_leader(lab, rng, seconds):
    """The main queue's leader and the two others refuse each other: their cookies differ, and their connections are cut."""
    leader = lab.rabbit.leader_of(lab.names.queue)
    others = [node for node in lab.rabbit.nodes if node is not leader]
    cookie = (leader.folder / ".erlang.cookie").read_text()
    # One eval each: the command itself reaches its node with the true cookie.
    names = ",".join(f"'{node.name}'" for node in others)
    leader.ctl("eval", f"[begin erlang:set_cookie(N, other), erlang:disconnect_node(N) end || N <- [{names}]].")
    alone = leader.ctl("eval", f"[N || N <- [{names}], lists:member(N, nodes())].")
    yield f"{leader.name} is alone" if alone.strip() == "[]" else None
    leader.ctl("eval", f"[erlang:set_cookie(N, '{cookie}') || N <- [{names}]].")
