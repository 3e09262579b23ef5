"""Graph asked by msgraph-sdk over TLS, and by hand where the SDK cannot ask."""

from __future__ import annotations

import asyncio
import json
import ssl
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest
from azure.identity.aio import ClientSecretCredential

with warnings.catch_warnings():
    # kiota_abstractions warns of a deprecated class of its own as soon as it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from kiota_http.middleware.options import RetryHandlerOption
    from msgraph.generated.models.domain_dns_mx_record import DomainDnsMxRecord
    from msgraph.generated.models.domain_dns_txt_record import DomainDnsTxtRecord
    from msgraph.generated.models.o_data_errors.o_data_error import ODataError
    from msgraph.generated.models.user import User
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph.graph_request_adapter import GraphRequestAdapter
    from msgraph.graph_request_adapter import options as sdk_options
    from msgraph.graph_service_client import GraphServiceClient
    from msgraph_core import GraphClientFactory

from tests.recordings import entries
from tests.sandbox.conftest import E5, POLICY, Running, seed

# ... and so does each of the SDK's request builders, in the moment of its first use.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This class is deprecated. Please use the generic:DeprecationWarning"),
    pytest.mark.part(0.5),
]

Result = TypeVar("Result")


def with_sdk(sandbox: Running, work: Callable[[GraphServiceClient], Awaitable[Result]], app: str = "app") -> Result:
    """Run `work` with the SDK's client, its own retries off."""

    async def run() -> Result:
        base = sandbox.endpoints["graph"] + "/v1.0"
        options = {**sdk_options, RetryHandlerOption.get_key(): RetryHandlerOption(should_retry=False)}
        # A transport of our own, because the one that msgraph_core wraps around it never closes it.
        transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=sandbox.ca))
        entry = sandbox.endpoints[app]
        async with (
            transport,
            httpx.AsyncClient(transport=transport, base_url=base) as http,
            ClientSecretCredential(
                sandbox.tenant_id,
                entry["client_id"],
                sandbox.secret(app),
                authority=sandbox.endpoints["authority"],
                disable_instance_discovery=True,
                connection_verify=sandbox.ca,
            ) as credential,
        ):
            client = GraphClientFactory.create_with_default_middleware(client=http, options=options)
            provider = AzureIdentityAuthenticationProvider(
                credential, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["127.0.0.1"]
            )
            # The slash that httpx puts at the end of base_url stays: the stock client asks /v1.0//users just so.
            return await work(GraphServiceClient(request_adapter=GraphRequestAdapter(provider, client=client)))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def token(sandbox: Running) -> str:
    return sandbox.token("https://graph.microsoft.com/.default")


@pytest.fixture
def graph(sandbox: Running, token: str) -> Any:
    base = sandbox.endpoints["graph"] + "/v1.0"
    context = ssl.create_default_context(cafile=sandbox.ca)
    with httpx.Client(verify=context, base_url=base, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def everything(graph: httpx.Client, path: str, **headers: str) -> list[dict[str, Any]]:
    """All rows of a paged list."""
    rows, link = [], path
    while link:
        page = graph.get(link, headers=headers).json()
        rows += page["value"]
        link = page.get("@odata.nextLink", "")
    return rows


# with the SDK


# The SDK takes 15 ms for each user that it reads: a few are enough to see that it understands.
FEW = "startswith(userPrincipalName,'user00')"


def test_the_sdk_pages_through_users(sandbox: Running) -> None:
    async def work(client: GraphServiceClient) -> list[str]:
        query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(filter=FEW, top=4)
        names, page = [], await client.users.get(request_configuration=RequestConfiguration(query_parameters=query))
        while page is not None:
            names += [str(user.user_principal_name) for user in page.value or []]
            page = await client.users.with_url(page.odata_next_link).get() if page.odata_next_link else None
        return names

    names = with_sdk(sandbox, work)
    assert len(names) == 10
    assert set(names) == {user["userPrincipalName"] for user in seed()["graph"]["users"][:10]}


def test_the_sdk_selects_filters_and_counts(sandbox: Running) -> None:
    async def work(client: GraphServiceClient) -> tuple[int | None, list[User]]:
        query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
            filter=f"{FEW} and endswith(mail,'@contoso.com') and accountEnabled eq true",
            select=["id", "mail"],
            top=999,
            count=True,
        )
        configuration = RequestConfiguration(query_parameters=query)
        configuration.headers.add("ConsistencyLevel", "eventual")
        page = await client.users.get(request_configuration=configuration)
        assert page is not None
        return page.odata_count, page.value or []

    count, users = with_sdk(sandbox, work)
    wanted = [u for u in seed()["graph"]["users"][:10] if u["mail"] and u["accountEnabled"]]
    assert count == len(users) == len(wanted)
    assert users[0].display_name is None


def test_the_sdk_gets_typed_service_records(sandbox: Running) -> None:
    async def work(client: GraphServiceClient) -> list[Any]:
        page = await client.domains.by_domain_id("contoso.com").service_configuration_records.get()
        assert page is not None
        return page.value or []

    mx, txt, _ = with_sdk(sandbox, work)
    assert isinstance(mx, DomainDnsMxRecord)
    assert mx.mail_exchange == "contoso-com.mail.protection.outlook.com"
    assert isinstance(txt, DomainDnsTxtRecord)
    assert txt.text == "v=spf1 include:spf.protection.outlook.com -all"


def test_the_sdk_reads_organization_licences_and_security_defaults(sandbox: Running) -> None:
    async def work(client: GraphServiceClient) -> tuple[Any, Any, Any, Any]:
        return (
            await client.organization.get(),
            await client.subscribed_skus.get(),
            await client.policies.identity_security_defaults_enforcement_policy.get(),
            await client.users.by_user_id("user001@contoso.com").license_details.get(),
        )

    organization, skus, defaults, licences = with_sdk(sandbox, work)
    assert [row.display_name for row in organization.value] == ["Contoso"]
    assert [row.sku_part_number for row in skus.value] == ["SPE_E5"]
    assert defaults.is_enabled is True
    assert [row.sku_part_number for row in licences.value] == ["SPE_E5"]


def test_the_sdk_sees_graphs_errors(sandbox: Running) -> None:
    async def missing(client: GraphServiceClient) -> None:
        await client.users.by_user_id("nobody@contoso.com").get()

    async def forbidden(client: GraphServiceClient) -> None:
        await client.users.by_user_id("user001@contoso.com").patch(User(job_title="Auditor"))

    with pytest.raises(ODataError) as caught:
        with_sdk(sandbox, missing)
    assert caught.value.response_status_code == 404
    assert caught.value.error is not None
    assert caught.value.error.code == "Request_ResourceNotFound"
    assert caught.value.error.inner_error is not None
    assert caught.value.error.inner_error.request_id
    with pytest.raises(ODataError) as caught:
        with_sdk(sandbox, forbidden)
    assert caught.value.response_status_code == 403


# by hand


@pytest.mark.parametrize("case", entries("graph/responses.json", "request", "permission missing"))
def test_errors_have_the_recorded_shape(sandbox: Running, graph: httpx.Client, case: dict[str, Any]) -> None:
    recorded = case["body"]["error"]
    answer = graph.patch("/users/user001@contoso.com", json={"jobTitle": "x"}, headers={"client-request-id": "abc"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["message"]) == (403, recorded["code"], recorded["message"])
    assert set(error["innerError"]) == set(recorded["innerError"])
    assert error["innerError"]["client-request-id"] == answer.headers["client-request-id"] == "abc"
    assert error["innerError"]["request-id"] == answer.headers["request-id"]
    assert answer.headers["x-ms-sandbox-needs"].startswith("User.ReadWrite.All")


def test_policies_of_conditional_access_are_listed_and_looked_up(sandbox: Running) -> None:
    """With the SDK: `state`, and the client applications that a policy is about."""

    async def ask(client: GraphServiceClient) -> tuple[Any, Any]:
        policies = client.identity.conditional_access.policies
        return await policies.get(), await policies.by_conditional_access_policy_id(POLICY).get()

    listed, one = with_sdk(sandbox, ask)
    assert [policy.id for policy in listed.value] == [POLICY]
    assert (one.display_name, one.state.value, one.conditions.client_app_types[0].value) == (
        "Block legacy authentication",
        "enabled",
        "other",
    )


@pytest.mark.parametrize("case", entries("graph/responses.json", "request", "SecurityDefaults"))
def test_security_defaults_have_the_recorded_keys(graph: httpx.Client, case: dict[str, Any]) -> None:
    recorded = case["body"]
    answer = graph.get("/policies/identitySecurityDefaultsEnforcementPolicy").json()
    assert set(answer) == set(recorded)
    assert answer["description"] == recorded["description"]
    assert answer["@odata.context"].endswith(recorded["@odata.context"].partition("$metadata")[2])


def test_without_a_token_graph_answers_401(sandbox: Running) -> None:
    with sandbox.http() as client:
        answer = client.get(sandbox.endpoints["graph"] + "/v1.0/users")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_page_holds_100_rows_and_its_token_goes_on(graph: httpx.Client) -> None:
    first = graph.get("/users").json()
    assert len(first["value"]) == 100
    assert "$skiptoken=" in first["@odata.nextLink"]
    assert len({row["id"] for row in everything(graph, "/users?$top=7&$select=id")}) == 250
    selected = graph.get(graph.get("/users?$select=mail&$top=10").json()["@odata.nextLink"]).json()
    assert [set(row) for row in selected["value"]] == [{"id", "mail"}] * 10


def test_lists_turn_between_reads(graph: httpx.Client) -> None:
    first, second = (graph.get("/users?$top=5").json()["value"] for _ in range(2))
    assert [row["id"] for row in first] != [row["id"] for row in second]


def test_a_page_token_of_another_query_has_expired(graph: httpx.Client) -> None:
    token = graph.get("/users?$top=5").json()["@odata.nextLink"].partition("$skiptoken=")[2]
    for query in (f"/users?$top=6&$skiptoken={token}", "/users?$skiptoken=rubbish"):
        answer = graph.get(query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "Directory_ExpiredPageToken")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$top=0", "Request_BadRequest"),
        ("$top=1000", "Request_BadRequest"),
        ("$select=nonsense", "BadRequest"),
        ("$filter=mail eq", "BadRequest"),
        ("$filter=jobTitl eq 'x'", "BadRequest"),
        ("$filter=officeLocation eq 'x'", "Request_UnsupportedQuery"),
        ("$filter=endswith(mail,'x')", "Request_UnsupportedQuery"),
    ],
)
def test_bad_queries_are_refused(graph: httpx.Client, query: str, code: str) -> None:
    answer = graph.get(f"/users?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_user_answers_by_id_and_by_principal_name(graph: httpx.Client, sandbox: Running) -> None:
    by_name = graph.get("/users/USER007@contoso.com").json()
    by_id = graph.get(
        f"{sandbox.endpoints['graph']}/v1.0//users/{by_name['id']}?$select=assignedLicenses,accountEnabled"
    ).json()
    assert by_name["mail"] == "User007@contoso.com"
    assert by_name["businessPhones"] == []
    assert "accountEnabled" not in by_name
    assert by_id["assignedLicenses"] == [{"skuId": E5, "disabledPlans": []}]


def test_users_are_counted_with_consistency_level_only(graph: httpx.Client) -> None:
    assert graph.get("/users/$count").status_code == 400
    counted = graph.get("/users/$count?$filter=accountEnabled eq false", headers={"ConsistencyLevel": "eventual"})
    assert counted.text == "50"


def test_domains_come_without_their_records(graph: httpx.Client) -> None:
    rows = graph.get("/domains").json()["value"]
    assert [row["id"] for row in rows] == ["contoso.onmicrosoft.com", "contoso.com"]
    assert all("serviceConfigurationRecords" not in row for row in rows)
    assert graph.get("/domains/CONTOSO.com").json()["isDefault"] is True
    assert graph.get("/domains/fabrikam.com").json()["error"]["code"] == "Request_ResourceNotFound"
    kinds = [r["@odata.type"] for r in graph.get("/domains/contoso.com/serviceConfigurationRecords").json()["value"]]
    assert kinds == [f"#microsoft.graph.domainDns{kind}Record" for kind in ("Mx", "Txt", "Cname")]


def test_unknown_segments_versions_and_methods_are_refused(graph: httpx.Client, sandbox: Running) -> None:
    assert graph.get("/nonsense").json()["error"]["message"] == "Resource not found for the segment 'nonsense'."
    assert graph.get("/nonsense").headers["x-ms-sandbox-not-modelled"] == "the path segment nonsense"
    assert graph.delete("/users/user001@contoso.com").status_code == 405
    beta = graph.get(sandbox.endpoints["graph"] + "/v2.0/users")
    assert beta.json()["error"]["message"] == "Invalid version: v2.0"
    assert graph.get(sandbox.endpoints["graph"] + "/V1.0/Users?$top=1").status_code == 200


def test_each_batch_item_has_its_own_status_and_any_place(graph: httpx.Client) -> None:
    items: list[dict[str, Any]] = [
        {"id": "1", "method": "GET", "url": "/users/user001@contoso.com?$select=mail"},
        {"id": "2", "method": "GET", "url": "users/nobody@contoso.com"},
        {"id": "3", "method": "GET", "url": "https://graph.microsoft.com/v1.0/users"},
        {"id": "4", "method": "GET", "url": "/domains/contoso.com", "dependsOn": ["2"]},
        {"id": "5", "method": "PATCH", "url": "/users/user001@contoso.com", "body": {"jobTitle": "x"}},
    ]
    responses = graph.post("/$batch", json={"requests": items}).json()["responses"]
    assert [row["id"] for row in responses] != [item["id"] for item in items]
    assert {row["id"]: row["status"] for row in responses} == {"1": 200, "2": 404, "3": 400, "4": 424, "5": 403}
    assert next(row for row in responses if row["id"] == "1")["body"]["mail"] == "User001@contoso.com"


def test_a_batch_takes_twenty_items_with_ids(graph: httpx.Client) -> None:
    def post(*names: str) -> int:
        items = [{"id": name, "method": "GET", "url": "/organization"} for name in names]
        return graph.post("/$batch", json={"requests": items}).status_code

    assert post(*map(str, range(20))) == 200
    assert post(*map(str, range(21))) == 400
    assert post("1", "1") == 400
    assert graph.post("/$batch", json={"requests": {}}).status_code == 400
    assert graph.post("/$batch", content="{").status_code == 400


def test_a_patch_changes_known_writable_fields(sandbox: Running) -> None:
    writer = {
        "displayName": "writer",
        "appRoles": {"https://graph.microsoft.com": ["User.ReadWrite.All"]},
    }
    assert sandbox.control("POST", "/load", {"sandbox": 1, "apps": [writer]}).status_code == 200
    entry = json.loads((sandbox.state / "endpoints.json").read_text())["apps"]["writer"]
    other = Running(sandbox.process, sandbox.state, {**sandbox.endpoints, "app": entry})

    async def work(client: GraphServiceClient) -> User | None:
        user = client.users.by_user_id("user010@contoso.com")
        await user.patch(User(job_title="Auditor", account_enabled=True))
        await user.patch(User(additional_data={"officeLocation": None}))
        return await user.get()

    changed = with_sdk(other, work)
    assert changed is not None
    assert changed.job_title == "Auditor"
    token = other.token("https://graph.microsoft.com/.default")
    with sandbox.http() as client:
        for body in ({"mail": "x@contoso.com"}, {"job_title": "x"}, {"accountEnabled": "yes"}, ["x"]):
            url = sandbox.endpoints["graph"] + "/v1.0/users/user010@contoso.com"
            answer = client.patch(url, json=body, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 400, body


def test_each_resource_wants_its_permission(sandbox: Running) -> None:
    poor = {"displayName": "poor", "appRoles": {"https://graph.microsoft.com": ["Domain.Read.All"]}}
    assert sandbox.control("POST", "/load", {"sandbox": 1, "apps": [poor]}).status_code == 200
    entry = json.loads((sandbox.state / "endpoints.json").read_text())["apps"]["poor"]
    other = Running(sandbox.process, sandbox.state, {**sandbox.endpoints, "app": entry})
    headers = {"Authorization": f"Bearer {other.token('https://graph.microsoft.com/.default')}"}
    paths = ["domains", "users", "organization", "subscribedSkus", "policies/identitySecurityDefaultsEnforcementPolicy"]
    with sandbox.http() as client:
        statuses = [
            client.get(f"{sandbox.endpoints['graph']}/v1.0/{path}", headers=headers).status_code for path in paths
        ]
    assert statuses == [200, 403, 403, 403, 403]


def test_an_empty_page_with_a_link_can_be_switched_on(sandbox: Running, graph: httpx.Client) -> None:
    assert sandbox.control("POST", "/load", {"sandbox": 1, "settings": {"graph_empty_pages": True}}).status_code == 200
    try:
        first = graph.get("/users?$top=999").json()
        assert first["value"] == []
        assert len(graph.get(first["@odata.nextLink"]).json()["value"]) == 250
    finally:
        sandbox.control("POST", "/load", {"sandbox": 1, "settings": {"graph_empty_pages": False}})


def test_throttling_by_a_fault_reaches_the_sdk_with_its_delay(sandbox: Running) -> None:
    body = {"error": {"code": "TooManyRequests", "message": "Please retry again later."}}
    rule = {
        "front": "graph",
        "match": {"path": "/organization"},
        "times": 1,
        "do": {"status": 429, "headers": {"Retry-After": "7"}, "body": body},
    }
    assert sandbox.control("POST", "/faults", [rule]).status_code == 200

    async def work(client: GraphServiceClient) -> Any:
        return await client.organization.get()

    with pytest.raises(ODataError) as caught:
        with_sdk(sandbox, work)
    assert caught.value.response_status_code == 429
    assert {key.lower(): value for key, value in (caught.value.response_headers or {}).items()}["retry-after"] == "7"
    assert with_sdk(sandbox, work).value[0].display_name == "Contoso"


def test_a_fault_may_strike_one_item_of_a_batch(sandbox: Running, graph: httpx.Client) -> None:
    rule = {
        "front": "graph",
        "match": {"path": "/v1.0/domains"},
        "do": {"status": 429, "headers": {"Retry-After": "3"}},
    }
    assert sandbox.control("POST", "/faults", [rule]).status_code == 200
    items = [{"id": "1", "method": "GET", "url": "/domains"}, {"id": "2", "method": "GET", "url": "/organization"}]
    answers = {row["id"]: row for row in graph.post("/$batch", json={"requests": items}).json()["responses"]}
    assert (answers["1"]["status"], answers["2"]["status"]) == (429, 200)
    assert answers["1"]["headers"]["Retry-After"] == "3"
    entry = sandbox.control("GET", "/requests").json()[-1]
    assert (entry["write"], entry["parameters"]["2"]) == (False, "GET /organization")


def test_a_quota_answers_as_the_documented_sample(sandbox: Running, graph: httpx.Client) -> None:
    """Learn, "Microsoft Graph throttling guidance"; each item of a batch counts."""
    quotas = {"application": {"requests_per_minute": 1}, "services": ["graph"]}
    assert sandbox.control("POST", "/throttle", {"user": {}}).status_code == 400
    assert sandbox.control("POST", "/throttle", quotas).status_code == 204
    try:
        items = [{"id": str(n), "method": "GET", "url": "/organization"} for n in range(2)]
        batch = {row["id"]: row for row in graph.post("/$batch", json={"requests": items}).json()["responses"]}
        refused = graph.get("/organization")
    finally:
        assert sandbox.control("DELETE", "/throttle").status_code == 204
    assert (batch["0"]["status"], batch["1"]["status"]) == (200, 429)
    assert (refused.status_code, batch["1"]["headers"]["Retry-After"]) == (429, "60")
    assert 1 < int(refused.headers["Retry-After"]) <= 60
    error = refused.json()["error"]
    assert (error["code"], error["message"]) == ("TooManyRequests", "Please retry again later.")
    inner = error["innerError"]
    assert (inner["code"], inner["status"], inner["message"]) == ("429", "429", "Please retry after")
    assert sandbox.control("GET", "/requests").json()[-1]["throttled"] == "application requests_per_minute"
    assert graph.get("/organization").status_code == 200
