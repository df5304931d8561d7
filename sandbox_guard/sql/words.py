"""From lexemes to a text that holds no word of the analyst's: keywords, symbols and numbered placeholders.

What a grammar cannot see it cannot misread. Names become `"_w17"`, strings `'s17'`, numbers, dates and
bound parameters `17`, where 17 is the lexeme; only the closed vocabulary below stays as words. So a word
means a keyword here iff this file says so, a literal's content cannot change how the rest is parsed, and
`sandbox_guard.sql.parse` can check that each placeholder came out of the grammar exactly once.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeGuard

from sandbox_guard.errors import Refused
from sandbox_guard.sql.syntax import Scalar_
from sandbox_guard.sql.text import Kind, Lexeme, as_date, as_timestamp


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


UNITS = {
    **dict.fromkeys(("year", "years"), "year"),
    **dict.fromkeys(("quarter", "quarters"), "quarter"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("week", "weeks"), "week"),
    **dict.fromkeys(("day", "days"), "day"),
    **dict.fromkeys(("hour", "hours"), "hour"),
    **dict.fromkeys(("minute", "minutes"), "minute"),
    **dict.fromkeys(("second", "seconds"), "second"),
    **dict.fromkeys(("decade", "decades"), "decade"),
    **dict.fromkeys(("century", "centuries"), "century"),
}
"""Units of INTERVAL."""

PARTS = {
    **UNITS,
    **{name: name for name in ("isodow", "isoyear", "yearweek", "epoch", "era", "millennium")},
    **dict.fromkeys(("dow", "dayofweek", "weekday"), "dow"),
    **dict.fromkeys(("doy", "dayofyear"), "doy"),
    "dayofmonth": "day",
    "weekofyear": "week",
}
"""Parts of a date, as in EXTRACT and date_part, and their canonical names."""

_TYPES = _set("""boolean bool tinyint smallint integer int bigint hugeint float real double precision decimal numeric
    varchar text char string date timestamp""")

VOCABULARY = (
    _set("""select distinct on all as from where group by having qualify window order asc desc nulls first last
        limit offset with recursive materialized not and or is null true false in between like ilike escape
        exists case when then else end cast try_cast extract interval current_date current_timestamp over
        partition rows range unbounded preceding following current row filter within union intersect except
        name join inner left right full outer cross semi anti asof positional natural using lateral values
        table pivot unpivot into value include rollup cube grouping sets any some exclude replace rename
        columns""")
    | _TYPES
    | frozenset(UNITS)
)

NEVER_NAMES = _set(
    """select distinct on all as from where group having qualify window order asc desc limit offset with not
    and or is null true false in like ilike case when then else end union intersect except join inner left
    right full outer cross semi anti asof positional natural using lateral table pivot unpivot into any some
    interval"""
)
"""Words of the vocabulary that DuckDB reserves; sqlglot would let some of them name things."""

_STATEMENTS = _set("""create insert update delete merge drop alter copy export import attach detach install load connect
    disconnect force set reset use pragma call checkpoint vacuum analyze analyse prepare execute deallocate
    begin start commit rollback abort comment explain describe desc show summarize truncate grant revoke
    refresh do kill declare""")
_AFTER_A_NAME = _set("is in not like ilike between and or order asc desc over")
_QUERIES = _set("select with from values table pivot unpivot")

_REFUSED_WORDS = _set("""analyse analyze array asymmetric authorization both check collate collation column concurrently
    constraint create default deferrable describe do fetch for foreign freeze generated glob initially
    isnull lambda leading map notnull only overlaps pivot_longer pivot_wider placing primary
    references returning show similar struct summarize symmetric tablesample to trailing tuple unique
    unpack variadic verbose export_state sample at""")
"""DuckDB's own keywords that would mean something where a name stands, and have no place here."""

_WORD_ADVICE = {
    "isnull": ("请写 x IS NULL。", "Write x IS NULL."),
    "notnull": ("请写 x IS NOT NULL。", "Write x IS NOT NULL."),
    "tablesample": (
        "抽样不支持；全表统计已受保护。",
        "Leave the sample out: the whole table is protected already.",
    ),
    "sample": ("抽样不支持；若是列名请加双引号。", "Sampling is not supported; quote it if it is a name."),
    "for": (
        "请去掉 FOR 子句；透视请写 PIVOT t ON 列 IN (…) USING sum(x)。",
        "Leave FOR out; to pivot, write PIVOT t ON key IN (…) USING sum(x).",
    ),
    "fetch": ("请写 LIMIT n。", "Write LIMIT n."),
    "lambda": ("lambda 不支持。", "Lambdas are not supported."),
    "similar": ("请写 LIKE 或 ILIKE。", "Write LIKE or ILIKE."),
    "glob": ("请写 LIKE。", "Write LIKE."),
    "collate": ("排序规则不支持；请写 lower(x)。", "Collations are not supported; write lower(x)."),
    "symmetric": ("请按小、大的次序写 BETWEEN a AND b。", "Write BETWEEN a AND b with the lesser first."),
    "struct": ("结构体不支持。", "Structs are not supported."),
    "map": ("映射类型不支持。", "Maps are not supported."),
}
_QUOTE_IT = (
    "若是名称，请加双引号；否则该写法不支持。",
    "Quote it if it is a name; otherwise it is not supported.",
)

_MAX_TEXT = 65_536


def check_statement(lexemes: Sequence[Lexeme]) -> None:
    """Only queries, and no data-changing statement inside brackets either."""
    first = next((lexeme for lexeme in lexemes if not lexeme.is_symbol("(")), lexemes[0])
    if first.word not in _QUERIES:
        raise Refused("sql.statement", place=first.place, what=first.text[:40].upper())
    for before, lexeme, after in zip(lexemes, lexemes[1:], lexemes[2:], strict=False):
        begins = after.kind in (Kind.WORD, Kind.QUOTED) and after.word not in _AFTER_A_NAME
        copies = lexeme.word == "copy" and after.is_symbol("(")
        if before.is_symbol("(") and lexeme.word in _STATEMENTS and (begins or copies):
            raise Refused("sql.statement", place=lexeme.place, what=lexeme.text.upper())


def bind(lexemes: Sequence[Lexeme], parameters: Mapping[str, object]) -> list[Lexeme]:
    """`:name` → its value; `DATE '…'` and `TIMESTAMP '…'` → one value."""
    bound: list[Lexeme] = []
    used: set[str] = set()
    at = 0
    while at < len(lexemes):
        lexeme = lexemes[at]
        following = lexemes[at + 1] if at + 1 < len(lexemes) else None
        if following and lexeme.is_symbol(":") and _opens_parameter(lexemes, at):
            used.add(following.text)
            bound.append(_parameter(lexeme, following, parameters))
            at += 2
        elif following and following.kind is Kind.STRING and lexeme.word in _TYPES:
            bound.append(_typed(lexeme, following))
            at += 2
        else:
            bound.append(lexeme)
            at += 1
    for name in parameters:
        if name not in used:
            raise Refused("sql.parameter_unused", name=str(name)[:80])
    return bound


def _opens_parameter(lexemes: Sequence[Lexeme], at: int) -> bool:
    """`= :x` does, `x: 1` (a prefix alias) does not; `a :x` could be either and is refused."""
    colon, following = lexemes[at], lexemes[at + 1]
    if following.kind is not Kind.WORD or following.start != colon.end:
        return False
    if at == 0:
        return True
    before = lexemes[at - 1]
    if before.is_symbol(")", "]") or before.kind in (Kind.QUOTED, Kind.STRING, Kind.VALUE) or (
        before.kind is Kind.WORD and before.word not in VOCABULARY
    ):  # fmt: skip
        if before.end == colon.start:
            return False
        raise Refused("sql.syntax", place=colon.place, near=f":{following.text}")
    return before.kind is Kind.SYMBOL or before.end != colon.start


def _parameter(colon: Lexeme, name: Lexeme, parameters: Mapping[str, object]) -> Lexeme:
    if name.text not in parameters:
        raise Refused("sql.parameter_missing", place=colon.place, name=name.text)
    value = parameters[name.text]
    if not _usable(value):
        raise Refused("sql.parameter_value", place=colon.place, name=name.text)
    return Lexeme(Kind.VALUE, f":{name.text}", colon.start, name.end, colon.place, value)


def _usable(value: object) -> TypeGuard[Scalar_]:
    """Whether it can be a literal: what the text itself could have held."""
    match value:
        case None | bool() | dt.date():
            return True
        case int():
            return abs(value) < 10**38
        case float():
            return math.isfinite(value)
        case Decimal():
            return value.is_finite() and abs(value.adjusted()) < 38 and len(value.as_tuple().digits) <= 38
        case str():
            surrogate = any("\ud800" <= c <= "\udfff" for c in value)
            return "\0" not in value and len(value) <= _MAX_TEXT and not surrogate
    return False


def _typed(of: Lexeme, text: Lexeme) -> Lexeme:
    assert isinstance(text.value, str)
    value = {"date": as_date, "timestamp": as_timestamp}.get(of.word, lambda _: None)(text.value.strip())
    if of.word not in ("date", "timestamp"):
        raise Refused("sql.unsupported", place=of.place, what=f"{of.text.upper()} '…'",
                      hint_zh=f"请写 '…'::{of.text.upper()}。", hint_en=f"Write '…'::{of.text.upper()}.")  # fmt: skip
    if value is None:
        raise Refused("sql.malformed_date", place=of.place, type=of.text.upper())
    return Lexeme(Kind.VALUE, f"{of.text} {text.text}", of.start, text.end, of.place, value)


def tidy(lexemes: Sequence[Lexeme]) -> list[Lexeme]:
    """Without trailing commas where they are harmless; refuses what reads two ways by its words alone."""
    kept: list[Lexeme] = []
    clauses = [""]
    openers = [""]
    set_operations: list[set[str]] = [set()]
    for at, lexeme in enumerate(lexemes):
        before = lexemes[at - 1] if at else None
        following = lexemes[at + 1] if at + 1 < len(lexemes) else None
        _check_pair(before, lexeme, following)
        if lexeme.is_symbol("(", "["):
            named = before is not None and (is_name(before) or before.word in _BEFORE_ARGUMENTS)
            clauses.append("call" if lexeme.text == "[" or named else "")
            openers.append(lexeme.text)
            set_operations.append(set())
        elif lexeme.is_symbol(")", "]"):
            clauses.pop()
            openers.pop()
            set_operations.pop()
        elif lexeme.word in ("select", "from", "where", "group", "order", "having", "values", "with", "window",
                             "qualify", "partition"):  # fmt: skip
            clauses[-1] = lexeme.word
        elif lexeme.word in ("union", "intersect", "except"):
            set_operations[-1].add("intersect" if lexeme.word == "intersect" else "union")
            if len(set_operations[-1]) > 1:
                raise Refused("sql.precedence", place=lexeme.place, operators="UNION / EXCEPT / INTERSECT")
        if lexeme.is_symbol(",") and _ends(following):
            if clauses[-1] not in ("select", "group", "order", "partition", "call") or _after_opening(before):
                raise Refused("sql.comma", place=lexeme.place)
            continue
        kept.append(lexeme)
    return kept


_BEFORE_ARGUMENTS = _set("in first last left right replace range name value")


def is_name(lexeme: Lexeme) -> bool:
    """Whether it can only be a name."""
    return lexeme.kind is Kind.QUOTED or (lexeme.kind is Kind.WORD and lexeme.word not in VOCABULARY)


def _ends(following: Lexeme | None) -> bool:
    return (
        following is None
        or following.is_symbol(")", "]")
        or following.word
        in ("from", "where", "group", "having", "order", "limit", "offset", "qualify", "window", "union", "intersect",
            "except")
    )  # fmt: skip


def _after_opening(before: Lexeme | None) -> bool:
    return before is None or before.is_symbol("(", "[", ",") or before.word == "select"


def _check_pair(before: Lexeme | None, lexeme: Lexeme, following: Lexeme | None) -> None:
    here = lexeme.place
    after_dot = before is not None and before.is_symbol(".")
    if before is not None and before.kind is Kind.STRING and lexeme.kind is Kind.STRING:
        raise Refused("sql.unsupported", place=here, what="'…' '…'", hint_zh="请用 || 连接字符串。",
                      hint_en="Join strings with ||.")  # fmt: skip
    if before is not None and before.word == "as" and lexeme.kind is Kind.STRING:
        raise Refused("sql.unsupported", place=here, what="AS '…'", hint_zh="别名请用双引号。",
                      hint_en="Quote an alias with \"…\".")  # fmt: skip
    if lexeme.word == "in" and not after_dot and (following is None or not following.is_symbol("(")):
        raise Refused(
            "sql.unsupported", place=here, what="IN …", hint_zh="请写 IN (…)。", hint_en="Write IN (…)."
        )
    if (
        lexeme.word == "values"
        and before is not None
        and (before.word in ("from", "join") or before.is_symbol(","))
    ):
        raise Refused("sql.unsupported", place=here, what="FROM VALUES …", hint_zh="请写 FROM (VALUES (…)) AS t(x)。",
                      hint_en="Write FROM (VALUES (…)) AS t(x).")  # fmt: skip
    amount = following is not None and (
        following.is_symbol("(") or following.kind in (Kind.STRING, Kind.VALUE) or is_name(following)
    )
    if lexeme.word == "interval" and not after_dot and not amount:
        raise Refused("sql.unsupported", place=here, what="INTERVAL …", hint_zh="请写 INTERVAL 10 DAY；列名请加双引号。",
                      hint_en="Write INTERVAL 10 DAY; quote a column of that name.")  # fmt: skip
    if lexeme.word == "recursive" and before is not None and before.word == "with":
        raise Refused("sql.recursive", place=here)
    if lexeme.word in _REFUSED_WORDS and not after_dot and not (following and following.is_symbol("(")):
        zh, en = _WORD_ADVICE.get(lexeme.word, _QUOTE_IT)
        raise Refused("sql.unsupported", place=here, what=lexeme.text.upper(), hint_zh=zh, hint_en=en)


def is_placeholder(lexeme: Lexeme) -> bool:
    """Whether it is written as a numbered placeholder."""
    return lexeme.kind is not Kind.SYMBOL and lexeme.word not in VOCABULARY


def render(lexemes: Sequence[Lexeme]) -> tuple[str, dict[int, int]]:
    """The text for the grammar, and the lexeme's index at each position where one starts."""
    parts: list[str] = []
    starts: dict[int, int] = {}
    at = 0
    for index, lexeme in enumerate(lexemes):
        match lexeme.kind:
            case Kind.WORD if lexeme.word in VOCABULARY:
                text = lexeme.word
            case Kind.WORD | Kind.QUOTED:
                text = f'"_w{index}"'
            case Kind.STRING:
                text = f"'s{index}'"
            case Kind.VALUE:
                text = str(index)
            case Kind.SYMBOL:
                text = lexeme.text
        starts[at] = index
        parts.append(text)
        at += len(text) + 1
    return " ".join(parts), starts


def source(lexemes: Sequence[Lexeme]) -> str:
    """How the heading of an unnamed column reads: what was typed, without comments and odd spaces."""
    text = ""
    end = None
    for lexeme in lexemes:
        typed = f'"{lexeme.text}"' if lexeme.kind is Kind.QUOTED else lexeme.text
        text += (" " if end is not None and lexeme.start > end else "") + typed
        end = lexeme.end
    return text
