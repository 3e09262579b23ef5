"""What transport rules do to a message that was taken: it may not reach its recipients. Decisions only, no I/O.

Rules act in the order of Priority on every message, signed in for or not; all conditions of a rule must be met and none
of its exceptions (Learn, "Mail flow rules"). StopRuleProcessing ends the processing, as do a rejection and a deletion.
A rejected message is taken first and comes back to its sender with 5.7.1, or with RejectMessageEnhancedStatusCode
(New-TransportRule).

SetSCL submits a value to filtering and decides nothing (New-TransportRule, 2026); here filtering follows the last one,
as the older page on rules says ("Use mail flow rules to set the spam confidence level"): 5 to 9 lead to Junk Email, -1
keeps mail out of it. Whether a disabled connector still gets mail, or whether a recipient's host offers the TLS that a
rule demands, nothing says: the mail is delivered, and `undecided` names these cases.

FromScope: no source says what mail of a connector or of a device in the name of an accepted domain counts as. Here it
is from inside where a connector of type OnPremises knows its source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.sandbox import mail_rules
from provisioner.sandbox.mail_directory import accepted, domain_of
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

REJECTED, DELETED, QUARANTINED, REDIRECTED = "rejected", "deleted", "quarantined", "redirected"
FOLDERS = {REJECTED: "bounced", DELETED: "deleted", QUARANTINED: "quarantine", REDIRECTED: "redirected"}
"""Where a message ends up, as the sandbox's own list of delivered mail has it."""

_REJECTED_WITH = "TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was taken. `source` is None for one that was signed in for; `recipient` is one of its recipients.

    `author` is the address in the From header.
    """

    sender: str
    author: str
    recipient: str
    source: Source | None = None


def fate(tenant: Tenant, message: Message) -> tuple[str, str]:
    """What becomes of a message, and the notice to its sender; "" twice where no rule keeps it from its recipient."""
    return next(fates(tenant, message), ("", ""))


def fates(tenant: Tenant, message: Message) -> Iterator[tuple[str, str]]:
    """Every rule that keeps a message from its recipient, until one stops the processing."""
    for row in _acting(tenant, message):
        if _rejects(row):
            yield REJECTED, f"550 {row.get('RejectMessageEnhancedStatusCode') or '5.7.1'} {_REJECTED_WITH}"
        elif row.get("DeleteMessage") is True:
            yield DELETED, ""
        else:
            if row.get("Quarantine") is True:
                yield QUARANTINED, ""
            if row.get("RedirectMessageTo"):
                yield REDIRECTED, ""


def scl(tenant: Tenant, message: Message) -> int | None:
    """The spam confidence level that rules set, the last of them counting; None where none does."""
    levels = [int(row["SetSCL"]) for row in _leading(tenant, message) if row.get("SetSCL") is not None]
    return levels[-1] if levels else None


MARKED, CONNECTOR_DISABLED, TLS_DEMANDED = "marked as spam", "given to a disabled connector", "TLS demanded"
LOWEST_OF_SPAM = 5


def undecided(tenant: Tenant, message: Message) -> Iterator[str]:
    """What rules do to a message of which no source, and no setting of the tenant, says whether it arrives."""
    level = scl(tenant, message)
    if level is not None and level >= LOWEST_OF_SPAM:
        yield MARKED
    outside = accepted(tenant, domain_of(message.recipient)) is None
    connectors = tenant.visible("OutboundConnector")
    enabled = {str(row.get("Name")).lower() for row in connectors if row.get("Enabled") is True}
    for row in _leading(tenant, message):
        connector = str(row.get("RouteMessageOutboundConnector") or "").lower()
        if connector and connector not in enabled:
            yield CONNECTOR_DISABLED
        if row.get("RouteMessageOutboundRequireTls") is True and outside:
            yield TLS_DEMANDED


def _acting(tenant: Tenant, message: Message) -> Iterator[Row]:
    """The rules that act on a message, in their order, until one ends the processing."""
    for row in sorted(tenant.visible("TransportRule"), key=lambda row: int(row.get("Priority") or 0)):
        if row.get("State") != "Enabled" or row.get("Mode") != "Enforce" or not _acts_on(tenant, row, message):
            continue
        yield row
        if _rejects(row) or row.get("DeleteMessage") is True or row.get("StopRuleProcessing") is True:
            return


def _leading(tenant: Tenant, message: Message) -> Iterator[Row]:
    """Those of them that leave the message to its recipients."""
    return (row for row in _acting(tenant, message) if not _rejects(row) and row.get("DeleteMessage") is not True)


def _rejects(row: Row) -> bool:
    return bool(row.get("RejectMessageReasonText") or row.get("RejectMessageEnhancedStatusCode"))


def _acts_on(tenant: Tenant, row: Row, message: Message) -> bool:
    conditions = _met(tenant, row, "", message)
    return all(conditions) and not any(_met(tenant, row, "ExceptIf", message))


def _met(tenant: Tenant, row: Row, prefix: str, message: Message) -> Iterator[bool]:
    """For each condition of a rule, or each exception, whether the message meets it."""
    where = str(row.get("SenderAddressLocation"))
    authors = {folded(message.author)} if "Header" in where else set()
    authors |= {folded(message.sender)} if "Envelope" in where else set()
    if names := row.get(f"{prefix}From"):
        yield not authors.isdisjoint(folded(str(name)) for name in names)
    if domains := row.get(f"{prefix}SenderDomainIs"):
        yield any(_below(domain_of(author), domains) for author in authors)
    if networks := row.get(f"{prefix}SenderIpRanges"):
        yield message.source is not None and any(mail_rules.holds(str(n), message.source.ip) for n in networks)
    if domains := row.get(f"{prefix}RecipientDomainIs"):
        yield _below(domain_of(message.recipient), domains)
    if scope := row.get(f"{prefix}FromScope"):
        yield _from_inside(tenant, message) is (scope == "InOrganization")
    if scope := row.get(f"{prefix}SentToScope"):
        yield (accepted(tenant, domain_of(message.recipient)) is not None) is (scope == "InOrganization")


def _below(domain: str, domains: object) -> bool:
    names = [folded(str(name)) for name in domains] if isinstance(domains, list) else []
    return any(domain == name or domain.endswith(f".{name}") for name in names)


def _from_inside(tenant: Tenant, message: Message) -> bool:
    if message.source is None:
        return True
    own = accepted(tenant, domain_of(message.author)) is not None
    return own and mail_rules.relay_connector(tenant, message.source, message.sender) is not None
