"""What pypsrp lacks for sending many cmdlets in one pipeline, as subclasses of its own types.

It sorts what it receives by stream and so loses the order; it copies every command deeply once a pipeline; it writes
each value back to XML while reading it. The last two are a matter of speed alone: a test compares their results with
pypsrp's own. Importing this imports pypsrp.
"""

from __future__ import annotations

import copy
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pypsrp.complex_objects import Command, CommandParameter, ObjectMeta
from pypsrp.exceptions import WSManFaultError
from pypsrp.messages import Destination, Message, MessageType, PipelineOutput
from pypsrp.powershell import Fragmenter, PowerShell, RunspacePool
from pypsrp.serializer import Serializer

from provisioner.diagnostics import Malformed
from provisioner.tenant import limits
from provisioner.tenant.psrp_values import ADDED, decode

_TIMED_OUT = 2150858793  # ERROR_WSMAN_OPERATION_TIMEDOUT: nothing to receive yet


class InOrder(PowerShell):
    """A pipeline that keeps what it receives in the order in which it came: rows, warnings and errors."""

    def __init__(self, pool: RunspacePool) -> None:
        super().__init__(pool)
        self._came: list[tuple[str, Any]] = []

    def taken(self) -> Iterator[tuple[str, Any]]:
        """What came since the last time, as ("row" | "warning" | "error", object)."""
        came, self._came = self._came, []
        return iter(came)

    def poll_invoke(self, timeout: int | None = None) -> None:
        """Receive once; no answer within OperationTimeout is not a failure."""
        try:
            came = self.runspace_pool._receive(self.id, timeout=timeout)  # the one way to the order
        except WSManFaultError as fault:
            if fault.code != _TIMED_OUT:
                raise
            return
        for kind, value in came:
            if kind == MessageType.PIPELINE_OUTPUT:
                self._came.append(("row", value.data.data))
            elif isinstance(value, tuple):
                self._came.append(value)

    def _process_error_record(self, message: Any) -> tuple[str, Any]:  # type: ignore[override]
        return "error", message.data

    def _process_warning_record(self, message: Any) -> tuple[str, Any]:  # type: ignore[override]
        return "warning", message.data

    def _process_pipeline_state(self, message: Any) -> tuple[str, Any] | None:  # type: ignore[override]
        super()._process_pipeline_state(message)
        record = message.data.error_record
        return ("error", record) if record is not None else None


class _Light(Command):
    """A command whose copy shares what is never changed; only elements must not stand in two places of a document."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Light:
        made = copy.copy(self)
        made.args = [
            CommandParameter(a.name, copy.deepcopy(a.value, memo)) if isinstance(a.value, ET.Element) else a
            for a in self.args
        ]
        return made


@lru_cache(maxsize=4)
def _template(protocol: str) -> _Light:
    """A bare command. What says that no stream is merged is left out: a client of protocol 2.1 knows of none of it.

    PowerShell reads these properties only where they are there (Command.FromPSObjectForRemoting), and they are two
    thirds of a command's message.
    """
    unmerged = dict.fromkeys(("merge_error", "merge_warning", "merge_verbose", "merge_debug", "merge_information"))
    return _Light(protocol_version=protocol, is_script=False, end_of_statement=True, **unmerged)


def statement(pool: RunspacePool, name: str, parameters: Mapping[str, Any], *, piped: bool = False) -> Command:
    """A statement of one cmdlet, as `add_cmdlet`, `add_parameter` and `add_statement` make it.

    `piped`: the next command is of the same statement, and takes its output.
    """
    made = copy.copy(_template(pool.protocol_version or ""))
    made.cmd = name
    made.end_of_statement = not piped
    made.args = [CommandParameter(name=key, value=value) for key, value in parameters.items()]
    return made


class Whole(Fragmenter):
    """Joins the fragments of objects. None may be larger than an answer: one that never ends would fill the memory.

    `columns` are those that rows of plain values are cut to while they are read; all, where none is named.
    """

    columns: frozenset[str] = frozenset()

    def defragment(self, data: bytes) -> list[Message]:
        """As pypsrp's, with rows of plain values read directly (`Row`). Raises Malformed."""
        found = []
        left = memoryview(data)
        while left:
            size = _FRAGMENT_HEAD + int.from_bytes(left[17:_FRAGMENT_HEAD], "big")
            row = _whole_row(left[:size], self.columns)
            found += [row] if row is not None else super().defragment(bytes(left[:size]))
            left = left[size:]
        if sum(len(buffer["data"]) for buffer in self.incoming_buffer.values()) > limits.MOST_BYTES:
            raise Malformed(f"an object of the output has more than {limits.MOST_BYTES:,} bytes")
        return found


_FRAGMENT_HEAD = 21  # object id, fragment id, start and end, length (MS-PSRP 2.2.4)
_MESSAGE_HEAD = 40  # destination, type, runspace pool, pipeline (MS-PSRP 2.2.1)
_OUTPUT = MessageType.PIPELINE_OUTPUT.to_bytes(4, "little")


class Row(dict[str, Any]):
    """An object of the output by its properties, extended ones over adapted ones, with values as JSON has them."""


def _whole_row(fragment: memoryview, columns: frozenset[str]) -> Message | None:
    """The message of a fragment that holds a whole object of plain values; None for anything else.

    Such rows are nearly all that comes of a listing, and pypsrp takes ten times as long for one.
    """
    content = fragment[_FRAGMENT_HEAD:]
    if len(fragment) < _FRAGMENT_HEAD + _MESSAGE_HEAD or fragment[16] & 3 != 3 or content[4:8] != _OUTPUT:
        return None
    if fragment[8:16] != bytes(8):
        return None  # a later fragment: pypsrp refuses it
    text = bytes(content[_MESSAGE_HEAD:]).removeprefix(b"\xef\xbb\xbf")
    try:
        found = read_row(ET.fromstring(text), columns)  # noqa: S314 - as pypsrp does; expat bounds what entities become
    except (ET.ParseError, ValueError, TypeError):
        return None
    if found is None:
        return None
    pool, pipeline = (_guid(bytes(content[n : n + 16])) for n in (8, 24))
    return Message(Destination.CLIENT, pool, pipeline, PipelineOutput(found), None)  # type: ignore[arg-type] # unused


@lru_cache(maxsize=8)
def _guid(little_endian: bytes) -> str:
    """The id of a pool or of a pipeline, which are the same in message after message."""
    return str(uuid.UUID(bytes_le=little_endian))


def read_row(element: ET.Element, columns: frozenset[str] = frozenset()) -> Row | None:
    """The columns of an object, all where none is named, as plain values and lists of them; None for any other."""
    if element.tag != "Obj":
        return None
    row = Row()
    extended: dict[str, Any] = {}
    for part in element:
        values: dict[str, Any]
        if part.tag == "MS":
            values = extended
        elif part.tag == "Props":
            values = row
        elif part.tag in _NAMING:
            continue
        else:
            return None
        for item in part:
            name, tag = item.get("N"), item.tag
            if name is None or "_x" in name:
                return None
            if name in ADDED or (columns and name not in columns):
                continue
            if tag == "Obj":
                found = _read_list(item)
                if found is None:
                    return None
                values[name] = found
            elif tag in _JSON:
                value = item.text or ""
                if tag == "S" and "_x" in value:
                    return None
                values[name] = _JSON[tag](value)
            else:
                return None
    row.update(extended)
    return row


_NAMING = frozenset({"TN", "TNRef", "ToString"})


def _read_list(element: ET.Element) -> list[Any] | None:
    """A list of texts; None for any other object."""
    found: list[Any] | None = None
    for part in element:
        if part.tag in ("LST", "IE") and found is None:
            found = [item.text or "" for item in part]
            if any(item.tag != "S" or "_x" in text for item, text in zip(part, found, strict=True)):
                return None
        elif part.tag not in ("TN", "TNRef"):
            return None
    return found if found is None else [decode(text) for text in found]


class Quick(Serializer):
    """Reads plain values directly. pypsrp first writes each back to XML, in case it should be of no known type."""

    def deserialize(self, element: Any, metadata: ObjectMeta | None = None, clear: bool = True) -> Any:
        """As pypsrp's."""
        if not clear and metadata is None and isinstance(element, ET.Element):
            if element.tag == "S":
                return self._deserialize_string(element.text)
            read = _PLAIN.get(element.tag)
            if read is not None:
                return read(element.text)
        return super().deserialize(element, metadata, clear)


_SAME: Mapping[str, Callable[[str], Any]] = {
    "Nil": lambda _: None,
    "B": lambda text: text.lower() == "true",
    "I32": int,
    "I64": int,
    "U16": int,
    "U32": int,
    "Db": float,
}
_JSON: Mapping[str, Callable[[str], Any]] = {**_SAME, "S": decode, "DT": decode, "G": lambda text: str(uuid.UUID(text))}
"""How a row holds a value of each of these types; `psrp_values.decode` makes the same of pypsrp's."""

_PLAIN: Mapping[str, Callable[[Any], Any]] = {**_SAME, "DT": lambda text: text, "G": uuid.UUID}
