"""What a plan wants, expanded: the resources, waivers and devices of all its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.diagnostics import Location
from provisioner.model.addresses import Address
from provisioner.model.devices import Choice, Device, Site
from provisioner.model.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Declared:
    """One object that a section of a plan declares; `path` leads to it from the section (keys and list indexes)."""

    key: str
    spec: Any
    path: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """A declared object with the places of its key and of each written field.

    `devices` are the names of those that need it; where it was worked out for them, its place is that of the first.
    """

    address: Address
    spec: Any
    location: Location | None = None
    fields: Mapping[str, Location] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """A rule waived: `pattern` is matched against `type/key` (shell wildcards), `until` the last day (ISO), or None."""

    rule: str
    pattern: str = "*"
    until: str | None = None
    reason: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Desired:
    """The plan as it was read: everything that it declares, nothing about what exists.

    `resources` holds what devices take too, once `devices.expand` has worked it out, and `choices` how each device is
    to send. `set_aside` is what the plan declares outside the scope of the run: never changed, but never taken for
    undeclared either. `declared_only`: undeclared objects are not part of it, whatever mark they carry (a rollback,
    a rehearsal). `undoes` is the run that a rollback undoes; "" for everything else.
    `traffic` is observed mail that the plan is tried against; it is not written in the plan and changes nothing.
    """

    tenant: str
    owner: str
    resources: Mapping[Address, Resource]
    exclusive: frozenset[str] = frozenset()
    absent: Mapping[Address, Location | None] = field(default_factory=dict)
    protect: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    digest: str = ""
    files: tuple[str, ...] = ()
    sites: Mapping[str, Site] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    set_aside: Mapping[Address, Resource] = field(default_factory=dict)
    declared_only: bool = False
    undoes: str = ""
    traffic: tuple[Traffic, ...] = ()
