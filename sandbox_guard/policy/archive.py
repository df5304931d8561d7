"""Policy files as text that can be kept elsewhere: the ledger's log holds those of every policy it applied."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies


def files_of(directory: Path) -> dict[str, str]:
    """The policy files of a folder as an entry holds them: all that `read_policies` reads."""
    paths = (
        directory / "people.yaml",
        *(p for kind in ("units", "datasets", "projects") for p in (directory / kind).glob("*.yaml")),
        *(directory / "analyses").glob("*.sql"),
    )
    return {str(p.relative_to(directory)): p.read_bytes().decode("utf-8") for p in sorted(paths)}


def policies_in(files: Mapping[str, str]) -> Policies:
    """Raises PolicyError, or ValueError for a path that leads elsewhere."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for relative, text in files.items():
            path = (folder / relative).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise ValueError(f"{relative} is no path of a policy file")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        return read_policies(folder)
