from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import unquote

import pytest

from provisioner.model import Answer, Unknown
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


ID = "8a68c198-be28-4a30-83e9-bffb760c65ba"


def test_a_few_are_looked_up_and_many_are_listed() -> None:
    few = KIND.queries({"o'brien@contoso.com": Mailbox("o'brien@contoso.com")}, False)
    assert unquote(asked(few[0])).endswith(
        "userPrincipalName eq 'o''brien@contoso.com' or mail eq 'o''brien@contoso.com' "
        "or proxyAddresses/any(p:p eq 'smtp:o''brien@contoso.com')"
    )
    (by_id,) = KIND.queries({ID: Mailbox(ID)}, False)
    assert unquote(asked(by_id)).endswith(f"/users?$filter=id eq '{ID}'")
    many = KIND.queries({f"m{i}@contoso.com": Mailbox(f"m{i}@contoso.com") for i in range(6)}, False)
    assert len(many) == 1
    assert len(many[0].covers) == 6


@pytest.mark.parametrize("name", ["erp@contoso.com", "erp.mail@contoso.com", "ERP-old@contoso.com"])
def test_a_user_is_found_by_each_of_its_names(name: str) -> None:
    assert answer(KIND, {name: Mailbox(name, True, True)}, [USER]) == {name: Mailbox(name, True, True)}


def test_an_address_is_not_the_sign_in_name_of_another() -> None:
    """A recycled address: the alias of one user, and the sign-in name of another (CIPP-API pull request 1568)."""
    other = {
        **USER,
        "id": "2",
        "userPrincipalName": "erp-old@contoso.com",
        "mail": "bea@contoso.com",
        "proxyAddresses": [],
    }
    for rows in ([USER, other], [other, USER]):
        found = answer(KIND, {"erp-old@contoso.com": Mailbox("erp-old@contoso.com")}, rows)
        assert found["erp-old@contoso.com"].user_id == "1"


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


# --- the kind of a mailbox whose user does not fit -------------------------------------------------------------------

BLOCKED = {**USER, "accountEnabled": False}


def fit(row: dict[str, Any], details: str) -> tuple[list[str], Any]:
    """What is asked besides about the mailbox of a user, and what is seen of it."""
    wanted = {"erp@contoso.com": Mailbox("erp@contoso.com", True, True)}
    answers = [(query, Answer((row,))) for query in KIND.queries(wanted, False)]
    more = KIND.follow_up(wanted, False, answers)
    recipient = {"Guid": "G-1", "PrimarySmtpAddress": "erp@contoso.com", "RecipientTypeDetails": details}
    answers += [(query, Answer((recipient,))) for query in more]
    return [asked(query).partition(" ")[0] for query in more], KIND.decode(wanted, answers)["erp@contoso.com"]


@pytest.mark.parametrize(
    ("details", "kind"),
    [("SharedMailbox", "a shared mailbox"), ("RoomMailbox", "a room mailbox"),
     ("SchedulingMailbox", "a scheduling mailbox (Bookings)")],
)  # fmt: skip
def test_the_account_of_a_shared_mailbox_is_not_to_be_unblocked(details: str, kind: str) -> None:
    """jstedfast/MailKit issue 1770; nextcloud/mail issue 13667."""
    said, live = fit(BLOCKED, details)
    assert (said, live.kind) == (["Get-Recipient"], kind)
    advice = KIND.fix(Mailbox("erp@contoso.com", True, True), live)
    assert advice.startswith(f"it is {kind}, whose account should stay blocked")
    assert "sign in to another mailbox" in advice
    assert "An application (client credentials) needs no account that may sign in" in advice


def test_the_account_of_a_user_mailbox_is_for_its_administrator() -> None:
    said, live = fit(BLOCKED, "UserMailbox")
    assert said == ["Get-Recipient"]
    assert live is not None
    assert KIND.fix(Mailbox("erp@contoso.com", True), live) == "enable the account in Entra ID"
    both = "enable the account in Entra ID and assign a licence with an Exchange Online plan"
    assert KIND.fix(Mailbox("erp@contoso.com", True, True), dataclasses.replace(live, licensed=False)) == both
    assert KIND.fix(Mailbox("erp@contoso.com", True), None) == 'create "erp@contoso.com" first'
    assert fit(USER, "SharedMailbox")[0] == [], "nothing is asked about a user who fits"


def test_an_id_and_an_address_may_be_written_and_a_name_may_not() -> None:
    assert list(declared(KIND, {ID.upper(): {}, "ERP@contoso.com": {}})) == [ID, "erp@contoso.com"]
    assert mistakes(KIND, {"Contoso ERP": {}})[0][0] == "EMAIL-INVALID"
    row = {**USER, "id": ID.upper()}
    assert answer(KIND, {ID: Mailbox(ID)}, [row])[ID].user_id == ID
