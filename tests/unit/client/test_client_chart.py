from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox_guard.client import words
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.session import Session

ONE = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"
TWO = "SELECT reg_district, industry, COUNT(*) AS n FROM ent GROUP BY 1, 2 ORDER BY 1, 2"


def spec(chart: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(chart.altair.to_json())
    return made


def test_dots_over_bands_in_svg_without_a_network(guard: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    svg = guard.sql(ONE).chart().svg()
    assert svg.startswith("<svg")
    assert "误差带" in svg
    assert "静安区" in svg
    assert "Noto Sans CJK SC" in svg
    assert not re.findall(r'(?:href|src)="https?://', svg)


def test_marks_are_points_and_rules_never_bars(guard: Session) -> None:
    marks = [layer["mark"]["type"] for layer in spec(guard.sql(TWO).chart())["layer"]]
    assert marks == ["rule", "point"]


def test_series_differ_by_shape_as_well_as_colour(guard: Session) -> None:
    dots = spec(guard.sql(TWO).chart())["layer"][1]["encoding"]
    assert dots["shape"]["field"] == dots["color"]["field"] == "series"
    assert len(set(dots["shape"]["scale"]["range"])) == 3
    assert len(set(dots["color"]["scale"]["range"])) == 3


@pytest.mark.parametrize(("zero", "expected"), [(None, False), (True, True)])
def test_zero_is_shown_unless_it_hides_every_difference(
    guard: Session, zero: bool | None, expected: bool
) -> None:
    encoding = spec(guard.sql(ONE).chart(zero=zero))["layer"][1]["encoding"]
    scale = next(e["scale"] for e in encoding.values() if e.get("field") == "value")
    assert scale["zero"] is expected


def test_zero_is_shown_where_a_band_is_wide(guard: Session) -> None:
    small = guard.sql("SELECT reg_district, COUNT(*) AS n FROM ent WHERE reg_capital < 20 GROUP BY 1")
    encoding = spec(small.chart())["layer"][1]["encoding"]
    assert next(e["scale"] for e in encoding.values() if e.get("field") == "value")["zero"] is True


def test_columns_can_be_named(guard: Session) -> None:
    result = guard.sql(TWO)
    chart = spec(result.chart(x="industry", colour="reg_district"))
    assert chart["layer"][1]["encoding"]["shape"]["title"] == "reg_district"
    with pytest.raises(InterfaceError, match="reg_district"):
        result.chart(x="nope")


def test_a_column_name_is_never_an_expression(guard: Session) -> None:
    sql = 'SELECT reg_district AS "a.b[0]", COUNT(*) AS "datum[\'x\']" FROM ent GROUP BY 1'
    assert "datum" in guard.sql(sql).chart().svg()


def test_files_and_notebook_bundle(guard: Session, tmp_path: Path) -> None:
    chart = guard.sql(ONE).chart()
    chart.save(str(tmp_path / "c.png"))
    chart.save(str(tmp_path / "c.svg"))
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "image/svg+xml" in chart._repr_mimebundle_()
    words.language("en")
    assert "noise margin" in guard.sql(ONE).chart().svg()
