"""Remote PowerShell to a management host that administers this tenant: shells, pipelines, what its endpoints show.

Two session configurations are registered. `ExchangeMail` is a JEA endpoint: signed in to Exchange Online beforehand
with the caller's application, and showing only the cmdlets for sending mail. `Microsoft.PowerShell` is the host's
ordinary one: Exchange's cmdlets are there after `Connect-ExchangeOnline`, and it runs script text (`psrp_script`). A
user is an application of the tenant, by display name: its password is the application's secret, its certificate the
application's.

Errors have the shape that the Exchange Online module gives them (DLConversionV2 129). Statements of one pipeline run
one after the other, and an error ends its statement, not the pipeline, as PowerShell's batches do; with the setting
`psrp_error_action_stop` a terminating one ends the pipeline, as under $ErrorActionPreference = "Stop".
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from psrpcore import (
    CreatePipelineEvent,
    GetAvailableRunspacesEvent,
    InvalidProtocolVersion,
    PSRPPayload,
    ResetRunspaceStateEvent,
    ServerPipeline,
    ServerRunspacePool,
    SetMaxRunspacesEvent,
    SetMinRunspacesEvent,
    StreamType,
)
from psrpcore.types import (
    ErrorRecord,
    PSInvocationState,
    PSRPMessageType,
)

from provisioner.sandbox import psrp_commands, psrp_module, wsman
from provisioner.sandbox.cmdlets import Caller, CmdletError, CmdletResult, catalogue, run_cmdlet
from provisioner.sandbox.coverage import not_modelled
from provisioner.sandbox.faults import Faults, left
from provisioner.sandbox.management_host import ExchangeConnection
from provisioner.sandbox.psrp_errors import (
    STOPPED,
    error_record,
    no_prompt,
    no_scripts,
    not_recognized,
    record_of,
    text_of,
)
from provisioner.sandbox.psrp_language import LANGUAGE, OF_THE_LANGUAGE
from provisioner.sandbox.psrp_operations import shown_error
from provisioner.sandbox.psrp_script import EndedStatementError, Script
from provisioner.sandbox.psrp_syntax import parse
from provisioner.sandbox.psrp_tree import SyntaxFaultError, UnmodelledError
from provisioner.sandbox.psrp_values import Shown, clixml, of_module, plain, powershell_row, write_clixml
from provisioner.sandbox.tenant import Tenant
from provisioner.sandbox.throttle import OverQuota
from provisioner.sandbox.wsman import WsmanRequest

_LOG = logging.getLogger(__name__)

JEA = "ExchangeMail"
HOST = "Microsoft.PowerShell"
MAX_SHELLS_PER_USER = 30  # WinRM 3.0 and later

# What the role file of the JEA endpoint shows of Exchange: the nouns of sending mail.
_JEA_NOUNS = (
    "AcceptedDomain", "AuthenticationPolicy", "BlockedSenderAddress", "CASMailbox", "DistributionGroup",
    "DistributionGroupMember", "DkimSigningConfig", "DnssecForVerifiedDomain",
    "DnssecStatusForVerifiedDomain", "HistoricalSearch",
    "HostedConnectionFilterPolicy", "HostedOutboundSpamFilterPolicy", "HostedOutboundSpamFilterRule",
    "HVEAccountBillingPolicy", "HVEAccountSettings", "HVEAppAccess",
    "InboundConnector", "IPv6StatusForAcceptedDomain", "LimitsEnforcementStatus",
    "Mailbox", "MailboxPermission", "MailUser", "ManagementRoleAssignment", "ManagementScope",
    "MessageTraceDetailV2", "MessageTraceV2", "OrganizationConfig", "OrganizationCustomization",
    "OutboundConnector", "Recipient", "RecipientPermission", "RemoteDomain", "ServicePrincipal",
    "ServicePrincipalAuthorization",
    "SmtpDaneInbound",
    "TenantAllowBlockListItems", "TransportConfig", "TransportRule", "User",
)  # fmt: skip
# What every restricted session shows (SessionType RestrictedRemoteServer), as far as it makes sense here.
_ALWAYS = ("Get-Command", "Measure-Object", "Select-Object", "Out-Default", "Exit-PSSession")
# What an ordinary session has besides, as far as modelled.
_ORDINARY = ("Get-Module", "Sort-Object", "Start-Sleep", "Where-Object", *OF_THE_LANGUAGE)
_CONNECTING = ("Connect-ExchangeOnline", "Disconnect-ExchangeOnline", "Get-ConnectionInformation")
_ROWS_A_TURN = 20
_IDLE_POLL_S = 60.0
_RECEIVED_SHARE = 0.6  # of an envelope: base64 adds a third, SOAP its frame


class _ShellLostError(Exception):
    """The process behind the shell is gone."""


class _EndedError(Exception):
    """The pipeline ends in a state (Failed, Stopped) without an error record, which MS-PSRP 2.2.3.5 makes optional."""


@dataclass(eq=False)
class _Output:
    """What waits to be received, and anyone who waits for it."""

    payloads: list[bytes] = field(default_factory=list)
    done: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, payload: bytes) -> None:
        self.payloads.append(payload)
        self.changed.set()

    def end(self) -> None:
        self.done = True
        self.changed.set()


class _Pipeline(ServerPipeline):
    """A pipeline that knows which warnings and errors it met."""

    def __init__(self, runspace_pool: ServerRunspacePool, pipeline_id: uuid.UUID) -> None:
        super().__init__(runspace_pool, pipeline_id)
        self.warnings: list[str] = []
        self.errors: list[Shown] = []


@dataclass(eq=False)
class _Shell:
    """One runspace pool of one user."""

    id: str
    user: str
    configuration: str
    connection: ExchangeConnection
    pool: ServerRunspacePool = field(default_factory=ServerRunspacePool)
    output: _Output = field(default_factory=_Output)
    commands: dict[str, _Output] = field(default_factory=dict)
    runs: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    free: asyncio.Semaphore | None = None
    shown: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    lost: bool = False

    def runspaces(self) -> asyncio.Semaphore:
        """As many pipelines at once as the client asked runspaces for; the others wait."""
        if self.free is None:
            self.free = asyncio.Semaphore(max(1, self.pool.max_runspaces))
        return self.free

    def flush(self, largest_bytes: int = 65536) -> None:
        """Move what PSRP has to say into the queues that Receive empties."""
        while payload := self.pool.data_to_send(largest_bytes):
            command = str(payload.pipeline_id).upper() if payload.pipeline_id else ""
            (self.commands.get(command) or self.output).put(payload.data)


class Shells:
    """All shells of the host. `handle` is one WS-Management exchange, free of HTTP."""

    def __init__(self, tenant: Tenant, faults: Faults) -> None:
        self._tenant, self._faults = tenant, faults
        self._shells: dict[str, _Shell] = {}

    async def handle(self, request: WsmanRequest, user: str) -> bytes:
        """Answer a request. Raises WsmanFault."""
        if request.action == "Create":
            return self._create(request, user)
        shell = self._shells.get(request.shell_id)
        if shell is None or shell.user != user:
            raise wsman.no_such_shell(request.shell_id)
        match request.action:
            case "Command":
                return self._command(request, shell)
            case "Send":
                self._feed(shell, request.payloads)
                return wsman.sent(request)
            case "Receive":
                return await self._receive(request, shell)
            case "Signal":
                self._signal(request, shell)
                return wsman.signalled(request)
            case "Delete":
                self._end(shell)
                return wsman.deleted(request)
            case _:
                return wsman.described(request, shell.id, shell.user)

    def _create(self, request: WsmanRequest, user: str) -> bytes:
        configuration = request.resource_uri.rpartition("/")[2]
        if configuration not in (JEA, HOST) or not request.payloads:
            raise wsman.unknown_configuration(request.resource_uri)
        quota = int(self._tenant.settings.get("psrp_max_shells_per_user", MAX_SHELLS_PER_USER))
        if sum(shell.user == user for shell in self._shells.values()) >= quota:
            raise wsman.too_many_shells(quota)
        connection = ExchangeConnection(self._tenant)
        if configuration == JEA:
            connection.use(user)
        shell = _Shell(str(uuid.uuid4()).upper(), user, configuration, connection)
        self._shells[shell.id] = shell
        self._feed(shell, request.payloads)
        return wsman.created(request, shell.id, user)

    def _command(self, request: WsmanRequest, shell: _Shell) -> bytes:
        command = request.command_id or str(uuid.uuid4()).upper()
        try:
            pipeline = _Pipeline(shell.pool, uuid.UUID(command))
        except ValueError:
            raise wsman.invalid(f"{command} is not a command id") from None
        shell.commands[command] = _Output()
        self._feed(shell, request.payloads, pipeline)
        return wsman.command_taken(request, command)

    def _feed(self, shell: _Shell, payloads: Iterable[bytes], pipeline: _Pipeline | None = None) -> None:
        """Give PSRP what came, and begin what it asks for. What does not decode ends in a fault."""
        identifier = pipeline.pipeline_id if pipeline else None
        try:
            for payload in payloads:
                shell.pool.receive_data(PSRPPayload(payload, StreamType.default, identifier))
            while event := shell.pool.next_event():
                self._event(shell, event)
        except Exception as error:  # noqa: BLE001 - psrpcore raises whatever its decoder met
            raise wsman.invalid(f"The PSRP message cannot be read: {type(error).__name__}.") from None
        shell.flush()

    def _event(self, shell: _Shell, event: Any) -> None:
        if isinstance(event, CreatePipelineEvent):
            command = str(event.pipeline_id).upper()
            pipeline = cast("_Pipeline", shell.pool.pipeline_table[event.pipeline_id])
            run = asyncio.create_task(self._run(shell, pipeline, command))
            shell.runs[command] = run
        elif isinstance(event, GetAvailableRunspacesEvent):
            shell.pool.runspace_availability_response(event.ci, shell.pool.max_runspaces)
        elif isinstance(event, SetMaxRunspacesEvent | SetMinRunspacesEvent | ResetRunspaceStateEvent):
            shell.pool.runspace_availability_response(event.ci, True)

    async def _receive(self, request: WsmanRequest, shell: _Shell) -> bytes:
        """Output as soon as there is some; nothing within OperationTimeout is a fault that asks to come again."""
        waiting = shell.commands.get(request.command_id) if request.command_id else shell.output
        if waiting is None:
            raise wsman.no_such_shell(f"{shell.id} (command {request.command_id})")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(request.timeout_s, _IDLE_POLL_S)):
                while not waiting.payloads and not waiting.done and not shell.lost:
                    waiting.changed.clear()
                    await waiting.changed.wait()
        if shell.lost:
            raise wsman.no_such_shell(shell.id)
        if not waiting.payloads and not waiting.done:
            raise wsman.timed_out()
        room = int(request.largest_bytes * _RECEIVED_SHARE)
        taken: list[bytes] = []
        while waiting.payloads and (not taken or len(waiting.payloads[0]) <= room):
            taken.append(waiting.payloads.pop(0))
            room -= len(taken[-1])
        return wsman.received(request, taken, done=waiting.done and not waiting.payloads)

    def _signal(self, request: WsmanRequest, shell: _Shell) -> None:
        """Terminate ends a command that is over or not; Ctrl-C stops one that runs."""
        run = shell.runs.pop(request.command_id, None)
        if run and not run.done():
            run.cancel()
        if request.signal.endswith("terminate"):
            shell.commands.pop(request.command_id, None)
            with contextlib.suppress(ValueError):
                shell.pool.pipeline_table.pop(uuid.UUID(request.command_id), None)

    def _end(self, shell: _Shell) -> None:
        """The shell's process is over, for whatever reason."""
        shell.lost = True
        self._shells.pop(shell.id, None)
        for run in shell.runs.values():
            if run is not asyncio.current_task():
                run.cancel()
        for output in (shell.output, *shell.commands.values()):
            output.changed.set()

    # --- pipelines ---------------------------------------------------------------------------------------------------

    async def _run(self, shell: _Shell, pipeline: _Pipeline, command: str) -> None:
        output = shell.commands[command]
        try:
            async with shell.runspaces():
                await self._carry_out(shell, pipeline)
        except _ShellLostError:
            self._end(shell)
        except _EndedError as ended:
            pipeline._change_state(PSInvocationState[str(ended)])
        except asyncio.CancelledError:  # also of one that still waits for a runspace
            if pipeline.state == PSInvocationState.Running:
                pipeline.stop()
            elif pipeline.state == PSInvocationState.NotStarted:
                pipeline._change_state(PSInvocationState.Stopped)
        except Exception as error:  # noqa: BLE001 - a fault of the sandbox: the client must not wait for ever
            _LOG.exception("a pipeline failed in the sandbox itself")
            text = f"The sandbox failed: {type(error).__name__}."
            record = record_of(CmdletError("System.InvalidOperationException", text, "NotSpecified"))
            pipeline._change_state(PSInvocationState.Failed, record)
        finally:
            if not shell.lost:
                shell.flush()
                output.end()

    async def _carry_out(self, shell: _Shell, pipeline: _Pipeline) -> None:
        """The statements of a pipeline, up to its end or to the error that ends it."""
        pipeline.start()
        self._show(shell)
        statements = list(_statements(getattr(pipeline.metadata, "commands", ())))
        for statement in statements:
            error = await self._statement(shell, pipeline, statement)
            if error and (len(statements) == 1 or self._tenant.settings.get("psrp_error_action_stop")):
                pipeline._change_state(PSInvocationState.Failed, error)
                return
            if error:
                _write(pipeline, error)
        pipeline.complete()

    async def _statement(self, shell: _Shell, pipeline: _Pipeline, commands: Sequence[Any]) -> ErrorRecord | None:
        """Run the commands of one statement, each with the rows of the one before it. A terminating error is given."""
        host = _Host(self, shell, pipeline)
        script = Script(host, {} if shell.configuration == JEA else LANGUAGE, shell.variables)
        rows: list[Any] | None = None
        try:
            for command in commands:
                if command.is_script and shell.configuration == JEA:
                    return record_of(no_scripts())
                if command.is_script:
                    found: list[Any] = []
                    try:
                        await script.run(parse(command.command_text), found, rows)
                    except EndedStatementError:
                        rows = found
                        raise
                    rows = found
                    continue
                name = psrp_commands.real_name(command.command_text)
                arguments = [(key, plain(value)) for key, value in command.parameters]
                rows = await script.invoke(name, arguments, rows)
        except EndedStatementError as ended:
            if command.is_script:
                await self._put_out(shell, pipeline, rows or [])
            return cast("ErrorRecord", ended.record)
        except SyntaxFaultError as fault:
            error = CmdletError("System.Management.Automation.ParseException", str(fault), "ParserError")
            return record_of(error, "ParseError", error.exception_type)
        except UnmodelledError as part:
            lacking = f"{part} in a script"
            self._faults.record("psrp", caller=shell.user, path=shell.configuration, not_modelled=lacking)
            return record_of(no_scripts())
        await self._put_out(shell, pipeline, rows or [])
        return None

    async def _put_out(self, shell: _Shell, pipeline: _Pipeline, rows: Sequence[Any]) -> None:
        for number, row in enumerate(rows, 1):
            _write_row(pipeline, row)
            if number % _ROWS_A_TURN == 0:
                shell.flush()
                await asyncio.sleep(0)
        shell.flush()

    async def _command_of(
        self, shell: _Shell, pipeline: _Pipeline, name: str, parameters: dict[str, Any], rows: list[Any] | None
    ) -> list[Any]:
        match shell.shown.get(name.lower()):
            case None:
                host = psrp_commands.lacking(name) if shell.configuration == HOST else ""
                if lacking := host or not_modelled(name, parameters):
                    self._faults.record("psrp", cmdlet=name, parameters=parameters, not_modelled=lacking)
                raise not_recognized(name)
            case "Get-Command":
                return psrp_commands.commands(shell.shown.values(), parameters)
            case "Measure-Object":
                return [psrp_commands.measure(rows, parameters, restricted=shell.configuration == JEA)]
            case "Select-Object":
                return psrp_commands.select(rows, parameters, restricted=shell.configuration == JEA)
            case "Where-Object":
                return psrp_commands.where(rows, parameters)
            case "Sort-Object":
                return psrp_commands.sort(rows, parameters)
            case "Get-Module":
                return psrp_commands.modules(parameters)
            case "Start-Sleep":
                await self._pass(psrp_commands.seconds(parameters))
                return []
            case "Out-Default":
                return rows if rows is not None else [parameters.get("InputObject")]
            case "Exit-PSSession":
                return []
            case "Connect-ExchangeOnline":
                entry = self._faults.record(
                    "psrp", cmdlet=name, parameters=parameters, caller=shell.user, executed=True
                )
                if lacking := shell.connection.lacking(parameters):
                    entry["not_modelled"] = lacking
                shell.connection.connect(parameters)
                self._show(shell)
                return []
            case "Disconnect-ExchangeOnline":
                shell.connection.disconnect()
                self._show(shell)
                return []
            case "Get-ConnectionInformation":
                return shell.connection.information()
            case exo if exo in psrp_module.NAMES:
                return await self._of_module(shell, pipeline, exo, parameters, rows)
            case cmdlet if rows is None:
                return await self._cmdlet(shell, pipeline, cmdlet, parameters)
            case cmdlet:
                return await self._for_each(shell, pipeline, cmdlet, parameters, rows)

    async def _of_module(
        self, shell: _Shell, pipeline: _Pipeline, name: str, parameters: dict[str, Any], rows: list[Any] | None
    ) -> list[Any]:
        """A Get-EXO cmdlet: the rows of the cmdlet behind it, with the properties that were asked for."""
        asked = psrp_module.asked(name, parameters)
        found = await self._command_of(shell, pipeline, asked.cmdlet, asked.parameters, rows)
        if asked.columns is None:
            return found
        return psrp_commands.select(found, {"Property": asked.columns}, restricted=False)

    async def _for_each(
        self, shell: _Shell, pipeline: _Pipeline, name: str, parameters: dict[str, Any], rows: list[Any]
    ) -> list[Any]:
        """A cmdlet once for each object of the pipeline. One that is refused does not keep the others from it."""
        found: list[Any] = []
        for row in rows:
            try:
                bound = psrp_commands.with_input(name, parameters, row)
            except CmdletError as error:
                _write(pipeline, record_of(error, f"InputObjectNotBound,{name}", error.exception_type, name))
                continue
            try:
                found += await self._cmdlet(shell, pipeline, name, bound)
            except CmdletError as error:
                if _met(pipeline, name, error, parameters) is not None:
                    raise
        return found

    async def _cmdlet(self, shell: _Shell, pipeline: _Pipeline, name: str, parameters: dict[str, Any]) -> list[Any]:
        """One of Exchange's cmdlets, with whatever a fault wants to happen to it."""
        caller = shell.connection.caller()
        write = not name.lower().startswith(("get-", "test-"))
        entry = self._faults.record(
            "psrp", cmdlet=name, parameters=parameters, caller=caller.app_id, write=write, path=shell.configuration
        )
        do = self._faults.take("psrp", cmdlet=name, path=shell.configuration)
        await self._faults.wait(do)
        if do.get("close"):
            raise _ShellLostError
        if "end" in do:
            raise _EndedError(do["end"])
        if do.get("status") == 429:
            raise CmdletError(_THROTTLING, _BUSY, "LimitsExceeded")
        try:
            result = await self._asked(entry, caller, name, parameters)
        except CmdletError:
            if lacking := not_modelled(name, parameters):
                entry["not_modelled"] = lacking
            raise
        if result.confirmation is not None and parameters.get("WhatIf") is not True:
            raise no_prompt(name)
        entry["executed"] = True
        if do.get("run_then_close"):
            raise _ShellLostError
        pipeline.warnings += result.warnings
        if psrp_commands.action(parameters, "WarningAction") not in psrp_commands.QUIET:
            for warning in result.warnings:
                pipeline.write_warning(warning)
        for text in (*result.errors, *do.get("adminapi_errors", ())):
            error = CmdletError("", str(text), "NotSpecified")
            if _met(pipeline, name, error, parameters) is not None:
                raise error
        noun = name.partition("-")[2]
        rows = left(do.get("rows", result.rows), do)
        return [of_module(noun, row) if isinstance(row, Mapping) else row for row in rows]

    async def _asked(
        self, entry: dict[str, Any], caller: Caller, name: str, parameters: dict[str, Any]
    ) -> CmdletResult:
        """What the service answers to the module on the host, within the quota that it shares with REST.

        The module waits as a Retry-After asks, and repeats up to five times (its proxy, Execute-Command); so a client
        of the host sees a slow cmdlet, and an error in the end. The setting `psrp_module_retries` is another number.
        """
        quotas, settings = self._tenant.throttle, self._tenant.settings
        again = int(settings.get("psrp_module_retries", _MODULE_RETRIES))
        while True:
            try:
                with quotas.running("exchange", caller.app_id):
                    await asyncio.sleep(float(settings.get("exchange_latency_s", 0)))
                    return run_cmdlet(self._tenant, caller, name, parameters)
            except OverQuota as over:
                entry["throttled"] = over.quota
                entry["refused"] = entry.get("refused", 0) + 1
                if not again:
                    raise CmdletError(_THROTTLING, over.text, "LimitsExceeded") from None
                await self._pass(over.retry_after_s)
            again -= 1

    async def _pass(self, seconds: float) -> None:
        """Wait by the tenant's clock, which may be put forward."""
        until = self._tenant.clock.now().timestamp() + seconds
        while (left_s := until - self._tenant.clock.now().timestamp()) > 0:  # noqa: ASYNC110 - no clock tells
            await asyncio.sleep(min(left_s, _LOOK_S))

    def _show(self, shell: _Shell) -> None:
        """Find out which commands the session shows now: roles change, and so does the connection."""
        if shell.configuration == JEA:
            nouns = {noun.lower() for noun in _JEA_NOUNS}
            own = [n for n in catalogue(shell.connection.caller()) if n.partition("-")[2].lower() in nouns]
            names = [*_ALWAYS, *own]
        else:
            own = catalogue(shell.connection.caller()) if shell.connection.connected else []
            known = {name.lower() for name in own}
            module = [name for name in psrp_module.NAMES if psrp_module.behind(name).lower() in known]
            names = [*_ALWAYS, *_ORDINARY, *_CONNECTING, *module, *own]
        shell.shown = {name.lower(): name for name in names}


class _Host:
    """What a script does in its session."""

    def __init__(self, shells: Shells, shell: _Shell, pipeline: _Pipeline) -> None:
        self._shells, self._shell, self._pipeline = shells, shell, pipeline
        self.warnings, self.errors = pipeline.warnings, pipeline.errors

    async def command(self, name: str, parameters: dict[str, Any], rows: list[Any] | None) -> list[Any]:
        """Run a command of the session. Raises EndedStatementError."""
        try:
            return await self._shells._command_of(self._shell, self._pipeline, name, parameters, rows)
        except CmdletError as error:
            record = _met(self._pipeline, name, error, parameters)
            if record is None:
                return []
            stops = psrp_commands.action(parameters, "ErrorAction") == "stop"
            text = record.Exception.Message.removeprefix(STOPPED)
            raise EndedStatementError(record, text, everything=stops) from None

    def refused(self, name: str, error: CmdletError) -> EndedStatementError:
        """An error that ends its statement."""
        short = error.exception_type.rpartition(".")[2].removesuffix("Exception")
        if name.lower() in LANGUAGE:
            record = record_of(error, f"{short},{name}", error.exception_type, name)
        elif name:
            record = error_record(name, error)[0]
        else:
            record = record_of(error, short, error.exception_type)
        return EndedStatementError(record, error.message, everything=False)

    def write_error(self, record: Any) -> None:
        """Put a record into the stream of errors."""
        _write(self._pipeline, record)

    def write_warning(self, message: str) -> None:
        """Put a text into the stream of warnings."""
        self.warnings.append(message)
        self._pipeline.write_warning(message)

    def write_information(self, message: str) -> None:
        """Put a text into the stream of information, which clients of PowerShell 5.1 and later have."""
        with contextlib.suppress(InvalidProtocolVersion):
            self._pipeline.write_information(message, "Write-Host", tags=["PSHOST"])

    def now(self) -> dt.datetime:
        """The time by the tenant's clock."""
        return self._shells._tenant.clock.now()


_THROTTLING = "Microsoft.Exchange.AdminApi.ThrottlingException"
_MODULE_RETRIES = 5
_LOOK_S = 0.02
_BUSY = "You have reached the maximum number of concurrent requests per tenant. Please wait and try again."


def _statements(commands: Iterable[Any]) -> Iterable[list[Any]]:
    """The commands of each statement; a pipe joins several."""
    statement: list[Any] = []
    for command in commands:
        statement.append(command)
        if command.end_of_statement:
            yield statement
            statement = []
    if statement:
        yield statement


def _write_row(pipeline: _Pipeline, row: Any) -> None:
    """Write an object of the output."""
    content = clixml(row) if isinstance(row, Shown) else None
    if content is not None:
        write_clixml(pipeline, content)
    else:
        pipeline.write_output(powershell_row(row) if isinstance(row, Shown) else row)


def _write(pipeline: _Pipeline, record: ErrorRecord) -> None:
    pipeline.errors.append(shown_error(record))
    pipeline.prepare_message(record, message_type=PSRPMessageType.ErrorRecord)


def _met(pipeline: _Pipeline, name: str, error: CmdletError, parameters: Mapping[str, Any]) -> ErrorRecord | None:
    """Do with an error what `-ErrorAction` says; the record where it ends the statement.

    The action does not decide about an error that ends it anyway, such as parameters that do not bind
    (about_CommonParameters).
    """
    record, terminates = error_record(name, error)
    action = psrp_commands.action(parameters, "ErrorAction")
    if terminates:
        return record
    if action == "stop":
        stopped = CmdletError(error.exception_type, STOPPED + text_of(error), error.category)
        return record_of(stopped, exception="System.Management.Automation.ActionPreferenceStopException")
    if action == "silentlycontinue":
        pipeline.errors.append(shown_error(record))
    elif action not in psrp_commands.QUIET:
        _write(pipeline, record)
    return None
