"""The engine over restricted data: what it answers, what it cannot do, and what a failure says."""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import Engine, InProcess
from sandbox_guard.errors import Fault

SECRET = "firm 42 owes 12345"
ROWS = 200_000


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("city") / "1"
    folder.mkdir()
    with duckdb.connect(str(folder / "data.duckdb")) as connection:
        connection.execute(
            f"""CREATE TABLE loans AS SELECT range AS __unit, 1::INTEGER AS __rank, range % 7 AS amount,
                CASE WHEN range = 42 THEN '{SECRET}' ELSE 'x' END AS note FROM range({ROWS})"""
        )
    (folder / "manifest.json").write_text(
        '{"dataset": "city-loans", "serial": 1, "version": "1-0123456789abcdef", "enforced": {}}'
    )
    return folder


@pytest.fixture(scope="module")
def engine(version: Path) -> Iterator[Engine]:
    engine = Engine(
        {"city-loans": version}, workers=2, limits=Limits(address_space=1 << 30, memory=256 << 20)
    )
    yield engine
    engine.close()


@pytest.fixture(params=["processes", "in process"])
def either(request: pytest.FixtureRequest, engine: Engine, version: Path) -> Engine | InProcess:
    return engine if request.param == "processes" else InProcess({"city-loans": version})


def test_it_answers_over_the_dataset_under_its_name(either: Engine | InProcess) -> None:
    result = either.rows('SELECT count(*) AS c0 FROM "city-loans".main.loans WHERE __rank <= 1', 60)
    assert result.to_pydict() == {"c0": [ROWS]}
    assert either.versions() == {"city-loans": "1-0123456789abcdef"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '/etc/passwd'",
        "ATTACH ':memory:' AS other",
        "ATTACH '/tmp/other.duckdb' AS other",
        "COPY (SELECT 1) TO '/tmp/leak.csv'",
        "EXPORT DATABASE '/tmp/leak'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 8",
        "SET enable_external_access = true",
        "RESET memory_limit",
        'CREATE TABLE "city-loans".main.copied AS SELECT 1',
        'DELETE FROM "city-loans".main.loans',
        "SELECT * FROM limits",
        "SELECT * FROM sql",
    ],
)
def test_every_door_is_closed(either: Engine | InProcess, sql: str) -> None:
    limits = sql  # noqa: F841  a Python name that a replacement scan would find
    with pytest.raises(Fault):
        either.rows(sql, 60)


def test_rows_that_cannot_be_computed_are_null_and_no_error(either: Engine | InProcess) -> None:
    assert either.rows("SELECT 1 // 0 AS a, 1 % 0 AS b", 60).to_pylist() == [{"a": None, "b": None}]


def test_the_engine_is_right_where_window_self_join_was_wrong(either: Engine | InProcess) -> None:
    """SOUNDNESS 14."""
    sql = """SELECT count(*) AS n FROM (SELECT __unit, amount / sum(amount) OVER (PARTITION BY __unit) AS share
             FROM "city-loans".main.loans WHERE amount > 0) t WHERE share <= 1"""
    assert either.rows(sql, 60).to_pylist() == [{"n": ROWS - len(range(0, ROWS, 7))}]


def test_a_fault_says_nothing_of_what_the_engine_said(either: Engine | InProcess) -> None:
    sql = """SELECT CAST(note AS INTEGER) FROM "city-loans".main.loans WHERE __unit = 42"""
    with pytest.raises(Fault) as fault:
        either.rows(sql, 60)
    shown = "".join(traceback.format_exception(fault.value))
    assert "42 owes" not in shown and "duckdb" not in shown.lower().replace("engines/duckdb", "")
    assert fault.value.__context__ is None and fault.value.__cause__ is None
    assert fault.value.as_dict() == Fault().as_dict()


def test_nothing_of_it_is_printed_either(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Fault):
        engine.rows("SELECT error('told you')", 60)
    assert capfd.readouterr() == ("", "")


def test_a_query_past_its_time_is_killed_and_the_worker_replaced(engine: Engine) -> None:
    endless = "SELECT count(*) FROM range(10000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5"
    for _ in range(3):  # more often than there are workers
        started = time.monotonic()
        with pytest.raises(Fault):
            engine.rows(endless, 0.5)
        assert time.monotonic() - started < 30  # and it would last for days
        assert engine.rows("SELECT 1 AS one", 60).to_pylist() == [{"one": 1}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 3000000000))",
        "SELECT list(range) FROM range(400000000)",
        "SELECT string_agg(repeat('x', 1000000), '') FROM range(100000)",
    ],
)
def test_a_query_past_its_memory_is_a_fault_and_the_next_is_answered(engine: Engine, sql: str) -> None:
    with pytest.raises(Fault):
        engine.rows(sql, 60)
    assert engine.rows("SELECT 1 AS one", 60).to_pylist() == [{"one": 1}]


def test_nothing_is_spilled(engine: Engine, version: Path) -> None:
    sql = "SELECT count(*) FROM (SELECT range, hash(range) h FROM range(30000000) ORDER BY h LIMIT 29999999)"
    with pytest.raises(Fault):
        engine.rows(sql, 60)
    assert sorted(f.name for f in version.iterdir()) == ["data.duckdb", "manifest.json"]


def test_as_many_queries_run_at_once_as_there_are_workers(engine: Engine) -> None:
    answers: list[int] = []

    def ask(n: int) -> None:
        answers.append(engine.rows(f"SELECT {n} AS n", 60).to_pylist()[0]["n"])

    asking = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert sorted(answers) == list(range(20))


def test_a_query_under_way_ends_on_its_version_after_close(version: Path) -> None:
    engine = Engine({"city": version}, workers=1)
    got: list[int] = []
    slow = "SELECT count(*) AS n FROM range(300000000) r WHERE hash(r.range) % 3 = 0"
    asking = threading.Thread(target=lambda: got.append(engine.rows(slow, 60).num_rows))
    asking.start()
    while not engine._pool._idle.empty():  # until the query has the one worker
        time.sleep(0.01)
    engine.close()
    asking.join()
    assert got == [1]
    with pytest.raises(Fault):
        engine.rows("SELECT 1", 0.2)


def test_data_that_is_not_there_stops_the_engine_at_its_start(version: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text((version / "manifest.json").read_text())
    with pytest.raises(RuntimeError):
        Engine({"city": tmp_path}, workers=1)


def test_workers_end_with_the_process_that_started_them(version: Path) -> None:
    script = f"""
import time
from pathlib import Path
from sandbox_guard.engines.engine import Engine
engine = Engine({{"city": Path({str(version)!r})}}, workers=1)
print(engine._pool._idle.queue[0].pid, flush=True)
engine.rows("SELECT count(*) FROM range(10000000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5", 60)
"""
    import subprocess
    import sys

    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while _lives(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(worker)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_has_nothing_of_the_vaults_environment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = engine._pool._idle.queue[0]
    names = {v.split("=")[0] for v in Path(f"/proc/{worker.pid}/environ").read_text().split("\0") if v}
    assert names <= {"PYTHONPATH", "ARROW_DEFAULT_MEMORY_POOL", "MALLOC_ARENA_MAX"}
    assert os.environ.keys() - names
