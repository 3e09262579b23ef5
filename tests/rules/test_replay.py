"""Observed mail against the picture of now and of then, without a tenant."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.changes import planning
from provisioner.model import Absent, Address, Answer, Finding, Observed, Present, request_key
from provisioner.model.traffic import Traffic
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import AuthenticationPolicy
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.organization import Organization
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.rows import cas_mailbox, organization_config, user
from provisioner.resources.smtp_auth import SmtpAuth

HEAD: Mapping[str, Any] = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com"}
MFP = Traffic("mfp@contoso.com", network="203.0.113.10/32", connector="hq", recipients="outside", seen="2026-11-20")
ERP = Traffic("erp@contoso.com", "erp@contoso.com", "basic", recipients="outside")


def connector(name: str, *networks: str, **more: Any) -> InboundConnector:
    kind = more.pop("type", "on_premises")
    found = InboundConnector(name, type=kind, enabled=True, sender_ip_addresses=frozenset(networks), owner="")
    return dataclasses.replace(found, **more)


HQ = connector("hq", "203.0.113.10/32")


def found(
    tmp_path: Path, traffic: Traffic, *live: Any, evidence: Mapping[str, Answer] | None = None, **sections: Any
) -> list[Finding]:
    """The findings about observed mail; what is there is given, all else that the plan declares is absent."""
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**HEAD, **sections}))
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 26))
    desired = dataclasses.replace(desired, traffic=(traffic,))
    there = {a: spec for spec in (Domain("contoso.com", True, True), *live) for a in [_address(spec)]}
    wanted = (*desired.resources, *desired.absent)
    resources = {a: Present(there[a]) if a in there else Absent() for a in wanted}
    undeclared = {a: spec for a, spec in there.items() if a not in resources}
    changes = planning.plan(desired, Observed(resources, undeclared, evidence=evidence or {}), TYPES)
    return [f for f in changes.findings if f.rule.startswith("REPLAY-")]


def _address(spec: Any) -> Address:
    kind = next(t for t in TYPES if t.spec is type(spec))
    return Address(kind.name, getattr(spec, dataclasses.fields(spec)[0].name))


def rules(findings: list[Finding]) -> list[str]:
    return [f.rule for f in findings]


GONE: dict[str, Any] = {"absent": ["inbound_connector/hq"]}


def test_a_connector_that_goes_breaks_what_it_took(tmp_path: Path) -> None:
    (broken,) = found(tmp_path, MFP, HQ, **GONE)
    assert (broken.rule, broken.blocks, broken.address) == (
        "REPLAY-BREAKS",
        "apply",
        Address("inbound_connector", "hq"),
    )
    assert broken.summary.startswith("mfp@contoso.com from 203.0.113.10 would be refused after the changes")
    assert "senders discover --propose" in broken.hint


def test_a_connector_that_stays_says_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, MFP, HQ, connector("old", "203.0.113.99/32"), absent=["inbound_connector/old"]) == []


def test_of_several_connectors_the_one_that_took_the_mail_counts(tmp_path: Path) -> None:
    """The model does not know which of two connectors takes it; the observation does."""
    twin = connector("twin", "203.0.113.0/24")
    assert found(tmp_path, MFP, HQ, twin, absent=["inbound_connector/twin"]) == []
    (moved,) = found(tmp_path, MFP, HQ, twin, **GONE)
    assert (moved.rule, moved.summary.rpartition(": ")[2]) == ("REPLAY-CHANGES-WAY", "twin takes it instead of hq")


def test_a_second_connector_for_the_same_source_is_told(tmp_path: Path) -> None:
    branch = {"branch": {"type": "on_premises", "sender_ip_addresses": ["203.0.113.10"]}}
    (moved,) = found(tmp_path, MFP, HQ, inbound_connectors=branch)
    assert moved.rule == "REPLAY-CHANGES-WAY"
    assert "branch would name its source besides hq" in moved.summary
    assert moved.address == Address("inbound_connector", "branch")


def test_a_connector_that_does_not_name_the_address_knew_the_certificate(tmp_path: Path) -> None:
    """The mail is not a contradiction, and breaks with the connector."""
    certified = connector("hq", tls_sender_certificate_name="mail.contoso.com", require_tls=True)
    assert found(tmp_path, MFP, certified, connector("x", "203.0.113.9/32"), absent=["inbound_connector/x"]) == []
    assert rules(found(tmp_path, MFP, certified, **GONE)) == ["REPLAY-BREAKS"]


@pytest.mark.parametrize(
    ("traffic", "live", "words"),
    [
        (
            MFP,
            [connector("other", "203.0.113.10/32")],
            "hq took its mail on 2026-11-20, and by the tenant's settings other",
        ),
        (dataclasses.replace(MFP, connector=""), [HQ], "hq takes mail from 203.0.113.10, and its mail came without"),
        (MFP, [], "names its address or certificate (550 5.7.64), and its mail was accepted on 2026-11-20"),
    ],
)
def test_what_contradicts_the_settings_is_told(tmp_path: Path, traffic: Traffic, live: list[Any], words: str) -> None:
    (odd,) = found(tmp_path, traffic, *live)
    assert (odd.rule, odd.blocks) == ("REPLAY-CONTRADICTS", "")
    assert words in odd.summary


def test_a_connector_that_has_no_part_in_mail_to_the_tenant_did_not_take_it(tmp_path: Path) -> None:
    inside = dataclasses.replace(MFP, recipients="inside")
    (odd,) = found(tmp_path, inside, Organization("settings", False), evidence=_organization())
    assert odd.rule == "REPLAY-CONTRADICTS"
    assert "hq took its mail on 2026-11-20, and by the tenant's settings no connector names its source" in odd.summary


def test_of_unknown_recipients_only_those_are_tried_to_whom_mail_is_taken_today(tmp_path: Path) -> None:
    direct = dataclasses.replace(MFP, connector="", recipients="unknown")
    assert found(tmp_path, direct, Organization("settings", False), evidence=_organization()) == []


def test_mail_that_nobody_can_decide_on_after_the_changes_is_open(tmp_path: Path) -> None:
    (open_,) = found(tmp_path, dataclasses.replace(MFP, recipients="inside"), HQ, **GONE)
    assert (open_.rule, open_.blocks) == ("REPLAY-UNCERTAIN", "")
    assert "may be refused after the changes: not known is" in open_.summary


def test_the_certificate_of_another_connector_is_not_that_of_the_sender(tmp_path: Path) -> None:
    other = connector("a", tls_sender_certificate_name="mail.contoso.com", require_tls=True)
    assert rules(found(tmp_path, MFP, other, HQ, **GONE)) == ["REPLAY-BREAKS"]


def test_relay_that_becomes_direct_send_goes_another_way(tmp_path: Path) -> None:
    inside = dataclasses.replace(MFP, recipients="inside")
    (moved,) = found(tmp_path, inside, HQ, Organization("settings", False), evidence=_organization(), **GONE)
    assert (moved.rule, moved.summary.rpartition(": ")[2]) == ("REPLAY-CHANGES-WAY", "SMTP relay becomes direct send")


def test_mail_of_unknown_recipients_breaks_where_the_outside_does(tmp_path: Path) -> None:
    unknown = dataclasses.replace(MFP, recipients="unknown")
    live = (HQ, Organization("settings", False))
    assert rules(found(tmp_path, unknown, *live, evidence=_organization(), **GONE)) == [
        "REPLAY-CHANGES-WAY",
        "REPLAY-BREAKS",
    ]


def _organization(**values: Any) -> dict[str, Answer]:
    row = {"RejectDirectSend": False, "DefaultAuthenticationPolicy": None, **values}
    return {request_key(organization_config.REQUEST): Answer((row,))}


def _signing_in(switch: bool | None = False) -> dict[str, Answer]:
    """What was asked of the mailbox: found by its user name; its primary address is another."""
    names = {"Guid": "11111111-1111-1111-1111-111111111111", "Identity": "erp", "Name": "erp"}
    row = {**names, "PrimarySmtpAddress": "erp@contoso.com", "EmailAddresses": ["SMTP:erp@contoso.com"]}
    told = {**names, "UserPrincipalName": "svc-erp@contoso.com", "WindowsEmailAddress": "erp@contoso.com"}
    told |= {"AuthenticationPolicy": "", "RecipientTypeDetails": "UserMailbox"}
    return {
        request_key(cas_mailbox.look_up("erp@contoso.com")): Answer(
            ({**row, "SmtpClientAuthenticationDisabled": switch},)
        ),
        request_key(user.look_up("svc-erp@contoso.com")): Answer((told,)),
    }


ON = SmtpAuth("organization", "enabled")


def test_a_password_that_was_taken_stays_taken_where_nothing_touches_it(tmp_path: Path) -> None:
    """Policies and security defaults could not be read: that it was accepted is known."""
    live = (SmtpAuth("erp@contoso.com", "enabled"), ON, HQ)
    assert found(tmp_path, ERP, *live, smtp_auth={"mailboxes": {"erp@contoso.com": "enabled"}}, **GONE) == []


@pytest.mark.parametrize("name", ["erp@contoso.com", "svc-erp@contoso.com"])
def test_the_switch_that_goes_breaks_the_sign_in_by_whichever_name(tmp_path: Path, name: str) -> None:
    traffic = dataclasses.replace(ERP, sender="", mailbox=name)
    live = (SmtpAuth("erp@contoso.com", "enabled"), SmtpAuth("organization", "disabled"))
    section = {"mailboxes": {"erp@contoso.com": "disabled"}}
    broken = found(tmp_path, traffic, *live, evidence=_signing_in(), smtp_auth=section)
    assert [(f.rule, str(f.address)) for f in broken] == [("REPLAY-BREAKS", 'smtp_auth["erp@contoso.com"]')]


def test_a_declared_device_is_named_with_what_comes_first(tmp_path: Path) -> None:
    erp = {"site": "hq", "from": "erp@contoso.com", "recipients": "anyone"}
    erp |= {"supports": {"tls": "1.2", "authentication": ["basic"]}}  # type: ignore[dict-item]
    sites = {"hq": {"egress_ip_addresses": ["198.51.100.8"]}}
    live = (SmtpAuth("erp@contoso.com", "enabled"), ON)
    section = {"mailboxes": {"erp@contoso.com": "disabled"}}
    (broken,) = found(tmp_path, ERP, *live, devices={"erp": erp}, sites=sites, smtp_auth=section)
    assert broken.hint == (
        "set device/erp to SMTP relay first (provisioner devices show erp), or allow REPLAY-BREAKS for it"
    )


def test_a_sign_in_of_unknown_kind_breaks_only_if_both_kinds_do(tmp_path: Path) -> None:
    unclear = dataclasses.replace(ERP, authentication="any")
    live = (SmtpAuth("erp@contoso.com", "enabled"), ON)
    section = {"mailboxes": {"erp@contoso.com": "disabled"}}
    assert rules(found(tmp_path, unclear, *live, smtp_auth=section)) == ["REPLAY-BREAKS"]


def test_without_observed_mail_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**HEAD, **GONE}))
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 26))
    there = Observed({Address("inbound_connector", "hq"): Present(HQ)})
    assert not [f for f in planning.plan(desired, there, TYPES).findings if f.rule.startswith("REPLAY-")]


def test_a_sign_in_of_unknown_kind_is_open_where_one_kind_breaks_only(tmp_path: Path) -> None:
    """A policy that keeps passwords out says nothing of tokens."""
    unclear = dataclasses.replace(ERP, authentication="any")
    live = (
        SmtpAuth("erp@contoso.com", "enabled"),
        ON,
        AuthenticationPolicy("out", allow_basic_smtp=False),
        PolicyAssignment("erp@contoso.com", "inherit", "inherited"),
    )
    plan: dict[str, Any] = {
        "authentication_policies": {"out": {}},
        "assignments": {"authentication_policy": {"mailboxes": {}}},
    }
    plan["assignments"]["authentication_policy"]["mailboxes"] = {"erp@contoso.com": "out"}
    said = found(tmp_path, unclear, *live, smtp_auth={"mailboxes": {"erp@contoso.com": "enabled"}}, **plan)
    assert "REPLAY-BREAKS" not in rules(said)
    assert "REPLAY-BREAKS" in rules(found(tmp_path, ERP, *live, **plan))


def test_connectors_that_take_over_are_named_in_order(tmp_path: Path) -> None:
    others = [connector(name, "203.0.113.0/24") for name in ("d", "a", "e", "c", "b")]
    (moved,) = found(tmp_path, MFP, HQ, *others, **GONE)
    assert moved.summary.rpartition(": ")[2] == "a, b, c, d, e takes it instead of hq"
