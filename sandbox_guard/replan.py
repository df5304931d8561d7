"""Plans each logged query again from the log alone, and compares bounds and price with what was logged.

That shows, with no trust in the operator, that every charge was the price of its query under the policies in
force at its place in the log, and that a refusal followed from text and policies alone, never from data. The
policies stand in the log: `policy apply` puts the files themselves into its entry.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox_guard import logged
from sandbox_guard.errors import Refused, Text
from sandbox_guard.policy.archive import policies_in
from sandbox_guard.policy.document import PolicyError
from sandbox_guard.policy.model import Policies
from sandbox_guard.pricing import Asked, Priced, Pricing, guard_version, opendp_version

PLANNED = ("sql.", "name.", "kind.", "bound.")
"""Refusals by the planner. Those of a price, a budget, a right or a data version depend on more than a query."""

POLICIES = Text("策略文件与其摘要不符", "the policy files are not those of the digest")
OTHER_POLICIES = Text("所依策略当时并未生效", "it was priced by policies that were not in force")
NO_POLICIES = Text("日志中没有当时的策略文件", "the log has not got the policy files of that time")
ANALYSIS = Text(
    "SQL 不是所指名的核准分析", "the SQL is not that of the approved analysis that the entry names"
)
PLAN = Text("计划（边界、噪声）不同", "the plan (bounds, noise) is another")
PRICE = Text("价格不同", "the price is another")
QUESTION = Text("问题摘要不同", "the question's digest is another")
UNREADABLE = Text("条目无法重新计划", "the entry cannot be planned again")


@dataclass(frozen=True)
class Difference:
    """The first entry that is not what planning it again gives."""

    position: int
    what: Text
    detail: str = ""


@dataclass
class Replanned:
    """What planning the whole log again gave."""

    charges: int = 0
    """Queries whose bounds and price were compared."""
    refusals: int = 0
    """Refusals of the planner that were refused again with the same code."""
    other_versions: dict[str, list[int]] = field(default_factory=dict)
    """Entries whose plan only the version that made it can compare, by version. Their price was compared."""
    without: list[int] = field(default_factory=list)
    """Entries that hold too little: written before these things were logged."""
    difference: Difference | None = None

    def sentences(self, language: str) -> Iterator[str]:
        zh = language == "zh"
        if self.difference is not None:
            what = self.difference.what.zh if zh else self.difference.what.en
            detail = f" ({self.difference.detail})" if self.difference.detail else ""
            at = self.difference.position
            yield f"否。条目 {at}：{what}{detail}" if zh else f"NO. Entry {at}: {what}{detail}"
        elif zh:
            yield f"是。{self.charges} 条查询重新计划，边界与价格一致；{self.refusals} 条拒绝再次被拒绝。"
        else:
            yield (
                f"YES. {self.charges} queries planned again with the same bounds and price; "
                f"{self.refusals} refusals refused again."
            )
        for version, entries in self.other_versions.items():
            some = f"{len(entries)}（{entries[0]}…）" if zh else f"{len(entries)} (from {entries[0]})"
            yield (
                f"{some} 条由 {version} 计划：边界须用该版本比对。"
                if zh
                else f"{some} were planned by {version}: compare their bounds with that version."
            )
        if self.without:
            some = f"{len(self.without)}"
            yield (
                f"{some} 条所载不足，未能重新计划。" if zh else f"{some} hold too little to be planned again."
            )


def replan(leaves: Iterable[str | bytes]) -> Replanned:
    """`leaves` in the order of the log, from its start. Ends at the first that differs."""
    found, policies = Replanned(), _Policies()
    for leaf in leaves:
        entry = json.loads(leaf)
        try:
            match entry["kind"]:
                case "policy":
                    policies.applied(entry["facts"])
                case "charge":
                    _charge(found, policies, entry)
                case "refusal":
                    _refusal(found, policies, entry)
        except _Differs as differs:
            found.difference = Difference(entry["position"], differs.what, differs.detail)
            return found
    return found


class _Differs(Exception):
    def __init__(self, what: Text, detail: str = "") -> None:
        super().__init__(what.en)
        self.what, self.detail = what, detail


class _Policies:
    """The policies that the log has applied so far; a query is planned by those of its own digest."""

    def __init__(self) -> None:
        self.in_force = ""
        self._files: dict[str, Mapping[str, str]] = {}
        self._read: dict[str, Policies] = {}
        self._pricing: dict[tuple[str, str], Pricing] = {}

    def applied(self, facts: Mapping[str, Any]) -> None:
        self.in_force = facts["policy_digest"]
        self._files[self.in_force] = facts.get("files") or {}

    def known(self, digest: str) -> bool:
        return bool(self._files.get(digest))

    def pricing(self, digest: str, project: str) -> Pricing:
        if (digest, project) not in self._pricing:
            self._pricing[digest, project] = Pricing.of(self.of(digest), project)
        return self._pricing[digest, project]

    def of(self, digest: str) -> Policies:
        if digest not in self._read:
            if not self.known(digest):
                raise _Differs(NO_POLICIES, digest[:16])
            try:
                self._read[digest] = policies_in(self._files[digest])
            except (PolicyError, ValueError) as error:
                raise _Differs(POLICIES, str(error).splitlines()[0]) from None
            if self._read[digest].digest != digest:
                raise _Differs(POLICIES, digest[:16])
        return self._read[digest]


# -------------------------------------------------------------------------------- one entry


def _charge(found: Replanned, policies: _Policies, entry: Mapping[str, Any]) -> None:
    facts = entry["facts"]
    if not facts.get("ask") or not facts.get("today"):
        found.without.append(entry["position"])
        return
    if facts["policy_digest"] != policies.in_force:
        raise _Differs(OTHER_POLICIES, facts["policy_digest"][:16])
    version = _version(facts)
    elsewhere = version != f"sandbox-guard {guard_version()}, OpenDP {opendp_version()}"
    priced = _priced(policies, entry)
    if facts["spends"] != [spend.model_dump(mode="json") for spend in priced.spends]:
        raise _Differs(PRICE, version if elsewhere else "")
    if elsewhere:
        found.other_versions.setdefault(version, []).append(entry["position"])
        return
    if facts["plan_digest"] != priced.plan_digest:
        raise _Differs(PLAN)
    if facts["question"] != priced.question.model_dump(mode="json"):
        raise _Differs(QUESTION)
    found.charges += 1


def _version(facts: Mapping[str, Any]) -> str:
    return f"sandbox-guard {facts['guard_version']}, OpenDP {facts['opendp_version']}"


def _priced(policies: _Policies, entry: Mapping[str, Any]) -> Priced:
    facts = entry["facts"]
    pricing = policies.pricing(facts["policy_digest"], entry["project"])
    asked = _asked(facts)
    name = facts["question"].get("analysis")
    if name is not None:
        analysis = pricing.policies.analyses.get(name)
        approved = name in pricing.policies.projects[entry["project"]].analyses
        if analysis is None or not approved or analysis.sql != asked.sql:
            raise _Differs(ANALYSIS, name)
        asked = replace(asked, analysis=analysis)
    try:
        planned = pricing.plan(asked)
        return pricing.price(
            asked, planned, logged.read_ask_text(facts["ask"]), facts["question"]["versions"]
        )
    except Refused as refused:
        raise _Differs(PLAN, refused.code) from None
    except ValueError as error:
        raise _Differs(UNREADABLE, str(error)) from None


def _refusal(found: Replanned, policies: _Policies, entry: Mapping[str, Any]) -> None:
    """Nothing was charged, so only the code is compared, and only where this version gave it."""
    facts = entry["facts"]
    if not facts["code"].startswith(PLANNED):
        return
    same_version = facts.get("guard_version") == guard_version()
    if not facts.get("today") or not same_version or not _whole(policies, facts):
        found.without.append(entry["position"])
        return
    try:
        policies.pricing(facts["policy_digest"], entry["project"]).plan(_asked(facts))
    except Refused as refused:
        if refused.code != facts["code"]:
            raise _Differs(PLAN, refused.code) from None
        found.refusals += 1
    else:
        raise _Differs(PLAN)


def _whole(policies: _Policies, facts: Mapping[str, Any]) -> bool:
    """Its text was logged as it was sent, and its policies were once in force (a vault that had read newer
    files is told so only when it charges)."""
    return "\ufffd" not in facts["sql"] and policies.known(facts["policy_digest"])


def _asked(facts: Mapping[str, Any]) -> Asked:
    return Asked(
        facts["sql"],
        facts["request_id"],
        logged.read_parameters(facts["parameters"], facts["parameter_types"]),
        rows_per_unit=facts["rows_per_unit"],
        today=dt.date.fromisoformat(facts["today"]),
    )
