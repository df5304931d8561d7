"""The data versions in force, each query on one of them from start to end.

A new version is put in place while queries run. A query that began on the old one ends there: its engine
is closed when the last such query has left.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import Engine
from sandbox_guard.engines.versions import serving
from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import Dataset


@dataclass
class _Open:
    engine: Engine
    folders: dict[str, Path]
    users: int = 0


class CurrentData:
    """Engines over the newest version of each granted dataset that agrees with today's policy."""

    def __init__(
        self, datasets: Mapping[str, Dataset], folders: Mapping[str, Path], *, workers: int, limits: Limits
    ) -> None:
        """`folders`: by dataset, the folder that holds its serials."""
        self._datasets = datasets
        self._folders = folders
        self._workers = workers
        self._limits = limits
        self._lock = threading.Lock()
        self._current = self._opened(self._serving())

    @contextmanager
    def use(self) -> Iterator[Engine]:
        """The engine over today's versions, kept open until the block ends."""
        with self._lock:
            folders = self._serving()
            if folders != self._current.folders:
                old, self._current = self._current, self._opened(folders)
                if old.users == 0:
                    old.engine.close()
            mine = self._current
            mine.users += 1
        try:
            yield mine.engine
        finally:
            with self._lock:
                mine.users -= 1
                if mine is not self._current and mine.users == 0:
                    mine.engine.close()

    def described_by(self, datasets: Mapping[str, Dataset]) -> None:
        """The same folders under other policies."""
        with self._lock:
            self._datasets = datasets

    def why_not(self, dataset: str) -> Refused | None:
        """Why a granted dataset cannot answer, or None."""
        if dataset not in self._datasets:
            return Refused("data.missing", dataset=dataset)
        try:
            serving(self._datasets[dataset], self._folders[dataset])
        except Refused as refused:
            return refused
        return None

    def close(self) -> None:
        self._current.engine.close()

    def _serving(self) -> dict[str, Path]:
        found = {}
        for name, dataset in self._datasets.items():
            try:
                found[name] = serving(dataset, self._folders[name]).folder
            except Refused:
                continue  # told to whoever names it, by `why_not`
        return found

    def _opened(self, folders: dict[str, Path]) -> _Open:
        return _Open(Engine(folders, workers=self._workers, limits=self._limits), folders)
