"""Get-MessageTraceV2 and Get-MessageTraceDetailV2: what became of a message, for each of its recipients.

Learn, the pages of both cmdlets: 90 days back, at most 100 queries in five minutes; a message shows after minutes. The
detail says the folder ("DefaultFolderType:JunkEmail") and the reason of a failure (public captures, 2026); the status
of mail in the junk folder is FilteredAsSpam or Delivered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provisioner.model import Cmdlet, Row

COLUMNS = frozenset({"MessageTraceId", "RecipientAddress", "FromIP", "Status"})
_EVENT_COLUMNS = frozenset({"MessageTraceId", "Event", "Detail"})

DELIVERED, JUNK, QUARANTINE, FAILED, EXPANDED, PENDING = (
    "delivered", "junk", "quarantine", "failed", "expanded", "pending",
)  # fmt: skip
_STATES = {
    "delivered": DELIVERED,
    "expanded": EXPANDED,
    "failed": FAILED,
    "filteredasspam": JUNK,
    "quarantined": QUARANTINE,
}
_JUNK = re.compile(r"DefaultFolderType:\s*JunkEmail", re.IGNORECASE)
_REASON = re.compile(r"LED=(.*?)\};\{MSG", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a message for one recipient. `detail` is the service's sentence, "" where it said none.

    `external`: it was handed on to another server.
    """

    trace_id: str
    recipient: str
    state: str
    from_ip: str = ""
    detail: str = ""
    external: bool = False


def request(message_id: str) -> Cmdlet:
    """The traces of a message by its Message-ID, in angle brackets, over the last two days."""
    return Cmdlet("Get-MessageTraceV2", {"MessageId": (message_id,)}, COLUMNS)


def detail_request(fate: Fate) -> Cmdlet:
    """The events of one recipient."""
    asked = {"MessageTraceId": fate.trace_id, "RecipientAddress": fate.recipient}
    return Cmdlet("Get-MessageTraceDetailV2", asked, _EVENT_COLUMNS)


def fates(rows: Iterable[Row]) -> Sequence[Fate]:
    """What became of it by the status alone; a status that is not known counts as pending."""
    return [
        Fate(
            str(row.get("MessageTraceId") or ""),
            str(row.get("RecipientAddress") or "").lower(),
            _STATES.get(str(row.get("Status") or "").lower(), PENDING),
            str(row.get("FromIP") or ""),
        )
        for row in rows
    ]


def detailed(fate: Fate, events: Iterable[Row]) -> Fate:
    """The fate with what its events say: the folder, and the reason of a failure."""
    told = [(str(row.get("Event") or "").lower(), str(row.get("Detail") or "")) for row in events]
    last = next((text for event, text in reversed(told) if event in {"deliver", "send external", "fail"}), "")
    reason = _REASON.search(last)
    junk = fate.state == DELIVERED and any(_JUNK.search(text) for event, text in told if event == "deliver")
    state = JUNK if junk else fate.state
    external = any(event == "send external" for event, _ in told)
    return Fate(fate.trace_id, fate.recipient, state, fate.from_ip, reason[1] if reason else last, external)
