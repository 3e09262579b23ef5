"""What a device has to be set to, as values: for the settings sheet, and for anyone who speaks in its place."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from provisioner.devices.choice import NAMES, choose, facts_of
from provisioner.diagnostics import Diagnostic, InputError
from provisioner.model import Desired
from provisioner.model.clouds import Cloud
from provisioner.model.devices import (
    CLIENT_SUBMISSION,
    HIGH_VOLUME_EMAIL,
    LEGACY_TLS,
    NOT_SMTP_HERE,
    SIGNING_IN,
    Choice,
    Device,
)


@dataclass(frozen=True, slots=True)
class Way:
    """How a device sends.

    `host` is None where it is the MX of the sender's domain, which has to be looked up, and "" where the tenant's cloud
    has none for the method. `starttls` is false where the device speaks no TLS that Exchange takes; `tls` is the newest
    version that it speaks, "none" for none. `user` is "" without a sign-in. `source_addresses` are canonical networks.
    `sender` is one of its From addresses; for a device that sends as any, an address that every domain has (RFC 5321,
    4.5.1).
    """

    method: str
    host: str | None
    port: int
    starttls: bool
    authentication: str
    user: str
    sender: str
    source_addresses: tuple[str, ...]
    tls: str = "1.3"

    @property
    def legacy_tls(self) -> bool:
        """Whether it signs in over TLS 1.0 or 1.1, at the host for these."""
        return bool(self.user) and self.tls in LEGACY_TLS

    @property
    def not_offered(self) -> str:
        """What is said where the tenant's cloud has no host for it."""
        over = f" over TLS {self.tls}" if self.legacy_tls else ""
        return f"{NAMES[self.method]}{over} is not offered in the cloud of this tenant"

    @property
    def domain(self) -> str:
        """The domain whose MX takes its mail."""
        return self.sender.rpartition("@")[2]


def device_of(name: str, desired: Desired) -> Device:
    """The declared device of that name. Raises InputError with a suggestion."""
    device = desired.devices.get(name)
    if device is None:
        near = difflib.get_close_matches(name, list(desired.devices), 1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else "declare it under devices, or see: provisioner devices list"
        raise InputError([Diagnostic("DEVICE-UNKNOWN", f'there is no device "{name}" in the plan', hint)])
    return device


def way(device_name: str, desired: Desired, cloud: Cloud) -> Way:
    """How the named device sends, to the hosts of a cloud. Raises InputError without such a device or a method."""
    device = device_of(device_name, desired)
    facts = facts_of(device, desired)
    choice = choose(device, facts)
    if choice.method is None:
        obstacles = "; ".join(f"{m}: {why}" for m, why in choice.refused.items())
        what = f"{device.address}: no sending method works ({obstacles})"
        hint = "; or ".join(choice.advice)
        raise InputError([Diagnostic("DEVICE-NO-METHOD", what, hint, location=device.location)])
    if choice.method in NOT_SMTP_HERE:
        what = f"{device.address} sends by {NAMES[choice.method]}, not over SMTP to Exchange: there is nothing to try"
        hint = f"try device/{device.via}, whose way out counts" if device.via else "provisioner devices show says more"
        raise InputError([Diagnostic("DEVICE-NOT-SMTP", what, hint, location=device.location)])
    return way_of(device, choice, facts.ports, facts.sources, cloud)


def way_of(device: Device, choice: Choice, ports: frozenset[int], sources: frozenset[str], cloud: Cloud) -> Way:
    """The way of a device whose method is settled."""
    submission = cloud.legacy_smtp if device.legacy_tls else cloud.smtp
    hosts = {CLIENT_SUBMISSION: submission, HIGH_VOLUME_EMAIL: cloud.hve}
    users = {CLIENT_SUBMISSION: device.mailbox, HIGH_VOLUME_EMAIL: device.account}
    signs_in = choice.method in SIGNING_IN
    return Way(
        method=choice.method or "",
        host=hosts.get(choice.method or ""),
        port=587 if signs_in and 587 in ports else 25,
        starttls=signs_in or device.modern_tls,
        authentication=choice.authentication,
        user=users.get(choice.method or "", ""),
        sender=next(iter(device.addresses), f"postmaster@{device.domains[0]}"),
        source_addresses=tuple(sorted(sources)),
        tls=device.tls,
    )
