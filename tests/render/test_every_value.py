"""What will be written is shown: every value that a step sends, in every output, for every type."""

from __future__ import annotations

import html as escaping
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from provisioner.changes import changeset
from provisioner.model.document import ChangeSetDocument
from provisioner.render import html, markdown, text
from provisioner.render.escape import visible
from tests.changes.every_type import CHANGING, change_sets
from tests.generated import share

Case = tuple[str, ChangeSetDocument]
OUTPUTS: dict[str, Callable[[ChangeSetDocument], str]] = {
    "text": text.render,
    "markdown": markdown.render,
    "html": lambda document: escaping.unescape(html.render(document)),
    "json": lambda document: json.dumps(document, ensure_ascii=False),
}


def documents() -> list[Case]:
    """Types by name, and change sets of each."""
    return [(kind.name, changeset.to_document(found)) for kind, found in change_sets(seed=5)]


def one_each() -> list[Case]:
    """One change set of each type and action."""
    return list({(n, d["resource_changes"][0]["change"]["actions"][0]): (n, d) for n, d in documents()}.values())


def sent(document: ChangeSetDocument) -> Iterator[tuple[str, str, Any]]:
    """Every value of every step: cmdlet, parameter, value; and the DNS records that are waited for."""
    for change in document["resource_changes"]:
        for step in change["provisioner"]["steps"]:
            if "await" in step:
                yield from (("wait", record["name"], record["type"]) for record in step["await"])
            elif "send" in step and "update" in step["send"]:
                yield from (
                    ("update", step["send"]["update"], v) for v in (*step["send"]["add"], *step["send"]["remove"])
                )
            elif "send" in step and "cmdlet" in step["send"]:
                yield from ((step["send"]["cmdlet"], n, v) for n, v in step["send"]["parameters"].items())


def in_words(value: Any) -> Any:
    """A value as people read it: without the marks of JSON for what is known only when it is sent."""
    match value:
        case {"$secret": reference}:
            return f"(the secret {reference})"
        case {"$ref": {"property": name}}:
            return f"(known after creation: {name})"
        case {"$delta": sides}:
            return {side: entries for side, entries in sides.items() if entries}
    return value


def test_there_are_changes_of_every_type() -> None:
    assert {name for name, _ in one_each()} == {kind.name for kind in CHANGING}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_shows_every_value_that_is_sent(output: str) -> None:
    for _, document in (*one_each(), *share(documents())):
        shown, values = OUTPUTS[output](document), list(sent(document))
        assert values
        for cmdlet, name, value in values:
            if cmdlet == "wait":
                assert f"{name} {value}" in shown or output == "json"
                continue
            form = json.dumps(value if output == "json" else in_words(value), ensure_ascii=False)
            if cmdlet == "update":
                shape = form if output in {"html", "json"} else visible(form)
                assert shape in shown
                continue
            assert cmdlet in shown
            assert f'"{name}": {form if output in {"html", "json"} else visible(form)}' in shown
