"""`make bench-peers`: ours beside other engines on the same data, at equal (epsilon, delta), as tables.

python -m bench.peers [--loans 1000000] [--draws 20] [--seconds 360] [--only opendp …] [--home var/bench]

Each peer has an environment of its own under `<home>/peers`, made from its lock file; one that does not install is
said so. It is asked each question `--draws` times, for one draw of noise is chance. A peer that takes more than `--seconds`
is stopped, and what it answered till then stands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import MOST_LOANS, policies
from bench.machine import machine
from bench.peers.job import ONE, SESSION, Job
from bench.peers.job import WORKLOADS as CHOSEN
from bench.queries import DELTA, EPSILON, Stand, asked, asked_purely, stand
from bench.report import write_peers
from bench.workloads import WORKLOADS, Workload
from sandbox_guard.policy.model import RHO_UNITS
from sandbox_guard.pricing import Asked
from sandbox_guard.privacy.account import rho_for_epsilon

FOLDER = Path(__file__).parent
PEERS = ("smartnoise", "opendp", "pipelinedp", "qrlew", "tumult")
ASKED = {w.name: w for w in WORKLOADS if w.name in CHOSEN}
COUNTED = ("W1", "W5", "W6")
"""Their first number is a count."""
QUERIES = 100
OUR_DRAWS = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loans", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=360, help="for one peer")
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
            most_rows=policies(wanted.loans).datasets["bench"].tables["loans"].max_rows,
            epsilon=EPSILON,
            delta=DELTA,
            rho=rho_for_epsilon(EPSILON, DELTA) / RHO_UNITS,
            session=QUERIES,
            rows_per_unit=MOST_LOANS,
            most=1_000_000,
            draws=wanted.draws,
        )
        found = [
            _of_ours(ready, workload, budget) for budget in (ONE, SESSION) for workload in ASKED.values()
        ]
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
    """One query: pure, which is the more exact here, as an analyst may choose; of a session: a hundredth of its rho."""

    def ask() -> Asked:
        if budget == SESSION:
            return asked(workload.asked, MOST_LOANS, QUERIES)
        return asked_purely(workload.asked, MOST_LOANS)

    ready.guard.answer(ask())
    drawn = []
    for _ in range(OUR_DRAWS):
        start = time.perf_counter()
        answer = ready.guard.answer(ask())
        drawn.append((time.perf_counter() - start, _off(ready, workload, _rows(answer))))
    return _told("ours", workload.name, budget, drawn)


def _rows(answer: dict[str, Any]) -> list[list[Any]]:
    columns = [answer["rows"][str(i)] for i in range(answer["shape"][1])]
    return [list(row) for row in zip(*columns, strict=True)]


def _off(ready: Stand, workload: Workload, rows: list[list[Any]]) -> list[float]:
    """By column of numbers: the sum of errors against the clamped exact values, as a share of their sum. A key
    that is missing has said nought, and so has a count below zero."""
    exact = {r[: workload.keys]: r[workload.keys :] for r in ready.raw.execute(workload.clamped).fetchall()}
    said = {tuple(row[: workload.keys]): row[workload.keys :] for row in rows}
    width = len(next(iter(exact.values())))

    def shown(key: tuple[Any, ...], at: int) -> float:
        number = float((said.get(key) or [0.0] * width)[at] or 0)
        return max(number, 0.0) if at == 0 and workload.name in COUNTED else number

    return [
        sum(abs(shown(key, at) - float(true[at])) for key, true in exact.items())
        / sum(abs(float(true[at])) for true in exact.values())
        for at in range(width)
    ]


def _told(who: str, workload: str, budget: str, drawn: Sequence[tuple[float, list[float]]]) -> dict[str, Any]:
    """The least seconds, and by column the mean of the errors with its standard error."""
    errors = np.array([off for _, off in drawn])
    chance = errors.std(axis=0, ddof=1) / len(drawn) ** 0.5 if len(drawn) > 1 else None
    return {
        "who": who,
        "workload": workload,
        "budget": budget,
        "draws": len(drawn),
        "seconds": min(seconds for seconds, _ in drawn),
        "error": errors.mean(axis=0).tolist(),
        "chance": [None] * errors.shape[1] if chance is None else chance.tolist(),
    }


# ------------------------------------------------------------------------------------- peers


def _of_peer(peer: str, job: Job, ready: Stand, wanted: argparse.Namespace) -> Iterator[dict[str, Any]]:
    try:
        python = _environment(peer, wanted.home / "peers" / peer)
    except subprocess.CalledProcessError as failed:
        yield {"who": peer, "why": f"does not install: {(failed.stderr or '').strip()[-300:]}"}
        return
    command = [str(python), str(FOLDER / f"ask_{peer}.py"), json.dumps(asdict(job))]
    said, why = _talk(command, wanted.seconds, Path(job.loans).parent)
    drawn: dict[tuple[str, str], list[tuple[float, list[float]]]] = {}
    failed: dict[tuple[str, str], str] = {}
    for answer in (json.loads(line[1:]) for line in said.splitlines() if line.startswith("@")):
        asked_of = (answer["workload"], answer["budget"])
        if "why" in answer:
            failed.setdefault(asked_of, answer["why"])
            continue
        try:
            off = _off(ready, ASKED[answer["workload"]], answer["rows"])
        except (IndexError, TypeError, ValueError) as odd:
            failed.setdefault(asked_of, f"an answer of another shape: {odd}")
        else:
            drawn.setdefault(asked_of, []).append((answer["seconds"], off))
    yield from (_told(peer, *asked_of, each) for asked_of, each in drawn.items())
    for (workload, budget), reason in failed.items():
        yield {"who": peer, "workload": workload, "budget": budget, "why": reason}
    if why and len(drawn.keys() | failed.keys()) < 2 * len(ASKED):  # else it only had no time for more draws
        yield {"who": peer, "why": why}


def _talk(command: list[str], seconds: float, folder: Path) -> tuple[str, str]:
    """What it printed, and why it ended early if it did; what it leaves behind, it leaves in `folder`."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, cwd=folder, check=False
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
