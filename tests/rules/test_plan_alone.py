"""What a plan says that cannot be right, or is dangerous in every tenant."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from provisioner.devices import NAMES
from provisioner.diagnostics import Location, Severity
from provisioner.model import Address, Advice, Desired, Finding, Resource
from provisioner.model.clouds import CLOUDS
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, SMTP_RELAY, Choice, Device
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector, InboundConnectorType
from provisioner.rules import lint, not_offered

AT, KEY = Location("plan.yaml", 3, 3), Location("plan.yaml", 4, 5)
NO_METHOD = "DEVICE-NO-METHOD"
NET, OTHER = frozenset({"52.202.8.242/32"}), frozenset({"52.202.8.243/32"})


def connector(name: str, networks: frozenset[str] | None = NET, **fields: Any) -> Resource:
    spec = InboundConnector(name, sender_ip_addresses=networks, **{"type": "on_premises", **fields})
    return Resource(Address("inbound_connector", name), spec, AT, {"sender_ip_addresses": KEY})


def device(name: str, **fields: Any) -> Device:
    base: dict[str, Any] = {
        "sender": "a@contoso.com", "recipients": "anyone", "tls": "1.2", "authentication": frozenset(), "mailbox": "",
    }  # fmt: skip
    return Device(name, **{**base, "location": Location("plan.yaml", len(name), 1), **fields})


def found(*resources: Resource, **rest: Any) -> list[Finding]:
    return list(lint(Desired("contoso", "", {r.address: r for r in resources}, **rest)))


def test_advice_of_a_type_stands_at_its_field() -> None:
    (told,) = found(connector("hq", frozenset({"10.0.0.5/32"})))
    assert (told.rule, told.severity, told.blocks) == ("IP-PRIVATE", Severity.ERROR, "apply")
    assert told.summary.startswith('inbound_connector["hq"]: ')
    assert (told.address, told.location) == (Address("inbound_connector", "hq"), KEY)


def test_advice_about_a_field_with_a_mistake_of_its_own_keeps_no_other_advice_back() -> None:
    class Advising(InboundConnectorType):
        def lint(self, _spec: InboundConnector, /) -> Iterator[Advice]:
            yield Advice("IP-PRIVATE", "has no address", "write one", unwritten=("sender_ip_addresses",))
            yield Advice("IP-PRIVATE", "is odd", "think", "enabled", unwritten=("comment",))

    resource = connector("hq", None)
    told = list(lint(Desired("contoso", "", {resource.address: resource}), [Advising()]))
    assert [(f.summary, f.hint, f.location) for f in told] == [('inbound_connector["hq"]: is odd', "think", AT)]


def test_a_device_whose_method_the_cloud_does_not_offer_is_told_what_would_do() -> None:
    old = device("old", tls="1.1", authentication=frozenset({"basic"}), mailbox="a@contoso.com")
    choices = {name: Choice(CLIENT_SUBMISSION, "basic", (), {}) for name in ("ok", "old")}
    desired = Desired("contoso", "", {}, devices={"ok": device("ok"), "old": old}, choices=choices)
    assert list(not_offered(desired, CLOUDS["worldwide"])) == []
    (told,) = not_offered(desired, CLOUDS["gcc_high"])
    assert told.summary == ("device/old: client submission over TLS 1.1 is not offered in the cloud of this tenant")
    assert (told.rule, told.blocks, told.location) == (NO_METHOD, "input", old.location)


def test_two_connectors_of_one_scope_are_told_at_the_second() -> None:
    (told,) = found(connector("a"), connector("b"), connector("c", OTHER))
    assert (told.rule, told.severity, told.blocks) == ("CONNECTOR-SAME-SCOPE", Severity.INFO, "")
    assert told.summary == (
        'inbound_connector["b"] takes mail from the same senders and sources as inbound_connector["a"]'
    )
    assert (told.address, told.location) == (Address("inbound_connector", "b"), AT)
    domain = Resource(Address("domain", "contoso.com"), Domain("contoso.com", True, True), AT)
    assert len(found(domain, connector("a"), connector("b"))) == 1
    # What takes no mail has no scope.
    assert found(connector("a", enabled=False), connector("b", enabled=False)) == []


def test_of_two_connectors_of_one_scope_the_one_that_is_written_is_named() -> None:
    """The other one is worked out for a device: nobody can take it out of the plan."""
    scan = device("scan")
    made = dataclasses.replace(connector("site-hq"), location=scan.location, devices=("scan",))
    for pair in ((connector("mfp"), made), (made, connector("mfp"))):
        told = [f for f in found(*pair, devices={"scan": scan}) if f.rule == "CONNECTOR-SAME-SCOPE"]
        assert [f.hint for f in told] == [
            'take inbound_connector["mfp"] out of the plan; inbound_connector["site-hq"] is needed by device/scan'
        ]
    told = [f for f in found(connector("a"), made, connector("b"), devices={"scan": scan}) if "SCOPE" in f.rule]
    assert [f.hint for f in told] == [
        'take inbound_connector["a"], inbound_connector["b"] out of the plan; '
        'inbound_connector["site-hq"] is needed by device/scan'
    ] * 2


def test_of_several_connectors_of_one_scope_only_one_is_kept() -> None:
    (told,) = found(connector("a"), connector("b"))
    assert told.hint == "keep one of the two"
    second, third = found(connector("a"), connector("b"), connector("c"))
    assert [(f.address.key, f.summary[-22:]) for f in (second, third) if f.address] == [
        ("b", 'inbound_connector["a"]'),
        ("c", 'inbound_connector["a"]'),
    ]
    assert {second.hint, third.hint} == {
        'keep only one of inbound_connector["a"], inbound_connector["b"], inbound_connector["c"]'
    }


@pytest.mark.parametrize(
    ("absent", "contradicts"),
    [("hq", True), ("HQ", True), ("other", False)],
)
def test_what_is_declared_cannot_be_absent(absent: str, contradicts: bool) -> None:
    told = found(connector("hq"), absent={Address("inbound_connector", absent): None})
    assert [(f.rule, f.summary, f.location) for f in told] == (
        [("ABSENT-DECLARED", 'inbound_connector["hq"] is declared, and listed under absent', AT)] if contradicts else []
    )
    assert found(connector("hq"), absent={Address("smtp_auth", "hq"): None}) == []


REFUSED = {CLIENT_SUBMISSION: "no mailbox", SMTP_RELAY: "no address", DIRECT_SEND: "not the organization's own"}


@pytest.mark.parametrize(("method", "named"), [("auto", list(REFUSED)), (SMTP_RELAY, [SMTP_RELAY])])
def test_a_device_without_a_method_is_told_what_is_in_the_way(method: str, named: list[str]) -> None:
    choices = {"mfp": Choice(None, "none", (), REFUSED, advice=("do a", "do b")), "ok": Choice(SMTP_RELAY, "", (), {})}
    devices = {"mfp": device("mfp", method=method), "ok": device("ok")}
    (told,) = found(devices=devices, choices=choices)
    why = "; ".join(f"{NAMES[m]}: {REFUSED[m]}" for m in named)
    assert told.summary == f"device/mfp: no sending method works ({why})"
    assert (told.rule, told.blocks, told.hint) == ("DEVICE-NO-METHOD", "input", "do a; or do b")
    assert told.location == devices["mfp"].location


ELSEWHERE, BARE = frozenset({"52.202.8.99/32"}), frozenset[str]()


@pytest.mark.parametrize(
    ("partners", "advised"),
    [
        ([], True),
        ([(ELSEWHERE, True)], False),  # 550 5.7.51
        ([(ELSEWHERE, True), (BARE, False)], False),  # no source says which of the two decides
        ([(ELSEWHERE, False)], True),
    ],
)
def test_direct_send_is_advised_where_no_connector_may_refuse_it(
    partners: list[tuple[frozenset[str], bool]], advised: bool
) -> None:
    direct, other = f"{NAMES[DIRECT_SEND]} would do: leave the method out", "do b"
    none = Choice(None, "none", (), REFUSED, advice=(direct, other))
    mfp = device("mfp", recipients="organization", method=CLIENT_SUBMISSION, sender_ip_addresses=NET)
    connectors = [
        connector(f"c{n}", networks, sender_domains=frozenset({"*"}), type="partner", enabled=True, require_tls=False,
                  restrict_domains_to_ip_addresses=restricts)
        for n, (networks, restricts) in enumerate(partners)
    ]  # fmt: skip
    (told,) = (f for f in found(*connectors, devices={"mfp": mfp}, choices={"mfp": none}) if f.rule == NO_METHOD)
    assert told.hint == ("; or ".join([direct, other]) if advised else other)


def test_a_weakness_is_told_once_with_its_devices() -> None:
    weak = Choice(DIRECT_SEND, "none", (), {}, ("forged mail looks the same",), ("give it an address",))
    both = Choice(SMTP_RELAY, "none", (), {}, ("shared address", "forged mail looks the same"), ("other advice",))
    devices = {name: device(name) for name in ("a", "bb")}
    first, second = found(devices=devices, choices={"a": weak, "bb": both})
    assert first.summary == "device/a, device/bb: forged mail looks the same"
    assert (first.rule, first.severity, first.blocks) == ("DEVICE-RISK", Severity.WARNING, "")
    assert (first.hint, first.location) == ("give it an address", devices["a"].location)
    assert second.summary == "device/bb: shared address"
    assert (second.hint, second.location) == ("other advice", devices["bb"].location)
