"""What a run looks at: targets and exclusions, what they bring along, and the names that only the tenant knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.changes import planning, scoping
from provisioner.changes.scoping import Scope
from provisioner.diagnostics import Location
from provisioner.model import (
    Absent,
    Action,
    Address,
    ChangeSet,
    Desired,
    Finding,
    Observation,
    Observed,
    Present,
    Resource,
    Unknown,
)
from provisioner.model.devices import SMTP_RELAY, Choice
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

ERP, FAX, MFP = (Address("smtp_auth", f"{name}@contoso.com") for name in ("erp", "fax", "mfp"))
HQ, OLD = Address("inbound_connector", "hq"), Address("inbound_connector", "old")
SIGNING, DOMAIN = Address("dkim", "contoso.com"), Address("domain", "contoso.com")
AT = Location("plan.yaml", 3, 5)


def switch(address: Address, word: str = "enabled", *names: str) -> Resource:
    return Resource(address, SmtpAuth(address.key, word, names=frozenset(names)), AT)


def desired(*resources: Resource, **rest: object) -> Desired:
    return Desired("contoso", "", {r.address: r for r in resources}, **rest)  # type: ignore[arg-type]


WHOLE = desired(
    switch(ERP),
    switch(FAX),
    Resource(SIGNING, Dkim("contoso.com", enabled=True)),
    Resource(DOMAIN, Domain("contoso.com", verified=True)),
    absent={OLD: AT, HQ: None},
)


@pytest.mark.parametrize(
    ("scope", "kept", "absent"),
    [
        (Scope(), {ERP, FAX, SIGNING, DOMAIN}, {OLD, HQ}),
        (Scope(("smtp_auth/*",)), {ERP, FAX}, set()),
        (Scope(("smtp_auth/*",), ("smtp_auth/fax*",)), {ERP}, set()),
        (Scope((), ("smtp_auth/*",)), {SIGNING, DOMAIN}, {OLD, HQ}),
        (Scope(("inbound_connector/o*",)), set(), {OLD}),
        (Scope((), ("inbound_connector/o*",)), {ERP, FAX, SIGNING, DOMAIN}, {HQ}),
        # What a target needs comes along, unless it is excluded by name.
        (Scope(("dkim/*",)), {SIGNING, DOMAIN}, set()),
        (Scope(("dkim/*",), ("domain/*",)), {SIGNING}, set()),
    ],
)
def test_a_scope_keeps_its_part_and_sets_the_rest_aside(scope: Scope, kept: set[Address], absent: set[Address]) -> None:
    narrowed = scoping.narrow(WHOLE, TYPES, scope)
    assert set(narrowed.resources) == kept
    assert set(narrowed.absent) == absent
    assert set(narrowed.set_aside) == set(WHOLE.resources) - kept
    assert scoping.narrow(narrowed, TYPES, scope) == narrowed
    assert scope.whole is (scope == Scope())


@pytest.mark.parametrize(
    ("targets", "listed", "read"),
    [
        # Declared objects of a listed type are known from undeclared ones; of others they are not read.
        (("dkim/*",), {"smtp_auth"}, {ERP, FAX}),
        (("dkim/*",), set(), set()),
        (("smtp_auth/erp@*",), {"dkim"}, {SIGNING}),
        # A target that no written name matches may be another name of anything.
        (("smtp_auth/mfp@*",), set(), {ERP, FAX, SIGNING, DOMAIN}),
        (("dkim/*", "smtp_auth/mfp@*"), set(), {ERP, FAX}),
        (("inbound_connector/old",), set(), set()),
    ],
)
def test_what_is_set_aside_is_read_where_a_name_may_mean_it(
    targets: tuple[str, ...], listed: set[str], read: set[Address]
) -> None:
    scope = Scope(targets)
    assert set(scoping.bystanders(scoping.narrow(WHOLE, TYPES, scope), listed, scope)) == read


def seen(*items: tuple[Address, Observation]) -> Observed:
    return Observed(dict(items))


def alias(address: Address, *names: str) -> Present:
    return Present(SmtpAuth(address.key, "inherit", names=frozenset(names)))


def test_a_target_finds_an_object_by_a_name_that_only_the_tenant_knows() -> None:
    scope = Scope(("smtp_auth/mfp@*",))
    narrowed = scoping.narrow(WHOLE, TYPES, scope)
    assert narrowed.resources == {}
    observed = seen((ERP, alias(ERP, "mfp@contoso.com")), (FAX, alias(FAX)))
    again = scoping.rescope(narrowed, observed, TYPES, scope)
    assert set(again.resources) == {ERP}
    assert set(again.set_aside) == {FAX, SIGNING, DOMAIN}
    found = planning.plan(narrowed, observed, TYPES, scope=scope)
    assert [c.address for c in found.pending] == [ERP]
    assert scoping.unmatched(scope, narrowed, observed, found, TYPES) == []
    assert scoping.rescope(narrowed, observed, TYPES, Scope()) is narrowed


def test_an_exclusion_finds_them_too_also_under_absent() -> None:
    scope = Scope((), ("smtp_auth/mfp@*",))
    plan = desired(switch(FAX), absent={ERP: AT})
    observed = seen((ERP, alias(ERP, "mfp@contoso.com")), (FAX, alias(FAX)))
    again = scoping.rescope(scoping.narrow(plan, TYPES, scope), observed, TYPES, scope)
    assert (set(again.resources), set(again.absent)) == ({FAX}, set())


def test_targets_that_name_nothing_are_told() -> None:
    scope = Scope(("smtp_auth/erp*", "smtp_auth/none*", "inbound_connector/old", "inbound_connector/gone"))
    narrowed = scoping.narrow(WHOLE, TYPES, scope)
    nothing = ChangeSet("contoso", "", "", ())
    unmatched = scoping.unmatched(scope, narrowed, seen(), nothing, TYPES)
    assert unmatched == ["smtp_auth/none*", "inbound_connector/gone"]
    gone = Address("inbound_connector", "gone")
    live = InboundConnector("gone", owner="us/prod", comment="")
    found = planning.plan(
        replace(narrowed, owner="us/prod"), Observed({OLD: Absent()}, {gone: live}), TYPES, scope=scope
    )
    assert [c.address for c in found.changes] == [gone]
    assert scoping.unmatched(scope, narrowed, seen(), found, TYPES) == ["smtp_auth/none*"]
    assert scoping.unmatched(Scope(), narrowed, seen(), found, TYPES) == []


# --- one object under two names --------------------------------------------------------------------------------------


def findings(found: ChangeSet, rule: str) -> list[Finding]:
    return [f for f in found.findings if f.rule == rule]


@pytest.mark.parametrize("aside", [False, True])
def test_what_is_absent_under_one_name_cannot_be_declared_under_another(aside: bool) -> None:
    both = {MFP: switch(MFP)}
    plan = Desired("contoso", "", {} if aside else both, set_aside=both if aside else {}, absent={ERP: AT})
    observed = seen((ERP, alias(ERP, "mfp@contoso.com")), (MFP, alias(MFP, "mfp@contoso.com")))
    found = planning.plan(plan, observed, TYPES)
    (told,) = findings(found, "ABSENT-DECLARED")
    assert told.summary == f"{ERP} is listed under absent, and the plan declares the same object as {MFP}"
    assert (told.blocks, told.address, told.location) == ("precondition", ERP, AT)
    assert Action.DELETE not in {c.action for c in found.changes}


def test_what_is_absent_goes_while_another_of_its_type_stays() -> None:
    live = {a: Present(InboundConnector(a.key, type="on_premises", comment="", owner="")) for a in (HQ, OLD)}
    plan = desired(Resource(HQ, InboundConnector("hq", comment="")), absent={OLD: AT})
    found = planning.plan(plan, seen(*live.items()), TYPES)
    assert {c.address: c.action for c in found.changes} == {HQ: Action.NO_OP, OLD: Action.DELETE}
    assert findings(found, "ABSENT-DECLARED") == []


def test_a_protected_object_is_kept_although_it_is_listed_under_absent() -> None:
    live = InboundConnector("hq", type="on_premises", comment="", owner="")
    plan = desired(absent={HQ: AT}, protect=("inbound_connector/*",))
    found = planning.plan(plan, seen((HQ, Present(live))), TYPES)
    assert found.changes == ()
    assert [f.summary for f in found.findings] == [
        f"{HQ} would be deleted (the plan lists it under absent), but is protected: it is kept"
    ]


@pytest.mark.parametrize(
    ("count", "doubtful", "words"),
    [
        (1, 1, "(throttled): 1 undeclared object is left unchanged"),
        (2, 1, "(throttled): 2 undeclared objects are left unchanged"),
        (1, 2, "(throttled, and 1 more): 1 undeclared object is left unchanged"),
        (1, 3, "(throttled, and 2 more): 1 undeclared object is left unchanged"),
    ],
)
def test_what_freezes_undeclared_objects_is_counted(count: int, doubtful: int, words: str) -> None:
    names = [Address("smtp_auth", f"d{i}@contoso.com") for i in range(doubtful)]
    others = [Address("smtp_auth", f"u{i}@contoso.com") for i in range(count)]
    plan = desired(*map(switch, names), exclusive=frozenset({"smtp_auth"}))
    observed = Observed(dict.fromkeys(names, Unknown("throttled")), {a: SmtpAuth(a.key, "enabled") for a in others})
    found = planning.plan(plan, observed, TYPES)
    (told,) = findings(found, "UNDECLARED-FROZEN")
    assert told.summary == f"{names[0]} does not identify one object for certain {words}"
    assert (told.address, told.location) == (names[0], AT)
    assert not found.complete


def test_a_listing_that_failed_or_an_unread_object_makes_a_change_set_incomplete() -> None:
    plan = desired(switch(ERP, "inherit"))
    observed = seen((ERP, alias(ERP)))
    assert planning.plan(plan, observed, TYPES).complete
    assert not planning.plan(plan, replace(observed, unlisted={"dkim": Unknown("no role")}), TYPES).complete
    assert not planning.plan(plan, seen((ERP, Unknown("throttled"))), TYPES).complete
    assert not planning.plan(plan, observed, TYPES, scope=Scope((), ("x/*",))).complete


def test_what_is_set_aside_and_could_not_be_read_is_not_unknown_to_the_run() -> None:
    plan = Desired("contoso", "", {ERP: switch(ERP, "inherit")}, set_aside={FAX: switch(FAX)})
    scope = Scope(("smtp_auth/erp*",))
    found = planning.plan(plan, seen((ERP, alias(ERP)), (FAX, Unknown("throttled"))), TYPES, scope=scope)
    assert found.unknown == {}
    assert not found.errored


# --- devices ---------------------------------------------------------------------------------------------------------

CHOICE = Choice(SMTP_RELAY, "none", ("it has a fixed address", "it has no mailbox"), {})


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ((), ""),
        (("a",), "; for device/a, which sends by smtp_relay: it has a fixed address, it has no mailbox"),
        (
            ("a", "b"),
            "; for device/a, which sends by smtp_relay: it has a fixed address, it has no mailbox; and for 1 more",
        ),
    ],
)
def test_a_change_names_the_device_that_it_is_for(devices: tuple[str, ...], words: str) -> None:
    spec = InboundConnector("hq", type="on_premises", sender_ip_addresses=frozenset({"52.202.8.242/32"}))
    plan = desired(Resource(HQ, spec, devices=devices), choices=dict.fromkeys(devices, CHOICE))
    (created,) = planning.plan(plan, seen((HQ, Absent())), TYPES).pending
    assert created.reason == f"the tenant does not have it{words}"
    live = replace(spec, sender_ip_addresses=frozenset({"9.8.8.8/32"}), owner="", enabled=True)
    (updated,) = planning.plan(plan, seen((HQ, Present(live))), TYPES).pending
    assert updated.reason == f"it differs from the plan{words}"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, ""),
        (1, "; device/d0 cannot send through it"),
        (5, "; device/d0, device/d1, device/d2, device/d3, device/d4 cannot send through it"),
        (6, "; device/d0, device/d1, device/d2, device/d3, device/d4 and 1 more cannot send through it"),
    ],
)
def test_a_connector_that_is_switched_off_names_its_devices(count: int, words: str) -> None:
    devices = tuple(f"d{i}" for i in range(count))
    plan = desired(
        Resource(HQ, InboundConnector("hq", comment="x"), AT, devices=devices), choices=dict.fromkeys(devices, CHOICE)
    )
    live = InboundConnector("hq", type="on_premises", enabled=False, comment="x", owner="")
    (told,) = findings(planning.plan(plan, seen((HQ, Present(live))), TYPES), "NOT-IN-FORCE")
    assert told.summary.startswith(f"{HQ}: ")
    assert told.summary.endswith(words)
    assert told.summary.endswith(words)
    assert ("cannot send" in told.summary) is bool(words)
    assert (told.blocks, told.address, told.location) == ("", HQ, AT)
    on = planning.plan(plan, seen((HQ, Present(replace(live, enabled=True)))), TYPES)
    assert findings(on, "NOT-IN-FORCE") == []


def test_a_field_that_only_creation_sets_is_told_where_it_is_written_and_where_it_is_known() -> None:
    plan = desired(Resource(SIGNING, Dkim("contoso.com", key_size=2048), AT, {"key_size": replace(AT, line=9)}))
    live = Dkim("contoso.com", True, 1024, "relaxed", "relaxed", "a.example", "b.example")
    found = planning.plan(plan, seen((SIGNING, Present(live))), TYPES)
    (told,) = findings(found, "CREATE-ONLY")
    assert told.summary == f"{SIGNING}: key_size is 1024 and the plan says 2048; only creation can set it"
    assert (told.address, told.location, told.blocks) == (SIGNING, replace(AT, line=9), "")
    unknown = planning.plan(plan, seen((SIGNING, Present(replace(live, key_size=None)))), TYPES)
    assert findings(unknown, "CREATE-ONLY") == []
    assert unknown.pending == ()


def test_a_field_that_is_not_known_does_not_hide_the_next_one() -> None:
    """No type has two such fields today."""
    plan = Resource(SIGNING, Dkim("contoso.com", enabled=True, key_size=2048), AT)
    told = planning._create_only_findings(plan, Dkim("contoso.com", key_size=1024), ("key_size", "enabled"))
    assert [f.summary.partition(" is ")[0] for f in told] == [f"{SIGNING}: key_size"]
