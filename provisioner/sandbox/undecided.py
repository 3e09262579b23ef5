"""What no source decides about a message, and the sandbox answers all the same: it says so. Decisions only, no I/O.

The list of delivered mail has these words under `undecided`, so that nobody takes the answer for the service's.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.sandbox import flow_rules
from provisioner.sandbox.flow_rules import Message
from provisioner.sandbox.mail_directory import accepted, domain_of, owner_of, primary
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Tenant

FROM_ALIAS, OUTBOUND_ONLY = "alias in From", "recipient in a domain with OutboundOnly"


def of_message(tenant: Tenant, message: Message, login: str = "") -> Iterator[str]:
    """All of it for one recipient; `login` is the mailbox that signed in over SMTP, "" for mail at the MX host."""
    yield from flow_rules.undecided(tenant, message)
    if login and _is_alias(tenant, login, message.author) and not _keeps_aliases(tenant):
        yield FROM_ALIAS
    domain = accepted(tenant, domain_of(message.recipient))
    if domain is not None and domain.get("OutboundOnly") is True:
        yield OUTBOUND_ONLY


def _is_alias(tenant: Tenant, login: str, author: str) -> bool:
    """Whether a mailbox writes one of its own addresses that is not the primary one into From.

    It stays there, as the Exchange Team describes SMTP AUTH ("Sending From Email Aliases", 2022); by the page of
    Set-OrganizationConfig the primary address takes its place while SendFromAliasEnabled is off.
    """
    owner, author_of = owner_of(tenant, login), owner_of(tenant, author)
    if owner is None or author_of is None or primary(owner) != primary(author_of):
        return False
    return folded(author) != primary(author_of)


def _keeps_aliases(tenant: Tenant) -> bool:
    organization = tenant.visible("OrganizationConfig")
    return bool(organization) and organization[0].get("SendFromAliasEnabled") is True
