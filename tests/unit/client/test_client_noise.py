"""`compare` and `draws` must be as sure as they say, no more: measured over 1,000 seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sandbox_guard.client import noise, words
from sandbox_guard.client.answer import Answer, Column, Cost, Remaining
from sandbox_guard.client.errors import InterfaceError

SEEDS = 1000
HALF = {"gaussian": 1.959963984540054, "laplace": float(np.log(20))}
"""Half-width of the 95 % interval of noise of scale 1."""


def answer(values: list[float], *, kind: str = "gaussian", scale: float = 1.0, type_: str = "real") -> Answer:
    half = HALF[kind] * scale
    key = Column("k", "string", True, [chr(ord("a") + i) for i in range(len(values))])
    number = Column(
        "x", type_, False, values, [v - half for v in values], [v + half for v in values], None, kind
    )
    return Answer(
        columns=(key, number),
        rows=len(values),
        sql="",
        cost=Cost(0, 0, 0, 0, 0, 0),
        remaining=Remaining(0, 0),
        more_like_this=None,
        notes=(),
        receipt={},
        free=False,
        simulated=False,
        guarantee=None,
    )


def drawn(kind: str, random: np.random.Generator, size: Any) -> Any:
    return random.normal(size=size) if kind == "gaussian" else random.laplace(size=size)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_compare_is_right_as_often_as_it_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truths spread evenly over a range far wider than the noise; what was said against what was true."""
    monkeypatch.setattr(noise, "SIMULATIONS", 4000)
    random = np.random.default_rng(1)
    said, right = [], []
    for _ in range(SEEDS):
        gap = random.uniform(-8, 8)
        released = np.array([gap, 0]) + drawn(kind, random, 2)
        comparison = noise.compare(answer(list(released), kind=kind), "a", "b")
        said.append(max(comparison.probability, 1 - comparison.probability))
        right.append((comparison.probability > 0.5) == (gap > 0))
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0001)):
        within = [i for i, p in enumerate(said) if low <= p < high]
        assert len(within) > 50
        expected = np.mean([said[i] for i in within])
        error = 4 * np.sqrt(expected * (1 - expected) / len(within)) + 0.01
        assert abs(np.mean([right[i] for i in within]) - expected) < error


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_equal_figures_are_rarely_told_apart(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "SIMULATIONS", 4000)
    random = np.random.default_rng(2)
    told = sum(
        noise.compare(answer(list(drawn(kind, random, 2)), kind=kind), "a", "b").verdict != "cannot tell"
        for _ in range(SEEDS)
    )
    assert told / SEEDS < 0.13, "5 % on either side, and the error of 1,000 tries"


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_draws_hold_the_truth_in_95_of_100(kind: str) -> None:
    random = np.random.default_rng(3)
    held = 0
    for seed in range(SEEDS):
        truth = random.uniform(-100, 100)
        table = noise.draws(answer([truth + drawn(kind, random, None)], kind=kind), 400, seed)
        low, high = np.quantile(table["x"], [0.025, 0.975])
        held += low <= truth <= high
    assert 0.93 <= held / SEEDS <= 0.97


def test_draws_spread_as_the_interval_says() -> None:
    table = noise.draws(answer([10.0, 20.0], scale=2.0), 20_000, 0)
    by_key = table.groupby("k")["x"]
    assert by_key.mean().tolist() == pytest.approx([10, 20], abs=0.1)
    assert by_key.std().tolist() == pytest.approx([2, 2], rel=0.03)
    assert table["draw"].nunique() == 20_000


def test_draws_repeat_with_the_seed_and_keep_types() -> None:
    counts = answer([10, 20], type_="integer")
    pd.testing.assert_frame_equal(noise.draws(counts, 5, 7), noise.draws(counts, 5, 7))
    table = noise.draws(counts, 5, 7)
    assert list(table.columns) == ["draw", "k", "x"]
    assert table["x"].dtype == "int64"
    assert len(noise.draws(counts, 0, 7)) == 0


def test_a_skewed_interval_keeps_its_halves() -> None:
    skewed = answer([10.0])
    column = skewed.columns[1]
    wide = Column("x", "real", False, [10.0], [9.0], [14.0], None, column.noise)
    import dataclasses

    table = noise.draws(dataclasses.replace(skewed, columns=(skewed.columns[0], wide)), 50_000, 1)
    assert np.quantile(table["x"], [0.025, 0.975]).tolist() == pytest.approx([9, 14], abs=0.1)


def test_verdicts_in_words() -> None:
    clear = noise.compare(answer([10.0, 0.0]), "a", "b")
    assert clear.verdict == "higher"
    assert str(clear) == "a 高于 b（99 / 100 的把握）"
    assert noise.compare(answer([10.0, 0.0]), "b", "a").verdict == "lower"
    words.language("en")
    assert str(clear) == "a is higher than b (99 of 100)"
    assert "cannot tell" in str(noise.compare(answer([0.5, 0.0]), "a", "b"))
    assert "noise alone" in clear._repr_html_()


def test_rows_are_named_by_key_mapping_or_number() -> None:
    table = answer([10.0, 0.0, 5.0])
    for a, b in (("a", "b"), (0, 1), ({"k": "a"}, {"k": "b"}), (0, -2), (("a",), ("b",))):
        assert noise.compare(table, a, b).a == "a"
    for bad in ("z", 7, {"nope": 1}, {}):
        with pytest.raises(InterfaceError):
            noise.compare(table, bad, "a")
    with pytest.raises(InterfaceError, match="x"):
        noise.compare(table, "a", "b", "nope")
