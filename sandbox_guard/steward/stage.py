"""A file as the table `staged`: every row typed by policy, with what was wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from sandbox_guard.policy.model import Column
from sandbox_guard.steward import shards, units
from sandbox_guard.steward.bench import STAGED, Bench
from sandbox_guard.steward.columns import Issue, staged
from sandbox_guard.steward.quality import (
    Effect,
    Finding,
    LoadRefused,
    OnProgress,
    Problem,
    Progress,
    Rule,
    Step,
)
from sandbox_guard.steward.source import ROW, Source
from sandbox_guard.steward.sql import name
from sandbox_guard.steward.tables import Stored

SHOWN = 3
"""Places shown for one problem of one column."""


@dataclass(frozen=True)
class Read:
    """How many rows the file holds, how many of them are sound, and what was done to values."""

    rows: int
    sound: int
    findings: tuple[Finding, ...]


def stage(bench: Bench, table: Stored, source: Source, progress: OnProgress) -> Read:
    """The file as the table `staged`: `__row`, the stored columns, `__issue<n>` (what is wrong with each), `__key`
    (the unit's published id, or the key that leads to it), `__drop` and, where there are units, `__shard`."""
    columns = list(table.columns.items())
    parts = [staged(column, n, name(c), source.schema.field(c).type) for n, (c, column) in enumerate(columns)]
    read = ", ".join(f"{part.read} AS read{n}" for n, part in enumerate(parts))
    parsed = ", ".join(f"{part.parsed} AS parsed{n}" for n, part in enumerate(parts))
    issues = ", ".join(f"{part.issue} AS issue{n}" for n, part in enumerate(parts))
    stored = ", ".join(
        f"{part.value} AS {name(c)}, issue{n} AS __issue{n}"
        for n, ((c, _), part) in enumerate(zip(columns, parts, strict=True))
    )
    missing = [f"{name(c)} IS NULL" for c, column in columns if not column.nullable]
    key = _key(bench, table)
    if key != "NULL":
        missing.append("__key IS NULL")
    rows = f"""
        (SELECT *, {" OR ".join(missing) or "false"} AS __drop
         FROM (SELECT *, {key} AS __key
               FROM (SELECT {ROW}, {stored}
                     FROM (SELECT *, {issues}
                           FROM (SELECT *, {parsed}
                                 FROM (SELECT {ROW}, {read} FROM incoming))))))
        """
    reading = source.read(
        lambda rows: progress(Progress(table.name, Step.READ, rows, source.rows)),
        lambda rows: progress(Progress(table.name, Step.ORDER, 0, rows)),
    )
    bench.connection.register("incoming", reading.stream)
    try:
        bench.run(f"CREATE TABLE {STAGED} AS {shards.placed(table, rows)}")
    except duckdb.Error:
        if reading.failure is not None:
            raise reading.failure from None
        raise
    finally:
        bench.connection.unregister("incoming")
    return _counted(bench, table, source)


def _key(bench: Bench, table: Stored) -> str:
    if table.parent:
        return name(table.parent[0])
    if table.unit and bench.population:
        return units.published_id(bench.population, table.policy, [name(c) for c in table.unit])
    return "NULL"


def _counted(bench: Bench, table: Stored, source: Source) -> Read:
    columns = list(table.columns.items())
    # Which issues there are at all is a cheap question, and mostly the answer is none.
    kinds = ", ".join(f"bit_or(1 << CAST(__issue{n} AS INTEGER))" for n in range(len(columns)))
    unit_known = " AND ".join(f"{name(c)} IS NOT NULL" for c in table.unit) or "false"
    rows, sound, no_unit, *found = bench.row(
        f"""
        SELECT count(*), count(*) FILTER (NOT __drop), count(*) FILTER (__key IS NULL AND {unit_known}), {kinds}
        FROM {STAGED}
        """
    )
    findings: list[Finding] = []
    problems: list[Problem] = []
    for n, ((c, column), kinds_found) in enumerate(zip(columns, found, strict=True)):
        if not kinds_found or kinds_found == 1 << Issue.NONE:
            continue
        counts = dict(bench.rows(f"SELECT __issue{n}, count(*) FROM {STAGED} GROUP BY 1 ORDER BY 1"))
        counts.pop(Issue.NONE, None)
        if malformed := counts.pop(Issue.MALFORMED, 0):
            problems += _malformed(bench, table, source, n, malformed)
        for issue, count in counts.items():
            findings.append(Finding(Rule[Issue(issue).name], _effect(Issue(issue), column), c, count))
    if problems:
        raise LoadRefused(tuple(problems))
    if no_unit:
        findings.append(Finding(Rule.UNIT, Effect.DROPPED, None, no_unit))
    return Read(rows, sound, tuple(findings))


def _malformed(bench: Bench, table: Stored, source: Source, n: int, count: int) -> list[Problem]:
    column, policy = list(table.columns.items())[n]
    places = bench.rows(
        f"SELECT {ROW} FROM {STAGED} WHERE __issue{n} = {Issue.MALFORMED:d} ORDER BY {ROW} LIMIT {SHOWN}"
    )
    facts = {"count": count, "type": _expected(policy)}
    return [
        Problem("load.malformed", table.name, source.path.name, source.line_of(row), row, column, facts)
        for (row,) in places
    ]


def _effect(issue: Issue, column: Column) -> Effect:
    if issue is Issue.CLAMPED:
        return Effect.CLAMPED
    return Effect.EMPTIED if column.nullable else Effect.DROPPED


def _expected(column: Column) -> str:
    return f"{column.type} ({column.format})" if column.format else str(column.type)
