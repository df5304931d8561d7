"""`policies/README.md` describes every key there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox_guard.policy import model

README = (Path(__file__).parents[3] / "policies/README.md").read_text("utf-8")
WRITTEN: list[type[model.Model]] = [
    model.Population,
    model.UnitId,
    model.Budget,
    model.Dataset,
    model.Table,
    model.Column,
    model.Person,
    model.Project,
    model.Agreement,
    model.AnalysisHeader,
    model.Parameter,
    model.Chart,
]
FROM_THE_FILE_NAME = {"name"}


def fields(part: type[model.Model]) -> list[str]:
    return list(part.model_fields)


@pytest.mark.parametrize("part", WRITTEN)
def test_every_key_is_described(part: type[model.Model]) -> None:
    missing = [k for k in fields(part) if f"`{k}`" not in README and k not in FROM_THE_FILE_NAME]
    assert not missing


def test_every_described_key_exists() -> None:
    keys = {k for part in WRITTEN for k in fields(part)}
    described = {
        key
        for row in re.findall(r"^\| ([^|]*) \|", README, re.MULTILINE)
        for key in re.findall(r"`(\w+)`", row)
    }
    assert described and described <= keys


def test_every_choice_is_described() -> None:
    for choice in (*model.Classification, *model.ColumnType, *model.Office, *model.Role):
        assert f"`{choice}`" in README
