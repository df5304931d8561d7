"""`load`: files in, one new version of a dataset out, or nothing.

For each table, parents before children: read → number the units → rank each unit's rows → check → write.
What spans units (unique keys, caps on a whole table, distinct values) refuses the load; what lies within one
unit (values out of bounds, rows beyond the unit's cap) is dropped or changed, and counted. So removing one
unit from the files leaves every other unit's rows, ranks and kept keys as they were.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from sandbox_guard.engines.versions import Version, current
from sandbox_guard.policy.enforced import enforced
from sandbox_guard.policy.model import Dataset, Policies, Population
from sandbox_guard.steward import layout
from sandbox_guard.steward.bench import STAGED, Bench, Means, workbench
from sandbox_guard.steward.check import check, check_ranks
from sandbox_guard.steward.quality import (
    LoadRefused,
    LoadReport,
    OnProgress,
    Problem,
    Progress,
    Step,
    TableReport,
    quiet,
)
from sandbox_guard.steward.rank import rank
from sandbox_guard.steward.source import ROW, Unreadable, open_source
from sandbox_guard.steward.sql import name, names, text
from sandbox_guard.steward.stage import stage
from sandbox_guard.steward.tables import Stored, stored_tables


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
        with workbench(shop, state, population, means) as bench:
            reports = _load_tables(bench, described, given, previous, progress)
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
    return LoadReport(dataset, serial, version, reports)


def _load_tables(
    bench: Bench,
    described: Dataset,
    given: Mapping[str, Path],
    previous: Version | None,
    progress: OnProgress,
) -> tuple[TableReport, ...]:
    """All tables; whatever is wrong with any of them is said at once."""
    reports: list[TableReport] = []
    problems: list[Problem] = []
    refused: set[str] = set()
    for table in stored_tables(described).values():
        if table.parent and table.parent[1] in refused:
            refused.add(table.name)  # its units cannot be known
            continue
        try:
            if table.name in given:
                reports.append(_load_table(bench, table, given[table.name], progress))
            elif previous is not None:
                reports.append(_carry_over(bench, table, previous))
        except LoadRefused as refusal:
            problems.extend(refusal.problems)
            refused.add(table.name)
    if problems:
        raise LoadRefused(tuple(problems))
    return tuple(reports)


def _load_table(bench: Bench, table: Stored, path: Path, progress: OnProgress) -> TableReport:
    """THE path of a table: read → rank → check → write."""
    try:
        source = open_source(path, table.sources)
        read = stage(bench, table, source, progress)
        findings = read.findings
        if table.policy.private:
            findings += rank(bench, table, read, progress)
        else:
            bench.run(f"CREATE TEMP VIEW kept AS SELECT * FROM {STAGED} WHERE NOT __drop")
        progress(Progress(table.name, Step.CHECK, 0, read.rows))
        rows = check(bench, table, source)
        progress(Progress(table.name, Step.WRITE, 0, rows))
        members = _write(bench, table, rows)
        progress(Progress(table.name, Step.WRITE, rows, rows))
    except Unreadable as why:
        facts = {"detail": why.detail}
        problem = Problem(f"load.{why.rule}", table.name, path.name, why.line, column=why.column, facts=facts)
        raise LoadRefused((problem,)) from None
    finally:
        bench.clear()
    return TableReport(table.name, path.name, read.rows, rows, members, findings, source.ignored)


def _write(bench: Bench, table: Stored, rows: int) -> int:
    """`kept` as the stored table; a private one clustered by rank, so that `rank <= K` skips whole row
    groups. Returns how many units have rows in it."""
    target = f"main.{name(table.name)}"
    if not table.policy.private:
        bench.run(f"CREATE TABLE {target} AS SELECT {names(table.columns)} FROM kept ORDER BY {ROW}")
        return 0
    columns = names(["__unit", "__rank", *table.flags.values(), *table.columns])
    bench.run(f"CREATE TABLE {target} AS SELECT {columns} FROM kept ORDER BY __rank, __unit")
    return check_ranks(bench, target, rows)


def _carry_over(bench: Bench, table: Stored, previous: Version) -> TableReport:
    """The table as the version before holds it, under the same facts."""
    bench.run(f"ATTACH IF NOT EXISTS {text(str(previous.data))} AS previous (READ_ONLY)")
    target, private = f"main.{name(table.name)}", table.policy.private
    order = "ORDER BY __rank, __unit" if private else ""
    bench.run("SET preserve_insertion_order = true")
    bench.run(f"CREATE TABLE {target} AS SELECT * FROM previous.{target} {order}")
    bench.run("SET preserve_insertion_order = false")
    (rows,) = bench.row(f"SELECT count(*) FROM {target}")
    return TableReport(table.name, None, rows, rows, check_ranks(bench, target, rows) if private else 0)


# ------------------------------------------------------------------------ before it begins


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
    tables = stored_tables(described)
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
