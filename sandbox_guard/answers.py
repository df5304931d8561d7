"""What an asker sees: the released table with its intervals, price and receipt, as JSON.

The body is what the ledger stores, once per charge; the rest (what remains, what was free) is added
each time it is shown.
"""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from sandbox_guard.errors import Text
from sandbox_guard.intervals import Floats, Intervals, Spread, gaussian_scale
from sandbox_guard.ledger.wire import Amount, Balance, Guarantee, Release, Spend
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS, Policies
from sandbox_guard.privacy.account import to_epsilon
from sandbox_guard.privacy.mechanism import Gaussian
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.release import Released
from sandbox_guard.sql import functions
from sandbox_guard.sql.plan import Output, Plan
from sandbox_guard.sql.relation import Type
from sandbox_guard.sql.weighted import weighted

HIGH, USABLE = 0.05, 0.20
"""A number whose half-width is at most 5 % of it is 'high', at most 20 % 'usable', else 'caution'."""


def body(released: Released, table: pa.Table, found: Intervals) -> str:
    """JSON of what is released."""
    plan = released.plan
    columns, rows, low, high = [], {}, {}, {}
    for i, (output, spread) in enumerate(zip(plan.outputs, found.spreads, strict=True)):
        values = _values(table, output)
        rows[str(i)] = values
        counted = spread is not None and output.column.domain.type in (Type.INTEGER, Type.REAL)
        numbers = np.array(values, dtype=np.float64) if counted else None
        columns.append(_column(output, numbers, spread) | _noise(released, output))
        if spread is not None and numbers is not None:
            low[str(i)] = (numbers - spread.below).tolist()
            high[str(i)] = (numbers + spread.above).tolist()
    shown = {
        "columns": columns,
        "rows": rows,
        "low": low,
        "high": high,
        "shape": [table.num_rows, len(columns)],
        "interval": "exact" if found.exact else "simulated",
        "notes": [n.as_dict() for n in plan.notes],
    }
    # A tenth of the standard library's time; what is not known of an interval, NaN here, is null there.
    return to_json(shown, inf_nan_mode="null").decode()


def _column(output: Output, numbers: Floats | None, spread: Spread | None) -> dict[str, Any]:
    reliability = None
    if spread is not None:
        widths = np.maximum(spread.below, spread.above)
        reliability = _reliability(numbers, widths) if numbers is not None else [None] * len(widths)
    kind = output.column.domain.type.value
    return {
        "name": output.label,
        "type": "string" if kind == "null" else kind,
        "role": "number" if output.noisy else "key",
        "reliability": reliability,
    }


def _noise(released: Released, output: Output) -> dict[str, Any]:
    """The noise's distribution and scale (in units of the result), where the number is a measure, or a weighted sum of
    some with Gaussian noise."""
    source = weighted(released.plan, output) if output.noisy else None
    if source is None or source.quantile(released.plan):
        return {}  # a quantile is chosen; nothing is added to it
    noise = released.blocks[source.block].noise
    parts = [(weight, noise[i]) for i, weight in source.weights]
    if len(parts) == 1:
        ((weight, only),) = parts
        assert not isinstance(only, Quantile)
        return {"noise": only.name, "scale": only.scale * abs(float(weight))}
    scale = gaussian_scale(parts)  # type: ignore[arg-type]
    return {"noise": Gaussian.name, "scale": scale} if scale is not None else {}


def _reliability(numbers: Floats, widths: Floats) -> list[str | None]:
    size = np.abs(numbers)
    with np.errstate(invalid="ignore"):
        grade = (widths > HIGH * size).astype(np.int8) + (widths > USABLE * size)
    known = ~(np.isnan(numbers) | np.isnan(widths))
    words: tuple[str | None, ...] = ("high", "usable", "caution", None)
    return [words[g] for g in np.where(known, grade, 3).tolist()]


def _values(table: pa.Table, output: Output) -> list[Any]:
    """Logical values as JSON has them."""
    found = table.column(f"c{output.column.id}")
    scale = output.column.scale
    if pa.types.is_integer(found.type) and found.null_count == 0 and scale is not None:
        return _decoded(found.to_numpy(), scale)
    values: list[Any] = found.to_pylist()
    if scale is not None:
        values = [functions.logical(v, scale) for v in values]
    if pa.types.is_integer(found.type) or pa.types.is_string(found.type):
        return values
    return [_plain(v) for v in values]


def _decoded(stored: NDArray[np.int64], scale: Fraction) -> list[float]:
    """`functions.logical` of many at once, by the same operations."""
    values = stored.astype(np.float64)
    if scale.numerator != 1:
        values *= float(scale.numerator)
    if scale.denominator != 1:
        values /= float(scale.denominator)
    decoded: list[float] = values.tolist()
    return decoded


def _plain(value: Any) -> Any:
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# ------------------------------------------------------------------------------ price, budget


def cost(spends: tuple[Spend, ...], balances: tuple[Balance, ...], delta: float) -> dict[str, Any]:
    """What a question costs (Architecture: Cost)."""
    rho = sum(s.cost.rho for s in spends)
    spent_delta = sum(s.cost.delta for s in spends)
    epsilon, at = to_epsilon(rho, spent_delta, delta) if rho else (0.0, 0.0)
    return {
        "rho": rho / RHO_UNITS,
        "delta": spent_delta / DELTA_UNITS,
        "percent_member": _percent(spends, balances, "member"),
        "percent_project": _percent(spends, balances, "project"),
        "epsilon": epsilon,
        "epsilon_delta": at,
    }


def _percent(spends: tuple[Spend, ...], balances: tuple[Balance, ...], level: str) -> float:
    """Of the whole budget of that level; of the dearest population where there are several."""
    shares = [0.0]
    for spend in spends:
        for balance in balances:
            account = balance.account
            if account.level == level and account.population == spend.population:
                shares.append(_share(spend.cost, account.cap))
    return 100 * max(shares)


def _share(amount: Amount, cap: Amount) -> float:
    """The part of a cap that an amount takes, of rho or of delta, whichever is larger."""
    parts = [amount.rho / cap.rho if cap.rho else 0.0]
    if cap.delta:
        parts.append(amount.delta / cap.delta)
    return max(parts)


def remaining(balances: tuple[Balance, ...], populations: set[str]) -> dict[str, float]:
    """What is left, in percent, of the scarcest of these populations."""
    return {
        f"percent_{level}": min(
            (
                _left(b)
                for b in balances
                if b.account.level == level and (not populations or b.account.population in populations)
            ),
            default=100.0,
        )
        for level in ("member", "project")
    }


def _left(balance: Balance) -> float:
    return max(0.0, 100 * (1 - _share(balance.spent, balance.account.cap)))


def more_like(spends: tuple[Spend, ...], balances: tuple[Balance, ...], datasets_only: bool = False) -> int:
    """How many more such questions fit into every budget concerned."""
    fits = [10**6]
    for spend in spends:
        for balance in balances:
            account = balance.account
            if account.population != spend.population:
                continue
            price = (
                spend.datasets.get(account.dataset or "", None) if account.level == "dataset" else spend.cost
            )
            if price is None:
                continue
            left = account.cap.rho - balance.spent.rho
            fits.append(max(0, left // max(1, price.rho)))
            if price.delta:
                fits.append(max(0, (account.cap.delta - balance.spent.delta) // price.delta))
    return int(min(fits))


def budget(balances: tuple[Guarantee, ...], policies: Policies, typical: int) -> dict[str, Any]:
    """All levels of each population (Architecture: Budget)."""
    populations = policies.populations
    names = sorted({b.account.population for b in balances})
    return {
        "populations": [
            {
                "population": name,
                "title": populations[name].title.model_dump(),
                "protects": populations[name].protects.model_dump(),
                "levels": [_level(b, policies, typical) for b in balances if b.account.population == name],
            }
            for name in names
        ]
    }


def _level(balance: Guarantee, policies: Policies, typical: int) -> dict[str, Any]:
    account = balance.account
    titled = {
        "population": policies.populations.get(account.population),
        "dataset": policies.datasets.get(account.dataset or ""),
        "project": policies.projects.get(account.project or ""),
    }.get(account.level)
    person = policies.people.get(account.member or "")
    return {
        "level": account.level,
        "name": account.member or account.project or account.dataset or account.population,
        "title": titled.title.model_dump() if titled else person.title if person else None,
        "rho_cap": account.cap.rho / RHO_UNITS,
        "rho_spent": balance.spent.rho / RHO_UNITS,
        "percent_left": _left(balance),
        "epsilon": balance.epsilon,
        "epsilon_delta": balance.epsilon_delta,
        "typical_left": max(0, (account.cap.rho - balance.spent.rho) // max(1, typical)),
    }


# -------------------------------------------------------------------------------------- answer


def answer(
    release: Release,
    plan: Plan | None,
    balances: tuple[Balance, ...],
    query_delta: float,
    guarantee: Text,
    free: bool,
) -> dict[str, Any]:
    """The whole answer (Architecture: Answer)."""
    shown: dict[str, Any] = from_json(release.body)  # a tenth of the standard library's time
    if plan is not None:
        for column, output in zip(shown["columns"], plan.outputs, strict=True):
            column["name"] = output.label  # the same question under other headings is the same question
    populations = {s.population for s in release.spends}
    return {
        **shown,
        "cost": cost(release.spends, balances, query_delta),
        "remaining": remaining(balances, populations),
        "more_like_this": more_like(release.spends, balances),
        "receipt": {
            "release_id": release.release_id,
            "position": release.position,
            "charge_id": release.charge_id,
            "digest": release.body_digest,
            "released_at": release.released_at.isoformat(),
            "overruns": release.overruns,
            "versions": release.question.versions,
        },
        "free": free,
        "sql": release.sql,
        "guarantee": guarantee.as_dict(),
    }
