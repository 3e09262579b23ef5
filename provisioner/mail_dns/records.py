"""Reading MX, DMARC, MTA-STS and TLS-RPT records: text in, what it says and what is wrong with it out.

DMARC follows RFC 7489 as its successor (RFC 9989, the former "DMARCbis") reads it: pct, rf and ri have gone and are
only noted, np, psd and t have come, unknown tags are ignored. MTA-STS is RFC 8461, TLS-RPT RFC 8460.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_POLICIES = ("none", "quarantine", "reject")
_DMARC_WORDS: Mapping[str, tuple[str, ...]] = {
    "p": _POLICIES,
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "t": ("y", "n"),
    "psd": ("y", "n", "u"),
}
_DMARC_REMOVED = frozenset({"pct", "rf", "ri"})
_DMARC_KNOWN = frozenset({"v", "rua", "ruf", "fo", *_DMARC_WORDS, *_DMARC_REMOVED})
_FAILURE_OPTIONS = frozenset("01ds")
_DMARC_VERSION = re.compile(r"\s*v\s*=\s*DMARC1\s*(?:;|\Z)", re.IGNORECASE)
_MAILTO = re.compile(r"mailto:[^\s@,;!]+@[^\s@,;!]+\.[^\s@,;!]+(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_STS_ID = re.compile(r"[A-Za-z0-9]{1,32}")


@dataclass(frozen=True, slots=True)
class MailExchange:
    """One MX record; `host` in lower case without trailing dot, "" for the null MX of RFC 7505."""

    preference: int
    host: str


def parse_mx(value: str) -> MailExchange:
    """`10 mx.example.com` -> the record. Raises ValueError on any other form."""
    preference, _, host = value.strip().partition(" ")
    return MailExchange(int(preference), host.strip().lower().removesuffix("."))


@dataclass(frozen=True, slots=True)
class Tagged:
    """A record of `name=value;` pairs: the tags in their order, what makes it void, what is only odd."""

    tags: Mapping[str, str]
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dmarc(Tagged):
    """A DMARC record, with the defaults of its tags worked out. `report_domains` are where `rua` and `ruf` send to."""

    policy: str = "none"
    subdomain_policy: str = "none"
    nonexistent_policy: str = "none"
    testing: bool = False
    public_suffix: str = "u"
    report_domains: tuple[str, ...] = ()


def is_dmarc(text: str) -> bool:
    """Whether a TXT record below _dmarc is meant as a DMARC policy. Others there are ignored, as receivers do."""
    return _DMARC_VERSION.match(text) is not None


def parse_dmarc(text: str) -> Dmarc:
    """Read a record for which `is_dmarc` holds."""
    tags, errors = _tags(text)
    notes: list[str] = []
    for name, value in tags.items():
        if name in _DMARC_WORDS and value.lower() not in _DMARC_WORDS[name]:
            errors.append(f"{name}={value}: must be {' or '.join(_DMARC_WORDS[name])}")
        elif name in _DMARC_REMOVED:
            notes.append(f"{name} has been removed from DMARC and is ignored")
        elif name not in _DMARC_KNOWN:
            notes.append(f"{name} is no tag of DMARC and is ignored")
    if not set(tags.get("fo", "0").lower().split(":")) <= _FAILURE_OPTIONS:
        errors.append(f"fo={tags['fo']}: must be 0, 1, d or s, with colons between them")
    if "p" not in tags and "rua" not in tags:
        errors.append("p is missing: the record asks for nothing")
    elif "p" not in tags:
        notes.append("p is missing and taken as none")
    domains: dict[str, None] = {}
    for name in ("rua", "ruf"):
        for uri in (part.strip() for part in tags.get(name, "").split(",") if part.strip()):
            if not _MAILTO.fullmatch(uri):
                errors.append(f"{name}={uri}: must be mailto: and an address")
            else:
                domains[uri.rpartition("@")[2].partition("!")[0].lower()] = None
        if tags.get(name, "").count(",") > 1:
            notes.append(f"{name} names more than two addresses; receivers need not send to more")
        if name in tags and not tags[name].strip():
            notes.append(f"{name} is empty")
    policy = tags.get("p", "none").lower()
    subdomain = tags.get("sp", policy).lower()
    return Dmarc(
        tags,
        tuple(errors),
        tuple(notes),
        policy,
        subdomain,
        tags.get("np", subdomain).lower(),
        tags.get("t", "n").lower() == "y",
        tags.get("psd", "u").lower(),
        tuple(domains),
    )


def is_mta_sts(text: str) -> bool:
    """Whether senders take a TXT record below _mta-sts for one (RFC 8461, 3.1; blanks before the semicolon as in its
    grammar). The version is case-sensitive."""
    return re.match(r"v=STSv1[ \t]*;", text) is not None


def parse_mta_sts(text: str) -> Tagged:
    """Read the TXT record of `_mta-sts`: `v=STSv1; id=20260101T000000;`. The policy itself is a file on the web."""
    tags, errors = _tags(text)
    if tags.get("v") != "STSv1":
        errors.append("it must begin with v=STSv1")
    if not _STS_ID.fullmatch(tags.get("id", "")):
        errors.append("id must be 1 to 32 letters and digits")
    return Tagged(tags, tuple(errors))


def parse_tls_rpt(text: str) -> Tagged:
    """Read the TXT record of `_smtp._tls`: `v=TLSRPTv1; rua=mailto:tls@example.com`."""
    tags, errors = _tags(text)
    if tags.get("v") != "TLSRPTv1":
        errors.append("it must begin with v=TLSRPTv1")
    uris = [uri.strip() for uri in tags.get("rua", "").split(",") if uri.strip()]
    if not uris:
        errors.append("rua is missing: nobody gets the reports")
    wrong = [uri for uri in uris if not (_MAILTO.fullmatch(uri) or uri.lower().startswith("https://"))]
    errors += [f"rua={uri}: must be mailto: and an address, or https:" for uri in wrong]
    return Tagged(tags, tuple(errors))


def _tags(text: str) -> tuple[dict[str, str], list[str]]:
    tags: dict[str, str] = {}
    errors: list[str] = []
    for part in (part.strip() for part in text.split(";")):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not part:
            continue
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_\-]*", name):
            errors.append(f'"{part}" is no tag: name=value is meant')
        elif name in tags:
            errors.append(f"{name} stands there twice")
        else:
            tags[name] = value.strip()
    return tags, errors
