"""The Publisher port: which provider writes to a zone, with what every one of them has in common.

The zone is read at its authoritative servers right before each write, whatever the provider: where the set is not as
the change found it, nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from provisioner.diagnostics import Refused
from provisioner.model import Answer, DnsUpdate, ZoneQuery
from provisioner.tenant.octodns_zones import OctoDns
from provisioner.tenant.ports import Resolver
from provisioner.tenant.rfc2136 import Rfc2136
from provisioner.tenant.zones import Place, Record, Zones, check_unchanged

if TYPE_CHECKING:
    from provisioner.settings import DnsProvider


class Writer(Protocol):
    """Writes to the zones of one kind of provider."""

    async def check(self, place: Place) -> None:
        """Raises InputError for settings that no write can come from. Sends nothing."""

    async def write(self, update: DnsUpdate, place: Place, found: Sequence[Record]) -> Sequence[str]:
        """Write values, where `found` stands at the owner name. The answer are warnings; raises TenantError."""


class ZonePublisher:
    """Publishes in the zones of a profile's providers. `spf_include` stands for Exchange in the profile's cloud."""

    def __init__(self, providers: Mapping[str, DnsProvider], resolver: Resolver, spf_include: str) -> None:
        self._zones, self._include = Zones(providers, resolver), spf_include
        self._writers: Mapping[str, Writer] = {"rfc2136": Rfc2136(), "octodns": OctoDns()}

    async def read(self, query: ZoneQuery) -> Answer:
        """The records at a name, and which of the zone's other servers do not have the same."""
        place = await self._zones.place(query.provider, query.name, query.type)
        there = await self._zones.standing(place)
        rows: list[Mapping[str, object]] = [
            {"zone": place.zone, "name": place.owner, "provider": place.named, "spf_include": self._include},
            *map(_row, there.records),
        ]
        if any(record.type == "CNAME" for record in there.records):
            rows.append({"leads_to": tuple(await self._zones.leads_to(place.owner))})
        if there.wildcard and query.type == "TXT":
            rows.extend({"wildcard": text} for text in await self._zones.texts(place.owner))
        differing = await self._zones.differing(place, query.type, there.records)
        return Answer((*rows, *({"server": server, "problem": words} for server, words in differing)))

    async def check(self, update: DnsUpdate) -> None:
        """Raises InputError where the provider of a record cannot write it, as its settings are."""
        place = await self._zones.place(update.provider, update.name, update.type)
        await self._writers[place.provider.kind].check(place)

    async def update(self, update: DnsUpdate) -> Answer:
        """One update, unless the set has changed since it was planned."""
        if update.pending:
            raise Refused("a value is not known yet: nothing was sent", str(update))
        place = await self._zones.place(update.provider, update.name, update.type)
        found = (await self._zones.standing(place)).records
        check_unchanged(update, place, ((record.type, record.value) for record in found))
        warnings = await self._writers[place.provider.kind].write(update, place, found)
        lame = [f"{server}: {words}" for server, words in await self._zones.lame(place)]
        return Answer(warnings=(*warnings, *lame))


def _row(record: Record) -> Mapping[str, object]:
    row: dict[str, object] = {"type": record.type, "value": record.value, "ttl_s": record.ttl_s}
    return row | ({"strings": record.strings} if record.strings else {})
