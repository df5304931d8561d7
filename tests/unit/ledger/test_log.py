"""The tree, its proofs and its notes."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.log import Signer
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import (
    Checkpoint,
    PublicKey,
    Tree,
    canonical,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
)
from tests.ledgers import ACT, open_ledger

# Leaves and roots of the test data of Certificate Transparency's reference trees.
CT_LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_tree_is_that_of_rfc_6962() -> None:
    tree = Tree()
    assert tree.root() == hashlib.sha256(b"").digest()
    for leaf, root in zip(CT_LEAVES, CT_ROOTS, strict=True):
        tree.append(leaf_hash(leaf))
        assert tree.root().hex() == root


def test_proofs_hold_at_every_size_and_no_other_does(tmp_path: Path) -> None:
    store = open_ledger(f"sqlite:///{tmp_path}/l.sqlite", tmp_path)
    roots, hashes = [Tree().root()], []
    tree = Tree()
    for serial in range(21):
        store.record_load("loan", f"{serial}-ab", ACT)
    for line in list(store.export()):
        if line.startswith('{"actor"'):
            hashes.append(leaf_hash(line.rstrip("\n").encode()))
            tree.append(hashes[-1])
            roots.append(tree.root())
    for size in range(1, 22):
        assert Checkpoint.open(store.checkpoint(size), store.signer.public).root == roots[size]
        for position in range(size):
            proof = [bytes.fromhex(h) for h in store.inclusion_proof(position, size)]
            assert inclusion_holds(hashes[position], position, size, proof, roots[size])
            assert not inclusion_holds(hashes[position - 1], position, size, proof, roots[size]) or size == 1
            assert not inclusion_holds(hashes[position], position, size, [*proof, roots[1]], roots[size])
        for old in range(size + 1):
            proof = [bytes.fromhex(h) for h in store.consistency_proof(old, size)]
            assert consistency_holds(old, size, roots[old], roots[size], proof)
            if 0 < old < size:
                assert not consistency_holds(old, size, roots[old - 1], roots[size], proof)
                assert not consistency_holds(old, size, roots[old], roots[size - 1], proof)


def test_a_proof_of_what_is_not_there_is_refused(ledger: LedgerStore) -> None:
    with pytest.raises(ValueError, match="no such entry"):
        ledger.inclusion_proof(1, 1)
    with pytest.raises(ValueError, match="no such sizes"):
        ledger.consistency_proof(0, 2)
    with pytest.raises(ValueError, match="never had that size"):
        ledger.checkpoint(5)


def test_the_key_is_made_once_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "ledger.pem"
    assert Signer.at(path).public == Signer.at(path).public
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_note_has_the_form_of_c2sp(tmp_path: Path) -> None:
    signer = Signer.at(tmp_path / "k")
    root = hashlib.sha256(b"").digest()
    note = signer.note(0, root, signer.sign(0, root))
    origin, size, encoded, empty, signature, end = note.split("\n")
    assert (origin, size, empty, end) == (signer.origin, "0", "", "")
    assert base64.b64decode(encoded) == root
    dash, name, blob = signature.split(" ")
    assert (dash, name) == ("—", signer.origin)
    assert (
        base64.b64decode(blob)[:4]
        == hashlib.sha256(name.encode() + b"\n\x01" + signer.public.raw).digest()[:4]
    )
    assert PublicKey.parse(str(signer.public)) == signer.public
    assert Checkpoint.open(note, signer.public) == Checkpoint(origin, 0, root)


@pytest.mark.parametrize("change", ["size", "root", "signature", "name"])
def test_a_note_that_was_changed_is_not_opened(tmp_path: Path, change: str) -> None:
    signer = Signer.at(tmp_path / "k")
    root = hashlib.sha256(b"").digest()
    note = signer.note(10, root, signer.sign(10, root))
    changed = {
        "size": note.replace("\n10\n", "\n11\n"),
        "root": note.replace("47DEQ", "48DEQ"),
        "signature": note[:-4] + ("AA=\n" if not note.endswith("AA=\n") else "BB=\n"),
        "name": note.replace("— sandbox", "— Sandbox"),
    }[change]
    assert changed != note
    with pytest.raises(ValueError):  # noqa: PT011 - any of several words
        Checkpoint.open(changed, signer.public)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_the_encoding_is_ascii_and_one_to_one(value: object) -> None:
    import json

    encoded = canonical(value)
    assert encoded.isascii()
    assert json.loads(encoded) == value
    assert canonical(json.loads(encoded)) == encoded


@pytest.mark.parametrize("value", [1.5, {"a": [0.0]}, float("nan")])
def test_fractions_are_not_encoded(value: object) -> None:
    with pytest.raises(TypeError):
        canonical(value)


def test_a_reader_neither_waits_for_a_writer_nor_sees_half(ledger: LedgerStore) -> None:
    with reading(ledger.engine) as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM entries").scalar()
        ledger.record_load("loan", "9-ab", ACT)
        assert connection.exec_driver_sql("SELECT count(*) FROM entries").scalar() == before
