"""Prices and budgets, in words that need no theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from sandbox_guard.client.answer import Cost, Remaining, Texts
from sandbox_guard.client.display import Bar, View, Viewed, bare_margin, number, percent
from sandbox_guard.client.words import WORDS, pick, say, sentences


@dataclass(frozen=True, repr=False)
class Estimate(Viewed):
    """What a question would cost and how accurate its answer would be. Nothing is spent.

    `margins`: half-width of the 95 % interval by column, or None where it depends on the data.
    """

    cost: Cost
    free: bool
    columns: tuple[tuple[str, float | None, Mapping[str, str] | None], ...]
    remaining: Remaining
    more_like_this: int | None
    notes: Texts
    strategy: str
    why_not_sharper: Mapping[str, str] | None = None
    """Why another answer to this question could not be averaged with one; None where it could."""
    seconds: float | None = None
    """From the start of work to the release, whatever the data. None where nothing protected is read."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(
            cost=Cost.read(body["cost"]),
            free=bool(body.get("free")),
            columns=tuple((c["name"], c.get("margin"), c.get("why")) for c in body["columns"]),
            remaining=Remaining.read(body["remaining"]),
            more_like_this=body.get("more_like_this"),
            notes=tuple(body.get("notes", ())),
            strategy=body.get("strategy") or "",
            why_not_sharper=body.get("why_not_sharper"),
            seconds=body.get("seconds"),
        )

    @property
    def margins(self) -> dict[str, float | None]:
        return {name: margin for name, margin, _ in self.columns}

    def price(self) -> str:
        """What it costs, and how many more like it fit."""
        price = (
            say("would_be_free")
            if self.free
            else say(
                "would_cost",
                project=percent(self.cost.percent_project),
                member=percent(self.cost.percent_member),
            )
        )
        more = "" if self.more_like_this is None else say("more_like_this", n=f"{self.more_like_this:,}")
        return sentences(price, more)

    def bars(self) -> list[Bar]:
        """Both budgets as they would be after this question."""
        cost, left = self.cost, self.remaining
        project, member = (0.0, 0.0) if self.free else (cost.percent_project, cost.percent_member)
        after = Remaining(max(0, left.percent_member - member), max(0, left.percent_project - project))
        return bars(after, project, member)

    def view(self) -> View:
        noted = any(why for _, _, why in self.columns)
        heads = [say("column"), say("expected_margin"), *([say("why")] if noted else [])]
        return View(
            above=[*(pick(note) for note in self.notes), self.price()],
            bars=self.bars(),
            bars_head=say("remaining_after"),
            heads=heads,
            rows=[
                [name, _expected(margin, why), *([pick(why)] if noted else [])]
                for name, margin, why in self.columns
            ],
            right=frozenset({1}),
            unbroken=frozenset({0, 1}),
            below=[sentences(say("nothing_spent"), _strategy(self.strategy), self._arrives())],
        )

    def _arrives(self) -> str:
        if self.seconds is None or self.free:
            return ""
        return say("arrives", seconds=f"{self.seconds:.2g}")


@dataclass(frozen=True, repr=False)
class FewerRows(Viewed):
    """What a question would cost and how accurate it would be, by how many rows of one unit may count."""

    estimates: Mapping[int, Estimate]

    @property
    def margins(self) -> dict[int, dict[str, float | None]]:
        return {rows: estimate.margins for rows, estimate in self.estimates.items()}

    def view(self) -> View:
        some = next(iter(self.estimates.values()))
        noisy = [i for i, (_, margin, why) in enumerate(some.columns) if margin is not None or why]
        return View(
            heads=[say("rows_counted"), *(some.columns[i][0] for i in noisy), say("cost")],
            rows=[
                [
                    f"{rows:,}",
                    *(_expected(*estimate.columns[i][1:]) for i in noisy),
                    percent(estimate.cost.percent_project),
                ]
                for rows, estimate in self.estimates.items()
            ],
            right=frozenset(range(len(noisy) + 2)),
            below=[say("fewer_rows"), sentences(say("fewer_rows_choose"), say("nothing_spent"))],
        )


def bars(left: Remaining, project: float, member: float) -> list[Bar]:
    """Both budgets: what is left, and the shares that a question takes."""
    return [
        Bar(left.percent_project, project, say("level_project")),
        Bar(left.percent_member, member, say("level_member")),
    ]


def _strategy(names: str) -> str:
    """What bounds one unit's part in the answer, in words; a strategy unknown to this client by its name."""
    known = (f"strategy_{name.replace(' ', '_')}" for name in names.split(", ") if name)
    fewer = say("strategy_fewer") if {"rank", "per unit"} & set(names.split(", ")) else ""
    return sentences(*(say(key) if key in WORDS else say("strategy", strategy=names) for key in known), fewer)


@dataclass(frozen=True, repr=False)
class Budget(Viewed):
    """What has been spent and what is left, at every level that a question is charged to."""

    populations: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(tuple(body["populations"]))

    def frame(self) -> pd.DataFrame:
        """One row a level: population, level, name, title, rho_cap, rho_spent, percent_left, …"""
        return pd.DataFrame(
            [
                {"population": population["population"], **level, "title": pick(level.get("title"))}
                for population in self.populations
                for level in population["levels"]
            ]
        )

    def view(self) -> View:
        return View(
            heads=[
                say("budget"),
                say("level"),
                say("name"),
                say("left"),
                say("typical_left"),
                say("spent_so_far"),
            ],
            rows=[
                [
                    pick(population.get("title")) or population["population"],
                    say(f"level_{level['level']}"),
                    pick(level.get("title")) or str(level["name"]),
                    Bar(level["percent_left"]),
                    number(level.get("typical_left")),
                    f"({level['epsilon']:.3g}, {level['epsilon_delta']:.1g})"
                    if level["epsilon"]
                    else say("none_spent"),
                ]
                for population in self.populations
                for level in population["levels"]
            ],
            right=frozenset({4}),
            unbroken=frozenset(range(6)),
            below=[say("ask_again_free")],
        )


def _expected(margin: float | None, why: Mapping[str, str] | None) -> str:
    if margin is not None:
        return bare_margin(margin)
    return say("unknown_margin") if why else say("no_noise")
