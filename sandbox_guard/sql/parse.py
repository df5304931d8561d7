"""SQL text → `sandbox_guard.sql.syntax`, or `Refused`. The only reader of what an analyst wrote.

    text ─ scan ─► lexemes ─ bind, tidy ─► placeholders ─ grammar ─► sqlglot nodes ─ convert ─► our tree

Nothing is passed on that is not named here: every class of node has its entry, with the arguments it may
carry; every operator inside another needs brackets unless sqlglot and DuckDB are known to read it alike;
and every name and literal typed must come out exactly once.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar
from typing import Literal as OneOf

from sqlglot import exp

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import grammar, syntax, words
from sandbox_guard.sql.aliases import AS_CASE, CANONICAL
from sandbox_guard.sql.text import Kind, Lexeme, Limits, as_date, as_timestamp, decode, scan

__all__ = ["Limits", "canonical", "parse", "shape"]

# sqlglot descends some twenty frames a bracket. Our own limits bound the depth, not the caller's stack.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 12_000))

_Node = TypeVar("_Node")
_NO_PARAMETERS: Mapping[str, object] = {}


def parse(
    sql: str | bytes, parameters: Mapping[str, object] = _NO_PARAMETERS, *, limits: Limits = Limits()
) -> syntax.Query:
    """The one query in `sql`, its `:name` parameters bound as typed literals. Raises only `Refused`."""
    lexemes = scan(decode(sql, limits), limits)
    words.check_statement(lexemes)
    lexemes = words.tidy(words.bind(lexemes, parameters))
    try:
        return _statement(lexemes, limits)
    except RecursionError:  # the caller stands too deep itself; the limits leave room otherwise
        raise Refused("sql.nesting", place=lexemes[0].place, limit=limits.nesting) from None


def _statement(lexemes: list[Lexeme], limits: Limits) -> syntax.Query:
    """A root PIVOT or UNPIVOT is read apart from its WITH and ORDER BY, which sqlglot cannot read with it."""
    pivot = _root_pivot(lexemes)
    if pivot is None:
        return _Converter(lexemes, limits).root()
    start, end = pivot
    nulls = (
        start + 2
        if [lexeme.word for lexeme in lexemes[start + 1 : start + 3]] == ["include", "nulls"]
        else start
    )
    query = _Converter([lexemes[start], *lexemes[nulls + 1 : end]], limits).root()
    if nulls > start:
        if not isinstance(query, syntax.Unpivot):
            raise Refused("sql.syntax", place=lexemes[start + 1].place, near=lexemes[start + 1].text)
        query = replace(query, include_nulls=True)
    here = lexemes[start]
    frame = [replace(here, kind=Kind.WORD, text=word) for word in ("select", "null")]
    around = lexemes[:start] + frame + lexemes[end:]
    if len(around) > 2:
        tail = _Converter(around, limits).root().tail
        query = replace(query, tail=tail)
    return query


def _root_pivot(lexemes: Sequence[Lexeme]) -> tuple[int, int] | None:
    depth, start = 0, None
    for at, lexeme in enumerate(lexemes):
        depth += lexeme.is_symbol("(", "[") - lexeme.is_symbol(")", "]")
        if depth == 0 and start is None and lexeme.word in ("select", "from", "values", "table"):
            return None
        if depth == 0 and start is None and lexeme.word in ("pivot", "unpivot"):
            start = at
        elif depth == 0 and start is not None and lexeme.word in ("order", "limit", "offset"):
            return start, at
    return None if start is None else (start, len(lexemes))


# ---------------------------------------------------------------------------------- precedence

_OR, _AND, _NOT, _TEST, _CONCAT, _ADD, _MULTIPLY, _POWER, _SIGN, _CAST, _PRIMARY = range(11)

_LEVEL: dict[type[exp.Expr], int] = {
    exp.Or: _OR,
    exp.And: _AND,
    exp.Not: _NOT,
    **dict.fromkeys(
        (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Between,
         exp.In, exp.Like, exp.ILike, exp.Escape),
        _TEST,
    ),
    exp.DPipe: _CONCAT,
    exp.Add: _ADD,
    exp.Sub: _ADD,
    **dict.fromkeys((exp.Mul, exp.Div, exp.IntDiv, exp.Mod), _MULTIPLY),
    exp.Pow: _POWER,
    exp.Neg: _SIGN,
    exp.Interval: _SIGN,
}  # fmt: skip

_OPERAND: dict[type[exp.Expr], tuple[int, int]] = {
    exp.Or: (_OR, _AND),
    exp.And: (_AND, _NOT),
    exp.Not: (_TEST, _TEST),
    exp.DPipe: (_CONCAT, _CAST),
    exp.Add: (_ADD, _MULTIPLY),
    exp.Sub: (_ADD, _MULTIPLY),
    **dict.fromkeys((exp.Mul, exp.Div, exp.IntDiv, exp.Mod), (_MULTIPLY, _SIGN)),
    exp.Pow: (_CAST, _CAST),
    exp.Neg: (_CAST, _CAST),
}
"""What may stand to the left and right of an operator without brackets. Tests take `||` and closer."""

_BINARY: dict[type[exp.Expr], str] = {
    exp.Or: "or", exp.And: "and", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">",
    exp.GTE: ">=", exp.NullSafeEQ: "is_not_distinct", exp.NullSafeNEQ: "is_distinct", exp.Like: "like",
    exp.ILike: "ilike", exp.DPipe: "||", exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/",
    exp.IntDiv: "//", exp.Mod: "%", exp.Pow: "^",
}  # fmt: skip

_TYPES: dict[exp.DType, syntax.TypeName] = {
    exp.DType.BOOLEAN: syntax.TypeName.BOOLEAN,
    exp.DType.TINYINT: syntax.TypeName.TINYINT,
    exp.DType.SMALLINT: syntax.TypeName.SMALLINT,
    exp.DType.INT: syntax.TypeName.INTEGER,
    exp.DType.BIGINT: syntax.TypeName.BIGINT,
    exp.DType.INT128: syntax.TypeName.HUGEINT,
    exp.DType.FLOAT: syntax.TypeName.FLOAT,
    exp.DType.DOUBLE: syntax.TypeName.DOUBLE,
    exp.DType.DECIMAL: syntax.TypeName.DECIMAL,
    exp.DType.TEXT: syntax.TypeName.VARCHAR,
    exp.DType.VARCHAR: syntax.TypeName.VARCHAR,
    exp.DType.CHAR: syntax.TypeName.VARCHAR,
    exp.DType.DATE: syntax.TypeName.DATE,
    exp.DType.TIMESTAMP: syntax.TypeName.TIMESTAMP,
}

_ALL_COLUMNS = syntax.Star()

_CONTAINS = frozenset(["list_contains", "list_has", "array_contains", "array_has", "contains"])
"""With a list of literals these are IN."""

_SIMPLE = re.compile(r"(?:(?:\[[\w-]+\]|[\w .-])[*+?]?|[\^$|])*")


def _is_simple(pattern: str) -> bool:
    """A regular expression that is read in no time whatever the heading: no brackets, two repetitions at most."""
    if not _SIMPLE.fullmatch(pattern) or sum(map(pattern.count, "*+?")) > 2:
        return False
    try:
        re.compile(pattern)
    except re.error:  # such as [z-a]
        return False
    return True


_SET_LIMIT = 256
"""Most grouping sets of one GROUP BY."""


# --------------------------------------------------------------------------------- conversion


class _Converter:
    """Converts one text. Holds its lexemes, and which of them have come out so far."""

    def __init__(self, lexemes: list[Lexeme], limits: Limits) -> None:
        self.lexemes = lexemes
        self.limits = limits
        self.tree, self.starts = grammar.read(lexemes)
        self.used: Counter[int] = Counter()
        self.windows: list[dict[str, syntax.Window]] = []
        _check_height(self.tree, lambda node: node.iter_expressions(), limits, lexemes[0].place)
        self.first = _first_starts(self.tree, self.starts)

    def root(self) -> syntax.Query:
        query = self.query(self.tree)
        root: object = query
        _check_height(root, _children, self.limits, self.lexemes[0].place)
        for index, lexeme in enumerate(self.lexemes):
            if words.is_placeholder(lexeme) and self.used[index] != 1:
                raise Refused("sql.syntax", place=lexeme.place, near=lexeme.text[:40])
        return query

    # places and placeholders

    def place(self, node: exp.Expr) -> Place | None:
        """Of the first lexeme in it that sqlglot kept the position of."""
        start = self.first.get(id(node))
        return self.lexemes[self.starts[start]].place if start is not None else None

    def take(self, index: int) -> Lexeme:
        self.used[index] += 1
        return self.lexemes[index]

    def name(self, node: object) -> str:
        """The identifier as typed."""
        if isinstance(node, exp.Column) and set(_given(node)) == {"this"}:
            node = node.this
        if not isinstance(node, exp.Identifier):
            raise self.no(node, "…", "此处只能是名称。", "Only a name can stand here.")
        if match := re.fullmatch(r"_w(\d+)", node.name) if node.args.get("quoted") else None:
            return self.take(int(match[1])).text
        start = node.meta.get("start")
        lexeme = self.lexemes[self.starts[start]] if start in self.starts else None
        if lexeme is None or lexeme.word != node.name.lower() or lexeme.word in words.NEVER_NAMES:
            raise Refused(
                "sql.syntax", place=lexeme.place if lexeme else self.place(node), near=node.name[:40]
            )
        return lexeme.text

    def names(self, nodes: Sequence[exp.Expr]) -> tuple[str, ...]:
        return tuple(self.name(node) for node in nodes)

    def value(self, node: exp.Expr) -> Lexeme:
        """The lexeme behind a literal's placeholder."""
        text = node.name[1:] if node.is_string else node.name
        if not text.isdecimal() or int(text) >= len(self.lexemes):
            raise Refused("sql.syntax", place=self.place(node), near=node.name[:40])
        return self.take(int(text))

    def no(self, node: object, what: str, zh: str, en: str) -> Refused:
        place = self.place(node) if isinstance(node, exp.Expr) else None
        return Refused("sql.unsupported", place=place, what=what, hint_zh=zh, hint_en=en)

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Refuse a node that carries anything else than these arguments."""
        for argument in _given(node):
            if argument not in allowed:
                raise self.no(node, f"{node.key.upper()} … {argument.strip('_').upper()}", *_LEAVE_OUT)

    # queries

    def query(self, node: object) -> syntax.Query:
        if isinstance(node, exp.Expr) and (convert := _QUERIES.get(type(node))) is not None:
            return convert(self, node)
        if isinstance(node, exp.Expr):
            raise Refused(
                "sql.statement", place=self.place(node) or self.lexemes[0].place, what=node.key.upper()
            )
        raise Refused("sql.syntax", place=self.lexemes[0].place, near=self.lexemes[0].text[:40])

    def select(self, node: exp.Expr) -> syntax.Query:
        self.only(node, "expressions", "from_", "where", "group", "having", "qualify", "windows", "distinct", "joins",
                  "laterals", "with_", "order", "limit", "offset")  # fmt: skip
        args = node.args
        if not args.get("expressions"):
            raise Refused("sql.syntax", place=self.place(node) or self.lexemes[0].place, near="SELECT")
        ctes = self.ctes(args.get("with_"))
        source = (
            self.source(args["from_"].this, args.get("joins"), args.get("laterals"))
            if args.get("from_")
            else None
        )
        if source is None and (args.get("joins") or args.get("laterals")):
            raise Refused("sql.syntax", place=self.place(node), near="JOIN")
        self.windows.append({})
        for window in args.get("windows") or ():
            name = self.name(window.this).lower()
            if name in self.windows[-1]:
                raise Refused("sql.duplicate", place=self.place(window), name=name)
            self.windows[-1][name] = self.window(window)
        distinct, on = self.distinct(args.get("distinct"))
        made = syntax.Select(
            projections=tuple(self.projection(item) for item in args["expressions"]),
            source=source,
            where=self.clause(args.get("where")),
            group=self.group(args.get("group")),
            having=self.clause(args.get("having")),
            qualify=self.clause(args.get("qualify")),
            distinct=distinct,
            distinct_on=on,
            tail=self.tail(node, ctes),
            place=self.place(node) or self.lexemes[0].place,
        )
        self.windows.pop()
        return made

    def clause(self, node: exp.Expr | None) -> syntax.Expr | None:
        if node is None:
            return None
        self.only(node, "this")
        return self.expr(node.this)

    def distinct(self, node: exp.Expr | None) -> tuple[bool, tuple[syntax.Expr, ...]]:
        if node is None:
            return False, ()
        self.only(node, "on")
        on = node.args.get("on")
        if on is None:
            return True, ()
        return False, tuple(
            self.expr(item) for item in (on.expressions if isinstance(on, exp.Tuple) else [on])
        )

    def ctes(self, node: exp.Expr | None) -> tuple[syntax.Cte, ...]:
        if node is None:
            return ()
        if node.args.get("recursive"):
            raise Refused("sql.recursive", place=self.place(node))
        self.only(node, "expressions")
        made: list[syntax.Cte] = []
        for cte in node.expressions:
            self.only(cte, "this", "alias", "materialized")
            alias, columns = self.alias(cte)
            if alias is None:
                raise Refused("sql.syntax", place=self.place(cte), near="WITH")
            if alias.lower() in {earlier.name.lower() for earlier in made}:
                raise Refused("sql.duplicate", place=self.place(cte), name=alias)
            made.append(syntax.Cte(alias, columns, self.query(cte.this)))
        return tuple(made)

    def tail(self, node: exp.Expr, ctes: tuple[syntax.Cte, ...] = ()) -> syntax.Tail:
        order = node.args.get("order")
        ordered: tuple[syntax.Order, ...] = ()
        everything = False
        if order is not None:
            self.only(order, "expressions")
            everything = any(isinstance(item.this, exp.Var) for item in order.expressions)
            if everything and (len(order.expressions) > 1 or _given(order.expressions[0]) != ["this"]):
                raise self.no(node, "ORDER BY ALL …", "请逐列写出排序。", "Name the columns to order by.")
            ordered = () if everything else self.orders(order)
        return syntax.Tail(
            ctes=ctes,
            order=ordered,
            order_all=everything,
            limit=self.count(node.args.get("limit")),
            offset=self.count(node.args.get("offset")),
        )

    def count(self, node: exp.Expr | None) -> int | None:
        if node is None:
            return None
        if node.args.get("limit_options"):
            raise self.no(node, "LIMIT … %", "请写行数。", "Give a number of rows.")
        self.only(node, "expression")
        expression = node.args["expression"]
        if isinstance(expression, exp.Var) and isinstance(node, exp.Limit):
            return None
        made = self.expr(expression)
        if isinstance(made, syntax.Literal) and type(made.value) is int and made.value >= 0:
            return made.value
        raise self.no(node, "LIMIT …", "请写整数或 :参数。", "Give an integer or a :parameter.")

    def orders(self, node: exp.Expr | None) -> tuple[syntax.Order, ...]:
        if node is None:
            return ()
        self.only(node, "expressions", "this")
        made = []
        for item in node.expressions:
            self.only(item, "this", "desc", "nulls_first")
            if isinstance(item.this, exp.Var):
                raise self.no(node, "ORDER BY ALL", "请逐列写出排序。", "Name the columns to order by.")
            made.append(
                syntax.Order(
                    self.expr(item.this), bool(item.args.get("desc")), item.args.get("nulls_first") or None
                )
            )
        return tuple(made)

    def projection(self, node: exp.Expr) -> syntax.Projection:
        span = node.meta.get("span")
        if isinstance(node, exp.Alias):
            self.only(node, "this", "alias")
            return syntax.Projection(self.projected(node.this), self.name(node.args["alias"]))
        expr = self.projected(node)
        if isinstance(expr, syntax.Name | syntax.Star) or span is None:
            return syntax.Projection(expr)
        first, last = (self.starts[at] for at in span)
        return syntax.Projection(expr, None, words.source(self.lexemes[first : last + 1]))

    def projected(self, node: exp.Expr) -> syntax.Expr:
        """An expression or one of the stars."""
        if (
            isinstance(node, exp.Like)
            and isinstance(node.this, exp.Star | exp.Column)
            and node.is_star is False
        ):
            star = self.star(node.this) if isinstance(node.this, exp.Star) else None
            if star is not None:
                self.only(node, "this", "expression")
                pattern = self.expr(node.expression)
                if isinstance(pattern, syntax.Literal) and isinstance(pattern.value, str):
                    return replace(star, like=pattern.value)
                raise self.no(node, "* LIKE …", "请写字符串。", "Give a plain string.")
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            return self.star(node)
        return self.expr(node)

    def star(self, node: exp.Expr) -> syntax.Star:
        qualifier = None
        place = self.place(node)
        if isinstance(node, exp.Column):
            self.only(node, "this", "table")
            qualifier = self.name(node.args["table"])
            node = node.this
        self.only(node, "except_", "replace", "rename")
        return syntax.Star(
            qualifier=qualifier,
            exclude=self.names(node.args.get("except_") or ()),
            replace=tuple(self.replaced(item) for item in node.args.get("replace") or ()),
            rename=tuple(self.renamed(item) for item in node.args.get("rename") or ()),
            place=place,
        )

    def replaced(self, node: exp.Expr) -> tuple[str, syntax.Expr]:
        if not isinstance(node, exp.Alias):
            raise self.no(
                node,
                "* REPLACE",
                "请写 * REPLACE (表达式 AS 列)。",
                "Write * REPLACE (expression AS column).",
            )
        self.only(node, "this", "alias")
        return self.name(node.args["alias"]), self.expr(node.this)

    def renamed(self, node: exp.Expr) -> tuple[str, str]:
        if not isinstance(node, exp.Alias):
            raise self.no(node, "* RENAME", "请写 * RENAME (旧名 AS 新名)。", "Write * RENAME (old AS new).")
        self.only(node, "this", "alias")
        return self.name(node.this), self.name(node.args["alias"])

    def group(self, node: exp.Expr | None) -> syntax.Grouping | None:
        if node is None:
            return None
        self.only(node, "expressions", "all")
        if node.args.get("all"):
            if node.expressions:
                raise self.no(node, "GROUP BY ALL …", "请逐列写出分组。", "Name the columns to group by.")
            return syntax.Grouping(everything=True)
        items: list[syntax.Expr] = []
        sets: list[tuple[int, ...]] = [()]
        for element in node.expressions:
            alternatives = self.grouping_sets(element, items)
            sets = [left + right for left in sets for right in alternatives]
            if len(sets) > _SET_LIMIT:
                raise self.no(
                    node, "GROUPING SETS", f"最多 {_SET_LIMIT} 个分组集。", f"At most {_SET_LIMIT} sets."
                )
        unique = [tuple(dict.fromkeys(columns)) for columns in sets]
        return syntax.Grouping(tuple(items), tuple(unique))

    def grouping_sets(self, node: exp.Expr, items: list[syntax.Expr]) -> list[tuple[int, ...]]:
        """The sets that one element of GROUP BY stands for; their members are put into `items`."""
        if isinstance(node, exp.GroupingSets):
            self.only(node, "expressions")
            return [each for part in node.expressions for each in self.grouping_sets(part, items)]
        if isinstance(node, exp.Rollup | exp.Cube):
            self.only(node, "expressions")
            if len(node.expressions) > 8:
                raise self.no(node, "CUBE, ROLLUP", "最多 8 列。", "At most 8 columns.")
            parts = [self.grouping_sets(part, items)[0] for part in node.expressions]
            if isinstance(node, exp.Rollup):
                return [sum(parts[:n], ()) for n in range(len(parts), -1, -1)]
            chosen = range(2 ** len(parts) - 1, -1, -1)
            return [
                sum((part for at, part in enumerate(parts) if bits >> (len(parts) - 1 - at) & 1), ())
                for bits in chosen
            ]
        if isinstance(node, exp.Tuple):
            self.only(node, "expressions")
            return [tuple(self.grouped(part, items) for part in node.expressions)]
        if isinstance(node, exp.Paren):
            node = node.this
        return [(self.grouped(node, items),)]

    def grouped(self, node: exp.Expr, items: list[syntax.Expr]) -> int:
        item = self.expr(node)
        if item not in items:
            items.append(item)
        return items.index(item)

    def set_operation(self, node: exp.Expr) -> syntax.Query:
        self.only(node, "this", "expression", "distinct", "by_name", "with_", "order", "limit", "offset")
        left, right = node.this, node.expression
        for side in (left, right):
            if isinstance(side, exp.Subquery | exp.SetOperation) and side is left:
                continue
            if not isinstance(side, exp.Subquery) and _given_any(side, "order", "limit", "offset", "with_"):
                raise Refused("sql.precedence", place=self.place(side), operators=node.key.upper())
        if isinstance(left, exp.SetOperation) and _given_any(left, "order", "limit", "offset", "with_"):
            raise Refused("sql.precedence", place=self.place(left), operators=node.key.upper())
        if isinstance(right, exp.SetOperation):
            raise Refused("sql.precedence", place=self.place(right), operators=node.key.upper())
        op: OneOf["union", "intersect", "except"]
        op = (
            "union"
            if isinstance(node, exp.Union)
            else "except"
            if isinstance(node, exp.Except)
            else "intersect"
        )
        ctes = self.ctes(node.args.get("with_"))
        return syntax.SetOperation(
            op=op,
            all=not node.args.get("distinct"),
            by_name=bool(node.args.get("by_name")),
            left=self.query(left),
            right=self.query(right),
            tail=self.tail(node, ctes),
            place=self.place(node),
        )

    def values(self, node: exp.Expr) -> syntax.Query:
        self.only(node, "expressions", "order", "limit", "offset", "with_")
        ctes = self.ctes(node.args.get("with_"))
        rows = []
        for row in node.expressions:
            if not isinstance(row, exp.Tuple):
                raise self.no(row, "VALUES x", "请写 VALUES (x), …。", "Write VALUES (x), ….")
            self.only(row, "expressions")
            rows.append(tuple(self.expr(item) for item in row.expressions))
        if len({len(row) for row in rows}) != 1 or not rows[0]:
            raise self.no(
                node, "VALUES …", "每行的列数须相同。", "Give every row the same number of columns."
            )
        return syntax.Values(tuple(rows), self.tail(node, ctes), place=self.place(node))

    def bracketed(self, node: exp.Expr) -> syntax.Query:
        """`(query)`, which may carry a tail of its own."""
        self.only(node, "this", "with_", "order", "limit", "offset")
        ctes = self.ctes(node.args.get("with_"))
        inner = self.query(node.this)
        tail = self.tail(node, ctes)
        if tail == syntax.Tail():
            return inner
        if inner.tail == syntax.Tail():
            return replace(inner, tail=tail)
        return syntax.Select(
            (syntax.Projection(syntax.Star()),), syntax.Derived(inner), tail=tail, place=inner.place
        )

    def pivot(self, node: exp.Expr) -> syntax.Query:
        self.only(node, "this", "expressions", "using", "group", "unpivot", "into")
        source = self.source(node.this)
        on = node.expressions
        if node.args.get("unpivot"):
            into = node.args.get("into")
            if (
                into is None
                or _given_any(node, "using", "group")
                or len(into.expressions or ()) != 1
                or not into.this
            ):
                raise self.no(node, "UNPIVOT", "请写 UNPIVOT t ON a, b INTO NAME n VALUE v。",
                              "Write UNPIVOT t ON a, b INTO NAME n VALUE v.")  # fmt: skip
            return syntax.Unpivot(
                source, self.names(on), self.name(into.this), self.name(into.expressions[0]),
                place=self.lexemes[0].place,
            )  # fmt: skip
        if len(on) != 1 or node.args.get("into") or not node.args.get("using"):
            raise self.no(node, "PIVOT", "请写 PIVOT t ON x IN (…) USING f(y) GROUP BY z。",
                          "Write PIVOT t ON x IN (…) USING f(y) GROUP BY z.")  # fmt: skip
        key, values = on[0], []
        if isinstance(key, exp.In):
            self.only(key, "this", "expressions")
            for item in key.expressions:
                value = self.expr(item.this if isinstance(item, exp.Alias) else item)
                if not isinstance(value, syntax.Literal):
                    raise self.no(item, "PIVOT … IN", "请逐个写出值。", "List plain values.")
                values.append((value, self.name(item.args["alias"]) if isinstance(item, exp.Alias) else None))
            key = key.this
        group = self.group(node.args.get("group"))
        if group is not None and (group.everything or len(group.sets) != 1):
            raise self.no(node, "PIVOT … GROUP BY", "请逐列写出分组。", "Name the columns to group by.")
        return syntax.Pivot(
            source=source,
            on=self.expr(key),
            values=tuple(values),
            using=tuple(self.projection(item) for item in node.args["using"]),
            group=group.items if group else (),
            place=self.lexemes[0].place,
        )

    # FROM

    def source(
        self,
        node: exp.Expr,
        joins: Sequence[exp.Expr] | None = None,
        laterals: Sequence[exp.Expr] | None = None,
    ) -> syntax.From:
        """A table with its joins. Commas bind looser than JOIN."""
        if laterals:
            raise self.no(laterals[0], "LATERAL", "请写 CROSS JOIN LATERAL (SELECT …)。",
                          "Write CROSS JOIN LATERAL (SELECT …).")  # fmt: skip
        groups = [self.relation(node)]
        for join in [*(node.args.get("joins") or ()), *(joins or ())]:
            if join.meta.get("comma"):
                self.only(join, "this")
                groups.append(self.relation(join.this))
            else:
                groups[-1] = self.join(groups[-1], join)
            if join.this.args.get("joins"):
                if join.meta.get("comma"):
                    for inner in join.this.args["joins"]:
                        groups[-1] = self.join(groups[-1], inner)
                else:
                    raise self.no(
                        join,
                        "JOIN … JOIN … ON … ON",
                        "请给内层连接加括号。",
                        "Put the inner join in brackets.",
                    )
        made = groups[0]
        for group in groups[1:]:
            made = syntax.Join(made, group, syntax.JoinKind.CROSS, place=self.place(node))
        return made

    def relation(self, node: exp.Expr) -> syntax.From:
        if (convert := _RELATIONS.get(type(node))) is None:
            raise self.no(
                node, f"FROM {node.key.upper()}", "请写表名或 (SELECT …)。", "Write a table or (SELECT …)."
            )
        return convert(self, node)

    def table(self, node: exp.Expr) -> syntax.From:
        self.only(node, "this", "db", "catalog", "alias", "joins")
        alias, columns = self.alias(node)
        if not isinstance(node.this, exp.Identifier):
            if _given_any(node, "db", "catalog"):
                raise self.no(
                    node, "schema.function(…)", "请直接写函数名。", "Write the function's name alone."
                )
            call = self.expr(node.this)
            if not isinstance(call, syntax.Call) or call.window or call.where or call.order or call.distinct:
                raise self.no(node, "FROM …", "请写表名或 (SELECT …)。", "Write a table or (SELECT …).")
            return syntax.Function(call, alias, columns, place=self.place(node))
        parts = tuple(
            self.name(part) for part in (node.args.get("catalog"), node.args.get("db"), node.this) if part
        )
        return syntax.TableName(parts, alias, columns, place=self.place(node))

    def derived(self, node: exp.Expr) -> syntax.From:
        self.only(node, "this", "alias", "joins", "with_", "order", "limit", "offset")
        alias, columns = self.alias(node)
        if _is_from(node.this):
            if alias is not None or _given_any(node, "with_", "order", "limit", "offset"):
                raise self.no(node, "(a JOIN b) AS t", "请去掉别名，或写 (SELECT …) AS t。",
                              "Leave the alias out, or write (SELECT …) AS t.")  # fmt: skip
            return self.source(node.this)
        if isinstance(node.this, exp.Subquery) and node.this.args.get("alias"):
            if alias is not None:
                raise self.no(node, "((SELECT …) AS a) AS b", "请只写一个别名。", "Give one alias.")
            return self.derived(node.this)
        bare = exp.Subquery(
            **{key: node.args.get(key) for key in ("this", "with_", "order", "limit", "offset")}
        )
        return syntax.Derived(self.bracketed(bare), alias, columns, place=self.place(node))

    def values_table(self, node: exp.Expr) -> syntax.From:
        alias, columns = self.alias(node)
        bare = exp.Values(expressions=node.expressions)
        self.only(node, "expressions", "alias", "joins")
        return syntax.Derived(self.values(bare), alias, columns, place=self.place(node))

    def lateral(self, node: exp.Expr) -> syntax.From:
        self.only(node, "this", "alias")
        if not isinstance(node.this, exp.Subquery):
            raise self.no(node, "LATERAL f(…)", "请写 LATERAL (SELECT …)。", "Write LATERAL (SELECT …).")
        alias, columns = self.alias(node)
        inner = self.derived(node.this)
        if not isinstance(inner, syntax.Derived) or (inner.alias is not None and alias is not None):
            raise self.no(node, "LATERAL", "请写 LATERAL (SELECT …) AS t。", "Write LATERAL (SELECT …) AS t.")
        return replace(inner, alias=alias or inner.alias, columns=columns or inner.columns, lateral=True)

    def alias(self, node: exp.Expr) -> tuple[str | None, tuple[str, ...]]:
        alias = node.args.get("alias")
        if alias is None:
            return None, ()
        if isinstance(alias, exp.Identifier):
            return self.name(alias), ()
        self.only(alias, "this", "columns")
        return (
            self.name(alias.this) if alias.this is not None else None,
            self.names(alias.args.get("columns") or ()),
        )

    def join(self, left: syntax.From, node: exp.Expr) -> syntax.From:
        self.only(node, "this", "on", "using", "kind", "side", "method")
        kind, side, method = (str(node.args.get(key) or "").upper() for key in ("kind", "side", "method"))
        on, using = node.args.get("on"), node.args.get("using")
        made = _JOINS.get((method, side, kind))
        if made is None:
            raise self.no(node, " ".join(filter(None, (method, side, kind, "JOIN"))), "请写 INNER、LEFT、FULL、SEMI 等连接。",
                          "Write an INNER, LEFT, FULL, SEMI or other plain join.")  # fmt: skip
        join, natural = made
        bare = join in (syntax.JoinKind.CROSS, syntax.JoinKind.POSITIONAL) or natural
        if bare == bool(on is not None or using):
            raise self.no(node, f"{join.upper()} JOIN", "请用 ON 或 USING 写连接条件；CROSS 与 NATURAL 不写。",
                          "Give a condition with ON or USING; none with CROSS and NATURAL.")  # fmt: skip
        right = self.relation(node.this)
        return syntax.Join(
            left, right, join,
            on=self.expr(on) if on is not None else None,
            using=self.names(using or ()),
            natural=natural,
            place=self.place(node),
        )  # fmt: skip

    # expressions

    def expr(self, node: object) -> syntax.Expr:
        if not isinstance(node, exp.Expr):
            raise Refused("sql.syntax", place=self.lexemes[0].place, near=self.lexemes[0].text[:40])
        if (convert := _EXPRESSIONS.get(type(node))) is None:
            raise self.no(node, node.key.upper(), *_OTHERWISE)
        return convert(self, node)

    def operand(self, node: exp.Expr, level: int, of: exp.Expr) -> syntax.Expr:
        """An operand that needs no brackets where it stands."""
        if isinstance(node, exp.Expr) and _LEVEL.get(type(node), _PRIMARY) < level:
            raise Refused("sql.precedence", place=self.place(of), operators=f"{_sign(of)}, {_sign(node)}")
        return self.expr(node)

    def binary(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression", "typed", "safe", "negate")
        left, right = _OPERAND.get(type(node), (_CONCAT, _CONCAT))
        call = syntax.Call(
            _BINARY[type(node)],
            (self.operand(node.this, left, node), self.operand(node.expression, right, node)),
            place=self.place(node),
        )
        return _negated(call) if node.args.get("negate") else call

    def escape(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression")
        like = node.this
        if not isinstance(like, exp.Like | exp.ILike):
            raise self.no(node, "ESCAPE", "只能用于 LIKE。", "It goes with LIKE only.")
        character = self.expr(node.expression)
        call = self.binary(like)
        inner = call.args[0] if isinstance(call, syntax.Call) and call.function == "not" else call
        if not isinstance(inner, syntax.Call):
            raise self.no(node, "ESCAPE", "只能用于 LIKE。", "It goes with LIKE only.")
        escaped = replace(inner, args=(*inner.args, character))
        return _negated(escaped) if inner is not call else escaped

    def negation(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this")
        made = self.operand(node.this, _TEST, node)
        if isinstance(made, syntax.In | syntax.Exists) and not isinstance(node.this, exp.Paren):
            return replace(made, negated=not made.negated)
        return _negated(made, self.place(node))

    def minus(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this")
        made = self.operand(node.this, _CAST, node)
        if isinstance(node.this, exp.Literal) and isinstance(made, syntax.Literal):
            match made.value:
                case int() | float() | Decimal() if not isinstance(made.value, bool):
                    return replace(made, value=-made.value)
        return syntax.Call("neg", (made,), place=self.place(node))

    def paren(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this")
        if not node.meta.get("typed"):
            raise Refused("sql.precedence", place=self.place(node), operators=f"… {_sign(node.this)} …")
        return self.expr(node.this)

    def is_test(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression", "negate")
        operand, what, place = self.operand(node.this, _CONCAT, node), node.expression, self.place(node)
        if isinstance(what, exp.Null):
            call = syntax.Call("is_null", (operand,), place=place)
        elif isinstance(what, exp.Boolean):
            call = syntax.Call("is_true" if what.this else "is_false", (operand,), place=place)
        else:
            raise Refused("sql.precedence", place=place, operators=f"IS, {_sign(what)}")
        return _negated(call) if node.args.get("negate") else call

    def between(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "low", "high")
        return syntax.Call(
            "between", tuple(self.operand(node.args[key], _CONCAT, node) for key in ("this", "low", "high")),
            place=self.place(node),
        )  # fmt: skip

    def membership(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expressions", "query")
        operand = self.operand(node.this, _CONCAT, node)
        query = node.args.get("query")
        if query is not None:
            return syntax.In(operand, self.query(query), place=self.place(node))
        if not node.expressions:
            raise self.no(node, "IN ()", "请至少写一个值。", "List at least one value.")
        items = tuple(self.expr(item) for item in node.expressions)
        return syntax.In(operand, items, place=self.place(node))

    def equality(self, node: exp.Expr) -> syntax.Expr:
        """`=` and `<>`, where `= ANY (…)` is IN and `<> ALL (…)` NOT IN."""
        right = node.expression
        if isinstance(right, exp.Any | exp.All):
            self.only(right, "this")
            if isinstance(node, exp.EQ) != isinstance(right, exp.Any):
                raise self.no(node, _sign(node) + " ANY / ALL", "请写 IN 或 NOT IN。", "Write IN or NOT IN.")
            operand = self.operand(node.this, _CONCAT, node)
            among = right.this.this if isinstance(right.this, exp.Paren) else right.this
            if isinstance(among, exp.Array) and among.expressions:
                items: tuple[syntax.Expr, ...] | syntax.Query
                items = tuple(self.expr(item) for item in among.expressions)
            elif isinstance(right.this, exp.Subquery | exp.Select | exp.SetOperation):
                items = self.query(right.this)
            else:
                raise self.no(node, "ANY / ALL", "请写 (SELECT …)。", "Write (SELECT …).")
            return syntax.In(operand, items, isinstance(node, exp.NEQ), place=self.place(node))
        return self.binary(node)

    def exists(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this")
        return syntax.Exists(self.query(node.this), place=self.place(node))

    def scalar(self, node: exp.Expr) -> syntax.Expr:
        return syntax.Scalar(self.query(node), place=self.place(node))

    def column(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "table", "db", "catalog")
        parts = [node.args.get(key) for key in ("catalog", "db", "table", "this")]
        if isinstance(node.this, exp.Star):
            return self.star(node)
        names = tuple(self.name(part) for part in parts if part is not None)
        if len(names) > 3:
            raise self.no(node, ".".join("…" * 4), "名称最多三段。", "A name has three parts at most.")
        return syntax.Name(names, place=self.place(node))

    def literal(self, node: exp.Expr) -> syntax.Expr:
        lexeme = self.value(node)
        return syntax.Literal(lexeme.value, place=lexeme.place)

    def constant(self, node: exp.Expr) -> syntax.Expr:
        return syntax.Literal(
            bool(node.this) if isinstance(node, exp.Boolean) else None, place=self.place(node)
        )

    def row(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "expressions")
        if len(node.expressions) < 2:
            raise self.no(node, "(x,)", "请写 (x) 或 (x, y)。", "Write (x) or (x, y).")
        return syntax.Row(tuple(self.expr(item) for item in node.expressions), place=self.place(node))

    def list_of(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "expressions")
        return syntax.Call(
            "list", tuple(self.expr(item) for item in node.expressions), place=self.place(node)
        )

    def bracket(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expressions")
        if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
            raise self.no(
                node, "x[a:b]", "请写 x[i] 或 substring(x, i, n)。", "Write x[i] or substring(x, i, n)."
            )
        return syntax.Call(
            "list_extract",
            (self.operand(node.this, _CAST, node), self.expr(node.expressions[0])),
            place=self.place(node),
        )

    def case(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "ifs", "default")
        operand, otherwise = node.args.get("this"), node.args.get("default")
        whens = []
        for when in node.args["ifs"]:
            self.only(when, "this", "true")
            whens.append((self.expr(when.this), self.expr(when.args["true"])))
        if not whens:
            raise Refused("sql.syntax", place=self.place(node), near="CASE")
        return syntax.Case(
            self.expr(operand) if operand is not None else None,
            tuple(whens),
            self.expr(otherwise) if otherwise is not None else None,
            place=self.place(node),
        )

    def cast(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "to", "safe")
        tried = isinstance(node, exp.TryCast)
        place = self.place(node)
        to, precision, scale = self.type(node.args["to"], place)
        operand = self.expr(node.this)
        if isinstance(operand, syntax.Literal) and isinstance(operand.value, str) and not tried:
            reader = {syntax.TypeName.DATE: as_date, syntax.TypeName.TIMESTAMP: as_timestamp}.get(to)
            if reader is not None:
                value = reader(operand.value.strip())
                if value is None:
                    raise Refused("sql.malformed_date", place=place, type=to.upper())
                return syntax.Literal(value, place=place)
        return syntax.Cast(operand, to, precision, scale, tried, place=place)

    def type(self, node: exp.Expr, place: Place | None) -> tuple[syntax.TypeName, int | None, int | None]:
        to = _TYPES.get(node.this) if isinstance(node, exp.DataType) else None
        if to is None or _given_any(node, "nested", "values", "kind", "nullable", "collate"):
            raise Refused("sql.type", place=place, type=self.type_text(node))
        sizes = [self.size(item, place) for item in node.args.get("expressions") or ()]
        if to is not syntax.TypeName.DECIMAL:
            if sizes:
                raise Refused("sql.type", place=place, type=f"{to.upper()}(…)")
            return to, None, None
        precision, scale = (sizes + [0])[:2] if sizes else (18, 3)
        if len(sizes) > 2 or not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise Refused("sql.type", place=place, type="DECIMAL(…)")
        return to, precision, scale

    def type_text(self, node: exp.Expr) -> str:
        """As typed, for the message."""
        placeholder = re.search(r"_w(\d+)", str(node.args.get("kind") or ""))
        if placeholder:
            return self.lexemes[int(placeholder[1])].text[:40].upper()
        return str(node.this.value) if isinstance(node.this, exp.DType) else "…"

    def size(self, node: exp.Expr, place: Place | None) -> int:
        literal = node.this if isinstance(node, exp.DataTypeParam) else node
        if isinstance(literal, exp.Literal) and not literal.is_string and not _given_any(node, "expression"):
            value = self.value(literal).value
            if type(value) is int:
                return value
        raise Refused("sql.type", place=place, type="DECIMAL(…)")

    def method(self, node: exp.Expr) -> syntax.Expr:
        raise self.no(
            node, "x.f(…)", "请写 f(x)，函数名前不加前缀。", "Write f(x), with nothing before the name."
        )

    def interval(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "unit")
        place = self.place(node)
        unit = node.args["unit"].name.lower() if node.args.get("unit") else None
        amount = self.expr(node.this)
        if isinstance(amount, syntax.Literal) and isinstance(amount.value, str):
            match = re.fullmatch(r"\s*([+-]?\d{1,9})\s*([A-Za-z]*)\s*", amount.value)
            written = words.UNITS.get(match[2].lower()) if match else None
            if match is None or (unit is None) == (match[2] == "") or (match[2] and written is None):
                raise self.no(node, "INTERVAL '…'", "请写 INTERVAL 10 DAY 或 INTERVAL '10 days'。",
                              "Write INTERVAL 10 DAY or INTERVAL '10 days'.")  # fmt: skip
            amount, unit = replace(amount, value=int(match[1])), unit or written
        if unit is None:
            raise self.no(
                node, "INTERVAL n", "请写单位，如 INTERVAL 10 DAY。", "Give a unit, as in INTERVAL 10 DAY."
            )
        return syntax.Call("interval", (amount, syntax.Literal(unit)), place=place)

    def extract(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression")
        part, place = node.this, self.place(node)
        if isinstance(part, exp.Literal) and part.is_string:
            name = str(self.value(part).value)
        elif isinstance(part, exp.Var | exp.Column | exp.Identifier):
            match = re.fullmatch(r"_W(\d+)", part.name, re.IGNORECASE)
            name = self.take(int(match[1])).text if match else part.name
        else:
            name = ""
        return self.part_of(name, (self.expr(node.expression),), place)

    def part_of(self, part: str, args: tuple[syntax.Expr, ...], place: Place | None) -> syntax.Expr:
        if part.lower() not in words.PARTS:
            raise Refused("sql.unsupported", place=place, what=f"EXTRACT({part[:40]} …)",
                          hint_zh="请写 year、quarter、month、week、day、dow、hour 等。",
                          hint_en="Write year, quarter, month, week, day, dow, hour or the like.")  # fmt: skip
        return syntax.Call(words.PARTS[part.lower()], args, place=place)

    def no_brackets(self, node: exp.Expr) -> syntax.Expr:
        self.only(node)
        return syntax.Call(
            "current_date" if isinstance(node, exp.CurrentDate) else "now", place=self.place(node)
        )

    # calls

    def call(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expressions")
        place = self.place(node)
        typed = node.this if isinstance(node.this, str) else self.name(node.this)
        distinct = False
        orders: tuple[syntax.Order, ...] = ()
        args: list[syntax.Expr] = []
        nodes = list(node.expressions)
        if nodes and isinstance(nodes[-1], exp.Order):
            orders = self.orders(nodes[-1])
            nodes[-1] = nodes[-1].this
        if len(nodes) == 1 and isinstance(nodes[0], exp.Distinct):
            self.only(nodes[0], "expressions")
            distinct, nodes = True, list(nodes[0].expressions)
        for item in nodes:
            args.append(self.star(item) if isinstance(item, exp.Star) else self.expr(item))
        return self.canonical(typed.lower(), tuple(args), distinct, orders, place)

    def canonical(
        self,
        function: str,
        args: tuple[syntax.Expr, ...],
        distinct: bool,
        order: tuple[syntax.Order, ...],
        place: Place | None,
    ) -> syntax.Expr:
        """The call under the one name that later stages know it by."""
        function = CANONICAL.get(function, function)
        if function == "columns" and not distinct and not order:
            return self.columns(args, place)
        if _ALL_COLUMNS in args:
            if function != "count" or len(args) > 1 or distinct:
                raise Refused("sql.unsupported", place=place, what=f"{function[:40]}(*)",
                              hint_zh="* 只能写在 count(*) 里。", hint_en="Only count(*) takes a *.")  # fmt: skip
            args = ()
        if function == "log" and len(args) == 1:
            function = "log10"
        if function in _CONTAINS and len(args) == 2 and not distinct and not order:
            among = args[0]
            if isinstance(among, syntax.Call) and among.function == "list" and among.args:
                return syntax.In(args[1], among.args, place=place)
        if not distinct and not order:
            if function in AS_CASE and len(args) == 3:
                return syntax.Case(None, ((args[0], args[1]),), args[2], place=place)
            if function in ("date_part", "date_trunc", "date_diff", "date_sub") and args:
                part = args[0]
                if not isinstance(part, syntax.Literal) or not isinstance(part.value, str):
                    raise Refused("sql.unsupported", place=place, what=f"{function}(…)", hint_zh="第一个参数请写 'month' 之类。",
                                  hint_en="Give a literal such as 'month' first.")  # fmt: skip
                call = self.part_of(part.value, args[1:], place)
                if function == "date_part":
                    return call
                assert isinstance(call, syntax.Call)
                args = (replace(part, value=call.function), *args[1:])
        return syntax.Call(function, args, distinct, order=order, place=place)

    def columns(self, args: tuple[syntax.Expr, ...], place: Place | None) -> syntax.Expr:
        if args == (_ALL_COLUMNS,):
            return syntax.Star(pattern=".*", place=place)
        pattern = args[0].value if len(args) == 1 and isinstance(args[0], syntax.Literal) else None
        if isinstance(pattern, str) and _is_simple(pattern):
            return syntax.Star(pattern=pattern, place=place)
        raise Refused("sql.unsupported", place=place, what="COLUMNS(…)", hint_zh="请写简单的模式，如 COLUMNS('n_.*')，或逐列书写。",
                      hint_en="Write a simple pattern such as COLUMNS('n_.*'), or name the columns.")  # fmt: skip

    def modified(self, node: exp.Expr) -> syntax.Call:
        """The call inside FILTER, WITHIN GROUP or OVER."""
        inner = self.expr(node.this)
        if not isinstance(inner, syntax.Call) or not isinstance(
            node.this, exp.Anonymous | exp.Filter | exp.WithinGroup
        ):
            raise self.no(node, f"… {node.key.upper()}", "只能用于函数。", "It goes with a function only.")
        return inner

    def filtered(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression")
        call = self.modified(node)
        if call.where is not None:
            raise self.no(node, "FILTER FILTER", "请只写一个 FILTER。", "Write one FILTER.")
        return replace(call, where=self.clause(node.expression))

    def within_group(self, node: exp.Expr) -> syntax.Expr:
        self.only(node, "this", "expression")
        call = self.modified(node)
        order = self.orders(node.expression)
        if call.order or call.where is not None or call.distinct:
            raise self.no(node, "WITHIN GROUP", "请只写一个 ORDER BY。", "Write one ORDER BY.")
        if call.function in ("quantile_cont", "quantile_disc"):
            if len(call.args) != 1 or len(order) != 1 or order[0].descending:
                raise self.no(node, "WITHIN GROUP", "请写 percentile_cont(0.5) WITHIN GROUP (ORDER BY x)。",
                              "Write percentile_cont(0.5) WITHIN GROUP (ORDER BY x).")  # fmt: skip
            return replace(call, args=(order[0].expr, call.args[0]))
        if call.function == "mode" and not call.args and len(order) == 1:
            return replace(call, args=(order[0].expr,))
        return replace(call, order=order)

    def windowed(self, node: exp.Expr) -> syntax.Expr:
        call = self.modified(node)
        if call.window is not None:
            raise self.no(node, "OVER OVER", "请只写一个 OVER。", "Write one OVER.")
        alias = node.args.get("alias")
        if alias is None:
            return replace(call, window=self.window(node))
        name = self.name(alias)
        if _given_any(node, "partition_by", "order", "spec"):
            raise self.no(
                node, "OVER (w …)", "请写 OVER w，或写全 OVER (…)。", "Write OVER w, or all of OVER (…)."
            )
        window = self.windows[-1].get(name.lower()) if self.windows else None
        if window is None:
            raise Refused("sql.window", place=self.place(node), name=name)
        return replace(call, window=window)

    def window(self, node: exp.Expr) -> syntax.Window:
        self.only(node, "this", "partition_by", "order", "spec", "over")
        partition = tuple(self.expr(item) for item in node.args.get("partition_by") or ())
        return syntax.Window(
            partition, self.orders(node.args.get("order")), self.frame(node.args.get("spec"))
        )

    def frame(self, node: exp.Expr | None) -> tuple[syntax.Frame, str, str] | None:
        if node is None:
            return None
        self.only(node, "kind", "start", "start_side", "end", "end_side")
        kind = str(node.args["kind"]).lower()
        if kind not in ("rows", "range"):
            raise self.no(node, kind.upper(), "请写 ROWS 或 RANGE。", "Write ROWS or RANGE.")
        start = self.bound(node, "start")
        end = self.bound(node, "end") if node.args.get("end") else "current row"
        return syntax.Frame(kind), start, end

    def bound(self, node: exp.Expr, key: str) -> str:
        value, side = node.args.get(key), str(node.args.get(f"{key}_side") or "").lower()
        if value == "CURRENT ROW" and not side:
            return "current row"
        if value == "UNBOUNDED" and side:
            return f"unbounded {side}"
        if isinstance(value, exp.Literal) and not value.is_string and side:
            number = self.value(value).value
            if type(number) is int and number >= 0:
                return f"{number} {side}"
        raise self.no(node, "ROWS …", "窗口边界请写整数、UNBOUNDED 或 CURRENT ROW。",
                      "Bound a frame by an integer, UNBOUNDED or CURRENT ROW.")  # fmt: skip


_LEAVE_OUT = ("请去掉这一部分。", "Leave that part out.")
_OTHERWISE = ("请换一种写法。", "Write it in another way.")

_QUERIES: dict[type[exp.Expr], Callable[[_Converter, Any], syntax.Query]] = {
    exp.Select: _Converter.select,
    exp.Union: _Converter.set_operation,
    exp.Intersect: _Converter.set_operation,
    exp.Except: _Converter.set_operation,
    exp.Values: _Converter.values,
    exp.Subquery: _Converter.bracketed,
    exp.Pivot: _Converter.pivot,
}

_RELATIONS: dict[type[exp.Expr], Callable[[_Converter, Any], syntax.From]] = {
    exp.Table: _Converter.table,
    exp.Subquery: _Converter.derived,
    exp.Values: _Converter.values_table,
    exp.Lateral: _Converter.lateral,
}

_EXPRESSIONS: dict[type[exp.Expr], Callable[[_Converter, Any], syntax.Expr]] = {
    **dict.fromkeys(_BINARY, _Converter.binary),
    exp.EQ: _Converter.equality,
    exp.NEQ: _Converter.equality,
    exp.Escape: _Converter.escape,
    exp.Not: _Converter.negation,
    exp.Neg: _Converter.minus,
    exp.Paren: _Converter.paren,
    exp.Is: _Converter.is_test,
    exp.Between: _Converter.between,
    exp.In: _Converter.membership,
    exp.Exists: _Converter.exists,
    exp.Subquery: _Converter.scalar,
    exp.Column: _Converter.column,
    exp.Literal: _Converter.literal,
    exp.Boolean: _Converter.constant,
    exp.Null: _Converter.constant,
    exp.Tuple: _Converter.row,
    exp.Array: _Converter.list_of,
    exp.Bracket: _Converter.bracket,
    exp.Case: _Converter.case,
    exp.Cast: _Converter.cast,
    exp.TryCast: _Converter.cast,
    exp.Interval: _Converter.interval,
    exp.Extract: _Converter.extract,
    exp.CurrentDate: _Converter.no_brackets,
    exp.CurrentTimestamp: _Converter.no_brackets,
    exp.Anonymous: _Converter.call,
    exp.Dot: _Converter.method,
    exp.Filter: _Converter.filtered,
    exp.WithinGroup: _Converter.within_group,
    exp.Window: _Converter.windowed,
}

_JOINS: dict[tuple[str, str, str], tuple[syntax.JoinKind, bool]] = {
    ("", "", ""): (syntax.JoinKind.INNER, False),
    ("", "", "INNER"): (syntax.JoinKind.INNER, False),
    ("", "", "CROSS"): (syntax.JoinKind.CROSS, False),
    ("", "", "SEMI"): (syntax.JoinKind.SEMI, False),
    ("", "", "ANTI"): (syntax.JoinKind.ANTI, False),
    ("ASOF", "", ""): (syntax.JoinKind.ASOF, False),
    ("POSITIONAL", "", ""): (syntax.JoinKind.POSITIONAL, False),
    ("", "", "POSITIONAL"): (syntax.JoinKind.POSITIONAL, False),
    ("NATURAL", "", ""): (syntax.JoinKind.INNER, True),
    ("NATURAL", "", "INNER"): (syntax.JoinKind.INNER, True),
    **{
        (method, side, outer): (syntax.JoinKind(side.lower()), bool(method))
        for method in ("", "NATURAL")
        for side in ("LEFT", "RIGHT", "FULL")
        for outer in ("", "OUTER")
    },
}


def _is_from(node: exp.Expr) -> bool:
    """Whether what stands in brackets are tables, not a query."""
    if isinstance(node, exp.Subquery):
        return bool(node.args.get("joins")) or (node.args.get("alias") is None and _is_from(node.this))
    return isinstance(node, exp.Table)


def _given(node: exp.Expr) -> list[str]:
    return [
        key for key, value in node.args.items() if value is not None and value is not False and value != []
    ]


def _given_any(node: exp.Expr, *keys: str) -> bool:
    return any(key in keys for key in _given(node))


def _negated(call: syntax.Expr, place: Place | None = None) -> syntax.Call:
    return syntax.Call("not", (call,), place=place or call.place)


def _sign(node: object) -> str:
    if isinstance(node, exp.Expr):
        return _BINARY.get(type(node), node.key).upper()
    return "?"


def _first_starts(tree: exp.Expr, starts: Mapping[int, int]) -> dict[int, int]:
    """Where each node begins, by its id."""
    first: dict[int, int] = {}
    for node in reversed(list(tree.bfs())):
        own = node._meta.get("start") if node._meta else None
        known = [first[id(child)] for child in node.iter_expressions() if id(child) in first]
        if own is not None and own in starts:
            known.append(own)
        if known:
            first[id(node)] = min(known)
    return first


def _children(value: object) -> Iterator[object]:
    """The nodes right below one of our tree."""
    parts = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else [value]
    while parts:
        part = parts.pop()
        if isinstance(part, tuple):
            parts.extend(part)
        elif is_dataclass(part):
            yield part


def _check_height(
    tree: _Node, children: Callable[[_Node], Iterator[_Node]], limits: Limits, place: Place
) -> None:
    """Chains are as high as they are long; whoever walks our tree must not fall off."""
    level = [tree]
    height = 0
    while level:
        height += 1
        if height > limits.chain:
            raise Refused("sql.nesting", place=place, limit=limits.chain)
        level = [child for node in level for child in children(node)]


# ------------------------------------------------------------------------------------ digests


def canonical(query: syntax.Query) -> str:
    """A stable JSON text of the tree, without places: what digests are taken of."""
    return json.dumps(_plain(query, literals=True), ensure_ascii=False, separators=(",", ":"))


def shape(query: syntax.Query) -> str:
    """The same without literals and headings: which questions differ in their constants only."""
    return json.dumps(_plain(query, literals=False), ensure_ascii=False, separators=(",", ":"))


def _plain(value: object, *, literals: bool) -> object:
    if isinstance(value, syntax.Literal):
        return ["Literal", type(value.value).__name__, str(value.value) if literals else "?"]
    if is_dataclass(value):
        return [type(value).__name__, *(
            _plain(getattr(value, field.name), literals=literals) for field in _compared(value, literals)
        )]  # fmt: skip
    if isinstance(value, tuple):
        return [_plain(item, literals=literals) for item in value]
    return value


def _compared(value: Any, literals: bool) -> Iterator[Any]:
    return (field for field in fields(value) if field.compare and (literals or field.name != "text"))
