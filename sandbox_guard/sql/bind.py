"""From what was written to what it means: the type checker over the three kinds of relation."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from sandbox_guard.errors import Refused
from sandbox_guard.sql import aggregates, bounds, functions, joins, pivot, statistics, syntax, ties, values
from sandbox_guard.sql.catalogue import CatalogueTable
from sandbox_guard.sql.contribution import UNIT, Contribution, Source
from sandbox_guard.sql.expressions import bind_expr, bind_predicate, conjuncts
from sandbox_guard.sql.grouping import (
    BlockGroups,
    ExactGroups,
    Grouped,
    as_number,
    key_columns,
    rows_known,
    unit_is_key,
)
from sandbox_guard.sql.kinds import Field, Kind, Open, Private, Relation, Unit
from sandbox_guard.sql.levels import NotAdditive, by_level
from sandbox_guard.sql.projection import Item, project, relabelled, touches_released
from sandbox_guard.sql.relation import (
    Apply,
    Column,
    Constant,
    DistinctOf,
    Domain,
    Expr,
    Filter,
    Ordering,
    Project,
    RangeOf,
    Rows,
    Scan,
    SetOf,
    Sort,
    Type,
    WindowCall,
    WindowOf,
)
from sandbox_guard.sql.scope import Binding, Scope, instance
from sandbox_guard.sql.walk import aggregate_calls, columns_of, free_columns, own_nodes

Ctes = dict[str, Relation]


def bind_query(
    query: syntax.Query, binding: Binding, ctes: Ctes | None = None, outer: Scope | None = None
) -> Relation:
    """The relation that a query means. Raises `Refused`."""
    try:
        return _bound(query, binding, dict(ctes or {}), outer)
    except Refused as refused:
        raise refused.at(query.place) from None  # at least to the SELECT


def _bound(query: syntax.Query, binding: Binding, ctes: Ctes, outer: Scope | None) -> Relation:
    for cte in query.tail.ctes:
        bound = bind_query(cte.query, binding, ctes, outer)
        ctes[cte.name.lower()] = relabelled(binding, bound, cte.columns, query.place)
    match query:
        case syntax.Select():
            return _select(query, binding, ctes, outer)
        case syntax.SetOperation():
            return _set_operation(query, binding, ctes, outer)
        case syntax.Values():
            return _ordered(_values(query, binding), query.tail, binding, ctes, outer)
        case syntax.Pivot():
            source = _from(query.source, binding, ctes, outer)
            key = bind_expr(query.on, Scope(binding, source, ctes, outer))
            select = pivot.pivoted(query, _labels(source), bounds.listed(key.domain))
            return _select(select, binding, ctes | {pivot.SOURCE: source}, outer)
        case syntax.Unpivot():
            source = _from(query.source, binding, ctes, outer)
            inner = pivot.unpivoted(replace(query, tail=replace(query.tail, ctes=())), _labels(source))
            return bind_query(inner, binding, ctes | {pivot.SOURCE: source}, outer)


def _labels(source: Relation) -> list[str]:
    return [f.label for f in source.fields if not f.merged]


def subquery(query: syntax.Query, scope: Scope) -> Relation:
    """Bound once however often it is written or tried: each block of it is measured and paid for once."""
    known = scope.binding.subqueries
    for ctes, written, meant in known:
        if written == query and ctes == scope.ctes:
            return meant
    bound = bind_query(query, scope.binding, scope.ctes, scope)
    if isinstance(bound.kind, Open) and not free_columns(bound.node):
        known.append((scope.ctes, query, bound))
    return bound


# --------------------------------------------------------------------------------------- FROM


def _from(source: syntax.From | None, binding: Binding, ctes: Ctes, outer: Scope | None) -> Relation:
    match source:
        case None:
            return Relation(Rows((), ((),)), (), Open(False), Contribution((Source(1, frozenset()),)), 1)
        case syntax.TableName():
            return _table(source, binding, ctes)
        case syntax.Derived():
            bound = bind_query(source.query, binding, ctes, outer)
            return relabelled(binding, bound, source.columns, source.place).aliased(source.alias)
        case syntax.Function():
            return _range(source, binding).aliased(source.alias or source.call.function)
        case syntax.Join():
            return _join(source, binding, ctes, outer)


def _table(name: syntax.TableName, binding: Binding, ctes: Ctes) -> Relation:
    label = name.parts[-1].lower()
    alias = name.alias or name.parts[-1]
    if len(name.parts) == 1 and label in ctes:
        found = instance(binding, ctes[label])
        return relabelled(binding, found, name.columns, name.place).aliased(alias)
    qualified = len(name.parts) == 1 or (len(name.parts) == 2 and name.parts[0].lower() == "main")
    tables = binding.catalogue.tables
    if qualified and label in tables:
        stored = scan(tables[label], binding)
        return relabelled(binding, stored, name.columns, name.place).aliased(alias)
    if qualified and label in binding.catalogue.known:
        raise Refused("access.table", place=name.place, table=label)
    raise Refused("name.table", place=name.place, name=".".join(name.parts), there=", ".join(sorted(tables)))


def scan(table: CatalogueTable, binding: Binding) -> Relation:
    """A stored table, with the facts that policy declares and the loader enforced."""
    policy = table.policy
    columns: dict[str, Column] = {}
    fields = []
    for name, column in policy.columns.items():
        stored = table.domains[name]
        scale = stored.step if stored.type is Type.REAL else None
        enum = stored.type is Type.STRING and column.values is not None
        columns[name.lower()] = Column(binding.number(), stored, scale, enum)
        forbidden = "name.identifier" if column.identifier else "name.other_unit" if column.names else None
        fields.append(Field(name, columns[name.lower()], forbidden=forbidden))

    def ids(names: tuple[str, ...]) -> frozenset[int]:
        return frozenset(columns[n.lower()].id for n in names)

    unique = tuple(ids(u) for u in (*policy.unique, *policy.unique_in_unit))
    named = [(c, n) for n, c in columns.items()]
    everything = frozenset(c.id for c in columns.values())
    sizes = tuple(
        (c.id, len(c.domain.values) + c.domain.nullable)
        for c in columns.values()
        if c.domain.values is not None
    )
    if table.population is None:
        facts = Contribution((Source(policy.max_rows, everything, unique),), sizes=sizes)
        node = Scan(table.dataset, table.name, tuple(named))
        return Relation(node, tuple(fields), Open(False), facts, policy.max_rows)
    whole = Domain(Type.INTEGER, step=Fraction(1), nullable=False)
    dense, rank = Column(binding.number(), whole), Column(binding.number(), whole)
    assert policy.max_rows_per_unit is not None
    rows = policy.max_rows_per_unit
    asked = binding.rows_per_unit
    truth = Domain(Type.BOOLEAN, nullable=False)
    firsts = [
        (Column(binding.number(), truth), f"__first_{n.lower()}") for n, c in policy.columns.items() if c.key
    ]
    own = ((dense, "__unit"), (rank, "__rank"), *firsts)
    node_: Scan | Filter = Scan(table.dataset, table.name, (*named, *own))
    if asked is not None and asked < rows:
        node_ = Filter(node_, functions.apply("<=", (rank, functions.constant(asked)), None))
        rows = asked
    _say_the_cap(table, policy.max_rows_per_unit, rows, binding)
    published = tuple(frozenset({columns[u].id}) for u in table.unit)
    constant = {next(iter(p)) for p in published} | {
        columns[n.lower()].id for n, c in policy.columns.items() if c.unit_constant
    }
    facts = Contribution(
        (Source(rows, everything | {dense.id, rank.id}, (*unique, frozenset({rank.id}))),),
        frozenset((UNIT, c) for c in constant | {dense.id}),
        sizes,
    )
    unit = Unit(dense, published, _leading(table, columns))
    kind = Private(table.population, frozenset({table.dataset}), (unit,), (), rank)
    return Relation(node_, tuple(fields), kind, facts, policy.max_rows)


def _leading(table: CatalogueTable, columns: dict[str, Column]) -> tuple[tuple[str, frozenset[int]], ...]:
    """A row's unique key leads to its unit; so does the foreign key by which the table reaches one."""
    found = {f"{table.dataset}.{table.name}.{u[0].lower()}": u[0] for u in table.policy.unique if len(u) == 1}
    through = table.policy.unit_through
    if through is not None:
        found[f"{table.dataset}.{through.references.lower()}"] = through.column
    return tuple((key, frozenset({columns[c.lower()].id})) for key, c in found.items())


def _say_the_cap(table: CatalogueTable, cap: int, rows: int, binding: Binding) -> None:
    if rows < cap:
        binding.note(
            f"表 {table.name}：每个隐私单元只计入 {rows} 行（按要求），其余不计。",
            f"Table {table.name}: of each privacy unit only {rows} rows count, as asked; the rest do not.",
        )
    elif cap > 1:
        binding.note(
            f"表 {table.name}：每个隐私单元最多保留 {cap} 行，超出部分在入库时已舍去。",
            f"Table {table.name}: at most {cap} rows of each privacy unit were kept when it was loaded.",
        )


def _range(source: syntax.Function, binding: Binding) -> Relation:
    call = source.call
    bounds = [a.value for a in call.args if isinstance(a, syntax.Literal)]
    if call.function not in ("range", "generate_series"):
        raise Refused("sql.table_function", place=call.place, function=call.function)
    if len(bounds) != len(call.args) or not all(type(b) is int for b in bounds) or not 1 <= len(bounds) <= 3:
        raise Refused("sql.range", place=call.place)
    numbers = [b for b in bounds if isinstance(b, int)]
    start, stop, step = (
        (0, numbers[0], 1)
        if len(numbers) == 1
        else (numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 1)
    )
    if step <= 0:
        raise Refused("sql.range", place=call.place)
    if call.function == "generate_series":
        stop += 1
    span = range(start, stop, step)
    if len(span) > 1_000_000:
        raise Refused("sql.range", place=call.place)
    values = tuple(span) if len(span) <= 10_000 else None
    lo, hi = (span[0], span[-1]) if span else (0, 0)
    column = Column(
        binding.number(),
        Domain(Type.INTEGER, Fraction(lo), Fraction(hi), Fraction(1), values, False),
    )
    facts = Contribution((Source(len(span), frozenset({column.id}), (frozenset({column.id}),)),))
    label = source.columns[0] if source.columns else call.function
    return Relation(
        RangeOf(column, start, stop, step), (Field(label, column),), Open(False), facts, len(span)
    )


def _join(source: syntax.Join, binding: Binding, ctes: Ctes, outer: Scope | None) -> Relation:
    left = _from(source.left, binding, ctes, outer)
    if isinstance(source.right, syntax.Derived) and source.right.lateral:
        right = _from(source.right, binding, ctes, Scope(binding, left, ctes, outer))
        if isinstance(right.kind, Private) or free_columns(right.node):
            scope = Scope(binding, joins.both(left, right), ctes, outer)
            conditions = tuple(bind_predicate(c, scope) for c in conjuncts(source.on))
            return joins.lateral(left, right, source.kind, conditions, binding, source.place)
    else:
        right = _from(source.right, binding, ctes, outer)
    using = joins.natural(left, right) if source.natural else source.using

    def on(both: Relation) -> tuple[Expr, ...]:
        scope = Scope(binding, both, ctes, outer)
        return tuple(bind_predicate(c, scope) for c in conjuncts(source.on))

    return joins.join(left, right, source.kind, on, using, binding, outer, source.place)


def _values(query: syntax.Values, binding: Binding) -> Relation:
    scope = Scope(binding, _from(None, binding, {}, None), {})
    rows = tuple(tuple(bind_expr(e, scope) for e in row) for row in query.rows)
    if not rows or any(len(r) != len(rows[0]) for r in rows):
        raise Refused("sql.values", place=query.place)
    if not all(isinstance(e, Constant) for row in rows for e in row):
        raise Refused("sql.values", place=query.place)
    constants = tuple(tuple(e for e in row if isinstance(e, Constant)) for row in rows)
    columns = tuple(
        Column(binding.number(), _union(tuple(row[i] for row in constants))) for i in range(len(rows[0]))
    )
    # A bare NULL takes the type of its column.
    constants = tuple(
        tuple(
            replace(e, domain=c.domain) if e.value is None else e for e, c in zip(row, columns, strict=True)
        )
        for row in constants
    )
    facts = Contribution((Source(len(rows), frozenset(c.id for c in columns)),))
    fields = tuple(Field(f"col{i}", c) for i, c in enumerate(columns))
    return Relation(Rows(columns, constants), fields, Open(False), facts, len(rows))


# ------------------------------------------------------------------------------------- SELECT


def _select(query: syntax.Select, binding: Binding, ctes: Ctes, outer: Scope | None) -> Relation:
    if query.distinct_on:
        query = _first_of_each(query)
    source = _from(query.source, binding, ctes, outer)
    aliases = {p.alias.lower(): p.expr for p in query.projections if p.alias}
    scope = Scope(binding, source, ctes, outer, aliases)
    conditions = tuple(bind_predicate(c, scope) for c in conjuncts(query.where))
    source = ties.restricted(source, conditions, outer)
    if touches_released(binding, conditions) and isinstance(source.kind, Open):
        source = replace(source, kind=Open(True))
    if isinstance(source.kind, Private):
        _ = source.kind.unit  # every pair is tied by now
    scope.relation = source
    projections = _expanded(query.projections, source)
    group = _group_items(query, projections, scope)
    if group is None:
        return _rows(query, projections, scope)
    items, sets = group
    before = binding.mark()
    try:
        return _groups(query, projections, scope, items, sets)
    except NotAdditive:
        binding.back_to(before)
        named = tuple(_as_name(i) if isinstance(i, Field) else i for i in items)
        return bind_query(by_level(query, named, sets), binding, ctes, outer)


def _first_of_each(query: syntax.Select) -> syntax.Select:
    """`DISTINCT ON (k) … ORDER BY k, x` as the window that it stands for; every rule of windows holds."""
    if query.qualify is not None or query.tail.order_all:
        raise Refused("sql.distinct_on", place=query.place)
    order = tuple(replace(o, expr=_positioned(o.expr, query)) for o in query.tail.order)
    keys = tuple(_positioned(k, query) for k in query.distinct_on)
    window = syntax.Window(keys, tuple(o for o in order if o.expr not in keys))
    first = syntax.Call("row_number", window=window, place=query.place)
    one = syntax.Literal(1, query.place)
    return replace(query, distinct_on=(), qualify=syntax.Call("=", (first, one), place=query.place))


def _positioned(expr: syntax.Expr, query: syntax.Select) -> syntax.Expr:
    """What `ORDER BY 2` means."""
    if not (isinstance(expr, syntax.Literal) and type(expr.value) is int):
        return expr
    if not 1 <= expr.value <= len(query.projections):
        raise Refused("name.position", place=expr.place, position=expr.value, most=len(query.projections))
    return query.projections[expr.value - 1].expr


Named = tuple[str, "syntax.Expr | Field"]


def _expanded(projections: tuple[syntax.Projection, ...], source: Relation) -> tuple[Named, ...]:
    """Stars become the columns they stand for."""
    result: list[Named] = []
    for projection in projections:
        if isinstance(projection.expr, syntax.Star):
            result += _star(projection.expr, source)
        elif (fractions := _fractions(projection.expr)) is not None:
            result += _quantiles(projection, fractions)
        else:
            result.append((projection.alias or _heading(projection), projection.expr))
    return tuple(result)


def _fractions(expr: syntax.Expr) -> tuple[syntax.Literal, ...] | None:
    """Of `quantile_cont(x, [0.25, 0.5])`."""
    if not (isinstance(expr, syntax.Call) and expr.function in ("quantile_cont", "quantile_disc")):
        return None
    if len(expr.args) != 2 or not isinstance(expr.args[1], syntax.Call) or expr.args[1].function != "list":
        return None
    literals = tuple(a for a in expr.args[1].args if isinstance(a, syntax.Literal))
    return literals if len(literals) == len(expr.args[1].args) and literals else None


def _quantiles(projection: syntax.Projection, fractions: tuple[syntax.Literal, ...]) -> list[Named]:
    """A column for each fraction, since no list leaves: `q_25`, `q_50`."""
    call = projection.expr
    assert isinstance(call, syntax.Call)
    label = projection.alias or call.function
    return [
        (f"{label}_{_percent(f.value)}", replace(call, args=(call.args[0], f), place=call.place))
        for f in fractions
    ]


def _percent(fraction: object) -> str:
    """0.25 as 25, 0.975 as 97_5."""
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float, Decimal)):
        return str(fraction)
    return f"{float(fraction) * 100:g}".replace(".", "_")


def _heading(projection: syntax.Projection) -> str:
    if isinstance(projection.expr, syntax.Name):
        return projection.expr.parts[-1]
    return projection.text


def _star(star: syntax.Star, source: Relation) -> list[Named]:
    replaced = {label.lower(): expr for label, expr in star.replace}
    renamed = {old.lower(): new for old, new in star.rename}
    excluded = {label.lower() for label in star.exclude}
    result: list[Named] = []
    for f in source.fields:
        label = f.label.lower()
        if star.qualifier is None and f.merged:
            continue
        if star.qualifier is not None and (f.qualifier or "").lower() != star.qualifier.lower():
            continue
        if label in excluded:
            continue
        if star.like is not None and not values.evaluate(
            functions.apply("like", (functions.constant(f.label), functions.constant(star.like))), {}
        ):
            continue
        if star.pattern is not None and not re.search(star.pattern, f.label):
            continue
        if label in replaced:
            result.append((f.label, replaced[label]))
        else:
            result.append((renamed.get(label, f.label), f))
    if not result:
        raise Refused("name.star_empty", place=star.place)
    return result


def _group_items(
    query: syntax.Select, projections: tuple[Named, ...], scope: Scope
) -> tuple[tuple[syntax.Expr | Field, ...], tuple[tuple[int, ...], ...]] | None:
    """The keys, and the grouping sets over them; None where the query groups nothing."""
    named = tuple(e for _, e in projections if not isinstance(e, Field))
    order = tuple(o.expr for o in query.tail.order)
    calls = [*aggregate_calls((named, query.having, query.qualify, order), frozenset(aggregates.AGGREGATES))]
    if query.group is None:
        if not calls and query.having is None:
            return None
        return (), ()
    if query.group.everything:
        keys = tuple(
            e
            for _, e in projections
            if isinstance(e, Field)
            or not (
                list(aggregate_calls(e, frozenset(aggregates.AGGREGATES))) or isinstance(e, syntax.Literal)
            )
        )
        return keys, ()
    items = tuple(_group_item(i, projections, scope) for i in query.group.items)
    whole = tuple(range(len(items)))
    sets = query.group.sets if query.group.sets not in ((), (whole,)) else ()
    return items, sets


def _group_item(item: syntax.Expr, projections: tuple[Named, ...], scope: Scope) -> syntax.Expr | Field:
    if isinstance(item, syntax.Literal) and type(item.value) is int:
        if not 1 <= item.value <= len(projections):
            raise Refused("name.position", place=item.place, position=item.value, most=len(projections))
        return projections[item.value - 1][1]
    if isinstance(item, syntax.Name) and len(item.parts) == 1:
        try:
            scope.column(item)
        except Refused:
            for label, expr in projections:
                if label.lower() == item.parts[0].lower():
                    return expr
    return item


# ------------------------------------------------------------------------ SELECT without groups


def _rows(query: syntax.Select, projections: tuple[Named, ...], scope: Scope) -> Relation:
    windows = _Windows(scope)
    scope.window = windows.call
    items = tuple(_item(label, e, scope) for label, e in projections)
    keep = bind_predicate(query.qualify, scope) if query.qualify is not None else None
    if keep is not None:
        windows.order_bound = True
    source = windows.applied(scope.relation, keep)
    scope.relation = source
    if (
        query.distinct
        and isinstance(source.kind, Private)
        and not unit_is_key(source, tuple(i.expr for i in items))
    ):
        return _distinct_groups(query, items, scope)
    return _finished(query, items, scope, source)


def _item(label: str, expr: syntax.Expr | Field, scope: Scope) -> Item:
    if isinstance(expr, Field):
        held = scope.grouped(_as_name(expr)) if scope.grouped else expr.column
        if held is None:
            raise Refused("sql.not_grouped", name=expr.label)
        return Item(label, held, expr.forbidden)
    return Item(label, bind_expr(expr, scope))


def _as_name(field: Field) -> syntax.Expr:
    parts = (field.qualifier, field.label) if field.qualifier else (field.label,)
    return syntax.Name(parts)


def _distinct_groups(query: syntax.Select, items: tuple[Item, ...], scope: Scope) -> Relation:
    """`SELECT DISTINCT district` over private rows: the keys of a block, found by threshold, since a
    list of all that could be there would answer nothing."""
    groups = BlockGroups(scope, tuple(i.expr for i in items), query.place, frozenset(), discover=True)
    grouped = groups.relation()
    shown = tuple(Item(i.label, column) for i, (column, _) in zip(items, groups.keys, strict=True))
    after = Scope(scope.binding, grouped, scope.ctes, scope.parent)
    return _finished(replace(query, distinct=False), shown, after, grouped)


# --------------------------------------------------------------------------- SELECT with groups


def _groups(
    query: syntax.Select,
    projections: tuple[Named, ...],
    rows: Scope,
    keys: tuple[syntax.Expr | Field, ...],
    sets: tuple[tuple[int, ...], ...],
) -> Relation:
    binding = rows.binding
    bound = tuple(_item("", k, rows).expr for k in keys)
    kind = rows.relation.kind
    groups: Grouped
    exact = not isinstance(kind, Private) or kind.correlated or unit_is_key(rows.relation, bound)
    if exact:
        groups = ExactGroups(rows, key_columns(rows, bound), sets)
    else:
        named = tuple(e for _, e in projections if not isinstance(e, Field))
        averaged = _averaged((named, query.having, query.tail.order), rows)
        groups = BlockGroups(rows, bound, query.place, averaged, sets=sets)
    held = {expr: column for expr, (column, _) in zip(bound, groups.keys, strict=True)}
    plain = replace(rows, aggregate=None, window=None)

    def grouped(expr: syntax.Expr) -> Expr | None:
        if isinstance(expr, syntax.Call) and expr.function == "grouping":
            return _grouping(expr, groups, bound, sets, plain)
        if any(isinstance(n, syntax.Call) and _is_call_over_rows(n) for n in own_nodes(expr)):
            return None
        try:
            meant = bind_expr(expr, plain)
        except Refused:
            return None
        return held.get(meant)

    empty = Relation(
        rows.relation.node, (), rows.relation.kind if exact else Open(True), Contribution(), None
    )
    after = Scope(
        binding,
        empty,
        rows.ctes,
        rows.parent,
        rows.aliases,
        aggregate=groups.aggregate,
        grouped=grouped,
        rows=rows,
    )
    windows = _Windows(after)
    after.window = windows.call
    items = tuple(_item(label, e, after) for label, e in projections)
    having = bind_predicate(query.having, after) if query.having is not None else None
    qualify = bind_predicate(query.qualify, after) if query.qualify is not None else None
    after.outputs = {i.label.lower(): i.expr for i in items}
    order = _orderings(query.tail, items, after)
    source = groups.relation()
    if having is not None:
        source = replace(source, node=Filter(source.node, having))
        if isinstance(source.kind, Open) and touches_released(binding, having):
            source = replace(source, kind=Open(True))
    source = windows.applied(source, qualify)
    return _finished(query, items, after, source, order)


def _grouping(
    call: syntax.Call, groups: Grouped, keys: tuple[Expr, ...], sets: tuple[tuple[int, ...], ...], rows: Scope
) -> Expr:
    """GROUPING(a, b): a bit for each key, 1 where the row adds up over it."""
    meant = tuple(bind_expr(a, rows) for a in call.args)
    if not meant or any(m not in keys for m in meant):
        raise Refused("sql.arguments", place=call.place, function="grouping", signature="grouping(key)")
    if not sets:  # no row adds up over a key
        return Constant(0, Domain(Type.INTEGER, Fraction(0), Fraction(0), Fraction(1), nullable=False))
    return groups.level(tuple(keys.index(m) for m in meant))


def _is_call_over_rows(call: syntax.Call) -> bool:
    return call.window is not None or call.function in aggregates.AGGREGATES


def _averaged(tree: object, rows: Scope) -> frozenset[tuple[Expr, Expr | None]]:
    """What AVG, variances and the like are asked of: for those it is summed around the middle of its range, and
    counted."""
    plain = replace(rows, aggregate=None, window=None)
    found = set()
    for call in aggregate_calls(tree, frozenset({"avg", *statistics.FUNCTIONS})):
        if not call.distinct:
            where = tuple(bind_predicate(c, plain) for c in conjuncts(call.where))
            values = tuple(as_number(bind_expr(a, plain), call.place) for a in call.args)
            found |= {(v, ties.conjunction(rows_known(values, where, i))) for i, v in enumerate(values)}
    return frozenset(found)


# ----------------------------------------------------------------------------------- windows


class _Windows:
    """The window calls of one SELECT, each computed once."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.found: dict[WindowCall, Column] = {}
        self.order_bound = False

    def call(self, call: syntax.Call, scope: Scope) -> Expr:
        assert call.window is not None
        plain = replace(scope, window=None)
        args = tuple(bind_expr(a, plain) for a in call.args)
        partition = tuple(bind_expr(p, plain) for p in call.window.partition)
        order = tuple(
            Ordering(bind_expr(o.expr, plain), o.descending, bool(o.nulls_first)) for o in call.window.order
        )
        where = bind_predicate(call.where, plain) if call.where is not None else None
        relation = self.scope.relation
        private = isinstance(relation.kind, Private) and self.scope.grouped is None
        if private:
            order = self._private(call, partition, order, relation)
        window = aggregates.window(
            call.function,
            args,
            partition,
            order,
            frame=call.window.frame,
            where=where,
            distinct=call.distinct,
            rows_per_partition=relation.contribution.rows() if private else None,
            per_unit=private,
            place=call.place,
        )
        if window not in self.found:
            self.found[window] = self.scope.binding.column(window)
        return self.found[window]

    def _private(
        self, call: syntax.Call, partition: tuple[Expr, ...], order: tuple[Ordering, ...], relation: Relation
    ) -> tuple[Ordering, ...]:
        if not unit_is_key(relation, partition):
            raise Refused("kind.window", place=call.place)
        kind = relation.kind
        assert isinstance(kind, Private)
        assert call.window is not None
        by_rows = call.window.frame is not None and call.window.frame[0] is syntax.Frame.ROWS
        if by_rows and not order:
            raise Refused("sql.needs_order", place=call.place, function=call.function)
        if not order or not (by_rows or call.function in aggregates.TIED):
            return order  # rows that tie are one to it: any order of them gives the same
        rank = kind.rank
        if rank is None or relation.contribution.rows({rank.id}) != 1:
            raise Refused("kind.window_ties", place=call.place)
        return order + (Ordering(rank),)

    def applied(self, source: Relation, keep: Expr | None) -> Relation:
        if self.found:
            columns = tuple((c, w) for w, c in self.found.items())
            source = replace(source, node=WindowOf(source.node, columns))
            if isinstance(source.kind, Private):
                facts = source.contribution
                for window, column in self.found.items():
                    if window.function == "row_number" and len(facts.sources) == 1:
                        unit_only = all(
                            isinstance(p, Column) and facts.constant(p.id) for p in window.partition
                        )
                        if unit_only:
                            (only,) = facts.sources
                            unique = only.unique + (frozenset({column.id}),)
                            facts = replace(facts, sources=(replace(only, unique=unique),))
                source = replace(source, contribution=self._kept(facts, keep))
            elif touches_released(self.scope.binding, tuple(self.found)):
                source = replace(source, kind=Open(True))
        return replace(source, node=Filter(source.node, keep)) if keep is not None else source

    def _kept(self, facts: Contribution, keep: Expr | None) -> Contribution:
        """What QUALIFY says of a window's values: `row_number() … = 1` leaves one row of each part."""
        for condition in _bound_conjuncts(keep):
            for column in self.found.values():
                if columns_of(condition) == {column.id}:
                    domain = ties.narrowed_domain(column.domain, column.id, condition)
                    listed = bounds.listed(domain)
                    if listed is not None:
                        facts = facts.sized(column.id, len(listed) + domain.nullable)
        return facts


def _bound_conjuncts(expr: Expr | None) -> tuple[Expr, ...]:
    if expr is None:
        return ()
    if isinstance(expr, Apply) and expr.function == "and":
        return tuple(c for a in expr.args for c in _bound_conjuncts(a))
    return (expr,)


# ------------------------------------------------------------------------------ order and limit


def _finished(
    query: syntax.Select,
    items: tuple[Item, ...],
    scope: Scope,
    source: Relation,
    order: tuple[Ordering, ...] | None = None,
) -> Relation:
    """SELECT list, DISTINCT, ORDER BY, LIMIT."""
    binding = scope.binding
    tail = query.tail
    if isinstance(source.kind, Private):
        if tail.limit is not None or tail.offset is not None:
            raise Refused("kind.limit", place=query.place)
        result = project(binding, source, items)
        return _distinct(result) if query.distinct else result
    if order is None:
        scope.outputs = {i.label.lower(): i.expr for i in items}
        order = _orderings(tail, items, scope)
    if query.distinct or not (order or tail.limit is not None or tail.offset is not None):
        result = project(binding, source, items)
        if query.distinct:
            result = _distinct(result)
            held = {i.expr: f.column for i, f in zip(items, result.fields, strict=True)}
            if any(o.expr not in held for o in order):
                raise Refused("sql.order_distinct", place=query.place)
            order = tuple(replace(o, expr=held[o.expr]) for o in order)
        return _sorted(result, order, tail, query)
    extra = tuple(Item("", o.expr) for o in order)
    wide = project(binding, source, items + extra)
    keys = tuple(replace(o, expr=f.column) for o, f in zip(order, wide.fields[len(items) :], strict=True))
    result = _sorted(wide, keys, tail, query)
    return replace(result, fields=result.fields[: len(items)])


def _distinct(relation: Relation) -> Relation:
    columns = frozenset(f.column.id for f in relation.fields)
    kind: Kind = relation.kind
    node = relation.node
    if isinstance(kind, Private) and kind.rank is not None:
        kept = tuple((f.column, f.column) for f in relation.fields)
        node = Project(node, kept + ((kind.unit.dense, kind.unit.dense),))
        kind = replace(kind, rank=None)
    rows = relation.contribution.rows()
    facts = replace(
        relation.contribution,
        sources=(Source(rows, columns, (columns,)),),
    )
    return replace(relation, node=DistinctOf(node), kind=kind, contribution=facts)


def _sorted(
    relation: Relation, order: tuple[Ordering, ...], tail: syntax.Tail, query: syntax.Query
) -> Relation:
    limit, offset = _count(tail.limit, query), _count(tail.offset, query)
    if not order and limit is None and offset is None:
        return relation
    facts = relation.contribution
    if limit is not None:
        rows = facts.rows()
        columns = frozenset(f.column.id for f in relation.fields)
        facts = Contribution((Source(limit if rows is None else min(rows, limit), columns),))
    if limit is not None or offset is not None:
        # A cut needs a total order, or two runs would cut differently.
        given = {o.expr for o in order}
        order = order + tuple(Ordering(f.column) for f in relation.fields if f.column not in given)
    return replace(relation, node=Sort(relation.node, order, limit, offset), contribution=facts)


def _count(number: int | syntax.Expr | None, query: syntax.Query) -> int | None:
    if isinstance(number, syntax.Literal):
        number = number.value if type(number.value) is int else -1
    if number is None or (isinstance(number, int) and number >= 0):
        return number
    raise Refused("sql.limit", place=query.place)


def _orderings(tail: syntax.Tail, items: tuple[Item, ...], scope: Scope) -> tuple[Ordering, ...]:
    if tail.order_all:
        return tuple(Ordering(i.expr) for i in items)
    result = []
    for o in tail.order:
        if isinstance(o.expr, syntax.Literal) and type(o.expr.value) is int:
            if not 1 <= o.expr.value <= len(items):
                raise Refused("name.position", place=o.expr.place, position=o.expr.value, most=len(items))
            expr = items[o.expr.value - 1].expr
        else:
            expr = bind_expr(o.expr, replace(scope, aliases_first=True))
        result.append(Ordering(expr, o.descending, bool(o.nulls_first)))
    return tuple(result)


def _ordered(
    relation: Relation, tail: syntax.Tail, binding: Binding, ctes: Ctes, outer: Scope | None
) -> Relation:
    """ORDER BY and LIMIT over a query that is no SELECT."""
    if not (tail.order or tail.order_all or tail.limit is not None or tail.offset is not None):
        return relation
    if isinstance(relation.kind, Private):
        if tail.limit is not None or tail.offset is not None:
            raise Refused("kind.limit")
        return relation
    items = tuple(Item(f.label, f.column) for f in relation.fields)
    scope = Scope(binding, relation, ctes, outer, outputs={i.label.lower(): i.expr for i in items})
    order = _orderings(tail, items, scope)
    query = syntax.Values((), tail)
    columns = {f.column.id for f in relation.fields}
    if any(not (isinstance(o.expr, Column) and o.expr.id in columns) for o in order):
        raise Refused("sql.order_set")
    return _sorted(relation, order, tail, query)


# ----------------------------------------------------------------------------- set operations


def _set_operation(query: syntax.SetOperation, binding: Binding, ctes: Ctes, outer: Scope | None) -> Relation:
    left = bind_query(query.left, binding, ctes, outer)
    right = bind_query(query.right, binding, ctes, outer)
    if left.private != right.private:
        raise Refused("kind.set_mixed", place=query.place)
    if query.by_name:
        right = _by_name(left, right, query)
    if len(left.fields) != len(right.fields):
        raise Refused("sql.set_columns", place=query.place, left=len(left.fields), right=len(right.fields))
    left, right = joins.alike(left, right, binding)
    pairs = [
        functions.unify(query.op, (a.column, b.column))[0]
        for a, b in zip(left.fields, right.fields, strict=True)
    ]
    columns = tuple(replace(binding.column(a, _union((a, b))), enum=False) for a, b in pairs)
    fields = tuple(
        Field(f.label, c, forbidden=f.forbidden or g.forbidden)
        for f, g, c in zip(left.fields, right.fields, columns, strict=True)
    )
    all_columns = columns
    lefts, rights = tuple(a for a, _ in pairs), tuple(b for _, b in pairs)
    kind: Kind
    if isinstance(left.kind, Private) and isinstance(right.kind, Private):
        kind, dense = _set_kind(query, left.kind, right.kind, left, right, columns, binding)
        all_columns += (dense,)
        lefts += (left.kind.unit.dense,)
        rights += (right.kind.unit.dense,)
    else:
        assert isinstance(left.kind, Open) and isinstance(right.kind, Open)
        kind = Open(left.kind.released or right.kind.released)
    node = SetOf(query.op, query.all, left.node, right.node, all_columns, lefts, rights)
    a, b = left.contribution.rows(), right.contribution.rows()
    rows = a if query.op != "union" else (None if a is None or b is None else a + b)
    ids = frozenset(c.id for c in columns)
    facts = Contribution((Source(rows, ids, () if query.all else (ids,)),))
    for c in columns:
        if c.domain.values is not None:
            facts = facts.sized(c.id, len(c.domain.values) + c.domain.nullable)
    totals = (left.total, right.total)
    total = left.total if query.op != "union" else (None if None in totals else sum(t for t in totals if t))
    result = Relation(node, fields, kind, facts, total)
    return _ordered(result, query.tail, binding, ctes, outer)


def _set_kind(
    query: syntax.SetOperation,
    left: Private,
    right: Private,
    a: Relation,
    b: Relation,
    columns: tuple[Column, ...],
    binding: Binding,
) -> tuple[Private, Column]:
    """Over the same unit in the same column."""
    if left.population != right.population:
        raise Refused("kind.populations", place=query.place, left=left.population, right=right.population)

    def in_both(mine: frozenset[int], theirs: frozenset[int]) -> frozenset[int]:
        return frozenset(
            c.id
            for f, g, c in zip(a.fields, b.fields, columns, strict=True)
            if f.column.id in mine and g.column.id in theirs
        )

    published = tuple(map(in_both, left.unit.published, right.unit.published))
    beside = dict(right.unit.keys)
    keys = tuple((k, found) for k, c in left.unit.keys if (found := in_both(c, beside.get(k, frozenset()))))
    if not (keys or (published and all(published))):
        raise Refused("kind.set_unit", place=query.place)
    dense = binding.column(left.unit.dense)
    kind = Private(
        left.population,
        left.datasets | right.datasets,
        (Unit(dense, published, keys),),
        correlated=left.correlated and right.correlated,
    )
    if left.correlated != right.correlated:
        raise Refused("kind.untied_subquery", place=query.place)
    return kind, dense


def _by_name(left: Relation, right: Relation, query: syntax.SetOperation) -> Relation:
    by_label = {f.label.lower(): f for f in right.fields}
    labels = [f.label.lower() for f in left.fields]
    if sorted(by_label) != sorted(labels) or len(by_label) != len(right.fields):
        raise Refused("sql.set_names", place=query.place)
    return replace(right, fields=tuple(by_label[label] for label in labels))


def _union(exprs: tuple[Expr, ...]) -> Domain:
    unified, type, _ = functions.unify("union", exprs)
    return bounds.union((e.domain for e in unified), type)
