"""Every format of a change set by its name. What makes a format is loaded when it is asked for: most plans are text."""

from __future__ import annotations

from provisioner.model.document import ChangeSetDocument
from provisioner.render import text
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
            from provisioner.render import markdown

            return markdown.render(document, shown)
        case "html":
            from provisioner.render import html

            return html.render(document, shown)
        case "powershell":
            from provisioner.render import powershell

            return powershell.render(document)
        case _:
            from provisioner.render import reports

            return str(getattr(reports, format_)(document))
