"""Values between the tenant's plain JSON and PowerShell's typed objects, as remoting carries them (MS-PSRP 2.2.5)."""

from __future__ import annotations

import datetime as dt
import fnmatch
import functools
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from psrpcore import ServerPipeline, StreamType
from psrpcore._crypto import PSRemotingCrypto
from psrpcore._payload import PSRPMessage, create_message
from psrpcore.types import (
    PSCustomObject,
    PSDateTime,
    PSDouble,
    PSGuid,
    PSInt64,
    PSNoteProperty,
    PSRPMessageType,
    PSSecureString,
    PSUInt16,
)
from psrpcore.types._serializer import serialize

from provisioner.sandbox.clock import rest_time
from provisioner.sandbox.wire_types import GUIDS, UINT16S

_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class Shown:
    """An object in a pipeline of the host: the name of its type, and its properties as plain JSON."""

    type: str
    properties: Mapping[str, Any]


def of_module(noun: str, row: Mapping[str, Any]) -> Shown:
    """A row of Exchange: it was deserialised on the management host, so its type's name says so."""
    return Shown(f"Deserialized.Microsoft.Exchange.Data.Directory.Management.{noun}", row)


def selected(shown: Shown, names: Iterable[str]) -> Shown:
    """What `Select-Object -Property` makes of an object.

    A name is a pattern of wildcards where it holds any. A property that no object has is $null, but nothing where a
    pattern asks for it (PowerShell, Select-Object.cs, ProcessParameter: "unless noexist-name itself contains
    wildcards"). The object then has the type `Selected.…`.
    """
    properties: dict[str, Any] = {}
    for name in names:
        pattern = _pattern(name)
        found = {n: v for n, v in shown.properties.items() if pattern.fullmatch(n)}
        properties.update(found if found or _WILDCARDS & set(name) else {name: None})
    return Shown(f"Selected.{shown.type}", properties)


_WILDCARDS = frozenset("*?[")


@functools.lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    """PowerShell's wildcards (about_Wildcards), without case."""
    return re.compile(fnmatch.translate(name), re.IGNORECASE)


def clixml(shown: Shown) -> bytes | None:
    """An object as psrpcore writes it, in a fraction of its time; None for one with a value that is not plain.

    A tenant's mailboxes are many thousand objects of one shape.
    """
    parts = []
    lists = 0
    for name, value in shown.properties.items():
        entry = _list(name, value, lists) if value.__class__ is list else _entry(name, value)
        if entry is None:
            return None
        lists += value.__class__ is list
        parts.append(entry)
    types = "".join(f"<T>{escape(t)}</T>" for t in (shown.type, *_TYPES))
    return f'<Obj RefId="0"><TN RefId="0">{types}</TN><MS>{"".join(parts)}</MS></Obj>'.encode()


def clixml_document(noun: str, row: Mapping[str, Any], columns: Iterable[str] | None = None) -> str:
    """A row as the module asks for it with `X-ResponseFormat: clixml`: a document of its own (MS-PSRP 2.2.5).

    `columns` (lower case) trims the row to those.
    """
    wanted = None if columns is None else set(columns)
    kept = {name: value for name, value in row.items() if wanted is None or name.lower() in wanted}
    shown = Shown(f"Microsoft.Exchange.Data.Directory.Management.{noun}", kept)
    content = clixml(shown)
    if content is None:
        content = ElementTree.tostring(serialize(powershell_row(shown), PSRemotingCrypto()))
    version = 'Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04"'
    return f"<Objs {version}>{content.decode()}</Objs>"


_TYPES = ("System.Management.Automation.PSCustomObject", "System.Object")
_LIST_TYPES = '<TN RefId="1"><T>System.Collections.ArrayList</T><T>System.Object</T></TN>'
# Control characters, halves of pairs and what looks like their escape are written as _xHHHH_ (MS-PSRP 2.2.5.3.2).
_ESCAPED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\U00010000-\U0010ffff]|_[xX]")


def _entry(name: str, value: Any) -> str | None:
    """One property; None where it takes psrpcore."""
    if value is None:
        return f'<Nil N="{name}" />'
    if value.__class__ is str:
        if not _plainly_named(name) or _ESCAPED.search(value):
            return None
        if name in GUIDS and _GUID.fullmatch(value):
            return f'<G N="{name}">{value.lower()}</G>'
        moment = rest_time(value)
        if moment and not moment.endswith("Z"):
            return None
        if moment:
            whole, _, fraction = moment.removesuffix("Z").partition(".")
            fraction = fraction.rstrip("0")
            return f'<DT N="{name}">{whole}{"." if fraction else ""}{fraction}Z</DT>'
        return f'<S N="{name}">{escape(value)}</S>' if value else f'<S N="{name}" />'
    if value.__class__ is bool:
        return f'<B N="{name}">{"true" if value else "false"}</B>'
    if value.__class__ is int and name not in UINT16S and -_INT32 <= value < _INT32:
        return f'<I32 N="{name}">{value}</I32>'
    return None


_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@functools.lru_cache(maxsize=4096)
def _plainly_named(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def _list(name: str, values: Sequence[Any], before: int) -> str | None:
    """A list of texts; `before` is how many the object has already, whose type's names it shares."""
    if not _plainly_named(name) or not all(v.__class__ is str and v and not _ESCAPED.search(v) for v in values):
        return None
    types = '<TNRef RefId="1" />' if before else _LIST_TYPES
    items = "".join([f"<S>{escape(value)}</S>" for value in values])
    inner = f"<LST>{items}</LST>" if items else "<LST />"
    return f'<Obj RefId="{before + 1}" N="{name}">{types}{inner}</Obj>'


def write_clixml(pipeline: ServerPipeline, content: bytes) -> None:
    """Write an object of the output that is XML already, as psrpcore queues what it has made XML of."""
    pool = pipeline.runspace_pool
    kind = PSRPMessageType.PipelineOutput
    message = create_message(False, kind, content, pool.runspace_pool_id, pipeline.pipeline_id)
    pool._send_buffer.append(
        PSRPMessage(
            kind,
            bytearray(message),
            pool.runspace_pool_id,
            pipeline.pipeline_id,
            pool._fragment_counter,
            StreamType.default,
        )
    )


def powershell_row(shown: Shown) -> PSCustomObject:
    """An object as psrpcore knows it.

    Its members are asked for once: psrpcore looks through all properties of an object for each of its attributes.
    """
    made = PSCustomObject()
    members = made.PSObject
    members.type_names = [shown.type, *members.type_names]
    for name, value in shown.properties.items():
        note = PSNoteProperty(name)
        note.set_value(_typed(name, value), made)
        members.extended_properties.append(note)
    return made


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
        case Shown():
            return powershell_row(value)
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


_FRACTION = re.compile(r"\.(\d+)")


def _date(text: str) -> PSDateTime:
    """ISO text with seven fraction digits; .NET counts in ticks of 100 ns."""
    match = _FRACTION.search(text)
    digits = (match[1] if match else "").ljust(7, "0")[:7]
    moment = dt.datetime.fromisoformat(_FRACTION.sub("", text))
    moment = moment.replace(microsecond=int(digits[:6]))
    moment = moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
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
            return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:  # half of a character becomes the mark of one that is not known
            return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
