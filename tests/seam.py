"""The test seam (DESIGN section 9): one question from outside, on data of one's own, through the whole path.

    ask(policies, data, sql, *, epsilon, params) -> Seen
    python -m tests.seam < questions.jsonl          one JSON object a line in, one out

It runs the loader on the data, opens a fresh ledger, asks the guard, and says what was answered, what
the mechanisms were handed ("noise off" exists only here), what was declared, charged and logged.

    {"policies": folder, "data": {table: file or rows} | folder of files | file.duckdb,
     "sql": … | "sql_b64": … | "gen": [[text, times], …], "epsilon": …, "params": {…}, "id": …}

Each question has a fresh ledger; questions that follow each other on the same policies and data share one load.
What is no question at all comes out as {"status": "unusable", "message": why}, in its place. Output is ASCII.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import json
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sandbox_guard import release as releasing
from sandbox_guard.engines.engine import InProcess
from sandbox_guard.engines.versions import serving
from sandbox_guard.errors import Fault, Refused
from sandbox_guard.guard import Guard
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Act, Asker, Terms
from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.pricing import Asked, Pricing
from sandbox_guard.privacy.account import to_epsilon
from sandbox_guard.release_time import VaultCores
from sandbox_guard.steward.load import load
from sandbox_guard.steward.quality import LoadRefused
from sandbox_guard.window import Windows
from tests.costs import CORES, Untimed
from tests.local import LocalFinisher

Data = Mapping[str, Any] | str | Path
"""By table: a CSV or Parquet file, or rows as objects. Or a folder of such files, or a DuckDB file of such tables."""


class Unusable(Exception):
    """Not a question."""


@dataclass(frozen=True)
class Measured:
    """One measure as the mechanism got it, and what the plan declared of it."""

    block: int
    kind: str
    exact: tuple[int, ...]
    keys: tuple[tuple[Any, ...], ...]
    step: float
    l0: int
    linf: int
    l1: int
    l2_squared: int
    discovery: bool = False


@dataclass
class Seen:
    status: str
    """'answered', 'refused' or 'fault'."""
    code: str | None = None
    message: dict[str, str] | None = None
    refusal: dict[str, Any] | None = None
    """As an analyst gets it: code, message, hint, line, column, and the corrected SQL where there is one (`instead`)."""
    answer: dict[str, Any] | None = None
    measured: list[Measured] = field(default_factory=list)
    charged: list[dict[str, Any]] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps(asdict(self), default=str)


@dataclass(frozen=True)
class Bench:
    """A loaded city: policies, data and a fresh ledger, before one member's guard."""

    policies: Policies
    guard: Guard
    ledger: LedgerStore
    asker: Asker

    def ask(
        self, sql: str | bytes, *, epsilon: float | None = None, params: Mapping[str, Any] = {}, **more: Any
    ) -> Seen:
        """One question. `more` are other fields of `Asked`."""
        before = self.ledger.size
        seen = Seen("answered")
        request = Asked(sql, secrets.token_hex(8), dict(params), epsilon=epsilon, **more)
        with watched(seen.measured):
            try:
                seen.answer = self.guard.answer(request)
            except Refused as refused:
                seen.status, seen.code, seen.message = "refused", refused.code, refused.message.as_dict()
                seen.refusal = refused.as_dict()
            except Fault as fault:
                seen.status, seen.code, seen.message = "fault", "fault", fault.MESSAGE.as_dict()
        lines = [json.loads(line) for line in self.ledger.export()]
        entries = [e for e in lines if e.get("position", -1) >= before]
        seen.entries = entries
        seen.charged = [e for e in entries if e.get("kind") == "charge"]
        return seen


def ask(
    policies: str | Path,
    data: Data,
    sql: str | bytes,
    *,
    epsilon: float | None = None,
    params: Mapping[str, Any] = {},
) -> Seen:
    """One question over freshly loaded data."""
    with bench(policies, data) as ready:
        return ready.ask(sql, epsilon=epsilon, params=params)


@contextlib.contextmanager
def bench(policies: str | Path | Policies, data: Data, budget: int = 4 * 10**9) -> Iterator[Bench]:
    """Load the data and open everything, in a folder that is removed afterwards."""
    read = policies if isinstance(policies, Policies) else _policies(str(policies))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        engine = InProcess(loaded(read, data, home))
        with opened(read, engine, home, budget) as ready:
            yield ready
        engine.close()


@contextlib.contextmanager
def opened(
    policies: Policies,
    engine: Any,
    home: Path,
    budget: int = 4 * 10**9,
    windows: Windows | None = None,
    cores: VaultCores = CORES,
) -> Iterator[Bench]:
    """A guard and a ledger over an open engine. `budget`: rho of every account, so that none runs out. Answers leave
    when they are ready, unless `windows` says otherwise."""
    ledger = LedgerStore(
        f"sqlite:///{home / 'ledger.sqlite'}",
        signing_key=home / "ledger.pem",
        to_epsilon=partial(to_epsilon, at_delta=1e-6),
    )
    terms = compile_terms(policies)
    for account in terms["accounts"]:
        account["cap"] = {"rho": budget * 10**9, "delta": 10**15 - 1}
    ledger.apply(Terms.model_validate(terms), Act(actor="test", reason="seam"))
    project = next(iter(policies.projects.values()))
    asker = Asker(member=next(iter(project.members)), project=project.name)
    guard = Guard(
        Pricing.of(policies, asker.project),
        asker,
        ledger,
        engine,
        LocalFinisher(),
        cores,
        windows or Untimed(),
    )
    yield Bench(policies, guard, ledger, asker)
    ledger.close()


def loaded(policies: Policies, data: Data, home: Path) -> dict[str, Path]:
    """Run the loader; the folder of each dataset's version."""
    versions = {}
    given_tables = _tables(data, home)
    for dataset in policies.datasets.values():
        files = {
            name.lower(): _file(home, name.lower(), given_tables[name.lower()], tuple(table.columns))
            for name, table in dataset.tables.items()
            if name.lower() in given_tables
        }
        if not files:
            continue
        load(policies, dataset.name, files, home)
        versions[dataset.name] = serving(dataset, home / "restricted" / dataset.name).folder
    return versions


def _tables(data: Data, home: Path) -> dict[str, Any]:
    """What there is for each table, by lower-case name."""
    if isinstance(data, Mapping):
        return {t.lower(): given for t, given in data.items()}
    place = Path(data)
    if place.is_dir():
        return {f.stem.lower(): f for f in sorted(place.iterdir()) if f.suffix in (".csv", ".parquet")}
    if not place.is_file():
        raise Unusable(f"data: there is no file or folder {place}")
    with duckdb.connect(str(place), read_only=True) as source:
        names = [n for (n,) in source.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        for name in names:
            source.execute(f"""COPY "{name}" TO '{home / name}.parquet' (FORMAT parquet)""")
    return {n.lower(): home / f"{n}.parquet" for n in names}


def _file(home: Path, table: str, given: Any, columns: tuple[str, ...]) -> Path:
    """`columns`: the heading of a table without rows."""
    if isinstance(given, (str, Path)):
        return Path(given)
    rows: Sequence[Mapping[str, Any]] = given
    place = home / f"{table}.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = list(rows[0]) if rows else list(columns)
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if row[n] is None else row[n] for n in names])
    return place


@lru_cache(maxsize=16)
def _policies(folder: str) -> Policies:
    return read_policies(Path(folder))


@contextlib.contextmanager
def watched(found: list[Measured]) -> Iterator[None]:
    """Note what each mechanism is handed. The product has no such switch: the test puts itself between."""
    original = releasing.measured_cells

    def noting(block: Any, keys: Any, cells: tuple[Any, ...], units: Any) -> None:
        names = [f"c{i}" for i in range(len(block.keys))]
        rows = tuple(zip(*(keys.column(n).to_pylist() for n in names), strict=True)) if names else ((),)
        for measure, values in zip(block.measures, cells, strict=True):
            s = measure.sensitivity
            found.append(
                Measured(
                    block.index,
                    measure.kind.value,
                    tuple(int(v) for v in values),
                    rows,
                    float(measure.step),
                    s.l0,
                    s.linf,
                    s.l1,
                    s.l2_squared,
                )
            )
        if units is not None:
            s = block.discovery
            found.append(
                Measured(
                    block.index,
                    "discovery",
                    tuple(int(v) for v in units),
                    rows,
                    1.0,
                    s.l0,
                    s.linf,
                    s.l1,
                    s.l2_squared,
                    True,
                )
            )
        original(block, keys, cells, units)

    def noting_bins(block: Any, measure: Any, keys: pa.Table, histogram: Any) -> None:
        groups = list(zip(*(c.to_pylist() for c in keys.columns), strict=True)) if block.keys else [()]
        cells = zip(histogram.cell.tolist(), histogram.bin.tolist(), strict=True)
        s = measure.sensitivity
        found.append(
            Measured(
                block.index,
                "histogram",
                tuple(histogram.n.tolist()),
                tuple((*groups[cell], bin) for cell, bin in cells),
                1.0,
                s.l1,  # each row may fall into a bin of its own
                s.linf,
                s.l1,
                s.l2_squared,
            )
        )

    original_bins = releasing.measured_histogram
    releasing.measured_cells = noting
    releasing.measured_histogram = noting_bins
    try:
        yield
    finally:
        releasing.measured_cells = original
        releasing.measured_histogram = original_bins


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Desk:
    """Answers questions, and keeps the last data that it loaded."""

    engine: InProcess | None = None
    policies: Policies | None = None
    at: str = ""

    def answer(self, line: str) -> str:
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise Unusable("a question is a JSON object")
            policies, engine = self._ready(question)
            sql, params = _sql(question), question.get("params") or {}
            with (
                tempfile.TemporaryDirectory() as folder,
                opened(policies, engine, Path(folder)) as ready,
            ):
                made: dict[str, Any] = json.loads(
                    ready.ask(sql, epsilon=question.get("epsilon"), params=params).as_json()
                )
        except (Unusable, PolicyError, LoadRefused, OSError, ValueError, TypeError, KeyError) as problem:
            question = question if isinstance(question := _read(line), dict) else {}
            why = f"there is no {problem}" if isinstance(problem, KeyError) else str(problem)
            made = {"status": "unusable", "message": why}
        return json.dumps(({"id": question["id"]} if "id" in question else {}) | made, default=str)

    def _ready(self, question: Mapping[str, Any]) -> tuple[Policies, InProcess]:
        at = json.dumps([question["policies"], question["data"]], sort_keys=True)
        if self.engine is None or self.policies is None or at != self.at:
            self.close()
            self.policies = read_policies(Path(question["policies"]))
            with tempfile.TemporaryDirectory() as folder:
                # DuckDB keeps the files open: they may go once they are attached.
                self.engine = InProcess(loaded(self.policies, question["data"], Path(folder)))
            self.at = at
        return self.policies, self.engine

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
        self.engine = None


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _sql(question: Mapping[str, Any]) -> str | bytes:
    given = [k for k in ("sql", "sql_b64", "gen") if question.get(k)] or ["sql"]
    match given, question[given[0]]:
        case ["sql"], str() as sql:
            return sql
        case ["sql_b64"], str() as encoded:
            return base64.b64decode(encoded, validate=True)
        case ["gen"], list() as parts:
            return "".join(text * times for text, times in parts)
    raise Unusable("give one of sql, sql_b64 and gen, as text, base64 and [[text, times], …]")


def main() -> None:
    desk = Desk()
    for line in sys.stdin:
        if line.strip():
            print(desk.answer(line), flush=True)
    desk.close()


if __name__ == "__main__":
    main()
