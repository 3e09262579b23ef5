"""The smallest edit of a YAML text: what changes, and that nothing else does to the character."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.model import yaml_text
from provisioner.plan.editing import edited, plain

TEXT = """\
# header comment
provisioner: 1
tenant:   contoso.onmicrosoft.com   # t
owner: mail/prod

inbound_connectors:
    hq: { type: on_premises, sender_ip_addresses: [ 52.202.8.242 ], sender_domains: [ '*' ] }   # hq

    # two
    two:
        # inner
        type: "partner"    # eol
        sender_domains:
        - a.com   # a
        - b.com
smtp_auth:
    mailboxes: { erp@contoso.com:    enabled }
    # end of mailboxes
# end
"""


def changed(change: Callable[[Any], Any], text: str = TEXT) -> list[str]:
    """The lines that go and come when what a text means is changed so."""
    wanted = copy.deepcopy(plain(yaml_text.round_trip().load(text)))
    change(wanted)
    new = edited(text, wanted)
    assert new is not None
    assert plain(yaml_text.round_trip().load(new)) == wanted
    lines = difflib.ndiff(text.splitlines(), new.splitlines())
    return [line for line in lines if line[0] in "+-"]


FIRST = "    hq: { type: on_premises, sender_ip_addresses: [ 52.202.8.242 ], sender_domains: [ '*' ] }   # hq"


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda d: None, []),
        (
            lambda d: d["inbound_connectors"]["hq"]["sender_ip_addresses"].append("192.0.2.1"),
            [f"- {FIRST}", f"+ {FIRST.replace('242 ]', '242, 192.0.2.1 ]')}"],
        ),
        (
            lambda d: d["inbound_connectors"]["hq"].pop("type"),
            [f"- {FIRST}", f"+ {FIRST.replace('type: on_premises, ', '')}"],
        ),
        (
            lambda d: d["inbound_connectors"]["hq"].pop("sender_domains"),
            [f"- {FIRST}", f"+ {FIRST.replace(chr(44) + ' sender_domains: [ ' + chr(39) + '*' + chr(39) + ' ]', '')}"],
        ),
        (
            lambda d: d["inbound_connectors"]["two"].update(type="on_premises"),
            ['-         type: "partner"    # eol', '+         type: "on_premises"    # eol'],
        ),
        (lambda d: d["inbound_connectors"]["two"]["sender_domains"].insert(0, "c.com"), ["+         - c.com"]),
        (lambda d: d["inbound_connectors"]["two"]["sender_domains"].append("c.com"), ["+         - c.com"]),
        (lambda d: d["inbound_connectors"]["two"]["sender_domains"].remove("a.com"), ["-         - a.com   # a"]),
        (lambda d: d["inbound_connectors"].pop("hq"), [f"- {FIRST}"]),
        (
            lambda d: d["inbound_connectors"].update(z={"a": 1, "b": ["x", "y: z"], "c": "*"}),
            ["+     z:", "+         a: 1", "+         b:", "+         - x", "+         - 'y: z'", "+         c: '*'"],
        ),
        (
            lambda d: d["smtp_auth"]["mailboxes"].update(fax="disabled"),
            [
                "-     mailboxes: { erp@contoso.com:    enabled }",
                "+     mailboxes: { erp@contoso.com:    enabled, fax: disabled }",
            ],
        ),
        (lambda d: d["smtp_auth"].update(organization="disabled"), ["+     organization: disabled"]),
        (
            lambda d: d.pop("smtp_auth"),
            ["- smtp_auth:", "-     mailboxes: { erp@contoso.com:    enabled }"],
        ),
        (
            lambda d: d.update(dkim={"contoso.com": {"enabled": True}}),
            ["+ ", "+ dkim:", "+     contoso.com:", "+         enabled: true"],
        ),
    ],
)
def test_only_what_differs_is_written(change: Callable[[Any], Any], lines: list[str]) -> None:
    assert changed(change) == lines


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = "\ufeffa: 1\r\nb: { c: d }\r\n"
    assert edited(text, {"a": 1, "b": {"c": "e"}, "f": 2}) == "\ufeffa: 1\r\nb: { c: e }\r\nf: 2\r\n"


def test_a_list_in_brackets_may_become_empty_and_a_section_may_begin() -> None:
    assert edited("a: [ x ]   # why\n", {"a": []}) == "a: []   # why\n"
    assert edited("a: {}\nb:\n  c: 1\n", {"a": {"x": 1}, "b": {"c": 1}}) == "a: {x: 1}\nb:\n  c: 1\n"
    assert edited("a:\nb: 1\n", {"a": {"x": 1}, "b": 1}) == "a:\n  x: 1\nb: 1\n"


def test_what_would_act_on_a_terminal_or_a_runner_is_an_escape() -> None:
    assert edited("a: 1\n", {"a": "\u202e"}) == 'a: "\\u202E"\n'
    assert edited("a: 1\n", {"a": "##[add-mask]x"}) == 'a: "\\x23#[add-mask]x"\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a: &x { b: 1 }\nc: *x\n", {"a": {"b": 2}, "c": {"b": 1}}),
        ("a: &x { b: 1 }\nc: { <<: *x, d: 1 }\n", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("{ a: 1 }\n", {"a": 2}),
        ("a: |+\n  x\n\n", {"a": "x\n\n", "b": 1}),
    ],
)
def test_what_cannot_be_edited_for_certain_is_not(text: str, wanted: Any) -> None:
    assert edited(text, wanted) is None
