"""The report of a fleet: text, one HTML page with search and filters, and metrics for Prometheus."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from provisioner.model.fleet import STATES, FleetReport, TenantDocument
from provisioner.model.listing import counted, listed
from provisioner.render.escape import visible
from provisioner.render.pages import page, source

WORDS: Mapping[str, str] = {"no_changes": "no changes", "in_sync": "in sync", "cut_off": "cut off"}
_TO_APPROVE = ("planned", "waiting_for_approval")
_VERBS = (("create", "to add"), ("update", "to change"), ("delete", "to destroy"))


def words(state: str) -> str:
    """A state in words."""
    return WORDS.get(state, state.replace("_", " "))


def changes(tenant: TenantDocument) -> str:
    """The changes of a tenant, as a plan counts them; "" for none."""
    return ", ".join(f"{n} {verb}" for action, verb in _VERBS if (n := tenant["changes"].get(action)))


def detail(tenant: TenantDocument) -> str:
    """What a person needs to know of a tenant beside its state."""
    if tenant["error"]:
        return tenant["error"]["message"]
    if tenant["drifted"]:
        outside = f"; {tenant['outside']} changed from outside" if tenant["outside"] else ""
        return listed(tenant["drifted"], 3) + outside
    results = tenant["results"].items()
    return ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in results) or changes(tenant)


# --- text ------------------------------------------------------------------------------------------------------------


def text(report: FleetReport) -> str:
    """One line for each tenant, with the digest of a change set that can be approved; then the counts."""
    lines = [f"Fleet {report['kind']}, run {report['run']} of {report['created']}: {report['state']}", ""]
    width = max((len(t["name"]) for t in report["tenants"]), default=0)
    for tenant in report["tenants"]:
        wave = "  (canary)" if tenant["wave"] == "canary" else ""
        about = detail(tenant)
        lines.append(f"{tenant['name']:{width}}  {words(tenant['state'])}{wave}{': ' if about else ''}{about}")
        if tenant["state"] in _TO_APPROVE:
            lines.append(f"{'':{width}}  {tenant['digest']}")
    lines += ["", summary(report)]
    lines += [f"Stopped: {report['stopped']}."] if report["stopped"] else []
    return "".join(f"{visible(line)}\n" for line in lines)


def summary(report: FleetReport) -> str:
    """How many tenants are in which state."""
    ordered = [state for state in STATES if state in report["counts"]]
    states = ", ".join(f"{report['counts'][state]:,} {words(state)}" for state in ordered)
    return f"{counted(len(report['tenants']), 'tenant')}: {states}."


def next_steps(report: FleetReport) -> Iterator[str]:
    """The commands that go on with a run that nobody works on, each with what it is for."""
    resume, states = f"provisioner fleet resume {report['run']}", report["counts"]
    if report["state"] in {"running", "cancelling", "cancelled"}:
        return
    if to_approve := sum(states.get(state, 0) for state in _TO_APPROVE):
        one = to_approve == 1
        yield (
            f"{to_approve:,} change set{'' if one else 's'} wait{'s' if one else ''} for approval: {resume} "
            "--approve TENANT|all, or --approved FILE"
        )
    if states.get("failed") or states.get("incomplete"):
        yield f"To try again what failed: {resume} --retry"
    if states.get("cut_off"):
        yield f"To continue what was cut off, on the machine where it began or with a shared journal: {resume}"


# --- HTML ------------------------------------------------------------------------------------------------------------


def html(report: FleetReport) -> str:
    """One page that needs nothing else: no other file is fetched, and it can be read without scripts too."""
    script = source("fleet.js")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return page(
        "fleet.html.jinja",
        report=report,
        summary=summary(report),
        filters=_filters(report["tenants"]),
        words=words,
        changes=changes,
        detail=detail,
        style=source("base.css") + source("plan.css"),
        script=script,
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'",
    )


def _filters(tenants: Sequence[TenantDocument]) -> list[tuple[str, list[tuple[str, int]]]]:
    """The filters by state and by wave, each with its values and how many tenants have them."""
    states, waves = Counter(t["state"] for t in tenants), Counter(t["wave"] for t in tenants)
    return [("state", sorted(states.items())), ("wave", sorted(waves.items()) if len(waves) > 1 else [])]


# --- Prometheus ------------------------------------------------------------------------------------------------------


def prometheus(report: FleetReport) -> str:
    """A file for the textfile collector of node_exporter (prometheus.io, "Exposition formats")."""
    return "".join(f"{line}\n" for line in _metrics(report))


def _metrics(report: FleetReport) -> Iterator[str]:
    run = {"kind": report["kind"]}
    yield "# HELP provisioner_fleet_run_created_seconds When the newest run began, in seconds since the epoch."
    yield "# TYPE provisioner_fleet_run_created_seconds gauge"
    created = dt.datetime.fromisoformat(report["created"]).timestamp()
    yield f"provisioner_fleet_run_created_seconds{_labels(run)} {created:.0f}"
    yield "# HELP provisioner_fleet_tenants Tenants of the newest run by state."
    yield "# TYPE provisioner_fleet_tenants gauge"
    for state in STATES:
        yield f"provisioner_fleet_tenants{_labels({**run, 'state': state})} {report['counts'].get(state, 0)}"
    yield "# HELP provisioner_fleet_tenant_state The state of each tenant, 1 for the one that it is in."
    yield "# TYPE provisioner_fleet_tenant_state gauge"
    for tenant in report["tenants"]:
        labels = {**run, "tenant": tenant["name"], "wave": tenant["wave"], "state": tenant["state"]}
        yield f"provisioner_fleet_tenant_state{_labels(labels)} 1"
    yield "# HELP provisioner_fleet_tenant_changes Changes of each tenant's plan by action."
    yield "# TYPE provisioner_fleet_tenant_changes gauge"
    for tenant in report["tenants"]:
        for action, _ in _VERBS:
            labels = {**run, "tenant": tenant["name"], "action": action}
            yield f"provisioner_fleet_tenant_changes{_labels(labels)} {tenant['changes'].get(action, 0)}"
    yield "# HELP provisioner_fleet_tenant_duration_seconds How long the last step of each tenant took."
    yield "# TYPE provisioner_fleet_tenant_duration_seconds gauge"
    for tenant in report["tenants"]:
        labels = {**run, "tenant": tenant["name"]}
        yield f"provisioner_fleet_tenant_duration_seconds{_labels(labels)} {tenant['seconds']}"


def _labels(labels: Mapping[str, str]) -> str:
    """Labels with the three characters escaped that end a value or a line."""
    escaped = {
        name: visible(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        for name, value in labels.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"
