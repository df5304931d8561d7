"""The invented city: well formed, the same for the same seed, within its policy, and with a story in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from sandbox_guard.policy import read_policies
from sandbox_guard.policy.model import Column, ColumnType, Table
from sandbox_guard.steward import demo

POLICIES = read_policies(Path(__file__).parents[3] / "policies")
TABLES = {name: table for dataset in POLICIES.datasets.values() for name, table in dataset.tables.items()}
FIRMS = 25_000  # two chunks


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    for table, path in demo.generate(tmp_path_factory.mktemp("city"), FIRMS).items():
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{path}')")
    with connection:
        yield connection


def one(city: duckdb.DuckDBPyConnection, sql: str) -> float:
    row = city.execute(sql).fetchone()
    assert row is not None
    return float(row[0])


def digests(files: dict[str, Path]) -> dict[str, str]:
    return {table: hashlib.sha256(path.read_bytes()).hexdigest() for table, path in files.items()}


def test_every_table_of_the_policies_is_made() -> None:
    assert set(demo.TABLES) == set(TABLES)
    assert all(dataset.invented for dataset in POLICIES.datasets.values())


def test_the_same_seed_makes_the_same_city(tmp_path: Path) -> None:
    first = digests(demo.generate(tmp_path / "a", 500, seed=1))
    assert digests(demo.generate(tmp_path / "b", 500, seed=1)) == first
    other = digests(demo.generate(tmp_path / "c", 500, seed=2))
    assert all(other[table] != first[table] for table in demo.TABLES if TABLES[table].private)


def test_chunks_do_not_change_the_first_firms(tmp_path: Path, city: duckdb.DuckDBPyConnection) -> None:
    """A larger city begins with the same full chunks."""
    files = demo.generate(tmp_path, demo.CHUNK)
    assert one(city, f"SELECT count(*) FROM (FROM '{files['loan']}' EXCEPT FROM loan)") == 0


@pytest.mark.parametrize("table", demo.TABLES)
def test_rows_keep_to_the_policy(city: duckdb.DuckDBPyConnection, table: str) -> None:
    policy = TABLES[table]
    described = [row[0] for row in city.execute(f"DESCRIBE {table}").fetchall()]
    assert described == list(policy.columns)
    scale = demo.FIRMS / FIRMS if policy.private else 1
    assert one(city, f"SELECT count(*) FROM {table}") * scale <= policy.max_rows
    for name, column in policy.columns.items():
        assert one(city, f"SELECT count(*) FROM {table} WHERE NOT ({allowed(name, column)})") == 0, name
    for keys in unique_sets(policy):
        assert one(city, f"SELECT count(*) - count(DISTINCT ({', '.join(keys)})) FROM {table}") == 0
    if policy.unit:
        most = one(city, f"SELECT max(n) FROM (SELECT count(*) AS n FROM {table} GROUP BY {policy.unit[0]})")
        assert policy.max_rows_per_unit is not None and most <= policy.max_rows_per_unit


def unique_sets(policy: Table) -> list[tuple[str, ...]]:
    return [*policy.unique, *((*(policy.unit or ()), *columns) for columns in policy.unique_in_unit)]


def allowed(name: str, column: Column) -> str:
    tests = [f"{name} IS NOT NULL" if not column.nullable else "true"]
    if column.values is not None:
        tests.append(f"{name}::VARCHAR IN ({', '.join(repr(str(v)) for v in column.values)})")
    elif column.bounds is not None:
        lo, hi = (repr(str(b)) if column.type is ColumnType.DATE else b for b in column.bounds)
        tests.append(f"coalesce({name} BETWEEN {lo} AND {hi}, true)")
    if column.step is not None:
        tests.append(f"coalesce(abs({name} / {column.step} - round({name} / {column.step})) < 1e-4, true)")
    return " AND ".join(tests)


def test_credit_codes_are_well_formed(city: duckdb.DuckDBPyConnection) -> None:
    codes = [row[0] for row in city.execute("SELECT uscc FROM ent").fetchall()]
    for code in codes[::97]:
        assert re.fullmatch(POLICIES.populations["firms"].id.pattern or "", code)
        assert code.startswith("919901"), "99 is assigned to no place"
        assert code[17] == check_character(code[:17])
        assert code[16] == organisation_check(code[8:16])
    assert len(set(codes)) == FIRMS


def check_character(code: str) -> str:
    """GB 32100-2015, written out."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
    total = sum(alphabet.index(c) * w for c, w in zip(code, weights, strict=True))
    return alphabet[(31 - total % 31) % 31]


def organisation_check(digits: str) -> str:
    """GB 11714-1997, written out."""
    total = sum(int(c) * w for c, w in zip(digits, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11))


def test_the_check_character_is_the_standards() -> None:
    assert check_character("91350100M000100Y4") == "3"  # the example in GB 32100-2015


def test_most_firms_borrow_once_and_a_few_dozens_of_times(city: duckdb.DuckDBPyConnection) -> None:
    counts = "(SELECT count(*) AS n FROM loan GROUP BY uscc)"
    assert 0.55 < one(city, f"SELECT avg((n = 1)::INT) FROM {counts}") < 0.8
    assert one(city, f"SELECT count(*) FROM {counts} WHERE n >= 24") >= 10


def test_default_rises_with_grade_overdue_bills_and_rating(city: duckdb.DuckDBPyConnection) -> None:
    def rates(sql: str) -> list[float]:
        return [rate for _, rate in city.execute(sql).fetchall()]

    by_grade = rates(
        "SELECT tax_grade, avg(dpd90) FROM loan JOIN tax USING (uscc) WHERE period = '2022Q2' "
        "AND tax_grade <> 'M' GROUP BY 1 ORDER BY 1"
    )
    by_level = rates(
        "SELECT env_level, avg(dpd90) FROM loan JOIN esg USING (uscc) WHERE eval_year = 2022 "
        "GROUP BY 1 ORDER BY list_position(['green', 'blue', 'yellow', 'red'], env_level)"
    )
    by_late = rates(
        "SELECT overdue_days > 0, avg(dpd90) FROM loan JOIN elec USING (uscc) WHERE period = '2022-06' "
        "GROUP BY 1 ORDER BY 1"
    )
    for series in (by_grade, by_level, by_late):
        assert series == sorted(series) and series[-1] > 1.5 * series[0]


def test_claims_meet_visits(city: duckdb.DuckDBPyConnection) -> None:
    matched = one(city, "SELECT avg((pid IN (SELECT pid FROM visit))::INT) FROM claim")
    assert 0.8 < matched < 1


def test_progress_and_an_interrupted_run(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert (done, total) == (demo.CHUNK, demo.CHUNK + 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.generate(tmp_path, demo.CHUNK + 1, progress=interrupt)
    assert not list(tmp_path.glob("*.parquet")), "half a city under its final name"
    assert set(demo.generate(tmp_path, 10)) == set(demo.TABLES)


def test_policies_for_a_larger_city_differ_in_row_caps_alone(tmp_path: Path) -> None:
    demo.scale_policies(Path(__file__).parents[3] / "policies", tmp_path / "policies", 20 * demo.FIRMS)
    scaled = read_policies(tmp_path / "policies")
    for name, dataset in scaled.datasets.items():
        factor = 1 if dataset.population is None else 20
        back = {
            table: cap.model_copy(update={"max_rows": cap.max_rows // factor})
            for table, cap in dataset.tables.items()
        }
        assert dataset.model_copy(update={"tables": back}) == POLICIES.datasets[name]
    assert scaled.datasets["tax"].tables["tax"].max_rows == 9_600_000


@pytest.mark.parametrize("name", POLICIES.analyses)
def test_approved_analyses_are_plain_sql_over_the_city(city: duckdb.DuckDBPyConnection, name: str) -> None:
    analysis = POLICIES.analyses[name]
    sql = re.sub(r":(\w+)", r"$\1", analysis.sql)
    values = {parameter: p.default for parameter, p in analysis.header.parameters.items()}
    result = city.execute(sql, values)
    assert [column[0] for column in result.description or ()] == list(analysis.header.columns)
    assert len(result.fetchall()) >= 4
