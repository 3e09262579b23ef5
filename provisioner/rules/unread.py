"""A rule that could not be decided, since what it rests on was not read: said, and never taken for "does not apply"."""

from __future__ import annotations

from provisioner.diagnostics import Location
from provisioner.model import Answer, Finding, Unknown
from provisioner.rules.catalogue import RULES

_NOT_FOUND = "not_found"


def why_unread(answer: Answer | Unknown | None) -> Unknown | None:
    """Why an answer does not say what a rule wants to know; None where it was not asked for, or no object has it.

    What does not exist is the finding of another rule: a domain that is not accepted, for example.
    """
    if isinstance(answer, Answer):
        return Unknown("the answer does not say", "malformed")
    return None if answer is None or answer.kind == _NOT_FOUND else answer


def not_decided(rule: str, what: str, cmdlet: str, why: Unknown, at: Location | None) -> Finding:
    """`what` is the question that stays open: "whether contoso.com accepts mail over IPv6"."""
    unknown = RULES["RULE-NOT-DECIDED"]
    summary = f"{what} is not known ({rule}): {why.reason.partition('. Fix: ')[0]}"
    hint = (
        f"give the application a role that may run {cmdlet}"
        if why.kind == "permission"
        else f"plan again later, and run {cmdlet} yourself if that does not help"
    )
    return Finding(unknown.id, unknown.severity, summary, hint, blocks=unknown.blocks, location=at)
