"""Undeclared objects: which of them a change set reports, and that a saved one reports the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from provisioner.changes import changeset, planning, scoping, unmanaged, verification
from provisioner.model import Address, ChangeSet, Desired, Observed, Present, Resource, Unmanaged
from provisioner.model.traffic import Traffic
from provisioner.render import html, markdown, text
from provisioner.render.review import Shown
from provisioner.resources import TYPES
from provisioner.resources.dkim import Dkim
from provisioner.resources.domain import Domain
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth

HQ = InboundConnector(
    "hq", type="on_premises", enabled=True, require_tls=True, sender_ip_addresses=frozenset({"198.51.100.9/32"})
)
TEMP = InboundConnector(
    "migration-temp",
    type="on_premises",
    enabled=True,
    require_tls=False,
    sender_domains=frozenset({"*"}),
    sender_ip_addresses=frozenset({"198.51.100.7/32"}),
    owner="",
)
ERP = "erp@contoso.com"


def planned(*undeclared: Any, owner: str = "", scope: scoping.Scope | None = None, **rest: Any) -> ChangeSet:
    """A plan that declares one connector, in a tenant that has it and these objects besides."""
    address = Address("inbound_connector", "hq")
    desired = Desired("contoso.onmicrosoft.com", owner, {address: Resource(address, HQ)}, **rest)
    names = {InboundConnector: "inbound_connector", Dkim: "dkim", SmtpAuth: "smtp_auth"}
    live = {
        Address(names[type(spec)], getattr(spec, "name", "") or getattr(spec, "domain", "") or spec.identity): spec
        for spec in undeclared
    }
    return planning.plan(desired, Observed({address: Present(HQ)}, live), TYPES, scope=scope)


def reported(found: ChangeSet) -> list[str]:
    return [u.address.short for u in found.unmanaged]


def test_an_undeclared_object_is_reported_with_its_effect() -> None:
    found = planned(TEMP)
    assert found.unmanaged == (
        Unmanaged(
            Address("inbound_connector", "migration-temp"),
            "relay to any recipient for 198.51.100.7, TLS not required",
        ),
    )
    assert not found.pending, "a report changes nothing"
    assert not any(f.blocks for f in found.findings)


def test_who_made_an_object_is_told() -> None:
    wizard = replace(TEMP, name="Inbound from 1f0c", source="hybrid_wizard")
    marked = replace(TEMP, name="relay", owner="printers/prod", source="default")
    found = planned(wizard, marked)
    assert [(u.made_by, u.owner) for u in found.unmanaged] == [("hybrid_wizard", ""), ("", "printers/prod")]
    lines = text.render(changeset.to_document(found), Shown(unmanaged=True))
    assert "(made by the Hybrid Configuration Wizard)" in lines
    assert '(made by plan "printers/prod")' in lines


def test_what_a_plan_would_not_say_is_not_reported() -> None:
    silent = (SmtpAuth(ERP, "inherit"), Dkim("contoso.mail.onmicrosoft.com", enabled=False))
    assert reported(planned(*silent)) == []
    assert reported(planned(SmtpAuth(ERP, "disabled"), Dkim("contoso.com"))) == ["dkim/contoso.com", f"smtp_auth/{ERP}"]


def test_what_is_ignored_outside_the_scope_or_changed_is_not_unmanaged() -> None:
    assert reported(planned(TEMP, ignore=("inbound_connector/migration-*",))) == []
    assert reported(planned(TEMP, scope=scoping.Scope(("inbound_connector/hq",)))) == []
    ours = planned(replace(TEMP, owner="us/prod"), owner="us/prod")
    assert [str(c.address) for c in ours.pending] == ['inbound_connector["migration-temp"]']
    assert reported(ours) == []
    exclusive = planned(SmtpAuth(ERP, "enabled"), exclusive=frozenset({"smtp_auth"}))
    assert len(exclusive.pending) == 1
    assert reported(exclusive) == []


def test_a_saved_change_set_reports_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are more objects than are named."""
    monkeypatch.setattr(unmanaged, "_MOST_KEPT", 2)
    overrides = [SmtpAuth(f"m{i}@contoso.com", "disabled") for i in range(5)]
    others = [SmtpAuth(f"n{i}@contoso.com", "inherit") for i in range(3)]
    found = planned(TEMP, *overrides, *others)
    document = json.loads(json.dumps(changeset.to_document(found)))
    assert document["provisioner"]["unmanaged"]["count"] == 6
    assert len(document["provisioner"]["unmanaged"]["objects"]) == 3
    assert document["provisioner"]["basis"]["others"] == {"smtp_auth": 6}
    again = verification.derive(document, TYPES, "change.json")
    assert (again.unmanaged, again.unmanaged_more) == (found.unmanaged, {"smtp_auth": 3})
    assert "and 3 more" in text.render(document, Shown(unmanaged=True))


def test_every_format_counts_them_and_text_lists_them() -> None:
    document = changeset.to_document(planned(TEMP, Dkim("contoso.com")))
    count = (
        "2 objects of the types that this plan manages are not declared in it: provisioner plan --unmanaged lists them"
    )
    assert count in text.render(document)
    assert count in html.render(document)
    assert markdown.escape(count) in markdown.render(document)
    listed = text.render(document, Shown(unmanaged=True))
    assert count not in listed
    assert 'inbound_connector["migration-temp"]: relay to any recipient for 198.51.100.7' in listed
    one = text.render(changeset.to_document(planned(TEMP)))
    assert "1 object of the types that this plan manages is not declared in it" in one
    assert "not declared in it" not in text.render(changeset.to_document(planned()))


@pytest.mark.parametrize("switch", ["inherit", "disabled"])
def test_objects_that_a_plan_may_not_change_do_not_dilute_the_blast_radius(switch: str) -> None:
    """Twelve of twelve is all of it, however many undeclared mailboxes came in the same listing, named or counted."""
    addresses = [Address("smtp_auth", f"m{i}@contoso.com") for i in range(12)]
    desired = Desired("contoso", "", {a: Resource(a, SmtpAuth(a.key, "disabled")) for a in addresses})
    live = {a: Present(SmtpAuth(a.key, "inherit")) for a in addresses}
    others = {Address("smtp_auth", f"n{i}@contoso.com"): SmtpAuth(f"n{i}@contoso.com", switch) for i in range(100)}
    found = planning.plan(desired, Observed(live, others), TYPES)
    assert "BLAST-RADIUS" in [f.rule for f in found.findings]


def test_accepted_domains_are_kept_for_observed_mail_only() -> None:
    address = Address("domain", "contoso.com")
    observed = Observed({}, {address: Domain("contoso.com", True, True)})
    kinds = {kind.name: kind for kind in TYPES}
    desired = Desired("contoso.onmicrosoft.com", "", {})
    assert unmanaged.reduced(observed, desired, kinds).undeclared == {}
    observed_mail = replace(desired, traffic=(Traffic(ERP, network="203.0.113.10/32"),))
    assert set(unmanaged.reduced(observed, observed_mail, kinds).undeclared) == {address}
