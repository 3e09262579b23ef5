"""What an application needs to sign in: its registration, consent, and FullAccess; and what is not known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from provisioner.mailflow.applications import consent_command, doubts, refusals
from provisioner.mailflow.attempt import Attempt
from provisioner.model import Address
from provisioner.model.picture import AppRole, Contribution, Contributions, MailboxRight, Picture, Registration

CLIENT, BOX = "6f1c0d1e-0000-4000-8000-000000000001", "invoices@contoso.com"
APP = Attempt(BOX, True, authentication="oauth", mailbox=BOX, application=True, client_id=CLIENT)
KNOWN = Registration(CLIENT, frozenset({"exchange/SMTP.SendAsApp"}), "object")
UNGRANTED = replace(KNOWN, permissions=frozenset({"graph/Mail.Send"}))
RIGHT = MailboxRight(CLIENT, BOX)
ROLE = AppRole(CLIENT, "SMTP.SendAsApp", frozenset({BOX}))
NEITHER: Mapping[type[Contribution], frozenset[str]] = {
    Registration: frozenset({CLIENT}),
    MailboxRight: frozenset({f"{CLIENT} on {BOX}"}),
}


def picture(*words: Contribution, lacking: Mapping[type[Contribution], frozenset[str]] = NEITHER) -> Picture:
    objects: dict[Address, Contributions] = {Address("x", str(n)): (word,) for n, word in enumerate(words)}
    return Picture(objects, lacking=lacking)


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        ((KNOWN, RIGHT), []),
        ((), ["application_unregistered", "no_mailbox_right"]),
        ((KNOWN,), ["no_mailbox_right"]),
        ((RIGHT,), ["application_unregistered"]),
        ((replace(KNOWN, permissions=frozenset({"graph/Mail.Send"})), RIGHT), ["no_consent"]),
        ((KNOWN, MailboxRight(CLIENT, "anna@contoso.com")), ["no_mailbox_right"]),
        ((replace(KNOWN, application="another"), RIGHT), ["application_unregistered"]),
        ((replace(KNOWN, permissions=frozenset()), ROLE), []),
        ((KNOWN, replace(ROLE, mailboxes=frozenset({"anna@contoso.com"}))), ["no_mailbox_right"]),
        ((UNGRANTED, replace(ROLE, mailboxes=frozenset({"anna@contoso.com"}))), ["not_in_scope"]),
        ((UNGRANTED, RIGHT, replace(ROLE, mailboxes=frozenset({"anna@contoso.com"}))), ["not_in_scope"]),
        ((KNOWN, RIGHT, replace(ROLE, mailboxes=frozenset({"anna@contoso.com"}))), []),
        ((KNOWN, replace(ROLE, role="Mail.Send")), ["no_mailbox_right"]),
        (
            (replace(KNOWN, permissions=frozenset()), replace(ROLE, application="another")),
            ["no_consent", "no_mailbox_right"],
        ),
    ],
)
def test_what_lacks_is_refused_by_name(words: Contributions, reasons: list[str]) -> None:
    assert [refusal.reason for refusal in refusals(picture(*words), APP)] == reasons


def test_what_was_not_read_is_a_doubt_and_no_refusal() -> None:
    unread = picture(lacking={})
    assert list(refusals(unread, APP)) == []
    found = {reason for doubt in doubts(unread, APP) for reason in doubt.reasons}
    assert found == {"application_unregistered", "no_consent", "no_mailbox_right"}
    (consent,) = doubts(picture(replace(KNOWN, permissions=None), RIGHT), APP)
    assert consent.reasons == ("no_consent",)
    assert "Application.Read.All" in consent.hint
    assert list(doubts(picture(KNOWN, RIGHT), APP)) == []


def test_roles_that_could_not_be_read_leave_it_open() -> None:
    unread = replace(picture(UNGRANTED), unread={AppRole: "forbidden"})
    assert list(refusals(unread, APP)) == []
    (doubt,) = doubts(unread, APP)
    assert doubt.reasons == ("no_consent", "no_mailbox_right", "not_in_scope")
    assert "Get-ManagementRoleAssignment" in doubt.hint
    granted = replace(picture(KNOWN, RIGHT), unread={AppRole: "forbidden"})
    assert [*refusals(granted, APP), *doubts(granted, APP)] == [], "consent and FullAccess are enough"


NO_ROLE: Mapping[type[Contribution], frozenset[str]] = {AppRole: frozenset({f"{CLIENT} SMTP.SendAsApp"})}


@pytest.mark.parametrize(
    ("words", "lacking", "certain", "open_"),
    [
        ((UNGRANTED,), NO_ROLE, ["not_in_scope"], []),
        ((), {**NO_ROLE, **NEITHER}, ["application_unregistered", "not_in_scope"], []),
        ((KNOWN,), NO_ROLE, [], ["no_mailbox_right"]),  # consent and FullAccess would do: FullAccess was not read
        ((KNOWN, RIGHT), NO_ROLE, [], []),
        ((KNOWN,), {**NO_ROLE, **NEITHER}, ["no_mailbox_right"], []),
        ((replace(KNOWN, permissions=None), RIGHT), NO_ROLE, [], ["no_consent"]),
        ((replace(KNOWN, permissions=None),), {**NO_ROLE, **NEITHER}, ["no_mailbox_right"], ["no_consent"]),
    ],
)
def test_without_the_role_consent_and_full_access_decide(
    words: Contributions, lacking: Mapping[type[Contribution], frozenset[str]], certain: list[str], open_: list[str]
) -> None:
    found = picture(*words, lacking=lacking)
    assert [refusal.reason for refusal in refusals(found, APP)] == certain
    assert [reason for doubt in doubts(found, APP) for reason in doubt.reasons] == open_


@pytest.mark.parametrize(
    "other",
    [
        replace(APP, application=False),
        replace(APP, application=None),
        replace(APP, client_id=""),
        replace(APP, authentication="basic"),
        replace(APP, hve=True),
    ],
)
def test_nobody_else_is_concerned(other: Attempt) -> None:
    assert [*refusals(picture(), other), *doubts(picture(), other)] == []


def test_the_command_names_who_may_consent_and_finds_the_role_by_name() -> None:
    command = consent_command("exchange/SMTP.SendAsApp", "object")
    assert command.startswith("a Cloud Application Administrator consents: Connect-MgGraph")
    assert "-ServicePrincipalId object -PrincipalId object" in command
    assert "Where-Object Value -eq 'SMTP.SendAsApp').Id" in command
    assert consent_command("graph/Mail.Send", "").startswith("a Privileged Role Administrator")


def test_consent_alone_leaves_the_role_open_where_it_was_not_read() -> None:
    unread = replace(picture(KNOWN, lacking={}), unread={AppRole: "forbidden"})
    (doubt,) = doubts(unread, APP)
    assert doubt.reasons == ("no_consent", "no_mailbox_right", "not_in_scope")
