"""Rights on mailboxes: Get-, Add- and Remove-MailboxPermission.

Get needs an identity. A row names the user by its sign-in name, or a group by its name, with its SID in UserSid (rows
of a real tenant; michev.info, "Improved handling of mailbox permissions in Exchange Online"); an application by its
SID: no source shows such a row, and of all forms this one tells least. The words of a row's AccessRights may be joined
by commas in one text. Every mailbox has rows for itself (`NT AUTHORITY\\SELF`), and inherited ones, made at reading.
Removing what is not there is a warning (Microsoft's page of Remove-MailboxPermission has the text); so is adding what
exists (public scripts look for "The appropriate access control entry is already present"; the rest is ours).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from provisioner.sandbox.cmdlets import errors, mailbox, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, find, find_visible, server, shuffled, stable_guid
from provisioner.sandbox.cmdlets.parameters import Replace, boolean, choice, identity, string, values
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row, Tenant

NOUN = Noun(
    "MailboxPermission", {"User": "", "AccessRights": [], "Deny": False, "IsInherited": False, "InheritanceType": "All"}
)

_SELF = "NT AUTHORITY\\SELF"
_SYSTEM = "NAMPRD00\\Organization Management"
_RIGHTS = ("ChangeOwner", "ChangePermission", "DeleteItem", "ExternalAccount", "FullAccess", "ReadPermission")
_RIGHTS_TYPE = "Microsoft.Exchange.Management.RecipientTasks.MailboxRights"
_INHERITANCE = ("None", "All", "Descendents", "SelfAndChildren", "Children")


def _row(tenant: Tenant, owner: str, user: str, rights: list[str], *, inherited: bool = False) -> Row:
    sid = "S-1-5-10" if user == _SELF else user if user.startswith("S-1-") else f"S-1-5-21-{stable_guid(user.lower())}"
    return {
        "Identity": owner,
        "User": user,
        "UserSid": sid,
        "AccessRights": rights,
        "IsInherited": inherited,
        "Deny": False,
        "InheritanceType": "All",
        "IsValid": True,
        "ObjectState": "Unchanged",
        "Guid": stable_guid(tenant.tenant_id, "mailbox-permission", owner.lower(), user.lower()),
    }


def _shown(row: Row) -> Row:
    """Without the key by which rows are told apart here; rights are joined in one text, as live rows have them."""
    rights = ", ".join(str(text) for text in row.get("AccessRights") or ())
    return {**{name: value for name, value in row.items() if name != "Guid"}, "AccessRights": [rights]}


def rights_of(row: Row) -> set[str]:
    """The rights of a row, one by one."""
    return {part.strip() for text in row.get("AccessRights") or () for part in str(text).split(",")}


def on_mailbox(owner: Row, rows: Iterable[Row]) -> Iterator[Row]:
    """Those of `rows` that are about a mailbox; a seed takes any of its names."""
    names = {str(name).lower() for name in mailbox.NOUN.all_names(owner)}
    return (row for row in rows if str(row.get("Identity")).lower() in names)


def _get(call: Call) -> Rows:
    tenant, wanted = call.tenant, str(call.get("Identity"))
    found = find_visible(tenant, mailbox.NOUN, wanted)
    if not found:
        raise errors.not_found(wanted, server(tenant))
    if len(found) > 1:
        raise errors.matches_many(wanted)
    owner = str(found[0]["Identity"])
    rows = [
        _row(tenant, owner, _SELF, ["FullAccess", "ReadPermission"]),
        _row(tenant, owner, _SYSTEM, ["FullAccess", "DeleteItem"], inherited=True),
    ]
    rows += [{**row, "Identity": owner} for row in on_mailbox(found[0], tenant.visible(NOUN.name))]
    if call.get("User"):
        rows = [row for row in rows if str(row["User"]).lower() == str(call.get("User")).lower()]
    return shuffled(tenant, [_shown(row) for row in rows])


def _given_rights(call: Call) -> list[str]:
    given = call.get("AccessRights")
    known = {right.lower(): right for right in _RIGHTS}
    texts = given.values if isinstance(given, Replace) else ()
    for text in texts:
        if text.lower() not in known:
            raise errors.not_a_member("AccessRights", text, _RIGHTS_TYPE, _RIGHTS)
    return [known[text.lower()] for text in texts]


def _named(call: Call) -> tuple[str, str, Row | None]:
    """Mailbox, user, and the row of the two if there is one. Raises CmdletError for names that nobody has."""
    tenant = call.tenant
    owner = find(tenant, mailbox.NOUN, str(call.get("Identity")))
    holder = recipient.principal(tenant, str(call.get("User")))
    user = recipient.sign_in_name(holder) or str(holder.get("Sid") or holder["Name"])
    known = {str(name).lower() for name in recipient.names(holder)} | {user.lower()}
    there = (r for r in on_mailbox(owner, tenant.rows(NOUN.name)) if str(r["User"]).lower() in known)
    return str(owner["Identity"]), user, next(there, None)


def _add(call: Call) -> Rows:
    rights = _given_rights(call)
    owner, user, there = _named(call)
    held = rights_of(there) if there else set()
    if set(rights) <= held:
        call.warn(f"The appropriate access control entry is already present on the object '{owner}' for '{user}'.")
        return []
    row = _row(call.tenant, owner, user, sorted({*held, *rights}))
    if there is None:
        call.add(NOUN.name, row)
    else:
        call.update(NOUN.name, there, {"AccessRights": row["AccessRights"]})
    return [_shown(row)]


def _remove(call: Call) -> Rows:
    rights = set(_given_rights(call))
    owner, user, there = _named(call)
    if there is None or not rights & rights_of(there):
        call.warn(
            f"Can't remove the access control entry on the object '{owner}' for account '{user}' because the "
            "ACE doesn't exist on the object."
        )
        return []
    left = sorted(rights_of(there) - rights)
    if left:
        call.update(NOUN.name, there, {"AccessRights": left})
    else:
        call.remove(NOUN.name, there)
    return []


def _change(name: str, run: Any, *more: Any) -> Cmdlet:
    parameters = (
        identity(),
        string("User", required=True, stored=False),
        values("AccessRights", required=True, stored=False),
        choice("InheritanceType", "System.DirectoryServices.ActiveDirectorySecurityInheritance", *_INHERITANCE),
        *more,
    )
    return Cmdlet(name, parameters, run)


CMDLETS = (
    Cmdlet("Get-MailboxPermission", (identity(), string("User", stored=False)), _get),
    _change("Add-MailboxPermission", _add, boolean("AutoMapping", stored=False)),
    _change("Remove-MailboxPermission", _remove),
)
