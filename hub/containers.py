"""What each container of a sandbox is: image, limits, hardening, mounts. Pure data, so that it can be read and tested.

| role     | runs                | sees                                                        | networks       |
|----------|---------------------|-------------------------------------------------------------|----------------|
| notebook | the member's code   | its home, the project's folder, samples                     | inner          |
| vault    | the guard           | granted datasets and policies, read-only; its configuration | inner, uplink  |
| gate     | two relays          | nothing                                                     | inner, uplink  |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from hub import seccomp

MIB = 2**20


class Role(StrEnum):
    NOTEBOOK = "notebook"
    VAULT = "vault"
    GATE = "gate"


@dataclass(frozen=True)
class Limits:
    memory: int
    """Bytes, swap and temporary files included."""
    processes: int
    """Threads too."""
    temporary: int
    """Bytes of /tmp, and as many of the home where that is temporary."""


LIMITS: Mapping[Role, Limits] = {
    Role.NOTEBOOK: Limits(memory=2048 * MIB, processes=256, temporary=256 * MIB),
    Role.VAULT: Limits(memory=6144 * MIB, processes=256, temporary=1024 * MIB),
    Role.GATE: Limits(memory=128 * MIB, processes=16, temporary=1 * MIB),
}

IMAGES: Mapping[Role, str] = {
    Role.NOTEBOOK: "sandbox-guard/notebook",
    Role.VAULT: "sandbox-guard/vault",
    Role.GATE: "sandbox-guard/vault",
}

_UIDS: Mapping[Role, int] = {Role.NOTEBOOK: 10001, Role.VAULT: 10002, Role.GATE: 10003}

DEFAULT_MASKED = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
"""What Docker masks by itself; naming any path replaces its list."""

_IN_PROC = """
    stat loadavg meminfo vmstat zoneinfo buddyinfo pagetypeinfo slabinfo interrupts softirqs schedstat diskstats
    partitions pressure uptime swaps locks key-users crypto modules cgroups vmallocinfo iomem ioports mtrr
    kpagecount kpageflags kpagecgroup sysvipc driver fs tty bus sysrq-trigger
    sys/fs sys/vm sys/kernel/random sys/kernel/pty
"""

HOST_COUNTERS = (*(f"/proc/{name}" for name in _IN_PROC.split()), "/sys")
"""Counters of the whole host that move while a vault works: a notebook reads none of them."""

PROCESSORS = Path("/sys/devices/system/cpu")

CORES = "SANDBOX_GUARD_CORES"
"""Environment variable: the cores that are divided, such as 0-3,6, for a process that itself keeps to some of them."""


@dataclass(frozen=True)
class Container:
    """One container, before the engine knows it."""

    role: Role
    name: str
    command: list[str] | None
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: list[Mount] = field(default_factory=list)
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Names in /etc/hosts: nothing is looked up in DNS."""

    def host_config(self, network: str) -> dict[str, Any]:
        """Arguments for docker-py's `create_host_config`; the masked paths are `masked`, which it does not know."""
        limits = LIMITS[self.role]
        uid = uid_of(self.role)
        own = f"uid={uid},gid={uid},mode=0700,nosuid,nodev"
        return {
            "network_mode": network,
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": [
                "no-new-privileges",
                f"seccomp={seccomp.profile(trusted=self.role is not Role.NOTEBOOK)}",
            ],
            "pids_limit": limits.processes,
            "mem_limit": limits.memory,
            "memswap_limit": limits.memory,
            "cpuset_cpus": cores(self.role),
            # A sandbox that uses all its memory is ended before anything of the host is.
            "oom_score_adj": 500,
            "shm_size": 64 * MIB,
            "tmpfs": {
                "/tmp": f"size={limits.temporary},{own}",
                **({"/home/guard": f"size={16 * MIB},{own}"} if self.role is not Role.NOTEBOOK else {}),
            },
            "ulimits": [
                Ulimit(name="nofile", soft=4096, hard=4096),
                Ulimit(name="core", soft=0, hard=0),
            ],
            "mounts": self.mounts,
            "extra_hosts": dict(self.hosts),
            # Queries that Docker's resolver cannot answer itself go nowhere.
            "dns": ["127.0.0.1"],
            "dns_search": ["."],
            "sysctls": {
                # No packet passes through a container that stands in two networks, and none is IPv6.
                "net.ipv4.ip_forward": "0",
                "net.ipv4.conf.all.accept_source_route": "0",
                "net.ipv6.conf.all.disable_ipv6": "1",
                "net.ipv6.conf.default.disable_ipv6": "1",
            },
            "ipc_mode": "private",
            "init": True,
            "log_config": LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
        }

    @property
    def masked(self) -> list[str]:
        return [*DEFAULT_MASKED, *(HOST_COUNTERS if self.role is Role.NOTEBOOK else ())]


def uid_of(role: Role) -> int:
    """Never root. A hub that runs as a plain user owns the files, so its containers run as that user."""
    return _UIDS[role] if os.geteuid() == 0 else os.geteuid()


def cores(role: Role) -> str:
    """Of all cores, the upper half are for vaults, the lower for what members run: what a vault does is not to be felt
    in a notebook. The threads of one core, which slow each other, stay on one side where there
    are two cores. On a single thread there is nothing to divide."""
    usable = divided()
    core = {number: _core(number) for number in usable}
    if len(set(core.values())) == 1:
        core = {number: number for number in usable}
    ordered = sorted(set(core.values()))
    half = len(ordered) // 2
    mine = ordered[half:] if role is Role.VAULT or half == 0 else ordered[:half]
    return ",".join(str(number) for number in usable if core[number] in mine)


def divided() -> list[int]:
    """The cores that vaults and all others divide: those that this process was told of, else that it may use."""
    told = os.environ.get(CORES)
    return sorted(_listed(told) if told else os.sched_getaffinity(0))


def of_services() -> set[int]:
    """The cores that the product's own services keep to. One that ran wherever it is quiet would leave the vaults' for
    the notebooks' whenever a vault works, and a loop in a notebook would feel it come."""
    return _listed(cores(Role.NOTEBOOK))


def _listed(text: str) -> set[int]:
    """As kernel and engine write them: 0-3,6."""
    ends = [part.partition("-") for part in text.split(",")]
    return {number for first, _, last in ends for number in range(int(first), int(last or first) + 1)}


def _core(number: int) -> int:
    """The first thread of the core of which this is one; itself where the kernel does not say."""
    with suppress(OSError, ValueError):
        siblings = PROCESSORS / f"cpu{number}" / "topology" / "thread_siblings_list"
        return int(re.split("[,-]", siblings.read_text("ascii"))[0])
    return number


def read_only(source: Path | str, target: str) -> Mount:
    return Mount(target=target, source=str(source), type="bind", read_only=True)


def writable(source: Path | str, target: str) -> Mount:
    return Mount(target=target, source=str(source), type="bind")
