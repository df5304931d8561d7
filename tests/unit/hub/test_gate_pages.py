"""What leaves a notebook through its gate: real HTTP on both sides, a hub that remembers what it was told."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from hub.gate import ERROR_PAGE, OPENED
from hub.settings import ROOT
from tests.ports import free_port

PREFIX = "/user/lin/credit-inclusion/"
LIMIT = 2 * 2**20
KEY = "key-of-this-gate"


class Notebook(BaseHTTPRequestHandler):
    """A server that user code wrote: it answers `size` bytes under any address, in whichever way it is asked to."""

    protocol_version = "HTTP/1.1"
    heard: ClassVar[list[str]] = []

    def answer(self) -> None:
        asked = dict(each.split("=") for each in self.path.partition("?")[2].split("&") if each)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.heard.append(f"{self.command} {self.path} {len(body)} {self.headers.get('Range')}")
        if "upgrade" in asked:
            self._upgrade()
            return
        size = int(asked.get("size", 2))
        self.send_response(int(asked.get("status", 200)))
        if "attachment" in asked:
            self.send_header("Content-Disposition", 'ATTACHMENT; filename="x"')
        if "chunked" in asked:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, size, 2**16):
                part = b"x" * min(2**16, size - start)
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(size))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"x" * size)

    do_GET = do_POST = do_HEAD = answer

    def _upgrade(self) -> None:
        accept = hashlib.sha1(
            f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()
        )
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
        self.end_headers()
        self.wfile.write(b"first")
        self.wfile.write(b"echo " + self.rfile.read(5))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Hub(BaseHTTPRequestHandler):
    told: ClassVar[list[dict[str, object]]] = []
    says: ClassVar[list[tuple[int, str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/hub/api/downloads/lin/credit-inclusion"
        assert self.headers["Authorization"] == f"Bearer {KEY}"
        self.told.append(body)
        status, outcome = self.says[0] if self.says else (200, "too_large" if body["too_large"] else "passed")
        answer = json.dumps({"outcome": outcome}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class Gate:
    port: int
    hub: ThreadingHTTPServer
    told: list[dict[str, object]] = field(default_factory=lambda: Hub.told)

    def get(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, PREFIX + path, body, named)
        answer = connection.getresponse()
        try:
            return answer.status, answer.read(), answer.headers
        except http.client.IncompleteRead as cut:
            return answer.status, cut.partial, answer.headers
        finally:
            connection.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Gate]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), each) for each in (Notebook, Hub)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    way = {
        "listen": ["127.0.0.1", port],
        "to": ["127.0.0.1", servers[0].server_port],
        "carry": "pages",
        "prefix": PREFIX,
        "limit": LIMIT,
        "hub": ["127.0.0.1", servers[1].server_port],
        "report": "/hub/api/downloads/lin/credit-inclusion",
    }
    process = subprocess.Popen(
        [sys.executable, "-I", str(ROOT / "hub" / "gate.py"), json.dumps([way])],
        env={**os.environ, "SANDBOX_GUARD_GATE_KEY": KEY},
    )
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Gate(port, servers[1])
    finally:
        process.terminate()
        process.wait()
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def gate(running: Gate) -> Gate:
    Notebook.heard.clear()
    Hub.told.clear()
    Hub.says.clear()
    return running


@pytest.mark.parametrize(
    "path", ["", "lab", "lab/tree/a.ipynb", "static/lab/core.js", "api/kernels", "api/contents/a"]
)
def test_the_labs_own_pages_pass_unlogged(gate: Gate, path: str) -> None:
    assert gate.get(path + "?size=300000")[:2] == (200, b"x" * 300_000)
    assert gate.told == []


@pytest.mark.parametrize("how", ["", "&chunked=1"])
@pytest.mark.parametrize(
    "path",
    [
        "files/a.csv?",
        "nbconvert/html/a.ipynb?download=1&",
        "of-my-own?",
        "lab?attachment=1&",
        "%66iles/a.csv?",
    ],
)
def test_a_download_is_logged_with_its_size_and_passes_whole(gate: Gate, path: str, how: str) -> None:
    assert gate.get(f"{path}size=70000{how}")[:2] == (200, b"x" * 70_000)
    assert [(each["what"], each["bytes"], each["too_large"]) for each in gate.told] == [
        ("download", 70_000, False)
    ]
    assert str(gate.told[0]["path"]) == path.partition("?")[0].replace("%66", "f")


@pytest.mark.parametrize("how", ["", "&chunked=1"])
def test_nothing_of_what_is_too_large_passes(gate: Gate, how: str) -> None:
    status, body, _ = gate.get(f"files/a.csv?size={LIMIT + 1}{how}", Accept="text/html")
    assert status == 413
    assert "超过上限 2 MiB" in body.decode() and "above the limit of 2 MiB" in body.decode()
    assert b"xxx" not in body
    assert [each["too_large"] for each in gate.told] == [True]
    assert gate.get(f"files/a.csv?size={LIMIT}{how}")[0] == 200


def test_a_project_that_closes_downloads_lets_none_out_and_says_why(gate: Gate) -> None:
    Hub.says.append((200, "closed"))
    status, body, _ = gate.get("files/a.csv?size=5000")
    assert status == 403
    said = json.loads(body)
    assert "不允许从笔记本下载" in said["message"] and "closes downloads" in said["message"]
    assert gate.get("lab?size=5000")[0] == 200


@pytest.mark.parametrize("says", [(503, "passed"), (403, "passed"), (200, "nonsense")])
def test_what_is_not_in_the_log_does_not_leave(gate: Gate, says: tuple[int, str]) -> None:
    Hub.says.append(says)
    status, body, _ = gate.get("files/a.csv?size=5000", Accept="text/html")
    assert (status, b"xxx" in body) == (503, False)
    assert "审计日志" in body.decode()


def test_a_file_that_is_opened_is_logged_where_it_is_large(gate: Gate) -> None:
    assert gate.get(f"api/contents/a.ipynb?content=1&size={OPENED + 1}")[0] == 200
    assert [each["what"] for each in gate.told] == ["opened"]
    assert gate.get(f"api/contents/a.ipynb?content=1&size={LIMIT + 1}")[0] == 200


def test_parts_of_a_file_are_not_given_out(gate: Gate) -> None:
    gate.get("files/a.csv", Range="bytes=0-9")
    assert Notebook.heard == [f"GET {PREFIX}files/a.csv 0 None"]


def test_errors_are_no_downloads_unless_they_are_large(gate: Gate) -> None:
    assert gate.get("files/none?status=404&size=900")[0] == 404
    assert gate.told == []
    gate.get(f"lab-not?status=404&size={ERROR_PAGE + 1}")
    assert [each["what"] for each in gate.told] == ["download"]


def test_what_the_browser_sends_arrives(gate: Gate) -> None:
    assert gate.get("api/contents/a.ipynb", "POST", b"y" * 3_000_000)[0] == 200
    assert Notebook.heard == [f"POST {PREFIX}api/contents/a.ipynb 3000000 None"]
    status, body, headers = gate.get("files/a.csv?size=77", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "77")
    assert gate.told == []


HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a2V5\r\nSec-WebSocket-Version: 13\r\n"
)


def exchange(port: int, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET {PREFIX}{path} HTTP/1.1\r\nHost: lab\r\n{HANDSHAKE}\r\nhello".encode())
        said = b""
        while chunk := connection.recv(4096):
            said += chunk
        return said


def test_web_sockets_pass(gate: Gate) -> None:
    said = exchange(gate.port, "api/kernels/1/channels?upgrade=1")
    assert said.startswith(b"HTTP/1.1 101") and said.endswith(b"firstecho hello")


def test_a_file_is_a_download_though_it_is_asked_for_as_a_web_socket(gate: Gate) -> None:
    Hub.says.append((200, "closed"))
    said = exchange(gate.port, "files/a.csv?size=5000")
    assert said.startswith(b"HTTP/1.1 403") and b"xxx" not in said


def test_two_requests_on_one_connection_are_not_taken_for_one(gate: Gate) -> None:
    one = f"GET {PREFIX}lab HTTP/1.1\r\nHost: lab\r\n\r\n"
    two = f"GET {PREFIX}files/a.csv?size=5000 HTTP/1.1\r\nHost: lab\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gate.port), timeout=60) as connection:
        connection.sendall((one + two).encode())
        said = b""
        try:
            while chunk := connection.recv(4096):
                said += chunk
        except ConnectionResetError:
            pass
    assert said.count(b"HTTP/1.1 200") == 1 and b"xxx" not in said
    assert len(Notebook.heard) == 1
