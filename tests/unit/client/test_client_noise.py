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


@pytest.fixture(params=[1_000, pytest.param(noise.SIMULATIONS, marks=pytest.mark.long)])
def simulations(request: pytest.FixtureRequest) -> int:
    """Of one comparison: the product's own in the long run, fewer in the short one."""
    return int(request.param)


HALF = {"gaussian": 1.959963984540054, "laplace": float(np.log(20))}
"""Half-width of the 95 % interval of noise of scale 1."""


def _name(i: int) -> str:
    return chr(ord("a") + i) if i < 26 else f"a{i}"


def answer(values: list[float], *, kind: str = "gaussian", scale: float = 1.0, type_: str = "real") -> Answer:
    half = HALF[kind] * scale
    key = Column("k", "string", True, [_name(i) for i in range(len(values))])
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
def test_compare_is_right_as_often_as_it_says(
    kind: str, simulations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Truths spread evenly over a range far wider than the noise; what was said against what was true."""
    monkeypatch.setattr(noise, "SIMULATIONS", simulations)
    random = np.random.default_rng(1)
    gaps = random.uniform(-8, 8, SEEDS)
    pairs = np.stack([gaps, np.zeros(SEEDS)], axis=1) + drawn(kind, random, (SEEDS, 2))
    above = np.array(
        [noise.compare(answer(list(pair), kind=kind), "a", "b").probability for pair in pairs.tolist()]
    )
    said, right = np.maximum(above, 1 - above), (above > 0.5) == (gaps > 0)
    for low, high in ((0.5, 0.8), (0.8, 0.95), (0.95, 1.0001)):
        within = (low <= said) & (said < high)
        assert within.sum() > 50
        expected = said[within].mean()
        error = 4 * np.sqrt(expected * (1 - expected) / within.sum()) + 0.01
        assert abs(right[within].mean() - expected) < error


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_equal_figures_are_rarely_told_apart(
    kind: str, simulations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "SIMULATIONS", simulations)
    pairs = drawn(kind, np.random.default_rng(2), (SEEDS, 2))
    told = sum(
        noise.compare(answer(list(pair), kind=kind), "a", "b").verdict != "cannot tell"
        for pair in pairs.tolist()
    )
    assert told / SEEDS < 0.13, "5 % on either side, and the error of 1,000 tries"


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_draws_hold_the_truth_in_95_of_100(kind: str) -> None:
    """A thousand truths in one table, each with noise of its own."""
    random = np.random.default_rng(3)
    truths = random.uniform(-100, 100, SEEDS)
    released = answer((truths + drawn(kind, random, SEEDS)).tolist(), kind=kind)
    tables = noise.draws(released, 400, 3)["x"].to_numpy().reshape(400, SEEDS)
    low, high = np.quantile(tables, [0.025, 0.975], axis=0)
    assert 0.93 <= np.mean((low <= truths) & (truths <= high)) <= 0.97


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_draws_hold_the_truth_for_each_of_a_thousand_seeds(kind: str) -> None:
    random = np.random.default_rng(4)
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
