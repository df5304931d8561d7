"""What a unit of an engine's work takes on this machine, measured on invented data before any question.

Nothing here sees restricted data: rates are those of a table of random numbers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox_guard.engines.duckdb import Limits, invent
from sandbox_guard.engines.pool import Pool
from sandbox_guard.sql.bins import Bins
from sandbox_guard.sql.worst_case import Work

ROWS = 2_000_000
RUNS = 5
SECONDS = 60.0

MARGIN = 1.5
"""Times the least that was measured: rates vary with the shape of the data and with what else the machine does."""

NOTHING = 5e-10
"""Least seconds for anything: a core does not do more than two thousand million a second."""

COMPARED = 7
"""As `Work.comparisons` counts: two comparisons and a CASE of them, two and AND and NOT."""

ADDED = 6
"""As `Work.arithmetic` counts: three differences, two products and a cast."""

CASES = 30
_CASE = (
    "sum(CASE WHEN a > {n} THEN least(greatest(a + {n}, 0), 400000000) ELSE coalesce(u * {n}, 0) END) AS s{n}"
)
CASE_PARTS = 16
"""As `Work.parts` counts."""

_TIMED: Mapping[str, str] = {
    # As long as what we print, over hardly any rows.
    "statement": "SELECT g, count(*) AS n, sum(least(greatest(a, 0), 400000000)) AS s FROM"
    " (SELECT g, a, u FROM d.main.few WHERE n >= 0) AS t WHERE u >= 0 AND a IS NOT NULL GROUP BY g",
    "long": f"SELECT {', '.join(_CASE.format(n=n) for n in range(CASES))} FROM d.main.few",
    "read": "SELECT sum(a) AS s FROM d.main.made",
    "reads": "SELECT sum(a) AS s, max(u) AS t, max(n) AS v FROM d.main.made",
    "expressions": "SELECT sum(greatest(0, least(400000000, a * 3 + 1))) AS s FROM d.main.made",
    "compared": "SELECT sum(CASE WHEN a < 1000 THEN 1000 WHEN a > 400000000 THEN 400000000 ELSE a END) AS s"
    " FROM d.main.made WHERE a <> 77 AND NOT a = 99",
    "added": "SELECT sum(CAST((a - 7) * 3 - (a - 9) AS DOUBLE) * 2.0e0) AS s FROM d.main.made",
    "binned": f"SELECT sum({Bins(0, 500_000_000).sql('a')}) AS s FROM d.main.made",
    "grouped": "SELECT n & 16383 AS k, sum(a) AS s FROM d.main.made GROUP BY k",
    # Each row a group of its own, which takes half as long again as three rows a group.
    "hashed": "SELECT count(*) AS n FROM (SELECT n, sum(a) AS s FROM d.main.made GROUP BY n) t WHERE s > 0",
    "joined": "SELECT sum(x.a + y.a) AS s FROM d.main.made x JOIN d.main.made y ON x.n = y.n",
    "multiplied": "SELECT sum(x.a + y.a) AS s FROM d.main.made x JOIN d.main.made y ON x.m = y.m"
    " WHERE x.n % 8 = 0",
    "sorted": "SELECT sum(n) AS s FROM"
    " (SELECT row_number() OVER (PARTITION BY u ORDER BY a) AS n FROM d.main.made) t",
    "fetched": f"SELECT u, a FROM d.main.made LIMIT {ROWS // 4}",
}


@dataclass(frozen=True)
class EngineCosts:
    """Seconds for one of each kind that `Work` counts."""

    values_read: float
    expressions: float
    comparisons: float
    arithmetic: float
    rows_binned: float
    rows_grouped: float
    rows_hashed: float
    rows_joined: float
    pairs_joined: float
    rows_sorted: float
    rows_fetched: float
    statements: float
    parts: float

    def seconds(self, work: Work) -> float:
        return sum(float(rate * getattr(work, kind)) for kind, rate in asdict(self).items())


def calibrated(limits: Limits, rows: int = ROWS) -> EngineCosts:
    """Measure a worker with these limits. Takes a few seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.duckdb"
        invent(path, rows)
        pool = Pool({"data": {"d": str(path)}, "limits": asdict(limits)}, 1)
        try:
            took = {kind: _least(pool, sql) for kind, sql in _TIMED.items()}
        finally:
            pool.close()

    def rate(seconds: float, times: int) -> float:
        return max(MARGIN * seconds / times, NOTHING / limits.threads)

    return EngineCosts(
        values_read=rate(took["reads"] - took["read"], 2 * rows),
        expressions=rate(took["expressions"] - took["read"], 4 * rows),
        comparisons=rate(took["compared"] - took["read"], COMPARED * rows),
        arithmetic=rate(took["added"] - took["read"], ADDED * rows),
        rows_binned=rate(took["binned"] - took["read"], rows),
        rows_grouped=rate(took["grouped"] - took["read"], rows),
        rows_hashed=rate(took["hashed"] - took["read"], rows),
        rows_joined=rate(took["joined"] - 2 * took["read"], 2 * rows),
        # An eighth of the rows, each with the 32 of its group: the rows themselves hardly count beside them.
        pairs_joined=rate(took["multiplied"], 4 * rows),
        rows_sorted=rate(took["sorted"] - took["read"], rows),
        rows_fetched=rate(took["fetched"] - took["statement"], rows // 4),
        statements=rate(took["statement"], 1),
        parts=rate(took["long"] - took["statement"], CASES * CASE_PARTS),
    )


def _least(pool: Pool, sql: str) -> float:
    """Of some runs, after one that fills caches: what else the machine does only adds."""
    found = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        pool.ask(sql, {}, SECONDS)
        found.append(time.perf_counter() - start)
    return min(found[1:])
