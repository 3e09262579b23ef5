"""An assignment is linked with its policy, wherever the tenant told of it."""

from __future__ import annotations

import dataclasses

import pytest

from provisioner.changes import linking
from provisioner.model import Absent, Address, Answer, Desired, Observed, Resource, request_key
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import AuthenticationPolicy
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.rows import authentication_policy as rows

ERP, POLICY = Address("authentication_policy_assignment", "erp@contoso.com"), Address("authentication_policy", "block")
PLAN = Desired("contoso", "", {ERP: Resource(ERP, PolicyAssignment("erp@contoso.com", policy="block"))})
SPEC = AuthenticationPolicy("block", allow_basic_smtp=False)


def linked(desired: Desired, observed: Observed) -> PolicyAssignment:
    found: PolicyAssignment = linking.planned(desired, observed, TYPES).resources[ERP].spec
    return found


def test_a_policy_that_the_plan_declares_is_linked_as_it_is_planned() -> None:
    plan = dataclasses.replace(PLAN, resources={**PLAN.resources, POLICY: Resource(POLICY, SPEC)})
    assert linked(plan, Observed({POLICY: Absent()})).basic_smtp == "blocked"
    found = linking.declared(plan, TYPES).resources[ERP].spec
    assert found.basic_smtp == "blocked"


@pytest.mark.parametrize(
    "observed",
    [
        Observed({}, {POLICY: SPEC}),
        Observed(
            {},
            evidence={
                request_key(rows.REQUEST): Answer(
                    ({"Name": "block", "Identity": "block", "AllowBasicAuthSmtp": False},)
                )
            },
        ),
    ],
    ids=["among the objects", "in an answer"],
)
def test_a_policy_that_the_plan_does_not_declare_is_linked_as_it_was_read(observed: Observed) -> None:
    assert linked(PLAN, observed).basic_smtp == "blocked"


def test_a_policy_that_nothing_told_of_is_not_known_to_let_anything_in() -> None:
    assert linked(PLAN, Observed({})).basic_smtp == "unknown"
