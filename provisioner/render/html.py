"""A change set as one HTML file that a reviewer opens: nothing is fetched, and it reads without scripts too.

Every change is a `<details>` element, dangers first, by site, device and type; a small script filters by type, action
and words, and copies commands and DNS records. The content
security policy lets run that one script, named by its hash, and nothing that a name in the tenant might smuggle in.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provisioner.model import consequence, figures
from provisioner.model.document import ChangeDocument, ChangeSetDocument
from provisioner.render import graph, review
from provisioner.render.changes import action as action_of
from provisioner.render.changes import (
    conclusion,
    dangers,
    drifted,
    in_unicode,
    limit,
    record_value,
    remark,
    step_line,
    unmanaged,
    worst_first,
)
from provisioner.render.pages import drawing, page, source
from provisioner.render.review import PLAIN, Shown

if TYPE_CHECKING:
    from markupsafe import Markup

_VERBS = {"delete": "destroy", "update": "change", "create": "add"}


def render(document: ChangeSetDocument, shown: Shown = PLAIN) -> str:
    """The whole page."""
    changes = worst_first(document)
    script = source("plan.js")
    # What the browser hashes is the element's text: it begins with the line end behind its tag.
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    news, known = review.news(document)
    waived = [f for f in review.ranked(document["provisioner"]["findings"]) if f["waived"]]
    return page(
        "plan.html.jinja",
        document=document,
        ours=document["provisioner"],
        where=review.where(document, shown.profile)[1:],
        summary=figures.summary(document),
        changes=changes,
        groups=review.groups(document),
        counts=Counter(map(action_of, changes)),
        verbs=_VERBS,
        conclusion=conclusion(document),
        limit=limit(document),
        unmanaged=unmanaged(document),
        tasks=review.tasks(document),
        picture=_picture(document),
        paths=review.paths_of(document),
        stopping=[f for f in news if f["blocks"]],
        news=[f for f in news if not f["blocks"]],
        folded=(("about what stays as it is", known), ("allowed", waived)),
        filters=_filters(changes),
        command=review.apply_command(document, shown),
        action_of=action_of,
        affected=review.affected,
        danger_class=lambda word: "widens" if word == consequence.WIDENS else "delete",
        dangers_of=dangers,
        drift=document.get("resource_drift", ()),
        drifted=drifted,
        in_unicode=in_unicode,
        record_value=record_value,
        remark=remark,
        rule_page=lambda rule: review.rule_page(rule, shown.rules),
        step_line=step_line,
        telling=review.telling,
        style=source("base.css") + source("plan.css"),
        script=script,
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'",
    )


def _picture(document: ChangeSetDocument) -> Markup:
    """The sending paths as inline SVG, in which every name was escaped; nothing where none changes or is used."""
    drawn = graph.svg(graph.graph(document)) if document["provisioner"].get("paths") else ""
    return drawing(drawn)


def _filters(changes: Sequence[ChangeDocument]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The names of the filters, each with its values and how many changes have them."""
    values = (("action", map(action_of, changes)), ("type", (c["type"] for c in changes)))
    return [(name, sorted(Counter(found).items())) for name, found in values]
