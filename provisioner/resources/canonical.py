"""One canonical form per kind of value, each made by one function, for the plan and for what the tenant returns.

A canonical function raises PydanticCustomError (a ValueError) with our stable id and, in its context, `hint`: how to
put the value right. The tenant may hold what a plan may not: `lenient` makes a form that never raises out of each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, LiteralString, TypeVar

from pydantic import AfterValidator, Field, Strict
from pydantic_core import PydanticCustomError

from provisioner.model import Row, Unknown, create_only, field_names

Canonical = Callable[[str], str]

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_PART = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DISPLAY_NAME = re.compile(r"[^\s@<>\\:\"/][^@<>\\:\"/\n]*\s[^@<>\\:\"/\n]*[^\s@<>\\:\"/]")
_IPV4_NETWORK = re.compile(r"([0-9.]+)(?:/([0-9]{1,2}))?", re.ASCII)
_IPV4_RANGE = re.compile(r"([0-9.]+)\s*[-\u2013]\s*([0-9.]+)", re.ASCII)
_LAST_NUMBERS = re.compile(r"((?:[0-9]+\.){3})([0-9]+)\s*[-\u2013]\s*([0-9]+)", re.ASCII)
_SECRET_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*")
_STORED_DOMAIN = re.compile(r"smtp:(.*?)(?:;1)?", re.IGNORECASE)
_COST = re.compile(r"smtp:(.*);(?!1$)[0-9]+", re.IGNORECASE)
_WIDEST_PREFIX = 24  # Set-InboundConnector, -SenderIPAddresses


def refusal(identifier: LiteralString, what: str, hint: str, at: Sequence[str | int] = ()) -> PydanticCustomError:
    """A mistake in a value: a stable id, what is wrong, how to fix it.

    `at` is the path of keys and indexes from a value that was checked as a whole to the part that is wrong.
    """
    return PydanticCustomError(identifier, "{what}", {"what": what, "hint": hint, "at": tuple(at)})


# --- names and addresses ---------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)  # the mailboxes of a tenant are in a few domains
def domain_name(text: str) -> str:
    """A DNS name of two labels or more: lower case, IDNA A-labels, no trailing dot.

    "Contoso.COM." -> "contoso.com", "bücher.example" -> "xn--bcher-kva.example". Raises DOMAIN-INVALID.
    """
    name = _ascii_name(text.removesuffix("."))
    labels = name.split(".")
    well_formed = len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    if not well_formed or len(labels) < 2 or labels[-1].isdigit():
        hint = "write the whole name, such as contoso.com"
        if "*" in text:
            hint = "write the domain itself; a wildcard has no place here"
        elif "@" in text:
            hint = "write what stands behind the @"
        raise refusal("DOMAIN-INVALID", f'"{text}" is not a domain name', hint)
    return name


def _ascii_name(text: str) -> str:
    """Lower case; a name with other letters in its A-label form, or as it is where it has none."""
    if text.isascii():
        return text.lower()
    import idna  # its tables cost milliseconds that a plan without such names need not pay

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except UnicodeError:
        return text


def spellings(name: str) -> frozenset[str]:
    """A name and, where it holds a domain with A-labels, the same name with that domain in Unicode.

    "xn--bcher-kva.example" -> also "bücher.example"; "info@xn--bcher-kva.example" -> also "info@bücher.example".
    """
    if "xn--" not in name:
        return frozenset({name})
    import idna

    local, at, domain = name.rpartition("@")
    try:
        return frozenset({name, f"{local}{at}{idna.decode(domain)}"})
    except UnicodeError:
        return frozenset({name})


def domains_of(*names: str) -> frozenset[str]:
    """The domains of those names that are e-mail addresses."""
    return frozenset(name.rpartition("@")[2] for name in names if "@" in name)


def email_address(text: str) -> str:
    """An SMTP address: lower case throughout, its domain as `domain_name` makes it.

    Exchange compares both sides without case. Raises EMAIL-INVALID, naming the form that was copied from elsewhere and
    the address in it.
    """
    local, at, domain = text.rpartition("@")
    fault = ""
    if at and "*" in local:
        hint = "write each address; a pattern may stand under from of a device, ignore, protect and allow"
        raise refusal("EMAIL-INVALID", f'"{text}" is not an e-mail address, but a pattern', hint)
    if at and len(local) <= 64 and _LOCAL_PART.fullmatch(local.lower()):
        try:
            return f"{local.lower()}@{domain_name(domain)}"
        except ValueError:
            fault = ": its domain is wrong"
    form, hint = _copied_form(text) or ("", "write one address, such as scanner@contoso.com")
    what = f", but {form}" if form else fault
    raise refusal("EMAIL-INVALID", f'"{text}" is not an e-mail address{what}', hint)


def _copied_form(text: str) -> tuple[str, str] | None:
    """What a text is that holds an address, or stands for one, in another system; and what to write instead."""
    bare = text.strip()
    shapes = (
        ("a link", re.fullmatch(r"mailto:([^?]+)(?:\?.*)?", bare, re.IGNORECASE)),
        ("a proxy address with its prefix", re.fullmatch(r"(?:smtp|sip|x500|spo):(.+)", bare, re.IGNORECASE)),
        ("a display name with its address", re.fullmatch(r"[^<>]+<([^<>]*)>", bare)),
        ("an address in angle brackets", re.fullmatch(r"<([^<>]*)>", bare)),
        ("an address in quotes", re.fullmatch(r"[\"'](.*)[\"']", bare)),
        ("an address with spaces around it", re.fullmatch(r"(\S+@\S+)", bare) if bare != text else None),
    )
    for form, match in shapes:
        if match:
            return form, _address_in(match[1])
    if re.fullmatch(r"S-1(?:-\d+)+", bare, re.IGNORECASE):
        return "the SID of an application or of a deleted account", "write the object ID of the application"
    if re.fullmatch(r"[^@\\\s]+\\\$[A-Z0-9]+-[A-Z0-9]+", bare, re.IGNORECASE):
        hint = "remove the right by this name in Exchange, or write the address of who has it instead"
        return "the generated logon name by which Exchange shows an account that was deleted", hint
    if re.fullmatch(r"[^@\\\s]+\\[^@\\\s]+", bare):
        return "a logon name (DOMAIN\\user)", "write the primary address of the mailbox, or its sign-in name"
    if re.fullmatch(r"[A-Za-z0-9._-]+", bare) and not _GUID.fullmatch(bare) and not _is_domain(bare):
        return "an alias or a logon name", f"write the whole address, such as {bare.lower()}@contoso.com"
    return None


def _address_in(text: str) -> str:
    try:
        return f"write {email_address(text.strip())}"
    except ValueError:
        return "write one address, such as scanner@contoso.com"


def _is_domain(text: str) -> bool:
    try:
        return bool(domain_name(text))
    except ValueError:
        return False


def recipient_name(text: str) -> str:
    """A name by which one recipient is meant, in lower case: an address, a sign-in name, an id, or a display name.

    A display name is told from a mistyped address by its space: a name of one word is written as an address. Raises
    EMAIL-INVALID.
    """
    if _GUID.fullmatch(text):
        return text.lower()
    if _DISPLAY_NAME.fullmatch(text):
        return text.lower()
    return email_address(text)


def recipient_id(text: str) -> str:
    """An address, a sign-in name, or an id: what can mean one recipient only. Raises EMAIL-INVALID."""
    return text.lower() if _GUID.fullmatch(text) else email_address(text)


def is_guid(text: str) -> bool:
    """Whether a name is an id."""
    return bool(_GUID.fullmatch(text))


def client_id(text: str) -> str:
    """The id of an application, in lower case. Raises CLIENT-ID-INVALID."""
    if not is_guid(text):
        hint = "copy the Application (client) ID of the app registration from the Entra admin center"
        raise refusal("CLIENT-ID-INVALID", f'"{text}" is not a client id', hint)
    return text.lower()


def day(text: str) -> str:
    """A day as 2027-03-31. Raises DATE-INVALID, naming the day where the text can mean one only."""
    try:
        if len(text) == len("2027-03-31"):
            return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise refusal("DATE-INVALID", f'"{text}" is not a day', f"write it as {_meant_day(text) or '2027-03-31'}")


def _meant_day(text: str) -> str:
    """The day that a text in the order of a country means; "" where it may mean two, or none."""
    found = re.fullmatch(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})|(\d{4})[./]?(\d{1,2})[./]?(\d{1,2})", text.strip())
    if not found:
        return ""
    first, mark, second, year, *turned = found.groups()
    orders = [(second, first)] if mark == "." else [(second, first), (first, second)]
    dates = [(year, *order) for order in orders] if year else [tuple(turned)]
    days = set()
    for parts in dates:
        with contextlib.suppress(ValueError):
            days.add(datetime.date(*map(int, parts)).isoformat())
    return days.pop() if len(days) == 1 else ""


def sender_domain(text: str) -> str:
    """A connector's sender domain: `contoso.com`, `*.contoso.com` (it and all below) or `*`.

    Exchange stores and returns "smtp:contoso.com;1" for "contoso.com", and takes either, and "smtp:contoso.com"; so do
    we. Raises SENDER-DOMAIN-INVALID, for another cost than 1 too: a plan cannot set it.
    """
    costly = _COST.fullmatch(text)
    if costly:
        hint = f"write {costly[1]}"
        raise refusal("SENDER-DOMAIN-INVALID", f'"{text}" has a cost, which a plan cannot set', hint)
    stored = _STORED_DOMAIN.fullmatch(text)
    plain = stored[1] if stored else text
    if plain == "*":
        return plain
    hint = _domain_of_address(plain) or "write contoso.com, *.contoso.com or *"
    return wildcard_domain(plain, text, "SENDER-DOMAIN-INVALID", hint)


def _domain_of_address(text: str) -> str:
    """What to write for an address or a domain with its @; "" for another text."""
    _, at, domain = text.rpartition("@")
    return f"write {domain.lower()}" if at and _is_domain(domain) else ""


def without_cost(text: str) -> str:
    """A stored sender domain without a cost other than 1: "smtp:contoso.com;5" -> "smtp:contoso.com"; else as it is."""
    costly = _COST.fullmatch(text.strip())
    return f"smtp:{costly[1]}" if costly else text


_NO_CERTIFICATE_NAME = 'write mail.contoso.com or *.contoso.com, or "" for none'


def certificate_name(text: str) -> str:
    """The name in a sender's TLS certificate: `mail.contoso.com` or `*.contoso.com`; "" for none.

    The service has null for none. Raises CERTIFICATE-NAME-INVALID.
    """
    if not text:
        return ""
    subject = re.search(r"CN ?= ?([^,<>]+)(?:,[^<]*)?$", text, re.IGNORECASE)
    named = subject and _is_domain(subject[1].strip().removeprefix("*."))
    hint = f"write {subject[1].strip().lower()}" if subject and named else _NO_CERTIFICATE_NAME
    return wildcard_domain(text, text, "CERTIFICATE-NAME-INVALID", hint)


def wildcard_domain(plain: str, text: str, identifier: LiteralString, hint: str) -> str:
    """`contoso.com` or `*.contoso.com`, of a text that was written as `text`. Raises `identifier`."""
    star = "*." if plain.startswith("*.") else ""
    try:
        return star + domain_name(plain.removeprefix(star))
    except ValueError:
        what = f'"{text}" is not a domain that Exchange takes here'
        if "*" in plain.removeprefix(star):
            what += ": a wildcard can only stand alone or in front of the first dot"
        raise refusal(identifier, what, hint) from None


# --- networks --------------------------------------------------------------------------------------------------------


def sender_network(text: str) -> str:
    """One address of a connector: IPv4 in CIDR, host bits cleared.

    "192.0.2.5" -> "192.0.2.5/32", "192.0.2.5/25" -> "192.0.2.0/25". Exchange Online takes /24 to /32 only
    (Set-InboundConnector, -SenderIPAddresses): a wider one is a form too, and the rule IP-RANGE-WIDE speaks about it.
    Raises IP-VERSION-6, IP-RANGE-DASH (naming the CIDR blocks to write instead), IP-ADDRESS-INVALID.
    """
    span = _range(text) or _short_range(text)
    if span:
        blocks = list(ipaddress.summarize_address_range(*span))
        hint = f"write {', '.join(wire_network(str(n)) for n in blocks)}"
        if len(blocks) > 8 or any(n.prefixlen < _WIDEST_PREFIX for n in blocks):
            hint = "write the single addresses that send, or CIDR blocks of /24 to /32"
        raise refusal("IP-RANGE-DASH", f'"{text}": a connector takes no ranges with a dash', hint)
    return str(_network(text))


def skip_network(text: str) -> str:
    """One entry of enhanced filtering's skip list: IPv4 as `sender_network`, or a range `first-last`.

    A range that is one CIDR block takes that form: "192.0.2.0-192.0.2.255" -> "192.0.2.0/24" (EFSkipIPs takes all
    three). Raises IP-VERSION-6, IP-ADDRESS-INVALID.
    """
    span = _range(text)
    if not span:
        return str(_network(text))
    blocks = list(ipaddress.summarize_address_range(*span))
    return str(blocks[0]) if len(blocks) == 1 else f"{span[0]}-{span[1]}"


def wire_network(canonical: str) -> str:
    """What is sent for a canonical network: a single address without /32, as the admin centre stores it."""
    return canonical.removesuffix("/32")


def _range(text: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None:
    match = _IPV4_RANGE.fullmatch(text)
    try:
        first, last = (ipaddress.IPv4Address(end) for end in match.groups()) if match else (None, None)
    except ValueError:
        return None
    return (first, last) if first is not None and last is not None and first <= last else None


def _short_range(text: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None:
    """The ends of a range whose second end is the last number alone: "192.0.2.10-20"."""
    match = _LAST_NUMBERS.fullmatch(text)
    return _range(f"{match[1]}{match[2]}-{match[1]}{match[3]}") if match else None


def _network(text: str) -> ipaddress.IPv4Network:
    match = _IPV4_NETWORK.fullmatch(text)
    try:
        if match:
            return ipaddress.IPv4Network(text, strict=False)
    except ValueError as error:
        what = f'"{text}" is not an IPv4 address or network: {error}'
        raise refusal("IP-ADDRESS-INVALID", what, _instead(text)) from None
    if _is_ipv6(text):
        mapped = ipaddress.IPv6Network(text.strip("[]"), strict=False).network_address.ipv4_mapped
        hint = f"write {mapped}" if mapped else "write the IPv4 address that the mail comes from"
        raise refusal("IP-VERSION-6", f'"{text}" is IPv6; Exchange Online takes IPv4 only here', hint)
    raise refusal("IP-ADDRESS-INVALID", f'"{text}" is not an IPv4 address or network', _instead(text))


def _instead(text: str) -> str:
    """What to write for a text that is meant as an address: what people copy from lists, firewalls and logs."""
    items = [item.strip() for item in re.split(r"[,;\s]+", text) if item.strip()]
    if len(items) > 1 and all(_IPV4_NETWORK.fullmatch(item) for item in items):
        return f"write each address as an item of its own: {', '.join(items)}"
    bare = re.sub(r"(?<![0-9])0+(?=[0-9])", "", text.strip().removesuffix(".*") + (".0/24" if ".*" in text else ""))
    port = re.fullmatch(r"([0-9.]+):[0-9]+", bare)
    try:
        network = ipaddress.IPv4Network(port[1] if port else bare, strict=False)
    except ValueError:
        if _LABEL.fullmatch(text.rpartition(".")[2].lower()) and not text[-1:].isdigit():
            return "write the public IPv4 address that it sends from: a connector takes no host names"
        return _IPV4
    if network.prefixlen < _WIDEST_PREFIX:
        return _IPV4
    written = wire_network(str(network))
    return f"write {written}; a connector has no ports" if port else f"write {written}"


_IPV4 = "write 198.51.100.7 or 198.51.100.0/24"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Network(text.strip("[]"), strict=False)
    except ValueError:
        return False
    return True


# --- secrets ---------------------------------------------------------------------------------------------------------


def secret_reference(text: str) -> str:
    """Where a secret is: `env:NAME` or `file:PATH`. Raises SECRET-MISPLACED, without a word of the text."""
    if not _SECRET_REFERENCE.fullmatch(text):
        what = "a secret does not belong in a plan: write where it is"
        raise refusal("SECRET-MISPLACED", what, "write env:NAME or file:PATH, which is read when it is sent")
    return text


# --- texts -----------------------------------------------------------------------------------------------------------


def prose(text: str) -> str:
    """Free text: line ends as \\n, nothing around it (a YAML block ends in a line end that nobody means)."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


_LONGEST_NAME = 320
"""The length of the longest address (RFC 5321, section 4.5.3.1)."""


@functools.cache
def lenient(canonical: Canonical) -> Canonical:
    """The same form for what a tenant holds already: what has no canonical form is kept, in lower case.

    Rows repeat their names (domains, networks, addresses), and a form follows from the text alone: it is remembered,
    also for a plan of 10,000 mailboxes with several addresses each, whose forms are asked for in each step.
    """

    def form(text: str) -> str:
        bare = text.strip()
        try:
            return canonical(bare)
        except ValueError:
            return bare.lower()

    known = functools.lru_cache(maxsize=65_536)(form)
    return lambda text: known(text) if len(text) <= _LONGEST_NAME else form(text)


# --- reading rows ----------------------------------------------------------------------------------------------------


def flag(row: Row, name: str) -> bool | None:
    """A boolean column. Missing and null are None: never taken for false."""
    value = row.get(name)
    return value if isinstance(value, bool) else None


def word(row: Row, name: str, words: dict[str, str]) -> str | None:
    """An enumeration, by its canonical word; the service's spelling of its case is not stable. Unheard-of: as it is."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        return None
    return words.get(value.lower(), value.lower())


def text_of(row: Row, name: str) -> str | None:
    """A column of text: null is the empty text, missing is None.

    Raises ValueError for a list or an object: an unknown form is not a text.
    """
    value = row.get(name)
    if isinstance(value, Mapping | list | tuple):
        raise ValueError(f"{name} holds {type(value).__name__}, which is not text")
    return None if name not in row else "" if value is None else str(value)


def texts(row: Row, name: str) -> tuple[str, ...] | None:
    """A multi-valued column: null is the empty list, one value may come without a list, missing is None.

    Raises ValueError for what is neither text nor number: an unknown form is not an empty list.
    """
    if name not in row:
        return None
    value = row[name]
    if value is None or value == "":
        return ()
    values = value if isinstance(value, list | tuple) else (value,)
    for each in values:
        if not isinstance(each, str | int | float):
            raise ValueError(f"{name} holds {type(each).__name__}, which is not text")
    return tuple(map(str, values))


def identifier(row: Row, *columns: str) -> str:
    """The first of these columns that holds text. Raises ValueError where none does: such a row is not an object."""
    for column in columns:
        value = row.get(column)
        if isinstance(value, str) and value.strip():
            return value
    raise ValueError(f"a row has no {' or '.join(columns)}")


def guid(row: Row) -> str:
    """The directory's id of an object, the same in the rows of all cmdlets that return it; "" where a row has none."""
    return str(row.get("Guid") or row.get("ExchangeObjectId") or "").lower()


def by_name(rows: Iterable[Row], form: Canonical, *columns: str) -> dict[str, Row | Unknown]:
    """Rows by the canonical form of their name, which is in the first of `columns` that holds one.

    Raises ValueError for a row without a name: a listing with such a row is not complete.
    """
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(form(identifier(row, *columns)), []).append(row)
    return {name: only(same) for name, same in found.items()}


def of_domain(rows: Iterable[Row], domain: str, column: str, what: str) -> Row | None:
    """The one row about a domain, by this column or its name; None for none. `what` are the words for such rows.

    Raises ValueError for several.
    """
    form = lenient(domain_name)
    found = [row for row in rows if form(str(row.get(column) or row.get("Name") or "")) == form(domain)]
    if len(found) > 1:
        raise ValueError(f"the tenant returned {len(found)} {what}")
    return found[0] if found else None


def only(rows: Sequence[Row]) -> Row | Unknown:
    """The one row of a name. Unknown where rows of one name differ: which object is meant cannot be told.

    One object may come twice, on two pages, when others are created or deleted while they are read.
    """
    if all(row == rows[0] for row in rows[1:]):
        return rows[0]
    guids = sorted({str(row.get("Guid") or row.get("id") or "unknown") for row in rows})
    return Unknown(
        f"the tenant returned {len(rows)} different objects of this name: Guid {' and '.join(guids)}", "ambiguous"
    )


S = TypeVar("S")


def answered(wanted: S | None, seen: S) -> S | Unknown:
    """`seen`, or Unknown where the answer lacks a column that the plan writes: nothing may be planned on a gap."""
    if wanted is None:
        return seen
    fixed = create_only(wanted)
    gaps = [
        name
        for name in field_names(wanted)
        if name not in fixed and getattr(wanted, name) is not None and getattr(seen, name) is None
    ]
    return Unknown(f"the answer lacks {', '.join(gaps)}", "malformed") if gaps else seen


# --- the YAML edge ---------------------------------------------------------------------------------------------------


def as_written(canonical: Canonical) -> Canonical:
    """A check for keys, which stay as they are written: two spellings of one thing must not melt into one entry."""

    def check(text: str) -> str:
        canonical(text)
        return text

    return check


Flag = Annotated[bool, Strict()]
DomainText = Annotated[str, AfterValidator(domain_name), Field(examples=["contoso.com"])]
DomainKey = Annotated[str, AfterValidator(as_written(domain_name))]
EmailText = Annotated[str, AfterValidator(email_address), Field(examples=["scanner@contoso.com"])]
RecipientText = Annotated[str, AfterValidator(recipient_id), Field(examples=["invoices@contoso.com"])]
RecipientKey = Annotated[str, AfterValidator(as_written(recipient_name))]
RecipientIdKey = Annotated[str, AfterValidator(as_written(recipient_id))]
EmailKey = Annotated[str, AfterValidator(as_written(email_address))]


def read_only() -> Any:
    """A spec field that is only ever observed: told to rules and steps, never written in a plan, never sent."""
    return dataclasses.field(default=None, metadata={"read_only": True})


def known_names() -> Any:
    """The spec field `names`: other names of an observed object. Not compared, shown, saved or sent."""
    return dataclasses.field(default=frozenset(), compare=False, repr=False, metadata={"names": True})
