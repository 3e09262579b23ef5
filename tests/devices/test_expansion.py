"""What devices take: which resources, merged with whose, and what contradicts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.devices import egress
from provisioner.diagnostics import InputError
from provisioner.model import Address, Desired
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.send_as import pair_of
from provisioner.resources.smtp_auth import SmtpAuth
from tests.devices.test_sections import load

OAUTH = {"from": "erp@contoso.com", "recipients": "anyone", "supports": {"tls": "1.2", "authentication": ["oauth"]}}
RELAY = {"from": "mfp@contoso.com", "recipients": "anyone", "supports": {"tls": "1.2", "authentication": []}}
OLD = {**RELAY, "supports": {"tls": "none", "authentication": []}}
SITES = {"hq": {"egress_ip_addresses": ["198.51.100.8", "198.51.100.9"]}, "lab": {"egress_ip_addresses": ["192.0.2.1"]}}
DOMAIN = {"domain/contoso.com": Domain("contoso.com", True, True)}


def desired(tmp_path: Path, **sections: Any) -> Desired:
    return load(tmp_path, yaml.safe_dump(json.loads(json.dumps(sections))))  # no aliases for what stands twice


def specs(found: Desired) -> dict[str, Any]:
    return {address.short: resource.spec for address, resource in found.resources.items()}


def connector(name: str, *addresses: str, **rest: Any) -> InboundConnector:
    values: dict[str, Any] = {
        "type": "on_premises",
        "enabled": True,
        "sender_ip_addresses": frozenset(addresses) or None,
        "sender_domains": frozenset({"*"}),
        "require_tls": True,
        "owner": "us",
        "owner_key": name,
    }
    return InboundConnector(name, **{**values, **rest})


HQ = connector("site-hq", "198.51.100.8/32", "198.51.100.9/32", comment="Devices at hq")


def test_a_sign_in_takes_the_switch_the_user_and_the_domain(tmp_path: Path) -> None:
    assert specs(desired(tmp_path, devices={"erp": OAUTH})) == {
        **DOMAIN,
        "smtp_auth/erp@contoso.com": SmtpAuth("erp@contoso.com", "enabled"),
        "mailbox/erp@contoso.com": Mailbox("erp@contoso.com", True, True),
    }


@pytest.mark.parametrize(("first", "second"), [("application", "user"), ("user", "application"), (None, "application")])
def test_an_application_needs_no_account_that_may_sign_in_and_a_person_does(
    tmp_path: Path, first: str | None, second: str
) -> None:
    """Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth"."""
    erp = Address("mailbox", "erp@contoso.com")
    alone = desired(tmp_path, devices={"a": {**OAUTH, "oauth": {"sign_in": "application"}}})
    assert alone.resources[erp].spec == Mailbox("erp@contoso.com", None, None)
    other = {**OAUTH, **({"oauth": {"sign_in": first}} if first else {})}
    both = desired(tmp_path, devices={"a": other, "b": {**OAUTH, "oauth": {"sign_in": second}}})
    assert both.resources[erp].spec == Mailbox("erp@contoso.com", True, True)


def test_another_from_address_takes_send_as(tmp_path: Path) -> None:
    found = desired(tmp_path, devices={"erp": {**OAUTH, "from": "bills@fabrikam.com", "mailbox": "erp@contoso.com"}})
    right = pair_of("erp@contoso.com", "bills@fabrikam.com")
    assert specs(found)[f"send_as/{right.pair}"] == right
    assert {a.key for a in found.resources if a.type == "domain"} == {"fabrikam.com"}


def test_devices_of_a_site_share_one_connector(tmp_path: Path) -> None:
    found = desired(tmp_path, sites=SITES, devices={n: {**RELAY, "site": "hq"} for n in ("a", "b")})
    assert specs(found) == {**DOMAIN, "inbound_connector/site-hq": HQ}
    resource = found.resources[Address("inbound_connector", "site-hq")]
    assert resource.devices == ("a", "b")
    assert resource.location == found.devices["a"].location


def test_one_device_without_tls_makes_tls_optional_for_its_site_only(tmp_path: Path) -> None:
    devices = {"a": {**RELAY, "site": "hq"}, "b": {**OLD, "site": "hq"}, "c": {**RELAY, "site": "lab"}}
    found = specs(desired(tmp_path, sites=SITES, devices=devices))
    assert found["inbound_connector/site-hq"].require_tls is False
    assert found["inbound_connector/site-lab"].require_tls is True


def test_a_device_that_sends_direct_from_the_same_address_makes_tls_optional_too(tmp_path: Path) -> None:
    """Exchange attributes its mail to the connector, which names an address and not a device."""
    badge = {**OLD, "recipients": "organization", "method": "direct_send", "site": "hq"}
    found = specs(desired(tmp_path, sites=SITES, devices={"a": {**RELAY, "site": "hq"}, "badge": badge}))
    assert found["inbound_connector/site-hq"].require_tls is False
    elsewhere = {"a": {**RELAY, "site": "hq"}, "badge": {**badge, "site": "lab"}}
    assert specs(desired(tmp_path, sites=SITES, devices=elsewhere))["inbound_connector/site-hq"].require_tls is True


@pytest.mark.parametrize(
    ("name", "covered"), [("*.contoso.com", True), ("scan.contoso.com", True), ("contoso.com", False)]
)
def test_a_declared_connector_that_covers_the_certificate_is_used(tmp_path: Path, name: str, covered: bool) -> None:
    servers = {"type": "on_premises", "tls_sender_certificate_name": name, "sender_domains": ["*"]}
    scan = {**RELAY, "certificate": "scan.contoso.com", "method": "smtp_relay"}
    found = desired(tmp_path, devices={"scan": scan}, inbound_connectors={"servers": servers})
    made = (
        {"inbound_connector/servers"}
        if covered
        else {"inbound_connector/servers", "inbound_connector/certificate-scan.contoso.com"}
    )
    assert {a.short for a in found.resources if a.type == "inbound_connector"} == made
    assert found.resources[Address("inbound_connector", "servers")].devices == (("scan",) if covered else ())


def test_own_addresses_and_certificates_have_connectors_of_their_own(tmp_path: Path) -> None:
    devices = {
        "a": {**RELAY, "sender_ip_addresses": ["192.0.2.5"]},
        "b": {**RELAY, "sender_ip_addresses": ["192.0.2.5/32"]},
        "c": {**RELAY, "certificate": "*.contoso.com"},
        "d": {**RELAY, "certificate": "*.contoso.com", "site": "hq"},
    }
    found = specs(desired(tmp_path, sites=SITES, devices=devices))
    certificate = "Devices with the certificate *.contoso.com"
    assert found == {
        **DOMAIN,
        "inbound_connector/device-a": connector("device-a", "192.0.2.5/32", comment="Device a"),
        "inbound_connector/certificate-any.contoso.com": connector(
            "certificate-any.contoso.com", tls_sender_certificate_name="*.contoso.com", comment=certificate
        ),
    }


def test_direct_send_takes_nothing_but_a_domain_of_ours(tmp_path: Path) -> None:
    found = desired(tmp_path, devices={"fax": {**OLD, "recipients": "organization"}})
    assert specs(found) == DOMAIN
    assert found.choices["fax"].method == "direct_send"


def test_a_declared_connector_that_covers_the_addresses_is_used(tmp_path: Path) -> None:
    wide = {"type": "on_premises", "sender_ip_addresses": ["198.51.100.0/28"]}
    found = desired(tmp_path, sites=SITES, devices={"a": {**RELAY, "site": "hq"}}, inbound_connectors={"ours": wide})
    assert {a.short for a in found.resources} == {"domain/contoso.com", "inbound_connector/ours"}
    assert found.resources[Address("inbound_connector", "ours")].devices == ("a",)


@pytest.mark.parametrize(
    "change", [{"type": "partner"}, {"enabled": False}, {"tls_sender_certificate_name": "x.contoso.com"}]
)
def test_a_connector_that_lets_nobody_relay_is_not_taken_for_one(tmp_path: Path, change: dict[str, Any]) -> None:
    wide = {"type": "on_premises", "sender_ip_addresses": ["198.51.100.0/28"], **change}
    found = desired(tmp_path, sites=SITES, devices={"a": {**RELAY, "site": "hq"}}, inbound_connectors={"ours": wide})
    assert found.resources[Address("inbound_connector", "site-hq")].spec == HQ


def test_only_the_addresses_that_no_declared_connector_covers_are_added(tmp_path: Path) -> None:
    part = {"type": "on_premises", "sender_ip_addresses": ["198.51.100.9"]}
    found = desired(tmp_path, sites=SITES, devices={"a": {**RELAY, "site": "hq"}}, inbound_connectors={"ours": part})
    assert found.resources[Address("inbound_connector", "site-hq")].spec.sender_ip_addresses == {"198.51.100.8/32"}
    assert found.resources[Address("inbound_connector", "ours")].devices == ("a",)


def test_what_the_plan_says_already_is_kept_and_completed(tmp_path: Path) -> None:
    found = desired(
        tmp_path,
        devices={"erp": OAUTH},
        domains={"contoso.com": {"type": "internal_relay"}},
        mailboxes={"erp@contoso.com": {}},
        smtp_auth={"organization": "enabled", "mailboxes": {"erp@contoso.com": "inherit"}},
    )
    assert specs(found)["domain/contoso.com"] == Domain("contoso.com", True, True, "internal_relay")
    assert specs(found)["mailbox/erp@contoso.com"] == Mailbox("erp@contoso.com", True, True)
    assert specs(found)["smtp_auth/erp@contoso.com"] == SmtpAuth("erp@contoso.com", "inherit")


@pytest.mark.parametrize(
    ("sections", "words", "line"),
    [
        ({"devices": {"erp": OAUTH}, "smtp_auth": {"mailboxes": {"erp@contoso.com": "disabled"}}}, "to be disabled", 9),
        ({"devices": {"erp": OAUTH}, "smtp_auth": {"mailboxes": {"erp@contoso.com": "inherit"}}}, "to be inherit", 9),
        (
            {"devices": {"a": {**RELAY, "site": "hq"}}, "sites": SITES, "inbound_connectors": {"Site-HQ": {}}},
            "another of that name",
            9,
        ),
        (
            {
                "devices": {"a": {**OLD, "site": "hq"}},
                "sites": SITES,
                "inbound_connectors": {
                    "o": {"type": "on_premises", "sender_ip_addresses": ["198.51.100.0/24"], "require_tls": True}
                },
            },
            "does not support TLS",
            9,
        ),
    ],
)
def test_a_contradiction_names_both_places(tmp_path: Path, sections: dict[str, Any], words: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        desired(tmp_path, **sections)
    (found,) = caught.value.diagnostics
    assert found.id == "DEVICE-CONFLICT"
    assert words in found.summary
    assert found.location is not None
    assert [at for at, _ in found.related]
    assert found.related[0][0].line != found.location.line


def test_an_ownerless_plan_is_warned_that_connectors_stay(tmp_path: Path) -> None:
    from provisioner.plan import document
    from provisioner.resources import TYPES
    from tests.devices.test_way import TODAY

    sections = {"sites": SITES, "devices": {"a": {**RELAY, "site": "hq"}}}
    header = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com"}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**header, **sections}))
    _, warnings = document.load(tmp_path, TYPES, today=TODAY)
    assert [w.id for w in warnings] == ["DEVICE-OWNERLESS"]


def test_spf_must_let_through_what_sends_without_signing_in(tmp_path: Path) -> None:
    devices = {
        "a": {**RELAY, "site": "hq"},
        "b": {**RELAY, "from": "b@fabrikam.com", "sender_ip_addresses": ["192.0.2.7"]},
        "c": {**OLD, "recipients": "organization", "sender_ip_addresses": ["192.0.2.8"], "method": "direct_send"},
        "d": OAUTH,
    }
    assert egress(desired(tmp_path, sites=SITES, devices=devices)) == {
        "contoso.com": {"198.51.100.8/32", "198.51.100.9/32", "192.0.2.8/32"},
        "fabrikam.com": {"192.0.2.7/32"},
    }


def test_every_name_that_a_device_sends_in_takes_its_domain_and_its_right(tmp_path: Path) -> None:
    several = {**OAUTH, "from": ["erp@contoso.com", "hr@fabrikam.com", "bills@contoso.com"]}
    found = specs(desired(tmp_path, devices={"erp": several}))
    assert {k for k in found if k.startswith(("send_as", "domain"))} == {
        "domain/contoso.com",
        "domain/fabrikam.com",
        "send_as/erp@contoso.com as hr@fabrikam.com",
        "send_as/erp@contoso.com as bills@contoso.com",
    }


def test_a_server_that_relays_for_many_is_let_in_for_each_of_its_domains(tmp_path: Path) -> None:
    server = {**RELAY, "site": "hq", "from": ["*@contoso.com", "*@fabrikam.com"]}
    found = desired(tmp_path, sites=SITES, devices={"hub": server})
    assert specs(found).keys() == {"domain/contoso.com", "domain/fabrikam.com", "inbound_connector/site-hq"}
    networks = frozenset({"198.51.100.8/32", "198.51.100.9/32"})
    assert egress(found) == {"contoso.com": networks, "fabrikam.com": networks}
