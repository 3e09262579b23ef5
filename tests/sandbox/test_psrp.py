"""Shells and pipelines of the management host, without HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from psrpcore.types import PSInvocationState

from provisioner.sandbox.faults import Faults
from provisioner.sandbox.management_host import ExchangeConnection
from provisioner.sandbox.psrp import JEA, Shells, _Output, _Shell
from provisioner.sandbox.tenant import Tenant


def test_a_pipeline_that_is_stopped_before_a_runspace_is_free_ends(tmp_path: Path) -> None:
    """Whoever waits for its output would wait for ever."""
    states: list[Any] = []
    pipeline = SimpleNamespace(state=PSInvocationState.NotStarted, _change_state=states.append)

    async def stopped() -> _Output:
        tenant = Tenant()
        shells = Shells(tenant, cast("Faults", None))
        shell = _Shell("S", "app", JEA, ExchangeConnection(tenant), free=asyncio.Semaphore(0))
        output = shell.commands["C"] = _Output()
        run = asyncio.create_task(shells._run(shell, cast("Any", pipeline), "C"))
        await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait({run})
        return output

    assert asyncio.run(stopped()).done
    assert states == [PSInvocationState.Stopped]
