"""Puts signed checkpoints where an auditor can take them away."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

from sandbox_guard.ledger.log import write_atomically
from sandbox_guard.ledger.store import LedgerStore

PUBLIC_KEY = "public-key.txt"
LATEST = "latest.note"


def write_checkpoint(store: LedgerStore, folder: Path) -> Path:
    """Write the newest checkpoint as `latest.note` and as `<day>.note`, the last of each day being kept for
    good; beside them the public key."""
    folder.mkdir(parents=True, exist_ok=True)
    note = store.checkpoint().encode()
    latest = folder / LATEST
    write_atomically(folder / PUBLIC_KEY, f"{store.public_key}\n".encode())
    write_atomically(folder / f"{store.now[:10]}.note", note)
    write_atomically(latest, note)
    return latest


def kept_checkpoints(folder: Path) -> list[str]:
    return [path.read_text("utf-8") for path in sorted(folder.glob("*.note"))]


class CheckpointWriter:
    """Writes one whenever the log has grown, at most every `seconds`."""

    def __init__(self, store: LedgerStore, folder: Path, seconds: float = 5.0) -> None:
        self._store, self._folder, self._seconds = store, folder, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def __enter__(self) -> Self:
        write_checkpoint(self._store, self._folder)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        write_checkpoint(self._store, self._folder)

    def _run(self) -> None:
        written = -1
        while not self._stop.wait(self._seconds):
            size = self._store.size
            if size != written:
                write_checkpoint(self._store, self._folder)
                written = size
