"""The live tenant as a plan: what it has, written as somebody would have written it. Pure.

What the plan language would not take, or what is not for a plan (the Hybrid Configuration Wizard's connectors, those
that another plan has marked), is left out and told. A file that exists already keeps its comments, its order and its
spellings; only what differs is written anew (ruamel.yaml's round trip).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from provisioner import rules
from provisioner.changes.planning import Scope
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import (
    Address,
    Declared,
    Desired,
    Observed,
    Present,
    Resource,
    ResourceType,
    field_names,
    project,
    written,
    yaml_text,
)
from provisioner.model.checking import adapter_of
from provisioner.resources.ownership import HYBRID_WIZARD

Types = Sequence[ResourceType[Any]]
Form = tuple[tuple[str, ...], Any]
"""How a plan declares an object: the path from its section, and the plain value there."""


@dataclass(frozen=True, slots=True)
class Export:
    """The YAML text, and a sentence for each object, and each field of one, that is not in it."""

    text: str
    left_out: tuple[str, ...] = ()


def export(
    observed: Observed,
    types: Types,
    tenant: str,
    *,
    owner: str = "",
    scope: Scope | None = None,
    old: str | None = None,
) -> Export:
    """What exists as a plan of `tenant`; `old` is the text of the file that it goes to.

    With `owner`, or that of the old file, the plan claims what it declares: connectors without a mark then get one at
    the next apply. Raises InputError when `old` is not a YAML mapping.
    """
    left_out: list[str] = []
    yaml = yaml_text.round_trip()
    document = _header(yaml, old, tenant, owner)
    owner = str(document.get("owner") or "")
    entries = {t.name: dict(_entries(t, observed, owner, scope or Scope(), left_out)) for t in types}
    for kind in types:
        _write_section(document, kind, entries[kind.name], _specs(kind, observed), owner)
    return Export(yaml_text.dump(document, yaml), tuple(left_out))


def declared(types: Types, old: str | None) -> Mapping[str, frozenset[str]]:
    """The keys that a plan's text declares, by type; none of a section or a text that is not well-formed."""
    from ruamel.yaml.error import YAMLError

    try:
        document = yaml_text.round_trip().load(old or "")
    except YAMLError:
        return {}
    sections = document if isinstance(document, dict) else {}
    return {t.name: frozenset(_keys(t, sections[t.section])) for t in types if t.section in sections}


def _keys(kind: ResourceType[Any], section: Any) -> Iterator[str]:
    try:
        yield from (one.key for one in _declared(kind, section, ""))
    except ValidationError:
        return


def _header(yaml: Any, old: str | None, tenant: str, owner: str) -> Any:
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    document: Any = None
    if old is not None and old.strip():
        try:
            document = yaml.load(old)
        except YAMLError as error:
            raise InputError([Diagnostic("EXPORT-FILE", f"the existing file is not YAML: {error}")]) from error
        if not isinstance(document, dict):
            raise InputError([Diagnostic("EXPORT-FILE", "the existing file is not a plan: it holds no mapping")])
    if document is None:
        document = CommentedMap()
        document["provisioner"] = 1
    document.setdefault("tenant", tenant)
    if owner:
        document["owner"] = owner
    return document


def _specs(kind: ResourceType[Any], observed: Observed) -> dict[str, Any]:
    """Everything that is there of a type, by key."""
    seen = {a.key: o.spec for a, o in observed.resources.items() if a.type == kind.name and isinstance(o, Present)}
    return seen | {a.key: spec for a, spec in observed.undeclared.items() if a.type == kind.name}


def _entries(
    kind: ResourceType[Any], observed: Observed, owner: str, scope: Scope, left_out: list[str]
) -> Iterator[tuple[str, Form]]:
    """Key -> (path, value) of what can be declared; the reasons of the rest go to `left_out`."""
    for key, spec in sorted(_specs(kind, observed).items(), key=lambda item: (item[0] not in kind.singletons, item[0])):
        address = Address(kind.name, key)
        if not scope.holds(address):
            continue
        mark = kind.owner_of(spec)
        form = kind.written_form(spec)
        if form is None:
            if kind.made_by(spec) == HYBRID_WIZARD:
                left_out.append(f"{address}: the Hybrid Configuration Wizard made it and keeps it")
        elif mark and mark != owner:
            left_out.append(f'{address}: it belongs to "{mark}"; --owner {mark} exports that plan\'s objects')
        elif reason := _unfit(kind, address, form := _without_unfit(kind, address, form, left_out), owner):
            left_out.append(f"{address}: {reason}")
        else:
            left_out += [f"{address}: {words}" for words in kind.unwritable(spec)]
            yield key, form


def _without_unfit(kind: ResourceType[Any], address: Address, form: Form, left_out: list[str]) -> Form:
    """The form without the fields that the plan language would not take, each told in `left_out`.

    A field that is not written is left alone, so that the rest of the object can be declared all the same.
    """
    path, value = form
    while isinstance(value, dict):
        try:
            adapter_of(kind.section_type).validate_python(_nested((path, value)))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            name = found["loc"][len(path)] if len(found["loc"]) > len(path) else None
            if name not in value:
                break
            left_out.append(f"{address}: {name}: {found['msg']}")
            value = {other: kept for other, kept in value.items() if other != name}
        else:
            break
    return path, value


def _unfit(kind: ResourceType[Any], address: Address, form: Form, owner: str) -> str:
    """Why the plan language would not take an object as it is; "" where it would."""
    try:
        declared = _declared(kind, _nested(form), owner)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    resources = {Address(address.type, d.key): Resource(address, d.spec) for d in declared}
    judged = rules.lint(Desired("", owner, resources), (kind,))
    return next((f.summary for f in judged if f.blocks == "input"), "")


def _declared(kind: ResourceType[Any], section: Any, owner: str) -> list[Declared]:
    return list(kind.declare(adapter_of(kind.section_type).validate_python(section), owner))


def _nested(form: Form) -> dict[str, Any]:
    path, value = form
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _write_section(
    document: Any, kind: ResourceType[Any], entries: Mapping[str, Any], live: Mapping[str, Any], owner: str
) -> None:
    """Bring a section to the entries: what is written and true stays as it is spelled."""
    from ruamel.yaml.comments import CommentedMap

    section = document.get(kind.section)
    if section is None and not entries:
        return
    if section is None:
        section = document[kind.section] = CommentedMap()
    # A section that is one object declares it even where it says nothing.
    silent = not section
    called = {name: key for key, spec in live.items() for name in kind.names(spec)}
    declared_here = [d for d in _declared(kind, _plain(section), owner) if d.path or not silent]
    there = {d.key if d.key in live else called.get(d.key, d.key): d for d in declared_here}
    for key, (path, value) in entries.items():
        if key not in there:
            _set(section, path, value)
    for key, declared in reversed(there.items()):  # from the end, so that the places in a list stay true
        if key not in live:
            _remove(document, (kind.section, *declared.path))
        elif _differs(live[key], declared.spec):
            _correct(section, declared, live[key])


def _differs(live: Any, declared: Any) -> bool:
    """Whether what is written is not so; the key may be written by another name of the object."""
    same = {name: getattr(live, name) for name in _of_key(declared)}
    return bool(project(live, declared) != dataclasses.replace(_without_mark(declared), **same))


def _of_key(spec: Any) -> frozenset[str]:
    """The fields that only say which object it is: the key, and the parts of one."""
    parts = {f.name for f in dataclasses.fields(spec) if f.metadata.get("of_key")}
    return frozenset({field_names(spec)[0], *parts})


_MARK = frozenset({"owner", "owner_key"})


def _without_mark(spec: Any) -> Any:
    return dataclasses.replace(spec, owner=None, owner_key=None) if getattr(spec, "owner", None) else spec


def _correct(section: Any, there: Declared, live: Any) -> None:
    """Write the fields that differ; those that were not written stay unwritten. An entry of one value is that value."""
    node = _at(section, there.path)
    kept = {*_of_key(live), *_MARK}
    differing = {n: getattr(live, n) for n, v in written(there.spec).items() if getattr(live, n) != v and n not in kept}
    if not isinstance(node, dict):
        for value in differing.values():
            _at(section, there.path[:-1])[there.path[-1]] = value
        return
    for name, value in differing.items():
        if value is None:
            node.pop(name, None)
        else:
            node[name] = sorted(value) if isinstance(value, frozenset) else value


def _plain(node: Any) -> Any:
    """A round-trip node as plain Python, for pydantic."""
    if isinstance(node, dict):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    return str(node) if isinstance(node, str) else node


def _at(node: Any, path: Sequence[str | int]) -> Any:
    for name in path:
        node = node[name]
    return node


def _set(node: Any, path: Sequence[str], value: Any) -> None:
    from ruamel.yaml.comments import CommentedMap

    if not path:  # a section that is one object
        node.update(value)
        return
    for name in path[:-1]:
        if node.get(name) is None:
            node[name] = CommentedMap()
        node = node[name]
    if isinstance(value, list) and isinstance(node.get(path[-1]), list):
        node[path[-1]].extend(value)
    else:
        node[path[-1]] = value


def _remove(document: Any, path: Sequence[str | int]) -> None:
    """Remove an entry, and what it was the last of. The comments around it stay, in front of what follows."""
    kept: list[Any] = []
    while True:
        holder = _at(document, path[:-1])
        kept = [*_comments(holder, path[-1]), *kept]
        position = list(holder).index(path[-1]) if isinstance(holder, dict) else int(path[-1])
        del holder[path[-1]]
        if holder or len(path) == 1:
            break
        path = path[:-1]
    _put_before(document, path[:-1], position, kept)


_BEFORE = 1
"""Where ruamel.yaml keeps the comments in front of a key or an item, in the list of the comments that belong to it."""


def _comments(holder: Any, key: str | int) -> list[Any]:
    """The comment lines in front of an entry, and those behind it but for what stands on its last line.

    ruamel.yaml keeps lines that follow a value with that value, and those in front of the first key with the mapping.
    """
    value = holder[key]
    before = [token for token in _slots(holder, key)[_BEFORE] or () if token is not None]
    if hasattr(value, "ca") and value.ca.comment and value.ca.comment[_BEFORE:]:
        before += value.ca.comment[_BEFORE] or []
    behind = [_behind(holder, key)]
    while isinstance(value, dict | list) and value:
        holder, key = value, next(reversed(value)) if isinstance(value, dict) else len(value) - 1
        value = holder[key]
        behind.append(_behind(holder, key))
    lines = [line for token in behind if token for line in token.value.splitlines(keepends=True)[1:] if line.strip()]
    return [*before, *map(_comment, lines)]


def _behind(holder: Any, key: str | int) -> Any:
    """The comment behind an entry: the end of its line, and the lines that follow."""
    return _slots(holder, key)[2 if isinstance(holder, dict) else 0]


def _slots(holder: Any, key: str | int) -> list[Any]:
    comments = holder.ca.items.get(key) if hasattr(holder, "ca") else None
    return list(comments) if comments else [None, None, None, None]


def _comment(line: str) -> Any:
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    text = line.lstrip()
    return CommentToken(text if text.endswith("\n") else f"{text}\n", CommentMark(len(line) - len(text)), None)


def _put_before(document: Any, path: Sequence[str | int], position: int, comments: list[Any]) -> None:
    """Put comments in front of what follows a place in the document, or at its end."""
    while comments:
        holder = _at(document, path)
        if position < len(holder):
            key = list(holder)[position] if isinstance(holder, dict) else position
            slots = _slots(holder, key)
            slots[_BEFORE] = [*comments, *(slots[_BEFORE] or ())]
            holder.ca.items[key] = slots
            return
        if not path:
            document.ca.end = [*comments, *(document.ca.end or ())]
            return
        above = _at(document, path[:-1])
        position = (list(above).index(path[-1]) if isinstance(above, dict) else int(path[-1])) + 1
        path = path[:-1]
