"""What is proposed from evidence: only what was observed, and in a form that validates."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path
from typing import Any, get_args

import pytest

from provisioner.model import Desired
from provisioner.model.devices import Site
from provisioner.plan import document, evidence
from provisioner.plan.proposing import Proposal, text, unanswered
from provisioner.resources import TYPES
from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Failure, Inventory, Sender, Sighting, Source, SourceAddress


def of(*senders: Sender, **more: Any) -> Inventory:
    return Inventory("contoso.onmicrosoft.com", "2026-08-28T00:00:00Z", "2026-11-26T00:00:00Z", senders, **more)


def proposed(*senders: Sender, declared: Desired | None = None) -> Proposal:
    return evidence.proposal(of(*senders), declared)


ERP = Sender(
    "erp@contoso.com",
    "erp@contoso.com",
    protocol=kinds.BASIC,
    source_addresses=(SourceAddress("52.202.8.242"),),
    tls=("1.0", "1.2"),
    messages=100,
    days=30,
    recipients="both",
)


def test_every_proposal_validates_whatever_was_observed(tmp_path: Path) -> None:
    places: tuple[tuple[SourceAddress, ...], ...] = (
        (),
        (SourceAddress("52.202.8.242", "hq"),),
        (SourceAddress("52.202.8.9"), SourceAddress("2001:db8::1")),
        tuple(SourceAddress(f"52.202.9.{n}") for n in range(9)),
    )
    versions: tuple[tuple[Any, ...], ...] = ((), ("none",), ("1.2",))
    facts = itertools.product(get_args(kinds.Protocol), get_args(kinds.Recipients), versions, places)
    senders = [
        Sender(
            f"s{n}@contoso.com", "m@contoso.com" if n % 2 else "", protocol=p, recipients=r, tls=t, source_addresses=a
        )
        for n, (p, r, t, a) in enumerate(facts)
    ]
    found = proposed(*senders, Sender("", "only@contoso.com", protocol=kinds.OAUTH), Sender("not an address"))
    (tmp_path / "senders.yaml").write_text(text(found, tenant="contoso.onmicrosoft.com"), encoding="utf-8")
    desired, told = document.read(tmp_path, TYPES, today=dt.date(2026, 11, 26))
    assert not [d for d in told if str(d.severity) == "error"]
    assert len(desired.devices) == len(found.devices) - len(found.incomplete)
    for device in desired.devices.values():
        assert device.tls in {"none", "1.2"}
        assert device.method in {"graph", "high_volume_email", "auto"}
        # A site stands only where a connector took mail from the address.
        assert device.site in {None, "site-52.202.8.242"}


def test_what_was_observed_is_written_and_the_rest_is_asked_for() -> None:
    (device,) = proposed(ERP).devices
    assert device.body == {
        "from": "erp@contoso.com",
        "recipients": "anyone",
        "supports": {"tls": "1.2", "authentication": ["basic"]},
        "messages_per_day": 4,
    }
    assert any(question.startswith("supports.tls: 1.0 and 1.2 were seen") for question in device.questions)
    relay = Sender("mfp@contoso.com", protocol=kinds.RELAY, source_addresses=(SourceAddress("52.202.8.242", "hq"),))
    asked = [question.partition(":")[0] for question in unanswered(proposed(relay).devices[0])]
    assert asked == ["recipients", "supports.tls", "supports.authentication"]


def test_an_address_that_no_connector_names_waits_for_a_person() -> None:
    found = proposed(ERP)
    assert [(s.name, bool(s.blocking)) for s in found.sites] == [("site-52.202.8.242", True)]
    assert found.devices[0].confirmed == {"site": "site-52.202.8.242"}
    assert "\n  # site-52.202.8.242:\n" in text(found)
    assert "\n    # site: site-52.202.8.242\n" in text(found)


def test_a_declared_site_is_used_by_its_name() -> None:
    site = Site("hq", frozenset({"52.202.8.240/29"}))
    found = proposed(ERP, declared=Desired("", "", {}, sites={"hq": site}))
    assert not found.sites
    assert found.devices[0].body["site"] == "hq"


def test_an_account_that_is_used_at_two_places_is_two_devices_and_one_that_roams_is_one() -> None:
    two, many = ([SourceAddress(f"52.202.8.{n}", "hq") for n in range(count)] for count in (2, 9))
    sender = Sender("scan@contoso.com", "scan@contoso.com", protocol=kinds.BASIC, source_addresses=tuple(two))
    assert [(d.name, d.body["site"]) for d in proposed(sender).devices] == [
        ("scan", "site-52.202.8.0"),
        ("scan-2", "site-52.202.8.1"),
    ]
    roaming = Sender("scan@contoso.com", "scan@contoso.com", protocol=kinds.BASIC, source_addresses=tuple(many))
    (device,) = proposed(roaming).devices
    assert "site" not in device.body
    assert any("9 addresses" in question for question in device.questions)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            ("service_principal_sign_ins",),
            {"sign_in": "application", "client_id": "6f1c0000-0000-4000-8000-00000000000a"},
        ),
        (("sign_ins",), None),
    ],
)
def test_an_applications_own_sign_in_says_whose_token_it_is(sources: Any, expected: Any) -> None:
    seen = tuple(Sighting(source, logins=3) for source in sources)
    ids = ("6f1c0000-0000-4000-8000-00000000000a",)
    (device,) = proposed(
        Sender("a@contoso.com", "a@contoso.com", protocol=kinds.OAUTH, client_ids=ids, known_from=seen)
    ).devices
    assert device.body.get("oauth") == expected


def test_who_was_refused_or_was_not_looked_for_is_told_and_not_proposed() -> None:
    refused = Sender("x@contoso.com", "x@contoso.com", protocol=kinds.BASIC, failures=(Failure("50126", "", 3),))
    found = evidence.proposal(
        of(refused, sources=(Source("sign_ins", "not_read", "P1 is missing"),), idle_mailboxes=("idle@contoso.com",))
    )
    assert not found.devices
    written = text(found, tenant="contoso.com")
    for words in ("sign_ins alone: it was not read (P1 is missing)", "3 times 50126", "idle@contoso.com: may log in"):
        assert words in written


def test_an_application_without_a_from_address_is_named_and_not_proposed() -> None:
    news = Sender("", protocol=kinds.GRAPH, client_ids=("c1",), applications=("News",))
    refused = Sender("", protocol=kinds.GRAPH, client_ids=("c2",), failures=(Failure("7000222", "", 2),))
    found = evidence.proposal(of(news, refused, idle_applications=("Archive (d4)",)))
    assert not found.devices
    assert [sentence.partition(": ")[0] for sentence in found.not_proposed] == [
        "News (c1, sends by Microsoft Graph)", "c2 (sends by Microsoft Graph)", "Archive (d4)",
    ]  # fmt: skip


def test_a_persons_answers_fill_only_what_was_not_observed() -> None:
    relay = Sender("mfp@contoso.com", protocol=kinds.RELAY, source_addresses=(SourceAddress("52.202.8.242", "hq"),))
    given = {"recipients": "organization", "supports": {"tls": "1.3", "authentication": ["none"]}}
    erp, mfp = evidence.answered(proposed(ERP, relay), given).devices
    assert erp.body["supports"] == {"tls": "1.2", "authentication": ["basic"]}
    assert (mfp.body["supports"], mfp.body["recipients"]) == (given["supports"], "organization")
    assert not unanswered(mfp)
