"""The changes of a change set's document, as every renderer wants them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from provisioner.model import consequence
from provisioner.model.document import (
    ChangeDocument,
    ChangeSetDocument,
    DriftDocument,
    FieldDocument,
    Fields,
    RecordDocument,
    StepDocument,
    UnmanagedDocument,
    UnmanagedObjectDocument,
)
from provisioner.render.escape import visible

_MAKERS = {"hybrid_wizard": "the Hybrid Configuration Wizard"}
_ACTIONS = {"delete": 0, "update": 1, "create": 2}
_MOST_ENTRIES = 6
_A_LABELS = re.compile(r"(?:[a-z0-9-]+\.)*xn--[a-z0-9-]+(?:\.[a-z0-9-]+)*")
NO_CHANGES = "No changes. Your infrastructure matches the configuration."


def conclusion(document: ChangeSetDocument) -> str:
    """What a change set without changes says about the tenant."""
    if is_rollback(document):
        return "Nothing to undo: what the run changed is as it was before, or is not undone."
    return "No changes to what the plan declares." if _left_unchanged(document) else NO_CHANGES


def is_rollback(document: ChangeSetDocument) -> bool:
    """Whether the change set undoes a run."""
    basis = document["provisioner"]["basis"]
    return bool(basis and basis.get("undoes"))


def limit(document: ChangeSetDocument) -> str:
    """Why a change set that could be read is not about the whole plan; "" where it is."""
    if document["complete"] or document["errored"]:
        return ""
    if _left_unchanged(document):
        return _left_unchanged(document)
    return "Only a part of the plan was looked at (--target or --exclude)."


def unmanaged(document: ChangeSetDocument) -> str:
    """How many objects are not declared, and how to list them; "" for none."""
    count = document["provisioner"]["unmanaged"]["count"]
    if not count:
        return ""
    objects, are = ("object", "is") if count == 1 else ("objects", "are")
    return (
        f"{count:,} {objects} of the types that this plan manages {are} not declared in it: "
        "provisioner plan --unmanaged lists them"
    )


def made_by(item: UnmanagedObjectDocument) -> str:
    """Who made an unmanaged object, or which plan marked it; "" where it does not say."""
    if item["made_by"]:
        return _MAKERS.get(item["made_by"], item["made_by"])
    return f'plan "{item["owner"]}"' if item["owner"] else ""


def unmanaged_lines(listing: UnmanagedDocument) -> Iterator[str]:
    """The list of unmanaged objects, a line each."""
    objects, more = listing["objects"], listing["count"] - len(listing["objects"])
    if not listing["count"]:
        return
    yield "Not declared in this plan (nothing changes them):"
    for item in objects:
        maker = made_by(item)
        yield visible(f"  {item['address']}: {item['what']}" + (f" (made by {maker})" if maker else ""))
    if more:
        yield f"  and {more:,} more"


def _left_unchanged(document: ChangeSetDocument) -> str:
    """Why undeclared objects that the plan would delete or reset are left unchanged; "" where none is."""
    rules = {f["rule"] for f in document["provisioner"]["findings"]}
    reasons = {
        "UNDECLARED-FROZEN": "a name of the plan could mean one of them",
        "RENAMED-UNCLEAR": "one may be a renamed object of the plan",
    }
    why = next((f"{reason} ({rule})" for rule, reason in reasons.items() if rule in rules), "")
    return f"Undeclared objects were left unchanged: {why}." if why else ""


def pending(document: ChangeSetDocument) -> list[ChangeDocument]:
    """The changes that do something, in the document's order: that of need."""
    return [c for c in document["resource_changes"] if c["change"]["actions"] != ["no-op"]]


def worst_first(document: ChangeSetDocument) -> list[ChangeDocument]:
    """The same for a reader: what deletes, then what exposes, then what can stop mail, then the rest."""
    return sorted(pending(document), key=_badness)


def action(change: ChangeDocument | DriftDocument) -> str:
    """`create`, `update` or `delete`."""
    return str(change["change"]["actions"][0])


def dangers(change: ChangeDocument) -> list[str]:
    """Its consequences but the neutral one."""
    return [c for c in change["provisioner"].get("consequences", ()) if c != consequence.NEUTRAL]


def closing(change: ChangeDocument) -> bool:
    """Whether it takes a sending path from somebody: such a change is sent last, and held back if need be."""
    return change["provisioner"]["closes"]


def opened_first(change: ChangeDocument) -> Sequence[str]:
    """What the first write of a change in two writes leads to, a field each; nothing where it is not split."""
    fields: Fields = {}
    for step in change["provisioner"]["steps"]:
        if "await" not in step and "confirm" in step:
            fields = step["confirm"]
    return [visible(f"{name} = {_brief(value)}") for name, value in fields.items()]


def _brief(value: Any) -> str:
    """A value as JSON; of a long list how long it is."""
    if isinstance(value, list) and len(value) > _MOST_ENTRIES:
        return f"{len(value):,} entries"
    return json.dumps(value, ensure_ascii=False)


def remark(field: FieldDocument) -> str:
    """What to say beside a field's value: that the plan does not write it, and creation sends it all the same."""
    return "default, sent at creation" if field.get("default") else ""


def in_unicode(change: ChangeDocument) -> str:
    """The domains of a change with letters beyond ASCII, each as DNS and Exchange write it and as people read it."""
    values = [(f["before"], f["after"]) for f in change["provisioner"]["fields"]]
    names = _A_LABELS.findall(f"{change['address']} {json.dumps(values)}")
    if not names:
        return ""
    import idna  # its tables cost milliseconds that a plan without such names need not pay

    read = {}
    for name in dict.fromkeys(names):
        with contextlib.suppress(UnicodeError):  # as it stands: no label of it can be read
            read[name] = idna.decode(name)
    return visible(", ".join(f"{name} is {text}" for name, text in read.items()))


def step_line(step: StepDocument) -> str:
    """A step in one line: the cmdlet with every value that it sends, or the names of the records it waits for.

    Their values stand once, where a person is told to publish them.
    """
    if "await" in step:
        return "wait for DNS: " + "; ".join(f"{r['name']} {r['type']}" for r in step["await"])
    if "confirm" in step:
        return f"read back until it shows {json.dumps(step['confirm'], ensure_ascii=False)}; what follows closes"
    sent = step["send"]
    if "update" in sent:
        added = [f"add {_value(value)}" for value in sent["add"]]
        removed = [f"remove {json.dumps(value, ensure_ascii=False)}" for value in sent["remove"]]
        by = f" (by {sent['provider']})" if sent["provider"] else ""
        return f"DNS {sent['update']}: {', '.join([*removed, *added])}{by}"
    return f"{sent['cmdlet']} {json.dumps(plainly(sent['parameters']), ensure_ascii=False)}"


def record_value(record: RecordDocument) -> str:
    """The value of a DNS record; one that Exchange names when it creates the object is said to be known later."""
    return str(plainly(record["value"]))


def plainly(value: Any) -> Any:
    """A value of a request for a person: what is known only when it is sent is said in words."""
    match value:
        case {"$ref": {"property": name}}:
            return f"(known after creation: {name})"
        case {"$secret": reference}:
            return f"(the secret {reference})"
        case {"$delta": {"add": added, "remove": removed}}:
            return {word: some for word, some in (("add", added), ("remove", removed)) if some}
        case dict():
            return {name: plainly(item) for name, item in value.items()}
        case list():
            return [plainly(item) for item in value]
    return value


def _value(value: Any) -> str:
    """A value of a DNS record, or what names it once that exists."""
    if isinstance(value, dict) and "$pending" in value:
        named = value["$pending"]
        return f"(known after apply: {named['property']} of {named['address']})"
    return json.dumps(value, ensure_ascii=False)


def drifted(item: DriftDocument) -> str:
    """What of an object others have changed, of an item of `resource_drift`."""
    return "gone" if action(item) == "delete" else ", ".join(item["provisioner"]["fields"])


def _badness(change: ChangeDocument) -> tuple[int, int, str]:
    badness = {word: place for place, word in enumerate(consequence.WORST_FIRST)}
    found = change["provisioner"].get("consequences", ())
    worst = min((badness.get(c, 0) for c in found), default=badness[consequence.NEUTRAL])
    return worst, _ACTIONS[action(change)], change["address"]
