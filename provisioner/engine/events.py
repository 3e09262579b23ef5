"""What an apply tells of itself, while it runs and at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.diagnostics import TenantError
from provisioner.model import Action, Address, Answer, Change, Cmdlet, GraphRequest

DONE, ALREADY, FAILED, SKIPPED = "done", "already_done", "failed", "skipped"
WAITING, UNCONFIRMED, LEFT, HELD_BACK = "waiting", "unconfirmed", "left", "held_back"


@dataclass(frozen=True, slots=True)
class Result:
    """How one change ended. `status` is one of the words above, `detail` says why where it is not plain success."""

    address: Address
    action: Action
    status: str
    detail: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The account of an apply: a result for every change that does something."""

    results: tuple[Result, ...]
    seconds: float = 0.0

    @property
    def converged(self) -> bool:
        return all(r.status in {DONE, ALREADY} for r in self.results)


@dataclass(frozen=True, slots=True)
class Started:
    change: Change


@dataclass(frozen=True, slots=True)
class Sending:
    """Told before a write leaves; an observer that must remember has done so when it returns."""

    change: Change
    step: int
    request: Cmdlet | GraphRequest


@dataclass(frozen=True, slots=True)
class Answered:
    change: Change
    step: int
    request: Cmdlet | GraphRequest
    answer: Answer | TenantError


@dataclass(frozen=True, slots=True)
class Waiting:
    """Told before each pause of a change that waits for DNS: for what, and how long it has and will at most."""

    change: Change
    detail: str
    waited_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Finished:
    result: Result


Event = Started | Sending | Answered | Waiting | Finished
Observer = Callable[[Event], None]
