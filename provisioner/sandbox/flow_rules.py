"""What transport rules do to a message that was taken: it may not reach its recipients. Decisions only, no I/O.

Rules act in the order of Priority on every message, signed in for or not; all conditions of a rule must be met and none
of its exceptions (Learn, "Mail flow rules"). StopRuleProcessing ends the processing, as do a rejection and a deletion.
A rejected message is taken first and comes back to its sender with 5.7.1, or with RejectMessageEnhancedStatusCode
(New-TransportRule).

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
    for row in sorted(tenant.visible("TransportRule"), key=lambda row: int(row.get("Priority") or 0)):
        if row.get("State") != "Enabled" or row.get("Mode") != "Enforce" or not _acts_on(tenant, row, message):
            continue
        if row.get("RejectMessageReasonText") or row.get("RejectMessageEnhancedStatusCode"):
            yield REJECTED, f"550 {row.get('RejectMessageEnhancedStatusCode') or '5.7.1'} {_REJECTED_WITH}"
            return
        if row.get("DeleteMessage") is True:
            yield DELETED, ""
            return
        if row.get("Quarantine") is True:
            yield QUARANTINED, ""
        if row.get("RedirectMessageTo"):
            yield REDIRECTED, ""
        if row.get("StopRuleProcessing") is True:
            return


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
