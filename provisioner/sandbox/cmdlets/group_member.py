"""Members of groups as Get-Recipient shows recipients: Get-DistributionGroupMember, Get-DynamicDistributionGroupMember.

Who is in a group stands with the users of Graph (`memberOf`), by the group's id in Entra ID. Groups in the group are
left out, which the service would list as members of their own. Who is in a dynamic group follows from its
RecipientFilter at each reading; the service calculates it every 24 hours.
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets import errors, mailbox, opath, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Rows, find, server, shuffled
from provisioner.sandbox.cmdlets.parameters import identity
from provisioner.sandbox.cmdlets.recipient_search import FILTERABLE
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import USERS, Row, Tenant, user_names


def _get(call: Call) -> Rows:
    wanted = str(call.get("Identity"))
    group = recipient.named(call.tenant, wanted)
    if "Group" not in str(group.get("RecipientType")):
        raise errors.not_found(wanted, server(call.tenant))
    group_id = str(group.get("ExternalDirectoryObjectId") or "-").lower()
    rows = [row for row in call.tenant.visible(mailbox.NOUN.name) if group_id in _groups(call.tenant, row)]
    return shuffled(call.tenant, [recipient.shown(row) for row in rows])


def _groups(tenant: Tenant, row: Row) -> set[str]:
    """The ids of the groups that the user of a mailbox is in."""
    names = (row.get("ExternalDirectoryObjectId"), row.get("UserPrincipalName"), row.get("PrimarySmtpAddress"))
    users = (user for name in names if name for user in tenant.named(USERS, user_names, str(name).lower()))
    return {str(one).lower() for one in next(users, {}).get("memberOf") or ()}


def _dynamic(call: Call) -> Rows:
    group = find(call.tenant, recipient.DYNAMIC, str(call.get("Identity")))
    text = str(group.get("RecipientFilter") or "")
    fits = opath.predicate(text, FILTERABLE) if text else lambda _: False
    return shuffled(call.tenant, [recipient.shown(row) for row in recipient.rows(call.tenant) if fits(row)])


CMDLETS = (
    Cmdlet("Get-DynamicDistributionGroupMember", (identity(),), _dynamic),
    Cmdlet("Get-DistributionGroupMember", (identity(),), _get),
)
