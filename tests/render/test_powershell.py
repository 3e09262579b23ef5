"""The script parses with a PowerShell grammar, whatever stands in names and values, and evaluates none of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tree_sitter
import tree_sitter_powershell
from hypothesis import given
from hypothesis import strategies as st

from provisioner.changes import changeset, planning, scoping
from provisioner.model import (
    Absent,
    Action,
    Address,
    Await,
    Change,
    ChangeSet,
    Cmdlet,
    Delta,
    Desired,
    Observed,
    Present,
    Record,
    Ref,
    Resource,
    Send,
    field_names,
)
from provisioner.render.powershell import render
from provisioner.resources import TYPES
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.organization import Organization
from provisioner.resources.send_as import SendAs
from provisioner.resources.smtp_auth import SmtpAuth

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


# --- open before close -----------------------------------------------------------------------------------------------

ONE, TWO = "52.202.8.1/32", "52.202.8.2/32"


def planned(*wanted: Any, live: Sequence[Any] = (), set_aside: Sequence[Any] = ()) -> str:
    """The script for declared objects, of which some are in the tenant."""
    by_spec = {kind.spec: kind.name for kind in TYPES}

    def addresses(specs: Sequence[Any]) -> dict[Address, Any]:
        return {Address(by_spec[type(s)], getattr(s, field_names(s)[0])): s for s in specs}

    resources, aside = ({a: Resource(a, s) for a, s in addresses(specs).items()} for specs in (wanted, set_aside))
    there = addresses(live)
    desired = Desired("contoso.onmicrosoft.com", "", resources, set_aside=aside)
    seen = {a: Present(there[a]) if a in there else Absent() for a in resources}
    scope = scoping.Scope(tuple(a.short for a in resources)) if aside else None
    return render(changeset.to_document(planning.plan(desired, Observed(seen), TYPES, scope=scope)))


def relay(name: str, *addresses: str) -> InboundConnector:
    return InboundConnector(name, type="on_premises", enabled=True, require_tls=False, sender_domains=frozenset({"*"}),
                            sender_ip_addresses=frozenset(addresses))  # fmt: skip


def order(text: str, *parts: str) -> None:
    """All parts stand in the script, in this order."""
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


ASSERT = "Assert-InForce 'inbound_connector[\"hq\"]' (Get-InboundConnector -Identity 'hq') @{ Enabled = 'True'; "


def test_every_opening_object_is_read_back_before_the_first_closing_step() -> None:
    """One that is created, one that needs no change, one outside of --target; a switch that is off is none."""
    text = planned(
        relay("hq", ONE),
        relay("there", TWO),
        SmtpAuth("a@contoso.com", "enabled"),
        SmtpAuth("b@contoso.com", "disabled"),
        Organization("settings", reject_direct_send=True),
        live=[relay("there", TWO), SmtpAuth("a@contoso.com", "inherit"), SmtpAuth("b@contoso.com", "disabled"),
              Organization("settings", reject_direct_send=False)],
        set_aside=[SendAs("a@contoso.com as c@contoso.com")],
    )  # fmt: skip
    strings_and_commands(text)
    order(
        text,
        "New-InboundConnector",
        "Set-CASMailbox",
        "function Assert-InForce",
        ASSERT + "ConnectorType = 'OnPremises'; SenderIPAddresses = @('52.202.8.1'); SenderDomains = @('*') }",
        "Assert-InForce 'inbound_connector[\"there\"]'",
        "Assert-InForce 'send_as[\"a@contoso.com as c@contoso.com\"]' (Get-RecipientPermission -Identity "
        "'c@contoso.com' -Trustee 'a@contoso.com') @{ AccessRights = @('SendAs') }",
        "Assert-InForce 'smtp_auth[\"a@contoso.com\"]' (Get-CASMailbox -Identity 'a@contoso.com') "
        "@{ SmtpClientAuthenticationDisabled = 'False' }",
        "Set-OrganizationConfig",
    )
    assert "b@contoso.com\"]' (Get" not in text


def test_nothing_is_read_back_where_nothing_closes() -> None:
    assert "Assert-InForce" not in planned(relay("hq", ONE))


def test_a_change_in_two_writes_stands_on_both_sides_of_the_line() -> None:
    text = planned(relay("hq", TWO), relay("b", ONE), live=[relay("hq", ONE), relay("b", TWO)])
    strings_and_commands(text)
    both, line = "SenderIPAddresses = @('52.202.8.1', '52.202.8.2')", "# From here on, sending paths are closed."
    opening, closing = text.split(line)
    assert opening.count(both) == 2
    assert both not in closing
    assert closing.count("SenderIPAddresses = @('52.202.8.1')\n") == 1
    assert closing.count("SenderIPAddresses = @('52.202.8.2')\n") == 1
    order(closing, "Assert-InForce 'inbound_connector[\"b\"]'", ASSERT, "$step2 = Set-InboundConnector")
    assert '# In two writes; first, until the tenant shows it: sender_ip_addresses = ["52.202.8.1/32", "52.2' in text


def certified(name: str) -> InboundConnector:
    return InboundConnector("hq", type="on_premises", enabled=True, require_tls=True, sender_domains=frozenset({"*"}),
                            sender_ip_addresses=frozenset(), tls_sender_certificate_name=name)  # fmt: skip


def test_what_opens_and_closes_in_one_write_is_read_back_before_what_only_closes() -> None:
    text = planned(
        certified("b.contoso.com"), SmtpAuth("a@contoso.com", "disabled"),
        live=[certified("a.contoso.com"), SmtpAuth("a@contoso.com", "enabled")],
    )  # fmt: skip
    order(text, "# From here on", "Set-InboundConnector", ASSERT, "Set-CASMailbox")
