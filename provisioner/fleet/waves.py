"""Where each tenant of a run is, and who may begin now: pure, decided anew from what the store says at each look.

Nothing here is remembered between two looks, so that any worker may go on with any run at any time: what is begun twice
has the same id, and the engine begins it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.model.fleet import OPEN, UNDONE, Kind, Outcome, State


@dataclass(frozen=True, slots=True)
class Approved:
    """Which change sets of a run may be applied: all, those of some tenants, or those with a digest that was listed."""

    everything: bool = False
    tenants: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)

    def covers(self, tenant: str, digest: str) -> bool:
        return self.everything or tenant in self.tenants or self.digests.get(tenant) == digest

    def __or__(self, other: Approved) -> Approved:
        return Approved(
            self.everything or other.everything, self.tenants | other.tenants, {**self.digests, **other.digests}
        )


NOTHING = Approved()


@dataclass(frozen=True, slots=True)
class Run:
    """One run over tenants, as the store keeps it, so that every worker does the same.

    `retries` says which works are tried again: for a tenant, the number of the one that failed. `allows` are the guards
    that are lifted; `wait_s` and `lock_wait_s` are those of each apply. `created` is exact enough that the newest of
    two runs is known.
    """

    id: str
    kind: Kind
    created: str
    tenants: tuple[str, ...]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    canaries: frozenset[str] = frozenset()
    failures: float = 0.0
    approved: Approved = NOTHING
    retries: Mapping[str, int] = field(default_factory=dict)
    cancelled: bool = False
    allows: tuple[str, ...] = ()
    wait_s: float = 0.0
    lock_wait_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Work:
    """One workflow of a tenant: its number, counted from 0, whether it applies (or plans), and how far it is.

    `status` is the engine's; `cut_off` says that it was in the middle of an apply that can only go on elsewhere.
    """

    number: int
    status: str
    outcome: Outcome | None = None
    cut_off: bool = False
    applies: bool = False

    @property
    def failed(self) -> bool:
        """Whether it has ended without what it is for."""
        return self.ended and self.status != "CANCELLED" and (self.outcome is None or self.outcome["state"] in UNDONE)

    @property
    def ended(self) -> bool:
        return self.status not in _UNDER_WAY


_UNDER_WAY = frozenset({"ENQUEUED", "DELAYED", "PENDING"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a tenant is: its state, the last outcome, and which work begins next, if any: its number, and whether it
    applies."""

    state: State
    outcome: Outcome | None = None
    digest: str = ""
    next: int | None = None
    applies: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A run at one moment. `stopped` says why the rest is not begun; "" where it goes on."""

    standing: Mapping[str, Standing]
    stopped: str = ""

    @property
    def due(self) -> Iterator[tuple[str, int, str | None]]:
        """What is to be begun: tenant, number, and the digest of the change set that is applied (None for a plan)."""
        for name, found in self.standing.items():
            if found.next is not None:
                yield name, found.next, found.digest if found.applies else None

    @property
    def settled(self) -> bool:
        """Whether nothing happens any more by itself."""
        return not any(s.state in OPEN or s.next is not None for s in self.standing.values())


def look(run: Run, works: Mapping[str, Sequence[Work]]) -> Look:
    """The run by what the engine has of each tenant."""
    standing = {name: _standing(run, name, works.get(name, ())) for name in run.tenants}
    canaries = [standing[name] for name in run.tenants if name in run.canaries]
    if run.kind != "apply" or not canaries:
        return Look(standing)
    share = sum(s.state in UNDONE for s in canaries) / len(canaries)
    stopped = ""
    if share > run.failures:
        stopped = f"{share:.0%} of the canary wave was not applied, and {run.failures:.0%} may fail"
    whole = all(s.state not in OPEN and s.state != "waiting_for_approval" and s.next is None for s in canaries)
    rest = {n: _held(s, stopped, whole) for n, s in standing.items() if n not in run.canaries}
    return Look({**standing, **rest}, stopped)


def _held(standing: Standing, stopped: str, whole: bool) -> Standing:
    """A tenant of the rest while the canary wave is not through: its apply does not begin."""
    if standing.next is None or not standing.applies or (whole and not stopped):
        return standing
    return Standing("not_begun" if stopped else "waiting_for_canary", standing.outcome, standing.digest)


def _standing(run: Run, name: str, works: Sequence[Work]) -> Standing:
    """A tenant by its works, in the order of their numbers."""
    if not works:
        return Standing("cancelled") if run.cancelled else Standing("queued", next=0)
    last, plan = works[-1], next((work for work in reversed(works) if not work.applies), works[0])
    if last.cut_off:
        return Standing("cut_off", plan.outcome, _digest(plan))
    if not last.ended:
        state: State = "queued" if last.status != "PENDING" else "applying" if last.applies else "running"
        return Standing(state, plan.outcome, _digest(plan))
    if last.status == "CANCELLED":
        return Standing("cancelled", plan.outcome, _digest(plan))
    if run.kind == "apply" and last.outcome is not None and last.outcome["state"] == "planned":
        return _planned(run, name, last.number, last.outcome)
    return _ended(run, name, last, plan)


def _planned(run: Run, name: str, number: int, outcome: Outcome) -> Standing:
    """A tenant with changes that are to be applied."""
    digest = outcome.get("digest", "")
    if run.cancelled:
        return Standing("cancelled", outcome, digest)
    if run.approved.covers(name, digest):
        return Standing("queued", outcome, digest, number + 1, applies=True)
    return Standing("waiting_for_approval", outcome, digest)


def _ended(run: Run, name: str, last: Work, plan: Work) -> Standing:
    """A tenant whose last work has ended. An interrupted apply goes on; what failed does where it was asked for."""
    state: State = last.outcome["state"] if last.outcome else "failed"
    outcome, digest = last.outcome or plan.outcome, _digest(plan)
    again = state == "interrupted" or (last.failed and run.retries.get(name) == last.number)
    if again and not run.cancelled:
        return Standing("queued", outcome, digest, last.number + 1, last.applies)
    return Standing(state, outcome, digest)


def _digest(plan: Work) -> str:
    return plan.outcome.get("digest", "") if plan.outcome else ""
