"""Reading policy folders: what stands in them, and every problem with its place and its fix."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox_guard.policy import PolicyError, read_policies

ROOT = Path(__file__).parents[3]
SMALL = ROOT / "tests/data/small/policies"
SHIPPED = [ROOT / "policies", SMALL, ROOT / "tests/data/sba/policies"]

DATASET = "datasets/small.yaml"
PROJECT = "projects/trial.yaml"
POPULATION = "units/firms.yaml"
ANALYSIS = "analyses/by-year.sql"

SQL = """/*---
title: {zh: 年度, en: Years}
description: {zh: 年度, en: Years}
parameters:
  least:
    title: {zh: 下限, en: Least}
    type: number
    bounds: [0, 100]
    default: 5
reviewers: [max]
chart: {x: year, y: n}
columns:
  year: {zh: 年份, en: Year}
  n: {zh: 笔数, en: Loans}
---*/
SELECT year, COUNT(*) AS n FROM loans WHERE amount >= :least AND ':no' <> '' AND amount::INT > 0 GROUP BY year
"""

Edit = Callable[[str, str, str], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SMALL, tmp_path / "policies")
    (tmp_path / "policies/analyses").mkdir()
    (tmp_path / "policies" / ANALYSIS).write_text(SQL)
    return tmp_path / "policies"


def problems(folder: Path) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read_policies(folder)
    assert len(caught.value.text("zh").splitlines()) == len(caught.value.problems)
    return [line.removeprefix(f"{folder}/") for line in caught.value.text("en").splitlines()]


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / file
    text = path.read_text()
    assert text.count(old) >= 1, old
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda p: p.parent.name)
def test_what_is_shipped_is_right(directory: Path) -> None:
    assert len(read_policies(directory).digest) == 64


def test_reads_what_the_files_say(folder: Path) -> None:
    policies = read_policies(folder)
    loans = policies.datasets["small"].tables["loans"]
    assert policies.datasets["small"].name == "small"
    assert loans.columns["amount"].bounds == (Decimal(0), Decimal(5_000_000))
    assert loans.columns["amount"].step == Decimal("0.01")
    assert policies.datasets["small"].tables["firms"].columns["founded"].bounds == (
        dt.date(1960, 1, 1),
        dt.date(2023, 12, 31),
    )
    assert policies.populations["firms"].budget.delta_units == 10**9
    assert policies.analyses["by-year"].sql.startswith("SELECT year")
    assert policies.analyses["by-year"].header.parameters["least"].accepts(Decimal("99.5"))
    assert not policies.analyses["by-year"].header.parameters["least"].accepts(Decimal("100.5"))


MISTAKES = [
    # file, old, new, what of the new text the place must point to, words in the message
    (POPULATION, "rho: 4", "rho: -4", "-4", "greater than 0"),
    (POPULATION, "query_delta: 1e-7", "query_delta: 1e-5", "1e-5", "at most 0.000001"),
    (POPULATION, "id: {", "ids: {", "{type", "did you mean id?"),
    (POPULATION, "rho: 4", "rho: 4.0000000001", "4.0", "units of 1/1000000000"),
    (DATASET, "population: firms", "population: firm", "firm\n", "there are: firms"),
    (DATASET, "budget: {rho: 2", "budget: {rho: 5", "{rho", "at most rho 4"),
    (DATASET, "unit: [firm_id]", "unit: [firm]", "firm]", "'firm' is not a column"),
    (DATASET, "max_rows_per_unit: 60", "max_rows: 5000", "max_rows", "stands twice"),
    (DATASET, "max_rows_per_unit: 60", "max_rows_per_unit: 0", "0\n", "greater than 0"),
    (DATASET, "max_rows: 5000", "max_rows: 5000\n    max_rows: 6000", "max_rows: 6000", "stands twice"),
    (DATASET, "step: 0.01", "steps: 0.01", "0.01", "did you mean step?"),
    (DATASET, "step: 0.01, ", "", "{title: {zh: 金额", "add for instance step: 0.01"),
    (DATASET, "bounds: [0, 5_000_000]", "bounds: [7, 5]", "[7", "[lower, upper]"),
    (DATASET, "bounds: [0, 5_000_000]", "bounds: [0, 0.005]", "0.005", "no multiple of 1/100"),
    (DATASET, "bounds: [0, 5_000_000]", "bounds: [0, 1e17]", "1e17", "below step"),
    (
        DATASET,
        "en: Firm}, type: integer",
        "en: Firm}, identifier: true, type: integer",
        "",
        "remove the mark",
    ),
    (POPULATION, "type: integer", "type: string, pattern: '['", "'['", "no regular expression"),
    (DATASET, "bounds: [0, 5_000_000]", "bounds: TODO", "TODO", "TODO"),
    (DATASET, "bounds: [0, 5_000_000]", "bounds: [0, 2022-01-01]", "2022-01-01", "numbers otherwise"),
    (DATASET, "2018, 2019", "2018, '2019'", "'2019'", "is no integer"),
    (DATASET, "2018, 2019", "2018, 2020", "2020, 2021", "stands twice"),
    (DATASET, "1960-01-01", "1960-13-01", "1960-13-01", "there is no '1960-13-01'"),
    (DATASET, "  firms:\n", "  Loans:\n", "Loans", "is in 'small' already"),
    (DATASET, "unit: [firm_id]", "unit: [firm_id, loan_id]", "", "has 1 columns, but 2"),
    (DATASET, "Firm}, type: integer}", "Firm}, type: string}", "string", "write type: integer"),
    (PROJECT, "ann: researcher", "anna: researcher", "researcher", "there are: ann, max"),
    (PROJECT, "ann: researcher", "ann: owner", "owner", "'researcher' or 'enterprise'"),
    (PROJECT, "[small]", "[smal]", "smal]", "there are: small"),
    (PROJECT, "budgets: {firms: {rho: 1,", "budgets: {firms: {rho: 4.5,", "{rho", "at most rho 4"),
    (
        PROJECT,
        "member_budgets: {firms: {rho: 1,",
        "member_budgets: {firms: {rho: 2,",
        "{rho",
        "at most rho 1",
    ),
    (PROJECT, "member_budgets: {firms: ", "member_budgets: {people: ", "{rho", "no population 'people'"),
    (
        PROJECT,
        "datasets: [small]",
        "datasets: [small]\nanalyses: [by-month]",
        "by-month",
        "there are: by-year",
    ),
    (PROJECT, "expires: 2099-12-31", "expires: tomorrow", "tomorrow", "expires"),
    (PROJECT, "title: {", "title {", "", "not valid YAML"),
    ("people.yaml", "offices: [steward]", "offices: [stewart]", "stewart", "'auditor' or 'steward'"),
    ("people.yaml", "title: Ann, ", "", "{organisation: Tests, language", "title is missing"),
    (ANALYSIS, "reviewers: [max]", "reviewers: [ann]", "ann", "holds no office"),
    (ANALYSIS, ">= :least", ">= :most", "", "undeclared parameter :most"),
    (ANALYSIS, ">= :least", ">= ':least'", "", "does not use the parameter :least"),
    (ANALYSIS, "x: year", "x: month", "month", "there are: year, n"),
    (ANALYSIS, "default: 5", "default: 500", "500", "correct default"),
    (ANALYSIS, "    bounds: [0, 100]\n", "", "", "neither values nor bounds"),
    (ANALYSIS, "/*---", "--", "--", "does not open with"),
]


@pytest.mark.parametrize(("file", "old", "new", "at", "words"), MISTAKES)
def test_a_mistake_is_found_where_it_is(
    folder: Path, file: str, old: str, new: str, at: str, words: str
) -> None:
    before = (folder / file).read_text()
    edit(folder, file, old, new)
    start = f"{file}:"
    if at:
        text = (folder / file).read_text()
        # Where nothing new was put in, what is pointed to begins on the same line, before the edit.
        here = text.find(at, before.index(old))
        begin = here if new else text.rindex(at, 0, before.index(old) + len(at))
        line = text.count("\n", 0, begin)
        start = f"{file}:{line + 1}:{begin - (text.rfind(chr(10), 0, begin) + 1) + 1}: "
    found = problems(folder)
    assert any(f.startswith(start) and words in f for f in found), start + "\n" + "\n".join(found)


def test_all_mistakes_are_listed_at_once(folder: Path) -> None:
    edit(folder, POPULATION, "rho: 4", "rho: 0")
    edit(folder, DATASET, "step: 0.01, ", "")
    edit(folder, DATASET, "bounds: [0, 40]", "bounds: [40, 0]")
    edit(folder, PROJECT, "ann: researcher", "ann: nobody")
    assert len(problems(folder)) == 4


def test_a_file_that_is_no_policy_is_not_passed_over(folder: Path) -> None:
    shutil.copy(folder / DATASET, folder / "datasets/other.yml")
    (folder / "projects/Trial Two.yaml").write_text("")
    found = problems(folder)
    assert found[0].startswith("datasets/other.yml:1:1: not a policy file")
    assert found[1].startswith("projects/Trial Two.yaml:1:1: the file's name is no name")


def test_a_unit_path_needs_a_unique_key_that_leads_to_a_unit(folder: Path) -> None:
    payments = """
  payments:
    title: {zh: 还款, en: Payments}
    unit_through: {column: loan_id, references: loans.KEY}
    max_rows: 50_000
    max_rows_per_unit: 500
    columns:
      loan_id: {title: {zh: 贷款, en: Loan}, type: integer}
"""
    path = folder / DATASET
    text = path.read_text()
    path.write_text(text + payments.replace("KEY", "loan_id"))
    assert read_policies(folder).datasets["small"].tables["payments"].private
    path.write_text(text + payments.replace("KEY", "amount"))
    assert "add unique: [[amount]] to table 'loans'" in problems(folder)[0]
    path.write_text(text + payments.replace("loans.KEY", "districts.district"))
    assert "reaches no unit column" in problems(folder)[0]
    path.write_text(text + payments.replace("loans.KEY", "loan.loan_id"))
    assert "no column of this dataset 'loan.loan_id'" in problems(folder)[0]


def test_scalars_mean_what_they_look_like(folder: Path) -> None:
    """YAML 1.1 would read these as False, 8 and a number in base 60."""
    edit(folder, DATASET, "[North, South, West, East]", "[NO, yes, 010, 1:30]")
    values = read_policies(folder).datasets["small"].tables["districts"].columns["region"].values
    assert values == ("NO", "yes", "010", "1:30")


def test_an_anchor_that_holds_itself_ends(folder: Path) -> None:
    (folder / POPULATION).write_text("title: &a {zh: 企业, en: *a}\n")
    assert any("nested too deeply" in line for line in problems(folder))


def test_the_digest_is_of_what_is_said(folder: Path) -> None:
    digest = read_policies(folder).digest
    edit(folder, DATASET, "step: 0.01", "step: 0.010")
    edit(folder, PROJECT, "organisation: Tests", "# a comment\norganisation: 'Tests'")
    assert read_policies(folder).digest == digest
    edit(folder, DATASET, "max_rows: 5000", "max_rows: 5001")
    changed = read_policies(folder).digest
    assert changed != digest
    edit(folder, ANALYSIS, "COUNT(*)", "COUNT(1)")
    assert read_policies(folder).digest != changed


def test_the_order_of_columns_is_part_of_what_is_said(folder: Path) -> None:
    digest = read_policies(folder).digest
    path = folder / DATASET
    lines = path.read_text().splitlines()
    year = next(i for i, line in enumerate(lines) if line.lstrip().startswith("year:"))
    lines[year], lines[year + 1] = lines[year + 1], lines[year]
    path.write_text("\n".join(lines))
    assert read_policies(folder).digest != digest
