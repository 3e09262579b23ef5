"""Every format of a change set by its name."""

from __future__ import annotations

from provisioner.model.document import ChangeSetDocument
from provisioner.render import html, markdown, powershell, reports, text
from provisioner.render.escape import json_text

FORMATS = ("text", "json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif")
"""What a change set can be rendered as."""


def rendered(format_: str, document: ChangeSetDocument, *, color: bool = False, unmanaged: bool = False) -> str:
    """The document in one of FORMATS. `unmanaged`: text lists the unmanaged objects, as JSON always does."""
    match format_:
        case "json":
            return json_text(document) + "\n"
        case "text":
            return text.render(document, color=color, unmanaged=unmanaged)
        case "markdown":
            return markdown.render(document)
        case "html":
            return html.render(document)
        case "powershell":
            return powershell.render(document)
        case _:
            return str(getattr(reports, format_)(document))
