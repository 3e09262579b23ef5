"""Exports of tenants, ours and real ones: each loads, is planned for and changed, and then nothing is left to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local_tenant import LocalTenant, connected, sandbox
from tests.recordings import recordings

pytestmark = pytest.mark.part(0.5)

NOUNS = {
    "transport_config": "TransportConfig",
    "dkim_config": "DkimSigningConfig",
    "accepted_domains": "AcceptedDomain",
    "inbound_connectors": "InboundConnector",
    "org_config": "OrganizationConfig",
    "remote_domains": "RemoteDomain",
    "conn_filter": "HostedConnectionFilterPolicy",
}


@pytest.mark.parametrize("snapshot", recordings("exchange/snapshots/*.json"))
def test_a_real_tenant_is_seeded_planned_for_and_converges(snapshot: Path, tmp_path: Path) -> None:
    export = json.loads(snapshot.read_text(encoding="utf-8"))
    with sandbox(tmp_path / "state", snapshot, lag=0.05) as tenant:
        _same_rows(tenant, export)
        with connected(tenant.profile(), tmp_path / "plans", tenant.clock) as session:
            untouched = session.plan(_plan(tenant, _as_it_is(tenant)))
            assert not untouched.pending, "a plan of what is there changes nothing"
            session.converge(_plan(tenant, _otherwise(tenant)))


def _same_rows(tenant: LocalTenant, export: dict[str, Any]) -> None:
    """Keys, values and types as in the export."""
    for key, noun in NOUNS.items():
        given = export.get(key) or []
        wanted = [row for row in (given if isinstance(given, list) else [given]) if row]
        live = tenant.rows(noun) if wanted else []
        for row in wanted:
            assert row in live, f"{noun} {row.get('Identity', row.get('Name'))}"
            twin = live[live.index(row)]
            assert {k: type(v) for k, v in twin.items()} == {k: type(v) for k, v in row.items()}


def _plan(tenant: LocalTenant, sections: dict[str, Any]) -> str:
    header = {"provisioner": 1, "tenant": tenant.endpoints["initial_domain"]}
    return yaml.safe_dump({**header, **sections})


def _as_it_is(tenant: LocalTenant) -> dict[str, Any]:
    closed = tenant.rows("TransportConfig")[0]["SmtpClientAuthenticationDisabled"]
    accepted = {r["DomainName"]: r["DomainType"] for r in tenant.rows("AcceptedDomain")}
    types = {"Authoritative": "authoritative", "InternalRelay": "internal_relay"}
    (lists,) = tenant.rows("HostedConnectionFilterPolicy")
    return {
        "connection_filter": {"allow": lists["IPAllowList"], "block": lists["IPBlockList"], "exclusive": True},
        "remote_domains": {
            r["DomainName"]: {
                "auto_forward_enabled": r["AutoForwardEnabled"],
                "tnef": {True: "enabled", False: "disabled", None: "inherit"}[r["TNEFEnabled"]],
                "character_set": r["CharacterSet"] or "",
            }
            for r in tenant.rows("RemoteDomain")
        },
        "transport_config": {"message_expiration": tenant.rows("TransportConfig")[0]["MessageExpiration"]},
        "smtp_auth": {"organization": "disabled" if closed else "enabled"},
        "domains": {name: {"type": types[kind]} for name, kind in accepted.items()},
        "dkim": {
            r["Domain"]: {"enabled": r["Enabled"], "header_canonicalization": r["HeaderCanonicalization"].lower()}
            for r in tenant.rows("DkimSigningConfig")
        },
        "inbound_connectors": {
            r["Name"]: {
                "type": {"OnPremises": "on_premises", "Partner": "partner"}[r["ConnectorType"]],
                "enabled": r["Enabled"],
                "require_tls": r["RequireTls"],
                "sender_ip_addresses": r["SenderIPAddresses"],
                "sender_domains": [d.removeprefix("smtp:").removesuffix(";1") for d in r["SenderDomains"]],
            }
            for r in tenant.rows("InboundConnector")
        },
    }


def _otherwise(tenant: LocalTenant) -> dict[str, Any]:
    """The other word for everything that can have one, and a connector that is new."""
    there = _as_it_is(tenant)
    flip = {"disabled": "enabled", "enabled": "disabled"}
    relay = {"type": "on_premises", "sender_ip_addresses": ["192.0.2.10"], "require_tls": False}
    return {
        "connection_filter": {"allow": ["192.0.2.7"], "block": ["192.0.2.64-192.0.2.127"]},
        "remote_domains": {
            name: {"auto_forward_enabled": not fields["auto_forward_enabled"], "tnef": "enabled", "character_set": ""}
            for name, fields in there["remote_domains"].items()
        },
        "transport_config": {"message_expiration": "18:30", "internal_delay_dsn_enabled": False},
        "outbound_spam_policies": {"Default": {"recipient_limit_per_day": 777, "auto_forwarding_mode": "off"}},
        "transport_rules": {"Devices": {"sender_ip_ranges": ["192.0.2.0/22"], "set_scl": -1}},
        "mailbox_selections": {"rooms": {"type": "room", "smtp_auth": "disabled"}},
        "smtp_auth": {"organization": flip[there["smtp_auth"]["organization"]]},
        "dkim": {name: {"header_canonicalization": "simple", "enabled": False} for name in there["dkim"]},
        "inbound_connectors": {
            **{name: {"enabled": not fields["enabled"]} for name, fields in there["inbound_connectors"].items()},
            "New relay": relay,
        },
    }
