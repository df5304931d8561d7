"""Parameters of an approved analysis: typed, bounded, and bound as literals in the tree, never as text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import ColumnType, Parameter

TRUE, FALSE = frozenset({"true", "1", "on", "yes"}), frozenset({"false", "0", "off", "no"})


def checked(declared: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in their declared types, defaults filled in.

    Given values may be JSON values or text as a form sends it. Refused, each naming its parameter:
    `parameter.unknown`, `parameter.missing`, `parameter.type`, `parameter.values`, `parameter.bounds`.
    """
    for name in given:
        if name not in declared:
            raise Refused("parameter.unknown", parameter=name, there=", ".join(declared) or "–")
    return {name: _value(name, parameter, given.get(name)) for name, parameter in declared.items()}


def _value(name: str, declared: Parameter, given: Any) -> Any:
    if given is None or given == "":
        given = declared.default
    if given is None or given == "":
        raise Refused("parameter.missing", parameter=name)
    value = _typed(name, declared.type, given)
    if declared.values is not None:
        allowed = [_typed(name, declared.type, v) for v in declared.values]
        if value not in allowed:
            shown = ", ".join(str(v) for v in allowed)
            raise Refused("parameter.values", parameter=name, given=str(given)[:60], allowed=shown)
    if declared.bounds is not None:
        lo, hi = declared.bounds
        if not lo <= value <= hi:
            raise Refused("parameter.bounds", parameter=name, given=str(given)[:60], lo=lo, hi=hi)
    return value


def _typed(name: str, wanted: ColumnType, given: Any) -> Any:
    text = str(given).strip()
    try:
        match wanted:
            case ColumnType.BOOLEAN:
                if text.lower() in TRUE | FALSE:
                    return text.lower() in TRUE
                raise ValueError
            case ColumnType.INTEGER:
                number = Decimal(text)
                if number != number.to_integral_value() or abs(number) > 2**62:
                    raise ValueError
                return int(number)
            case ColumnType.NUMBER:
                number = Decimal(text)
                if not number.is_finite():
                    raise ValueError
                return number
            case ColumnType.DATE:
                return given if isinstance(given, dt.date) else dt.date.fromisoformat(text)
            case ColumnType.STRING:
                return str(given)
    except (ValueError, InvalidOperation):
        pass
    raise Refused("parameter.type", parameter=name, given=text[:60], type=wanted.value)
