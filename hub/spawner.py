"""A sandbox for each (member, project): the steps that all backends share.

A named server is a project. Starting one means, whatever the backend:

1. refuse who is not a member;
2. put the member's folder in order: notebooks, the project's shared folder;
3. have the ledger register the sandbox, and keep its token for the vault alone;
4. write the vault's configuration;
5. start the halves, and wait until both answer or one has ended.

A backend is a spawner of JupyterHub with `Sandboxed` before it, that answers `start_halves`, `poll` and
`stop`: `hub.docker_pair`, `hub.bubblewrap_pair`, `hub.process_pair`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import httpx
from jupyterhub.spawner import SpawnException

from hub import access
from hub.access import Kind
from hub.deployment import deployment
from hub.downloads import key_of
from hub.homes import Watch
from hub.language import Translate, translator
from hub.life import ENDED, OVERFULL, SUSPENDED, Life
from hub.notebooks import notebooks_for
from hub.settings import ROOT, Settings
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Policies

NOTEBOOK_IMAGE = ROOT / "images" / "notebook"
NOTEBOOKS = NOTEBOOK_IMAGE / "notebooks"

WELCOME = {"zh": "welcome.ipynb", "en": "welcome.en.ipynb"}
"""The notebook that opens first, by language."""

_BETWEEN_LOOKS = 5.0
"""Seconds: a start polls much more often, and a home may have many files."""

_SOCKET_PATH = 100
"""Bytes that the path of a Unix socket may have, with some to spare."""


@dataclass(frozen=True)
class Sandbox:
    """All that starting one needs to know."""

    member: str
    project: str
    kind: Kind
    folder: Path
    """Its own, 0700, for the vault's configuration and socket."""
    home: Path
    """The member's notebooks in this project."""

    @property
    def configuration(self) -> Path:
        return self.folder / "vault.json"

    @property
    def sockets(self) -> Path:
        """Those that the notebook may call, and nothing else."""
        return self.folder / "in"

    @property
    def socket(self) -> Path:
        return self.sockets / "vault.sock"


class Refusal(SpawnException):  # type: ignore[misc]
    """A start that failed for a cause that the user is told, on whichever page they are by then."""

    @property
    def jupyterhub_message(self) -> str:
        """What the hub shows of the last failure when asked again later."""
        return str(self.message)


class Sandboxed:
    """What every backend shares. Goes before a spawner of JupyterHub in the list of bases; the attributes
    below are that spawner's."""

    user: Any
    name: str
    port: int
    server: Any
    orm_spawner: Any
    log: Any
    _log_name: str
    stop: Callable[[], Awaitable[None]]
    get_env: Callable[[], dict[str, str]]

    backend: ClassVar[str]
    """As the vault's configuration and the pages name it."""

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.settings = deployment().settings
        self._said: list[tuple[int, str]] = []
        self._sandbox_id: str | None = None
        self._registered = -1
        """Position of the log's entry that registered this sandbox."""
        self.speaks: str | None = None
        """The language in which the notebook was started."""
        self._kept: dt.datetime | None = None
        """When its member said last that it shall go on."""
        self._watch: Watch | None = None
        self._looked = 0.0

    @abstractmethod
    async def start_halves(self, sandbox: Sandbox) -> str:
        """Start vault and notebook (or the vault alone); the URL at which the proxy finds the server."""

    # -------------------------------------------------------------------------------- the hub calls

    async def start(self) -> str:
        self._said = []
        self._kept = None
        deployment().endings.pop((self.user.name, self.name), None)
        t = self.t
        sandbox = self._admitted()
        self.say(10, t("正在整理工作目录…", "Putting your folder in order…"))
        prepare_folder(sandbox.folder)
        sandbox.sockets.mkdir(mode=0o700)
        if sandbox.kind is Kind.NOTEBOOK:
            self.prepare_home(sandbox)
            self._watch = await asyncio.to_thread(Watch.begin, sandbox.home, self.settings.home_gib)
        self.say(25, t("正在向预算台账登记…", "Registering with the budget ledger…"))
        token = await self._register(sandbox)
        self._configure_vault(sandbox, token)
        self.say(
            40,
            t("正在启动保险库与笔记本…", "Starting the vault and the notebook…")
            if sandbox.kind is Kind.NOTEBOOK
            else t("正在启动保险库…", "Starting the vault…"),
        )
        return await self.start_halves(sandbox)

    async def run_post_stop_hook(self) -> None:
        """The hub calls this after every end, asked for or not: the vault's token dies with the vault."""
        if self._sandbox_id is not None:
            sandbox_id, self._sandbox_id = self._sandbox_id, None
            try:
                async with deployment().ledger() as ledger:
                    await ledger.delete(f"/v1/sandboxes/{sandbox_id}")
            except httpx.TransportError as error:
                self.log.error("%s: the ledger was not told of the end: %s", self._log_name, error)

    async def poll_and_notify(self) -> int | None:
        """The hub calls this every few seconds. A sandbox is ended when its member, its project or a dataset that
        it may read was suspended since it began; what is suspended, the ledger refuses to register again."""
        why = SUSPENDED if await self._stood_down() else self._over()
        if why is not None:
            self.log.info("%s ends: %s", self._log_name, why.en)
            self.ended(why)
            await self.stop()
        status = cast("int | None", await super().poll_and_notify())  # type: ignore[misc]
        if status is not None:
            self.ended(ENDED)
        return status

    def _over(self) -> Text | None:
        life = self.life()
        return life.over(dt.datetime.now(dt.UTC)) if life is not None else None

    def life(self) -> Life | None:
        """None while it does not run."""
        started = self.orm_spawner.started if self.orm_spawner else None
        if started is None:
            return None
        active = self.orm_spawner.last_activity or started
        return Life(
            began=self._kept or started.replace(tzinfo=dt.UTC),
            active=active.replace(tzinfo=dt.UTC),
            longest=dt.timedelta(hours=self.settings.life_hours),
            idle=dt.timedelta(hours=self.settings.idle_hours),
        )

    def keep(self) -> None:
        """As long again from now, also for a hub that is restarted."""
        self._kept = dt.datetime.now(dt.UTC)
        self.orm_spawner.state = self.get_state()

    def ended(self, why: Text) -> None:
        """For whoever looks for it. What was known first is the cause, the rest follows from it."""
        deployment().endings.setdefault((self.user.name, self.name), why)

    async def _stood_down(self) -> bool:
        place = access.places(deployment().policies(), self.user.name).get(self.name)
        if place is None or self._sandbox_id is None:
            return False
        datasets = deployment().policies().projects[place.project].datasets
        concerned = {
            ("member", self.user.name),
            ("project", place.project),
            *(("dataset", d) for d in datasets),
        }
        try:
            async with deployment().ledger() as ledger:
                answer = await ledger.get("/v1/standings")
        except httpx.TransportError:
            return False  # it comes back; until then nobody is charged or answered
        return answer.is_success and any(
            (standing["subject"]["kind"], standing["subject"]["name"]) in concerned
            and standing["position"] > self._registered
            for standing in answer.json()
        )

    def get_state(self) -> dict[str, Any]:
        kept = self._kept.isoformat() if self._kept else None
        state = {
            "sandbox_id": self._sandbox_id,
            "registered": self._registered,
            "speaks": self.speaks,
            "kept": kept,
        }
        return {**super().get_state(), **state}  # type: ignore[misc]

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)  # type: ignore[misc]
        self._sandbox_id = state.get("sandbox_id")
        self._registered = state.get("registered", -1)
        self.speaks = state.get("speaks")
        self._kept = dt.datetime.fromisoformat(state["kept"]) if state.get("kept") else None

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What `say` said, and a sign of life at least every 2 s."""
        told, quiet = 0, 0.0
        while True:
            for percent, message in self._said[told:]:
                yield {"progress": percent, "message": message}
            if len(self._said) > told:
                told, quiet = len(self._said), 0.0
            elif quiet >= 2.0:
                last = self._said[-1][0] if self._said else 5
                yield {"progress": min(95, last + 5), "message": self.t("仍在启动…", "Still starting…")}
                quiet = 0.0
            await asyncio.sleep(0.2)
            quiet += 0.2

    def options_from_form(self, formdata: dict[str, Any]) -> dict[str, Any]:
        """Nothing about a sandbox is the user's to choose."""
        return {}

    # --------------------------------------------------------------------------------- for backends

    async def overfull(self) -> str:
        """Empty, or why a sandbox that runs is to be ended: its home grew past what it may."""
        if time.monotonic() - self._looked < _BETWEEN_LOOKS:
            return ""
        self._looked = time.monotonic()
        if self._watch is None:
            # The hub was restarted under it: growth counts from here.
            place = access.places(deployment().policies(), self.user.name).get(self.name)
            if place is None or place.kind is not Kind.NOTEBOOK:
                return ""
            home = self.settings.home / "homes" / self.user.name / place.project
            self._watch = await asyncio.to_thread(Watch.begin, home, self.settings.home_gib)
        why = await asyncio.to_thread(self._watch.overfull)
        if why:
            self.log.warning("%s is ended: %s", self._log_name, why)
            self.ended(OVERFULL)
        return why

    def say(self, percent: int, message: str) -> None:
        self._said.append((percent, message))

    @property
    def t(self) -> Translate:
        return translator(deployment().language_of(self.user.name))

    def place(self) -> access.Place:
        """The project that this server is. Raises Refusal for anyone who is not its member."""
        found = access.places(deployment().policies(), self.user.name).get(self.name)
        if found is None:
            raise Refusal(
                self.t(
                    "您不是这个项目的成员，或项目不存在。",
                    "There is no such project, or you are not a member of it.",
                ),
                reason="not-a-member",
                status_code=403,
            )
        return found

    def notebook_environment(self, sandbox: Sandbox) -> dict[str, str]:
        """Everything the notebook's process knows of the world. No token but its own of the hub."""
        self.speaks = language = deployment().language_of(self.user.name)
        return {
            **{k: v for k, v in self.get_env().items() if k.startswith(("JUPYTERHUB_", "JPY_"))},
            "HOME": str(sandbox.home),
            "USER": sandbox.member,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "TZ": posix_zone(dt.datetime.now().astimezone()),
            "JUPYTERHUB_DEFAULT_URL": f"/lab/tree/{WELCOME[language]}",
            "JUPYTER_CONFIG_PATH": self.lab_configuration(sandbox, NOTEBOOK_IMAGE),
            "SANDBOX_GUARD_PROJECT": sandbox.project,
            "SANDBOX_GUARD_BACKEND": self.backend,
            "SANDBOX_GUARD_LANGUAGE": language,
            "SANDBOX_GUARD_NOTEBOOKS": " ".join(
                str(path.relative_to(NOTEBOOKS)) for path in self.notebooks(sandbox).values()
            ),
        }

    def lab_configuration(self, sandbox: Sandbox, image: Path) -> str:
        """JUPYTER_CONFIG_PATH, for a notebook that finds `images/notebook` at `image`."""
        folders = ["jupyter", deployment().language_of(self.user.name)]
        if not deployment().policies().projects[sandbox.project].downloads:
            folders.append("no-downloads")
        return os.pathsep.join(str(image / "etc" / folder) for folder in folders)

    def way_in(self, sandbox: Sandbox, listen: list[str | int], to: list[str | int]) -> dict[str, Any]:
        """For the gate: from the proxy to the notebook, and what may leave by it (hub.gate)."""
        return {
            "listen": listen,
            "to": to,
            "carry": "pages",
            "prefix": self.server.base_url,
            "limit": self.settings.download_mib * 2**20,
            "hub": [self.settings.seen_from_sandbox(self.settings.hub_host), self.settings.hub_port],
            "report": f"/hub/api/downloads/{sandbox.member}/{self.name}",
        }

    def gate_environment(self, sandbox: Sandbox) -> dict[str, str]:
        """Not in its arguments, which any process of the machine reads."""
        return {"SANDBOX_GUARD_GATE_KEY": key_of(self.settings.token("downloads"), sandbox.member, self.name)}

    def notebooks(self, sandbox: Sandbox) -> dict[str, Path]:
        """What is put into the member's folder, by name: what this project can run."""
        return notebooks_for(NOTEBOOKS, deployment().policies(), sandbox.project, sandbox.member)

    def prepare_home(self, sandbox: Sandbox) -> None:
        shared = self.settings.home / "shared" / sandbox.project
        prepare_home(sandbox.home, shared, self.notebooks(sandbox))

    def granted(self, sandbox: Sandbox) -> dict[str, Path]:
        """The folders of the datasets that this sandbox's vault may read, by dataset."""
        return dataset_folders(self.settings.home, deployment().policies(), sandbox.project)

    @property
    def vault_threads(self) -> int:
        """Of the engine: the cores that are for vaults alone."""
        return 1

    def vault_sees(self, path: Path) -> str:
        """Where the vault finds what the hub knows as `path`."""
        return str(path)

    def vault_freezes(self, sandbox: Sandbox) -> dict[str, str] | None:
        """Where, and by what key, a vault has its project's notebooks stand still; None where they cannot."""
        return None

    def vault_listen(self, sandbox: Sandbox) -> dict[str, Any]:
        """Where the vault listens: its socket, or the server's own port if there is no notebook."""
        if sandbox.kind is Kind.NOTEBOOK:
            return {"socket": str(sandbox.socket)}
        return {"host": "127.0.0.1", "port": self.port}

    def failure(self, zh: str, en: str) -> Exception:
        """A start that failed for a cause that the user may know."""
        return Refusal(self.t(zh, en), reason="failed-to-start", status_code=500)

    # ------------------------------------------------------------------------------------- the steps

    def _admitted(self) -> Sandbox:
        place = self.place()
        return Sandbox(
            member=self.user.name,
            project=place.project,
            kind=place.kind,
            folder=sandbox_folder(self.settings.home, self.user.name, self.name),
            home=self.settings.home / "homes" / self.user.name / place.project,
        )

    async def _register(self, sandbox: Sandbox) -> str:
        try:
            async with deployment().ledger() as ledger:
                answer = await ledger.post(
                    "/v1/sandboxes", json={"member": sandbox.member, "project": sandbox.project}
                )
        except httpx.TransportError as error:
            raise self.failure(
                "预算台账没有应答，请稍后再试。", "The budget ledger does not answer. Try again shortly."
            ) from error
        if answer.status_code == 403 and "refused" in answer.json():
            said = answer.json()["refused"]["message"]
            raise self.failure(said["zh"], said["en"])
        if answer.is_error:
            self.log.error("The ledger answered %s to registering %s", answer.status_code, self._log_name)
            raise self.failure(
                "预算台账未登记这个项目（策略可能尚未生效），请联系数据管理员。",
                "The ledger does not know this project (its policy may not be applied yet). Ask the steward.",
            )
        registered = answer.json()
        self._sandbox_id, self._registered = str(registered["sandbox_id"]), int(registered["position"])
        return str(registered["token"])

    def _configure_vault(self, sandbox: Sandbox, token: str) -> None:
        seen = self.settings.seen_from_sandbox
        configuration = {
            "member": sandbox.member,
            "project": sandbox.project,
            "server": self.name,
            "policies": self.vault_sees(self.settings.policies),
            "home": self.vault_sees(self.settings.home),
            "datasets": {name: self.vault_sees(folder) for name, folder in self.granted(sandbox).items()},
            "ledger_url": f"http://{seen(self.settings.ledger_host)}:{self.settings.ledger_port}",
            "ledger_token": token,
            "marks": self.vault_sees(self.settings.home / "marks"),
            "hub_api": f"http://{seen(self.settings.hub_host)}:{self.settings.hub_port}/hub/api",
            "listen": self.vault_listen(sandbox),
            "prefix": "/" if sandbox.kind is Kind.NOTEBOOK else self.server.base_url,
            "backend": self.backend,
            "threads": self.vault_threads,
            "lane": f"vaults on {platform.node()}",
            "rates": self.vault_sees(self.settings.rates),
            "freeze": self.vault_freezes(sandbox),
        }
        write_privately(sandbox.configuration, json.dumps(configuration))


# ------------------------------------------------------------------------------ folders and files


def sandbox_folder(home: Path, member: str, server: str) -> Path:
    """A folder of a length that fits the path of a Unix socket, the same at every call."""
    name = hashlib.sha256(f"{home}\0{member}\0{server}".encode()).hexdigest()[:16]
    folder = home / "run" / name
    if len(os.fsencode(folder / "in" / "vault.sock")) <= _SOCKET_PATH:
        return folder
    return Path(tempfile.gettempdir()) / f"sandbox-guard-{os.getuid()}-{name}"


def prepare_folder(folder: Path) -> None:
    """Empty and 0700. Raises FileExistsError where another user of this machine made it first."""
    if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
        shutil.rmtree(folder)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(mode=0o700)


def prepare_home(home: Path, shared: Path, notebooks: Mapping[str, Path]) -> None:
    """The member's folder of one project: what they have is kept, what is missing is put there."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    shared.mkdir(parents=True, exist_ok=True)
    for name, notebook in notebooks.items():
        if not (home / name).exists():
            shutil.copyfile(notebook, home / name)
    link = home / "shared"
    if not link.is_symlink() and not link.exists():
        link.symlink_to(shared, target_is_directory=True)
    profile = home / ".ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(
        NOTEBOOK_IMAGE / "etc" / "ipython" / "ipython_kernel_config.py",
        profile / "ipython_kernel_config.py",
    )


def dataset_folders(home: Path, policies: Policies, project: str) -> dict[str, Path]:
    """The folder, with all its loaded versions, of each dataset that the project's agreement grants, and of
    no other. One that was never loaded has no folder: the vault then says so when it is asked about."""
    folders = {name: home / "restricted" / name for name in policies.projects[project].datasets}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def posix_zone(now: dt.datetime) -> str:
    """The zone of `now` as a value of TZ that needs no database of zones, which a container may lack. The
    notebook shows times by the same clock as the portal."""
    offset = now.strftime("%z")
    west = {"+": "-", "-": "+"}[offset[0]]  # POSIX counts hours west of Greenwich
    return f"<UTC{offset[:3]}>{west}{offset[1:3]}:{offset[3:5]}"


def write_privately(path: Path, text: str) -> None:
    """A file that is 0600 from its first byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def log_file(settings: Settings, member: str, server: str, half: str) -> Path:
    """One log a day and half, so that a long life does not make one endless file."""
    return settings.home / "log" / f"{member}.{server}.{half}.{dt.date.today():%Y%m%d}.log"
