"""The Rego example in docs/policies, evaluated over change sets as conftest would."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import regopy

from provisioner.changes import changeset
from provisioner.diagnostics import Severity
from provisioner.model import Action, Address, Change, ChangeSet, Finding, Unknown
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

POLICY = Path(__file__).parents[1] / "docs" / "policies" / "mail.rego"


def verdicts(subject: ChangeSet) -> tuple[list[str], list[str]]:
    """What `data.main.deny` and `data.main.warn` say of a change set."""
    rego = regopy.Interpreter()
    rego.add_module("mail", POLICY.read_text(encoding="utf-8"))
    rego.set_input(changeset.to_document(subject))
    return _ask(rego, "deny"), _ask(rego, "warn")


def _ask(rego: regopy.Interpreter, rule: str) -> list[str]:
    """By way of base64, since this interpreter does not escape quotes in the JSON that it prints."""
    answer = rego.query(f'x = base64.encode(concat("\\n", data.main.{rule}))')
    joined = base64.b64decode(str(answer.binding("x").json()).strip('"')).decode()
    return sorted(joined.split("\n")) if joined else []


CALM = ChangeSet("contoso.onmicrosoft.com", "id", "us", ())


def test_an_empty_change_set_passes() -> None:
    assert verdicts(CALM) == ([], [])


def test_a_delete_warns() -> None:
    gone = InboundConnector("old", comment="")
    change = Change(Address("inbound_connector", "old"), Action.DELETE, gone, None)
    assert verdicts(dataclasses.replace(CALM, changes=(change,))) == (
        [],
        ['inbound_connector["old"] will be destroyed'],
    )


@pytest.mark.parametrize(
    ("subject", "word"),
    [
        ({"unknown": {Address("smtp_auth", "a@x.com"): Unknown("throttled")}}, "could not be read"),
        ({"findings": (Finding("IP-PRIVATE", Severity.ERROR, "10.0.0.1", blocks="apply"),)}, "IP-PRIVATE: 10.0.0.1"),
        (
            {
                "changes": (
                    Change(
                        Address("smtp_auth", "organization"),
                        Action.UPDATE,
                        SmtpAuth("organization", "disabled"),
                        SmtpAuth("organization", "enabled"),
                    ),
                )
            },
            "must stay off",
        ),
        (
            {
                "changes": (
                    Change(
                        Address("inbound_connector", "x"),
                        Action.CREATE,
                        None,
                        InboundConnector("x", treat_messages_as_internal=True),
                    ),
                )
            },
            "skips the spam filter",
        ),
    ],
)
def test_what_the_policy_forbids_is_denied(subject: dict[str, Any], word: str) -> None:
    denied, _ = verdicts(dataclasses.replace(CALM, **subject))
    assert any(word in message for message in denied)


def test_a_waived_finding_passes() -> None:
    waived = Finding("IP-PRIVATE", Severity.ERROR, "10.0.0.1", blocks="apply", waived="CHG-1")
    assert verdicts(dataclasses.replace(CALM, findings=(waived,))) == ([], [])
