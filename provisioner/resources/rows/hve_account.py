"""Accounts of High Volume Email: Get-MailUser -HVEAccount, and the two cmdlets that read one account.

The columns ReplyTo, AllowedApps, BillingPolicyId and BillingPolicyStatus are those of the pages of these cmdlets and of
public scripts that read them. A row of the latter two cmdlets names no account: the question does.
"""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.model import Answer, Cmdlet, Query
from provisioner.resources.rows import recipient

SETTINGS, BILLING = "Get-HVEAccountSettings", "Get-HVEAccountBillingPolicy"
NAME = "Get-MailUser"
LISTING = Cmdlet(NAME, {"HVEAccount": True, "ResultSize": "Unlimited"}, recipient.COLUMNS)
VALID, NONE_STORED = "BillingPolicyValid", "NoProperBillingPolicyStored"

_WHY = {
    NONE_STORED: "no billing policy is assigned to it",
    "BillingPolicyNotFound": "its billing policy no longer exists",
    "BillingPolicyMismatched": "its billing policy is that of another tenant",
    "NoConnectedBillingPolicyFound": "its billing policy is not connected to High Volume Email",
    "SubscriptionIsNotActive": "the Azure subscription of its billing policy is not active",
    "NoSPOLicenseFound": "the tenant has no SharePoint Online licence, which the check of its billing policy needs",
}
"""The values of BillingPolicyStatus (Get-HVEAccountBillingPolicy) but for the one that lets an account send."""


def settings(identity: str) -> Cmdlet:
    """Where replies go, and which applications may sign in as the account."""
    return Cmdlet(SETTINGS, {"Identity": identity}, frozenset({"ReplyTo", "AllowedApps"}))


def billing(identity: str) -> Cmdlet:
    """The billing policy of the account, and whether it is valid."""
    return Cmdlet(BILLING, {"Identity": identity}, frozenset({"BillingPolicyId", "BillingPolicyStatus"}))


def about(name: str, answers: Iterable[tuple[Query, Answer]]) -> dict[str, Answer]:
    """The answers of one of the two cmdlets, by the account that was asked about."""
    return {
        str(query.request.parameters["Identity"]): answer
        for query, answer in answers
        if isinstance(query.request, Cmdlet) and query.request.name == name
    }


def why(status: str) -> str:
    """Why an account with this status of its billing cannot send; "" where it can."""
    return "" if status == VALID else _WHY.get(status, f"its billing is in the state {status}")
