"""What a plan says on a tenant, and whether an advice does what it says when it is followed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from provisioner import engine
from provisioner.changes import planning
from provisioner.diagnostics import Diagnostic, InputError, Severity
from provisioner.model import Address, Finding, Observed
from provisioner.model.clouds import CLOUDS
from provisioner.operations.mail_records import Asked, device_records, of_tenant, signing_records
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.rules import parse_allow
from tests.advice.reading import Reading, ways
from tests.advice.told import Said, Told
from tests.advice.worlds import World

TODAY = dt.date(2026, 11, 23)


def said(world: World, folder: Path) -> Said:
    """Load the plan, read the tenant, ask DNS, plan."""
    path = folder / "plan.yaml"
    path.write_text(json.dumps(world.document))
    waivers = [parse_allow(option) for option in world.waivers]
    try:
        desired, warnings = document.load(path, TYPES, today=TODAY, waivers=waivers)
    except InputError as error:
        return Said(tuple(map(_mistake, error.diagnostics)))
    service = world.service()

    async def read() -> tuple[Observed, list[Finding]]:
        observed = await engine.read(desired, TYPES, service.ports, unmanaged=True)
        asked = Asked(service, service.clock)
        records = await device_records(asked, desired, CLOUDS["worldwide"])
        return observed, [*of_tenant(records, observed), *await signing_records(asked, desired, observed)]

    observed, records = asyncio.run(read())
    found = planning.plan(desired, observed, TYPES, waivers=waivers, told=records)
    told = [
        Told(f.rule, _about(f.address, f.summary), f.summary, f.hint, stops=bool(f.blocks))
        for f in found.findings
        if not f.waived
    ]
    unread = [*found.unknown.items(), *found.unlisted.items()]
    told += [Told("UNREAD", str(what), why.reason, "", stops=True) for what, why in unread]
    return Said((*map(_mistake, warnings), *told), observed)


def _mistake(found: Diagnostic) -> Told:
    about = _about(found.address, found.summary)
    return Told(found.id, about, found.summary, found.hint, found.severity is Severity.ERROR)


def _about(address: object, summary: str) -> str:
    return str(address) if address else summary.partition(" ")[0].rstrip(":,")


# --- what must be true of an advice ----------------------------------------------------------------------------------


class Wrong(AssertionError):
    """An advice that does not do what it says."""


@dataclass
class Count:
    """How many advices of a rule were followed, and how many only a person can follow."""

    followed: int = 0
    by_hand: int = 0


def follow_each(world: World, folder: Path, counts: dict[str, Count] | None = None) -> None:
    """Follow every way of every advice of a world alone. Raises Wrong, with all that is wrong."""
    before = said(world, folder)
    parts = [told for part in world.parts for told in said(part, folder).told]
    usual = {told.key for told in (*before.told, *parts)}
    wrong: list[str] = []
    for told in (t for t in before.told if t.hint):
        for way in ways(Reading(told, before, world)):
            count = (counts if counts is not None else {}).setdefault(told.rule, Count())
            if way.world is None:
                count.by_hand += 1
                continue
            count.followed += 1
            after = said(way.world, folder)
            again = _again(told, (*before.told, *parts), after)
            problem = (
                "it is told again" if again else _problem(told, usual, Reading(told, after, way.world), world, folder)
            )
            if problem:
                wrong.append(f"{told.rule} ({told.about}), {way.label}: {problem}; advice: {told.hint}")
    if wrong:
        raise Wrong(f"{world.name}:\n" + "\n".join(wrong))


def _again(told: Told, usual: Iterable[Told], after: Said) -> bool:
    """Whether a finding is still told. Its words may differ then; others of the same rule and place may remain.

    Of several reasons why a device cannot sign in one is told at a time: `usual` has what each part tells alone.
    """
    others = {t.summary for t in usual if t.key == told.key and t.summary != told.summary}
    return any(t.key == told.key and t.summary not in others for t in after.told)


def _problem(told: Told, usual: Collection[tuple[str, str]], reading: Reading, world: World, folder: Path) -> str:
    """What is wrong with one way to follow one advice; "" for nothing.

    `usual` is what the world and its parts tell anyway: a plan with a mistake tells nothing else.
    """
    after, done = reading.said, reading.world
    new = [t for t in after.told if t.key not in usual]
    stopping = [t for t in new if t.stops and t.rule not in told.hint and not _meant(t, world, done)]
    if stopping:
        behind = _behind(world, folder)
        stopping = [t for t in stopping if t.key not in behind]
    if stopping:
        return f"it raises what stops: {[t.summary for t in stopping]}"
    for one in (t for t in new if t.hint):
        back = ways(Reading(one, after, done))
        if back and all(way.world is not None and _same(way.world, world) for way in back):
            return f"the advice on what it raises leads back: {one.summary} ({one.hint})"
    return ""


def _meant(told: Told, before: World, after: World) -> bool:
    """Whether it is the guard on many deletions, and the advice was to take something out of the plan."""
    entries = ({(s, k) for s, of in world.plan.items() for k in of} for world in (before, after))
    return told.rule == "BLAST-RADIUS" and not next(entries) <= next(entries)


def _behind(world: World, folder: Path) -> Collection[tuple[str, str]]:
    """What is told without the entries that hold mistakes: a plan with a mistake tells nothing else of the tenant."""
    now = said(world, folder)
    while now.observed is None:
        for about in {t.about for t in now.told if t.stops}:
            world = Reading(now.told[0], now, world).without(Address.parse(about))
        now = said(world, folder)
    return {t.key for t in now.told}


def _same(one: World, other: World) -> bool:
    return (one.document, tuple(one.done), one.denied) == (other.document, tuple(other.done), other.denied)


def follow_all(world: World, folder: Path, choose: random.Random) -> int:
    """Follow advice after advice until none is left that a world can show, and give their number. Raises Wrong."""
    steps: list[str] = []
    for _ in range(_STEPS):
        now = said(world, folder)
        open_ = [(t, w) for t in now.told if t.hint for w in ways(Reading(t, now, world)) if w.world is not None]
        if not open_:
            return len(steps)
        told, way = choose.choice(open_)
        assert way.world is not None
        steps.append(f"{told.rule} ({told.about}): {way.label}")
        world = way.world
    raise Wrong(f"{world.name}: no end of advice:\n" + "\n".join(steps[-12:]))


_STEPS = 60
