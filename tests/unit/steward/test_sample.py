"""Samples: the schema of the restricted tables, rows that owe them nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox_guard.policy import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.steward import demo
from sandbox_guard.steward.sample import make_sample

ROOT = Path(__file__).parents[3]
CITY = read_policies(ROOT / "policies")
SMALL = read_policies(ROOT / "tests/data/small/policies")
SBA = read_policies(ROOT / "tests/data/sba/policies")


@contextmanager
def sample(
    policies: Policies, dataset: str, out: Path, **options: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    make_sample(policies, dataset, out, **options)
    with duckdb.connect(str(out), read_only=True) as connection:
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    """The public table of the small data, as the loader stores it, beside a restricted one."""
    path = tmp_path / "data.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE districts (district VARCHAR, region ENUM ('North', 'South'))")
        connection.execute("INSERT INTO districts VALUES ('Alder', 'North'), ('Dunmore', 'South')")
        connection.execute("CREATE TABLE loans AS SELECT 'a secret' AS secret")
    return path


def types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: type_ for name, type_, *_ in rows(connection, f"DESCRIBE {table}")}


def test_columns_have_the_types_that_sql_sees(tmp_path: Path, loaded: Path) -> None:
    with sample(SMALL, "small", tmp_path / "s.duckdb", loaded=loaded) as connection:
        assert types(connection, "loans") == {
            "firm_id": "BIGINT",
            "loan_id": "BIGINT",
            "district": "VARCHAR",
            "industry": "VARCHAR",
            "year": "BIGINT",
            "amount": "DECIMAL(18,2)",
            "rate": "DECIMAL(18,3)",
            "overdue_days": "BIGINT",
            "defaulted": "BOOLEAN",
        }
        assert types(connection, "firms")["founded"] == "DATE"


def test_drawn_rows_keep_to_the_policy(tmp_path: Path, loaded: Path) -> None:
    with sample(SMALL, "small", tmp_path / "s.duckdb", loaded=loaded) as connection:
        for table, policy in SMALL.datasets["small"].tables.items():
            if not policy.private:
                continue
            ((n, units, most),) = rows(
                connection,
                f"SELECT sum(n), count(*), max(n) FROM (SELECT count(*) n FROM {table} GROUP BY firm_id)",
            )
            assert (
                1000 < units <= 2000
                and units <= n <= policy.max_rows
                and most <= (policy.max_rows_per_unit or 0)
            )
            for columns in policy.unique:
                assert rows(connection, f"SELECT count(DISTINCT ({', '.join(columns)})) FROM {table}") == [
                    (n,)
                ]
            for name, column in policy.columns.items():
                ((nulls,),) = rows(connection, f"SELECT count(*) FROM {table} WHERE {name} IS NULL")
                assert (nulls > 0) == column.nullable, name
                if column.values is not None:
                    found = {
                        v
                        for (v,) in rows(
                            connection, f"SELECT DISTINCT {name} FROM {table} WHERE {name} IS NOT NULL"
                        )
                    }
                    assert found == set(column.values)
                if column.bounds is not None:
                    ((lo, hi),) = rows(connection, f"SELECT min({name}), max({name}) FROM {table}")
                    assert column.bounds[0] <= lo < hi <= column.bounds[1]
        assert rows(connection, "SELECT count(*) > 1000 FROM loans JOIN firms USING (firm_id)") == [(True,)]


def test_public_tables_are_whole_and_restricted_ones_untouched(tmp_path: Path, loaded: Path) -> None:
    with sample(SMALL, "small", tmp_path / "s.duckdb", loaded=loaded) as connection:
        assert rows(connection, "FROM districts ORDER BY 1") == [("Alder", "North"), ("Dunmore", "South")]
        assert "secret" not in types(connection, "loans")
    with pytest.raises(ValueError, match="data.duckdb"):
        make_sample(SMALL, "small", tmp_path / "t.duckdb")
    assert not (tmp_path / "t.duckdb").exists()


def test_a_sample_depends_on_policy_and_seed_alone(tmp_path: Path) -> None:
    def drawn(seed: int) -> list[tuple[Any, ...]]:
        with sample(SBA, "sba", tmp_path / f"{seed}.duckdb", seed=seed, units=50) as connection:
            return rows(connection, "FROM sba_loan")

    first = drawn(1)
    assert drawn(1) == first != drawn(2)


def test_the_citys_samples_are_another_city(tmp_path: Path) -> None:
    files = demo.generate(tmp_path / "city", 2_000)
    datasets = [d for d in CITY.datasets]
    out = {name: tmp_path / f"{name}.duckdb" for name in datasets}
    for name in datasets:
        make_sample(CITY, name, out[name])
    with duckdb.connect() as connection:
        for name in datasets:
            connection.execute(f"ATTACH '{out[name]}' AS \"{name}\" (READ_ONLY)")
        # the same query as against the vault, across datasets
        joined = """SELECT reg_district, industry, AVG(tax_paid) FROM tax.tax JOIN "enterprise-register".ent
            USING (uscc) WHERE period = '2022Q2' GROUP BY 1, 2"""
        assert len(rows(connection, joined)) > 100
        same = f"""SELECT count(*) FROM "bank-loans".loan l JOIN read_parquet('{files["loan"]}') r
            ON l.uscc = r.uscc AND l.balance = r.balance"""
        assert rows(connection, same) == [(0,)]
        assert rows(connection, "SELECT count(*) FROM reference.district") == [(16,)]
        assert types(connection, '"bank-loans".loan')["rate"] == "DECIMAL(18,4)"


def test_every_sample_says_that_it_is_invented(tmp_path: Path) -> None:
    with sample(SBA, "sba", tmp_path / "s.duckdb", units=5) as connection:
        said = dict(rows(connection, "FROM about_this_sample"))
        assert "虚构" in said["zh"] and "invented" in said["en"]
        ((comment,),) = rows(connection, "SELECT comment FROM duckdb_tables() WHERE table_name = 'sba_loan'")
        assert "虚构" in comment and "invented" in comment


def test_children_take_their_parents_unit(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(ROOT / "tests/data/sba/policies", folder)
    path = folder / "datasets/sba.yaml"
    path.write_text(
        path.read_text()
        + """
  instalment:
    title: {zh: 还款, en: Instalments}
    unit_through: {column: loan, references: sba_loan.LoanNr_ChkDgt}
    max_rows: 100_000
    max_rows_per_unit: 6
    unique_in_unit: [[month]]
    columns:
      loan: {title: {zh: 贷款, en: Loan}, type: integer}
      month: {title: {zh: 月份, en: Month}, type: integer, bounds: [1, 12]}
"""
    )
    with sample(read_policies(folder), "sba", tmp_path / "s.duckdb") as connection:
        paid = "instalment JOIN sba_loan ON loan = loannr_chkdgt"
        ((every,),) = rows(connection, "SELECT count(*) FROM instalment")
        assert rows(connection, f"SELECT count(*) FROM {paid}") == [(every,)] and every > 1000
        ((most,),) = rows(connection, f"SELECT max(n) FROM (SELECT count(*) n FROM {paid} GROUP BY name)")
        assert most <= 6
        assert rows(connection, f"SELECT count(DISTINCT (name, month)) FROM {paid}") == [(every,)]
