"""Applications that send through Microsoft Graph (sendMail): which of them may, and which of those get tokens for it.

No log that a reader of the tenant may read says what a token was used for: Graph's activity logs go to the subscriber's
own storage, and message traces show mail of a mailbox without its client. So what is found are the applications that
may send (Learn, "user: sendMail": the application permission Mail.Send; or the role Application Mail.Send of RBAC for
Applications) and that got tokens for Microsoft Graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from provisioner.model import GraphRequest, Row
from provisioner.resources.rows.enterprise_application import GRAPH_API, PERMISSION, roles_of
from provisioner.resources.rows.management_role import assignments, of_role
from provisioner.senders import sign_ins
from provisioner.senders.inventory import GRAPH
from provisioner.senders.observing import Observation

ROLES = roles_of(GRAPH_API)
RBAC = of_role("Mail.Send")
NEEDS_CONSENT = f"{PERMISSION} (Graph), with admin consent"
NEEDS_ROLE = f"a role that holds {RBAC.name} (View-Only Configuration, or Global Reader)"


@dataclass(frozen=True, slots=True, order=True)
class Holder:
    """An application that may send: `id` is its object id in lower case, `by` what allows it."""

    id: str
    name: str
    by: str

    @property
    def called(self) -> str:
        """Its name with its id: names need not be unique."""
        return f"{self.name} ({self.id})" if self.name else self.id


def of_graph(rows: Iterable[Row]) -> tuple[str, frozenset[str]]:
    """The object id of Microsoft Graph's service principal ("" where the tenant has none), and its roles Mail.Send.

    Raises ValueError for a row of another shape: roles that cannot be read are not roles that nobody has.
    """
    for row in rows:
        identity, roles = row.get("id"), row.get("appRoles")
        if not isinstance(identity, str) or not identity.isascii() or not isinstance(roles, list):
            raise ValueError("the service principal of Microsoft Graph has another shape than Graph documents")
        known = (role for role in roles if isinstance(role, Mapping))
        return identity, frozenset(str(role.get("id")).lower() for role in known if role.get("value") == "Mail.Send")
    return "", frozenset()


def granted(principal: str) -> GraphRequest:
    """Every application permission of Microsoft Graph that somebody consented to, for whichever application."""
    path = f"/servicePrincipals/{quote(principal, safe='')}/appRoleAssignedTo?$top=999"
    return GraphRequest("GET", path, columns=frozenset({"appRoleId", "principalId", "principalDisplayName"}))


def holders(send: Collection[str], consents: Iterable[Row], assigned: Iterable[Row]) -> Mapping[str, Holder]:
    """The applications that may send, by object id: with consent to a role of `send`, and by a role of Exchange."""
    found: dict[str, Holder] = {}
    for row in consents:
        identity = str(row.get("principalId") or "").lower()
        if identity and str(row.get("appRoleId")).lower() in send:
            found[identity] = Holder(identity, str(row.get("principalDisplayName") or ""), "Mail.Send with consent")
    for assignment in _assignments(assigned):
        for identity in assignment:
            found.setdefault(identity, Holder(identity, "", "the role Application Mail.Send"))
    return found


def _assignments(rows: Iterable[Row]) -> Iterator[frozenset[str]]:
    """Who is assigned; a row of an unknown shape names nobody."""
    for row in rows:
        try:
            yield from (one.assignee for one in assignments([row]).values())
        except ValueError:
            continue


def decode(rows: Iterable[Row], may_send: Mapping[str, Holder]) -> Iterator[Observation]:
    """Tokens for Microsoft Graph of the applications that may send."""
    for row in sign_ins.distinct(rows):
        holder = may_send.get(str(row.get("servicePrincipalId") or "").lower())
        if holder is not None:
            yield sign_ins.of_application(row, "graph_sign_ins", GRAPH)


def idle(rows: Iterable[Row], may_send: Mapping[str, Holder]) -> tuple[str, ...]:
    """The applications that may send and of which no token for Microsoft Graph was seen."""
    seen = {str(row.get("servicePrincipalId") or "").lower() for row in rows}
    return tuple(sorted(holder.called for identity, holder in may_send.items() if identity not in seen))
