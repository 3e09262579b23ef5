"""A change set as a PowerShell script: the very steps of `apply`, for an administrator to read and to run by hand.

Every value stands in a single-quoted string or as a typed literal, so nothing in a name, a comment or an address is
ever evaluated; what does not print (control characters, bidirectional marks) stands as its code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    CmdletDocument,
    PromiseDocument,
    RecordDocument,
    StepDocument,
    UpdateDocument,
)
from provisioner.render.changes import action, closing, dangers, opened_first, pending, remark
from provisioner.render.escape import commands_at, prints, visible

# about_Quoting_Rules: PowerShell takes these typographic quotes for the single quote too.
_SINGLE_QUOTES = "'\u2018\u2019\u201a\u201b"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_WORDS = {"create": "will be created", "update": "will be updated in-place", "delete": "will be destroyed"}


_ASSERTION = r"""
# Throws unless an object shows what it must before anything is closed. Lists may hold more.
function Assert-InForce($address, $found, $expected) {
    if (-not $found) { throw ($address + ' does not exist: nothing is closed.') }
    foreach ($name in $expected.Keys) {
        $values = @($found.$name) | ForEach-Object { ([string]$_) -replace '^smtp:', '' -replace ';[0-9]+$', '' }
        $values = @($values) | ForEach-Object { $_ -replace '/32$', '' }
        foreach ($value in @($expected[$name])) {
            if (@($values) -notcontains $value) {
                throw ($address + ': ' + $name + ' does not show ' + $value + ': nothing is closed.')
            }
        }
    }
}
"""
_BEFORE_CLOSING = (
    "# From here on, sending paths are closed. First every object of the plan that opens one is read back, whichever",
    "# senders it is for: the script stops unless all are in force. Send a message on each new path before you go on.",
)


def render(document: ChangeSetDocument) -> str:
    """The script. Raises ValueError for a step whose cmdlet or parameter name is not a plain word."""
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
    for change in changes:
        if opened_first(change) or not closing(change):
            lines += ["", *_change(change, _opening_steps(change))]
    if any(map(closing, changes)):
        lines += [*_ASSERTION.rstrip().splitlines(), *_closing(changes, ours["promises"])]
    if not changes:
        lines += ["", "# No changes."]
    return "\n".join(lines) + "\n"


def _closing(changes: Sequence[ChangeDocument], promises: Sequence[PromiseDocument]) -> Iterator[str]:
    """What takes paths away, after all that opens one is read back.

    A change that opens and closes in one write comes first here, and is read back by itself.
    """
    last = [c for c in changes if closing(c)]
    at_once = {c["address"] for c in last if not opened_first(c)}
    yield from ("", *_BEFORE_CLOSING)
    yield from (_assert(promise) for promise in promises if promise["address"] not in at_once)
    both = {p["address"]: p for p in promises if p["address"] in at_once}
    for change in sorted(last, key=lambda c: c["address"] not in both):
        yield from ("", *_change(change, _closing_steps(change)))
        if change["address"] in both:
            yield _assert(both[change["address"]])


def _assert(promise: PromiseDocument) -> str:
    read = promise["read"]
    parameters = "".join(f" -{_name(name)} {_value(value)}" for name, value in read["parameters"].items())
    shows = "; ".join(f"{_name(name)} = {_shown(value)}" for name, value in promise["shows"].items())
    return f"Assert-InForce {_text(promise['address'])} ({_name(read['cmdlet'])}{parameters}) @{{ {shows} }}"


def _shown(value: Any) -> str:
    """A value as the text that PowerShell makes of what it reads."""
    if isinstance(value, list):
        return "@(" + ", ".join(map(_shown, value)) + ")"
    return _text("" if value is None else str(value).removesuffix("/32"))


Steps = Sequence[tuple[int, StepDocument]]


def _opening_steps(change: ChangeDocument) -> Steps:
    """The steps up to where the object is read back; all of one that is not split."""
    steps = change["provisioner"]["steps"]
    end = next((n + 1 for n, step in enumerate(steps) if "confirm" in step), len(steps))
    return [*enumerate(steps)][:end]


def _closing_steps(change: ChangeDocument) -> Steps:
    """The steps after the object is read back; all of one that is not split."""
    return [*enumerate(change["provisioner"]["steps"])][len(_opening_steps(change)) if opened_first(change) else 0 :]


def _change(change: ChangeDocument, steps: Steps) -> Iterator[str]:
    said = f" ({', '.join(dangers(change))})" if dangers(change) else ""
    yield f"# {visible(change['address'])} {_WORDS[action(change)]}{said}"
    for field in change["provisioner"]["fields"]:
        before, after = (json.dumps(field[side], ensure_ascii=False) for side in ("before", "after"))
        said = f" ({remark(field)})" if remark(field) else ""
        yield f"#   {visible(field['name'])}: {visible(before)} -> {visible(after)}{said}"
    if opened_first(change):
        yield "# In two writes; first, until the tenant shows it: " + ", ".join(opened_first(change))
    for number, step in steps:
        if "await" in step:
            yield from _await(step["await"])
        elif "send" in step:
            yield from _send(number, step["send"])


def _update(sent: UpdateDocument) -> Iterator[str]:
    """Exchange's module writes no DNS: the values are shown, for the person who runs the zone."""
    for word, values in (("remove", sent["remove"]), ("add", sent["add"])):
        for value in values:
            yield f"# DNS, by hand: {word} {visible(sent['update'])} {visible(json.dumps(value, ensure_ascii=False))}"


def _send(number: int, sent: CmdletDocument | UpdateDocument) -> Iterator[str]:
    if "update" in sent:
        yield from _update(sent)
        return
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
    """A single-quoted string; what does not print, or is a command to a runner, is joined in by its code."""
    parts: list[str] = []
    plain = ""
    for number, unit in enumerate(text):
        if prints(unit) and not commands_at(text, number):
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
        raise ValueError(f"{word!r} is not a name of a cmdlet, parameter or property")
    return word
