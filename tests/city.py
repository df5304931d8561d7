"""A small invented city, loaded once a test run: a home as `sandbox-guard demo` leaves it."""

from __future__ import annotations

from pathlib import Path

from sandbox_guard.policy.files import read_policies
from sandbox_guard.steward import demo
from sandbox_guard.steward.load import load
from sandbox_guard.steward.sample import make_sample
from tests.product import POLICIES


def make(home: Path, firms: int = 5000) -> Path:
    """Load every invented dataset of `policies/` into `home`, samples included. Takes seconds."""
    policies = read_policies(POLICIES)
    tables = demo.generate(home / "made", firms, seed=1)
    (home / "samples").mkdir()
    for name, dataset in policies.datasets.items():
        if dataset.invented:
            load(policies, name, {table: tables[table.lower()] for table in dataset.tables}, home)
            make_sample(policies, name, home / "samples" / f"{name}.duckdb")
    return home
