"""Requests that are equal apart from their columns are one request with the columns of all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner.engine.reading import read_wanted
from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    DnsQuery,
    GraphRequest,
    Present,
    Request,
    request_key,
    tells,
    united,
)
from provisioner.resources import TYPES
from provisioner.resources.rows import user
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
    """The sign-in name decides who has the mailbox; the first question about the user was for its policy only."""
    mailbox, person = "svc@contoso.com", {"UserPrincipalName": "svc@contoso.com", "Guid": "g-1"}
    row = {"PrimarySmtpAddress": "erp@contoso.com", "SmtpClientAuthenticationDisabled": True, "Guid": "g-1"}
    host = Host({"Get-CASMailbox": [row], "Get-User": [{**person, "AuthenticationPolicy": "Block"}]})
    question = Cmdlet("Get-User", {"Identity": mailbox}, frozenset({"AuthenticationPolicy"}))
    observed = read(host, Address("smtp_auth", mailbox), question)
    asked = [request.columns for request in host.log if request.name == "Get-User"]
    assert asked == [question.columns, question.columns | user.COLUMNS]
    there = observed.resources[Address("smtp_auth", mailbox)]
    assert isinstance(there, Present)
    assert there.spec.smtp_auth == "disabled"
