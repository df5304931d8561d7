"""When a sandbox that fills its home is ended, and when not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hub import homes
from hub.homes import GIB, Watch, size


def test_a_home_that_grows_past_its_limit_ends_its_sandbox(tmp_path: Path) -> None:
    watch = Watch(tmp_path, limit=100 * 2**20, at_start=0)
    grow(tmp_path / "some", 80)
    assert watch.overfull() == ""
    grow(tmp_path / "more", 40)
    assert "0.1 GiB" in watch.overfull()


def test_a_full_home_starts_and_may_be_cleaned_up(tmp_path: Path) -> None:
    grow(tmp_path / "full", 120)
    watch = Watch(tmp_path, limit=100 * 2**20, at_start=size(tmp_path))
    grow(tmp_path / "a notebook", 1)
    assert watch.overfull() == ""
    grow(tmp_path / "more", 70)
    assert watch.overfull()


def test_who_eats_the_last_of_the_disk_is_ended_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": GIB})())
    (tmp_path / "filler").mkdir()
    (tmp_path / "neighbour").mkdir()
    grow(tmp_path / "filler" / "junk", 80)
    assert Watch(tmp_path / "filler", 10 * GIB, 0).overfull()
    assert Watch(tmp_path / "neighbour", 10 * GIB, 0).overfull() == ""


def test_links_and_holes_count_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(GIB)
    assert size(tmp_path) < homes.SLACK


def grow(path: Path, mebibytes: int) -> None:
    path.write_bytes(b"x" * (mebibytes * 2**20))
