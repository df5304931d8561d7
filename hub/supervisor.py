"""Starts processes in order, restarts one that ends, and stops all of them within ten seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from hub.pair import die_with_parent

PAUSES = (1.0, 2.0, 5.0, 15.0)
"""Seconds before each restart; the last one repeats. A minute of good health starts over."""

PATIENCE = 60.0
"""Seconds in which a service must become healthy."""

LARGEST_LOG = 10 * 2**20
"""Bytes. A larger log is moved aside when its service starts; one older log is kept."""


@dataclass(frozen=True)
class Service:
    name: str
    command: list[str]
    environment: dict[str, str]
    health: str
    """A URL that answers below 400 once the service is ready."""
    health_headers: Mapping[str, str] = field(default_factory=dict)
    grace: float = 3.0
    """Seconds it may take to stop."""


class DidNotStart(Exception):
    """A service ended, or stayed silent, before it was ever healthy."""

    def __init__(self, service: Service, log: Path) -> None:
        super().__init__(service.name)
        self.service = service
        self.log = log


class Supervisor:
    """Services in the order in which they need each other; stopped in the reverse order."""

    def __init__(
        self,
        directory: Path,
        logs: Path,
        report: Callable[[str, str], None],
        cores: Collection[int] = (),
    ) -> None:
        """`report(service, log)` is told of every unexpected end. Services run on `cores` alone, if any are named."""
        self._directory = directory
        self._logs = logs
        self._report = report
        self._cores = cores
        self._running: dict[str, tuple[Service, asyncio.subprocess.Process]] = {}
        self._watchers: list[asyncio.Task[None]] = []

    async def start(self, *services: Service) -> None:
        """Launch them in this order; returns when all are healthy. Raises DidNotStart."""
        launched = [(service, await self._launch(service)) for service in services]
        await asyncio.gather(*(self._until_healthy(service, process) for service, process in launched))

    async def _until_healthy(self, service: Service, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + PATIENCE
        while not await _healthy(service):
            if process.returncode is not None or time.monotonic() > deadline:
                raise DidNotStart(service, self.log(service))
            await asyncio.sleep(0.1)
        self._watchers.append(asyncio.create_task(self._watch(service)))

    async def stop(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        for service, process in reversed(self._running.values()):
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), service.grace)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        self._running.clear()

    def log(self, service: Service) -> Path:
        return self._logs / f"{service.name}.log"

    async def _launch(self, service: Service) -> asyncio.subprocess.Process:
        log = self.log(service)
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *service.command,
                cwd=self._directory,
                env=service.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self._between_fork_and_exec,
            )
        self._running[service.name] = (service, process)
        return process

    def _between_fork_and_exec(self) -> None:
        # SIGTERM, so that a hub whose launcher was killed still stops its sandboxes.
        die_with_parent(signal.SIGTERM)
        if self._cores:
            os.sched_setaffinity(0, self._cores)

    async def _watch(self, service: Service) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            await self._running[service.name][1].wait()
            failures = 0 if time.monotonic() - started > 60 else failures
            self._report(service.name, str(self.log(service)))
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            failures += 1
            await self._launch(service)


async def _healthy(service: Service) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            answer = await client.get(service.health, headers=dict(service.health_headers))
    except httpx.TransportError:
        return False
    return answer.status_code < 400


def alive(pid: int, module: str) -> bool:
    """Is this process id still the module that it was written down for?"""
    try:
        return module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def end(pids: list[int], module: str, grace: float) -> None:
    """SIGTERM, then SIGKILL, to those of `pids` that still are `module`."""
    deadline = time.monotonic() + grace
    for pid in pids:
        if alive(pid, module):
            os.kill(pid, signal.SIGTERM)
    while any(alive(pid, module) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in pids:
        if alive(pid, module):
            os.kill(pid, signal.SIGKILL)
