"""Who may do what: people, offices and memberships of `policies/` as groups, roles and scopes of the hub.

| who                                  | group         | may                                             |
|--------------------------------------|---------------|-------------------------------------------------|
| anyone in people.yaml                | (role `user`) | start and open servers of their own, the portal |
| researcher of some project           | `researchers` | query the vault of their own server             |
| pilot enterprise of some project     | `enterprises` | run approved analyses                           |
| auditor                              | `auditors`    | read the log in the portal                      |
| steward                              | `stewards`    | manage data and applications in the portal      |

A person's groups are computed anew from the policy files at sign-in and at every refresh, so a person who
leaves a project leaves its group within minutes, without a restart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jupyterhub.slugs import is_valid_safe_slug, safe_slug

from sandbox_guard.policy.model import Office, Policies, Role

QUERY = "custom:sandbox-guard:query"
ANALYSE = "custom:sandbox-guard:analyse"
AUDIT = "custom:sandbox-guard:audit"
STEWARD = "custom:sandbox-guard:steward"

CUSTOM_SCOPES: dict[str, dict[str, Any]] = {
    QUERY: {"description": "Ask the vault of one's own project"},
    ANALYSE: {"description": "Run approved analyses of one's own project"},
    AUDIT: {"description": "Read the audit log"},
    STEWARD: {"description": "Manage datasets, grants and applications"},
}

_GROUP_OF_OFFICE = {Office.AUDITOR: "auditors", Office.STEWARD: "stewards"}
_GROUP_OF_ROLE = {Role.RESEARCHER: "researchers", Role.ENTERPRISE: "enterprises"}

ROLES: list[dict[str, Any]] = [
    {
        # Narrower than the hub's own `user` role ("self"): no tokens to mint, nothing to share.
        "name": "user",
        "description": "Anyone who may sign in",
        "scopes": [
            "read:users!user",
            "users:activity!user",
            "servers!user",
            "access:servers!user",
            "access:services!service=portal",
        ],
    },
    {"name": "researcher", "groups": ["researchers"], "scopes": [QUERY, ANALYSE]},
    {"name": "enterprise", "groups": ["enterprises"], "scopes": [ANALYSE]},
    {"name": "auditor", "groups": ["auditors"], "scopes": [AUDIT]},
    {"name": "steward", "groups": ["stewards"], "scopes": [STEWARD]},
    {
        # The portal starts and stops the vault-only sandboxes in which approved analyses run.
        "name": "portal",
        "services": ["portal"],
        "scopes": ["servers", "read:users:name", "read:users:groups"],
    },
]

PORTAL_USER_SCOPES = [
    "read:users:name!user",
    "read:users:groups!user",
    QUERY,
    ANALYSE,
    AUDIT,
    STEWARD,
    "access:servers!user",
]
"""What the portal may do as the person who signed in to it, never more than that person may."""


def groups_of(policies: Policies, name: str) -> list[str]:
    """The hub groups of one person; empty for someone without office or project."""
    groups = {_GROUP_OF_OFFICE[office] for office in policies.people[name].offices}
    for project in policies.projects.values():
        if name in project.members:
            groups |= {_GROUP_OF_ROLE[project.members[name]], f"project:{project.name}"}
    return sorted(groups)


# ------------------------------------------------------------------- projects as named servers


class Kind(StrEnum):
    NOTEBOOK = "notebook"
    """The pair: a notebook and its vault."""
    ANALYSES = "analyses"
    """A vault alone, for the portal's approved analyses."""


@dataclass(frozen=True)
class Place:
    """What a named server is."""

    project: str
    kind: Kind


_ANALYSES = "-analyses"


def server_name(project: str, kind: Kind = Kind.NOTEBOOK) -> str:
    """The name of the project's server. The hub allows 30 characters of lower-case letters, digits and
    single hyphens: a project's name that does not fit is shortened and gets a hash."""
    longest = 30 - len(_ANALYSES)
    fits = is_valid_safe_slug(project, longest) and not project.endswith(_ANALYSES)
    slug = project if fits else safe_slug(project, max_length=longest)
    return str(slug) + (_ANALYSES if kind is Kind.ANALYSES else "")


def places(policies: Policies, member: str) -> dict[str, Place]:
    """The servers that this member may have, by name."""
    return dict(_places(policies, member))


def _places(policies: Policies, member: str) -> Iterator[tuple[str, Place]]:
    for project in policies.projects.values():
        if member in project.members:
            for kind in Kind:
                yield server_name(project.name, kind), Place(project.name, kind)
