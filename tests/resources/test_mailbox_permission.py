"""FullAccess of applications: which row is whose, what is ignored, and ids in every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from provisioner.model import Absent, Address, Answer, Cmdlet, GraphRequest, Query, Unknown
from provisioner.model.picture import MailboxRight
from provisioner.resources.mailbox_permission import MailboxPermissionType, permission_of
from provisioner.resources.rows import mailbox_permission
from tests.resources.recorded import declared, sent

KIND = MailboxPermissionType()
CLIENT, OBJECT, GUID = (f"6f1c0d1e-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
BOX = "invoices@contoso.com"
APP = {"AppId": CLIENT, "ObjectId": OBJECT, "DisplayName": "ERP", "Sid": "S-1-5-21-7", "Guid": "g"}
OWNER = {"Guid": GUID, "PrimarySmtpAddress": BOX, "EmailAddresses": [f"SMTP:{BOX}", "smtp:bills@contoso.com"],
         "RecipientType": "UserMailbox", "RecipientTypeDetails": "SharedMailbox"}  # fmt: skip
RIGHT = {"Identity": "invoices", "User": "S-1-5-21-7", "UserSid": "S-1-5-21-7",
         "AccessRights": ["FullAccess, ReadPermission"], "Deny": False, "IsInherited": False}  # fmt: skip
SELF = {**RIGHT, "User": "NT-AUTORITÄT\\SELF", "UserSid": "S-1-5-10"}


def seen(
    *rights: Mapping[str, Any],
    apps: Sequence[Mapping[str, Any]] = (APP,),
    people: Sequence[Mapping[str, Any]] = (OWNER,),
    entra: Sequence[Mapping[str, Any]] = (),
    mailbox: str = BOX,
    revoked: bool = False,
) -> Any:
    right = permission_of(CLIENT, mailbox)
    wanted = {right.pair: None if revoked else right}

    def answer(query: Query) -> tuple[Query, Answer]:
        if isinstance(query.request, GraphRequest):
            return query, Answer(tuple(entra))
        assert isinstance(query.request, Cmdlet)
        rows = {"Get-ServicePrincipal": apps, "Get-Recipient": people, "Get-MailboxPermission": rights}
        return query, Answer(tuple(rows[query.request.name]))

    answers = [answer(query) for query in KIND.queries(wanted, False)]
    for _ in range(2):
        asked = [query for query, _ in answers]
        answers += [answer(q) for q in KIND.follow_up(wanted, False, answers) if q not in asked]
    return KIND.decode(wanted, answers)[right.pair]


@pytest.mark.parametrize(
    "row",
    [
        RIGHT,
        {**RIGHT, "User": "ERP"},
        {**RIGHT, "User": OBJECT.upper(), "UserSid": ""},
        {**RIGHT, "User": "ERP", "UserSid": None},
        {**RIGHT, "AccessRights": ["ReadPermission", "FullAccess"]},
    ],
)
def test_the_right_of_the_application_is_known_by_every_name_of_it(row: Mapping[str, Any]) -> None:
    found = seen(SELF, row)
    assert (found.object_id, found.mailbox_id, found.registered) == (OBJECT, GUID, True)
    assert KIND.contribution(found) == (MailboxRight(CLIENT, BOX),)
    assert KIND.needs(found) == ()


@pytest.mark.parametrize(
    "row",
    [
        SELF,
        {**RIGHT, "IsInherited": True},
        {**RIGHT, "AccessRights": ["ReadPermission"]},
        {**RIGHT, "User": "ERP", "UserSid": "S-1-5-21-8"},
        {**RIGHT, "User": "anna@contoso.com", "UserSid": ""},
    ],
)
def test_another_right_is_not_taken_for_it(row: Mapping[str, Any]) -> None:
    found = seen(row)
    assert isinstance(found, Absent)
    assert not found.reason
    assert found.known
    assert found.known.object_id == OBJECT


def test_a_name_that_a_person_has_too_is_unknown() -> None:
    person = {
        "Guid": OBJECT,
        "DisplayName": "ERP",
        "PrimarySmtpAddress": "e@contoso.com",
        "RecipientType": "UserMailbox",
    }
    found = seen({**RIGHT, "User": "ERP", "UserSid": ""}, people=[OWNER, person])
    assert isinstance(found, Unknown)
    assert found.kind == "ambiguous"


def test_a_denial_is_unknown_and_named() -> None:
    found = seen(RIGHT, {**RIGHT, "Deny": True})
    assert isinstance(found, Unknown)
    assert "is denied to the application ERP" in found.reason


def test_an_application_that_is_not_registered_yet_gets_its_right_by_the_id_that_it_will_have() -> None:
    found = seen(apps=[], entra=[{"id": OBJECT, "appId": CLIENT}])
    assert found.known.object_id == OBJECT
    assert KIND.needs(found.known) == (Address("service_principal", CLIENT),)
    assert "no enterprise application" in seen(apps=[]).reason


def test_only_mailboxes_can_be_opened() -> None:
    assert "no mailbox" in seen(people=[]).reason
    assert seen(people=[], revoked=True) == Absent()
    contact = {**OWNER, "RecipientType": "MailContact", "RecipientTypeDetails": "MailContact"}
    assert "is a mail contact" in seen(people=[contact]).reason


def test_steps_go_by_ids_and_never_map_the_mailbox_into_outlook() -> None:
    right = seen(RIGHT)
    ids = {"Identity": GUID, "User": OBJECT, "AccessRights": ("FullAccess",), "Confirm": False}
    assert list(map(sent, KIND.steps(None, right))) == [("Add-MailboxPermission", {**ids, "AutoMapping": False})]
    assert list(map(sent, KIND.steps(right, None))) == [("Remove-MailboxPermission", ids)]
    with pytest.raises(ValueError, match="is not the pair of"):
        KIND.steps(None, permission_of(CLIENT, BOX).__class__(f"{CLIENT} on x@contoso.com", CLIENT, BOX))


def test_aliases_are_names_of_the_right() -> None:
    assert f"{CLIENT} on bills@contoso.com" in seen(RIGHT).names


def test_an_export_finds_the_rights_of_applications_only() -> None:
    answers = [(q, Answer((APP,) if "Principal" in q.request.name else (OWNER,))) for q in KIND.queries({}, True)]  # type: ignore[union-attr]
    (asked,) = KIND.follow_up({}, True, answers)
    assert asked.request == mailbox_permission.look_up(GUID)
    rows = Answer((SELF, RIGHT, {**RIGHT, "User": "anna@contoso.com", "UserSid": "S-1-5-21-9"}))
    (found,) = KIND.decode({}, [*answers, (asked, rows)]).values()
    assert KIND.written_form(found) == ((CLIENT,), [BOX])  # type: ignore[arg-type]


def test_more_mailboxes_than_are_asked_are_told_and_not_taken_for_none() -> None:
    many = tuple({**OWNER, "Guid": f"{GUID[:-4]}{n:04d}", "EmailAddresses": []} for n in range(201))
    answers = [(q, Answer((APP,) if "Principal" in q.request.name else many)) for q in KIND.queries({}, True)]  # type: ignore[union-attr]
    assert KIND.follow_up({}, True, answers) == []
    (unknown,) = KIND.decode({}, answers).values()
    assert isinstance(unknown, Unknown)


def test_the_section_takes_a_list_of_mailboxes() -> None:
    assert set(declared(KIND, {CLIENT.upper(): [BOX, "a@contoso.com"]})) == {
        f"{CLIENT} on {BOX}",
        f"{CLIENT} on a@contoso.com",
    }
