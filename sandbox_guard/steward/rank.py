"""Each row's rank within its unit: a function of a secret and of that unit's own rows, and of nothing else.

No window, hash or bucket here may look across units: were one unit's rows to change, every other unit must
keep its rows, ranks and first-row flags (DESIGN section 3).
"""

from __future__ import annotations

from sandbox_guard.steward.bench import OWNERS, RANKED, STAGED, Bench
from sandbox_guard.steward.columns import stored_type
from sandbox_guard.steward.quality import Effect, Finding, OnProgress, Progress, Rule, Step
from sandbox_guard.steward.shards import SHARDS, owners, share
from sandbox_guard.steward.source import ROW
from sandbox_guard.steward.sql import name, names
from sandbox_guard.steward.stage import Read
from sandbox_guard.steward.tables import Stored


def rank(bench: Bench, table: Stored, read: Read, progress: OnProgress) -> tuple[Finding, ...]:
    """`staged` as the table `ranked`: with `__unit`, `__rank`, the first-row flags, `__fate` (why a
    row is not kept) and `__varied` (how many of its values gave way to the unit's first row). The view `kept`
    is what is left of it."""
    if table.parent is None:
        assert bench.dictionary is not None
        bench.dictionary.add(f"SELECT DISTINCT __key AS id FROM {STAGED} WHERE NOT __drop")
    bench.run(f"CREATE TABLE {RANKED} ({_ranked_columns(table)})")
    rows, buckets, owning = read.rows, min(bench.buckets(read.rows), SHARDS), owners(table)
    if buckets > 1:
        bench.run(f"CREATE TABLE {OWNERS} AS FROM {owning} ORDER BY shard")
        owning = OWNERS
    for bucket in range(buckets):
        progress(Progress(table.name, Step.RANK, rows * bucket // buckets, rows))
        ranking = _ranking(table, owning, *share(bucket, buckets))
        bench.connection.execute(ranking, {"secret": f"{bench.secret} {table.name} "})
    progress(Progress(table.name, Step.RANK, rows, rows))
    bench.run(f"CREATE TEMP VIEW kept AS SELECT * FROM {RANKED} WHERE __fate = {_KEPT}")
    ranked, duplicates, beyond, varied = bench.row(
        f"""
        SELECT count(*), count(*) FILTER (__fate = {_DUPLICATE}), count(*) FILTER (__fate = {_BEYOND}), coalesce(sum(__varied), 0)
        FROM {RANKED}
        """
    )
    found = (
        Finding(Rule.DANGLING, Effect.DROPPED, None, read.sound - ranked),
        Finding(Rule.DUPLICATE, Effect.DROPPED, None, duplicates),
        Finding(Rule.CAP, Effect.DROPPED, None, beyond),
        Finding(Rule.UNIT_CONSTANT, Effect.REPLACED, None, varied),
    )
    return tuple(f for f in found if f.count)


_KEPT, _DUPLICATE, _BEYOND = range(3)


def _ranked_columns(table: Stored) -> str:
    types = [("__unit", "BIGINT"), ("__rank", "INTEGER")]
    types += [(flag, "BOOLEAN") for flag in table.flags.values()]
    types += [(c, stored_type(column)) for c, column in table.columns.items()]
    types += [("__fate", "UTINYINT"), ("__varied", "UINTEGER"), (ROW, "BIGINT")]
    return ", ".join(f"{name(n)} {t}" for n, t in types)


def _ranking(table: Stored, owning: str, first: int, last: int) -> str:
    """One bucket of units, those of whole shards: order each unit's rows by a keyed hash of all columns, ties by all
    columns; rows that still tie are the same row twice, and any order of them is one order."""
    columns = names(table.columns)
    rows = f"""
        SELECT owner.unit AS __unit, {ROW}, {columns},
               unhex(substr(sha256(concat($secret, CAST(ROW({columns}) AS VARCHAR))), 1, 24)) AS __order
        FROM (SELECT * FROM {STAGED} WHERE NOT __drop AND __shard BETWEEN {first} AND {last}) row_
        JOIN (SELECT * FROM {owning} WHERE shard BETWEEN {first} AND {last}) owner ON owner.id = row_.__key
        """
    placed = f"""
        SELECT * EXCLUDE (__order), row_number() OVER (PARTITION BY __unit ORDER BY __order, {columns}) AS __place
        FROM ({rows})
        """
    same, varied = _made_constant(table)
    levelled = f"SELECT * {same}, {varied} AS __varied FROM ({placed}) WINDOW own AS (PARTITION BY __unit ORDER BY __place)"
    marked = f"SELECT *, {_repeats(table)} AS __repeats FROM ({levelled})"
    firsts = "".join(
        f", row_number() OVER (PARTITION BY __unit, {name(c)}, __repeats ORDER BY __place) = 1 AS {name(flag)}"
        for c, flag in table.flags.items()
    )
    # Where no row can be a repetition, places are ranks.
    unique = table.policy.unique_in_unit
    ranked = "row_number() OVER (PARTITION BY __unit, __repeats ORDER BY __place)" if unique else "__place"
    numbered = f"SELECT *, {ranked} AS __rank {firsts} FROM ({marked})"
    fate = f"CASE WHEN __repeats THEN {_DUPLICATE} WHEN __rank > {table.policy.max_rows_per_unit} THEN {_BEYOND} ELSE {_KEPT} END"
    return f"""
        INSERT INTO {RANKED} BY NAME
        SELECT __unit, __rank, {"".join(f"{name(flag)}, " for flag in table.flags.values())} {columns},
               {fate} AS __fate, __varied, {ROW}
        FROM ({numbered})
        """


def _made_constant(table: Stored) -> tuple[str, str]:
    """SQL that gives unit-constant columns the value of the unit's first row, and that counts how often."""
    constant = [name(c) for c, column in table.columns.items() if column.unit_constant]
    if not constant:
        return "", "0"
    first = [f"first_value({c}) OVER own" for c in constant]
    replaced = ", ".join(f"{f} AS {c}" for f, c in zip(first, constant, strict=True))
    varied = " + ".join(
        f"CAST({c} IS DISTINCT FROM {f} AS INTEGER)" for f, c in zip(first, constant, strict=True)
    )
    return f"REPLACE ({replaced})", varied


def _repeats(table: Stored) -> str:
    """Does an earlier row of the unit have the same unique_in_unit key? NULL counts as a value."""
    return (
        " OR ".join(
            f"row_number() OVER (PARTITION BY __unit, {names(c.lower() for c in key)} ORDER BY __place) > 1"
            for key in table.policy.unique_in_unit
        )
        or "false"
    )
