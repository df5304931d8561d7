"""Ports for services under test: each is given out once, and no two workers of a run share any."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, OF_A_WORKER, WORKERS = 16_000, 500, 32
"""All below those that the kernel gives out by itself (from 32,768): between choosing a port and listening on it, no
client or kernel of a notebook can be given it."""


def _mine() -> range:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    first = FIRST + OF_A_WORKER * worker
    return range(first, first + OF_A_WORKER)


# From anywhere among them: another run on this machine has the same.
_given = itertools.islice(itertools.cycle(_mine()), os.getpid() % OF_A_WORKER, None)


def free_port() -> int:
    """On which nobody listens on this machine."""
    for port in itertools.islice(_given, OF_A_WORKER):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port of {_mine()} is free")
