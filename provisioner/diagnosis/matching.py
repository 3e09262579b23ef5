"""The sign that a line shows: phrases and codes of the table, words that are cut, troubles before any answer. Pure."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from provisioner.diagnosis.facts import addresses
from provisioner.diagnosis.reading import ENHANCED, squash
from provisioner.diagnosis.services import HOME
from provisioner.diagnosis.table import BARE, EXPLICIT, GENERIC, SIGNS, Sign
from provisioner.model.clouds import CLOUDS, MX_SUFFIXES

_HOME = re.compile("|".join(rf"{re.escape(name)}(?![a-z])" for name in HOME))

_LEAST_PREFIX = 10  # letters of a phrase that must be left where the text is cut, beside its code
_LEAST_ALONE = 14  # and without one


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cause that a line shows. `rival` is another cause that it names as clearly, `contradicted` means that only its
    number stands for the cause, and the words beside it are about something else."""

    cause: str
    tier: int
    line: str
    status: str = ""
    cut: bool = False
    rival: str = ""
    contradicted: bool = False

    @property
    def certain(self) -> bool:
        return self.tier == EXPLICIT and not self.cut and not self.rival


# .NET puts a sentence of its own before the server's ("Service not available, closing transmission channel.").
_QUOTED = re.compile(
    r"(?:server response was|serverantwort (?:war|lautete)|réponse du serveur était|respuesta del servidor fue) ?: ?",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=4096)
def of_line(line: str, *, home: bool = False) -> Candidate | None:
    """The cause that a line shows, if any. `home`: Exchange Online wrote it, or was meant where nobody answered."""
    quoted = _QUOTED.search(line)
    answer = of_line(line[quoted.end() :], home=home) if quoted else None
    if answer is not None:
        return dataclasses.replace(answer, line=line)
    codes = _codes(line)
    squashed = squash(line)
    hits = [(sign, False) for sign in SIGNS if (home or not sign.home) and _shows(sign, codes, squashed, line)]
    if not any(sign.tier == EXPLICIT for sign, _ in hits):
        hits += [(sign, True) for sign in _cut(codes, squashed)]
    if not hits:
        return _of_connection(line, meant=home)
    sign, cut = min(hits, key=lambda hit: (hit[0].tier, _position(hit[0], squashed)))
    status = next((code for code in codes if _in_codes(code, sign.codes)), next(iter(codes), ""))
    explicit = {other.cause for other, was_cut in hits if other.tier == EXPLICIT and not was_cut}
    rival = next(iter(sorted(explicit - {sign.cause})), "") if sign.tier == EXPLICIT else ""
    contradicted = sign.tier == BARE and _contradicts(line, sign)
    return Candidate(sign.cause, sign.tier, line, status if "." in status else "", cut, rival, contradicted)


_SUBJECTS = re.compile(
    r"\b(sender|recipient|certificate|connector|tenant|licen[cs]e|spf|dkim|dmarc|password|mailbox|quota|expired|virus"
    r"|attachment|mx|dns|threshold|relay|direct send|organization|group|block list|client|forwarding|journal\w*)\b"
)


def _contradicts(line: str, sign: Sign) -> bool:
    """Whether the words beside a number are about something else than what the number usually means.

    `550 5.1.10 the sender address does not exist`: the code is of recipients. Words in another language, or none,
    contradict nothing.
    """
    text = re.sub(r"\[[^\]]*\]|https?:\S+|\S+@\S+", " ", line.lower())
    subjects = set(_SUBJECTS.findall(text))
    return bool(subjects) and not any(word in text for word in sign.about)


def _codes(line: str) -> list[str]:
    """Enhanced codes of refusals in a line, then its three-digit ones; `5.7.606-649` counts as its first."""
    enhanced = [code for code in ENHANCED.findall(line) if code[0] in "45"]
    return [*dict.fromkeys(enhanced), *re.findall(r"(?<![\w.:\-])([45]\d\d)(?=[ \-:])", line)]


def _shows(sign: Sign, codes: Sequence[str], squashed: str, line: str) -> bool:
    if any(_flat(word) in squashed for word in sign.unless):
        return False
    if sign.codes and not any(_in_codes(code, sign.codes) for code in codes):
        return False
    if sign.phrases:
        return any(_found(phrase, squashed) >= 0 for phrase in sign.phrases)
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
def _flat(phrase: str) -> str:
    """A phrase of the table as `squash` leaves it."""
    return squash(phrase)


@functools.cache
def _pattern(phrase: str) -> re.Pattern[str] | None:
    """What finds a phrase with gaps; None for one without, which is simply looked for."""
    parts = phrase.split("*")
    return re.compile(".{0,160}?".join(map(_flat, parts))) if len(parts) > 1 else None


def _found(phrase: str, squashed: str) -> int:
    """Where a phrase begins in a squashed text; -1 where it is not in it."""
    pattern = _pattern(phrase)
    if pattern is None:
        return squashed.find(_flat(phrase))
    found = pattern.search(squashed)
    return found.start() if found else -1


def _position(sign: Sign, squashed: str) -> int:
    found = [where for phrase in sign.phrases if (where := _found(phrase, squashed)) >= 0]
    return min(found, default=len(squashed))


_OF_CLIENTS = frozenset({
    "certificate-name", "certificate-not-trusted", "implicit-tls-on-starttls-port", "starttls-not-offered",
})  # fmt: skip
"""What a client complains of itself, which has no status code of a server."""


def _cut(codes: Sequence[str], squashed: str) -> Iterator[Sign]:
    """Signs whose phrase the text ends in the middle of, where only one cause is meant."""
    if not codes:
        return
    found: dict[str, Sign] = {}
    for sign in SIGNS:
        if sign.tier != EXPLICIT or (sign.codes and not any(_in_codes(code, sign.codes) for code in codes)):
            continue
        if sign.cause in _OF_CLIENTS and "." in codes[0]:
            continue
        for phrase in map(_flat, (p for p in sign.phrases if "*" not in p)):
            least = max(_LEAST_PREFIX, len(phrase) // 4) if sign.codes else max(_LEAST_ALONE, len(phrase) // 2)
            begun = squashed.rfind(phrase[:least], max(0, len(squashed) - len(phrase) + 1))
            if begun >= 0 and phrase.startswith(squashed[begun:]):
                found[sign.cause] = sign
    if len(found) == 1:
        yield from found.values()


_MICROSOFT_NETWORKS = tuple(
    ipaddress.ip_network(text)  # Exchange Online's own (Microsoft 365 URLs and IP address ranges, ids 1, 9, 10)
    for text in ("40.92.0.0/15", "40.96.0.0/13", "40.104.0.0/15", "40.107.0.0/16", "52.96.0.0/14", "52.100.0.0/14",
                 "52.238.78.88/32", "104.47.0.0/17", "132.245.0.0/16", "13.107.6.152/31", "13.107.18.10/31",
                 "13.107.128.0/22", "23.103.160.0/20", "150.171.32.0/22", "204.79.197.215/32",
                 "2603:1006::/40", "2603:1016::/36", "2603:1026::/36", "2603:1036::/36", "2603:1046::/36",
                 "2603:1056::/36", "2a01:111:f400::/48", "2a01:111:f403::/48")
)  # fmt: skip
_NO_ANSWER = re.compile(
    # "timeout=300" is a setting.
    r"ETIMEDOUT|(?<!unexpectedly closed: )timed?[ -]?out(?![\"']?\s?[=:]\s?\d+\s?(?:m?s\b|[,;)\]}]|$))"
    r"|ECONNREFUSED|connection refused|actively refused|no route to host|EHOSTUNREACH"
    r"|ENETUNREACH|failed to respond|not properly respond|could not connect|couldn't connect|can't connect"
    r"|cannot connect|unable to connect|(?<!tls )connection failed|network is unreachable|host is unreachable"
    # UTL_SMTP ("Exceptions": a network error is told as 421 Service not available)
    r"|ORA-29278: SMTP transient error: 421 Service not available"
    r"|failed to connect|connect error 100|(?:587|465|25)\)?: connect: (?:permission denied|operation not permitted)"
    # Windows in German, French, Spanish, Italian and Dutch: WSAETIMEDOUT, WSAECONNREFUSED
    r"|nach einer bestimmten zeitspanne nicht (?:richtig|ordnungsgemäß) reagiert|verbindung verweigerte"
    r"|n'a pas répondu convenablement|l'a expressément refusée"
    r"|no respondió adecuadamente tras un periodo|denegó expresamente dicha conexión"
    r"|risposta non corretta della parte connessa|rifiuto persistente del computer di destinazione"
    r"|niet correct heeft geantwoord na een bepaalde tijd|doelcomputer de verbinding actief heeft geweigerd",
    re.IGNORECASE,
)
_NO_HOST = re.compile(
    r"ENOTFOUND|EAI_AGAIN|EREFUSED|ESERVFAIL|name or service not known|nodename nor servname|no such host"
    r"|could not resolve|couldn't resolve|unknown ?(?:smtp )?host|name resolution|getaddrinfo failed|host not found"
    r"|cannot locate host|(?:name|host) could not be (?:resolved|found)|server misbehaving|NXDOMAIN|SERVFAIL"
    r"|no address associated|lookup \S+ on \S+:53|lookup \S+: i/o timeout|could not find host|unable to resolve"
    # .NET in German, French, Spanish, Italian and Dutch
    r"|(?:remotename|hostname) konnte nicht aufgelöst werden|nom distant n'a pas pu être résolu"
    r"|no se puede resolver el nombre remoto|impossibile risolvere il nome remoto"
    r"|externe naam (?:kan niet worden|niet) om(?:gezet|zetten)",
    re.IGNORECASE,
)
_DROPPED = re.compile(
    r"forcibly closed|connection reset|ECONNRESET|unexpectedly closed|unexpectedly disconnected|lost connection"
    r"|connection lost|closed (?:the )?connection|broken pipe|EPIPE|server terminated the connection"
    r"|net_io_connectionclosed"
    # Windows in German, French, Spanish, Italian and Dutch: WSAECONNRESET
    r"|vom remotehost geschlossen|fermée par l'hôte distant|interrupción de una conexión existente"
    r"|interrotta forzatamente dall'host remoto|geforceerd gesloten door de externe host",
    re.IGNORECASE,
)
# JavaMail's word for the code that a server greeted with; -1 stands for none.
_GREETING = re.compile(r"could not connect to smtp host: .{1,300}, response: ?([45]\d\d)\b", re.IGNORECASE)
_PORT = re.compile(r"(?::|port[ =:,]{0,3})(25|465|587)\b|[\] ](25|465|587)(?=[\s,;)\]]|$)")
_BLOCKED = {"465": "port-465", "25": "port-25-blocked", "587": "port-587-blocked"}


def _of_connection(line: str, *, meant: bool) -> Candidate | None:
    """Troubles before any answer: only where it shows that a Microsoft host was meant."""
    lower = line.lower()
    named = meant or _HOME.search(lower) is not None
    if named and _NO_HOST.search(line):
        return Candidate("host-not-found", EXPLICIT, line)
    if not (named or any(_is_microsoft(ip) for ip in addresses(line))):
        return None
    greeting = _GREETING.search(line)
    if greeting:
        return Candidate("receiver-not-available", GENERIC, line) if greeting[1] == "421" else None
    if _NO_ANSWER.search(line):
        ports = _PORT.search(lower)
        port = (ports[1] or ports[2]) if ports else _usual_port(lower)
        return Candidate(_BLOCKED[port], EXPLICIT if port == "465" else GENERIC, line) if port else None
    return Candidate("connection-dropped", GENERIC, line) if _DROPPED.search(line) else None


def unanswered(line: str) -> bool:
    """Whether a line says that nothing answered, whichever host was meant."""
    return _NO_ANSWER.search(line) is not None or _TIMEOUT.search(line) is not None


_TIMEOUT = re.compile(r"connection time-?out|\b1006[01]\b", re.IGNORECASE)  # WSAETIMEDOUT, WSAECONNREFUSED


def _usual_port(lower: str) -> str:
    """The port where a text names none: an MX endpoint has 25, the submission host is meant with 587."""
    if any(end.lstrip(".") in lower for end in MX_SUFFIXES):
        return "25"
    return "587" if any(cloud.smtp in lower for cloud in CLOUDS.values()) else ""


def _is_microsoft(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(ip in network for network in _MICROSOFT_NETWORKS if network.version == ip.version)
