from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from provisioner.model import Address, Delta, Parameter, Send, Undeclared, Unknown, field_names, project
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.resources.ownership import split_comment
from tests.resources.recorded import answer, asked, declared, mistakes, pairs, rows, sent, snapshots

KIND = InboundConnectorType()
OWNER = "mail-platform/prod"
OBSERVED_ONLY = {"source", "spellings"}


# --- what the service stores, by the reference -----------------------------------------------------------------------

NEW: dict[str, Any] = {
    "Enabled": True,
    "ConnectorType": "Partner",
    "ConnectorSource": "Default",
    "Comment": "",
    "TlsSenderCertificateName": None,
    "EFSkipMailGateway": [],
}
SWITCHES = (
    "CloudServicesMailEnabled",
    "EFSkipLastIP",
    "EFTestMode",
    "RequireTls",
    "RestrictDomainsToCertificate",
    "RestrictDomainsToIPAddresses",
    "TreatMessagesAsInternal",
)
LISTS = (
    "AssociatedAcceptedDomains",
    "ClientHostNames",
    "EFSkipIPs",
    "EFUsers",
    "ScanAndDropRecipients",
    "SenderDomains",
    "SenderIPAddresses",
    "TrustedOrganizations",
)


def stored(row: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The row after New or Set: SenderDomains in their stored form, [] changing nothing, Remove by exact text."""
    after = dict(row)
    for name, value in parameters.items():
        match value:
            case Delta():
                assert set(value.remove) <= set(after[name]), "what is removed must be named as it is stored"
                after[name] = [v for v in after[name] if v not in value.remove]
            case tuple():
                domains = name == "SenderDomains"
                after[name] = [f"smtp:{v};1" if domains else v for v in value] or after[name]
            case _ if name not in {"Identity", "Confirm"}:
                after[name] = value
    return after


def created(parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    blank = {**NEW, **dict.fromkeys(SWITCHES, False), **{name: [] for name in LISTS}}
    return stored(blank, parameters)


def decoded(row: Mapping[str, Any], key: str = "x") -> InboundConnector:
    found: InboundConnector = answer(KIND, {key: None}, [dict(row)])[key]
    return found


DOMAINS = st.sampled_from(["contoso.com", "fabrikam.com", "a.example"])
NETWORKS = st.integers(0, 2**16).flatmap(
    lambda n: st.sampled_from([f"198.51.{n % 256}.{n // 257}/32", f"203.0.{n % 256}.0/24"])
)
USERS = st.sampled_from(["a@contoso.com", "b@contoso.com", "cfo@contoso.com"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20).map(str.strip)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["on_premises", "partner"]),
    "sender_ip_addresses": st.frozensets(NETWORKS, max_size=3),
    "sender_domains": st.frozensets(st.sampled_from(["*", "contoso.com", "*.fabrikam.com"]), min_size=1),
    "tls_sender_certificate_name": st.sampled_from(["", "mail.contoso.com", "*.contoso.com"]),
    "associated_accepted_domains": st.frozensets(DOMAINS),
    "trusted_organizations": st.frozensets(DOMAINS),
    "ef_skip_ips": st.frozensets(NETWORKS | st.just("192.0.2.3-192.0.2.9"), max_size=3),
    "ef_users": st.frozensets(USERS),
    "scan_and_drop_recipients": st.frozensets(USERS),
    "client_host_names": st.frozensets(DOMAINS),
    "comment": TEXTS.filter(lambda text: not split_comment(text)[1]),
    "owner": st.sampled_from(["", OWNER, "team [a]", "100%"]),
    "owner_key": st.sampled_from(["", "hq", "hq [2]"]),
}


def connector(**values: Any) -> InboundConnector:
    """A connector whose mark names a key only together with an owner."""
    return InboundConnector("x", **({**values, "owner_key": ""} if not values.get("owner") else values))


FULL = st.fixed_dictionaries(
    {n: VALUES.get(n, st.booleans()) for n in field_names(InboundConnector) if n not in {"name", *OBSERVED_ONLY}}
).map(lambda values: connector(**values))
PARTIAL = st.fixed_dictionaries(
    {},
    optional={
        n: VALUES.get(n, st.booleans()) for n in field_names(InboundConnector) if n not in {"name", *OBSERVED_ONLY}
    },
).map(lambda values: connector(**values))


# --- the plan --------------------------------------------------------------------------------------------------------


def test_a_section_declares_connectors_in_canonical_form() -> None:
    section = {
        "hq-relay": {
            "type": "on_premises",
            "sender_ip_addresses": ["203.0.113.10", "203.0.113.70/28"],
            "sender_domains": ["smtp:*;1"],
            "require_tls": True,
            "tls_sender_certificate_name": "",
            "comment": "HQ scanners\n",
        }
    }
    assert declared(KIND, section, OWNER) == {
        "hq-relay": InboundConnector(
            "hq-relay",
            type="on_premises",
            sender_ip_addresses=frozenset({"203.0.113.10/32", "203.0.113.64/28"}),
            sender_domains=frozenset({"*"}),
            require_tls=True,
            tls_sender_certificate_name="",
            comment="HQ scanners",
            owner=OWNER,
            owner_key="hq-relay",
        )
    }


def test_a_plan_without_owner_manages_no_mark() -> None:
    assert declared(KIND, {"a": {}}) == {"a": InboundConnector("a")}


def test_names_that_differ_in_case_only_come_twice_with_one_key() -> None:
    section = TypeAdapter(KIND.section_type).validate_python({"HQ": {}, "hq": {}})
    assert [(d.key, d.path) for d in KIND.declare(section, "")] == [("HQ", ("HQ",)), ("HQ", ("hq",))]


@pytest.mark.parametrize(
    ("body", "identifier", "place"),
    [
        ({"type": "OnPremises"}, "literal_error", ("type",)),
        ({"sender_ip_addresses": ["2001:db8::1"]}, "IP-VERSION-6", ("sender_ip_addresses", 0)),
        ({"sender_ip_addresses": "198.51.100.7"}, "list_type", ("sender_ip_addresses",)),
        ({"sender_ip_addresses": ["a", "198.51.100.7-198.51.100.9"]}, "IP-ADDRESS-INVALID", ("sender_ip_addresses", 0)),
        ({"sender_domains": []}, "SENDER-DOMAINS-EMPTY", ("sender_domains",)),
        ({"sender_domains": ["domain.*.contoso.com"]}, "SENDER-DOMAIN-INVALID", ("sender_domains", 0)),
        ({"require_tls": "yes"}, "bool_type", ("require_tls",)),
        ({"require_tls": None}, "bool_type", ("require_tls",)),
        ({"comment": None}, "string_type", ("comment",)),
        ({"comment": "x [provisioner: me]"}, "COMMENT-MARK", ("comment",)),
        ({"owner": "me"}, "extra_forbidden", ("owner",)),
        ({"source": "admin_ui"}, "extra_forbidden", ("source",)),
        ({"ef_users": ["everybody"]}, "EMAIL-INVALID", ("ef_users", 0)),
        ({"treat_messages_as_internal": True, "type": "partner"}, "CONNECTOR-INTERNAL-PARTNER", ()),
        (
            {"treat_messages_as_internal": True, "cloud_services_mail_enabled": True},
            "CONNECTOR-INTERNAL-HYBRID",
            (),
        ),
        ({"restrict_domains_to_certificate": True}, "SENDER-DOMAINS-MISSING", ()),
    ],
)
def test_what_cannot_be_right_is_refused_in_its_place(body: Any, identifier: str, place: tuple[Any, ...]) -> None:
    assert (identifier, ("a", *place)) in mistakes(KIND, {"a": body})


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\x00"])
def test_a_name_is_printable(name: str) -> None:
    assert mistakes(KIND, {name: {}}) == [("CONNECTOR-NAME-INVALID", (name, "[key]"))]


def test_a_wide_range_has_a_form_so_that_a_rule_can_speak_of_it() -> None:
    assert declared(KIND, {"a": {"sender_ip_addresses": ["10.1.2.3/8"]}})["a"].sender_ip_addresses == {"10.0.0.0/8"}


# --- the mark --------------------------------------------------------------------------------------------------------


def test_only_what_carries_our_mark_is_deleted_when_it_leaves_the_plan() -> None:
    found = answer(KIND, {}, rows("inbound-connectors"), everything=True)
    verdicts = {key: KIND.undeclared(spec, OWNER, False) for key, spec in found.items()}
    assert verdicts == {
        "hq-relay": Undeclared.DELETE,
        "Partner [bank]": Undeclared.KEEP,
        "Inbound from 0a1b2c3d": Undeclared.KEEP,  # the hybrid wizard's, whatever its comment says
    }
    assert KIND.undeclared(found["hq-relay"], "somebody else", True) is Undeclared.KEEP
    assert KIND.undeclared(found["Partner [bank]"], "", True) is Undeclared.KEEP


# --- reading ---------------------------------------------------------------------------------------------------------


def test_connectors_are_listed_and_never_looked_up() -> None:
    (query,) = KIND.queries({"a": None, "b": None}, False)
    assert (asked(query), query.covers, query.may_be_missing) == (
        "Get-InboundConnector Unlimited",
        frozenset({"a", "b"}),
        False,
    )
    assert len(KIND.queries({}, True)) == 1
    assert KIND.queries({}, False) == ()


def test_a_row_is_read_into_canonical_form() -> None:
    bank = answer(KIND, {}, rows("inbound-connectors"), everything=True)["Partner [bank]"]
    assert bank == InboundConnector(
        "Partner [bank]",
        type="partner",
        enabled=False,
        sender_ip_addresses=frozenset({"198.51.100.0/25", "198.51.100.200/32"}),
        sender_domains=frozenset({"*.bank.example", "bank.example"}),
        require_tls=True,
        tls_sender_certificate_name="*.bank.example",
        restrict_domains_to_ip_addresses=True,
        restrict_domains_to_certificate=True,
        treat_messages_as_internal=False,
        cloud_services_mail_enabled=False,
        associated_accepted_domains=frozenset({"contoso.com"}),
        trusted_organizations=frozenset(),
        ef_skip_last_ip=False,
        ef_skip_ips=frozenset({"198.51.100.0/24", "192.0.2.3-192.0.2.9", "192.0.2.77/32"}),
        ef_users=frozenset({"cfo@contoso.com"}),
        ef_test_mode=False,
        scan_and_drop_recipients=frozenset(),
        client_host_names=frozenset({"mx1.bank.example"}),
        comment="",
        owner="",
        owner_key="",
        source="default",
        spellings=frozenset(
            {
                "SenderIPAddresses=198.51.100.9/25",
                "SenderIPAddresses=198.51.100.200/32",
                "AssociatedAcceptedDomains=Contoso.com",
                "EFSkipIPs=198.51.100.0-198.51.100.255",
                "EFUsers=CFO@contoso.com",
                "ClientHostNames=MX1.bank.example",
            }
        ),
    )


def test_a_missing_column_is_not_returned_and_null_is_an_empty_list_or_no_name() -> None:
    hybrid = answer(KIND, {}, rows("inbound-connectors"), everything=True)["Inbound from 0a1b2c3d"]
    assert (hybrid.ef_test_mode, hybrid.trusted_organizations, hybrid.client_host_names) == (None, None, None)
    row = rows("inbound-connectors")[0]
    assert decoded({**row, "SenderIPAddresses": None}, "hq-relay").sender_ip_addresses == frozenset()
    assert decoded({**row, "SenderIPAddresses": "192.0.2.9"}, "hq-relay").sender_ip_addresses == frozenset(
        {"192.0.2.9/32"}
    )
    assert decoded({**row, "RequireTls": None}, "hq-relay").require_tls is None
    assert decoded(row, "hq-relay").tls_sender_certificate_name == ""
    without = {name: value for name, value in row.items() if name != "TlsSenderCertificateName"}
    assert decoded(without, "hq-relay").tls_sender_certificate_name is None


def test_a_column_that_the_plan_writes_and_the_answer_lacks_is_unknown() -> None:
    row = {name: value for name, value in rows("inbound-connectors")[0].items() if name != "RequireTls"}
    assert isinstance(
        answer(KIND, {"hq-relay": InboundConnector("hq-relay", require_tls=True)}, [row])["hq-relay"], Unknown
    )
    quiet = answer(KIND, {"hq-relay": InboundConnector("hq-relay", enabled=True)}, [row])["hq-relay"]
    assert quiet.enabled is True


def test_a_connector_comes_back_under_the_wanted_spelling_of_its_name() -> None:
    found = answer(KIND, {"HQ-Relay": InboundConnector("HQ-Relay", enabled=True)}, rows("inbound-connectors"))
    assert found["HQ-Relay"].name == "HQ-Relay"
    assert "hq-relay" not in found


def test_a_connector_is_not_taken_for_one_whose_name_only_folds_to_its_own() -> None:
    other = {**rows("inbound-connectors")[0], "Name": "Strasse", "Identity": "Strasse"}
    assert list(answer(KIND, {"Straße": None}, [other])) == ["Strasse"]


@given(
    st.permutations(["203.0.113.64/28", "203.0.113.10", "198.51.100.1"]), st.permutations(rows("inbound-connectors"))
)
def test_the_order_of_lists_and_rows_never_matters(addresses: list[str], listing: list[dict[str, Any]]) -> None:
    turned = [{**row, "SenderIPAddresses": addresses} for row in listing]
    straight = [{**row, "SenderIPAddresses": sorted(addresses)} for row in rows("inbound-connectors")]
    assert answer(KIND, {}, turned, everything=True) == answer(KIND, {}, straight, everything=True)


@pytest.mark.parametrize("recorded", snapshots("inbound_connectors"))
def test_recorded_connectors_are_understood_to_the_last_field(recorded: list[dict[str, Any]]) -> None:
    types = {"OnPremises": "on_premises", "Partner": "partner"}
    sources = {"Default": "default", "AdminUI": "admin_ui", "HybridWizard": "hybrid_wizard", "Migrated": "migrated"}
    found = answer(KIND, {}, recorded, everything=True)
    assert set(found) == {row["Name"] for row in recorded}
    for row in recorded:
        connector = found[row["Name"]]
        assert (connector.type, connector.owner) == (types[row["ConnectorType"]], "")
        assert connector.source == sources[row["ConnectorSource"]]
        domains = {domain.removeprefix("smtp:").removesuffix(";1") for domain in row["SenderDomains"]}
        addresses = {str(ipaddress.ip_network(address)) for address in row["SenderIPAddresses"]}
        assert (connector.sender_domains, connector.sender_ip_addresses) == (domains, addresses)
        assert connector.tls_sender_certificate_name == (row["TlsSenderCertificateName"] or "")
        gaps = [n for n in field_names(connector) if getattr(connector, n) is None and n not in OBSERVED_ONLY]
        assert gaps == []


@pytest.mark.parametrize("recorded", pairs("EXOInboundConnector"))
def test_recorded_pairs_agree_where_their_verdict_does(recorded: list[dict[str, Any]]) -> None:
    assert [p["in_desired_state"] for p in recorded] == [False, True, False]
    create, same, removal = recorded
    name = same["desired"]["Identity"]
    others = {create["current"]["Identity"]}
    assert answer(KIND, {name: None}, [create["current"]], everything=False).keys() == others
    body = {
        "type": "on_premises",
        "enabled": True,
        "sender_ip_addresses": same["desired"]["SenderIPAddresses"],
        "sender_domains": same["desired"]["SenderDomains"],
        "require_tls": True,
        "tls_sender_certificate_name": same["desired"]["TlsSenderCertificateName"],
        "restrict_domains_to_ip_addresses": True,
        "restrict_domains_to_certificate": False,
        "treat_messages_as_internal": True,
        "cloud_services_mail_enabled": False,
        "associated_accepted_domains": same["desired"]["AssociatedAcceptedDomains"],
        "comment": same["desired"]["Comment"],
    }
    wanted = declared(KIND, {name: body})
    there = answer(KIND, wanted, [same["current"]])[name]
    assert project(there, wanted[name]) == wanted[name]
    assert KIND.steps(there, overlaid(there, wanted[name])) == ()
    gone = answer(KIND, {name: None}, [removal["current"]])[name]
    assert sent(KIND.steps(gone, None)[0])[0] == "Remove-InboundConnector"


# --- changing --------------------------------------------------------------------------------------------------------


def overlaid(there: InboundConnector, wanted: InboundConnector) -> InboundConnector:
    """The full goal of an update, as planning makes it."""
    values = {n: getattr(wanted, n) for n in field_names(wanted) if getattr(wanted, n) is not None}
    return dataclasses.replace(there, **values)


def test_creation_says_everything_that_differs_between_tenants() -> None:
    (step,) = KIND.steps(None, InboundConnector("a"))
    assert sent(step) == (
        "New-InboundConnector",
        {"Name": "a", "ConnectorType": "Partner", "SenderDomains": ("*",), "RequireTls": True},
    )


def test_creation_sends_single_addresses_plain_and_lists_in_order() -> None:
    after = InboundConnector(
        "a",
        type="on_premises",
        sender_ip_addresses=frozenset({"203.0.113.64/28", "203.0.113.10/32"}),
        require_tls=False,
        tls_sender_certificate_name="",
        ef_users=frozenset(),
        comment="HQ",
        owner=OWNER,
        owner_key="a",
    )
    name, parameters = sent(KIND.steps(None, after)[0])
    assert name == "New-InboundConnector"
    assert parameters == {
        "Name": "a",
        "ConnectorType": "OnPremises",
        "SenderDomains": ("*",),
        "RequireTls": False,
        "SenderIPAddresses": ("203.0.113.10", "203.0.113.64/28"),
        "Comment": f"HQ [provisioner: {OWNER} [a]]",
    }


def test_a_connector_that_will_stay_disabled_is_told_by_the_service_in_a_warning() -> None:
    created = (
        "Inbound connector for this service offering is created in a disabled state. Contact Support to enable it."
    )
    asked_for = "For this service offering, you can't enable an inbound connector. Contact Support to enable it."
    off, on = InboundConnector("a", enabled=False), InboundConnector("a", enabled=True)
    for before, after, warning in ((None, on, created), (None, InboundConnector("a"), created), (off, on, asked_for)):
        (step,) = KIND.steps(before, after)
        assert isinstance(step, Send)
        assert any(fragment in warning for fragment in step.blocked_on)
    for before, after in ((None, off), (on, off), (on, dataclasses.replace(on, comment="x"))):
        (step,) = KIND.steps(before, after)
        assert isinstance(step, Send)
        assert step.blocked_on == ()


def test_an_update_sends_only_what_differs() -> None:
    before = decoded(rows("inbound-connectors")[0], "hq-relay")
    after = dataclasses.replace(before, enabled=False, comment="closed", client_host_names=frozenset({"a.example"}))
    (step,) = KIND.steps(before, after)
    assert sent(step) == (
        "Set-InboundConnector",
        {"Identity": "hq-relay", "Enabled": False, "Comment": f"closed [provisioner: {OWNER}]"},
    )
    assert KIND.steps(before, before) == ()


def test_taking_a_connector_over_keeps_its_comment() -> None:
    before = dataclasses.replace(decoded(rows("inbound-connectors")[0], "hq-relay"), owner="")
    (step,) = KIND.steps(before, dataclasses.replace(before, owner="me", owner_key="hq"))
    assert sent(step)[1] == {"Identity": "hq-relay", "Comment": "HQ scanners [provisioner: me [hq]]"}


def test_a_key_is_put_into_an_old_mark_with_the_next_change_and_not_for_its_own_sake() -> None:
    before = decoded(rows("inbound-connectors")[0], "hq-relay")
    marked = dataclasses.replace(before, owner_key="hq-relay")
    assert (before.owner, before.owner_key) == (OWNER, "")
    assert KIND.settled(marked, before)
    assert not KIND.settled(dataclasses.replace(marked, enabled=False), before)
    assert not KIND.settled(dataclasses.replace(marked, owner="other"), before)
    (step,) = KIND.steps(before, dataclasses.replace(marked, enabled=False))
    assert sent(step)[1] == {
        "Identity": "hq-relay",
        "Enabled": False,
        "Comment": f"HQ scanners [provisioner: {OWNER} [hq-relay]]",
    }


def test_a_connector_is_renamed_by_its_guid() -> None:
    guid = "0f9b6a3e-1111-4222-8333-444455556666"
    live = decoded({**rows("inbound-connectors")[0], "Guid": guid.upper()}, "hq-relay")
    other = dataclasses.replace(live, name="HQ relay")
    assert (KIND.object_id(live), KIND.object_id(InboundConnector("a"))) == (guid, "")
    assert not KIND.settled(other, live)
    (there,), (back,) = KIND.steps(live, other), KIND.steps(other, live)
    assert sent(there) == ("Set-InboundConnector", {"Identity": guid, "Name": "HQ relay"})
    assert sent(back) == ("Set-InboundConnector", {"Identity": guid, "Name": "hq-relay"})
    nameless = dataclasses.replace(live, names=frozenset())
    (step,) = KIND.steps(nameless, other)
    assert sent(step)[1] == {"Identity": "hq-relay", "Name": "HQ relay"}


def test_a_list_is_emptied_by_removing_what_is_stored_as_it_is_stored() -> None:
    bank = answer(KIND, {}, rows("inbound-connectors"), everything=True)["Partner [bank]"]
    empty = dataclasses.replace(bank, sender_ip_addresses=frozenset(), ef_skip_ips=frozenset(), ef_users=frozenset())
    (step,) = KIND.steps(bank, empty)
    assert sent(step)[1] == {
        "Identity": "Partner [bank]",
        "SenderIPAddresses": Delta(remove=("198.51.100.200/32", "198.51.100.9/25")),
        "EFSkipIPs": Delta(remove=("192.0.2.3-192.0.2.9", "192.0.2.77", "198.51.100.0-198.51.100.255")),
        "EFUsers": Delta(remove=("CFO@contoso.com",)),
    }


def test_two_stored_spellings_of_one_address_are_both_removed() -> None:
    row = {**rows("inbound-connectors")[0], "SenderIPAddresses": ["192.0.2.9", "192.0.2.9/32", "192.0.2.10"]}
    before = decoded(row, "hq-relay")
    (step,) = KIND.steps(before, dataclasses.replace(before, sender_ip_addresses=frozenset()))
    assert sent(step)[1]["SenderIPAddresses"] == Delta(remove=("192.0.2.10", "192.0.2.9", "192.0.2.9/32"))


def test_no_certificate_name_is_null_on_the_wire() -> None:
    before = InboundConnector("a", tls_sender_certificate_name="mail.contoso.com")
    (step,) = KIND.steps(before, dataclasses.replace(before, tls_sender_certificate_name=""))
    assert sent(step)[1] == {"Identity": "a", "TlsSenderCertificateName": None}


def test_a_removal_asks_no_question() -> None:
    (step,) = KIND.steps(InboundConnector("a"), None)
    assert sent(step) == ("Remove-InboundConnector", {"Identity": "a", "Confirm": False})
    assert KIND.steps(None, None) == ()


def test_a_connector_needs_the_domains_that_must_be_accepted() -> None:
    own = InboundConnector(
        "a",
        type="on_premises",
        tls_sender_certificate_name="*.contoso.com",
        associated_accepted_domains=frozenset({"fabrikam.com"}),
    )
    assert KIND.needs(own) == (Address("domain", "contoso.com"), Address("domain", "fabrikam.com"))
    assert KIND.needs(dataclasses.replace(own, type="partner")) == (Address("domain", "fabrikam.com"),)


@given(PARTIAL)
def test_what_is_created_reads_back_as_it_was_written(wanted: InboundConnector) -> None:
    (step,) = KIND.steps(None, wanted)
    live = decoded(created(sent(step)[1]))
    assert project(live, wanted) == wanted
    assert KIND.steps(live, overlaid(live, wanted)) == ()


@given(FULL, PARTIAL)
def test_one_update_is_enough_and_can_be_undone(start: InboundConnector, wanted: InboundConnector) -> None:
    row = created(sent(KIND.steps(None, start)[0])[1])
    live = decoded(row)
    goal = overlaid(live, dataclasses.replace(wanted, client_host_names=None))
    for step in KIND.steps(live, goal):
        row = stored(row, sent(step)[1])
    assert decoded(row) == goal
    for step in KIND.steps(goal, live):
        row = stored(row, sent(step)[1])
    assert decoded(row) == live


@given(FULL)
def test_a_removed_connector_can_be_made_again(start: InboundConnector) -> None:
    live = decoded(created(sent(KIND.steps(None, start)[0])[1]))
    assert decoded(created(sent(KIND.steps(None, live)[0])[1])) == live


def test_every_written_field_reaches_the_wire() -> None:
    domains, networks = frozenset({"contoso.com"}), frozenset({"192.0.2.1/32"})
    people = frozenset({"a@contoso.com"})
    values: dict[str, Any] = {
        **{n: True for n in field_names(InboundConnector) if n not in VALUES},
        **dict.fromkeys(("sender_domains", "associated_accepted_domains"), domains),
        **dict.fromkeys(("trusted_organizations", "client_host_names"), domains),
        **dict.fromkeys(("sender_ip_addresses", "ef_skip_ips"), networks),
        **dict.fromkeys(("ef_users", "scan_and_drop_recipients"), people),
        **dict.fromkeys(("tls_sender_certificate_name", "comment", "owner", "owner_key"), "contoso.com"),
        "name": "a",
        "type": "on_premises",
        "source": None,
        "spellings": None,
    }
    full = InboundConnector(**values)
    assert [n for n in field_names(full) if getattr(full, n) is None] == ["source", "spellings"]
    parameters = sent(KIND.steps(None, full)[0])[1]
    assert set(parameters) == {
        "Name",
        "ConnectorType",
        "Enabled",
        "Comment",
        "TlsSenderCertificateName",
        *SWITCHES,
        *LISTS,
    }
    changed = sent(KIND.steps(InboundConnector("a"), full)[0])[1]
    assert set(changed) == (set(parameters) - {"Name", "ClientHostNames"}) | {"Identity"}


@pytest.mark.parametrize(
    ("wanted", "live", "told"),
    [("on_premises", "partner", True), ("partner", "partner", False), (None, "partner", False)],
)
def test_another_type_for_an_existing_connector_is_told_before_exchange_refuses_it(
    wanted: str | None, live: str, told: bool
) -> None:
    advice = list(KIND.advice(connector(type=wanted), connector(type=live)))
    assert [a.rule for a in advice] == (["CONNECTOR-TYPE-CHANGES"] if told else [])
    assert all("list inbound_connector/x under absent" in a.hint for a in advice)
