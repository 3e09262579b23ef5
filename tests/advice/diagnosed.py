"""The advice of `diagnose` and `explain`, read by its words and carried out in a tenant of its own.

`diagnose` asks the tenant a question and says what to do about the answer; what is done must take the answer away, and
where another reason stands behind it, that is told next and followed too. `explain` says what to do about the decision
on a device; its words about passwords and connectors are those of the plan's findings (`reading`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from provisioner import engine, mailflow
from provisioner.diagnosis import evidence
from provisioner.diagnosis.evidence import Evidence
from provisioner.diagnosis.questions import (
    AskAcceptedDomain,
    AskConnectorFor,
    AskDkim,
    AskHveAccount,
    AskRejectDirectSend,
    AskSendAs,
    AskSmtpAuth,
    Question,
)
from provisioner.engine.sending import resolve
from provisioner.mailflow import Attempt, decide
from provisioner.mailflow.picture import of_observed
from provisioner.model import Answer, Await, Cmdlet, Desired, Observed, Send
from provisioner.operations.standing import changes_of
from provisioner.plan import document
from provisioner.resources import TYPES
from tests.advice.worlds import MARK, SITE, Command, Reader, World
from tests.engine.lifecycle.scenes import EVERY_GUARD

ERP, BILLS, NOBODY, NEWS = (f"{name}@contoso.com" for name in ("erp", "bills", "nobody", "news"))
_PATIENCE = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A question to a tenant in which something was done before."""

    name: str
    question: Question
    done: Sequence[Command] = ()


class Followed(Exception):
    """What is left is done outside of the tenant: the device, or an application."""


# --- asking ----------------------------------------------------------------------------------------------------------


def asked(question: Question, service: Reader) -> Sequence[Evidence]:
    """What `diagnose` is told by the tenant."""
    wanted = evidence.needed(question)
    observed = asyncio.run(engine.consult(wanted.objects, wanted.listed, wanted.requests, TYPES, service.ports))
    return evidence.conclude(question, observed)


def follow(case: Case, folder: Path, choose: random.Random) -> list[str]:
    """Carry out advice after advice until nothing speaks for the cause; the words of each. Raises AssertionError."""
    service, question = World(case.name, {}, case.done).service(), case.question
    steps: list[str] = []
    for _ in range(_PATIENCE):
        told = [e for e in asked(question, service) if e.speaks == "yes"]
        if not told:
            return steps
        one = choose.choice(told)
        assert one.hint or one.plan, f"{case.name}: nothing is advised about: {one.sentence}"
        steps.append(one.hint)
        ways = [*([("the plan", one.plan)] if one.plan else []), *((word, "") for word in _words(one.hint))]
        word, plan = choose.choice(ways)
        try:
            question = _do(word, plan, question, service, folder)
        except Followed:
            return steps
        left = {e.sentence for e in asked(question, service) if e.speaks == "yes"}
        assert one.sentence not in left, f"{case.name}: {word or plan} does not take away: {one.sentence}"
    raise AssertionError(f"{case.name}: no end of advice: {steps}")


def _words(hint: str) -> Sequence[str]:
    """The alternatives of an advice that a pattern reads. Raises AssertionError for one that nobody knows."""
    for pattern in _PATTERNS:
        if re.fullmatch(pattern, hint):
            return _PATTERNS[pattern]
    raise AssertionError(f"nobody knows how to follow: {hint}")


_PATTERNS: Mapping[str, Sequence[str]] = {
    "check the user name that the device signs in with": ["another name"],
    "write enabled for it under smtp_auth, or let a device sign in as it": ["switch"],
    "write enabled for the mailbox; leave the organization disabled": ["switch"],
    "enable the account in Entra ID.*": ["account"],
    "assign a licence with an Exchange Online plan.*": ["licence"],
    "give the user a policy that allows it, or let the device sign in with OAuth": ["policy", "oauth"],
    "OAuth or SMTP relay; it is not a setting of Exchange": ["oauth"],
    "exclude the account from the policy, or let the device sign in with OAuth or use SMTP relay": [
        "excluded",
        "oauth",
    ],
    "put the address into a connector": ["connector"],
    "declare a connector of type on_premises for the address": ["connector"],
    "enable it": ["enabled"],
    "add and verify it, or send from one that is": ["domain", "another domain"],
    "give it under send_as": ["right"],
    "check that it is a member of (.+), or give it the right under send_as": ["right"],
    "send through an inbound connector": ["through a connector"],
    "declare it under dkim": ["dkim"],
    "enable it under dkim": ["dkim"],
    "check the user name, and the host: accounts of High Volume Email have one of their own": ["another account"],
}
"""What a reader would do about each advice, in words of ours."""


def _do(word: str, plan: str, question: Question, service: Reader, folder: Path) -> Question:
    """Carry it out, and give the question to ask then."""
    if plan:
        apply(yaml.safe_load(plan), service, folder)
        return question
    return _DEEDS[word](question, service, folder)


def apply(sections: Mapping[str, Any], service: Reader, folder: Path) -> None:
    """Write sections into a plan, and send what it leads to."""
    desired = loaded(sections, folder)
    observed = asyncio.run(engine.read(desired, TYPES, service.ports, unmanaged=True))
    carry_out(desired, observed, service)


def loaded(sections: Mapping[str, Any], folder: Path) -> Desired:
    path = folder / "plan.yaml"
    path.write_text(json.dumps({"provisioner": 1, "tenant": "contoso.onmicrosoft.com", **sections}))
    return document.load(path, TYPES, today=dt.date(2026, 11, 23), waivers=EVERY_GUARD)[0]


def carry_out(desired: Desired, observed: Observed, service: Reader) -> None:
    """All steps of a part of a plan, in their order."""
    for change in changes_of(desired, observed):
        answers: list[Answer] = []
        for step in change.steps:
            answer = Answer()
            if isinstance(step, Send) and isinstance(step.request, Cmdlet):
                answer = service.execute(resolve(step.request, answers))
            elif isinstance(step, Await):
                service.publish(change.address.key)
            answers.append(answer)


# --- deeds -----------------------------------------------------------------------------------------------------------

_LICENSED = [{"service": "exchange", "capabilityStatus": "Enabled"}]
Deed = Callable[[Any, Reader, Path], Question]


def _switch(question: AskSmtpAuth, service: Reader, folder: Path) -> Question:
    apply({"smtp_auth": {"mailboxes": {question.mailbox: "enabled"}}}, service, folder)
    return question


def _user(question: AskSmtpAuth, service: Reader, **values: Any) -> Question:
    for user in service.tenant.graph["users"]:
        if str(user.get("userPrincipalName")).lower() == question.mailbox:
            user.update(values)
    return question


def _policy(question: AskSmtpAuth, service: Reader, folder: Path) -> Question:
    service.administrate("New-AuthenticationPolicy", {"Name": "lets in", "AllowBasicAuthSmtp": True})
    service.administrate("Set-User", {"Identity": question.mailbox, "AuthenticationPolicy": "lets in"})
    return question


def _oauth(question: AskSmtpAuth, service: Reader, folder: Path) -> Question:
    """The device signs in with a token: what forbids passwords forbids that no more."""
    wanted = evidence.needed(question)
    observed = asyncio.run(engine.consult(wanted.objects, wanted.listed, wanted.requests, TYPES, service.ports))
    ours = {"authentication_policy", "security_defaults", "conditional_access"}
    assert not mailflow.sign_in(observed, question.mailbox, "oauth", application=True).certain & ours
    raise Followed


def _excluded(question: AskSmtpAuth, service: Reader, folder: Path) -> Question:
    (user,) = (u for u in service.tenant.graph["users"] if u.get("userPrincipalName") == question.mailbox)
    for policy in service.tenant.graph["conditionalAccessPolicies"]:
        policy["conditions"]["users"]["excludeUsers"] = [user["id"]]
    return question


def _connector(question: AskConnectorFor, service: Reader, folder: Path) -> Question:
    connector = {"type": "on_premises", "enabled": True, "sender_ip_addresses": [question.ip], "require_tls": False}
    apply({"inbound_connectors": {"new": connector}}, service, folder)
    return question


def _enabled(question: AskConnectorFor, service: Reader, folder: Path) -> Question:
    (name,) = (r["Name"] for r in service.tenant.rows("InboundConnector") if not r["Enabled"])
    apply({"inbound_connectors": {name: {"enabled": True}}}, service, folder)
    return question


def _through_connector(_: AskRejectDirectSend, service: Reader, folder: Path) -> Question:
    """The organization goes on rejecting direct send, and takes the mail of the connector."""
    _connector(AskConnectorFor(SITE), service, folder)
    read = engine.consult((), {"inbound_connector", "domain"}, (), TYPES, service.ports)
    picture = of_observed(asyncio.run(read), TYPES)
    assert decide(picture, Attempt("a@contoso.com", False, f"{SITE}/32")).allowed
    raise Followed


def _domain(question: AskAcceptedDomain, service: Reader, folder: Path) -> Question:
    service.tenant.add("AcceptedDomain", {"DomainName": question.domain, "Name": question.domain})
    return question


def _right(question: AskSendAs, service: Reader, folder: Path) -> Question:
    apply({"send_as": {question.mailbox: [question.sender]}}, service, folder)
    return question


def _dkim(question: AskDkim, service: Reader, folder: Path) -> Question:
    apply({"dkim": {question.domain: {"enabled": True}}}, service, folder)
    return question


def _another_account(_: AskHveAccount, service: Reader, folder: Path) -> Question:
    raise Followed


_DEEDS: Mapping[str, Deed] = {
    "another name": lambda question, _, __: dataclasses.replace(question, mailbox=ERP),
    "switch": _switch,
    "account": lambda question, service, _: _user(question, service, accountEnabled=True),
    "licence": lambda question, service, _: _user(question, service, assignedPlans=_LICENSED),
    "policy": _policy,
    "oauth": _oauth,
    "excluded": _excluded,
    "connector": _connector,
    "enabled": _enabled,
    "domain": _domain,
    "another domain": lambda _, __, ___: AskAcceptedDomain("contoso.com"),
    "right": _right,
    "through a connector": _through_connector,
    "dkim": _dkim,
    "another account": _another_account,
}


# --- cases -----------------------------------------------------------------------------------------------------------

_POLICY: Mapping[str, Any] = {
    "id": "p", "displayName": "No legacy", "state": "enabled",
    "conditions": {"clientAppTypes": ["other"], "applications": {"includeApplications": ["All"]},
                   "users": {"includeUsers": ["All"]}},
    "grantControls": {"builtInControls": ["block"]},
}  # fmt: skip
_FORBIDS: Mapping[str, Sequence[Command]] = {
    "its own switch": [("Set-CASMailbox", {"Identity": ERP, "SmtpClientAuthenticationDisabled": True})],
    "the organization's switch": [("Set-CASMailbox", {"Identity": ERP, "SmtpClientAuthenticationDisabled": None})],
    "a disabled account": [("load", {"graph": {"users": [{"userPrincipalName": ERP, "accountEnabled": False}]}})],
    "no licence": [("load", {"graph": {"users": [{"userPrincipalName": ERP, "assignedPlans": []}]}})],
    "an authentication policy": [
        ("load", {"objects": {"AuthenticationPolicy": [{"Name": "No", "AllowBasicAuthSmtp": False}]}}),
        ("Set-User", {"Identity": ERP, "AuthenticationPolicy": "No"}),
    ],
    "the organization's policy": [
        ("load", {"objects": {"AuthenticationPolicy": [{"Name": "No", "AllowBasicAuthSmtp": False}]}}),
        ("Set-OrganizationConfig", {"DefaultAuthenticationPolicy": "No"}),
    ],
    "security defaults": [("load", {"graph": {"securityDefaults": {"isEnabled": True}}})],
    "conditional access": [("load", {"graph": {"conditionalAccessPolicies": [_POLICY]}})],
}
"""What can forbid the mailbox to sign in with a password."""


def cases() -> Iterator[Case]:
    """Each answer that has an advice, alone."""
    for name, done in _FORBIDS.items():
        switched = [("Set-CASMailbox", {"Identity": ERP, "SmtpClientAuthenticationDisabled": False})]
        yield Case(name, AskSmtpAuth(ERP), [*switched, *done])
    yield Case("no such mailbox", AskSmtpAuth(NOBODY))
    yield from _of_connectors()
    yield Case("a foreign domain", AskAcceptedDomain("shop.example"))
    yield Case("no right", AskSendAs(ERP, BILLS))
    yield Case("no DKIM", AskDkim("contoso.com"))
    disabled = ("New-DkimSigningConfig", {"DomainName": "contoso.com", "Enabled": False, "KeySize": 2048})
    yield Case("DKIM is off", AskDkim("contoso.com"), [disabled])
    yield Case("direct send", AskRejectDirectSend(), [("Set-OrganizationConfig", {"RejectDirectSend": True})])
    yield Case("no account", AskHveAccount(NEWS))


def _of_connectors() -> Iterator[Case]:
    usual = {"Name": "c", "ConnectorType": "OnPremises", "SenderDomains": ["*"], "SenderIPAddresses": [SITE]}
    shapes: Mapping[str, Mapping[str, Any]] = {
        "it is disabled": {"Enabled": False, "Comment": MARK % "c"},
        "a partner's": {"ConnectorType": "Partner"},
        "another address": {"SenderIPAddresses": ["81.2.69.99"]},
    }
    for relay in (True, False):
        yield Case("no connector", AskConnectorFor(SITE, relay))
        for name, columns in shapes.items():
            yield Case(name, AskConnectorFor(SITE, relay), [("New-InboundConnector", {**usual, **columns})])


def combined(number: int) -> Case:
    """Two or three of what forbids the mailbox to sign in, at once."""
    choose = random.Random(f"diagnosed {number}")
    names = choose.sample(sorted(_FORBIDS), choose.choice((2, 3)))
    done: list[Command] = []
    for name in names:
        done += [command for command in _FORBIDS[name] if command not in done]
    return Case(f"{number}: {' + '.join(names)}", AskSmtpAuth(ERP), done)
