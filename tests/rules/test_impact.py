"""What changes mean for devices: two pictures of the tenant, and the devices that can send in the first only."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.changes import planning, scoping
from provisioner.changes.scoping import Scope
from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    Change,
    ChangeSet,
    Finding,
    Observed,
    Present,
    Request,
    request_key,
)
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import AuthenticationPolicy
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.organization import Organization
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.rows import (
    access_policy,
    cas_mailbox,
    connection_filter,
    organization_config,
    outbound_spam,
    security_defaults,
    transport_rule,
)
from provisioner.resources.rows import user as user_rows
from provisioner.resources.smtp_auth import SmtpAuth
from provisioner.resources.transport_rule import TransportRule
from provisioner.rules import questions
from provisioner.rules.impact import device_findings

TODAY = dt.date(2026, 11, 23)
BASIC = {"from": "erp@contoso.com", "recipients": "anyone", "supports": {"tls": "1.2", "authentication": ["basic"]}}
RELAY = {
    "from": "mfp@contoso.com",
    "recipients": "anyone",
    "supports": {"tls": "1.2", "authentication": []},
    "site": "hq",
}
FAX = {"from": "fax@contoso.com", "recipients": "organization", "supports": {"tls": "1.2", "authentication": []}}
SITES = {"hq": {"egress_ip_addresses": ["198.51.100.8"]}}
HAND_MADE = InboundConnector(
    "by hand", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"198.51.100.0/24"}), owner=""
)
THERE: dict[str, Any] = {
    "domain/contoso.com": Domain("contoso.com", True, True),
    "mailbox/erp@contoso.com": Mailbox("erp@contoso.com", True, True),
    "smtp_auth/erp@contoso.com": SmtpAuth("erp@contoso.com", "enabled"),
    "smtp_auth/organization": SmtpAuth("organization", "disabled"),
    "organization/settings": Organization("settings", False),
}


def plan(
    tmp_path: Path,
    live: Mapping[str, Any],
    *,
    undeclared: tuple[InboundConnector, ...] = (),
    evidence: tuple[tuple[Request, dict[str, Any]], ...] = (),
    target: str = "",
    allow: tuple[str, ...] = (),
    **sections: Any,
) -> ChangeSet:
    """A change set without a tenant: what is there is given by address, all else that the plan declares is absent."""
    waived = [{"rule": rule, "reason": "a test"} for rule in allow]
    head = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": "us", "sites": SITES, "allow": waived}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(json.loads(json.dumps({**head, **sections}))))
    desired, _ = document.load(tmp_path, TYPES, today=TODAY)
    scope = Scope((target,)) if target else Scope()
    desired = scoping.narrow(desired, TYPES, scope)
    known = {**THERE, **live}
    resources = {
        a: Present(known[a.short]) if a.short in known else Absent() for a in (*desired.resources, *desired.absent)
    }
    seen = {
        Address("inbound_connector", c.name): c
        for c in undeclared
        if Address("inbound_connector", c.name) not in resources
    }
    answers = {request_key(q): Answer((row,)) for q, row in evidence}
    return planning.plan(desired, Observed(resources, seen, evidence=answers), TYPES, scope=scope)


def of(found: ChangeSet, rule: str) -> list[Finding]:
    return [f for f in found.findings if f.rule == rule]


def test_removing_the_only_connector_that_lets_a_device_in_names_the_device(tmp_path: Path) -> None:
    """The new connector is out of scope, so the old one may not go yet."""
    found = plan(
        tmp_path,
        {"inbound_connector/by hand": HAND_MADE},
        devices={"mfp": RELAY},
        absent=["inbound_connector/by hand"],
        target="inbound_connector/by hand",
    )
    (lost,) = of(found, "DEVICE-LOSES-WAY")
    assert lost.summary.startswith('device/mfp will no longer be able to send: inbound_connector["by hand"]')
    assert (lost.blocks, lost.address) == ("apply", Address("inbound_connector", "by hand"))
    assert not found.applyable


def test_a_connector_may_go_when_another_takes_over_in_the_same_plan(tmp_path: Path) -> None:
    found = plan(
        tmp_path, {"inbound_connector/by hand": HAND_MADE}, devices={"mfp": RELAY}, absent=["inbound_connector/by hand"]
    )
    assert {c.action.value for c in found.pending} == {"create", "delete"}
    assert of(found, "DEVICE-LOSES-WAY") == []


def test_a_connector_that_loses_the_address_of_a_device_names_it(tmp_path: Path) -> None:
    narrow = {"type": "on_premises", "sender_ip_addresses": ["203.0.113.1"]}
    found = plan(
        tmp_path,
        {"inbound_connector/by hand": HAND_MADE},
        devices={"mfp": RELAY},
        inbound_connectors={"by hand": narrow},
        target="inbound_connector/by hand",
    )
    assert len(of(found, "DEVICE-LOSES-WAY")) == 1
    stays = plan(
        tmp_path,
        {"inbound_connector/by hand": HAND_MADE},
        undeclared=(InboundConnector("other", type="on_premises", sender_ip_addresses=frozenset({"198.51.100.8/32"})),),
        devices={"mfp": RELAY},
        inbound_connectors={"by hand": narrow},
        target="inbound_connector/by hand",
    )
    assert of(stays, "DEVICE-LOSES-WAY") == []


def test_rejecting_direct_send_names_the_devices_that_send_so(tmp_path: Path) -> None:
    fixed = {**FAX, "site": "hq"}
    found = plan(
        tmp_path,
        {},
        devices={"fax": FAX, "mfp": fixed},
        organization={"reject_direct_send": True},
        allow=("DEVICE-NO-METHOD",),
    )
    (lost,) = of(found, "DEVICE-LOSES-WAY")
    assert lost.summary.startswith("device/fax will no longer be able to send: direct send is rejected from then on")
    assert "fixed public IP address" in lost.hint


def test_rejecting_direct_send_tells_what_would_do_instead(tmp_path: Path) -> None:
    direct = {**FAX, "site": "hq", "method": "direct_send"}
    found = plan(
        tmp_path, {}, devices={"fax": direct}, organization={"reject_direct_send": True}, allow=("DEVICE-NO-METHOD",)
    )
    (lost,) = of(found, "DEVICE-LOSES-WAY")
    assert lost.hint.startswith("SMTP relay would do: leave the method out")


FILTER = {
    "type": "partner",
    "sender_domains": ["*"],
    "sender_ip_addresses": ["9.9.9.0/24"],
    "restrict_domains_to_ip_addresses": True,
}


def test_a_connector_that_restricts_its_domains_names_the_devices_that_send_direct(tmp_path: Path) -> None:
    found = plan(
        tmp_path, {}, devices={"fax": FAX}, inbound_connectors={"filter": FILTER}, allow=("PARTNER-RESTRICTS",)
    )
    (lost,) = of(found, "DEVICE-LOSES-WAY")
    assert lost.address == Address("inbound_connector", "filter")
    assert "550 5.7.51" in lost.summary
    assert not found.applyable


def test_a_restriction_takes_nothing_from_its_own_sources_and_other_domains(tmp_path: Path) -> None:
    fixed = {**FAX, "method": "direct_send", "sender_ip_addresses": ["9.9.9.9"]}
    for devices, change in (({"fax": fixed}, {}), ({"fax": FAX}, {"sender_domains": ["partner.example"]})):
        found = plan(tmp_path, {}, devices=devices, inbound_connectors={"filter": {**FILTER, **change}})
        assert of(found, "DEVICE-LOSES-WAY") == []


def test_a_restriction_takes_nothing_from_what_an_own_connector_lets_in(tmp_path: Path) -> None:
    """Both kinds of connectors are set up side by side (Learn, third-party cloud services)."""
    own = {"by hand": {"type": "on_premises", "sender_ip_addresses": ["9.8.8.0/24"]}, "filter": FILTER}
    fixed = {**FAX, "method": "direct_send", "sender_ip_addresses": ["9.8.8.8"]}
    assert of(plan(tmp_path, {}, devices={"fax": fixed}, inbound_connectors=own), "DEVICE-LOSES-WAY") == []


def test_a_connector_that_names_the_address_keeps_direct_send_when_it_is_rejected(tmp_path: Path) -> None:
    ours = {"type": "partner", "sender_domains": ["contoso.com"], "sender_ip_addresses": ["9.8.8.0/24"]}
    partner = {"ours": {**ours, "restrict_domains_to_ip_addresses": True}}
    fixed = {**FAX, "method": "direct_send", "sender_ip_addresses": ["9.8.8.8"]}
    off = {"reject_direct_send": True}
    allow = ("DEVICE-NO-METHOD",)
    kept = plan(tmp_path, {}, devices={"fax": fixed}, organization=off, inbound_connectors=partner, allow=allow)
    assert of(kept, "DEVICE-LOSES-WAY") == []
    assert len(of(plan(tmp_path, {}, devices={"fax": fixed}, organization=off, allow=allow), "DEVICE-LOSES-WAY")) == 1
    # Without the restriction it is not documented that the addresses count.
    open_question = plan(
        tmp_path, {}, devices={"fax": fixed}, organization=off, inbound_connectors={"ours": ours}, allow=allow
    )
    assert len(of(open_question, "DEVICE-LOSES-WAY")) == 1


def test_a_wildcard_certificate_lets_a_device_in(tmp_path: Path) -> None:
    scan = {**RELAY, "certificate": "scan.contoso.com"}
    del scan["site"]
    own = InboundConnector("servers", type="on_premises", enabled=True, tls_sender_certificate_name="*.contoso.com")
    other = {"inbound_connector/servers": own}
    kept = plan(
        tmp_path,
        {**other, "inbound_connector/certificate-scan.contoso.com": own},
        undeclared=(InboundConnector("wild", type="on_premises", tls_sender_certificate_name="*.contoso.com"),),
        devices={"scan": scan},
        absent=["inbound_connector/servers"],
        target="inbound_connector/servers",
    )
    assert of(kept, "DEVICE-LOSES-WAY") == []
    lost = plan(
        tmp_path,
        other,
        devices={"scan": scan},
        absent=["inbound_connector/servers"],
        target="inbound_connector/servers",
    )
    assert len(of(lost, "DEVICE-LOSES-WAY")) == 1


def test_nothing_is_lost_where_direct_send_was_rejected_already(tmp_path: Path) -> None:
    there = {"organization/settings": Organization("settings", True)}
    found = plan(
        tmp_path, there, devices={"fax": FAX}, organization={"reject_direct_send": True}, allow=("DEVICE-NO-METHOD",)
    )
    assert of(found, "DEVICE-LOSES-WAY") == []


def test_a_tenant_that_rejects_direct_send_is_told_of_its_devices(tmp_path: Path) -> None:
    found = plan(
        tmp_path, {}, devices={"fax": FAX}, evidence=((organization_config.REQUEST, {"RejectDirectSend": True}),)
    )
    (rejected,) = of(found, "DIRECT-SEND-REJECTED")
    assert rejected.summary.startswith("device/fax would be refused")
    calm = plan(
        tmp_path, {}, devices={"fax": FAX}, evidence=((organization_config.REQUEST, {"RejectDirectSend": False}),)
    )
    assert of(calm, "DIRECT-SEND-REJECTED") == []


def test_a_setting_that_was_not_returned_is_told_to_devices_that_use_direct_send(tmp_path: Path) -> None:
    found = plan(tmp_path, {}, devices={"fax": FAX}, evidence=((organization_config.REQUEST, {"Name": "contoso"}),))
    (note,) = of(found, "DIRECT-SEND-UNKNOWN")
    assert "RejectDirectSend could not be read" in note.summary
    known = plan(
        tmp_path, {}, devices={"fax": FAX}, evidence=((organization_config.REQUEST, {"RejectDirectSend": False}),)
    )
    assert of(known, "DIRECT-SEND-UNKNOWN") == []


def test_a_default_policy_that_was_not_returned_is_unknown(tmp_path: Path) -> None:
    user = {"UserPrincipalName": "erp@contoso.com", "AuthenticationPolicy": None}
    evidence = (
        (user_rows.look_up("erp@contoso.com"), user),
        (organization_config.REQUEST, {"Name": "contoso"}),
    )
    found = plan(tmp_path, {}, devices={"erp": BASIC}, evidence=evidence)
    (note,) = of(found, "SMTP-AUTH-UNKNOWN")
    assert "the authentication policy" in note.summary
    assert "Get-User, Get-AuthenticationPolicy, Get-OrganizationConfig (Global Reader)" in note.hint


@pytest.mark.parametrize(("authentication", "kind"), [("oauth", ""), ("oauth", "a shared mailbox"), ("basic", "")])
def test_no_permission_is_advised_for_an_account_that_cannot_sign_in(
    tmp_path: Path, authentication: str, kind: str
) -> None:
    """The precondition says what lacks: reading more would not make the account able to sign in."""
    live = {"mailbox/erp@contoso.com": Mailbox("erp@contoso.com", False, False, kind=kind or None)}
    device = {**BASIC, "supports": {"tls": "1.2", "authentication": [authentication]}}
    found = plan(tmp_path, live, devices={"erp": device})
    assert of(found, "SMTP-AUTH-UNKNOWN") == []
    assert {f.address for f in of(found, "PRECONDITION")} == {Address("mailbox", "erp@contoso.com")}


def test_each_doubt_about_a_sign_in_says_how_to_settle_it(tmp_path: Path) -> None:
    """A Conditional Access policy that was read and cannot be judged is not a question of permissions."""
    conditions = {
        "clientAppTypes": ["other"],
        "applications": {"includeApplications": ["All"]},
        "users": {"includeUsers": ["All"]},
        "locations": {"includeLocations": ["All"]},
    }
    policy = {"state": "enabled", "displayName": "abroad", "conditions": conditions,
              "grantControls": {"builtInControls": ["block"]}}  # fmt: skip
    user = {"UserPrincipalName": "erp@contoso.com", "AuthenticationPolicy": None}
    evidence: tuple[tuple[Request, dict[str, Any]], ...] = (
        (user_rows.look_up("erp@contoso.com"), user),
        (organization_config.REQUEST, {"DefaultAuthenticationPolicy": None}),
        (security_defaults.REQUEST, {"isEnabled": False}),
        (access_policy.REQUEST, policy),
    )
    (read,) = of(plan(tmp_path, {}, devices={"erp": BASIC}, evidence=evidence), "SMTP-AUTH-UNKNOWN")
    assert (read.hint.count("grant"), "see in Entra ID whether the policy holds" in read.hint) == (0, True)
    (unread,) = of(plan(tmp_path, {}, devices={"erp": BASIC}, evidence=evidence[:2]), "SMTP-AUTH-UNKNOWN")
    assert unread.hint == "grant the application the Graph permission Policy.Read.All", "once, for both"


def test_switching_the_organization_off_names_devices_whose_exception_is_out_of_scope(tmp_path: Path) -> None:
    live = {
        "smtp_auth/erp@contoso.com": SmtpAuth("erp@contoso.com", "inherit"),
        "smtp_auth/organization": SmtpAuth("organization", "enabled"),
    }
    off = {"organization": "disabled"}
    whole = plan(tmp_path, live, devices={"erp": BASIC}, smtp_auth=off)
    assert of(whole, "DEVICE-LOSES-WAY") == []
    assert [c.after.smtp_auth for c in whole.pending if c.after] == ["enabled", "disabled"]
    inherits = {"PrimarySmtpAddress": "erp@contoso.com", "SmtpClientAuthenticationDisabled": None}
    evidence = (
        (cas_mailbox.look_up("erp@contoso.com"), inherits),
        (organization_config.REQUEST, {"DefaultAuthenticationPolicy": None}),
        (security_defaults.REQUEST, {"isEnabled": False}),
        (user_rows.look_up("erp@contoso.com"),
         {"UserPrincipalName": "erp@contoso.com", "AuthenticationPolicy": None}),
    )  # fmt: skip
    part = plan(
        tmp_path, live, devices={"erp": BASIC}, smtp_auth=off, target="smtp_auth/organization", evidence=evidence
    )
    (lost,) = of(part, "DEVICE-LOSES-WAY")
    assert lost.address == Address("smtp_auth", "organization")
    assert "the mailbox does not override it" in lost.summary


def test_security_defaults_are_named_as_what_blocks(tmp_path: Path) -> None:
    found = plan(tmp_path, {}, devices={"erp": BASIC}, evidence=((security_defaults.REQUEST, {"isEnabled": True}),))
    (blocked,) = of(found, "SMTP-AUTH-BLOCKED")
    assert blocked.summary == ("device/erp cannot sign in: the security defaults of Entra ID refuse passwords for SMTP")
    assert found.applyable is bool(found.pending)


def test_what_could_not_be_read_is_a_note_and_holds_nothing_up(tmp_path: Path) -> None:
    found = plan(tmp_path, {}, devices={"erp": BASIC})
    (note,) = of(found, "SMTP-AUTH-UNKNOWN")
    assert "the security defaults" in note.summary
    assert not found.errored


def test_only_what_the_devices_make_necessary_is_asked(tmp_path: Path) -> None:
    def asked(**devices: Any) -> list[str]:
        head = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": "us", "sites": SITES}
        (tmp_path / "plan.yaml").write_text(yaml.safe_dump(json.loads(json.dumps({**head, "devices": devices}))))
        return [str(q) for q in questions(document.load(tmp_path, TYPES, today=TODAY)[0])]

    oauth = {**BASIC, "supports": {"tls": "1.2", "authentication": ["oauth"]}}
    lists = ["Get-HostedConnectionFilterPolicy", "Get-TenantAllowBlockListItems"]
    lists.insert(1, "Get-TransportRule")
    ipv6 = ["Get-IPv6StatusForAcceptedDomain"]
    assert asked(mfp=RELAY) == lists[:2] + ipv6
    assert asked(mfp=RELAY, other={**RELAY, "from": "b@fabrikam.com"}) == lists[:2] + ipv6 * 2
    assert asked(mfp={**RELAY, "certificate": "relay.contoso.com"}) == [*lists[:2], "Get-AcceptedDomain"]
    assert asked(fax=FAX) == ["Get-OrganizationConfig", *lists]
    assert asked(erp=oauth) == ["Get-TransportConfig", "Get-TransportRule"]
    limits = ["Get-HostedOutboundSpamFilterPolicy", "Get-HostedOutboundSpamFilterRule"]
    busy = {**oauth, "recipients": "organization", "messages_per_day": 20}
    assert asked(erp=busy) == ["Get-TransportConfig", *lists[1:], *limits]
    many = {f"erp{i}": {**BASIC, "from": f"erp{i}@contoso.com"} for i in range(6)}
    assert asked(**many) == [
        "Get-TransportConfig",
        "Get-AuthenticationPolicy",
        "GET /policies/identitySecurityDefaultsEnforcementPolicy",
        "GET /identity/conditionalAccess/policies",
        "Get-User",
        "Get-OrganizationConfig",
        "Get-TransportRule",
    ]


# --- several devices -------------------------------------------------------------------------------------------------


def fixed(*addresses: str, **changes: Any) -> dict[str, Any]:
    """A device that relays from addresses of its own."""
    without_site = {name: value for name, value in RELAY.items() if name != "site"}
    return {**without_site, "method": "smtp_relay", "sender_ip_addresses": list(addresses), **changes}


def test_each_device_is_judged_by_its_own_addresses(tmp_path: Path) -> None:
    """The first is relayed by another connector, the second by nobody, the last two lose theirs."""
    stays = InboundConnector("stays", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"9.9.9.9/32"}))
    found = plan(
        tmp_path,
        {"inbound_connector/by hand": HAND_MADE},
        undeclared=(stays,),
        devices={
            "a": fixed("9.9.9.9"),
            "b": fixed("9.1.1.1"),
            "c": fixed("198.51.100.7"),
            "d": fixed("198.51.100.9", "198.51.100.10"),
            "e": fixed("198.51.100.11", "9.1.1.2"),
        },
        absent=["inbound_connector/by hand"],
        target="inbound_connector/by hand",
    )
    lost = of(found, "DEVICE-LOSES-WAY")
    assert [f.summary.partition(" ")[0] for f in lost] == ["device/c", "device/d"], "e could not relay all of it before"
    assert {f.address for f in lost} == {Address("inbound_connector", "by hand")}
    assert lost[0].summary.endswith('inbound_connector["by hand"] no longer admits it, and no other connector does')


@pytest.mark.parametrize(("gone", "loses"), [("wide", True), ("narrow", False)])
def test_a_connector_may_go_where_another_names_all_of_the_addresses(tmp_path: Path, gone: str, loses: bool) -> None:
    live = {
        name: InboundConnector(name, type="on_premises", enabled=True, sender_ip_addresses=frozenset({net}), owner="")
        for name, net in (("wide", "198.51.100.0/24"), ("narrow", "198.51.100.7/32"))
    }
    found = plan(
        tmp_path,
        {f"inbound_connector/{gone}": live[gone]},
        undeclared=tuple(live.values()),
        devices={"c": fixed("198.51.100.7", "198.51.100.200")},
        absent=[f"inbound_connector/{gone}"],
        target=f"inbound_connector/{gone}",
    )
    assert [f.address for f in of(found, "DEVICE-LOSES-WAY")] == [Address("inbound_connector", gone)] * loses


def test_a_device_is_told_to_be_rejected_where_one_of_its_addresses_is(tmp_path: Path) -> None:
    own = InboundConnector("own", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"9.8.8.8/32"}))
    on = ((organization_config.REQUEST, {"RejectDirectSend": True}),)
    direct = {**FAX, "method": "direct_send"}
    devices = {
        "relay": fixed("9.1.1.1"),
        "first": {**direct, "sender_ip_addresses": ["9.8.8.8", "9.7.7.7"]},
        "second": {**direct, "sender_ip_addresses": ["9.7.7.7"]},
    }
    found = plan(tmp_path, {"organization/settings": Organization("settings", None)}, undeclared=(own,),
                 devices=devices, evidence=on, allow=("DEVICE-NO-METHOD",))  # fmt: skip
    (told,) = of(found, "DIRECT-SEND-REJECTED")
    assert told.summary.startswith("device/first, device/second would be refused")
    assert told.blocks == ""


def test_six_devices_are_five_and_one_more(tmp_path: Path) -> None:
    on = ((organization_config.REQUEST, {"RejectDirectSend": True}),)
    for count, words in (
        (5, "d0, device/d1, device/d2, device/d3, device/d4 would"),
        (6, "device/d4 and 1 more would"),
    ):
        found = plan(tmp_path, {}, devices={f"d{i}": FAX for i in range(count)}, evidence=on)
        (told,) = of(found, "DIRECT-SEND-REJECTED")
        assert words in told.summary


def test_rejecting_direct_send_passes_over_devices_that_send_otherwise(tmp_path: Path) -> None:
    devices = {
        "signs": BASIC,
        "kept": {**FAX, "method": "direct_send", "sender_ip_addresses": ["198.51.100.7"]},
        "first": FAX,
        "second": FAX,
    }
    found = plan(
        tmp_path,
        {},
        undeclared=(HAND_MADE,),
        devices=devices,
        organization={"reject_direct_send": True},
        allow=("DEVICE-NO-METHOD",),
    )
    lost = [f.summary.partition(" ")[0] for f in of(found, "DEVICE-LOSES-WAY")]
    assert lost == ["device/first", "device/second"]
    assert {f.address for f in of(found, "DEVICE-LOSES-WAY")} == {Address("organization", "settings")}


def test_sign_ins_that_one_switch_forbids_are_one_finding(tmp_path: Path) -> None:
    blocked = ((security_defaults.REQUEST, {"isEnabled": True}),)
    live = {
        **{f"mailbox/e{i}@contoso.com": Mailbox(f"e{i}@contoso.com", True, True) for i in range(3)},
        **{f"smtp_auth/e{i}@contoso.com": SmtpAuth(f"e{i}@contoso.com", "enabled") for i in range(3)},
    }
    devices = {f"e{i}": {**BASIC, "from": f"e{i}@contoso.com"} for i in range(3)}
    (told,) = of(plan(tmp_path, live, devices=devices, evidence=blocked), "SMTP-AUTH-BLOCKED")
    assert told.summary.startswith("device/e0, device/e1, device/e2 cannot sign in: ")
    (unknown,) = of(plan(tmp_path, live, devices=devices), "SMTP-AUTH-UNKNOWN")
    assert unknown.summary.startswith("whether device/e0, device/e1, device/e2 can sign in is not certain: ")
    assert unknown.blocks == ""


def test_a_plan_without_devices_has_no_findings_about_them(tmp_path: Path) -> None:
    assert plan(tmp_path, {}, smtp_auth={"mailboxes": {"erp@contoso.com": "enabled"}}).findings == ()


# --- refused before and after ----------------------------------------------------------------------------------------

OFF = dataclasses.replace(HAND_MADE, name="legacy", enabled=False)
COVERS = {"type": "on_premises", "sender_ip_addresses": ["198.51.100.0/24"]}


def test_a_device_whose_connector_is_disabled_cannot_send(tmp_path: Path) -> None:
    live = {"inbound_connector/legacy": OFF}
    found = plan(tmp_path, live, devices={"mfp": RELAY}, inbound_connectors={"legacy": COVERS})
    (refused,) = of(found, "DEVICE-CANNOT-SEND")
    assert refused.summary == (
        'device/mfp cannot send: inbound_connector["legacy"] names its source, but is disabled in the tenant '
        "(550 5.7.64)"
    )
    assert refused.hint.startswith("write enabled: true for the connector")
    assert (refused.severity.value, refused.blocks) == ("warning", "")
    on = plan(tmp_path, live, devices={"mfp": RELAY}, inbound_connectors={"legacy": {**COVERS, "enabled": True}})
    assert of(on, "DEVICE-CANNOT-SEND") == []
    part = plan(
        tmp_path, live, devices={"mfp": RELAY}, inbound_connectors={"legacy": COVERS}, target="domain/contoso.com"
    )
    assert of(part, "DEVICE-CANNOT-SEND") == [], "the rest of the plan may be what is missing"


def test_what_another_finding_reports_is_not_told_twice(tmp_path: Path) -> None:
    rejects = {"organization/settings": Organization("settings", True)}
    found = plan(
        tmp_path, rejects, devices={"fax": FAX}, evidence=((organization_config.REQUEST, {"RejectDirectSend": True}),)
    )
    assert (len(of(found, "DIRECT-SEND-REJECTED")), of(found, "DEVICE-CANNOT-SEND")) == (1, [])
    elsewhere = {"domain/contoso.com": Domain("contoso.com", True, False)}
    relay = {"inbound_connector/legacy": dataclasses.replace(OFF, enabled=True)}
    told = plan(tmp_path, {**elsewhere, **relay}, devices={"mfp": RELAY}, inbound_connectors={"legacy": COVERS})
    assert (len(of(told, "PRECONDITION")) > 0, of(told, "DEVICE-CANNOT-SEND")) == (True, [])


def test_a_blocked_address_and_a_partner_s_restriction_are_told_with_their_fix(tmp_path: Path) -> None:
    blocks = (
        (connection_filter.REQUEST, {"IPBlockList": ["198.51.100.8"], "IPAllowList": []}),
        (organization_config.REQUEST, {"RejectDirectSend": False}),
    )
    fax = {**FAX, "site": "hq", "method": "direct_send"}
    (blocked,) = of(plan(tmp_path, {}, devices={"fax": fax}, evidence=blocks), "DEVICE-CANNOT-SEND")
    assert blocked.summary.endswith("refuses mail from 198.51.100.8 (IPBlockList) (550 5.7.513)")
    assert blocked.hint == "remove the address from IPBlockList of the connection filter policy"
    lockdown = InboundConnector(
        "filter",
        type="partner",
        enabled=True,
        sender_domains=frozenset({"*"}),
        sender_ip_addresses=frozenset({"9.9.9.0/24"}),
        restrict_domains_to_ip_addresses=True,
    )
    found = plan(tmp_path, {}, devices={"fax": fax}, undeclared=(lockdown,), evidence=blocks[1:])
    (restricted,) = of(found, "DEVICE-CANNOT-SEND")
    assert 'does not meet the restriction of inbound_connector["filter"] (550 5.7.51)' in restricted.summary
    fix = "declare a connector of type on_premises for its address, or add the address to "
    assert restricted.hint == fix + 'inbound_connector["filter"]'


REJECTS = {
    "Name": "No spoofing",
    "State": "Enabled",
    "Priority": 0,
    "RejectMessageReasonText": "no",
    "SenderDomainIs": ["contoso.com"],
    "Conditions": ["SenderDomainIs"],
    "Exceptions": [],
}


def test_a_transport_rule_that_keeps_the_mail_of_devices_back_is_told_once(tmp_path: Path) -> None:
    devices = {"fax": FAX, "erp": {**BASIC, "from": "fax@contoso.com", "mailbox": "erp@contoso.com"}}
    found = plan(tmp_path, {}, devices=devices, evidence=((transport_rule.REQUEST, REJECTS),))
    (told,) = of(found, "TRANSPORT-RULE-DEVICE")
    rejects = 'device/erp, device/fax: the transport rule "No spoofing" rejects mail of fax@contoso.com'
    assert (told.summary, told.severity, of(found, "DEVICE-CANNOT-SEND")) == (rejects, Severity.WARNING, [])
    scope = {**REJECTS, "FromScope": "NotInOrganization", "Conditions": ["SenderDomainIs", "FromScope"]}
    (unsure,) = of(plan(tmp_path, {}, devices={"fax": FAX}, evidence=((transport_rule.REQUEST, scope),)), told.rule)
    assert "it is not certain that the transport rule" in unsure.summary
    assert "(not known: whether the mail counts as mail from inside (FromScope))" in unsure.summary
    content = {**REJECTS, "Conditions": ["SenderDomainIs", "SubjectContainsWords"]}
    assert of(plan(tmp_path, {}, devices={"fax": FAX}, evidence=((transport_rule.REQUEST, content),)), told.rule) == []
    odd = plan(tmp_path, {}, devices={"fax": FAX}, evidence=((transport_rule.REQUEST, {"Name": "of another form"}),))
    assert [f for f in of(odd, "RULE-NOT-DECIDED") if "TRANSPORT-RULE-DEVICE" in f.summary]


@pytest.mark.parametrize(
    "condition", [{}, {"RecipientDomainIs": ["bank.example"]}], ids=["every message", "one domain"]
)
def test_a_rule_that_requires_tls_is_for_explain_to_name(condition: dict[str, Any], tmp_path: Path) -> None:
    """It keeps no mail back by itself, whether or not it is known to act (docs/rules/TRANSPORT-RULE-DEVICE.md)."""
    demands = {"Name": "TLS", "State": "Enabled", "Priority": 0, "RouteMessageOutboundRequireTls": True,
               "Conditions": list(condition), "Exceptions": [], **condition}  # fmt: skip
    devices = {"erp": {**BASIC, "mailbox": "erp@contoso.com", "recipients": "anyone"}}
    found = plan(tmp_path, {}, devices=devices, evidence=((transport_rule.REQUEST, demands),))
    assert of(found, "TRANSPORT-RULE-DEVICE") == []


def test_a_change_that_lets_a_rule_keep_the_mail_of_a_device_back_is_refused(tmp_path: Path) -> None:
    off = TransportRule("No spoofing", enabled=False, fate="rejects", sender_domains=frozenset({"contoso.com"}))
    evidence = ((transport_rule.REQUEST, {**REJECTS, "State": "Disabled"}),)
    rules = {"No spoofing": {"enabled": True}}
    there = {"transport_rule/No spoofing": off}
    found = plan(tmp_path, there, devices={"fax": FAX}, evidence=evidence, transport_rules=rules)
    (lost,) = of(found, "DEVICE-LOSES-WAY")
    assert lost.summary.endswith('the transport rule "No spoofing" rejects mail of fax@contoso.com')
    assert of(found, "TRANSPORT-RULE-DEVICE") == []


NO_RULE = {"Name": "old", "State": "Disabled", "HostedOutboundSpamFilterPolicy": "Old", "Priority": 0}


def test_devices_of_one_mailbox_share_the_limit_of_its_outbound_policy(tmp_path: Path) -> None:
    busy = {**BASIC, "mailbox": "erp@contoso.com", "messages_per_day": 300}
    devices = {"erp": busy, "two": {**busy, "from": "b@contoso.com"}}
    row = {"Name": "Default", "RecipientLimitPerDay": 500, "ActionWhenThresholdReached": "BlockUser",
           "RecipientLimitExternalPerHour": 40, "RecipientLimitInternalPerHour": 0}  # fmt: skip

    def told(devices: dict[str, Any], **columns: Any) -> list[str]:
        policies = (outbound_spam.POLICIES, {**row, **columns})
        found = plan(tmp_path, {}, devices=devices, evidence=(policies, (outbound_spam.RULES, NO_RULE)))
        return [f.summary for f in of(found, "OUTBOUND-LIMIT-DEVICE")]

    (summary,) = told(devices)
    assert summary == (
        "erp@contoso.com (device/erp, device/two) may reach 600 recipients a day, and "
        'the outbound spam policy "Default" stops it after 500 (550 5.1.8)'
    )
    (hourly,) = told({"erp": {**busy, "recipients_per_message": 41, "messages_per_day": 1}})
    assert "41 external recipients an hour" in hourly
    assert told(devices, ActionWhenThresholdReached="Alert") == []
    assert told(devices, RecipientLimitPerDay=600) == []
    assert told(devices, RecipientLimitPerDay=0) == []


def test_a_mailbox_whose_own_switch_is_turned_off_loses_its_way(tmp_path: Path) -> None:
    """The switch of the mailbox counts as that of the organization does."""
    head = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "owner": "us", "devices": {"erp": BASIC}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(head))))
    desired, _ = document.load(tmp_path, TYPES, today=TODAY)
    address = Address("smtp_auth", "erp@contoso.com")
    on, off = SmtpAuth("erp@contoso.com", "enabled"), SmtpAuth("erp@contoso.com", "disabled")
    account = Present(THERE["mailbox/erp@contoso.com"])
    seen = Observed({address: Present(on), Address("mailbox", "erp@contoso.com"): account})
    change = Change(address, Action.UPDATE, on, off, observed=on)
    (found,) = [f for f in device_findings(desired, seen, [change], TYPES) if f.rule == "DEVICE-LOSES-WAY"]
    assert found.summary == ("device/erp will no longer be able to send: SMTP AUTH is disabled for the mailbox itself")
    assert found.address == address


DIGEST = {
    "from": "digest@contoso.com",
    "recipients": "organization",
    "messages_per_day": 14_000,
    "supports": {"tls": "1.3", "authentication": ["login"]},
}


def test_security_defaults_block_a_high_volume_account_too_and_its_billing_is_no_finding(tmp_path: Path) -> None:
    on, off = (((security_defaults.REQUEST, {"isEnabled": value}),) for value in (True, False))
    (blocked,) = of(plan(tmp_path, {}, devices={"digest": DIGEST}, evidence=on), "SMTP-AUTH-BLOCKED")
    assert blocked.summary.startswith("device/digest cannot sign in: the security defaults")
    fine = plan(tmp_path, {}, devices={"digest": DIGEST}, evidence=off)
    assert of(fine, "SMTP-AUTH-BLOCKED") == []
    (unknown,) = of(fine, "SMTP-AUTH-UNKNOWN")
    assert "Conditional Access" in unknown.summary, "what was not read is told"
    assert "billing" not in unknown.summary


def test_a_password_for_a_high_volume_account_asks_what_forbids_passwords(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        yaml.safe_dump({"provisioner": 1, "tenant": "contoso.onmicrosoft.com", "devices": {"digest": DIGEST}})
    )
    desired, _ = document.load(tmp_path, TYPES, today=TODAY)
    assert security_defaults.REQUEST in questions(desired)


def test_a_policy_that_is_assigned_and_keeps_passwords_out_is_the_cause(tmp_path: Path) -> None:
    """Of the mailbox's own and the organization's change, the mailbox's is named."""
    live = {
        "authentication_policy/out": AuthenticationPolicy("out", allow_basic_smtp=False),
        "authentication_policy_assignment/erp@contoso.com": PolicyAssignment("erp@contoso.com", "inherit", "inherited"),
    }
    calm = {"UserPrincipalName": "erp@contoso.com", "AuthenticationPolicy": "", "RecipientTypeDetails": "UserMailbox"}
    evidence: tuple[tuple[Request, dict[str, Any]], ...] = (
        (user_rows.look_up("erp@contoso.com"), {**calm, "WindowsEmailAddress": "erp@contoso.com"}),
        (security_defaults.REQUEST, {"isEnabled": False}),
        (organization_config.REQUEST, {"RejectDirectSend": False, "DefaultAuthenticationPolicy": ""}),
    )
    sections: dict[str, Any] = {
        "devices": {"erp": BASIC},
        "authentication_policies": {"out": {}},
        "assignments": {"authentication_policy": {"mailboxes": {"erp@contoso.com": "out"}}},
    }
    found = plan(tmp_path, live, evidence=evidence, **sections)
    (loses,) = of(found, "DEVICE-LOSES-WAY")
    assert str(loses.address) == 'authentication_policy_assignment["erp@contoso.com"]'
    assert of(found, "SMTP-AUTH-BLOCKED") == []
