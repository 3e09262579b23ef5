"""Every format of a change set by its name."""

from __future__ import annotations

from provisioner.model.document import ChangeSetDocument
from provisioner.render import html, markdown, powershell, reports, text
from provisioner.render.escape import json_text
from provisioner.render.review import PLAIN, Shown

FORMATS = ("text", "json", "markdown", "html", "powershell", "github", "gitlab", "junit", "sarif")
"""What a change set can be rendered as."""


def rendered(format_: str, document: ChangeSetDocument, shown: Shown = PLAIN) -> str:
    """The document in one of FORMATS. JSON holds everything; `shown` says what the formats for people show of it."""
    match format_:
        case "json":
            return json_text(document) + "\n"
        case "text":
            return text.render(document, shown)
        case "markdown":
            return markdown.render(document, shown)
        case "html":
            return html.render(document, shown)
        case "powershell":
            return powershell.render(document)
        case _:
            return str(getattr(reports, format_)(document))
