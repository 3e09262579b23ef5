"""What a comparison gives: changes, findings, drift, what is not managed; together a change set."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.diagnostics import Location, Severity
from provisioner.model import consequence
from provisioner.model.addresses import Address
from provisioner.model.desired import Desired, Waiver
from provisioner.model.observations import Observed, Unknown
from provisioner.model.paths import SendingPath
from provisioner.model.steps import ReadBack, Step


class Action(enum.StrEnum):
    """What happens to a resource, in the words of Terraform's plan JSON."""

    NO_OP = "no-op"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says about the plan or the change set.

    `blocks`: "input" (the plan is wrong, exit 3), "precondition" (the tenant is not as the plan takes for granted, exit
    6), "apply" (a guard: shown by plan, refused by apply until allowed by name, exit 6) or "" (only shown). `known`: it
    follows from the plan alone, which `validate` and `lint` report too, and is about nothing that changes.
    """

    rule: str
    severity: Severity
    summary: str
    hint: str = ""
    address: Address | None = None
    blocks: str = ""
    waived: str = ""
    location: Location | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A precondition and how it stands: what the plan takes for granted of an object that it never changes."""

    address: Address
    status: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One resource's action. `before` is what the change rests on: the written fields, or all of them for a delete.

    `consequences` are what it does to mail and exposure, worst first (model/consequence.py). `observed` is the whole
    object as the tenant reported it, read-only fields included; None for a creation. The steps follow from it and
    from `after`, so that they can be derived again. `takes`: somebody loses something by it, whatever else it does.
    `disables`: its object contributes nothing to the sending picture any more. `releases` are objects that it needs no
    longer: they are deleted or disabled after it.
    """

    address: Address
    action: Action
    before: Any | None
    after: Any | None
    steps: tuple[Step, ...] = ()
    inverse: tuple[Step, ...] = ()
    needs: tuple[Address, ...] = ()
    reason: str = ""
    consequences: tuple[str, ...] = ()
    observed: Any | None = None
    takes: bool = False
    disables: bool = False
    releases: tuple[Address, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether it may take a path from somebody: it is sent after what opens one, and held back if need be."""
        return self.takes or consequence.closes(self.consequences)


@dataclass(frozen=True, slots=True)
class Drift:
    """An object that was changed since the run that last brought it to its state: its fields then and now, as JSON.

    `after` is None where it is not there any more.
    """

    address: Address
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None
    run: str

    @property
    def fields(self) -> frozenset[str]:
        """The names of what is not as it was left; of an object that is gone, all."""
        return frozenset(n for n, v in self.before.items() if self.after is None or self.after.get(n) != v)


@dataclass(frozen=True, slots=True)
class Unmanaged:
    """An object that the tenant has, that the plan could declare, and that it neither declares, ignores nor changes.

    `what` describes its effect on mail in a few words. `made_by` is `hybrid_wizard` or "", `owner` the plan that
    marked it, "" for none.
    """

    address: Address
    what: str
    made_by: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a change set was planned from. Planning again from it gives the same changes, findings and checks.

    A saved change set keeps it, so that nothing in the file has to be believed that can be derived. `observed` is cut
    to what planning and the rules use. `targets` and `excludes` are the scope; `waivers` are those of the command
    line, the plan's own are in `desired`.
    """

    desired: Desired
    observed: Observed
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    waivers: tuple[Waiver, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """All changes of one plan against one tenant, in the order of need. No-ops are kept.

    complete: nothing was left out or unknown. applyable: there is something to do and nothing forbids it. errored: a
    read failed; never applied. `commit` is the plan's git commit ("" where there is none, with " (modified)" where the
    plan is not as committed), `created` and `expires` are RFC 3339, `left` are objects that an earlier plan brought to
    their state, that no plan declares any more and that are still so. `drift` is what the journal proves to have been
    changed by others since. `unmanaged` are objects that were read with the declared ones, `unmanaged_more` counts
    those of each type that are too many to name. `promises` are the objects that must be in force before anything is
    closed by hand; empty where nothing closes. `paths` are the sending paths, today's and planned.
    """

    tenant: str
    tenant_id: str
    owner: str
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    unknown: Mapping[Address, Unknown] = field(default_factory=dict)
    unlisted: Mapping[str, Unknown] = field(default_factory=dict)
    complete: bool = True
    plan_digest: str = ""
    plan_files: tuple[str, ...] = ()
    created: str = ""
    transport: str = ""
    requests: int = 0
    commit: str = ""
    expires: str = ""
    left: tuple[Address, ...] = ()
    drift: tuple[Drift, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    unmanaged_more: Mapping[str, int] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    promises: Mapping[Address, ReadBack] = field(default_factory=dict)
    paths: tuple[SendingPath, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(c for c in self.changes if c.action is not Action.NO_OP)

    @property
    def errored(self) -> bool:
        return bool(self.unknown or self.unlisted)

    @property
    def applyable(self) -> bool:
        return bool(self.pending) and not self.errored and not any(f.blocks and not f.waived for f in self.findings)
