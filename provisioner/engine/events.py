"""What reading and applying tell while they run, and the account of an apply.

Events are the only way to follow a run: journal, progress, the stream of `--format json-lines`, the lines on standard
error and the notes of `-v` are observers. `watching.watch` attaches them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.diagnostics import TenantError
from provisioner.model import Action, Address, Answer, AnyRequest, Change, Request, Write

DONE, ALREADY, FAILED, SKIPPED = "done", "already_done", "failed", "skipped"
WAITING, UNCONFIRMED, LEFT, HELD_BACK = "waiting", "unconfirmed", "left", "held_back"

PLANNING, RECHECKING, OPENINGS, READING_BACK = "planning", "rechecking", "openings", "reading back"


@dataclass(frozen=True, slots=True)
class Result:
    """How one change ended. `status` is one of the words above, `detail` says why where it is not plain success.

    `object_id` is the id of the object as it was read back, where it has one (`ResourceType.object_id`).
    """

    address: Address
    action: Action
    status: str
    detail: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    object_id: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The account of an apply: a result for every change that does something.

    `failure` is what broke the run off: the journal could not be written, nobody reads the output any more, or a fault
    of this program. Nothing was sent after it.
    """

    results: tuple[Result, ...]
    seconds: float = 0.0
    failure: Exception | None = None

    @property
    def converged(self) -> bool:
        return self.failure is None and all(r.status in {DONE, ALREADY} for r in self.results)


# --- requests: every one that passes the ports -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Requested:
    """A request is about to be sent; the adapter may send it several times."""

    request: AnyRequest


@dataclass(frozen=True, slots=True)
class Responded:
    """A request has been answered, after so many seconds of the machine's clock, retries included."""

    request: AnyRequest
    answer: Answer | TenantError
    seconds: float


@dataclass(frozen=True, slots=True)
class Retrying:
    """An adapter waits before it sends a request again; `error` is what went wrong."""

    request: Request
    seconds: float
    error: TenantError


@dataclass(frozen=True, slots=True)
class SlowedDown:
    """A service asked to wait, and from now on every request of the run goes slower.

    At most `at_once` are under way, and `per_s` start in a second, where that is not None. Nothing is sent to the
    service for `quiet_s` seconds.
    """

    service: str
    at_once: int
    per_s: float | None
    quiet_s: float


@dataclass(frozen=True, slots=True)
class LockAwaited:
    """Another run holds the tenant's lock, and this one waits for it; `holder` is who, as a text."""

    holder: str


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadingStarted:
    """A round of reading begins: these requests, each of them once.

    `purpose` is one of the words above: to plan, before the first write, before a closing change, or after a change.
    """

    requests: tuple[Request, ...]
    purpose: str = PLANNING


@dataclass(frozen=True, slots=True)
class ReadingFinished:
    """A round of reading has ended; `failed` counts the requests without an answer."""

    requests: tuple[Request, ...]
    failed: int


# --- applying --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """A change begins."""

    change: Change


@dataclass(frozen=True, slots=True)
class Sending:
    """A write is intended. Told before it is sent: an observer that must remember has done so when it returns."""

    change: Change
    step: int
    request: Write


@dataclass(frozen=True, slots=True)
class Answered:
    """A write has been answered, or has failed."""

    change: Change
    step: int
    request: Write
    answer: Answer | TenantError


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change waits for DNS, or for Exchange to see what DNS has. Told before each pause.

    `detail` says for what; it has waited for `waited_s` seconds, and waits for `left_s` at most.
    """

    change: Change
    detail: str
    waited_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Confirming:
    """A change was read back and does not show yet. `detail` says what was read; `left_s` seconds are left for it."""

    change: Change
    detail: str
    left_s: float


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A closing change is not sent. `missing` names every opener that is not in force, with the reason."""

    change: Change
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A change has ended. Told once for every change of a run."""

    result: Result


Event = (
    Requested
    | Responded
    | Retrying
    | SlowedDown
    | LockAwaited
    | ReadingStarted
    | ReadingFinished
    | Started
    | Sending
    | Answered
    | Waiting
    | Confirming
    | HeldBack
    | Finished
)
Observer = Callable[[Event], None]
