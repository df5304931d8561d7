"""What a researcher can do, on one vault and one local sample."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, Literal

import pandas as pd

from sandbox_guard.client import parameters, samples, waiting
from sandbox_guard.client.account import Budget, Estimate, FewerRows
from sandbox_guard.client.answer import Answer
from sandbox_guard.client.dictionary import Catalogue
from sandbox_guard.client.errors import DatabaseError, InterfaceError
from sandbox_guard.client.releases import Analyses, History
from sandbox_guard.client.result import Result
from sandbox_guard.client.service import Service
from sandbox_guard.client.sharpen import Asked, Margin
from sandbox_guard.client.words import say

ROWS_TRIED: Final = (1, 2, 3, 5, 10, 20, 50)

Where = Literal["vault", "sample"]


class Explanation(str):
    """How a question would be answered, as text."""

    def __repr__(self) -> str:
        return str(self)


class Session:
    """Without `service`, the vault of this notebook, found at the first question."""

    def __init__(self, service: Service | None = None) -> None:
        self._service = service

    @property
    def service(self) -> Service:
        if self._service is None:
            self._service = Service.from_environment()
        return self._service

    # ----------------------------------------------------------------------------- ask

    def sql(
        self,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        margin: Margin | None = None,
        share: float | None = None,
        epsilon: float | None = None,
        pure: bool = False,
        rows_per_unit: int | None = None,
        on: Where = "vault",
    ) -> Result:
        """Ask the vault, and get a DataFrame that shows how sure each number is.

        params         values of `:name` in the SQL
        margin         ± that is accurate enough, 95 of 100 times: a number, or {column: number}
        share          what to spend, as a share 0…1 of what remains
        epsilon        what to spend, in total for this question; pure=True for (epsilon, 0)
        rows_per_unit  how many rows of one person or firm may count
        on             'sample' runs the same SQL on the local sample: exact, free, invented data

        Raises Refused (nothing charged), Fault (charged; asking again is free), Unreachable.
        """
        ask = _ask(sql, params, margin, share, epsilon, pure, rows_per_unit)
        if on == "sample":
            return Result(samples.ask(sql, ask["parameters"]), None)
        if on != "vault":
            raise InterfaceError(say("bad_on", on=repr(on)))
        result = self._answered("/v1/query", "/v1/estimate", ask)
        result.asked = Asked(self.service, ask)
        return result

    def try_sql(self, sql: str, **options: Any) -> Result | DatabaseError:
        """Like `sql`, but a refusal or failure is returned, to be looked at, instead of raised."""
        try:
            return self.sql(sql, **options)
        except DatabaseError as error:
            return error

    def estimate(
        self,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        margin: Margin | None = None,
        share: float | None = None,
        epsilon: float | None = None,
        pure: bool = False,
        rows_per_unit: int | None = None,
    ) -> Estimate:
        """What `sql` with the same arguments would cost, and how accurate it would be. Free."""
        ask = _ask(sql, params, margin, share, epsilon, pure, rows_per_unit)
        return Estimate.read(self.service.post("/v1/estimate", ask))

    def fewer_rows(
        self,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        margin: Margin | None = None,
        share: float | None = None,
        epsilon: float | None = None,
        pure: bool = False,
    ) -> FewerRows:
        """What counting fewer rows of each person or firm would trade, as far as it can be told for free."""
        most = self.catalogue().most_rows(sql)
        counted = [*(rows for rows in ROWS_TRIED if rows < most), most]
        asks = {rows: _ask(sql, params, margin, share, epsilon, pure, rows) for rows in counted}
        answers = {rows: self.service.post("/v1/estimate", ask) for rows, ask in asks.items()}
        return FewerRows({rows: Estimate.read(answer) for rows, answer in answers.items()})

    def explain(
        self,
        sql: str,
        *,
        params: Mapping[str, Any] | None = None,
        margin: Margin | None = None,
        share: float | None = None,
        epsilon: float | None = None,
        pure: bool = False,
        rows_per_unit: int | None = None,
    ) -> Explanation:
        """How the vault would answer: bounds, noise, strategy. Free, and the same for any data."""
        ask = _ask(sql, params, margin, share, epsilon, pure, rows_per_unit)
        return Explanation(self.service.post("/v1/explain", ask)["explain"])

    # --------------------------------------------------------------- approved analyses

    def analyses(self) -> Analyses:
        """The analyses that were reviewed and approved for this project."""
        return Analyses(tuple(self.service.get("/v1/analyses")))

    def analyse(self, name: str, /, **params: Any) -> Result:
        """Run an approved analysis."""
        body = {"parameters": parameters.values(params)}
        return self._answered(f"/v1/analyses/{name}", f"/v1/analyses/{name}/estimate", body)

    def estimate_analysis(self, name: str, /, **params: Any) -> Estimate:
        """What an approved analysis would cost. Free."""
        body = {"parameters": parameters.values(params)}
        return Estimate.read(self.service.post(f"/v1/analyses/{name}/estimate", body))

    # -------------------------------------------------------------------------- look up

    def budget(self) -> Budget:
        """What remains, for you, your project and above."""
        return Budget.read(self.service.get("/v1/budget"))

    def catalogue(self) -> Catalogue:
        """Tables and columns that this project may ask about."""
        return Catalogue.read(self.service.get("/v1/catalogue"))

    def tables(self) -> pd.DataFrame:
        """The catalogue as a DataFrame, one row a column."""
        return self.catalogue().frame()

    def history(self, words: str = "") -> History:
        """What this project has been told, newest first; with `words`, those that hold them. Free."""
        return History(tuple(self.service.get("/v1/history")["releases"])).search(words)

    def sample(self, table: str, n: int = 10) -> Result:
        """The first rows of a table of the local sample."""
        return Result(samples.rows(table, n), None)

    def _answered(self, path: str, estimate: str, body: Mapping[str, Any]) -> Result:
        def due() -> float | None:
            expected = self.service.glimpse(estimate, body)
            return None if expected is None or expected.get("free") else expected.get("seconds")

        with waiting.shown(due, lambda: self.service.lost):
            return self._result(self.service.ask(path, body))

    def _result(self, body: Mapping[str, Any]) -> Result:
        return Result.of(Answer.read(body), trial=os.environ.get("SANDBOX_GUARD_BACKEND") == "process")


def _ask(
    sql: str,
    params: Mapping[str, Any] | None,
    margin: Margin | None,
    share: float | None,
    epsilon: float | None,
    pure: bool,
    rows_per_unit: int | None,
) -> dict[str, Any]:
    prices = {"margin": margin, "share": share, "epsilon": epsilon}
    named = [name for name, value in prices.items() if value is not None]
    if len(named) > 1:
        raise InterfaceError(say("one_price", names=", ".join(named)))
    if pure and epsilon is None:
        raise InterfaceError(say("pure_needs_epsilon"))
    asked = {**prices, "pure": pure or None, "rows_per_unit": rows_per_unit}
    return {
        "sql": sql,
        "parameters": parameters.values(params),
        **{name: value for name, value in asked.items() if value is not None},
    }
