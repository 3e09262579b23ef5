"""The report of a run over all tenants, from the run and one look at it."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from provisioner.fleet.waves import Look, Run, Standing
from provisioner.model.fleet import UNDONE, WAITING, ErrorDocument, FleetReport, TenantDocument
from provisioner.operations.context import rfc3339

FORMAT = 1


def report(run: Run, seen: Look) -> FleetReport:
    """The report: every tenant in the order of the fleet."""
    tenants = [_tenant(run, name, seen.standing[name]) for name in run.tenants]
    return {
        "format": FORMAT,
        "run": run.id,
        "kind": run.kind,
        "created": rfc3339(dt.datetime.fromisoformat(run.created)),
        "state": _state(run, seen),
        "stopped": seen.stopped,
        "counts": dict(Counter(t["state"] for t in tenants)),
        "tenants": tenants,
    }


def _tenant(run: Run, name: str, standing: Standing) -> TenantDocument:
    outcome = standing.outcome or {"state": standing.state, "seconds": 0.0}
    return {
        "name": name,
        "labels": run.labels.get(name, {}),
        "wave": "canary" if name in run.canaries else "rest",
        "state": standing.state,
        "digest": outcome.get("digest", standing.digest),
        "changes": outcome.get("changes", {}),
        "results": outcome.get("results", {}),
        "drifted": outcome.get("drifted", []),
        "outside": outcome.get("outside", 0),
        "run": outcome.get("run", ""),
        "seconds": outcome["seconds"],
        "error": _cut_off(run) if standing.state == "cut_off" else outcome.get("error"),
    }


def _cut_off(run: Run) -> ErrorDocument:
    """What to do with a tenant whose worker died during the apply."""
    what = (
        f"its worker died during the apply. Run `provisioner fleet resume {run.id}` on the machine where the apply "
        "began, or on any machine if the journal is shared"
    )
    return {"kind": "partial", "exit_code": 8, "message": what}


def _state(run: Run, seen: Look) -> str:
    if not seen.settled:
        return "cancelling" if run.cancelled else "running"
    if run.cancelled:
        return "cancelled"
    if seen.stopped:
        return "stopped"
    return "waiting" if any(s.state in WAITING for s in seen.standing.values()) else "finished"


def exit_code(report: FleetReport) -> int:
    """0 done, 2 drift, 8 something is not done, 10 only approvals are missing."""
    states = {tenant["state"] for tenant in report["tenants"]}
    if states & UNDONE or "cancelled" in states or report["state"] in {"running", "cancelling"}:
        return 8
    if states & WAITING:
        return 10
    return 2 if "drifted" in states else 0
