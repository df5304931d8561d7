"""The bubblewrap backend: both halves behind walls that a plain user can raise, without an engine.

The notebook has no network at all. Its port and the hub's API are carried by Unix sockets, one end of which the
gate holds outside; the vault listens on a third. `hub.pair` holds the three together, as in the process backend.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, ClassVar

from hub import bubblewrap
from hub.access import Kind
from hub.filter import program
from hub.pair import HANDED_OVER, Half, Order
from hub.process_pair import ProcessPairSpawner, bare_environment
from hub.spawner import Sandbox, log_file

HUB_PORT = 8081
"""Where the notebook finds the hub's API, on its own loopback."""


class BubblewrapPairSpawner(ProcessPairSpawner):
    backend: ClassVar[str] = "bubblewrap"

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.hub_connect_url = f"http://127.0.0.1:{HUB_PORT}"

    def order(self, sandbox: Sandbox) -> Order:
        alone = sandbox.kind is Kind.ANALYSES
        return Order(
            vault=self._walled_vault(sandbox),
            notebook=None if alone else self._walled_notebook(sandbox),
            gate=None
            if alone
            else self._gate(
                sandbox,
                self.way_in(sandbox, ["127.0.0.1", self.port], [str(sandbox.folder / "notebook.sock")]),
                {
                    "listen": [str(sandbox.sockets / "hub.sock")],
                    "to": [self.settings.hub_host, self.settings.hub_port],
                    "carry": "hub api",
                },
            ),
        )

    def prepare_home(self, sandbox: Sandbox) -> None:
        """The folders only: what lies in them the notebook's own process puts there. The hub would follow links
        that a member laid."""
        for folder in (sandbox.home, self.settings.home / "shared" / sandbox.project):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _walled_vault(self, sandbox: Sandbox) -> Half:
        bare = self._vault(sandbox)
        marks = self.settings.home / "marks"
        marks.mkdir(mode=0o700, exist_ok=True)
        there = (path for path in (self.settings.rates,) if path.is_file())
        walls = bubblewrap.vault(
            read=[sandbox.configuration, self.settings.policies, *there, *self.granted(sandbox).values()],
            write=[marks, sandbox.sockets],
            filter=_filter(sandbox.folder / "vault.filter", trusted=True),
        )
        environment = {**bare.environment, "HOME": "/tmp"}
        return bare.model_copy(
            update={
                "command": walls.command(bare.command),
                "environment": environment,
                "directory": Path("/"),
            }
        )

    def _walled_notebook(self, sandbox: Sandbox) -> Half:
        samples = self.settings.home / "samples"
        walls = bubblewrap.notebook(
            home=sandbox.home,
            shared=self.settings.home / "shared" / sandbox.project,
            samples=[
                path for name in self.granted(sandbox) if (path := samples / f"{name}.duckdb").is_file()
            ],
            sockets=sandbox.sockets,
            filter=_filter(sandbox.folder / "notebook.filter", trusted=False),
        )
        environment = self.notebook_environment(sandbox)
        ways = [
            {"listen": [HANDED_OVER], "to": ["127.0.0.1", self.port], "carry": "any bytes"},
            {
                "listen": ["127.0.0.1", HUB_PORT],
                "to": [str(bubblewrap.SOCKETS / "hub.sock")],
                "carry": "any bytes",
            },
        ]
        start = f'"$0" -I {bubblewrap.GATE} "$1" & exec {bubblewrap.NOTEBOOK}/start.sh {HANDED_OVER}<&-'
        return Half(
            command=walls.command(["/bin/sh", "-c", start, sys.executable, json.dumps(ways)]),
            environment={
                **bare_environment(),
                **environment,
                "HOME": "/home/guard",
                "JUPYTER_CONFIG_PATH": self.lab_configuration(sandbox, bubblewrap.NOTEBOOK),
                "SANDBOX_GUARD_URL": f"unix:{bubblewrap.SOCKETS / sandbox.socket.name}",
                "SANDBOX_GUARD_SAMPLES": "/samples",
            },
            directory=Path("/"),
            log=log_file(self.settings, sandbox.member, self.name, "notebook"),
            listen=sandbox.folder / "notebook.sock",
        )


def _filter(path: Path, *, trusted: bool) -> Path:
    path.write_bytes(program(trusted=trusted, affinity=trusted))
    return path
