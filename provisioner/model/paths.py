"""One sending path of a change set: who may hand mail to the tenant, by which object, and what the changes do to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class SendingPath:
    """A sender and the object `through` which it sends, by its address ("" where it was not read).

    `kind`, `ways` and `recipients` are the words of mailflow/paths.py. `state` is kept, opens, closes, or missing: of
    a device (kind "device") that has no path once the changes are made. `gains` and `loses` are of the sender: whether
    it has a way afterwards that nothing gave it before, or the other way round. `held_back`: the path closes last, and
    only when what opens is in force. `devices` of the plan use it. `count` is how many mailboxes inherit, None where
    that is not known.
    """

    kind: str
    sender: str
    through: str
    ways: tuple[str, ...]
    recipients: str
    state: str
    gains: bool = False
    loses: bool = False
    held_back: bool = False
    devices: tuple[str, ...] = ()
    count: int | None = None
