"""The sign-in log: which logins it has, what v1.0 and beta show of it, who may read it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from provisioner.sandbox.graph import GraphService
from provisioner.sandbox.graph_calls import Call, GraphError
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant
from tests.local_tenant import LocalTenant
from tests.sandbox.mailing import refusal, submit

_AUTHENTICATED_SMTP = "clientAppUsed eq 'Authenticated SMTP'"


@pytest.fixture
def fresh(tenant: LocalTenant) -> LocalTenant:
    """The tenant of the seed, without the records of other tests."""
    tenant.control("POST", "/reset")
    tenant.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    return tenant


def _tenant(*rows: Row, **sections: Any) -> Tenant:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "graph": {"signIns": list(rows)}, **sections}))
    return tenant


def _login(days_ago: float, **more: Any) -> Row:
    return {"_DaysAgo": days_ago, "userPrincipalName": "erp@contoso.com", "ipAddress": "203.0.113.9", **more}


def _body(tenant: Tenant, version: str = "v1.0", role: str = "AuditLog.Read.All", **params: str) -> Any:
    query = {f"${name}": value for name, value in params.items()}
    base = f"https://graph.microsoft.com/{version}"
    return (
        GraphService(tenant)
        .answer(Call("GET", ("auditLogs", "signIns"), query, {}, None, base, frozenset({role})))
        .body
    )


def test_a_login_with_a_password_is_logged_and_so_is_one_with_a_wrong_one(fresh: LocalTenant) -> None:
    submit(fresh)
    refusal(fresh, password="wrong")
    good, bad = fresh.control("GET", "/dump")["graph"]["signIns"]
    assert (good["clientAppUsed"], good["userPrincipalName"]) == ("Authenticated SMTP", "erp@contoso.com")
    assert (good["ipAddress"], good["status"]["errorCode"]) == ("127.0.0.1", 0)
    assert bad["status"]["errorCode"] == 50126


def test_a_login_that_a_switch_of_exchange_refuses_does_not_reach_the_log(fresh: LocalTenant) -> None:
    fresh.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=True)
    refusal(fresh)
    assert "signIns" not in fresh.control("GET", "/dump")["graph"]


_KINDS = (
    _login(1),
    _login(2, signInEventTypes=["nonInteractiveUser"]),
    _login(3, userPrincipalName="", appId="a1", servicePrincipalName="ERP", clientAppUsed="",
           signInEventTypes=["servicePrincipal"]),
)  # fmt: skip


def test_v1_has_interactive_sign_ins_only_and_beta_has_each_kind_by_its_filter() -> None:
    tenant = _tenant(*_KINDS)
    assert len(_body(tenant, filter=_AUTHENTICATED_SMTP)["value"]) == 1
    assert len(_body(tenant, "beta", filter=_AUTHENTICATED_SMTP)["value"]) == 1
    for kind in ("interactiveUser", "nonInteractiveUser", "servicePrincipal"):
        (row,) = _body(tenant, "beta", filter=f"signInEventTypes/any(t: t eq '{kind}')")["value"]
        assert row["signInEventTypes"] == [kind]
    with pytest.raises(GraphError, match="signInEventTypes"):
        _body(tenant, filter="signInEventTypes/any(t: t eq 'nonInteractiveUser')")
    assert "authenticationProtocol" not in _body(tenant)["value"][0]


def test_dates_and_states_are_filtered_on_and_pages_have_a_link() -> None:
    tenant = _tenant(*(_login(n, status={"errorCode": 50126 if n % 2 else 0}) for n in range(1, 8)))
    since = (tenant.clock.now() - dt.timedelta(days=4, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = _body(tenant, filter=f"{_AUTHENTICATED_SMTP} and createdDateTime ge {since}")["value"]
    assert len(rows) == 4
    assert [row["createdDateTime"] for row in rows] == sorted((r["createdDateTime"] for r in rows), reverse=True)
    assert len(_body(tenant, filter="status/errorCode eq 0")["value"]) == 3
    page = _body(tenant, top="5")
    token = page["@odata.nextLink"].partition("$skiptoken=")[2]
    assert len(_body(tenant, top="5", skiptoken=token)["value"]) == 2


def test_what_is_older_than_thirty_days_is_gone() -> None:
    assert _body(_tenant(_login(31)))["value"] == []


@pytest.mark.parametrize(
    ("role", "settings", "code"),
    [
        ("User.Read.All", {}, "Authentication_MSGraphPermissionMissing"),
        ("AuditLog.Read.All", {"entra_id_premium": False}, "Authentication_RequestFromNonPremiumTenantOrB2CTenant"),
    ],
)
def test_without_the_permission_or_the_licence_it_is_403(role: str, settings: dict[str, Any], code: str) -> None:
    with pytest.raises(GraphError) as refused:
        _body(_tenant(settings=settings), role=role)
    assert (refused.value.status, refused.value.code) == (403, code)
