"""What `load` stores, what it drops or changes, and what it refuses."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sandbox_guard.policy.model import Table, UnitId
from sandbox_guard.steward import layout
from sandbox_guard.steward.bench import Means
from sandbox_guard.steward.load import load
from sandbox_guard.steward.quality import Effect, LoadRefused, LoadReport, Progress, Rule
from tests import loading as city

HEAD = "firm_id,loan_id,district,amount,day,bad\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "var"


def load_loans(home: Path, rows: str, table: Table | None = None, **means: Any) -> LoadReport:
    file = city.csv(home.parent, "loans", HEAD + rows)
    return load(
        city.policies({"loans": table or city.loans()}), "city", {"loans": file}, home, means=Means(**means)
    )


def refusal(home: Path, rows: str, table: Table | None = None) -> list[tuple[str, int | None, str | None]]:
    with pytest.raises(LoadRefused) as refused:
        load_loans(home, rows, table)
    assert not list((home / "restricted" / "city").glob("*")), "nothing may be half-loaded"
    return [(p.code, p.line, p.column) for p in refused.value.problems]


def findings(report: LoadReport) -> set[tuple[Rule, Effect, str | None, int]]:
    return {(f.rule, f.effect, f.column, f.count) for t in report.tables for f in t.findings}


# ------------------------------------------------------------------------------- what is stored


def test_the_stored_table_is_the_one_that_the_printer_reads(home: Path) -> None:
    report = load_loans(home, "7,1,Alder,12.34,2020-02-03,true\n7,2,,,,\n8,3,Birch,5,2021-01-01,no\n")
    assert city.stored(home, "SELECT column_name, column_type FROM (DESCRIBE loans)") == [
        ("__unit", "BIGINT"),
        ("__rank", "INTEGER"),
        ("__first_district", "BOOLEAN"),
        ("firm_id", "BIGINT"),
        ("loan_id", "BIGINT"),
        ("district", "ENUM('Alder', 'Birch')"),
        ("amount", "BIGINT"),
        ("day", "DATE"),
        ("bad", "BOOLEAN"),
    ]
    assert city.stored(
        home, "SELECT firm_id, loan_id, district, amount, day, bad FROM loans ORDER BY loan_id"
    ) == [
        (7, 1, "Alder", 1234, dt.date(2020, 2, 3), True),
        (7, 2, None, None, None, None),
        (8, 3, "Birch", 500, dt.date(2021, 1, 1), False),
    ]
    (table,) = report.tables
    assert (table.rows_read, table.rows_stored, table.units, table.findings) == (3, 3, 2, ())


def test_ranks_count_from_one_within_each_unit_and_rows_lie_by_rank(home: Path) -> None:
    load_loans(
        home, "".join(f"{n % 7},{n},Alder,{n},,\n" for n in range(30)), city.loans(max_rows_per_unit=5)
    )
    ranks = city.stored(home, "SELECT __unit, list(__rank ORDER BY __rank) FROM loans GROUP BY 1")
    assert {tuple(found) for _, found in ranks} == {(1, 2, 3, 4), (1, 2, 3, 4, 5)}
    lying = [r for (r,) in city.stored(home, "SELECT __rank FROM loans ORDER BY rowid")]
    assert lying == sorted(lying)


def test_rows_equal_in_all_columns_get_ranks_of_their_own(home: Path) -> None:
    table = city.loans(unique=())
    load_loans(home, "1,1,Alder,5,,\n" * 3, table)
    assert city.stored(home, "SELECT __rank FROM loans ORDER BY 1") == [(1,), (2,), (3,)]


def test_the_first_row_of_a_unit_with_a_key_is_flagged_null_counting_as_a_value(home: Path) -> None:
    load_loans(home, "1,1,Alder,,,\n1,2,Alder,,,\n1,3,,,,\n1,4,,,,\n2,5,Alder,,,\n")
    flagged = city.stored(home, "SELECT firm_id, district FROM loans WHERE __first_district ORDER BY ALL")
    assert flagged == [(1, "Alder"), (1, None), (2, "Alder")]
    assert city.stored(
        home,
        """SELECT count(*) FROM loans l WHERE __first_district AND EXISTS (SELECT 1 FROM loans o
           WHERE o.__unit = l.__unit AND o.district IS NOT DISTINCT FROM l.district AND o.__rank < l.__rank)""",
    ) == [(0,)]


def test_a_unit_keeps_its_dense_id_over_versions_and_datasets(home: Path) -> None:
    load_loans(home, "5,1,,,,\n9,2,,,,\n")
    before = dict(city.stored(home, "SELECT firm_id, __unit FROM loans"))
    load_loans(home, "1,1,,,,\n9,2,,,,\n5,3,,,,\n")
    after = dict(city.stored(home, "SELECT firm_id, __unit FROM loans"))
    assert (after[5], after[9]) == (before[5], before[9]) and len(set(after.values())) == 3
    other = city.csv(home.parent, "firms", "firm_id,name\n9,Nine\n")
    load(city.policies({"firms": city.firms()}, dataset="register"), "register", {"firms": other}, home)
    assert city.stored(home, "SELECT __unit FROM firms", "register") == [(before[9],)]


def test_order_and_buckets_do_not_change_ranks(home: Path) -> None:
    rows = [f"{n % 11},{n},{'Alder' if n % 3 else 'Birch'},{n},,\n" for n in range(50)]
    query = "SELECT firm_id, loan_id, __rank, __first_district FROM loans ORDER BY ALL"
    load_loans(home, "".join(rows))
    once = city.stored(home, query)
    load_loans(home, "".join(reversed(rows)), bucket_rows=7, threads=4)
    assert city.stored(home, query) == once


def test_ranks_hang_on_the_secret(home: Path, tmp_path: Path) -> None:
    rows = "".join(f"{n % 20},{n},,,,\n" for n in range(100))
    query = "SELECT loan_id, __rank FROM loans ORDER BY ALL"
    load_loans(home, rows)
    elsewhere = tmp_path / "elsewhere" / "var"
    elsewhere.parent.mkdir()
    load_loans(elsewhere, rows)
    assert city.stored(home, query) != city.stored(elsewhere, query)


# ------------------------------------------------------------- what lies within one unit


def test_values_out_of_bounds_are_clamped_emptied_or_drop_their_row(home: Path) -> None:
    report = load_loans(
        home,
        "1,1,Alder,-5,1999-12-31,\n"  # clamped up, day emptied
        "1,2,Nowhere,1e30,2020-01-01,maybe\n"  # domain, clamped down, not a boolean
        "1,3,Alder,nan,infinity,\n"
        "1,4,Alder,inf,,\n"
        "1,5,Alder,0.005,,\n"  # half a step rounds away from zero
        ",6,Alder,1,,\n",  # no unit
    )
    assert city.stored(home, "SELECT loan_id, district, amount, day, bad FROM loans ORDER BY 1") == [
        (1, "Alder", 0, None, None),
        (2, None, 100000, dt.date(2020, 1, 1), None),
        (3, "Alder", None, None, None),
        (4, "Alder", None, None, None),
        (5, "Alder", 1, None, None),
    ]
    assert findings(report) == {
        (Rule.CLAMPED, Effect.CLAMPED, "amount", 2),
        (Rule.OUTSIDE, Effect.EMPTIED, "day", 1),
        (Rule.DOMAIN, Effect.EMPTIED, "district", 1),
        (Rule.DOMAIN, Effect.EMPTIED, "bad", 1),
        (Rule.NOT_FINITE, Effect.EMPTIED, "amount", 2),
        (Rule.NOT_FINITE, Effect.EMPTIED, "day", 1),
        (Rule.MISSING, Effect.DROPPED, "firm_id", 1),
    }


def test_rounding_comes_before_clamping(home: Path) -> None:
    facts = city.LOANS | {"amount": {"type": "number", "step": 4, "bounds": [0, 12]}}
    load_loans(home, "1,1,,10,,\n1,2,,14,,\n1,3,,9.9,,\n", city.loans(facts))
    # 10 is two and a half steps, so 12; 14 is three and a half, so 16, and then clamped to 12
    assert city.stored(home, "SELECT amount FROM loans ORDER BY loan_id") == [(3,), (3,), (2,)]


def test_rows_beyond_the_units_cap_are_dropped_by_rank(home: Path) -> None:
    rows = "".join(f"1,{n},Alder,{n},,\n" for n in range(9)) + "2,100,,,,\n"
    report = load_loans(home, rows, city.loans(max_rows_per_unit=4))
    assert findings(report) == {(Rule.CAP, Effect.DROPPED, None, 5)}
    kept = {n for (n,) in city.stored(home, "SELECT loan_id FROM loans WHERE firm_id = 1")}
    load_loans(home, rows, city.loans(max_rows_per_unit=9))
    first = city.stored(home, "SELECT loan_id FROM loans WHERE firm_id = 1 AND __rank <= 4")
    assert {n for (n,) in first} == kept


def test_later_duplicates_within_the_unit_are_dropped_and_ranks_close_up(home: Path) -> None:
    table = city.loans(unique_in_unit=(("district",),))
    report = load_loans(home, "1,1,Alder,1,,\n1,2,Alder,2,,\n1,3,,3,,\n1,4,,4,,\n2,5,Alder,5,,\n", table)
    assert findings(report) == {(Rule.DUPLICATE, Effect.DROPPED, None, 2)}
    assert city.stored(home, "SELECT firm_id, __rank FROM loans ORDER BY ALL") == [(1, 1), (1, 2), (2, 1)]
    assert city.stored(
        home, "SELECT count(DISTINCT coalesce(district, 'none')) FROM loans WHERE firm_id = 1"
    ) == [(2,)]


def test_a_unit_constant_column_takes_the_value_of_the_units_first_row(home: Path) -> None:
    facts = city.LOANS | {"district": {**city.LOANS["district"], "unit_constant": True}}
    report = load_loans(home, "1,1,Alder,,,\n1,2,Birch,,,\n1,3,,,,\n2,4,Birch,,,\n", city.loans(facts))
    per_unit = "SELECT firm_id, count(DISTINCT coalesce(district, 'none')) FROM loans GROUP BY 1 ORDER BY 1"
    assert city.stored(home, per_unit) == [(1, 1), (2, 1)]
    (finding,) = report.tables[0].findings
    assert (finding.rule, finding.effect, finding.count) == (Rule.UNIT_CONSTANT, Effect.REPLACED, 2)


def test_ids_are_normalised_to_the_populations_type(home: Path) -> None:
    facts = city.FIRMS | {"firm_id": {"type": "string"}}
    table = Table(
        title=city.WORDS, columns=city.columns(facts), unit=("firm_id",), max_rows=9, max_rows_per_unit=5
    )
    file = city.csv(home.parent, "firms", "firm_id,name\n42,a\n042,b\n 42 ,c\n42.0,d\nfortytwo,e\n")
    report = load(city.policies({"firms": table}), "city", {"firms": file}, home)
    assert city.stored(home, "SELECT count(DISTINCT __unit), count(*) FROM firms") == [(1, 3)]
    assert findings(report) == {(Rule.UNIT, Effect.DROPPED, None, 2)}


def test_an_id_that_does_not_match_the_pattern_drops_its_row(home: Path) -> None:
    facts = city.FIRMS | {"firm_id": {"type": "string"}}
    table = Table(
        title=city.WORDS, columns=city.columns(facts), unit=("firm_id",), max_rows=9, max_rows_per_unit=5
    )
    file = city.csv(home.parent, "firms", "firm_id,name\nA12,a\nA123,b\nB12,c\n")
    unit = UnitId(type="string", pattern="A[0-9]{2}")
    load(city.policies({"firms": table}, unit), "city", {"firms": file}, home)
    assert city.stored(home, "SELECT name FROM firms") == [("a",)]


def test_a_composite_unit_is_its_whole_tuple(home: Path) -> None:
    table = city.loans(unit=("firm_id", "loan_id"), max_rows_per_unit=1)
    file = city.csv(home.parent, "loans", HEAD + "1,11,,,,\n11,1,,,,\n1,12,,,,\n")
    load(city.policies({"loans": table}, UnitId(type="string")), "city", {"loans": file}, home)
    assert city.stored(home, "SELECT count(DISTINCT __unit), max(__rank) FROM loans") == [(3, 1)]


# -------------------------------------------------------------------- reaching a unit by a key


def load_payments(home: Path, loans: str, payments: str) -> LoadReport:
    files = {
        "payments": city.csv(home.parent, "payments", "loan,paid\n" + payments),
        "loans": city.csv(home.parent, "loans", HEAD + loans),
    }
    return load(city.policies({"payments": city.payments(), "loans": city.loans()}), "city", files, home)


def test_a_child_row_belongs_to_its_parents_unit(home: Path) -> None:
    report = load_payments(home, "1,10,,,,\n1,11,,,,\n2,20,,,,\n", "10,1\n11,2\n20,3\n99,4\n")
    assert city.stored(
        home,
        """SELECT p.paid, l.firm_id, p.__unit = l.__unit FROM payments p JOIN loans l ON l.loan_id = p.loan
           ORDER BY 1""",
    ) == [(1, 1, True), (2, 1, True), (3, 2, True)]
    assert city.stored(home, "SELECT __rank FROM payments ORDER BY __unit, 1") == [(1,), (2,), (1,)]
    assert findings(report) == {(Rule.DANGLING, Effect.DROPPED, None, 1)}


def test_a_child_of_a_dropped_parent_is_dropped(home: Path) -> None:
    loans = "".join(f"1,{n},,,,\n" for n in range(8))
    load_payments(home, loans, "".join(f"{n},1\n" for n in range(8)))
    assert city.stored(
        home, "SELECT count(*), count(*) FILTER (loan IN (SELECT loan_id FROM loans)) FROM payments"
    ) == [(5, 5)]


def test_two_parents_for_a_child_refuse_the_load(home: Path) -> None:
    with pytest.raises(LoadRefused) as refused:
        load_payments(home, "1,10,,,,\n2,10,,,,\n", "10,1\n")
    assert refused.value.problems[0].code == "load.unique"


# ---------------------------------------------------------------------------- what refuses


def test_a_value_of_another_type_is_named_by_file_line_and_column(home: Path) -> None:
    found = refusal(home, "1,1,,5,,\n1,2,,five,,\n\n1,3,,6,03/04/2020,\n")
    assert found == [("load.malformed", 3, "amount"), ("load.malformed", 5, "day")]


def test_lines_are_counted_through_quoted_line_breaks(home: Path) -> None:
    facts = city.FIRMS | {"size": {"type": "integer"}}
    table = Table(
        title=city.WORDS, columns=city.columns(facts), unit=("firm_id",), max_rows=9, max_rows_per_unit=5
    )
    file = city.csv(home.parent, "firms", 'firm_id,name,size\n1,"two\nlines",3\n2,b,big\n')
    with pytest.raises(LoadRefused) as refused:
        load(city.policies({"firms": table}), "city", {"firms": file}, home)
    (problem,) = refused.value.problems
    assert (problem.line, problem.column) == (4, "size")
    assert "firms.csv" in refused.value.message.en and "line 4" in refused.value.message.en
    assert "big" not in str(refused.value.as_dict()), "no value of a row is repeated"


@pytest.mark.parametrize("broken", ["1,1,,5\n", "1,1,,5,,,\n", '1,1,"Ald,5,,\n1,2,,5,,\n'])
def test_a_row_that_does_not_match_the_headings_refuses(home: Path, broken: str) -> None:
    ((code, line, _),) = refusal(home, "1,7,,5,,\n" + broken)
    assert code == "load.fields" and line in (3, None)


@pytest.mark.parametrize("number", ["1.5", "1e3", "0x10", "1_000", "1,5", "12abc"])
def test_an_integer_is_written_as_one(home: Path, number: str) -> None:
    assert refusal(home, f'1,"{number}",,5,,\n') == [("load.malformed", 2, "loan_id")]


def test_an_integer_of_18_digits_stays_itself(home: Path) -> None:
    load_loans(home, "1,123456789012345678,,,,\n1,123456789012345679,,,,\n")
    assert city.stored(home, "SELECT loan_id FROM loans ORDER BY 1") == [
        (123456789012345678,),
        (123456789012345679,),
    ]


def test_what_spans_units_refuses(home: Path) -> None:
    table = city.loans(max_rows=2)
    assert refusal(home, "1,1,,,,\n2,1,,,,\n3,3,,,,\n", table) == [
        ("load.max_rows", None, None),
        ("load.unique", 3, "loan_id"),
    ]
    facts = city.LOANS | {"loan_id": {"type": "integer", "max_distinct": 2}}
    rows = "1,1,,,,\n2,2,,,,\n3,3,,,,\n"
    assert refusal(home, rows, city.loans(facts)) == [("load.max_distinct", None, "loan_id")]


def test_null_counts_as_a_value_of_a_unique_key(home: Path) -> None:
    facts = city.LOANS | {"loan_id": {"type": "integer", "nullable": True}}
    assert refusal(home, "1,,,,,\n2,,,,,\n", city.loans(facts)) == [("load.unique", 3, "loan_id")]


def test_everything_wrong_is_said_at_once(home: Path) -> None:
    found = refusal(home, "one,1,,,,\n2,two,,x,,\n3,three,,,,\n")
    assert found == [
        ("load.malformed", 2, "firm_id"),
        ("load.malformed", 3, "loan_id"),
        ("load.malformed", 4, "loan_id"),
        ("load.malformed", 3, "amount"),
    ]


def test_a_missing_column_and_a_missing_file_are_named(home: Path) -> None:
    file = city.csv(home.parent, "loans", "firm_id,loan\n1,1\n")
    with pytest.raises(LoadRefused) as refused:
        load(city.policies({"loans": city.loans()}), "city", {"loans": file}, home)
    assert (refused.value.code, refused.value.problems[0].column) == ("load.column", "loan_id")
    with pytest.raises(LoadRefused) as refused:
        load(city.policies({"loans": city.loans()}), "city", {"loans": file.with_name("none.csv")}, home)
    assert refused.value.code == "load.file"
    with pytest.raises(LoadRefused) as refused:
        load(city.policies({"loans": city.loans()}), "city", {"loan": file}, home)
    assert [p.code for p in refused.value.problems] == ["load.unknown_table", "load.no_file"]


# ---------------------------------------------------------------------- how files write things


def test_dates_with_two_digit_years_and_without_zeros(home: Path) -> None:
    facts = city.LOANS | {
        "day": {
            "type": "date",
            "format": "%d-%b-%y",
            "pivot_year": 40,
            "bounds": [dt.date(1950, 1, 1), dt.date(2030, 1, 1)],
            "nullable": True,
        }
    }
    load_loans(
        home, "1,1,,,24-Jun-91,\n1,2,,,1-Jan-41,\n1,3,,,29-Feb-40,\n1,4,,,3-Mar-12,\n", city.loans(facts)
    )
    assert city.stored(home, "SELECT day FROM loans ORDER BY loan_id") == [
        (dt.date(1991, 6, 24),),
        (None,),
        (None,),
        (dt.date(2012, 3, 3),),
    ]
    facts = city.LOANS | {"day": {"type": "date", "format": "%m/%d/%Y"}}
    load_loans(home, "1,1,,,2/8/1997,\n", city.loans(facts))
    assert city.stored(home, "SELECT day FROM loans") == [(dt.date(1997, 2, 8),)]


def test_decimal_commas_semicolons_null_words_and_renamed_columns(home: Path) -> None:
    facts = city.LOANS | {
        "amount": {
            "type": "number",
            "step": 0.01,
            "decimal": ",",
            "null_values": ["NA", "-"],
            "nullable": True,
        },
        "bad": {"type": "boolean", "source": "Status", "true_values": ["坏"], "false_values": ["好"]},
    }
    file = city.csv(
        home.parent,
        "loans",
        "FIRM_ID;loan_id;district;amount;day;Status;note\n1;1;;1234,5;;坏;x\n1;2;;NA;;好;\n1;3;; - ;;好;\n",
        "gb18030",
    )
    report = load(city.policies({"loans": city.loans(facts)}), "city", {"loans": file}, home)
    assert city.stored(home, "SELECT amount, bad FROM loans ORDER BY loan_id") == [
        (123450, True),
        (None, False),
        (None, False),
    ]
    assert report.tables[0].ignored == ("note",)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_chinese_text_in_the_encodings_of_offices(home: Path, encoding: str) -> None:
    facts = {"district": {"type": "string", "values": ["朝阳", "海淀"]}}
    table = Table(title=city.WORDS, columns=city.columns(facts), max_rows=9)
    file = city.csv(home.parent, "districts", "district\r\n朝阳\r\n海淀\r\n", encoding)
    load(city.policies({"districts": table}), "city", {"districts": file}, home)
    assert city.stored(home, "SELECT district FROM districts ORDER BY 1") == [("朝阳",), ("海淀",)]


def test_bytes_in_no_encoding_name_their_line(home: Path) -> None:
    path = home.parent / "loans.csv"
    path.write_bytes(HEAD.encode() + b"1,1,,,,\n1,2,\xff\xff,,,\n")
    with pytest.raises(LoadRefused) as refused:
        load(city.policies({"loans": city.loans()}), "city", {"loans": path}, home)
    assert (refused.value.code, refused.value.problems[0].line) == ("load.encoding", 3)


def test_parquet_of_other_types_loads_like_the_csv(home: Path) -> None:
    table = pa.table(
        {
            "firm_id": pa.array([1, 1, 2], pa.int16()),
            "loan_id": pa.array([1.0, 2.0, 3.0]),
            "district": pa.array(["Alder", None, "Elsewhere"]).dictionary_encode(),
            "amount": pa.array([12.34, float("nan"), float("inf")]),
            "day": pa.array([dt.datetime(2020, 1, 2, 3), None, dt.datetime(1900, 1, 1)]),
            "bad": pa.array([True, None, False]),
        }
    )
    pq.write_table(table, home.parent / "loans.parquet")
    load(city.policies({"loans": city.loans()}), "city", {"loans": home.parent / "loans.parquet"}, home)
    query = "SELECT firm_id, loan_id, district, amount, day, bad FROM loans ORDER BY loan_id"
    assert city.stored(home, query) == [
        (1, 1, "Alder", 1234, dt.date(2020, 1, 2), True),
        (1, 2, None, None, None, None),
        (2, 3, None, None, None, False),
    ]


# ------------------------------------------------------------------------------- versions


def test_a_version_is_a_serial_and_a_random_id_and_two_stay(home: Path) -> None:
    versions = [load_loans(home, "1,1,,,,\n").version for _ in range(4)]
    assert len({v.split("-")[1] for v in versions}) == 4, "equal data must not give an equal id"
    folder = home / "restricted" / "city"
    assert sorted(f.name for f in folder.iterdir()) == ["3", "4"]
    manifest = json.loads((folder / "4" / "manifest.json").read_text())
    assert (manifest["dataset"], manifest["serial"], manifest["version"]) == ("city", 4, versions[-1])
    assert "loans" in manifest["enforced"]["tables"]
    assert sorted(f.name for f in (folder / "4").iterdir()) == ["data.duckdb", "manifest.json"]


def test_what_is_made_is_closed_to_others(home: Path) -> None:
    load_loans(home, "1,1,,,,\n")
    assert stat.S_IMODE(os.stat(home / "keys" / "rank-firms.key").st_mode) == 0o600
    for folder in (home / "restricted", home / "restricted" / "units", home / "restricted" / "city" / "1"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_tables_without_a_file_are_carried_over(home: Path) -> None:
    described = city.policies({"loans": city.loans(), "payments": city.payments(), "firms": city.firms()})
    files = {
        "loans": city.csv(home.parent, "loans", HEAD + "1,10,,,,\n1,11,,,,\n"),
        "payments": city.csv(home.parent, "payments", "loan,paid\n10,1\n11,2\n"),
        "firms": city.csv(home.parent, "firms", "firm_id,name\n1,One\n"),
    }
    load(described, "city", files, home)
    query = "SELECT * FROM payments ORDER BY ALL"
    before = city.stored(home, query)
    report = load(described, "city", {"firms": files["firms"]}, home)
    assert city.stored(home, query) == before
    assert {t.table for t in report.tables if t.file is None} == {"loans", "payments"}
    with pytest.raises(LoadRefused) as refused:
        load(described, "city", {"loans": files["loans"]}, home)
    assert [(p.code, p.table) for p in refused.value.problems] == [("load.no_file_beside_parent", "payments")]


def test_one_load_at_a_time(home: Path) -> None:
    lock = layout.Home(home).lock("load-city")
    with layout.locked(lock), pytest.raises(LoadRefused) as refused:
        load_loans(home, "1,1,,,,\n")
    assert refused.value.code == "load.busy" and str(os.getpid()) in refused.value.message.en
    load_loans(home, "1,1,,,,\n")


def test_a_machine_out_of_memory_is_a_refusal_and_changes_nothing(home: Path) -> None:
    load_loans(home, "1,1,,,,\n")
    rows = "".join(f"{n},{n},,,,\n" for n in range(900))
    with pytest.raises(LoadRefused) as refused:
        load_loans(home, rows, memory="3MB")
    assert refused.value.code == "load.resources"
    assert city.stored(home, "SELECT count(*) FROM loans") == [(1,)]
    assert sorted(f.name for f in (home / "restricted" / "city").iterdir()) == ["1"]


# --------------------------------------------------------------------------------- the edges


def test_files_without_rows_make_empty_tables(home: Path) -> None:
    load_loans(home, "")
    assert city.stored(home, "SELECT count(*) FROM loans") == [(0,)]
    pq.write_table(
        pa.table({"firm_id": pa.array([], pa.int64()), "name": pa.array([], pa.string())}), home / "f"
    )
    load(city.policies({"firms": city.firms()}), "city", {"firms": home / "f"}, home)
    assert city.stored(home, "SELECT count(*) FROM firms") == [(0,)]


def test_domains_of_numbers_dates_and_booleans_are_enforced(home: Path) -> None:
    facts = city.LOANS | {
        "amount": {"type": "number", "step": 0.5, "values": [0.5, 2], "nullable": True},
        "day": {"type": "date", "values": ["2020-01-01"], "nullable": True},
        "bad": {"type": "boolean", "values": [True], "nullable": True},
    }
    report = load_loans(home, "1,1,,0.5,2020-01-01,yes\n1,2,,1.5,2020-01-02,no\n", city.loans(facts))
    assert city.stored(home, "SELECT amount, day, bad FROM loans ORDER BY loan_id") == [
        (1, dt.date(2020, 1, 1), True),
        (None, None, None),
    ]
    assert {(f.rule, f.column) for f in report.tables[0].findings} == {
        (Rule.DOMAIN, c) for c in ("amount", "day", "bad")
    }


def test_integers_beyond_any_bound(home: Path) -> None:
    facts = city.LOANS | {
        "loan_id": {"type": "integer"},
        "amount": {"type": "integer", "bounds": [-5, 5]},
    }
    report = load_loans(
        home, f"1,1,,{'9' * 30},,\n1,2,,-{'9' * 30},,\n1,{'9' * 30},,0,,\n", city.loans(facts)
    )
    assert city.stored(home, "SELECT loan_id, amount FROM loans ORDER BY 1") == [(1, 5), (2, -5)]
    assert findings(report) == {
        (Rule.CLAMPED, Effect.CLAMPED, "amount", 2),
        (Rule.OUTSIDE, Effect.DROPPED, "loan_id", 1),
    }


def test_text_longer_than_declared(home: Path) -> None:
    facts = city.LOANS | {"district": {"type": "string", "max_length": 3, "nullable": True}}
    report = load_loans(home, "1,1,朝阳区,,,\n1,2,四个汉字,,,\n", city.loans(facts))
    assert city.stored(home, "SELECT district FROM loans ORDER BY loan_id") == [("朝阳区",), (None,)]
    assert findings(report) == {(Rule.LENGTH, Effect.EMPTIED, "district", 1)}


def test_progress_runs_through_the_steps(home: Path) -> None:
    seen: list[Progress] = []
    file = city.csv(home.parent, "loans", HEAD + "1,1,,,,\n")
    load(city.policies({"loans": city.loans()}), "city", {"loans": file}, home, seen.append)
    steps = [p.step for p in seen]
    assert list(dict.fromkeys(steps)) == ["read", "order", "rank", "check", "write"]
    assert (seen[-1].done, seen[-1].total) == (1, 1)
