"""The advice of `explain` about the devices of a world: what it says about a decision, carried out."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner import engine, rules
from provisioner.devices import attempts
from provisioner.devices.attempts import signing_in
from provisioner.diagnostics import InputError
from provisioner.mailflow import Attempt, decide, naming
from provisioner.mailflow.attempt import Decision
from provisioner.mailflow.picture import after, of_observed
from provisioner.model import Desired, Observed
from provisioner.model.devices import DIRECT_SEND, HIGH_VOLUME_EMAIL, SIGNING_IN, SMTP_RELAY
from provisioner.operations.standing import CONNECTORS, advised, changes_of, part_for
from provisioner.resources import TYPES
from tests.advice.diagnosed import carry_out, loaded
from tests.advice.reading import Reading, ways
from tests.advice.told import Said, Told
from tests.advice.worlds import Reader, World

_APPLY = "the plan changes that: provisioner apply"


@dataclass(frozen=True, slots=True)
class Explained:
    """One decision on a device, now and once the plan is applied, with what is advised."""

    device: str
    attempt: Attempt
    now: Decision
    then: Decision
    part: Desired
    observed: Observed

    @property
    def hint(self) -> str:
        return advised(self.now, self.then, naming(self.observed, self.attempt).idle)


def explained(world: World, folder: Path, service: Reader) -> Iterator[Explained]:
    """What `explain device/NAME` decides about every device of a world."""
    try:
        desired = loaded({k: v for k, v in world.document.items() if k not in {"provisioner", "tenant"}}, folder)
    except InputError:
        return
    for name, choice in desired.choices.items():
        device, part = desired.devices[name], part_for(desired, name)
        at_mx = choice.method in {SMTP_RELAY, DIRECT_SEND}
        narrow = dataclasses.replace(part, owner="", exclusive=CONNECTORS if at_mx else frozenset(), absent={})
        if choice.method in SIGNING_IN:
            hve = choice.method == HIGH_VOLUME_EMAIL
            mailbox = device.account if hve else device.mailbox
            own = signing_in(device, choice.authentication)
            tried = [dataclasses.replace(own, sender="", mailbox=mailbox, hve=hve, external=False, recipients=1)]
        elif at_mx:
            tried = list(attempts(device, desired, choice))
        else:
            continue
        questions = rules.questions(part)
        observed = asyncio.run(engine.read(narrow, TYPES, service.ports, evidence=questions))
        picture = of_observed(observed, TYPES, (device.mailbox,) if device.mailbox else ())
        will = after(picture, changes_of(part, observed))
        for attempt in tried:
            now, then = (decide(p, attempt, observed.evidence) for p in (picture, will))
            yield Explained(name, attempt, now, then, part, observed)


def follow(world: World, folder: Path) -> int:
    """Carry out each advice about a refusal alone, and give their number. Raises AssertionError with what is wrong."""
    count, wrong = 0, []
    for number, told in enumerate(explained(world, folder, world.service())):
        if told.now.allowed is not False:
            continue
        count += 1
        problem = _applied(world, folder, number) if told.hint.startswith(_APPLY) else _done(told, world, folder)
        if problem:
            wrong.append(f"{world.name}, device/{told.device}: {told.now.sentence} ({told.hint}): {problem}")
    assert not wrong, "\n".join(wrong)
    return count


def _applied(world: World, folder: Path, number: int) -> str:
    """What is wrong with the advice to apply; "" for nothing."""
    service = world.service()
    told = list(explained(world, folder, service))[number]
    carry_out(told.part, told.observed, service)
    new = list(explained(world, folder, service))[number]
    left = told.hint.removeprefix(_APPLY).removeprefix("; then ")
    if told.now.reason in new.now.certain:
        return f"it is still refused: {new.now.sentence}"
    if bool(left) != (new.now.allowed is False):
        return f"then it is {'refused' if new.now.allowed is False else 'not refused'}: {new.now.sentence}"
    return "" if not left or new.hint == left else f"then something else is advised: {new.hint}"


def _done(told: Explained, world: World, folder: Path) -> str:
    """What is wrong with an advice of words; "" for nothing."""
    if not told.hint:
        return "nothing is advised"
    address = f"device/{told.device}"
    idle = " ".join(map(str, naming(told.observed, told.attempt).idle))
    finding = Told("EXPLAIN", address, f"{address} cannot send: {told.now.sentence} {idle}", told.hint, stops=False)
    for way in ways(Reading(finding, Said((finding,), told.observed), world)):
        if way.world is None:
            continue
        again = explained(way.world, folder, way.world.service())
        same = [e for e in again if e.device == told.device and told.now.reason in e.now.certain]
        if any(told.now.reason in e.then.certain for e in same) and not _lifted(told, way.world, folder):
            return f"{way.label}: it is refused as before, and after an apply too"
    return ""


def _lifted(told: Explained, world: World, folder: Path) -> bool:
    """Whether the whole plan lifts a refusal: what was written need not be of the device alone."""
    service = world.service()
    desired = loaded({k: v for k, v in world.document.items() if k not in {"provisioner", "tenant"}}, folder)
    observed = asyncio.run(engine.read(desired, TYPES, service.ports, unmanaged=True))
    carry_out(desired, observed, service)
    same = (e for e in explained(world, folder, service) if e.device == told.device)
    return not any(told.now.reason in e.now.certain for e in same)
