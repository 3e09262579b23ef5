"""Settings sheets of devices and the report on basic authentication: documents -> text, Markdown, HTML, CSV.

Everything that a plan holds is escaped for where it is printed; a spreadsheet takes no cell for a formula.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.render.escape import csv_cell, visible
from provisioner.render.markdown import code, escape
from provisioner.render.pages import page, qr_code, source

Document = Mapping[str, Any]

_PARTS = (
    ("why", "Why this method"),
    ("from_rules", "From address"),
    ("limits", "Limits"),
    ("check", "What to check"),
    ("after", "After it is accepted"),
    ("warnings", "Mind"),
    ("advice", "Better, or instead"),
)


# --- a device --------------------------------------------------------------------------------------------------------


def sheet_text(document: Document) -> str:
    """The sheet for a terminal."""
    lines = [f"{visible(document['device'])}: {_headline(document)}"]
    if document["description"]:
        lines.append(f"  {visible(document['description'])}")
    settings = document["settings"]
    width = max((len(s["name"]) for s in settings), default=0)
    lines += [""] if settings else []
    for setting in settings:
        note = f"  ({visible(setting['note'])})" if setting["note"] else ""
        lines.append(f"  {setting['name']:<{width}}  {visible(setting['value']) or '-'}{note}")
    if document["about"]:
        lines += ["", "  " + "; ".join(f"{fact['name']}: {visible(fact['value'])}" for fact in document["about"])]
    for title, items in _sections(document):
        lines += ["", f"  {title}:", *(f"    - {visible(item)}" for item in items)]
    return "\n".join(lines) + "\n"


def sheet_markdown(document: Document) -> str:
    """The sheet for a wiki or a ticket."""
    lines = [f"### {escape(document['device'])}: {escape(_headline(document))}", ""]
    if document["description"]:
        lines += [escape(document["description"]), ""]
    if document["settings"]:
        lines += ["| setting | value | |", "|---|---|---|"]
        for setting in document["settings"]:
            value = code(setting["value"]) if setting["value"] else ""
            lines.append(f"| {setting['name']} | {value} | {escape(setting['note'])} |")
        lines.append("")
    if document["about"]:
        lines += ["; ".join(f"{fact['name']}: {escape(fact['value'])}" for fact in document["about"]), ""]
    for title, items in _sections(document):
        lines += [f"**{title}**", "", *(f"- {escape(item)}" for item in items), ""]
    return "\n".join(lines)


def sheet_html(document: Document) -> str:
    """The sheet as a page that can be printed and hung beside the device."""
    facts = {
        "headline": _headline(document),
        "sections": list(_sections(document)),
        "code": qr_code(_typed(document)) if document["settings"] else "",
    }
    return page("sheet.html.jinja", sheet=document, style=source("base.css") + source("sheet.css"), **facts)


def _typed(document: Document) -> str:
    """What is typed in, a line each, for the QR code. A setting without a value has none here: so no secret has one."""
    settings = [f"{s['name']}: {visible(s['value'])}" for s in document["settings"] if s["value"]]
    return "\n".join([visible(document["device"]), *settings])


def _headline(document: Document) -> str:
    if not document["method"]:
        return "no sending method works"
    return f"sends by {document['method_name']}"


def _sections(document: Document) -> Iterator[tuple[str, Sequence[str]]]:
    for key, title in _PARTS:
        if document.get(key):
            yield title, document[key]
    if document["refused"]:
        yield "Why not another method", [f"{r['method_name']}: {r['why']}" for r in document["refused"]]


def list_text(documents: Sequence[Document]) -> str:
    """All devices, a line each."""
    if not documents:
        return "The plan declares no devices.\n"
    rows = [
        (visible(d["device"]), visible(d["site"] or "-"), visible(d["from"]), d["method_name"] or "none will do")
        for d in documents
    ]
    heads = ("DEVICE", "SITE", "FROM", "SENDS BY")
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(3)]
    return "".join(
        "  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3]]) + "\n"
        for row in (heads, *rows)
    )


# --- basic authentication --------------------------------------------------------------------------------------------

_COLUMNS = ("device", "site", "from", "mailbox", "recipients", "messages_per_day", "move_to", "how")


USED_COLUMNS = (
    "state", "device", "sender", "uses", "ip_addresses", "messages", "last_seen", "recommended", "advice", "tenant",
)  # fmt: skip
"""The columns of the evidence of use, where the report has any."""


def report_text(document: Document) -> str:
    """The report for a terminal."""
    lines = [_report_head(document)]
    for row in document["depending"]:
        where = f" at {visible(row['site'])}" if row["site"] else ""
        lines += ["", f"{visible(row['device'])}{where} signs in as {visible(row['mailbox'])}"]
        lines.append(f"  move to: {visible(row['move_to'] or 'no other method, as it is')}")
        if row["how"]:
            lines.append(f"  {visible(row['how'])}")
    if document["undeclared_mailboxes"]:
        lines += ["", "May sign in, but no device of the plan does (find out who, or switch it off):"]
        lines += [f"  {visible(address)}" for address in document["undeclared_mailboxes"]]
    return "\n".join(lines) + "\n"


def report_csv(document: Document) -> str:
    """A row for each device, for a spreadsheet; undeclared mailboxes have no device."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in document["depending"]:
        writer.writerow(["" if row[column] is None else csv_cell(row[column]) for column in _COLUMNS])
    for address in document["undeclared_mailboxes"]:
        how = "no device of the plan signs in as it: find out who does, or switch it off"
        writer.writerow(["", "", "", csv_cell(address), "", "", "", how])
    return out.getvalue()


def report_html(document: Document) -> str:
    """The report as a page."""
    facts = {"head": _report_head(document), "columns": _COLUMNS, "used": USED_COLUMNS}
    return page("report.html.jinja", report=document, style=source("base.css") + source("sheet.css"), **facts)


def _report_head(document: Document) -> str:
    count, ends = len(document["depending"]), document["ends"]
    left = f"in {document['days_left']:,} days" if document["days_left"] else "which has passed"
    return (
        f"{count:,} of {document['devices']:,} devices depend on basic authentication, which is off by default from "
        f"{ends} ({left})."
    )
