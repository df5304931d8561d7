"""What runs found, for people who were not there: `RESULTS.md`, a chart beside it and the READMEs' table.

python -m bench.report FILE …       of `python -m bench --json FILE`; the first one names machine and date

What `make bench-peers` found last stands in `peers.json`, and is repeated in `RESULTS.md`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import altair as alt
from scipy import stats

from bench.machine import written
from bench.queries import Error, Result, Spread

ROOT = Path(__file__).parents[1]
RESULTS, CHART = ROOT / "bench" / "RESULTS.md", ROOT / "bench" / "ratios.svg"
PEERS = ROOT / "bench" / "peers.json"
PEERS_FIRST, PEERS_LAST = "<!-- peers -->\n", "<!-- /peers -->\n"
FIRST, LAST = "<!-- ratios -->\n", "<!-- /ratios -->"
"""Between them a README quotes the largest size."""

SPREADS = {f.name for f in fields(Result) if f.type == "Spread"}


def main() -> None:
    runs = [json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]]
    results = sorted(
        (_result(r) for run in runs for r in run["results"] if "why" not in r), key=lambda r: r.loans
    )
    RESULTS.write_text(page(results, runs[0]["noise"], runs[0]["machine"]), encoding="utf-8")
    chart(results).save(CHART)
    largest = [r for r in results if r.loans == max(a.loans for a in results)]
    english = {r.workload: r.title for r in largest}
    for readme, titles, heads in (
        (ROOT / "README.md", english, ("question", "times DuckDB", "in processor time", "ms", "DuckDB ms")),
        (ROOT / "README.zh.md", CHINESE, ("问题", "DuckDB 的倍数", "按处理器时间", "毫秒", "DuckDB 毫秒")),
    ):
        text, quote = readme.read_text(encoding="utf-8"), quoted(largest, titles, heads)
        before, rest = text.split(FIRST)
        readme.write_text(f"{before}{FIRST}{quote}\n{LAST}{rest.split(LAST)[1]}", encoding="utf-8")


def _result(found: dict[str, Any]) -> Result:
    spreads = {name: Spread(**value) for name, value in found.items() if name in SPREADS}
    errors = tuple(Error(**e) for e in found["errors"])
    return Result(**{**found, **spreads, "errors": errors, "rows_per_unit": tuple(found["rows_per_unit"])})


def page(results: Sequence[Result], noise: Mapping[str, float], machine: Mapping[str, Any]) -> str:
    parts = [
        "# What a private answer costs beside a plain one",
        f"{written('make bench-report', machine)}.",
        (
            "Work: from the question's arrival in the vault to the release being ready, with plan, charge, noise and both"
            " entries of the log, durably committed; the wait for the release time is not work. Raw: DuckDB on the same"
            " file with the same threads, run in turn with ours; *clamped* with the same clamps, written"
            " `least(greatest(x, lo), hi)`, which DuckDB computes slower than the CASE that we print; *plain* without."
            " *Of processor time*: the same ratio in seconds of all processors, which other work on the machine hardly"
            " touches. Each figure is a median, of ratios run by run; in brackets the least and the greatest. Every question is"
            " new and costs the rho of (1, 1e-7), over firms of at most K rows; it was asked at another price before, as after"
            " an estimate, so its text was parsed and planned then. T is when the answer would leave,"
            " counted from its start; *late* are runs that measured and finished for longer than that. Memory is the peak of"
            " the engine's workers."
        ),
        "![Ratios by workload](ratios.svg)",
    ]
    for loans in dict.fromkeys(r.loans for r in results):
        here = [r for r in results if r.loans == loans]
        parts += [f"## {loans:,} loans", work(here), "Where ours goes, in ms:", stages(here)]
        parts += ["Error of one release, as a share of the exact values:", accuracy(here)]
    late, runs = sum(r.overruns for r in results), sum(r.runs for r in results)
    parts.append(f"Late in all: {late} of {runs:,} runs.")
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in noise.items())
    parts += ["## Noise alone", f"100,000 groups: {seconds}."]
    if PEERS.exists():
        parts += [
            PEERS_FIRST + peers(json.loads(PEERS.read_text(encoding="utf-8"))) + "\n" + PEERS_LAST.rstrip()
        ]
    return "\n\n".join(parts) + "\n"


def work(results: Sequence[Result]) -> str:
    rows = [
        (
            r.workload,
            r.title,
            f"{1000 * r.ours.median:.1f}",
            f"{1000 * r.clamped.median:.1f}",
            _ratio(r.ratio),
            _ratio(r.ratio_processor),
            f"{r.target:g}" if r.target is not None else "",
            f"{1000 * r.plain.median:.1f}",
            _ratio(r.ratio_plain),
            f"{1000 * r.release_time:.0f}" if r.release_time is not None else "",
            f"{r.release_time / r.ours.median:.1f}" if r.release_time is not None else "",
            f"{r.overruns} of {r.runs}" if r.release_time is not None else "",
            ", ".join(map(str, r.rows_per_unit)),
            f"{r.worker_mebibytes:.0f}",
        )
        for r in results
    ]
    heads = (
        "",
        "",
        "ours ms",
        "clamped ms",
        "ratio",
        "of processor time",
        "aim",
        "plain ms",
        "ratio",
        "T ms",
        "T / ours",
        "late",
        "K",
        "worker MiB",
    )
    return table(heads, rows)


def write_peers(found: Mapping[str, Any]) -> str:
    """Keep what `make bench-peers` found, put it in the place of what stood in `RESULTS.md`, and return it."""
    PEERS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text, told = RESULTS.read_text(encoding="utf-8"), peers(found)
    before, _, rest = text.partition(PEERS_FIRST)
    after = rest.partition(PEERS_LAST)[2]
    RESULTS.write_text(f"{before.rstrip()}\n\n{PEERS_FIRST}{told}\n{PEERS_LAST}{after}", encoding="utf-8")
    return told


def peers(found: Mapping[str, Any]) -> str:
    """Two tables: one query at (epsilon, delta), and each of a hundred under the same total."""
    parts = [
        "## Beside other engines",
        f"{written('make bench-peers', found['machine'])}; {found['loans']:,} loans, K = 50 for all.",
        (
            "Each peer from its lock file in an environment of its own, over the same loans, at the same (epsilon 1, delta"
            " 1e-7): for one query, and for each of a hundred queries under that total, by the peer's own accounting (one"
            " of the hundred is asked). Error: the sum of absolute errors over all groups against the exact values with the"
            " same clamps, as a share of their sum; by column (count, sum, average). A count below zero is read as zero,"
            " which is how OpenDP shows it. Of several draws the mean error, ± its standard error, and the least seconds;"
            " in brackets how many draws there were: a peer is stopped after at most"
            f" {found['seconds']:.0f} s. OpenDP and Tumult are told that no firm has more than K loans, as our loader"
            " enforces; the others bound at each query."
        ),
    ]
    names = list(dict.fromkeys(f["who"] for f in found["peers"]))
    for budget in dict.fromkeys(f["budget"] for f in found["peers"] if "budget" in f):
        told = {(f["who"], f["workload"]): f for f in found["peers"] if f.get("budget") == budget}
        asked = list(dict.fromkeys(workload for _, workload in told))
        rows = [(who, *(_peer(told.get((who, w))) for w in asked)) for who in names]
        parts += [f"### {budget}", table(("", *(f"{w}: s, error" for w in asked)), rows)]
    parts += ["### Ours and the best peer", BEST, told_best(found["peers"]), *found.get("notes", ())]
    why = [
        f"- {f['who']}{' ' + f['workload'] + ' (' + f['budget'] + ')' if 'workload' in f else ''}: {f['why']}"
        for f in found["peers"]
        if "why" in f
    ]
    parts += ["What did not answer, in its own words:", "\n".join(why)] if why else []
    return "\n\n".join(parts)


BEST = (
    "For each number the peer with the least mean error of several draws, who is best by chance too; who was drawn once"
    " stands aside. *Within chance*: Welch's test does not tell the two apart at 5 % for all these numbers together."
)


def _peer(found: Mapping[str, Any] | None) -> str:
    if found is None or "why" in found:
        return "–"
    errors = (
        f"{error:.3%}" + (f" ±{chance:.3%}" if chance is not None else "")
        for error, chance in zip(found["error"], found["chance"], strict=True)
    )
    return f"{found['seconds']:.3f} s ({found['draws']}), " + " / ".join(errors)


def told_best(peers: Sequence[Mapping[str, Any]]) -> str:
    several = [f for f in peers if f.get("draws", 0) > 1]
    pairs = []
    for ours in (f for f in several if f["who"] == "ours"):
        asked = (ours["budget"], ours["workload"])
        others = [f for f in several if f is not ours and (f["budget"], f["workload"]) == asked]
        for column in range(len(ours["error"]) if others else 0):
            pairs.append((column, ours, min(others, key=lambda f: f["error"][column])))
    rows = [
        (
            ours["budget"],
            f"{ours['workload']}, column {column}",
            f"{ours['error'][column]:.4%}",
            f"{best['error'][column]:.4%} ({best['who']})",
            _verdict(column, ours, best, 0.05 / len(pairs)),
        )
        for column, ours, best in pairs
    ]
    return table(("", "", "ours", "best peer", "ours is"), rows)


def _verdict(column: int, ours: Mapping[str, Any], best: Mapping[str, Any], level: float) -> str:
    found = [(f["error"][column], f["chance"][column] * f["draws"] ** 0.5, f["draws"]) for f in (ours, best)]
    if not stats.ttest_ind_from_stats(*found[0], *found[1], equal_var=False).pvalue < level:
        return "within chance"
    return "**worse**" if found[0] > found[1] else "better"


def stages(results: Sequence[Result]) -> str:
    names = list(dict.fromkeys(s for r in results for s in r.stages))
    rows = [(r.workload, *(f"{1000 * r.stages.get(s, 0.0):.1f}" for s in names)) for r in results]
    return table(("", *names), rows)


def accuracy(results: Sequence[Result]) -> str:
    rows = [
        (
            r.workload,
            str(e.column),
            f"{e.bias:.3%}",
            f"{e.noise:.4%}",
            f"{e.missing:.1%}" if e.missing else "",
        )
        for r in results
        for e in r.errors
    ]
    return table(("", "column", "bias", "noise", "keys missing"), rows)


CHINESE = {
    "W1": "计数",
    "W2": "企业去重计数",
    "W3": "求和（截断）",
    "W4": "平均值",
    "W5": "按区：计数、求和、平均",
    "W6": "3,200 个公开分组：计数、求和",
    "W7": "20,000 个待发现分组：计数",
    "W8": "四分位数",
    "W9": "连接企业表，按规模",
    "W10": "筛选后的标准差",
    "U": "逐户：企业总额的平均",
}


def quoted(results: Sequence[Result], titles: Mapping[str, str], heads: Sequence[str]) -> str:
    rows = [
        (
            titles[r.workload],
            f"{r.ratio.median:.2f}",
            f"{r.ratio_processor.median:.2f}",
            f"{1000 * r.ours.median:.0f}",
            f"{1000 * r.clamped.median:.0f}",
        )
        for r in results
    ]
    return table(heads, rows)


def chart(results: Sequence[Result]) -> alt.LayerChart:
    order = list(dict.fromkeys(r.workload for r in results))
    rows = [
        {"workload": r.workload, "loans": f"{r.loans:,}", "ratio": r.ratio.median, "aim": r.target}
        for r in results
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("workload:N", sort=order, title=None))
    bars = base.mark_bar().encode(
        y=alt.Y("ratio:Q", scale=alt.Scale(type="log"), title="times raw DuckDB, clamped (median)"),
        xOffset="loans:N",
        color=alt.Color("loans:N", title="loans"),
    )
    aims = base.mark_tick(color="black", thickness=2, width=34).encode(y="aim:Q")
    found: alt.LayerChart = alt.layer(bars, aims).properties(width=620, height=260)
    return found


def _ratio(spread: Spread) -> str:
    return f"**{spread.median:.2f}** ({spread.low:.2f}–{spread.high:.2f})"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["-"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
