from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from sandbox_guard import client
from sandbox_guard.client.errors import InterfaceError, NoSamples, Refused
from sandbox_guard.client.result import Result
from sandbox_guard.client.session import Session
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"


def test_what_crosses_the_wire_is_the_contracts_ask(guard: Session, vault: Vault) -> None:
    sql = SQL.replace("GROUP", "WHERE is_srdi = :flag AND est_date < :day GROUP")
    guard.sql(sql, params={"flag": True, "day": dt.date(2010, 1, 1)}, epsilon=0.5, pure=True, rows_per_unit=3)
    (asked,) = vault.asked
    assert len(asked.pop("request_id")) == 32
    assert asked == {
        "sql": sql,
        "parameters": {"flag": True, "day": "2010-01-01"},
        "epsilon": 0.5,
        "pure": True,
        "rows_per_unit": 3,
    }


def test_a_price_is_named_once(guard: Session, vault: Vault) -> None:
    with pytest.raises(InterfaceError, match="margin, share"):
        guard.sql(SQL, margin=5, share=0.1)
    with pytest.raises(InterfaceError, match="epsilon"):
        guard.sql(SQL, pure=True)
    assert vault.asked == []


def test_estimate_spends_nothing_and_says_so(guard: Session, vault: Vault) -> None:
    estimate = guard.estimate(SQL)
    assert estimate.margins == {"reg_district": None, "n": 7.84, "mean": None}
    html = estimate._repr_html_()
    for part in ("0.5 %", "± 7.9", "取决于数据", "约 40 个", "没有花费预算"):
        assert part in html
    assert vault.charges == {}


def test_try_sql_returns_the_refusal(guard: Session) -> None:
    refused = guard.try_sql("SELECT 1,\n       distric, 2")
    assert isinstance(refused, Refused)
    assert "name.column" in refused._repr_html_()
    assert isinstance(guard.try_sql(SQL), Result)


def test_budget_catalogue_history_and_analyses(guard: Session) -> None:
    assert 'aria-label="剩余 70 %' in guard.budget()._repr_html_()
    assert "<td>普惠信贷研究" in re.sub(r"<td[^>]*>", "<td>", guard.budget()._repr_html_()), (
        "as people call it"
    )
    assert guard.budget().frame()["percent_left"].tolist() == [70.0, 92.5]
    catalogue = guard.catalogue()
    assert catalogue["ENT"].private
    assert "隔离有限" in catalogue._repr_html_()
    assert "专" not in guard.tables()["table"].to_list()
    guard.sql(SQL)
    guard.analyse("tax-segments", flag=True)
    history = guard.history()
    assert len(history) == 2
    assert len(guard.history("is_srdi ENT")) == 1
    assert isinstance(history[0], Result)
    assert "免费" in history[0]._repr_html_()
    at = dt.datetime.fromisoformat(history.releases[0]["released_at"]).astimezone()
    cell = f'white-space:nowrap">{at:%Y-%m-%d %H:%M}</td>'
    assert cell in history._repr_html_(), "the time of the clock on the wall, on one line"
    assert guard.analyses().names == ("tax-segments",)


def test_explain_is_text(guard: Session) -> None:
    assert "Gaussian" in guard.explain(SQL)


def test_the_same_sql_runs_on_the_sample_exactly_and_free(
    guard: Session, vault: Vault, samples_folder: Path
) -> None:
    sql = "SELECT reg_district, COUNT(*) AS n FROM ent WHERE is_srdi = :flag GROUP BY 1 ORDER BY 1"
    dry = guard.sql(sql, params={"flag": True, "unused": 1}, on="sample")
    assert dry["n"].sum() == 223
    assert list(dry.columns) == list(guard.sql(sql, params={"flag": True}).columns)
    assert "样本" in dry._repr_html_()
    assert "±" not in dry._repr_html_()
    assert len(vault.asked) == 1


def test_errors_of_the_sample_are_duckdbs_own(guard: Session, samples_folder: Path) -> None:
    with pytest.raises(duckdb.BinderException, match="distric"):
        guard.sql("SELECT distric FROM ent", on="sample")


def test_the_sample_cannot_be_written(guard: Session, samples_folder: Path) -> None:
    with pytest.raises(duckdb.Error):
        guard.sql("DELETE FROM sample_0.main.ent", on="sample")


def test_sample_shows_rows(guard: Session, samples_folder: Path) -> None:
    assert len(guard.sample("ent", 3)) == 3


def test_without_samples_it_says_so(guard: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_GUARD_SAMPLES", raising=False)
    with pytest.raises(NoSamples):
        guard.sql(SQL, on="sample")


def test_the_process_backend_is_said_on_every_answer(guard: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_GUARD_BACKEND", "process")
    assert "隔离有限" in guard.sql(SQL)._repr_html_()


def test_exported_names() -> None:
    """A name that notebooks may use is not taken away by accident."""
    assert sorted(client.__all__) == [
        "Cancelled",
        "Error",
        "Fault",
        "Refused",
        "Result",
        "Session",
        "Unreachable",
        "analyse",
        "analyses",
        "budget",
        "catalogue",
        "connect",
        "engine",
        "estimate",
        "estimate_analysis",
        "explain",
        "fewer_rows",
        "here",
        "history",
        "language",
        "load_ipython_extension",
        "read_provenance",
        "sample",
        "sql",
        "tables",
        "try_sql",
    ]
    assert all(hasattr(client, name) for name in client.__all__)


def test_a_plain_dataframe_is_what_samples_and_tables_give(guard: Session) -> None:
    assert type(guard.tables()) is pd.DataFrame
