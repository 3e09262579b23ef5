"""Rows that lack columns which were asked for: what depends on them is unknown, and never another value or absent."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Collection
from pathlib import Path

from provisioner import engine
from provisioner.model import Absent, Address, Answer, Cmdlet, DnsQuery, GraphRequest, Observation, Observed, Unknown
from provisioner.resources import TYPES
from provisioner.tenant.exchange_answers import Reduced
from provisioner.tenant.ports import Ports
from tests.engine.lifecycle.port import Service
from tests.engine.lifecycle.scenes import KINDS, Scene, scene
from tests.generated import whole

_PLAIN_NAMES = {"Name", "DisplayName", "Identity", "Id"}
_ADDRESSES = {"EmailAddresses", "PrimarySmtpAddress", "WindowsLiveID", "UserPrincipalName", "WindowsEmailAddress"}
_BESIDE = {"more"}
"""That a transport rule has more than its columns say is true of rows that lack one: no guard takes it for less."""


class LeavingOut:
    """A tenant whose rows of one cmdlet lack some columns, reduced as the adapters reduce them."""

    transport = "rest"

    def __init__(self, service: Service, cmdlet: str = "", columns: Collection[str] = ()) -> None:
        self._service, self._cmdlet, self._columns = service, cmdlet, columns
        self.asked: dict[str, set[str]] = {}

    async def run(self, cmdlet: Cmdlet) -> Answer:
        self.asked.setdefault(cmdlet.name, set()).update(cmdlet.columns)
        answer, gone = self._service.told(cmdlet), self._columns if cmdlet.name == self._cmdlet else ()
        reduced = Reduced(cmdlet)
        reduced.take([{name: value for name, value in row.items() if name not in gone} for row in answer.rows])
        reduced.check()
        return dataclasses.replace(answer, rows=tuple(reduced.rows), passed=reduced.passed)

    async def send(self, request: GraphRequest) -> Answer:
        return self._service.told(request)

    async def query(self, query: DnsQuery) -> Answer:
        return self._service.told(query)


def read(around: Scene, tenant: LeavingOut) -> Observed:
    ports = Ports(tenant, tenant, tenant)  # type: ignore[arg-type]
    return asyncio.run(engine.read(around.desired, TYPES, ports))


def agrees(sound: Observation, now: Observation) -> bool:
    """Whether an observation is unknown, or the same but for values that it does not say."""
    if isinstance(now, Unknown):
        return True
    if isinstance(sound, Absent | Unknown) or isinstance(now, Absent):
        return sound == now
    values = (
        (getattr(sound.spec, f.name), getattr(now.spec, f.name))
        for f in dataclasses.fields(now.spec)
        if f.compare and f.name not in _BESIDE
    )
    return all(value is None or value == true for true, value in values)


def wrong(kind: str, folder: Path) -> list[tuple[Address, str, set[str]]]:
    """The objects of a scene that rows without some columns show as they are not, with the cmdlet and the columns."""
    around = scene(kind, 0, folder)
    whole_rows = LeavingOut(around.service())
    sound, found = read(around, whole_rows), []
    for cmdlet, columns in sorted(whole_rows.asked.items()):
        for gone in [*({name} for name in sorted(columns)), columns & _ADDRESSES, columns - _PLAIN_NAMES]:
            now = read(around, LeavingOut(around.service(), cmdlet, gone))
            found += [(a, cmdlet, gone) for a, o in sound.resources.items() if not agrees(o, now.resources[a])]
    return found


def test_what_rows_do_not_tell_is_unknown_and_never_absent(tmp_path: Path) -> None:
    kinds = sorted(KINDS)
    for kind in kinds if whole() else random.sample(kinds, 1):
        assert wrong(kind, tmp_path) == [], kind


def test_whoever_has_no_address_in_an_answer_has_not_lost_a_right(tmp_path: Path) -> None:
    """Its revocation would be told as already done."""
    around = scene("send_as delete", 0, tmp_path)
    now = read(around, LeavingOut(around.service(), "Get-Recipient", _ADDRESSES))
    rights = [o for a, o in now.resources.items() if a.type == "send_as"]
    assert rights
    assert all(isinstance(o, Unknown) and "lack EmailAddresses" in o.reason for o in rights)
