"""Edits of a saved change set, made systematically: every part of it that a forger would want to have otherwise.

`contradicting` edits what follows from the rest: each leaves a document that is not derived. `consistent` edits what a
document was planned from and derives the rest again, as a forger does who has this program: each gives another plan.
The digest is made true in both.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.changes import changeset, verification
from provisioner.diagnostics import ChangeSetStale, InputError
from provisioner.resources import TYPES
from provisioner.rules import RULES

Json = dict[str, Any]
Edit = Callable[[Json], object]

SECRET = {"$secret": "file:/home/user/.ssh/id_rsa"}
_WAITS: Json = {"waits_on": [], "blocked_on": []}
FOREIGN_STEPS: Mapping[str, Json] = {
    "another switch": {"cmdlet": "Set-TransportConfig", "parameters": {"SmtpClientAuthenticationDisabled": False}},
    "a mailbox": {"cmdlet": "Remove-Mailbox", "parameters": {"Identity": "erp@contoso.com", "Confirm": False}},
    "another connector": {"cmdlet": "Remove-InboundConnector", "parameters": {"Identity": "others", "Confirm": False}},
    "Graph": {"method": "POST", "path": "/directoryRoles/1/members/$ref", "body": {"@odata.id": "x"}},
}


@dataclass(frozen=True)
class Edited:
    """One edit of one base: what kind it is, what it does, and how."""

    base: str
    kind: str
    what: str
    edit: Edit

    def of(self, document: Json) -> Json:
        """The edited document, with a digest that fits."""
        made = copy.deepcopy(document)
        self.edit(made)
        made["provisioner"]["digest"] = changeset.digest(made)
        return made


def contradicting(bases: Mapping[str, Json], draw: random.Random) -> Iterator[tuple[Edited, Json]]:
    """Documents that do not follow from their own facts: an edit of every kind and base in turn."""
    for edited in _in_turn((Edited(b, *e) for b, d in bases.items() for e in _everything(d, bases)), draw):
        made = edited.of(bases[edited.base])
        if made != bases[edited.base] and (edited.kind != "basis" or not is_derived(made)):
            yield edited, made


def consistent(bases: Mapping[str, Json], draw: random.Random) -> Iterator[tuple[Edited, Json]]:
    """Documents that follow from other facts than those of their base: an edit of every kind and base in turn.

    Where only an observation or an id of the journal is edited and the same changes follow, it is the same plan: that
    one is left out.
    """
    for edited in _in_turn((Edited(b, *e) for b, d in bases.items() for e in _plans(d)), draw):
        try:
            made = rederived(edited.of(bases[edited.base]))
        except (InputError, ChangeSetStale):
            continue  # it is not a plan at all
        same = edited.kind in {"observed", "remembered"} and _deeds(made) == _deeds(bases[edited.base])
        if made != bases[edited.base] and not same:
            yield edited, made


def _deeds(document: Json) -> list[Any]:
    """What is carried out. An object that stays as it is counts for nothing, whatever its mark was read as."""
    changes = (c for c in document["resource_changes"] if c["change"]["actions"] != ["no-op"])
    return [(c["address"], c["change"], c["provisioner"]["steps"]) for c in changes]


def _in_turn(every: Iterable[Edited], draw: random.Random) -> Iterator[Edited]:
    """All of them, shuffled, one of each base and kind after the other."""
    groups: dict[tuple[str, str], list[Edited]] = {}
    for edited in every:
        groups.setdefault((edited.base, edited.kind), []).append(edited)
    for group in groups.values():
        draw.shuffle(group)
    order = list(groups.values())
    draw.shuffle(order)
    while order:
        order = [group for group in order if group]
        for group in order:
            yield group.pop()


def _everything(document: Json, bases: Mapping[str, Json]) -> Iterator[tuple[str, str, Edit]]:
    yield from _steps(document)
    yield from _fields(document)
    yield from _words(document)
    yield from _order(document)
    yield from _findings(document)
    yield from _secrets(document)
    yield from _foreign(document, bases)
    yield from (("basis", f"{kind}: {what}", edit) for kind, what, edit in _plans(document))


def rederived(document: Json) -> Json:
    """What follows from the facts of a document, whatever else it says."""
    found = verification._Reading(document, {t.name: t for t in TYPES}, "x").changeset()
    again: Json = json.loads(json.dumps(changeset.to_document(found)))
    return again


def is_derived(document: Json) -> bool:
    """Whether a document follows from its own facts."""
    try:
        verification.derive(document, TYPES, "x")
    except (InputError, ChangeSetStale):
        return False
    return True


# --- places ----------------------------------------------------------------------------------------------------------


def _changes(document: Json) -> Iterator[tuple[int, Json, str]]:
    for number, change in enumerate(document["resource_changes"]):
        yield number, change, change["address"]


def _at(number: int, *path: Any, value: Any = ...) -> Edit:
    """Puts a value into a change, or takes out what is there."""
    return _put("resource_changes", number, *path, value=value)


def _put(*path: Any, value: Any = ...) -> Edit:
    def edit(document: Json) -> None:
        holder: Any = document
        for key in path[:-1]:
            holder = holder[key]
        if value is ...:
            del holder[path[-1]]
        else:
            holder[path[-1]] = copy.deepcopy(value)

    return edit


def _add(*path: Any, value: Any, first: bool = False) -> Edit:
    def edit(document: Json) -> None:
        holder: Any = document
        for key in path:
            holder = holder[key]
        holder.insert(0 if first else len(holder), copy.deepcopy(value))

    return edit


def other(value: Any) -> Any:
    """Another value of the same kind: a wider network, the other switch, another name."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, list):
        return [*value, "198.51.100.0/24"] if value else ["198.51.100.0/24"]
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {}
    return "enabled" if value == "disabled" else f"{value or ''}x"


# --- what follows ----------------------------------------------------------------------------------------------------


def _steps(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """What is sent: steps more, fewer and others; each parameter another, gone, or one more; the way back."""
    for number, change, address in _changes(document):
        ours = change["provisioner"]
        for name, sent in FOREIGN_STEPS.items():
            for where in ("steps", "inverse"):
                step = {"send": sent, **_WAITS}
                yield "steps", f"{address}: {name} first in {where}", _at_list(number, where, step, first=True)
                yield "steps", f"{address}: {name} last in {where}", _at_list(number, where, step)
        for where in ("steps", "inverse"):
            for place, step in enumerate(ours[where]):
                here = ("provisioner", where, place)
                yield "steps", f"{address}: {where} {place} taken out", _at(number, *here)
                if "send" not in step:
                    yield (
                        "steps",
                        f"{address}: {where} {place} waits for nothing",
                        _at(number, *here, "await", value=[]),
                    )
                    continue
                yield "steps", f"{address}: {where} {place} waits", _at(number, *here, "waits_on", value=[""])
                yield "steps", f"{address}: {where} {place} blocked", _at(number, *here, "blocked_on", value=[""])
                yield from _parameters(number, address, here, step["send"]["parameters"])


def _at_list(number: int, where: str, step: Json, *, first: bool = False) -> Edit:
    return _add("resource_changes", number, "provisioner", where, value=step, first=first)


def _parameters(number: int, address: str, here: tuple[Any, ...], parameters: Json) -> Iterator[tuple[str, str, Edit]]:
    path = (*here, "send", "parameters")
    yield "steps", f"{address}: one parameter more", _at(number, *path, "Force", value=True)
    for name, value in parameters.items():
        yield "steps", f"{address}: {name} taken out", _at(number, *path, name)
        yield "steps", f"{address}: another {name}", _at(number, *path, name, value=other(value))


def _fields(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """What is shown of the values: fields, before and after, the action."""
    for number, change, address in _changes(document):
        for place, field in enumerate(change["provisioner"]["fields"]):
            here = ("provisioner", "fields", place)
            yield "fields", f"{address}: {field['name']} taken out", _at(number, *here)
            for side in ("before", "after", "name"):
                value = other(field[side])
                yield "fields", f"{address}: another {side} of {field['name']}", _at(number, *here, side, value=value)
            marked = _at(number, *here, "default", value=True)
            yield "fields", f"{address}: {field['name']} as a default", marked
        for side in ("before", "after"):
            for name, value in (change["change"][side] or {}).items():
                edit = _at(number, "change", side, name, value=other(value))
                yield "fields", f"{address}: {side}.{name}", edit
        for action in ("no-op", "create", "update", "delete"):
            yield "fields", f"{address}: shown as {action}", _at(number, "change", "actions", value=[action])


def _words(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """What is said of the change: consequences, reason."""
    for number, _, address in _changes(document):
        for words in ([], ["neutral"], ["deletes"], ["widens exposure", "can stop mail"]):
            edit = _at(number, "provisioner", "consequences", value=words)
            yield "consequences", f"{address}: consequences {words}", edit
        yield "consequences", f"{address}: reason", _at(number, "provisioner", "reason", value="routine")


def _order(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """When: the order, what is needed first, a change more or less."""
    changes = document["resource_changes"]
    for number, change, address in _changes(document):
        if number:
            before, after = changes[: number - 1], changes[number + 1 :]
            swapped = [*before, change, changes[number - 1], *after]
            yield "order", f"{address}: one place earlier", _put("resource_changes", value=swapped)
        yield "order", f"{address}: needs something", _add(
            "resource_changes", number, "provisioner", "needs", value=changes[0]["address"]
        )  # fmt: skip
        if change["provisioner"]["needs"]:
            yield "order", f"{address}: needs nothing", _at(number, "provisioner", "needs", value=[])
        yield "order", f"{address}: twice", _add("resource_changes", value=change)


def _findings(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """The guards, and what the document says of itself."""
    findings = document["provisioner"]["findings"]
    told = [finding for finding in findings if finding["rule"] not in RULES]
    yield "findings", "none of ours", _put("provisioner", "findings", value=told)
    for place, finding in enumerate(findings):
        if finding["rule"] not in RULES:
            continue  # what DNS said is only shown: nothing derives it, and it blocks nothing
        here = ("provisioner", "findings", place)
        yield "findings", f"{finding['rule']} taken out", _put(*here)
        lies = {"blocks": "apply" if not finding["blocks"] else "", "severity": "info", "waived": "CHG-2",
                "summary": "nothing to see", "hint": "nothing", "mend": "nothing", "rule": "SPF-NOTE"}  # fmt: skip
        for name, value in lies.items():
            yield "findings", f"{finding['rule']}: {name}", _put(*here, name, value=value)
    for flag in ("applyable", "complete", "errored"):
        yield "findings", flag, _put(flag, value=not document[flag])
    yield "findings", "checks", _put("checks", value=[*document["checks"], *document["checks"][:1], {}])
    yield "findings", "fewer writes", _put("provisioner", "requests", "write", value=0 if document["applyable"] else 1)


def _secrets(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """A reference to a secret in the place of every value that is sent, shown, declared or observed."""
    for number, change, address in _changes(document):
        ours = change["provisioner"]
        for place, step in enumerate(ours["steps"]):
            for name in step["send"]["parameters"] if "send" in step else ():
                here = ("provisioner", "steps", place, "send", "parameters", name)
                yield "secrets", f"{address}: {name} of a step", _at(number, *here, value=SECRET)
        for name in ours["observed"] or ():
            yield "secrets", f"{address}: observed {name}", _at(number, "provisioner", "observed", name, value=SECRET)
        for name in change["change"]["after"] or ():
            yield "secrets", f"{address}: {name} after", _at(number, "change", "after", name, value=SECRET)
    for place, item in enumerate(document["provisioner"]["basis"]["declared"]):
        for name in item["spec"]:
            path = ("provisioner", "basis", "declared", place, "spec", name)
            yield "secrets", f"{item['address']}: declared {name}", _put(*path, value=SECRET)


def _foreign(document: Json, bases: Mapping[str, Json]) -> Iterator[tuple[str, str, Edit]]:
    """Changes of another change set, and objects under other names."""
    for name, source in bases.items():
        if source is document:
            continue
        for change in source["resource_changes"]:
            yield "another change set", f"{change['address']} of {name}", _add("resource_changes", value=change)
        if source["resource_changes"] != document["resource_changes"]:
            edit = _put("resource_changes", value=source["resource_changes"])
            yield "another change set", f"the changes of {name}", edit
    for number, change, address in _changes(document):
        key = next(iter(change["provisioner"]["observed"] or {}), None)
        if key is not None:
            edit = _at(number, "provisioner", "observed", key, value="others")
            yield "another object", f"{address}: observed under another name", edit
        yield "another object", f"{address}: another index", _at(number, "index", value="others")
        yield "another object", f"{address}: another address", _at(number, "address", value='dkim["others"]')


# --- other plans -----------------------------------------------------------------------------------------------------


def _plans(document: Json) -> Iterator[tuple[str, str, Edit]]:
    """Other plans, owners, tenants and observations."""
    ours = document["provisioner"]
    basis = ours["basis"]
    for name, value in (("owner", "x/y"), ("tenant", "fabrikam.onmicrosoft.com"), ("tenant_id", "0" * 32)):
        yield "tenant", name, _put("provisioner", name, value=value)
    yield from _declared(basis)
    for part, pattern in (
        ("exclusive", "smtp_auth"), ("protect", "*"), ("ignore", "*"), ("targets", "dkim/*"),
        ("excludes", "inbound_connector/*"),
    ):  # fmt: skip
        yield part, f"{part}: {pattern}", _put("provisioner", "basis", part, value=[pattern])
    # Not `allowed`: a guard that the file does not lift may be lifted by name when it is applied.
    for part in ("exclusive", "protect", "ignore", "targets", "excludes", "waivers", "absent"):
        yield part, f"no {part}", _put("provisioner", "basis", part, value=[])
    edit = _put("provisioner", "basis", "declared_only", value=not basis["declared_only"])
    yield "declared_only", "whether undeclared objects count", edit
    for rule in sorted({f["rule"] for f in ours["findings"]}):
        waiver = {"rule": rule, "pattern": "*", "until": None, "reason": "CHG-9", "location": None}
        for part in ("waivers", "allowed"):
            yield part, f"{rule} in {part}", _add("provisioner", "basis", part, value=waiver)
    for seen in basis["observed"]:
        tombstone = {"address": seen["address"], "location": None}
        yield "absent", f"{seen['address']} to be deleted", _add("provisioner", "basis", "absent", value=tombstone)
    yield from _devices(basis)
    for number, change, address in _changes(document):
        for seen in basis["observed"] if change["change"]["actions"] == ["create"] else ():
            for name in (seen["spec"] or {}).get("names", ()):
                known = _put("provisioner", "basis", "remembered", value={address: name})
                yield "remembered", f"{address} as {seen['address']} by the journal", known
        for name, there in list((change["provisioner"]["observed"] or {}).items())[1:]:
            edit = _at(number, "provisioner", "observed", name, value=other(there))
            yield "observed", f"{address}: observed {name}", edit


def _declared(basis: Json) -> Iterator[tuple[str, str, Edit]]:
    for place, item in enumerate(basis["declared"]):
        here = ("provisioner", "basis", "declared", place)
        yield "declared", f"{item['address']} not declared", _put(*here)
        for name, value in list(item["spec"].items())[1:]:
            yield "declared", f"{item['address']}: {name}", _put(*here, "spec", name, value=other(value))


def _devices(basis: Json) -> Iterator[tuple[str, str, Edit]]:
    for name in basis["devices"]:
        yield "devices", f"{name} forgotten", _without_device(name)
        for field, value in (("sender", "ceo@contoso.com"), ("recipients", "organization")):
            yield "devices", f"{name}: {field}", _put("provisioner", "basis", "devices", name, field, value=value)
    for name in basis["sites"]:
        path = ("provisioner", "basis", "sites", name, "egress_ip_addresses")
        yield "sites", f"{name} elsewhere", _put(*path, value=["198.51.100.0/24"])
        yield "sites", f"{name} forgotten", _put("provisioner", "basis", "sites", name)


def _without_device(name: str) -> Edit:
    def edit(document: Json) -> None:
        basis = document["provisioner"]["basis"]
        del basis["devices"][name]
        basis["choices"].pop(name, None)
        for item in basis["declared"]:
            item["devices"] = [device for device in item["devices"] if device != name]

    return edit
