from __future__ import annotations

from provisioner.resources.rows.organization_config import OrganizationConfig, decode


def test_no_default_policy_is_another_thing_than_a_column_that_is_not_there() -> None:
    assert decode([{"RejectDirectSend": True, "DefaultAuthenticationPolicy": None}]) == OrganizationConfig(True, "")
    assert decode([{"DefaultAuthenticationPolicy": "Block Basic"}]) == OrganizationConfig(None, "Block Basic")
    assert decode([{"RejectDirectSend": None}]) == OrganizationConfig(None, None)
    assert decode([]) == OrganizationConfig(None, None)
