"""The pytest plugin: a local tenant as the fixture `exchange_tenant` (docs/offline-tests.md).

pytest loads this module in every run of an environment that has the package, so it imports nothing but pytest. The
rest is loaded by the first test that asks for the fixture; the sandbox is a process of its own.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from provisioner import ProvisionerError, Sandbox

_MARKER = "exchange_tenant"
_INI = "exchange_tenant_seed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The tenant of tests without a marker is an ini option."""
    parser.addini(_INI, "seeds of the fixture exchange_tenant, for tests without the marker", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for `--strict-markers`."""
    line = f"{_MARKER}(*seeds): what the tenant holds: files, relative to the test's, or mappings in the form of a seed"
    config.addinivalue_line("markers", line)


@pytest.fixture(scope="session")
def _exchange_sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[tuple[str, ...]], Sandbox]]:
    """The session's sandboxes by their seeds: one is started when a test first wants those seeds, and kept."""
    running: dict[tuple[str, ...], Sandbox] = {}
    with contextlib.ExitStack() as stack:

        def running_on(seeds: tuple[str, ...]) -> Sandbox:
            from provisioner import open_sandbox

            if seeds not in running:
                folder = tmp_path_factory.mktemp("exchange-tenant")
                files = [_file(seed, folder / f"seed-{number}.json") for number, seed in enumerate(seeds)]
                running[seeds] = stack.enter_context(open_sandbox(*files, state=folder / "tenant"))
            return running[seeds]

        yield running_on


def _file(seed: str, place: Path) -> Path:
    """The file of a seed: the one that it names, or one with the mapping that it holds."""
    if not seed.startswith("{"):
        return Path(seed)
    place.write_text(seed, encoding="utf-8")
    return place


@pytest.fixture
def exchange_tenant(
    request: pytest.FixtureRequest, _exchange_sandboxes: Callable[[tuple[str, ...]], Sandbox]
) -> Sandbox:
    """A local Microsoft 365 tenant, as it was at its start, and without requests and mail of earlier tests."""
    from provisioner import ProvisionerError

    try:
        tenant = _exchange_sandboxes(seeds_of(request))
        tenant.reset()
    except ProvisionerError as error:
        reasons = _reasons(error)
    else:
        return tenant
    pytest.fail("\n".join(["exchange_tenant cannot be opened", *reasons]), pytrace=False)


def _reasons(error: ProvisionerError) -> list[str]:
    """A line for each diagnostic, with its hint."""
    return [
        f"error[{found.id}]: {found.summary}" + (f" ({found.hint})" if found.hint else "")
        for found in error.diagnostics
    ]


@pytest.fixture
def exchange_environment(exchange_tenant: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """`exchange_tenant.environment()`, set for the test and for the programs that it starts."""
    found = exchange_tenant.environment()
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def seeds_of(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The seeds of a test: those of its closest marker, else those of the ini option. Mappings as JSON."""
    marker = request.node.get_closest_marker(_MARKER)
    if marker is None:
        return tuple(str(path) for path in request.config.getini(_INI))
    return tuple(_seed(seed, request.path.parent) for seed in marker.args)


def _seed(seed: Any, folder: Path) -> str:
    if isinstance(seed, Mapping):
        return json.dumps({"sandbox": 1, **seed}, sort_keys=True)
    return str(folder / seed)
