"""The one layout of plan files: what it settles, what it keeps, and that no file means something else afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.diagnostics import InputError
from provisioner.model import yaml_text
from provisioner.plan.formatting import formatted
from provisioner.plan.yaml_nodes import parse

ROOT = Path(__file__).parents[2]

MESSY = """

# head
provisioner:   1
tenant :  contoso.com   # aligned


inbound_connectors:
     # about a
     a:    {type: on_premises , sender_ip_addresses: [ 192.0.2.1,192.0.2.2 ],  comment: "x:  y"}
     # end of section
# next
dkim:
    contoso.com:
        enabled: true
        # tail inside
    # tail of section
absent:
- inbound_connector/a   # first
-   inbound_connector/b
# between
-  inbound_connector/c
allow:
-   rule: X
    reason: >-
        folded
          more

        last
- {rule: Y,
   reason: "multi
   line"
  }
protect: [
 a,
    b,   # in flow
  # own line
]
variables:
  x:
    default: plain
      goes on
# the end"""

NEAT = """\
# head
provisioner:   1
tenant:  contoso.com    # aligned

inbound_connectors:
  # about a
  a:    { type: on_premises, sender_ip_addresses: [192.0.2.1, 192.0.2.2],  comment: "x:  y" }
  # end of section
# next
dkim:
  contoso.com:
    enabled: true
    # tail inside
  # tail of section
absent:
  - inbound_connector/a   # first
  - inbound_connector/b
  # between
  - inbound_connector/c
allow:
  - rule: X
    reason: >-
      folded
        more

      last
  - { rule: Y,
    reason: "multi
    line"
  }
protect: [
  a,
  b,   # in flow
  # own line
]
variables:
  x:
    default: plain
      goes on
# the end
"""


def test_spaces_are_settled_and_everything_else_is_kept() -> None:
    assert formatted(MESSY.encode(), "plan.yaml") == NEAT


@pytest.mark.parametrize(
    ("written", "neat"),
    [
        ("a: {b: 1}\r\nb: []\r\n", "a: { b: 1 }\r\nb: []\r\n"),
        ("a:\n  - - 1\n    - 2\n  -\n    b: 1", "a:\n  - - 1\n    - 2\n  -\n    b: 1\n"),
        ("a:\n   b\nc:\n   [1,\n 2]\n", "a:\n  b\nc:\n  [1,\n  2]\n"),
        ("a: # why\n    b: 1 # w\n    cc:   2 # w2\n", "a: # why\n  b: 1 # w\n  cc:   2 # w2\n"),
        ("a: |\n\n   x\n     y\n\n\nb: 1\n", "a: |\n\n  x\n    y\n\nb: 1\n"),
        ("a: {b: c,}\nd: [x: y]\n", "a: { b: c, }\nd: [x: y]\n"),
        ('a: "\\\n  c"\n---\n'.removesuffix("---\n"), 'a: "\\\n  c"\n'),
        ("a:\n  - 1   \n\n\n\n", "a:\n  - 1\n"),
    ],
)
def test_each_form_of_yaml_has_one_layout(written: str, neat: str) -> None:
    assert formatted(written.encode(), "plan.yaml") == neat
    assert formatted(neat.encode(), "plan.yaml") == neat


@pytest.mark.parametrize("text", ["a: |2\n    x\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n"])
def test_what_cannot_be_moved_without_its_meaning_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="left as it is"):
        formatted(text.encode(), "plan.yaml")


def test_a_file_with_mistakes_is_refused_with_them() -> None:
    with pytest.raises(InputError) as refused:
        formatted(b"a: [\n", "plan.yaml")
    assert refused.value.found[0].id == "YAML-SYNTAX"


def plans() -> Iterator[str]:
    """Every plan that the project and the cases hold, in files and in pages."""
    for folder in (ROOT / "plans", ROOT / "tests", ROOT.parent / "shared" / "cases"):
        for path in folder.rglob("*.y*ml"):
            if "rows" not in path.parts:  # facts and recordings are not plans
                yield path.read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        yield from re.findall(r"(?ms)^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"))
    for path in (ROOT / "tests").rglob("test_*.py"):
        for text in re.findall(r'(?s)"""\\?\n?(.*?)"""', path.read_text(encoding="utf-8")):
            if text.lstrip().startswith("provisioner:"):
                yield text


def test_every_plan_means_the_same_and_is_settled_at_once() -> None:
    seen = 0
    for text in plans():
        before = parse(text.encode(), "plan.yaml")
        if before.root is None or before.diagnostics:
            continue
        seen += 1
        neat = formatted(text.encode(), "plan.yaml")
        after = parse(neat.encode(), "plan.yaml").root
        assert after is not None
        assert list(_values(after)) == list(_values(before.root)), text
        assert formatted(neat.encode(), "plan.yaml") == neat
    assert seen > 80


def _values(node: object) -> Iterator[object]:
    children = getattr(node, "children", None)
    if isinstance(children, dict):
        for name, child in children.items():
            yield name
            yield from _values(child)
    elif children is not None:
        for child in children:
            yield from _values(child)
    else:
        yield getattr(node, "value", None)


def test_what_the_writer_of_yaml_writes_is_in_the_layout() -> None:
    written = yaml_text.write({"a": {"b": ["x", 1], "c": "010"}, "d": {"e": True, "f": "a: b"}})
    assert formatted(written.encode(), "plan.yaml") == written
