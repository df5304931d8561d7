"""Every member's folder gets the notebooks that its project can run, and always a welcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.notebooks import notebooks_for
from hub.spawner import NOTEBOOKS, WELCOME
from sandbox_guard.policy.model import Policies, Role


def handed_out(policies: Policies, project: str, member: str) -> set[str]:
    found = notebooks_for(NOTEBOOKS, policies, project, member)
    assert all(name == path.name for name, path in found.items())
    return {str(path.relative_to(NOTEBOOKS)) for path in found.values()}


def test_a_project_gets_what_its_tables_allow(policies: Policies) -> None:
    firms = handed_out(policies, "credit-inclusion", "lin")
    assert {"welcome.ipynb", "budgets.ipynb", "welcome.en.ipynb", "budgets.en.ipynb"} <= firms
    health = handed_out(policies, "health-cover", "lin")
    assert {"health/welcome.ipynb", "health/welcome.en.ipynb"} <= health
    assert "budgets.ipynb" not in health, "it asks about firms"


def test_who_may_run_approved_analyses_only_gets_no_queries(policies: Policies) -> None:
    expected = {"analyses/welcome.ipynb", "analyses/welcome.en.ipynb"}
    assert handed_out(policies, "green-credit", "lin") == expected, "a project without free queries"
    open_project = policies.projects["credit-inclusion"]
    guest = open_project.model_copy(update={"members": {"bank1": Role.ENTERPRISE}})
    with_guest = policies.model_copy(update={"projects": {guest.name: guest}})
    assert handed_out(with_guest, guest.name, "bank1") == expected, (
        "an enterprise in a project of researchers"
    )


@pytest.mark.parametrize("datasets", [(), ("reference",), ("tax",), ("insurance-claims",)])
@pytest.mark.parametrize("free_queries", [True, False])
def test_every_project_has_a_welcome(
    policies: Policies, datasets: tuple[str, ...], free_queries: bool
) -> None:
    """Of tables that no notebook of ours knows, too."""
    project = policies.projects["credit-inclusion"].model_copy(
        update={"datasets": datasets, "free_queries": free_queries}
    )
    only = policies.model_copy(update={"projects": {project.name: project}})
    assert set(WELCOME.values()) <= set(notebooks_for(NOTEBOOKS, only, project.name, "lin"))


def test_both_languages_need_the_same(policies: Policies) -> None:
    for project in policies.projects.values():
        for member in project.members:
            names = set(notebooks_for(NOTEBOOKS, policies, project.name, member))
            chinese = {name for name in names if not name.endswith(".en.ipynb")}
            assert {name.replace(".ipynb", ".en.ipynb") for name in chinese} == names - chinese


def test_the_names_need_no_quoting() -> None:
    """They cross to the container as words of one variable."""
    assert all(" " not in str(path.relative_to(NOTEBOOKS)) for path in Path(NOTEBOOKS).rglob("*.ipynb"))
