"""Accounts of High Volume Email: what is sent, what is read, what is compared, and what a plan may write."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from provisioner.model import Absent, Answer, Cmdlet, GraphRequest, Query, Secret, Send, Unknown, project
from provisioner.model.picture import HighVolume
from provisioner.resources.hve_account import HveAccount, HveAccountType
from provisioner.resources.rows import enterprise_application, hve_account

KIND = HveAccountType()
NEWS = "hr-news@contoso.com"
GUID, APP, OTHER, POLICY = (f"6f0a3c1e-0000-4000-8000-00000000000{n}" for n in range(1, 5))
ROW: dict[str, Any] = {
    "Name": "HR News",
    "DisplayName": "HR News",
    "Guid": GUID.upper(),
    "ExternalDirectoryObjectId": OTHER,
    "PrimarySmtpAddress": "HR-News@contoso.com",
    "EmailAddresses": ["SMTP:HR-News@contoso.com", "smtp:news@contoso.com"],
    "RecipientType": "MailUser",
    "RecipientTypeDetails": "MailUser",
}
WANTED = HveAccount(
    NEWS, "HR News", "hr@contoso.com", frozenset({APP}), POLICY, "env:HVE_PASSWORD"
)  # as a plan declares it
LIVE = HveAccount(NEWS, "HR News", "", frozenset(), "", id=GUID, user_id=OTHER, billing=" NoProperBillingPolicyStored")


def sent(before: HveAccount | None, after: HveAccount | None) -> list[tuple[str, dict[str, Any]]]:
    steps = KIND.steps(before, after)
    assert all(isinstance(step, Send) for step in steps)
    cmdlets = (step.request for step in steps if isinstance(step, Send))
    return [(c.name, dict(c.parameters)) for c in cmdlets if isinstance(c, Cmdlet)]


def answers(
    *more: tuple[Cmdlet, dict[str, Any]], rows: tuple[dict[str, Any], ...] = (ROW,)
) -> list[tuple[Query, Answer]]:
    first = (Query(hve_account.LISTING, frozenset()), Answer(rows))
    return [first, *((Query(request, frozenset()), Answer((row,))) for request, row in more)]


def test_a_new_account_is_made_with_its_password_and_then_gets_the_rest() -> None:
    assert sent(None, WANTED) == [
        (
            "New-MailUser",
            {
                "HVEAccount": True,
                "Name": NEWS,
                "PrimarySmtpAddress": NEWS,
                "DisplayName": "HR News",
                "Password": Secret("env:HVE_PASSWORD"),
            },
        ),
        ("Set-HVEAccountSettings", {"Identity": NEWS, "ReplyTo": "hr@contoso.com"}),
        ("Set-HVEAccountBillingPolicy", {"Identity": NEWS, "BillingPolicyId": POLICY}),
        ("Add-HVEAppAccess", {"Identity": NEWS, "AppIds": (APP,)}),
    ]
    assert [name for name, _ in sent(None, HveAccount(NEWS, reply_to="", applications=frozenset()))] == ["New-MailUser"]


def test_only_what_differs_is_changed_by_the_id_of_the_account() -> None:
    after = dataclasses.replace(LIVE, display_name="News", applications=frozenset({OTHER}), billing_policy=POLICY)
    before = dataclasses.replace(LIVE, applications=frozenset({APP}))
    assert sent(before, after) == [
        ("Set-MailUser", {"Identity": GUID, "HVEAccount": True, "DisplayName": "News"}),
        ("Set-HVEAccountBillingPolicy", {"Identity": GUID, "BillingPolicyId": POLICY}),
        ("Add-HVEAppAccess", {"Identity": GUID, "AppIds": (OTHER,)}),
        ("Remove-HVEAppAccess", {"Identity": GUID, "AppIds": (APP,)}),
    ]
    assert sent(after, dataclasses.replace(after, billing_policy="", reply_to="")) == [
        ("Set-HVEAccountBillingPolicy", {"Identity": GUID, "BillingPolicyId": ""})
    ]
    assert sent(LIVE, None) == [("Remove-MailUser", {"Identity": GUID, "Confirm": False})]


def test_a_password_is_compared_with_nothing() -> None:
    assert dataclasses.replace(LIVE, password="env:OTHER") == LIVE
    assert project(LIVE, WANTED) == dataclasses.replace(project(LIVE, WANTED), password="env:OTHER")
    assert sent(LIVE, dataclasses.replace(LIVE, password="env:OTHER")) == []


def test_an_account_is_read_from_three_answers_and_known_by_every_address() -> None:
    told = answers(
        (hve_account.settings(GUID), {"ReplyTo": "HR@contoso.com", "AllowedApps": [APP.upper()]}),
        (hve_account.billing(GUID), {"BillingPolicyId": POLICY.upper(), "BillingPolicyStatus": "BillingPolicyValid"}),
    )
    found = KIND.decode({"news@contoso.com": None}, told)["news@contoso.com"]
    assert found == HveAccount(
        "news@contoso.com",
        "HR News",
        "hr@contoso.com",
        frozenset({APP}),
        POLICY,
        id=GUID,
        user_id=OTHER,
        billing=f"{POLICY} BillingPolicyValid",
    )
    assert set(KIND.decode({}, told)) == {NEWS}
    empty = answers((hve_account.settings(GUID), {"ReplyTo": None, "AllowedApps": None}))
    there = KIND.decode({NEWS: None}, empty)[NEWS]
    assert isinstance(there, HveAccount)
    assert (there.reply_to, there.applications, there.billing_policy) == ("", frozenset(), None)


def test_what_was_not_answered_is_never_taken_for_empty() -> None:
    found = KIND.decode({NEWS: WANTED}, answers())[NEWS]
    assert isinstance(found, Unknown)
    assert "reply_to, applications, billing_policy" in found.reason
    with pytest.raises(ValueError, match="0 rows"):
        KIND.decode({NEWS: None}, [*answers(), (Query(hve_account.billing(GUID), frozenset()), Answer(()))])
    with pytest.raises(ValueError, match="Guid"):
        KIND.decode({NEWS: None}, answers(rows=({"Name": "x"},)))


def test_an_account_that_is_missing_says_what_it_takes_to_make_it() -> None:
    nothing = answers(rows=())
    asked = [query.request for query in KIND.follow_up({NEWS: WANTED}, False, nothing)]
    (looked_up, application) = asked
    assert isinstance(looked_up, Cmdlet)
    assert application == enterprise_application.look_up(APP)
    free = [*nothing, *((Query(request, frozenset()), Answer()) for request in asked)]
    assert KIND.decode({NEWS: WANTED}, free)[NEWS] == Absent()
    unnamed = KIND.decode({NEWS: dataclasses.replace(WANTED, password=None)}, free)[NEWS]
    assert isinstance(unnamed, Absent)
    assert "names no password" in unnamed.reason
    taken = {**ROW, "RecipientType": "UserMailbox", "RecipientTypeDetails": "UserMailbox"}
    holder = KIND.decode({NEWS: WANTED}, [*nothing, (Query(looked_up, frozenset()), Answer((taken,)))])[NEWS]
    assert isinstance(holder, Absent)
    assert "a user mailbox" in holder.reason
    assert dict(KIND.decode({NEWS: None}, free)) == {}, "what is to be gone is gone"


def test_settings_and_billing_are_asked_of_accounts_that_exist_and_billing_decides_only_where_it_is_written() -> None:
    free = dataclasses.replace(WANTED, billing_policy=None)
    for wanted, paying in ((WANTED, {NEWS}), (free, set())):
        queries = KIND.follow_up({NEWS: wanted}, False, answers())
        assert [(q.request, set(q.covers)) for q in queries] == [
            (hve_account.settings(GUID), {NEWS}),
            (hve_account.billing(GUID), paying),
        ]
    assert len(KIND.follow_up({}, True, answers())) == 2


@pytest.mark.parametrize(
    ("policy", "billing", "can_send", "words"),
    [
        (POLICY, f"{POLICY} BillingPolicyValid", True, ""),
        (POLICY, f"{POLICY} SubscriptionIsNotActive", False, "subscription of its billing policy is not active"),
        (POLICY, f"{POLICY} NewStatus", False, "in the state NewStatus"),
        (POLICY, f"{OTHER} SubscriptionIsNotActive", None, ""),
        (POLICY, None, None, ""),
        (None, f"{POLICY} BillingPolicyValid", True, ""),
        ("", f"{POLICY} BillingPolicyValid", False, "no billing policy is assigned"),
        ("", " NoProperBillingPolicyStored", False, "no billing policy is assigned"),
    ],
)
def test_billing_decides_whether_an_account_can_send(
    policy: str | None, billing: str | None, can_send: bool | None, words: str
) -> None:
    account = dataclasses.replace(LIVE, billing_policy=policy, billing=billing)
    (word,) = KIND.contribution(account)
    assert word == HighVolume(NEWS, can_send, frozenset())
    said = KIND.in_force(account, account)
    assert (words in said) if words else said == ""


def test_what_costs_senders_their_way_is_stopped() -> None:
    assert [g.rule for g in KIND.guards(LIVE, None)] == ["HVE-ACCOUNT-DELETED"]
    assert [g.rule for g in KIND.guards(None, dataclasses.replace(WANTED, billing_policy=None))] == ["HVE-BILLING"]
    assert [*KIND.guards(None, WANTED), *KIND.guards(LIVE, WANTED)] == []


@pytest.mark.parametrize(
    ("body", "identifier"),
    [
        ({"password": "hunter2-in-the-clear"}, "SECRET-MISPLACED"),
        ({"password": "env:"}, "SECRET-MISPLACED"),
        ({"applications": [" "]}, "APPLICATION-INVALID"),
        ({"billing_policy": "mail"}, "ID-INVALID"),
        ({"reply_to": "hr"}, "EMAIL-INVALID"),
        ({"applications": [f"6f0a3c1e-0000-4000-8000-0000000000{n:02d}" for n in range(11)]}, "HVE-APPLICATIONS"),
    ],
)
def test_a_mistake_is_told_without_the_secret(body: dict[str, Any], identifier: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(KIND.section_type).validate_python({NEWS: body})
    (error,) = caught.value.errors(include_input=False, include_url=False)
    assert error["type"] == identifier
    assert "hunter2" not in str(error)


def test_an_export_writes_what_a_plan_would_and_says_what_is_missing() -> None:
    path, body = KIND.written_form(dataclasses.replace(LIVE, applications=frozenset({APP}), billing_policy=POLICY)) or (
        (),
        {},
    )
    assert (path, body) == (
        (NEWS,),
        {"display_name": "HR News", "applications": [APP], "billing_policy": POLICY},
    )
    assert "password: env:NAME" in " ".join(KIND.unwritable(LIVE))


# --- applications by name and client id -------------------------------------------------------------------------------

CLIENT, THIRD = "6f0a3c1e-0000-4000-8000-00000000000c", "6f0a3c1e-0000-4000-8000-00000000000d"


def entra(app: str, *found: tuple[str, str, str]) -> tuple[Query, Answer]:
    """What Graph answers about an application: object id, client id and name of each that it finds."""
    rows = tuple({"id": object_id, "appId": client_id, "displayName": name} for object_id, client_id, name in found)
    return Query(enterprise_application.named(app), frozenset({NEWS})), Answer(rows)


def judged(applications: set[str], allowed: list[str], *told: tuple[Query, Answer]) -> HveAccount | Unknown:
    wanted = HveAccount(NEWS, applications=frozenset(applications))
    settings = (hve_account.settings(GUID), {"AllowedApps": allowed})
    found = KIND.decode({NEWS: wanted}, [*answers(settings), *told])[NEWS]
    assert not isinstance(found, Absent)
    return found


def test_an_application_goes_by_name_client_id_and_object_id_and_is_sent_by_object_id() -> None:
    told = entra("ERP", (APP, CLIENT, "erp")), entra(CLIENT, (APP, CLIENT, "erp")), entra(OTHER)
    missing = judged({"ERP", OTHER}, [THIRD], *told)
    assert isinstance(missing, HveAccount)
    assert missing.applications == frozenset({THIRD})
    goal = dataclasses.replace(missing, applications=frozenset({"ERP", OTHER}))
    assert sent(missing, goal) == [
        ("Add-HVEAppAccess", {"Identity": GUID, "AppIds": tuple(sorted((APP, OTHER)))}),
        ("Remove-HVEAppAccess", {"Identity": GUID, "AppIds": (THIRD,)}),
    ]
    for written in ({"ERP"}, {CLIENT}, {"ERP", CLIENT}, {APP}, {"ERP", APP}):
        there = judged(written, [APP.upper()], *told)
        assert isinstance(there, HveAccount)
        assert frozenset(written) == there.applications
        (word,) = KIND.contribution(there)
        assert APP in (word.applications or ())  # type: ignore[union-attr]


def test_a_name_that_means_nothing_or_several_is_one_error_and_changes_nothing() -> None:
    both = entra("erp", (APP, CLIENT, "ERP"), (OTHER, THIRD, "erp"))
    found = judged({"erp"}, [APP], both)
    assert isinstance(found, Unknown)
    assert f"several enterprise applications: write one client id ({CLIENT}, {THIRD})" in found.reason
    nobody = judged({"erp"}, [APP], entra("erp"))
    assert isinstance(nobody, Unknown)
    assert "correct it, or write its client id" in nobody.reason
    assert isinstance(judged({"erp"}, [APP]), Unknown), "what was not read is not resolved"


def test_entra_id_is_asked_only_about_what_is_not_an_allowed_object_id() -> None:
    settings = (hve_account.settings(GUID), {"AllowedApps": [APP]})
    wanted = HveAccount(NEWS, applications=frozenset({APP, "erp"}))

    def asked(told: list[tuple[Query, Answer]]) -> list[str]:
        queries = KIND.follow_up({NEWS: wanted}, False, told)
        return [q.request.path for q in queries if isinstance(q.request, GraphRequest)]

    assert asked(answers()) == [], "the settings of an account that exists come first"
    assert asked(answers(settings)) == [enterprise_application.named("erp").path]
    assert len(asked(answers(rows=()))) == 2


def test_a_new_account_has_its_applications_resolved() -> None:
    nothing = answers(rows=())
    wanted = dataclasses.replace(WANTED, applications=frozenset({"erp"}))
    asked = KIND.follow_up({NEWS: wanted}, False, nothing)
    free = [(q, Answer()) for q in asked if isinstance(q.request, Cmdlet)]
    found = KIND.decode({NEWS: wanted}, [*nothing, *free, entra("erp", (APP, CLIENT, "ERP"))])[NEWS]
    assert found == Absent(known=HveAccount(NEWS, resolved=frozenset({f"erp {APP}"})))
