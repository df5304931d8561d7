"""However a policy file is damaged, the reader says so in its own words, or reads it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.policy import PolicyError, read_policies

SMALL = Path(__file__).parents[3] / "tests/data/small/policies"
ANALYSIS = """/*---
title: {zh: 年度, en: Years}
description: {zh: 年度, en: Years}
parameters:
  grade: {title: {zh: 等级, en: Grade}, type: string, values: [A, B], labels: {A: {zh: 甲, en: A}}, default: A}
  day: {title: {zh: 日, en: Day}, type: date, bounds: [2020-01-01, 2020-12-31], default: 2020-02-01}
  flag: {title: {zh: 标志, en: Flag}, type: boolean, default: true}
reviewers: [max]
---*/
SELECT COUNT(*) FROM loans WHERE year > 2020 OR :flag OR :grade = 'A' OR founded > :day
"""
FILES = [*sorted(str(p.relative_to(SMALL)) for p in SMALL.rglob("*.yaml")), "analyses/a.sql"]
ODD = [
    *("", "null", "[]", "{}", "[[]]", "{a: 1}", "-1", "0", "1e400", ".5", "-0.0", "2022-02-30", "0001-01-01"),
    *(
        "true",
        "'",
        '"',
        "&a [*a]",
        "*b",
        "!!python/object:os.system x",
        "!x 5",
        "<<: 1",
        "\t",
        "\x00",
        "\ud7ff",
    ),
    *(
        "[1, 2]",
        "[2, 1]",
        "[2022-01-01, 5]",
        "[a, b]",
        "TODO",
        "9" * 5000,
        "? x",
        "---",
        "...",
        "%YAML 9",
        "x: y: z",
    ),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from(ODD))
def test_damage_is_reported(file: str, start: int, length: int, odd: str) -> None:
    """A stretch of one file is replaced by something odd."""

    def damaged(text: str) -> str:
        begin = start % len(text)
        return text[:begin] + odd + text[begin + length % 40 :]

    read_or_explain(file, damaged)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.integers(0, 10_000), st.sampled_from(ODD))
def test_a_value_of_another_kind_is_reported(file: str, which: int, odd: str) -> None:
    """What follows one colon is replaced."""

    def damaged(text: str) -> str:
        parts = text.split(": ")
        i = 1 + which % (len(parts) - 1)
        parts[i] = re.sub(r"^[^,}\n]*", lambda _: odd, parts[i])
        return ": ".join(parts)

    read_or_explain(file, damaged)


def read_or_explain(file: str, damaged: Callable[[str], str]) -> None:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "policies"
        shutil.copytree(SMALL, folder)
        (folder / "analyses").mkdir()
        (folder / "analyses/a.sql").write_text(ANALYSIS)
        path = folder / file
        path.write_text(damaged(path.read_text()))
        problem = None
        try:
            read_policies(folder)
        except PolicyError as error:
            problem = error
        if problem is not None:
            assert problem.problems
            for language in ("zh", "en"):
                assert all(line.startswith(str(folder)) for line in problem.text(language).splitlines())
