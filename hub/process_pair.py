"""The process backend: both halves as processes of one local user.

For trying the product out on one's own machine. One uid gives no confidentiality between the halves, so
this backend claims no seal and every page says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, ClassVar

import httpx
from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import random_port

from hub import life
from hub.access import Kind
from hub.pair import GRACE, NOTEBOOK_ENDED, VAULT_ENDED, Half, Order
from hub.settings import ROOT
from hub.spawner import Sandbox, Sandboxed, log_file, write_privately


class ProcessPairSpawner(Sandboxed, LocalProcessSpawner):  # type: ignore[misc]
    """Remembers the process id of `hub.pair`, as LocalProcessSpawner does; polling and stopping it polls
    and stops both halves, also after the hub was restarted."""

    backend: ClassVar[str] = "process"

    async def start_halves(self, sandbox: Sandbox) -> str:
        order = self.order(sandbox)
        self.proc = subprocess.Popen(  # noqa: ASYNC220  the base class polls a Popen; a fork takes ms
            [sys.executable, "-m", "hub.pair"],
            cwd=ROOT,
            env=bare_environment(),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self.proc.pid
        assert self.proc.stdin is not None
        self.proc.stdin.write(order.model_dump_json().encode())
        self.proc.stdin.close()
        # For the launcher, should it have to end what a killed hub left behind.
        write_privately(self.settings.home / "run" / f"{sandbox.folder.name}.pair", str(self.pid))
        await self._until_both_answer(sandbox)
        return f"http://127.0.0.1:{self.port}"

    def order(self, sandbox: Sandbox) -> Order:
        vault = self._vault(sandbox)
        if sandbox.kind is not Kind.NOTEBOOK:
            return Order(vault=vault, notebook=None)
        behind = random_port()
        way_in = self.way_in(sandbox, ["127.0.0.1", self.port], ["127.0.0.1", behind])
        return Order(vault=vault, notebook=self._notebook(sandbox, behind), gate=self._gate(sandbox, way_in))

    async def start(self) -> str:
        self.port = random_port()
        return await super().start()

    async def poll(self) -> int | None:
        status: int | None = await super().poll()
        # The base class forgets it once it has said so.
        if status == VAULT_ENDED:
            self.ended(life.VAULT_ENDED)
        elif status == NOTEBOOK_ENDED:
            self.ended(life.NOTEBOOK_ENDED)
        if status is None and await self.overfull():
            # The next poll finds it ended.
            await self._signal(signal.SIGTERM)
        return status

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """Members are people of the product, not users of this machine."""
        return env

    async def stop(self, now: bool = False) -> None:
        """SIGTERM first: `hub.pair` passes it on, and kills what has not ended in time."""
        if self.proc is None and not self.pid:
            return
        await self._signal(signal.SIGTERM)
        await self.wait_for_death(GRACE + 2)
        if await self.poll() is None:
            await self._signal(signal.SIGKILL)
            await self.wait_for_death(2)

    def _vault(self, sandbox: Sandbox) -> Half:
        return Half(
            command=[sys.executable, "-m", "sandbox_guard.vault"],
            environment={
                **bare_environment(),
                "SANDBOX_GUARD_VAULT_CONFIG": str(sandbox.configuration),
                "HOME": str(sandbox.folder),
            },
            directory=sandbox.folder,
            log=log_file(self.settings, sandbox.member, self.name, "vault"),
        )

    def _notebook(self, sandbox: Sandbox, port: int) -> Half:
        command = [
            sys.executable,
            "-m",
            "jupyterhub.singleuser",
            *(["--allow-root"] if os.geteuid() == 0 else []),
        ]
        return Half(
            command=command,
            environment={
                **bare_environment(),
                **self.notebook_environment(sandbox),
                "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}{self.server.base_url}",
                "SANDBOX_GUARD_URL": f"unix:{sandbox.socket}",
                "SANDBOX_GUARD_SAMPLES": str(self.settings.home / "samples"),
            },
            directory=sandbox.home,
            log=log_file(self.settings, sandbox.member, self.name, "notebook"),
        )

    def _gate(self, sandbox: Sandbox, *ways: dict[str, Any]) -> Half:
        return Half(
            command=[sys.executable, "-I", str(ROOT / "hub" / "gate.py"), json.dumps(ways)],
            environment={**bare_environment(), **self.gate_environment(sandbox)},
            directory=sandbox.folder,
            log=log_file(self.settings, sandbox.member, self.name, "gate"),
        )

    async def _until_both_answer(self, sandbox: Sandbox) -> None:
        """Returns when the server answers; raises within a second of a half's end, naming it."""
        waiting: dict[str, tuple[httpx.AsyncHTTPTransport, str]] = {}
        if sandbox.kind is Kind.NOTEBOOK:
            waiting["vault"] = (httpx.AsyncHTTPTransport(uds=str(sandbox.socket)), "http://vault/health")
        waiting["server"] = (
            httpx.AsyncHTTPTransport(),
            f"http://127.0.0.1:{self.port}{self.server.base_url}api",
        )
        started = time.monotonic()
        while waiting:
            status = await self.poll()
            if status is not None:
                raise self._ended(status, time.monotonic() - started)
            for name, (transport, url) in list(waiting.items()):
                if await _answers(transport, url):
                    del waiting[name]
                    if name == "vault":
                        self.say(
                            60,
                            self.t(
                                "保险库已就绪，正在等待笔记本…", "The vault is ready; the notebook is next…"
                            ),
                        )
                    else:
                        self.say(90, self.t("即将就绪…", "Almost there…"))
            await asyncio.sleep(0.15)

    def _ended(self, status: int, seconds: float) -> Exception:
        self.log.error("%s: ended with %s after %.1f s of starting", self._log_name, status, seconds)
        if status == VAULT_ENDED:
            return self.failure(
                "保险库启动后随即退出，请联系管理员查看 var/log 中的日志。",
                "The vault stopped while starting. The administrator finds the reason in var/log.",
            )
        if status == NOTEBOOK_ENDED:
            return self.failure(
                "笔记本启动后随即退出，请联系管理员查看 var/log 中的日志。",
                "The notebook stopped while starting. The administrator finds the reason in var/log.",
            )
        return self.failure("沙箱未能启动。", "The sandbox could not be started.")


async def _answers(transport: httpx.AsyncHTTPTransport, url: str) -> bool:
    try:
        response = await transport.handle_async_request(httpx.Request("GET", url))
        await response.aclose()
    except httpx.TransportError:
        return False
    return response.status_code < 500


def bare_environment() -> dict[str, str]:
    """Where programs are, and nothing of what the hub knows."""
    return {
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), "/usr/local/bin", "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
