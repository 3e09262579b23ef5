"""The cheap clients in the suite, the others in scripts/test-long. `scripts/foreign-clients` prints what each did."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from provisioner.operations.sandboxes import client_environment
from tests.foreign import curl_client, mail_clients, node_clients, python_clients
from tests.foreign.tenant import APPLICATION, SEED, Missing, run
from tests.local_tenant import LocalTenant, sandbox

ROOT = Path(__file__).parents[2]
NODE = node_clients.clients(ROOT / "node_modules")
OTHERS = {**mail_clients.CLIENTS, **NODE}


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTenant]:
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "seed.json").write_text(json.dumps(SEED), encoding="utf-8")
    with sandbox(folder / "tenant", folder / "seed.json") as running:
        yield running


@pytest.fixture
def environment(tenant: LocalTenant, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    found = client_environment(tenant.endpoints, APPLICATION)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def tried(client: Callable[..., list[str]], environment: Mapping[str, str], folder: Path, tenant: LocalTenant) -> None:
    """Run a client; it must reach the sandbox, and ask it for nothing that it does not model."""
    before = tenant.seen()
    try:
        assert client(environment, folder)
    except Missing as missing:
        pytest.skip(str(missing))
    asked = tenant.control("GET", f"/requests?since={before}")
    assert asked
    assert [r for r in asked if r.get("not_modelled")] == []


@pytest.mark.parametrize("name", ["msal", "pypsrp", "curl"])
def test_clients_that_know_only_the_service_work(
    name: str, environment: Mapping[str, str], tmp_path: Path, tenant: LocalTenant
) -> None:
    clients = {**python_clients.CLIENTS, **curl_client.CLIENTS}
    tried(clients[name], environment, tmp_path, tenant)


@pytest.mark.long
@pytest.mark.parametrize("name", ["azure-identity", "msgraph-sdk"])
def test_libraries_that_read_the_environment_when_they_are_loaded_work(
    name: str, environment: Mapping[str, str], tmp_path: Path, tenant: LocalTenant
) -> None:
    def start(given: Mapping[str, str], folder: Path) -> list[str]:
        command = [sys.executable, "-m", "tests.foreign.python_clients", name]
        return run(command, {**given, "PYTHONPATH": str(ROOT)}, folder).splitlines()

    tried(start, environment, tmp_path, tenant)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_mail_programs_and_those_of_node_work(
    name: str, environment: Mapping[str, str], tmp_path: Path, tenant: LocalTenant
) -> None:
    tried(OTHERS[name], environment, tmp_path, tenant)
