"""Authentication policies that are missing, in use, or late, without a tenant."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from provisioner.changes import planning
from provisioner.diagnostics import Severity
from provisioner.model import Absent, Address, Answer, Finding, Observed, Present, request_key
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import EVERYBODY, AuthenticationPolicy
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.rows import authentication_policy
from provisioner.resources.smtp_auth import SmtpAuth

HEAD = {"provisioner": 1, "tenant": "contoso.onmicrosoft.com"}
ERP, FAX, ALL = "erp@contoso.com", "fax@contoso.com", "organization"
GONE: dict[str, Any] = {"absent": ["authentication_policy/devices"]}


def assigned(**policies: str) -> dict[str, Any]:
    """The section that gives policies to mailboxes, and to the organization as `default`."""
    default = {"default": policies.pop("default")} if "default" in policies else {}
    mailboxes = {f"{name}@contoso.com": policy for name, policy in policies.items()}
    return {"assignments": {"authentication_policy": {**default, "mailboxes": mailboxes}}}


def policy(*holders: str) -> AuthenticationPolicy:
    return AuthenticationPolicy("devices", allow_basic_smtp=True, holders=frozenset(holders))


def found(tmp_path: Path, *live: Any, known: Sequence[str] | None = None, **sections: Any) -> list[Finding]:
    """The findings of these rules; `known` are the policies of the tenant, None where they could not be read."""
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**HEAD, **sections}))
    desired, _ = document.load(tmp_path, TYPES, today=dt.date(2026, 11, 26))
    there = {_address(spec): spec for spec in live}
    resources = {a: Present(there[a]) if a in there else Absent() for a in (*desired.resources, *desired.absent)}
    rows = None if known is None else tuple({"Name": name} for name in known)
    evidence = {} if rows is None else {request_key(authentication_policy.REQUEST): Answer(rows)}
    planned = planning.plan(desired, Observed(resources, evidence=evidence), TYPES)
    return [f for f in planned.findings if f.rule in {"POLICY-MISSING", "POLICY-IN-USE", "POLICY-DELAY"}]


def _address(spec: Any) -> Address:
    kind = next(t for t in TYPES if t.spec is type(spec))
    return Address(kind.name, getattr(spec, dataclasses.fields(spec)[0].name))


def test_a_policy_that_nobody_declares_and_the_tenant_lacks_is_missing(tmp_path: Path) -> None:
    live = (PolicyAssignment(ERP, "inherit", "inherited"),)
    (missing,) = missing_in(found(tmp_path, *live, known=["other"], **assigned(erp="devices")))
    assert str(missing.address) == f'authentication_policy_assignment["{ERP}"]'
    assert missing.summary.endswith("the tenant has no authentication policy devices, and the plan declares none")
    assert not missing_in(found(tmp_path, *live, known=["Devices"], **assigned(erp="devices")))
    assert not missing_in(found(tmp_path, *live, known=None, **assigned(erp="devices")))
    declared: dict[str, Any] = {"authentication_policies": {"devices": {}}, **assigned(erp="devices")}
    assert not missing_in(found(tmp_path, *live, known=[], **declared))


def missing_in(findings: list[Finding]) -> list[Finding]:
    return [f for f in findings if f.rule == "POLICY-MISSING"]


def test_a_policy_that_somebody_has_still_is_not_deleted(tmp_path: Path) -> None:
    (used,) = (f for f in found(tmp_path, policy(ERP, EVERYBODY), **GONE) if f.rule == "POLICY-IN-USE")
    assert used.blocks
    assert used.summary.endswith(f"is still the policy of the organization (its default), {ERP}")
    assert "POLICY-IN-USE" not in {f.rule for f in found(tmp_path, policy(), **GONE)}


def test_who_gets_another_policy_in_the_same_run_does_not_have_it_any_more(tmp_path: Path) -> None:
    live = (policy(ERP, FAX), PolicyAssignment(ERP, "devices", "allowed"), PolicyAssignment(FAX, "devices", "allowed"))
    both = found(tmp_path, *live, **GONE, **assigned(erp="inherit", fax="inherit"))
    assert "POLICY-IN-USE" not in {f.rule for f in both}
    (used,) = (f for f in found(tmp_path, *live, **GONE, **assigned(erp="inherit")) if f.rule == "POLICY-IN-USE")
    assert used.summary.endswith(f"is still the policy of {FAX}")


def test_an_effect_that_no_read_shows_is_told_and_warned_of_where_something_closes(tmp_path: Path) -> None:
    opens: dict[str, Any] = {"authentication_policies": {"devices": {"allow_basic_smtp": True}}}
    live = (dataclasses.replace(policy(ERP), allow_basic_smtp=False),)
    (late,) = found(tmp_path, *live, **opens)
    assert (late.rule, late.severity, str(late.address)) == (
        "POLICY-DELAY",
        Severity.INFO,
        'authentication_policy["devices"]',
    )
    closes: dict[str, Any] = {**opens, "smtp_auth": {"mailboxes": {FAX: "disabled"}}}
    (warned,) = found(tmp_path, *live, SmtpAuth(FAX, "enabled"), **closes)
    assert warned.severity is Severity.WARNING
    assert warned.hint.startswith("apply what opens alone first (--target 'authentication_policy/devices')")
    assert str(warned.address) == 'authentication_policy["devices"]'
    unused = dataclasses.replace(live[0], holders=frozenset())
    assert found(tmp_path, unused, **opens) == []


def test_of_several_late_changes_the_first_is_named_first(tmp_path: Path) -> None:
    opens: dict[str, Any] = {
        "authentication_policies": {"devices": {"allow_basic_smtp": True}},
        **assigned(fax="inherit"),
    }
    live = (dataclasses.replace(policy(ERP), allow_basic_smtp=False), PolicyAssignment(FAX, "blocks", "blocked"))
    (late,) = found(tmp_path, *live, **opens)
    assert late.summary.startswith(str(late.address))
