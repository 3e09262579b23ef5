"""What a reader does on an advice: its words as changes of the plan, of the tenant, of DNS or of permissions.

An advice that no pattern reads is a failure: a new wording is added here, with what a reader would do. `BY_HAND` is
what a person has to judge or to do outside of what a world holds.
"""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from provisioner.model import Address, Observed
from provisioner.plan.export import export
from provisioner.resources import TYPES
from tests.advice.told import Said, Told
from tests.advice.worlds import BRANCH, FREE, SITE, TENANT, Command, World, joined

PAYS = "6f0a3c1e-0000-4000-8000-000000000002"
SECTIONS = {t.name: t.section for t in TYPES}
MAILBOX, DOMAIN = "desk@contoso.com", "contoso.com"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to follow an advice: the world in which it was done, or None for what is done by hand."""

    label: str
    world: World | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """An advice in its place."""

    told: Told
    said: Said
    world: World

    @property
    def address(self) -> Address:
        return Address.parse(self.told.about)

    @property
    def devices(self) -> Sequence[str]:
        """The devices that the words name."""
        return [n for n in self.world.plan.get("devices", {}) if re.search(rf"device/{n}\b", self.told.summary)]

    # --- the plan -----------------------------------------------------------------------------------------------

    def planned(self, plan: Mapping[str, Any]) -> World:
        return replace(self.world, plan=plan)

    def writing(self, more: Mapping[str, Any]) -> World:
        return self.planned(joined(self.world.document_free, more))

    def writing_field(self, name: str, value: Any) -> World:
        return self.writing({SECTIONS[self.address.type]: {self.address.key: {name: value}}})

    def without_field(self, name: str) -> World:
        plan = self.world.document_free
        plan[SECTIONS[self.address.type]][self.address.key].pop(name)
        return self.planned(plan)

    def without(self, address: Address) -> World:
        """The plan without an entry. Fails where the plan has none: then nobody can take it out."""
        plan = self.world.document_free
        section = plan.get("devices" if address.type == "device" else SECTIONS[address.type], {})
        assert isinstance(section, dict)
        if address.type == "smtp_auth":
            section = section if address.key == "organization" else section.get("mailboxes", {})
        if address.type == "authentication_policy_assignment":
            section = section.get("authentication_policy", {}).get("mailboxes", {})
        if address.type == "send_as":
            trustee, _, sender = address.key.partition(" as ")
            assert sender in section.get(trustee, ()), f"{address} is not written in the plan"
            section[trustee].remove(sender)
            return self.planned(plan)
        assert address.key in section, f"{address} is not written in the plan"
        del section[address.key]
        return self.planned(plan)

    def renaming(self, old: str, new: str) -> World:
        """The plan with a name corrected, wherever it stands."""
        text = json.dumps(self.world.document_free)
        assert old in text, f"{old} is not written in the plan"
        return self.planned(json.loads(text.replace(old, new)))

    def of_devices(self, **fields: Any) -> World:
        assert self.devices, f"no device is named: {self.told.summary}"
        return self.writing({"devices": dict.fromkeys(self.devices, fields)})

    def instead(self, **fields: Any) -> World:
        """The devices with other values in place of theirs."""
        plan = self.world.document_free
        assert self.devices, f"no device is named: {self.told.summary}"
        for name in self.devices:
            plan["devices"][name] |= fields
        return self.planned(plan)

    def without_of_devices(self, *fields: str) -> World:
        plan = self.world.document_free
        for name in self.devices:
            for field in fields:
                plan["devices"][name].pop(field, None)
        return self.planned(plan)

    # --- elsewhere ----------------------------------------------------------------------------------------------

    def done(self, *commands: Command) -> World:
        return replace(self.world, done=(*self.world.done, *commands))

    def allowed(self, option: str) -> World:
        return replace(self.world, waivers=(*self.world.waivers, option))

    def granted(self, *names: str) -> World:
        left = self.world.denied - set(names)
        assert left != self.world.denied, f"nothing of {names} is denied"
        return replace(self.world, denied=left)


Follow = Callable[..., Iterator[Way] | Sequence[Way]]


def ways(reading: Reading) -> list[Way]:
    """The ways to follow an advice. Raises AssertionError for one that nobody knows how to follow."""
    for pattern, follow in _PATTERNS:
        match = re.fullmatch(pattern, reading.told.hint)
        if match:
            return list(follow(reading, *match.groups()))
    raise AssertionError(f"nobody can follow: {reading.told.hint!r} ({reading.told.rule}: {reading.told.summary})")


def by_hand(*labels: str) -> Follow:
    return lambda *_: [Way(label) for label in labels]


# --- connectors ------------------------------------------------------------------------------------------------------


def _sections(r: Reading) -> Iterator[Way]:
    yield Way("taken out of absent", r.planned({**r.world.plan, "absent": []}))
    yield Way("no longer declared", r.without(r.address))


def _allowed(r: Reading, option: str) -> Iterator[Way]:
    yield Way(f"--allow {option}", r.allowed(option))


def _field(r: Reading, name: str, value: str, *_: str) -> Iterator[Way]:
    yield Way(f"{name}: {value}", r.writing_field(name, json.loads(value) if value in {"true", "false"} else value))


def _without_senders(r: Reading) -> Iterator[Way]:
    yield Way("an address", r.writing_field("sender_ip_addresses", [SITE]))
    certificate = {"tls_sender_certificate_name": "mail.contoso.com", "require_tls": True}
    yield Way("a certificate", r.writing({"inbound_connectors": {r.address.key: certificate}}))


def _emptied(r: Reading) -> Iterator[Way]:
    yield Way("enabled: false", r.writing_field("enabled", value=False))


def _one_of_two(r: Reading) -> Iterator[Way]:
    if r.told.rule == "IP-COVERED":
        inner, outer = re.findall(r"[\d./]+\d", r.told.summary.partition(": ")[2])[:2]
        for name, gone in (("the wider", inner), ("the narrower", outer)):
            plan = r.world.document_free
            plan["inbound_connectors"][r.address.key]["sender_ip_addresses"].remove(gone)
            yield Way(f"{name} is kept", r.planned(plan))
        return
    other = re.findall(r'\w+\["[^"]+"\]', r.told.summary)[1]
    for address in (r.told.about, other):
        yield Way(f"without {address}", r.without(Address.parse(address)))


def _written_once(r: Reading) -> Iterator[Way]:
    """The text that a list has twice, or has in another spelling, stands there once."""
    twice, *other = re.findall(r'"([^"]+)"', r.told.summary)

    def once(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: once(value) for key, value in node.items()}
        if isinstance(node, list):
            if node.count(twice) > 1 or (twice in node and other and other[0] in node):
                node = [*node]
                node.reverse()
                node.remove(twice)  # the later one
                node.reverse()
            return [once(value) for value in node]
        return node

    yield Way("once", r.planned(once(r.world.document_free)))


def _only_one(r: Reading, made: str | None) -> Iterator[Way]:
    """One of all that have the same scope: each is named by a finding with this advice."""
    told = [t.summary for t in r.said.told if t.hint == r.told.hint]
    same = dict.fromkeys(name for summary in told for name in re.findall(r'\w+\["[^"]+"\]', summary))
    for kept in [made] if made else same:
        world = r.world
        for other in same.keys() - {kept}:
            world = replace(r, world=world).without(Address.parse(other))
        yield Way(f"only {kept}", world)


def _new_account(r: Reading, *_: str) -> Iterator[Way]:
    """The rest of the words is of entries that are taken out, or of addresses that are corrected."""
    account = {"password": "env:HVE_PASSWORD", "billing_policy": PAYS}
    yield Way("an account", r.writing({"hve_accounts": {r.address.key: account}}))


def _real_address(r: Reading, *_: str) -> Iterator[Way]:
    wrong = next(word for word in re.findall(r"[\d./]+\d", r.told.summary.partition(": ")[2]))
    yield Way("the public address", r.renaming(wrong.removesuffix("/32"), BRANCH))


def _networks(r: Reading, count: str) -> Iterator[Way]:
    plan = r.world.document_free
    fields = plan["inbound_connectors"][r.address.key]
    base = ".".join(fields["sender_ip_addresses"][0].split(".")[:2])
    fields["sender_ip_addresses"] = [f"{base}.{n}.0/24" for n in range(int(count))]
    yield Way(f"{count} networks", r.planned(plan))
    yield Way("the addresses", _replaced(r, [BRANCH]))


def _replaced(r: Reading, addresses: list[str]) -> World:
    plan = r.world.document_free
    plan["inbound_connectors"][r.address.key]["sender_ip_addresses"] = addresses
    return r.planned(plan)


def _enable(r: Reading) -> Iterator[Way]:
    yield Way("enabled: true", r.writing_field("enabled", value=True))
    yield Way("enabled: false", r.writing_field("enabled", value=False))


def _owner(r: Reading, option: str) -> Iterator[Way]:
    yield Way(f"--allow {option}", r.allowed(option))
    yield Way("left to its owner", r.without(r.address))


def _wizard(r: Reading, ignored: str) -> Iterator[Way]:
    plan = r.without(r.address).document_free
    yield Way("left to the wizard", r.planned(joined(plan, {"ignore": [ignored]})))


def _unmanaged(
    r: Reading, remove: str | None, section: str, instead: str | None, target: str, ignored: str
) -> Iterator[Way]:
    if remove:
        yield Way("removed", r.done(("Remove-InboundConnector", {"Identity": r.address.key, "Confirm": False})))
    (name,) = shlex.split(target)
    assert Address.parse(name) == r.address
    world = r.world
    for other in re.findall(r'\w+\["[^"]+"\]', instead or ""):
        world = replace(r, world=world).without(Address.parse(other))
    yield Way("adopted", r.planned(joined(world.document_free, _exported(r, section))))
    yield Way("ignored", r.planned(joined(r.world.document_free, {"ignore": [ignored]})))


def _of_another_plan(r: Reading, remove: str | None, ignored: str) -> Iterator[Way]:
    if remove:
        yield Way("removed", r.done(("Remove-InboundConnector", {"Identity": r.address.key, "Confirm": False})))
    yield Way("changed there")
    yield Way("ignored", r.planned(joined(r.world.document_free, {"ignore": [ignored]})))


def _exported(r: Reading, section: str) -> dict[str, Any]:
    """What `provisioner export --target` shows for the object."""
    from ruamel.yaml import YAML

    assert r.said.observed is not None
    spec = r.said.observed.undeclared[r.address]
    text = export(Observed({}, {r.address: spec}), TYPES, TENANT).text
    found: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(text)))
    return {section: found[section]}


def _renamed(r: Reading) -> Iterator[Way]:
    missing = re.findall(r'\w+\["([^"]+)"\]', r.told.summary)[1]
    yield Way("kept under its name", r.renaming(f'"{missing}": {{', f'"{r.address.key}": {{'))
    yield Way("absent", r.planned(joined(r.world.document_free, {"absent": [r.address.short]})))


def _another_name(r: Reading, old: str) -> Iterator[Way]:
    plan = r.without(r.address).document_free
    section = SECTIONS[r.address.type]
    written = {f"{r.address.key} 2": r.world.document_free[section][r.address.key]}
    yield Way("replaced", r.planned(joined(plan, {section: written, "absent": [old]})))


def _unrouted(r: Reading) -> Iterator[Way]:
    (rule,) = re.findall(r'the transport rule "([^"]+)"', r.told.summary)
    freed = {"route_message_outbound_connector": ""}
    yield Way("written in the plan", r.writing({"transport_rules": {rule: freed}}))
    gone = {"Identity": rule, "RouteMessageOutboundConnector": None}
    yield Way("by hand", r.done(("Set-TransportRule", gone)))


def _all_mail(r: Reading) -> Iterator[Way]:
    yield Way("the hosts are sure")
    plan = r.world.document_free
    plan["outbound_connectors"][r.address.key]["recipient_domains"] = ["fabrikam.com"]
    yield Way("only what is meant", r.planned(plan))


# --- names, rights, domains ------------------------------------------------------------------------------------------


def _primary(r: Reading) -> Iterator[Way]:
    first, second = (Address.parse(a) for a in re.findall(r'\w+\["[^"]+"\]', r.told.summary)[:2])
    kept = first if r.told.summary.endswith(f", {first.key}") else second
    yield Way("the primary address", r.without(second if kept == first else first))


def _entry(r: Reading) -> World:
    return r.without(r.address)


def _create(r: Reading, name: str, other: str) -> Iterator[Way]:
    yield Way("created", r.done(("load", {"mailboxes": [name]})))
    yield from _correct(r, other)


def _correct(r: Reading, other: str) -> Iterator[Way]:
    yield Way("name corrected", r.renaming(_name(r), MAILBOX if "@" in _name(r) else DOMAIN))
    yield from _else(r, other)


def _else(r: Reading, other: str) -> Iterator[Way]:
    """What the plan could say instead: no entry, and another address of the devices."""
    world = _entry(r) if "the plan" in other else r.world
    plan = world.document_free
    for device in re.findall(r"device/([\w-]+)", other):
        plan["devices"][device] |= {"from": MAILBOX, **({"mailbox": MAILBOX} if "or mailbox" in other else {})}
    yield Way("corrected in the plan", replace(world, plan=plan))


def _name(r: Reading) -> str:
    trustee, _, sender = r.address.key.partition(" as ")
    return sender if sender and "to send as" in r.told.summary else trustee


def _not_a_mailbox(r: Reading, other: str) -> Iterator[Way]:
    yield Way("a mailbox instead", r.renaming(_name(r), MAILBOX))
    yield from _else(r, other)


def _bulk(r: Reading, other: str) -> Iterator[Way]:
    yield from _else(r, other)


def _group(r: Reading, other: str) -> Iterator[Way]:
    yield from _else(r, other)
    group = r.address.key
    world = r.renaming(group, MAILBOX)
    yield Way("one user's mailbox", replace(world, plan=joined(world.document_free, {"send_as": {MAILBOX: [group]}})))


def _off(r: Reading) -> Iterator[Way]:
    off = {"organization": "disabled", "mailboxes": {MAILBOX: "enabled"}}
    yield Way("one by one", r.writing({"smtp_auth": off}))


def _domain_first(r: Reading, other: str) -> Iterator[Way]:
    name = r.address.key
    rows = {"objects": {"AcceptedDomain": [{"DomainName": name}]},
            "graph": {"domains": [{"id": name, "isVerified": True}]}}  # fmt: skip
    yield Way("domain added", r.done(("load", rows)))
    yield from _else(r, other)


def _needed_domain(r: Reading) -> Iterator[Way]:
    (name,) = re.findall(r"the accepted domain (\S+),", r.told.summary)
    yield Way("domain added", r.done(("load", {"objects": {"AcceptedDomain": [{"DomainName": name}]}})))
    yield Way("name corrected", r.renaming(name, DOMAIN))


def _user(mailbox: str) -> dict[str, Any]:
    """The account of a mailbox as it is once it may sign in and has Exchange Online."""
    plan = {
        "service": "exchange",
        "capabilityStatus": "Enabled",
        "servicePlanId": "efb87545-963c-4e0d-99df-69c6916d9eb0",
    }
    return {"userPrincipalName": mailbox, "accountEnabled": True, "assignedPlans": [plan]}


def _account(r: Reading, other: str) -> Iterator[Way]:
    yield Way("account enabled and licensed", r.done(("load", {"graph": {"users": [_user(r.address.key)]}})))
    yield from _else(r, other)


def _licence(r: Reading) -> Iterator[Way]:
    (mailbox,) = re.findall(r"(\S+@\S+) has no licence", r.told.summary)
    yield Way("licence assigned", r.done(("load", {"graph": {"users": [_user(mailbox)]}})))


def _shared(r: Reading, other: str) -> Iterator[Way]:
    yield Way("a delegate", r.planned(_delegated(r)))
    plan = r.world.document_free
    for device in plan["devices"].values():
        if device.get("mailbox", device["from"]) == r.address.key:
            device["oauth"] = {"sign_in": "application"}
    yield Way("an application", r.planned(plan))
    yield from _else(r, other)


def _delegated(r: Reading) -> dict[str, Any]:
    plan = r.world.document_free
    for device in plan["devices"].values():
        if device.get("mailbox", device["from"]) == r.address.key:
            device["mailbox"] = MAILBOX
    return plan


def _sending(r: Reading, domain: str) -> Iterator[Way]:
    yield Way(
        "sending allowed", r.done(("Set-AcceptedDomain", {"Identity": domain, "SendingFromDomainDisabled": False}))
    )
    yield Way("another domain", r.renaming(f"@{domain}", f"@{DOMAIN}"))


def _key_size(r: Reading, *_: str) -> Iterator[Way]:
    yield Way("key_size left out", r.without_field("key_size"))
    yield Way("rotated by hand")


def _taken_out(r: Reading, *_: str) -> Iterator[Way]:
    yield Way("taken out", _entry(r))


# --- devices ---------------------------------------------------------------------------------------------------------

_PUBLIC = "give it a fixed public IP address of its own (or that of a relay server with one), for SMTP relay"


def _fixed(r: Reading) -> World:
    plan = r.world.document_free
    for name in r.devices:
        device = plan["devices"][name]
        device.pop("site", None)
        if device.get("method", "auto") not in {"auto", "smtp_relay"}:
            device["method"] = "smtp_relay"
        device["sender_ip_addresses"] = [FREE]
    return r.planned(plan)


_CLAUSES: Sequence[tuple[str, Follow]] = (
    (re.escape(_PUBLIC), lambda r: [Way("a fixed address", _fixed(r))]),
    (r"use firmware that signs in with OAuth, with an application and its consent \(see the settings sheet\)",
     lambda r: [Way("OAuth", r.instead(supports={"tls": "1.2", "authentication": ["oauth"]}))]),
    ("give it a site with a fixed address, or a certificate: then it sends by SMTP relay, without a password",
     lambda r: [Way("a site", r.writing({"sites": {"office": {"egress_ip_addresses": [FREE]}},
                                         "devices": {n: {"site": "office"} for n in r.devices}}))]),
    ("High Volume Email needs an entry under hve_accounts: billing_policy, and password to make the account",
     by_hand("an account of its own")),
    ("High Volume Email would do, from an address that is not that of a mailbox: leave the method out, and write the "
     "account under hve_accounts", by_hand("an account of its own")),
    (r"(client submission|SMTP relay|direct send) would do: leave the method out",
     lambda r, _: [Way("without a method", r.without_of_devices("method"))]),
    ("give it a From address in a domain of your own", by_hand("another From address")),
    ("for a service that sends from its own servers: write method: third_party, and set up DKIM there",
     by_hand("a service of others")),
    ("send bulk mail to the outside by Azure Communication Services Email, which is made for it",
     by_hand("another service")),
    (r"High Volume Email would take it \(smtp\.hve\.mx\.microsoft, port 587\): for the organization only, \d+ "
     "recipients a message at most, without a daily limit", by_hand("High Volume Email")),
    ("use High Volume Email, for mail to the organization only", by_hand("High Volume Email")),
    ("use newer firmware with TLS 1.2, or a relay server on the site's network that sends for it",
     by_hand("another device or a relay server")),
    ("open port 25 to Microsoft's MX, or use a relay server at a site where it is open",
     lambda r: [Way("port 25 opened", _opened(r))]),
)  # fmt: skip


def _opened(r: Reading) -> World:
    plan = r.world.document_free
    for thing in (*plan.get("sites", {}).values(), *plan["devices"].values()):
        thing.pop("ports", None)
    return r.planned(plan)


def _advised(r: Reading, text: str) -> Iterator[Way]:
    for clause in text.split("; or "):
        for pattern, follow in _CLAUSES:
            match = re.fullmatch(pattern, clause)
            if match:
                yield from follow(r, *match.groups())
                break
        else:
            raise AssertionError(f"nobody can follow: {clause!r}")


def _direct(r: Reading) -> Iterator[Way]:
    yield Way("a fixed address", _fixed(r))
    yield Way("taken again", r.writing({"organization": {"reject_direct_send": False}}))


def _another_way(r: Reading) -> Iterator[Way]:
    yield Way("another way", _fixed(r))
    plan = r.world.document_free
    for name in r.devices:
        del plan["devices"][name]
    yield Way("gone", r.planned(plan))


def _policy(r: Reading) -> Iterator[Way]:
    name = {"AllowBasicAuthSmtp": True, "Name": "with basic"}
    devices = [r.world.plan["devices"][name] for name in r.devices]
    mailboxes = [d.get("mailbox", d["from"]) for d in devices]
    given = [("Set-User", {"Identity": m, "AuthenticationPolicy": "with basic"}) for m in mailboxes]
    if all(mailboxes):  # an account that is still to be made has no policy yet
        yield Way("another policy", r.done(("load", {"objects": {"AuthenticationPolicy": [name]}}), *given))
    yield Way("OAuth", r.instead(supports={"tls": "1.2", "authentication": ["oauth"]}))


def _declared_policy(r: Reading, name: str) -> Iterator[Way]:
    yield Way("declared", r.writing({"authentication_policies": {name: {}}}))
    yield Way("taken out", r.without(r.address))


def _from_everybody(r: Reading) -> Iterator[Way]:
    given = {"authentication_policy": {"mailboxes": {"desk@contoso.com": "inherit"}}}
    yield Way("inherit", r.writing({"assignments": given}))


def _no_password(r: Reading) -> Iterator[Way]:
    yield Way("OAuth", r.instead(supports={"tls": "1.2", "authentication": ["oauth"]}))
    yield Way("relay", _fixed(r))


def _switched_on(r: Reading) -> Iterator[Way]:
    name = re.findall(r'\w+\["([^"]+)"\]', r.told.summary)[0]
    yield Way("enabled: true", r.writing({"inbound_connectors": {name: {"enabled": True}}}))


def _let_through(r: Reading, connectors: str) -> Iterator[Way]:
    yield Way("a connector", _fixed(r))
    world = _at(r, FREE)
    for name in re.findall(r'\["([^"]+)"\]', connectors):
        world = _admitting(replace(r, world=world), name)
    yield Way("added to the filter", world)


def _admitting(r: Reading, name: str) -> World:
    """A connector that names the address too: in the plan where that declares it, else in the tenant."""
    if name in r.world.plan.get("inbound_connectors", {}):
        return r.writing({"inbound_connectors": {name: {"sender_ip_addresses": [FREE]}}})
    row = next(row for row in r.world.service().tenant.rows("InboundConnector") if row["Name"] == name)
    wider = {"Identity": name, "SenderIPAddresses": [*row["SenderIPAddresses"], FREE]}
    return r.done(("Set-InboundConnector", wider))


def _at(r: Reading, address: str) -> World:
    """The devices with a fixed address."""
    return r.of_devices(sender_ip_addresses=[address])


def _contradiction(r: Reading, methods: str) -> Iterator[Way]:
    device = r.world.plan["devices"][r.told.about.partition("/")[2]]
    mailbox = device.get("mailbox", device["from"])
    yield Way("enabled there", r.writing({"smtp_auth": {"mailboxes": {mailbox: "enabled"}}}))
    for method in re.findall(r"method: (\w+)", methods):
        yield Way(f"method: {method}", r.instead(method=method))


def _clash(r: Reading, changes: str | None) -> Iterator[Way]:
    name = re.findall(r"a connector (\S+), and", r.told.summary)[0]
    yield Way("another name", r.renaming(f'"{name}": {{"type"', f'"{name}-2": {{"type"'))
    fields: dict[str, Any] = {}
    for change in (changes or "").split(" and "):
        if written := re.fullmatch(r"write (\w+): (\S+)", change):
            fields[written[1]] = {"true": True}.get(written[2], written[2])
        if added := re.fullmatch(r"add (.+) to its sender_ip_addresses", change):
            fields["sender_ip_addresses"] = added[1].split(", ")
    if fields:
        yield Way(f"{changes}", r.writing({"inbound_connectors": {name: fields}}))


def _excepted(r: Reading) -> Iterator[Way]:
    rule, sender = re.findall(r'the transport rule "(.+)" \w+ mail of ([^\s:]+)', r.told.summary)[0]
    yield Way("excepted", r.done(("Set-TransportRule", {"Identity": rule, "ExceptIfFrom": [sender]})))
    stops = {"senders": [sender], "stop_rule_processing": True, "before": [rule]}
    yield Way("a rule before it", r.writing({"transport_rules": {"Devices": stops}}))


def _raised(r: Reading) -> Iterator[Way]:
    name = re.findall(r'the outbound spam policy "(.+?)"', r.told.summary)[0]
    limits = {"recipient_limit_per_day": 0, "recipient_limit_external_per_hour": 0}
    yield Way("raised", r.writing({"outbound_spam_policies": {name: limits}}))


def _kept_alias(r: Reading) -> Iterator[Way]:
    yield Way("the alias is kept", r.writing({"organization": {"send_from_alias_enabled": True}}))


def _listed(r: Reading) -> Iterator[Way]:
    boxes = re.findall(r"(\S+@\S+) \(", r.told.summary)
    yield Way("listed", r.writing({"smtp_auth": {"mailboxes": dict.fromkeys(boxes, "inherit")}}))


def _alone(r: Reading) -> Iterator[Way]:
    yield Way("exclusive", r.writing({"connection_filter": {"exclusive": True}}))


def _published(r: Reading, records: str) -> Iterator[Way]:
    zone: dict[str, Any] = {}
    for record in records.removeprefix("publish ").split("; publish "):
        name, type_, value = record.split(" ", 2)
        there = {} if type_ == "CNAME" else copy.deepcopy(r.world.service().tenant.dns.get(name, {}))
        zone[name] = zone.get(name, there) | {type_: [value]}
    yield Way(f"{', '.join(zone)} published", r.done(("dns", zone)))


# --- permissions -----------------------------------------------------------------------------------------------------

_PATHS = {"Policy.Read.All": ("/policies", "/identity"), "User.Read.All": ("/users",)}


def _granted(r: Reading, text: str) -> Iterator[Way]:
    names: list[str] = []
    for clause in text.split("; "):
        cmdlets = re.match(r"give the application a role that may run ([\w, -]+?)(?: \(Global Reader\)|:|$)", clause)
        permission = re.fullmatch(r"grant the application the Graph permission ([\w.]+)", clause)
        assert cmdlets or permission, f"nobody can follow: {clause!r}"
        names += cmdlets[1].split(", ") if cmdlets else _PATHS[permission[1]] if permission else []
    yield Way(f"granted {', '.join(names)}", r.granted(*names))


def _consented(r: Reading, object_id: str, role: str) -> Iterator[Way]:
    app = {"objectId": object_id, "appId": r.address.key, "appRoles": {"https://outlook.office365.com": [role]}}
    yield Way("consent", r.done(("load", {"apps": [app]})))


_DEVICES = r"correct (?:from|from or mailbox) of device/\S+(?:, device/\S+)*"
_ELSE = f"(?:[,;] or ((?:take it out of|correct) the plan(?:, and {_DEVICES})?|{_DEVICES}))"

_PATTERNS: Sequence[tuple[str, Follow]] = (
    (r"remove one of the two", _written_once),
    ("except the sender from the rule, or let a rule before it stop the processing of its mail", _excepted),
    ("raise the limit, or give the mailbox a policy of its own; or let several mailboxes share the mail", _raised),
    (r"write (auto_forward_enabled): (false)", _field),
    (r"leave (sending_\w+) false while the domain is in use", lambda r, name: _field(r, name, "false")),
    (r"where the addresses are your own, declare an inbound connector for them instead", by_hand("a connector")),
    (r"leave it false, unless the domain is of your own organization", by_hand("a domain of our own")),
    (r"make sure that an outbound connector leads to .*", by_hand("the other system")),
    (r"move the devices to TLS 1.2, or let a relay at the site take their mail", by_hand("newer devices")),
    (r"allow forwarding in a policy for single mailboxes only", by_hand("another policy")),
    (r"leave room above what devices and applications send: .*", by_hand("a limit")),
    (r"limit it by sender_ip_ranges, or declare an inbound connector for the addresses", by_hand("addresses")),
    (r"make sure that its hosts deliver this mail", by_hand("the hosts")),
    (r"make sure that no device or application sends this mail", by_hand("the senders")),
    (r"enable the connector, or take it out of the rule", by_hand("the connector")),
    (r"keep it, or write auto_forward_enabled: false for \"\*\"", by_hand("the remote domain")),
    (r"write senders, sender_domains, sender_ip_ranges or recipient_domains", by_hand("a condition")),
    (r"check that each of them should sign in with SMTP AUTH, or narrow the conditions", by_hand("the mailboxes")),
    (r"to set a mailbox apart, list it under smtp_auth", by_hand("a list")),
    (r"correct the conditions, if a mailbox should meet them", by_hand("conditions")),
    (r"narrow the conditions of one of the two, or list the mailboxes under smtp_auth", _listed),
    (r"remove entries that are not needed, write blocks for neighbouring addresses, or exclusive: true", _alone),
    (r"write organization: \{ send_from_alias_enabled: true \}, or give the device a mailbox of its own", _kept_alias),
    (r"write (set_header_\w+) too", lambda r, name: _field(r, name, "yes")),
    ("take it out of one of the two", _sections),
    (r"make sure that this is meant, then --allow (\S+)", _allowed),
    (r"write (require_tls): (true)", _field),
    (r"write (restrict_domains_to_certificate): (true), if others must not send for these domains \(apply then asks "
     r"for --allow \S+\)", _field),
    (r"write (type): (on_premises), if devices are to relay through it", _field),
    ("write sender_ip_addresses or tls_sender_certificate_name", _without_senders),
    ("check that the list is meant to be empty; to end the connector, take it out or write enabled: false", _emptied),
    ("keep one of the two", _one_of_two),
    (r"if it does, write it under another name and list (\S+) under absent: apply deletes the old one once the new one "
     r"is in force", _another_name),
    (r'(?:keep only one of|take) \w+\["[^;]+(?: out of the plan; (\w+\["[^"]+"\]) is needed by device/.+)?', _only_one),
    ("write the public address that (?:the site sends from|the firewall translates to)", _real_address),
    (r"write the addresses that send, or the (\d+) networks of /24 in it if every one of them is yours", _networks),
    ("write enabled: true to switch it on, or enabled: false if that is intended", _enable),
    (r"take it over with --allow (\S+), or leave it to its owner", _owner),
    ("leave it out", lambda r: [Way("left out", r.without_field("treat_messages_as_internal"))]),
    ("make sure that every other system that sends for these domains has a connector of its own",
     by_hand("other systems have a connector")),
    ('change it with the wizard, take it out of the plan, and list "(.+)" under ignore', _wizard),
    (r"(remove it if no system needs it; )?to manage it, write it under its name in (\w+)(?: in place of (.+?))? "
     r"\(provisioner export --target (.+) shows how\); to leave it alone, list \"(.+)\" under ignore", _unmanaged),
    (r'(remove it if no system needs it; )?it belongs to the plan ".+": change it there, or list "(.+)" under ignore',
     _of_another_plan),
    ("to keep it, give it its name in the plan; to delete it, list it under absent", _renamed),
    (r"give the sending system a certificate of its own, such as (\S+), and name that one", by_hand("a certificate")),
    ("let its devices sign in or show a certificate, and take the addresses out of the connector",
     by_hand("another way for the site")),
    (r"let the senders connect over IPv4 only, or turn IPv6 off there, which shows within an hour: Disable-IPv6.+",
     by_hand("IPv4 only")),
    ("compare the licences of the tenant without trials; Azure Communication Services Email is made for bulk mail",
     by_hand("licences are counted")),
    (r"plan again later, and run \S+ yourself if that does not help", by_hand("the service answers again")),
    (r"move them one after another and compare again, unless they send through this tenant already; Azure .+",
     by_hand("the headroom is watched")),
    ("make sure that nothing signs in as it any more, then --allow HVE-ACCOUNT-DELETED", by_hand("it is not used")),
    ("assign a policy that allows SMTP to the mailboxes that still need it first", by_hand("nobody needs it")),
    ("assign it to single mailboxes", by_hand("meant for everybody")),
    ("expect refusals, and passwords that still work, until then", by_hand("waiting")),
    (r"apply what opens alone first \(.+\), wait 24 hours, send a test message, then apply the rest",
     by_hand("two runs")),
    ("declare (.+) under authentication_policies, or correct the name", _declared_policy),
    ("assign them another policy, inherit, or none as the default, under assignments", _from_everybody),
    (r"write billing_policy: and its id \(Get-BillingPolicy -ResourceType HVE lists them\), or assign one in the "
     "Exchange admin center", lambda r: [Way("a billing policy", r.writing_field("billing_policy", PAYS))]),
    (r"write password: env:NAME \(or file:PATH\) and billing_policy: ID for it under hve_accounts, or create it in the "
     f"Exchange admin center{_ELSE}", _new_account),
    (f"choose another address for the account, or take this one from its holder{_ELSE}", by_hand("another address")),
    ("make sure that these hosts deliver mail for every domain, or write the recipient_domains that are meant",
     _all_mail),
    ('write another connector, or "", as route_message_outbound_connector of the rule, or take this one out of the '
     "rule by hand first", _unrouted),
    ("keep one of them, best the one with the primary address", _primary),
    (f'create "(.+)" first, or correct the name{_ELSE}', _create),
    (f'create "(.+)" first{_ELSE}', _create),
    (f"create the recipient first, or correct the name{_ELSE}", _correct),
    (f"correct the name(?:, best to the primary address)?{_ELSE}", _correct),
    (f"a contact cannot sign in: write the address of the mailbox that the device signs in to{_ELSE}", _not_a_mailbox),
    (f"a group cannot sign in: enable the mailbox of one user, and let it send as the group under send_as{_ELSE}",
     _group),
    ("a High Volume Email account is a mail user, and this setting does not hold for it: send to the host of High "
     f"Volume Email without it; otherwise give the user a mailbox{_ELSE}", _bulk),
    (f"add the domain in the Microsoft 365 admin center and verify it{_ELSE}", _domain_first),
    ("add the domain in the Microsoft 365 admin center and verify it, or correct the name", _needed_domain),
    (f"enable the account in Entra ID(?: and assign a licence with an Exchange Online plan)?{_ELSE}", _account),
    ("assign a licence with an Exchange Online plan", _licence),
    ("declare a connector of type on_premises for its address or its certificate(, or write organization: .+)?",
     lambda r, other: [
         Way("a connector", _fixed(r)),
         *([Way("taken again", r.writing({"organization": {"reject_direct_send": False}}))] if other else []),
     ]),
    ("add the domain in the Microsoft 365 admin center and verify it, or send from one that is accepted",
     lambda r: [Way("another From", r.of_devices(**{"from": MAILBOX}))]),
    ("create and license it, or correct mailbox in the device", lambda r: [
        Way("created", r.done(("load", {"mailboxes": [
            r.world.plan["devices"][n].get("mailbox", r.world.plan["devices"][n]["from"]) for n in r.devices]}))),
        Way("corrected", r.instead(mailbox=MAILBOX)),
    ]),
    ("declare it under hve_accounts", lambda r: [Way("declared", r.writing({"hve_accounts": {
        r.world.plan["devices"][n]["from"]: {"password": "env:HVE_PASSWORD", "billing_policy": PAYS}
        for n in r.devices}}))]),
    ("write it under applications of the HVE account, by name or client id", by_hand("the id stands in Entra ID")),
    (f"it is a .+ mailbox, whose account should stay blocked\\. .+{_ELSE}", _shared),
    ("write enabled: true for the connector; where Exchange refuses, ask Microsoft support to enable it", _switched_on),
    ("declare a connector of type on_premises for its address, or add the address to (.+)", _let_through),
    ("write enabled there((?: or write method: \\w+ for the device)*)", _contradiction),
    ("give the declared connector another name(?:, or (.+) there)?", _clash),
    ("leave the organization disabled and enable the mailboxes that need it, one by one", _off),
    ("take it out; the coexistence domain sends no mail", _taken_out),
    ("leave key_size out of the plan, which makes a new domain's keys 2048 bits; .*", _key_size),
    ("take key_size out of the plan, or change the object by hand: provisioner explain CREATE-ONLY", _key_size),
    (r"Set-AcceptedDomain -Identity (\S+) -SendingFromDomainDisabled \$false, or send from another", _sending),
    ("give them a fixed address for SMTP relay, or write organization: { reject_direct_send: false }", _direct),
    ("give it another way first, or take it out of the plan if it is gone", _another_way),
    ("give the user a policy that allows it, or let the device sign in with OAuth", _policy),
    ("OAuth or SMTP relay; it is not a setting of Exchange", _no_password),
    (r"a Cloud Application Administrator consents: .+ -ServicePrincipalId (\S+) .+ -eq '(\S+)'\)\.Id; where .+",
     _consented),
    (r"declare it: applications, or (\w+): \{ (\S+): \{\} \}",
     lambda r, section, key: [Way("registered", r.writing({section: {key: {}}}))]),
    (r"Remove-ServicePrincipal -Identity (\S+), then apply: .+",
     lambda r, key: [Way("registered anew", r.done(("Remove-ServicePrincipal", {"Identity": key})))]),
    (r"once the application gets on without it, .+ -ServicePrincipalId (\S+), then Remove-.+",
     lambda r, key: [Way("limited", r.done(("load", {"apps": [
         {"objectId": key, "appId": r.address.key, "appRoles": {}}]})))]),
    ("declare the application under applications, with the mailbox under send_as", by_hand("it is declared")),
    (r"(?:[^;]+; )??(publish \S+ (?:TXT|MX|CNAME) .+)", _published),
    (r"(give the application a role that may run .+|grant the application .+)", _granted),
    ("((?:use|give it|High Volume|SMTP relay would|direct send would|client submission would|open port 25|"
     "send bulk).*)", _advised),
)  # fmt: skip
