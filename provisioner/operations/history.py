"""The runs of apply that the journals hold. Needs no tenant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.diagnostics import Diagnostic, InputError
from provisioner.engine import journal
from provisioner.operations.state import journal_path, journals, state_folder


@dataclass(frozen=True, slots=True)
class Run:
    """One run of apply: who, when, which change set, and how many changes ended how."""

    run: str
    begun: str
    actor: str
    commit: str
    digest: str
    tenant: str
    tenant_id: str
    owner: str
    approved_by: tuple[Mapping[str, str], ...] = ()
    results: Mapping[str, int] = field(default_factory=dict)


def find_journal(tenant_id: str | None, folder: Path | None = None) -> Path:
    """The journal that is meant, in the user's state folder or another. Raises InputError for none, or several."""
    folder = folder or state_folder()
    if tenant_id:
        path = journal_path(tenant_id, folder)
        if not path.exists():
            raise _amiss("JOURNAL-NONE", f"nothing was ever applied to {tenant_id} from here", f"looked for {path}")
        return path
    known = journals(folder)
    if not known:
        where = f"journals lie in {folder}; PROVISIONER_STATE_DIR names another place"
        raise _amiss("JOURNAL-NONE", "nothing was ever applied from here", where)
    if len(known) > 1:
        names = ", ".join(p.parent.name for p in known)
        raise _amiss("JOURNAL-SEVERAL", f"there are journals of {len(known)} tenants: {names}", "say --tenant-id")
    return known[0]


def find_run(path: Path, run: str) -> Run:
    """A run by its id, the beginning of it, or `last`. Raises InputError."""
    runs = runs_of(path)
    found = list(runs)[-1:] if run == "last" else [r for r in runs if r.startswith(run)]
    if len(found) != 1:
        what = f'{len(found)} runs begin with "{run}"' if found else f'there is no run "{run}"'
        raise _amiss("RUN-UNKNOWN", what, "provisioner history list shows them")
    return runs[found[0]]


def runs_of(path: Path) -> Mapping[str, Run]:
    """The runs of a journal by id, oldest first."""
    begun: dict[str, journal.Entry] = {}
    results: dict[str, Counter[str]] = {}
    for entry in journal.entries(path):
        if entry["kind"] == "begin":
            begun[entry["run"]] = entry
        elif entry["kind"] == "finished":
            results.setdefault(entry["run"], Counter())[entry["status"]] += 1
    return {run: _run(entry, dict(results.get(run, {}))) for run, entry in begun.items()}


def _run(entry: journal.Entry, results: Mapping[str, int]) -> Run:
    named = {n: str(entry.get(n, "")) for n in ("actor", "commit", "digest", "tenant", "tenant_id", "owner")}
    listed = entry.get("approved_by")
    approvers = tuple(
        {name: str(a.get(name, "")) for name in ("principal", "key")}
        for a in (listed if isinstance(listed, list) else ())
        if isinstance(a, dict)
    )
    return Run(entry["run"], entry["time"], approved_by=approvers, results=results, **named)


def _amiss(id_: str, what: str, mend: str) -> InputError:
    return InputError([Diagnostic(id_, what, mend)])
