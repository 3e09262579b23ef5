"""Outbound connectors: Get only. Their columns are others than an inbound connector's."""

from __future__ import annotations

from provisioner.sandbox.cmdlets.objects import Noun
from provisioner.sandbox.cmdlets.parameters import boolean
from provisioner.sandbox.cmdlets.table import get_cmdlet

NOUN = Noun(
    "OutboundConnector",
    {
        "Enabled": True,
        "UseMXRecord": True,
        "Comment": "",
        "ConnectorType": "Partner",
        "ConnectorSource": "Default",
        "RecipientDomains": [],
        "SmartHosts": [],
        "TlsDomain": None,
        "TlsSettings": None,
        "IsTransportRuleScoped": False,
        "RouteAllMessagesViaOnPremises": False,
        "CloudServicesMailEnabled": False,
        "AllAcceptedDomains": False,
        "SenderRewritingEnabled": False,
        "MtaStsMode": "Opportunistic",
        "SmtpDaneMode": "Opportunistic",
        "TestMode": False,
        "LinkForModifiedConnector": "00000000-0000-0000-0000-000000000000",
        "ValidationRecipients": None,
        "IsValidated": False,
        "LastValidationTimestamp": None,
    },
    category="ms-Exch-SMTP-Outbound-Connector",
    object_class=("top", "msExchSMTPOutboundConnector"),
    exchange_version="0.1 (8.0.535.0)",
)
CMDLETS = (get_cmdlet(NOUN, boolean("IncludeTestModeConnectors"), boolean("IsTransportRuleScoped")),)
