"""How a cmdlet refuses: the exception, and the service's own texts.

Where a text was seen in a recorded answer or in Microsoft's documentation its source stands beside it; a text marked
"ours" says in the service's manner what it says in words that nobody has published.
"""

from __future__ import annotations

from collections.abc import Sequence

_COMMAND = "Microsoft.Exchange.AdminApi.CommandInvocation"


class CmdletError(Exception):
    """A terminating error of a cmdlet.

    `exception_type` is the .NET name, `message` the text without any prefix, `category` PowerShell's ErrorCategory,
    `error_id` the "Ex6F9304" that some errors carry ("" for none). `binding` marks a call whose parameters did not
    bind: the service then answers "Invalid Operation" instead of "Error executing cmdlet". `detailed` is False for the
    one error that was captured without a `details` list.
    """

    def __init__(
        self,
        exception_type: str,
        message: str,
        category: str = "InvalidArgument",
        http_status: int = 400,
        error_id: str = "",
        *,
        binding: bool = False,
        detailed: bool = True,
    ) -> None:
        super().__init__(message)
        self.exception_type, self.message, self.category = exception_type, message, category
        self.http_status, self.error_id = http_status, error_id
        self.binding, self.detailed = binding, detailed


def not_allowed(cmdlet: str) -> CmdletError:
    """A cmdlet that does not exist, or that no role of the caller has: the service does not tell the two apart."""
    text = f"The term '{cmdlet}' is not recognized as the name of a cmdlet, function, script file, or operable program."
    return CmdletError(
        "System.Management.Automation.CommandNotFoundException", text, "ObjectNotFound", 403, binding=True
    )


def unknown_parameter(name: str) -> CmdletError:
    """Live capture (graph2otel, July 2026)."""
    text = (
        "Parameter set cannot be resolved using the specified named parameters. "
        f"Invalid cmdlet parameters specified. {name}"
    )
    return CmdletError(f"{_COMMAND}.AmbiguousParameterSetException", text, binding=True)


def ambiguous_set() -> CmdletError:
    """Parameters of different parameter sets in one call (PowerShell's own sentence)."""
    text = (
        "Parameter set cannot be resolved using the specified named parameters. One or more parameters issued cannot "
        "be used together or an insufficient number of parameters were provided."
    )
    return CmdletError(f"{_COMMAND}.AmbiguousParameterSetException", text, binding=True)


def missing_parameters(names: Sequence[str]) -> CmdletError:
    """Mandatory parameters left out (PowerShell's own sentence)."""
    text = f"Cannot process command because of one or more missing mandatory parameters: {' '.join(names)}."
    return CmdletError("System.Management.Automation.ParameterBindingException", text, binding=True)


def not_convertible(parameter: str, value: object, type_name: str, reason: str) -> CmdletError:
    """A value that is not of the parameter's type. Captured without a `details` list."""
    text = (
        f"Cannot process argument transformation on parameter '{parameter}'. Cannot convert value "
        f'"{value}" to type "{type_name}". Error: "{reason}"'
    )
    return CmdletError(f"{_COMMAND}.ParameterTransformationException", text, binding=True, detailed=False)


def not_a_member(parameter: str, value: object, type_name: str, members: Sequence[str]) -> CmdletError:
    """A word that is not among an enumeration's (live capture, graph2otel)."""
    reason = (
        f"Unable to match the identifier name {value} to a valid enumerator name. Specify one of the following "
        f"enumerator names and try again: {', '.join(members)}"
    )
    return not_convertible(parameter, value, type_name, reason)


def not_found(identity: str, server: str) -> CmdletError:
    """Recorded (test data of the service's module; Learn Q&A 2108696). `server` is the domain controller's name."""
    text = f"The operation couldn't be performed because object '{identity}' couldn't be found on '{server}'."
    return CmdletError(
        "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException",
        text,
        "ObjectNotFound",
        404,
        "Ex6F9304",
    )


def matches_many(identity: str) -> CmdletError:
    """A name that several objects go by, such as a display name.

    Recorded over REST (CIPP-API pull request 1568, CyberDrain/CIPP issue 244); remote PowerShell of 2021 had the
    sentence without "object:" (office-docs-powershell issue 7166).
    """
    text = f"The operation couldn't be performed because object: '{identity}' matches multiple entries."
    ambiguous = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectAmbiguousException"
    return CmdletError(ambiguous, text, "NotSpecified", error_id="Ex9E65A2")


def not_filterable(name: str) -> CmdletError:
    """A property that a cmdlet does not filter on (Learn, "Filterable properties for the Filter parameter")."""
    text = (
        f'"{name}" is not a recognized filterable property. For a complete list of filterable properties see the '
        "command help."
    )
    return CmdletError("Microsoft.Exchange.Data.Directory.FilterException", text, binding=True)


def bad_filter(text: str, reason: str) -> CmdletError:
    """A filter that does not parse (text ours)."""
    sentence = f"Invalid filter syntax. {reason} For a description of the filter parameter syntax see the command help."
    return CmdletError("Microsoft.Exchange.Data.ParsingException", f"{sentence} Filter: {text}", binding=True)


def already_exists(name: str) -> CmdletError:
    """Short form of the sentence, as third parties' recorded answers have it."""
    text = f"The object '{name}' already exists."
    return CmdletError("Microsoft.Exchange.Data.Directory.ADObjectAlreadyExistsException", text, "ResourceExists")


def address_in_use(address: str) -> CmdletError:
    """An address that another recipient has, for a new user (recorded with this id by several administrators)."""
    text = (
        f'The proxy address "SMTP:{address}" is already being used by the proxy addresses or LegacyExchangeDN. Please '
        "choose another proxy address."
    )
    taken = "Microsoft.Exchange.Management.Tasks.WLCDManagedMemberExistsException"
    return CmdletError(taken, text, "InvalidArgument", error_id="ExB10BE9")


def invalid(text: str) -> CmdletError:
    """The cmdlet ran and refused a value or a combination of values."""
    return CmdletError("Microsoft.Exchange.Management.Tasks.ValidationException", text, "InvalidOperation")


def null_argument(parameter: str) -> CmdletError:
    """null for a mandatory parameter (PowerShell's own sentence)."""
    text = f"Cannot bind argument to parameter '{parameter}' because it is null."
    return CmdletError("System.Management.Automation.ParameterBindingException", text, binding=True)


def null_reference() -> CmdletError:
    """A fault of the service itself, as Set-AuthenticationPolicy had it (Microsoft365DSC issue 4819)."""
    text = "Object reference not set to an instance of an object."
    return CmdletError("System.NullReferenceException", text, "NotSpecified", 500)
