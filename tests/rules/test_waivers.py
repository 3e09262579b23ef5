"""Which findings a waiver lifts, and how one is written on a command line."""

from __future__ import annotations

import pytest

from provisioner.diagnostics import InputError, Severity
from provisioner.model import Address, Finding, Waiver
from provisioner.rules import RULES, parse_allow, waive

HQ = Address("inbound_connector", "hq")
GUARD = Finding("BLAST-RADIUS", Severity.ERROR, "much", address=HQ, blocks="apply")
NOWHERE = Finding("BLAST-RADIUS", Severity.ERROR, "much", blocks="apply")


@pytest.mark.parametrize(
    ("finding", "waivers", "waived"),
    [
        (GUARD, [], ""),
        (GUARD, [Waiver("BLAST-RADIUS", reason="CHG-1")], "CHG-1"),
        (GUARD, [Waiver("BLAST-RADIUS")], "--allow on the command line"),
        (GUARD, [Waiver("OWNER-FOREIGN", reason="CHG-1")], ""),
        (GUARD, [Waiver("BLAST-RADIUS", "inbound_connector/h*", reason="CHG-1")], "CHG-1"),
        (GUARD, [Waiver("BLAST-RADIUS", "inbound_connector/x*", reason="CHG-1")], ""),
        # The first that lifts it gives the reason.
        (GUARD, [Waiver("BLAST-RADIUS", "x/*"), Waiver("BLAST-RADIUS", reason="a"), Waiver("BLAST-RADIUS")], "a"),
        # A finding without an address is lifted by its rule alone, not by a pattern.
        (NOWHERE, [Waiver("BLAST-RADIUS", "inbound_connector/*", reason="CHG-1")], ""),
        (NOWHERE, [Waiver("BLAST-RADIUS", reason="CHG-1")], "CHG-1"),
    ],
)
def test_a_waiver_lifts_the_findings_of_its_rule_and_pattern(
    finding: Finding, waivers: list[Waiver], waived: str
) -> None:
    (found,) = waive([finding], waivers)
    assert found.waived == waived
    assert (found.rule, found.summary, found.blocks) == (finding.rule, finding.summary, finding.blocks)


@pytest.mark.parametrize("rule", ["RESOURCE-MISSING", "SPF-IP-MISSING-OF-NOBODY"])
def test_a_fact_about_the_tenant_and_an_unknown_rule_cannot_be_lifted(rule: str) -> None:
    finding = Finding(rule, Severity.ERROR, "it does not exist", address=HQ)
    assert list(waive([finding], [Waiver(rule, reason="CHG-1")])) == [finding]


@pytest.mark.parametrize(
    ("option", "waiver"),
    [
        ("BLAST-RADIUS", Waiver("BLAST-RADIUS", "*")),
        ("blast-radius", Waiver("BLAST-RADIUS", "*")),
        ("BLAST-RADIUS:inbound_connector/hq", Waiver("BLAST-RADIUS", "inbound_connector/hq")),
        ('BLAST-RADIUS:inbound_connector["hq"]', Waiver("BLAST-RADIUS", "inbound_connector/hq")),
        ("BLAST-RADIUS:inbound_connector/h:*", Waiver("BLAST-RADIUS", "inbound_connector/h:*")),
    ],
)
def test_a_waiver_on_the_command_line(option: str, waiver: Waiver) -> None:
    assert parse_allow(option) == waiver


@pytest.mark.parametrize(
    ("option", "what"),
    [("NO-SUCH", "there is no such rule"), ("RESOURCE-MISSING:x/y", "it is a fact about the tenant")],
)
def test_what_cannot_be_allowed_is_refused_with_what_can(option: str, what: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_allow(option)
    (told,) = refusal.value.diagnostics
    assert told.id == "ALLOW-UNKNOWN"
    assert what in told.summary
    names = told.hint.removeprefix("one of ").split(", ")
    assert names == sorted(r.id for r in RULES.values() if r.waivable)
    assert "BLAST-RADIUS" in names
    assert "RESOURCE-MISSING" not in names
