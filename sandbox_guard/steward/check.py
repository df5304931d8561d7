"""What spans units, and so refuses the load where it does not hold; and the one fact that every bound rests on."""

from __future__ import annotations

from sandbox_guard.steward.bench import Bench
from sandbox_guard.steward.quality import LoadRefused, Problem
from sandbox_guard.steward.source import ROW, Source
from sandbox_guard.steward.sql import name, names
from sandbox_guard.steward.tables import Stored


def check(bench: Bench, table: Stored, source: Source) -> int:
    """How many rows of `kept` will be stored. `LoadRefused` names each rule that does not hold."""
    problems: list[Problem] = []
    capped = {c: column.max_distinct for c, column in table.columns.items() if column.max_distinct}
    distinct = "".join(f", count(DISTINCT {name(c)})" for c in capped)
    kept, *counts = bench.row(f"SELECT count(*){distinct} FROM kept")
    if kept > table.policy.max_rows:
        facts: dict[str, object] = {"count": kept, "cap": table.policy.max_rows}
        problems.append(Problem("load.max_rows", table.name, source.path.name, facts=facts))
    for key in table.policy.unique:
        columns = [c.lower() for c in key]
        if found := _repeated(bench, columns, kept):
            first, second = sorted(found)[:2]
            problems.append(
                Problem(
                    "load.unique",
                    table.name,
                    source.path.name,
                    source.line_of(second),
                    second,
                    ", ".join(columns),
                    {"other": source.line_of(first) or first},
                )
            )
    for (c, cap), count in zip(capped.items(), counts, strict=True):
        if count > cap:
            facts = {"count": count, "cap": cap}
            problems.append(Problem("load.max_distinct", table.name, source.path.name, column=c, facts=facts))
    if problems:
        raise LoadRefused(tuple(problems))
    return int(kept)


def _repeated(bench: Bench, columns: list[str], rows: int) -> list[int]:
    """Of `rows` rows those of the file that share a key which must be unique; NULL counts as a value."""
    key = names(columns)
    (different,) = bench.row(f"SELECT count(*) FROM (SELECT DISTINCT {key} FROM kept)")
    if different == rows:
        return []
    return list(
        bench.row(f"SELECT min({ROW}), max({ROW}) FROM kept GROUP BY {key} HAVING count(*) > 1 LIMIT 1")
    )


def check_ranks(bench: Bench, target: str, rows: int) -> int:
    """(unit, rank) is unique in the stored table, which holds `rows` rows: every bound on a unit's contribution
    rests on it (SOUNDNESS 25). Returns how many units there are."""
    places, members = bench.row(
        f"SELECT count(*), count(*) FILTER (__rank = 1) FROM (SELECT DISTINCT __unit, __rank FROM {target})"
    )
    if places != rows:
        raise AssertionError(f"{target}: rows of one unit share a rank")
    return int(members)
