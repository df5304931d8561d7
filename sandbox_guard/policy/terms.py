"""What the ledger needs to know of policy, as plain data in the form of its `Terms`."""

from __future__ import annotations

from typing import Any

from sandbox_guard.policy.model import Budget, Policies, Project


def compile_terms(policies: Policies) -> dict[str, Any]:
    """All budgets and what authorises each member, for `sandbox_guard.ledger.wire.Terms.model_validate`.

    Amounts are integers: rho in 1e-9, delta in 1e-15.
    """
    return {
        "policy_digest": policies.digest,
        "accounts": [
            *(_account("population", p.name, p.budget) for p in policies.populations.values()),
            *(
                _account("dataset", d.population, d.budget, dataset=d.name)
                for d in policies.datasets.values()
                if d.population is not None and d.budget is not None
            ),
            *(account for project in policies.projects.values() for account in _project_accounts(project)),
        ],
        "projects": [_project(policies, project) for project in policies.projects.values()],
    }


def _account(level: str, population: str, budget: Budget, **names: str) -> dict[str, Any]:
    cap = {"rho": budget.rho_units, "delta": budget.delta_units}
    return {"level": level, "population": population, **names, "cap": cap}


def _project_accounts(project: Project) -> list[dict[str, Any]]:
    return [
        *(
            _account("project", name, budget, project=project.name)
            for name, budget in project.budgets.items()
        ),
        *(
            _account("member", name, budget, project=project.name, member=member)
            for name, budget in project.member_budgets.items()
            for member in project.members
        ),
    ]


def _project(policies: Policies, project: Project) -> dict[str, Any]:
    return {
        "project": project.name,
        "organisation": project.organisation,
        "purpose": f"{project.purpose.zh} / {project.purpose.en}",
        "members": {member: str(role) for member, role in project.members.items()},
        "datasets": list(project.datasets),
        "agreement": project.agreement.hash,
        "expires": project.agreement.expires,
        "free_queries": project.free_queries,
        "analyses": {name: policies.analyses[name].digest for name in project.analyses},
    }
