"""`load`: files in, one new version of a dataset out, or nothing.

For each table, parents before children: read → number the units → rank each unit's rows → check → write.
What spans units (unique keys, caps on a whole table, distinct values) refuses the load; what lies within one
unit (values out of bounds, rows beyond the unit's cap) is dropped or changed, and counted. So removing one
unit from the files leaves every other unit's rows, ranks and kept keys as they were.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sandbox_guard.engines.versions import DATA, Version, current
from sandbox_guard.policy.enforced import enforced
from sandbox_guard.policy.model import Column, Dataset, Policies, Population, Table
from sandbox_guard.steward import layout, units
from sandbox_guard.steward.columns import Issue, staged, stored_type
from sandbox_guard.steward.quality import (
    Effect,
    Finding,
    LoadRefused,
    LoadReport,
    OnProgress,
    Problem,
    Progress,
    Rule,
    Step,
    TableReport,
    quiet,
)
from sandbox_guard.steward.source import ROW, Source, Unreadable, open_source
from sandbox_guard.steward.sql import name, names, text

SHOWN = 3
"""Places shown for one problem of one column."""


@dataclass(frozen=True)
class Means:
    """What a load may use. Ranking works on `bucket_rows` rows at a time, whatever the table's size."""

    memory: str = "1200MB"
    threads: int = os.cpu_count() or 1
    bucket_rows: int = 1_000_000


def load(
    policies: Policies,
    dataset: str,
    files: Mapping[str, Path],
    home: Path,
    progress: OnProgress = quiet,
    *,
    means: Means = Means(),
) -> LoadReport:
    """Load `files` (by table; the tables left out are carried over from the current version) as the new
    current version of `dataset` under `home`.

    Raises `LoadRefused`, and then nothing has changed: the version before stays current.
    """
    described = policies.datasets[dataset]
    population = policies.populations[described.population] if described.population else None
    state = layout.Home(home)
    folder = state.dataset(dataset)
    given = {table.lower(): path for table, path in files.items()}
    with _alone(state, dataset, population), layout.workshop(folder) as shop, _enough(dataset):
        previous = _carried_over(described, given, current(folder))
        with _workbench(shop, state, population, means) as bench:
            reports: list[TableReport] = []
            problems: list[Problem] = []
            failed: set[str] = set()
            for table in _parents_first(described):
                try:
                    if table.parent and table.parent[1] in failed:
                        failed.add(table.name)
                    elif table.name in given:
                        reports.append(_load_table(bench, table, given[table.name], progress))
                    elif previous is not None:
                        reports.append(_carry_over(bench, table, previous))
                except LoadRefused as refused:
                    problems.extend(refused.problems)
                    failed.add(table.name)
            if problems:
                raise LoadRefused(tuple(problems))
        serial = layout.next_serial(folder)
        version = f"{serial}-{secrets.token_hex(8)}"
        manifest = {
            "dataset": dataset,
            "serial": serial,
            "version": version,
            "loaded_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "enforced": enforced(described),
        }
        layout.publish(shop, manifest, folder / str(serial))
        layout.prune(folder)
    return LoadReport(dataset, serial, version, tuple(reports))


# ------------------------------------------------------------------------------ what is loaded


@dataclass(frozen=True)
class _Named:
    """A table with its names in lower case, as they are stored."""

    name: str
    policy: Table
    columns: Mapping[str, Column]

    @property
    def unit(self) -> list[str]:
        return [c.lower() for c in self.policy.unit or ()]

    @property
    def parent(self) -> tuple[str, str, str] | None:
        """(own column, parent table, parent's unique column)."""
        through = self.policy.unit_through
        if through is None:
            return None
        table, column = through.references.lower().split(".")
        return through.column.lower(), table, column

    @property
    def keys(self) -> list[str]:
        return [c for c, column in self.columns.items() if column.key]


def _named(described: Dataset) -> dict[str, _Named]:
    return {
        n.lower(): _Named(n.lower(), t, {c.lower(): column for c, column in t.columns.items()})
        for n, t in described.tables.items()
    }


def _parents_first(described: Dataset) -> list[_Named]:
    tables = _named(described)
    ordered: dict[str, _Named] = {}

    def place(table: _Named) -> None:
        if table.parent and table.parent[1] not in ordered:
            place(tables[table.parent[1]])
        ordered[table.name] = table

    for table in tables.values():
        if table.name not in ordered:
            place(table)
    return list(ordered.values())


@contextmanager
def _alone(state: layout.Home, dataset: str, population: Population | None) -> Iterator[None]:
    """One load of a dataset, and one user of a dictionary, at a time."""
    with ExitStack() as locks:
        try:
            locks.enter_context(layout.locked(state.lock(f"load-{dataset}")))
            if population:
                locks.enter_context(layout.locked(state.lock(f"units-{population.name}")))
        except layout.Busy as busy:
            raise LoadRefused((Problem("load.busy", dataset, facts={"pid": busy.pid}),)) from None
        yield


@contextmanager
def _enough(dataset: str) -> Iterator[None]:
    """A machine that runs out of memory or disk is a refusal too: nothing has changed."""
    detail = ""
    try:
        yield
        return
    except (duckdb.OutOfMemoryException, duckdb.IOException, OSError) as problem:
        detail = str(problem).splitlines()[0]
    raise LoadRefused((Problem("load.resources", dataset, facts={"detail": detail}),))


def _carried_over(described: Dataset, given: Mapping[str, Path], before: Version | None) -> Version | None:
    """The version from which the tables without a file come, if there are such tables and they may."""
    tables = _named(described)
    problems = [Problem("load.unknown_table", t) for t in given if t not in tables]
    absent = [t for t in tables.values() if t.name not in given]
    usable = before is not None and before.enforced == enforced(described)
    for table in absent:
        if not usable:
            problems.append(Problem("load.no_file", table.name))
        elif table.parent and table.parent[1] in given:
            problems.append(
                Problem("load.no_file_beside_parent", table.name, facts={"parent": table.parent[1]})
            )
    if problems:
        raise LoadRefused(tuple(problems))
    return before if absent else None


# ----------------------------------------------------------------------------------- the bench


@dataclass(frozen=True)
class _Bench:
    """An open data file in the making, with the population's dictionary and secret at hand."""

    connection: duckdb.DuckDBPyConnection
    population: Population | None
    dictionary: units.Dictionary | None
    secret: str
    means: Means

    def run(self, sql: str) -> None:
        self.connection.execute(sql)

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of a query that counts something."""
        (found,) = self.rows(sql)
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def clear(self) -> None:
        """Drop what a table, stored or refused, left behind on the way."""
        self.run("DROP VIEW IF EXISTS kept; DROP TABLE IF EXISTS ranked; DROP TABLE IF EXISTS staged")

    def buckets(self, rows: int) -> int:
        return max(1, -(-rows // self.means.bucket_rows))


@contextmanager
def _workbench(
    shop: Path, state: layout.Home, population: Population | None, means: Means
) -> Iterator[_Bench]:
    spill = shop / "spill"
    spill.mkdir(mode=0o700)
    connection = duckdb.connect(
        str(shop / DATA),
        config={"memory_limit": means.memory, "threads": means.threads, "temp_directory": str(spill)},
    )
    try:
        # window_self_join answers wrongly depending on column statistics (SOUNDNESS 14); the other one
        # makes ranking three times slower.
        connection.execute(
            "SET preserve_insertion_order = false;"
            "SET disabled_optimizers = 'window_self_join,top_n_window_elimination';"
            "SET python_enable_replacements = false;"
            "SET autoinstall_known_extensions = false;"
            "SET autoload_known_extensions = false;"
        )
        if population is None:
            yield _Bench(connection, None, None, "", means)
        else:
            dictionary = units.Dictionary(connection, state.dictionary(population.name), population)
            secret = units.rank_secret(state.keys, population.name).hex()
            yield _Bench(connection, population, dictionary, secret, means)
            dictionary.close()
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    spill.rmdir()


# -------------------------------------------------------------------------------- one table


def _load_table(bench: _Bench, table: _Named, path: Path, progress: OnProgress) -> TableReport:
    bench.clear()
    try:
        source = open_source(
            path, {c: column.source or _as_written(table, c) for c, column in table.columns.items()}
        )
        read, findings = _stage(bench, table, source, progress)
    except Unreadable as unreadable:
        raise LoadRefused(
            (
                Problem(
                    f"load.{unreadable.rule}",
                    table.name,
                    path.name,
                    unreadable.line,
                    column=unreadable.column,
                    facts={"detail": unreadable.detail},
                ),
            )
        ) from None
    if table.policy.private:
        findings += _rank(bench, table, read, progress)
    else:
        bench.run("CREATE TEMP VIEW kept AS SELECT * FROM staged WHERE NOT __drop")
    progress(Progress(table.name, Step.CHECK, 0, read))
    _check(bench, table, source, read)
    progress(Progress(table.name, Step.WRITE, 0, read))
    stored, members = _write(bench, table)
    progress(Progress(table.name, Step.WRITE, stored, stored))
    bench.clear()
    return TableReport(table.name, path.name, read, stored, members, tuple(findings), source.ignored)


def _as_written(table: _Named, column: str) -> str:
    return next(c for c in table.policy.columns if c.lower() == column)


def _stage(bench: _Bench, table: _Named, source: Source, progress: OnProgress) -> tuple[int, list[Finding]]:
    """The file as the temporary table `staged`: `__row`, the stored columns, `__i<n>` (the issue of each),
    `__key` (the unit's published id, or the key that leads to it) and `__drop`."""
    columns = list(table.columns.items())
    parts = [
        staged(column, name(c), f"s{n}", f"p{n}", source.schema.field(c).type)
        for n, (c, column) in enumerate(columns)
    ]
    read = ", ".join(f"{part.read} AS s{n}" for n, part in enumerate(parts))
    parsed = ", ".join(f"{part.parsed} AS p{n}" for n, part in enumerate(parts))
    values = ", ".join(
        f"{part.value} AS {name(c)}, {part.issue} AS __i{n}"
        for n, ((c, _), part) in enumerate(zip(columns, parts, strict=True))
    )
    missing = [f"{name(c)} IS NULL" for c, column in columns if not column.nullable]
    key = _key(bench, table)
    if key != "NULL":
        missing.append("__key IS NULL")
    reading = source.read(lambda rows: progress(Progress(table.name, Step.READ, rows, source.rows)))
    bench.connection.register("incoming", reading.stream)
    try:
        bench.run(
            f"""
            CREATE TEMP TABLE staged AS
            SELECT *, {" OR ".join(missing) or "false"} AS __drop
            FROM (SELECT *, {key} AS __key
                  FROM (SELECT {ROW}, {values}
                        FROM (SELECT *, {parsed}
                              FROM (SELECT {ROW}, {read} FROM incoming))))
            """
        )
    except duckdb.Error:
        if reading.failure is not None:
            raise reading.failure from None
        raise
    finally:
        bench.connection.unregister("incoming")
    return _counted(bench, table, source)


def _key(bench: _Bench, table: _Named) -> str:
    if table.parent:
        return name(table.parent[0])
    if table.unit and bench.population:
        return units.published_id(bench.population, table.policy, [name(c) for c in table.unit])
    return "NULL"


def _counted(bench: _Bench, table: _Named, source: Source) -> tuple[int, list[Finding]]:
    columns = list(table.columns.items())
    issues = ", ".join(f"histogram(__i{n})" for n in range(len(columns)))
    unit_known = " AND ".join(f"{name(c)} IS NOT NULL" for c in table.unit) or "false"
    read, no_unit, *histograms = bench.row(
        f"SELECT count(*), count_if(__key IS NULL AND {unit_known}), {issues} FROM staged"
    )
    findings: list[Finding] = []
    problems: list[Problem] = []
    for n, ((c, column), histogram) in enumerate(zip(columns, histograms, strict=True)):
        counts: dict[int, int] = histogram or {}
        if count := counts.get(Issue.MALFORMED):
            places = bench.rows(
                f"SELECT {ROW} FROM staged WHERE __i{n} = {Issue.MALFORMED:d} ORDER BY {ROW} LIMIT {SHOWN}"
            )
            facts = {"count": count, "type": _expected(column)}
            problems += [
                Problem("load.malformed", table.name, source.path.name, source.line_of(row), row, c, facts)
                for (row,) in places
            ]
        for issue, count in sorted(counts.items()):
            if issue not in (Issue.NONE, Issue.MALFORMED):
                findings.append(Finding(Rule[Issue(issue).name], _effect(Issue(issue), column), c, count))
    if problems:
        raise LoadRefused(tuple(problems))
    if no_unit:
        findings.append(Finding(Rule.UNIT, Effect.DROPPED, None, no_unit))
    return read, findings


def _effect(issue: Issue, column: Column) -> Effect:
    if issue is Issue.CLAMPED:
        return Effect.CLAMPED
    return Effect.EMPTIED if column.nullable else Effect.DROPPED


def _expected(column: Column) -> str:
    return f"{column.type} ({column.format})" if column.format else str(column.type)


# ------------------------------------------------------------------------ rank within the unit


def _rank(bench: _Bench, table: _Named, rows: int, progress: OnProgress) -> list[Finding]:
    """`staged` as the temporary table `ranked`: with `__unit`, `__rank`, the first-row flags, `__fate` (why a
    row is not kept) and `__varied` (how many of its values gave way to the unit's first row). The view `kept`
    is what is left of it."""
    if table.parent is None:
        assert bench.dictionary is not None
        bench.dictionary.add("SELECT DISTINCT __key AS id FROM staged WHERE NOT __drop")
    bench.run(f"CREATE TEMP TABLE ranked ({_ranked_columns(table)})")
    buckets = bench.buckets(rows)
    for bucket in range(buckets):
        progress(Progress(table.name, Step.RANK, rows * bucket // buckets, rows))
        bench.connection.execute(
            _ranking(table, bucket, buckets), {"secret": f"{bench.secret} {table.name} "}
        )
    progress(Progress(table.name, Step.RANK, rows, rows))
    bench.run(f"CREATE TEMP VIEW kept AS SELECT * FROM ranked WHERE __fate = {_KEPT}")
    valid, ranked, duplicates, beyond, varied = bench.row(
        f"""
        SELECT (SELECT count(*) FROM staged WHERE NOT __drop),
               count(*), count_if(__fate = {_DUPLICATE}), count_if(__fate = {_BEYOND}), coalesce(sum(__varied), 0)
        FROM ranked
        """
    )
    found = (
        Finding(Rule.DANGLING, Effect.DROPPED, None, valid - ranked),
        Finding(Rule.DUPLICATE, Effect.DROPPED, None, duplicates),
        Finding(Rule.CAP, Effect.DROPPED, None, beyond),
        Finding(Rule.UNIT_CONSTANT, Effect.REPLACED, None, varied),
    )
    return [f for f in found if f.count]


_KEPT, _DUPLICATE, _BEYOND = range(3)


def _flags(table: _Named) -> list[str]:
    return [f"__first_{c}" for c in table.keys]


def _ranked_columns(table: _Named) -> str:
    types = [("__unit", "BIGINT"), ("__rank", "INTEGER")]
    types += [(flag, "BOOLEAN") for flag in _flags(table)]
    types += [(c, stored_type(column)) for c, column in table.columns.items()]
    types += [("__fate", "UTINYINT"), ("__varied", "UINTEGER"), (ROW, "BIGINT")]
    return ", ".join(f"{name(n)} {t}" for n, t in types)


def _ranking(table: _Named, bucket: int, buckets: int) -> str:
    """One bucket of units: order each unit's rows by a keyed hash of all columns, ties by all columns; rows
    that still tie are the same row twice, and any order of them is one order."""
    columns = names(table.columns)
    if table.parent:
        _, parent, key = table.parent
        owners = f"(SELECT {name(key)} AS id, __unit AS unit FROM main.{name(parent)})"
    else:
        owners = units.Dictionary.TABLE
    share = "" if buckets == 1 else f" AND hash({{}}) % {buckets} = {bucket}"
    rows = f"""
        SELECT owner.unit AS __unit, {ROW}, {columns},
               unhex(substr(sha256(concat($secret, CAST(ROW({columns}) AS VARCHAR))), 1, 24)) AS __order
        FROM (SELECT * FROM staged WHERE NOT __drop{share.format("__key")}) row_
        JOIN (SELECT * FROM {owners} WHERE true{share.format("id")}) owner ON owner.id = row_.__key
        """
    placed = f"""
        SELECT * EXCLUDE (__order), row_number() OVER (PARTITION BY __unit ORDER BY __order, {columns}) AS __place
        FROM ({rows})
        """
    same, varied = _made_constant(table)
    levelled = f"SELECT * {same}, {varied} AS __varied FROM ({placed}) WINDOW own AS (PARTITION BY __unit ORDER BY __place)"
    marked = f"SELECT *, {_repeats(table)} AS __repeats FROM ({levelled})"
    first = "".join(
        f", row_number() OVER (PARTITION BY __unit, {name(c)}, __repeats ORDER BY __place) = 1 AS {name('__first_' + c)}"
        for c in table.keys
    )
    numbered = f"""
        SELECT *, row_number() OVER (PARTITION BY __unit, __repeats ORDER BY __place) AS __rank {first} FROM ({marked})
        """
    fate = f"CASE WHEN __repeats THEN {_DUPLICATE} WHEN __rank > {table.policy.max_rows_per_unit} THEN {_BEYOND} ELSE {_KEPT} END"
    return f"""
        INSERT INTO ranked BY NAME
        SELECT __unit, __rank, {"".join(f"{name(flag)}, " for flag in _flags(table))} {columns},
               {fate} AS __fate, __varied, {ROW}
        FROM ({numbered})
        """


def _made_constant(table: _Named) -> tuple[str, str]:
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


def _repeats(table: _Named) -> str:
    """Does an earlier row of the unit have the same unique_in_unit key? NULL counts as a value."""
    return (
        " OR ".join(
            f"row_number() OVER (PARTITION BY __unit, {names(c.lower() for c in key)} ORDER BY __place) > 1"
            for key in table.policy.unique_in_unit
        )
        or "false"
    )


# ------------------------------------------------------------------------- check and write


def _check(bench: _Bench, table: _Named, source: Source, rows: int) -> None:
    """What spans units. Broken, it refuses the load."""
    problems: list[Problem] = []
    (kept,) = bench.row("SELECT count(*) FROM kept")
    if kept > table.policy.max_rows:
        facts: dict[str, object] = {"count": kept, "cap": table.policy.max_rows}
        problems.append(Problem("load.max_rows", table.name, source.path.name, facts=facts))
    for key in table.policy.unique:
        columns = [c.lower() for c in key]
        if found := _repeated(bench, columns, bench.buckets(rows)):
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
    for c, column in table.columns.items():
        if column.max_distinct is not None:
            (count,) = bench.row(f"SELECT count(DISTINCT {name(c)}) FROM kept")
            if count > column.max_distinct:
                facts = {"count": count, "cap": column.max_distinct}
                problems.append(
                    Problem("load.max_distinct", table.name, source.path.name, column=c, facts=facts)
                )
    if problems:
        raise LoadRefused(tuple(problems))


def _repeated(bench: _Bench, columns: list[str], buckets: int) -> list[int]:
    """Rows of the file that share a key which must be unique; NULL counts as a value."""
    key = names(columns)
    for bucket in range(buckets):
        share = "" if buckets == 1 else f"WHERE hash(ROW({key})) % {buckets} = {bucket}"
        found = bench.rows(
            f"""
            SELECT min({ROW}), max({ROW}) FROM kept {share}
            GROUP BY {key} HAVING count(*) > 1 LIMIT 1
            """
        )
        if found:
            return list(found[0])
    return []


def _write(bench: _Bench, table: _Named) -> tuple[int, int]:
    """`kept` as the stored table, clustered by rank. Returns rows and units stored."""
    target = f"main.{name(table.name)}"
    if not table.policy.private:
        bench.run(f"CREATE TABLE {target} AS SELECT {names(table.columns)} FROM kept ORDER BY {ROW}")
        (stored,) = bench.row(f"SELECT count(*) FROM {target}")
        return stored, 0
    columns = names(["__unit", "__rank", *_flags(table), *table.columns])
    bench.run(f"CREATE TABLE {target} AS SELECT {columns} FROM kept ORDER BY __rank, __unit")
    stored, members = bench.row(f"SELECT count(*), count_if(__rank = 1) FROM {target}")
    _insist_on_ranks(bench, target, stored)
    return stored, members


def _insist_on_ranks(bench: _Bench, target: str, rows: int) -> None:
    """(unit, rank) is unique: every bound on a unit's contribution rests on it (SOUNDNESS 25)."""
    buckets = bench.buckets(rows)
    for bucket in range(buckets):
        (twice,) = bench.row(
            f"""
            SELECT count(*) FROM (
                SELECT 1 FROM {target} WHERE __unit % {buckets} = {bucket}
                GROUP BY __unit, __rank HAVING count(*) > 1)
            """
        )
        if twice:
            raise AssertionError(f"{target}: rows of one unit share a rank")


def _carry_over(bench: _Bench, table: _Named, previous: Version) -> TableReport:
    """The table as the version before holds it, under the same facts."""
    bench.run(f"ATTACH IF NOT EXISTS {text(str(previous.data))} AS previous (READ_ONLY)")
    private = table.policy.private
    order = "ORDER BY __rank, __unit" if private else ""
    bench.run("SET preserve_insertion_order = true")
    bench.run(
        f"CREATE TABLE main.{name(table.name)} AS SELECT * FROM previous.main.{name(table.name)} {order}"
    )
    bench.run("SET preserve_insertion_order = false")
    members = "count_if(__rank = 1)" if private else "0"
    stored, units_ = bench.row(f"SELECT count(*), {members} FROM main.{name(table.name)}")
    return TableReport(table.name, None, stored, stored, units_)
