"""What the live tenant says to a diagnosis: what has to be read for a question, and what was found means. Pure.

A diagnosis rests on a text; the tenant can confirm it or point elsewhere. What was read becomes a sentence and whether
it `speaks` for the cause ("yes"), against it ("no"), or says nothing ("unknown": it could not be read). It comes as
canonical objects, as a plan reads them, so that both see the same tenant. SPF is evaluated by anyone who can ask DNS;
`of_spf` says what the result means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import mailflow, rules
from provisioner.diagnosis.diagnose import Diagnosis
from provisioner.diagnosis.questions import (
    AskAcceptedDomain,
    AskConnectorFor,
    AskDkim,
    AskHveAccount,
    AskOutboundPolicy,
    AskRecipient,
    AskRejectDirectSend,
    AskSendAs,
    AskSmtpAuth,
    AskTransportRules,
    Question,
)
from provisioner.mail_dns.spf import SpfResult
from provisioner.mailflow import Attempt, Naming, contributions, naming, outbound_policies
from provisioner.mailflow.deciding import rejects_direct_send
from provisioner.mailflow.flow_rules import may_act_on
from provisioner.mailflow.picture import of_observed
from provisioner.model import Absent, Address, Observation, Observed, Present, Request, Unknown, request_key, yaml_text
from provisioner.resources import TYPES
from provisioner.resources.rows import accepted_domain, recipient, rows_of, transport_rule
from provisioner.resources.send_as import SendAs, pair_of
from provisioner.resources.smtp_auth import ORGANIZATION
from provisioner.resources.tenant_settings import SETTINGS

_CONNECTORS = "inbound_connector"
_CONNECTOR_TYPE = next(t for t in TYPES if t.name == _CONNECTORS)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that the tenant says. `hint` is what to do about it, where that is more than the cause's own fix.

    `plan` is what to write into a plan, now that it is known how things are; "" where no plan fixes it, None where the
    cause's own proposal stands.
    """

    speaks: str
    sentence: str
    hint: str = ""
    plan: str | None = None


def proposal(found: Diagnosis, evidence: Sequence[Evidence]) -> tuple[str, tuple[str, ...]]:
    """The plan that fixes it and what is to be filled in: the tenant knows better than the text."""
    known = [e.plan for e in evidence if e.speaks == "yes" and e.plan is not None]
    return (known[0], ()) if known else (found.plan, found.fill_in)


@dataclass(frozen=True, slots=True)
class Needed:
    """What has to be read: single objects, all objects of some types, and answers besides."""

    objects: frozenset[Address] = frozenset()
    listed: frozenset[str] = frozenset()
    requests: tuple[Request, ...] = ()

    def __or__(self, other: Needed) -> Needed:
        return Needed(self.objects | other.objects, self.listed | other.listed, (*self.requests, *other.requests))


def needed(question: Question) -> Needed:
    """What has to be read for a question; nothing where the text told too little to ask it."""
    match question:
        case AskSmtpAuth(mailbox) if mailbox:
            switches = frozenset({_switch(mailbox), _switch(ORGANIZATION)})
            return Needed(switches, requests=tuple(rules.sign_in_questions([mailbox])))
        case AskConnectorFor():
            return Needed(listed=frozenset({_CONNECTORS}))
        case AskAcceptedDomain(domain) if domain:
            return Needed(requests=(accepted_domain.REQUEST,))
        case AskSendAs(mailbox, sender) if mailbox and sender:
            return Needed(frozenset({_right(mailbox, sender)}))
        case AskRejectDirectSend():
            return Needed(frozenset({_ORGANIZATION}))
        case AskDkim(domain) if domain:
            return Needed(frozenset({Address("dkim", domain)}))
        case AskHveAccount(account) if account:
            return Needed(frozenset({_account(account)}))
        case AskRecipient(address):
            return Needed(requests=(accepted_domain.REQUEST, recipient.mailbox(address)))
        case AskTransportRules():
            return Needed(requests=(transport_rule.REQUEST,))
        case AskOutboundPolicy():
            return Needed(requests=outbound_policies.QUESTIONS)
        case _:
            return Needed()


def conclude(question: Question, observed: Observed) -> Sequence[Evidence]:
    """What the tenant says to a question."""
    failed = _failure(needed(question), observed)
    match question:
        case AskSmtpAuth(mailbox) if mailbox:
            return _sign_in(mailbox, observed)
        case AskSendAs("", sender) if sender:
            return (Evidence("unknown", f"the text does not name the account that signed in to send as {sender}"),)
        case _ if failed:
            return (Evidence("unknown", f"the tenant could not be asked: {failed}"),)
        case AskConnectorFor(ip, relay):
            return (_connector(ip, observed, relay=relay),)
        case AskAcceptedDomain(domain) if domain:
            return (_about_domains(observed, lambda domains: _accepted(domain, domains)),)
        case AskSendAs(mailbox, sender) if sender:
            return (_send_as(mailbox, sender, observed.resources.get(_right(mailbox, sender))),)
        case AskRejectDirectSend():
            return (_direct_send(rejects_direct_send(of_observed(observed))),)
        case AskDkim(domain) if domain:
            return (_dkim(domain, _spec(observed, Address("dkim", domain))),)
        case AskHveAccount(account) if account:
            return (_hve_account(account, observed.resources.get(_account(account))),)
        case AskTransportRules(sender):
            return (_transport_rules(sender, observed),)
        case AskOutboundPolicy(mailbox):
            return _outbound_policies(mailbox, observed)
        case AskRecipient(address):
            there = any(address in names for names in _mailboxes(address, observed))
            return (_about_domains(observed, lambda domains: _recipient(address, domains, there=there)),)
        case _:
            return ()


_ORGANIZATION = Address("organization", SETTINGS)


def _switch(mailbox: str) -> Address:
    return Address("smtp_auth", mailbox)


def _right(mailbox: str, sender: str) -> Address:
    return Address("send_as", pair_of(mailbox.lower(), sender.lower()).pair)


def _account(address: str) -> Address:
    return Address("hve_account", address.lower())


def _spec(observed: Observed, address: Address) -> Any:
    """The object as the tenant has it; None where it does not."""
    there = observed.resources.get(address)
    return there.spec if isinstance(there, Present) else None


def _failure(asked: Needed, observed: Observed) -> str:
    """Why something of what was needed could not be read; "" where all of it was."""
    answers = [
        *(observed.resources.get(address) for address in sorted(asked.objects)),
        *(observed.unlisted.get(name) for name in sorted(asked.listed)),
        *(observed.evidence.get(request_key(request)) for request in asked.requests),
    ]
    return next((answer.reason for answer in answers if isinstance(answer, Unknown)), "")


def _about_domains(observed: Observed, conclusion: Callable[[Mapping[str, Any]], Evidence]) -> Evidence:
    """What follows from the accepted domains, where their rows are such."""
    try:
        return conclusion(accepted_domain.decode(rows_of(observed.evidence, accepted_domain.REQUEST)))
    except ValueError as error:
        return Evidence("unknown", f"the accepted domains could not be read: {error}")


def _mailboxes(address: str, observed: Observed) -> Iterable[frozenset[str]]:
    return (recipient.decode(row).names for row in rows_of(observed.evidence, recipient.mailbox(address)))


def _sign_in(mailbox: str, observed: Observed) -> Sequence[Evidence]:
    if isinstance(observed.resources.get(_switch(mailbox)), Absent):
        fix = "check the user name that the device signs in with"
        return (Evidence("yes", f"the tenant has no mailbox {mailbox}", fix),)
    decision = mailflow.sign_in(observed, mailbox, "basic")
    if decision.reason:
        ours = decision.reason in {"mailbox", "organization"}
        plan = yaml_text.write({"smtp_auth": {"mailboxes": {mailbox: "enabled"}}}) if ours else ""
        found = [Evidence("yes", f"{mailbox}: {decision.sentence}", decision.hint, plan)]
    elif decision.allowed:
        found = [Evidence("no", f"{mailbox}: no switch of the tenant forbids it to sign in with a password")]
    else:
        found = []
    if decision.missing:
        found.append(Evidence("unknown", f"{mailbox}: {', '.join(decision.missing)} could not be read"))
    if decision.warning:
        found.append(Evidence("unknown", decision.warning))
    return found


def _hve_account(address: str, there: Observation | None) -> Evidence:
    """Which applications an account of High Volume Email admits, or why it can send nothing at all."""
    if isinstance(there, Absent):
        fix = "check the user name, and the host: accounts of High Volume Email have one of their own"
        return Evidence("yes", there.reason or f"the tenant has no account {address} of High Volume Email", fix, "")
    if not isinstance(there, Present) or there.spec.applications is None:
        return Evidence("unknown", f"the settings of the account {address} could not be read")
    known = ", ".join(sorted(there.spec.applications))
    return Evidence("yes", f"{address} admits {f'the applications {known} only' if known else 'no application'}")


def _connector(ip: str, observed: Observed, *, relay: bool) -> Evidence:
    """Whether a connector stands for the address. A disabled one does not; a partner connector does not relay.

    Source: Learn, "Set up connectors to route mail between Microsoft 365 and your own email servers": mail of an own
    system is relayed by a connector of type OnPremises only; one of type Partner restricts what partners send.
    """
    connectors = [spec for address, spec in observed.undeclared.items() if address.type == _CONNECTORS]
    if any(connector.sender_ip_addresses is None for connector in connectors):
        return Evidence("unknown", "Get-InboundConnector did not return SenderIPAddresses of every connector")
    if not ip:
        enabled = (a.key for a, spec in observed.undeclared.items() if contributions(_CONNECTOR_TYPE, spec))
        names = ", ".join(sorted(enabled)) or "none"
        return Evidence("unknown", f"the text does not name the sending address; enabled inbound connectors: {names}")
    named = naming(observed, Attempt("", relay, ip if ":" in ip else f"{ip}/32"))
    return _named(ip, named, relay=relay)


def _named(ip: str, named: Naming, *, relay: bool) -> Evidence:
    """What follows from the connectors that name an address: the first that helps, else why none does."""
    for address in (*named.relaying, *(() if relay else named.partners)):
        return Evidence("no", f'the connector "{address.key}" names {ip} and is enabled')
    for address in named.unclear:
        return Evidence(
            "unknown", f'the connector "{address.key}" names {ip}, but Get-InboundConnector did not return its type'
        )
    for address in named.idle:
        plan = yaml_text.write({"inbound_connectors": {address.key: {"enabled": True}}})
        return Evidence("yes", f'the connector "{address.key}" names {ip}, but it is disabled', "enable it", plan)
    for address in named.partners:
        what = f'the connector "{address.key}" names {ip}, but it is a partner connector, which does not relay'
        return Evidence("yes", what, "declare a connector of type on_premises for the address")
    return Evidence("yes", f"no inbound connector names {ip}", "put the address into a connector")


def _recipient(address: str, domains: Mapping[str, Any], *, there: bool) -> Evidence:
    domain = address.rpartition("@")[2]
    if not _is_accepted(domain, domains):
        return Evidence("unknown", f"{domain} is not an accepted domain; its recipients are hosted elsewhere")
    if there:
        return Evidence("no", f"the tenant has the mailbox {address}")
    return Evidence("yes", f"the tenant has no mailbox {address} (a group or a contact may have the address)")


def _is_accepted(domain: str, domains: Mapping[str, Any]) -> bool:
    """Whether a domain is accepted, itself or by MatchSubDomains of one above it."""
    return domain.lower() in domains or accepted_domain.above(domain.lower(), domains) is not None


def _accepted(domain: str, domains: Mapping[str, Any]) -> Evidence:
    if _is_accepted(domain, domains):
        return Evidence("no", f"{domain} is an accepted domain of the tenant")
    return Evidence(
        "yes", f"{domain} is not an accepted domain of the tenant", "add and verify it, or send from one that is"
    )


def _send_as(mailbox: str, sender: str, there: Observation | None) -> Evidence:
    if isinstance(there, Absent) and there.reason:
        return Evidence("yes", there.reason, there.fix)
    right = there.known if isinstance(there, Absent) and isinstance(there.known, SendAs) else None
    groups = right.groups if right else ""
    if right and right.is_member:
        return Evidence("no", f"{mailbox} may send as {sender}, as a member of {groups}")
    if groups:
        what = f"{mailbox} has no right of its own to send as {sender}; {groups} has one, which holds for its members"
        return Evidence("unknown", what, f"check that it is a member of {groups}, or give it the right under send_as")
    if isinstance(there, Present):
        return Evidence("no", f"{mailbox} may send as {sender}")
    plan = yaml_text.write({"send_as": {mailbox: [sender]}})
    return Evidence("yes", f"{mailbox} has no right to send as {sender}", "give it under send_as", plan)


def _transport_rules(sender: str, observed: Observed) -> Evidence:
    """The rules that reject mail of the sender, or may; the refusal may also be by a rule of another organization."""
    try:
        known = transport_rule.decode(rows_of(observed.evidence, transport_rule.REQUEST))
    except ValueError as error:
        return Evidence("unknown", f"the transport rules could not be read: {error}")
    rejecting = [rule for rule in known if rule.fate == transport_rule.REJECTS]
    meant = [rule for rule in rejecting if not sender or may_act_on(rule, sender)]
    if not meant:
        whose = f" mail of {sender}" if sender and rejecting else " mail"
        what = f"no transport rule of this tenant rejects{whose}: the rule is one of the recipient's organization"
        return Evidence("no", what)
    names = ", ".join(f'"{rule.name}"' for rule in meant)
    one = len(meant) == 1
    what = f"the transport rule{'' if one else 's'} {names} reject{'s' if one else ''} mail like this, or may"
    return Evidence("yes", what, "except the sender from the rule, if its mail is wanted")


def _outbound_policies(mailbox: str, observed: Observed) -> Sequence[Evidence]:
    """The policy that holds for the mailbox, or may, with what it lets the mailbox send."""
    holding, why = outbound_policies.policies_of(of_observed(observed), observed.evidence, mailbox)
    if not holding:
        return (Evidence("unknown", f"the outbound spam policies could not be read: {why}"),)
    found = []
    for one in holding:
        most = one.limits.per_day
        says = f"{one.named} stops {mailbox} after {most:,} recipients a day" if most else f"{one.named} sets no limit"
        known = "yes" if most and one.limits.blocks and not one.missing else "unknown"
        unsure = f", if that policy holds for it: {one.missing} is not known" if one.missing else ""
        found.append(Evidence(known, says + unsure, outbound_policies.RAISE if most else ""))
    return found


def _direct_send(rejects: bool | None) -> Evidence:
    if rejects is None:
        return Evidence("unknown", "the organization's settings do not say whether it rejects direct send")
    hint = "send through an inbound connector" if rejects else ""
    return Evidence("yes" if rejects else "no", f"RejectDirectSend is {'on' if rejects else 'off'}", hint)


def of_spf(domain: str, ip: str, result: SpfResult) -> Evidence:
    """What the evaluation of a domain's SPF record means. It took DNS of its own, and so comes from outside."""
    words = {"none": "publishes no SPF record", "pass": f"lets {ip} send (SPF pass)"}
    said = words.get(result.result, f"does not vouch for {ip} (SPF {result.result}: {result.reason})")
    hint = "" if result.result == "pass" else "provisioner dns check says what to publish"
    speaks = {"pass": "no", "temperror": "unknown"}.get(result.result, "yes")
    return Evidence(speaks, f"{domain} {said}", hint)


def _dkim(domain: str, config: Any) -> Evidence:
    if config is None:
        return Evidence("yes", f"Exchange has no DKIM configuration for {domain}", "declare it under dkim")
    if config.enabled is None:
        return Evidence("unknown", f"Exchange did not say whether it signs for {domain}")
    if config.enabled:
        return Evidence("no", f"Exchange signs for {domain}")
    return Evidence("yes", f"Exchange does not sign for {domain}", "enable it under dkim")
