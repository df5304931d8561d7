"""`make bench-peers`: ours beside other engines on the same data, at equal (epsilon, delta), as tables.

python -m bench.peers [--loans 1000000] [--seconds 110] [--only opendp …] [--home var/bench]

Each peer has an environment of its own under `<home>/peers`, made from its lock file; one that does not install is
said so. A peer that takes more than `--seconds` is stopped, and what it answered till then stands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.data import MOST_LOANS
from bench.machine import machine
from bench.peers.job import ONE, SESSION, Job
from bench.queries import DELTA, EPSILON, Stand, asked, stand
from bench.report import write_peers
from bench.workloads import WORKLOADS, Workload
from sandbox_guard.policy.model import RHO_UNITS
from sandbox_guard.pricing import Asked
from sandbox_guard.privacy.account import rho_for_epsilon

FOLDER = Path(__file__).parent
PEERS = ("smartnoise", "opendp", "pipelinedp", "qrlew", "tumult")
CHOSEN = tuple(w for w in WORKLOADS if w.name in ("W1", "W3", "W5", "W6"))
"""What each of them can say: counts and sums, at once and by public keys."""
QUERIES = 100
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loans", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=110, help="for one peer")
    parser.add_argument("--only", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--home", type=Path, default=Path("var/bench"))
    wanted = parser.parse_args()
    home = wanted.home / str(wanted.loans)
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        stand(home, wanted.loans, Path(folder)) as ready,
    ):
        job = Job(
            loans=str(_flat(ready, Path(folder) / "loans.parquet")),
            rows=wanted.loans,
            epsilon=EPSILON,
            delta=DELTA,
            rho=rho_for_epsilon(EPSILON, DELTA) / RHO_UNITS,
            session=QUERIES,
            rows_per_unit=MOST_LOANS,
            most=1_000_000,
        )
        found = [_of_ours(ready, workload, budget) for budget in (ONE, SESSION) for workload in CHOSEN]
        for who in ("ours", *wanted.only):
            found += () if who == "ours" else _of_peer(who, job, ready, wanted)
            print(*(json.dumps(f) for f in found if f["who"] == who), sep="\n", file=sys.stderr, flush=True)
    kept = {"machine": machine(), "loans": wanted.loans, "seconds": wanted.seconds, "peers": found}
    path = wanted.home / "peers.json"
    path.write_text(json.dumps(kept, indent=2))
    print(write_peers(kept))
    print(path)


def _flat(ready: Stand, to: Path) -> Path:
    """The loans as loaded, in the columns that peers are given."""
    ready.raw.execute(
        "COPY (SELECT firm_id, district::VARCHAR AS district, industry::VARCHAR AS industry, year,"
        f" amount / 100.0 AS amount, amount AS cents FROM loans) TO '{to}' (FORMAT parquet)"
    )
    return to


def _of_ours(ready: Stand, workload: Workload, budget: str) -> dict[str, Any]:
    """One query: pure where that is more exact, as an analyst may choose; of a session: a hundredth of its rho."""
    said = []
    for ask in _choices(workload, budget):
        ready.guard.answer(ask())
        seconds, answers = [], []
        for _ in range(RUNS):
            start = time.perf_counter()
            answers.append(ready.guard.answer(ask()))
            seconds.append(time.perf_counter() - start)
        off = [_off(ready, workload, _rows(answer)) for answer in answers]
        said.append(
            (sum(sum(o) for o in off), min(seconds), [sum(c) / len(c) for c in zip(*off, strict=True)])
        )
    _, seconds_taken, off_by = min(said)
    return _told("ours", workload.name, budget, seconds_taken, off_by)


def _choices(workload: Workload, budget: str) -> Iterator[Any]:
    def hundredth() -> Asked:
        ask = asked(workload.asked, MOST_LOANS)
        return Asked(ask.sql, ask.request_id, rho=ask.rho / QUERIES, rows_per_unit=MOST_LOANS)

    def pure() -> Asked:
        ask = asked(workload.asked, MOST_LOANS)
        unasked = EPSILON - int(ask.request_id[:6], 16) / 2**40
        return Asked(ask.sql, ask.request_id, epsilon=unasked, pure=True, rows_per_unit=MOST_LOANS)

    if budget == SESSION:
        yield hundredth
    else:
        yield lambda: asked(workload.asked, MOST_LOANS)
        yield pure


def _rows(answer: dict[str, Any]) -> list[list[Any]]:
    columns = [answer["rows"][str(i)] for i in range(answer["shape"][1])]
    return [list(row) for row in zip(*columns, strict=True)]


def _off(ready: Stand, workload: Workload, rows: list[list[Any]]) -> list[float]:
    """By column of numbers: the sum of errors against the clamped exact values, as a share of their sum. A key
    that is missing has said nought."""
    exact = {r[: workload.keys]: r[workload.keys :] for r in ready.raw.execute(workload.clamped).fetchall()}
    said = {tuple(row[: workload.keys]): row[workload.keys :] for row in rows}
    width = len(next(iter(exact.values())))
    return [
        sum(
            abs(float((said.get(key) or [0.0] * width)[at] or 0) - float(true[at]))
            for key, true in exact.items()
        )
        / sum(abs(float(true[at])) for true in exact.values())
        for at in range(width)
    ]


def _told(who: str, workload: str, budget: str, seconds: float, off: list[float]) -> dict[str, Any]:
    return {"who": who, "workload": workload, "budget": budget, "seconds": seconds, "error": off}


# ------------------------------------------------------------------------------------- peers


def _of_peer(peer: str, job: Job, ready: Stand, wanted: argparse.Namespace) -> Iterator[dict[str, Any]]:
    try:
        python = _environment(peer, wanted.home / "peers" / peer)
    except subprocess.CalledProcessError as failed:
        yield {"who": peer, "why": f"does not install: {(failed.stderr or '').strip()[-300:]}"}
        return
    command = [str(python), str(FOLDER / f"ask_{peer}.py"), json.dumps(asdict(job))]
    said, why = _talk(command, wanted.seconds)
    answered = 0
    for line in said.splitlines():
        if line.startswith("@"):
            answered += 1
            answer = json.loads(line[1:])
            workload = next(w for w in CHOSEN if w.name == answer["workload"])
            if "why" in answer:
                yield {"who": peer, **answer}
                continue
            try:
                off = _off(ready, workload, answer["rows"])
            except (IndexError, TypeError, ValueError) as odd:
                named = {"who": peer, "workload": workload.name, "budget": answer["budget"]}
                yield {**named, "why": f"an answer of another shape: {odd}"}
                continue
            yield _told(peer, workload.name, answer["budget"], answer["seconds"], off)
    if why and answered < 2 * len(CHOSEN):  # else it only took long to leave
        yield {"who": peer, "why": why}


def _talk(command: list[str], seconds: float) -> tuple[str, str]:
    """What it printed, and why it ended early if it did."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd=FOLDER, check=False
        )
    except subprocess.TimeoutExpired as late:
        said = late.stdout or b""
        return said.decode() if isinstance(said, bytes) else said, f"stopped after {seconds:.0f} s"
    return done.stdout, f"failed: {done.stderr.strip()[-300:]}" if done.returncode else ""


def _environment(peer: str, home: Path) -> Path:
    """Made from the lock file, with hashes, from whatever index this machine is configured for."""
    lock, python, made = FOLDER / f"{peer}.lock", home / "bin" / "python", home / "made"
    if not (made.exists() and made.read_text() == lock.read_text()):
        uv = Path(sys.executable).parent / "uv"
        for command in (
            [uv, "venv", "--clear", "--python", sys.executable, home],
            [uv, "pip", "sync", "--python", python, "--require-hashes", lock],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
        made.write_text(lock.read_text())
    return python.absolute()


if __name__ == "__main__":
    main()
