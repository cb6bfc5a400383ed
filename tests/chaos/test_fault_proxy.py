# SPDX-License-Identifier: Apache-2.0
"""The relay does to a connection what it was told, and nothing else."""
import socket
import threading
import time

import pytest

from fault_proxy import DOWN, UP, FaultProxy

SECONDS = 20  # Deadline of every wait.


class Echo:
    """Answers every connection with its own bytes, in upper case; keeps what it got and how connections ended."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.got, self.ends = b"", []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            while data := sock.recv(65536):
                self.got += data
                sock.sendall(data.upper())
            self.ends.append("fin")
            sock.sendall(b"BYE")
        except OSError as error:
            self.ends.append(type(error).__name__)
        sock.close()

    def close(self):
        self._listener.close()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo):
    relay = FaultProxy(echo.port)
    yield relay
    relay.end()


def connect(proxy):
    sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=SECONDS)
    return sock


def ask(sock, data: bytes) -> bytes:
    sock.sendall(data)
    return take(sock, len(data))


def take(sock, count: int) -> bytes:
    got = b""
    while len(got) < count and (more := sock.recv(count - len(got))):
        got += more
    return got


def silent(sock, seconds: float = 0.3) -> bool:
    sock.settimeout(seconds)
    try:
        return sock.recv(1) is None
    except socket.timeout:
        return True
    finally:
        sock.settimeout(SECONDS)


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_it_carries_many_connections_and_large_bodies(proxy):
    socks = [connect(proxy) for _ in range(100)]
    for number, sock in enumerate(socks):
        assert ask(sock, b"n%d" % number) == b"N%d" % number
    body = b"x" * 5_000_000
    threading.Thread(target=socks[0].sendall, args=(body,), daemon=True).start()
    assert take(socks[0], len(body)) == body.upper()
    assert proxy.connections() == 100
    for sock in socks:
        sock.close()
    until(lambda: proxy.connections() == 0)


def test_a_delay_keeps_bytes_and_order(proxy):
    sock = connect(proxy)
    rule = proxy.apply("delay", UP, seconds=0.2)
    begin = time.monotonic()
    sock.sendall(b"ab")
    sock.sendall(b"cd")
    assert take(sock, 4) == b"ABCD" and time.monotonic() - begin >= 0.2 and rule.took == 4
    proxy.heal()
    assert ask(sock, b"e") == b"E"


def test_a_stall_makes_the_sender_wait_and_loses_nothing(proxy, echo):
    sock = connect(proxy)
    ask(sock, b"a")
    proxy.apply("stall", UP)
    sock.settimeout(0.3)
    sent = 0
    with pytest.raises(socket.timeout):
        while sent < 64 << 20:
            sent += sock.send(b"y" * 65536)
    sock.settimeout(SECONDS)
    assert echo.got == b"a"
    proxy.heal()
    assert take(sock, sent) == b"Y" * sent


def test_a_dropped_direction_is_silent_and_the_other_is_not(proxy, echo):
    sock = connect(proxy)
    ask(sock, b"a")
    proxy.apply("drop", DOWN)
    sock.sendall(b"b")
    assert silent(sock)
    assert echo.got == b"ab"
    proxy.heal()
    assert ask(sock, b"c") == b"C"


def test_a_mark_chooses_connections(proxy):
    marked, other = connect(proxy), connect(proxy)
    ask(marked, b"SUBSCRIBE")
    ask(other, b"hello")
    proxy.apply("drop", DOWN, mark=b"SUBSCRIBE")
    marked.sendall(b"x")
    assert silent(marked) and ask(other, b"x") == b"X"
    assert proxy.reset(b"SUBSCRIBE") == 1 and proxy.connections() == 1


def test_a_cut_falls_behind_the_nth_byte(proxy, echo):
    sock = connect(proxy)
    rule = proxy.apply("cut", UP, after=5)
    sock.sendall(b"abc")
    take(sock, 3)
    sock.sendall(b"defg")
    with pytest.raises(ConnectionResetError):
        while sock.recv(10):
            pass
    until(lambda: echo.ends)
    assert echo.got == b"abcde" and rule.took == 1
    assert ask(connect(proxy), b"again and again") == b"AGAIN AND AGAIN", "the rule is spent"


def test_a_cut_falls_behind_the_nth_pattern_even_when_it_comes_in_pieces(proxy, echo):
    sock = connect(proxy)
    proxy.apply("cut", UP, pattern=b"EXEC", nth=2, end="fin")
    ask(sock, b"1 EXEC 2 EX")
    sock.sendall(b"EC 3")
    rest = b""
    try:
        while data := sock.recv(10):
            rest += data
    except ConnectionResetError:
        pass
    until(lambda: echo.ends)
    assert echo.got == b"1 EXEC 2 EXEC"
    sock.close()


def test_a_cut_in_the_answer_leaves_the_request_whole(proxy, echo):
    sock = connect(proxy)
    proxy.apply("cut", DOWN, after=0)
    sock.sendall(b"commit")
    with pytest.raises(ConnectionResetError):
        sock.recv(10)
    assert echo.got == b"commit"


def test_behind_a_narrow_relay_a_stall_is_felt_at_once():
    def swallowed(narrow) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        relay = FaultProxy(listener.getsockname()[1])
        relay.narrow = narrow
        with connect(relay), listener.accept()[0] as server:
            relay.apply("stall", DOWN)
            server.setblocking(False)
            size = 0
            try:
                while size < 64 << 20:
                    size += server.send(bytes(65536))
                    time.sleep(0.001)  # For what the other end takes off.
            except BlockingIOError:
                pass
        relay.end()
        listener.close()
        return size
    assert swallowed(True) < 600_000 < swallowed(False)


def test_the_ports_that_the_server_sees_are_those_of_the_marked_connections(proxy, echo):
    one, other = connect(proxy), connect(proxy)
    ask(one, b"SUBSCRIBE c")
    ask(other, b"PING")
    assert len(proxy.server_side_ports()) == 2 and len(proxy.server_side_ports(b"SUBSCRIBE")) == 1


def test_a_half_close_leaves_the_other_direction_open(proxy, echo):
    sock = connect(proxy)
    ask(sock, b"a")
    assert proxy.half_close(UP) == 1
    assert take(sock, 3) == b"BYE"
    until(lambda: echo.ends == ["fin"])


def test_a_reset_is_a_reset_on_both_sides(proxy, echo):
    sock = connect(proxy)
    ask(sock, b"a")
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        sock.recv(1)
    until(lambda: echo.ends)


def test_a_refused_port_opens_again(proxy):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    assert ask(connect(proxy), b"a") == b"A"


def test_a_target_that_is_away_resets_the_client():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    relay = FaultProxy(port)
    with pytest.raises(ConnectionResetError):  # From connect() or from recv(): the reset may be there before connect() returns.
        connect(relay).recv(1)
    relay.end()
