"""The steps that every backend shares, as far as they need no hub."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub.spawner import (
    NOTEBOOK_IMAGE,
    NOTEBOOKS,
    dataset_folders,
    posix_zone,
    prepare_folder,
    prepare_home,
    sandbox_folder,
    write_privately,
)
from sandbox_guard.policy.model import Policies


def test_a_vault_gets_granted_datasets_only(tmp_path: Path, policies: Policies) -> None:
    for name in ("tax", "hospital-visits"):
        (tmp_path / "restricted" / name).mkdir(parents=True)
    assert "hospital-visits" not in policies.projects["green-credit"].datasets
    assert dataset_folders(tmp_path, policies, "green-credit") == {"tax": tmp_path / "restricted" / "tax"}


def test_notebooks_of_the_member_are_never_overwritten(tmp_path: Path) -> None:
    home, shared = tmp_path / "homes" / "lin" / "p", tmp_path / "shared" / "p"
    notebooks = {"welcome.ipynb": NOTEBOOKS / "welcome.ipynb"}
    prepare_home(home, shared, notebooks)
    assert json.loads((home / "welcome.ipynb").read_text("utf-8"))["cells"]
    (home / "welcome.ipynb").write_text("mine")
    (shared / "ours.ipynb").write_text("ours")
    prepare_home(home, shared, notebooks)
    assert (home / "welcome.ipynb").read_text() == "mine"
    assert (home / "shared" / "ours.ipynb").read_text() == "ours"
    kernel = home / ".ipython" / "profile_default" / "ipython_kernel_config.py"
    assert kernel.read_text() == (NOTEBOOK_IMAGE / "etc" / "ipython" / "ipython_kernel_config.py").read_text()


def test_a_socket_path_always_fits(tmp_path: Path) -> None:
    short = sandbox_folder(Path("/srv/guard"), "lin", "p")
    assert short.parent == Path("/srv/guard/run")
    deep = sandbox_folder(Path("/srv") / ("deep" * 30), "lin", "p")
    assert len(os.fsencode(deep / "in" / "vault.sock")) < 108
    assert deep != sandbox_folder(Path("/srv") / ("deep" * 30), "chen", "p")


def test_the_folder_of_a_sandbox_is_private_and_starts_empty(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "s"
    prepare_folder(folder)
    write_privately(folder / "vault.json", "{}")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "vault.json").stat().st_mode & 0o777 == 0o600
    prepare_folder(folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.raises(FileExistsError):
        prepare_folder(tmp_path / "link")
    assert (elsewhere / "precious").exists()


@pytest.mark.parametrize(
    ("hours", "zone"), [(8, "<UTC+08>-08:00"), (0, "<UTC+00>-00:00"), (-3.5, "<UTC-03>+03:30")]
)
def test_a_notebook_tells_the_time_of_the_portal(hours: float, zone: str) -> None:
    there = dt.timezone(dt.timedelta(hours=hours))
    assert posix_zone(dt.datetime(2026, 1, 2, 3, 4, tzinfo=there)) == zone
    shown = subprocess.run(
        [sys.executable, "-c", "import time; print(time.strftime('%z'))"],
        env={"TZ": zone},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == dt.datetime(2026, 1, 2, tzinfo=there).strftime("%z")
