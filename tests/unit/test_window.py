"""The reserved time of one question, and the silence of its vault meanwhile."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Awaitable

import httpx
import pytest
from fastapi import FastAPI

from sandbox_guard.ledger.wire import Reserved
from sandbox_guard.vault import Silence
from sandbox_guard.window import DOUBLINGS, Window, Windows

T = 0.6

pytestmark = pytest.mark.wall_clock


def reserved(wait: float = 0.0, seconds: float = T) -> Reserved:
    """The moments in UTC are of a clock that is wrong by years: only the wait counts."""
    start = dt.datetime(1999, 1, 1, tzinfo=dt.UTC)
    return Reserved(
        lane="host",
        starts_at=start,
        releases_at=start + dt.timedelta(seconds=seconds),
        wait=round(1000 * wait),
        milliseconds=round(1000 * seconds),
    )


@pytest.mark.parametrize(("work", "overruns"), [(0.0, 0), (1.05, 1), (2.05, 2), (4.05, 3)])
def test_an_answer_leaves_at_t_or_a_doubling_of_it(work: float, overruns: int) -> None:
    begun = time.monotonic()
    with Windows().open(reserved(wait=0.2)) as window:
        assert time.monotonic() - begun >= 0.2
        assert window.left() <= 2**DOUBLINGS * T
        time.sleep(work * T)
        assert window.leave() == overruns
    assert time.monotonic() - begun >= 0.2 + T * 2**overruns


def test_where_cores_are_not_reserved_a_busy_machine_is_no_reason_to_fail() -> None:
    with Windows(reserved=False).open(reserved()) as window:
        assert window.left() > 30 and window.doublings > DOUBLINGS
        assert window.leave() == 0


def test_cores_that_have_done_their_work_rest_no_sooner_than_the_release() -> None:
    with Windows(cores=1).open(reserved()) as window:
        begun, worked = time.monotonic(), time.process_time()
        assert window.leave() == 0
        # Less than all of the time, where others want the core too.
        assert time.process_time() - worked > 0.3 * (time.monotonic() - begun)


def test_what_is_public_leaves_when_it_is_ready() -> None:
    windows = Windows(timeout=7)
    with windows.open(None) as window:
        assert window.left() == 7 and windows.silence() == 0
        assert window.leave() == 0


def test_the_silence_lasts_from_start_to_release() -> None:
    windows = Windows()
    assert windows.silence() == 0
    with windows.open(reserved()) as window:
        first = windows.silence()
        assert 0 < first <= T
        window.leave()
        assert windows.silence() == 0
    assert windows.silence() == 0


def test_a_vault_says_nothing_while_a_question_is_measured() -> None:
    """Neither to what was asked before it began and is ready meanwhile, nor to what is asked meanwhile."""
    windows, begun = Windows(), threading.Event()
    app = FastAPI()

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/slow")
    async def slow() -> dict[str, bool]:
        begun.set()
        await silent()
        return {"ok": True}

    async def silent() -> None:
        while windows.silence() == 0 and not released:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    app.add_middleware(Silence, windows=windows)
    released: list[float] = []

    def question() -> None:
        begun.wait()
        with windows.open(reserved(wait=0.1)) as window:
            assert isinstance(window, Window)
            window.leave()
            assert window.leaves is not None
            released.append(window.leaves)

    async def ask() -> tuple[float, float]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vault") as client:

            async def arrival(path: str, first: Awaitable[None]) -> float:
                await first
                assert (await client.get(path)).json() == {"ok": True}
                return time.monotonic()

            return await asyncio.gather(arrival("/slow", asyncio.sleep(0)), arrival("/health", silent()))

    thread = threading.Thread(target=question)
    thread.start()
    arrivals = asyncio.run(ask())
    thread.join()
    (leaves,) = released
    assert min(arrivals) >= leaves
