"""sqlglot's DuckDB grammar, narrowed: placeholders in, sqlglot nodes out, for `sandbox_guard.sql.parse` only.

What is switched off are the parts that rewrite what was written (typed functions, other dialects' spellings,
index offsets), guess (types before literals, optional keywords) or fall back to an opaque command.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ErrorLevel, SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import TokenType

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import words
from sandbox_guard.sql.text import Lexeme

logging.getLogger("sqlglot").disabled = True  # its warnings quote what was parsed


class _Grammar(DuckDBParser):
    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: DuckDBParser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT")
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
        name: DuckDBParser.NO_PAREN_FUNCTION_PARSERS[name] for name in ("CASE", "ANY")
    }
    STATEMENT_PARSERS: ClassVar[dict[TokenType, Any]] = {
        token: DuckDBParser.STATEMENT_PARSERS[token] for token in (TokenType.PIVOT, TokenType.UNPIVOT)
    }

    TYPE_CONVERTERS: ClassVar[dict[Any, Any]] = {}

    def _parse_type(
        self, parse_interval: bool = True, fallback_to_identifier: bool = False
    ) -> exp.Expr | None:
        # A type before a literal is a literal already (`words.bind`), so none is looked for.
        if fallback_to_identifier:
            return super()._parse_type(parse_interval, fallback_to_identifier)
        if (atom := self._parse_atom()) is not None:
            return atom
        if parse_interval and (interval := self._parse_interval()) is not None:
            return interval
        return self._parse_column()

    def _parse_interval(
        self, require_interval: bool = True, parse_function_unit: bool = True
    ) -> exp.Interval | None:
        # As in DuckDB: one string, number, name or (…), then a unit unless the string holds it.
        if self._curr.token_type is not TokenType.INTERVAL or self._next.token_type not in (
            TokenType.STRING,
            TokenType.NUMBER,
            TokenType.IDENTIFIER,
            TokenType.L_PAREN,
        ):
            return None
        self._advance()
        amount = self._parse_primary() or self._parse_id_var()
        if isinstance(amount, exp.Identifier):
            amount = exp.Column(this=amount)
        unit = None
        if self._curr.text.lower() in words.UNITS:
            unit = exp.Var(this=words.UNITS[self._curr.text.lower()])
            self._advance()
        return self.expression(exp.Interval(this=amount, unit=unit))

    def _parse_between(self, this: exp.Expr | None) -> exp.Between:
        low = self._parse_bitwise()
        if not self._match(TokenType.AND):
            self.raise_error("Expected AND")
        return self.expression(exp.Between(this=this, low=low, high=self._parse_bitwise()))

    def _parse_in(self, this: exp.Expr | None, alias: bool = True) -> exp.In:
        # PIVOT … IN (1 AS one); elsewhere an alias is no expression, and refused as such.
        return super()._parse_in(this, alias=True)

    def _parse_paren(self) -> exp.Expr | None:
        # sqlglot adds brackets of its own where it fears for its printing; those that were typed are marked.
        node = super()._parse_paren()
        if isinstance(node, exp.Paren):
            node.meta["typed"] = True
        return node

    def _parse_join(self, *args: Any, **named: Any) -> exp.Join | None:
        # A comma binds looser than JOIN; the list of joins does not show which it was.
        comma = self._curr.token_type is TokenType.COMMA
        join = super()._parse_join(*args, **named)
        if join is not None and comma:
            join.meta["comma"] = True
        return join

    def _parse_expression(self) -> exp.Expr | None:
        start = self._index
        node = super()._parse_expression()
        if node is not None and self._index > start:
            node.meta["span"] = (self._tokens[start].start, self._tokens[self._index - 1].start)
        return node

    def _values_to_select(self, values: exp.Values) -> Any:
        return values

    def _parse_as_command(self, start: Any) -> Any:
        self.raise_error("Unsupported statement", start)

    def _warn_unsupported(self) -> None:
        self.raise_error("Unsupported")


def read(lexemes: list[Lexeme]) -> tuple[exp.Expr, dict[int, int]]:
    """One sqlglot tree over placeholders, and the lexeme's index at each position of its text."""
    text, starts = words.render(lexemes)
    dialect = DuckDB()
    dialect.INDEX_OFFSET = 0  # else a[17] comes back as a[16], another lexeme
    try:
        tokens = dialect.tokenize(text)
        if any(token.start not in starts for token in tokens):
            raise Refused("sql.syntax", place=lexemes[0].place, near=lexemes[0].text[:40])
        trees = _Grammar(dialect=dialect, error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)
    except SqlglotError as error:
        raise _syntax(error, lexemes, starts) from None
    except RecursionError:
        raise Refused("sql.nesting", place=lexemes[0].place, limit=100) from None
    except (AttributeError, TypeError, ValueError, IndexError, KeyError, AssertionError):
        # The grammar is permissive and stumbles over nonsense; nonsense is all that this can be.
        raise Refused("sql.syntax", place=lexemes[0].place, near=lexemes[0].text[:40]) from None
    if len(trees) != 1 or trees[0] is None:
        raise Refused("sql.syntax", place=lexemes[0].place, near=lexemes[0].text[:40])
    return trees[0], starts


def _syntax(error: SqlglotError, lexemes: list[Lexeme], starts: dict[int, int]) -> Refused:
    details = getattr(error, "errors", None) or [{}]
    column = details[0].get("col")
    at = 0
    if isinstance(column, int):
        # One line of text, and sqlglot's column is that of the token's end.
        at = max((index for start, index in starts.items() if start < column), default=0)
    lexeme = lexemes[at]
    return Refused("sql.syntax", place=Place(lexeme.place.line, lexeme.place.column), near=lexeme.text[:40])
