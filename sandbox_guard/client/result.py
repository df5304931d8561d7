"""A released table as pandas sees it, that still knows how sure each number is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from sandbox_guard.client import noise
from sandbox_guard.client.account import bars
from sandbox_guard.client.answer import Answer, Column
from sandbox_guard.client.display import MARKS, Cell, Figure, View, figure, number, percent, second
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.extras import extra
from sandbox_guard.client.words import pick, say, sentences

if TYPE_CHECKING:
    from sandbox_guard.client.chart import Chart
    from sandbox_guard.client.sharpen import Asked, Margin, Sharpening

ROWS_SHOWN: Final = 60
FILE_KEY: Final = "sandbox_guard"


class Result(pd.DataFrame):
    """The answer to one question: a DataFrame of the released values.

    It displays as `x ± e`. `intervals()` gives the 95 % intervals as columns. Whatever is derived from
    it by pandas is a plain DataFrame, because the margins of a release do not hold for it.
    `answer` is what the vault sent, or None for a dry run on the sample.
    """

    _metadata = ["answer", "trial"]  # noqa: RUF012 - pandas declares it so
    answer: Answer | None
    trial: bool
    asked: Asked | None = None
    """How it was asked. Not among `_metadata`: a copy or a pickle carries no line to a vault."""

    def __init__(self, frame: pd.DataFrame, answer: Answer | None, *, trial: bool = False) -> None:
        pd.DataFrame.__init__(self, frame)  # type: ignore[call-arg] # the stubs type only __new__
        self.answer = answer
        self.trial = trial

    @classmethod
    def of(cls, answer: Answer, *, trial: bool = False) -> Result:
        """`trial`: the vault is a local process that isolates little, and every answer says so."""
        return cls(answer.frame(), answer, trial=trial)

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    # ------------------------------------------------------------------ intervals as data

    def intervals(self) -> pd.DataFrame:
        """A plain DataFrame with real columns x, x_low, x_high for every number that carries noise."""
        return self.answer.with_intervals() if self.answer else pd.DataFrame(self)

    with_intervals = intervals

    def released(self) -> pd.DataFrame:
        """The table as it was released, whatever was done to this one since."""
        return self.answer.frame() if self.answer else pd.DataFrame(self)

    def to_csv(self, path_or_buf: Any = None, **options: Any) -> str | None:  # type: ignore[override]
        """CSV with intervals as columns, headed by `# …` lines: receipt, data versions, cost, what was cut.

        Read it back with `pandas.read_csv(path, comment='#')`: texts are quoted, so a '#' in them stays.
        """
        options = {"index": False, "quoting": csv.QUOTE_NONNUMERIC, **options}
        table = self.intervals().to_csv(None, **options)
        head = "".join(
            f"# {name}: {json.dumps(value, ensure_ascii=False, default=str)}\n"
            for name, value in self._provenance().items()
        )
        whole = head + str(table)
        if path_or_buf is None:
            return whole
        if isinstance(path_or_buf, io.TextIOBase) or hasattr(path_or_buf, "write"):
            path_or_buf.write(whole)
        else:
            Path(path_or_buf).write_text(whole, options.get("encoding") or "utf-8")
        return None

    def to_parquet(self, path: Any, **options: Any) -> None:  # type: ignore[override]
        """Parquet with intervals as columns; provenance is in the file's metadata under 'sandbox_guard'."""
        with extra("parquet"):
            import pyarrow
            import pyarrow.parquet

        table = pyarrow.Table.from_pandas(self.intervals(), preserve_index=False)
        provenance = json.dumps(self._provenance(), ensure_ascii=False, default=str).encode()
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), FILE_KEY: provenance})
        pyarrow.parquet.write_table(table, path, **options)

    def _provenance(self) -> dict[str, Any]:
        return self.answer.provenance() if self.answer else {"sample": say("sample")}

    # ------------------------------------------------------------------ reading noisy numbers

    def compare(  # type: ignore[override] # of two rows of a release, not of two tables
        self, a: Any, b: Any, column: str | None = None
    ) -> noise.Comparison:
        """Is row `a` higher than row `b`, as far as the noise lets us tell?

        `a`, `b`: a row number, the value of the one key column, or {key column: value}.
        `column`: which number, where there are several.
        """
        return noise.compare(self._released_answer(), a, b, column)

    def draws(self, n: int = 100, seed: int | None = None) -> pd.DataFrame:
        """`n` tables that could as well be the truth, given this answer and its noise alone. Free.

        One long table: the answer's columns behind a column `draw`, 0 … n-1.
        """
        return noise.draws(self._released_answer(), n, seed)

    def chart(
        self,
        x: str | None = None,
        y: str | None = None,
        colour: str | None = None,
        *,
        zero: bool | None = None,
    ) -> Chart:
        """Dots with interval bands, as SVG, and the figures beside them. Columns are chosen by kind where not named."""
        with extra("charts"):
            from sandbox_guard.client.chart import Chart

        answer = self._released_answer()
        return Chart.of(answer, figures=_figures(answer), x=x, y=y, colour=colour, zero=zero)

    def sharpen(self, margin: Margin) -> Sharpening:
        """What it would cost to know these counts and sums to ± `margin` (a number, or {column: number}).

        Nothing is spent: the offer's `ask()` asks once more, and combines both answers by how sure each is.
        Raises InterfaceError, with the reason, where two answers cannot be averaged.
        """
        from sandbox_guard.client.sharpen import sharpening

        return sharpening(self.asked, self._released_answer(), margin)

    def _released_answer(self) -> Answer:
        if self.answer is None:
            raise InterfaceError(say("sample"))
        return self.answer

    # ------------------------------------------------------------------ display

    def _repr_html_(self) -> str:
        return self.view().html()

    def __repr__(self) -> str:
        return self.view().text()

    def view(self) -> View:
        """What is shown: cuts, cost and remainder above the table; meaning and receipt below."""
        if self.answer is None:
            return self._plain(say("sample"))
        if not self.equals(self.answer.frame()):
            return self._plain(say("changed"))
        answer = self.answer
        figures = _figures(answer)
        return replace(
            figures,
            banner=say("process_backend") if self.trial else None,
            above=[*figures.above, _price(answer)],
            bars=bars(answer.remaining, *_taken(answer)),
            bars_head=say("remaining"),
            below=_meaning(answer),
            summary=f"{say('receipt')} {answer.receipt.get('release_id', '')}",
            details=_receipt(answer),
        )

    def _plain(self, banner: str) -> View:
        shown = len(self) if len(self) <= ROWS_SHOWN else ROWS_SHOWN // 3
        cut = [] if shown == len(self) else [say("rows_shown", shown=f"{shown:,}", total=f"{len(self):,}")]
        head = pd.DataFrame(self).head(shown)
        return View(
            banner=banner,
            above=cut,
            heads=[str(name) for name in self.columns],
            rows=[[_sample_cell(value) for value in row] for row in head.itertuples(index=False, name=None)],
            right=frozenset(
                i
                for i, dtype in enumerate(self.dtypes)
                if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
            ),
        )


def read_provenance(path: str | Path) -> dict[str, Any]:
    """Receipt, data versions and cost that a file written by `to_csv` or `to_parquet` carries."""
    if str(path).endswith((".parquet", ".pq")):
        with extra("parquet"):
            import pyarrow.parquet

        metadata: Mapping[bytes, bytes] = pyarrow.parquet.read_schema(path).metadata or {}
        found: dict[str, Any] = json.loads(metadata[FILE_KEY.encode()])
        return found
    found = {}
    with Path(path).open(encoding="utf-8-sig") as file:
        for line in file:
            if not line.startswith("# "):
                break
            name, _, value = line[2:].partition(": ")
            found[name] = json.loads(value)
    return found


def _figures(answer: Answer) -> View:
    """The table, under what was cut."""
    shown = answer.rows if answer.rows <= ROWS_SHOWN else ROWS_SHOWN // 3
    cells = [_cells(column, shown) for column in answer.columns]
    return View(
        above=_cuts(answer, shown),
        heads=[column.name for column in answer.columns],
        rows=list(zip(*cells, strict=True)) if cells else [],
        right=frozenset(i for i, c in enumerate(answer.columns) if c.type in ("integer", "real")),
    )


def _cells(column: Column, shown: int) -> Sequence[Cell]:
    values = list(column.values[:shown])
    if column.low is None or column.high is None:
        # A year or a number that is a key reads badly with thousands separators.
        return [
            number(value) if isinstance(value, float) or value is None else str(value) for value in values
        ]
    reliability = column.reliability or [None] * len(values)
    whole = column.type == "integer"
    return [
        _rated(figure(value, low, high, whole=whole), value, low, word)
        for value, low, word, high in zip(
            values, column.low[:shown], reliability[:shown], column.high[:shown], strict=True
        )
    ]


def _rated(shown: Figure, value: Any, low: Any, word: str | None) -> Figure:
    if word is None and value is not None and low is None:
        word = "caution"  # a margin that nobody knows
    return replace(shown, word=word)


def _cuts(answer: Answer, shown: int) -> list[str]:
    cuts = [pick(note) for note in answer.notes]
    if shown < answer.rows:
        cuts.append(say("rows_shown", shown=f"{shown:,}", total=f"{answer.rows:,}"))
    if answer.rows == 0:
        cuts.append(say("no_rows"))
    return cuts


def _price(answer: Answer) -> str:
    paid = (
        say("free")
        if answer.free
        else say(
            "paid",
            project=percent(answer.cost.percent_project),
            member=percent(answer.cost.percent_member),
        )
    )
    more = say("more_like_this", n=f"{answer.more_like_this:,}") if answer.more_like_this is not None else ""
    return sentences(paid, more, say("ask_again_free"))


def _taken(answer: Answer) -> tuple[float, float]:
    """The shares of both budgets that showing this took."""
    return (0.0, 0.0) if answer.free else (answer.cost.percent_project, answer.cost.percent_member)


def _meaning(answer: Answer) -> list[str]:
    if not any(column.noisy for column in answer.columns):
        return []
    lines = [sentences(say("meaning"), say("simulated") if answer.simulated else "")]
    if any(word for column in answer.columns for word in column.reliability or ()):
        legend = (f"{mark} {say(word)} = {say(word + '_means')}" for word, mark in MARKS.items())
        lines.append(say("reliability") + " · ".join(legend))
    return lines


def _receipt(answer: Answer) -> list[tuple[str, str]]:
    receipt = answer.receipt
    rows = [
        (say("receipt"), receipt.get("release_id")),
        (say("released_at"), second(receipt["released_at"]) if receipt.get("released_at") else None),
        (say("position"), receipt.get("position")),
        (say("digest"), receipt.get("digest")),
        (say("versions"), _versions(receipt.get("versions"))),
        (say("guarantee"), _guarantee(answer)),
        (say("sql"), answer.sql),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _versions(versions: Any) -> str:
    if isinstance(versions, Mapping):
        return ", ".join(f"{dataset} {version}" for dataset, version in versions.items())
    return "" if versions is None else str(versions)


def _guarantee(answer: Answer) -> str:
    total = say(
        "total_guarantee", epsilon=f"{answer.cost.epsilon:.3g}", delta=f"{answer.cost.epsilon_delta:.1g}"
    )
    return pick(answer.guarantee) + total


def _sample_cell(value: object) -> str:
    if value is pd.NaT:
        return "—"
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else str(value)
    if hasattr(value, "item"):
        value = value.item()
    return str(value) if isinstance(value, int) else number(value)  # a year or an id reads badly with commas
