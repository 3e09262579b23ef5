"""A change set that has something of everything that the document can hold, for the tests of this folder."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

from provisioner.changes import planning
from provisioner.diagnostics import Location, Severity
from provisioner.model import (
    Absent,
    Address,
    Answer,
    ChangeSet,
    Drift,
    Finding,
    Observation,
    Observed,
    Present,
    Unknown,
    Waiver,
)
from provisioner.plan import document
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

PLAN = """
provisioner: 1
tenant: contoso.onmicrosoft.com
owner: us/prod
variables:
  hq: { type: string, default: 93.184.216.10, description: the egress address of the head office }
protect: [smtp_auth/a*]
ignore: [inbound_connector/hybrid*]
absent: [inbound_connector/old]
allow:
  - { rule: SMTP-TENANT-WIDE, reason: agreed, until: 2027-01-31 }
sites:
  hq: { egress_ip_addresses: [var:hq] }
devices:
  scanner:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
    method: smtp_relay
  scanner-2:
    site: hq
    from: scanner@contoso.com
    recipients: anyone
    supports: { tls: "1.2", authentication: [] }
    method: smtp_relay
dkim:
  contoso.com: { enabled: true, key_size: 2048 }
domains:
  contoso.com: { verified: true }
smtp_auth:
  organization: enabled
  exclusive: true
  mailboxes:
    erp@contoso.com: enabled
    fax@contoso.com: disabled
    dark@contoso.com: enabled
"""


def change_set(folder: Path) -> ChangeSet:
    """Planned from `PLAN`, a tenant that differs from it in every way, and facts of others."""
    (folder / "plan.yaml").write_text(PLAN, encoding="utf-8")
    allowed = Waiver("IP-PRIVATE", reason="a test")
    desired, _ = document.load(folder / "plan.yaml", TYPES, today=datetime.date(2026, 11, 23), waivers=(allowed,))
    dark, lost = Address("smtp_auth", "dark@contoso.com"), Address("smtp_auth", "lost@contoso.com")
    seen: dict[Address, Observation] = {
        **dict.fromkeys(desired.resources, Absent()),
        Address("smtp_auth", "organization"): Present(SmtpAuth("organization", "disabled")),
        Address("smtp_auth", "erp@contoso.com"): Present(SmtpAuth("erp@contoso.com", "inherit")),
        Address("smtp_auth", "fax@contoso.com"): Present(SmtpAuth("fax@contoso.com", "disabled")),
        Address("domain", "contoso.com"): Present(Domain("contoso.com", verified=False)),
        Address("dkim", "contoso.com"): Present(Dkim("contoso.com", enabled=False, key_size=1024)),
        dark: Unknown("half an answer", "malformed"),
        Address("inbound_connector", "old"): Present(InboundConnector("old", type="partner", enabled=True, comment="")),
    }
    undeclared = {
        Address("smtp_auth", "b@contoso.com"): SmtpAuth("b@contoso.com", "enabled"),
        Address("smtp_auth", "a@contoso.com"): SmtpAuth("a@contoso.com", "enabled"),
        Address("inbound_connector", "hybrid-1"): InboundConnector("hybrid-1", type="on_premises", comment=""),
    }
    evidence: dict[str, Answer | Unknown] = {
        "Get-X": Answer(({"Name": "x"},)),
        "Get-Y": Unknown("forbidden", "permission"),
    }
    observed = Observed(seen, undeclared, {"send_as": Unknown("throttled", "throttled")}, 9, evidence, {"mailbox": 3})
    told = Finding(
        "SPF-IP-MISSING",
        Severity.WARNING,
        "contoso.com: 93.184.216.10 is not in the SPF record",
        "publish it",
        Address("domain", "contoso.com"),
        location=Location("plan.yaml", 3, 5),
    )
    found = planning.plan(
        desired,
        observed,
        TYPES,
        waivers=(allowed,),
        tenant_id="1234",
        created="2026-11-23T10:00:00Z",
        transport="rest",
        told=(told, replace(told, address=None, location=None)),
    )
    drift = (
        Drift(lost, {"smtp_auth": "enabled"}, {"smtp_auth": "disabled"}, "run-1"),
        Drift(Address("inbound_connector", "gone"), {"comment": "x", "type": "partner"}, None, "run-2"),
    )
    left = (Address("inbound_connector", "left"),)
    return replace(found, drift=drift, left=left, commit="abc123 (modified)", expires="2026-11-24T10:00:00Z")
