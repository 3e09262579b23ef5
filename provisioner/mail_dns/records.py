"""Reading MX, DMARC, MTA-STS and TLS-RPT records: text in, what it says and what is wrong with it out.

DMARC is RFC 9989, which replaced RFC 7489 in May 2026: pct, rf and ri were removed and are only noted, as is the size
limit of a report address; np, psd and t were added; a missing p means none; unknown tags and unknown values of tags
other than p, sp and np are ignored. MTA-STS is RFC 8461, TLS-RPT RFC 8460.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.mail_dns.findings import visible

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
# The name of the tag has no case, its value has (`"v" equals %s"DMARC1"`), and nothing precedes it (RFC 9989, 4.8).
_DMARC_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_TLS_RPT_VERSION = re.compile(r"v=TLSRPTv1[ \t]*;")
_TEXT_TAGS = ("adkim", "aspf", "t", "psd", "fo")
"""The tags whose unknown values receivers replace by the default (RFC 9989, 4.8)."""
_REPAIRS = (
    (re.compile(r"\\+;"), ";"),  # escaped for a zone file, and pasted into a panel
    (re.compile(r"\s*\|\s*"), "; "),
    (re.compile(r"(mailto:[^\s;]+)\s*;\s*(?=mailto:)", re.IGNORECASE), r"\1,"),
    (re.compile(r"(?<=[;\s])(p|sp|np|rua|ruf|adkim|aspf|fo|t|psd)\s*:\s*", re.IGNORECASE), r"\1="),
    (re.compile(r"\s*[,:]\s*(?=(?:v|p|sp|np|rua|ruf|adkim|aspf|fo|t|psd|pct|ri|rf)\s*=)", re.IGNORECASE), "; "),
    (re.compile(r"[\"'\u2018\u2019\u201c\u201d\ufeff]"), ""),
)
_VERSION_LIKE = re.compile(r"(?:v\s*=\s*)?d\s*marc\s*1?", re.IGNORECASE)
_TAG_WITHOUT_SEPARATOR = re.compile(
    r"(?<=[A-Za-z0-9])\s+(?=(?:v|p|sp|np|rua|ruf|adkim|aspf|fo|t|psd|pct)\s*=)", re.IGNORECASE
)
_ADDRESS = r"[^\s@,;:!<>]+@[^\s@,;!<>?]+\.[^\s@,;!<>?.]+"
_MAILTO = re.compile(rf"mailto:{_ADDRESS}(?:\?[^\s,;!]*)?(?:![0-9]+[kmgt]?)?", re.IGNORECASE)
_IN_A_REPORT_TAG = re.compile(rf"({_ADDRESS})(?:[^!]*(![0-9]+[kmgt]?))?", re.IGNORECASE)
_WHITE_SPACE = " \t\r\n"
"""What the grammar takes for white space. A no-break space, as a browser pastes it, is none."""
_OTHER_URI = re.compile(r"(?!mailto:)[a-z][a-z0-9+.\-]*://[^\s,;!]+", re.IGNORECASE)
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
    """A record of `name=value;` pairs: the tags in their order, what makes it void, what is only odd.

    `notes` are pairs: what is so, and what to do about it. `defaulted` are tags whose value receivers replace.
    """

    tags: Mapping[str, str]
    errors: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    defaulted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dmarc(Tagged):
    """A DMARC record, with the defaults of its tags worked out. `report_domains` are where `rua` and `ruf` send to.

    `unreadable`: p, sp or np names none of the policies, so that receivers act as for p=none. `applies`: they do so, or
    use a record without p, only where rua has a usable address (RFC 9989, 4.10.1).
    """

    policy: str = "none"
    subdomain_policy: str = "none"
    nonexistent_policy: str = "none"
    testing: bool = False
    public_suffix: str = "u"
    report_domains: tuple[str, ...] = ()
    unreadable: bool = False
    applies: bool = True

    def applied(self, policy: str) -> str:
        """What receivers do for one of the policies of the record: with t=y one level less (RFC 9989, 4.7)."""
        return _POLICIES[max(_POLICIES.index(policy) - 1, 0)] if self.testing else policy


def is_dmarc(text: str) -> bool:
    """Whether a TXT record below _dmarc is meant as a DMARC policy. Others there are ignored, as receivers do."""
    return _DMARC_VERSION.match(text) is not None


def parse_dmarc(text: str) -> Dmarc:
    """Read a record for which `is_dmarc` holds."""
    tags, errors = _tags(text)
    notes: list[tuple[str, str]] = []
    defaulted: list[str] = []
    for name, value in tags.items():
        words = _DMARC_WORDS.get(name, ())
        if name in _TEXT_TAGS:
            wrong = _failure_options(value) if name == "fo" else value.lower() not in words
            expected = "0 or 1, d and s, each once, with colons between them" if name == "fo" else " or ".join(words)
            defaulted += [f"{name}={value}: must be {expected}"] if wrong else []
        elif words and value.lower() not in words:
            errors.append(f"{name}={value}: must be {' or '.join(words)}")
        elif name in _DMARC_REMOVED:
            notes.append((f"{name} was removed from DMARC (RFC 9989) and is ignored", _instead_of(name, value)))
        elif name not in _DMARC_KNOWN:
            notes.append((f"{name} is not a tag of DMARC and is ignored", f"remove {name}"))
    domains = _report_domains(tags, errors, notes)
    unreadable = any(tags[name].lower() not in _POLICIES for name in ("p", "sp", "np") if name in tags)
    applies = ("p" in tags and not unreadable) or any(map(_MAILTO.fullmatch, _uris(tags, "rua")))
    if "p" not in tags:
        taken = "it is taken as none" if applies else "receivers ignore a record without p and rua (RFC 9989, 4.10.1)"
        notes.append((f"p is missing: {taken}", "add p=none, or a stronger policy"))
    if "fo" in tags and "ruf" not in tags:
        notes.append(("fo is ignored without ruf", "remove fo, or add ruf"))
    policy = "none" if unreadable else tags.get("p", "none").lower()
    subdomain = "none" if unreadable else tags.get("sp", policy).lower()
    return Dmarc(
        tags,
        tuple(errors),
        tuple(notes),
        tuple(defaulted),
        policy,
        subdomain,
        "none" if unreadable else tags.get("np", subdomain).lower(),
        tags.get("t", "n").lower() == "y",
        tags.get("psd", "u").lower(),
        domains,
        unreadable,
        applies,
    )


def _instead_of(name: str, value: str) -> str:
    """What to do about a removed tag. A pct below 100 tested a policy, as t=y does now (RFC 9989, A.6)."""
    return "remove pct, or write t=y to test the policy" if name == "pct" and value != "100" else f"remove {name}"


def _failure_options(value: str) -> bool:
    """Whether the value of `fo` is wrong: unknown options, one that comes twice, or both 0 and 1 (RFC 9989, 4.8)."""
    options = value.lower().replace(" ", "").split(":")
    return not set(options) <= _FAILURE_OPTIONS or len(set(options)) < len(options) or {"0", "1"} <= set(options)


def _uris(tags: Mapping[str, str], name: str) -> list[str]:
    return [part.strip() for part in tags.get(name, "").split(",") if part.strip()]


def _report_domains(tags: Mapping[str, str], errors: list[str], notes: list[tuple[str, str]]) -> tuple[str, ...]:
    """The domains that reports are sent to; what is wrong with the addresses goes to `errors` and `notes`."""
    domains: dict[str, None] = {}
    for name in ("rua", "ruf"):
        uris = _uris(tags, name)
        for uri in uris:
            if _OTHER_URI.fullmatch(uri):
                fix = f"name an address with mailto: in {name} too"
                notes.append((f"{name}={uri}: receivers need to know mailto: only (RFC 9989, 4.7)", fix))
                continue
            if not _MAILTO.fullmatch(uri):
                errors.append(f"{name}={uri}: must be mailto: and an address")
                continue
            address, limit, size = uri.partition("!")
            domains[address.partition("?")[0].rpartition("@")[2].lower()] = None
            if limit:
                fix = f"write {address}"
                notes.append((f"{name}={uri}: the size limit !{size} was removed from DMARC (RFC 9989)", fix))
        if len(uris) > 2:
            words = f"{name} names more than two addresses; receivers need not send to more"
            notes.append((words, f"keep two addresses in {name}"))
        if name in tags and not uris:
            notes.append((f"{name} is empty", f"add an address to {name}, or remove it"))
    return tuple(domains)


def repair_dmarc(text: str) -> str | None:
    """The DMARC record that a broken one means, with everything of it that can be read; None where nothing can.

    Separators, quotation marks, the version and its place are corrected, an address gets its `mailto:`, and a tag whose
    value cannot be read is dropped. The policy is kept, a misspelt one corrected; where it cannot be read it is none.
    """
    for pattern, instead in _REPAIRS:
        text = pattern.sub(instead, text)
    text = _TAG_WITHOUT_SEPARATOR.sub("; ", text)
    kept: dict[str, str] = {}
    versions = 0
    for part in (part.strip() for part in text.split(";")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if _VERSION_LIKE.fullmatch(part):
            versions += 1
        elif equals and name.lower() in _DMARC_KNOWN - {"v"} and (value := _readable(name.lower(), value)):
            kept.setdefault(name.lower(), value)
    if not versions or not kept:
        return None
    ordered = {"v": "DMARC1", "p": kept.pop("p", "none"), **kept}
    return "; ".join(f"{name}={value}" for name, value in ordered.items())


def _readable(name: str, value: str) -> str:
    """The value of a tag as far as it can be read; "" where it cannot."""
    value = value.strip(" ,.")
    if name in ("rua", "ruf"):
        found = (_IN_A_REPORT_TAG.search(part) for part in value.split(","))
        return ",".join(f"mailto:{address[1]}{address[2] or ''}" for address in found if address)
    if name == "fo":
        return "" if _failure_options(value) else value
    words = _DMARC_WORDS.get(name)
    if words is None:
        return "" if name in _DMARC_REMOVED else value
    if value.lower() in words:
        return value
    if words is _POLICIES:
        return next(iter(difflib.get_close_matches(value.lower(), words, 1, 0.75)), "")
    return next((word for word in words if name in ("adkim", "aspf", "t") and value.lower().startswith(word)), "")


def is_mta_sts(text: str) -> bool:
    """Whether senders take a TXT record below _mta-sts for one (RFC 8461, 3.1; spaces before the semicolon as in its
    grammar). The version is case-sensitive."""
    return re.match(r"v=STSv1[ \t]*;", text) is not None


def parse_mta_sts(text: str) -> Tagged:
    """Read the TXT record of `_mta-sts`: `v=STSv1; id=20260101T000000;`. The policy itself is a file on the web."""
    tags, errors = _tags(text)
    if not is_mta_sts(text):
        errors.append("it must begin with v=STSv1; exactly so, without a space in front (RFC 8461, 3.1)")
    if not _STS_ID.fullmatch(tags.get("id", "")):
        errors.append("id must be 1 to 32 letters and digits")
    return Tagged(tags, tuple(errors))


def is_tls_rpt(text: str) -> bool:
    """Whether senders take a TXT record below _smtp._tls for one (RFC 8460, 3). The version is case-sensitive."""
    return _TLS_RPT_VERSION.match(text) is not None


def parse_tls_rpt(text: str) -> Tagged:
    """Read the TXT record of `_smtp._tls`: `v=TLSRPTv1; rua=mailto:tls@example.com`."""
    tags, errors = _tags(text)
    if not is_tls_rpt(text):
        errors.append("it must begin with v=TLSRPTv1; exactly so, without a space in front (RFC 8460, 3)")
    uris = [uri.strip() for uri in tags.get("rua", "").split(",") if uri.strip()]
    if not uris:
        errors.append("rua is missing: the reports have no recipient")
    wrong = [uri for uri in uris if not (_MAILTO.fullmatch(uri) or uri.lower().startswith("https://"))]
    errors += [f"rua={uri}: must be mailto: and an address, or https:" for uri in wrong]
    return Tagged(tags, tuple(errors))


def _tags(text: str) -> tuple[dict[str, str], list[str]]:
    tags: dict[str, str] = {}
    errors: list[str] = []
    for part in (part.strip(_WHITE_SPACE) for part in text.split(";")):
        name, equals, value = part.partition("=")
        name = name.strip(_WHITE_SPACE).lower()
        if not part:
            continue
        if not equals or not re.fullmatch(r"[a-z][a-z0-9_\-]*", name):
            errors.append(f'"{visible(part)}" is not a tag: write name=value')
        elif name in tags:
            errors.append(f"{name} is written twice")
        else:
            tags[name] = value.strip(_WHITE_SPACE)
    return tags, errors
