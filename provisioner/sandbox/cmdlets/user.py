"""Users as Exchange shows them: Get-User, and Set-User for the authentication policy.

Every mailbox has a user, and every mail user is one. What is kept here is only what their own rows do not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from provisioner.sandbox.cmdlets import authentication_policy, errors, mailbox, opath
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, each, find, new_row, no_change, shuffled
from provisioner.sandbox.cmdlets.parameters import identity, string
from provisioner.sandbox.cmdlets.recipient import MAIL_USER
from provisioner.sandbox.cmdlets.recipient_search import DETAILS, FILTERABLE, SEARCH, chosen
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.generated import chained
from provisioner.sandbox.tenant import Row, Tenant

NOUN = Noun(
    "User",
    {"AuthenticationPolicy": None},
    container="OU=",
    category="Person",
    object_class=("top", "person", "organizationalPerson", "user"),
    key="Identity",
)

_KINDS = (mailbox.NOUN, MAIL_USER)
_SHARED = ("Identity", "Name", "DisplayName", "UserPrincipalName", "DistinguishedName", "Guid", "RecipientTypeDetails")


def _named(tenant: Tenant, wanted: str) -> Row:
    """The one user of this name. Raises CmdletError."""
    found = [row for noun in _KINDS for row in tenant.named(noun.name, noun.all_names, wanted)]
    if len(found) > 1:
        raise errors.matches_many(wanted)
    return found[0] if found else find(tenant, mailbox.NOUN, wanted)


def _shown(owner: Row, policies: dict[str, object]) -> Row:
    row = {column: owner.get(column) for column in _SHARED}
    row["WindowsEmailAddress"] = owner.get("PrimarySmtpAddress")
    row["AuthenticationPolicy"] = policies.get(str(owner["Identity"]).lower())
    return row


def _get(call: Call) -> Rows:
    tenant, wanted = call.tenant, call.get("Identity")
    owners = [_named(tenant, wanted)] if wanted else chained(*(tenant.rows(noun.name) for noun in _KINDS))
    policies = {str(row["Identity"]).lower(): row["AuthenticationPolicy"] for row in tenant.visible(NOUN.name)}
    properties = {**_FILTERABLE, "authenticationpolicy": _policy_names(tenant, policies)}
    found = shuffled(tenant, each(owners, dict))
    return each(chosen(call, found, properties), lambda owner: _shown(owner, policies))


def _policy_names(tenant: Tenant, policies: Mapping[str, object]) -> opath.Values:
    """The distinguished name of a user's policy, by which alone it is filtered.

    Source: Learn, "Disable Basic authentication in Exchange Online", on finding the users of a policy.
    """
    named = {
        str(row.get("Name")).lower(): row.get("DistinguishedName") for row in tenant.visible("AuthenticationPolicy")
    }

    def values(owner: Row) -> Iterable[object]:
        policy = policies.get(str(owner["Identity"]).lower())
        return [named.get(str(policy).lower())] if policy else []

    return values


_FILTERABLE = {**FILTERABLE, "windowsemailaddress": opath.column("PrimarySmtpAddress")}


_REFRESHED_S = 30 * 60
"""Until a policy counts for a user whose tokens were refreshed (Learn, "Disable Basic authentication …")."""


def _set(call: Call) -> Rows:
    tenant = call.tenant
    owner = _named(tenant, call.get("Identity"))
    policy = call.get("AuthenticationPolicy")
    if policy:
        policy = find(tenant, authentication_policy.NOUN, policy)["Name"]
    name = str(owner["Identity"])
    there = [row for row in tenant.rows(NOUN.name) if str(row["Identity"]).lower() == name.lower()]
    if call.get("STSRefreshTokensValidFrom") and not call.dry:
        tenant.cache_for(("policy", name.lower()), _REFRESHED_S)
    if call.given("STSRefreshTokensValidFrom") and not call.given("AuthenticationPolicy"):
        return []
    if not call.given("AuthenticationPolicy") or (there[0]["AuthenticationPolicy"] if there else None) == policy:
        no_change(call, owner)
    elif there:
        call.update(NOUN.name, there[0], {"AuthenticationPolicy": policy})
    else:
        call.add(NOUN.name, new_row(tenant, NOUN, {"Identity": name, "Name": name, "AuthenticationPolicy": policy}))
    return []


CMDLETS = (
    Cmdlet("Get-User", (identity(required=False), *SEARCH, DETAILS), _get),
    Cmdlet(
        "Set-User",
        (
            identity(),
            string("AuthenticationPolicy", nullable=True, stored=False),
            string("STSRefreshTokensValidFrom", stored=False),
        ),
        _set,
    ),
)
