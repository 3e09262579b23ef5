"""Values between the model's plain ones and those that pypsrp serialises (MS-PSRP 2.2.5), in both directions.

Rows come back as the REST admin API gives them, so that a resource type reads both alike: enumerations by name, GUIDs
and dates as text, lists as lists, nested objects as mappings.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from provisioner.model import Delta, Parameter, Secret

_INT32 = 2**31
# What remoting itself adds to objects.
ADDED = frozenset({"PSComputerName", "RunspaceId", "PSShowComputerName", "PSSourceJobInstanceId"})
# xs:dateTime as DateTime is written (MS-PSRP 2.2.5.1.4): with an offset on a host outside UTC, without idle zeros.
_DATE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?(Z|[+-]\d\d:\d\d)$")


def encode(value: Parameter, serialize: Callable[[Any, str], Any], secret: Callable[[str], str]) -> Any:
    """A parameter for pypsrp. `serialize(value, tag)` makes an element of a named type, `secret` opens a reference.

    pypsrp sends every int as 32 bit and knows no tuples; None is PowerShell's $null.
    """
    match value:
        case bool() | None:
            return value
        case int():
            return value if -_INT32 <= value < _INT32 else serialize(value, "I64")
        case tuple():
            return list(value)
        case Delta():
            sides = {"Add": list(value.add), "Remove": list(value.remove)}
            return {name: items for name, items in sides.items() if items}
        case Secret():
            return serialize(secret(value.reference), "SS")
        case _:
            return value


def decode_row(found: Any) -> dict[str, Any]:
    """An object of the output as a row: extended properties over adapted ones. Raises TypeError for anything else."""
    properties = _properties(found)
    if properties is None:
        raise TypeError(type(found).__name__)
    return properties


def _properties(found: Any) -> dict[str, Any] | None:
    adapted, extended = getattr(found, "adapted_properties", None), getattr(found, "extended_properties", None)
    if adapted is None and extended is None:
        return dict(found) if isinstance(found, Mapping) else None
    both = {**(adapted or {}), **(extended or {})}
    return {str(name): decode(value) for name, value in both.items() if name not in ADDED}


def decode(value: Any) -> Any:
    """A value of the output as JSON would have it."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value if value[4:5] != "-" else _utc(value)
        case uuid.UUID():
            return str(value)
        case Decimal():
            return float(value)
        case Mapping():
            return {str(key): decode(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [decode(item) for item in value]
        case _:
            return _object(value)


def _object(value: Any) -> Any:
    """An enumeration by its name, another object by its properties, what has none by its text."""
    text = getattr(value, "to_string", None)
    kinds = getattr(value, "types", ())
    if text is not None and any(kind.endswith("System.Enum") for kind in kinds):
        return text
    return _properties(value) or text


def _utc(text: str) -> str:
    """A date in UTC with seven digits, as REST writes it; any other text as it is."""
    found = _DATE.match(text)
    if not found:
        return text
    try:
        moment = dt.datetime.fromisoformat(found[1] + found[3]).astimezone(dt.UTC)
    except (ValueError, OverflowError):  # no such day, or before the year 1 in UTC
        return text
    whole = moment.replace(tzinfo=None).isoformat(timespec="seconds")  # %Y does not pad the years before 1000
    return f"{whole}.{(found[2] or '').ljust(7, '0')}Z"
