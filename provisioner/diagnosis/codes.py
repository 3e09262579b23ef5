"""What the codes of Exchange Online in an answer say beside its words: server, time, session, the part that refused.

They prove nothing about the cause. They tell which side refused, and they are what Microsoft's support asks for. Pure.
Sources: Microsoft, "Email non-delivery reports in Exchange Online" and "NDR diagnostics for administrators"; for the
parts of transport "Mail flow and the transport pipeline".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.model.clouds import MAIL_DOMAINS

_SERVER = re.compile(
    rf"\[(?:Hostname=)?([A-Z0-9]{{6,24}}\.[A-Za-z0-9.\-]{{3,80}}\.(?:{'|'.join(map(re.escape, MAIL_DOMAINS))}))"
    r"(?: (\d{4}-\d\d-\d\dT[\d:.]{8,16}Z))?(?: ([0-9A-F]{16}))?\]",
    re.IGNORECASE,
)
_REGIONS = {
    "eur": "Europe", "nam": "North America", "apc": "Asia and Pacific", "jpn": "Japan", "aus": "Australia",
    "gbr": "the United Kingdom", "can": "Canada", "ind": "India", "fra": "France", "deu": "Germany",
    "che": "Switzerland",
    "kor": "Korea", "lam": "Latin America", "nor": "Norway", "swe": "Sweden", "are": "the United Arab Emirates",
    "chn": "China", "zaf": "South Africa", "qat": "Qatar", "isr": "Israel", "pol": "Poland", "ita": "Italy",
}  # fmt: skip
_PARTS = (
    (r"STOREDRV\.Submission", "the sending mailbox refused to submit the message: the login was accepted"),
    (r"STOREDRV\.ClientSubmit", "the sending mailbox refused to take the message from the client"),
    (r"STOREDRV\.Deliver", "the recipient's mailbox refused the message: it had been accepted for the organization"),
    (r"RESOLVER\.ADR", "the recipient's address was looked up in the directory"),
    (r"RESOLVER\.RST", "a restriction of the recipient was applied"),
    (r"RESOLVER\.FWD", "forwarding of the recipient was applied"),
    (r"TRANSPORT\.RULES", "a mail flow rule was applied"),
    (r"SMTPSEND\.\w+", "Exchange tried to hand the message to another server"),
    (r"QUEUE\.Expired", "the message waited in a queue of Exchange until it expired"),
    (r"TenantInboundAttribution", "the sender's domain is the tenant's own, and no connector matched"),
    (r"TenantAttribution", "no connector told whose mail it is"),
)
_NUMBERED = (
    (re.compile(r"\bAS\(?(\d{4,})\)?"), "rule {0} of the filter for spam and abuse"),
    (re.compile(r"(?<=[(\s])S(\d{4,6})(?=\))"), "rule {0} of the filter for the sender's reputation"),
    (re.compile(r"\bATTR(\d{1,3})\b"), "step {0} of attribution: whose tenant's mail it is"),
    (re.compile(r"\b(?:PRX|MRH)([A-Z]?\d{1,2})\b"), "the front end could not pass the session on ({0})"),
    (re.compile(r"\bErrorCode: ?(\d{3,})"), "the diagnostic number {0}"),
)
_EXCEPTION = re.compile(
    r"(?<![A-Za-z.])[A-Z]+\.\w+\.Exception: ?([A-Z]\w{2,60}Exception)\b"
    r"|\b(MapiException[A-Z]\w{3,60}|OutboundSpamException)\b"
)
"""Behind a part of Exchange or known as its own: a program that sends has exceptions too, and they are not these."""
_MAPI = re.compile(r"\b(?:0|1|16|17|20|255)\.\d{5}:[0-9A-F]{8}")
_MOST = 12


@dataclass(frozen=True, slots=True)
class Code:
    """A code as it stands in the answer, and what it says."""

    code: str
    meaning: str


def codes_in(text: str) -> tuple[Code, ...]:
    """The codes of Exchange Online in a text, each once, in their order of kind."""
    found: dict[str, str] = {}
    for code, meaning in _all(text):
        found.setdefault(code, meaning)
        if len(found) == _MOST:
            break
    return tuple(Code(code, meaning) for code, meaning in found.items())


def _all(text: str) -> Iterator[tuple[str, str]]:
    for server in _SERVER.finditer(text):
        yield server[0].strip("[]"), _of_server(server)
    for pattern, meaning in _PARTS:
        if part := re.search(pattern, text, re.IGNORECASE):
            yield part[0], meaning
    for numbered, meaning in _NUMBERED:
        for code in numbered.finditer(text):
            yield code[0], meaning.format(code[1])
    for name in _EXCEPTION.finditer(text):
        yield name[1] or name[2], "the exception that Exchange raised"
    if number := _MAPI.search(text):
        yield number[0], "the first of the store's diagnostic numbers, for Microsoft's support"


def _of_server(found: re.Match[str]) -> str:
    """`[AM0PR10CA0042.EURPRD10.PROD.OUTLOOK.COM 2026-02-03T10:11:12.131Z 08DE61F0A1B2C3D4]`: server, time, session."""
    site = re.search(r"\.(?:eop-)?([a-z]{3})[a-z0-9]*\.?(?:prod)?", found[1].lower())
    region = _REGIONS.get(site[1], "") if site else ""
    told = [f"the server that answered{f', in {region}' if region else ''}"]
    told += [f"at {found[2]}"] if found[2] else []
    told += [f"session {found[3]}"] if found[3] else []
    return "; ".join(told)
