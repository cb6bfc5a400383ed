# SPDX-License-Identifier: Apache-2.0
"""A collector of traces: takes OTLP/HTTP JSON, or misbehaves as a test wants."""
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .timing import wait_until


class Collector:
    """`status` is what every request is answered with; None: never. `certificate` is a folder of harness/certificates.py."""

    def __init__(self, status=200, certificate=None):
        self.status = status
        self.requests = []  # (path, headers, body), in order.
        self._end = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((self.path, dict(self.headers), body))
                if outer.status is None:
                    outer._end.wait()
                    self.close_connection = True
                    return
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # A client that goes, or does not like our certificate.
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "server.pem", certificate / "server.key")
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://localhost:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    def text(self) -> str:
        """All bodies, as they came."""
        return "\n".join(body.decode() for _, _, body in self.requests)

    def spans(self, name=None) -> list:
        """All spans so far, flat: their attributes as a dict, and those of their resource as `resource`."""
        flat = []
        for _, _, body in list(self.requests):
            for resource_spans in json.loads(body)["resourceSpans"]:
                resource = _attributes(resource_spans["resource"]["attributes"])
                for scope_spans in resource_spans["scopeSpans"]:
                    flat += [{**span, "attributes": _attributes(span["attributes"]), "resource": resource} for span in scope_spans["spans"]]
        return [span for span in flat if name in (None, span["name"])]

    def wait(self, count: int, name=None, seconds: float = 10) -> list:
        """At least `count` spans."""
        return wait_until(lambda: (spans := self.spans(name)) and len(spans) >= count and spans, seconds,
                          lambda: f"{count} spans {name or ''}, have {[span['name'] for span in self.spans()]}")


def _attributes(listed: list) -> dict:
    names = [one["key"] for one in listed]
    assert len(set(names)) == len(names), names
    flat = {}
    for one in listed:
        (kind, value), = one["value"].items()
        assert isinstance(value, str) and kind in ("stringValue", "intValue"), one  # 64-bit numbers travel as strings.
        flat[one["key"]] = int(value) if kind == "intValue" else value
    return flat
