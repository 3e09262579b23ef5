"""From an answer of a mail server to its cause: a device's log line, a bounce, an SMTP dialogue, as text of any kind.

Precision comes before recall: a line that is not known is said to be unknown, and one that another server wrote is said
to be that server's. The knowledge is in `diagnose_causes` and `diagnose_table`; here are the reading of text (quoted
printable, HTML, syslog's escapes, folded and cut lines, wrappers of clients), the choice among signs, what the text
tells about addresses, the plan that would mend it, and the questions that a live tenant could answer. Pure: nobody is
asked here.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import functools
import html
import ipaddress
import itertools
import quopri
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message

from provisioner.diagnosis.causes import BY_ID, Cause
from provisioner.diagnosis.table import (
    BARE,
    EXPLICIT,
    FOREIGN,
    FOREIGN_WORDING,
    GENERIC,
    HOME,
    SIGNS,
    Sign,
)
from provisioner.model import yaml_text

_MOST_IN_A_LINE = 8_192
_MOST_LINES = 1_500
_MOST_CHARACTERS = 262_144  # a bounce with its attachment cut off; a log's tail
_LEAST_PREFIX = 10  # letters of a phrase that must be left where the text is cut

UNKNOWN = "unknown"
FOREIGN_CAUSE = "not-exchange-online"


# --- questions that a live tenant could answer -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskSmtpAuth:
    """Which of the switches (mailbox, organization, authentication policy, security defaults) blocks SMTP AUTH?"""

    mailbox: str


@dataclass(frozen=True, slots=True)
class AskConnectorFor:
    """Which enabled inbound connector names this address? "" where the text does not tell the address.

    `relay`: one that lets mail of the address go to anyone, not only one that knows it.
    """

    ip: str
    relay: bool = False


@dataclass(frozen=True, slots=True)
class AskAcceptedDomain:
    """Is this an accepted domain of the tenant?"""

    domain: str


@dataclass(frozen=True, slots=True)
class AskSendAs:
    """May `mailbox` send as `sender`?"""

    mailbox: str
    sender: str


@dataclass(frozen=True, slots=True)
class AskRejectDirectSend:
    """Does the organization reject direct send?"""


@dataclass(frozen=True, slots=True)
class AskSpf:
    """Does SPF of the domain cover the address?"""

    domain: str
    ip: str


@dataclass(frozen=True, slots=True)
class AskDkim:
    """Does Exchange sign for this domain?"""

    domain: str


@dataclass(frozen=True, slots=True)
class AskRecipient:
    """Does this address exist in the tenant?"""

    address: str


Question = (
    AskSmtpAuth
    | AskConnectorFor
    | AskAcceptedDomain
    | AskSendAs
    | AskRejectDirectSend
    | AskSpf
    | AskDkim
    | AskRecipient
)


# --- the diagnosis ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """What the text tells by the way; "" where it does not. Addresses in lower case, `ip` a public address."""

    mailbox: str = ""
    sender: str = ""
    recipient: str = ""
    ip: str = ""
    domain: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an answer means.

    `cause` is an id of docs/causes.md, "unknown" or "not-exchange-online". `confidence`: "certain" (the words name the
    cause), "likely" (a family of causes, a cut text, or a number alone) or "none". `evidence` quotes what it rests on.
    `plan` is YAML for the plan, `fill_in` names what it lacks. `retry`: no, later, after-fix, fresh-token, unknown.
    """

    cause: str
    confidence: str
    summary: str
    status: str = ""
    evidence: tuple[str, ...] = ()
    fix: str = ""
    plan: str = ""
    fill_in: tuple[str, ...] = ()
    retry: str = "unknown"
    source: str = ""
    questions: tuple[Question, ...] = ()
    facts: Facts = Facts()

    @property
    def known(self) -> bool:
        return self.cause not in (UNKNOWN, FOREIGN_CAUSE)


def diagnose(text: str) -> Diagnosis:
    """Say what the first refusal in `text` that matters means. Never raises, whatever the text holds."""
    lines = readable(text)
    facts = _facts(lines)
    best = _best(lines)
    refused = tuple(_short(line) for line in lines if _REFUSAL.search(line))[:1]
    if isinstance(best, str):
        summary = f"this answer was written by another mail server ({best}), not by Exchange Online"
        status = _status(lines)
        return Diagnosis(FOREIGN_CAUSE, "certain", summary, status, refused, "look at that server", facts=facts)
    if best is None:
        summary = "this text is not known" if refused else "there is no refusal in this text"
        return Diagnosis(UNKNOWN, "none", summary, _status(lines), refused, facts=facts)
    cause = BY_ID[best.cause]
    plan, fill_in = _plan(cause, facts)
    return Diagnosis(
        cause.id,
        "certain" if best.tier == EXPLICIT and not best.cut else "likely",
        cause.summary,
        best.status or _status(lines),
        (_short(best.line),),
        cause.fix,
        plan,
        fill_in,
        cause.retry,
        cause.source,
        _questions(cause, facts),
        facts,
    )


# --- reading ---------------------------------------------------------------------------------------------------------

_ENHANCED = re.compile(r"(?<![\w.\-])#?([245]\.\d{1,3}\.\d{1,3})(?![\w]|\.\d)")
_REFUSAL = re.compile(
    r"(?<![\w.])[45]\d\d[ \-:]+[A-Za-z#<\"'(]|(?<![\w.\-])#?[45]\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)"
    r"|AADSTS\d{5,}|\b(?:refused|denied|rejected|failed|unsuccessful|timed out|ETIMEDOUT|ECONNREFUSED|error)\b",
    re.IGNORECASE,
)
_CONTINUED = re.compile(r"^(.*?)\b([245]\d\d)-((?:[245]\.\d{1,3}\.\d{1,3} )?)(.*)$")
_TAG = re.compile(
    r"</?(?:p|br|div|span|b|i|u|a|td|tr|th|table|tbody|font|strong|em|li|ul|ol|pre|code|html|body|head|h\d)\b[^<>]*>",
    re.IGNORECASE,
)
_MAIL_HEADER = re.compile(
    r"^(?:MIME-Version|Content-Type|Return-Path|Received|Message-ID):", re.IGNORECASE | re.MULTILINE
)

# A line of quoted-printable that goes on; not one of Base64, as logins have it, which ends so too.
_SOFT_BREAK = re.compile(r"^(?![^\w\n]{0,40}(?:[CS]\b[^\w\n]{0,40})?[A-Za-z0-9+/]+={1,2}\r?$)(.*)=\r?\n", re.MULTILINE)


def readable(text: str) -> list[str]:
    """The lines of a text without its wrappings: mail, quoted-printable, HTML, escapes, folds, split replies."""
    text = text[:_MOST_CHARACTERS]
    if _MAIL_HEADER.search(text[:4000]):
        text = _mail_text(text)
    text = _SOFT_BREAK.sub(r"\1", text)
    if re.search(r"=3D|=E2=80|=C3=[89AB]|=20$", text, re.MULTILINE):
        text = quopri.decodestring(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    if "&" in text or _TAG.search(text):
        text = html.unescape(html.unescape(_TAG.sub(" ", text)))
    text = re.sub(r"#015|\\r(?=\\n|$)", "", text)
    text = re.sub(r"#012|\\r\\n|\\n(?![a-z]{3,})|\u2028", "\n", text)
    text = re.sub(r"\\u(?!d[89a-f])([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), text, flags=re.IGNORECASE)
    text = text.replace("\\'", "'").replace('\\"', '"').replace("\u2019", "'").replace("\u00a0", " ")
    text = re.sub(r"\r?\n(?=[ \t]+\S)", " ", text.replace("\r\n", "\n"))
    lines = [re.sub(r"[ \t\x00-\x08\x0b-\x1f]+", " ", line[:_MOST_IN_A_LINE]).strip() for line in text.split("\n")]
    return list(_joined([line for line in lines if line][:_MOST_LINES]))


def _mail_text(text: str) -> str:
    """Headers and readable parts of a bounce, decoded, without the message that came back with it.

    A text that is no proper mail comes back as it is.
    """
    try:
        message = email.message_from_string(text.lstrip(), policy=email.policy.default)
        found = "\n".join([f"From: {message['from'] or ''}", *_parts(message)])
    except (ValueError, LookupError, TypeError, AttributeError):
        return text  # the parser of mail gives up in many ways
    return found if _REFUSAL.search(found) else text


def _parts(part: Message) -> Iterator[str]:
    kind = part.get_content_type()
    if kind in ("message/rfc822", "text/rfc822-headers"):
        return
    if kind == "message/delivery-status":
        yield part.as_string()
    elif part.is_multipart():
        for below in part.get_payload():
            if isinstance(below, Message):
                yield from _parts(below)
    elif part.get_content_maintype() == "text":
        raw = part.get_payload(decode=True)
        if isinstance(raw, bytes):
            yield raw.decode(part.get_content_charset("utf-8") or "utf-8", "replace")


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Multi-line replies as one line: `550-5.7.26 one` and `550 5.7.26 two` become `550 5.7.26 one two`."""
    gathered: list[str] = []
    code = ""
    for line in lines:
        found = _CONTINUED.match(line)
        if found and found[2][0] != "2" and (not code or found[2] == code):
            gathered.append(line if not gathered else found[4])
            code = found[2]
            continue
        if code and (last := re.match(rf"^(?:.*?\b)?{code}[ ]((?:[245]\.\d+\.\d+ )?)(.*)$", line)):
            yield " ".join([*gathered, last[2]]).replace(f"{code}-", f"{code} ", 1)
            gathered, code = [], ""
            continue
        if gathered:
            yield " ".join(gathered).replace(f"{code}-", f"{code} ", 1)
            gathered, code = [], ""
        yield line
    if gathered:
        yield " ".join(gathered).replace(f"{code}-", f"{code} ", 1)


def _squash(text: str) -> str:
    """Letters and digits only, in lower case: what survives every wrapping."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())


def _short(line: str) -> str:
    return line if len(line) <= 400 else f"{line[:399]}…"


def _status(lines: Sequence[str]) -> str:
    for line in lines:
        found = [code for code in _ENHANCED.findall(line) if code[0] in "45"]
        if found and _REFUSAL.search(line):
            return str(found[0])
    return ""


# --- choosing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Candidate:
    cause: str
    tier: int
    line: str
    status: str = ""
    cut: bool = False


_MICROSOFT_MARK = re.compile(
    r"\.prod\.(?:protection\.)?(?:outlook\.com|exchangelabs\.com)|\bas\(?\d{4,}\)?"
    # What Exchange Online says of a server outside, whose own words follow.
    r"|remote server returned (?:unknown|an error|message|not|access|invalid)|\b5\.(?:1\.351|0\.350|7\.350|7\.367)\b"
)


def _best(lines: Sequence[str]) -> _Candidate | str | None:
    """The first refusal of the best kind; another server's name where that one speaks; None when nothing is known."""
    found: list[_Candidate] = []
    foreign = ""
    for line in lines:
        other = _foreign(line)
        if other:
            foreign = foreign or (other if not found else "")
            continue
        candidate = _of_line(line)
        if candidate is not None:
            found.append(candidate)
    if foreign and not any(c.tier == EXPLICIT for c in found):
        return foreign
    whole = _of_line(" ".join(lines)[: 4 * _MOST_IN_A_LINE]) if len(lines) > 1 and not foreign else None
    best = min(found, key=lambda c: c.tier, default=None)
    if whole is not None and (best is None or whole.tier < best.tier):
        return whole
    return best


def _foreign(line: str) -> str:
    """Who else wrote this line, or "". Addresses in it say nothing about the speaker; a host that "said" it does."""
    if not _REFUSAL.search(line):
        return ""
    lower = re.sub(_EMAIL, "@", line).lower()
    said = re.search(r"\bhost ([\w.\- ]{3,120}?)\[[^\]]{0,60}\] (?:said|refused)", lower)
    if said:
        speaker = said[1].replace(" ", "")
        return "" if any(name in speaker for name in HOME) else speaker
    if _MICROSOFT_MARK.search(lower) or "protectionoutlookcom" in _squash(lower):  # a fold may stand inside the name
        return ""
    mark = next((who for name, who in FOREIGN if name in lower), "")
    return mark or next((who for pattern, who in FOREIGN_WORDING if re.search(pattern, lower)), "")


@functools.lru_cache(maxsize=1024)
def _of_line(line: str) -> _Candidate | None:
    codes = _codes(line)
    squashed = _squash(line)
    hits = [(sign, False) for sign in SIGNS if _shows(sign, codes, squashed, line)]
    if not any(sign.tier == EXPLICIT for sign, _ in hits):
        hits += [(sign, True) for sign in _cut(codes, squashed)]
    if not hits:
        return _of_connection(line)
    sign, cut = min(hits, key=lambda hit: (hit[0].tier, _position(hit[0], squashed)))
    status = next((code for code in codes if _in_codes(code, sign.codes)), next(iter(codes), ""))
    return _Candidate(sign.cause, sign.tier, line, status if "." in status else "", cut)


def _codes(line: str) -> list[str]:
    """Enhanced codes of refusals in a line, then its three-digit ones; `5.7.606-649` counts as its first."""
    enhanced = [code for code in _ENHANCED.findall(line) if code[0] in "45"]
    return [*dict.fromkeys(enhanced), *re.findall(r"(?<![\w.:\-])([45]\d\d)(?=[ \-:])", line)]


def _shows(sign: Sign, codes: Sequence[str], squashed: str, line: str) -> bool:
    if any(_squash(word) in squashed for word in sign.unless):
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
        for found in _ENHANCED.finditer(line)
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
    return tuple(re.compile(".{0,160}?".join(map(_squash, phrase.split("*")))) for phrase in phrases)


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
        for phrase in map(_squash, (p for p in sign.phrases if "*" not in p)):
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


def _of_connection(line: str) -> _Candidate | None:
    """Troubles before any answer: only where the line shows that a Microsoft host was meant."""
    lower = line.lower()
    named = any(name in lower for name in HOME) or "office365" in lower
    if named and _NO_HOST.search(line):
        return _Candidate("host-not-found", EXPLICIT, line)
    if not _NO_ANSWER.search(line) or not (named or any(_is_microsoft(ip) for ip in _addresses(line))):
        return None
    port = re.search(r"(?:[:\] ]|port[ =:]*)(25|465|587)\b", lower)
    causes = {"465": "port-465", "25": "port-25-blocked", "587": "port-587-blocked"}
    return _Candidate(causes[port[1]], EXPLICIT if port[1] == "465" else GENERIC, line) if port else None


def _is_microsoft(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return isinstance(ip, ipaddress.IPv4Address) and any(ip in network for network in _MICROSOFT_NETWORKS)


# --- facts -----------------------------------------------------------------------------------------------------------

_EMAIL = r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9\-.]{0,250}[A-Za-z0-9])?"
_SEND_AS = re.compile(rf"({_EMAIL}) not allowed to send as ({_EMAIL})", re.IGNORECASE)
_LOGIN = re.compile(
    rf"\b(?:user(?:name)?|login|account|auth(?:enticating)?(?: as| user)?)\W{{1,4}}({_EMAIL})", re.IGNORECASE
)
_FROM = re.compile(
    rf"(?:\bMAIL FROM:\s*<?|\bfrom=<?|(?:^|\s)From:[^<\n]{{0,80}}<?|\bsender[=:]\s*<?)({_EMAIL})", re.IGNORECASE
)
_TO = re.compile(rf"(?:\bRCPT TO:\s*<?|(?<![a-z])to=<?|\bFinal-Recipient:\s*rfc822;\s*<?)({_EMAIL})", re.IGNORECASE)
_OWN_IP = re.compile(
    r"(?:Hello|banned sending IP|Client host|mail server|messages from|try again later from|IPv6 address)\W*"
    r"\[([0-9A-Fa-f:.]{3,45})\]",
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    r"sending domain \[?([A-Za-z0-9](?:[A-Za-z0-9.\-]{0,240}[A-Za-z0-9])?\.[A-Za-z]{2,24})\b", re.IGNORECASE
)
_HOST = re.compile(
    r"(?<![a-z0-9\-.])((?:[a-z0-9\-]{1,63}\.){1,8}(?:outlook\.com|office365\.com|mx\.microsoft|office365\.us))\b",
    re.IGNORECASE,
)


def _facts(lines: Sequence[str]) -> Facts:
    text = "\n".join(lines)
    send_as = _SEND_AS.search(text)
    sender = send_as[2] if send_as else _first(_FROM, text)
    mailbox = send_as[1] if send_as else (_first(_LOGIN, text) or _typed_user(lines))
    domain = _first(_DOMAIN, text) or sender.rpartition("@")[2]
    return Facts(
        mailbox=mailbox.lower(),
        sender=sender.lower(),
        recipient=_first(_TO, text).lower(),
        ip=_own_ip(text),
        domain=domain.lower(),
        host=_first(_HOST, text).lower(),
    )


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _typed_user(lines: Sequence[str]) -> str:
    """The user name of an AUTH LOGIN dialogue: the line after the server's "Username:". The password is never read."""
    for question, answer in itertools.pairwise(lines):
        if "334 VXNlcm5hbWU6" not in question:
            continue
        try:
            user = base64.b64decode(answer.split()[-1], validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError, IndexError, ValueError):
            continue
        if re.fullmatch(_EMAIL, user):
            return user
    return ""


def _addresses(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for found in re.findall(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", text):
        try:
            yield ipaddress.ip_address(found)
        except ValueError:
            continue


def _own_ip(text: str) -> str:
    """The address that the server saw: where it names it. Private addresses are nobody's out there."""
    for found in _OWN_IP.findall(text):
        try:
            ip = ipaddress.ip_address(found)
        except ValueError:
            continue
        inside = ip.is_loopback or ip.is_link_local or any(ip in n for n in _PRIVATE if n.version == ip.version)
        if not inside and not ip.is_unspecified:
            return str(ip)
    return ""


_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)


# --- what would mend it, and what would prove it ---------------------------------------------------------------------


def _plan(cause: Cause, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """The plan's part that mends it, and what is to be filled in. Values come from the text, checked by pattern."""
    builder = _PLANS.get(cause.mend)
    return builder(facts) if builder else ("", ())


def _smtp_auth(facts: Facts) -> tuple[str, tuple[str, ...]]:
    mailbox = facts.mailbox or facts.sender
    text = yaml_text.write({"smtp_auth": {"mailboxes": {mailbox or "MAILBOX": "enabled"}}})
    return text, () if mailbox else ("MAILBOX: the address that the device logs in with",)


def _connector(facts: Facts) -> tuple[str, tuple[str, ...]]:
    ip = facts.ip if ":" not in facts.ip else ""
    connector = {
        "type": "on_premises",
        "enabled": True,
        "sender_ip_addresses": [ip or "ADDRESS"],
        "sender_domains": ["*"],
    }
    text = yaml_text.write({"inbound_connectors": {"NAME": connector}})
    lacks = ("NAME: a name of your choice, or of the connector that is there (with all its addresses)",)
    return text, lacks if ip else (*lacks, "ADDRESS: the public IPv4 address that the device sends from")


def _send_as(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"send_as": {facts.mailbox or "MAILBOX": [facts.sender or "ADDRESS"]}})
    lacks = [] if facts.mailbox else ["MAILBOX: the address that the device logs in with"]
    return text, (*lacks, *([] if facts.sender else ["ADDRESS: the From address"]))


def _domain(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"domains": {facts.domain or "DOMAIN": {"verified": True, "accepted": True}}})
    return text, () if facts.domain else ("DOMAIN: the domain of the sender's address",)


def _dkim(facts: Facts) -> tuple[str, tuple[str, ...]]:
    text = yaml_text.write({"dkim": {facts.domain or "DOMAIN": {"enabled": True, "key_size": 2048}}})
    return text, () if facts.domain else ("DOMAIN: the domain of the From address",)


_PLANS: dict[str, Callable[[Facts], tuple[str, tuple[str, ...]]]] = {
    "smtp_auth": _smtp_auth,
    "connector": _connector,
    "send_as": _send_as,
    "domain": _domain,
    "dkim": _dkim,
}


_LOGIN_CAUSES = frozenset({"basic-auth-off", "security-defaults", "auth-not-allowed-by-organization", "account-locked"})


def _questions(cause: Cause, facts: Facts) -> tuple[Question, ...]:
    """What to ask the tenant; a question about a mailbox or domain only where the text names one."""
    mailbox = facts.mailbox or facts.sender
    found: list[Question] = []
    if cause.mend == "smtp_auth" or cause.id in _LOGIN_CAUSES:
        found += [AskSmtpAuth(mailbox)]
    elif cause.mend == "connector" and cause.id != "basic-auth-retired":
        found += [AskConnectorFor(facts.ip, relay=cause.id == "relay-denied")]
        found += [AskRejectDirectSend()] if cause.id == "direct-send-rejected" else []
        found += [AskAcceptedDomain(facts.domain)] if facts.domain else []
    elif cause.mend == "send_as" and facts.sender:
        found += [AskSendAs(facts.mailbox, facts.sender), AskAcceptedDomain(facts.domain)]
    elif cause.mend == "domain" and facts.domain:
        found += [AskAcceptedDomain(facts.domain)]
    elif cause.mend in ("spf", "dkim") and facts.domain:
        found += [AskSpf(facts.domain, facts.ip), AskDkim(facts.domain)]
    elif cause.id in ("recipient-rejected", "recipient-unknown") and facts.recipient:
        found += [AskRecipient(facts.recipient)]
    return tuple(found)
