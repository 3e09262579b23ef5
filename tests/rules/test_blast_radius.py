"""How much of a tenant, or of what a plan owns, may change before a person has to say so; and other rules of the whole
picture, each asked alone with changes that are made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from provisioner.diagnostics import Location, Severity
from provisioner.model import (
    Absent,
    Action,
    Address,
    Change,
    Desired,
    Finding,
    Observation,
    Observed,
    Present,
    Resource,
)
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.mailbox_selection import MailboxSelection
from provisioner.resources.send_as import SendAs
from provisioner.resources.smtp_auth import SmtpAuth
from provisioner.rules import check

KINDS = {t.name: t for t in TYPES}
AT = Location("plan.yaml", 3, 3)


def switch(number: int) -> Address:
    return Address("smtp_auth", f"m{number}@contoso.com")


def connector(number: int) -> Address:
    return Address("inbound_connector", f"c{number}")


def changed(action: Action, *addresses: Address) -> list[Change]:
    return [Change(a, action, None, None) for a in addresses]


def blast(changes: list[Change], observed: Observed, desired: Desired | None = None) -> list[str]:
    """The summaries of the rule. Objects that are there are declared, unless a plan is given."""
    declared = {a: Resource(a, SmtpAuth(a.key)) for a in observed.resources}
    found = check(desired or Desired("contoso", "", declared), observed, changes, KINDS)
    told = [f for f in found if f.rule == "BLAST-RADIUS"]
    assert all((f.severity, f.blocks) == (Severity.ERROR, "apply") for f in told)
    return [f.summary for f in told]


def there(count: int, **rest: Any) -> Observed:
    seen: Mapping[Address, Observation] = {switch(i): Present(SmtpAuth(switch(i).key)) for i in range(count)}
    return Observed(seen, **rest)


@pytest.mark.parametrize(
    ("action", "touched", "total", "summary"),
    [
        (Action.UPDATE, 3, 10, ""),
        (Action.UPDATE, 4, 10, "4 of 10 smtp_auth objects would be updated: 40 %"),
        (Action.DELETE, 4, 10, "4 of 10 smtp_auth objects would be deleted: 40 %"),
        (Action.UPDATE, 9, 9, ""),
        (Action.UPDATE, 6, 20, ""),
        (Action.UPDATE, 7, 20, "7 of 20 smtp_auth objects would be updated: 35 %"),
        (Action.UPDATE, 11, 11, "11 of 11 smtp_auth objects would be updated: 100 %"),
        (Action.NO_OP, 10, 10, ""),
        (Action.CREATE, 10, 10, ""),
    ],
)
def test_more_than_three_in_ten_of_ten_or_more(action: Action, touched: int, total: int, summary: str) -> None:
    changes = changed(action, *(switch(i) for i in range(touched)))
    assert blast(changes, there(total)) == ([summary] if summary else [])


def test_deletes_and_updates_are_counted_apart_and_told_together() -> None:
    ten = there(10)
    both = [*changed(Action.DELETE, *map(switch, range(3))), *changed(Action.UPDATE, *map(switch, range(3, 6)))]
    assert blast(both, ten) == []
    more = [*changed(Action.DELETE, *map(switch, range(4))), *changed(Action.UPDATE, *map(switch, range(4, 9)))]
    (told,) = blast(more, ten)
    assert told == (
        "4 of 10 smtp_auth objects would be deleted: 40 %; 5 of 10 smtp_auth objects would be updated: 50 %"
    )


def test_only_what_exists_counts_and_more_changes_than_objects_count_as_all_of_them() -> None:
    absent: dict[Address, Observation] = {switch(i): Absent() for i in range(10, 40)}
    seen = Observed({**there(10).resources, **absent})
    assert len(blast(changed(Action.UPDATE, *map(switch, range(4))), seen)) == 1
    assert blast(changed(Action.UPDATE, *map(switch, range(12))), there(2), Desired("x", "", {
        switch(i): Resource(switch(i), SmtpAuth(switch(i).key)) for i in range(12)
    })) == ["12 of 12 smtp_auth objects would be updated: 100 %"]  # fmt: skip


@pytest.mark.parametrize(("exclusive", "count"), [(frozenset({"smtp_auth"}), 0), (frozenset[str](), 1)])
@pytest.mark.parametrize(
    "rest",
    [
        {"undeclared": {switch(i): SmtpAuth(switch(i).key) for i in range(100, 110)}},
        {"others": {"smtp_auth": 10}},
    ],
)
def test_undeclared_objects_count_where_the_plan_may_change_any(
    rest: dict[str, Any], exclusive: frozenset[str], count: int
) -> None:
    declared = {switch(i): Resource(switch(i), SmtpAuth(switch(i).key)) for i in range(10)}
    desired = Desired("contoso", "us/prod", declared, exclusive=exclusive)
    changes = changed(Action.UPDATE, *map(switch, range(4)))
    assert len(blast(changes, there(10, **rest), desired)) == count


@pytest.mark.parametrize(("owner", "count"), [("us/prod", 0), ("", 1)])
def test_a_type_with_marks_is_claimed_by_a_plan_that_names_its_owner(owner: str, count: int) -> None:
    seen: dict[Address, Observation] = {connector(i): Present(InboundConnector(f"c{i}")) for i in range(10)}
    declared = {a: Resource(a, InboundConnector(a.key)) for a in seen}
    observed = Observed(seen, others={"inbound_connector": 10})
    changes = changed(Action.UPDATE, *map(connector, range(4)))
    assert len(blast(changes, observed, Desired("contoso", owner, declared))) == count


def selected(**states: range) -> MailboxSelection:
    entries = (f"m{i}@contoso.com {state}" for state, numbers in states.items() for i in numbers)
    return MailboxSelection("printers", mailboxes=frozenset(entries))


@pytest.mark.parametrize("state", ["enabled", "disabled"])
@pytest.mark.parametrize(
    ("selection", "changes", "listed", "summary"),
    [
        (12, 12, 0, "12 of 12 smtp_auth objects would be updated: 100 %"),
        (12, 4, 0, "4 of 12 smtp_auth objects would be updated: 33 %"),
        (12, 3, 0, ""),
        (9, 9, 0, ""),
        (12, 12, 28, ""),
        (12, 12, 27, "12 of 39 smtp_auth objects would be updated: 30 %"),
    ],
)
def test_a_selection_counts_with_its_mailboxes(
    state: str, selection: int, changes: int, listed: int, summary: str
) -> None:
    """Among all mailboxes whose switch the plan sets: those of selections, and those that it lists."""
    address = Address("mailbox_selection", "printers")
    after = selected(**{state: range(selection)})
    before = selected(**{"inherit": range(changes), state: range(changes, selection)})
    observed = Observed(
        {address: Present(before), **{switch(i): Present(SmtpAuth(switch(i).key)) for i in range(100, 100 + listed)}}
    )
    desired = Desired("contoso", "", {address: Resource(address, after)})
    assert blast([Change(address, Action.UPDATE, before, after)], observed, desired) == ([summary] if summary else [])


def test_mailboxes_that_are_listed_and_selected_count_together() -> None:
    address = Address("mailbox_selection", "printers")
    before, after = selected(inherit=range(10, 12)), selected(disabled=range(10, 12))
    observed = Observed({**there(10).resources, address: Present(before)})
    changes = [*changed(Action.UPDATE, *map(switch, range(2))), Change(address, Action.UPDATE, before, after)]
    assert blast(changes, observed) == ["4 of 12 smtp_auth objects would be updated: 33 %"]


GONE = "of this plan would be taken away: nothing declares it any more"


@pytest.mark.parametrize(
    ("action", "gone", "kept", "summary"),
    [
        (Action.DELETE, 1, 0, f"the last inbound_connector object {GONE}"),
        (Action.DELETE, 2, 0, f"all 2 inbound_connector objects {GONE}"),
        (Action.DELETE, 2, 1, f"2 of 3 inbound_connector objects {GONE}"),
        (Action.DELETE, 1, 1, ""),
        (Action.DELETE, 2, 2, ""),
        (Action.DELETE, 3, 2, f"3 of 5 inbound_connector objects {GONE}"),
        # One override that is reset is nobody's lost file.
        (Action.UPDATE, 1, 0, ""),
        (Action.UPDATE, 2, 0, f"all 2 inbound_connector objects {GONE}"),
        (Action.NO_OP, 2, 0, ""),
    ],
)
def test_taking_away_most_of_what_a_plan_owns(action: Action, gone: int, kept: int, summary: str) -> None:
    stays = {connector(i): Resource(connector(i), InboundConnector(f"c{i}")) for i in range(100, 100 + kept)}
    changes = changed(action, *map(connector, range(gone)))
    for desired in (Desired("contoso", "us/prod", stays), Desired("contoso", "us/prod", {}, set_aside=stays)):
        assert blast(changes, Observed({}), desired) == ([summary] if summary else [])


def test_what_is_listed_under_absent_is_meant() -> None:
    desired = Desired("contoso", "us/prod", {}, absent=dict.fromkeys(map(connector, range(3))))
    assert blast(changed(Action.DELETE, *map(connector, range(3))), Observed({}), desired) == []


# --- owners, the wizard, one mailbox twice ---------------------------------------------------------------------------


def told(desired: Desired, seen: dict[Address, Observation], *changes: Change) -> list[Finding]:
    return list(check(desired, Observed(seen), changes, KINDS))


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        ("us/prod", 'belongs to "eu/prod", not to "us/prod"'),
        ("", 'belongs to "eu/prod", not to this plan, which names no owner'),
        ("eu/prod", ""),
    ],
)
@pytest.mark.parametrize("tombstone", [False, True])
def test_another_owner_is_named_at_the_place_in_the_plan(ours: str, words: str, tombstone: bool) -> None:
    hq = connector(1)
    resources = {} if tombstone else {hq: Resource(hq, InboundConnector("c1"), AT)}
    desired = Desired("contoso", ours, resources, absent={hq: AT} if tombstone else {})
    found = told(desired, {hq: Present(InboundConnector("c1", owner="eu/prod"))})
    assert [(f.rule, f.summary, f.blocks, f.address, f.location) for f in found] == (
        [("OWNER-FOREIGN", f'inbound_connector["c1"] {words}', "apply", hq, AT)] if words else []
    )
    assert told(desired, {hq: Absent()}) == []


def test_a_change_of_what_the_wizard_made_is_told_where_it_is_declared() -> None:
    hq, other = connector(1), connector(2)
    desired = Desired("contoso", "", {hq: Resource(hq, InboundConnector("c1"), AT)})
    seen: dict[Address, Observation] = {
        a: Present(InboundConnector(a.key, source="hybrid_wizard")) for a in (hq, other)
    }
    update = changed(Action.NO_OP, connector(3)) + changed(Action.UPDATE, hq, other)
    found = [f for f in told(desired, seen, *update) if f.rule == "HYBRID-CONNECTOR"]
    assert [(f.address, f.location, f.blocks) for f in found] == [(hq, AT, "apply"), (other, None, "apply")]
    assert told(desired, seen, *changed(Action.NO_OP, hq)) == []


def test_every_further_name_of_one_mailbox_is_told() -> None:
    a, b, c = (switch(i) for i in range(3))
    desired = Desired("contoso", "", {x: Resource(x, SmtpAuth(x.key), AT) for x in (a, b, c)})
    one = {x: Present(SmtpAuth(x.key, "inherit", "m0@contoso.com")) for x in (a, b, c)}
    found = told(desired, dict(one))
    assert [(f.rule, f.address, f.blocks, f.location) for f in found] == [
        ("SAME-MAILBOX", b, "precondition", AT),
        ("SAME-MAILBOX", c, "precondition", AT),
    ]
    assert found[0].summary == f"{a} and {b} are two names of one object, m0@contoso.com"
    later: dict[Address, Observation] = {a: Absent(), b: one[b], c: one[c]}
    assert [f.address for f in told(desired, later)] == [c], "one that does not exist stops nothing"
    unknown: dict[Address, Observation] = {a: Absent(), b: Present(SmtpAuth(b.key, "inherit")), c: one[c]}
    assert told(desired, unknown) == []


def test_two_names_of_one_right_are_a_warning() -> None:
    keys = ("erp@contoso.com as invoices@contoso.com", "sap@contoso.com as invoices@contoso.com")
    a, b = (Address("send_as", key) for key in keys)
    desired = Desired("contoso", "", {x: Resource(x, SendAs(x.key), AT) for x in (a, b)})
    (found,) = told(desired, {x: Present(SendAs(x.key, trustee_id="g-1", sender_id="g-2")) for x in (a, b)})
    assert (found.rule, found.severity, found.blocks) == ("SAME-MAILBOX", Severity.WARNING, "")
    assert found.summary == f"{a} and {b} are two names of one object, g-1 as g-2"
