from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.model import Absent, Address, Answer, Links, Query, Undeclared, Unknown, overlay
from provisioner.model.picture import ORGANIZATION as EVERYBODY
from provisioner.model.picture import PolicyOf
from provisioner.resources.authentication_policy import AuthenticationPolicy
from provisioner.resources.policy_assignment import ORGANIZATION, PolicyAssignment, PolicyAssignmentType
from tests.resources.recorded import answer, asked, declared, mistakes, sent

KIND = PolicyAssignmentType()
ERP, ALIAS = "erp@contoso.com", "old-erp@contoso.com"
GUID, OTHER = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
DN = "CN=Block Basic,CN=Auth Policies"
POLICIES = [
    {"Name": "Block Basic", "Guid": "aaaa", "DistinguishedName": DN, "AllowBasicAuthSmtp": False},
    {"Name": "devices", "Guid": "bbbb", "AllowBasicAuthSmtp": True},
]


def user(policy: str | None, mail: str = ERP, guid: str = GUID, sign_in: str = "") -> dict[str, Any]:
    return {
        "WindowsEmailAddress": mail, "UserPrincipalName": sign_in or mail, "Guid": guid, "AuthenticationPolicy": policy
    }  # fmt: skip


def wanted(policy: str = "inherit", key: str = ERP) -> dict[str, Any]:
    return {key: PolicyAssignment(key, policy)}


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_section_declares_the_default_and_the_mailboxes() -> None:
    section = {"authentication_policy": {"default": "block-basic", "mailboxes": {"ERP@contoso.com": "inherit"}}}
    assert declared(KIND, section) == {
        ORGANIZATION: PolicyAssignment(ORGANIZATION, "block-basic"),
        ERP: PolicyAssignment(ERP, "inherit"),
    }
    assert declared(KIND, {}) == {}
    assert KIND.exclusive({"authentication_policy": {"exclusive": True}})
    assert not KIND.exclusive({})


@pytest.mark.parametrize(
    ("body", "identifier", "place"),
    [
        ({"default": "inherit"}, "POLICY-NAME-INVALID", ("default",)),
        ({"default": None}, "string_type", ("default",)),
        ({"mailboxes": {ERP: "none"}}, "POLICY-NAME-INVALID", ("mailboxes", ERP)),
        ({"mailboxes": {ERP: " x"}}, "POLICY-NAME-INVALID", ("mailboxes", ERP)),
        ({"mailboxes": {"erp": "x"}}, "EMAIL-INVALID", ("mailboxes", "erp", "[key]")),
        ({"organization": "x"}, "extra_forbidden", ("organization",)),
    ],
)
def test_what_is_not_a_word_of_the_language_is_refused(body: Any, identifier: str, place: tuple[str, ...]) -> None:
    assert mistakes(KIND, {"authentication_policy": body}) == [(identifier, ("authentication_policy", *place))]


def test_a_policy_of_the_plan_says_how_it_is_spelled_and_what_it_does() -> None:
    address = Address("authentication_policy", "Devices")
    links = Links({address: AuthenticationPolicy("Devices", True)})
    linked = KIND.linked(PolicyAssignment(ERP, "devices"), links)
    assert (linked.policy, linked.basic_smtp) == ("Devices", "allowed")
    assert list(KIND.needs(linked)) == [address]
    others = Links({}, {Address("authentication_policy", "devices"): AuthenticationPolicy("DEVICES", False)})
    assert KIND.linked(PolicyAssignment(ERP, "devices"), others).basic_smtp == "blocked"
    assert KIND.linked(PolicyAssignment(ERP, "gone"), links).basic_smtp == "unknown"
    assert KIND.linked(PolicyAssignment(ERP, "inherit"), links).basic_smtp == "inherited"
    assert KIND.linked(PolicyAssignment(ORGANIZATION, "none"), links).basic_smtp == "allowed"
    assert not KIND.needs(PolicyAssignment(ERP, "inherit"))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_a_few_mailboxes_are_looked_up_and_more_are_listed() -> None:
    look_up = f"Get-User WindowsEmailAddress -eq '{ERP}' -or UserPrincipalName -eq '{ERP}' Unlimited"
    both = {**wanted(), ORGANIZATION: PolicyAssignment(ORGANIZATION, "none")}
    assert [asked(q) for q in KIND.queries(both, False)] == [
        "Get-AuthenticationPolicy", "Get-OrganizationConfig", look_up
    ]  # fmt: skip
    many = {f"m{i}@contoso.com": None for i in range(6)}
    assert [asked(q) for q in KIND.queries(many, False)] == ["Get-AuthenticationPolicy", "Get-User Unlimited"]


@pytest.mark.parametrize(
    ("stored", "policy", "effect"),
    [
        (None, "inherit", "inherited"),
        ("Block Basic", "block basic", "blocked"),
        (DN.upper(), "block basic", "blocked"),
        ("bbbb", "devices", "allowed"),
    ],
)
def test_a_policy_is_known_by_each_of_its_names(stored: str | None, policy: str, effect: str) -> None:
    found = answer(KIND, wanted("block basic"), POLICIES, [user(stored)])[ERP]
    assert (found.policy, found.basic_smtp, found.mailbox, found.id) == (policy, effect, ERP, GUID)
    (word,) = KIND.contribution(found)
    assert isinstance(word, PolicyOf)
    assert word.smtp is {"allowed": True, "blocked": False}.get(effect)
    assert word.policy == ("" if stored is None else policy)


def test_what_cannot_be_told_is_unknown() -> None:
    gone = answer(KIND, wanted(), POLICIES, [user("gone")])[ERP]
    assert isinstance(gone, Unknown)
    assert 'does not list the policy "gone"' in gone.reason
    bare = {name: value for name, value in user(None).items() if name != "AuthenticationPolicy"}
    assert isinstance(answer(KIND, wanted(), POLICIES, [bare])[ERP], Unknown)
    odd = answer(KIND, wanted(), [{**POLICIES[0], "Name": "Inherit"}], [user("aaaa")])[ERP]
    assert isinstance(odd, Unknown)
    two = answer(KIND, wanted(), POLICIES, [user(None), user(None, guid=OTHER)])[ERP]
    assert isinstance(two, Unknown)
    assert two.kind == "ambiguous"
    with pytest.raises(ValueError, match="AuthenticationPolicy"):
        answer(KIND, {}, POLICIES, [bare], everything=True)


def test_a_sign_in_name_of_one_that_is_the_address_of_another_means_the_other() -> None:
    """Both rows come for it: the address counts, and is found by the lookup among all recipients."""
    queries = list(KIND.queries(wanted(key=ALIAS), False))
    given = [
        (queries[0], Answer(tuple(POLICIES))),
        (queries[1], Answer((user("devices", "x@contoso.com", OTHER, ALIAS),))),
    ]
    (recipients,) = KIND.follow_up(wanted(key=ALIAS), False, given)
    holder = {
        "PrimarySmtpAddress": ERP,
        "EmailAddresses": [f"smtp:{ALIAS}"],
        "Guid": GUID,
        "RecipientType": "UserMailbox",
    }
    given.append((recipients, Answer((holder,))))
    *_, by_guid = KIND.follow_up(wanted(key=ALIAS), False, given)
    assert asked(by_guid) == f"Get-User Guid -eq '{GUID}' Unlimited"
    given.append((by_guid, Answer((user("Block Basic"),))))
    found = KIND.decode(wanted(key=ALIAS), given)[ALIAS]
    assert isinstance(found, PolicyAssignment)
    assert (found.mailbox, found.policy, found.id) == (ERP, "Block Basic", GUID)
    assert ALIAS in found.names


@pytest.mark.parametrize(("kind", "words"), [("MailContact", "mail contact"), ("", "no recipient")])
def test_a_name_that_means_no_mailbox_is_absent(kind: str, words: str) -> None:
    queries = list(KIND.queries(wanted(), False))
    given: list[tuple[Query, Answer]] = [(queries[0], Answer(())), (queries[1], Answer(()))]
    (look_up,) = KIND.follow_up(wanted(), False, given)
    row = {"PrimarySmtpAddress": ERP, "Guid": GUID, "RecipientType": kind, "EmailAddresses": [f"SMTP:{ERP}"]}
    found = KIND.decode(wanted(), [*given, (look_up, Answer((row,) if kind else ()))])[ERP]
    assert isinstance(found, Absent)
    assert words in found.reason


def test_all_that_have_a_policy_are_listed_and_an_exclusive_section_takes_it() -> None:
    rows = [user("devices"), user(None, "a@contoso.com", OTHER)]
    found = answer(KIND, {}, POLICIES, rows, everything=True)
    assert list(found) == [ERP]
    taken = KIND.undeclared(found[ERP], "", True)
    assert taken == dataclasses.replace(found[ERP], policy="inherit")
    assert KIND.undeclared(found[ERP], "", False) is Undeclared.KEEP
    assert KIND.written_form(found[ERP]) == (("authentication_policy", "mailboxes", ERP), "devices")
    assert KIND.written_form(PolicyAssignment(ERP, "inherit")) is None
    assert KIND.written_form(PolicyAssignment(ORGANIZATION, "x")) == (("authentication_policy", "default"), "x")


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_mailbox_is_written_by_its_guid_and_null_takes_a_policy_away() -> None:
    live = PolicyAssignment(ERP, "devices", "allowed", ERP, id=GUID)
    (step,) = KIND.steps(live, overlay(PolicyAssignment(ERP, "inherit"), live))
    assert sent(step) == ("Set-User", {"Identity": GUID, "AuthenticationPolicy": None})
    (step,) = KIND.steps(PolicyAssignment(ORGANIZATION, "none"), PolicyAssignment(ORGANIZATION, "x"))
    assert sent(step) == ("Set-OrganizationConfig", {"DefaultAuthenticationPolicy": "x"})
    assert list(KIND.steps(live, live)) == []


@pytest.mark.parametrize(
    ("before", "after", "guarded"),
    [
        (("none", "allowed"), ("x", "blocked"), "refuses passwords"),
        (("none", "allowed"), ("x", "unknown"), "may allow or refuse"),
        (("x", "blocked"), ("none", "allowed"), "allows passwords"),
        (("none", "allowed"), ("x", "allowed"), ""),
        (("x", "blocked"), ("y", "blocked"), ""),
    ],
)
def test_a_default_that_treats_passwords_otherwise_is_allowed_by_name(
    before: tuple[str, str], after: tuple[str, str], guarded: str
) -> None:
    was, will = PolicyAssignment(ORGANIZATION, *before), PolicyAssignment(ORGANIZATION, *after)
    found = [guard.summary for guard in KIND.guards(was, will)]
    assert [guarded in summary for summary in found] == ([True] if guarded else [])
    mailbox = [dataclasses.replace(spec, identity=ERP) for spec in (was, will)]
    assert not list(KIND.guards(*mailbox))
    (word,) = KIND.contribution(will)
    assert isinstance(word, PolicyOf)
    assert word.mailbox == EVERYBODY
