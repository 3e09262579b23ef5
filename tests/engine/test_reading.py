"""Requests that are equal apart from their columns are one request with the columns of all."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner.changes.scoping import Scope
from provisioner.diagnostics import Malformed, PermissionMissing, Refused, TenantError, Throttled, Unavailable, Unclear
from provisioner.engine import reading
from provisioner.engine.reading import read_wanted
from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Desired,
    DnsQuery,
    GraphRequest,
    Needed,
    Present,
    Request,
    Resource,
    Row,
    Unknown,
    request_key,
    tells,
    united,
)
from provisioner.resources import TYPES
from provisioner.resources.application_role_assignment import assignment_of
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.rows import recipient
from provisioner.tenant.ports import Ports

LISTING = {"ResultSize": "Unlimited"}


def cmdlet(*columns: str, name: str = "Get-InboundConnector") -> Cmdlet:
    return Cmdlet(name, LISTING, frozenset(columns))


@pytest.mark.parametrize(
    ("requests", "columns"),
    [
        ([cmdlet("Name"), cmdlet("Name", "Enabled")], {"Name", "Enabled"}),
        ([cmdlet("Name"), cmdlet()], set()),
        ([cmdlet(), cmdlet("Name"), cmdlet("Enabled")], set()),
    ],
)
def test_columns_are_united_and_none_named_means_all(requests: list[Request], columns: set[str]) -> None:
    (request,) = united(requests).values()
    assert isinstance(request, Cmdlet)
    assert request.columns == columns


def test_only_equal_requests_are_united() -> None:
    domains = GraphRequest("GET", "/domains", columns=frozenset({"id"}))
    verified = GraphRequest("GET", "/domains", columns=frozenset({"isVerified"}))
    found = united([cmdlet("Name"), cmdlet("Name", name="Get-User"), domains, verified, DnsQuery("a.example", "MX")])
    assert [str(request) for request in found.values()] == [
        "Get-InboundConnector",
        "Get-User",
        "GET /domains",
        "a.example MX",
    ]
    assert getattr(found[request_key(domains)], "columns", None) == {"id", "isVerified"}


def test_rows_that_either_needs_are_kept_and_all_where_one_needs_all() -> None:
    def named(rows: Sequence[Row], names: frozenset[str]) -> Sequence[Row]:
        return [row for row in rows if row["Name"] in names]

    def asked(*names: str) -> Cmdlet:
        return Cmdlet("Get-User", needed=Needed(named, frozenset(names)))

    everyone, other = Cmdlet("Get-User"), Cmdlet("Get-User", needed=Needed(lambda rows, _names: rows))
    (both,) = united([asked("a"), asked("b")]).values()
    assert getattr(both, "needed", None) == Needed(named, frozenset({"a", "b"}))
    for requests in ([asked("a"), everyone], [everyone, asked("a")], [asked("a"), other, asked("b")]):
        (request,) = united(requests).values()
        assert getattr(request, "needed", 0) is None
    assert request_key(asked("a")) == request_key(everyone)
    assert tells(both, asked("a"))
    assert tells(everyone, asked("a"))
    assert not tells(asked("a"), both)
    assert not tells(asked("a"), everyone)
    assert not tells(asked("a"), other)


def test_an_answer_tells_what_it_was_asked_for() -> None:
    assert tells(cmdlet(), cmdlet("Name"))
    assert tells(cmdlet("Name", "Enabled"), cmdlet("Name"))
    assert not tells(cmdlet("Name"), cmdlet("Name", "Enabled"))
    assert not tells(cmdlet("Name"), cmdlet())


@dataclass
class Host:
    """Answers each cmdlet with its rows, cut to the columns asked for."""

    rows: Mapping[str, list[dict[str, Any]]]
    log: list[Cmdlet] = field(default_factory=list)

    async def run(self, cmdlet: Cmdlet) -> Answer:
        self.log.append(cmdlet)
        found = self.rows.get(cmdlet.name, [])
        columns = cmdlet.columns
        return Answer(tuple({n: v for n, v in row.items() if not columns or n in columns} for row in found))


def read(host: Host, address: Address, *evidence: Request) -> Any:
    ports = Ports(host, host, host)  # type: ignore[arg-type]
    return asyncio.run(read_wanted({address.type: {address.key: None}}, (), TYPES, ports, 4, evidence))


CONNECTOR = {"Name": "hq", "Enabled": True, "ConnectorType": "OnPremises", "WhenChanged": "2026-11-01"}


def test_a_type_and_a_question_ask_once_for_the_columns_of_both() -> None:
    host = Host({"Get-InboundConnector": [CONNECTOR]})
    question = cmdlet("WhenChanged")
    observed = read(host, Address("inbound_connector", "hq"), question)
    assert [request.name for request in host.log] == ["Get-InboundConnector"]
    assert {"WhenChanged", "SenderIPAddresses"} <= host.log[0].columns
    assert observed.resources[Address("inbound_connector", "hq")].spec.type == "on_premises"
    answer = observed.evidence[request_key(question)]
    assert answer.rows[0]["WhenChanged"] == "2026-11-01"


def test_a_later_question_for_more_columns_is_asked_again_for_all() -> None:
    """The sign-in name decides who has the mailbox; the first question about the recipient was for its kind only."""
    mailbox, person = "svc@contoso.com", {"WindowsLiveID": "svc@contoso.com", "Guid": "g-1"}
    row = {"PrimarySmtpAddress": "erp@contoso.com", "SmtpClientAuthenticationDisabled": True, "Guid": "g-1"}
    host = Host({"Get-CASMailbox": [row], "Get-Recipient": [person]})
    question = dataclasses.replace(recipient.filtered([mailbox]), columns=frozenset({"RecipientType"}))
    observed = read(host, Address("smtp_auth", mailbox), question)
    asked = [request.columns for request in host.log if request.name == "Get-Recipient"]
    assert asked == [question.columns, recipient.COLUMNS]
    there = observed.resources[Address("smtp_auth", mailbox)]
    assert isinstance(there, Present)
    assert there.spec.smtp_auth == "disabled"


def whole(host: Host, *addresses: Address, scope: Scope | None = None, owner: str = "") -> Any:
    """A plan of objects that say nothing, read with the undeclared objects that the same requests return."""
    kinds = {kind.name: kind for kind in TYPES}
    resources = {a: Resource(a, kinds[a.type].spec(a.key)) for a in addresses}
    desired = Desired("contoso.onmicrosoft.com", owner, resources)
    ports = Ports(host, host, host)  # type: ignore[arg-type]
    return asyncio.run(reading.read(desired, TYPES, ports, scope=scope, evidence=(), unmanaged=True))


HQ, SIGNING = Address("inbound_connector", "hq"), Address("dkim", "contoso.com")
OTHERS = {
    "Get-InboundConnector": [CONNECTOR, {**CONNECTOR, "Name": "by hand"}],
    "Get-DkimSigningConfig": [{"Domain": "contoso.com", "Enabled": True}, {"Domain": "fabrikam.com", "Enabled": True}],
    "Get-CASMailbox": [
        {"PrimarySmtpAddress": f"m{i}@contoso.com", "SmtpClientAuthenticationDisabled": True, "Guid": f"g-{i}"}
        for i in range(8)
    ],
}


def test_undeclared_objects_that_the_same_listing_returns_are_kept_without_a_request() -> None:
    host = Host(OTHERS)
    observed = whole(host, HQ, SIGNING)
    assert {a.short for a in observed.undeclared} == {"inbound_connector/by hand", "dkim/fabrikam.com"}
    assert len(host.log) == 2
    assert not reading_of_declared_only(Host(OTHERS)).undeclared


def reading_of_declared_only(host: Host) -> Any:
    ports = Ports(host, host, host)  # type: ignore[arg-type]
    desired = Desired("contoso.onmicrosoft.com", "", {HQ: Resource(HQ, InboundConnector("hq"))})
    return asyncio.run(reading.read(desired, TYPES, ports, evidence=()))


def test_mailboxes_that_are_looked_up_one_by_one_are_not_listed_for_the_report() -> None:
    few, many = Host(OTHERS), Host(OTHERS)
    assert not whole(few, Address("smtp_auth", "m0@contoso.com")).undeclared
    assert "Filter" in few.log[0].parameters
    observed = whole(many, *(Address("smtp_auth", f"m{i}@contoso.com") for i in range(6)))
    assert {a.key for a in observed.undeclared} == {"m6@contoso.com", "m7@contoso.com"}
    assert len(many.log) == 1


def test_with_a_target_a_declared_object_outside_of_it_is_not_taken_for_undeclared() -> None:
    scope = Scope(("inbound_connector/hq",))
    assert not whole(Host(OTHERS), HQ, scope=scope).undeclared


def test_a_listing_that_fails_for_the_report_alone_fails_nothing() -> None:
    """Two objects of one name are not told apart; where the type is listed for a change, they stop it."""
    odd = [{**CONNECTOR, "Name": "odd", "Guid": guid} for guid in ("g-1", "g-2")]
    rows = [CONNECTOR, *odd, {**CONNECTOR, "Name": "by hand"}]
    observed = whole(Host({"Get-InboundConnector": rows}), HQ)
    assert isinstance(observed.resources[HQ], Present)
    assert [a.key for a in observed.undeclared] == ["by hand"]
    assert not observed.unlisted
    assert whole(Host({"Get-InboundConnector": rows}), HQ, owner="us/prod").unlisted


APPLICATION = "6f1c0d1e-0000-4000-8000-000000000001"
ROLE = Address("application_role_assignment", f"{APPLICATION} SMTP.SendAsApp")
_SCOPE_NAME = f"SMTP.SendAsApp {APPLICATION}"
TESTED: Mapping[str, list[dict[str, Any]]] = {
    "Get-ServicePrincipal": [{"AppId": APPLICATION, "ObjectId": "6f1c0d1e-0000-4000-8000-000000000002"}],
    "Get-ManagementScope": [{"Name": _SCOPE_NAME, "RecipientFilter": "EmailAddresses -eq 'erp@contoso.com'"}],
    "Get-ManagementRoleAssignment": [
        {"Name": _SCOPE_NAME, "Role": "Application SMTP.SendAsApp", "CustomResourceScope": _SCOPE_NAME}
    ],
    "Get-Recipient": [
        {
            "Guid": "g-1",
            "PrimarySmtpAddress": "erp@contoso.com",
            "EmailAddresses": ["SMTP:erp@contoso.com"],
            "RecipientType": "UserMailbox",
        }
    ],
}


@dataclass
class Untested(Host):
    """Answers everything but the test of a scope, which fails."""

    error: TenantError = field(default_factory=lambda: Unclear("no answer in time"))

    async def run(self, cmdlet: Cmdlet) -> Answer:
        if cmdlet.name.startswith("Test-"):
            raise self.error
        return await super().run(cmdlet)

    async def send(self, _: GraphRequest) -> Answer:
        return Answer()


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (Unclear("no answer in time"), Unknown),
        (Unavailable("the connection was lost"), Unknown),
        (Throttled("slow down"), Unknown),
        (Malformed("an HTML page"), Unknown),
        (PermissionMissing("no role"), Present),
        (Refused("not recognized as a cmdlet"), Present),
    ],
)
def test_a_test_that_failed_leaves_it_open_whether_a_role_is_in_force(error: TenantError, seen: type) -> None:
    """It might have said that a mailbox is not in the scope: nothing may close because of it."""
    host = Untested(TESTED, error=error)
    wanted = {ROLE.type: {ROLE.key: assignment_of(APPLICATION, "SMTP.SendAsApp", ["erp@contoso.com"])}}
    observed = asyncio.run(read_wanted(wanted, (), TYPES, Ports(host, host, host), 4))  # type: ignore[arg-type]
    assert isinstance(observed.resources[ROLE], seen), observed.resources[ROLE]
