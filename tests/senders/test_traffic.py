"""What of an inventory a plan can be tried against."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.senders import inventory as kinds
from provisioner.senders.inventory import Failure, Inventory, Sender, Sighting, SourceAddress
from provisioner.senders.traffic import accepted, traffic


def of(*senders: Sender) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
    mail, left = traffic(Inventory("contoso.com", "", "", senders))
    return [(t.name, t.mailbox, t.authentication, t.hve, t.network, t.connector) for t in mail], left


def test_mail_at_the_endpoint_is_tried_from_each_address_and_a_sign_in_once() -> None:
    places = (SourceAddress("203.0.113.10", "hq"), SourceAddress("203.0.113.11", ""), SourceAddress("2001:db8::1"))
    mail, left = of(
        Sender("mfp@contoso.com", protocol=kinds.RELAY, source_addresses=places),
        Sender("", "svc@contoso.com", protocol=kinds.SUBMISSION, source_addresses=places),
        Sender("erp@contoso.com", "svc@contoso.com", protocol=kinds.OAUTH),
        Sender("news@contoso.com", protocol=kinds.HVE),
    )
    assert not left
    assert mail == [
        ("erp@contoso.com", "svc@contoso.com", "oauth", False, "", None),
        ("mfp@contoso.com", "", "", False, "203.0.113.10/32", "hq"),
        ("mfp@contoso.com", "", "", False, "203.0.113.11/32", ""),
        ("news@contoso.com", "news@contoso.com", "any", True, "", None),
        ("svc@contoso.com", "svc@contoso.com", "any", False, "", None),
    ]


def test_what_cannot_be_tried_is_told_with_its_reason() -> None:
    mail, left = of(
        Sender("a@contoso.com", protocol=kinds.GRAPH),
        Sender("b@contoso.com", protocol=kinds.UNKNOWN),
        Sender("c@contoso.com", protocol=kinds.DIRECT, source_addresses=(SourceAddress("2001:db8::1"),)),
        Sender("d@contoso.com", protocol=kinds.BASIC, failures=(Failure("50126", "", 3),)),
    )
    assert not mail
    assert [sentence.partition(":")[0] for sentence in left] == [f"{name}@contoso.com" for name in "abcd"]


@pytest.mark.parametrize(
    ("sighted", "refused", "expected"), [(0, 0, True), (5, 0, True), (5, 5, False), (6, 5, True), (0, 5, False)]
)
def test_a_sender_counts_if_any_of_it_was_accepted(sighted: int, refused: int, expected: bool) -> None:
    failures = (Failure("50126", "", refused),) if refused else ()
    seen = (Sighting("sign_ins", logins=sighted),)
    assert accepted(Sender("a@contoso.com", failures=failures, known_from=seen)) is expected
