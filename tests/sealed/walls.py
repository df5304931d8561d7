"""The product on bubblewrap, and walls that lack one protection each: what `tests.sealed.sandboxes` is for Docker."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hub import bubblewrap
from hub.access import Kind, server_name
from hub.bubblewrap import SOCKETS, Walls
from hub.containers import Role, cores
from hub.filter import program
from hub.spawner import sandbox_folder
from tests.end_to_end.conftest import ROOT, Product
from tests.sealed.sandboxes import ATTEMPTS, REQUIRED, SHORT, Hub, Seen, own_address

Command = Callable[[list[str]], list[str]]
"""What stands before words that are run."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/home/guard", "LANG": "C.UTF-8"}
VAULT = ["-m", "sandbox_guard.vault"]
GATE_PORT = 8081
HERE_ONLY = {
    "find_a_gateway_that_answers": "there is no gateway on a loopback",
    "ping_outside": "this machine's own network may not let its users ping",
    "ping_the_neighbour": "this machine's own network may not let its users ping",
    "connect_outside_past_the_routes": "no named device leads to this machine's own address",
    "send_a_datagram_past_the_routes": "no named device leads to this machine's own address",
    "find_the_neighbour_by_name": "sandboxes have no names here",
}
"""Attempts for which no walls can be made through which they would work, and why."""
OPEN = {"fork_without_end"} if os.geteuid() == 0 else set()
"""What bubblewrap does not close: the kernel counts no processes of root."""


def need_bubblewrap(folder: Path) -> None:
    """Skips the test where bubblewrap cannot be used, or fails it where sealed sandboxes are required."""
    filter = folder / "filter"
    try:
        filter.write_bytes(program(trusted=False, affinity=False))
        why = bubblewrap.available(filter)
    except OSError as error:
        why = str(error)
    if why:
        (pytest.fail if REQUIRED else pytest.skip)(why)


@dataclass(frozen=True)
class Place:
    """A running sandbox, as the walls of its notebook are made from it."""

    home: Path
    member: str
    project: str

    @property
    def folder(self) -> Path:
        return sandbox_folder(self.home, self.member, server_name(self.project))

    @property
    def walls(self) -> Walls:
        """Those of its notebook, made as the spawner makes them."""
        return bubblewrap.notebook(
            home=self.home / "homes" / self.member / self.project,
            shared=self.home / "shared" / self.project,
            samples=sorted((self.home / "samples").glob("*.duckdb")),
            sockets=self.folder / "in",
            filter=self.folder / "notebook.filter",
        )


def tried(names: Iterable[str], facts: dict[str, Any], command: Command, patience: float = SHORT) -> Seen:
    """Runs the attempts behind what `command` puts before them, with the way to the hub that a notebook has."""
    way = {"listen": ["127.0.0.1", GATE_PORT], "to": [str(SOCKETS / "hub.sock")], "carry": "any bytes"}
    # Half a minute for the way to open; where it cannot, the attempts are made without it.
    opens = (
        f"for _ in {{1..300}}; do (: </dev/tcp/127.0.0.1/{GATE_PORT}) 2>/dev/null && break; sleep 0.1; done"
    )
    relay = f'"$0" -I {bubblewrap.GATE} "$1" 2>/dev/null & {opens}; "$0" - "$2"; kill $!; exit 0'
    order = json.dumps({"names": list(names), "facts": facts, "patience": patience})
    done = subprocess.run(
        command(["/bin/bash", "-c", relay, sys.executable, json.dumps([way]), order]),
        input=ATTEMPTS.read_text("utf-8"),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.stdout, done.stderr
    return {name: (seen[0], seen[1]) for name, seen in json.loads(done.stdout.splitlines()[-1]).items()}


def output(command: Command, program: str) -> str:
    done = subprocess.run(
        command([sys.executable, "-c", program]),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def facts_of(product: Product, hub: Hub, own: Place, neighbour: Place) -> dict[str, Any]:
    notebook = ["127.0.0.1", port_of_notebook(neighbour)]
    alone = sandbox_folder(neighbour.home, neighbour.member, server_name(neighbour.project, Kind.ANALYSES))
    vault = json.loads((alone / "vault.json").read_text("utf-8"))["listen"]
    return {
        "home": str(own.home),
        "restricted": str(own.home / "restricted"),
        "device": "lo",
        "hub": f"http://127.0.0.1:{GATE_PORT}",
        "own_resolver": "127.0.0.53",
        "resolver": "127.0.0.53",
        "processes": 600,
        "member": own.member,
        "neighbour": neighbour.member,
        "neighbours_server": neighbour.project,
        "vault_pid": process_of_vault(own),
        "vault_cores": [int(core) for core in cores(Role.VAULT).split(",")],
        "gateway": "127.0.0.1",
        "services": "127.0.0.1",
        "hub_port": int(product.environment["SANDBOX_GUARD_HUB_PORT"]),
        "ledger_port": int(product.environment["SANDBOX_GUARD_LEDGER_PORT"]),
        "their_notebook": notebook,
        "their_vault": [vault["host"], vault["port"]],
        "their_gate": notebook,
        "their_name": "notebook",
        "token": environment_of_notebook(own)["JUPYTERHUB_API_TOKEN"],
        "outside": own_address(),
    }


def process_of_vault(place: Place) -> int:
    configuration = str(place.folder / "vault.json")
    return next(
        number
        for number, words, environment in _processes()
        if environment.get("SANDBOX_GUARD_VAULT_CONFIG") == configuration and words[1:3] == VAULT
    )


def environment_of_notebook(place: Place) -> dict[str, str]:
    """All that its process was given: the home is told by what is mounted in it."""
    home = f"/homes/{place.member}/{place.project} /home/guard "
    return next(
        environment
        for number, _, environment in _processes()
        if "JUPYTERHUB_SERVICE_PREFIX" in environment
        and place.home.name + home in Path(f"/proc/{number}/mountinfo").read_text("utf-8")
    )


def port_of_notebook(place: Place) -> int:
    return urlsplit(environment_of_notebook(place)["JUPYTERHUB_SERVICE_URL"]).port or 0


def _processes() -> Iterator[tuple[int, list[str], dict[str, str]]]:
    """Of this machine, as its root sees them: number, command, environment."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text("utf-8").split("\0")
            given = (entry / "environ").read_text("utf-8").split("\0")
        except (OSError, UnicodeDecodeError):
            continue
        yield int(entry.name), words, dict(each.partition("=")[::2] for each in given if each)


# --------------------------------------------------------------------------------------- controls


def bare(words: list[str]) -> list[str]:
    """No walls at all: what a process of the same user may do."""
    return ["/bin/sh", "-c", 'exec "$@"', "sh", *words]


def _mounts(own: Place, folder: Path) -> Walls:
    home, engine = str(own.home), folder / "engine.sock"
    return _with_mounts(
        own,
        *("--ro-bind", home, home),
        *("--ro-bind", str(own.folder / "vault.json"), "/etc/sandbox-guard-vault.json"),
        *("--ro-bind", str(engine), "/var/run/docker.sock"),
    )


def _writable_root(own: Place, folder: Path) -> Walls:
    """On a copy: the real file is this checkout's."""
    copy = folder / "copy.py"
    file = ROOT / "sandbox_guard" / "__init__.py"
    shutil.copyfile(file, copy)
    return replace(_with_mounts(own, "--bind", str(copy), str(file)), root=())


def _with_mounts(own: Place, *words: str) -> Walls:
    walls = own.walls
    return replace(walls, mounts=(*walls.mounts, *words))


def _shared_network(own: Place, folder: Path) -> Walls:
    return replace(own.walls, namespaces=(*own.walls.namespaces, "--share-net"))


def _resolver(own: Place, folder: Path) -> Walls:
    (folder / "resolv.conf").write_text("nameserver 127.0.0.53\n", "ascii")
    walls = _with_mounts(own, "--ro-bind", str(folder / "resolv.conf"), "/etc/resolv.conf")
    return replace(walls, namespaces=(*walls.namespaces, "--share-net"))


def _raw_sockets(own: Place, folder: Path) -> Walls:
    """Only who is called root keeps a capability when a program is started, and only in the first namespace of
    users, whose the network is."""
    return replace(
        own.walls, namespaces=("--unshare-all", "--uid", "0"), capabilities=("--cap-add", "CAP_NET_RAW")
    )


def _no_filter(own: Place, folder: Path) -> Walls:
    """Of namespaces there is a second protection, which goes too."""
    kept = tuple(word for word in own.walls.namespaces if word != "--disable-userns")
    return replace(own.walls, namespaces=kept, filter=None)


def _no_limits(own: Place, folder: Path) -> Walls:
    loose = folder / "loose.filter"
    loose.write_bytes(program(trusted=False, affinity=True))
    walls = _with_mounts(own, "--size", str(2**30), "--tmpfs", "/tmp")
    return replace(walls, limits="ulimit -n 10000; ", filter=loose)


CONTROLS: dict[str, Callable[[Place, Path], Walls | None]] = {
    "mounts": _mounts,
    "writable root": _writable_root,
    "host processes": lambda own, folder: None,
    "seccomp": _no_filter,
    "shared memory": lambda own, folder: _with_mounts(own, "--bind", "/dev/shm", "/dev/shm"),
    "devices": lambda own, folder: None,
    "raw sockets": _raw_sockets,
    "outward network": _shared_network,
    "host on the bridge": _shared_network,
    "uplink": _shared_network,
    "host network": _shared_network,
    "neighbour's network": _shared_network,
    "resolver": _resolver,
    "limits": _no_limits,
    "counters": lambda own, folder: replace(_with_mounts(own, "--ro-bind", "/sys", "/sys"), counters=()),
}
"""By name of the protection in `attempts`: the walls without it; None where it is the walls altogether."""


@contextmanager
def control(own: Place, name: str, folder: Path) -> Iterator[Command]:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(folder / "engine.sock"))
        engine.listen()
        walls = CONTROLS[name](own, folder)
        yield bare if walls is None else walls.command
    (folder / "engine.sock").unlink()
