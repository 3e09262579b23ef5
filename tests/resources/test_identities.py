"""Whom a name means: one answer for every type."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Answer, Cmdlet, Query, Unknown
from provisioner.resources.identities import Directory, look_ups, written
from provisioner.resources.rows import recipient, service_principal

GUID, APP_ID = "8a68c198-be28-4a30-83e9-bffb760c65ba", "0a1b2c3d-0000-4000-8000-000000000001"


def person(guid: str, primary: str, **more: Any) -> dict[str, Any]:
    return {"Guid": guid, "PrimarySmtpAddress": primary, "RecipientType": "UserMailbox", **more}


SCAN = person(GUID, "scan@x.com", EmailAddresses=["smtp:mfp@x.com"], WindowsLiveID="mfp01@x.com", DisplayName="MFP 3")
BEA = person("G-2", "bea@x.com", WindowsLiveID="mfp@x.com", DisplayName="Bea")
BOOKINGS = person("G-3", "book@x.com", DisplayName="scan@x.com", Alias="mfp 3")
BOT = {"AppId": APP_ID, "ObjectId": "5A1C2A52-0000-4000-8000-000000000001", "DisplayName": "Bot", "Sid": "S-1-5-7"}


def directory(*rows: dict[str, Any], asked: Cmdlet = recipient.LISTING) -> Directory:
    answers = [
        (Query(asked, frozenset()), Answer(rows)),
        (Query(service_principal.LISTING, frozenset()), Answer((BOT,))),
    ]
    return Directory(answers)


@pytest.mark.parametrize(
    ("name", "guid"),
    [
        ("scan@x.com", GUID),
        ("mfp@x.com", GUID),
        ("mfp01@x.com", GUID),
        (GUID, GUID),
        ("bea", "g-2"),
        ("bea@x.com", "g-2"),
        (APP_ID, "5a1c2a52-0000-4000-8000-000000000001"),
        ("s-1-5-7", "5a1c2a52-0000-4000-8000-000000000001"),
    ],
)
def test_a_name_means_one_object(name: str, guid: str) -> None:
    for rows in ((SCAN, BEA, BOOKINGS), (BOOKINGS, BEA, SCAN)):
        meant = directory(*rows).meant(name)
        assert meant is not None
        assert not isinstance(meant, Unknown)
        assert meant.id == guid


def test_a_name_that_several_have_names_them_all() -> None:
    meant = directory(SCAN, BEA, BOOKINGS).meant("mfp 3")
    assert isinstance(meant, Unknown)
    assert meant.kind == "ambiguous"
    assert "(book@x.com, a user mailbox; scan@x.com, a user mailbox)" in meant.reason
    assert directory(SCAN).meant("nobody@x.com") is None
    assert directory(BOOKINGS).meant("scan@x.com") is None, "a display name is not an address"


def test_what_was_asked_for_is_known_to_be_nobody_s() -> None:
    (query,) = look_ups({"a@x.com": {"k"}, "b@x.com": {"k", "l"}})
    assert query.covers == {"k", "l"}
    assert isinstance(query.request, Cmdlet)
    found = directory(asked=query.request)
    assert found.asked("a@x.com")
    assert not found.asked("c@x.com")
    assert directory().asked("c@x.com"), "all were listed"
    assert look_ups({}) == []


def test_the_written_name_is_the_primary_address_or_the_object_id() -> None:
    everybody = directory(SCAN)
    parties = [everybody.named(name)[0] for name in ("mfp01@x.com", APP_ID)]
    assert list(map(written, parties)) == ["scan@x.com", "5a1c2a52-0000-4000-8000-000000000001"]
    assert everybody.recipient(GUID) == parties[0]
    assert everybody.recipient("G-9") is None
