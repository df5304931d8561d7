from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from sandbox_guard.client import parameters
from sandbox_guard.client.errors import InterfaceError


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("WHERE a = :a AND b = :b_2 OR a = :a", ["a", "b_2"]),
        ("WHERE a = ':a' AND ':b' <> 'it''s :c'", []),
        ('SELECT ":a" FROM t', []),
        ("SELECT 1 -- :a\n, :b", ["b"]),
        ("SELECT 1 /* :a \n :c */ , :b", ["b"]),
        ("SELECT $$ :a $$, $x$ :b $x$, :c", ["c"]),
        ("SELECT a::INTEGER, :b::DATE", ["b"]),
        ("SELECT a[1:n], (a):b", []),
        ("SELECT $a, {a}, {{a}}", []),
        ("WHERE d IN (:a,:b)", ["a", "b"]),
    ],
)
def test_names(sql: str, names: list[str]) -> None:
    assert parameters.names(sql) == names


def test_the_sample_gets_duckdbs_own_form() -> None:
    assert parameters.for_duckdb("a = :a AND b = ':b'") == "a = $a AND b = ':b'"


def test_values_become_json() -> None:
    given = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "b": np.bool_(True),
        "d": dt.date(2022, 6, 1),
        "t": pd.Timestamp("2022-06-01"),
        "m": Decimal("12.5"),
        "w": Decimal(12),
        "s": "'; DROP TABLE ent; --",
        "none": None,
        "nan": float("nan"),
    }
    assert parameters.values(given) == {
        "n": 3,
        "x": 0.5,
        "b": True,
        "d": "2022-06-01",
        "t": "2022-06-01",
        "m": 12.5,
        "w": 12,
        "s": "'; DROP TABLE ent; --",
        "none": None,
        "nan": None,
    }


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), float("inf")])
def test_what_cannot_be_sent_is_named(value: object) -> None:
    with pytest.raises(InterfaceError, match="'x'"):
        parameters.values({"x": value})
