"""`make bench-large`: how cost grows from 100,000 to 100,000,000 loans, as a table and a picture.

python -m bench.large [--loans 100000 …] [--runs 3] [--home var/bench/large]

Each size is written, loaded from Parquet in a process of its own (its seconds and its peak of memory are the load's),
asked, and deleted before the next one: 1e8 loans need about 12 GB of disk while they last. Files that
`python -m bench.data <home>/<loans>/source` has written before are taken as they are. What is under way is told on
standard error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
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
from sandbox_guard.steward.quality import Progress

SIZES = (100_000, 1_000_000, 10_000_000, 100_000_000)
ASKED = ("W1", "W3", "W5", "W6")
"""A count, a sum, and groups by few and by many public keys."""
TOLD_EVERY = 5.0
"""Seconds between two lines about the same step of a load."""
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
    source = home / "source"
    if not source.exists():
        _tell(f"{loans:,} loans: writing the files")
        with _process() as writer:
            writer.submit(write, source, loans).result()
    files = {path.stem: path for path in source.glob("*.parquet")}
    with _process() as loader:
        load = loader.submit(_loaded, home, loans, files).result()
    shutil.rmtree(source)
    _tell(f"{loans:,} loans: asking {', '.join(ASKED)}")
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as ledger,
        stand(home, loans, Path(ledger)) as ready,
    ):
        found = [measured(ready, w, runs) for w in WORKLOADS if w.name in ASKED]
    return {
        "loans": loans,
        "load": load,
        "results": [asdict(r) for r in found if not isinstance(r, NotAnswered)],
        "refused": {r.workload: r.why for r in found if isinstance(r, NotAnswered)},
    }


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


class _Watch:
    """Seconds of a load by step, over all tables: a step lasts until the next one begins."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._step, self._since, self._told = "", time.perf_counter(), 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if progress.step != self._step or now - self._told > TOLD_EVERY:
            of = f" of {progress.total:,}" if progress.total else ""
            _tell(f"  {progress.table}: {progress.step}, {progress.done:,}{of} rows")
            self._told = now
        if self._step:
            self.steps[self._step] = self.steps.get(self._step, 0.0) + now - self._since
        self._step, self._since = progress.step, now


def _loaded(home: Path, loans: int, files: dict[str, Path]) -> dict[str, Any]:
    watch = _Watch()
    start, processor = time.perf_counter(), time.process_time()
    load(bench_policies(loans), "bench", files, home, watch)
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - processor,
        "mebibytes": peak_mebibytes("self"),
        "steps": watch.steps,
    }


def page(grown: Sequence[dict[str, Any]], on: dict[str, object]) -> str:
    steps = list(dict.fromkeys(step for g in grown for step in g["load"]["steps"]))
    loads = [
        (
            f"{g['loans']:,}",
            f"{g['load']['seconds']:.1f}",
            f"{g['load']['processor_seconds']:.1f}",
            f"{g['load']['mebibytes']:,.0f}",
            *(f"{g['load']['steps'].get(step, 0.0):.1f}" for step in steps),
        )
        for g in grown
    ]
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
        "![Work and load by rows](growth.svg)",
        "## Loading from Parquet",
        "All three tables, with ranks, checks and what is synced to disk; seconds by step are of the clock.",
        table(("loans", "s", "processor s", "peak MiB", *steps), loads),
        "## Asking",
        table(("loans", "", "ours ms", "raw clamped ms", "ratio", "of processor time", "worker MiB"), asked),
        *(["Refused:", *refused] if refused else []),
    ]
    return "\n\n".join(parts) + "\n"


def chart(grown: Sequence[dict[str, Any]]) -> alt.HConcatChart:
    asked = [
        {"loans": g["loans"], "workload": r["workload"], "who": who, "ms": 1000 * r[part]["median"]}
        for g in grown
        for r in g["results"]
        for who, part in (("ours", "ours"), ("raw DuckDB", "clamped"))
    ]
    loads = [{"loans": g["loans"], "s": g["load"]["seconds"]} for g in grown]
    found: alt.HConcatChart = alt.hconcat(
        _growing(asked, "ms:Q", "a question, ms (dashed: raw DuckDB, clamped)").encode(
            color=alt.Color("workload:N", title=None),
            strokeDash=alt.StrokeDash("who:N", title=None, legend=None),
        ),
        _growing(loads, "s:Q", "the load, s"),
    )
    return found


def _growing(rows: list[dict[str, Any]], field: str, title: str) -> alt.Chart:
    loans = alt.X(
        "loans:Q",
        scale=alt.Scale(type="log"),
        title="loans",
        axis=alt.Axis(format="~s", labelOverlap="greedy", labelSeparation=8),
    )
    cost = alt.Y(field, scale=alt.Scale(type="log"), title=title)
    found: alt.Chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(point=True)
        .encode(x=loans, y=cost)
        .properties(width=380, height=320)
    )
    return found


if __name__ == "__main__":
    main()
