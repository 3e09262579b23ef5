from __future__ import annotations

from typing import Any

import pytest

from provisioner.resources.rows import security_defaults


@pytest.mark.parametrize(
    ("rows", "enabled"),
    [
        ([{"isEnabled": True}], True),
        ([{"isEnabled": False}], False),
        ([{"isEnabled": None}], None),
        ([{"isEnabled": "true"}], None),
        ([{}], None),
        ([], None),
    ],
)
def test_only_a_boolean_tells(rows: list[dict[str, Any]], enabled: bool | None) -> None:
    assert security_defaults.decode(rows) is enabled
