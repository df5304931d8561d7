"""One YAML text → plain data, and where in the text each part of it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from sandbox_guard.errors import Place, Text

Loc = tuple[str | int, ...]
"""The way from the document's root to a part of it: keys and positions."""

_DEEPEST = 32


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a policy file, and how to mend it."""

    path: Path
    place: Place
    what: Text
    fix: Text

    def line(self, language: str) -> str:
        what, fix = getattr(self.what, language), getattr(self.fix, language)
        text = " ".join(f"{what}; {fix}".split())
        return f"{self.path}:{self.place.line}:{self.place.column}: {text}"


class PolicyError(Exception):
    """All problems of a policy folder at once, so that nobody mends them one by one."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems), key=lambda p: (str(p.path), p.place.line, p.place.column))
        super().__init__(self.text("en"))

    def text(self, language: str) -> str:
        """One line a problem, `file:line:column: what; fix`, in 'zh' or 'en'."""
        return "\n".join(problem.line(language) for problem in self.problems)


@dataclass(frozen=True)
class Document:
    """`data` as plain dicts, lists and scalars; `problems` of YAML itself."""

    path: Path
    data: Any
    places: Mapping[Loc, Place]
    problems: list[Problem] = field(default_factory=list)

    def place(self, loc: Loc) -> Place:
        """Where `loc` stands, or the nearest part around it that the file does hold."""
        while loc not in self.places and loc:
            loc = loc[:-1]
        return self.places.get(loc, Place(1, 1))

    def problem(self, loc: Loc, what: Text, fix: Text) -> Problem:
        return Problem(self.path, self.place(loc), what, fix)


class _CoreLoader(yaml.SafeLoader):
    """YAML 1.2's scalars instead of 1.1's: `NO` is a state and `010` a postcode, not False and 8."""


_CoreLoader.yaml_implicit_resolvers = {}


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(node.value)


for _tag, _pattern, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        list("-+.0123456789"),
    ),
    ("timestamp", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", list("0123456789")),
):
    _CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", _decimal)


def read_document(path: Path, text: str, first_line: int = 1) -> Document:
    """Parse `text`, which starts at `first_line` of the file at `path`."""
    builder = _Builder(path, first_line)
    data: Any = {}
    try:
        loader = _CoreLoader(text)
        node = loader.get_single_node()
        data = builder.build(loader, node, ()) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + first_line, mark.column + 1) if mark else Place(first_line, 1)
        what = Text("不是合法的 YAML", f"not valid YAML: {error.problem or error.context}")
        builder.report(place, what, _SYNTAX)
    except yaml.reader.ReaderError as error:
        place = Place(text.count("\n", 0, error.position) + first_line, 1)
        what = Text("这一行含有不允许的字符", "this line holds a character that YAML does not allow")
        builder.report(place, what, Text("删去该字符", "remove the character"))
    return Document(path, data, builder.places, builder.problems)


_SYNTAX = Text("检查缩进、冒号后的空格与引号", "look at the indentation, the space after a colon, and quotes")


class _Builder:
    """Turns nodes into data while noting places and what YAML lets pass but a reader would misread."""

    def __init__(self, path: Path, first_line: int) -> None:
        self.path = path
        self.first_line = first_line
        self.places: dict[Loc, Place] = {}
        self.problems: list[Problem] = []

    def report(self, place: Place, what: Text, fix: Text) -> None:
        self.problems.append(Problem(self.path, place, what, fix))

    def build(self, loader: _CoreLoader, node: yaml.Node, loc: Loc) -> Any:
        self.places.setdefault(loc, self._place(node))
        if len(loc) > _DEEPEST:
            self.report(
                self._place(node),
                Text("嵌套过深", "nested too deeply"),
                Text("不要让锚点引用自身", "let no anchor contain itself"),
            )
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, loc)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(loader, child, (*loc, i)) for i, child in enumerate(node.value)]
        try:
            return loader.construct_object(node)
        except (ValueError, ArithmeticError):
            self.report(
                self._place(node),
                Text(f"'{node.value}' 不存在", f"there is no '{node.value}'"),
                Text("改正，或加引号作为文本", "correct it, or put it in quotes to mean text"),
            )
            return None

    def _mapping(self, loader: _CoreLoader, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in data:
                self.report(
                    self._place(key_node),
                    Text(f"键 '{key}' 重复", f"the key '{key}' stands twice"),
                    Text("删去其一", "remove one"),
                )
            flow = isinstance(value_node, yaml.ScalarNode) or value_node.flow_style
            self.places[(*loc, key)] = self._place(value_node if flow else key_node)
            data[key] = self.build(loader, value_node, (*loc, key))
        return data

    def _place(self, node: yaml.Node) -> Place:
        return Place(node.start_mark.line + self.first_line, node.start_mark.column + 1)
