"""What a question is and what it costs: all that is decided before the charge, from text, policy and ask alone.

No data and no ledger: so an auditor does it again from the log (`sandbox_guard.replan`) and must get the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sandbox_guard.ledger.wire import Amount, Question, Spend
from sandbox_guard.policy.model import DELTA_UNITS, Analysis, Policies
from sandbox_guard.privacy.price import Ask, PriceRequest, Quote, quote
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import Limits, parse
from sandbox_guard.sql.plan import KEPT, Plan
from sandbox_guard.sql.planner import digest, plan
from sandbox_guard.sql.relation import Scan
from sandbox_guard.sql.walk import nodes


@dataclass(frozen=True)
class Asked:
    """One request, as it arrives."""

    sql: str | bytes
    request_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rho: float | None = None
    epsilon: float | None = None
    pure: bool = False
    share: float | None = None
    margin: float | Mapping[str, float] | None = None
    rows_per_unit: int | None = None
    analysis: Analysis | None = None
    today: dt.date = field(default_factory=dt.date.today)
    """now() of the whole query."""

    @property
    def text(self) -> str | bytes:
        """The SQL that is planned."""
        return self.analysis.sql if self.analysis is not None else self.sql


@dataclass(frozen=True)
class Priced:
    """A question that may be asked, and its price. Nothing has been read."""

    plan: Plan
    ask: Ask
    quote: Quote
    question: Question
    seconds: float | None = None
    """T, from the start of work to the release, whatever the data: from the plan and the rates of the vault's machine.
    None where nothing private is read."""

    @property
    def spends(self) -> tuple[Spend, ...]:
        return tuple(
            Spend(
                population=population,
                cost=Amount(rho=amount.rho, delta=amount.delta),
                datasets={
                    d: Amount(rho=a.rho, delta=a.delta) for d, a in self.quote.by_dataset(population).items()
                },
            )
            for population, amount in self.quote.by_population().items()
        )

    @property
    def plan_digest(self) -> str:
        """Of the bounds and of the noise that was bought."""
        return _digest([digest(self.plan), self.quote.as_dict()])


@dataclass(frozen=True)
class Wording:
    """All that a plan depends on beside policy. Equal where written alike: 1, 1.0 and TRUE are not."""

    written: str
    sql: str | bytes = field(compare=False)
    asked: Asked = field(compare=False)

    @classmethod
    def of(cls, asked: Asked, sql: str | bytes) -> Wording:
        return cls(
            repr((sql, sorted(asked.parameters.items()), asked.today, asked.rows_per_unit)), sql, asked
        )


@dataclass(frozen=True, eq=False)
class Pricing:
    """The policies by which one project's questions are planned and priced. Made once: it keeps plans."""

    policies: Policies
    catalogue: Catalogue
    limits: Limits

    @classmethod
    def of(cls, policies: Policies, project: str) -> Pricing:
        described = policies.projects[project]
        limits = Limits(size=described.limits.text, nesting=described.limits.nesting)
        return cls(policies, Catalogue.of(policies, described), limits)

    def plan(self, asked: Asked, sql: str | bytes | None = None) -> Plan:
        """Of `sql` in place of what was asked, where it is given."""
        return _planned(self, Wording.of(asked, asked.text if sql is None else sql))

    def price(self, asked: Asked, planned: Plan, ask: Ask, versions: Mapping[str, str]) -> Priced:
        """`versions` are those of the datasets that the plan reads."""
        bought = quote(PriceRequest.of(planned, self.query_delta_units(planned)), ask)
        question = Question(
            digest=_digest([digest(planned), repr(ask), asked.rows_per_unit, self.policies.digest]),
            versions=dict(versions),
            analysis=asked.analysis.name if asked.analysis else None,
            analysis_digest=asked.analysis.digest if asked.analysis else None,
        )
        return Priced(planned, ask, bought, question)

    def query_delta_units(self, planned: Plan) -> int:
        deltas = [self.policies.populations[b.population].query_delta for b in planned.blocks]
        return int(min(deltas, default=0) * DELTA_UNITS)


@lru_cache(KEPT)
def _planned(pricing: Pricing, wording: Wording) -> Plan:
    """Kept, for a question is mostly asked after its price was, and then at another one."""
    asked = wording.asked
    query = parse(wording.sql, asked.parameters, limits=pricing.limits)
    return plan(query, pricing.catalogue, today=asked.today, rows_per_unit=asked.rows_per_unit)


@lru_cache(KEPT)
def datasets_read(planned: Plan) -> tuple[str, ...]:
    return tuple(sorted({n.dataset for n in nodes((planned.steps, planned.final)) if isinstance(n, Scan)}))


def guard_version() -> str:
    return _version("sandbox-guard")


def opendp_version() -> str:
    return _version("opendp")


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "0"


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
