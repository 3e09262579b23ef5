"""Who may sign in at the submission port, send as whom, and how much. Decisions only, no I/O.

The answers are those that devices have logged (public issues, Microsoft's NDR pages). In which order several switches
speak is not published: the order here is ours. A sign-in's own failures come first, as Entra's do: locked, password,
account.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.sandbox import access_policies, mail_rules, passwords, sign_in_log
from provisioner.sandbox.clock import stored_time
from provisioner.sandbox.cmdlets import blocked_sender, management_role
from provisioner.sandbox.mail_directory import (
    addresses,
    client_access,
    domain_of,
    groups_of,
    owner_of,
    primary,
    user_of,
)
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Row, Tenant

_UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful, "
_BAD_CREDENTIALS = _UNSUCCESSFUL + "the user credentials were incorrect."
_LOCKED = _UNSUCCESSFUL + "account locked. Contact your administrator."
# Quoted for accounts that are blocked from signing in, or must settle something first.
_ACCOUNT = _UNSUCCESSFUL + "account has an issue. Contact your administrator."
_SECURITY_DEFAULTS = (
    _UNSUCCESSFUL + "user is locked by your organization's security defaults policy. Contact your administrator."
)
_CONDITIONAL_ACCESS = (
    _UNSUCCESSFUL + "the request did not meet the criteria to be authenticated successfully. "
    "Contact your administrator."
)
_BASIC_DISABLED = _UNSUCCESSFUL + "basic authentication is disabled."
_SWITCHED_OFF = (
    _UNSUCCESSFUL + "SmtpClientAuthentication is disabled for the {scope}. "
    "Visit https://aka.ms/smtp_auth_disabled for more information."
)
_RETIRED = "550 5.7.30 Basic authentication is not supported for Client Submission."
REFUSED = "535 5.7.3 Authentication unsuccessful"
NOT_SIGNED_IN = "530 5.7.57 Client not authenticated to send mail."
_LEGACY_TLS = (
    "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. "
    "Visit https://aka.ms/smtp_auth_tls."
)
STARTTLS_FIRST = "451 5.7.3 STARTTLS is required to send mail"
TOO_MANY_CONNECTIONS = (
    "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."
)
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients"
_QUOTA = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"
# The exception as it was logged; the code before it was not, 5.2.3 is RFC 3463's for a message that is too long.
_TOO_LARGE = (
    "554 5.2.3 MapiExceptionMaxSubmissionExceeded; Message size exceeds maximum size limit.; "
    "STOREDRV.Submission.Exception:MessageSubmissionExceededException.MapiExceptionMaxSubmissionExceeded; "
    "Failed to process message due to a permanent exception with message Cannot save changes made to an item to store."
)
_NO_MAILBOX_RIGHT = (
    "430 4.2.0 STOREDRV; mailbox logon failure; "
    "STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; "
    "Failed to process message due to a transient exception with message Cannot open mailbox."
)

MOST_CONNECTIONS = 3
_MOST_A_DAY = 10_000
_MOST_A_MINUTE = 30
_DEFAULT_RECIPIENTS = 500
_DAY = dt.timedelta(days=1)
_MINUTE = dt.timedelta(minutes=1)
# Exchange Online's plans are told apart by their service plan ids; Graph names the service of all of them so.
_EXCHANGE = "exchange"


# --- signing in ------------------------------------------------------------------------------------------------------


def legacy_tls_refusal(tenant: Tenant, version: str, host: str) -> str | None:
    """What a client with TLS 1.0 or 1.1 is answered at a host; "" for a client that named none (SNI).

    Learn, "Opt in to the Exchange Online endpoint for legacy TLS clients using SMTP AUTH"; null refuses as $false does
    (MicrosoftDocs/OfficeDocs-Exchange issue 2943). A Java client got it for AUTH (DSpace issue 8123).
    """
    if version not in {"TLSv1", "TLSv1.1"}:
        return None
    (settings,) = tenant.rows("TransportConfig")
    allowed = settings.get("AllowLegacyTLSClients") is True and host.lower().startswith("smtp-legacy.")
    return None if allowed else _LEGACY_TLS


class Lockout:
    """Entra's smart lockout: ten wrong passwords lock an account for a minute; the same wrong one counts once.

    Threshold and time: Microsoft Learn, "Protect user accounts from attacks with Microsoft Entra smart lockout" (the
    last three bad passwords are remembered). The settings `smart_lockout_threshold` and `smart_lockout_s` change them;
    `locked_accounts` ({address: instant until which}) is what is kept.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._failures: dict[str, tuple[int, list[bytes]]] = {}

    def locked(self, address: str) -> bool:
        """Whether an account is locked now; without a date in `locked_accounts`, until somebody unlocks it."""
        until = self._tenant.settings.get("locked_accounts", {}).get(address)
        end = stored_time(until)
        return bool(until) and (end is None or end > self._tenant.clock.now())

    def failed(self, address: str, password: str) -> None:
        """Count a wrong password. It is remembered as a hash, in memory, to know it again."""
        count, last = self._failures.get(address, (0, []))
        known = hashlib.scrypt(password.encode(), salt=address.encode(), n=2**10, r=8, p=1)
        if known in last:
            return
        settings = self._tenant.settings
        if count + 1 < int(settings.get("smart_lockout_threshold") or 10):
            self._failures[address] = count + 1, [*last, known][-3:]
            return
        self._failures.pop(address, None)
        until = self._tenant.clock.now() + dt.timedelta(seconds=float(settings.get("smart_lockout_s") or 60))
        settings.setdefault("locked_accounts", {})[address] = until.isoformat()
        self._tenant.changed()

    def succeeded(self, address: str) -> None:
        self._failures.pop(address, None)


def logged_as(refusal: str | None) -> tuple[int, str] | None:
    """The status with which Entra logs a login that was answered so; None where Exchange refused it before Entra."""
    statuses = {
        None: sign_in_log.SUCCESS,
        _BAD_CREDENTIALS: sign_in_log.BAD_PASSWORD,
        _LOCKED: sign_in_log.LOCKED,
        _ACCOUNT: sign_in_log.DISABLED,
        _SECURITY_DEFAULTS: sign_in_log.BLOCKED,
        _CONDITIONAL_ACCESS: sign_in_log.BLOCKED,
    }
    return statuses.get(refusal)


def password_refusal(tenant: Tenant, lockout: Lockout, user: str, password: str) -> str | None:
    """Why a sign-in with a password is refused; None where it is not."""
    owner = owner_of(tenant, user)
    wrong = credential_refusal(tenant, lockout, owner, password)
    return wrong if wrong or owner is None else next(account_refusals(tenant, owner), None)


def credential_refusal(tenant: Tenant, lockout: Lockout, owner: Row | None, password: str) -> str | None:
    """Why a password is not that of an account, or is not looked at; None where it is right."""
    if owner is None:
        return _BAD_CREDENTIALS
    address = primary(owner)
    if lockout.locked(address):
        return _LOCKED
    if not passwords.matches(password, tenant.settings.get("passwords", {}).get(address)):
        lockout.failed(address, password)
        return _BAD_CREDENTIALS
    lockout.succeeded(address)
    return None


def account_refusals(tenant: Tenant, owner: Row) -> Iterator[str]:
    """Every reason for which a mailbox may not sign in with its right password, in the order in which they speak."""
    yield from disabled_refusals(tenant, owner)
    yield from basic_refusals(tenant, owner, _SECURITY_DEFAULTS, _BASIC_DISABLED)
    yield from _retirement(tenant)
    yield from mailbox_refusals(tenant, owner)


def disabled_refusals(tenant: Tenant, owner: Row) -> Iterator[str]:
    """That an account is blocked from signing in."""
    if user_of(tenant, owner).get("accountEnabled") is False or owner.get("AccountDisabled") is True:
        yield _ACCOUNT


def basic_refusals(tenant: Tenant, owner: Row, defaults: str, policy: str) -> Iterator[str]:
    """What forbids passwords, and passwords only; the answers for security defaults and authentication policies."""
    if tenant.graph.get("securityDefaults", {}).get("isEnabled"):
        yield defaults
    blocked = {folded(str(address)) for address in tenant.settings.get("conditional_access_blocks", ())}
    if blocked & (addresses(owner) | {"*"}) or access_policies.refuse_password(tenant, owner):
        yield _CONDITIONAL_ACCESS
    if not _policy_allows(tenant, owner):
        yield policy


def _retirement(tenant: Tenant) -> Iterator[str]:
    off = tenant.settings.get("basic_smtp_auth_retired_from")
    if off and tenant.clock.now().date() >= dt.date.fromisoformat(str(off)):
        yield _RETIRED


def mailbox_refusals(tenant: Tenant, owner: Row) -> Iterator[str]:
    """What holds for passwords and for tokens: the switches, and that the mailbox is licensed.

    The mailbox's own word counts before the organization's. What is answered to a mailbox without a licence is not
    published: the general refusal stands for it.
    """
    access = client_access(tenant, owner)
    own = access.get("SmtpClientAuthenticationDisabled") if access is not None else None
    transport = tenant.visible("TransportConfig")
    if own is True:
        yield _SWITCHED_OFF.format(scope="Mailbox")
    elif own is None and transport and transport[0].get("SmtpClientAuthenticationDisabled") is True:
        yield _SWITCHED_OFF.format(scope="Tenant")
    if not _licensed(tenant, owner):
        yield REFUSED


def _licensed(tenant: Tenant, owner: Row) -> bool:
    """Only people's mailboxes need a licence. A user without `assignedPlans` is one of whom nothing is known."""
    if owner.get("RecipientTypeDetails") != "UserMailbox":
        return True
    plans = user_of(tenant, owner).get("assignedPlans")
    return plans is None or any(
        plan.get("service") == _EXCHANGE and plan.get("capabilityStatus") in {"Enabled", "Warning"} for plan in plans
    )


def _policy_allows(tenant: Tenant, owner: Row) -> bool:
    """Whether the authentication policy of the user, or the organization's default one, lets passwords in.

    A change has its effect within 24 hours, for a user who signed in before; within 30 minutes once their tokens are
    refreshed (Set-User, -STSRefreshTokensValidFrom; Learn, "Disable Basic authentication in Exchange Online"): setting
    `authentication_policy_cache_s`, 0 for at once.
    """
    seconds = float(tenant.settings.get("authentication_policy_cache_s", 0))
    return tenant.cached(("policy", str(owner["Identity"]).lower()), seconds, lambda: _allowed_now(tenant, owner))


def _allowed_now(tenant: Tenant, owner: Row) -> bool:
    """The same by what is set."""
    identity = str(owner["Identity"]).lower()
    own = (u.get("AuthenticationPolicy") for u in tenant.visible("User") if str(u["Identity"]).lower() == identity)
    organization = tenant.visible("OrganizationConfig")
    default = organization[0].get("DefaultAuthenticationPolicy") if organization else None
    policy = next(own, None) or default
    for found in tenant.visible("AuthenticationPolicy"):
        if policy and str(policy).lower() in {str(found.get(c)).lower() for c in ("Name", "Identity", "Guid")}:
            return found.get("AllowBasicAuthSmtp") is not False
    return True


def token_refusal(tenant: Tenant, user: str, claims: Mapping[str, Any]) -> str | None:
    """Why a token that is genuine, in time and meant for Exchange does not sign in as `user`; None where it does.

    An application's needs a service principal in Exchange (New-ServicePrincipal) with the object id of the enterprise
    application, and the role SMTP.SendAsApp: in the token, or assigned in Exchange for the mailbox; a person's the
    scope SMTP.Send. All lacks are answered alike.
    """
    owner = owner_of(tenant, user)
    if owner is None:
        return REFUSED
    if "scp" in claims:
        allowed = "SMTP.Send" in str(claims["scp"]).split() and _speaks_for(tenant, claims, owner)
    else:
        principal = service_principal(tenant, claims)
        consented = "SMTP.SendAsApp" in claims.get("roles", ())
        allowed = principal is not None and (consented or _assigned(tenant, principal, owner))
    return next(mailbox_refusals(tenant, owner), None) if allowed else REFUSED


def _speaks_for(tenant: Tenant, claims: Mapping[str, Any], owner: Row) -> bool:
    """Whether a person's token is of the mailbox's user, or of one who holds FullAccess on it."""
    names = {str(claims.get(name) or "").lower() for name in ("upn", "unique_name", "oid")} - {""}
    own = addresses(owner) | {str(user_of(tenant, owner).get("id") or "").lower()}
    return bool(names & own) or _has_full_access(tenant, owner, names)


def service_principal(tenant: Tenant, claims: Mapping[str, Any]) -> Row | None:
    """Exchange's row for the application of a token: both ids must be right."""
    wanted = str(claims.get("appid", "")).lower(), str(claims.get("oid", "")).lower()
    for row in tenant.visible("ServicePrincipal"):
        if (str(row.get("AppId", "")).lower(), str(row.get("ObjectId", "")).lower()) == wanted:
            return row
    return None


def opening_refusal(tenant: Tenant, user: str, claims: Mapping[str, Any]) -> str | None:
    """Why the store does not open the mailbox for an application that has signed in: it holds no FullAccess.

    Signing in goes well without that right; the message is refused, as a passing failure (seen in public 2024-2026).
    """
    owner, principal = owner_of(tenant, user), service_principal(tenant, claims)
    if owner is None or principal is None:
        return _NO_MAILBOX_RIGHT
    columns = ("Identity", "Name", "DisplayName", "ObjectId", "AppId", "Guid", "Sid")
    names = {str(principal.get(column) or "").lower() for column in columns} - {""}
    allowed = _assigned(tenant, principal, owner) or _has_full_access(tenant, owner, names)
    return None if allowed else _NO_MAILBOX_RIGHT


def _assigned(tenant: Tenant, principal: Row, owner: Row) -> bool:
    """Whether an application has the role to send as a mailbox (RBAC for Applications, MC1158911).

    The service keeps what it found for 30 minutes to two hours, depending on how recently the application was active
    (Learn, "Role Based Access Control for Applications in Exchange Online", on caches): setting
    `application_role_cache_s`, 0 for none. An application that has not signed in before finds what is set.
    """

    def found() -> bool:
        held = management_role.assigned(tenant, principal)
        mine = (row for row in held if row["Role"] == "Application SMTP.SendAsApp")
        return any(management_role.in_scope(tenant, row, owner) for row in mine)

    seconds = float(tenant.settings.get("application_role_cache_s", 0))
    return tenant.cached(("role", str(principal["ObjectId"]).lower(), primary(owner)), seconds, found)


def _has_full_access(tenant: Tenant, owner: Row, names: set[str]) -> bool:
    """Whether one who goes by `names` holds FullAccess; the rights of a row may be joined by commas (live rows)."""
    mailbox = addresses(owner) | {folded(str(owner["Identity"]))}
    return any(
        "FullAccess" in {part.strip() for text in right.get("AccessRights") or () for part in str(text).split(",")}
        for right in tenant.visible("MailboxPermission")
        if folded(str(right.get("Identity"))) in mailbox
        and str(right.get("User")).lower() in names
        and right.get("Deny") is not True
    )


# --- sending ---------------------------------------------------------------------------------------------------------


def send_as_refusal(tenant: Tenant, user: str, sender: str) -> str | None:
    """Why a mailbox may not send in a name; None where it is its own, or it or a group of its user holds Send As.

    The right of a group is that of its members (Microsoft Learn, "Manage permissions for recipients").
    """
    own, owner = owner_of(tenant, user), owner_of(tenant, sender)
    if own is not None and owner is not None and primary(own) == primary(owner):
        return None
    recipient = addresses(owner) | {folded(str(owner["Identity"]))} if owner is not None else set()
    trustee = addresses(own) | {folded(str(own["Identity"]))} | groups_of(tenant, own) if own is not None else set()
    for right in tenant.visible("RecipientPermission"):
        if folded(str(right["Identity"])) in recipient and folded(str(right["Trustee"])) in trustee:
            return None
    return send_as_denied(user, sender)


def send_as_denied(user: str, sender: str) -> str:
    """The answer to who may not send in a name."""
    return (
        f"554 5.2.252 SendAsDenied; {user} not allowed to send as {sender}; "
        "STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due "
        "to a permanent exception with message Cannot submit message."
    )


def sending_refusals(tenant: Tenant, user: str, sender: str) -> Iterator[str]:
    """Every reason for which a mailbox may not send in a name: it is another's, or its domain may not send."""
    denied = send_as_refusal(tenant, user, sender)
    if denied:
        yield denied
    if mail_rules.sending_disabled(tenant, sender):
        yield mail_rules.SENDING_DISABLED


def most_recipients(owner: Row | None) -> int:
    """Recipients that one message may have: RecipientLimits of the mailbox, up to 1000."""
    limit = str((owner or {}).get("RecipientLimits") or _DEFAULT_RECIPIENTS)
    return int(limit) if limit.isdecimal() else 1000


def size_refusal(owner: Row | None, size_bytes: int) -> str | None:
    """Why a mailbox may not send a message of this size."""
    return _TOO_LARGE if size_bytes > size_limit((owner or {}).get("MaxSendSize")) else None


def size_limit(text: object) -> float:
    """The bytes that Exchange's "35 MB (36,700,160 bytes)" means; without end where it says no number."""
    match = re.search(r"\(([\d,]+) bytes\)", str(text or ""))
    return int(match[1].replace(",", "")) if match else float("inf")


def quota_refusal(tenant: Tenant, address: str, recipients: int) -> str | None:
    """Take recipients off the 10,000 of the last 24 hours, which `recipients_sent` keeps as [instant, count] each."""
    now, sent = tenant.clock.now(), tenant.settings.setdefault("recipients_sent", {})
    recent = [[at, count] for at, count in sent.get(address, ()) if (stored_time(at) or now) > now - _DAY]
    if sum(count for _, count in recent) + recipients > _MOST_A_DAY:
        return _QUOTA
    sent[address] = [*recent, [now.isoformat(), recipients]]
    tenant.changed()
    return None


BAD_SENDER = "550 5.1.8 Access denied, bad outbound sender. AS(42004)"
"""The notice to a user who exceeded a limit of the outbound spam policy (Learn, "Remove blocked users from the
Restricted entities page")."""


def limit_refusal(tenant: Tenant, owner: Row, recipients: int) -> str | None:
    """Why the outbound spam policy of a mailbox stops a message: it would reach more recipients in a day than allowed.

    Hourly limits are not modelled.
    """
    policy = _outbound_policy(tenant, owner)
    most = int(policy.get("RecipientLimitPerDay") or 0)
    if not most or policy.get("ActionWhenThresholdReached") == "Alert":
        return None
    now, sent = tenant.clock.now(), tenant.settings.get("recipients_sent", {})
    recent = sum(count for at, count in sent.get(primary(owner), ()) if (stored_time(at) or now) > now - _DAY)
    return BAD_SENDER if recent + recipients > most else None


def restricted_refusal(tenant: Tenant, owner: Row, recipients: int) -> str | None:
    """The same for a mailbox that is listed as a restricted sender, or by this message comes to be: that is what the
    action BlockUser does; BlockUserForToday lists nobody."""
    if any(blocked_sender.blocked(tenant, name) for name in addresses(owner)):
        return BAD_SENDER
    refusal = limit_refusal(tenant, owner, recipients)
    if refusal and _outbound_policy(tenant, owner).get("ActionWhenThresholdReached") == "BlockUser":
        blocked_sender.block(tenant, primary(owner), recipients)
    return refusal


def _outbound_policy(tenant: Tenant, owner: Row) -> Mapping[str, Any]:
    """The policy of the first rule that means the mailbox, by Priority; else Default.

    Learn, "Order and precedence of email protection".
    """
    policies = {str(row.get("Name")).lower(): row for row in tenant.visible("HostedOutboundSpamFilterPolicy")}
    for rule in sorted(tenant.visible("HostedOutboundSpamFilterRule"), key=lambda row: int(row.get("Priority") or 0)):
        if rule.get("State") != "Enabled":
            continue
        if all(_sends(tenant, owner, rule, "")) and not any(_sends(tenant, owner, rule, "ExceptIf")):
            return policies.get(str(rule.get("HostedOutboundSpamFilterPolicy")).lower(), {})
    return policies.get("default", {})


def _sends(tenant: Tenant, owner: Row, rule: Row, prefix: str) -> Iterator[bool]:
    own = addresses(owner)
    if names := rule.get(f"{prefix}From"):
        yield any(folded(str(name)) in own for name in names)
    if groups := rule.get(f"{prefix}FromMemberOf"):
        yield any(str(group).lower() in groups_of(tenant, owner) for group in groups)
    if domains := rule.get(f"{prefix}SenderDomainIs"):
        yield any(domain_of(name) in {folded(str(domain)) for domain in domains} for name in own)


class MessageRate:
    """30 messages a minute: what is more is taken and delivered in the following minutes (Exchange Online limits)."""

    def __init__(self) -> None:
        self._deliveries: dict[str, list[dt.datetime]] = {}

    def due(self, address: str, now: dt.datetime) -> dt.datetime:
        """When a message that is taken now is delivered."""
        times = [due for due in self._deliveries.get(address, []) if due > now - _MINUTE]
        due = now if len(times) < _MOST_A_MINUTE else times[-_MOST_A_MINUTE] + _MINUTE
        self._deliveries[address] = [*times, due]
        return due
