"""The review outputs in docs/review are what the renderers make of the change sets beside them."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from provisioner.model import figures

SCRIPT = Path(__file__).parents[2] / "scripts" / "review-outputs"


def test_the_outputs_in_the_docs_are_those_of_their_change_sets() -> None:
    found = runpy.run_path(str(SCRIPT))
    stale = [path.name for path, text in found["outputs"]() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "scripts/review-outputs writes them again; read them"


def test_the_sentence_of_the_small_one_follows_from_its_paths() -> None:
    document = json.loads((SCRIPT.parents[1] / "docs" / "review" / "small.json").read_text(encoding="utf-8"))
    del document["provisioner"]["summary"]
    assert figures.summary(document)["sentence"] == "It admits no new sender, may stop 1 sender and deletes 1 object."
