"""The product on a real engine, two neighbours' sandboxes in it, and containers that lack one protection each."""

from __future__ import annotations

import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.types import IPAMConfig, IPAMPool, Ulimit

from hub.containers import DEFAULT_MASKED, IMAGES, Container, Role, cores, read_only, uid_of
from hub.docker_pair import INDEX, PAIR, engine, installation, missing_images, pair_name, uplink_name
from hub.networks import PairAddresses, Pool
from tests.end_to_end.conftest import Product, environment_of, launch, stop

REQUIRED = "docker" in os.environ.get("SANDBOX_GUARD_REQUIRE", "").split(",")
ATTEMPTS = Path(__file__).with_name("attempts.py")
BRIDGE, OUTWARD = (f"sg-control-{name}-{os.getpid()}" for name in ("bridge", "outward"))
SPARE = 200
"""Index in the pool for the networks of controls, past those that sandboxes take."""

Seen = dict[str, tuple[str, str]]


@cache
def subnet() -> str:
    """Addresses that no network of this engine has, neither an installation's nor what a killed run left, and to which
    this machine has no way already."""
    client = docker_engine()
    taken = [
        IPv4Network(each["Subnet"])
        for network in client.networks()
        for each in network["IPAM"]["Config"] or ()
        if ":" not in each["Subnet"]
    ]
    for line in Path("/proc/net/route").read_text("ascii").splitlines()[1:]:
        to, mask = (int.from_bytes(bytes.fromhex(line.split()[at])[::-1]) for at in (1, 7))
        if mask:
            taken.append(IPv4Network((to, mask.bit_count())))
    pools = [IPv4Network(f"10.{number}.0.0/16") for number in range(232, 252)]
    return str(next(pool for pool in pools if not any(pool.overlaps(each) for each in taken)))


def docker_engine() -> docker.APIClient:
    """Skips the test where no engine answers, or fails it where one is required."""
    client = engine()
    missing = missing_images(client) if client is not None else []
    why = "no Docker engine answers" if client is None else f"make images first: {missing}" if missing else ""
    if why:
        (pytest.fail if REQUIRED else pytest.skip)(why)
    assert client is not None
    return client


# ------------------------------------------------------------------------------------ the product


@dataclass(frozen=True)
class Sandbox:
    member: str
    project: str
    pair: str
    index: int

    @property
    def addresses(self) -> PairAddresses:
        return Pool.of(subnet()).pair(self.index)

    def container(self, role: Role) -> str:
        return f"{self.pair}-{role.value}"


class Hub:
    """What the portal may do at the hub, for the members that have signed in."""

    def __init__(self, product: Product) -> None:
        self.product = product
        token = (product.home / "keys" / "portal-hub.token").read_text("ascii").strip()
        self.token = token
        self.api = httpx.Client(
            base_url=f"{product.address}/hub/api/",
            headers={"Authorization": f"token {token}"},
            trust_env=False,
            timeout=60,
        )

    def sign_in(self, name: str) -> None:
        address = self.product.address
        with httpx.Client(base_url=address, follow_redirects=True, trust_env=False, timeout=60) as browser:
            deadline = time.monotonic() + 120
            while (page := browser.get("/hub/login")).status_code != 200 or "_xsrf" not in page.text:
                assert time.monotonic() < deadline, page.text
                time.sleep(0.5)
            xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert xsrf is not None
            form = {"username": name, "password": self.product.passwords[name], "_xsrf": xsrf[1]}
            assert browser.post("/hub/login", data=form).url.path == "/hub/home"

    def start(self, name: str, server: str) -> None:
        answer = self.api.post(f"users/{name}/servers/{server}")
        assert answer.status_code in (201, 202), answer.text
        deadline = time.monotonic() + 240
        while not self.server(name, server).get("ready"):
            assert self.server(name, server), "the start failed"
            assert time.monotonic() < deadline, "the start took four minutes"
            time.sleep(0.3)

    def stop(self, name: str, server: str) -> None:
        answer = self.api.delete(f"users/{name}/servers/{server}")
        assert answer.status_code in (202, 204), answer.text
        while self.server(name, server):
            time.sleep(0.1)

    def server(self, name: str, server: str) -> dict[str, Any]:
        servers = self.api.get(f"users/{name}").json().get("servers", {})
        return dict(servers.get(server, {}))


@contextmanager
def product_on_docker(home: Path, more: Mapping[str, str] = {}) -> Iterator[Product]:
    environment = {
        **environment_of(home),
        "SANDBOX_GUARD_BACKEND": "docker",
        "SANDBOX_GUARD_HOME_GIB": "1",
        "SANDBOX_GUARD_SUBNET": subnet(),
        **more,
    }
    try:
        # Images that are out of date are made anew first.
        running = launch(environment, patience=600)
        try:
            yield running
        finally:
            stop(running)
    finally:
        client = docker_engine()
        for network in client.networks(names=[uplink_name(home)]):
            _remove(client, network["Id"])


def _remove(client: docker.APIClient, network: str) -> None:
    """The engine may still be at work on a gate that has just gone; where many go at once it forgets the end of one,
    and keeps a network that nobody is on until it is started anew."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(docker.errors.APIError):
            client.remove_network(network)
            return
        time.sleep(1)
    assert not client.inspect_network(network)["Containers"]


def sandbox(client: docker.APIClient, home: Path, member: str, project: str) -> Sandbox:
    name = pair_name(home, member, project)
    (network,) = client.networks(names=[name])
    return Sandbox(member, project, name, int(network["Labels"][INDEX]))


def python_in(container: str, script: str, patience: float) -> subprocess.CompletedProcess[str]:
    """A script in a running notebook. Raises subprocess.TimeoutExpired."""
    return subprocess.run(
        ["docker", "exec", container, "/opt/sandbox-guard/bin/python", "-c", script],
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )


def left_behind(client: docker.APIClient, home: Path) -> list[str]:
    """Containers and networks of sandboxes, by name; the uplink is the product's own."""
    ours = {"label": f"sandbox-guard.installation={installation(home)}"}
    found = [each["Names"][0] for each in client.containers(all=True, filters=ours)]
    return found + [each["Name"] for each in client.networks(filters=ours) if PAIR in each["Labels"]]


# ------------------------------------------------------------------------------------- trying it


SHORT, LONG = 2.0, 30.0
"""Seconds that an attempt waits for a packet: where none should come, and where one should, on a busy machine."""


def tried(container: str, names: Iterable[str], facts: dict[str, Any], patience: float = SHORT) -> Seen:
    """Runs the attempts in a container, as its user, under its protections."""
    order = json.dumps({"names": list(names), "facts": facts, "patience": patience})
    done = subprocess.run(
        ["docker", "exec", "-i", container, "/opt/sandbox-guard/bin/python", "-", order],
        input=ATTEMPTS.read_text("utf-8"),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: (seen[0], seen[1]) for name, seen in json.loads(done.stdout.splitlines()[-1]).items()}


# --------------------------------------------------------------------- what answers on the host


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        if isinstance(self.request, tuple):
            data, connection = self.request
            connection.sendto(b"heard " + data, self.client_address)


class _Names(socketserver.BaseRequestHandler):
    """A name server that answers every name: with it, any question is a way out."""

    def handle(self) -> None:
        data, connection = self.request
        question = data[12:]
        kind = question[question.index(b"\0") + 1 :][:2]
        value = {1: b"\x0a\x09\x08\x07", 16: b"\x02hi"}.get(int.from_bytes(kind), b"\x02hi\0")
        answer = b"\xc0\x0c" + kind + b"\0\x01\0\0\0\x3c" + len(value).to_bytes(2) + value
        end = question.index(b"\0") + 5
        connection.sendto(
            data[:2] + b"\x81\x80\0\x01\0\x01\0\0\0\0" + question[:end] + answer, self.client_address
        )


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address: Any = server.server_address
        yield int(address[1])
    finally:
        server.shutdown()
        server.server_close()


def own_address() -> str:
    """This machine's address towards the world, or that of Docker's bridge where it leads nowhere; no packet is sent."""
    for towards in ("192.0.2.1", "172.17.0.1"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
            probe.connect((towards, 9))
            return str(probe.getsockname()[0])
    raise RuntimeError("this machine has no address but its own loopback")


@contextmanager
def host_services(resolver: str) -> Iterator[dict[str, Any]]:
    """Services of the host on every address, as careless ones are, and a resolver on one."""
    shared = Path(f"/dev/shm/sandbox-guard-test-{os.getpid()}")
    with ExitStack() as stack:
        stack.callback(partial(shared.unlink, missing_ok=True))
        shared.write_text("another's memory")
        shared.chmod(0o644)
        tcp = stack.enter_context(_serving(socketserver.ThreadingTCPServer(("0.0.0.0", 0), _Echo)))
        udp = stack.enter_context(_serving(socketserver.UDPServer(("0.0.0.0", 0), _Echo)))
        stack.enter_context(_serving(socketserver.UDPServer((resolver, 53), _Names)))
        yield {"tcp": tcp, "udp": udp, "outside": own_address(), "shared_memory": shared.name}


# --------------------------------------------------------------------------------------- controls


@dataclass(frozen=True)
class Setting:
    """What a control needs to know of the real sandboxes."""

    client: docker.APIClient
    home: Path
    facts: dict[str, Any]
    own: Sandbox
    neighbour: Sandbox


Change = Callable[[Setting, dict[str, Any]], None]
"""Changes the arguments of `create_container`, in which `host` holds those of `create_host_config`."""


def _user(uid: int) -> str:
    return f"{uid}:{uid}"


def _mounts(setting: Setting, made: dict[str, Any]) -> None:
    (configuration,) = (
        mount["Source"]
        for mount in setting.client.inspect_container(setting.own.container(Role.VAULT))["Mounts"]
        if mount["Destination"].endswith("vault.json")
    )
    made["user"] = _user(0)
    made["host"]["cap_add"] = ["DAC_OVERRIDE"]
    made["host"]["mounts"] = [
        read_only(setting.home / "restricted", "/restricted"),
        read_only(configuration, "/etc/sandbox-guard-vault.json"),
        read_only(setting.home, str(setting.home)),
        read_only("/var/run/docker.sock", "/var/run/docker.sock"),
    ]


def _writable_root(setting: Setting, made: dict[str, Any]) -> None:
    made["user"] = _user(0)
    made["host"]["read_only"] = False


def _host_processes(setting: Setting, made: dict[str, Any]) -> None:
    made["user"] = _user(uid_of(Role.VAULT))
    made["host"]["pid_mode"] = "host"


def _no_seccomp(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["security_opt"] = ["no-new-privileges", "seccomp=unconfined"]


def _shared_memory(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["ipc_mode"] = "host"
    del made["host"]["shm_size"]


def _devices(setting: Setting, made: dict[str, Any]) -> None:
    made["user"] = _user(0)
    made["host"]["cap_add"] = ["SYSLOG"]
    made["host"]["devices"] = ["/dev/kmsg:/dev/kmsg:r"]


def _raw_sockets(setting: Setting, made: dict[str, Any]) -> None:
    made["user"] = _user(0)
    made["host"]["cap_add"] = ["NET_RAW"]


def _network(name: str) -> Change:
    def change(setting: Setting, made: dict[str, Any]) -> None:
        made["host"]["network_mode"] = name

    return change


def _uplink(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["network_mode"] = uplink_name(setting.home)


def _host_network(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["network_mode"] = "host"
    # The host's own could not be set from here.
    del made["host"]["sysctls"], made["hostname"]


def _neighbours_network(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["network_mode"] = setting.neighbour.pair


def _resolver(setting: Setting, made: dict[str, Any]) -> None:
    made["host"]["network_mode"] = OUTWARD
    made["host"]["dns"] = [setting.facts["resolver"]]


def _no_limits(setting: Setting, made: dict[str, Any]) -> None:
    host = made["host"]
    del host["pids_limit"], host["mem_limit"], host["memswap_limit"], host["cpuset_cpus"]
    host["tmpfs"] = {"/tmp": "size=1g"}
    host["ulimits"] = [Ulimit(name="nofile", soft=10_000, hard=10_000)]


def _counters(setting: Setting, made: dict[str, Any]) -> None:
    made["masked"] = list(DEFAULT_MASKED)


CONTROLS: dict[str, Change] = {
    "mounts": _mounts,
    "writable root": _writable_root,
    "host processes": _host_processes,
    "seccomp": _no_seccomp,
    "shared memory": _shared_memory,
    "devices": _devices,
    "raw sockets": _raw_sockets,
    "outward network": _network(OUTWARD),
    "host on the bridge": _network(BRIDGE),
    "uplink": _uplink,
    "host network": _host_network,
    "neighbour's network": _neighbours_network,
    "resolver": _resolver,
    "limits": _no_limits,
    "counters": _counters,
}
"""By name: what is taken away. "stronger token" needs no other container."""


@contextmanager
def control_networks(client: docker.APIClient) -> Iterator[dict[str, str]]:
    """Facts: the host's address on a bridge that has one, and a resolver's on a network that leads out."""
    pool = Pool.of(subnet())
    bridge, outward = pool.pair(SPARE).inner, pool.pair(SPARE + 1).inner
    _make(client, BRIDGE, bridge, internal=True)
    _make(client, OUTWARD, outward, internal=False)
    try:
        yield {"control_gateway": str(bridge[1]), "resolver": str(outward[1])}
    finally:
        for name in (BRIDGE, OUTWARD):
            client.remove_network(name)


def _make(client: docker.APIClient, name: str, network: IPv4Network, *, internal: bool) -> None:
    for old in client.networks(names=[name]):
        client.remove_network(old["Id"])
    pools = [IPAMPool(subnet=str(network), gateway=str(network[1]))]
    client.create_network(name, driver="bridge", internal=internal, ipam=IPAMConfig(pool_configs=pools))


@contextmanager
def control(setting: Setting, change: Change) -> Iterator[str]:
    """A container like the notebook's in all but what is changed; its name."""
    container = f"sg-control-{os.getpid()}"
    base = Container(Role.NOTEBOOK, container, None, {}, {})
    made: dict[str, Any] = {
        "user": _user(uid_of(Role.NOTEBOOK)),
        "hostname": "notebook",
        "host": base.host_config(setting.own.pair),
        "masked": base.masked,
    }
    change(setting, made)
    host_config = setting.client.create_host_config(**made.pop("host"))
    host_config["MaskedPaths"] = made.pop("masked")
    created = setting.client.create_container(
        image=IMAGES[Role.NOTEBOOK], name=container, command=["sleep", "600"], host_config=host_config, **made
    )
    try:
        setting.client.start(created["Id"])
        yield container
    finally:
        setting.client.remove_container(created["Id"], force=True)


def facts_of(setting_home: Path, product: Product, own: Sandbox, neighbour: Sandbox) -> dict[str, Any]:
    client = docker_engine()
    vault = client.inspect_container(own.container(Role.VAULT))
    environment = dict(
        each.partition("=")[::2]
        for each in client.inspect_container(own.container(Role.NOTEBOOK))["Config"]["Env"]
    )
    return {
        "home": str(setting_home),
        "restricted": "/restricted",
        "device": "eth0",
        "hub": "http://gate:8081",
        "own_resolver": "127.0.0.11",
        "processes": 600,
        "member": own.member,
        "neighbour": neighbour.member,
        "neighbours_server": neighbour.project,
        "vault_pid": vault["State"]["Pid"],
        "vault_cores": [int(core) for core in cores(Role.VAULT).split(",")],
        "gateway": str(own.addresses.inner[1]),
        "services": str(Pool.of(subnet()).services),
        "hub_port": int(product.environment["SANDBOX_GUARD_HUB_PORT"]),
        "ledger_port": int(product.environment["SANDBOX_GUARD_LEDGER_PORT"]),
        "their_notebook": [str(neighbour.addresses.notebook), 8888],
        "their_vault": [str(neighbour.addresses.vault), 8080],
        "their_gate": [str(neighbour.addresses.gate), 8081],
        "their_name": neighbour.container(Role.NOTEBOOK),
        "token": environment["JUPYTERHUB_API_TOKEN"],
    }
