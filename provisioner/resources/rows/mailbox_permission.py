"""Get-MailboxPermission: who has which right on a mailbox, one mailbox at a time.

The cmdlet needs an identity. The words of AccessRights may be joined by commas in one text; every mailbox has rows for
itself (`NT AUTHORITY\\SELF`), and inherited ones of the service (rows of a real tenant). UserSid names the user for
certain where it is returned (michev.info, "Improved handling of mailbox permissions in Exchange Online").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import flag, identifier, texts

NAME = "Get-MailboxPermission"
FULL_ACCESS = "FullAccess"
COLUMNS = frozenset({"Identity", "User", "UserSid", "AccessRights", "Deny", "IsInherited"})

_SELF = "s-1-5-10"
"""The well-known SID of NT AUTHORITY\\SELF; its name is localized."""


@dataclass(frozen=True, slots=True)
class FullAccess:
    """FullAccess of one user. `user` is the name of the row's choice, `sid` "" where it is not returned."""

    user: str
    sid: str
    denied: bool


def look_up(mailbox: str) -> Cmdlet:
    """The rights on one mailbox, by its Guid."""
    return Cmdlet(NAME, {"Identity": mailbox}, COLUMNS)


def decode(rows: Iterable[Row]) -> Sequence[FullAccess]:
    """What was granted or denied on the mailbox itself. Raises ValueError for a row without user or rights."""
    return [found for row in rows if (found := _right(row)) is not None]


def _right(row: Row) -> FullAccess | None:
    user = identifier(row, "User").strip().lower()
    sid = str(row.get("UserSid") or (user if user.startswith("s-1-") else "")).strip().lower()
    written = texts(row, "AccessRights")
    if written is None:
        raise ValueError("a row has no AccessRights")
    rights = {part.strip().lower() for text in written for part in text.split(",")}
    if FULL_ACCESS.lower() not in rights or flag(row, "IsInherited"):
        return None
    own = sid == _SELF or user.endswith("\\self")
    return None if own else FullAccess(user, sid, flag(row, "Deny") is True)
