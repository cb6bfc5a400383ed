# SPDX-License-Identifier: Apache-2.0
"""A TCP relay in front of a broker, so that a test decides whether the broker can be reached, without restarting it."""
import socket
import threading

from .children import free_ports


class Proxy:
    """Closed at first: the port refuses. open() lets connections through, shut() refuses and cuts them."""

    def __init__(self, target_port: int):
        self._target = target_port
        self.port = free_ports(1)[0]
        self._listener = None
        self._pairs = []
        self._lock = threading.Lock()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.cut()

    def cut(self) -> None:
        """Ends the connections; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for sock in [sock for pair in pairs for sock in pair]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self, listener) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source, sink) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for sock in (source, sink):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
