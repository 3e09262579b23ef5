from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows import transport_config


@pytest.mark.parametrize(
    ("rows", "switch"),
    [
        ([{"SmtpClientAuthenticationDisabled": True}], "disabled"),
        ([{"SmtpClientAuthenticationDisabled": False}], "enabled"),
        ([{"SmtpClientAuthenticationDisabled": None}], None),
        ([{"Name": "Transport Settings"}], None),
        ([], None),
    ],
)
def test_the_organization_does_not_inherit(rows: list[dict[str, Any]], switch: str | None) -> None:
    assert transport_config.smtp_auth(rows) == switch
