"""The devices against the tenant's limit of external recipients, as far as it was read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner import rules
from provisioner.model import Answer, Finding, Observed, Unknown, request_key
from provisioner.resources import TYPES
from provisioner.resources.rows import external_limit
from provisioner.rules import questions
from tests.rules.test_accepted_is_not_delivered import DEVICE, SITE, loaded

VOLUME = SITE.format(more="") + DEVICE.format(to="anyone", how="", more=", messages_per_day: 4000")
UNREAD = Unknown("the role is missing", "permission")


def told(folder: Path, answer: Answer | Unknown, plan: str = VOLUME) -> list[Finding]:
    observed = Observed({}, evidence={request_key(external_limit.REQUEST): answer})
    found = rules.lint(loaded(folder, plan), TYPES, observed)
    return [f for f in found if f.rule in {"TENANT-EXTERNAL-LIMIT", "RULE-NOT-DECIDED"}]


def status(reached: Any, most: Any, **more: Any) -> Answer:
    return Answer(({"ObservedValue": reached, "Threshold": most, **more},))


def test_the_headroom_of_the_tenant_counts_and_not_the_number_of_licences(tmp_path: Path) -> None:
    assert told(tmp_path, status(6_000, 10_000)) == []
    (found,) = told(tmp_path, status("6001", "10000", EnforcementEnabled=True))
    assert "6,001 of 10,000 in the last 24 hours, which leaves 3,999 (550 5.7.233)" in found.summary
    (later,) = told(tmp_path, status(20_000, 10_000, EnforcementEnabled=False))
    assert later.summary.endswith("which leaves 0; the limit is not enforced yet")
    large = VOLUME.replace("4000", "72446")
    assert told(tmp_path, status(0, 100_000), large) == [], "what the plan alone supposes is settled by the tenant"


@pytest.mark.parametrize(
    "answer", [UNREAD, Answer(), status(None, 10_000), status(3, 0), status("many", 1), status(-1, 5)]
)
def test_what_could_not_be_read_is_said_and_nothing_is_concluded(tmp_path: Path, answer: Answer | Unknown) -> None:
    (found,) = told(tmp_path, answer)
    assert found.rule == "RULE-NOT-DECIDED"
    assert "TENANT-EXTERNAL-LIMIT" in found.summary
    assert "Get-LimitsEnforcementStatus" in found.hint
    many = told(tmp_path, answer, VOLUME.replace("4000", "72446"))
    assert [f.rule for f in many] == ["TENANT-EXTERNAL-LIMIT", "RULE-NOT-DECIDED"]


def test_the_limit_is_asked_for_only_where_a_volume_is_written_that_it_counts(tmp_path: Path) -> None:
    def asked(plan: str) -> bool:
        return external_limit.REQUEST in questions(loaded(tmp_path, plan))

    assert asked(VOLUME)
    assert not asked(VOLUME.replace(", messages_per_day: 4000", ""))
    assert not asked(VOLUME.replace("anyone", "organization"))


@pytest.mark.parametrize(("recipients", "licences"), [(1, 1), (10_000, 1), (22_059, 100), (72_446, 1_000)])
def test_licences_follow_from_the_published_formula(recipients: int, licences: int) -> None:
    assert external_limit.licences_for(recipients) == licences
