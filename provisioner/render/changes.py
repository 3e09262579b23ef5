"""The changes of a change set's document, as every renderer wants them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Change = Mapping[str, Any]

_ACTIONS = {"delete": 0, "update": 1, "create": 2}
NO_CHANGES = "No changes. Your infrastructure matches the configuration."

_CONSEQUENCES = {"deletes": 0, "widens exposure": 1, "can stop mail": 2, "neutral": 3}


def conclusion(document: Mapping[str, Any]) -> str:
    """What a change set without changes says of the tenant."""
    return "No changes to what the plan declares." if _frozen(document) else NO_CHANGES


def limit(document: Mapping[str, Any]) -> str:
    """Why a change set that could be read is not about the whole plan; "" where it is."""
    if document["complete"] or document["errored"]:
        return ""
    if _frozen(document):
        return "Undeclared objects were left unchanged: a name of the plan could mean one of them (UNDECLARED-FROZEN)."
    return "Only a part of the plan was looked at (--target or --exclude)."


def _frozen(document: Mapping[str, Any]) -> bool:
    return any(f["rule"] == "UNDECLARED-FROZEN" for f in document["provisioner"]["findings"])


def pending(document: Mapping[str, Any]) -> list[Change]:
    """The changes that do something, in the document's order: that of need."""
    return [c for c in document["resource_changes"] if c["change"]["actions"] != ["no-op"]]


def worst_first(document: Mapping[str, Any]) -> list[Change]:
    """The same for a reader: what deletes, then what exposes, then what can stop mail, then the rest."""
    return sorted(pending(document), key=_badness)


def action(change: Change) -> str:
    """`create`, `update` or `delete`."""
    return str(change["change"]["actions"][0])


def dangers(change: Change) -> list[str]:
    """Its consequences but the neutral one."""
    return [c for c in change["provisioner"].get("consequences", ()) if c != "neutral"]


def closing(change: Change) -> bool:
    """Whether it takes a way to send from somebody: such a change is sent last, and held back if need be."""
    said = change["provisioner"].get("consequences", ())
    return "can stop mail" in said or ("deletes" in said and "widens exposure" not in said)


def remark(field: Mapping[str, Any]) -> str:
    """What to say beside a field's value: that the plan does not write it, and creation sends it all the same."""
    return "default, sent at creation" if field.get("default") else ""


def drifted(item: Change) -> str:
    """What of an object others have changed, of an item of `resource_drift`."""
    return "gone" if action(item) == "delete" else ", ".join(item["provisioner"]["fields"])


def _badness(change: Change) -> tuple[int, int, str]:
    worst = min((_CONSEQUENCES.get(c, 0) for c in change["provisioner"].get("consequences", ())), default=3)
    return worst, _ACTIONS[action(change)], change["address"]
