"""The next step on the way to inbound DANE, and back: what is sent, what a person publishes, what is never sent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from typing import Any

import pytest

from provisioner.mail_dns.dane import DISABLE_DNSSEC, ENABLE_DANE, Kind, Standing, back, blocked, forward
from provisioner.mail_dns.records import MailExchange

NEW, OLD = "contoso-com.o-v1.mx.microsoft", "contoso-com.mail.protection.outlook.com"
NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)


def mx(*records: tuple[int, str]) -> tuple[MailExchange, ...]:
    return tuple(MailExchange(*record) for record in records)


BEGUN = Standing("contoso.com", False, False, mx=mx((0, OLD)), validated=True)
NAMED = dataclasses.replace(BEGUN, dnssec=True, host=NEW, reachable=True, legacy=OLD)
MOVED = dataclasses.replace(NAMED, mx=mx((0, NEW)))
DANE = dataclasses.replace(MOVED, dane=True)


@pytest.mark.parametrize(
    ("found", "changes", "kind", "name"),
    [
        (BEGUN, {}, Kind.SEND, "enable-dnssec"),
        (NAMED, {"reachable": False}, Kind.AWAIT, "host"),
        (NAMED, {"policy": "mx is missing"}, Kind.AWAIT, "policy"),
        (NAMED, {}, Kind.AWAIT, "beside"),
        (NAMED, {"mx": mx((0, OLD), (20, NEW))}, Kind.AWAIT, "swap"),
        (NAMED, {"mx": mx((0, OLD), (0, NEW))}, Kind.AWAIT, "swap"),
        (NAMED, {"mx": mx((0, NEW), (30, OLD))}, Kind.AWAIT, "old-out"),
        (MOVED, {"mx": mx((20, NEW))}, Kind.AWAIT, "priority"),
        (MOVED, {"mx": mx((10, NEW))}, Kind.SEND, "enable-dane"),
        (DANE, {}, Kind.AWAIT, "tlsa"),
        (DANE, {"tlsa": ("1 1 1 ab",)}, Kind.AWAIT, "tlsa"),
        (DANE, {"tlsa": ("3 1 1 ab",), "tlsa_validated": False}, Kind.AWAIT, "tlsa"),
        (DANE, {"tlsa": ("3 1 1 ab",), "tlsa_validated": True}, Kind.DONE, "done"),
    ],
)
def test_the_way_there(found: Standing, changes: dict[str, Any], kind: Kind, name: str) -> None:
    move = forward(dataclasses.replace(found, **changes))
    assert (move.kind, move.name) == (kind, name)
    assert bool(move.cmdlet) == (kind is Kind.SEND)


@pytest.mark.parametrize(
    ("found", "changes", "kind", "name"),
    [
        (DANE, {}, Kind.SEND, "disable-dane"),
        (MOVED, {}, Kind.AWAIT, "beside"),
        (MOVED, {"policy": "mx is missing"}, Kind.AWAIT, "policy"),
        (MOVED, {"mx": mx((0, NEW), (20, OLD))}, Kind.AWAIT, "new-out"),
        (MOVED, {"mx": ()}, Kind.AWAIT, "beside"),
        (MOVED, {"mx": mx((0, ""))}, Kind.AWAIT, "beside"),
        (NAMED, {"named_until": LATER}, Kind.AWAIT, "cached"),
        (NAMED, {"named_until": NOW}, Kind.SEND, "disable-dnssec"),
        (BEGUN, {}, Kind.DONE, "done"),
    ],
)
def test_the_way_back(found: Standing, changes: dict[str, Any], kind: Kind, name: str) -> None:
    move = back(dataclasses.replace(found, **changes), NOW)
    assert (move.kind, move.name) == (kind, name)


def test_no_state_gives_a_host_up_that_mail_goes_to_and_none_enables_dane_at_another() -> None:
    """Every combination of MX records and switches: what would cut mail off is never the next step."""
    records = (mx(), mx((0, "")), mx((0, OLD)), mx((0, NEW)), mx((0, NEW), (20, OLD)), mx((0, OLD), (20, NEW)))
    switches = itertools.product((False, True), (False, True), records, (None, NOW, LATER), ("", "mx is missing"))
    sent = set()
    for dnssec, dane, exchanges, until, policy in switches:
        host = NEW if dnssec else ""
        found = Standing("contoso.com", dnssec, dane, host, exchanges, True, True, named_until=until, policy=policy)
        away, there = back(found, NOW), forward(found)
        sent |= {away.cmdlet, there.cmdlet}
        if away.cmdlet == DISABLE_DNSSEC:
            assert (NEW not in found.hosts, any(found.hosts), dane, until) in {
                (True, True, False, None),
                (True, True, False, NOW),
            }
        if there.cmdlet == ENABLE_DANE:
            assert found.hosts == (NEW,)
    assert {DISABLE_DNSSEC, ENABLE_DANE} <= sent


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, []),
        ({"mx": ()}, ["DANE-MX"]),
        ({"mx": mx((10, "mx.filter.example"), (20, OLD))}, ["DANE-MX"]),
        ({"validated": False}, ["DANE-DNSSEC"]),
        ({"validated": None}, ["DANE-DNSSEC"]),
        ({"domain": "contoso.onmicrosoft.com"}, ["DANE-MX"]),
        ({"mx": mx((0, NEW), (30, OLD)), "dnssec": True, "host": NEW}, []),
    ],
)
def test_guards_of_the_way_there(changes: dict[str, Any], rules: list[str]) -> None:
    assert [guard.rule for guard in blocked(dataclasses.replace(BEGUN, **changes))] == rules
