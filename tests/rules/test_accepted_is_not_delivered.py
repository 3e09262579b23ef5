"""Addresses that no connector may name, wildcard certificates, and the limit of a tenant."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from provisioner import rules
from provisioner.model import Desired, Finding
from provisioner.plan import document
from provisioner.resources import TYPES
from tests.cli.shop import HEADER

SITE = "sites: {{ pool: {{ egress_ip_addresses: [52.202.8.0/28]{more} }} }}\n"
RELAY = "inbound_connectors: { pool: { type: on_premises, sender_ip_addresses: [52.202.8.5], require_tls: false } }\n"
DEVICE = (
    "devices: {{ fax: {{ site: pool, from: fax@contoso.com, recipients: {to}, "
    'supports: {{ tls: "1.2", authentication: [{how}] }}{more} }} }}\n'
)


def loaded(tmp_path: Path, plan: str) -> Desired:
    path = tmp_path / "plan.yaml"
    path.write_text(HEADER + "owner: mail/prod\n" + plan)
    return document.load(path, TYPES, today=dt.date(2026, 11, 23))[0]


def told(tmp_path: Path, plan: str, rule: str) -> list[Finding]:
    return [f for f in rules.lint(loaded(tmp_path, plan)) if f.rule == rule]


@pytest.mark.parametrize(
    ("more", "words"),
    [("", ""), (", address: fixed", ""), (", address: shared", "others send from"),
     (", shared: true", "others send from"), (", address: changing", "are not the same tomorrow")],
)  # fmt: skip
def test_a_connector_that_names_addresses_of_a_loose_site_is_told(tmp_path: Path, more: str, words: str) -> None:
    found = told(tmp_path, SITE.format(more=more) + RELAY, "CONNECTOR-SHARED-ADDRESS")
    assert [words in f.summary for f in found] == ([True] if words else [])


@pytest.mark.parametrize("address", ["shared", "changing"])
def test_no_connector_is_made_for_a_loose_site(tmp_path: Path, address: str) -> None:
    site = SITE.format(more=f", address: {address}")
    desired = loaded(tmp_path, site + DEVICE.format(to="anyone", how="basic", more=""))
    assert desired.choices["fax"].method == "client_submission"
    assert "inbound_connector" not in {a.type for a in desired.resources}
    fixed = loaded(tmp_path, SITE.format(more="") + DEVICE.format(to="anyone", how="basic", more=""))
    assert fixed.choices["fax"].method == "smtp_relay"


def test_a_wildcard_certificate_is_told_on_connectors_of_own_systems_only(tmp_path: Path) -> None:
    connector = (
        "inbound_connectors: {{ relay: {{ type: {kind}, tls_sender_certificate_name: {name}, require_tls: true }} }}\n"
    )
    for kind, name, count in (("on_premises", '"*.contoso.com"', 1), ("on_premises", "relay.contoso.com", 0),
                              ("partner", '"*.contoso.com"', 0)):  # fmt: skip
        assert len(told(tmp_path, connector.format(kind=kind, name=name), "CERTIFICATE-WILDCARD")) == count


@pytest.mark.parametrize(
    ("volume", "to", "licences"),
    [(10_000, "anyone", ""), (22_059, "anyone", "100 licences"), (72_446, "anyone", "1,000 licences"),
     (72_446, "organization", "")],
)  # fmt: skip
def test_the_devices_are_counted_against_the_limit_of_the_tenant(
    tmp_path: Path, volume: int, to: str, licences: str
) -> None:
    plan = SITE.format(more="") + DEVICE.format(to=to, how="", more=f", messages_per_day: {volume}")
    found = told(tmp_path, plan, "TENANT-EXTERNAL-LIMIT")
    assert [licences in f.summary for f in found] == ([True] if licences else [])
