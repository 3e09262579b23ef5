"""Lifting a rule by name: `allow:` entries of a plan and `--allow` options, applied to findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Address, Finding, Waiver, matches
from provisioner.rules.catalogue import RULES


def waive(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> Iterator[Finding]:
    """The findings, those that a waiver names marked with its reason. What cannot be waived passes unmarked."""
    for finding in findings:
        waiver = next((w for w in waivers if _lifts(w, finding)), None)
        reason = waiver.reason or "--allow on the command line" if waiver else ""
        yield dataclasses.replace(finding, waived=reason) if waiver else finding


def parse_allow(option: str) -> Waiver:
    """`RULE` or `RULE:pattern` as a waiver. Raises InputError for a rule that does not exist or cannot be waived."""
    rule, _, pattern = option.partition(":")
    known = RULES.get(rule.upper())
    if known is None or not known.waivable:
        names = ", ".join(sorted(r.id for r in RULES.values() if r.waivable))
        what = "there is no such rule" if known is None else "it is a fact about the tenant and cannot be waived"
        raise InputError([Diagnostic("ALLOW-UNKNOWN", f'--allow {option}: "{rule}": {what}', f"one of {names}")])
    return Waiver(known.id, _short(pattern) or "*")


def _lifts(waiver: Waiver, finding: Finding) -> bool:
    rule = RULES.get(finding.rule)
    if waiver.rule != finding.rule or rule is None or not rule.waivable:
        return False
    return waiver.pattern == "*" or (finding.address is not None and matches([waiver.pattern], finding.address))


def lifted(rule: str, address: Address, waivers: Sequence[Waiver]) -> bool:
    """Whether a waiver names the rule for this object."""
    return any(w.rule == rule and (w.pattern == "*" or matches([w.pattern], address)) for w in waivers)


def _short(pattern: str) -> str:
    """A pattern may be written as an address too; both forms come out as `type/key`."""
    try:
        return Address.parse(pattern).short
    except ValueError:
        return pattern
