"""The live tenant as a plan: what it has, written as somebody would have written it. Pure.

What the plan language would not take, or what is not for a plan (the Hybrid Configuration Wizard's connectors, those
that another plan has marked), is left out and told. A file that exists already keeps its layout, comments, order and
spellings; only what differs is written anew (`plan/editing.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from provisioner import rules
from provisioner.changes.scoping import Scope
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
from provisioner.plan.editing import edited
from provisioner.plan.header import LANGUAGE
from provisioner.plan.proposing import Proposal
from provisioner.plan.variables import PART, PREFIX, literal
from provisioner.resources.ownership import HYBRID_WIZARD

Types = Sequence[ResourceType[Any]]
Form = tuple[tuple[str, ...], Any]
"""How a plan declares an object: the path from its section, and the plain value there."""


@dataclass(frozen=True, slots=True)
class Export:
    """The YAML text, and a sentence for each object, and each field of one, that is not in it.

    `proposal` are the sites and devices that would take the tenant's sending paths, where anybody works them out.
    """

    text: str
    left_out: tuple[str, ...] = ()
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """The texts of the files of a folder by name, new ones included, and a sentence for each thing left out."""

    texts: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the plan that is exported into says besides its sections.

    `variables` are the values of its variables, which stand in its sections by their names. `worked_out` are objects
    that it declares by its devices: they are not written a second time.
    """

    variables: Mapping[str, Any] = field(default_factory=dict)
    worked_out: frozenset[Address] = frozenset()


NOTHING_KNOWN = Known()


def export(
    observed: Observed,
    types: Types,
    tenant: str,
    *,
    owner: str = "",
    scope: Scope | None = None,
    old: str | None = None,
    known: Known = NOTHING_KNOWN,
) -> Export:
    """What exists as a plan of `tenant`; `old` is the text of the file that it goes to.

    With `owner`, or that of the old file, the plan claims what it declares: connectors without a mark then get one at
    the next apply. Raises InputError when `old` is not a YAML mapping.
    """
    writing = _Writing({"": old}, known)
    writing.header("", tenant, owner)
    writing.sections(observed, types, scope or Scope(), lambda _: "")
    return Export(writing.texts()[""], tuple(writing.left_out))


def export_files(
    observed: Observed,
    types: Types,
    tenant: str,
    old: Mapping[str, str],
    *,
    owner: str = "",
    scope: Scope | None = None,
    known: Known = NOTHING_KNOWN,
) -> Exported:
    """The same for the files of a folder: each object in the file that declares it, and each section where it stands.

    A section that no file has goes into one of its own, and the header of a new folder into tenant.yaml. Raises as
    `export`.
    """
    writing = _Writing(old, known)
    heads = [name for name, document in writing.documents.items() if "tenant" in document]
    writing.header(heads[0] if heads else "tenant.yaml", tenant, owner)
    writing.sections(observed, types, scope or Scope(), lambda kind: f"{kind.section}.yaml")
    return Exported(writing.texts(), tuple(writing.left_out))


class _Writing:
    """The documents of a plan's files, by name, while what a tenant has is written into them."""

    def __init__(self, old: Mapping[str, str | None], known: Known) -> None:
        self._old, self._known = old, known
        self._values = _Values(known.variables)
        self.documents = {name: _document(text) for name, text in old.items()}
        self.left_out: list[str] = []

    def header(self, name: str, tenant: str, owner: str) -> None:
        """The keys of a plan's header in a file, where they are missing. The owner stays where a file names one."""
        document = self._file(name)
        if not document:
            document["provisioner"] = LANGUAGE
        document.setdefault("tenant", tenant)
        holder = next((d for d in self.documents.values() if "owner" in d), document)
        if owner and "owner" not in holder:
            holder.insert(list(holder).index("tenant") + 1, "owner", owner)
        elif owner:
            holder["owner"] = owner

    def sections(
        self, observed: Observed, types: Types, scope: Scope, home: Callable[[ResourceType[Any]], str]
    ) -> None:
        """Bring the sections of these types to what was observed. `home` is the file of a section that none has."""
        owner = next((str(d["owner"]) for d in self.documents.values() if d.get("owner")), "")
        for kind in types:
            live = _specs(kind, observed)
            entries = dict(_entries(kind, observed, owner, scope, self.left_out))
            sections = {n: self._section(d, kind, live, owner) for n, d in self.documents.items() if kind.section in d}
            there = {key for section in sections.values() for key in section.there}
            written = there | {address.key for address in self._known.worked_out if address.type == kind.name}
            new = {key: form for key, form in entries.items() if key not in written}
            name = list(sections)[-1] if sections else home(kind)
            if new:  # before anything is removed, so that the section of a last entry keeps its place
                self._add(self._file(name), kind, new)
            for name, section in sections.items():
                section.correct(self.documents[name], live)
                if not self.documents[name]:  # a file without any key would not be one of a plan
                    self._add(self.documents[name], kind, {})

    def texts(self) -> dict[str, str]:
        """Every document as text: an old one with the fewest edits."""
        return {name: self._text(name, document) for name, document in self.documents.items()}

    def _text(self, name: str, document: Any) -> str:
        old = self._old.get(name)
        found = edited(old, document) if old is not None and old.strip() else None
        return yaml_text.dump(document, yaml_text.round_trip()) if found is None else found

    def _file(self, name: str) -> Any:
        if name not in self.documents:
            self.documents[name] = _document(None)
        return self.documents[name]

    def _section(self, document: Any, kind: ResourceType[Any], live: Mapping[str, Any], owner: str) -> _Section:
        try:
            return _Section.of(document[kind.section], kind, live, owner, self._values)
        except ValidationError as error:
            what = f"the section {kind.section} of the existing file has mistakes"
            raise InputError([Diagnostic("EXPORT-FILE", what, "provisioner validate names them")]) from error

    @staticmethod
    def _add(document: Any, kind: ResourceType[Any], new: Mapping[str, Form]) -> None:
        from ruamel.yaml.comments import CommentedMap

        if document.get(kind.section) is None:
            document[kind.section] = CommentedMap()
        for path, value in new.values():
            _set(document[kind.section], literal(path), literal(value))


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of a document: what it declares, by the key that the tenant has for it, and its canonical values."""

    kind: ResourceType[Any]
    there: dict[str, Declared]
    canonical: Any
    values: _Values

    @classmethod
    def of(cls, node: Any, kind: ResourceType[Any], live: Mapping[str, Any], owner: str, values: _Values) -> _Section:
        """Raises ValidationError where the section has mistakes."""
        canonical = adapter_of(kind.section_type).validate_python(values.plain(node) if node else {})
        called = {name: key for key, spec in live.items() for name in kind.names(spec)}
        # A section that is one object declares it even where it says nothing.
        found = [d for d in kind.declare(canonical, owner) if d.path or node]
        there = {d.key if d.key in live else called.get(d.key, d.key): d for d in found}
        return cls(kind, there, canonical, values)

    def correct(self, document: Any, live: Mapping[str, Any]) -> None:
        """What is written and true stays as it is spelled."""
        for key, declared in reversed(self.there.items()):  # from the end, so that the places in a list stay true
            section = document[self.kind.section]
            path = self.values.path(section, declared.path)
            if key not in live:
                _remove(document, (self.kind.section, *path))
            elif _differs(live[key], declared.spec):
                _correct(section, path, declared, live[key], self.canonical)


class _Values:
    """The values of a plan's variables, put where the plan names them."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._known = variables

    def plain(self, node: Any) -> Any:
        """A round-trip node as plain Python with the values of variables, for pydantic."""
        if isinstance(node, dict):
            return {str(self._filled(str(k))): self.plain(v) for k, v in node.items()}
        if isinstance(node, list):
            parts = [(v, self.plain(v)) for v in node]
            return [x for v, p in parts for x in (p if isinstance(p, list) and isinstance(v, str) else [p])]
        return self._filled(str(node)) if isinstance(node, str) else node

    def path(self, node: Any, path: Sequence[str | int]) -> list[Any]:
        """A path by the names that the document itself has."""
        found: list[Any] = []
        for name in path:
            step = name
            if isinstance(node, dict) and name not in node:
                step = next((key for key in node if self._filled(str(key)) == name), name)
            found.append(step)
            node = node[step]
        return found

    def _filled(self, text: str) -> Any:
        if text.startswith(PREFIX):
            return self._known.get(text.removeprefix(PREFIX).strip(), text)
        return PART.sub(lambda part: part[0][1:] if part[1] else str(self._known.get(part[2].strip(), part[0])), text)


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


def _document(old: str | None) -> Any:
    """The text of a file as a round-trip document; a new one without. Raises InputError when it is not a mapping."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    document: Any = None
    if old is not None and old.strip():
        try:
            document = yaml_text.round_trip().load(old)
        except YAMLError as error:
            raise InputError([Diagnostic("EXPORT-FILE", f"the existing file is not YAML: {error}")]) from error
        if document is not None and not isinstance(document, dict):
            raise InputError([Diagnostic("EXPORT-FILE", "the existing file is not a plan: it holds no mapping")])
    return CommentedMap() if document is None else document


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
    for name in [n for n, v in value.items() if str(v).startswith(PREFIX)] if isinstance(value, dict) else ():
        left_out.append(f"{address}: {name}: a plan takes what begins with {PREFIX} for a variable")
        value = {other: kept for other, kept in value.items() if other != name}
    while isinstance(value, dict):
        try:
            adapter_of(kind.section_type).validate_python(_nested((path, value)))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            name = found["loc"][len(path)] if len(found["loc"]) > len(path) else None
            if name not in value:
                break
            left_out.append(f"{address}: {name}: {_reason(error)}")
            value = {other: kept for other, kept in value.items() if other != name}
        else:
            break
    return path, value


def _unfit(kind: ResourceType[Any], address: Address, form: Form, owner: str) -> str:
    """Why the plan language would not take an object as it is; "" where it would."""
    try:
        declared = _declared(kind, _nested(form), owner)
    except ValidationError as error:
        return _reason(error)
    resources = {Address(address.type, d.key): Resource(address, d.spec) for d in declared}
    judged = rules.lint(Desired("", owner, resources), (kind,))
    return next((f.summary.removeprefix(f"{address}: ") for f in judged if f.blocks == "input"), "")


def _reason(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    if found["type"] == "literal_error":
        return f"a plan takes {found['ctx']['expected']}, and the tenant has '{found['input']}'"
    return str(found["msg"])


def _declared(kind: ResourceType[Any], section: Any, owner: str) -> list[Declared]:
    return list(kind.declare(adapter_of(kind.section_type).validate_python(section), owner))


def _nested(form: Form) -> dict[str, Any]:
    path, value = form
    for name in reversed(path):
        value = {name: value}
    return dict(value)


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


def _correct(section: Any, path: Sequence[Any], there: Declared, live: Any, canonical: Any) -> None:
    """Write the fields that differ; those that were not written stay unwritten. An entry of one value is that value."""
    node = _at(section, path)
    kept = {*_of_key(live), *_MARK}
    differing = {n: getattr(live, n) for n, v in written(there.spec).items() if getattr(live, n) != v and n not in kept}
    if not isinstance(node, dict):
        for value in differing.values():
            _at(section, path[:-1])[path[-1]] = literal(value)
        return
    forms = _at(canonical, there.path)
    for name, value in differing.items():
        if value is None:
            node.pop(name, None)
        elif isinstance(value, frozenset):
            node[name] = _items(node.get(name), forms.get(name), value)
        else:
            node[name] = literal(value)


def _items(written: Any, canonical: Any, live: frozenset[Any]) -> list[Any]:
    """A list with what the tenant has: what stays has its place and spelling, what is new comes last."""
    if not isinstance(written, list) or not isinstance(canonical, list) or len(written) != len(canonical):
        return sorted(live)
    kept = [item for item, form in zip(written, canonical, strict=True) if form in live]
    return [*kept, *sorted(live.difference(canonical))]


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
