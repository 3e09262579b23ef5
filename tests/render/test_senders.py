"""The inventory as table, CSV, page and JSON: nothing of a tenant's text acts on the medium."""

from __future__ import annotations

import csv
import io
import json

import pytest

from provisioner.render.escape import csv_cell
from provisioner.render.senders import PROTOCOLS, SOURCES, gaps, rendered
from provisioner.senders.inventory import (
    BASIC,
    RELAY,
    Evidence,
    Failure,
    Inventory,
    Protocol,
    Sender,
    Sighting,
    Source,
    SourceAddress,
    document,
)

_SCAN = Sender(
    "scan@contoso.com",
    "scan@contoso.com",
    protocol=BASIC,
    source_addresses=(SourceAddress("203.0.113.9"), SourceAddress("203.0.113.10")),
    tls=("1.2",),
    messages=1200,
    days=90,
    last_seen="2026-11-03T08:15:00Z",
    failures=(Failure("50126", "<b>wrong</b> password", 3),),
    user_agents=("=HYPERLINK(1)",),
    known_from=(Sighting("smtp_auth_report", 1200, days=90),),
    confidence="certain",
    may_log_in="blocked",
)
_LABELS = Sender("labels@contoso.com", protocol=RELAY, source_addresses=(SourceAddress("203.0.113.9", "h\u202eq", 5),))
_DOCUMENT = document(
    Inventory(
        "contoso.onmicrosoft.com",
        "2026-08-25T00:00:00Z",
        "2026-11-23T00:00:00Z",
        (_SCAN, _LABELS),
        (
            Source("sign_ins", "partial", "beta is away.", "AuditLog.Read.All"),
            Source("connectors", "read", rows=1),
        ),
        ("idle@contoso.com",),
        ("old",),
    )
)


def test_the_table_has_a_line_for_each_sender_and_each_gap() -> None:
    lines = rendered("text", _DOCUMENT).splitlines()
    scan = next(line for line in lines if line.startswith("scan@"))
    assert scan.split("  ")[0] == "scan@contoso.com"
    for word in ("(blocked)", "basic", "203.0.113.9 and 1 more", "1200 in 90 days", "2026-11-03", "certain"):
        assert word in scan
    assert "via h\\u{202e}q" in next(line for line in lines if line.startswith("labels@"))
    assert "  idle@contoso.com" in lines
    assert "  sign-in log: read in part: beta is away. Needs AuditLog.Read.All." in lines
    assert gaps(_DOCUMENT) == ["sign-in log: read in part: beta is away. Needs AuditLog.Read.All."]


def test_a_spreadsheet_takes_no_cell_for_a_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(rendered("csv", _DOCUMENT))))
    scan = next(row for row in rows if row["address"] == "scan@contoso.com")
    assert scan["user_agents"] == "'=HYPERLINK(1)"
    assert (scan["source_addresses"], scan["messages"]) == ("203.0.113.9; 203.0.113.10", "1200")
    assert not any(cell[:1] in {"=", "+", "-", "@"} for row in rows for cell in row.values())


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", " =1", "\t=1"])
def test_a_cell_that_would_be_a_formula_is_text(text: str) -> None:
    assert csv_cell(text).startswith(("'", "\\u{9}"))


def test_the_page_shows_markup_as_text_and_json_keeps_every_value() -> None:
    page = rendered("html", _DOCUMENT)
    assert "<b>wrong</b>" not in page
    assert "&lt;b&gt;wrong&lt;/b&gt; password" in page
    assert "<td>labels@contoso.com</td>" in page
    assert json.loads(rendered("json", _DOCUMENT)) == json.loads(json.dumps(_DOCUMENT))


def test_every_protocol_and_every_source_has_a_name() -> None:
    assert set(PROTOCOLS) == set(Protocol.__args__)  # type: ignore[attr-defined]
    assert set(SOURCES) == set(Evidence.__args__)  # type: ignore[attr-defined]
