"""Who may sign in at the host of High Volume Email, and to whom it may send. Decisions only, no I/O.

An account has neither the switches for SMTP AUTH nor a mailbox's limits; security defaults, authentication policies and
Conditional Access hold for it (Learn, "Manage high volume emails for Microsoft 365" and its page of troubleshooting,
whose answers are these). What is answered without a valid billing policy is not published: the text is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import hve_account
from provisioner.sandbox.mail_directory import accepted, account_of, domain_of, primary
from provisioner.sandbox.submission_rules import (
    REFUSED,
    Lockout,
    basic_refusals,
    credential_refusal,
    disabled_refusals,
)
from provisioner.sandbox.tenant import Row, Tenant

_UNSUCCESSFUL = "Authentication unsuccessful, the"
_NOT_ALLOWED = f"535 5.7.139 {_UNSUCCESSFUL} organization configuration does not allow this authentication request."
_APP_NOT_ALLOWED = f"535 5.7.240 {_UNSUCCESSFUL} application is not allowed for use with this High Volume Email account"
_PERMISSION = "535 5.7.3 Authentication unsuccessful, Invalid API permissions"
_NO_BILLING = "550 5.7.1 The High Volume Email account has no valid billing policy ({status})"
_EXTERNAL = "550 5.5.105 External sending is not supported for High Volume Email"
_TOO_LARGE = "552 5.3.4 Message size exceeds fixed maximum message size"

MOST_RECIPIENTS = 50
_MOST_BYTES = 10 * 2**20


def password_refusal(tenant: Tenant, lockout: Lockout, user: str, password: str) -> str | None:
    """Why an account may not sign in with a password; None where it may."""
    account = account_of(tenant, user)
    wrong = credential_refusal(tenant, lockout, account, password)
    return wrong if wrong or account is None else next(_password_refusals(tenant, account), None)


def _password_refusals(tenant: Tenant, account: Row) -> Iterator[str]:
    yield from disabled_refusals(tenant, account)
    yield from basic_refusals(tenant, account, _NOT_ALLOWED, _NOT_ALLOWED)


def token_refusal(tenant: Tenant, user: str, claims: Mapping[str, Any]) -> str | None:
    """Why a genuine token does not sign in as an account: an application needs Mail.Send, and must be an allowed one.

    A person's token is the account's own (Learn, "OAuth for High Volume Email").
    """
    account = account_of(tenant, user)
    if account is None:
        return REFUSED
    if "scp" in claims:
        own = primary(account) in {str(claims.get(name) or "").lower() for name in ("upn", "unique_name")}
        return None if own else REFUSED
    if "Mail.Send" not in claims.get("roles", ()):
        return _PERMISSION
    settings = hve_account.settings_of(tenant, account) or {}
    allowed = {str(app).lower() for app in settings.get("AllowedApps") or ()}
    return None if str(claims.get("oid", "")).lower() in allowed else _APP_NOT_ALLOWED


def sender_refusal(tenant: Tenant, account: Row) -> str | None:
    """Why an account that has signed in may not send: billing."""
    status, _ = hve_account.billing_status(tenant, hve_account.settings_of(tenant, account) or {})
    return None if status == "BillingPolicyValid" else _NO_BILLING.format(status=status)


def recipient_refusal(tenant: Tenant, recipient: str) -> str | None:
    """Why a recipient is refused: only those of the organization are reached."""
    return _EXTERNAL if accepted(tenant, domain_of(recipient)) is None else None


def size_refusal(size_bytes: int) -> str | None:
    """Why a message of this size is refused."""
    return _TOO_LARGE if size_bytes > _MOST_BYTES else None
