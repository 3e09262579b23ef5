"""A change set as one HTML file that a reviewer opens: nothing is fetched, and it reads without scripts too.

Every change is a `<details>` element, dangers first; a small script filters by type, action and words. The content
security policy lets run that one script, named by its hash, and nothing that a name in the tenant might smuggle in.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from provisioner.model.document import ChangeDocument, ChangeSetDocument, FindingDocument
from provisioner.render.changes import action as action_of
from provisioner.render.changes import conclusion, dangers, in_unicode, limit, remark, step_line, unmanaged, worst_first
from provisioner.render.pages import page, source

_VERBS = {"delete": "destroy", "update": "change", "create": "add"}


def render(document: ChangeSetDocument) -> str:
    """The whole page."""
    changes = worst_first(document)
    script = source("plan.js")
    # What the browser hashes is the element's text: it begins with the line end behind its tag.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return page(
        "plan.html.jinja",
        document=document,
        ours=document["provisioner"],
        changes=changes,
        counts=Counter(map(action_of, changes)),
        verbs=_VERBS,
        conclusion=conclusion(document),
        limit=limit(document),
        unmanaged=unmanaged(document),
        findings=_ranked(document["provisioner"]["findings"]),
        filters=_filters(changes),
        action_of=action_of,
        dangers_of=dangers,
        in_unicode=in_unicode,
        remark=remark,
        step_line=step_line,
        style=source("plan.css"),
        script=script,
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'",
    )


def _ranked(findings: Iterable[FindingDocument]) -> list[FindingDocument]:
    """What stops apply first, what is waived last."""
    return sorted(findings, key=lambda f: (bool(f["waived"]), not f["blocks"], f["severity"], f["rule"]))


def _filters(changes: Sequence[ChangeDocument]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The names of the filters, each with its values and how many changes have them."""
    values = (("action", map(action_of, changes)), ("type", (c["type"] for c in changes)))
    return [(name, sorted(Counter(found).items())) for name, found in values]
