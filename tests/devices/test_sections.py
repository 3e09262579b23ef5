"""Sites and devices as they are written: values, defaults, and every mistake with its place."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from provisioner.diagnostics import InputError
from provisioner.model import Desired
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
    ],
)
def test_a_mistake_is_told_at_its_place(tmp_path: Path, text: str, found: list[tuple[str, int]]) -> None:
    assert mistakes(tmp_path, text) == found


def test_a_site_that_was_misspelled_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, "sites:\n  headquarters: { egress_ip_addresses: [203.0.113.1] }\ndevices:\n  a:"
             + SCANNER.replace("hq", "headquarter"))  # fmt: skip
    assert caught.value.diagnostics[0].mend == 'did you mean "headquarters"?'


def test_devices_of_several_files_are_one_plan(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "sites:\n  hq: { egress_ip_addresses: [203.0.113.1] }\n")
    (tmp_path / "b.yaml").write_text("devices:\n  one:" + SCANNER)
    (tmp_path / "c.yaml").write_text("devices:\n  two:" + SCANNER)
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 23))
    assert set(desired.devices) == {"one", "two"}
    assert {type(desired.sites["hq"]), type(desired.devices["one"])} == {Site, Device}
