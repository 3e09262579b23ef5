"""Groups: whom they take mail of, and which row is meant."""

from __future__ import annotations

from provisioner.resources.rows.group import Group, decode

ROW = {"Guid": "1", "PrimarySmtpAddress": "Help@contoso.com", "RequireSenderAuthenticationEnabled": True}


def test_the_group_of_the_address_is_decoded_and_no_other() -> None:
    assert decode([ROW], "help@contoso.com") == Group(authenticated_only=True, moderated=None)
    moderated = {**ROW, "RequireSenderAuthenticationEnabled": False, "ModerationEnabled": True}
    assert decode([moderated], "help@contoso.com") == Group(authenticated_only=False, moderated=True)
    assert decode([ROW], "desk@contoso.com") is None
    assert decode([], "help@contoso.com") is None
