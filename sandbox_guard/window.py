"""The time reserved for one question: wait for its start, work, wait for its release (DESIGN section 4).

    with windows.open(reserved) as window:    from the reserved start
        …                                     every statement within `window.left()`
        overruns = window.leave()             returns at the release time: after T, or 2 T, or 4 T

All by this process's steady clock, counted from when the ledger's answer arrived: two clocks need not agree, and one
that is set back moves nothing.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pyarrow as pa

from sandbox_guard.ledger.wire import Reserved
from sandbox_guard.release import Finish, Rows

DOUBLINGS = 2
"""An answer that is not ready after T leaves at 2 T, or at 4 T; what is not ready by then is a Fault."""

_TURNS = 500
"""Of a loop in C: fractions of a millisecond."""

PATIENCE = 60.0
"""Seconds that work may take at least, where cores are not reserved: there a busy machine is no reason to fail."""


def wait_until(moment: float) -> None:
    while (left := moment - time.monotonic()) > 0:
        time.sleep(left)


def work_until(moment: float, cores: int) -> None:
    """Waits, and lets the cores rest no sooner."""

    def work() -> None:
        while time.monotonic() < moment:
            # Without Python's lock, so that the rest of this process goes on.
            hashlib.pbkdf2_hmac("sha256", b"", b"", _TURNS)

    others = [threading.Thread(target=work, daemon=True) for _ in range(cores - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()


@dataclass
class Window:
    """From `start`, `seconds` long, and doubled while work goes on."""

    start: float
    seconds: float
    doublings: int = DOUBLINGS
    cores: int = 0
    """That are kept at work until the release. Cores that rested as soon as the work is done would tell it: whatever else
    runs on the host comes to them from the notebooks' cores, which a busy loop there feels."""
    leaves: float | None = None
    """Set once the work is done, whenever that is: the next limit from then."""

    def left(self) -> float:
        """Seconds until the last limit, at which whatever still works is killed."""
        return self.start + self.seconds * float(2**self.doublings) - time.monotonic()

    def leave(self) -> int:
        """The work is done, and has failed or not: returns at the release time, and says how often it doubled. More
        often than `doublings` is too late for an answer."""
        overruns = _doublings((time.monotonic() - self.start) / self.seconds)
        self.leaves = self.start + self.seconds * float(2**overruns)
        if self.cores:
            work_until(self.leaves, self.cores)
        else:
            wait_until(self.leaves)
        return overruns

    def silence(self) -> float:
        """Seconds for which nothing else may leave, as far as is known now."""
        now = time.monotonic()
        if now < self.start:
            return 0.0
        if self.leaves is None:
            limit = float(2 ** _doublings((now - self.start) / self.seconds))
            return self.start + self.seconds * limit - now
        return max(0.0, self.leaves - now)


def _doublings(times: float) -> int:
    """Of T, until it is at least so many times T."""
    return max(0, math.ceil(math.log2(times))) if times > 0 else 0


@dataclass
class Unlimited:
    """What reads nothing private leaves when it is ready."""

    timeout: float
    doublings: int = 0

    def left(self) -> float:
        return self.timeout

    def leave(self) -> int:
        return 0


@dataclass
class Windows:
    """Of one vault, one at a time."""

    timeout: float = 30.0
    """Seconds for a statement of a question that reads nothing private."""
    reserved: bool = True
    """Are the cores for vaults alone?"""
    cores: int = 0
    """How many are kept at work until a release."""
    _open: Window | None = field(default=None)

    @contextmanager
    def open(self, reserved: Reserved | None) -> Iterator[Window | Unlimited]:
        """Waits until the reserved start."""
        if reserved is None:
            yield Unlimited(self.timeout)
            return
        seconds = reserved.milliseconds / 1000
        doublings = DOUBLINGS if self.reserved else max(DOUBLINGS, _doublings(PATIENCE / seconds))
        window = Window(time.monotonic() + reserved.wait / 1000, seconds, doublings, self.cores)
        self._open = window
        try:
            wait_until(window.start)
            yield window
        finally:
            self._open = None

    def silence(self) -> float:
        """Seconds for which nothing may leave this vault: while a question is measured, how long an estimate takes
        would tell how busy its cores are."""
        window = self._open
        return window.silence() if window is not None else 0.0


@dataclass(frozen=True)
class Within:
    """Engine and finisher, each statement within what is left of the window."""

    left: Callable[[], float]
    engine: Rows
    finisher: Finish

    def rows(self, sql: str, timeout: float) -> pa.Table:
        return self.engine.rows(sql, min(timeout, self.left()))

    def run(self, tables: Mapping[str, pa.Table], sql: str, timeout: float = math.inf) -> pa.Table:
        return self.finisher.run(tables, sql, min(timeout, self.left()))
