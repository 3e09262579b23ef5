"""Values between the tenant's plain JSON and PowerShell's typed objects, as remoting carries them (MS-PSRP 2.2.5)."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from psrpcore.types import (
    PSCustomObject,
    PSDateTime,
    PSDouble,
    PSGuid,
    PSInt64,
    PSNoteProperty,
    PSSecureString,
    PSUInt16,
)

from provisioner.sandbox.clock import rest_time
from provisioner.sandbox.wire_types import GUIDS, UINT16S

_INT32 = 2**31


def powershell_row(noun: str, row: Mapping[str, Any]) -> PSCustomObject:
    """A row as an object of remoting: it was deserialised on the management host, so its type's name says so.

    Its members are asked for once: psrpcore looks through all properties of an object for each of its attributes.
    """
    shown = PSCustomObject()
    members = shown.PSObject
    members.type_names = [f"Deserialized.Microsoft.Exchange.Data.Directory.Management.{noun}", *members.type_names]
    for name, value in row.items():
        note = PSNoteProperty(name)
        note.set_value(_typed(name, value), shown)
        members.extended_properties.append(note)
    return shown


def _typed(name: str, value: Any) -> Any:
    """The value as it travels: a text as PSString and a number as PSInt, which psrpcore takes plain ones for."""
    match value:
        case bool() | None:
            return value
        case str():
            return _text(name, value)
        case int():
            if name in UINT16S:
                return PSUInt16(value)
            return value if -_INT32 <= value < _INT32 else PSInt64(value)
        case float():
            return PSDouble(value)
        case list():
            return [_typed("", item) for item in value]
        case dict():
            return {key: _typed("", item) for key, item in value.items()}
        case _:
            return str(value)


def _text(name: str, value: str) -> Any:
    if name in GUIDS:
        try:
            return PSGuid(str(uuid.UUID(value)))
        except ValueError:
            return value
    moment = rest_time(value) if name else None
    return _date(moment) if moment else value


def _date(text: str) -> PSDateTime:
    """ISO text with seven fraction digits; .NET counts in ticks of 100 ns."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    digits = fraction.ljust(7, "0")[:7]
    moment = dt.datetime.fromisoformat(whole).replace(microsecond=int(digits[:6]), tzinfo=dt.UTC)
    return PSDateTime(moment, nanosecond=int(digits[6]) * 100)


def plain(value: Any) -> Any:
    """A parameter as cmdlets take it. Secure strings are opened here: the cmdlet needs what they hold."""
    match value:
        case PSSecureString():
            return str(value.decrypt())
        case bool() | None:
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case dt.datetime():
            return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return str(value)
