"""The connection filter: forms of entries, its own entries and all of them, what is sent, what it does to mail."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.changes.splitting import steps_of
from provisioner.mailflow import effects
from provisioner.model import Address, Delta, Effect, Links, Unknown
from provisioner.model.picture import AddressFilter
from provisioner.resources.connection_filter import DEFAULT, MOST_ENTRIES, ConnectionFilterType, filter_entry
from tests.clocks import costs
from tests.resources.recorded import answer, declared, mistakes, sent, snapshots

KIND = ConnectionFilterType()
ROW = {"Name": "Default", "IPAllowList": ["203.0.113.9", "198.51.100.0-198.51.100.3"], "IPBlockList": ["192.0.2.9/24"]}
AT = Address("connection_filter", DEFAULT)


def live(**columns: Any) -> Any:
    return answer(KIND, {DEFAULT: None}, [{**ROW, **columns}])[DEFAULT]


def wanted(**section: Any) -> Any:
    return declared(KIND, section)[DEFAULT]


def goal(there: Any, **section: Any) -> Any:
    """What the plan leads to, as the planner links it with the tenant."""
    spec = wanted(**section)
    overlaid = dataclasses.replace(there, allow=spec.allow or there.allow, block=spec.block or there.block)
    linked = KIND.linked(spec, Links({AT: overlaid}))
    written = {name: value for name in ("allow", "block") if (value := getattr(linked, name)) is not None}
    return dataclasses.replace(there, **written)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("198.51.100.0-198.51.100.3", "198.51.100.0/30"),
        ("198.51.100.1 - 198.51.100.3", "198.51.100.1-198.51.100.3"),
        ("198.51.100.200-198.51.101.199", "198.51.100.200-198.51.101.199"),
    ],
)
def test_an_entry_has_one_form(text: str, form: str) -> None:
    assert filter_entry(text) == filter_entry(form) == form


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"allow": ["192.0.2.0/23"]}, "FILTER-ENTRY-WIDE"),
        ({"block": ["192.0.2.0-192.0.3.0"]}, "FILTER-ENTRY-WIDE"),
        ({"block": ["2001:db8::1"]}, "IP-VERSION-6"),
        ({"block": ["mail.contoso.com"]}, "IP-ADDRESS-INVALID"),
        ({"allow": ["192.0.2.1"], "block": ["192.0.2.1/32"]}, "FILTER-BOTH-LISTS"),
        ({"allow": [f"10.0.{n // 200}.{n % 200}" for n in range(MOST_ENTRIES + 1)]}, "FILTER-TOO-MANY"),
        ({"exclusive": "yes"}, "bool_type"),
        ({"allowed": []}, "extra_forbidden"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_service_would_not_take_is_refused(section: dict[str, Any], mistake: str) -> None:
    assert [found for found, _ in mistakes(KIND, section)] == [mistake]


def test_own_entries_are_added_and_the_others_stay() -> None:
    there = live()
    after = goal(there, allow=["203.0.113.10"], block=["192.0.2.0/24"])
    assert after.allow == {"203.0.113.9/32", "203.0.113.10/32", "198.51.100.0/30"}
    (step,) = KIND.steps(there, after)
    delta = {"Identity": "Default", "IPAllowList": Delta(("203.0.113.10",))}
    assert sent(step) == ("Set-HostedConnectionFilterPolicy", delta)
    (back,) = KIND.steps(after, there)
    assert sent(back)[1]["IPAllowList"] == Delta(remove=("203.0.113.10",))


def test_an_exclusive_list_takes_the_others_away_as_they_are_stored() -> None:
    there = live()
    after = goal(there, allow=["203.0.113.10"], exclusive=True)
    (step,) = KIND.steps(there, after)
    assert sent(step)[1]["IPAllowList"] == Delta(("203.0.113.10",), ("198.51.100.0-198.51.100.3", "203.0.113.9"))
    assert "IPBlockList" not in sent(step)[1]


FULL = [f"10.{n // 250}.{n % 250}.1" for n in range(MOST_ENTRIES)]


def test_what_does_not_fit_beside_the_entries_of_the_tenant_is_told_before_anything_is_sent() -> None:
    there = live(IPBlockList=FULL)
    (guard,) = KIND.guards(there, goal(there, block=["192.0.2.7"]))
    assert guard.rule == "FILTER-FULL"
    assert guard.summary.startswith("block would have 1,274 entries, with 1,273 that the tenant has already")
    assert not list(KIND.guards(there, goal(there, block=FULL[:5])))
    assert not list(KIND.guards(there, goal(there, block=["192.0.2.7"], exclusive=True)))


def test_a_full_list_is_replaced_in_one_write() -> None:
    """Between two writes it would have the entries of both, which the service refuses."""
    there = live(IPAllowList=FULL)
    after = goal(there, allow=["192.0.2.7"], exclusive=True)
    assert len(steps_of(KIND, there, after)) == 1
    there = live(IPAllowList=FULL[1:])
    assert len(steps_of(KIND, there, goal(there, allow=["192.0.2.7"], exclusive=True))) == 3, "write, read, write"


def test_full_lists_are_judged_in_a_second() -> None:
    """What once took minutes: each entry was compared with each."""
    blocked, inside = ([f"11.{n // 250}.{n % 250}.{rest}" for n in range(MOST_ENTRIES)] for rest in ("0/24", "1"))
    was, will = live(IPAllowList=FULL, IPBlockList=blocked), live(IPAllowList=inside, IPBlockList=blocked)
    with costs(2.0):
        assert effects(KIND, was, will) == {Effect.OPENS, Effect.CLOSES}


def test_the_allow_list_wins_and_an_allow_entry_is_guarded() -> None:
    there = live(IPAllowList=["192.0.2.0/25"])
    (filtered,) = KIND.contribution(there)
    assert filtered == AddressFilter(frozenset({"192.0.2.0/25"}), frozenset({"192.0.2.128/25"}))
    assert not list(KIND.guards(there, live(IPAllowList=["192.0.2.5"])))
    (guard,) = KIND.guards(there, live(IPAllowList=["192.0.2.0/25", "203.0.113.0/28"]))
    assert (guard.rule, "203.0.113.0/28 is no longer filtered" in guard.summary) == ("FILTER-ALLOW", True)


@pytest.mark.parametrize(
    "rows", [[], [{**ROW, "Name": "Other"}], [ROW, {**ROW, "Guid": "x"}], [{"Name": "Default"}]], ids=len
)
def test_an_answer_without_the_lists_of_one_policy_is_unknown(rows: list[dict[str, Any]]) -> None:
    assert isinstance(answer(KIND, {DEFAULT: wanted(allow=[])}, rows)[DEFAULT], Unknown)


@pytest.mark.parametrize("rows", snapshots("conn_filter"))
def test_recorded_lists_are_read_and_written_as_they_are(rows: list[dict[str, Any]]) -> None:
    there = answer(KIND, {DEFAULT: None}, rows)[DEFAULT]
    form = KIND.written_form(there)
    again = there if form is None else goal(there, **form[1], exclusive=True)
    assert not KIND.steps(there, again)


_ENTRIES = st.sets(st.sampled_from([f"192.0.2.{n}" for n in range(9)] + ["198.51.100.4/30", "192.0.2.3-192.0.2.7"]))


@given(_ENTRIES, _ENTRIES, st.booleans())
def test_one_write_leads_to_the_lists_that_were_meant(has: set[str], writes: set[str], exclusive: bool) -> None:
    there = live(IPAllowList=sorted(has), IPBlockList=[])
    after = goal(there, allow=sorted(writes), exclusive=exclusive)
    forms = {*map(filter_entry, writes)}
    assert after.allow == (forms if exclusive else forms | {*map(filter_entry, has)})
    assert bool(KIND.steps(there, after)) == (after.allow != there.allow)
