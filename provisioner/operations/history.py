"""The runs of apply that the journals hold. Needs no tenant."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.operations.context import Context
from provisioner.operations.journals import fetched, share_of
from provisioner.operations.state import journals, word


@dataclass(frozen=True, slots=True)
class Run:
    """One run of apply: who, when, which change set, and how many changes ended how. `ended`: its account is whole.

    `results` are the changes by how they ended, `done` those that were carried out, by their action. `actions` are what
    commands other than apply sent (a rotation of keys, a step to DANE); `error` is why the run broke off.
    """

    run: str
    begun: str
    actor: str
    commit: str
    digest: str
    tenant: str
    tenant_id: str
    owner: str
    approved_by: tuple[Mapping[str, str], ...] = ()
    ended: bool = False
    results: Mapping[str, int] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    error: str = ""
    wrote: bool = False

    @property
    def changed(self) -> bool:
        """Whether the run changed something, or may have: not what was made already, or only held back."""
        return self.wrote or bool(self.actions)

    @property
    def deeds(self) -> str:
        """What the run did, in words: created 1, changed 2; waiting 1; rotated the key of dkim["contoso.com"]."""
        words = {"create": "created", "update": "changed", "delete": "deleted"}
        made = ", ".join(f"{words[action]} {n:,}" for action, n in self.done.items() if action in words)
        rest = (f"{status.replace('_', ' ')} {n:,}" for status, n in self.results.items() if status != "done")
        sentence = "; ".join(filter(None, (made, ", ".join(rest), *self.actions))) or "changed nothing"
        return f"{sentence} ({self.error})" if self.error else sentence


def journal_of(context: Context, tenant_id: str) -> Path:
    """The journal of a tenant, fetched where it is shared. Raises InputError where nothing was ever applied."""
    path = fetched(context, tenant_id)
    if not path.exists() or not path.stat().st_size:
        place = context.profile.journal
        where = f"the shared journal {place} has no entry for it" if place else f"looked for {path}"
        raise _amiss("JOURNAL-NONE", f"no apply to {tenant_id} is recorded here", where)
    return path


def find_journal(context: Context, tenant_id: str | None, *, chosen: bool = False) -> Path:
    """The journal that is meant: of a tenant by its id, of the profile's tenant, or the only one.

    `chosen`: the profile was named, so that no other tenant's journal will do. Raises InputError for none, or several.
    """
    if tenant_id:
        return journal_of(context, tenant_id)
    share, folder = share_of(context.profile), context.state_folder
    known = share.names() if share else [path.parent.name for path in journals(folder)]
    if not known:
        where = context.profile.journal or f"{folder} (PROVISIONER_STATE_DIR names another folder)"
        raise _amiss("JOURNAL-NONE", "no apply is recorded here", f"journals are kept in {where}")
    wanted = context.profile.tenant
    if wanted and (found := _named(context, known, wanted)):
        return found
    if chosen and wanted:
        raise _amiss(
            "JOURNAL-NONE",
            f"no apply to {wanted} is recorded here",
            "list the other journals: provisioner history list --tenant-id ID",
        )
    if len(known) > 1:
        names = ", ".join(_labelled(context, name) for name in known)
        hint = "choose one with --profile or --tenant-id"
        raise _amiss("JOURNAL-SEVERAL", f"there are journals of {len(known)} tenants: {names}", hint)
    return journal_of(context, known[0])


def _named(context: Context, known: Sequence[str], tenant: str) -> Path | None:
    """The journal of a tenant by its id or initial domain, which every run has recorded. Nobody signs in for it."""
    if word(tenant) in known:
        return journal_of(context, tenant)
    for name in known:
        path = fetched(context, name)
        begins = (entry for entry in journal.entries(path) if entry["kind"] == "begin")
        if any(str(entry.get("tenant", "")).lower() == tenant.lower() for entry in begins):
            return path
    return None


def _labelled(context: Context, name: str) -> str:
    """A journal's name, which is the tenant's id, with the initial domain that its runs have recorded."""
    begins = [entry for entry in journal.entries(fetched(context, name)) if entry["kind"] == "begin"]
    domain = str(begins[-1].get("tenant", "")) if begins else ""
    return f"{domain} ({name})" if domain else name


def find_run(path: Path, run: str, *, changing: bool = False) -> Run:
    """A run by its id, the beginning of it, or `last`. Raises InputError.

    `changing`: `last` is the newest run that changed something, if there is one.
    """
    runs = runs_of(path)
    changed = [id_ for id_, facts in runs.items() if facts.changed] if changing else []
    found = (changed or list(runs))[-1:] if run == "last" else [r for r in runs if r.startswith(run)]
    if len(found) != 1:
        what = f'{len(found)} runs begin with "{run}"' if found else f'the journal has no run "{run}"'
        raise _amiss("RUN-UNKNOWN", what, "list the runs: provisioner history list")
    return runs[found[0]]


def applied_by(path: Path, digest: str) -> Run | None:
    """The newest run that has carried out the change set with this digest, all of it."""
    runs = (r for r in runs_of(path).values() if r.digest == digest and r.ended and not r.error)
    return next((r for r in reversed(list(runs)) if r.results and r.results.keys() <= {"done", "already_done"}), None)


def runs_of(path: Path) -> Mapping[str, Run]:
    """The runs of a journal by id, oldest first. What a run without an end has begun is counted as that."""
    begun: dict[str, journal.Entry] = {}
    results: dict[str, Counter[str]] = {}
    ended: set[str] = set()
    actions: dict[str, dict[str, str]] = {}
    errors: dict[str, str] = {}
    for entry in journal.entries(path):
        if entry["kind"] == "begin":
            begun[entry["run"]] = entry
        elif entry["kind"] == "finished":
            results.setdefault(entry["run"], Counter())[entry["status"]] += 1
        elif entry["kind"] == "end":
            ended.add(entry["run"])
            errors[entry["run"]] = _error(entry)
        elif entry["kind"] in _ACTIONS:
            actions.setdefault(entry["run"], {})[_about(entry)] = _action(entry)
    done: dict[str, Counter[str]] = {}
    wrote: set[str] = set()
    for deed in journal.deeds(path):
        if deed.done or deed.unseen:
            wrote.add(deed.run)
        if deed.status == "begun":
            results.setdefault(deed.run, Counter())["begun"] += 1
        if deed.done:
            done.setdefault(deed.run, Counter())[deed.action] += 1
    return {
        run: dataclasses.replace(
            _run(entry, run in ended, dict(results.get(run, {})), dict(done.get(run, {}))),
            actions=tuple(actions.get(run, {}).values()),
            error=errors.get(run, ""),
            wrote=run in wrote,
        )
        for run, entry in begun.items()
    }


_ROTATED, _CHANGED = "rotated the key of", "changed inbound DANE of"
_ACTIONS = {"rotating": _ROTATED, "rotated": _ROTATED, "dane-sending": _CHANGED, "dane-sent": _CHANGED}


def _action(entry: journal.Entry) -> str:
    """What a command other than apply sent, and how that ended where it is not done.

    Of a run that was cut off only that it was about to be sent is known.
    """
    status = str(entry.get("status", ""))
    ending = "" if status == "done" else f" ({status or 'unknown'})"
    return f"{_ACTIONS[entry['kind']]} {_about(entry)}{ending}"


def _about(entry: journal.Entry) -> str:
    return str(entry.get("address") or entry.get("domain", ""))


def _error(entry: journal.Entry) -> str:
    error = entry.get("error")
    return str(error.get("text", "")) if isinstance(error, Mapping) else ""


def _run(entry: journal.Entry, ended: bool, results: Mapping[str, int], done: Mapping[str, int]) -> Run:
    names = ("actor", "commit", "digest", "tenant", "tenant_id", "owner")
    named: dict[str, Any] = {n: str(entry.get(n, "")) for n in names}
    listed = entry.get("approved_by")
    approvers = tuple(
        {name: str(a.get(name, "")) for name in ("principal", "key")}
        for a in (listed if isinstance(listed, list) else ())
        if isinstance(a, dict)
    )
    return Run(entry["run"], entry["time"], ended=ended, approved_by=approvers, results=results, done=done, **named)


def _amiss(id_: str, what: str, hint: str) -> InputError:
    return InputError([Diagnostic(id_, what, hint)])
