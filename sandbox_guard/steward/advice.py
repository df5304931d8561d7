"""What the policy could declare, as far as today's data shows: for the steward to decide by, never used.

A fact makes plans cheaper only once policy declares it and the loader enforces it. Were it recognised instead,
prices would tell of the one firm that breaks it (SOUNDNESS 21). No number is shown: a bound read off the data
would be one firm's value in a public file (SOUNDNESS 34).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Dataset
from sandbox_guard.steward.sql import name
from sandbox_guard.steward.tables import Stored, stored_tables

LOOKED_AT = 200_000
"""Rows whose units are looked at, where a table is larger: a fact about all rows would have to hold for these."""


def advise(dataset: Dataset, data: Path) -> Iterator[Text]:
    """One sentence for each fact that holds in `data` (a version's data file) and is not declared."""
    with duckdb.connect(str(data), read_only=True) as connection:
        for table in stored_tables(dataset).values():
            if table.policy.private:
                yield from _about(connection, table)


def _about(connection: duckdb.DuckDBPyConnection, table: Stored) -> Iterator[Text]:
    stored = f"main.{name(table.name)}"
    ((rows, most),) = connection.execute(f"SELECT count(*), max(__rank) FROM {stored}").fetchall()
    if not rows:
        return
    if most == 1 and table.policy.max_rows_per_unit != 1:
        yield Text(
            f"{table.name}：每个单元至多一行，可声明 max_rows_per_unit: 1。",
            f"{table.name}: no unit has more than one row; max_rows_per_unit: 1 could be declared.",
        )
    share = -(-rows // LOOKED_AT)
    looked_at = f"(SELECT * FROM {stored} WHERE __unit % {share} = 0)"
    full, constant = _full(connection, table, stored), set[str]()
    if most > 1:
        constant = _constant(connection, table, looked_at)
    always = [c for c, policy in table.columns.items() if policy.nullable and c in full]
    if always:
        yield Text(
            f"{table.name}：没有空值，可去掉 nullable：{'、'.join(always)}。",
            f"{table.name}: never empty, so nullable could go: {', '.join(always)}.",
        )
    same = [
        c for c, p in table.columns.items() if c in constant and not p.unit_constant and c not in table.unit
    ]
    if same:
        yield Text(
            f"{table.name}：似乎在同一单元内不变，可声明 unit_constant: true：{'、'.join(same)}。",
            f"{table.name}: seem not to vary within a unit, so unit_constant: true could be declared: "
            f"{', '.join(same)}.",
        )


def _full(connection: duckdb.DuckDBPyConnection, table: Stored, stored: str) -> set[str]:
    columns = list(table.columns)
    counts = ", ".join(f"count(*) = count({name(c)})" for c in columns)
    (found,) = connection.execute(f"SELECT {counts} FROM {stored}").fetchall()
    return {c for c, full in zip(columns, found, strict=True) if full}


def _constant(connection: duckdb.DuckDBPyConnection, table: Stored, rows: str) -> set[str]:
    columns = list(table.columns)
    varies = ", ".join(
        f"max({name(c)}) IS DISTINCT FROM min({name(c)}) OR count({name(c)}) NOT IN (0, count(*)) AS v{n}"
        for n, c in enumerate(columns)
    )
    any_varies = ", ".join(f"bool_or(v{n})" for n in range(len(columns)))
    (found,) = connection.execute(
        f"SELECT {any_varies} FROM (SELECT {varies} FROM {rows} GROUP BY __unit HAVING count(*) > 1)"
    ).fetchall()
    return {c for c, v in zip(columns, found, strict=True) if v is False}
