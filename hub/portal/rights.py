"""Who may see and do what, and, where the answer is no, the rule that decided (never others' data).

| page, action             | allowed for                                                            |
|--------------------------|------------------------------------------------------------------------|
| home, catalogue          | everyone in people.yaml                                                |
| budgets                  | one's own, those of one's projects, of granted datasets and their populations; auditors and stewards: all |
| analyses of a project    | its members, while the agreement runs and nobody is suspended          |
| audit log, its reports   | auditors                                                               |
| stewards' page           | stewards                                                               |

An office counts when people.yaml gives it *and* the hub's scopes confirm it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from hub import access
from hub.language import Language, Translate, translator
from hub.portal.ledger import Account, Standing
from hub.portal.signin import Identity
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Office, Person, Policies, Project, Role

_SCOPE_OF_OFFICE = {Office.AUDITOR: access.AUDIT, Office.STEWARD: access.STEWARD}


class Denied(Exception):
    """A page or an action that is not available, with the rule that says so."""

    def __init__(self, rule: Text) -> None:
        super().__init__(rule.en)
        self.rule = rule


@dataclass(frozen=True)
class Visitor:
    """Someone who is signed in, with what today's policies say of them."""

    identity: Identity
    person: Person
    policies: Policies
    language: Language

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def t(self) -> Translate:
        return translator(self.language)

    def say(self, text: Text) -> str:
        return self.t(text.zh, text.en)

    @property
    def projects(self) -> tuple[Project, ...]:
        return tuple(p for p in self.policies.projects.values() if self.name in p.members)

    def holds(self, office: Office) -> bool:
        return office in self.person.offices and _has(self.identity, _SCOPE_OF_OFFICE[office])

    @property
    def sees_all_budgets(self) -> bool:
        return self.holds(Office.AUDITOR) or self.holds(Office.STEWARD)

    # ------------------------------------------------------------------------------------- rules

    def require(self, office: Office) -> None:
        """Raises Denied for everyone who does not hold it."""
        if self.holds(office):
            return
        zh, en = {Office.AUDITOR: ("审计员", "auditors"), Office.STEWARD: ("数据管理员", "stewards")}[office]
        if office in self.person.offices:
            raise Denied(
                Text(
                    f"人员名单已将您列为{zh}，但您的登录尚未得到这项权限。请退出后重新登录。",
                    f"people.yaml lists you among the {en}, but your session does not have that right yet. "
                    "Sign out and in again.",
                )
            )
        raise Denied(
            Text(
                f"此页只对{zh}开放。由人员名单（people.yaml 中的 offices）决定；您没有这一职务。",
                f"This page is for {en}. The list of people (offices in people.yaml) decided this; "
                "you do not hold that office.",
            )
        )

    def project(self, name: str) -> Project:
        """One of this person's projects. Raises Denied, in the same words for one there is not."""
        for project in self.projects:
            if project.name == name:
                return project
        raise Denied(
            Text(
                f"您不是项目“{name}”的成员，或没有这个项目。由项目成员名单决定；如需加入，请联系数据管理员。",
                f"There is no project '{name}', or you are not among its members. The project's list of members "
                "decided this; ask the steward to be added.",
            )
        )

    def why_no_analyses(self, project: Project, standings: Iterable[Standing], today: dt.date) -> Text | None:
        """The first rule against running this project's analyses now, or None."""
        if not _has(self.identity, access.ANALYSE):
            return Text(
                "您的登录没有运行分析的权限。请退出后重新登录；若仍如此，请联系数据管理员。",
                "Your session may not run analyses. Sign out and in again; if that does not help, ask the steward.",
            )
        if project.agreement.expires < today:
            return Text(
                f"利用协议已于 {project.agreement.expires} 到期。由协议期限决定；请联系数据管理员续签。",
                f"The agreement expired on {project.agreement.expires}. Its term decided this; "
                "ask the steward to renew it.",
            )
        for standing in standings:
            if (standing.kind, standing.name) == ("project", project.name):
                if standing.state == "closed":
                    return Text(
                        "项目已关闭。由数据管理员的决定（记入审计日志）。",
                        "The project is closed, by a steward's decision that stands in the audit log.",
                    )
                return Text(
                    "项目已被暂停。由数据管理员的决定（记入审计日志）；请联系数据管理员。",
                    "The project is suspended, by a steward's decision that stands in the audit log. Ask the steward.",
                )
            if (standing.kind, standing.name) == ("member", self.name):
                return Text(
                    "您的使用已被暂停。由数据管理员的决定（记入审计日志）；请联系数据管理员。",
                    "You are suspended, by a steward's decision that stands in the audit log. Ask the steward.",
                )
        if not project.analyses:
            return Text(
                "本项目还没有获批的分析。由项目的 analyses 名单决定；请联系数据管理员。",
                "No analysis is approved for this project yet. The project's list of analyses decided this; "
                "ask the steward.",
            )
        return None

    def sees(self, account: Account) -> bool:
        """May this person see that budget?"""
        if self.sees_all_budgets:
            return True
        mine = self.projects
        match account.level:
            case "member":
                return account.member == self.name and account.project in {p.name for p in mine}
            case "project":
                return account.project in {p.name for p in mine}
            case "dataset":
                return any(account.dataset in p.datasets for p in mine)
            case _:
                return any(account.population in p.budgets for p in mine)


def _has(identity: Identity, scope: str) -> bool:
    return any(held == scope or held.startswith(scope + "!") for held in identity.scopes)


def role_words(role: Role) -> Text:
    return {
        Role.RESEARCHER: Text("研究人员", "researcher"),
        Role.ENTERPRISE: Text("试点企业", "pilot enterprise"),
    }[role]
