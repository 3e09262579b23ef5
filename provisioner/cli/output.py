"""Printing a change set in the format that was asked for, and writing it to files in others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioner.cli.session import Session, moment
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.render import html, markdown, powershell, reports, stream, text

STREAM = "json-lines"
"""Terraform's machine-readable UI: lines as it happens, so only of what is run, not of what is shown again."""

FORMATS = ("text", "json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif")
"""What a change set can be rendered as."""


def rendered(format_: str, document: Mapping[str, Any], *, color: bool = False) -> str:
    """The document in one of FORMATS."""
    match format_:
        case "json":
            return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
        case "text":
            return text.render(document, color=color)
        case "markdown":
            return markdown.render(document)
        case "html":
            return html.render(document)
        case "powershell":
            return powershell.render(document)
        case _:
            return str(getattr(reports, format_)(document))


def print_plan(session: Session, document: Mapping[str, Any]) -> None:
    """The document in the session's format."""
    if session.format == STREAM:
        for line in stream.planned(document, moment()):
            session.line(line)
        return
    session.result(rendered(session.format, document, color=session.colored(sys.stdout)))


def write_reports(session: Session, document: Mapping[str, Any], reports: Mapping[str, Path]) -> None:
    """Each report to its file (`-` is standard output). Raises InputError for a place that cannot be written."""
    for format_, path in reports.items():
        content = rendered(format_, document)
        if str(path) == "-":
            session.result(content)
            continue
        try:
            path.write_text(content, encoding="utf-8", errors="surrogatepass")
        except OSError as error:
            what = f"--out-{format_}: {path} cannot be written: {error.strerror or error}"
            raise InputError([Diagnostic("OUT-WRITE", what, "choose another place")]) from error
