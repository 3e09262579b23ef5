"""Client submission: every refusal alone, what wins, what is not known, and what follows from the answers read."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow import picture as pictures
from provisioner.mailflow import sign_in
from provisioner.mailflow.attempt import Attempt, Decision
from provisioner.mailflow.basic_authentication import BASIC_ENDING
from provisioner.mailflow.deciding import decide
from provisioner.mailflow.high_volume import is_new
from provisioner.mailflow.submission import Switches, switches_in
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    Change,
    GraphRequest,
    Observation,
    Observed,
    Present,
    Unknown,
    request_key,
)
from provisioner.model.picture import (
    ORGANIZATION,
    Acceptance,
    Account,
    Contribution,
    HighVolume,
    LegacyTls,
    PasswordPolicy,
    Picture,
    PolicyOf,
    SendRight,
    SignIn,
)
from provisioner.resources import TYPES
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.rows import (
    access_policy,
    authentication_policy,
    membership,
    organization_config,
    role_assignment,
    security_defaults,
    transport_config,
    user,
)
from provisioner.resources.send_as import SendAs, pair_of
from provisioner.resources.smtp_auth import SmtpAuth

ERP, BILLS = "erp@contoso.com", "bills@contoso.com"
OAUTH = Attempt(ERP, True, authentication="oauth", mailbox=ERP)
BASIC = dataclasses.replace(OAUTH, authentication="basic")
MAILBOX, ORG = Address("smtp_auth", ERP), Address("smtp_auth", "organization")
USER = {
    "UserPrincipalName": ERP,
    "WindowsEmailAddress": ERP,
    "AuthenticationPolicy": None,
    "RecipientTypeDetails": "UserMailbox",
}
POLICY = {
    "Name": "Block Basic",
    "Guid": "aaaa-1",
    "DistinguishedName": "CN=Block Basic,CN=Auth",
    "AllowBasicAuthSmtp": False,
}
TRANSPORT = request_key(transport_config.REQUEST)
ORGANIZATION_CONFIG = request_key(organization_config.REQUEST)
POLICIES = request_key(authentication_policy.REQUEST)
DEFAULTS = request_key(security_defaults.REQUEST)
ACCESS_POLICIES = request_key(access_policy.REQUEST)
ASK_USER = request_key(user.look_up(ERP))
CALM: dict[str, Any] = {
    TRANSPORT: [{"SmtpClientAuthenticationDisabled": True}],
    ORGANIZATION_CONFIG: [{"DefaultAuthenticationPolicy": None}],
    POLICIES: [POLICY],
    DEFAULTS: [{"isEnabled": False}],
    ACCESS_POLICIES: [],
    ASK_USER: [USER],
}
BLOCK_LEGACY: dict[str, Any] = {
    "id": "33333333-0000-4000-8000-000000000003",
    "displayName": "Block legacy",
    "state": "enabled",
    "conditions": {
        "clientAppTypes": ["exchangeActiveSync", "other"],
        "applications": {"includeApplications": ["All"]},
        "users": {"includeUsers": ["All"]},
    },
    "grantControls": {"operator": "OR", "builtInControls": ["block"]},
}


def evidence(changes: dict[str, Any] | None = None) -> dict[str, Answer | Unknown]:
    """Answers to what is asked about a mailbox; None leaves one out, text is why it failed."""
    found: dict[str, Answer | Unknown] = {}
    for request, answer in {**CALM, **(changes or {})}.items():
        if isinstance(answer, str):
            found[request] = Unknown(answer, "permission")
        elif answer is not None:
            found[request] = Answer(tuple(answer))
    return found


def picture(*contributions: Contribution, lacking: dict[type[Contribution], frozenset[str]] | None = None) -> Picture:
    """A tenant with SMTP AUTH on for the mailbox; what is given replaces or adds."""
    objects: dict[Address, tuple[Contribution, ...]] = {
        MAILBOX: (SignIn(ERP, "enabled", frozenset({ERP, "erp.alias@contoso.com"})),),
        ORG: (SignIn(ORGANIZATION, "disabled"),),
        Address("domain", "contoso.com"): (Acceptance("contoso.com"),),
        Address("mailbox", ERP): (Account(ERP, True, True, "id-erp"),),
    }
    for number, word in enumerate(contributions):
        place = {SignIn: MAILBOX, Account: Address("mailbox", ERP), Acceptance: Address("domain", "contoso.com")}
        objects[place.get(type(word), Address("send_as", str(number)))] = (word,)
    return Picture(objects, lacking=lacking or {})


def asked(**conditions: Any) -> dict[str, Any]:
    return {ACCESS_POLICIES: [{**BLOCK_LEGACY, "conditions": {**BLOCK_LEGACY["conditions"], **conditions}}]}


SWITCH = "535 5.7.139"
DEFAULTS_ON = {DEFAULTS: [{"isEnabled": True}]}
REFUSED: list[tuple[Picture, Attempt, dict[str, Any], Decision]] = [
    (
        picture(SignIn(ERP, "disabled")),
        OAUTH,
        {},
        Decision(
            False,
            "client_submission",
            (),
            "mailbox",
            SWITCH,
            "SMTP AUTH is disabled for the mailbox itself",
            hint="write enabled for it under smtp_auth, or let a device sign in as it",
        ),
    ),
    (
        picture(SignIn(ERP, "inherit")),
        OAUTH,
        {},
        Decision(
            False,
            "client_submission",
            (),
            "organization",
            SWITCH,
            "SMTP AUTH is disabled for the organization, and the mailbox does not override it",
            hint="write enabled for the mailbox; leave the organization disabled",
        ),
    ),
    (
        picture(),
        BASIC,
        {ASK_USER: [{**USER, "AuthenticationPolicy": "block basic"}]},
        Decision(
            False,
            "client_submission",
            (),
            "authentication_policy",
            SWITCH,
            'the authentication policy "block basic" lets no password in for SMTP (AllowBasicAuthSmtp)',
            hint="give the user a policy that allows it, or let the device sign in with OAuth",
        ),
    ),
    (
        picture(),
        BASIC,
        DEFAULTS_ON,
        Decision(
            False,
            "client_submission",
            (),
            "security_defaults",
            SWITCH,
            "the security defaults of Entra ID refuse passwords for SMTP",
            hint="OAuth or SMTP relay; it is not a setting of Exchange",
        ),
    ),
    (
        picture(),
        BASIC,
        {ACCESS_POLICIES: [BLOCK_LEGACY]},
        Decision(
            False,
            "client_submission",
            (),
            "conditional_access",
            SWITCH,
            'the Conditional Access policy "Block legacy" refuses passwords for SMTP',
            hint="exclude the account from the policy, or let the device sign in with OAuth or use SMTP relay",
        ),
    ),
    (
        picture(Account(ERP, False, True)),
        BASIC,
        {},
        Decision(
            False,
            "client_submission",
            (Address("mailbox", ERP),),
            "account_disabled",
            SWITCH,
            "erp@contoso.com may not sign in: its account is disabled",
            hint="enable the account in Entra ID",
        ),
    ),
    (
        picture(Account(ERP, True, False)),
        OAUTH,
        {},
        Decision(
            False,
            "client_submission",
            (Address("mailbox", ERP),),
            "unlicensed",
            "",
            "erp@contoso.com has no licence that holds Exchange Online",
            hint="assign a licence with an Exchange Online plan",
        ),
    ),
    (
        Picture({}, lacking={SignIn: frozenset({ERP})}),
        BASIC,
        DEFAULTS_ON,
        Decision(
            False,
            "client_submission",
            (),
            "no_mailbox",
            SWITCH,
            "the tenant has no such mailbox",
            hint="create and license it, or correct mailbox in the device",
        ),
    ),
    (
        picture(Acceptance("contoso.com", sending=False)),
        OAUTH,
        {},
        Decision(
            False,
            "client_submission",
            (Address("domain", "contoso.com"),),
            "sending_disabled",
            "",
            "sending from contoso.com is disabled (SendingFromDomainDisabled)",
            hint="Set-AcceptedDomain -Identity contoso.com -SendingFromDomainDisabled $false, or send from another",
        ),
    ),
    (
        picture(lacking={SendRight: frozenset({f"{ERP} as {BILLS}"})}),
        dataclasses.replace(OAUTH, sender=BILLS),
        {},
        Decision(
            False,
            "client_submission",
            (),
            "send_as_denied",
            "554 5.2.252",
            "erp@contoso.com may not send as bills@contoso.com",
            hint="declare it under send_as, or send as the mailbox",
        ),
    ),
    (
        picture(),
        dataclasses.replace(OAUTH, recipients=1001),
        {},
        Decision(
            False,
            "client_submission",
            (),
            "too_many_recipients",
            "452 4.5.3",
            "one message may have 1,000 recipients at most",
            hint="send several messages",
        ),
    ),
    (
        picture(),
        dataclasses.replace(OAUTH, recipients=2, sent_before=9_999),
        {},
        Decision(
            False,
            "client_submission",
            (),
            "daily_limit",
            "554 5.2.0",
            "erp@contoso.com has reached 10,000 recipients in 24 hours",
            hint="let several mailboxes share the mail",
        ),
    ),
]


@pytest.mark.parametrize(("tenant", "attempt", "answers", "decision"), REFUSED)
def test_every_refusal_alone(tenant: Picture, attempt: Attempt, answers: dict[str, Any], decision: Decision) -> None:
    assert decide(tenant, attempt, evidence(answers)) == decision


@pytest.mark.parametrize(
    ("words", "allowed", "reason", "missing"),
    [
        ((LegacyTls(True),), True, "", ()),
        ((LegacyTls(False),), False, "legacy_tls", ()),
        ((), None, "", ("AllowLegacyTLSClients",)),
    ],
)
def test_an_old_tls_needs_the_setting_of_the_organization(
    words: tuple[Contribution, ...], allowed: bool | None, reason: str, missing: tuple[str, ...]
) -> None:
    old = dataclasses.replace(BASIC, legacy_tls=True)
    found = decide(picture(*words), old, evidence())
    assert (found.allowed, found.reason, found.missing) == (allowed, reason, missing)
    assert found.code == ("421 4.7.66" if reason else "")
    assert decide(picture(*words), BASIC, evidence()).allowed is True


@pytest.mark.parametrize(
    ("mailbox", "organization", "allowed", "reason"),
    [
        ("enabled", "disabled", True, ""),
        ("enabled", "enabled", True, ""),
        ("disabled", "enabled", False, "mailbox"),
        ("disabled", "disabled", False, "mailbox"),
        ("inherit", "enabled", True, ""),
        ("inherit", "disabled", False, "organization"),
        ("inherit", None, None, ""),
        ("enabled", None, True, ""),
        (None, "enabled", None, ""),
    ],
)
@pytest.mark.parametrize("authentication", ["basic", "oauth"])
def test_the_mailbox_comes_before_the_organization_for_every_client(
    mailbox: str | None, organization: str | None, allowed: bool | None, reason: str, authentication: str
) -> None:
    given = {MAILBOX: (ERP, mailbox), ORG: (ORGANIZATION, organization)}
    tenant = Picture({a: (SignIn(name, switch),) for a, (name, switch) in given.items() if switch is not None})
    found = decide(tenant, dataclasses.replace(OAUTH, authentication=authentication), evidence())
    assert (found.allowed, found.reason) == (allowed, reason)


ACCESS = "the Conditional Access policies (Graph permission Policy.Read.All or Policy.Read.ConditionalAccess)"
PASSWORDS: list[tuple[dict[str, Any], bool | None, str, tuple[str, ...]]] = [
    ({}, True, "", ()),
    ({ORGANIZATION_CONFIG: [{"DefaultAuthenticationPolicy": "Block Basic"}]}, False, "authentication_policy",
     ()),
    ({DEFAULTS: "forbidden"}, None, "", ("the security defaults",)),
    ({ASK_USER: "forbidden"}, None, "", ("the authentication policy",)),
    ({ACCESS_POLICIES: "forbidden"}, None, "", (ACCESS,)),
    ({ACCESS_POLICIES: None}, None, "", (ACCESS,)),
    (asked(users={"includeUsers": ["None"], "includeGroups": ["g"]}), None, "", (
        'whether the Conditional Access policy "Block legacy" holds (the user\'s groups and roles)',)),
    (asked(users={"includeUsers": ["All"], "excludeGroups": ["g"]}), None, "", (
        'whether the Conditional Access policy "Block legacy" holds (the user\'s groups and roles)',)),
    (asked(users={"includeUsers": ["All"], "excludeUsers": ["ID-ERP"]}), True, "", ()),
    (asked(users={"includeUsers": ["All"], "excludeUsers": ["another"]}), False, "conditional_access", ()),
    (asked(users={"includeUsers": ["id-erp"]}), False, "conditional_access", ()),
    (asked(users={"includeUsers": ["another"]}), True, "", ()),
    (asked(users={"includeUsers": ["GuestsOrExternalUsers"]}), True, "", ()),
    (asked(locations={"includeLocations": ["All"]}, platforms={"includePlatforms": ["all"]}), None, "", (
        'whether the Conditional Access policy "Block legacy" holds (its locations and its device platforms)',)),
    ({ACCESS_POLICIES: [BLOCK_LEGACY, {**BLOCK_LEGACY, "displayName": "A", "conditions": {
        **BLOCK_LEGACY["conditions"], "locations": {"includeLocations": ["All"]}}}]}, False, "conditional_access", ()),
]  # fmt: skip


GROUPS = request_key(membership.look_up("id-erp"))
IN_G: dict[str, Any] = {GROUPS: [{"id": "G"}, {"id": "other"}]}
IN_NONE: dict[str, Any] = {GROUPS: []}
ROLES = request_key(role_assignment.REQUEST)


def holding(role: str, by: str = "ID-ERP", scope: str = "/") -> dict[str, Any]:
    return {ROLES: [{"principalId": by, "roleDefinitionId": role, "directoryScopeId": scope}]}


HOLDS = 'whether the Conditional Access policy "Block legacy" holds (%s)'
ROLES_UNREAD = "the user's roles (Graph permission RoleManagement.Read.Directory)"


@pytest.mark.parametrize(
    ("users", "member", "allowed", "missing"),
    [
        ({"includeUsers": ["None"], "includeGroups": ["g"]}, IN_G, False, ()),
        ({"includeUsers": ["None"], "includeGroups": ["g"]}, IN_NONE, True, ()),
        ({"includeUsers": ["All"], "excludeGroups": ["g"]}, IN_G, True, ()),
        ({"includeUsers": ["All"], "excludeGroups": ["g"]}, IN_NONE, False, ()),
        ({"includeGroups": ["g"], "excludeGroups": ["other"]}, IN_G, True, ()),
        ({"includeGroups": ["g"]}, {GROUPS: "forbidden"}, None, (HOLDS % "the user's groups and roles",)),
        ({"includeRoles": ["r"]}, IN_G, None, (HOLDS % ROLES_UNREAD,)),
        ({"includeUsers": ["All"], "excludeRoles": ["r"]}, IN_NONE, None, (HOLDS % ROLES_UNREAD,)),
        ({"includeRoles": ["r"]}, IN_G | holding("R"), False, ()),
        ({"includeRoles": ["r"]}, IN_G | holding("R", by="g"), False, ()),
        ({"includeRoles": ["r"]}, IN_G | holding("R", by="another"), True, ()),
        ({"includeRoles": ["r"]}, IN_G | holding("R", scope="/administrativeUnits/u"), True, ()),
        ({"includeRoles": ["r", "s"]}, IN_G | holding("s"), False, ()),
        ({"includeUsers": ["All"], "excludeRoles": ["r"]}, IN_G | holding("r"), True, ()),
        ({"includeUsers": ["All"], "excludeRoles": ["r"]}, IN_G | holding("s"), False, ()),
        ({"includeRoles": ["r"]}, {GROUPS: "forbidden"} | holding("r"), False, ()),
        ({"includeRoles": ["r"]}, {GROUPS: "forbidden"} | holding("s"), None, (HOLDS % "the user's roles",)),
        ({"includeRoles": ["r"]}, IN_G | {ROLES: "forbidden"}, None, (HOLDS % ROLES_UNREAD,)),
    ],
)
def test_groups_of_a_user_decide_about_a_conditional_access_policy_where_they_were_read(
    users: dict[str, Any], member: dict[str, Any], allowed: bool | None, missing: tuple[str, ...]
) -> None:
    found = decide(picture(), BASIC, evidence({**asked(users=users), **member}))
    assert (found.allowed, found.missing) == (allowed, missing)
    assert found.reason == ("conditional_access" if allowed is False else "")
    fixes = [doubt.hint for doubt in found.doubts]
    assert any("permission RoleManagement.Read.Directory" in fix for fix in fixes) is any(
        "RoleManagement" in what for what in missing
    )


def test_a_policy_is_that_of_the_user_who_has_the_sign_in_name() -> None:
    """The mailbox is written by an alias, which another user signs in by."""
    tenant = picture(Account(ERP, True, True, "id-erp", "erp01@contoso.onmicrosoft.com"))
    bea = {"UserPrincipalName": ERP, "WindowsEmailAddress": "bea@contoso.com", "AuthenticationPolicy": None}
    his = {"UserPrincipalName": "erp01@contoso.onmicrosoft.com", "AuthenticationPolicy": "Block Basic"}
    ask = request_key(user.look_up("erp01@contoso.onmicrosoft.com"))
    assert decide(tenant, BASIC, evidence({ASK_USER: [bea], ask: [his]})).reason == "authentication_policy"
    allowed = {**his, "AuthenticationPolicy": None}
    assert decide(tenant, BASIC, evidence({ASK_USER: [bea], ask: [allowed]})).allowed


@pytest.mark.parametrize(("answers", "allowed", "reason", "missing"), PASSWORDS)
def test_what_forbids_passwords_forbids_nothing_to_oauth(
    answers: dict[str, Any], allowed: bool | None, reason: str, missing: tuple[str, ...]
) -> None:
    found = decide(picture(), BASIC, evidence(answers))
    assert (found.allowed, found.reason, found.missing) == (allowed, reason, missing)
    assert decide(picture(), OAUTH, evidence(answers)) == Decision(True, "client_submission")


@pytest.mark.parametrize(
    ("users", "missing"),
    [
        ({"includeUsers": ["another"]}, "the user's id in Entra ID"),
        ({"includeUsers": ["All"], "excludeUsers": ["another"]}, "the user's id in Entra ID"),
        (
            {"includeUsers": ["another"], "includeGroups": ["g"]},
            "the user's id in Entra ID and the user's groups and roles",
        ),
        ({"includeUsers": ["None"]}, ""),
        ({"includeUsers": ["GuestsOrExternalUsers"]}, ""),
    ],
)
def test_a_policy_about_single_users_needs_the_id(users: dict[str, Any], missing: str) -> None:
    found = decide(picture(Account(ERP, True, True)), BASIC, evidence(asked(users=users)))
    named = (f'whether the Conditional Access policy "Block legacy" holds ({missing})',) if missing else ()
    assert (found.allowed, found.missing) == (None if missing else True, named)


def test_that_passwords_end_is_a_warning_and_no_decision() -> None:
    """Whether an administrator has switched basic authentication on again, no documented setting shows."""
    assert decide(picture(), BASIC, evidence()) == Decision(True, "client_submission", warning=BASIC_ENDING)
    assert "off by default from 2026-12-31" in BASIC_ENDING
    assert decide(picture(), OAUTH, evidence()).warning == ""
    assert decide(picture(SignIn(ERP, "disabled")), BASIC, evidence()).warning == ""


def test_every_reason_is_told_and_what_is_unknown_besides() -> None:
    """Which of several refusals the service names first is not published."""
    tenant = picture(SignIn(ERP, "inherit"), Account(ERP, False, False))
    answers = {**DEFAULTS_ON, ACCESS_POLICIES: [BLOCK_LEGACY], ASK_USER: [{**USER, "AuthenticationPolicy": "X"}]}
    found = decide(tenant, dataclasses.replace(BASIC, recipients=1_001), evidence(answers))
    assert (found.reason, found.missing) == ("organization", ("the authentication policy",))
    assert found.others == (
        "security_defaults", "conditional_access", "account_disabled", "unlicensed", "too_many_recipients",
    )  # fmt: skip
    assert found.certain == {"organization", *found.others}
    assert found.doubtful == {"authentication_policy"}
    nothing = Decision(True, "client_submission")
    assert (nothing.certain, nothing.doubtful) == (frozenset(), frozenset())


def test_an_application_signs_in_to_a_mailbox_whose_user_may_not() -> None:
    tenant = picture(Account(ERP, False, True))
    unclear = decide(tenant, OAUTH, evidence())
    assert unclear == Decision(
        None,
        "client_submission",
        missing=("whether an application signs in (the account itself is disabled)",),
        possible=("account_disabled",),
    )
    assert decide(tenant, dataclasses.replace(OAUTH, application=True), evidence()).allowed is True
    assert decide(tenant, dataclasses.replace(OAUTH, application=False), evidence()).reason == "account_disabled"


@pytest.mark.parametrize(
    ("kind", "allowed", "missing"),
    [
        ("UserMailbox", False, ()),
        ("SharedMailbox", True, ()),
        (None, None, ("whether the mailbox needs a licence (it has none)",)),
    ],
)
def test_only_user_mailboxes_need_a_licence(kind: str | None, allowed: bool | None, missing: tuple[str, ...]) -> None:
    found = decide(
        picture(Account(ERP, True, False)), OAUTH, evidence({ASK_USER: [{**USER, "RecipientTypeDetails": kind}]})
    )
    assert (found.allowed, found.missing) == (allowed, missing)


@pytest.mark.parametrize(
    ("sender", "allowed", "missing"),
    [
        (ERP, True, ()),
        ("erp.alias@contoso.com", True, ()),
        ("", True, ()),
        ("x@contoso.com", None, ("whether erp@contoso.com may send as x@contoso.com",)),
        (BILLS, True, ()),
    ],
)
def test_a_mailbox_sends_as_its_own_addresses_and_those_it_has_the_right_for(
    sender: str, allowed: bool | None, missing: tuple[str, ...]
) -> None:
    tenant = picture(SendRight(ERP, BILLS))
    found = decide(tenant, dataclasses.replace(OAUTH, sender=sender), evidence())
    assert (found.allowed, found.missing) == (allowed, missing)


@pytest.mark.parametrize(("member", "allowed"), [(True, True), (False, None)])
def test_a_group_s_right_lets_its_members_send(member: bool, allowed: bool | None) -> None:
    tenant = picture(SendRight(ERP, BILLS, "helpdesk", member))
    found = decide(tenant, dataclasses.replace(OAUTH, sender=BILLS), evidence())
    assert found.allowed is allowed
    words = f"whether {ERP} may send as {BILLS} (as a member of helpdesk)"
    assert found.missing == (() if member else (words,))


@pytest.mark.parametrize(("recipients", "allowed"), [(500, True), (501, None), (1000, None), (1001, False)])
def test_more_recipients_than_usual_depend_on_the_mailbox(recipients: int, allowed: bool | None) -> None:
    found = decide(picture(), dataclasses.replace(OAUTH, recipients=recipients), evidence())
    assert found.allowed is allowed
    if allowed is None:
        assert found.missing == (f"whether RecipientLimits of erp@contoso.com allows {recipients:,} recipients",)


@pytest.mark.parametrize(("before", "allowed"), [(9_999, True), (10_000, False)])
def test_a_mailbox_reaches_ten_thousand_recipients_a_day(before: int, allowed: bool) -> None:
    assert decide(picture(), dataclasses.replace(OAUTH, sent_before=before), evidence()).allowed is allowed


HVE = dataclasses.replace(BASIC, hve=True, external=False)
BILLING = ("whether the HVE account has a valid billing policy",)
UNREAD = ("hve_billing", "no_hve_account")
ACCOUNT = HighVolume(ERP, True, frozenset())


@pytest.mark.parametrize(
    ("tenant", "attempt", "answers", "decision"),
    [
        (Picture({}), HVE, {}, Decision(None, "client_submission", missing=BILLING, possible=UNREAD)),
        (picture(SignIn(ERP, "disabled"), Account(ERP, True, False)), HVE, {},
         Decision(None, "client_submission", missing=BILLING, possible=UNREAD)),
        (
            Picture({}),
            dataclasses.replace(HVE, external=True),
            {},
            Decision(
                False, "client_submission", (), "hve_external", "550 5.5.105",
                "High Volume Email reaches recipients of the organization only", BILLING,
                "use client submission or SMTP relay", possible=UNREAD),
        ),
        (
            Picture({}),
            dataclasses.replace(HVE, recipients=51),
            {},
            Decision(
                False, "client_submission", (), "too_many_recipients", "",
                "one message of an HVE account may have 50 recipients at most", BILLING, "send several messages",
                possible=UNREAD,
            ),
        ),
        (Picture({}), dataclasses.replace(HVE, recipients=50, sent_before=20_000), {},
         Decision(None, "client_submission", missing=BILLING, possible=UNREAD)),
    ],
)  # fmt: skip
def test_an_hve_account_has_no_switch_and_limits_of_its_own(
    tenant: Picture, attempt: Attempt, answers: dict[str, Any], decision: Decision
) -> None:
    assert decide(tenant, attempt, evidence(answers)) == decision


def test_of_an_hve_account_that_is_there_or_is_not_no_more_is_open_than_its_billing() -> None:
    there = Picture({Address("hve_account", ERP): (dataclasses.replace(ACCOUNT, billing=None),)})
    assert decide(there, HVE, evidence()).possible == ("hve_billing",)
    missing = Picture({}, lacking={HighVolume: frozenset({ERP})})
    found = decide(missing, HVE, evidence())
    assert (set(found.certain), list(found.missing)) == ({"no_hve_account"}, [])


@pytest.mark.parametrize(("accounts", "new"), [((), False), (("",), True), (("id-erp",), False)])
def test_an_hve_account_is_new_until_it_has_a_user(accounts: tuple[str, ...], new: bool) -> None:
    there = tuple(dataclasses.replace(ACCOUNT, user_id=user_id) for user_id in accounts)
    assert is_new(Picture({Address("hve_account", ERP): there}), ERP) is new


@pytest.mark.parametrize("answers", [DEFAULTS_ON, {ACCESS_POLICIES: [BLOCK_LEGACY]}])
def test_what_forbids_passwords_forbids_them_to_hve_accounts_too(answers: dict[str, Any]) -> None:
    assert decide(Picture({}), HVE, evidence(answers)).allowed is False


@pytest.mark.parametrize(
    ("account", "attempt", "allowed", "reason"),
    [
        (ACCOUNT, HVE, True, ""),
        (dataclasses.replace(ACCOUNT, billing=None), HVE, None, ""),
        (dataclasses.replace(ACCOUNT, billing=False), HVE, False, "hve_billing"),
        (None, HVE, False, "no_hve_account"),
        (ACCOUNT, dataclasses.replace(HVE, authentication="oauth", application=False), True, ""),
        (ACCOUNT, dataclasses.replace(HVE, authentication="oauth", application=True), False, "hve_app_not_allowed"),
        (ACCOUNT, dataclasses.replace(HVE, authentication="oauth"), None, ""),
        (dataclasses.replace(ACCOUNT, applications=frozenset({"a1"})),
         dataclasses.replace(HVE, authentication="oauth", application=True, client_id="a1"), True, ""),
        (dataclasses.replace(ACCOUNT, applications=frozenset({"a1"})),
         dataclasses.replace(HVE, authentication="oauth", application=True, client_id="b2"), None, ""),
    ],
)  # fmt: skip
def test_an_account_needs_its_billing_policy_and_its_applications(
    account: HighVolume | None, attempt: Attempt, allowed: bool | None, reason: str
) -> None:
    there = {Address("hve_account", ERP): (account,)} if account else {}
    tenant = Picture(there, lacking={} if account else {HighVolume: frozenset({ERP})})
    found = decide(tenant, attempt, evidence({}))
    assert (found.allowed, found.reason) == (allowed, reason)


# --- from what was read ----------------------------------------------------------------------------------------------


def observed(changes: dict[str, Any] | None = None, **resources: Observation) -> Observed:
    """The mailbox as it was read, with the answers to the rest."""
    kinds = {"smtp_auth": MAILBOX, "mailbox": Address("mailbox", ERP)}
    given: dict[str, Observation] = {"smtp_auth": Present(SmtpAuth(ERP, "enabled")), **resources}
    return Observed({kinds[name]: there for name, there in given.items()}, evidence=evidence(changes))


def switches_of(changes: dict[str, Any] | None = None, **resources: Observation) -> Switches:
    seen = observed(changes, **resources)
    return switches_in(pictures.of_observed(seen, TYPES, (ERP,)), ERP, seen.evidence)


def test_everything_that_was_read_is_in_the_switches() -> None:
    assert switches_of() == Switches("enabled", "disabled", "", True, False, kind="usermailbox")
    account = Present(Mailbox(ERP, False, True, ERP, "id-erp"))
    found = switches_of(asked(users={"includeUsers": ["id-erp"]}), mailbox=account)
    assert (found.enabled, found.licensed, found.access_policy) == (False, True, "Block legacy")


@pytest.mark.parametrize("name", ["Block Basic", "block basic", "AAAA-1", "CN=Block Basic,CN=Auth"])
def test_a_policy_is_known_by_each_of_its_names(name: str) -> None:
    found = switches_of({ASK_USER: [USER | {"AuthenticationPolicy": name}]})
    assert (found.policy, found.policy_allows) == (name, False)


def test_the_user_s_policy_comes_before_the_organization_s() -> None:
    own = {"Name": "Printers", "AllowBasicAuthSmtp": True}
    changes = {
        ORGANIZATION_CONFIG: [{"DefaultAuthenticationPolicy": "Block Basic"}],
        POLICIES: [POLICY, own],
    }
    assert switches_of(changes).policy_allows is False
    assert switches_of({**changes, ASK_USER: [USER | {"AuthenticationPolicy": "Printers"}]}).policy_allows is True


def test_a_user_is_found_in_a_listing_and_never_taken_for_another() -> None:
    other = {**USER, "UserPrincipalName": "a@contoso.com", "WindowsEmailAddress": "a@contoso.com"}
    listing = [other | {"AuthenticationPolicy": "Block Basic", "RecipientTypeDetails": "SharedMailbox"}, USER]
    found = switches_of({ASK_USER: None, request_key(user.LISTING): listing})
    assert (found.policy_allows, found.kind) == (True, "usermailbox")
    missing = switches_of({ASK_USER: [other]})
    assert (missing.policy, missing.kind) == (None, "")


def test_failed_and_missing_answers_are_unknown() -> None:
    refused = dict.fromkeys((TRANSPORT, DEFAULTS, POLICIES), "no")
    found = switches_of({**refused, ASK_USER: None, ACCESS_POLICIES: None})
    assert found == Switches("enabled", None, None, None, None, None, (ACCESS,))
    assert switches_of({ASK_USER: [USER | {"AuthenticationPolicy": "Gone"}]}).policy_allows is None


def test_a_mailbox_that_was_read_and_is_not_there_is_known_to_be_missing() -> None:
    assert switches_of(smtp_auth=Absent()).exists is False
    assert switches_of(smtp_auth=Unknown("throttled")).exists is True
    assert sign_in(observed(smtp_auth=Absent()), ERP, "basic").reason == "no_mailbox"
    assert sign_in(observed(), ERP, "basic").allowed is True


def test_the_account_is_known_from_an_answer_where_no_plan_declares_it() -> None:
    asked_for = pictures.questions_about(Account, [ERP])
    row = {"id": "ID-ERP", "userPrincipalName": ERP, "accountEnabled": False, "assignedPlans": []}
    (request,) = asked_for
    assert isinstance(request, GraphRequest)
    found = switches_of({request_key(request): [row], **asked(users={"includeUsers": ["id-erp"]})})
    assert (found.enabled, found.licensed, found.access_policy) == (False, False, "Block legacy")
    own = request_key(pictures.questions_about(SignIn, [ERP])[0])
    nobody = Observed({}, evidence=evidence({request_key(request): [], own: []}))
    assert sign_in(nobody, ERP, "oauth").reason == "no_mailbox"


def test_without_the_names_of_the_mailbox_no_address_is_certainly_another_s() -> None:
    tenant = picture(SignIn(ERP, "enabled"), lacking={SendRight: frozenset({f"{ERP} as {BILLS}"})})
    found = decide(tenant, dataclasses.replace(OAUTH, sender=BILLS), evidence())
    assert (found.allowed, found.missing) == (None, ("whether erp@contoso.com may send as bills@contoso.com",))
    assert found.possible == ("send_as_denied",)


def test_an_account_that_could_not_be_read_may_be_disabled_or_without_a_licence() -> None:
    switch = {MAILBOX: (SignIn(ERP, "enabled", frozenset({ERP})),)}
    found = decide(Picture(switch, {Account: "forbidden"}), OAUTH, evidence())
    assert (found.missing, found.possible) == (("the account and its licence",), ("account_disabled", "unlicensed"))
    other: dict[Address, Any] = {**switch, Address("mailbox", BILLS): (Account(BILLS, True, True),)}
    assert decide(Picture(other, {Account: "forbidden"}), OAUTH, evidence()).missing == ("the account and its licence",)
    assert decide(Picture(switch), OAUTH, evidence()).allowed is True


def test_an_unknown_switch_may_inherit_what_the_organization_says() -> None:
    disabled = Picture({ORG: (SignIn(ORGANIZATION, "disabled"),)})
    assert decide(disabled, OAUTH, evidence()).possible == ("mailbox", "no_mailbox", "organization")
    enabled = Picture({ORG: (SignIn(ORGANIZATION, "enabled"),)})
    assert decide(enabled, OAUTH, evidence()).possible == ("mailbox", "no_mailbox")


def test_a_domain_that_could_not_be_read_may_be_closed_for_sending() -> None:
    unread: dict[type[Contribution], str] = {Acceptance: "throttled"}
    tenant = picture()
    other = dataclasses.replace(OAUTH, sender="x@unread.example")
    found = decide(dataclasses.replace(tenant, unread=unread), other, evidence())
    assert "whether sending from unread.example is disabled" in found.missing
    assert "sending_disabled" in found.possible
    assert "sending_disabled" not in decide(tenant, other, evidence()).possible
    assert decide(dataclasses.replace(tenant, unread=unread), OAUTH, evidence()).allowed is True


@pytest.mark.parametrize(
    ("change", "possible"),
    [
        (DEFAULTS, "security_defaults"),
        (ACCESS_POLICIES, "conditional_access"),
        (POLICIES, "authentication_policy"),
    ],
)
def test_what_is_not_known_names_the_reason_that_it_may_be(change: str, possible: str) -> None:
    policy = [{**USER, "AuthenticationPolicy": "Printers"}]
    assert decide(picture(), BASIC, evidence({ASK_USER: policy, change: None})).possible == tuple(
        dict.fromkeys(["authentication_policy", possible])
    )


def test_a_switch_that_was_not_read_may_be_of_no_mailbox() -> None:
    found = decide(Picture({}), OAUTH, evidence())
    assert found.possible == ("mailbox", "no_mailbox", "organization")


def test_a_right_that_was_read_and_does_not_exist_is_denied_until_it_is_granted() -> None:
    right = pair_of(ERP, BILLS)
    address = Address("send_as", right.pair)
    switch = Present(SmtpAuth(ERP, "enabled", names=frozenset({ERP})))
    seen = dataclasses.replace(observed(), resources={MAILBOX: switch, address: Absent()})
    before = pictures.of_observed(seen, TYPES, (ERP,))
    attempt = dataclasses.replace(OAUTH, sender=BILLS)
    assert decide(before, attempt, seen.evidence).reason == "send_as_denied"
    granted = pictures.after(before, [Change(address, Action.CREATE, None, right)], TYPES)
    assert decide(granted, attempt, seen.evidence).allowed is True
    group = SendAs(right.pair, names=frozenset({f"helpdesk as {BILLS}"}))
    member = dataclasses.replace(seen, resources={**seen.resources, address: Absent(known=group)})
    perhaps = decide(pictures.of_observed(member, TYPES, (ERP,)), attempt, seen.evidence)
    assert perhaps.allowed is None
    assert perhaps.missing == (f"whether {ERP} may send as {BILLS} (as a member of helpdesk)",)
    taken = pictures.after(granted, [Change(address, Action.DELETE, right, None, observed=right)], TYPES)
    assert decide(taken, attempt, seen.evidence).reason == "send_as_denied"


def test_the_policies_of_the_picture_count_before_what_was_read() -> None:
    """They may be as changes will leave them: a policy of the mailbox, the default, and what a policy says."""
    default, mine = Address("authentication_policy_assignment", "organization"), Address("x", "mine")
    policy = Address("authentication_policy", "new")
    blocked = {ASK_USER: [{**USER, "AuthenticationPolicy": "Block Basic"}]}

    def reason(told: dict[str, Any], **words: Contribution) -> tuple[bool | None, str]:
        places = {"default": default, "mine": mine, "policy": policy}
        objects = {**picture().objects, **{places[name]: (word,) for name, word in words.items()}}
        found = decide(Picture(objects), BASIC, evidence(told))
        return found.allowed, found.reason

    refused = (False, "authentication_policy")
    assert reason(blocked) == refused
    assert reason(blocked, mine=PolicyOf(ERP, "")) == (True, "")
    assert reason({}, mine=PolicyOf("erp.alias@contoso.com", "block basic", addresses=frozenset({ERP}))) == refused
    assert reason({}, default=PolicyOf(ORGANIZATION, "new", False)) == refused
    assert reason({}, default=PolicyOf(ORGANIZATION, "New", False), policy=PasswordPolicy("new", True)) == (True, "")
    assert reason({}, default=PolicyOf(ORGANIZATION, "new"), policy=PasswordPolicy("new", False)) == refused
    assert reason({}, default=PolicyOf(ORGANIZATION, "new"), mine=PolicyOf(ERP, "other", True)) == (True, "")
    assert reason({}, mine=PolicyOf(ERP, "nowhere")) == (None, "")


def test_a_sign_in_is_judged_by_the_switch_of_its_mailbox() -> None:
    off = observed(smtp_auth=Present(SmtpAuth(ERP, "disabled")))
    assert sign_in(off, ERP, "oauth").allowed is False
    assert sign_in(observed(), ERP, "oauth").allowed is True


def hints(tenant: Picture, attempt: Attempt) -> dict[str, str]:
    """How to settle each doubt about an attempt."""
    return {doubt.missing: doubt.hint for doubt in decide(tenant, attempt, evidence()).doubts}


def test_a_doubt_says_which_role_or_right_would_settle_it() -> None:
    unread = hints(Picture({}), OAUTH)
    assert unread["the mailbox's switch"].endswith("may run Get-CASMailbox (Global Reader)")
    assert unread["the organization's switch"].endswith("may run Get-TransportConfig (Global Reader)")
    as_bills = dataclasses.replace(OAUTH, sender=BILLS)
    by_group = hints(picture(SendRight(ERP, BILLS, "helpdesk", False)), as_bills)
    assert by_group[f"whether {ERP} may send as {BILLS} (as a member of helpdesk)"].startswith("see whether")
    nobody = hints(picture(), as_bills)
    assert not nobody[f"whether {ERP} may send as {BILLS}"].startswith("see whether")


def test_a_right_is_not_denied_to_a_mailbox_whose_names_are_unknown() -> None:
    nothing_known = Picture({}, lacking={SendRight: frozenset({f"{ERP} as {BILLS}"})})
    assert f"whether {ERP} may send as {BILLS}" in hints(nothing_known, dataclasses.replace(OAUTH, sender=BILLS))


def test_an_account_that_was_not_read_may_not_take_the_application() -> None:
    application = dataclasses.replace(HVE, authentication="oauth", application=True, client_id="a1")
    assert "hve_app_not_allowed" in decide(Picture({}), application, evidence({})).possible
    assert "hve_app_not_allowed" not in decide(Picture({}), HVE, evidence({})).possible
