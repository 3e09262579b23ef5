"""What can be wrong, as values and as exceptions.

A *diagnostic* is a mistake of the user: what, where (`file:line:column`) and how to fix it; they are collected and
reported all at once. An *exception* is what the world did; the tree below is split by what a caller can do about it.

    ProvisionerError                exit code
    |- InputError                   3   fix the plan, the settings or the command line
    |- TenantError                  1   something between here and the tenant
    |  |- SignInRefused             4   sign in with other credentials
    |  |- PermissionMissing         4   ask for a permission or a role
    |  |- NotFound                  1   the object is not there (an answer, not a failure, for a read)
    |  |- Refused                   1   the service understood and said no: do not repeat
    |  |- Throttled                 1   wait, then repeat
    |  |- Unavailable               1   it was not carried out: repeat
    |  |- Untrusted                 1   trust its certificate, or find out whose it is
    |  |- Unclear                   1   it may have been carried out: read before repeating
    |  `- Malformed                 1   the answer is not what the protocol says: never read as "absent"
    |- TenantIncomplete             5   the tenant could not be read completely
    |- GuardRefused                 6   allow it by name
    |- ChangeSetStale               7   plan again
    |- ApplyIncomplete              8   look at the account that was printed
    |- Locked                       9   wait for the other run
    `- Declined                    10   somebody said no, or nobody could be asked
       `- NotApproved              10   have it approved by more people
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace


class Severity(enum.StrEnum):
    """How bad a diagnostic or a finding is. Errors stop what they are about; warnings and notes are only shown."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a plan: path as the user gave it, line and column counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: `id` is stable and documented, `summary` says what, `hint` how to put it right.

    `related` names further places that the mistake is about (the first of two equal keys, say), each with a word on it.
    """

    id: str
    summary: str
    hint: str = ""
    severity: Severity = Severity.ERROR
    location: Location | None = None
    length: int = 1
    address: str | None = None
    related: tuple[tuple[Location, str], ...] = ()


MOST_OF_A_LINE = 20
"""As many diagnostics of one id a line has; the rest is counted. A generated line can hold thousands of mistakes."""


def bounded(diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The diagnostics in their order, without those above `MOST_OF_A_LINE` of one id in one line, which are counted."""
    kept: list[Diagnostic] = []
    so_far: Counter[tuple[str, str, int]] = Counter()
    last: dict[tuple[str, str, int], Diagnostic] = {}
    for one in diagnostics:
        if one.location is None:
            kept.append(one)
            continue
        place = (one.id, one.location.file, one.location.line)
        so_far[place] += 1
        if so_far[place] <= MOST_OF_A_LINE:
            kept.append(one)
        else:
            last[place] = one
    for place, one in last.items():
        rest = so_far[place] - MOST_OF_A_LINE
        more = f"{rest:,} more of the same in this line; the last one is here"
        kept.append(replace(one, summary=more, hint="", related=()))
    return tuple(kept)


class ProvisionerError(Exception):
    """Base of everything that ends a command. `exit_code` is the process's, `kind` the word for it in JSON."""

    exit_code: int = 1
    kind: str = "error"

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """The error as diagnostics, for output; one made from the text where it holds no better."""
        return (Diagnostic(self.kind.upper().replace("_", "-"), str(self), getattr(self, "hint", "")),)


class InputError(ProvisionerError):
    """The plan, the settings or the command line are wrong; holds every mistake found."""

    exit_code = 3
    kind = "input"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.found = bounded(diagnostics)
        super().__init__("; ".join(d.summary for d in self.found))

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self.found


@dataclass(eq=False)
class TenantError(ProvisionerError):
    """Something between here and the tenant. Facts as attributes, the text made from them.

    `call` is the cmdlet or the method and path; `service_type` the service's own name of the error
    (`…ManagementObjectNotFoundException`, `Request_ResourceNotFound`); `request_id` what Microsoft's support asks for.
    """

    summary: str
    call: str = ""
    service_type: str = ""
    status: int | None = None
    request_id: str = ""
    hint: str = ""
    exit_code = 1
    kind = "tenant"

    def __str__(self) -> str:
        where = f"{self.call}: " if self.call else ""
        status = f" (HTTP {self.status})" if self.status else ""
        request = f" [request {self.request_id}]" if self.request_id else ""
        return f"{where}{self.summary}{status}{request}"


@dataclass(eq=False)
class SignInRefused(TenantError):
    """No token, or the token was refused: other credentials are needed."""

    exit_code = 4
    kind = "sign_in"


@dataclass(eq=False)
class PermissionMissing(TenantError):
    """Signed in, but not allowed: `hint` names the permission or role that this call needs."""

    exit_code = 4
    kind = "permission"


@dataclass(eq=False)
class NotFound(TenantError):
    """The requested object does not exist. For a lookup that is an answer, for a write it is a refusal."""

    kind = "not_found"


@dataclass(eq=False)
class Refused(TenantError):
    """The service understood the request and refused it; repeating it would change nothing.

    `beside_success`: the error came beside a success, so that a write may have been carried out all the same.
    """

    beside_success: bool = False

    kind = "refused"


@dataclass(eq=False)
class Throttled(TenantError):
    """Asked to wait, `retry_after_s` seconds if the service said how long. Not carried out.

    `own_quota`: a quota of this kind of request alone is used up; others may be sent.
    """

    retry_after_s: float | None = None
    own_quota: bool = False
    kind = "throttled"


@dataclass(eq=False)
class Unavailable(TenantError):
    """Could not be reached or answered that it cannot now. Certainly not carried out.

    `retry_after_s`: so many seconds later it may be asked again, if the service said so.
    """

    retry_after_s: float | None = None
    kind = "unavailable"


@dataclass(eq=False)
class Untrusted(TenantError):
    """The server presented a certificate that nothing trusts, so nothing was sent. Waiting does not help."""

    kind = "untrusted"


@dataclass(eq=False)
class Unclear(TenantError):
    """Sent, and no usable answer came: it may or may not have been carried out."""

    kind = "unclear"


@dataclass(eq=False)
class Malformed(TenantError):
    """What answered does not speak the protocol: HTML, half a JSON document, a page that cannot be followed."""

    kind = "malformed"


class TenantIncomplete(ProvisionerError):
    """A part of the tenant could not be read, so nothing may be concluded about it."""

    exit_code = 5
    kind = "incomplete"


class GuardRefused(ProvisionerError):
    """A guard stands in the way of apply; each is lifted only by its name."""

    exit_code = 6
    kind = "guard"

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic] = ()) -> None:
        self.found = bounded(diagnostics)
        super().__init__(message)

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self.found or super().diagnostics


class ChangeSetStale(ProvisionerError):
    """The change set is of another tenant, or what it rests on has moved. `moved` has a line for each."""

    exit_code = 7
    kind = "stale"

    def __init__(self, message: str, moved: Sequence[str] = (), *, hint: str = "") -> None:
        self.moved, self.hint = tuple(moved), hint
        super().__init__(message)


class ApplyIncomplete(ProvisionerError):
    """Not everything was done, or not everything shows; the account was printed."""

    exit_code = 8
    kind = "partial"


class JournalBroken(ProvisionerError):
    """What is done cannot be recorded any more, so nothing more is done."""

    exit_code = 8
    kind = "journal"


class Locked(ProvisionerError):
    """Another apply holds the tenant."""

    exit_code = 9
    kind = "locked"


class Declined(ProvisionerError):
    """The question was answered with no, or could not be asked (no terminal, or CI)."""

    exit_code = 10
    kind = "declined"


class NotApproved(Declined):
    """Fewer people have approved the change set than must. Holds why each approval that was found does not count."""

    kind = "not_approved"

    def __init__(self, message: str, hint: str = "", refused: Sequence[Diagnostic] = ()) -> None:
        self.found = (Diagnostic("NOT-APPROVED", message, hint), *refused)
        super().__init__(message)

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        return self.found


@dataclass(slots=True)
class Diagnostics:
    """A growing list of diagnostics; `raise_if_errors` ends the pass that filled it."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(self, diagnostic: Diagnostic) -> None:
        self.items.append(diagnostic)

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self.items if d.severity is Severity.ERROR]

    def raise_if_errors(self) -> None:
        """Raise InputError with everything found, in the order of the places, if any of it is an error."""
        if self.errors:
            raise InputError(sorted(self.items, key=place_of))


def place_of(diagnostic: Diagnostic) -> tuple[str, int, int]:
    """What diagnostics are sorted by: file, line, column; those without a place come first."""
    at = diagnostic.location
    return (at.file, at.line, at.column) if at else ("", 0, 0)
