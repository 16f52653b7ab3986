"""An OpenAI-compatible server that answers, fails and stalls as it is told, and the judge that asks it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rtt_lib.endpoint import Endpoint
from rtt_lib.verify.judge import Judge
from rtt_lib.verify.verdict import Verdict

QUESTION = ("Be polite", "Say hello", "Good morning!")
Reply = Callable[["Handler"], None]


# --- a server that does as it is told -------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Serves the next of `server.script` (the last for ever); `server.seen` keeps what was asked and when.

    A reply finds what it answers in `body`: by then `server.seen` may end with another question.
    """

    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = -1, True  # headers and body in one packet, at once

    def do_POST(self) -> None:
        body = self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.seen.append((time.monotonic(), {k.lower(): v for k, v in self.headers.items()}, body))
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
            step = server.script.pop(0) if len(server.script) > 1 else server.script[0]
        try:
            step(self)
        finally:
            with server.lock:
                server.busy -= 1

    def send(self, status: int, data: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def completion(text: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 2}}).encode()


def says(text: object) -> Reply:
    return lambda handler: handler.send(200, completion(text))


def fails(status: int, data: bytes = b'{"error": "no"}', **headers: str) -> Reply:
    return lambda handler: handler.send(status, data, **headers)


def sends(data: bytes, kind: str = "application/json") -> Reply:
    return lambda handler: handler.send(200, data, kind)


def drops(handler: Handler) -> None:
    handler.close_connection = True


def resets(handler: Handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def promises_1000_bytes(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", "1000")
    handler.end_headers()


def stops_halfway(handler: Handler) -> None:
    promises_1000_bytes(handler)
    handler.wfile.write(completion("YES")[:40])
    handler.wfile.flush()
    handler.close_connection = True


def stalls(handler: Handler) -> None:
    handler.server.released.wait(20)
    handler.close_connection = True


def trickles(handler: Handler) -> None:
    """A byte now and then: no single read ever times out."""
    promises_1000_bytes(handler)
    while not handler.server.released.wait(0.05):
        try:
            handler.wfile.write(b" ")
            handler.wfile.flush()
        except OSError:
            break
    handler.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Reply] = [says("YES")]
        self.seen: list[tuple[float, dict, dict]] = []
        self.lock, self.released = threading.Lock(), threading.Event()
        self.busy = self.busiest = 0

    def handle_error(self, *_: object) -> None:
        pass  # clients that hang up are part of the tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def endpoint(server: Server, **settings: object) -> Endpoint:
    return Endpoint(server.url, "some-model", **({"timeout": 5.0, "retries": 3, "backoff": 0.01} | settings))


def ask(server: Server, *questions: tuple[str, str, str], **settings: object) -> list[Verdict]:
    return Judge(endpoint(server, **settings)).check_many(questions or [QUESTION])
