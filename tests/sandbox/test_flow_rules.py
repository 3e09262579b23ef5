"""What transport rules do to a message that the sandbox took."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox.flow_rules import (
    CONNECTOR_DISABLED,
    DELETED,
    MARKED,
    QUARANTINED,
    REDIRECTED,
    REJECTED,
    TLS_DEMANDED,
    Message,
    fate,
    fates,
    scl,
    undecided,
)
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant

SCAN, INSIDE, OUTSIDE = "scan@contoso.com", "desk@contoso.com", "b@outside.example"
MESSAGE = Message(SCAN, SCAN, INSIDE, Source("198.51.100.7"))
REJECTS = {"RejectMessageReasonText": "no"}


def tenant(*rules: dict[str, Any], **more: Any) -> Tenant:
    named = [{"Name": f"r{place}", "Priority": place, **rule} for place, rule in enumerate(rules)]
    found = Tenant()
    domains = [{"DomainName": "contoso.com", "Default": True}]
    found.merge(load_seed({"sandbox": 1, "objects": {"AcceptedDomain": domains, "TransportRule": named, **more}}))
    return found


@pytest.mark.parametrize(
    ("action", "what"),
    [
        (REJECTS, REJECTED),
        ({"DeleteMessage": True}, DELETED),
        ({"Quarantine": True}, QUARANTINED),
        ({"RedirectMessageTo": [INSIDE]}, REDIRECTED),
        ({"SetSCL": -1}, ""),
        ({**REJECTS, "State": "Disabled"}, ""),
        ({**REJECTS, "Mode": "Audit"}, ""),
        ({**REJECTS, "From": ["SCAN@contoso.com"], "SenderDomainIs": ["contoso.com"]}, REJECTED),
        ({**REJECTS, "From": [SCAN], "SenderDomainIs": ["fabrikam.com"]}, ""),
        ({**REJECTS, "SenderIpRanges": ["198.51.100.1-198.51.100.9"]}, REJECTED),
        ({**REJECTS, "ExceptIfSenderIpRanges": ["198.51.100.0/24"]}, ""),
        ({**REJECTS, "FromScope": "NotInOrganization", "SentToScope": "InOrganization"}, REJECTED),
        ({**REJECTS, "RecipientDomainIs": ["outside.example"]}, ""),
    ],
    ids=str,
)
def test_all_conditions_and_no_exception_must_be_met(action: dict[str, Any], what: str) -> None:
    assert fate(tenant(action), MESSAGE)[0] == what


def test_a_rejection_comes_back_with_its_code() -> None:
    notice = "TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy"
    assert fate(tenant(REJECTS), MESSAGE)[1] == f"550 5.7.1 {notice}"
    coded = {**REJECTS, "RejectMessageEnhancedStatusCode": "5.7.900"}
    assert fate(tenant(coded), MESSAGE)[1].startswith("550 5.7.900 ")


def test_rules_act_in_their_order_until_one_ends_the_processing() -> None:
    stops = {"SetHeaderName": "X", "SetHeaderValue": "y", "StopRuleProcessing": True}
    assert list(fates(tenant(stops, REJECTS), MESSAGE)) == []
    assert [what for what, _ in fates(tenant({"Quarantine": True}, REJECTS, stops, REJECTS), MESSAGE)] == [
        QUARANTINED,
        REJECTED,
    ]


def test_from_and_mail_from_are_two_addresses() -> None:
    forged = Message("bounce@news.example", SCAN, INSIDE, Source("198.51.100.7"))
    by = {where: {**REJECTS, "From": [SCAN], "SenderAddressLocation": where}
          for where in ("Header", "Envelope", "HeaderOrEnvelope")}  # fmt: skip
    assert [where for where, rule in by.items() if fate(tenant(rule), forged)[0]] == ["Header", "HeaderOrEnvelope"]


def test_who_signed_in_or_comes_through_a_connector_is_inside() -> None:
    outside = {**REJECTS, "FromScope": "NotInOrganization"}
    connector = {"Name": "hq", "ConnectorType": "OnPremises", "SenderIPAddresses": ["198.51.100.7"], "Enabled": True}
    assert fate(tenant(outside), MESSAGE)[0] == REJECTED
    assert fate(tenant(outside, InboundConnector=[connector]), MESSAGE)[0] == ""
    assert fate(tenant(outside), Message(SCAN, SCAN, OUTSIDE))[0] == ""


def test_the_last_scl_counts() -> None:
    assert scl(tenant({"SetSCL": 9}, {"SetSCL": -1}), MESSAGE) == -1
    assert scl(tenant({"SetSCL": 9, "StopRuleProcessing": True}, {"SetSCL": -1}), MESSAGE) == 9
    assert scl(tenant({"SetSCL": 9, **REJECTS}), MESSAGE) is None
    assert scl(tenant(), MESSAGE) is None


@pytest.mark.parametrize(
    ("rule", "message", "what"),
    [
        ({"SetSCL": 5}, MESSAGE, [MARKED]),
        ({"SetSCL": 4}, MESSAGE, []),
        ({"RouteMessageOutboundConnector": "Off"}, MESSAGE, [CONNECTOR_DISABLED]),
        ({"RouteMessageOutboundConnector": "on"}, MESSAGE, []),
        ({"RouteMessageOutboundRequireTls": True}, MESSAGE, []),
        ({"RouteMessageOutboundRequireTls": True}, Message(SCAN, SCAN, OUTSIDE), [TLS_DEMANDED]),
    ],
    ids=str,
)
def test_what_no_source_decides_is_named(rule: dict[str, Any], message: Message, what: list[str]) -> None:
    connectors = [{"Name": "On", "Enabled": True}, {"Name": "off", "Enabled": False}]
    assert list(undecided(tenant(rule, OutboundConnector=connectors), message)) == what
