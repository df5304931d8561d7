from __future__ import annotations

import importlib.metadata
import tomllib
import warnings
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy
from sqlalchemy import Engine, inspect, text

from sandbox_guard import client
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"


@pytest.fixture
def engine(url: str) -> Engine:
    return client.engine()


def test_pandas_reads_without_a_warning(engine: Engine, vault: Vault) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = pd.read_sql(SQL, engine)
        again = pd.read_sql(
            text(SQL.replace("GROUP", "WHERE is_srdi = :flag GROUP")), engine, params={"flag": True}
        )
    assert frame.shape == again.shape == (4, 2)
    assert len(vault.charges) == 2, "no probing queries of its own"


def test_intervals_arrive_through_the_address(url: str) -> None:
    frame = pd.read_sql(SQL, client.engine(intervals=True, margin=50))
    assert list(frame.columns) == ["reg_district", "n", "n_low", "n_high"]


def test_reflection_comes_from_the_catalogue(engine: Engine, vault: Vault) -> None:
    inspector = inspect(engine)
    assert inspector.get_table_names() == ["ent", "district"]
    assert inspector.has_table("ENT")
    assert not inspector.has_table("secret")
    types = {column["name"]: type(column["type"]).__name__ for column in inspector.get_columns("ent")}
    assert types["reg_capital"] == "Float"
    assert types["est_date"] == "Date"
    with pytest.raises(sqlalchemy.exc.NoSuchTableError):
        inspector.get_columns("secret")
    assert vault.charges == {}


def test_a_select_built_in_python_is_a_question(engine: Engine, vault: Vault) -> None:
    ent = sqlalchemy.Table("ent", sqlalchemy.MetaData(), autoload_with=engine)
    question = (
        sqlalchemy.select(ent.c.reg_district, sqlalchemy.func.count().label("n"))
        .where(ent.c.is_srdi == sqlalchemy.bindparam("flag", True))
        .group_by(ent.c.reg_district)
    )
    with engine.connect() as connection:
        assert len(connection.execute(question).all()) == 4
    assert vault.asked[-1]["parameters"] == {"flag": True}


def test_nothing_can_be_written(engine: Engine) -> None:
    with pytest.raises(pd.errors.DatabaseError, match="只读"):
        pd.DataFrame({"a": [1, 2]}).to_sql("mine", engine)


def test_a_refusal_comes_through(engine: Engine) -> None:
    with (
        pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"name\.column"),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT distric, 1"))


def test_the_entry_point_is_declared() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    declared = project["entry-points"]["sqlalchemy.dialects"]["guard"]
    assert importlib.metadata.EntryPoint("guard", declared, "sqlalchemy.dialects").load().name == "guard"
