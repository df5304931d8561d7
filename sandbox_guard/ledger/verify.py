"""Checks an exported log with no trust in whoever runs the ledger.

It stands alone on the standard library and `cryptography`, so that a third party can read this one file and
run it: `python verify.py EXPORT|EVIDENCE.zip PUBLIC_KEY [CHECKPOINT ...]`. The rest of the ledger imports its definitions
of the encoding and of the tree from here, never the other way round.

An export is text, one JSON object a line:

    {"at":…,"facts":{…},"kind":…,"position":0,"prev":…,…}   an entry: these very bytes are the tree's leaf
    {"checkpoint":"…"}                                       a signed checkpoint, after the entry it covers
    {"balances":[…]}                                         last: what the ledger says each budget has spent

Entries are canonical JSON: ASCII, keys sorted, no spaces, no fractions. `prev` is the leaf hash of the entry
before, which lets a single altered entry be named; the tree is that of RFC 6962 section 2.1 over SHA-256; a
checkpoint is a C2SP tlog-checkpoint, a note signed with Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# --------------------------------------------------------------------------- encoding and tree

EMPTY_ROOT = hashlib.sha256(b"").digest()
NO_ENTRY = "0" * 64
"""`prev` of the first entry."""


def canonical(value: object) -> bytes:
    """The one encoding of an entry. Raises TypeError or ValueError for anything but JSON without fractions."""
    _no_fraction(value)
    return _encoder.encode(value).encode("ascii")


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def _no_fraction(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("an entry holds no fractions: two programs may print them differently")
    if isinstance(value, dict):
        for inner in value.values():
            _no_fraction(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _no_fraction(inner)


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass
class Tree:
    """An RFC 6962 tree that grows on the right, kept as its perfect subtrees, the largest first."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; return the inner nodes this completes as (level, index in level, hash)."""
        completed = []
        node, index, level = leaf, self.size, 0
        while index & 1:
            node, index, level = node_hash(self.peaks.pop(), node), index >> 1, level + 1
            completed.append((level, index, node))
        self.peaks.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY_ROOT
        *left, node = self.peaks
        for peak in reversed(left):
            node = node_hash(peak, node)
        return node


def inclusion_holds(leaf: bytes, position: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Does `proof` show that the entry with this leaf hash stands at `position`? (RFC 9162, 2.1.3.2)"""
    if not 0 <= position < size:
        return False
    index, last, node = position, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if index & 1 or index == last:
            node = node_hash(step, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, step)
        index, last = index >> 1, last >> 1
    return last == 0 and node == root


def consistency_holds(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Does `proof` show that the tree of `old_size` is how the larger one began? (RFC 9162, 2.1.4.2)"""
    if not 0 <= old_size <= new_size:
        return False
    if old_size == new_size:
        return not proof and old_root == new_root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    steps = [*([old_root] if old_size & (old_size - 1) == 0 else []), *proof]
    if not steps:
        return False
    index, last = old_size - 1, new_size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, step)
        index, last = index >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


# ------------------------------------------------------------------------------ signed checkpoints


def _decoded(text: str) -> bytes:
    """Of base64, in its one spelling: the last character before the padding has bits that a decoder drops."""
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode() != text:
        raise ValueError("not base64 as it is written")
    return value


@dataclass(frozen=True)
class PublicKey:
    """A note verification key: `<name>+<8 hex digits>+<base64>` as C2SP signed-note has it."""

    name: str
    raw: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n\x01" + self.raw).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([1]) + self.raw).decode()}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Raises ValueError where the text is no such key."""
        name, key_id, encoded = text.strip().split("+", 2)
        raw = _decoded(encoded)
        key = cls(name, raw[1:])
        if raw[:1] != b"\x01" or len(raw) != 33 or key.id.hex() != key_id:
            raise ValueError("not an Ed25519 note key")
        return key


@dataclass(frozen=True)
class Checkpoint:
    """The whole log in a hash: `size` entries under `root`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def note(self, key: PublicKey, signature: bytes) -> str:
        line = base64.b64encode(key.id + signature).decode()
        return f"{self.text()}\n\u2014 {key.name} {line}\n"

    @classmethod
    def open(cls, note: str, key: PublicKey) -> Checkpoint:
        """The checkpoint that `key` signed. Raises ValueError where it did not sign this note."""
        text, separator, signatures = note.partition("\n\n")
        lines = text.split("\n")
        if not separator or len(lines) < 3 or lines[0] != key.name or str(int(lines[1])) != lines[1]:
            raise ValueError("not a checkpoint of this log")
        for line in signatures.splitlines():
            dash, _, rest = line.partition(" ")
            name, _, encoded = rest.partition(" ")
            signed = _decoded(encoded)
            if dash == "\u2014" and name == key.name and signed[:4] == key.id:
                try:
                    Ed25519PublicKey.from_public_bytes(key.raw).verify(signed[4:], f"{text}\n".encode())
                except InvalidSignature as error:
                    raise ValueError("the signature does not belong to this checkpoint") from error
                return cls(lines[0], int(lines[1]), _decoded(lines[2]))
        raise ValueError("not signed by this key")


# ------------------------------------------------------------------------------------- the verdict

REASONS: Mapping[str, tuple[str, str]] = {
    "good": ("日志完整，未被改动。", "The log is whole and unaltered."),
    "unreadable": ("条目不是规范编码。", "The entry is not in the canonical encoding."),
    "altered": ("条目内容被改动。", "The entry was altered."),
    "deleted": ("条目被删除。", "The entry was deleted."),
    "moved": ("条目被调换位置。", "The entry was moved."),
    "inserted": ("条目是后来插入的。", "The entry was inserted."),
    "replayed": ("条目重复出现。", "The entry was replayed."),
    "truncated": ("日志末尾被截断。", "The tail of the log was cut off."),
    "forked": ("日志与已签名的检查点不是同一份。", "The log is not the one that was signed."),
    "unsigned": ("检查点签名无效。", "A checkpoint is not signed by this key."),
    "uncovered": ("没有签名的检查点覆盖全部条目。", "No signed checkpoint covers every entry."),
    "clock": ("条目时间早于前一条目。", "The entry is older than the one before it."),
    "overspent": ("扣减超出预算上限。", "The charge goes over a cap."),
    "miscounted": ("扣减与费用不符。", "What was taken differs from what the entry says it cost."),
    "overlap": (
        "同一组保险库核心在同一时段被预留两次。",
        "The same vault cores are reserved twice at one time.",
    ),
    "early": ("答案早于预留的发布时间离开。", "An answer left before the time that was reserved for it."),
    "second": ("同一扣减出现两次发布或重复的编号。", "A charge or release appears twice."),
    "orphan": ("发布没有对应的扣减。", "A release has no charge."),
    "tables": (
        "数据库中的其他记录与条目不符。",
        "What the database holds beside the log differs from the entry.",
    ),
    "balances": ("余额与扣减之和不符。", "A balance differs from the sum of the charges."),
}
"""Why a log is good or bad, in zh and en."""


@dataclass(frozen=True)
class Verdict:
    """`position` is the first bad entry; where only a range is known, it lies in `position … until`."""

    reason: str
    entries: int
    position: int | None = None
    until: int | None = None
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.reason == "good"

    def sentence(self, language: str = "en") -> str:
        zh, en = REASONS[self.reason]
        where_zh = where_en = ""
        if self.position is not None:
            several = self.until is not None and self.until != self.position
            span = f"{self.position}–{self.until}" if several else f"{self.position}"
            where_zh, where_en = f"条目 {span}：", f"Entry {span}: "
        detail = f" ({self.detail})" if self.detail else ""
        if language == "zh":
            return f"{'是' if self.good else '否'}。{where_zh}{zh}{detail} 共 {self.entries} 条。"
        return f"{'YES' if self.good else 'NO'}. {where_en}{en}{detail} {self.entries} entries."


class _Bad(Exception):
    def __init__(self, reason: str, position: int | None = None, until: int | None = None, detail: str = ""):
        super().__init__(reason)
        self.reason, self.position, self.until, self.detail = reason, position, until, detail


def verify(export: Iterable[str | bytes], public_key: str, checkpoints: Iterable[str] = ()) -> Verdict:
    """Is this export the log that `public_key` signed, with budgets kept, and nothing altered since any of
    `checkpoints` (notes that the auditor kept)?

    What is found first is what is named: places and links of the entries, signatures over all of them, then
    what they mean.
    """
    reading = _Reading()
    try:
        key = PublicKey.parse(public_key)
        misplaced = reading.read(export)
        own = [Checkpoint.open(note, key) for note in reading.notes]
        kept = [Checkpoint.open(note, key) for note in checkpoints]
        _check_entries(reading, own, kept)
        if misplaced is not None:
            raise misplaced
        _check_ends(len(reading.hashes), [*own, *kept])
        if reading.dishonest is not None:
            raise reading.dishonest
        reading.books.compare(reading.balances)
    except _Bad as bad:
        return Verdict(bad.reason, len(reading.hashes), bad.position, bad.until, bad.detail)
    except ValueError as error:
        return Verdict("unsigned", len(reading.hashes), detail=str(error))
    return Verdict("good", len(reading.hashes))


def verify_evidence(bundle: Path, public_key: str | None = None) -> Verdict:
    """Is each entry of a project's evidence bundle one of the log that its checkpoint signs?

    `public_key` is the key as you got it elsewhere; without it, the bundle's own is believed. That no entry of
    the project was left out only the whole log shows.
    """
    with zipfile.ZipFile(bundle) as archive:
        lines = archive.read("entries.jsonl").splitlines()
        note, own_key = (archive.read(name).decode() for name in ("checkpoint.note", "public-key.txt"))
    try:
        checkpoint = Checkpoint.open(note, PublicKey.parse(public_key or own_key))
    except ValueError as error:
        return Verdict("unsigned", len(lines), detail=str(error))
    for line in lines:
        shown = json.loads(line)
        leaf = shown["leaf"].encode("ascii")
        position = json.loads(leaf)["position"]
        proof = [bytes.fromhex(text) for text in shown["proof"]]
        if not inclusion_holds(leaf_hash(leaf), position, checkpoint.size, proof, checkpoint.root):
            return Verdict("altered", len(lines), position, position)
    return Verdict("good", len(lines))


def leaves(export: Iterable[bytes]) -> Iterator[bytes]:
    """The entries among the lines of an export."""
    for line in export:
        value = _parsed(line.rstrip(b"\n"))
        if value is not None and "position" in value:
            yield line.rstrip(b"\n")


def evidence_leaves(bundle: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(bundle) as archive:
        for line in archive.read("entries.jsonl").splitlines():
            yield json.loads(line)["leaf"].encode("ascii")


@dataclass
class _Reading:
    """An export taken apart, up to the first entry that is not where it belongs."""

    hashes: list[bytes] = field(default_factory=list)
    links: list[object] = field(default_factory=list)
    """What each entry says is the hash of the one before."""
    notes: list[str] = field(default_factory=list)
    books: Books = field(default_factory=lambda: Books())  # noqa: PLW0108 - it is defined further down
    dishonest: _Bad | None = None
    """The first entry that no honest ledger writes; told only where the log is the one that was signed."""
    balances: list[dict[str, Any]] | None = None

    def read(self, export: Iterable[str | bytes]) -> _Bad | None:
        """Returns what is wrong with the place or form of the entry at which it stopped."""
        encoded = (line.encode() if isinstance(line, str) else line for line in export)
        lines = (line.rstrip(b"\n") for line in encoded)
        for line in lines:
            value = _parsed(line)
            if value is None:
                return _Bad("unreadable", len(self.hashes))
            if value.keys() == {"checkpoint"}:
                self.notes.append(str(value["checkpoint"]))
            elif value.keys() == {"balances"}:
                self.balances = value["balances"]
            elif not isinstance(value.get("facts"), dict) or type(value.get("position")) is not int:
                return _Bad("unreadable", len(self.hashes))
            elif value["position"] != len(self.hashes):
                return self._misplaced(value["position"], leaf_hash(line), lines)
            else:
                self._enter(value)
                self.links.append(value.get("prev"))
                self.hashes.append(leaf_hash(line))
        return None

    def _enter(self, entry: dict[str, Any]) -> None:
        if self.dishonest is None:
            try:
                self.books.enter(entry)
            except _Bad as bad:
                self.dishonest = bad
            except (KeyError, TypeError, ValueError, AttributeError):
                self.dishonest = _Bad("unreadable", len(self.hashes))

    def _misplaced(self, position: int, digest: bytes, rest: Iterator[bytes]) -> _Bad:
        expected = len(self.hashes)
        following = [value for value in map(_parsed, rest) if value is not None and "position" in value]
        if position > expected:
            moved = any(value["position"] == expected for value in following)
            return _Bad("moved" if moved else "deleted", expected)
        if digest in self.hashes:
            return _Bad("replayed", expected)
        # Two entries of one place: the one that the next entry follows was there first.
        followed = any(value.get("prev") == digest.hex() for value in following[:1])
        return _Bad("inserted", expected - 1 if followed else expected)


def _fraction(text: str) -> None:
    raise ValueError(f"{text} is not a whole number")


_decoder = json.JSONDecoder(parse_float=_fraction, parse_constant=_fraction)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = _decoder.decode(line.decode("ascii"))
        if isinstance(value, dict) and _encoder.encode(value).encode("ascii") == line:
            return value
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _check_entries(reading: _Reading, own: Sequence[Checkpoint], kept: Sequence[Checkpoint]) -> None:
    """The ledger's own checkpoints stand close together and so name one entry; links do, where one entry was
    altered and those after it were not; what was kept elsewhere shows a log that was written anew."""
    rewritten = _mismatch(reading.hashes, own)
    if rewritten is not None and rewritten[0] == rewritten[1]:
        raise _Bad("altered", *rewritten)
    unlinked = _broken_link(reading)
    if unlinked is not None:
        raise _Bad("altered", *unlinked)
    if rewritten is not None:
        raise _Bad("altered", *rewritten)
    forked = _mismatch(reading.hashes, kept)
    if forked is not None:
        raise _Bad("forked", *forked)


def _mismatch(hashes: Sequence[bytes], signed: Sequence[Checkpoint]) -> tuple[int, int] | None:
    """The entries among which is the first that is not what was signed."""
    by_size: dict[int, set[bytes]] = defaultdict(set)
    for checkpoint in signed:
        by_size[checkpoint.size].add(checkpoint.root)
    tree, agreed = Tree(), 0
    for digest in hashes:
        tree.append(digest)
        if tree.size in by_size:
            if by_size[tree.size] != {tree.root()}:
                return agreed, tree.size - 1
            agreed = tree.size
    return None


def _broken_link(reading: _Reading) -> tuple[int, int] | None:
    """An altered entry is not the one that the next names as the one before; one whose own `prev` was altered
    breaks two links. At the last link it could be either."""
    links = reading.links
    follows = [link == digest.hex() for link, digest in zip(links[1:], reading.hashes, strict=False)]
    if links and links[0] != NO_ENTRY:
        return 0, 0
    if all(follows):
        return None
    before = follows.index(False)
    if before + 1 == len(follows):
        return before, before + 1
    return (before, before) if follows[before + 1] else (before + 1, before + 1)


def _check_ends(count: int, signed: Sequence[Checkpoint]) -> None:
    last = max((checkpoint.size for checkpoint in signed), default=0)
    if last > count:
        raise _Bad("truncated", count, last - 1)
    if last < count:
        raise _Bad("uncovered", last, count - 1)


# ----------------------------------------------------------------------------- what entries mean


@dataclass
class Account:
    """One budget, in micro-units (rho 1e-9, delta 1e-15)."""

    cap: tuple[int, int] = (0, 0)
    spent: tuple[int, int] = (0, 0)
    renewed: tuple[int, int] = (0, 0)


@dataclass
class Books:
    """Budgets worked out from the entries alone."""

    accounts: dict[str, Account] = field(default_factory=lambda: defaultdict(Account))
    charges: dict[str, bool] = field(default_factory=dict)
    """Charge to whether it has its release."""
    requests: set[tuple[str, str, str]] = field(default_factory=set)
    lanes: dict[str, str] = field(default_factory=dict)
    """Until when the cores of each host are reserved."""
    due: dict[tuple[str, str], str] = field(default_factory=dict)
    """When the answer of a charge may leave, by charge and member."""
    last_at: str = ""

    def enter(self, entry: Mapping[str, Any]) -> None:
        """Raises `_Bad` at an entry that no honest ledger writes."""
        position = entry["position"]
        if entry["at"] < self.last_at:
            raise _Bad("clock", position)
        self.last_at = entry["at"]
        facts = entry["facts"]
        match entry["kind"]:
            case "policy":
                self._apply(facts)
            case "charge":
                self._charge(entry, facts)
                self._reserve(position, facts)
            case "reserve":
                self._reserve(position, facts)
            case "release":
                self._release(position, facts)
                self._leave(position, facts)
            case "fault":
                self._leave(position, facts)
            case "renew":
                account = self.accounts[facts["account"]]
                account.renewed = _plus(account.renewed, account.spent)
                account.spent = (0, 0)
            case "restore":
                for taken in facts["forfeited"]:
                    account = self.accounts[taken["account"]]
                    account.spent = _plus(account.spent, (taken["rho"], taken["delta"]))

    def _apply(self, facts: Mapping[str, Any]) -> None:
        for account in self.accounts.values():
            account.cap = (0, 0)
        for cap in facts["accounts"]:
            self.accounts[cap["account"]].cap = (cap["rho"], cap["delta"])

    def _charge(self, entry: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        position, charge_id = entry["position"], facts["charge_id"]
        request = (entry["project"], facts["member"], facts["request_id"])
        if charge_id in self.charges or request in self.requests:
            raise _Bad("second", position)
        self.charges[charge_id] = False
        self.requests.add(request)
        due = accounts_charged(facts["member"], entry["project"], facts["spends"])
        taken = {t["account"]: (t["rho"], t["delta"]) for t in facts["accounts"]}
        if taken != due or len(taken) != len(facts["accounts"]):
            raise _Bad("miscounted", position)
        for key, amount in due.items():
            account = self.accounts[key]
            account.spent = _plus(account.spent, amount)
            if min(amount) < 0 or account.spent[0] > account.cap[0] or account.spent[1] > account.cap[1]:
                raise _Bad("overspent", position, detail=key)

    def _reserve(self, position: int, facts: Mapping[str, Any]) -> None:
        if facts.get("claim") is None:
            return
        lane, start, end = facts["claim"]["lane"], facts["starts_at"], facts["releases_at"]
        if start < self.lanes.get(lane, "") or end <= start:
            raise _Bad("overlap", position)
        self.lanes[lane] = end
        self.due[facts["charge_id"], facts["member"]] = end

    def _leave(self, position: int, facts: Mapping[str, Any]) -> None:
        due = self.due.get((facts["charge_id"], facts["member"]))
        if due is not None and facts["released_at"] < due:
            raise _Bad("early", position)

    def _release(self, position: int, facts: Mapping[str, Any]) -> None:
        charge_id = facts["charge_id"]
        if charge_id not in self.charges:
            raise _Bad("orphan", position)
        if self.charges[charge_id]:
            raise _Bad("second", position)
        self.charges[charge_id] = True

    def compare(self, balances: Sequence[Mapping[str, Any]] | None) -> None:
        """Do the balances that the ledger states equal these?"""
        if balances is None:
            return
        stated = {
            b["account"]: Account(
                (b["cap_rho"], b["cap_delta"]),
                (b["spent_rho"], b["spent_delta"]),
                (b["renewed_rho"], b["renewed_delta"]),
            )
            for b in balances
        }
        for key in sorted(stated.keys() | self.accounts.keys()):
            if stated.get(key, Account()) != self.accounts.get(key, Account()):
                raise _Bad("balances", detail=key)


def accounts_charged(
    member: str, project: str, spends: Iterable[Mapping[str, Any]]
) -> dict[str, tuple[int, int]]:
    """What each account pays: a population, a project and a member the whole cost over that population, each
    dataset its own part."""
    due: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for spend in spends:
        population, cost = spend["population"], (spend["cost"]["rho"], spend["cost"]["delta"])
        for key in (
            account_key("population", population),
            account_key("project", project, population),
            account_key("member", member, project, population),
        ):
            due[key] = _plus(due[key], cost)
        for dataset, part in spend["datasets"].items():
            key = account_key("dataset", dataset, population)
            due[key] = _plus(due[key], (part["rho"], part["delta"]))
    return dict(due)


def account_key(level: str, *names: str) -> str:
    """`population/firms`, `dataset/loan/firms`, `project/p1/firms`, `member/alice/p1/firms`."""
    if any("/" in name or not name for name in names):
        raise ValueError("names of accounts are not empty and hold no '/'")
    return "/".join((level, *names))


def _plus(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return left[0] + right[0], left[1] + right[1]


def main() -> int:
    if len(sys.argv) < 3:
        print("usage: verify.py EXPORT|EVIDENCE.zip PUBLIC_KEY [CHECKPOINT ...]", file=sys.stderr)
        return 2
    export, key, *kept = (Path(argument) for argument in sys.argv[1:])
    if export.suffix == ".zip":
        verdict = verify_evidence(export, key.read_text("utf-8"))
    else:
        with export.open("rb") as lines:
            verdict = verify(lines, key.read_text("utf-8"), [path.read_text("utf-8") for path in kept])
    print(verdict.sentence())
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
