"""Records as a zone file, as octoDNS YAML and as dnscontrol's JavaScript; every value is quoted for its form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from provisioner.mail_dns.findings import DnsRecord
from provisioner.model import yaml_text

_PIECE_BYTES = 255  # the longest single string of a TXT record (RFC 1035, 3.3.14)


def zone_file(domain: str, records: Iterable[DnsRecord]) -> str:
    """Master file format (RFC 1035, section 5), full names, TXT in strings of at most 255 bytes."""
    lines = [f"$ORIGIN {_label_text(domain)}."]
    for record in sorted(set(records)):
        value = _zone_value(record)
        lines.append(f"{_label_text(record.name)}. {record.ttl_s} IN {record.type} {value}")
    return "\n".join(lines) + "\n"


def octodns(domain: str, records: Iterable[DnsRecord]) -> str:
    """One zone file of octoDNS's YAML provider. Semicolons of TXT values are escaped, as it asks for."""
    by_name: dict[str, dict[str, list[DnsRecord]]] = {}
    for record in sorted(set(records)):
        by_name.setdefault(_relative(domain, record.name), {}).setdefault(record.type, []).append(record)
    zone: dict[str, Any] = {}
    for name in sorted(by_name, key=_natural):
        found = [_octodns_record(kind, group) for kind, group in sorted(by_name[name].items())]
        zone[name] = found if len(found) > 1 else found[0]
    return yaml_text.write(zone, quoted=True, start=True)


def dnscontrol(domain: str, records: Iterable[DnsRecord]) -> str:
    """A D_EXTEND for dnsconfig.js: it adds to a domain that is declared elsewhere."""
    calls = []
    for record in sorted(set(records)):
        name = json.dumps(_relative(domain, record.name) or "@")
        if record.type == "MX":
            preference, _, host = record.value.partition(" ")
            arguments = f"{name}, {int(preference)}, {json.dumps(_dotted(host))}"
        elif record.type == "CNAME":
            arguments = f"{name}, {json.dumps(_dotted(record.value))}"
        else:
            arguments = f"{name}, {json.dumps(record.value)}"
        calls.append(f"  {record.type}({arguments}, TTL({record.ttl_s}))")
    return "D_EXTEND(" + ",\n".join([json.dumps(domain), *calls]) + "\n);\n"


FORMS: Mapping[str, Callable[[str, Sequence[DnsRecord]], str]] = {
    "zone": zone_file,
    "octodns": octodns,
    "dnscontrol": dnscontrol,
}
"""The forms by the name that a command line takes."""


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
