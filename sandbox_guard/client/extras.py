"""What the client needs beyond httpx and pandas, and only for some things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.words import say


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around an import: what is not there is named, with the line that installs it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InterfaceError(say("needs_extra", package=error.name, extra=name)) from None
