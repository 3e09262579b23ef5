"""The picture of the sending paths: one graph, drawn in three ways, and no name becomes markup in any."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from provisioner.changes import changeset
from provisioner.model import ChangeSet, figures
from provisioner.model.document import ChangeSetDocument
from provisioner.model.paths import SendingPath
from provisioner.render.graph import FORMATS, HELD, KEPT, dot, drawn, graph, mermaid, svg
from tests.render.documents import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"
RELAY = 'inbound_connector["hq"]'


def path(sender: str, state: str, **rest: object) -> SendingPath:
    facts = {"kind": "network", "through": RELAY, "ways": ("anonymous",), "recipients": "anyone", **rest}
    return SendingPath(sender=sender, state=state, **facts)  # type: ignore[arg-type]


def document(*paths: SendingPath) -> ChangeSetDocument:
    found = changeset.to_document(ChangeSet("t", "id", "us", (), paths=paths))
    for one in found["provisioner"]["paths"]:
        for device in one["devices"]:
            device["site"] = "hq"
    return found


ALL = document(
    path("192.0.2.1/32", "opens"),
    path("192.0.2.2/32", "closes"),
    path("192.0.2.3/32", "closes", held_back=True),
    path("192.0.2.4/32", "kept", devices=("mfp",)),
    path("lost", "missing", kind="device", through="", ways=(), devices=("lost",)),
)


def test_what_opens_closes_stays_and_is_held_back_is_told_apart() -> None:
    found = graph(ALL)
    states = {edge.begin.title: edge.state for edge in found.edges if edge.end.title == "hq"}
    assert states == {"192.0.2.1": "opens", "192.0.2.2": "closes", "192.0.2.3": HELD, "mfp": KEPT}
    assert [n.title for n in found.nodes if n.column == 0] == ["hq"]
    assert {n.title for n in found.nodes if n.state == "missing"} == {"lost"}
    assert {e.state for e in found.edges if e.begin.title == "hq" and e.begin.column == 2} == {KEPT}


@pytest.mark.parametrize(
    ("through", "switch"),
    [
        ('smtp_auth["organization"]', "organization"),
        ('smtp_auth["alias@contoso.com"]', "mailbox"),
        ('mailbox_selection["organization"]', "mailbox"),
    ],
)
def test_a_switch_is_that_of_the_object_that_is_set(through: str, switch: str) -> None:
    found = graph(document(path("erp@contoso.com", "opens", kind="mailbox", through=through, ways=("password",))))
    assert [n.title for n in found.nodes if n.column == 2] == [f"SMTP AUTH of the {switch}"]


def test_mermaid_colours_each_line_by_its_state() -> None:
    lines = mermaid(graph(ALL)).splitlines()
    drawn_edges = [line for line in lines if re.search(r"n\d+ -\.?->?", line)]
    for state, colour, arrow in (
        ("opens", "#1a7f37", "-->"),
        ("closes", "#cf222e", "-->"),
        ("closes last", "#cf222e", "-.->"),
    ):
        number = next(n for n, line in enumerate(drawn_edges) if f"{arrow}|{state}|" in line)
        assert f"  linkStyle {number} stroke:{colour},stroke-width:3px" in lines


def test_dot_and_svg_say_the_same() -> None:
    text = dot(graph(ALL))
    assert text.count("style=dashed") == 1
    assert text.count("#1a7f37") == 1
    root = ET.fromstring(svg(graph(ALL)))
    drawn_lines = [p.get("class") for p in root.iter(f"{SVG}path") if p.find(f"{SVG}title") is not None]
    assert sorted(filter(None, drawn_lines)) == ["closes", "held", "kept", "kept", "kept", "kept", "opens"]
    legend = [t.text for t in root.iter(f"{SVG}text")][-4:]
    assert legend == ["stays", "opens", "closes", "closes last: held back until what opens is in force"]


def test_a_crowd_is_one_box_with_its_number() -> None:
    found = graph(document(*(path(f"192.0.2.{n}/32", "opens") for n in range(1, 9))))
    assert [n.title for n in found.nodes if n.column == 1] == ["8 networks"]


def test_without_paths_there_is_nothing_to_draw() -> None:
    assert svg(graph(document())) == ""
    assert mermaid(graph(document())) == "flowchart LR\n"


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "name", [*HOSTILE, 'x"];click n0 href "javascript:alert(1)"', "\\N\\", "&quot;&#34;", "%%{init:{}}%%"]
)
def test_no_name_becomes_markup(format_: str, name: str) -> None:
    through = f'inbound_connector["{name}"]'
    text = drawn(
        format_, document(path(name, "opens", through=through), path("1", "kept", devices=(name,), through=through))
    )
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)
    if format_ == "svg":
        tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
        assert tags <= {"svg", "style", "g", "title", "rect", "text", "path"}
    elif format_ == "mermaid":
        harmless = re.compile(
            r'flowchart LR|  n\d+\["[^"<>`]*(?:<br>[^"<>`]*)?"\]|  n\d+ -\.?->(?:\|[a-z ]+\|)? n\d+'
            r"|  linkStyle \d+ \S+|  style n\d+ \S+"
        )
        assert all(harmless.fullmatch(line) for line in text.splitlines()), text
    else:
        label = r'"(?:[^"\\]|\\.)*"'
        harmless = re.compile(
            rf'digraph sending_paths {{|  rankdir=LR;|  node .*|}}|  n\d+ \[label={label}(?:, color="#\w+")?\];'
            r"|  { rank=same; [n\d; ]+}"
            r'|  n\d+ -> n\d+ \[color="#\w+"(?:, style=dashed)?(?:, penwidth=2)?\];'
        )
        assert all(harmless.fullmatch(line) for line in text.splitlines()), text


def test_the_figures_and_the_picture_rest_on_the_same_paths() -> None:
    assert [p["sender"] for p in ALL["provisioner"]["paths"]] == [
        "192.0.2.1/32",
        "192.0.2.2/32",
        "192.0.2.3/32",
        "192.0.2.4/32",
        "lost",
    ]
    assert figures.summary(ALL)["admits"] == 0, "no sender of these gains or loses a way"
