"""Commands of PowerShell itself that a session of the management host shows, and how arguments find their parameters.

A restricted session (SessionType RestrictedRemoteServer) has proxies of a few commands, which take little: its
Select-Object takes -InputObject and -Property alone (PowerShell, CommandMetadata.cs, GetRestrictedSelectObject). An
ordinary session has the commands themselves. Those that take script blocks are in `psrp_script`.

Positions and parameters that take pipeline input are those of Microsoft's pages (`cmdlets/published.json`).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from psrpcore.types import PSCustomObject

from provisioner.sandbox import psrp_module
from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.coverage import published
from provisioner.sandbox.psrp_values import Shown, selected

MODULE, MODULE_VERSION = "ExchangeOnlineManagement", "3.9.2"

# In what order each command takes arguments without a name (PowerShell's own pages).
_POSITIONS: Mapping[str, tuple[str, ...]] = {
    "convertto-json": ("InputObject",),
    **dict.fromkeys(map(str.lower, psrp_module.NAMES), ("Identity",)),
    "get-command": ("Name",),
    "get-module": ("Name",),
    "group-object": ("Property",),
    "import-module": ("Name",),
    "measure-object": ("Property",),
    "new-object": ("TypeName", "ArgumentList"),
    "select-object": ("Property",),
    "sort-object": ("Property",),
    "start-sleep": ("Seconds",),
    "where-object": ("Property", "Value"),
}
_LIKE_IN_SCRIPTS = frozenset({
    "add-content", "add-member", "add-type", "clear-host", "clear-variable", "compare-object", "convertfrom-csv",
    "convertfrom-json", "convertfrom-securestring", "convertfrom-stringdata", "convertto-csv", "convertto-html",
    "convertto-securestring", "convertto-xml", "copy-item", "export-clixml", "export-csv", "format-custom",
    "format-list", "format-table", "format-wide", "get-alias", "get-childitem", "get-content", "get-credential",
    "get-culture", "get-error", "get-help", "get-history", "get-host", "get-installedmodule", "get-item",
    "get-itemproperty", "get-job", "get-location", "get-member", "get-process", "get-pssession", "get-random",
    "get-service", "get-timezone", "get-unique", "get-variable", "import-clixml", "import-csv", "import-pssession",
    "install-module", "invoke-command", "invoke-expression", "invoke-restmethod", "invoke-webrequest", "join-path",
    "move-item", "new-guid", "new-item", "new-pssession", "new-timespan", "new-variable", "out-file", "out-gridview",
    "out-host", "out-printer", "out-string", "pop-location", "push-location", "read-host", "receive-job",
    "remove-item", "remove-module", "remove-pssession", "remove-variable", "rename-item", "resolve-path",
    "select-string", "send-mailmessage", "set-alias", "set-content", "set-executionpolicy", "set-item",
    "set-itemproperty", "set-location", "set-strictmode", "set-variable", "split-path", "start-job", "start-process",
    "start-transcript", "stop-transcript", "tee-object", "test-connection", "test-path", "update-module", "wait-job",
    "write-eventlog",
})  # fmt: skip
"""Commands of PowerShell that scripts for Exchange use and that are not modelled in an ordinary session."""
_ALIASES: Mapping[str, str] = {
    "%": "ForEach-Object", "foreach": "ForEach-Object", "?": "Where-Object", "where": "Where-Object",
    "select": "Select-Object", "sort": "Sort-Object", "measure": "Measure-Object", "group": "Group-Object",
    "echo": "Write-Output", "write": "Write-Output", "gcm": "Get-Command", "gmo": "Get-Module",
    "ipmo": "Import-Module", "sleep": "Start-Sleep", "fl": "Format-List", "ft": "Format-Table", "gm": "Get-Member",
    "epcsv": "Export-Csv", "ipcsv": "Import-Csv", "gc": "Get-Content", "cat": "Get-Content", "type": "Get-Content",
}  # fmt: skip
_SWITCHES: Mapping[str, frozenset[str]] = {
    "convertto-json": frozenset({"compress", "asarray", "enumsasstrings"}),
    "get-module": frozenset({"listavailable", "all"}),
    "group-object": frozenset({"noelement", "asstring", "ashashtable"}),
    "import-module": frozenset({"force", "global", "passthru", "disablenamechecking"}),
    "measure-object": frozenset({"sum", "average", "maximum", "minimum"}),
    "select-object": frozenset({"unique"}),
    "sort-object": frozenset({"descending", "unique"}),
    "write-host": frozenset({"nonewline"}),
    "write-output": frozenset({"noenumerate"}),
}

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "convertto-json": ("InputObject", "Depth", "Compress", "AsArray", "EnumsAsStrings"),
    "foreach-object": ("Begin", "Process", "End", "MemberName", "InputObject"),
    "group-object": ("Property", "InputObject", "NoElement", "AsHashTable", "AsString"),
    "measure-object": ("Property", "InputObject", "Sum", "Average", "Maximum", "Minimum"),
    "select-object": (
        "Property", "ExcludeProperty", "ExpandProperty", "First", "Last", "Skip", "SkipLast", "Unique", "InputObject",
    ),
    "sort-object": ("Property", "Descending", "Unique", "InputObject"),
    "start-sleep": ("Seconds", "Milliseconds"),
}  # fmt: skip
"""What commands of PowerShell take, as far as a beginning of a name is looked for."""


def real_name(name: str) -> str:
    """The command that an alias of PowerShell stands for."""
    return _ALIASES.get(name.lower(), name)


def is_switch(command: str, name: str) -> bool:
    """Whether a parameter is one without a value. Raises CmdletError where it may be one of several."""
    low = command.lower()
    if low == "where-object" and name.lower() in {*COMPARISONS, "not"}:
        return True
    whole = _whole(command, name)
    if whole.lower() in _SWITCHES.get(low, ()) or whole in {"Verbose", "Debug", "Confirm", "WhatIf"}:
        return True
    facts = published().cmdlets.get(psrp_module.behind(command).lower(), {})
    return any(own.lower() == whole.lower() and fact.get("type") == "SwitchParameter" for own, fact in facts.items())


def lacking(name: str) -> str:
    """What the sandbox lacks where an ordinary session of PowerShell has this command; "" for nothing."""
    return f"{name} (a command of PowerShell)" if name.lower() in _LIKE_IN_SCRIPTS else ""


# --- arguments -------------------------------------------------------------------------------------------------------


def named(command: str, arguments: Iterable[tuple[str | None, Any]]) -> dict[str, Any]:
    """The parameters of a command, those without a name by their position. Raises CmdletError."""
    given = list(arguments)
    parameters = {
        _whole(command, str(name).lstrip("-").rstrip(":")): value for name, value in given if name is not None
    }
    for name, value in parameters.items():  # of an enumeration the number will do
        if name.lower().endswith("action") and value.__class__ is int and 0 <= value < len(_ACTIONS):
            parameters[name] = _ACTIONS[value]
    taken = {name.lower() for name in parameters}
    free = [name for name in _positions(command) if name.lower() not in taken]
    for value in (value for name, value in given if name is None):
        if not free:
            shown = value if isinstance(value, str) else str(value)
            text = f"A positional parameter cannot be found that accepts argument '{shown}'."
            raise CmdletError("System.Management.Automation.ParameterBindingException", text)
        parameters[free.pop(0)] = value
    return parameters


_SHORT: Mapping[str, str] = {
    "ea": "ErrorAction", "ev": "ErrorVariable", "wa": "WarningAction", "wv": "WarningVariable", "vb": "Verbose",
    "infa": "InformationAction", "iv": "InformationVariable", "ov": "OutVariable", "ob": "OutBuffer",
    "pv": "PipelineVariable", "db": "Debug", "cf": "Confirm", "wi": "WhatIf",
}  # fmt: skip
"""Aliases of the common parameters (about_CommonParameters)."""


def _whole(command: str, name: str) -> str:
    """The parameter that a beginning of its name means, as far as one alone begins so. Raises CmdletError."""
    if name.lower() in _SHORT:
        return _SHORT[name.lower()]
    low = command.lower()
    own_names = _PARAMETERS.get(low) or (*published().cmdlets.get(low, ()), "ResultSize")
    known = list(dict.fromkeys((*own_names, *_SHORT.values())))
    if any(own.lower() == name.lower() for own in known) or not (low in _PARAMETERS or published().is_cmdlet(command)):
        return name
    meant = [own for own in known if own.lower().startswith(name.lower())]
    if len(meant) > 1:
        text = (
            f"Parameter cannot be processed because the parameter name '{name}' is ambiguous. Possible matches "
            f"include: {' '.join(f'-{own}' for own in meant)}."
        )
        raise CmdletError("System.Management.Automation.ParameterBindingException", text, "InvalidArgument")
    return meant[0] if meant else name


_ACTIONS = ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore", "Suspend", "Break")
QUIET = frozenset({"silentlycontinue", "ignore"})


def action(parameters: Mapping[str, Any], name: str) -> str:
    """What a call wants to happen with its errors or warnings: a word of ActionPreference in lower case."""
    return str(next((v for own, v in parameters.items() if own.lower() == name.lower()), "continue")).lower()


def _positions(command: str) -> Sequence[str]:
    """Pages count positions from 1 or from 0; their order is what counts."""
    own = _POSITIONS.get(command.lower())
    if own is not None:
        return own
    facts = published().cmdlets.get(command.lower(), {})
    placed = [(fact["position"], name) for name, fact in facts.items() if isinstance(fact.get("position"), int)]
    return [name for _, name in sorted(placed)]


def with_input(command: str, parameters: Mapping[str, Any], row: Any) -> dict[str, Any]:
    """The parameters of a cmdlet for one object of the pipeline. Raises CmdletError where nothing takes it.

    An object is bound by the names of its properties, a text as the identity.
    """
    facts = published().cmdlets.get(psrp_module.behind(command).lower(), {})
    given = {name.lower() for name in parameters}
    takes = [name for name, fact in facts.items() if fact.get("pipeline") and name.lower() not in given]
    if isinstance(row, str):
        found: dict[str, Any] = {"Identity": row} if "Identity" in takes else {}
    else:
        shown = {name.lower(): value for name, value in as_shown(row).properties.items()}
        found = {name: shown[name.lower()] for name in takes if shown.get(name.lower()) is not None}
    if not found:
        text = (
            "The input object cannot be bound to any parameters for the command either because the command does not "
            "take pipeline input or the input and its properties do not match any of the parameters that take "
            "pipeline input."
        )
        raise CmdletError("System.Management.Automation.ParameterBindingException", text, "InvalidArgument")
    return {**parameters, **found}


# --- commands --------------------------------------------------------------------------------------------------------


def commands(visible: Iterable[str], parameters: Mapping[str, Any]) -> list[PSCustomObject]:
    """Get-Command: what is visible, by name where names are given."""
    asked = parameters.get("Name")
    names = {str(n).lower() for n in (asked if isinstance(asked, list) else [asked])} if asked else None
    return [
        PSCustomObject(Name=name, CommandType=2, Source="ExchangeOnlineManagement")
        for name in sorted(visible)
        if names is None or name.lower() in names or "*" in names
    ]


def measure(rows: list[Any] | None, parameters: Mapping[str, Any], *, restricted: bool) -> PSCustomObject:
    """Measure-Object: how many there are, and of a property what is asked. Raises CmdletError.

    A restricted session's proxy of it knows InputObject only.
    """
    takes = {"inputobject"} if restricted else {"inputobject", "property", "sum", "average", "maximum", "minimum"}
    given = _given(parameters, takes)
    count: Any = len(rows) if rows is not None else int("inputobject" in given)
    figures: dict[str, Any] = dict.fromkeys(("average", "sum", "maximum", "minimum"))
    name = given.get("property")
    if rows is not None and (name is not None or any(given.get(figure, False) is not False for figure in figures)):
        values = [_property(row, str(name)) if name is not None else row for row in rows]
        values = [value for value in values if value is not None]
        count = len(values)
        figures.update(_figures(values, given))
    shown = PSCustomObject(
        Count=count,
        Average=figures["average"],
        Sum=figures["sum"],
        Maximum=figures["maximum"],
        Minimum=figures["minimum"],
        Property=name,
    )
    shown.PSObject.type_names = [
        "Deserialized.Microsoft.PowerShell.Commands.GenericMeasureInfo",
        "Deserialized.Microsoft.PowerShell.Commands.MeasureInfo",
        *shown.PSTypeNames,
    ]
    return shown


def _property(row: Any, name: str) -> Any:
    return next((value for own, value in as_shown(row).properties.items() if own.lower() == name.lower()), None)


def _figures(values: list[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those asked for of Sum, Average, Maximum and Minimum."""
    asked = {name for name in ("sum", "average", "maximum", "minimum") if given.get(name, False) is not False}
    found: dict[str, Any] = {}
    if values and asked & {"maximum", "minimum"}:
        order = sorted(values, key=rank)
        found |= {"maximum": order[-1], "minimum": order[0]}
    if values and asked & {"sum", "average"}:
        wrong = next((v for v in values if isinstance(v, bool) or not isinstance(v, int | float)), None)
        if wrong is not None:
            text = f'Input object "{wrong}" is not numeric.'
            raise CmdletError("System.Management.Automation.PSInvalidCastException", text, "InvalidType")
        found |= {"sum": float(sum(values)), "average": sum(values) / len(values)}
    return {name: value for name, value in found.items() if name in asked}


_SELECTABLE = (
    "ModuleName", "Namespace", "OutputType", "Count", "HelpUri", "Name", "CommandType", "ResolvedCommandName",
    "DefaultParameterSet", "CmdletBinding", "Parameters",
)  # fmt: skip
"""What the Select-Object of a restricted session selects: all that Import-PSSession asks of it (PowerShell,
CommandMetadata.cs, GetRestrictedSelectObject)."""


def select(rows: list[Any] | None, parameters: Mapping[str, Any], *, restricted: bool) -> list[Any]:
    """Select-Object. Raises CmdletError."""
    takes = {"inputobject", "property"} if restricted else _SELECTS
    given = _given(parameters, takes)
    found = rows if rows is not None else [given.get("inputobject")]
    asked = given.get("property")
    names = [] if asked is None else [str(name) for name in (asked if isinstance(asked, list) else [asked])]
    wrong = [name for name in names if name.lower() not in {n.lower() for n in _SELECTABLE}] if restricted else []
    if wrong:
        text = (
            f"Cannot validate argument on parameter 'Property'. The argument \"{wrong[0]}\" does not belong to the "
            f'set "{",".join(_SELECTABLE)}" specified by the ValidateSet attribute. Supply an argument that is in the '
            "set and then try the command again."
        )
        raise CmdletError("System.Management.Automation.ParameterBindingValidationException", text, "InvalidData")
    shown = _columns(_some(found, given), names, given)
    return once(shown) if given.get("unique", False) is not False else shown


_SELECTS = frozenset({
    "inputobject", "property", "excludeproperty", "expandproperty", "first", "last", "skip", "skiplast", "unique",
})  # fmt: skip


def _given(parameters: Mapping[str, Any], takes: Iterable[str]) -> dict[str, Any]:
    common = {name.lower() for name in _SHORT.values()}
    given = {name.lower(): value for name, value in parameters.items() if name.lower() not in common}
    unknown = sorted(set(given) - set(takes))
    if unknown:
        text = f"A parameter cannot be found that matches parameter name '{unknown[0]}'."
        raise CmdletError("System.Management.Automation.ParameterBindingException", text, "InvalidArgument")
    return given


def _some(rows: list[Any], given: Mapping[str, Any]) -> list[Any]:
    """The rows that -First, -Last, -Skip and -SkipLast leave. With -First and -Last both ends are given."""
    first, last, skip = (_number(given, name) for name in ("first", "last", "skip"))
    skip_last = _number(given, "skiplast") or 0
    rows = rows[: len(rows) - skip_last] if skip_last else rows
    if last is not None and first is None:
        rows = rows[: len(rows) - skip] if skip else rows
        return rows[max(0, len(rows) - last) :]
    rows = rows[skip or 0 :]
    if first is not None and last is not None:
        return rows if first + last >= len(rows) else [*rows[:first], *rows[len(rows) - last :]]
    return rows if first is None else rows[:first]


def _number(given: Mapping[str, Any], name: str) -> int | None:
    """A number that may not be negative. Raises CmdletError."""
    value = given.get(name)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        text = f"Cannot validate argument on parameter '{name.capitalize()}'. The argument \"{value}\" is not valid."
        raise CmdletError("System.Management.Automation.ParameterBindingValidationException", text, "InvalidData")
    return number


def _columns(rows: list[Any], names: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    expanded = given.get("expandproperty")
    if expanded is not None:
        return [value for row in rows for value in _expanded(as_shown(row), str(expanded))]
    left_out = given.get("excludeproperty")
    if not names and left_out is None:
        return rows
    shown = [selected(as_shown(row), names or ["*"]) for row in rows]
    left_out = left_out if isinstance(left_out, list) else [left_out] if left_out else []
    patterns = [str(name).lower() for name in left_out]

    def stays(name: str) -> bool:
        return not any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in patterns)

    return [Shown(one.type, {n: v for n, v in one.properties.items() if stays(n)}) for one in shown]


def _expanded(row: Shown, name: str) -> list[Any]:
    for own, value in row.properties.items():
        if own.lower() == name.lower():
            return value if isinstance(value, list) else [value]
    text = f'Property "{name}" cannot be found.'
    raise CmdletError("System.Management.Automation.PSArgumentException", text, "InvalidArgument")


def once(rows: list[Any]) -> list[Any]:
    found: dict[str, Any] = {}
    for row in rows:
        found.setdefault(repr(dict(row.properties)) if isinstance(row, Shown) else repr(row), row)
    return list(found.values())


def sort(rows: list[Any] | None, parameters: Mapping[str, Any]) -> list[Any]:
    """Sort-Object by properties. Raises CmdletError."""
    given = _given(parameters, {"property", "descending", "inputobject", "unique"})
    asked = given.get("property") or []
    names = [str(name).lower() for name in (asked if isinstance(asked, list) else [asked])]

    def key(row: Any) -> tuple[tuple[int, float, str], ...]:
        shown = {name.lower(): value for name, value in as_shown(row).properties.items()}
        return tuple(rank(shown.get(name)) for name in names)

    found = sorted(rows or [], key=key, reverse=given.get("descending", False) is not False)
    return once(found) if given.get("unique", False) is not False else found


def where(rows: list[Any] | None, parameters: Mapping[str, Any]) -> list[Any]:
    """Where-Object with one comparison of a property. Raises CmdletError."""
    given = _given(parameters, {"property", "value", "inputobject", "not", *COMPARISONS})
    words = [word for word in COMPARISONS if word in given]
    name = str(given.get("property") or "").lower()
    if not name or len(words) > 1:
        text = "Parameter set cannot be resolved using the specified named parameters."
        raise CmdletError("System.Management.Automation.ParameterBindingException", text, "InvalidArgument")

    def fits(row: Any) -> bool:
        shown = {own.lower(): value for own, value in as_shown(row).properties.items()}
        if not words:
            return truth(shown.get(name)) is not ("not" in given)
        return COMPARISONS[words[0]](shown.get(name), given.get("value"))

    return [row for row in rows or [] if fits(row)]


def rank(value: Any) -> tuple[int, float, str]:
    """By what a value is sorted: null first, numbers as numbers, all else as text without case."""
    if value is None:
        return 0, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 1, float(value), ""
    return 2, 0.0, _text(value).lower()


def _text(value: Any) -> str:
    """A value as PowerShell makes a text of it."""
    return "" if value is None else str(value)


def truth(value: Any) -> bool:
    return bool(value) if not isinstance(value, list) else any(truth(item) for item in value) or len(value) > 1


def equal(left: Any, right: Any) -> bool:
    """-eq: the type of the left side decides, and texts have no case (about_Comparison_Operators)."""
    if isinstance(left, list):
        return any(equal(item, right) for item in left)
    if isinstance(left, bool):
        return left is (right if isinstance(right, bool) else truth(right))
    if isinstance(left, int | float) and not isinstance(right, bool):
        try:
            return left == float(right)
        except (TypeError, ValueError):
            return False
    if left is None or right is None:
        return left is right
    return _text(left).lower() == _text(right).lower()


def _less(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and not isinstance(left, bool):
        try:
            return left < float(right)
        except (TypeError, ValueError):
            return False
    return _text(left).lower() < _text(right).lower()


def _like(left: Any, right: Any) -> bool:
    return fnmatch.fnmatchcase(_text(left).lower(), _text(right).lower())


def _matches(left: Any, right: Any) -> bool:
    try:
        return re.search(_text(right), _text(left), re.IGNORECASE) is not None
    except re.error:
        return False


def _contains(left: Any, right: Any) -> bool:
    return any(equal(item, right) for item in (left if isinstance(left, list) else [left]))


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "gt": lambda left, right: not _less(left, right) and not equal(left, right),
    "ge": lambda left, right: not _less(left, right),
    "lt": _less,
    "le": lambda left, right: _less(left, right) or equal(left, right),
    "like": _like,
    "notlike": lambda left, right: not _like(left, right),
    "match": _matches,
    "notmatch": lambda left, right: not _matches(left, right),
    "contains": _contains,
    "notcontains": lambda left, right: not _contains(left, right),
    "in": lambda left, right: _contains(right, left),
    "notin": lambda left, right: not _contains(right, left),
}


def seconds(parameters: Mapping[str, Any]) -> float:
    """How long Start-Sleep sleeps. Raises CmdletError."""
    given = _given(parameters, {"seconds", "milliseconds"})
    return float(given.get("seconds") or 0) + float(given.get("milliseconds") or 0) / 1000


def modules(parameters: Mapping[str, Any]) -> list[PSCustomObject]:
    """Get-Module: the one that matters here. Raises CmdletError."""
    given = _given(parameters, {"name", "listavailable", "all"})
    asked = given.get("name")
    names = [str(name).lower() for name in (asked if isinstance(asked, list) else [asked])] if asked else ["*"]
    if not any(fnmatch.fnmatchcase(MODULE.lower(), name) for name in names):
        return []
    return [PSCustomObject(Name=MODULE, Version=MODULE_VERSION, ModuleType="Script", Path="")]


def as_shown(row: Any) -> Shown:
    """An object of the pipeline with its properties; a text has its Length."""
    if isinstance(row, Shown):
        return row
    if isinstance(row, str):
        return Shown("System.String", {"Length": len(row)})
    properties = row.PSObject.extended_properties if isinstance(row, PSCustomObject) else ()
    return Shown(f"System.{type(row).__name__}", {p.name: p.get_value(row) for p in properties})
