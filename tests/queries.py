"""A grammar of queries that the planner may accept, as wide as what the product answers: Hypothesis
strategies for SQL text over the schema of `databases`.

Private sources offer the unit as `firm_id` of some alias. The grammar aims at what is hard to bound:
fan-out, ties, outer joins, NULLs, keys, several blocks that name one another.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.query_parts import DISTRICTS, FIRMS, LOANS, ONE_NUMBER, PAYMENTS, Parts, Source

SHAPES = {
    "sum": "real",
    "count": "integer",
    "avg": "real",
    "min": "real",
    "max": "real",
}


class Writer(Parts):
    # ---------------------------------------------------------------------------- sources

    def table(self, name: str, columns: dict[str, str]) -> Source:
        a = self.alias()
        unit = f"{a}.firm_id" if "firm_id" in columns else None
        return Source(f"{name} {a}", {f"{a}.{c}": t for c, t in columns.items()}, unit)

    def public(self) -> Source:
        a = self.alias()
        match self.pick("districts", "districts", "range", "values", "released", "released", "grouped"):
            case "range":
                call = self.pick("range(1)", "range(3)", "generate_series(1, 3)")
                return Source(f"{call} {a}(i)", {f"{a}.i": "integer"})
            case "values":
                text = f"(VALUES ('Alder', 1), ('Harbour', 2), (NULL, 3)) {a}(district, i)"
                return Source(text, {f"{a}.district": "text", f"{a}.i": "integer"})
            case "released":
                inner = self.pick("count(*)", "sum(overdue_days)", "count(DISTINCT firm_id)")
                key = self.pick("district", "sector", "note")
                text = f"(SELECT {key} AS district, {inner} AS i FROM loans GROUP BY 1) {a}"
                return Source(text, {f"{a}.district": "text", f"{a}.i": "integer"})
            case "grouped":
                text = f"(SELECT region, count(*) AS i, min(district) AS district FROM districts GROUP BY region) {a}"
                return Source(text, {f"{a}.region": "text", f"{a}.i": "integer", f"{a}.district": "text"})
        extra = self.pick("", "", f" WHERE region {self.pick('=', '<>')} 'North'")
        return Source(f"(SELECT * FROM districts{extra}) {a}", {f"{a}.{c}": t for c, t in DISTRICTS.items()})

    def source(self, depth: int) -> Source:
        """Of a block: also what has no column for its unit."""
        match self.pick("", "", "", "", "", "", "", "", "", "", "", "payments", "full"):
            case "payments":
                return self.with_public_side(self.table("payments", PAYMENTS))
            case "full":
                left, right = self.private(0), self.private(0)
                text = f"{left.text} FULL JOIN {right.text} ON {left.unit} = {right.unit}"
                columns = {c: t for c, t in (left.columns | right.columns).items() if t != "unit"}
                return Source(text, columns)
        return self.private(depth)

    def private(self, depth: int) -> Source:
        if depth <= 0 or self.chance(30):
            return self.table(*self.pick(("loans", LOANS), ("loans", LOANS), ("firms", FIRMS)))
        return self.pick(
            *(self.joined, self.joined, self.joined, self.joined),
            *(self.with_public, self.with_public, self.derived, self.derived),
            *(self.grouped, self.grouped, self.grouped, self.windowed, self.windowed, self.windowed),
            *(self.set_operation, self.set_operation, self.named_twice),
            *(self.lateral, self.first_of_each, self.unpivoted, self.starred),
        )(depth - 1)

    def joined(self, depth: int) -> Source:
        left, right = self.private(depth), self.private(min(depth, 0))
        tie = f"{left.unit} = {right.unit}" if self.chance(70) else f"{right.unit} = {left.unit}"
        for _ in range(self.pick(0, 0, 1, 1, 2)):
            tie += " AND " + self.link(left, right)
        both = left.columns | right.columns
        made = Source("", both, left.unit, None, left.where + right.where, left.ctes + right.ctes)
        match self.pick(
            *("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"),
            *(",", "USING", "NATURAL", "CROSS JOIN", "payments", "payments"),
        ):
            case "payments":
                return self.paid()
            case ("," | "CROSS JOIN") as kind:
                joint = ", " if kind == "," else " CROSS JOIN "
                return replace(made, text=f"{left.text}{joint}{right.text}", where=made.where + (tie,))
            case ("SEMI JOIN" | "ANTI JOIN") as kind:
                return replace(
                    left, text=f"{left.text} {kind} {right.text} ON {tie}", where=made.where, ctes=made.ctes
                )
            case "RIGHT JOIN":
                return replace(made, text=f"{left.text} RIGHT JOIN {right.text} ON {tie}", unit=right.unit)
            case "FULL JOIN":
                columns = {c: t for c, t in both.items() if t != "unit"} | {"firm_id": "unit"}
                text = f"{left.text} FULL JOIN {right.text} USING (firm_id)"
                return replace(made, text=text, columns=columns, unit="firm_id")
            case ("USING" | "NATURAL") as kind:
                a = self.table("loans", LOANS)
                b = self.table(*self.pick(("firms", FIRMS), ("loans", LOANS)))
                shared = self.pick("firm_id", "firm_id", "firm_id, district")
                outer = self.pick("JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN")
                text = f"{a.text} {outer} {b.text} USING ({shared})"
                if kind == "NATURAL":
                    text = f"{a.text} NATURAL {outer.replace('SEMI ', '').replace('ANTI ', '')} {b.text}"
                columns = a.columns if "SEMI" in text or "ANTI" in text else a.columns | b.columns
                return Source(text, columns, a.unit)
            case kind:
                return replace(made, text=f"{left.text} {kind} {right.text} ON {tie}")

    def paid(self) -> Source:
        """Payments, which reach their firm through a loan."""
        loans, paid = self.table("loans", LOANS), self.table("payments", PAYMENTS)
        p = paid.text.split()[1]
        tie = f"{p}.loan = {loans.text.split()[1]}.loan_id"
        both = loans.columns | paid.columns
        match self.pick("JOIN", "JOIN", "LEFT JOIN", "SEMI JOIN", "ANTI JOIN", ",", "from payments"):
            case ",":
                return Source(f"{loans.text}, {paid.text}", both, loans.unit, where=(tie,))
            case "from payments":
                return Source(f"{paid.text} JOIN {loans.text} ON {tie}", both, loans.unit)
            case ("SEMI JOIN" | "ANTI JOIN") as kind:
                return replace(loans, text=f"{loans.text} {kind} {paid.text} ON {tie}")
            case kind:
                return Source(f"{loans.text} {kind} {paid.text} ON {tie}", both, loans.unit)

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
        return self.with_public_side(self.private(depth))

    def with_public_side(self, left: Source) -> Source:
        right = self.public()
        on = self.link(left, right)
        both = left.columns | right.columns
        keep = replace(left, columns=both)
        match self.pick(
            *("JOIN", "JOIN", "LEFT JOIN", "CROSS JOIN", "SEMI JOIN", "ANTI JOIN", ",", "before"),
            *("supplied", "supplied", "supplied from the right", "alone"),
        ):
            case "alone":
                return left
            case "CROSS JOIN":
                return replace(keep, text=f"{left.text} CROSS JOIN {right.text}")
            case ",":
                return replace(keep, text=f"{left.text}, {right.text}", where=left.where + (on,))
            case "before":
                return replace(keep, text=f"{right.text} JOIN {left.text} ON {on}")
            case ("SEMI JOIN" | "ANTI JOIN") as kind:
                return replace(left, text=f"{left.text} {kind} {right.text} ON {on}")
            case "supplied":
                keys = tuple(right.columns)
                return replace(keep, text=f"{right.text} LEFT JOIN {left.text} ON {on}", keys=keys)
            case "supplied from the right":
                keys = tuple(right.columns)
                return replace(keep, text=f"{left.text} RIGHT JOIN {right.text} ON {on}", keys=keys)
            case kind:
                return replace(keep, text=f"{left.text} {kind} {right.text} ON {on}")

    def lateral(self, depth: int) -> Source:
        """Joined to a subquery that is bound anew for each row, tied on the unit."""
        left = self.private(depth)
        inner = self.table(*self.pick(("loans", LOANS), ("firms", FIRMS)))
        a = self.alias()
        extra = f" AND {self.condition(inner, 0)}" if self.chance(40) else ""
        made, kind = self.unit_aggregate(inner) if self.chance(60) else self.value(inner)
        body = f"(SELECT {made} AS x0 FROM {inner.text} WHERE {inner.unit} = {left.unit}{extra}) {a}"
        text = self.pick(
            f"{left.text}, LATERAL {body}",
            f"{left.text} CROSS JOIN LATERAL {body}",
            f"{left.text} LEFT JOIN LATERAL {body} ON TRUE",
        )
        return replace(left, text=text, columns=left.columns | {f"{a}.x0": kind})

    def derived(self, depth: int) -> Source:
        """A projection, perhaps DISTINCT."""
        inside = self.private(depth)
        a = self.alias()
        picked = [self.value(inside) for _ in range(self.pick(1, 2, 3))]
        items = ", ".join(f"{e} AS x{i}" for i, (e, _) in enumerate(picked))
        distinct = self.pick("", "", "DISTINCT ")
        head = f"SELECT {distinct}{inside.unit} AS firm_id, {items}"
        body = self.pick(
            f"{head} FROM {inside.text}", f"{head} FROM {inside.text}", f"FROM {inside.text} {head}"
        )
        # FROM first: the filter comes after both.
        text = f"({body}{self.filter(inside)}) {a}"
        columns = {f"{a}.firm_id": "unit"} | {f"{a}.x{i}": t for i, (_, t) in enumerate(picked)}
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def starred(self, depth: int) -> Source:
        """Every column but one, with a value made of another's alias."""
        a, b = self.alias(), self.alias()
        table, columns = self.pick(("loans", LOANS), ("firms", FIRMS))
        gone = self.pick(*(c for c in columns if c != "firm_id"))
        number = self.pick(*(c for c, t in columns.items() if t in ("integer", "real") and c != gone))
        star = f"* EXCLUDE ({gone})"
        if self.chance(30):
            star = f"* EXCLUDE ({gone}) REPLACE (abs({number}) AS {number})"
        filtered = self.filter(
            Source("", {c: t for c, t in columns.items() if c != gone}, f"{b}.firm_id"), 25
        )
        text = f"(SELECT {star}, {number} + 1 AS x0, x0 * 2 AS x1 FROM {table} {b}{filtered}) {a}"
        kept = {f"{a}.{c}": t for c, t in columns.items() if c != gone}
        return Source(text, kept | {f"{a}.x0": "real", f"{a}.x1": "real"}, f"{a}.firm_id")

    def unpivoted(self, depth: int) -> Source:
        a = self.alias()
        x, y = self.pick(("overdue_days", "year"), ("balance", "rate"), ("amount", "balance"))
        body = f"UNPIVOT (SELECT firm_id, district, {x}, {y} FROM loans) ON {x}, {y} INTO NAME n VALUE v"
        columns = {"firm_id": "unit", "district": "text", "n": "text", "v": "real"}
        return Source(f"({body}) {a}", {f"{a}.{c}": t for c, t in columns.items()}, f"{a}.firm_id")

    def first_of_each(self, depth: int) -> Source:
        inside = self.private(depth)
        a = self.alias()
        x, y = self.pick(*inside.columns), self.pick(*self.numbers(inside))
        kind = inside.columns[x].replace("unit", "integer")
        key = f", {self.pick(*inside.columns)}" if self.chance(30) else ""
        text = (
            f"(SELECT DISTINCT ON ({inside.unit}{key}) {inside.unit} AS firm_id, {x} AS x0, {y} AS x1"
            f" FROM {inside.text}{self.filter(inside)} ORDER BY {inside.unit}{key}, {y}{self.pick('', ' DESC')}) {a}"
        )
        columns = {f"{a}.firm_id": "unit", f"{a}.x0": kind, f"{a}.x1": "real"}
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
        key = self.value(inside, plain=self.chance(60)) if self.chance(45) else None
        picked = [self.unit_aggregate(inside) for _ in range(self.pick(1, 2, 3))]
        items = ", ".join(f"{e} AS x{i}" for i, (e, _) in enumerate(picked))
        head = f"{inside.unit} AS firm_id" + (f", {key[0]} AS g" if key else "")
        by = self.pick(f"{inside.unit}" + (f", {key[0]}" if key else ""), "1, 2" if key else "1", "ALL")
        having = f" HAVING count(*) > {self.pick(0, 1, 2)}" if self.chance(20) else ""
        text = f"(SELECT {head}, {items} FROM {inside.text}{self.filter(inside)} GROUP BY {by}{having}) {a}"
        columns = {f"{a}.firm_id": "unit"} | {f"{a}.x{i}": t for i, (_, t) in enumerate(picked)}
        if key:
            columns[f"{a}.g"] = key[1]
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def windowed(self, depth: int) -> Source:
        inside = self.table("loans", LOANS) if self.chance(60) else self.private(depth)
        a = self.alias()
        x, y = self.pick(*self.numbers(inside)), self.pick(*self.numbers(inside))
        part = f"PARTITION BY {inside.unit}" + (f", {self.pick(*inside.columns)}" if self.chance(30) else "")
        ordered = self.pick(f" ORDER BY {y}", f" ORDER BY {y}", f" ORDER BY {y} DESC NULLS FIRST")
        call, kind = self.window_call(x)
        order, frame = (ordered, "") if self.chance(85) else ("", "")
        if call.split("(")[0] in (*SHAPES, "first_value", "last_value", "nth_value") and order:
            frame = self.pick(
                *("", "", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"),
                " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            )
        window, named = f"{call} OVER ({part}{order}{frame})", ""
        if self.chance(10):
            window, named = f"{call} OVER w", f" WINDOW w AS ({part}{order}{frame})"
        qualify = f" QUALIFY {window} <= {self.pick(1, 2)}" if self.chance(25) and not named else ""
        text = (
            f"(SELECT {inside.unit} AS firm_id, {x} AS x0, {window} AS x1"
            f" FROM {inside.text}{self.filter(inside)}{named}{qualify}) {a}"
        )
        columns = {f"{a}.firm_id": "unit", f"{a}.x0": inside.columns.get(x, "integer"), f"{a}.x1": kind}
        return self.as_cte(Source(text, columns, f"{a}.firm_id", ctes=inside.ctes), a)

    def window_call(self, x: str) -> tuple[str, str]:
        return self.pick(
            ("row_number()", "integer"),
            ("row_number()", "integer"),
            ("rank()", "integer"),
            ("dense_rank()", "integer"),
            ("percent_rank()", "real"),
            ("cume_dist()", "real"),
            ("ntile(2)", "integer"),
            (f"lag({x})", "real"),
            (f"lead({x}, 1, 0)", "real"),
            (f"first_value({x})", "real"),
            (f"last_value({x})", "real"),
            (f"nth_value({x}, 2)", "real"),
            ("count(*)", "integer"),
            *((f"{f}({x})", kind) for f, kind in SHAPES.items()),
        )

    def set_operation(self, depth: int) -> Source:
        left, right = self.private(depth), self.private(min(depth, 0))
        a = self.alias()
        op = self.pick(
            *("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL"),
            "UNION ALL BY NAME",
        )
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

    # ---------------------------------------------------------------------------- queries

    def query(self) -> str:
        return self.pick(
            *(self.block, self.block, self.block, self.block, self.block, self.block, self.block),
            *(self.sets, self.distinct_keys, self.pivot, self.after, self.after, self.several, self.several),
        )()

    def block(self, source: Source | None = None) -> str:
        source = source or self.source(self.pick(0, 1, 1, 2, 2, 3))
        least = 1 if source.keys is not None else 0
        keys = [self.key(source) for _ in range(self.pick(least, 1, 1, 2))]
        found = [self.aggregate(source) for _ in range(self.pick(1, 1, 2, 3))]
        by = self.by(keys)
        having = f" HAVING count(*) > {self.pick(0, 3)}" if by and self.chance(10) else ""
        order = (
            self.pick("", "", "", " ORDER BY 1", " ORDER BY ALL", " ORDER BY 1 DESC LIMIT 3") if by else ""
        )
        items = ", ".join([*keys, *found])
        body = f"SELECT {items} FROM {source.text}"
        if not source.where and self.chance(8):
            body = f"FROM {source.text} SELECT {items}"
        return f"{self.with_(source.ctes)}{body}{self.filter(source)}{by}{having}{order}"

    def by(self, keys: list[str]) -> str:
        if not keys:
            return ""
        positions = ", ".join(str(i + 1) for i in range(len(keys)))
        return f" GROUP BY {self.pick(positions, positions, ', '.join(keys), 'ALL')}"

    def with_(self, ctes: tuple[str, ...]) -> str:
        return f"WITH {', '.join(ctes)} " if ctes else ""

    def sets(self) -> str:
        source = self.source(self.pick(0, 1, 2))
        a, b = self.key(source), self.key(source)
        found = [self.aggregate(source) for _ in range(self.pick(1, 2))]
        if self.chance(50):  # what can be added up from the finest level
            found = [f"count(*), sum({self.number(source)})"]
        by = self.pick(
            f"ROLLUP ({a}, {b})",
            f"CUBE ({a}, {b})",
            f"GROUPING SETS (({a}, {b}), ({a}), ())",
            f"GROUPING SETS (({a}), ({b}))",
        )
        level = f", grouping({a})" if self.chance(30) else ""
        return (
            f"{self.with_(source.ctes)}SELECT {a}, {b}, {', '.join(found)}{level}"
            f" FROM {source.text}{self.filter(source)} GROUP BY {by}"
        )

    def distinct_keys(self) -> str:
        source = self.source(self.pick(0, 1, 2))
        keys = ", ".join(self.key(source) for _ in range(self.pick(1, 1, 2)))
        return f"{self.with_(source.ctes)}SELECT DISTINCT {keys} FROM {source.text}{self.filter(source)}"

    def pivot(self) -> str:
        key, values = self.pick(
            ("year", "2020, 2021"),
            ("district", "'Alder', 'Harbour'"),
            ("sector", "'农业'"),
            ("defaulted", "TRUE, FALSE"),
        )
        a = self.table("loans", LOANS)
        using = self.pick(
            "count(*)", "sum(overdue_days)", "avg(balance)", "sum(amount), count(*)", "max(rate)"
        )
        group = self.pick("industry", "sector, year" if key == "district" else "industry", "note")
        listed = f" IN ({values})" if self.chance(70) else ""
        over = "loans"
        if self.chance(50):
            over = f"(SELECT * FROM {a.text}{self.filter(a)})"
        text = f"PIVOT {over} ON {key}{listed} USING {using} GROUP BY {group}"
        return self.pick(text, f"SELECT * FROM ({text}) p")

    def after(self) -> str:
        """Over a released table: windows, QUALIFY, another aggregate, arithmetic."""
        source = self.private(self.pick(0, 1, 1))
        key = self.key(source)
        x = self.aggregate(source)
        while "[" in x:
            x = self.aggregate(source)
        base = f"SELECT {key} AS g, {x} AS n FROM {source.text}{self.filter(source)} GROUP BY 1"
        ctes = source.ctes
        match self.pick("window", "qualify", "again", "joined", "ordered", "shares", "cte"):
            case "window":
                call = self.pick("rank() OVER (ORDER BY n)", "lag(n) OVER (ORDER BY g)", "sum(n) OVER ()")
                return f"{self.with_(ctes)}SELECT g, n, {call} FROM ({base}) r"
            case "qualify":
                return f"{self.with_(ctes)}{base} QUALIFY row_number() OVER (ORDER BY n DESC) <= 3"
            case "again":
                call = self.pick(
                    "max(n)", "avg(n)", "count(*)", "stddev(n)", "first(n ORDER BY g)", "mode(g)"
                )
                return f"{self.with_(ctes)}SELECT {call}, count(DISTINCT g) FROM ({base}) r"
            case "joined":
                return (
                    f"{self.with_((*ctes, f'r AS ({base})'))}SELECT a.g, a.n, b.n FROM r a"
                    f" {self.pick('JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN')} r b ON a.g = b.g"
                )
            case "ordered":
                return f"{self.with_(ctes)}SELECT * FROM ({base}) r WHERE n > 1 ORDER BY n DESC, g LIMIT 2 OFFSET 1"
            case "shares":
                return f"{self.with_((*ctes, f'r AS ({base})'))}SELECT g, n / (SELECT sum(n) FROM r) FROM r"
        return f"{self.with_((*ctes, f'r AS ({base})'))}SELECT g, n, (SELECT max(n) FROM r) - n FROM r"

    def several(self) -> str:
        """Several blocks: put together, or one naming what another released."""
        match self.pick("union", "set", "scalars", "supplied", "having", "filter", "key", "chain"):
            case "union":
                a, b = self.private(1), self.private(1)
                return (
                    f"{self.with_(a.ctes + b.ctes)}SELECT {self.whole(a)} AS n FROM {a.text}{self.filter(a)}"
                    f" {self.pick('UNION ALL', 'UNION')} SELECT {self.whole(b)} FROM {b.text}{self.filter(b)}"
                )
            case "set":
                op = self.pick("INTERSECT", "EXCEPT", "UNION")
                return (
                    f"SELECT district FROM loans{self.filter(self.bare())} GROUP BY 1"
                    f" {op} SELECT district FROM firms GROUP BY 1"
                )
            case "scalars":
                a, b = self.private(1), self.private(0)
                return (
                    f"{self.with_(a.ctes)}SELECT (SELECT {self.whole(a)} FROM {a.text}{self.filter(a)}) AS x,"
                    f" (SELECT {self.whole(b)} FROM {b.text}{self.filter(b)}) AS y, x / nullif(y, 0)"
                )
            case "supplied":
                key = self.pick("district", "sector", "year", "industry")
                a = self.table("loans", LOANS)
                alias = a.unit.split(".")[0] if a.unit else ""
                return (
                    f"WITH r AS (SELECT {key}, count(*) AS n FROM loans GROUP BY {key})"
                    f" SELECT r.{key}, {self.aggregate(a)} FROM r LEFT JOIN {a.text} ON {alias}.{key} = r.{key}"
                    f"{self.filter(a, 25)} GROUP BY r.{key}"
                )
            case "having":
                a = self.private(1)
                key = self.key(a)
                return (
                    f"{self.with_(a.ctes)}SELECT {key}, {self.aggregate(a)} FROM {a.text}{self.filter(a)} GROUP BY 1"
                    f" HAVING count(*) > (SELECT avg(n) FROM (SELECT year, count(*) AS n FROM loans GROUP BY year))"
                )
            case "filter":
                a = self.private(1)
                x = self.pick(*self.numbers(a))
                return (
                    f"WITH m AS (SELECT {self.pick('avg', 'median', 'max')}(overdue_days) AS c FROM loans)"
                    f"{''.join(', ' + c for c in a.ctes)} SELECT {self.aggregate(a)} FROM {a.text}"
                    f" WHERE {' AND '.join((*a.where, f'{x} >= (SELECT c FROM m)'))}"
                )
            case "key":
                a = self.table("loans", LOANS)
                x = self.pick(*self.numbers(a))
                return (
                    f"SELECT {x} > (SELECT avg(rate) FROM loans) AS above, {self.aggregate(a)}"
                    f" FROM {a.text}{self.filter(a)} GROUP BY 1"
                )
        a = self.table("loans", LOANS)
        x = self.pick(*self.numbers(a))
        return (
            f"WITH m AS (SELECT avg({x}) AS c FROM {a.text}), k AS (SELECT count(*) AS c FROM loans"
            " WHERE overdue_days > (SELECT c FROM m))"
            f" SELECT {self.aggregate(a)}, sum(clamp({x} - (SELECT c FROM m), -3, 3)) FROM {a.text}"
            f" WHERE {x} <> (SELECT c FROM k)"
        )

    def whole(self, source: Source) -> str:
        return self.pick(
            "count(*)", f"sum({self.number(source)})", f"{self.pick(*ONE_NUMBER)}({self.number(source)})"
        )

    def bare(self) -> Source:
        return Source("loans", dict(LOANS), "loans.firm_id")


def queries() -> st.SearchStrategy[str]:
    """Every choice from one seed that Hypothesis draws: left to vary each choice by itself, it asks what
    differs little from what it asked before, and many functions only a handful of times in ten thousand."""
    return st.randoms(use_true_random=True).map(lambda r: Writer(r).query())
