"""Twelve sandboxes at once, on a real engine: how soon they start and answer, and what they weigh.

The product as `make run` starts it, with one project of twelve members. Each has its own pair; all are started at
once, asked at once, and looked at. Nothing here asserts speed: it prints. `python -m bench.sandboxes` does this alone.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import docker
import yaml
from rich.console import Console
from rich.table import Table

from hub.containers import Role
from hub.docker_pair import engine, missing_images
from tests.end_to_end.conftest import ROOT
from tests.sealed.sandboxes import Hub, Sandbox, product_on_docker, python_in, sandbox

MEMBERS = 12
PROJECT = "credit-inclusion"
PAUSE = 3.0
"""Seconds before a Fault is asked again, as a member would: on a machine that does other things a release is missed."""
ASK = f"""
import sys
import time
from sandbox_guard import client as guard
for attempt in range(5):
    try:
        print(attempt, guard.sql("SELECT count(*) AS firms FROM ent").iloc[0, 0])
        break
    except Exception as error:
        print(attempt, error, file=sys.stderr)
        time.sleep({PAUSE})
"""


@dataclass(frozen=True)
class Together:
    """Of all members, in seconds and MiB."""

    starts: list[float]
    all_started: float
    answers: list[float]
    asked_again: int
    memory: dict[Role, list[float]]
    stop: float


def why_not() -> str:
    """Empty, or why there are no sandboxes to be measured here."""
    client = engine()
    if client is None:
        return "沙箱未测：没有可用的 Docker 引擎 / sandboxes are not measured: no Docker engine answers"
    missing = missing_images(client)
    names = ", ".join(missing)
    return (
        f"沙箱未测：缺少镜像 {names} / sandboxes are not measured: make images first, {names}"
        if missing
        else ""
    )


def together() -> Together:
    """Raises RuntimeError where somebody gets no answer."""
    client = engine()
    assert client is not None
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        names = [f"m{number:02}" for number in range(MEMBERS)]
        policies = Path(folder) / "policies"
        _with_members(policies, names)
        home = Path(folder) / "var"
        with product_on_docker(home, {"SANDBOX_GUARD_POLICIES": str(policies)}) as product:
            hub = Hub(product)
            for name in names:
                hub.sign_in(name)
            with ThreadPoolExecutor(MEMBERS) as pool:
                begun = time.perf_counter()
                starts = list(pool.map(lambda name: _seconds(lambda: _start(hub, name)), names))
                all_started = time.perf_counter() - begun
                pairs = [sandbox(client, home, name, PROJECT) for name in names]
                answered = list(pool.map(_ask, pairs))
                memory = {role: [_memory(client, pair.container(role)) for pair in pairs] for role in Role}
                begun = time.perf_counter()
                list(pool.map(lambda name: hub.stop(name, PROJECT), names))
                stop = time.perf_counter() - begun
        return Together(
            starts,
            all_started,
            [seconds for seconds, _ in answered],
            sum(again for _, again in answered),
            memory,
            stop,
        )


def table(found: Together) -> Table:
    shown = Table(title=f"{MEMBERS} sandboxes at once on Docker (min / median / max)")
    shown.add_column("")
    shown.add_column("", justify="right")
    shown.add_row("start, s", _spread(found.starts))
    shown.add_row("all started after, s", f"{found.all_started:.1f}")
    shown.add_row("first answer when all ask at once, s", _spread(found.answers))
    shown.add_row("asked again", str(found.asked_again))
    for role, each in found.memory.items():
        shown.add_row(f"memory of a {role}, MiB", _spread(each))
    shown.add_row("memory of all, MiB", f"{sum(map(sum, found.memory.values())):.0f}")
    shown.add_row("all stopped after, s", f"{found.stop:.1f}")
    return shown


def _with_members(policies: Path, names: list[str]) -> None:
    """The policies of the demo, with twelve researchers in one project."""
    shutil.copytree(ROOT / "policies", policies)
    people = policies / "people.yaml"
    described = yaml.safe_load(people.read_text("utf-8"))
    person = {"organisation": "bench", "language": "en"}
    described.update({name: {"title": name, **person} for name in names})
    people.write_text(yaml.safe_dump(described, allow_unicode=True, sort_keys=False), "utf-8")
    project = policies / "projects" / f"{PROJECT}.yaml"
    described = yaml.safe_load(project.read_text("utf-8"))
    described["members"] = dict.fromkeys(names, "researcher")
    project.write_text(yaml.safe_dump(described, allow_unicode=True, sort_keys=False), "utf-8")


def _start(hub: Hub, name: str) -> None:
    """As a browser does: the hub starts some at a time, and asks the others to come again."""
    while (status := hub.api.post(f"users/{name}/servers/{PROJECT}").status_code) == 429:
        time.sleep(1)
    if status not in (201, 202):
        raise RuntimeError(f"{name} was not started: {status}")
    while not (server := hub.server(name, PROJECT)).get("ready"):
        if not server:
            raise RuntimeError(f"the start of {name} failed")
        time.sleep(0.3)


def _seconds(work: object) -> float:
    assert callable(work)
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _ask(pair: Sandbox) -> tuple[float, int]:
    """Until the answer, the client's start included; how often it was asked again."""
    begun = time.perf_counter()
    done = python_in(pair.container(Role.NOTEBOOK), ASK, patience=300)
    if done.returncode != 0 or not done.stdout:
        raise RuntimeError(f"{pair.member} got no answer: {done.stderr[-500:]}")
    return time.perf_counter() - begun, int(done.stdout.split()[0])


def _memory(client: docker.APIClient, container: str) -> float:
    """Without what the kernel may drop at once."""
    stats = client.stats(container, stream=False)["memory_stats"]
    inactive = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
    return float(stats["usage"] - inactive) / 2**20


def _spread(values: list[float]) -> str:
    return f"{min(values):.1f} / {median(values):.1f} / {max(values):.1f}"


if __name__ == "__main__":
    Console().print(why_not() or table(together()))
