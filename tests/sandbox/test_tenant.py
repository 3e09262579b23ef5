"""The tenant's state: lag, indexes, keeping."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.sandbox.seed import load_seed
from provisioner.sandbox.tenant import Row, Tenant


def row(name: str, **values: Any) -> Row:
    return {"Name": name, "Guid": f"guid-{name}", **values}


def names(tenant: Tenant) -> list[str]:
    return [str(r["Name"]) for r in tenant.visible("InboundConnector")]


def test_without_lag_a_write_shows_at_once() -> None:
    tenant = Tenant()
    tenant.add("InboundConnector", row("a"))
    assert names(tenant) == ["a"]
    assert tenant.unseen("InboundConnector") == {}
    assert tenant.dirty


def test_with_lag_a_read_sees_what_was_before_until_it_is_due() -> None:
    tenant = Tenant()
    tenant.add("InboundConnector", row("a", Comment="old"))
    tenant.lag = 30
    first = tenant.rows("InboundConnector")[0]
    tenant.update("InboundConnector", first, {"Comment": "new"})
    tenant.update("InboundConnector", first, {"Comment": "newest"})
    tenant.add("InboundConnector", row("b"))
    assert [(r["Name"], r.get("Comment")) for r in tenant.visible("InboundConnector")] == [("a", "old")]
    assert tenant.rows("InboundConnector")[0]["Comment"] == "newest"
    tenant.clock.advance(31)
    assert [(r["Name"], r.get("Comment")) for r in tenant.visible("InboundConnector")] == [("a", "newest"), ("b", None)]


def test_with_lag_a_removed_row_stays_visible_until_it_is_due() -> None:
    tenant = Tenant()
    tenant.add("InboundConnector", row("a"))
    tenant.lag = 10
    tenant.remove("InboundConnector", tenant.rows("InboundConnector")[0])
    assert tenant.rows("InboundConnector") == []
    assert names(tenant) == ["a"]
    tenant.clock.advance(11)
    assert names(tenant) == []


def test_a_row_that_was_made_and_removed_within_the_lag_never_shows() -> None:
    tenant = Tenant()
    tenant.lag = 10
    tenant.add("InboundConnector", row("a"))
    tenant.remove("InboundConnector", tenant.rows("InboundConnector")[0])
    assert names(tenant) == []
    tenant.clock.advance(11)
    assert names(tenant) == []


def test_one_noun_can_lag_behind_another() -> None:
    tenant = Tenant()
    tenant.settings["lag_by_noun"] = {"InboundConnector": 60}
    tenant.add("InboundConnector", row("a"))
    tenant.add("RemoteDomain", row("b"))
    assert names(tenant) == []
    assert [r["Name"] for r in tenant.visible("RemoteDomain")] == ["b"]


def test_a_hidden_row_is_missed_by_reads_for_a_while() -> None:
    tenant = Tenant()
    tenant.add("InboundConnector", row("a"))
    tenant.hide("InboundConnector", tenant.rows("InboundConnector")[0], 5)
    assert names(tenant) == []
    tenant.clock.advance(6)
    assert names(tenant) == ["a"]


def test_an_index_follows_additions_removals_and_new_names() -> None:
    tenant = Tenant()
    by_name = lambda r: (r["Name"],)  # noqa: E731
    tenant.add("InboundConnector", row("Alpha"))
    assert [r["Name"] for r in tenant.named("InboundConnector", by_name, "ALPHA")] == ["Alpha"]
    tenant.add("InboundConnector", row("beta"))
    tenant.update("InboundConnector", tenant.rows("InboundConnector")[0], {"Name": "gamma"})
    assert [len(tenant.named("InboundConnector", by_name, n)) for n in ("alpha", "beta", "gamma")] == [0, 1, 1]
    tenant.remove("InboundConnector", tenant.rows("InboundConnector")[0])
    assert [len(tenant.named("InboundConnector", by_name, n)) for n in ("alpha", "beta", "gamma")] == [0, 1, 0]


def test_everything_survives_the_way_through_a_file() -> None:
    tenant = Tenant()
    tenant.merge(load_seed({"sandbox": 1, "mailboxes": ["a@contoso.com"], "dns": {"contoso.com": {"TXT": ["x"]}}}))
    tenant.clock.advance(500)
    tenant.lag = 60
    tenant.update("TransportConfig", tenant.rows("TransportConfig")[0], {"SmtpClientAuthenticationDisabled": False})
    kept = json.loads(json.dumps(tenant.to_json()))
    assert tenant.dirty, "it is not in its folder yet"
    tenant.saved()
    assert not tenant.dirty
    other = Tenant()
    other.load_json(kept)
    assert other.to_json() == kept
    assert other.visible("TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is True
    other.clock.advance(61)
    assert other.visible("TransportConfig")[0]["SmtpClientAuthenticationDisabled"] is False


@pytest.mark.parametrize(
    "damaged", [{}, {"sandbox": 2, "dump": True}, {"sandbox": 1}, {"sandbox": 1, "dump": True}, []]
)
def test_what_is_no_dump_is_refused_and_changes_nothing(damaged: Any) -> None:
    tenant = Tenant()
    before = tenant.to_json()
    with pytest.raises((KeyError, TypeError, ValueError)):
        tenant.load_json(damaged)
    assert tenant.to_json() == before
