"""The wording of single mistakes; whole messages are under tests/golden/diagnostics."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required

import pytest
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from provisioner.diagnostics import Diagnostic
from provisioner.plan.mistakes import did_you_mean, mistakes, unknown_word
from provisioner.plan.yaml_nodes import parse


@with_config(ConfigDict(extra="forbid"))
class Body(TypedDict, total=False):
    flag: bool
    text: str
    count: int
    words: list[str]
    by_name: dict[str, int]
    state: Literal["enabled", "disabled", "inherit"]
    size: Literal[1024, 2048]
    grade: Literal["1", "2"]
    needs: Needs
    limit: Annotated[int, Field(ge=0, le=10_000)]


@with_config(ConfigDict(extra="forbid"))
class Needs(TypedDict, total=False):
    whom: Required[Literal["organization", "anyone"]]


def told(text: str) -> Diagnostic:
    """The one mistake in a body that is written in flow style."""
    root = parse(f"body: {{ {text} }}\n".encode(), "plan.yaml").root
    node = root.child("body") if root else None
    assert node is not None
    adapter = TypeAdapter(Body)
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(node.content(), strict=True)
    (found,) = mistakes(raised.value, node, adapter.json_schema(), "body", lambda _: None)
    return found


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("flag: yes", 'flag: expected true or false, found "yes"', "write true"),
        ("flag: Off", 'flag: expected true or false, found "Off"', "write false"),
        ("flag: 1", "flag: expected true or false, found the number 1", "write true"),
        ("flag: 'false'", 'flag: expected true or false, found "false"', "write false, without quotes"),
        ("flag: ~", "flag: expected true or false, found nothing", "write true or false, or leave it out"),
        ("text: 1.50", "text: expected text, found the number 1.50", 'put it in quotes: "1.50"'),
        ("text: True", "text: expected text, found True", 'put it in quotes: "True"'),
        ("text: null", "text: expected text, found nothing", 'write "" for none, or leave it out'),
        ("text: [a]", "text: expected text, found a list", "write text, without brackets or dashes"),
        ("count: '12'", 'count: expected a whole number, found "12"', "write 12, without quotes"),
        ("count: many", 'count: expected a whole number, found "many"', "write a whole number"),
        ("words: a, text: b", 'words: expected a list, found "a"', "write a list: [a]"),
        ("words: '*'", 'words: expected a list, found "*"', 'write a list: ["*"]'),
        ("words: {a: b}", "words: expected a list, found a mapping", "write entries that start with a dash"),
        ("words: [a, 1]", "words: expected text, found the number 1", 'put it in quotes: "1"'),
        ("by_name: [a]", "by_name: expected a mapping, found a list", "write names and colons, without dashes"),
        ("by_name: {a: x}", 'a: expected a whole number, found "x"', "write a whole number"),
        ("limit: 10001", "limit: expected a number from 0 to 10,000, found 10001", "write a number from 0 to 10,000"),
        ("limit: -1", "limit: expected a number from 0 to 10,000, found -1", "write a number from 0 to 10,000"),
        ("grade: 10", "grade: expected 1 or 2, found the number 10", "write one of 1, 2"),
        ("needs: {whom: external}", 'whom: expected organization or anyone, found "external"', "write anyone"),
        ("needs: {}", '"whom" is missing in needs', "write whom: organization or anyone"),
        ("state: on", 'state: expected enabled, disabled or inherit, found "on"', "write enabled"),
        ("state: false", "state: expected enabled, disabled or inherit, found false", "write disabled"),
        (
            "state: inherits",
            'state: expected enabled, disabled or inherit, found "inherits"',
            'did you mean "inherit"?',
        ),
        (
            "state: x",
            'state: expected enabled, disabled or inherit, found "x"',
            "write one of enabled, disabled, inherit",
        ),
        (
            "state: [a]",
            "state: expected enabled, disabled or inherit, found a list",
            "write one of enabled, disabled, inherit",
        ),
        ("size: '2048'", 'size: expected 1024 or 2048, found "2048"', "write 2048, without quotes"),
        ("grade: 1", "grade: expected 1 or 2, found the number 1", 'write "1", in quotes'),
        ("words: 'a, b@c.example'", 'words: expected a list, found "a, b@c.example"', "write a list: [a, b@c.example]"),
        ("words: 'a b, c'", 'words: expected a list, found "a b, c"', 'write a list: ["a b, c"]'),
        (
            "needs: whom:anyone",
            'needs: expected a mapping, found "whom:anyone"',
            "put a space behind the colon: whom: anyone",
        ),
        ("Flag: true", '"Flag" is not a field of body', 'did you mean "flag"?'),
        (
            "zzz: 1",
            '"zzz" is not a field of body',
            "known here: flag, text, count, words, by_name, state, size, grade, needs, limit",
        ),
        ("text: " + "1" * 18, f"text: expected text, found the number {'1' * 18}", f'put it in quotes: "{"1" * 18}"'),
    ],
)
def test_a_mistake_is_told_in_plain_words(text: str, what: str, hint: str) -> None:
    found = told(text)
    assert (found.summary, found.hint) == (what, hint)


def test_a_long_text_is_cut_where_it_is_repeated() -> None:
    assert len(told(f"flag: {'long ' * 50}").summary) < 100


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("mailboxs", "mailboxes"),
        ("SenderIPAddresses", "sender_ip_addresses"),
        ("sender-domains", "sender_domains"),
        ("REQUIRE_TLS", "require_tls"),
        ("teneant", "tenant"),
        ("OrganizationTenant", "tenant"),
        ("colour", None),
        ("", None),
    ],
)
def test_the_word_that_was_meant_is_found(word: str, known: str | None) -> None:
    words = ["mailboxes", "sender_ip_addresses", "sender_domains", "require_tls", "tenant"]
    assert did_you_mean(word, words) == known


def test_without_a_near_word_those_known_are_listed() -> None:
    assert unknown_word("colour", ["a", "b"]) == "known here: a, b"
    assert unknown_word("colour", []) == "take it out"


def test_what_was_complained_about_before_is_not_told_again() -> None:
    parsed = parse(b"body: { flag: !!bool yes, count: x }\n", "plan.yaml")
    assert [d.id for d in parsed.diagnostics] == ["YAML-TAG"]
    assert parsed.root is not None
    node = parsed.root.child("body")
    assert node is not None
    adapter: TypeAdapter[Any] = TypeAdapter(Body)
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(node.content(), strict=True)
    found = list(mistakes(raised.value, node, adapter.json_schema(), "body", lambda _: "an address"))
    assert [(d.summary, d.address) for d in found] == [('count: expected a whole number, found "x"', "an address")]
