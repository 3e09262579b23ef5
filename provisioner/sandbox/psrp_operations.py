"""Values of a script: as lists, texts and conditions; their members, methods and operators; casts; JSON.

Microsoft's pages about_Operators, about_Comparison_Operators, about_Properties, about_Methods, about_Arrays,
about_Type_Conversion and ConvertTo-Json.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

from psrpcore.types import PSCustomObject

from provisioner.sandbox.clock import rest_time
from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.psrp_commands import COMPARISONS, as_shown, truth
from provisioner.sandbox.psrp_tree import Block, UnmodelledError
from provisioner.sandbox.psrp_values import Shown

CUSTOM_OBJECT = "System.Management.Automation.PSCustomObject"


def as_list(value: Any) -> list[Any]:
    """A value as PowerShell goes through it."""
    return [] if value is None else value if isinstance(value, list) else [value]


def unrolled(found: list[Any]) -> Any:
    """The output of statements as a value."""
    return None if not found else found[0] if len(found) == 1 else found


def put(value: Any, out: list[Any]) -> None:
    """Put out a value; a list is put out by its items."""
    if isinstance(value, list):
        out += value
    else:
        out.append(value)


def true(value: Any) -> bool:
    """A value as a condition."""
    return True if isinstance(value, Mapping) else truth(value)


def in_text(value: Any) -> str:
    """A value as PowerShell makes a text of it."""
    match value:
        case None:
            return ""
        case list():
            return " ".join(in_text(one) for one in value)
        case float():
            return repr(value).removesuffix(".0")
        case Block():
            raise UnmodelledError("a script block as text")
        case Mapping():
            return "System.Collections.Hashtable"
        case dt.datetime():
            return f"{value:%m/%d}/{value.year:04d} {value:%H:%M:%S}"  # %Y does not pad the years before 1000
        case Shown(properties=own) if value.type == ERROR_RECORD:
            return in_text(own["Exception"].properties["Message"])
        case Shown(properties=own) if value.type.startswith("Deserialized."):
            return in_text(own.get("Identity") or own.get("Name"))
        case Shown(properties=own):
            return "@{" + "; ".join(f"{name}={in_text(one)}" for name, one in own.items()) + "}"
        case _:
            return str(value)


ERROR_RECORD = "System.Management.Automation.ErrorRecord"


def shown_error(record: Any, message: str = "") -> Shown:
    """An error as a script sees it; `message` where the record's is another one."""
    names = record.Exception.PSTypeNames
    exception = Shown(names[0], {"Message": message or record.Exception.Message})
    reason = Shown(
        "System.Management.Automation.ErrorCategoryInfo",
        {"Category": record.CategoryInfo.Category.name, "Reason": record.CategoryInfo.Reason},
    )
    return Shown(
        ERROR_RECORD,
        {"Exception": exception, "FullyQualifiedErrorId": record.FullyQualifiedErrorId, "CategoryInfo": reason},
    )


def member(value: Any, name: str) -> Any:
    """A property of an object, without case; of a list those of its items (about_Member-Access_Enumeration)."""
    low = name.lower()
    if isinstance(value, list):
        if low in {"count", "length"}:
            return len(value)
        found: list[Any] = []
        for item in value:
            own = member(item, name)
            if own is not None:
                put(own, found)
        return unrolled(found)
    own_properties: Mapping[str, Any] = (
        {str(key): one for key, one in value.items()}
        if isinstance(value, Mapping)
        else as_shown(value).properties
        if isinstance(value, Shown | str | PSCustomObject)
        else {}
    )
    for key, one in own_properties.items():
        if key.lower() == low:
            return one
    if low in {"count", "length"}:
        return len(value) if isinstance(value, Mapping) else 0 if value is None else 1
    if isinstance(value, Mapping) and low in {"keys", "values"}:
        return list(value.keys() if low == "keys" else value.values())
    return None


def assign(target: Any, key: Any, value: Any) -> None:
    if isinstance(target, list) and isinstance(key, int):
        target[key] = value
    elif isinstance(target, dict):
        own = next((one for one in target if str(one).lower() == in_text(key).lower()), in_text(key))
        target[own] = value
    elif isinstance(target, Shown) and isinstance(target.properties, dict):
        own = next((one for one in target.properties if one.lower() == in_text(key).lower()), None)
        if own is None:
            raise UnmodelledError("a new property of an object")
        target.properties[own] = value
    else:
        raise UnmodelledError("an assignment to this object")


def indexed(value: Any, index: Any) -> Any:
    """value[index]; what is not there is $null."""
    if isinstance(value, Mapping):
        return member(value, in_text(index))
    if isinstance(index, list):
        return [indexed(value, one) for one in index]
    if isinstance(index, bool) or not isinstance(index, int):
        raise UnmodelledError("an index that is not a number")
    items: Any = value if isinstance(value, list | str) else as_list(value)
    return items[index] if -len(items) <= index < len(items) else None


TEXT_METHODS: Mapping[str, Callable[..., Any]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "tolowerinvariant": str.lower,
    "toupperinvariant": str.upper,
    "trim": str.strip,
    "trimstart": str.lstrip,
    "trimend": str.rstrip,
    "tostring": str,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text, part: part in text,
    "indexof": str.find,
    "lastindexof": str.rfind,
    "replace": str.replace,
    "split": lambda text, by=None: re.split("[" + re.escape(by) + "]", text) if by else text.split(),
    "substring": lambda text, start, length=None: text[start:] if length is None else text[start : start + length],
}
_PERIODS = {"adddays": "days", "addhours": "hours", "addminutes": "minutes", "addseconds": "seconds"}


def method(value: Any, name: str, arguments: list[Any]) -> Any:
    """The answer of a method. Raises CmdletError, UnmodelledError."""
    if value is None:
        text = "You cannot call a method on a null-valued expression."
        raise CmdletError("System.Management.Automation.RuntimeException", text, "InvalidOperation")
    if isinstance(value, dt.datetime) and name in _PERIODS and len(arguments) == 1:
        return value + dt.timedelta(**{_PERIODS[name]: float(arguments[0])})
    if isinstance(value, dt.datetime) and name == "touniversaltime":
        return value
    if isinstance(value, list) and name == "contains" and len(arguments) == 1:
        return any(one == arguments[0] for one in value)
    if isinstance(value, Mapping) and name in {"containskey", "contains"} and len(arguments) == 1:
        return any(str(key).lower() == in_text(arguments[0]).lower() for key in value)
    if isinstance(value, str) and name in TEXT_METHODS:
        try:
            return TEXT_METHODS[name](value, *arguments)
        except TypeError:
            raise UnmodelledError(f"the method {name} with these arguments") from None
    if name == "tostring" and not arguments:
        return in_text(value)
    raise UnmodelledError(f"the method {name}")


def unary(operator: str, value: Any) -> Any:
    """An operator before its one operand."""
    match operator.lower():
        case "!" | "not":
            return not true(value)
        case "join":
            return "".join(in_text(one) for one in as_list(value))
        case "+":
            return _number(value)
        case _:
            return -_number(value)


def _number(value: Any) -> Any:
    if value is None:
        return 0
    if isinstance(value, int | float):
        return value
    text = in_text(value)
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        fault = (
            f'Cannot convert value "{text}" to type "System.Int32". Error: "Input string was not in a correct format."'
        )
        raise CmdletError("System.Management.Automation.RuntimeException", fault, "InvalidArgument") from None


def search(pattern: Any, value: Any) -> re.Match[str] | None:
    return _expression(pattern).search(in_text(value))


def _expression(pattern: Any) -> re.Pattern[str]:
    """A regular expression of .NET, as far as the two languages agree."""
    try:
        return re.compile(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", in_text(pattern)), re.IGNORECASE)
    except re.error:
        raise UnmodelledError("this regular expression") from None


def _moment(value: Any) -> Any:
    """A date of a row as a moment."""
    if isinstance(value, str) and (text := rest_time(value)):
        moment = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return value


def _compare(operator: str, first: Any, second: Any) -> Any:
    test = COMPARISONS[operator]
    if isinstance(first, dt.datetime) or isinstance(second, dt.datetime):
        moments = _moment(first), _moment(second)
        if all(isinstance(one, dt.datetime) for one in moments):
            first, second = (f"{one:%Y%m%d%H%M%S%f}" for one in moments)
    if operator in {"match", "notmatch"}:

        def fits(value: Any) -> bool:
            return (search(second, value) is None) is (operator == "notmatch")
    else:

        def fits(value: Any) -> bool:
            return test(value, second)

    if isinstance(first, list) and operator not in {"contains", "notcontains", "in", "notin"}:
        return [value for value in first if fits(value)]
    return fits(first)


def calculated(operator: str, first: Any, second: Any) -> Any:
    """An operator between its operands. Raises CmdletError, UnmodelledError."""
    word = operator.lstrip("-").lower() or "-"
    if word.startswith("c") and word not in COMPARISONS:
        raise UnmodelledError(f"the operator -{word}")
    word = word[1:] if word.startswith("i") and word != "in" else word
    if word in COMPARISONS:
        return _compare(word, first, second)
    match word:
        case "+" if isinstance(first, list):
            return [*first, *as_list(second)]
        case "+" if isinstance(first, Mapping) and isinstance(second, Mapping):
            return {**first, **second}
        case "+" if isinstance(first, str):
            return first + in_text(second)
        case "+" if first is None:
            return second
        case "+":
            return _number(first) + _number(second)
        case "*" if isinstance(first, str):
            return first * int(_number(second))
        case "-" | "*":
            return _number(first) - _number(second) if word == "-" else _number(first) * _number(second)
        case "..":
            start, end = int(_number(first)), int(_number(second))
            return list(range(start, end + 1)) if start <= end else list(range(start, end - 1, -1))
        case "/" | "%":
            return _divided(word, _number(first), _number(second))
        case "join":
            return in_text(second).join(in_text(one) for one in as_list(first))
        case "split":
            return _expression(second).split(in_text(first))
        case "replace":
            pattern, text = ([*second, ""] if isinstance(second, list) else [second, ""])[:2]
            group = re.sub(r"\$(\d)", r"\\\1", in_text(text).replace("\\", "\\\\"))
            found = [_expression(pattern).sub(group, in_text(one)) for one in as_list(first)]
            return found if isinstance(first, list) else unrolled(found)
        case _:
            raise UnmodelledError(f"the operator -{word}")


def _divided(word: str, first: Any, second: Any) -> Any:
    if not second:
        text = "Attempted to divide by zero."
        raise CmdletError("System.Management.Automation.RuntimeException", text, "NotSpecified")
    if word == "%":
        return first % second
    whole = first / second
    return int(whole) if whole == int(whole) else whole


def cast(kind: str, value: Any) -> Any:
    """[type]value. Raises CmdletError, UnmodelledError."""
    match kind:
        case "string":
            return in_text(value)
        case "int" | "int32" | "long" | "int64":
            return round(_number(value))
        case "double":
            return float(_number(value))
        case "bool" | "switch":
            return true(value)
        case "array" | "object[]":
            return as_list(value)
        case "string[]":
            return [in_text(one) for one in as_list(value)]
        case "pscustomobject" | "psobject" if isinstance(value, Mapping):
            return Shown(CUSTOM_OBJECT, dict(value))
        case "ordered" | "hashtable" if isinstance(value, Mapping):
            return value
        case "void":
            return None
        case "datetime":
            return _moment(value)
        case _:
            raise UnmodelledError(f"the type {kind}")


def as_json(value: Any, depth: int) -> Any:
    """A value as ConvertTo-Json writes it; what lies deeper than `depth` is a text."""
    if isinstance(value, PSCustomObject):
        value = as_shown(value)
    properties = value.properties if isinstance(value, Shown) else value if isinstance(value, Mapping) else None
    if (properties is not None or isinstance(value, list)) and depth < 0:
        return in_text(value)
    if properties is not None:
        return {str(name): as_json(one, depth - 1) for name, one in properties.items()}
    match value:
        case list():
            return [as_json(one, depth - 1) for one in value]
        case dt.datetime():
            return value.isoformat()
        case str() if moment := rest_time(value):
            return re.sub(r"\.?0*(?=Z?$)", "", moment) if "." in moment else moment
        case bool() | None | int() | float() | str():
            return value
        case _:
            return str(value)
