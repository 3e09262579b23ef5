"""A DNS record that mail needs and that this plan publishes: SPF, DMARC, or a DKIM selector of one domain.

Off by default: the section `dns` names for each domain what to publish, and which DNS provider has its zone. Values
are added and removed one by one, so that what others keep in the same set (`MS=…`, verifications of sites) stays. MX,
NS and SOA records are never written, and nothing that the plan does not name is removed.

SPF is extended, not replaced: the live record keeps its terms and its ending. A DMARC record that exists keeps every
tag that the plan does not write. The target of a selector is what Exchange names; it is known once the DKIM
configuration exists, so that a first apply creates that, publishes, waits for DNS and switches signing on.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Severity
from provisioner.mail_dns.dialogue import Answers, DnsAnswer, rows
from provisioner.mail_dns.policy_findings import FIRST_DMARC, strictest
from provisioner.mail_dns.records import is_dmarc, parse_dmarc, repair_dmarc
from provisioner.mail_dns.spf_findings import improve, is_internal, merge
from provisioner.mail_dns.spf_syntax import SPF_VERSION, SpfSyntaxError, is_spf, parse
from provisioner.mail_dns.tree_walk import names_above, question_at, walk_of
from provisioner.model import (
    Absent,
    Address,
    Answer,
    Cmdlet,
    Declared,
    DnsQuery,
    DnsUpdate,
    Guard,
    Pending,
    Query,
    Row,
    Rule,
    Send,
    Step,
    Unknown,
    ZoneQuery,
)
from provisioner.model.picture import Contributions
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import DomainKey, by_name, domain_name, lenient, read_only

SPF, DMARC = "spf", "dmarc"
SELECTORS = ("dkim-selector1", "dkim-selector2")
_TTL_S = 3600
_DKIM = Cmdlet(
    "Get-DkimSigningConfig",
    columns=frozenset({"Domain", "Name", "Identity", "Guid", "Selector1CNAME", "Selector2CNAME"}),
)


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """`values` are the records of this purpose at the name: one, or several where SPF or DMARC is there twice.

    `terms` are what an SPF record must contain (`include:…`, `ip4:…`), `tags` what a DMARC record must say
    (`p=reject`); of a live record those of them that it has. Both lead to `values`, which alone are compared. `zone`
    and `owner` are where the record is, once aliases were followed, `target` what Exchange names for a selector,
    `include` what stands for Exchange in SPF; `servers` are the zone's servers that do not show the record, each with
    the reason. `leads_to` are the names that a selector leads along. Of a name without a record, `wildcard` are the
    values that one gives to it, and `inherited` is the DMARC policy that holds for the domain. `strings` are the parts
    of values that are split in an unusual way, as JSON, and `ttl_s` is how long others may keep them: a rollback writes
    them so.
    """

    key: str
    values: frozenset[str] | None = None
    terms: frozenset[str] | None = field(default=None, compare=False)
    tags: frozenset[str] | None = field(default=None, compare=False)
    provider: str | None = field(default=None, compare=False, metadata={"read_only": True})
    zone: str | None = read_only()
    owner: str | None = read_only()
    target: str | None = read_only()
    include: str | None = read_only()
    servers: frozenset[str] | None = read_only()
    leads_to: frozenset[str] | None = field(default=None, compare=False, metadata={"read_only": True})
    ttl_s: int | None = field(default=None, compare=False, metadata={"read_only": True})
    wildcard: frozenset[str] | None = field(default=None, compare=False, metadata={"read_only": True})
    inherited: str | None = field(default=None, compare=False, metadata={"read_only": True})
    strings: frozenset[str] | None = field(default=None, compare=False, metadata={"read_only": True})

    @property
    def domain(self) -> str:
        return self.key.partition("/")[0]

    @property
    def purpose(self) -> str:
        return self.key.partition("/")[2]


def _address(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain or any(c in text for c in " ,;!"):
        raise ValueError("an email address is expected")
    return f"{local}@{domain.lower()}"


@with_config(ConfigDict(extra="forbid"))
class DmarcBody(TypedDict, total=False):
    """What a DMARC record must say. Other tags of the live record are kept."""

    policy: Annotated[
        Literal["none", "quarantine", "reject"], Field(description="What receivers do with mail that fails.")
    ]
    reports: Annotated[
        list[Annotated[str, AfterValidator(_address)]],
        Field(description="Addresses that receive aggregate reports (rua). The whole list.", min_length=1),
    ]


@with_config(ConfigDict(extra="forbid"))
class DnsBody(TypedDict, total=False):
    """What this plan publishes in DNS for one domain."""

    publish: Annotated[
        list[Literal["dkim", "spf", "dmarc"]],
        Field(description="dkim: the two selectors; spf: Exchange and the egress addresses of sites; dmarc: a policy."),
    ]
    provider: Annotated[
        str, Field(description="The DNS provider, by its name in the settings. Needed where there are several.")
    ]
    dmarc: Annotated[DmarcBody, Field(description="What the DMARC record must say.")]


class DnsRecordType(BaseType):
    """dns_record["contoso.com/spf"]."""

    name: ClassVar[str] = "dns_record"
    section: ClassVar[str] = "dns"
    section_type: ClassVar[Any] = Annotated[
        dict[DomainKey, DnsBody],
        Field(
            description="What to publish in DNS, by domain. Nothing is published that is not named here.",
            examples=[{"contoso.com": {"publish": ["dkim", "spf", "dmarc"], "provider": "corp-dns"}}],
        ),
    ]
    spec: ClassVar[type[DnsRecord]] = DnsRecord
    remembers: ClassVar[bool] = True
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("DNS-OVERWRITE", Severity.ERROR, "apply", "A DNS record that others published is replaced or deleted."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            domain, provider = domain_name(written), body.get("provider")
            for number, what in enumerate(body.get("publish", ())):
                path = (written, "publish", number)
                for purpose in SELECTORS if what == "dkim" else (what,):
                    spec = DnsRecord(f"{domain}/{purpose}", provider=provider)
                    if purpose == SPF:
                        spec = dataclasses.replace(spec, terms=frozenset())
                    elif purpose == DMARC:
                        spec = dataclasses.replace(spec, tags=frozenset(_tags(body.get("dmarc", {}))))
                    yield Declared(spec.key, spec, path)

    def queries(self, wanted: Mapping[str, DnsRecord | None], _everything: bool) -> Sequence[Query]:
        """The zone's own servers, for selectors the targets that Exchange names, and for DMARC the domains above.

        The top-level domain is not asked: the policy of a public suffix is for its own registry to keep up.
        """
        found = [Query(_where(key, spec), frozenset({key})) for key, spec in wanted.items()]
        selectors = frozenset(key for key in wanted if key.partition("/")[2] in SELECTORS)
        found += [Query(_DKIM, selectors)] if selectors else []
        above = {k: names_above(k.partition("/")[0])[:-1] for k in wanted if k.partition("/")[2] == DMARC}
        names = dict.fromkeys(name for named in above.values() for name in named)
        return [*found, *(Query(question_at(n), frozenset(k for k in above if n in above[k])) for n in names)]

    def decode(
        self, wanted: Mapping[str, DnsRecord | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, DnsRecord | Absent | Unknown]:
        targets = next((_targets(answer) for query, answer in answers if query.request == _DKIM), {})
        told = {query.request: answer for query, answer in answers if isinstance(query.request, ZoneQuery)}
        above = {q.request: _texts(answer) for q, answer in answers if isinstance(q.request, DnsQuery)}
        return {
            key: _decode(key, spec, told[_where(key, spec)], targets, above)
            for key, spec in wanted.items()
            if _where(key, spec) in told
        }

    def meant(self, spec: DnsRecord, known: DnsRecord | None, /) -> DnsRecord:
        """With the value that what is published leads to; one that is written (of a run that is undone) stays."""
        if spec.values is not None or known is None:
            return spec
        spec = dataclasses.replace(spec, strings=known.strings)  # what is compared is recorded: a rollback needs it
        live = sorted(known.values or known.wildcard or ())
        if spec.purpose == SPF:
            terms = (spec.terms or frozenset()) | ({f"include:{known.include}"} if known.include else set())
            return dataclasses.replace(spec, terms=terms, values=frozenset({_spf(live, terms)}))
        if spec.purpose == DMARC:
            said = _dmarc(live, spec.tags or frozenset(), known.inherited or "none")
            return dataclasses.replace(spec, values=frozenset({said}))
        if known.target in (known.leads_to or ()):
            return dataclasses.replace(spec, values=known.values)  # through an alias of the owner's
        return dataclasses.replace(spec, values=frozenset({known.target or str(_pending(spec))}))

    def steps(self, before: DnsRecord | None, after: DnsRecord | None) -> Sequence[Step]:
        there = (before.values or frozenset()) if before else frozenset()
        wanted = (after.values or frozenset()) if after else frozenset()
        added: list[str | Pending] = [*sorted(wanted - there)]
        if after is not None and _is_pending(after):
            added = [_pending(after)]
        removed = sorted(there - wanted)
        spec = after or before
        if spec is None or not (added or removed):
            return ()
        name, kind = _name(spec.key)
        only = {SPF: SPF_VERSION, DMARC: "v="}.get(spec.purpose, "")
        provider = spec.provider or ""
        strings = tuple(parts for parts in _parts(after) if "".join(parts) in added)
        kept = tuple(sorted(there & wanted))
        ttl_s = (after.ttl_s if after and before is None else None) or _TTL_S
        return (Send(DnsUpdate(provider, name, kind, tuple(added), tuple(removed), only, ttl_s, strings, kept)),)

    def needs(self, spec: DnsRecord) -> Sequence[Address]:
        """A selector whose target is not known needs the configuration that Exchange makes."""
        return self.early(spec)

    def early(self, spec: DnsRecord) -> Sequence[Address]:
        return (Address("dkim", spec.domain),) if spec.purpose in SELECTORS and _is_pending(spec) else ()

    def pending(self, spec: DnsRecord) -> Sequence[Query]:
        return (Query(_DKIM, frozenset({spec.key})),) if self.early(spec) else ()

    def resolved(self, spec: DnsRecord, answers: Sequence[tuple[Query, Answer]]) -> DnsRecord | None:
        targets = next((_targets(answer) for query, answer in answers if query.request == _DKIM), {})
        target = targets.get(spec.key)
        return dataclasses.replace(spec, values=frozenset({target}), target=target) if target else None

    def written_form(self, _spec: DnsRecord) -> tuple[tuple[str, ...], Any] | None:
        """Which records a plan publishes is for its authors to say."""
        return None

    def mail_domains(self, spec: DnsRecord, /) -> Collection[str]:
        """The domain that the record is for."""
        return (spec.domain,)

    def contribution(self, _spec: DnsRecord) -> Contributions:
        """Receivers judge by DNS; what the tenant accepts does not depend on it."""
        return ()

    def guards(self, before: DnsRecord | None, after: DnsRecord | None) -> Iterable[Guard]:
        """Whatever takes a value away that exists."""
        if before is None or not before.values:
            return
        gone = sorted(before.values - ((after.values if after else None) or frozenset()))
        if gone:
            name, kind = _name(before.key)
            old = ", ".join(gone)
            new = ", ".join(sorted((after.values if after else None) or ()))
            end = f'replaced by "{new}"' if new else "deleted"
            hint = (
                "compare the two values; other records of the name are kept"
                if new
                else "make sure that nobody needs it"
            )
            yield Guard("DNS-OVERWRITE", f'{name} {kind} has "{old}", which is {end}', hint)

    def remembered(self, deeds: Sequence[tuple[DnsRecord | None, DnsRecord | None]], /) -> str:
        """The values that our runs brought, and whether the record extends one of others.

        What a rollback gives back stays theirs.
        """
        ours: set[str] = set()
        theirs: set[str] = set()
        extends = False
        for before, after in deeds:
            there, left = _values(before), _values(after)
            extends = bool(there) and (extends or not there <= ours)
            theirs |= there - ours
            ours |= left - theirs
        return json.dumps({"ours": sorted(ours), "extends": extends}) if ours else ""

    def is_ours(self, before: DnsRecord, after: DnsRecord | None, remembered: str, /) -> bool:
        """Whether our runs brought what goes. A record that extended another's is not deleted unasked."""
        ours, extends = _known(remembered)
        return _values(before) - _values(after) <= ours and not (extends and not _values(after))

    def in_force(self, _wanted: DnsRecord, live: DnsRecord, /) -> str:
        """A server of the zone that has another value answers some receivers with it."""
        return "; ".join(sorted(live.servers or ()))


_form = lenient(domain_name)


def _values(spec: DnsRecord | None) -> set[str]:
    return set((spec.values if spec else None) or ())


def _known(remembered: str) -> tuple[set[str], bool]:
    """What `remembered` made a text of; of any other text that nothing is ours."""
    try:
        known = json.loads(remembered)
        return set(map(str, known["ours"])), bool(known["extends"])
    except (ValueError, TypeError, LookupError):
        return set(), True


def _parts(spec: DnsRecord | None) -> Iterable[tuple[str, ...]]:
    """The strings of the values that are split in an unusual way."""
    return [tuple(json.loads(text)) for text in sorted((spec.strings if spec else None) or ())]


# --- where -----------------------------------------------------------------------------------------------------------


def _name(key: str) -> tuple[str, str]:
    """The name and type of a record by its key."""
    domain, _, purpose = key.partition("/")
    if purpose in SELECTORS:
        return f"{purpose.removeprefix('dkim-')}._domainkey.{domain}", "CNAME"
    return (f"_dmarc.{domain}" if purpose == DMARC else domain), "TXT"


def _where(key: str, spec: DnsRecord | None) -> ZoneQuery:
    return ZoneQuery((spec.provider if spec else "") or "", *_name(key))


def _pending(spec: DnsRecord) -> Pending:
    return Pending(str(Address("dkim", spec.domain)), f"{spec.purpose.removeprefix('dkim-')}_cname")


def _is_pending(spec: DnsRecord) -> bool:
    """Whether the target of a selector is not known yet. A plan writes none; when it is planned, words stand for it."""
    return spec.values is None or str(_pending(spec)) in spec.values


# --- what the answers say --------------------------------------------------------------------------------------------


def _targets(answer: Answer) -> Mapping[str, str]:
    """The targets of the selectors that Exchange names, by the keys of their records. Raises ValueError."""
    found: dict[str, str] = {}
    for domain, row in by_name(answer.rows, _form, "Domain", "Name", "Identity").items():
        for number in (1, 2):
            target = None if isinstance(row, Unknown) else row.get(f"Selector{number}CNAME")
            if isinstance(target, str) and target.strip():
                found[f"{domain}/dkim-selector{number}"] = target.strip().lower().removesuffix(".")
    return found


def _texts(answer: Answer) -> DnsAnswer:
    return rows(*(str(row["value"]) for row in answer.rows))


def _value(row: Row) -> str:
    """The value of a record; a target in the form that targets of ours have."""
    text = str(row["value"])
    return text.lower().removesuffix(".") if row.get("type") == "CNAME" else text


def _inherited(domain: str, above: Answers) -> str | None:
    """The policy that receivers apply to a domain without a record (RFC 9989, 4.10.1); None where there is none."""
    found = walk_of(domain, above).above
    return found[1].applied(found[1].subdomain_policy) if found is not None and found[1].applies else None


def _decode(
    key: str, wanted: DnsRecord | None, answer: Answer, targets: Mapping[str, str], above: Answers
) -> DnsRecord | Absent | Unknown:
    place = next((row for row in answer.rows if "zone" in row), None)
    if place is None:
        return Unknown("the zone of the record is not known", "malformed")
    _, kind = _name(key)
    texts = frozenset(_value(row) for row in answer.rows if row.get("type") == kind)
    seen = DnsRecord(
        key,
        zone=str(place["zone"]),
        owner=str(place["name"]),
        provider=wanted.provider if wanted else str(place.get("provider") or "") or None,
        target=targets.get(key),
        include=str(place.get("spf_include") or "") or None,
        servers=frozenset(f"{row['server']}: {row['problem']}" for row in answer.rows if "problem" in row) or None,
        leads_to=frozenset(str(name) for row in answer.rows for name in row.get("leads_to", ())) or None,
        strings=frozenset(json.dumps(list(row["strings"])) for row in answer.rows if row.get("strings")) or None,
    )
    purpose = seen.purpose
    if purpose == SPF:
        values = frozenset(filter(is_spf, texts))
        terms = wanted.terms if wanted else None
        if terms is not None and wanted is not None and wanted.values is None and seen.include:
            terms = terms | {f"include:{seen.include}"}
        seen = dataclasses.replace(seen, terms=_satisfied(values, terms) if terms is not None else None)
    elif purpose == DMARC:
        values = frozenset(text for text in texts if is_dmarc(text) or "dmarc" in text.lower())
        tags = wanted.tags if wanted else None
        seen = dataclasses.replace(seen, tags=_said(values, tags) if tags is not None else None)
    else:
        values = texts
    if values:
        ttls_s = [int(row["ttl_s"]) for row in answer.rows if row.get("type") == kind and _value(row) in values]
        return dataclasses.replace(seen, values=values, ttl_s=min(ttls_s, default=None))
    others = sorted({str(row["type"]) for row in answer.rows if row.get("type") not in (None, kind)})
    if kind == "CNAME" and others:
        what = f"{seen.owner} has {', '.join(others)} records: no CNAME can stand beside them (RFC 1034, 3.6.2)"
        return Absent(what, f"remove the {', '.join(others)} records of {seen.owner}")
    # What a wildcard gives to the name holds until the name has a record of its own, which keeps what it says.
    wild = frozenset(filter(_meant(purpose), (str(row["wildcard"]) for row in answer.rows if "wildcard" in row)))
    inherited = _inherited(seen.domain, above) if purpose == DMARC else None
    return Absent(known=dataclasses.replace(seen, terms=None, tags=None, wildcard=wild or None, inherited=inherited))


def _meant(purpose: str) -> Callable[[str], bool]:
    """Which TXT values are records of a purpose."""
    return {SPF: is_spf, DMARC: is_dmarc}.get(purpose, lambda _: False)


def _satisfied(values: Iterable[str], terms: frozenset[str]) -> frozenset[str]:
    """The terms that one record alone contains, by its mechanisms with a pass."""
    texts = list(values)
    if len(texts) != 1:
        return frozenset()
    try:
        record = parse(texts[0])
    except SpfSyntaxError:
        return frozenset()
    before_all = record.mechanisms[: record.mechanisms.index(record.all)] if record.all else record.mechanisms
    passing = [m for m in before_all if m.qualifier == "+"]
    names = {m.target.lower().removesuffix(".") for m in passing if m.name == "include"}
    networks = [m.network for m in passing if m.network is not None]

    def holds(term: str) -> bool:
        name, _, value = term.partition(":")
        if name == "include":
            return value in names
        network = ipaddress.ip_network(value)
        return any(n.version == network.version and network.subnet_of(n) for n in networks)  # type: ignore[arg-type]

    return frozenset(filter(holds, terms))


def _said(values: Iterable[str], tags: frozenset[str]) -> frozenset[str]:
    """The tags that one valid DMARC record has."""
    texts = list(values)
    if len(texts) != 1 or not is_dmarc(texts[0]):
        return frozenset()
    live = parse_dmarc(texts[0])
    return frozenset(tag for tag in tags if live.tags.get(tag.partition("=")[0]) == tag.partition("=")[2])


def spf_term(network: str) -> str:
    """The SPF term of an egress network; "" for one that no receiver ever sees."""
    parsed = ipaddress.ip_network(network, strict=False)
    if is_internal(parsed):
        return ""
    whole = parsed.prefixlen == parsed.max_prefixlen
    return f"ip{parsed.version}:{parsed.network_address if whole else parsed}"


def _tags(body: Mapping[str, Any]) -> Iterable[str]:
    if "policy" in body:
        yield f"p={body['policy']}"
    if "reports" in body:
        yield "rua=" + ",".join(f"mailto:{address}" for address in body["reports"])


# --- what to publish -------------------------------------------------------------------------------------------------


def _spf(live: Sequence[str], terms: frozenset[str]) -> str:
    """The one SPF record: the live one with what it lacks, in front of its ending; ~all where there is none."""
    lacking = sorted(terms - _satisfied(live, terms), key=lambda term: (not term.startswith("include:"), term))
    if not live:
        return " ".join(["v=spf1", *lacking, "~all"])
    if len(live) > 1:
        return merge(live, sorted(terms))
    if not lacking and _valid(live[0]):
        return live[0]
    return improve(live[0], lacking) or " ".join(["v=spf1", *sorted(terms), "~all"])


def _valid(text: str) -> bool:
    try:
        parse(text)
    except SpfSyntaxError:
        return False
    return True


def _dmarc(live: Sequence[str], tags: frozenset[str], inherited: str) -> str:
    """The one DMARC record: the live one with the tags that the plan writes.

    A first one begins with the policy that the domain inherits: p=none would take it away.
    """
    first = FIRST_DMARC.replace("none", inherited)
    valid = [text for text in live if is_dmarc(text) and not parse_dmarc(text).errors]
    base = strictest(valid) if valid else next(filter(None, map(repair_dmarc, live)), first)
    if tags <= _said([base], tags):
        return base
    wanted = dict(tag.split("=", 1) for tag in sorted(tags))
    kept = {"v": "DMARC1", "p": "none", **parse_dmarc(base).tags, **wanted}
    return "; ".join(f"{name}={value}" for name, value in kept.items())
