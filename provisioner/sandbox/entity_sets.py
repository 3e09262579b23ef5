"""The entity sets of the admin API, which the EXO cmdlets and other tools read: `GET …/Mailbox('erp@contoso.com')`.

Each is answered by the Get cmdlet of its name. What public clients send: the sets and their keys in any case, a key in
base64 with `isEncoded=true`, parameters of the cmdlet in the query (`RecipientTypeDetails=SharedMailbox`), `$select`,
`$top`, `$filter` and the link to the next page by GET (CIPP; michev.info, "All you need to know about Exchange Online
Admin API", part 2). One entity comes without `value`. What an entity has that a row of the cmdlet has not is known from
what CIPP reads: `ObjectKey` (the id in the directory), `PermissionList`, and `$expand=RecipientPermission`.
The six endpoints of v2.0 take POST with the same body as InvokeCommand (Learn, "Endpoints for the Exchange Online Admin
API", preview): each runs the cmdlets of its noun, as far as these are modelled.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from provisioner.sandbox.cmdlets import CmdletError, errors
from provisioner.sandbox.odata import BadFilter, UnsupportedFilter, parse_filter
from provisioner.sandbox.tenant import Row

SETS: Mapping[str, str] = {
    "mailbox": "Get-Mailbox",
    "casmailbox": "Get-CASMailbox",
    "recipient": "Get-Recipient",
    "recipientpermission": "Get-RecipientPermission",
    "inboundconnector": "Get-InboundConnector",
    "outboundconnector": "Get-OutboundConnector",
    "user": "Get-User",
}
OF_A_MAILBOX: Mapping[str, str] = {
    "mailboxpermission": "Get-MailboxPermission",
    "recipientpermission": "Get-RecipientPermission",
}
ENDPOINTS = frozenset({
    "accepteddomain", "distributiongroupmember", "dynamicdistributiongroupmember", "mailbox", "mailboxfolderpermission",
    "organizationconfig",
})  # fmt: skip
_NAMED = re.compile(r"(\w+)(?:\('((?:[^']|'')+)'\))?", re.ASCII)
_OF_PAGES = frozenset({"propertyset", "propertysets", "isencoded"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a path asks for: the cmdlet that answers, its parameters, and whether one entity is meant."""

    cmdlet: str
    parameters: Mapping[str, Any]
    one: bool


def asked(path: str, query: Mapping[str, str]) -> Asked | None:
    """What the part of a path after the tenant means; None for no entity set. Raises CmdletError for a bad key."""
    first, *rest = path.strip("/").split("/")
    match = _NAMED.fullmatch(unquote(first))
    if match is None or len(rest) > 1:
        return None
    name, key = match[1].lower(), match[2]
    cmdlet = SETS.get(name) if not rest else OF_A_MAILBOX.get(rest[0].lower()) if name == "mailbox" and key else None
    if cmdlet is None:
        return None
    own = {k: v for k, v in query.items() if not k.startswith("$") and k.lower() not in _OF_PAGES}
    if key:
        encoded = query.get("isEncoded", "").lower() == "true"
        own["Identity"] = _decoded(key) if encoded else key.replace("''", "'")
    elif "$top" in query and "ResultSize" not in own:
        own["ResultSize"] = "Unlimited"
    return Asked(cmdlet, own, one=bool(key) and not rest)


def _decoded(key: str) -> str:
    try:
        return base64.b64decode(key, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise errors.invalid(f"The key '{key}' isn't valid base64.") from None  # the sentence is ours


def as_entity(cmdlet: str, row: Row) -> Row:
    """A row of a cmdlet with what it has as an entity besides."""
    if cmdlet == "Get-MailboxPermission":
        parts = ("AccessRights", "Deny", "InheritanceType", "IsInherited")
        return {**row, "PermissionList": [{name: row.get(name) for name in parts}]}
    key = row.get("ExternalDirectoryObjectId")
    return {"ObjectKey": key, **row} if key else row


EXPANDED = {"recipientpermission": "Get-RecipientPermission"}
"""What `$expand` adds to one entity, and the cmdlet that reads it."""


def page_size(query: Mapping[str, str], usual: int) -> int:
    """The rows of a page: `$top`, as far as the service goes."""
    top = query.get("$top", "")
    return min(int(top), usual) if top.isdigit() and int(top) > 0 else usual


def filtered(text: str | None) -> Callable[[Row], bool]:
    """The predicate of `$filter`; property names in any case. Raises CmdletError."""
    if not text:
        return lambda _: True
    names = frozenset(re.findall(r"[A-Za-z]\w*", re.sub(r"'(?:[^']|'')*'", "", text)))
    lowered = {name.lower(): name for name in names}
    try:
        fits = parse_filter(text, known=names, filterable=names, advanced=True, ordered=names)
    except (BadFilter, UnsupportedFilter) as error:
        raise CmdletError("Microsoft.Exchange.Admin.OData.Core.ODataServiceException", str(error)) from None
    return lambda row: fits({lowered.get(column.lower(), column): value for column, value in row.items()})
