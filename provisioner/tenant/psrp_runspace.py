"""One runspace on a management host, used from one thread: opens, runs several cmdlets in one pipeline, closes.

The cmdlets of a pipeline are its statements, run one after the other. What remoting sends back names no statement, but
comes in the order in which it was written; so between two cmdlets stands `Select-Object -InputObject NUMBER`, which
every restricted session shows (SessionType RestrictedRemoteServer), and whose number ends what belongs to the cmdlet
before it. The number is random, so that nothing that a cmdlet writes is taken for it.
Where a session does not show even that, the complaint about it ends it just as well. An error ends its statement; the
pipeline goes on, unless the host's ErrorActionPreference is Stop: then the rest did not run, and is given back.

Bulk work is many cmdlets of which nothing comes back (Set-CASMailbox): these go without anything between them, at half
the cost. If all is silent all is done. What is heard mostly names the object that it is about, and so its cmdlet; only
an error that names none has them sent again, this time separated, which they bear: each sets what it set before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from provisioner.diagnostics import (
    InputError,
    Malformed,
    PermissionMissing,
    SignInRefused,
    TenantError,
    Throttled,
    Unavailable,
    Unclear,
)
from provisioner.model import Answer, Cmdlet, Parameter
from provisioner.tenant.credentials import secret_value
from provisioner.tenant.exchange_answers import (
    TRUNCATED,
    Reduced,
    beside_success,
    confirmed,
    error_by_type,
    role_hint,
    wanted_columns,
)
from provisioner.tenant.network import untrusted
from provisioner.tenant.psrp_values import decode_row, encode

if TYPE_CHECKING:
    from pypsrp.powershell import RunspacePool
    from pypsrp.wsman import WSMan

    from provisioner.tenant.psrp_connection import Bounds

_NO_SHELL = 2150858843  # ERROR_WINRS_SHELL_DOES_NOT_EXIST
_MAX_SHELLS = 2150859173  # ERROR_WSMAN_QUOTA_MAX_SHELLS
_MAX_OPERATIONS = 2150859174  # ERROR_WSMAN_QUOTA_MAX_OPERATIONS
_NOT_RUN = frozenset({
    5,  # ERROR_ACCESS_DENIED
    _NO_SHELL, _MAX_SHELLS, _MAX_OPERATIONS,
    2150858752,  # ERROR_WSMAN_INVALID_RESOURCE_URI
    2150858755,  # ERROR_WSMAN_ACTION_NOT_SUPPORTED
    2150858817,  # ERROR_WSMAN_SOAP_INVALID_XML
})  # fmt: skip
"""Faults of WS-Management with which a host refuses a request before it does anything (Windows SDK, wsmerror.h)."""
_ENDING_S = 3.0
_NO_TYPE = ("", "System.Exception")
_SEPARATOR = "Select-Object"
_SILENT = frozenset({"Set", "Enable", "Disable"})  # give no rows, and may be repeated
_REQUEST_ID = re.compile(r"RequestId=([0-9a-fA-F-]{36})")

Outcome = Answer | TenantError | None
"""What became of one cmdlet; None when it certainly did not run and may be sent again."""


@dataclass(slots=True)
class Selecting:
    """Whether the sessions of an endpoint select the columns of rows; None as long as none was asked."""

    able: bool | None = None


class SessionLost(Exception):
    """The runspace is of no use any more. `sent` is False when nothing of this pipeline had reached the host."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason, self.sent = reason, sent


@dataclass(slots=True)
class _Heard:
    """What belongs to one statement, as far as it was received; `settled` when its end was.

    `stopped`: its last error ended the pipeline, and what stands behind it did not run. `odd`: what makes its output
    unusable; it may have run all the same. Rows are reduced as they arrive.
    """

    reduced: Reduced
    warnings: list[str] = field(default_factory=list)
    errors: list[Any] = field(default_factory=list)
    settled: bool = False
    stopped: bool = False
    odd: str = ""


class Runspace:
    """A runspace pool of one. `wsman` makes the connection when it is opened, `prologue` runs before anything else.

    `timeout_s` is for opening it, and for each pipeline; `bounds` keep the connection to it.
    """

    def __init__(
        self,
        wsman: WSMan,
        bounds: Bounds,
        configuration: str,
        prologue: Cmdlet | None,
        timeout_s: float,
        selecting: Selecting,
    ) -> None:
        self._selecting = selecting
        self._wsman, self._bounds, self._configuration, self._prologue = wsman, bounds, configuration, prologue
        self._timeout_s = timeout_s
        self._pool: RunspacePool | None = None
        self._aborted = False

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    def begin(self) -> None:
        """It is about to be used, by another thread."""
        self._bounds.limit(self._timeout_s)

    @property
    def deadline(self) -> float:
        """When what it does must have ended, by time.monotonic."""
        return self._bounds.deadline

    def open(self) -> None:
        """Open it and run the prologue. Raises what `diagnostics` has for a TenantError."""
        from pypsrp.powershell import RunspacePool

        from provisioner.tenant import psrp_library

        if self._aborted:
            raise Unavailable("the session was given up", "sign-in")
        self._bounds.limit(self._timeout_s)
        pool = RunspacePool(self._wsman, configuration_name=self._configuration)
        pool._serializer = psrp_library.Quick()
        pool._fragmenter = self._whole = psrp_library.Whole(self._wsman.max_payload_size, pool._serializer)
        try:
            pool.open()
        except Exception as error:
            self._hang_up()
            raise self._failure(error, "sign-in", sent=False) from error
        self._pool = pool
        if self._prologue is not None:
            outcome = self.run([self._prologue])[0]
            if isinstance(outcome, TenantError):
                self.close()
                raise SignInRefused(
                    f"the management host could not connect to Exchange Online: {outcome.summary}",
                    self._prologue.name,
                    outcome.service_type,
                    hint="check psrp.prologue in the profile",
                )

    def close(self) -> None:
        """Delete the shell; one that is gone already does not matter."""
        pool, self._pool = self._pool, None
        if pool is not None:
            self._end(pool)
        self._hang_up()

    def _hang_up(self) -> None:
        self._wsman.close()
        self._bounds.close()

    def abort(self) -> None:
        """Give up what it does, from another thread. It is of no use any more."""
        self._aborted = True
        self._bounds.abort()

    def _end(self, pool: RunspacePool) -> None:
        """Delete the shell, and what runs in it. Nothing depends on it: the host ends idle shells by itself."""
        self._bounds.limit(_ENDING_S, ending=True)
        with contextlib.suppress(Exception):
            pool.close()

    def run(self, cmdlets: Sequence[Cmdlet]) -> list[Outcome]:
        """Run cmdlets in one pipeline and say about each what became of it.

        Raises SessionLost when nothing was sent; of what was sent and not answered the outcome is Unclear.
        """
        if self._selecting.able is None and any(map(_is_listing, cmdlets)):
            self._selecting.able = self._can_select()
        if len(cmdlets) > 1 and all(c.name.partition("-")[0] in _SILENT for c in cmdlets):
            heard, failure = self._pass(cmdlets, [_Heard(Reduced(cmdlets[0]))])
            busy = _throttled(cmdlets[0], heard[0])
            if busy is not None:
                return [busy] * len(cmdlets)  # whichever were carried out: each bears to be sent again, after the wait
            told = _told_apart(cmdlets, heard[0]) if failure is None else heard * len(cmdlets)
            if told is not None:
                return [_outcome(c, h, failure) for c, h in zip(cmdlets, told, strict=True)]
        heard, failure = self._pass(cmdlets, [_Heard(Reduced(c)) for c in cmdlets])
        return [_outcome(c, h, failure) for c, h in zip(cmdlets, heard, strict=True)]

    def _can_select(self) -> bool:
        """Whether a session's Select-Object takes the names of columns.

        That of a restricted session does not: it takes a few properties of commands, which Import-PSSession asks for
        (PowerShell, CommandMetadata.cs, GetRestrictedSelectObject). Whole rows then travel.
        """
        probe = Cmdlet(_SEPARATOR, {"InputObject": "x", "Property": (_exactly("Length"),)})
        (heard,), failure = self._pass([probe], [_Heard(Reduced(probe))])
        return failure is None and not heard.errors and heard.reduced.rows == [{"Length": 1}]

    def _pass(self, cmdlets: Sequence[Cmdlet], heard: list[_Heard]) -> tuple[list[_Heard], TenantError | None]:
        """One pipeline. What was heard is sorted to the statements, or all to one; and what broke the session."""
        pool = self._opened()
        self._bounds.limit(self._timeout_s)
        self._whole.columns = _columns(cmdlets)
        mark = random.randrange(2**20, 2**31) if len(heard) > 1 else None  # noqa: S311 - no secret
        shell, begun = None, False
        try:
            shell = self._pipeline(pool, cmdlets, mark)  # where it holds a secret, keys are exchanged with the host
            shell.begin_invoke()
            begun = True
            self._receive(shell, heard, mark)
            shell.close()
        except InputError:
            raise  # a secret that is not there
        except Exception as error:
            # What only reads may be sent again, even if it ran.
            begun = begun or (shell is not None and _may_have_run(error) and not all(c.reads for c in cmdlets))
            lost = self._failure(error, cmdlets[0].name, sent=begun)
            self._pool = None
            if isinstance(error, TimeoutError | Malformed):
                self._end(pool)  # the host goes on with it otherwise, for as long as it likes
            self._hang_up()
            if not begun and not isinstance(lost, Unclear | SignInRefused | Malformed):
                raise SessionLost(lost.summary, sent=False) from error
            return heard, lost
        return heard, None

    def _opened(self) -> RunspacePool:
        if self._pool is None:
            raise SessionLost("the session is closed", sent=False)
        return self._pool

    def _pipeline(self, pool: RunspacePool, cmdlets: Sequence[Cmdlet], mark: int | None) -> Any:
        """The pipeline with its statements, and between them the mark, if there is one."""
        from provisioner.tenant.psrp_library import InOrder, statement

        shell = InOrder(pool)
        separator = statement(pool, _SEPARATOR, {"InputObject": mark})
        for number, cmdlet in enumerate(cmdlets):
            if number and mark is not None:
                shell.add_command(separator)
            parameters = {name: self._encoded(pool, value) for name, value in confirmed(cmdlet).items()}
            columns = sorted(wanted_columns(cmdlet)) if self._selecting.able and _is_listing(cmdlet) else []
            shell.add_command(statement(pool, cmdlet.name, parameters, piped=bool(columns)))
            if columns:
                shell.add_command(statement(pool, _SEPARATOR, {"Property": [_exactly(name) for name in columns]}))
        return shell

    def _encoded(self, pool: RunspacePool, value: Parameter) -> Any:
        from pypsrp.complex_objects import ObjectMeta

        def serialize(plain: Any, tag: str) -> Any:
            if tag == "SS":
                pool.exchange_keys()  # once a pool; the key never leaves it
            return pool.serialize(plain, ObjectMeta(tag))

        return encode(value, serialize, secret_value)

    def _receive(self, shell: Any, heard: Sequence[_Heard], mark: int | None) -> None:
        """Sort what comes to the statements, until the pipeline has ended."""
        from pypsrp.complex_objects import PSInvocationState

        current = 0
        while shell.state == PSInvocationState.RUNNING:
            shell.poll_invoke()
            for kind, value in shell.taken():
                if mark is not None and _separates(kind, value, mark):
                    heard[current].settled = True
                    current = min(current + 1, len(heard) - 1)
                else:
                    _hear(heard[current], kind, value)
        _ended(heard[current:], shell.state == PSInvocationState.COMPLETED)

    def _failure(self, error: Exception, call: str, *, sent: bool) -> TenantError:
        """What a library raised, as ours. `sent`: the pipeline had reached the host."""
        import requests
        from pypsrp.exceptions import AuthenticationError, WSManFaultError

        host = f"{self._wsman.transport.server}:{self._wsman.transport.port}"
        if isinstance(error, TenantError):
            return dataclasses.replace(error, call=error.call or call)
        if isinstance(error, AuthenticationError):
            what = f"{host} refused {self._wsman.transport.username or 'the certificate'}"
            return SignInRefused(what, call, status=401, hint="check psrp.user, psrp.password and psrp.authentication")
        if isinstance(error, requests.exceptions.SSLError):
            found = untrusted(host, call)
            found.hint += "; psrp.ca and psrp.fingerprint of the profile are for this host alone"
            return found
        if isinstance(error, WSManFaultError) and error.code in (_MAX_SHELLS, _MAX_OPERATIONS):
            what = str(error.reason or "the host's quota is used up")
            return Throttled(what, call, str(error.code), own_quota=True)  # of shells, not of requests
        if isinstance(error, WSManFaultError) and error.code == _NO_SHELL:
            kind: type[TenantError] = Unclear if sent else Unavailable
            return kind("the shell on the management host is gone", call, str(error.code))
        if isinstance(error, WSManFaultError) and not sent:
            return _refused_by_host(error, call, self._configuration)
        kind = Unclear if sent or isinstance(error, requests.exceptions.ReadTimeout) else Unavailable
        if isinstance(error, requests.exceptions.RequestException) and not sent:
            return kind(f"{host} cannot be reached: {_short(error)}", call)
        return kind(f"the session with {host} broke: {_short(error)}", call)


def _is_listing(cmdlet: Cmdlet) -> bool:
    """Whether a cmdlet gives all objects of a kind, of which columns are named: it is worth while to select them."""
    parameters = cmdlet.parameters
    return cmdlet.reads and bool(cmdlet.columns) and "ResultSize" in parameters and "Filter" not in parameters


def _columns(cmdlets: Sequence[Cmdlet]) -> frozenset[str]:
    """The columns that any of these cmdlets wants of its rows; none, where one wants all."""
    each = [wanted_columns(cmdlet) for cmdlet in cmdlets]
    return frozenset().union(*each) if all(each) else frozenset()


def _exactly(column: str) -> str:
    """A pattern for one name. A plain name would give $null for a column that a row lacks, which has a meaning.

    (PowerShell, Select-Object.cs, ProcessParameter; about_Wildcards.)
    """
    return f"[{column[0]}]{column[1:]}"


def _may_have_run(error: Exception) -> bool:
    """Whether a pipeline may have run whose Command was not answered as it should have been.

    It did not where no connection came about, and where HTTP (4xx; 429, 503 and redirects are found in the answer's
    head) or WS-Management refuses the request by a code that says so. Everything else leaves it open: a connection
    that was cut, a gateway's 502 or 504, an answer that cannot be read, a fault that says the time is over.
    """
    import requests
    from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError

    match error:
        case TenantError():
            return error.status is None
        case AuthenticationError() | requests.exceptions.ConnectTimeout() | requests.exceptions.ProxyError():
            return False
        case WSManFaultError():
            return error.code not in _NOT_RUN
        case WinRMTransportError():
            return not 400 <= error.code < 500
        case requests.exceptions.RequestException():
            reason = getattr(error.args[0] if error.args else None, "reason", None)
            return not isinstance(reason, NewConnectionError | ConnectTimeoutError | ProxyError | ssl.SSLError)
        case _:
            return True


def _hear(heard: _Heard, kind: str, value: Any) -> None:
    """Keep what a statement wrote. What is not an object makes all of its output unusable."""
    if kind == "warning":
        heard.warnings.append(str(value.message))
    elif kind == "error":
        heard.errors.append(value)
    else:
        try:
            heard.reduced.take((decode_row(value),))
        except TypeError:
            heard.odd = f"the output holds a value of type {type(value).__name__}, which is not an object"


def _ended(left: Sequence[_Heard], completed: bool) -> None:
    """The pipeline has ended: what that says about the statement being heard, and of those behind it.

    Completed with a separator missing, the output of several statements cannot be told apart. Failed or Stopped without
    an error record (MS-PSRP 2.2.3.5), nothing tells how far it got.
    """
    current = left[0]
    current.stopped = not completed
    if current.errors or (completed and len(left) == 1):
        current.settled = True
        return
    odd = "the output of several cmdlets cannot be told apart"
    if not completed:
        odd = "the pipeline failed or was stopped without an error record"
    for heard in left:
        heard.odd = heard.odd or odd


def _separates(kind: str, value: Any, mark: int) -> bool:
    """Whether this ends a statement: the separator's number, or that there is no such command."""
    if kind == "row":
        return type(value) is int and value == mark
    return kind == "error" and value.reason == "CommandNotFoundException" and _SEPARATOR in str(value)


def _told_apart(cmdlets: Sequence[Cmdlet], heard: _Heard) -> Sequence[_Heard] | None:
    """What was heard of a whole pipeline, by cmdlet; None where an error may be anybody's.

    A warning stops nothing: one that names none is told with the first.
    """
    if not heard.settled or heard.reduced.count or heard.odd:
        return None
    each = [_Heard(Reduced(c), settled=True) for c in cmdlets]
    for warning in heard.warnings:
        each[_named(cmdlets, warning) or 0].warnings.append(warning)
    for error in heard.errors:
        meant = _named(cmdlets, str(error))
        if meant is None:
            return None
        each[meant].errors.append(error)
        if heard.stopped and error is heard.errors[-1]:
            each[meant + 1 :] = [_Heard(Reduced(c)) for c in cmdlets[meant + 1 :]]
    return each


def _throttled(cmdlet: Cmdlet, heard: _Heard) -> Throttled | None:
    """That the service asks to wait, which names no object."""
    errors = (error_of(cmdlet, error) for error in heard.errors)
    return next((error for error in errors if isinstance(error, Throttled)), None)


def _named(cmdlets: Sequence[Cmdlet], text: str) -> int | None:
    """The one cmdlet whose Identity stands in a text."""
    names = (re.escape(str(c.parameters.get("Identity") or "").lower()) for c in cmdlets)
    found = [n for n, name in enumerate(names) if name and re.search(rf"(?<![\w.@-]){name}(?![\w@-])", text.lower())]
    return found[0] if len(found) == 1 else None


def _outcome(cmdlet: Cmdlet, heard: _Heard, failure: TenantError | None) -> Outcome:
    """What became of a cmdlet by what was heard of it; `failure` broke the session."""
    if heard.settled and heard.errors:
        return error_of(cmdlet, heard.errors[0], beside_rows=bool(heard.reduced.count))
    if heard.odd:
        return (Malformed if cmdlet.reads else Unclear)(heard.odd, cmdlet.name)
    if not heard.settled:
        if failure is None:
            return None
        if cmdlet.reads and isinstance(failure, Unavailable | Throttled | Malformed):
            return dataclasses.replace(failure, call=cmdlet.name)
        return Unclear(failure.summary, cmdlet.name, failure.service_type, failure.status)
    if any(TRUNCATED in w for w in heard.warnings):
        return Malformed("the answer is cut short", cmdlet.name)
    try:
        heard.reduced.check()
    except Malformed as error:
        return error
    return Answer(tuple(heard.reduced.rows), tuple(heard.warnings), passed=heard.reduced.passed)


def error_of(cmdlet: Cmdlet, record: Any, *, beside_rows: bool = False) -> TenantError:
    """The exception for an error record (forms: exchange-admin-api, "PSRP/module form").

    The module writes `ExXXXXXX|Type|text`; what PowerShell itself refuses has the type on the exception. An error of no
    type, or beside rows, is one that the service gives beside a success (`@adminapi.errors`): nothing in a record tells
    whether it ended the cmdlet, so the tenant has to be read.
    """
    text = str(record)
    type_ = (getattr(record.exception, "types", None) or [""])[0]
    parts = text.split("|", 2)
    if len(parts) == 3 and " " not in parts[1]:
        type_, text = parts[1], parts[2]
    found = _REQUEST_ID.search(record.fq_error or "")
    request_id = found[1] if found else ""
    if "CommandNotFoundException" in (record.reason or "") or "CommandNotFoundException" in type_:
        what = f"the session does not show {cmdlet.name}"
        hint = (
            f"the JEA role must show it, and {role_hint(cmdlet)}; "
            "an Exchange Server has neither inbound connectors nor DKIM: they are of Exchange Online"
        )
        return PermissionMissing(what, cmdlet.name, type_, request_id=request_id, hint=hint)
    error = error_by_type(cmdlet, type_, text.strip(), request_id=request_id)
    return beside_success(error) if beside_rows or type_ in _NO_TYPE else error


def _refused_by_host(fault: Any, call: str, configuration: str) -> TenantError:
    """A fault of WS-Management before anything ran."""
    reason = _short(fault.reason or fault)
    hint = f"check psrp.configuration ({configuration}) and psrp.endpoint"
    return TenantError(f"the management host refused the session: {reason}", call, str(fault.code), hint=hint)


def _short(error: Any) -> str:
    """The first line of a message; libraries put whole documents into theirs."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]
