"""What devices may reach in a day and in an hour, against the limits of an outbound spam policy."""

from __future__ import annotations

import pytest

from provisioner.mailflow.outbound_policies import Holding
from provisioner.model.devices import Device
from provisioner.resources.rows.outbound_spam import Limits
from provisioner.rules.outbound_limit import _exceeded


def device(to: str = "anyone", *, day: int = 5_000, minute: int = 30) -> Device:
    box = "erp@contoso.com"
    return Device("erp", box, to, "1.2", frozenset({"basic"}), box, messages_per_day=day, messages_per_minute=minute)


@pytest.mark.parametrize(
    ("devices", "limits", "words"),
    [
        ([device()], Limits(10_000, 1_800, 1_800, True), ""),
        ([device()], Limits(10_000, 1_799, 0, True), "1,800 external recipients an hour"),
        ([device("organization")], Limits(10_000, 1, 1_799, True), "1,800 internal recipients an hour"),
        ([device()], Limits(10_000, 1, 1, False), ""),
        # In an hour no more than in a day.
        ([device(day=10)], Limits(10, 10, 10, True), ""),
        ([device(day=10)], Limits(10, 9, 10, True), "10 external recipients an"),
        # All devices of a mailbox share the day.
        ([device(), device()], Limits(9_999, 0, 0, True), "10,000 recipients a day"),
        ([device(), device()], Limits(10_000, 0, 0, True), ""),
    ],
)
def test_a_limit_that_devices_may_pass_is_told(devices: list[Device], limits: Limits, words: str) -> None:
    found = _exceeded(Holding("Default", "", limits), devices)
    assert words in found
    assert bool(found) is bool(words)
