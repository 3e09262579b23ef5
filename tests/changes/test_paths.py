"""The sending paths of a change set: which open and close, for whom, and which devices use them."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from provisioner.changes import planning
from provisioner.model import Absent, Address, Observation, Observed, Present
from provisioner.model.paths import SendingPath
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.authentication_policy import INHERIT, AuthenticationPolicy
from provisioner.resources.policy_assignment import PolicyAssignment
from provisioner.resources.smtp_auth import SmtpAuth

PLAN = """
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: us/prod
smtp_auth:
  mailboxes: { erp@contoso.com: SWITCH }
authentication_policies:
  block: { allow_basic_smtp: false }
assignments:
  authentication_policy:
    mailboxes: { erp@contoso.com: POLICY }
"""
DEVICE = """
devices:
  erp:
    from: erp@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [AUTHENTICATION] }
    method: client_submission
"""
ERP = "erp@contoso.com"


def paths(folder: Path, text: str, was: str) -> dict[tuple[str, ...], SendingPath]:
    """The paths of the mailbox by what signs in there. Its switch was this word, and it had no policy of its own."""
    (folder / "plan.yaml").write_text(text, encoding="utf-8")
    desired, _ = document.load(folder / "plan.yaml", TYPES, today=datetime.date(2026, 11, 23))
    seen: dict[Address, Observation] = {
        **dict.fromkeys(desired.resources, Absent()),
        Address("authentication_policy", "block"): Present(AuthenticationPolicy("block", allow_basic_smtp=False)),
        Address("authentication_policy_assignment", ERP): Present(PolicyAssignment(ERP, policy=INHERIT)),
        Address("smtp_auth", ERP): Present(SmtpAuth(ERP, was)),
    }
    found = planning.plan(desired, Observed(seen), TYPES).paths
    return {path.ways: path for path in found if path.kind == "mailbox"}


@pytest.mark.parametrize(
    ("was", "switch", "gains", "loses"), [("disabled", "enabled", True, False), ("enabled", "disabled", False, True)]
)
def test_who_has_no_other_way_gains_or_loses_with_the_path(
    tmp_path: Path, was: str, switch: str, gains: bool, loses: bool
) -> None:
    (path,) = paths(tmp_path, PLAN.replace("SWITCH", switch).replace("POLICY", "inherit"), was).values()
    assert (path.gains, path.loses) == (gains, loses)


@pytest.mark.parametrize(("authentication", "way"), [("basic", "password"), ("oauth", "OAuth")])
def test_a_device_uses_the_path_of_what_it_signs_in_with(tmp_path: Path, authentication: str, way: str) -> None:
    text = (PLAN + DEVICE).replace("AUTHENTICATION", authentication)
    found = paths(tmp_path, text.replace("SWITCH", "enabled").replace("POLICY", "block"), "enabled")
    assert {ways: path.devices for ways, path in found.items() if path.devices} == {(way,): ("erp",)}
