from __future__ import annotations

from typing import Any

from provisioner.resources.rows import user

ERP: dict[str, Any] = {
    "UserPrincipalName": "svc-ERP@contoso.com",
    "WindowsEmailAddress": "erp@contoso.com",
    "DisplayName": "fax@contoso.com",
    "ExchangeObjectId": "G-1",
    "AuthenticationPolicy": "Block Basic",
}


def test_a_user_goes_by_sign_in_name_and_address_and_not_by_display_name() -> None:
    found = user.decode(ERP)
    assert (found.id, found.sign_in) == ("g-1", "svc-erp@contoso.com")
    assert found.addresses == {"svc-erp@contoso.com", "erp@contoso.com"}
    assert "fax@contoso.com" in found.names
    assert user.policy_of("fax@contoso.com", [ERP]) is None


def test_no_policy_is_another_thing_than_a_column_that_is_not_there() -> None:
    assert user.policy_of("erp@contoso.com", [ERP]) == "Block Basic"
    assert user.policy_of("erp@contoso.com", [ERP | {"AuthenticationPolicy": None}]) == ""
    bare = {name: value for name, value in ERP.items() if name != "AuthenticationPolicy"}
    assert user.policy_of("erp@contoso.com", [bare]) is None
    assert user.policy_of("erp@contoso.com", [bare, ERP]) == "Block Basic"
    assert user.policy_of("erp@contoso.com", []) is None


def test_who_has_an_address_counts_before_who_signs_in_by_it() -> None:
    other = {
        "UserPrincipalName": "ERP@contoso.com",
        "AuthenticationPolicy": "Allow",
        "RecipientTypeDetails": "RoomMailbox",
    }
    has_it = ERP | {"RecipientTypeDetails": "UserMailbox"}
    for rows in ([other, has_it], [has_it, other]):
        assert user.policy_of("erp@contoso.com", rows) == "Block Basic"
        assert user.kind_of("erp@contoso.com", rows) == "usermailbox"
    assert user.policy_of("erp@contoso.com", [other]) == "Allow"
    condition = "WindowsEmailAddress -eq 'o''hara@x.com' -or UserPrincipalName -eq 'o''hara@x.com'"
    assert user.look_up("o'hara@x.com").parameters == {"Filter": condition, "ResultSize": "Unlimited"}


def test_a_few_users_are_looked_up_and_more_are_listed() -> None:
    names = [f"user{number}@contoso.com" for number in range(6)]
    assert list(user.look_ups(names[:5])) == [user.look_up(name) for name in names[:5]]
    assert list(user.look_ups(names)) == [user.LISTING]
    assert list(user.look_ups([])) == []
