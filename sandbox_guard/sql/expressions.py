"""What an expression means in a scope: names become columns, calls become typed applications."""

from __future__ import annotations

import difflib
from dataclasses import replace

from sandbox_guard.errors import Refused
from sandbox_guard.sql import aggregates, functions, syntax, ties
from sandbox_guard.sql.kinds import Open, Private, Relation
from sandbox_guard.sql.relation import (
    Column,
    Computed,
    Constant,
    Domain,
    ExistsIn,
    Expr,
    Filter,
    Project,
    ReleasedScalar,
    ScalarOf,
    Type,
)
from sandbox_guard.sql.scope import Scope
from sandbox_guard.sql.walk import free_columns

TRUTH = Domain(Type.BOOLEAN, values=(False, True), nullable=False)


def bind_expr(expr: syntax.Expr, scope: Scope) -> Expr:
    """The typed expression. Raises `Refused`."""
    if scope.grouped is not None and not isinstance(expr, syntax.Literal):
        held = scope.grouped(expr)
        if held is not None:
            return held
    match expr:
        case syntax.Name():
            return _name(expr, scope)
        case syntax.Literal(value=value):
            return functions.constant(value)
        case syntax.Parameter():
            raise Refused("sql.parameter_unbound", place=expr.place, name=expr.name)
        case syntax.Star():
            raise Refused("sql.star", place=expr.place)
        case syntax.Call():
            return _call(expr, scope)
        case syntax.Case():
            return _case(expr, scope)
        case syntax.Cast():
            operand = bind_expr(expr.operand, scope)
            return functions.cast(operand, expr.to, expr.precision, expr.scale, expr.place)
        case syntax.In():
            return _membership(expr, scope)
        case syntax.Exists():
            return _exists(expr, scope)
        case syntax.Scalar():
            return _scalar(expr, scope)
        case syntax.Row():
            raise Refused("sql.row", place=expr.place)


def bind_predicate(expr: syntax.Expr, scope: Scope) -> Expr:
    bound = bind_expr(expr, scope)
    if bound.domain.type not in (Type.BOOLEAN, Type.NULL):
        raise Refused("sql.not_boolean", place=expr.place, type=bound.domain.type.value)
    return bound


def conjuncts(expr: syntax.Expr | None) -> tuple[syntax.Expr, ...]:
    """The conditions that all must hold."""
    if expr is None:
        return ()
    if isinstance(expr, syntax.Call) and expr.function == "and":
        return tuple(c for arg in expr.args for c in conjuncts(arg))
    if isinstance(expr, syntax.Call) and expr.function == "between":
        x, lo, hi = expr.args
        return (syntax.Call(">=", (x, lo), place=expr.place), syntax.Call("<=", (x, hi), place=expr.place))
    if isinstance(expr, syntax.Call) and expr.function == "=" and isinstance(expr.args[0], syntax.Row):
        return _row_equality(expr)
    return (expr,)


# --------------------------------------------------------------------------------- the cases


def _name(expr: syntax.Name, scope: Scope) -> Expr:
    label = expr.parts[0].lower() if len(expr.parts) == 1 else None
    if label is not None and scope.aliases_first and label in scope.outputs:
        return scope.outputs[label]
    try:
        column = scope.column(expr)
    except Refused as refusal:
        if refusal.code.startswith("name.column") and label is not None:
            if label in scope.outputs:
                return scope.outputs[label]
            if label in scope.aliases:
                meant = scope.aliases[label]
                kept = scope.aliases
                scope.aliases = {k: v for k, v in kept.items() if k != label}  # not itself
                try:
                    return bind_expr(meant, scope)
                finally:
                    scope.aliases = kept
        if scope.rows is not None:
            scope.rows.column(expr)
            raise Refused("sql.not_grouped", place=expr.place, name=expr.parts[-1]) from None
        raise
    return column


def _call(expr: syntax.Call, scope: Scope) -> Expr:
    if expr.window is not None:
        if scope.window is None:
            raise Refused("sql.window_here", place=expr.place)
        return scope.window(expr, scope)
    if expr.function in aggregates.AGGREGATES:
        if scope.aggregate is None:
            raise Refused("sql.aggregate_here", place=expr.place, function=expr.function)
        return scope.aggregate(expr)
    if expr.function in ("today", "current_date"):
        return functions.constant(scope.binding.today)
    if expr.function in ("now", "current_timestamp"):
        raise Refused("sql.now", place=expr.place)
    if expr.function in ("=", "<>") and any(isinstance(a, syntax.Row) for a in expr.args):
        parts = tuple(bind_expr(p, scope) for p in _row_equality(expr))
        equal = ties.conjunction(parts)
        assert equal is not None
        return equal if expr.function == "=" else functions.apply("not", (equal,), expr.place)
    if (expr.distinct or expr.where is not None or expr.order) and expr.function in functions.FUNCTIONS:
        raise Refused("sql.not_an_aggregate", place=expr.place, function=expr.function)
    args = tuple(bind_expr(a, scope) for a in expr.args)
    if expr.function == "list_extract" and args and args[0].domain.type is Type.STRING:
        return functions.apply("substring", (*args, functions.constant(1)), expr.place)  # text[1]
    if expr.function in ("=", "<>"):
        _say_unlisted(args, scope)
    try:
        return functions.apply(expr.function, args, expr.place)
    except Refused as refused:
        near = difflib.get_close_matches(expr.function, aggregates.AGGREGATES, 1, 0.7)
        if refused.code != "sql.function_unknown" or not near:
            raise
        raise Refused("sql.function_near", place=expr.place, function=expr.function, near=near[0]) from None


def _say_unlisted(sides: tuple[Expr, ...], scope: Scope) -> None:
    """A text that a column never holds: the condition costs what any other costs, and finds nothing."""
    for column in sides:
        if not isinstance(column, Column) or column.domain.type is not Type.STRING:
            continue
        listed = column.domain.values
        if listed is None or all(
            side.value is None or side.value in listed for side in sides if isinstance(side, Constant)
        ):
            continue
        some, more = list(map(str, listed[:8])), " …" if len(listed) > 8 else ""
        label = next((f.label for f in scope.relation.fields if f.column.id == column.id), "")
        scope.binding.note(
            f"列 {label} 从不取条件中写的某个值，请核对。可取：{'、'.join(some)}{more}",
            f"Column {label} never holds a value that a condition names; check it. There are: {', '.join(some)}{more}",
        )


def _row_equality(expr: syntax.Call) -> tuple[syntax.Expr, ...]:
    left, right = expr.args
    if not (isinstance(left, syntax.Row) and isinstance(right, syntax.Row)):
        raise Refused("sql.row", place=expr.place)
    if len(left.items) != len(right.items):
        raise Refused("sql.row", place=expr.place)
    return tuple(
        syntax.Call("=", pair, place=expr.place) for pair in zip(left.items, right.items, strict=True)
    )


def _case(expr: syntax.Case, scope: Scope) -> Expr:
    whens = []
    for condition, result in expr.whens:
        if expr.operand is not None:
            condition = syntax.Call("=", (expr.operand, condition), place=expr.place)
        whens.append((bind_predicate(condition, scope), bind_expr(result, scope)))
    otherwise = bind_expr(expr.otherwise, scope) if expr.otherwise is not None else None
    return functions.case(tuple(whens), otherwise, expr.place)


def _membership(expr: syntax.In, scope: Scope) -> Expr:
    if isinstance(expr.items, tuple):
        return _in_list(expr, expr.items, scope)
    operands = expr.operand.items if isinstance(expr.operand, syntax.Row) else (expr.operand,)
    bound = tuple(bind_expr(o, scope) for o in operands)
    relation = scope.binding.subquery(expr.items, scope)
    if len(relation.fields) != len(bound):
        raise Refused("sql.subquery_columns", place=expr.place, wanted=len(bound))
    if isinstance(relation.kind, Private):
        return _private_membership(expr, bound, relation, scope)
    if not _correlated(relation):
        relation = scope.binding.compute(relation)
    tests = []
    for value, field in zip(bound, relation.fields, strict=True):
        if expr.negated and (field.column.domain.nullable):
            raise Refused("kind.not_in_null", place=expr.place)
        tests.append(functions.apply("=", (value, field.column), expr.place))
    test = ties.conjunction(tuple(tests))
    assert test is not None
    exists = ExistsIn(Filter(relation.node, test), expr.negated, TRUTH)
    if expr.negated:
        known = ties.conjunction(
            tuple(functions.apply("not", (functions.apply("is_null", (v,), None),), None) for v in bound)
        )
        assert known is not None
        return functions.apply("and", (known, exists), expr.place)
    return exists


def _in_list(expr: syntax.In, items: tuple[syntax.Expr, ...], scope: Scope) -> Expr:
    if isinstance(expr.operand, syntax.Row):
        return _in_rows(expr, items, scope)
    operand = bind_expr(expr.operand, scope)
    bound = tuple(bind_expr(i, scope) for i in items)
    _say_unlisted((operand, *bound), scope)
    if all(isinstance(b, Constant) for b in bound):
        constants = tuple(b for b in bound if isinstance(b, Constant))
        return functions.in_values(operand, constants, expr.negated, expr.place)
    test: Expr | None = None
    for item in bound:
        equal = functions.apply("=", (operand, item), expr.place)
        test = equal if test is None else functions.apply("or", (test, equal), expr.place)
    assert test is not None
    return functions.apply("not", (test,), expr.place) if expr.negated else test


def _in_rows(expr: syntax.In, items: tuple[syntax.Expr, ...], scope: Scope) -> Expr:
    """`(a, b) IN ((1, 2), (3, 4))`"""
    equal = tuple(syntax.Call("=", (expr.operand, item), place=expr.place) for item in items)
    found: syntax.Expr = syntax.Call("or", equal, place=expr.place) if len(equal) > 1 else equal[0]
    return bind_predicate(syntax.Call("not", (found,), place=expr.place) if expr.negated else found, scope)


def _private_membership(expr: syntax.In, bound: tuple[Expr, ...], relation: Relation, scope: Scope) -> Expr:
    """`unit IN (SELECT unit FROM private …)`, printed as [NOT] EXISTS on the dense ids. The unit is
    never NULL (the invariant), so IN and EXISTS agree; other columns may not be NULL under NOT IN."""
    tests = []
    for value, field in zip(bound, relation.fields, strict=True):
        if expr.negated and (value.domain.nullable or field.column.domain.nullable):
            raise Refused("kind.not_in_null", place=expr.place)
        tests.append(functions.apply("=", (value, field.column), expr.place))
    tied = ties.restricted(relation, tuple(tests), scope)
    ties.require_correlated(tied, expr.place)
    return ExistsIn(tied.node, expr.negated, TRUTH)


def _exists(expr: syntax.Exists, scope: Scope) -> Expr:
    relation = scope.binding.subquery(expr.query, scope)
    if isinstance(relation.kind, Private):
        ties.require_correlated(relation, expr.place)
    elif not _correlated(relation):
        relation = scope.binding.compute(relation)
    return ExistsIn(relation.node, expr.negated, TRUTH)


def _scalar(expr: syntax.Scalar, scope: Scope) -> Expr:
    relation = scope.binding.subquery(expr.query, scope)
    if len(relation.fields) != 1:
        raise Refused("sql.subquery_columns", place=expr.place, wanted=1)
    column = relation.fields[0].column
    if isinstance(relation.kind, Private):
        ties.require_correlated(relation, expr.place)
        if relation.contribution.rows() != 1:
            raise Refused("kind.scalar_rows", place=expr.place)
        only = Project(relation.node, ((scope.binding.column(column), column),))
        return ScalarOf(only, _nullable(column.domain), column.scale)
    if relation.contribution.rows() != 1:
        raise Refused("kind.scalar_rows", place=expr.place)
    if not _correlated(relation):
        computed = scope.binding.compute(relation)
        assert isinstance(computed.node, Computed) and isinstance(computed.kind, Open)
        domain = _nullable(column.domain)
        if computed.kind.released:
            # To interval arithmetic the range of a released value is unbounded (SOUNDNESS 17).
            domain = Domain(domain.type, nullable=True)
        if _in_private(scope):
            return ReleasedScalar(computed.node.index, 0, domain)
        return ScalarOf(computed.node, domain, column.scale)
    return ScalarOf(relation.node, _nullable(column.domain), column.scale)


def _nullable(domain: Domain) -> Domain:
    return replace(domain, nullable=True)


def _in_private(scope: Scope) -> bool:
    """Will this expression be computed row by row over private data?"""
    return any(s.relation.private and s.grouped is None for s in scope.scopes())


def _correlated(relation: Relation) -> bool:
    return bool(free_columns(relation.node))
