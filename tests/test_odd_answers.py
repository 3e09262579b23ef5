"""A success that is not a whole answer makes its objects unknown: every read, every shape, each transport."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from provisioner.model import ChangeSet
from tests.local_tenant import FRONT_OF, LocalTenant, Session, connected, sandbox

pytestmark = pytest.mark.part(0.5)

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "objects": {"AcceptedDomain": [{"DomainName": "contoso.com"}]},
    "mailboxes": ["erp@contoso.com", "fax@contoso.com"],
}
PLAN = """\
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: team
domains: { contoso.com: { verified: true, type: authoritative } }
mailboxes: { erp@contoso.com: { enabled: true } }
organization: { reject_direct_send: true }
smtp_auth: { organization: disabled, mailboxes: { erp@contoso.com: enabled } }
send_as: { erp@contoso.com: [fax@contoso.com] }
inbound_connectors: { relay: { type: on_premises, sender_ip_addresses: [203.0.113.5] } }
dkim: { contoso.com: { enabled: false } }
"""
CMDLETS = {
    "Get-AcceptedDomain": 'domain["contoso.com"]',
    "Get-OrganizationConfig": 'organization["settings"]',
    "Get-TransportConfig": 'smtp_auth["organization"]',
    "Get-CASMailbox": 'smtp_auth["erp@contoso.com"]',
    "Get-RecipientPermission": 'send_as["erp@contoso.com as fax@contoso.com"]',
    "Get-InboundConnector": 'inbound_connector["relay"]',
    "Get-DkimSigningConfig": 'dkim["contoso.com"]',
}
PATHS = {"/v1.0/domains": 'domain["contoso.com"]', "/v1.0/users": 'mailbox["erp@contoso.com"]'}
NEVER_EMPTY = ("Get-AcceptedDomain", "Get-OrganizationConfig", "Get-TransportConfig")
BODIES: list[Any] = ["", {}, {"value": None}, {"@odata.context": "x"}, {"value": [{}]}, {"value": "x"}, "null", "[]"]
OUTPUTS: list[dict[str, Any]] = [
    {"rows": [{}]},
    {"rows": ["text"]},
    {"rows": [1]},
    {"rows": [None]},
    {"end": "Failed"},
    {"end": "Stopped"},
]


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml", lag=0) as running:
        yield running


@pytest.fixture(scope="module")
def rest(tenant: LocalTenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with connected(tenant.profile("rest"), tmp_path_factory.mktemp("rest")) as session:
        yield session


@pytest.fixture(scope="module")
def psrp(tenant: LocalTenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with connected(tenant.profile("psrp"), tmp_path_factory.mktemp("psrp")) as session:
        yield session


@pytest.fixture(autouse=True)
def _no_faults(tenant: LocalTenant) -> Iterator[None]:
    yield
    tenant.control("DELETE", "/faults")


def planned(tenant: LocalTenant, session: Session, front: str, match: dict[str, str], do: dict[str, Any]) -> ChangeSet:
    tenant.control("POST", "/faults", [{"front": front, "match": match, "times": None, "do": do}])
    return session.plan(PLAN)


def demand_unknown(found: ChangeSet, address: str) -> None:
    """Nothing is concluded of the address, and nothing of its type is created, changed or deleted for it."""
    assert address in map(str, found.unknown)
    assert address not in [str(c.address) for c in found.changes]
    assert not found.complete
    assert not found.applyable


@pytest.mark.part(1)
@pytest.mark.parametrize("transport", FRONT_OF)
def test_without_a_fault_everything_is_known(transport: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(transport).plan(PLAN)
    assert found.complete
    assert {str(c.address) for c in found.pending} >= {
        CMDLETS["Get-InboundConnector"],
        CMDLETS["Get-DkimSigningConfig"],
    }


@pytest.mark.one_of("content", cases=3)
@pytest.mark.parametrize("cmdlet", CMDLETS)
@pytest.mark.parametrize("content", BODIES, ids=str)
def test_over_rest_an_odd_answer_is_unknown(tenant: LocalTenant, rest: Session, cmdlet: str, content: Any) -> None:
    found = planned(tenant, rest, "exchange", {"cmdlet": cmdlet}, {"status": 200, "body": content})
    demand_unknown(found, CMDLETS[cmdlet])


@pytest.mark.parametrize("cmdlet", NEVER_EMPTY)
def test_over_rest_a_list_that_is_never_empty_is_unknown(tenant: LocalTenant, rest: Session, cmdlet: str) -> None:
    found = planned(tenant, rest, "exchange", {"cmdlet": cmdlet}, {"status": 200, "body": {"value": []}})
    demand_unknown(found, CMDLETS[cmdlet])


def test_a_true_empty_list_is_empty(tenant: LocalTenant, rest: Session) -> None:
    match, do = {"cmdlet": "Get-InboundConnector"}, {"status": 200, "body": {"value": []}}
    found = planned(tenant, rest, "exchange", match, do)
    assert found.complete
    assert CMDLETS["Get-InboundConnector"] in [str(c.address) for c in found.pending]


@pytest.mark.one_of("content", cases=3)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("content", BODIES, ids=str)
def test_from_the_directory_an_odd_answer_is_unknown(
    tenant: LocalTenant, rest: Session, path: str, content: Any
) -> None:
    found = planned(tenant, rest, "graph", {"path": path}, {"status": 200, "body": content})
    demand_unknown(found, PATHS[path])


@pytest.mark.one_of("do", cases=3)
@pytest.mark.parametrize("cmdlet", CMDLETS)
@pytest.mark.parametrize("do", OUTPUTS, ids=str)
def test_over_psrp_an_odd_output_is_unknown(
    tenant: LocalTenant, psrp: Session, cmdlet: str, do: dict[str, Any]
) -> None:
    demand_unknown(planned(tenant, psrp, "psrp", {"cmdlet": cmdlet}, do), CMDLETS[cmdlet])


@pytest.mark.parametrize("cmdlet", NEVER_EMPTY)
def test_over_psrp_no_output_where_there_is_always_some_is_unknown(
    tenant: LocalTenant, psrp: Session, cmdlet: str
) -> None:
    demand_unknown(planned(tenant, psrp, "psrp", {"cmdlet": cmdlet}, {"rows": []}), CMDLETS[cmdlet])


ROW = {"Enabled": True, "ConnectorType": "OnPremises", "Comment": "", "SenderDomains": ["smtp:*;1"]}
TWO = [
    {"Name": "relay", "Guid": "guid-1", "SenderIPAddresses": ["203.0.113.5"], **ROW},
    {"Name": "Relay", "Guid": "guid-2", "SenderIPAddresses": ["203.0.113.6"], **ROW},
]


@pytest.mark.part(1)
@pytest.mark.parametrize(
    ("transport", "do"), [("rest", {"status": 200, "body": {"value": TWO}}), ("psrp", {"rows": TWO})]
)
def test_two_objects_of_one_name_are_unknown(
    tenant: LocalTenant, request: pytest.FixtureRequest, transport: str, do: dict[str, Any]
) -> None:
    session = request.getfixturevalue(transport)
    found = planned(tenant, session, FRONT_OF[transport], {"cmdlet": "Get-InboundConnector"}, do)
    demand_unknown(found, CMDLETS["Get-InboundConnector"])
    (reason,) = [u.reason for a, u in found.unknown.items() if a.type == "inbound_connector"]
    assert "guid-1" in reason
    assert "guid-2" in reason


DOUBLED = {
    "Get-AcceptedDomain": ({"DomainName": "contoso.com", "Name": "contoso.com"}, "DomainType"),
    "Get-DkimSigningConfig": ({"Domain": "contoso.com", "Name": "contoso.com"}, "KeySize"),
    "/v1.0/users": ({"userPrincipalName": "erp@contoso.com", "mail": "erp@contoso.com"}, "accountEnabled"),
    "/v1.0/domains": ({"id": "contoso.com"}, "isVerified"),
}


@pytest.mark.parametrize("asked", DOUBLED)
def test_of_each_type_two_rows_of_one_name_are_unknown(tenant: LocalTenant, rest: Session, asked: str) -> None:
    row, differs = DOUBLED[asked]
    graph = asked.startswith("/")
    ids = ("id", "id") if asked == "/v1.0/users" else ("Guid", "Guid")
    rows = [{ids[n]: f"guid-{n + 1}", **row, differs: n} for n in range(2)]
    front, match = ("graph", {"path": asked}) if graph else ("exchange", {"cmdlet": asked})
    found = planned(tenant, rest, front, match, {"status": 200, "body": {"value": rows}})
    address = PATHS[asked] if graph else CMDLETS[asked]
    demand_unknown(found, address)
    (reason,) = [u.reason for a, u in found.unknown.items() if str(a) == address]
    assert "guid-1" in reason
    assert "guid-2" in reason


def test_pages_without_an_end_are_unknown(tenant: LocalTenant, rest: Session) -> None:
    link = tenant.endpoints["exchange"] + "/adminapi/beta/x/InvokeCommand?$skiptoken=same"
    content = {"value": [TWO[0]], "@odata.nextLink": link}
    match, do = {"cmdlet": "Get-InboundConnector"}, {"status": 200, "body": content}
    seen = tenant.seen()
    demand_unknown(planned(tenant, rest, "exchange", match, do), CMDLETS["Get-InboundConnector"])
    assert sum(r["cmdlet"] == "Get-InboundConnector" for r in tenant.requests(since=seen)) == 2
