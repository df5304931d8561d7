"""Where the vault's own processor time goes in each workload, by library and by function, written into bench/PROFILE.md.

python -m bench.profile [--loans 1000000] [--runs 20] [--home var/bench]

Engines work in processes of their own, and noise for many groups in threads of its own: neither is in these figures,
but in the stages of bench/RESULTS.md. Profiling itself makes calls dearer, so shares are to be read, not milliseconds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.machine import machine, written
from bench.queries import Stand, stand
from bench.workloads import WORKLOADS, Workload

PAGE = Path(__file__).with_name("PROFILE.md")
LIBRARIES, FUNCTIONS = 6, 5
"""Of each workload, the dearest."""

Where = tuple[str, int, str]
"""File, line and name, as `pstats` has them."""


@dataclass(frozen=True)
class Profile:
    """Shares of the vault's processor time, the largest first."""

    workload: Workload
    milliseconds: float
    """A question, profiling included."""
    libraries: list[tuple[str, float]]
    functions: list[tuple[str, float]]


def profiled(ready: Stand, workload: Workload, runs: int) -> Profile:
    ready.ask(workload.asked)
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    for _ in range(runs):
        ready.ask(workload.asked)
    profile.disable()
    own: dict[Where, float] = {w: row[2] for w, row in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    total = sum(own.values())
    libraries: dict[str, float] = {}
    for where, seconds in own.items():
        libraries[library(where)] = libraries.get(library(where), 0.0) + seconds / total
    functions = [(_named(w), s / total) for w, s in own.items()]
    return Profile(
        workload,
        1000 * total / runs,
        _largest(libraries.items())[:LIBRARIES],
        _largest(functions)[:FUNCTIONS],
    )


def _largest(shares: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(shares, key=lambda s: -s[1])


def library(where: Where) -> str:
    """The package that a function is of; of ours, the part."""
    file, _, name = where
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if "sandbox_guard" in parts:
        return ".".join(parts[parts.index("sandbox_guard") :][:2]).removesuffix(".py")
    if file == "~":
        return "sqlite3" if "sqlite3" in name else "written in C"
    return "the standard library"


def _named(where: Where) -> str:
    file, line, name = where
    return name.strip("<>") if file == "~" else f"{library(where)}: {name} (line {line})"


def page(profiles: list[Profile], loans: int) -> str:
    def shares(found: list[tuple[str, float]]) -> str:
        return "<br>".join(f"{share:.0%} {name}".replace("|", "\\|") for name, share in found)

    rows = [
        f"| {p.workload.name} | {p.workload.title} | {p.milliseconds:.1f} | {shares(p.libraries)} | {shares(p.functions)} |"
        for p in profiles
    ]
    return "\n".join(
        [
            "# Where the vault's own time goes",
            "",
            f"{written('python -m bench.profile', machine())}; {loans:,} loans.",
            "",
            *(line.strip() for line in (__doc__ or "").split("\n\n")[2].splitlines()),
            "",
            "|  |  | ms, profiled | by library | by function |",
            "| - | - | - | - | - |",
            *rows,
            "",
        ]
    )


def each(loans: int, runs: int, home: Path) -> Iterator[Profile]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as ledger,
        stand(home / str(loans), loans, Path(ledger)) as ready,
    ):
        for workload in WORKLOADS:
            yield profiled(ready, workload, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loans", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--home", type=Path, default=Path("var/bench"), help="where loaded data is kept")
    wanted = parser.parse_args()
    found = []
    for profile in each(wanted.loans, wanted.runs, wanted.home):
        print(f"{profile.workload.name}: {profile.milliseconds:.1f} ms")
        found.append(profile)
    PAGE.write_text(page(found, wanted.loans), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
