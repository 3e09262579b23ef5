"""Who sends, as far as it is known: the devices of the plan, and those of earlier runs by the journal.

What a closing change may not take from is worked out for these senders, and of those that the plan has lost a finding
says so. The journal is a file that may be edited: where its chain does not hold, or an entry has another form, nothing
is concluded from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from provisioner.diagnostics import Severity
from provisioner.engine import journal
from provisioner.mailflow import promises
from provisioner.mailflow.senders import Sender, sender_of
from provisioner.model import ChangeSet, Desired, Finding, ResourceType, goal_of
from provisioner.model.listing import listed
from provisioner.resources import TYPES

GONE = "DEVICES-GONE"
_NAMED = 10


def known_senders(found: ChangeSet, path: Path) -> Sequence[Sender] | None:
    """The plan's devices and those of the last runs; None where no earlier run says who sent before it.

    The last runs are the last one of the whole plan that went through, and all after it: what a later run wanted may
    not be in place yet.
    """
    runs = _earlier(path)
    if runs is None or found.owner not in runs.settled or found.basis is None:
        return None
    earlier = (sender for senders in runs.by_owner.values() for sender in senders)
    return tuple(dict.fromkeys((*_of_plan(found.basis.desired), *earlier)))


def gone(found: ChangeSet, path: Path) -> Sequence[Sender]:
    """The devices of the last runs of this plan that it does not declare any more, under this name or another."""
    runs = _earlier(path)
    if runs is None or found.basis is None:
        return ()
    declared = list(_of_plan(found.basis.desired))
    names, ways = {s.name for s in declared}, {dataclasses.replace(s, name="") for s in declared}
    lost = (s for s in runs.by_owner.get(found.owner, ()) if s.name not in names)
    return [s for s in dict.fromkeys(lost) if dataclasses.replace(s, name="") not in ways]


def unrecorded(found: ChangeSet, path: Path) -> bool:
    """Whether the devices of a whole plan are not those of its last run: then a run without a change records them."""
    runs, kept = _earlier(path), recorded(found)
    if runs is None or not kept.get("whole"):
        return bool(kept.get("whole") and kept["senders"] and not path.exists())
    return _read(kept["senders"]) != list(runs.by_owner.get(found.owner, ()))


def finding_of(lost: Sequence[Sender], found: ChangeSet) -> Finding:
    """What is said about devices that the plan has lost: how many, which, and what the changes take from them."""
    kinds: Mapping[str, ResourceType[Any]] = {t.name: t for t in TYPES}
    loses = {c.address: promises.loses(kinds[c.address.type], c.observed, goal_of(c)) for c in found.pending}
    taken = {f"device/{s.name}": [str(a) for a, groups in loses.items() if any(map(s.is_of, groups))] for s in lost}
    names = list(dict.fromkeys(f"device/{sender.name}" for sender in lost))
    count = "1 device of the last run is" if len(names) == 1 else f"{len(names):,} devices of the last run are"
    summary = f"{count} no longer in the plan: {listed(names, _NAMED)}. "
    each = [f"{name} (by {listed(changes, _NAMED)})" for name, changes in taken.items() if changes]
    them = "it" if len(names) == 1 else "them"
    taking = f"The changes take a sending path from {listed(each, _NAMED)}"
    summary += taking if each else f"No change takes a path from {them}"
    hint = (
        "if a file or a part of the plan was lost, put it back; if they are gone, apply, and the next plan forgets them"
    )
    return Finding(GONE, Severity.WARNING if each else Severity.INFO, summary, hint)


def recorded(found: ChangeSet) -> Mapping[str, Any]:
    """What the journal keeps of a run for the next one; nothing for one that no plan was read for, as a rollback."""
    if found.basis is None or not found.plan_files:
        return {}
    whole = not (found.basis.targets or found.basis.excludes)
    return {"senders": [_document(sender) for sender in _of_plan(found.basis.desired)], "whole": whole}


def _of_plan(desired: Desired) -> Iterable[Sender]:
    return (sender_of(device, desired.sites.get(device.site or "")) for device in desired.devices.values())


class _Runs(NamedTuple):
    """The devices of the last runs by the owner of their plan, and the owners with a whole run that went through."""

    by_owner: Mapping[str, Sequence[Sender]]
    settled: Collection[str]


def _earlier(path: Path) -> _Runs | None:
    """The last runs of every plan; None where nothing can be concluded from the journal."""
    if not path.exists() or journal.verify(path).faults:
        return None
    runs: dict[str, tuple[str, bool, list[Sender]]] = {}
    by_owner: dict[str, list[Sender]] = {}
    settled: set[str] = set()
    for entry in journal.entries(path):
        if entry["kind"] == "begin" and "senders" in entry:
            senders = _read(entry["senders"])
            if senders is None:
                return None
            runs[entry["run"]] = (str(entry.get("owner", "")), entry.get("whole") is True, senders)
            by_owner.setdefault(str(entry.get("owner", "")), []).extend(senders)
        elif entry["kind"] == "end" and entry.get("converged") is True and entry["run"] in runs:
            whose, whole, senders = runs[entry["run"]]
            if whole:
                by_owner[whose] = senders
                settled.add(whose)
    return _Runs(by_owner, settled)


_FIELDS = tuple(f.name for f in dataclasses.fields(Sender))


def _document(sender: Sender) -> dict[str, Any]:
    scopes = {name: sorted(getattr(sender, name)) for name in _FIELDS[1:]}
    return {_FIELDS[0]: sender.name, **scopes}


def _read(documents: Any) -> list[Sender] | None:
    try:
        return [Sender(str(d["name"]), *(frozenset(map(str, d[name])) for name in _FIELDS[1:])) for d in documents]
    except (TypeError, KeyError):
        return None
