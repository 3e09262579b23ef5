"""How Exchange decides about accounts of High Volume Email (HVE), beside what holds for every sign-in. Pure.

Source: Learn, "Manage high volume emails for Microsoft 365". What is answered where there is no such account, or no
valid billing policy, is not published.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.mailflow.attempt import Attempt, Doubt, Refusal
from provisioner.model.picture import NONE, HighVolume, Picture, Registration

RECIPIENTS = 50
"""Recipients of one message."""


def refusals(picture: Picture, attempt: Attempt) -> Iterator[Refusal]:
    """What an account lacks, and whom it does not reach. With which reply it refuses too many is not published."""
    account = _account(picture, attempt.mailbox)
    by = tuple(a for a, c in picture.every(HighVolume) if c.account == attempt.mailbox)
    if account is None and picture.lacks(HighVolume, attempt.mailbox):
        what = f"the tenant has no account {attempt.mailbox} of High Volume Email"
        yield Refusal("no_hve_account", "", what, hint="declare it under hve_accounts")
    if account is not None and account.billing is False:
        what = f"{attempt.mailbox} has no valid billing policy"
        fix = "write billing_policy for the account, or assign one in the Exchange admin center"
        yield Refusal("hve_billing", "", what, by, fix)
    if account is not None and _admits(picture, account, attempt) is False:
        what = f"no application may sign in as {attempt.mailbox}"
        fix = "write it under applications of the account, by name or client id"
        yield Refusal("hve_app_not_allowed", "535 5.7.240", what, by, fix)
    if attempt.external:
        what = "High Volume Email reaches recipients of the organization only"
        yield Refusal("hve_external", "550 5.5.105", what, hint="use client submission or SMTP relay")
    if attempt.recipients > RECIPIENTS:
        what = f"one message of an HVE account may have {RECIPIENTS} recipients at most"
        yield Refusal("too_many_recipients", "", what, hint="send several messages")


def doubts(picture: Picture, attempt: Attempt) -> Iterator[Doubt]:
    """What is not known of an account."""
    account = _account(picture, attempt.mailbox)
    there = account is not None or picture.lacks(HighVolume, attempt.mailbox)
    if account.billing is None if account is not None else not there:
        fix = "look at the billing policy of the HVE account in the Exchange admin center"
        reasons = ("hve_billing",) if there else ("hve_billing", "no_hve_account")
        if not there and attempt.authentication == "oauth" and attempt.application is not False:
            reasons = (*reasons, "hve_app_not_allowed")
        yield Doubt("whether the HVE account has a valid billing policy", reasons, fix)
    if account is not None and _admits(picture, account, attempt) is None:
        what = f"whether the application may sign in as {attempt.mailbox}"
        yield Doubt(
            what, ("hve_app_not_allowed",), "write it under applications of the HVE account, by name or client id"
        )


def user_of(picture: Picture, account: str) -> str:
    """The id in Entra ID of an account's user; "" where it is not known."""
    found = _account(picture, account)
    return found.user_id if found is not None else ""


def is_new(picture: Picture, account: str) -> bool:
    """Whether an account is only planned: its user has no authentication policy of its own then."""
    found = _account(picture, account)
    return found is not None and not found.user_id


def _account(picture: Picture, address: str) -> HighVolume | None:
    return next((c for _, c in picture.every(HighVolume) if c.account == address), None)


def _admits(picture: Picture, account: HighVolume, attempt: Attempt) -> bool | None:
    """Whether an application is among those that may sign in as an account (Add-HVEAppAccess); None for not known.

    They are named by the object ids of their enterprise applications. The list is of applications: a person's token is
    the account's own (Learn, "OAuth for High Volume Email").
    """
    if attempt.authentication != "oauth" or attempt.application is False:
        return True
    if account.applications == NONE and attempt.application:
        return False
    if not attempt.client_id:
        return None
    known = {r.object_id for _, r in picture.every(Registration) if r.application == attempt.client_id}
    return True if {attempt.client_id, *known} & (account.applications or NONE) else None
