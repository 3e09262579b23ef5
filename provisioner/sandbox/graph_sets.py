"""The types of Microsoft Graph's directory: which properties each has, may be filtered on, and shows without $select.

Sources: Learn, "user resource type", "group resource type", "application resource type", "List users".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioner.sandbox import enterprise_apps
from provisioner.sandbox.graph_calls import Row

_COLLECTIONS = frozenset({
    "addIns", "addresses", "alternativeNames", "appRoles", "assignedLicenses", "assignedPlans", "businessPhones",
    "groupTypes", "identifierUris", "imAddresses", "keyCredentials", "licenseAssignmentStates",
    "oauth2PermissionScopes", "otherMails", "passwordCredentials", "phones", "provisionedPlans", "proxyAddresses",
    "replyUrls", "requiredResourceAccess", "resourceBehaviorOptions", "resourceProvisioningOptions",
    "servicePrincipalNames", "tags",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class EntitySet:
    """A collection of one type: its properties, those that may be filtered on, those shown without $select.

    `default` None shows a row as it is kept. Of `words` each word is searched, of any other property the beginning
    (Learn, "Use the $search query parameter", "Using $search on directory object collections"). `advanced` are those
    that only an advanced query may filter on, `ordered` those that compare with `ge` and its kin. The limits of
    advanced queries are those of the `directory`; logs and policies have none.
    """

    name: str
    kind: str
    known: frozenset[str]
    filterable: frozenset[str]
    default: tuple[str, ...] | None = None
    searchable: frozenset[str] = frozenset({"displayName", "description", "mail", "mailNickname"})
    words: frozenset[str] = frozenset({"displayName", "description"})
    advanced: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    directory: bool = True

    def property_named(self, name: str) -> str | None:
        """The property of this name in any case (graph-explorer issue 2111: `$select=AccountEnabled` for users)."""
        return next((own for own in self.known if own.lower() == name.lower()), None)


# What a user answers without $select (https://learn.microsoft.com/graph/api/user-list, "default set of properties").
_USER = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
    "preferredLanguage", "surname", "userPrincipalName", "id",
)  # fmt: skip
_USER_KNOWN = frozenset(_USER) | {
    "aboutMe", "accountEnabled", "ageGroup", "assignedLicenses", "assignedPlans", "authorizationInfo", "birthday",
    "city", "companyName", "consentProvidedForMinor", "country", "createdDateTime", "creationType",
    "customSecurityAttributes", "deletedDateTime", "department", "employeeHireDate", "employeeId",
    "employeeLeaveDateTime", "employeeOrgData", "employeeType", "externalUserState", "externalUserStateChangeDateTime",
    "faxNumber", "hireDate", "identities", "imAddresses", "interests", "isManagementRestricted", "isResourceAccount",
    "lastPasswordChangeDateTime", "legalAgeGroupClassification", "licenseAssignmentStates", "mailNickname", "mySite",
    "onPremisesDistinguishedName", "onPremisesDomainName", "onPremisesExtensionAttributes", "onPremisesImmutableId",
    "onPremisesLastSyncDateTime", "onPremisesProvisioningErrors", "onPremisesSamAccountName",
    "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "onPremisesUserPrincipalName", "otherMails",
    "passwordPolicies", "passwordProfile", "pastProjects", "perUserMfaState", "postalCode", "preferredDataLocation",
    "preferredName", "provisionedPlans", "proxyAddresses", "responsibilities", "schools", "securityIdentifier",
    "serviceProvisioningErrors", "showInAddressList", "signInActivity", "signInSessionsValidFromDateTime", "skills",
    "state", "streetAddress", "usageLocation", "userType",
}  # fmt: skip
# Learn, "Advanced query capabilities on Microsoft Entra ID objects", the table of $filter by property.
_USER_FILTERABLE = frozenset({
    "accountEnabled", "ageGroup", "assignedLicenses", "assignedPlans", "businessPhones", "city",
    "consentProvidedForMinor", "country", "createdDateTime", "creationType", "department", "displayName", "employeeId",
    "givenName", "id", "identities", "imAddresses", "isResourceAccount", "jobTitle", "mail", "mailNickname",
    "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "onPremisesUserPrincipalName", "otherMails",
    "proxyAddresses", "signInActivity", "state", "surname", "usageLocation", "userPrincipalName", "userType",
})  # fmt: skip
_USER_ADVANCED = frozenset({
    "companyName", "employeeHireDate", "employeeType", "mobilePhone", "officeLocation", "onPremisesExtensionAttributes",
    "onPremisesImmutableId", "onPremisesLastSyncDateTime", "onPremisesSamAccountName", "passwordPolicies", "postalCode",
    "preferredLanguage", "showInAddressList", "streetAddress",
})  # fmt: skip
USER_WRITABLE = frozenset({
    "accountEnabled", "businessPhones", "city", "companyName", "country", "department", "displayName", "employeeId",
    "givenName", "jobTitle", "mailNickname", "mobilePhone", "officeLocation", "otherMails", "postalCode",
    "preferredLanguage", "state", "streetAddress", "surname", "usageLocation", "userPrincipalName", "userType",
})  # fmt: skip
USER_SET = EntitySet(
    "users",
    "user",
    _USER_KNOWN,
    _USER_FILTERABLE,
    _USER,
    frozenset({"displayName", "givenName", "mail", "mailNickname", "surname", "userPrincipalName"}),
    advanced=_USER_ADVANCED,
    ordered=frozenset({"createdDateTime", "employeeHireDate", "onPremisesLastSyncDateTime"}),
)

_GROUP = (
    "id", "deletedDateTime", "classification", "createdDateTime", "creationOptions", "description", "displayName",
    "expirationDateTime", "groupTypes", "isAssignableToRole", "mail", "mailEnabled", "mailNickname", "membershipRule",
    "membershipRuleProcessingState", "onPremisesDomainName", "onPremisesLastSyncDateTime", "onPremisesNetBiosName",
    "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "preferredDataLocation",
    "preferredLanguage", "proxyAddresses", "renewedDateTime", "resourceBehaviorOptions", "resourceProvisioningOptions",
    "securityEnabled", "securityIdentifier", "theme", "visibility",
)  # fmt: skip
# "group resource type": what only $select returns.
_GROUP_ASKED = frozenset({
    "allowExternalSenders", "assignedLabels", "assignedLicenses", "autoSubscribeNewMembers",
    "hasMembersWithLicenseErrors", "hideFromAddressLists", "hideFromOutlookClients", "isArchived", "isSubscribedByMail",
    "licenseProcessingState", "unseenCount",
})  # fmt: skip
GROUPS = EntitySet(
    "groups",
    "group",
    frozenset(_GROUP) | _GROUP_ASKED,
    frozenset({
        "id", "createdDateTime", "description", "displayName", "groupTypes", "isAssignableToRole", "mail",
        "mailEnabled", "mailNickname", "onPremisesSyncEnabled", "proxyAddresses", "resourceProvisioningOptions",
        "securityEnabled", "visibility",
    }),
    _GROUP,
)  # fmt: skip
_APPLICATION = (
    "id", "appId", "applicationTemplateId", "createdDateTime", "deletedDateTime", "description",
    "disabledByMicrosoftStatus", "displayName", "identifierUris", "isFallbackPublicClient", "keyCredentials", "notes",
    "passwordCredentials", "publisherDomain", "requiredResourceAccess", "signInAudience", "tags",
)  # fmt: skip
# "application resource type": what applications of a seed do not have, and clients ask for.
_APPLICATION_ASKED = frozenset({
    "addIns", "api", "appRoles", "certification", "defaultRedirectUri", "groupMembershipClaims", "info",
    "isDeviceOnlyAuthSupported", "optionalClaims", "parentalControlSettings", "publicClient",
    "requestSignatureVerification", "samlMetadataUrl", "serviceManagementReference", "spa", "tokenEncryptionKeyId",
    "uniqueName", "verifiedPublisher", "web",
})  # fmt: skip
APPLICATIONS = EntitySet(
    "applications",
    "application",
    frozenset(_APPLICATION) | _APPLICATION_ASKED,
    frozenset({"id", "appId", "createdDateTime", "displayName", "identifierUris", "publisherDomain", "signInAudience"}),
    _APPLICATION,
)
PRINCIPALS = EntitySet(
    "servicePrincipals", "servicePrincipal", enterprise_apps.KNOWN, enterprise_apps.FILTERABLE,
    advanced=frozenset({"appOwnerOrganizationId"}),
)  # fmt: skip
ROLES = EntitySet(
    "directoryRoles", "directoryRole", frozenset({"id", "displayName", "description", "roleTemplateId"}),
    frozenset({"id", "displayName", "roleTemplateId"}),
)  # fmt: skip
_CONTACT = (
    "id", "addresses", "companyName", "department", "displayName", "givenName", "jobTitle", "mail", "mailNickname",
    "onPremisesSyncEnabled", "phones", "proxyAddresses", "surname",
)  # fmt: skip
CONTACTS = EntitySet(
    "contacts",
    "orgContact",
    frozenset(_CONTACT),
    frozenset({"displayName", "mail", "mailNickname", "onPremisesSyncEnabled", "proxyAddresses"}),
    _CONTACT,
)
_GRANT = frozenset({"id", "clientId", "consentType", "principalId", "resourceId", "scope"})
GRANTS = EntitySet("oauth2PermissionGrants", "oAuth2PermissionGrant", _GRANT, _GRANT)
# Of several types: what a row has is shown as it is.
_OF_EACH = frozenset(_GROUP) | _GROUP_ASKED | enterprise_apps.KNOWN | _USER_KNOWN | {"roleTemplateId"}
OBJECTS = EntitySet("directoryObjects", "directoryObject", _OF_EACH, frozenset({"id", "displayName", "mail"}))

# Of a collection of several types: the properties of each, and what it shows without $select.
_TYPES: Mapping[str, tuple[frozenset[str], tuple[str, ...] | None]] = {
    f"#microsoft.graph.{entities.kind}": (entities.known, entities.default if entities is USER_SET else None)
    for entities in (USER_SET, GROUPS, APPLICATIONS, PRINCIPALS, ROLES, CONTACTS)
}


def project(row: Row, select: Sequence[str] | None) -> Row:
    """The columns of a row that were asked for, as far as its type has them; of a list that lacks, an empty one."""
    known, default = _TYPES.get(str(row.get("@odata.type")), (None, None))
    select = default if select is None else select
    if select is None:
        return row
    names = (name for name in select if known is None or name in known)
    return {name: row.get(name, [] if name in _COLLECTIONS else None) for name in names}


def typed(row: Row, shown: Row) -> Row:
    """With the type first, in collections of objects of several types."""
    return {"@odata.type": row["@odata.type"], **shown} if "@odata.type" in row else shown
