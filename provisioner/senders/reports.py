"""Reports that come as CSV: the SMTP AUTH clients report, and what came in without a connector.

Both are made by Start-HistoricalSearch (report types SmtpCSReport and ConnectorReport) or exported from the Exchange
admin center. The files of a historical search are UTF-16; exports are UTF-8. Which columns they have is not published:
they are found by their names in any spelling (public scripts, 2026), and unknown ones are passed over. SmtpCSReport is
not in the cmdlet's published list of report types either. No file is fetched unattended: FileUrl wants a person's
sign-in in a browser.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Cmdlet, Row
from provisioner.model.tables import SEPARATORS, decoded, is_workbook
from provisioner.senders.inventory import BASIC, OAUTH, SUBMISSION, Evidence, Protocol
from provisioner.senders.observing import Observation, address, moment, source_ip, tls_version

SMTP_AUTH, NO_CONNECTOR = "SmtpCSReport", "ConnectorReport"
TITLE = "provisioner senders"
"""What the searches of this tool are called: the next run knows them by it."""
LISTING = Cmdlet("Get-HistoricalSearch", columns=frozenset({
    "JobId", "ReportTitle", "ReportType", "Status", "SubmitDate", "FileUrl", "Rows", "StartDate", "EndDate",
}))  # fmt: skip
ROLE = "a role that holds Start-HistoricalSearch (Exchange Administrator)"
DAYS = 90
LARGEST_BYTES = 256 * 2**20
"""Of a report: 100,000 rows of some hundred characters in UTF-16 take 60 MB."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "sender": ("senderaddress", "sender", "from"),
    "name": ("sendername", "senderlocalpart"),
    "domain": ("senderdomain", "domain"),
    "authentication": (
        "authmethod",
        "authenticationprotocol",
        "authprotocol",
        "authentication",
        "authtype",
        "authenticationtype",
        "authenticationmethod",
    ),
    "ip": ("originalclientip", "clientip", "sourceip", "fromip", "ipaddress"),
    "tls": ("tlsversion", "tlsused", "tls"),
    "messages": ("messagecount", "messages", "count", "numberofmessages", "totalmessages"),
    "date": ("date", "datetime", "datetimeutc", "received", "origintimestamputc", "origintimestamp"),
    "message_id": ("messageid",),
    "recipient": ("recipientaddress", "recipient"),
    "connector": ("connectorname", "connector"),
}
_MOST_LINES_ABOVE = 10
_NUMBER = re.compile(r"(\d{1,3}(?:[\s,.'\u2019]\d{3})+|\d+)(?:[.,]0+)?")
_TLS_COLUMN = re.compile(r"tls(?:v|version)?1[._]?([0-3])(?:messages|count)?")


@dataclass(frozen=True, slots=True)
class Report:
    """A file that was read: which report it is, what it says, how many rows it has."""

    kind: Evidence
    observations: tuple[Observation, ...]
    rows: int
    passed_over: int = 0


def search(kind: str, begin: str, end: str) -> Cmdlet:
    """What asks for a report; its file is there after 1 to 4 hours (Learn, Start-HistoricalSearch)."""
    more = {"ConnectorType": "NoConnector", "Direction": "Received"} if kind == NO_CONNECTOR else {}
    title = f"{TITLE} {kind} {begin[:10]} {end[:10]}"
    return Cmdlet(
        "Start-HistoricalSearch",
        {"ReportTitle": title, "ReportType": kind, "StartDate": begin, "EndDate": end, **more},
    )


@dataclass(frozen=True, slots=True)
class Search:
    """A search that this tool has started before. `url` opens in a browser, "" while it runs."""

    job: str
    done: bool
    url: str
    submitted: str


def newest(rows: Iterable[Row], kind: str) -> Search | None:
    """The last search for a report of this kind; one that is done before one that still runs."""
    found = [
        Search(
            str(row.get("JobId")),
            str(row.get("Status")).lower() == "done",
            str(row.get("FileUrl") or ""),
            moment(row.get("SubmitDate")),
        )
        for row in rows
        if str(row.get("ReportType")) == kind and str(row.get("ReportTitle")).startswith(TITLE)
    ]
    return max(found, key=lambda s: (s.done, s.submitted, s.job), default=None)


# --- files -----------------------------------------------------------------------------------------------------------


def decode(content: bytes, file: str) -> Report:
    """A report from its bytes. Raises InputError for what has no column that names a sender."""
    try:
        head, lines = _table(_text(content, file), file)
        columns = _columns(head)
        versions = {n: match[1] for n, name in enumerate(head) if (match := _TLS_COLUMN.fullmatch(_plain(name)))}
        rows = [row for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise _refused(file, f"is not CSV: {error}") from None
    submitted = "authentication" in columns or "name" in columns or bool(versions)
    read = _submissions if submitted else _without_connector
    found = tuple(read(rows, columns, versions))
    kind: Evidence = "smtp_auth_report" if submitted else "connector_report"
    return Report(kind, found, len(rows), sum(1 for row in rows if not _sender(row, columns)))


def _text(content: bytes, file: str) -> str:
    if is_workbook(content):
        raise _refused(file, "is a workbook of a spreadsheet: save the sheet as CSV")
    text = decoded(content)
    if text is None:
        raise _refused(file, "is neither UTF-8, UTF-16 nor Windows-1252")
    return text


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _columns(head: Sequence[str]) -> Mapping[str, int]:
    """Where each column that is known stands, whatever its spelling: "Sender address", "sender_address"."""
    places = {_plain(name).replace(".", ""): number for number, name in reversed(list(enumerate(head)))}
    found = {}
    for column, names in _NAMES.items():
        place = next((places[name] for name in names if name in places), None)
        if place is not None:
            found[column] = place
    return found


def _names_a_sender(columns: Mapping[str, int]) -> bool:
    return "sender" in columns or {"name", "domain"} <= set(columns)


def _table(text: str, file: str) -> tuple[Sequence[str], Iterator[list[str]]]:
    """The names of the columns, and the rows below them.

    A title, `sep=;` (Excel) or `#TYPE …` (PowerShell 5) may stand above them, and a spreadsheet writes the separator of
    its region. Raises InputError where none of the first lines names a sender.
    """
    start = 0
    for _ in range(_MOST_LINES_ABOVE):
        end = text.find("\n", start)
        line = text[start : end if end >= 0 else None]
        for separator in SEPARATORS:
            head = next(csv.reader([line], delimiter=separator), [])
            if _names_a_sender(_columns(head)):
                below = io.StringIO(text[end + 1 :] if end >= 0 else "", newline="")
                return head, csv.reader(below, delimiter=separator)
        start = end + 1
        if end < 0:
            break
    first = ", ".join(next(csv.reader([text.partition("\n")[0]]), [])[:12]) or "nothing"
    raise _refused(file, f"has no column that names a sender: its first line has {first}")


def _refused(file: str, what: str) -> InputError:
    hint = "export the SMTP AUTH clients report in the Exchange admin center (Reports > Mail flow), as CSV"
    return InputError([Diagnostic("REPORT-INVALID", f"{file} {what}", hint)])


def _cell(row: Sequence[str], columns: Mapping[str, int], name: str) -> str:
    place = columns.get(name, -1)
    return row[place].strip() if 0 <= place < len(row) else ""


def _sender(row: Sequence[str], columns: Mapping[str, int]) -> str:
    name, domain = _cell(row, columns, "name"), _cell(row, columns, "domain")
    return address(_cell(row, columns, "sender")) or address(name) or (address(f"{name}@{domain}") if domain else "")


def _number(text: str) -> int | None:
    found = _NUMBER.fullmatch(text)
    digits = re.sub(r"\D", "", found[1]) if found else ""
    return int(digits) if digits and len(digits) < 16 else None


def _protocol(text: str) -> Protocol:
    word = text.lower()
    if "basic" in word or {"login", "plain"} & set(word.split()):
        return BASIC
    return OAUTH if "oauth" in word or "modern" in word else SUBMISSION


def _submissions(
    rows: Iterable[Sequence[str]], columns: Mapping[str, int], versions: Mapping[int, str]
) -> Iterator[Observation]:
    """By message or by sender: `messages` is what the row counts, one where it counts nothing."""
    for row in rows:
        sender = _sender(row, columns)
        if not sender:
            continue
        when = moment(_cell(row, columns, "date"))
        used = [minor for place, minor in versions.items() if place < len(row) and (_number(row[place]) or 0) > 0]
        count = _number(_cell(row, columns, "messages"))
        whole = Observation(
            "smtp_auth_report",
            sender=sender,
            protocol=_protocol(_cell(row, columns, "authentication")),
            ip_address=source_ip(_cell(row, columns, "ip")),
            tls=tls_version(_cell(row, columns, "tls")),
            messages=1 if count is None else count,
            first=when,
            last=when,
        )
        yield whole
        for minor in used:
            yield Observation("smtp_auth_report", sender=sender, protocol=whole.protocol, tls=tls_version(f"1.{minor}"))


def _without_connector(
    rows: Iterable[Sequence[str]], columns: Mapping[str, int], _: Mapping[int, str]
) -> Iterator[Observation]:
    for row in rows:
        sender = _sender(row, columns)
        if not sender:
            continue
        when = moment(_cell(row, columns, "date"))
        named = _cell(row, columns, "connector")
        count = _number(_cell(row, columns, "messages"))
        yield Observation(
            "connector_report",
            sender=sender,
            ip_address=source_ip(_cell(row, columns, "ip")),
            connector="" if not named or named.lower().startswith("no") else named,
            tls=tls_version(_cell(row, columns, "tls")),
            messages=1 if count is None else count,
            first=when,
            last=when,
        )
