"""Mailboxes by what they are: who is selected, what is asked and sent, and what begins to be enabled."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Absent, Address, Answer, Links, Query, Unknown
from provisioner.model.picture import SignIn
from provisioner.resources.mailbox_selection import MailboxSelection, MailboxSelectionType
from provisioner.resources.smtp_auth import SmtpAuth
from tests.resources.recorded import declared, mistakes, sent

KIND = MailboxSelectionType()
PRINTERS = {"custom_attributes": {"1": "printer"}, "domain": "contoso.com", "smtp_auth": "enabled"}


def mailbox(name: str, domain: str = "contoso.com", **columns: Any) -> dict[str, Any]:
    return {
        "Guid": f"{name}-guid",
        "PrimarySmtpAddress": f"{name}@{domain}",
        "EmailAddresses": [f"SMTP:{name}@{domain}", f"smtp:old-{name}@{domain}"],
        "RecipientTypeDetails": "SharedMailbox",
        "CustomAttribute1": "Printer",
        **columns,
    }


ROWS = [mailbox("scan"), mailbox("fax"), mailbox("far", "fabrikam.com")]
SWITCHES = {"scan-guid": None, "fax-guid": False}


def seen(spec: MailboxSelection, switches: dict[str, Any], *answers: list[dict[str, Any]]) -> Any:
    """What is decoded of the answers, the switches among them, which the type asks for by itself."""
    wanted = {spec.name: spec}
    queries = KIND.queries(wanted, False)
    given = [(query, Answer(tuple(rows))) for query, rows in zip(queries, answers, strict=True)]
    for query in KIND.follow_up(wanted, False, given):
        asked = [name for name in switches if name in str(query.request.parameters)]  # type: ignore[union-attr]
        rows = tuple({"Guid": name, "SmtpClientAuthenticationDisabled": switches[name]} for name in asked)
        given.append((query, Answer(rows)))
    return KIND.decode(wanted, given)[spec.name]


def spec(**body: Any) -> MailboxSelection:
    found: MailboxSelection = declared(KIND, {"printers": {"smtp_auth": "enabled", **body}})["printers"]
    return found


def test_who_meets_every_condition_is_selected_with_the_switch_of_now() -> None:
    found = seen(spec(**PRINTERS), SWITCHES, ROWS)
    assert found.mailboxes == {"scan@contoso.com inherit", "fax@contoso.com enabled"}
    assert seen(spec(type="room"), {}, ROWS).mailboxes == frozenset()
    grouped = seen(spec(**PRINTERS, group="devices@contoso.com"), SWITCHES, ROWS, [{"Guid": "FAX-GUID"}])
    assert grouped.mailboxes == {"fax@contoso.com enabled"}


@pytest.mark.parametrize(
    ("column", "body"), [("CustomAttribute1", PRINTERS), ("RecipientTypeDetails", {"type": "shared"})]
)
def test_a_mailbox_whose_answer_lacks_a_condition_is_not_left_out(column: str, body: dict[str, Any]) -> None:
    row = {name: value for name, value in mailbox("scan").items() if name != column}
    with pytest.raises(ValueError, match=f"{column} of a mailbox was not returned"):
        seen(spec(**body), SWITCHES, [row])


@pytest.mark.parametrize(
    ("column", "body"),
    [
        ("CustomAttribute1", PRINTERS),
        ("RecipientTypeDetails", {"type": "shared"}),
        ("PrimarySmtpAddress", {"domain": "contoso.com"}),
    ],
)
def test_a_mailbox_whose_condition_has_an_unknown_form_is_not_left_out(column: str, body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{column} holds dict, which is not text"):
        seen(spec(**body), SWITCHES, [{**mailbox("scan"), column: {"of": "another form"}}])


def test_a_group_that_does_not_exist_is_not_one_without_members() -> None:
    """It stops the plan at the entry, in one message; so does the address of a mailbox."""
    grouped = spec(**PRINTERS, group="devices@contoso.com")
    of_rows, of_group = KIND.queries({"printers": grouped}, False)
    given = [(of_rows, Answer(tuple(ROWS))), (of_group, Answer(missing=True))]
    found = KIND.decode({"printers": grouped}, given)["printers"]
    assert isinstance(found, Absent)
    assert found.reason == "the tenant has no group devices@contoso.com whose members can be listed"
    assert of_group.may_be_missing


def test_the_service_is_asked_for_what_it_can_filter_by() -> None:
    people, group = KIND.queries(
        {"p": spec(type="shared", custom_attributes={"2": "o'x"}, group="g@contoso.com")}, True
    )
    assert isinstance(people, Query)
    assert people.request.parameters["Filter"] == (  # type: ignore[union-attr]
        "RecipientType -eq 'UserMailbox' -and RecipientTypeDetails -eq 'SharedMailbox' -and CustomAttribute2 -eq 'o''x'"
    )
    assert group.request.parameters["Identity"] == "g@contoso.com"  # type: ignore[union-attr]
    assert list(KIND.queries({"erp@contoso.com": None}, True)) == []


def test_an_attribute_without_a_value_is_asked_for_as_the_service_does() -> None:
    (people,) = KIND.queries({"p": spec(custom_attributes={"2": ""})}, True)
    assert people.request.parameters["Filter"].endswith(" -and CustomAttribute2 -eq $null")  # type: ignore[union-attr]
    assert seen(spec(custom_attributes={"2": ""}), SWITCHES, [mailbox("scan", CustomAttribute2="")]).mailboxes


def test_two_selections_that_give_a_mailbox_different_switches_stop_the_plan() -> None:
    """What this tool once planned again and again: each run set what the other selection took back."""
    all_of_them = declared(KIND, {"a": {"domain": "contoso.com", "smtp_auth": "enabled"}})["a"]
    faxes = declared(KIND, {"b": {"type": "shared", "smtp_auth": "disabled"}})["b"]
    there = {one.name: seen(one, SWITCHES, ROWS[:2]) for one in (all_of_them, faxes)}
    goals = {
        Address("mailbox_selection", one.name): dataclasses.replace(there[one.name], smtp_auth=one.smtp_auth)
        for one in (all_of_them, faxes)
    }
    linked = KIND.linked(faxes, Links(goals))
    (guard,) = KIND.guards(there["b"], linked)
    assert (guard.rule, "fax@contoso.com (a), scan@contoso.com (a)" in guard.summary) == ("SELECTION-CONTRADICTS", True)
    same = {at: dataclasses.replace(goal, smtp_auth="disabled") for at, goal in goals.items()}
    assert KIND.linked(faxes, Links(same)).contested is None


def test_a_switch_that_was_not_told_plans_nothing() -> None:
    assert isinstance(seen(spec(**PRINTERS), {"scan-guid": None}, ROWS), Unknown)


def test_each_mailbox_whose_switch_differs_is_set_by_a_write_of_its_own() -> None:
    there = seen(spec(**PRINTERS), SWITCHES, ROWS)
    at = Address("mailbox_selection", "printers")
    goal = KIND.linked(spec(**PRINTERS), Links({at: dataclasses.replace(there, smtp_auth="enabled")}))
    assert goal.mailboxes == frozenset({"scan@contoso.com enabled", "fax@contoso.com enabled"})
    assert [sent(step) for step in KIND.steps(there, goal)] == [
        ("Set-CASMailbox", {"Identity": "scan@contoso.com", "SmtpClientAuthenticationDisabled": False})
    ]
    assert [sent(step)[1]["SmtpClientAuthenticationDisabled"] for step in KIND.steps(goal, there)] == [None]
    (guard,) = KIND.guards(there, goal)
    assert (guard.rule, "scan@contoso.com" in guard.summary) == ("SELECTION-ENABLES", True)
    assert not [*KIND.guards(goal, goal), *KIND.guards(goal, there)]
    assert KIND.contribution(goal) == (
        SignIn("fax@contoso.com", "enabled"),
        SignIn("scan@contoso.com", "enabled"),
    )
    (advice,) = KIND.advice(goal, there)
    assert advice.summary == "2 mailboxes are selected: fax@contoso.com, scan@contoso.com"


def test_a_mailbox_that_smtp_auth_lists_by_any_name_is_left_out() -> None:
    lists = Address("smtp_auth", "old-scan@contoso.com"), SmtpAuth("old-scan@contoso.com", "disabled")
    linked = KIND.linked(spec(**PRINTERS), Links(dict([lists])))
    assert seen(linked, SWITCHES, ROWS).mailboxes == {"fax@contoso.com enabled"}


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({"smtp_auth": "enabled"}, "SELECTION-UNLIMITED"),
        ({"custom_attributes": {}, "smtp_auth": "enabled"}, "SELECTION-UNLIMITED"),
        ({"type": "shared"}, "SELECTION-SETS-NOTHING"),
        ({"custom_attributes": {"16": "x"}, "smtp_auth": "enabled"}, "ATTRIBUTE-INVALID"),
        ({"group": "Devices", "smtp_auth": "enabled"}, "EMAIL-INVALID"),
        ({"type": "linked", "smtp_auth": "enabled"}, "literal_error"),
    ],
    ids=str,
)
def test_what_selects_everything_or_sets_nothing_is_refused(body: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, {"printers": body})] == [mistake]
