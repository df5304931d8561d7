"""A cell that waits says so. An answer leaves at a time that was fixed beforehand, whatever the data; meanwhile
the notebook tells when it is due, and clears that line when it is there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Final

from sandbox_guard.client.words import say

PATIENCE: Final = 0.8
"""Seconds before anything is said: most answers are there by then."""

_LINE: Final = "color:var(--jp-ui-font-color1,#444);opacity:.85;margin:.15em 0;font-size:.92em"


@contextmanager
def shown(due: Callable[[], float | None], lost: Callable[[], bool]) -> Iterator[None]:
    """Around a question. `due()`: seconds until its answer leaves, asked only where somebody can see it.
    `lost()`: is there nobody just now who would answer?"""
    if not _in_a_notebook():
        yield
        return
    expected = due()
    answered = threading.Event()
    teller = threading.Thread(target=_tell, args=(expected, lost, answered), daemon=True)
    teller.start()
    try:
        yield
    finally:
        answered.set()
        teller.join()


def said(waited: float, due: float | None, lost: bool = False) -> str:
    """What a person who has waited so long may know."""
    if lost:
        return say("waiting_lost", waited=f"{waited:.0f}")
    if due is None:
        return say("waiting", waited=f"{waited:.0f}")
    if waited < due:
        return say("waiting_due", waited=f"{waited:.0f}", left=f"{max(1, due - waited):.0f}")
    return say("waiting_queued", waited=f"{waited:.0f}")


def _tell(due: float | None, lost: Callable[[], bool], answered: threading.Event) -> None:
    started = time.monotonic()
    if answered.wait(PATIENCE):
        return
    from IPython.display import display

    line = display(_bundle(said(PATIENCE, due, lost())), raw=True, display_id=True)  # type: ignore[no-untyped-call]
    while not answered.wait(1):
        line.update(_bundle(said(time.monotonic() - started, due, lost())), raw=True)
    line.update({"text/html": "", "text/plain": ""}, raw=True)


def _bundle(text: str) -> dict[str, str]:
    return {"text/html": f'<p role="status" style="{_LINE}">⏳ {escape(text)}</p>', "text/plain": text}


def _in_a_notebook() -> bool:
    """A kernel, which alone can take a line back."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")
