"""What is written means the same to whoever reads it: the plan's loader (YAML 1.2) and octoDNS's (PyYAML, YAML 1.1)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.model import yaml_text
from provisioner.plan.yaml_nodes import parse

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
