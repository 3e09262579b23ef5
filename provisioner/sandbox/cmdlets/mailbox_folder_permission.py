"""Rights on folders of mailboxes: Get-, Add-, Set- and Remove-MailboxFolderPermission.

A folder is `MAILBOX:\\Calendar`. Every folder has rows for Default and Anonymous, made at reading until somebody
changes them. What exists of folders are those that every mailbox has, by their English names.

Sources: the pages of the cmdlets (rights and roles); public scripts, which look for both refusals by their words and
exceptions; Learn, "You can't remove a user's permissions from a public folder" for the sentence of a missing entry.
"""

from __future__ import annotations

from typing import Any

from provisioner.sandbox.cmdlets import errors, mailbox, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, find, server, shuffled, stable_guid
from provisioner.sandbox.cmdlets.parameters import Replace, boolean, identity, string, words
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Row

NOUN = Noun(
    "MailboxFolderPermission",
    {"Mailbox": "", "FolderName": "", "User": "", "AccessRights": [], "SharingPermissionFlags": None},
    key="Identity",
)

_ROLES = (
    "Author", "Contributor", "Editor", "NonEditingAuthor", "None", "Owner", "PublishingAuthor", "PublishingEditor",
    "Reviewer", "AvailabilityOnly", "LimitedDetails",
)  # fmt: skip
_RIGHTS = (
    "CreateItems", "CreateSubfolders", "DeleteAllItems", "DeleteOwnedItems", "EditAllItems", "EditOwnedItems",
    "FolderContact", "FolderOwner", "FolderVisible", "ReadItems",
)  # fmt: skip
_FLAGS = ("None", "Delegate", "CanViewPrivateItems")
_SPACE = "Microsoft.Exchange.Management.StoreTasks"
_FOLDERS = (
    "", "Calendar", "Contacts", "Conversation History", "Deleted Items", "Drafts", "Inbox", "Journal", "Junk Email",
    "Notes", "Outbox", "Sent Items", "Tasks",
)  # fmt: skip
_EVERYBODY = ("Default", "Anonymous")


def _folder(call: Call) -> tuple[Row, str]:
    """The mailbox and the folder that a call names. Raises CmdletError."""
    wanted = str(call.get("Identity"))
    name, _, path = wanted.partition(":\\")
    owner = find(call.tenant, mailbox.NOUN, name)
    folder = next((own for own in _FOLDERS if own.lower() == path.strip("\\").lower()), None)
    if folder is None:
        raise errors.not_found(wanted, server(call.tenant))
    return owner, folder or "Top of Information Store"


def _rows(call: Call, owner: Row, folder: str) -> list[Row]:
    """The rows of a folder, as they are kept; for everybody's those of a new mailbox where none is kept."""
    kept = [
        row
        for row in call.tenant.rows(NOUN.name)
        if row["Mailbox"] == owner["Guid"] and str(row["FolderName"]).lower() == folder.lower()
    ]
    users = {row["User"] for row in kept}
    rights = {"Default": "AvailabilityOnly" if folder == "Calendar" else "None", "Anonymous": "None"}
    return [*(_row(call, owner, folder, user, [rights[user]]) for user in _EVERYBODY if user not in users), *kept]


def _row(call: Call, owner: Row, folder: str, user: str, rights: list[str]) -> Row:
    return {
        "Mailbox": owner["Guid"],
        "FolderName": folder,
        "User": user,
        "AccessRights": rights,
        "SharingPermissionFlags": None,
        "Identity": user,
        "IsValid": True,
        "ObjectState": "New",
        "Guid": stable_guid(call.tenant.tenant_id, "folder", str(owner["Guid"]), folder.lower(), user.lower()),
    }


def _user(call: Call) -> str:
    """Whom a call means, as rows name them. Raises CmdletError."""
    wanted = str(call.get("User"))
    everybody = next((user for user in _EVERYBODY if user.lower() == wanted.lower()), None)
    holder = None if everybody else recipient.principal(call.tenant, wanted)
    return everybody or str((holder or {}).get("DisplayName") or (holder or {}).get("Name"))


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in {"Guid", "Mailbox"}}


def _get(call: Call) -> Rows:
    owner, folder = _folder(call)
    rows = _rows(call, owner, folder)
    if call.get("User"):
        user = _user(call)
        rows = [row for row in rows if row["User"] == user]
        if not rows:
            raise _missing(user)
    return shuffled(call.tenant, [_shown(row) for row in rows])


def _given(call: Call) -> Row:
    """The columns that a call sets. Raises CmdletError."""
    rights = call.get("AccessRights")
    changes: Row = {"AccessRights": list(rights.values) if isinstance(rights, Replace) else []}
    if call.given("SharingPermissionFlags"):
        flags = [part.strip() for part in str(call.get("SharingPermissionFlags") or "").split(",") if part.strip()]
        known = {flag.lower(): flag for flag in _FLAGS}
        for flag in flags:
            if flag.lower() not in known:
                kind = f"{_SPACE}.MailboxFolderPermissionFlags"
                raise errors.not_a_member("SharingPermissionFlags", flag, kind, _FLAGS)
        changes["SharingPermissionFlags"] = ", ".join(known[flag.lower()] for flag in flags) or None
    return changes


def _add(call: Call) -> Rows:
    owner, folder = _folder(call)
    user = _user(call)
    if any(row["User"] == user for row in _rows(call, owner, folder)):
        text = f"An existing permission entry was found for user: {user}."
        raise errors.CmdletError(f"{_SPACE}.UserAlreadyExistsInPermissionEntryException", text)
    row = {**_row(call, owner, folder, user, []), **_given(call)}
    call.add(NOUN.name, row)
    return [_shown(row)]


def _entry(call: Call) -> tuple[Row, bool]:
    """The row that a call is about, and whether it is kept. Raises CmdletError."""
    owner, folder = _folder(call)
    user = _user(call)
    found = next((row for row in _rows(call, owner, folder) if row["User"] == user), None)
    if found is None:
        raise _missing(user)
    return found, any(row is found for row in call.tenant.rows(NOUN.name))


def _missing(user: str) -> errors.CmdletError:
    text = f"There is no existing permission entry found for user: {user}."
    return errors.CmdletError(f"{_SPACE}.UserNotFoundInPermissionEntryException", text, "NotSpecified")


def _set(call: Call) -> Rows:
    row, kept = _entry(call)
    if kept:
        call.update(NOUN.name, row, _given(call), renames=False)
    else:
        call.add(NOUN.name, {**row, **_given(call)})
    return []


def _remove(call: Call) -> Rows:
    row, kept = _entry(call)
    if kept:
        call.remove(NOUN.name, row)
    return []


_USER = string("User", required=True, stored=False)
_NOTIFY = boolean("SendNotificationToUser", stored=False)


def _change(name: str, run: Any) -> Cmdlet:
    rights = words("AccessRights", f"{_SPACE}.MailboxFolderAccessRight", *_ROLES, *_RIGHTS, required=True)
    flags = string("SharingPermissionFlags", stored=False)
    return Cmdlet(name, (identity(), _USER, rights, flags, _NOTIFY), run)


CMDLETS = (
    Cmdlet("Get-MailboxFolderPermission", (identity(), string("User", stored=False)), _get),
    _change("Add-MailboxFolderPermission", _add),
    _change("Set-MailboxFolderPermission", _set),
    Cmdlet("Remove-MailboxFolderPermission", (identity(), _USER, _NOTIFY), _remove),
)
