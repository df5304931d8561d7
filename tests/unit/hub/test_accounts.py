"""The hub's accounts: passwords, and what happens to those who guess them."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from hub.accounts import FAILURES_PER_ADDRESS, FAILURES_PER_NAME, LOCKOUT, Accounts, Outcome

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub" / "accounts.sqlite"


def test_a_generated_password_is_told_once_and_works(path: Path) -> None:
    told = Accounts(path).ensure(["lin", "zhao"])
    assert set(told) == {"lin", "zhao"}
    again = Accounts(path)
    assert again.ensure(["lin", "zhao"]) == {}
    assert again.verify("lin", told["lin"], "10.0.0.1", NOW) is Outcome.VERIFIED
    assert again.verify("lin", told["zhao"], "10.0.0.1", NOW) is Outcome.WRONG
    assert again.verify("nobody", "", "10.0.0.1", NOW) is Outcome.WRONG


def test_no_password_is_stored_and_no_one_else_reads_the_file(path: Path) -> None:
    told = Accounts(path).ensure(["lin", "zhao"])
    assert told["lin"].encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as database:
        salts = [row[0] for row in database.execute("SELECT salt FROM accounts")]
    assert len(set(salts)) == 2


def test_a_name_is_locked_after_failures_from_anywhere_and_over_a_restart(path: Path) -> None:
    password = Accounts(path).ensure(["lin"])["lin"]
    for i in range(FAILURES_PER_NAME):
        assert Accounts(path).verify("lin", "guess", f"10.0.0.{i}", NOW) is Outcome.WRONG
    assert Accounts(path).verify("lin", password, "10.9.9.9", NOW) is Outcome.LOCKED
    assert Accounts(path).verify("lin", password, "10.9.9.9", NOW + LOCKOUT) is Outcome.VERIFIED


def test_an_address_is_locked_after_failures_at_any_name(path: Path) -> None:
    accounts = Accounts(path)
    password = accounts.ensure(["lin"])["lin"]
    for i in range(FAILURES_PER_ADDRESS):
        assert accounts.verify(f"name{i}", "guess", "10.0.0.1", NOW) is Outcome.WRONG
    assert accounts.verify("lin", password, "10.0.0.1", NOW) is Outcome.LOCKED
    assert accounts.verify("lin", password, "10.0.0.2", NOW) is Outcome.VERIFIED


def test_success_forgives_the_name(path: Path) -> None:
    accounts = Accounts(path)
    password = accounts.ensure(["lin"])["lin"]
    for _ in range(FAILURES_PER_NAME - 1):
        accounts.verify("lin", "guess", "10.0.0.1", NOW)
    assert accounts.verify("lin", password, "10.0.0.1", NOW) is Outcome.VERIFIED
    assert accounts.verify("lin", "guess", "10.0.0.1", NOW) is Outcome.WRONG


def test_a_new_password_replaces_the_old_one_and_lifts_the_lock(path: Path) -> None:
    accounts = Accounts(path)
    old = accounts.ensure(["lin"])["lin"]
    for _ in range(FAILURES_PER_NAME):
        accounts.verify("lin", "guess", "10.0.0.1", NOW)
    accounts.set_password("lin", "a better one")
    assert accounts.verify("lin", "a better one", "10.0.0.1", NOW) is Outcome.VERIFIED
    assert accounts.verify("lin", old, "10.0.0.1", NOW) is Outcome.WRONG


def test_a_language_once_chosen_is_kept(path: Path) -> None:
    accounts = Accounts(path)
    accounts.ensure(["lin"])
    assert accounts.language("lin") is None
    accounts.set_language("lin", "en")
    assert Accounts(path).language("lin") == "en"
