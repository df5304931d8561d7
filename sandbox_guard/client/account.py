"""Prices and budgets, in words that need no theory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from sandbox_guard.client.answer import Cost, Remaining, Texts
from sandbox_guard.client.display import View, Viewed, bare_margin, number, percent
from sandbox_guard.client.words import pick, say, sentences


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
        )

    @property
    def margins(self) -> dict[str, float | None]:
        return {name: margin for name, margin, _ in self.columns}

    def price(self) -> str:
        """What it costs, what remains after it, and how many more like it fit."""
        price = (
            say("would_be_free")
            if self.free
            else say(
                "would_cost",
                project=percent(self.cost.percent_project),
                member=percent(self.cost.percent_member),
            )
        )
        left = say(
            "remains",
            project=percent(self.remaining.percent_project),
            member=percent(self.remaining.percent_member),
        )
        more = "" if self.more_like_this is None else say("more_like_this", n=f"{self.more_like_this:,}")
        return sentences(price, left, more)

    def view(self) -> View:
        return View(
            above=[
                *(pick(note) for note in self.notes),
                self.price(),
            ],
            heads=[say("column"), say("expected_margin"), say("why")],
            rows=[[name, _expected(margin, why), pick(why)] for name, margin, why in self.columns],
            right=frozenset({1}),
            below=[
                say("nothing_spent"),
                *([say("strategy", strategy=self.strategy)] if self.strategy else []),
            ],
        )


@dataclass(frozen=True, repr=False)
class Budget(Viewed):
    """What has been spent and what is left, at every level that a question is charged to."""

    populations: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(tuple(body["populations"]))

    def frame(self) -> pd.DataFrame:
        """One row a level: population, level, name, rho_cap, rho_spent, percent_left, …"""
        return pd.DataFrame(
            [
                {"population": population["population"], **level}
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
                    str(level["name"]),
                    f"{_gauge(level['percent_left'])} {percent(level['percent_left'])}",
                    number(level.get("typical_left")),
                    f"({level['epsilon']:.3g}, {level['epsilon_delta']:.1g})",
                ]
                for population in self.populations
                for level in population["levels"]
            ],
            right=frozenset({4}),
            below=[say("ask_again_free")],
        )


def _expected(margin: float | None, why: Mapping[str, str] | None) -> str:
    if margin is not None:
        return bare_margin(margin)
    return say("unknown_margin") if why else say("no_noise")


def _gauge(percent_left: float) -> str:
    full = min(10, max(0, round(percent_left / 10)))
    return "█" * full + "░" * (10 - full)
