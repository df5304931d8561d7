"""What must hold between policy files, each check a function that yields what is wrong.

A file is checked by its own model first (`model.py`); here are only the ties between files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sandbox_guard.errors import Text
from sandbox_guard.policy.document import Document, Loc, Problem
from sandbox_guard.policy.model import (
    Analysis,
    Budget,
    Dataset,
    Office,
    Person,
    Population,
    Project,
    Table,
)

Kind = Literal["units", "datasets", "people", "projects", "analyses"]


@dataclass(frozen=True)
class Folder:
    """What was read, with the documents it was read from, by kind and name."""

    populations: Mapping[str, Population]
    datasets: Mapping[str, Dataset]
    people: Mapping[str, Person]
    projects: Mapping[str, Project]
    analyses: Mapping[str, Analysis]
    documents: Mapping[tuple[Kind, str], Document]

    def problem(self, kind: Kind, name: str, loc: Loc, what: Text, fix: Text) -> Problem:
        return self.documents[kind, name].problem(loc, what, fix)


def check(folder: Folder) -> Iterator[Problem]:
    """Everything that is wrong between the files."""
    checks: tuple[Callable[[Folder], Iterator[Problem]], ...] = (
        _populations_exist,
        _table_names_are_unique,
        _units_fit_their_population,
        _foreign_keys_lead_somewhere,
        _dataset_budgets_nest,
        _project_names_exist,
        _project_budgets_nest,
        _analyses_are_reviewed,
        _analyses_fit_their_sql,
    )
    return chain.from_iterable(one(folder) for one in checks)


def _unknown(what: Text, name: str, known: Mapping[str, object]) -> tuple[Text, Text]:
    names = ", ".join(known) or "–"
    return (
        Text(f"没有名为 '{name}' 的{what.zh}", f"there is no {what.en} '{name}'"),
        Text(f"现有：{names}", f"there are: {names}"),
    )


_POPULATION = Text("主体群", "population")
_DATASET = Text("数据集", "dataset")
_ANALYSIS = Text("已批准分析", "analysis")
_PERSON = Text("人员", "person in people.yaml")


def _populations_exist(folder: Folder) -> Iterator[Problem]:
    for name, dataset in folder.datasets.items():
        if dataset.population is not None and dataset.population not in folder.populations:
            texts = _unknown(_POPULATION, dataset.population, folder.populations)
            yield folder.problem("datasets", name, ("population",), *texts)
        for table_name, table in dataset.tables.items():
            for column_name, column in table.columns.items():
                if column.names is not None and column.names not in folder.populations:
                    loc = ("tables", table_name, "columns", column_name, "names")
                    texts = _unknown(_POPULATION, column.names, folder.populations)
                    yield folder.problem("datasets", name, loc, *texts)


def _table_names_are_unique(folder: Folder) -> Iterator[Problem]:
    """A query names tables without their dataset, in any case."""
    seen: dict[str, str] = {}
    for name, dataset in folder.datasets.items():
        for table_name in dataset.tables:
            other = seen.setdefault(table_name.lower(), name)
            if other != name or sum(t.lower() == table_name.lower() for t in dataset.tables) > 1:
                yield folder.problem(
                    "datasets",
                    name,
                    ("tables", table_name),
                    Text(
                        f"表名 '{table_name}' 已在数据集 '{other}' 中",
                        f"a table '{table_name}' is in '{other}' already",
                    ),
                    Text(
                        "改名：全部数据集的表名（不分大小写）不得重复",
                        "rename it: table names are unique over all datasets",
                    ),
                )


def _units_fit_their_population(folder: Folder) -> Iterator[Problem]:
    """One dictionary per population of units needs one form of id (SOUNDNESS 7, 9)."""
    parts: dict[str, tuple[int, str]] = {}
    for name, dataset in folder.datasets.items():
        population = folder.populations.get(dataset.population or "")
        if population is None:
            continue
        for table_name, table in dataset.tables.items():
            if table.unit is None:
                continue
            loc: Loc = ("tables", table_name, "unit")
            first = table.columns[table.unit[0]]
            if str(first.type) != population.id.type:
                yield folder.problem(
                    "datasets",
                    name,
                    ("tables", table_name, "columns", table.unit[0], "type"),
                    Text(
                        f"隐私单元列的类型是 {first.type}，主体群 '{population.name}' 的是 {population.id.type}",
                        f"the unit column is a {first.type}, ids of '{population.name}' are {population.id.type}",
                    ),
                    Text(f"写成 type: {population.id.type}", f"write type: {population.id.type}"),
                )
            arity, where = parts.setdefault(population.name, (len(table.unit), table_name))
            if arity != len(table.unit):
                yield folder.problem(
                    "datasets",
                    name,
                    loc,
                    Text(
                        f"隐私单元有 {len(table.unit)} 列，同一主体群的表 '{where}' 有 {arity} 列",
                        f"the unit has {len(table.unit)} columns, but {arity} in '{where}' of the same population",
                    ),
                    Text(
                        "单元不同即主体群不同：另建 units 文件",
                        "another unit is another population: give it a file in units/",
                    ),
                )


def _foreign_keys_lead_somewhere(folder: Folder) -> Iterator[Problem]:
    everywhere = {
        table_name.lower(): (name, table)
        for name, dataset in folder.datasets.items()
        for table_name, table in dataset.tables.items()
    }
    for name, dataset in folder.datasets.items():
        for table_name, table in dataset.tables.items():
            for i, foreign in enumerate(table.foreign_keys):
                target, column = foreign.references.lower().split(".")
                if target not in everywhere or not _has_column(everywhere[target][1], column):
                    loc: Loc = ("tables", table_name, "foreign_keys", i, "references")
                    texts = _unknown(Text("列", "column"), foreign.references, dict.fromkeys(everywhere))
                    yield folder.problem("datasets", name, loc, *texts)
            if table.unit_through is not None:
                yield from _unit_path(folder, name, dataset, table_name)


def _unit_path(folder: Folder, name: str, dataset: Dataset, table_name: str) -> Iterator[Problem]:
    """A table without a unit column reaches it through parents of its own dataset, each by a unique key
    (SOUNDNESS 8: a duplicate parent gives a child two units)."""
    tables = {key.lower(): (key, table) for key, table in dataset.tables.items()}
    loc: Loc = ("tables", table_name, "unit_through", "references")
    visited = {table_name.lower()}
    table = dataset.tables[table_name]
    while table.unit_through is not None:
        parent_name, column = table.unit_through.references.lower().split(".")
        if parent_name not in tables or not _has_column(tables[parent_name][1], column):
            texts = _unknown(
                Text("本数据集的列", "column of this dataset"), table.unit_through.references, tables
            )
            yield folder.problem("datasets", name, loc, *texts)
            return
        parent_key, table = tables[parent_name]
        if not any([c.lower() for c in columns] == [column] for columns in table.unique):
            yield folder.problem(
                "datasets",
                name,
                loc,
                Text(
                    f"'{parent_key}.{column}' 未声明唯一", f"'{parent_key}.{column}' is not declared unique"
                ),
                Text(
                    f"在表 '{parent_key}' 加上 unique: [[{column}]]",
                    f"add unique: [[{column}]] to table '{parent_key}'",
                ),
            )
        if parent_name in visited or not table.private:
            yield folder.problem(
                "datasets",
                name,
                loc,
                Text("沿外键到不了隐私单元列", "this path reaches no unit column"),
                Text("指向一张有 unit 的表", "lead it to a table with unit"),
            )
            return
        visited.add(parent_name)


def _has_column(table: Table, column: str) -> bool:
    return any(name.lower() == column for name in table.columns)


def _fits(budget: Budget, cap: Budget) -> bool:
    return budget.rho <= cap.rho and budget.delta <= cap.delta


def _too_large(inner: Text, outer: Text, cap: Budget) -> tuple[Text, Text]:
    return (
        Text(
            f"{inner.zh}的预算超过{outer.zh}的预算", f"the budget of {inner.en} is above that of {outer.en}"
        ),
        Text(f"至多 rho {cap.rho}、delta {cap.delta}", f"at most rho {cap.rho}, delta {cap.delta}"),
    )


def _dataset_budgets_nest(folder: Folder) -> Iterator[Problem]:
    for name, population in folder.populations.items():
        if population.query_delta > population.budget.delta:
            yield folder.problem(
                "units",
                name,
                ("query_delta",),
                Text("单次查询的 delta 超过总预算的 delta", "one query's delta is above the budget's"),
                Text(f"至多 {population.budget.delta}", f"at most {population.budget.delta}"),
            )
    for name, dataset in folder.datasets.items():
        owner = folder.populations.get(dataset.population or "")
        if owner is not None and dataset.budget is not None and not _fits(dataset.budget, owner.budget):
            texts = _too_large(_DATASET, Text(f"主体群 '{owner.name}'", f"'{owner.name}'"), owner.budget)
            yield folder.problem("datasets", name, ("budget",), *texts)


def _project_names_exist(folder: Folder) -> Iterator[Problem]:
    for name, project in folder.projects.items():
        if "--" in name:
            yield folder.problem(
                "projects",
                name,
                (),
                Text("项目名中不能有 --", "a project's name holds no --"),
                Text(
                    "改名：-- 留给项目的分析沙箱", "rename it: -- marks the sandbox of a project's analyses"
                ),
            )
        for member in project.members:
            if member not in folder.people:
                texts = _unknown(_PERSON, member, folder.people)
                yield folder.problem("projects", name, ("members", member), *texts)
            elif Office.AUDITOR in folder.people[member].offices:
                yield folder.problem(
                    "projects",
                    name,
                    ("members", member),
                    Text(
                        f"审计员 '{member}' 不能参加项目",
                        f"the auditor '{member}' cannot be a member of a project",
                    ),
                    Text("另用一个账号，或另派审计员", "use another account, or another auditor"),
                )
        for i, dataset in enumerate(project.datasets):
            if dataset not in folder.datasets:
                texts = _unknown(_DATASET, dataset, folder.datasets)
                yield folder.problem("projects", name, ("datasets", i), *texts)
        for i, analysis in enumerate(project.analyses):
            if analysis not in folder.analyses:
                texts = _unknown(_ANALYSIS, analysis, folder.analyses)
                yield folder.problem("projects", name, ("analyses", i), *texts)
        for i, pair in enumerate(project.joins if project.joins != "all" else ()):
            for j, dataset in enumerate(pair):
                if dataset not in project.datasets:
                    texts = _unknown(
                        Text("授予本项目的数据集", "dataset granted to this project"),
                        dataset,
                        dict.fromkeys(project.datasets),
                    )
                    yield folder.problem("projects", name, ("joins", i, j), *texts)


def _project_budgets_nest(folder: Folder) -> Iterator[Problem]:
    for name, project in folder.projects.items():
        granted = [folder.datasets[d] for d in project.datasets if d in folder.datasets]
        needed = {d.population: None for d in granted if d.population is not None}
        for key, budgets in (("budgets", project.budgets), ("member_budgets", project.member_budgets)):
            for population in budgets:
                if population not in folder.populations:
                    texts = _unknown(_POPULATION, population, folder.populations)
                    yield folder.problem("projects", name, (key, population), *texts)
            for population in needed:
                if population not in budgets:
                    yield folder.problem(
                        "projects",
                        name,
                        (key,),
                        Text(f"{key} 中没有主体群 '{population}'", f"{key} has no entry for '{population}'"),
                        Text(
                            f"加上例如 {population}: {{rho: 0.25, delta: 1e-6}}",
                            f"add for instance {population}: {{rho: 0.25, delta: 1e-6}}",
                        ),
                    )
        for population, budget in project.budgets.items():
            owner = folder.populations.get(population)
            if owner is not None and not _fits(budget, owner.budget):
                texts = _too_large(
                    Text("项目", "the project"),
                    Text(f"主体群 '{population}'", f"'{population}'"),
                    owner.budget,
                )
                yield folder.problem("projects", name, ("budgets", population), *texts)
        for population, budget in project.member_budgets.items():
            cap = project.budgets.get(population)
            if cap is not None and not _fits(budget, cap):
                texts = _too_large(Text("成员", "a member"), Text("项目", "the project"), cap)
                yield folder.problem("projects", name, ("member_budgets", population), *texts)


def _analyses_are_reviewed(folder: Folder) -> Iterator[Problem]:
    for name, analysis in folder.analyses.items():
        for i, reviewer in enumerate(analysis.header.reviewers):
            if reviewer not in folder.people:
                texts = _unknown(_PERSON, reviewer, folder.people)
                yield folder.problem("analyses", name, ("reviewers", i), *texts)
            elif not folder.people[reviewer].offices:
                yield folder.problem(
                    "analyses",
                    name,
                    ("reviewers", i),
                    Text(f"'{reviewer}' 无权评审", f"'{reviewer}' holds no office and cannot review"),
                    Text("由数据管理员或审计员评审", "have a steward or an auditor review it"),
                )


_NOT_CODE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


def _analyses_fit_their_sql(folder: Folder) -> Iterator[Problem]:
    for name, analysis in folder.analyses.items():
        used = set(_PARAMETER.findall(_NOT_CODE.sub(" ", analysis.sql)))
        declared = set(analysis.header.parameters)
        for parameter in sorted(declared - used):
            yield folder.problem(
                "analyses",
                name,
                ("parameters", parameter),
                Text(f"SQL 中没有用到参数 :{parameter}", f"the SQL does not use the parameter :{parameter}"),
                Text("删去它，或在 SQL 中使用", "remove it, or use it in the SQL"),
            )
        for parameter in sorted(used - declared):
            yield folder.problem(
                "analyses",
                name,
                ("parameters",),
                Text(
                    f"SQL 中的参数 :{parameter} 没有声明",
                    f"the SQL uses an undeclared parameter :{parameter}",
                ),
                Text(f"在 parameters 下声明 {parameter}", f"declare {parameter} under parameters"),
            )
        chart = analysis.header.chart
        for axis, column in chart.model_dump(exclude_none=True).items() if chart else ():
            if column not in analysis.header.columns:
                texts = _unknown(
                    Text("结果列", "result column under columns"), column, analysis.header.columns
                )
                yield folder.problem("analyses", name, ("chart", axis), *texts)
