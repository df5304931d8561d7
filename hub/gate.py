"""The gate of a sandbox: the ways named in its argument, and nothing else. Needs only Python's own library.

    python -I gate.py '[{"listen": [host, port], "to": [host, port], "carry": "any bytes"}, …]'

An address is [host, port], [path] of a Unix socket, or, to listen on, [descriptor] of one that was handed over.

- "any bytes": pages and web sockets, for the proxy to reach the notebook's port.
- "hub api": one request per connection, under `/hub/api/`, of a bounded size, for the notebook to reach the
  hub. It sees no other page of it, so a sign-in form is nothing that user code could try passwords on.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

LARGEST_HEAD = 32 * 2**10
LARGEST_BODY = 2**20
CONNECTIONS = 64
"""At once, towards the hub: a sandbox that floods the gate fills its own places only."""
PATIENCE = 30.0
"""Seconds in which a request to the hub must have arrived."""

REQUEST = re.compile(rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD) (/hub/api(?:/[^ ]*)?(?:\?[^ ]*)?) HTTP/1\.1")

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Address = tuple[str, int] | tuple[str] | tuple[int]


def any_bytes(to: Address) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, beyond = await _open(to)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, beyond), _carry(behind, writer))

    return handle


def api_only(to: Address) -> Handler:
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


HANDLERS: dict[str, Callable[[Address], Handler]] = {"any bytes": any_bytes, "hub api": api_only}


async def main(ways: list[dict[str, Any]]) -> None:
    async with asyncio.TaskGroup() as group:
        for way in ways:
            handler = HANDLERS[way["carry"]](tuple(way["to"]))
            server = await _listen(tuple(way["listen"]), handler)
            group.create_task(server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
