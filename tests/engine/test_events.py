"""What reading and applying tell, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from provisioner import engine
from provisioner.changes import planning
from provisioner.diagnostics import Throttled
from provisioner.engine import Event
from provisioner.model import Answer, ChangeSet, Cmdlet, DnsQuery
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth
from tests.clocks import TurnClock
from tests.engine.test_engine import TARGETS, Tenant, connector, desired, once, ports


def applied(tenant: Tenant, changes: ChangeSet, observer: Callable[[Event], None], **options: Any) -> engine.Outcome:
    options = {"confirm_s": 1.0, "clock": TurnClock(), **options}
    return asyncio.run(engine.apply(changes, TYPES, engine.watch(ports(tenant), observer), **options))


def planned(tenant: Tenant, *specs: Any) -> ChangeSet:
    wanted = desired(*specs)
    return planning.plan(wanted, asyncio.run(engine.read(wanted, TYPES, ports(tenant))), TYPES)


def test_a_round_of_reading_names_its_requests_and_tells_each_answer() -> None:
    tenant = Tenant({"a@x.com": None}, faults={"Get-InboundConnector": once(Throttled("slow down"))})
    heard: list[Event] = []
    wanted = desired(SmtpAuth("a@x.com", "enabled"), connector("hq"))
    asyncio.run(engine.read(wanted, TYPES, engine.watch(ports(tenant), heard.append)))
    first, *others, last = heard
    assert isinstance(first, engine.ReadingStarted)
    assert isinstance(last, engine.ReadingFinished)
    assert (last.requests, last.failed) == (first.requests, 1)
    asked = [e.request for e in others if isinstance(e, engine.Requested)]
    answered = {str(e.request): e.answer for e in others if isinstance(e, engine.Responded)}
    assert len(asked) == len(first.requests) == len(tenant.log)
    assert isinstance(answered["Get-InboundConnector"], Throttled)
    assert isinstance(answered["Get-CASMailbox"], Answer)


def test_every_event_of_a_write_comes_in_its_order_and_the_intention_before_it_is_sent() -> None:
    tenant = Tenant({"a@x.com": None})
    changes = planned(tenant, SmtpAuth("a@x.com", "enabled"))
    heard: list[tuple[str, int]] = []
    applied(tenant, changes, lambda e: heard.append((type(e).__name__, len(tenant.writes))))
    written = heard.index(("Started", 0))
    assert heard[written : written + 5] == [
        ("Started", 0),
        ("Sending", 0),
        ("Requested", 0),
        ("Responded", 1),
        ("Answered", 1),
    ]
    assert heard[-1] == ("Finished", 1)


def test_an_observer_that_fails_at_the_intention_keeps_the_write_from_being_sent() -> None:
    tenant = Tenant({"a@x.com": None})
    changes = planned(tenant, SmtpAuth("a@x.com", "enabled"))

    def full_disk(event: Event) -> None:
        if isinstance(event, engine.Sending):
            raise OSError("no space left")

    outcome = applied(tenant, changes, full_disk)
    assert isinstance(outcome.failure, OSError)
    assert [r.status for r in outcome.results] == ["left"]
    assert not tenant.writes


def test_reading_back_tells_what_is_seen_until_the_change_shows() -> None:
    tenant = Tenant()
    changes = planned(tenant, connector("hq"))
    tenant.hidden = 3
    heard: list[Event] = []
    applied(tenant, changes, heard.append)
    looks = [(e.detail, e.left_s) for e in heard if isinstance(e, engine.Confirming)]
    assert [detail for detail, _ in looks] == ["it is as it was before"] * 2
    assert looks[0][1] > looks[1][1] > 0


def test_a_change_that_is_held_back_names_every_opener_that_is_missing() -> None:
    tenant = Tenant(organization=False)
    openers = [connector(f"site{n}") for n in range(5)]
    changes = planned(tenant, *openers, SmtpAuth(ORGANIZATION, "disabled"))
    tenant.hidden = 1000
    heard: list[Event] = []
    applied(tenant, changes, heard.append)
    held = [e for e in heard if isinstance(e, engine.HeldBack)]
    assert [e.change.address.key for e in held] == [ORGANIZATION]
    assert [m.partition(" ")[0] for m in held[0].missing] == [f'inbound_connector["site{n}"]' for n in range(5)]
    result = next(e.result for e in heard if isinstance(e, engine.Finished) and e.result.status == "held_back")
    assert "and 2 more" in result.detail, "the account is short, the event complete"


def test_waiting_for_dns_tells_for_what_and_how_long() -> None:
    tenant = Tenant()
    changes = planned(tenant, Dkim("contoso.com", enabled=True))
    heard: list[Event] = []
    applied(tenant, changes, heard.append, wait_s=5.0)
    waits = [e for e in heard if isinstance(e, engine.Waiting)]
    assert all(TARGETS["Selector1CNAME"] in e.detail for e in waits)
    assert [e.waited_s for e in waits] == [0.0, 1.0, 3.0]
    assert [e.left_s for e in waits] == [5.0, 4.0, 2.0]


def test_ports_watched_twice_tell_each_observer_once_the_last_one_first() -> None:
    tenant = Tenant({"a@x.com": None})
    heard: list[str] = []
    outer = engine.watch(ports(tenant), lambda e: heard.append(f"outer {type(e).__name__}"))
    both = engine.watch(outer, lambda e: heard.append(f"inner {type(e).__name__}"))
    asyncio.run(both.exchange.run(Cmdlet("Get-CASMailbox")))
    assert heard == ["inner Requested", "outer Requested", "inner Responded", "outer Responded"]
    assert both.exchange.transport == "rest"


def test_a_look_up_in_dns_is_told_as_rows_or_as_an_error() -> None:
    tenant = Tenant(dns={"contoso.com": ["10 mx.example"]})
    heard: list[Event] = []
    watched = engine.watch(ports(tenant), heard.append)
    asyncio.run(watched.resolver.look_up(DnsQuery("contoso.com", "MX")))
    asyncio.run(watched.resolver.query(DnsQuery("contoso.com", "MX")))
    answers = [e.answer for e in heard if isinstance(e, engine.Responded)]
    assert answers == [Answer(({"value": "10 mx.example"},))] * 2
