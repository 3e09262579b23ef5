"""Sites and devices as they are written: values, defaults, and every mistake with its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from provisioner.diagnostics import InputError, Severity
from provisioner.model import Address, Desired
from provisioner.model.devices import Device, Site
from provisioner.plan import document
from provisioner.resources import TYPES

HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\nowner: us\n"
SCANNER = """
    site: hq
    from: Scanner-3F@Contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [basic] }
"""
SUBMITTER = SCANNER.replace("    site: hq\n", "")


def load(tmp_path: Path, text: str) -> Desired:
    (tmp_path / "plan.yaml").write_text(HEAD + text, encoding="utf-8")
    return document.load(tmp_path / "plan.yaml", TYPES, today=dt.date(2026, 11, 23))[0]


def mistakes(tmp_path: Path, text: str) -> list[tuple[str, int]]:
    """Ids and lines, the first line behind the header being 1."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    return [(d.id, d.location.line - 3 if d.location else 0) for d in caught.value.diagnostics]


def test_a_device_at_a_site_is_read_with_what_is_not_written_filled_in(tmp_path: Path) -> None:
    desired = load(
        tmp_path, "sites:\n  hq: { egress_ip_addresses: [203.0.113.10/28] }\ndevices:\n  scanner-3f:" + SCANNER
    )
    site, device = desired.sites["hq"], desired.devices["scanner-3f"]
    assert site.egress_ip_addresses == {"203.0.113.0/28"}
    assert (site.shared, set(site.ports)) == (False, {25, 587})
    assert (device.sender, device.mailbox) == ("scanner-3f@contoso.com", "scanner-3f@contoso.com")
    assert (device.tls, set(device.authentication), device.method) == ("1.2", {"basic"}, "auto")
    assert device.location is not None
    assert device.location.line == 7
    assert device.fields["from"].line == 9


def test_no_authentication_may_be_written_in_two_ways(tmp_path: Path) -> None:
    for word in ("[]", "[none]"):
        text = (
            SCANNER.replace("[basic]", word)
            .replace("site: hq", "method: direct_send")
            .replace("anyone", "organization")
        )
        assert load(tmp_path, "devices:\n  a:" + text).devices["a"].authentication == frozenset()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sites:\n  hq: {}\n", [("KEY-MISSING", 2)]),
        ("sites:\n  hq: { egress_ip_addresses: [] }\n", [("EGRESS-EMPTY", 2)]),
        ("sites:\n  hq: { egress_ip_addresses: ['2001:db8::1'] }\n", [("IP-VERSION-6", 2)]),
        ("sites:\n  a/b: { egress_ip_addresses: [203.0.113.1] }\n", [("DEVICE-NAME-INVALID", 2)]),
        (
            "sites:\n  hq: { egress_ip_addresses: [203.0.113.1] }\n  HQ: { egress_ip_addresses: [203.0.113.2] }\n",
            [("SITE-DUPLICATE", 3)],
        ),
        ("devices:\n  a:" + SCANNER, [("SITE-UNKNOWN", 3)]),
        ("devices:\n  a:" + SCANNER.replace("anyone", "everyone"), [("VALUE-NOT-ALLOWED", 5)]),
        ("devices:\n  a:" + SCANNER.replace('"1.2"', "1.2"), [("VALUE-NOT-ALLOWED", 6)]),
        ("devices:\n  a:" + SCANNER.replace("    from: Scanner-3F@Contoso.com\n", ""), [("KEY-MISSING", 2)]),
        ("devices:\n  a:" + SCANNER + "    methd: auto\n", [("SITE-UNKNOWN", 3), ("KEY-UNKNOWN", 7)]),
        (
            "devices:\n  a:" + SCANNER.replace("site: hq", 'mailbox: ""') + "    method: client_submission\n",
            [("DEVICE-MAILBOX-NONE", 3)],
        ),
        (
            "sites:\n  hq: { egress_ip_addresses: [203.0.113.1] }\ndevices:\n  a:"
            + SCANNER
            + "    sender_ip_addresses: [203.0.113.9]\n",
            [("DEVICE-SOURCE-TWICE", 9)],
        ),
        ("devices:\n  a:" + SUBMITTER + "    oauth: { sign_in: user }\n", [("DEVICE-OAUTH-UNSUPPORTED", 6)]),
        (
            "devices:\n  a:" + SUBMITTER + "    oauth: { client_id: erp }\n",
            [("KEY-MISSING", 6), ("CLIENT-ID-INVALID", 6)],
        ),
        ("devices:\n  a:" + SUBMITTER + "    until: next year\n", [("DATE-INVALID", 6)]),
        ("devices:\n  a:" + SUBMITTER.replace("basic", "ntlm"), [("VALUE-NOT-ALLOWED", 5)]),
        ("sites:\n  hq: { egress_ip_addresses: [203.0.113.1], ports: [465] }\n", [("VALUE-NOT-ALLOWED", 2)]),
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, found: list[tuple[str, int]]) -> None:
    assert mistakes(tmp_path, text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sites:\n  hq: { egress_ip_addresses: [203.0.113.x] }\ndevices:\n  a:" + SCANNER, [("IP-ADDRESS-INVALID", 2)]),
        (
            "applications:\n  erp: { client_id: none }\ndevices:\n  a:"
            + SUBMITTER.replace("basic", "oauth")
            + "    application: erp\n",
            [("CLIENT-ID-INVALID", 2)],
        ),
        (
            "devices:\n  hub:" + SUBMITTER.replace("    recipients: anyone\n", "")
            + "  a: { via: hub, from: a@contoso.com, recipients: anyone }\n",
            [("KEY-MISSING", 2)],
        ),
        (
            "applications:\n  erp: { client_id: 6f1c0d1e-0000-4000-8000-000000000001 }\ndevices:\n"
            "  a: { from: a@contoso.com, recipients: anyone, application: erp }\n",
            [("KEY-MISSING", 4)],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_not_told_again_at_everything_that_names_its_entry(
    tmp_path: Path, text: str, found: list[tuple[str, int]]
) -> None:
    """A wrong address of a site would make as many unknown sites as it has devices."""
    assert mistakes(tmp_path, text) == found


def test_a_site_that_was_misspelled_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, "sites:\n  headquarters: { egress_ip_addresses: [203.0.113.1] }\ndevices:\n  a:"
             + SCANNER.replace("hq", "headquarter"))  # fmt: skip
    assert caught.value.diagnostics[0].hint == 'did you mean "headquarters"?'


def test_devices_of_several_files_are_one_plan(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "sites:\n  hq: { egress_ip_addresses: [203.0.113.1] }\n")
    (tmp_path / "b.yaml").write_text("devices:\n  one:" + SCANNER)
    (tmp_path / "c.yaml").write_text("devices:\n  two:" + SCANNER)
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert set(desired.devices) == {"one", "two"}
    assert {type(desired.sites["hq"]), type(desired.devices["one"])} == {Site, Device}


def device(tmp_path: Path, text: str) -> Device:
    return load(tmp_path, "devices:\n  a:" + text).devices["a"]


def test_mechanisms_are_told_apart_by_whether_exchange_offers_them(tmp_path: Path) -> None:
    for written, able, other in (
        ("login", {"basic"}, set()),
        ("plain, cram-md5", set(), {"plain", "cram-md5"}),
        ("plain, login, oauth", {"basic", "oauth"}, {"plain"}),
    ):
        one = device(tmp_path, SUBMITTER.replace("[basic]", f"[{written}]").replace("anyone", "organization"))
        assert (set(one.authentication), set(one.other_mechanisms)) == (able, other)


def test_oauth_and_what_people_need_are_kept_as_written(tmp_path: Path) -> None:
    more = "    oauth: { sign_in: application, client_id: 6F1C0000-0000-4000-8000-000000000001 }\n"
    more += "    owner: facilities\n    ticket: CHG-8812\n    until: 2027-03-31\n"
    one = device(tmp_path, SUBMITTER.replace("basic", "oauth") + more)
    assert (one.oauth, one.client_id) == ("application", "6f1c0000-0000-4000-8000-000000000001")
    assert (one.owner, one.ticket, one.until) == ("facilities", "CHG-8812", "2027-03-31")


@pytest.mark.parametrize(
    ("today", "severity", "when"),
    [
        (dt.date(2027, 3, 1), Severity.INFO, "30 days left"),
        (dt.date(2027, 3, 31), Severity.INFO, "today"),
        (dt.date(2027, 4, 2), Severity.WARNING, "2 days ago"),
    ],
)
def test_the_day_of_a_device_is_told_and_is_no_error(
    tmp_path: Path, today: dt.date, severity: Severity, when: str
) -> None:
    text = HEAD + "devices:\n  a:" + SUBMITTER + "    owner: facilities\n    until: 2027-03-31\n"
    (tmp_path / "plan.yaml").write_text(text, encoding="utf-8")
    desired, told = document.load(tmp_path / "plan.yaml", TYPES, today=today)
    (until,) = [d for d in told if d.id == "DEVICE-UNTIL"]
    assert (until.severity, until.location and until.location.line) == (severity, 10)
    assert until.summary == f"device/a is to be replaced by 2027-03-31 ({when}): facilities"
    assert desired.choices["a"].method == "client_submission"


def test_a_device_may_send_in_several_names_and_in_any_of_a_domain(tmp_path: Path) -> None:
    relay = SUBMITTER.replace("Scanner-3F@Contoso.com", '["*@Contoso.com", HR@fabrikam.com, hr@fabrikam.com]')
    one = device(tmp_path, relay + "    sender_ip_addresses: [203.0.113.9]\n")
    assert one.senders == ("*@contoso.com", "hr@fabrikam.com")
    assert (one.addresses, one.domains) == (("hr@fabrikam.com",), ("contoso.com", "fabrikam.com"))
    assert one.mailbox == "hr@fabrikam.com", "the first that is one address"


@pytest.mark.parametrize(
    ("written", "found"),
    [("[]", "FROM-EMPTY"), ('["*@contoso"]', "DOMAIN-INVALID"), ("[a@contoso.com, b]", "EMAIL-INVALID")],
)
def test_a_mistake_in_a_list_of_from_addresses_is_told(tmp_path: Path, written: str, found: str) -> None:
    assert mistakes(tmp_path, "devices:\n  a:" + SUBMITTER.replace("Scanner-3F@Contoso.com", written)) == [(found, 3)]


def test_an_account_of_high_volume_email_names_applications_of_the_plan(tmp_path: Path) -> None:
    client_id = "6f1c0d1e-0000-4000-8000-000000000001"
    section = "hve_accounts: { news@contoso.com: { applications: [ERP, other] } }\n"
    named = load(tmp_path, f"applications: {{ erp: {{ client_id: {client_id} }} }}\n{section}")
    assert named.resources[Address("hve_account", "news@contoso.com")].spec.applications == {client_id, "other"}
    alone = load(tmp_path, section)
    assert alone.resources[Address("hve_account", "news@contoso.com")].spec.applications == {"ERP", "other"}
