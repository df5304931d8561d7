"""The smaller parts of generated queries: values, conditions and aggregates over the columns of a source."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """What stands in FROM, with the columns that it offers."""

    text: str
    columns: dict[str, str]
    """Qualified name to type: unit, integer, real, text, boolean, date."""
    unit: str | None = None
    """Its column that names the unit. (A table that reaches its unit through another has none.)"""
    keys: tuple[str, ...] | None = None
    """`public LEFT JOIN private`: only these may be keys."""
    where: tuple[str, ...] = ()
    """Ties of a comma join."""
    ctes: tuple[str, ...] = ()

    def of(self, *types: str) -> list[str]:
        return [c for c, t in self.columns.items() if t in types]


LOANS = {
    "firm_id": "unit",
    "loan_id": "integer",
    "district": "text",
    "industry": "text",
    "year": "integer",
    "amount": "real",
    "rate": "real",
    "overdue_days": "integer",
    "defaulted": "boolean",
    "sector": "text",
    "balance": "real",
    "note": "text",
}
FIRMS = {
    "firm_id": "unit",
    "district": "text",
    "employees": "integer",
    "founded": "date",
    "esg_score": "real",
}
PAYMENTS = {"month": "integer", "paid": "real", "day": "date"}
DISTRICTS = {"district": "text", "region": "text"}

ONE_NUMBER = ["sum", "avg", "min", "max", "var_pop", "var_samp", "stddev_pop", "stddev_samp", "median"]
TWO_NUMBERS = ["covar_pop", "covar_samp", "corr", "regr_slope", "regr_intercept", "regr_r2"]


@dataclass
class Parts:
    random: random.Random
    names: Any = field(default_factory=lambda: count(1))

    def pick(self, *options: T) -> T:
        return self.random.choice(options)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def alias(self) -> str:
        return f"t{next(self.names)}"

    def numbers(self, source: Source) -> list[str]:
        return source.of("integer", "real") or ["1"]

    # --------------------------------------------------------------------------- conditions

    def filter(self, source: Source, percent: int = 45) -> str:
        parts = list(source.where)
        while self.chance(percent) and len(parts) < len(source.where) + 2:
            parts.append(self.condition(source, 1))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def condition(self, source: Source, depth: int) -> str:
        if depth > 0 and source.unit and self.chance(35):
            return self.subquery(source)
        if self.chance(6):
            return self.connected(source)
        c = self.pick(*source.columns)
        match source.columns[c]:
            case "unit":
                return self.pick(
                    f"{c} <> 42", f"{c} % 2 = 0", f"{c} < 100", f"{c} IN (1, 2, 42)", f"{c} = 42"
                )
            case "text":
                return self.pick(
                    f"{c} = 'Alder'",
                    f"{c} <> 'Harbour'",
                    f"{c} IN ('Alder', 'Harbour', 'Lakeside', '农业')",
                    f"{c} LIKE '%a%'",
                    f"{c} ILIKE 'A%'",
                    f"starts_with({c}, 'A')",
                    f"ends_with({c}, 'r')",
                    f"contains({c}, 'a')",
                    f"{c} IS NULL",
                    f"{c} IS NOT NULL",
                    f"length({c}) > 5",
                    f"coalesce({c}, 'Alder') = 'Alder'",
                    f"{c} IS DISTINCT FROM 'Alder'",
                )
            case "boolean":
                return self.pick(
                    c,
                    f"NOT {c}",
                    f"{c} IS TRUE",
                    f"{c} IS NOT TRUE",
                    f"{c} IS FALSE",
                    f"{c} IS NOT FALSE",
                    f"{c} IS NULL",
                )
            case "date":
                return self.pick(
                    f"{c} > DATE '1999-01-01'",
                    f"year({c}) = 1999",
                    f"{c} IS NOT NULL",
                    f"{c} BETWEEN DATE '1970-01-01' AND DATE '2020-06-30'",
                )
            case _:
                return self.pick(
                    f"{c} > 1",
                    f"{c} <= 100",
                    f"{c} = 2021",
                    f"{c} BETWEEN 1 AND 2021",
                    f"{c} IS NULL",
                    f"{c} IS NOT NULL",
                    f"{c} % 2 = 1",
                    f"{c} NOT IN (1, 2)",
                    f"(abs({c} - 10) < 50 OR {c} IS NULL)",
                    f"isfinite({c})",
                    f"{c} IS NOT DISTINCT FROM 0",
                )

    def connected(self, source: Source) -> str:
        a, b = self.condition(source, 0), self.condition(source, 0)
        return self.pick(f"(({a}) OR ({b}))", f"NOT ({a})", f"(({a}) AND NOT ({b}))")

    def subquery(self, source: Source) -> str:
        a = self.alias()
        table, columns = self.pick(("loans", LOANS), ("firms", FIRMS))
        inner = Source(f"{table} {a}", {f"{a}.{c}": t for c, t in columns.items()}, f"{a}.firm_id")
        tie = f"{a}.firm_id = {source.unit}"
        extra = f" AND {self.condition(inner, 0)}" if self.chance(50) else ""
        own = f"SELECT {a}.firm_id FROM {table} {a} WHERE {self.condition(inner, 0)}"
        number = self.pick(*self.numbers(inner))
        match self.pick(
            *("exists", "not exists", "in", "not in", "scalar", "released", "public", "grouped"),
            *("row", "any", "correlated public", "released filter", "listed", "none public"),
        ):
            case "exists":
                return f"EXISTS (SELECT 1 FROM {table} {a} WHERE {tie}{extra})"
            case "not exists":
                return f"NOT EXISTS (SELECT 1 FROM {table} {a} WHERE {tie}{extra})"
            case "in":
                return f"{source.unit} IN ({own})"
            case "not in":
                return f"{source.unit} NOT IN ({own})"
            case "any":
                return self.pick(f"{source.unit} = ANY ({own})", f"{source.unit} <> ALL ({own})")
            case "row":
                mine = source.of("text")
                if mine:
                    return f"({source.unit}, {self.pick(*mine)}) IN (SELECT {a}.firm_id, {a}.district FROM {table} {a})"
            case "scalar":
                call = self.pick("count(*)", f"sum({number})", f"max({number})", f"avg({number})")
                return (
                    f"(SELECT {call} FROM {table} {a} WHERE {tie}{extra}) {self.pick('> 1', '= 0', '<= 3')}"
                )
            case "released":
                function, column = (
                    self.pick("avg", "sum", "count", "median"),
                    self.pick("year", "overdue_days"),
                )
                return f"{self.pick(*self.numbers(source))} > (SELECT {function}({column}) FROM loans)"
            case "released filter":
                return (
                    f"{self.pick(*self.numbers(source))} {self.pick('<', '>=')} (SELECT avg(rate) FROM loans"
                    f" WHERE {self.pick('year = 2021', 'defaulted', 'sector IS NOT NULL')})"
                )
            case "public":
                texts = source.of("text")
                if texts:
                    return f"{self.pick(*texts)} IN (SELECT district FROM districts WHERE region = 'North')"
            case "none public":
                texts = source.of("text")
                if texts:
                    return (
                        f"{self.pick(*texts)} NOT IN (SELECT district FROM districts WHERE region <> 'North')"
                    )
            case "correlated public":
                texts = source.of("text")
                if texts:
                    return (
                        f"{self.pick('', 'NOT ')}EXISTS (SELECT 1 FROM districts {a}"
                        f" WHERE {a}.district = {self.pick(*texts)} AND {a}.region <> 'West')"
                    )
            case "listed":
                return (
                    f"{self.pick(*self.numbers(source))} IN (SELECT i FROM (VALUES (1), (2021), (30)) v(i))"
                )
        return (
            f"{source.unit} IN (SELECT {a}.firm_id FROM {table} {a} GROUP BY {a}.firm_id HAVING count(*) > 1)"
        )

    # --------------------------------------------------------------------------- expressions

    def value(self, source: Source, plain: bool = False) -> tuple[str, str]:
        c = self.pick(*source.columns)
        dates = source.of("date")
        if dates and self.chance(25):
            c = self.pick(*dates)
        kind = source.columns[c]
        if plain or self.chance(40):
            return c, "integer" if kind == "unit" else kind
        match kind:
            case "unit":
                return self.pick((f"{c} // 100", "integer"), (f"{c} % 3", "integer"))
            case "text":
                return self.of_text(c, self.pick(*source.of("text")))
            case "boolean":
                return self.pick(
                    (f"coalesce({c}, FALSE)", "boolean"),
                    (f"CAST({c} AS INTEGER)", "integer"),
                    (f"NOT {c}", "boolean"),
                    (f"CASE {c} WHEN TRUE THEN 1 WHEN FALSE THEN 0 END", "integer"),
                )
            case "date":
                return self.of_date(c)
        other = self.pick(*source.of("integer", "real"))
        if self.chance(15):
            condition = self.condition(source, 0)
            return self.pick(
                (f"CASE WHEN {condition} THEN {c} ELSE 7 END", kind), (f"IF({condition}, 1, {c})", kind)
            )
        return self.of_number(c, other, kind)

    def of_number(self, c: str, other: str, kind: str) -> tuple[str, str]:
        return self.pick(
            (f"{c} + 1", kind),
            (f"{c} - {other}", "real"),
            (f"-{c}", kind),
            (f"abs({c})", kind),
            (f"sign({c})", "integer"),
            (f"{c} / 7", "real"),
            (f"coalesce({c}, 0)", kind),
            (f"ifnull({c}, 3)", kind),
            (f"{c} * 2", kind),
            (f"{c} * {other}", "real"),
            (f"{c} // 1000", "integer") if kind == "integer" else (f"floor({c} / 1000)", "real"),
            (f"greatest({c}, {other})", "real"),
            (f"least({c}, 100)", kind),
            (f"{c} / nullif({other}, 0)", "real"),
            (f"{c} / {other}", "real"),
            (f"sqrt({c})", "real"),
            (f"ln({c})", "real"),
            (f"log10({c} + 1)", "real"),
            (f"log2({c})", "real"),
            (f"exp(least({c}, 3))", "real"),
            (f"least({c}, 9) ^ 2", "real"),
            (f"power(least({c}, 9), 0.5)", "real"),
            (f"round({c} * 0.5)", "real"),
            (f"round({c}, 1)", "real"),
            (f"floor({c} / 10)", "real"),
            (f"ceil({c} / 3)", "real"),
            (f"trunc({c} / 3)", "real"),
            (f"{c} % 10", kind),
            (f"clamp({c}, -3, 1000)", kind),
            (f"CAST({c} AS VARCHAR)", "text"),
            (f"TRY_CAST({c} AS INTEGER)", "integer"),
            (f"CAST({c} AS DOUBLE)", "real"),
        )

    def of_text(self, c: str, other: str) -> tuple[str, str]:
        return self.pick(
            (f"coalesce({c}, 'none')", "text"),
            (f"upper({c})", "text"),
            (f"lower({c})", "text"),
            (f"reverse({c})", "text"),
            (f"trim({c})", "text"),
            (f"ltrim({c}, 'A')", "text"),
            (f"rtrim({c})", "text"),
            (f"left({c}, 1)", "text"),
            (f"right({c}, 2)", "text"),
            (f"substring({c}, 2, 2)", "text"),
            (f"replace({c}, 'a', 'x')", "text"),
            (f"concat({c}, '/', {other})", "text"),
            (f"{c} || '-' || {other}", "text"),
            (f"nullif({c}, 'Alder')", "text"),
            (f"{c} = 'Alder'", "boolean"),
            (f"{c} = {other}", "boolean"),
            (f"length({c})", "integer"),
            (f"CAST({c} AS INTEGER)", "integer"),
        )

    def of_date(self, c: str) -> tuple[str, str]:
        return self.pick(
            *((f"{part}({c})", "integer") for part in ("year", "quarter", "month", "day", "week", "decade")),
            *((f"{part}({c})", "integer") for part in ("dayofweek", "dayofyear", "isodow", "century")),
            (f"extract(year FROM {c})", "integer"),
            (f"date_trunc('year', {c})", "date"),
            (f"date_trunc('month', {c})", "date"),
            (f"last_day({c})", "date"),
            (f"{c} + INTERVAL 1 MONTH", "date"),
            (f"{c} + 3", "date"),
            (f"monthname({c})", "text"),
            (f"dayname({c})", "text"),
            (f"strftime({c}, '%Y-%m')", "text"),
            (f"date_diff('year', {c}, DATE '2026-01-01')", "integer"),
            (f"make_date(year({c}), 1, 1)", "date"),
            (f"DATE '2026-01-01' - {c}", "integer"),
        )

    def key(self, source: Source) -> str:
        if source.keys is not None:
            return str(self.pick(*source.keys))
        if self.chance(20):
            a, b = self.condition(source, 0), self.condition(source, 0)
            return f"CASE WHEN {a} THEN 'a' WHEN {b} THEN 'b' ELSE 'c' END"
        if self.chance(12):
            return f"({self.condition(source, 0)})"
        while True:
            text, _ = self.value(source)
            if text != source.unit and source.columns.get(text) != "unit":
                return text

    # --------------------------------------------------------------------------- aggregates

    def number(self, source: Source) -> str:
        """A number; often clamped, since what nothing bounds is refused."""
        for _ in range(5):
            text, kind = self.value(source)
            if kind in ("integer", "real"):
                return (
                    f"clamp({text}, {self.pick('-3, 4', '0, 1000', '-1e6, 5e5')})"
                    if self.chance(25)
                    else text
                )
        return "1"

    def unit_aggregate(self, source: Source) -> tuple[str, str]:
        """Over the rows of one unit."""
        x, y = self.pick(*self.numbers(source)), self.pick(*self.numbers(source))
        kept = f" FILTER (WHERE {self.condition(source, 0)})" if self.chance(20) else ""
        kind = source.columns.get(x, "integer")
        once = self.pick("", "", "", "DISTINCT ")
        match self.pick(
            *(
                "count",
                "distinct",
                "bool",
                "if",
                "quantile",
                "first",
                "arg",
                "two",
                "two",
                "one",
                "one",
                "one",
            )
        ):
            case "count":
                return self.pick(f"count(*){kept}", f"count({x}){kept}"), "integer"
            case "distinct":
                return f"count(DISTINCT {self.pick(*source.columns)}){kept}", "integer"
            case "bool":
                return f"{self.pick('bool_or', 'bool_and')}({self.condition(source, 0)}){kept}", "boolean"
            case "if":
                return f"count_if({self.condition(source, 0)}){kept}", "integer"
            case "quantile":
                return (
                    f"{self.pick('quantile_disc', 'quantile_cont')}({x}, {self.pick('0.25', '0.9')}){kept}",
                    "real",
                )
            case "first":
                return f"{self.pick('first', 'last')}({x} ORDER BY {y}{self.pick('', ' DESC')}){kept}", kind
            case "arg":
                return f"{self.pick('arg_max', 'arg_min')}({x}, {y}){kept}", kind
            case "two":
                return f"{self.pick(*TWO_NUMBERS)}({x}, {y}){kept}", "real"
        function = self.pick(*ONE_NUMBER)
        if function not in ("sum", "min", "max", "avg"):
            once = ""
        return f"{function}({once}{x}){kept}", kind if function in ("sum", "min", "max") else "real"

    def aggregate(self, source: Source) -> str:
        """Over private rows: to be measured with noise."""
        kept = f" FILTER (WHERE {self.condition(source, 0)})" if self.chance(20) else ""
        column = self.pick(*source.columns)
        x = self.number(source)
        match self.pick(
            *("count", "counted", "distinct", "units", "sum", "sum", "sum", "avg", "if", "bool", "tuple"),
            *("moment", "two", "quantile", "list", "extreme", "once", "of one"),
        ):
            case "count":
                return f"count(*){kept}"
            case "counted":
                return f"count({column}){kept}"
            case "distinct":
                return f"count(DISTINCT {column}){kept}"
            case "tuple":
                return f"count(DISTINCT ({column}, {self.pick(*source.columns)})){kept}"
            case "units":
                return f"count(DISTINCT {source.unit or column}){kept}"
            case "if":
                return f"count_if({self.condition(source, 0)}){kept}"
            case "bool":
                return f"{self.pick('bool_or', 'bool_and')}({self.condition(source, 0)}){kept}"
            case "moment":
                return f"{self.pick('var_pop', 'var_samp', 'stddev_pop', 'stddev_samp')}({x}){kept}"
            case "two":
                return f"{self.pick(*TWO_NUMBERS)}({x}, {self.number(source)}){kept}"
            case "quantile":
                return f"{self.pick('quantile_cont', 'quantile_disc')}({x}, {self.pick('0.1', '0.5', '0.95')}){kept}"
            case "list":
                return f"{self.pick('quantile_cont', 'quantile_disc')}({x}, [0.25, 0.75]){kept}"
            case "extreme":
                return f"{self.pick('min', 'max', 'median')}({x}){kept}"
            case "once":
                return f"{self.pick('sum', 'avg')}(DISTINCT {x}){kept}"
            case "of one":
                return f"sum(CASE WHEN {self.condition(source, 0)} THEN {x} ELSE 0 END){kept}"
            case function:
                return f"{function}({x}){kept}"
