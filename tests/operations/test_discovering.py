"""Discovery on answers of any shape: what is odd becomes a gap of a source, never a traceback, nor a sender made up."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.diagnostics import PermissionMissing
from provisioner.model import Answer, Cmdlet, DnsQuery, GraphRequest, Observed, Row, request_key
from provisioner.operations.connection import Tenant
from provisioner.operations.context import Silent
from provisioner.operations.discovering import Asking, _listed, discover
from provisioner.resources.rows import accepted_domain
from provisioner.senders import traces
from provisioner.senders.inventory import Inventory, document, read
from provisioner.settings import Profile
from provisioner.tenant.connect import TenantIdentity
from provisioner.tenant.ports import Ports


@dataclasses.dataclass
class _Service:
    """All three ports: what `answers` has for a cmdlet or the first part of a path; nothing of the rest."""

    answers: dict[str, Any]
    transport: str = "rest"

    async def run(self, cmdlet: Cmdlet) -> Answer:
        return self._answer(cmdlet.name)

    async def send(self, request: GraphRequest) -> Answer:
        return self._answer(request.path.split("?")[0].strip("/").split("/")[0])

    async def query(self, query: DnsQuery) -> Answer:
        return Answer()

    async def look_up(self, query: DnsQuery) -> Any:
        raise AssertionError(query)

    def _answer(self, name: str) -> Answer:
        rows = self.answers.get(name)
        if rows is None:
            raise PermissionMissing("refused", name)
        return Answer(tuple(rows))


def _discovered(answers: dict[str, Any], days: int = 1) -> Inventory:
    service = _Service(answers)
    tenant = Tenant(Ports(service, service, service), TenantIdentity("id", "contoso.onmicrosoft.com", frozenset()))
    context = Silent(Profile(tenant="contoso.onmicrosoft.com"), Path())
    return asyncio.run(discover(context, Asking(days, searches=False), tenant))


@pytest.mark.parametrize(
    ("rows", "domains"),
    [
        ([{"DomainName": "Bücher.example", "DomainType": "Authoritative"}], {"xn--bcher-kva.example"}),
        ([{"DomainName": "contoso.com", "DomainType": "Authoritative"}, {"DomainName": None}], None),
    ],
)
def test_a_listing_with_a_row_that_names_nothing_is_not_known(rows: list[Row], domains: set[str] | None) -> None:
    observed = cast("Observed", SimpleNamespace(evidence={request_key(accepted_domain.REQUEST): Answer(tuple(rows))}))
    assert _listed(observed, accepted_domain.REQUEST, accepted_domain.decode) == domains


_ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 2**70), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=2),
    st.sampled_from([
        "a@contoso.com", "203.0.113.9", "10.0.0.1-10.0.0.9", "2026-11-03T08:15:00.1230000Z", "\ud800",
        "9999-12-31T23:59:59-23:00", "00000000-0000-0000-0000-000000000001", "Receive",
        "S:InboundConnectorData=Name=h\ud800q;", "c\ud800@contoso.com",
    ]),
    st.just({}),
)  # fmt: skip
_COLUMNS = {
    "Get-AcceptedDomain": ("DomainName", "Name"),
    "Get-CASMailbox": ("Guid", "PrimarySmtpAddress", "EmailAddresses", "SmtpClientAuthenticationDisabled", "Identity"),
    "Get-User": ("Guid", "UserPrincipalName", "WindowsEmailAddress", "AuthenticationPolicy"),
    "Get-InboundConnector": ("Name", "Guid", "SenderIPAddresses", "ConnectorType", "Enabled"),
    "Get-ServicePrincipal": ("AppId", "ObjectId"),
    "Get-HistoricalSearch": ("JobId", "ReportTitle", "ReportType", "Status", "SubmitDate"),
    "Get-MessageTraceV2": ("MessageTraceId", "Received", "SenderAddress", "RecipientAddress", "FromIP", "Status"),
    "Get-MessageTraceDetailV2": ("MessageTraceId", "Event", "Data"),
    "servicePrincipals": ("id", "appRoles", "principalId", "appRoleId", "principalDisplayName"),
    "Get-ManagementRoleAssignment": ("Name", "Role", "RoleAssignee"),
    "auditLogs": (
        "servicePrincipalId",
        "id",
        "createdDateTime",
        "userPrincipalName",
        "userId",
        "ipAddress",
        "status",
        "appId",
    ),
}
_ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(columns, _ODD)), max_size=3)
        for name, columns in _COLUMNS.items()
    },
)


@given(_ANSWERS)
def test_odd_answers_end_in_an_inventory_that_can_be_read_again(answers: dict[str, Any]) -> None:
    found = _discovered(answers)
    assert read(json.dumps(document(found)), "found.json") == found
    unread = {source.name for source in found.sources if source.state == "not_read"}
    assert {"organization", "authentication_policies", "security_defaults", "conditional_access"} <= unread
    if "auditLogs" not in answers:
        assert "sign_ins" in unread


def test_a_refused_source_is_named_and_the_rest_is_used() -> None:
    trace = {"MessageTraceId": "1", "Received": "2026-11-03T08:15:00Z", "SenderAddress": "scan@contoso.com",
             "RecipientAddress": "a@contoso.com", "FromIP": "203.0.113.9", "Status": "Delivered"}  # fmt: skip
    found = _discovered({"Get-MessageTraceV2": [trace], "Get-AcceptedDomain": [{"DomainName": "contoso.com"}]})
    (sender,) = found.senders
    assert (sender.address, sender.protocol, sender.recipients) == ("scan@contoso.com", "unknown", "inside")
    details, log = found.source("trace_details"), found.source("sign_ins")
    assert details is not None
    assert (details.state, "Get-MessageTraceDetailV2" in details.needs) == ("not_read", True)
    assert log is not None
    assert log.needs.startswith("AuditLog.Read.All")


def test_a_listing_beyond_the_quota_says_how_far_back_it_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_QUERIES", 3)
    found = _discovered({"Get-MessageTraceV2": []}, days=90)
    source = found.source("message_traces")
    assert source is not None
    assert (source.state, "3 queries were made" in source.reason) == ("partial", True)
    assert source.begin > found.begin
