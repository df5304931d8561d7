"""Ask protected data in ordinary SQL: `import sandbox_guard.client as guard`.

    guard.sql("SELECT reg_district, COUNT(*) FROM ent GROUP BY reg_district")
    guard.estimate(…)   guard.budget()   guard.catalogue()   guard.history()
    guard.sql(…, on="sample")            the same SQL on invented local data
    guard.connect()                      DB-API 2.0 (PEP 249), for pandas.read_sql and others
    %%guard                              a cell of SQL

HTTP only; it needs httpx and pandas, DuckDB for the sample, Altair for charts, pyarrow for Parquet. A package
of its own beside this file: `pip install ./sandbox_guard/client`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_guard.client.dbapi import connect
from sandbox_guard.client.errors import Cancelled, Error, Fault, Refused, Unreachable
from sandbox_guard.client.extras import extra
from sandbox_guard.client.result import Result, read_provenance
from sandbox_guard.client.session import Session
from sandbox_guard.client.words import language

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from sqlalchemy import Engine

here = Session()
"""The vault of this notebook."""


def engine(**options: object) -> Engine:
    """An SQLAlchemy engine on the vault of this notebook (`intervals=True`, `margin=50`, …)."""
    with extra("sql"):
        from sandbox_guard.client import sqlalchemy

    return sqlalchemy.engine(**options)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext sandbox_guard.client`: the `%%guard` magic, its completions, and the name `guard`."""
    from sandbox_guard.client import magic

    magic.load_ipython_extension(shell)


sql = here.sql
try_sql = here.try_sql
estimate = here.estimate
fewer_rows = here.fewer_rows
explain = here.explain
analyses = here.analyses
analyse = here.analyse
estimate_analysis = here.estimate_analysis
budget = here.budget
catalogue = here.catalogue
tables = here.tables
history = here.history
sample = here.sample

__all__ = [
    "Cancelled",
    "Error",
    "Fault",
    "Refused",
    "Result",
    "Session",
    "Unreachable",
    "analyse",
    "analyses",
    "budget",
    "catalogue",
    "connect",
    "engine",
    "estimate",
    "estimate_analysis",
    "explain",
    "fewer_rows",
    "here",
    "history",
    "language",
    "load_ipython_extension",
    "read_provenance",
    "sample",
    "sql",
    "tables",
    "try_sql",
]
