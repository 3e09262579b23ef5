"""Whose mail records `dns check` looks at."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from provisioner.operations.domains import mail_domains
from provisioner.plan import document
from provisioner.resources import TYPES

A_DOMAIN_EACH = (
    "domains: { x.example: { verified: true } }",
    "accepted_domains: { x.example: { type: authoritative } }",
    "dkim: { x.example: { enabled: false } }",
    "dns: { x.example: { publish: [spf] } }",
    "smtp_auth: { organization: disabled, mailboxes: { erp@x.example: enabled } }",
    "mailbox_selections: { printers: { domain: x.example, smtp_auth: enabled } }",
    "assignments: { authentication_policy: { default: none, mailboxes: { erp@x.example: inherit } } }",
    "hve_accounts: { news@x.example: { display_name: News, password: env:HVE_PASSWORD } }",
    "send_as: { 5a1c2a52-0000-4000-8000-000000000001: [news@x.example] }",
    "application_role_assignments: { 6f1c0d1e-0000-4000-8000-000000000001: { SMTP.SendAsApp: [news@x.example] } }",
    "mailbox_permissions: { 6f0a3c1e-0000-4000-8000-000000000001: [news@x.example] }",
)


def named(folder: Path, section: str) -> set[str]:
    plan = folder / "plan.yaml"
    plan.write_text(f"provisioner: 1\ntenant: contoso.onmicrosoft.com\n{section}\n", encoding="utf-8")
    desired, found = document.read(plan, TYPES, today=datetime.date(2026, 11, 26))
    assert not [d for d in found if str(d.severity) == "error"]
    return mail_domains(desired)


@pytest.mark.parametrize("section", A_DOMAIN_EACH)
def test_the_domain_that_an_object_sends_from_is_looked_at(tmp_path: Path, section: str) -> None:
    assert named(tmp_path, section) == {"x.example"}


def test_the_organization_and_the_coexistence_domain_are_not(tmp_path: Path) -> None:
    section = "smtp_auth: { organization: disabled, mailboxes: { fax@contoso.mail.onmicrosoft.com: enabled } }"
    assert named(tmp_path, section) == set()
