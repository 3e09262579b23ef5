"""A sandbox in a process of its own, as users run it, and a tenant of our own writing for it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from tests.forked import Forked
from tests.local_tenant import LocalTenant, endpoints_of
from tests.sandbox.mailing import load, mail_tenant

TENANT_ID = "8f1c2f5e-6a1b-4c53-9d0e-3f1a7b2c4d5e"
E5 = "06ebc4ee-1bb5-47dd-8120-11324bc54e06"
POLICY = "c1f1a5a0-0000-4000-8000-000000000001"
KIOSK = "80b2d799-d2ba-4d2a-8842-fb0d0f3a4b82"


@dataclass(frozen=True)
class Running:
    """A sandbox that answers: its process, its folder, what endpoints.json says."""

    process: subprocess.Popen[str] | Forked
    state: Path
    endpoints: dict[str, Any]

    @property
    def ca(self) -> str:
        return str(self.endpoints["ca"])

    @property
    def tenant_id(self) -> str:
        return str(self.endpoints["tenant_id"])

    def secret(self, app: str = "app") -> str:
        return Path(self.endpoints[app]["secret_file"]).read_text()

    @cached_property
    def _operator(self) -> httpx.Client:
        """Kept until `stop`: a client and its handshake cost more than most requests do."""
        token = Path(self.endpoints["control_token_file"]).read_text()
        return httpx.Client(verify=_context(self.ca), headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self._operator.request(method, self.endpoints["control"] + path, json=body)

    def http(self) -> httpx.Client:
        return httpx.Client(verify=_context(self.ca))

    def msal_options(self, tenant: str = "organizations") -> dict[str, Any]:
        """What a client of msal needs to ask this sandbox; REQUESTS_CA_BUNDLE of the machine would go before its CA."""
        session = requests.Session()
        session.verify, session.trust_env = self.ca, False
        authority = f"{self.endpoints['authority']}/{tenant}"
        return {"authority": authority, "instance_discovery": False, "http_client": session}

    def token(self, scope: str, app: str = "app") -> str:
        """An access token, fetched by hand with the app's secret."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.endpoints[app]["client_id"],
            "client_secret": self.secret(app),
            "scope": scope,
        }
        with self.http() as client:
            answer = client.post(f"{self.endpoints['authority']}/{self.tenant_id}/oauth2/v2.0/token", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if (kept := self.__dict__.pop("_operator", None)) is not None:
            kept.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(timeout=120)
        if isinstance(self.process, subprocess.Popen) and self.process.stderr is not None:
            self.process.stderr.close()
        return code


def _context(ca: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ca)


def start(state: Path, *arguments: str) -> Running:
    """Start a sandbox on `state` and wait until its endpoints stand there."""
    state.mkdir(parents=True, exist_ok=True)
    process = Forked(["serve", "--state", str(state), *arguments], state.with_name(f"{state.name}.log"))
    return Running(process, state, endpoints_of(process, state))


def start_program(state: Path, *arguments: str) -> Running:
    """The same by the program itself, as users start it."""
    command = [sys.executable, "-m", "provisioner.sandbox", "serve", "--state", str(state), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    return Running(process, state, endpoints_of(process, state))


def seed() -> dict[str, Any]:
    """A tenant with two domains, 250 users and two licences."""
    users = [
        {
            "id": f"00000000-0000-4000-8000-{number:012d}",
            "displayName": f"User {number:03d}",
            "userPrincipalName": f"user{number:03d}@contoso.com",
            "mail": f"User{number:03d}@contoso.com" if number % 10 else None,
            "accountEnabled": number % 5 != 0,
            "assignedLicenses": [{"skuId": E5 if number % 2 else KIOSK, "disabledPlans": []}] if number % 3 else [],
            "proxyAddresses": [f"SMTP:user{number:03d}@contoso.com"],
            "usageLocation": "DE",
        }
        for number in range(250)
    ]
    records = [
        {"id": "r1", "isOptional": False, "label": "contoso.com", "recordType": "Mx", "supportedService": "Email",
         "ttl": 3600, "mailExchange": "contoso-com.mail.protection.outlook.com", "preference": 0,
         "@odata.type": "#microsoft.graph.domainDnsMxRecord"},
        {"id": "r2", "isOptional": False, "label": "contoso.com", "recordType": "Txt", "supportedService": "Email",
         "ttl": 3600, "text": "v=spf1 include:spf.protection.outlook.com -all",
         "@odata.type": "microsoft.graph.domainDnsTxtRecord"},
        {"id": "r3", "isOptional": False, "label": "autodiscover.contoso.com", "recordType": "CName",
         "supportedService": "Email", "ttl": 3600, "canonicalName": "autodiscover.outlook.com"},
    ]  # fmt: skip
    return {
        "sandbox": 1,
        "tenant": {"id": TENANT_ID, "initial_domain": "contoso.onmicrosoft.com", "display_name": "Contoso"},
        "graph": {
            "users": users,
            "domains": [
                {"id": "contoso.onmicrosoft.com", "isInitial": True, "isDefault": False, "isVerified": True,
                 "authenticationType": "Managed", "supportedServices": ["Email"], "serviceConfigurationRecords": []},
                {"id": "contoso.com", "isInitial": False, "isDefault": True, "isVerified": True,
                 "authenticationType": "Managed", "supportedServices": ["Email"],
                 "serviceConfigurationRecords": records},
            ],
            "organization": [{"id": TENANT_ID, "displayName": "Contoso", "verifiedDomains": []}],
            "subscribedSkus": [
                {"id": f"{TENANT_ID}_{E5}", "skuId": E5, "skuPartNumber": "SPE_E5", "capabilityStatus": "Enabled",
                 "consumedUnits": 20, "prepaidUnits": {"enabled": 100, "suspended": 0, "warning": 0},
                 "servicePlans": [{"servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
                                   "servicePlanName": "EXCHANGE_S_ENTERPRISE", "provisioningStatus": "Success",
                                   "appliesTo": "User"}]},
            ],
            "conditionalAccessPolicies": [
                {"id": POLICY, "displayName": "Block legacy authentication", "state": "enabled",
                 "conditions": {"clientAppTypes": ["other"], "users": {"includeUsers": ["All"]},
                                "applications": {"includeApplications": ["All"]}},
                 "grantControls": {"operator": "OR", "builtInControls": ["block"]}},
            ],
            "securityDefaults": {"isEnabled": True},
        },
        "dns": {
            "contoso.com": {
                "MX": ["0 contoso-com.mail.protection.outlook.com"],
                "TXT": ["v=spf1 include:spf.protection.outlook.com -all", "x" * 1500],
            },
        },
    }  # fmt: skip


def written(content: dict[str, Any], folder: Path) -> Path:
    """A seed as a file."""
    path = folder / "contoso.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="session")
def seed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(seed(), tmp_path_factory.mktemp("seed"))


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, seed_file: Path) -> Iterator[Running]:
    """One sandbox for a module, with its own `seed_file` if it has one.

    What a test changes is put back after it (`as_started`).
    """
    state = tmp_path_factory.mktemp("sandbox")
    running = start(state, "--seed", str(seed_file))
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def as_started(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test on the module's sandbox begins with the tenant of the seed."""
    running = request.getfixturevalue("sandbox") if "sandbox" in request.fixturenames else None
    yield
    if running is not None:
        running.control("POST", "/reset")


@pytest.fixture
def start_sandbox() -> Iterator[Callable[..., Running]]:
    """Start sandboxes of a test's own; all are ended after it."""
    started: list[Running] = []

    def begin(state: Path, *arguments: str) -> Running:
        started.append(start(state, *arguments))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


@pytest.fixture(scope="module")
def mail_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    """One sandbox for the mail tests of a module, on the seed of mailing.py."""
    with mail_tenant(tmp_path_factory.mktemp("smtp")) as found:
        yield found


@pytest.fixture
def tenant(mail_sandbox: LocalTenant) -> Iterator[LocalTenant]:
    """With SMTP AUTH on for erp, and everything else as a tenant has it."""
    mail_sandbox.control("DELETE", "/mail")
    mail_sandbox.cmdlet("Set-CASMailbox", Identity="erp@contoso.com", SmtpClientAuthenticationDisabled=False)
    yield mail_sandbox
    load(mail_sandbox, graph={"securityDefaults": {"isEnabled": False}})
    mail_sandbox.cmdlet("Set-OrganizationConfig", RejectDirectSend=False)
