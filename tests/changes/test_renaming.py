"""Renamed objects: recognised by mark, journal and body in this order, or kept; planned, saved and undone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from provisioner.changes import changeset, planning, rollback, scoping, verification
from provisioner.diagnostics import ChangeSetStale
from provisioner.model import (
    Absent,
    Action,
    Address,
    ChangeSet,
    Cmdlet,
    Desired,
    Observed,
    Present,
    Resource,
    Send,
)
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.outbound_connector import OutboundConnector

OWNER = "mail/prod"
GUID, OTHER_GUID = "0f9b6a3e-1111-4222-8333-444455556666", "0f9b6a3e-1111-4222-8333-444455557777"


def at(name: str) -> Address:
    return Address("inbound_connector", name)


def live(name: str, key: str | None, guid: str = GUID, **more: Any) -> InboundConnector:
    """A relay of this plan; `key` is what its mark names, "" in an old mark, None for no mark."""
    spec = InboundConnector(
        name,
        type="on_premises",
        enabled=True,
        sender_ip_addresses=frozenset({"52.202.8.242/32"}),
        sender_domains=frozenset({"*"}),
        require_tls=True,
        tls_sender_certificate_name="",
        comment="HQ",
        owner="" if key is None else OWNER,
        owner_key=key or "",
        source="default",
        names=frozenset({name, guid}),
    )
    return replace(spec, **more)


def wanted(name: str, **more: Any) -> InboundConnector:
    spec = InboundConnector(
        name,
        type="on_premises",
        sender_ip_addresses=frozenset({"52.202.8.242/32"}),
        comment="Relay",
        owner=OWNER,
        owner_key=name,
    )
    return replace(spec, **more)


def planned(
    declared: list[InboundConnector],
    there: list[InboundConnector],
    remembered: dict[Address, str] | None = None,
    scope: scoping.Scope | None = None,
    **rest: Any,
) -> ChangeSet:
    desired = Desired("contoso.onmicrosoft.com", OWNER, {at(s.name): Resource(at(s.name), s) for s in declared}, **rest)
    named = {at(s.name): s for s in there}
    resources = {a: Present(named[a]) if a in named else Absent() for a in desired.resources}
    undeclared = {a: s for a, s in named.items() if a not in resources}
    scope = scope or scoping.Scope()
    observed = Observed(resources, undeclared, remembered=remembered or {})
    return planning.plan(scoping.narrow(desired, TYPES, scope), observed, TYPES, scope=scope)


def deeds(found: ChangeSet) -> list[tuple[str, str]]:
    return [(c.action.value, c.address.key) for c in found.pending]


def rules(found: ChangeSet) -> list[str]:
    return [f.rule for f in found.findings]


def sent(found: ChangeSet) -> list[tuple[str, dict[str, Any]]]:
    requests = [s.request for c in found.pending for s in c.steps if isinstance(s, Send)]
    return [(r.name, dict(r.parameters)) for r in requests if isinstance(r, Cmdlet)]


# --- what identifies an object ---------------------------------------------------------------------------------------


def test_the_key_in_the_mark_identifies_an_object_whatever_else_it_says() -> None:
    found = planned([wanted("hq")], [live("HQ relay", "HQ", sender_ip_addresses=frozenset(), enabled=False)])
    (change,) = found.pending
    assert (change.address, change.action) == (at("hq"), Action.UPDATE)
    assert "its ownership mark names this key" in change.reason
    assert [side and side.name for side in (change.before, change.after)] == ["HQ relay", "hq"]


def test_a_new_name_alone_neither_opens_nor_closes_and_is_one_set_by_guid() -> None:
    found = planned([wanted("hq", comment="HQ")], [live("HQ relay", "hq")])
    assert [c.consequences for c in found.pending] == [("neutral",)]
    assert sent(found) == [("Set-InboundConnector", {"Identity": GUID, "Name": "hq"})]
    assert (found.applyable, found.complete, found.findings) == (True, True, ())
    assert found.unmanaged == ()


def test_the_journal_identifies_an_object_that_lost_its_mark_or_has_an_old_one() -> None:
    for key in (None, ""):
        there = live("HQ relay", key, require_tls=False, ef_skip_last_ip=True)
        found = planned([wanted("hq")], [there], {at("hq"): GUID})
        assert deeds(found) == [("update", "hq")]
        assert "the journal knows it by its Guid" in found.pending[0].reason
        assert sent(found)[0][1]["Comment"] == "Relay [provisioner: mail/prod [hq]]"


def test_the_journal_is_no_reason_to_take_over_the_object_of_another_plan() -> None:
    there = live("HQ relay", "hq", owner="others/prod")
    found = planned([wanted("hq")], [there], {at("hq"): GUID})
    assert deeds(found) == [("create", "hq")]
    assert [u.address for u in found.unmanaged] == [at("HQ relay")]


def test_the_only_equal_body_identifies_an_object_whose_key_the_plan_renamed() -> None:
    found = planned([wanted("site-south")], [live("site-north", "site-north")])
    assert deeds(found) == [("update", "site-south")]
    assert "no other marked object has this body" in found.pending[0].reason
    assert sent(found)[0] == (
        "Set-InboundConnector",
        {"Identity": GUID, "Name": "site-south", "Comment": "Relay [provisioner: mail/prod [site-south]]"},
    )


def test_what_the_plan_does_not_write_counts_for_an_equal_body_too() -> None:
    for more in ({"enabled": False}, {"require_tls": False}, {"associated_accepted_domains": frozenset({"a.example"})}):
        found = planned([wanted("south")], [live("north", "north", **more)])
        assert deeds(found) == [("create", "south"), ("delete", "north")]


def test_what_nothing_recognises_is_created_before_the_old_one_is_deleted() -> None:
    for name in ("a-new", "z-new"):
        there = live("m-old", "m-old", sender_ip_addresses=frozenset({"52.202.8.7/32"}))
        found = planned([wanted(name)], [there])
        assert deeds(found) == [("create", name), ("delete", "m-old")]
        assert "RENAMED-UNCLEAR" not in rules(found)


def test_the_mark_comes_before_the_journal_and_the_journal_before_the_body() -> None:
    two = [live("one", "hq"), live("two", "", OTHER_GUID)]
    by_mark = planned([wanted("hq")], two, {at("hq"): OTHER_GUID})
    assert by_mark.pending[0].observed.name == "one"  # type: ignore[union-attr]
    two = [live("one", "one", sender_ip_addresses=frozenset({"52.202.8.7/32"})), live("two", "two", OTHER_GUID)]
    by_id = planned([wanted("hq")], two, {at("hq"): GUID})
    assert by_id.pending[0].observed.name == "one"  # type: ignore[union-attr]


def test_outbound_connectors_are_recognised_alike() -> None:
    key = Address("outbound_connector", "to-bank")
    body: dict[str, Any] = {"type": "partner", "recipient_domains": frozenset({"bank.example"})}
    there = OutboundConnector(
        "Bank", **body, enabled=True, owner=OWNER, owner_key="to-bank", comment="", names=frozenset({"Bank", GUID})
    )
    desired = Desired(
        "contoso.onmicrosoft.com",
        OWNER,
        {key: Resource(key, OutboundConnector("to-bank", **body, owner=OWNER, owner_key="to-bank"))},
    )
    observed = Observed({key: Absent()}, {Address("outbound_connector", "Bank"): there})
    found = planning.plan(desired, observed, TYPES)
    assert sent(found) == [("Set-OutboundConnector", {"Identity": GUID, "Name": "to-bank"})]


def test_a_plan_without_owner_recognises_nothing() -> None:
    desired = Desired("contoso.onmicrosoft.com", "", {at("hq"): Resource(at("hq"), InboundConnector("hq"))})
    found = planning.plan(desired, Observed({at("hq"): Absent()}, {at("x"): live("x", "hq")}), TYPES)
    assert deeds(found) == [("create", "hq")]


# --- what identifies none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "there", "kept"),
    [
        (["hq"], [live("one", "hq"), live("two", "hq", OTHER_GUID)], ["one", "two"]),
        (["hq"], [live("one", "one"), live("two", "two", OTHER_GUID)], ["one", "two"]),
        (["a", "b"], [live("one", "one")], ["one"]),
        (["hq"], [live("one", "", sender_ip_addresses=frozenset({"52.202.8.240/28"}))], ["one"]),
    ],
)
def test_what_could_be_two_objects_is_told_and_nothing_is_deleted(
    declared: list[str], there: list[InboundConnector], kept: list[str]
) -> None:
    found = planned([wanted(name) for name in declared], there)
    assert deeds(found) == [("create", name) for name in declared]
    told = [f for f in found.findings if f.rule == "RENAMED-UNCLEAR"]
    assert [f.address.key for f in told if f.address] == kept
    assert (found.complete, found.applyable) == (False, True)


def test_a_copy_whose_mark_names_a_declared_connector_is_kept_and_told() -> None:
    found = planned([wanted("hq", comment="HQ")], [live("hq", "hq"), live("copy of hq", "hq", OTHER_GUID)])
    assert deeds(found) == []
    assert "RENAMED-UNCLEAR" in rules(found)
    absent = planned([wanted("hq")], [live("hq", "hq")], absent={at("copy"): None})
    assert "RENAMED-UNCLEAR" not in rules(absent)


def test_an_equal_body_is_not_that_of_an_object_whose_mark_names_another_declared_one() -> None:
    there = live("old", "b")
    body = {name: getattr(there, name) for name in ("comment", "require_tls", "sender_domains", "enabled")}
    found = planned([wanted("a", **body), wanted("b", comment="other")], [there])
    assert (deeds(found), "RENAMED-UNCLEAR" in rules(found)) == ([("create", "a"), ("update", "b")], False)


def test_an_old_mark_is_deleted_when_the_plan_lacks_nothing() -> None:
    found = planned([wanted("hq", comment="HQ")], [live("hq", ""), live("old", "", OTHER_GUID)])
    assert deeds(found) == [("delete", "old")]


def test_an_old_mark_on_a_connector_of_other_senders_is_deleted_in_the_same_plan() -> None:
    """Or the plan after an apply would not be empty: it lets nobody in whom a missing connector is for."""
    old = live("old", "", sender_ip_addresses=frozenset({"54.84.80.162/32"}))
    found = planned([wanted("new")], [old])
    assert [(c.address, c.action) for c in found.pending] == [
        (at("new"), Action.CREATE),
        (at("old"), Action.DELETE),
    ]
    certificate = {"sender_ip_addresses": frozenset(), "tls_sender_certificate_name": "mail.contoso.com"}
    found = planned([wanted("new", **certificate)], [old])
    assert [c.address for c in found.pending] == [at("new"), at("old")]
    kept = planned([wanted("new", comment="x")], [live("old", "", sender_ip_addresses=frozenset({"52.202.8.0/24"}))])
    assert [c.address for c in kept.pending] == [at("new")]
    assert [f.rule for f in kept.findings] == ["RENAMED-UNCLEAR"]


@pytest.mark.parametrize(
    ("domain", "pending", "told"),
    [("bank.example", ["new"], ["RENAMED-UNCLEAR"]), ("fund.example", ["new", "old"], [])],
)
def test_an_old_mark_on_an_outbound_connector_keeps_it_where_a_missing_one_has_its_recipients(
    domain: str, pending: list[str], told: list[str]
) -> None:
    new, old = (Address("outbound_connector", name) for name in ("new", "old"))
    body: dict[str, Any] = {"type": "on_premises", "recipient_domains": frozenset({"bank.example"}), "owner": OWNER}
    wanted = OutboundConnector("new", **body, smart_hosts=frozenset({"new.example"}), owner_key="new")
    there = OutboundConnector("old", **body, smart_hosts=frozenset({"old.example"}), enabled=True, owner_key="")
    there = replace(there, recipient_domains=frozenset({domain}))
    desired = Desired("contoso.onmicrosoft.com", OWNER, {new: Resource(new, wanted)})
    found = planning.plan(desired, Observed({new: Absent()}, {old: there}), TYPES)
    assert [c.address.key for c in found.pending] == pending
    assert [rule for rule in rules(found) if rule == "RENAMED-UNCLEAR"] == told


def test_an_old_mark_alone_is_no_change() -> None:
    found = planned([wanted("hq", comment="HQ")], [live("hq", "")])
    assert [c.action for c in found.changes] == [Action.NO_OP]
    assert found.changes[0].after == found.changes[0].before


# --- ignore, protect, scope ------------------------------------------------------------------------------------------


def test_what_the_plan_ignores_is_not_recognised_by_its_name_its_guid_or_its_key() -> None:
    for pattern in ("inbound_connector/HQ *", f"inbound_connector/{GUID}"):
        found = planned([wanted("hq")], [live("HQ relay", "hq")], ignore=(pattern,))
        assert deeds(found) == [("create", "hq")]
    found = planned([], [live("HQ relay", "hq")], ignore=("inbound_connector/hq",))
    assert deeds(found) == []


def test_protection_by_key_outlasts_a_new_name() -> None:
    found = planned([], [live("HQ relay", "hq")], protect=("inbound_connector/hq",))
    assert (deeds(found), rules(found)) == ([], ["PROTECTED"])


def test_a_renamed_object_outside_of_the_scope_is_neither_changed_nor_made_again() -> None:
    there = [live("HQ relay", "hq")]
    for scope in (
        scoping.Scope(excludes=("inbound_connector/HQ relay",)),
        scoping.Scope(excludes=("inbound_connector/hq",)),
    ):
        desired = [wanted("hq"), wanted("lab", sender_ip_addresses=frozenset({"52.202.8.9/32"}))]
        assert deeds(planned(desired, there, scope=scope)) == [("create", "lab")]


# --- what is saved and undone ----------------------------------------------------------------------------------------


def saved(found: ChangeSet) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(changeset.to_document(found)))
    return document


def test_a_saved_rename_is_derived_again() -> None:
    for remembered in ({}, {at("hq"): GUID, at("other"): OTHER_GUID}):
        found = planned([wanted("hq")], [live("HQ relay", "" if remembered else "hq")], remembered)
        document = saved(found)
        assert document["resource_changes"][0]["previous_address"] == 'inbound_connector["HQ relay"]'
        assert document["provisioner"]["basis"]["remembered"] == ({str(at("hq")): GUID} if remembered else {})
        assert verification.derive(document, TYPES, "x").pending == found.pending


def edited(document: dict[str, Any]) -> dict[str, Any]:
    document["provisioner"]["digest"] = changeset.digest(document)
    return document


def test_a_saved_rename_of_another_object_is_refused() -> None:
    document = saved(planned([wanted("hq")], [live("HQ relay", "hq"), live("theirs", None, OTHER_GUID)]))
    for step in document["resource_changes"][0]["provisioner"]["steps"]:
        step["send"]["parameters"]["Identity"] = OTHER_GUID
    with pytest.raises(ChangeSetStale, match=r"provisioner\.steps"):
        verification.derive(edited(document), TYPES, "x")
    document = saved(planned([wanted("hq")], [live("HQ relay", "hq"), live("theirs", None, OTHER_GUID)]))
    document["resource_changes"][0]["provisioner"]["observed"]["name"] = "theirs"
    with pytest.raises(ChangeSetStale, match="names another object, 'theirs'"):
        verification.derive(edited(document), TYPES, "x")
    document = saved(planned([wanted("hq")], [live("HQ relay", "hq")]))
    document["resource_changes"][0]["provisioner"]["observed"]["name"] = "nobody"
    with pytest.raises(ChangeSetStale, match="names another object, 'nobody'"):
        verification.derive(edited(document), TYPES, "x")


def test_undoing_a_run_keeps_the_name_that_the_plan_has_and_says_so() -> None:
    undone = rollback.Undone(
        at("hq"), InboundConnector("HQ relay", enabled=False), InboundConnector("hq", enabled=True)
    )
    there = {at("hq"): Present(live("hq", "hq"))}
    back = rollback.rollback([undone], there, TYPES, "contoso.onmicrosoft.com", OWNER)
    assert back.desired.resources[at("hq")].spec == InboundConnector("hq", enabled=False)
    assert back.left_out == ("inbound_connector[\"hq\"]: it keeps its name; before the run it was 'HQ relay'",)
