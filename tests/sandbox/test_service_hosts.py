"""Which front stands in for which host of the service, by name or by path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from provisioner.sandbox.service_hosts import ByHost, certificate_names, front_of


@pytest.mark.parametrize(
    ("host", "port", "front"),
    [
        ("login.microsoftonline.com", 443, "https"),
        ("Graph.Microsoft.com.", 443, "https"),
        ("mta-sts.contoso.com", 443, "https"),
        ("smtp.office365.com", 587, "smtp_submission"),
        ("smtp.office365.com", 25, "smtp_submission"),
        ("smtp.hve.mx.microsoft", 587, "smtp_hve"),
        ("contoso-com.mail.protection.outlook.com", 25, "smtp_mx"),
        ("contoso-com.o-v1.mx.microsoft", 25, "smtp_mx"),
        ("contoso-com.mail.protection.outlook.com", 587, None),
        ("graph.microsoft.com", 80, None),
        ("graph.microsoft.com.evil.example", 443, None),
        ("127.0.0.1", 443, None),
        ("example.com", 443, None),
    ],
)
def test_only_hosts_of_the_service_lead_to_the_sandbox(host: str, port: int, front: str | None) -> None:
    assert front_of(host, port) == front


@pytest.mark.parametrize(
    ("host", "path", "front"),
    [
        (b"graph.microsoft.com", "/v1.0/users", "graph"),
        (b"OUTLOOK.office365.com:443", "/adminapi/beta/x/InvokeCommand", "exchange"),
        (b"login.microsoftonline.com", "/x/oauth2/v2.0/token", "authority"),
        (b"mta-sts.contoso.com", "/.well-known/mta-sts.txt", "mta_sts"),
        (b"127.0.0.1:8443", "/AdminApi/beta/x/InvokeCommand", "exchange"),
        (b"127.0.0.1:8443", "/beta/users", "graph"),
        (b"sandbox.example", "/common/discovery/instance", "authority"),
        (b"", "/", "authority"),
    ],
)
def test_the_host_says_which_front_answers_and_else_the_path(host: bytes, path: str, front: str) -> None:
    asked: list[str] = []

    def named(name: str) -> Any:
        async def answer(*_: Any) -> None:
            asked.append(name)

        return answer

    app = ByHost({name: named(name) for name in ("graph", "exchange", "authority", "mta_sts")})
    scope = {"type": "http", "headers": [(b"host", host)] if host else [], "path": path}
    asyncio.run(app(scope, None, None))  # type: ignore[arg-type]
    assert asked == [front]


def test_the_certificate_has_the_names_of_the_service_and_of_the_tenant() -> None:
    names = certificate_names(["contoso-com.mail.protection.outlook.com", "contoso-com.o-v1.mx.microsoft"])
    assert {"graph.microsoft.com", "smtp.office365.com", "*.mail.protection.outlook.com"} < set(names)
    assert "contoso-com.o-v1.mx.microsoft" in names
    assert "contoso-com.mail.protection.outlook.com" not in names, "the wildcard has it"
