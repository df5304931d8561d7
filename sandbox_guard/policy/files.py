"""Reads `policies/`: YAML and SQL files → `Policies`, or every problem in them at once."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from sandbox_guard.errors import Place, Text
from sandbox_guard.policy import model
from sandbox_guard.policy.check import Folder, Kind, check
from sandbox_guard.policy.document import Document, Loc, PolicyError, Problem, read_document
from sandbox_guard.policy.model import (
    Analysis,
    AnalysisHeader,
    Dataset,
    Inconsistent,
    Name,
    Person,
    Policies,
    Population,
    Project,
)

T = TypeVar("T")

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_PEOPLE: TypeAdapter[dict[str, Person]] = TypeAdapter(dict[Name, Person])
_HEADER = re.compile(r"\A/\*---[ \t]*\n(?P<yaml>.*?)^---\*/[ \t]*\n?(?P<sql>.*)\Z", re.DOTALL | re.MULTILINE)


def read_policies(directory: Path) -> Policies:
    """Read and check `units/`, `datasets/`, `projects/`, `analyses/` and `people.yaml` in `directory`.

    Raises PolicyError, which lists all problems as `file:line:column: what; fix`.
    """
    reading = _Reading(directory)
    populations = reading.folder("units", Population)
    datasets = reading.folder("datasets", Dataset)
    people = reading.people()
    projects = reading.folder("projects", Project)
    analyses = reading.analyses()
    if reading.problems:
        raise PolicyError(reading.problems)
    problems = list(check(Folder(populations, datasets, people, projects, analyses, reading.documents)))
    if problems:
        raise PolicyError(problems)
    return Policies(
        populations=populations,
        datasets=datasets,
        people=people,
        projects=projects,
        analyses=analyses,
        digest=_digest(populations, datasets, people, projects, analyses),
    )


@dataclass
class _Reading:
    """One pass over the folder, gathering problems instead of stopping at the first."""

    directory: Path
    documents: dict[tuple[Kind, str], Document] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def folder(self, kind: Kind, wanted: type[T]) -> dict[str, T]:
        """One model a file; the file's name is the model's name."""
        found: dict[str, T] = {}
        for path in self._files(kind, "*.yaml"):
            document = self._document(kind, path.stem, path, self._text(path))
            value = self._valid(document, TypeAdapter(wanted), {"name": path.stem})
            if value is not None:
                found[path.stem] = value
        return found

    def people(self) -> dict[str, Person]:
        path = self.directory / "people.yaml"
        if not path.exists():
            self._report(
                path, Text("没有这个文件", "there is no such file"), Text("列出人员", "list the people in it")
            )
            return {}
        return self._valid(self._document("people", "people", path, self._text(path)), _PEOPLE, {}) or {}

    def analyses(self) -> dict[str, Analysis]:
        found: dict[str, Analysis] = {}
        for path in self._files("analyses", "*.sql"):
            text = self._text(path)
            parts = _HEADER.match(text.replace("\r\n", "\n"))
            if parts is None:
                self._report(
                    path,
                    Text("文件开头没有 /*--- … ---*/", "the file does not open with /*--- … ---*/"),
                    Text("先写 YAML 头，再写 SQL", "write the YAML header first, then the SQL"),
                )
                continue
            document = self._document("analyses", path.stem, path, parts["yaml"], first_line=2)
            header = self._valid(document, TypeAdapter(AnalysisHeader), {})
            if header is not None:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[path.stem] = Analysis(
                    name=path.stem, header=header, sql=parts["sql"].strip(), digest=digest
                )
        return found

    def _files(self, kind: Kind, pattern: str) -> Iterator[Path]:
        folder = self.directory / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix != pattern[1:]:
                if not path.name.startswith(".") and path.name != "README.md":
                    self._report(
                        path,
                        Text("不是策略文件", "not a policy file"),
                        Text(f"改为 {pattern}，或移走", f"rename it to {pattern}, or move it away"),
                    )
            elif not _is_name(path.stem):
                self._report(
                    path,
                    Text("文件名不能作名称", "the file's name is no name"),
                    Text(
                        "小写字母开头，只用小写字母、数字、- 和 _",
                        "start with a small letter; a-z, 0-9, - and _ only",
                    ),
                )
            else:
                yield path

    def _text(self, path: Path) -> str:
        try:
            return path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            self._report(
                path, Text("不是 UTF-8 文本", "not UTF-8 text"), Text("另存为 UTF-8", "save it as UTF-8")
            )
            return ""

    def _report(self, path: Path, what: Text, fix: Text) -> None:
        self.problems.append(Problem(path, Place(1, 1), what, fix))

    def _document(self, kind: Kind, name: str, path: Path, text: str, first_line: int = 1) -> Document:
        document = read_document(path, text, first_line)
        self.documents[kind, name] = document
        self.problems += document.problems
        return document

    def _valid(self, document: Document, wanted: TypeAdapter[T], given: dict[str, Any]) -> T | None:
        if document.problems:
            return None
        data = document.data
        if isinstance(data, dict):
            for key in given.keys() & data.keys():
                what = Text(
                    f"不要写 {key}：文件名就是名称", f"{key} is not written here: the file's name is the name"
                )
                self.problems.append(document.problem((key,), what, Text("删去这一行", "remove this line")))
            data = data | given
        undecided = list(_undecided(document))
        self.problems += undecided
        try:
            value = wanted.validate_python(data)
        except ValidationError as error:
            known = {problem.place for problem in undecided}
            self.problems += [p for p in _explained(document, error) if p.place not in known]
            return None
        return None if undecided else value


def _is_name(text: str) -> bool:
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True


# ------------------------------------------------------------------ pydantic's errors in plain words

_KEYS = sorted(
    {
        name
        for model_class in vars(model).values()
        if isinstance(model_class, type) and issubclass(model_class, model.Model)
        for name in model_class.model_fields
    }
)


def _undecided(document: Document) -> Iterator[Problem]:
    """What a draft left to the steward: the word TODO, anywhere."""

    def search(part: object, loc: Loc) -> Iterator[Problem]:
        if isinstance(part, str) and part.startswith("TODO"):
            yield document.problem(
                loc,
                Text("TODO 尚未填写", "a TODO is left here"),
                Text("由数据管理员决定后填写", "decide it and write it here"),
            )
        elif isinstance(part, dict | list):
            for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
                yield from search(inner, (*loc, key))

    return search(document.data, ())


def _explained(document: Document, error: ValidationError) -> Iterator[Problem]:
    """A problem for each place: a value that fits no part of a union is one mistake, not four."""
    seen: set[Place] = set()
    for item in error.errors(include_url=False):
        loc: Loc = tuple(item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Inconsistent):
            yield document.problem((*loc, *cause.at), cause.what, cause.fix)
            continue
        place = document.place(loc)
        if place not in seen or item["type"] in ("missing", "extra_forbidden"):
            seen.add(place)
            yield Problem(document.path, place, *_words(item["type"], loc, item["msg"], item["input"]))


def _words(kind: str, loc: Loc, message: str, given: object) -> tuple[Text, Text]:
    key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
    if kind == "missing":
        return (
            Text(f"缺少 {key}", f"{key} is missing"),
            Text(f"加上 {key}: …", f"add {key}: …"),
        )
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(key, _KEYS, 1)
        return (
            Text(f"未知的键 {key}", f"unknown key {key}"),
            Text(f"是否想写 {close[0]}？", f"did you mean {close[0]}?")
            if close
            else Text("删去它", "remove it"),
        )
    shown = (
        "" if isinstance(given, dict | list) else f" '{given:.40}'" if isinstance(given, str) else f" {given}"
    )
    return (
        Text(f"{key} 的值{shown} 不合要求", f"the value{shown} of {key} does not fit"),
        Text(f"见 policies/README.md（{message}）", message[0].lower() + message[1:]),
    )


# ------------------------------------------------------------------------------------------- digest


def _digest(*parts: dict[str, Any]) -> str:
    """Of what the files say, not how: comments and layout do not count, the order of columns does."""
    plain = [{name: value.model_dump(mode="python") for name, value in part.items()} for part in parts]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> str:
    """Numbers normalised, so that 0.10 and 0.1 are one policy; dates as ISO text."""
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
