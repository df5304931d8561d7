"""Removing or changing one unit in the *source files* leaves every other unit's stored rows as they were:
the same rows, the same ranks, the same first-row flags (DESIGN sections 3 and 8; SOUNDNESS 7, 8, 25)."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox_guard.engines.versions import current
from sandbox_guard.policy.model import Policies, UnitId
from sandbox_guard.steward.bench import Means
from sandbox_guard.steward.load import load
from tests import loading

Row = tuple[Any, ...]
LOANS = ("firm_id", "loan_id", "district", "amount", "day", "bad")
PAYMENTS = ("loan", "paid")


def described() -> Policies:
    """Every rule that drops, clamps or replaces is in it."""
    loans = loading.LOANS | {"bad": {"type": "boolean", "nullable": True, "unit_constant": True}}
    return loading.policies(
        {
            "loans": loading.loans(loans, max_rows_per_unit=4, unique_in_unit=(("district", "day"),)),
            "payments": loading.payments(max_rows_per_unit=3),
        }
    )


def dirty_loans(rng: random.Random, firms: int) -> list[Row]:
    rows: list[Row] = []
    for firm in range(1, firms + 1):
        for _ in range(rng.choice([0, 1, 1, 2, 5, 9])):
            rows.append(
                (
                    rng.choice([str(firm), f" {firm}", f"0{firm}"]),
                    str(1000 + len(rows)),
                    rng.choice(["Alder", "Birch", "", "Nowhere"]),
                    rng.choice(["", "nan", "-5", "1e9", "10", "10.004", "99.99"]),
                    rng.choice(["", "1950-01-01", "2020-01-01", "2020-01-02"]),
                    rng.choice(["yes", "no", "", "perhaps"]),
                )
            )
    rows += [("", str(n), "Alder", "1", "", "") for n in range(3)]
    rng.shuffle(rows)
    return rows


def dirty_payments(rng: random.Random, loans: list[Row]) -> list[Row]:
    rows: list[Row] = [
        (loan[1], str(rng.randint(-20, 120))) for loan in loans for _ in range(rng.choice([0, 1, 3]))
    ]
    rows += [("999999", "1"), ("", "1")]
    rng.shuffle(rows)
    return rows


def stored(
    folder: Path, loans: list[Row], payments: list[Row], key: Path | None = None
) -> dict[str, list[Row]]:
    """What a load of these files stores, without dense ids: those may be numbered anew."""
    home = folder / "var"
    if key is not None:
        (home / "keys").mkdir(parents=True)
        shutil.copy(key, home / "keys")
    files = {
        "loans": _csv(folder / "loans.csv", LOANS, loans),
        "payments": _csv(folder / "payments.csv", PAYMENTS, payments),
    }
    load(described(), "city", files, home, means=Means(threads=2, bucket_rows=40))
    return {
        "loans": loading.stored(home, "SELECT * EXCLUDE (__unit) FROM loans ORDER BY ALL"),
        "payments": loading.stored(
            home,
            """SELECT l.firm_id, p.* EXCLUDE (__unit) FROM payments p JOIN loans l
               ON l.loan_id = p.loan AND l.__unit = p.__unit ORDER BY ALL""",
        ),
    }


def _csv(path: Path, head: Iterable[str], rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(r) for r in [tuple(head), *rows]) + "\n")
    return path


def of_others(rows: dict[str, list[Row]], firm: int) -> dict[str, list[Row]]:
    owner = {"loans": 3 - 1, "payments": 0}  # __rank, __first_district, firm_id, …
    return {table: [r for r in found if r[owner[table]] != firm] for table, found in rows.items()}


@pytest.mark.parametrize("seed", range(4))
def test_no_unit_feels_that_another_left_or_changed(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    loans = dirty_loans(rng, firms=12)
    payments = dirty_payments(rng, loans)
    whole = stored(tmp_path / "whole", loans, payments)
    key = tmp_path / "whole" / "var" / "keys" / "rank-firms.key"
    assert whole["loans"], "the case must have something to compare"
    assert whole["payments"]
    for firm in rng.sample(range(1, 13), 4):
        own = [r for r in loans if r[0].strip().lstrip("0") == str(firm)]
        ids = {r[1] for r in own}
        expected = of_others(whole, firm)

        left = stored(
            tmp_path / f"without {firm}",
            [r for r in loans if r not in own],
            [r for r in payments if r[0] not in ids],
            key,
        )
        assert left == expected
        changed = [(r[0], r[1], "Birch", "1e30", "2021-05-05", "yes") if r in own else r for r in loans]
        grown = [(str(firm), str(5000 + n), "Alder", "7", "", "no") for n in range(20)]
        other = stored(tmp_path / f"changed {firm}", changed + grown, payments, key)
        assert of_others(other, firm) == expected


def test_the_file_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rng = random.Random(7)
    loans = dirty_loans(rng, firms=12)
    payments = dirty_payments(rng, loans)
    once = stored(tmp_path / "once", loans, payments)
    key = tmp_path / "once" / "var" / "keys" / "rank-firms.key"
    assert stored(tmp_path / "again", loans[::-1], payments[::-1], key) == once


def test_the_parents_rows_alone_decide_whether_a_child_stays(tmp_path: Path) -> None:
    """SOUNDNESS 8: a dangling key names no unit, so its row belongs to nobody and is dropped."""
    loans = [("1", "10", "", "", "", ""), ("2", "20", "", "", "", "")]
    payments = [("10", "1"), ("20", "2")]
    both = stored(tmp_path / "both", loans, payments)
    key = tmp_path / "both" / "var" / "keys" / "rank-firms.key"
    one = stored(tmp_path / "one", loans[:1], payments, key)
    assert one["payments"] == [r for r in both["payments"] if r[0] == 1]


def test_many_row_groups_and_threads_change_nothing(tmp_path: Path) -> None:
    """What depends on order shows only on tables of several row groups (DESIGN section 8)."""
    rows, firms, gone = 300_000, 40_000, 4242
    source = tmp_path / "all.parquet"
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(
            f"""COPY (SELECT (power(random(), 2) * {firms})::BIGINT AS firm_id, range AS loan_id,
                       ['Alder', 'Birch', NULL][1 + (random() * 3)::INTEGER] AS district,
                       random() * 1100 - 50 AS amount, DATE '2000-01-01' + (random() * 9000)::INTEGER AS day,
                       random() < 0.5 AS bad FROM range({rows})) TO '{source}'"""
        )
        connection.execute(
            f"COPY (FROM '{source}' WHERE firm_id <> {gone}) TO '{tmp_path / 'without.parquet'}'"
        )
    loans = loading.loans(max_rows=rows, max_rows_per_unit=20)
    policies = loading.policies({"loans": loans})
    key: Path | None = None
    kept: list[Path] = []
    for name, means in (
        ("all", Means(threads=1)),
        ("all", Means(threads=4, bucket_rows=50_000)),
        ("without", Means(threads=4, bucket_rows=70_000)),
    ):
        home = tmp_path / f"var{len(kept)}"
        if key is not None:
            (home / "keys").mkdir(parents=True)
            shutil.copy(key, home / "keys")
        load(policies, "city", {"loans": tmp_path / f"{name}.parquet"}, home, means=means)
        key = home / "keys" / "rank-firms.key"
        version = current(home / "restricted" / "city")
        assert version is not None
        kept.append(version.data)
    with duckdb.connect() as connection:
        for n, data in enumerate(kept):
            connection.execute(f"ATTACH '{data}' AS v{n} (READ_ONLY)")
            connection.execute(
                f"CREATE VIEW o{n} AS SELECT * EXCLUDE (__unit) FROM v{n}.main.loans WHERE firm_id <> {gone}"
            )
        counted = connection.execute("SELECT count(*) FROM o0").fetchall()[0][0]
        assert counted > 200_000
        for n in (1, 2):
            for one, other in (("o0", f"o{n}"), (f"o{n}", "o0")):
                differing = connection.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})")
                assert differing.fetchall() == [(0,)]


def test_a_firms_months_are_units_of_their_own(tmp_path: Path) -> None:
    """SOUNDNESS 9: a composite unit is its whole tuple, so another month of the firm is another unit."""
    table = loading.loans(
        loading.LOANS | {"day": {"type": "date"}}, unit=("firm_id", "day"), max_rows_per_unit=1, unique=()
    )
    policies = loading.policies({"loans": table}, UnitId(type="string"))
    rows = [(str(f), str(f * 10 + m), "", "", str(dt.date(2020, m, 1)), "") for f in (1, 2) for m in (1, 2)]
    load(policies, "city", {"loans": _csv(tmp_path / "loans.csv", LOANS, rows)}, tmp_path / "var")
    assert loading.stored(tmp_path / "var", "SELECT count(*), count(DISTINCT __unit) FROM loans") == [(4, 4)]
