"""The policy files as the hub sees them: read again when one changes."""

from __future__ import annotations

from pathlib import Path

from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies


class CurrentPolicies:
    """Today's policies of a directory. While the files are wrong, the last good reading stays."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._policies: Policies | None = None

    def __call__(self) -> Policies:
        """Raises PolicyError if there is no good reading yet."""
        stamp = tuple(
            (str(path), (stat := path.stat()).st_mtime_ns, stat.st_size)
            for path in sorted(self._directory.rglob("*"))
            if path.is_file()
        )
        if self._policies is None or stamp != self._stamp:
            try:
                self._policies = read_policies(self._directory)
            except PolicyError:
                if self._policies is None:
                    raise
            self._stamp = stamp
        return self._policies
