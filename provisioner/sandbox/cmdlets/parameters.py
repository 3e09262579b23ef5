"""Parameter tables, and how a call's parameters bind to them.

The order of refusals is the service's as far as known: unknown parameter, then values that do not convert, then what
is missing or belongs to different parameter sets; only then is the object looked for.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.sandbox.cmdlets import errors


class Kind(enum.Enum):
    """How a parameter converts."""

    STRING = "System.String"
    IDENTITY = "Microsoft.Exchange.Configuration.Tasks.IdentityParameter"
    BOOL = "System.Boolean"
    SWITCH = "System.Management.Automation.SwitchParameter"
    INT = "System.Int32"
    ENUM = "System.Enum"
    LIST = "Microsoft.Exchange.Data.MultiValuedProperty`1[System.String]"
    ARRAY = "System.String[]"
    TIMESPAN = "Microsoft.Exchange.Data.EnhancedTimeSpan"
    RESULT_SIZE = "Microsoft.Exchange.Data.Unlimited`1[System.UInt32]"


@dataclass(frozen=True, slots=True)
class Replace:
    """A plain value: the whole list. Empty for arrays only: `[]` leaves a multi-valued property as it is."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """`@{Add=…; Remove=…}` for a list."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of a cmdlet's table.

    `column` is where Set and New store the value ("" for nowhere: the cmdlet sees to it); by default the parameter's
    name. `sets` are the parameter sets it belongs to, empty for all.
    """

    name: str
    kind: Kind
    required: bool = False
    nullable: bool = False
    members: tuple[str, ...] = ()
    type_name: str = ""
    sets: frozenset[str] = frozenset()
    stored: bool = True
    range: tuple[int, int] | None = None
    max_length: int | None = None

    @property
    def dotnet_type(self) -> str:
        """The type's name as errors give it."""
        name = self.type_name or self.kind.value
        return f"System.Nullable`1[{name}]" if self.nullable and self.kind in {Kind.BOOL, Kind.INT} else name


def string(name: str, **options: Any) -> Parameter:
    """A text."""
    return Parameter(name, Kind.STRING, **options)


def boolean(name: str, **options: Any) -> Parameter:
    """A truth value; `nullable` for a tri-state."""
    return Parameter(name, Kind.BOOL, **options)


def switched_off(table: Iterable[Parameter]) -> dict[str, bool]:
    """The columns of the truth values of a table, for a noun whose New leaves them off where nothing is said."""
    return {p.name: False for p in table if p.kind is Kind.BOOL}


def switch(name: str, **options: Any) -> Parameter:
    """A switch, which over the wire is a plain truth value."""
    return Parameter(name, Kind.SWITCH, **options)


def integer(name: str, **options: Any) -> Parameter:
    """A number; `range` gives its limits."""
    return Parameter(name, Kind.INT, **options)


def choice(name: str, type_name: str, *members: str, **options: Any) -> Parameter:
    """A word of an enumeration."""
    return Parameter(name, Kind.ENUM, members=members, type_name=type_name, **options)


def values(name: str, **options: Any) -> Parameter:
    """A multi-valued text. null empties it."""
    return Parameter(name, Kind.LIST, nullable=True, **options)


def words(name: str, type_name: str, *members: str, **options: Any) -> Parameter:
    """A plain array of words of an enumeration; one of them alone will do. null and `[]` are as if it were not sent."""
    options.setdefault("stored", False)
    return Parameter(name, Kind.ARRAY, nullable=True, members=members, type_name=type_name, **options)


def array(name: str, **options: Any) -> Parameter:
    """A plain array of texts: always the whole list, without `@{Add=…; Remove=…}`. null and `[]` empty it."""
    return Parameter(name, Kind.ARRAY, nullable=True, **options)


def timespan(name: str, **options: Any) -> Parameter:
    """A span such as "1.00:00:00"."""
    return Parameter(name, Kind.TIMESPAN, **options)


def identity(*, required: bool = True) -> Parameter:
    """`-Identity`."""
    return Parameter("Identity", Kind.IDENTITY, required=required, stored=False)


def opath_filter() -> Parameter:
    """`-Filter`."""
    return string("Filter", stored=False)


_WORD = "Microsoft.Exchange.Management.ActionPreference"
_ACTIONS = ("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore", "Suspend", "Break")

# What every cmdlet takes besides its own parameters (about_CommonParameters; Confirm and WhatIf of those that write).
COMMON: tuple[Parameter, ...] = (
    Parameter("Verbose", Kind.SWITCH, stored=False),
    Parameter("Debug", Kind.SWITCH, stored=False),
    Parameter("Confirm", Kind.SWITCH, stored=False),
    Parameter("WhatIf", Kind.SWITCH, stored=False),
    *(
        Parameter(
            name, Kind.ENUM, members=_ACTIONS, type_name="System.Management.Automation.ActionPreference", stored=False
        )
        for name in ("ErrorAction", "WarningAction", "InformationAction")
    ),
    *(
        Parameter(name, Kind.STRING, stored=False)
        for name in ("ErrorVariable", "WarningVariable", "InformationVariable", "OutVariable", "PipelineVariable")
    ),
    Parameter("OutBuffer", Kind.INT, stored=False),
)
RESULT_SIZE = Parameter("ResultSize", Kind.RESULT_SIZE, stored=False)


def bind(table: Sequence[Parameter], sent: Mapping[str, Any]) -> dict[str, Any]:
    """The values sent, converted, under the names that the table has. Raises CmdletError."""
    known = {parameter.name.lower(): parameter for parameter in table}
    for name in sent:
        if name.lower() not in known:
            raise errors.unknown_parameter(name)
    bound = {known[name.lower()].name: convert(known[name.lower()], value) for name, value in sent.items()}
    _require(table, bound)
    return bound


def _require(table: Sequence[Parameter], bound: Mapping[str, Any]) -> None:
    """Parameters sent must share a parameter set, and none that is mandatory may lack."""
    sets: frozenset[str] | None = None
    for parameter in table:
        if parameter.name in bound and parameter.sets:
            sets = parameter.sets if sets is None else sets & parameter.sets
    if sets is not None and not sets:
        raise errors.ambiguous_set()
    missing = [
        p.name for p in table if p.required and p.name not in bound and (not p.sets or (sets or p.sets) & p.sets)
    ]
    if missing:
        raise errors.missing_parameters(missing)


def convert(parameter: Parameter, value: Any) -> Any:
    """A value as the parameter takes it. Raises CmdletError.

    Texts stay texts, truth values and numbers become such, words of enumerations get their spelling, lists become
    Replace or Delta. null stays None.
    """
    if value is None:
        if parameter.nullable or parameter.kind in {Kind.IDENTITY, Kind.STRING}:
            return None
        raise errors.not_convertible(
            parameter.name, "", parameter.dotnet_type, f"Cannot convert null to type {parameter.dotnet_type}."
        )
    return _CONVERSIONS[parameter.kind](parameter, value)


def _text(parameter: Parameter, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _mismatch(parameter, value)
    text = str(value)
    if parameter.max_length is not None and len(text) > parameter.max_length:
        raise errors.invalid(
            f"The length of the property is too long. The maximum length is {parameter.max_length} and the length of "
            f"the value provided is {len(text)}."
        )
    return text


def _truth(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, (bool, int)):
        return bool(value)
    reason = "Boolean parameters accept only Boolean values and numbers, such as $True, $False, 1 or 0."
    raise errors.not_convertible(parameter.name, _shown(value), parameter.dotnet_type, reason)


def _number(parameter: Parameter, value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        raise _mismatch(parameter, value) from None
    if isinstance(number, bool) or not isinstance(number, int):
        raise _mismatch(parameter, value)
    if parameter.range is not None and not parameter.range[0] <= number <= parameter.range[1]:
        low, high = parameter.range
        raise errors.invalid(f"The value {number} of {parameter.name} isn't valid. Valid values are {low} to {high}.")
    return number


def _member(parameter: Parameter, value: Any) -> str:
    if isinstance(value, str):
        for member in parameter.members:
            if member.lower() == value.lower():
                return member
    raise errors.not_a_member(parameter.name, _shown(value), parameter.dotnet_type, parameter.members)


def _list(parameter: Parameter, value: Any) -> Replace | Delta:
    if isinstance(value, Mapping):
        keys = {str(key).lower(): entry for key, entry in value.items()}
        if set(keys) - {"add", "remove"}:
            raise _mismatch(parameter, value)
        return Delta(_items(parameter, keys.get("add")), _items(parameter, keys.get("remove")))
    items = _items(parameter, value)
    return Replace(items) if items else Delta()


def _array(parameter: Parameter, value: Any) -> Replace:
    if isinstance(value, Mapping):
        raise _mismatch(parameter, value)
    return Replace(_items(parameter, value))


def _items(parameter: Parameter, value: Any) -> tuple[str, ...]:
    entries = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if parameter.members:
        listed = (part.strip() for entry in entries for part in _text(parameter, entry).split(","))
        return tuple(_member(parameter, word) for word in listed)
    return tuple(_text(parameter, entry) for entry in entries)


_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?")


def _span(parameter: Parameter, value: Any) -> str:
    """The span as it is stored: days only where there are any."""
    match = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > 23 or int(match[3]) > 59 or int(match[4]) > 59:
        raise _mismatch(parameter, value)
    days = f"{int(match[1])}." if match[1] and int(match[1]) else ""
    return f"{days}{int(match[2]):02d}:{match[3]}:{match[4]}"


def _result_size(parameter: Parameter, value: Any) -> int | None:
    """Number of rows; None for all."""
    if isinstance(value, str) and value.lower() == "unlimited":
        return None
    number = _number(parameter, value)
    if number < 1:
        raise _mismatch(parameter, value)
    return number


def _mismatch(parameter: Parameter, value: Any) -> errors.CmdletError:
    shown, wanted = _shown(value), parameter.dotnet_type
    reason = f'Cannot convert the "{shown}" value of type "{_dotnet(value)}" to type "{wanted}".'
    return errors.not_convertible(parameter.name, shown, wanted, reason)


def _shown(value: Any) -> str:
    """A value as PowerShell would print it inside a message."""
    if isinstance(value, Mapping):
        return "System.Collections.Hashtable"
    return "System.Object[]" if isinstance(value, list | tuple) else str(value)


def _dotnet(value: Any) -> str:
    names: Iterable[tuple[type, str]] = ((bool, "System.Boolean"), (int, "System.Int32"), (float, "System.Double"))
    shown = _shown(value)
    return next(
        (name for kind, name in names if isinstance(value, kind)),
        shown if shown.startswith("System.") else "System.String",
    )


_CONVERSIONS: Mapping[Kind, Callable[[Parameter, Any], Any]] = {
    Kind.STRING: _text,
    Kind.IDENTITY: _text,
    Kind.BOOL: _truth,
    Kind.SWITCH: _truth,
    Kind.INT: _number,
    Kind.ENUM: _member,
    Kind.LIST: _list,
    Kind.ARRAY: _array,
    Kind.TIMESPAN: _span,
    Kind.RESULT_SIZE: _result_size,
}


def change_list(current: Sequence[str] | None, given: Replace | Delta | None, form: Callable[[str], str]) -> list[str]:
    """A stored list after a parameter; `form` makes a value's stored form. Values compare without case.

    Adding what exists and removing what is not changes nothing. None empties the list.
    """
    if given is None:
        return []
    if isinstance(given, Replace):
        kept, added = [], given.values
    else:
        gone = {form(value).lower() for value in given.remove} | {value.lower() for value in given.remove}
        kept, added = [value for value in current or [] if value.lower() not in gone], given.add
    for value in map(form, added):
        if value.lower() not in {other.lower() for other in kept}:
            kept.append(value)
    return kept
