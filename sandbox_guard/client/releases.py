"""What this project has been told already. Opening an answer again is free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from sandbox_guard.client.answer import Answer
from sandbox_guard.client.display import View, Viewed, minute
from sandbox_guard.client.result import Result
from sandbox_guard.client.words import pick, say


@dataclass(frozen=True, repr=False)
class History(Viewed, Sequence[Result]):
    """Releases, newest first. `history[0]` opens one."""

    releases: tuple[Mapping[str, Any], ...]

    def __len__(self) -> int:
        return len(self.releases)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        if isinstance(index, slice):
            return History(self.releases[index])
        return Result.of(Answer.read(self.releases[index]["answer"]))

    def search(self, words: str) -> History:
        """Those whose SQL, asker or receipt holds every one of `words`, without regard to case."""
        wanted = words.lower().split()
        return History(
            tuple(
                release
                for release in self.releases
                if all(
                    word in f"{release['sql']} {release['asked_by']} {release['receipt']}".lower()
                    for word in wanted
                )
            )
        )

    def view(self) -> View:
        return View(
            heads=[say("number"), say("released_at"), say("asked_by"), say("sql")],
            rows=[
                [str(i), minute(release["released_at"]), str(release["asked_by"]), _short(release["sql"])]
                for i, release in enumerate(self.releases)
            ]
            or [["", "", "", say("empty")]],
            unbroken=frozenset({0, 1, 2}),
            below=[say("history_hint")] if self.releases else [],
        )


@dataclass(frozen=True, repr=False)
class Analyses(Viewed):
    """The approved analyses of this project: `analyse(name, **parameters)` runs one."""

    analyses: tuple[Mapping[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(analysis["name"] for analysis in self.analyses)

    def view(self) -> View:
        return View(
            heads=[say("name"), say("title"), say("parameters"), say("description")],
            rows=[
                [
                    analysis["name"],
                    pick(analysis.get("title")),
                    "; ".join(
                        f"{name}: {parameter.get('type', '')}"
                        for name, parameter in (analysis.get("parameters") or {}).items()
                    ),
                    pick(analysis.get("description")),
                ]
                for analysis in self.analyses
            ]
            or [["", "", "", say("empty")]],
        )


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 120 else line[:119] + "…"
