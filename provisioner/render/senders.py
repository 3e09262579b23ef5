"""An inventory of senders for a terminal, a spreadsheet, a page or a program, from its JSON document."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from provisioner.model.listing import counted
from provisioner.render.escape import csv_cell, json_text, visible
from provisioner.render.pages import page, source

Document = Mapping[str, Any]

PROTOCOLS = {
    "client_submission_basic": "client submission, basic",
    "client_submission_oauth": "client submission, OAuth",
    "client_submission": "client submission",
    "smtp_relay": "SMTP relay",
    "direct_send": "direct send",
    "high_volume_email": "High Volume Email",
    "graph": "Microsoft Graph",
    "unknown": "unknown",
}
SOURCES = {
    "sign_ins": "sign-in log",
    "service_principal_sign_ins": "sign-in log of applications",
    "graph_sign_ins": "sign-in log of applications at Microsoft Graph",
    "mail_permissions": "permissions to send through Microsoft Graph",
    "smtp_auth_report": "SMTP AUTH report",
    "message_traces": "message traces",
    "trace_details": "details of message traces",
    "connector_report": "report of mail without a connector",
    "mailboxes": "mailboxes and their switches",
    "organization": "switches of the organization",
    "authentication_policies": "authentication policies",
    "security_defaults": "security defaults",
    "conditional_access": "Conditional Access policies",
    "connectors": "connectors",
    "accepted_domains": "accepted domains",
    "high_volume_accounts": "High Volume Email accounts",
}
_STATES = {"read": "read", "partial": "read in part", "not_read": "not read"}
_COLUMNS = (
    "address", "mailbox", "protocol", "source_addresses", "connectors", "tls", "messages", "days", "recipients",
    "first_seen", "last_seen", "failures", "applications", "client_ids", "user_agents", "known_from", "confidence",
    "basis", "may_log_in",
)  # fmt: skip


def rendered(format_: str, document: Document) -> str:
    """The inventory as text, csv, json or html."""
    match format_:
        case "json":
            return json_text(document) + "\n"
        case "csv":
            return _csv(document)
        case "html":
            return _html(document)
        case _:
            return _text(document)


def gaps(document: Document) -> Sequence[str]:
    """A line for each source that was not read whole, with what it lacks."""
    found = []
    for row in document["sources"]:
        if row["state"] != "read":
            needs = f" Needs {visible(row['needs'])}." if row["needs"] else ""
            what = f"{SOURCES[row['name']]}: {_STATES[row['state']]}: {visible(row['reason'])}"
            found.append(f"{what.rstrip('.')}.{needs}")
    return found


def _facts(sender: Document) -> dict[str, str]:
    """Each column of a sender in words."""
    places = sender["source_addresses"]
    failures = [f"{row['code']} {row['reason']} ({row['count']:,})" for row in sender["failures"]]
    lists = ("tls", "applications", "client_ids", "user_agents", "basis")
    return {
        **{name: str(sender[name]) for name in ("address", "mailbox", "recipients", "confidence", "may_log_in")},
        **{name: "; ".join(sender[name]) for name in lists},
        "protocol": PROTOCOLS[sender["protocol"]],
        "source_addresses": "; ".join(dict.fromkeys(row["ip_address"] for row in places)),
        "connectors": "; ".join(dict.fromkeys(row["connector"] for row in places if row["connector"])),
        "messages": "" if sender["messages"] is None else str(sender["messages"]),
        "days": str(sender["days"] or ""),
        "first_seen": sender["first_seen"],
        "last_seen": sender["last_seen"],
        "failures": "; ".join(failures),
        "known_from": "; ".join(SOURCES[row["source"]] for row in sender["known_from"]),
    }


# --- terminal --------------------------------------------------------------------------------------------------------


def _text(document: Document) -> str:
    count = len(document["senders"])
    span = f"{document['begin'][:10]} to {document['end'][:10]}"
    lines = [f"{counted(count, 'sender')} of {visible(document['tenant'])} from {span}", ""]
    lines += _table([_row(sender) for sender in document["senders"]]) if count else []
    for title, names in (
        ("May log in with SMTP AUTH, and nothing shows that they do:", document["idle_mailboxes"]),
        ("Connectors for relay, and nothing shows that mail comes through them:", document["idle_connectors"]),
        ("May send through Microsoft Graph, and nothing shows that they do:", document["idle_applications"]),
    ):
        lines += ["", title, *(f"  {visible(name)}" for name in names)] if names else []
    missing = gaps(document)
    lines += ["", "Sources that were not read whole:", *(f"  {line}" for line in missing)] if missing else []
    return "\n".join(lines).rstrip("\n") + "\n"


_HEADS = ("SENDER", "LOGS IN AS", "PROTOCOL", "FROM", "MESSAGES", "LAST SEEN", "CONFIDENCE")


def _row(sender: Document) -> tuple[str, ...]:
    facts = {name: visible(value) for name, value in _facts(sender).items()}
    name = facts["address"] or facts["applications"] or facts["client_ids"] or "-"
    login = facts["mailbox"] or "-"
    if facts["may_log_in"] == "blocked":
        login += " (blocked)"
    places = facts["source_addresses"].split("; ")
    where = places[0] or "-"
    where += f" and {len(places) - 1} more" if len(places) > 1 else ""
    where += f" via {facts['connectors']}" if facts["connectors"] else ""
    sent = f"{facts['messages'] or '-'}" + (f" in {facts['days']} days" if facts["messages"] and facts["days"] else "")
    return (name, login, facts["protocol"], where, sent, facts["last_seen"][:10] or "-", facts["confidence"])


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in (_HEADS, *rows)) for i in range(len(_HEADS))]
    for row in (_HEADS, *rows):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


# --- files -----------------------------------------------------------------------------------------------------------


def _csv(document: Document) -> str:
    """A row for each sender. Lists are joined by semicolons."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for sender in document["senders"]:
        facts = _facts(sender)
        writer.writerow([csv_cell(facts[column]) for column in _COLUMNS])
    return out.getvalue()


def _html(document: Document) -> str:
    shown = {
        "inventory": document,
        "columns": _COLUMNS,
        "rows": [_facts(sender) for sender in document["senders"]],
        "gaps": gaps(document),
    }
    return page("senders.html.jinja", style=source("base.css") + source("sheet.css"), **shown)


_OUTCOMES = {
    "still_logs_in": "still logs in with a password: the change has no effect on it yet (up to 24 hours)",
    "refused": "is refused by Microsoft Entra",
    "silent": "logged in before the change, and is silent since: it is refused, or has not sent",
    "not_seen": "not seen in the sign-in log, before the change or since",
}


def rehearsed(format_: str, document: Document) -> str:
    """What came of a rehearsal, as text or json."""
    if format_ == "json":
        return json_text(document) + "\n"
    lines = [f"Since {document['since']}:"]
    for row in document["outcomes"]:
        last = f"; last login {row['last_login']} from {visible(row['last_address'])}" if row["last_login"] else ""
        counts = f"{row['logins_before']:,} logins before, {row['logins_after']:,} since"
        lines.append(f"  {visible(row['mailbox'])}: {_OUTCOMES[row['state']]} ({counts}{last})")
        lines += [f"    {f['code']} {visible(f['reason'])} ({f['count']:,})" for f in row["failures"]]
    if document["unread"]:
        lines.append(f"The sign-in log was not read, or only in part: {visible(document['unread'])}")
    return "\n".join(lines) + "\n"
