"""Devices that send through another one, a relay server of ours (`via`).

The server's own way out counts for them: its method, limits and rights. So it is taken for what it hands on: all their
From addresses, recipients and amounts are its own too, and everything else about devices need know nothing of this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping

from provisioner.model.devices import Device

Mistake = tuple[Device, str, str, str]
"""A device, and what is wrong with its `via`: id, what, how to fix it."""


def mistakes(devices: Mapping[str, Device], declared: Collection[str]) -> Iterator[Mistake]:
    """What cannot be right in `via`: an unknown server, a circle, mail that leaves through one that stays inside.

    `declared` are the names of all devices, those with mistakes of their own included.
    """
    for device in devices.values():
        hub = devices.get(device.via)
        if hub is None and device.via in ("", *declared):
            continue
        if hub is None:
            what = f'{device.address} sends through "{device.via}", and there is no such device'
            yield device, "VIA-UNKNOWN", what, f"known devices: {', '.join(sorted(declared))}"
        elif device.name in _path(hub, devices):
            yield device, "VIA-CIRCLE", f"{device.address} sends through itself", "let the last server send by itself"
        elif device.recipients == "anyone" and hub.recipients != "anyone":
            what = f"{device.address} mails anyone, and {hub.address}, which it sends through, the organization only"
            yield device, "VIA-RECIPIENTS", what, f"write recipients: anyone for {hub.name}, or organization here"


def carrying(devices: Mapping[str, Device]) -> dict[str, Device]:
    """The same devices; a server has the From addresses and amounts of all that send through it. Without mistakes."""
    through: dict[str, list[Device]] = {}
    for device in devices.values():
        for hub in _path(device, devices)[1:]:
            through.setdefault(hub, []).append(device)
    return {name: _carrying(device, through.get(name, [])) for name, device in devices.items()}


def _carrying(hub: Device, others: list[Device]) -> Device:
    if not others:
        return hub
    senders = dict.fromkeys((*hub.senders, *(sender for other in others for sender in other.senders)))
    patterns = {f"*@{domain}" for domain in hub.domains} & set(hub.senders)
    more = [s for s in senders if s not in hub.senders and f"*@{s.rpartition('@')[2]}" not in patterns]
    return dataclasses.replace(
        hub,
        other_senders=(*hub.other_senders, *more),
        messages_per_day=hub.messages_per_day + sum(o.messages_per_day for o in others),
        messages_per_minute=hub.messages_per_minute + sum(o.messages_per_minute for o in others),
        recipients_per_message=max(hub.recipients_per_message, *(o.recipients_per_message for o in others)),
    )


def _path(device: Device, devices: Mapping[str, Device]) -> list[str]:
    """The names of a device and of those that its mail goes through, each once."""
    found = [device.name]
    while (hub := devices.get(device.via)) is not None and hub.name not in found:
        found.append(hub.name)
        device = hub
    return found
