"""The attempts to send that a device makes, for `mailflow` to decide about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from provisioner.mailflow.attempt import Attempt
from provisioner.model import Desired
from provisioner.model.devices import CLIENT_SUBMISSION, HIGH_VOLUME_EMAIL, NOT_SMTP_HERE, Choice, Device


def attempts(device: Device, desired: Desired, choice: Choice | None = None) -> Sequence[Attempt]:
    """One message of a device by the method that was chosen for it; at the MX endpoint where none was.

    Nothing for a device that hands no mail to Exchange over SMTP itself.
    """
    chosen = choice or desired.choices.get(device.name)
    if chosen is not None and chosen.method == CLIENT_SUBMISSION:
        own = signing_in(device, chosen.authentication)
        return [dataclasses.replace(own, sender=sender) for sender in device.addresses]
    if chosen is not None and chosen.method == HIGH_VOLUME_EMAIL:
        own = signing_in(device, chosen.authentication)
        return [dataclasses.replace(own, mailbox=device.account, hve=True)]
    if chosen is not None and chosen.method in NOT_SMTP_HERE:
        return []
    return at_mx(device, desired)


def signing_in(device: Device, authentication: str) -> Attempt:
    """A message of a device that signs in."""
    return Attempt(
        device.sender,
        device.recipients == "anyone",
        authentication=authentication,
        mailbox=device.mailbox,
        application=signs_in_as_application(device, authentication),
        client_id=device.client_id if authentication == "oauth" else "",
        recipients=device.recipients_per_message,
        legacy_tls=device.legacy_tls,
    )


def signs_in_as_application(device: Device, authentication: str) -> bool | None:
    """Whether an application signs in and not a person; None where the plan does not say, and with a password."""
    return {"application": True, "user": False}.get(device.oauth) if authentication == "oauth" else None


def at_mx(device: Device, desired: Desired) -> Sequence[Attempt]:
    """Mail of a device at the MX endpoint: for each domain one attempt a network, and one where none is known."""
    site = desired.sites.get(device.site or "")
    networks = site.fixed if site else device.sender_ip_addresses
    certificate = device.certificate if device.modern_tls else ""
    return [
        Attempt(sender, device.recipients == "anyone", network, certificate, device.tls != "none")
        for sender in _one_a_domain(device)
        for network in sorted(networks) or ("",)
    ]


def _one_a_domain(device: Device) -> Iterable[str]:
    """From addresses of which each stands for those of its domain: at the MX endpoint nothing else of them counts."""
    return {sender.rpartition("@")[2]: sender for sender in reversed(device.senders)}.values()
