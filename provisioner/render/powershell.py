"""A change set as a PowerShell script: the very steps of `apply`, for an administrator to read and to run by hand.

Every value stands in a single-quoted string or as a typed literal, so nothing in a name, a comment or an address is
ever evaluated; what does not print (control characters, bidirectional marks) stands as its code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model.document import ChangeDocument, ChangeSetDocument, CmdletDocument, RecordDocument
from provisioner.render.changes import action, closing, dangers, pending, remark
from provisioner.render.escape import prints, visible

# about_Quoting_Rules: PowerShell takes these typographic quotes for the single quote too.
_SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_WORDS = {"create": "will be created", "update": "will be updated in-place", "delete": "will be destroyed"}


_BEFORE_CLOSING = (
    "# From here on, sending paths are closed. Go on only when every connector, switch and right above works:",
    "# look at them in the tenant, and send a message on each new path first.",
)


def render(document: ChangeSetDocument) -> str:
    """The script. Raises ValueError for a step whose cmdlet or parameter name is no plain word."""
    ours = document["provisioner"]
    lines = [
        f"# Tenant   {visible(ours['tenant'])}",
        f"# Made     {visible(document['timestamp'])}",
        f"# Digest   {visible(ours['digest'])}",
        "#",
        "# Sign in first: Connect-ExchangeOnline (module ExchangeOnlineManagement) as an Exchange Administrator.",
        "# It stops at the first error. Nothing here checks whether the tenant has moved since the plan was made;",
        "# `provisioner apply` does.",
        "",
        "$ErrorActionPreference = 'Stop'",
    ]
    changes = pending(document)
    opening, last = ([c for c in changes if closing(c) is side] for side in (False, True))
    for change in opening:
        lines += ["", *_change(change)]
    if last:
        lines += ["", *_BEFORE_CLOSING]
    for change in last:
        lines += ["", *_change(change)]
    if not changes:
        lines += ["", "# No changes."]
    return "\n".join(lines) + "\n"


def _change(change: ChangeDocument) -> Iterator[str]:
    said = f" ({', '.join(dangers(change))})" if dangers(change) else ""
    yield f"# {visible(change['address'])} {_WORDS[action(change)]}{said}"
    for field in change["provisioner"]["fields"]:
        before, after = (json.dumps(field[side], ensure_ascii=False) for side in ("before", "after"))
        said = f" ({remark(field)})" if remark(field) else ""
        yield f"#   {visible(field['name'])}: {visible(before)} -> {visible(after)}{said}"
    for number, step in enumerate(change["provisioner"]["steps"]):
        yield from _await(step["await"]) if "await" in step else _send(number, step["send"])


def _send(number: int, sent: CmdletDocument) -> Iterator[str]:
    yield "$parameters = @{"
    for name, value in sent["parameters"].items():
        yield f"    {_name(name)} = {_value(value)}"
    if sent["cmdlet"].partition("-")[0] not in {"New", "Get"}:
        yield "    Confirm = $false"
    yield "}"
    yield f"$step{number} = {_name(sent['cmdlet'])} @parameters"


def _await(records: Sequence[RecordDocument]) -> Iterator[str]:
    """DNS must be published before the next step: look, and stop with what is missing."""
    for record in records:
        name, kind, value = _text(record["name"]), _text(record["type"]), _value(record["value"])
        yield f"$found = Resolve-DnsName -Name {name} -Type {kind} -ErrorAction SilentlyContinue"
        yield f"if (@($found.NameHost) -notcontains ([string]{value}).TrimEnd('.')) {{"
        yield f"    throw ('Publish in DNS first: ' + {name} + ' ' + {kind} + ' ' + {value})"
        yield "}"


def _value(value: Any) -> str:
    match value:
        case None:
            return "$null"
        case bool():
            return "$true" if value else "$false"
        case int() | float():
            return str(value)
        case str():
            return _text(value)
        case list():
            return "@(" + ", ".join(map(_value, value)) + ")"
        case {"$delta": delta}:
            sides = (f"{word} = {_value(delta[word.lower()])}" for word in ("Add", "Remove") if delta[word.lower()])
            return "@{ " + "; ".join(sides) + " }"
        case {"$ref": ref}:
            return f"$step{int(ref['step'])}.{_name(ref['property'])}"
        case {"$secret": reference}:
            return f"(Read-Host -AsSecureString -Prompt {_text(reference)})"
        case _:
            raise ValueError(f"no PowerShell form for {value!r}")


def _text(text: str) -> str:
    """A single-quoted string; characters that do not print are joined in by their code."""
    parts: list[str] = []
    plain = ""
    for unit in text:
        if prints(unit):
            plain += unit * 2 if unit in _SINGLE_QUOTES else unit
            continue
        if plain:
            parts.append(f"'{plain}'")
            plain = ""
        code = ord(unit)
        parts.append(f"[char]0x{code:04X}" if code < 0x10000 else f"[char]::ConvertFromUtf32(0x{code:X})")
    if plain or not parts:
        parts.append(f"'{plain}'")
    # A leading [char] would make + add numbers: begin with a string.
    joined = " + ".join(parts if parts[0].startswith("'") else ["''", *parts])
    return joined if len(parts) == 1 and parts[0].startswith("'") else f"({joined})"


def _name(word: str) -> str:
    if not _NAME.fullmatch(word):
        raise ValueError(f"{word!r} is no name of a cmdlet, parameter or property")
    return word
