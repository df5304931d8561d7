"""Worker processes, started before they are needed, one query at a time in each.

A worker that failed, ran into its memory limit or out of time is killed and replaced: no state survives
a failure, and a process that can be killed is the one limit that DuckDB cannot overrun.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

import sandbox_guard
from sandbox_guard.engines import wire
from sandbox_guard.errors import Fault

START = 60.0
"""Seconds a worker may take to start."""


class Worker:
    """One process, from start to kill."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        """Start it; `ready` waits until it is. `order`: `{"data": {alias: file}, "limits": {…}}`."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sandbox_guard.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            # Nothing of the vault's environment. Arrow's own allocator and glibc's many arenas would each
            # reserve a good part of the address space.
            env={
                "PYTHONPATH": str(Path(sandbox_guard.__file__).parents[1]),
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "MALLOC_ARENA_MAX": "2",
            },
        )
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._order = order

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> bool:
        return self._exchange([json.dumps(dict(self._order)).encode()], START) == b"ready"

    def ask(self, sql: str, tables: Mapping[str, pa.Table], timeout: float) -> bytes | bytearray:
        """The packed result; empty where there is none, and then the worker is not to be used again."""
        head = json.dumps({"sql": sql, "tables": list(tables)}).encode()
        return self._exchange([head, *(wire.packed(t) for t in tables.values())], timeout)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # of a half-written request
                    pipe.close()

    def _exchange(self, frames: list[bytes | memoryview], timeout: float) -> bytes | bytearray:
        assert self._process.stdin is not None and self._process.stdout is not None
        deadline = time.monotonic() + timeout
        requests, replies = self._process.stdin.fileno(), self._process.stdout.fileno()
        try:
            for frame in frames:
                wire.send_by(deadline, requests, frame)
            return wire.receive_by(deadline, replies)
        except (OSError, EOFError):
            return b""


class Pool:
    """So many workers under one order."""

    def __init__(self, order: Mapping[str, Any], workers: int) -> None:
        """RuntimeError where the workers do not start."""
        self._order = order
        self._idle: queue.Queue[Worker] = queue.Queue()
        self._closed = threading.Event()
        starting = [Worker(order) for _ in range(workers)]
        ready = [worker.ready() for worker in starting]
        if not all(ready):
            for worker in starting:
                worker.kill()
            raise RuntimeError("a worker did not start: are its data files there and readable?")
        for worker in starting:
            self._idle.put(worker)

    def ask(self, sql: str, tables: Mapping[str, pa.Table], timeout: float) -> pa.Table:
        """The result, or `Fault`; waiting for a free worker counts towards `timeout` seconds."""
        deadline = time.monotonic() + timeout
        found = None
        worker = self._free(timeout)
        if worker is not None:
            reply = worker.ask(sql, tables, max(deadline - time.monotonic(), 0.001))
            self._return(worker, sound=bool(reply))
            found = wire.unpacked(reply) if reply else None
        if found is None:
            raise Fault()
        return found

    def close(self) -> None:
        """Kill what is idle; what is busy ends its query first."""
        self._closed.set()
        while (worker := self._free(0)) is not None:
            worker.kill()

    def _free(self, timeout: float) -> Worker | None:
        try:
            return self._idle.get(timeout=timeout) if timeout > 0 else self._idle.get_nowait()
        except queue.Empty:
            return None

    def _return(self, worker: Worker, *, sound: bool) -> None:
        if sound:
            self._idle.put(worker)
        else:
            worker.kill()
            threading.Thread(target=self._replace, daemon=True).start()
        if self._closed.is_set():
            self.close()

    def _replace(self) -> None:
        wait = 0.1
        while not self._closed.is_set():
            worker = Worker(self._order)
            if worker.ready():
                self._idle.put(worker)
                if self._closed.is_set():
                    self.close()
                return
            worker.kill()
            self._closed.wait(wait)
            wait = min(wait * 2, 30)
