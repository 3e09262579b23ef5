"""What an organization shares with others, as tools that inspect a tenant read it: Get- alone.

ScubaGear asks for all three (ExportEXOProvider.psm1); rows of an export are kept as they came. The default sharing
policy is that of Microsoft's page "Sharing policies in Exchange Online".
"""

from __future__ import annotations

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.table import get_cmdlet

_EVERYBODY = ["Anonymous:CalendarSharingFreeBusyReviewer", "*:CalendarSharingFreeBusySimple"]
POLICY = Noun(
    "SharingPolicy",
    {"Domains": [], "Enabled": True, "Default": False},
    container="CN=Federation,CN=Configuration",
    builtin=lambda _: [{"Name": "Default Sharing Policy", "Domains": list(_EVERYBODY), "Default": True}],
)
NOUNS = (
    POLICY,
    Noun(
        "OrganizationRelationship",
        {"DomainNames": [], "Enabled": True, "FreeBusyAccessEnabled": False, "MailTipsAccessEnabled": False},
        container="CN=Federation,CN=Configuration",
    ),
    Noun(
        "IntraOrganizationConnector",
        {"TargetAddressDomains": [], "DiscoveryEndpoint": None, "Enabled": True},
        container="CN=Intra Organization Connectors,CN=Configuration",
    ),
)

CMDLETS = tuple(get_cmdlet(noun) for noun in NOUNS)
