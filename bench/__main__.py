"""`make bench`: ours beside raw DuckDB on the same stored file, as a table and as JSON.

python -m bench [--loans 1000000 --loans 10000000] [--runs 7] [--alone 30] [--only W3 …] [--home var/bench] [--json FILE]
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.machine import machine
from bench.queries import NotAnswered, Result, Spread, measured, noise, stand
from bench.workloads import WORKLOADS

SIZES = (1_000, 1_000_000, 10_000_000)
GROUPS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loans", type=int, action="append", help="rows; may be repeated")
    parser.add_argument("--runs", type=int, default=7, help="of ours and raw DuckDB in turn")
    parser.add_argument("--alone", type=int, default=30, help="more of ours, to see whether any is late")
    parser.add_argument("--only", nargs="*", metavar="W", help="names of workloads")
    parser.add_argument("--rows-per-unit", type=int, metavar="K", help="K; the policy's cap by default")
    parser.add_argument("--home", type=Path, default=Path("var/bench"), help="where loaded data is kept")
    parser.add_argument("--json", type=Path, help="default: <home>/bench-<date>.json")
    wanted = parser.parse_args()
    console = Console()
    results: list[Result | NotAnswered] = []
    for loans in wanted.loans or SIZES:
        with (
            console.status(f"{loans:,} loans"),
            tempfile.TemporaryDirectory(prefix="bench-") as ledger,
            stand(wanted.home / str(loans), loans, Path(ledger)) as ready,
        ):
            chosen = [w for w in WORKLOADS if not wanted.only or w.name in wanted.only]
            here = [measured(ready, each, wanted.runs, wanted.alone, wanted.rows_per_unit) for each in chosen]
        for table in (work(here, loans), stages(here), accuracy(here)):
            console.print(table)
        results += here
    many = noise(GROUPS)
    console.print(f"{GROUPS:,} noisy groups:", ", ".join(f"{n} {s:.2f} s" for n, s in many.items()))
    path = wanted.json or wanted.home / f"bench-{dt.date.today().isoformat()}.json"
    found = {
        "machine": machine(),
        "noise": many,
        "results": [asdict(r) for r in results],
    }
    path.write_text(json.dumps(found, indent=2))
    console.print(f"{path}")


def work(results: list[Result | NotAnswered], loans: int) -> Table:
    table = Table(title=f"{loans:,} loans: work in ms, and times raw DuckDB (min / median / max)")
    for heading in (
        "",
        "",
        "ours",
        "T",
        "T / ours",
        "late",
        "raw, clamped",
        "ratio",
        "of processor time",
        "target",
        "raw, plain",
        "ratio",
        "K",
        "worker MiB",
    ):
        table.add_column(heading, justify="left" if not heading else "right")
    for r in results:
        if isinstance(r, NotAnswered):
            table.add_row(r.workload, r.title, f"refused: {r.why}")
            continue
        missed = r.target is not None and r.ratio.median > r.target
        table.add_row(
            r.workload,
            r.title,
            _milliseconds(r.ours),
            f"{1000 * r.release_time:.0f}" if r.release_time is not None else "-",
            f"{r.release_time / r.ours.median:.2f}" if r.release_time is not None else "-",
            f"{r.overruns} of {r.runs}",
            _milliseconds(r.clamped),
            f"[red]{_times(r.ratio)}[/red]" if missed else _times(r.ratio),
            _times(r.ratio_processor),
            f"{r.target:g}" if r.target is not None else "",
            _milliseconds(r.plain),
            _times(r.ratio_plain),
            ", ".join(map(str, r.rows_per_unit)),
            f"{r.worker_mebibytes:.0f}",
        )
    return table


def stages(results: list[Result | NotAnswered]) -> Table:
    answered = [r for r in results if isinstance(r, Result)]
    names = list(dict.fromkeys(s for r in answered for s in r.stages))
    table = Table(title="Where ours goes (median ms)")
    for heading in ("", *names):
        table.add_column(heading, justify="right" if heading else "left")
    for r in answered:
        table.add_row(r.workload, *(f"{1000 * r.stages.get(s, 0.0):.1f}" for s in names))
    return table


def accuracy(results: list[Result | NotAnswered]) -> Table:
    table = Table(title="Error of one release at epsilon 1, as a share of the exact values")
    for heading in ("", "column", "bias", "noise", "keys missing"):
        table.add_column(heading, justify="right" if heading else "left")
    for r in results:
        for e in r.errors if isinstance(r, Result) else ():
            shares = (f"{e.bias:.3%}", f"{e.noise:.4%}", f"{e.missing:.1%}" if e.missing else "")
            table.add_row(r.workload, str(e.column), *shares)
    return table


def _milliseconds(spread: Spread) -> str:
    return " / ".join(f"{1000 * s:.1f}" for s in (spread.low, spread.median, spread.high))


def _times(spread: Spread) -> str:
    return " / ".join(f"{s:.2f}" for s in (spread.low, spread.median, spread.high))


if __name__ == "__main__":
    main()
