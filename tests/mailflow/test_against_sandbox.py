"""Generated tenants and attempts: `mailflow` and the sandbox implement the same behaviour from the same sources.

Neither shares code with the other. What no source decides, `mailflow` leaves open; the sandbox has to answer something.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from provisioner.mailflow import picture as pictures
from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.mailflow.deciding import decide
from provisioner.model import Absent, Address, Answer, Observed, Present, Query, request_key
from provisioner.model.picture import Picture
from provisioner.resources import TYPES
from provisioner.resources.rows import organization_config
from provisioner.sandbox.mail_rules import Source, recipient_refusal
from provisioner.sandbox.tenant import Tenant

KINDS = {kind.name: kind for kind in TYPES}
DOMAINS = ("contoso.com", "fabrikam.com")
SENDERS = ("a@contoso.com", "a@fabrikam.com", "a@sub.contoso.com", "a@elsewhere.example", "")
NETWORKS = ("9.8.8.0/24", "9.8.8.0/28", "9.8.8.7", "9.7.7.7")
ADDRESSES = ("9.8.8.0", "9.8.8.7", "9.8.8.255", "9.8.9.0", "9.7.7.7", "9.1.1.1")
NAMES = ("mx.contoso.com", "*.contoso.com", "gw.partner.example", "*.partner.example")
CERTIFICATES = ("", "", "mx.contoso.com", "b.contoso.com", "gw.partner.example", "contoso.com")
SPACES = (["*"], ["contoso.com"], ["*.contoso.com"], ["elsewhere.example", "fabrikam.com"])


def _some(choose: random.Random, *values: Any, often: float = 0.5) -> Any:
    return choose.choice(values) if choose.random() < often else None


def _connector(choose: random.Random, name: str) -> dict[str, Any]:
    """A row as the service keeps it."""
    partner = choose.random() < 0.6
    restricts = partner and choose.random() < 0.4
    network, certificate = _some(choose, *NETWORKS, often=0.7), _some(choose, *NAMES, often=0.4)
    return {
        "Name": name,
        "Guid": name,
        "Enabled": choose.random() < 0.85,
        "ConnectorType": "Partner" if partner else "OnPremises",
        "SenderDomains": [f"smtp:{space};1" for space in choose.choice(SPACES)],
        "SenderIPAddresses": [network] if network else [],
        "TlsSenderCertificateName": certificate,
        "RequireTls": choose.random() < 0.5,
        "RestrictDomainsToIPAddresses": restricts and bool(network) and choose.random() < 0.6,
        "RestrictDomainsToCertificate": restricts and bool(certificate) and choose.random() < 0.6,
        "AssociatedAcceptedDomains": [],
        "TrustedOrganizations": [],
        "EFSkipIPs": [],
        "EFUsers": [],
    }


def _tenant(choose: random.Random) -> Tenant:
    tenant = Tenant()
    for name in DOMAINS:
        tenant.add("AcceptedDomain", {"DomainName": name, "DomainType": "InternalRelay", "MatchSubDomains": False})
    for number in range(choose.choice((0, 1, 1, 2, 3))):
        tenant.add("InboundConnector", _connector(choose, f"c{number}"))
    tenant.add("OrganizationConfig", {"Identity": "contoso", "RejectDirectSend": choose.random() < 0.4})
    return tenant


def _picture(tenant: Tenant) -> Picture:
    """What we see of the same rows, through our own decoders."""
    connectors, domains = KINDS["inbound_connector"], KINDS["domain"]
    (listing,) = connectors.queries({}, True)
    seen = connectors.decode({}, [(listing, Answer(tuple(tenant.visible("InboundConnector"))))])
    wanted = {sender.rpartition("@")[2]: None for sender in SENDERS if sender}
    answered = next(query for query in domains.queries(wanted, True) if "AcceptedDomain" in str(query.request))
    rows = Answer(tuple(tenant.visible("AcceptedDomain")))
    accepted = domains.decode(wanted, [(Query(answered.request, frozenset(wanted)), rows)])
    organization = Answer(tuple(tenant.visible("OrganizationConfig")))
    return pictures.of_observed(
        Observed(
            {Address("domain", name): Present(accepted[name]) if name in accepted else Absent() for name in wanted},
            {Address("inbound_connector", name): spec for name, spec in seen.items()},
            evidence={request_key(organization_config.REQUEST): organization},
        )
    )


def _attempt(choose: random.Random) -> tuple[Attempt, Source]:
    address, tls = choose.choice(ADDRESSES), choose.random() < 0.7
    certificate = choose.choice(CERTIFICATES) if tls else ""
    attempt = Attempt(choose.choice(SENDERS), choose.random() < 0.4, f"{address}/32", certificate, tls)
    return attempt, Source(address, (certificate,) if certificate else (), tls)


_CODES = {
    "no_connector": "550 5.7.64",
    "sender_not_accepted": "550 5.7.64",
    "partner_restricts": "550 5.7.51",
    "direct_send_rejected": "550 5.7.68",
    "tls_required": "451 5.7.3",
}


def _agree(found: Decision, answer: str | None) -> bool:
    if found.allowed is None:
        return True
    return answer is None if found.allowed else (answer or "").startswith(_CODES[found.reason])


@pytest.mark.parametrize("seed", range(3))
def test_both_decide_alike_wherever_a_source_decides(seed: int) -> None:
    choose = random.Random(seed)
    told: Counter[str] = Counter()
    for _ in range(300):
        tenant = _tenant(choose)
        picture = _picture(tenant)
        for _ in range(12):
            attempt, source = _attempt(choose)
            recipient = "b@outside.example" if attempt.external else "b@contoso.com"
            found = decide(picture, attempt)
            answer = recipient_refusal(tenant, source, attempt.sender, recipient)
            assert _agree(found, answer), (attempt, found, answer, tenant.visible("InboundConnector"))
            told["open" if found.allowed is None else found.reason or found.path] += 1
    assert {reason for reason, count in told.items() if count >= 8} >= {*_CODES, "smtp_relay", "direct_send"}
    assert told["open"] < 0.1 * told.total()
