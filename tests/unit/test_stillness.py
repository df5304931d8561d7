"""A project whose notebooks are to stand still gets no answer where they do not (`freeze: true`)."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox_guard.stillness import Frozen
from tests import firms
from tests.ports import free_port
from tests.seam import Bench, bench

QUESTION = "SELECT count(*) FROM loans"
DATA = {
    "loans": [
        {
            "firm_id": 7,
            "loan_id": 1,
            "district": "Alder",
            "industry": "Energy",
            "year": 2020,
            "amount": 1000.0,
            "rate": 3.5,
            "overdue_days": 5,
            "defaulted": "true",
        }
    ],
    "firms": [
        {
            "firm_id": 7,
            "name": "Firm 7",
            "district": "Alder",
            "employees": 17,
            "founded": dt.date(1999, 12, 31),
            "esg_score": 31.4,
        }
    ],
    "districts": firms.districts(),
}


@contextmanager
def hub(*, held: bool) -> Iterator[tuple[Frozen, list[str]]]:
    """An answer of the hub's to both calls, and what was called."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            called.append(f"{self.command} {self.headers['Authorization']}")
            said = json.dumps({"frozen": True, "held": held}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_DELETE = do_PUT

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Frozen(f"http://127.0.0.1:{server.server_port}/", "the key"), called
        server.shutdown()
        thread.join()


@pytest.fixture
def ready() -> Iterator[Bench]:
    with bench(firms.policies(50, 50), DATA) as ready:
        yield ready


@pytest.mark.parametrize("url", ["", f"http://127.0.0.1:{free_port()}/"], ids=["nowhere", "no hub"])
def test_where_they_cannot_be_frozen_nothing_is_charged_and_nothing_read(ready: Bench, url: str) -> None:
    ready.guard.notebooks = Frozen(url, "the key")
    seen = ready.ask(QUESTION, epsilon=0.5)
    assert (seen.status, seen.code) == ("refused", "access.not_frozen")
    assert not seen.charged
    assert not seen.measured


def test_they_are_frozen_before_the_charge_and_go_on_after_it(ready: Bench) -> None:
    with hub(held=True) as (ready.guard.notebooks, called):
        assert ready.ask(QUESTION, epsilon=0.5).status == "answered"
        assert called == ["PUT Bearer the key", "DELETE Bearer the key"]
        # What was released before is read by no one, and freezes no one.
        assert ready.ask(QUESTION, epsilon=0.5).status == "answered"
        assert ready.ask("SELECT count(*) FROM districts").status == "answered"
        assert len(called) == 2


def test_an_answer_during_which_one_ran_is_never_shown(ready: Bench) -> None:
    with hub(held=False) as (ready.guard.notebooks, called):
        seen = ready.ask(QUESTION, epsilon=0.5)
        assert (seen.status, len(seen.charged), len(called)) == ("fault", 1, 2)
    with hub(held=True) as (ready.guard.notebooks, called):
        again = ready.ask(QUESTION, epsilon=0.5)
        # Asked again, it is finished under the charge that was made.
        assert (again.status, len(again.charged), len(called)) == ("answered", 0, 2)
