"""A tighter margin for numbers that are released already: ask once more, and average both answers.

Each answer is the truth plus noise of its own, so both together, weighted by how sure each is (by inverse
variance), are surer than either: 1/e² = 1/e₁² + 1/e₂². A margin costs as 1/e², so nothing that was paid is
wasted: two answers are as good as one at the summed price.

Deviations are taken from the noise's scale, not from the interval: ± 11 of a count covers whole numbers up to
11, and so nearly 11.5 of an average, which need not be whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sandbox_guard.client.account import Estimate
from sandbox_guard.client.answer import Answer, Column, Cost
from sandbox_guard.client.display import View, Viewed, bare_margin
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.noise import GAUSSIAN_95, LAPLACE_95
from sandbox_guard.client.service import Service
from sandbox_guard.client.words import LANGUAGES, WORDS, pick, say

if TYPE_CHECKING:
    from sandbox_guard.client.result import Result

Margin = float | Mapping[str, float]

ROUGHLY: Final = 10
"""A column that is sure enough is measured along, so many times as roughly as before: at a hundredth of its price."""

APART: Final = 0.999
"""The vault gives a known question its known answer. A new one needs a margin that was not asked yet."""

HIGH, USABLE = 0.05, 0.20
PRICES: Final = ("margin", "share", "epsilon", "pure")


@dataclass(frozen=True)
class Asked:
    """A question as this session put it, so that it can be put again."""

    service: Service
    body: Mapping[str, Any]


@dataclass(frozen=True, repr=False)
class Sharpening(Viewed):
    """What tighter margins would cost. Nothing is spent until `ask()`.

    `margins`: by column, ± now and ± with both answers.
    """

    asked: Asked
    answer: Answer
    body: Mapping[str, Any]
    estimate: Estimate
    margins: Mapping[str, tuple[float, float]]

    def ask(self) -> Result:
        """Pay, and combine both answers."""
        from sandbox_guard.client.result import Result

        second = Answer.read(self.asked.service.ask("/v1/query", self.body))
        result = Result.of(combined(self.answer, second))
        result.asked = self.asked
        return result

    def view(self) -> View:
        return View(
            above=[say("sharpen_extra"), self.estimate.price()],
            bars=self.estimate.bars(),
            bars_head=say("remaining_after"),
            heads=[say("column"), say("margin_now"), say("margin_then")],
            rows=[[name, bare_margin(now), bare_margin(then)] for name, (now, then) in self.margins.items()],
            right=frozenset({1, 2}),
            below=[say("nothing_spent"), say("sharpen_ask")],
        )


def sharpening(asked: Asked | None, answer: Answer, margin: Margin) -> Sharpening:
    """The offer. Raises InterfaceError, with the reason, where answers cannot be averaged."""
    if asked is None:
        raise _cannot(say("sharpen_unknown"))
    again = Estimate.read(asked.service.post("/v1/estimate", asked.body))
    if again.why_not_sharper:
        raise _cannot(pick(again.why_not_sharper))
    if not again.free:
        raise _cannot(say("sharpen_stale"))
    noisy = {column.name: column for column in answer.columns if column.noisy and answer.rows}
    now = {name: GAUSSIAN_95 * deviation(column) for name, column in noisy.items()}
    if len(_rows(answer)) < answer.rows or not now:
        raise _cannot(say("sharpen_rows"))
    needed = _needed(now, margin)
    # The vault takes ± of a whole number as whole, which leaves up to half of one on either side.
    whole = {n: max(e - 0.5, e / 2) if noisy[n].type == "integer" else e for n, e in needed.items()}
    body, estimate = _another(asked, answer, whole)
    then = {name: (now[name] ** -2 + needed[name] ** -2) ** -0.5 for name in now}
    return Sharpening(asked, answer, body, estimate, {name: (now[name], then[name]) for name in now})


def deviation(column: Column) -> float:
    """Standard deviation of the noise of a number that is one measure as it stands: the same in every row."""
    if column.scale is None:
        raise _cannot(say("sharpen_unknown"))
    return column.scale * (math.sqrt(2) if column.noise == "laplace" else 1)


def _needed(now: Mapping[str, float], margin: Margin) -> dict[str, float]:
    """The margins of a second answer that bring both together to what is wanted."""
    wanted = dict(margin) if isinstance(margin, Mapping) else dict.fromkeys(now, margin)
    for name in wanted:
        if name not in now:
            raise InterfaceError(say("no_such_column", name=f"margin[{name!r}]", offered=", ".join(now)))
    if not all(value > 0 for value in wanted.values()):
        raise InterfaceError(say("margin_above_0"))
    if all(value >= now[name] for name, value in wanted.items()):
        held = ", ".join(f"{name} {bare_margin(now[name])}" for name in wanted)
        raise InterfaceError(say("sharp_enough", held=held))
    return {
        name: (wanted[name] ** -2 - held**-2) ** -0.5 if wanted.get(name, held) < held else ROUGHLY * held
        for name, held in now.items()
    }


def _another(asked: Asked, answer: Answer, needed: Mapping[str, float]) -> tuple[dict[str, Any], Estimate]:
    """The question at these margins, as one whose answer is not in `answer` yet."""
    held = {receipt["release_id"] for receipt in receipts(answer)}
    unpriced = {name: value for name, value in asked.body.items() if name not in PRICES}
    while True:
        body = {**unpriced, "margin": dict(needed)}
        estimate = Estimate.read(asked.service.post("/v1/estimate", body))
        if not estimate.free:
            return body, estimate
        known = asked.service.ask("/v1/query", body)
        if known["receipt"]["release_id"] not in held:
            return body, estimate
        needed = {name: width * APART for name, width in needed.items()}


def combined(first: Answer, second: Answer) -> Answer:
    """One answer of two to the same question, by inverse variance, in the order of the second."""
    of_first = _rows(first)
    if of_first.keys() != _rows(second).keys() or first.receipt["versions"] != second.receipt["versions"]:
        raise _cannot(say("sharpen_moved"))
    order = [of_first[key] for key in _rows(second)]
    columns = tuple(
        _average(a, b, order) if b.noisy else b for a, b in zip(first.columns, second.columns, strict=True)
    )
    both = [*receipts(first), *receipts(second)]
    return replace(
        second,
        columns=columns,
        cost=_sum(first.cost, second.cost),
        notes=(*second.notes, _said("combined_from", n=len(both))),
        receipt={
            **second.receipt,
            **{
                name: " + ".join(str(receipt[name]) for receipt in both)
                for name in ("release_id", "position", "charge_id", "digest")
            },
            "combines": both,
        },
        free=False,
    )


def receipts(answer: Answer) -> list[Mapping[str, Any]]:
    """Of every release that an answer combines."""
    return list(answer.receipt.get("combines", [answer.receipt]))


def _average(a: Column, b: Column, order: Sequence[int]) -> Column:
    """Column `b`, with row i of it averaged with row order[i] of `a`."""
    weight_a, weight_b = deviation(a) ** -2, deviation(b) ** -2
    both = (weight_a + weight_b) ** -0.5
    # The wider tail of the two, so that nothing said of the average is too sure.
    laplace = "laplace" in (a.noise, b.noise)
    width = both * (LAPLACE_95 / math.sqrt(2) if laplace else GAUSSIAN_95)
    values = [
        (weight_a * a.values[i] + weight_b * value) / (weight_a + weight_b)
        for i, value in zip(order, b.values, strict=True)
    ]
    return replace(
        b,
        type="real",
        values=values,
        low=[value - width for value in values],
        high=[value + width for value in values],
        reliability=[_reliability(value, width) for value in values],
        noise="laplace" if laplace else "gaussian",
        scale=both / math.sqrt(2) if laplace else both,
    )


def _reliability(value: float, width: float) -> str:
    if width <= HIGH * abs(value):
        return "high"
    return "usable" if width <= USABLE * abs(value) else "caution"


def _rows(answer: Answer) -> dict[tuple[Any, ...], int]:
    """Row numbers by key."""
    keys = [column.values for column in answer.columns if not column.noisy]
    return {tuple(values[row] for values in keys): row for row in range(answer.rows)}


def _sum(a: Cost, b: Cost) -> Cost:
    """Of (epsilon, delta) too, by basic composition: never below what both spent."""
    return Cost(**{name: getattr(a, name) + getattr(b, name) for name in Cost.__dataclass_fields__})


def _said(key: str, **facts: object) -> dict[str, str]:
    return {code: text.format_map(facts) for code, text in zip(LANGUAGES, WORDS[key], strict=True)}


def _cannot(reason: str) -> InterfaceError:
    return InterfaceError(say("cannot_sharpen"), reason)
