# SPDX-License-Identifier: Apache-2.0
"""A TCP relay that breaks on demand: between boardbus and a broker, or between clients and an app.

One thread serves all connections of all its proxies' rules. Directions are seen from the client: `up` is what the client sends, `down`
what it gets. What can be done to a direction, for all connections or for those whose first bytes up contain a mark:

    delay     bytes go on after a while, in order
    stall     nothing is read: the sender's buffers fill up, as with a peer that hangs
    drop      everything is read and thrown away: a path that swallows packets; the peers see a connection that lives
    cut       the connection ends, with RST or FIN, after n more bytes or right behind a pattern, which are still forwarded
    close     this direction ends with FIN, the other goes on

and to the whole relay: `reset()` ends every connection with RST, `refuse()` closes the port, `accept()` opens it again, `heal()` takes
every rule away. With `narrow`, later connections to the server hold little in the kernel, so that a stall is felt there at once. A rule takes
effect when the relay's thread next turns, within milliseconds; `took` counts what it has done.
"""
import queue
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from harness.children import free_ports

BUFFER_MAX = 1 << 20    # Of one direction of one connection; when full, nothing more is read: back-pressure, as a real path has it.
HELLO_MAX = 4096        # First bytes up, kept to tell connections apart.
CONNECTIONS_MAX = 4096  # Then the relay stops accepting until one ends.
NARROW_SEGMENT, NARROW_BUFFER = 1460, 32768  # Over loopback, Linux lends a sender 2.6 MB otherwise: ten segments of 64 KiB, and their bookkeeping.
UP, DOWN = "up", "down"


@dataclass
class Rule:
    kind: str
    direction: str
    seconds: float = 0.0       # delay
    after: int = 0             # cut: bytes
    pattern: bytes = b""       # cut: forward up to and with it
    nth: int = 1               # cut: the how manieth time the pattern passes
    end: str = "rst"           # cut: rst or fin
    once: bool = True          # cut: the rule is spent with the first connection it cuts
    mark: bytes = b""          # only connections whose first bytes up contain it
    took: int = 0              # connections cut, or bytes dropped or delayed
    spent: bool = False

    def applies(self, flow) -> bool:
        return not self.spent and self.direction == flow.direction and (not self.mark or self.mark in flow.pair.hello)


@dataclass
class Flow:
    """One direction of one connection."""
    pair: "Pair"
    direction: str
    source: socket.socket
    sink: socket.socket
    waiting: list = field(default_factory=list)  # (due, bytes), in order
    size: int = 0
    ended: bool = False        # the source has said FIN
    shut: bool = False         # FIN was passed on
    seen: dict = field(default_factory=dict)  # rule id -> (bytes, passes, tail) so far


class Pair:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.hello = b""
        self.closed = False
        self.flows = {UP: Flow(self, UP, client, server), DOWN: Flow(self, DOWN, server, client)}


class FaultProxy:
    def __init__(self, target_port: int):
        self._target = target_port
        self._rules, self._pairs = [], {}
        self._orders = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, "wake")
        self._listener = None
        self._going = True
        self.accepted, self.narrow = 0, False
        self.port = free_ports(1)[0]
        self._listen()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    # Orders, from any thread; each returns when it is in force.

    def apply(self, kind: str, direction: str, **how) -> Rule:
        rule = Rule(kind, direction, **how)
        self._do(lambda: self._rules.append(rule))
        return rule

    def remove(self, rule: Rule) -> None:
        self._do(lambda: self._rules.remove(rule) if rule in self._rules else None)

    def heal(self) -> None:
        def all_of_it():
            self._rules.clear()
            if self._listener is None:
                self._listen()
        self._do(all_of_it)

    def reset(self, mark: bytes = b"") -> int:
        """RST to both ends of every connection (with that mark); how many there were."""
        count = []

        def all_of_it():
            pairs = [pair for pair in set(self._pairs.values()) if mark in pair.hello]
            for pair in pairs:
                self._end(pair, "rst")
            count.append(len(pairs))
        self._do(all_of_it)
        return count[0]

    def half_close(self, direction: str) -> int:
        """FIN in that direction on every connection; the other goes on. How many there were."""
        count = []

        def all_of_it():
            flows = [pair.flows[direction] for pair in set(self._pairs.values())]
            for flow in flows:
                flow.ended = True
            count.append(len(flows))
        self._do(all_of_it)
        return count[0]

    def refuse(self) -> None:
        self._do(self._unlisten)

    def accept(self) -> None:
        self._do(lambda: self._listen() if self._listener is None else None)

    def connections(self, mark: bytes = b"") -> int:
        return sum(1 for pair in set(list(self._pairs.values())) if mark in pair.hello)

    def server_side_ports(self, mark: bytes = b"") -> list:
        """The ports from which the server sees these connections come."""
        ports = []
        self._do(lambda: ports.extend(pair.server.getsockname()[1] for pair in set(self._pairs.values()) if mark in pair.hello))
        return ports

    def end(self) -> None:
        if self._going:
            self._do(self._stop)
            self._thread.join(5)
            # Not by the relay, which may have found the last order, and ended, before it is woken for it.
            self._wake_in.close()
            self._wake_out.close()

    def _do(self, order) -> None:
        if not self._thread.is_alive():
            return
        done, failure = threading.Event(), []

        def run():
            try:
                order()
            except Exception as error:  # It belongs to whoever gave the order, not to the relay.
                failure.append(error)
            done.set()
        self._orders.put(run)
        self._wake_out.send(b"x")
        if not done.wait(10):
            raise TimeoutError("the relay does not turn")
        if failure:
            raise failure[0]

    # The relay's own thread.

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")

    def _unlisten(self) -> None:
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _stop(self) -> None:
        self._unlisten()
        for pair in set(self._pairs.values()):
            self._end(pair, "fin")
        self._going = False

    def _run(self) -> None:
        while self._going:
            for key, ready in self._selector.select(self._pause()):
                if key.data == "wake":
                    self._wake_in.recv(4096)
                elif key.data == "listener":
                    self._welcome()
                elif not key.data.closed and ready & selectors.EVENT_READ:
                    self._read(key.data, key.fileobj)
            while not self._orders.empty():
                self._orders.get()()
            for pair in set(self._pairs.values()):
                for flow in pair.flows.values():
                    if not pair.closed:
                        self._write(flow)
                if not pair.closed:
                    self._watch(pair)
        self._selector.close()

    def _pause(self):
        """Until the first delayed bytes are due."""
        due = [flow.waiting[0][0] for pair in set(self._pairs.values()) for flow in pair.flows.values()
               if flow.waiting and flow.waiting[0][0]]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _welcome(self) -> None:
        if len(self._pairs) >= 2 * CONNECTIONS_MAX:
            return
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.socket()
        try:
            server.settimeout(2)
            if self.narrow:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, NARROW_SEGMENT)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BUFFER)
            server.connect(("127.0.0.1", self._target))
        except OSError:
            _linger_rst(client)
            client.close()
            server.close()
            return
        self.accepted += 1
        pair = Pair(client, server)
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[sock] = pair
            self._selector.register(sock, selectors.EVENT_READ, pair)

    def _watch(self, pair) -> None:
        """Asks for what each socket is to tell: input while there is room and no stall, output while bytes are due."""
        for sock, source, sink in ((pair.client, UP, DOWN), (pair.server, DOWN, UP)):
            flow, back = pair.flows[source], pair.flows[sink]
            wanted = 0
            stalled = any(rule.kind == "stall" and rule.applies(flow) for rule in self._rules)
            if not flow.ended and not stalled and flow.size < BUFFER_MAX:
                wanted |= selectors.EVENT_READ
            if back.waiting and back.waiting[0][0] <= time.monotonic():
                wanted |= selectors.EVENT_WRITE
            key = self._selector.get_map().get(sock)
            if wanted and key is None:
                self._selector.register(sock, wanted, pair)
            elif wanted and key.events != wanted:
                self._selector.modify(sock, wanted, pair)
            elif not wanted and key is not None:
                self._selector.unregister(sock)

    def _read(self, pair, sock) -> None:
        flow = pair.flows[UP if sock is pair.client else DOWN]
        if any(rule.kind == "stall" and rule.applies(flow) for rule in self._rules):
            return
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            return self._end(pair, "rst")
        if not data:
            flow.ended = True
            return
        if flow.direction == UP and len(pair.hello) < HELLO_MAX:
            pair.hello += data[:HELLO_MAX - len(pair.hello)]
        self._take(flow, data)

    def _take(self, flow, data: bytes) -> None:
        due, cut = 0.0, None
        for rule in self._rules:
            if not rule.applies(flow):
                continue
            if rule.kind == "drop":
                rule.took += len(data)
                return
            if rule.kind == "delay":
                rule.took += len(data)
                due = time.monotonic() + rule.seconds
            elif rule.kind == "cut":
                at = _cut_at(rule, flow, data)
                if at is not None:
                    data, cut = data[:at], rule
        if data:
            flow.waiting.append((due, data))
            flow.size += len(data)
        if cut is not None:
            cut.took += 1
            cut.spent = cut.once
            self._write(flow)
            if not flow.pair.closed:
                self._end(flow.pair, cut.end)

    def _write(self, flow) -> None:
        now = time.monotonic()
        while flow.waiting and flow.waiting[0][0] <= now:
            due, data = flow.waiting[0]
            try:
                sent = flow.sink.send(data)
            except BlockingIOError:
                return
            except OSError:
                return self._end(flow.pair, "rst")
            flow.size -= sent
            if sent < len(data):
                flow.waiting[0] = (due, data[sent:])
                return
            flow.waiting.pop(0)
        swallowed = any(rule.kind == "drop" and rule.applies(flow) for rule in self._rules)  # A FIN is lost like any other packet.
        if flow.ended and not flow.waiting and not flow.shut and not swallowed:
            flow.shut = True
            try:
                flow.sink.shutdown(socket.SHUT_WR)
            except OSError:
                return self._end(flow.pair, "rst")
            if all(other.shut for other in flow.pair.flows.values()):
                self._end(flow.pair, "fin")

    def _end(self, pair, how: str) -> None:
        if pair.closed:
            return
        pair.closed = True
        for sock in (pair.client, pair.server):
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            self._pairs.pop(sock, None)
            if how == "rst":
                _linger_rst(sock)
            sock.close()


def _linger_rst(sock) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _cut_at(rule, flow, data: bytes):
    """Where in `data` the cut falls; None: not in it."""
    count, passes, tail = flow.seen.get(id(rule), (0, 0, b""))
    at = None
    if rule.pattern:
        text, start = tail + data, 0
        while (found := text.find(rule.pattern, start)) >= 0:
            passes, start = passes + 1, found + len(rule.pattern)
            if passes == rule.nth:
                at = start - len(tail)
                break
        keep = len(rule.pattern) - 1
        tail = text[max(start, len(text) - keep):] if keep else b""
    elif count + len(data) >= rule.after:
        at = rule.after - count
    flow.seen[id(rule)] = (count + len(data), passes, tail)
    return at
