"""From the analyst's text to lexemes: everything that is decided before a grammar looks at it.

The language accepted here is our own and narrower than DuckDB's: bytes are UTF-8, bounded in size and
nesting; outside string literals there is nothing invisible; operators and words with another meaning
elsewhere do not exist. A lexeme that two readers could cut differently (`1e5-3`, `1__0`, `x!`, `E'…'`)
is cut here once or refused, so no later reader has a choice.
"""

from __future__ import annotations

import bisect
import datetime as dt
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql.syntax import Scalar_


@dataclass(frozen=True)
class Limits:
    """What a text may be at most. Beyond it the text is refused before it is parsed."""

    size: int = 65_536
    """Bytes of UTF-8."""
    lexemes: int = 16_000
    nesting: int = 100
    """Levels of brackets, CASE and prefix operators."""
    chain: int = 400
    """Height of the tree: `a + a + …` and UNION chains are as high as they are long."""
    name: int = 255
    """Characters of an identifier."""


class Kind(Enum):
    WORD = "word"
    QUOTED = "quoted"
    VALUE = "value"
    """A literal or a bound parameter; `value` holds it."""
    STRING = "string"
    SYMBOL = "symbol"


@dataclass(frozen=True)
class Lexeme:
    kind: Kind
    text: str
    """As typed; of words the identifier, of quoted ones without the quotes."""
    start: int
    end: int
    place: Place
    value: Scalar_ = None

    @property
    def word(self) -> str:
        """Lower case, for comparing with keywords; empty for everything but bare words."""
        return self.text.lower() if self.kind is Kind.WORD else ""

    def is_symbol(self, *symbols: str) -> bool:
        return self.kind is Kind.SYMBOL and self.text in symbols


_LEXEME = re.compile(
    r"""
    (?P<blank>[\s]+)
  | (?P<line>--[^\n]*)
  | (?P<block>/\*.*?\*/)
  | (?P<string>'(?:[^']|'')*')
  | (?P<dollar>\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<number>(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d]\w*)
  | (?P<operator>[-+*/%^<>=!|&~@#?`$\\:{}]+)
  | (?P<mark>[.,;()\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)

_OPERATORS = {
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "^",
    "**",
    "=",
    "==",
    "<>",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "||",
    "::",
    ":",
}
_OPERATOR_SIGN_COLON = re.compile(r"(==|=|<>|!=|<=|>=|<|>|\|\||//|/|\*\*|\*|%|\^|\+|-|:)([+-])?(:)?")
"""`year>=-:x`: an operator, the sign of its operand, the colon of a parameter."""
_ADVICE = {
    "!": ("请写 NOT，或用函数 factorial(x)。", "Write NOT, or the function factorial(x)."),
    "~": (
        "请写 regexp_matches(x, '…')；按位运算不支持。",
        "Write regexp_matches(x, '…'); bits are not supported.",
    ),
    "->": ("JSON 与 lambda 不支持。", "JSON and lambdas are not supported."),
    "$": ("参数请写作 :name。", "Write parameters as :name."),
    "?": ("参数请写作 :name。", "Write parameters as :name."),
    "{": ("结构体不支持；请直接写列。", "Structs are not supported; name the columns."),
    "@": ("请写 abs(x)。", "Write abs(x)."),
    "=>": ("请按位置写参数。", "Give arguments by position."),
    ":=": ("请按位置写参数。", "Give arguments by position."),
}
_NO_OPERATOR = ("请改用 + - * / // % ^ || 与比较运算符，或同义的函数。",
                "Use + - * / // % ^ || and comparisons, or a function that does the same.")  # fmt: skip


def decode(sql: str | bytes, limits: Limits) -> str:
    """The text, if it is UTF-8 and not too long."""
    try:
        data = sql if isinstance(sql, bytes) else sql.encode("utf-8")
        if len(data) > limits.size:
            raise Refused("sql.size", size=len(data), limit=limits.size)
        return data.decode("utf-8")
    except UnicodeError:
        raise Refused("sql.encoding") from None


def scan(text: str, limits: Limits) -> list[Lexeme]:
    """All lexemes, comments and blanks left out, the trailing `;` too."""
    place = _Places(text)
    lexemes: list[Lexeme] = []
    at = 0
    while at < len(text):
        match = _LEXEME.match(text, at)
        if match is None or (match.lastgroup == "blank" and not _only_spaces(match[0])):
            raise _stray(text, at, place)
        lexemes.extend(_lexemes(match, text, place, limits))
        at = match.end()
        if len(lexemes) > limits.lexemes:
            raise Refused("sql.too_long", limit=limits.lexemes)
    while lexemes and lexemes[-1].is_symbol(";"):
        lexemes.pop()
    _one_statement(lexemes)
    _check_nesting(lexemes, limits)
    return lexemes


class _Places:
    def __init__(self, text: str) -> None:
        self._lines = [0] + [match.end() for match in re.finditer("\n", text)]

    def __call__(self, at: int) -> Place:
        line = bisect.bisect_right(self._lines, at) - 1
        return Place(line + 1, at - self._lines[line] + 1)


def _only_spaces(blank: str) -> bool:
    return all(c in " \t\r\n" or unicodedata.category(c) == "Zs" for c in blank)


def _visible(text: str, start: int, place: _Places) -> None:
    """Refuse characters that are not what they look like, or look like nothing."""
    for at, c in enumerate(text):
        if c not in "\t\r\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            raise Refused("sql.character", place=place(start + at), character=f"U+{ord(c):04X}")


def _stray(text: str, at: int, place: _Places) -> Refused:
    for opening in ("'", '"', "/*", "$"):
        if text.startswith(opening, at) and (opening != "$" or re.match(r"\$[A-Za-z_]*\$", text[at:])):
            return Refused("sql.unterminated", place=place(at), opening=opening)
    while at < len(text) and _only_spaces(text[at]):
        at += 1
    c = text[at] if at < len(text) else " "
    if narrowed(c) != c:
        return Refused("sql.fullwidth", place=place(at), character=c, plain=narrowed(c))
    return Refused("sql.character", place=place(at), character=f"U+{ord(c):04X}")


def narrowed(text: str) -> str:
    """With each full-width character or variant of an ASCII one as that one."""
    return "".join(_narrow(c) for c in text)


def _narrow(c: str) -> str:
    plain = _PLAIN.get(c) or unicodedata.normalize("NFKC", c)
    return plain if plain.isascii() else c


_PLAIN = {
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "【": "[",
    "】": "]",
    "。": ".",
    "、": ",",
    "《": ",",
    "》": ",",
}


def _lexemes(match: re.Match[str], text: str, place: _Places, limits: Limits) -> Sequence[Lexeme]:
    kind, found, start, end = match.lastgroup, match[0], match.start(), match.end()
    here = place(start)
    if kind == "blank":
        return ()
    if kind in ("line", "block"):
        _visible(found, start, place)
        if "/*" in found[2:] and kind == "block":
            raise Refused("sql.unsupported", place=here, what="/* /* */ */", **NO_NESTED_COMMENT)
        return ()
    if kind == "string":
        return (Lexeme(Kind.STRING, found, start, end, here, _string(found[1:-1].replace("''", "'"), here)),)
    if kind == "dollar":
        tag = len(match["tag"]) + 2
        return (Lexeme(Kind.STRING, found, start, end, here, _string(found[tag:-tag], here)),)
    if kind == "quoted":
        name = found[1:-1].replace('""', '"')
        for c in name:
            if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
                raise Refused("sql.character", place=here, character=f"U+{ord(c):04X}")
        _check_name(name, here, limits)
        return (Lexeme(Kind.QUOTED, name, start, end, here),)
    if kind == "word":
        if unicodedata.normalize("NFKC", found) != found or not found.isidentifier():
            raise Refused("sql.identifier", place=here, plain=unicodedata.normalize("NFKC", found)[:80])
        _visible(found, start, place)
        _check_name(found, here, limits)
        if (
            len(found) <= 2
            and text.startswith(("'", '"'), end)
            and found.lower() in ("e", "x", "b", "n", "u")
        ):
            raise Refused("sql.unsupported", place=here, what=f"{found}'…'", **PLAIN_STRING)
        return (Lexeme(Kind.WORD, found, start, end, here),)
    if kind == "number":
        following = text[end : end + 1]
        if following.isalnum() or following in ("_", ".", "$") and following:
            raise Refused("sql.malformed_number", place=here)
        return (Lexeme(Kind.VALUE, found, start, end, here, _number(found, here)),)
    return tuple(
        Lexeme(Kind.SYMBOL, part, start + offset, start + offset + len(part), place(start + offset))
        for part, offset in (_operators(found, here) if kind == "operator" else ((found, 0),))
    )


NO_NESTED_COMMENT = {
    "hint_zh": "注释中不要再写 /*。", "hint_en": "Write no /* within a comment."}  # fmt: skip
PLAIN_STRING = {
    "hint_zh": "请写普通字符串 '…'。", "hint_en": "Write a plain string '…'."}  # fmt: skip


def _check_name(name: str, here: Place, limits: Limits) -> None:
    if not name:
        raise Refused("sql.unsupported", place=here, what='""', hint_zh="名称不能为空。",
                      hint_en="A name cannot be empty.")  # fmt: skip
    if len(name) > limits.name:
        raise Refused("sql.name_length", place=here, limit=limits.name)


def _string(value: str, here: Place) -> str:
    if "\0" in value:
        raise Refused("sql.character", place=here, character="U+0000")
    return value


def _number(text: str, here: Place) -> int | float | Decimal:
    plain = text.replace("_", "")
    if "e" in plain.lower():
        number = float(plain)
        if number in (float("inf"), float("-inf")):
            raise Refused("sql.malformed_number", place=here)
        return number
    if len(plain.replace(".", "").lstrip("0")) > 38:
        raise Refused("sql.malformed_number", place=here)
    return Decimal(plain) if "." in plain else int(plain)


def _operators(found: str, here: Place) -> list[tuple[str, int]]:
    """`<>-` is `<>` and a sign; any other run must be one operator."""
    if found in _OPERATORS:
        return [(found, 0)]
    if found != "::" and (match := _OPERATOR_SIGN_COLON.fullmatch(found)):
        return [(match[group], match.start(group)) for group in (1, 2, 3) if match[group]]
    if found.startswith(("/*", "$$")):
        raise Refused("sql.unterminated", place=here, opening=found[:2])
    key = next((key for key in ("=>", ":=", "->", *_ADVICE) if key in found), "")
    zh, en = _ADVICE.get(key, _NO_OPERATOR)
    raise Refused("sql.operator", place=here, operator=found[:8], hint_zh=zh, hint_en=en)


def _one_statement(lexemes: Sequence[Lexeme]) -> None:
    if not lexemes:
        raise Refused("sql.empty")
    for lexeme in lexemes:
        if lexeme.is_symbol(";"):
            raise Refused("sql.several", place=lexeme.place)


_CLOSING = {"(": ")", "[": "]", "case": "end"}


def _check_nesting(lexemes: Sequence[Lexeme], limits: Limits) -> None:
    """Brackets match, and neither they nor CASE nor runs of prefix operators go too deep."""
    stack: list[tuple[str, Lexeme]] = []
    prefixes = 0
    for at, lexeme in enumerate(lexemes):
        mark = lexeme.text if lexeme.kind is Kind.SYMBOL else lexeme.word
        if lexeme.kind is Kind.WORD and at > 0 and lexemes[at - 1].is_symbol("."):
            mark = ""
        prefixes = prefixes + 1 if mark in ("not", "-", "+") else 0
        if mark in ("(", "[") or mark == "case":
            stack.append((_CLOSING[mark], lexeme))
        elif mark in (")", "]", "end"):
            if mark == "end" and (not stack or stack[-1][0] != "end"):
                raise Refused("sql.brackets", place=lexeme.place, bracket="END")
            if not stack or stack[-1][0] != mark:
                raise Refused("sql.brackets", place=lexeme.place, bracket=lexeme.text)
            stack.pop()
        if len(stack) + prefixes > limits.nesting:
            raise Refused("sql.nesting", place=lexeme.place, limit=limits.nesting)
    if stack:
        raise Refused("sql.brackets", place=stack[-1][1].place, bracket=stack[-1][1].text.upper())


def as_date(text: str) -> dt.date | None:
    """`2024-01-31`, and nothing looser: DuckDB also reads `2024/1/31`, which later stages never see."""
    if not re.fullmatch(r"\d{4}-\d{1,2}-\d{1,2}", text):
        return None
    try:
        return dt.date(*(int(part) for part in text.split("-")))
    except ValueError:
        return None


def as_timestamp(text: str) -> dt.datetime | None:
    """`2024-01-31 12:00[:00[.000000]]` or a date alone."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{3}(?:\d{3})?)?)?)?", text):
        return None
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return None
