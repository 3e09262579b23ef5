"""Graph `/users/{id}/transitiveMemberOf`: the groups that a user is in, nested ones included.

User.Read.All suffices (Learn, "List a user's memberships (direct and transitive)"): of kinds that the application may
not read the answer has the ids alone, which is all that is asked for. Groups with a hidden membership are left out
without Member.Read.Hidden. Directory roles come by ids that policies do not name: those name role templates
(`role_assignment`).
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from provisioner.model import GraphRequest, Row

MOST = 50
"""The memberships of so many users are looked up, each by a request; for more they stay unknown."""


def look_up(user_id: str) -> GraphRequest:
    """The memberships of one user, by its id."""
    path = f"/users/{quote(user_id, safe='')}/transitiveMemberOf?$top=999"
    return GraphRequest("GET", path, columns=frozenset({"id"}))


def decode(rows: Iterable[Row]) -> frozenset[str]:
    """The ids of the groups, in lower case."""
    return frozenset(str(row["id"]).lower() for row in rows if row.get("id"))
