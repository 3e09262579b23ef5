"""What a closing change waits for: the paths that the whole plan promises to the senders that it affects."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from provisioner import engine
from provisioner.changes import planning, scoping
from provisioner.diagnostics import Refused, TenantError, Throttled, Unclear
from provisioner.mailflow.senders import Sender
from provisioner.model import Address, ChangeSet, Cmdlet, Waiver
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth
from tests.clocks import TurnClock
from tests.engine.test_engine import Tenant, carry_out, connector, desired, plan, ports

NET, OTHER = frozenset({"192.0.2.5/32"}), frozenset({"192.0.2.6/32"})
SWITCH = Address("smtp_auth", ORGANIZATION)
SCANNER = Sender("scanner", frozenset({"a@x.com"}), NET, domains=frozenset({"x.com"}))


def refuses(name: str) -> Callable[[Cmdlet], TenantError | None]:
    def fault(cmdlet: Cmdlet) -> TenantError | None:
        named = name in {cmdlet.parameters.get("Name"), cmdlet.parameters.get("Identity")}
        return Refused("no") if named else None

    return fault


def moves() -> tuple[Tenant, ChangeSet]:
    """One mailbox is to lose SMTP AUTH; the connector for the network of the scanner is refused."""
    tenant = Tenant({"a@x.com": False}, faults={"New-InboundConnector": [refuses("hq")] * 5})
    return tenant, plan(tenant, desired(connector("hq"), SmtpAuth("a@x.com", "disabled")))


# --- which paths concern a change ------------------------------------------------------------------------------------


def test_without_known_senders_every_path_concerns_a_closing_change() -> None:
    tenant, changes = moves()
    result = carry_out(tenant, changes)
    assert result["a@x.com"] == ("held_back", 'waits for inbound_connector["hq"] (failed: no)')


def test_a_path_of_other_senders_holds_nothing_back() -> None:
    tenant, changes = moves()
    result = carry_out(tenant, changes, devices=())
    assert (result["hq"][0], result["a@x.com"]) == ("failed", ("done", ""))
    assert tenant.mailboxes["a@x.com"] is True


def test_a_device_that_moves_from_its_mailbox_to_the_relay_holds_its_mailbox_back() -> None:
    tenant, changes = moves()
    assert carry_out(tenant, changes, devices=[SCANNER])["a@x.com"][0] == "held_back"
    elsewhere = dataclasses.replace(SCANNER, networks=OTHER)
    assert carry_out(tenant, changes, devices=[elsewhere])["a@x.com"][0] == "done"


@pytest.mark.parametrize(
    ("network", "status"), [("192.0.2.5/32", "held_back"), ("192.0.2.0/24", "held_back"), ("192.0.2.6/32", "done")]
)
def test_a_connector_of_the_same_network_is_deleted_only_after_its_replacement_works(network: str, status: str) -> None:
    tenant = Tenant(faults={})
    old = connector("old", owner="us", owner_key="old")
    carry_out(tenant, plan(tenant, desired(old, owner="us")))
    other = connector("new", owner="us", owner_key="new", ef_test_mode=True)  # it would be renamed if it were the same
    new = dataclasses.replace(other, sender_ip_addresses=frozenset({network}))
    tenant.faults["New-InboundConnector"] = [refuses("new")] * 5
    result = carry_out(tenant, plan(tenant, desired(new, owner="us")), devices=())
    assert (result["new"][0], result["old"][0]) == ("failed", status)


def test_what_concerns_everyone_waits_for_every_path() -> None:
    tenant = Tenant(organization=False, faults={"New-InboundConnector": [refuses("hq")] * 5})
    changes = plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))
    assert carry_out(tenant, changes, devices=())[ORGANIZATION][0] == "held_back"


def test_dkim_that_waits_for_dns_holds_nothing_back() -> None:
    tenant = Tenant(organization=False)
    changes = plan(tenant, desired(Dkim("contoso.com", enabled=True), SmtpAuth(ORGANIZATION, "disabled")))
    result = carry_out(tenant, changes)
    assert (result["contoso.com"][0], result[ORGANIZATION]) == ("waiting", ("done", ""))


def test_a_path_that_cannot_be_read_just_before_holds_back_with_the_reason() -> None:
    tenant = Tenant(organization=False)
    changes = plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))
    fine: Callable[[Cmdlet], TenantError | None] = lambda _: None  # noqa: E731
    tenant.faults["Get-InboundConnector"] = [fine, fine, lambda _: Throttled("slow down")]
    result = carry_out(tenant, changes)
    assert result["hq"] == ("done", "")
    assert result[ORGANIZATION] == ("held_back", 'waits for inbound_connector["hq"] (it cannot be read: slow down)')


def test_what_an_unclear_answer_left_in_force_holds_nothing_back() -> None:
    """By state and not by result: the second run of the same change set finds the connector."""
    tenant = Tenant(organization=False)
    changes = plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))

    def lost(cmdlet: Cmdlet) -> TenantError:
        tenant.new_inboundconnector(dict(cmdlet.parameters))
        return Unclear("connection reset")

    tenant.faults["New-InboundConnector"] = [lost]
    assert carry_out(tenant, changes)[ORGANIZATION] == ("done", "")


# --- the whole plan ---------------------------------------------------------------------------------------------------


def targeted(tenant: Tenant, *targets: str) -> ChangeSet:
    scope = scoping.Scope(targets)
    wanted = scoping.narrow(desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")), TYPES, scope)
    return planning.plan(
        wanted, asyncio.run(engine.read(wanted, TYPES, ports(tenant), scope=scope)), TYPES, scope=scope
    )


def test_a_target_does_not_narrow_what_is_checked() -> None:
    tenant = Tenant(organization=False)
    changes = targeted(tenant, f"smtp_auth/{ORGANIZATION}")
    status, detail = carry_out(tenant, changes)[ORGANIZATION]
    assert status == "held_back"
    assert detail == 'waits for inbound_connector["hq"] (the tenant does not have it; outside --target and --exclude)'
    assert carry_out(tenant, targeted(tenant, "inbound_connector/hq")) == {"hq": ("done", "")}
    assert carry_out(tenant, changes) == {ORGANIZATION: ("done", "")}


# --- allowed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "sent"), [("*", True), (f"smtp_auth/{ORGANIZATION}", True), ("smtp_auth/other", False)]
)
def test_only_its_own_name_lets_a_closing_change_through(pattern: str, sent: bool) -> None:
    tenant = Tenant(organization=False, faults={"New-InboundConnector": [refuses("hq")] * 5})
    changes = plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))
    others = [Waiver("BLAST-RADIUS"), Waiver("DEVICE-LOSES-WAY")]
    assert carry_out(tenant, changes, allowed=others)[ORGANIZATION][0] == "held_back"
    options: dict[str, Any] = {"confirm_s": 1.0, "clock": TurnClock()}
    allowed = [*others, Waiver("CLOSE-BEFORE-OPEN", pattern)]
    outcome = asyncio.run(engine.apply(changes, TYPES, ports(tenant), allowed=allowed, **options))
    result = next(r for r in outcome.results if r.address == SWITCH)
    assert (result.status == "done") is sent is tenant.organization
    words = 'sent although inbound_connector["hq"] (failed: no) is not in force: CLOSE-BEFORE-OPEN is allowed'
    assert result.warnings == ((words,) if sent else ())


# --- what opens and closes -------------------------------------------------------------------------------------------


def exchanged(**one: Any) -> tuple[Tenant, ChangeSet]:
    """Two connectors in place, which are to exchange what is given."""
    tenant, (field, (first, second)) = Tenant(), next(iter(one.items()))
    a, b = (dataclasses.replace(connector(name), sender_ip_addresses=None, require_tls=True) for name in "ab")
    here = dataclasses.replace(a, **{field: first}), dataclasses.replace(b, **{field: second})
    carry_out(tenant, plan(tenant, desired(*here)))
    tenant.log.clear()
    there = dataclasses.replace(a, **{field: second}), dataclasses.replace(b, **{field: first})
    return tenant, plan(tenant, desired(*there))


def lists(tenant: Tenant) -> Sequence[tuple[str, set[str]]]:
    sets = [c for c in tenant.log if c.name == "Set-InboundConnector"]
    return [(str(c.parameters["Identity"]), set(c.parameters["SenderIPAddresses"])) for c in sets]  # type: ignore[arg-type]


@pytest.mark.parametrize("devices", [None, ()])
def test_connectors_that_exchange_addresses_have_both_before_either_loses_one(devices: Any) -> None:
    tenant, changes = exchanged(sender_ip_addresses=(NET, OTHER))
    assert carry_out(tenant, changes, devices=devices) == {"a": ("done", ""), "b": ("done", "")}
    both = {"192.0.2.5", "192.0.2.6"}
    assert sorted(lists(tenant)[:2]) == [("a", both), ("b", both)]
    assert sorted(lists(tenant)[2:]) == [("a", {"192.0.2.6"}), ("b", {"192.0.2.5"})]


def test_neither_loses_an_address_while_the_other_does_not_have_it() -> None:
    tenant, changes = exchanged(sender_ip_addresses=(NET, OTHER))
    tenant.faults["Set-InboundConnector"] = [refuses("b")] * 2
    result = carry_out(tenant, changes, devices=())
    assert result == {"a": ("held_back", 'waits for inbound_connector["b"] (failed: no)'), "b": ("failed", "no")}
    assert lists(tenant)[0] == ("a", {"192.0.2.5", "192.0.2.6"})
    again = carry_out(tenant, changes, begun=[Address("inbound_connector", "a"), Address("inbound_connector", "b")])
    assert again == {"a": ("done", ""), "b": ("done", "")}, "the same change set goes on from half-way"


def test_a_change_in_two_writes_that_is_interrupted_between_them_has_closed_nothing() -> None:
    tenant, changes = exchanged(sender_ip_addresses=(NET, OTHER))

    async def interrupted() -> engine.Outcome:
        stop = asyncio.Event()

        def observe(event: engine.Event) -> None:
            if isinstance(event, engine.Answered):
                stop.set()

        watched = engine.watch(ports(tenant), observe)
        return await engine.apply(changes, TYPES, watched, writes=2, stop=stop, confirm_s=1.0, clock=TurnClock())

    outcome = asyncio.run(interrupted())
    # The first write goes alone, so its change may wait for the other, which is not begun any more.
    assert {r.status for r in outcome.results} <= {"left", "held_back"}
    told = {r.detail for r in outcome.results if r.status == "left"}
    assert told <= {"interrupted after 1 of 3 steps", "interrupted before it was begun"}
    assert told, outcome.results
    assert all(len(addresses) == 2 for _, addresses in lists(tenant))


CERTIFICATES = ("one.x.com", "two.x.com")


def test_connectors_that_exchange_certificates_are_both_held_back_until_that_is_allowed() -> None:
    tenant, changes = exchanged(tls_sender_certificate_name=CERTIFICATES)
    result = carry_out(tenant, changes)
    assert {status for status, _ in result.values()} == {"held_back"}
    assert all("it waits for this one too: change one of the two first" in detail for _, detail in result.values())
    assert not tenant.writes
    allowed = [Waiver("CLOSE-BEFORE-OPEN")]
    assert {status for status, _ in carry_out(tenant, changes, allowed=allowed).values()} == {"done"}


def certified(name: str, certificate: str) -> InboundConnector:
    return dataclasses.replace(
        connector(name), sender_ip_addresses=None, require_tls=True, tls_sender_certificate_name=certificate
    )


def test_certificates_that_move_on_from_connector_to_connector_do_so_in_the_order_of_need() -> None:
    tenant = Tenant()
    names = ["one.x.com", "two.x.com", "three.x.com", "four.x.com"]
    carry_out(tenant, plan(tenant, desired(*map(certified, "abc", names))))
    changes = plan(tenant, desired(*map(certified, "abc", names[1:])))
    tenant.log.clear()
    assert {status for status, _ in carry_out(tenant, changes).values()} == {"done"}
    sets = [c.parameters["Identity"] for c in tenant.log if c.name == "Set-InboundConnector"]
    assert sets == ["a", "b", "c"], "b gives up two.x.com once a has it"


def test_a_device_of_its_own_connector_is_not_held_back_by_it() -> None:
    """The certificate of one connector changes: the old one closes with the same write that opens the new one."""
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(certified("a", "one.x.com"))))
    changes = plan(tenant, desired(certified("a", "two.x.com")))
    assert carry_out(tenant, changes) == {"a": ("done", "")}


def filtering(name: str) -> InboundConnector:
    everyone = dataclasses.replace(connector(name), type="partner", sender_domains=frozenset({"*"}))
    return dataclasses.replace(everyone, require_tls=False, restrict_domains_to_ip_addresses=True)


@pytest.mark.parametrize("devices", [None, ()])
def test_a_filter_s_connector_is_made_anew_before_the_old_one_goes(devices: Any) -> None:
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(filtering("old"))))
    tenant.log.clear()
    changes = plan(tenant, desired(filtering("new"), absent={Address("inbound_connector", "old"): None}))
    assert carry_out(tenant, changes, devices=devices) == {"new": ("done", ""), "old": ("done", "")}
    writes = [c.name for c in tenant.log if not c.reads]
    assert writes == ["New-InboundConnector", "Remove-InboundConnector"]
