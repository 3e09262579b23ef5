"""A domain that the plan takes for granted: verified in the directory, accepted by Exchange, of a type.

Domains come from verification in Entra ID: this type is a precondition, checked and never created or changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from provisioner.diagnostics import Severity
from provisioner.model import (
    Address,
    Advice,
    Answer,
    Declared,
    GraphRequest,
    Links,
    Query,
    Row,
    Rule,
    Unknown,
)
from provisioner.model.picture import Acceptance, Contribution, Contributions
from provisioner.resources import fields
from provisioner.resources.base import PreconditionType
from provisioner.resources.canonical import DomainKey, by_name, domain_name, flag, lenient
from provisioner.resources.fields import REQUIRED, column
from provisioner.resources.rows import accepted_domain
from provisioner.resources.rows.accepted_domain import AcceptedDomain


@dataclass(frozen=True, slots=True)
class Domain:
    """`verified` is Entra ID's word, the others are Exchange's.

    A subdomain is verified and accepted with the domain above it where that has MatchSubDomains. Observed only:
    `subdomains` (MatchSubDomains), `sending_disabled` (SendingFromDomainDisabled), `receiving_disabled` (SendingTo-
    DomainDisabled) and `outbound_only` (OutboundOnly). No plan writes them, and they count in no comparison.
    """

    domain: str
    verified: bool | None = column("isVerified", REQUIRED, "Entra ID has verified that the tenant owns it.")
    accepted: bool | None = column("DomainName", REQUIRED, "Exchange takes mail for it. Writing type implies it.")
    type: str | None = column(
        "DomainType",
        accepted_domain.KINDS,
        "authoritative: unknown recipients are refused; internal_relay: passed on elsewhere.",
    )
    subdomains: bool | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    sending_disabled: bool | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    receiving_disabled: bool | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})
    outbound_only: bool | None = dataclasses.field(default=None, compare=False, metadata={"read_only": True})


_DESCRIPTION = "What must be true of a domain. An empty mapping asks only that the tenant has it."


class DomainType(PreconditionType):
    """domain["contoso.com"]."""

    name: ClassVar[str] = "domain"
    section: ClassVar[str] = "domains"
    section_type: ClassVar[Any] = fields.section(
        DomainKey,
        fields.entry(Domain, "DomainBody", _DESCRIPTION),
        "Domains that must be there. Checked before anything is done, never created or changed.",
        {"contoso.com": {"verified": True, "type": "authoritative"}},
    )
    spec: ClassVar[type[Domain]] = Domain
    contributes: ClassVar[tuple[type[Contribution], ...]] = (Acceptance,)
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("DOMAIN-SENDING-DISABLED", Severity.WARNING, "", "No mail may be sent from a domain that the plan needs."),
    )

    def declare(self, section: Mapping[str, Mapping[str, Any]], _owner: str, /) -> Iterable[Declared]:
        for written, body in section.items():
            key = domain_name(written)
            implied = {"accepted": True} if "type" in body else {}
            yield Declared(key, fields.declared(Domain, key, {**implied, **body}), (written,))

    def linked(self, spec: Domain, links: Links, /) -> Domain:
        """Without a type that the plan sets itself: it is not a precondition then."""
        there = links.object(links.spelled(Address("accepted_domain", spec.domain)))
        return dataclasses.replace(spec, type=None) if spec.type and there and there.type == spec.type else spec

    def queries(self, wanted: Mapping[str, Domain | None], everything: bool) -> Sequence[Query]:
        """Each service is asked only about the domains that the plan expects something of there."""
        exchange = frozenset(k for k, spec in wanted.items() if spec and spec.accepted)
        directory = frozenset(k for k, spec in wanted.items() if k not in exchange or (spec and spec.verified))
        asked = []
        if directory or everything:
            asked.append(Query(GraphRequest("GET", "/domains", columns=frozenset({"id", "isVerified"})), directory))
        if exchange or everything:
            asked.append(Query(accepted_domain.REQUEST, exchange))
        return asked

    def decode(
        self, wanted: Mapping[str, Domain | None], answers: Sequence[tuple[Query, Answer]]
    ) -> Mapping[str, Domain | Unknown]:
        directory: Mapping[str, Row | Unknown] | None = None
        exchange: Mapping[str, AcceptedDomain | Unknown] | None = None
        for query, answer in answers:
            if isinstance(query.request, GraphRequest):
                directory = by_name(answer.rows, _form, "id")
            else:
                exchange = accepted_domain.decode(answer.rows)
        keys = {_form(key): key for key in wanted}
        seen: dict[str, Domain | Unknown] = {}
        below = (_form(key) for key in wanted if accepted_domain.above(_form(key), exchange or {}))
        for form in dict.fromkeys((*(directory or {}), *(exchange or {}), *below)):
            key = keys.get(form, form)
            seen[key] = _decode(key, form, directory, exchange)
        return seen

    def written_form(self, spec: Domain) -> tuple[tuple[str, ...], Any] | None:
        """A domain that is not verified yet is nothing to rest on; one of another kind is only named."""
        if not spec.verified and not spec.accepted:
            return None
        body: dict[str, Any] = {"verified": True} if spec.verified else {}
        if spec.type in ("authoritative", "internal_relay"):
            body["type"] = spec.type
        elif spec.accepted:
            body["accepted"] = True
        return (spec.domain,), body

    def mail_domains(self, spec: Domain, /) -> Collection[str]:
        """The domain itself."""
        return (spec.domain,)

    def contribution(self, spec: Domain) -> Contributions:
        """An accepted domain: mail for it is taken, and mail of it may be relayed."""
        if not spec.accepted:
            return ()
        sending, receiving = (
            None if disabled is None else not disabled for disabled in (spec.sending_disabled, spec.receiving_disabled)
        )
        return (Acceptance(spec.domain, spec.type, spec.subdomains, sending, receiving, spec.outbound_only),)

    def fix(self, wanted: Domain, live: Domain | None, /) -> str:
        """What an administrator does for it (Learn, "Add a domain to Microsoft 365"; Set-AcceptedDomain)."""
        known = live is not None and (live.verified or live.accepted)
        if live is None or not known or (wanted.verified and live.verified is False):
            return "add the domain in the Microsoft 365 admin center and verify it"
        if wanted.accepted and live.accepted is False:
            return "make Exchange Online accept the domain: in the Microsoft 365 admin center it must be used for email"
        if wanted.type is not None and live.type != wanted.type:
            word = "InternalRelay" if wanted.type == "internal_relay" else "Authoritative"
            return f"Set-AcceptedDomain -Identity {live.domain} -DomainType {word}"
        return super().fix(wanted, live)

    def advice(self, wanted: Domain, live: Domain) -> Iterable[Advice]:
        if wanted.accepted and live.sending_disabled:
            summary = "no mail may be sent from this domain (SendingFromDomainDisabled)"
            fix = f"Set-AcceptedDomain -Identity {live.domain} -SendingFromDomainDisabled $false, or send from another"
            yield Advice("DOMAIN-SENDING-DISABLED", summary, fix)


_form = lenient(domain_name)


def _decode(
    key: str,
    form: str,
    directory: Mapping[str, Row | Unknown] | None,
    exchange: Mapping[str, AcceptedDomain | Unknown] | None,
) -> Domain | Unknown:
    """What both services say; None stands for one that was not asked. Not listed by one of them is a no."""
    above = accepted_domain.above(form, exchange or {})
    accepted = (exchange or {}).get(form) or above
    there = (directory or {}).get(form) or (directory or {}).get(above.domain if above else "")
    if isinstance(there, Unknown):
        return there
    if isinstance(accepted, Unknown):
        return accepted
    verified = flag(there, "isVerified") if there else False
    if verified is None:
        return Unknown("the directory did not return isVerified", "malformed")
    return Domain(
        key,
        None if directory is None else verified,
        None if exchange is None else accepted is not None,
        accepted.kind if accepted else None,
        accepted.subdomains if accepted else None,
        accepted.sending_disabled if accepted else None,
        accepted.receiving_disabled if accepted else None,
        accepted.outbound_only if accepted else None,
    )
