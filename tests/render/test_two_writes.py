"""A change that opens and closes is shown with both of its writes, in every output."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import pytest

from provisioner.changes import changeset, planning
from provisioner.model import Address, Desired, Observed, Present, Resource
from provisioner.model.document import ChangeSetDocument
from provisioner.render.formats import rendered
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector

ADDRESS = Address("inbound_connector", "hq")


def document(before: set[str], after: set[str]) -> ChangeSetDocument:
    def relay(addresses: set[str]) -> InboundConnector:
        return InboundConnector("hq", type="on_premises", enabled=True, sender_ip_addresses=frozenset(addresses))

    wanted = {ADDRESS: Resource(ADDRESS, relay(after))}
    observed = Observed({ADDRESS: Present(relay(before))})
    return changeset.to_document(planning.plan(Desired("x.onmicrosoft.com", "", wanted), observed, TYPES))


MOVE = document({"52.202.8.1/32"}, {"52.202.8.2/32"})
FIRST = 'sender_ip_addresses = ["52.202.8.1/32", "52.202.8.2/32"]'


@pytest.mark.parametrize(
    ("format_", "words"),
    [
        ("text", f"    is sent in two writes; first, until the tenant shows it:\n      {FIRST}\n"),
        ("powershell", f"# In two writes; first, until the tenant shows it: {FIRST}\n"),
    ],
)
def test_an_output_shows_the_first_write(format_: str, words: str) -> None:
    assert words in rendered(format_, MOVE)


def test_markdown_and_html_show_the_first_write() -> None:
    markdown = unescape(rendered("markdown", MOVE))
    assert f"Sent in two writes; first, until the tenant shows it: <code>{FIRST}</code>\n" in markdown
    html = rendered("html", MOVE)
    places = [html.index(part) for part in ("Set-InboundConnector", "read back until it shows", "what follows closes")]
    assert places == sorted(places)


def test_json_has_both_writes_and_the_look_between_them() -> None:
    found: Any = json.loads(rendered("json", MOVE))
    steps = found["resource_changes"][0]["provisioner"]["steps"]
    assert [next(iter(step)) for step in steps] == ["send", "confirm", "send"]
    assert steps[1]["confirm"] == {"sender_ip_addresses": ["52.202.8.1/32", "52.202.8.2/32"]}
    back = found["resource_changes"][0]["provisioner"]["inverse"]
    assert [next(iter(step)) for step in back] == ["send", "confirm", "send"]


def test_of_a_long_list_the_number_of_entries_is_shown() -> None:
    many = document({f"52.202.8.{n}/32" for n in range(5)}, {f"52.202.9.{n}/32" for n in range(5)})
    assert "      sender_ip_addresses = 10 entries\n" in rendered("text", many)


def test_a_change_that_only_opens_is_sent_in_one_write() -> None:
    opens = document({"52.202.8.1/32"}, {"52.202.8.1/32", "52.202.8.2/32"})
    for format_ in ("text", "markdown", "powershell"):
        assert "two writes" not in rendered(format_, opens)
