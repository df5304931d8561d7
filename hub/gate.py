"""The gate of a sandbox: the ways named in its argument, and nothing else. Needs Python's own library and h11.

    python -I gate.py '[{"listen": [host, port], "to": [host, port], "carry": "any bytes"}, …]'

An address is [host, port], [path] of a Unix socket, or, to listen on, [descriptor] of one that was handed over.

- "pages": for the proxy to reach the notebook's port; one request per connection. What the notebook answers falls under
  the table below, out of the notebook's reach. This way also has `"prefix"`, the notebook's own part of the address,
  `"limit"`, the most bytes of a download, and `"hub"` and `"report"`, where the hub is told of one (hub.downloads);
  the key for that is in the environment, as SANDBOX_GUARD_GATE_KEY.
- "hub api": one request per connection, under `/hub/api/`, of a bounded size, for the notebook to reach the
  hub. It sees no other page of it, so a sign-in form is nothing that user code could try passwords on.
- "any bytes": whatever comes.

| what the notebook answers                                    | logged before it passes | closed by the project | at most    |
|--------------------------------------------------------------|-------------------------|-----------------------|------------|
| download: files, exports, attachments, what no lab answers   | yes                     | yes                   | `limit`    |
| opened: a file of over 1 MiB that the lab shows              | yes                     | no                    | a page     |
| page: the lab's own pages and calls                          | no                      | no                    | 64 MiB     |
| web socket: what a kernel prints                             | no                      | no                    | no limit   |

A person reads what the screen shows, and code in the notebook can print a file there: the last three rows are no seal.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import h11

LARGEST_HEAD = 32 * 2**10
LARGEST_BODY = 2**20
CONNECTIONS = 64
"""At once, towards the hub: a sandbox that floods the gate fills its own places only."""
PATIENCE = 30.0
"""Seconds in which a request to the hub must have arrived."""

REQUEST = re.compile(rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD) (/hub/api(?:/[^ ]*)?(?:\?[^ ]*)?) HTTP/1\.1")

LARGEST_PAGE = 64 * 2**20
OPENED = 2**20
"""Bytes above which a file that the lab opens is worth a line in the log."""
ERROR_PAGE = 64 * 2**10
"""Bytes of an answer that something is elsewhere or went wrong: more is no such answer."""
LABS_OWN = frozenset(
    ("", "lab", "static", "api", "custom", "kernelspecs", "logo", "favicon.ico")
    + ("login", "logout", "oauth_callback", "tree", "notebooks", "edit", "view")
)
"""First words of the addresses under which JupyterLab answers itself, and hands out no file."""

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Address = tuple[str, int] | tuple[str] | tuple[int]
Way = dict[str, Any]


def any_bytes(way: Way) -> Handler:
    to: Address = tuple(way["to"])

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, beyond = await _open(to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, beyond), _carry(behind, writer))

    return handle


def api_only(way: Way) -> Handler:
    to: Address = tuple(way["to"])
    places = asyncio.Semaphore(CONNECTIONS)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with places:
            try:
                request = await asyncio.wait_for(_request(reader), PATIENCE)
                behind, beyond = await _open(to)
            except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await _answer(writer, b"403 Forbidden")
            except (OSError, TimeoutError):
                await _answer(writer, b"503 Service Unavailable")
            else:
                beyond.write(request)
                await _carry(behind, writer)
                beyond.close()

    return handle


async def _request(reader: asyncio.StreamReader) -> bytes:
    """One whole request, to be answered and then hung up on. ValueError for what may not pass."""
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].split(b"\r\n")
    found = REQUEST.fullmatch(start)
    if found is None or b".." in found[1] or b"%" in found[1].partition(b"?")[0].replace(b"%40", b""):
        raise ValueError("not a request to the hub's API")
    length = 0
    kept = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not re.fullmatch(rb"[A-Za-z0-9-]+", name):
            raise ValueError("not a header")
        match name.lower():
            case b"transfer-encoding" | b"upgrade" | b"expect":
                raise ValueError("one plain request at a time")
            case b"content-length":
                if length or not value.strip().isdigit():
                    raise ValueError("not a length")
                length = int(value)
            # Who asks is for the gate to know, not for the notebook to say.
            case b"connection" | b"x-forwarded-for" | b"x-real-ip" | b"forwarded":
                continue
        kept.append(line)
    if length > LARGEST_BODY:
        raise ValueError("too large")
    return b"\r\n".join([start, *kept, b"Connection: close", b"", b""]) + await reader.readexactly(length)


async def _open(to: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    match to:
        case (str(host), int(port)):
            return await asyncio.open_connection(host, port)
        case (str(path),):
            return await asyncio.open_unix_connection(path)
    raise ValueError(f"{to} is no address to connect to")


async def _listen(at: Address, handler: Handler) -> asyncio.Server:
    match at:
        case (str(host), int(port)):
            return await asyncio.start_server(handler, host, port, limit=LARGEST_HEAD)
        case (str(path),):
            return await asyncio.start_unix_server(handler, path, limit=LARGEST_HEAD)
        case (int(descriptor),):
            handed_over = socket.socket(fileno=descriptor)
            return await asyncio.start_unix_server(handler, sock=handed_over, limit=LARGEST_HEAD)
    raise ValueError(f"{at} is no address to listen on")


async def _answer(writer: asyncio.StreamWriter, status: bytes) -> None:
    try:
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(2**16):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


# ------------------------------------------------------------------------ pages, and what leaves with them


@dataclass(frozen=True)
class Peer:
    """One end of a way, as a conversation in HTTP/1.1."""

    http: h11.Connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(2**16))
        return event

    async def send(self, event: h11.Event) -> None:
        if sent := self.http.send(event):
            self.writer.write(sent)
            await self.writer.drain()


@dataclass(frozen=True)
class Desk:
    """Where what leaves is declared."""

    prefix: str
    limit: int
    hub: tuple[str, int]
    report: str
    key: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """To tell the hub: a sandbox that floods it waits for itself."""
    room: asyncio.Lock = field(default_factory=asyncio.Lock)
    """To hold one answer whole, of up to `limit` bytes."""

    async def outcome(self, what: str, path: str, size: int, *, too_large: bool) -> str:
        """`passed`, or why not: `closed`, `too_large`, or `unlogged` where the hub did not say that it is in the log."""
        told = {"what": what, "path": path[:300], "bytes": size, "too_large": too_large}
        try:
            async with self.turn:
                return await asyncio.to_thread(self._tell, json.dumps(told))
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return "unlogged"

    def _tell(self, body: str) -> str:
        connection = http.client.HTTPConnection(*self.hub, timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            connection.request("POST", self.report, body, headers)
            answer = connection.getresponse()
            return str(json.loads(answer.read())["outcome"]) if answer.status == 200 else "unlogged"
        finally:
            connection.close()


def pages(way: Way) -> Handler:
    to: Address = tuple(way["to"])
    desk = Desk(
        way["prefix"], way["limit"], tuple(way["hub"]), way["report"], os.environ["SANDBOX_GUARD_GATE_KEY"]
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        browser = Peer(h11.Connection(h11.SERVER, LARGEST_HEAD), reader, writer)
        beyond: asyncio.StreamWriter | None = None
        sending: asyncio.Task[None] | None = None
        try:
            request = await asyncio.wait_for(browser.next(), PATIENCE)
            if not isinstance(request, h11.Request):
                return
            behind, beyond = await _open(to)
            notebook = Peer(h11.Connection(h11.CLIENT, LARGEST_HEAD), behind, beyond)
            await notebook.send(_onwards(request))
            sending = asyncio.create_task(_send_body(browser, notebook))
            await _answer_with(desk, request, browser, notebook)
        except (OSError, TimeoutError, h11.ProtocolError):
            pass  # the proxy says that the server does not answer
        finally:
            if sending is not None:
                sending.cancel()
            for end in (beyond, writer):
                if end is not None:
                    end.close()

    return handle


def _onwards(request: h11.Request) -> h11.Request:
    """Parts of a file are not asked for: each would be small."""
    upgrade = any(name == b"upgrade" for name, _ in request.headers)
    dropped = {b"keep-alive", b"proxy-connection", b"expect", b"range", b"if-range"}
    dropped |= set() if upgrade else {b"connection"}
    kept = [(name, value) for name, value in request.headers if name not in dropped]
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=kept if upgrade else [*kept, (b"connection", b"close")],
    )


async def _send_body(browser: Peer, notebook: Peer) -> None:
    """What the browser sends beside its head."""
    try:
        await _pass_body(browser, notebook)
    except (OSError, h11.ProtocolError):
        notebook.writer.close()


async def _answer_with(desk: Desk, request: h11.Request, browser: Peer, notebook: Peer) -> None:
    response = await notebook.next()
    while isinstance(response, h11.InformationalResponse) and response.status_code != 101:
        response = await notebook.next()
    if isinstance(response, h11.InformationalResponse):
        await _switch(response, browser, notebook)
    elif isinstance(response, h11.Response):
        what, path = _what(desk.prefix, request, response)
        length = _length(response)
        if what == "page":
            await _page(request, response, length, browser, notebook)
        elif length is not None:
            if await _declared(desk, what, path, length, request, browser):
                await browser.send(_back(response))
                await _pass_body(notebook, browser)
        else:
            async with desk.room:
                await _hold(desk, what, path, request, response, browser, notebook)


async def _switch(response: h11.InformationalResponse, browser: Peer, notebook: Peer) -> None:
    """A web socket from here on."""
    await browser.send(response)
    for source, to in ((browser, notebook), (notebook, browser)):
        to.writer.write(source.http.trailing_data[0])
    await asyncio.gather(_carry(browser.reader, notebook.writer), _carry(notebook.reader, browser.writer))


def _what(prefix: str, request: h11.Request, response: h11.Response) -> tuple[str, str]:
    """Which row of the table, and what the log calls it."""
    address = unquote(request.target.partition(b"?")[0].decode("ascii", "replace"))
    path = address.removeprefix(prefix).lstrip("/")
    length = _length(response)
    if request.method == b"HEAD" or response.status_code in (204, 304):
        return "page", path
    if response.status_code >= 300 and length is not None and length <= ERROR_PAGE:
        return "page", path
    headers = dict(response.headers)
    first = path.partition("/")[0]
    if (
        b"attachment" in headers.get(b"content-disposition", b"").lower()
        or not address.startswith(prefix)
        or first not in LABS_OWN
    ):
        return "download", path
    if path.startswith("api/contents") and (length is None or length > OPENED):
        return "opened", path
    return "page", path


def _length(response: h11.Response) -> int | None:
    given = dict(response.headers).get(b"content-length")
    return int(given) if given is not None else None


async def _page(
    request: h11.Request, response: h11.Response, length: int | None, browser: Peer, notebook: Peer
) -> None:
    if length is not None and length > LARGEST_PAGE and request.method != b"HEAD":
        await _refuse("too_large", length, LARGEST_PAGE, request, browser)
        return
    await browser.send(_back(response))
    # Of one that does not say its length the end is cut off, which the browser sees.
    await _pass_body(notebook, browser, LARGEST_PAGE)


async def _hold(
    desk: Desk,
    what: str,
    path: str,
    request: h11.Request,
    response: h11.Response,
    browser: Peer,
    notebook: Peer,
) -> None:
    """What does not say how large it is is read to its end, or to the limit, before any of it passes."""
    held: list[h11.Event] = []
    size = 0
    while isinstance(event := await notebook.next(), h11.Data):
        held.append(event)
        size += len(event.data)
        if size > desk.limit:
            break
    if isinstance(event, h11.Data | h11.EndOfMessage) and await _declared(
        desk, what, path, size, request, browser, desk.limit
    ):
        await browser.send(_back(response))
        for each in (*held, event):
            await browser.send(each)


async def _declared(
    desk: Desk, what: str, path: str, size: int, request: h11.Request, browser: Peer, limit: int = 0
) -> bool:
    """May it pass? It is in the log then; otherwise the browser has been told why not."""
    limit = limit or (desk.limit if what == "download" else LARGEST_PAGE)
    outcome = await desk.outcome(what, path, size, too_large=size > limit)
    if outcome == "passed" and size <= limit:
        return True
    await _refuse(outcome, size, limit, request, browser)
    return False


async def _pass_body(source: Peer, to: Peer, most: int | None = None) -> None:
    passed = 0
    while isinstance(event := await source.next(), h11.Data | h11.EndOfMessage):
        passed += len(event.data) if isinstance(event, h11.Data) else 0
        if most is not None and passed > most:
            return
        await to.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


def _back(response: h11.Response) -> h11.Response:
    kept = [(name, value) for name, value in response.headers if name not in (b"connection", b"keep-alive")]
    return h11.Response(
        status_code=response.status_code,
        reason=response.reason,
        headers=[*kept, (b"connection", b"close")],
    )


REFUSALS: dict[str, tuple[int, str, str]] = {
    "closed": (
        403,
        "本项目的策略不允许从笔记本下载文件。已发布的结果可在门户“我的项目”中查看并下载为 CSV；如需下载其他文件，请联系数据管理员（项目策略 downloads）。",
        (
            "This project's policy closes downloads from notebooks. Released results can be had in the portal, as CSV. "
            "For anything else ask the data steward (`downloads` in the project's policy)."
        ),
    ),
    "too_large": (
        413,
        "内容为 {size}，超过上限 {limit}，未予传出。请只下载所需部分，例如已发布的结果表；笔记本过大时可先在内核中清除输出。",
        (
            "This is {size}, above the limit of {limit}, and did not pass. Download the part that you need, such as the table of "
            "a released result; a notebook that is too large gets smaller when its outputs are cleared."
        ),
    ),
    "unlogged": (
        503,
        "下载须先记入审计日志，而日志暂时没有应答，未予传出。请稍后再试；若仍不行，请联系管理员。",
        (
            "A download is logged before it passes, and the log does not answer now. Try again shortly; if that does not help, "
            "ask the administrator."
        ),
    ),
}
PAGE = """<!doctype html><html lang="zh"><meta charset="utf-8"><title>未能下载 · Not downloaded</title>
<body style="max-width:40rem;margin:4rem auto;padding:0 1rem;font:1rem/1.6 sans-serif">
<h1 style="font-size:1.3rem">未能下载 · Not downloaded</h1><p>{zh}</p><p lang="en">{en}</p></body></html>
"""


async def _refuse(outcome: str, size: int, limit: int, request: h11.Request, browser: Peer) -> None:
    """A page for a person, what JupyterLab shows in a dialogue where it asked."""
    status, zh, en = REFUSALS.get(outcome, REFUSALS["unlogged"])
    sizes = {"size": f"{size / 2**20:.1f} MiB", "limit": f"{limit / 2**20:.0f} MiB"}
    zh, en = zh.format(**sizes), en.format(**sizes)
    for_a_person = b"text/html" in dict(request.headers).get(b"accept", b"")
    kind = b"text/html" if for_a_person else b"application/json"
    text = (
        PAGE.format(zh=zh, en=en)
        if for_a_person
        else json.dumps({"message": f"{zh} / {en}", "reason": outcome})
    )
    body = text.encode()
    headers = [
        (b"content-type", kind + b"; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await browser.send(h11.Response(status_code=status, headers=headers))
    await browser.send(h11.Data(data=body))
    await browser.send(h11.EndOfMessage())


HANDLERS: dict[str, Callable[[Way], Handler]] = {
    "any bytes": any_bytes,
    "hub api": api_only,
    "pages": pages,
}


async def main(ways: list[Way]) -> None:
    async with asyncio.TaskGroup() as group:
        for way in ways:
            handler = HANDLERS[way["carry"]](way)
            server = await _listen(tuple(way["listen"]), handler)
            group.create_task(server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
