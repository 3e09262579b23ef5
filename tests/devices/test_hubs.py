"""Devices that send through another one (`via`), by Microsoft Graph, or not through Exchange at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.devices import attempts, egress, sheet, way
from provisioner.diagnostics import InputError
from provisioner.model import Desired
from provisioner.model.clouds import CLOUDS
from tests.devices.test_sections import load, mistakes

HUB = """sites:
  hq: { egress_ip_addresses: [203.0.113.10] }
devices:
  hub:
    site: hq
    from: hub@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
    messages_per_day: 10
  old-scanner:
    from: scan@fabrikam.com
    recipients: anyone
    via: hub
    messages_per_day: 5
    recipients_per_message: 3
  older:
    from: older@contoso.com
    recipients: organization
    supports: { tls: none, authentication: [] }
    via: old-scanner
    messages_per_day: 2
"""
INSIDE = "hub@contoso.com\n    recipients: organization"
WORLDWIDE = CLOUDS["worldwide"]


def test_a_server_has_the_names_and_amounts_of_all_that_send_through_it(tmp_path: Path) -> None:
    desired = load(tmp_path, HUB)
    hub = desired.devices["hub"]
    assert hub.senders == ("hub@contoso.com", "scan@fabrikam.com", "older@contoso.com")
    assert (hub.messages_per_day, hub.recipients_per_message) == (17, 3)
    assert desired.devices["old-scanner"].senders == ("scan@fabrikam.com", "older@contoso.com")
    assert {a.short for a in desired.resources} == {
        "domain/contoso.com",
        "domain/fabrikam.com",
        "inbound_connector/site-hq",
    }
    assert egress(desired)["fabrikam.com"] == {"203.0.113.10/32"}


def test_a_name_that_the_server_may_send_in_anyway_is_not_added(tmp_path: Path) -> None:
    desired = load(tmp_path, HUB.replace("from: hub@contoso.com", 'from: "*@contoso.com"'))
    assert desired.devices["hub"].senders == ("*@contoso.com", "scan@fabrikam.com")


def test_the_limits_of_a_server_that_signs_in_count_for_all(tmp_path: Path) -> None:
    able = HUB.replace("authentication: [] }", "authentication: [oauth] }").replace("_day: 10", "_day: MANY")
    assert load(tmp_path, able.replace("MANY", "3000")).choices["hub"].method == "client_submission"
    together = load(tmp_path, able.replace("MANY", "3330"))
    assert together.devices["hub"].recipients_per_day == 3337 * 3
    assert together.choices["hub"].method == "smtp_relay"


def test_who_sends_through_a_server_takes_nothing_and_tries_nothing_itself(tmp_path: Path) -> None:
    desired = load(tmp_path, HUB)
    device, choice = desired.devices["old-scanner"], desired.choices["old-scanner"]
    assert (choice.method, choice.reasons) == (
        "smart_host",
        ("it hands its mail to device/hub, whose own way out counts",),
    )
    assert attempts(device, desired) == []
    shown = {s["name"]: s["value"] for s in sheet(device, desired, {}, WORLDWIDE)["settings"]}
    assert (shown["Server"], shown["From"]) == ("hub", "scan@fabrikam.com, older@contoso.com")
    with pytest.raises(InputError) as caught:
        way("old-scanner", desired, WORLDWIDE)
    assert [(d.id, d.hint) for d in caught.value.diagnostics] == [
        ("DEVICE-NOT-SMTP", "try device/hub, whose way out counts")
    ]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("via: hub", "via: hubb", [("VIA-UNKNOWN", 13)]),
        ("via: hub", "via: older", [("VIA-CIRCLE", 13), ("VIA-CIRCLE", 20)]),
        ("via: hub", "via: hub\n    method: smtp_relay", [("DEVICE-VIA-TWICE", 13)]),
        (
            "hub@contoso.com\n    recipients: anyone",
            "hub@contoso.com\n    recipients: organization",
            [("VIA-RECIPIENTS", 13)],
        ),
        ("    via: hub\n", "", [("KEY-MISSING", 10)]),
    ],
)
def test_what_cannot_be_right_in_via_is_told_at_its_place(
    tmp_path: Path, old: str, new: str, found: list[tuple[str, int]]
) -> None:
    assert old in HUB
    assert mistakes(tmp_path, HUB.replace(old, new)) == found


OTHERS = """devices:
  backup:
    from: veeam@contoso.com
    recipients: anyone
    method: graph
    oauth: { sign_in: application, client_id: 6f1c0000-0000-4000-8000-000000000001 }
  crm:
    from: sales@contoso.com
    recipients: anyone
    method: third_party
    sender_ip_addresses: [198.51.100.0/24]
"""


@pytest.fixture
def others(tmp_path: Path) -> Desired:
    return load(tmp_path, OTHERS)


def test_software_that_uses_graph_is_recorded_and_explained(others: Desired) -> None:
    """Case dev19."""
    choice = others.choices["backup"]
    assert (choice.method, choice.authentication) == ("graph", "oauth")
    assert choice.warnings == ()
    role = next(a for a in others.resources if a.type == "application_role_assignment")
    assert role.key.endswith(" Mail.Send")
    assert others.resources[role].spec.mailboxes == {"veeam@contoso.com"}
    shown = {s["name"]: s["value"] for s in sheet(others.devices["backup"], others, {}, CLOUDS["gcc_high"])["settings"]}
    assert shown["Request"] == "POST https://graph.microsoft.us/v1.0/users/veeam@contoso.com/sendMail"
    assert (shown["Scope"], shown["Client id"][:8]) == ("https://graph.microsoft.us/.default", "6f1c0000")


def test_a_service_that_sends_as_us_is_checked_in_spf_and_makes_no_connector(others: Desired) -> None:
    """Case dev06."""
    assert {a.short for a, r in others.resources.items() if "crm" in r.devices} == {"domain/contoso.com"}
    assert egress(others) == {"contoso.com": {"198.51.100.0/24"}}
    choice = others.choices["crm"]
    assert (choice.method, choice.warnings) == ("third_party", ())
    assert any("partner connector" in advice for advice in choice.advice)


def test_a_service_whose_servers_are_not_written_is_told_that_spf_is_not_checked(tmp_path: Path) -> None:
    desired = load(tmp_path, OTHERS.replace("    sender_ip_addresses: [198.51.100.0/24]\n", ""))
    assert desired.choices["crm"].warnings[0].startswith("whether SPF lets the service send is not checked")
