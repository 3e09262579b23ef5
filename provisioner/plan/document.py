"""Plan files -> what is desired, and every mistake of every file in one pass.

A plan is a file, or a folder whose `*.yaml` and `*.yml` are merged by key: what is keyed by name (connectors, domains,
mailboxes) may be spread over files, each name once (`joining`). Files are found in `files`, YAML is read in
`yaml_nodes`, the keys that are not sections are defined in `header`, mistakes in values are worded in `mistakes`. The
JSON Schema comes from the same definitions (`schema`).
"""

from __future__ import annotations

import dataclasses
import datetime
import fnmatch
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from provisioner import devices, rules
from provisioner.border import Border
from provisioner.changes import linking
from provisioner.devices import applications as apps
from provisioner.devices import hubs, sections
from provisioner.diagnostics import Diagnostic, Diagnostics, Location, Severity, place_of
from provisioner.mailflow.basic_authentication import countdown
from provisioner.model import Address, Desired, Resource, ResourceType, Waiver
from provisioner.model.checking import adapter_of
from provisioner.model.devices import Application, Device, Site
from provisioner.model.names import caseless
from provisioner.plan import files as plan_files
from provisioner.plan import variables as plan_variables
from provisioner.plan.files import PlanFile
from provisioner.plan.header import LANGUAGE, REQUIRED, Header, WaiverEntry, address_pattern, tombstone
from provisioner.plan.joining import joined, shape_of, written_twice
from provisioner.plan.mistakes import Naming, fields_of, indented_oddly, is_indented_oddly, mistakes, unknown_word
from provisioner.plan.variables import Given
from provisioner.plan.yaml_nodes import Node, Parsed, parse

Types = Sequence[ResourceType[Any]]

DEVICE_UNTIL, WAIVER_EXPIRED = "DEVICE-UNTIL", "WAIVER-EXPIRED"
DATES = frozenset({DEVICE_UNTIL, WAIVER_EXPIRED})
"""What is told about days. None of it is an error, whatever day it is (`lint --strict-dates` apart)."""


def load(
    path: Path | Sequence[Path],
    types: Types,
    *,
    today: datetime.date,
    waivers: Sequence[Waiver] = (),
    variables: Mapping[str, Given] | None = None,
    border: Border | None = None,
) -> tuple[Desired, Sequence[Diagnostic]]:
    """The plan with what its devices take, and its warnings. Raises InputError with all mistakes, in their order.

    What a rule calls wrong in the plan itself is a mistake too, unless the plan or one of `waivers` waives it.
    """
    desired, found = examine(path, types, today=today, variables=variables, border=border)
    judged = rules.waive(rules.lint(desired, types), (*desired.waivers, *waivers))
    standing = [f for f in judged if f.blocks and not f.waived]
    stops = any(f.blocks == "input" for f in standing) or any(d.severity is Severity.ERROR for d in found)
    # What apply refuses is told together with the mistakes, so that one pass is enough to correct them all.
    wrong = [Diagnostic(f.rule, f.summary, f.hint, location=f.location) for f in standing if stops]
    Diagnostics([*found, *wrong]).raise_if_errors()
    return desired, found


def examine(
    path: Path | Sequence[Path],
    types: Types,
    *,
    today: datetime.date,
    variables: Mapping[str, Given] | None = None,
    border: Border | None = None,
) -> tuple[Desired, Sequence[Diagnostic]]:
    """As `read`, with what the devices take where the plan has no mistake; else with those that no method works for."""
    desired, found = read(path, types, today=today, variables=variables, border=border)
    if any(d.severity is Severity.ERROR for d in found):
        return devices.lost(desired), found
    desired, told = devices.expand(desired)
    return linking.declared(desired, types), [*found, *told]


def read(
    path: Path | Sequence[Path],
    types: Types,
    *,
    today: datetime.date,
    variables: Mapping[str, Given] | None = None,
    border: Border | None = None,
) -> tuple[Desired, Sequence[Diagnostic]]:
    """As `load`, without raising: what could be understood, and all that was found, in the order of the places.

    For those who want to say more about a plan that has mistakes; where one is an error, ignore the result otherwise.
    Files are read inside of `border`: by default that of the first path.
    """
    found = Diagnostics()
    paths = [path] if isinstance(path, Path) else path
    files = _Files(found, border or Border.of(paths[0]))
    given = files.values(paths, variables or {})
    before = len(found.errors)
    files.read(paths)
    read_to_the_end = len(found.errors) == before and all(p.complete and p.root is not None for p in files.parsed)
    complete = not found.errors and read_to_the_end
    found.items += [d for p in files.parsed for d in p.diagnostics]
    roots = [p.root for p in files.parsed if p.root is not None]
    desired = _Reading(types, today, found, given).desired(roots, complete=complete)
    if not read_to_the_end:
        found.items = [d for d in found.items if d.id not in _OF_OTHER_FILES]
    digest = plan_files.digest(files.files, desired.variables)
    desired = dataclasses.replace(desired, digest=digest, files=tuple(f.path for f in files.files))
    unquoted = {f.path for f in files.files if f.outside}
    return desired, sorted((_withheld(d, unquoted) for d in found.items), key=place_of)


_OF_OTHER_FILES = frozenset({
    "VARIABLE-UNDECLARED", "VARIABLE-UNKNOWN", "VARIABLE-UNUSED", "SITE-UNKNOWN", "APPLICATION-UNKNOWN", "VIA-UNKNOWN",
})  # fmt: skip
"""What may be wrong only because a file could not be read: the name may be declared, or used, there."""


def _withheld(diagnostic: Diagnostic, unquoted: Collection[str]) -> Diagnostic:
    """A mistake without its words where it is about a file outside of the border: they repeat what the file holds."""
    places = (diagnostic.location, *(place for place, _ in diagnostic.related))
    if not any(place and place.file in unquoted for place in places):
        return diagnostic
    what = "a file outside of the checkout has a mistake here; it is not quoted"
    return dataclasses.replace(diagnostic, summary=what, hint="", address=None, related=())


def _names(node: Node | None) -> Collection[str]:
    """The names that a section declares, those with mistakes included."""
    return node.children.keys() if node is not None and isinstance(node.children, dict) else ()


def _items(node: Node | None) -> Sequence[Node]:
    return node.children if node is not None and isinstance(node.children, list) else ()


class _Files:
    """The files of a plan, parsed, with those that they include, each once and in the order of their naming."""

    def __init__(self, found: Diagnostics, border: Border) -> None:
        self.found = found
        self.border = border
        self.files: list[PlanFile] = []
        self.parsed: list[Parsed] = []
        self._seen: set[tuple[int, int]] = set()

    def read(self, paths: Iterable[Path]) -> None:
        """All of them. What a file includes comes directly behind it; how deep that goes is for its author to say."""
        waiting = list(plan_files.find(paths, self.found, self.border))[::-1]
        while waiting:
            file = waiting.pop()
            waiting += [found for path, node in self._included(file) for found in self._found(path, node)][::-1]

    def values(self, paths: Iterable[Path], given: Mapping[str, Given]) -> Mapping[str, Given]:
        """What is given, with the values of the folders' own files: over the environment, below all that is named."""
        own: dict[str, Given] = {}
        places: dict[str, Node] = {}
        for file in plan_files.values(paths, self.found, self.border):
            parsed = parse(file.content, file.path)
            self.files.append(file)
            self.found.items += parsed.diagnostics
            for name, node in (
                parsed.root.children.items() if parsed.root and isinstance(parsed.root.children, dict) else ()
            ):
                if name in own:
                    self.found.add(written_twice(places[name], node))
                own.setdefault(name, Given(node.content(), str(node.head.location), node=node.head))
                places.setdefault(name, node)
        loose = {name: one for name, one in given.items() if one.loose}
        return {**loose, **own, **{name: one for name, one in given.items() if not one.loose}}

    def _found(self, path: Path, named: Node) -> Sequence[PlanFile]:
        """The files of a path that is included. A mistake about it gets the place where it is named."""
        told = Diagnostics()
        files = list(plan_files.find([path], told, self.border))
        for diagnostic in told.items:
            self.found.add(dataclasses.replace(diagnostic, location=named.location, length=named.length))
        return files

    def _included(self, file: PlanFile) -> Iterator[tuple[Path, Node]]:
        """What a file includes, each with the place where it is named; nothing where it was read before."""
        if file.identity in self._seen:
            return
        self._seen.add(file.identity)
        parsed = parse(file.content, file.path)
        self.files.append(file)
        self.parsed.append(parsed)
        for node in _items(parsed.root.child("include") if parsed.root else None):
            if isinstance(node.value, str):  # of anything else the header's validation tells
                yield Path(file.path).parent / node.value, node


# --- what it means ---------------------------------------------------------------------------------------------------


class _Reading:
    """One pass over the merged plan; everything wrong goes to `found`."""

    def __init__(self, types: Types, today: datetime.date, found: Diagnostics, variables: Mapping[str, Given]) -> None:
        self.types = types
        self.given = variables
        self.today = today
        self.found = found
        self.by_name = {kind.name: kind for kind in types}
        self.shapes = {kind.section: shape_of(kind.section_type) for kind in types}
        self.shapes |= {name: shape_of(shape) for name, shape in sections.SECTIONS.items()}

    def desired(self, roots: Sequence[Node], *, complete: bool) -> Desired:
        """`complete` is false where a file could not be read to its end: then nothing is said to be missing."""
        if not roots:
            return Desired("", "", {})
        for root in roots:
            version = root.child("provisioner")
            if version and type(version.value) is int and version.value > LANGUAGE:
                self._header(root, ("provisioner",))  # what else it says is for a later program to judge
                return Desired("", "", {})
        whole = self._merged(roots)
        declared = self._header(whole, ("variables",)).get("variables", {})
        variables = plan_variables.settle(whole, declared, self.given, self.found.items)
        whole = plan_variables.put_in(whole, variables, declared, self.found.items)
        header = self._header(whole, tuple(n for n in Header.__annotations__ if n != "variables"))
        if complete:
            self._told_missing(whole)
        owner = header.get("owner", "")
        resources: dict[Address, Resource] = {}
        exclusive = frozenset(kind.name for kind in self.types if self._section(kind, whole, owner, resources))
        self._governed(resources, exclusive)
        sites = self._sites(whole)
        applications = self._applications(whole)
        resources |= apps.called_by_id(resources, applications)
        for resource in (r for one in applications.values() for r in apps.resources(one)):
            resources.setdefault(resource.address, resource)
        desired = Desired(
            tenant=header.get("tenant", ""),
            owner=owner,
            resources=resources,
            exclusive=exclusive,
            absent=self._absent(whole),
            protect=self._patterns(whole, "protect"),
            ignore=self._patterns(whole, "ignore"),
            waivers=tuple(self._waivers(whole)),
            sites=sites,
            devices=self._devices(whole, sites, applications),
            variables=variables,
        )
        return linking.declared(desired, self.types)

    def _governed(self, resources: Mapping[Address, Resource], exclusive: Collection[str]) -> None:
        """An exclusive section takes back what another section would set, at every plan anew."""
        for address, resource in resources.items():
            kind = self.by_name[address.type]
            if kind.governs in exclusive:
                section = self.by_name[kind.governs].section
                what = f"{address} sets mailboxes that {section} does not list, and {section} is exclusive"
                hint = f"leave exclusive out of {section}, or list the mailboxes there"
                self.found.add(Diagnostic("SELECTION-EXCLUSIVE", what, hint, location=resource.location))

    def _sites(self, whole: Node) -> dict[str, Site]:
        node, entries = self._fleet(whole, "sites")
        found: dict[str, Site] = {}
        by_form: dict[str, Site] = {}
        for name, body in entries.items():
            at = node.child(name) or node
            first = by_form.get(caseless(name))
            if first is None:
                found[name] = by_form[caseless(name)] = sections.site(name, body, at.head.location)
                continue
            related = ((first.location, "the first one"),) if first.location else ()
            self._tell("SITE-DUPLICATE", f'"{name}" is declared already', "keep one of the two", at.head, related)
        return found

    def _applications(self, whole: Node) -> dict[str, Application]:
        node, entries = self._fleet(whole, "applications")
        found: dict[str, Application] = {}
        by_id: dict[str, Application] = {}
        for name, body in entries.items():
            at = node.child(name) or node
            one = apps.application(name, body, at.head.location)
            first = by_id.setdefault(one.client_id, one)
            if first is one:
                found[name] = one
                continue
            related = ((first.location, "the first one"),) if first.location else ()
            what = f'"{name}" has the client id of "{first.name}"'
            self._tell("APPLICATION-DUPLICATE", what, "keep one of the two", at.child("client_id") or at.head, related)
        return found

    def _devices(
        self, whole: Node, sites: Mapping[str, Site], applications: Mapping[str, Application]
    ) -> dict[str, Device]:
        node, entries = self._fleet(whole, "devices")
        named = {("SITE-UNKNOWN", name) for name in _names(whole.child("sites"))}
        named |= {("APPLICATION-UNKNOWN", name) for name in _names(whole.child("applications"))}
        found: dict[str, Device] = {}
        for name, body in entries.items():
            at = node.child(name) or node
            fields = at.children.items() if isinstance(at.children, dict) else ()
            places = {part: child.head.location for part, child in fields}
            device = sections.device(name, body, at.head.location, places, applications)
            wrong = list(sections.contradictions(device, sites, applications))
            for identifier, part, what, hint in wrong:
                if identifier == "SITE-UNKNOWN" and device.site is not None and sites:
                    hint = unknown_word(device.site, sorted(sites))
                if identifier == "APPLICATION-UNKNOWN" and applications:
                    hint = unknown_word(device.application, sorted(applications))
                if (identifier, device.site) in named or (identifier, device.application) in named:
                    continue  # it is declared, with a mistake that is told there
                self._tell(identifier, what, hint, at.child(part) or at.head)
            if device.until:
                self._tell_until(device, at.child("until") or at.head)
            if not wrong and _whole(body, at):
                found[name] = device
        return self._through_servers(found, _names(node))

    def _through_servers(self, found: Mapping[str, Device], declared: Collection[str]) -> dict[str, Device]:
        """The devices as `hubs.carrying` leaves them, unless what they say about it is wrong."""
        wrong = list(hubs.mistakes(found, declared))
        for device, identifier, what, hint in wrong:
            at, length = device.fields.get("via", device.location), len(device.via)
            self.found.add(Diagnostic(identifier, what, hint, location=at, length=length, address=device.address))
        return hubs.carrying(found) if not wrong else dict(found)

    def _tell_until(self, device: Device, at: Node) -> None:
        """The day by which a device is to be replaced: it is told, and decides nothing."""
        left = (datetime.date.fromisoformat(device.until) - self.today).days
        when = countdown(datetime.date.fromisoformat(device.until), self.today)
        whose = ", ".join(text for text in (device.owner, device.ticket) if text)
        what = f"{device.address} is to be replaced by {device.until} ({when})" + (f": {whose}" if whose else "")
        hint = "replace it and take it out of the plan, or give it a later day"
        severity = Severity.INFO if left >= 0 else Severity.WARNING
        self._tell(DEVICE_UNTIL, what, hint, at, severity=severity)

    def _fleet(self, whole: Node, name: str) -> tuple[Node, Mapping[str, Any]]:
        """The node of `sites` or `devices` and its validated entries, none where it is not there or wrong."""
        node = whole.child(name)
        if node is None:
            return whole, {}

        def naming(path: Sequence[str | int]) -> str | None:
            return f"{name.removesuffix('s')}/{path[0]}" if path else None

        return node, self._checked(adapter_of(sections.SECTIONS[name]), node, name, naming) or {}

    def _elsewhere(self, name: str) -> str:
        """Which section has a field that was written outside of any; "" for none, or several."""
        holders = [section for section, fields in self._fields_of_sections.items() if name in fields]
        return f"write it below {holders[0]}" if len(holders) == 1 else ""

    @functools.cached_property
    def _fields_of_sections(self) -> Mapping[str, Collection[str]]:
        """The fields of each section that is a mapping of known ones. Made for a plan with unknown keys alone."""
        schemas = {kind.section: adapter_of(kind.section_type).json_schema() for kind in self.types}
        return {section: fields_of(schema) for section, schema in schemas.items()}

    def _merged(self, roots: Sequence[Node]) -> Node:
        known = [*Header.__annotations__, *self.shapes]
        children: dict[str, Node] = {}
        for root in roots:
            for name, child in root.children.items() if isinstance(root.children, dict) else ():
                first = children.get(name)
                if is_indented_oddly(name):
                    self.found.add(indented_oddly(child.head))
                elif name not in known:
                    what, hint = f'"{name}" is not a key of a plan', self._elsewhere(name) or unknown_word(name, known)
                    self._tell("KEY-UNKNOWN", what, hint, child.head)
                elif first is None:
                    children[name] = child
                elif name == "include":
                    both = [part for node in (first, child) for part in _items(node)]
                    children[name] = dataclasses.replace(first, children=both)
                elif name not in Header.__annotations__ or first.content() != child.content():
                    children[name] = joined(first, child, self.shapes.get(name), self.found)
        return Node(roots[0].file, 1, 1, children=children)

    def _header(self, whole: Node, names: Sequence[str]) -> Header:
        children = {n: c for n in names if (c := whole.child(n))}
        node = dataclasses.replace(whole, children=children)
        header = self._checked(adapter_of(Header), node, "the plan", lambda _: None)
        return header if header is not None else Header()

    def _told_missing(self, whole: Node) -> None:
        for name, hint in REQUIRED.items():
            if whole.child(name) is None:
                self._tell("KEY-MISSING", f'"{name}" is missing in the plan', hint, whole)

    def _section(self, kind: ResourceType[Any], whole: Node, owner: str, into: dict[Address, Resource]) -> bool:
        """Put what a section declares into `into`. True when the section claims every object of its type."""
        node = whole.child(kind.section)
        if node is None:
            return False
        shape = self.shapes[kind.section]

        def naming(path: Sequence[str | int]) -> str | None:
            name = shape.name_at(path) if shape else None
            return str(Address(kind.name, name)) if name is not None else None

        section = self._checked(adapter_of(kind.section_type), node, kind.section, naming)
        if section is None:
            return False
        for declared in kind.declare(section, owner):
            address = Address(kind.name, declared.key)
            at = node.find(declared.path) or node
            if address in into:
                self._duplicate(address, into[address], at)
                continue
            fields = at.children.items() if isinstance(at.children, dict) else ()
            places = {name: child.head.location for name, child in fields}
            into[address] = Resource(address, declared.spec, at.head.location, places)
        return kind.exclusive(section)

    def _checked(self, adapter: TypeAdapter[Any], node: Node, name: str, naming: Naming) -> Any:
        """The validated value; with mistakes, what is left of it without them, so that more can be found, or None."""
        content = node.content()
        try:
            value = adapter.validate_python(content, strict=True)
            self.found.items += _listed_twice(node, value)
            return value
        except ValidationError as error:
            self.found.items += mistakes(error, node, adapter.json_schema(), name, naming)
            _take_out(content, [entry["loc"] for entry in error.errors(include_url=False, include_input=False)])
        for whole in (True, False):
            try:
                return adapter.validate_python(content, strict=True)
            except ValidationError as error:  # what is left of an entry lacks what it needs: leave the entry out
                entries = [entry["loc"][:1] for entry in error.errors(include_url=False, include_input=False)]
                if whole and all(entries):
                    _take_out(content, entries)
        return None

    def _duplicate(self, address: Address, first: Resource, again: Node) -> None:
        what = f'"{again.head.text}" is {address}, which is declared already'
        related = ((first.location, "the first one"),) if first.location else ()
        listed = [d for d in self.found.items if (d.id, d.location) == ("LIST-TWICE", again.head.location)]
        self.found.items = [d for d in self.found.items if d not in listed]  # the error says the same
        self._tell("RESOURCE-DUPLICATE", what, "keep one of the two", again.head, related, str(address))

    def _patterns(self, whole: Node, name: str) -> tuple[str, ...]:
        return tuple(short for short, _ in self._addresses(whole.child(name), address_pattern))

    def _absent(self, whole: Node) -> dict[Address, Location | None]:
        absent: dict[Address, Location | None] = {}
        for short, node in self._addresses(whole.child("absent"), tombstone):
            address = Address.parse(short)
            form = self.by_name[address.type].key_form
            if form and f" {form.split()[1]} " not in address.key:
                what = f'"{node.text}" is half of the address of a {address.type}, which names two'
                self._tell("ADDRESS-INVALID", what, f"write {address.type}/{form}", node)
            kind = self.by_name[address.type]
            if not kind.deletable or address.key in kind.built_in:
                what = f"{address} is nothing that a plan can delete"
                hint = f"write what it should be, under {kind.section}"
                self._tell("ABSENT-NOT-DELETABLE", what, hint, node, address=str(address))
            absent.setdefault(address, node.location)
        return absent

    def _addresses(self, node: Node | None, form: Callable[[str], str]) -> Iterator[tuple[str, Node]]:
        """The entries of a list that are well formed and mention a type that there is."""
        for entry in node.children if node and isinstance(node.children, list) else ():
            try:
                short = form(entry.value) if isinstance(entry.value, str) else ""
            except ValueError:
                continue  # told by the header's own check
            kind = short.partition("/")[0]
            if not short:
                continue
            if any(fnmatch.fnmatchcase(name, kind) for name in self.by_name):
                yield short, entry
            else:
                hint = unknown_word(kind, list(self.by_name))
                self._tell("ADDRESS-TYPE-UNKNOWN", f'"{entry.value}": there is no type "{kind}"', hint, entry)

    def _waivers(self, whole: Node) -> Iterator[Waiver]:
        """Those in force; an expired one is told. What is wrong with an entry was told by the header's own check."""
        node, adapter = whole.child("allow"), adapter_of(WaiverEntry)
        for at in node.children if node and isinstance(node.children, list) else ():
            try:
                entry = adapter.validate_python(at.content(), strict=True)
            except ValidationError:
                continue
            until = entry.get("until")
            if until is not None and until < self.today.isoformat():
                what = f"the waiver of {entry['rule']} ended on {until}: the rule holds again"
                hint = "take it out, or give it a later day and say why"
                self._tell(WAIVER_EXPIRED, what, hint, at.child("until") or at, severity=Severity.WARNING)
                continue
            yield Waiver(entry["rule"], entry.get("resource", "*"), until, entry["reason"], at.location)

    def _tell(
        self,
        identifier: str,
        what: str,
        hint: str,
        node: Node,
        related: tuple[tuple[Location, str], ...] = (),
        address: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.found.add(Diagnostic(identifier, what, hint, severity, node.location, node.length, address, related))


def _whole(body: Mapping[str, Any], at: Node) -> bool:
    """Whether an entry of a device lost none of its fields to a mistake: without them it is another device."""
    written = at.children if isinstance(at.children, dict) else {}
    return all(name in body for name in written if name in sections.DeviceBody.__annotations__)


def _listed_twice(node: Node, value: Any) -> Iterator[Diagnostic]:
    """A warning for each text of a list that an earlier one means too; `value` has the list in canonical form."""
    if isinstance(node.children, dict) and isinstance(value, Mapping):
        for name, child in node.children.items():
            yield from _listed_twice(child, value.get(name))
    elif isinstance(node.children, list) and isinstance(value, list) and len(value) == len(node.children):
        first: dict[str, Node] = {}
        for item, meant in zip(node.children, value, strict=True):
            yield from _listed_twice(item, meant)
            known = first.setdefault(meant, item) if isinstance(meant, str) else item
            if known is not item:
                as_what = f', as "{known.text}"' if known.text != item.text else ""
                what, hint = f'"{item.text}" is in this list already{as_what}', "remove one of the two"
                related = ((known.location, "the first one"),)
                place, length = item.location, item.length
                yield Diagnostic("LIST-TWICE", what, hint, Severity.WARNING, place, length, related=related)


def _take_out(content: Any, paths: Sequence[Sequence[str | int]]) -> None:
    """Remove what stands at the end of each path, as far as the path leads: keys of mappings, elements of lists."""
    marked = [found for path in paths if (found := _innermost(content, path))]
    for holder, step in marked:
        if isinstance(holder, dict):
            holder.pop(step, None)
        else:
            holder[step] = _GONE  # taken away at the end, so that the places of the others stay what they are
    for holder, _ in marked:
        if isinstance(holder, list):
            holder[:] = [element for element in holder if element is not _GONE]
    for path in paths:  # a list of which nothing is left was not written as an empty one
        found = _innermost(content, path[:-1])
        if found and isinstance(found[0], dict) and found[0].get(found[1]) == []:
            del found[0][found[1]]


_GONE = object()


def _innermost(content: Any, path: Sequence[str | int]) -> tuple[Any, str | int] | None:
    """What holds the last step of a path that is there, and that step."""
    found: tuple[Any, str | int] | None = None
    for part in path:
        within = isinstance(content, dict) and part in content
        if not within and not (isinstance(content, list) and isinstance(part, int) and part < len(content)):
            break
        found, content = (content, part), content[part]
    return found
