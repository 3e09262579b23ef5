"""Sign-in logs: what is asked, which rows are logins, what a refusal means."""

from __future__ import annotations

from typing import Any

from provisioner.model import request_key
from provisioner.senders.inventory import BASIC
from provisioner.senders.sign_ins import (
    decode,
    decode_applications,
    every_kind,
    interactive,
    of_applications,
    unlicensed,
)

_SINCE = "2026-10-24T00:00:00Z"


def _row(identifier: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "createdDateTime": "2026-11-03T08:15:00Z",
        "userPrincipalName": "Scan@Contoso.com",
        "userId": "7F2B0A7E-0000-4000-8000-000000000001",
        "ipAddress": "::ffff:203.0.113.9",
        "status": {"errorCode": 0},
        **more,
    }


def test_v1_is_asked_for_what_it_has_and_beta_for_each_kind() -> None:
    plain, (first, second), tokens = interactive(_SINCE), every_kind(_SINCE), of_applications(_SINCE)
    assert not plain.beta
    assert "signInEventTypes" not in plain.path
    assert all(request.beta for request in (first, second, tokens))
    assert "nonInteractiveUser" in second.path
    assert "Authenticated" not in tokens.path
    assert len({request_key(r) for r in (plain, first, second, tokens)}) == 4


def test_a_login_is_known_by_its_name_its_id_and_its_address() -> None:
    (found,) = decode([_row(), _row()])
    assert (found.login, found.ip_address, found.protocol) == ("scan@contoso.com", "203.0.113.9", BASIC)
    assert (found.login_id, found.logins, found.failures) == ("7f2b0a7e-0000-4000-8000-000000000001", 1, 0)
    assert found.last == "2026-11-03T08:15:00Z"


def test_a_failure_is_kept_with_its_code() -> None:
    (found,) = decode([_row(status={"errorCode": 50126, "failureReason": "wrong password"}, ipAddress="nonsense")])
    assert (found.code, found.reason, found.logins, found.failures) == ("50126", "wrong password", 0, 1)
    assert found.ip_address == ""


def test_of_applications_those_that_exchange_knows_count() -> None:
    rows = [_row("1", appId="A1", servicePrincipalName="ERP"), _row("2", appId="b2", servicePrincipalName="Backup")]
    assert [o.client_id for o in decode_applications(rows, frozenset({"a1"}))] == ["a1"]
    assert [o.application for o in decode_applications(rows, None)] == ["ERP", "Backup"]


def test_a_tenant_without_the_licence_is_told_from_an_application_without_the_permission() -> None:
    assert unlicensed("GET /x: Neither tenant is B2C or tenant doesn't have premium license (HTTP 403)")
    assert not unlicensed("The principal does not have required Microsoft Graph permission(s)")
