"""What every container of a sandbox is held to, read off its definition. That it holds: tests/guarantees."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hub import containers, seccomp
from hub.containers import Container, Role


def config(role: Role) -> dict[str, object]:
    return Container(role, "x", None, {}, {}).host_config("n")


@pytest.mark.parametrize("role", Role)
def test_every_role_is_hardened(role: Role) -> None:
    host = config(role)
    assert host["read_only"] is True
    assert host["cap_drop"] == ["ALL"]
    assert host["mem_limit"] == host["memswap_limit"]
    assert host["pids_limit"]
    assert host["dns"] == ["127.0.0.1"]
    security = host["security_opt"]
    assert isinstance(security, list)
    assert security[0] == "no-new-privileges"
    assert json.loads(security[1].removeprefix("seccomp="))["defaultAction"] == "SCMP_ACT_ERRNO"
    assert containers.uid_of(role) != 0


def test_notebooks_and_vaults_share_no_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (2, 3, 8):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=number: set(range(n)))
        notebooks, vaults = (set(containers.cores(r).split(",")) for r in (Role.NOTEBOOK, Role.VAULT))
        assert notebooks and vaults and not notebooks & vaults


@pytest.mark.parametrize(
    ("siblings", "notebooks", "vaults"),
    [
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "0,1", "2,3"),
        # As most machines number them: first all cores, then the second thread of each.
        (
            {0: "0,4", 1: "1,5", 2: "2,6", 3: "3,7", 4: "0,4", 5: "1,5", 6: "2,6", 7: "3,7"},
            "0,1,4,5",
            "2,3,6,7",
        ),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, "0,1", "2,3"),
        ({0: "0-1", 1: "0-1"}, "0", "1"),
    ],
)
def test_the_threads_of_one_core_stay_together(
    siblings: dict[int, str], notebooks: str, vaults: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, together in siblings.items():
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{together}\n", "ascii")
    monkeypatch.setattr(containers, "PROCESSORS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(siblings))
    assert (containers.cores(Role.NOTEBOOK), containers.cores(Role.VAULT)) == (notebooks, vaults)


def test_services_keep_off_the_vaults_cores_and_divide_them_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(containers, "PROCESSORS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    vaults = containers.cores(Role.VAULT)
    own = containers.of_services()
    assert own and own.isdisjoint(map(int, vaults.split(",")))
    # As in a hub that was started so.
    monkeypatch.setenv(containers.CORES, "0-2,3")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: own)
    assert containers.cores(Role.VAULT) == vaults


def test_only_notebooks_are_kept_from_the_hosts_counters() -> None:
    notebook, vault = (json.loads(seccomp.profile(trusted=trusted)) for trusted in (False, True))

    def allowed(profile: dict[str, object]) -> set[str]:
        rules = profile["syscalls"]
        assert isinstance(rules, list)
        return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}

    assert allowed(vault) - allowed(notebook) == {"sysinfo"}
    assert "/proc/stat" in Container(Role.NOTEBOOK, "x", None, {}, {}).masked
    assert "/proc/stat" not in Container(Role.VAULT, "x", None, {}, {}).masked
