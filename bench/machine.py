"""What figures were taken on, and how a page of figures says so."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version


def machine() -> dict[str, object]:
    """The machine as it is now; its load is of the run itself too."""
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "opendp": version("opendp"),
    }


def written(command: str, on: Mapping[str, object]) -> str:
    """A page's second line; `on` is what `machine` gave when the figures were taken."""
    facts = ", ".join(f"{name} {value}" for name, value in on.items() if name != "at")
    return f"Written by `{command}` on {on['at']}; {facts}"
