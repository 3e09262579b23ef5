"""Transport rules: forms, places by name, switches of their own, and what is dangerous."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Absent, Address, Links, Ref, Unknown
from provisioner.model.picture import MailRule, Privilege, Route
from provisioner.resources.transport_rule import TransportRuleType
from tests.resources.recorded import answer, declared, mistakes, sent

KIND = TransportRuleType()
ROW: dict[str, Any] = {
    "Name": "Mark",
    "State": "Enabled",
    "Priority": 1,
    "Mode": "Enforce",
    "From": None,
    "SenderDomainIs": None,
    "SenderIpRanges": ["203.0.113.10"],
    "RecipientDomainIs": None,
    "SenderAddressLocation": "Header",
    "SetHeaderName": "X-Device",
    "SetHeaderValue": "yes",
    "SetSCL": None,
    "RouteMessageOutboundConnector": None,
    "StopRuleProcessing": False,
    "Comments": None,
    "Conditions": ["a.SenderIpRangesPredicate"],
    "Actions": ["a.SetHeaderAction"],
    "Exceptions": [],
}
OTHERS = [{**ROW, "Name": "First", "Priority": 0}, {**ROW, "Name": "Last", "Priority": 2}]


def live(**columns: Any) -> Any:
    (found,) = answer(KIND, {}, [{**ROW, **columns}], everything=True).values()
    return found


def planned(body: dict[str, Any], *rows: dict[str, Any]) -> Any:
    connectors = [[{"Name": "Another"}], []] if body.get("route_message_outbound_connector") else []
    return answer(KIND, declared(KIND, {"mark": body}), [*OTHERS, *rows], *connectors).get("mark")


def test_a_row_is_read_and_written_as_a_plan_would() -> None:
    assert KIND.written_form(live()) == (
        ("Mark",),
        {"sender_ip_ranges": ["203.0.113.10/32"], "set_header_name": "X-Device", "set_header_value": "yes"},
    )
    assert live(SetSCL="-1").set_scl == live(SetSCL=-1).set_scl == -1
    assert KIND.written_form(live(SenderIpRanges=None)) is None
    assert list(KIND.unwritable(live())) == []
    more = live(Conditions=["a.X", "a.Y"], Exceptions=["a.Z"])
    assert list(KIND.unwritable(more)) == ["other conditions and exceptions cannot be written, and stay as they are"]


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"a": {"set_scl": 10}}, "literal_error"),
        ({"a": {"set_header_name": "X Device", "set_header_value": "y"}}, "HEADER-INVALID"),
        ({"a": {"set_header_name": "X-Device", "set_header_value": ""}}, "TRANSPORT-RULE-HEADER"),
        ({"a": {"comment": "x" * 1025}}, "COMMENT-LONG"),
        ({"a" * 65: {}}, "TRANSPORT-RULE-NAME-INVALID"),
        ({"a": {"before": ["A"]}}, "TRANSPORT-RULE-ORDER"),
        ({"a": {"before": ["b"]}, "B": {"before": ["c"]}, "c": {"before": ["A"]}}, "TRANSPORT-RULE-ORDER"),
        ({"a": {"priority": 3}}, "extra_forbidden"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_service_would_not_take_is_refused(section: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [mistake]


def test_a_new_rule_goes_before_the_first_that_it_must_and_else_last() -> None:
    wanted = declared(KIND, {"mark": {"set_scl": 5, "enabled": False, "before": ["last", "FIRST"]}})["mark"]
    there = planned({"set_scl": 5, "before": ["last", "FIRST"]})
    assert isinstance(there, Absent)
    assert there.known is not None
    assert there.known.place == "FIRST"
    look, new = KIND.steps(None, dataclasses.replace(wanted, place="FIRST"))
    assert sent(look) == ("Get-TransportRule", {"Identity": "FIRST"})
    made = {"Name": "mark", "Enabled": False, "SetSCL": 5, "Priority": Ref(0, "Priority")}
    assert sent(new) == ("New-TransportRule", made)
    assert "Priority" not in sent(KIND.steps(None, wanted)[0])[1]


def test_a_new_rule_without_an_action_is_not_sent() -> None:
    there = planned({"senders": ["scan@contoso.com"]})
    assert isinstance(there, Absent)
    assert there.reason == "a new rule needs an action"
    assert "mark" not in answer(KIND, declared(KIND, {"mark": {"set_scl": 0}}), OTHERS), "plainly absent"
    assert planned({"senders": ["scan@contoso.com"]}, ROW).set_header_name == "X-Device", "one that exists has its own"


def test_a_connector_is_meant_without_case() -> None:
    """What this tool once planned again and again: the service stores the connector's own spelling."""
    row = {**ROW, "RouteMessageOutboundConnector": "To-Signatures"}
    assert planned({"route_message_outbound_connector": "to-signatures"}, row) == dataclasses.replace(
        planned({}, row), route_message_outbound_connector="to-signatures"
    )
    assert planned({"route_message_outbound_connector": "another"}, row).route_message_outbound_connector == (
        "To-Signatures"
    )
    links = Links({Address("outbound_connector", "To-Signatures"): None})
    wanted = declared(KIND, {"mark": {"route_message_outbound_connector": "to-signatures"}})["mark"]
    assert KIND.needs(KIND.linked(wanted, links)) == (Address("outbound_connector", "To-Signatures"),)


@pytest.mark.parametrize(("name", "known"), [("another", True), ("nowhere", False)])
def test_a_connector_that_neither_plan_nor_tenant_has_is_named_before_anything_is_sent(name: str, known: bool) -> None:
    for rows in ([], [ROW]):
        there = planned({"route_message_outbound_connector": name}, *rows)
        assert isinstance(there, Absent | Unknown) is not known or (known and there is None)
        assert known or f'outbound connector "{name}", which the tenant does not have' in there.reason
    wanted = declared(KIND, {"mark": {"route_message_outbound_connector": name}})["mark"]
    linked = KIND.linked(wanted, Links({Address("outbound_connector", name.upper()): None}))
    assert [str(query.request) for query in KIND.queries({"mark": linked}, False)] == ["Get-TransportRule"]
    routing = {**ROW, "RouteMessageOutboundConnector": name}
    assert answer(KIND, {"mark": linked}, [routing])["mark"].routed, (
        "what follows from the plan is no gap of the answer"
    )


def test_an_scl_of_zero_is_an_action() -> None:
    row = {"SetSCL": 0, "SetHeaderName": None, "SetHeaderValue": None, "Actions": ["a.SetSclAction"]}
    assert list(KIND.unwritable(live(**row))) == []


def test_a_rule_moves_only_where_it_stands_behind_one_that_it_must_precede() -> None:
    assert planned({"before": ["Last"]}, ROW).before == {"Last"}
    there = planned({"before": ["Last", "First"]}, ROW)
    assert (there.before, there.place) == ({"Last"}, "First")
    goal = dataclasses.replace(there, before=frozenset({"Last", "First"}))
    assert [sent(step) for step in KIND.steps(there, goal)] == [
        ("Get-TransportRule", {"Identity": "First"}),
        ("Set-TransportRule", {"Identity": "mark", "Priority": Ref(0, "Priority")}),
    ]
    assert KIND.steps(goal, there) == (), "a place is never gone back to"
    assert planned({"set_scl": "none"}, ROW).before is None


def test_a_name_that_no_rule_has_plans_nothing() -> None:
    assert isinstance(planned({"before": ["Nobody"]}, ROW), Unknown)
    there = planned({"before": ["Nobody"]})
    assert isinstance(there, Absent)
    assert "Nobody" in there.reason
    both = declared(KIND, {"mark": {"before": ["new"]}, "New": {}})
    links = Links({Address("transport_rule", key): spec for key, spec in both.items()})
    linked = KIND.linked(both["mark"], links)
    assert answer(KIND, {"mark": linked}, [ROW])["mark"].before == {"new"}, "it will go last"


def test_rules_of_a_plan_are_changed_one_after_the_other_in_their_order() -> None:
    section = {
        "mark": {"before": ["Other"]},
        "other": {"route_message_outbound_connector": "out", "before": ["Disclaimer"]},
        "alone": {},
    }
    wanted = declared(KIND, section)
    links = Links({Address("transport_rule", key): spec for key, spec in wanted.items()})
    linked = {key: KIND.linked(spec, links) for key, spec in wanted.items()}
    assert linked["mark"].before == frozenset({"Other", "Disclaimer"}), (
        "what comes before a rule comes before what follows it"
    )
    assert (linked["mark"].declared, linked["other"].declared) == (frozenset({"Other"}), None)
    assert KIND.needs(linked["other"]) == (
        Address("transport_rule", "mark"),
        Address("outbound_connector", "out"),
    )
    assert [KIND.needs(linked[key]) for key in ("mark", "alone")] == [(Address("transport_rule", "alone"),), ()]
    again = Links({Address("transport_rule", key): spec for key, spec in linked.items()})
    assert {key: KIND.linked(spec, again) for key, spec in linked.items()} == linked


def test_a_rule_that_stays_in_its_place_waits_for_no_other() -> None:
    """What it spares or keeps back may have to change before or after what another rule does."""
    wanted = declared(KIND, {"mark": {"before": ["other"]}, "other": {}, "new": {"before": ["mark"]}})
    specs = {Address("transport_rule", key): spec for key, spec in wanted.items()}
    present = frozenset(address for address in specs if address.key != "new")
    links = Links(specs, present=present)
    assert [KIND.linked(wanted[key], links).after for key in wanted] == [None, None, None]
    moved = {**specs, Address("transport_rule", "mark"): dataclasses.replace(wanted["mark"], place="other")}
    linked = KIND.linked(wanted["mark"], Links(moved, present=present))
    assert linked.after == frozenset({"new"})


def test_a_rule_is_switched_on_last_and_off_first() -> None:
    off = dataclasses.replace(live(), enabled=False, set_scl="none")
    on = dataclasses.replace(off, enabled=True, set_scl=5)
    assert [sent(step)[0] for step in KIND.steps(off, on)] == ["Set-TransportRule", "Enable-TransportRule"]
    assert [sent(step)[0] for step in KIND.steps(on, off)] == ["Disable-TransportRule", "Set-TransportRule"]
    assert sent(KIND.steps(on, off)[1])[1] == {"Identity": "Mark", "SetSCL": None}


@pytest.mark.parametrize(
    ("before", "after", "rules"),
    [
        ({}, {"set_scl": -1}, ["TRANSPORT-RULE-BYPASS"]),
        ({"set_scl": -1}, {"set_scl": -1, "sender_ip_ranges": frozenset({"192.0.2.0/24"})}, ["TRANSPORT-RULE-BYPASS"]),
        ({"set_scl": -1}, {"set_scl": -1, "senders": frozenset({"a@contoso.com"})}, []),
        ({"set_scl": -1, "enabled": False}, {"set_scl": -1}, ["TRANSPORT-RULE-BYPASS"]),
        ({}, {"set_scl": -1, "enabled": False}, []),
        ({}, {"set_scl": -1, "mode": "audit"}, []),
        ({}, {"set_scl": 5}, ["TRANSPORT-RULE-SPAM"]),
        ({"set_scl": 9}, {"set_scl": 5}, []),
        ({"set_scl": 9}, {"set_scl": 9, "sender_ip_ranges": frozenset({"192.0.2.0/24"})}, ["TRANSPORT-RULE-SPAM"]),
        ({}, {"set_scl": 4}, []),
        ({}, {"route_message_outbound_connector": "out"}, ["TRANSPORT-RULE-ROUTE"]),
        ({}, {"sender_ip_ranges": frozenset()}, ["TRANSPORT-RULE-EVERY-MESSAGE"]),
        ({}, {"set_header_value": "no"}, []),
        ({}, {"set_header_value": ""}, ["TRANSPORT-RULE-INCOMPLETE"]),
        ({}, {"set_header_name": "", "set_header_value": ""}, ["TRANSPORT-RULE-INCOMPLETE"]),
        ({}, {"set_header_name": "", "set_header_value": "", "more": "other actions"}, []),
        ({}, {"set_header_value": None}, []),
    ],
    ids=str,
)
def test_what_is_dangerous_is_guarded_where_it_begins(
    before: dict[str, Any], after: dict[str, Any], rules: list[str]
) -> None:
    one, other = (dataclasses.replace(live(), **values) for values in (before, after))
    assert [guard.rule for guard in KIND.guards(one, other)] == rules


def test_what_a_rule_does_to_mail() -> None:
    there = live(SetSCL=-1, RouteMessageOutboundConnector="out")
    assert KIND.contribution(there) == (
        Privilege("set_scl", frozenset({"203.0.113.10/32"})),
        Route(frozenset({'mail of the rule "Mark"'}), frozenset({"out"})),
        MailRule("Mark", networks=frozenset({"203.0.113.10/32"}), scl=-1, connector="out"),
    )
    assert live(RouteMessageOutboundRequireTls=True).route_message_outbound_require_tls is True
    assert KIND.contribution(dataclasses.replace(there, enabled=False)) == KIND.contribution(live()) == ()
    off, unwritten = (dataclasses.replace(there, enabled=enabled) for enabled in (False, None))
    assert KIND.in_force(there, off)
    assert KIND.leaves_off(off, unwritten)
    assert not KIND.leaves_off(off, there)
    assert not KIND.leaves_off(there, unwritten)


def test_rules_that_must_come_before_each_other_are_named_as_the_plan_spells_them() -> None:
    for names, told in ((["Mark"], "Mark before Mark"), (["A", "b", "C"], "A before b before C before A")):
        section = {n: {"before": [names[(i + 1) % len(names)].lower()]} for i, n in enumerate(names)}
        with pytest.raises(ValueError, match=f"the order contradicts itself: {told} "):
            declared(KIND, section)
