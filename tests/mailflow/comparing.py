"""Generated tenants and attempts, on which `mailflow` and the sandbox must decide alike.

Both implement the same behaviour from the same sources, without shared code. `mailflow` sees a tenant as a plan does:
through the engine's reading, the decoders of the types and the rows. Which of several refusals comes first is not
published, so that sets of reasons are compared. What no source decides `mailflow` leaves open; the sandbox answers.

`python -m tests.mailflow` runs them all and prints the table.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner import engine
from provisioner.mailflow import Attempt, Decision, decide, outbound_policies
from provisioner.mailflow import picture as pictures
from provisioner.mailflow.asking import sign_in_questions
from provisioner.model import Address, Observed, Unknown
from provisioner.resources import TYPES
from provisioner.resources.rows import (
    allow_block_list,
    connection_filter,
    membership,
    organization_config,
    outbound_connector,
    role_assignment,
    transport_rule,
)
from provisioner.sandbox import mail_rules, submission_rules
from provisioner.sandbox.mail_directory import owner_of, primary
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.port import Service
from tests.mailflow import applications_and_accounts as more
from tests.mailflow import rules_and_limits

DOMAINS = ("contoso.com", "fabrikam.com")
SENDERS = ("erp@contoso.com", "a@fabrikam.com", "a@sub.contoso.com", "a@elsewhere.example", "")
NETWORKS = ("9.8.8.0/24", "9.8.8.0/28", "9.8.8.7", "9.7.7.7")
ADDRESSES = ("9.8.8.0", "9.8.8.7", "9.8.8.255", "9.8.9.0", "9.7.7.7", "9.1.1.1")
NAMES = ("mx.contoso.com", "*.contoso.com", "gw.partner.example", "*.partner.example")
CERTIFICATES = ("", "", "mx.contoso.com", "b.contoso.com", "gw.partner.example", "contoso.com")
SPACES = (["*"], ["contoso.com"], ["*.contoso.com"], ["elsewhere.example", "fabrikam.com"])
ERP, BILLS, ALIAS, SHARED, NOBODY = (
    f"{name}@contoso.com" for name in ("erp", "bills", "erp.alias", "shared", "nobody")
)
ERP_ID, SHARED_ID, GROUP, ROLE = (f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000001" for n in "1278")

# A reason of ours by the words with which the sandbox gives it.
REASONS = {
    "550 5.7.64": ("no_connector", "sender_not_accepted"),
    "550 5.7.51": ("partner_restricts",),
    "550 5.7.68": ("direct_send_rejected",),
    "451 5.7.3": ("tls_required",),
    "550 5.7.513": ("ip_blocked",),
    "452 4.5.3": ("too_many_recipients",),
    mail_rules.SENDING_DISABLED: ("sending_disabled",),
    mail_rules.RECIPIENT_DISABLED: ("recipient_blocked",),
    "the user credentials were incorrect": ("no_mailbox",),
    "account has an issue": ("account_disabled",),
    "security defaults policy": ("security_defaults",),
    "did not meet the criteria": ("conditional_access",),
    "basic authentication is disabled": ("authentication_policy",),
    "disabled for the Mailbox": ("mailbox",),
    "disabled for the Tenant": ("organization",),
    "535 5.7.3": ("unlicensed",),
    "554 5.2.252": ("send_as_denied",),
    "554 5.2.0": ("daily_limit",),
    "quarantine": ("sender_blocked",),
    **more.REASONS,
    **rules_and_limits.REASONS,
}
ALL = frozenset(reason for reasons in REASONS.values() for reason in reasons)
OPEN = frozenset(rules_and_limits.OPEN.values())
"""What no source decides, and both sides name where it comes up."""

# What leaves a decision open although everything was read: no source decides, or nothing that can be read tells.
UNDECIDED = (
    "which of",
    "names the source",
    "the effect of require_tls",
    "its address or its certificate alone",
    "tls_sender_certificate_name counts with",
    "makes it mail of the tenant",
    "IPBlockList holds for mail that is relayed",
    "SendingFromDomainDisabled of",
    "its locations",
    "allows 600 recipients",
    "whether the application may sign in as",
    *rules_and_limits.UNDECIDED,
)


@dataclass(frozen=True, slots=True)
class Case:
    """One attempt in one tenant, as both sides have it."""

    tenant: Tenant
    attempt: Attempt
    source: Source
    recipient: str

    def refusals(self) -> Iterator[str]:
        """Every refusal of the sandbox."""
        attempt, tenant = self.attempt, self.tenant
        if attempt.authentication:
            yield from _submission(tenant, attempt)
        else:
            before = [self.recipient] * (attempt.recipients - 1)
            yield from mail_rules.recipient_refusals(tenant, self.source, attempt.sender, self.recipient, before)
        if attempt.authentication and mail_rules.receiving_disabled(tenant, self.recipient):
            yield mail_rules.RECIPIENT_DISABLED
        if not attempt.external and mail_rules.quarantined(tenant, attempt.sender):
            yield "quarantine"
        yield from rules_and_limits.refusals(tenant, attempt, self.source, self.recipient)

    def undecided(self) -> frozenset[str]:
        """What the sandbox answers although no source decides it."""
        return frozenset(rules_and_limits.undecided(self.tenant, self.attempt, self.source, self.recipient))

    def reasons(self) -> frozenset[str]:
        """The reasons of ours that the sandbox's refusals can stand for."""
        return frozenset(reason for refusal in self.refusals() for reason in reasons_of(refusal))


def _submission(tenant: Tenant, attempt: Attempt) -> Iterator[str]:
    """The sign-in with a password that is right, or with a token that has all permissions, then the message."""
    if attempt.hve:
        yield from more.of_account(tenant, attempt)
        return
    owner = owner_of(tenant, attempt.mailbox)
    if owner is None:
        yield "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."
        return
    if attempt.client_id:
        yield from more.of_application(tenant, attempt)
    passwords = attempt.authentication == "basic"
    yield from (submission_rules.account_refusals if passwords else submission_rules.mailbox_refusals)(tenant, owner)
    if attempt.sender:
        yield from submission_rules.sending_refusals(tenant, primary(owner), attempt.sender)
    if attempt.recipients > submission_rules.most_recipients(owner):
        yield submission_rules.TOO_MANY_RECIPIENTS
    if attempt.sent_before:
        now = tenant.clock.now().isoformat()
        tenant.settings["recipients_sent"] = {primary(owner): [[now, attempt.sent_before]]}
    limited = submission_rules.limit_refusal(tenant, owner, attempt.recipients)
    if limited:
        yield limited
    quota = submission_rules.quota_refusal(tenant, primary(owner), attempt.recipients)
    tenant.settings.pop("recipients_sent", None)
    if quota:
        yield quota


def reasons_of(refusal: str) -> tuple[str, ...]:
    """The longest words decide: 550 5.7.513 is not 550 5.7.51."""
    found = [words for words in REASONS if words in refusal]
    return REASONS[max(found, key=len)]


# --- tenants ---------------------------------------------------------------------------------------------------------


def _some(choose: random.Random, *values: Any, often: float = 0.5) -> Any:
    return choose.choice(values) if choose.random() < often else None


def _connector(choose: random.Random, name: str) -> dict[str, Any]:
    """A row as the service keeps it."""
    partner = choose.random() < 0.6
    restricts = partner and choose.random() < 0.4
    network, certificate = _some(choose, *NETWORKS, often=0.7), _some(choose, *NAMES, often=0.4)
    return {
        "Name": name,
        "Enabled": choose.random() < 0.85,
        "ConnectorType": "Partner" if partner else "OnPremises",
        "SenderDomains": [f"smtp:{space};1" for space in choose.choice(SPACES)],
        "SenderIPAddresses": [network] if network else [],
        "TlsSenderCertificateName": certificate,
        "RequireTls": choose.random() < 0.65,
        "RestrictDomainsToIPAddresses": restricts and bool(network) and choose.random() < 0.6,
        "RestrictDomainsToCertificate": restricts and bool(certificate) and choose.random() < 0.6,
        "AssociatedAcceptedDomains": [] if partner or choose.random() < 0.8 else [choose.choice(DOMAINS)],
    }


def _access_policy(choose: random.Random) -> dict[str, Any]:
    users = choose.choice((
        {"includeUsers": ["All"]},
        {"includeUsers": ["All"]},
        {"includeUsers": ["All"], "excludeUsers": [choose.choice((ERP_ID, SHARED_ID))]},
        {"includeUsers": [choose.choice((ERP_ID, SHARED_ID))]},
        {"includeUsers": [], "includeGroups": [GROUP]},
        {"includeUsers": ["All"], "excludeGroups": [GROUP]},
        {"includeUsers": [], "includeRoles": [ROLE]},
        {"includeUsers": ["All"], "excludeRoles": [ROLE]},
    ))  # fmt: skip
    return {
        "displayName": choose.choice("PQ"),
        "state": choose.choice(("enabled", "enabled", "enabled", "disabled", "enabledForReportingButNotEnforced")),
        "conditions": {
            "clientAppTypes": choose.choice((["other"], ["all"], ["exchangeActiveSync", "other"], [], ["browser"])),
            "applications": {"includeApplications": choose.choice((["All"], ["All"], ["Office365"], ["None"]))},
            "users": users,
            "locations": _some(choose, {"includeLocations": ["All"]}, often=0.1),
        },
        "grantControls": {"builtInControls": choose.choice((["block"], ["block"], ["mfa"], []))},
    }


def _user(choose: random.Random, address: str, user_id: str) -> dict[str, Any]:
    plan = {"service": "exchange", "capabilityStatus": choose.choice(("Enabled", "Warning", "Suspended", "Deleted"))}
    return {
        "id": user_id,
        "userPrincipalName": address,
        "mail": address,
        "accountEnabled": choose.random() < 0.85,
        "assignedPlans": choose.choice(([plan], [{"service": "exchange", "capabilityStatus": "Enabled"}])),
        "memberOf": [GROUP] if choose.random() < 0.3 else [],
    }


def _objects(choose: random.Random) -> dict[str, Any]:
    """What Exchange has."""
    sender_blocks = ("erp@contoso.com", "contoso.com", "*.com", "*.sub.contoso.com", "bills@contoso.com")
    return {
        "AcceptedDomain": [
            {
                "DomainName": name,
                "DomainType": choose.choice(("InternalRelay", "Authoritative")),
                "MatchSubDomains": choose.random() < 0.2,
                "SendingFromDomainDisabled": choose.random() < 0.15,
                "SendingToDomainDisabled": choose.random() < 0.05,
                "OutboundOnly": choose.random() < 0.05,
            }
            for name in (DOMAINS if choose.random() < 0.8 else DOMAINS[:1])
        ],
        "InboundConnector": [_connector(choose, f"c{n}") for n in range(choose.choice((0, 1, 2, 2, 3)))],
        "OrganizationConfig": [
            {
                "RejectDirectSend": choose.random() < 0.4,
                "SendFromAliasEnabled": choose.random() < 0.4,
                "DefaultAuthenticationPolicy": _some(choose, "No", "Yes", "Yes"),
            }
        ],
        "TransportConfig": [{"SmtpClientAuthenticationDisabled": choose.random() < 0.4}],
        "AuthenticationPolicy": [
            {"Name": "No", "AllowBasicAuthSmtp": False},
            {"Name": "Yes", "AllowBasicAuthSmtp": True},
        ],
        "User": [{"Identity": name, "AuthenticationPolicy": _some(choose, "No", "Yes")} for name in ("erp", "shared")],
        "DistributionGroup": [{"Name": "Team", "ExternalDirectoryObjectId": GROUP}],
        "RecipientPermission": [
            {"Identity": BILLS, "Trustee": trustee} for trustee in (ERP, "Team") if choose.random() < 0.3
        ],
        "HostedConnectionFilterPolicy": [
            {
                "Name": "Default",
                "IPBlockList": [choose.choice((*NETWORKS, "9.8.8.5-9.8.8.9"))] if choose.random() < 0.3 else [],
                "IPAllowList": [choose.choice(NETWORKS)] if choose.random() < 0.3 else [],
            }
        ],
        "TenantAllowBlockListItems": [
            {"Value": value, "ListType": "Sender", "Action": choose.choice(("Block", "Block", "Allow"))}
            for value in sender_blocks
            if choose.random() < 0.06
        ],
    }


def tenant_of(choose: random.Random) -> Tenant:
    """A tenant with two mailboxes that can be signed in to, one of them shared."""
    mailboxes: list[Mapping[str, Any]] = [
        {"address": ERP, "name": "erp", "aliases": [ALIAS]},
        {"address": SHARED, "name": "shared", "type": "SharedMailbox"},
        {"address": BILLS, "name": "bills"},
    ]
    switches = [{**m, "smtp_client_authentication_disabled": choose.choice((None, None, True, False))}
                for m in mailboxes]  # fmt: skip
    tenant = Tenant()
    tenant.merge(
        load_seed({
            "sandbox": 1,
            "mailboxes": switches,
            "objects": _objects(choose),
            "graph": {
                "users": [_user(choose, ERP, ERP_ID), _user(choose, SHARED, SHARED_ID)],
                "securityDefaults": {"isEnabled": choose.random() < 0.1},
                "conditionalAccessPolicies": [
                    {"id": f"p{n}", **_access_policy(choose)} for n in range(choose.choice((0, 1, 1, 2)))
                ],
                "roleAssignments": [
                    {"id": holder, "principalId": holder, "roleDefinitionId": ROLE, "directoryScopeId": scope}
                    for holder in (ERP_ID, SHARED_ID, GROUP)
                    for scope in ("/", "/administrativeUnits/u")
                    if choose.random() < 0.25
                ],
            },
        })
    )  # fmt: skip
    for row in tenant.rows("Mailbox"):  # one user has one id in Exchange and in Entra ID
        row["ExternalDirectoryObjectId"] = {ERP: ERP_ID, SHARED: SHARED_ID}.get(row["PrimarySmtpAddress"], "")
    more.equip(choose, tenant)
    rules_and_limits.equip(choose, tenant)
    return tenant


def attempt_of(choose: random.Random, tenant: Tenant) -> Case:
    """An attempt to send, at the MX endpoint or with a sign-in."""
    if choose.random() < 0.35:
        attempt = more.attempt_of(choose)
        inside = dataclasses.replace(attempt, recipient_domain="" if attempt.external else DOMAINS[0])
        return Case(tenant, inside, Source("9.1.1.1"), "b@outside.example" if attempt.external else BILLS)
    external = choose.random() < 0.4
    recipient = "b@outside.example" if external else BILLS
    address, tls = choose.choice(ADDRESSES), choose.random() < 0.6
    certificate = choose.choice(CERTIFICATES) if tls else ""
    source = Source(address, (certificate,) if certificate else (), tls)
    if choose.random() < 0.6:
        count = 201 if choose.random() < 0.05 else 1
        attempt = Attempt(
            choose.choice(SENDERS),
            external,
            f"{address}/32",
            certificate,
            tls,
            recipients=1 if external else count,
            recipient_domain="" if external else DOMAINS[0],
        )
        return Case(tenant, attempt, source, recipient)
    attempt = Attempt(
        choose.choice((ERP, ERP, ALIAS, BILLS, "", "x@fabrikam.com")),
        external,
        authentication=choose.choice(("basic", "basic", "oauth")),
        mailbox=choose.choice((ERP, ERP, ERP, ERP, SHARED, SHARED, NOBODY)),
        application=True,
        recipients=choose.choice((*[1] * 12, 500, 600, 1001)),
        sent_before=choose.choice((*[0] * 12, 9_999, 10_000)),
        recipient_domain="" if external else DOMAINS[0],
    )
    return Case(tenant, attempt, source, recipient)


# --- what a plan would see of them -----------------------------------------------------------------------------------

_OBJECTS = frozenset({
    *(Address("domain", sender.rpartition("@")[2]) for sender in (*SENDERS, "x@fabrikam.com") if sender),
    *(Address("smtp_auth", key) for key in (ERP, SHARED, NOBODY, "organization")),
    *(Address("mailbox", key) for key in (ERP, SHARED)),
    *(Address("send_as", f"{trustee} as {sender}") for trustee in (ERP, SHARED)
      for sender in (BILLS, ERP, ALIAS, "x@fabrikam.com") if trustee != sender),
    Address("organization", "settings"),
    *(Address("authentication_policy_assignment", key) for key in (ERP, SHARED, "organization")),
    *(Address("authentication_policy", name) for name in ("Yes", "No")),
    *more.OBJECTS,
})  # fmt: skip
_LISTED = ("inbound_connector", "domain")
_EVIDENCE = (
    *sign_in_questions([ERP, SHARED, more.NEWS]),
    *map(membership.look_up, (ERP_ID, SHARED_ID)),
    role_assignment.REQUEST,
    connection_filter.REQUEST,
    allow_block_list.REQUEST,
    organization_config.REQUEST,
    transport_rule.REQUEST,
    outbound_connector.REQUEST,
    *outbound_policies.QUESTIONS,
)


def objects_of(attempt: Attempt) -> frozenset[Address]:
    """The objects that are looked up for one attempt."""
    labels = attempt.certificate.split(".") if attempt.certificate else []
    domains = {attempt.domain, *(".".join(labels[cut:]) for cut in range(len(labels) - 1))} - {""}
    found = {Address("domain", domain) for domain in domains}
    if attempt.mailbox:
        found |= {Address("smtp_auth", attempt.mailbox), Address("smtp_auth", "organization")}
        found |= {Address("mailbox", attempt.mailbox)}
        if attempt.sender not in {"", attempt.mailbox}:
            found.add(Address("send_as", f"{attempt.mailbox} as {attempt.sender}"))
    return frozenset({*found, Address("organization", "settings")})


def observed_of(tenant: Tenant, objects: frozenset[Address] = _OBJECTS) -> Observed:
    """The tenant as the engine reads it: roles of applications for a plan that assigns them, as the tenant has them."""
    asked = objects if tenant.rows("ManagementRoleAssignment") else objects - more.ROLES
    ports = Service(tenant, 0).ports
    users = (membership.look_up(row["ExternalDirectoryObjectId"]) for row in tenant.rows("MailUser"))
    return asyncio.run(engine.consult(asked, _LISTED, (*_EVIDENCE, *users), TYPES, ports))


def withheld(choose: random.Random, observed: Observed) -> Observed:
    """The same without one fact: an answer, an object or a listing that could not be read."""
    lost = Unknown("withheld", "forbidden")
    connectors = sorted(a for a in observed.undeclared if a.type == "inbound_connector")
    what = choose.choice(("evidence", "object", "listing", *(["connector"] if connectors else [])))
    if what == "evidence":
        key = choose.choice(sorted(observed.evidence))
        return dataclasses.replace(observed, evidence={**observed.evidence, key: lost})
    if what == "object":
        address = choose.choice(sorted(observed.resources))
        return dataclasses.replace(observed, resources={**observed.resources, address: lost})
    if what == "connector":
        one = choose.choice(connectors)
        left = {a: s for a, s in observed.undeclared.items() if a != one}
        return dataclasses.replace(observed, undeclared=left, resources={**observed.resources, one: lost})
    kept = {a: s for a, s in observed.undeclared.items() if a.type != "inbound_connector"}
    return dataclasses.replace(observed, undeclared=kept, unlisted={"inbound_connector": lost})


def decision_of(observed: Observed, attempt: Attempt) -> Decision:
    """What `mailflow` decides about an attempt in a tenant as it was read."""
    return decide(pictures.of_observed(observed, TYPES), attempt, observed.evidence)


# --- whether they agree ----------------------------------------------------------------------------------------------


def disagreement(found: Decision, reasons: frozenset[str], *, whole: bool) -> str:
    """What is wrong with a decision in the light of the sandbox's reasons; "" where both decide alike.

    `whole`: every fact was read, so that only what no source decides may be open. 550 5.7.64 is one answer for two
    reasons; so is 535 5.7.3 for all that has no answer of its own.
    """
    twins = {"no_connector", "sender_not_accepted"}
    if found.allowed is True and reasons:
        return f"allowed here, refused there: {sorted(reasons)}"
    if found.allowed is False and not reasons:
        return f"refused here ({found.reason}), allowed there"
    if found.allowed is None and whole and not all(any(w in m for w in UNDECIDED) for m in found.missing):
        return f"open although everything was read: {found.missing}"
    if reasons == {"no_mailbox"} and reasons <= found.doubtful:
        return ""  # nobody signs in, so that nothing else is looked at
    if "no_hve_account" in (found.certain | found.doubtful) & reasons:
        return ""  # as above
    certain, reasons = of_one_token(found, reasons)
    missed = rules_and_limits.of_one_rule(certain, found.doubtful, reasons) - reasons
    if missed:
        return f"certain here and not given there: {sorted(missed)}"
    others = reasons - certain - found.doubtful - (twins if certain & twins else set())
    if others:
        return f"given there and not known here: {sorted(others)}"
    return ""


def disagreement_about_open(found: Decision, undecided: frozenset[str], *, whole: bool) -> str:
    """What is wrong with what a decision leaves open, where the sandbox names what no source decides; "" for nothing.

    Where the decision lacks nothing else, it knows the situation as well as the sandbox does. A refusal does not say
    what it lacks.
    """
    ours = found.doubtful & OPEN
    if undecided - ours and found.reason not in _ALONE:
        return f"undecided there and not known here: {sorted(undecided - ours)}"
    known = whole and found.allowed is not False and rules_and_limits.NOT_SOURCED.issuperset(found.missing)
    if known and ours - undecided:
        return f"undecided here and not there: {sorted(ours - undecided)}"
    return ""


_ALONE = frozenset({"no_mailbox", "no_hve_account"})
"""Refusals after which nothing else is looked at."""


def of_one_token(found: Decision, reasons: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """What each is certain of, without what one answer stands for: a token that lacks anything is refused alike.

    Where the sandbox refuses the token no mailbox is opened: what is said of FullAccess besides makes no difference.
    """
    tokens = more.OF_TOKENS
    if not reasons & tokens:
        return found.certain, reasons
    certain, reasons = found.certain - {"no_mailbox_right"}, reasons - {"no_mailbox_right"}
    known = bool((certain | found.doubtful) & tokens)
    return (certain - tokens, reasons - tokens) if known else (certain, reasons)


@dataclass(slots=True)
class Tally:
    """What was compared, and what came of it."""

    reasons: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)
    withheld_open: int = 0
    withheld: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        return self.paths.total()

    def compare(self, case: Case, observed: Observed, *, whole: bool) -> None:
        """One attempt, decided by both."""
        found, reasons, undecided = decision_of(observed, case.attempt), case.reasons(), case.undecided()
        wrong = disagreement(found, reasons, whole=whole) or disagreement_about_open(found, undecided, whole=whole)
        if wrong:
            self.wrong.append(f"{wrong}\n  {case.attempt}\n  {found}\n  {sorted(reasons)}")
        if not whole:
            self.withheld += 1
            self.withheld_open += found.allowed is None
            return
        self.paths[f"{found.path}: {_WORDS[found.allowed]}"] += 1
        self.reasons.update(found.certain)
        self.undecided.update(undecided)
        if found.allowed is None:
            self.open[next((w for w in UNDECIDED for m in found.missing if w in m), "another")] += 1

    def report(self) -> list[str]:
        """The table."""
        share = 100 * self.open.total() / max(1, self.compared)
        lines = [f"{self.compared:,} attempts with every fact read, {share:.1f} % open because no source decides:"]
        lines += [f"  {count:6,}  {name}" for name, count in sorted(self.paths.items())]
        lines += [f"  {count:6,}  open: {name}" for name, count in self.open.most_common()]
        lines += ["Reasons, certain:"]
        lines += [f"  {self.reasons[name]:6,}  {name}" for name in sorted(ALL)]
        lines += ["Named as undecided by both:"]
        lines += [f"  {self.undecided[name]:6,}  {name}" for name in sorted(OPEN)]
        part = 100 * self.withheld_open / max(1, self.withheld)
        lines += [f"{self.withheld:,} attempts with one fact withheld, {part:.1f} % open"]
        return [*lines, f"{len(self.wrong):,} disagreements", *self.wrong[:5]]


_WORDS = {True: "allowed", False: "refused", None: "open"}


def tally(seeds: Iterable[int], attempts: int = 16) -> Tally:
    """Tenants by their seeds, with as many attempts in each; every fourth with a fact withheld."""
    found = Tally()
    for seed in seeds:
        choose = random.Random(seed)
        tenant = tenant_of(choose)
        whole = observed_of(tenant)
        for number in range(attempts):
            case = attempt_of(choose, tenant)
            if number % 4 == 3:
                found.compare(case, withheld(choose, whole), whole=False)
            else:
                found.compare(case, whole, whole=True)
    return found
