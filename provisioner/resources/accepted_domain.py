"""Accepted domains as a plan sets them: what becomes of unknown recipients, of subdomains, and of mail that is sent.

Domains come from verification in Entra ID, so that none is created or deleted: `domain` checks that one exists, this
type sets it. Parameters: Set-AcceptedDomain in the PowerShell reference (2026).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import Answer, Cmdlet, Declared, Guard, Query, ReadBack, Row, Rule, Send, Step, Unknown
from provisioner.model.picture import Acceptance, Contribution, Contributions
from provisioner.resources import fields
from provisioner.resources.base import BaseType
from provisioner.resources.canonical import DomainKey, answered, by_name, domain_name, lenient, read_only, text_of
from provisioner.resources.fields import BOOLEAN, column
from provisioner.resources.rows import accepted_domain as rows


@dataclass(frozen=True, slots=True)
class AcceptedDomain:
    """One accepted domain of the tenant.

    `stored` is how the service spells the domain where that is not our form (Unicode); observed only.
    """

    domain: str
    type: str | None = column(
        "DomainType",
        rows.KINDS,
        "authoritative: unknown recipients are refused; internal_relay: their mail is passed on elsewhere.",
        default="authoritative",
    )
    match_sub_domains: bool | None = column(
        "MatchSubDomains", BOOLEAN, "Mail of and for every subdomain is accepted too.", default=False
    )
    sending_from_disabled: bool | None = column(
        "SendingFromDomainDisabled", BOOLEAN, "Nobody may send from an address of the domain.", default=False
    )
    sending_to_disabled: bool | None = column(
        "SendingToDomainDisabled", BOOLEAN, "Mail to recipients of the domain is blocked.", default=False
    )
    outbound_only: bool | None = column(
        "OutboundOnly",
        BOOLEAN,
        "The domain of own systems on premises that use the cloud's protection.",
        default=False,
    )
    stored: str | None = read_only()


_COLUMNS = rows.COLUMNS | fields.wire_names(AcceptedDomain)
_DESCRIPTION = "One accepted domain. What is not written is left as it is."


class AcceptedDomainType(BaseType):
    """accepted_domain["contoso.com"]."""

    name: ClassVar[str] = "accepted_domain"
    section: ClassVar[str] = "accepted_domains"
    section_type: ClassVar[Any] = fields.section(
        DomainKey,
        fields.entry(AcceptedDomain, "AcceptedDomainBody", _DESCRIPTION),
        "Settings of accepted domains, by domain. The domains are verified in Entra ID, never created here.",
        {"contoso.com": {"type": "authoritative", "match_sub_domains": True}},
    )
    spec: ClassVar[type[AcceptedDomain]] = AcceptedDomain
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Acceptance,)
    creatable: ClassVar[bool] = False
    deletable: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("ACCEPTED-DOMAIN-RELAY", Severity.ERROR, "apply", "Mail for unknown recipients would be passed on."),
        Rule("ACCEPTED-DOMAIN-BLOCKED", Severity.ERROR, "apply", "Mail from or to a whole domain would be blocked."),
        Rule("DANE-DNSSEC", Severity.ERROR, "apply", "DNSSEC does not prove the MX records of a domain for DANE."),
        Rule("DANE-MTA-STS", Severity.ERROR, "apply", "The MTA-STS policy does not list the new MX host."),
        Rule(
            "DANE-MX", Severity.ERROR, "precondition", "Mail of a domain for DANE goes to other hosts than Exchange's."
        ),
        Rule("DANE-MX-CACHED", Severity.ERROR, "apply", "Senders may have cached an MX host that would be removed."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = domain_name(written)
            yield Declared(key, fields.declared(AcceptedDomain, key, body), (written,))

    def queries(self, wanted: Mapping[str, AcceptedDomain | None], everything: bool) -> Sequence[Query]:
        """One listing: a lookup of an unknown domain may return all of them anyway."""
        if not wanted and not everything:
            return ()
        return (Query(Cmdlet("Get-AcceptedDomain", columns=_COLUMNS), frozenset(wanted)),)

    def decode(
        self, wanted: Mapping[str, AcceptedDomain | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, AcceptedDomain | Unknown]:
        keys = {_form(key): key for key in wanted}
        seen: dict[str, AcceptedDomain | Unknown] = {}
        found = (row for _, answer in answers for row in answer.rows)
        for form, row in by_name(found, _form, "DomainName", "Name").items():
            key = keys.get(form, form)
            if isinstance(row, Unknown):
                seen[key] = row
            else:
                spec = AcceptedDomain(key, **fields.decoded(AcceptedDomain, row), stored=_stored(row, form))
                seen[key] = answered(wanted.get(key), spec)
        return seen

    def fix(self, _wanted: AcceptedDomain, _live: AcceptedDomain | None, /) -> str:
        return "add the domain in the Microsoft 365 admin center and verify it"

    def steps(self, before: AcceptedDomain | None, after: AcceptedDomain | None) -> Sequence[Step]:
        changes = fields.changes(before, after) if before and after else {}
        return (
            (Send(Cmdlet("Set-AcceptedDomain", {"Identity": _called(before), **changes})),)
            if before and changes
            else ()
        )

    def written_form(self, spec: AcceptedDomain) -> tuple[tuple[str, ...], Any] | None:
        """Most domains are as the service makes them, which needs no words."""
        body = fields.written_body(spec)
        return ((spec.domain,), body) if body else None

    def mail_domains(self, spec: AcceptedDomain, /) -> Collection[str]:
        """The domain itself."""
        return (spec.domain,)

    def contribution(self, spec: AcceptedDomain) -> Contributions:
        """The domain with the settings that the plan decides about."""
        sending, receiving = (
            None if disabled is None else not disabled
            for disabled in (spec.sending_from_disabled, spec.sending_to_disabled)
        )
        below, out = spec.match_sub_domains, spec.outbound_only
        return (Acceptance(spec.domain, spec.type, below, sending, receiving, out, managed=True),)

    def guards(self, before: AcceptedDomain | None, after: AcceptedDomain | None) -> Iterable[Guard]:
        if before is None or after is None:
            return
        if after.type == "internal_relay" != before.type:
            summary = (
                f"mail to addresses of {after.domain} that nobody has is not refused any more: it is passed on to "
                "where a connector or the MX record leads, and may come back in a loop"
            )
            hint = "make sure that an outbound connector leads to the system that has the other recipients"
            yield Guard("ACCEPTED-DOMAIN-RELAY", summary, hint)
        for name, words in _BLOCKS.items():
            if getattr(after, name) and not getattr(before, name):
                summary = f"{words} {after.domain} is blocked, of every mailbox, device and application"
                yield Guard("ACCEPTED-DOMAIN-BLOCKED", summary, f"leave {name} false while the domain is in use")

    def in_force(self, _wanted: AcceptedDomain, _live: AcceptedDomain, /) -> str:
        """A setting is in force."""
        return ""

    def read_back(self, spec: AcceptedDomain, /) -> ReadBack:
        request = Cmdlet("Get-AcceptedDomain", {"Identity": _called(spec)})
        return ReadBack(request, fields.sent(spec, fields.columns(spec).keys()))


_form = lenient(domain_name)
_BLOCKS = {"sending_from_disabled": "mail from", "sending_to_disabled": "mail to"}


def _stored(row: Row, form: str) -> str | None:
    """The service's spelling of a domain, None where it is ours."""
    name = text_of(row, "DomainName") or text_of(row, "Name") or ""
    return None if name.lower() == form else name


def _called(spec: AcceptedDomain) -> str:
    """What names the domain to the service: by which other spellings it finds one is not published."""
    return spec.stored or spec.domain
