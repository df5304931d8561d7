"""A vault that lacks a seal of time, in the container of the real one and beside it. Runs there until its input ends.

python unsealed.py PORT work               its cores rest when the work is done, as in the two below: a core that works on
                                           until the release seals by itself most of what others do
python unsealed.py PORT "release time"     answers leave, and the slot is free, when the work is done
python unsealed.py PORT silence            other requests are answered meanwhile
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox_guard import vault
from sandbox_guard.ledger.wire import Reserved
from sandbox_guard.window import Unlimited, Window, Windows


class Untimed(Windows):
    """As in tests.costs, which is not there."""

    @contextmanager
    def open(self, reserved: Reserved | None) -> Iterator[Window | Unlimited]:
        yield Unlimited(self.timeout)


def resting(timeout: float, reserved: bool, cores: int) -> Windows:
    return Windows(timeout, reserved)


class Talking(vault.Silence):
    async def _kept(self) -> None:
        pass


INSTEAD: dict[str, dict[str, object]] = {
    "work": {"Windows": resting},
    "release time": {"Windows": Untimed},
    "silence": {"Windows": resting, "Silence": Talking},
}


def until_the_input_ends() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    port, seal = sys.argv[1:]
    for name, other in INSTEAD[seal].items():
        setattr(vault, name, other)
    config = json.loads(Path(os.environ["SANDBOX_GUARD_VAULT_CONFIG"]).read_text("utf-8"))
    config["listen"]["port"] = int(port)
    changed = Path("/tmp") / f"{port}.json"
    changed.write_text(json.dumps(config), "utf-8")
    os.environ["SANDBOX_GUARD_VAULT_CONFIG"] = str(changed)
    threading.Thread(target=until_the_input_ends, daemon=True).start()
    vault.main()


if __name__ == "__main__":
    main()
