"""Transport rules and outbound spam policies of generated tenants: what they do to a message, by both."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from provisioner.mailflow import Attempt
from provisioner.mailflow.aliases_and_domains import FROM_REWRITTEN, OUTBOUND_ONLY
from provisioner.mailflow.aliases_and_domains import NOT_SOURCED as OF_DOMAINS
from provisioner.mailflow.flow_rules import CONNECTOR_DISABLED, OF_RULES, SPAM, TLS_DEMANDED
from provisioner.mailflow.flow_rules import NOT_SOURCED as OF_FLOW_RULES
from provisioner.sandbox import flow_rules
from provisioner.sandbox import undecided as open_questions
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

REASONS = {
    f"rule: {what}": (reason,)
    for what, reason in {
        flow_rules.REJECTED: "rule_rejects",
        flow_rules.DELETED: "rule_deletes",
        flow_rules.QUARANTINED: "rule_quarantines",
        flow_rules.REDIRECTED: "rule_redirects",
    }.items()
} | {"550 5.1.8": ("outbound_limit",)}
OPEN = {
    flow_rules.MARKED: SPAM,
    flow_rules.CONNECTOR_DISABLED: CONNECTOR_DISABLED,
    flow_rules.TLS_DEMANDED: TLS_DEMANDED,
    open_questions.FROM_ALIAS: FROM_REWRITTEN,
    open_questions.OUTBOUND_ONLY: OUTBOUND_ONLY,
}
"""What no source decides, by the sandbox's words."""

NOT_SOURCED = OF_FLOW_RULES | OF_DOMAINS
UNDECIDED = (
    *NOT_SOURCED,
    "which address of the mailbox the rule looks at",
    "the address that the mail comes from (SenderIpRanges)",
    "the recipient's domain",
    "counts as mail from inside",
    "ends the processing before",
    "act on mail of High Volume Email",
    "is a member of",
)
_FATES: tuple[dict[str, Any], ...] = (
    {"RejectMessageReasonText": "no", "RejectMessageEnhancedStatusCode": "5.7.1"},
    {"DeleteMessage": True},
    {"Quarantine": True},
    {"RedirectMessageTo": ["desk@contoso.com"]},
    {"SetHeaderName": "X-Seen", "SetHeaderValue": "yes", "StopRuleProcessing": True},
)
_MORE: tuple[dict[str, Any], ...] = (
    {"SetSCL": 9},
    {"SetSCL": 5},
    {"SetSCL": -1},
    {"RouteMessageOutboundConnector": "On"},
    {"RouteMessageOutboundConnector": "off", "RouteMessageOutboundRequireTls": True},
    {"RouteMessageOutboundRequireTls": True, "StopRuleProcessing": True},
)
"""What decides nothing alone, or leads mail elsewhere."""


def equip(choose: random.Random, tenant: Tenant) -> None:
    """Give some tenants rules and limits."""
    if choose.random() < 0.5:
        limits = {
            "HostedOutboundSpamFilterPolicy": [_policy(choose, name) for name in ("Default", "Small", "Other")],
            "HostedOutboundSpamFilterRule": [_scope(choose, n) for n in range(choose.choice((0, 1, 2)))],
        }
        tenant.merge(load_seed({"sandbox": 1, "objects": limits}))
    if choose.random() < 0.25:
        return
    rules = [_rule(choose, n) for n in range(choose.choice((1, 1, 2, 3)))]
    connectors = [{"Name": name, "Enabled": name == "On", "UseMXRecord": True} for name in ("On", "Off")]
    objects = {"TransportRule": rules, "OutboundConnector": connectors}
    tenant.merge(load_seed({"sandbox": 1, "objects": objects}))


def _policy(choose: random.Random, name: str) -> dict[str, Any]:
    return {
        "Name": name,
        "RecipientLimitPerDay": choose.choice((0, 400, 5_000)),
        "ActionWhenThresholdReached": choose.choice(("Alert", "BlockUser", "BlockUserForToday")),
    }


def _scope(choose: random.Random, n: int) -> dict[str, Any]:
    """A rule that gives a policy to some senders."""
    senders: dict[str, Any] = {
        "From": [choose.choice(("erp@contoso.com", "erp.alias@contoso.com", "shared@contoso.com"))],
        "FromMemberOf": ["Team"],
        "SenderDomainIs": [choose.choice(("contoso.com", "fabrikam.com"))],
    }
    return {
        "Name": f"scope {n}",
        "Priority": n,
        "State": choose.choice(("Enabled", "Enabled", "Disabled")),
        "HostedOutboundSpamFilterPolicy": choose.choice(("Small", "Other")),
        **{name: value for name, value in senders.items() if choose.random() < 0.4},
        **{f"ExceptIf{name}": value for name, value in senders.items() if choose.random() < 0.1},
    }


def _rule(choose: random.Random, n: int) -> dict[str, Any]:
    predicates = _predicates(choose, 0.35)
    exceptions = {f"ExceptIf{name}": value for name, value in _predicates(choose, 0.1).items()}
    return {
        "Name": f"r{n}",
        "Priority": n,
        "State": "Enabled" if choose.random() < 0.9 else "Disabled",
        "Mode": "Enforce" if choose.random() < 0.9 else "Audit",
        "SenderAddressLocation": choose.choice(("Header", "Envelope", "HeaderOrEnvelope")),
        **predicates,
        **exceptions,
        **choose.choice(_FATES if choose.random() < 0.6 else _MORE),
    }


def _predicates(choose: random.Random, share: float) -> dict[str, Any]:
    values: dict[str, Any] = {
        "From": choose.sample(("erp@contoso.com", "bills@contoso.com", "a@fabrikam.com", "x@fabrikam.com"), 2),
        "SenderDomainIs": [choose.choice(("contoso.com", "sub.contoso.com", "fabrikam.com", "elsewhere.example"))],
        "SenderIpRanges": [choose.choice(("9.8.8.0/22", "9.8.8.7", "9.7.7.0-9.7.7.9"))],
        "RecipientDomainIs": [choose.choice(("contoso.com", "outside.example"))],
        "FromScope": choose.choice(("InOrganization", "NotInOrganization")),
        "SentToScope": choose.choice(("InOrganization", "NotInOrganization")),
    }
    return {name: value for name, value in values.items() if choose.random() < share}


def refusals(tenant: Tenant, attempt: Attempt, source: Source, recipient: str) -> Iterator[str]:
    """What the sandbox's rules do to a message."""
    if attempt.authentication and not attempt.sender:
        return
    for what, _ in flow_rules.fates(tenant, _message(attempt, source, recipient)):
        yield f"rule: {what}"


def undecided(tenant: Tenant, attempt: Attempt, source: Source, recipient: str) -> Iterator[str]:
    """What the sandbox says that no source decides about a message, in our words."""
    message = _message(attempt, source, recipient)
    found = open_questions.of_message(tenant, message, "" if attempt.hve else attempt.mailbox)
    signs_in_alone = attempt.authentication and not attempt.sender
    of_rules = frozenset(flow_rules.undecided(tenant, message) if signs_in_alone else ())
    yield from (OPEN[what] for what in found if what not in of_rules)


def _message(attempt: Attempt, source: Source, recipient: str) -> flow_rules.Message:
    known = None if attempt.authentication else source
    return flow_rules.Message(attempt.sender, attempt.sender, recipient, known)


def of_one_rule(certain: frozenset[str], doubtful: frozenset[str], reasons: frozenset[str]) -> frozenset[str]:
    """What is certain, without what a rule does that another one may come before."""
    return certain - OF_RULES if reasons & doubtful & OF_RULES else certain
