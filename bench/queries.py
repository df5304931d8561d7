"""Ours beside raw DuckDB: work, memory and error of each workload, asked through the whole path.

Ours is `Guard.answer` with an engine's worker processes and a ledger on SQLite with durable commits, without HTTP;
raw is DuckDB in a process that does nothing else, on the same stored file with the same threads. Both run in turn
(ours, clamped, plain, ours, …), for this machine swings two- to fourfold within minutes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.data import policies, write
from bench.workloads import Workload
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import Engine
from sandbox_guard.engines.finish import Finisher
from sandbox_guard.engines.versions import serving
from sandbox_guard.errors import Fault, Refused
from sandbox_guard.guard import Guard
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Act, Asker, Reserved, Terms
from sandbox_guard.policy.model import RHO_UNITS, Bilingual, Budget, Policies, Project
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.pricing import Asked, Pricing
from sandbox_guard.privacy.account import rho_for_epsilon, to_epsilon
from sandbox_guard.privacy.mechanism import Gaussian, Laplace
from sandbox_guard.release_time import Costs, VaultCores, calibrated
from sandbox_guard.steward.load import load
from sandbox_guard.window import Unlimited, Window, Windows

EPSILON, DELTA = 1.0, 1e-7
MEMBER, PROJECT = "bench", "bench"


@dataclass(frozen=True)
class Spread:
    """Of several runs."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True)
class Error:
    """In the result's own unit, summed over all cells and divided by the sum of exact values: what cutting and
    clamping did (`bias`), and what noise did on top of it (`noise`)."""

    column: int
    bias: float
    noise: float
    missing: float
    """Share of the exact result's keys that were not released."""


@dataclass(frozen=True)
class Result:
    workload: str
    title: str
    loans: int
    ours: Spread
    """Seconds."""
    clamped: Spread
    plain: Spread
    ratio: Spread
    """To raw DuckDB with the same clamps, run by run."""
    ratio_plain: Spread
    ratio_processor: Spread
    """The same as `ratio` of processor seconds over all processes, which other work on the machine hardly touches."""
    target: float | None
    stages: dict[str, float]
    """Median seconds by stage of ours."""
    rows_per_unit: tuple[int, ...]
    """K, by block."""
    release_time: float | None
    """T: seconds after which an answer leaves, whatever the data; None where the plan would be refused as too dear."""
    overruns: int
    """Runs that would have left late: measuring, finishing and intervals took more than T."""
    runs: int
    worker_mebibytes: float
    """Peak of the engine's workers so far."""
    errors: tuple[Error, ...] = ()


@dataclass(frozen=True)
class NotAnswered:
    workload: str
    title: str
    loans: int
    why: str


class WhenReady(Windows):
    """The work alone is measured, and when it leaves is compared with its T afterwards."""

    @contextlib.contextmanager
    def open(self, reserved: Reserved | None) -> Iterator[Window | Unlimited]:
        yield Unlimited(self.timeout)


@dataclass
class Stopwatch:
    """Seconds by name of the part that was called."""

    seconds: dict[str, float] = field(default_factory=dict)

    def over(self, part: Any, stage: str, *methods: str) -> Any:
        """The same part, with these methods timed."""
        return _Timed(part, {m: partial(self._timed, stage, getattr(part, m)) for m in methods})

    def _timed(self, stage: str, call: Callable[..., Any], *args: Any, **named: Any) -> Any:
        start = time.perf_counter()
        try:
            return call(*args, **named)
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


class _Timed:
    def __init__(self, part: Any, timed: dict[str, Any]) -> None:
        self._part = part
        self.__dict__.update(timed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


# ------------------------------------------------------------------------------------- the stand


@dataclass(frozen=True)
class Stand:
    """Loaded data, with ours and raw DuckDB over it."""

    loans: int
    guard: Guard
    raw: duckdb.DuckDBPyConnection
    watch: Stopwatch
    costs: Costs
    workers: Callable[[], list[int]]

    def ask(self, sql: str, rows_per_unit: int | None = None) -> dict[str, Any]:
        return self.guard.answer(asked(sql, rows_per_unit))


_turn = itertools.count()


def asked(sql: str, rows_per_unit: int | None = None, share: int = 1) -> Asked:
    """A question never asked before, at one of `share` parts of the rho of (1, 1e-7): less each time by a billionth or
    two, so that nothing is answered from memory. What an epsilon amounts to is worked out once in a vault's life, and
    not here."""
    rho = (rho_for_epsilon(EPSILON, DELTA) // share - next(_turn)) / RHO_UNITS
    return Asked(sql, secrets.token_hex(8), rho=rho, rows_per_unit=rows_per_unit)


def asked_purely(sql: str, rows_per_unit: int | None = None) -> Asked:
    """The same at (1, 0): less each time by a ten-millionth, which changes the price."""
    epsilon = EPSILON - next(_turn) / 10**7
    return Asked(sql, secrets.token_hex(8), epsilon=epsilon, pure=True, rows_per_unit=rows_per_unit)


def prepared(home: Path, loans: int) -> Path:
    """The version's folder, loaded unless a run before has left it."""
    described = bench_policies(loans)
    dataset = described.datasets["bench"]
    try:
        return serving(dataset, home / "restricted" / "bench").folder
    except Refused:
        load(described, "bench", write(home / "source", loans), home)
        return serving(dataset, home / "restricted" / "bench").folder


def bench_policies(loans: int) -> Policies:
    budget = {"firms": Budget(rho=Decimal(10**6), delta=Decimal("0.9"))}
    words = Bilingual(zh="基准测试", en="Benchmark")
    project = Project.model_validate(
        {
            "name": PROJECT,
            "title": words,
            "purpose": words,
            "organisation": "bench",
            "members": {MEMBER: "researcher"},
            "datasets": ("bench",),
            "agreement": {"hash": "0" * 64, "expires": "2999-01-01"},
            "budgets": budget,
            "member_budgets": budget,
        }
    )
    return policies(loans).model_copy(update={"projects": {PROJECT: project}})


@contextlib.contextmanager
def stand(home: Path, loans: int, ledger_folder: Path, threads: int | None = None) -> Iterator[Stand]:
    threads = threads or os.cpu_count() or 1
    version = prepared(home, loans)
    described = bench_policies(loans)
    engine = Engine({"bench": version}, workers=1, limits=Limits(threads=threads))
    finisher = Finisher()
    ledger = LedgerStore(
        f"sqlite:///{ledger_folder / 'ledger.sqlite'}",
        signing_key=ledger_folder / "ledger.pem",
        to_epsilon=partial(to_epsilon, at_delta=1e-6),
    )
    terms = compile_terms(described)
    for account in terms["accounts"]:
        account["cap"] = {"rho": 10**18, "delta": 10**18}
    ledger.apply(Terms.model_validate(terms), Act(actor="bench", reason="bench"))
    costs = calibrated(Limits(threads=threads))
    watch = Stopwatch()
    guard = Guard(
        Pricing.of(described, PROJECT),
        Asker(member=MEMBER, project=PROJECT),
        watch.over(ledger, "ledger", "find", "charge", "publish", "balances"),
        watch.over(engine, "engine", "rows"),
        watch.over(finisher, "finish", "run"),
        VaultCores("bench", True, costs),
        WhenReady(timeout=600),
    )
    guard.price = partial(watch._timed, "plan and price", guard.price)  # type: ignore[method-assign]

    def workers() -> list[int]:
        return [w.pid for pool in (engine._pool, finisher._pool) for w in list(pool._idle.queue)]

    raw = duckdb.connect(str(version / "data.duckdb"), read_only=True, config={"threads": threads})
    try:
        yield Stand(loans, guard, raw, watch, costs, workers)
    finally:
        raw.close()
        engine.close()
        finisher.close()
        ledger.close()


# ---------------------------------------------------------------------------------- measurement


def measured(
    stand: Stand, workload: Workload, runs: int, alone: int = 0, rows_per_unit: int | None = None
) -> Result | NotAnswered:
    """One workload, after one run of each to warm up: so many runs of ours and raw DuckDB in turn, and more of ours
    `alone`, to see whether any is late. A workload that is refused says why."""
    try:
        stand.ask(workload.asked, rows_per_unit)
    except (Refused, Fault) as failed:
        why = failed.message.en if isinstance(failed, Refused) else "fault"
        return NotAnswered(workload.name, workload.title, stand.loans, why)
    for sql in (workload.clamped, workload.plain):
        _seconds(lambda sql=sql: stand.raw.sql(sql).to_arrow_table())  # type: ignore[misc]
    ours, clamped, plain, stages, answers, processor = [], [], [], [], [], []
    for _ in range(runs):
        stand.watch.seconds.clear()
        began = _processor(stand.workers())
        seconds, answer = _seconds(lambda: stand.ask(workload.asked, rows_per_unit))
        spent = _processor(stand.workers()) - began
        ours.append(seconds)
        answers.append(answer)
        named = dict(stand.watch.seconds)
        stages.append(named | {"noise and rest": seconds - sum(named.values())})
        began = _processor([])
        clamped.append(_seconds(lambda: stand.raw.sql(workload.clamped).to_arrow_table())[0])
        processor.append(spent / (_processor([]) - began))
        plain.append(_seconds(lambda: stand.raw.sql(workload.plain).to_arrow_table())[0])
    priced = stand.guard.price(asked(workload.asked, rows_per_unit))
    work = [t - s["ledger"] - s["plan and price"] for t, s in zip(ours, stages, strict=True)]
    for _ in range(alone):
        stand.watch.seconds.clear()
        seconds, _ = _seconds(lambda: stand.ask(workload.asked, rows_per_unit))
        work.append(seconds - stand.watch.seconds["ledger"] - stand.watch.seconds["plan and price"])
    return Result(
        workload.name,
        workload.title,
        stand.loans,
        Spread.of(ours),
        Spread.of(clamped),
        Spread.of(plain),
        Spread.of([a / b for a, b in zip(ours, clamped, strict=True)]),
        Spread.of([a / b for a, b in zip(ours, plain, strict=True)]),
        Spread.of(processor),
        workload.target,
        {s: statistics.median(each.get(s, 0.0) for each in stages) for s in stages[0]},
        tuple(b.rows_per_unit for b in priced.plan.blocks),
        priced.seconds,
        sum(seconds > priced.seconds for seconds in work) if priced.seconds is not None else 0,
        len(work),
        max((peak_mebibytes(pid) for pid in stand.workers()), default=0.0),
        errors(
            stand, workload, answers[-1], priced.plan.blocks[0].rows_per_unit if priced.plan.blocks else 0
        ),
    )


def noise(groups: int, runs: int = 3) -> dict[str, float]:
    """Seconds for so many noisy groups, by mechanism, at the noise of a count of fifty rows a firm."""
    rho, exact = rho_for_epsilon(EPSILON, DELTA), np.zeros(groups, dtype=np.int64)
    mechanisms: dict[str, Gaussian | Laplace] = {
        "Gaussian": Gaussian.within(2500, rho),
        "Laplace": Laplace.within(50, rho),
    }
    return {
        name: min(_seconds(partial(mechanism.release, exact))[0] for _ in range(runs))
        for name, mechanism in mechanisms.items()
    }


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def _processor(others: Sequence[int]) -> float:
    """Processor seconds of this process and of others so far, all threads, by the kernel's clocks of processes."""
    return time.process_time() + sum(time.clock_gettime((~pid << 3) | 2) for pid in others)


def peak_mebibytes(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def errors(stand: Stand, workload: Workload, answer: dict[str, Any], rows_per_unit: int) -> tuple[Error, ...]:
    """Of each number: `plain` is the truth, `clamped` over the rows of rank at most K what noise was added to."""
    cut = workload.clamped.replace(
        "FROM loans", f"FROM (FROM loans WHERE __rank <= {rows_per_unit}) AS loans"
    )
    exact, kept = _by_key(stand, workload.plain, workload.keys), _by_key(stand, cut, workload.keys)
    columns = [answer["rows"][str(i)] for i in range(answer["shape"][1])]
    rows = {row[: workload.keys]: row[workload.keys :] for row in zip(*columns, strict=True)}
    found = []
    for column in range(answer["shape"][1] - workload.keys):
        size = bias = noise = 0.0
        for key, values in exact.items():
            shown = rows[key][column] if key in rows else None
            true, bounded = values[column], kept[key][column] if key in kept else None
            if shown is None or true is None or bounded is None:
                continue
            size += abs(true)
            bias += abs(bounded - true)
            noise += abs(float(shown) - bounded)
        missing = 1 - len(rows.keys() & exact.keys()) / len(exact)
        found.append(Error(column, bias / size if size else 0.0, noise / size if size else 0.0, missing))
    return tuple(found)


def _by_key(stand: Stand, sql: str, keys: int) -> dict[tuple[Any, ...], tuple[float | None, ...]]:
    rows = stand.raw.execute(sql).fetchall()
    return {r[:keys]: tuple(None if v is None else float(v) for v in r[keys:]) for r in rows}
