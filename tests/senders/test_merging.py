"""Merging: the order of sources does not matter, nothing is lost, and what is concluded is said to be so."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.senders.inventory import (
    BASIC,
    DIRECT,
    HVE,
    OAUTH,
    RELAY,
    SUBMISSION,
    UNKNOWN,
    Inventory,
    Sender,
    Source,
    SourceAddress,
    document,
)
from provisioner.senders.merging import Knowledge, judged, merged
from provisioner.senders.observing import Observation, counted, moment

_PERIOD = ("contoso.onmicrosoft.com", "2026-08-25T00:00:00Z", "2026-11-23T00:00:00Z")
_SCAN, _FAX, _HQ, _PLANT = "scan@contoso.com", "fax@contoso.com", "203.0.113.9", "203.0.113.20"
_KNOWN = Knowledge({_SCAN: _SCAN, "id-scan": _SCAN, _FAX: _FAX}, (("plant", (f"{_PLANT}/32",)),), frozenset({_FAX}))


def _merged(*observations: Observation, knowledge: Knowledge = _KNOWN, sources: tuple[Source, ...] = ()) -> Inventory:
    return merged(observations, knowledge, sources, _PERIOD)


def _only(*observations: Observation, knowledge: Knowledge = _KNOWN) -> Sender:
    (sender,) = _merged(*observations, knowledge=knowledge).senders
    return sender


def _mail(connector: str | None, sender: str = _SCAN, ip: str = _HQ, recipients: str = "inside") -> Observation:
    return Observation("message_traces", sender, ip_address=ip, connector=connector, messages=3, recipients=recipients)  # type: ignore[arg-type]


def _report(protocol: str = BASIC, ip: str = _HQ, sender: str = _SCAN) -> Observation:
    return Observation("smtp_auth_report", sender, protocol=protocol, ip_address=ip, messages=5)  # type: ignore[arg-type]


def _login(login: str = _SCAN, ip: str = _HQ, code: str = "") -> Observation:
    return Observation(
        "sign_ins", login=login, protocol=BASIC, ip_address=ip, logins=not code, failures=bool(code), code=code
    )


def test_report_login_and_mail_of_one_address_are_one_sender() -> None:
    sender = _only(_report(), _login(), _login(code="50126"), _mail(""))
    assert (sender.protocol, sender.mailbox, sender.confidence) == (BASIC, _SCAN, "certain")
    assert [s.source for s in sender.known_from] == ["message_traces", "sign_ins", "smtp_auth_report"]
    assert sender.source_addresses == (SourceAddress(_HQ, "", 5),)
    assert (sender.failures[0].code, sender.failures[0].count) == ("50126", 1)


def test_a_mailbox_that_also_relays_is_two_senders() -> None:
    found = _merged(_report(), _mail("plant", ip=_PLANT)).senders
    assert {s.protocol: s.ip_addresses for s in found} == {BASIC: (_HQ,), RELAY: (_PLANT,)}


def test_mail_from_where_one_mailbox_logs_in_is_submitted_in_its_name_likely() -> None:
    sender = _only(_login(_FAX), _mail("", "invoices@contoso.com"))
    assert (sender.address, sender.mailbox, sender.protocol) == ("invoices@contoso.com", _FAX, BASIC)
    assert sender.confidence == "likely"
    assert any("nobody else does" in why for why in sender.basis)


def test_where_several_log_in_it_is_not_said_who_submitted() -> None:
    found = _merged(_login(_FAX), _login(_SCAN), _mail("", "invoices@contoso.com")).senders
    assert [(s.address, s.mailbox, s.protocol) for s in found] == [
        ("", _FAX, BASIC),
        ("", _SCAN, BASIC),
        ("invoices@contoso.com", "", DIRECT),
    ]


def test_what_came_without_a_connector_is_direct_unless_it_reached_somebody_outside() -> None:
    assert _only(_mail("")).protocol == DIRECT
    assert _only(_mail(""), _mail("", recipients="outside")).protocol == SUBMISSION


def test_an_unread_detail_leaves_the_protocol_open_but_for_the_addresses_of_a_connector() -> None:
    assert (_only(_mail(None)).protocol, _only(_mail(None)).confidence) == (UNKNOWN, "possible")
    relayed = _only(_mail(None, ip=_PLANT))
    assert (relayed.protocol, relayed.confidence) == (RELAY, "likely")
    assert relayed.source_addresses[0].connector is None


def test_one_detail_tells_for_all_mail_of_its_address() -> None:
    assert _only(_mail("hq"), _mail(None)).source_addresses == (SourceAddress(_HQ, "hq", 6),)


def test_an_application_goes_to_the_oauth_mail_from_its_address_else_stands_alone() -> None:
    token = Observation("service_principal_sign_ins", protocol=OAUTH, ip_address=_HQ, client_id="a1", logins=1)
    assert _only(_report(OAUTH), token).client_ids == ("a1",)
    other = Observation("service_principal_sign_ins", protocol=OAUTH, ip_address=_PLANT, client_id="b2", logins=1)
    assert [s.client_ids for s in _merged(token, other).senders] == [("a1",), ("b2",)]


def test_a_login_is_known_by_its_id_where_its_name_is_not() -> None:
    login = Observation("sign_ins", login="old.name@contoso.com", login_id="id-scan", protocol=BASIC, logins=1)
    assert _only(login).mailbox == _SCAN


def test_volume_is_that_of_the_source_that_covers_most_days() -> None:
    sources = (
        Source("message_traces", "read", begin="2026-11-13T00:00:00Z", end="2026-11-23T00:00:00Z"),
        Source("smtp_auth_report", "read", begin="2026-08-25T00:00:00Z", end="2026-11-23T00:00:00Z"),
    )
    (sender,) = _merged(_report(), _mail(""), sources=sources).senders
    assert (sender.messages, sender.days) == (5, 90)


def test_what_nothing_shows_in_use_is_idle() -> None:
    found = _merged(_report())
    assert (found.idle_mailboxes, found.idle_connectors) == ((_FAX,), ("plant",))
    assert _merged(_login(_FAX), _mail("plant", ip=_PLANT)).idle_mailboxes == ()


def test_only_logins_are_judged_by_the_switches() -> None:
    found = judged(_merged(_report(), _mail("plant", ip=_PLANT)), lambda s: "blocked" if s.mailbox else "")
    assert {s.protocol: s.may_log_in for s in found.senders} == {BASIC: "blocked", RELAY: ""}


def test_an_account_of_high_volume_email_is_known_by_its_address() -> None:
    known = Knowledge(high_volume=frozenset({"bulk@contoso.com"}))
    sender = _only(_login("bulk@contoso.com"), _mail("", "bulk@contoso.com"), knowledge=known)
    assert (sender.protocol, sender.mailbox) == (HVE, "bulk@contoso.com")
    assert _only(_login("bulk@contoso.com"), knowledge=known).protocol == HVE


# --- properties ------------------------------------------------------------------------------------------------------

_ADDRESSES = st.sampled_from([_SCAN, _FAX, "invoices@contoso.com"])
_IPS = st.sampled_from([_HQ, _PLANT, "", "2001:db8::1"])
_COUNTS = st.integers(0, 5)
_OBSERVATIONS = st.one_of(
    st.builds(
        Observation, st.just("smtp_auth_report"), _ADDRESSES, ip_address=_IPS, messages=_COUNTS,
        protocol=st.sampled_from([BASIC, OAUTH, SUBMISSION]), tls=st.sampled_from([None, "1.0", "1.2"]),
    ),
    st.builds(
        Observation, st.just("sign_ins"), login=_ADDRESSES, ip_address=_IPS, logins=_COUNTS, protocol=st.just(BASIC),
        code=st.sampled_from(["", "50126"]), failures=_COUNTS,
    ),
    st.builds(
        Observation, st.sampled_from(["message_traces", "connector_report"]), _ADDRESSES,
        ip_address=_IPS.filter(bool), messages=_COUNTS, connector=st.sampled_from([None, "", "hq", "plant"]),
        recipients=st.sampled_from(["", "inside", "outside"]),
    ),
    st.builds(
        Observation, st.just("service_principal_sign_ins"), protocol=st.just(OAUTH), ip_address=_IPS,
        client_id=st.sampled_from(["a1", "b2"]), logins=_COUNTS,
    ),
)  # fmt: skip


@given(st.lists(_OBSERVATIONS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_sources_does_not_matter(observations: list[Observation], draw: random.Random) -> None:
    shuffled = draw.sample(observations, len(observations))
    assert document(_merged(*observations)) == document(_merged(*shuffled))


@given(st.lists(_OBSERVATIONS, max_size=12))
def test_nothing_is_lost(observations: list[Observation]) -> None:
    senders = _merged(*observations).senders
    assert len({sender.key for sender in senders}) == len(senders)
    messages: Counter[str] = Counter()
    logins: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for sender in senders:
        for sighting in sender.known_from:
            messages[sighting.source] += sighting.messages or 0
            logins[sighting.source] += sighting.logins or 0
        failures.update({failure.code: failure.count for failure in sender.failures})
    for o in counted(observations):
        messages[o.source] -= o.messages
        logins[o.source] -= o.logins
        failures[o.code] -= o.failures if o.code else 0
        assert any(
            (not o.ip_address or o.ip_address in s.ip_addresses)
            and (not o.sender or s.address == o.sender)
            and (not o.login or s.mailbox == o.login)
            and (not o.client_id or o.client_id in s.client_ids)
            and (o.tls is None or o.tls in s.tls)
            and (not o.connector or o.connector in s.connectors)
            and o.source in {sighting.source for sighting in s.known_from}
            for s in senders
        )
    assert not any((*messages.values(), *logins.values(), *failures.values()))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-11-05T08:01:22.1234567", "2026-11-05T08:01:22Z"),
        ("2026-11-05 08:01:22", "2026-11-05T08:01:22Z"),
        ("2026-11-05T08:01:22+02:00", "2026-11-05T06:01:22Z"),
        ("11/5/2026", "2026-11-05T00:00:00Z"),
        ("11/5/2026 8:01:22 PM", "2026-11-05T20:01:22Z"),
        ("11/5/2026 12:01 am", "2026-11-05T00:01:00Z"),
        ("23/11/2026 08:01", "2026-11-23T08:01:00Z"),
        ("5.11.2026 8:01", "2026-11-05T08:01:00Z"),
        ("Nov 5, 2026", ""),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+02:00", ""),
        ("2026-02-30", ""),
        (None, ""),
    ],
)
def test_a_time_of_the_wire_is_a_moment_of_the_inventory(told: object, expected: str) -> None:
    assert moment(told) == expected
