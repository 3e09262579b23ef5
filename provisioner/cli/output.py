"""Printing a change set in the format that was asked for, and writing it to files in others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from provisioner.border import write_result
from provisioner.cli.session import Session, moment
from provisioner.model.document import ChangeSetDocument
from provisioner.render import stream
from provisioner.render.formats import rendered

STREAM = "json-lines"
"""Terraform's machine-readable UI: lines as it happens, so only of what is run, not of what is shown again."""


def print_plan(session: Session, document: ChangeSetDocument, *, unmanaged: bool = False) -> None:
    """The document in the session's format; as text with the list of `unmanaged` objects."""
    if session.format == STREAM:
        for line in stream.planned(document, moment()):
            session.line(line)
        return
    content = rendered(session.format, document, color=session.colored(sys.stdout), unmanaged=unmanaged)
    session.result(content, commands=session.format == "github", data=session.format != "text")


def write_reports(session: Session, document: ChangeSetDocument, reports: Mapping[str, Path]) -> None:
    """Each report to its file (`-` is standard output). Raises InputError for a place that cannot be written."""
    for format_, path in reports.items():
        content = rendered(format_, document)
        if str(path) == "-":
            session.result(content, commands=format_ == "github", data=True)
            continue
        write_result(path, content, f"--out-{format_}")
