"""What the live tenant says to a diagnosis: which question takes which requests, and what the answers mean. Pure.

A diagnosis rests on a text; the tenant can confirm it or point elsewhere. Each answer becomes a sentence and whether it
`speaks` for the cause ("yes"), against it ("no"), or says nothing ("unknown": it could not be read). SPF is evaluated
by whoever can ask DNS; `of_spf` says what the result means.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner import rules
from provisioner.diagnosis.diagnose import (
    AskAcceptedDomain,
    AskConnectorFor,
    AskDkim,
    AskRecipient,
    AskRejectDirectSend,
    AskSendAs,
    AskSmtpAuth,
    Diagnosis,
    Question,
)
from provisioner.mail_dns.spf import SpfResult
from provisioner.mailflow.verdict import ORGANIZATION_CONFIG
from provisioner.model import Answer, Cmdlet, Observed, Request, Row, Unknown, request_key

_CONNECTORS = Cmdlet("Get-InboundConnector", {"ResultSize": "Unlimited"})
_DOMAINS = Cmdlet("Get-AcceptedDomain")
_DKIM = Cmdlet("Get-DkimSigningConfig")

Answers = Mapping[str, Answer | Unknown]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that the tenant says. `mend` is what to do about it, where that is more than the cause's own fix.

    `plan` is what to write into a plan, now that it is known how things are; "" where no plan mends it, None where the
    cause's own proposal stands.
    """

    speaks: str
    sentence: str
    mend: str = ""
    plan: str | None = None


def proposal(found: Diagnosis, evidence: Sequence[Evidence]) -> tuple[str, tuple[str, ...]]:
    """The plan that mends it and what is to be filled in: the tenant knows better than the text."""
    known = [e.plan for e in evidence if e.speaks == "yes" and e.plan is not None]
    return (known[0], ()) if known else (found.plan, found.fill_in)


def requests(question: Question) -> Sequence[Request]:
    """What has to be asked for a question; nothing where the text told too little to ask it."""
    match question:
        case AskSmtpAuth(mailbox) if mailbox:
            return rules.sign_in_questions([mailbox])
        case AskConnectorFor():
            return (_CONNECTORS,)
        case AskAcceptedDomain(domain) if domain:
            return (_DOMAINS,)
        case AskSendAs(_, sender) if sender:
            return (Cmdlet("Get-RecipientPermission", {"Identity": sender}),)
        case AskRejectDirectSend():
            return (ORGANIZATION_CONFIG,)
        case AskDkim(domain) if domain:
            return (_DKIM,)
        case AskRecipient(address):
            return (_DOMAINS, _mailbox(address))
        case _:
            return ()


def conclude(question: Question, answers: Answers) -> Sequence[Evidence]:
    """What the answers to a question's requests mean."""
    failed = [o for r in requests(question) if isinstance(o := answers.get(request_key(r)), Unknown)]
    match question:
        case AskSmtpAuth(mailbox) if mailbox:
            return _sign_in(mailbox, answers)
        case _ if failed:
            return (Evidence("unknown", f"the tenant could not be asked: {failed[0].reason}"),)
        case AskConnectorFor(ip):
            return (_connector(ip, _rows(answers, _CONNECTORS)),)
        case AskAcceptedDomain(domain) if domain:
            return (_accepted(domain, _rows(answers, _DOMAINS)),)
        case AskSendAs(mailbox, sender) if sender:
            return (_send_as(mailbox, sender, _rows(answers, requests(question)[0])),)
        case AskRejectDirectSend():
            return (_direct_send(_rows(answers, ORGANIZATION_CONFIG)),)
        case AskDkim(domain) if domain:
            return (_dkim(domain, _rows(answers, _DKIM)),)
        case AskRecipient(address):
            return (_recipient(address, _rows(answers, _DOMAINS), _rows(answers, _mailbox(address))),)
        case _:
            return ()


def _rows(answers: Answers, request: Request) -> Sequence[Row]:
    answer = answers.get(request_key(request))
    return answer.rows if isinstance(answer, Answer) else ()


def _sign_in(mailbox: str, answers: Answers) -> Sequence[Evidence]:
    observed = Observed({}, evidence=answers)
    switches = rules.switches_of(mailbox, observed)
    if rules.has_mailbox(mailbox, answers) is False:
        return (
            Evidence(
                "yes", f"the tenant has no mailbox {mailbox}", "check the user name that the device signs in with"
            ),
        )
    verdict = rules.judge(switches, "basic")
    if verdict.blocked_by:
        ours = verdict.blocked_by in {"mailbox", "organization"}
        plan = f"smtp_auth:\n  mailboxes:\n    {mailbox}: enabled\n" if ours else ""
        found = [Evidence("yes", f"{mailbox}: {verdict.sentence}", verdict.mend, plan)]
    elif verdict.allowed:
        found = [Evidence("no", f"{mailbox}: no switch of the tenant forbids it to sign in with a password")]
    else:
        found = []
    if verdict.unknown:
        found.append(Evidence("unknown", f"{mailbox}: {', '.join(verdict.unknown)} could not be read"))
    if verdict.warning:
        found.append(Evidence("unknown", verdict.warning))
    return found


def _mailbox(address: str) -> Cmdlet:
    """One mailbox, by any of its addresses."""
    return Cmdlet("Get-Mailbox", {"Identity": address})


def _connector(ip: str, rows: Sequence[Row]) -> Evidence:
    """A connector that is switched off is as good as none."""
    if any("SenderIPAddresses" not in row for row in rows):
        return Evidence("unknown", "Get-InboundConnector did not return SenderIPAddresses of every connector")
    enabled = [r for r in rows if r.get("Enabled") is not False]
    if not ip:
        names = ", ".join(str(r.get("Name")) for r in enabled) or "none"
        return Evidence("unknown", f"the text does not tell the sending address; enabled inbound connectors: {names}")
    for row in rows:
        if any(_holds(text, ip) for text in row.get("SenderIPAddresses") or ()):
            name = row.get("Name")
            if row.get("Enabled") is False:
                plan = f"inbound_connectors:\n  {json.dumps(name)}: {{ enabled: true }}\n"
                return Evidence("yes", f'the connector "{name}" names {ip}, but it is disabled', "enable it", plan)
            return Evidence("no", f'the connector "{name}" names {ip} and is enabled')
    return Evidence("yes", f"no inbound connector names {ip}", "put the address into a connector")


def _holds(text: Any, ip: str) -> bool:
    """Whether a network, or a range of two addresses, as Exchange stores it holds an address."""
    try:
        address = ipaddress.ip_address(ip)
        first, dash, last = str(text).partition("-")
        if not dash:
            return address in ipaddress.ip_network(first.strip(), strict=False)
        low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
        return int(low) <= int(address) <= int(high) if low.version == address.version else False
    except ValueError:
        return False


def _recipient(address: str, domains: Sequence[Row], mailboxes: Sequence[Row]) -> Evidence:
    domain = address.rpartition("@")[2]
    if domain.lower() not in _names(domains):
        return Evidence("unknown", f"{domain} is no accepted domain of the tenant: its recipients are another's affair")
    if mailboxes:
        return Evidence("no", f"the tenant has the mailbox {address}")
    return Evidence("yes", f"the tenant has no mailbox {address} (a group or a contact may have the address)")


def _names(domains: Sequence[Row]) -> set[str]:
    return {str(r.get("DomainName") or r.get("Name") or "").lower() for r in domains}


def _accepted(domain: str, rows: Sequence[Row]) -> Evidence:
    if domain.lower() in _names(rows):
        return Evidence("no", f"{domain} is an accepted domain of the tenant")
    return Evidence(
        "yes", f"{domain} is no accepted domain of the tenant", "add and verify it, or send from one that is"
    )


def _send_as(mailbox: str, sender: str, rows: Sequence[Row]) -> Evidence:
    holders = {str(r.get("Trustee") or "").lower() for r in rows if "Deny" not in str(r.get("AccessControlType"))}
    if mailbox.lower() in holders:
        return Evidence("no", f"{mailbox} may send as {sender}")
    plan = f"send_as:\n  {mailbox}: [{sender}]\n" if mailbox else None
    return Evidence(
        "yes", f"{mailbox or 'the mailbox'} has no right to send as {sender}", "give it under send_as", plan
    )


def _direct_send(rows: Sequence[Row]) -> Evidence:
    rejects = rows[0].get("RejectDirectSend") if rows else None
    if rejects is None:
        return Evidence("unknown", "the organization does not tell whether it rejects direct send")
    mend = "send through an inbound connector" if rejects else ""
    return Evidence("yes" if rejects else "no", f"RejectDirectSend is {'on' if rejects else 'off'}", mend)


def of_spf(domain: str, ip: str, result: SpfResult) -> Evidence:
    """What the evaluation of a domain's SPF record means. It took DNS of its own, and so comes from outside."""
    words = {"none": "publishes no SPF record", "pass": f"lets {ip} send (SPF pass)"}
    said = words.get(result.result, f"does not vouch for {ip} (SPF {result.result}: {result.reason})")
    mend = "" if result.result == "pass" else "provisioner dns check says what to publish"
    speaks = {"pass": "no", "temperror": "unknown"}.get(result.result, "yes")
    return Evidence(speaks, f"{domain} {said}", mend)


def _dkim(domain: str, rows: Sequence[Row]) -> Evidence:
    for row in rows:
        if str(row.get("Domain") or row.get("Name") or "").lower() == domain.lower():
            signs = row.get("Enabled") is True
            sentence = f"Exchange {'signs' if signs else 'does not sign'} for {domain}"
            return Evidence("no" if signs else "yes", sentence, "" if signs else "enable it under dkim")
    return Evidence("yes", f"Exchange has no DKIM configuration for {domain}", "declare it under dkim")
