"""Proposed sites and devices for what a tenant lets in already."""

from __future__ import annotations

import yaml

from provisioner.model import Address
from provisioner.model.picture import Picture, Relay, SignIn
from provisioner.plan import existing, proposing

PICTURE = Picture(
    {
        Address("inbound_connector", "hq"): (Relay(networks=frozenset({"203.0.113.5/32", "203.0.113.8/30"})),),
        Address("inbound_connector", "cloud"): (Relay(certificate="mail.contoso.com"),),
        Address("smtp_auth", "organization"): (SignIn("organization", "enabled"),),
        Address("smtp_auth", "erp@contoso.com"): (SignIn("erp@contoso.com", "enabled"),),
        Address("smtp_auth", "fax@contoso.com"): (SignIn("fax@contoso.com", "disabled"),),
    },
    {},
    {},
)


def test_a_connector_that_lists_addresses_is_a_site_and_an_enabled_mailbox_a_device() -> None:
    found = existing.proposal(PICTURE, "contoso.onmicrosoft.com")
    assert [site.name for site in found.sites] == ["hq"]
    assert [device.name for device in found.devices] == ["hq-device", "erp"]
    assert found.devices[1].body == {"from": "erp@contoso.com"}


def test_sites_stand_and_devices_wait_for_answers() -> None:
    text = proposing.text(existing.proposal(PICTURE, "contoso.onmicrosoft.com"))
    assert yaml.safe_load(text) == {"sites": {"hq": {"egress_ip_addresses": ["203.0.113.5", "203.0.113.8/30"]}}}
    assert "  #   from: erp@contoso.com" in text
    assert "# ? Which device or application logs in to this mailbox?" in text
