"""A domain that takes mail over IPv6, while its connectors know senders by IPv4 addresses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from provisioner.model import Answer, Finding, Observed, Unknown, request_key
from provisioner.resources import TYPES
from provisioner.resources.rows import ipv6_status
from provisioner.rules import questions
from provisioner.rules.ipv6 import ipv6_findings
from tests.rules.test_accepted_is_not_delivered import DEVICE, RELAY, SITE, loaded

PLAN = SITE.format(more="") + DEVICE.format(to="anyone", how="", more="")
BY_HAND = RELAY + "domains: { fabrikam.com: { accepted: true }, contoso.com: { verified: true } }\n"
BY_CERTIFICATE = (
    "inbound_connectors: { relay: { type: on_premises, tls_sender_certificate_name: relay.contoso.com, "
    "sender_ip_addresses: [], require_tls: true } }\ndomains: { contoso.com: { accepted: true } }\n"
)


def told(folder: Path, plan: str, **status: str) -> list[Finding]:
    desired = loaded(folder, plan)
    evidence: dict[str, Answer | Unknown] = {
        request_key(ipv6_status.look_up(f"{name}.com")): Answer(({"Status": word},)) for name, word in status.items()
    }
    return list(ipv6_findings(desired, Observed({}, evidence=evidence), {t.name: t for t in TYPES}))


def test_a_domain_that_takes_mail_over_ipv6_is_told_with_its_connectors_and_the_fix(tmp_path: Path) -> None:
    (found,) = told(tmp_path, PLAN, contoso="Enabled")
    assert found.rule == "CONNECTOR-IPV6"
    assert found.summary.startswith("contoso.com takes mail over IPv6 too")
    assert 'inbound_connector["site-pool"]' in found.summary
    assert "Disable-IPv6ForAcceptedDomain -Domain contoso.com" in found.hint
    (both,) = told(tmp_path, BY_HAND, contoso="Enabled", fabrikam="ENABLED")
    assert both.summary.startswith("contoso.com, fabrikam.com take mail over IPv6")


def test_a_domain_that_takes_none_or_was_not_asked_about_is_not_told(tmp_path: Path) -> None:
    assert told(tmp_path, PLAN, contoso="Disabled") == []
    assert told(tmp_path, PLAN) == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [(Answer(({"Status": "Pending"},)), "does not say"), (Answer(), "does not say"),
     (Unknown("the role is missing", "permission"), "the role is missing")],
)  # fmt: skip
def test_a_status_that_could_not_be_read_is_said(tmp_path: Path, answer: Answer | Unknown, why: str) -> None:
    desired = loaded(tmp_path, PLAN)
    observed = Observed({}, evidence={request_key(ipv6_status.look_up("contoso.com")): answer})
    (found,) = ipv6_findings(desired, observed, {t.name: t for t in TYPES})
    assert found.rule == "RULE-NOT-DECIDED"
    assert (why in found.summary, "CONNECTOR-IPV6" in found.summary, "contoso.com" in found.summary) == (True,) * 3
    assert "Get-IPv6StatusForAcceptedDomain" in found.hint


def test_what_no_domain_has_is_for_another_rule_to_say(tmp_path: Path) -> None:
    """DOMAIN-NOT-ACCEPTED or the precondition of the domain: no role would make it known."""
    gone = Unknown("The operation couldn't be performed because object 'contoso.com' couldn't be found", "not_found")
    observed = Observed({}, evidence={request_key(ipv6_status.look_up("contoso.com")): gone})
    assert list(ipv6_findings(loaded(tmp_path, PLAN), observed, {t.name: t for t in TYPES})) == []


def test_domains_are_asked_about_only_where_senders_relay_by_address(tmp_path: Path) -> None:
    def asked(plan: str) -> list[object]:
        found = questions(loaded(tmp_path, plan))
        return [q.parameters["Domain"] for q in found if dataclasses.is_dataclass(q) and "IPv6" in str(q)]  # type: ignore[union-attr]

    assert asked(PLAN) == ["contoso.com"]
    assert asked(BY_HAND) == ["contoso.com", "fabrikam.com"]
    assert asked(BY_CERTIFICATE) == []
    assert asked(BY_HAND.replace("on_premises", "partner")) == []
    many = ", ".join(f"d{i}.example: {{}}" for i in range(30))
    assert len(asked(RELAY + f"domains: {{ {many} }}\n")) == ipv6_status.MOST
