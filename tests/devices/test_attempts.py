"""The messages that a device sends, as Exchange meets them."""

from __future__ import annotations

import dataclasses

from provisioner.devices import at_mx, attempts
from provisioner.devices.attempts import signing_in
from provisioner.mailflow import Attempt
from provisioner.model import Desired
from provisioner.model.devices import CLIENT_SUBMISSION, HIGH_VOLUME_EMAIL, SMTP_RELAY, Choice, Device, Site

HQ = Site("hq", frozenset({"198.51.100.9/32", "198.51.100.8/32"}))
SCAN = Device(
    "scan", "scan@contoso.com", "anyone", "1.2", frozenset({"basic"}), "erp@contoso.com", certificate="scan.contoso.com"
)


def plan(device: Device, method: str = SMTP_RELAY) -> Desired:
    choice = Choice(method, "basic", (), {})
    return Desired("contoso", "", {}, sites={"hq": HQ}, devices={"scan": device}, choices={"scan": choice})


def test_a_device_that_signs_in_is_one_attempt_with_all_its_recipients() -> None:
    device = dataclasses.replace(SCAN, recipients="organization", recipients_per_message=7)
    assert attempts(device, plan(device, CLIENT_SUBMISSION)) == [
        Attempt("scan@contoso.com", False, authentication="basic", mailbox="erp@contoso.com", recipients=7)
    ]


def test_a_device_at_the_mx_endpoint_comes_from_each_of_its_networks() -> None:
    at_site = dataclasses.replace(SCAN, site="hq", sender_ip_addresses=frozenset({"203.0.113.1/32"}))
    assert attempts(at_site, plan(at_site)) == [
        Attempt("scan@contoso.com", True, network, "scan.contoso.com", True)
        for network in ("198.51.100.8/32", "198.51.100.9/32")
    ]
    own = dataclasses.replace(at_site, site=None)
    assert [a.network for a in at_mx(own, plan(own))] == ["203.0.113.1/32"]
    anywhere = dataclasses.replace(SCAN, tls="none")
    assert at_mx(anywhere, plan(anywhere)) == [Attempt("scan@contoso.com", True, "", "", False)]


def test_only_modern_tls_shows_a_certificate() -> None:
    old = dataclasses.replace(SCAN, tls="1.0")
    assert at_mx(old, plan(old)) == [Attempt("scan@contoso.com", True, "", "", True)]


def test_what_has_no_method_is_tried_at_the_mx_endpoint() -> None:
    bare = Desired("contoso", "", {}, devices={"scan": SCAN})
    assert [a.authentication for a in attempts(SCAN, bare)] == [""]


def test_high_volume_email_signs_in_to_its_own_account() -> None:
    desired = plan(dataclasses.replace(SCAN, mailbox=""), HIGH_VOLUME_EMAIL)
    (attempt,) = attempts(desired.devices["scan"], desired)
    assert (attempt.hve, attempt.mailbox, attempt.authentication) == (True, "scan@contoso.com", "basic")


def test_whose_token_a_device_gets_is_part_of_the_attempt() -> None:
    for oauth, application in (("application", True), ("user", False), ("", None)):
        device = dataclasses.replace(SCAN, oauth=oauth)
        assert signing_in(device, "oauth").application is application
        assert signing_in(device, "basic").application is None


def test_several_names_are_one_attempt_each_where_it_signs_in_and_one_a_domain_at_the_mx() -> None:
    device = dataclasses.replace(SCAN, other_senders=("erp@contoso.com", "*@fabrikam.com"))
    submitted = attempts(device, plan(device, CLIENT_SUBMISSION))
    assert [a.sender for a in submitted] == ["scan@contoso.com", "erp@contoso.com"]
    assert {a.sender for a in at_mx(device, plan(device))} == {"scan@contoso.com", "*@fabrikam.com"}
