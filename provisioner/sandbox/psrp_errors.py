"""Refusals as PowerShell shows them: the records of errors, and the sentences of the language itself."""

from __future__ import annotations

import uuid

from psrpcore.types import ErrorCategory, ErrorCategoryInfo, ErrorRecord, NETException

from provisioner.sandbox.cmdlets import CmdletError


def error_record(name: str, error: CmdletError) -> tuple[ErrorRecord, bool]:
    """The record of a refusal, and whether it ends its statement.

    What does not bind never reaches the module's proxy function: PowerShell itself refuses it. What the service refuses
    the module writes as a non-terminating error, its text behind the service's own `ExXXXXXX|Type|`.
    """
    short = error.exception_type.rpartition(".")[2]
    if short == "CommandNotFoundException":
        return record_of(error, "CommandNotFoundException", error.exception_type, name), True
    if short == "AmbiguousParameterSetException" and "Invalid cmdlet parameters specified." in error.message:
        parameter = error.message.rpartition(" ")[2]
        refusal = CmdletError(
            "System.Management.Automation.ParameterBindingException",
            f"A parameter cannot be found that matches parameter name '{parameter}'.",
        )
        return record_of(refusal, f"NamedParameterNotFound,{name}", refusal.exception_type, name), True
    if error.exception_type.startswith("System.Management.Automation."):
        return record_of(error, f"{short.removesuffix('Exception')},{name}", error.exception_type, name), True
    return record_of(error), False


STOPPED = (
    'The running command stopped because the preference variable "ErrorActionPreference" or common parameter is set to '
    "Stop: "
)


def text_of(error: CmdletError) -> str:
    """A refusal of the service as the module shows it."""
    return f"{error.error_id}|{error.exception_type}|{error.message}"


def record_of(error: CmdletError, fq_error: str = "", exception: str = "", target: str = "") -> ErrorRecord:
    """A refusal as a record; of the service unless `exception` names the .NET type that PowerShell raises."""
    text = error.message if exception else text_of(error)
    raised = NETException(Message=text)
    raised.PSObject.type_names = [*([exception] if exception else []), *raised.PSTypeNames]
    category = getattr(ErrorCategory, error.category, ErrorCategory.NotSpecified)
    where = f"[Server=SANDBOX,RequestId={uuid.uuid4()},TimeStamp=Mon, 01 Jan 2024 00:00:00 GMT],Write-ErrorMessage"
    info = ErrorCategoryInfo(
        Category=category, Reason=error.exception_type.rpartition(".")[2] or "Exception", TargetName=target
    )
    record = ErrorRecord(Exception=raised, CategoryInfo=info, FullyQualifiedErrorId=fq_error or where)
    record.serialize_extended_info = False
    return record


def not_recognized(name: str) -> CmdletError:
    """PowerShell's sentence for a command that is not there, or that a JEA role does not show: it does not say."""
    text = (
        f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. "
        "Check the spelling of the name, or if a path was included, verify that the path is correct and try again."
    )
    return CmdletError("System.Management.Automation.CommandNotFoundException", text, "ObjectNotFound")


def no_scripts() -> CmdletError:
    """NoLanguage mode's sentence (ScriptsNotAllowed)."""
    text = "The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode."
    return CmdletError("System.Management.Automation.PSNotSupportedException", text, "InvalidOperation")


def no_prompt(name: str) -> CmdletError:
    """Nobody is there to be asked (PowerShell's HostException)."""
    text = (
        f"Cannot process command {name}: A command that prompts the user failed because the host program or the "
        "command type does not support user interaction."
    )
    return CmdletError("System.Management.Automation.Host.HostException", text, "NotImplemented")
