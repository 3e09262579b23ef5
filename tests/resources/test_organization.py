from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Unknown
from provisioner.resources.organization import Organization, OrganizationType
from provisioner.resources.tenant_settings import SETTINGS
from tests.resources.recorded import answer, declared, mistakes, sent, snapshots

KIND = OrganizationType()
ON, OFF = Organization(SETTINGS, True), Organization(SETTINGS, False)


def test_what_is_not_written_is_not_wanted() -> None:
    assert declared(KIND, {"reject_direct_send": True}) == {SETTINGS: ON}
    assert declared(KIND, {}) == {SETTINGS: Organization(SETTINGS)}
    assert [found for found, _ in mistakes(KIND, {"reject_direct_sent": True})] == ["extra_forbidden"]


def test_direct_send_is_sent_alone_and_only_where_it_differs() -> None:
    both = Organization(SETTINGS, True, True)
    assert [sent(step) for step in KIND.steps(OFF, both)] == [
        ("Set-OrganizationConfig", {"RejectDirectSend": True}),
        ("Set-OrganizationConfig", {"SendFromAliasEnabled": True}),
    ]
    (step,) = KIND.steps(OFF, ON)
    assert str(step.request) == "Set-OrganizationConfig"  # type: ignore[union-attr]
    assert dict(step.request.parameters) == {"RejectDirectSend": True}  # type: ignore[union-attr]
    assert KIND.steps(ON, ON) == KIND.steps(ON, Organization(SETTINGS)) == ()


@pytest.mark.parametrize("rows", snapshots("org_config"))
def test_a_tenant_that_does_not_tell_is_unknown_where_it_is_wanted(rows: list[dict[str, Any]]) -> None:
    """The setting is of April 2025: older exports of real tenants lack it."""
    (row,) = rows
    found = answer(KIND, {SETTINGS: ON}, [row])[SETTINGS]
    told = row.get("RejectDirectSend")
    assert (
        (found == Organization(SETTINGS, told, row.get("SendFromAliasEnabled")))
        if isinstance(told, bool)
        else isinstance(found, Unknown)
    )


def test_no_row_is_no_answer() -> None:
    assert isinstance(answer(KIND, {SETTINGS: ON}, [])[SETTINGS], Unknown)
