"""Set-Mailbox, as far as sending and receiving mail is concerned: addresses, limits, forwarding, who may send for it.

Forms of values as Get-Mailbox shows them: sizes in two units, the address that mail is forwarded to with its prefix,
recipients by their names. Sources: the page of Set-Mailbox; Learn, "Exchange Online limits" (150 MB; 1,000 recipients)
and "Proxy address conflict when adding an email address" (the refusal of an address that another recipient has).
"""

from __future__ import annotations

import re

from provisioner.sandbox.cmdlets import errors, mailbox, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.cas_mailbox import NOUN as CAS_MAILBOX
from provisioner.sandbox.cmdlets.objects import Rows, find, set_row, stored_values
from provisioner.sandbox.cmdlets.parameters import boolean, choice, identity, string, values
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import USERS, Row, Tenant, user_names

_SIZES = ("MaxSendSize", "MaxReceiveSize")
_UNITS = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
_SIZE = re.compile(r"(\d+)\s*([KMG]?B?)(?:\s*\(.*\))?", re.IGNORECASE)
_LARGEST = 150 * 2**20
_MOST_RECIPIENTS = 1000
_TYPES = ("Regular", "Room", "Equipment", "Shared")
_TABLE = (
    boolean("AccountDisabled"),
    string("Alias"),
    *(string(f"CustomAttribute{number}", max_length=1024) for number in range(1, 16)),
    boolean("DeliverToMailboxAndForward"),
    string("DisplayName", max_length=256),
    values("EmailAddresses"),
    string("ForwardingAddress", nullable=True),
    string("ForwardingSmtpAddress", nullable=True),
    values("GrantSendOnBehalfTo"),
    boolean("HiddenFromAddressListsEnabled"),
    *(string(name) for name in _SIZES),
    boolean("MessageCopyForSendOnBehalfEnabled"),
    boolean("MessageCopyForSentAsEnabled"),
    string("RecipientLimits"),
    boolean("RequireSenderAuthenticationEnabled"),
    choice("Type", "Microsoft.Exchange.Data.Directory.Recipient.ConvertibleMailboxSubType", *_TYPES, stored=False),
    string("WindowsEmailAddress", stored=False),
)


def _size(name: str, text: str) -> str:
    """The stored form of a size: "35 MB (36,700,160 bytes)". Raises CmdletError."""
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) * _UNITS[match[2].upper()] if match and match[2].upper() in _UNITS else None
    if size is None or size > _LARGEST:
        raise errors.invalid(f"The value '{text}' of {name} isn't valid. Valid values are 0 to 150 MB.")  # text ours
    unit = next(unit for unit in ("GB", "MB", "KB", "B") if size >= _UNITS[unit] or unit == "B")
    return f"{size / _UNITS[unit]:.4g} {unit} ({size:,} bytes)"


def _recipients(text: str) -> str:
    """Raises CmdletError."""
    if text.lower() == "unlimited":
        return "Unlimited"
    if not text.isdigit() or not 1 <= int(text) <= _MOST_RECIPIENTS:
        allowed = f"1 to {_MOST_RECIPIENTS}, and Unlimited"
        raise errors.invalid(f"The value '{text}' of RecipientLimits isn't valid. Valid values are {allowed}.")  # ours
    return text


def _proxy(text: str) -> str:
    return text if ":" in text else f"smtp:{text}"


def _refuse_taken(tenant: Tenant, row: Row, addresses: list[str]) -> None:
    """Raise CmdletError for an address that another recipient has."""
    for proxy in addresses:
        address = proxy.partition(":")[2]
        others = (r for r in recipient.all_named(tenant, address) if r["Guid"] != row["Guid"])
        for other in others:
            raise errors.CmdletError(
                "Microsoft.Exchange.Data.Directory.ProxyAddressExistsException",
                f'The proxy address "{proxy}" is already being used by the proxy addresses or LegacyExchangeDN of '
                f'"{other["Identity"]}". Please choose another proxy address.',
                "InvalidArgument",
            )


def _addresses(call: Call, row: Row, changes: Row) -> Row:
    """The columns that follow from new addresses: one in capitals is the primary one. Raises CmdletError."""
    before = [str(proxy) for proxy in row.get("EmailAddresses") or ()]
    after = list(changes.get("EmailAddresses", before))
    primary = str(call.get("WindowsEmailAddress") or "")
    if primary:
        after = [p for p in after if p.partition(":")[2].lower() != primary.lower()] + [f"SMTP:{primary}"]
    if after == before:
        return {}
    new = [proxy for proxy in after if proxy.lower() not in {old.lower() for old in before}]
    _refuse_taken(call.tenant, row, new)
    first = next((p for p in reversed(after) if p.startswith("SMTP:")), f"SMTP:{row['PrimarySmtpAddress']}")
    rest = [f"smtp:{p[5:]}" if p.startswith("SMTP:") else p for p in after if p.lower() != first.lower()]
    return {"EmailAddresses": [first, *rest], "PrimarySmtpAddress": first[5:]}


def _set(call: Call) -> Rows:
    tenant = call.tenant
    row = find(tenant, mailbox.NOUN, str(call.get("Identity")))

    def named(text: str) -> str:
        return str(recipient.named(tenant, text)["Name"])

    changes = stored_values(call, _TABLE, row, {"EmailAddresses": _proxy, "GrantSendOnBehalfTo": named})
    for name in _SIZES:
        if changes.get(name):
            changes[name] = _size(name, str(changes[name]))
    if changes.get("RecipientLimits"):
        changes["RecipientLimits"] = _recipients(str(changes["RecipientLimits"]))
    if changes.get("ForwardingAddress"):
        changes["ForwardingAddress"] = named(str(changes["ForwardingAddress"]))
    if changes.get("ForwardingSmtpAddress"):
        changes["ForwardingSmtpAddress"] = _proxy(str(changes["ForwardingSmtpAddress"]))
    kind = call.get("Type")
    if kind:
        changes["RecipientTypeDetails"] = "UserMailbox" if kind == "Regular" else f"{kind}Mailbox"
    changed = _addresses(call, row, changes)
    changes = {**{name: value for name, value in changes.items() if name != "EmailAddresses"}, **changed}
    before = str(row["PrimarySmtpAddress"])
    if set_row(call, mailbox.NOUN, row, changes) and changed:
        _follow(call, before, changed)
    return []


def _follow(call: Call, before: str, changed: Row) -> None:
    """Let the rows of the same mailbox elsewhere have its new addresses: its client access, and its user."""
    for other in call.tenant.named(CAS_MAILBOX.name, CAS_MAILBOX.all_names, before):
        if str(other["PrimarySmtpAddress"]).lower() == before.lower():
            call.update(CAS_MAILBOX.name, other, changed)
    for user in call.tenant.named(USERS, user_names, before.lower()):
        graph = {"proxyAddresses": changed["EmailAddresses"], "mail": changed["PrimarySmtpAddress"]}
        call.update(USERS, user, graph)


CMDLETS = (Cmdlet("Set-Mailbox", (identity(), *_TABLE), _set),)
