# SPDX-License-Identifier: Apache-2.0
"""Faults of the paths between processes, brokers and clients, by the relays of the run."""
import signal
import threading
import time

from harness.timing import wait_until

from fault_proxy import DOWN, UP
from faults import fault
from lab import LINKS

TLS_RECORD = b"\x17\x03\x03"  # Application data, as it is called in every version since 1.2. RFC 8446 section 5.2.


def _link(lab, link):
    if link not in lab.proxies:
        raise KeyError(f"the run has no relay on {link}")
    return lab.proxies[link]


def _on_link(link):
    @fault(f"link.{link}.reset")
    def reset(lab, rng, seconds):
        """RST of every connection, and refused for as long as the fault lasts."""
        proxy = _link(lab, link)
        proxy.refuse()
        count = proxy.reset()
        yield f"{count} connections" if count else None
        proxy.heal()

    @fault(f"link.{link}.drop-down")
    def drop_down(lab, rng, seconds):
        """Answers are swallowed; what is sent arrives."""
        yield from _ruled(lab, link, "drop", DOWN)

    @fault(f"link.{link}.drop-up")
    def drop_up(lab, rng, seconds):
        """What is sent is swallowed; answers would arrive."""
        yield from _ruled(lab, link, "drop", UP)

    @fault(f"link.{link}.stall")
    def stall(lab, rng, seconds):
        """Nothing is read in either direction."""
        proxy = _link(lab, link)
        proxy.apply("stall", UP)
        proxy.apply("stall", DOWN)
        yield f"{proxy.connections()} connections" if proxy.connections() else None
        proxy.heal()

    @fault(f"link.{link}.delay")
    def delay(lab, rng, seconds):
        """100 ms in each direction."""
        proxy = _link(lab, link)
        rules = [proxy.apply("delay", direction, seconds=0.1) for direction in (UP, DOWN)]
        wait_until(lambda: any(rule.took for rule in rules), 15, "delayed bytes")
        yield "bytes are late"
        proxy.heal()

    @fault(f"link.{link}.half-close")
    def half_close(lab, rng, seconds):
        """FIN towards the server; its answers still come."""
        count = _link(lab, link).half_close(UP)
        yield f"{count} connections" if count else None

    @fault(f"link.{link}.cut-mid-bytes")
    def cut_mid_bytes(lab, rng, seconds):
        """RST in the middle of what is sent, at a random byte of the next 2,000; at the next, where hardly anything is sent."""
        yield from _cut(lab, link, UP, after=1 if link == "app-redis" else rng.randrange(1, 2000))

    @fault(f"link.{link}.cut-record")
    def cut_record(lab, rng, seconds):
        """RST behind the third byte of a TLS record that is sent: its length never comes."""
        yield from _cut(lab, link, UP, pattern=TLS_RECORD)

    @fault(f"link.{link}.cut-answer-record")
    def cut_answer_record(lab, rng, seconds):
        """RST behind the third byte of a TLS record that is received, one of the next ten."""
        yield from _cut(lab, link, DOWN, pattern=TLS_RECORD, nth=rng.randrange(1, 11))


def _cut(lab, link, direction, **how):
    proxy = _link(lab, link)
    rule = proxy.apply("cut", direction, **how)
    wait_until(lambda: rule.took, 40, "the cut")
    yield "cut"
    proxy.heal()


def _ruled(lab, link, kind, direction):
    proxy = _link(lab, link)
    rule = proxy.apply(kind, direction)
    # A connection that only subscribes says something every 25 s.
    wait_until(lambda: rule.took, 40, f"{kind} has met bytes")
    yield f"{rule.took} bytes at first"
    proxy.heal()
    proxy.reset()  # What was swallowed left a hole in the stream; a real path would have ended the connection sooner or later.


for _name in LINKS:
    _on_link(_name)


@fault("link.worker-redis.cut-after-commit")
def cut_after_commit(lab, rng, seconds):
    """The connection that commits ends before the next reply: Redis has executed, the worker never hears of it. Again and again."""
    stop, cuts = threading.Event(), []
    proxy = _link(lab, "worker-redis")

    def loop():
        while not stop.is_set():
            rule = proxy.apply("cut", DOWN, after=0, mark=b"SCRIPT")  # It loads the commit script first.
            while not rule.took and not stop.wait(0.02):
                pass
            cuts.append(rule.took)
            proxy.remove(rule)
            stop.wait(0.3)
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    wait_until(lambda: sum(cuts), 20, "a cut")
    yield "replies cut off"
    stop.set()
    thread.join(5)
    proxy.heal()


@fault("link.app-redis.lose-last")
def lose_last(lab, rng, seconds):
    """Of a burst, the last message is swallowed on the subscription alone: no later one reveals the hole."""
    with lab.load.silence():
        wait_until(lambda: lab.load.accepted() <= lab.recorder.keys, 20, "all is committed")
        time.sleep(1)
        rule = _link(lab, "app-redis").apply("drop", DOWN, mark=b"SUBSCRIBE")
        key = lab.load.send_one()
        wait_until(lambda: key in lab.recorder.keys, 10, "the message is committed")
        evidence = wait_until(lambda: rule.took and f"{rule.took} bytes swallowed", 5, "swallowed bytes")
        lab.proxies["app-redis"].heal()
        time.sleep(max(2.5, seconds))  # The promise is two seconds.
    yield evidence


@fault("link.app-redis.slow-reader")
def slow_reader(lab, rng, seconds):
    """The subscription is not read until Redis has had enough of it (client-output-buffer-limit) and ends it."""
    proxy, client = _link(lab, "app-redis"), lab.redis.client()
    client.config_set("client-output-buffer-limit", "pubsub 131072 65536 1")
    proxy.narrow = True
    proxy.reset()
    wait_until(lambda: proxy.connections(b"SUBSCRIBE") and all(map(lab.is_ready, lab.apps)), 20, "the app has subscribed again")
    # Redis may find the recorder slow as well, which is no relay's client: addresses tell them apart.
    addresses = [f"addr=127.0.0.1:{port} " for port in proxy.server_side_ports(b"SUBSCRIBE")]
    proxy.apply("stall", DOWN, mark=b"SUBSCRIBE")

    def ended():
        lines = (line for line in lab.redis.output().splitlines() if "overcoming of output buffer limits" in line)
        return next((line for line in lines if any(address in line for address in addresses)), None)
    try:
        yield "Redis: " + wait_until(ended, 30, "Redis ends the subscription", 0.1).split("# ", 1)[-1][:60]
    finally:
        proxy.narrow = False
        proxy.heal()
        client.config_set("client-output-buffer-limit", "pubsub 33554432 8388608 60")


# Clients.

@fault("clients.cut")
def clients_cut(lab, rng, seconds):
    """RST of all clients' connections."""
    count = sum(proxy.reset() for proxy in lab.edges())
    yield f"{count} connections" if count else None


@fault("readers.refuse")
def readers_refuse(lab, rng, seconds, before_heal=lambda: None):
    """RST of all readers' connections, and none gets in for as long as the fault lasts."""
    for proxy in lab.edges("readers"):
        proxy.refuse()
    count = sum(proxy.reset() for proxy in lab.edges("readers"))
    yield f"{count} connections" if count else None
    before_heal()
    for proxy in lab.edges("readers"):
        proxy.heal()


@fault("readers.away-from-a-new-app")
def readers_away_from_a_new_app(lab, rng, seconds):
    """As readers.refuse; before they come back the app is killed, and the next one remembers nothing by itself."""
    yield from readers_refuse(lab, rng, seconds, before_heal=lambda: new_app(lab))


def new_app(lab) -> None:
    app = lab.apps[0]
    before = len(app.deaths)
    lab.signal(app, signal.SIGKILL)
    wait_until(lambda: len(app.deaths) > before and lab.is_ready(app), 30, "another app is ready", 0.05)


@fault("clients.stall")
def clients_stall(lab, rng, seconds):
    """Nothing passes between clients and apps."""
    for proxy in lab.edges():
        proxy.apply("stall", UP)
        proxy.apply("stall", DOWN)
    yield "stalled" if lab.edges() else None
    for proxy in lab.edges():
        proxy.heal()
