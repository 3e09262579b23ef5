"""Desired + observed -> change set, with the real resource types and no tenant."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.changes import changeset, ordering, planning, scoping
from provisioner.diagnostics import Severity
from provisioner.model import (
    Absent,
    Action,
    Address,
    Change,
    Check,
    Desired,
    Finding,
    Observation,
    Observed,
    Present,
    Resource,
    Unknown,
    Waiver,
)
from provisioner.render import powershell
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.send_as import SendAs
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth

ERP = Address("smtp_auth", "erp@contoso.com")
HQ = Address("inbound_connector", "hq")
SIGNING = Address("dkim", "contoso.com")
DOMAIN = Address("domain", "contoso.com")


def desired(*specs: tuple[Address, object], **rest: object) -> Desired:
    resources = {a: Resource(a, s) for a, s in specs}
    return Desired("contoso.onmicrosoft.com", str(rest.pop("owner", "")), resources, **rest)  # type: ignore[arg-type]


def observed(*seen: tuple[Address, Observation], **rest: object) -> Observed:
    return Observed(dict(seen), **rest)  # type: ignore[arg-type]


def actions(changes: tuple[Change, ...]) -> dict[str, Action]:
    return {str(c.address): c.action for c in changes}


CONNECTOR = InboundConnector(
    "hq", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"192.0.2.5/32"}), require_tls=True
)
LIVE_CONNECTOR = InboundConnector(
    "hq",
    type="on_premises",
    enabled=True,
    sender_ip_addresses=frozenset({"192.0.2.5/32"}),
    sender_domains=frozenset({"*"}),
    require_tls=True,
    tls_sender_certificate_name="",
    comment="somebody's",
    owner="",
)


def test_what_is_as_written_is_a_no_op_and_fields_that_are_not_written_do_not_count() -> None:
    found = planning.plan(desired((HQ, CONNECTOR)), observed((HQ, Present(LIVE_CONNECTOR))), TYPES)
    assert actions(found.changes) == {'inbound_connector["hq"]': Action.NO_OP}
    assert found.complete
    assert not found.applyable
    assert found.pending == ()


def test_an_update_rests_on_the_written_fields_only() -> None:
    wanted = InboundConnector("hq", require_tls=False)
    found = planning.plan(desired((HQ, wanted)), observed((HQ, Present(LIVE_CONNECTOR))), TYPES)
    (change,) = found.pending
    assert change.before == InboundConnector("hq", require_tls=True)
    assert change.after == InboundConnector("hq", require_tls=False)
    assert found.applyable


def test_absent_is_created_and_the_inverse_deletes_it() -> None:
    found = planning.plan(desired((HQ, CONNECTOR)), observed((HQ, Absent())), TYPES)
    (change,) = found.pending
    assert change.action is Action.CREATE
    assert [s.request.name for s in change.steps] == ["New-InboundConnector"]  # type: ignore[union-attr]
    assert [s.request.name for s in change.inverse] == ["Remove-InboundConnector"]  # type: ignore[union-attr]


def test_what_is_known_of_an_absent_object_is_shown_and_sent() -> None:
    right = Address("send_as", "erp@contoso.com as bills@contoso.com")
    spec = SendAs(right.key, "erp@contoso.com", "bills@contoso.com")
    known = SendAs(right.key, trustee_id="g-1", sender_id="g-2")
    found = planning.plan(desired((right, spec)), observed((right, Absent(known=known))), TYPES)
    (change,) = found.pending
    assert change.after == dataclasses.replace(spec, trustee_id="g-1", sender_id="g-2")
    assert [(s.request.parameters["Trustee"], s.request.parameters["Identity"]) for s in change.steps] == [  # type: ignore[union-attr]
        ("g-1", "g-2")
    ]
    again = planning.plan(desired((right, spec)), observed((right, Absent("it is a contact", "write a user"))), TYPES)
    assert again.pending == ()
    (said,) = again.findings
    assert (said.rule, said.summary) == ("RESOURCE-MISSING", f"{right}: it is a contact")
    assert said.hint == "write a user, or take it out of the plan"
    assert said.blocks == "precondition"


def test_unknown_plans_nothing_and_says_so() -> None:
    found = planning.plan(desired((HQ, CONNECTOR)), observed((HQ, Unknown("throttled"))), TYPES)
    assert found.changes == ()
    assert found.unknown == {HQ: Unknown("throttled")}
    assert found.errored
    assert not found.complete
    assert not found.applyable


def test_a_resource_that_was_not_read_is_unknown_and_not_absent() -> None:
    found = planning.plan(desired((HQ, CONNECTOR)), observed(), TYPES)
    assert found.changes == ()


def test_a_missing_mailbox_is_one_clear_finding_and_the_others_are_still_planned() -> None:
    other = Address("smtp_auth", "fax@contoso.com")
    plan = desired((ERP, SmtpAuth(ERP.key, "enabled")), (other, SmtpAuth(other.key, "enabled")))
    found = planning.plan(plan, observed((ERP, Absent()), (other, Present(SmtpAuth(other.key, "inherit")))), TYPES)
    assert [f.rule for f in found.findings if f.blocks] == ["RESOURCE-MISSING"]
    assert actions(found.pending) == {'smtp_auth["fax@contoso.com"]': Action.UPDATE}
    assert not found.applyable


def test_a_precondition_is_checked_and_never_changed() -> None:
    plan = desired((DOMAIN, Domain("contoso.com", verified=True, type="authoritative")))
    seen = observed((DOMAIN, Present(Domain("contoso.com", verified=True, accepted=True, type="internal_relay"))))
    found = planning.plan(plan, seen, TYPES)
    assert found.changes == ()
    assert [(c.status, len(c.problems)) for c in found.checks] == [("fail", 1)]
    assert [f.rule for f in found.findings] == ["PRECONDITION"]


@pytest.mark.parametrize(
    ("there", "status", "problems"),
    [
        (Present(Domain("contoso.com", verified=True, accepted=True, type="authoritative")), "pass", ()),
        (
            Present(Domain("contoso.com", verified=False)),
            "fail",
            ("verified is false, the plan takes true for granted",),
        ),
        (Present(Domain("contoso.com")), "fail", ("verified is not known, the plan takes true for granted",)),
        (Absent(), "fail", ("the tenant does not have it",)),
        (Unknown("throttled"), "unknown", ("throttled",)),
    ],
)
def test_a_check_passes_fails_or_is_unknown(there: Observation, status: str, problems: tuple[str, ...]) -> None:
    found = planning.plan(desired((DOMAIN, Domain("contoso.com", verified=True))), observed((DOMAIN, there)), TYPES)
    assert found.checks == (Check(DOMAIN, status, problems),)
    assert [f.rule for f in found.findings] == (["PRECONDITION"] if status == "fail" else [])


def test_our_mark_without_a_declaration_is_deleted_and_a_stranger_is_kept() -> None:
    ours = InboundConnector("gone", owner="us/prod", comment="", source="admin_ui")
    theirs = InboundConnector("other", owner="", comment="", source="admin_ui")
    undeclared = {Address("inbound_connector", s.name): s for s in (ours, theirs)}
    found = planning.plan(desired(owner="us/prod"), observed(undeclared=undeclared), TYPES)
    assert actions(found.changes) == {'inbound_connector["gone"]': Action.DELETE}


@pytest.mark.parametrize("patterns", [{"ignore": ("inbound_connector/go*",)}, {"protect": ("inbound_connector/gone",)}])
def test_ignored_and_protected_objects_are_never_deleted(patterns: dict[str, tuple[str, ...]]) -> None:
    ours = InboundConnector("gone", owner="us/prod", comment="", source="admin_ui")
    undeclared = {Address("inbound_connector", "gone"): ours}
    found = planning.plan(desired(owner="us/prod", **patterns), observed(undeclared=undeclared), TYPES)
    assert found.changes == ()
    assert [f.rule for f in found.findings] == (["PROTECTED"] if "protect" in patterns else [])
    assert all('"gone"] would be deleted (it carries the mark of' in f.summary for f in found.findings)


def test_exclusive_sends_overrides_back_to_inherit() -> None:
    stray = Address("smtp_auth", "stray@contoso.com")
    calm = Address("smtp_auth", "calm@contoso.com")
    undeclared = {stray: SmtpAuth(stray.key, "enabled"), calm: SmtpAuth(calm.key, "inherit")}
    claimed = planning.plan(desired(exclusive=frozenset({"smtp_auth"})), observed(undeclared=undeclared), TYPES)
    assert actions(claimed.changes) == {'smtp_auth["stray@contoso.com"]': Action.UPDATE}
    free = planning.plan(desired(), observed(undeclared=undeclared), TYPES)
    assert free.changes == ()


def test_a_tombstone_deletes_what_is_there_and_is_content_with_what_is_not() -> None:
    tomb = desired(absent={HQ: None})
    assert actions(planning.plan(tomb, observed((HQ, Present(LIVE_CONNECTOR))), TYPES).changes) == {
        'inbound_connector["hq"]': Action.DELETE
    }
    assert planning.plan(tomb, observed((HQ, Absent())), TYPES).changes == ()


def test_a_field_that_only_creation_can_set_is_told_and_not_planned() -> None:
    plan = desired((SIGNING, Dkim("contoso.com", enabled=True, key_size=2048)))
    live = Dkim("contoso.com", True, 1024, "relaxed", "relaxed", "a.example", "b.example")
    found = planning.plan(plan, observed((SIGNING, Present(live))), TYPES)
    assert found.pending == ()
    assert [f.rule for f in found.findings] == ["CREATE-ONLY"]
    resource = Resource(SIGNING, Dkim("contoso.com", enabled=False, key_size=2048))
    told = planning._create_only_findings(resource, live, ("key_size", "enabled"))
    assert [f.summary.split()[1] for f in told] == ["enabled", "key_size"]


def test_a_connector_that_is_switched_off_is_told_with_both_ways_out() -> None:
    off = dataclasses.replace(LIVE_CONNECTOR, enabled=False)
    found = planning.plan(desired((HQ, replace(CONNECTOR, enabled=None))), observed((HQ, Present(off))), TYPES)
    (told,) = [f for f in found.findings if f.rule == "NOT-IN-FORCE"]
    assert told.hint == "write enabled: true to switch it on, or enabled: false if that is intended"


def test_a_restricting_partner_connector_that_goes_comes_after_what_opens() -> None:
    """It refuses nobody any more, and its own sources lose their exemption from RejectDirectSend."""
    filter_ = InboundConnector(
        "filter",
        type="partner",
        enabled=True,
        sender_domains=frozenset({"*"}),
        sender_ip_addresses=frozenset({"9.9.9.0/24"}),
        restrict_domains_to_ip_addresses=True,
    )
    old, new = Address("inbound_connector", "filter"), Address("inbound_connector", "hq")
    relay = InboundConnector("hq", type="on_premises", sender_ip_addresses=frozenset({"198.51.100.8/32"}))
    wanted = dataclasses.replace(desired((new, relay)), absent={old: None})
    found = planning.plan(wanted, observed((new, Absent()), (old, Present(filter_))), TYPES)
    assert [(c.address, c.closes) for c in found.pending] == [(new, False), (old, True)]
    assert found.pending[1].consequences == ("deletes", "widens exposure")
    document = changeset.to_document(found)
    assert [c["provisioner"]["closes"] for c in document["resource_changes"]] == [False, True]
    script = powershell.render(document)
    assert script.index("New-InboundConnector") < script.index("From here on") < script.index("Remove-InboundConnector")


def test_a_target_narrows_the_plan_brings_its_preconditions_and_marks_it_incomplete() -> None:
    plan = desired(
        (SIGNING, Dkim("contoso.com", enabled=True)),
        (DOMAIN, Domain("contoso.com", verified=True)),
        (HQ, CONNECTOR),
    )
    scope = scoping.Scope(targets=("dkim/*",))
    narrowed = scoping.narrow(plan, TYPES, scope)
    assert set(narrowed.resources) == {SIGNING, DOMAIN}
    assert set(narrowed.set_aside) == {HQ}
    assert scoping.narrow(narrowed, TYPES, scoping.Scope(targets=("inbound_connector/*",))).resources.keys() == {HQ}
    assert not planning.plan(narrowed, observed(), TYPES, scope=scope).complete
    assert set(scoping.narrow(plan, TYPES, scoping.Scope(excludes=("dkim/*",))).resources) == {DOMAIN, HQ}


def test_the_tenant_wide_switch_is_a_guard_that_only_its_name_lifts() -> None:
    switch = Address("smtp_auth", ORGANIZATION)
    plan = desired((switch, SmtpAuth(ORGANIZATION, "enabled")))
    seen = observed((switch, Present(SmtpAuth(ORGANIZATION, "disabled"))))
    refused = planning.plan(plan, seen, TYPES)
    assert [f.rule for f in refused.findings if f.blocks] == ["SMTP-TENANT-WIDE"]
    assert not refused.applyable
    other = planning.plan(plan, seen, TYPES, waivers=[Waiver("BLAST-RADIUS")])
    assert not other.applyable
    named = planning.plan(plan, seen, TYPES, waivers=[Waiver("SMTP-TENANT-WIDE", reason="CHG-1")])
    assert named.applyable
    assert [f.waived for f in named.findings] == ["CHG-1"]


@pytest.mark.parametrize(
    ("ours", "declared", "absent", "stops"),
    [
        (2, 0, 0, "all 2"),
        (1, 0, 0, "the last"),
        (3, 1, 0, "2 of 3"),
        (4, 2, 0, ""),
        (2, 1, 0, ""),
        (2, 0, 2, ""),
        (3, 0, 2, "the last"),
    ],
)
def test_taking_away_most_of_what_the_plan_owns_is_a_guard(ours: int, declared: int, absent: int, stops: str) -> None:
    """A lost file: what it declared has our mark, and nothing declares it any more. Tombstones are meant."""
    live = {
        Address("inbound_connector", f"c{i}"): InboundConnector(
            f"c{i}", type="on_premises", enabled=True, sender_ip_addresses=frozenset({f"52.202.8.{i}/32"}), owner="mail"
        )
        for i in range(ours)
    }
    named = list(live)[:declared]
    gone = list(live)[declared : declared + absent]
    plan = desired(*((a, InboundConnector(a.key, type="on_premises", owner="mail")) for a in named))
    plan = replace(plan, owner="mail", absent=dict.fromkeys(gone))
    seen = replace(
        observed(*((a, Present(live[a])) for a in (*named, *gone))),
        undeclared={a: s for a, s in live.items() if a not in (*named, *gone)},
    )
    said = [f.summary for f in planning.plan(plan, seen, TYPES).findings if f.rule == "BLAST-RADIUS"]
    assert [text.startswith(stops) for text in said] == ([True] if stops else [])


def test_more_than_the_share_of_ten_or_more_objects_is_a_guard() -> None:
    keys = [Address("smtp_auth", f"m{i}@contoso.com") for i in range(10)]

    def blast(changed: int, of: int) -> list[str]:
        plan = desired(
            *((k, SmtpAuth(k.key, "enabled" if i < changed else "inherit")) for i, k in enumerate(keys[:of]))
        )
        seen = observed(*((k, Present(SmtpAuth(k.key, "inherit"))) for k in keys[:of]))
        return [f.rule for f in planning.plan(plan, seen, TYPES).findings]

    assert blast(3, 10) == []
    assert blast(4, 10) == ["BLAST-RADIUS"]
    assert blast(9, 9) == []


@given(st.permutations(sorted(["192.0.2.5/32", "198.51.100.0/24", "203.0.113.64/28"])), st.booleans())
def test_the_order_of_a_list_never_matters(order: list[str], tls: bool) -> None:
    wanted = InboundConnector("hq", sender_ip_addresses=frozenset(order), require_tls=tls)
    live = InboundConnector("hq", sender_ip_addresses=frozenset(sorted(order)), require_tls=tls, comment="")
    assert planning.plan(desired((HQ, wanted)), observed((HQ, Present(live))), TYPES).pending == ()


def test_the_organization_is_closed_only_after_its_mailboxes_have_their_own_word() -> None:
    switch = Address("smtp_auth", ORGANIZATION)
    plan = desired((switch, SmtpAuth(ORGANIZATION, "disabled")), (ERP, SmtpAuth(ERP.key, "enabled")))
    seen = observed((switch, Present(SmtpAuth(ORGANIZATION, "enabled"))), (ERP, Present(SmtpAuth(ERP.key, "inherit"))))
    found = planning.plan(plan, seen, TYPES)
    assert [c.address for c in found.pending] == [ERP, switch]
    assert ordering.stages(found.changes) == {ERP: ordering.Stage.FREE, switch: ordering.Stage.CLOSING}


def test_two_addresses_of_one_mailbox_cannot_both_be_declared() -> None:
    alias = Address("smtp_auth", "alias@contoso.com")
    plan = desired((ERP, SmtpAuth(ERP.key, "enabled")), (alias, SmtpAuth(alias.key, "disabled")))
    live = {a: Present(SmtpAuth(a.key, "inherit", mailbox="erp@contoso.com")) for a in (ERP, alias)}
    found = planning.plan(plan, observed(*live.items()), TYPES)
    assert [f.rule for f in found.findings] == ["SAME-MAILBOX"]
    assert not found.applyable


def test_a_connector_of_the_hybrid_wizard_is_guarded() -> None:
    live = InboundConnector("hq", require_tls=True, comment="", source="hybrid_wizard")
    found = planning.plan(
        desired((HQ, InboundConnector("hq", require_tls=False))), observed((HQ, Present(live))), TYPES
    )
    assert [f.rule for f in found.findings] == ["HYBRID-CONNECTOR"]
    calm = planning.plan(desired((HQ, InboundConnector("hq", require_tls=True))), observed((HQ, Present(live))), TYPES)
    assert calm.findings == ()


def test_a_tombstone_for_something_declared_is_a_contradiction_in_any_case() -> None:
    plan = desired((HQ, CONNECTOR), absent={Address("inbound_connector", "HQ"): None})
    found = planning.plan(plan, observed((HQ, Present(LIVE_CONNECTOR))), TYPES)
    assert [f.rule for f in found.findings if f.blocks] == ["ABSENT-DECLARED"]


@pytest.mark.parametrize("name", ["a-relay", "z-relay"])
def test_a_delete_follows_the_create_whatever_their_names(name: str) -> None:
    old, new = Address("inbound_connector", "m-relay"), Address("inbound_connector", name)
    live = replace(LIVE_CONNECTOR, name="m-relay", owner="us/prod", owner_key="m-relay", require_tls=False)
    seen = observed((new, Absent()), undeclared={old: live})
    found = planning.plan(desired((new, replace(CONNECTOR, name=name)), owner="us/prod"), seen, TYPES)
    assert [c.address for c in found.pending] == [new, old]
    assert [c.consequences for c in found.pending] == [("widens exposure",), ("deletes", "can stop mail")]


# --- names -----------------------------------------------------------------------------------------------------------

SCAN = Address("smtp_auth", "scan@contoso.com")
LIVE_SCAN = SmtpAuth("scan@contoso.com", "enabled", "scan@contoso.com", frozenset({"mfp@contoso.com", "g-1"}))
EXCLUSIVE = frozenset({"smtp_auth"})
LIVE_ERP = Present(SmtpAuth("erp@contoso.com", "enabled", "erp@contoso.com"))
WANTED_ERP = (ERP, SmtpAuth("erp@contoso.com", "enabled"))


@pytest.mark.parametrize("pattern", ["smtp_auth/mfp@contoso.com", "smtp_auth/MFP@*", "smtp_auth/g-1", "*/scan@*"])
def test_a_pattern_matches_every_name_of_an_object(pattern: str) -> None:
    live = observed((ERP, LIVE_ERP), undeclared={SCAN: LIVE_SCAN})
    plain = planning.plan(desired(WANTED_ERP, exclusive=EXCLUSIVE), live, TYPES)
    assert [c.address for c in plain.pending] == [SCAN]
    for header in ({"ignore": (pattern,)}, {"protect": (pattern,)}):
        found = planning.plan(desired(WANTED_ERP, exclusive=EXCLUSIVE, **header), live, TYPES)
        assert found.pending == ()
        assert [f.rule for f in found.findings] == (["PROTECTED"] if "protect" in header else [])
    scope = scoping.Scope(excludes=(pattern,))
    narrowed = scoping.narrow(desired(WANTED_ERP, exclusive=EXCLUSIVE), TYPES, scope)
    assert planning.plan(narrowed, live, TYPES, scope=scope).pending == ()


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Absent(), "does not have it"),
        (Unknown("it matches multiple entries"), "multiple entries"),
        (Present(SmtpAuth("mfp@contoso.com", "enabled", "scan@contoso.com")), "also a name of"),
    ],
)
def test_a_name_that_is_not_certain_freezes_the_undeclared_objects(there: Observation, words: str) -> None:
    declared = Address("smtp_auth", "mfp@contoso.com")
    other = Address("smtp_auth", "bea@contoso.com")
    names = frozenset({"mfp@contoso.com"}) if isinstance(there, Present) else frozenset()
    bea = SmtpAuth("bea@contoso.com", "enabled", "bea@contoso.com", names)
    plan = desired((declared, SmtpAuth("mfp@contoso.com", "enabled")), exclusive=EXCLUSIVE)
    found = planning.plan(plan, observed((declared, there), undeclared={other: bea}), TYPES)
    assert found.pending == ()
    assert not found.complete
    (frozen,) = [f for f in found.findings if f.rule == "UNDECLARED-FROZEN"]
    assert frozen.address == declared
    assert words in frozen.summary


def test_a_connector_of_ours_is_kept_while_a_declared_one_is_unknown() -> None:
    ours = InboundConnector("old", owner="me", owner_key="old", comment="")
    plan = desired((HQ, CONNECTOR), owner="me")
    live = observed((HQ, Unknown("malformed")), undeclared={Address("inbound_connector", "old"): ours})
    assert planning.plan(plan, live, TYPES).pending == ()
    live = observed((HQ, Absent()), undeclared={Address("inbound_connector", "old"): ours})
    assert [c.action for c in planning.plan(plan, live, TYPES).pending] == [Action.CREATE, Action.DELETE]


def test_the_two_spellings_of_a_domain_are_one_name() -> None:
    german = Address("dkim", "xn--bcher-kva.example")
    plan = desired((german, Dkim(german.key, enabled=True)))
    for pattern in ("dkim/b\u00fccher.example", "dkim/XN--BCHER-KVA.example"):
        scope = scoping.Scope(excludes=(pattern,))
        live = observed((german, Present(Dkim(german.key, enabled=False))))
        assert planning.plan(scoping.narrow(plan, TYPES, scope), live, TYPES, scope=scope).changes == ()


def test_an_update_releases_what_it_needed_and_needs_no_more() -> None:
    address = Address("authentication_policy_assignment", "erp@contoso.com")
    live = PolicyAssignment("erp@contoso.com", "devices", "allowed", "erp@contoso.com")
    for policy, released in (("inherit", ["devices"]), ("others", ["devices"]), ("devices", [])):
        wanted = PolicyAssignment("erp@contoso.com", policy)
        found = planning.plan(desired((address, wanted)), observed((address, Present(live))), TYPES)
        assert [need.key for change in found.pending for need in change.releases] == released


@pytest.mark.parametrize(
    ("summary", "pending", "stays"),
    [
        ("device/fax: no way is left", [ERP], True),
        ("device/erp: no way is left", [ERP], False),
        ("the plan has no owner", [ERP], False),
        ("the plan has no owner", [], True),
    ],
)
def test_a_finding_of_the_plan_stays_where_nothing_changes_that_it_names(
    summary: str, pending: list[Address], stays: bool
) -> None:
    found = Finding("X", Severity.WARNING, summary)
    assert planning._stays(found, pending, ["erp"]) is stays
    assert not planning._stays(replace(found, blocks="stop"), pending, ["erp"])
    assert planning._stays(replace(found, address=HQ), pending, ["erp"])
