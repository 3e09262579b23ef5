from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Answer, Query, Unknown, request_key
from provisioner.model.picture import ORGANIZATION, PasswordPolicy
from provisioner.resources.authentication_policy import EVERYBODY, AuthenticationPolicy, AuthenticationPolicyType
from tests.resources.recorded import answer, asked, declared, mistakes, sent

KIND = AuthenticationPolicyType()
DN = "CN=devices,CN=Auth Policies,CN=Configuration"
ROW: dict[str, Any] = {
    "Name": "devices", "Identity": "devices", "Guid": "AAAA-1", "DistinguishedName": DN,
    "AllowBasicAuthSmtp": True, "AllowBasicAuthImap": False, "AllowBasicAuthRest": False,
    "AllowBasicAuthSmtp@data.type": "System.Boolean",
}  # fmt: skip


def test_names_are_told_apart_without_case_and_stay_as_they_are_written() -> None:
    found = declared(KIND, {"Devices": {"allow_basic_smtp": True}, "block basic": {}})
    assert found == {
        "Devices": AuthenticationPolicy("Devices", True),
        "block basic": AuthenticationPolicy("block basic"),
    }
    seen = answer(KIND, {"DEVICES": AuthenticationPolicy("DEVICES", True)}, [ROW])
    assert seen["DEVICES"].allow_basic_smtp is True
    assert seen["DEVICES"].names == {"devices", "aaaa-1", DN.lower()}


@pytest.mark.parametrize("name", ["", " x", "x" * 65, "inherit", "None", "LegacyExchangeTokens", "a\nb"])
def test_what_cannot_be_the_name_of_a_policy_is_refused(name: str) -> None:
    assert mistakes(KIND, {name: {}}) == [("POLICY-NAME-INVALID", (name, "[key]"))]


def test_new_says_smtp_in_any_case_and_set_what_differs() -> None:
    (new,) = KIND.steps(None, AuthenticationPolicy("x", allow_basic_imap=True))
    values = {"Name": "x", "AllowBasicAuthSmtp": False, "AllowBasicAuthImap": True}
    assert sent(new) == ("New-AuthenticationPolicy", values)
    (change,) = KIND.steps(AuthenticationPolicy("x", True, False), AuthenticationPolicy("x", False, False))
    assert sent(change) == ("Set-AuthenticationPolicy", {"Identity": "x", "AllowBasicAuthSmtp": False})
    (gone,) = KIND.steps(AuthenticationPolicy("x"), None)
    assert sent(gone) == ("Remove-AuthenticationPolicy", {"Identity": "x", "Confirm": False})
    assert list(KIND.steps(AuthenticationPolicy("x", True), AuthenticationPolicy("x", True))) == []


def test_who_has_a_policy_is_asked_where_it_changes_or_goes() -> None:
    (listing,) = KIND.queries({"devices": None}, False)
    given = [(listing, Answer((ROW,)))]

    def further(wanted: AuthenticationPolicy | None) -> list[str]:
        return [asked(q) for q in KIND.follow_up({"devices": wanted}, False, given)]

    users = f"Get-User AuthenticationPolicy -eq '{DN}' Unlimited"
    assert further(None) == further(AuthenticationPolicy("devices", False)) == [users, "Get-OrganizationConfig"]
    assert further(AuthenticationPolicy("devices", True)) == further(AuthenticationPolicy("devices")) == []
    queries = KIND.follow_up({"devices": None}, False, given)
    rows: list[dict[str, Any]] = [
        {"WindowsEmailAddress": "ERP@contoso.com", "Guid": "1"}, {"DefaultAuthenticationPolicy": DN.upper()}
    ]  # fmt: skip
    answers = [*given, *((q, Answer((row,))) for q, row in zip(queries, rows, strict=True))]
    policy = KIND.decode({"devices": None}, answers)["devices"]
    assert isinstance(policy, AuthenticationPolicy)
    assert policy.holders == frozenset({"erp@contoso.com", EVERYBODY})
    (word,) = KIND.contribution(policy)
    assert isinstance(word, PasswordPolicy)
    assert word.holders == frozenset({"erp@contoso.com", ORGANIZATION})
    silent = [*given, (queries[0], answers[1][1]), (queries[1], Answer(({},)))]
    assert KIND.decode({"devices": None}, silent)["devices"].holders is None  # type: ignore[union-attr]


def test_only_the_default_of_the_organization_takes_a_word_of_permission() -> None:
    was = AuthenticationPolicy("x", True, holders=frozenset({EVERYBODY}))
    (guard,) = KIND.guards(was, AuthenticationPolicy("x", False))
    assert guard.rule == "POLICY-TENANT-WIDE"
    assert "refuses passwords" in guard.summary
    assert not list(KIND.guards(was, AuthenticationPolicy("x", True)))
    assert not list(KIND.guards(AuthenticationPolicy("x", True), AuthenticationPolicy("x", False)))


def test_a_row_without_the_column_is_unknown_and_a_pseudo_policy_is_none() -> None:
    bare = {name: value for name, value in ROW.items() if name != "AllowBasicAuthSmtp"}
    assert isinstance(answer(KIND, {"devices": AuthenticationPolicy("devices", True)}, [bare])["devices"], Unknown)
    assert answer(KIND, {}, [{**ROW, "Name": "LegacyExchangeTokens"}], everything=True) == {}
    with pytest.raises(ValueError, match="Name"):
        answer(KIND, {}, [{"AllowBasicAuthSmtp": True}], everything=True)


def test_the_export_says_smtp_and_what_is_allowed() -> None:
    seen = answer(KIND, {}, [ROW], everything=True)["devices"]
    assert KIND.written_form(seen) == (("devices",), {"allow_basic_smtp": True})
    blocks = AuthenticationPolicy("x", False, False)
    assert KIND.written_form(blocks) == (("x",), {"allow_basic_smtp": False})


def test_what_a_rollback_brings_back_has_nobody_yet() -> None:
    was = AuthenticationPolicy("devices", True, holders=frozenset({"erp@contoso.com"}))
    (listing,) = KIND.queries({"devices": was}, False)
    assert isinstance(listing, Query)
    assert request_key(listing.request).startswith("Cmdlet")
    seen = KIND.decode({"devices": was}, [(listing, Answer((ROW,)))])["devices"]
    assert isinstance(seen, AuthenticationPolicy)
