"""Which backend runs the sandboxes: the one that SANDBOX_GUARD_BACKEND names, else the best that this machine has.

| backend | needs                                                          | what it seals                  |
|---------|----------------------------------------------------------------|--------------------------------|
| docker  | an engine that answers, and images or what they are made from  | what is tried from inside      |
| bubblewrap | bwrap, libseccomp and a kernel that lets them              | the same, less what its decision names |
| process | nothing                                                        | nothing, and says so everywhere |

A backend counts as there when it has been tried, not when its program is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import docker
from docker.errors import DockerException

from hub import bubblewrap, docker_pair
from hub.filter import program
from hub.settings import ROOT, Settings

Say = Callable[[str, str], AbstractContextManager[object]]
"""Shows that something takes its time, in zh and en."""


class Unavailable(Exception):
    """Why this machine does not have a backend, in zh and en."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True)
class Backend:
    title: tuple[str, str]
    """What people are told that sandboxes are, in zh and en."""
    prepare: Callable[[Settings, Say], None]
    """Leaves this machine ready for it, or raises Unavailable."""


def choose(settings: Settings, say: Say) -> tuple[Settings, list[Unavailable]]:
    """The settings with a backend that works here, and why none before it was taken. Raises Unavailable where the
    backend that was asked for is not to be had: a weaker one is then nobody's wish."""
    if settings.backend:
        if settings.backend not in BACKENDS:
            known = ", ".join(BACKENDS)
            raise Unavailable(
                f"SANDBOX_GUARD_BACKEND={settings.backend}：可选 {known}。",
                f"SANDBOX_GUARD_BACKEND={settings.backend}: choose one of {known}.",
            )
        BACKENDS[settings.backend].prepare(settings, say)
        return settings, []
    passed_over = []
    for name, backend in BACKENDS.items():
        chosen = replace(settings, backend=name)
        try:
            backend.prepare(chosen, say)
        except Unavailable as reason:
            passed_over.append(reason)
        else:
            return chosen, passed_over
    raise AssertionError("the process backend needs nothing")


# ------------------------------------------------------------------------------------------ docker


def _docker(settings: Settings, say: Say) -> None:
    """The images of today's sources, away with what a killed run left, and the network on which a relay listens.
    Then a container with all protections is started once: an engine that answers may still run none."""
    client = docker_pair.engine()
    if client is None:
        raise Unavailable("没有可用的 Docker 引擎", "no Docker engine answers")
    failed = _bring_images_up_to_date(client, say)
    missing = docker_pair.missing_images(client)
    if missing:
        names = ", ".join(missing)
        raise Unavailable(
            f"缺少镜像 {names}：先运行 make images{failed}", f"no images {names}: make images first{failed}"
        )
    try:
        docker_pair.sweep(client, settings.home)
        docker_pair.make_uplink(client, settings)
        docker_pair.try_a_container(client, settings)
    except DockerException as error:
        reason = str(error)[:300]
        raise Unavailable(
            f"Docker 引擎未能运行沙箱容器（{reason}）", f"the Docker engine cannot run a sandbox ({reason})"
        ) from error


def _bring_images_up_to_date(client: docker.APIClient, say: Say) -> str:
    """Makes what is missing or out of date, where this user can; else the images there are do. Returns the last
    words of a build that failed, for the message about missing ones."""
    base = os.environ.get("BASE") or docker_pair.has_image(client, "sandbox-guard/base")
    if not base and not (os.geteuid() == 0 and shutil.which("debootstrap")):
        return ""
    with say("正在核对容器镜像（首次制作需几分钟）…", "Checking the images (the first time takes minutes)…"):
        made = subprocess.run(
            [ROOT / "images" / "build.sh", "notebook", "vault"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    return "" if made.returncode == 0 else "\n" + "\n".join(made.stdout.splitlines()[-5:])


# -------------------------------------------------------------------------------------- bubblewrap


def _bubblewrap(settings: Settings, say: Say) -> None:
    try:
        filter = settings.home / "run" / "trial.filter"
        filter.write_bytes(program(trusted=False, affinity=False))
        reason = bubblewrap.available(filter)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        raise Unavailable(f"bubblewrap 不可用（{reason}）", f"bubblewrap cannot be used ({reason})")


# ----------------------------------------------------------------------------------------- process


def _process(settings: Settings, say: Say) -> None:
    pass


BACKENDS: dict[str, Backend] = {
    "docker": Backend(("Docker 容器", "Docker containers"), _docker),
    "bubblewrap": Backend(("bubblewrap 隔离的进程", "processes walled in by bubblewrap"), _bubblewrap),
    "process": Backend(
        ("本机进程，隔离很弱，仅供试用", "local processes, which isolate little: for trying out only"),
        _process,
    ),
}
"""The best first."""
