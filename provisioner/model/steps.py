"""The steps that carry a change out: what is sent, awaited, confirmed and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.model.requests import Cmdlet, Parameter, Ref, Write


@dataclass(frozen=True, slots=True)
class Send:
    """Send one cmdlet, or one update of DNS. Nothing is written through Microsoft Graph: no step can say it.

    `waits_on`: fragments of a refusal's text that mean "not yet", so that the change is waiting and not failed.
    `blocked_on`: fragments of a warning that mean "carried out, but it will not take effect by itself".
    """

    request: Write
    waits_on: tuple[str, ...] = ()
    blocked_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A DNS record that must be there: compared without case and trailing dot."""

    name: str
    type: str
    value: str | Ref


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until all of these records are published; the run ends "waiting" where they are not."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class ReadBack:
    """How an administrator sees that an object is in force: a Get of this one object, and what its columns then have.

    A list has at least these entries.
    """

    request: Cmdlet
    shows: Mapping[str, Parameter]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Read the object back until it shows these values and is in force.

    `shows` is the object with what the steps before have opened. The steps after it close: they are sent as a closing
    change is, or not at all.
    """

    shows: Any
    read_back: ReadBack | None = None


Step = Send | Await | Confirm
