"""The Graph adapter with the SDK's client against a scripted server: what is an answer, and what each error means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import trustme
from azure.core.credentials import AccessToken

from provisioner.diagnostics import (
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
from provisioner.model import Answer, GraphRequest
from provisioner.tenant import limits
from provisioner.tenant.graph import open_directory
from provisioner.tenant.limiter import Limiter
from provisioner.tenant.network import Network
from provisioner.tenant.retry import Retry
from tests.clocks import FastClock
from tests.sandbox.serving import Served, served

USERS = GraphRequest("GET", "/users?$select=id,mail")
DEFAULTS = GraphRequest("GET", "/policies/identitySecurityDefaultsEnforcementPolicy")
WRITE = GraphRequest("POST", "/groups", {"displayName": "x"})
JSON = "application/json; charset=utf-8"
Reply = tuple[int, dict[str, str], bytes]


class Credential:
    """A credential whose token nobody checks."""

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("token", 2**40)

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Reading those of the platform takes 20 ms for each client, and nothing here is encrypted."""
    store = tmp_path_factory.mktemp("store") / "store.pem"
    trustme.CA().cert_pem.write_to_path(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(store))
        yield


def ask(
    server: Served, reply: Callable[[str], Reply], request: GraphRequest = USERS, timeout_s: float = 60.0
) -> tuple[Answer | TenantError, list[str]]:
    """The answer or the error, and the paths that were requested."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append(f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?"))
        status, headers, body = reply(seen[-1])
        raw = [(n.encode(), v.encode()) for n, v in {"content-length": str(len(body)), **headers}.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    async def work() -> Answer | TenantError:
        base = f"http://127.0.0.1:{server.port}"
        retry = Retry(clock=FastClock())
        credential: Any = Credential()
        resource = "https://graph.microsoft.com"
        async with open_directory(
            credential, base, resource, Network(), retry, lambda n: Limiter(n, 8), timeout_s
        ) as directory:
            try:
                return await directory.send(request)
            except TenantError as error:
                return error

    server.app = app
    return asyncio.run(work()), seen


def body(document: Any, status: int = 200, kind: str = JSON, **headers: str) -> Callable[[str], Reply]:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda _: (status, {**({"content-type": kind} if kind else {}), **headers}, content)


# --- successes -------------------------------------------------------------------------------------------------------


def test_an_empty_list_is_an_answer_without_rows(server: Served) -> None:
    answer, _ = ask(server, body({"@odata.context": "x", "value": []}))
    assert answer == Answer()


def test_an_entity_is_one_row(server: Served) -> None:
    answer, _ = ask(server, body({"id": "1", "isEnabled": False}), DEFAULTS)
    assert answer == Answer(({"id": "1", "isEnabled": False},))


ODD: list[Any] = [
    b"",
    {},
    {"value": None},
    {"value": {}},
    {"@odata.context": "x"},
    {"value": [{}]},
    {"value": [None]},
    {"value": [{"mail": "a@contoso.com"}]},
    [],
    b"null",
    b'{"value": [',
    b"<html></html>",
    b"[" * 100_000,
]


@pytest.mark.parametrize("request_", [USERS, DEFAULTS, GraphRequest("GET", "/domains")], ids=str)
@pytest.mark.parametrize("content", ODD, ids=lambda c: str(c)[:30])
def test_an_odd_success_is_malformed(server: Served, request_: GraphRequest, content: Any) -> None:
    answer, seen = ask(server, body(content), request_)
    assert isinstance(answer, Malformed), answer
    assert len(seen) == 1


ROLES = GraphRequest("GET", "/servicePrincipals", columns=frozenset({"appId", "appRoles", "displayName"}))


def test_an_application_without_the_roles_that_were_asked_for_is_malformed(server: Served) -> None:
    """A list of roles may be empty, and a name null and then left out."""
    row = {"id": "1", "appId": "2", "appRoles": []}
    assert ask(server, body({"value": [row]}), ROLES)[0] == Answer((row,))
    answer, _ = ask(server, body({"value": [{"id": "1", "appId": "2"}]}), ROLES)
    assert isinstance(answer, Malformed)
    assert "lacks appRoles" in str(answer)


def test_a_204_is_not_an_answer_to_a_read(server: Served) -> None:
    assert isinstance(ask(server, lambda _: (204, {}, b""))[0], Malformed)
    assert ask(server, lambda _: (204, {}, b""), WRITE)[0] == Answer()


def test_an_entity_is_not_the_answer_to_a_collection(server: Served) -> None:
    assert isinstance(ask(server, body({"id": "1", "mail": "a@contoso.com"}))[0], Malformed)


@pytest.mark.parametrize("path", ["/domains", "/organization?$select=id"])
def test_what_every_tenant_has_is_never_an_empty_list(server: Served, path: str) -> None:
    assert isinstance(ask(server, body({"value": []}), GraphRequest("GET", path))[0], Malformed)


@pytest.mark.parametrize("content", [b"<html></html>", b"[]", b"{"])
def test_an_odd_success_of_a_write_is_unclear(server: Served, content: bytes) -> None:
    answer, seen = ask(server, body(content), WRITE)
    assert isinstance(answer, Unclear), answer
    assert len(seen) == 1


# --- pages -----------------------------------------------------------------------------------------------------------


def pages(server: Served, link: Callable[[int], Any]) -> Callable[[str], Reply]:
    """Each page has one user, and the link that `link` gives for its number."""
    count = 0

    def reply(path: str) -> Reply:
        nonlocal count
        count += 1
        page = {"value": [{"id": str(count)}], "@odata.nextLink": link(count)}
        return body({k: v for k, v in page.items() if v is not None})(path)

    return reply


def address(server: Served, number: int | str) -> str:
    return f"http://127.0.0.1:{server.port}/v1.0/users?$skiptoken={number}"


def test_pages_are_followed_to_the_last(server: Served) -> None:
    answer, seen = ask(server, pages(server, lambda n: address(server, n) if n < 3 else None))
    assert isinstance(answer, Answer)
    assert [row["id"] for row in answer.rows] == ["1", "2", "3"]
    assert answer.requests == len(seen) == 3


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        (lambda s, n: f"http://127.0.0.1:{s.port}/v1.0/users?$select=id,mail", 1),
        (lambda s, n: address(s, "same"), 2),
        (lambda s, n: address(s, n % 3), 4),
        (lambda s, n: address(s, n), 50),
        (lambda s, n: {"href": address(s, n)}, 1),
        (lambda s, n: f"http://localhost:{s.port}/v1.0/users", 1),
        (lambda s, n: "https://graph.example/v1.0/users", 1),
    ],
    ids=["itself", "one page again", "cycle of three", "endless", "object", "other name", "other host"],
)
def test_a_list_that_has_no_end_is_malformed(
    server: Served, monkeypatch: pytest.MonkeyPatch, link: Callable[[Served, int], Any], asked: int
) -> None:
    monkeypatch.setattr(limits, "MOST_PAGES", 50)
    answer, seen = ask(server, pages(server, lambda n: link(server, n)))
    assert isinstance(answer, Malformed), answer
    assert len(seen) == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_names_the_host(server: Served, status: int) -> None:
    with served() as other:
        reached: list[str] = []

        async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
            reached.append(scope["path"])

        other.app = elsewhere
        target = f"http://127.0.0.1:{other.port}/v1.0/users"
        content = json.dumps({"value": [{"id": "1"}]}).encode()
        answer, seen = ask(server, lambda _: (status, {"location": target, "content-type": JSON}, content))
    assert isinstance(answer, Malformed)
    assert f"127.0.0.1:{other.port}" in answer.summary
    assert (len(seen), reached) == (1, [])


# --- errors ----------------------------------------------------------------------------------------------------------


def refusal(code: str, message: str = "Words of Graph.", inner: str = "innerError") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, inner: {"request-id": "df7cb1e0", "date": "2024-07-12"}}}


@pytest.mark.parametrize("inner", ["innerError", "innererror"])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Request_BadRequest", Refused),
        (401, "InvalidAuthenticationToken", SignInRefused),
        (403, "Authorization_RequestDenied", PermissionMissing),
        (403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", PermissionMissing),
        (403, "Directory_QuotaExceeded", Refused),
        (403, "Directory_ResourceSizeExceeded", Refused),
        (404, "Request_ResourceNotFound", NotFound),
        (409, "Conflict", Refused),
        (423, "locked", Refused),
        (429, "TooManyRequests", Throttled),
        (500, "generalException", Unclear),
        (502, "badGateway", Unclear),
        (503, "serviceNotAvailable", Unavailable),
        (504, "gatewayTimeout", Unavailable),
    ],
)
def test_an_error_keeps_code_message_and_request_id(
    server: Served, status: int, code: str, kind: type[TenantError], inner: str
) -> None:
    error, _ = ask(server, body(refusal(code, inner=inner), status))
    assert type(error) is kind
    assert isinstance(error, TenantError)
    assert error.summary.startswith("Words of Graph.")
    assert (error.service_type, error.status, error.request_id) == (code, status, "df7cb1e0")


def test_a_missing_permission_is_named(server: Served) -> None:
    error, _ = ask(server, body(refusal("Authorization_RequestDenied"), 403))
    assert isinstance(error, PermissionMissing)
    assert "User.Read.All" in error.hint


def test_a_missing_licence_is_not_taken_for_a_missing_permission(server: Served) -> None:
    error, _ = ask(server, body(refusal("Authentication_RequestFromNonPremiumTenantOrB2CTenant"), 403))
    assert isinstance(error, PermissionMissing)
    assert error.hint == "these rows need a licence of Entra ID P1 or P2 in the tenant"


def test_an_error_without_a_message_is_told_by_its_code(server: Served) -> None:
    error, _ = ask(server, body(refusal("UnknownError", ""), 500), WRITE)
    assert isinstance(error, Unclear)
    assert error.summary == "UnknownError without a message"


FOREIGN: list[tuple[Any, str]] = [
    (b"", ""),
    (b"<html></html>", "text/html"),
    (b"slow down", "text/plain"),
    (b"{", JSON),
    ({}, JSON),
    ([], JSON),
    ({"error": "text"}, JSON),
    ({"error": {"code": {}, "message": []}}, JSON),
    ({"error": {"code": "", "message": ""}}, JSON),
    ({"error": {"details": ["text"], "innerError": "text"}}, JSON),
]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("content", "kind"), FOREIGN, ids=lambda c: str(c)[:30])
def test_an_error_of_another_shape_is_never_a_crash_or_absence(
    server: Served, content: Any, kind: str, status: int
) -> None:
    error, _ = ask(server, body(content, status, kind))
    assert isinstance(error, TenantError)
    assert not isinstance(error, NotFound)
    assert error.status == status


def test_the_header_has_the_request_id_where_the_body_has_not(server: Served) -> None:
    error, _ = ask(server, body(b"", 400, "", **{"request-id": "from-header"}))
    assert isinstance(error, Malformed)
    assert error.request_id == "from-header"


def test_an_error_of_a_write_is_sent_once(server: Served) -> None:
    error, seen = ask(server, body(refusal("generalException"), 500), WRITE)
    assert isinstance(error, Unclear)
    assert len(seen) == 1
