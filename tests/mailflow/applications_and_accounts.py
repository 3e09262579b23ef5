"""What applications and accounts of High Volume Email add to a generated tenant; their attempts and refusals.

An application has any part of what it needs: its registration in Exchange (with the right object id or another),
consent, FullAccess, a role on some mailboxes. An account has a billing policy and applications that may sign in as it,
each of them or not.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.mailflow import Attempt
from provisioner.model import Address
from provisioner.resources.application_role_assignment import scope_name
from provisioner.sandbox import hve_rules, mail_rules, submission_rules
from provisioner.sandbox.apps import ensure_standard_apps
from provisioner.sandbox.cmdlets import run_cmdlet
from provisioner.sandbox.mail_directory import account_of, owner_of, primary
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.port import ADMINISTRATOR

APP, APP_OBJECT, WRONG_OBJECT = (f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-00000000000a" for n in "345")
STRANGER = "66666666-0000-4000-8000-00000000000a"
MAILBOXES = ("erp@contoso.com", "shared@contoso.com")
NEWS, GHOST = "news@contoso.com", "ghost@contoso.com"
PAYS = "77777777-0000-4000-8000-00000000000a"
_EXCHANGE = "https://outlook.office365.com"
_ROLE = "SMTP.SendAsApp"

REASONS = {
    "535 5.7.3 application": ("application_unregistered", "no_consent", "not_in_scope"),
    "430 4.2.0": ("no_mailbox_right",),
    "no such account": ("no_hve_account",),
    "no valid billing policy": ("hve_billing",),
    "535 5.7.240": ("hve_app_not_allowed",),
    "550 5.5.105": ("hve_external",),
}
"""A reason of ours by the sandbox's words. It answers all that a token lacks alike (535 5.7.3)."""

OF_TOKENS = frozenset(REASONS["535 5.7.3 application"])


def equip(choose: random.Random, tenant: Tenant) -> None:
    """Give a tenant an application and an account, each with a part of what it needs."""
    consented = [_ROLE] if choose.random() < 0.6 else []
    tenant.apps.append({"appId": APP, "objectId": APP_OBJECT, "displayName": "erp", "appRoles": {_EXCHANGE: consented}})
    ensure_standard_apps(tenant)

    def run(name: str, **parameters: Any) -> None:
        run_cmdlet(tenant, ADMINISTRATOR, name, parameters)

    if choose.random() < 0.85:
        known = APP_OBJECT if choose.random() < 0.85 else WRONG_OBJECT
        run("New-ServicePrincipal", AppId=APP, ObjectId=known, DisplayName="erp")
        for mailbox in MAILBOXES:
            if choose.random() < 0.5:
                run("Add-MailboxPermission", Identity=mailbox, User=known, AccessRights=["FullAccess"])
        held = [mailbox for mailbox in MAILBOXES if choose.random() < 0.3]
        if held:
            name = scope_name(f"{APP} {_ROLE}")
            text = " -or ".join(f"EmailAddresses -eq '{mailbox}'" for mailbox in held)
            run("New-ManagementScope", Name=name, RecipientRestrictionFilter=text)
            run("New-ManagementRoleAssignment", Name=name, App=known, Role=f"Application {_ROLE}",
                CustomResourceScope=name)  # fmt: skip
    if choose.random() < 0.85:
        _account(choose, tenant, run)


def _account(choose: random.Random, tenant: Tenant, run: Any) -> None:
    domains = {str(row["DomainName"]) for row in tenant.rows("AcceptedDomain")}
    assert "contoso.com" in domains
    run("New-MailUser", HVEAccount=True, Name="news", PrimarySmtpAddress=NEWS, Password="Secret123")
    if choose.random() < 0.7:
        status = choose.choice(("BillingPolicyValid", "BillingPolicyValid", "BillingPolicyValid",
                                "SubscriptionIsNotActive"))  # fmt: skip
        tenant.add("BillingPolicy", {"Id": PAYS, "Name": "pays", "ResourceType": "HVE", "BillingPolicyStatus": status})
        run("Set-HVEAccountBillingPolicy", Identity=NEWS, BillingPolicyId=PAYS)
    if choose.random() < 0.5:
        run("Add-HVEAppAccess", Identity=NEWS, AppIds=[APP_OBJECT])


def attempt_of(choose: random.Random) -> Attempt:
    """An attempt of an application, or of an account, with a password or as an application."""
    external = choose.random() < 0.3
    if choose.random() < 0.5:
        client = STRANGER if choose.random() < 0.05 else APP
        return Attempt(choose.choice(("", "", "bills@contoso.com", MAILBOXES[0])), external, authentication="oauth",
                       mailbox=choose.choice(MAILBOXES), application=True, client_id=client)  # fmt: skip
    recipients = 1 if choose.random() < 0.85 else 51
    return Attempt(
        choose.choice((NEWS, NEWS, NEWS, "", "bills@contoso.com")),
        choose.random() < 0.1,
        authentication=choose.choice(("basic", "oauth")),
        mailbox=NEWS if choose.random() < 0.9 else GHOST,
        application=True,
        client_id=APP,
        hve=True,
        recipients=recipients,
    )


def _claims(tenant: Tenant, client: str, *, hve: bool) -> Mapping[str, Any]:
    """What the token of an application says: its ids, and the permissions that somebody consented to."""
    app = next((a for a in tenant.apps if a["appId"] == client), {})
    roles = [*app.get("appRoles", {}).get(_EXCHANGE, ()), *(["Mail.Send"] if hve else [])]
    return {"appid": client, "oid": app.get("objectId", client), "roles": roles}


def of_application(tenant: Tenant, attempt: Attempt) -> Iterator[str]:
    """What the sandbox has against an application at a mailbox, besides what holds for each sign-in."""
    claims, owner = _claims(tenant, attempt.client_id, hve=False), owner_of(tenant, attempt.mailbox)
    assert owner is not None
    others = set(submission_rules.mailbox_refusals(tenant, owner))
    refusal = submission_rules.token_refusal(tenant, attempt.mailbox, claims)
    principal = submission_rules.service_principal(tenant, claims)
    if refusal == submission_rules.REFUSED and (
        refusal not in others or principal is None or not _has_way(tenant, attempt, claims)
    ):
        yield "535 5.7.3 application"
    opening = submission_rules.opening_refusal(tenant, attempt.mailbox, claims)
    if opening and principal is not None:
        yield opening


def _has_way(tenant: Tenant, attempt: Attempt, claims: Mapping[str, Any]) -> bool:
    principal, owner = submission_rules.service_principal(tenant, claims), owner_of(tenant, attempt.mailbox)
    assert principal is not None
    assert owner is not None
    return _ROLE in claims["roles"] or submission_rules._assigned(tenant, principal, owner)


def of_account(tenant: Tenant, attempt: Attempt) -> Iterator[str]:
    """Every refusal of the sandbox's host of High Volume Email, of a password that is right or of a token."""
    account = account_of(tenant, attempt.mailbox)
    if account is None:
        yield "no such account"
    elif attempt.authentication == "basic":
        yield from submission_rules.disabled_refusals(tenant, account)
        defaults, policy = submission_rules._SECURITY_DEFAULTS, submission_rules._BASIC_DISABLED
        yield from submission_rules.basic_refusals(tenant, account, defaults, policy)
    else:
        refusal = hve_rules.token_refusal(tenant, attempt.mailbox, _claims(tenant, attempt.client_id, hve=True))
        yield from [refusal] if refusal else []
    billing = hve_rules.sender_refusal(tenant, account) if account is not None else None
    yield from [billing] if billing else []
    if attempt.external:
        yield "550 5.5.105"
    if attempt.recipients > hve_rules.MOST_RECIPIENTS:
        yield submission_rules.TOO_MANY_RECIPIENTS
    name = attempt.sender or attempt.mailbox
    if name != (primary(account) if account is not None else attempt.mailbox):
        yield submission_rules.send_as_denied(attempt.mailbox, name)
    if attempt.sender and mail_rules.sending_disabled(tenant, attempt.sender):
        yield mail_rules.SENDING_DISABLED


ROLES = frozenset(Address("application_role_assignment", f"{client} {_ROLE}") for client in (APP, STRANGER))
OBJECTS = ROLES.union(
    (Address("mailbox_permission", f"{client} on {box}") for client in (APP, STRANGER) for box in MAILBOXES),
    (Address("service_principal", client) for client in (APP, STRANGER)),
    (Address("hve_account", address) for address in (NEWS, GHOST)),
)
"""The objects that are looked up for them."""
