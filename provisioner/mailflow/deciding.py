"""How Exchange decides about one attempt to send: the sending path, or the refusal and its reason, or Unknown. Pure.

Client submission is decided in `submission`, mail at the MX endpoint here.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.mailflow.aliases_and_domains import of_alias, of_recipient
from provisioner.mailflow.attempt import Attempt, Decision, Refusal, refused
from provisioner.mailflow.flow_rules import of_rules
from provisioner.mailflow.lists import of_address, of_sender
from provisioner.mailflow.outbound_policies import of_limits
from provisioner.mailflow.picture import Evidence, Types, contributions
from provisioner.mailflow.submission import sending_disabled, sending_unknown, submitted
from provisioner.model import Address, Observed, Present
from provisioner.model.devices import DIRECT_SEND, SMTP_RELAY
from provisioner.model.picture import (
    ADDRESS,
    ANY,
    CERTIFICATE,
    NONE,
    TLS,
    Acceptance,
    Contribution,
    Contributions,
    Doubt,
    Exemption,
    Picture,
    Rejection,
    Relay,
    Restriction,
    holds,
)
from provisioner.resources import TYPES

_NOT_RELAYED = ("no_connector", "sender_not_accepted")
_OF_CONNECTORS = ("partner_restricts", "tls_required", "direct_send_rejected")
OF_CONNECTORS = frozenset({"no_connector", "direct_send_rejected"})
"""Refusals that a connector which names the source would lift."""

ENABLE_CONNECTOR = "write enabled: true for the connector; where Exchange refuses, ask Microsoft support to enable it"
_DECLARE = "declare a connector of type on_premises for its address or its certificate"
_ACCEPT = "add the domain in the Microsoft 365 admin center and verify it, or send from one that is accepted"
_NOT_REJECTED = f"{_DECLARE}, or write organization: {{ reject_direct_send: false }}"

MOST_OF_A_DOMAIN = 200
"""Envelope recipients of one domain in a message from outside."""


def decide(picture: Picture, attempt: Attempt, evidence: Evidence | None = None) -> Decision:
    """What becomes of an attempt. `evidence` is what was read besides the objects of the picture (`asking`)."""
    if attempt.authentication:
        found = submitted(picture, attempt, evidence or {})
        rules = of_rules(picture, attempt, found.path, evidence or {})
        limits = () if found.reason == "no_mailbox" else of_limits(picture, attempt, found.path, evidence or {})
        senders = (*of_alias(picture, attempt, found.path), *of_sender(attempt, found.path, evidence or {}))
        return _together([*rules, *limits, found, *senders, *of_recipient(picture, attempt, found.path)])
    relays = {a: r for a, r in picture.every(Relay) if _knows(r, attempt) and _associated(r, attempt)}
    if relays:
        parts = [_relayed(picture, attempt, relays)]
    elif attempt.external:
        parts = [_not_relayed(picture, attempt)]
    else:
        restricted = _restricted(picture, attempt)
        parts = [*([restricted] if restricted else []), _direct(picture, attempt)]
    path = parts[0].path
    return _together([
        *of_address(picture, attempt, path, evidence or {}),
        *of_rules(picture, attempt, path, evidence or {}),
        *parts,
        *_of_message(picture, attempt, path),
        *of_recipient(picture, attempt, path),
        *of_sender(attempt, path, evidence or {}),
    ])  # fmt: skip


def _together(parts: Sequence[Decision]) -> Decision:
    """One decision of all that speak about an attempt: one certain refusal is enough, one doubt makes it uncertain.

    Which of several refusals the service names is not published: the others are named besides the first.
    """
    refusing, open_ = ([p for p in parts if p.allowed is allowed] for allowed in (False, None))
    first = (refusing or open_ or parts[-1:])[0]
    certain = dict.fromkeys(reason for p in refusing for reason in (p.reason, *p.others))
    doubtful = dict.fromkeys(reason for p in parts for reason in (p.reason, *p.possible) if reason not in certain)
    others, possible = (tuple(r for r in found if r not in {"", first.reason}) for found in (certain, doubtful))
    warning = "; ".join(dict.fromkeys(p.warning for p in parts if p.warning))
    if refusing or not open_:
        return dataclasses.replace(first, others=others, possible=possible, warning=warning)
    missing = tuple(dict.fromkeys(m for p in open_ for m in p.missing))
    by = tuple(dict.fromkeys(a for p in open_ for a in p.by))
    return dataclasses.replace(first, possible=possible, missing=missing, by=by, warning=warning)


def _of_message(picture: Picture, attempt: Attempt, path: str) -> Iterator[Decision]:
    """What holds for mail to the tenant's recipients by whichever path: limits, and the domain that it is from.

    A message from outside may have 200 envelope recipients of one domain (Microsoft's NDR page, 4.5.3). Whether
    SendingFromDomainDisabled stops mail that nobody signed in for and that stays in the tenant is not documented.
    """
    if attempt.external:
        return
    if attempt.recipients > MOST_OF_A_DOMAIN:
        what = f"a message from outside may have {MOST_OF_A_DOMAIN} recipients of a domain at most"
        yield refused(path, [Refusal("too_many_recipients", "452 4.5.3", what, hint="send several messages")])
    for refusal in sending_disabled(picture, attempt):
        missing = f"whether SendingFromDomainDisabled of {attempt.domain} holds for mail within the tenant"
        yield Decision(None, path, refusal.by, refusal.reason, "", refusal.sentence, (missing,), refusal.hint)


# --- relay -----------------------------------------------------------------------------------------------------------


def _knows(known: Relay | Exemption, attempt: Attempt) -> bool:
    """Whether a connector names the source, by its network or, over TLS, by the name in its certificate."""
    if attempt.network and holds(known.networks, attempt.network):
        return True
    names = frozenset({known.certificate}) if known.certificate else frozenset[str]()
    return bool(attempt.certificate and attempt.tls and holds(names, attempt.certificate))


def _knows_both(relay: Relay, attempt: Attempt) -> bool:
    """Whether the source has the address and the certificate that a connector names."""
    by_network = dataclasses.replace(relay, certificate="")
    return _knows(by_network, attempt) and _knows(dataclasses.replace(relay, networks=NONE), attempt)


def _associated(relay: Relay, attempt: Attempt) -> bool:
    """AssociatedAcceptedDomains restricts the source domains that use the connector (New-InboundConnector)."""
    return relay.associated == ANY or holds(relay.associated, attempt.domain)


def _relayed(picture: Picture, attempt: Attempt, relays: Mapping[Address, Relay]) -> Decision:
    """Mail from the source of an OnPremises connector.

    It may go to anyone where MAIL FROM or the certificate is of an accepted domain (Learn, "Requirements for SMTP
    relay", since 1 November 2023). A partner's restriction does not hold for it: both kinds of connectors are set up
    side by side (Learn, "Manage mail flow using a third-party cloud service").
    """
    doubts = {a: tuple(_doubts(picture, a, relay, attempt)) for a, relay in relays.items()}
    certain = tuple(sorted(a for a, reasons in doubts.items() if not reasons))
    by = certain or tuple(sorted(relays))
    if attempt.external:
        ours = _ours(picture, attempt, relays)
        if ours is False:
            what = f"{attempt.domain or 'the null sender'} is not an accepted domain, and no certificate is of one"
            return Decision(False, SMTP_RELAY, by, "sender_not_accepted", "550 5.7.64", what, hint=_ACCEPT)
        if ours is None:
            what = f"whether {attempt.domain or attempt.certificate} makes it mail of the tenant"
            return Decision(None, SMTP_RELAY, by, missing=(what,), possible=_if_not_taken(picture, attempt))
        disabled = list(sending_disabled(picture, attempt))
        if disabled:
            return refused(SMTP_RELAY, disabled)
        if sending_unknown(picture, attempt):
            what = f"whether sending from {attempt.domain} is disabled"
            return Decision(None, SMTP_RELAY, by, missing=(what,), possible=_if_not_taken(picture, attempt))
    if certain:
        return Decision(True, SMTP_RELAY, by)
    missing = tuple(f"{a}: {reason}" for a in by for reason in doubts[a])
    return Decision(None, SMTP_RELAY, by, missing=missing, possible=_if_not_taken(picture, attempt))


def _if_not_taken(picture: Picture, attempt: Attempt) -> tuple[str, ...]:
    """The reasons for which mail may be refused where it is not certain which connector takes it."""
    if attempt.external:
        disabled = sending_unknown(picture, attempt) or any(sending_disabled(picture, attempt))
        return (*_NOT_RELAYED, "tls_required", *(["sending_disabled"] if disabled else []))
    parts = [part for part in (_restricted(picture, attempt), _direct(picture, attempt)) if part]
    return tuple(sorted(frozenset({"tls_required"}).union(*(p.certain | p.doubtful for p in parts))))


def _doubts(picture: Picture, address: Address, relay: Relay, attempt: Attempt) -> Iterator[str]:
    """Why it is not certain that a connector takes the mail of a source that it names."""
    yield from (c.reason for c in picture.objects[address] if isinstance(c, Doubt))
    if relay.clear_text and not (attempt.network and holds(relay.networks, attempt.network)):
        # New-InboundConnector, -TlsSenderCertificateName: the certificate that is used when RequireTls is true.
        yield "tls_sender_certificate_name counts with require_tls: true"
    if relay.networks and relay.certificate and not _knows_both(relay, attempt):
        yield "no source says whether its address or its certificate alone is enough"
    if not attempt.tls and not relay.clear_text:
        yield "the effect of require_tls on a connector of type on_premises is not documented"


def _ours(picture: Picture, attempt: Attempt, relays: Mapping[Address, Relay]) -> bool | None:
    """Whether the mail is the tenant's, by MAIL FROM or by its certificate.

    None where that is not known: of several connectors that know the source no source says which one counts, nor
    whether a certificate counts that the connector does not name.
    """
    sender = _accepted(picture, attempt.domain) if attempt.domain else False
    if sender:
        return True
    certificate = _certified(picture, attempt) if attempt.tls else False
    named = {bool(r.certificate) and holds(frozenset({r.certificate}), attempt.certificate) for r in relays.values()}
    if named == {True} and certificate:
        return True
    return None if sender is None or certificate is not False else False


def _certified(picture: Picture, attempt: Attempt) -> bool | None:
    """Whether the name in the certificate is in an accepted domain."""
    labels = attempt.certificate.removeprefix("*.").split(".") if attempt.certificate else []
    answers = [_accepted(picture, ".".join(labels[cut:])) for cut in range(len(labels) - 1)]
    return True if True in answers else None if None in answers else False


def _accepted(picture: Picture, domain: str) -> bool | None:
    """Whether a domain is an accepted one, itself or by MatchSubDomains of one above it; None where no answer tells."""
    answer = False if domain in picture.lacking.get(Acceptance, ()) else None
    for _, acceptance in picture.every(Acceptance):
        if acceptance.domain == domain:
            return True
        if holds(frozenset({f"*.{acceptance.domain}"}), domain) and acceptance.subdomains is not False:
            if acceptance.subdomains:
                return True
            answer = None
    return answer


def _not_relayed(picture: Picture, attempt: Attempt) -> Decision:
    if Relay in picture.unread:
        missing = (f"all inbound connectors ({picture.unread[Relay]})",)
        return Decision(None, SMTP_RELAY, missing=missing, possible=_if_not_taken(picture, attempt))
    what = "no connector of type on_premises that is in force names its address or certificate"
    return Decision(False, SMTP_RELAY, (), "no_connector", "550 5.7.64", what, hint=_DECLARE)


# --- to recipients of the tenant -------------------------------------------------------------------------------------


def _restricted(picture: Picture, attempt: Attempt) -> Decision | None:
    """What the partners' connectors for the sender's domain say; None where they let the mail pass.

    A restriction refuses the domain's mail from elsewhere (Microsoft's NDR page, 550 5.7.51). Where another partner's
    connector takes the same mail, no source says which of the two wins.
    """
    refusing: list[Address] = []
    taking: dict[Address, Knowledge] = {}
    for address in dict.fromkeys(a for word in (Restriction, Exemption) for a, _ in picture.every(word)):
        if any(not _meets(attempt, c) for c in _meant(picture, address, attempt) if c.demand != TLS):
            refusing.append(address)
        elif (knowledge := _partner_of(picture, address, attempt)) is not Knowledge.NO:
            taking[address] = knowledge
    if refusing and taking:
        both = tuple(sorted([*refusing, *taking]))
        what = "no source says which of these connectors decides"
        tls = _without_tls(picture, attempt, taking)
        possible = ("partner_restricts", *((tls.reason,) if tls else ()))
        missing = (f"which of {_listed(both)} decides",)
        return Decision(None, DIRECT_SEND, both, "ambiguous", "", what, missing, possible=possible)
    if refusing:
        by = tuple(sorted(refusing))
        what = f"mail from {attempt.domain or 'the null sender'} does not meet the restriction of {_listed(by)}"
        fix = f"declare a connector of type on_premises for its address, or add the address to {_listed(by)}"
        refusal = Decision(False, DIRECT_SEND, by, "partner_restricts", "550 5.7.51", what, hint=fix)
        return _unless_unread(picture, Relay) or refusal
    return _without_tls(picture, attempt, taking)


def _without_tls(picture: Picture, attempt: Attempt, taking: Mapping[Address, Knowledge]) -> Decision | None:
    """The refusal by a connector that takes the mail and requires TLS; not certain where it only may take it."""
    unmet = {a for a in taking if any(not _meets(attempt, c) for c in _meant(picture, a, attempt))}
    certain = tuple(sorted(a for a in unmet if taking[a] is Knowledge.YES))
    by = certain or tuple(sorted(unmet))
    if not by:
        return None
    missing = () if certain else tuple(f"whether {a} names the source" for a in by)
    allowed = False if certain else None
    refusal = Decision(allowed, DIRECT_SEND, by, "tls_required", "", f"{_listed(by)} requires TLS", missing)
    return _unless_unread(picture, Relay) or refusal


class Knowledge(enum.Enum):
    """Whether a partner's connector knows a source."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


def _partner_of(picture: Picture, address: Address, attempt: Attempt) -> Knowledge:
    """Whether the mail is that of a partner's connector, as far as is documented.

    SenderIPAddresses applies to a partner only with RestrictDomainsToIPAddresses, TlsSenderCertificateName only with
    RequireTls (New-InboundConnector). Without, it is open whether it names the source, or whether the connector knows
    its partner by the domain alone.
    """
    demands = {c.demand for c in picture.objects[address] if isinstance(c, Restriction)}
    answers = set()
    for known in picture.objects[address]:
        if not isinstance(known, Exemption) or not holds(known.domains, attempt.domain):
            continue
        counts = (not known.networks or ADDRESS in demands) and (not known.certificate or demands & {TLS, CERTIFICATE})
        answers.add(Knowledge.MAYBE if not counts else Knowledge.YES if _names(known, attempt) else Knowledge.NO)
    return next((k for k in (Knowledge.YES, Knowledge.MAYBE) if k in answers), Knowledge.NO)


def _names(known: Exemption, attempt: Attempt) -> bool:
    return _bare(known) or _knows(known, attempt)


def _meant(picture: Picture, address: Address, attempt: Attempt) -> list[Restriction]:
    """The restrictions of a connector that are about the sender's domain."""
    found = picture.objects[address]
    return [c for c in found if isinstance(c, Restriction) and holds(c.domains, attempt.domain)]


def _bare(known: Exemption) -> bool:
    """Whether a partner's connector knows its partner by the domain alone."""
    return not (known.networks or known.certificate)


def _meets(attempt: Attempt, restriction: Restriction) -> bool:
    if restriction.demand == ADDRESS:
        return bool(attempt.network) and holds(restriction.sources, attempt.network)
    if restriction.demand == CERTIFICATE:
        return bool(attempt.certificate and attempt.tls) and holds(restriction.sources, attempt.certificate)
    return attempt.tls


def _direct(picture: Picture, attempt: Attempt) -> Decision:
    """Anonymous mail for the tenant's recipients: taken, unless the organization rejects it in its own name.

    RejectDirectSend counts for MAIL FROM in an accepted domain, and not for mail that matches a connector of either
    type by address or certificate (Exchange Team Blog, 28 April 2025).
    """
    named = {a: _partner_of(picture, a, attempt) for a, e in picture.every(Exemption) if not _bare(e)}
    exempt, doubtful = (
        tuple(sorted(a for a, knowledge in named.items() if knowledge is which))
        for which in (Knowledge.YES, Knowledge.MAYBE)
    )
    ours = _accepted(picture, attempt.domain) if attempt.domain else False
    if exempt or ours is False:
        return _unless_unread(picture, Restriction) or Decision(True, DIRECT_SEND, exempt)
    rejects = rejects_direct_send(picture)
    if rejects is False:
        return _unless_unread(picture, Restriction) or Decision(True, DIRECT_SEND)
    if rejects is None:
        return Decision(None, DIRECT_SEND, missing=("RejectDirectSend",), possible=("direct_send_rejected",))
    by = tuple(a for a, _ in picture.every(Rejection))
    what = "the organization rejects direct send"
    missing = [f"whether {a} names the source" for a in doubtful if _exempts(picture, a, attempt)]
    missing += [f"whether {attempt.domain} is an accepted domain"] if ours is None else []
    refused = Decision(False, DIRECT_SEND, by, "direct_send_rejected", "550 5.7.68", what, hint=_NOT_REJECTED)
    if missing:
        return dataclasses.replace(refused, allowed=None, missing=tuple(missing))
    return _unless_unread(picture, Exemption) or refused


def _exempts(picture: Picture, address: Address, attempt: Attempt) -> bool:
    """Whether a connector exempts the source if what it names counts."""
    return any(isinstance(c, Exemption) and _knows(c, attempt) for c in picture.objects[address])


def _unless_unread(picture: Picture, word: type[Contribution]) -> Decision | None:
    if word not in picture.unread:
        return None
    missing = (f"all inbound connectors ({picture.unread[word]})",)
    return Decision(None, DIRECT_SEND, missing=missing, possible=_OF_CONNECTORS)


def _listed(addresses: Sequence[Address]) -> str:
    return " and ".join(map(str, addresses))


def rejects_direct_send(picture: Picture) -> bool | None:
    """The organization's RejectDirectSend; None for not known."""
    return next((rejection.rejects for _, rejection in picture.every(Rejection)), None)


# --- which connectors are meant --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Naming:
    """The connectors that name the source of an attempt, by its address or certificate.

    `relaying` are of type OnPremises and in force, `partners` of type Partner and in force. `idle` would be one of both
    if they were in force: the connector is disabled. `unclear` are those of which not all values were returned.
    """

    relaying: tuple[Address, ...] = ()
    partners: tuple[Address, ...] = ()
    idle: tuple[Address, ...] = ()
    unclear: tuple[Address, ...] = ()


def naming(observed: Observed, attempt: Attempt, types: Types = TYPES) -> Naming:
    """The connectors of a tenant that name the source of an attempt, as far as they were read."""
    by_name = {t.name: t for t in types if {Relay, Exemption} & set(t.contributes)}
    seen = {a: o.spec for a, o in observed.resources.items() if isinstance(o, Present)}
    specs = {a: spec for a, spec in {**observed.undeclared, **seen}.items() if a.type in by_name}
    found: dict[str, list[Address]] = {}
    for address in sorted(specs):
        kind, spec = by_name[address.type], specs[address]
        words = contributions(kind, spec)
        state = _named_by(words, attempt) or ("idle" if not words else "")
        if state == "idle" and not _named_by(contributions(kind, kind.working(spec)), attempt):
            continue
        if state:
            found.setdefault(state, []).append(address)
    return Naming(**{state: tuple(addresses) for state, addresses in found.items()})


def _named_by(words: Contributions, attempt: Attempt) -> str:
    """What a connector that contributes these words is to the source of an attempt; "" where it does not name it."""
    known = [c for c in words if isinstance(c, Relay | Exemption) and _knows(c, attempt)]
    if not known:
        return ""
    if any(isinstance(c, Doubt) for c in words):
        return "unclear"
    return "relaying" if any(isinstance(c, Relay) for c in known) else "partners"
