"""Configurations that people write for such tenants, as plans: what the field expects of them is what happens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from provisioner.model import ChangeSet
from tests.local_tenant import LocalTenant, Session, connected, sandbox
from tests.recordings import load, recordings

pytestmark = pytest.mark.part(0.5)

SEED: dict[str, Any] = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {
        "AcceptedDomain": [{"DomainName": d} for d in ("contoso.com", "tailspintoys.com", "example.com")],
        "DkimSigningConfig": [
            {
                "Domain": "contoso.onmicrosoft.com",
                "Enabled": True,
                "Status": "Valid",
                "Selector1KeySize": 2048,
                "Selector2KeySize": 2048,
            }
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": True}],
    },
    "mailboxes": ["support@example.com", "alerts@example.com", "scanner01@example.com"],
}
TYPES = {"OnPremises": "on_premises", "Partner": "partner"}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("configurations")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml") as running:
        yield running


@pytest.fixture(scope="module")
def session(tenant: LocalTenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with connected(tenant.profile(), tmp_path_factory.mktemp("plans"), tenant.clock) as opened:
        yield opened


@pytest.fixture(params=recordings("configurations.json"))
def titles(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The configurations of one file, by their titles."""
    return {case["title"]: case["original"] for case in load(request.param)}


def connector(original: dict[str, Any]) -> dict[str, Any]:
    """A connector of DSC or PowerShell as the plan says it."""
    names = {
        "Enabled": "enabled",
        "RequireTls": "require_tls",
        "TlsSenderCertificateName": "tls_sender_certificate_name",
        "RestrictDomainsToIPAddresses": "restrict_domains_to_ip_addresses",
        "CloudServicesMailEnabled": "cloud_services_mail_enabled",
        "TreatMessagesAsInternal": "treat_messages_as_internal",
        "Comment": "comment",
    }
    fields = {plain: original[name] for name, plain in names.items() if name in original}
    for name, plain in (("SenderDomains", "sender_domains"), ("SenderIPAddresses", "sender_ip_addresses")):
        if name in original:
            fields[plain] = original[name] if isinstance(original[name], list) else [original[name]]
    if "ConnectorType" in original:
        fields["type"] = TYPES[original["ConnectorType"]]
    return fields


def text(**sections: Any) -> str:
    return yaml.safe_dump({"provisioner": 1, "tenant": "contoso.onmicrosoft.com", **sections})


def found(changes: ChangeSet) -> set[str]:
    return {f.rule for f in changes.findings}


def actions(changes: ChangeSet) -> dict[str, str]:
    return {c.address.key: c.action.value for c in changes.pending}


def test_a_partner_by_certificate_is_created_switched_off_and_removed(session: Session, titles: dict[str, Any]) -> None:
    original = titles["partner connector by certificate"]["EXOInboundConnector"]
    name = original["Identity"]
    first = session.converge(text(inbound_connectors={name: connector(original)}))
    assert actions(first) == {name: "create"}
    assert "CERTIFICATE-UNUSED" in found(first)
    off = titles["the same connector switched off"]["EXOInboundConnector"]
    second = session.converge(text(inbound_connectors={name: connector(off)}))
    assert [c.after.enabled for c in second.pending if c.after] == [False]
    assert actions(session.converge(text(absent=[f"inbound_connector/{name}"]))) == {name: "delete"}
    assert actions(session.converge(text(absent=[f"inbound_connector/{name}"]))) == {}


def test_several_connectors_in_one_plan_with_one_of_them_absent(session: Session, titles: dict[str, Any]) -> None:
    items = titles["connectors as a list, one of them absent"]["Items"]
    present = {i["Identity"]: connector(i) for i in items if i["Ensure"] == "Present"}
    absent = [f"inbound_connector/{i['Identity']}" for i in items if i["Ensure"] == "Absent"]
    session.converge(text(inbound_connectors={items[2]["Identity"]: {"sender_domains": ["gone.example"]}}))
    changes = session.converge(text(inbound_connectors=present, absent=absent))
    assert sorted(actions(changes).values()) == ["create", "create", "delete"]
    both = {name: {**fields, "enabled": True} for name, fields in present.items()}
    assert "CONNECTOR-SAME-SCOPE" in found(session.plan(text(inbound_connectors=both)))


def test_a_mail_hub_prepared_but_off_is_written_in_the_stored_form(
    session: Session, tenant: LocalTenant, titles: dict[str, Any]
) -> None:
    item = titles["mail hub by static IP, prepared but off"]["Items"][0]
    session.converge(text(inbound_connectors={item["Identity"]: connector(item)}))
    row = next(r for r in tenant.rows("InboundConnector") if r["Name"] == item["Identity"])
    assert (row["SenderDomains"], row["Enabled"]) == (["smtp:*;1"], False)


def test_dkim_of_the_initial_domain_with_the_smallest_key(session: Session, titles: dict[str, Any]) -> None:
    original = titles["DKIM with the smallest key"]["EXODkimSigningConfig"]
    fields = {"enabled": original["Enabled"], "key_size": original["KeySize"]}
    changes = session.converge(text(dkim={"contoso.onmicrosoft.com": fields}))
    assert actions(changes) == {}
    assert {"CREATE-ONLY", "DKIM-KEY-1024"} <= found(changes)


def test_the_organization_is_off_already_and_one_sender_is_let_in(
    session: Session, tenant: LocalTenant, titles: dict[str, Any]
) -> None:
    off = titles["organisation: SMTP AUTH off"]["EXOTransportConfig"]["SmtpClientAuthenticationDisabled"]
    assert off is True
    address = titles["SMTP AUTH for one sender"]["Set-CASMailbox"]["Identity"]
    changes = session.converge(text(smtp_auth={"organization": "disabled", "mailboxes": {address: "enabled"}}))
    assert actions(changes) == {address: "update"}
    assert tenant.rows("TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is True


def test_a_list_of_users_with_an_unknown_one_is_one_error_and_the_others_are_planned(
    session: Session, titles: dict[str, Any]
) -> None:
    users = [row["UserPrincipalName"] for row in titles["SMTP AUTH from a CSV of users"]["csv"]]
    changes = session.plan(text(smtp_auth={"mailboxes": dict.fromkeys(users, "enabled")}))
    missing = [user for user in users if user not in SEED["mailboxes"]]
    assert [f.address.key for f in changes.findings if f.rule == "RESOURCE-MISSING" and f.address] == missing
    assert len(missing) == 1
    assert actions(changes) == {"scanner01@example.com": "update"}


def test_a_relay_by_a_private_subnet_cannot_be_right(session: Session, titles: dict[str, Any]) -> None:
    original = titles["relay by a subnet"]["New-InboundConnector"]
    changes = session.plan(text(inbound_connectors={original["Name"]: connector(original)}), allows=())
    assert {f.rule for f in changes.findings if f.blocks} == {"IP-PRIVATE", "PARTNER-RESTRICTS"}
    (finding,) = [f for f in changes.findings if f.rule == "IP-PRIVATE"]
    assert str(ipaddress.ip_network(original["SenderIPAddresses"], strict=False)) in finding.summary


def test_a_phishing_exercise_is_warned_about(session: Session, titles: dict[str, Any]) -> None:
    original = titles["phishing exercise vendor"]["New-InboundConnector"]
    fields = {k: v for k, v in connector(original).items() if k != "restrict_domains_to_ip_addresses"}
    assert "TREAT-AS-INTERNAL" in found(session.plan(text(inbound_connectors={"vendor": fields})))


def test_dkim_for_every_custom_domain_is_prepared_first(session: Session) -> None:
    domains = ("contoso.com", "tailspintoys.com", "example.com")
    outcome = session.apply(session.plan(text(dkim={d: {"enabled": True} for d in domains})))
    assert {r.status for r in outcome.results} == {"waiting"}
    assert all("selector1._domainkey" in r.detail for r in outcome.results)
