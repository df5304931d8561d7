"""A grammar of queries over the corpus's schema that the planner may accept: Hypothesis strategies for SQL text.

A *source* is what stands in FROM, with the columns that it offers. Private sources offer the unit as
`firm_id` of some alias. The grammar aims at what is hard to bound: fan-out, ties, outer joins, NULLs, keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, TypeVar

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    text: str
    columns: dict[str, str]
    """Qualified name to type: unit, integer, real, text, boolean, date."""
    unit: str | None = None
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
}
FIRMS = {
    "firm_id": "unit",
    "district": "text",
    "employees": "integer",
    "founded": "date",
    "esg_score": "real",
}
DISTRICTS = {"district": "text", "region": "text"}


@dataclass
class Writer:
    draw: Draw
    names: Any = field(default_factory=lambda: count(1))

    def pick(self, *options: T) -> T:
        picked: T = self.draw(st.sampled_from(options))
        return picked

    def chance(self, percent: int) -> bool:
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    def alias(self) -> str:
        return f"t{next(self.names)}"

    # ---------------------------------------------------------------------------- sources

    def table(self, name: str, columns: dict[str, str]) -> Source:
        a = self.alias()
        return Source(f"{name} {a}", {f"{a}.{c}": t for c, t in columns.items()}, f"{a}.firm_id")

    def public(self) -> Source:
        a = self.alias()
        match self.pick("districts", "districts", "districts", "range", "values", "released"):
            case "range":
                return Source(f"range({self.pick(1, 3)}) {a}(i)", {f"{a}.i": "integer"})
            case "values":
                text = f"(VALUES ('Alder', 1), ('Harbour', 2), (NULL, 3)) {a}(district, i)"
                return Source(text, {f"{a}.district": "text", f"{a}.i": "integer"})
            case "released":
                text = f"(SELECT district, count(*) AS i FROM loans GROUP BY district) {a}"
                return Source(text, {f"{a}.district": "text", f"{a}.i": "integer"})
        extra = self.pick("", "", f" WHERE region {self.pick('=', '<>')} 'North'")
        return Source(f"(SELECT * FROM districts{extra}) {a}", {f"{a}.{c}": t for c, t in DISTRICTS.items()})

    def private(self, depth: int) -> Source:
        simple = depth <= 0 or self.chance(35)
        if simple:
            return self.table(*self.pick(("loans", LOANS), ("loans", LOANS), ("firms", FIRMS)))
        return self.pick(
            self.joined,
            self.joined,
            self.joined,
            self.derived,
            self.derived,
            self.grouped,
            self.grouped,
            self.windowed,
            self.set_operation,
            self.with_public,
            self.with_public,
            self.named_twice,
        )(depth - 1)

    def joined(self, depth: int) -> Source:
        left, right = self.private(depth), self.private(min(depth, 0))
        tie = f"{left.unit} = {right.unit}" if self.chance(70) else f"{right.unit} = {left.unit}"
        for _ in range(self.pick(0, 0, 1, 1, 2)):
            tie += " AND " + self.link(left, right)
        both = left.columns | right.columns
        where, ctes = left.where + right.where, left.ctes + right.ctes
        match self.pick(
            "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN", ","
        ):
            case ",":
                return Source(f"{left.text}, {right.text}", both, left.unit, None, where + (tie,), ctes)
            case ("SEMI JOIN" | "ANTI JOIN") as kind:
                return replace(left, text=f"{left.text} {kind} {right.text} ON {tie}", where=where, ctes=ctes)
            case "RIGHT JOIN":
                return Source(
                    f"{left.text} RIGHT JOIN {right.text} ON {tie}", both, right.unit, None, where, ctes
                )
            case "FULL JOIN":
                columns = {c: t for c, t in both.items() if t != "unit"} | {"firm_id": "unit"}
                text = f"{left.text} FULL JOIN {right.text} USING (firm_id)"
                return Source(text, columns, "firm_id", None, where, ctes)
            case kind:
                return Source(f"{left.text} {kind} {right.text} ON {tie}", both, left.unit, None, where, ctes)

    def link(self, left: Source, right: Source) -> str:
        pairs = [
            (a, b)
            for a, t in left.columns.items()
            for b, s in right.columns.items()
            if t == s and t != "unit"
        ]
        if not pairs or self.chance(30):
            return self.condition(replace(left, columns=left.columns | right.columns), 0)
        a, b = self.pick(*pairs)
        return f"{a} {self.pick('=', '=', '=', '<', 'IS NOT DISTINCT FROM')} {b}"

    def with_public(self, depth: int) -> Source:
        left, right = self.private(depth), self.public()
        on = self.link(left, right)
        both = left.columns | right.columns
        keep = replace(left, columns=both)
        match self.pick(
            "JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN", "SEMI JOIN", "ANTI JOIN", ",", "supplied", "supplied"
        ):
            case "CROSS JOIN":
                return replace(keep, text=f"{left.text} CROSS JOIN {right.text}")
            case ",":
                return replace(keep, text=f"{left.text}, {right.text}", where=left.where + (on,))
            case ("SEMI JOIN" | "ANTI JOIN") as kind:
                return replace(left, text=f"{left.text} {kind} {right.text} ON {on}")
            case "supplied":
                keys = tuple(right.columns)
                return replace(keep, text=f"{right.text} LEFT JOIN {left.text} ON {on}", keys=keys)
            case kind:
                return replace(keep, text=f"{left.text} {kind} {right.text} ON {on}")

    def derived(self, depth: int) -> Source:
        """A projection, perhaps DISTINCT."""
        inside = self.private(depth)
        a = self.alias()
        picked = [self.value(inside) for _ in range(self.pick(1, 2, 3))]
        items = ", ".join(f"{e} AS x{i}" for i, (e, _) in enumerate(picked))
        distinct = self.pick("", "", "DISTINCT ")
        text = f"(SELECT {distinct}{inside.unit} AS firm_id, {items} FROM {inside.text}{self.filter(inside)}) {a}"
        columns = {f"{a}.firm_id": "unit"} | {f"{a}.x{i}": t for i, (_, t) in enumerate(picked)}
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def as_cte(self, source: Source, alias: str) -> Source:
        if not self.chance(25):
            return source
        body = source.text[: -len(alias) - 1]
        return replace(source, text=f"w{alias} {alias}", ctes=source.ctes + (f"w{alias} AS {body}",))

    def grouped(self, depth: int) -> Source:
        """One row a unit, or a unit and key."""
        inside = self.private(depth)
        a = self.alias()
        key = self.value(inside, plain=True) if self.chance(40) else None
        picked = [self.unit_aggregate(inside) for _ in range(self.pick(1, 2))]
        items = ", ".join(f"{e} AS x{i}" for i, (e, _) in enumerate(picked))
        head = f"{inside.unit} AS firm_id" + (f", {key[0]} AS g" if key else "")
        by = f"{inside.unit}" + (f", {key[0]}" if key else "")
        having = f" HAVING count(*) > {self.pick(0, 1, 2)}" if self.chance(20) else ""
        text = f"(SELECT {head}, {items} FROM {inside.text}{self.filter(inside)} GROUP BY {by}{having}) {a}"
        columns = {f"{a}.firm_id": "unit"} | {f"{a}.x{i}": t for i, (_, t) in enumerate(picked)}
        if key:
            columns[f"{a}.g"] = key[1]
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def unit_aggregate(self, source: Source) -> tuple[str, str]:
        numbers = source.of("integer", "real") or ["1"]
        x, y = self.pick(*numbers), self.pick(*numbers)
        kept = f" FILTER (WHERE {self.condition(source, 0)})" if self.chance(20) else ""
        kind = source.columns.get(x, "integer")
        match self.pick(
            "count", "distinct", "sum", "avg", "min", "max", "bool", "stddev", "median", "first", "arg"
        ):
            case "count":
                return f"count(*){kept}", "integer"
            case "distinct":
                return f"count(DISTINCT {self.pick(*source.columns)}){kept}", "integer"
            case "bool":
                return f"bool_or({self.condition(source, 0)})", "boolean"
            case "stddev":
                return f"{self.pick('stddev', 'var_pop')}({x})", "real"
            case "median":
                return f"{self.pick(f'median({x})', f'quantile_disc({x}, 0.25)')}", "real"
            case "first":
                return f"{self.pick('first', 'last')}({x} ORDER BY {y})", kind
            case "arg":
                return f"{self.pick('arg_max', 'arg_min')}({x}, {y})", kind
            case "sum":
                return f"sum({x}){kept}", kind
            case "avg":
                return f"avg({x}){kept}", "real"
            case function:
                return f"{function}({x}){kept}", kind

    def windowed(self, depth: int) -> Source:
        inside = self.table("loans", LOANS) if self.chance(50) else self.private(depth)
        a = self.alias()
        numbers = inside.of("integer", "real") or ["1"]
        x, y = self.pick(*numbers), self.pick(*numbers)
        part = f"PARTITION BY {inside.unit}" + (f", {self.pick(*inside.columns)}" if self.chance(30) else "")
        order = self.pick("", f" ORDER BY {y}", f" ORDER BY {y}", f" ORDER BY {y} DESC NULLS FIRST")
        frame = self.pick("", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW")
        call, kind = self.pick(
            ("row_number()", "integer"),
            ("row_number()", "integer"),
            ("rank()", "integer"),
            ("dense_rank()", "integer"),
            ("count(*)", "integer"),
            (f"sum({x})", "real"),
            (f"avg({x})", "real"),
            (f"max({x})", "real"),
            (f"lag({x})", "real"),
            (f"lead({x}, 1, 0)", "real"),
            (f"first_value({x})", "real"),
            ("ntile(2)", "integer"),
            ("percent_rank()", "real"),
        )
        window = f"{call} OVER ({part}{order}{frame})"
        qualify = f" QUALIFY {window} <= {self.pick(1, 2)}" if self.chance(25) else ""
        text = (
            f"(SELECT {inside.unit} AS firm_id, {x} AS x0, {window} AS x1"
            f" FROM {inside.text}{self.filter(inside)}{qualify}) {a}"
        )
        columns = {f"{a}.firm_id": "unit", f"{a}.x0": inside.columns.get(x, "integer"), f"{a}.x1": kind}
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def set_operation(self, depth: int) -> Source:
        left, right = self.private(depth), self.private(min(depth, 0))
        a = self.alias()
        op = self.pick("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL")
        types = [t for t in ("integer", "real", "text") if left.of(t) and right.of(t)]
        shared = [self.pick(*types)] if types else []

        def side(s: Source) -> str:
            items = "".join(f", {self.pick(*s.of(t))} AS x{i}" for i, t in enumerate(shared))
            return f"SELECT {s.unit} AS firm_id{items} FROM {s.text}{self.filter(s)}"

        text = f"({side(left)} {op} {side(right)}) {a}"
        columns = {f"{a}.firm_id": "unit"} | {f"{a}.x{i}": t for i, t in enumerate(shared)}
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=left.ctes + right.ctes), a)

    def named_twice(self, depth: int) -> Source:
        """One CTE, joined to itself or added to itself."""
        inside = self.private(depth)
        e, kind = self.value(inside)
        a, b, w = self.alias(), self.alias(), self.alias()
        cte = f"w{w} AS (SELECT {inside.unit} AS firm_id, {e} AS x0 FROM {inside.text}{self.filter(inside)})"
        columns = {f"{a}.firm_id": "unit", f"{a}.x0": kind}
        if self.chance(50):
            text = f"w{w} {a} JOIN w{w} {b} ON {a}.firm_id = {b}.firm_id"
            return Source(text, columns | {f"{b}.x0": kind}, f"{a}.firm_id", ctes=inside.ctes + (cte,))
        text = f"(SELECT * FROM w{w} UNION ALL SELECT * FROM w{w}) {a}"
        return Source(text, columns, f"{a}.firm_id", ctes=inside.ctes + (cte,))

    # --------------------------------------------------------------------------- conditions

    def filter(self, source: Source, percent: int = 45) -> str:
        parts = list(source.where)
        while self.chance(percent) and len(parts) < len(source.where) + 2:
            parts.append(self.condition(source, 1))
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def condition(self, source: Source, depth: int) -> str:
        if depth > 0 and source.unit and self.chance(30):
            return self.subquery(source)
        column = self.pick(*source.columns)
        match source.columns[column]:
            case "unit":
                return self.pick(
                    f"{column} <> 42", f"{column} % 2 = 0", f"{column} < 100", f"{column} IN (1, 2, 42)"
                )
            case "text":
                return self.pick(
                    f"{column} = 'Alder'",
                    f"{column} <> 'Harbour'",
                    f"{column} IN ('Alder', 'Harbour', 'Lakeside')",
                    f"{column} LIKE '%a%'",
                    f"{column} IS NULL",
                    f"{column} IS NOT NULL",
                    f"length({column}) > 5",
                    f"coalesce({column}, 'Alder') = 'Alder'",
                )
            case "boolean":
                return self.pick(column, f"NOT {column}", f"{column} IS NOT TRUE", f"{column} IS NULL")
            case "date":
                return self.pick(
                    f"{column} > DATE '1999-01-01'", f"year({column}) = 1999", f"{column} IS NOT NULL"
                )
            case _:
                return self.pick(
                    f"{column} > 1",
                    f"{column} <= 100",
                    f"{column} = 2021",
                    f"{column} BETWEEN 1 AND 2021",
                    f"{column} IS NULL",
                    f"{column} IS NOT NULL",
                    f"{column} % 2 = 1",
                    f"{column} NOT IN (1, 2)",
                    f"abs({column} - 10) < 50 OR {column} IS NULL",
                )

    def subquery(self, source: Source) -> str:
        a = self.alias()
        table, columns = self.pick(("loans", LOANS), ("firms", FIRMS))
        inner = Source(f"{table} {a}", {f"{a}.{c}": t for c, t in columns.items()}, f"{a}.firm_id")
        tie = f"{a}.firm_id = {source.unit}"
        extra = f" AND {self.condition(inner, 0)}" if self.chance(50) else ""
        match self.pick("exists", "not exists", "in", "not in", "scalar", "released", "public", "grouped"):
            case "exists":
                return f"EXISTS (SELECT 1 FROM {table} {a} WHERE {tie}{extra})"
            case "not exists":
                return f"NOT EXISTS (SELECT 1 FROM {table} {a} WHERE {tie}{extra})"
            case "in":
                return (
                    f"{source.unit} IN (SELECT {a}.firm_id FROM {table} {a} WHERE {self.condition(inner, 0)})"
                )
            case "not in":
                return f"{source.unit} NOT IN (SELECT {a}.firm_id FROM {table} {a} WHERE {self.condition(inner, 0)})"
            case "scalar":
                return (
                    f"(SELECT count(*) FROM {table} {a} WHERE {tie}{extra}) {self.pick('> 1', '= 0', '<= 3')}"
                )
            case "released":
                numbers = source.of("integer", "real")
                if numbers:
                    function, column = self.pick("avg", "sum", "count"), self.pick("year", "overdue_days")
                    return f"{self.pick(*numbers)} > (SELECT {function}({column}) FROM loans)"
            case "public":
                texts = source.of("text")
                if texts:
                    return f"{self.pick(*texts)} IN (SELECT district FROM districts WHERE region = 'North')"
        return (
            f"{source.unit} IN (SELECT {a}.firm_id FROM {table} {a} GROUP BY {a}.firm_id HAVING count(*) > 1)"
        )

    # --------------------------------------------------------------------------- expressions

    def value(self, source: Source, plain: bool = False) -> tuple[str, str]:
        column = self.pick(*source.columns)
        kind = source.columns[column]
        if plain or self.chance(50):
            return column, "integer" if kind == "unit" else kind
        match kind:
            case "unit":
                return self.pick((f"{column} // 100", "integer"), (f"{column} % 3", "integer"))
            case "text":
                return self.pick(
                    (f"coalesce({column}, 'none')", "text"),
                    (f"upper({column})", "text"),
                    (f"{column} = 'Alder'", "boolean"),
                    (f"length({column})", "integer"),
                )
            case "boolean":
                return self.pick(
                    (f"coalesce({column}, FALSE)", "boolean"), (f"CAST({column} AS INTEGER)", "integer")
                )
            case "date":
                return self.pick(
                    (f"year({column})", "integer"),
                    (f"date_trunc('year', {column})", "date"),
                    (f"quarter({column})", "integer"),
                    (f"date_diff('year', {column}, DATE '2026-01-01')", "integer"),
                )
        other = self.pick(*source.of("integer", "real"))
        return self.pick(
            (f"{column} + 1", kind),
            (f"{column} - {other}", "real"),
            (f"abs({column})", kind),
            (f"{column} / 7", "real"),
            (f"coalesce({column}, 0)", kind),
            (f"{column} * 2", kind),
            (f"{column} // 1000", "integer"),
            (f"greatest({column}, {other})", "real"),
            (f"CASE WHEN {self.condition(source, 0)} THEN {column} ELSE 7 END", kind),
            (f"{column} / nullif({other}, 0)", "real"),
            (f"sqrt({column})", "real"),
            (f"round({column} * 0.5)", "real"),
            (f"{column} % 10", kind),
        )

    def key(self, source: Source) -> str:
        if source.keys is not None:
            return str(self.pick(*source.keys))
        if self.chance(25):
            return f"CASE WHEN {self.condition(source, 0)} THEN 'a' WHEN {self.condition(source, 0)} THEN 'b' ELSE 'c' END"
        if self.chance(15):
            return f"({self.condition(source, 0)})"
        while True:
            text, _ = self.value(source)
            if text != source.unit and source.columns.get(text) != "unit":
                return text

    def aggregate(self, source: Source) -> str:
        kept = f" FILTER (WHERE {self.condition(source, 0)})" if self.chance(25) else ""
        column = self.pick(*source.columns)
        match self.pick(
            "count", "count", "counted", "distinct", "units", "sum", "sum", "sum", "avg", "if", "or", "clamp"
        ):
            case "count":
                return f"count(*){kept}"
            case "counted":
                return f"count({column}){kept}"
            case "distinct":
                return f"count(DISTINCT {column}){kept}"
            case "units":
                return f"count(DISTINCT {source.unit}){kept}"
            case "if":
                return f"count_if({self.condition(source, 0)}){kept}"
            case "or":
                return f"bool_or({self.condition(source, 0)})"
            case "clamp":
                numbers = source.of("integer", "real") or ["1"]
                return f"sum(greatest(-3, least({self.pick(*numbers)}, 4))){kept}"
            case function:
                for _ in range(5):
                    text, kind = self.value(source)
                    if kind in ("integer", "real"):
                        return f"{function}({text}){kept}"
        return "count(*)"

    # ---------------------------------------------------------------------------- queries

    def query(self) -> str:
        source = self.private(self.pick(0, 1, 1, 2, 2, 3))
        least = 1 if source.keys is not None else 0
        keys = [self.key(source) for _ in range(self.pick(least, 1, 1, 2))]
        found = [self.aggregate(source) for _ in range(self.pick(1, 1, 2, 3))]
        items = ", ".join([*keys, *found])
        by = f" GROUP BY {', '.join(str(i + 1) for i in range(len(keys)))}" if keys else ""
        ctes = f"WITH {', '.join(source.ctes)} " if source.ctes else ""
        return f"{ctes}SELECT {items} FROM {source.text}{self.filter(source)}{by}"


@st.composite
def queries(draw: Draw) -> str:
    return Writer(draw).query()
