"""What a notebook feels of the caches and the memory that it shares with a vault. Runs there, by numpy.

python chase.py        each line "sample <until>" on its input: a line of [[when, nanoseconds], …]
python chase.py work   each line "<seconds>": goes through memory for so long, then a line back
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

ENTRIES = 2**22
"""Of 8 bytes: more than a core's own caches hold."""


def main() -> None:
    if sys.argv[1:] == ["work"]:
        memory = np.zeros(2**24)
        for line in sys.stdin:
            until = time.monotonic() + float(line)
            while time.monotonic() < until:
                np.add(memory, 1.0, out=memory)
            print("done", flush=True)
        return
    random = np.random.default_rng(1)
    table, places = random.integers(0, 2**60, ENTRIES), random.integers(0, ENTRIES, (64, 10_000))
    for line in sys.stdin:
        until = float(line)
        samples: list[tuple[float, float]] = []
        while (now := time.monotonic()) < until:
            begun = time.perf_counter_ns()
            table[places[len(samples) % len(places)]].sum()
            samples.append((now, (time.perf_counter_ns() - begun) / 10_000))
        print(json.dumps(samples), flush=True)


if __name__ == "__main__":
    main()
