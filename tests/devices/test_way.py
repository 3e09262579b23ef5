"""What a device has to be set to."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from provisioner.devices import Way, way
from provisioner.diagnostics import InputError
from provisioner.model.clouds import CLOUDS, cloud_of_mail
from tests.devices.test_sections import load

TODAY = dt.date(2026, 11, 23)
FLEET = """
allow: [{ rule: DEVICE-NO-METHOD, reason: a test }]
sites:
  hq: { egress_ip_addresses: [203.0.113.11, 203.0.113.10] }
  cloud: { egress_ip_addresses: [198.51.100.0/28], shared: true, ports: [587] }
devices:
  scanner:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [basic] }
  erp:
    site: cloud
    from: invoices@contoso.com
    mailbox: erp@contoso.com
    recipients: anyone
    supports: { tls: "1.3", authentication: [basic, oauth] }
  labeler:
    site: hq
    from: labels@contoso.com
    recipients: anyone
    supports: { tls: "1.0", authentication: [] }
  fax:
    from: fax@contoso.com
    recipients: organization
    supports: { tls: none, authentication: [], ports: [25] }
  camera:
    from: camera@contoso.com
    recipients: anyone
    supports: { tls: none, authentication: [] }
"""


def test_a_relay_speaks_to_the_mx_from_the_addresses_of_its_site(tmp_path: Path) -> None:
    found = way("scanner", load(tmp_path, FLEET), CLOUDS["worldwide"])
    addresses = ("203.0.113.10/32", "203.0.113.11/32")
    assert found == Way("smtp_relay", None, 25, True, "none", "", "scanner@contoso.com", addresses, "1.2")
    assert found.domain == "contoso.com"


def test_client_submission_signs_in_as_the_mailbox(tmp_path: Path) -> None:
    found = way("erp", load(tmp_path, FLEET), CLOUDS["worldwide"])
    assert (found.host, found.port, found.starttls) == ("smtp.office365.com", 587, True)
    assert (found.authentication, found.user, found.sender) == ("oauth", "erp@contoso.com", "invoices@contoso.com")


def test_a_device_with_an_old_tls_does_not_start_it(tmp_path: Path) -> None:
    assert way("labeler", load(tmp_path, FLEET), CLOUDS["worldwide"]).starttls is False


@pytest.mark.parametrize(
    ("chosen", "tenant", "host"),
    [
        ("worldwide", "contoso.onmicrosoft.com", "smtp.office365.com"),
        ("gcc", "contoso.onmicrosoft.com", "smtp.office365.com"),
        ("gcc_high", "contoso.onmicrosoft.us", "smtp.office365.us"),
        ("worldwide", "contoso.onmicrosoft.us", "smtp.office365.us"),
        ("dod", "contoso.onmicrosoft.us", "smtp.office365.us"),
        ("gcc_high", "contoso.us", "smtp.office365.us"),
        ("worldwide", "contoso.partner.onmschina.cn", "smtp.partner.outlook.cn"),
        ("worldwide", "contoso.us", "smtp.office365.com"),
    ],
)
def test_client_submission_goes_to_the_host_of_the_cloud(tmp_path: Path, chosen: str, tenant: str, host: str) -> None:
    assert way("erp", load(tmp_path, FLEET), cloud_of_mail(chosen, tenant)).host == host


OLD = """
transport_config: { allow_legacy_tls_clients: enabled }
devices:
  old: { from: old@contoso.com, recipients: anyone, supports: { tls: "1.1", authentication: [basic] } }
"""


@pytest.mark.parametrize(
    ("cloud", "host"),
    [("worldwide", "smtp-legacy.office365.com"), ("china", "smtp-legacy.partner.outlook.cn"), ("gcc", "")],
)
def test_an_old_tls_goes_to_the_host_for_it(tmp_path: Path, cloud: str, host: str) -> None:
    found = way("old", load(tmp_path, OLD), CLOUDS[cloud])
    assert (found.host, found.port, found.starttls, found.tls, found.legacy_tls) == (host, 587, True, "1.1", True)
    assert found.not_offered == "client submission over TLS 1.1 is not offered in the cloud of this tenant"


@pytest.mark.parametrize("setting", ["disabled", "default"])
def test_a_setting_that_a_device_depends_on_cannot_be_switched_off(tmp_path: Path, setting: str) -> None:
    plan = OLD.replace("enabled", setting)
    with pytest.raises(InputError, match="allow_legacy_tls_clients: enabled } would allow it"):
        way("old", load(tmp_path, plan), CLOUDS["worldwide"])


def test_the_tenant_of_a_government_cloud_has_no_such_host(tmp_path: Path) -> None:
    desired = dataclasses.replace(load(tmp_path, OLD), tenant="contoso.onmicrosoft.us")
    with pytest.raises(InputError, match="no sending method works") as caught:
        way("old", desired, CLOUDS["gcc_high"])
    assert "allow_legacy_tls_clients" not in str(caught.value)


def test_direct_send_of_a_device_without_tls_is_in_clear(tmp_path: Path) -> None:
    found = way("fax", load(tmp_path, FLEET), CLOUDS["worldwide"])
    assert (found.method, found.port, found.starttls, found.source_addresses) == ("direct_send", 25, False, ())


def test_a_device_that_nothing_will_do_for_is_refused_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sending method works") as caught:
        way("camera", load(tmp_path, FLEET), CLOUDS["worldwide"])
    assert caught.value.diagnostics[0].location is not None
    assert "fixed public IP address" in caught.value.diagnostics[0].hint


def test_an_unknown_device_is_told_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        way("scaner", load(tmp_path, FLEET), CLOUDS["worldwide"])
    assert caught.value.diagnostics[0].hint == 'did you mean "scanner"?'


def test_who_sends_as_any_is_tried_with_an_address_that_every_domain_has(tmp_path: Path) -> None:
    desired = load(tmp_path, FLEET.replace("from: scanner@contoso.com", 'from: "*@contoso.com"'))
    assert way("scanner", desired, CLOUDS["worldwide"]).sender == "postmaster@contoso.com"
    several = load(tmp_path, FLEET.replace("from: scanner@contoso.com", 'from: ["*@contoso.com", a@fabrikam.com]'))
    assert way("scanner", several, CLOUDS["worldwide"]).sender == "a@fabrikam.com"
