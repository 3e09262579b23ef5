"""What `explain RULE` prints is the page of the rule, and the example of each page is a plan about that rule."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from provisioner import rules
from provisioner.diagnosis.causes import CAUSES
from provisioner.diagnostics import InputError
from provisioner.operations import manual
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.rules import RULES

HEAD = "provisioner: 1\ntenant: contoso.onmicrosoft.com\n"
SHOWN_WITHOUT_A_TENANT = {
    "ABSENT-DECLARED", "CERTIFICATE-UNUSED", "CERTIFICATE-WILDCARD", "CONNECTOR-SAME-SCOPE", "CONNECTOR-SHARED-ADDRESS",
    "CONNECTOR-TYPE-MISSING", "CONNECTOR-WITHOUT-SENDERS", "DEVICE-NO-METHOD", "DEVICE-RISK", "DKIM-COEXISTENCE",
    "DKIM-KEY-1024", "IP-COVERED", "IP-DOCUMENTATION", "IP-PRIVATE", "IP-RANGE-WIDE", "TENANT-EXTERNAL-LIMIT",
    "TREAT-AS-INTERNAL",
}  # fmt: skip


def test_every_rule_says_why_and_how_to_fix_it_with_an_example() -> None:
    for rule in RULES:
        found = manual.entry(rule)
        assert all(found[part] for part in ("summary", "why", "example", "fix")), rule
        assert Path(manual.place(found["page"].removeprefix("docs/"))).is_file()


def test_every_finding_about_mail_records_and_every_cause_is_explained() -> None:
    known = manual.identifiers()
    assert {c.id for c in CAUSES} < set(known)
    assert {"SPF-IP-MISSING", "DKIM-CNAME-SWAPPED", "MTA-STS-MX", "DMARC-NONE"} < set(known)
    for name in known:
        found = manual.entry(name)
        assert found["summary"], name
        assert found["fix"] or name == "DMARC-INHERITED", name


def test_capitals_do_not_matter_and_a_near_miss_is_named() -> None:
    assert manual.entry("ip-private")["rule"] == "IP-PRIVATE"
    assert manual.entry("PORT-25-BLOCKED")["rule"] == "port-25-blocked"
    with pytest.raises(InputError) as refused:
        manual.entry("SMTP-TENANTWIDE")
    assert refused.value.found[0].hint == "did you mean SMTP-TENANT-WIDE?"


def test_an_address_is_not_taken_for_a_rule() -> None:
    assert manual.is_rule("IP-PRIVATE")
    for address in ("device/scanner", "smtp_auth/erp@contoso.com", 'dkim["contoso.com"]', ""):
        assert not manual.is_rule(address)


def test_the_example_of_a_page_is_a_plan_and_shows_its_rule_where_a_plan_alone_can(tmp_path: Path) -> None:
    shown = set()
    for rule in RULES:
        (body,) = re.findall(r"(?s)^```yaml\n(.*?)```", manual.entry(rule)["example"])
        plan = tmp_path / f"{rule}.yaml"
        plan.write_text(HEAD + ("" if "owner:" in body else "owner: mail/prod\n") + body, encoding="utf-8")
        if rule in _said(plan):
            shown.add(rule)
    assert shown == SHOWN_WITHOUT_A_TENANT


def _said(plan: Path) -> set[str]:
    try:
        desired, told = document.load(plan, TYPES, today=dt.date(2026, 11, 26))
    except InputError as error:
        return {d.id for d in error.found}
    return {f.rule for f in rules.lint(desired)} | {d.id for d in told}
