"""SPF as RFC 7208 has it: check_host(), and a survey of everything that a record leads to.

Why not a library: the one that exists, pyspf (2.0.14 on PyPI, PSF licence), knows the RFC well but cannot
be driven from outside. It asks by itself, blocking, through one function of its module and dnspython's default
resolver: another server, a loopback one or shared answers mean patching the module for everybody, and 25 domains at
once mean 25 threads. Its bound is 20 seconds for each lookup. It gives a verdict, and no list of what a record leads
to, which is half of what a check needs. It is written for Python 2 as well, without types, and brings authres.
What is left of the RFC is this file and `spf_syntax`: a generator that yields questions, with limits of our own.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from provisioner.mail_dns.dialogue import LONGEST_NAME, NO_NAME, Answers, Dialogue, DnsAnswer, Status, ask
from provisioner.mail_dns.spf_syntax import (
    LOOKS_UP,
    QUALIFIERS,
    Mechanism,
    SpfRecord,
    SpfSyntaxError,
    check_macros,
    expand,
    is_spf,
    macro_letters,
    parse,
)
from provisioner.model import DnsQuery

MOST_LOOKUPS = 10
MOST_VOID = 2
_MOST_NAMES = 10  # address lookups of one mx, names looked at of one ptr (4.6.4)

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class SpfResult:
    """`result`: none, neutral, pass, fail, softfail, temperror or permerror (2.6).

    `explanation` is the domain's own text for a fail, "" where it has none. `reason` says in words what decided,
    `domain` and `term` where. `lookups` and `voids` are what was used of the limits of ten and two.
    """

    result: str
    explanation: str = ""
    reason: str = ""
    domain: str = ""
    term: str = ""
    lookups: int = 0
    voids: int = 0


class _Ended(Exception):
    """permerror or temperror, from whatever depth; never leaves this module."""

    def __init__(self, result: str, reason: str, domain: str = "", term: str = "") -> None:
        self.result, self.reason, self.domain, self.term = result, reason, domain, term
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one record says; "none" when there is no record. `exp` belongs to `domain`, where it was reached."""

    result: str
    reason: str
    domain: str
    term: str = ""
    exp: str | None = None


@dataclass(slots=True)
class _Client:
    """The SMTP client being looked at, and what has been used up on its account."""

    ip: Ip
    sender: str
    helo: str
    receiver: str
    now: int
    lookups: int = 0
    voids: int = 0
    validated: list[str] | None = field(default=None)

    @property
    def address_type(self) -> str:
        return "A" if self.ip.version == 4 else "AAAA"

    def count_lookup(self, domain: str, term: str) -> None:
        self.lookups += 1
        if self.lookups > MOST_LOOKUPS:
            raise _Ended("permerror", f"more than {MOST_LOOKUPS} terms need DNS lookups", domain, term)

    def count_void(self, domain: str, term: str) -> None:
        self.voids += 1
        if self.voids > MOST_VOID:
            raise _Ended("permerror", f"more than {MOST_VOID} lookups came back empty", domain, term)


def check_host(
    ip: str, sender: str, helo: str, *, receiver: str = "unknown", now: int | None = None
) -> Dialogue[SpfResult]:
    """May `ip` send mail from `sender` (an address, or "" for a bounce: then `helo` is judged)?

    `receiver` and `now` (seconds since 1970) only show in explanations. Raises ValueError when `ip` is not an address;
    every trouble of DNS is a result.
    """
    local, _, domain = sender.rpartition("@") if sender else ("", "", helo)
    domain = _ascii(domain)
    client = _Client(
        _client_ip(ip), f"{local or 'postmaster'}@{domain}", helo, receiver, int(time.time()) if now is None else now
    )
    try:
        verdict = yield from _check(client, domain)
        explanation = ""
        if verdict.result == "fail" and verdict.exp is not None:
            explanation = yield from _explanation(client, verdict)
    except _Ended as end:
        return SpfResult(end.result, "", end.reason, end.domain, end.term, client.lookups, client.voids)
    return SpfResult(
        verdict.result, explanation, verdict.reason, verdict.domain, verdict.term, client.lookups, client.voids
    )


def _client_ip(text: str) -> Ip:
    """IPv4 in an IPv6 coat is IPv4 (5, last paragraph but one)."""
    ip = ipaddress.ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _ascii(domain: str) -> str:
    """The domain without its trailing dot, in A-labels where it was written in another script (4.3)."""
    domain = domain.removesuffix(".")
    try:
        return domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return domain


# --- check_host(), section 4 -----------------------------------------------------------------------------------------


def _check(client: _Client, domain: str) -> Dialogue[_Verdict]:
    """check_host() for one domain: of the sender, of an include, of a redirect."""
    if not is_queryable(domain) or "." not in domain or domain.startswith("["):
        return _Verdict("none", f'"{domain}" is not a full domain name', domain)
    answer = yield from ask(domain, "TXT")
    if answer.failed:
        raise _Ended("temperror", f"the TXT records of {domain} cannot be had: {answer.reason}", domain)
    found = [text for text in answer.values if is_spf(text)]
    if not found:
        return _Verdict("none", f"{domain} has no SPF record", domain)
    if len(found) > 1:
        raise _Ended("permerror", f"{domain} has {len(found)} SPF records", domain)
    try:
        record = parse(found[0])
    except SpfSyntaxError as error:
        raise _Ended("permerror", f"the record of {domain} is wrong at {error}", domain, error.term) from None
    return (yield from _evaluate(client, domain, record))


def _evaluate(client: _Client, domain: str, record: SpfRecord) -> Dialogue[_Verdict]:
    for mechanism in record.mechanisms:
        if mechanism.name in LOOKS_UP:
            client.count_lookup(domain, mechanism.text)
        if (yield from _matches(client, domain, mechanism)):
            result = QUALIFIERS[mechanism.qualifier]
            return _Verdict(result, f"{mechanism.text} of {domain} matches", domain, mechanism.text, record.exp)
    if record.redirect is None:
        return _Verdict("neutral", f"nothing in the record of {domain} matches", domain)
    term = f"redirect={record.redirect}"
    client.count_lookup(domain, term)
    target = yield from _target(client, domain, record.redirect)
    verdict = yield from _check(client, target)
    if verdict.result == "none":
        raise _Ended("permerror", f"{term} of {domain} leads nowhere: {verdict.reason}", domain, term)
    return verdict


def _matches(client: _Client, domain: str, mechanism: Mechanism) -> Dialogue[bool]:
    if mechanism.name == "all":
        return True
    if mechanism.network is not None:
        return client.ip in mechanism.network
    target = yield from _target(client, domain, mechanism.target)
    if mechanism.name == "include":
        return (yield from _include(client, domain, target, mechanism.text))
    if not is_queryable(target):
        return False  # a name that cannot be asked for is taken as one that is not there (4.8)
    if mechanism.name == "a":
        return (yield from _addresses_match(client, domain, mechanism, (target,)))
    if mechanism.name == "mx":
        return (yield from _mx(client, domain, mechanism, target))
    if mechanism.name == "ptr":
        return (yield from _ptr(client, domain, mechanism, target))
    answer = yield from ask(_quoted(target), "A")  # exists asks for A even when the client comes over IPv6 (5.7)
    _settle(client, answer, target, domain, mechanism.text)
    return answer.status is Status.ROWS


def _include(client: _Client, domain: str, target: str, term: str) -> Dialogue[bool]:
    """The table of 5.2: pass matches; fail, softfail and neutral do not; none is an error of the including record."""
    verdict = yield from _check(client, target)
    if verdict.result == "none":
        raise _Ended("permerror", f"{term} of {domain} leads nowhere: {verdict.reason}", domain, term)
    return verdict.result == "pass"


def _mx(client: _Client, domain: str, mechanism: Mechanism, target: str) -> Dialogue[bool]:
    answer = yield from ask(_quoted(target), "MX")
    _settle(client, answer, target, domain, mechanism.text)
    hosts = [host for _, _, host in (value.partition(" ") for value in answer.values)]
    if len(hosts) > _MOST_NAMES:
        reason = f"{target} has {len(hosts)} MX records; an mx term may need {_MOST_NAMES} address lookups at most"
        raise _Ended("permerror", reason, domain, mechanism.text)
    names = tuple(name for host in hosts if is_queryable(name := host.strip().removesuffix(".")))
    return (yield from _addresses_match(client, domain, mechanism, names))


def _addresses_match(client: _Client, domain: str, mechanism: Mechanism, names: tuple[str, ...]) -> Dialogue[bool]:
    """Whether the client is within the prefix of any address of these names, asked one after the other."""
    prefix = mechanism.prefix4 if client.ip.version == 4 else mechanism.prefix6
    for name in names:
        answer = yield from ask(_quoted(name), client.address_type)
        _settle(client, answer, name, domain, mechanism.text)
        if any(client.ip in ipaddress.ip_network((ip, prefix), strict=False) for ip in _same_kind(client, answer)):
            return True
    return False


def _ptr(client: _Client, domain: str, mechanism: Mechanism, target: str) -> Dialogue[bool]:
    answer = yield from ask(_reverse_name(client.ip), "PTR")
    if answer.void:
        client.count_void(domain, mechanism.text)
    names = [name for name in _ptr_names(answer) if _within(name, target)]
    for name in names:
        if (yield from _has_address(client, name)):
            return True
    return False


def _ptr_names(answer: DnsAnswer) -> list[str]:
    """The first ten names; a failed lookup is none at all, because ptr then just does not match (5.5)."""
    names = [value.removesuffix(".") for value in answer.values[:_MOST_NAMES]]
    return [name for name in names if is_queryable(name)]


def _has_address(client: _Client, name: str) -> Dialogue[bool]:
    answer = yield from ask(_quoted(name), client.address_type)
    return client.ip in _same_kind(client, answer)


def _same_kind(client: _Client, answer: DnsAnswer) -> Iterator[Ip]:
    for value in answer.values:
        try:
            ip = ipaddress.ip_address(value)
        except ValueError:
            continue
        if ip.version == client.ip.version:
            yield ip


def _settle(client: _Client, answer: DnsAnswer, name: str, domain: str, term: str) -> None:
    """Raise for a failed lookup, count an empty one."""
    if answer.failed:
        raise _Ended(
            "temperror", f"{name}, which {term} of {domain} needs, cannot be had: {answer.reason}", domain, term
        )
    if answer.void:
        client.count_void(domain, term)


# --- macros and explanations, sections 6.2 and 7 ----------------------------------------------------------------------


def _target(client: _Client, domain: str, spec: str) -> Dialogue[str]:
    """The domain that a term means: expanded, without trailing dot, cut from the left to 253 characters (7.3)."""
    if not spec:
        return domain
    name = (yield from _expand(client, domain, spec)).removesuffix(".")
    while len(name) > LONGEST_NAME and "." in name:
        name = name.partition(".")[2]
    return name


def _expand(client: _Client, domain: str, text: str) -> Dialogue[str]:
    used = macro_letters((text,))
    if not used:
        return expand(text, {})
    local, _, sender_domain = client.sender.rpartition("@")
    letters = {
        "s": client.sender,
        "l": local,
        "o": sender_domain,
        "d": domain,
        "i": _dotted(client.ip),
        "v": "in-addr" if client.ip.version == 4 else "ip6",
        "h": client.helo,
        "c": str(client.ip),
        "r": client.receiver,
        "t": str(client.now),
    }
    if "p" in used:
        letters["p"] = yield from _validated_name(client, domain)
    return expand(text, letters)


def _validated_name(client: _Client, domain: str) -> Dialogue[str]:
    """The macro p: a name of the client that leads back to it, best the domain itself, then one below it (7.3)."""
    if client.validated is None:
        answer = yield from ask(_reverse_name(client.ip), "PTR")
        client.validated = []
        for name in _ptr_names(answer):
            if (yield from _has_address(client, name)):
                client.validated.append(name)
    names = client.validated
    same = (name for name in names if name.lower() == domain.lower())
    below = (name for name in names if _within(name, domain))
    return next(same, None) or next(below, None) or next(iter(names), "unknown")


def _explanation(client: _Client, verdict: _Verdict) -> Dialogue[str]:
    """The text behind exp=, or "" where anything is wrong with it: that never changes the result (6.2)."""
    target = yield from _target(client, verdict.domain, verdict.exp or "")
    if not is_queryable(target):
        return ""
    answer = yield from ask(_quoted(target), "TXT")
    if len(answer.values) != 1 or not answer.values[0].isascii():
        return ""
    try:
        check_macros(answer.values[0], answer.values[0])
    except SpfSyntaxError:
        return ""
    return (yield from _expand(client, verdict.domain, answer.values[0]))


def _dotted(ip: Ip) -> str:
    """The macro i: dotted decimals, or the 32 nibbles of an IPv6 address with dots between them."""
    return str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", "").upper())


def _reverse_name(ip: Ip) -> str:
    return ip.reverse_pointer


def _within(name: str, domain: str) -> bool:
    name, domain = name.lower(), domain.lower()
    return name == domain or name.endswith(f".{domain}")


def is_queryable(name: str) -> bool:
    """Whether DNS can be asked for this name at all: labels of 1 to 63 characters, 253 together, ASCII."""
    return name.isascii() and len(name) <= LONGEST_NAME and all(0 < len(label) <= 63 for label in name.split("."))


def _quoted(name: str) -> str:
    """A name in presentation form: a backslash would otherwise be read as an escape."""
    return name.replace("\\", "\\\\")


# --- a survey: what a record leads to, for any client ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpfSurvey:
    """Everything behind the SPF record of `domain`.

    `records`: the record of each domain met, as published. `lookups`: terms that look something up, all branches walked
    (what a client that matches nothing costs). `voids`: names that have no address or no MX. `problems`: what makes the
    whole thing a permerror, as (domain, sentence); `unanswered`: questions that failed. Branches behind macros are
    counted and not walked.
    """

    domain: str
    records: dict[str, str] = field(default_factory=dict)
    lookups: int = 0
    voids: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    unanswered: tuple[str, ...] = ()
    includes: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Walk:
    records: dict[str, str] = field(default_factory=dict)
    lookups: int = 0
    voids: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    includes: set[str] = field(default_factory=set)


_WALK_ENOUGH = 60
"""Lookups after which a survey stops: the answer is "far too many" by then, and a hostile zone may never end."""


def survey(domain: str) -> Dialogue[SpfSurvey]:
    """Walk the record of `domain` and all that it includes or redirects to."""
    walk = _Walk()
    yield from _fetch_ahead(domain.lower().removesuffix("."))
    yield from _visit(walk, domain.lower().removesuffix("."), (), "")
    if walk.lookups > MOST_LOOKUPS:
        many = f"{walk.lookups if walk.lookups < _WALK_ENOUGH else f'{_WALK_ENOUGH} or more'} terms need DNS lookups"
        walk.problems.append((domain, f"{many}; {MOST_LOOKUPS} are allowed"))
    return SpfSurvey(
        domain,
        walk.records,
        walk.lookups,
        tuple(walk.voids),
        tuple(walk.problems),
        tuple(walk.unanswered),
        frozenset(walk.includes),
    )


def _fetch_ahead(domain: str) -> Dialogue[None]:
    """Ask for what the walk will need, all of one level at once: names that fail are then waited for side by side.

    The answers are not looked at twice here; anyone who answers remembers them.
    """
    level = {DnsQuery(_quoted(domain), "TXT"): domain}
    met: dict[DnsQuery, str] = {}
    while level and len(met) < _WALK_ENOUGH:
        met |= level
        answers: Answers = yield tuple(level)
        following: dict[DnsQuery, str] = {}
        for question, asked in level.items():
            found = [text for text in answers[question].values if is_spf(text)] if question.type == "TXT" else []
            if len(found) == 1:
                following |= _leads_to(asked, found[0])
        fresh = [(question, name) for question, name in following.items() if question not in met]
        level = dict(fresh[:_WALK_ENOUGH])


def _leads_to(domain: str, text: str) -> dict[DnsQuery, str]:
    """The questions that the terms of a record make necessary, each with the name that it asks about."""
    try:
        record = parse(text)
    except SpfSyntaxError:
        return {}
    kinds = {"include": ("TXT",), "a": ("A", "AAAA"), "mx": ("MX",)}
    ahead = record.mechanisms[: record.mechanisms.index(record.all)] if record.all is not None else record.mechanisms
    terms = [(m.target, kinds[m.name]) for m in ahead if m.name in kinds]
    if record.redirect is not None and record.all is None:
        terms.append((record.redirect, ("TXT",)))
    found: dict[DnsQuery, str] = {}
    for spec, types in terms:
        target = _plain_target(domain, spec)
        if target is not None and is_queryable(target):
            name = target.lower() if types == ("TXT",) else target
            found |= {DnsQuery(_quoted(name), kind): name for kind in types}
    return found


def _visit(walk: _Walk, domain: str, above: tuple[str, ...], term: str) -> Dialogue[None]:
    if domain in above:
        walk.problems.append((above[-1], f"{term} leads in a circle"))
        return
    answer = yield from ask(_quoted(domain), "TXT")
    if answer.failed:
        walk.unanswered.append(f"{domain} TXT: {answer.reason}")
        return
    found = [text for text in answer.values if is_spf(text)]
    if len(found) != 1:
        if above or found:
            what = f"{domain} has {len(found) or 'no'} SPF record{'s' if len(found) > 1 else ''}"
            walk.problems.append((domain, f"{term} leads nowhere: {what}" if above else what))
        return
    walk.records[domain] = found[0]
    try:
        record = parse(found[0])
    except SpfSyntaxError as error:
        walk.problems.append((domain, f"wrong at {error}"))
        return
    yield from _visit_terms(walk, domain, record, above)


def _visit_terms(walk: _Walk, domain: str, record: SpfRecord, above: tuple[str, ...]) -> Dialogue[None]:
    mechanisms = list(record.mechanisms)
    if record.all is not None:
        mechanisms = mechanisms[: mechanisms.index(record.all)]
    for mechanism in mechanisms:
        if mechanism.name not in LOOKS_UP or walk.lookups >= _WALK_ENOUGH:
            continue
        walk.lookups += 1
        target = _plain_target(domain, mechanism.target)
        if target is None:
            continue
        if mechanism.name == "include":
            walk.includes.add(target.lower())
            yield from _visit(walk, target.lower(), (*above, domain), mechanism.text)
        elif mechanism.name in ("a", "mx"):
            yield from _visit_hosts(walk, domain, mechanism, target)
    if record.redirect is not None and record.all is None and walk.lookups < _WALK_ENOUGH:
        walk.lookups += 1
        target = _plain_target(domain, record.redirect)
        if target is not None:
            yield from _visit(walk, target.lower(), (*above, domain), f"redirect={record.redirect}")


def _visit_hosts(walk: _Walk, domain: str, mechanism: Mechanism, target: str) -> Dialogue[None]:
    """Look for names without addresses, and for an mx of more than ten hosts."""
    kinds = ("MX",) if mechanism.name == "mx" else ("A", "AAAA")
    questions = tuple(DnsQuery(_quoted(target), kind) for kind in kinds)
    answers = (yield questions) if is_queryable(target) else dict.fromkeys(questions, NO_NAME)
    walk.unanswered += [f"{q}: {answers[q].reason}" for q in questions if answers[q].failed]
    if all(answers[q].void for q in questions):
        walk.voids.append(f"{mechanism.text} of {domain}")
    if kinds == ("MX",) and len(answers[questions[0]].values) > _MOST_NAMES:
        walk.problems.append((domain, f"{mechanism.text} needs more than {_MOST_NAMES} address lookups"))


def _plain_target(domain: str, spec: str) -> str | None:
    """The domain that a term means, or None where it depends on the client."""
    if macro_letters((spec,)) - {"d"}:
        return None
    return (expand(spec, {"d": domain}) if spec else domain).removesuffix(".")


def networks(records: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks that passing ip4 and ip6 terms of these records name; records that cannot be read name none."""
    for text in records:
        try:
            record = parse(text)
        except SpfSyntaxError:
            continue
        yield from (m.network for m in record.mechanisms if m.network is not None and m.qualifier == "+")
