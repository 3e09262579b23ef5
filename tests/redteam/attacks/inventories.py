"""An inventory of senders that somebody else has saved: one value of it is another each time."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from provisioner.senders import inventory
from provisioner.senders.inventory import BASIC, RELAY, Failure, Inventory, Sender, Sighting, Source, SourceAddress
from tests.redteam.attacks.base import LINES, Made, Make, wrote

_SCANNER = Sender(
    "scan@contoso.com",
    "scan@contoso.com",
    "7f2b0a7e-0000-4000-8000-000000000001",
    BASIC,
    (SourceAddress("203.0.113.9"),),
    ("1.2",),
    messages=120,
    days=30,
    recipients="inside",
    first_seen="2026-10-01T08:00:00Z",
    last_seen="2026-11-02T08:00:00Z",
    failures=(Failure("50126", "Invalid username or password.", 3),),
    known_from=(Sighting("smtp_auth_report", 120, days=30),),
    confidence="certain",
    basis=("the SMTP AUTH report names its authentication",),
    may_log_in="allowed",
)
_RELAYING = Sender("mfp@contoso.com", protocol=RELAY, source_addresses=(SourceAddress("203.0.113.11", "site-hq", 9),))
_SAVED = Inventory(
    "contoso.onmicrosoft.com",
    "2026-08-25T00:00:00Z",
    "2026-11-23T00:00:00Z",
    (_SCANNER, _RELAYING),
    (Source("sign_ins", "partial", "only 30 days", "AuditLog.Read.All", rows=40),),
    ("b@contoso.com",),
)
_VALUES: dict[str, Any] = {
    "an escape": LINES,
    "a number too large": 1 << 70,
    "a deep list": json.loads("[" * 90 + "]" * 90),
}


def inventories() -> Made:
    yield "an inventory as it is", _saved(())
    for place in _places(inventory.document(_SAVED)):
        for title, value in _VALUES.items():
            yield f"{'.'.join(map(str, place))} is {title}", _saved(place, value)


def _places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where single values stand."""
    if isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(part, (*above, key))
    else:
        yield above


def _saved(place: tuple[str | int, ...], value: Any = None) -> Make:
    document: Any = json.loads(json.dumps(inventory.document(_SAVED)))
    if place:
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = copy.deepcopy(value)
    return lambda w: wrote((w.checkout / "log.txt").write_text(json.dumps(document)))
