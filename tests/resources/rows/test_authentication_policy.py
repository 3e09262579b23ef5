from __future__ import annotations

import pytest

from provisioner.resources.rows.authentication_policy import allows_smtp, decode

POLICIES = decode(
    [
        {"Name": "Block Basic", "Guid": "AAAA-1", "DistinguishedName": "CN=Block Basic", "AllowBasicAuthSmtp": False},
        {"Name": "Printers", "Guid": "AAAA-2", "AllowBasicAuthSmtp": True},
        {"Name": "Short"},
    ]
)


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("Block Basic", False),
        ("block basic", False),
        ("aaaa-1", False),
        ("CN=Block Basic", False),
        ("Printers", True),
        ("Short", None),
        ("Gone", None),
        ("", True),
        (None, None),
    ],
)
def test_a_policy_is_known_by_each_of_its_names_and_none_allows(policy: str | None, allowed: bool | None) -> None:
    assert allows_smtp(policy, POLICIES) is allowed
