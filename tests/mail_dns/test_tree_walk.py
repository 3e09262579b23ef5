"""The tree walk of RFC 9989: which names are asked, which domain is the organization, and whose policy holds."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.mail_dns.tree_walk import Walk, question_at, tree_walk, walk_of
from tests.mail_dns.name_server import TIMEOUT, NameServer, carry_on

REJECT = "v=DMARC1; p=reject"


def walk(domain: str, records: Mapping[str, str]) -> tuple[Walk, list[str]]:
    """The walk with these policies by domain, and the names that were asked."""
    server = NameServer()
    server.zone = {f"_dmarc.{n}": [("TXT", t)] if t != TIMEOUT else [(TIMEOUT, None)] for n, t in records.items()}
    found = carry_on(tree_walk(domain), server)
    return found, [question.name.removeprefix("_dmarc.") for question in server.asked]


def test_the_questions_are_those_of_the_example_in_the_rfc() -> None:
    """Section 4.10: eight questions at most, the second at a name of seven labels, the last at the top level."""
    _, asked = walk("a.b.c.d.e.f.g.h.i.j.mail.example.com", {})
    assert asked == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    assert walk("a.b.c.d.e.f.example.com", {})[1][1:3] == ["b.c.d.e.f.example.com", "c.d.e.f.example.com"]
    assert walk("example.com", {})[1] == ["example.com", "com"]


@pytest.mark.parametrize(
    ("records", "organization", "holds"),
    [
        # The examples of section 4.10.2.
        ({"mail.example.com": REJECT, "example.com": REJECT}, "example.com", "example.com"),
        ({"mail.example.com": f"{REJECT}; psd=n", "example.com": REJECT}, "mail.example.com", "mail.example.com"),
        ({"com": f"{REJECT}; psd=y"}, "example.com", "com"),
        ({}, "a.mail.example.com", None),
        # The public suffix has a policy, and so has the organization below it.
        ({"example.com": REJECT, "com": f"{REJECT}; psd=y"}, "example.com", "example.com"),
        # A record in between counts for nobody else (4.10.1).
        ({"mail.example.com": REJECT, "com": f"{REJECT}; psd=y"}, "example.com", "com"),
        ({"mail.example.com": f"{REJECT}; psd=y"}, "a.mail.example.com", "mail.example.com"),
        # psd=y of the domain itself names no organization below it.
        ({"a.mail.example.com": f"{REJECT}; psd=y", "com": REJECT}, "a.mail.example.com", None),
        ({"example.com": f"{REJECT}; psd=maybe"}, "example.com", "example.com"),
        ({"mail.example.com": REJECT, "example.com": "v=dmarc1; p=none"}, "mail.example.com", "mail.example.com"),
    ],
)
def test_the_organization_and_the_policy_that_holds(
    records: dict[str, str], organization: str, holds: str | None
) -> None:
    found, _ = walk("a.mail.example.com", records)
    assert found.organization == organization
    assert (found.above[0] if found.above else None) == holds
    assert not found.failed


def test_several_records_at_a_name_are_as_good_as_none() -> None:
    server = NameServer()
    server.zone = {
        "_dmarc.mail.example.com": [("TXT", REJECT)],
        "_dmarc.example.com": [("TXT", REJECT), ("TXT", "v=DMARC1; p=none")],
    }
    assert carry_on(tree_walk("mail.example.com"), server).organization == "mail.example.com"


def test_a_name_that_cannot_be_asked_is_told_unless_the_walk_ended_before() -> None:
    found, _ = walk("a.mail.example.com", {"mail.example.com": REJECT, "example.com": TIMEOUT})
    assert [question.name for question, _ in found.failed] == ["_dmarc.example.com"]
    ended, _ = walk("a.mail.example.com", {"mail.example.com": f"{REJECT}; psd=n", "example.com": TIMEOUT})
    assert not ended.failed


def test_a_server_for_its_own_zones_need_not_answer_for_the_top_level_domain() -> None:
    refused, silent = DnsAnswer(Status.REFUSED, reason="REFUSED"), DnsAnswer(Status.FAILED, reason="silence")
    told = {
        (name, answer.status): [
            question.name for question, _ in walk_of("example.com", {question_at(name): answer}).failed
        ]
        for name in ("example.com", "com")
        for answer in (refused, silent)
    }
    assert [asked for asked, failed in told.items() if not failed] == [("com", Status.REFUSED)]
