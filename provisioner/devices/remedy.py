"""What fixes the refusal that a device of the plan met: to apply what the plan has, or what to write into it. Pure.

The cause of a refusal says what is wrong, the plan says what the device could do instead. Every entry that is proposed
is one that the plan, once it is written, expands to what the device needs; whether it does is tested by applying it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.devices.choice import NAMES, choose, facts_of, without_password
from provisioner.devices.expansion import expand, worked_out_for
from provisioner.model import Address, Desired, Resource, yaml_text
from provisioner.model.devices import CLIENT_SUBMISSION, DIRECT_SEND, HIGH_VOLUME_EMAIL, SMTP_RELAY, Choice, Device
from provisioner.resources.canonical import sender_network
from provisioner.resources.organization import Organization

_NO_PASSWORDS = frozenset({
    "security-defaults", "basic-auth-off", "basic-auth-retired", "conditional-access",
    "auth-not-allowed-by-organization",
})  # fmt: skip
_BY_ADDRESS = frozenset({"relay-denied", "attribution-failed", "partner-connector-restricted"})
_IN_THE_PLAN = _BY_ADDRESS | {
    "smtp-auth-off-tenant", "smtp-auth-off-mailbox", "smtp-auth-off", "login-refused", "send-as-denied",
    "direct-send-rejected", "unregistered-domain", "tls-too-old",
}  # fmt: skip
_PRECONDITIONS = frozenset({"domain", "mailbox"})


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, and the part of the plan to write where there is one. It goes into the entries that are there.

    `then` is the plan with it, and with what its devices take then: whether that does is for the tenant to say.
    """

    sentence: str
    plan: str = ""
    then: Desired | None = field(default=None, repr=False, compare=False)


def remedy(
    device: Device,
    desired: Desired,
    cause: str,
    *,
    seen_ip: str = "",
    lacking: Sequence[Address] = (),
    idle: Mapping[Address, str] | None = None,
) -> Remedy | None:
    """What fixes a cause (an id of docs/causes.md) for a device; None where the cause's own words are all there is.

    `seen_ip` is the address that the server saw, `lacking` are the device's resources that the tenant does not have as
    the plan declares them, `idle` says about those that exist and have no effect why.
    """
    account = Address("hve_account", device.account)
    if _choice(device, desired).method == HIGH_VOLUME_EMAIL:
        return _of_account(account, device, desired, cause, lacking, (idle or {}).get(account, ""))
    if cause in _IN_THE_PLAN and lacking:
        # An apply refuses before anything is done where these are not met.
        first = [a for a in lacking if a.type in _PRECONDITIONS]
        what = ", ".join(a.short for a in first or lacking)
        if first:
            return Remedy(f"the tenant lacks what no plan can create ({what}): provisioner plan says what to do")
        return Remedy(f"declared in the plan and not applied yet: {what}; run provisioner apply", then=desired)
    if cause in _NO_PASSWORDS:
        return _without_password(device, desired)
    if cause == "direct-send-rejected" and device.method != SMTP_RELAY:
        return _through_a_connector(device, desired)
    if cause == "relay-denied" and _sends_direct(device, desired):
        return _to_anyone(device, desired, NAMES[DIRECT_SEND])
    if cause in _BY_ADDRESS or cause == "direct-send-rejected":
        return _address(device, desired, seen_ip)
    if cause.startswith("smtp-auth-off"):
        return Remedy("the tenant has it as the plan declares; a change takes up to an hour until it is in force")
    return None


def _choice(device: Device, desired: Desired) -> Choice:
    return choose(device, facts_of(device, desired))


def _of_account(
    account: Address, device: Device, desired: Desired, cause: str, lacking: Sequence[Address], idle: str
) -> Remedy | None:
    """What fixes a refusal at the host of High Volume Email. What an account lacks comes before what the text says."""
    if account in lacking:
        return Remedy(f"declared in the plan and not applied yet: {account.short}; run provisioner apply")
    if idle:
        return Remedy(f"{account.short}: {idle}; the plan assigns a policy by billing_policy under hve_accounts")
    if cause == "hve-app-not-allowed":
        known = device.application or device.client_id
        sentence = "allow its application" + ("" if known else ": its client id, as CLIENT-ID here")
        proposed = {"hve_accounts": {account.key: {"applications": [known or "CLIENT-ID"]}}}
        return Remedy(sentence, yaml_text.write(proposed))
    if cause == "hve-external-recipient":
        return _to_anyone(device, desired, NAMES[HIGH_VOLUME_EMAIL])
    return _without_password(device, desired) if cause in _NO_PASSWORDS else None


def _without_password(device: Device, desired: Desired) -> Remedy:
    """The way that is left when passwords are refused."""
    able = without_password(device)
    choice = choose(able, facts_of(able, desired))
    if choice.method is None:
        return Remedy("; or ".join(["it can send in no other way as it is declared", *choice.advice]))
    if choice.method == CLIENT_SUBMISSION:
        then = dataclasses.replace(device, authentication=able.authentication)
        proposed = _device(device, supports={"authentication": ["oauth"]})
        return Remedy("let it sign in with OAuth", proposed, _with(desired, then))
    return _another_method(device, desired, choice)


def _sends_direct(device: Device, desired: Desired) -> bool:
    return _choice(device, desired).method == DIRECT_SEND


def _to_anyone(device: Device, desired: Desired, method: str) -> Remedy:
    """Mail that was to leave the organization by a method that reaches nobody outside."""
    able = dataclasses.replace(device, method="auto", recipients="anyone")
    choice = choose(able, facts_of(able, desired))
    if choice.method is None:
        why = f"{method} reaches the organization's own recipients only, and it can send in no other way"
        return Remedy("; or ".join([why, *choice.advice]))
    sentence = f"{method} reaches the organization's own recipients only; {NAMES[choice.method]} reaches anyone"
    then = dataclasses.replace(device, recipients="anyone", method=choice.method)
    return Remedy(sentence, _device(device, recipients="anyone", method=choice.method), _with(desired, then))


def _another_method(device: Device, desired: Desired, choice: Choice) -> Remedy:
    assert choice.method is not None  # noqa: S101 - asked by anyone who calls
    sentence = f"send by {NAMES[choice.method]}: {'; '.join(choice.reasons)}"
    then = _with(desired, dataclasses.replace(device, method=choice.method))
    return Remedy(sentence, _device(device, method=choice.method), then)


def _through_a_connector(device: Device, desired: Desired) -> Remedy:
    """Direct send that is rejected: what a connector names is none any more."""
    able = dataclasses.replace(device, method=SMTP_RELAY)
    choice = choose(able, facts_of(able, desired))
    if choice.method is not None:
        why = "a connector that names where it comes from makes it more than direct send"
        return Remedy(why, _device(device, method=choice.method), _with(desired, able))
    sentence = (
        "let the organization take direct send again. Better, since that is for anybody who writes in its name: a "
        "fixed address or a certificate, so that a connector can tell the device"
    )
    proposed = yaml_text.write({"organization": {"reject_direct_send": False}})
    address = Address("organization", "settings")
    declared = desired.resources.get(address)
    written = dataclasses.replace(declared.spec if declared else Organization(address.key), reject_direct_send=False)
    resource = Resource(address, written, declared.location if declared else None)
    return Remedy(
        sentence, proposed, _expanded(dataclasses.replace(desired, resources={**desired.resources, address: resource}))
    )


def _address(device: Device, desired: Desired, seen_ip: str) -> Remedy | None:
    """Mail from an address that the plan does not name."""
    known = facts_of(device, desired).sources
    if not seen_ip or ":" in seen_ip or not known or _holds(known, seen_ip):
        return None
    listed = sorted([*(n.removesuffix("/32") for n in known), seen_ip])
    sentence = f"its mail comes from {seen_ip}, which the plan does not name for it; if that address is yours alone"
    networks = known | {sender_network(seen_ip)}
    if device.site is not None:
        site = dataclasses.replace(desired.sites[device.site], egress_ip_addresses=networks)
        then = _expanded(dataclasses.replace(desired, sites={**desired.sites, device.site: site}))
        return Remedy(sentence, yaml_text.write({"sites": {device.site: {"egress_ip_addresses": listed}}}), then)
    then = _with(desired, dataclasses.replace(device, sender_ip_addresses=networks))
    return Remedy(sentence, _device(device, sender_ip_addresses=listed), then)


def _with(desired: Desired, device: Device) -> Desired:
    """The plan with another description of a device."""
    return _expanded(dataclasses.replace(desired, devices={**desired.devices, device.name: device}))


def _expanded(desired: Desired) -> Desired:
    """The plan with what its devices take now, and without what was worked out for them before."""
    own = {a: r for a, r in desired.resources.items() if worked_out_for(r, desired) is None}
    return expand(dataclasses.replace(desired, resources=own))[0]


def _holds(networks: Iterable[str], ip: str) -> bool:
    return any(ipaddress.ip_address(ip) in ipaddress.ip_network(n) for n in networks)


def _device(device: Device, **fields: object) -> str:
    """The part of a plan that gives a device these fields."""
    return yaml_text.write({"devices": {device.name: fields}})
