"""The runs of apply that the journals hold. Needs no tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.operations.context import Context
from provisioner.operations.journals import fetched, share_of
from provisioner.operations.state import journals, word


@dataclass(frozen=True, slots=True)
class Run:
    """One run of apply: who, when, which change set, and how many changes ended how. `ended`: its account is whole.

    `results` are the changes by how they ended, `done` those that were carried out, by their action.
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

    @property
    def deeds(self) -> str:
        """What the run did, in words: created 1, changed 2; waiting 1."""
        words = {"create": "created", "update": "changed", "delete": "deleted"}
        made = ", ".join(f"{words[action]} {n:,}" for action, n in self.done.items() if action in words)
        rest = (f"{status.replace('_', ' ')} {n:,}" for status, n in self.results.items() if status != "done")
        return "; ".join(filter(None, (made, ", ".join(rest)))) or "changed nothing"


def journal_of(context: Context, tenant_id: str) -> Path:
    """The journal of a tenant, fetched where it is shared. Raises InputError where nothing was ever applied."""
    path = fetched(context, tenant_id)
    if not path.exists() or not path.stat().st_size:
        place = context.profile.journal
        where = f"the shared journal {place} has no entry for it" if place else f"looked for {path}"
        raise _amiss("JOURNAL-NONE", f"nothing was ever applied to {tenant_id} from here", where)
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
        where = context.profile.journal or f"{folder}; PROVISIONER_STATE_DIR names another place"
        raise _amiss("JOURNAL-NONE", "nothing was ever applied from here", f"journals lie in {where}")
    wanted = context.profile.tenant
    if wanted and (found := _named(context, known, wanted)):
        return found
    if chosen and wanted:
        raise _amiss("JOURNAL-NONE", f"nothing was ever applied to {wanted} from here", "provisioner history list")
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


def find_run(path: Path, run: str) -> Run:
    """A run by its id, the beginning of it, or `last`. Raises InputError."""
    runs = runs_of(path)
    found = list(runs)[-1:] if run == "last" else [r for r in runs if r.startswith(run)]
    if len(found) != 1:
        what = f'{len(found)} runs begin with "{run}"' if found else f'there is no run "{run}"'
        raise _amiss("RUN-UNKNOWN", what, "provisioner history list shows them")
    return runs[found[0]]


def runs_of(path: Path) -> Mapping[str, Run]:
    """The runs of a journal by id, oldest first. What a run without an end has begun is counted as that."""
    begun: dict[str, journal.Entry] = {}
    results: dict[str, Counter[str]] = {}
    ended: set[str] = set()
    for entry in journal.entries(path):
        if entry["kind"] == "begin":
            begun[entry["run"]] = entry
        elif entry["kind"] == "finished":
            results.setdefault(entry["run"], Counter())[entry["status"]] += 1
        elif entry["kind"] == "end":
            ended.add(entry["run"])
    done: dict[str, Counter[str]] = {}
    for deed in journal.deeds(path):
        if deed.status == "begun":
            results.setdefault(deed.run, Counter())["begun"] += 1
        if deed.done:
            done.setdefault(deed.run, Counter())[deed.action] += 1
    return {
        run: _run(entry, run in ended, dict(results.get(run, {})), dict(done.get(run, {})))
        for run, entry in begun.items()
    }


def _run(entry: journal.Entry, ended: bool, results: Mapping[str, int], done: Mapping[str, int]) -> Run:
    named = {n: str(entry.get(n, "")) for n in ("actor", "commit", "digest", "tenant", "tenant_id", "owner")}
    listed = entry.get("approved_by")
    approvers = tuple(
        {name: str(a.get(name, "")) for name in ("principal", "key")}
        for a in (listed if isinstance(listed, list) else ())
        if isinstance(a, dict)
    )
    return Run(entry["run"], entry["time"], ended=ended, approved_by=approvers, results=results, done=done, **named)


def _amiss(id_: str, what: str, hint: str) -> InputError:
    return InputError([Diagnostic(id_, what, hint)])
