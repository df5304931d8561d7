"""Everything that can go wrong for an analyst, and nothing else.

    GuardError
    ├── Refused    decided from SQL, policy and ledger alone, before restricted data is read
    │              code · message (zh, en) · hint (zh, en) · place in the SQL · SQL to write instead
    └── Fault      anything after an engine has started, a time-out too: one constant message

There is no third class. A `Refused` may quote what the analyst wrote and what policy says, since
both are known to them; it never quotes an engine. A `Fault` says nothing at all, because whatever
an engine says may depend on a row.

The texts stand in `refusals.yaml`, one entry a code, so that translators and the documentation
read the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import yaml


@dataclass(frozen=True)
class Text:
    """One message in both languages."""

    zh: str
    en: str

    def as_dict(self) -> dict[str, str]:
        return {"zh": self.zh, "en": self.en}


@dataclass(frozen=True)
class Place:
    """Where in the analyst's SQL, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Refusal:
    """One entry of `refusals.yaml`: templates for `str.format_map`."""

    code: str
    message: Text
    hint: Text | None


@cache
def refusals() -> Mapping[str, Refusal]:
    """Every refusal there is, by code."""
    table = yaml.safe_load(files("sandbox_guard").joinpath("refusals.yaml").read_text("utf-8"))
    return {
        code: Refusal(
            code,
            Text(entry["zh"], entry["en"]),
            Text(entry["hint"]["zh"], entry["hint"]["en"]) if "hint" in entry else None,
        )
        for code, entry in table.items()
    }


class GuardError(Exception):
    """Base of the two classes below."""


class Refused(GuardError):
    """The question is not answered, and nothing was charged or read.

    `facts` fill the templates of the code's entry; they come from the SQL, the policy or the ledger.
    `instead` is SQL that the guard accepts, where one can be offered.
    """

    def __init__(
        self, code: str, *, place: Place | None = None, instead: str | None = None, **facts: Any
    ) -> None:
        entry = refusals()[code]
        self.code = code
        self.place = place
        self.instead = instead
        self.facts = facts
        self.message = _filled(entry.message, facts)
        self.hint = _filled(entry.hint, facts) if entry.hint else None
        super().__init__(f"{code}: {self.message.en}")

    def at(self, place: Place | None) -> Refused:
        """The same refusal, placed, unless it has a place already."""
        if self.place is None:
            self.place = place
        return self

    def as_dict(self) -> dict[str, Any]:
        """The form in which it crosses HTTP and is logged."""
        return {
            "code": self.code,
            "message": self.message.as_dict(),
            "hint": self.hint.as_dict() if self.hint else None,
            "line": self.place.line if self.place else None,
            "column": self.place.column if self.place else None,
            "instead": self.instead,
            "field": self.facts.get("parameter"),
        }

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Refused:
        """What `as_dict` made, on the other side of HTTP. Raises KeyError for a code there is not."""
        entry, hint = refusals()[form["code"]], form["hint"]
        refused = cls.__new__(cls)
        refused.code, refused.facts, refused.instead = entry.code, {}, form["instead"]
        refused.place = Place(form["line"], form["column"]) if form["line"] is not None else None
        refused.message, refused.hint = Text(**form["message"]), Text(**hint) if hint else None
        GuardError.__init__(refused, f"{refused.code}: {refused.message.en}")
        return refused


class Fault(GuardError):
    """The question was charged and could not be answered. The charge stays; asking again is free."""

    MESSAGE: ClassVar[Text] = Text(
        "查询已计费，但未能得出结果。再次提交同一问题不会重复计费；若仍失败，请联系数据管理员。",
        "The question was charged but could not be answered. Asking it again costs nothing more; "
        "if it fails again, ask the steward.",
    )

    def __init__(self) -> None:
        super().__init__(self.MESSAGE.en)

    def as_dict(self) -> dict[str, Any]:
        return {"code": "fault", "message": self.MESSAGE.as_dict()}


def _filled(text: Text, facts: Mapping[str, Any]) -> Text:
    return Text(text.zh.format_map(facts), text.en.format_map(facts))
