"""Printing a change set in the format that was asked for, and writing it to files in others."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from provisioner.border import write_result
from provisioner.cli.session import Session, moment
from provisioner.model.document import ChangeSetDocument
from provisioner.render import stream
from provisioner.render.formats import rendered
from provisioner.render.review import Shown

STREAM = "json-lines"
"""Terraform's machine-readable UI: lines as it happens, so only of what is run, not of what is shown again."""


def print_plan(
    session: Session, document: ChangeSetDocument, *, unmanaged: bool = False, file: Path | None = None
) -> None:
    """The document in the session's format; as text with the list of `unmanaged` objects. `file`: where it is saved."""
    if session.format == STREAM:
        for line in stream.planned(document, moment()):
            session.line(line)
        return
    shown = dataclasses.replace(
        _shown(session, file),
        unmanaged=unmanaged,
        color=session.colored(sys.stdout),
        width=session.width(sys.stdout),
    )
    content = rendered(session.format, document, shown)
    session.result(content, commands=session.format == "github", data=session.format != "text")


def write_reports(
    session: Session, document: ChangeSetDocument, reports: Mapping[str, Path], *, file: Path | None = None
) -> None:
    """Each report to its file (`-` is standard output). Raises InputError for a place that cannot be written."""
    for format_, path in reports.items():
        content = rendered(format_, document, _shown(session, file))
        if str(path) == "-":
            session.result(content, commands=format_ == "github", data=True)
            continue
        write_result(path, content, f"--out-{format_}")


def _shown(session: Session, file: Path | None) -> Shown:
    return Shown(
        session.profile_label,
        str(file or ""),
        all_findings=session.all_findings,
        concise=session.concise,
        rules=_rule_pages(),
    )


def _rule_pages() -> str:
    """Where the pages of the rules are, by the metadata of a release; "" in a checkout, which does not know it."""
    try:
        found = metadata("exchange-provisioner").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    urls = dict(line.split(", ", 1) for line in found)
    return f"{urls['Documentation']}/rules" if "Documentation" in urls else ""
