from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sandbox_guard.client import words
from sandbox_guard.client.answer import Answer
from sandbox_guard.client.display import figure
from sandbox_guard.client.result import Result, read_provenance
from sandbox_guard.client.session import Session
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n, AVG(reg_capital) AS mean FROM ent GROUP BY 1 ORDER BY 1"


@pytest.fixture
def result(guard: Session) -> Result:
    return guard.sql(SQL)


def body(columns: list[dict[str, Any]], rows: dict[str, list[Any]], **more: Any) -> dict[str, Any]:
    zero = dict.fromkeys(("rho", "delta", "percent_member", "percent_project", "epsilon", "epsilon_delta"), 0)
    return {
        "columns": columns,
        "rows": rows,
        "shape": [len(rows["0"]), len(columns)],
        "cost": zero,
        "remaining": {"percent_member": 50, "percent_project": 50},
        "receipt": {"release_id": "r"},
        **more,
    }


def test_it_is_a_dataframe_of_natural_types(result: Result) -> None:
    assert isinstance(result, pd.DataFrame)
    assert list(result.columns) == ["reg_district", "n", "mean"]
    assert result["n"].dtype == "int64"
    assert result["mean"].dtype == "float64"


def test_what_pandas_derives_claims_no_margin(result: Result) -> None:
    for derived in (result.head(2), result[["n"]], result.sort_values("n"), result * 2, result.copy()):
        assert type(derived) is pd.DataFrame


def test_intervals_are_real_columns(result: Result) -> None:
    frame = result.intervals()
    assert list(frame.columns) == ["reg_district", "n", "n_low", "n_high", "mean", "mean_low", "mean_high"]
    assert ((frame["n_low"] < frame["n"]) & (frame["n"] < frame["n_high"])).all()
    merged = frame.merge(pd.DataFrame({"reg_district": ["静安区"], "x": [1]}), on="reg_district")
    assert merged["n_low"].notna().all()


def test_types_dates_nulls_and_duplicate_names() -> None:
    answer = Answer.read(
        body(
            [
                {"name": "d", "type": "date", "role": "key"},
                {"name": "n", "type": "integer", "role": "number"},
                {"name": "n", "type": "integer", "role": "number"},
                {"name": "b", "type": "boolean", "role": "key"},
            ],
            {"0": ["2022-01-01", None], "1": [1, None], "2": [1, 2], "3": [True, None]},
            low={"2": [0, 1]},
            high={"2": [2, 3]},
        )
    )
    frame = answer.frame()
    assert list(frame.columns) == ["d", "n", "n", "b"]
    assert str(frame["d"].dtype).startswith("datetime64")
    assert frame.iloc[1, 1] is pd.NA
    assert list(answer.with_intervals().columns) == ["d", "n", "n_2", "n_2_low", "n_2_high", "b"]
    assert "—" in Result.of(answer)._repr_html_()


def test_html_says_price_remainder_cuts_margin_reliability_and_receipt(result: Result) -> None:
    html = result._repr_html_()
    for part in (
        "0.5 %",
        "2 %",
        "剩余",
        "约 40 个",
        "再问同一问题免费",
        "少于 20 家企业",
        "± 8",
        "高",
        "rel-1",
    ):
        assert part in html
    assert html.index("少于 20 家企业") < html.index("<table"), "cuts stand above the table"
    words.language("en")
    html = result._repr_html_()
    for part in ("This cost 0.5 %", "About 40 more", "Asking again is free", "95 of 100", "high", "Receipt"):
        assert part in html


def test_a_free_answer_says_so(guard: Session, result: Result) -> None:
    assert "免费" in guard.sql(SQL)._repr_html_().split("<table")[0]


def test_names_and_values_are_escaped() -> None:
    column = {"name": "<img src=x>", "type": "string", "role": "key"}
    html = Result.of(Answer.read(body([column], {"0": ["<script>"]})))._repr_html_()
    assert "<img" not in html
    assert "<script" not in html


def test_many_rows_say_how_many_are_shown(guard: Session, vault: Vault) -> None:
    vault.wide = 3200
    result = guard.sql("SELECT 1")
    assert "显示 3,200 行中的 20 行" in result._repr_html_()
    assert result._repr_html_().split("<details")[0].count("<tr>") == 21
    assert len(result) == 3200


def test_a_changed_table_no_longer_shows_margins(result: Result) -> None:
    result.loc[0, "n"] = 12345
    html = result._repr_html_()
    assert "±" not in html
    assert "修改过" in html
    assert result.released().loc[0, "n"] != 12345


def test_csv_carries_receipt_version_cost_and_intervals(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "districts.csv"
    assert result.to_csv(path) is None
    read = pd.read_csv(path, comment="#")
    pd.testing.assert_frame_equal(read, pd.DataFrame(result.intervals()), check_dtype=False)
    found = read_provenance(path)
    assert found["receipt"]["release_id"] == "rel-1"
    assert found["receipt"]["versions"] == {"ent": "1-0123456789abcdef"}
    assert found["cost"]["percent_member"] == 2.0
    assert found["notes"]


def test_csv_keeps_a_hash_in_a_text(tmp_path: Path) -> None:
    column = {"name": "k", "type": "string", "role": "key"}
    result = Result.of(Answer.read(body([column], {"0": ["a#b"]})))
    result.to_csv(tmp_path / "x.csv")
    assert pd.read_csv(tmp_path / "x.csv", comment="#")["k"].tolist() == ["a#b"]


def test_parquet_carries_the_same(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "districts.parquet"
    result.to_parquet(path)
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.DataFrame(result.intervals()))
    assert read_provenance(path) == json.loads(json.dumps(result._provenance()))


def test_it_can_be_pickled(result: Result) -> None:
    again = pickle.loads(pickle.dumps(result))
    assert again._repr_html_() == result._repr_html_()


@pytest.mark.parametrize(
    ("value", "low", "high", "whole", "shown"),
    [
        (12345.6, 12225.6, 12465.6, False, "12,346 ± 120"),
        (0.0512, 0.0488, 0.0536, False, "0.0512 ± 0.0024"),
        (500, 492.16, 507.84, True, "500 ± 8"),
        (5.0, 4.9, 7.0, False, "5.0 (4.9 … 7.0)"),
        (5.0, 5.0, 5.0, False, "5"),
        (None, None, None, False, "—"),
        (7, None, None, True, "7 ± ?"),
        (-3, -10.5, 4.5, True, "-3 ± 8"),
    ],
)
def test_figures(value: Any, low: Any, high: Any, whole: bool, shown: str) -> None:
    assert figure(value, low, high, whole=whole).text() == shown


def test_a_hundred_thousand_rows_arrive_in_two_seconds(guard: Session, vault: Vault) -> None:
    import time

    vault.wide = 100_000
    guard.sql("SELECT 1")  # the fake makes its answer once
    started = time.process_time()
    assert len(guard.sql("SELECT 1")) == 100_000
    assert time.process_time() - started < 2
