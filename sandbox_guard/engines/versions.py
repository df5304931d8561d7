"""Data versions on disk: `<dataset>/<serial>/{data.duckdb, manifest.json}`, the highest serial is current.

A version is the load's serial number and a random id, never a hash of the data: "same hash" would say
that nobody changed (SOUNDNESS 29).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.policy.enforced import enforced
from sandbox_guard.policy.model import Dataset

DATA = "data.duckdb"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Version:
    """One loaded version, complete: its manifest is the last thing that `load` writes."""

    folder: Path
    dataset: str
    serial: int
    id: str
    """'<serial>-<16 hex digits>'."""
    enforced: dict[str, Any]
    """What the loader enforced, in the form of `sandbox_guard.policy.enforced`."""

    @property
    def data(self) -> Path:
        return self.folder / DATA

    @classmethod
    def read(cls, folder: Path) -> Version:
        """The version in this folder. OSError or ValueError where there is none."""
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return cls(folder, manifest["dataset"], manifest["serial"], manifest["version"], manifest["enforced"])


def serials(dataset_folder: Path) -> list[int]:
    """Serial numbers of complete versions, in ascending order."""
    return sorted(int(m.parent.name) for m in dataset_folder.glob(f"[0-9]*/{MANIFEST}"))


def current(dataset_folder: Path) -> Version | None:
    """The newest complete version of a dataset, None where nothing has been loaded."""
    found = serials(dataset_folder)
    return Version.read(dataset_folder / str(found[-1])) if found else None


def serving(dataset: Dataset, dataset_folder: Path) -> Version:
    """The version that may answer under today's policy.

    `data.missing` where nothing is loaded; `data.reload_needed` where the loader enforced other facts than
    the policy now declares, for bounds are derived from the policy (SOUNDNESS 22).
    """
    version = current(dataset_folder)
    if version is None:
        raise Refused("data.missing", dataset=dataset.name)
    if version.enforced != enforced(dataset):
        raise Refused("data.reload_needed", dataset=dataset.name)
    return version
