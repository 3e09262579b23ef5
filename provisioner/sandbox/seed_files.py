"""Files that a seed may be: JSON or YAML, and what other tools write, turned into a seed's document.

Export-Clixml writes objects of PowerShell (MS-PSRP 2.2.5): which cmdlet returned them is told by the type's name, or by
the columns. Microsoft365DSC writes a configuration (`Export-M365DSCConfiguration`, a .ps1) and a report of it as JSON
(`New-M365DSCReportFromConfiguration`): each resource has the settings that it manages and no others, under names that
are those of the cmdlets' parameters.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from provisioner.sandbox import listings
from provisioner.sandbox.cmdlets.running import NOUNS
from provisioner.sandbox.tenant import FORMAT, Row

_DEEPEST = 100
_AS_IT_IS = "export with ConvertTo-Json -Depth 4 or Export-Clixml"


@dataclass(frozen=True, slots=True)
class Converted:
    """A seed's document that was made from another form. `exact`: its rows are whole."""

    document: Mapping[str, Any]
    exact: bool


def read(path: Path) -> Any:
    """What a file holds: a document, or `Converted`. Raises OSError or ValueError."""
    if not path.is_file():
        raise ValueError("it is not an ordinary file")  # a pipe would be waited for
    raw = path.read_bytes()
    # Windows PowerShell writes UTF-16 where it is not told otherwise.
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is neither UTF-8 nor UTF-16: {error.reason} at byte {error.start}") from None
    return of_text(path.name, text)


def of_text(name: str, text: str) -> Any:
    """What the text of a file holds: a document, or `Converted`. Raises ValueError."""
    if not text.strip():
        raise ValueError("it is empty")
    if name.lower().endswith(".csv"):
        raise ValueError(f"a CSV has neither lists nor types: {_AS_IT_IS}")
    if text.lstrip()[:1] == "<":
        return Converted(_of_clixml(text), exact=True)
    if name.lower().endswith(".ps1") or _CONFIGURATION.search(text):
        return Converted(_of_resources(_blocks(text)), exact=False)
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deep") from None
    except ValueError as error:
        if name.lower().endswith(".json"):
            raise ValueError(f"not JSON: {error}") from None
        return _yaml(text)
    return document


def report(document: Any) -> Converted | None:
    """A report of Microsoft365DSC; None for any other document. Raises ValueError."""
    if not isinstance(document, list) or not document or not all(_is_resource(entry) for entry in document):
        return None
    return Converted(_of_resources((str(entry["ResourceName"]), dict(entry)) for entry in document), exact=False)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.CSafeLoader):
        """Dates stay text, as they are in JSON."""

    Loader.yaml_implicit_resolvers = {
        first: [entry for entry in entries if entry[0] != "tag:yaml.org,2002:timestamp"]
        for first, entries in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        depth = 0
        for event in yaml.parse(text, Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise ValueError("it nests too deep")
            if isinstance(event, yaml.AliasEvent):  # it stands for what it names, those of aliases for any amount
                raise ValueError(f"*{event.anchor} is an alias: write out what it stands for")
        return yaml.load(text, Loader)  # noqa: S506 - a safe loader with one type less
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


# --- Export-Clixml ---------------------------------------------------------------------------------------------------

_NUMBERS = frozenset({"I16", "I32", "I64", "U16", "U32", "U64", "By", "SB"})
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _of_clixml(text: str) -> dict[str, Any]:
    """A seed's document from the objects of a Clixml file. Raises ValueError."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it is XML with entities of its own, which Export-Clixml does not write")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities, see above
    except ElementTree.ParseError as error:
        raise ValueError(f"not XML: {error}") from None
    if _tag(root) != "Objs":
        raise ValueError(f"this XML is not what Export-Clixml writes: its root is <{_tag(root)}> and not <Objs>")
    objects: dict[str, list[Row]] = {}
    reader = _Clixml()
    for element in root:
        for value, types in reader.objects(element):
            row = {str(name): entry for name, entry in value.items()} if isinstance(value, Mapping) else {}
            noun = _noun_of(types, row)
            if noun is None:
                shown = types[0] if types else "no type"
                raise ValueError(f"it holds an object ({shown}) that no cmdlet of the sandbox returns")
            objects.setdefault(noun, []).append(listings.with_lists(NOUNS[noun], row))
    if not objects:
        raise ValueError("it holds no object")
    return {"sandbox": FORMAT, "objects": objects}


def _noun_of(types: Iterable[str], row: Row) -> str | None:
    """What kind of object this is: by the last part of its type's name, else by its columns."""
    names = {name.lower(): name for name in NOUNS}
    tails = (kind.rpartition(".")[2].lower().removeprefix("tenant") for kind in types)
    named = next((names[tail] for tail in tails if tail in names), None)
    found = None if named else listings.noun_of(row)
    return named or (found.name if found else None)


def _unescaped(text: str) -> str:
    """`_x0026_` is a code unit of UTF-16 (MS-PSRP 2.2.5.3.2): two of them may be one character."""
    units = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


class _Clixml:
    """Reads one file: names of types and objects may be referred to later on."""

    def __init__(self) -> None:
        self._types: dict[str, list[str]] = {}
        self._objects: dict[str, Any] = {}

    def objects(self, element: ElementTree.Element, depth: int = 0) -> Iterator[tuple[Any, list[str]]]:
        """The objects of an element of the root, which is one of them or a list of them, with their types."""
        if depth > _DEEPEST:
            raise ValueError("it nests too deep")
        inner = next((child for child in element if _tag(child) in {"LST", "IE"}), None)
        types = self._types_of(element)
        if _tag(element) == "Obj" and inner is not None:
            for child in inner:
                yield from self.objects(child, depth + 1)
        else:
            yield self._value(element), types

    def _types_of(self, element: ElementTree.Element) -> list[str]:
        for child in element:
            if _tag(child) == "TN":
                names = [str(name.text) for name in child]
                self._types[child.get("RefId", "")] = names
                return names
            if _tag(child) == "TNRef":
                return self._types.get(child.get("RefId", ""), [])
        return []

    def _value(self, element: ElementTree.Element, depth: int = 0) -> Any:
        """The plain value of an element: of an object that has a text (an identity, a word of an enumeration) this."""
        tag, text = _tag(element), element.text or ""
        if depth > _DEEPEST:
            raise ValueError("it nests too deep")
        if tag == "Obj":
            return self._object(element, depth)
        if tag == "Ref":
            return self._objects.get(element.get("RefId", ""))
        if tag == "Nil":
            return None
        if tag == "B":
            return text.strip().lower() == "true"
        if tag in _NUMBERS:
            return int(text)
        if tag in {"Db", "Sg"}:
            return float(text)
        return _unescaped(text)

    def _object(self, element: ElementTree.Element, depth: int) -> Any:
        self._types_of(element)
        parts = {_tag(child): child for child in element}
        members = [m for name in ("Props", "MS") if name in parts for m in parts[name] if m.get("N")]
        listed = next((parts[name] for name in ("LST", "IE", "QUE", "STK") if name in parts), None)
        value: Any
        if listed is not None:
            value = [self._value(child, depth + 1) for child in listed]
        elif "DCT" in parts:
            value = {str(k): v for k, v in (self._entry(entry, depth) for entry in parts["DCT"])}
        elif depth and "ToString" in parts:
            value = _unescaped(parts["ToString"].text or "")
        else:
            value = {str(member.get("N")): self._value(member, depth + 1) for member in members}
        self._objects[element.get("RefId", "")] = value
        return value

    def _entry(self, entry: ElementTree.Element, depth: int) -> tuple[Any, Any]:
        found = {child.get("N"): self._value(child, depth + 1) for child in entry}
        return found.get("Key"), found.get("Value")


# --- Microsoft365DSC -------------------------------------------------------------------------------------------------

_RESOURCES: Mapping[str, tuple[str, str]] = {
    "EXOAcceptedDomain": ("AcceptedDomain", "DomainName"),
    "EXOAuthenticationPolicy": ("AuthenticationPolicy", "Name"),
    "EXOCASMailboxSettings": ("CASMailbox", "PrimarySmtpAddress"),
    "EXODkimSigningConfig": ("DkimSigningConfig", "Domain"),
    "EXOHostedConnectionFilterPolicy": ("HostedConnectionFilterPolicy", "Name"),
    "EXOHostedOutboundSpamFilterPolicy": ("HostedOutboundSpamFilterPolicy", "Name"),
    "EXOInboundConnector": ("InboundConnector", "Name"),
    "EXOOrganizationConfig": ("OrganizationConfig", ""),
    "EXOOutboundConnector": ("OutboundConnector", "Name"),
    "EXORemoteDomain": ("RemoteDomain", "Name"),
    "EXOTransportConfig": ("TransportConfig", ""),
    "EXOTransportRule": ("TransportRule", "Name"),
}
"""Kinds of Microsoft365DSC, with our noun and the column that their key is."""

_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "KeySize": ("Selector1KeySize", "Selector2KeySize"),
    "MakeDefault": ("IsDefault",),
}
"""Parameters of New- and Set- whose columns Get- names otherwise."""

# What says how Microsoft365DSC signs in and what it does, and nothing about the object.
_OF_THE_TOOL = frozenset({
    "accesstokens", "applicationid", "applicationsecret", "certificatepassword", "certificatepath",
    "certificatethumbprint", "credential", "ensure", "issingleinstance", "managedidentity", "resourceid",
    "resourcename", "tenantid",
})  # fmt: skip
_CONFIGURATION = re.compile(r"^\s*Configuration\s+\w+", re.IGNORECASE | re.MULTILINE)
_BLOCK = re.compile(r"^\s*(?P<kind>[A-Z]{2,}\w+)\s+(?:\"[^\"\n]*\"|'[^'\n]*')\s*\{", re.MULTILINE)
_TOKEN = re.compile(
    r"\s*(?:#[^\n]*|(?P<here>@(?P<quote>[\"'])[ \t\r]*\n(?s:.*?)(?<=\n)(?P=quote)@)|(?P<table>(?:@|MSFT_\w+\s*)\{)"
    r"|(?P<text>\"(?:`.|\"\"|[^\"`])*\"|'(?:''|[^'])*')|(?P<open>@\()|(?P<mark>[(){}=;,])|(?P<word>[^\s(){}=;,]+))"
)


def _is_resource(entry: object) -> bool:
    return isinstance(entry, Mapping) and str(entry.get("ResourceName", "")).startswith("EXO")


def _of_resources(resources: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """A seed's document from resources; kinds without a noun are left out. Raises ValueError where none is left."""
    objects: dict[str, list[Row]] = {}
    for kind, settings in resources:
        if kind in _RESOURCES and str(settings.get("Ensure", "Present")).lower() != "absent":
            noun, key = _RESOURCES[kind]
            row = {name: value for name, value in settings.items() if name.lower() not in _OF_THE_TOOL}
            for name in set(row) & set(_PARAMETERS):
                value = row.pop(name)
                row.update(dict.fromkeys(_PARAMETERS[name], value))
            identity = row.pop("Identity", None)
            if key and identity is not None:
                row.setdefault(key, identity)
            objects.setdefault(noun, []).append(listings.with_lists(NOUNS[noun], row))
    if not objects:
        known = ", ".join(sorted(_RESOURCES))
        raise ValueError(f"this configuration of Microsoft365DSC has none of the resources {known}")
    return {"sandbox": FORMAT, "objects": objects}


def _blocks(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resources of a configuration with their settings."""
    for match in _BLOCK.finditer(text):
        if match["kind"] in _RESOURCES:
            yield match["kind"], _settings(text, match.end())


def _settings(text: str, at: int) -> dict[str, Any]:
    """The settings from behind an opening brace up to its end: `Name = value;`, a value on one line or several."""
    found: dict[str, Any] = {}
    tokens = _tokens(text, at)
    for kind, token in tokens:
        if token == "}":  # noqa: S105 - a brace
            return found
        if kind == "word" and next(tokens)[1] == "=":
            found[token] = _setting(tokens)
    return found


def _tokens(text: str, at: int) -> Iterator[tuple[str, str]]:
    while match := _TOKEN.match(text, at):
        at = match.end()
        if match.lastgroup:
            yield match.lastgroup, match[match.lastgroup]
    raise ValueError("this configuration of Microsoft365DSC ends within a resource")


def _setting(tokens: Iterator[tuple[str, str]]) -> Any:
    """One value: a text, a word (`$True`, a number, a reference), a table (which is passed over), or a list of them."""
    kind, token = next(tokens)
    if kind == "table":
        return _passed_over(tokens)
    if kind == "open":
        items: list[Any] = []
        for kind, token in tokens:
            if token == ")":  # noqa: S105 - a bracket
                break
            if kind == "table":
                _passed_over(tokens)
            elif token not in {",", ";"}:
                items.append(_literal(kind, token))
        return items
    return _literal(kind, token)


def _passed_over(tokens: Iterator[tuple[str, str]]) -> None:
    """Up to the end of a table (`@{ … }`, an instance of MSFT_…), which may hold others."""
    depth = 1
    while depth:
        kind, token = next(tokens)
        depth += (kind == "table" or token == "{") - (token == "}")  # noqa: S105 - braces


def _literal(kind: str, token: str) -> Any:
    if kind == "here":
        return re.sub(r"\r?\n", "\n", token[2:-2].partition("\n")[2]).rstrip("\n")
    if kind == "text":
        inner = token[1:-1]
        return inner.replace("''", "'") if token[0] == "'" else re.sub(r"`(.)", r"\1", inner.replace('""', '"'))
    words: Mapping[str, Any] = {"$true": True, "$false": False, "$null": None}
    if token.lower() in words:
        return words[token.lower()]
    return int(token) if re.fullmatch(r"-?\d+", token) else token
