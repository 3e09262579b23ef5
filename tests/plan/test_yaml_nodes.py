from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.plan import yaml_nodes
from provisioner.plan.yaml_nodes import DEEPEST, Node, parse, resolve
from tests.clocks import costs


def read(text: str) -> Any:
    parsed = parse(text.encode(), "plan.yaml")
    assert parsed.diagnostics == ()
    assert parsed.root is not None
    return parsed.root.content()


def ids(text: str | bytes) -> list[str]:
    return [d.id for d in parse(text.encode() if isinstance(text, str) else text, "plan.yaml").diagnostics]


def root(text: str) -> Node:
    found = parse(text.encode(), "plan.yaml").root
    assert found is not None
    return found


def place(node: Node | None) -> tuple[int, int, int]:
    assert node is not None
    return node.line, node.column, node.length


@pytest.mark.parametrize(
    "word", ["off", "no", "on", "yes", "y", "n", "1:30", "010", "2027-03-31", "0x", "1_000", "1.2.3", "=", "-", "tRUE"]
)
def test_words_that_older_yaml_bends_stay_words(word: str) -> None:
    assert resolve(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("null", None),
        ("0", 0),
        ("-12", -12),
        ("0o17", 15),
        ("0xff", 255),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1" * 18, int("1" * 18)),
        ("1" * 19, "1" * 19),
    ],
)
def test_the_core_schema_of_yaml_1_2_decides_what_a_scalar_is(text: str, value: object) -> None:
    assert (type(resolve(text)), resolve(text)) == (type(value), value)


def test_quotes_and_blocks_make_text() -> None:
    assert read("a: 'true'\nb: \"12\"\nc: |\n  null\nd: >-\n  1\n") == {"a": "true", "b": "12", "c": "null\n", "d": "1"}


def test_every_key_and_value_knows_its_place() -> None:
    tree = root("a:\n  bé: [x, '😀', yes]\nb: { c: d }\n")
    assert place(tree.find(("a", "bé"))) == (2, 7, 1)
    assert place(tree.find(("a", "bé", 0))) == (2, 8, 1)
    assert place(tree.find(("a", "bé", 1))) == (2, 11, 3)
    assert place(tree.find(("a", "bé", 2))) == (2, 16, 3)
    found = tree.find(("a", "bé"))
    assert found is not None
    assert place(found.head) == (2, 3, 2)
    assert place(tree.find(("b", "c"))) == (3, 9, 1)
    assert tree.find(("b", "nothing", "below")) is None
    assert tree.find(("a", "bé", 3)) is None


def test_a_byte_order_mark_and_windows_line_ends_move_no_place() -> None:
    tree = root("\ufeffa: 1\r\nb: 2\r\n")
    assert place(tree.find(("a",))) == (1, 4, 1)
    assert place(tree.find(("b",))) == (2, 4, 1)


@pytest.mark.parametrize(
    ("text", "identifier", "line", "column"),
    [
        ("a:\n\tb: 1\n", "YAML-SYNTAX", 2, 1),
        ("a: 1\nb: 'c\n", "YAML-SYNTAX", 2, 4),
        ("a: [b, c\nd: e\n", "YAML-SYNTAX", 1, 4),
        ("a: *.contoso.com\n", "YAML-SYNTAX", 1, 4),
        ("a: b: c\n", "YAML-SYNTAX", 1, 5),
        ("a: 1\nb: 2\na: 3\n", "YAML-DUPLICATE-KEY", 3, 1),
        ("- a\n", "YAML-NOT-MAPPING", 1, 1),
        ("word\n", "YAML-NOT-MAPPING", 1, 1),
        ("", "YAML-EMPTY", 1, 1),
        ("# only a comment\n", "YAML-EMPTY", 1, 1),
        ("---\n...\n", "YAML-EMPTY", 1, 1),
        ("{}\n", "YAML-EMPTY", 1, 1),
        ("a: &x 1\n", "YAML-ALIAS", 1, 4),
        ("a: [*x]\n", "YAML-ALIAS", 1, 5),
        ("a:\n  <<: {b: 1}\n", "YAML-MERGE-KEY", 2, 3),
        ("a: !!str 1\n", "YAML-TAG", 1, 4),
        ("a: !foo!bar 1\n", "YAML-TAG", 1, 4),
        ("a: 1\n---\nb: 2\n", "YAML-MULTIPLE-DOCUMENTS", 2, 1),
        ("a: " + "[" * 2 * DEEPEST, "YAML-TOO-DEEP", 1, DEEPEST + 3),
        ("12: a\n", "KEY-NOT-TEXT", 1, 1),
        ("[a]: b\n", "KEY-NOT-TEXT", 1, 1),
        ("a: b\u202ec\n", "YAML-CONTROL-CHARACTER", 1, 5),
        ("a: b\nc: \x07\n", "YAML-CONTROL-CHARACTER", 2, 4),
        (b"a: \xfc\n", "YAML-ENCODING", 1, 4),
        (b"a: 1\n\x00", "YAML-ENCODING", 2, 1),
        ("a: 1\n".encode("utf-16"), "YAML-ENCODING", 1, 1),
    ],
)
def test_what_is_no_plan_is_told_with_its_place(text: str | bytes, identifier: str, line: int, column: int) -> None:
    found = parse(text.encode() if isinstance(text, str) else text, "plan.yaml").diagnostics
    assert [d.id for d in found] == [identifier]
    at = found[0].location
    assert at is not None
    assert (at.file, at.line, at.column) == ("plan.yaml", line, column)
    assert found[0].summary
    assert found[0].hint


def test_a_quoted_merge_sign_is_a_key_like_any_other() -> None:
    assert read('"<<": 1\n') == {"<<": 1}


def test_both_places_of_a_duplicate_key_are_named_and_the_first_counts() -> None:
    parsed = parse(b"a: 1\nb: { c: 1, c: 2 }\n", "plan.yaml")
    (found,) = parsed.diagnostics
    assert str(found.location) == "plan.yaml:2:12"
    assert [str(place) for place, _ in found.related] == ["plan.yaml:2:6"]
    assert parsed.root is not None
    assert parsed.root.content() == {"a": 1, "b": {"c": 1}}


def test_an_alias_is_one_mistake_with_its_anchor() -> None:
    assert ids("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n") == ["YAML-ALIAS", "YAML-MERGE-KEY"]


def test_lines_with_tabs_are_told_together() -> None:
    (found,) = parse(b"a:\n\tb: 1\n\tc: 2\nd:\n  e:\n  \tf: 1\n", "plan.yaml").diagnostics
    assert "so do lines 3, 6" in found.summary


@pytest.mark.parametrize(
    ("text", "content"),
    [("a: 1\nb: 2\nc: [\n", {"a": 1, "b": 2}), ("a: 1\nb:\n  c: 1\n d: 2\n", {"a": 1}), ("a: 'x\nb: 1\n", {})],
)
def test_what_surely_ends_before_a_syntax_error_can_still_be_judged(text: str, content: object) -> None:
    parsed = parse(text.encode(), "plan.yaml")
    assert not parsed.complete
    assert parsed.root is not None
    assert parsed.root.content() == content


def test_a_bomb_of_aliases_costs_nothing() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    with costs(at_most_s=1):
        assert set(ids(bomb)) == {"YAML-ALIAS"}


def test_depth_is_refused_before_the_parser_has_seen_it_all() -> None:
    with costs(at_most_s=1):
        assert ids("a: " + "[" * 200_000) == ["YAML-TOO-DEEP"]


def test_values_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "MOST_VALUES", 100)
    assert ids("a: [" + "b," * 97 + "]") == []  # with "a", the list and the mapping: 100
    assert ids("a: [" + "b," * 98 + "]") == ["YAML-TOO-LARGE"]


@given(st.text(alphabet=st.sampled_from("ab: -\n\t[]{}\"'#&*!|>%@`?,<~01\\\u202e\x00é")))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    parsed = parse(text.encode(), "plan.yaml")
    assert parsed.diagnostics or parsed.root is not None


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_raise(content: bytes) -> None:
    parsed = parse(content, "plan.yaml")
    assert parsed.diagnostics or parsed.root is not None


_KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1).filter(
    lambda k: k != "<<"
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=3))
def test_json_is_read_as_what_it_says(content: dict[str, Any]) -> None:
    assert read(json.dumps(content, ensure_ascii=False, indent=1)) == content


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("a:\n\tb: 1\n", "YAML-SYNTAX"),
        ("a: [b, c\nd: e\n", "YAML-SYNTAX"),
        ("a: *.contoso.com\n", "YAML-SYNTAX"),
        ("a: b: c\n", "YAML-SYNTAX"),
        ("a: 1\na: 3\n", "YAML-DUPLICATE-KEY"),
        ("a: !foo!bar 1\n", "YAML-TAG"),
        ("a: &x 1\n", "YAML-ALIAS"),
    ],
)
def test_without_libyaml_the_same_is_found(text: str, identifier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_libyaml = parse(text.encode(), "plan.yaml").diagnostics
    monkeypatch.setattr(yaml_nodes, "LOADER", yaml.SafeLoader)
    without = parse(text.encode(), "plan.yaml").diagnostics
    assert [d.id for d in without] == [identifier]
    assert [(d.location, d.summary, d.hint) for d in without] == [(d.location, d.summary, d.hint) for d in with_libyaml]
