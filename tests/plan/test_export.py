"""Export: what a tenant has as a plan that validates and plans empty, for every tenant that we have a snapshot of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from provisioner import engine
from provisioner.model import ChangeSet
from provisioner.plan import document
from provisioner.plan.export import Export, declared, export
from provisioner.resources import TYPES
from tests.local_tenant import LocalTenant, Session, connected, sandbox
from tests.recordings import recordings

pytestmark = [pytest.mark.impure, pytest.mark.part(0.5)]  # exports a sandbox

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": "contoso.onmicrosoft.com", "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True, "MatchSubDomains": True},
            {"DomainName": "relay.contoso.com", "DomainType": "ExternalRelay", "MatchSubDomains": True},
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True, "AllowLegacyTLSClients": False}],
        "HostedOutboundSpamFilterPolicy": [{"Name": "Default", "RecipientLimitPerDay": 400}],
        "OrganizationConfig": [{"RejectDirectSend": True}],
        "TransportRule": [
            {"Name": "Mark", "SenderIpRanges": ["203.0.113.10"], "SetHeaderName": "X-A", "SetHeaderValue": "b"},
            {"Name": "Disclaimer", "Priority": 1, "ApplyHtmlDisclaimerText": "<p>"},
        ],
        "RemoteDomain": [
            {"Name": "Default", "DomainName": "*", "AutoForwardEnabled": False},
            {"Name": "Bank", "DomainName": "bank.example", "TNEFEnabled": True},
        ],
        "HostedConnectionFilterPolicy": [{"Name": "Default", "IPAllowList": ["203.0.113.9", "203.0.113.0/29"]}],
        "InboundConnector": [
            {"Name": "hq", "ConnectorType": "OnPremises", "SenderIPAddresses": ["203.0.113.5", "203.0.113.8/30"]},
            {
                "Name": "skipping",
                "ConnectorType": "OnPremises",
                "TlsSenderCertificateName": "mail.contoso.com",
                "EFSkipIPs": ["203.0.113.9", "2001:db8:1::/48"],
            },
            {"Name": "hybrid", "ConnectorType": "OnPremises", "ConnectorSource": "HybridWizard"},
            {"Name": "wide", "ConnectorType": "OnPremises", "SenderIPAddresses": ["203.0.0.0/20"]},
            {"Name": "theirs", "ConnectorType": "OnPremises", "Comment": "Branch [provisioner: other/prod]"},
            {
                "Name": "odd: #name",
                "ConnectorType": "Partner",
                "SenderDomains": ["smtp:fabrikam.com;1"],
                "Enabled": False,
            },
            {
                "Name": "paid by ${team}",
                "ConnectorType": "OnPremises",
                "SenderIPAddresses": ["203.0.113.6"],
                "Comment": "${team}, not $${team} or $x",
            },
            {
                "Name": "like a variable",
                "ConnectorType": "OnPremises",
                "SenderIPAddresses": ["203.0.113.7"],
                "Comment": "var:team",
            },
        ],
        "OutboundConnector": [
            {
                "Name": "to bank",
                "RecipientDomains": ["bank.example"],
                "TlsSettings": "DomainValidation",
                "TlsDomain": "*.bank.example",
            },
            {
                "Name": "signatures",
                "ConnectorType": "OnPremises",
                "IsTransportRuleScoped": True,
                "UseMXRecord": False,
                "SmartHosts": ["smtp.signatures.example"],
                "TestMode": True,
                "ValidationRecipients": ["cfo@bank.example"],
            },
            {
                "Name": "Outbound to 0a1b",
                "ConnectorType": "OnPremises",
                "ConnectorSource": "HybridWizard",
                "UseMXRecord": False,
                "SmartHosts": ["mail.contoso.com"],
                "RecipientDomains": ["contoso.com"],
            },
        ],
    },
    "mailboxes": [
        {"address": "erp@contoso.com", "smtp_client_authentication_disabled": False},
        {"address": "fax@contoso.com", "smtp_client_authentication_disabled": True},
        {"address": "anna@contoso.com"},
    ],
}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("export")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def session(tenant: LocalTenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with connected(tenant.profile(), tmp_path_factory.mktemp("plans"), tenant.clock) as opened:
        yield opened


def exported(
    session: Session, tenant: str = "contoso.onmicrosoft.com", old: str | None = None, owner: str = ""
) -> Export:
    observed = session.runner.run(engine.survey(TYPES, session.ports, kept=declared(TYPES, old)))
    assert not observed.unlisted
    return export(observed, TYPES, tenant, old=old, owner=owner)


def changed(found: ChangeSet) -> list[str]:
    return [str(c.address) for c in found.pending]


def test_an_export_plans_empty_and_leaves_defaults_out(session: Session) -> None:
    found = exported(session)
    plan = yaml.safe_load(found.text)
    assert plan["smtp_auth"] == {
        "organization": "disabled",
        "mailboxes": {"erp@contoso.com": "enabled", "fax@contoso.com": "disabled"},
    }
    assert sorted(plan["inbound_connectors"]) == [
        "hq", "like a variable", "odd: #name", "paid by $${team}", "skipping",
    ]  # fmt: skip
    assert plan["organization"] == {"reject_direct_send": True}
    assert plan["transport_rules"] == {
        "Mark": {"sender_ip_ranges": ["203.0.113.10/32"], "set_header_name": "X-A", "set_header_value": "b"}
    }
    assert plan["transport_config"] == {"allow_legacy_tls_clients": "disabled"}
    assert plan["outbound_spam_policies"] == {"Default": {"recipient_limit_per_day": 400}}
    assert plan["accepted_domains"]["contoso.com"] == {"match_sub_domains": True}
    assert plan["remote_domains"] == {"*": {"auto_forward_enabled": False}, "bank.example": {"tnef": "enabled"}}
    assert plan["connection_filter"] == {"allow": ["203.0.113.0/29", "203.0.113.9/32"]}
    assert plan["inbound_connectors"]["hq"]["sender_ip_addresses"] == ["203.0.113.5/32", "203.0.113.8/30"]
    assert "enabled" not in plan["inbound_connectors"]["hq"]
    assert plan["inbound_connectors"]["odd: #name"]["enabled"] is False
    assert plan["outbound_connectors"] == {
        "signatures": {
            "type": "on_premises",
            "is_transport_rule_scoped": True,
            "smart_hosts": ["smtp.signatures.example"],
            "test_mode": True,
            "validation_recipients": ["cfo@bank.example"],
        },
        "to bank": {
            "type": "partner",
            "recipient_domains": ["bank.example"],
            "tls": "domain_validation",
            "tls_domain": "*.bank.example",
        },
    }
    assert changed(session.plan(found.text)) == []


def test_what_is_not_for_a_plan_is_left_out_and_told(session: Session) -> None:
    told = " ".join(exported(session).left_out)
    assert 'inbound_connector["hybrid"]' in told
    assert 'outbound_connector["Outbound to 0a1b"]: the Hybrid Configuration Wizard' in told
    assert "other/prod" in told


@pytest.mark.parametrize("old", ["", "organization: {}\n"])
def test_a_setting_is_written_also_where_its_section_says_nothing(session: Session, old: str) -> None:
    """maester pull request 1002: whoever adopts the tool rejects direct send already, and must not lose it."""
    header = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
    text = exported(session, old=header + old).text
    assert yaml.safe_load(text)["organization"] == {"reject_direct_send": True}


def test_a_field_that_a_plan_would_not_take_is_left_out_and_told(session: Session) -> None:
    found = exported(session)
    assert yaml.safe_load(found.text)["inbound_connectors"]["skipping"] == {
        "type": "on_premises",
        "require_tls": True,
        "tls_sender_certificate_name": "mail.contoso.com",
    }
    (told,) = [text for text in found.left_out if "skipping" in text]
    assert told.startswith('inbound_connector["skipping"]: ef_skip_ips: "2001:db8:1::/48" is IPv6')


def test_a_reason_names_its_object_once(session: Session) -> None:
    told = [text for text in exported(session).left_out if '"wide"' in text or "relay.contoso.com" in text]
    assert told == [
        'accepted_domain["relay.contoso.com"]: type: a plan takes '
        "'authoritative' or 'internal_relay', and the tenant has 'external_relay'",
        'inbound_connector["wide"]: 203.0.0.0/20 is 4,096 addresses; Exchange Online takes /24 to /32',
    ]


def test_a_text_of_the_tenant_is_never_taken_for_a_variable(session: Session) -> None:
    """A connector named by somebody in the tenant must neither break the plan nor read its variables."""
    declared_ = "provisioner: 1\ntenant: contoso.onmicrosoft.com\nvariables: { team: { type: string, default: x } }\n"
    found = exported(session, old=declared_ + "smtp_auth: { mailboxes: { erp@contoso.com: enabled } }\n")
    named = yaml.safe_load(found.text)["inbound_connectors"]["paid by $${team}"]
    assert named["comment"] == "$${team}, not $$${team} or $x"
    assert 'inbound_connector["like a variable"]: comment: a plan takes what begins with var: for a variable' in (
        found.left_out
    )
    assert changed(session.plan(found.text)) == []
    assert exported(session, old=found.text).text == found.text


def test_the_owner_of_the_file_exports_its_own_connectors(session: Session) -> None:
    old = "provisioner: 1\ntenant: contoso.onmicrosoft.com\nowner: other/prod\n"
    assert yaml.safe_load(exported(session, old=old).text)["inbound_connectors"]["theirs"]["comment"] == "Branch"


@pytest.mark.part(1)
def test_a_value_edited_afterwards_is_exactly_one_change(session: Session) -> None:
    text = exported(session).text.replace("erp@contoso.com: enabled", "erp@contoso.com: disabled")
    found = session.plan(text)
    assert changed(found) == ['smtp_auth["erp@contoso.com"]']


def test_a_file_that_is_there_keeps_comments_order_and_spellings(session: Session) -> None:
    old = """# Mail of Contoso
provisioner: 1
tenant: contoso.onmicrosoft.com

connection_filter:
  block: [192.0.2.1]   # no more
inbound_connectors:
  # the scanners
  hq:
    require_tls: false   # as it was
    sender_ip_addresses: [203.0.113.5, 203.0.113.8/30] # NET-1
  gone:
    type: partner
smtp_auth:
  mailboxes:
    ERP@contoso.com: 'disabled'   # the ERP
    anna@contoso.com: enabled
"""
    found = exported(session, old=old).text
    assert found.startswith("# Mail of Contoso\nprovisioner: 1\n")
    assert found.index("inbound_connectors:") < found.index("smtp_auth:")
    assert "  # the scanners\n  hq:" in found
    assert "sender_ip_addresses: [203.0.113.5, 203.0.113.8/30] # NET-1" in found
    assert "# as it was" in found
    assert "gone" not in found
    assert "ERP@contoso.com: 'enabled'" in found
    assert "# the ERP" in found
    assert yaml.safe_load(found)["connection_filter"] == {"block": []}
    assert "anna@contoso.com: inherit" in found
    assert changed(session.plan(found)) == []
    assert exported(session, old=found).text == found, "a second export changes nothing"


def test_an_outbound_connector_that_changed_its_scope_and_tls_is_corrected_in_place(session: Session) -> None:
    old = """provisioner: 1
tenant: contoso.onmicrosoft.com
outbound_connectors:
  signatures:
    recipient_domains: [old.example]   # before the rule
  to bank: { tls: encryption_only }   # NET-7
"""
    found = exported(session, old=old).text
    connectors = yaml.safe_load(found)["outbound_connectors"]
    assert connectors["signatures"] == {"recipient_domains": [], "is_transport_rule_scoped": True}
    assert connectors["to bank"] == {"tls": "domain_validation", "tls_domain": "*.bank.example"}
    assert "# NET-7" in found
    assert changed(session.plan(found)) == []


def test_an_owner_claims_what_carries_its_mark(session: Session) -> None:
    plan = yaml.safe_load(exported(session, owner="other/prod").text)
    assert plan["owner"] == "other/prod"
    assert plan["inbound_connectors"]["theirs"]["comment"] == "Branch"


@pytest.mark.parametrize("file", recordings("exchange/snapshots/*.json"))
def test_the_export_of_a_tenant_s_snapshot_plans_empty(file: Path, tmp_path: Path) -> None:
    with sandbox(tmp_path / "state", file) as running, connected(running.profile(), tmp_path / "plans") as session:
        found = exported(session, running.endpoints["initial_domain"])
        path = tmp_path / "exported.yaml"
        path.write_text(found.text, encoding="utf-8")
        document.load(path, TYPES, today=dt.date(2026, 11, 23))
        first = session.plan(found.text)
        assert changed(first) == [], found.text
        assert not first.errored
        assert [f for f in first.findings if f.blocks] == []
        section = yaml.safe_load(found.text)["smtp_auth"]
        wanted = "disabled" if section["organization"] == "enabled" else "enabled"
        edited = found.text.replace(f"organization: {section['organization']}", f"organization: {wanted}")
        assert changed(session.plan(edited)) == ['smtp_auth["organization"]']
