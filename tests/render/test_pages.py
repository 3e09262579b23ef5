"""Pages from templates: no value becomes markup, each is made visible, and the pages stay as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from provisioner.render import html, pages, sheets
from tests.render import documents
from tests.render.test_sheets import REPORT, SHEET

TEMPLATES = Path(pages.__file__).with_name("templates")


def test_the_page_of_a_change_set(golden: Callable[[str, str], None]) -> None:
    found = documents.document(1, complete=False)
    found["provisioner"]["digest"] = "sha256:0"
    golden("render/plan.html", html.render(found))


def test_the_page_of_a_device_and_of_the_report(golden: Callable[[str, str], None]) -> None:
    golden("render/sheet.html", sheets.sheet_html(SHEET))
    golden("render/report.html", sheets.report_html(REPORT))


def test_every_value_is_escaped_and_made_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.jinja").write_text("{{ a }}|{{ a | json }}|{{ n }}|{{ s }}")
    (tmp_path / "own.js").write_text("a < b")
    monkeypatch.setattr(pages, "_TEMPLATES", tmp_path)
    pages._environment.cache_clear()
    try:
        text = pages.page("x.jinja", a="<b>\u202e", n=3, s=pages.source("own.js"))
        assert text == "&lt;b&gt;\\u{202e}|&#34;&lt;b&gt;\\u{202e}&#34;|3|a < b"
        with pytest.raises(UndefinedError):
            pages.page("x.jinja", a="")
    finally:
        pages._environment.cache_clear()


def test_no_template_marks_a_value_as_safe() -> None:
    """But for a line end, which `visible` would show as its code."""
    for template in TEMPLATES.glob("*.jinja"):
        marked = re.findall(r"\{\{([^}]*)\|\s*safe\s*\}\}", template.read_text(encoding="utf-8"))
        assert [m.strip() for m in marked] in ([], ['"\\n"']), template.name
        assert "autoescape" not in template.read_text(encoding="utf-8")


@pytest.mark.impure
@pytest.mark.long
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is missing")
def test_a_sheet_is_printed_on_one_page(tmp_path: Path) -> None:
    """The longest one: OAuth of which the plan does not say whose, with everything that is to be checked."""
    (tmp_path / "plan.yaml").write_text(
        "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
        "devices:\n  crm: { from: crm@contoso.com, recipients: anyone, "
        'supports: { tls: "1.2", authentication: [basic, oauth] }, description: Invoices and reminders }\n'
    )
    show = [sys.executable, "-m", "provisioner", "devices", "show", "crm", "plan.yaml", "--format", "html"]
    done = subprocess.run(show, cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / "sheet.html").write_bytes(done.stdout)
    printing = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    printing += [f"--print-to-pdf={tmp_path / 'sheet.pdf'}", f"--user-data-dir={tmp_path / 'browser'}"]
    subprocess.run([*printing, (tmp_path / "sheet.html").as_uri()], capture_output=True, check=True, timeout=60)
    assert len(re.findall(rb"/Type /Page\b", (tmp_path / "sheet.pdf").read_bytes())) == 1


@pytest.mark.impure
def test_the_template_library_is_loaded_only_for_a_page() -> None:
    code = "import sys; import provisioner.cli.output; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
