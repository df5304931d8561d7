"""Ten million rows load in under two minutes and two gibibytes; memory does not grow with the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.data import write
from sandbox_guard.steward.source import open_source

ROOT = Path(__file__).parents[2]
LOADING = """
import json, re, sys, time
from pathlib import Path
from bench.data import policies
from sandbox_guard.steward.load import load
source, home, rows = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
began = time.monotonic()
report = load(policies(rows), "bench", {t: source / f"{t}.parquet" for t in ("loans", "firms", "districts")}, home)
print(json.dumps({
    "seconds": time.monotonic() - began,
    # Not ru_maxrss: it survives exec, and so may be the test runner's own.
    "gibibytes": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**20,
    "rows": report.tables[0].rows_stored,
}))
"""


def measured(tmp_path: Path, rows: int) -> dict[str, float]:
    write(tmp_path / "source", rows)
    arguments = [str(tmp_path / "source"), str(tmp_path / "var"), str(rows)]
    done = subprocess.run(
        [sys.executable, "-c", LOADING, *arguments], capture_output=True, text=True, cwd=ROOT, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    assert found["rows"] == rows
    return found


def test_half_a_million_rows(tmp_path: Path) -> None:
    found = measured(tmp_path, 500_000)
    assert found["gibibytes"] < 1


def test_reading_parquet_keeps_nothing_of_the_rows_that_have_passed(tmp_path: Path) -> None:
    """Forty groups of rows, of a MiB each."""
    path = tmp_path / "wide.parquet"
    table = pa.table({name: np.random.default_rng(1).integers(2**60, size=50_000) for name in "abc"})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(40):
            writer.write_table(table)
    before = pa.total_allocated_bytes()
    kept = [
        pa.total_allocated_bytes() - before
        for _ in open_source(path, {name: name for name in "abc"}).batches()
    ]
    half = len(kept) // 2
    assert max(kept[half:]) < 1.2 * max(kept[:half])


@pytest.mark.long
def test_ten_million_rows(tmp_path: Path) -> None:
    found = measured(tmp_path, 10_000_000)
    assert found["gibibytes"] < 2
    assert found["seconds"] < 120
