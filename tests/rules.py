"""The rules that keep every release private, each with the one place that holds it and a case that shows what
happens without it (SOUNDNESS, `docs/rules.md`).

A rule is switched off by changing a line of the product's source in the running process: there is no other
switch, and a rule whose line is no longer there is a mistake in this table.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests import firms, oracle

LOAD = "load"


@dataclass(frozen=True)
class Rule:
    number: int
    """Of the counterexample behind it."""
    name: str
    zh: str
    en: str
    place: str
    """module:function in `sandbox_guard`."""
    was: str
    becomes: str
    sql: str
    on: str = ""
    """'load': the data is loaded anew without the rule."""

    def __str__(self) -> str:
        return self.name


RULES = (
    Rule(
        2,
        "existence",
        "公开表不得以受保护行的有无取舍",
        "A public row is never kept or dropped by whether a protected one exists",
        "sql.joins:_semi",
        """if right.private and not left.private:
        raise Refused("kind.existence", place=place)
    if isinstance(right.kind, Private):""",
        "if right.private and left.private:",
        "SELECT count(*) FROM districts d SEMI JOIN loans l ON l.district = d.district AND l.firm_id = 42",
    ),
    Rule(
        3,
        "tied-subquery",
        "子查询须与外层行的单元相连",
        "A protected subquery is tied to the unit of the outer row",
        "sql.ties:require_correlated",
        "if not (isinstance(relation.kind, Private) and relation.kind.correlated):",
        "if False:",
        "SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id = 42)",
    ),
    Rule(
        3,
        "no-side-is-the-outer-query",
        "连接的一侧不是外层查询",
        "No side of a join is taken for the enclosing query",
        "sql.bind:_join",
        "binding, outer, source.place)",
        "binding, outer or Scope(binding, left, ctes), source.place)",
        "SELECT count(*) FROM loans a, (SELECT count(*) AS n FROM loans l JOIN districts d"
        " ON l.firm_id = l.firm_id AND l.firm_id = 42) x WHERE x.n > 0",
    ),
    Rule(
        3,
        "tied-tables",
        "受保护的表之间须以单元相连",
        "Every pair of protected tables is tied on the unit",
        "sql.kinds:Private.unit",
        "if len(self.units) != 1:",
        "if False:",
        "SELECT count(*) FROM firms a, firms b",
    ),
    Rule(
        3,
        "tie-in-its-own-on",
        "外连接的相连条件须在其自身的 ON 中",
        "The tie of an outer join stands in its own ON",
        "sql.joins:_tied",
        'raise Refused("kind.untied_outer", place=place)',
        "return conditions",
        "SELECT count(*) FROM firms f LEFT JOIN loans l ON l.firm_id = 42",
    ),
    Rule(
        6,
        "self-joins-multiply",
        "连接后每单元行数相乘",
        "The rows of a unit multiply when relations are joined",
        "sql.contribution:Contribution.joined",
        "self.sources + other.sources",
        "self.sources",
        "SELECT count(*) FROM loans a JOIN loans b USING (firm_id)",
    ),
    Rule(
        6,
        "unions-add",
        "UNION ALL 后每单元行数相加",
        "The rows of a unit add up over UNION ALL",
        "sql.bind:_set_operation",
        "(None if a is None or b is None else a + b)",
        "a",
        "SELECT count(*) FROM (SELECT firm_id FROM loans UNION ALL SELECT firm_id FROM loans)",
    ),
    Rule(
        6,
        "full-joins-add",
        "FULL JOIN 两侧未匹配的行都计入",
        "A FULL JOIN keeps the unmatched rows of both sides",
        "sql.joins:_full",
        "rows = _added(_matched(left, right), right.contribution.rows())",
        "rows = 1",
        "SELECT count(*) FROM firms a FULL JOIN loans b USING (firm_id)",
    ),
    Rule(
        6,
        "lateral-multiplies",
        "LATERAL 使每单元行数相乘",
        "LATERAL multiplies the rows of a unit",
        "sql.joins:lateral",
        "(Source(_times(facts.rows(), many), columns),)",
        "(Source(facts.rows(), columns),)",
        "SELECT count(*) FROM loans l, LATERAL (SELECT year FROM loans m WHERE m.firm_id = l.firm_id) q",
    ),
    Rule(
        11,
        "windows-within-a-unit",
        "窗口须按单元分区",
        "A window over protected rows is partitioned by the unit",
        "sql.bind:_Windows._private",
        "if not unit_is_key(relation, partition):",
        "if False:",
        "SELECT count(*) FROM (SELECT firm_id, count(*) OVER () AS n FROM loans) WHERE n % 2 = 0",
    ),
    Rule(
        12,
        "null-extended-columns",
        "LEFT JOIN 补空后不再有等值关系",
        "What a LEFT JOIN fills with NULL is equal to nothing",
        "sql.contribution:Contribution.optional",
        "return Contribution((Source(self.rows(), columns, unique, optional=True),))",
        "return replace(self, implies=self.implies | {(a, b) for b, a in held.items()})",
        "SELECT m.district, count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id LEFT JOIN loans m"
        " ON l.firm_id = m.firm_id AND f.district = m.district AND l.year = m.year GROUP BY 1",
    ),
    Rule(
        12,
        "cells-are-counted",
        "限定一个单元能触及的组数",
        "How many groups one unit touches is counted",
        "sql.grouping:BlockGroups._rows",
        "self._cells(facts)",
        "1",
        "SELECT d.district, sum(f.employees) FROM firms f CROSS JOIN districts d GROUP BY 1",
    ),
    Rule(
        12,
        "units-in-every-group",
        "一个单元在每个所触及的组中各计一次",
        "A unit counts once in each group that it touches",
        "sql.grouping:BlockGroups._distinct",
        "Sensitivity.of_rows(rows, 1, cells, 1)",
        "Sensitivity.of_rows(1, 1, cells, 1)",
        "SELECT year, count(DISTINCT firm_id) FROM loans GROUP BY year",
    ),
    Rule(
        12,
        "distinct-values-add",
        "一个单元可带来 K 个不同的值",
        "One unit may bring K distinct values",
        "sql.grouping:BlockGroups._distinct",
        "Measure(MeasureKind.DISTINCT, values, where, self._rows(facts, 1))",
        "Measure(MeasureKind.DISTINCT, values, where, Sensitivity.of_rows(rows, 1, self._cells(facts), 1))",
        "SELECT count(DISTINCT loan_id) FROM loans",
    ),
    Rule(
        12,
        "row-number-of-the-whole-unit",
        "仅按单元分区的 row_number 才唯一",
        "row_number identifies a row only where the unit alone partitions",
        "sql.bind:_Windows.applied",
        "if unit_only:",
        "if True:",
        "SELECT count(*) FROM (SELECT firm_id FROM loans"
        " QUALIFY row_number() OVER (PARTITION BY firm_id, year ORDER BY amount) = 1)",
    ),
    Rule(
        13,
        "literal-arguments",
        "窗口函数的参数须为常量",
        "Arguments of windows are literals",
        "sql.aggregates:_window",
        "parts = _positive(function, args, 0)",
        "parts = 365",
        "SELECT count(*) FROM (SELECT firm_id, ntile(overdue_days) OVER (PARTITION BY firm_id ORDER BY year) AS n"
        " FROM loans WHERE firm_id = 42) WHERE n < 300",
    ),
    Rule(
        19,
        "thresholds-count-units",
        "门槛按单元计数，不按行",
        "A threshold counts units, not rows",
        "sql.printer:_units",
        "system.main.count(DISTINCT {units if len(block.unit) == 1 else f'({units})'})",
        "system.main.count(*)",
        "SELECT loan_id // 100000000, count(*) FROM loans GROUP BY 1",
    ),
    Rule(
        19,
        "quantiles-count-rows",
        "分位数的灵敏度含单元的全部行",
        "A quantile's sensitivity holds all rows of a unit",
        "sql.grouping:BlockGroups._quantile",
        "self._rows(self._facts(conditions), 1),",
        "Sensitivity.of_rows(1, 1, 1, 1),",
        "SELECT median(amount) FROM loans",
    ),
    Rule(
        24,
        "sums-by-the-farther-bound",
        "求和按离零最远的界计，不按区间宽",
        "A sum moves by its farther bound, not by the width of its range",
        "sql.grouping:BlockGroups._sum_measure",
        "each = max(abs(lo - centre), abs(hi - centre))",
        "each = hi - lo",
        "SELECT sum(-7) FROM loans",
    ),
    Rule(
        24,
        "one-row-for-a-scalar",
        "标量子查询至多一行",
        "A scalar subquery has one row, by construction",
        "sql.expressions:_scalar",
        "if relation.contribution.rows() != 1:",
        "if False:",
        "SELECT count(*) FROM firms f WHERE (SELECT year FROM loans l WHERE l.firm_id = f.firm_id"
        " AND l.firm_id = 42) >= 2018",
    ),
    Rule(
        22,
        "bounds-at-load",
        "越界的值在入库时截断",
        "Values out of bounds are clamped at load",
        "steward.columns:_number",
        "CAST(least(greatest({parsed}, {lo}), {hi}) AS BIGINT)",
        "CAST(least(greatest({parsed}, {lo}), {hi} + 1e12) AS BIGINT)",
        "SELECT sum(amount) FROM loans",
        LOAD,
    ),
    Rule(
        22,
        "cap-at-load",
        "每单元超出上限的行在入库时舍去",
        "Rows beyond a unit's cap are dropped at load",
        "steward.rank:_ranking",
        "WHEN __rank > {table.policy.max_rows_per_unit} THEN {_BEYOND} ELSE",
        "ELSE",
        "SELECT count(*) FROM loans",
        LOAD,
    ),
    Rule(
        25,
        "rank-of-the-unit",
        "rank 只由单元自身的行决定",
        "A row's rank is a function of its own unit's rows alone",
        "steward.rank:_ranking",
        "row_number() OVER (PARTITION BY __unit ORDER BY __order, {columns}) AS __place",
        "row_number() OVER (ORDER BY __unit, __order, {columns}) AS __place",
        "SELECT firm_id % 7, count(*) FROM loans GROUP BY 1",
        LOAD,
    ),
)


@contextlib.contextmanager
def without(rule: Rule) -> Iterator[None]:
    """The product with this rule's line changed."""
    module_name, _, path = rule.place.partition(":")
    module = importlib.import_module(f"sandbox_guard.{module_name}")
    holder: Any = module
    *classes, name = path.split(".")
    for part in classes:
        holder = getattr(holder, part)
    found = inspect.getattr_static(holder, name)
    function: Any = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    if rule.was not in source:
        raise LookupError(f"rule '{rule}': {rule.place} holds no line {rule.was!r}")
    made: dict[str, Any] = {}
    changed = compile(source.replace(rule.was, rule.becomes), rule.place, "exec")
    exec(changed, module.__dict__, made)  # noqa: S102 (the product's own source, one line changed)
    with contextlib.ExitStack() as undo:
        for place in [holder] if classes else _importers(function):
            undo.callback(setattr, place, name, found)
            setattr(place, name, made[name])
        yield


def _importers(function: Any) -> list[Any]:
    return [
        m
        for n, m in list(sys.modules.items())
        if n.startswith("sandbox_guard") and getattr(m, function.__name__, None) is function
    ]


UNITS = (1, 2, 5)


def overfull() -> dict[str, list[dict[str, Any]]]:
    """The extreme firms, and three loans of one of them beyond its cap."""
    tables = firms.extreme()
    first = tables["loans"][0]
    return tables | {"loans": tables["loans"] + [first | {"loan_id": 5000 + i} for i in range(3)]}


def row(rule: Rule, found: str, language: str) -> str:
    """A line of the table in `docs/rules.md`."""
    what = rule.zh if language == "zh" else rule.en
    return f"| {rule.number} | {what} | `{rule.place}` | `{rule.sql}` | {found} |"


def main() -> None:
    small = oracle.neighbours(firms.policies(), firms.extreme())
    lines = []
    for rule in RULES:
        with without(rule):
            if rule.on == LOAD:
                found = oracle.neighbours(firms.policies(), overfull(), UNITS).violated(rule.sql)
            else:
                found = small.violated(rule.sql)
        lines.append((rule, found or "-"))
    for language in ("en", "zh"):
        print(*(row(rule, found, language) for rule, found in lines), sep="\n")


if __name__ == "__main__":
    main()
