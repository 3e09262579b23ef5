"""Send As: Get-, Add- and Remove-RecipientPermission.

A row names the recipient by its identity and the trustee by its sign-in name (rows of a real tenant, July 2026), or a
group, which has none, by its name (GruberMarkus/Export-RecipientPermissions pull request 7). An application is named
by its SID: no source shows such a row, and of all forms this one tells least. Every mailbox has a row for itself,
`NT AUTHORITY\\SELF`, which is not kept here but made at each reading. Removing what is not there is a warning
(Microsoft's page of Remove-MailboxPermission has the text); so is adding what exists (text ours).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from provisioner.sandbox.cmdlets import errors, mailbox, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, each, shuffled, stable_guid
from provisioner.sandbox.cmdlets.parameters import Parameter, Replace, identity, string, values
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.generated import Listing, chained
from provisioner.sandbox.tenant import Row, Tenant

NOUN = Noun("RecipientPermission", {"Trustee": "", "AccessControlType": "Allow", "AccessRights": ["SendAs"]})

_SELF = "NT AUTHORITY\\SELF"
_RIGHTS = "Microsoft.Exchange.Management.RecipientTasks.RecipientAccessRight"


def _row(tenant: Tenant, recipient: str, trustee: str) -> Row:
    return {
        "Identity": recipient,
        "Trustee": trustee,
        "AccessControlType": "Allow",
        "AccessRights": ["SendAs"],
        "InheritanceType": "None",
        "TrusteeSidString": _sid(trustee),
        "TrusteeWithPrimarySmtpAddress": "",
        "Guid": stable_guid(tenant.tenant_id, "send-as", recipient.lower(), trustee.lower()),
    }


def _sid(trustee: str) -> str:
    if trustee == _SELF:
        return "S-1-5-10"
    return trustee if trustee.startswith("S-1-") else f"S-1-5-21-{stable_guid(trustee.lower())}"


def _shown(row: Row) -> Row:
    """Without the key by which rows are told apart here; the service's rows have none."""
    return {name: value for name, value in row.items() if name != "Guid"}


def _get(call: Call) -> Rows:
    tenant, wanted = call.tenant, call.get("Identity")
    only, trustee = recipient.named(tenant, wanted) if wanted else None, str(call.get("Trustee") or "").lower()
    given = [row for row in _given(tenant, only) if str(row["Trustee"]).lower() == trustee or not trustee]
    owners = _mailboxes(tenant, only) if trustee in {"", _SELF.lower()} else []
    own = each(owners, lambda owner: _row(tenant, str(owner["Identity"]), _SELF))
    rows = chained(own, given) if isinstance(own, Listing) else [*own, *given]
    return shuffled(tenant, each(rows, _shown))


def _mailboxes(tenant: Tenant, only: Row | None) -> Rows:
    """The recipients that have a right on themselves."""
    rows = [only] if only is not None else tenant.visible(mailbox.NOUN.name)
    return rows if isinstance(rows, Listing) else [row for row in rows if row.get("RecipientType") == "UserMailbox"]


def _given(tenant: Tenant, only: Row | None) -> Iterator[Row]:
    """The rights that were given. A seed takes any name of a recipient; the service's rows all have its identity."""
    names = {str(name).lower() for name in mailbox.NOUN.all_names(only)} if only is not None else set()
    for row in tenant.visible(NOUN.name):
        name = str(row["Identity"])
        owners = recipient.all_named(tenant, name) if only is None else [only] if name.lower() in names else []
        yield from ({**row, "Identity": str(owner["Identity"])} for owner in owners[-1:])


def _named(call: Call) -> tuple[str, str, Row | None]:
    """Recipient, trustee, and the row of the two if there is one. Raises CmdletError for names that nobody has."""
    rights = call.get("AccessRights")
    for right in rights.values if isinstance(rights, Replace) else ():
        if right.lower() != "sendas":
            raise errors.not_a_member("AccessRights", right, _RIGHTS, ("SendAs",))
    owner = recipient.named(call.tenant, str(call.get("Identity")))
    owned, names = str(owner["Identity"]), {str(name).lower() for name in mailbox.NOUN.all_names(owner)}
    holder = recipient.principal(call.tenant, str(call.get("Trustee")))
    trustee = recipient.sign_in_name(holder) or str(holder.get("Sid") or holder["Name"])
    known = {str(name).lower() for name in recipient.names(holder)}  # a seed takes any of them
    there: list[Any] = [
        row
        for row in call.tenant.rows(NOUN.name)
        if str(row["Identity"]).lower() in names and str(row["Trustee"]).lower() in known
    ]
    return owned, trustee, there[0] if there else None


def _add(call: Call) -> Rows:
    owned, trustee, there = _named(call)
    if there is not None:
        call.warn(f"The appropriate access control entry is already present on the object '{owned}'.")
        return []
    row = _row(call.tenant, owned, trustee)
    call.add(NOUN.name, row)
    return [_shown(row)]


def _remove(call: Call) -> Rows:
    owned, trustee, there = _named(call)
    if there is None:
        call.warn(
            f"Can't remove the access control entry on the object '{owned}' for account '{trustee}' because the "
            "ACE doesn't exist on the object."
        )
        return []
    call.remove(NOUN.name, there)
    return []


def _change(name: str, run: Any) -> Cmdlet:
    parameters: tuple[Parameter, ...] = (
        identity(),
        string("Trustee", required=True, stored=False),
        values("AccessRights", required=True, stored=False),
    )
    return Cmdlet(name, parameters, run)


CMDLETS = (
    Cmdlet("Get-RecipientPermission", (identity(required=False), string("Trustee", stored=False)), _get),
    _change("Add-RecipientPermission", _add),
    _change("Remove-RecipientPermission", _remove),
)
