"""The switch `freeze` of a project: its notebooks stand still while one of its vaults works on a question.

A vault asks the hub before it charges (`PUT /hub/api/frozen/<pair>`, hub.frozen), and again afterwards (`DELETE`), which says
whether they stood still throughout. Where they do not, nothing is answered. Whoever froze and died is no reason to
stand still for ever: its lease ends with its sandbox and by itself, and a notebook that is paused for nobody, as
a hub that was killed leaves it, goes on at the hub's next look (`DockerPairSpawner.poll`).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

LONGEST = 1800.0
"""Seconds: longer than any queue for the vaults' cores, and the work after it."""

Act = Callable[[str], Awaitable[None]]
"""On all notebooks of a project."""


@dataclass
class Freezer:
    """Who holds which project's notebooks still, and until when. All of it in the hub's one thread."""

    pause: Act
    """Returns once all stand still, else raises."""
    resume: Act
    clock: Callable[[], float] = time.monotonic
    _leases: dict[str, dict[str, float]] = field(default_factory=dict)
    """By project and holder, the end."""
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def freeze(self, project: str, holder: str, seconds: float) -> None:
        lease = min(seconds, LONGEST)
        async with self._lock(project):
            self._leases.setdefault(project, {})[holder] = self.clock() + lease
            try:
                await self.pause(project)
            except BaseException:
                await self._end(project, holder)
                raise
        asyncio.get_running_loop().call_later(lease + 1, self._expire, project)

    async def thaw(self, project: str, holder: str) -> bool:
        """Did they stand still for `holder` until now?"""
        async with self._lock(project):
            held = self.frozen(project) and holder in self._leases[project]
            await self._end(project, holder)
        return held

    async def forget(self, holder: str) -> None:
        """It has ended."""
        for project in [project for project, leases in self._leases.items() if holder in leases]:
            await self.thaw(project, holder)

    def frozen(self, project: str) -> bool:
        leases = self._leases.get(project, {})
        for holder in [holder for holder, end in leases.items() if end <= self.clock()]:
            del leases[holder]
        return bool(leases)

    @asynccontextmanager
    async def starting(self, project: str) -> AsyncIterator[None]:
        """A notebook starts while its project is not frozen, and nobody freezes it before it has."""
        while True:
            async with self._lock(project):
                if not self.frozen(project):
                    yield
                    return
            await asyncio.sleep(0.2)

    async def _end(self, project: str, holder: str) -> None:
        self._leases.get(project, {}).pop(holder, None)
        if not self.frozen(project):
            await self.resume(project)

    def _expire(self, project: str) -> None:
        if not self.frozen(project):
            # The loop keeps only a weak reference to a task.
            self._expired = asyncio.ensure_future(self.resume(project))

    def _lock(self, project: str) -> asyncio.Lock:
        return self._locks.setdefault(project, asyncio.Lock())


def key_of(secret: str, project: str, pair: str) -> str:
    """What a vault shows: it may hold its own project's notebooks still, for itself."""
    return hmac.new(secret.encode(), f"{project}\0{pair}".encode(), hashlib.sha256).hexdigest()
