"""One attempt to send, and whether the sandbox's own rules let it through to its recipient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.sandbox import flow_rules, hve_rules
from provisioner.sandbox.mail_directory import account_of, owner_of
from provisioner.sandbox.mail_rules import (
    Source,
    _bare,
    _enabled,
    _meant,
    _restricted,
    identifies,
    recipient_refusals,
)
from provisioner.sandbox.submission_rules import (
    account_refusals,
    limit_refusal,
    opening_refusal,
    sending_refusals,
    token_refusal,
)
from provisioner.sandbox.tenant import Tenant

_EXCHANGE = "https://outlook.office365.com"
_MAIL_SEND = "Mail.Send"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One message: handed to the MX endpoint by `source`, or signed in for as `mailbox`.

    A sign-in is with a password, or with the token of the application `client`; `account`: at the host of High Volume
    Email. The mailbox has reached `sent` recipients on that day already.
    """

    sender: str
    recipient: str
    source: Source | None = None
    mailbox: str = ""
    client: str = ""
    account: bool = False
    sent: int = 0

    def passes(self, tenant: Tenant) -> bool:
        """Whether the message reaches its recipient, or is refused for what no source decides."""
        if any(flow_rules.fate(tenant, flow_rules.Message(self.sender, self.sender, self.recipient, self.source))):
            return False
        if self.source is not None:
            refusals = recipient_refusals(tenant, self.source, self.sender, self.recipient)
            return all(_undecided(tenant, self.source, refusal) for refusal in refusals)
        return not any(self._of_account(tenant) if self.account else self._of_mailbox(tenant))

    def _of_mailbox(self, tenant: Tenant) -> Iterator[str | None]:
        owner = owner_of(tenant, self.mailbox)
        if owner is None:
            yield "no mailbox"
            return
        if self.client:
            yield token_refusal(tenant, self.mailbox, self._claims(tenant))
            yield opening_refusal(tenant, self.mailbox, self._claims(tenant))
        else:
            yield from account_refusals(tenant, owner)
        yield from sending_refusals(tenant, self.mailbox, self.sender)
        if self.sent:
            sent = {self.mailbox: [[tenant.clock.now().isoformat(), self.sent]]}
            before = tenant.settings.get("recipients_sent", {})
            tenant.settings["recipients_sent"] = sent
            yield limit_refusal(tenant, owner, 1)
            tenant.settings["recipients_sent"] = before

    def _of_account(self, tenant: Tenant) -> Iterator[str | None]:
        account = account_of(tenant, self.mailbox)
        if account is None:
            yield "no account"
            return
        if self.client:
            yield hve_rules.token_refusal(tenant, self.mailbox, self._claims(tenant))
        else:
            yield from hve_rules._password_refusals(tenant, account)
        yield hve_rules.sender_refusal(tenant, account)
        yield hve_rules.recipient_refusal(tenant, self.recipient)

    def _claims(self, tenant: Tenant) -> Mapping[str, Any]:
        app = next(a for a in tenant.apps if a["appId"] == self.client)
        roles = [*app.get("appRoles", {}).get(_EXCHANGE, ()), *([_MAIL_SEND] if self.account else [])]
        return {"appid": self.client, "oid": app["objectId"], "roles": roles}

    def torn(self, tenant: Tenant) -> bool:
        """Whether one partner's connector restricts the source and another takes it: no source says which counts."""
        if self.source is None:
            return False
        partners = [row for row in _enabled(tenant, "Partner") if _meant(row, self.sender)]
        restricted = [row for row in partners if _restricted(row, self.source)]
        taking = (r for r in partners if r not in restricted and (_bare(r) or identifies(r, self.source)))
        return bool(restricted) and any(taking)


Ways = tuple[Attempt, ...]
"""One sender, by all the ways in which it may send the same message."""


_OF_NO_CONNECTOR = ("550 5.4.1 ", "550 5.7.1 ", "550 5.7.513 ")
"""Unknown recipient, disabled sending, blocked address: refusals by whichever connector mail comes."""


def _undecided(tenant: Tenant, source: Source, refusal: str) -> bool:
    """Whether the sandbox had to choose: of several connectors that relay for a source it takes one.

    And addresses count for a partner's connector only with RestrictDomainsToIPAddresses (New-InboundConnector,
    -SenderIPAddresses), so that without, nothing says whether its RequireTls is about the source.
    """
    if refusal.startswith(_OF_NO_CONNECTOR):
        return False
    enabled = [r for r in tenant.visible("InboundConnector") if r.get("Enabled") is not False]
    known = [row for row in enabled if identifies(row, source)]
    if refusal.startswith("451"):
        partners = [row for row in known if row.get("ConnectorType") == "Partner" and row.get("RequireTls") is True]
        return any(row.get("RestrictDomainsToIPAddresses") is not True for row in partners)
    return len([row for row in known if row.get("ConnectorType") == "OnPremises"]) > 1
