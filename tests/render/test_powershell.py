"""The script parses with a PowerShell grammar, whatever stands in names and values, and evaluates none of it."""

from __future__ import annotations

import tree_sitter
import tree_sitter_powershell
from hypothesis import given
from hypothesis import strategies as st

from provisioner.changes import changeset
from provisioner.model import Action, Address, Await, Change, ChangeSet, Cmdlet, Delta, Record, Ref, Send
from provisioner.render.powershell import render

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
HOSTILE = [
    "$(Remove-Item x)",
    "`$x`",
    "it's",
    "‘’‚‛",
    'a"b',
    "a\nb",
    "a#b",
    "<script>",
    "‮",
    "@(",
    "'; exit; '",
    "\x00",
    "%x",
    "🙂",
]


def script(key: str, *steps: Send | Await) -> str:
    spec = None
    change = Change(Address("inbound_connector", key), Action.DELETE, spec, None, steps)
    document = changeset.to_document(ChangeSet("contoso.onmicrosoft.com", "id", "us", (change,)))
    return render(document)


def strings_and_commands(text: str) -> tuple[list[str], list[str]]:
    """The single-quoted strings and the names of the commands that PowerShell would see; fails on a syntax error."""
    tree = PARSER.parse(text.encode())
    assert not tree.root_node.has_error, text
    strings, commands = [], []
    todo = [tree.root_node]
    while todo:
        node = todo.pop()
        todo.extend(reversed(node.children))
        content = (node.text or b"").decode()
        if node.type == "verbatim_string_characters":
            strings.append(content)
        elif node.type == "command_name":
            commands.append(content)
        assert node.type not in {"expandable_string_literal", "sub_expression"}, content
    return strings, commands


@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40)))
def test_no_name_or_value_is_ever_evaluated(text: str) -> None:
    steps = (
        Send(Cmdlet("Set-InboundConnector", {"Identity": text, "Comment": f"x{text}", "SenderDomains": (text, "*")})),
        Await((Record(text, "CNAME", text),)),
    )
    _, commands = strings_and_commands(script(text or "k", *steps))
    assert set(commands) <= {"Set-InboundConnector", "Resolve-DnsName"}


def test_values_keep_their_types() -> None:
    parameters = {
        "A": True,
        "B": None,
        "C": 2**40,
        "D": (),
        "E": ("one",),
        "F": Delta(add=("x",), remove=("y", "z")),
        "G": Ref(0, "Selector1CNAME"),
    }
    text = script("k", Send(Cmdlet("New-DkimSigningConfig", {})), Send(Cmdlet("Set-X", parameters)))
    strings_and_commands(text)
    for line in (
        "A = $true",
        "B = $null",
        "C = 1099511627776",
        "D = @()",
        "E = @('one')",
        "F = @{ Add = @('x'); Remove = @('y', 'z') }",
        "G = $step0.Selector1CNAME",
    ):
        assert f"    {line}\n" in text
    assert text.count("Confirm = $false") == 1, "New- takes no Confirm, Set- does"


def test_an_empty_change_set_is_a_script_that_does_nothing() -> None:
    text = render(changeset.to_document(ChangeSet("t", "id", "", ())))
    assert strings_and_commands(text) == (["'Stop'"], [])
