"""Sites and devices that are proposed: as text of the plan language, with what only a person can answer. Pure.

Nothing is invented: a field that is not known is not written, and a comment that begins with `# ?` asks for it. An
entry without which the plan language would not take (a device whose abilities nobody has written down) is commented out
until it is answered, so that what is proposed validates as it is. Lists that people keep are read in `device_lists`,
evidence of use in `senders`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from provisioner.devices import sections
from provisioner.model import Desired, yaml_text
from provisioner.model.checking import adapter_of
from provisioner.model.devices import NOT_SMTP_HERE
from provisioner.model.names import caseless
from provisioner.model.runner_commands import COMMAND
from provisioner.plan.header import LANGUAGE
from provisioner.plan.variables import literal
from provisioner.resources.canonical import sender_network

QUESTION = "# ? "
"""How a line begins that asks a person for something."""

_REQUIRED = {
    "from": "from: which address stands in From?",
    "recipients": "recipients: organization, or anyone? Does it mail addresses outside of the organization?",
    "supports.tls": 'supports.tls: the newest TLS that it supports, see its manual: none, "1.0", "1.1", "1.2" or "1.3"',
    "supports.authentication": "supports.authentication: how it can sign in, see its manual: basic, oauth or none",
}
"""The questions about a device that the plan language cannot do without, by the field that is missing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One proposed site or device. `body` holds what is known, in the plan's words.

    `networks` are addresses that are known to be a device's own.
    `notes` say where that is known from. `questions` are what a person should answer and the plan can do without,
    `blocking` those without whose answer the entry must not stand. `confirmed` are fields to add once they are
    answered: they are written as comments.
    """

    name: str
    body: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    blocking: tuple[str, ...] = ()
    confirmed: Mapping[str, Any] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Proposal:
    """`title` says what it was made from; `passed_over` what was left out, a sentence each.

    `not_proposed` are senders that were observed and are not devices, a sentence each: they stand in the file.
    """

    title: str
    sites: tuple[Entry, ...] = ()
    devices: tuple[Entry, ...] = ()
    passed_over: tuple[str, ...] = ()
    not_proposed: tuple[str, ...] = ()

    @property
    def incomplete(self) -> tuple[Entry, ...]:
        """The devices that are commented out until somebody answers."""
        return tuple(device for device in self.devices if unanswered(device))


def unanswered(device: Entry) -> list[str]:
    """The questions without whose answers the device cannot stand, most of them since the plan language needs them."""
    try:
        adapter_of(sections.DeviceBody).validate_python(dict(device.body))
    except ValidationError as error:
        paths = [".".join(map(str, e["loc"])) for e in error.errors(include_url=False) if e["type"] == "missing"]
    else:
        paths = []
    elsewhere = "via" in device.body or device.body.get("method") in NOT_SMTP_HERE
    if "supports" not in device.body and not elsewhere:
        paths += ["supports.tls", "supports.authentication"]
    return [*(_REQUIRED[path] for path in paths), *device.blocking]


def text(proposal: Proposal, *, tenant: str = "") -> str:
    """A file of a plan; with `tenant` it has the header that a plan of its own needs."""
    open_ = len(proposal.incomplete)
    lines = [f"# {proposal.title}", "# Nothing here is a guess: what is not known is not written."]
    lines.append("# A line that begins with '# ?' asks for something that only a person knows.")
    if open_:
        lines.append(f"# {open_:,} of {len(proposal.devices):,} devices are commented out: answer their questions, and")
        lines.append("# remove the '# ' in front of each of their lines.")
    if tenant:
        lines += yaml_text.write({"provisioner": LANGUAGE, "tenant": tenant}).splitlines()
    sites = [(site, site.blocking) for site in proposal.sites]
    lines += _section("sites", sites)
    if not tenant and all(missing for _, missing in sites) and open_ == len(proposal.devices):
        lines.append("allow: []")  # a file that declares nothing is a mistake
    lines += _section("devices", [(device, unanswered(device)) for device in proposal.devices])
    if proposal.not_proposed:
        lines += ["", "# Not proposed:", *(f"# - {sentence}" for sentence in proposal.not_proposed)]
    return "\n".join(map(_harmless, lines)) + "\n"


def _section(name: str, entries: Sequence[tuple[Entry, Sequence[str]]]) -> list[str]:
    if not entries:
        return []
    none_stands = all(missing for _, missing in entries)
    lines = ["", f"# {name}:" if none_stands else f"{name}:"]
    for entry, missing in entries:
        lines += (f"  {'# ' if missing else ''}{line}" for line in _entry(entry, missing))
    return lines


def _entry(entry: Entry, missing: Sequence[str]) -> Iterator[str]:
    """The lines of an entry, its comments below its name: there they stay with it when entries are sorted."""
    body = {name: entry.body[name] for name in sorted(entry.body, key=_place)}
    named, *fields = yaml_text.write(literal({entry.name: body})).splitlines()
    yield named
    for asked in (*missing, *entry.questions):
        yield f"  {QUESTION}{asked}"
    for note in entry.notes:
        yield f"  # {note}"
    yield from fields
    if entry.confirmed:
        yield from (f"  # {line}" for line in yaml_text.write(dict(entry.confirmed)).splitlines())


_ORDER = ("site", "egress_ip_addresses", "from", "mailbox", "recipients", "method", "via", "supports", "oauth")


def _place(name: str) -> tuple[int, str]:
    """What a reviewer looks for first stands first."""
    return (_ORDER.index(name), "") if name in _ORDER else (len(_ORDER), name)


def _harmless(line: str) -> str:
    """A line whose comment a CI runner would not obey, and that holds nothing that acts on a terminal."""
    if not line.lstrip().startswith("#"):
        return line  # the writer of YAML saw to it
    return COMMAND.sub("# #", "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))


def beside(proposal: Proposal, declared: Desired) -> Proposal:
    """The proposal without what a plan declares already, by name or From address; its sites are used by their names."""
    by_networks = {site.egress_ip_addresses: name for name, site in declared.sites.items()}
    renamed: dict[str, str] = {}
    for site in proposal.sites:
        networks = frozenset(sender_network(a) for a in site.body["egress_ip_addresses"])
        renamed[site.name] = by_networks.get(networks) or unused(site.name, (*declared.sites, *renamed.values()))
    taken = {caseless(name) for name in declared.devices}
    senders = {sender: device.name for device in declared.devices.values() for sender in device.addresses}
    told, devices = list(proposal.passed_over), []
    for device in proposal.devices:
        twin = next((senders[a] for a in addresses_of(device) if a in senders), None)
        if twin or caseless(device.name) in taken:
            told.append(f"{device.name}: the plan declares device/{twin or device.name} already")
        else:
            body, confirmed = (_at(fields, renamed) for fields in (device.body, device.confirmed))
            devices.append(dataclasses.replace(device, body=body, confirmed=confirmed))
    used = {f.get("site") for d in devices for f in (d.body, d.confirmed)} - declared.sites.keys()
    sites = [dataclasses.replace(s, name=renamed[s.name]) for s in proposal.sites if renamed[s.name] in used]
    return dataclasses.replace(proposal, sites=tuple(sites), devices=tuple(devices), passed_over=tuple(told))


def _at(fields: Mapping[str, Any], renamed: Mapping[str, str]) -> Mapping[str, Any]:
    site = str(fields.get("site", ""))
    return {**fields, "site": renamed[site]} if site in renamed else fields


def addresses_of(device: Entry) -> tuple[str, ...]:
    """The From addresses of a proposed device."""
    written = device.body.get("from", ())
    return (written,) if isinstance(written, str) else tuple(written)


def unused(name: str, taken: Iterable[str]) -> str:
    """A name, or the same with a number, that nothing has yet. Capitals count for nothing, as in a plan."""
    known = {caseless(other) for other in taken}
    candidates = (name if n == 1 else f"{name}-{n}" for n in range(1, len(known) + 2))
    return next(c for c in candidates if caseless(c) not in known)
