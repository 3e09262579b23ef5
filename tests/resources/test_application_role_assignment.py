"""Roles of applications on some mailboxes: never without a scope, found by name, and a foreign scope is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from provisioner.model import Absent, Address, Answer, Cmdlet, GraphRequest, Query, Unknown
from provisioner.model.picture import AppRole
from provisioner.resources.application_role_assignment import (
    ApplicationRoleAssignmentType,
    assignment_of,
    scope_name,
)
from provisioner.resources.rows.management_role import filter_of, mailboxes_of
from tests.resources.recorded import declared, mistakes, sent

KIND = ApplicationRoleAssignmentType()
CLIENT, OBJECT = "6f1c0d1e-0000-4000-8000-000000000001", "6f1c0d1e-0000-4000-8000-000000000002"
BOX, OTHER = "invoices@contoso.com", "o'neil@contoso.com"
WANTED = assignment_of(CLIENT, "SMTP.SendAsApp", [BOX])
NAME = f"SMTP.SendAsApp {CLIENT}"
APP = {"AppId": CLIENT, "ObjectId": OBJECT, "DisplayName": "ERP"}
OWNER = {"Guid": "6f1c0d1e-0000-4000-8000-000000000003", "PrimarySmtpAddress": BOX, "EmailAddresses": [f"SMTP:{BOX}"],
         "RecipientType": "UserMailbox"}  # fmt: skip
ASSIGNED = {"Name": NAME, "Role": "Application SMTP.SendAsApp", "RoleAssigneeName": OBJECT, "CustomResourceScope": NAME}
SCOPE = {"Name": NAME, "RecipientFilter": f"((EmailAddresses -eq 'smtp:{BOX}'))"}


def seen(
    *assignments: Mapping[str, Any],
    scopes: Sequence[Mapping[str, Any]] = (SCOPE,),
    apps: Sequence[Mapping[str, Any]] = (APP,),
    entra: Sequence[Mapping[str, Any]] = (),
    people: Sequence[Mapping[str, Any]] = (OWNER,),
) -> Any:
    wanted = {WANTED.assignment: WANTED}
    rows = {"Get-ManagementRoleAssignment": assignments, "Get-ManagementScope": scopes, "Get-ServicePrincipal": apps,
            "Get-Recipient": people}  # fmt: skip

    def answer(query: Query) -> Answer:
        if isinstance(query.request, GraphRequest):
            return Answer(tuple(entra))
        assert isinstance(query.request, Cmdlet)
        return Answer(tuple(rows[query.request.name]))

    return KIND.decode(wanted, [(q, answer(q)) for q in KIND.queries(wanted, False)])[WANTED.assignment]


def test_ours_is_found_by_its_name_with_the_mailboxes_of_its_scope() -> None:
    found = seen({**ASSIGNED, "Name": "another"}, ASSIGNED)
    assert found.mailboxes == {BOX}
    assert KIND.contribution(found) == (AppRole(CLIENT, "SMTP.SendAsApp", frozenset({BOX})),)
    assert KIND.needs(found) == ()
    assert len(NAME) <= 64


@pytest.mark.parametrize(
    ("row", "scopes"),
    [
        ({**ASSIGNED, "CustomResourceScope": None}, [SCOPE]),
        (ASSIGNED, [{**SCOPE, "RecipientFilter": "MemberOfGroup -eq 'CN=x'"}]),
        (ASSIGNED, [{**SCOPE, "RecipientFilter": f"EmailAddresses -eq '{BOX}' -or Alias -like 'a*'"}]),
        ({**ASSIGNED, "RoleAssigneeName": "someone else"}, [SCOPE]),
        ({**ASSIGNED, "Role": "Application Mail.Read"}, [SCOPE]),
    ],
)
def test_what_a_plan_cannot_say_is_unknown_and_never_overwritten(
    row: Mapping[str, Any], scopes: Sequence[Mapping[str, Any]]
) -> None:
    assert isinstance(seen(row, scopes=scopes), Unknown)


def test_a_role_is_given_with_its_scope_and_by_the_object_id() -> None:
    found = seen(scopes=[], apps=[], entra=[{"id": OBJECT, "appId": CLIENT}])
    assert isinstance(found, Absent)
    assert found.known
    assert KIND.needs(found.known) == (Address("service_principal", CLIENT),)
    goal = assignment_of(CLIENT, "SMTP.SendAsApp", [BOX]).__class__(
        WANTED.assignment, frozenset({OTHER, BOX}), object_id=OBJECT
    )
    assert list(map(sent, KIND.steps(None, goal))) == [
        ("New-ManagementScope", {"Name": NAME, "RecipientRestrictionFilter": filter_of([BOX, OTHER])}),
        ("New-ManagementRoleAssignment", {"Name": NAME, "App": OBJECT, "Role": "Application SMTP.SendAsApp",
                                          "CustomResourceScope": NAME}),
    ]  # fmt: skip


def test_a_scope_that_was_left_by_an_interrupted_run_is_used() -> None:
    known = seen().known
    assert known.scoped is True
    goal = known.__class__(WANTED.assignment, WANTED.mailboxes, object_id=OBJECT, scoped=True)
    first, second = map(sent, KIND.steps(None, goal))
    assert (first[0], second[0]) == ("Set-ManagementScope", "New-ManagementRoleAssignment")


def test_mailboxes_are_changed_in_the_scope_and_both_are_removed() -> None:
    live = seen(ASSIGNED)
    goal = live.__class__(live.assignment, frozenset({OTHER}), object_id=OBJECT)
    ((name, sent_),) = map(sent, KIND.steps(live, goal))
    assert (name, sent_) == (
        "Set-ManagementScope",
        {"Identity": NAME, "RecipientRestrictionFilter": "EmailAddresses -eq 'o''neil@contoso.com'"},
    )
    assert [sent(step)[0] for step in KIND.steps(live, None)] == [
        "Remove-ManagementRoleAssignment",
        "Remove-ManagementScope",
    ]
    assert KIND.steps(live, live) == ()


def test_a_mailbox_or_application_that_is_not_there_is_told() -> None:
    assert f"no mailbox {BOX}" in seen(people=[]).reason
    assert "no enterprise application" in seen(apps=[]).reason


def test_a_filter_comes_back_as_it_was_meant() -> None:
    assert mailboxes_of(filter_of([BOX, OTHER])) == frozenset({BOX, OTHER})
    assert mailboxes_of("") is None


def test_the_section_takes_roles_with_their_mailboxes() -> None:
    found = declared(KIND, {CLIENT.upper(): {"SMTP.SendAsApp": [BOX], "Mail.Send": [OTHER]}})
    assert set(found) == {f"{CLIENT} SMTP.SendAsApp", f"{CLIENT} Mail.Send"}
    assert scope_name(f"{CLIENT} Mail.Send") == f"Mail.Send {CLIENT}"
    assert mistakes(KIND, {CLIENT: {"SMTP.SendAsApp": []}})[0][0] == "too_short"
    assert KIND.written_form(found[f"{CLIENT} Mail.Send"]) == ((CLIENT, "Mail.Send"), [OTHER])
