"""Get-RecipientPermission: who may send as a recipient.

A row names its trustee in a form of Exchange's choice: sign-in name, name of a group, display name, DN, SID (rows of
real tenants; Microsoft365DSC pull requests 5834 and 6094). The right is a word over REST, and in older recordings the
number of the enumeration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import email_address, identifier, lenient, texts

NAME = "Get-RecipientPermission"
_TRUSTEE = ("Trustee", "TrusteeWithPrimarySmtpAddress")
COLUMNS = frozenset({*_TRUSTEE, "TrusteeSidString", "Identity", "AccessRights", "AccessControlType"})

_RIGHTS = frozenset({"sendas", "1"})
_CONTROLS = {"allow": True, "deny": False, "1": False}  # a word, or the number of the enumeration, in which 0 allows
_SELF = "s-1-5-10"
"""The well-known SID of NT AUTHORITY\\SELF, whose row every mailbox has for itself; its name is localized."""

_NOBODY = frozenset({"null sid", "s-1-0-0"})
"""The well-known SID that stands for no account (Learn, "Security identifiers"): a right that nobody has any more."""

_form = lenient(email_address)


@dataclass(frozen=True, slots=True)
class SendAsRight:
    """A right that is granted. `trustees` are the names by which its row means the trustee, `shown` is one of them.

    `own` is the right that every mailbox has for itself. `sid` is the trustee's, "" where the row does not say it.
    """

    trustees: frozenset[str]
    shown: str
    own: bool
    sid: str = ""


LISTING = Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS)


def look_up(sender: str) -> Cmdlet:
    """The rights on one recipient, by its Guid. For one that does not exist, those of all may come back."""
    return Cmdlet(NAME, {"Identity": sender}, COLUMNS)


def decode(rows: Iterable[Row]) -> Sequence[SendAsRight]:
    """The rights that the rows grant to somebody. Raises ValueError for a row without rights or trustee."""
    granted = [_right(row) for row in rows if _grants(row)]
    return [right for right in granted if right.sid not in _NOBODY and right.shown.lower() not in _NOBODY]


def recipients(rows: Iterable[Row]) -> frozenset[str]:
    """Whom the rows are about, denials included."""
    return frozenset(str(row["Identity"]).lower() for row in rows if row.get("Identity"))


def _grants(row: Row) -> bool:
    """A row that allows: a missing AccessControlType is not a Deny, which would be said.

    Raises ValueError for a row without rights, and for a control of an unknown form: it may be an Allow.
    """
    written = texts(row, "AccessRights")
    if written is None:
        raise ValueError("a row has no AccessRights")
    rights = {r.strip().lower() for text in written for r in text.split(",")}
    control = str(row.get("AccessControlType") or "Allow").lower()
    if control not in _CONTROLS:
        raise ValueError(f"AccessControlType is {control}")
    return bool(rights & _RIGHTS) and _CONTROLS[control]


def _right(row: Row) -> SendAsRight:
    identifier(row, *_TRUSTEE)
    trustees = frozenset(_form(str(row[column])) for column in _TRUSTEE if row.get(column))
    sid = str(row.get("TrusteeSidString") or "").lower()
    own = sid == _SELF or any(name.endswith("\\self") for name in trustees)
    return SendAsRight(trustees, next(str(row[column]) for column in _TRUSTEE if row.get(column)), own, sid)
