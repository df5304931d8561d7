"""Makes the files beside it: a small log, and every way to tamper with it. `python -m tests.vectors.log.make`.

The files are committed, so that a change of the encoding shows; `cases.json` says what the verifier must find.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import NO_ENTRY, canonical, leaf_hash
from sandbox_guard.ledger.wire import RefusalReport
from tests.ledgers import ACT, ALICE, BOB, open_ledger, question, request, terms

HERE = Path(__file__).parent
Lines = list[str]


def history(store: LedgerStore, first_sql: str) -> None:
    """Entries 0 to 9."""
    store.apply(terms(), ACT)
    store.record_load("loan", "1-00ff", ACT)
    charge = store.charge(ALICE, request(question("rate"), sql=first_sql))
    store.publish(ALICE, charge.charge_id, '{"rows":[12]}')
    store.find(BOB, question("rate"))
    report = RefusalReport(request_id="refused-1", sql="SELECT *", code="kind.rows", policy_digest="a" * 64)
    store.refuse(BOB, report)
    second = store.charge(BOB, request(question("mean"), rho=25, delta=3))
    store.fault(BOB, second.charge_id)
    store.publish(BOB, second.charge_id, '{"rows":[34]}')
    store.renew("member/bob/credit/firms", ACT)


def leaves(lines: Lines) -> Lines:
    return [line for line in lines if '"position":' in line]


def others(lines: Lines) -> Lines:
    return [line for line in lines if '"position":' not in line]


def edited(line: str, **changes: Any) -> str:
    return canonical({**json.loads(line), **changes}).decode() + "\n"


def chained(entries: Lines) -> Lines:
    """Numbered and linked anew, as an operator with the database would."""
    done: Lines = []
    for position, line in enumerate(entries):
        prev = leaf_hash(done[-1].rstrip("\n").encode()).hex() if done else NO_ENTRY
        done.append(edited(line, position=position, prev=prev))
    return done


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_ledger(f"sqlite:///{folder}/one.sqlite", Path(folder))
        history(store, "SELECT avg(dpd90) FROM loan")
        fork = open_ledger(f"sqlite:///{folder}/two.sqlite", Path(folder))
        history(fork, "SELECT max(balance) FROM loan")
        good, forked = list(store.export()), list(fork.export())
        (HERE / "public-key.txt").write_text(store.public_key + "\n")
        (HERE / "older.note").write_text(store.checkpoint(5))
        (HERE / "whole.note").write_text(store.checkpoint())
    entries, rest = leaves(good), others(good)
    charge, amount = entries[2], '"rho":10'
    assert amount in charge
    cheaper = charge.replace(amount, '"rho":11')
    intruder = edited(
        entries[4], position=5, prev=leaf_hash(entries[4].rstrip("\n").encode()).hex(), actor="mallory"
    )
    unsigned = [line for line in rest if "balances" in line]
    balances = rest[-1].replace('"spent_rho":35', '"spent_rho":34', 1)
    assert balances != rest[-1]
    both = ["older.note", "whole.note"]
    cases: dict[str, tuple[Lines, list[str], str, int | None, int | None]] = {
        "good": (good, both, "good", None, None),
        "changed-byte": ([*entries[:2], cheaper, *entries[3:], *rest], [], "altered", 2, 2),
        "changed-byte-no-checkpoints": ([*entries[:2], cheaper, *entries[3:], *unsigned], both, "altered", 2, 2),
        "changed-byte-of-the-last": ([*entries[:9], edited(entries[9], actor="mallory"), *rest], [], "altered", 9, 9),
        "changed-link": ([*entries[:4], edited(entries[4], prev="0" * 64), *entries[5:], *rest], [], "altered", 4, 4),
        "changed-and-chained-anew": ([*chained([*entries[:2], cheaper, *entries[3:]]), *rest], [], "altered", 2, 2),
        "changed-and-chained-anew-no-checkpoints": (
            [*chained([*entries[:2], cheaper, *entries[3:]]), *unsigned], both, "forked", 0, 4,
        ),
        "not-canonical": ([*entries[:3], entries[3].replace(":", ": ", 1), *entries[4:], *rest], [], "unreadable", 3, None),
        "deleted": ([*entries[:5], *entries[6:], *rest], [], "deleted", 5, None),
        "deleted-and-chained-anew": ([*chained([*entries[:5], *entries[6:]]), *rest], both, "altered", 5, 5),
        "swapped": ([*entries[:3], entries[4], entries[3], *entries[5:], *rest], [], "moved", 3, None),
        "swapped-and-numbered-anew": (
            [*entries[:3], edited(entries[4], position=3), edited(entries[3], position=4), *entries[5:], *rest],
            [], "altered", 3, 3,
        ),
        "inserted": ([*entries[:5], intruder, *entries[5:], *rest], [], "inserted", 5, None),
        "inserted-and-chained-anew": ([*chained([*entries[:5], intruder, *entries[5:]]), *rest], both, "altered", 5, 5),
        "replayed": ([*entries[:4], entries[2], *entries[4:], *rest], [], "replayed", 4, None),
        "replayed-and-chained-anew": ([*chained([*entries[:4], entries[2], *entries[4:]]), *rest], both, "altered", 4, 4),
        "truncated": ([*entries[:7], *unsigned], both, "truncated", 7, 9),
        "forked": (forked, both, "forked", 0, 4),
        "no-checkpoint": ([*entries, *unsigned], [], "uncovered", 0, 9),
        "older-checkpoint-only": ([*entries, *unsigned], ["older.note"], "uncovered", 5, 9),
        "changed-balance": ([*entries, *rest[:-1], balances], [], "balances", None, None),
    }  # fmt: skip
    for name, (lines, *_) in cases.items():
        (HERE / f"{name}.jsonl").write_text("".join(lines))
    table = [
        {
            "file": f"{name}.jsonl",
            "checkpoints": notes,
            "reason": reason,
            "position": position,
            "until": until,
        }
        for name, (_, notes, reason, position, until) in cases.items()
    ]
    (HERE / "cases.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
