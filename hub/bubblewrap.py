"""What each half of a sandbox is given by bubblewrap: namespaces, mounts, limits. Pure data but for `available`.

| half     | sees                                                      | network                               |
|----------|-----------------------------------------------------------|---------------------------------------|
| notebook | its home, the project's folder, samples, three sockets    | none: what it says goes by sockets    |
| vault    | granted datasets and policies, read-only; its own folders | this machine's (ledger and hub)       |

Without cgroups there are no limits on the memory and processor time of a sandbox as a whole, only on each of its
processes; docs/decisions/bubblewrap-pair.md says what else stays open.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.containers import HOST_COUNTERS, LIMITS, Role, cores
from hub.settings import ROOT

FILTER_FD = 4
NOTEBOOK = Path("/opt/sandbox-guard/notebook")
"""Where a notebook finds its start script and notebooks, as in its container image."""
GATE = Path("/opt/sandbox-guard/gate.py")
SOCKETS = Path("/run/guard")

_DATA = 2 * 2**20
"""KiB of memory of its own that one process may have: RLIMIT_DATA."""


@dataclass(frozen=True)
class Walls:
    """One half's, before its command. Each field is one protection, so that a test can take one away."""

    role: Role
    namespaces: tuple[str, ...]
    mounts: tuple[str, ...]
    """Arguments, in bwrap's own order: later ones lie over earlier ones."""
    counters: tuple[str, ...]
    filter: Path | None
    """The program of `hub.filter`."""
    cores: str
    root: tuple[str, ...] = ("--remount-ro", "/")
    capabilities: tuple[str, ...] = ()
    limits: str = f"ulimit -c 0; ulimit -n 4096; ulimit -p 256; ulimit -d {_DATA}; "

    def command(self, words: Sequence[str]) -> list[str]:
        """`words` behind the walls. The limit on processes is set inside, where only the sandbox's own count."""
        bwrap = [
            "bwrap",
            *self.namespaces,
            "--die-with-parent",
            "--cap-drop",
            "ALL",
            *self.capabilities,
            *self.mounts,
            *self.counters,
            *self.root,
            *(("--seccomp", str(FILTER_FD)) if self.filter else ()),
            *("/bin/sh", "-c", f'{self.limits}exec "$@"', "sh", *words),
        ]
        start = f'exec taskset -c {self.cores} "$@" {FILTER_FD}<"$0"'
        return ["/bin/sh", "-c", start, str(self.filter or os.devnull), *bwrap]


def notebook(*, home: Path, shared: Path, samples: Iterable[Path], sockets: Path, filter: Path) -> Walls:
    """`sockets`: the folder of those that it may call; read-only, so that it cannot put others in their place."""
    return Walls(
        role=Role.NOTEBOOK,
        # As the hub's user; where that is root, it is not called so inside.
        namespaces=(
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--uid",
            "10001",
            "--gid",
            "10001",
        ),
        mounts=(
            *_system(Role.NOTEBOOK),
            *_read_only(ROOT / "sandbox_guard" / "__init__.py", ROOT / "sandbox_guard" / "client"),
            *("--ro-bind", str(ROOT / "images" / "notebook"), str(NOTEBOOK)),
            *("--ro-bind", str(ROOT / "hub" / "gate.py"), str(GATE)),
            *("--symlink", str(NOTEBOOK / "etc" / "ipython"), "/etc/ipython"),
            *("--ro-bind", str(sockets), str(SOCKETS)),
            *("--bind", str(home), "/home/guard"),
            *("--bind", str(shared), "/shared"),
            *("--dir", "/samples"),
            *(word for path in samples for word in ("--ro-bind", str(path), f"/samples/{path.name}")),
            *("--chdir", "/home/guard"),
        ),
        counters=_masked(HOST_COUNTERS),
        filter=filter,
        cores=cores(Role.NOTEBOOK),
    )


def vault(*, read: Iterable[Path], write: Iterable[Path], filter: Path) -> Walls:
    """It keeps this machine's network: ledger and hub listen on its 127.0.0.1."""
    return Walls(
        role=Role.VAULT,
        namespaces=("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--disable-userns"),
        mounts=(
            *_system(Role.VAULT),
            *_read_only(ROOT / "sandbox_guard", *read),
            *(word for path in write for word in ("--bind", str(path), str(path))),
        ),
        counters=(),
        filter=filter,
        cores=cores(Role.VAULT),
        limits="ulimit -c 0; ",
    )


def available(filter: Path) -> str:
    """Empty where a half can be walled in on this machine, else why not."""
    for program in ("bwrap", "taskset"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    walls = Walls(
        Role.NOTEBOOK,
        ("--unshare-all", "--unshare-user", "--disable-userns"),
        _system(Role.NOTEBOOK),
        _masked(HOST_COUNTERS),
        filter,
        cores(Role.NOTEBOOK),
    )
    done = subprocess.run(
        walls.command([sys.executable, "-c", "import encodings"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return (
        "" if done.returncode == 0 else (done.stderr.strip() or f"bwrap ended with {done.returncode}")[-300:]
    )


def _system(role: Role) -> tuple[str, ...]:
    """Programs and libraries, Python's too, and nothing that names this machine or its users."""
    merged = (f"/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64"))
    return (
        *("--ro-bind", "/usr", "/usr"),
        *(
            word
            for path in merged
            if os.path.lexists(path)
            for word in (
                ("--symlink", os.readlink(path), path) if os.path.islink(path) else ("--ro-bind", path, path)
            )
        ),
        *(
            word
            for name in ("ld.so.cache", "alternatives", "fonts")
            for word in ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
        ),
        *_read_only(*dict.fromkeys(map(Path, (sys.base_prefix, sys.prefix)))),
        *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
        *("--size", str(64 * 2**20), "--tmpfs", "/dev/shm"),
        *("--perms", "0700", "--size", str(LIMITS[role].temporary), "--tmpfs", "/tmp"),
    )


def _read_only(*paths: Path) -> tuple[str, ...]:
    return tuple(word for path in paths for word in ("--ro-bind", str(path), str(path)))


def _masked(paths: Iterable[str]) -> tuple[str, ...]:
    """Files by one that holds nothing, folders by an empty one. /sys is not mounted in the first place."""
    words: list[str] = []
    for path in paths:
        if path != "/sys" and os.path.isdir(path):
            words += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
        elif path != "/sys" and os.path.exists(path):
            words += ["--ro-bind", "/dev/null", path]
    return tuple(words)
