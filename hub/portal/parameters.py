"""The form of an approved analysis: what was typed, checked against what the reviewers allowed.

The vault checks again; checking here as well names every mistake at once, and starts no sandbox for one.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from hub.portal import words
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import ColumnType, Parameter

Typed = bool | int | Decimal | dt.date | str

YES, NO = Text("是", "yes"), Text("否", "no")


@dataclass(frozen=True)
class Option:
    value: str
    title: Text


@dataclass(frozen=True)
class Field:
    """One parameter as the form shows it."""

    name: str
    title: Text
    hint: Text | None
    kind: str
    """select, number, date or text."""
    value: str
    options: tuple[Option, ...] = ()
    low: str = ""
    high: str = ""
    step: str = "any"
    error: Text | None = None


@dataclass(frozen=True)
class Filled:
    """A form with what was typed into it."""

    fields: tuple[Field, ...]
    values: Mapping[str, str]
    """As JSON text for the vault; only where there is no error."""

    @property
    def errors(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.error is not None)

    def with_error(self, name: str, error: Text) -> Filled:
        """The same, where the vault found fault with one of the parameters."""
        fields = tuple(_with_error(f, error) if f.name == name else f for f in self.fields)
        return Filled(fields, self.values)


def fill(declared: Mapping[str, Parameter], typed: Mapping[str, str]) -> Filled:
    """What was typed, `typed`, or the defaults for what is not in it."""
    fields, values = [], {}
    for name, parameter in declared.items():
        text = typed[name] if name in typed else default_text(parameter)
        value, error = _checked(parameter, text)
        if name not in typed and error is not None and not text:
            error = None  # a form that was just opened has no mistakes yet
        fields.append(_field(name, parameter, text, error))
        if value is not None:
            values[name] = as_text(value)
    return Filled(tuple(fields), values)


def default_text(parameter: Parameter) -> str:
    return "" if parameter.default is None else as_text(parameter.default)


def as_text(value: object) -> str:
    """As a form field and the vault read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


def shown(parameter: Parameter | None, value: str) -> Text:
    """A value as people read it, by its label where it has one."""
    if parameter is None:
        return Text(value, value)
    for option in _options(parameter):
        if option.value == value:
            return option.title
    if parameter.type in (ColumnType.INTEGER, ColumnType.NUMBER):
        try:
            number = words.number(float(value))
            return Text(number, number)
        except ValueError:
            pass
    return Text(value, value)


def _checked(parameter: Parameter, text: str) -> tuple[Typed | None, Text | None]:
    """The typed value, or what to tell the person who typed it."""
    text = text.strip()
    title = parameter.title
    if not text:
        choose = bool(_options(parameter))
        zh, en = ("选择", "Choose") if choose else ("填写", "Enter")
        return None, Text(f"请{zh}{title.zh}", f"{en} a value for “{title.en}”")
    try:
        value = _typed(parameter.type, text)
    except (ValueError, InvalidOperation):
        return None, _wrong_type(parameter)
    if not parameter.accepts(as_text(value) if _is_dated_choice(parameter) else value):
        return None, _out_of_range(parameter)
    return value, None


def _is_dated_choice(parameter: Parameter) -> bool:
    """Declared dates among `values` are written as text."""
    return parameter.type is ColumnType.DATE and parameter.values is not None


def _typed(wanted: ColumnType, text: str) -> Typed:
    match wanted:
        case ColumnType.BOOLEAN:
            return (
                {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no()
            )
        case ColumnType.INTEGER:
            number = _decimal(text)
            return int(number) if number == number.to_integral_value() else _no()
        case ColumnType.NUMBER:
            return _decimal(text)
        case ColumnType.DATE:
            return dt.date.fromisoformat(unicodedata.normalize("NFKC", text).replace("/", "-"))
        case ColumnType.STRING:
            return text


def _no() -> Typed:
    raise ValueError


def _decimal(text: str) -> Decimal:
    """Full-width digits and thousands separators are understood."""
    plain = unicodedata.normalize("NFKC", text).replace(",", "").replace(" ", "")
    if len(plain) > 40:
        raise ValueError
    number = Decimal(plain)
    if not number.is_finite():
        raise ValueError
    return number


def _wrong_type(parameter: Parameter) -> Text:
    zh, en = {
        ColumnType.INTEGER: ("须为整数，例如 2022", "must be a whole number, like 2022"),
        ColumnType.NUMBER: ("须为数字，例如 10000 或 0.5", "must be a number, like 10000 or 0.5"),
        ColumnType.DATE: ("须为日期，例如 2022-01-31", "must be a date, like 2022-01-31"),
    }.get(parameter.type, ("须从列表中选择", "must be one of the list"))
    return Text(f"{parameter.title.zh}{zh}", f"“{parameter.title.en}” {en}")


def _out_of_range(parameter: Parameter) -> Text:
    title = parameter.title
    if parameter.bounds is None:
        return Text(f"{title.zh}须从列表中选择", f"“{title.en}” must be one of the list")
    low, high = _bounds_text(parameter)
    return Text(f"{title.zh}须在 {low} 至 {high} 之间", f"“{title.en}” must be between {low} and {high}")


def _bounds_text(parameter: Parameter) -> tuple[str, str]:
    assert parameter.bounds is not None
    low, high = (str(b) if isinstance(b, dt.date) else words.number(float(b)) for b in parameter.bounds)
    return low, high


def _options(parameter: Parameter) -> tuple[Option, ...]:
    if parameter.values is None:
        if parameter.type is ColumnType.BOOLEAN:
            return (Option("true", YES), Option("false", NO))
        return ()
    return tuple(
        Option(
            text := as_text(value),
            Text(label.zh, label.en) if (label := parameter.labels.get(str(value))) else Text(text, text),
        )
        for value in parameter.values
    )


def _field(name: str, parameter: Parameter, text: str, error: Text | None) -> Field:
    options = _options(parameter)
    title = Text(parameter.title.zh, parameter.title.en)
    if options:
        return Field(name, title, None, "select", text.strip(), options, error=error)
    if parameter.bounds is None:
        return Field(name, title, None, "text", text, error=error)
    low, high = _bounds_text(parameter)
    return Field(
        name,
        title,
        Text(f"{low} 至 {high}", f"{low} to {high}"),
        "date" if parameter.type is ColumnType.DATE else "number",
        text,
        low=as_text(parameter.bounds[0]),
        high=as_text(parameter.bounds[1]),
        step="1" if parameter.type is ColumnType.INTEGER else "any",
        error=error,
    )


def _with_error(field: Field, error: Text) -> Field:
    return Field(**{**field.__dict__, "error": error})
