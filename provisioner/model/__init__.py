"""The central types, all plain data, and the protocol of a resource type.

Nothing here sends, reads files or prints. A resource type says which requests to make (`queries`), reads the answers
into canonical objects (`decode`) and turns a change into steps (`steps`); the engine sends them.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from provisioner.diagnostics import Location, Severity
from provisioner.model import consequence
from provisioner.model.devices import Choice, Device, Site
from provisioner.model.paths import SendingPath
from provisioner.model.picture import Contribution, Contributions
from provisioner.model.traffic import Traffic

Row = Mapping[str, Any]
"""One object as the wire gives it (property name -> plain JSON value). The only place where Any is at home."""


# --- addresses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A resource's name everywhere: `inbound_connector["hq-relay"]`, quoted as JSON quotes (Terraform's instances)."""

    type: str
    key: str

    def __str__(self) -> str:
        return f"{self.type}[{json.dumps(self.key, ensure_ascii=False)}]"

    @property
    def short(self) -> str:
        """The form that a command line takes: `inbound_connector/hq-relay`."""
        return f"{self.type}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read either form. Raises ValueError saying what an address looks like."""
        kind, bracket, rest = text.partition("[")
        if bracket and rest.endswith("]"):
            try:
                key = json.loads(rest[:-1])
            except ValueError:
                key = None
            if isinstance(key, str) and kind and key:
                return cls(kind, key)
        elif "/" in text:
            kind, _, key = text.partition("/")
            if kind and key:
                return cls(kind, key)
        raise ValueError(f'"{text}" is not an address: write type/key or type["key"]')


# --- requests --------------------------------------------------------------------------------------------------------


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

    `test` decides by a row as the wire gives it, and by the `names` that the plan means, in canonical form. It keeps
    every row that a decoder could not take for an object without meaning: in doubt, a row is needed.
    """

    test: Callable[[Row, frozenset[str]], bool]
    names: frozenset[str] = frozenset()

    def keeps(self, row: Row) -> bool:
        """Whether a row is needed."""
        return self.test(row, self.names)


def _needed_by_both(one: Needed | None, other: Needed | None) -> Needed | None:
    """What keeps every row that either needs; None keeps all rows."""
    if one is None or other is None or one.test is not other.test:
        return None
    return Needed(one.test, one.names | other.names)


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
    at the name with `type`, `value` and `ttl_s`, and one for each server with a `problem`, with `server`.
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

    `only` says what of the set must be as it was read: the values that begin so (`v=spf1`), "" for all of it.
    """

    provider: str
    name: str
    type: str
    add: tuple[str | Pending, ...] = ()
    remove: tuple[str, ...] = ()
    only: str = ""
    ttl_s: int = 3600

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
    not kept, because nobody needs them (`Needed`).

    Rows of a `DnsQuery` have one property, `value`, the record's text; no row means that the name or type is not there.
    """

    rows: tuple[Row, ...] = ()
    warnings: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    requests: int = 1
    status: int | None = field(default=None, compare=False)
    passed: int = 0


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


# --- steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send one cmdlet, or one update of DNS. Nothing is written through Microsoft Graph: no step can say it.

    `waits_on`: fragments of a refusal's text that mean "not yet", so that the change is waiting and not failed.
    `blocked_on`: fragments of a warning that mean "carried out, but it will not take effect by itself".
    """

    request: Write
    waits_on: tuple[str, ...] = ()
    blocked_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record that must be there: compared without case and trailing dot."""

    name: str
    type: str
    value: str | Ref


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until all of these records are published; the run ends "waiting" where they are not."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """How an administrator sees that an object is in force: a Get of this one object, and what its columns then have.

    A list has at least these entries.
    """

    request: Cmdlet
    shows: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read the object back until it shows these values and is in force.

    `shows` is the object with what the steps before have opened. The steps after it close: they are sent as a closing
    change is, or not at all.
    """

    shows: Any
    read_back: ReadBack | None = None


Step = Send | Await | Confirm


# --- what the tenant says --------------------------------------------------------------------------------------------

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Present:
    """The object is there, in canonical form."""

    spec: Any


@dataclass(frozen=True, slots=True)
class Absent:
    """A complete answer that does not hold the object.

    `reason` says why the tenant cannot have it as the plan names it, with its `fix`: a name that no recipient has, or
    one of a kind that does not do. `known` is what was observed of it nevertheless, a spec with its read-only fields
    alone: the ids of the two parties of a right that nobody has granted.
    """

    reason: str = ""
    fix: str = ""
    known: Any | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing may be concluded: the read failed, was refused, or came back short. Never planned on."""

    reason: str
    kind: str = "tenant"


Observation = Present | Absent | Unknown


@dataclass(frozen=True, slots=True)
class Observed:
    """The tenant as far as it was read: declared objects by address, and the undeclared ones that were read with them.

    `unlisted` are types whose undeclared objects could not be told, with the reason. `requests` counts the questions
    asked; how many pages each took is the transport's affair. `evidence` are the answers to what the rules asked, by
    `request_key`: nothing is planned on them, so that one that failed stands in nobody's way. `others` counts the
    undeclared objects of each type that are not in `undeclared`, because no change and no rule needs more of them;
    `unmanaged` counts those among them that a plan could declare. `remembered` are the ids of objects (`object_id`)
    by the address under which the journal saw them last.
    """

    resources: Mapping[Address, Observation]
    undeclared: Mapping[Address, Any] = field(default_factory=dict)
    unlisted: Mapping[str, Unknown] = field(default_factory=dict)
    requests: int = 0
    evidence: Mapping[str, Answer | Unknown] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)
    unmanaged: Mapping[str, int] = field(default_factory=dict)
    remembered: Mapping[Address, str] = field(default_factory=dict)


# --- what is wanted --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Declared:
    """One object that a section of a plan declares; `path` leads to it from the section (keys and list indexes)."""

    key: str
    spec: Any
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared object with the places of its key and of each written field.

    `devices` are the names of those that need it; where it was worked out for them, its place is that of the first.
    """

    address: Address
    spec: Any
    location: Location | None = None
    fields: Mapping[str, Location] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """A rule waived: `pattern` is matched against `type/key` (shell wildcards), `until` the last day (ISO), or None."""

    rule: str
    pattern: str = "*"
    until: str | None = None
    reason: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """The plan as it was read: everything that it declares, nothing about what exists.

    `resources` holds what devices take too, once `devices.expand` has worked it out, and `choices` how each device is
    to send. `set_aside` is what the plan declares outside the scope of the run: never changed, but never taken for
    undeclared either. `declared_only`: undeclared objects are not part of it, whatever mark they carry (a rollback).
    `traffic` is observed mail that the plan is tried against; it is not written in the plan and changes nothing.
    """

    tenant: str
    owner: str
    resources: Mapping[Address, Resource]
    exclusive: frozenset[str] = frozenset()
    absent: Mapping[Address, Location | None] = field(default_factory=dict)
    protect: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    digest: str = ""
    files: tuple[str, ...] = ()
    sites: Mapping[str, Site] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    set_aside: Mapping[Address, Resource] = field(default_factory=dict)
    declared_only: bool = False
    traffic: tuple[Traffic, ...] = ()


# --- changes ---------------------------------------------------------------------------------------------------------


class Action(enum.StrEnum):
    """What happens to a resource, in the words of Terraform's plan JSON."""

    NO_OP = "no-op"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says about the plan or the change set.

    `blocks`: "input" (the plan is wrong, exit 3), "precondition" (the tenant is not as the plan takes for granted, exit
    6), "apply" (a guard: shown by plan, refused by apply until allowed by name, exit 6) or "" (only shown). `known`: it
    follows from the plan alone, which `validate` and `lint` report too, and is about nothing that changes.
    """

    rule: str
    severity: Severity
    summary: str
    hint: str = ""
    address: Address | None = None
    blocks: str = ""
    waived: str = ""
    location: Location | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A precondition and how it stands: what the plan takes for granted of an object that it never changes."""

    address: Address
    status: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One resource's action. `before` is what the change rests on: the written fields, or all of them for a delete.

    `consequences` are what it does to mail and exposure, worst first (model/consequence.py). `observed` is the whole
    object as the tenant reported it, read-only fields included; None for a creation. The steps follow from it and
    from `after`, so that they can be derived again. `takes`: somebody loses something by it, whatever else it does.
    `releases` are objects that it needs no longer: they are deleted after it.
    """

    address: Address
    action: Action
    before: Any | None
    after: Any | None
    steps: tuple[Step, ...] = ()
    inverse: tuple[Step, ...] = ()
    needs: tuple[Address, ...] = ()
    reason: str = ""
    consequences: tuple[str, ...] = ()
    observed: Any | None = None
    takes: bool = False
    releases: tuple[Address, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether it may take a path from somebody: it is sent after what opens one, and held back if need be."""
        return self.takes or consequence.closes(self.consequences)


@dataclass(frozen=True, slots=True)
class Drift:
    """An object that was changed since the run that last brought it to its state: its fields then and now, as JSON.

    `after` is None where it is not there any more.
    """

    address: Address
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None
    run: str

    @property
    def fields(self) -> frozenset[str]:
        """The names of what is not as it was left; of an object that is gone, all."""
        return frozenset(n for n, v in self.before.items() if self.after is None or self.after.get(n) != v)


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """An object that the tenant has, that the plan could declare, and that it neither declares, ignores nor changes.

    `what` describes its effect on mail in a few words. `made_by` is `hybrid_wizard` or "", `owner` the plan that
    marked it, "" for none.
    """

    address: Address
    what: str
    made_by: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a change set was planned from. Planning again from it gives the same changes, findings and checks.

    A saved change set keeps it, so that nothing in the file has to be believed that can be derived. `observed` is cut
    to what planning and the rules use. `targets` and `excludes` are the scope; `waivers` are those of the command
    line, the plan's own are in `desired`.
    """

    desired: Desired
    observed: Observed
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All changes of one plan against one tenant, in the order of need. No-ops are kept.

    complete: nothing was left out or unknown. applyable: there is something to do and nothing forbids it. errored: a
    read failed; never applied. `commit` is the plan's git commit ("" where there is none, with " (modified)" where the
    plan is not as committed), `created` and `expires` are RFC 3339, `left` are objects that an earlier plan brought to
    their state, that no plan declares any more and that are still so. `drift` is what the journal proves to have been
    changed by others since. `unmanaged` are objects that were read with the declared ones, `unmanaged_more` counts
    those of each type that are too many to name. `promises` are the objects that must be in force before anything is
    closed by hand; empty where nothing closes. `paths` are the sending paths, today's and planned.
    """

    tenant: str
    tenant_id: str
    owner: str
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    unknown: Mapping[Address, Unknown] = field(default_factory=dict)
    unlisted: Mapping[str, Unknown] = field(default_factory=dict)
    complete: bool = True
    plan_digest: str = ""
    plan_files: tuple[str, ...] = ()
    created: str = ""
    transport: str = ""
    requests: int = 0
    commit: str = ""
    expires: str = ""
    left: tuple[Address, ...] = ()
    drift: tuple[Drift, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    unmanaged_more: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    promises: Mapping[Address, ReadBack] = field(default_factory=dict)
    paths: tuple[SendingPath, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(c for c in self.changes if c.action is not Action.NO_OP)

    @property
    def errored(self) -> bool:
        return bool(self.unknown or self.unlisted)

    @property
    def applyable(self) -> bool:
        return bool(self.pending) and not self.errored and not any(f.blocks and not f.waived for f in self.findings)


# --- resource types --------------------------------------------------------------------------------------------------


class Effect(enum.StrEnum):
    """What a change does to sending paths: mail that was refused is accepted afterwards, or the other way round."""

    OPENS = "opens"
    CLOSES = "closes"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule by its stable id. `blocks` as in `Finding.blocks`; a rule that blocks nothing is only shown.

    Or "change": apply holds single changes back (exit 8), by what the tenant has just before each.
    """

    id: str
    severity: Severity
    blocks: str
    sentence: str

    @property
    def waivable(self) -> bool:
        """A precondition is a fact of the tenant, a contradiction one of the plan: they are fixed, not waived."""
        return self.blocks != "precondition" and self.id != "ABSENT-DECLARED"

    @property
    def waivable_in_plan(self) -> bool:
        """What holds a change back is judged in the moment: it is allowed for one run, on the command line."""
        return self.waivable and self.blocks != "change"


@dataclass(frozen=True, slots=True)
class Guard:
    """A danger of one change: the rule that names it, what it does to mail, and what to look at before allowing it."""

    rule: str
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What a declared object should say otherwise: the rule that names it, what is wrong, how to fix it, which field.

    The summary begins without the object's address. `field` is the written field that it is about, "" for the object.
    `unwritten` are fields that it says are not written: where one is, with a mistake of its own, it says nothing.
    """

    rule: str
    summary: str
    hint: str
    field: str = ""
    unwritten: tuple[str, ...] = ()


class Undeclared(enum.StrEnum):
    """What becomes of an object that is there and not declared."""

    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Links:
    """The objects that declared ones may need, by address: those of the plan, and others of the tenant.

    Keys are compared without case, as Exchange compares names.
    """

    declared: Mapping[Address, Any]
    others: Mapping[Address, Any] = field(default_factory=dict)
    _by_form: Mapping[tuple[str, str], Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_form = {(a.type, a.key.casefold()): a for a in self.declared}
        object.__setattr__(self, "_by_form", by_form)

    def spelled(self, address: Address) -> Address:
        """The address as the plan declares it; as it is where the plan does not."""
        found: Address = self._by_form.get((address.type, address.key.casefold()), address)
        return found

    def object(self, address: Address) -> Any | None:
        """The object of a spelled address as it is planned, or as the tenant has it; None where nobody knows it."""
        return self.declared.get(address) or self.others.get(address)


class ResourceType(Protocol[S]):
    """Everything that the tool knows about one kind of object; pure, one file each in `resources/`.

    `S` is a frozen dataclass in canonical form: words for tri-states, frozensets for unordered lists, "" for "none";
    a field that is None was not written (desired) or not returned (observed). Field metadata `create_only=True` marks
    what only creation can set: a later difference is told in a finding and never planned.
    """

    @property
    def name(self) -> str:
        """The type in addresses: `inbound_connector`."""

    @property
    def section(self) -> str:
        """The key of the plan's section: `inbound_connectors`."""

    @property
    def section_type(self) -> Any:
        """What pydantic validates the section against; the JSON Schema comes from it too."""

    @property
    def spec(self) -> type[S]:
        """The canonical dataclass."""

    @property
    def creatable(self) -> bool:
        """False when the object lives and dies with something else: absent is then a finding, not a create."""

    @property
    def deletable(self) -> bool:
        """False when `absent:` makes no sense for it."""

    @property
    def revocable(self) -> bool:
        """True when the rollback of a run deletes what the run created, although no plan may list it as absent."""

    @property
    def precondition(self) -> bool:
        """True when a difference is a finding and never a change."""

    @property
    def marks_ownership(self) -> bool:
        """True when its objects carry the plan's ownership mark, so that undeclared ones of ours can be told."""

    def declare(self, section: Any, owner: str, /) -> Iterable[Declared]:
        """The objects that a validated section declares, with the plan's ownership mark where the type carries one."""

    def exclusive(self, section: Any, /) -> bool:
        """Whether the section claims every object of its type."""

    def queries(self, wanted: Mapping[str, S | None], everything: bool, /) -> Sequence[Query]:
        """The reads for ALL wanted objects at once; `everything` when undeclared ones matter too.

        A value of None is a tombstone: only its presence matters.
        """

    def decode(
        self, wanted: Mapping[str, S | None], answers: Sequence[tuple[Query, Answer]], /
    ) -> Mapping[str, S | Absent | Unknown]:
        """Rows of the queries that succeeded -> canonical objects by key, tolerant of unknown columns.

        A wanted object comes back under its wanted key, in whatever spelling that was. What is left out is absent.
        """

    def follow_up(
        self, wanted: Mapping[str, S | None], everything: bool, answers: Sequence[tuple[Query, Answer]], /
    ) -> Sequence[Query]:
        """The reads that the answers so far call for, to resolve names and to read by id what a name means.

        Called again after its own were answered, and not a third time; what was asked before is not asked again.
        `decode` gets all answers.
        """

    def passed_over(self, answers: Sequence[tuple[Query, Answer]], /) -> int:
        """How many undeclared objects the answers showed and did not keep, because no plan could change them."""

    def names(self, spec: S, /) -> Collection[str]:
        """Every known name of an observed object: what the patterns of a plan and of a command line may call it."""

    def undeclared(self, observed: S, owner: str, exclusive: bool, /) -> S | Undeclared:
        """What becomes of an object that is there and not declared; a spec means "bring it there"."""

    def steps(self, before: S | None, after: S | None, /) -> Sequence[Step]:
        """What turns `before` into `after`; undoing is the same with the arguments exchanged."""

    def linked(self, spec: S, links: Links, /) -> S:
        """A declared object with what follows from the objects that it needs."""

    def meant(self, spec: S, known: S | None, /) -> S:
        """A declared object with the values that follow from what was observed of it: a list that is only to contain
        what the plan writes. `known` is the live object, or what is known of one that does not exist."""

    def early(self, spec: S, /) -> Sequence[Address]:
        """Of what it needs, the objects that only have to exist, and need not be in force: it reads values of them."""

    def pending(self, spec: S, /) -> Sequence[Query]:
        """The reads that tell the values of an object that are not known while another does not exist; () for none."""

    def resolved(self, spec: S, answers: Sequence[tuple[Query, Answer]], /) -> S | None:
        """The object with its pending values; None where the answers do not tell them."""

    def completed(self, spec: S, /) -> S:
        """A declared object with every value that its creation sends although the plan does not write it."""

    def needs(self, spec: S, /) -> Sequence[Address]:
        """What must be in place first: order among changes, and preconditions."""

    @property
    def singletons(self) -> tuple[str, ...]:
        """Keys of objects that every tenant has exactly one of, and that no listing returns."""

    @property
    def privileged(self) -> bool:
        """True when roles that read everything else do not show its objects: an export goes on without them."""

    @property
    def listed_in_parts(self) -> bool:
        """True when a listing lacks columns that `follow_up` reads object by object, for an export too."""

    @property
    def governs(self) -> str:
        """The type whose undeclared objects its objects set, "" for none: a section of both cannot be exclusive."""

    @property
    def more_nouns(self) -> frozenset[str]:
        """The nouns that its steps may write besides those that `queries` reads: HVEAppAccess has no Get."""

    def written_form(self, spec: S, /) -> tuple[tuple[str, ...], Any] | None:
        """How a plan would declare what exists: the path from the section to the entry, and its plain value.

        Defaults are left out. None where a plan has nothing to say about it: it is as it would be without one, or it is
        not ours to declare.
        """

    def contribution(self, spec: S, /) -> Contributions:
        """What the whole object adds to the sending picture; () for nothing, as of an object that is switched off.

        A field that is None is not known and is judged with caution.
        """

    @property
    def contributes(self) -> tuple[type[Contribution], ...]:
        """The words that its objects may contribute: unknown where they could not be listed."""

    def guards(self, before: S | None, after: S | None, /) -> Iterable[Guard]:
        """What of this change a person must allow by name, judged on the whole objects."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that only this type mentions, in its guards and its advice. Each has a page in docs/rules/."""

    def lint(self, spec: S, /) -> Iterable[Advice]:
        """What is wrong with a declared object, whatever the tenant has."""

    def advice(self, wanted: S, live: S, /) -> Iterable[Advice]:
        """What is wrong with a declared object as it is in the tenant and stays. It never blocks."""

    def owner_of(self, spec: S, /) -> str:
        """The plan that marked the object as its own; "" for none."""

    def marked_key(self, spec: S, /) -> str:
        """The key of the object in the plan that marked it; "" where the mark does not name it."""

    def object_id(self, spec: S, /) -> str:
        """The id that an observed object keeps when it is renamed; "" where its objects cannot be renamed."""

    def settled(self, goal: S, live: S, /) -> bool:
        """Whether a live object needs no change to be the goal."""

    def made_by(self, spec: S, /) -> str:
        """Who made the object, such as `hybrid_wizard`; "" where the answer does not tell."""

    def unwritable(self, spec: S, /) -> Iterable[str]:
        """What of an observed object no plan can say, each as a sentence for the export."""

    def identity(self, spec: S, /) -> str:
        """What the object is called whatever name it was found by: two keys with one identity are one object.

        "" where the key is its only name.
        """

    def fix(self, wanted: S, live: S | None, /) -> str:
        """What to do about a precondition that is not met, or an object that is not in force; "" for the usual.

        `live` is None for an object that does not exist.
        """

    def in_force(self, wanted: S, live: S, /) -> str:
        """Why the live object has no effect although the plan does not switch it off; "" where it is in force."""

    def read_back(self, spec: S, /) -> ReadBack | None:
        """How an administrator reads one object by hand and sees that it is in force; None where nothing tells."""

    def working(self, live: S, /) -> S:
        """The live object as it is once what `in_force` names keeps it out of force no more."""


def written(spec: Any) -> dict[str, Any]:
    """The fields of a spec that are not None, by name, in their declared order."""
    return {name: value for name in field_names(spec) if (value := getattr(spec, name)) is not None}


def project(spec: Any, onto: Any) -> Any:
    """`spec` with every field that `onto` leaves unwritten set to None: what a comparison with `onto` rests on."""
    blank = {name: None for name in field_names(onto) if getattr(onto, name) is None}
    return dataclasses.replace(spec, **blank) if blank else spec


def overlay(wanted: Any, live: Any) -> Any:
    """The live object with every written field of `wanted` in place: the full goal of an update."""
    differing = {name: value for name, value in written(wanted).items() if getattr(live, name) != value}
    return dataclasses.replace(live, **differing) if differing else live


def goal_of(change: Change) -> Any | None:
    """The whole object that a change leads to; None for a deletion."""
    if change.after is None or change.observed is None:
        return change.after
    return overlay(change.after, change.observed)


def field_names(spec: Any) -> tuple[str, ...]:
    """The fields of a spec, or of its dataclass, in their declared order; its names are not among them."""
    return _field_names(spec if isinstance(spec, type) else type(spec))


def key_of(spec: Any) -> str:
    """The key of a spec, which is its first field."""
    return str(getattr(spec, field_names(spec)[0]))


@functools.cache
def _field_names(spec: type[Any]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(spec) if not f.metadata.get("names"))


def create_only(spec: Any) -> frozenset[str]:
    """The fields that only creation can set."""
    return _create_only(spec if isinstance(spec, type) else type(spec))


@functools.cache
def _create_only(spec: type[Any]) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(spec) if f.metadata.get("create_only"))


def matches(patterns: Iterable[str], address: Address, names: Iterable[str] = ()) -> bool:
    """Whether one of the shell patterns (`inbound_connector/Hybrid *`) names this object; `[` is plain text.

    `names` are the other names of the object (`ResourceType.names`): a pattern may match any of them.
    """
    wanted = [_pattern(pattern) for pattern in patterns]
    if not wanted:
        return False
    called = {address.short, *(Address(address.type, name).short for name in names)}
    return any(fits(text) for fits in wanted for text in called)


@functools.cache
def _pattern(pattern: str) -> Callable[[str], bool]:
    import fnmatch
    import re

    escaped = "".join("[[]" if c == "[" else c for c in pattern)
    compiled = re.compile(fnmatch.translate(escaped), re.IGNORECASE)
    return lambda text: compiled.match(text) is not None
