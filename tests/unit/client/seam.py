"""A tiny honest vault at the HTTP seam: the contract of ARCHITECTURE, real sockets, invented firms.

It answers over a Unix socket as the real one does. It keeps the promises that the client relies on (one charge
per request id, the same question free, refusals uncharged) and counts what it was asked, so that tests can
see what crossed the wire. Its numbers are DuckDB's over a small invented table, with real noise.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from sandbox_guard.client.parameters import for_duckdb

DISTRICTS = ("黄浦区", "徐汇区", "长宁区", "静安区")
INDUSTRIES = ("A", "C", "I")
SIGMA = 4.0
TOKEN = "token-of-this-notebook"

ENT = f"""
CREATE TABLE ent AS
SELECT 'F' || lpad(i::VARCHAR, 6, '0') AS uscc,
       {list(DISTRICTS)!r}[1 + i % 4] AS reg_district,
       {list(INDUSTRIES)!r}[1 + i % 3] AS industry,
       DATE '2000-01-01' + (i % 5000)::INTEGER AS est_date,
       (i % 1000)::DOUBLE AS reg_capital,
       i % 9 = 0 AS is_srdi
FROM range(2000) firms(i)
"""


@dataclass
class Vault:
    """What happened behind the socket."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    released: dict[str, dict[str, Any]] = field(default_factory=dict)
    die_after_charge: int = 0
    """So many next answers are lost after the charge: the connection breaks."""
    unavailable: int = 0
    """So many next calls meet a proxy with no vault behind it."""
    fault: bool = False
    slow: float = 0
    """Seconds until an answer leaves."""
    seed: int = 7
    wide: int = 0
    """Rows of the table that any question is answered with, if set."""

    def __post_init__(self) -> None:
        self.data = duckdb.connect()
        self.data.execute(ENT)
        self.random = np.random.default_rng(self.seed)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Charge and publish once per request id, and once per question."""
        request_id = body.pop("request_id")
        question = json.dumps(body, sort_keys=True)
        if request_id not in self.charges and question in self.released:
            return {**self.released[question], "free": True}
        if request_id not in self.charges:
            self.charges[request_id] = self._release(body, len(self.charges) + 1)
        self.released[question] = self.charges[request_id]
        return self.charges[request_id]

    def _release(self, body: dict[str, Any], position: int) -> dict[str, Any]:
        if self.wide:
            frame = {"k": list(range(self.wide)), "n": list(range(self.wide))}
            names, kinds = ["k", "n"], ["integer", "integer"]
        else:
            relation = self.data.execute(for_duckdb(body["sql"]), _used(body))
            assert relation.description is not None
            names = [column[0] for column in relation.description]
            rows = relation.fetchall()
            frame = {i: [row[i] for row in rows] for i in range(len(names))}  # type: ignore[misc]
            kinds = [_kind(values) for values in frame.values()]
        columns, values, low, high = [], {}, {}, {}
        for i, (name, kind, exact) in enumerate(zip(names, kinds, frame.values(), strict=True)):
            noisy = kind in ("integer", "real") and name not in ("k", "year")
            column: dict[str, Any] = {"name": name, "type": kind, "role": "number" if noisy else "key"}
            if noisy:
                drawn = [float(v) + self.random.normal(0, SIGMA) for v in exact]
                shown: list[Any] = [round(v) for v in drawn] if kind == "integer" else list(drawn)
                half = 1.96 * SIGMA
                low[str(i)], high[str(i)] = [v - half for v in shown], [v + half for v in shown]
                column["reliability"] = [
                    "high" if half <= 0.05 * abs(v) else "usable" if half <= 0.2 * abs(v) else "caution"
                    for v in shown
                ]
                exact = shown
            columns.append(column)
            values[str(i)] = [v.isoformat() if hasattr(v, "isoformat") else v for v in exact]
        return {
            "columns": columns,
            "rows": values,
            "low": low,
            "high": high,
            "shape": [len(next(iter(values.values()), [])), len(columns)],
            "cost": COST,
            "remaining": {"percent_member": 92.0 - position, "percent_project": 98.0 - position / 4},
            "more_like_this": 40,
            "notes": [
                {"zh": "少于 20 家企业的区可能未列出。", "en": "Districts below 20 firms may be missing."}
            ],
            "receipt": {
                "release_id": f"rel-{position}",
                "position": position,
                "charge_id": f"chg-{position}",
                "digest": "ab" * 32,
                "released_at": "2026-11-23T10:00:00+08:00",
                "versions": {"ent": "1-0123456789abcdef"},
            },
            "free": False,
            "interval": "exact",
            "sql": body.get("sql", ""),
            "guarantee": {"zh": "保护每家企业的全部记录。", "en": "All records of each firm are protected."},
        }


COST = {
    "rho": 0.005,
    "delta": 1e-7,
    "percent_member": 2.0,
    "percent_project": 0.5,
    "epsilon": 0.42,
    "epsilon_delta": 1e-6,
}

REFUSED = {
    "code": "name.column",
    "message": {"zh": "没有列“distric”。", "en": "There is no column 'distric'."},
    "hint": {"zh": "是否指 reg_district？", "en": "Did you mean reg_district?"},
    "line": 2,
    "column": 8,
    "instead": "SELECT reg_district, COUNT(*) AS n\nFROM ent\nGROUP BY reg_district",
}

CATALOGUE: dict[str, Any] = {
    "project": {
        "name": "credit",
        "title": {"zh": "普惠金融", "en": "Inclusive credit"},
        "purpose": {"zh": "研究", "en": "research"},
        "expires": "2029-12-31",
        "free_queries": True,
    },
    "datasets": [
        {
            "name": "ent",
            "title": {"zh": "企业登记", "en": "Enterprise register"},
            "tables": [
                {
                    "name": "ent",
                    "title": {"zh": "企业登记", "en": "Enterprise register"},
                    "private": True,
                    "columns": [
                        {"name": "uscc", "type": "string", "role": "unit"},
                        {"name": "reg_district", "type": "string", "values": list(DISTRICTS)},
                        {"name": "industry", "type": "string", "values": list(INDUSTRIES)},
                        {"name": "est_date", "type": "date", "bounds": ["1980-01-01", "2026-12-31"]},
                        {"name": "reg_capital", "type": "number", "measure": "CNY", "bounds": [0, 1e8]},
                        {"name": "is_srdi", "type": "boolean"},
                        {"name": "legal_person", "type": "string", "role": "identifier", "usable": False},
                    ],
                }
            ],
        },
        {
            "name": "city",
            "title": {"zh": "城市", "en": "City"},
            "tables": [
                {
                    "name": "district",
                    "title": {"zh": "行政区", "en": "Districts"},
                    "private": False,
                    "columns": [{"name": "reg_district", "type": "string"}],
                }
            ],
        },
    ],
    "populations": [
        {
            "name": "firms",
            "title": {"zh": "企业", "en": "Firms"},
            "protects": {"zh": "一家企业的全部记录", "en": "all records of one firm"},
        }
    ],
    "functions": ["COUNT", "SUM", "AVG"],
    "backend": "process",
    "warning": {"zh": "进程沙箱隔离有限。", "en": "Process sandboxes isolate little."},
}

BUDGET = {
    "populations": [
        {
            "population": "firms",
            "title": {"zh": "企业", "en": "Firms"},
            "levels": [
                {
                    "level": level,
                    "name": name,
                    "title": title,
                    "rho_cap": 1.0,
                    "rho_spent": 0.3,
                    "percent_left": left,
                    "epsilon": 3.2,
                    "epsilon_delta": 1e-6,
                    "typical_left": 40,
                }
                for level, name, title, left in (
                    ("member", "lin", "林研究员", 70.0),
                    ("project", "credit", {"zh": "普惠信贷研究", "en": "Inclusive credit"}, 92.5),
                )
            ],
        }
    ]
}

ANALYSES = [
    {
        "name": "tax-segments",
        "title": {"zh": "纳税分层", "en": "Tax segments"},
        "description": {"zh": "各区企业数", "en": "Firms by district"},
        "parameters": {"flag": {"type": "boolean"}},
        "sql": "SELECT reg_district, COUNT(*) AS n FROM ent WHERE is_srdi = :flag GROUP BY 1 ORDER BY 1",
        "digest": "cd" * 32,
    }
]


def application(vault: Vault) -> FastAPI:
    """The contract's routes over one `Vault`."""
    app = FastAPI()

    @app.middleware("http")
    async def gate(request: Request, call_next: Any) -> Any:
        if vault.unavailable:
            vault.unavailable -= 1
            return JSONResponse({"message": "no vault"}, 503)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"refused": {**_denied("access.token"), "line": None}}, 403)
        return await call_next(request)

    @app.get("/v1/catalogue")
    def catalogue() -> Any:
        return CATALOGUE

    @app.get("/v1/budget")
    def budget() -> Any:
        return BUDGET

    @app.get("/v1/analyses")
    def analyses() -> Any:
        return ANALYSES

    @app.post("/v1/estimate")
    async def estimate(request: Request) -> Any:
        body = await request.json()
        return {
            "cost": COST,
            "free": json.dumps(body, sort_keys=True) in vault.released,
            "columns": [
                {"name": "reg_district", "margin": None, "why": None},
                {"name": "n", "margin": 7.84, "why": None},
                {
                    "name": "mean",
                    "margin": None,
                    "why": {
                        "zh": "平均值的误差取决于数据。",
                        "en": "An average's margin depends on the data.",
                    },
                },
            ],
            "remaining": {"percent_member": 90.0, "percent_project": 97.5},
            "more_like_this": 40,
            "notes": [],
            "strategy": "one row",
            "seconds": vault.slow or None,
        }

    @app.post("/v1/explain")
    def explain() -> Any:
        return {"explain": "one row per firm; discrete Gaussian"}

    @app.get("/v1/history")
    def history() -> Any:
        return {
            "releases": [
                {
                    "receipt": answer["receipt"]["release_id"],
                    "sql": answer["sql"],
                    "asked_by": "lin",
                    "released_at": answer["receipt"]["released_at"],
                    "answer": {**answer, "free": True},
                }
                for answer in reversed(vault.charges.values())
            ]
        }

    @app.post("/v1/query")
    async def query(request: Request) -> Any:
        body = await request.json()
        vault.asked.append(dict(body))
        if "distric," in body["sql"] or "distric " in body["sql"]:
            return JSONResponse({"refused": REFUSED}, 422)
        if "exhausted" in body["sql"]:
            return JSONResponse({"refused": _denied("budget.member")}, 422)
        await asyncio.sleep(vault.slow)
        return _finish(vault, body)

    @app.post("/v1/analyses/{name}")
    async def analyse(name: str, request: Request) -> Any:
        body = await request.json()
        vault.asked.append(dict(body))
        return _finish(vault, {**body, "sql": ANALYSES[0]["sql"]})

    return app


def _finish(vault: Vault, body: dict[str, Any]) -> Any:
    if vault.fault:
        vault.charges.setdefault(body["request_id"], {})
        return JSONResponse(
            {
                "fault": {
                    "code": "fault",
                    "message": {"zh": "已计费，未得出结果。", "en": "Charged, not answered."},
                }
            },
            500,
        )
    answer = vault.answer(body)
    if vault.die_after_charge:
        vault.die_after_charge -= 1
        return StreamingResponse(_torn(), headers={"Content-Length": "1000"})
    return answer


def _torn() -> Iterator[bytes]:
    """The beginning of an answer, and then the end of the connection."""
    yield b'{"columns": ['
    raise ConnectionAbortedError


def _denied(code: str) -> dict[str, Any]:
    return {
        "code": code,
        "message": {"zh": "您的预算已用完。", "en": "Your budget is used up."},
        "hint": None,
        "line": None,
        "column": None,
        "instead": None,
    }


def _used(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body["parameters"].items() if f":{name}" in body["sql"]}


def _kind(values: list[Any]) -> str:
    value = next((v for v in values if v is not None), "")
    kinds = {bool: "boolean", int: "integer", float: "real", str: "string"}
    return kinds.get(type(value), "date")


@contextmanager
def listening(vault: Vault, socket: Path) -> Iterator[str]:
    """The vault's address while it runs."""
    server = uvicorn.Server(uvicorn.Config(application(vault), uds=str(socket), log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield f"unix:{socket}"
    finally:
        server.should_exit = True
        thread.join(5)
