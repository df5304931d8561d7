"""A project that says `freeze: true` has its notebooks stand still from before a charge to the release, so that
nothing of the work is to be felt in them: no cache, no memory, no core is shared with a program that runs.

    with notebooks.still() as stood:     Refused where they cannot be made to; nothing is charged then
        …
        stood()                          they go on; did they stand still until now?

The hub does it, which holds the engine (hub.freezer); what it does depends on no row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import httpx

from sandbox_guard.errors import Refused

PATIENCE = 20.0
"""Seconds for the hub to pause some notebooks."""


class Notebooks(Protocol):
    def still(self) -> AbstractContextManager[Callable[[], bool]]: ...


def always() -> bool:
    return True


class Running:
    """They go on: the switch is off."""

    @contextmanager
    def still(self) -> Iterator[Callable[[], bool]]:
        yield always


RUNNING = Running()


@dataclass(frozen=True)
class Frozen:
    url: str
    """Empty where sandboxes cannot be frozen: then nothing is answered."""
    key: str

    @contextmanager
    def still(self) -> Iterator[Callable[[], bool]]:
        if not self.url or self._call("PUT").get("frozen") is not True:
            self._call("DELETE")
            raise Refused("access.not_frozen")
        ended: list[bool] = []

        def stood() -> bool:
            if not ended:
                ended.append(self._call("DELETE").get("held") is True)
            return ended[0]

        try:
            yield stood
        finally:
            stood()

    def _call(self, method: str) -> dict[str, object]:
        """Empty where anything went wrong."""
        said: dict[str, object] = {}
        with suppress(httpx.HTTPError, httpx.InvalidURL, ValueError):
            headers = {"Authorization": f"Bearer {self.key}"}
            answer = httpx.request(method, self.url, headers=headers, timeout=PATIENCE, trust_env=False)
            if answer.is_success:
                said = answer.json()
        return said
