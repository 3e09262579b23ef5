"""One file per resource type. A new type is its file and a line here."""

from __future__ import annotations

from typing import Any

from provisioner.model import ResourceType
from provisioner.resources.accepted_domain import AcceptedDomainType
from provisioner.resources.application_role_assignment import ApplicationRoleAssignmentType
from provisioner.resources.authentication_policy import AuthenticationPolicyType
from provisioner.resources.connection_filter import ConnectionFilterType
from provisioner.resources.dkim import DkimType
from provisioner.resources.dns_record import DnsRecordType
from provisioner.resources.domain import DomainType
from provisioner.resources.hve_account import HveAccountType
from provisioner.resources.inbound_connector import InboundConnectorType
from provisioner.resources.mailbox import MailboxType
from provisioner.resources.mailbox_permission import MailboxPermissionType
from provisioner.resources.mailbox_selection import MailboxSelectionType
from provisioner.resources.organization import OrganizationType
from provisioner.resources.outbound_connector import OutboundConnectorType
from provisioner.resources.outbound_spam_policy import OutboundSpamPolicyType
from provisioner.resources.policy_assignment import PolicyAssignmentType
from provisioner.resources.remote_domain import RemoteDomainType
from provisioner.resources.send_as import SendAsType
from provisioner.resources.service_principal import ServicePrincipalType
from provisioner.resources.smtp_auth import SmtpAuthType
from provisioner.resources.transport_config import TransportConfigType
from provisioner.resources.transport_rule import TransportRuleType

TYPES: tuple[ResourceType[Any], ...] = (
    DomainType(),
    AcceptedDomainType(),
    MailboxType(),
    OrganizationType(),
    TransportConfigType(),
    ConnectionFilterType(),
    SmtpAuthType(),
    MailboxSelectionType(),
    AuthenticationPolicyType(),
    PolicyAssignmentType(),
    SendAsType(),
    HveAccountType(),
    ServicePrincipalType(),
    MailboxPermissionType(),
    ApplicationRoleAssignmentType(),
    InboundConnectorType(),
    OutboundConnectorType(),
    TransportRuleType(),
    RemoteDomainType(),
    OutboundSpamPolicyType(),
    DkimType(),
    DnsRecordType(),
)
"""All types, in the order in which their changes are shown."""
