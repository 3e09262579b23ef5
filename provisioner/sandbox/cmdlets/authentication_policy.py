"""Authentication policies: which protocols take a password from the users of a policy.

New blocks every protocol that is not named (New-AuthenticationPolicy; Learn, "Disable Basic authentication in Exchange
Online"). A name is at most 64 characters long, and Set has none. The setting `set_authentication_policy_fails` makes
Set refuse as it did for years (Microsoft365DSC issue 4819).
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, create, remove, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import identity, string, switch
from provisioner.sandbox.cmdlets.table import Cmdlet, get_cmdlet
from provisioner.sandbox.tenant import Row, Tenant

_PROTOCOLS = (
    "ActiveSync", "Autodiscover", "Imap", "Mapi", "OfflineAddressBook", "OutlookService", "Pop", "Powershell",
    "ReportingWebServices", "Rpc", "Smtp", "WebServices",
)  # fmt: skip
_UNDOCUMENTED = "Rest"  # Get shows it, and no parameter sets it (OfficeDocs-Exchange issue 1561)

NOUN = Noun(
    "AuthenticationPolicy",
    {f"AllowBasicAuth{protocol}": False for protocol in (*_PROTOCOLS, _UNDOCUMENTED)},
    container="CN=Auth Policies,CN=Configuration",
    category="ms-Exch-Auth-Policy",
    object_class=("top", "msExchAuthPolicy"),
    leaks=True,
)
_ALLOWED = tuple(switch(f"AllowBasicAuth{protocol}") for protocol in _PROTOCOLS)


def _new(call: Call) -> Rows:
    name = str(call.get("Name") or "").strip()
    if not name:
        raise errors.null_argument("Name")
    return create(call, NOUN, {"Name": name, **stored_values(call, _ALLOWED, {})})


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    if call.tenant.settings.get("set_authentication_policy_fails"):
        raise errors.null_reference()
    set_row(call, NOUN, row, stored_values(call, _ALLOWED, row))
    return []


def _remove(call: Call) -> Rows:
    """What happens to a policy that is in use is not published; the strict answer stands here (text ours)."""
    row = target(call, NOUN)
    users = list(_in_use(call.tenant, row))
    if users:
        named = ", ".join(users[:3])
        text = f"The authentication policy '{row['Name']}' can't be removed because it's still assigned to: {named}."
        raise errors.invalid(text)
    return remove(call, NOUN)


def _in_use(tenant: Tenant, policy: Row) -> Iterator[str]:
    """The users and the organization that have the policy."""
    names = {str(name).lower() for name in NOUN.all_names(policy)}
    for noun, column in (("User", "AuthenticationPolicy"), ("OrganizationConfig", "DefaultAuthenticationPolicy")):
        for row in tenant.rows(noun):
            if str(row.get(column) or "").lower() in names:
                yield str(row.get("Identity") or row.get("Name"))


CMDLETS = (
    get_cmdlet(NOUN),
    Cmdlet("New-AuthenticationPolicy", (string("Name", max_length=64, stored=False, required=True), *_ALLOWED), _new),
    Cmdlet("Set-AuthenticationPolicy", (identity(), *_ALLOWED), _set),
    Cmdlet("Remove-AuthenticationPolicy", (identity(),), _remove),
)
