"""What the journal says of a domain on its way to inbound DANE, which anybody may have edited."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from provisioner.operations.migrating import _Remembered, _Seen

NEW, OLD = "contoso-com.a-v1.mx.microsoft", "contoso-com.mail.protection.outlook.com"
AT = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ENTRY = {"mx": [OLD], "host": NEW, "ttl_s": 7200, "back": True, "at": AT.isoformat()}


def test_what_was_seen_is_the_same_after_the_journal() -> None:
    assert _Seen.of(ENTRY) == _Seen((OLD,), NEW, 7200, True, AT)
    assert _Seen.of(ENTRY).facts == ENTRY


@pytest.mark.parametrize(
    "edited",
    [
        {"at": "yesterday"}, {"at": "2026-03-01T12:00:00"}, {"at": "9999-12-31T00:00:00+00:00"}, {"at": None},
        {"ttl_s": "an hour"}, {"ttl_s": -1}, {"ttl_s": 10**400}, {"ttl_s": True},
        {"mx": OLD}, {"mx": [7]}, {"host": None}, {"back": "no"},
    ],
)  # fmt: skip
def test_an_edited_entry_is_not_believed(edited: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words differ
        _Seen.of({**ENTRY, **edited})


def test_the_host_is_remembered_for_its_ttl_after_it_was_gone() -> None:
    known = _Remembered()
    known.learn(_Seen((NEW, OLD), NEW, 7200, True, AT))
    known.learn(_Seen((OLD,), NEW, 60, True, AT))
    known.learn(_Seen((OLD,), NEW, 60, True, AT + dt.timedelta(hours=1)))
    assert known.named_until(AT) == AT + dt.timedelta(hours=2)
    assert known.legacy == OLD
