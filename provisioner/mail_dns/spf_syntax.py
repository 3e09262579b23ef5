"""The grammar of SPF records (RFC 7208, sections 4.5, 4.6.1, 5, 6, 7 and 12), and macros.

A record is read as a whole before anything is looked up, because an error anywhere in it is a permerror. Names and
qualifiers are kept with the term as it was written, so that findings can quote it.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

QUALIFIERS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
LOOKS_UP = frozenset({"include", "a", "mx", "ptr", "exists"})
"""The mechanisms that count against the limit of ten; the redirect modifier does too (4.6.4)."""

_VERSION = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9\-_.]*)=(.*)", re.IGNORECASE | re.DOTALL)
_MECHANISM = re.compile(r"([+\-?~]?)([a-z][a-z0-9\-_.]*)(.*)", re.IGNORECASE | re.DOTALL)
_CIDR = re.compile(r"(?:/(\d+))?(?://(\d+))?\Z")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")
_QNUM = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP4 = re.compile(rf"{_QNUM}(?:\.{_QNUM}){{3}}")
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])([0-9]*)(r?)([.\-+,/_=]*)\}|([%_\-]))", re.IGNORECASE)
_TOPLABEL_END = re.compile(
    r"\.(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9\-]*[a-z0-9])\.?\Z",
    re.IGNORECASE,
)
_EXPLANATION_ONLY = frozenset("crt")
_ESCAPES = {"%": "%", "_": " ", "-": "%20"}


SPF_VERSION = "v=spf1"


class SpfSyntaxError(ValueError):
    """A term that the grammar does not know. `term` is it as written, `reason` says what is wrong with it."""

    def __init__(self, term: str, reason: str) -> None:
        self.term, self.reason = term, reason
        super().__init__(f'"{term}": {reason}')


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism. `target` is the unexpanded domain-spec, "" where the current domain is meant."""

    text: str
    qualifier: str
    name: str
    target: str = ""
    network: Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record that obeys the grammar. `others` are modifiers that the RFC does not define, as written."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str | None = None
    exp: str | None = None
    others: tuple[str, ...] = ()

    @property
    def all(self) -> Mechanism | None:
        """The first `all`: what comes after it is never looked at."""
        return next((m for m in self.mechanisms if m.name == "all"), None)


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record: `v=spf1` in either case, then a space or the end (4.5)."""
    return _VERSION.match(text) is not None


def parse(text: str) -> SpfRecord:
    """Read a record for which `is_spf` holds. Raises SpfSyntaxError at the first term that is wrong."""
    if not text.isascii():
        odd = next(character for character in text if not character.isascii())
        term = next(part for part in text.split(" ") if odd in part)
        raise SpfSyntaxError(term, f"{odd!r} (U+{ord(odd):04X}) is not ASCII")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    others: list[str] = []
    for term in (t for t in text[6:].split(" ") if t):
        found = _MODIFIER.fullmatch(term)
        if not found:
            mechanisms.append(_mechanism(term))
            continue
        name, value = found[1].lower(), found[2]
        if name not in ("redirect", "exp"):
            check_macros(value, term)
            others.append(term)
            continue
        if name in modifiers:
            raise SpfSyntaxError(term, f"{name} may stand only once")
        check_domain_spec(value, term)
        modifiers[name] = value
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"), tuple(others))


def _mechanism(term: str) -> Mechanism:
    found = _MECHANISM.fullmatch(term)
    name = found[2].lower() if found else ""
    if not found or name not in {"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"}:
        raise SpfSyntaxError(term, "no such mechanism")
    qualifier, rest = found[1] or "+", found[3]
    if name == "all":
        if rest:
            raise SpfSyntaxError(term, "all takes nothing after it")
        return Mechanism(term, qualifier, name)
    if name in ("ip4", "ip6"):
        return Mechanism(term, qualifier, name, network=_network(name, rest, term))
    prefix4, prefix6 = 32, 128
    if name in ("a", "mx"):
        rest, prefix4, prefix6 = _dual_cidr(rest, term)
    if not rest and name in ("a", "mx", "ptr"):
        return Mechanism(term, qualifier, name, prefix4=prefix4, prefix6=prefix6)
    if not rest.startswith(":"):
        raise SpfSyntaxError(term, f"{name} needs a colon and a domain" if not rest else "no such mechanism")
    check_domain_spec(rest[1:], term)
    return Mechanism(term, qualifier, name, rest[1:], prefix4=prefix4, prefix6=prefix6)


def _network(name: str, rest: str, term: str) -> Network:
    if not rest.startswith(":") or rest == ":":
        raise SpfSyntaxError(term, f"{name} needs a colon and an address")
    address, slash, length = rest[1:].partition("/")
    if name == "ip4":
        if not _IP4.fullmatch(address):
            raise SpfSyntaxError(term, "not an IPv4 address")
        return ipaddress.IPv4Network((address, _prefix(length, 32, term) if slash else 32), strict=False)
    try:
        ipaddress.IPv6Address("" if "%" in address else address)
    except ValueError:
        raise SpfSyntaxError(term, "not an IPv6 address") from None
    return ipaddress.IPv6Network((address, _prefix(length, 128, term) if slash else 128), strict=False)


def _dual_cidr(rest: str, term: str) -> tuple[str, int, int]:
    found = _CIDR.search(rest)
    if not found:
        return rest, 32, 128
    prefix4 = _prefix(found[1], 32, term) if found[1] is not None else 32
    prefix6 = _prefix(found[2], 128, term) if found[2] is not None else 128
    return rest[: found.start()], prefix4, prefix6


def _prefix(text: str, most: int, term: str) -> int:
    if not _LENGTH.fullmatch(text) or int(text) > most:
        raise SpfSyntaxError(term, f"the prefix length must be a number from 0 to {most}, without leading zeros")
    return int(text)


def check_domain_spec(text: str, term: str) -> None:
    """Raise SpfSyntaxError unless this is a domain-spec: a macro-string that ends in a macro or in `.label`."""
    if not text:
        raise SpfSyntaxError(term, "the domain is missing")
    last = check_macros(text, term, explanation=False)
    if last != len(text) and not _TOPLABEL_END.search(text[last:]):
        raise SpfSyntaxError(term, "not a domain name")


def check_macros(text: str, term: str, *, explanation: bool = True) -> int:
    """Raise SpfSyntaxError unless this is a macro-string; says where its last macro ends.

    `explanation`: the letters c, r and t and spaces are allowed (only in explanations, 7.2).
    """
    position = last = 0
    while position < len(text):
        if text[position] != "%":
            if not ("!" <= text[position] <= "~" or (explanation and text[position] == " ")):
                raise SpfSyntaxError(term, f"character {ord(text[position]):#04x} is not allowed")
            position += 1
            continue
        found = _MACRO.match(text, position)
        if not found:
            raise SpfSyntaxError(term, "a percent sign that begins no macro")
        if found[1] and found[1].lower() in _EXPLANATION_ONLY and not explanation:
            raise SpfSyntaxError(term, f"the macro letter {found[1]} is for explanations only")
        if found[2] and not found[2].strip("0"):
            raise SpfSyntaxError(term, "a macro that keeps no part")
        position = last = found.end()
    return last


def macro_letters(texts: Iterable[str]) -> frozenset[str]:
    """The macro letters used, in lower case."""
    return frozenset(found[1].lower() for text in texts for found in _MACRO.finditer(text) if found[1])


def expand(text: str, letters: Mapping[str, str]) -> str:
    """The macro-string with its macros replaced; `letters` has a value for each letter used (in lower case)."""
    return _MACRO.sub(lambda found: _expanded(found, letters), text)


def _expanded(found: re.Match[str], letters: Mapping[str, str]) -> str:
    if found[5]:
        return _ESCAPES[found[5]]
    letter, digits, reverse, delimiters = found[1], found[2], found[3], found[4]
    value = letters[letter.lower()]
    if digits or reverse or delimiters:
        parts = re.split(f"[{re.escape(delimiters or '.')}]", value)
        if reverse:
            parts.reverse()
        # int() of a very long run of digits would be refused; more than 253 parts cannot be.
        value = ".".join(parts[-int(digits) :] if digits and len(digits.lstrip("0")) < 4 else parts)
    return urllib.parse.quote(value, safe="-._~") if letter.isupper() else value
