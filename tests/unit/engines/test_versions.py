"""Which version of a dataset answers, and when none may."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox_guard.engines.versions import current, serving
from sandbox_guard.errors import Refused
from sandbox_guard.policy.enforced import enforced
from sandbox_guard.policy.model import Dataset
from tests import loading

CITY: Dataset = loading.policies({"loans": loading.loans()}).datasets["city"]


def version(folder: Path, serial: int, dataset: Dataset = CITY) -> Path:
    made = folder / str(serial)
    made.mkdir(parents=True)
    manifest = {
        "dataset": "city",
        "serial": serial,
        "version": f"{serial}-{'0' * 16}",
        "enforced": enforced(dataset),
    }
    (made / "manifest.json").write_text(json.dumps(manifest))
    return made


def test_the_highest_serial_with_a_manifest_is_current(tmp_path: Path) -> None:
    for serial in (2, 10, 9):
        version(tmp_path, serial)
    (tmp_path / "11").mkdir()
    (tmp_path / ".loading-0123").mkdir()
    (tmp_path / ".loading-0123" / "manifest.json").write_text("{}")
    found = current(tmp_path)
    assert found is not None
    assert (found.serial, found.folder) == (10, tmp_path / "10")
    assert serving(CITY, tmp_path) == found


def test_nothing_loaded_is_a_refusal(tmp_path: Path) -> None:
    assert current(tmp_path) is None
    with pytest.raises(Refused) as refused:
        serving(CITY, tmp_path)
    assert refused.value.code == "data.missing"


def test_data_loaded_under_other_facts_waits_for_a_reload(tmp_path: Path) -> None:
    """SOUNDNESS 22: one row a unit, newly declared, over a file that holds several."""
    version(tmp_path, 1)
    edited = loading.policies({"loans": loading.loans(max_rows_per_unit=1)}).datasets["city"]
    with pytest.raises(Refused) as refused:
        serving(edited, tmp_path)
    assert refused.value.code == "data.reload_needed"
