"""How Exchange decides about client submission: who may sign in, and in whose name it may send. Pure.

The mailbox's own switch counts before the organization's, and the two hold for every client. A password needs more: the
user's authentication policy (or the organization's default one) must allow basic authentication for SMTP, Entra's
security defaults must be off, and no Conditional Access policy may refuse a legacy client (Learn, "Authenticated client
SMTP submission"; "Disable basic authentication in Exchange Online"). What could not be read is said to be unknown, and
blocks nothing.

Which of several refusals the service names first is not published: the order here is ours, and `Decision.others` has
the rest. What an application needs is in `applications`. Not in the picture: per-user MFA, locks after wrong
passwords. From the end of 2026 an administrator must have turned basic authentication on again, which no documented
setting shows (MC786329): that is a warning, and no date decides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provisioner.mailflow import applications, high_volume
from provisioner.mailflow.attempt import Attempt, Decision, Doubt, Refusal, refused
from provisioner.mailflow.basic_authentication import BASIC_ENDING
from provisioner.mailflow.picture import Evidence, after, of_observed
from provisioner.model import Answer, Change, Observed, Request, request_key
from provisioner.model.devices import CLIENT_SUBMISSION
from provisioner.model.picture import (
    NONE,
    ORGANIZATION,
    Acceptance,
    Account,
    LegacyTls,
    PasswordPolicy,
    Picture,
    SendRight,
    SignIn,
)
from provisioner.resources import TYPES
from provisioner.resources.rows import (
    access_policy,
    authentication_policy,
    membership,
    organization_config,
    role_assignment,
    rows_of,
    security_defaults,
    user,
)
from provisioner.resources.rows.access_policy import AccessPolicy

MOST_RECIPIENTS_A_DAY = 10_000
"""Recipients of a mailbox in 24 hours (Learn, "SMTP submission improvements")."""

DEFAULT_RECIPIENTS, MOST_RECIPIENTS = 500, 1_000
"""Recipients of one message: as it comes, and as an administrator may set it (RecipientLimits). A lower limit of the
mailbox is not read."""

_REFUSED = "535 5.7.139"
_ALLOW_LEGACY_TLS = "write transport_config: { allow_legacy_tls_clients: enabled }"
_USER_MAILBOX = "usermailbox"
_ACCESS_UNREAD = f"the Conditional Access policies (Graph permission {access_policy.PERMISSION})"
_OF_POLICY = ("Get-User", "Get-AuthenticationPolicy", "Get-OrganizationConfig")
_GRANT_POLICIES = "grant the application the Graph permission Policy.Read.All"
_GRANT_USERS = "grant the application the Graph permission User.Read.All"
_ROLES_UNREAD = f"the user's roles (Graph permission {role_assignment.PERMISSION})"
_GRANT_ROLES = f"grant the application the Graph permission {role_assignment.PERMISSION}"
_ROLE_OF_RIGHTS = (
    "give the application a role that may run Get-RecipientPermission: Exchange Recipient Administrator (Entra) or "
    "Mail Recipients (Exchange)"
)
_LOOK_AT_ACCESS = "see in Entra ID whether the policy holds for this account, or let the device sign in with OAuth"


@dataclass(frozen=True, slots=True)
class Switches:
    """Everything that can forbid a mailbox to sign in; None for what is not known.

    `mailbox` and `organization` are enabled, disabled or (mailboxes) inherit. `policy` is the name of the
    authentication policy in force, "" for none, `policy_allows` whether it lets passwords in. `access_policy` is the
    Conditional Access policy that refuses passwords, "" for none, `access_unknown` why that is not known. `exists`
    is False where the tenant certainly has no such mailbox; `kind` is that of the mailbox (RecipientTypeDetails).
    """

    mailbox: str | None
    organization: str | None
    policy: str | None = ""
    policy_allows: bool | None = True
    security_defaults: bool | None = False
    access_policy: str | None = ""
    access_unknown: tuple[str, ...] = ()
    exists: bool = True
    enabled: bool | None = None
    licensed: bool | None = None
    kind: str = ""


def submitted(picture: Picture, attempt: Attempt, evidence: Evidence) -> Decision:
    """Whether a mailbox may sign in and send this message.

    The account and its licence are judged as far as they were read: a plan that rests on them declares them.
    """
    switches = switches_in(picture, attempt.mailbox, evidence)
    if not switches.exists and not attempt.hve:
        fix = "create and license it, or correct mailbox in the device"
        return refused(CLIENT_SUBMISSION, [Refusal("no_mailbox", _REFUSED, "the tenant has no such mailbox", hint=fix)])
    refusals = [*_sign_in(picture, attempt, switches), *_message(picture, attempt)]
    doubts = (*_unknown(picture, attempt, switches), *_name_unknown(picture, attempt), *_limit_unknown(attempt))
    missing, possible = tuple(d.missing for d in doubts), tuple(dict.fromkeys(r for d in doubts for r in d.reasons))
    if refusals:
        return dataclasses.replace(refused(CLIENT_SUBMISSION, refusals, missing), possible=possible, doubts=doubts)
    warning = BASIC_ENDING if attempt.authentication == "basic" and not attempt.hve else ""
    allowed = None if doubts else True
    return Decision(allowed, CLIENT_SUBMISSION, missing=missing, possible=possible, warning=warning, doubts=doubts)


def sign_in(
    observed: Observed,
    mailbox: str,
    authentication: str,
    changes: Iterable[Change] = (),
    *,
    application: bool | None = None,
    hve: bool = False,
    legacy_tls: bool = False,
) -> Decision:
    """Whether a mailbox can sign in, whatever it sends, as far as the tenant was read, once `changes` are made.

    `hve`: it is an account of High Volume Email.
    """
    picture = after(of_observed(observed, TYPES, () if hve else (mailbox,)), changes)
    attempt = Attempt(
        "",
        False,
        authentication=authentication,
        mailbox=mailbox,
        application=application,
        hve=hve,
        legacy_tls=legacy_tls,
    )
    return submitted(picture, attempt, observed.evidence)


# --- signing in ------------------------------------------------------------------------------------------------------


def takes_legacy_tls(picture: Picture) -> bool | None:
    """Whether the host for legacy TLS takes TLS 1.0 and 1.1; None for not known."""
    return next((legacy.taken for _, legacy in picture.every(LegacyTls)), None)


def _sign_in(picture: Picture, attempt: Attempt, switches: Switches) -> Iterator[Refusal]:
    """What TLS rules out comes first: the client is refused before anybody looks at its account."""
    if attempt.legacy_tls and takes_legacy_tls(picture) is False:
        what = "client submission over TLS 1.0 and 1.1 is refused, also at the host for legacy TLS"
        by = tuple(a for a, _ in picture.every(LegacyTls))
        yield Refusal("legacy_tls", "421 4.7.66", what, by, _ALLOW_LEGACY_TLS)
    if not attempt.hve:
        yield from _switched_off(switches)
    if attempt.authentication == "basic":
        yield from _password(switches)
    yield from _account(picture, attempt, switches)
    yield from applications.refusals(picture, attempt)


def _switched_off(switches: Switches) -> Iterator[Refusal]:
    """The two switches for SMTP AUTH. HVE accounts have none (Learn, "Manage high volume emails")."""
    if switches.mailbox == "disabled":
        fix = "write enabled for it under smtp_auth, or let a device sign in as it"
        yield Refusal("mailbox", _REFUSED, "SMTP AUTH is disabled for the mailbox itself", hint=fix)
    if switches.mailbox == "inherit" and switches.organization == "disabled":
        what = "SMTP AUTH is disabled for the organization, and the mailbox does not override it"
        fix = "write enabled for the mailbox; leave the organization disabled"
        yield Refusal("organization", _REFUSED, what, hint=fix)


def _account(picture: Picture, attempt: Attempt, switches: Switches) -> Iterator[Refusal]:
    """The user of the mailbox. An application signs in to a mailbox whose user may not, such as a shared mailbox.

    Source: Learn, "Authenticate an IMAP, POP or SMTP connection using OAuth". What is answered to a mailbox without a
    licence is not published; only user mailboxes need one (Learn, "About shared mailboxes").
    """
    by = tuple(a for a, c in picture.every(Account) if c.mailbox == attempt.mailbox)
    person = attempt.authentication == "basic" or attempt.application is False
    if switches.enabled is False and person:
        what = f"{attempt.mailbox} may not sign in: its account is disabled"
        yield Refusal("account_disabled", _REFUSED, what, by, user.ENABLE)
    if switches.licensed is False and switches.kind == _USER_MAILBOX and not attempt.hve:
        what = f"{attempt.mailbox} has no licence that holds Exchange Online"
        yield Refusal("unlicensed", "", what, by, user.LICENSE)


def _password(switches: Switches) -> Iterator[Refusal]:
    """What forbids passwords only. Policies and security defaults beat the mailbox's setting."""
    if switches.policy_allows is False:
        what = f'the authentication policy "{switches.policy}" lets no password in for SMTP (AllowBasicAuthSmtp)'
        fix = "give the user a policy that allows it, or let the device sign in with OAuth"
        yield Refusal("authentication_policy", _REFUSED, what, hint=fix)
    if switches.security_defaults:
        what = "the security defaults of Entra ID refuse passwords for SMTP"
        yield Refusal("security_defaults", _REFUSED, what, hint="OAuth or SMTP relay; it is not a setting of Exchange")
    if switches.access_policy:
        what = f'the Conditional Access policy "{switches.access_policy}" refuses passwords for SMTP'
        fix = "exclude the account from the policy, or let the device sign in with OAuth or use SMTP relay"
        yield Refusal("conditional_access", _REFUSED, what, hint=fix)


def _role(*cmdlets: str) -> str:
    """Who may run cmdlets that only read."""
    return f"give the application a role that may run {', '.join(cmdlets)} (Global Reader)"


def _unknown(picture: Picture, attempt: Attempt, switches: Switches) -> Iterator[Doubt]:
    if Account in picture.unread and not any(c.mailbox == attempt.mailbox for _, c in picture.every(Account)):
        yield Doubt("the account and its licence", ("account_disabled", "unlicensed"), _GRANT_USERS)
    if attempt.legacy_tls and takes_legacy_tls(picture) is None:
        yield Doubt("AllowLegacyTLSClients", ("legacy_tls",), _role("Get-TransportConfig"))
    if switches.mailbox is None and not attempt.hve:
        inherited = ["organization"] if switches.organization == "disabled" else []
        yield Doubt("the mailbox's switch", ("mailbox", "no_mailbox", *inherited), _role("Get-CASMailbox"))
    if switches.organization is None and switches.mailbox in {None, "inherit"} and not attempt.hve:
        yield Doubt("the organization's switch", ("organization",), _role("Get-TransportConfig"))
    if switches.enabled is False and attempt.authentication == "oauth" and attempt.application is None:
        what = "whether an application signs in (the account itself is disabled)"
        yield Doubt(what, ("account_disabled",), "enable the account, or make sure that an application signs in")
    if switches.licensed is False and not switches.kind and not attempt.hve:
        what = "whether the mailbox needs a licence (it has none)"
        yield Doubt(what, ("unlicensed",), "assign a licence with an Exchange Online plan to a user mailbox")
    yield from applications.doubts(picture, attempt)
    if attempt.authentication == "basic":
        yield from _unknown_of_passwords(switches)
    if attempt.hve:
        yield from high_volume.doubts(picture, attempt)


def _unknown_of_passwords(switches: Switches) -> Iterator[Doubt]:
    if switches.policy_allows is None:
        yield Doubt("the authentication policy", ("authentication_policy",), _role(*_OF_POLICY))
    if switches.security_defaults is None:
        yield Doubt("the security defaults", ("security_defaults",), _GRANT_POLICIES)
    for missing in switches.access_unknown:
        fix = _GRANT_ROLES if _ROLES_UNREAD in missing else _LOOK_AT_ACCESS
        yield Doubt(missing, ("conditional_access",), _GRANT_POLICIES if missing == _ACCESS_UNREAD else fix)


# --- sending ---------------------------------------------------------------------------------------------------------


def _message(picture: Picture, attempt: Attempt) -> Iterator[Refusal]:
    yield from sending_disabled(picture, attempt)
    if _may_send_as(picture, attempt) is False:
        what = f"{attempt.mailbox} may not send as {attempt.sender}"
        yield Refusal("send_as_denied", "554 5.2.252", what, hint="declare it under send_as, or send as the mailbox")
    if attempt.hve:
        yield from high_volume.refusals(picture, attempt)
        return
    if attempt.recipients > MOST_RECIPIENTS:
        what = f"one message may have {MOST_RECIPIENTS:,} recipients at most"
        yield Refusal("too_many_recipients", "452 4.5.3", what, hint="send several messages")
    if attempt.sent_before + attempt.recipients > MOST_RECIPIENTS_A_DAY:
        what = f"{attempt.mailbox} has reached {MOST_RECIPIENTS_A_DAY:,} recipients in 24 hours"
        yield Refusal("daily_limit", "554 5.2.0", what, hint="let several mailboxes share the mail")


def sending_disabled(picture: Picture, attempt: Attempt) -> Iterator[Refusal]:
    """SendingFromDomainDisabled blocks sending (Set-AcceptedDomain). With which reply is not published."""
    by = tuple(a for a, c in picture.every(Acceptance) if c.domain == attempt.domain and c.sending is False)
    if by:
        what = f"sending from {attempt.domain} is disabled (SendingFromDomainDisabled)"
        fix = f"Set-AcceptedDomain -Identity {attempt.domain} -SendingFromDomainDisabled $false, or send from another"
        yield Refusal("sending_disabled", "", what, by, fix)


def sending_unknown(picture: Picture, attempt: Attempt) -> bool:
    """Whether a read that failed could tell that sending from the domain is disabled."""
    known = any(c.domain == attempt.domain for _, c in picture.every(Acceptance))
    lacking = picture.lacks(Acceptance, attempt.domain)
    return bool(attempt.domain) and Acceptance in picture.unread and not known and not lacking


def _may_send_as(picture: Picture, attempt: Attempt) -> bool | None:
    """Whether From is an address of the mailbox itself (primary or alias), or one that it holds Send As for.

    None where that was not read, or only a group holds the right whose members were not.
    """
    if attempt.hve:  # an account sends in its own name (Learn, "Manage high volume emails for Microsoft 365")
        return attempt.sender in {"", attempt.mailbox}
    own = [s.addresses for _, s in picture.every(SignIn) if s.mailbox == attempt.mailbox]
    rights = _rights(picture, attempt)
    if attempt.sender in {"", attempt.mailbox}.union(*own) or any(
        not right.through or right.member for right in rights
    ):
        return True
    denied = any(own) and not rights and picture.lacks(SendRight, f"{attempt.mailbox} as {attempt.sender}")
    return False if denied else None


def _rights(picture: Picture, attempt: Attempt) -> list[SendRight]:
    pair = (attempt.mailbox, attempt.sender)
    return [right for _, right in picture.every(SendRight) if (right.trustee, right.sender) == pair]


def _name_unknown(picture: Picture, attempt: Attempt) -> Iterator[Doubt]:
    if _may_send_as(picture, attempt) is None:
        groups = ", ".join(right.through for right in _rights(picture, attempt))
        member = f" (as a member of {groups})" if groups else ""
        fix = f"see whether {attempt.mailbox} is a member, or declare the right of its own under send_as"
        what = f"whether {attempt.mailbox} may send as {attempt.sender}{member}"
        yield Doubt(what, ("send_as_denied",), fix if groups else _ROLE_OF_RIGHTS)
    if sending_unknown(picture, attempt):
        what = f"whether sending from {attempt.domain} is disabled"
        yield Doubt(what, ("sending_disabled",), _role("Get-AcceptedDomain"))


def _limit_unknown(attempt: Attempt) -> Iterator[Doubt]:
    if DEFAULT_RECIPIENTS < attempt.recipients <= MOST_RECIPIENTS and not attempt.hve:
        what = f"whether RecipientLimits of {attempt.mailbox} allows {attempt.recipients:,} recipients"
        fix = f"look at it: Get-Mailbox {attempt.mailbox} | Format-List RecipientLimits"
        yield Doubt(what, ("too_many_recipients",), fix)


# --- what the answers say --------------------------------------------------------------------------------------------


def switches_in(picture: Picture, mailbox: str, evidence: Evidence) -> Switches:
    """How everything stands for a mailbox in a picture; what forbids passwords only is in the evidence."""
    account = next((c for _, c in picture.every(Account) if c.mailbox == mailbox), Account(mailbox))
    user_id = account.user_id or high_volume.user_of(picture, mailbox)
    names = [name for name in (account.sign_in, mailbox) if name]  # a mailbox may be written by an alias
    asked = (*map(user.look_up, names), user.LISTING)
    rows = [row for request in asked for row in rows_of(evidence, request)]
    name = next((name for name in names if user.policy_of(name, rows) is not None), mailbox)
    told = user.policy_of(name, rows)
    if told is None and high_volume.is_new(picture, mailbox) and _asked(evidence, *asked):
        told = ""
    policy, policy_allows = _policy(picture, names, told, evidence)
    access, access_unknown = _access(evidence, user_id)
    switch = picture.switch(mailbox)
    return Switches(
        switch,
        picture.switch(ORGANIZATION),
        policy,
        policy_allows,
        security_defaults.decode(rows_of(evidence, security_defaults.REQUEST)),
        access,
        access_unknown,
        switch is not None or not (picture.lacks(SignIn, mailbox) or picture.lacks(Account, mailbox)),
        account.enabled,
        account.licensed,
        user.kind_of(name, rows),
    )


def _asked(evidence: Evidence, *requests: Request) -> bool:
    """Whether one of these questions was answered."""
    return any(isinstance(evidence.get(request_key(request)), Answer) for request in requests)


def _policy(
    picture: Picture, names: Sequence[str], told: str | None, evidence: Evidence
) -> tuple[str | None, bool | None]:
    """The authentication policy in force for a mailbox, "" for none, and whether it lets passwords in for SMTP.

    What the picture knows counts before `told` and the rest of the evidence: it may be as changes will leave it. The
    mailbox's own policy counts before the organization's default.
    """
    held = picture.policy_of(*names)
    policy = told if held is None else held.policy
    if policy == "":
        held = picture.policy_of(ORGANIZATION)
        config = organization_config.decode(rows_of(evidence, organization_config.REQUEST))
        policy = config.default_authentication_policy if held is None else held.policy
    if not policy:
        return policy, None if policy is None else True
    known = next((p for _, p in picture.every(PasswordPolicy) if p.is_called(policy)), None)
    if known is not None:
        return known.name, known.smtp
    policies = authentication_policy.decode(rows_of(evidence, authentication_policy.REQUEST))
    allows = authentication_policy.allows_smtp(policy, policies)
    return policy, held.smtp if allows is None and held is not None else allows


def _access(evidence: Evidence, user_id: str) -> tuple[str | None, tuple[str, ...]]:
    """The Conditional Access policy that refuses passwords to a user, "" for none; None with what is not known."""
    answer = evidence.get(request_key(access_policy.REQUEST))
    if not isinstance(answer, Answer):
        return None, (_ACCESS_UNREAD,)
    doubts = []
    entra_user = _entra_user(evidence, user_id)
    for policy in access_policy.decode(answer.rows):
        meant, why = _meant(policy, entra_user)
        if meant is False:
            continue
        reasons = [*why, *policy.conditions]
        if not reasons:
            return policy.name, ()
        doubts.append(f'whether the Conditional Access policy "{policy.name}" holds ({" and ".join(reasons)})')
    return (None, tuple(doubts)) if doubts else ("", ())


@dataclass(frozen=True, slots=True)
class _EntraUser:
    """Whom policies name: an id, "" where it was not read; the groups and roles, as far as they are known.

    `unread_roles` says why the user may hold more roles, "" where all are known.
    """

    id: str
    groups: frozenset[str] | None
    roles: frozenset[str]
    unread_roles: str

    @property
    def in_groups(self) -> frozenset[str]:
        return self.groups or NONE


def groups_of(evidence: Evidence, user_id: str) -> frozenset[str] | None:
    """The ids of the groups that a user is in; None where they were not read."""
    member = evidence.get(request_key(membership.look_up(user_id))) if user_id else None
    return membership.decode(member.rows) if isinstance(member, Answer) else None


def _entra_user(evidence: Evidence, user_id: str) -> _EntraUser:
    groups, assigned = groups_of(evidence, user_id), evidence.get(request_key(role_assignment.REQUEST))
    if not (user_id and isinstance(assigned, Answer)):
        return _EntraUser(user_id, groups, NONE, _ROLES_UNREAD if user_id else "the user's roles")
    roles = role_assignment.decode(assigned.rows, {user_id, *(groups or ())})
    return _EntraUser(user_id, groups, roles, "" if groups is not None else "the user's roles")


def _meant(policy: AccessPolicy, who: _EntraUser) -> tuple[bool, Iterable[str]]:
    """Whether a policy can be about a user, and what decides about it that was not read. Exclusions win."""
    if who.id and who.id in policy.spared_users:
        return False, ()
    if policy.spared_groups & who.in_groups or policy.spared_roles & who.roles:
        return False, ()
    named = "all" in policy.users or bool(who.id and who.id in policy.users)
    named = named or bool(policy.groups & who.in_groups or policy.roles & who.roles)
    unread = (policy.groups if who.groups is None else NONE) | (policy.roles if who.unread_roles else NONE)
    of_users = policy.users - {"none", "guestsorexternalusers"}
    if not named and not unread and (who.id or not of_users):
        return False, ()
    doubts = []
    if not who.id and ((of_users and not named) or policy.spared_users):
        doubts.append("the user's id in Entra ID")
    if who.groups is None and (policy.spared_groups or (policy.groups and not named)):
        doubts.append("the user's groups and roles")
    elif who.unread_roles and (policy.spared_roles or (policy.roles and not named)):
        doubts.append(who.unread_roles)
    return True, doubts
