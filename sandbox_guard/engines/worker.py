"""A worker process: one locked-down DuckDB that answers one query at a time, until it is killed.

    python -m sandbox_guard.engines.worker      started by `engines.pool` alone

It says nothing but results: standard error leads nowhere, and an error is an empty reply.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sandbox_guard.engines import wire


def main() -> None:
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    threading.Thread(target=_end_with_parent, args=(requests.fileno(),), daemon=True).start()
    answer = _opened(json.loads(wire.receive(requests)))
    wire.send(replies, b"ready")
    while True:
        try:
            request = json.loads(wire.receive(requests))
            tables = {name: wire.receive(requests) for name in request["tables"]}
        except EOFError:
            return
        wire.send(replies, answer(request["sql"], tables))


def _end_with_parent(descriptor: int) -> None:
    """A query that runs on must not outlive the vault that asked it."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-up alone
    poll.poll()
    os._exit(0)


def _opened(order: dict[str, Any]) -> Callable[[str, dict[str, bytes]], bytes | memoryview]:
    limit = order["limits"]["address_space"]
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Imported under the limit: what these libraries reserve counts too.
    from sandbox_guard.engines.duckdb import Limits, locked_down, table, table_over

    data = {alias: Path(path) for alias, path in order["data"].items()}
    connection = locked_down(data, Limits(**order["limits"]))

    def answer(sql: str, tables: dict[str, bytes]) -> bytes | memoryview:
        reply: bytes | memoryview = b""
        with suppress(Exception):
            if tables:
                arrived = {name: wire.unpacked(body) for name, body in tables.items()}
                reply = wire.packed(table_over(connection, arrived, sql))
            else:
                reply = wire.packed(table(connection, sql))
        return reply

    return answer


if __name__ == "__main__":
    main()
