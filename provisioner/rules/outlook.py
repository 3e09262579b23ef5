"""The tenant as it is and as the changes leave it, for rules that compare what happens to mail in the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.mailflow import picture as pictures
from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.mailflow.deciding import decide
from provisioner.model import Action, Address, Change, Desired, Observed, ResourceType
from provisioner.model.picture import Picture


@dataclass(frozen=True, slots=True)
class Outlook:
    """The tenant as it is and as it will be, the changes in between, and how to make any part of them."""

    desired: Desired
    observed: Observed
    pending: Mapping[Address, Change]
    types: Sequence[ResourceType[Any]]
    before: Picture
    after: Picture

    def all_but(self, address: Address) -> Picture:
        """The tenant with every change made but one."""
        return pictures.after(self.before, (c for a, c in self.pending.items() if a != address), self.types)

    def decided(self, picture: Picture, attempt: Attempt) -> Decision:
        """The decision about an attempt, with what was read besides the objects."""
        return decide(picture, attempt, self.observed.evidence)


def outlook_of(
    desired: Desired,
    observed: Observed,
    changes: Iterable[Change],
    types: Sequence[ResourceType[Any]],
    mailboxes: Iterable[str],
) -> Outlook:
    """Both pictures with these mailboxes in them, whether or not the plan declares them; "" is none."""
    pending = {c.address: c for c in changes if c.action is not Action.NO_OP}
    before = pictures.of_observed(observed, types, sorted({*mailboxes} - {""}))
    return Outlook(desired, observed, pending, types, before, pictures.after(before, pending.values(), types))
