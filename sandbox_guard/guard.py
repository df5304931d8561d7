"""THE path of a query (DESIGN section 2):

    SQL text → parse → check and plan → (cached?) → charge → exact integers → noise → finish → publish

Read `Guard.answer`. There are two classes of failure and no third: `Refused` before the charge, `Fault`
after it. The charge fixes when an answer or a Fault leaves; refusals and cached answers leave at once, for they
depend on nothing secret.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, Protocol

from sandbox_guard import answers, logged
from sandbox_guard.errors import Fault, Refused, Text
from sandbox_guard.intervals import finished, half_width
from sandbox_guard.ledger.wire import (
    Asker,
    Balance,
    ChargeRequest,
    Claim,
    Ledger,
    Question,
    RefusalReport,
    Release,
)
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.pricing import Asked, Priced, Pricing, datasets_read, guard_version, opendp_version
from sandbox_guard.privacy.price import Ask, Margin, Rho, read_ask
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.release import Finish, Rows, measure
from sandbox_guard.release_time import VaultCores, release_time
from sandbox_guard.sharpening import why_not_sharper
from sandbox_guard.sql import suggest
from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.planner import shape
from sandbox_guard.sql.printer import print_block
from sandbox_guard.sql.weighted import Weighted, weighted
from sandbox_guard.stillness import RUNNING, Notebooks, always
from sandbox_guard.window import Unlimited, Window, Windows, Within


class Engine(Rows, Protocol):
    def versions(self) -> dict[str, str]: ...


class Guard:
    """One member of one project, before one vault."""

    def __init__(
        self,
        pricing: Pricing,
        asker: Asker,
        ledger: Ledger,
        engine: Engine,
        finisher: Finish,
        cores: VaultCores,
        windows: Windows,
        *,
        notebooks: Notebooks = RUNNING,
        unavailable: Callable[[str], Refused | None] = lambda _: None,
    ) -> None:
        """`unavailable` says why a granted dataset has no version in force."""
        self.pricing = pricing
        self.policies = pricing.policies
        self.project = self.policies.projects[asker.project]
        self.asker = asker
        self.ledger = ledger
        self.engine = engine
        self.finisher = finisher
        self.cores = cores
        self.windows = windows
        self.notebooks = notebooks
        self.unavailable = unavailable

    # ------------------------------------------------------------------------------ the path

    def answer(self, asked: Asked) -> dict[str, Any]:
        """Ask, pay, release. Raises `Refused` (nothing charged, nothing read) or `Fault`."""
        with ExitStack() as stack:
            stood = always
            try:
                priced = self.price(asked)
                known = self.ledger.find(self.asker, priced.question)
                if known is not None:
                    return self._shown(known, priced.plan, free=True)
                if priced.seconds is not None:
                    stood = stack.enter_context(self.notebooks.still())
                charge = self.ledger.charge(self.asker, self._charge_request(asked, priced))
            except Refused as refused:
                self._log_refusal(asked, refused)
                raise
            if charge.release is not None:
                return self._shown(charge.release, priced.plan, free=True)
            with self.windows.open(charge.reserved) as window:
                body = self._measured(priced, window)
                overruns = window.leave()
                if body is None or overruns > window.doublings or not stood():
                    self.ledger.fault(self.asker, charge.charge_id, overruns)
                    raise Fault()
                release = self.ledger.publish(self.asker, charge.charge_id, body, overruns)
        return self._shown(release, priced.plan, free=False)

    def price(self, asked: Asked) -> Priced:
        """Everything that is decided before the charge."""
        planned = self._plan(asked)
        priced = self.pricing.price(asked, planned, self._ask(asked, planned), self._versions(planned))
        if not planned.blocks:
            return priced
        cores, longest = self.cores, self.project.limits.seconds
        catalogue = self.pricing.catalogue
        seconds = release_time(planned, priced.quote, catalogue, cores.costs, longest, cores.fixed)
        return replace(priced, seconds=seconds)

    def _measured(self, priced: Priced, window: Window | Unlimited) -> str | None:
        """Exact → noise → finish. None where anything goes wrong: a Fault without a word of why."""
        body: str | None = None
        within = Within(window.left, self.engine, self.finisher)
        with suppress(Exception):  # the text of any error here may depend on a row
            released = measure(priced.plan, priced.quote, within, within, window.left())
            table, found = finished(released, within, window.left())
            body = answers.body(released, table, found)
        return body

    # ------------------------------------------------------------------------------ estimate

    def estimate(self, asked: Asked) -> dict[str, Any]:
        """Price and expected error, without spending."""
        priced = self.price(asked)
        balances = self.ledger.balances(self.asker)
        populations = {s.population for s in priced.spends}
        why_not = why_not_sharper(priced.plan)
        return {
            "cost": answers.cost(priced.spends, balances, self._query_delta(priced.plan)),
            "free": not priced.spends or self._released(priced.question),
            "seconds": priced.seconds,
            "columns": [self._expected(priced, i) for i in range(len(priced.plan.outputs))],
            "remaining": answers.remaining(balances, populations),
            "more_like_this": answers.more_like(priced.spends, balances),
            "notes": [n.as_dict() for n in priced.plan.notes],
            "why_not_sharper": why_not.as_dict() if why_not else None,
            "strategy": ", ".join(dict.fromkeys(b.strategy.value for b in priced.plan.blocks)) or "public",
        }

    def _released(self, question: Question) -> bool:
        """Has this project been answered this already, over the same data?"""
        known = (r.question for r in self.ledger.history(self.asker))
        return any(k.digest == question.digest and k.versions == question.versions for k in known)

    def explain(self, asked: Asked) -> dict[str, Any]:
        """The strategy, our SQL and the bounds, for anyone to check."""
        priced = self.price(asked)
        blocks = []
        for block, bought in zip(priced.plan.blocks, priced.quote.blocks, strict=True):
            try:
                sql = print_block(block)
            except KeyError:
                sql = "(printed once the tables that it names are released)"
            blocks.append(
                {
                    "strategy": block.strategy.value,
                    "population": block.population,
                    "datasets": list(block.datasets),
                    "rows_per_unit": block.rows_per_unit,
                    "sql": sql,
                    "keys": [type(k.domain).__name__.lower() for k in block.keys],
                    "measures": [
                        {
                            "kind": m.kind.value,
                            "step": float(m.step),
                            "lo": m.lo,
                            "hi": m.hi,
                            "l0": m.sensitivity.l0,
                            "linf": m.sensitivity.linf,
                            "l1": m.sensitivity.l1,
                            "l2_squared": m.sensitivity.l2_squared,
                            **noise.as_dict(),
                        }
                        for m, noise in zip(block.measures, bought.measures, strict=True)
                    ],
                }
            )
        return {
            "explain": json.dumps(blocks, ensure_ascii=False, indent=2),
            "blocks": blocks,
            "seconds": priced.seconds,
        }

    def _expected(self, priced: Priced, position: int) -> dict[str, Any]:
        output = priced.plan.outputs[position]
        source = weighted(priced.plan, output) if output.noisy else None
        margin, why = None, None
        if source is not None:
            noise = priced.quote.blocks[source.block].measures
            margin = half_width(source, noise)
            chosen = noise[source.weights[0][0]]
            if isinstance(chosen, Quantile):
                ranks = math.ceil(chosen.rank_half_width())
                why = Text(
                    f"分位数：名次误差不超过 {ranks}（95%），数值误差随结果给出。",
                    f"A quantile: at most {ranks} ranks off at 95 %; how much that is comes with the release.",
                )
        elif output.noisy:
            why = Text(
                "误差取决于数据本身，发布后随结果给出。", "Depends on the data; comes with the release."
            )
        return {"name": output.label, "margin": margin, "why": why.as_dict() if why else None}

    # ------------------------------------------------------------------------------ budget

    def budget(self) -> dict[str, Any]:
        return answers.budget(self.ledger.guarantees(self.asker), self.policies, self._default_rho())

    def history(self) -> dict[str, Any]:
        balances = self.ledger.balances(self.asker)
        return {
            "releases": [
                {
                    "receipt": r.release_id,
                    "sql": r.sql,
                    "asked_by": r.member,
                    "released_at": r.released_at.isoformat(),
                    "answer": self._answer(r, None, balances, free=True),
                }
                for r in self.ledger.history(self.asker)
            ]
        }

    # ------------------------------------------------------------------------------- parts

    def _plan(self, asked: Asked) -> Plan:
        try:
            return self.pricing.plan(asked)
        except Refused as refused:
            if isinstance(asked.sql, str) and asked.analysis is None:
                refused.instead = refused.instead or self._instead(asked.sql, refused, asked)
            raise

    def _instead(self, sql: str, refused: Refused, asked: Asked) -> str | None:
        """The query corrected step by step, if what it lacks can be written for its author."""
        units = self.pricing.catalogue.units()
        for _ in range(8):
            written = suggest.corrected(sql, refused, units)
            if written is None or written == sql:
                return None
            sql = written
            try:
                self.pricing.plan(asked, sql)
                return sql
            except Refused as next_:
                refused = next_
        return None

    def _ask(self, asked: Asked, planned: Plan) -> Ask:
        if asked.margin is not None:
            if asked.rho is not None or asked.epsilon is not None or asked.share is not None:
                raise Refused("ask.several")
            return self._margin(asked.margin, planned)
        remaining = self._remaining(planned) if asked.share is not None else 0
        return read_ask(
            rho=asked.rho,
            epsilon=asked.epsilon,
            pure=asked.pure,
            share=asked.share,
            remaining=remaining,
            default=self._analysis_rho(asked),
        )

    def _margin(self, margin: float | Mapping[str, float], planned: Plan) -> Ask:
        """Half-widths in the units of the result, as integer steps of the measures they are."""
        wanted: dict[tuple[int, int], Fraction] = {}
        for output in planned.outputs:
            if not output.noisy:
                continue
            width = margin.get(output.label) if isinstance(margin, Mapping) else margin
            source = weighted(planned, output)
            if source is not None and source.quantile(planned):
                source = None
            if width is None or (source is None and not isinstance(margin, Mapping)):
                continue
            if source is None:
                raise Refused("ask.margin_column", column=output.label)
            try:
                exact = Fraction(repr(width))
            except (ValueError, TypeError):
                raise Refused("ask.nonsense", asked=f"margin = {width}") from None
            for at, most in _shared_out(exact, source, planned).items():
                wanted[at] = min(most, wanted.get(at, most))
        if isinstance(margin, Mapping):
            labels = {o.label for o in planned.outputs if o.noisy}
            for label in margin:
                if label not in labels:
                    raise Refused("ask.margin_column", column=label)
        if not wanted and planned.blocks:
            raise Refused("ask.margin_column", column=next(o.label for o in planned.outputs if o.noisy))
        return Margin(wanted) if wanted else Rho(self._default_rho())

    def _analysis_rho(self, asked: Asked) -> int:
        if asked.analysis is not None and asked.analysis.header.rho is not None:
            return int(asked.analysis.header.rho * RHO_UNITS)
        return self._default_rho()

    def _default_rho(self) -> int:
        return int(self.project.default_rho * RHO_UNITS)

    def _remaining(self, planned: Plan) -> int:
        populations = {b.population for b in planned.blocks}
        left = [
            b.account.cap.rho - b.spent.rho
            for b in self.ledger.balances(self.asker)
            if b.account.population in populations
            and (b.account.level != "dataset" or b.account.dataset in planned.datasets)
        ]
        return max(0, min(left, default=0))

    def _query_delta(self, planned: Plan) -> float:
        return max(self.pricing.query_delta_units(planned), 1) / DELTA_UNITS

    def _versions(self, planned: Plan) -> dict[str, str]:
        """Those in force, of the datasets that it reads."""
        versions = self.engine.versions()
        for name in datasets_read(planned):
            if name not in versions:
                raise self.unavailable(name) or Refused("data.missing", dataset=name)
        return {name: versions[name] for name in datasets_read(planned)}

    def _charge_request(self, asked: Asked, priced: Priced) -> ChargeRequest:
        return ChargeRequest(
            request_id=asked.request_id,
            question=priced.question,
            spends=priced.spends,
            sql=_text(asked.text),
            parameters=logged.parameter_texts(asked.parameters),
            parameter_types=logged.parameter_types(asked.parameters),
            ask=logged.ask_text(priced.ask),
            rows_per_unit=asked.rows_per_unit,
            today=asked.today,
            plan_digest=priced.plan_digest,
            policy_digest=self.policies.digest,
            claim=self._claim(priced),
            guard_version=guard_version(),
            opendp_version=opendp_version(),
        )

    def _claim(self, priced: Priced) -> Claim | None:
        if priced.seconds is None:
            return None
        return Claim(
            lane=self.cores.lane,
            milliseconds=math.ceil(1000 * priced.seconds),
            shape=shape(priced.plan),
            counted=self.cores.reserved,
        )

    def _log_refusal(self, asked: Asked, refused: Refused) -> None:
        self.ledger.refuse(
            self.asker,
            RefusalReport(
                request_id=asked.request_id,
                sql=_text(asked.text),
                parameters=logged.parameter_texts(asked.parameters),
                parameter_types=logged.parameter_types(asked.parameters),
                rows_per_unit=asked.rows_per_unit,
                today=asked.today,
                code=refused.code,
                policy_digest=self.policies.digest,
                analysis=asked.analysis.name if asked.analysis else None,
                guard_version=guard_version(),
            ),
        )

    def _shown(self, release: Release, planned: Plan, *, free: bool) -> dict[str, Any]:
        return self._answer(release, planned, self.ledger.balances(self.asker), free=free)

    def _answer(
        self, release: Release, planned: Plan | None, balances: tuple[Balance, ...], *, free: bool
    ) -> dict[str, Any]:
        names = [s.population for s in release.spends]
        deltas = [float(self.policies.populations[n].query_delta) for n in names]
        return answers.answer(
            release, planned, balances, min(deltas, default=1e-9), self._guarantee(names), free
        )

    def _guarantee(self, populations: list[str]) -> Text:
        units = [self.policies.populations[p].protects for p in populations]
        if not units:
            return Text("仅使用公开数据。", "Public data only.")
        return Text(
            "受保护的单元：" + "；".join(u.zh for u in units), "Protected: " + "; ".join(u.en for u in units)
        )


def _shared_out(width: Fraction, number: Weighted, planned: Plan) -> dict[tuple[int, int], Fraction]:
    """Half-widths of a number's measures, in their steps, that make up its own."""
    measures = planned.blocks[number.block].measures
    if number.single is not None:
        ((measure, weight),) = number.weights
        return {(number.block, measure): width / abs(weight)}
    # Shared as noise is, since all measures of a question are charged alike. A half-width of h whole steps is that of a
    # continuous noise's h + 1/2.
    noise = {
        i: float(abs(w)) * math.sqrt(max(1, measures[i].sensitivity.l2_squared)) for i, w in number.weights
    }
    whole = math.hypot(*noise.values())
    steps = {i: width * Fraction(noise[i] / whole) / abs(w) for i, w in number.weights}
    return {(number.block, i): max(h - Fraction(1, 2), h / 2) for i, h in steps.items()}


def _text(sql: str | bytes) -> str:
    """What was sent, as text that can be logged: what is no UTF-8 is shown as such."""
    raw = sql if isinstance(sql, bytes) else sql.encode("utf-8", "surrogatepass")
    return raw[:70_000].decode("utf-8", "replace")
