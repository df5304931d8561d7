"""When a sandbox ends, and when its member is warned."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib.util
import time
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hub.life import WARNING, Life, ends_soon
from hub.settings import ROOT, Settings
from hub.spawner import Sandboxed

NOON = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def life(began: float = 0, active: float = 0) -> Life:
    """Hours before noon; 72 at most, 8 when idle."""
    return Life(NOON - began * HOUR, NOON - active * HOUR, longest=72 * HOUR, idle=8 * HOUR)


def test_who_works_is_ended_at_the_maximum_and_not_before() -> None:
    assert life(began=71.99).over(NOON) is None
    why = life(began=72).over(NOON)
    assert why is not None and "72" in why.zh and "72 hours" in why.en


def test_one_in_which_nobody_is_ends_earlier() -> None:
    assert life(began=20, active=7.99).over(NOON) is None
    why = life(began=20, active=8).over(NOON)
    assert why is not None and "8 hours" in why.en
    # What was never opened has its time from the start.
    assert life(began=7, active=100).over(NOON) is None


def test_the_warning_comes_ten_minutes_before_the_maximum() -> None:
    ends = life(began=1).ends
    assert not life(began=1).soon(ends - WARNING - dt.timedelta(seconds=1))
    assert life(began=1).soon(ends - WARNING)
    assert "10 minutes" in ends_soon(life(began=1), ends - WARNING).en


@pytest.mark.parametrize(("name", "text"), [("LIFE", "0"), ("LIFE", "soon"), ("IDLE", "-1"), ("IDLE", "inf")])
def test_hours_that_are_none_are_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="not a number of hours"):
        Settings.from_environment({f"SANDBOX_GUARD_{name}_HOURS": text})


# ------------------------------------------------------------------ what the notebook's server counts as activity


@pytest.fixture(scope="module")
def configuration() -> ModuleType:
    path = ROOT / "images" / "notebook" / "etc" / "jupyter" / "jupyter_server_config.py"
    spec = importlib.util.spec_from_file_location("jupyter_server_config", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    class Anything(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return Anything()

    module.get_config = Anything  # type: ignore[attr-defined]
    spec.loader.exec_module(module)
    return module


def test_a_busy_kernel_is_activity_and_an_idle_one_is_not(configuration: ModuleType) -> None:
    """A real kernel, and the very manager of the notebook's server."""
    manager = configuration.Busy()

    async def use(code: str, until: str) -> None:
        (kernel,) = manager._kernels.values()
        client = kernel.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        client.execute(code)
        deadline = time.monotonic() + 60
        while kernel.execution_state != until:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        client.stop_channels()

    async def main() -> None:
        await manager.start_kernel(kernel_name="python3")
        try:
            await use("import time; time.sleep(600)", "busy")
            await asyncio.sleep(1)
            assert (dt.datetime.now(dt.UTC) - manager.last_kernel_activity).total_seconds() < 0.5
            (kernel,) = manager._kernels.values()
            await kernel.interrupt_kernel()
            deadline = time.monotonic() + 60
            while kernel.execution_state != "idle":
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            assert (dt.datetime.now(dt.UTC) - manager.last_kernel_activity).total_seconds() >= 0.9
        finally:
            await manager.shutdown_all(now=True)

    asyncio.run(main())


# ---------------------------------------------------------------------------------- what a start says


class Starting(Sandboxed):
    """One that takes its time."""

    def __init__(self) -> None:
        self._said = []

    user = SimpleNamespace(name="lin")
    t = staticmethod(lambda zh, en: en)

    async def start_halves(self, sandbox: object) -> str:
        raise NotImplementedError


def test_a_start_shows_a_sign_of_life_every_two_seconds() -> None:
    spawner, heard = Starting(), []

    async def listen(now: Callable[[], float] = time.monotonic) -> None:
        spawner.say(10, "first")
        async with asyncio.timeout(7):
            async for event in spawner.progress():
                heard.append((now(), event["message"]))

    with pytest.raises(TimeoutError):
        asyncio.run(listen())
    assert heard[0][1] == "first"
    assert all(later - earlier < 3 for (earlier, _), (later, _) in pairwise(heard))
    assert len(heard) >= 3
