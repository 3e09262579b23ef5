"""The REST adapter against the sandbox, with scripted faults: pages, refusals, retries, and what was sent how often."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from provisioner.diagnostics import (
    InputError,
    Malformed,
    NotFound,
    PermissionMissing,
    Refused,
    SignInRefused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, Cmdlet, Delta, GraphRequest, Parameter, Request
from provisioner.tenant import limits
from provisioner.tenant.connect import connect
from provisioner.tenant.exchange_rest import RestExchange, encode_parameters
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.retry import Retry
from tests.clocks import until
from tests.local_tenant import LocalTenant, sandbox

pytestmark = pytest.mark.part(0.5)

SEED = {
    "sandbox": 1,
    "tenant": {"initial_domain": "contoso.onmicrosoft.com"},
    "mailboxes": [{"count": 2500, "domain": "contoso.onmicrosoft.com", "prefix": "m"}],
    "apps": [
        {
            "displayName": "no-role",
            "appRoles": {
                "https://graph.microsoft.com": [],
                "https://outlook.office365.com": ["Exchange.ManageAsApp"],
            },
            "directoryRoles": [],
        },
        {"displayName": "nothing", "appRoles": {}, "directoryRoles": []},
    ],
}
ALL = Cmdlet("Get-CASMailbox", {"ResultSize": "Unlimited"})
NEW = Cmdlet("New-InboundConnector", {"Name": "x", "ConnectorType": "Partner", "SenderDomains": ("*",)})


@pytest.fixture(scope="module")
def module_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("rest")
    (folder / "seed.yaml").write_text(yaml.safe_dump(SEED))
    with sandbox(folder / "state", folder / "seed.yaml") as running:
        yield running


@pytest.fixture
def tenant(module_tenant: LocalTenant) -> Iterator[LocalTenant]:
    module_tenant.control("DELETE", "/requests")
    yield module_tenant
    module_tenant.control("DELETE", "/faults")
    for row in module_tenant.rows("InboundConnector"):
        module_tenant.cmdlet("Remove-InboundConnector", Identity=row["Name"], Confirm=False)


def ask(tenant: LocalTenant, *requests: Request, app: str = "app", **profile: Any) -> list[Answer | TenantError]:
    """The answers, one after the other over one connection; an error stands in the place of its answer."""
    entry = tenant.endpoints["apps"].get(app) or tenant.endpoints[app]
    known = LocalTenant(tenant.folder, {**tenant.endpoints, "asked": entry})
    profile.setdefault("timeouts", {"retry_s": 3.0, "request_s": 20.0})

    async def work() -> list[Answer | TenantError]:
        answers: list[Answer | TenantError] = []
        async with connect(known.profile(app="asked", **profile)) as ports:
            for request in requests:
                port: Any = ports.exchange.run if isinstance(request, Cmdlet) else ports.directory.send
                try:
                    answers.append(await port(request))
                except TenantError as error:
                    answers.append(error)
        return answers

    return asyncio.run(work())


def fault(tenant: LocalTenant, do: dict[str, Any], cmdlet: str = "", *, after: int = 0, times: int = 1) -> None:
    match = {"cmdlet": cmdlet} if cmdlet else {}
    tenant.control("POST", "/faults", [{"front": "exchange", "match": match, "after": after, "times": times, "do": do}])


def run_count(tenant: LocalTenant, cmdlet: str) -> int:
    return sum(r["cmdlet"] == cmdlet and r["executed"] for r in tenant.requests())


# --- pages -----------------------------------------------------------------------------------------------------------


def test_every_page_is_fetched_and_the_keys_beside_the_values_are_dropped(tenant: LocalTenant) -> None:
    (answer,) = ask(tenant, ALL)
    assert isinstance(answer, Answer)
    assert len({r["PrimarySmtpAddress"] for r in answer.rows}) == 2500
    assert answer.requests == 3
    assert not [k for row in answer.rows for k in row if "@" in k]


@pytest.mark.part(1)
@pytest.mark.parametrize(
    ("do", "kind"),
    [
        ({"status": 500, "body": {"error": {"code": "x", "message": "boom"}}}, TenantError),
        ({"html": True}, Malformed),
        ({"truncate": 2000}, Malformed),
        (
            {"status": 400, "body": "Expired or Invalid pagination request. Default Expiry time is 00:30:00"},
            TenantError,
        ),
    ],
)
def test_a_failed_second_page_is_never_a_short_list(tenant: LocalTenant, do: dict[str, Any], kind: type) -> None:
    fault(tenant, do, "Get-CASMailbox", after=1, times=20)
    (answer,) = ask(tenant, ALL)
    assert isinstance(answer, kind), answer


def test_a_page_that_breaks_once_is_fetched_again(tenant: LocalTenant) -> None:
    fault(tenant, {"close": True}, "Get-CASMailbox", after=1)
    (answer,) = ask(tenant, ALL)
    assert isinstance(answer, Answer)
    assert len(answer.rows) == 2500


CONNECTORS = Cmdlet("Get-InboundConnector", {})


@pytest.mark.parametrize(
    ("link", "requests"),
    [("/adminapi/beta/x/InvokeCommand?$skiptoken=same", 2), ("https://other.example/x", 1), ({"href": "x"}, 1)],
    ids=str,
)
def test_a_list_without_an_end_is_malformed(tenant: LocalTenant, link: Any, requests: int) -> None:
    link = tenant.endpoints["exchange"] + link if str(link).startswith("/") else link
    page = {"value": [{"Name": "relay"}], "@odata.nextLink": link}
    fault(tenant, {"status": 200, "body": page}, "Get-InboundConnector", times=50)
    (answer,) = ask(tenant, CONNECTORS)
    assert isinstance(answer, Malformed), answer
    assert len([r for r in tenant.requests() if r["cmdlet"] == "Get-InboundConnector"]) == requests


@pytest.mark.parametrize("place", ["value", "@adminapi.warnings", "@adminapi.errors"])
@pytest.mark.parametrize("followed", [False, True])
def test_a_page_that_is_nested_too_deeply_is_malformed(tenant: LocalTenant, place: str, followed: bool) -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    body: dict[str, Any] = {"value": [{"Name": "relay"}], place: [{"Name": "relay", "Ips": deep}]}
    if followed:
        body["@odata.nextLink"] = tenant.endpoints["exchange"] + "/adminapi/beta/x/InvokeCommand?$skiptoken=2"
    fault(tenant, {"status": 200, "body": body}, "Get-InboundConnector", times=2)
    (answer,) = ask(tenant, CONNECTORS)
    assert isinstance(answer, Malformed), answer
    assert "levels deep" in str(answer)


@pytest.mark.parametrize(("limit", "words"), [("MOST_PAGES", "more than 2 pages"), ("MOST_ROWS", "more than 2 rows")])
def test_a_listing_above_the_limits_is_malformed_and_never_a_short_list(
    tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch, limit: str, words: str
) -> None:
    monkeypatch.setattr(limits, limit, 2)
    (answer,) = ask(tenant, ALL)
    assert isinstance(answer, Malformed)
    assert words in str(answer)


@pytest.mark.part(1)
@pytest.mark.parametrize("content", ["", {}, [], {"value": "x"}, "null"], ids=str)
def test_a_write_answered_by_an_odd_success_is_unclear_and_sent_once(tenant: LocalTenant, content: Any) -> None:
    fault(tenant, {"status": 200, "body": content}, "New-InboundConnector", times=50)
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Unclear), answer
    assert len([r for r in tenant.requests() if r["cmdlet"] == "New-InboundConnector"]) == 1


@pytest.mark.parametrize(
    "do",
    [
        {"status": 204},
        {"status": 200, "body": {"value": []}},
        {"status": 200, "body": {"value": None}},
        {"status": 200, "body": {"@odata.context": "x"}},
    ],
    ids=str,
)
def test_a_write_without_output_is_carried_out(tenant: LocalTenant, do: dict[str, Any]) -> None:
    fault(tenant, do, "New-InboundConnector")
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Answer), answer
    assert answer.rows == ()


@pytest.mark.part(1)
def test_a_write_is_not_sent_again_for_a_further_page(tenant: LocalTenant) -> None:
    link = tenant.endpoints["exchange"] + "/adminapi/beta/x/InvokeCommand?$skiptoken=2"
    fault(tenant, {"status": 200, "body": {"value": [], "@odata.nextLink": link}}, "New-InboundConnector", times=50)
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Unclear), answer
    assert len([r for r in tenant.requests() if r["cmdlet"] == "New-InboundConnector"]) == 1


@pytest.mark.parametrize(
    "error", [{"details": ["text"], "message": "m"}, {"innererror": "text"}, {"details": {}, "innererror": []}], ids=str
)
def test_an_error_of_another_shape_is_that_request_s_error(tenant: LocalTenant, error: dict[str, Any]) -> None:
    fault(tenant, {"status": 400, "body": {"error": error}}, "New-InboundConnector")
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Refused), answer


def test_the_service_is_asked_for_the_columns_that_are_decoded(tenant: LocalTenant) -> None:
    columns = frozenset({"PrimarySmtpAddress", "SmtpClientAuthenticationDisabled"})
    (found,) = ask(tenant, Cmdlet("Get-CASMailbox", {"ResultSize": "Unlimited"}, columns))
    assert isinstance(found, Answer)
    assert found.requests > 1
    assert {name for row in found.rows for name in row} == columns | {"Identity", "Name", "Guid", "Id"}
    paths = {r["path"].partition("?")[2].partition("&")[0] for r in tenant.requests() if "InvokeCommand" in r["path"]}
    assert "$select=Guid,Id,Identity,Name,PrimarySmtpAddress,SmtpClientAuthenticationDisabled" in paths


def test_a_write_names_no_columns(tenant: LocalTenant) -> None:
    write = Cmdlet("Set-TransportConfig", {"SmtpClientAuthenticationDisabled": True}, frozenset({"Name"}))
    assert isinstance(ask(tenant, write)[0], Answer)
    assert not any("select" in r["path"] for r in tenant.requests())


# --- lookups that travel together ------------------------------------------------------------------------------------


def side_by_side(tenant: LocalTenant, *names: str) -> list[Answer | TenantError]:
    """Lookups of mailboxes, all asked at once."""

    async def one(ports: Any, name: str) -> Answer | TenantError:
        try:
            asked = Cmdlet("Get-CASMailbox", {"Identity": name}, frozenset({"PrimarySmtpAddress"}))
            answer: Answer = await ports.exchange.run(asked)
        except TenantError as error:
            return error
        return answer

    async def work() -> list[Answer | TenantError]:
        async with connect(tenant.profile(timeouts={"retry_s": 3.0})) as ports:
            return list(await asyncio.gather(*(one(ports, n) for n in names)))

    return asyncio.run(work())


def mailbox(number: int) -> str:
    return f"m{number:05d}@contoso.onmicrosoft.com"


def test_look_ups_asked_at_once_are_one_request_and_each_has_its_own_answer(tenant: LocalTenant) -> None:
    found = side_by_side(tenant, mailbox(1), mailbox(2), "nobody@contoso.com", mailbox(3))
    addresses = [a.rows[0]["PrimarySmtpAddress"] if isinstance(a, Answer) else type(a) for a in found]
    assert addresses == [mailbox(1), mailbox(2), NotFound, mailbox(3)]
    assert all("SmtpClientAuthenticationDisabled" not in a.rows[0] for a in found if isinstance(a, Answer))
    paths = [r["path"] for r in tenant.requests()]
    assert sum(p.endswith("$batch") for p in paths) == 1
    assert sum("InvokeCommand" in p for p in paths) == 4 + 1, "four items, and the one that failed alone"


@pytest.mark.parametrize("do", [{"html": True}, {"truncate": 300}, {"status": 500}, {"close": True}])
def test_where_a_batch_fails_each_is_asked_alone(tenant: LocalTenant, do: dict[str, Any]) -> None:
    deed = {"front": "exchange", "match": {"path": "$batch"}, "times": 1, "do": do}
    tenant.control("POST", "/faults", [deed])
    found = side_by_side(tenant, mailbox(1), mailbox(2))
    assert [len(a.rows) for a in found if isinstance(a, Answer)] == [1, 1]


def test_nobody_waits_for_a_batch_that_something_unforeseen_ended() -> None:
    class Unforeseen:
        async def token(self, *_: object) -> str:
            raise InputError([])

    async def asked() -> list[Any]:
        tokens: Any = Unforeseen()
        exchange = RestExchange(cast("Any", None), tokens, "https://x", "https://x", Retry(), Limiter("Exchange", 4))
        lookups = (exchange.run(Cmdlet("Get-InboundConnector", {"Identity": name})) for name in "ab")
        async with asyncio.timeout(30):
            return await asyncio.gather(*lookups, return_exceptions=True)

    assert [type(found) for found in asyncio.run(asked())] == [InputError, InputError]


def test_writes_never_travel_together(tenant: LocalTenant) -> None:
    async def work() -> None:
        async with connect(tenant.profile()) as ports:
            sets = (Cmdlet("Set-CASMailbox", {"Identity": mailbox(n), "PopEnabled": False}) for n in (1, 2, 3))
            await asyncio.gather(*(ports.exchange.run(c) for c in sets))

    asyncio.run(work())
    assert not [r for r in tenant.requests() if r["path"].endswith("$batch")]


# --- what is repeated and what is not --------------------------------------------------------------------------------


@pytest.mark.part(1)
def test_a_create_whose_answer_is_lost_is_unclear_and_was_sent_once(tenant: LocalTenant) -> None:
    fault(tenant, {"run_then_close": True}, "New-InboundConnector", times=5)
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Unclear), answer
    assert sum(r["cmdlet"] == "New-InboundConnector" for r in tenant.requests()) == 1


def test_a_set_whose_answer_is_lost_is_repeated(tenant: LocalTenant) -> None:
    ask(tenant, NEW)
    fault(tenant, {"run_then_close": True}, "Set-InboundConnector")
    (answer,) = ask(tenant, Cmdlet("Set-InboundConnector", {"Identity": "x", "Comment": "y"}))
    assert isinstance(answer, Answer), answer
    assert run_count(tenant, "Set-InboundConnector") == 2


@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}])
def test_throttling_is_waited_for(tenant: LocalTenant, headers: dict[str, str]) -> None:
    fault(tenant, {"status": 429, "headers": headers, "body": "slow down"}, "New-InboundConnector")
    (answer,) = ask(tenant, NEW, timeouts={"retry_s": 20.0})
    assert isinstance(answer, Answer), answer
    assert run_count(tenant, "New-InboundConnector") == 1


def test_a_wait_longer_than_allowed_ends_at_once_and_says_so(tenant: LocalTenant) -> None:
    fault(tenant, {"status": 429, "headers": {"Retry-After": "300"}}, "New-InboundConnector", times=9)
    (answer,) = ask(tenant, NEW)
    assert isinstance(answer, Throttled)
    assert "asks for 300 s" in answer.hint


def test_a_service_that_stays_away_is_unavailable_after_several_tries(tenant: LocalTenant) -> None:
    fault(tenant, {"status": 503}, "New-InboundConnector", times=50)
    mine = Cmdlet(NEW.name, {**NEW.parameters, "Name": "away"})  # another test's may still arrive
    (answer,) = ask(tenant, mine)
    assert isinstance(answer, Unavailable), answer
    assert [r for r in tenant.rows("InboundConnector") if r["Name"] == "away"] == []


@pytest.mark.part(1)
def test_slow_answers_end_in_time_and_a_write_is_then_unclear(tenant: LocalTenant) -> None:
    fault(tenant, {"hold": True}, "New-InboundConnector")
    (answer,) = ask(tenant, NEW, timeouts={"retry_s": 0.0, "request_s": 0.5})
    assert isinstance(answer, Unclear)
    assert "no answer in time" in str(answer)
    tenant.control("DELETE", "/faults")  # lets it go: what is carried out later would be another test's
    until(lambda: run_count(tenant, "New-InboundConnector") == 1)


# --- refusals --------------------------------------------------------------------------------------------------------


def test_refusals_are_told_apart(tenant: LocalTenant) -> None:
    new = Cmdlet("New-InboundConnector", {**NEW.parameters, "Name": "made twice"})
    missing, unknown, bad, twice = ask(
        tenant,
        Cmdlet("Get-CASMailbox", {"Identity": "nobody@contoso.com"}),
        Cmdlet("Get-CASMailbox", {"Bogus": True}),
        Cmdlet("New-InboundConnector", {**new.parameters, "ConnectorType": "Nonsense"}),
        new,
    )
    assert isinstance(missing, NotFound)
    assert isinstance(unknown, Refused)
    assert "Bogus" in unknown.summary
    assert isinstance(bad, Refused)
    assert "OnPremises, Partner" in bad.summary
    assert isinstance(twice, Answer)
    (again,) = ask(tenant, new)
    assert isinstance(again, Refused)
    assert "already exists" in again.summary


def test_a_reader_that_writes_learns_which_cmdlet_and_role(tenant: LocalTenant) -> None:
    (answer,) = ask(tenant, NEW, app="reader_app")
    assert isinstance(answer, PermissionMissing), answer
    assert "New-InboundConnector" in answer.hint
    assert "Exchange Administrator" in answer.hint


def test_an_app_without_permission_or_role_learns_which(tenant: LocalTenant) -> None:
    (nothing,) = ask(tenant, ALL, app="nothing")
    assert isinstance(nothing, PermissionMissing), nothing
    assert "Exchange.ManageAsApp" in nothing.hint
    roleless, graph = ask(tenant, ALL, GraphRequest("GET", "/domains"), app="no-role")
    assert isinstance(roleless, PermissionMissing), roleless
    assert "role that holds Get-CASMailbox" in roleless.hint
    assert isinstance(graph, PermissionMissing), graph
    assert "Domain.Read.All" in graph.hint


def test_an_error_on_a_200_is_an_error(tenant: LocalTenant) -> None:
    fault(tenant, {"adminapi_errors": ["it went wrong"]}, "Get-InboundConnector")
    (answer,) = ask(tenant, Cmdlet("Get-InboundConnector"))
    assert isinstance(answer, Refused)
    assert "it went wrong" in answer.summary


def test_an_expired_token_is_renewed_on_the_way(tenant: LocalTenant) -> None:
    fault(
        tenant, {"status": 401, "headers": {"WWW-Authenticate": 'Bearer error="invalid_token"'}}, "Get-InboundConnector"
    )
    (answer,) = ask(tenant, Cmdlet("Get-InboundConnector"))
    assert isinstance(answer, Answer), answer


def test_a_redirect_is_followed_within_the_service_only(tenant: LocalTenant) -> None:
    path = f"/adminapi/beta/{tenant.endpoints['tenant_id']}/InvokeCommand"
    regional = {"status": 302, "headers": {"Location": tenant.endpoints["exchange"] + path}}
    fault(tenant, regional, "Get-InboundConnector")
    (followed,) = ask(tenant, Cmdlet("Get-InboundConnector"))
    assert isinstance(followed, Answer), followed
    for elsewhere in ("https://evil.example/x", "http://127.0.0.1/x", "https://127.0.0.1.evil.example/x"):
        fault(tenant, {"status": 302, "headers": {"Location": elsewhere}}, "Get-InboundConnector")
        (refused,) = ask(tenant, Cmdlet("Get-InboundConnector"))
        assert isinstance(refused, Malformed), refused
        assert "is not the service" in str(refused)


def test_a_certificate_that_is_not_trusted_and_a_host_that_is_away_are_told(
    tenant: LocalTenant, tmp_path: Path
) -> None:
    endpoints = {**tenant.endpoints, "exchange": "https://127.0.0.1:9"}
    (away,) = ask(LocalTenant(tenant.folder, endpoints), ALL)
    assert isinstance(away, Unavailable)
    assert "127.0.0.1:9 cannot be reached" in str(away)
    (untrusted,) = ask(tenant, ALL, ca=None)
    assert isinstance(untrusted, TenantError)
    assert not isinstance(untrusted, Unclear)


# --- parameters and secrets ------------------------------------------------------------------------------------------


def test_parameters_are_encoded_by_kind() -> None:
    parameters: dict[str, Parameter] = {
        "A": "x",
        "B": True,
        "C": None,
        "D": ("a", "b"),
        "E": (),
        "F": Delta(add=("a",), remove=("b",)),
        "G": Delta(remove=("b",)),
        "H": 2**40,
    }
    assert encode_parameters(Cmdlet("Get-X", parameters)) == {
        "A": "x",
        "B": True,
        "C": None,
        "D": ["a", "b"],
        "E": [],
        "F": {"@odata.type": "#Exchange.GenericHashTable", "Add": ["a"], "Remove": ["b"]},
        "G": {"@odata.type": "#Exchange.GenericHashTable", "Remove": ["b"]},
        "H": 2**40,
    }
    assert encode_parameters(Cmdlet("Set-X", {})) == {"Confirm": False}
    assert encode_parameters(Cmdlet("New-X", {})) == {}


def test_a_wrong_secret_is_a_refused_sign_in_and_stands_nowhere(
    tenant: LocalTenant, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "not-the-secret-Qx7~8"
    (tmp_path / "secret").write_text(wrong)
    credential = {
        "kind": "client_secret",
        "client_id": tenant.endpoints["app"]["client_id"],
        "secret": f"file:{tmp_path / 'secret'}",
    }
    right = Path(tenant.endpoints["app"]["secret_file"]).read_text().strip()
    with caplog.at_level(logging.DEBUG):
        (refused,) = ask(tenant, ALL, credential=credential)
        ask(tenant, ALL)
    assert isinstance(refused, SignInRefused)
    assert "AADSTS7000215" in str(refused)
    assert "wrong" in refused.hint
    told = caplog.text + str(refused) + repr(refused) + refused.hint
    assert wrong not in told
    assert right not in told
    assert "Bearer ey" not in told


def test_the_clients_that_talk_are_the_real_ones(tenant: LocalTenant) -> None:
    async def kinds() -> tuple[str, str]:
        async with connect(tenant.profile()) as ports:
            directory: Any = ports.directory
            return type(directory._adapter).__module__, type(ports.exchange).__module__

    assert asyncio.run(kinds()) == ("msgraph.graph_request_adapter", "provisioner.tenant.exchange_rest")
