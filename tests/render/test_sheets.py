"""Sheets and the report in every form, with names that try to be something else."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
import segno

from provisioner.render import pages, sheets

EVIL = '<script>alert(1)</script>|`x`\x1b[31m\u202e=HYPERLINK("x")'
SHEET: dict[str, Any] = {
    "device": EVIL,
    "description": EVIL,
    "site": EVIL,
    "from": EVIL,
    "method": "smtp_relay",
    "method_name": "SMTP relay",
    "why": [EVIL],
    "refused": [{"method": "direct_send", "method_name": "direct send", "why": EVIL}],
    "warnings": [],
    "advice": [],
    "settings": [{"name": "Server", "value": EVIL, "note": EVIL}],
    "about": [{"name": "Site", "value": EVIL}, {"name": "Date", "value": "2026-12-30"}],
    "from_rules": [EVIL],
    "limits": [],
    "check": [],
}
ROW = {"device": EVIL, "site": "hq", "from": "a@x.com", "mailbox": "a@x.com", "recipients": "anyone",
       "messages_per_day": 5, "move_to": "", "how": "=1+1"}  # fmt: skip
REPORT: dict[str, Any] = {
    "ends": "2026-12-31",
    "days_left": 38,
    "devices": 1_200,
    "depending": [ROW],
    "undeclared_mailboxes": ["@x"],
}


@pytest.mark.parametrize("render", [sheets.sheet_text, sheets.sheet_markdown, sheets.sheet_html])
def test_hostile_names_stay_text_on_a_sheet(render: Any) -> None:
    page = render(SHEET)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert render is sheets.sheet_text or "<script" not in page


@pytest.mark.parametrize("render", [sheets.report_text, sheets.report_csv, sheets.report_html])
def test_hostile_names_stay_text_in_the_report(render: Any) -> None:
    page = render(REPORT)
    assert "\x1b" not in page
    assert "1,200" in page or render is sheets.report_csv
    assert render is not sheets.report_html or "<script" not in page


def test_no_cell_is_a_formula_and_every_row_has_every_column() -> None:
    rows = list(csv.reader(io.StringIO(sheets.report_csv(REPORT))))
    assert [len(row) for row in rows] == [8, 8, 8]
    assert not [cell for row in rows for cell in row if cell[:1] in {"=", "+", "-", "@"}]


def test_a_page_runs_nothing_and_fetches_nothing() -> None:
    for page in (sheets.sheet_html(SHEET), sheets.report_html(REPORT)):
        assert "default-src 'none'" in page
        assert page.count("<script") == 0


def test_a_page_has_a_code_of_what_is_typed_and_of_no_secret() -> None:
    settings = [
        {"name": "Server", "value": "smtp.office365.com", "note": "the name"},
        {"name": "User", "value": "scan\u202e@contoso.com", "note": ""},
        {"name": "Password", "value": "", "note": "that of the user"},
    ]
    document = {**SHEET, "device": "scanner", "settings": settings}
    assert sheets._typed(document).splitlines() == [
        "scanner", "Server: smtp.office365.com", "User: scan\\u{202e}@contoso.com",
    ]  # fmt: skip
    page = sheets.sheet_html(document)
    assert page.count('<svg viewBox="0 0 ') == 1
    svg = page[page.index("<svg") : page.index("</svg>")]
    assert "smtp" not in svg
    assert svg != sheets.sheet_html(SHEET)[page.index("<svg") :], "another sheet has another code"
    assert "<svg" not in sheets.sheet_html({**document, "settings": []})
    assert pages.qr_code("x" * 5000) == "", "what no code can hold is left out"


def drawn(svg: str) -> list[list[int]]:
    """The dark modules of a code, row by row, as its path draws them."""
    size = int(svg.partition('viewBox="0 0 ')[2].split()[0]) // 3
    rows, (path,) = [[0] * size for _ in range(size)], re.findall(r' d="([^"]+)"', svg)
    x = y = 0.0
    for move, first, second, length in re.findall(r"([Mm])(-?[\d.]+) (-?[\d.]+)|h(\d+)", path):
        if length:
            for column in range(int(x), int(x) + int(length)):
                rows[int(y)][column] = 1
            x += int(length)
        else:
            x, y = (0 if move == "M" else x) + float(first), (0 if move == "M" else y) + float(second)
    return rows


def test_the_code_that_is_drawn_holds_the_settings_and_nothing_else() -> None:
    settings = [{"name": "Server", "value": "smtp.office365.com", "note": ""},
                {"name": "User", "value": "ürün@contoso.com", "note": ""},
                {"name": "Password", "value": "", "note": "never written"}]  # fmt: skip
    page = sheets.sheet_html({**SHEET, "device": "scanner", "settings": settings})
    found = drawn(page[page.index("<svg") : page.index("</svg>")])

    def code(text: str) -> list[list[int]]:
        made = segno.make_qr(text, error="l", encoding="utf-8")
        return [[int(dark) for dark in row] for row in made.matrix_iter(border=made.default_border_size)]

    typed = "scanner\nServer: smtp.office365.com\nUser: ürün@contoso.com"
    assert found == code(typed)
    assert found != code(typed.replace("365", "366"))


def test_the_library_for_codes_is_loaded_only_for_a_page() -> None:
    assert "segno" not in Path(sheets.__file__).read_text("utf-8")
    assert "import segno\n" not in Path(pages.__file__).read_text("utf-8").partition("def qr_code")[0]


def test_the_list_is_a_table_that_lines_up() -> None:
    one = {**SHEET, "device": "a", "site": None, "from": "a@contoso.com"}
    two = {**SHEET, "device": "scanner", "site": "hq", "from": "b@c.de", "method_name": "", "method": None}
    lines = sheets.list_text([one, two]).splitlines()
    assert lines == [
        "DEVICE   SITE  FROM           SENDS BY",
        "a        -     a@contoso.com  SMTP relay",
        "scanner  hq    b@c.de         none will do",
    ]
    assert sheets.list_text([]) == "The plan declares no devices.\n"
