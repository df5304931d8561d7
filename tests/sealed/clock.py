"""What a notebook can tell of how long its vault works on a question. Runs there, on numpy and Python's own library.

    python clock.py '{"vault": [host, port], "token": …, "again": sql, "cores": [1]}'

Each line of its input is a question. It is asked; until its answer, and a little longer, all that the notebook has is
looked at; and a line {channel: [number, …]} comes back, of the same lengths each time.

counters             by path, how much each number in /proc and /sys moved while the vault worked, and afterwards
busy loop            turns of a loop, on the vault's cores where it is let
caches               nanoseconds of a read of memory
/health, /estimate   seconds that these took, over and over
slot                 when a second question, whose answer is known, was answered
arrival              when the answer came
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

EPSILON = 0.01
"""Of a question: so little that a member's budget buys thousands."""
LOOK = 1.8
"""Seconds from the question on, for which the loop runs and memory is read: at their end one of the two kinds still works."""
SLICE = 0.01
PARTS = 5
ENTRIES = 2**22
"""Of 8 bytes, in the table that is read: more than a core's own caches hold."""
PAUSES = {"/health": 0.03, "/estimate": 0.1}
"""Seconds between two requests of a kind: more of them would take a vault that is not silent the time for its work, since
an estimate works for tens of milliseconds."""
BEFORE = 0.1
"""Seconds before the second question, so that the first has the slot."""
AFTER = 8
"""Requests of a kind once the answer is there."""
LARGEST = 2**16
"""Bytes of a file of counters that are read."""
QUICK = 0.005
"""Seconds to read one, at most: all are read within the question's time."""

NOT_COUNTERS = ("fd", "fdinfo", "map_files", "task")
"""Folders of a process: what is read from its own input is gone."""

Numbers = list[float]


@dataclass(frozen=True)
class Vault:
    host: str
    port: int
    token: str

    def seconds(self, path: str, body: dict[str, Any] | None = None) -> float:
        """Of one request, on a connection of its own. RuntimeError for any answer but the one that is wanted."""
        begun = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            text = json.dumps(body) if body is not None else None
            connection.request("GET" if body is None else "POST", path, text, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {said[:300]!r}")
        return time.perf_counter() - begun


# ---------------------------------------------------------------------------------------- counters


def files() -> Iterator[str]:
    """All that /proc and /sys say of more than other processes, where it can be read."""
    for top in ("/proc", "/proc/self", "/proc/self/net", "/sys"):
        for folder, folders, names in os.walk(top):
            folders[:] = [each for each in folders if not each.isdigit() and each not in NOT_COUNTERS]
            yield from (f"{folder}/{name}" for name in names)


def numbers(path: str) -> Numbers:
    """OSError where it cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return [float(each) for each in re.findall(rb"\d+", os.read(descriptor, LARGEST))]
    finally:
        os.close(descriptor)


def readable(paths: Iterable[str]) -> list[str]:
    found = []
    for path in paths:
        with suppress(OSError):
            begun = time.perf_counter()
            if numbers(path) and time.perf_counter() - begun < QUICK:
                found.append(path)
    return found


def counters(paths: list[str]) -> dict[str, Numbers]:
    found = {}
    for path in paths:
        with suppress(OSError):
            found[path] = numbers(path)
    return found


def moved(*seen: dict[str, Numbers]) -> dict[str, Numbers]:
    """From each to the next, of what has as many numbers in all."""
    return {
        path: [
            after - before
            for one, next_ in pairwise(seen)
            for before, after in zip(one[path], next_[path], strict=True)
        ]
        for path in seen[0]
        if len({len(each.get(path, ())) for each in seen}) == 1
    }


# --------------------------------------------------------------------------------- cores and caches


def look(cores: list[int], to: Connection) -> None:
    """In a process of its own."""
    with suppress(OSError, ValueError):
        os.sched_setaffinity(0, cores)
    random = np.random.default_rng(1)
    table, places = random.integers(0, 2**60, ENTRIES), random.integers(0, ENTRIES, (64, 5_000))
    to.send("ready")
    while to.recv():
        turns: Numbers = []
        reads: Numbers = []
        end = time.monotonic() + LOOK
        while (now := time.monotonic()) < end:
            n, until = 0, now + SLICE
            while time.monotonic() < until:
                n += 1
            turns.append(n)
            begun = time.perf_counter_ns()
            table[places[len(reads) % len(places)]].sum()
            reads.append((time.perf_counter_ns() - begun) / places.shape[1])
        to.send((spread(turns), spread(reads)))


def spread(values: Numbers) -> Numbers:
    """Of the whole and of its parts in turn: as many numbers, however many there are."""
    parts = [float(part.mean()) for part in np.array_split(values, PARTS)]
    return [
        float(np.mean(values)),
        float(np.std(values)),
        *map(float, np.quantile(values, (0, 0.1, 0.5, 0.9, 1))),
        *parts,
    ]


# -------------------------------------------------------------------------------------------- trial


@dataclass(frozen=True)
class Watch:
    vault: Vault
    again: str
    paths: list[str]
    look: Connection
    pool: ThreadPoolExecutor

    def trial(self, sql: str) -> dict[str, Any]:
        answered = threading.Event()
        before = counters(self.paths)
        begun = time.perf_counter()

        def arrival() -> float:
            try:
                self.ask(sql)
            finally:
                answered.set()
            return time.perf_counter() - begun

        def slot() -> float:
            time.sleep(BEFORE)
            self.ask(self.again)
            return time.perf_counter() - begun

        def health() -> float:
            return self.vault.seconds("/health")

        blanks = itertools.count(1)

        def estimate() -> float:
            # Never written the same twice: a plan that is kept would leave the vault hardly anything to do.
            return self.vault.seconds("/v1/estimate", {"sql": sql + " " * next(blanks)})

        self.look.send(True)
        first, second = self.pool.submit(arrival), self.pool.submit(slot)
        repeated = {
            name: self.pool.submit(over_and_over, request, PAUSES[name], answered)
            for name, request in {"/health": health, "/estimate": estimate}.items()
        }
        turns, reads = self.look.recv()
        during = counters(self.paths)
        return {
            "arrival": [first.result()],
            "slot": [second.result(), second.result() - first.result()],
            **{name: found.result() for name, found in repeated.items()},
            "busy loop": turns,
            "caches": reads,
            "counters": moved(before, during, counters(self.paths)),
        }

    def ask(self, sql: str) -> None:
        self.vault.seconds("/v1/query", {"sql": sql, "epsilon": EPSILON})


def over_and_over(request: Callable[[], float], pause: float, answered: threading.Event) -> Numbers:
    """While the answer is not there, and some times after."""
    begun = time.perf_counter()
    early: Numbers = []
    late: Numbers = []
    while not answered.is_set():
        # Those that were asked while one of the two kinds still works, and the others.
        (early if time.perf_counter() - begun < LOOK else late).append(request())
        time.sleep(pause)
    after = [request() for _ in range(AFTER)]
    usual = float(np.median(after))
    return [
        len(early) + len(late),
        early[0],
        *bulk(early),
        *bulk(late),
        # Beside what the same took when nobody worked: a busy machine slows both.
        *(took - usual for took in bulk(early)),
        *after,
    ]


def bulk(values: Numbers) -> Numbers:
    return [float(np.mean(values)), *map(float, np.quantile(values, (0.5, 0.75, 1)))] if values else [0.0] * 4


def main() -> None:
    facts = json.loads(sys.argv[1])
    host, port = facts["vault"]
    here, there = get_context("fork").Pipe()
    get_context("fork").Process(target=look, args=(facts["cores"], there), daemon=True).start()
    here.recv()
    with ThreadPoolExecutor(4) as pool:
        watch = Watch(Vault(host, port, facts["token"]), facts["again"], readable(files()), here, pool)
        watch.ask(watch.again)
        for line in sys.stdin:
            print(json.dumps(watch.trial(line.strip())), flush=True)


if __name__ == "__main__":
    main()
