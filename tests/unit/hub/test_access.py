"""Who gets which group and server: read as truth tables."""

from __future__ import annotations

import pytest
from jupyterhub.slugs import is_valid_safe_slug

from hub.access import ANALYSE, AUDIT, QUERY, ROLES, STEWARD, Kind, Place, groups_of, places, server_name
from sandbox_guard.policy.model import Policies

SCOPES_OF_GROUP = {
    group: {scope for role in ROLES if group in role.get("groups", []) for scope in role["scopes"]}
    for group in ("researchers", "enterprises", "auditors", "stewards")
}


def scopes_of(policies: Policies, name: str) -> set[str]:
    return set().union(*(SCOPES_OF_GROUP.get(group, set()) for group in groups_of(policies, name)))


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("lin", {QUERY, ANALYSE}),
        ("chen", {QUERY, ANALYSE}),
        ("bank1", {ANALYSE}),
        ("zhou", {AUDIT}),
        ("wu", {STEWARD}),
    ],
)
def test_each_person_may_do_what_their_office_and_projects_say(
    policies: Policies, name: str, may: set[str]
) -> None:
    assert scopes_of(policies, name) == may


def test_nobody_may_mint_tokens_share_or_administer() -> None:
    for role in ROLES:
        for scope in role["scopes"]:
            assert scope.split("!")[0].split(":")[0] not in {
                "tokens",
                "shares",
                "admin",
                "admin-ui",
                "self",
                "inherit",
            }


def test_only_the_portal_acts_on_servers_of_others() -> None:
    for role in ROLES:
        if "services" not in role:
            for scope in role["scopes"]:
                assert scope.startswith("custom:") or "!" in scope, scope


def test_a_member_has_the_servers_of_their_projects_and_no_others(policies: Policies) -> None:
    for name in policies.people:
        expected = {project.name for project in policies.projects.values() if name in project.members}
        assert {place.project for place in places(policies, name).values()} == expected


@pytest.mark.parametrize(
    "project", ["green-credit", "a", "x-analyses", "with_underscore", "long-" * 10 + "end", "a--b", "ends-"]
)
def test_every_project_name_gives_names_that_the_hub_takes(project: str) -> None:
    assert is_valid_safe_slug(server_name(project))
    assert is_valid_safe_slug(server_name(project, Kind.ANALYSES))


def test_no_two_projects_share_a_server() -> None:
    projects = ["x", "x-analyses", "x_y", "x-y", "long-" * 10 + "a", "long-" * 10 + "b"]
    names = [server_name(project, kind) for project in projects for kind in Kind]
    assert len(set(names)) == len(names)


def test_a_server_is_known_by_its_name(policies: Policies) -> None:
    found = places(policies, "lin")
    assert found["green-credit"] == Place("green-credit", Kind.NOTEBOOK)
    assert found["green-credit-analyses"] == Place("green-credit", Kind.ANALYSES)
