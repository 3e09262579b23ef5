"""The zones that are compared: ours, and where `../shared/cases` is, those of the field; and what surrounds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mail_dns.name_server import Zone
from tests.recordings import load, recordings

Records = dict[str, list[tuple[str, Any]]]


@dataclass(frozen=True, slots=True)
class Case:
    """One domain with the records of its zone."""

    id: str
    domain: str
    title: str
    records: Zone


# What the zones lead to and do not hold themselves: values of our own in the shapes of the services.
AROUND: Records = {
    "spf.protection.outlook.com": [
        (
            "TXT",
            "v=spf1 ip4:40.92.0.0/15 ip4:40.107.0.0/16 ip4:52.100.0.0/15 ip4:52.102.0.0/16 ip4:52.103.0.0/17 "
            "ip4:104.47.0.0/17 ip6:2a01:111:f400::/48 ip6:2a01:111:f403::/49 -all",
        )
    ],
    "spf.protection.office365.us": [("TXT", "v=spf1 ip4:23.103.191.0/24 -all")],
    "_spf.example.net": [("TXT", "v=spf1 ip4:192.0.2.0/28 -all")],
    "_a.bulk.example.net": [("TXT", "v=spf1 include:_a1.bulk.example.net include:_a2.bulk.example.net ~all")],
    "_b.bulk.example.net": [("TXT", "v=spf1 include:_b1.bulk.example.net include:_b2.bulk.example.net ~all")],
    "_c.bulk.example.net": [("TXT", "v=spf1 include:_c1.bulk.example.net include:_c2.bulk.example.net mx ~all")],
    **{
        f"_{letter}{number}.bulk.example.net": [("TXT", f"v=spf1 ip4:192.0.2.{16 * place} ~all")]
        for place, (letter, number) in enumerate((one, two) for one in "abc" for two in (1, 2))
    },
    "www.hosting.example.net": [("A", "192.0.2.80")],
    "rep-none.example.org": [("MX", (10, "mail.example.org"))],
    "rep-wild.example.org": [("MX", (10, "mail.example.org"))],
    "mail.example.org": [("A", "192.0.2.81")],
    "provider.example.org": [("MX", (10, "mail.example.org"))],
    "vali.example.net": [("A", "192.0.2.82")],
}


def cases() -> list[Case]:
    """Every recorded zone, of ours and of the field, in the order of their files."""
    return [*_of_field(), *_of_recordings()]


def served() -> Zone:
    """One zone with the records of all cases and what surrounds them."""
    found: Records = {name: list(records) for name, records in AROUND.items()}
    for case in cases():
        for name, records in case.records.items():
            found.setdefault(name, []).extend(records)
        found.setdefault(f"{case.domain}._report._dmarc.rep-wild.example.org", [("TXT", "v=DMARC1;")])
    for records in [*found.values()]:
        for kind, value in records:
            if kind == "MX" and value[1] not in ("", "."):
                found.setdefault(value[1].lower().removesuffix("."), [("A", "192.0.2.83")])
    return found


def _of_field() -> Iterator[Case]:
    for file in recordings("field/zones*.json"):
        path: Path = file.values[0]
        for entry in load(path):
            records = {name: list(_typed(of_name)) for name, of_name in entry["records"].items()}
            domain = entry["domain"]
            for name, kept in _GIVEN.get(entry["id"], {}).items():
                records.setdefault(name, []).extend(kept)
            yield Case(entry["id"], domain, entry["title"], records)


# Records that a zone of the field names and leaves out.
_GIVEN: Mapping[str, Records] = {
    "dns28": {
        "fs28-field.com._dmarc.provider.example.org": [
            ("TXT", "v=DMARC1; p=reject; rua=mailto:d@fs28-field.com"),
        ]
    },
    "dns-g18": {"g18-field.com": [("A", "192.0.2.84")]},
    "dns-g21": {
        "g21-field.com._nspf.vali.example.net": [("TXT", "v=spf1 include:spf.protection.outlook.com -all")],
    },
    "dns15": {"fs15-field.com": [("A", "192.0.2.85")]},
}


def _typed(of_name: Mapping[str, list[str]]) -> Iterator[tuple[str, Any]]:
    """`MX: ["0 mx.example.com."]` -> ("MX", (0, "mx.example.com.")). A quoted TXT value is in its strings."""
    for kind, values in of_name.items():
        for value in values:
            if kind == "MX":
                preference, _, host = value.partition(" ")
                yield kind, (int(preference), host)
            elif kind == "TXT" and value.startswith('"'):
                yield kind, _strings(value)
            else:
                yield kind, value


def _strings(text: str) -> list[str]:
    """The strings of a TXT record in the form of a zone file: `"a" "b"`, with `\\\\` for a backslash."""
    return [part.replace("\\\\", "\\") for part in text.strip('"').split('" "')]


def _of_recordings() -> Iterator[Case]:
    for file in recordings("dns/zones.json"):
        for number, entry in enumerate(load(file.values[0])):
            origin = entry["zone"]["origin"]
            records: Records = {}
            for record in entry["zone"]["records"]:
                name = origin if record["name"] == "@" else f"{record['name']}.{origin}"
                if name.startswith("*."):
                    continue  # its target was not kept
                value = record["value"].replace("…", "id=20260101T000000;")
                records.setdefault(name, []).extend(_typed({record["type"]: [value]}))
            yield Case(f"{file.id}-{number + 1}", origin, entry["title"], records)
