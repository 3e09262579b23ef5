"""The choice among client submission, SMTP relay and direct send: each row of Microsoft's comparison, and every pair
of abilities and needs."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from provisioner.devices import Facts, choose, facts_of
from provisioner.devices.choice import LEGACY_TLS_WEAK
from provisioner.mailflow.basic_authentication import HVE_BASIC_ENDING
from provisioner.model import Desired
from provisioner.model.devices import METHODS, Choice, Device
from tests.generated import share

FIXED = frozenset({"203.0.113.10/32"})

# A device for which everything is possible: each row below takes something away.
ABLE = Device(
    "scanner",
    sender="scanner@contoso.com",
    recipients="anyone",
    tls="1.2",
    authentication=frozenset({"basic", "oauth"}),
    mailbox="scanner@contoso.com",
)
BASIC, NO_SIGN_IN = frozenset({"basic"}), frozenset[str]()


def chosen(facts: Facts | None = None, **changes: object) -> Choice:
    return choose(dataclasses.replace(ABLE, **changes), facts or Facts(FIXED))  # type: ignore[arg-type]


def test_a_device_that_can_do_everything_signs_in_with_oauth() -> None:
    choice = chosen()
    assert (choice.method, choice.authentication, choice.warnings) == ("client_submission", "oauth", ())
    assert choice.refused["smtp_relay"].startswith("possible")
    assert set(choice.refused) == {"smtp_relay", "high_volume_email", "direct_send"}


# row of the comparison -> (what the device and its surroundings are, expected method, what refuses which method)
ROWS: dict[str, tuple[dict[str, object], Facts, str | None, dict[str, str]]] = {
    "external recipients: direct send reaches none": (
        {"authentication": NO_SIGN_IN},
        Facts(),
        None,
        {"direct_send": "own recipients only", "smtp_relay": "neither", "client_submission": "requires authentication"},
    ),
    "internal recipients: direct send is enough": (
        {"authentication": NO_SIGN_IN, "recipients": "organization"},
        Facts(),
        "direct_send",
        {"smtp_relay": "fixed public IP address"},
    ),
    "authentication: a password or a fixed address, the address wins": (
        {"authentication": BASIC},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "basic authentication ends"},
    ),
    "authentication: a password alone": ({"authentication": BASIC}, Facts(), "client_submission", {}),
    "authentication: none, but a fixed address": (
        {"authentication": NO_SIGN_IN},
        Facts(FIXED),
        "smtp_relay",
        {},
    ),
    "authentication: none, but a certificate": (
        {"authentication": NO_SIGN_IN, "certificate": "mail.contoso.com"},
        Facts(),
        "smtp_relay",
        {},
    ),
    "authentication: a certificate without TLS is none": (
        {"authentication": NO_SIGN_IN, "certificate": "mail.contoso.com", "tls": "none"},
        Facts(),
        None,
        {"smtp_relay": "counts only over TLS"},
    ),
    "hosted by others: shared addresses are not proof": (
        {"authentication": NO_SIGN_IN},
        Facts(FIXED, shared=True),
        None,
        {"smtp_relay": "other organizations send"},
    ),
    "mailbox: none, so it relays": (
        {"mailbox": ""},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "mailbox"},
    ),
    "TLS: none, so it relays": ({"tls": "none"}, Facts(FIXED), "smtp_relay", {"client_submission": "no TLS"}),
    "TLS: too old, so it relays": ({"tls": "1.1"}, Facts(FIXED), "smtp_relay", {"client_submission": "1.2"}),
    "port: 25 is closed": (
        {"authentication": BASIC},
        Facts(FIXED, ports=frozenset({587})),
        "client_submission",
        {"smtp_relay": "port 25", "direct_send": "port 25"},
    ),
    "port: only 25 is open, which submission takes too": (
        {},
        Facts(ports=frozenset({25})),
        "client_submission",
        {},
    ),
    "port: none is open": (
        {"recipients": "organization"},
        Facts(FIXED, ports=frozenset()),
        None,
        {"client_submission": "neither port", "smtp_relay": "port 25", "direct_send": "port 25"},
    ),
    "limit: 10,000 recipients a day": (
        {"messages_per_day": 5_001, "recipients_per_message": 2},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "10,002"},
    ),
    "limit: exactly 10,000 are allowed": (
        {"messages_per_day": 5_000, "recipients_per_message": 2},
        Facts(FIXED),
        "client_submission",
        {},
    ),
    "limit: 30 messages a minute": (
        {"messages_per_minute": 31},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "30 messages a minute"},
    ),
    "limit: 3 connections": (
        {"connections": 4},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "3 connections"},
    ),
    "limit: 1,000 recipients in a message": (
        {"recipients_per_message": 1_001},
        Facts(FIXED),
        "smtp_relay",
        {"client_submission": "1,000 recipients at most"},
    ),
    "limit: the initial domain reaches 100 outside": (
        {"sender": "scanner@contoso.onmicrosoft.com", "messages_per_day": 101},
        Facts(FIXED),
        None,
        {"client_submission": "domain of your own", "smtp_relay": "domain of your own"},
    ),
    "switched off: the organization rejects direct send": (
        {"authentication": NO_SIGN_IN, "recipients": "organization"},
        Facts(reject_direct_send=True),
        None,
        {"direct_send": "reject direct send"},
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_comparison_decides(row: str) -> None:
    changes, facts, method, refused = ROWS[row]
    choice = chosen(facts, **changes)
    assert choice.method == method
    for other, words in refused.items():
        assert words in choice.refused[other], (other, choice.refused[other])


def test_every_pair_of_abilities_and_needs_gives_a_method_or_a_reasoned_refusal() -> None:
    every = itertools.product(
        ("none", "1.0", "1.1", "1.2", "1.3"),
        (NO_SIGN_IN, BASIC, frozenset({"oauth"}), frozenset({"basic", "oauth"})),
        ("organization", "anyone"),
        ("", "scanner@contoso.com"),
        ("auto", *METHODS),
        (1, 20_000),
        (frozenset[str](), FIXED),
        (False, True),
        ({25, 587}, {25}, {587}, set[int]()),
        (None, True),
    )
    counted = 0
    for tls, sign_in, recipients, mailbox, method, amount, sources, shared, ports, reject in share(every):
        device = dataclasses.replace(
            ABLE, tls=tls, authentication=sign_in, recipients=recipients, mailbox=mailbox, method=method,
            messages_per_day=amount,
        )  # fmt: skip
        choice = choose(device, Facts(sources, shared, frozenset(ports), reject))
        counted += 1
        assert choice.method in {None, *METHODS}
        assert method == "auto" or choice.method in {None, method}
        if choice.method is None:
            assert set(choice.refused) == set(METHODS) if method == "auto" else method in choice.refused
            assert choice.advice, (device, choice)
        else:
            assert choice.reasons
            assert set(choice.refused) == set(METHODS) - {choice.method}
            assert _possible(device, choice, sources, ports)
        assert all(choice.refused.values())
    assert counted > 100


def _possible(device: Device, choice: Choice, sources: frozenset[str], ports: set[int]) -> bool:
    """What must be true of every method that is chosen, said once more and otherwise than in the rules."""
    if choice.method == "client_submission":
        can = device.tls >= "1.2" and device.tls != "none" and choice.authentication in device.authentication
        return can and bool(device.mailbox) and bool(ports) and device.messages_per_day <= 10_000
    if choice.method == "smtp_relay":
        return 25 in ports and bool(sources) and choice.authentication == "none"
    if choice.method == "high_volume_email":
        can = device.tls >= "1.2" and device.tls != "none" and choice.authentication in device.authentication
        return can and 587 in ports and device.recipients == "organization"
    return 25 in ports and device.recipients == "organization" and choice.authentication == "none"


def test_what_is_written_is_kept_with_its_doubts_told_as_warnings() -> None:
    choice = chosen(Facts(FIXED), method="client_submission", authentication=BASIC, messages_per_minute=60)
    assert choice.method == "client_submission"
    assert [w for w in choice.warnings if "off by default from 2026-12-31" in w]
    assert [w for w in choice.warnings if "30 messages a minute" in w]
    assert choice.reasons[0] == "the plan says so"


def test_what_cannot_work_is_refused_even_if_written() -> None:
    choice = chosen(Facts(), method="direct_send")
    assert choice.method is None
    assert "sends to anyone" in choice.refused["direct_send"]


INTERNAL: dict[str, object] = {"recipients": "organization", "messages_per_day": 50_000}


@pytest.mark.parametrize("sign_in", [BASIC, frozenset({"oauth"})])
def test_high_volume_email_takes_what_is_too_much_for_a_mailbox(sign_in: frozenset[str]) -> None:
    choice = chosen(Facts(), **INTERNAL, authentication=sign_in)
    assert (choice.method, frozenset({choice.authentication})) == ("high_volume_email", sign_in)
    assert "10,000 recipients a day" in choice.refused["client_submission"]
    assert choice.refused["direct_send"] == "possible, but authenticated mail is not treated as spoofed"
    assert "New-MailUser -HVEAccount" in choice.warnings[0]
    assert [w for w in choice.warnings if "September 2028" in w] == ([HVE_BASIC_ENDING] if sign_in == BASIC else [])


@pytest.mark.parametrize("sign_in", [BASIC, frozenset({"oauth"})])
def test_an_account_that_the_plan_pays_for_is_not_asked_for_again(sign_in: frozenset[str]) -> None:
    choice = chosen(Facts(pays_hve=True), **INTERNAL, authentication=sign_in)
    told = " ".join((*choice.warnings, *choice.advice))
    assert choice.method == "high_volume_email"
    assert "billing" not in told
    assert ("September 2028" in told, "signs in with OAuth" in told) == (sign_in == BASIC, sign_in == BASIC)


def test_high_volume_email_is_for_who_has_no_mailbox_and_sends_inside() -> None:
    assert chosen(Facts(), authentication=BASIC, mailbox="", recipients="organization").method == "high_volume_email"
    assert chosen(Facts(), authentication=BASIC, recipients="organization").method == "client_submission"


@pytest.mark.parametrize(
    ("changes", "facts", "why"),
    [
        ({"recipients_per_message": 51}, Facts(), "50 recipients at most, and it has 51"),
        ({"recipients": "anyone"}, Facts(), "own recipients only"),
        ({"tls": "1.1"}, Facts(), "the device supports TLS 1.1"),
        ({"authentication": NO_SIGN_IN}, Facts(), "requires authentication"),
        ({}, Facts(ports=frozenset({25})), "port 587 only"),
    ],
)
def test_high_volume_email_is_ruled_out(changes: dict[str, object], facts: Facts, why: str) -> None:
    assert why in chosen(facts, **{**INTERNAL, **changes}).refused["high_volume_email"]


LEGACY = Facts(allows_legacy_tls=True)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_old_tls_signs_in_where_the_plan_allows_it_and_its_weakness_is_told(version: str) -> None:
    choice = chosen(LEGACY, tls=version, authentication=BASIC)
    assert (choice.method, choice.authentication) == ("client_submission", "basic")
    assert f"it can sign in to scanner@contoso.com with a password over TLS {version}" in choice.reasons
    assert any("allow_legacy_tls_clients" in reason for reason in choice.reasons)
    assert choice.warnings[0] == LEGACY_TLS_WEAK


@pytest.mark.parametrize(
    ("facts", "allowing"), [(Facts(), True), (dataclasses.replace(LEGACY, offers_legacy_tls=False), False)]
)
def test_an_old_tls_is_refused_with_the_setting_that_would_allow_it(facts: Facts, allowing: bool) -> None:
    """Learn, "Opt in to the … endpoint for legacy TLS clients": the clouds of the US government have no such host."""
    refused = chosen(facts, tls="1.1", authentication=BASIC).refused["client_submission"]
    assert "it requires TLS 1.2 or later, and the device supports TLS 1.1" in refused
    assert ("transport_config: { allow_legacy_tls_clients: enabled } would allow it" in refused) == allowing


def test_a_fixed_address_comes_before_an_old_tls() -> None:
    choice = chosen(dataclasses.replace(LEGACY, sources=FIXED), tls="1.0")
    assert (choice.method, choice.refused["client_submission"]) == ("smtp_relay", LEGACY_TLS_WEAK)
    assert chosen(LEGACY, tls="none").method is None


def test_what_is_only_delayed_is_no_reason_to_send_direct() -> None:
    """Case dev18: bursts of a monitoring server that can use OAuth."""
    burst = {"authentication": frozenset({"oauth"}), "messages_per_minute": 120}
    assert chosen(Facts(), **burst, recipients="organization").method == "high_volume_email"
    crowd = chosen(Facts(), **burst, recipients="organization", recipients_per_message=60)
    outside = chosen(Facts(), **burst)
    for choice in (crowd, outside):
        assert choice.method == "client_submission"
        assert [w for w in choice.warnings if "30 messages a minute" in w]


def test_bulk_mail_to_the_outside_is_sent_elsewhere() -> None:
    choice = chosen(Facts(), messages_per_day=50_000)
    assert choice.method is None
    assert "Azure Communication Services" in choice.advice[0]


def test_the_end_of_basic_authentication_is_a_warning_and_rules_nothing_out() -> None:
    """An administrator can switch it on again (MC786329), so it is for nobody but the administrator to give it up."""
    choice = chosen(Facts(), authentication=BASIC, recipients="organization")
    assert (choice.method, choice.authentication) == ("client_submission", "basic")
    assert [w for w in choice.warnings if "off by default from 2026-12-31" in w]
    assert choice.advice[0].startswith("use firmware that signs in with OAuth")
    assert not chosen(Facts()).warnings


def test_the_choice_knows_no_date() -> None:
    told = {name: str(f.type) for name, f in Facts.__dataclass_fields__.items()}
    assert not [name for name, type_ in told.items() if "date" in type_ or "today" in name]


def test_a_password_by_another_mechanism_is_no_sign_in() -> None:
    choice = chosen(Facts(), authentication=NO_SIGN_IN, other_mechanisms=frozenset({"plain", "cram-md5"}))
    assert choice.method is None
    assert "LOGIN or XOAUTH2, and the device supports CRAM-MD5 and PLAIN alone" in choice.refused["client_submission"]


def test_a_device_for_port_465_alone_has_no_way_and_is_told_so() -> None:
    choice = chosen(Facts(FIXED, ports=frozenset({465})), recipients="organization")
    assert choice.method is None
    assert all("port 465" in why for why in choice.refused.values())
    assert any("relay server" in advice for advice in choice.advice)
    assert chosen(Facts(FIXED, ports=frozenset({465, 587}))).method == "client_submission"


def test_who_sends_as_any_address_relays_and_does_not_sign_in() -> None:
    relay = chosen(Facts(FIXED), sender="*@contoso.com")
    assert relay.method == "smtp_relay"
    assert "not as any (*@contoso.com)" in relay.refused["client_submission"]
    assert chosen(Facts(), sender="*@contoso.com", recipients="organization").method == "direct_send"
    several = chosen(Facts(), other_senders=("erp@contoso.com",), recipients="organization")
    assert several.method == "client_submission"
    assert "sends in other names too" in several.refused["high_volume_email"]


def test_one_from_address_in_the_initial_domain_is_enough_to_be_limited() -> None:
    limited = chosen(Facts(FIXED), other_senders=("a@contoso.onmicrosoft.com",), messages_per_day=101)
    assert limited.method is None


@pytest.mark.parametrize(
    "tenant", ["contoso.onmicrosoft.us", "contoso.partner.onmschina.cn", "contoso.onmicrosoft.com"]
)
def test_a_cloud_without_high_volume_email_is_not_offered_it(tenant: str) -> None:
    """No page offers it in a national cloud: what the sheet could not name a host for was chosen there."""
    device = dataclasses.replace(ABLE, authentication=BASIC, recipients="organization", messages_per_day=14_000)
    choice = choose(device, facts_of(device, Desired(tenant, "", {})))
    offered = tenant.endswith(".com")
    assert (choice.method == "high_volume_email") is offered
    assert ("does not offer it" in choice.refused.get("high_volume_email", "")) is not offered
