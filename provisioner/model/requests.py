"""What is asked of a tenant and of name servers, and what comes back; all plain data.

Nothing here sends: the adapters in `tenant` do.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
"""One object as the wire gives it (property name -> plain JSON value). The only place where Any is at home."""


@dataclass(frozen=True, slots=True)
class Delta:
    """`@{Add=…; Remove=…}` for a multi-valued parameter. The way to empty a list: `[]` leaves it as it is over REST."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ref:
    """The value of `property` in the first row that an earlier step of the same change returned (the first is 0)."""

    step: int
    property: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference (`env:NAME`, `file:PATH`) that becomes a value only in the moment of sending."""

    reference: str


Parameter = str | int | bool | None | tuple[str, ...] | Delta | Ref | Secret
_READING = frozenset({"Get", "Test"})
_REPEATABLE = frozenset({"Get", "Test", "Set", "Enable", "Disable"})


@dataclass(frozen=True, slots=True)
class Needed:
    """Which rows of a listing are kept while its pages arrive, so that memory follows the plan and not the tenant.

    `choose` gives the rows to keep, in their order: of some rows as the wire gives them, by the `names` that the plan
    means, in canonical form. It judges each row by itself, and keeps every one that a decoder could not take for an
    object without meaning: in doubt, a row is needed. It is given a page at once, since one look at all rows of a page
    costs less than one at each.
    """

    choose: Callable[[Sequence[Row], frozenset[str]], Sequence[Row]]
    names: frozenset[str] = frozenset()

    def of(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows that are needed."""
        return self.choose(rows, self.names)


def _needed_by_both(one: Needed | None, other: Needed | None) -> Needed | None:
    """What keeps every row that either needs; None keeps all rows."""
    if one is None or other is None or one.choose is not other.choose:
        return None
    return Needed(one.choose, one.names | other.names)


@dataclass(frozen=True, slots=True)
class Cmdlet:
    """One Exchange cmdlet with typed parameters; the same value travels over REST and over remote PowerShell.

    `columns` are those of its rows that are decoded; all, where none is named. `needed` says which rows are kept; all,
    where it is None. Neither is part of the question: requests that are equal but for them are one request (`united`).
    """

    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    columns: frozenset[str] = field(default=frozenset(), compare=False)
    needed: Needed | None = field(default=None, compare=False)

    @property
    def reads(self) -> bool:
        """True when it changes nothing (PowerShell's verb says so)."""
        return self.name.partition("-")[0] in _READING

    @property
    def repeatable(self) -> bool:
        """True when running it twice is the same as running it once; New, Add, Remove and Rotate are not."""
        return self.name.partition("-")[0] in _REPEATABLE

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """One Microsoft Graph request; `path` is below the version (`/users?$top=999`). A GET follows its pages.

    `columns` are those of a cmdlet: the properties of `$select`. `beta`: the version is beta, for what v1.0 lacks.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    columns: frozenset[str] = field(default=frozenset(), compare=False)
    beta: bool = False

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def repeatable(self) -> bool:
        return self.method in {"GET", "PATCH", "PUT"}

    def __str__(self) -> str:
        return f"{self.method} {'/beta' if self.beta else ''}{self.path}"


@dataclass(frozen=True, slots=True)
class DnsQuery:
    """One DNS question: owner name without trailing dot, record type in capitals."""

    name: str
    type: str

    @property
    def reads(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


@dataclass(frozen=True, slots=True)
class PolicyQuery:
    """A fetch of a domain's MTA-STS policy from its policy host (RFC 8461, 3.3). No part of a plan rests on one."""

    domain: str

    @property
    def reads(self) -> bool:
        return True

    @property
    def host(self) -> str:
        return f"mta-sts.{self.domain}"

    def __str__(self) -> str:
        return f"GET https://{self.host}/.well-known/mta-sts.txt"


@dataclass(frozen=True, slots=True)
class ZoneQuery:
    """What the authoritative servers of a zone have at a name, for somebody who publishes there.

    `provider` is named in the settings; "" for the one that has the zone. Rows: one with `zone`, `name` (the owner name
    once aliases were followed) and `spf_include` (what stands for Exchange in the profile's cloud), one for each record
    at the name with `type`, `value`, `ttl_s` and, of a TXT value that is split in an unusual way, its `strings`, one
    with the names that a CNAME `leads_to`, one for each TXT value that a `wildcard` gives to the name, and one for each
    server with a `problem`, with `server`.
    """

    provider: str
    name: str
    type: str

    @property
    def reads(self) -> bool:
        return True

    @property
    def repeatable(self) -> bool:
        return True

    def __str__(self) -> str:
        return f"{self.name} {self.type} (authoritative)"


@dataclass(frozen=True, slots=True)
class Pending:
    """A value that Exchange names once an object exists: the field `property` of the object at `address`."""

    address: str
    property: str

    def __str__(self) -> str:
        return f"(known after apply: {self.property} of {self.address})"


@dataclass(frozen=True, slots=True)
class DnsUpdate:
    """Add and remove single values of one name and type, in one piece: the other values of the set stay as they are.

    `only` says what of the set must be as it was read: the values that begin so (`v=spf1`), "" for all of it; `keep`
    are those of them that stay. `strings` are the parts of added TXT values that are not to be split after 255 bytes,
    as they stood there before.
    """

    provider: str
    name: str
    type: str
    add: tuple[str | Pending, ...] = ()
    remove: tuple[str, ...] = ()
    only: str = ""
    ttl_s: int = 3600
    strings: tuple[tuple[str, ...], ...] = ()
    keep: tuple[str, ...] = ()

    @property
    def reads(self) -> bool:
        return False

    @property
    def repeatable(self) -> bool:
        return False

    @property
    def pending(self) -> bool:
        """Whether a value is not known yet; it is never sent so."""
        return any(isinstance(value, Pending) for value in self.add)

    def __str__(self) -> str:
        return f"DNS UPDATE {self.name} {self.type}"


Request = Cmdlet | GraphRequest | DnsQuery | ZoneQuery | DnsUpdate
"""What the engine sends through the ports."""

Write = Cmdlet | DnsUpdate
"""What a step may send."""

AnyRequest = Request | PolicyQuery
"""What observers are told about."""


def request_key(request: AnyRequest) -> str:
    """A text that is equal for equal requests: what duplicates are merged by."""
    facts = {each.name: getattr(request, each.name) for each in dataclasses.fields(request) if each.compare}
    if not facts.get("beta", True):
        del facts["beta"]  # saved change sets know the key without it
    facts = {name: value for name, value in facts.items() if value or name not in ("strings", "keep")}
    return f"{type(request).__name__}:{_SORTED.encode(facts)}"


def _plain(value: object) -> object:
    """What JSON cannot hold, as what it can: a parameter that is a value of ours by its fields, a mapping as a dict."""
    if isinstance(value, Delta | Ref | Secret | Pending):
        return dataclasses.asdict(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


_SORTED = json.JSONEncoder(sort_keys=True, default=_plain)


def united(requests: Iterable[Request]) -> Mapping[str, Request]:
    """Each distinct request once, by its key, with the columns and the rows that all equal to it need."""
    found: dict[str, Request] = {}
    for request in requests:
        key = request_key(request)
        other = found.get(key)
        if isinstance(request, Cmdlet | GraphRequest) and isinstance(other, Cmdlet | GraphRequest):
            both = request.columns and other.columns
            request = dataclasses.replace(request, columns=request.columns | other.columns if both else frozenset())
        if isinstance(request, Cmdlet) and isinstance(other, Cmdlet):
            request = dataclasses.replace(request, needed=_needed_by_both(request.needed, other.needed))
        found[key] = request
    return found


def tells(asked: Request, request: Request) -> bool:
    """Whether the answer to `asked`, an equal request, has every column and every row that `request` needs."""
    if isinstance(asked, Cmdlet) and isinstance(request, Cmdlet) and asked.needed is not None:
        both = _needed_by_both(asked.needed, request.needed)
        if both is None or both.names != asked.needed.names:
            return False
    if not isinstance(asked, Cmdlet | GraphRequest) or not isinstance(request, Cmdlet | GraphRequest):
        return True
    return not asked.columns or (bool(request.columns) and request.columns <= asked.columns)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: all rows of all pages, warnings, the service's request ids, how many requests it took.

    `status` is that of HTTP in the last answer, where a transport knows it. `passed` counts the rows that came and were
    not kept, because no type needs them (`Needed`). `missing`: the object that was asked for does not exist.

    Rows of a `DnsQuery` have one property, `value`, the record's text; no row means that the name or type is not there.
    """

    rows: tuple[Row, ...] = ()
    warnings: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    requests: int = 1
    status: int | None = field(default=None, compare=False)
    passed: int = 0
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A read that the engine makes for a resource type.

    `covers` are the wanted keys whose answer rests on it: if it fails they are Unknown, and nothing is said about
    undeclared objects of the type. `may_be_missing`: NotFound is an answer without rows (a lookup of one identity).
    `may_be_refused`: a run that is not allowed to ask goes on without the answer; any other failure counts.
    `parts` are lookups that tell the same of the wanted keys as a listing does: they are sent instead of a listing
    that is known to have more pages than there are lookups.
    """

    request: Request
    covers: frozenset[str]
    may_be_missing: bool = False
    may_be_refused: bool = False
    parts: tuple[Query, ...] = field(default=(), compare=False)
