"""What happens after the 250, by method, recipients and domain."""

from __future__ import annotations

import pytest

from provisioner.devices.afterwards import afterwards
from provisioner.model import Address, Desired, Resource
from provisioner.model.devices import Choice, Device
from provisioner.resources.dkim import Dkim

SCAN = Device("scan", "scan@contoso.com", "anyone", "1.2", frozenset(), "", other_senders=("fax@fabrikam.com",))


def told(method: str, recipients: str = "anyone", *, signed: bool = False) -> str:
    device = Device("scan", SCAN.sender, recipients, "1.2", frozenset(), "", other_senders=SCAN.other_senders)
    address = Address("dkim", "contoso.com")
    resources = {address: Resource(address, Dkim("contoso.com", enabled=signed))}
    desired = Desired("contoso.onmicrosoft.com", "", resources)
    return "\n".join(afterwards(device, Choice(method, "none", (), {}), desired))


@pytest.mark.parametrize(
    ("method", "recipients", "has", "lacks"),
    [
        ("smtp_relay", "anyone", ["Junk Email", "5.7.133", "relay pool", "(SRS)", "DMARC of fabrikam.com"], []),
        ("smtp_relay", "organization", ["Junk Email", "5.7.133"], ["relay pool", "(SRS)"]),
        ("direct_send", "organization", ["Junk Email", "5.7.133", "by SPF alone"], ["relay pool"]),
        ("client_submission", "anyone", ["moderated", "DMARC of contoso.com"], ["5.7.133", "Junk Email"]),
        ("high_volume_email", "organization", ["moderated"], ["DMARC", "5.7.133"]),
        ("graph", "anyone", [], ["accepted"]),
    ],
)
def test_what_is_told_depends_on_the_method_and_the_recipients(
    method: str, recipients: str, has: list[str], lacks: list[str]
) -> None:
    said = told(method, recipients)
    assert [words for words in has if words not in said] == []
    assert [words for words in lacks if words in said] == []


def test_alignment_is_told_of_each_domain_by_what_the_plan_signs() -> None:
    lines = told("smtp_relay", signed=True).splitlines()
    assert "DKIM of this domain, which the plan enables" in lines[-2]
    assert "which the plan does not enable for it" in lines[-1]
    assert "which the plan does not enable for it" in told("smtp_relay").splitlines()[-2]
