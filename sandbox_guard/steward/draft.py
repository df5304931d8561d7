"""Drafts the policy of a file that a steward brings.

A policy is public, so what stands in it is decided, not read off the data: `bounds: [0, 4987654.32]` would
be one firm's loan (SOUNDNESS 34). The draft therefore holds names, types and formats, and TODO wherever a
decision is due; `policy check` lists every TODO that is left. What was observed is shown to the steward on
the terminal, to decide by, and is never written to a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from sandbox_guard.errors import Text
from sandbox_guard.policy.model import ColumnType
from sandbox_guard.steward.source import ROW, Source, open_source
from sandbox_guard.steward.sql import name, text

TODO = "TODO"
LOOKED_AT = 500_000
"""Rows that are looked at, from the beginning of the file."""

_ENOUGH = 0.9
"""Share of a column's values that must read as a type; stray marks are for the steward to judge."""
_FEW = 100
"""Up to so many distinct values, a string is taken for a category."""
_SHOWN = 12

_DATE_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y.%m.%d", "%Y年%m月%d日"),
    *("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%b-%Y", "%d-%b-%y", "%m/%d/%y", "%d/%m/%y"),
)
_BOOLEANS = ("true", "false", "t", "f", "yes", "no", "y", "n")


@dataclass(frozen=True)
class Observed:
    """What one column of the file holds. For the steward's eyes on the terminal only."""

    column: str
    type: ColumnType
    formats: tuple[str, ...]
    """Date formats that fit, several where day and month cannot be told apart."""
    nulls: int
    strays: tuple[str, ...]
    """Some values that do not read as the type."""
    distinct: int
    most_of_one: int
    """Rows that share the most frequent value."""
    least: str | None
    greatest: str | None
    longest: int
    decimals: int
    values: tuple[str, ...]
    """The most frequent ones."""


@dataclass(frozen=True)
class Draft:
    policy: str
    """YAML for `policies/datasets/`: safe to write, holds TODO and nothing that was observed."""
    rows: int
    observed: tuple[Observed, ...]

    def shown(self, language: str) -> Iterator[str]:
        """The observations as lines for the terminal, in 'zh' or 'en'."""
        yield getattr(_HEADING, language).format(rows=self.rows)
        for column in self.observed:
            yield f"\n{column.column}: {column.type} {' | '.join(column.formats)}".rstrip()
            for label, value in _observations(column, self.rows):
                yield f"  {getattr(label, language)}: {value}"


def draft(path: Path, table: str) -> Draft:
    """Look at the first rows of a CSV or Parquet file and draft a dataset with this one table.

    Raises `source.Unreadable` where the file cannot be read.
    """
    headings = _headings(path)
    names_ = _identifiers(headings)
    source = open_source(path, dict(zip(names_, headings, strict=True)))
    # In memory, without a folder to spill to: restricted rows leave no trace on disk.
    with duckdb.connect(config={"temp_directory": "", "memory_limit": "1500MB"}) as connection:
        connection.register("source", _first_rows(source))
        wanted = ", ".join(f"nullif(trim(CAST({name(c)} AS VARCHAR)), '') AS {name(c)}" for c in names_)
        connection.execute(f"CREATE TABLE looked_at AS SELECT {wanted} FROM source")
        connection.unregister("source")
        (rows,) = _row(connection, "SELECT count(*) FROM looked_at")
        observed = tuple(_observe(connection, column) for column in names_)
    return Draft(_policy(table, observed, dict(zip(names_, headings, strict=True))), rows, observed)


def _first_rows(source: Source) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    for batch in source.batches():
        batches.append(batch)
        if sum(map(len, batches)) >= LOOKED_AT:
            break
    fields = [field for field in source.schema if field.name != ROW]
    return pa.Table.from_batches(batches, pa.schema(fields)).slice(0, LOOKED_AT)


def _headings(path: Path) -> list[str]:
    """All columns of the file, whatever separates them."""
    present = list(open_source(path, {}).ignored)
    if len(present) == 1:
        separator = max(";\t|", key=present[0].count)
        present = [heading.strip().strip('"') for heading in present[0].split(separator)]
    return present


def _identifiers(headings: list[str]) -> list[str]:
    """Names that SQL can say, one a heading, in order."""
    chosen: list[str] = []
    for i, heading in enumerate(headings, 1):
        word = re.sub(r"[^A-Za-z0-9]+", "_", heading).strip("_")[:50]
        free = word[:1].isalpha() and word.lower() not in {c.lower() for c in chosen}
        chosen.append(word if free else f"column_{i}")
    return chosen


# ---------------------------------------------------------------------------------------- observing


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None  # an aggregate without groups
    return tuple(row)


def _observe(connection: duckdb.DuckDBPyConnection, column: str) -> Observed:
    c = name(column)
    present, rows, distinct, longest = _row(
        connection, f"SELECT count({c}), count(*), count(DISTINCT {c}), max(length({c})) FROM looked_at"
    )
    kind, formats = _type(connection, c, present, distinct)
    read = _reading(kind, c, formats)
    least, greatest = _row(connection, f"SELECT min({read})::VARCHAR, max({read})::VARCHAR FROM looked_at")
    frequent = connection.execute(
        f"SELECT {c}, count(*) AS n FROM looked_at WHERE {c} IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT {_FEW}"
    ).fetchall()
    strays = connection.execute(
        f"SELECT DISTINCT {c} FROM looked_at WHERE {c} IS NOT NULL AND {read} IS NULL ORDER BY 1 LIMIT {_SHOWN}"
    ).fetchall()
    (decimals,) = _row(
        connection, f"SELECT max(length(regexp_extract({c}, '[.](\\d*[1-9])0*$', 1))) FROM looked_at"
    )
    return Observed(
        column=column,
        type=kind,
        formats=formats,
        nulls=rows - present,
        strays=tuple(value for (value,) in strays),
        distinct=distinct,
        most_of_one=frequent[0][1] if frequent else 0,
        least=least,
        greatest=greatest,
        longest=longest or 0,
        decimals=decimals or 0,
        values=tuple(value for value, _ in frequent) if distinct <= _FEW else (),
    )


def _type(
    connection: duckdb.DuckDBPyConnection, c: str, present: int, distinct: int
) -> tuple[ColumnType, tuple[str, ...]]:
    """The narrowest type that nearly all values read as. Codes with leading zeros stay strings."""
    tests = {
        ColumnType.BOOLEAN: f"lower({c}) IN ({', '.join(map(text, _BOOLEANS))})",
        ColumnType.INTEGER: f"regexp_full_match({c}, '[-+]?(0|[1-9]\\d{{0,17}})')",
        ColumnType.NUMBER: f"isfinite(try_cast({c} AS DOUBLE)) AND NOT regexp_full_match({c}, '0\\d+')",
    }
    dates = [
        # strptime lets %Y take a year of two digits.
        f"try_strptime({c}, {text(form)}) IS NOT NULL AND regexp_matches({c}, '\\d{{4}}') = {'%Y' in form}"
        for form in _DATE_FORMATS
    ]
    counts = _row(
        connection,
        "SELECT "
        + ", ".join(f"count(*) FILTER (WHERE {test})" for test in (*tests.values(), *dates))
        + " FROM looked_at",
    )
    enough = max(1, _ENOUGH * present)
    best = max(counts[len(tests) :])
    if best >= enough:
        return ColumnType.DATE, tuple(
            f for f, n in zip(_DATE_FORMATS, counts[len(tests) :], strict=True) if n == best
        )
    return next((kind for kind, n in zip(tests, counts, strict=False) if n >= enough), ColumnType.STRING), ()


def _reading(kind: ColumnType, c: str, formats: tuple[str, ...]) -> str:
    """SQL that reads a value as the type, NULL where it does not."""
    match kind:
        case ColumnType.BOOLEAN:
            return f"CASE WHEN lower({c}) IN ({', '.join(map(text, _BOOLEANS))}) THEN lower({c}) END"
        case ColumnType.INTEGER:
            return f"try_cast({c} AS BIGINT)"
        case ColumnType.NUMBER:
            return f"try_cast({c} AS DOUBLE)"
        case ColumnType.DATE:
            return f"CAST(try_strptime({c}, {text(formats[0])}) AS DATE)"
        case ColumnType.STRING:
            return c


# ------------------------------------------------------------------------------------------ writing

_HEADER = """\
# A draft. Decide every TODO by what is publicly known, not by copying figures out of the data: this file is
# public. `sandbox-guard policy check` lists the TODOs that are left. The format is told in policies/README.md.
# 草稿：请依据公开信息填写每一处 TODO，不要照抄数据中的数值，因为本文件是公开的。
"""


def _policy(table: str, observed: tuple[Observed, ...], headings: dict[str, str]) -> str:
    dataset = {
        "title": _titled(),
        "classification": TODO,
        "department": _titled(),
        "update_frequency": _titled(),
        "population": TODO,
        "budget": {"rho": TODO, "delta": TODO},
        "tables": {
            table: {
                "title": _titled(),
                "unit": [TODO],
                "max_rows": TODO,
                "max_rows_per_unit": TODO,
                "columns": {column.column: _column(column, headings[column.column]) for column in observed},
            }
        },
    }
    return _HEADER + yaml.safe_dump(dataset, allow_unicode=True, sort_keys=False, width=110)


def _titled() -> dict[str, str]:
    return {"zh": TODO, "en": TODO}


def _column(column: Observed, heading: str) -> dict[str, Any]:
    """Type and format, and a TODO for each fact that plans will rely on."""
    drafted: dict[str, Any] = {"title": _titled(), "type": str(column.type)}
    if heading != column.column:
        drafted["source"] = heading
    match column.type:
        case ColumnType.INTEGER:
            drafted["bounds"] = [TODO, TODO]
        case ColumnType.NUMBER:
            drafted |= {"step": TODO, "bounds": [TODO, TODO]}
        case ColumnType.DATE:
            drafted |= {
                "format": column.formats[0] if len(column.formats) == 1 else TODO,
                "bounds": [TODO, TODO],
            }
            if any("%y" in form for form in column.formats):
                drafted["pivot_year"] = TODO
        case ColumnType.STRING:
            drafted |= {"values": [TODO]} if column.values else {"max_length": TODO}
    drafted["nullable"] = TODO
    return drafted


# ------------------------------------------------------------------------------------------ showing

_HEADING = Text(
    "已查看 {rows} 行。以下内容出自受限数据，仅在此终端显示，请勿写入文件。",
    "Looked at {rows} rows. What follows is read off restricted data: it is shown here only, do not write it down.",
)


def _observations(column: Observed, rows: int) -> Iterator[tuple[Text, object]]:
    yield Text("空值", "empty"), column.nulls
    yield Text("不同取值", "distinct values"), column.distinct
    yield (
        Text("同一取值最多行数（若为隐私单元）", "most rows of one value (if it is the unit)"),
        column.most_of_one,
    )
    if column.distinct == rows > 1:
        yield Text("每行各不相同，可考虑声明", "differs in every row, could be declared"), "unique"
    if column.type is ColumnType.STRING:
        yield Text("最长字符数", "longest"), column.longest
    else:
        yield Text("范围", "range"), f"{column.least} … {column.greatest}"
    if column.type is ColumnType.NUMBER:
        yield Text("小数位数", "decimal places"), column.decimals
    if column.values:
        yield Text("取值", "values"), ", ".join(column.values)
    if column.strays:
        yield Text("不合类型的取值", "values that do not read as this type"), ", ".join(column.strays)
