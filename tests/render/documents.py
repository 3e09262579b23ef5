"""Change sets for the renderers: hostile names, every action, findings of every kind."""

from __future__ import annotations

from typing import Any

from provisioner.changes import changeset
from provisioner.diagnostics import Location, Severity
from provisioner.model import Action, Address, Change, ChangeSet, Check, Finding, Unknown
from provisioner.model.document import ChangeSetDocument
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

HOSTILE = [
    "]|`x`",
    '"quoted"',
    "new\nline",
    "<script>alert(1)</script>",
    "\u202eevil",
    "$(rm -rf x)",
    "it's",
    "@everyone #1 [x](http://y)",
    "\x1b[31mred",
    "```\nfence",
    "%0A::error::x",
    "&amp;",
]


def document(changes: int = 0, **rest: Any) -> ChangeSetDocument:
    """Every hostile name created, one connector updated and one destroyed, and so many mailboxes."""
    made = [
        Change(Address("inbound_connector", n), Action.CREATE, None, InboundConnector(n, comment=n)) for n in HOSTILE
    ]
    before = InboundConnector("hq", sender_ip_addresses=frozenset({"192.0.2.1/32", "192.0.2.2/32"}), comment="a")
    after = InboundConnector("hq", sender_ip_addresses=frozenset({"192.0.2.2/32", "192.0.2.3/32"}), comment="b")
    made.append(Change(Address("inbound_connector", "hq"), Action.UPDATE, before, after, reason="it differs"))
    made.append(Change(Address("inbound_connector", "old"), Action.DELETE, before, None, reason="it is absent"))
    made += [
        Change(
            Address("smtp_auth", f"m{i}@x"),
            Action.UPDATE,
            SmtpAuth(f"m{i}@x", "inherit"),
            SmtpAuth(f"m{i}@x", "enabled"),
        )
        for i in range(changes)
    ]
    at = Location("plans/a.yaml", 3, 5)
    findings = [
        Finding("IP-DOCUMENTATION", Severity.WARNING, f"a warning about {HOSTILE[3]}", "fix it", location=at),
        Finding("IP-PRIVATE", Severity.ERROR, f"a guard about {HOSTILE[2]}", blocks="apply", location=at),
        Finding("SMTP-TENANT-WIDE", Severity.ERROR, "a waived guard", blocks="apply", waived="CHG-1", location=at),
    ]
    found = ChangeSet(
        "contoso.onmicrosoft.com",
        "id",
        "us",
        tuple(made),
        tuple(findings),
        (Check(Address("domain", "x.com"), "fail", ("it is not verified",)),),
        **rest,
    )
    return changeset.to_document(found)


def unread() -> ChangeSetDocument:
    return document(unknown={Address("dkim", HOSTILE[3]): Unknown("half <an> answer")}, complete=False)


def empty() -> ChangeSetDocument:
    return changeset.to_document(ChangeSet("contoso.onmicrosoft.com", "id", "", ()))
