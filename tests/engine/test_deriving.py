"""The last check before a write: only the steps that a type derives for the object at the change's address are sent."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner.engine.deriving import derived, foreign
from provisioner.engine.events import FAILED, Result
from provisioner.engine.run import Run
from provisioner.engine.sending import Sender
from provisioner.model import Address, Answer, Change, Cmdlet, ResourceType, Secret, Send, Write, field_names
from provisioner.resources import TYPES
from provisioner.tenant.ports import Ports
from tests.changes.every_type import CHANGING, change_sets
from tests.clocks import TurnClock
from tests.generated import share

Case = tuple[ResourceType[Any], Change]


def cases() -> list[Case]:
    return [(kind, change) for kind, found in change_sets(seed=11) for change in found.pending]


def one_each() -> list[Case]:
    """One change of each type and action."""
    return list({(kind.name, change.action): (kind, change) for kind, change in cases()}.values())


def test_there_are_changes_of_every_type() -> None:
    assert {kind.name for kind, _ in cases()} == {kind.name for kind in CHANGING}


def test_every_step_of_every_type_is_its_own() -> None:
    for kind, change in (*one_each(), *share(cases())):
        assert derived(kind, change.observed, change.after) == change.steps
        assert [foreign(kind, change, n) for n in range(len(change.steps))] == [""] * len(change.steps)


def request(change: Change) -> Write:
    return next(s.request for s in change.steps if isinstance(s, Send))


def with_parameter(change: Change, name: str, value: Any, /, **update: Any) -> Send:
    """The write of a change with another parameter; an update of DNS with another part."""
    write = request(change)
    if isinstance(write, Cmdlet):
        return Send(dataclasses.replace(write, parameters={**write.parameters, name: value}))
    return Send(dataclasses.replace(write, **update))


def other_cmdlet(change: Change) -> Send:
    return Send(Cmdlet("Remove-Mailbox", {"Identity": change.address.key, "Confirm": False}))


def other_object(change: Change) -> Send:
    return with_parameter(change, "Identity", "others", name="others.example")


def more(change: Change) -> Send:
    return with_parameter(change, "Force", True, remove=("MS=ms1",))


def secret(change: Change) -> Send:
    stolen = Secret("file:/home/user/.ssh/id_rsa")
    return with_parameter(change, "Comment", stolen, type="NS")


def same_but_waiting(change: Change) -> Send:
    return Send(request(change), waits_on=("",))


FORGED: list[Callable[[Change], Send]] = [other_cmdlet, other_object, more, secret, same_but_waiting]


@pytest.mark.parametrize("forge", FORGED)
def test_no_other_step_is_sent(forge: Callable[[Change], Send]) -> None:
    for kind, change in one_each():
        is_not_sent(kind, change, forge)


def is_not_sent(kind: ResourceType[Any], change: Change, forge: Callable[[Change], Send]) -> None:
    for steps in ((forge(change),), (forge(change), *change.steps), (*change.steps, forge(change))):
        forged = dataclasses.replace(change, steps=steps)
        number = next(n for n, step in enumerate(steps) if step not in change.steps)
        assert "is not the step that" in foreign(kind, forged, number)
        if number == 0:
            asked, result = carried_out(forged)
            assert (asked, result.status) == ([], FAILED)
            assert result.detail.startswith("step 1 was not sent: it is not the step that")


def test_a_step_for_another_object_is_not_sent() -> None:
    """Also where it follows from an object: that is then another one than the address names."""
    for kind, change in one_each():
        key = field_names(kind.spec)[0]
        for side in ("observed", "after"):
            spec = getattr(change, side)
            if spec is not None:
                renamed: Any = {side: dataclasses.replace(spec, **{key: "others"})}
                assert foreign(kind, dataclasses.replace(change, **renamed), 0) == "it is a step for another object"
        if not isinstance(change.steps[0], Send):
            continue  # waiting for DNS asks no tenant
        asked, result = carried_out(dataclasses.replace(change, address=Address(kind.name, "others")))
        assert (asked, result.status) == ([], FAILED)


class Careless:
    """A type whose code is wrong: it writes what it does not read, or sends a secret that no object has."""

    def __init__(self, kind: ResourceType[Any], step: Send) -> None:
        self._kind, self._step = kind, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kind, name)

    def steps(self, _before: Any, _after: Any) -> tuple[Send, ...]:
        return (self._step,)


def test_a_type_writes_only_what_it_reads_and_knows_no_secret_of_others() -> None:
    for kind, change in one_each():
        for forge, reason in (
            (other_cmdlet, "writes only what it reads"),
            (secret, "a secret that the object does not"),
        ):
            step = forge(change)
            if not isinstance(step.request, Cmdlet):
                reason = "writes only what it reads"  # no update of DNS names a secret; this one is of an NS record
            careless: Any = Careless(kind, step)
            assert reason in foreign(careless, dataclasses.replace(change, steps=(step,)), 0)


# --- sending ---------------------------------------------------------------------------------------------------------


@dataclass
class Tenant:
    """An Exchange that takes everything; DNS is not asked."""

    asked: list[Cmdlet] = field(default_factory=list)
    transport = "rest"

    async def run(self, cmdlet: Cmdlet) -> Answer:
        self.asked.append(cmdlet)
        return Answer()


def carried_out(change: Change) -> tuple[list[Cmdlet], Result]:
    """What is sent of a change that nothing has checked before, and its result."""
    tenant: Any = Tenant()

    async def send() -> Result:
        ports, gate = Ports(tenant, tenant, tenant), asyncio.Semaphore(1)
        run = Run(TYPES, ports, 1, 1.0, 0.0, lambda _: None, asyncio.Event(), gate, TurnClock())
        async with run.gate:
            return await Sender(run, change).carry_out(range(len(change.steps)))

    return tenant.asked, asyncio.run(send())
