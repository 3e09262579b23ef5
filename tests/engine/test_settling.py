"""The values of a change that another object names, from answers of any form."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from provisioner.diagnostics import TenantError, Unavailable
from provisioner.engine import settling
from provisioner.engine.events import FAILED, Result
from provisioner.engine.run import Run
from provisioner.model import Action, Address, Answer, Change, Cmdlet, Query

ADDRESS = Address("dns_record", "contoso.com/dkim-selector1")


@pytest.mark.parametrize("answer", [Answer(({},)), Unavailable("not now", "Get-DkimSigningConfig")])
def test_a_value_that_cannot_be_read_is_an_error_of_its_change(
    answer: Answer | TenantError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolved(after: object, answers: object) -> None:
        raise ValueError("a row has no name")

    async def send(*_: object) -> Answer:
        if isinstance(answer, TenantError):
            raise answer
        return answer

    kind: Any = SimpleNamespace(
        pending=lambda _: (Query(Cmdlet("Get-DkimSigningConfig"), frozenset()),), resolved=resolved
    )
    run = cast("Run", SimpleNamespace(kind=lambda _: kind, ports=None))
    monkeypatch.setattr(settling, "send", send)
    change = Change(ADDRESS, Action.CREATE, None, object())
    found = asyncio.run(settling.settled(run, change))
    assert isinstance(found, Result)
    assert (found.status, found.detail.startswith("its value could not be read: ")) == (FAILED, True)
