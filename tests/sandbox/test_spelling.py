"""A domain in Unicode and in A-labels is one domain: to mail, to lookups, to DNS and to DKIM."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.sandbox import mail_directory, mail_rules
from provisioner.sandbox.cmdlets import run_cmdlet
from provisioner.sandbox.mail_rules import Source
from provisioner.sandbox.public_dns import mx_hosts
from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.spelling import folded
from provisioner.sandbox.tenant import Tenant
from tests.engine.lifecycle.port import ADMINISTRATOR

SPELLINGS = ("bücher.example", "xn--bcher-kva.example")


def tenant(stored: str) -> Tenant:
    found = Tenant()
    objects: dict[str, Any] = {
        "AcceptedDomain": [{"DomainName": stored}],
        "InboundConnector": [{"Name": "c", "ConnectorType": "OnPremises", "SenderIPAddresses": ["52.202.8.242"],
                              "AssociatedAcceptedDomains": [stored], "SenderDomains": ["smtp:*;1"]}],
    }  # fmt: skip
    found.merge(load_seed({"sandbox": 1, "mailboxes": [f"info@{stored}"], "objects": objects}))
    return found


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("Info@Bücher.example", "info@xn--bcher-kva.example"),
        ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
        ("Contoso.COM", "contoso.com"),
        ("Jörg Müller", "jörg müller"),
        ("Ü. Köhler", "ü. köhler"),
        ("x@.ü", "x@.ü"),
    ],
)
def test_names_have_one_form(name: str, form: str) -> None:
    assert folded(name) == folded(folded(name)) == form


@pytest.mark.parametrize("asked", SPELLINGS)
@pytest.mark.parametrize("stored", SPELLINGS)
def test_one_domain_in_two_spellings_is_one(stored: str, asked: str) -> None:
    there = tenant(stored)
    assert mail_directory.accepted(there, asked) is not None
    assert mail_directory.owner_of(there, f"info@{asked}") is not None
    assert mail_rules.relay_connector(there, Source("52.202.8.242"), f"scan@{asked}") is not None
    run_cmdlet(there, ADMINISTRATOR, "Set-AcceptedDomain", {"Identity": asked, "OutboundOnly": True})
    rows = [row for row in there.rows("AcceptedDomain") if not row["InitialDomain"]]
    assert [(row["DomainName"], row["OutboundOnly"]) for row in rows] == [(stored, True)], "stored as it was"


@pytest.mark.parametrize("stored", SPELLINGS)
def test_names_of_hosts_are_made_of_a_labels(stored: str) -> None:
    there = tenant(stored)
    assert all(host.isascii() for host in mx_hosts(there))
    run_cmdlet(there, ADMINISTRATOR, "New-DkimSigningConfig", {"DomainName": stored, "Enabled": False})
    assert there.rows("DkimSigningConfig")[-1]["Selector1CNAME"].isascii()
