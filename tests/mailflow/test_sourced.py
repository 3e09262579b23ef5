"""Rows from public sources, in our words, that `mailflow` and the sandbox must both answer (tests/rows)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.mailflow import Attempt
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Tenant
from tests.mailflow.comparing import (
    BILLS,
    ERP,
    ERP_ID,
    OPEN,
    SHARED,
    SHARED_ID,
    Case,
    decision_of,
    objects_of,
    observed_of,
)

ROWS_FILE = Path(__file__).parents[1] / "rows" / "mail-decisions.yaml"
TABLE = yaml.load(ROWS_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
ROWS: list[dict[str, Any]] = TABLE["rows"]
BLOCK_LEGACY: dict[str, Any] = {
    "id": "33333333-0000-4000-8000-000000000003",
    "displayName": "Block legacy",
    "state": "enabled",
    "conditions": {
        "clientAppTypes": ["exchangeActiveSync", "other"],
        "applications": {"includeApplications": ["All"]},
        "users": {"includeUsers": ["All"]},
    },
    "grantControls": {"builtInControls": ["block"]},
}


def connectors(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The connectors of a row: by name, or by name with what is different."""
    found = []
    for entry in row.get("connectors", ()):
        name, changes = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        found.append({"Name": name, "Enabled": True, **TABLE["connectors"][name], **changes})
    return found


def tenant_of(row: dict[str, Any]) -> Tenant:
    base = TABLE["tenant"]
    switches = row.get("switch", {})
    mailboxes = [
        {**m, "smtp_client_authentication_disabled": switches[m["address"]]} if m["address"] in switches else m
        for m in base["mailboxes"]
    ]
    licensed = {"accountEnabled": True, "assignedPlans": [{"service": "exchange", "capabilityStatus": "Enabled"}]}
    users = [{"id": i, "userPrincipalName": a, "mail": a, **licensed} for a, i in ((ERP, ERP_ID), (SHARED, SHARED_ID))]
    graph = {"users": users}
    if "access" in row:
        changes = dict(row["access"])
        users_of = changes.pop("users", None)
        policy = {**BLOCK_LEGACY, **changes}
        if users_of:
            policy["conditions"] = {**policy["conditions"], "users": users_of}
        graph["conditionalAccessPolicies"] = [policy]
    tenant = Tenant()
    objects = {**base["objects"], **row.get("seed", {}), "InboundConnector": connectors(row)}
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": mailboxes, "objects": objects, "graph": graph}))
    if "graph" in row:
        tenant.merge(load_seed({"sandbox": 1, "graph": row["graph"]}))
    return tenant


def case_of(row: dict[str, Any]) -> Case:
    send, tenant = row["send"], tenant_of(row)
    tls, certificate = send.get("tls", True), send.get("certificate", "")
    attempt = Attempt(
        send["from"],
        send["outside"],
        f"{send['ip']}/32" if "ip" in send else "",
        certificate,
        tls,
        send.get("sign_in", ""),
        send.get("mailbox", ERP) if "sign_in" in send else "",
        True if send.get("sign_in") == "oauth" else None,
        recipients=send.get("recipients", 1),
        sent_before=send.get("before", 0),
        recipient_domain="" if send["outside"] else "contoso.com",
    )
    source = Source(send.get("ip", "192.0.2.1"), (certificate,) if certificate and tls else (), tls)
    return Case(tenant, attempt, source, "b@outside.example" if send["outside"] else BILLS)


def test_there_are_sixty_rows_and_each_names_its_source() -> None:
    assert len(ROWS) >= 60
    assert len({row["says"] for row in ROWS}) == len(ROWS)
    assert all(row["source"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row["says"] for row in ROWS])
def test_both_answer_as_the_source_says(row: dict[str, Any]) -> None:
    case = case_of(row)
    found = decision_of(observed_of(case.tenant, objects_of(case.attempt)), case.attempt)
    reasons = case.reasons()
    if isinstance(row["expect"], dict):
        undecided = frozenset(row["expect"]["undecided"])
        assert (found.allowed is not False, found.doubtful & OPEN, found.certain) == (True, undecided, frozenset()), (
            found
        )
        assert (case.undecided(), reasons) == (undecided, frozenset())
        return
    assert not found.doubtful & OPEN
    assert not case.undecided()
    if row["expect"] == "open":
        assert found.allowed is None, found
        assert reasons <= found.doubtful, "the sandbox answers something, and we name it as possible"
        return
    expected = frozenset() if row["expect"] == "accepted" else frozenset(row["expect"])
    assert (found.allowed, found.certain) == (not expected, expected), found
    twins = {"no_connector", "sender_not_accepted"}
    assert reasons - (twins if expected & twins else set()) == expected - twins, sorted(case.refusals())
    assert bool(reasons) is bool(expected)
