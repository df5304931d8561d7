"""The sample that a notebook sees: invented rows under the schema of the restricted tables.

A sample owes nothing to restricted data. For the invented city it comes from the same generator with
another seed; for any other dataset it is drawn from policy alone, which is public: types, bounds,
declared values, caps, unique keys, foreign keys. Public tables are copied whole.

Columns have the types that an analyst's SQL sees: BOOLEAN, BIGINT, DECIMAL (by step), DATE, VARCHAR.
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd

from sandbox_guard.policy.model import Column, ColumnType, Dataset, Policies, Population, Table
from sandbox_guard.steward import demo
from sandbox_guard.steward.sql import name, text

UNITS = 2_000
SEED = 20240229

INVENTED = {
    "zh": "样本数据：全部记录均为虚构，仅与真实数据的表结构相同，不可据此得出任何结论。",
    "en": "Sample data: every record is invented. Only the schema is that of the real data; conclude nothing from it.",
}


def make_sample(
    policies: Policies,
    dataset: str,
    out: Path,
    *,
    units: int = UNITS,
    seed: int = SEED,
    loaded: Path | None = None,
) -> None:
    """Write the sample of `dataset` to `out`, a DuckDB file, replacing what is there.

    `loaded` is the dataset's `data.duckdb`, of which only public tables are read; it is needed where a
    dataset that is not of the invented city has public tables. Raises ValueError where it is missing.
    Samples of one population share the ids of their units, so that joins between datasets find rows.
    """
    wanted = policies.datasets[dataset]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    part.unlink(missing_ok=True)
    with duckdb.connect(str(part)) as connection, TemporaryDirectory() as temporary:
        if _of_the_city(wanted):
            files = demo.generate(Path(temporary), units, seed)
            for table_name, table in wanted.tables.items():
                source = f"read_parquet({text(str(files[table_name.lower()]))})"
                _store(connection, table_name, table, source, in_steps=False)
        else:
            _copy_public(connection, wanted, loaded)
            for table_name, rows in _Draw(policies, wanted, units, seed, connection).tables():
                connection.register("drawn", rows)
                _store(connection, table_name, wanted.tables[table_name], "drawn", in_steps=True)
                connection.unregister("drawn")
        connection.execute("CREATE TABLE about_this_sample (language VARCHAR, text VARCHAR)")
        connection.executemany("INSERT INTO about_this_sample VALUES (?, ?)", list(INVENTED.items()))
    part.replace(out)


def _of_the_city(dataset: Dataset) -> bool:
    return dataset.invented and {table.lower() for table in dataset.tables} <= set(demo.TABLES)


# ------------------------------------------------------------------------------------------ storing


def sql_type(column: Column) -> str:
    """The type under which analysts see a column."""
    match column.type:
        case ColumnType.BOOLEAN:
            return "BOOLEAN"
        case ColumnType.INTEGER:
            return "BIGINT"
        case ColumnType.DATE:
            return "DATE"
        case ColumnType.STRING:
            return "VARCHAR"
        case ColumnType.NUMBER:
            return f"DECIMAL(18, {_decimals(column)})"


def _decimals(column: Column) -> int:
    exponent = (column.step or Decimal(1)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


def _store(
    connection: duckdb.DuckDBPyConnection, table_name: str, table: Table, source: str, *, in_steps: bool
) -> None:
    """Create the table from `source`. `in_steps`: numbers there are counts of their step."""

    def value(column_name: str, column: Column) -> str:
        stored = name(column_name.lower())
        if in_steps and column.type is ColumnType.NUMBER:
            stored = f"{stored} * CAST({text(str(column.step))} AS DOUBLE)"
        return f"CAST({stored} AS {sql_type(column)}) AS {name(column_name.lower())}"

    columns = ", ".join(value(c, column) for c, column in table.columns.items())
    target = name(table_name.lower())
    connection.execute(f"CREATE TABLE {target} AS SELECT {columns} FROM {source}")
    said = f"{table.title.zh} / {table.title.en}"
    if table.private:
        said += f"。{INVENTED['zh']} {INVENTED['en']}"
    connection.execute(f"COMMENT ON TABLE {target} IS {text(said)}")
    for column_name, column in table.columns.items():
        said = f"{column.title.zh} / {column.title.en}"
        connection.execute(f"COMMENT ON COLUMN {target}.{name(column_name.lower())} IS {text(said)}")


def _copy_public(connection: duckdb.DuckDBPyConnection, dataset: Dataset, loaded: Path | None) -> None:
    public = {table_name: table for table_name, table in dataset.tables.items() if not table.private}
    if not public:
        return
    if loaded is None:
        raise ValueError(
            f"the public tables of '{dataset.name}' are copied from its data.duckdb: name it as `loaded`"
        )
    connection.execute(f"ATTACH {text(str(loaded))} AS loaded (READ_ONLY)")
    for table_name, table in public.items():
        _store(connection, table_name, table, f"loaded.main.{name(table_name.lower())}", in_steps=True)
    connection.execute("DETACH loaded")


# ------------------------------------------------------------------------------ drawing from policy

_NULLS = 0.05
_DATES = (dt.date(2015, 1, 1), dt.date(2024, 12, 31))
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class _Draw:
    """Rows that policy alone decides."""

    policies: Policies
    dataset: Dataset
    units: int
    seed: int
    stored: duckdb.DuckDBPyConnection
    """Where the public tables stand already: foreign keys point into them."""

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Private tables, parents before children; numbers as counts of their step."""
        drawn: dict[str, pd.DataFrame] = {}
        waiting = {n: t for n, t in self.dataset.tables.items() if t.private}
        while waiting:
            table_name = next(n for n, t in waiting.items() if _parent(t) is None or _parent(t) in drawn)
            rows = self._table(table_name.lower(), waiting.pop(table_name), drawn)
            drawn[table_name.lower()] = rows
            yield table_name, rows.drop(columns=_OWNER)

    def _table(self, table_name: str, table: Table, drawn: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        rng = np.random.default_rng([self.seed, zlib.crc32(f"{self.dataset.name}.{table_name}".encode())])
        cap = table.max_rows_per_unit or 1
        parents = drawn.get(_parent(table) or "")
        owners = np.arange(self.units) if parents is None else parents[_OWNER].to_numpy()
        at = np.repeat(np.arange(len(owners)), _repeats(rng, len(owners), cap))
        rows = pd.DataFrame({_OWNER: owners[at]})
        for column_name, column in table.columns.items():
            rows[column_name.lower()] = self._column(rng, table, column_name, column, rows[_OWNER].to_numpy())
        if parents is not None and table.unit_through is not None:
            key = table.unit_through.references.lower().split(".")[1]
            rows[table.unit_through.column.lower()] = parents[key].to_numpy()[at]
        return _conforming(rows, table, cap)

    def _column(
        self,
        rng: np.random.Generator,
        table: Table,
        column_name: str,
        column: Column,
        owner: npt.NDArray[Any],
    ) -> Any:
        if table.unit and column_name == table.unit[0]:
            return _ids(self.policies.populations[str(self.dataset.population)], owner)
        if (column_name,) in table.unique:
            return _distinct(rng, column_name, column, len(owner))
        if column.unit_constant:
            return self._values(rng, table, column_name, column, self.units).take(owner)
        return self._values(rng, table, column_name, column, len(owner))

    def _values(
        self, rng: np.random.Generator, table: Table, column_name: str, column: Column, n: int
    ) -> Any:
        domain = self._referred(table, column_name) or _domain(column)
        if column.names is not None:
            values = _ids(self.policies.populations[column.names], rng.integers(0, self.units, n))
        elif domain is not None:
            values = pd.array(domain, dtype=_DTYPES[column.type]).take(rng.integers(0, len(domain), n))
        elif column.type is ColumnType.STRING:
            values = _words(column_name, column, rng.integers(0, min(column.max_distinct or 20, 20), n))
        else:
            lo, hi = _range(column)
            values = _from_counts(column, rng.integers(lo, hi + 1, n))
        if column.nullable:
            values[rng.random(n) < _NULLS] = pd.NA
        return values

    def _referred(self, table: Table, column_name: str) -> list[Any] | None:
        """What a foreign key may hold, where it points to a public table of this dataset."""
        for foreign in table.foreign_keys:
            target, key = foreign.references.lower().split(".")
            here = {t.lower() for t, other in self.dataset.tables.items() if not other.private}
            if foreign.column == column_name and target in here:
                found = self.stored.execute(
                    f"SELECT DISTINCT {name(key)} FROM {name(target)} ORDER BY 1"
                ).fetchall()
                return [value for (value,) in found if value is not None]
        return None


_OWNER = "__owner"
"""The unit of a row, counted from 0; no policy column starts with an underscore."""

_DTYPES: Mapping[ColumnType, Any] = {
    ColumnType.BOOLEAN: "boolean",
    ColumnType.INTEGER: "Int64",
    ColumnType.NUMBER: "Int64",
    ColumnType.DATE: "datetime64[s]",
    ColumnType.STRING: "string",
}


def _parent(table: Table) -> str | None:
    return table.unit_through.references.lower().split(".")[0] if table.unit_through else None


def _repeats(rng: np.random.Generator, n: int, cap: int) -> npt.NDArray[np.int64]:
    """Rows of each unit: none for some, one for most, up to the cap for a few."""
    tail = ((1 - rng.random(n)) ** (-1 / 1.5)).clip(1, cap).astype(np.int64)
    repeats: npt.NDArray[np.int64] = tail * (rng.random(n) < 0.9)
    return repeats


def _conforming(rows: pd.DataFrame, table: Table, cap: int) -> pd.DataFrame:
    """Without the rows that the loader would drop or refuse."""
    for columns in table.unique:
        rows = rows.drop_duplicates([c.lower() for c in columns])
    for columns in table.unique_in_unit:
        rows = rows.drop_duplicates([_OWNER, *(c.lower() for c in columns)])
    rows = rows[rows.groupby(_OWNER).cumcount() < cap]
    return rows.head(table.max_rows).reset_index(drop=True)


def _ids(population: Population, number: npt.NDArray[Any]) -> Any:
    if population.id.type == "integer":
        return pd.array(number + 1, dtype="Int64")
    return pd.array([f"{population.name}-{i + 1:06}" for i in number], dtype="string")


def _domain(column: Column) -> list[Any] | None:
    if column.type is ColumnType.BOOLEAN:
        return list(column.values or (False, True))
    if column.values is None:
        return None
    if column.type is ColumnType.NUMBER:
        return [int(Decimal(str(value)) / (column.step or 1)) for value in column.values]
    return list(column.values)


def _range(column: Column) -> tuple[int, int]:
    """Least and greatest in stored integers: counts of the step, or days since 1970."""
    lo: Any
    hi: Any
    if column.type is ColumnType.DATE:
        lo, hi = column.bounds or _DATES
        return (lo - _EPOCH).days, (hi - _EPOCH).days
    lo, hi = column.bounds or (Decimal(0), Decimal(1000))
    step = column.step or Decimal(1)
    return -int(-lo // step), int(hi // step)


def _from_counts(column: Column, counts: npt.NDArray[np.int64]) -> Any:
    return pd.array(
        counts.astype("M8[D]") if column.type is ColumnType.DATE else counts, dtype=_DTYPES[column.type]
    )


def _distinct(rng: np.random.Generator, column_name: str, column: Column, n: int) -> Any:
    """As many different values as the column can hold, then repeats, which `_conforming` drops."""
    domain = _domain(column)
    if domain is not None:
        return pd.array(domain, dtype=_DTYPES[column.type]).take(rng.permutation(n) % len(domain))
    if column.type is ColumnType.STRING:
        return _words(column_name, column, rng.permutation(n))
    lo, hi = _range(column) if column.bounds else (1, n)
    return _from_counts(column, lo + rng.permutation(n) % (hi - lo + 1))


def _words(column_name: str, column: Column, number: npt.NDArray[Any]) -> Any:
    longest = column.max_length or 4096
    digits = [str(i + 1) for i in number]
    room = longest - max(map(len, digits), default=0) - 1
    prefix = f"{column_name[:room]} " if room > 0 else ""
    return pd.array([f"{prefix}{n}"[-longest:] for n in digits], dtype="string")
