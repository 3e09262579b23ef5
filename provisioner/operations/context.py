"""What a use case is given: the profile, what else decides, and where to report."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from provisioner.clock import SYSTEM, Clock
from provisioner.diagnostics import Diagnostic
from provisioner.operations.state import state_folder

if TYPE_CHECKING:
    from provisioner.border import Border
    from provisioner.engine import Event, Observer
    from provisioner.plan.variables import Given
    from provisioner.settings import Profile


class Context(Protocol):
    """One run; the command line's Session is one."""

    @property
    def profile(self) -> Profile: ...

    @property
    def variables(self) -> Mapping[str, Given]: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def border(self) -> Border | None: ...

    @property
    def state_folder(self) -> Path:
        """Where journals and locks are kept, a folder for each tenant."""

    def new_run(self) -> str:
        """The id of a run that begins: what the journal, the log and the requests call it (12 hexadecimal digits)."""

    def today(self) -> dt.date:
        """The day that `until` of a waiver is measured by."""

    def moment(self, later_s: float = 0.0) -> str:
        """This moment, or a later one, in RFC 3339."""

    def note(self, text: str) -> None:
        """Something that a person may want to know on the way."""

    def diagnose(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Warnings about the plan or the command."""

    def observe(self, event: Event) -> None:
        """Every event of reading and applying, each request among them: for progress, notes and output."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A context that prints nothing: for plan tests and for programs. `observer` is given every event."""

    profile: Profile
    state_folder: Path = field(default_factory=state_folder)
    variables: Mapping[str, Given] = field(default_factory=dict)
    clock: Clock = SYSTEM
    border: Border | None = None
    observer: Observer = lambda _: None

    def new_run(self) -> str:
        return new_run()

    def today(self) -> dt.date:
        return self.clock.now().date()

    def moment(self, later_s: float = 0.0) -> str:
        return rfc3339(self.clock.now() + dt.timedelta(seconds=later_s))

    def note(self, text: str) -> None:
        """Nobody listens."""

    def diagnose(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Nobody listens."""

    def observe(self, event: Event) -> None:
        self.observer(event)


def new_run() -> str:
    return uuid.uuid4().hex[:12]


def rfc3339(moment: dt.datetime, precision: str = "seconds") -> str:
    """An aware moment in UTC, to the second or what else `datetime.isoformat` takes."""
    return moment.astimezone(dt.UTC).isoformat(timespec=precision).replace("+00:00", "Z")
