from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from sandbox_guard import client
from sandbox_guard.client import service, words
from sandbox_guard.client.session import Session
from tests.unit.client.seam import ENT, TOKEN, Vault, listening


@pytest.fixture
def vault() -> Vault:
    return Vault()


@pytest.fixture
def url(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A vault that listens, and the environment in which a notebook finds it."""
    monkeypatch.setattr(service, "PAUSES", (0.01, 0.02, 0.05))
    with listening(vault, tmp_path / "v.sock") as address:
        monkeypatch.setenv("SANDBOX_GUARD_URL", address)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
        monkeypatch.delenv("SANDBOX_GUARD_BACKEND", raising=False)
        yield address


@pytest.fixture
def guard(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """The session of this notebook; `sandbox_guard.client` uses the same one."""
    session = Session(service.Service(url, TOKEN))
    monkeypatch.setattr(client, "here", session)
    yield session
    session.service.close()


@pytest.fixture
def samples_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "samples"
    folder.mkdir()
    with duckdb.connect(str(folder / "ent.duckdb")) as sample:
        sample.execute(ENT)
    monkeypatch.setenv("SANDBOX_GUARD_SAMPLES", str(folder))
    return folder


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    words.language("zh")
    yield
    words.language("zh")
