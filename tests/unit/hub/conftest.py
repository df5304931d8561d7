"""A `policies/` folder with one member of each kind, and the deployment that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.deployment import deployment
from hub.settings import ROOT
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies


@pytest.fixture
def policies() -> Policies:
    """Those of the demonstration: lin and chen research, bank1 is an enterprise, zhou audits, wu stewards."""
    return read_policies(ROOT / "policies")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory of its own, which `deployment()` uses."""
    monkeypatch.setenv("SANDBOX_GUARD_HOME", str(tmp_path))
    monkeypatch.delenv("SANDBOX_GUARD_POLICIES", raising=False)
    deployment.cache_clear()
    yield tmp_path
    deployment.cache_clear()
