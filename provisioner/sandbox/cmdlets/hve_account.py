"""High Volume Email accounts: mail users that send, with settings, allowed applications and a billing policy.

New-, Set-, Remove- and Get-MailUser with -HVEAccount; Get- and Set-HVEAccountSettings; Add- and Remove-HVEAppAccess;
Get- and Set-HVEAccountBillingPolicy; Get-BillingPolicy. Sources: Microsoft's pages of these cmdlets (2026); the columns
ReplyTo, AllowedApps, BillingPolicyId and BillingPolicyName as public scripts read them. A mail user is such an account
where `HVEAccountSettings` has a row for it. Refusals of values are ours unless their source stands beside them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

from provisioner.sandbox import passwords
from provisioner.sandbox.cmdlets import errors, recipient
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.mailbox import directory_id
from provisioner.sandbox.cmdlets.objects import (
    Noun,
    Rows,
    accepted_domains,
    find,
    find_visible,
    get,
    new_row,
    refuse_duplicate,
    server,
    set_row,
    shuffled,
    stored_values,
)
from provisioner.sandbox.cmdlets.parameters import Replace, choice, identity, string, switch, values
from provisioner.sandbox.cmdlets.recipient_search import SEARCH, chosen
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import USERS, Row, Tenant, user_names

NOUN = Noun("HVEAccountSettings", {"ReplyTo": "", "AllowedApps": [], "BillingPolicyId": ""}, key="Identity")
BILLING_POLICY = Noun("BillingPolicy", {"ResourceType": "HVE", "BillingPolicyStatus": "BillingPolicyValid"}, key="Id")
"""A seed has policies as `objects: { BillingPolicy: [{ Id: GUID, Name, BillingPolicyStatus }] }`."""

MOST_APPS = 10
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_MAIL_USER = recipient.MAIL_USER


# --- which accounts there are ----------------------------------------------------------------------------------------


def accounts(tenant: Tenant) -> list[Row]:
    """The mail users that are accounts of High Volume Email, as reads see them."""
    known = {str(row["Identity"]).lower() for row in tenant.visible(NOUN.name)}
    return [row for row in tenant.visible(_MAIL_USER.name) if str(row["Identity"]).lower() in known]


def settings_of(tenant: Tenant, account: Row) -> Row | None:
    """The settings of an account, as reads see them."""
    name = str(account["Identity"]).lower()
    return next((row for row in tenant.visible(NOUN.name) if str(row["Identity"]).lower() == name), None)


def billing_status(tenant: Tenant, settings: Row) -> tuple[str, str]:
    """Status and name of the billing policy of an account (Get-HVEAccountBillingPolicy names the values)."""
    wanted = str(settings.get("BillingPolicyId") or "").lower()
    if not wanted:
        return "NoProperBillingPolicyStored", ""
    policy = next((p for p in tenant.visible(BILLING_POLICY.name) if str(p.get("Id")).lower() == wanted), None)
    return (str(policy["BillingPolicyStatus"]), str(policy["Name"])) if policy else ("BillingPolicyNotFound", "")


def _named(tenant: Tenant, wanted: str) -> tuple[Row, Row]:
    """The account of a name and its settings, as they really are. Raises CmdletError for any other recipient."""
    account = find(tenant, _MAIL_USER, wanted)
    name = str(account["Identity"]).lower()
    settings = next((row for row in tenant.rows(NOUN.name) if str(row["Identity"]).lower() == name), None)
    if settings is None:
        raise errors.not_found(wanted, server(tenant))
    return account, settings


def _seen(tenant: Tenant, wanted: str) -> tuple[Row, Row]:
    """The same as reads see it."""
    found = [(row, settings_of(tenant, row)) for row in find_visible(tenant, _MAIL_USER, wanted)]
    if len(found) != 1 or found[0][1] is None:
        raise errors.not_found(wanted, server(tenant))
    return found[0][0], found[0][1]


# --- mail users ------------------------------------------------------------------------------------------------------


def _get(call: Call) -> Rows:
    if not call.get("HVEAccount"):
        return chosen(call, get(call, _MAIL_USER))
    wanted = call.get("Identity")
    if wanted:
        return [dict(_seen(call.tenant, wanted)[0])]
    return shuffled(call.tenant, [dict(row) for row in accounts(call.tenant)])


def _new(call: Call) -> Rows:
    tenant, name = call.tenant, str(call.get("Name"))
    if call.get("HVEAccount") is not True:
        raise errors.missing_parameters(["ExternalEmailAddress"])
    address = str(call.get("PrimarySmtpAddress") or f"{name}@{tenant.initial_domain}")
    refuse_duplicate(tenant, _MAIL_USER, name)
    _refuse_address(tenant, address)
    _refuse_password(call)
    given = {"Name": name, "PrimarySmtpAddress": address, "DisplayName": call.get("DisplayName") or name}
    more = {"UserPrincipalName": address, "ExternalDirectoryObjectId": directory_id(tenant, address)}
    row = new_row(tenant, _MAIL_USER, {**given, **more}, guid=str(uuid.uuid4()))
    call.add(_MAIL_USER.name, row)
    call.add(NOUN.name, new_row(tenant, NOUN, {"Identity": row["Identity"], "Name": name}, guid=str(uuid.uuid4())))
    if not call.dry:
        _keep_user(tenant, row)
        _keep_password(call, address)
    return [dict(row)]


def _set(call: Call) -> Rows:
    tenant = call.tenant
    account, _ = _named(tenant, str(call.get("Identity")))
    changes = stored_values(call, _SET, account)
    address = changes.get("PrimarySmtpAddress")
    if address and str(address).lower() != str(account["PrimarySmtpAddress"]).lower():
        _refuse_address(tenant, str(address))
        changes["EmailAddresses"] = [f"SMTP:{address}", f"smtp:{account['PrimarySmtpAddress']}"]
    if call.given("Password"):
        _refuse_password(call)
        if not call.dry:
            _keep_password(call, str(account["PrimarySmtpAddress"]))
    if changes or not call.given("Password"):
        set_row(call, _MAIL_USER, account, changes)
    return []


def _remove(call: Call) -> Rows:
    tenant = call.tenant
    account = find(tenant, _MAIL_USER, str(call.get("Identity")))
    name = str(account["Identity"]).lower()
    for settings in [row for row in tenant.rows(NOUN.name) if str(row["Identity"]).lower() == name]:
        call.remove(NOUN.name, settings)
    call.remove(_MAIL_USER.name, account)
    if not call.dry:
        tenant.settings.get("passwords", {}).pop(str(account["PrimarySmtpAddress"]).lower(), None)
        for user in tenant.named(USERS, user_names, str(account.get("ExternalDirectoryObjectId"))):
            tenant.remove(USERS, user)
    return []


def _refuse_address(tenant: Tenant, address: str) -> None:
    """The text about domains as Exchange's NotAcceptedDomainException is widely quoted."""
    if not _ADDRESS.fullmatch(address):
        raise errors.invalid(f'The email address "{address}" isn\'t correct.')
    if folded(address.rpartition("@")[2]) not in accepted_domains(tenant):
        raise errors.invalid(
            "You can't use the domain because it's not an accepted domain for your organization. "
            "Please use another domain."
        )
    for noun in recipient.ALL:
        if tenant.named(noun.name, noun.all_names, address):
            raise errors.address_in_use(address)


def _refuse_password(call: Call) -> None:
    """At least 8 characters of three kinds (Learn, "Self-service password reset policies", Entra password policies)."""
    password = str(call.get("Password") or "")
    kinds = ("[a-z]", "[A-Z]", "[0-9]", "[^a-zA-Z0-9]")
    if len(password) < 8 or sum(bool(re.search(kind, password)) for kind in kinds) < 3:
        raise errors.invalid("The password doesn't meet the organization's requirements for length and complexity.")


def _keep_password(call: Call, address: str) -> None:
    kept = call.tenant.settings.setdefault("passwords", {})
    kept[address.lower()] = passwords.kept(str(call.get("Password")))
    call.tenant.changed()


def _keep_user(tenant: Tenant, account: Row) -> None:
    tenant.add(USERS, {
        "id": account["ExternalDirectoryObjectId"],
        "displayName": account["DisplayName"],
        "userPrincipalName": account["UserPrincipalName"],
        "mail": account["PrimarySmtpAddress"],
        "accountEnabled": True,
        "assignedLicenses": [],
        "assignedPlans": [],
        "proxyAddresses": list(account["EmailAddresses"]),
    })  # fmt: skip


# --- settings, applications, billing ---------------------------------------------------------------------------------


def _get_settings(call: Call) -> Rows:
    """No source shows whether such a row names its account: here it does not."""
    _, settings = _seen(call.tenant, str(call.get("Identity")))
    return [{"ReplyTo": settings["ReplyTo"], "AllowedApps": list(settings["AllowedApps"])}]


def _set_settings(call: Call) -> Rows:
    _, settings = _named(call.tenant, str(call.get("Identity")))
    reply_to = str(call.get("ReplyTo") or "")
    if reply_to and not _ADDRESS.fullmatch(reply_to):
        raise errors.not_convertible("ReplyTo", reply_to, "Microsoft.Exchange.Data.SmtpAddress", "It isn't an address.")
    set_row(call, NOUN, settings, {"ReplyTo": reply_to} if call.given("ReplyTo") else {})
    return []


def _access(call: Call) -> Rows:
    """Up to ten applications, by the object id of the enterprise application (Add-HVEAppAccess)."""
    _, settings = _named(call.tenant, str(call.get("Identity")))
    apps = list(_ids(call))
    stored = [str(app) for app in settings["AllowedApps"]]
    known = {app.lower() for app in stored}
    if call.cmdlet == "Add-HVEAppAccess":
        stored += [app for app in apps if app.lower() not in known]
    else:
        stored = [app for app in stored if app.lower() not in {gone.lower() for gone in apps}]
    if len(stored) > MOST_APPS:
        raise errors.invalid(f"A High Volume Email account can have up to {MOST_APPS} allowed applications.")
    set_row(call, NOUN, settings, {"AllowedApps": stored})
    return []


def _ids(call: Call) -> Iterator[str]:
    given = call.get("AppIds")
    for app in given.values if isinstance(given, Replace) else ():
        try:
            yield str(uuid.UUID(app))
        except ValueError:
            raise errors.not_convertible("AppIds", app, "System.Guid", "It isn't a GUID.") from None


def _get_billing(call: Call) -> Rows:
    _, settings = _seen(call.tenant, str(call.get("Identity")))
    status, name = billing_status(call.tenant, settings)
    return [{"BillingPolicyId": settings["BillingPolicyId"], "BillingPolicyName": name, "BillingPolicyStatus": status}]


def _set_billing(call: Call) -> Rows:
    """The id is kept as it is given: whether there is such a policy shows in the status (BillingPolicyNotFound)."""
    _, settings = _named(call.tenant, str(call.get("Identity")))
    set_row(call, NOUN, settings, {"BillingPolicyId": str(call.get("BillingPolicyId") or "").lower()})
    return []


_NEW = (
    string("Name", required=True, max_length=64),
    switch("HVEAccount", stored=False),
    string("Password", required=True, stored=False),
    string("PrimarySmtpAddress"),
    string("DisplayName", max_length=256),
)
_SET = (
    identity(),
    switch("HVEAccount", stored=False),
    string("DisplayName", max_length=256),
    string("PrimarySmtpAddress"),
    string("Password", stored=False),
)

CMDLETS = (
    Cmdlet("Get-MailUser", (identity(required=False), *SEARCH, switch("HVEAccount", stored=False)), _get),
    Cmdlet("New-MailUser", _NEW, _new),
    Cmdlet("Set-MailUser", _SET, _set),
    Cmdlet("Remove-MailUser", (identity(),), _remove),
    Cmdlet("Get-HVEAccountSettings", (identity(),), _get_settings),
    Cmdlet("Set-HVEAccountSettings", (identity(), string("ReplyTo", stored=False)), _set_settings),
    *(
        Cmdlet(f"{verb}-HVEAppAccess", (identity(), values("AppIds", required=True, stored=False)), _access)
        for verb in ("Add", "Remove")
    ),
    Cmdlet("Get-HVEAccountBillingPolicy", (identity(),), _get_billing),
    Cmdlet(
        "Set-HVEAccountBillingPolicy",
        (identity(), string("BillingPolicyId", required=True, stored=False)),
        _set_billing,
    ),
    Cmdlet(
        "Get-BillingPolicy",
        (identity(required=False), choice("ResourceType", "BillingResourceType", "HVE", stored=False)),
        lambda call: get(call, BILLING_POLICY),
    ),
)
