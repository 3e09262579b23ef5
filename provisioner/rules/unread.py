"""A rule that could not be decided, since what it rests on was not read: said, and never taken for "does not apply"."""

from __future__ import annotations

from provisioner.diagnostics import Location
from provisioner.model import Finding
from provisioner.rules.catalogue import RULES


def not_decided(rule: str, what: str, cmdlet: str, reason: str, at: Location | None) -> Finding:
    """`what` is the question that stays open: "whether contoso.com accepts mail over IPv6"."""
    unknown = RULES["RULE-NOT-DECIDED"]
    summary = f"{what} is not known ({rule}): {reason}"
    mend = f"give the application a role that may run {cmdlet}, and plan again"
    return Finding(unknown.id, unknown.severity, summary, mend, blocks=unknown.blocks, location=at)
