"""Consent of applications: what is missing, what is granted beside a scope, and what nobody registers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.diagnostics import Location, Severity
from provisioner.model import Absent, Action, Address, Change, Desired, Finding, Observed, Present, Resource
from provisioner.resources import TYPES
from provisioner.resources.application_role_assignment import assignment_of
from provisioner.resources.mailbox_permission import permission_of
from provisioner.resources.service_principal import ServicePrincipal
from provisioner.rules.applications import application_findings

KINDS = {t.name: t for t in TYPES}
CLIENT, OTHER = "6f1c0d1e-0000-4000-8000-000000000001", "6f1c0d1e-0000-4000-8000-000000000002"
OBJECT = "6f1c0d1e-0000-4000-8000-00000000000b"
BOX = "invoices@contoso.com"
APPLICATION, RIGHT = Address("service_principal", CLIENT), Address("mailbox_permission", f"{CLIENT} on {BOX}")
AT = Location("plan.yaml", 3, 3)
SMTP, MAIL = "SMTP.SendAsApp", "Mail.Send"


def principal(*permissions: str, client: str = CLIENT, **more: Any) -> ServicePrincipal:
    return ServicePrincipal(client, object_id=OBJECT, entra_id=OBJECT, permissions=frozenset(permissions), **more)


def right(client: str = CLIENT) -> Any:
    return permission_of(client, BOX)


def role(permission: str, client: str = CLIENT) -> Any:
    return assignment_of(client, permission, [BOX])


def address_of(spec: Any) -> Address:
    kind = next(t for t in TYPES if isinstance(spec, t.spec))
    key = spec.client_id if isinstance(spec, ServicePrincipal) else getattr(spec, "pair", "") or spec.assignment
    return Address(kind.name, key)


def declaring(*specs: Any) -> Desired:
    return Desired("contoso.com", "", {a: Resource(a, s, AT) for s in specs for a in (address_of(s),)})


def found(*there: Any, desired: Desired | None = None, changes: tuple[Change, ...] = ()) -> list[Finding]:
    """The findings about a plan that declares what is there, unless another plan is given."""
    observed = Observed({address_of(s): Present(s) for s in there})
    return list(application_findings(desired or declaring(*there), observed, changes, KINDS))


# --- nobody consented ------------------------------------------------------------------------------------------------


def test_an_application_that_opens_a_mailbox_without_consent_is_told_with_both_ways_to_consent() -> None:
    (told,) = found(principal(), right())
    assert (told.rule, told.severity, told.blocks) == ("APPLICATION-CONSENT", Severity.WARNING, "")
    assert (told.address, told.location) == (APPLICATION, AT)
    assert told.summary == (
        f"nobody has consented to SMTP.SendAsApp for the application {CLIENT}: its sign-ins are refused"
    )
    assert f"-ServicePrincipalId {OBJECT} " in told.hint
    assert f"https://login.microsoftonline.com/contoso.com/adminconsent?client_id={CLIENT}" in told.hint


def test_it_is_called_by_the_name_that_the_plan_writes() -> None:
    (told,) = found(principal(display_name="ERP"), right())
    assert f'for the application "ERP" ({CLIENT}):' in told.summary


@pytest.mark.parametrize(
    "there",
    [
        (principal(f"exchange/{SMTP}"), right()),
        (dataclasses.replace(principal(), permissions=None), right()),
        (principal(), right(OTHER)),
        (principal(), right(), role(SMTP)),
        (principal(),),
    ],
    ids=["consented", "unread", "another opens it", "a role lets it", "opens nothing"],
)
def test_consent_that_is_there_unknown_or_not_needed_is_not_asked_for(there: tuple[Any, ...]) -> None:
    assert found(*there) == []


@pytest.mark.parametrize("held", [role(MAIL), role(SMTP, OTHER)], ids=["of another role", "of another application"])
def test_only_its_own_role_for_smtp_stands_for_consent(held: Any) -> None:
    assert [f.rule for f in found(principal(), right(), held)] == ["APPLICATION-CONSENT"]


@pytest.mark.parametrize("action", [Action.CREATE, Action.NO_OP])
def test_a_right_that_the_plan_adds_counts_once_it_is_a_change(action: Action) -> None:
    change = Change(RIGHT, action, None, right())
    told = found(principal(), changes=(change,))
    assert [f.rule for f in told] == (["APPLICATION-CONSENT"] if action is Action.CREATE else [])


def test_a_plan_without_applications_says_nothing_about_those_of_the_tenant() -> None:
    assert found(principal(), right(), desired=Desired("contoso.com", "", {})) == []


def test_an_application_of_the_tenant_that_the_plan_does_not_declare_has_no_place_in_it() -> None:
    (told,) = found(principal(), right(), desired=declaring(right()))
    assert (told.address, told.location) == (APPLICATION, None)


# --- a scope beside a permission without one -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "held", "granted"),
    [
        ((f"exchange/{SMTP}",), SMTP, f"exchange/{SMTP}"),
        ((f"graph/{MAIL}", "graph/User.Read.All"), MAIL, f"graph/{MAIL}"),
        ((f"graph/{MAIL}", f"exchange/{MAIL}"), MAIL, f"exchange/{MAIL} and graph/{MAIL}"),
    ],
)
def test_a_permission_that_no_scope_limits_is_told(permissions: tuple[str, ...], held: str, granted: str) -> None:
    (told,) = found(principal(*permissions), role(held))
    assert (told.rule, told.severity, told.address) == ("APPLICATION-UNSCOPED", Severity.WARNING, APPLICATION)
    assert told.summary == (f"the application {CLIENT} has {granted} in Entra ID too, which its scope does not limit")
    assert f"Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId {OBJECT}," in told.hint


@pytest.mark.parametrize(
    "there",
    [
        (principal(f"graph/{MAIL}"), role(SMTP)),
        (principal(f"graph/{MAIL}"), role(MAIL, OTHER)),
        (dataclasses.replace(principal(), permissions=None), role(MAIL)),
    ],
    ids=["another role", "another application", "unread"],
)
def test_what_does_not_add_up_with_the_scope_is_not_told(there: tuple[Any, ...]) -> None:
    assert found(*there) == []


# --- nobody registers it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [right(), role(MAIL)])
def test_a_right_of_an_application_that_nobody_registers_is_told(given: Any) -> None:
    desired, address = declaring(given), address_of(given)
    change = Change(address, Action.CREATE, None, given)
    observed = Observed({address: Absent()})
    (told,) = application_findings(desired, observed, [change], KINDS)
    assert (told.rule, told.severity, told.address) == ("APPLICATION-UNREGISTERED", Severity.WARNING, address)
    assert told.summary == f"{address} needs the application {CLIENT}, which is not registered with Exchange"
    assert told.hint == f"declare it: applications, or service_principals: {{ {CLIENT}: {{}} }}"
    assert told.location == AT


def test_a_right_of_a_registered_or_declared_application_or_one_that_goes_needs_nothing() -> None:
    known = dataclasses.replace(right(), registered=True)
    made, gone = Change(RIGHT, Action.CREATE, None, right()), Change(RIGHT, Action.DELETE, right(), None)
    for desired, change in (
        (declaring(principal(), right()), made),
        (declaring(known), Change(RIGHT, Action.CREATE, None, known)),
        (declaring(right()), gone),
        (declaring(right()), dataclasses.replace(made, action=Action.NO_OP)),
    ):
        assert list(application_findings(desired, Observed({RIGHT: Absent()}), [change], KINDS)) == []
