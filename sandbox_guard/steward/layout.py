"""Where versions lie, and how a new one takes its place: whole or not at all.

A version is made in `restricted/<dataset>/.loading-…/` and renamed into place. Whoever holds an older one open
keeps it; on disk the last two stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox_guard.engines.versions import MANIFEST, serials

LOADING = ".loading-"
KEPT = 2
UNITS = "units"


class Busy(Exception):
    """Another process holds the lock; `pid` as it wrote it down."""

    def __init__(self, pid: str) -> None:
        self.pid = pid
        super().__init__(pid)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` as a lock. The kernel lets go of it when its holder dies, however it dies."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(os.pread(descriptor, 20, 0).decode("ascii", "replace")) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Home:
    """The state folder, as far as loading is concerned."""

    root: Path

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def restricted(self) -> Path:
        return self.root / "restricted"

    def dataset(self, dataset: str) -> Path:
        if dataset == UNITS:
            raise ValueError(f"no dataset can be called '{UNITS}': that folder holds the dictionaries")
        return self.restricted / dataset

    def dictionary(self, population: str) -> Path:
        return self.restricted / UNITS / f"{population}.duckdb"

    def lock(self, name: str) -> Path:
        return self.restricted / f".{name}.lock"


@contextmanager
def workshop(dataset_folder: Path) -> Iterator[Path]:
    """An empty 0700 folder to make a version in. What earlier loads left behind is removed first, and what
    this one leaves, last."""
    dataset_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(dataset_folder)
    folder = dataset_folder / f"{LOADING}{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def sweep(dataset_folder: Path) -> None:
    """Remove what interrupted loads left. Only for the holder of the dataset's lock."""
    for left in dataset_folder.glob(f"{LOADING}*"):
        shutil.rmtree(left)


def next_serial(dataset_folder: Path) -> int:
    return max((int(f.name) for f in dataset_folder.glob("[0-9]*")), default=0) + 1


def publish(folder: Path, manifest: dict[str, Any], place: Path) -> None:
    """Write the manifest and rename the folder into its place, durably."""
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(json.dumps(manifest, ensure_ascii=False, sort_keys=True))
        file.flush()
        os.fsync(file.fileno())
    _sync(folder)
    folder.rename(place)
    _sync(place.parent)


def prune(dataset_folder: Path) -> None:
    """Remove all but the last versions. Renamed first: a half-removed version must not look like one."""
    for serial in serials(dataset_folder)[:-KEPT]:
        leaving = dataset_folder / f"{LOADING}{secrets.token_hex(8)}"
        (dataset_folder / str(serial)).rename(leaving)
        shutil.rmtree(leaving)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
