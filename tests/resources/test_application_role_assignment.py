"""Roles of applications on some mailboxes: never without a scope, found by name, and a foreign scope is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from provisioner.model import Absent, Address, Answer, Cmdlet, GraphRequest, Query, Unknown, written
from provisioner.model.picture import AppRole
from provisioner.resources.application_role_assignment import (
    ApplicationRoleAssignment,
    ApplicationRoleAssignmentType,
    assignment_of,
    scope_name,
)
from provisioner.resources.rows.management_role import MOST_TESTED, TEST, filter_of, mailboxes_of
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

FINANCE = {"Name": "Finance", "RecipientFilter": "Department -eq 'Finance'"}
DN = "CN=Senders,OU=contoso,DC=example"
SENDERS = {"Guid": "6f1c0d1e-0000-4000-8000-000000000004", "PrimarySmtpAddress": "senders@contoso.com",
           "EmailAddresses": ["SMTP:senders@contoso.com"], "RecipientType": "MailUniversalSecurityGroup",
           "DistinguishedName": DN}  # fmt: skip
OF_GROUP = assignment_of(CLIENT, "SMTP.SendAsApp", [BOX], {"group": "senders@contoso.com"})
OF_SCOPE = assignment_of(CLIENT, "SMTP.SendAsApp", [BOX], {"existing": "finance"})


def seen(
    *assignments: Mapping[str, Any],
    scopes: Sequence[Mapping[str, Any]] = (SCOPE,),
    apps: Sequence[Mapping[str, Any]] = (APP,),
    entra: Sequence[Mapping[str, Any]] = (),
    people: Sequence[Mapping[str, Any]] = (OWNER,),
    as_: ApplicationRoleAssignment = WANTED,
    tested: str = "",
) -> Any:
    wanted = {WANTED.assignment: as_}
    rows = {"Get-ManagementRoleAssignment": assignments, "Get-ManagementScope": scopes, "Get-ServicePrincipal": apps,
            "Get-Recipient": people}  # fmt: skip

    def answer(query: Query) -> Answer:
        if isinstance(query.request, GraphRequest):
            return Answer(tuple(entra))
        assert isinstance(query.request, Cmdlet)
        if query.request.name == TEST:
            return Answer(({"RoleName": "Application SMTP.SendAsApp", "InScope": tested},) if tested else ())
        return Answer(tuple(rows[query.request.name]))

    told = [(q, answer(q)) for q in KIND.queries(wanted, False)]
    told += [(q, answer(q)) for q in KIND.follow_up(wanted, False, told)] if tested else []
    return KIND.decode(wanted, told)[WANTED.assignment]


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
        ({**ASSIGNED, "CustomResourceScope": "Finance"}, [SCOPE, FINANCE]),
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


# --- groups and existing scopes ---------------------------------------------------------------------------------------


def test_a_group_fills_a_scope_of_its_own() -> None:
    absent = seen(scopes=[], people=(OWNER, SENDERS), as_=OF_GROUP)
    goal = dataclasses.replace(OF_GROUP, **written_of(absent.known))
    assert next(map(sent, KIND.steps(None, goal))) == (
        "New-ManagementScope",
        {"Name": NAME, "RecipientRestrictionFilter": f"MemberOfGroup -eq '{DN.lower()}'"},
    )
    filled = [{**SCOPE, "RecipientFilter": f"MemberOfGroup -eq '{DN}'"}]
    live = seen(ASSIGNED, scopes=filled, people=(OWNER, SENDERS), as_=OF_GROUP)
    assert (live.group, live.mailboxes, live.scope) == ("senders@contoso.com", frozenset({BOX}), None)
    listed = seen(ASSIGNED, people=(OWNER, SENDERS), as_=OF_GROUP)
    assert listed.group == "", "its scope is made of mailboxes so far"
    ((name, parameters),) = map(sent, KIND.steps(listed, dataclasses.replace(listed, group=OF_GROUP.group)))
    assert name == "Set-ManagementScope"
    assert parameters["RecipientRestrictionFilter"] == f"MemberOfGroup -eq '{DN.lower()}'"
    assert [sent(step)[0] for step in KIND.steps(live, None)][-1] == "Remove-ManagementScope"
    assert "no group" in seen(people=(OWNER,), as_=OF_GROUP).reason
    assert "user mailbox" in seen(people=(OWNER, {**SENDERS, "RecipientType": "UserMailbox"}), as_=OF_GROUP).reason


def test_an_existing_scope_is_used_and_never_written_or_deleted() -> None:
    assert "no management scope finance" in seen(scopes=[SCOPE], as_=OF_SCOPE).reason
    absent = seen(scopes=[SCOPE, FINANCE], as_=OF_SCOPE)
    goal = dataclasses.replace(OF_SCOPE, **written_of(absent.known))
    ((name, parameters),) = map(sent, KIND.steps(None, goal))
    assert (name, parameters["CustomResourceScope"]) == ("New-ManagementRoleAssignment", "finance")
    live = seen({**ASSIGNED, "CustomResourceScope": "Finance"}, scopes=[SCOPE, FINANCE], as_=OF_SCOPE)
    assert (live.scope, live.mailboxes) == ("finance", frozenset({BOX}))
    for before, after in ((goal, None), (live, None)):
        assert [sent(step)[0] for step in KIND.steps(before, after)] == ["Remove-ManagementRoleAssignment"]
    assert KIND.steps(live, dataclasses.replace(live, mailboxes=frozenset({OTHER}))) == ()
    assert isinstance(seen(ASSIGNED, scopes=[SCOPE, FINANCE], as_=OF_SCOPE), Unknown), "another scope is not changed"


@pytest.mark.parametrize(
    ("wanted", "scopes", "tested", "words", "mailboxes"),
    [
        (WANTED, [SCOPE], "True", "", {BOX}),
        (WANTED, [SCOPE], "False", f"{BOX} not in its scope", set()),
        (WANTED, [SCOPE], "", "", {BOX}),
        (OF_SCOPE, [SCOPE, FINANCE], "True", "", {BOX}),
        (OF_SCOPE, [SCOPE, FINANCE], "False", "not in the scope finance", set()),
        (OF_SCOPE, [SCOPE, FINANCE], "", "could not be tested", {BOX}),
    ],
)
def test_what_the_service_says_of_a_mailbox_decides_whether_the_role_is_in_force(
    wanted: ApplicationRoleAssignment, scopes: Any, tested: str, words: str, mailboxes: set[str]
) -> None:
    row = {**ASSIGNED, "CustomResourceScope": "Finance" if wanted.scope else NAME}
    live = seen(row, scopes=scopes, as_=wanted, tested=tested)
    said = KIND.in_force(wanted, live)
    assert (words in said) if words else said == ""
    roles = KIND.contribution(live)
    assert [role.mailboxes for role in roles if isinstance(role, AppRole)] == ([mailboxes] if roles else [])
    assert bool(roles) is bool(mailboxes or wanted.scope)
    assert f"-Identity {OBJECT} -Resource {BOX}" in KIND.fix(wanted, live)
    assert KIND.in_force(wanted, KIND.working(live)) == ""


def test_only_a_few_mailboxes_are_tested() -> None:
    many = [f"m{i}@contoso.com" for i in range(30)]
    wanted = assignment_of(CLIENT, "SMTP.SendAsApp", many, {"existing": "Finance"})
    people = [{**OWNER, "Guid": f"6f1c0d1e-0000-4000-8000-0000000001{i:02}", "PrimarySmtpAddress": box,
               "EmailAddresses": [f"SMTP:{box}"]} for i, box in enumerate(many)]  # fmt: skip
    rows: dict[str, Any] = {"Get-ManagementRoleAssignment": [{**ASSIGNED, "CustomResourceScope": "Finance"}],
            "Get-ManagementScope": [FINANCE], "Get-ServicePrincipal": [APP], "Get-Recipient": people}  # fmt: skip
    told = [(q, Answer(tuple(rows[q.request.name]) if isinstance(q.request, Cmdlet) else ()))
            for q in KIND.queries({wanted.assignment: wanted}, False)]  # fmt: skip
    asked = KIND.follow_up({wanted.assignment: wanted}, False, told)
    assert len(asked) == MOST_TESTED
    assert all(q.covers == {wanted.assignment} and q.may_be_refused for q in asked), "whoever may not test still plans"


def test_the_section_takes_a_group_or_an_existing_scope() -> None:
    roles = {"SMTP.SendAsApp": {"scope": {"group": "Senders@contoso.com"}, "mailboxes": [BOX]},
             "Mail.Send": {"scope": {"existing": "Finance"}}}  # fmt: skip
    found = declared(KIND, {CLIENT: roles})
    one, other = found[f"{CLIENT} SMTP.SendAsApp"], found[f"{CLIENT} Mail.Send"]
    assert (one.group, one.scope, one.mailboxes) == ("senders@contoso.com", None, {BOX})
    assert (other.group, other.scope, other.mailboxes) == (None, "Finance", frozenset())
    assert KIND.written_form(other) == ((CLIENT, "Mail.Send"), {"scope": {"existing": "Finance"}})
    both = {"SMTP.SendAsApp": {"scope": {"group": "senders@contoso.com", "existing": "Finance"}}}
    assert mistakes(KIND, {CLIENT: both})[0][0] == "SCOPE-AMBIGUOUS"


def written_of(known: Any) -> dict[str, Any]:
    return {name: value for name, value in written(known).items() if name != "assignment"}
