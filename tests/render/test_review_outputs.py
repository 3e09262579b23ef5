"""The review outputs in docs/review are what the renderers make of the change sets beside them."""

from __future__ import annotations

import json
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from provisioner.model import figures
from provisioner.render import text
from provisioner.render.review import Shown

SCRIPT = Path(__file__).parents[2] / "scripts" / "review-outputs"


def test_the_outputs_in_the_docs_are_those_of_their_change_sets() -> None:
    found = runpy.run_path(str(SCRIPT))
    stale = [path.name for path, text in found["outputs"]() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "scripts/review-outputs writes them again; read them"


def test_the_pictures_of_a_terminal_are_those_of_the_same_change_sets() -> None:
    """Of `show`, whose text needs no process; the others are drawn by the same code."""
    drawn = runpy.run_path(str(SCRIPT.with_name("terminal")))
    for name in ("terminal-plan", "terminal-concise"):
        _, file, *options = drawn["ALONE"][name]
        document = json.loads((SCRIPT.parents[1] / file).read_text(encoding="utf-8"))
        shown = Shown(color=True, width=drawn["COLUMNS"], concise="--concise" in options)
        picture = drawn["svg"](text.render(document, shown), " ".join(("provisioner", "show", file, *options)))
        assert (drawn["PICTURES"] / f"{name}.svg").read_text(encoding="utf-8") == picture, "scripts/terminal"


def test_every_picture_of_a_terminal_is_drawn_and_shown_in_the_gallery() -> None:
    drawn = runpy.run_path(str(SCRIPT.with_name("terminal")))
    gallery = (SCRIPT.parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in (*drawn["ALONE"], *drawn["ON_SANDBOX"]):
        picture = (drawn["PICTURES"] / f"{name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert f"pictures/{name}.svg" in gallery


def test_the_sentence_of_the_small_one_follows_from_its_paths() -> None:
    document = json.loads((SCRIPT.parents[1] / "docs" / "review" / "small.json").read_text(encoding="utf-8"))
    del document["provisioner"]["summary"]
    assert figures.summary(document)["sentence"] == "It admits no new sender, may stop 1 sender and deletes 1 object."
