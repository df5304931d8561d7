"""How large a member's folder has grown, and when that ends the sandbox that fills it.

No quota of the file system: that would need one that has them, or a device for each home, and root. The hub looks
each time it polls. A sandbox that has grown its home past the limit, or eats what the disk has left, is ended; it
starts again at once, so that its owner can clean up, and is ended again only if it grows further.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
RESERVE = 2 * GIB
"""What must stay free on the disk for everyone else."""
SLACK = 64 * 2**20
"""Bytes that one may add to a full home: to open, save and delete notebooks takes some."""


@dataclass(frozen=True)
class Watch:
    """One run of a sandbox."""

    home: Path
    limit: int
    at_start: int

    @classmethod
    def begin(cls, home: Path, limit_gib: int) -> Watch:
        return cls(home, limit_gib * GIB, size(home))

    def overfull(self) -> str:
        """Empty, or why this sandbox may not go on."""
        now = size(self.home)
        if now <= self.at_start + SLACK:
            return ""
        if now > self.limit:
            return f"its home has grown to {now / GIB:.1f} GiB, {self.limit / GIB:.0f} are allowed"
        free = shutil.disk_usage(self.home).free
        if free < RESERVE:
            return f"its home has grown to {now / GIB:.1f} GiB, and {free / GIB:.1f} GiB of the disk are left"
        return ""


def size(folder: Path) -> int:
    """Bytes on the disk below a folder. What vanishes meanwhile, or is a link, counts for nothing."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
            except OSError:
                continue
    return total
