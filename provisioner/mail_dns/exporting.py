"""Findings about several domains -> what is to be published and removed in each zone. Pure.

Each value of one name and purpose is exported once: two SPF or two DMARC records count as none (RFC 7208, 4.5; RFC
9989, 4.10). Records of other people's zones are told apart: nobody can publish them but their owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.mail_dns.check import DomainReport
from provisioner.mail_dns.dialogue import Dialogue, Status
from provisioner.mail_dns.findings import DnsFinding, DnsRecord
from provisioner.model import DnsQuery


@dataclass(frozen=True, slots=True)
class ZoneExport:
    """What to change in one zone. `kept` are the values that stay beside those that change, by name and type."""

    zone: str
    publish: tuple[DnsRecord, ...]
    remove: tuple[DnsRecord, ...] = ()
    kept: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exported:
    """The exports by zone, and the records that only the owner of another zone can publish, by domain concerned.

    `unanswered` are the findings about questions that failed: what depends on them is not in the exports.
    """

    zones: tuple[ZoneExport, ...]
    foreign: tuple[tuple[str, DnsRecord], ...] = ()
    unanswered: tuple[DnsFinding, ...] = ()


def zone_of(name: str) -> Dialogue[str]:
    """The zone that a name is in, by the SOA records above it (RFC 1034, 4.2.1); "" where DNS does not show it."""
    labels = name.split(".")
    for number in range(len(labels) - 1):
        candidate = ".".join(labels[number:])
        question = DnsQuery(candidate, "SOA")
        answer = (yield (question,))[question]
        if answer.status is Status.ROWS:
            return candidate
        if answer.failed:
            return ""
    return ""


def names_of(reports: Iterable[DomainReport]) -> Sequence[str]:
    """The names of all records that the findings mention, and the domains themselves."""
    records = (r for report in reports for f in report.findings for r in (*f.publish, *f.remove))
    return sorted({*(r.name for r in records), *(report.domain for report in reports)})


def export(reports: Sequence[DomainReport], zones: Mapping[str, str]) -> Exported:
    """What to change in each zone. `zones` has the zone of each of `names_of`, "" for one that is not known."""
    domains = [report.domain for report in reports]
    ours = {zones.get(domain) or domain for domain in domains}
    # A part of a domain of the plan may be delegated: `_domainkey.contoso.com` is a zone of its own, and ours too.
    ours |= {zone for zone in zones.values() if zone and any(zone.endswith(f".{domain}") for domain in domains)}
    published: dict[tuple[str, str], tuple[str, ...]] = {}
    wanted: dict[tuple[str, str, str], DnsRecord] = {}
    removed: dict[DnsRecord, None] = {}
    foreign: dict[DnsRecord, str] = {}
    for report in reports:
        published.update(report.published)
        for finding in report.findings:
            for record in finding.publish:
                if _zone(record.name, domains, zones) not in ours:
                    foreign.setdefault(record, report.domain)
                else:
                    wanted.setdefault((record.name, record.type, purpose(record)), record)
            removed.update((r, None) for r in finding.remove if _zone(r.name, domains, zones) in ours)
    publish = list(wanted.values())
    kept = _kept(published, publish, removed)
    found = sorted({_zone(r.name, domains, zones) for r in (*publish, *removed)})
    return Exported(
        tuple(_of_zone(zone, domains, zones, publish, removed, kept) for zone in found),
        tuple((domain, record) for record, domain in foreign.items()),
        tuple(f for report in reports for f in report.findings if f.id.endswith("-UNANSWERED")),
    )


def purpose(record: DnsRecord) -> str:
    """What of several records at one name and type there may be one of: the version of a TXT record, else the value."""
    if record.type == "CNAME":
        return ""
    first = record.value.partition(" ")[0].partition(";")[0].lower()
    return first if record.type == "TXT" and first.startswith("v=") else record.value


def _of_zone(
    zone: str,
    domains: Sequence[str],
    zones: Mapping[str, str],
    publish: Sequence[DnsRecord],
    removed: Iterable[DnsRecord],
    kept: Mapping[tuple[str, str], tuple[str, ...]],
) -> ZoneExport:
    here = [r for r in publish if _zone(r.name, domains, zones) == zone]
    gone = [r for r in removed if _zone(r.name, domains, zones) == zone and not _stays(r, publish)]
    places = {(r.name, r.type) for r in (*here, *gone)}
    return ZoneExport(
        zone,
        tuple(sorted(here)),
        tuple(sorted(gone)),
        {place: kept[place] for place in sorted(places) if place in kept},
    )


def _stays(record: DnsRecord, publish: Iterable[DnsRecord]) -> bool:
    return any((r.name, r.type, r.value) == (record.name, record.type, record.value) for r in publish)


def _kept(
    published: Mapping[tuple[str, str], tuple[str, ...]], publish: Iterable[DnsRecord], removed: Iterable[DnsRecord]
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The values that stay as they are at each name and type."""
    ours = {(r.name, r.type, r.value) for r in (*publish, *removed)}
    return {
        (name, kind): tuple(v for v in values if (name, kind, v) not in ours)
        for (name, kind), values in published.items()
    }


def _zone(name: str, domains: Sequence[str], zones: Mapping[str, str]) -> str:
    """The zone of a name, by DNS, or by the longest domain of the plan that it is below."""
    if zones.get(name):
        return zones[name]
    above = [d for d in domains if name == d or name.endswith(f".{d}")]
    nearest = max(above, key=len, default="")
    return (zones.get(nearest) or nearest) if nearest else name
