from __future__ import annotations

from typing import Any

import pytest

from provisioner.model import Unknown
from provisioner.resources.mailbox import Mailbox, MailboxType
from tests.resources.recorded import answer, asked, declared, mistakes

KIND = MailboxType()
USER: dict[str, Any] = {
    "id": "1",
    "userPrincipalName": "erp@contoso.com",
    "mail": "ERP.Mail@contoso.com",
    "proxyAddresses": ["SMTP:ERP.Mail@contoso.com", "smtp:erp-old@contoso.com", "SIP:voice@contoso.com"],
    "accountEnabled": True,
    "assignedPlans": [
        {"service": "exchange", "capabilityStatus": "Enabled", "servicePlanId": "1"},
        {"service": "SharePoint", "capabilityStatus": "Deleted", "servicePlanId": "2"},
    ],
}
WANTED = {"erp@contoso.com": Mailbox("erp@contoso.com", True, True)}


def test_a_mailbox_is_declared_with_what_must_be_true() -> None:
    assert declared(KIND, {"ERP@contoso.com": {"licensed": True}, "a@contoso.com": {}}) == {
        "erp@contoso.com": Mailbox("erp@contoso.com", None, True),
        "a@contoso.com": Mailbox("a@contoso.com"),
    }
    assert [found for found, _ in mistakes(KIND, {"a@contoso.com": {"enabled": False}})] == ["literal_error"]


def test_a_few_are_looked_up_and_many_are_listed() -> None:
    few = KIND.queries({"o'brien@contoso.com": Mailbox("o'brien@contoso.com")}, False)
    assert asked(few[0]).endswith(
        "userPrincipalName%20eq%20'o''brien@contoso.com'%20or%20mail%20eq%20'o''brien@contoso.com'"
    )
    many = KIND.queries({f"m{i}@contoso.com": Mailbox(f"m{i}@contoso.com") for i in range(6)}, False)
    assert len(many) == 1
    assert len(many[0].covers) == 6


@pytest.mark.parametrize("name", ["erp@contoso.com", "erp.mail@contoso.com", "ERP-old@contoso.com"])
def test_a_user_is_found_by_each_of_its_names(name: str) -> None:
    assert answer(KIND, {name: Mailbox(name, True, True)}, [USER]) == {name: Mailbox(name, True, True)}


def test_an_address_of_another_kind_is_no_name() -> None:
    assert answer(KIND, {"voice@contoso.com": Mailbox("voice@contoso.com")}, [USER]) == {}


@pytest.mark.parametrize(
    ("plans", "licensed"),
    [
        ([], False),
        ([{"service": "exchange", "capabilityStatus": "Suspended"}], False),
        ([{"service": "exchange", "capabilityStatus": "Warning"}], True),
        ([{"service": "SharePoint", "capabilityStatus": "Enabled"}], False),
        ([{"service": "exchange", "capabilityStatus": "Deleted"},
          {"service": "Exchange", "capabilityStatus": "enabled"}], True),
    ],
)  # fmt: skip
def test_a_licence_counts_while_a_plan_for_exchange_is_in_force(plans: Any, licensed: bool) -> None:
    found = answer(KIND, WANTED, [USER | {"assignedPlans": plans}])
    assert found == {"erp@contoso.com": Mailbox("erp@contoso.com", True, licensed)}


def test_a_gap_in_the_answer_is_unknown_and_not_a_no() -> None:
    row = {k: v for k, v in USER.items() if k != "assignedPlans"}
    found = answer(KIND, WANTED, [row])["erp@contoso.com"]
    assert isinstance(found, Unknown)
    assert "licensed" in found.reason
