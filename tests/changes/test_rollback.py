"""What a run did, turned round: what comes back, what goes, and what is left alone with its reason."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest

from provisioner.changes.rollback import Undone, in_words, rollback, undone
from provisioner.model import Absent, Address, Observation, Present, Resource, Unknown
from provisioner.resources import TYPES
from provisioner.resources.connection_filter import ConnectionFilter
from provisioner.resources.dkim import Dkim
from provisioner.resources.inbound_connector import InboundConnector
from provisioner.resources.smtp_auth import SmtpAuth
from provisioner.resources.transport_rule import TransportRule

ERP = Address("smtp_auth", "erp@contoso.com")
HQ = Address("inbound_connector", "hq")
SIGNING = Address("dkim", "contoso.com")
MARK = Address("transport_rule", "mark")
OFF, ON = SmtpAuth("erp@contoso.com", "disabled"), SmtpAuth("erp@contoso.com", "enabled")
CONNECTOR = InboundConnector("hq", type="on_premises", comment="")


@dataclass(frozen=True)
class Deed:
    """What the journal tells of one object."""

    address: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    done: bool = True
    unseen: bool = False


def state(value: str) -> dict[str, Any]:
    return {"identity": "erp@contoso.com", "smtp_auth": value}


def test_an_object_counts_from_its_first_state_to_its_last() -> None:
    deeds = [
        Deed(str(ERP), state("disabled"), state("inherit")),
        Deed(str(ERP), state("inherit"), state("enabled")),
        Deed(str(HQ), None, {"name": "hq"}, done=False),
        Deed(str(SIGNING), None, {"domain": "contoso.com"}, done=False, unseen=True),
        Deed('a_type_of_tomorrow["x"]', None, {}),
    ]
    assert undone(deeds, TYPES) == [Undone(ERP, OFF, ON), Undone(SIGNING, None, Dkim("contoso.com"), seen=False)]


def test_of_a_selection_the_switches_that_were_set_are_undone_one_by_one() -> None:
    def selection(*mailboxes: str) -> dict[str, Any]:
        return {"name": "s", "smtp_auth": "enabled", "domain": "contoso.com", "mailboxes": list(mailboxes)}

    before = selection("erp@contoso.com disabled", "fax@contoso.com inherit", "room@contoso.com enabled")
    after = selection("erp@contoso.com enabled", "fax@contoso.com enabled", "room@contoso.com enabled")
    fax = Address("smtp_auth", "fax@contoso.com")
    switches = [(ERP, OFF, ON), (fax, SmtpAuth(fax.key, "inherit"), SmtpAuth(fax.key, "enabled"))]
    for done in (True, False):
        deed = Deed('mailbox_selection["s"]', before, after, done=done, unseen=not done)
        assert undone([deed], TYPES) == [Undone(*switch, seen=done) for switch in switches]


def brought_back(item: Undone, there: Observation | None) -> tuple[Any, bool, tuple[str, ...]]:
    """What the rollback of one object wants it to be, whether it is to go, and what it says."""
    seen = {} if there is None else {item.address: there}
    found = rollback([item], seen, TYPES, "contoso.onmicrosoft.com", "us/prod")
    assert (found.desired.tenant, found.desired.owner) == ("contoso.onmicrosoft.com", "us/prod")
    resource = found.desired.resources.get(item.address)
    assert resource is None or resource == Resource(item.address, resource.spec)
    return (resource.spec if resource else None), item.address in found.desired.absent, found.left_out


def test_what_was_changed_gets_its_state_from_before() -> None:
    assert brought_back(Undone(ERP, OFF, ON), Present(ON)) == (OFF, False, ())


def test_what_was_created_goes_and_what_was_deleted_comes_back() -> None:
    assert brought_back(Undone(HQ, None, CONNECTOR), Present(CONNECTOR)) == (None, True, ())
    assert brought_back(Undone(HQ, CONNECTOR, None), Absent()) == (CONNECTOR, False, ())


@pytest.mark.parametrize(
    ("item", "there"),
    [
        (Undone(ERP, OFF, ON, seen=False), Present(OFF)),
        (Undone(HQ, None, CONNECTOR, seen=False), Absent()),
        (Undone(HQ, CONNECTOR, None, seen=False), Present(CONNECTOR)),
    ],
)
def test_what_a_killed_run_has_not_changed_is_left_as_it_is(item: Undone, there: Observation) -> None:
    assert brought_back(item, there) == (None, False, ())


def test_what_a_killed_run_has_changed_is_undone() -> None:
    assert brought_back(Undone(ERP, OFF, ON, seen=False), Present(ON)) == (OFF, False, ())
    assert brought_back(Undone(HQ, None, CONNECTOR, seen=False), Present(CONNECTOR)) == (None, True, ())


def test_what_a_killed_run_has_half_changed_is_told() -> None:
    half = SmtpAuth("erp@contoso.com", "inherit")
    words = 'smtp_auth["erp@contoso.com"]: it is neither as the run found it nor as the run was to leave it'
    assert brought_back(Undone(ERP, OFF, ON, seen=False), Present(half)) == (None, False, (words,))
    assert brought_back(Undone(ERP, OFF, ON, seen=False), Absent())[2] == (words,)


def test_what_a_change_opened_before_the_rest_was_held_back_is_undone() -> None:
    before = ConnectionFilter("default", allow=frozenset(), block=frozenset())
    after = dataclasses.replace(before, allow=frozenset({"52.202.8.9/32"}), block=frozenset({"52.202.8.10/32"}))
    half = dataclasses.replace(before, allow=after.allow)
    filter_ = Address("connection_filter", "default")
    spec, _, left_out = brought_back(Undone(filter_, before, after, seen=False), Present(half))
    assert (spec, left_out) == (before, ())
    foreign = dataclasses.replace(half, allow=frozenset({"52.202.8.77/32"}))
    assert brought_back(Undone(filter_, before, after, seen=False), Present(foreign))[0] is None
    assert brought_back(Undone(filter_, before, after), Present(half))[2] != (), "the run saw both: somebody changed it"


def test_only_fields_that_the_run_wrote_count_as_changed_since() -> None:
    more = InboundConnector("hq", type="on_premises", comment="", require_tls=True)
    assert brought_back(Undone(HQ, None, CONNECTOR), Present(more)) == (None, True, ())


def test_the_place_that_a_rule_had_before_it_was_moved_is_told_and_its_fields_come_back() -> None:
    after = TransportRule(
        "mark", comment="b", before=frozenset({"First", "Last", "Made"}), declared=frozenset({"Made"})
    )
    before = dataclasses.replace(after, comment="a", before=frozenset({"Last", "Made"}), place="First")
    spec, _, left_out = brought_back(Undone(MARK, before, after), Present(after))
    assert spec == TransportRule("mark", comment="a")
    assert (spec.place, spec.declared) == (None, None)
    assert left_out == (
        f"{MARK}: it keeps its place before First, where the run moved it: its earlier place is not known; "
        "Get-TransportRule shows the order, Set-TransportRule -Priority changes it",
    )
    resting = dataclasses.replace(before, before=after.before)
    assert brought_back(Undone(MARK, resting, after), Present(after))[2] == ()


def test_what_a_rollback_does_is_told_in_words_the_last_change_first() -> None:
    done = [
        Undone(HQ, None, CONNECTOR),
        Undone(ERP, OFF, ON),
        Undone(SIGNING, None, Dkim("contoso.com")),
        Undone(MARK, TransportRule("mark"), None),
    ]
    assert list(in_words(done, TYPES)) == [
        f"create {MARK} again",
        f"leave {SIGNING} as it is: an object of type dkim cannot be deleted; disable it in the plan",
        f"set {ERP} back to its old values",
        f"delete {HQ}",
    ]
    moved = Undone(MARK, TransportRule("mark"), TransportRule("mark", before=frozenset({"First"})))
    (words,) = in_words([moved], TYPES)
    assert words.startswith(f"set {MARK} back to its old values; it keeps its place before First")


@pytest.mark.parametrize(
    ("item", "there", "words"),
    [
        (Undone(ERP, OFF, ON), Present(OFF), "it was changed since the run"),
        (Undone(HQ, CONNECTOR, None), Present(CONNECTOR), "it was created again since the run"),
        (Undone(HQ, None, CONNECTOR), Absent(), "somebody has deleted it since the run"),
        (Undone(ERP, OFF, ON), Unknown("throttled"), "it could not be read: throttled"),
        (Undone(ERP, OFF, ON), None, "it was not read"),
        (
            Undone(SIGNING, None, Dkim("contoso.com", enabled=True)),
            Present(Dkim("contoso.com", enabled=True)),
            "an object of type dkim cannot be deleted; disable it in the plan",
        ),
        (Undone(ERP, OFF, None), Absent(), "an object of type smtp_auth cannot be created"),
    ],
)
def test_what_has_moved_or_cannot_come_back_is_told_and_left_alone(
    item: Undone, there: Observation | None, words: str
) -> None:
    assert brought_back(item, there) == (None, False, (f"{item.address}: {words}",))
