"""Reading and applying against a small tenant behind the ports: faults, order, interruption, and the account of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner import engine
from provisioner.changes import planning
from provisioner.diagnostics import (
    ChangeSetStale,
    JournalBroken,
    NotFound,
    PermissionMissing,
    Refused,
    TenantError,
    TenantIncomplete,
    Throttled,
    Unclear,
)
from provisioner.mail_dns.dialogue import DnsAnswer, Status
from provisioner.model import (
    Absent,
    Action,
    Address,
    Answer,
    ChangeSet,
    Cmdlet,
    Desired,
    DnsQuery,
    GraphRequest,
    Present,
    Resource,
    Unknown,
)
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import ORGANIZATION, SmtpAuth
from provisioner.tenant.ports import Ports
from tests.clocks import TurnClock

TARGETS = {"Selector1CNAME": "s1.example", "Selector2CNAME": "s2.example"}


@dataclass
class Tenant:
    """A tenant small enough to read: stands at the ports. `faults` maps a cmdlet to what happens at its next runs."""

    mailboxes: dict[str, bool | None] = field(default_factory=dict)
    organization: bool = True
    connectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    dkim: dict[str, dict[str, Any]] = field(default_factory=dict)
    dns: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, list[Callable[[Cmdlet], TenantError | None]]] = field(default_factory=dict)
    log: list[Cmdlet] = field(default_factory=list)
    transport = "rest"
    hidden: int = 0
    delay_s: float = 0.0
    most: int = 0
    _busy: int = 0

    async def run(self, cmdlet: Cmdlet) -> Answer:
        self.log.append(cmdlet)
        self._busy += 1
        self.most = max(self.most, self._busy)
        await asyncio.sleep(self.delay_s)
        self._busy -= 1
        script = self.faults.get(cmdlet.name)
        fault = script.pop(0)(cmdlet) if script else None
        if fault:
            raise fault
        return getattr(self, cmdlet.name.replace("-", "_").lower())(dict(cmdlet.parameters))  # type: ignore[no-any-return]

    async def send(self, request: GraphRequest) -> Answer:
        return Answer(({"id": "contoso.com", "isVerified": True},))

    async def query(self, query: DnsQuery) -> Answer:
        return Answer(tuple({"value": v} for v in self.dns.get(query.name, [])))

    async def look_up(self, query: DnsQuery) -> DnsAnswer:
        return DnsAnswer(Status.ROWS, tuple(self.dns.get(query.name, [])))

    def get_casmailbox(self, p: dict[str, Any]) -> Answer:
        keys = [k for k in self.mailboxes if f"'{k}'" in p.get("Filter", f"'{k}'")]
        return Answer(
            tuple({"PrimarySmtpAddress": k, "SmtpClientAuthenticationDisabled": self.mailboxes[k]} for k in keys)
        )

    def get_recipient(self, _: dict[str, Any]) -> Answer:
        return Answer()

    def get_accepteddomain(self, _: dict[str, Any]) -> Answer:
        return Answer()

    def set_casmailbox(self, p: dict[str, Any]) -> Answer:
        self.mailboxes[p["Identity"]] = p["SmtpClientAuthenticationDisabled"]
        return Answer()

    def get_transportconfig(self, _: dict[str, Any]) -> Answer:
        return Answer(({"SmtpClientAuthenticationDisabled": self.organization},))

    def set_transportconfig(self, p: dict[str, Any]) -> Answer:
        self.organization = p["SmtpClientAuthenticationDisabled"]
        return Answer()

    def get_inboundconnector(self, _: dict[str, Any]) -> Answer:
        if self.hidden:
            self.hidden -= 1
            return Answer()
        return Answer(tuple(self.connectors.values()))

    def get_outboundconnector(self, _: dict[str, Any]) -> Answer:
        return Answer()

    def new_inboundconnector(self, p: dict[str, Any]) -> Answer:
        if p["Name"] in self.connectors:
            raise Refused(f"The object '{p['Name']}' already exists.")
        row = {"Enabled": True, "Comment": "", "TlsSenderCertificateName": None, **p}
        self.connectors[p["Name"]] = row
        return Answer((row,))

    def set_inboundconnector(self, p: dict[str, Any]) -> Answer:
        self.connectors[p["Identity"]].update({k: v for k, v in p.items() if k != "Identity"})
        return Answer()

    def remove_inboundconnector(self, p: dict[str, Any]) -> Answer:
        if self.connectors.pop(p["Identity"], None) is None:
            raise NotFound("it is gone")
        return Answer()

    def get_dkimsigningconfig(self, _: dict[str, Any]) -> Answer:
        return Answer(tuple(self.dkim.values()))

    def new_dkimsigningconfig(self, p: dict[str, Any]) -> Answer:
        size = {"Selector1KeySize": p["KeySize"], "Selector2KeySize": p["KeySize"]}
        self.dkim[p["DomainName"]] = {"Domain": p["DomainName"], "Enabled": p["Enabled"], **size, **TARGETS}
        return Answer((self.dkim[p["DomainName"]],))

    def set_dkimsigningconfig(self, p: dict[str, Any]) -> Answer:
        self.dkim[p["Identity"]].update(p)
        return Answer()

    @property
    def writes(self) -> Counter[str]:
        return Counter(c.name for c in self.log if not c.reads)


def ports(tenant: Tenant) -> Ports:
    return Ports(tenant, tenant, tenant)


def desired(*specs: Any, **rest: Any) -> Desired:
    kinds = {SmtpAuth: "smtp_auth", InboundConnector: "inbound_connector", Dkim: "dkim", Domain: "domain"}
    key = {SmtpAuth: "identity", InboundConnector: "name", Dkim: "domain", Domain: "domain"}
    addresses = [Address(kinds[type(s)], getattr(s, key[type(s)])) for s in specs]
    resources = {a: Resource(a, s) for a, s in zip(addresses, specs, strict=True)}
    return Desired("contoso.onmicrosoft.com", rest.pop("owner", ""), resources, **rest)


def plan(tenant: Tenant, wanted: Desired) -> ChangeSet:
    return planning.plan(wanted, asyncio.run(engine.read(wanted, TYPES, ports(tenant))), TYPES)


def carry_out(tenant: Tenant, changeset: ChangeSet, **options: Any) -> dict[str, tuple[str, str]]:
    options = {"confirm_s": 1.0, "clock": TurnClock(), **options}
    outcome = asyncio.run(engine.apply(changeset, TYPES, ports(tenant), **options))
    return {r.address.key: (r.status, r.detail) for r in outcome.results}


def connector(name: str, **rest: Any) -> InboundConnector:
    addresses = frozenset({"192.0.2.5/32"})
    return InboundConnector(name, type="on_premises", enabled=True, sender_ip_addresses=addresses, **rest)


def once(error: TenantError) -> list[Callable[[Cmdlet], TenantError | None]]:
    return [lambda _: error]


# --- reading ---------------------------------------------------------------------------------------------------------


def test_questions_that_two_types_share_are_asked_once_and_a_few_mailboxes_one_by_one() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": True})
    wanted = desired(SmtpAuth("a@x.com", "enabled"), SmtpAuth("gone@x.com", "enabled"), connector("hq"))
    seen = asyncio.run(engine.read(wanted, TYPES, ports(tenant)))
    assert seen.resources[Address("smtp_auth", "a@x.com")] == Present(SmtpAuth("a@x.com", "inherit", "a@x.com"))
    assert isinstance(seen.resources[Address("smtp_auth", "gone@x.com")], Absent)
    assert seen.resources[Address("inbound_connector", "hq")] == Absent()
    assert seen.requests == 4, "the name that no mailbox has is looked up"


@pytest.mark.parametrize("error", [Throttled("slow down"), PermissionMissing("no role"), Unclear("reset")])
def test_a_failed_read_is_unknown_with_its_kind_and_never_absent(error: TenantError) -> None:
    tenant = Tenant(faults={"Get-InboundConnector": once(error)})
    found = plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))
    assert found.unknown == {Address("inbound_connector", "hq"): Unknown(str(error), error.kind)}
    assert [str(c.address) for c in found.changes] == ['smtp_auth["organization"]']
    assert found.errored


def test_not_found_for_a_listing_is_a_failure_and_no_empty_tenant() -> None:
    tenant = Tenant(faults={"Get-InboundConnector": once(NotFound("DC gone"))})
    assert plan(tenant, desired(connector("hq"))).errored


def test_undeclared_objects_of_a_type_that_could_not_be_listed_are_said_to_be_unknown() -> None:
    tenant = Tenant(faults={"Get-InboundConnector": once(Throttled("slow down"))})
    found = plan(tenant, desired(owner="us/prod"))
    assert set(found.unlisted) == {"inbound_connector"}
    assert not found.complete


def test_exclusive_with_a_row_that_does_not_tell_the_switch_claims_nothing() -> None:
    tenant = Tenant({"a@x.com": None})
    tenant.mailboxes["odd@x.com"] = "maybe"  # type: ignore[assignment]
    found = plan(tenant, desired(exclusive=frozenset({"smtp_auth"})))
    assert set(found.unlisted) == {"smtp_auth"}


# --- applying --------------------------------------------------------------------------------------------------------


def test_apply_converges_and_the_next_plan_is_empty() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": False}, organization=False)
    wanted = desired(
        SmtpAuth(ORGANIZATION, "disabled"),
        SmtpAuth("a@x.com", "enabled"),
        SmtpAuth("b@x.com", "inherit"),
        connector("hq"),
    )
    assert {s for s, _ in carry_out(tenant, plan(tenant, wanted)).values()} == {"done"}
    assert plan(tenant, wanted).pending == ()
    order = [c.name for c in tenant.log if not c.reads]
    assert order.index("Set-TransportConfig") == max(i for i, n in enumerate(order) if n != "New-InboundConnector")


def test_what_moved_is_stale_and_nothing_is_written() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": None})
    changes = plan(tenant, desired(SmtpAuth("a@x.com", "enabled"), SmtpAuth("b@x.com", "enabled")))
    tenant.mailboxes["b@x.com"] = True
    with pytest.raises(ChangeSetStale) as caught:
        carry_out(tenant, changes)
    assert caught.value.moved == ('smtp_auth["b@x.com"]: smtp_auth is disabled, not inherit',)
    assert not tenant.writes


def test_a_field_that_the_plan_does_not_write_may_move() -> None:
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    changes = plan(tenant, desired(InboundConnector("hq", enabled=False)))
    tenant.connectors["hq"]["Comment"] = "somebody was here"
    assert carry_out(tenant, changes) == {"hq": ("done", "")}


def test_a_field_that_is_not_written_but_decides_the_steps_makes_a_change_stale() -> None:
    """The mark is written behind the comment of the object: the old comment would overwrite the new one."""
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    tenant.connectors["hq"]["Comment"] = "as reviewed"
    changes = plan(tenant, desired(InboundConnector("hq", owner="us/prod"), owner="us/prod"))
    tenant.connectors["hq"]["Comment"] = "somebody was here"
    before = tenant.writes
    with pytest.raises(ChangeSetStale) as caught:
        carry_out(tenant, changes)
    assert "needs other steps than those that were reviewed" in caught.value.moved[0]
    assert tenant.writes == before


def test_what_a_deletion_rests_on_and_is_not_returned_any_more_is_unknown_and_has_not_moved() -> None:
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    address = Address("inbound_connector", "hq")
    changes = plan(tenant, dataclasses.replace(desired(), absent={address: None}))
    assert [c.action for c in changes.pending] == [Action.DELETE]
    del tenant.connectors["hq"]["Enabled"]
    before = tenant.writes
    with pytest.raises(TenantIncomplete, match=r'inbound_connector\["hq"\]: enabled could not be read'):
        carry_out(tenant, changes)
    assert tenant.writes == before


def test_what_is_done_already_counts_as_done_and_is_not_sent_again() -> None:
    tenant = Tenant({"a@x.com": None})
    changes = plan(tenant, desired(SmtpAuth("a@x.com", "enabled"), connector("hq")))
    carry_out(tenant, changes)
    writes = tenant.writes
    assert carry_out(tenant, changes) == {"a@x.com": ("already_done", ""), "hq": ("already_done", "")}
    assert tenant.writes == writes


def test_a_target_that_cannot_be_read_again_stops_everything() -> None:
    tenant = Tenant({"a@x.com": None})
    changes = plan(tenant, desired(SmtpAuth("a@x.com", "enabled"), connector("hq")))
    tenant.faults["Get-InboundConnector"] = once(Throttled("slow down"))
    with pytest.raises(TenantIncomplete, match="nothing was written"):
        carry_out(tenant, changes)
    assert not tenant.writes


def test_one_failure_leaves_the_independent_to_finish_and_holds_back_what_closes() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": None}, organization=False)
    tenant.faults["Set-CASMailbox"] = [lambda c: Refused("no") if c.parameters["Identity"] == "a@x.com" else None] * 2
    wanted = desired(SmtpAuth(ORGANIZATION, "disabled"), SmtpAuth("a@x.com", "enabled"), SmtpAuth("b@x.com", "enabled"))
    result = carry_out(tenant, plan(tenant, wanted))
    assert result["a@x.com"] == ("failed", "no")
    assert result["b@x.com"] == ("done", "")
    assert result[ORGANIZATION] == ("held_back", 'waits for smtp_auth["a@x.com"] (failed: no)')
    assert tenant.organization is False


def test_who_may_not_write_is_refused_once() -> None:
    tenant = Tenant({f"m{i}@x.com": None for i in range(12)}, delay_s=0.02)
    denied = PermissionMissing("the role is missing", "Set-CASMailbox", hint="give it")
    tenant.faults["Set-CASMailbox"] = [lambda _: denied] * 12
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))
    outcome = asyncio.run(engine.apply(changes, TYPES, ports(tenant), writes=4, confirm_s=1.0, clock=TurnClock()))
    assert tenant.writes == {"Set-CASMailbox": 1}
    assert outcome.failure is denied
    assert Counter(r.status for r in outcome.results) == {"failed": 1, "left": 11}
    assert not outcome.converged


def test_who_may_write_some_things_is_refused_only_the_others() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": None, "c@x.com": None})
    tenant.faults["Set-CASMailbox"] = [
        lambda c: PermissionMissing("out of scope") if c.parameters["Identity"] == "b@x.com" else None
    ] * 3
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))
    result = carry_out(tenant, changes, writes=1)
    assert {name: status for name, (status, _) in result.items()} == {
        "a@x.com": "done", "b@x.com": "failed", "c@x.com": "done",
    }  # fmt: skip


def test_an_unclear_create_is_settled_by_reading_and_never_sent_again() -> None:
    def carried_out_then_lost(cmdlet: Cmdlet) -> TenantError:
        tenant.new_inboundconnector(dict(cmdlet.parameters))
        return Unclear("connection reset")

    tenant = Tenant(faults={"New-InboundConnector": [carried_out_then_lost]})
    changes = plan(tenant, desired(connector("hq"), connector("lost")))
    tenant.faults["New-InboundConnector"].append(lambda _: Unclear("connection reset"))
    result = carry_out(tenant, changes)
    assert [s for s, _ in result.values()] == ["done", "unconfirmed"]
    assert tenant.writes == {"New-InboundConnector": 2}


def test_an_error_beside_a_success_is_settled_by_reading() -> None:
    def carried_out(cmdlet: Cmdlet) -> TenantError:
        tenant.new_inboundconnector(dict(cmdlet.parameters))
        return Refused("something went wrong", beside_success=True)

    tenant = Tenant(faults={"New-InboundConnector": [carried_out]})
    changes = plan(tenant, desired(connector("hq"), connector("not made")))
    tenant.faults["New-InboundConnector"].append(lambda _: Refused("something went wrong", beside_success=True))
    result = carry_out(tenant, changes, confirm_s=0.3)
    assert [s for s, _ in result.values()] == ["done", "unconfirmed"]
    assert tenant.writes == {"New-InboundConnector": 2}


def test_a_write_is_read_back_until_it_shows() -> None:
    tenant = Tenant()
    changes = plan(tenant, desired(connector("hq")))

    def and_hide(cmdlet: Cmdlet) -> None:
        tenant.hidden = 2

    tenant.faults["New-InboundConnector"] = [and_hide]
    assert carry_out(tenant, changes, confirm_s=5.0) == {"hq": ("done", "")}


def test_a_write_that_never_shows_is_unconfirmed_and_says_what_is_seen() -> None:
    tenant = Tenant({"a@x.com": None})
    changes = plan(tenant, desired(SmtpAuth("a@x.com", "enabled")))
    tenant.set_casmailbox = lambda p: Answer()  # type: ignore[method-assign]
    assert carry_out(tenant, changes, confirm_s=0.3) == {
        "a@x.com": ("unconfirmed", "not confirmed: it is as it was before")
    }


def test_a_write_that_cannot_be_read_back_is_unconfirmed_and_says_why() -> None:
    tenant = Tenant()
    changes = plan(tenant, desired(connector("hq")))
    tenant.faults["Get-InboundConnector"] = [lambda _: None, *([lambda _: PermissionMissing("no role")] * 50)]
    ((status, detail),) = carry_out(tenant, changes, confirm_s=0.3).values()
    assert (status, detail) == ("unconfirmed", "not confirmed: it cannot be read: no role")
    assert list(tenant.connectors) == ["hq"]


def test_a_connector_that_the_service_creates_disabled_is_told_at_once() -> None:
    warning = (
        "Inbound connector for this service offering is created in a disabled state. Contact Support to enable it."
    )
    tenant = Tenant()

    def disabled(p: dict[str, Any]) -> Answer:
        tenant.connectors[p["Name"]] = {"Comment": "", **p, "Enabled": False}
        return Answer(warnings=(warning,))

    tenant.new_inboundconnector = disabled  # type: ignore[method-assign]
    result = carry_out(tenant, plan(tenant, desired(connector("hq"))), confirm_s=60.0)
    assert result["hq"][0] == "unconfirmed"
    assert "disabled state" in result["hq"][1]


@pytest.mark.parametrize(
    ("written", "planned", "status"),
    [(None, False, "done"), (None, True, "unconfirmed"), (False, False, "done")],
)
def test_what_was_disabled_by_hand_and_the_plan_leaves_so_is_confirmed_by_its_fields(
    written: bool | None, planned: bool, status: str
) -> None:
    """One that was in force when the change was planned, and is not after it, is not confirmed."""
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    tenant.connectors["hq"]["Enabled"] = planned
    changes = plan(tenant, desired(dataclasses.replace(connector("hq", comment="NET-1432"), enabled=written)))
    tenant.connectors["hq"]["Enabled"] = False
    assert carry_out(tenant, changes)["hq"][0] == status
    assert tenant.connectors["hq"]["Enabled"] is False


def test_nothing_closes_because_of_a_connector_that_is_left_disabled() -> None:
    """It is confirmed by its fields, and replaces no other path."""
    tenant = Tenant({"a@x.com": False})
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    tenant.connectors["hq"]["Enabled"] = False
    hq = dataclasses.replace(connector("hq", comment="NET-1432"), enabled=None)
    results = carry_out(tenant, plan(tenant, desired(hq, SmtpAuth("a@x.com", "disabled"))))
    assert (results["hq"][0], results["a@x.com"][0]) == ("done", "held_back")
    assert "the connector is disabled in the tenant" in results["a@x.com"][1]


def test_dkim_waits_for_dns_and_the_next_run_goes_on() -> None:
    tenant = Tenant()
    wanted = desired(Dkim("contoso.com", enabled=True, key_size=2048))
    status, detail = carry_out(tenant, plan(tenant, wanted))["contoso.com"]
    assert status == "waiting"
    assert "selector1._domainkey.contoso.com CNAME s1.example" in detail
    assert tenant.dkim["contoso.com"]["Enabled"] is False
    tenant.dns = {
        "selector1._domainkey.contoso.com": ["S1.example."],
        "selector2._domainkey.contoso.com": ["s2.example"],
    }
    assert carry_out(tenant, plan(tenant, wanted)) == {"contoso.com": ("done", "")}
    assert plan(tenant, wanted).pending == ()


def test_a_cname_to_somewhere_else_is_named() -> None:
    tenant = Tenant(dns={"selector1._domainkey.contoso.com": ["old.example"]})
    detail = carry_out(tenant, plan(tenant, desired(Dkim("contoso.com", enabled=True))))["contoso.com"][1]
    assert "CNAME s1.example (now old.example)" in detail


def test_the_refusal_that_means_not_yet_is_waiting_and_no_failure() -> None:
    tenant = Tenant(dns={f"selector{n}._domainkey.contoso.com": [f"s{n}.example"] for n in (1, 2)})
    words = "CNAME record does not exist for this config. Please publish the following two CNAME records first."
    tenant.faults["Set-DkimSigningConfig"] = once(Refused(words))
    assert carry_out(tenant, plan(tenant, desired(Dkim("contoso.com", enabled=True))))["contoso.com"] == (
        "waiting",
        words,
    )


def test_the_same_change_set_goes_on_half_way_only_where_its_journal_says_that_it_began() -> None:
    tenant = Tenant()
    changes = plan(tenant, desired(Dkim("contoso.com", enabled=True)))
    assert carry_out(tenant, changes)["contoso.com"][0] == "waiting"
    tenant.dns = {f"selector{n}._domainkey.contoso.com": [f"s{n}.example"] for n in (1, 2)}
    with pytest.raises(ChangeSetStale):
        carry_out(tenant, changes)
    assert carry_out(tenant, changes, begun=[Address("dkim", "contoso.com")]) == {"contoso.com": ("done", "")}
    assert tenant.writes["New-DkimSigningConfig"] == 1


def test_removing_what_is_gone_already_is_done() -> None:
    tenant = Tenant()
    carry_out(tenant, plan(tenant, desired(connector("hq", owner="us"), owner="us")))
    changes = plan(tenant, desired(owner="us"))

    def gone_meanwhile(_: Cmdlet) -> TenantError:
        tenant.connectors.clear()
        return NotFound("it is gone")

    tenant.faults["Remove-InboundConnector"] = [gone_meanwhile]
    assert carry_out(tenant, changes) == {"hq": ("done", "")}


def test_an_interruption_finishes_the_write_in_flight_and_leaves_the_rest() -> None:
    tenant = Tenant({f"m{i}@x.com": None for i in range(6)}, delay_s=0.05)
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))

    async def interrupted() -> engine.Outcome:
        stop = asyncio.Event()

        def watch(event: engine.Event) -> None:
            if isinstance(event, engine.Sending):
                stop.set()

        watched = engine.watch(ports(tenant), watch)
        return await engine.apply(changes, TYPES, watched, writes=1, stop=stop, clock=TurnClock())

    outcome = asyncio.run(interrupted())
    assert Counter(r.status for r in outcome.results) == {"done": 1, "left": 5}
    assert not outcome.converged
    assert tenant.writes == {"Set-CASMailbox": 1}


EVENTS = (engine.Started, engine.Sending, engine.Answered, engine.Finished)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("kind", EVENTS)
def test_an_observer_that_fails_ends_the_run_with_its_account(kind: type[engine.Event], number: int) -> None:
    """The journal is one: what it could not record is not sent, and what was sent is not forgotten."""
    tenant = Tenant({f"m{i}@x.com": None for i in range(6)})
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))
    seen: list[engine.Event] = []

    def full(event: engine.Event) -> None:
        seen.append(event)
        if sum(isinstance(e, kind) for e in seen) >= number and isinstance(event, kind):
            raise JournalBroken("the journal cannot be written: No space left on device")

    watched = engine.watch(ports(tenant), full)
    outcome = asyncio.run(engine.apply(changes, TYPES, watched, writes=1, clock=TurnClock(), confirm_s=1.0))
    assert len(outcome.results) == 6
    assert isinstance(outcome.failure, JournalBroken)
    assert not outcome.converged
    announced = [e for e in seen if isinstance(e, engine.Sending)]
    refused = kind is engine.Sending
    assert tenant.writes["Set-CASMailbox"] == len(announced) - refused
    sent = {e.change.address for e in announced[: len(announced) - refused]}
    by = {r.address: r.status for r in outcome.results}
    assert {by[a] for a in by if a not in sent} <= {"left"}
    assert all(by[a] in {"done", "unconfirmed"} for a in sent)
    assert len(sent) < 6 or kind is engine.Finished, "reading back takes its time, and more is sent meanwhile"


def test_an_exception_of_an_adapter_is_the_error_of_its_request() -> None:
    tenant = Tenant({f"m{i}@x.com": None for i in range(6)})
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))

    def stumbles(_: Cmdlet) -> TenantError | None:
        raise AttributeError("'str' object has no attribute 'get'")

    tenant.faults["Set-CASMailbox"] = [lambda _: None, stumbles]
    watched = engine.watch(ports(tenant), lambda _: None)
    outcome = asyncio.run(engine.apply(changes, TYPES, watched, writes=1, clock=TurnClock(), confirm_s=1.0))
    assert outcome.failure is None
    assert Counter(r.status for r in outcome.results) == {"done": 5, "unconfirmed": 1}
    assert tenant.writes == {"Set-CASMailbox": 6}


def test_an_answer_to_a_reading_that_no_adapter_expected_is_unknown() -> None:
    tenant = Tenant({"a@x.com": None})

    def stumbles(_: Cmdlet) -> TenantError | None:
        raise RecursionError("maximum recursion depth exceeded")

    tenant.faults["Get-CASMailbox"] = [stumbles]
    wanted = desired(SmtpAuth("a@x.com", "enabled"))
    observed = asyncio.run(engine.read(wanted, TYPES, engine.watch(ports(tenant), lambda _: None)))
    (found,) = observed.resources.values()
    assert isinstance(found, Unknown)
    assert (found.kind, "RecursionError" in found.reason) == ("malformed", True)


def test_a_fault_while_reading_back_leaves_every_change_accounted_for() -> None:
    tenant = Tenant({f"m{i}@x.com": None for i in range(4)})
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))

    def stumbles(_: Cmdlet) -> TenantError | None:
        if tenant.writes:
            raise TypeError("a fault of ours")
        return None

    tenant.faults["Get-CASMailbox"] = [stumbles] * 50
    run = engine.apply(changes, TYPES, ports(tenant), writes=1, clock=TurnClock(), confirm_s=1.0)
    outcome = asyncio.run(run)
    assert isinstance(outcome.failure, TypeError)
    assert Counter(r.status for r in outcome.results)["unconfirmed"] == tenant.writes["Set-CASMailbox"]
    assert {r.status for r in outcome.results} <= {"unconfirmed", "left"}
    assert len(outcome.results) == 4


def test_writes_run_side_by_side_within_their_limit() -> None:
    tenant = Tenant({f"m{i}@x.com": None for i in range(12)}, delay_s=0.02)
    changes = plan(tenant, desired(*(SmtpAuth(k, "enabled") for k in tenant.mailboxes)))
    tenant.most = 0
    carry_out(tenant, changes, writes=3, reads=1)
    assert 2 <= tenant.most <= 4, "three writes and the reading back"


def test_a_change_of_one_write_has_no_half_way_even_where_it_was_begun() -> None:
    tenant = Tenant()
    changes = plan(tenant, desired(connector("hq")))
    carry_out(tenant, changes)
    tenant.connectors["hq"]["Enabled"] = False
    with pytest.raises(ChangeSetStale):
        carry_out(tenant, changes, begun=[Address("inbound_connector", "hq")])


# --- open before close -----------------------------------------------------------------------------------------------


def closing_plan(tenant: Tenant) -> ChangeSet:
    """A connector opens a path; the organization's switch closes one."""
    return plan(tenant, desired(connector("hq"), SmtpAuth(ORGANIZATION, "disabled")))


def test_a_closing_change_waits_for_a_connector_that_does_not_show() -> None:
    tenant = Tenant(organization=False)
    changes = closing_plan(tenant)
    tenant.hidden = 1000
    result = carry_out(tenant, changes, confirm_s=0.3)
    assert result["hq"][0] == "unconfirmed"
    assert result[ORGANIZATION][0] == "held_back"
    assert result[ORGANIZATION][1].startswith('waits for inbound_connector["hq"] (unconfirmed: ')
    assert tenant.organization is False


def test_a_closing_change_looks_at_what_needs_no_change_too() -> None:
    """The connector is as declared when the plan is made, and disabled by somebody before apply."""
    tenant = Tenant(organization=False)
    carry_out(tenant, plan(tenant, desired(connector("hq"))))
    changes = plan(tenant, desired(InboundConnector("hq", type="on_premises"), SmtpAuth(ORGANIZATION, "disabled")))
    assert [c.address.key for c in changes.pending] == [ORGANIZATION]
    tenant.connectors["hq"]["Enabled"] = False
    reason = 'waits for inbound_connector["hq"] (the connector is disabled in the tenant)'
    assert carry_out(tenant, changes) == {ORGANIZATION: ("held_back", reason)}


def test_a_closing_change_is_sent_after_every_opening_one() -> None:
    tenant = Tenant({"a@x.com": None, "b@x.com": False}, organization=False)
    wanted = desired(SmtpAuth("a@x.com", "enabled"), SmtpAuth("b@x.com", "disabled"), connector("hq"))
    result = carry_out(tenant, plan(tenant, wanted))
    assert {status for status, _ in result.values()} == {"done"}
    writes = [c for c in tenant.log if not c.reads]
    assert writes[-1].parameters["Identity"] == "b@x.com"
