"""Who holds a project's notebooks still, and what becomes of it when something ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hub.freezer import LONGEST, Freezer, key_of

PROJECT = "credit"


class Notebooks:
    """Of one project: a flag instead of containers."""

    def __init__(self) -> None:
        self.still = False
        self.fails = False
        self.now = 0.0
        self.freezer = Freezer(self._pause, self._resume, lambda: self.now)

    async def _pause(self, project: str) -> None:
        self.still = True
        if self.fails:
            raise RuntimeError("one of them still runs")

    async def _resume(self, project: str) -> None:
        self.still = False


def run(steps: Coroutine[Any, Any, None]) -> None:
    asyncio.run(steps)


def test_they_go_on_when_the_last_of_two_is_done() -> None:
    async def steps() -> None:
        notebooks = Notebooks()
        for holder in "ab":
            await notebooks.freezer.freeze(PROJECT, holder, 60)
        assert await notebooks.freezer.thaw(PROJECT, "a")
        assert notebooks.still
        assert await notebooks.freezer.thaw(PROJECT, "b")
        assert not notebooks.still

    run(steps())


def test_where_one_cannot_be_paused_none_is_held() -> None:
    async def steps() -> None:
        notebooks = Notebooks()
        notebooks.fails = True
        with pytest.raises(RuntimeError):
            await notebooks.freezer.freeze(PROJECT, "a", 60)
        assert not notebooks.still
        assert not notebooks.freezer.frozen(PROJECT)

    run(steps())


def test_a_holder_that_ended_holds_nothing() -> None:
    async def steps() -> None:
        notebooks = Notebooks()
        await notebooks.freezer.freeze(PROJECT, "a", 60)
        await notebooks.freezer.forget("a")
        assert not notebooks.still
        # If it comes back after all, it is told that they ran meanwhile.
        assert not await notebooks.freezer.thaw(PROJECT, "a")

    run(steps())


def test_a_lease_ends_by_itself_and_what_was_asked_then_is_not_answered() -> None:
    async def steps() -> None:
        notebooks = Notebooks()
        await notebooks.freezer.freeze(PROJECT, "a", 2 * LONGEST)
        notebooks.now = LONGEST - 1
        assert notebooks.freezer.frozen(PROJECT)
        notebooks.now = LONGEST
        assert not notebooks.freezer.frozen(PROJECT)
        assert not await notebooks.freezer.thaw(PROJECT, "a")
        assert not notebooks.still

    run(steps())


def test_a_notebook_does_not_start_while_its_project_is_frozen() -> None:
    async def steps() -> None:
        notebooks = Notebooks()
        await notebooks.freezer.freeze(PROJECT, "a", 60)
        started = asyncio.Event()

        async def start() -> None:
            async with notebooks.freezer.starting(PROJECT):
                assert not notebooks.still
                started.set()

        starting = asyncio.create_task(start())
        await asyncio.sleep(0.3)
        assert not started.is_set()
        await notebooks.freezer.thaw(PROJECT, "a")
        await asyncio.wait_for(starting, 60)

    run(steps())


def test_a_key_opens_its_own_project_and_pair_alone() -> None:
    keys = {key_of("secret", project, pair) for project in ("p", "q") for pair in ("a", "b")}
    assert len(keys) == 4
