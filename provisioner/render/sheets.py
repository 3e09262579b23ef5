"""Settings sheets of devices and the report on basic authentication: documents -> text, Markdown, HTML, CSV.

Everything that a plan holds is escaped for where it is printed; a spreadsheet takes no cell for a formula.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.render.escape import visible
from provisioner.render.markdown import code, escape

Document = Mapping[str, Any]

_PARTS = (
    ("why", "Why this way"),
    ("from_rules", "From address"),
    ("limits", "Limits"),
    ("check", "What to check"),
    ("warnings", "Mind"),
    ("advice", "Better, or instead"),
)

_STYLE = """
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; color: #1b1f24; }
table { border-collapse: collapse; width: 100%; } th, td { border: 1px solid #d0d7de; padding: .3rem .6rem;
  text-align: left; vertical-align: top; overflow-wrap: anywhere; } td.value { font-family: ui-monospace, monospace; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; } .soft { color: #57606a; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


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
    for title, items in _sections(document):
        lines += [f"**{title}**", "", *(f"- {escape(item)}" for item in items), ""]
    return "\n".join(lines)


def sheet_html(document: Document) -> str:
    """The sheet as a page that can be printed and hung beside the device."""
    body = [f"<h1>{_safe(document['device'])}</h1>", f"<p>{_safe(_headline(document))}</p>"]
    if document["description"]:
        body.append(f'<p class="soft">{_safe(document["description"])}</p>')
    if document["settings"]:
        rows = (
            f'<tr><th scope="row">{_safe(s["name"])}</th><td class="value">{_safe(s["value"])}</td>'
            f'<td class="soft">{_safe(s["note"])}</td></tr>'
            for s in document["settings"]
        )
        body.append(f"<table>{''.join(rows)}</table>")
    for title, items in _sections(document):
        body.append(f"<h2>{_safe(title)}</h2><ul>{''.join(f'<li>{_safe(i)}</li>' for i in items)}</ul>")
    return _page(f"{document['device']}: how to set it", body)


def _headline(document: Document) -> str:
    if not document["method"]:
        return "no way of sending will do for it"
    return f"sends by {document['method_name']}"


def _sections(document: Document) -> Iterator[tuple[str, Sequence[str]]]:
    for key, title in _PARTS:
        if document.get(key):
            yield title, document[key]
    if document["refused"]:
        yield "Why not another", [f"{r['method_name']}: {r['why']}" for r in document["refused"]]


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


def report_text(document: Document) -> str:
    """The report for a terminal."""
    lines = [_report_head(document)]
    for row in document["depending"]:
        where = f" at {visible(row['site'])}" if row["site"] else ""
        lines += ["", f"{visible(row['device'])}{where} signs in as {visible(row['mailbox'])}"]
        lines.append(f"  move to: {visible(row['move_to'] or 'none of the three methods as it is')}")
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
        writer.writerow([_cell(row[column]) for column in _COLUMNS])
    for address in document["undeclared_mailboxes"]:
        how = "no device of the plan signs in as it: find out who does, or switch it off"
        writer.writerow(["", "", "", _cell(address), "", "", "", how])
    return out.getvalue()


def report_html(document: Document) -> str:
    """The report as a page."""
    head = "".join(f"<th>{_safe(c.replace('_', ' '))}</th>" for c in _COLUMNS)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_safe(str(row[c]))}</td>' for c in _COLUMNS)}</tr>" for row in document["depending"]
    )
    body = [f"<h1>Basic authentication</h1><p>{_safe(_report_head(document))}</p>"]
    if rows:
        body.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    if document["undeclared_mailboxes"]:
        items = "".join(f"<li>{_safe(a)}</li>" for a in document["undeclared_mailboxes"])
        body.append(f"<h2>May sign in, but no device of the plan does</h2><ul>{items}</ul>")
    return _page("Who depends on basic authentication", body)


def _report_head(document: Document) -> str:
    count, ends = len(document["depending"]), document["ends"]
    left = f"in {document['days_left']:,} days" if document["days_left"] else "which has passed"
    return (
        f"{count:,} of {document['devices']:,} devices depend on basic authentication, which is off by default from "
        f"{ends} ({left})."
    )


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = visible(str(value))
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def _safe(text: str) -> str:
    return html.escape(visible(text))


def _page(title: str, body: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
