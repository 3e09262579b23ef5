"""Get-User: the account of a mailbox, its sign-in name and its authentication policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Needed, Row
from provisioner.resources.canonical import guid, text_of
from provisioner.resources.rows import FEW, batches, recipient

_ADDRESSES = ("UserPrincipalName", "WindowsEmailAddress")
COLUMNS = recipient.COLUMNS | {*_ADDRESSES, "AuthenticationPolicy", "RecipientTypeDetails"}
OF_POLICY = frozenset({*_ADDRESSES, "AuthenticationPolicy", "RecipientTypeDetails"})
"""Those that tell the policy of a user, and the kind of its mailbox."""

ENABLE, LICENSE = "enable the account in Entra ID", "assign a licence with an Exchange Online plan"
"""What an account needs that cannot sign in, or whose mailbox has no licence: the same words wherever it is told."""

LISTING = Cmdlet("Get-User", {"ResultSize": "Unlimited"}, COLUMNS)


@dataclass(frozen=True, slots=True)
class User:
    """`id` is the Guid, which the rows of the mailbox have too. `authentication_policy` is its name, "" for none.

    `addresses` can mean this user only; a name may be that of another one too. `kind` is that of its mailbox, in lower
    case (usermailbox, sharedmailbox), "" where it was not returned. `mail` is the primary address.
    """

    id: str
    sign_in: str
    addresses: frozenset[str]
    names: frozenset[str]
    authentication_policy: str | None
    kind: str = ""
    mail: str = ""


def listing(names: Iterable[str]) -> Cmdlet:
    """All users, of whom those are kept that have an authentication policy or go by one of these names."""
    return Cmdlet("Get-User", {"ResultSize": "Unlimited"}, COLUMNS, Needed(_needed, frozenset(names)))


def _needed(rows: Sequence[Row], names: frozenset[str]) -> Sequence[Row]:
    """The rows that say more than that a user nobody mentions has no policy. One without the column is kept."""
    is_named = recipient.named_among(rows, recipient.NAMES, names)
    return [row for row in rows if row.get("AuthenticationPolicy", True) not in (None, "") or is_named(row)]


def look_up(address: str) -> Cmdlet:
    """The users with this primary address or sign-in name: two, where an address is another's sign-in name.

    Get-User filters on neither other addresses nor aliases (Learn, "Filterable properties for the Filter parameter").
    """
    return Cmdlet("Get-User", {"Filter": _condition(address), "ResultSize": "Unlimited"}, COLUMNS)


def _condition(address: str) -> str:
    value = "'" + address.replace("'", "''") + "'"
    return f"WindowsEmailAddress -eq {value} -or UserPrincipalName -eq {value}"


def several(addresses: Iterable[str]) -> Sequence[tuple[Sequence[str], Cmdlet]]:
    """The users of many addresses, several in one request; each request with its addresses."""
    parts = [(part, " -or ".join(map(_condition, part))) for part in batches(addresses)]
    return [(part, Cmdlet("Get-User", {"Filter": text, "ResultSize": "Unlimited"}, COLUMNS)) for part, text in parts]


def by_guid(guids: Iterable[str]) -> Cmdlet:
    """The users of these Guids."""
    condition = " -or ".join(f"Guid -eq '{guid}'" for guid in guids)
    return Cmdlet("Get-User", {"Filter": condition, "ResultSize": "Unlimited"}, COLUMNS)


def with_policy(distinguished_name: str) -> Cmdlet:
    """The users that have an authentication policy, which is filtered by its distinguished name.

    Source: Learn, "Disable Basic authentication in Exchange Online".
    """
    value = "'" + distinguished_name.replace("'", "''") + "'"
    return Cmdlet("Get-User", {"Filter": f"AuthenticationPolicy -eq {value}", "ResultSize": "Unlimited"}, COLUMNS)


def look_ups(identities: Sequence[str]) -> Sequence[Cmdlet]:
    """A few users one by one, more of them by one listing."""
    return [look_up(identity) for identity in identities] if len(identities) <= FEW else [LISTING]


def decode(row: Row) -> User:
    """One row."""
    policy = text_of(row, "AuthenticationPolicy")
    addresses = frozenset(recipient.form(str(row[column])) for column in _ADDRESSES if row.get(column))
    sign_in = recipient.form(str(row.get("UserPrincipalName") or ""))
    kind = str(row.get("RecipientTypeDetails") or "").lower()
    mail = recipient.form(str(row.get("WindowsEmailAddress") or ""))
    return User(guid(row), sign_in, addresses, recipient.names(row), policy, kind, mail)


def called(found: User) -> str:
    """The name of a user in a plan: the primary address, or what there is instead."""
    return found.mail or found.sign_in or found.id


def policy_of(address: str, rows: Iterable[Row]) -> str | None:
    """The policy of the user with this address, "" for none; None where no row tells."""
    found = (user.authentication_policy for user in _called(address, rows))
    return next((policy for policy in found if policy is not None), None)


def kind_of(address: str, rows: Iterable[Row]) -> str:
    """The kind of the mailbox of the user with this address; "" where no row tells."""
    return next((user.kind for user in _called(address, rows) if user.kind), "")


def _called(address: str, rows: Iterable[Row]) -> list[User]:
    """The users with an address; those who only sign in by it where nobody has it."""
    users = [user for user in map(decode, rows) if address in user.addresses]
    return [user for user in users if user.mail == address] or users
