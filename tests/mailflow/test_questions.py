"""What has to be asked for the verdict on sign-ins, and what of the answers is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from provisioner.mailflow import outbound_policies
from provisioner.mailflow.asking import (
    counted_by_mailbox,
    further_questions,
    mailbox_questions,
    questions,
    reached_by_address,
    reduce_evidence,
    sign_in_questions,
)
from provisioner.model import (
    Address,
    Answer,
    Cmdlet,
    Desired,
    GraphRequest,
    Observed,
    Present,
    Request,
    Resource,
    Unknown,
    request_key,
)
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, SMTP_RELAY, Choice, Device
from provisioner.model.traffic import Traffic
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.mailbox import Mailbox
from provisioner.resources.outbound_connector import OutboundConnector
from provisioner.resources.rows import (
    accepted_domain,
    access_policy,
    allow_block_list,
    authentication_policy,
    cas_mailbox,
    connection_filter,
    membership,
    organization_config,
    role_assignment,
    security_defaults,
    transport_config,
    transport_rule,
    user,
)
from provisioner.resources.rows.ipv6_status import MOST
from provisioner.resources.smtp_auth import SmtpAuth

ERP, FAX = "erp@contoso.com", "fax@contoso.com"


def plan(declared: tuple[str, ...] = (), *, recipients: str = "anyone", **sends: tuple[str | None, str]) -> Desired:
    """Devices by name, each with its method and authentication; a device signs in as the mailbox of its name."""
    devices = {
        name: Device(name, f"{name}@contoso.com", recipients, "1.2", frozenset(), f"{name}@contoso.com")
        for name in sends
    }
    choices = {name: Choice(method, authentication, (), {}) for name, (method, authentication) in sends.items()}
    addresses = [Address("smtp_auth", mailbox) for mailbox in declared]
    return Desired(
        "contoso",
        "",
        {a: Resource(a, SmtpAuth(a.key, "enabled")) for a in addresses},
        devices=devices,
        choices=choices,
    )


def of_user(mailbox: str) -> Request:
    return user.look_up(mailbox)


def of_mailbox(mailbox: str) -> Request:
    return cas_mailbox.look_up(mailbox)


BASIC, OAUTH = (CLIENT_SUBMISSION, "basic"), (CLIENT_SUBMISSION, "oauth")
PASSWORDS = [authentication_policy.REQUEST, security_defaults.REQUEST, access_policy.REQUEST]
ACCOUNT = GraphRequest(
    "GET",
    "/users?$filter=userPrincipalName%20eq%20'erp@contoso.com'%20or%20mail%20eq%20'erp@contoso.com'"
    "%20or%20proxyAddresses%2Fany%28p%3Ap%20eq%20'smtp%3Aerp@contoso.com'%29",
)


@pytest.mark.parametrize(
    ("desired", "asked"),
    [
        (plan(), []),
        (plan(a=(SMTP_RELAY, "none")), [connection_filter.REQUEST, transport_rule.REQUEST]),
        (
            plan(a=(SMTP_RELAY, "none"), recipients="organization"),
            [connection_filter.REQUEST, transport_rule.REQUEST, allow_block_list.REQUEST],
        ),
        (
            plan(erp=OAUTH, recipients="organization"),
            [transport_config.REQUEST, of_mailbox(ERP), transport_rule.REQUEST, allow_block_list.REQUEST],
        ),
        (plan(a=(None, "none"), recipients="organization"), []),
        (plan(a=(None, "none")), []),
        (
            plan(a=(DIRECT_SEND, "none")),
            [organization_config.REQUEST, connection_filter.REQUEST, transport_rule.REQUEST],
        ),
        (plan(erp=OAUTH), [transport_config.REQUEST, of_mailbox(ERP), transport_rule.REQUEST]),
        (plan((ERP,), erp=OAUTH), [transport_config.REQUEST, transport_rule.REQUEST]),
        (
            plan((ERP,), erp=BASIC),
            [transport_config.REQUEST, *PASSWORDS, of_user(ERP), organization_config.REQUEST, transport_rule.REQUEST],
        ),
        # The mailbox of the plan needs no lookup, the other does; a user only where a password is used.
        (
            plan((ERP,), erp=BASIC, fax=OAUTH),
            [
                transport_config.REQUEST,
                of_mailbox(FAX),
                *PASSWORDS,
                of_user(ERP),
                organization_config.REQUEST,
                transport_rule.REQUEST,
            ],
        ),
        # What relays signs in to nothing, whatever it could.
        (plan(erp=(SMTP_RELAY, "basic")), [connection_filter.REQUEST, transport_rule.REQUEST]),
    ],
)
def test_only_what_the_devices_make_necessary_is_asked(desired: Desired, asked: list[Request]) -> None:
    assert list(questions(desired)) == asked


def test_mailboxes_are_asked_in_order_and_many_of_them_by_one_listing() -> None:
    assert list(mailbox_questions([])) == []
    assert list(mailbox_questions([FAX, ERP])) == [of_mailbox(FAX), of_mailbox(ERP)]
    assert list(mailbox_questions([f"m{i}@contoso.com" for i in range(100)])) == [cas_mailbox.LISTING]
    two = questions(plan(zoo=BASIC, ant=BASIC))
    assert [q for q in two if isinstance(q, Cmdlet) and q.name == "Get-CASMailbox"] == [
        of_mailbox("ant@contoso.com"),
        of_mailbox("zoo@contoso.com"),
    ]


REST = [transport_config.REQUEST, organization_config.REQUEST, *PASSWORDS]


@pytest.mark.parametrize(
    ("desired", "own"), [(None, [of_mailbox(ERP)]), (plan(), [of_mailbox(ERP)]), (plan((ERP,)), [])]
)
def test_a_verdict_on_a_mailbox_needs_every_switch(desired: Desired | None, own: list[Request]) -> None:
    assert list(sign_in_questions([ERP], desired)) == [*own, ACCOUNT, of_user(ERP), *REST]


# --- what of the answers is kept -------------------------------------------------------------------------------------


def reduced(desired: Desired, *answers: tuple[Request, Answer | Unknown]) -> dict[str, Answer | Unknown]:
    return reduce_evidence(Observed({}, evidence={request_key(q): a for q, a in answers}), desired)


def test_columns_that_no_rule_reads_are_left_out() -> None:
    row = {"SmtpClientAuthenticationDisabled": True, "Name": "Transport Settings", "MaxSendSize": "35 MB"}
    found = reduced(plan(erp=OAUTH), (transport_config.REQUEST, Answer((row,))))
    assert found == {request_key(transport_config.REQUEST): Answer(({"SmtpClientAuthenticationDisabled": True},))}


def test_a_listing_keeps_the_users_and_mailboxes_of_devices_only() -> None:
    many = {f"m{i}": BASIC for i in range(100)}
    rows = [
        {"UserPrincipalName": f"{name}@contoso.com", "WindowsEmailAddress": f"{name}@contoso.com",
         "AuthenticationPolicy": None, "Department": "x"}
        for name in ("m1", "anna", "m2")
    ]  # fmt: skip
    mailboxes: list[dict[str, Any]] = [
        {"PrimarySmtpAddress": f"{n}@contoso.com", "EmailAddresses": [], "SmtpClientAuthenticationDisabled": None}
        for n in ("anna", "m3")
    ]
    found = reduced(
        plan((), recipients="anyone", **many),
        (user.LISTING, Answer(tuple(rows))),
        (cas_mailbox.LISTING, Answer(tuple(mailboxes))),
    )
    users, switches = found[request_key(user.LISTING)], found[request_key(cas_mailbox.LISTING)]
    assert isinstance(users, Answer)
    assert [row["UserPrincipalName"] for row in users.rows] == ["m1@contoso.com", "m2@contoso.com"]
    assert all("Department" not in row for row in users.rows)
    assert isinstance(switches, Answer)
    assert [row["PrimarySmtpAddress"] for row in switches.rows] == ["m3@contoso.com"]


def test_a_single_user_is_kept_whatever_the_row_calls_it() -> None:
    row = {"UserPrincipalName": "other@contoso.com", "AuthenticationPolicy": None}
    answer = reduced(plan(erp=BASIC), (of_user(ERP), Answer((row,))))[request_key(of_user(ERP))]
    assert answer == Answer((row,))


def test_graph_answers_failures_and_answers_to_others_stay_whole() -> None:
    other = Cmdlet("Get-OutboundConnector")
    answers: list[tuple[Request, Answer | Unknown]] = [
        (security_defaults.REQUEST, Answer(({"isEnabled": False, "displayName": "x"},))),
        (transport_config.REQUEST, Unknown("throttled")),
        (other, Answer(({"Name": "x"},))),
        (organization_config.REQUEST, Answer(({"RejectDirectSend": True, "Name": "contoso"},))),
    ]
    found = reduced(plan(erp=BASIC), *answers)
    assert found == {
        **{request_key(q): a for q, a in answers},
        request_key(organization_config.REQUEST): Answer(({"RejectDirectSend": True},)),
    }


def test_policies_are_kept_by_the_columns_that_decide_and_their_names() -> None:
    """A policy is known by each of its names, so that all of them stay."""
    policy = {
        "Name": "P", "Identity": "P", "Guid": "1", "Id": "P", "DistinguishedName": "CN=P", "AllowBasicAuthSmtp": True,
        "AllowBasicAuthImap": False,
    }  # fmt: skip
    access = {"id": "1", "displayName": "Block", "state": "enabled", "conditions": {}, "grantControls": {}, "x": 1}
    plans = plan(erp=BASIC)
    found = reduced(
        plans, (authentication_policy.REQUEST, Answer((policy,))), (access_policy.REQUEST, Answer((access,)))
    )
    assert found == {
        request_key(authentication_policy.REQUEST): Answer(
            ({name: value for name, value in policy.items() if name != "AllowBasicAuthImap"},)
        ),
        request_key(access_policy.REQUEST): Answer(({n: v for n, v in access.items() if n != "x"},)),
    }


# --- what the first answers make necessary ---------------------------------------------------------------------------

SIGN_IN = "erp01@contoso.onmicrosoft.com"
POLICY = {
    "state": "enabled",
    "displayName": "Block legacy",
    "grantControls": {"builtInControls": ["block"]},
    "conditions": {"clientAppTypes": ["other"], "applications": {"includeApplications": ["All"]}},
}


def seen(users: list[dict[str, Any]], of_policy: dict[str, Any], listing: bool = False) -> Observed:
    """The user of ERP was read; `users` is what Get-User answered."""
    there = {Address("mailbox", ERP): Present(Mailbox(ERP, True, True, SIGN_IN, "id/erp"))}
    policy = {**POLICY, "conditions": {**POLICY["conditions"], "users": of_policy}}  # type: ignore[dict-item]
    answers = {
        request_key(user.LISTING if listing else of_user(ERP)): Answer(tuple(users)),
        request_key(access_policy.REQUEST): Answer((policy,)),
    }
    return Observed(there, evidence=answers)


EVERYBODY: dict[str, Any] = {"includeUsers": ["All"]}
GROUPS = GraphRequest("GET", "/users/id%2Ferp/transitiveMemberOf?$top=999", columns=frozenset({"id"}))


@pytest.mark.parametrize(
    ("users", "of_policy", "asked"),
    [
        ([{"UserPrincipalName": SIGN_IN, "WindowsEmailAddress": ERP}], EVERYBODY, []),
        ([], EVERYBODY, [user.look_up(SIGN_IN)]),
        # The alias is the sign-in name of another one.
        ([{"UserPrincipalName": ERP, "WindowsEmailAddress": "bea@contoso.com"}], EVERYBODY, [user.look_up(SIGN_IN)]),
        ([{"UserPrincipalName": SIGN_IN}], {"includeUsers": ["All"], "excludeGroups": ["g"]}, [GROUPS]),
        ([{"UserPrincipalName": SIGN_IN}], {"includeGroups": ["g"]}, [GROUPS]),
        (
            [{"UserPrincipalName": SIGN_IN}],
            {"includeUsers": ["All"], "excludeRoles": ["r"]},
            [GROUPS, role_assignment.REQUEST],
        ),
        ([{"UserPrincipalName": SIGN_IN}], {"includeRoles": ["r"]}, [GROUPS, role_assignment.REQUEST]),
    ],
)
def test_what_the_first_answers_leave_open_is_asked(
    users: list[dict[str, Any]], of_policy: dict[str, Any], asked: list[Request]
) -> None:
    observed = seen(users, of_policy)
    assert list(further_questions(plan((ERP,), erp=BASIC), observed)) == asked
    assert list(further_questions(plan((ERP,), erp=OAUTH), observed)) == [], "it is about passwords"
    listed = seen(users, of_policy, listing=True)
    assert [q for q in further_questions(plan((ERP,), erp=BASIC), listed) if isinstance(q, Cmdlet)] == []


@pytest.mark.parametrize("authentication", ["basic", "any"])
def test_the_groups_of_a_mailbox_that_was_observed_to_sign_in_are_asked_for(authentication: str) -> None:
    observed = seen([{"UserPrincipalName": SIGN_IN}], {"includeGroups": ["g"]})
    watched = (Traffic(ERP, mailbox=ERP, authentication=authentication),)
    assert GROUPS in further_questions(dataclasses.replace(plan(), traffic=watched), observed)


@pytest.mark.parametrize("gone", [("in",), ("out",), ("in", "out"), ()])
def test_the_transport_rules_are_asked_for_where_any_outbound_connector_goes(gone: tuple[str, ...]) -> None:
    """No transport rule names the inbound one."""
    live = {
        "in": (Address("inbound_connector", "in"), InboundConnector("in", enabled=True)),
        "out": (Address("outbound_connector", "out"), OutboundConnector("out", enabled=True)),
        "kept": (Address("outbound_connector", "kept"), OutboundConnector("kept", enabled=True)),
    }
    desired = dataclasses.replace(plan(), absent={live[name][0]: None for name in gone})
    asked = further_questions(desired, Observed({a: Present(spec) for a, spec in live.values()}))
    assert asked == ([transport_rule.REQUEST] if "out" in gone else [])


def test_of_the_roles_those_of_the_users_and_their_groups_are_kept() -> None:
    observed = seen([{"UserPrincipalName": SIGN_IN}], {"includeRoles": ["r"]})
    held = [{"principalId": who, "roleDefinitionId": "r"} for who in ("id/erp", "g", "other")]
    more = {
        request_key(GROUPS): Answer(({"@odata.type": "#microsoft.graph.group", "id": "g"},)),
        request_key(role_assignment.REQUEST): Answer(tuple(held)),
    }
    observed = dataclasses.replace(observed, evidence={**observed.evidence, **more})
    kept = reduce_evidence(observed, plan((ERP,), erp=BASIC))[request_key(role_assignment.REQUEST)]
    assert isinstance(kept, Answer)
    assert [row["principalId"] for row in kept.rows] == ["id/erp", "g"]


def test_a_mailbox_counts_the_mail_of_the_devices_that_sign_in_to_it() -> None:
    plain = plan(erp=BASIC, fax=OAUTH, mfp=(SMTP_RELAY, "none"), idle=BASIC)
    devices = {n: dataclasses.replace(d, messages_per_day=0 if n == "idle" else 9) for n, d in plain.devices.items()}
    shared = {**devices, "fax": dataclasses.replace(devices["fax"], mailbox=ERP)}
    found = counted_by_mailbox(dataclasses.replace(plain, devices=shared))
    assert found == {ERP: [shared["erp"], shared["fax"]]}
    asked = questions(dataclasses.replace(plain, devices=shared))
    assert [q for q in asked if q in outbound_policies.QUESTIONS] == list(outbound_policies.QUESTIONS)
    assert not [q for q in questions(plain) if q in outbound_policies.QUESTIONS]


@pytest.mark.parametrize(("method", "asked"), [(OAUTH, True), ((SMTP_RELAY, "none"), False)])
def test_of_a_device_that_signs_in_under_another_name_the_aliases_are_asked_for(
    method: tuple[str, str], asked: bool
) -> None:
    plain = plan(erp=method)
    other = dataclasses.replace(plain.devices["erp"], sender="bills@contoso.com")
    aliased = questions(dataclasses.replace(plain, devices={"erp": other}))
    assert (organization_config.REQUEST in aliased, organization_config.REQUEST in questions(plain)) == (asked, False)


def test_of_many_users_the_groups_are_not_asked_for() -> None:
    names = [f"m{n}" for n in range(membership.MOST + 1)]
    there = {
        Address("mailbox", f"{n}@contoso.com"): Present(Mailbox(f"{n}@contoso.com", True, True, user_id=f"id-{n}"))
        for n in names
    }
    policies = seen([], {"includeGroups": ["g"]}).evidence
    for count, asked in ((membership.MOST, membership.MOST), (membership.MOST + 1, 0)):
        desired = plan((), **dict.fromkeys(names[:count], BASIC))  # type: ignore[arg-type]
        questions_ = further_questions(desired, Observed(there, evidence=policies))
        assert sum(isinstance(q, GraphRequest) for q in questions_) == asked


def with_dkim() -> Desired:
    """A plan that needs to know whether a domain is an accepted one."""
    address = Address("dkim", "contoso.com")
    return dataclasses.replace(plan(), resources={address: Resource(address, Dkim("contoso.com", enabled=True))})


@pytest.mark.parametrize(
    ("request_", "desired"),
    [
        (accepted_domain.REQUEST, with_dkim()),
        (connection_filter.REQUEST, plan(a=(SMTP_RELAY, "none"))),
        (organization_config.REQUEST, plan(erp=BASIC)),
    ],
)
def test_of_each_listing_the_columns_that_decide_are_kept(request_: Cmdlet, desired: Desired) -> None:
    row = {**dict.fromkeys(request_.columns or (), "x"), "WhenChangedUTC": "2026-11-23"}
    (found,) = reduced(desired, (request_, Answer((row,)))).values()
    assert isinstance(found, Answer)
    assert "WhenChangedUTC" not in found.rows[0]
    assert found.rows[0]


def test_the_mailboxes_of_observed_mail_are_asked_for() -> None:
    traffic = (Traffic(ERP, mailbox=ERP, authentication="oauth"), Traffic(FAX, mailbox=FAX, authentication="basic"))
    asked = questions(dataclasses.replace(plan(), traffic=traffic))
    assert [q for q in asked if isinstance(q, Cmdlet) and q.name == "Get-CASMailbox"] == [
        of_mailbox(ERP),
        of_mailbox(FAX),
    ]


def test_only_what_relays_by_its_address_needs_the_domains_of_devices() -> None:
    address = Address("inbound_connector", "hq")
    by_address = InboundConnector("hq", type="on_premises", enabled=True, sender_ip_addresses=frozenset({"8.8.8.8/32"}))
    by_name = dataclasses.replace(
        by_address, sender_ip_addresses=frozenset(), tls_sender_certificate_name="mx.contoso.com", require_tls=True
    )
    for spec, domains in ((by_address, ["contoso.com"]), (by_name, [])):
        desired = plan(a=(SMTP_RELAY, "none"))
        declared = {**desired.resources, address: Resource(address, spec)}
        assert list(reached_by_address(dataclasses.replace(desired, resources=declared))) == domains


def test_the_domains_are_asked_for_in_order_and_of_many_a_few() -> None:
    address = Address("inbound_connector", "hq")
    lets_in = InboundConnector("hq", type="on_premises", sender_ip_addresses=frozenset({"198.51.100.8/32"}))
    relaying = plan(mfp=(SMTP_RELAY, "none"))
    senders = [f"scan@{letter}.example" for letter in "zyxwvutsrqponmlkjihgfedcba"]
    mfp = dataclasses.replace(relaying.devices["mfp"], sender=senders[0], other_senders=tuple(senders[1:]))
    declared = {address: Resource(address, lets_in)}
    desired = dataclasses.replace(relaying, devices={"mfp": mfp}, resources=declared)
    assert list(reached_by_address(desired)) == [f"{letter}.example" for letter in "abcdefghijklmnopqrstuvwxyz"[:MOST]]
