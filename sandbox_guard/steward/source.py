"""Reading a steward's file in order and in bounded memory: CSV (UTF-8, UTF-16, GB18030) or Parquet.

Every row carries its number, so that whatever is wrong with it can be pointed at.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

ROW = "__row"
"""Number of the row in the file, from 1, headings not counted."""

CSV_BLOCK = 8 << 20
PARQUET_BATCH = 1 << 17
ENCODINGS = ("utf-8", "gb18030")
DELIMITERS = (",", ";", "\t", "|")


class Unreadable(Exception):
    """The file as such cannot be read; `line` counts from 1 where one can be named."""

    def __init__(self, rule: str, detail: str, line: int | None = None, column: str | None = None) -> None:
        self.rule, self.detail, self.line, self.column = rule, detail, line, column
        super().__init__(detail)


@dataclass(frozen=True)
class Source:
    """An opened file: which of its columns are wanted, and how to read them."""

    path: Path
    wanted: Mapping[str, str]
    """Policy's column to the file's column."""
    ignored: tuple[str, ...]
    """Columns of the file that policy does not mention; they are never read."""
    schema: pa.Schema
    """Of the batches: policy's columns, then `__row`."""
    batches: Callable[[], Iterator[pa.RecordBatch]]
    line_of: Callable[[int], int | None]
    """Line of the file that holds a row, where the file has lines."""
    rows: int | None
    """How many there are, where the file says so beforehand."""

    def read(self, progress: Callable[[int], None], at_end: Callable[[int], None]) -> Reading:
        """Begin to read; `progress` is told how many rows have passed, and `at_end` how many there were."""
        return Reading(self, progress, at_end)


class Reading:
    """One pass over a source as an Arrow stream.

    Who consumes the stream passes on a failure as text at best, so it is kept in `failure` too.
    """

    def __init__(
        self, source: Source, progress: Callable[[int], None], at_end: Callable[[int], None]
    ) -> None:
        self.failure: Unreadable | None = None
        numbered = self._numbered(source, progress, at_end)
        self.stream = pa.RecordBatchReader.from_batches(source.schema, numbered)

    def _numbered(
        self, source: Source, progress: Callable[[int], None], at_end: Callable[[int], None]
    ) -> Iterator[pa.RecordBatch]:
        row = 0
        try:
            for batch in source.batches():
                numbers = pa.array(np.arange(row + 1, row + len(batch) + 1, dtype=np.int64))
                row += len(batch)
                progress(row)
                yield pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=source.schema)
            at_end(row)
        except Unreadable as failure:
            self.failure = failure
            raise


def open_source(path: Path, columns: Mapping[str, str]) -> Source:
    """Open `path` for the given columns (policy's name to the name in the file, matched without regard
    to case where no column matches exactly). Raises `Unreadable`."""
    if not path.is_file():
        raise Unreadable("file", "there is no such file")
    return _parquet(path, columns) if _is_parquet(path) else _csv(path, columns)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _match(columns: Mapping[str, str], present: list[str]) -> dict[str, str]:
    by_case = {p.strip().lower(): p for p in reversed(present)}
    found = {c: s if s in present else by_case.get(s.lower()) for c, s in columns.items()}
    for column, source in found.items():
        if source is None:
            raise Unreadable("column", f"the file has: {', '.join(present)}", 1, columns[column])
        if present.count(source) > 1:
            raise Unreadable("column", "the file has two columns of this name", 1, source)
    return {c: s for c, s in found.items() if s is not None}


def _schema(types: Iterable[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema([*types, (ROW, pa.int64())])


# ---------------------------------------------------------------------------------- Parquet


def _parquet(path: Path, columns: Mapping[str, str]) -> Source:
    try:
        with pq.ParquetFile(path) as file:
            stored, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as problem:
        raise Unreadable("file", f"not a readable Parquet file: {problem}") from None
    wanted = _match(columns, stored.names)

    def batches() -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(path) as file:
            columns = list(dict.fromkeys(wanted.values()))
            # One group of rows after the other: over several, the reader keeps something of each until it ends
            # (20 MiB a million rows of ten columns).
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(PARQUET_BATCH, row_groups=[group], columns=columns):
                    yield batch.select(list(wanted.values()))

    return Source(
        path,
        wanted,
        tuple(n for n in stored.names if n not in wanted.values()),
        _schema((c, stored.field(s).type) for c, s in wanted.items()),
        batches,
        lambda row: None,
        rows,
    )


# -------------------------------------------------------------------------------------- CSV


def _csv(path: Path, columns: Mapping[str, str]) -> Source:
    encoding = _encoding(path)
    delimiter, header = _header(path, encoding, columns)
    wanted = _match(columns, header)
    # A heading may appear twice as long as it is not wanted, so columns are read by position.
    positions = {c: header.index(s) for c, s in wanted.items()}

    def batches() -> Iterator[pa.RecordBatch]:
        places = [str(i) for i in range(len(header))]
        try:
            reader = pacsv.open_csv(
                path,
                pacsv.ReadOptions(
                    use_threads=False,
                    block_size=CSV_BLOCK,
                    column_names=places,
                    skip_rows_after_names=1,
                    encoding=encoding,
                ),
                pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                pacsv.ConvertOptions(
                    column_types={p: pa.string() for p in places},
                    include_columns=[str(p) for p in dict.fromkeys(positions.values())],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as problem:
            if "Empty CSV" in str(problem):
                return
            raise _malformed(path, encoding, delimiter, len(header)) from None
        with reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except pa.ArrowInvalid:
                    raise _malformed(path, encoding, delimiter, len(header)) from None
                yield pa.RecordBatch.from_arrays(
                    [batch.column(str(p)) for p in positions.values()], names=list(positions)
                )

    return Source(
        path,
        wanted,
        tuple(n for n in header if n not in wanted.values()),
        _schema((c, pa.string()) for c in wanted),
        batches,
        lambda row: _line(path, encoding, delimiter, row),
        None,
    )


def _encoding(path: Path) -> str:
    """The first encoding in which the whole file can be decoded."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ENCODINGS:
        if _decodes(path, encoding):
            return encoding
    raise Unreadable("encoding", f"neither {' nor '.join(ENCODINGS)}", _undecodable_line(path))


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while block := file.read(CSV_BLOCK):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _undecodable_line(path: Path) -> int | None:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(ENCODINGS[-1])
            except UnicodeDecodeError:
                return number
    return None


def _text_encoding(encoding: str) -> str:
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _header(path: Path, encoding: str, columns: Mapping[str, str]) -> tuple[str, list[str]]:
    """The delimiter under which most wanted columns are found, and the headings."""
    wanted = {s.lower() for s in columns.values()}

    def headings(delimiter: str) -> list[str]:
        for _, record in _records(path, encoding, delimiter):
            return [h.strip() for h in record]
        raise Unreadable("column", "the file is empty", 1)

    best = max(DELIMITERS, key=lambda d: len(wanted & {h.lower() for h in headings(d)}))
    return best, headings(best)


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins, the headings first."""
    with path.open(encoding=_text_encoding(encoding), newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        begins = 1
        for record in reader:
            if record:
                yield begins, record
            begins = reader.line_num + 1


def _line(path: Path, encoding: str, delimiter: str, row: int) -> int | None:
    return next((line for line, _ in islice(_records(path, encoding, delimiter), row, None)), None)


def _malformed(path: Path, encoding: str, delimiter: str, expected: int) -> Unreadable:
    try:
        for line, record in _records(path, encoding, delimiter):
            if len(record) != expected:
                return Unreadable("fields", f"{len(record)} fields where there are {expected} headings", line)
    except csv.Error as problem:
        return Unreadable("fields", str(problem))
    return Unreadable("fields", "quotes that do not close")
