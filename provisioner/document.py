"""YAML -> desired state: what a plan says, with every mistake of all its files found in one pass.

A plan is a file, or a folder whose `*.yaml` files are merged by key. The shape of each section belongs to its resource
type; this room knows the header, merging, and how to say in plain words what is wrong and where.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import hashlib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict, is_typeddict

from provisioner import rules, yaml_nodes
from provisioner.diagnostics import Diagnostic, Diagnostics, Location, Severity
from provisioner.model import Address, Declared, Desired, Resource, ResourceType, Waiver
from provisioner.yaml_nodes import Node

LANGUAGE = 1
"""The version of the plan language, the value of the key `provisioner`."""

Types = Sequence[ResourceType[Any]]
Path_ = tuple[str | int, ...]

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TENANT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.IGNORECASE)
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")


@with_config({"extra": "forbid"})
class WaiverEntry(TypedDict):
    """One rule waived in the open."""

    rule: Annotated[str, Field(description="The id of the rule, as its message shows it.", examples=["IP-PRIVATE"])]
    reason: Annotated[str, Field(min_length=1, description="Why, for whoever reviews this.")]
    until: NotRequired[Annotated[str, Field(description="The last day that it holds, such as 2027-03-31.")]]
    resource: NotRequired[
        Annotated[str, Field(description="What it holds for: type/key, wildcards allowed. Everything, if not written.")]
    ]


@with_config({"extra": "forbid"})
class Header(TypedDict):
    """What a plan says besides its sections."""

    provisioner: Annotated[typing.Literal[1], Field(description="The version of the plan language.")]
    tenant: Annotated[str, Field(description="The only tenant that this plan may touch: its initial domain or its id.")]
    owner: NotRequired[Annotated[str, Field(description="The mark on what this plan creates, such as mail/prod.")]]
    protect: NotRequired[Annotated[list[str], Field(description="Never deleted, whoever asks: type/key, wildcards.")]]
    absent: NotRequired[Annotated[list[str], Field(description="Delete this one thing: type/key.")]]
    ignore: NotRequired[Annotated[list[str], Field(description="Not ours, never looked at: type/key, wildcards.")]]
    allow: NotRequired[Annotated[list[WaiverEntry], Field(description="Rules waived, in the open, for a time.")]]


_LISTS = frozenset({"protect", "absent", "ignore", "allow"})
_HEADER = tuple(Header.__annotations__)


def load(
    path: Path | Sequence[Path], types: Types, *, today: dt.date, waivers: Sequence[Waiver] = ()
) -> tuple[Desired, Sequence[Diagnostic]]:
    """The desired state of a plan and its warnings. Raises InputError with every mistake found.

    What a rule calls wrong in the plan itself is a mistake too, unless waived by the plan or by `waivers`.
    """
    found = Diagnostics()
    files = list(_read([path] if isinstance(path, Path) else path, found))
    plan = _Plan(types, found)
    for source in files:
        root = yaml_nodes.load(source.content, source.name, found)
        if root is None:
            continue
        if root.is_mapping:
            plan.merge(root)
        else:
            what = "a plan is a mapping: keys with values"
            found.add(Diagnostic("YAML-NOT-MAPPING", what, "begin with provisioner: 1", location=root.location))
    if not files or (found.errors and not plan.tree.items):
        found.raise_if_errors()
    desired = plan.desired(today)
    for finding in rules.waive(rules.lint(desired), (*desired.waivers, *waivers)):
        if finding.blocks == "input" and not finding.waived:
            found.add(Diagnostic(finding.rule, finding.summary, finding.mend, location=finding.location))
    found.raise_if_errors()
    digest, names = _digest(files), tuple(f.name for f in files)
    return dataclasses.replace(desired, digest=digest, files=names), tuple(found.items)


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    content: bytes


def _read(paths: Sequence[Path], found: Diagnostics) -> Iterator[_Source]:
    for path in paths:
        for file in _files(path, found):
            try:
                with file.open("rb") as stream:
                    content = stream.read(yaml_nodes.LARGEST_BYTES + 1)
            except OSError as error:
                what = f"{file} cannot be read: {error.strerror or error}"
                found.add(Diagnostic("PLAN-UNREADABLE", what, "check its name and its permissions"))
                continue
            yield _Source(file.as_posix(), content)


def _files(path: Path, found: Diagnostics) -> Sequence[Path]:
    """The files of a plan: itself, or the YAML files directly in a folder, by name."""
    try:
        if not path.is_dir():
            if path.exists():
                return [path]
            found.add(Diagnostic("PLAN-MISSING", f"{path} is not there", "name a plan file or a folder of plan files"))
            return []
        files = sorted(f for f in path.iterdir() if f.suffix in {".yaml", ".yml"} and f.is_file())
    except OSError as error:
        found.add(Diagnostic("PLAN-UNREADABLE", f"{path} cannot be read: {error.strerror or error}"))
        return []
    if not files:
        what = f"the folder {path} has no *.yaml file"
        found.add(Diagnostic("PLAN-FOLDER-EMPTY", what, "put a plan there, or name another folder"))
    return files


def _digest(files: Iterable[_Source]) -> str:
    """SHA-256 over the files' names and contents, line ends as \\n, whatever order they were given in."""
    total = hashlib.sha256()
    for source in sorted(files, key=lambda f: Path(f.name).name):
        content = source.content.replace(b"\r\n", b"\n")
        total.update(f"{Path(source.name).name}\0{len(content)}\0".encode())
        total.update(content)
    return f"sha256:{total.hexdigest()}"


# --- from nodes to desired -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Places:
    """Where things stand: path -> (key node, value node)."""

    by_path: dict[Path_, tuple[Node, Node]] = field(default_factory=dict)

    def nearest(self, path: Path_) -> tuple[Node, Node] | None:
        """The place of a path, or of what holds it."""
        while path and path not in self.by_path:
            path = path[:-1]
        return self.by_path.get(path)


class _Plan:
    """The merged files on their way to a desired state."""

    def __init__(self, types: Types, found: Diagnostics) -> None:
        self.tree = Node(Location("", 1, 1), 1, is_mapping=True)
        self._types = {t.section: t for t in types}
        self._by_name = {t.name: t for t in types}
        self._found = found

    # merging

    def merge(self, root: Node) -> None:
        """Take in one file."""
        if not self.tree.items:
            self.tree.location = root.location
        for key, value in root.items:
            there = self.tree.entry(key.content)
            if there is None:
                self.tree.items.append((key, _copied(value)))
            elif key.content in _LISTS and there[1].is_list and value.is_list:
                there[1].content.extend(value.content)
            elif key.content in self._types and there[1].is_mapping and value.is_mapping:
                structured = is_typeddict(self._types[key.content].section_type)
                self._merge_mapping(there[1], value, 1 if structured else 0)
            elif key.content not in _HEADER or value.value() != there[1].value():
                self._twice(key, there[0])

    def _merge_mapping(self, into: Node, other: Node, deeper: int) -> None:
        """Entries by key; `deeper` more levels are structure, below that a key names one object."""
        for key, value in other.items:
            there = into.entry(key.content)
            if there is None:
                into.items.append((key, _copied(value)))
            elif deeper and there[1].is_mapping and value.is_mapping:
                self._merge_mapping(there[1], value, deeper - 1)
            else:
                self._twice(key, there[0])

    def _twice(self, key: Node, first: Node) -> None:
        what = f'"{key.content}" is written in two files'
        related = ((first.location, "the first is here"),)
        mend = "keep one of the two"
        self._found.add(
            Diagnostic("PLAN-DUPLICATE-KEY", what, mend, location=key.location, length=key.length, related=related)
        )

    # reading

    def desired(self, today: dt.date) -> Desired:
        places = _Places({path: (k, v) for path, k, v in yaml_nodes.walk(self.tree)})
        header = self._header(places)
        resources: dict[Address, Resource] = {}
        exclusive: set[str] = set()
        owner = header.get("owner", "")
        for kind in self._types.values():
            entry = self.tree.entry(kind.section)
            if entry is None:
                continue
            section = self._validated(kind.section_type, entry[1], (kind.section,), places)
            if section is None:
                continue
            if kind.exclusive(section):
                exclusive.add(kind.name)
            self._declare(kind, kind.declare(section, owner), places, resources)
        return Desired(
            header.get("tenant", ""),
            owner,
            resources,
            frozenset(exclusive),
            dict(self._absent(header.get("absent", ()), places)),
            tuple(self._patterns("protect", header.get("protect", ()), places)),
            tuple(self._patterns("ignore", header.get("ignore", ()), places)),
            tuple(self._waivers(header.get("allow", ()), places, today)),
        )

    def _header(self, places: _Places) -> dict[str, Any]:
        known = (*_HEADER, *self._types)
        for key, _ in self.tree.items:
            if key.content not in known:
                self._unknown_key(key, known)
        present = [(k, v) for k, v in self.tree.items if k.content in _HEADER]
        header = Node(self.tree.location, 1, items=present, is_mapping=True)
        values = self._validated(Header, header, (), places)
        values = values or {}
        self._spelled(
            "tenant", values, (_GUID, _TENANT), "write its initial domain, such as contoso.onmicrosoft.com", places
        )
        self._spelled("owner", values, (_OWNER,), "use letters, digits and . _ / -, 64 at most", places)
        return dict(values)

    def _spelled(
        self, key: str, values: Mapping[str, Any], forms: Sequence[re.Pattern[str]], mend: str, places: _Places
    ) -> None:
        value = values.get(key)
        if isinstance(value, str) and not any(f.fullmatch(value) for f in forms):
            self._say(f"{key.upper()}-INVALID", f'"{value}" is no {key}', mend, (key,), places)

    def _declare(
        self, kind: ResourceType[Any], declared: Iterable[Declared], places: _Places, into: dict[Address, Resource]
    ) -> None:
        for item in declared:
            path = (kind.section, *item.path)
            address = Address(kind.name, item.key)
            key, value = places.by_path[path]
            if address in into:
                first = into[address].location
                what = f"{address} is declared twice, in two spellings"
                related = ((first, "the first is here"),) if first else ()
                self._found.add(
                    Diagnostic(
                        "RESOURCE-DUPLICATE",
                        what,
                        "keep one",
                        location=key.location,
                        length=key.length,
                        related=related,
                    )
                )
                continue
            fields = {k.content: k.location for k, _ in value.items}
            into[address] = Resource(address, item.spec, key.location, fields)

    def _absent(self, entries: Iterable[str], places: _Places) -> Iterator[tuple[Address, Location | None]]:
        for index, text in enumerate(entries):
            path = ("absent", index)
            try:
                address = Address.parse(text)
            except ValueError as error:
                self._say("ADDRESS-INVALID", str(error), "such as inbound_connector/old-mfp", path, places)
                continue
            kind = self._by_name.get(address.type)
            if kind is None:
                self._unknown_type(address.type, path, places)
            elif not kind.deletable:
                what = f"a {kind.name} is nothing that can be deleted"
                self._say("ABSENT-IMPOSSIBLE", what, "take it out of absent", path, places)
            else:
                place = places.nearest(path)
                yield address, place[0].location if place else None

    def _patterns(self, key: str, entries: Iterable[str], places: _Places) -> Iterator[str]:
        """Patterns over `type/key`; an address in brackets is taken as well."""
        for index, text in enumerate(entries):
            kind, slash, _ = text.partition("/")
            if "[" in text and not slash:
                try:
                    yield Address.parse(text).short
                    continue
                except ValueError:
                    kind = ""
            if not kind or (not slash and text != "*"):
                what = f'"{text}" is not a pattern'
                self._say(
                    "ADDRESS-INVALID", what, "write type/key, such as inbound_connector/Hybrid *", (key, index), places
                )
            elif kind != "*" and kind not in self._by_name:
                self._unknown_type(kind, (key, index), places)
            else:
                yield text

    def _waivers(self, entries: Iterable[Mapping[str, Any]], places: _Places, today: dt.date) -> Iterator[Waiver]:
        for index, entry in enumerate(entries):
            path = ("allow", index)
            place = places.nearest(path)
            until = entry.get("until")
            try:
                last = dt.date.fromisoformat(until) if until else None
            except ValueError:
                self._say("DATE-INVALID", f'"{until}" is no date', "write it as 2027-03-31", (*path, "until"), places)
                continue
            if last and last < today:
                what = f"the waiver of {entry['rule']} ended on {until}: the rule counts again"
                mend = "take the entry out, or agree on a later day"
                self._say("WAIVER-EXPIRED", what, mend, path, places, Severity.WARNING)
                continue
            patterns = list(self._patterns("allow", [entry["resource"]], places)) if "resource" in entry else ["*"]
            for pattern in patterns:
                yield Waiver(entry["rule"], pattern, until, entry["reason"], place[0].location if place else None)

    # mistakes

    def _validated(self, shape: Any, node: Node, path: Path_, places: _Places) -> Any:
        """The value in the shape. Its mistakes are told, and what is left without them returned; None if nothing is."""
        value = node.value()
        try:
            return _adapter(shape).validate_python(value, strict=True)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
        for item in mistakes:
            self._mistake(item, path, places)
        wrong = {_real_path((*path, *m["loc"]), places)[0][len(path) :] for m in mistakes if m["type"] != "missing"}
        wrong |= {tuple(m["loc"][:-1]) for m in mistakes if m["type"] == "missing"}
        sound = _without(value, wrong)
        try:
            return _adapter(shape).validate_python(sound, strict=True)
        except ValidationError:
            return None

    def _mistake(self, item: Any, base: Path_, places: _Places) -> None:
        path, on_key = _real_path((*base, *item["loc"]), places)
        place = places.nearest(path)
        kind, context, value = item["type"], item.get("ctx") or {}, item.get("input")
        if kind == "extra_forbidden" and place:
            siblings = self._known_keys(path[:-1])
            self._unknown_key(place[0], siblings)
            return
        if kind == "missing":
            name = str(item["loc"][-1])
            what = f'"{name}" is missing'
            where = places.nearest(path[:-1])
            at = where[0].location if where else self.tree.location
            self._found.add(Diagnostic("KEY-MISSING", what, _missing_mend(name), location=at))
            return
        id_, what, mend = _words(kind, context, value, str(item["msg"]))
        self._say(id_, what, mend, path, places, on_key=on_key)

    def _known_keys(self, path: Path_) -> Sequence[str]:
        """The keys that a mapping at this path may have, as far as its shape says."""
        if not path:
            return (*_HEADER, *self._types)
        if path[0] == "allow":
            return tuple(WaiverEntry.__annotations__)
        kind = self._types.get(str(path[0]))
        return _keys_of(_adapter(kind.section_type).json_schema(), path[1:]) if kind else ()

    def _unknown_key(self, key: Node, known: Sequence[str]) -> None:
        near = _near(key.content, known)
        mend = f'did you mean "{near}"?' if near else f"known here: {', '.join(known)}" if known else "take it out"
        what = f'"{key.content}" is not known here'
        self._found.add(Diagnostic("KEY-UNKNOWN", what, mend, location=key.location, length=key.length))

    def _unknown_type(self, name: str, path: Path_, places: _Places) -> None:
        near = _near(name, tuple(self._by_name))
        mend = f'did you mean "{near}"?' if near else f"types: {', '.join(self._by_name)}"
        self._say("TYPE-UNKNOWN", f'there is no type "{name}"', mend, path, places)

    def _say(
        self,
        id_: str,
        what: str,
        mend: str,
        path: Path_,
        places: _Places,
        severity: Severity = Severity.ERROR,
        *,
        on_key: bool = False,
    ) -> None:
        place = places.nearest(path)
        node = (place[0] if on_key else place[1]) if place else self.tree
        self._found.add(Diagnostic(id_, what, mend, severity, node.location, node.length))


def _copied(node: Node) -> Node:
    """A node whose entries and elements can be added to without touching the file's own."""
    content = list(node.content) if isinstance(node.content, list) else node.content
    items = [(k, _copied(v)) for k, v in node.items]
    return Node(node.location, node.length, content, items, node.is_mapping)


def _without(value: Any, paths: set[Path_]) -> Any:
    """A plain value with what stands at the paths left out."""
    if () in paths:
        return None
    below: dict[str | int, set[Path_]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    if isinstance(value, dict):
        return {k: _without(v, below.get(k, set())) for k, v in value.items() if () not in below.get(k, set())}
    if isinstance(value, list):
        return [_without(v, below.get(i, set())) for i, v in enumerate(value) if () not in below.get(i, set())]
    return value


_ADAPTERS: dict[int, TypeAdapter[Any]] = {}


def _adapter(shape: Any) -> TypeAdapter[Any]:
    """The validator of a shape, built once: building costs more than a small plan's validation."""
    if id(shape) not in _ADAPTERS:
        _ADAPTERS[id(shape)] = TypeAdapter(shape)
    return _ADAPTERS[id(shape)]


def _real_path(loc: Path_, places: _Places) -> tuple[Path_, bool]:
    """Where an error of pydantic stands in the plan: tags of unions left out, "[key]" told apart."""
    path: Path_ = ()
    for step in loc:
        if step == "[key]":
            return path, True
        if (*path, step) in places.by_path:
            path = (*path, step)
        elif step == loc[-1]:
            return (*path, step), False
    return path, False


def _words(kind: str, context: Mapping[str, Any], value: Any, message: str) -> tuple[str, str, str]:
    """(id, what, how to mend it) of a validation error."""
    if "mend" in context:
        return kind, str(context.get("what", message)), str(context["mend"])
    if kind in {"literal_error", "enum"}:
        choices = [c.strip(" '\"") for c in re.split(r",| or ", str(context.get("expected", "")))]
        near = _near(str(value), choices)
        mend = f'did you mean "{near}"?' if near else f"write one of: {', '.join(choices)}"
        return "VALUE-NOT-ALLOWED", f"{_described(value)} is not allowed here", mend
    wanted = _WANTED.get(kind)
    if wanted:
        hint = ""
        if kind.startswith("bool") and isinstance(value, str) and value.lower() in _YES:
            hint = f"write {'true' if _YES[value.lower()] else 'false'}"
        elif kind == "string_type":
            hint = "put it in quotes" if isinstance(value, int | float) else ""
        elif kind in {"list_type", "set_type", "frozen_set_type"}:
            hint = f"write [{value}]" if isinstance(value, str | int) and not isinstance(value, bool) else ""
        return "VALUE-TYPE", f"{wanted} is expected here, not {_described(value)}", hint
    return "VALUE-INVALID", f"{_described(value)}: {message[:1].lower()}{message[1:]}", ""


_YES = {"yes": True, "on": True, "y": True, "enabled": True, "no": False, "off": False, "n": False, "disabled": False}
_WANTED = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "typed_dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "mapping_type": "a mapping",
}


def _described(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the value {str(value).lower()}"
        case int() | float():
            return f"the number {value}"
        case str():
            return f'"{value if len(value) <= 60 else value[:59] + "…"}"'
        case list():
            return "a list"
        case _:
            return "a mapping"


def _missing_mend(name: str) -> str:
    return {"provisioner": "write provisioner: 1", "tenant": "write tenant: contoso.onmicrosoft.com"}.get(
        name, "write it"
    )


def _near(word: str, known: Sequence[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), known, 1, 0.6)), None)


def _keys_of(schema: Mapping[str, Any], path: Path_) -> Sequence[str]:
    """The property names at a path of a JSON Schema."""
    definitions = schema.get("$defs", {})
    at: Any = schema
    for step in (*path, None):
        while "$ref" in at:
            at = definitions[at["$ref"].rpartition("/")[2]]
        if step is None:
            break
        extra = at.get("additionalProperties")
        at = at.get("properties", {}).get(step) or (extra if isinstance(extra, dict) else at.get("items")) or {}
    return tuple(at.get("properties", ()))


# --- schema ----------------------------------------------------------------------------------------------------------


def schema(types: Types) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a whole plan, from the definitions that validate it."""
    root = _adapter(Header).json_schema()
    definitions = dict(root.pop("$defs", {}))
    for kind in types:
        part = _adapter(kind.section_type).json_schema()
        definitions.update(part.pop("$defs", {}))
        root["properties"][kind.section] = part
    root.update({"title": "provisioner plan", "$defs": definitions, "additionalProperties": False})
    # A folder's files are checked one by one by an editor: what one file must have, another may have.
    root.pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root}
