"""Outbound connectors that go while transport rules name them, without a tenant."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.changes import planning
from provisioner.diagnostics import Severity
from provisioner.mailflow.asking import further_questions, reduce_evidence
from provisioner.model import (
    Address,
    Answer,
    ChangeSet,
    Desired,
    Finding,
    Observation,
    Observed,
    Present,
    Unknown,
    request_key,
)
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.outbound_connector import OutboundConnector
from provisioner.resources.rows import transport_rule
from provisioner.resources.transport_rule import TransportRule

OUT, SIGN = Address("outbound_connector", "out"), Address("transport_rule", "Sign")
LIVE = OutboundConnector(
    "out",
    type="on_premises",
    enabled=True,
    is_transport_rule_scoped=True,
    smart_hosts=frozenset({"smtp.signatures.example"}),
    owner="mail/prod",
)
ROUTING = TransportRule("Sign", enabled=True, mode="enforce", route_message_outbound_connector="out")
GONE: dict[str, Any] = {"absent": ["outbound_connector/out"]}
OFF: dict[str, Any] = {"outbound_connectors": {"out": {"enabled": False}}}
UNMARKED: dict[str, Any] = {"owner": "mail/prod"}
FREED: dict[str, Any] = {"transport_rules": {"Sign": {"route_message_outbound_connector": "", "set_scl": 0}}}
KEPT: dict[str, Any] = {"transport_rules": {"Sign": {"comment": "signatures"}}}


def loaded(folder: Path, **sections: Any) -> Desired:
    (folder / "plan.yaml").write_text(
        yaml.safe_dump({"provisioner": 1, "tenant": "contoso.onmicrosoft.com", **sections})
    )
    return document.load(folder, TYPES, today=dt.date(2026, 11, 26))[0]


def seen(desired: Desired, answer: Answer | Unknown | None = None, live: OutboundConnector = LIVE) -> Observed:
    """A tenant with the connector, with the rule where the plan names it, and with the answer about all rules."""
    there: dict[Address, Any] = {OUT: live, SIGN: ROUTING}
    resources: dict[Address, Observation] = {a: Present(there[a]) for a in (*desired.resources, *desired.absent)}
    undeclared = {} if OUT in resources else {OUT: live}
    evidence = {} if answer is None else {request_key(transport_rule.REQUEST): answer}
    return Observed(resources, undeclared=undeclared, evidence=evidence)


def planned(folder: Path, answer: Answer | Unknown | None = None, **sections: Any) -> ChangeSet:
    desired = loaded(folder, **sections)
    return planning.plan(desired, seen(desired, answer=answer), TYPES)


def told(found: ChangeSet) -> list[Finding]:
    return [f for f in found.findings if "CONNECTOR-IN-USE" in f.rule + f.summary]


def rows(*rules: tuple[str, str], **more: Any) -> Answer:
    return Answer(tuple(
        {"Name": name, "State": "Enabled", "Mode": "Enforce", "Priority": place,
         "RouteMessageOutboundConnector": connector, **more}
        for place, (name, connector) in enumerate(rules)
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("sections", "does"), [(GONE, "deleted"), (UNMARKED, "deleted"), (OFF, "disabled")], ids=["absent", "mark", "off"]
)
@pytest.mark.parametrize("state", ["Enabled", "Disabled"])
def test_a_connector_that_a_rule_of_the_tenant_names_stays(
    tmp_path: Path, sections: dict[str, Any], does: str, state: str
) -> None:
    answer = rows(("Journal", ""), ("Sign", "out"), ("Footer", "OUT"), ("Other", "other"), State=state)
    (found,) = told(planned(tmp_path, answer, **sections))
    assert found.summary == (
        f'{OUT} would be {does}, and the transport rule "Footer", the transport rule "Sign" still name it'
    )
    assert (found.severity, found.blocks, found.address) == (Severity.ERROR, "apply", OUT)


@pytest.mark.parametrize(("sections", "count"), [(GONE, 1), (UNMARKED, 1), (OFF, 0)])
def test_one_that_is_disabled_already_can_only_be_deleted(tmp_path: Path, sections: dict[str, Any], count: int) -> None:
    desired, live = loaded(tmp_path, **sections), dataclasses.replace(LIVE, enabled=False)
    observed = seen(desired, rows(("Sign", "out")), live)
    assert len(told(planning.plan(desired, observed, TYPES))) == count
    assert len(further_questions(desired, observed)) == count


@pytest.mark.parametrize("connector", [GONE, UNMARKED, OFF])
def test_a_declared_rule_that_still_names_it_is_told_although_no_other_rule_was_read(
    tmp_path: Path, connector: dict[str, Any]
) -> None:
    (found,) = told(planned(tmp_path, **connector, **KEPT))
    assert f"and {SIGN} still names it" in found.summary


@pytest.mark.parametrize("connector", [GONE, UNMARKED, OFF])
@pytest.mark.parametrize("rule", [FREED, {"absent": ["transport_rule/Sign"]}])
@pytest.mark.parametrize("hosts", [frozenset[str](), LIVE.smart_hosts])
def test_the_rule_is_changed_before_the_connector_that_it_names(
    tmp_path: Path, connector: dict[str, Any], rule: dict[str, Any], hosts: frozenset[str]
) -> None:
    """Also one that follows MX records, which takes nothing from anybody where it goes."""
    both = {**connector, **rule, "absent": [*connector.get("absent", ()), *rule.get("absent", ())]}
    live = dataclasses.replace(LIVE, type="partner", smart_hosts=hosts)
    desired = loaded(tmp_path, **both)
    found = planning.plan(desired, seen(desired, answer=rows(("Sign", "out")), live=live), TYPES)
    assert told(found) == []
    assert [change.address for change in found.changes] == [SIGN, OUT]


@pytest.mark.parametrize(
    "sections",
    [{"outbound_connectors": {"out": {"comment": "signatures"}}}, {"owner": "other/plan"}, {}],
)
def test_a_connector_that_stays_is_nobodys_concern(tmp_path: Path, sections: dict[str, Any]) -> None:
    assert told(planned(tmp_path, rows(("Sign", "out")), **sections)) == []


@pytest.mark.parametrize(
    "answer", [Unknown("the account may not", "permission"), Answer(({"RouteMessageOutboundConnector": "out"},))]
)
def test_rules_that_could_not_be_read_are_said(tmp_path: Path, answer: Answer | Unknown) -> None:
    (found,) = told(planned(tmp_path, answer, **GONE))
    assert (found.rule, found.blocks) == ("RULE-NOT-DECIDED", "")
    assert f"whether a transport rule names {OUT} is not known" in found.summary


@pytest.mark.parametrize(
    ("sections", "asked"),
    [
        (GONE, True),
        (UNMARKED, True),
        (OFF, True),
        ({"outbound_connectors": {"out": {"comment": "signatures"}}}, False),
        (KEPT, False),
        ({}, False),
    ],
)
def test_rules_are_read_where_a_connector_goes(tmp_path: Path, sections: dict[str, Any], asked: bool) -> None:
    desired = loaded(tmp_path, **sections)
    assert list(further_questions(desired, seen(desired))) == ([transport_rule.REQUEST] if asked else [])


def test_what_the_rule_needs_of_the_answer_is_kept(tmp_path: Path) -> None:
    desired = loaded(tmp_path, **GONE)
    observed = seen(desired, answer=rows(("Sign", "out"), Manager="x"))
    (kept,) = reduce_evidence(observed, desired).values()
    assert kept == rows(("Sign", "out"))
