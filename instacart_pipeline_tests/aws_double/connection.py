"""A connection to the double: HTTP/1.1 that stays open for the next request, as AWS's does.

Belongs here: reading a request off a socket and writing its answer. Doesn't: what the answer is.
"""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler

_WITHOUT_BODY = (204, 304)


class Connection(MotoRequestHandler):
    """Answers requests by the server's application, which reads a request's body to its end.

    werkzeug's own way closes the connection after each request, and to connect anew costs as much as the request.
    Says nothing on the console, where the tests' own output belongs: the double's `requests` is the log.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @staticmethod
    def end_all(server: Any) -> None:
        """End the connections of a server that takes no more, and wait for their threads."""
        open_ones: list[tuple[threading.Thread, socket.socket]] = list(vars(server).get("open_ones", {}).items())
        for _, connection in open_ones:
            with suppress(OSError):  # the client may have gone first
                connection.shutdown(socket.SHUT_RDWR)
        for thread, _ in open_ones:
            thread.join(timeout=20)

    def setup(self) -> None:
        """Note the connection, so that it can be ended."""
        super().setup()
        vars(self.server).setdefault("open_ones", {})[threading.current_thread()] = self.connection

    def finish(self) -> None:
        """Forget the connection."""
        vars(self.server)["open_ones"].pop(threading.current_thread(), None)
        with suppress(OSError):  # there may be nobody to send the rest to
            super().finish()

    def run_wsgi(self) -> None:
        """Answer one request. One that shall have no answer ends the connection."""
        if self.headers.get("Expect", "").lower().strip() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        status, headers, body = "500 Internal Server Error", list[tuple[str, str]](), b""

        def start(given: str, of_answer: list[tuple[str, str]], _error: object = None) -> None:
            nonlocal status, headers
            status, headers = given, of_answer

        try:
            parts: Iterable[bytes] = self.server.app(self.make_environ(), start)  # type: ignore[arg-type]
            body = b"".join(parts)
        except ConnectionError:
            self.close_connection = True
            return
        except Exception:  # noqa: BLE001  # a fault of the double is an answer, which the test's client shows
            status, headers, body = "500 Internal Server Error", [], traceback.format_exc().encode()
        self._send(status, headers, body)

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send an answer: all at once, as each write to a socket wakes the client."""
        number = int(status.partition(" ")[0])
        has_body = self.command != "HEAD" and number not in _WITHOUT_BODY
        if has_body:
            headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        lines = [
            f"HTTP/1.1 {status}",
            f"Date: {self.date_time_string()}",
            *(f"{name}: {text}" for name, text in headers),
        ]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        with suppress(ConnectionError):  # the client may have gone first
            self.wfile.write(head + body if has_body else head)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # werkzeug's name for it
        """Swallow it."""
