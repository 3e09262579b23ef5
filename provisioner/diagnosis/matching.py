"""The sign that a line shows: phrases and codes of the table, words that are cut, troubles before any answer. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.diagnosis.facts import addresses
from provisioner.diagnosis.reading import ENHANCED, squash
from provisioner.diagnosis.table import BARE, EXPLICIT, GENERIC, HOME, SIGNS, Sign

_LEAST_PREFIX = 10  # letters of a phrase that must be left where the text is cut


@dataclass(frozen=True, slots=True)
class Candidate:
    cause: str
    tier: int
    line: str
    status: str = ""
    cut: bool = False


@functools.lru_cache(maxsize=1024)
def of_line(line: str) -> Candidate | None:
    codes = _codes(line)
    squashed = squash(line)
    hits = [(sign, False) for sign in SIGNS if _shows(sign, codes, squashed, line)]
    if not any(sign.tier == EXPLICIT for sign, _ in hits):
        hits += [(sign, True) for sign in _cut(codes, squashed)]
    if not hits:
        return _of_connection(line)
    sign, cut = min(hits, key=lambda hit: (hit[0].tier, _position(hit[0], squashed)))
    status = next((code for code in codes if _in_codes(code, sign.codes)), next(iter(codes), ""))
    return Candidate(sign.cause, sign.tier, line, status if "." in status else "", cut)


def _codes(line: str) -> list[str]:
    """Enhanced codes of refusals in a line, then its three-digit ones; `5.7.606-649` counts as its first."""
    enhanced = [code for code in ENHANCED.findall(line) if code[0] in "45"]
    return [*dict.fromkeys(enhanced), *re.findall(r"(?<![\w.:\-])([45]\d\d)(?=[ \-:])", line)]


def _shows(sign: Sign, codes: Sequence[str], squashed: str, line: str) -> bool:
    if any(squash(word) in squashed for word in sign.unless):
        return False
    if sign.codes and not any(_in_codes(code, sign.codes) for code in codes):
        return False
    if sign.phrases:
        return any(pattern.search(squashed) for pattern in _patterns(sign.phrases))
    return sign.tier == BARE and _is_status(line, sign.codes)


_BEFORE_STATUS = re.compile(
    r"(?:^\W*|[:;(\[#='\"><,]\s*|\b[45]\d\d[ \-:]+|\b(?:status|code|error|fehler|erreur|errore)\s+)#?\Z", re.IGNORECASE
)


def _is_status(line: str, codes: Sequence[str]) -> bool:
    """Whether one of these numbers stands where a server's status does, and is not a version or a section."""
    return any(
        _in_codes(found[1], codes) and _BEFORE_STATUS.search(line[max(0, found.start() - 40) : found.start()])
        for found in ENHANCED.finditer(line)
    )


def _in_codes(code: str, allowed: Sequence[str]) -> bool:
    for one in allowed:
        first, dash, last = one.partition("-")
        if code == first:
            return True
        if dash and code.rpartition(".")[0] == first.rpartition(".")[0]:
            low, number = first.rpartition(".")[2], code.rpartition(".")[2]
            if int(low) <= int(number) <= int(last):
                return True
    return False


@functools.cache
def _patterns(phrases: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(".{0,160}?".join(map(squash, phrase.split("*")))) for phrase in phrases)


def _position(sign: Sign, squashed: str) -> int:
    found = [match.start() for pattern in _patterns(sign.phrases) if (match := pattern.search(squashed))]
    return min(found, default=len(squashed))


def _cut(codes: Sequence[str], squashed: str) -> Iterator[Sign]:
    """Signs whose phrase the text ends in the middle of, where only one cause is meant."""
    if not codes:
        return
    found: dict[str, Sign] = {}
    for sign in SIGNS:
        if sign.codes and not any(_in_codes(code, sign.codes) for code in codes):
            continue
        for phrase in map(squash, (p for p in sign.phrases if "*" not in p)):
            lengths = range(len(phrase) - 1, max(_LEAST_PREFIX, len(phrase) // (4 if sign.codes else 2)) - 1, -1)
            if sign.tier == EXPLICIT and any(squashed.endswith(phrase[:n]) for n in lengths):
                found[sign.cause] = sign
    if len(found) == 1:
        yield from found.values()


_MICROSOFT_NETWORKS = tuple(
    ipaddress.IPv4Network(text)  # Exchange Online's own (Microsoft 365 URLs and IP address ranges, ids 1, 9, 10)
    for text in ("40.92.0.0/15", "40.96.0.0/13", "40.104.0.0/15", "40.107.0.0/16", "52.96.0.0/14", "52.100.0.0/14",
                 "52.238.78.88/32", "104.47.0.0/17", "132.245.0.0/16", "13.107.6.152/31", "13.107.18.10/31",
                 "13.107.128.0/22", "23.103.160.0/20", "150.171.32.0/22", "204.79.197.215/32")
)  # fmt: skip
_NO_ANSWER = re.compile(
    r"ETIMEDOUT|timed? ?out|ECONNREFUSED|connection refused|actively refused|no route to host|EHOSTUNREACH|ENETUNREACH"
    r"|failed to respond|could not connect|can't connect|unable to connect|connection failed",
    re.IGNORECASE,
)
_NO_HOST = re.compile(
    r"ENOTFOUND|EAI_AGAIN|name or service not known|nodename nor servname|no such host|could not resolve|unknown ?host"
    r"|name resolution|getaddrinfo failed|host not found",
    re.IGNORECASE,
)


def _of_connection(line: str) -> Candidate | None:
    """Troubles before any answer: only where the line shows that a Microsoft host was meant."""
    lower = line.lower()
    named = any(name in lower for name in HOME) or "office365" in lower
    if named and _NO_HOST.search(line):
        return Candidate("host-not-found", EXPLICIT, line)
    if not _NO_ANSWER.search(line) or not (named or any(_is_microsoft(ip) for ip in addresses(line))):
        return None
    port = re.search(r"(?:[:\] ]|port[ =:]*)(25|465|587)\b", lower)
    causes = {"465": "port-465", "25": "port-25-blocked", "587": "port-587-blocked"}
    return Candidate(causes[port[1]], EXPLICIT if port[1] == "465" else GENERIC, line) if port else None


def _is_microsoft(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(ip, ipaddress.IPv4Address) and any(ip in network for network in _MICROSOFT_NETWORKS)
