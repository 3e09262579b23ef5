from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from provisioner.model import Delta, Parameter, Undeclared, Unknown, field_names, project
from provisioner.resources.outbound_connector import (
    OutboundConnector,
    OutboundConnectorType,
    recipient_domain,
    smart_host,
)
from provisioner.resources.ownership import split_comment
from tests.resources.recorded import answer, asked, declared, mistakes, rows, sent

KIND = OutboundConnectorType()
OWNER = "mail-platform/prod"
OBSERVED_ONLY = {"source", "spellings"}
NO_LINK = "00000000-0000-0000-0000-000000000000"
ROWS = rows("outbound-connectors")


# --- what the service stores, by the reference -----------------------------------------------------------------------

NEW: dict[str, Any] = {
    "Enabled": True,
    "UseMXRecord": True,
    "Comment": "",
    "ConnectorType": "Partner",
    "ConnectorSource": "Default",
    "RecipientDomains": [],
    "SmartHosts": [],
    "TlsDomain": None,
    "TlsSettings": None,
    "IsTransportRuleScoped": False,
    "RouteAllMessagesViaOnPremises": False,
    "CloudServicesMailEnabled": False,
    "AllAcceptedDomains": False,
    "SenderRewritingEnabled": False,
    "MtaStsMode": "Opportunistic",
    "SmtpDaneMode": "Opportunistic",
    "TestMode": False,
    "LinkForModifiedConnector": NO_LINK,
    "ValidationRecipients": None,
}


def stored(row: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The row after New or Set: [] changes nothing, Remove goes by exact text."""
    after = dict(row)
    for name, value in parameters.items():
        match value:
            case Delta():
                assert set(value.remove) <= set(after[name]), "what is removed must be named as it is stored"
                after[name] = [v for v in after[name] if v not in value.remove]
            case tuple():
                after[name] = list(value) or after[name]
            case _ if name not in {"Identity", "Confirm"}:
                after[name] = value
    return after


def through(row: Mapping[str, Any], before: OutboundConnector | None, after: OutboundConnector) -> dict[str, Any]:
    """The row after all steps."""
    for step in KIND.steps(before, after):
        row = stored(row, sent(step)[1])
    return dict(row)


def decoded(row: Mapping[str, Any], key: str = "x") -> OutboundConnector:
    found: OutboundConnector = answer(KIND, {key: None}, [dict(row)], [])[key]
    return found


def everything(*listings: list[dict[str, Any]]) -> dict[str, OutboundConnector]:
    found: dict[str, OutboundConnector] = answer(KIND, {}, *(listings or (ROWS, [])), everything=True)
    return found


DOMAINS = st.sampled_from(["*", "contoso.com", "*.fabrikam.com", "a.example"])
HOSTS = st.sampled_from(["mail.contoso.com", "relay.example", "192.0.2.5/32", "198.51.100.0/25"])
USERS = st.sampled_from(["a@contoso.com", "b@contoso.com", "cfo@contoso.com"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20).map(str.strip)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["on_premises", "partner"]),
    "recipient_domains": st.frozensets(DOMAINS),
    "smart_hosts": st.frozensets(HOSTS),
    "tls": st.sampled_from(["opportunistic", "encryption_only", "certificate_validation", "domain_validation"]),
    "tls_domain": st.sampled_from(["", "mail.contoso.com", "*.contoso.com"]),
    "mta_sts_mode": st.sampled_from(["opportunistic", "none"]),
    "smtp_dane_mode": st.sampled_from(["opportunistic", "mandatory", "none"]),
    "validation_recipients": st.frozensets(USERS),
    "link_for_modified_connector": st.sampled_from([NO_LINK, "1d3a3f3e-0000-4000-8000-000000000001"]),
    "comment": TEXTS.filter(lambda text: not split_comment(text)[1]),
    "owner": st.sampled_from(["", OWNER, "team [a]", "100%"]),
    "owner_key": st.sampled_from(["", "hq", "hq [2]"]),
}
WRITTEN = {n: VALUES.get(n, st.booleans()) for n in field_names(OutboundConnector) if n not in {"name", *OBSERVED_ONLY}}


def connector(**values: Any) -> OutboundConnector:
    """A connector whose mark names a key only together with an owner."""
    return OutboundConnector("x", **({**values, "owner_key": ""} if not values.get("owner") else values))


FULL = st.fixed_dictionaries(WRITTEN).map(lambda values: connector(**values))
PARTIAL = st.fixed_dictionaries({}, optional=WRITTEN).map(lambda values: connector(**values))


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_section_declares_connectors_in_canonical_form() -> None:
    section = {
        "to-bank": {
            "type": "partner",
            "recipient_domains": ["Bank.example", "*.bank.example."],
            "smart_hosts": ["MX.bank.example", "[192.0.2.5]", "198.51.100.9/25"],
            "tls": "domain_validation",
            "tls_domain": "*.Bank.example",
            "validation_recipients": ["CFO@bank.example"],
            "comment": "Forced TLS\n",
        }
    }
    assert declared(KIND, section, OWNER) == {
        "to-bank": OutboundConnector(
            "to-bank",
            type="partner",
            recipient_domains=frozenset({"bank.example", "*.bank.example"}),
            is_transport_rule_scoped=False,
            smart_hosts=frozenset({"mx.bank.example", "192.0.2.5/32", "198.51.100.0/25"}),
            tls="domain_validation",
            tls_domain="*.bank.example",
            validation_recipients=frozenset({"cfo@bank.example"}),
            comment="Forced TLS",
            owner=OWNER,
            owner_key="to-bank",
        )
    }


@pytest.mark.parametrize(
    ("body", "implied"),
    [
        ({}, {}),
        ({"enabled": False}, {}),
        ({"is_transport_rule_scoped": True}, {"recipient_domains": frozenset(), "all_accepted_domains": False}),
        ({"recipient_domains": ["a.example"]}, {"is_transport_rule_scoped": False}),
        ({"all_accepted_domains": True}, {"is_transport_rule_scoped": False}),
        ({"all_accepted_domains": False}, {}),
        ({"tls": "encryption_only"}, {"tls_domain": ""}),
        ({"tls": "opportunistic"}, {"tls_domain": ""}),
        ({"tls": "domain_validation", "tls_domain": "a.example"}, {}),
    ],
)
def test_what_follows_from_what_is_written_is_declared_too(body: dict[str, Any], implied: dict[str, Any]) -> None:
    written: dict[str, Any] = {n: frozenset(v) if isinstance(v, list) else v for n, v in body.items()}
    assert declared(KIND, {"a": body})["a"] == OutboundConnector("a", **written, **implied)


def test_names_that_differ_in_case_only_come_twice_with_one_key() -> None:
    section = TypeAdapter(KIND.section_type).validate_python({"HQ": {}, "hq": {}})
    assert [(d.key, d.path) for d in KIND.declare(section, "")] == [("HQ", ("HQ",)), ("HQ", ("hq",))]


SCOPED = {"is_transport_rule_scoped": True}


@pytest.mark.parametrize(
    ("body", "identifier", "place"),
    [
        ({"type": "OnPremises"}, "literal_error", ("type",)),
        ({"tls": None}, "literal_error", ("tls",)),
        ({"use_mx_record": False}, "extra_forbidden", ("use_mx_record",)),
        ({"enabled": "on"}, "bool_type", ("enabled",)),
        ({"recipient_domains": ["mail.*.contoso.com"]}, "RECIPIENT-DOMAIN-INVALID", ("recipient_domains", 0)),
        ({"smart_hosts": ["relay.contoso.com:587"]}, "SMART-HOST-INVALID", ("smart_hosts", 0)),
        ({"smart_hosts": ["2001:db8::1"]}, "SMART-HOST-INVALID", ("smart_hosts", 0)),
        ({"smart_hosts": ["a.example", "192.0.2.300"]}, "SMART-HOST-INVALID", ("smart_hosts", 1)),
        ({"smart_hosts": ["relay"]}, "SMART-HOST-INVALID", ("smart_hosts", 0)),
        ({"tls_domain": "mail.*.contoso.com"}, "CERTIFICATE-NAME-INVALID", ("tls_domain",)),
        ({"validation_recipients": ["someone"]}, "EMAIL-INVALID", ("validation_recipients", 0)),
        ({"link_for_modified_connector": "x"}, "LINK-INVALID", ("link_for_modified_connector",)),
        ({"comment": "x [provisioner: me]"}, "COMMENT-MARK", ("comment",)),
        ({"tls": "domain_validation"}, "CONNECTOR-TLS-DOMAIN", ()),
        ({"tls": "domain_validation", "tls_domain": ""}, "CONNECTOR-TLS-DOMAIN", ()),
        ({"tls": "encryption_only", "tls_domain": "contoso.com"}, "CONNECTOR-TLS-DOMAIN", ()),
        ({"tls_domain": "contoso.com"}, "CONNECTOR-TLS-DOMAIN", ()),
        ({**SCOPED, "recipient_domains": ["a.example"]}, "CONNECTOR-SCOPE", ()),
        ({**SCOPED, "all_accepted_domains": True}, "CONNECTOR-SCOPE", ()),
        ({"recipient_domains": []}, "CONNECTOR-SCOPE", ()),
        ({"type": "partner", "all_accepted_domains": True}, "CONNECTOR-ON-PREMISES-ONLY", ()),
        ({"type": "partner", "route_all_messages_via_on_premises": True}, "CONNECTOR-ON-PREMISES-ONLY", ()),
        ({"type": "partner", "sender_rewriting_enabled": True}, "CONNECTOR-ON-PREMISES-ONLY", ()),
        ({"type": "on_premises", "smart_hosts": []}, "CONNECTOR-SMART-HOSTS", ()),
    ],
)
def test_what_cannot_be_right_is_refused_in_its_place(body: Any, identifier: str, place: tuple[Any, ...]) -> None:
    assert (identifier, ("a", *place)) in mistakes(KIND, {"a": body})


@pytest.mark.parametrize(
    "body",
    [
        {**SCOPED, "recipient_domains": []},
        {"recipient_domains": [], "all_accepted_domains": True},
        {"tls": "opportunistic", "tls_domain": ""},
        {"type": "on_premises", "route_all_messages_via_on_premises": True, "recipient_domains": ["*"]},
        {"type": "partner", "smart_hosts": []},
        {"type": "partner", "sender_rewriting_enabled": False},
    ],
)
def test_what_can_be_right_is_taken(body: Any) -> None:
    assert set(declared(KIND, {"a": body})) == {"a"}


@given(st.sampled_from(["*", "*.A.example", "a.example.", "smtp:a.example;1", "SMTP:*;5"]))
def test_a_recipient_domain_twice_is_once(text: str) -> None:
    assert recipient_domain(recipient_domain(text)) == recipient_domain(text)


@given(st.sampled_from(["MX.a.example", "[192.0.2.5]", "192.0.2.5", "192.0.2.5/32", "192.0.2.77/25"]))
def test_a_smart_host_twice_is_once(text: str) -> None:
    assert smart_host(smart_host(text)) == smart_host(text)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_connectors_in_test_mode_are_asked_for_apart() -> None:
    queries = KIND.queries({"a": None, "b": None}, False)
    assert [(asked(q), q.covers, q.may_be_missing) for q in queries] == [
        ("Get-OutboundConnector Unlimited", frozenset({"a", "b"}), False),
        ("Get-OutboundConnector Unlimited True", frozenset({"a", "b"}), False),
    ]
    assert len(KIND.queries({}, True)) == 2
    assert KIND.queries({}, False) == ()


@pytest.mark.parametrize("listings", [(ROWS[:2], ROWS[2:]), (ROWS[:2], ROWS), (ROWS, []), ([], ROWS)])
def test_both_listings_together_are_all_connectors_whatever_the_second_holds(
    listings: tuple[list[dict[str, Any]], ...],
) -> None:
    assert everything(*listings) == everything(ROWS, [])
    assert len(everything(*listings)) == 3


def test_rows_are_read_into_canonical_form() -> None:
    found = everything()
    assert found["to-bank"] == OutboundConnector(
        "to-bank",
        type="partner",
        enabled=True,
        recipient_domains=frozenset({"*.bank.example", "bank.example"}),
        all_accepted_domains=False,
        is_transport_rule_scoped=False,
        smart_hosts=frozenset(),
        tls="domain_validation",
        tls_domain="*.bank.example",
        mta_sts_mode="opportunistic",
        smtp_dane_mode="mandatory",
        route_all_messages_via_on_premises=False,
        cloud_services_mail_enabled=False,
        sender_rewriting_enabled=False,
        test_mode=False,
        validation_recipients=frozenset(),
        link_for_modified_connector=NO_LINK,
        comment="Forced TLS",
        owner=OWNER,
        owner_key="",
        source="default",
        spellings=frozenset({"RecipientDomains=*.Bank.example"}),
    )
    signatures = found["Office 365 to signatures"]
    assert signatures.smart_hosts == frozenset({"smtp.signatures.example", "192.0.2.9/32", "192.0.2.128/25"})
    assert (signatures.tls, signatures.tls_domain) == ("certificate_validation", "")
    assert (signatures.mta_sts_mode, signatures.smtp_dane_mode) == ("none", "none")
    assert signatures.validation_recipients == frozenset({"admin@contoso.com"})
    hybrid = found["Outbound to 0a1b2c3d"]
    assert (hybrid.source, hybrid.recipient_domains) == ("hybrid_wizard", frozenset({"contoso.com"}))
    assert (hybrid.mta_sts_mode, hybrid.sender_rewriting_enabled, hybrid.link_for_modified_connector) == (None,) * 3


@pytest.mark.parametrize(
    ("columns", "route"),
    [
        ({"UseMXRecord": True, "SmartHosts": []}, frozenset()),
        ({"UseMXRecord": True, "SmartHosts": ["a.example"]}, frozenset()),
        ({"UseMXRecord": False, "SmartHosts": ["a.example"]}, frozenset({"a.example"})),
        ({"UseMXRecord": False, "SmartHosts": []}, None),
        ({"UseMXRecord": None, "SmartHosts": ["a.example"]}, None),
    ],
)
def test_the_route_is_told_by_both_columns(columns: dict[str, Any], route: frozenset[str] | None) -> None:
    assert decoded({**ROWS[0], **columns}, "to-bank").smart_hosts == route


def test_tls_that_is_null_is_opportunistic_and_a_missing_column_is_not_known() -> None:
    assert decoded({**ROWS[0], "TlsSettings": None}, "to-bank").tls == "opportunistic"
    without = {name: value for name, value in ROWS[0].items() if name not in {"TlsSettings", "TlsDomain"}}
    assert (decoded(without, "to-bank").tls, decoded(without, "to-bank").tls_domain) == (None, None)
    wanted = {"to-bank": OutboundConnector("to-bank", tls="opportunistic")}
    assert isinstance(answer(KIND, wanted, [without], [])["to-bank"], Unknown)


def test_a_connector_comes_back_under_the_wanted_spelling_of_its_name() -> None:
    found = answer(KIND, {"TO-Bank": OutboundConnector("TO-Bank", enabled=True)}, ROWS, [])
    assert found["TO-Bank"].name == "TO-Bank"
    assert "to-bank" not in found


@given(st.permutations(ROWS[1]["SmartHosts"]), st.permutations(ROWS))
def test_the_order_of_lists_and_rows_never_matters(hosts: list[str], listing: list[dict[str, Any]]) -> None:
    turned = [{**row, "SmartHosts": hosts} if row["Name"] == ROWS[1]["Name"] else row for row in listing]
    assert everything(turned, []) == everything()


def test_a_connector_goes_by_its_guid_too() -> None:
    guid = str(ROWS[0]["Guid"])
    assert set(KIND.names(everything()["to-bank"])) == {"to-bank", guid}
    found = answer(KIND, {guid: OutboundConnector(guid, enabled=True)}, ROWS, [])
    assert (found[guid].comment, "to-bank" in found) == ("Forced TLS", False)


def test_only_what_carries_our_mark_is_deleted_when_it_leaves_the_plan() -> None:
    found = everything()
    assert {key: KIND.undeclared(spec, OWNER, False) for key, spec in found.items()} == {
        "to-bank": Undeclared.DELETE,
        "Office 365 to signatures": Undeclared.KEEP,
        "Outbound to 0a1b2c3d": Undeclared.KEEP,  # the hybrid wizard's, whatever its comment says
    }
    assert KIND.undeclared(found["to-bank"], "somebody else", True) is Undeclared.KEEP


# --- steps -----------------------------------------------------------------------------------------------------------


def test_creation_is_new_and_then_set_for_what_new_does_not_take() -> None:
    after = OutboundConnector(
        "a",
        type="on_premises",
        is_transport_rule_scoped=True,
        recipient_domains=frozenset(),
        all_accepted_domains=False,
        smart_hosts=frozenset({"smtp.signatures.example", "192.0.2.5/32"}),
        tls="domain_validation",
        tls_domain="smtp.signatures.example",
        validation_recipients=frozenset({"b@x.example", "a@x.example"}),
        comment="Signatures",
        owner=OWNER,
        owner_key="a",
    )
    new, then = KIND.steps(None, after)
    assert sent(new) == (
        "New-OutboundConnector",
        {
            "Name": "a",
            "ConnectorType": "OnPremises",
            "IsTransportRuleScoped": True,
            "AllAcceptedDomains": False,
            "SmartHosts": ("192.0.2.5", "smtp.signatures.example"),
            "UseMXRecord": False,
            "TlsSettings": "DomainValidation",
            "TlsDomain": "smtp.signatures.example",
            "Comment": f"Signatures [provisioner: {OWNER} [a]]",
        },
    )
    assert sent(then) == (
        "Set-OutboundConnector",
        {"Identity": "a", "ValidationRecipients": ("a@x.example", "b@x.example")},
    )


def test_an_update_sends_only_what_differs() -> None:
    before = everything()["to-bank"]
    after = dataclasses.replace(
        before, enabled=False, link_for_modified_connector="1d3a3f3e-0000-4000-8000-000000000001"
    )
    (step,) = KIND.steps(before, after)
    assert sent(step) == ("Set-OutboundConnector", {"Identity": "to-bank", "Enabled": False})
    assert KIND.steps(before, before) == ()


def test_a_route_changes_both_its_columns_in_one_call() -> None:
    mx = everything()["to-bank"]
    (there,) = KIND.steps(mx, dataclasses.replace(mx, smart_hosts=frozenset({"mx.bank.example"})))
    assert sent(there)[1] == {"Identity": "to-bank", "SmartHosts": ("mx.bank.example",), "UseMXRecord": False}
    hosts = everything()["Office 365 to signatures"]
    (back,) = KIND.steps(hosts, dataclasses.replace(hosts, smart_hosts=frozenset()))
    assert sent(back)[1] == {
        "Identity": "Office 365 to signatures",
        "SmartHosts": Delta(remove=("192.0.2.200/25", "SMTP.signatures.example", "[192.0.2.9]")),
        "UseMXRecord": True,
    }


def test_null_clears_tls_its_domain_and_the_validation_recipients() -> None:
    before = dataclasses.replace(everything()["to-bank"], validation_recipients=frozenset({"a@x.example"}))
    after = dataclasses.replace(before, tls="opportunistic", tls_domain="", validation_recipients=frozenset())
    (step,) = KIND.steps(before, after)
    assert sent(step)[1] == {
        "Identity": "to-bank",
        "TlsSettings": None,
        "TlsDomain": None,
        "ValidationRecipients": None,
    }


def test_a_removal_asks_no_question() -> None:
    assert [sent(s) for s in KIND.steps(everything()["to-bank"], None)] == [
        ("Remove-OutboundConnector", {"Identity": "to-bank", "Confirm": False})
    ]
    assert KIND.steps(None, None) == ()


@given(FULL)
def test_what_is_created_reads_back_as_it_was_written(after: OutboundConnector) -> None:
    assert project(decoded(through(NEW, None, after)), after) == after


@given(FULL, PARTIAL)
def test_what_is_updated_reads_back_as_it_was_written_and_the_rest_as_it_was(
    first: OutboundConnector, wanted: OutboundConnector
) -> None:
    row = through(NEW, None, first)
    before = decoded(row)
    given_fields = {
        n: getattr(wanted, n)
        for n in field_names(wanted)
        if getattr(wanted, n) is not None and n != "link_for_modified_connector"
    }
    after = dataclasses.replace(before, **given_fields)
    final = decoded(through(row, before, after))
    assert dataclasses.replace(final, spellings=before.spellings) == after
    assert not list(KIND.steps(final, dataclasses.replace(final, **given_fields)))


# --- export ----------------------------------------------------------------------------------------------------------


def test_a_plan_says_only_what_is_no_default_and_reads_the_same() -> None:
    found = everything()
    assert KIND.written_form(found["to-bank"]) == (
        ("to-bank",),
        {
            "type": "partner",
            "recipient_domains": ["*.bank.example", "bank.example"],
            "tls": "domain_validation",
            "tls_domain": "*.bank.example",
            "smtp_dane_mode": "mandatory",
            "comment": "Forced TLS",
        },
    )
    assert KIND.written_form(found["Outbound to 0a1b2c3d"]) is None
    for key in ("to-bank", "Office 365 to signatures"):
        path, body = KIND.written_form(found[key]) or ((), {})
        again = declared(KIND, {path[0]: body}, found[key].owner or "")[key]
        assert KIND.settled(dataclasses.replace(found[key], owner_key=again.owner_key or ""), found[key])
        assert project(found[key], again) == dataclasses.replace(again, owner_key=again.owner_key and "")
