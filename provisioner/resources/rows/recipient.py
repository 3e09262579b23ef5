"""Get-Recipient and Get-Mailbox: the names by which a recipient of any kind may be meant, and of which kind it is.

Lookups filter: `-Identity` would refuse a name that two objects go by, and may return every recipient for one that
nobody has (Learn, Get-Recipient). The properties are those that Get-Recipient filters on (Learn, "Filterable properties
for the Filter parameter"); a complete address needs no prefix there. WindowsLiveID is the sign-in name.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Needed, Row
from provisioner.resources.canonical import email_address, guid, is_guid, lenient, texts

NAME = "Get-Recipient"
NAMES = (
    "PrimarySmtpAddress", "WindowsLiveID", "UserPrincipalName", "WindowsEmailAddress", "Name", "DisplayName", "Alias",
    "Identity", "Id", "DistinguishedName", "SamAccountName", "LegacyExchangeDN", "Guid", "ExchangeObjectId",
    "ExternalDirectoryObjectId",
)  # fmt: skip
_IDS = ("Guid", "ExchangeObjectId", "ExternalDirectoryObjectId", "DistinguishedName")
COLUMNS = frozenset({*NAMES, "EmailAddresses", "RecipientType", "RecipientTypeDetails"})
LISTING = Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS)

_KINDS = {
    "usermailbox": "a user mailbox",
    "sharedmailbox": "a shared mailbox",
    "roommailbox": "a room mailbox",
    "equipmentmailbox": "an equipment mailbox",
    "schedulingmailbox": "a scheduling mailbox (Bookings)",
    "discoverymailbox": "a discovery mailbox",
    "groupmailbox": "a Microsoft 365 group",
    "mailcontact": "a mail contact",
    "mailuser": "a mail user",
    "guestmailuser": "a guest",
    "mailuniversaldistributiongroup": "a distribution group",
    "mailuniversalsecuritygroup": "a mail-enabled security group",
    "dynamicdistributiongroup": "a dynamic distribution group",
    "roomlist": "a room list",
    "publicfolder": "a mail-enabled public folder",
}
"""RecipientTypeDetails in words (Learn, Get-Recipient, -RecipientTypeDetails)."""

MAILBOX, GROUP, SECURITY_GROUP, CONTACT, MAIL_USER = "mailbox", "group", "security group", "contact", "mail user"
_CLASSES = {
    "usermailbox": MAILBOX,
    "mailcontact": CONTACT,
    "mailuser": MAIL_USER,
    "mailuniversalsecuritygroup": SECURITY_GROUP,
    "mailuniversaldistributiongroup": GROUP,
    "mailnonuniversalgroup": GROUP,
    "dynamicdistributiongroup": GROUP,
}
"""RecipientType, which is coarser: every kind of mailbox is UserMailbox."""

_address = lenient(email_address)


def form(text: str) -> str:
    """The canonical form of an address, and of any other name."""
    return _address(text) if "@" in text else text.strip().lower()


@dataclass(frozen=True, slots=True)
class Recipient:
    """`id` is the Guid. `names` are all its names in lower case; a display name may be that of another one too.

    `own` are those that mean this recipient only. `type` is MAILBOX, GROUP … ("" for another one), `kind` a phrase for
    the details: "a shared mailbox". `directory_id` is the id of its user or group in Entra ID, "" where it has none.
    """

    id: str
    primary: str
    addresses: frozenset[str]
    sign_in: str
    names: frozenset[str]
    own: frozenset[str]
    type: str
    kind: str
    directory_id: str = ""

    @property
    def called(self) -> str:
        """The recipient in a message, so that it is told from others of its name."""
        return f"{self.primary or self.sign_in or self.id}, {self.kind}"


def listing(names: Iterable[str]) -> Cmdlet:
    """All recipients, of which those are kept that go by one of these names."""
    return Cmdlet(NAME, {"ResultSize": "Unlimited"}, COLUMNS, Needed(_needed, frozenset(names)))


def filtered(names: Iterable[str]) -> Cmdlet:
    """The recipients of any kind that go by one of these names."""
    return Cmdlet(NAME, {"Filter": " -or ".join(map(condition, names)), "ResultSize": "Unlimited"}, COLUMNS)


def condition(name: str) -> str:
    """The part of a filter that finds the recipients of one name."""
    value = "'" + name.replace("'", "''") + "'"
    if is_guid(name):
        properties: tuple[str, ...] = ("Guid", "ExternalDirectoryObjectId")
    elif "@" in name:
        properties = ("EmailAddresses", "WindowsLiveID")
    elif name.startswith("cn="):
        properties = ("DistinguishedName",)
    else:
        properties = ("Name", "DisplayName", "Alias")
    return f"({' -or '.join(f'{name} -eq {value}' for name in properties)})"


def mailbox(identity: str) -> Cmdlet:
    """One mailbox, by any of its addresses."""
    return Cmdlet("Get-Mailbox", {"Identity": identity}, COLUMNS)


def addresses(row: Row) -> frozenset[str]:
    """Every SMTP address in `EmailAddresses`. SIP:, SPO: and X500: are not mail."""
    proxies = [proxy.partition(":") for proxy in texts(row, "EmailAddresses") or ()]
    return frozenset([form(address) for kind, _, address in proxies if kind.lower() == "smtp"])


def names(row: Row) -> frozenset[str]:
    """Every name of a recipient or user."""
    return _every_name(row, NAMES)


def named_among(rows: Sequence[Row], columns: Sequence[str], meant: frozenset[str]) -> Callable[[Row], bool]:
    """A test for each of these rows: whether it goes by a name that is meant, as `is_named` decides.

    One look at all of them together comes first: of most pages no row is meant.
    """
    plain = _plain_names(rows, columns) if meant else ()
    if not meant or (plain and meant.isdisjoint(plain)):
        return lambda _row: False
    return lambda row: is_named(row, columns, meant)


def is_named(row: Row, columns: Sequence[str], meant: frozenset[str]) -> bool:
    """Whether a row goes by one of these names, in canonical form, in these columns or by its SMTP addresses.

    As `names` would tell, at a fraction of its cost: nearly all names are canonical once they are in lower case.
    A row whose names cannot be read counts as named.
    """
    plain = _plain_names((row,), columns)
    try:
        return not meant.isdisjoint(plain or _every_name(row, columns))
    except ValueError:
        return True


_NOT_PLAIN = ("xn--", ".\0", " \0", "\0 ", "\t", "\n")


def _plain_names(rows: Sequence[Row], columns: Sequence[str]) -> Sequence[str]:
    """The names of rows, and other texts; none, where one of them is not canonical in lower case, or is not text."""
    proxies = [row.get("EmailAddresses") or () for row in rows]
    if not all([isinstance(each, list | tuple) for each in proxies]):  # noqa: C419 - a generator costs more
        return ()
    try:
        written = "\0".join([row.get(column) or "" for row in rows for column in columns]).lower()
        proxied = "\0".join(itertools.chain.from_iterable(proxies)).lower().replace("smtp:", "")
    except TypeError:
        return ()
    both = f"\0{written}\0{proxied}\0"
    if any([odd in both for odd in _NOT_PLAIN]):  # noqa: C419
        return ()
    names = both.split("\0")
    return names if both.isascii() or all(map(_is_plain, names)) else ()


def _is_plain(name: str) -> bool:
    """Whether a name in lower case is canonical. The domain of an address that is not ASCII is written otherwise."""
    return name.isascii() or ("@" not in name and name == name.strip())


def _every_name(row: Row, columns: Iterable[str]) -> frozenset[str]:
    return addresses(row) | {form(str(row[column])) for column in columns if row.get(column)}


def _needed(rows: Sequence[Row], meant: frozenset[str]) -> Sequence[Row]:
    """The rows of the recipients that are looked for (`Needed`)."""
    return list(filter(named_among(rows, NAMES, meant), rows))


def decode(row: Row) -> Recipient:
    """One row."""
    primary = form(str(row.get("PrimarySmtpAddress") or ""))
    sign_in = form(str(row.get("WindowsLiveID") or row.get("UserPrincipalName") or ""))
    mail = addresses(row) | ({primary} - {""})
    ids = {str(row[column]).lower() for column in _IDS if row.get(column)}
    details, broad = (str(row.get(column) or "").lower() for column in ("RecipientTypeDetails", "RecipientType"))
    kind = _KINDS.get(details) or _KINDS.get(broad) or "a recipient of an unknown kind"
    own = mail | ids | ({sign_in} - {""})
    broad_type = GROUP if details == "groupmailbox" else _CLASSES.get(broad, "")
    directory_id = str(row.get("ExternalDirectoryObjectId") or "").lower()
    return Recipient(guid(row), primary, mail, sign_in, names(row), own, broad_type, kind, directory_id)
