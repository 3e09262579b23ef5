"""Script text in an ordinary session: the statements of `psrp_syntax`, run one after the other.

The output of a pipeline's command is complete before the next command begins; PowerShell hands over each object. What
is not modelled raises UnmodelledError. An error ends its statement, and with `-ErrorAction Stop` or in `try` what
is around it (about_Try_Catch_Finally, about_Preference_Variables).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioner.sandbox.cmdlets import CmdletError
from provisioner.sandbox.coverage import published
from provisioner.sandbox.psrp_commands import is_switch, lacking, named, real_name
from provisioner.sandbox.psrp_operations import (
    as_list,
    assign,
    calculated,
    cast,
    in_text,
    indexed,
    member,
    method,
    put,
    search,
    shown_error,
    true,
    unary,
    unrolled,
)
from provisioner.sandbox.psrp_tree import (
    Argument,
    Assignment,
    Block,
    Cast,
    ForEach,
    Group,
    If,
    Index,
    Items,
    Jump,
    Literal,
    Member,
    Method,
    Operation,
    Pipeline,
    Table,
    Text,
    Try,
    UnmodelledError,
    Variable,
    While,
)
from provisioner.sandbox.psrp_tree import Command as CommandNode

_COMMON: Mapping[str, str] = {
    "errorvariable": "error", "warningvariable": "warning", "outvariable": "out",
}  # fmt: skip
_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}


class EndedStatementError(Exception):
    """An error that ends its statement; with `everything` what is around the statement too."""

    def __init__(self, record: Any, message: str, *, everything: bool) -> None:
        super().__init__(message)
        self.record, self.everything = record, everything


class _ReturnError(Exception):
    """`return`: the script or the block is over."""


class _LoopError(Exception):
    """`break` or `continue`."""


class Host(Protocol):
    """What a script needs of its session."""

    warnings: list[str]
    errors: list[Any]

    async def command(self, name: str, parameters: dict[str, Any], rows: list[Any] | None) -> list[Any]:
        """Run a command of the session. Raises EndedStatementError."""

    def refused(self, name: str, error: CmdletError) -> EndedStatementError:
        """An error that ends its statement."""

    def write_error(self, record: Any) -> None:
        """Put a record into the stream of errors."""

    def write_warning(self, message: str) -> None:
        """Put a text into the stream of warnings."""

    def write_information(self, message: str) -> None:
        """Put a text into the stream of information."""

    def now(self) -> dt.datetime:
        """The time by the tenant's clock."""


@dataclass(eq=False)
class Script:
    """Scripts of one session, which share its variables (by lower-case names)."""

    host: Host
    language: Mapping[str, Command]
    variables: MutableMapping[str, Any] = field(default_factory=dict)
    trying: int = 0

    async def run(self, statements: Sequence[Any], out: list[Any], rows: list[Any] | None = None) -> None:
        """Run a whole script; what it puts out is added to `out`. Raises EndedStatementError, UnmodelledError."""
        self.variables["input"] = rows
        try:
            await self._statements(statements, out)
        except (_ReturnError, _LoopError):
            return

    # --- statements

    async def _statements(self, statements: Sequence[Any], out: list[Any]) -> None:
        for statement in statements:
            before, ended = len(self.host.errors), False
            try:
                await self._statement(statement, out)
            except CmdletError as error:
                ended = True
                self._ended(self.host.refused("", error))
            except EndedStatementError as error:
                ended = True
                self._ended(error)
            self.variables["?"] = not ended and len(self.host.errors) == before

    def _ended(self, ended: EndedStatementError) -> None:
        if ended.everything or self.trying or in_text(self.variables.get("erroractionpreference")).lower() == "stop":
            raise ended
        self.host.write_error(ended.record)

    async def _statement(self, statement: Any, out: list[Any]) -> None:
        match statement:
            case Pipeline(elements):
                await self._pipeline(elements, out)
            case Assignment():
                await self._assign(statement)
            case If(cases, otherwise):
                for condition, body in cases:
                    if true(await self._value(condition)):
                        await self._statements(body, out)
                        return
                await self._statements(otherwise, out)
            case ForEach(name, over, body):
                await self._for_each(name, as_list(await self._value(over)), body, out)
            case While():
                await self._while(statement, out)
            case Group(statements, False):  # the beginning of `for`, and its loop
                await self._statements(statements, out)
            case Try():
                await self._try(statement, out)
            case Jump(kind, value):
                await self._jump(kind, value, out)
            case _:
                put(await self._value(statement), out)

    async def _for_each(self, name: str, items: list[Any], body: Sequence[Any], out: list[Any]) -> None:
        for item in items:
            self.variables[name.lower()] = item
            try:
                await self._statements(body, out)
            except _LoopError as jump:
                if str(jump) == "break":
                    return

    async def _while(self, loop: While, out: list[Any]) -> None:
        first = loop.after
        while first or true(await self._value(loop.condition)) is not loop.until:
            first = False
            await asyncio.sleep(0)  # others are served, and the pipeline can be stopped
            try:
                await self._statements(loop.body, out)
            except _LoopError as jump:
                if str(jump) == "break":
                    return
            await self._statements(loop.step, out)

    async def _try(self, statement: Try, out: list[Any]) -> None:
        try:
            self.trying += 1
            try:
                await self._statements(statement.body, out)
            finally:
                self.trying -= 1
        except EndedStatementError as ended:
            if statement.catch is None:
                raise
            before = self.variables.get("_")
            self.variables["_"] = shown_error(ended.record, str(ended))
            await self._statements(statement.catch, out)
            self.variables["_"] = before
        finally:
            await self._statements(statement.finally_, out)

    async def _jump(self, kind: str, value: Any, out: list[Any]) -> None:
        if kind == "throw":
            given = await self._value(value) if value is not None else None
            text = in_text(given) if given is not None else "ScriptHalted"
            error = CmdletError("System.Management.Automation.RuntimeException", text, "OperationStopped")
            ended = self.host.refused("", error)
            raise EndedStatementError(ended.record, text, everything=True)
        if kind == "return":
            if value is not None:
                await self._statement(value, out)
            raise _ReturnError
        raise _LoopError(kind)

    async def _assign(self, statement: Assignment) -> None:
        if isinstance(statement.value, Pipeline | Assignment):
            value = await self._value(statement.value)
        else:
            found: list[Any] = []
            await self._statement(statement.value, found)
            value = unrolled(found)
        target = statement.target
        if statement.operator != "=":
            value = calculated(statement.operator[0], await self._value(target), value)
        match target:
            case Variable(name):
                self.variables[name.lower()] = value
            case Member(of, name):
                assign(await self._value(of), in_text(await self._value(name)), value)
            case Index(of, index):
                assign(await self._value(of), await self._value(index), value)

    # --- pipelines

    async def _pipeline(self, elements: Sequence[Any], out: list[Any]) -> None:
        first = elements[0]
        if len(elements) == 1 and not isinstance(first, CommandNode):
            value = await self._value(first)
            if value is not None or isinstance(first, Member):
                put(value, out)
            return
        rows: list[Any] | None = None
        for element in elements:
            if isinstance(element, CommandNode):
                rows = await self._command(element, rows)
            elif rows is None:
                rows = as_list(await self._value(element))
            else:
                raise UnmodelledError("an expression after a pipe")
        out += rows or []

    async def _command(self, command: CommandNode, rows: list[Any] | None) -> list[Any]:
        name = await self._value(command.name)
        if isinstance(name, Block):
            found: list[Any] = []
            await self.block(name, found)
            return found
        name = real_name(in_text(name))
        given = await self._arguments(name, command.arguments)
        return await self.invoke(name, given, rows)

    async def _arguments(self, name: str, arguments: Sequence[Argument]) -> list[tuple[str | None, Any]]:
        """The arguments of a command; a parameter takes the value after it unless it is a switch."""
        given: list[tuple[str | None, Any]] = []
        waiting: str | None = None
        for argument in arguments:
            if waiting is not None and argument.name is None and not argument.splat:
                given.append((waiting, await self._value(argument.value)))
                waiting = None
                continue
            if waiting is not None:
                given.append((waiting, True))
                waiting = None
            if argument.splat:
                table = await self._value(argument.value)
                if isinstance(table, Mapping):
                    given += [(str(key), value) for key, value in table.items()]
                else:
                    given += [(None, value) for value in as_list(table)]
            elif argument.name is None or argument.value is not None:
                given.append((argument.name, await self._value(argument.value)))
            elif is_switch(name, argument.name):
                given.append((argument.name, True))
            else:
                waiting = argument.name
        return [*given, (waiting, True)] if waiting is not None else given

    async def invoke(self, name: str, arguments: Sequence[tuple[str | None, Any]], rows: list[Any] | None) -> list[Any]:
        """Run a command with its arguments. Raises EndedStatementError, CmdletError."""
        own = self.language.get(name.lower())
        try:
            if own is not None:
                return await own(Call(self, arguments, rows))
            # What is not modelled is not recognized, whatever its arguments are.
            parameters = {} if lacking(name) else named(name, arguments)
        except CmdletError as error:
            raise self.host.refused(name, error) from None
        if any(isinstance(value, Block) for value in parameters.values()):
            raise UnmodelledError(f"a script block for {name}")
        variables = {_COMMON[key.lower()]: str(value) for key, value in parameters.items() if key.lower() in _COMMON}
        preference = self.variables.get("erroractionpreference")
        given = any(key.lower() == "erroraction" for key in parameters)
        if preference is not None and published().is_cmdlet(name) and not given:
            parameters["ErrorAction"] = in_text(preference)
        before = len(self.host.warnings), len(self.host.errors)
        found: list[Any] = []
        try:
            found = await self.host.command(name, parameters, rows)
        finally:
            heard = {
                "warning": self.host.warnings[before[0] :],
                "error": self.host.errors[before[1] :],
                "out": found,
            }
            for kind, variable in variables.items():
                self._keep(variable, heard[kind])
        return found

    def _keep(self, variable: str, values: Sequence[Any]) -> None:
        more = variable.startswith("+")
        key = variable.removeprefix("+").lower()
        self.variables[key] = [*(as_list(self.variables.get(key)) if more else []), *values]

    async def block(self, block: Block, out: list[Any], item: Any = None) -> None:
        """Run a script block, with an object as $_."""
        before = self.variables.get("_")
        self.variables["_"] = item
        try:
            await self._statements(block.statements, out)
        except _ReturnError:
            pass
        finally:
            self.variables["_"] = before

    async def of(self, block: Any, item: Any) -> Any:
        """What a block puts out for an object; a text names one of its properties."""
        if not isinstance(block, Block):
            return member(item, in_text(block))
        found: list[Any] = []
        await self.block(block, found, item)
        return unrolled(found)

    # --- expressions

    async def _value(self, node: Any) -> Any:
        match node:
            case Literal(value):
                return value
            case Text(parts):
                return "".join([part if isinstance(part, str) else in_text(await self._value(part)) for part in parts])
            case Variable(name):
                return _CONSTANTS.get(name.lower(), self.variables.get(name.lower()))
            case Member(target, name):
                return member(await self._value(target), in_text(await self._value(name)))
            case Method(target, name, arguments):
                return method(await self._value(target), name, [await self._value(a) for a in arguments])
            case Index(target, index):
                return indexed(await self._value(target), await self._value(index))
            case Items(values):
                return [await self._value(value) for value in values]
            case Table(pairs):
                return {in_text(await self._value(key)): await self._value(value) for key, value in pairs}
            case Group(statements, many):
                found: list[Any] = []
                await self._statements(statements, found)
                return found if many else unrolled(found)
            case Cast(type_, operand):
                return cast(type_, await self._value(operand))
            case Operation():
                return await self._operation(node)
            case Pipeline(elements):
                if len(elements) == 1 and not isinstance(elements[0], CommandNode):
                    return await self._value(elements[0])
                rows: list[Any] = []
                await self._pipeline(elements, rows)
                return unrolled(rows)
            case If() | ForEach() | While() | Try() | Assignment() | Jump():
                out: list[Any] = []
                await self._statement(node, out)
                return unrolled(out)
            case _:
                return node

    async def _operation(self, node: Operation) -> Any:
        operator = node.operator.lstrip("-")
        first = await self._value(node.operands[0])
        if operator == "and":
            return true(first) and true(await self._value(node.operands[1]))
        if operator == "or":
            return true(first) or true(await self._value(node.operands[1]))
        if len(node.operands) == 1:
            return unary(operator.partition(" ")[2].lstrip("-") or "-", first)
        second = await self._value(node.operands[1])
        if operator == "xor":
            return true(first) is not true(second)
        if operator == "match" and not isinstance(first, list) and (found := search(second, first)):
            self.variables["matches"] = {"0": found[0], **{k: v for k, v in found.groupdict().items() if v is not None}}
            self.variables["matches"] |= {str(n): v for n, v in enumerate(found.groups(), 1) if v is not None}
        return calculated(operator, first, second)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a command of the language: its arguments by name or by place, and the objects of the pipeline."""

    script: Script
    arguments: Sequence[tuple[str | None, Any]]
    rows: list[Any] | None


Command = Callable[[Call], Awaitable[list[Any]]]
