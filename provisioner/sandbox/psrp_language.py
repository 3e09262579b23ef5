"""Commands of PowerShell that take script blocks, or that write into the streams of a session.

Their parameters are those of Microsoft's pages (Microsoft.PowerShell.Core and Microsoft.PowerShell.Utility), as far as
scripts for Exchange use them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.psrp_commands import MODULE, as_shown, named, rank, select
from provisioner.sandbox.psrp_operations import (
    CUSTOM_OBJECT,
    TEXT_METHODS,
    as_json,
    as_list,
    in_text,
    member,
    method,
    put,
    true,
)
from provisioner.sandbox.psrp_script import Call, Command, EndedStatementError
from provisioner.sandbox.psrp_tree import Block, UnmodelledError
from provisioner.sandbox.psrp_values import Shown


def _blocks(arguments: Sequence[tuple[str | None, Any]]) -> list[Block]:
    found: list[Block] = []
    for name, value in arguments:
        if (name or "process").lower() in {"process", "filterscript", "begin", "end", "property"}:
            found += [one for one in as_list(value) if isinstance(one, Block)]
    return found


async def _for_each_object(call: Call) -> list[Any]:
    by_name = {str(name).lower(): value for name, value in call.arguments if name is not None}
    free = _blocks([(name, value) for name, value in call.arguments if name is None])
    out: list[Any] = []
    begin, end = by_name.get("begin"), by_name.get("end")
    process = by_name.get("process")
    if process is None and len(free) > 1:
        begin, process, end = [*free, None][:3] if begin is None else [begin, *free[:2]]
    process = free[0] if process is None and free else process
    if process is None:
        asked = by_name.get("membername", next((value for name, value in call.arguments if name is None), None))
        for row in call.rows or []:
            value = member(row, in_text(asked))
            put(value if value is not None else _called(row, in_text(asked)), out)
        return out
    if begin is not None:
        await call.script.block(begin, out)
    for row in call.rows if call.rows is not None else [None]:
        for block in as_list(process):
            await call.script.block(block, out, row)
    if end is not None:
        await call.script.block(end, out)
    return out


def _called(row: Any, name: str) -> Any:
    """What a method without arguments answers, where an object has one of this name."""
    return method(row, name.lower(), []) if name.lower() in TEXT_METHODS else None


async def _where_object(call: Call) -> list[Any]:
    blocks = _blocks(call.arguments)
    if not blocks:
        return await call.script.host.command("Where-Object", named("Where-Object", call.arguments), call.rows)
    return [row for row in call.rows or [] if true(await call.script.of(blocks[0], row))]


async def _sort_object(call: Call) -> list[Any]:
    parameters = named("Sort-Object", call.arguments)
    asked = as_list(_first(parameters, "property"))
    if not any(isinstance(one, Block | Mapping) for one in asked) and asked:
        return await call.script.host.command("Sort-Object", parameters, call.rows)
    if any(isinstance(one, Mapping) for one in asked):
        raise UnmodelledError("Sort-Object with a hash table")
    keys = []
    for row in call.rows or []:
        values = [await call.script.of(one, row) for one in asked] if asked else [row]
        keys.append(tuple(rank(value) for value in values))
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=_on(parameters, "descending"))
    found = [(call.rows or [])[number] for number in order]
    if not _on(parameters, "unique"):
        return found
    once: dict[Any, Any] = {}
    for number, row in zip(order, found, strict=True):
        once.setdefault(keys[number], row)
    return list(once.values())


async def _select_object(call: Call) -> list[Any]:
    parameters = named("Select-Object", call.arguments)
    asked = as_list(_first(parameters, "property"))
    if not any(isinstance(one, Mapping | Block) for one in asked):
        return await call.script.host.command("Select-Object", parameters, call.rows)
    others = {key: value for key, value in parameters.items() if key.lower() != "property"}
    found = []
    for row in select(call.rows, others, restricted=False) if others else call.rows or []:
        columns: dict[str, Any] = {}
        for one in asked:
            if isinstance(one, Mapping):
                label, expression = _calculated_property(one)
                columns[label] = await call.script.of(expression, row)
            elif isinstance(one, Block):
                columns[in_text(one)] = await call.script.of(one, row)
            else:
                columns.update(select([row], {"Property": [one]}, restricted=False)[0].properties)
        found.append(Shown(f"Selected.{as_shown(row).type}", columns))
    return found


def _calculated_property(one: Mapping[str, Any]) -> tuple[str, Any]:
    """@{Name=…; Expression=…}; each key by a beginning of it, Label for Name (Select-Object)."""
    label, expression = "", None
    for key, value in one.items():
        low = key.lower()
        if low and ("name".startswith(low) or "label".startswith(low)):
            label = in_text(value)
        elif low and "expression".startswith(low):
            expression = value
    return label or in_text(expression), expression


async def _group_object(call: Call) -> list[Any]:
    asked = as_list(_first(named("Group-Object", call.arguments), "property"))
    groups: dict[Any, tuple[list[Any], list[Any]]] = {}
    for row in call.rows or []:
        values = [await call.script.of(one, row) for one in asked] if asked else [row]
        groups.setdefault(tuple(rank(value) for value in values), (values, []))[1].append(row)
    return [
        Shown(
            "Microsoft.PowerShell.Commands.GroupInfo",
            {"Values": values, "Count": len(own), "Group": own, "Name": ", ".join(in_text(v) for v in values)},
        )
        for _, (values, own) in sorted(groups.items(), key=lambda group: group[0])
    ]


def _inputs(call: Call) -> list[Any]:
    """What a Write-… command is given: the pipeline's objects, or its arguments."""
    if call.rows is not None:
        return call.rows
    return [one for name, value in call.arguments if name is None or name.lower() in _SAID for one in as_list(value)]


_SAID = frozenset({"inputobject", "message", "messagedata", "object"})


async def _write_output(call: Call) -> list[Any]:
    return _inputs(call)


async def _write_host(call: Call) -> list[Any]:
    call.script.host.write_information(" ".join(in_text(one) for one in _inputs(call)))
    return []


async def _write_warning(call: Call) -> list[Any]:
    for one in _inputs(call):
        call.script.host.write_warning(in_text(one))
    return []


async def _write_error(call: Call) -> list[Any]:
    text = " ".join(in_text(one) for one in _inputs(call))
    error = CmdletError("Microsoft.PowerShell.Commands.WriteErrorException", text, "NotSpecified")
    ended = call.script.host.refused("Write-Error", error)
    wanted = next((value for name, value in call.arguments if (name or "").lower() in {"erroraction", "ea"}), None)
    if _word(wanted) == "stop" or _word(call.script.variables.get("erroractionpreference")) == "stop":
        raise EndedStatementError(ended.record, text, everything=True)
    call.script.host.write_error(ended.record)
    return []


async def _nothing(_call: Call) -> list[Any]:
    return []


async def _import_module(call: Call) -> list[Any]:
    for name in as_list(_first(named("Import-Module", call.arguments), "name")):
        if in_text(name).lower() != MODULE.lower():
            text = (
                f"The specified module '{in_text(name)}' was not loaded because no valid module file was found in any "
                "module directory."
            )
            raise CmdletError("System.IO.FileNotFoundException", text, "ResourceUnavailable")
    return []


async def _convert_to_json(call: Call) -> list[Any]:
    parameters = named("ConvertTo-Json", call.arguments)
    given = call.rows if call.rows is not None else as_list(_first(parameters, "inputobject"))
    several = len(given) != 1 or _on(parameters, "asarray")
    depth = int(_first(parameters, "depth") or 2)
    plain = as_json(given if several else given[0], depth)
    if _on(parameters, "compress"):
        return [json.dumps(plain, ensure_ascii=False, separators=(",", ":"))]
    return [json.dumps(plain, ensure_ascii=False, indent=2)]


async def _get_date(call: Call) -> list[Any]:
    if call.arguments:
        raise UnmodelledError("Get-Date with parameters")
    return [call.script.host.now()]


async def _new_object(call: Call) -> list[Any]:
    parameters = named("New-Object", call.arguments)
    if _word(_first(parameters, "typename")) not in {"psobject", "pscustomobject", CUSTOM_OBJECT.lower()}:
        raise UnmodelledError("New-Object of this type")
    return [Shown(CUSTOM_OBJECT, dict(_first(parameters, "property") or {}))]


LANGUAGE: Mapping[str, Command] = {
    "foreach-object": _for_each_object,
    "where-object": _where_object,
    "sort-object": _sort_object,
    "select-object": _select_object,
    "group-object": _group_object,
    "write-output": _write_output,
    "write-host": _write_host,
    "write-information": _write_host,
    "write-warning": _write_warning,
    "write-error": _write_error,
    "write-verbose": _nothing,
    "write-debug": _nothing,
    "write-progress": _nothing,
    "out-null": _nothing,
    "import-module": _import_module,
    "convertto-json": _convert_to_json,
    "get-date": _get_date,
    "new-object": _new_object,
}

OF_THE_LANGUAGE = (
    "ConvertTo-Json", "ForEach-Object", "Get-Date", "Group-Object", "Import-Module", "New-Object", "Out-Null",
    "Write-Debug", "Write-Error", "Write-Host", "Write-Information", "Write-Output", "Write-Progress", "Write-Verbose",
    "Write-Warning",
)  # fmt: skip
"""Commands that an ordinary session has and a restricted one has not."""


def _first(parameters: Mapping[str, Any], name: str) -> Any:
    return next((value for key, value in parameters.items() if key.lower() == name), None)


def _on(parameters: Mapping[str, Any], name: str) -> bool:
    """Whether a switch is given; by itself it has no value."""
    return any(key.lower() == name and value is not False for key, value in parameters.items())


def _word(value: Any) -> str:
    return "" if value is None else in_text(value).lower()
