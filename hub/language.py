"""Chinese or English, on every page and in every message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Language = Literal["zh", "en"]
COOKIE = "sandbox-guard-language"
"""Tells the portal, and the sign-in page before it knows who is there."""

CHOSEN = "sandbox-guard-language-chosen"
"""Of somebody not signed in yet, until they are: the other cookie may be the last person's."""

Translate = Callable[[str, str], str]


def language(value: str | None) -> Language:
    return "en" if value == "en" else "zh"


def translator(chosen: Language) -> Translate:
    """`t(zh, en)` as templates and messages use it."""
    return (lambda zh, en: en) if chosen == "en" else (lambda zh, en: zh)
