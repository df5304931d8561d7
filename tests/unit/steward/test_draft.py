"""Drafting: types and formats are found, and nothing that was observed is written."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from sandbox_guard.policy import PolicyError, read_policies
from sandbox_guard.policy.model import ColumnType
from sandbox_guard.steward.draft import Draft, draft
from sandbox_guard.steward.source import Unreadable

CSV = """Firm Code,贷款金额,Rate,Postcode,Opened,Closed,Paid,Grade,Note
K8812,987654.32,0.0451,04711,2/28/1997,24-Jun-91,Y,AAA,prefers mornings
K9134,123456.78,0.0517,00815,12/31/2003,4-Oct-89,N,BBB,
K8812,555555.05,n/a,10115,6/30/1997,,Y,AAA,none
"""


def drafted(tmp_path: Path, content: str = CSV, encoding: str = "utf-8") -> Draft:
    path = tmp_path / "file.csv"
    path.write_text(content * 1, encoding)
    return draft(path, "loan")


def test_types_and_formats_are_found(tmp_path: Path) -> None:
    lines = CSV.splitlines()
    many = "\n".join([lines[0], *(line for line in lines[1:] for _ in range(9)), *lines[1:3]])
    found = drafted(tmp_path, many)
    columns = yaml.safe_load(found.policy)["tables"]["loan"]["columns"]
    assert {name: column["type"] for name, column in columns.items()} == {
        "Firm_Code": "string",
        "column_2": "number",
        "Rate": "string",
        "Postcode": "string",
        "Opened": "date",
        "Closed": "date",
        "Paid": "boolean",
        "Grade": "string",
        "Note": "string",
    }
    assert columns["column_2"]["source"] == "贷款金额"
    assert columns["Opened"]["format"] == "%m/%d/%Y"
    assert columns["Closed"]["format"] == "%d-%b-%y" and columns["Closed"]["pivot_year"] == "TODO"


def test_a_few_stray_marks_do_not_hide_a_type(tmp_path: Path) -> None:
    found = drafted(tmp_path, "amount\n" + "12\n" * 50 + "unknown\n")
    assert found.observed[0].type is ColumnType.INTEGER
    assert found.observed[0].strays == ("unknown",)


def test_an_ambiguous_date_is_left_to_the_steward(tmp_path: Path) -> None:
    found = drafted(tmp_path, "day\n" + "1/2/2003\n" * 5)
    assert found.observed[0].formats == ("%m/%d/%Y", "%d/%m/%Y")
    assert "format: TODO" in found.policy


def test_nothing_observed_is_in_the_policy(tmp_path: Path) -> None:
    found = drafted(tmp_path)
    for cell in (c for line in CSV.splitlines()[1:] for c in line.split(",") if len(c) > 1):
        assert cell not in found.policy
    assert not any(char.isdigit() for char in found.policy.replace("column_2", ""))
    shown = "\n".join(found.shown("en"))
    assert "0.0451" in shown and "987654.32" in shown and "do not write it down" in shown
    assert "请勿写入文件" in "\n".join(found.shown("zh"))


def test_the_policy_does_not_change_with_one_rows_values(tmp_path: Path) -> None:
    """Neither a figure nor whether something is empty or unique shows in the text."""
    changed = CSV.replace("987654.32", "1.1").replace("prefers mornings", "").replace("K9134", "K8812")
    assert drafted(tmp_path, changed).policy == drafted(tmp_path).policy


def test_policy_check_lists_every_todo(tmp_path: Path) -> None:
    found = drafted(tmp_path)
    folder = tmp_path / "policies"
    (folder / "datasets").mkdir(parents=True)
    (folder / "people.yaml").write_text("{}")
    (folder / "datasets/loans.yaml").write_text(found.policy)
    with pytest.raises(PolicyError) as caught:
        read_policies(folder)
    todos = [p for p in caught.value.problems if "TODO" in p.what.en]
    assert len(todos) == found.policy.split("title:", 1)[1].count("TODO")
    assert len(todos) == len(caught.value.problems)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_chinese_files_in_their_encodings(tmp_path: Path, encoding: str) -> None:
    found = drafted(tmp_path, "区;金额\n云汀区;5\n霁川区;6\n", encoding)
    assert found.rows == 2
    assert [o.type for o in found.observed] == [ColumnType.STRING, ColumnType.INTEGER]
    assert "source: 区" in found.policy


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(pa.table({"day": [dt.date(2020, 1, 2)], "n": [5], "x": [0.25], "ok": [True]}), path)
    assert [o.type for o in draft(path, "t").observed] == [
        ColumnType.DATE,
        ColumnType.INTEGER,
        ColumnType.NUMBER,
        ColumnType.BOOLEAN,
    ]


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        draft(tmp_path / "missing.csv", "t")


def test_an_empty_column_and_an_empty_file(tmp_path: Path) -> None:
    assert drafted(tmp_path, "a,b\n1,\n2,\n").observed[1].type is ColumnType.STRING
    assert drafted(tmp_path, "a,b\n").rows == 0
