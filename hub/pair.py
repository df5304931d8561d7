"""One sandbox as local processes: `python -m hub.pair`, with an `Order` as JSON on standard input.

Holds the two halves together: when one ends, the other is ended; when this process ends, however it does,
the kernel ends both. The hub needs to remember one process id and nothing else, and a pair outlives a hub
that is restarted.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from pydantic import BaseModel

VAULT_ENDED = 10
NOTEBOOK_ENDED = 11
"""Exit codes that say which half ended by itself."""

HANDED_OVER = 3
"""The descriptor of a half's `listen`."""

GRACE = 5.0
"""Seconds between asking a half to stop and killing it."""

_PR_SET_PDEATHSIG = 1


class Half(BaseModel):
    command: list[str]
    environment: dict[str, str]
    """All of it: nothing is inherited."""
    directory: Path
    log: Path
    listen: Path | None = None
    """A Unix socket made here and handed over as descriptor 3: a half behind walls cannot put another in its place."""


class Order(BaseModel):
    vault: Half
    notebook: Half | None
    """None in a vault-only sandbox."""
    gate: Half | None = None
    """What relays between a notebook without network and proxy and hub."""


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """For the child between fork and exec: have the kernel end it when its parent is gone, and let it hear Ctrl-C."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, how)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(half: Half) -> subprocess.Popen[bytes]:
    half.log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        log = stack.enter_context(half.log.open("ab"))
        handed_over: socket.socket | None = None
        if half.listen is not None:
            handed_over = stack.enter_context(socket.socket(socket.AF_UNIX))
            handed_over.bind(str(half.listen))
            handed_over.listen(128)

        def between_fork_and_exec() -> None:
            die_with_parent()
            if handed_over is not None:
                os.dup2(handed_over.fileno(), HANDED_OVER)
                os.set_inheritable(HANDED_OVER, True)

        return subprocess.Popen(
            half.command,
            env=half.environment,
            cwd=half.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(HANDED_OVER,) if handed_over is not None else (),
            preexec_fn=between_fork_and_exec,  # noqa: PLW1509  this process has one thread
        )


def stop(halves: list[subprocess.Popen[bytes]]) -> None:
    """Ends the halves together with what they started (kernels, workers)."""
    for half in halves:
        half.terminate()
    deadline = time.monotonic() + GRACE
    for half in halves:
        try:
            half.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(half.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        half.wait()


def main() -> int:
    order = Order.model_validate_json(sys.stdin.buffer.read())

    def asked_to_stop(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, asked_to_stop)
    signal.signal(signal.SIGINT, asked_to_stop)
    halves: list[subprocess.Popen[bytes]] = []
    try:
        halves.append(start(order.vault))
        halves += [start(half) for half in (order.notebook, order.gate) if half is not None]
        while True:
            if halves[0].poll() is not None:
                return VAULT_ENDED
            if any(half.poll() is not None for half in halves[1:]):
                return NOTEBOOK_ENDED
            time.sleep(0.1)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop(halves)


if __name__ == "__main__":
    sys.exit(main())
