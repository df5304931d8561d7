"""How fast the ledger is, with durable commits: charges in process and over HTTP, verification, proofs.

Each function measures one thing and returns it; `report` prints all. Nothing here needs restricted data.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import uvicorn

from bench.machine import machine, written
from sandbox_guard.ledger.remote import RemoteLedger
from sandbox_guard.ledger.service import SWITCH, create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import (
    NO_ENTRY,
    Checkpoint,
    Tree,
    canonical,
    inclusion_holds,
    leaf_hash,
    verify,
)
from sandbox_guard.ledger.wire import Ledger
from tests.ledgers import ACT, ALICE, open_ledger, request, terms
from tests.postgres import cluster

WRITERS = 16
PLENTY = 10**12


def opened(url: str, folder: Path) -> LedgerStore:
    ledger = open_ledger(url, folder)
    ledger.apply(terms(population=PLENTY, dataset=PLENTY, project=PLENTY, member=PLENTY), ACT)
    return ledger


def charges_per_second(ledgers: list[Ledger], seconds: float = 5.0) -> float:
    """By `WRITERS` threads, each with its own ledger if there are as many, for so long."""
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> int:
        ledger, done = ledgers[writer % len(ledgers)], 0
        start.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            ledger.charge(ALICE, request(rho=1))
            done += 1
        return done

    with ThreadPoolExecutor(WRITERS) as pool:
        return sum(pool.map(write, range(WRITERS))) / seconds


def charges_in_process(url: str, folder: Path, seconds: float = 5.0) -> float:
    with closing(opened(url, folder)) as ledger:
        return charges_per_second([ledger], seconds)


def charges_over_http(url: str, folder: Path, seconds: float = 5.0) -> float:
    """The service in a process of its own, as it is deployed; each writer has its connection and its mark."""
    ledger = opened(url, folder)
    token = ledger.open_sandbox(ALICE, "hub").token
    ledger.close()
    serve = f"from bench.ledger import serve; serve({url!r}, {str(folder)!r})"
    with subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout is not None
            address = service.stdout.readline().strip()
            with ExitStack() as stack:
                remotes: list[Ledger] = [
                    stack.enter_context(closing(RemoteLedger(address, token, mark=folder / f"{n}.mark")))
                    for n in range(WRITERS)
                ]
                return charges_per_second(remotes, seconds)
        finally:
            service.terminate()


def serve(url: str, folder: str) -> None:
    """Run the service on a free port, as its `main` does, and print its address."""
    sys.setswitchinterval(SWITCH)
    app = create_app(open_ledger(url, Path(folder)), {}, Path(folder) / "checkpoints")
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False)
    )

    def tell() -> None:
        while not server.started:
            time.sleep(0.01)
        print(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", flush=True)

    threading.Thread(target=tell).start()
    server.run()


def long_log(folder: Path, entries: int) -> tuple[Path, str]:
    """An export of so many charges, made without a database, and its public key."""
    ledger = opened(f"sqlite:///{folder}/short.sqlite", folder)
    ledger.charge(ALICE, request(rho=1))
    policy, charge = (json.loads(line) for line in ledger.export() if '"position":' in line)
    signer, path = ledger.signer, folder / "long.jsonl"
    tree, prev = Tree(), NO_ENTRY
    with path.open("wb") as file:
        for position in range(entries):
            entry = dict(charge if position else policy, position=position, prev=prev)
            if position:
                facts = charge["facts"]
                entry["facts"] = {**facts, "charge_id": f"{position:032x}", "request_id": f"r-{position:08}"}
            leaf = canonical(entry)
            file.write(leaf + b"\n")
            tree.append(digest := leaf_hash(leaf))
            prev = digest.hex()
            if tree.size % 256 == 0 or tree.size == entries:
                note = signer.note(tree.size, tree.root(), signer.sign(tree.size, tree.root()))
                file.write(canonical({"checkpoint": note}) + b"\n")
    ledger.close()
    return path, str(signer.public)


def verification_seconds(folder: Path, entries: int = 10**6) -> float:
    path, key = long_log(folder, entries)
    start = time.perf_counter()
    with path.open("rb") as lines:
        verdict = verify(lines, key)
    assert verdict.good, verdict
    return time.perf_counter() - start


def inclusion_proof(folder: Path, entries: int = 2000) -> tuple[int, float, float]:
    """Hashes in a proof, milliseconds to make and to check one."""
    with closing(opened(f"sqlite:///{folder}/proofs.sqlite", folder)) as ledger:
        for _ in range(entries - 1):
            ledger.charge(ALICE, request(rho=1))
        size = ledger.size
        root = Checkpoint.open(ledger.checkpoint(), ledger.signer.public).root
        start = time.perf_counter()
        proof = [bytes.fromhex(text) for text in ledger.inclusion_proof(size // 3, size)]
        made = time.perf_counter()
        leaf = bytes.fromhex(ledger.mark_of(size // 3).leaf_hash)
        checked_from = time.perf_counter()
        assert inclusion_holds(leaf, size // 3, size, proof, root)
        return len(proof), (made - start) * 1e3, (time.perf_counter() - checked_from) * 1e3


def report(entries: int = 10**6, seconds: float = 5.0) -> Iterator[str]:
    """Lines for `make bench`."""

    def fresh() -> Path:
        return Path(tempfile.mkdtemp(prefix="bench-ledger-"))

    def both(measure: Callable[[str, Path, float], float], name: str, due: tuple[int, int]) -> Iterator[str]:
        folder = fresh()
        rate = measure(f"sqlite:///{folder}/ledger.sqlite", folder, seconds)
        yield f"{name}, SQLite: {rate:.0f} charges a second (due: {due[0]})"
        with cluster() as server:
            rate = measure(server.database(), fresh(), seconds)
        yield f"{name}, PostgreSQL: {rate:.0f} charges a second (due: {due[1]})"

    yield from both(charges_in_process, f"{WRITERS} writers in process", (200, 400))
    yield from both(charges_over_http, f"{WRITERS} writers over HTTP", (150, 150))
    yield f"verification of {entries:,} entries: {verification_seconds(fresh(), entries):.1f} s (due: 60)"
    size, made, checked = inclusion_proof(fresh())
    yield f"inclusion proof: {size} hashes, made in {made:.2f} ms, checked in {checked:.3f} ms"


def main() -> None:
    """Print the lines; with the name of a file, write them there too."""
    lines = []
    for line in report():
        print(line, flush=True)
        lines.append(line)
    for name in sys.argv[1:]:
        head = (
            f"# How fast the ledger is\n\n{written('make bench-report', machine())}. Commits are durable.\n\n"
        )
        Path(name).write_text(head + "".join(f"- {line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
