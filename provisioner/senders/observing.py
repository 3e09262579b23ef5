"""What one row of a source says, in one shape for all sources, and how equal observations are counted together."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from provisioner.senders.inventory import UNKNOWN, Evidence, Protocol, TlsVersion, ip_address, unicode_text


@dataclass(frozen=True, slots=True)
class Observation:
    """One or more rows of a source that say the same. What a source does not say is empty.

    `sender` is the envelope sender, `login` the sign-in name or address that logged in, `login_id` its id in the
    directory. `connector` is None where nothing told it, "" where the mail came without one. `code` and `reason` are of
    a refusal. `first` and `last` are moments of the inventory, "" where rows have no time.
    """

    source: Evidence
    sender: str = ""
    login: str = ""
    login_id: str = ""
    protocol: Protocol = UNKNOWN
    ip_address: str = ""
    connector: str | None = None
    tls: TlsVersion | None = None
    recipients: Literal["", "inside", "outside"] = ""
    application: str = ""
    client_id: str = ""
    user_agent: str = ""
    code: str = ""
    reason: str = ""
    messages: int = 0
    logins: int = 0
    failures: int = 0
    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            value = getattr(self, name)
            if value and not value.isascii():
                object.__setattr__(self, name, unicode_text(value))

    @property
    def kind(self) -> tuple[object, ...]:
        """Everything but its counts and times."""
        values = dataclasses.asdict(self)
        return tuple(value for name, value in values.items() if name not in _COUNTED)


_TEXTS = ("sender", "login", "login_id", "connector", "application", "client_id", "user_agent", "code", "reason")
_COUNTED = frozenset({"messages", "logins", "failures", "first", "last"})


def counted(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Observations that differ in counts and times alone, together; in an order that only what they say decides."""
    found: dict[tuple[object, ...], Observation] = {}
    for observation in observations:
        kind = observation.kind
        before = found.get(kind)
        found[kind] = observation if before is None else _together(before, observation)
    return tuple(found[kind] for kind in sorted(found, key=repr))


def _together(one: Observation, other: Observation) -> Observation:
    return dataclasses.replace(
        one,
        messages=one.messages + other.messages,
        logins=one.logins + other.logins,
        failures=one.failures + other.failures,
        first=earliest(one.first, other.first),
        last=max(one.last, other.last),
    )


def earliest(*moments: str) -> str:
    """The first of some moments; "" where none is known."""
    return min((moment for moment in moments if moment), default="")


def moment(value: object) -> str:
    """A time of the wire as a moment of the inventory; "" for what is none.

    Exchange writes seven fraction digits and sometimes no zone (UTC is meant), Graph writes neither, a report a date.
    """
    text = str(value or "").strip().replace(" ", "T", 1)
    spread = _SPREADSHEET.fullmatch(text)
    if spread:
        text = _iso(spread)
    whole, dot, fraction = text.partition(".")
    if dot:
        zone = fraction.lstrip("0123456789")
        text = whole + zone
    try:
        found = dt.datetime.fromisoformat(text)
        aware = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
        utc = aware.astimezone(dt.UTC).replace(tzinfo=None)
        return f"{utc.isoformat(timespec='seconds')}Z"  # %Y does not pad the years before 1000
    except (ValueError, OverflowError):
        return ""


_SPREADSHEET = re.compile(
    r"(\d{1,2})([/.])(\d{1,2})\2(\d{4})(?:T(\d{1,2}):(\d\d)(?::(\d\d))?(?:\s?([AP])M)?)?", re.ASCII | re.IGNORECASE
)


def _iso(found: re.Match[str]) -> str:
    """11/3/2026 8:15 PM and 3.11.2026 20:15. With slashes the month comes first, as the service writes it."""
    first, mark, second, year, hour, minute, second_, half = found.groups()
    month, day = (second, first) if mark == "." or int(first) > 12 else (first, second)
    hours = int(hour or 0) % (12 if half else 24) + (12 if half and half.upper() == "P" else 0)
    return f"{year}-{int(month):02d}-{int(day):02d}T{hours:02d}:{minute or '00'}:{second_ or '00'}"


def source_ip(value: object) -> str:
    """An address of the wire in canonical form; "" for what is none, so that one odd row is not the end of a report."""
    text = str(value or "").strip().strip("[]")
    if text.count(":") == 1 and text.count(".") == 3:  # some columns have a port: "203.0.113.9:51234"
        text = text.partition(":")[0]
    try:
        return ip_address(text)
    except ValueError:
        return ""


def tls_version(value: object) -> TlsVersion | None:
    """A TLS version of any spelling: "TLS1.2", "TLSv1.2", "SP_PROT_TLS1_2_SERVER", "None"; None for what tells none."""
    text = str(value or "").strip().lower().replace("_", ".")
    found = next((v for v in _VERSIONS if v in text), None)
    if found is None and text in {"none", "no tls", "notls"}:
        return "none"
    return found


_VERSIONS: tuple[TlsVersion, ...] = ("1.3", "1.2", "1.1", "1.0")


def address(value: object) -> str:
    """A mail address in lower case without angle brackets; "" for the null sender and what is not an address."""
    text = str(value or "").strip().lower()
    inside = re.search(r"<([^<>]*)>\Z", text)  # Scanner <scan@contoso.com>
    text = (inside[1] if inside else text.strip("<>")).removeprefix("smtp:")
    return text if text.partition("@")[2] and text[0] != "@" and " " not in text else ""
