"""The client is a small package of its own: it runs where nothing else of ours is, and little of others'."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[3]
CLIENT = ROOT / "sandbox_guard" / "client"

ASK = """
import importlib.util, sys
import sandbox_guard.client as guard
for there in ("duckdb", "sqlalchemy", "altair", "opendp", "sqlglot", "fastapi", "IPython", "sandbox_guard.vault"):
    try:
        assert importlib.util.find_spec(there) is None, there
    except ModuleNotFoundError:
        pass
print(guard.sql("SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"))
with guard.connect() as connection:
    print(connection.cursor().execute("SELECT industry, COUNT(*) AS n FROM ent GROUP BY 1").fetchall())
for needs in (lambda: guard.sql("SELECT 1", on="sample"), lambda: guard.engine(), lambda: guard.history()[0].chart()):
    try:
        needs()
    except guard.Error as error:
        print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves folders behind where it builds."""
    there = tmp_path_factory.mktemp("client")
    shutil.copytree(CLIENT, there / "src", ignore=shutil.ignore_patterns("__pycache__"))
    uv, quietly = str(Path(sys.executable).with_name("uv")), ("--no-build-isolation", "--offline", "-q")
    source, made_in = str(there / "src"), str(there / "dist")
    build = [uv, "build", "--wheel", *quietly, "--python", sys.executable, source, "-o", made_in]
    subprocess.run(build, check=True)
    (made,) = (there / "dist").glob("*.whl")
    return made


def needed(names: list[str]) -> set[str]:
    """Distributions that these need, and theirs."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name.lower() not in found:
            found.add(name.lower())
            requirements = (Requirement(each) for each in distribution(name).requires or ())
            names += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def test_it_answers_in_an_environment_without_the_rest(
    wheel: Path, tmp_path: Path, url: str, samples_folder: Path
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    site = next((tmp_path / "venv" / "lib").glob("python3*/site-packages"))
    shutil.unpack_archive(wheel, site, "zip")
    declared = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for name in needed([Requirement(each).name for each in declared]):
        files = distribution(name).files or ()
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    python = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-I", "-c", ASK], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "±" in done.stdout
    for extra in ("sample", "sql", "charts"):
        assert f"pip install 'sandbox-guard-client[{extra}]'" in done.stdout


def test_the_wheel_holds_the_client_only(wheel: Path) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True
    ).stdout
    names = [line.split()[0] for line in listed.splitlines()[1:]]
    assert all(name.startswith(("sandbox_guard/client/", "sandbox_guard_client-")) for name in names)
    assert wheel.stat().st_size < 100_000


def test_both_packages_say_the_same_of_the_client() -> None:
    whole, client = (
        tomllib.loads(path.read_text("utf-8"))["project"]
        for path in (ROOT / "pyproject.toml", CLIENT / "pyproject.toml")
    )
    for fact in ("version", "requires-python", "license", "entry-points"):
        assert whole[fact] == client[fact]
