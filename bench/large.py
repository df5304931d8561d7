"""`make bench-large`: how cost grows from 100,000 to 100,000,000 loans, as a table and a picture.

python -m bench.large [--loans 100000 …] [--runs 3] [--home var/bench/large]

Each size is written, loaded from Parquet in a process of its own (its seconds and its peak of memory are the load's),
asked, and deleted before the next one: 1e8 loans need about 15 GB of disk while they last.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import altair as alt

from bench.data import write
from bench.machine import machine, written
from bench.queries import NotAnswered, bench_policies, measured, peak_mebibytes, stand
from bench.report import table
from bench.workloads import WORKLOADS
from sandbox_guard.steward.load import load

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
ASKED = ("W1", "W3", "W5", "W6")
"""A count, a sum, and groups by few and by many public keys."""
FOLDER = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loans", type=int, nargs="*", default=SIZES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--home", type=Path, default=Path("var/bench/large"))
    wanted = parser.parse_args()
    grown = []
    for loans in wanted.loans:
        home = wanted.home / str(loans)
        try:
            grown.append(_size(home, loans, wanted.runs))
        finally:
            shutil.rmtree(home, ignore_errors=True)
        print(json.dumps(grown[-1]), flush=True)
    (FOLDER / "LARGE.md").write_text(page(grown, machine()), encoding="utf-8")
    chart(grown).save(FOLDER / "growth.svg")


def _size(home: Path, loans: int, runs: int) -> dict[str, Any]:
    with _process() as writer:
        files = writer.submit(write, home / "source", loans).result()
    with _process() as loader:
        seconds, mebibytes = loader.submit(_loaded, home, loans, files).result()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as ledger,
        stand(home, loans, Path(ledger)) as ready,
    ):
        found = [measured(ready, w, runs) for w in WORKLOADS if w.name in ASKED]
    return {
        "loans": loans,
        "load_seconds": seconds,
        "load_mebibytes": mebibytes,
        "results": [asdict(r) for r in found if not isinstance(r, NotAnswered)],
        "refused": {r.workload: r.why for r in found if isinstance(r, NotAnswered)},
    }


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _loaded(home: Path, loans: int, files: dict[str, Path]) -> tuple[float, float]:
    start = time.perf_counter()
    load(bench_policies(loans), "bench", files, home)
    return time.perf_counter() - start, peak_mebibytes("self")


def page(grown: Sequence[dict[str, Any]], on: dict[str, object]) -> str:
    loads = [(f"{g['loans']:,}", f"{g['load_seconds']:.1f}", f"{g['load_mebibytes']:,.0f}") for g in grown]
    asked = [
        (
            f"{g['loans']:,}",
            f"{r['workload']} {r['title']}",
            f"{1000 * r['ours']['median']:.1f}",
            f"{1000 * r['clamped']['median']:.1f}",
            f"**{r['ratio']['median']:.2f}** ({r['ratio']['low']:.2f}–{r['ratio']['high']:.2f})",
            f"{r['ratio_processor']['median']:.2f}",
            f"{r['worker_mebibytes']:.0f}",
        )
        for g in grown
        for r in g["results"]
    ]
    refused = [f"{g['loans']:,} loans, {w}: {why}" for g in grown for w, why in g["refused"].items()]
    parts = [
        "# How cost grows",
        f"{written('make bench-large', on)}. What the columns mean: [RESULTS.md](RESULTS.md).",
        "![Work by rows](growth.svg)",
        "## Loading from Parquet",
        table(("loans", "s", "peak MiB"), loads),
        "## Asking",
        table(("loans", "", "ours ms", "raw clamped ms", "ratio", "of processor time", "worker MiB"), asked),
        *(["Refused:", *refused] if refused else []),
    ]
    return "\n\n".join(parts) + "\n"


def chart(grown: Sequence[dict[str, Any]]) -> alt.Chart:
    rows = [
        {"loans": g["loans"], "workload": r["workload"], "who": who, "ms": 1000 * r[part]["median"]}
        for g in grown
        for r in g["results"]
        for who, part in (("ours", "ours"), ("raw DuckDB, clamped", "clamped"))
    ]
    found: alt.Chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("loans:Q", scale=alt.Scale(type="log"), title="loans", axis=alt.Axis(format="~s")),
            y=alt.Y("ms:Q", scale=alt.Scale(type="log"), title="ms (median)"),
            color=alt.Color("workload:N", title=None),
            strokeDash=alt.StrokeDash("who:N", title=None),
        )
        .properties(width=560, height=320)
    )
    return found


if __name__ == "__main__":
    main()
