"""The organization's transport settings: one row, Get and Set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.sandbox.cmdlets import errors
from provisioner.sandbox.cmdlets.calls import Call
from provisioner.sandbox.cmdlets.objects import Noun, Rows, get, set_row, stored_values, target
from provisioner.sandbox.cmdlets.parameters import boolean, choice, integer, string, timespan
from provisioner.sandbox.cmdlets.table import Cmdlet
from provisioner.sandbox.tenant import Tenant


def _builtin(_: Tenant) -> Iterable[Mapping[str, Any]]:
    return ({"Name": "Transport Settings"},)


NOUN = Noun(
    "TransportConfig",
    {
        "TLSReceiveDomainSecureList": [],
        "TLSSendDomainSecureList": [],
        "GenerateCopyOfDSNFor": [],
        "InternalSMTPServers": [],
        "JournalingReportNdrTo": "<>",
        "OrganizationFederatedMailbox": "<>",
        "MaxDumpsterSizePerDatabase": "18 MB (18,874,368 bytes)",
        "MaxDumpsterTime": "7.00:00:00",
        "VerifySecureSubmitEnabled": False,
        "ClearCategories": True,
        "AddressBookPolicyRoutingEnabled": False,
        "ConvertDisclaimerWrapperToEml": False,
        "PreserveReportBodypart": True,
        "ConvertReportToMessage": False,
        "DSNConversionMode": "PreserveDSNBody",
        "VoicemailJournalingEnabled": True,
        "HeaderPromotionModeSetting": "NoCreate",
        "Xexch50Enabled": True,
        "Rfc2231EncodingEnabled": False,
        "OpenDomainRoutingEnabled": False,
        "MaxReceiveSize": "Unlimited",
        "MaxRecipientEnvelopeLimit": "Unlimited",
        "MaxSendSize": "Unlimited",
        "ExternalDelayDsnEnabled": True,
        "ExternalDsnDefaultLanguage": None,
        "ExternalDsnLanguageDetectionEnabled": True,
        "ExternalDsnMaxMessageAttachSize": "10 MB (10,485,760 bytes)",
        "ExternalDsnReportingAuthority": None,
        "ExternalDsnSendHtml": True,
        "ExternalPostmasterAddress": None,
        "InternalDelayDsnEnabled": True,
        "InternalDsnDefaultLanguage": None,
        "InternalDsnLanguageDetectionEnabled": True,
        "InternalDsnMaxMessageAttachSize": "10 MB (10,485,760 bytes)",
        "InternalDsnReportingAuthority": None,
        "InternalDsnSendHtml": True,
        "SupervisionTags": ["Reject", "Allow"],
        "HygieneSuite": "Premium",
        "MigrationEnabled": True,
        "LegacyJournalingMigrationEnabled": False,
        "LegacyArchiveJournalingEnabled": False,
        "RedirectDLMessagesForLegacyArchiveJournaling": False,
        "RedirectUnprovisionedUserMessagesForLegacyArchiveJournaling": False,
        "LegacyArchiveLiveJournalingEnabled": False,
        "JournalArchivingEnabled": False,
        "SafetyNetHoldTime": "7.00:00:00",
        "TransportRuleConfig": [
            "TransportRuleMinProductVersion:14.0.0.0",
            "TransportRuleRegexValidationTimeout:00:00:00.3000000",
            "TransportRuleAttachmentTextScanLimit:1 MB (1,048,576 bytes)",
            "TransportRuleSizeLimit:8 KB (8,192 bytes)",
            "TransportRuleCollectionRegexCharsLimit:20 KB (20,480 bytes)",
            "TransportRuleLimit:300",
            "TransportRuleCollectionAddedRecipientsLimit:100",
        ],
        "TransportRuleCollectionAddedRecipientsLimit": 100,
        "TransportRuleLimit": 300,
        "TransportRuleCollectionRegexCharsLimit": "20 KB (20,480 bytes)",
        "TransportRuleSizeLimit": "8 KB (8,192 bytes)",
        "TransportRuleAttachmentTextScanLimit": "1 MB (1,048,576 bytes)",
        "TransportRuleRegexValidationTimeout": "00:00:00.3000000",
        "TransportRuleMinProductVersion": {
            "Major": 14,
            "Minor": 0,
            "Build": 0,
            "Revision": 0,
            "MajorRevision": 0,
            "MinorRevision": 0,
        },
        "AnonymousSenderToRecipientRatePerHour": 1800,
        "QueueDiagnosticsAggregationInterval": "00:01:00",
        "JournalReportDLMemberSubstitutionEnabled": False,
        "DiagnosticsAggregationServicePort": 9710,
        "AgentGeneratedMessageLoopDetectionInSubmissionEnabled": True,
        "AgentGeneratedMessageLoopDetectionInSmtpEnabled": True,
        "MaxAllowedAgentGeneratedMessageDepth": 3,
        "MaxAllowedAgentGeneratedMessageDepthPerAgent": 2,
        "AttributionRejectConsumerMessages": False,
        "AttributionRejectBeforeMServRequest": False,
        "SmtpClientAuthenticationDisabled": True,
        "JournalMessageExpirationDays": 0,
        "PreventDuplicateJournalingEnabled": False,
        "ReplyAllStormProtectionEnabled": True,
        "ReplyAllStormDetectionMinimumRecipients": 2500,
        "ReplyAllStormDetectionMinimumReplies": 10,
        "AllowLegacyTLSClients": None,
        "ReplyAllStormBlockDurationHours": 6,
        "MessageExpiration": "1.00:00:00",
        "EnableExternalHTTPMailDelivery": False,
        "OtherWellKnownObjects": [],
    },
    category="ms-Exch-Transport-Settings",
    object_class=("top", "container", "msExchTransportSettings"),
    exchange_version="0.1 (8.0.535.0)",
    singleton=True,
    leaks=True,
    builtin=_builtin,
)

_SET = (
    boolean("SmtpClientAuthenticationDisabled"),
    boolean("AllowLegacyTLSClients", nullable=True),
    timespan("MessageExpiration"),
    boolean("AddressBookPolicyRoutingEnabled"),
    boolean("ClearCategories"),
    boolean("ConvertDisclaimerWrapperToEml"),
    choice(
        "DSNConversionMode",
        "Microsoft.Exchange.Data.Directory.SystemConfiguration.DSNConversionOption",
        "UseExchangeDSNs",
        "PreserveDSNBody",
        "DoNotConvert",
    ),
    boolean("ExternalDelayDsnEnabled"),
    string("ExternalDsnDefaultLanguage", nullable=True),
    boolean("ExternalDsnLanguageDetectionEnabled"),
    string("ExternalDsnReportingAuthority", nullable=True),
    boolean("ExternalDsnSendHtml"),
    string("ExternalPostmasterAddress", nullable=True),
    choice(
        "HeaderPromotionModeSetting",
        "Microsoft.Exchange.Data.Directory.SystemConfiguration.HeaderPromotionMode",
        "NoCreate",
        "MayCreate",
        "MustCreate",
    ),
    boolean("InternalDelayDsnEnabled"),
    string("InternalDsnDefaultLanguage", nullable=True),
    boolean("InternalDsnLanguageDetectionEnabled"),
    string("InternalDsnReportingAuthority", nullable=True),
    boolean("InternalDsnSendHtml"),
    integer("JournalMessageExpirationDays", range=(0, 30)),
    string("JournalingReportNdrTo"),
    boolean("PreventDuplicateJournalingEnabled"),
    integer("ReplyAllStormBlockDurationHours", range=(1, 12)),
    integer("ReplyAllStormDetectionMinimumRecipients", range=(1000, 5000)),
    integer("ReplyAllStormDetectionMinimumReplies", range=(2, 20)),
    boolean("ReplyAllStormProtectionEnabled"),
    boolean("Rfc2231EncodingEnabled"),
)

_SHORTEST, _LONGEST = "12:00:00", "1.00:00:00"


def _set(call: Call) -> Rows:
    row = target(call, NOUN)
    span = call.get("MessageExpiration")
    if span is not None and not _within_a_day(span):
        # The limits are documented (Set-TransportConfig, -MessageExpiration), the sentence is ours.
        raise errors.invalid(f"MessageExpiration '{span}' isn't valid. The value must be 0.{_SHORTEST} to {_LONGEST}.")
    set_row(call, NOUN, row, stored_values(call, _SET, row))
    return []


def _within_a_day(span: str) -> bool:
    return span == _LONGEST or ("." not in span and span >= _SHORTEST)


CMDLETS = (Cmdlet("Get-TransportConfig", (), lambda call: get(call, NOUN)), Cmdlet("Set-TransportConfig", _SET, _set))
