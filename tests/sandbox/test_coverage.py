"""The sandbox's table of cmdlets against the published one."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.sandbox import coverage
from provisioner.sandbox.cmdlets.parameters import Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sandbox-coverage.md"


def test_every_difference_from_the_published_table_is_explained_and_none_is_explained_in_vain() -> None:
    assert set(coverage.differences()) == set(coverage.EXPLAINED)


def test_the_page_is_what_the_script_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage.page(), "scripts/sandbox-coverage --write"


@pytest.mark.parametrize(
    ("kind", "type_name", "same"),
    [(Kind.BOOL, "Boolean", True), (Kind.BOOL, "SwitchParameter", False), (Kind.STRING, "Boolean", False),
     (Kind.LIST, "MultiValuedProperty", True), (Kind.STRING, "MultiValuedProperty", False),
     (Kind.INT, "System.UInt32", True), (Kind.ENUM, "TlsAuthLevel", True), (Kind.INT, "TlsAuthLevel", False)],
)  # fmt: skip
def test_types_are_compared_by_how_they_convert(kind: Kind, type_name: str, same: bool) -> None:
    assert coverage.fits(kind, type_name) is same


def test_what_is_published_and_not_here_is_told_from_what_nobody_has() -> None:
    assert coverage.not_modelled("get-arcconfig", {}) == "the cmdlet Get-ArcConfig"
    assert coverage.not_modelled("get-safelinkspolicy", {}) == "the cmdlet Get-SafeLinksPolicy"
    assert coverage.not_modelled("Get-Nonsense", {}) == ""
    assert coverage.not_modelled("New-Mailbox", {"Name": "x"}) == "the cmdlet New-Mailbox"
    assert coverage.not_modelled("Add-MailboxPermission", {"Identity": "x", "Deny": True, "Bogus": 1}) == (
        "the parameter -Deny of Add-MailboxPermission"
    )
    assert coverage.not_modelled("Get-InboundConnector", {"Identity": "x", "Bogus": 1}) == ""
