"""The sending paths of a change set: which open and close, for whom, and which devices use them."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest

from provisioner.changes import planning
from provisioner.model import Absent, Address, Observation, Observed, Present
from provisioner.model.paths import SendingPath
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import INHERIT, AuthenticationPolicy
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.smtp_auth import SmtpAuth

PLAN = """
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: us/prod
smtp_auth:
  mailboxes: { erp@contoso.com: SWITCH }
authentication_policies:
  block: { allow_basic_smtp: false }
assignments:
  authentication_policy:
    mailboxes: { erp@contoso.com: POLICY }
"""
DEVICE = """
devices:
  erp:
    from: erp@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [AUTHENTICATION] }
    method: client_submission
"""
ERP = "erp@contoso.com"


def paths(folder: Path, text: str, was: str) -> dict[tuple[str, ...], SendingPath]:
    """The paths of the mailbox by what signs in there. Its switch was this word, and it had no policy of its own."""
    (folder / "plan.yaml").write_text(text, encoding="utf-8")
    desired, _ = document.load(folder / "plan.yaml", TYPES, today=datetime.date(2026, 11, 23))
    seen: dict[Address, Observation] = {
        **dict.fromkeys(desired.resources, Absent()),
        Address("authentication_policy", "block"): Present(AuthenticationPolicy("block", allow_basic_smtp=False)),
        Address("authentication_policy_assignment", ERP): Present(PolicyAssignment(ERP, policy=INHERIT)),
        Address("smtp_auth", ERP): Present(SmtpAuth(ERP, was)),
    }
    found = planning.plan(desired, Observed(seen), TYPES).paths
    return {path.ways: path for path in found if path.kind == "mailbox"}


@pytest.mark.parametrize(
    ("was", "switch", "gains", "loses"), [("disabled", "enabled", True, False), ("enabled", "disabled", False, True)]
)
def test_who_has_no_other_way_gains_or_loses_with_the_path(
    tmp_path: Path, was: str, switch: str, gains: bool, loses: bool
) -> None:
    (path,) = paths(tmp_path, PLAN.replace("SWITCH", switch).replace("POLICY", "inherit"), was).values()
    assert (path.gains, path.loses) == (gains, loses)


@pytest.mark.parametrize(("authentication", "way"), [("basic", "password"), ("oauth", "OAuth")])
def test_a_device_uses_the_path_of_what_it_signs_in_with(tmp_path: Path, authentication: str, way: str) -> None:
    text = (PLAN + DEVICE).replace("AUTHENTICATION", authentication)
    found = paths(tmp_path, text.replace("SWITCH", "enabled").replace("POLICY", "block"), "enabled")
    assert {ways: path.devices for ways, path in found.items() if path.devices} == {(way,): ("erp",)}


# --- the paths of the organization and of connectors ------------------------------------------------------------------

HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\nowner: us/prod\n"
OLD = InboundConnector(
    "old", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"198.51.100.7/32"}), owner="us/prod"
)


def all_paths(folder: Path, text: str, *live: tuple[str, Any], **more: Any) -> list[SendingPath]:
    """Every path of a plan in a tenant with these objects, by their short addresses."""
    (folder / "plan.yaml").write_text(HEAD + text, encoding="utf-8")
    desired, _ = document.load(folder / "plan.yaml", TYPES, today=datetime.date(2026, 11, 23))
    there = {Address.parse(short): spec for short, spec in live}
    seen: dict[Address, Observation] = {a: Present(there[a]) if a in there else Absent() for a in desired.resources}
    undeclared = {a: spec for a, spec in there.items() if a not in seen}
    return list(planning.plan(desired, Observed(seen, undeclared, **more), TYPES).paths)


@pytest.mark.parametrize(
    ("was", "switch", "state"), [("disabled", "enabled", "opens"), ("enabled", "disabled", "closes")]
)
def test_the_mailboxes_that_inherit_a_switch_are_counted(tmp_path: Path, was: str, switch: str, state: str) -> None:
    text, live = f"smtp_auth: {{ organization: {switch} }}\n", ("smtp_auth/organization", SmtpAuth("organization", was))
    found = all_paths(tmp_path, text, live, others={"smtp_auth": 7})
    assert {(p.kind, p.state, p.count) for p in found} == {("inheriting mailboxes", state, 7)}
    assert {p.count for p in all_paths(tmp_path, text, live)} == {None}


@pytest.mark.parametrize("opens", [True, False])
def test_a_path_closes_last_only_where_another_opens(tmp_path: Path, opens: bool) -> None:
    new = "inbound_connectors: { new: { type: on_premises, sender_ip_addresses: [198.51.100.8] } }\n"
    found = {p.sender: p for p in all_paths(tmp_path, new if opens else "", ("inbound_connector/old", OLD))}
    closed = found["198.51.100.7/32"]
    assert (closed.state, closed.gains, closed.loses, closed.held_back) == ("closes", False, True, opens)
    if opens:
        opened = found["198.51.100.8/32"]
        assert (opened.state, opened.gains, opened.loses, opened.held_back) == ("opens", True, False, False)


def test_a_device_uses_the_path_of_its_own_certificate(tmp_path: Path) -> None:
    scan = "{ from: scan@contoso.com, recipients: anyone, certificate: scan.contoso.com, supports: CAN }"
    text = f"devices: {{ scan: {scan} }}\n".replace("CAN", "{ tls: '1.2', authentication: [] }")
    other = dataclasses.replace(OLD, sender_ip_addresses=None, tls_sender_certificate_name="fax.contoso.com")
    found = all_paths(tmp_path, text, ("inbound_connector/fax", other))
    users = {p.sender: p.devices for p in found if p.kind == "certificate"}
    assert users == {"scan.contoso.com": ("scan",), "fax.contoso.com": ()}


def test_a_device_that_has_no_path_any_more_is_listed_as_such(tmp_path: Path) -> None:
    text = (PLAN + DEVICE).replace("AUTHENTICATION", "basic").replace("SWITCH", "enabled").replace("POLICY", "block")
    live = [
        (f"smtp_auth/{ERP}", SmtpAuth(ERP, "enabled")),
        ("authentication_policy/block", AuthenticationPolicy("block", allow_basic_smtp=False)),
        (f"authentication_policy_assignment/{ERP}", PolicyAssignment(ERP, policy=INHERIT)),
    ]
    lost = [p for p in all_paths(tmp_path, text.partition("us/prod")[2], *live) if p.state == "missing"]
    assert [(p.kind, p.sender, p.devices) for p in lost] == [("device", "erp", ("erp",))]


def test_mail_that_a_change_can_stop_without_a_sender_is_a_path_too(tmp_path: Path) -> None:
    signing = Dkim("contoso.com", True, 2048, "relaxed", "relaxed", "a.example", "b.example")
    (stopped,) = all_paths(tmp_path, "dkim: { contoso.com: { enabled: false } }\n", ("dkim/contoso.com", signing))
    assert (stopped.kind, stopped.sender, stopped.state, stopped.loses) == (
        "mail",
        'dkim["contoso.com"]',
        "closes",
        True,
    )
