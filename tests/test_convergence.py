"""The promise: after apply, plan says no changes.

For each type a table of desired states, walked from each to the next against a sandbox with replication lag and rows
in another order at every reading. After each apply an independent plan must be empty, and the raw rows must hold what
was meant. A property test does the same for states that nobody thought of.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.local_tenant import TRANSPORTS, LocalTenant, Session, connected, sandbox

pytestmark = pytest.mark.one_of("transport")

LAG_S = 0.15

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
    "objects": {
        "AcceptedDomain": [
            {"DomainName": "contoso.onmicrosoft.com", "InitialDomain": True},
            {"DomainName": "contoso.com", "Default": True},
            {"DomainName": "fabrikam.com"},
            {"DomainName": "relay.example", "DomainType": "InternalRelay"},
            *({"DomainName": f"sign{i}.example"} for i in range(16)),
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
        "AuthenticationPolicy": [{"Name": "Block Basic", "AllowBasicAuthSmtp": False}],
    },
    "mailboxes": [
        {"address": "erp@contoso.com", "aliases": ["erp-old@contoso.com"]},
        {"address": "scanner@contoso.com"},
        {"address": "fax@contoso.com", "smtp_client_authentication_disabled": True},
        {"address": "shared@contoso.com", "type": "SharedMailbox"},
        {"count": 12, "domain": "contoso.com", "prefix": "m"},
    ],
}


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def tenant(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    """A tenant for each transport: what one has done the other shall do again."""
    folder = tmp_path_factory.mktemp("convergence")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml", lag=LAG_S) as running:
        yield running


@pytest.fixture(scope="module")
def session(transport: str, tenant: LocalTenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with connected(tenant.profile(transport), tmp_path_factory.mktemp("plans"), tenant.clock) as opened:
        yield opened


@pytest.fixture(autouse=True)
def as_seeded(tenant: LocalTenant, session: Session) -> Iterator[None]:
    """Every test begins with the tenant of the seed, and with no journal: each plan would read that of all tests."""
    yield
    tenant.control("POST", "/reset")
    shutil.rmtree(session.folder / "state", ignore_errors=True)  # what was only planned has none


def plan_of(sections: dict[str, Any], owner: str | None = "contoso/test") -> str:
    header = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", **({"owner": owner} if owner else {})}
    plan = json.loads(json.dumps({**header, **sections}))  # no aliases for what stands twice
    return _UNSAFE.sub(lambda c: f"\\u{ord(c[0]):04x}", json.dumps(plan, ensure_ascii=False))


# JSON is YAML 1.2, as the plan language is (PyYAML writes 1.1, where 0E0 is a text); what YAML takes for no text or for
# the end of a line is escaped. Beyond U+FFFF all is text.
_UNSAFE = re.compile("[^\x20-\x7e\xa1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


# --- smtp_auth -------------------------------------------------------------------------------------------------------

COLUMN = "SmtpClientAuthenticationDisabled"
EIGHT = [f"m{i:05d}@contoso.com" for i in range(8, 0, -1)]
SMTP_AUTH: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"organization": "disabled", "mailboxes": dict.fromkeys(EIGHT, "enabled")},
        {"organization": True, **dict.fromkeys(EIGHT, False)},
    ),
    (
        {"organization": "enabled", "mailboxes": {m: ("disabled", "inherit")[i % 2] for i, m in enumerate(EIGHT)}},
        {"organization": False, **{m: (True, None)[i % 2] for i, m in enumerate(EIGHT)}},
    ),
    ({"mailboxes": {"erp@contoso.com": "enabled"}}, {"organization": False, "erp@contoso.com": False}),
    (
        {"mailboxes": {"erp@contoso.com": "disabled", "fax@contoso.com": "disabled", "scanner@contoso.com": "enabled"}},
        {"scanner@contoso.com": False, "fax@contoso.com": True, "erp@contoso.com": True},
    ),
    (
        {"mailboxes": {"erp@contoso.com": "inherit", "fax@contoso.com": "enabled", "scanner@contoso.com": "inherit"}},
        {"scanner@contoso.com": None, "fax@contoso.com": False, "erp@contoso.com": None},
    ),
    ({"mailboxes": {"ERP@Contoso.COM": "enabled"}}, {"erp@contoso.com": False}),
    ({"mailboxes": {"erp-old@contoso.com": "disabled"}}, {"erp@contoso.com": True}),
    ({"mailboxes": {"erp-old@contoso.com": "inherit"}}, {"erp@contoso.com": None}),
    ({"organization": "disabled", "mailboxes": {"erp@contoso.com": "enabled"}}, {"organization": True}),
    (
        {"exclusive": True, "mailboxes": {"m00002@contoso.com": "disabled"}},
        {"m00002@contoso.com": True, "m00004@contoso.com": None},
    ),
    (
        {"exclusive": True, "mailboxes": {"erp-old@contoso.com": "enabled"}},
        {"erp@contoso.com": False, "fax@contoso.com": None},
    ),
    ({"exclusive": True}, {"erp@contoso.com": None, "m00002@contoso.com": None}),
]


def test_smtp_auth_converges_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for section, expected in SMTP_AUTH:
        session.converge(plan_of({"smtp_auth": section}))
        live = {r["PrimarySmtpAddress"].lower(): r[COLUMN] for r in tenant.rows("CASMailbox")}
        live["organization"] = tenant.rows("TransportConfig")[0][COLUMN]
        assert {key: live[key] for key in expected} == expected, section


def test_selected_mailboxes_converge_and_who_is_listed_is_left_out(tenant: LocalTenant, session: Session) -> None:
    group = {"Name": "Devices", "PrimarySmtpAddress": "devices@contoso.com", "ExternalDirectoryObjectId": SENDERS_ID}
    printers = [{"PrimarySmtpAddress": f"m0000{n}@contoso.com", "CustomAttribute3": "printer"} for n in (1, 2, 3)]
    member = {"userPrincipalName": "scanner@contoso.com", "memberOf": [SENDERS_ID]}
    objects = {"DistributionGroup": [group], "Mailbox": printers}
    tenant.control("POST", "/load", {"sandbox": 1, "objects": objects, "graph": {"users": [member]}})
    states: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (
            {
                "printers": {"custom_attributes": {"3": "Printer"}, "smtp_auth": "enabled"},
                "members": {"group": "devices@contoso.com", "domain": "contoso.com", "smtp_auth": "disabled"},
                "shared": {"type": "shared", "smtp_auth": "enabled"},
            },
            {"m00001": False, "m00002": True, "m00003": False, "scanner": True, "shared": False, "fax": True},
        ),
        (
            {"printers": {"custom_attributes": {"3": "printer"}, "smtp_auth": "inherit"}},
            {"m00001": None, "m00002": True, "scanner": True},
        ),
        (
            {"blank": {"custom_attributes": {"3": "", "15": ""}, "type": "shared", "smtp_auth": "inherit"}},
            {"shared": None, "m00002": True, "scanner": True},
        ),
    ]
    listed = {"mailboxes": {"m00002@contoso.com": "disabled"}}
    for section, expected in states:
        session.converge(plan_of({"mailbox_selections": section, "smtp_auth": listed}))
        live = {r["PrimarySmtpAddress"].partition("@")[0]: r[COLUMN] for r in tenant.rows("CASMailbox")}
        assert {name: live[name] for name in expected} == expected, section


# --- authentication policies -----------------------------------------------------------------------------------------

BY = "authentication_policy"
POLICIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"authentication_policies": {"devices": {"allow_basic_smtp": True}, "Block all": {}}}, {"devices": True}),
    ({"authentication_policies": {"Devices": {"allow_basic_pop": True}}}, {"devices": True}),
    ({"authentication_policies": {"devices": {"allow_basic_smtp": False}}}, {"devices": False}),
    ({"assignments": {BY: {"mailboxes": {"ERP@contoso.com": "block basic"}}}}, {"erp": "Block Basic"}),
    ({"assignments": {BY: {"mailboxes": {"erp-old@contoso.com": "Devices"}}}}, {"erp": "devices"}),
    ({"assignments": {BY: {"default": "Block Basic"}}}, {"erp": "devices", "default": "Block Basic"}),
    (
        {
            "authentication_policies": {"new": {"allow_basic_smtp": True}},
            "assignments": {BY: {"default": "none", "mailboxes": {"fax@contoso.com": "new", "erp@contoso.com": "New"}}},
        },
        {"erp": "new", "fax": "new", "default": None, "new": True},
    ),
    (
        {"assignments": {BY: {"mailboxes": {f"m{i:05d}@contoso.com": "devices" for i in range(1, 9)}}}},
        {"m00001": "devices", "m00008": "devices"},
    ),
    (
        {
            "assignments": {BY: {"exclusive": True, "mailboxes": {"erp-old@contoso.com": "inherit"}}},
            "absent": ["authentication_policy/new", "authentication_policy/devices"],
        },
        {"erp": None, "fax": None, "m00008": None},
    ),
]


def test_authentication_policies_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for sections, expected in POLICIES:
        session.converge(plan_of(sections))
        live = {r["Identity"].lower(): r["AuthenticationPolicy"] for r in tenant.rows("User")}
        live |= {r["Name"].lower(): r["AllowBasicAuthSmtp"] for r in tenant.rows("AuthenticationPolicy")}
        live["default"] = tenant.rows("OrganizationConfig")[0]["DefaultAuthenticationPolicy"]
        assert {key: live.get(key) for key in expected} == expected, sections
    assert {r["Name"] for r in tenant.rows("AuthenticationPolicy")} == {"Block Basic", "Block all"}


# --- inbound_connectors ----------------------------------------------------------------------------------------------

States = list[tuple[dict[str, Any], dict[str, Any]]]
MARK = "[provisioner: contoso/test [NAME]]"


def walk_side_by_side(tenant: LocalTenant, session: Session, section: str, noun: str, walks: list[States]) -> None:
    """Each walk is one connector's way through states; all connectors take a step in one run, and the last one goes."""
    names = [f"{noun} [{number}]" for number in range(len(walks))]
    last: dict[str, dict[str, Any]] = {}
    for turn in range(max(map(len, walks))):
        steps = {name: walk[turn] for name, walk in zip(names, walks, strict=True) if turn < len(walk)}
        last |= {name: fields for name, (fields, _) in steps.items()}
        session.converge(plan_of({section: last}))
        for name, (fields, expected) in steps.items():
            row = _row(tenant, name, noun)
            live = {k: set(row[k]) if isinstance(v, set) else row[k] for k, v in expected.items()}
            mark = MARK.replace("NAME", name.replace("[", "%5B").replace("]", "%5D"))
            assert live == {k: mark if v == MARK else v for k, v in expected.items()}, (name, fields)
            assert row["Comment"].endswith(mark)
    gone = session.converge(plan_of({section: {}}))
    assert {(c.address.key, c.action.value) for c in gone.pending} == {(name, "delete") for name in names}


INBOUND: list[States] = [
    [
        ({}, {"ConnectorType": "Partner", "SenderDomains": ["smtp:*;1"], "RequireTls": True, "Enabled": True}),
        ({"type": "on_premises", "require_tls": False}, {"ConnectorType": "OnPremises", "RequireTls": False}),
        (
            {"sender_ip_addresses": ["203.0.113.10", "198.51.100.0/24"]},
            {"SenderIPAddresses": {"203.0.113.10", "198.51.100.0/24"}},
        ),
        (
            {"sender_ip_addresses": ["198.51.100.77/24", "203.0.113.10/32"]},
            {"SenderIPAddresses": {"203.0.113.10", "198.51.100.0/24"}},
        ),
        ({"sender_ip_addresses": ["203.0.113.64/28"]}, {"SenderIPAddresses": {"203.0.113.64/28"}}),
        ({"sender_ip_addresses": []}, {"SenderIPAddresses": set()}),
    ],
    [
        (
            {"sender_domains": ["contoso.com", "*.Fabrikam.com"]},
            {"SenderDomains": {"smtp:contoso.com;1", "smtp:*.fabrikam.com;1"}},
        ),
        (
            {"sender_domains": ["smtp:*.fabrikam.com;1", "CONTOSO.com"]},
            {"SenderDomains": {"smtp:contoso.com;1", "smtp:*.fabrikam.com;1"}},
        ),
        ({"sender_domains": ["*"]}, {"SenderDomains": {"smtp:*;1"}}),
        (
            {"require_tls": True, "tls_sender_certificate_name": "*.contoso.com"},
            {"TlsSenderCertificateName": "*.contoso.com"},
        ),
        ({"tls_sender_certificate_name": ""}, {"TlsSenderCertificateName": None}),
    ],
    [
        ({"enabled": False}, {"Enabled": False}),
        ({"enabled": True, "comment": "scanners [3rd floor] & <more>, ünïcode"}, {"Enabled": True}),
        ({"comment": "[provisional] not a mark"}, {}),
        ({"comment": ""}, {"Comment": MARK}),
    ],
    [
        ({"type": "on_premises", "treat_messages_as_internal": True}, {"TreatMessagesAsInternal": True}),
        (
            {"treat_messages_as_internal": False, "cloud_services_mail_enabled": True},
            {"CloudServicesMailEnabled": True},
        ),
        ({"cloud_services_mail_enabled": False}, {"CloudServicesMailEnabled": False}),
        (
            {"associated_accepted_domains": ["contoso.com", "FABRIKAM.com"]},
            {"AssociatedAcceptedDomains": {"contoso.com", "fabrikam.com"}},
        ),
        ({"associated_accepted_domains": []}, {"AssociatedAcceptedDomains": set()}),
    ],
    [
        ({"ef_skip_last_ip": True}, {"EFSkipLastIP": True}),
        (
            {"ef_skip_last_ip": False, "ef_skip_ips": ["192.0.2.1", "192.0.2.8-192.0.2.9", "198.51.100.0/30"]},
            {"EFSkipLastIP": False},
        ),
        ({"ef_skip_ips": [], "ef_users": ["erp@contoso.com"]}, {"EFSkipIPs": set()}),
        ({"ef_users": [], "ef_test_mode": True}, {"EFUsers": set(), "EFTestMode": True}),
    ],
    [
        (
            {
                "type": "partner",
                "restrict_domains_to_ip_addresses": True,
                "sender_domains": ["partner.example"],
                "sender_ip_addresses": ["192.0.2.5"],
            },
            {"RestrictDomainsToIPAddresses": True, "ConnectorType": "Partner"},
        ),
        (
            {
                "restrict_domains_to_ip_addresses": False,
                "restrict_domains_to_certificate": True,
                "sender_domains": ["partner.example"],
                "tls_sender_certificate_name": "mail.partner.example",
            },
            {"RestrictDomainsToCertificate": True},
        ),
        (
            {"restrict_domains_to_certificate": False, "tls_sender_certificate_name": "", "require_tls": False},
            {"RequireTls": False},
        ),
    ],
]


def test_inbound_connectors_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    tenant.cmdlet("New-InboundConnector", Name="Stranger", ConnectorType="Partner", SenderDomains=["x.example"])
    tenant.clock.advance(LAG_S)
    stranger = _row(tenant, "Stranger")
    walk_side_by_side(tenant, session, "inbound_connectors", "InboundConnector", INBOUND)
    assert _row(tenant, "Stranger") == stranger, "what the plan did not own was never touched"
    tenant.cmdlet("Remove-InboundConnector", Identity="Stranger", Confirm=False)


def test_a_connector_that_somebody_made_is_adopted_released_and_entombed(tenant: LocalTenant, session: Session) -> None:
    made = {
        "Name": "Adopted",
        "ConnectorType": "OnPremises",
        "SenderDomains": ["*"],
        "SenderIPAddresses": ["192.0.2.9/25"],
    }
    tenant.cmdlet("New-InboundConnector", **made, Comment="by hand")
    tenant.clock.advance(LAG_S)
    session.converge(plan_of({"inbound_connectors": {"adopted": {"enabled": True}}}))
    assert _row(tenant, "Adopted")["Comment"] == "by hand [provisioner: contoso/test [adopted]]"
    session.converge(plan_of({"inbound_connectors": {"Adopted": {"sender_ip_addresses": ["192.0.2.0/25"]}}}))
    session.converge(plan_of({"inbound_connectors": {"Adopted": {"sender_ip_addresses": []}}}))
    assert _row(tenant, "Adopted")["SenderIPAddresses"] == []
    session.converge(plan_of({"absent": ["inbound_connector/Adopted"]}, owner=None))
    assert not [r for r in tenant.rows("InboundConnector") if r["Name"] == "Adopted"]


def _row(tenant: LocalTenant, name: str, noun: str = "InboundConnector") -> dict[str, Any]:
    return next(r for r in tenant.rows(noun) if r["Name"] == name)


# --- outbound_connectors ---------------------------------------------------------------------------------------------

ZEROS = "00000000-0000-0000-0000-000000000000"
TO_PARTNER: dict[str, Any] = {"recipient_domains": ["partner.example"]}
OUTBOUND: list[States] = [
    [
        (
            {"recipient_domains": ["Partner.example"]},
            {
                "ConnectorType": "Partner",
                "RecipientDomains": {"partner.example"},
                "UseMXRecord": True,
                "TlsSettings": None,
            },
        ),
        ({"recipient_domains": ["*.partner.example", "partner.example."]}, {"IsTransportRuleScoped": False}),
        ({"tls": "encryption_only"}, {"TlsSettings": "EncryptionOnly", "TlsDomain": None}),
        (
            {"tls": "domain_validation", "tls_domain": "*.Partner.example"},
            {"TlsSettings": "DomainValidation", "TlsDomain": "*.partner.example"},
        ),
        ({"tls": "certificate_validation"}, {"TlsSettings": "CertificateValidation", "TlsDomain": None}),
        ({"tls": "opportunistic"}, {"TlsSettings": None}),
    ],
    [
        (TO_PARTNER, {"Enabled": True}),
        ({"smart_hosts": ["MX.partner.example"]}, {"UseMXRecord": False, "SmartHosts": {"mx.partner.example"}}),
        (
            {"smart_hosts": ["mx.partner.example", "192.0.2.5", "198.51.100.9/25"]},
            {"SmartHosts": {"mx.partner.example", "192.0.2.5", "198.51.100.0/25"}},
        ),
        ({"smart_hosts": []}, {"UseMXRecord": True, "SmartHosts": set()}),
    ],
    [
        (TO_PARTNER, {"Enabled": True}),
        ({"mta_sts_mode": "none", "smtp_dane_mode": "mandatory"}, {"MtaStsMode": "None", "SmtpDaneMode": "Mandatory"}),
        (
            {"mta_sts_mode": "opportunistic", "smtp_dane_mode": "none"},
            {"MtaStsMode": "Opportunistic", "SmtpDaneMode": "None"},
        ),
        ({"smtp_dane_mode": "opportunistic", "enabled": False}, {"SmtpDaneMode": "Opportunistic", "Enabled": False}),
        ({"enabled": True, "test_mode": True}, {"Enabled": True, "TestMode": True}),
        ({"comment": "in test mode"}, {"TestMode": True}),
        ({"test_mode": False, "comment": "bank [3rd floor] & <more>, ünïcode"}, {"TestMode": False}),
        ({"comment": ""}, {"Comment": MARK}),
    ],
    [
        (TO_PARTNER, {"Enabled": True}),
        ({"validation_recipients": ["CFO@partner.example"]}, {"ValidationRecipients": {"cfo@partner.example"}}),
        ({"validation_recipients": []}, {"ValidationRecipients": None}),
        ({"recipient_domains": ["*"]}, {"RecipientDomains": {"*"}}),
        (
            {"is_transport_rule_scoped": True, "smart_hosts": ["smtp.signatures.example"]},
            {"IsTransportRuleScoped": True, "RecipientDomains": set(), "UseMXRecord": False},
        ),
    ],
    [
        (
            {"is_transport_rule_scoped": True, "smart_hosts": ["mx.signatures.example"]},
            {"IsTransportRuleScoped": True, "UseMXRecord": False},
        ),
        ({"type": "on_premises", "cloud_services_mail_enabled": True}, {"CloudServicesMailEnabled": True}),
        (
            {"type": "on_premises", "all_accepted_domains": True},
            {"AllAcceptedDomains": True, "IsTransportRuleScoped": False, "ConnectorType": "OnPremises"},
        ),
        (
            {"route_all_messages_via_on_premises": True, "sender_rewriting_enabled": True},
            {"RouteAllMessagesViaOnPremises": True, "SenderRewritingEnabled": True},
        ),
        (
            {
                "type": "partner",
                "smart_hosts": [],
                "recipient_domains": ["partner.example"],
                "all_accepted_domains": False,
                "route_all_messages_via_on_premises": False,
                "sender_rewriting_enabled": False,
                "cloud_services_mail_enabled": False,
            },
            {"ConnectorType": "Partner", "UseMXRecord": True, "AllAcceptedDomains": False, "SmartHosts": set()},
        ),
        ({"link_for_modified_connector": ZEROS}, {"LinkForModifiedConnector": ZEROS}),
    ],
]


def test_outbound_connectors_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    tenant.cmdlet("New-OutboundConnector", Name="Stranger", RecipientDomains=["x.example"])
    tenant.clock.advance(LAG_S)
    stranger = _row(tenant, "Stranger", "OutboundConnector")
    walk_side_by_side(tenant, session, "outbound_connectors", "OutboundConnector", OUTBOUND)
    assert _row(tenant, "Stranger", "OutboundConnector") == stranger, "what the plan did not own was never touched"
    session.converge(plan_of({"absent": ["outbound_connector/Stranger"]}, owner=None))
    assert not tenant.rows("OutboundConnector")


def test_a_whole_outbound_connector_is_made_in_one_run_even_in_test_mode(tenant: LocalTenant, session: Session) -> None:
    fields = {
        "type": "on_premises", "is_transport_rule_scoped": True, "smart_hosts": ["smtp.signatures.example"],
        "tls": "domain_validation", "tls_domain": "smtp.signatures.example", "cloud_services_mail_enabled": True,
        "test_mode": True, "validation_recipients": ["cfo@partner.example"], "comment": "Signatures",
    }  # fmt: skip
    made = session.converge(plan_of({"outbound_connectors": {"signatures": fields}}))
    assert [len(c.steps) for c in made.pending] == [2]
    row = _row(tenant, "signatures", "OutboundConnector")
    assert (row["TestMode"], row["ValidationRecipients"]) == (True, ["cfo@partner.example"])
    session.converge(plan_of({"absent": ["outbound_connector/Signatures"]}))
    assert not tenant.rows("OutboundConnector")


# --- dkim and domains ------------------------------------------------------------------------------------------------

DKIM: list[States] = [
    [
        ({"enabled": False}, {"Enabled": False, "Selector1KeySize": 2048}),
        ({"enabled": False, "header_canonicalization": "simple"}, {"HeaderCanonicalization": "Simple"}),
        ({"body_canonicalization": "simple"}, {"BodyCanonicalization": "Simple"}),
        (
            {"header_canonicalization": "relaxed", "body_canonicalization": "relaxed"},
            {"BodyCanonicalization": "Relaxed"},
        ),
        ({"key_size": 2048}, {"Selector1KeySize": 2048}),
        ({"key_size": 1024}, {"Selector1KeySize": 2048}),
    ],
    [
        ({"enabled": False}, {"Enabled": False}),
        ({"enabled": True}, {"Enabled": True, "Status": "Valid"}),
        ({"enabled": True, "body_canonicalization": "simple"}, {"Enabled": True, "BodyCanonicalization": "Simple"}),
        ({"enabled": False, "body_canonicalization": "relaxed"}, {"Enabled": False, "BodyCanonicalization": "Relaxed"}),
        ({"enabled": True, "header_canonicalization": "simple"}, {"Enabled": True, "HeaderCanonicalization": "Simple"}),
        ({"enabled": True}, {"HeaderCanonicalization": "Simple"}),
    ],
    [
        ({"enabled": False}, {"Enabled": False}),
        ({"enabled": True}, {"Enabled": True}),
        ({}, {"Enabled": True}),
        ({"enabled": False, "header_canonicalization": "simple"}, {"Enabled": False}),
        ({"enabled": True, "key_size": 2048, "header_canonicalization": "relaxed"}, {"Enabled": True}),
        ({"header_canonicalization": "relaxed"}, {"Enabled": True, "HeaderCanonicalization": "Relaxed"}),
    ],
]


def test_dkim_converges_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for turn, steps in enumerate(zip(*DKIM, strict=True)):
        for number, (fields, _) in enumerate(steps, 3):
            if fields.get("enabled") and turn:
                _publish(tenant, f"sign{number}.example")
        session.converge(plan_of({"dkim": {f"Sign{n}.example.": fields for n, (fields, _) in enumerate(steps, 3)}}))
        rows = {r["Domain"]: r for r in tenant.rows("DkimSigningConfig")}
        for number, (fields, expected) in enumerate(steps, 3):
            row = rows[f"sign{number}.example"]
            assert {k: row[k] for k in expected} == expected, fields


def test_dkim_of_a_new_domain_waits_for_dns_and_the_next_run_goes_on(tenant: LocalTenant, session: Session) -> None:
    text = plan_of({"dkim": {"sign2.example": {"enabled": True, "key_size": 1024}}})
    outcome = session.apply(session.plan(text))
    assert [r.status for r in outcome.results] == ["waiting"]
    assert "dkim.mail.microsoft" in outcome.results[0].detail
    again = session.plan(text)
    assert [c.action.value for c in again.pending] == ["update"]
    _publish(tenant, "sign2.example")
    session.converge(text)
    row = next(r for r in tenant.rows("DkimSigningConfig") if r["Domain"] == "sign2.example")
    assert (row["Enabled"], row["Selector1KeySize"]) == (True, 1024)


def _publish(tenant: LocalTenant, domain: str) -> None:
    """What the domain's owner does: the CNAMEs that Exchange tells, published in capitals and with a final dot."""
    row = next(r for r in tenant.rows("DkimSigningConfig") if r["Domain"] == domain)
    for number in (1, 2):
        name = f"selector{number}._domainkey.{domain}"
        tenant.control(
            "POST", "/dns", {"name": name, "type": "CNAME", "values": [row[f"Selector{number}CNAME"].upper() + "."]}
        )


DOMAINS: list[tuple[dict[str, Any], str]] = [
    ({"contoso.com": {"verified": True}}, ""),
    ({"Contoso.COM": {"verified": True, "type": "authoritative"}}, ""),
    ({"contoso.com": {"accepted": True}}, ""),
    ({"relay.example": {"type": "internal_relay"}}, ""),
    ({"relay.example": {"type": "authoritative"}}, "type is internal_relay"),
    ({"contoso.com": {"type": "internal_relay"}}, "type is authoritative"),
    ({"nowhere.example": {"verified": True}}, "does not have it"),
    ({"nowhere.example": {"type": "authoritative"}}, "does not have it"),
    ({"contoso.com": {"verified": True}, "fabrikam.com": {"verified": True}}, ""),
    ({"fabrikam.com": {"verified": True}, "contoso.com": {"verified": True}}, ""),
    ({"contoso.onmicrosoft.com": {"verified": True, "accepted": True}}, ""),
    ({"sign0.example": {"verified": True, "accepted": True, "type": "authoritative"}}, ""),
    ({"sign0.example": {"verified": True}, "relay.example": {"verified": True, "type": "internal_relay"}}, ""),
    ({"contoso.com": {"verified": True}, "nowhere.example": {"verified": True}}, "does not have it"),
    ({"contoso.com.": {"verified": True}}, ""),
]


@pytest.mark.parametrize(("section", "problem"), DOMAINS)
def test_domains_are_checked_and_never_changed(
    tenant: LocalTenant, session: Session, section: dict[str, Any], problem: str
) -> None:
    before = tenant.rows("AcceptedDomain")
    found = session.plan(plan_of({"domains": section}))
    assert found.changes == ()
    problems = [p for c in found.checks for p in c.problems]
    assert (problem in problems[0]) if problem else (problems == []), problems
    assert tenant.rows("AcceptedDomain") == before


# --- connection_filter -----------------------------------------------------------------------------------------------

ALLOW, BLOCK = "IPAllowList", "IPBlockList"
BY_HAND = ("203.0.113.77/28", "10.0.0.1 - 10.0.0.9", "192.0.2.9/32")
FILTER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"allow": ["203.0.113.10/32", "203.0.113.20-203.0.113.29"]},
        {ALLOW: {"203.0.113.10", "203.0.113.20-203.0.113.29"}},
    ),
    (
        {"allow": ["203.0.113.77/28"], "block": ["198.51.100.0-198.51.100.255", "192.0.2.5"]},
        {
            ALLOW: {"203.0.113.10", "203.0.113.20-203.0.113.29", "203.0.113.64/28"},
            BLOCK: {"198.51.100.0/24", "192.0.2.5", *BY_HAND},
        },
    ),
    (
        {"allow": ["203.0.113.10"], "block": ["198.51.100.0/24"], "exclusive": True},
        {ALLOW: {"203.0.113.10"}, BLOCK: {"198.51.100.0/24"}},
    ),
    ({"allow": [], "exclusive": True}, {ALLOW: set(), BLOCK: {"198.51.100.0/24"}}),
    ({"allow": ["192.0.2.7"], "block": [], "exclusive": True}, {ALLOW: {"192.0.2.7"}, BLOCK: set()}),
]


def test_the_connection_filter_converges_through_every_state(tenant: LocalTenant, session: Session) -> None:
    tenant.cmdlet("Set-HostedConnectionFilterPolicy", Identity="Default", IPBlockList={"add": list(BY_HAND)})
    tenant.clock.advance(LAG_S)
    for section, expected in FILTER:
        session.converge(plan_of({"connection_filter": section}))
        live = tenant.rows("HostedConnectionFilterPolicy")[0]
        assert {name: set(live[name]) for name in expected} == expected, section


LONG = ".".join(["a" * 40, "b" * 40, "example"])
REMOTE: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]] = [
    (
        {"*": {"auto_forward_enabled": False}, "Partner.example": {"tnef": "disabled", "is_internal": True}},
        {
            "*": {"AutoForwardEnabled": False},
            "partner.example": {"TNEFEnabled": False, "IsInternal": True, "AutoForwardEnabled": True},
        },
    ),
    (
        {
            "*": {"allowed_oof_type": "internal_legacy"},
            "partner.example": {"is_internal": False, "tnef": "inherit"},
            "*.bank.example": {"auto_forward_enabled": False, "character_set": "utf-8", "content_type": "mime_text"},
        },
        {
            "*": {"IsInternal": True, "AllowedOOFType": "InternalLegacy"},
            "partner.example": {"IsInternal": False, "AllowedOOFType": "External", "TNEFEnabled": None},
            "*.bank.example": {"CharacterSet": "utf-8", "ContentType": "MimeText", "AutoForwardEnabled": False},
        },
    ),
    (
        {
            "*": {"is_internal": False, "allowed_oof_type": "none", "auto_forward_enabled": True},
            "*.bank.example": {"character_set": "", "trusted_mail_inbound_enabled": True, "ndr_enabled": False},
        },
        {
            "*": {"IsInternal": False, "AllowedOOFType": "None", "AutoForwardEnabled": True},
            "*.bank.example": {"CharacterSet": None, "TrustedMailInboundEnabled": True, "NDREnabled": False},
        },
    ),
    (
        {
            "*.Bücher.example": {
                "is_internal": False,
                "allowed_oof_type": "none",
                "tnef": "enabled",
                "content_type": "mime_html",
                "auto_reply_enabled": False,
                "delivery_report_enabled": False,
                "target_delivery_domain": True,
                "meeting_forward_notification_enabled": True,
                "trusted_mail_outbound_enabled": True,
                "use_simple_display_name": True,
                "non_mime_character_set": "ISO-8859-15",
            },
            LONG: {"tnef": "disabled"},
            f"*.{LONG}": {"ndr_enabled": False},
        },
        {
            "*.xn--bcher-kva.example": {
                "AllowedOOFType": "None",
                "TNEFEnabled": True,
                "ContentType": "MimeHtml",
                "AutoReplyEnabled": False,
                "DeliveryReportEnabled": False,
                "TargetDeliveryDomain": True,
                "MeetingForwardNotificationEnabled": True,
                "TrustedMailOutboundEnabled": True,
                "UseSimpleDisplayName": True,
                "NonMimeCharacterSet": "iso-8859-15",
            },
            LONG: {"TNEFEnabled": False, "NDREnabled": True},
            f"*.{LONG}": {"TNEFEnabled": None, "NDREnabled": False},
        },
    ),
]


def test_remote_domains_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for section, expected in REMOTE:
        session.converge(plan_of({"remote_domains": section}))
        live = {r["DomainName"]: r for r in tenant.rows("RemoteDomain")}
        assert {d: {n: live[d][n] for n in columns} for d, columns in expected.items()} == expected, section
    made = ["partner.example", ".bank.example", ".xn--bcher-kva.example", LONG, f".{LONG}"]
    session.converge(plan_of({"absent": [f"remote_domain/{key}" for key in made]}))
    assert [r["DomainName"] for r in tenant.rows("RemoteDomain")] == ["*"]


ACCEPTED: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]] = [
    (
        {"Contoso.com": {"match_sub_domains": True}, "fabrikam.com": {"type": "internal_relay", "outbound_only": True}},
        {
            "contoso.com": {"MatchSubDomains": True, "DomainType": "Authoritative"},
            "fabrikam.com": {"DomainType": "InternalRelay", "OutboundOnly": True},
        },
    ),
    (
        {
            "contoso.com": {"match_sub_domains": False, "sending_to_disabled": True},
            "fabrikam.com": {"type": "authoritative", "sending_from_disabled": True},
        },
        {
            "contoso.com": {"MatchSubDomains": False, "SendingToDomainDisabled": True},
            "fabrikam.com": {"DomainType": "Authoritative", "SendingFromDomainDisabled": True, "OutboundOnly": True},
        },
    ),
    (
        {"contoso.com": {"sending_to_disabled": False}, "fabrikam.com": {"sending_from_disabled": False}},
        {"contoso.com": {"SendingToDomainDisabled": False}, "fabrikam.com": {"SendingFromDomainDisabled": False}},
    ),
]


def test_accepted_domains_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for section, expected in ACCEPTED:
        checked = {name: {"type": body["type"]} for name, body in section.items() if "type" in body}
        session.converge(plan_of({"accepted_domains": section, "domains": checked}))
        live = {r["DomainName"]: r for r in tenant.rows("AcceptedDomain")}
        assert {d: {n: live[d][n] for n in columns} for d, columns in expected.items()} == expected, section


TRANSPORT_RULES: list[tuple[dict[str, Any], list[str], dict[str, Any]]] = [
    (
        {
            "Mark": {"sender_ip_ranges": ["203.0.113.10/32"], "set_header_name": "X-Device", "set_header_value": "y"},
            "Route": {"senders": ["ERP@contoso.com"], "set_scl": 5, "before": ["Disclaimer"]},
            "Early": {"sender_domains": ["contoso.com"], "set_scl": -1, "enabled": False, "before": ["route", "new"]},
            "New": {"recipient_domains": ["bank.example"], "stop_rule_processing": True, "before": ["Mark"]},
        },
        ["Early", "Route", "Disclaimer", "New", "Mark"],
        {"State": "Disabled", "SetSCL": -1, "SenderDomainIs": ["contoso.com"]},
    ),
    (
        {
            "mark": {"before": ["Disclaimer"], "sender_ip_ranges": ["198.51.96.0/20", "203.0.113.10"]},
            "Early": {"enabled": True, "mode": "audit", "set_scl": "none", "set_header_name": "X-A",
                      "set_header_value": "b"},
        },
        ["Early", "Route", "Mark", "Disclaimer", "New"],
        {"State": "Enabled", "SetSCL": None, "Mode": "Audit", "SetHeaderName": "X-A"},
    ),
    (
        {"Early": {"sender_domains": [], "comment": "for tests", "route_message_outbound_require_tls": True},
         "Route": {"before": ["early"]}},
        ["Route", "Early", "Mark", "Disclaimer", "New"],
        {"SenderDomainIs": None, "Comments": "for tests", "RouteMessageOutboundRequireTls": True},
    ),
    (
        {"Early": {"route_message_outbound_require_tls": False}},
        ["Route", "Early", "Mark", "Disclaimer", "New"],
        {"RouteMessageOutboundRequireTls": False},
    ),
]  # fmt: skip


ODD_NAME = 'Bob\'s "rule", [x] {y} ünï #1: %s'
ODD_RULE: list[dict[str, Any]] = [
    {
        "enabled": False, "mode": "audit_and_notify", "sender_address_location": "header_or_envelope", "set_scl": 0,
        "senders": ["ERP@contoso.com", "erp@contoso.com"], "sender_domains": ["Bücher.example", "contoso.com."],
        "sender_ip_ranges": ["10.0.0.0/8", "203.0.113.1-203.0.113.9", "192.0.2.1/32"], "comment": "two\nlines  ",
        "set_header_name": "X-Device", "set_header_value": '  "q", ünï  ', "stop_rule_processing": True,
    },
    {
        "route_message_outbound_connector": "to SIGNATURES", "senders": [], "sender_ip_ranges": [], "comment": "  ",
        "set_header_name": "", "set_header_value": "", "stop_rule_processing": False, "mode": "enforce",
        "enabled": True,
    },
]  # fmt: skip


def test_transport_rules_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    tenant.cmdlet("New-TransportRule", Name="Disclaimer", SetHeaderName="X-Seen", SetHeaderValue="1")
    tenant.clock.advance(LAG_S)
    for section, order, early in TRANSPORT_RULES:
        session.converge(plan_of({"transport_rules": section}))
        rows = sorted(tenant.rows("TransportRule"), key=lambda row: row["Priority"])
        assert [row["Name"] for row in rows] == order, section
        row = _row(tenant, "Early", "TransportRule")
        assert {name: row[name] for name in early} == early, section
    signatures = {"To signatures": {"is_transport_rule_scoped": True, "smart_hosts": ["smtp.signatures.example"]}}
    for rule in ODD_RULE:
        sections = {"transport_rules": {ODD_NAME: rule}, "outbound_connectors": signatures}
        session.converge(plan_of(sections, owner=None))
    row = _row(tenant, ODD_NAME, "TransportRule")
    assert (row["RouteMessageOutboundConnector"], row["SetSCL"], row["Comments"]) == ("To signatures", 0, None)
    absent = ["transport_rule/Early", "transport_rule/Mark", f"transport_rule/{ODD_NAME}"]
    session.converge(plan_of({"absent": absent}))
    assert len(tenant.rows("TransportRule")) == 3


# --- send_as, mailboxes, organization ---------------------------------------------------------------------------------

SEND_AS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"erp@contoso.com": ["scanner@contoso.com"]}, [("scanner", "erp@contoso.com")]),
    ({"ERP@contoso.com": ["Scanner@Contoso.com"]}, [("scanner", "erp@contoso.com")]),
    (
        {"erp@contoso.com": ["fax@contoso.com"], "fax@contoso.com": ["scanner@contoso.com"]},
        [("fax", "erp@contoso.com"), ("scanner", "erp@contoso.com"), ("scanner", "fax@contoso.com")],
    ),
    ({}, [("fax", "erp@contoso.com"), ("scanner", "erp@contoso.com"), ("scanner", "fax@contoso.com")]),
]


def test_send_as_converges_and_what_is_not_listed_is_left_alone(tenant: LocalTenant, session: Session) -> None:
    for section, expected in SEND_AS:
        session.converge(plan_of({"send_as": section}))
        live = sorted((r["Identity"], r["Trustee"]) for r in tenant.rows("RecipientPermission"))
        assert live == expected, section
    absent = [f"send_as/{who} as {whom}@contoso.com" for whom, who in SEND_AS[-1][1]]
    gone = session.converge(plan_of({"absent": absent}))
    assert {c.action.value for c in gone.pending} == {"delete"}
    assert tenant.rows("RecipientPermission") == []
    assert not session.converge(plan_of({"absent": absent})).pending


HVE_APP, HVE_POLICY = "6f0a3c1e-0000-4000-8000-000000000001", "6f0a3c1e-0000-4000-8000-000000000002"
APP_ID, APP_OBJECT = "6f0a3c1e-0000-4000-8000-000000000003", "6f0a3c1e-0000-4000-8000-000000000004"
NEWSLETTER = {"displayName": "Newsletter", "appId": APP_ID, "objectId": APP_OBJECT}
ROLES_OF, SMTP_ROLE = "application_role_assignments", f"SMTP.SendAsApp {APP_ID}"
FINANCE = {"scope": {"existing": "finance"}, "mailboxes": ["fax@contoso.com"]}
SENDERS_ID = "6f0a3c1e-0000-4000-8000-000000000005"
APPLICATIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "service_principals": {APP_ID: {"display_name": "ERP"}},
            "mailbox_permissions": {APP_ID: ["erp@contoso.com"]},
            ROLES_OF: {APP_ID: {"SMTP.SendAsApp": ["erp@contoso.com"], "Mail.Send": FINANCE}},
        },
        {
            "ERP": ["erp"],
            "Mail.Send": "Finance",
            "SMTP.SendAsApp": SMTP_ROLE,
            SMTP_ROLE: "EmailAddresses -eq 'erp@contoso.com'",
        },
    ),
    (
        {
            "service_principals": {APP_ID.upper(): {"display_name": "Billing"}},
            "mailbox_permissions": {APP_ID: ["ERP-old@contoso.com", "shared@contoso.com"]},
            ROLES_OF: {APP_ID.upper(): {"SMTP.SendAsApp": ["scanner@contoso.com", "erp-old@contoso.com"]}},
        },
        {
            "Billing": ["erp", "shared"],
            SMTP_ROLE: "EmailAddresses -eq 'erp-old@contoso.com' -or EmailAddresses -eq 'scanner@contoso.com'",
        },
    ),
    (
        {
            ROLES_OF: {
                APP_ID: {
                    "SMTP.SendAsApp": {"scope": {"group": "senders@contoso.com"}, "mailboxes": ["erp@contoso.com"]}
                }
            }
        },
        {"Mail.Send": "Finance", "SMTP.SendAsApp": SMTP_ROLE},
    ),
    (
        {
            "absent": [
                f"application_role_assignment/{APP_ID} SMTP.SendAsApp",
                f"application_role_assignment/{APP_ID} Mail.Send",
                *(f"mailbox_permission/{APP_ID} on {name}@contoso.com" for name in ("erp", "shared")),
                f"service_principal/{APP_ID}",
            ]
        },
        {"Billing": None, "Mail.Send": None, "SMTP.SendAsApp": None, SMTP_ROLE: None},
    ),
]


def test_applications_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    group = {"Name": "Senders", "PrimarySmtpAddress": "senders@contoso.com", "ExternalDirectoryObjectId": SENDERS_ID}
    finance = {"Name": "Finance", "RecipientFilter": "Name -eq 'fax'"}
    seed = {
        "sandbox": 1,
        "apps": [NEWSLETTER],
        "objects": {"DistributionGroup": [group], "ManagementScope": [finance]},
        "graph": {"users": [{"userPrincipalName": "erp@contoso.com", "memberOf": [SENDERS_ID]}]},
    }
    tenant.control("POST", "/load", seed)
    for sections, expected in APPLICATIONS:
        session.converge(plan_of(sections))
        live = _applications_of(tenant)
        assert {key: live.get(key) for key in expected} == expected, sections
    assert [row["Name"] for row in tenant.rows("ManagementScope")] == ["Finance"]
    assert _row(tenant, "Finance", "ManagementScope")["RecipientFilter"] == finance["RecipientFilter"]


def _applications_of(tenant: LocalTenant) -> dict[str, Any]:
    """Mailboxes that each application may open, the scope of each role, the filter of each scope."""
    rights = sorted(r["Identity"] for r in tenant.rows("MailboxPermission") if "FullAccess" in str(r["AccessRights"]))
    live: dict[str, Any] = {row["DisplayName"]: rights for row in tenant.rows("ServicePrincipal")}
    for row in tenant.rows("ManagementRoleAssignment"):
        live[row["Role"].removeprefix("Application ")] = row["CustomResourceScope"]
    return live | {row["Name"]: row["RecipientFilter"] for row in tenant.rows("ManagementScope")}


HVE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {
            "display_name": "News",
            "reply_to": "erp@contoso.com",
            "applications": [HVE_APP],
            "billing_policy": HVE_POLICY,
        },
        {"ReplyTo": "erp@contoso.com", "AllowedApps": [HVE_APP], "BillingPolicyId": HVE_POLICY},
    ),
    (
        {"reply_to": "Fax@contoso.com", "applications": [HVE_POLICY, HVE_APP.upper()]},
        {"ReplyTo": "fax@contoso.com", "AllowedApps": [HVE_APP, HVE_POLICY], "BillingPolicyId": HVE_POLICY},
    ),
    ({"applications": ["newsletter", HVE_APP]}, {"AllowedApps": [HVE_APP, APP_OBJECT]}),
    ({"applications": [APP_ID.upper(), "Newsletter"]}, {"AllowedApps": [APP_OBJECT]}),
    ({"display_name": "Our news", "reply_to": "", "applications": []}, {"ReplyTo": "", "AllowedApps": []}),
]


def test_an_hve_account_converges_and_its_password_is_of_use_once(
    tenant: LocalTenant, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HVE_PASSWORD", "Secret-of-the-account-1")
    tenant.control("POST", "/load", {"sandbox": 1, "apps": [NEWSLETTER], "objects": {
        "BillingPolicy": [{"Id": HVE_POLICY, "Name": "Mail"}]}})  # fmt: skip
    for body, expected in HVE:
        session.converge(plan_of({"hve_accounts": {"news@contoso.com": {"password": "env:HVE_PASSWORD", **body}}}))
        (row,) = tenant.rows("HVEAccountSettings")
        assert {
            **expected,
            **{n: sorted(v) if isinstance(v, list) else v for n, v in row.items() if n in expected},
        } == expected
        monkeypatch.delenv("HVE_PASSWORD", raising=False)  # only the creation reads it
    assert [r["DisplayName"] for r in tenant.rows("MailUser")] == ["Our news"]
    gone = session.converge(plan_of({"absent": ["hve_account/news@contoso.com"]}))
    assert {c.action.value for c in gone.pending} == {"delete"}
    assert tenant.rows("HVEAccountSettings") == tenant.rows("MailUser") == []
    kept = [p for p in session.folder.rglob("*") if p.is_file() and b"Secret-of-the-account-1" in p.read_bytes()]
    assert kept == []


def test_reject_direct_send_converges_and_is_left_alone_where_it_is_not_written(
    tenant: LocalTenant, session: Session
) -> None:
    states: list[tuple[dict[str, Any], bool]] = [
        ({"reject_direct_send": True}, True),
        ({}, True),
        ({"reject_direct_send": False}, False),
        ({"reject_direct_send": True}, True),
        ({"reject_direct_send": False}, False),
    ]
    for section, expected in states:
        session.converge(plan_of({"organization": section}))
        assert tenant.rows("OrganizationConfig")[0]["RejectDirectSend"] is expected, section


OUTBOUND_SPAM = "HostedOutboundSpamFilterPolicy"
SETTINGS: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]] = [
    (
        {
            "organization": {"reject_direct_send": True, "send_from_alias_enabled": True},
            "transport_config": {"allow_legacy_tls_clients": "enabled", "message_expiration": "12h"},
            "outbound_spam_policies": {"default": {"auto_forwarding_mode": "off", "recipient_limit_per_day": 500}},
        },
        {
            "OrganizationConfig": {"RejectDirectSend": True, "SendFromAliasEnabled": True},
            "TransportConfig": {"AllowLegacyTLSClients": True, "MessageExpiration": "12:00:00"},
            OUTBOUND_SPAM: {"AutoForwardingMode": "Off", "RecipientLimitPerDay": 500},
        },
    ),
    (
        {
            "organization": {"send_from_alias_enabled": False},
            "transport_config": {
                "allow_legacy_tls_clients": "disabled",
                "external_postmaster_address": "Postmaster@contoso.com",
                "external_delay_dsn_enabled": False,
            },
            "outbound_spam_policies": {"Default": {"action_when_threshold_reached": "alert"}},
        },
        {
            "OrganizationConfig": {"RejectDirectSend": True, "SendFromAliasEnabled": False},
            "TransportConfig": {
                "AllowLegacyTLSClients": False,
                "MessageExpiration": "12:00:00",
                "ExternalPostmasterAddress": "postmaster@contoso.com",
                "ExternalDelayDsnEnabled": False,
            },
            OUTBOUND_SPAM: {"ActionWhenThresholdReached": "Alert", "RecipientLimitPerDay": 500},
        },
    ),
    (
        {
            "transport_config": {
                "allow_legacy_tls_clients": "default",
                "message_expiration": "24:00",
                "external_postmaster_address": "",
            },
            "outbound_spam_policies": {"Default": {"recipient_limit_per_day": 0, "auto_forwarding_mode": "on"}},
        },
        {
            "TransportConfig": {
                "AllowLegacyTLSClients": None,
                "MessageExpiration": "1.00:00:00",
                "ExternalPostmasterAddress": None,
            },
            OUTBOUND_SPAM: {"RecipientLimitPerDay": 0, "AutoForwardingMode": "On"},
        },
    ),
]


def test_settings_of_the_tenant_converge_through_every_state(tenant: LocalTenant, session: Session) -> None:
    for sections, expected in SETTINGS:
        session.converge(plan_of(sections))
        live = {noun: tenant.rows(noun)[0] for noun in expected}
        assert {noun: {n: live[noun][n] for n in columns} for noun, columns in expected.items()} == expected


MAILBOXES: list[tuple[dict[str, Any], str]] = [
    ({"erp@contoso.com": {}}, ""),
    ({"ERP@contoso.com": {"enabled": True, "licensed": True}}, ""),
    ({f"m{i:05d}@contoso.com": {"licensed": True} for i in range(1, 9)}, ""),
    ({"erp-old@contoso.com": {}, **{f"m{i:05d}@contoso.com": {} for i in range(1, 9)}}, ""),
    ({"nobody@contoso.com": {}}, "does not have it"),
    ({"o'brien@contoso.com": {}}, "does not have it"),
    ({"shared@contoso.com": {"enabled": True}}, "enabled is false"),
    ({"shared@contoso.com": {"licensed": True}}, "licensed is false"),
]


@pytest.mark.parametrize(("section", "problem"), MAILBOXES)
def test_mailboxes_are_checked_and_never_changed(session: Session, section: dict[str, Any], problem: str) -> None:
    found = session.plan(plan_of({"mailboxes": section}))
    assert not found.errored, found.unknown
    assert found.changes == ()
    problems = [p for c in found.checks for p in c.problems]
    assert (problem in problems[0]) if problem else (problems == []), problems


# --- devices ---------------------------------------------------------------------------------------------------------

HQ = {"hq": {"egress_ip_addresses": ["198.51.100.8"]}}
MFP = {
    "from": "mfp@contoso.com",
    "recipients": "anyone",
    "supports": {"tls": "1.2", "authentication": []},
    "site": "hq",
}
ERP: dict[str, Any] = {"from": "scanner@contoso.com", "mailbox": "erp@contoso.com", "recipients": "anyone"}
ERP |= {"supports": {"tls": "1.2", "authentication": ["oauth"]}}
FLEETS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"mfp": MFP}, {"site-hq": (["198.51.100.8"], True), "erp": None}),
    ({"mfp": MFP, "erp": ERP}, {"site-hq": (["198.51.100.8"], True), "erp": False}),
    (
        {"mfp": MFP, "old": {**MFP, "supports": {"tls": "none", "authentication": []}}},
        {"site-hq": (["198.51.100.8"], False), "erp": None},
    ),
    ({"erp": ERP}, {"site-hq": None, "erp": False}),
    ({}, {"site-hq": None, "erp": None}),
]


def test_devices_converge_from_the_first_to_the_last_one_that_goes(tenant: LocalTenant, session: Session) -> None:
    for devices, expected in FLEETS:
        session.converge(plan_of({"sites": HQ, "devices": devices, "smtp_auth": {"exclusive": True}}))
        rows = {r["Name"]: (r["SenderIPAddresses"], r["RequireTls"]) for r in tenant.rows("InboundConnector")}
        switch = {r["PrimarySmtpAddress"]: r[COLUMN] for r in tenant.rows("CASMailbox")}
        assert {"site-hq": rows.get("site-hq"), "erp": switch["erp@contoso.com"]} == expected, devices
    assert [(r["Identity"], r["Trustee"]) for r in tenant.rows("RecipientPermission")] == [
        ("scanner", "erp@contoso.com")
    ]
    session.converge(plan_of({"absent": ["send_as/erp@contoso.com as scanner@contoso.com"]}))


def test_mail_over_ipv6_is_told_until_the_domain_takes_none(tenant: LocalTenant, session: Session) -> None:
    text = plan_of({"sites": HQ, "devices": {"mfp": MFP}})

    def told() -> list[str]:
        return [f.summary.partition(" ")[0] for f in session.plan(text).findings if f.rule == "CONNECTOR-IPV6"]

    assert told() == ["contoso.com"]
    tenant.cmdlet("Disable-IPv6ForAcceptedDomain", Domain="contoso.com")
    assert told() == ["contoso.com"], "the status is cached for up to an hour"
    tenant.clock.advance(3600)
    assert told() == []


def test_a_change_tells_the_device_that_it_is_for(session: Session) -> None:
    found = session.plan(plan_of({"sites": HQ, "devices": {"mfp": MFP, "mfp2": MFP}}))
    (change,) = found.pending
    assert "for device/mfp, which sends by smtp_relay: it has fixed IP addresses" in change.reason
    assert change.reason.endswith("; and for 1 more")


def test_the_switch_that_keeps_a_device_from_signing_in_is_named_from_the_live_tenant(
    tenant: LocalTenant, session: Session
) -> None:
    basic = {**ERP, "supports": {"tls": "1.2", "authentication": ["basic"]}, "from": "erp@contoso.com"}
    text = plan_of({"devices": {"erp": basic}})

    def blocked() -> list[str]:
        found = session.plan(text)
        assert not [f.summary for f in found.findings if f.rule == "SMTP-AUTH-UNKNOWN"]
        return [f.summary for f in found.findings if f.rule == "SMTP-AUTH-BLOCKED"]

    assert blocked() == []
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy="Block Basic")
    tenant.clock.advance(LAG_S)
    assert blocked() == [
        'device/erp cannot sign in: the authentication policy "Block Basic" lets no password in for SMTP '
        "(AllowBasicAuthSmtp)"
    ]
    tenant.cmdlet("Set-User", Identity="erp@contoso.com", AuthenticationPolicy=None)
    tenant.clock.advance(LAG_S)
    assert blocked() == []


# --- states that nobody thought of -----------------------------------------------------------------------------------

ADDRESSES = ["192.0.2.1", "192.0.2.1/32", "192.0.2.0/24", "198.51.100.9/29", "203.0.113.255", "203.0.113.64/26"]
CONNECTORS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["on_premises", "partner"]),
        "enabled": st.booleans(),
        "sender_ip_addresses": st.lists(st.sampled_from(ADDRESSES), max_size=4),
        "sender_domains": st.lists(
            st.sampled_from(["contoso.com", "*.X.example", "smtp:y.example;1"]), min_size=1, max_size=3
        ),
        "require_tls": st.booleans(),
        "tls_sender_certificate_name": st.sampled_from(["", "contoso.com", "*.contoso.com"]),
        "ef_skip_last_ip": st.booleans(),
        "associated_accepted_domains": st.lists(st.sampled_from(["contoso.com", "Fabrikam.com"]), max_size=2),
        "comment": st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=30),
    },
)
PLANS = st.fixed_dictionaries(
    {
        "smtp_auth": st.fixed_dictionaries(
            {"exclusive": st.booleans()},
            optional={
                "organization": st.sampled_from(["enabled", "disabled"]),
                "mailboxes": st.dictionaries(
                    st.sampled_from([f"m{i:05d}@contoso.com" for i in range(1, 12)]),
                    st.sampled_from(["enabled", "disabled", "inherit"]),
                    max_size=8,
                ),
            },
        ),
        "inbound_connectors": st.dictionaries(st.sampled_from(["a", "B", "c d", "ü"]), CONNECTORS, max_size=3),
    }
)


@settings(
    max_examples=settings().max_examples // 10,  # each is planned, applied and planned again
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(sections=PLANS)
def test_whatever_is_desired_the_second_plan_is_empty(session: Session, sections: dict[str, Any]) -> None:
    session.converge(plan_of(sections))
