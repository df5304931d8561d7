"""Are the lock files whole: everything that is declared, at a version that fits, by hash, from anywhere?

Needs no network, so it runs where `make lock` cannot.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)")


def problems() -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned = {
        canonicalize_name(match["name"]): match["version"]
        for match in map(PINNED.match, lock.splitlines())
        if match
    }
    for requirement in map(Requirement, declared):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"requirements.lock has {requirement.name} {version}, pyproject.toml wants {requirement}"
    peers = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "bench/peers").glob("*.lock"))]
    for name in ("requirements.lock", "requirements-bootstrap.lock", *peers):
        text = (ROOT / name).read_text("utf-8")
        if re.search(r"https?://|--(extra-)?index-url", text):
            yield f"{name} names an address: mirrors and air-gapped sites could not use it"
        for block in re.split(r"\n(?=\S)", text):
            if PINNED.match(block) and "--hash=sha256:" not in block:
                yield f"{name}: no hash for {block.splitlines()[0]}"
    wanted = json.loads((ROOT / "package.json").read_text("utf-8"))["dependencies"]
    packages = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    if packages[""]["dependencies"] != wanted:
        yield "package-lock.json and package.json disagree"
    for name, package in packages.items():
        if name and ("resolved" in package or "integrity" not in package):
            yield f"package-lock.json: {name} names an address or has no hash"


if __name__ == "__main__":
    found = list(problems())
    print("\n".join(found) or "lock files: whole")
    sys.exit(1 if found else 0)
