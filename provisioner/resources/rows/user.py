"""Get-User: the account of a mailbox, its sign-in name and its authentication policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row
from provisioner.resources.canonical import guid
from provisioner.resources.rows import FEW, recipient

_ADDRESSES = ("UserPrincipalName", "WindowsEmailAddress")
COLUMNS = recipient.COLUMNS | {*_ADDRESSES, "AuthenticationPolicy", "RecipientTypeDetails"}
OF_POLICY = frozenset({*_ADDRESSES, "AuthenticationPolicy", "RecipientTypeDetails"})
"""Those that tell the policy of a user, and the kind of its mailbox."""

LISTING = Cmdlet("Get-User", {"ResultSize": "Unlimited"}, COLUMNS)


@dataclass(frozen=True, slots=True)
class User:
    """`id` is the Guid, which the rows of the mailbox have too. `authentication_policy` is its name, "" for none.

    `addresses` can mean this user only; a name may be that of another one too. `kind` is that of its mailbox, in lower
    case (usermailbox, sharedmailbox), "" where it was not told.
    """

    id: str
    sign_in: str
    addresses: frozenset[str]
    names: frozenset[str]
    authentication_policy: str | None
    kind: str = ""


def look_up(identity: str) -> Cmdlet:
    """One user, by sign-in name or id. For one that does not exist others may come back: match by address."""
    return Cmdlet("Get-User", {"Identity": identity}, COLUMNS)


def look_ups(identities: Sequence[str]) -> Sequence[Cmdlet]:
    """A few users one by one, more of them by one listing."""
    return [look_up(identity) for identity in identities] if len(identities) <= FEW else [LISTING]


def decode(row: Row) -> User:
    """One row."""
    policy = str(row["AuthenticationPolicy"] or "") if "AuthenticationPolicy" in row else None
    addresses = frozenset(recipient.form(str(row[column])) for column in _ADDRESSES if row.get(column))
    sign_in = recipient.form(str(row.get("UserPrincipalName") or ""))
    kind = str(row.get("RecipientTypeDetails") or "").lower()
    return User(guid(row), sign_in, addresses, recipient.names(row), policy, kind)


def policy_of(address: str, rows: Iterable[Row]) -> str | None:
    """The policy of the user with this address, "" for none; None where no row tells."""
    found = (user.authentication_policy for user in map(decode, rows) if address in user.addresses)
    return next((policy for policy in found if policy is not None), None)


def kind_of(address: str, rows: Iterable[Row]) -> str:
    """The kind of the mailbox of the user with this address; "" where no row tells."""
    return next((user.kind for user in map(decode, rows) if address in user.addresses and user.kind), "")
