"""Registering an application: which object id, what is read of its consent, and steps that never guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from provisioner.model import Absent, Answer, GraphRequest, Query
from provisioner.model.picture import Registration
from provisioner.resources.rows import enterprise_application
from provisioner.resources.service_principal import ServicePrincipal, ServicePrincipalType
from tests.resources.recorded import declared, mistakes, sent

KIND = ServicePrincipalType()
CLIENT, OBJECT, OTHER = (f"6f1c0d1e-0000-4000-8000-00000000000{n}" for n in (1, 2, 9))
ROW = {"AppId": CLIENT.upper(), "ObjectId": OBJECT, "DisplayName": "ERP", "Sid": "S-1-5-21-1", "Guid": OTHER}
ENTRA = {"id": OBJECT, "appId": CLIENT, "displayName": "erp"}
EXCHANGE = {
    "id": "api", "appId": enterprise_application.EXCHANGE_API,
    "appRoles": [{"id": "r1", "value": "SMTP.SendAsApp"}, {"id": "r2", "value": "IMAP.AccessAsApp"}],
}  # fmt: skip
GRANTED = [{"id": "a", "appRoleId": "R1", "resourceId": "API"}, {"id": "b", "appRoleId": "r2", "resourceId": "other"}]


def seen(
    *rows: Mapping[str, Any],
    entra: Sequence[Mapping[str, Any]] = (ENTRA,),
    granted: Sequence[Mapping[str, Any]] | None = GRANTED,
    wanted: ServicePrincipal | None = None,
) -> Any:
    """What the answers of a tenant say of the application."""
    wished = {CLIENT: wanted or ServicePrincipal(CLIENT)}
    told: dict[str, Sequence[Mapping[str, Any]]] = {
        enterprise_application.look_up(CLIENT).path: entra,
        enterprise_application.ROLES[0].path: [EXCHANGE],
        enterprise_application.ROLES[1].path: [],
    }
    if granted is not None:
        told[enterprise_application.granted_to(OBJECT).path] = granted

    def answered(query: Query) -> tuple[Query, Answer] | None:
        if not isinstance(query.request, GraphRequest):
            return query, Answer(tuple(rows))
        return (query, Answer(tuple(told[query.request.path]))) if query.request.path in told else None

    answers = [a for query in KIND.queries(wished, False) if (a := answered(query))]
    answers += [a for query in KIND.follow_up(wished, False, answers) if (a := answered(query))]
    return KIND.decode(wished, answers)[CLIENT]


def test_what_is_registered_has_its_permissions_of_exchange_only() -> None:
    found = seen(ROW)
    assert (found.object_id, found.entra_id, found.display_name) == (OBJECT, OBJECT, "ERP")
    assert found.permissions == {"exchange/SMTP.SendAsApp"}
    assert KIND.contribution(found) == (Registration(CLIENT),)
    assert KIND.in_force(found, found) == ""


def test_what_is_not_registered_is_created_with_the_id_of_its_enterprise_application() -> None:
    found = seen()
    assert isinstance(found, Absent)
    assert found.known == ServicePrincipal(CLIENT, "erp", OBJECT, OBJECT, frozenset({"exchange/SMTP.SendAsApp"}))
    assert list(map(sent, KIND.steps(None, found.known))) == [
        ("New-ServicePrincipal", {"AppId": CLIENT, "ObjectId": OBJECT, "DisplayName": "erp"})
    ]


def test_a_name_that_the_plan_writes_counts() -> None:
    assert seen(wanted=ServicePrincipal(CLIENT, "Billing")).known.display_name is None


@pytest.mark.parametrize(("entra", "why"), [(OTHER, "object id"), (None, "no enterprise application")])
def test_a_wrong_object_id_is_without_effect(entra: str | None, why: str) -> None:
    found = seen(ROW, entra=[{**ENTRA, "id": entra}] if entra else [])
    assert why in KIND.in_force(found, found)
    assert KIND.contribution(found) == ()
    assert KIND.fix(found, found)


def test_an_application_that_entra_does_not_have_cannot_be_registered() -> None:
    found = seen(entra=[])
    assert "no enterprise application" in found.reason
    assert found.known is None


def test_permissions_that_were_not_read_are_not_none_at_all() -> None:
    assert seen(ROW, granted=None).permissions is None
    assert seen(ROW, granted=[]).permissions == frozenset()


def test_only_the_name_is_changed_and_a_deletion_names_the_object() -> None:
    live = seen(ROW)
    assert list(map(sent, KIND.steps(live, ServicePrincipal(CLIENT, "Billing", OBJECT)))) == [
        ("Set-ServicePrincipal", {"Identity": OBJECT, "DisplayName": "Billing"})
    ]
    assert list(map(sent, KIND.steps(live, None))) == [
        ("Remove-ServicePrincipal", {"Identity": OBJECT, "Confirm": False})
    ]
    assert KIND.steps(live, live) == ()


def test_the_section_takes_client_ids() -> None:
    assert declared(KIND, {CLIENT.upper(): {"display_name": "ERP"}}) == {CLIENT: ServicePrincipal(CLIENT, "ERP")}
    assert mistakes(KIND, {"erp": {}}) == [("CLIENT-ID-INVALID", ("erp", "[key]"))]
