"""What is written means the same to whoever reads it: the plan's loader (YAML 1.2) and octoDNS's (PyYAML, YAML 1.1)."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.model import yaml_text
from provisioner.plan.yaml_nodes import parse

PACKAGE = Path(yaml_text.__file__).parents[1]
ODD = ["off", "010", "1:30", "0E0", "null", "~", "*x@y.com", "a: b", "- a", "#", "", " x ", "y", "a\nb", "@x", "{", "ü"]


def test_lists_of_plain_values_stand_on_one_line_and_all_else_in_blocks() -> None:
    content = {"sites": {"hq": {"shared": True, "ports": [25, 587], "none": [], "devices": [{"name": "x"}]}}}
    assert yaml_text.write(content) == (
        "sites:\n  hq:\n    shared: true\n    ports: [25, 587]\n    none: []\n    devices:\n      - name: x\n"
    )


def test_plain_words_have_no_quotes_for_readers_of_yaml_1_1_and_all_else_has() -> None:
    content = {"": {"type": "MX", "value": "off", "values": ["x.com."]}}
    assert yaml_text.write(content, quoted=True, start=True) == (
        '---\n"":\n  type: MX\n  value: "off"\n  values: ["x.com."]\n'
    )


@pytest.mark.parametrize("text", ODD)
def test_an_odd_text_is_the_same_text_to_the_plan_and_to_pyyaml(text: str) -> None:
    content = {"a": {text or "empty": text, "list": [text]}}
    found = parse(yaml_text.write(content).encode(), "plan.yaml")
    assert found.root is not None
    assert (found.root.content(), list(found.diagnostics)) == (content, [])
    assert yaml.safe_load(yaml_text.write(content, quoted=True)) == content


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.booleans(), st.integers(), st.lists(st.text()))))
def test_pyyaml_reads_what_is_written(content: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text.write({"all": content}, quoted=True)) == {"all": content}


def test_nothing_else_in_the_package_writes_yaml() -> None:
    """By a library, or by hand: a text with a key, a line end and an indented line."""
    by_hand = re.compile(r"^[\w{}\"]+:\n {2,}\S", re.MULTILINE)
    found = []
    for path in PACKAGE.rglob("*.py"):
        name, tree = str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        documented = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        texts = [n for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        if any(by_hand.search(str(t.value)) for t in texts if id(t) not in documented):
            found.append(f"{name}: a text")
        imported = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
        called = {n.attr for n in nodes if isinstance(n, ast.Attribute)} & {"safe_dump", "dump_all"}
        # export reads a file that is there, and keeps ruamel's own mappings in it
        ruamel = any(m.startswith("ruamel") for m in imported) and name not in {"model/yaml_text.py", "plan/export.py"}
        found += [f"{name}: a library"] if called or ruamel else []
    assert found == []
