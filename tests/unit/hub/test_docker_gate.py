"""The gate lets requests to the hub's API through, one a connection, and nothing beside them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from hub.settings import ROOT
from tests.ports import free_port


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    heard: ClassVar[list[str]] = []

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.heard.append(f"{self.command} {self.path} {body.decode()} {self.headers.get('X-Forwarded-For')}")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def gate() -> Iterator[int]:
    Hub.heard.clear()
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    port = free_port()
    ways = [
        {
            "listen": ["127.0.0.1", port],
            "to": ["127.0.0.1", hub.server_port],
            "carry": "hub api",
        }
    ]
    process = subprocess.Popen([sys.executable, "-I", str(ROOT / "hub" / "gate.py"), json.dumps(ways)])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()
        hub.shutdown()
        hub.server_close()


def said(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer


def test_a_request_passes_whole(gate: int) -> None:
    request = b"POST /hub/api/users/lin/activity HTTP/1.1\r\nHost: gate\r\nX-Forwarded-For: 1.2.3.4\r\n"
    answer = said(gate, request + b"Content-Length: 5\r\n\r\nhello")
    assert answer.endswith(b"ok")
    assert Hub.heard == ["POST /hub/api/users/lin/activity hello None"]


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /hub/login HTTP/1.1\r\n\r\n",
        b"GET /hub/api/../login HTTP/1.1\r\n\r\n",
        b"GET /hub/api/%2e%2e/login HTTP/1.1\r\n\r\n",
        b"GET /hub/apis HTTP/1.1\r\n\r\n",
        b"GET http://ledger:8201/hub/api HTTP/1.1\r\n\r\n",
        b"CONNECT ledger:8201 HTTP/1.1\r\n\r\n",
        b"GET /hub/api HTTP/1.0\r\n\r\n",
        b"GET /hub/api HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /hub/api HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nx",
        b"GET /hub/api HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /hub/api HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /hub/api HTTP/1.1\r\nBad header: x\r\n\r\n",
        b"GET /hub/api HTTP/1.1\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
def test_anything_else_does_not(gate: int, request_: bytes) -> None:
    try:
        assert said(gate, request_).startswith(b"HTTP/1.1 403")
    except ConnectionError:
        pass  # hung up on before it had said all
    assert Hub.heard == []


def test_a_second_request_on_the_connection_is_not_heard(gate: int) -> None:
    one = b"GET /hub/api/ HTTP/1.1\r\nHost: gate\r\n\r\n"
    answer = said(gate, one + b"GET /hub/login HTTP/1.1\r\nHost: gate\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 1
    assert len(Hub.heard) == 1
