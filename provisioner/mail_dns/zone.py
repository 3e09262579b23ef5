"""Records as a zone file, as octoDNS YAML and as dnscontrol's JavaScript; every value is quoted for its form."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.mail_dns.exporting import ZoneExport
from provisioner.mail_dns.findings import DnsRecord
from provisioner.model import yaml_text

_PIECE_BYTES = 255  # the longest single string of a TXT record (RFC 1035, 3.3.14)


def zone_file(found: ZoneExport) -> str:
    """Master file format (RFC 1035, section 5), full names, TXT in strings of at most 255 bytes."""
    lines = [f"$ORIGIN {_label_text(found.zone)}."]
    lines += [f"; remove: {_line(record)}" for record in found.remove]
    lines += [_line(record) for record in found.publish]
    return "\n".join(lines) + "\n"


def octodns(found: ZoneExport) -> str:
    """What octoDNS's YAML provider reads. Semicolons of TXT values are escaped, as it asks for.

    A value stands for the whole set of its name and type: those that exist and stay are written too. The names that are
    not written are the zone's others: the text is merged into the file of the zone, and is not that file.
    """
    by_name: dict[str, dict[str, list[DnsRecord]]] = {}
    emptied: list[DnsRecord] = []
    for name, kind in sorted({(r.name, r.type) for r in (*found.publish, *found.remove)}):
        group = [r for r in found.publish if (r.name, r.type) == (name, kind)]
        ttl_s = group[0].ttl_s if group else 3600
        group += [DnsRecord(name, kind, value, ttl_s) for value in found.kept.get((name, kind), ())]
        if group:
            by_name.setdefault(_relative(found.zone, name), {})[kind] = sorted(group)
        else:
            emptied += [r for r in found.remove if (r.name, r.type) == (name, kind)]
    zone: dict[str, Any] = {}
    for name in sorted(by_name, key=_natural):
        records = [_octodns_record(kind, group) for kind, group in sorted(by_name[name].items())]
        zone[name] = records if len(records) > 1 else records[0]
    head = [f"Merge this into the file of {found.zone}. It is not the whole zone."]
    head += [f"Remove: {record}" for record in (*(r for r in found.remove if r not in emptied), *emptied)]
    comment = "".join(f"# {_one_line(line)}\n" for line in head)
    return comment + yaml_text.write(zone, quoted=True, start=True)


def dnscontrol(found: ZoneExport) -> str:
    """A D_EXTEND for dnsconfig.js: it adds to a domain that is declared elsewhere, and cannot remove."""
    head = "".join(f"// remove: {_one_line(_call(found.zone, record))}\n" for record in found.remove)
    calls = [f"  {_call(found.zone, record)}" for record in found.publish]
    return head + "D_EXTEND(" + ",\n".join([json.dumps(found.zone), *calls]) + "\n);\n"


def plain(found: ZoneExport) -> str:
    """JSON for a program of one's own: what to publish, what to remove, and the values that stay beside them."""
    document = {
        "zone": found.zone,
        "publish": [dataclasses.asdict(record) for record in found.publish],
        "remove": [dataclasses.asdict(record) for record in found.remove],
        "kept": [
            {"name": name, "type": kind, "values": list(values)}
            for (name, kind), values in found.kept.items()
            if values
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def _octodns_writes(text: str) -> bool:
    """Whether octoDNS writes a TXT value as it is: it takes a backslash for an escape, and refuses letters beyond ASCII
    ("chunked-value-rfc", octodns 1.22)."""
    return text.isascii() and not set(text) & set('"\\')


@dataclass(frozen=True, slots=True)
class Form:
    """One form. `several`: the texts of several zones can stand one after the other and still be told apart. `holds`:
    whether the program that reads it writes a TXT value as it is."""

    write: Callable[[ZoneExport], str]
    suffix: str
    several: bool = True
    holds: Callable[[str], bool] = lambda _: True

    def lost(self, found: ZoneExport) -> Iterator[tuple[str, str]]:
        """Name and value of each TXT record that stays, and that the program would write otherwise than it is."""
        for (name, kind), values in found.kept.items():
            yield from ((name, value) for value in values if kind == "TXT" and not self.holds(value))


FORMS: Mapping[str, Form] = {
    "zone": Form(zone_file, ".zone"),
    "octodns": Form(octodns, ".yaml", several=False, holds=_octodns_writes),
    "dnscontrol": Form(dnscontrol, ".js"),
    "json": Form(plain, ".json", several=False),
}
"""The forms by the name that a command line takes."""


def _line(record: DnsRecord) -> str:
    return f"{_label_text(record.name)}. {record.ttl_s} IN {record.type} {_zone_value(record)}"


def _call(zone: str, record: DnsRecord) -> str:
    name = json.dumps(_relative(zone, record.name) or "@")
    if record.type == "MX":
        preference, _, host = record.value.partition(" ")
        arguments = f"{name}, {int(preference)}, {json.dumps(_dotted(host))}"
    elif record.type == "CNAME":
        arguments = f"{name}, {json.dumps(_dotted(record.value))}"
    else:
        arguments = f"{name}, {json.dumps(record.value)}"
    return f"{record.type}({arguments}, TTL({record.ttl_s}))"


def _one_line(text: str) -> str:
    """A text that cannot end the comment that it stands in."""
    return "".join(c if c.isprintable() else f"\\{ord(c):03d}" for c in text)


def _zone_value(record: DnsRecord) -> str:
    if record.type == "TXT":
        return " ".join(f'"{piece}"' for piece in _pieces(record.value))
    if record.type == "MX":
        preference, _, host = record.value.partition(" ")
        return f"{int(preference)} {_label_text(_dotted(host))}"
    return _label_text(_dotted(record.value))


def _pieces(text: str) -> list[str]:
    raw = text.encode()
    parts = [raw[i : i + _PIECE_BYTES] for i in range(0, len(raw), _PIECE_BYTES)] or [b""]
    return ["".join(_character(byte) for byte in part) for part in parts]


def _character(byte: int) -> str:
    if chr(byte) in '"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}"


def _label_text(name: str) -> str:
    """A name whose odd characters are escaped, so that none of them ends the field or the line."""
    return "".join(
        c if re.fullmatch(r"[A-Za-z0-9._*\-]", c) else "".join(f"\\{b:03d}" for b in c.encode()) for c in name
    )


def _octodns_record(kind: str, group: Sequence[DnsRecord]) -> dict[str, Any]:
    record: dict[str, Any] = {"ttl": group[0].ttl_s, "type": kind}
    if kind == "MX":
        pairs = [r.value.partition(" ") for r in group]
        return {**record, "values": [{"exchange": _dotted(h), "preference": int(p)} for p, _, h in pairs]}
    values = [r.value.replace(";", "\\;") if kind == "TXT" else _dotted(r.value) for r in group]
    return {**record, "value": values[0]} if len(values) == 1 else {**record, "values": values}


def _relative(domain: str, name: str) -> str:
    if name.lower() == domain.lower():
        return ""
    suffix = f".{domain.lower()}"
    if not name.lower().endswith(suffix):
        raise ValueError(f"{name} is not in the zone {domain}")
    return name[: -len(suffix)]


def _dotted(host: str) -> str:
    return "." if host in ("", ".") else f"{host.removesuffix('.')}."


def _natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """The order that octoDNS enforces: runs of digits count as numbers."""
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part)
