"""The Docker backend: the two halves as containers on a network of their own, and a gate between them and the hub.

Every name derives from the state directory, the member and the server, so there is nothing to remember: a hub
that lost its database finds, polls and removes the same pair.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import docker
import httpx
from docker.errors import APIError, DockerException, NotFound
from docker.types import IPAMConfig, IPAMPool
from dockerspawner import DockerSpawner

from hub import life
from hub.access import Kind
from hub.containers import IMAGES, Container, Role, cores, read_only, uid_of, writable
from hub.deployment import deployment
from hub.freezer import Freezer, key_of
from hub.networks import PairAddresses
from hub.settings import Settings
from hub.spawner import Sandbox, Sandboxed

INSTALLATION = "sandbox-guard.installation"
"""Label: whose it is, by state directory. Two installations on one engine leave each other alone."""
PAIR = "sandbox-guard.pair"
ROLE = "sandbox-guard.role"
PROJECT = "sandbox-guard.project"
INDEX = "sandbox-guard.index"
"""Label of a pair's network: which of the pool's addresses it has."""

SERVER_PORT = 8888
VAULT_PORT = 8080
HUB_PORT = 8081

STOP_SECONDS = 3
"""What a half may take to end by itself: the vault's work in flight is finished later under the same charge."""

RESTARTS, RESTARTS_WITHIN = 3, 600.0
"""How often a vault that ended starts again, within how many seconds."""

_ENDINGS = {Role.VAULT.value: life.VAULT_ENDED, Role.NOTEBOOK.value: life.NOTEBOOK_ENDED}

_STATE = Path("/home/guard")
_CONFIGURATION = Path("/etc/sandbox-guard-vault.json")


class DockerPairSpawner(Sandboxed, DockerSpawner):  # type: ignore[misc]
    backend: ClassVar[str] = "docker"
    # The base class has one thread for all; starts and polls of a dozen sandboxes would queue behind each other.
    _executor = ThreadPoolExecutor(8, thread_name_prefix="docker")
    # Two starts must not be given the same addresses.
    _allotting = asyncio.Lock()

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.ip = "0.0.0.0"
        self.port = SERVER_PORT
        # What the notebook calls the hub.
        self.hub_connect_url = f"http://gate:{HUB_PORT}"
        self._kind = Kind.NOTEBOOK
        self._restarts: list[float] = []

    # -------------------------------------------------------------------------------- the hub calls

    async def start_halves(self, sandbox: Sandbox) -> str:
        self._kind = sandbox.kind
        await self._remove()
        try:
            self._own(sandbox)
            addresses = await self._make_network()
            started = [self._start(each, addresses) for each in self._containers(sandbox, addresses)]
            await asyncio.gather(*started)
            return await self._until_both_answer(sandbox, addresses)
        except DockerException as error:
            await self._remove()
            self.log.error("%s: the engine refused: %s", self._log_name, error)
            raise self.failure(
                "容器引擎未能启动沙箱，请联系管理员。",
                "The container engine could not start the sandbox. Ask the administrator.",
            ) from error
        except BaseException:
            await self._remove()
            raise

    async def poll(self) -> int | str | None:
        """None while every container of the pair runs, or does again. A pair of which one has ended is removed: the hub
        calls `stop` only for what still runs."""
        found = await self._found()
        if not found:
            return 0
        ended = [each for each in found if each["State"] not in ("running", "created", "paused")]
        if not ended and len(found) == len(_roles(self._kind_of(found))):
            await self._go_on(found)
            why = await self.overfull()
            if why:
                await self._remove()
            return why or None
        if await self._vault_goes_on(found, ended):
            return None
        roles = ", ".join(f"{each['Labels'][ROLE]}: {each['Status']}" for each in ended)
        self.log.warning("%s: ended (%s)", self._log_name, roles)
        for each in ended:
            await self._keep_log(each)
            if (why_ended := _ENDINGS.get(each["Labels"][ROLE])) is not None:
                self.ended(why_ended)
        await self._remove()
        return roles or "incomplete"

    async def _vault_goes_on(self, found: list[dict[str, Any]], ended: list[dict[str, Any]]) -> bool:
        """A vault that ended under its notebook starts again as what it was: with its addresses, its mounts and its
        token, so that whoever works in the notebook loses nothing. Not for ever: one that ends over and over ends its pair."""
        roles = {Role(each["Labels"][ROLE]) for each in found}
        if [each["Labels"][ROLE] for each in ended] != [Role.VAULT] or roles != set(_roles(Kind.NOTEBOOK)):
            return False
        # What ends as the hub starts or stops it is no crash.
        if self.pending in ("spawn", "stop"):
            return False
        now = time.monotonic()
        self._restarts = [when for when in self._restarts if now - when < RESTARTS_WITHIN]
        if len(self._restarts) == RESTARTS:
            return False
        self._restarts.append(now)
        (vault,) = ended
        self.log.warning("%s: its vault ended (%s), and starts again", self._log_name, vault["Status"])
        await self._keep_log(vault)
        # Whom it held still while it worked.
        await freezer().forget(self.pair)
        try:
            await self.docker("start", vault["Id"])
        except DockerException as error:
            self.log.error("%s: its vault did not start again: %s", self._log_name, error)
            return False
        return True

    async def _go_on(self, found: list[dict[str, Any]]) -> None:
        """What is paused for nobody: the hub was killed, or the vault that asked for it."""
        for each in found:
            if each["State"] == "paused" and not freezer().frozen(each["Labels"][PROJECT]):
                self.log.warning("%s: its notebook was left frozen, and goes on", self._log_name)
                await asyncio.to_thread(_resume, self.client, each["Id"])

    async def stop(self, now: bool = False) -> None:
        await self._remove(grace=0 if now else STOP_SECONDS)
        self.clear_state()

    def vault_sees(self, path: Path) -> str:
        if path == self.settings.policies:
            return "/policies"
        if path == self.settings.home:
            return str(_STATE)
        # restricted/<dataset>, marks, rates.json
        return str(Path("/") / path.relative_to(self.settings.home))

    def vault_listen(self, sandbox: Sandbox) -> dict[str, Any]:
        return {"host": "0.0.0.0", "port": VAULT_PORT}

    @property
    def vault_threads(self) -> int:
        return cores(Role.VAULT).count(",") + 1

    def vault_freezes(self, sandbox: Sandbox) -> dict[str, str]:
        hub = f"http://{self.settings.seen_from_sandbox(self.settings.hub_host)}:{self.settings.hub_port}"
        key = key_of(self.settings.token("freeze"), sandbox.project, self.pair)
        return {"url": f"{hub}/hub/api/frozen/{self.pair}", "key": f"{sandbox.project}:{key}"}

    def prepare_home(self, sandbox: Sandbox) -> None:
        """The folders only. What lies in them the notebook's own process puts there: the hub, with more rights,
        would follow links that a member laid."""
        for folder in (sandbox.home, self.settings.home / "shared" / sandbox.project):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _give(folder, Role.NOTEBOOK)

    # ------------------------------------------------------------------------------- what is started

    @property
    def pair(self) -> str:
        return pair_name(self.settings.home, self.user.name, self.name)

    def _containers(self, sandbox: Sandbox, addresses: PairAddresses) -> list[Container]:
        return [
            {Role.NOTEBOOK: self._notebook, Role.VAULT: self._vault, Role.GATE: self._gate}[role](
                sandbox, addresses
            )
            for role in _roles(sandbox.kind)
        ]

    def _vault(self, sandbox: Sandbox, addresses: PairAddresses) -> Container:
        configured = json.loads(sandbox.configuration.read_text("utf-8"))
        return Container(
            role=Role.VAULT,
            name=f"{self.pair}-vault",
            command=None,
            environment={"SANDBOX_GUARD_VAULT_CONFIG": str(_CONFIGURATION), "HOME": str(_STATE)},
            labels=self._labels(Role.VAULT),
            mounts=[
                read_only(sandbox.configuration, str(_CONFIGURATION)),
                read_only(self.settings.policies, "/policies"),
                writable(self.settings.home / "marks", "/marks"),
                *([read_only(self.settings.rates, "/rates.json")] if self.settings.rates.is_file() else []),
                *(
                    read_only(self.settings.home / "restricted" / name, target)
                    for name, target in configured["datasets"].items()
                ),
            ],
        )

    def _notebook(self, sandbox: Sandbox, addresses: PairAddresses) -> Container:
        environment = self.notebook_environment(sandbox)
        samples = self.settings.home / "samples"
        granted = self.granted(sandbox)
        return Container(
            role=Role.NOTEBOOK,
            name=f"{self.pair}-notebook",
            command=None,
            environment={
                **environment,
                "HOME": "/home/guard",
                "JUPYTER_CONFIG_PATH": self.lab_configuration(sandbox, Path("/opt/sandbox-guard/notebook")),
                "SANDBOX_GUARD_URL": f"http://vault:{VAULT_PORT}",
                "SANDBOX_GUARD_SAMPLES": "/samples",
            },
            labels={**self._labels(Role.NOTEBOOK), PROJECT: sandbox.project},
            mounts=[
                writable(sandbox.home, "/home/guard"),
                writable(self.settings.home / "shared" / sandbox.project, "/shared"),
                *(
                    read_only(samples / f"{name}.duckdb", f"/samples/{name}.duckdb")
                    for name in granted
                    if (samples / f"{name}.duckdb").is_file()
                ),
            ],
            hosts={"vault": str(addresses.vault), "gate": str(addresses.gate)},
        )

    def _gate(self, sandbox: Sandbox, addresses: PairAddresses) -> Container:
        hub = self.settings.seen_from_sandbox(self.settings.hub_host)
        ways = [
            self.way_in(
                sandbox,
                [str(addresses.gate_uplink), SERVER_PORT],
                [str(addresses.notebook), SERVER_PORT],
            ),
            {
                "listen": [str(addresses.gate), HUB_PORT],
                "to": [hub, self.settings.hub_port],
                "carry": "hub api",
            },
        ]
        return Container(
            role=Role.GATE,
            name=f"{self.pair}-gate",
            command=["/opt/sandbox-guard/bin/python", "-I", "/opt/sandbox-guard/gate.py", json.dumps(ways)],
            environment=self.gate_environment(sandbox),
            labels=self._labels(Role.GATE),
        )

    def _labels(self, role: Role) -> dict[str, str]:
        return {INSTALLATION: installation(self.settings.home), PAIR: self.pair, ROLE: role.value}

    def _own(self, sandbox: Sandbox) -> None:
        """What a container is to read belongs to its user, who has no other rights anywhere."""
        marks = self.settings.home / "marks"
        marks.mkdir(mode=0o700, exist_ok=True)
        for path in (sandbox.configuration, marks, self.settings.rates):
            if path.exists():
                _give(path, Role.VAULT)
        for name in self.granted(sandbox):
            _give(self.settings.home / "restricted" / name, Role.VAULT)
            sample = self.settings.home / "samples" / f"{name}.duckdb"
            if sample.is_file():
                sample.chmod(0o644)

    # ------------------------------------------------------------------------------------ the engine

    async def _make_network(self) -> PairAddresses:
        """The pair's network, at the first addresses that are free."""
        pool = self.settings.pool
        async with self._allotting:
            taken = {
                int(each["Labels"][INDEX])
                for each in await self.docker("networks", filters={"label": INDEX})
                if each["Labels"].get(INSTALLATION) == installation(self.settings.home)
            }
            for index in range(pool.pairs):
                if index not in taken:
                    addresses = pool.pair(index)
                    await self.docker(
                        "create_network",
                        self.pair,
                        driver="bridge",
                        internal=True,
                        options={
                            # Without an address of the host on the bridge, nothing of the host answers there.
                            "com.docker.network.bridge.inhibit_ipv4": "true",
                        },
                        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(addresses.inner))]),
                        labels={
                            INSTALLATION: installation(self.settings.home),
                            PAIR: self.pair,
                            INDEX: str(index),
                        },
                    )
                    return addresses
        raise self.failure("沙箱数量已达上限。", "There is no room for another sandbox.")

    async def _start(self, container: Container, addresses: PairAddresses) -> None:
        alone = self._kind is Kind.ANALYSES
        inner = {Role.NOTEBOOK: addresses.notebook, Role.VAULT: addresses.vault, Role.GATE: addresses.gate}
        outer = {Role.VAULT: addresses.vault_uplink, Role.GATE: addresses.gate_uplink}
        first, address = (
            (uplink_name(self.settings.home), outer[container.role])
            if alone
            else (self.pair, inner[container.role])
        )
        host_config = self.client.create_host_config(**container.host_config(first))
        host_config["MaskedPaths"] = container.masked
        uid = uid_of(container.role)
        created = await self.docker(
            "create_container",
            image=IMAGES[container.role],
            name=container.name,
            command=container.command,
            environment=dict(container.environment),
            labels=dict(container.labels),
            user=f"{uid}:{uid}",
            hostname=container.role.value,
            host_config=host_config,
            networking_config=self.client.create_networking_config(
                {first: self.client.create_endpoint_config(ipv4_address=str(address))}
            ),
        )
        if container.role in outer and not alone:
            await self.docker(
                "connect_container_to_network",
                created["Id"],
                uplink_name(self.settings.home),
                ipv4_address=str(outer[container.role]),
            )
        if container.role is Role.NOTEBOOK:
            async with freezer().starting(container.labels[PROJECT]):
                await self.docker("start", created["Id"])
        else:
            await self.docker("start", created["Id"])

    async def _until_both_answer(self, sandbox: Sandbox, addresses: PairAddresses) -> str:
        """The URL for the proxy, once the halves answer. Raises within a second of a half's end, naming it."""
        vault = f"http://{addresses.vault_uplink}:{VAULT_PORT}"
        alone = sandbox.kind is Kind.ANALYSES
        server = vault if alone else f"http://{addresses.gate_uplink}:{SERVER_PORT}"
        waiting = {"vault": f"{vault}/health"}
        if not alone:
            waiting["notebook"] = f"{server}{self.server.base_url}api"
        checked = 0.0
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            while waiting:
                answers = await asyncio.gather(*(_answers(client, url) for url in waiting.values()))
                for name, answered in zip(list(waiting), answers, strict=True):
                    if answered:
                        del waiting[name]
                        if name == "vault" and not alone:
                            self.say(
                                60,
                                self.t(
                                    "保险库已就绪，正在等待笔记本…",
                                    "The vault is ready; the notebook is next…",
                                ),
                            )
                if time.monotonic() - checked > 1:
                    checked = time.monotonic()
                    await self._raise_if_ended()
                await asyncio.sleep(0.15)
        self.say(90, self.t("即将就绪…", "Almost there…"))
        return server

    async def _raise_if_ended(self) -> None:
        for each in await self._found():
            if each["State"] in ("exited", "dead"):
                await self._keep_log(each)
                role = each["Labels"][ROLE]
                self.log.error("%s: its %s ended while starting: %s", self._log_name, role, each["Status"])
                zh = {"vault": "保险库", "notebook": "笔记本", "gate": "网关"}[role]
                raise self.failure(
                    f"{zh}启动后随即退出，请联系管理员查看 var/log 中的日志。",
                    f"The {role} stopped while starting. The administrator finds the reason in var/log.",
                )

    async def _keep_log(self, found: dict[str, Any]) -> None:
        """The last words of a container that is about to be removed."""
        text = await self.docker("logs", found["Id"], tail=200)
        path = self.settings.home / "log" / f"{self.user.name}.{self.name}.{found['Labels'][ROLE]}.log"
        await asyncio.to_thread(path.write_bytes, text)

    async def _found(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.docker(
            "containers", all=True, filters={"label": f"{PAIR}={self.pair}"}
        )
        return found

    def _kind_of(self, found: list[dict[str, Any]]) -> Kind:
        """A hub that was restarted reads it off what runs."""
        network_of_its_own = any(each["Labels"][ROLE] != Role.VAULT for each in found)
        return Kind.NOTEBOOK if network_of_its_own else self._kind_by_name

    @property
    def _kind_by_name(self) -> Kind:
        return self.place().kind

    async def _remove(self, grace: int = 0) -> None:
        label = {"label": f"{PAIR}={self.pair}"}
        # Its vault, if it was the one that froze, ends here too.
        await freezer().forget(self.pair)
        await asyncio.to_thread(remove, self.client, label, grace)


# --------------------------------------------------------------------------------- for the launcher


def engine() -> docker.APIClient | None:
    """The engine that this user may use; None where none answers."""
    try:
        client = docker.APIClient(version="auto", timeout=60)
        client.ping()
    except DockerException:
        return None
    return client


def installation(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


def pair_name(home: Path, member: str, server: str) -> str:
    return "sg-" + hashlib.sha256(f"{home}\0{member}\0{server}".encode()).hexdigest()[:16]


def uplink_name(home: Path) -> str:
    return f"sg-uplink-{installation(home)}"


def make_uplink(client: docker.APIClient, settings: Settings) -> None:
    """The network on which vaults and gates reach hub and ledger, and nothing beyond the host. Containers on it
    do not reach each other."""
    name = uplink_name(settings.home)
    if client.networks(names=[name]):
        return
    pool = settings.pool
    client.create_network(
        name,
        driver="bridge",
        internal=True,
        options={"com.docker.network.bridge.enable_icc": "false"},
        ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=str(pool.uplink), gateway=str(pool.services))]),
        labels={INSTALLATION: installation(settings.home)},
    )


def missing_images(client: docker.APIClient) -> list[str]:
    return sorted(set(IMAGES.values()) - _images(client))


def has_image(client: docker.APIClient, name: str) -> bool:
    return name in _images(client)


def _images(client: docker.APIClient) -> set[str]:
    return {tag.partition(":")[0] for image in client.images() for tag in image["RepoTags"] or ()}


def try_a_container(client: docker.APIClient, settings: Settings) -> None:
    """Runs a notebook's container, in which nothing is started, with a folder of ours in it. Raises DockerException
    where the engine cannot: one that answers may lack a limit, or not see this machine's files."""
    mark = settings.home / "run" / "engine"
    (mark / "seen").mkdir(parents=True, exist_ok=True)
    mark.chmod(0o755)
    container = Container(
        Role.NOTEBOOK,
        f"{uplink_name(settings.home)}-trial",
        ["/usr/bin/test", "-d", "/samples/seen"],
        {},
        {INSTALLATION: installation(settings.home)},
        mounts=[read_only(mark, "/samples")],
    )
    host_config = client.create_host_config(**container.host_config(uplink_name(settings.home)))
    host_config["MaskedPaths"] = container.masked
    uid = uid_of(container.role)
    created = client.create_container(
        image=IMAGES[container.role],
        name=container.name,
        command=container.command,
        labels=dict(container.labels),
        user=f"{uid}:{uid}",
        host_config=host_config,
    )
    try:
        client.start(created["Id"])
        if (status := client.wait(created["Id"], timeout=30)["StatusCode"]) != 0:
            raise DockerException(f"a container does not see {mark}: {status}")
    finally:
        _remove_container(client, created["Id"], 0)


def sweep(client: docker.APIClient, home: Path) -> None:
    """Remove every container and network of this installation: what a killed hub, or a lost database, left."""
    remove(client, {"label": f"{INSTALLATION}={installation(home)}"}, 0)


def remove(client: docker.APIClient, filters: dict[str, str], grace: int) -> None:
    found = client.containers(all=True, filters=filters)
    with ThreadPoolExecutor(max(1, len(found))) as at_once:
        list(at_once.map(lambda each: _remove_container(client, each["Id"], grace), found))
    for network in client.networks(filters=filters):
        try:
            client.remove_network(network["Id"])
        except NotFound:
            pass


@cache
def freezer() -> Freezer:
    """The hub's one."""
    settings = deployment().settings
    client = engine() if settings.backend == "docker" else None

    async def still(project: str) -> None:
        if client is None:
            raise DockerException("only containers can be frozen")
        await asyncio.to_thread(pause, client, settings.home, project)

    async def on(project: str) -> None:
        if client is not None:
            await asyncio.to_thread(resume, client, settings.home, project)

    return Freezer(still, on)


def pause(client: docker.APIClient, home: Path, project: str) -> None:
    """All notebooks of a project; returns when none of them runs."""
    for each in _notebooks(client, home, project):
        if each["State"] == "running":
            client.pause(each["Id"])
    left = [each["Names"] for each in _notebooks(client, home, project) if each["State"] == "running"]
    if left:
        raise DockerException(f"still running: {left}")


def resume(client: docker.APIClient, home: Path, project: str) -> None:
    for each in _notebooks(client, home, project):
        if each["State"] == "paused":
            _resume(client, each["Id"])


def _resume(client: docker.APIClient, identity: str) -> None:
    try:
        client.unpause(identity)
    except NotFound:
        pass
    except APIError:
        # It has ended, or somebody else was first.
        if client.inspect_container(identity)["State"]["Paused"]:
            raise


def _notebooks(client: docker.APIClient, home: Path, project: str) -> list[dict[str, Any]]:
    labels = [f"{INSTALLATION}={installation(home)}", f"{PROJECT}={project}"]
    found: list[dict[str, Any]] = client.containers(filters={"label": labels})
    return found


def _remove_container(client: docker.APIClient, identity: str, grace: int) -> None:
    try:
        if client.inspect_container(identity)["State"]["Paused"]:
            # The engine ends nothing that is paused.
            _resume(client, identity)
        if grace:
            client.stop(identity, timeout=grace)
        client.remove_container(identity, force=True, v=True)
    except NotFound:
        pass
    except APIError as error:
        # Somebody else is removing it.
        if error.status_code != 409:
            raise


def _roles(kind: Kind) -> list[Role]:
    return [Role.VAULT] if kind is Kind.ANALYSES else [Role.VAULT, Role.GATE, Role.NOTEBOOK]


def _give(path: Path, role: Role) -> None:
    """To the user of that role, with all that lies in it, unless it is theirs already. Links are not followed."""
    uid = uid_of(role)
    if path.stat(follow_symlinks=False).st_uid == uid and role is Role.NOTEBOOK:
        return
    for each in (path, *_below(path)):
        if each.stat(follow_symlinks=False).st_uid != uid:
            os.chown(each, uid, uid, follow_symlinks=False)


def _below(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            yield Path(folder) / name


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code < 500
    except httpx.TransportError:
        return False
