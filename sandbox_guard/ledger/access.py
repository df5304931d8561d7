"""May this member ask this? One rule a line of `authorise`, each with its own refusal.

Decided from the terms that policy apply recorded and from suspensions, never from data.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from sqlalchemy import Connection, bindparam, select, tuple_

from sandbox_guard.errors import Refused
from sandbox_guard.ledger import schema
from sandbox_guard.ledger.wire import Asker, ProjectTerms, Question

ENTERPRISE = "enterprise"
"""The role that may run approved analyses only."""


def admit(connection: Connection, asker: Asker, now: str) -> ProjectTerms:
    """The project's terms, where this member may work in it now. Raises Refused otherwise."""
    return _admitted(connection, asker, (), now)


def _admitted(connection: Connection, asker: Asker, datasets: Iterable[str], now: str) -> ProjectTerms:
    subjects = [("member", asker.member), ("project", asker.project), *(("dataset", d) for d in datasets)]
    rows = connection.execute(_TERMS_AND_STANDINGS, {"project": asker.project, "subjects": subjects}).all()
    if not rows:
        raise Refused("access.no_project", project=asker.project)
    terms = _parsed(rows[0].terms)
    if asker.member not in terms.members:
        raise Refused("access.not_member", member=asker.member, project=asker.project)
    standings = {(row.kind, row.name): row.state for row in rows if row.kind is not None}
    if standings.get(("project", asker.project)) == "closed":
        raise Refused("access.project_closed", project=asker.project)
    if ("project", asker.project) in standings:
        raise Refused("access.project_suspended", project=asker.project)
    if ("member", asker.member) in standings:
        raise Refused("access.member_suspended", member=asker.member)
    if now[:10] > terms.expires.isoformat():
        raise Refused("access.expired", project=asker.project, expires=terms.expires.isoformat())
    for dataset in datasets:
        if dataset not in terms.datasets:
            raise Refused("access.dataset_not_granted", dataset=dataset, project=asker.project)
        if ("dataset", dataset) in standings:
            raise Refused("access.dataset_suspended", dataset=dataset)
    return terms


def authorise(connection: Connection, asker: Asker, question: Question, now: str) -> ProjectTerms:
    """`admit`, and this question is within what the project was granted. Raises Refused otherwise."""
    terms = _admitted(connection, asker, tuple(question.versions), now)
    if question.analysis is None and analyses_only(terms, asker.member):
        raise Refused("access.analyses_only", member=asker.member, project=asker.project)
    if question.analysis is not None and not approved(terms, question):
        raise Refused("access.analysis_not_approved", analysis=question.analysis, project=asker.project)
    return terms


def analyses_only(terms: ProjectTerms, member: str) -> bool:
    return not terms.free_queries or terms.members.get(member) == ENTERPRISE


def approved(terms: ProjectTerms, question: Question) -> bool:
    """Is it an analysis that was approved in exactly this text?"""
    digest = terms.analyses.get(question.analysis or "")
    return digest is not None and digest == question.analysis_digest


def terms_of(connection: Connection, project: str) -> ProjectTerms | None:
    text = connection.scalar(_TERMS, {"project": project})
    return _parsed(text) if text is not None else None


@lru_cache(maxsize=256)
def _parsed(terms: str) -> ProjectTerms:
    return ProjectTerms.model_validate_json(terms)


_TERMS = select(schema.Project.terms).where(schema.Project.name == bindparam("project"))
_TERMS_AND_STANDINGS = (
    # One round trip: it is asked at every question, under the lock of the log's head.
    select(schema.Project.terms, schema.Standing.kind, schema.Standing.name, schema.Standing.state)
    .outerjoin(
        schema.Standing,
        tuple_(schema.Standing.kind, schema.Standing.name).in_(bindparam("subjects", expanding=True)),
    )
    .where(schema.Project.name == bindparam("project"))
)
