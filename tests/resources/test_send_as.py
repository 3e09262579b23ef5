from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.model import Absent, Answer, Cmdlet, GraphRequest, Query, Unknown
from provisioner.model.picture import SendRight
from provisioner.resources.rows import membership, recipient_permission
from provisioner.resources.send_as import SendAs, SendAsType, pair_of
from tests.recordings import load, recordings
from tests.resources.recorded import asked, declared, mistakes

KIND = SendAsType()
RIGHT = pair_of("erp@contoso.com", "invoices@contoso.com")

# As a real tenant gave them in July 2026, with names of ours.
ROWS: list[dict[str, Any]] = [
    {"Trustee": "NT AUTHORITY\\SELF", "AccessRights": ["SendAs"], "AccessControlType": "Allow",
     "TrusteeSidString": "S-1-5-10", "TrusteeWithPrimarySmtpAddress": ""},
    {"Trustee": "ERP@contoso.com", "AccessRights": ["SendAs"], "AccessControlType": "Allow",
     "TrusteeSidString": "S-1-5-21-1", "TrusteeWithPrimarySmtpAddress": ""},
]  # fmt: skip


def test_each_pair_is_a_resource_whatever_the_case() -> None:
    section = {"ERP@Contoso.com": ["Invoices@contoso.com", "b@contoso.com"]}
    assert declared(KIND, section) == {RIGHT.pair: RIGHT, "erp@contoso.com as b@contoso.com": SendAs(
        "erp@contoso.com as b@contoso.com", "erp@contoso.com", "b@contoso.com")}  # fmt: skip


APPLICATION = "5A1C2A52-0000-4000-8000-000000000001"


def test_a_group_is_written_by_its_display_name_and_an_application_by_its_id() -> None:
    section = {"Helpdesk Team": ["a@contoso.com"], APPLICATION: [APPLICATION]}
    assert list(declared(KIND, section)) == [
        "helpdesk team as a@contoso.com",
        f"{APPLICATION.lower()} as {APPLICATION.lower()}",
    ]


@pytest.mark.parametrize(
    "section",
    [{"erp": ["a@contoso.com"]}, {"erp@contoso.com": ["everybody"]}, {"erp@contoso.com": ["Everybody else"]}],
)
def test_what_is_no_address_is_refused(section: Any) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == ["EMAIL-INVALID"]


# --- the directory ---------------------------------------------------------------------------------------------------

KEY = RIGHT.pair
ERP: dict[str, Any] = {
    "Name": "ERP", "DisplayName": "Contoso ERP", "PrimarySmtpAddress": "erp@contoso.com", "Guid": "G-1",
    "EmailAddresses": ["SMTP:erp@contoso.com", "smtp:sap@contoso.com", "SIP:x@contoso.com"],
    "WindowsLiveID": "svc-erp@contoso.onmicrosoft.com", "DistinguishedName": "CN=ERP,OU=contoso",
    "RecipientType": "UserMailbox",
}  # fmt: skip
INVOICES: dict[str, Any] = {"Name": "invoices", "PrimarySmtpAddress": "invoices@contoso.com", "Guid": "G-2"}
FAX: dict[str, Any] = {"Name": "Fax", "DisplayName": "Fax", "PrimarySmtpAddress": "fax@contoso.com", "Guid": "G-3"}
PEOPLE = [ERP, INVOICES, FAX]
BOT: dict[str, Any] = {"AppId": "A-1", "ObjectId": APPLICATION, "Sid": "S-1-5-21-7", "DisplayName": "Payroll bot"}


def row(trustee: str, **more: Any) -> dict[str, Any]:
    return ROWS[1] | {"Trustee": trustee, "Identity": "invoices", "TrusteeSidString": "S-1-5-21-5"} | more


def read(
    wanted: dict[str, Any], rights: list[dict[str, Any]], people: list[dict[str, Any]], asked_for: list[str]
) -> dict[str, Any]:
    """What is seen of the wanted rights in a tenant of these people; what was asked goes to `asked_for`."""
    answers: list[tuple[Query, Answer]] = []
    queries = list(KIND.queries(wanted, False))
    for _ in range(3):
        answers += [(query, _answer(query, rights, people)) for query in queries]
        asked_for += [asked(query) for query in queries]
        known = [query for query, _ in answers]
        queries = [query for query in KIND.follow_up(wanted, False, answers) if query not in known]
    assert not queries
    return dict(KIND.decode(wanted, answers))


def _answer(query: Query, rights: list[dict[str, Any]], people: list[dict[str, Any]]) -> Answer:
    assert isinstance(query.request, Cmdlet)
    if query.request.name == "Get-RecipientPermission":
        return Answer(tuple(rights))
    if query.request.name == "Get-ServicePrincipal":
        return Answer((BOT,))
    text = str(query.request.parameters["Filter"]).lower()
    columns = ("Name", "DisplayName", "PrimarySmtpAddress", "WindowsLiveID", "DistinguishedName")
    values = [[*(str(p.get(c)) for c in columns), *(a[5:] for a in p.get("EmailAddresses", ()))] for p in people]
    found = [p for p, names in zip(people, values, strict=True) if any(f"'{n.lower()}'" in text for n in names)]
    return Answer(tuple(found))


def seen(
    rights: list[dict[str, Any]], people: list[dict[str, Any]] = PEOPLE, *, key: str = KEY, revoked: bool = True
) -> Any:
    wanted = {key: None if revoked else pair_of(*key.split(" as "))}
    return read(wanted, rights, people, []).get(key, Absent())


# --- reading ---------------------------------------------------------------------------------------------------------


def test_names_are_looked_up_together_and_rights_by_the_id_of_the_sender() -> None:
    other = pair_of("fax@contoso.com", "invoices@contoso.com")
    said: list[str] = []
    found = read({KEY: RIGHT, other.pair: other}, [ROWS[0], row("ERP@contoso.com")], PEOPLE, said)
    condition = "(EmailAddresses -eq '{0}' -or WindowsLiveID -eq '{0}')".format
    names = " -or ".join(map(condition, ("erp@contoso.com", "fax@contoso.com", "invoices@contoso.com")))
    assert said == [f"Get-Recipient {names} Unlimited", "Get-RecipientPermission g-2"]
    assert (found[KEY].trustee_id, found[KEY].sender_id) == ("g-1", "g-2")
    assert found[other.pair] == Absent(known=SendAs(other.pair, trustee_id="g-3", sender_id="g-2"))


def test_twenty_names_fill_a_look_up_and_ids_may_be_applications() -> None:
    wanted = {f"m{n}@contoso.com as {APPLICATION.lower()}": None for n in range(20)}
    queries = KIND.queries(wanted, False)
    counts = [asked(query).count("-eq '") // 2 for query in queries]
    assert counts == [20, 1, 0]
    assert asked(queries[2]) == "Get-ServicePrincipal"
    assert queries[2].covers == set(wanted)


@pytest.mark.parametrize(
    "change",
    [{"AccessControlType": "Deny"}, {"AccessRights": ["FullAccess"]}, {"AccessRights": []}],
)
def test_what_does_not_allow_it_is_no_right(change: dict[str, Any]) -> None:
    assert isinstance(seen([row("erp@contoso.com") | change]), Absent)
    assert isinstance(seen([row("erp@contoso.com")]), SendAs)


def test_the_primary_address_of_the_trustee_will_do() -> None:
    found = seen([row("Somebody", TrusteeWithPrimarySmtpAddress="erp@contoso.com")])
    assert (found.pair, found.trustee, found.sender) == (KEY, "erp@contoso.com", "invoices@contoso.com")


@pytest.mark.parametrize("path", recordings("exchange/recipients.json"))
def test_a_recorded_row_is_understood(path: Path) -> None:
    recorded = load(path)["Get-EXORecipientPermission"]
    assert isinstance(seen([recorded], revoked=False), Absent)
    assert isinstance(seen([recorded | {"Trustee": "erp@contoso.com"}]), SendAs)


def test_giving_and_taking_are_each_other_s_inverse_and_go_by_id() -> None:
    known = SendAs(KEY, "erp@contoso.com", "invoices@contoso.com", "g-1", "g-2")
    for right, trustee, sender in ((known, "g-1", "g-2"), (RIGHT, "erp@contoso.com", "invoices@contoso.com")):
        (give,), (take,) = KIND.steps(None, right), KIND.steps(right, None)
        expected = {"Identity": sender, "Trustee": trustee, "AccessRights": ("SendAs",), "Confirm": False}
        assert [(s.request.name, dict(s.request.parameters)) for s in (give, take)] == [  # type: ignore[union-attr]
            ("Add-RecipientPermission", expected),
            ("Remove-RecipientPermission", expected),
        ]
    assert KIND.steps(RIGHT, RIGHT) == ()


# --- a row under another name ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trustee",
    [
        "ERP@contoso.com",
        "svc-erp@contoso.onmicrosoft.com",
        "SAP@contoso.com",
        "Contoso ERP",
        "ERP",
        "CN=ERP,OU=contoso",
    ],
)
def test_the_trustee_is_found_under_each_of_its_names(trustee: str) -> None:
    for revoked in (True, False):
        found = seen([ROWS[0], row(trustee)], revoked=revoked)
        assert (found.pair, found.trustee_id) == (KEY, "g-1")
        assert {"svc-erp@contoso.onmicrosoft.com as invoices@contoso.com", "contoso erp as g-2"} <= set(
            KIND.names(found)
        )
    (step,) = KIND.steps(found, None)
    assert step.request.parameters["Trustee"] == "g-1"  # type: ignore[union-attr]


@pytest.mark.parametrize("shown", ["S-1-5-21-7", APPLICATION, "Payroll bot", "A-1"])
def test_an_application_is_found_by_sid_id_and_name(shown: str) -> None:
    key = f"{APPLICATION.lower()} as invoices@contoso.com"
    found = seen([row(shown, TrusteeSidString="S-1-5-21-7")], key=key)
    assert (found.pair, found.trustee_id) == (key, APPLICATION.lower())
    assert seen([ROWS[0]], key=key).known.trustee_id == APPLICATION.lower()


def test_self_in_any_language_is_nobody() -> None:
    german = row("NT-AUTORIT\u00c4T\\SELBST", TrusteeSidString="S-1-5-10")
    assert seen([ROWS[0], german]) == Absent(known=SendAs(KEY, trustee_id="g-1", sender_id="g-2"))


GROUP: dict[str, Any] = {
    "Name": "Helpdesk Team", "PrimarySmtpAddress": "helpdesk@contoso.com", "Guid": "G-5",
    "ExternalDirectoryObjectId": "ENTRA-5", "RecipientType": "MailUniversalSecurityGroup",
}  # fmt: skip


def test_a_right_that_a_group_holds_may_be_that_of_its_members() -> None:
    people = [*PEOPLE, GROUP]
    found = seen([ROWS[0], row("Helpdesk Team"), row("Fax"), row("S-1-5-21-9")], people, revoked=False)
    assert KIND.contribution(found.known) == (SendRight("erp@contoso.com", "invoices@contoso.com", "helpdesk team"),)
    nobody = seen([ROWS[0], row("Fax"), row("x@contoso.com")], people, revoked=False)
    assert nobody.known.names == frozenset()
    assert KIND.contribution(RIGHT) == (SendRight("erp@contoso.com", "invoices@contoso.com"),)
    held = seen([row("Helpdesk Team")], people, key="helpdesk@contoso.com as invoices@contoso.com")
    assert held.trustee_id == "g-5"


@pytest.mark.parametrize(
    ("member_of", "group", "through"),
    [
        (["X", "Entra-5"], GROUP, ("helpdesk team", True)),
        (["entra-6"], GROUP, None),
        ([], GROUP, None),
        (None, GROUP, ("helpdesk team", False)),
        (["entra-6"], GROUP | {"ExternalDirectoryObjectId": ""}, ("helpdesk team", False)),
    ],
)
def test_a_right_of_a_group_is_that_of_its_members_where_they_were_read(
    member_of: list[str] | None, group: dict[str, Any], through: tuple[str, bool] | None
) -> None:
    people = [{**ERP, "ExternalDirectoryObjectId": "Entra-1"}, INVOICES, group]
    rights = [ROWS[0], row("Helpdesk Team")]
    wanted = {KEY: None}
    first = [(query, Answer(tuple(people[:2]))) for query in KIND.queries(wanted, False)]
    held = [(query, Answer(tuple(rights))) for query in KIND.follow_up(wanted, False, first)]
    more = KIND.follow_up(wanted, False, [*first, *held])[len(held) :]
    assert [str(query.request) for query in more] == ["Get-Recipient", str(membership.look_up("entra-1"))]
    named, groups = Answer((group,)), Answer(tuple({"id": name} for name in member_of or ()))
    told = zip(more, (named, groups) if member_of is not None else (named,), strict=False)
    known = KIND.decode(wanted, [*first, *held, *told])[KEY]
    assert isinstance(known, Absent)
    assert isinstance(known.known, SendAs)
    expected = () if through is None else (SendRight("erp@contoso.com", "invoices@contoso.com", *through),)
    assert (KIND.contribution(known.known) if known.known.names else ()) == expected


def test_the_groups_of_one_who_holds_the_right_are_not_asked_for() -> None:
    people = [{**ERP, "ExternalDirectoryObjectId": "Entra-1"}, INVOICES, GROUP]
    first = [(query, Answer(tuple(people))) for query in KIND.queries({KEY: None}, False)]
    for rights in ([row("Helpdesk Team"), row("ERP@contoso.com")], [row("fax@contoso.com")]):
        held = [(query, Answer((ROWS[0], *rights))) for query in KIND.follow_up({KEY: None}, False, first)]
        asked = [query.request for query in KIND.follow_up({KEY: None}, False, [*first, *held])]
        assert not any(isinstance(request, GraphRequest) for request in asked)


def test_a_mailbox_may_send_as_its_own_aliases() -> None:
    key = "sap@contoso.com as erp@contoso.com"
    assert seen([ROWS[0]], key=key, revoked=False).trustee_id == "g-1"
    assert seen([ROWS[0]], key=key) == Absent(), "what a mailbox has of itself is not taken away"


def test_two_names_of_one_right_are_one_object() -> None:
    other = seen([row("ERP@contoso.com")], key="sap@contoso.com as invoices@contoso.com")
    assert KIND.identity(seen([row("ERP@contoso.com")])) == KIND.identity(other) == "g-1 as g-2"
    assert KIND.identity(RIGHT) == ""


def test_somebody_else_s_right_is_not_this_one() -> None:
    assert isinstance(seen([row("fax@contoso.com"), row("Fax")]), Absent)


@pytest.mark.parametrize(
    ("rights", "people", "named"),
    [
        ([row("S-1-5-21-9")], PEOPLE, "S-1-5-21-9"),
        ([row("Old name")], PEOPLE, "Old name"),
        ([row("Fax")], [*PEOPLE, FAX | {"Guid": "G-4", "PrimarySmtpAddress": "fax2@contoso.com"}], "Fax"),
        ([row("fax@contoso.com")], [INVOICES, FAX], "erp@contoso.com does not resolve"),
        ([row("fax@contoso.com")], [*PEOPLE, ERP | {"Guid": "G-9"}], "several recipients"),
    ],
)
def test_a_right_that_could_be_this_one_is_unknown_and_never_absent(rights: Any, people: Any, named: str) -> None:
    found = seen(rights, people)
    assert isinstance(found, Unknown)
    assert named in found.reason


def test_a_name_that_two_have_does_not_count_as_granted() -> None:
    twins = [*PEOPLE, FAX | {"Guid": "G-4", "DisplayName": "Contoso ERP"}]
    assert isinstance(seen([row("Contoso ERP")], twins, revoked=False), Unknown)
    assert isinstance(seen([row("S-1-5-21-9")], revoked=False), Absent)


def test_an_answer_about_several_recipients_is_about_none() -> None:
    assert isinstance(seen([row("erp@contoso.com"), row("erp@contoso.com", Identity="other")]), Unknown)


# --- names that do not do --------------------------------------------------------------------------------------------


def test_an_account_that_is_no_recipient_keeps_the_right_that_its_row_names() -> None:
    assert isinstance(seen([row("erp@contoso.com")], [INVOICES], revoked=False), SendAs)
    (step,) = KIND.steps(seen([row("erp@contoso.com")], [INVOICES]), None)
    assert step.request.parameters["Trustee"] == "erp@contoso.com"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "people", "reason", "fix"),
    [
        (KEY, [INVOICES], "no recipient erp@contoso.com to hold the right", "correct the name"),
        (KEY, [ERP], "no recipient invoices@contoso.com to send as", "create the recipient first"),
        (KEY, [ERP | {"RecipientType": "MailContact"}, INVOICES], "erp@contoso.com is a mail contact", "mail user"),
        (KEY, [ERP | {"RecipientType": "MailUniversalDistributionGroup"}, INVOICES], "distribution group", "security"),
        ("0a1b2c3d-0000-4000-8000-00000000000f as invoices@contoso.com", PEOPLE,
         "neither a recipient nor an application", "Enterprise applications"),
    ],
)  # fmt: skip
def test_a_right_that_cannot_be_granted_says_why_and_what_to_write(
    key: str, people: Any, reason: str, fix: str
) -> None:
    found = seen([ROWS[0]], people, key=key, revoked=False)
    assert isinstance(found, Absent)
    assert reason in found.reason
    assert fix in found.fix
    assert seen([ROWS[0]], people, key=key).reason == "", "what is not there is not revoked"


@pytest.mark.parametrize("kind", ["UserMailbox", "MailUser", "MailUniversalSecurityGroup"])
def test_users_and_security_groups_can_hold_a_right(kind: str) -> None:
    assert seen([ROWS[0]], [ERP | {"RecipientType": kind}, INVOICES], revoked=False).reason == ""


# --- export ----------------------------------------------------------------------------------------------------------


def test_every_right_is_exported_by_the_addresses_of_its_parties() -> None:
    rights = [ROWS[0], row("Contoso ERP"), row("S-1-5-21-9"), row("fax@contoso.com", Identity="Nobody")]
    rights.append(row("S-1-5-21-7"))
    permissions, people, applications = KIND.queries({}, True)
    assert [asked(permissions), asked(people)] == ["Get-RecipientPermission Unlimited", "Get-Recipient Unlimited"]
    assert asked(applications) == "Get-ServicePrincipal"
    assert KIND.follow_up({}, True, []) == ()
    found = KIND.decode(
        {}, [(permissions, Answer(tuple(rights))), (people, Answer(tuple(PEOPLE))), (applications, Answer((BOT,)))]
    )
    assert {key: KIND.written_form(spec) for key, spec in found.items()} == {  # type: ignore[arg-type]
        KEY: (("erp@contoso.com",), ["invoices@contoso.com"]),
        "s-1-5-21-9 as invoices@contoso.com": (("s-1-5-21-9",), ["invoices@contoso.com"]),
        f"{APPLICATION.lower()} as invoices@contoso.com": ((APPLICATION.lower(),), ["invoices@contoso.com"]),
        "fax@contoso.com as nobody": (("fax@contoso.com",), ["nobody"]),
    }
    assert "svc-erp@contoso.onmicrosoft.com as invoices@contoso.com" in KIND.names(found[KEY])


@pytest.mark.parametrize("nobody", [{"Trustee": "NULL SID"}, {"Trustee": "x", "TrusteeSidString": "S-1-0-0"}])
def test_a_right_that_nobody_has_any_more_is_none(nobody: dict[str, Any]) -> None:
    assert recipient_permission.decode([{**ROWS[1], **nobody}, ROWS[1]]) == recipient_permission.decode([ROWS[1]])
