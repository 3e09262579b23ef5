"""Worlds about one type besides connectors and switches, and its part of the way from one sending path to another.

A topic gives the tenant objects of its type and the plan others, so that some of them open and some close a way. A
`Door` is a way that a sender may have; a `mover` has two or three of them, so that one may close while another opens,
by objects of different types.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.mailflow.senders import Sender
from provisioner.sandbox.mail_rules import Source
from tests.engine.cut_off.attempts import Attempt, Ways
from tests.engine.lifecycle.scenes import PASSWORD

BOXES = tuple(f"box{n}@contoso.com" for n in range(4))
NETWORKS = ("52.202.8.0/28", "52.202.8.4", "52.202.8.16/28", "54.84.80.162", "54.84.80.163", "93.184.216.0/24")
INSIDE, OUTSIDE = "box3@contoso.com", "somebody@outside.example"
Commands = list[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Door:
    """One way to send, and what is known of a device that has it. The recipient is anyone."""

    attempt: Attempt
    device: Sender


@dataclass(slots=True)
class Draft:
    """A world in the making: its plan, what an administrator ran before, and how mail may come."""

    plan: dict[str, Any]
    before: Commands
    doors: list[Door] = field(default_factory=list)
    recipients: list[str] = field(default_factory=lambda: [INSIDE, OUTSIDE])

    def brings(self, network: str, sender: str = BOXES[0], certificate: str = "") -> None:
        """Mail that comes from the first address of a network, or with a certificate from elsewhere."""
        address = network.partition("/")[0]
        source = Source(address, (certificate,) if certificate else (), tls=True)
        known = frozenset({certificate.replace("any", "*", 1) if certificate.startswith("any.") else certificate})
        networks = frozenset({f"{address}/32"})
        device = Sender("", networks=networks, certificates=known if certificate else frozenset())
        self.doors.append(Door(Attempt(sender, INSIDE, source), device))

    def signs_in(self, mailbox: str, **more: Any) -> None:
        """Mail of somebody who signs in, as an application where `client` is given."""
        device = Sender("", frozenset({mailbox, *filter(None, [more.get("client")])}))
        self.doors.append(Door(Attempt(mailbox, INSIDE, mailbox=mailbox, **more), device))


def mover(choose: random.Random, number: int, doors: Sequence[Door]) -> tuple[Sender, Ways]:
    """A sender with some of the doors, for one recipient. High Volume Email reaches recipients inside only."""
    mine = choose.sample(doors, min(len(doors), choose.choice((2, 2, 3))))
    recipient = OUTSIDE if choose.random() < 0.3 and not any(d.attempt.account for d in mine) else INSIDE
    ways = tuple(dataclasses.replace(d.attempt, recipient=recipient) for d in mine)

    def all_of(name: str) -> frozenset[str]:
        return frozenset[str]().union(*(getattr(d.device, name) for d in mine))

    names = ("mailboxes", "networks", "certificates")
    domains = frozenset(way.sender.rpartition("@")[2] for way in ways)
    return Sender(f"mover{number}", **dict(zip(names, map(all_of, names), strict=True)), domains=domains), ways


Topic = Callable[[random.Random, Draft], None]


# --- addresses that are refused, domains -----------------------------------------------------------------------------


def connection_filter(choose: random.Random, draft: Draft) -> None:
    """Addresses come to the block list and leave it, and the allow list, which wins."""
    blocks = [n if "/" in n else f"{n}/32" for n in NETWORKS]
    was = {name: choose.sample(blocks, choose.choice((0, 1, 2))) for name in ("IPAllowList", "IPBlockList")}
    draft.before.append(("Set-HostedConnectionFilterPolicy", {"Identity": "Default", **was}))
    names = choose.choice((("block",), ("block",), ("allow", "block"), ("allow",)))
    lists = {name: choose.sample(blocks, choose.choice((0, 1, 2))) for name in names}
    if "allow" in lists:
        lists["block"] = [n for n in lists.get("block", []) if n not in lists["allow"]]
    draft.plan["connection_filter"] = {"exclusive": choose.random() < 0.6, **lists}
    for network in blocks:
        draft.brings(network)


def accepted_domain(choose: random.Random, draft: Draft) -> None:
    """What is accepted for and from a domain and those below it."""
    columns = {"match_sub_domains": "MatchSubDomains", "sending_from_disabled": "SendingFromDomainDisabled"}
    kinds = {"authoritative": "Authoritative", "internal_relay": "InternalRelay"}
    domains: dict[str, Any] = {}
    for domain in choose.sample(("contoso.com", "fabrikam.com"), choose.choice((1, 1, 2))):
        was: dict[str, Any] = {columns[n]: choose.random() < 0.5 for n in columns if choose.random() < 0.7}
        if choose.random() < 0.5:
            was["DomainType"] = choose.choice(list(kinds.values()))
        draft.before.append(("Set-AcceptedDomain", {"Identity": domain, **was}))
        body: dict[str, Any] = {n: choose.random() < 0.5 for n in columns if choose.random() < 0.6}
        body["sending_from_disabled"] = body.get("sending_from_disabled", False) and choose.random() < 0.5
        if choose.random() < 0.5:
            body["type"] = choose.choice(list(kinds))
        domains[domain] = body
    draft.plan["accepted_domains"] = domains
    draft.recipients += ["nobody@contoso.com", "nobody@fabrikam.com", "x@sub.fabrikam.com", "x@sub.contoso.com"]
    for sender in ("a@fabrikam.com", "a@sub.fabrikam.com", "a@sub.contoso.com"):
        draft.brings(choose.choice(NETWORKS), sender)
        draft.brings("203.0.113.77", sender)
        draft.brings("203.0.113.78", sender, "mail.contoso.com")


# --- transport rules -------------------------------------------------------------------------------------------------

_FATES: Sequence[Mapping[str, Any]] = (
    {"RejectMessageReasonText": "no", "RejectMessageEnhancedStatusCode": "5.7.1"},
    {"DeleteMessage": True},
    {"Quarantine": True},
    {"RedirectMessageTo": ["box2@contoso.com"]},
)
_CONDITIONS = {
    "senders": "From",
    "sender_domains": "SenderDomainIs",
    "sender_ip_ranges": "SenderIpRanges",
    "recipient_domains": "RecipientDomainIs",
}


def transport_rule(choose: random.Random, draft: Draft) -> None:
    """Rules that keep mail from its recipients, and rules before them that spare some of it."""
    rules: dict[str, Any] = {}
    names = [f"keep{n}" for n in range(choose.choice((1, 1, 2)))]
    spare = [f"spare{n}" for n in range(choose.choice((0, 1, 1, 2)))]
    order = [*names, *spare]
    choose.shuffle(order)
    made = [n for n in order if n in names or choose.random() < 0.6]
    for name in made:
        act = choose.choice(_FATES) if name in names else {"SetHeaderName": "X-Spared", "SetHeaderValue": "yes"}
        stops = {} if name in names else {"StopRuleProcessing": True}
        row = {_CONDITIONS[n]: value for n, value in _conditions(choose).items()}
        state = {"Enabled": choose.random() < 0.8}
        draft.before.append(("New-TransportRule", {"Name": name, **row, **act, **stops, **state}))
    absent = draft.plan.setdefault("absent", [])
    for name in order:
        if name in made and choose.random() < 0.25:
            absent.append(f"transport_rule/{name}")
        elif name not in made or choose.random() < 0.85:
            body: dict[str, Any] = _conditions(choose) if name not in made or choose.random() < 0.6 else {}
            if name in spare:
                body |= {"stop_rule_processing": True, "set_header_name": "X-Spared", "set_header_value": "yes"}
                if choose.random() < 0.8:
                    body["before"] = [n for n in names if f"transport_rule/{n}" not in absent][:1]
            if choose.random() < 0.5:
                body["enabled"] = choose.random() < 0.6
            rules[name] = {n: v for n, v in body.items() if v != []}
    gone = {entry.partition("/")[2] for entry in absent}
    for body in rules.values():
        if gone.intersection(body.get("before", ())):
            del body["before"]
    draft.plan["transport_rules"] = {name: body for name, body in rules.items() if body}
    for box in BOXES[:3]:
        draft.brings(choose.choice(NETWORKS), box)
        draft.signs_in(box)


def _conditions(choose: random.Random) -> dict[str, Any]:
    values: dict[str, Sequence[str]] = {
        "senders": choose.sample(BOXES[:3], choose.choice((1, 2))),
        "sender_domains": [choose.choice(("contoso.com", "fabrikam.com"))],
        "sender_ip_ranges": choose.sample(NETWORKS, choose.choice((1, 2))),
        "recipient_domains": [choose.choice(("contoso.com", "outside.example"))],
    }
    return {name: list(values[name]) for name in choose.sample(sorted(values), choose.choice((1, 1, 2)))}


# --- signing in ------------------------------------------------------------------------------------------------------


def authentication_policy(choose: random.Random, draft: Draft) -> None:
    """Policies that begin or cease to let passwords in, and who has them."""
    names = [f"policy{n}" for n in range(3)]
    made = [n for n in names if choose.random() < 0.8]
    for name in made:
        draft.before.append(("New-AuthenticationPolicy", {"Name": name, "AllowBasicAuthSmtp": choose.random() < 0.7}))
    policies = {n: {"allow_basic_smtp": choose.random() < 0.6} for n in names if n not in made or choose.random() < 0.6}
    absent = draft.plan.setdefault("absent", [])
    gone = [n for n in made if n not in policies and choose.random() < 0.5]
    absent += [f"authentication_policy/{name}" for name in gone]
    left = [n for n in names if n not in gone]
    mailboxes = {}
    for box in BOXES:
        had = choose.choice((None, *made))
        if had:
            draft.before.append(("Set-User", {"Identity": box, "AuthenticationPolicy": had}))
        if had in gone or choose.random() < 0.6:
            mailboxes[box] = choose.choice(("inherit", *left, *left))
        draft.signs_in(box)
    default = choose.choice((None, None, *made))
    draft.before.append(("Set-OrganizationConfig", {"DefaultAuthenticationPolicy": default}))
    assigned: dict[str, Any] = {"mailboxes": mailboxes}
    if default in gone or choose.random() < 0.4:
        assigned["default"] = choose.choice(("none", *left))
    draft.plan["authentication_policies"] = policies
    draft.plan["assignments"] = {"authentication_policy": assigned}


_BILLING = "6f0a3c1e-0000-4000-8000-000000000b00"
ACCOUNTS = ("news0@contoso.com", "news1@contoso.com", "news@fabrikam.com")


def _client(n: int) -> str:
    return f"6f1c0d1e-0000-4000-8000-000000000a{n:02}"


def _object(n: int) -> str:
    return f"6f1c0d1e-0000-4000-8000-000000000b{n:02}"


def hve_account(choose: random.Random, draft: Draft) -> None:
    """Accounts of High Volume Email come and go, and the applications that may sign in as them."""
    accounts: dict[str, Any] = {}
    for name in ACCOUNTS:
        there = choose.random() < 0.5
        if there:
            new = {"HVEAccount": True, "Name": name, "PrimarySmtpAddress": name, "Password": "Lifecycle-1-Word"}
            draft.before.append(("New-MailUser", new))
            if choose.random() < 0.8:
                billing = {"Identity": name, "BillingPolicyId": _BILLING}
                draft.before.append(("Set-HVEAccountBillingPolicy", billing))
            if choose.random() < 0.5:
                apps = [_object(n) for n in choose.sample(range(3), 2)]
                draft.before.append(("Add-HVEAppAccess", {"Identity": name, "AppIds": apps}))
        if there and choose.random() < 0.4:
            draft.plan.setdefault("absent", []).append(f"hve_account/{name}")
        elif not there or choose.random() < 0.6:
            body: dict[str, Any] = {"billing_policy": _BILLING, "password": f"env:{PASSWORD}"}
            if choose.random() < 0.6:
                body["applications"] = [_object(n) for n in choose.sample(range(3), choose.choice((0, 1, 2)))]
            accounts[name] = body
        draft.signs_in(name, account=True)
        draft.signs_in(name, account=True, client=_client(choose.randrange(3)))
    draft.plan["hve_accounts"] = accounts
    draft.recipients += ACCOUNTS[1:]
    for box in BOXES[:3]:
        draft.signs_in(box)


PICKED = tuple(f"pick{n}@contoso.com" for n in range(4))


def mailbox_selection(choose: random.Random, draft: Draft) -> None:
    """Selections set switches of mailboxes; some mailboxes leave theirs, because `smtp_auth` lists them."""
    for box in PICKED:
        value = choose.choice((True, False, False, None))
        draft.before.append(("Set-CASMailbox", {"Identity": box, "SmtpClientAuthenticationDisabled": value}))
        if choose.random() < 0.3:
            draft.plan["smtp_auth"]["mailboxes"][box] = choose.choice(("enabled", "disabled", "inherit"))
        draft.signs_in(box)
    draft.plan["mailbox_selections"] = {
        f"picked{n}": {
            "custom_attributes": {"1": f"pick{n}"},
            "smtp_auth": choose.choice(("enabled", "disabled", "disabled", "inherit")),
        }
        for n in choose.sample((0, 1), choose.choice((1, 2)))
    }


def applications(choose: random.Random, draft: Draft) -> None:
    """Applications come to a mailbox by FullAccess or by a role, and go from one to the other."""
    draft.plan |= {"service_principals": {}, "mailbox_permissions": {}, "application_role_assignments": {}}
    for n in range(3):
        client, known = _client(n), choose.random() < 0.8
        boxes = choose.sample(BOXES[:3], choose.choice((1, 2)))
        ways = [choose.choice(("right", "role", "both", "neither")) for _ in range(2)]
        if known:
            ids = {"AppId": client, "ObjectId": _object(n), "DisplayName": f"app {n}"}
            draft.before.append(("New-ServicePrincipal", ids))
            draft.before += _has_rights(n, boxes) if ways[0] in {"right", "both"} else []
            draft.before += _has_role(n, boxes) if ways[0] in {"role", "both"} else []
        if choose.random() < 0.3:
            boxes = choose.sample(BOXES[:3], choose.choice((1, 2)))
        _reached_by(draft, client, boxes, ways[1])
        for box in BOXES[:3]:
            draft.signs_in(box, client=client)
    for box in BOXES[:2]:
        draft.signs_in(box)


def _reached_by(draft: Draft, client: str, boxes: Sequence[str], way: str) -> None:
    """How the plan lets an application at mailboxes; any other way is to go."""
    absent = draft.plan.setdefault("absent", [])
    rights = set(boxes) if way in {"right", "both"} else set[str]()
    draft.plan["service_principals"][client] = {}
    if rights:
        draft.plan["mailbox_permissions"][client] = sorted(rights)
    absent += [f"mailbox_permission/{client} on {box}" for box in BOXES[:3] if box not in rights]
    if way in {"role", "both"}:
        draft.plan["application_role_assignments"][client] = {_ROLE: list(boxes)}
    else:
        absent.append(f"application_role_assignment/{client} {_ROLE}")


_ROLE = "SMTP.SendAsApp"


def _has_rights(n: int, boxes: Sequence[str]) -> Commands:
    right = {"User": _object(n), "AccessRights": ["FullAccess"], "AutoMapping": False, "Confirm": False}
    return [("Add-MailboxPermission", {"Identity": box, **right}) for box in boxes]


def _has_role(n: int, boxes: Sequence[str]) -> Commands:
    name = f"{_ROLE} {_client(n)}"
    names = " -or ".join(f"EmailAddresses -eq 'smtp:{box}'" for box in boxes)
    assigned = {"Name": name, "App": _object(n), "Role": f"Application {_ROLE}", "CustomResourceScope": name}
    return [
        ("New-ManagementScope", {"Name": name, "RecipientRestrictionFilter": names}),
        ("New-ManagementRoleAssignment", assigned),
    ]


# --- limits and settings ---------------------------------------------------------------------------------------------


def outbound_spam_policy(choose: random.Random, draft: Draft) -> None:
    """Limits for what a mailbox sends in a day, of which some have sent a good part already."""
    policies = {}
    for name in ("Default", "spam"):
        was = {
            "RecipientLimitPerDay": choose.choice((0, 100, 500, 1_000)),
            "ActionWhenThresholdReached": choose.choice(("Alert", "BlockUser", "BlockUserForToday")),
        }
        draft.before.append(("Set-HostedOutboundSpamFilterPolicy", {"Identity": name, **was}))
        body: dict[str, Any] = {}
        if choose.random() < 0.7:
            body["recipient_limit_per_day"] = choose.choice((0, 100, 500, 1_000))
        if choose.random() < 0.3:
            body["action_when_threshold_reached"] = choose.choice(("alert", "block_user"))
        if choose.random() < 0.2:
            body["auto_forwarding_mode"] = choose.choice(("on", "off"))
        if body:
            policies[name] = body
    draft.plan["outbound_spam_policies"] = policies
    for box in BOXES[:3]:
        for sent in (50, 300, 800):
            draft.signs_in(box, sent=sent)


def settings(choose: random.Random, draft: Draft) -> None:
    """Settings that admit and refuse nobody: what the plan closes there waits, and stops nobody."""
    remote = {"auto_forward_enabled": choose.random() < 0.5, "trusted_mail_inbound_enabled": choose.random() < 0.5}
    if choose.random() < 0.5:
        draft.before.append(("New-RemoteDomain", {"Name": "partner.example", "DomainName": "partner.example"}))
        draft.before.append(("Set-RemoteDomain", {"Identity": "partner.example", "IsInternal": choose.random() < 0.5}))
        if choose.random() < 0.3:
            draft.plan.setdefault("absent", []).append("remote_domain/partner.example")
            remote = {}
    if remote:
        draft.plan["remote_domains"] = {"partner.example": remote}
    legacy = {"AllowLegacyTLSClients": choose.choice((True, False, None))}
    draft.before.append(("Set-TransportConfig", legacy))
    draft.plan["transport_config"] = {
        "allow_legacy_tls_clients": choose.choice(("enabled", "disabled", "default")),
        "message_expiration": choose.choice(("18h", "24h")),
    }
    draft.plan.setdefault("organization", {})["send_from_alias_enabled"] = choose.random() < 0.5
    for box in BOXES[:2]:
        draft.signs_in(box)


TOPICS: Mapping[str, Topic] = {
    topic.__name__: topic
    for topic in (
        connection_filter,
        accepted_domain,
        transport_rule,
        authentication_policy,
        hve_account,
        mailbox_selection,
        applications,
        outbound_spam_policy,
        settings,
    )
}
MIXED = "mixed"
"""Two to four topics in one world."""


def of(choose: random.Random, topic: str) -> Iterator[Topic]:
    """The topics of a world."""
    names = choose.sample(sorted(TOPICS), choose.choice((2, 3, 4))) if topic == MIXED else [topic]
    return (TOPICS[name] for name in names)


SEED: Mapping[str, Any] = {
    "BillingPolicy": [{"Id": _BILLING, "Name": "Mail"}],
    "Mailbox": [{"PrimarySmtpAddress": box, "CustomAttribute1": f"pick{n // 2}"} for n, box in enumerate(PICKED)],
    "HostedOutboundSpamFilterPolicy": [{"Name": "Default", "IsDefault": True}, {"Name": "spam"}],
    "HostedOutboundSpamFilterRule": [
        {
            "Name": "spam",
            "Priority": 0,
            "State": "Enabled",
            "HostedOutboundSpamFilterPolicy": "spam",
            "From": [BOXES[1]],
        }
    ],
}
"""What the topics need of a tenant besides what they make."""

APPS: Sequence[Mapping[str, Any]] = tuple(
    {
        "displayName": f"app {n}",
        "appId": _client(n),
        "objectId": _object(n),
        "appRoles": {"https://outlook.office365.com": [_ROLE]} if n != 1 else {},
    }
    for n in range(3)
)
"""Two have an application permission with consent; the other one needs a role in Exchange."""
