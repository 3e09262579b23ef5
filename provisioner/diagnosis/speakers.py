"""Who wrote an answer: Exchange Online, another service, or nobody that the text names. Pure.

A line that says who spoke outweighs its words, and those outweigh what stands around it: a banner, or the host that
the client was set to. Addresses of people say nothing about the speaker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from provisioner.diagnosis.facts import EMAIL, Facts
from provisioner.diagnosis.reading import REFUSAL, squash
from provisioner.diagnosis.services import HOME, PERSONAL_DOMAINS, WORDINGS, service_in
from provisioner.model.clouds import MAIL_DOMAINS, PERSONAL_HOSTS

EXCHANGE = ""
"""Exchange Online itself. Other speakers are named; None is nobody that the text names."""

ON_PREMISES = "an Exchange Server on premises"
PERSONAL = "a personal Outlook.com account"

_DOMAINS = "|".join(map(re.escape, MAIL_DOMAINS))
_MARK = re.compile(
    rf"\.prod\.(?:protection\.)?(?:{_DOMAINS})"
    r"|\bas\(?\d{4,}\)?|\[hostname=[a-z0-9]{8,}\.|\baadsts\d{5,}"
    # The parts of Exchange, which no other server has.
    r"|\b(?:resolver\.(?:adr|rst|fwd)|storedrv\.\w+|transport\.rules|queue\.expired|smtpsend\.\w+)\b"
    # The number that consumer Outlook.com's own servers end an answer with.
    r"|\(-\d{6,}:\d+:-\d+\)"
    # What Exchange Online says about a server outside, whose own words follow.
    r"|remote server returned (?:unknown|an error|message|not|access|invalid)|\b5\.(?:1\.351|0\.350|7\.350|7\.367)\b"
)
_SIGNED = re.compile(
    rf"\[(?:hostname=)?[a-z0-9]{{6,24}}\.(?:[a-z0-9\-]{{1,40}}\.){{1,4}}(?:{_DOMAINS})(?:20\d\d-[^\]]{{0,60}})?\]"
)
"""A reply that ends with the name of the server of Exchange Online that gave it, without spaces: folds leave some."""
_SAID = re.compile(
    r"\b(?:host|server) ([\w.\- ]{3,120}?) ?\[[^\]]{0,60}\](?::\d+)?:? (?:said|refused|smtp error from remote)"
    r"|\bh=([\w.\-]{3,120}) \["
)
_LOCAL = re.compile(r"\bpostfix\S{0,40}/smtpd\[|\bnoqueue: reject|\bsm-mta\[\d+\]:.{0,80}ruleset=")
_BANNER = re.compile(r"(?<![\d.])220[ \-]([A-Za-z0-9][\w\-]{0,62}(?:\.[\w\-]{1,63}){0,8}\.[A-Za-z]{2,24})\b(.{0,120})")
_REMOTE = re.compile(r"^remote-mta: ?(?:dns; ?)?([\w.\-]{3,120})")
_HOME = re.compile("|".join(rf"{re.escape(name)}(?![a-z])" for name in HOME))


def speakers(lines: Sequence[str]) -> Iterator[str | None]:
    """Who wrote the refusal of each line; None where it holds none, or the text does not say."""
    banner: str | None = None
    around = _named_around(lines)
    for line in lines:
        found = _BANNER.search(line)
        if found:
            banner = _of_banner(found[1].lower(), found[2].lower())
        elif remote := _REMOTE.match(line.lower()):
            banner = _of_banner(remote[1], "")
        if not REFUSAL.search(line):
            yield None
            continue
        own = _of_line(line)
        yield own if own is not None else banner if banner is not None else around


def is_personal(lines: Sequence[str], facts: Facts) -> bool:
    """Whether the account that signs in is one of consumer Outlook.com: by its domain, else by the host."""
    account = facts.mailbox or facts.sender
    if account:
        return PERSONAL_DOMAINS.search(account) is not None
    text = "\n".join(lines).lower()
    return any(host in text for host in PERSONAL_HOSTS)


def _of_line(line: str) -> str | None:
    """Who the line itself says wrote it."""
    lower = re.sub(EMAIL, "@", line).lower()
    if _LOCAL.search(lower):
        return "the local mail server"
    said = _SAID.search(lower)
    # A client may know the service by an alias, or speak to it through a proxy: the signature tells.
    if said and not _SIGNED.search(lower.replace(" ", "")):
        speaker = (said[1] or said[2]).replace(" ", "")
        return EXCHANGE if _HOME.search(speaker) else speaker
    # A fold may stand inside the name.
    if _MARK.search(lower) or "protectionoutlookcom" in squash(lower):
        return EXCHANGE
    return service_in(lower) or next((who for pattern, who in WORDINGS if pattern.search(lower)), None)


def _of_banner(host: str, rest: str) -> str:
    """Who greets: a reply of 220 with a name and what runs there."""
    if _HOME.search(host):
        return EXCHANGE
    if "microsoft esmtp mail service" in rest:
        return f"{ON_PREMISES}, {host}"
    return service_in(host) or host


def _named_around(lines: Sequence[str]) -> str | None:
    """The one side that the text names anywhere: the host that a client was set to, or whose log it is."""
    text = re.sub(EMAIL, "@", "\n".join(lines)).lower()
    home = _HOME.search(text) is not None
    other = service_in(text)
    if home:
        return EXCHANGE if other is None else None
    return other
