"""What the vault sends back, as frozen values. Unknown fields are left alone, so that a newer vault still works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import pandas as pd

Texts = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class Cost:
    """Percent of the budget, and the same as (epsilon, delta)."""

    rho: float
    delta: float
    percent_member: float
    percent_project: float
    epsilon: float
    epsilon_delta: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(**{name: float(body.get(name) or 0) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Remaining:
    """Percent of the budget still there, after this question."""

    percent_member: float
    percent_project: float

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return cls(float(body["percent_member"]), float(body["percent_project"]))


@dataclass(frozen=True)
class Column:
    """One column of an answer. `low` and `high` are None where there is no noise."""

    name: str
    type: str
    key: bool
    values: Sequence[Any]
    low: Sequence[Any] | None = None
    high: Sequence[Any] | None = None
    reliability: Sequence[str | None] | None = None
    noise: str = "gaussian"
    scale: float | None = None
    """Of the noise, where the number is a measure or a weighted sum of some: the deviation of a Gaussian, the mean
    distance of a Laplace."""

    @property
    def noisy(self) -> bool:
        return self.low is not None and self.high is not None

    def series(self) -> pd.Series[Any]:
        return _series(self.values, self.type)

    def bound(self, values: Sequence[Any]) -> pd.Series[Any]:
        """`low` or `high` as numbers: whole ones where the values are and no bound is fractional."""
        bounds = pd.Series(pd.to_numeric(pd.Series(values, dtype="object")), dtype="float64")
        if self.type != "integer" or not (bounds.isna() | (bounds % 1 == 0)).all():
            return bounds
        return bounds.astype("Int64" if bounds.isna().any() else "int64")


@dataclass(frozen=True)
class Answer:
    """A release: the table, its 95 % intervals, what it cost, what was cut, and its receipt."""

    columns: tuple[Column, ...]
    rows: int
    sql: str
    cost: Cost
    remaining: Remaining
    more_like_this: int | None
    notes: Texts
    receipt: Mapping[str, Any]
    free: bool
    simulated: bool
    guarantee: Mapping[str, str] | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        low, high, rows = body.get("low", {}), body.get("high", {}), body["rows"]
        return cls(
            columns=tuple(
                Column(
                    name=column["name"],
                    type=column["type"],
                    key=column.get("role") == "key",
                    values=rows[str(i)],
                    low=low.get(str(i)),
                    high=high.get(str(i)),
                    reliability=column.get("reliability"),
                    noise=column.get("noise") or "gaussian",
                    scale=column.get("scale"),
                )
                for i, column in enumerate(body["columns"])
            ),
            rows=body["shape"][0],
            sql=body.get("sql", ""),
            cost=Cost.read(body["cost"]),
            remaining=Remaining.read(body["remaining"]),
            more_like_this=body.get("more_like_this"),
            notes=tuple(body.get("notes", ())),
            receipt=body["receipt"],
            free=bool(body.get("free")),
            simulated=body.get("interval") == "simulated",
            guarantee=body.get("guarantee"),
        )

    def frame(self) -> pd.DataFrame:
        """The released values; two columns may share a name."""
        frame = pd.DataFrame(dict(enumerate(column.series() for column in self.columns)))
        frame.columns = pd.Index([column.name for column in self.columns])
        return frame

    def with_intervals(self) -> pd.DataFrame:
        """x, x_low, x_high as real columns, under names that are unique."""
        named: dict[str, pd.Series[Any]] = {}
        for column in self.columns:
            name = _fresh(column.name, named)
            named[name] = column.series()
            if column.low is not None and column.high is not None:
                named[_fresh(f"{name}_low", named)] = column.bound(column.low)
                named[_fresh(f"{name}_high", named)] = column.bound(column.high)
        return pd.DataFrame(named)

    def provenance(self) -> dict[str, Any]:
        """What a file of this answer carries with it: receipt, version, cost, and what was cut."""
        return {
            "receipt": dict(self.receipt),
            "cost": asdict(self.cost),
            "sql": self.sql,
            "notes": [dict(note) for note in self.notes],
            "guarantee": dict(self.guarantee or {}),
            "interval": "95 %" + (", simulated" if self.simulated else ""),
        }


def _series(values: Sequence[Any], type_: str) -> pd.Series[Any]:
    missing = any(value is None for value in values)
    match type_:
        case "integer":
            return pd.Series(values, dtype="Int64" if missing else "int64")
        case "real":
            return pd.Series([float("nan") if v is None else v for v in values], dtype="float64")
        case "boolean":
            return pd.Series(values, dtype="boolean" if missing else "bool")
        case "date":
            return pd.Series(pd.to_datetime(pd.Series(values, dtype="object"))).astype("datetime64[us]")
        case "string":
            return pd.Series(values, dtype="str")
    return pd.Series(values)


def _fresh(name: str, taken: Mapping[str, Any]) -> str:
    fresh, n = name, 2
    while fresh in taken:
        fresh, n = f"{name}_{n}", n + 1
    return fresh
