"""The catalogue of datasets and its data dictionary, from the policies: public, and read off no data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from hub.portal import words
from hub.portal.rights import Visitor
from hub.portal.site import TheVisitor, page
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Column, Dataset, Table

router = APIRouter()


@dataclass(frozen=True)
class Listed:
    dataset: Dataset
    granted_to: tuple[Text, ...]
    """Titles of this person's projects that may ask it."""


@dataclass(frozen=True)
class Described:
    """One column, its facts as short sentences."""

    name: str
    column: Column
    type: Text
    allowed: Text | None
    remarks: tuple[Text, ...]


@router.get("/catalogue")
def catalogue(request: Request, visitor: TheVisitor, q: str = "") -> Response:
    """All datasets, or those whose description holds the words of `q`."""
    found = [
        Listed(dataset, _granted_to(visitor, dataset))
        for dataset in visitor.policies.datasets.values()
        if all(word in _searchable(dataset) for word in q.lower().split())
    ]
    context = {
        "found": found,
        "q": q,
        "invented": bool(found) and all(each.dataset.invented for each in found),
    }
    return page(request, visitor, "catalogue.html", context)


@router.get("/catalogue/{name}")
def dataset(request: Request, visitor: TheVisitor, name: str) -> Response:
    """One dataset with its dictionary."""
    found = visitor.policies.datasets.get(name)
    if found is None:
        raise HTTPException(404)
    population = visitor.policies.populations.get(found.population or "")
    context = {
        "dataset": found,
        "population": population,
        "granted_to": _granted_to(visitor, found),
        "tables": {
            table_name: (table, [_described(n, c, table) for n, c in table.columns.items()])
            for table_name, table in found.tables.items()
        },
        "invented": found.invented,
    }
    return page(request, visitor, "dataset.html", context)


def _granted_to(visitor: Visitor, dataset: Dataset) -> tuple[Text, ...]:
    return tuple(Text(p.title.zh, p.title.en) for p in visitor.projects if dataset.name in p.datasets)


def _searchable(dataset: Dataset) -> str:
    return "\n".join(_texts(dataset)).lower()


def _texts(dataset: Dataset) -> Iterator[str]:
    yield dataset.name
    described = [dataset.title, dataset.description, dataset.department]
    for name, table in dataset.tables.items():
        yield name
        described += [table.title, table.description]
        for column_name, column in table.columns.items():
            yield column_name
            described += [column.title, column.description]
    for each in described:
        if each is not None:
            yield from (each.zh, each.en)


def _described(name: str, column: Column, table: Table) -> Described:
    return Described(
        name, column, words.TYPE[column.type.value], _allowed(column), tuple(_remarks(name, column, table))
    )


def _allowed(column: Column) -> Text | None:
    if column.values is not None:
        shown = [str(value) for value in column.values]
        return Text("、".join(shown), ", ".join(shown))
    if column.bounds is not None:
        low, high = (words.number(float(b)) if not hasattr(b, "year") else str(b) for b in column.bounds)
        return Text(f"{low} 至 {high}", f"{low} to {high}")
    if column.max_length is not None:
        return Text(f"最长 {column.max_length} 个字符", f"at most {column.max_length} characters")
    return None


def _remarks(name: str, column: Column, table: Table) -> Iterator[Text]:
    if name.lower() in {unit.lower() for unit in table.unit or ()}:
        yield Text("隐私单元：编号本身从不输出", "privacy unit: the id itself is never released")
    if column.identifier:
        yield Text("直接标识，不可查询", "direct identifier, cannot be queried")
    if column.names is not None:
        yield Text("指向其他受保护主体，不可查询", "names a member of another population, cannot be queried")
    if column.step is not None:
        yield Text(f"最小单位 {column.step}", f"in steps of {column.step}")
    if column.nullable:
        yield Text("可为空", "may be empty")
    if column.unit_constant:
        yield Text("同一隐私单元内不变", "constant within a privacy unit")
    for foreign in table.foreign_keys:
        if foreign.column == name:
            yield Text(f"取值见 {foreign.references}", f"explained in {foreign.references}")
