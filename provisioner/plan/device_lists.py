"""Lists of devices that people keep (CSV and its kin) -> proposed sites and devices, and what is wrong in them. Pure.

Spreadsheets write UTF-8, UTF-16 or a code page of Windows, with commas, semicolons or tabs (RFC 4180 knows only the
comma; Excel takes the separator from the system's region, and writes "Unicode Text" as UTF-16 with tabs). Columns are
recognised by their headers, or named by anyone who imports. A row with a mistake is left out, with its line and column;
the others are kept. An empty cell, or one that says "unknown", is not known and never filled in.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from provisioner.devices import sections
from provisioner.diagnostics import Diagnostic, InputError, Location, Severity
from provisioner.model.checking import adapter_of
from provisioner.model.names import caseless
from provisioner.model.tables import SEPARATORS, decoded, is_workbook
from provisioner.plan.proposing import Entry, Proposal, unused
from provisioner.resources.canonical import sender_network

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "name": (
        "name", "device", "device name", "hostname", "host name", "host", "asset", "asset name", "system",
        "system name", "sysname",
    ),
    "from": (
        "from", "from address", "from email", "sender", "sender address", "email", "e-mail", "mail", "email address",
        "e-mail address",
        "mail address", "smtp from", "mail from", "send as",
    ),
    "site": ("site", "location", "syslocation", "office", "building", "branch", "place"),
    "egress_ip_addresses": (
        "egress ip addresses", "egress ip address", "egress ip", "egress", "public ip", "public ip address", "wan ip",
        "external ip", "nat ip", "source ip", "ip", "ip address", "ip addresses", "ipv4", "ipv4 address",
    ),
    "shared": ("shared", "shared ip", "shared address", "cgnat"),
    "recipients": ("recipients", "sends to", "mails to", "recipient scope", "scope", "internal/external"),
    "tls": ("tls", "tls version", "newest tls", "max tls", "encryption"),
    "authentication": ("authentication", "auth", "smtp auth", "auth method", "authentication method", "sign in"),
    "ports": ("ports", "port", "smtp port"),
    "mailbox": ("mailbox", "account", "user", "username", "user name", "login", "smtp user", "upn", "service account"),
    "certificate": ("certificate", "certificate name", "cert", "tls certificate"),
    "method": ("method", "sending method"),
    "via": ("via", "relay", "relay server", "smart host", "smarthost"),
    "messages_per_day": (
        "messages per day", "messages/day", "mails per day", "emails per day", "daily volume", "volume", "per day",
    ),
    "messages_per_minute": ("messages per minute", "messages/minute", "mails per minute", "per minute", "burst"),
    "recipients_per_message": ("recipients per message", "recipients/message", "max recipients"),
    "connections": ("connections", "simultaneous connections"),
    "owner": ("owner", "responsible", "contact", "team", "department"),
    "ticket": ("ticket", "change", "case", "reference"),
    "until": ("until", "end of life", "eol", "replace by", "replacement date"),
    "description": ("description", "notes", "note", "comment", "comments", "remarks", "model", "type", "product"),
}  # fmt: skip
"""The fields of a list and the headers by which each is recognised, blind to case, `_`, `-` and spaces."""

_UNKNOWN = frozenset({"", "?", "-", "--", "unknown", "n/a", "na", "tbd", "not known", "#n/a"})
_SECRET = re.compile(r"pass\s*word|passwd|pwd|secret|token|passphrase|api\s*key|private\s*key", re.IGNORECASE)
_LISTS = re.compile(r"[\s,;|]+")

_RECIPIENTS = {
    "organization": (
        "organization",
        "organisation",
        "internal",
        "internal only",
        "inside",
        "in house",
        "company",
        "employees",
        "staff",
    ),
    "anyone": (
        "anyone",
        "external",
        "everyone",
        "all",
        "any",
        "both",
        "internal and external",
        "internal + external",
        "internal & external",
        "internal/external",
        "internet",
        "outside",
        "customers",
    ),
}
_AUTHENTICATION = {
    "basic": ("basic", "password", "user/password", "username/password", "user and password", "basic auth"),
    "login": ("login", "auth login"),
    "plain": ("plain", "auth plain"),
    "cram-md5": ("cram-md5", "cram"),
    "oauth": ("oauth", "oauth2", "oauth 2.0", "modern", "modern auth", "modern authentication", "xoauth2"),
    "none": ("none", "no", "anonymous", "off", "no auth", "no authentication"),
}
_TLS = {"none": ("none", "no", "off", "no tls")}
_FLAGS = {"true": ("true", "yes", "y", "1", "x"), "false": ("false", "no", "n", "0")}
_NUMBERS = frozenset({"messages_per_day", "messages_per_minute", "recipients_per_message", "connections"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell and its place in the file: line and column (of characters) counted from 1."""

    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class List:
    """A list that was read: the field of each column (None is not used), its header, and the rows below."""

    file: str
    fields: tuple[str | None, ...]
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def unused(self) -> tuple[str, ...]:
        """The headers of the columns that mean nothing to a plan."""
        return tuple(h for h, f in zip(self.headers, self.fields, strict=True) if f is None and h)


class _Wrong(Exception):
    """A cell that cannot be understood, with those of the same row that cannot either."""

    def __init__(self, cell: Cell, identifier: str, what: str, hint: str, others: Sequence[_Wrong] = ()) -> None:
        super().__init__(what)
        self.cell, self.identifier, self.what, self.hint = cell, identifier, what, hint
        self.others = others

    @classmethod
    def of(cls, found: Sequence[_Wrong]) -> _Wrong:
        """All of them as one, in the order of their cells."""
        first, *others = sorted(found, key=lambda wrong: (wrong.cell.line, wrong.cell.column))
        return cls(first.cell, first.identifier, first.what, first.hint, others)


# --- from bytes to rows ----------------------------------------------------------------------------------------------


def read(content: bytes, file: str, mapped: Mapping[str, str] | None = None) -> List:
    """The list in a file. `mapped` says for headers which field they are; "" for a column not to be used.

    Raises InputError for a file that is not a list, a header that `mapped` does not find, and one field in two columns.
    """
    rows = [row for row in _rows(_text(content, file)) if any(cell.text.strip() for cell in row)]
    if not rows:
        raise InputError([Diagnostic("LIST-EMPTY", f"{file}: the list is empty", "name a CSV file with a header line")])
    headers = tuple(cell.text.strip() for cell in rows[0])
    return List(file, _fields(file, rows[0], mapped or {}), headers, tuple(map(tuple, rows[1:])))


def _text(content: bytes, file: str) -> str:
    if is_workbook(content):
        what = f"{file}: a workbook of a spreadsheet, not a list"
        raise InputError([Diagnostic("LIST-ENCODING", what, "save the sheet as CSV UTF-8")])
    text = decoded(content)
    if text is None:
        what = f"{file}: neither UTF-8, UTF-16 nor Windows-1252"
        raise InputError([Diagnostic("LIST-ENCODING", what, "save it as CSV UTF-8")])
    return text


def _separator(text: str) -> str:
    """The separator that the header line has most of, outside of quotes."""
    head = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    return max(SEPARATORS, key=head.count)


def _rows(text: str) -> Iterator[list[Cell]]:
    """Rows of RFC 4180 with their places. A first line `sep=;`, which Excel obeys, names the separator."""
    named = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    separator = named[1] if named else _separator(text)
    token = re.compile(rf'"(?:[^"]|"")*"?|{re.escape(separator)}|\r\n|\r|\n|[^{re.escape(separator)}\r\n"]+|"')
    line, start = (2, named.end()) if named else (1, 0)
    row: list[Cell] = []
    begin, cell, at = start, "", (line, 1)
    for found in token.finditer(text, start):
        part = found[0]
        if part in {"\r\n", "\r", "\n"}:
            yield [*row, Cell(cell, *at)]
            line, begin, row, cell = line + 1, found.end(), [], ""
            at = (line, 1)
        elif part == separator:
            row.append(Cell(cell, *at))
            cell, at = "", (line, found.end() - begin + 1)
        elif part[0] == '"' and not cell.strip():
            cell = part[1 : -1 if len(part) > 1 and part[-1] == '"' else None].replace('""', '"')
            ends = list(re.finditer(r"\r\n|\r|\n", part))
            line, begin = line + len(ends), found.start() + ends[-1].end() if ends else begin
        else:
            cell += part
    if cell or row:
        yield [*row, Cell(cell, *at)]


# --- which column is which field -------------------------------------------------------------------------------------


def _form(header: str) -> str:
    return re.sub(r"[\s_\-]+", " ", header).strip().casefold()


_BY_HEADER = {_form(word): name for name, words in SYNONYMS.items() for word in (name, *words)}


def _fields(file: str, head: Sequence[Cell], mapped: Mapping[str, str]) -> tuple[str | None, ...]:
    wanted = {_form(header): field_ for header, field_ in mapped.items()}
    present = {_form(cell.text) for cell in head}
    wrong = [_unmapped(header, head) for header in mapped if _form(header) not in present]
    wrong += [_unknown_field(header, name) for header, name in mapped.items() if name and name not in SYNONYMS]
    wrong += [_secret(header) for header, name in mapped.items() if name and _SECRET.search(header)]
    found: list[str | None] = []
    for cell in head:
        form = _form(cell.text)
        name = wanted[form] if form in wanted else None if _SECRET.search(form) else _BY_HEADER.get(form)
        if name and name in found:
            if form not in wanted:  # the first of several headers that could mean a field has it
                name = None
            elif _form(head[found.index(name)].text) in wanted:
                wrong.append(_twice(file, cell, name))
            else:
                found[found.index(name)] = None
        found.append(name or None)
    if not wrong and any(map(_is_data, head)):
        # None of it is quoted: a password may stand beside the address.
        what = f"{file}: the first line describes a device, not the columns"
        wrong.append(Diagnostic("LIST-HEADER", what, "write the names of the columns in a line above it"))
    elif not wrong and "from" not in found and "name" not in found:
        what = f"{file}: neither a column for the name of a device nor one for its From address"
        headers = ", ".join(cell.text.strip() for cell in head if cell.text.strip())
        wrong.append(Diagnostic("LIST-HEADER", what, f'name them: --map "HEADER=from"; headers: {headers}'))
    if wrong:
        raise InputError(wrong)
    return tuple(found)


def _is_data(cell: Cell) -> bool:
    """Whether a cell of the first line is what stands below a header: a mail address or an IP address."""
    return "@" in cell.text or re.search(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", cell.text) is not None


def _unmapped(header: str, head: Sequence[Cell]) -> Diagnostic:
    headers = [cell.text.strip() for cell in head if cell.text.strip()]
    near = difflib.get_close_matches(header, headers, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"headers: {', '.join(headers)}"
    return Diagnostic("LIST-HEADER", f'--map: the list has no column "{header}"', hint)


def _unknown_field(header: str, name: str) -> Diagnostic:
    near = difflib.get_close_matches(name, SYNONYMS, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"fields: {', '.join(SYNONYMS)}"
    return Diagnostic("LIST-FIELD", f'--map "{header}": there is no field "{name}"', hint)


def _secret(header: str) -> Diagnostic:
    return Diagnostic("LIST-SECRET", f'--map "{header}": a plan holds no secrets', "leave the column out")


def _twice(file: str, cell: Cell, name: str) -> Diagnostic:
    at = Location(file, cell.line, cell.column)
    return Diagnostic("LIST-HEADER", f"--map: two columns are mapped to {name}", "keep one", location=at)


# --- from rows to devices --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Row:
    """A row that was understood: the body of its device, and what it says about its site."""

    line: int
    name: str
    named: bool
    body: dict[str, Any]
    site: str = ""
    networks: frozenset[str] = frozenset()
    shared: bool = False
    private: tuple[str, ...] = ()


def proposal(read_: List, defaults: Mapping[str, str] | None = None) -> tuple[Proposal, list[Diagnostic]]:
    """What a list proposes, and a diagnostic for each row that was left out.

    `defaults` are answers of the person who imports, by field, for rows that do not say. Raises InputError for one
    that is not a value of its field.
    """
    reading = _Reading(read_, _defaults(defaults or {}))
    for cells in read_.rows:
        reading.row(cells)
    return Proposal(f"Imported from {read_.file}.", *reading.entries()), reading.found


def answers(given: Mapping[str, str]) -> Mapping[str, Any]:
    """A person's answers for every device, as the body of one. Raises InputError for a wrong value."""
    return _body(_defaults(given))


def _defaults(given: Mapping[str, str]) -> Mapping[str, Cell]:
    wrong = [
        Diagnostic("LIST-FIELD", f'--default: there is no field "{name}"', f"fields: {', '.join(_COMMON)}")
        for name in given
        if name not in _COMMON
    ]
    cells = {name: Cell(text, 0, 0) for name, text in given.items()}
    for name, cell in cells.items() if not wrong else ():
        try:
            _body({name: cell})
        except _Wrong as error:
            wrong.append(Diagnostic(error.identifier, f"--default {name}: {error.what}", error.hint))
    if wrong:
        raise InputError(wrong)
    return cells


@dataclass(slots=True)
class _Reading:
    read: List
    defaults: Mapping[str, Cell]
    rows: list[_Row] = field(default_factory=list)
    found: list[Diagnostic] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def row(self, cells: Sequence[Cell]) -> None:
        """One row: understood, or told."""
        try:
            row = self._understood(cells)
        except _Wrong as error:
            self._tell(error)
            return
        self.names.setdefault(caseless(row.name), row.line)
        self.rows.append(row)

    def _understood(self, cells: Sequence[Cell]) -> _Row:
        if extra := next((c for c in cells[len(self.read.fields) :] if c.text.strip()), None):
            what = f"the row has {len(cells)} cells, the header {len(self.read.fields)}"
            raise _Wrong(extra, "LIST-CELLS", what, "put quotes around a cell that holds the separator")
        given = {f: c for f, c in zip(self.read.fields, cells, strict=False) if f and _known(c.text)}
        row = {**self.defaults, **given}
        body = _body(row)
        named = _name(row)
        name = row.get("name", cells[0])
        if named and caseless(named) in self.names:
            what = f'"{named}" is in line {self.names[caseless(named)]} already'
            raise _Wrong(name, "LIST-DUPLICATE", what, "give one of the two another name")
        networks, private = _networks(row.get("egress_ip_addresses"))
        return _Row(
            cells[0].line,
            named or _derived(body, cells[0], self.names),
            bool(named),
            body,
            _site_name(row.get("site")),
            networks,
            "shared" in row and _word(row["shared"], _FLAGS) == "true",
            private,
        )

    def _tell(self, error: _Wrong) -> None:
        for one in (error, *error.others):
            at = Location(self.read.file, one.cell.line, one.cell.column)
            self.found.append(Diagnostic(one.identifier, one.what, one.hint, Severity.ERROR, at))

    def entries(self) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """Sites, grouped by egress address, and devices."""
        sites = _sites(self.rows)
        entries = tuple(
            Entry(name, _site_body(site), site.notes, () if site.shared else (_SHARED,)) for name, site in sites.items()
        )
        devices = tuple(_device(row, sites) for row in self.rows)
        return entries, devices


_SHARED = "shared: do other organizations send from these addresses too (a provider's pool, CGNAT)? Then: shared: true"


@dataclass(slots=True)
class _Site:
    networks: set[str]
    shared: bool
    called: list[str]

    @property
    def notes(self) -> tuple[str, ...]:
        """The other names that the list has for it."""
        others = self.called[1:]
        return (f"the list also calls it {', '.join(others)}: the same egress address",) if others else ()


def _sites(rows: Sequence[_Row]) -> dict[str, _Site]:
    """One site for each group of rows that share an egress address or a name, called as the first that has a name."""
    groups: list[_Site] = []
    for row in rows:
        if not row.networks:
            continue
        same = [g for g in groups if g.networks & row.networks or (row.site and row.site in g.called)]
        whole = _Site(set(row.networks), row.shared, [row.site] if row.site else [])
        for group in reversed(same):
            whole = _Site(group.networks | whole.networks, group.shared or whole.shared, [*group.called, *whole.called])
            groups.remove(group)
        whole.called = list(dict.fromkeys(whole.called))
        groups.append(whole)
    found: dict[str, _Site] = {}
    for group in groups:
        first = min(group.networks).removesuffix("/32").replace("/", "-")
        found[unused(group.called[0] if group.called else f"site-{first}", found)] = group
    return found


def _site_body(site: _Site) -> dict[str, Any]:
    body: dict[str, Any] = {"egress_ip_addresses": [n.removesuffix("/32") for n in sorted(site.networks)]}
    return body | ({"shared": True} if site.shared else {})


def _device(row: _Row, sites: Mapping[str, _Site]) -> Entry:
    of = next((n for n, s in sites.items() if row.networks & s.networks or (row.site and row.site in s.called)), None)
    body = ({"site": of} if of else {}) | row.body
    questions = []
    if row.private:
        addresses = ", ".join(row.private)
        questions.append(
            f"site: {addresses} is a private address; which public egress address does its mail come from?"
        )
    elif row.site and of is None:
        questions.append(
            "site: the list names a site without an egress address; which address does its mail come from?"
        )
    if "messages_per_day" not in body:
        questions.append("messages_per_day: how many on a busy day? The sending limits are measured by it")
    return Entry(row.name, body, (f"line {row.line} of the list",), tuple(questions))


# --- cells -----------------------------------------------------------------------------------------------------------


def _known(text: str) -> bool:
    return _form(text) not in _UNKNOWN


def _name(row: Mapping[str, Cell]) -> str:
    cell = row.get("name")
    return _checked(cell, adapter_of(sections.Name), " ".join(cell.text.replace("/", "-").split())) if cell else ""


def _derived(body: Mapping[str, Any], first: Cell, taken: Mapping[str, int]) -> str:
    senders = body.get("from")
    if not senders:
        raise _Wrong(first, "LIST-NAMELESS", "the row has neither a name nor a From address", "write one of the two")
    return unused((senders if isinstance(senders, str) else senders[0]).partition("@")[0][:40] or "device", taken)


def _site_name(cell: Cell | None) -> str:
    return _checked(cell, adapter_of(sections.Name), " ".join(cell.text.replace("/", "-").split())) if cell else ""


def _networks(cell: Cell | None) -> tuple[frozenset[str], tuple[str, ...]]:
    """The public networks of a cell, and its private addresses, which Exchange never sees."""
    found, private = set(), []
    if cell is None:
        return frozenset(), ()
    for text in _parts(cell):
        try:
            network = sender_network(text)
        except ValueError as error:
            told = getattr(error, "context", None) or {"what": str(error), "hint": ""}
            raise _Wrong(cell, "LIST-VALUE", told["what"], told["hint"]) from None
        if ipaddress.IPv4Network(network).is_private and not _documentation(network):
            private.append(text)
        else:
            found.add(network)
    return frozenset(found), tuple(private)


def _documentation(network: str) -> bool:
    """RFC 5737: addresses of examples, which Python calls private and a rule of the plan speaks about."""
    blocks = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
    return any(ipaddress.IPv4Network(network).subnet_of(ipaddress.IPv4Network(block)) for block in blocks)


def _parts(cell: Cell) -> list[str]:
    return [part for part in _LISTS.split(cell.text.strip()) if part]


def _word(cell: Cell, table: Mapping[str, tuple[str, ...]], text: str | None = None) -> str:
    written = " ".join((cell.text if text is None else text).split()).casefold()
    for word, spellings in table.items():
        if written in spellings:
            return word
    known = ", ".join(table)
    raise _Wrong(cell, "LIST-VALUE", f'"{cell.text.strip()}" is not one of {known}', f"write one of {known}")


def _senders(cell: Cell) -> Any:
    named = re.fullmatch(r"[^<>@,;]*<([^<>\s]+@[^<>\s]+)>", cell.text.strip())  # Scanner <scan@contoso.com>
    parts = [named[1]] if named else _parts(cell)
    return parts if len(parts) > 1 else parts[0]


def _tls(cell: Cell) -> str:
    if re.fullmatch(r"(?:(?:tls|v|[\s,;/+&\-])*1\.[0-3])+\+?", cell.text.strip(), re.IGNORECASE):
        return str(max(re.findall(r"1\.[0-3]", cell.text)))
    try:
        return _word(cell, _TLS)
    except _Wrong:
        what = f'"{cell.text.strip()}" is not a TLS version'
        raise _Wrong(cell, "LIST-VALUE", what, "write none, 1.0, 1.1, 1.2 or 1.3: the newest that it speaks") from None


def _authentication(cell: Cell) -> list[str]:
    whole = re.sub(r"\s*\([^()]*\)\Z", "", cell.text.strip().casefold())
    known = {spelling for spellings in _AUTHENTICATION.values() for spelling in spellings}
    texts = [whole] if whole in known else [t for t in re.split(r"\s*(?:[,;|+&/]|\band\b|\bor\b)\s*", whole) if t]
    return list(dict.fromkeys(_word(cell, _AUTHENTICATION, text) for text in texts))


def _number(cell: Cell) -> int:
    digits = re.sub(r"(?<=\d)[\s.,'](?=\d{3}\b)", "", cell.text.strip())
    if not digits.isdigit():
        raise _Wrong(cell, "LIST-VALUE", f'"{cell.text.strip()}" is not a whole number', "write digits only")
    return int(digits)


def _stripped(cell: Cell) -> Any:
    return cell.text.strip()


_WORDS: Mapping[str, Callable[[Cell], Any]] = {
    "from": _senders,
    "recipients": lambda cell: _word(cell, _RECIPIENTS),
    "tls": _tls,
    "authentication": _authentication,
    "ports": lambda cell: [
        _number(Cell(part, cell.line, cell.column)) for part in re.split(r"[\s,;|/]+", cell.text.strip())
    ],
    "method": lambda cell: _form(cell.text).replace(" ", "_"),
    **dict.fromkeys(_NUMBERS, _number),
}
_ABILITIES = ("tls", "authentication", "ports")
_ELSEWHERE = frozenset({"name", "site", "egress_ip_addresses", "shared"})
_COMMON = tuple(name for name in SYNONYMS if name not in _ELSEWHERE and name != "from")
"""The fields that a person can answer for all rows."""


def _body(row: Mapping[str, Cell]) -> dict[str, Any]:
    """The fields of a device that a row knows, each in the plan's words and checked by the plan language."""
    cells = {name: cell for name, cell in row.items() if name not in _ELSEWHERE}
    values, wrong = {}, []
    for name, cell in cells.items():
        try:
            values[name] = _WORDS.get(name, _stripped)(cell)
        except _Wrong as error:
            wrong.append(error)
    abilities = {name: values.pop(name) for name in _ABILITIES if name in values}
    body = values | ({"supports": abilities} if abilities else {})
    try:
        adapter_of(sections.DeviceBody).validate_python(body)
    except ValidationError as error:
        for entry in error.errors(include_url=False):
            # What no cell is named for may only follow from those that are wrong.
            name = next((str(p) for p in entry["loc"] if p in cells), "" if wrong else next(iter(cells), ""))
            if entry["type"] != "missing" and name and cells[name] not in [one.cell for one in wrong]:
                wrong.append(_Wrong(cells[name], *_told(name, entry)))
    if wrong:
        raise _Wrong.of(wrong)
    return body


def _told(name: str, entry: Any) -> tuple[str, str, str]:
    context = entry.get("ctx", {})
    expected = f"write {context['expected']}" if "expected" in context else "write another value"
    return "LIST-VALUE", f"{name}: {context.get('what', entry['msg'])}", str(context.get("hint", expected))


def _checked(cell: Cell, adapter: Any, value: str) -> str:
    try:
        return str(adapter.validate_python(value))
    except ValidationError as error:
        raise _Wrong(cell, *_told("name", error.errors(include_url=False)[0])) from None
