"""A load that is killed at any moment leaves the version before in place, and the next load is clean: no row
twice, no id twice, nothing left lying about. Queries under way end on the data they began on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import Engine
from sandbox_guard.engines.versions import current
from sandbox_guard.steward.bench import Means
from sandbox_guard.steward.load import load
from tests import loading

ROWS = 120_000
ROOT = Path(__file__).parents[2]
MEANS = Means(threads=2, bucket_rows=20_000)
LOADING = """
import sys
from pathlib import Path
from tests.guarantees.test_loading_is_whole_or_nothing import load_source
print("begun", flush=True)
load_source(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def load_source(home: Path, source: Path) -> None:
    policies = loading.policies({"loans": loading.loans(max_rows=ROWS, max_rows_per_unit=20)})
    load(policies, "city", {"loans": source}, home, means=MEANS)


def write_source(path: Path, rows: int, first_firm: int) -> Path:
    with duckdb.connect() as connection:
        connection.execute(
            f"""COPY (SELECT {first_firm} + range // 6 AS firm_id, range AS loan_id, 'Alder' AS district,
                range % 1000 AS amount, NULL::DATE AS day, NULL::BOOLEAN AS bad FROM range({rows})) TO '{path}'"""
        )
    return path


def contents(home: Path) -> list[Any]:
    return loading.stored(home, "SELECT count(*), sum(hash(COLUMNS(* EXCLUDE (__unit)))) FROM loans")


def insist_on_order(home: Path) -> None:
    """Nothing lies about, no id has two numbers, no number two ids."""
    folder = home / "restricted" / "city"
    assert all(f.name.isdigit() for f in folder.iterdir())
    assert all({"data.duckdb", "manifest.json"} == {g.name for g in f.iterdir()} for f in folder.iterdir())
    with duckdb.connect(str(home / "restricted" / "units" / "firms.duckdb"), read_only=True) as connection:
        counted = connection.execute("SELECT count(*), count(DISTINCT id), count(DISTINCT unit) FROM units")
        (ids, distinct, units) = counted.fetchall()[0]
    assert ids == distinct == units


def kill_at_random(tmp_path: Path, times: int) -> None:
    home = tmp_path / "var"
    small = write_source(tmp_path / "small.parquet", 600, first_firm=0)
    load_source(home, small)
    before = contents(home)
    large = write_source(tmp_path / "large.parquet", ROWS, first_firm=50)
    began = time.monotonic()
    load_source(tmp_path / "other", large)
    lasts = time.monotonic() - began
    rng = random.Random(1)
    answering: list[list[Any]] = []
    while len(answering) < times:
        process = subprocess.Popen(
            [sys.executable, "-c", LOADING, str(home), str(large)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        try:
            process.wait(timeout=rng.uniform(0, lasts * 0.95))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            answering.append(contents(home))
        else:
            # The kill came too late: the one that was measured was slower. Once more on the data of before.
            lasts = min(lasts, time.monotonic() - began) / 2
            load_source(home, small)
        process.stdout.close()
    load_source(home, large)
    after = contents(home)
    # A kill between the new version's being put in place and the end of the process comes too late to stop it.
    assert before in answering and all(each in (before, after) for each in answering), (
        "one whole version answers"
    )
    insist_on_order(home)
    ranks = "SELECT count(*), count(DISTINCT (__unit, __rank)), count(DISTINCT loan_id) FROM loans"
    assert loading.stored(home, ranks) == [(ROWS, ROWS, ROWS)]


def test_killed_at_a_few_random_moments(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 5)


@pytest.mark.long
def test_killed_at_thirty_random_moments(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 30)


def test_queries_go_on_while_versions_change(tmp_path: Path) -> None:
    home = tmp_path / "var"
    source = write_source(tmp_path / "small.parquet", 6_000, first_firm=0)
    load_source(home, source)
    first = current(home / "restricted" / "city")
    assert first is not None
    old = Engine({"city": first.folder}, workers=1, limits=Limits())
    try:
        for rows in (600, 1200, 1800):
            load_source(home, write_source(source, rows, first_firm=0))
            assert old.rows("SELECT count(*) AS n FROM city.main.loans", 20).to_pylist() == [{"n": 6_000}]
        assert not first.folder.exists(), "the last two versions stay, and no more"
        assert old.versions() == {"city": first.id}
    finally:
        old.close()
    newest = current(home / "restricted" / "city")
    assert newest is not None
    new = Engine({"city": newest.folder}, workers=1)
    try:
        assert new.rows("SELECT count(*) AS n FROM city.main.loans", 20).to_pylist() == [{"n": 1_800}]
    finally:
        new.close()
    insist_on_order(home)
