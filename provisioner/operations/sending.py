"""Who sends, as far as it is known: the devices of the plan, and those of earlier runs by the journal.

What a closing change may not take from is worked out for these senders. The journal is a file that may be edited: where
its chain does not hold, or an entry has another form, nothing is concluded from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from provisioner.engine import journal
from provisioner.mailflow.senders import Sender, sender_of
from provisioner.model import ChangeSet, Desired


def known_senders(found: ChangeSet, path: Path) -> Sequence[Sender] | None:
    """The plan's devices and those of the last runs; None where no earlier run says who sent before it.

    The last runs are the last one of the whole plan that went through, and all after it: what a later run wanted may
    not be in place yet.
    """
    earlier = _earlier(path, found.owner) if path.exists() else None
    if earlier is None or found.basis is None:
        return None
    return tuple(dict.fromkeys((*_of_plan(found.basis.desired), *earlier)))


def recorded(found: ChangeSet) -> Mapping[str, Any]:
    """What the journal keeps of a run for the next one; nothing for one that no plan was read for, as a rollback."""
    if found.basis is None or not found.plan_files:
        return {}
    whole = not (found.basis.targets or found.basis.excludes)
    return {"senders": [_document(sender) for sender in _of_plan(found.basis.desired)], "whole": whole}


def _of_plan(desired: Desired) -> Iterable[Sender]:
    return (sender_of(device, desired.sites.get(device.site or "")) for device in desired.devices.values())


def _earlier(path: Path, owner: str) -> Sequence[Sender] | None:
    """The devices of the last runs of every plan; None without a whole run of this one."""
    if journal.verify(path).faults:
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
    return [s for senders in by_owner.values() for s in senders] if owner in settled else None


_FIELDS = tuple(f.name for f in dataclasses.fields(Sender))


def _document(sender: Sender) -> dict[str, Any]:
    scopes = {name: sorted(getattr(sender, name)) for name in _FIELDS[1:]}
    return {_FIELDS[0]: sender.name, **scopes}


def _read(documents: Any) -> list[Sender] | None:
    try:
        return [Sender(str(d["name"]), *(frozenset(map(str, d[name])) for name in _FIELDS[1:])) for d in documents]
    except (TypeError, KeyError):
        return None
