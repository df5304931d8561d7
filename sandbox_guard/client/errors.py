"""Everything that can go wrong in the client: the tree of PEP 249, with the guard's own classes in it.

    Warning
    Error
    ├── InterfaceError            the client was used wrongly: a closed cursor, a value that cannot be sent
    └── DatabaseError
        ├── DataError
        ├── OperationalError
        │   ├── Fault             charged, not answered; asking again is free
        │   ├── Unreachable       the vault does not answer
        │   └── Cancelled         the person stopped waiting
        ├── IntegrityError
        ├── InternalError         the vault spoke, but not the contract
        ├── ProgrammingError
        │   └── Refused           not answered, nothing charged: the question has to change
        │       └── Denied        … or the circumstances (budget, access, data); an OperationalError too
        └── NotSupportedError

In a notebook each shows itself in at most eight lines, without a traceback, and still stops "Run All".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from sandbox_guard.client.words import pick, say

LINES: Final = 8


class Warning(Exception):
    """Important warnings. The guard never raises it; PEP 249 asks that it exist."""


class Error(Exception):
    """Base of all errors. A person reads them: no traceback is shown, and the cell fails all the same."""

    def lines(self) -> list[str]:
        """At most eight, in the person's language."""
        return [say("error"), *(str(argument) for argument in self.args)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def _render_traceback_(self) -> list[str]:
        """What IPython prints in place of a traceback."""
        return self.lines()

    def _repr_html_(self) -> str:
        text = "\n".join(self.lines())
        return (
            '<pre style="border-left:4px solid #b3261e;padding:.5em 1em;margin:0;white-space:pre-wrap;'
            f'font-family:var(--jp-code-font-family,monospace)">{escape(text)}</pre>'
        )


class InterfaceError(Error):
    """The client itself was used wrongly."""


class DatabaseError(Error):
    """Anything on the vault's side."""


class DataError(DatabaseError):
    """Problems with the processed data."""


class OperationalError(DatabaseError):
    """The vault's operation, not the program, is at fault."""


class IntegrityError(DatabaseError):
    """Relational integrity is affected. Never raised: nothing can be written."""


class InternalError(DatabaseError):
    """The vault answered outside its contract."""


class ProgrammingError(DatabaseError):
    """The question is wrong."""


class NotSupportedError(DatabaseError):
    """Something that this database does not do."""


class Refused(ProgrammingError):
    """The question is not answered, nothing was charged or read.

    `code`, `line` and `column` (from 1, or None), `instead` (SQL that the guard accepts, or None).
    """

    def __init__(self, body: Mapping[str, Any], sql: str | None = None) -> None:
        super().__init__(body, sql)
        self.body = dict(body)
        self.sql = sql
        self.code: str = body["code"]
        self.line: int | None = body.get("line")
        self.column: int | None = body.get("column")
        self.instead: str | None = body.get("instead")

    @staticmethod
    def of(body: Mapping[str, Any], sql: str | None = None) -> Refused:
        """The class that fits the code: who has to act, the asker or the circumstances."""
        area = str(body["code"]).partition(".")[0]
        return (Denied if area in ("budget", "access", "data") else Refused)(body, sql)

    @property
    def message(self) -> str:
        return pick(self.body["message"])

    @property
    def hint(self) -> str:
        return pick(self.body.get("hint"))

    def lines(self) -> list[str]:
        shown = [f"{say('refused')} · {self.code} · {say('nothing_charged')}", *_wrapped(self.message, 2)]
        shown += self._place()
        hint = [_one_line(say("hint") + self.hint)] if self.hint else []
        if not self.instead:
            shown += hint
        else:
            instead = [line for line in self.instead.splitlines() if line.strip()]
            if len(shown) + len(hint) + 1 + len(instead) <= LINES or len(shown) + 1 + len(instead) > LINES:
                shown += hint  # else the correction, as it was written, says more than the hint
            if len(shown) + 1 + len(instead) <= LINES:
                shown += [say("instead"), *("    " + line for line in instead)]
            else:
                shown += [say("instead") + " " + " ".join(line.strip() for line in instead)]
        return shown[:LINES]

    def _place(self) -> list[str]:
        if self.line is None or self.column is None:
            return []
        written = (self.sql or "").splitlines()
        where = say("at", line=self.line, column=self.column)
        if not 1 <= self.line <= len(written):
            return [where.rstrip(":：")]
        text = written[self.line - 1]
        start = max(0, self.column - 1 - 60)
        cut = text[start : start + 100]
        return [f"{where} {cut}", _blank(f"{where} {cut[: self.column - 1 - start]}") + "^"]


class Denied(Refused, OperationalError):
    """Refused by the circumstances: budget, access or data, not by how the question is written."""


class Notice(OperationalError):
    """A failure with one constant text in the words of the client."""

    title: str
    text: str
    advice: str | None = None

    def lines(self) -> list[str]:
        advice = [say("hint") + say(self.advice)] if self.advice else []
        return [say(self.title), say(self.text), *advice]


class Fault(OperationalError):
    """Charged, and not answered. The charge stays; asking the same again is free."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(body)
        self.body = dict(body)

    def lines(self) -> list[str]:
        return [say("fault"), pick(self.body["message"])]


class Unreachable(Notice):
    """The vault does not answer. What was submitted is never charged twice."""

    title, text, advice = "unreachable", "unreachable_message", "unreachable_hint"


class NoAddress(Unreachable):
    """Nobody said where the vault is."""

    text, advice = "no_address", "no_address_hint"


class NoSamples(Notice):
    """There is no local sample to run on."""

    title, text = "unreachable", "no_samples"


class Cancelled(Notice):
    """The person stopped waiting. What was submitted stays paid, and running it again finishes it."""

    title, text, advice = "cancelled", "cancelled_message", "cancelled_hint"


def _blank(text: str) -> str:
    """As wide as `text`, empty: an ideographic space for each wide character, so that a caret lines up
    in any monospaced font."""
    return "".join("\u3000" if unicodedata.east_asian_width(c) in "WF" else " " for c in text)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _wrapped(text: str, most: int) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) <= most else [_one_line(text)]
